/* Networks: each layer against plain expressions and against differences, start values, names,
   modes, errors. */
#define _POSIX_C_SOURCE 200809L /* fmemopen */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad.h>
#include <tapegrad/nn.h>
#include <tapegrad/optim.h>

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(nn, .init = quiet);

#define NEAR(GOT, WANT)                                                                            \
    do {                                                                                           \
        const double got_ = (GOT), want_ = (WANT);                                                 \
        cr_expect(fabs(got_ - want_) <= 1e-12 * fmax(1, fabs(want_)),                              \
                  "line %d: %s is %.17g, not %.17g", __LINE__, #GOT, got_, want_);                 \
    } while (0)

static bool built(tg_nn *net, tg_tape *t)
{
    const bool ok = tg_nn_build(net, t, &(tg_nn_options){ .seed = 7 });
    cr_expect(ok, "%s", tg_nn_status(net)->message);
    return ok;
}

/* Both have the same shape and, to a few roundings, the same elements. */
static void same(tg_value got, tg_value want, int line)
{
    double a[1000], b[1000];
    const int64_t n = tg_size(want);
    cr_assert(got.generation && want.generation && n <= 1000 && tg_size(got) == n &&
                  tg_rank(got) == tg_rank(want),
              "line %d: %s", line,
              tg_error_of(want.tape) ? tg_error_of(want.tape)->message : "other shapes");
    for (int i = 0; i < tg_rank(got); i++) cr_expect(tg_dim(got, i) == tg_dim(want, i));
    cr_assert(tg_read(got, a, (size_t)n) && tg_read(want, b, (size_t)n));
    for (int64_t i = 0; i < n; i++)
        cr_expect(fabs(a[i] - b[i]) <= 1e-13 * fmax(1, fabs(b[i])),
                  "line %d: element %lld is %.17g, not %.17g", line, (long long)i, a[i], b[i]);
}
#define SAME(GOT, WANT) same((GOT), (WANT), __LINE__)

static tg_value noise(tg_tape *t, uint64_t seed, int rank, const int64_t *shape)
{
    return tg_normal_new(t, seed, 0, 1, rank, shape, NULL);
}
#define NOISE(t, seed, ...)                                                                        \
    noise(t, seed, (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)),                    \
          (int64_t[]){ __VA_ARGS__ })

/* The i-th parameter. */
static tg_value P(const tg_nn *net, int i)
{
    return tg_nn_parameters(net)[i];
}

/* Moves every parameter away from zeros and ones. */
static void stir(const tg_nn *net)
{
    for (int i = 0; i < tg_nn_count(net); i++) {
        double *const w = tg_edit(P(net, i));
        for (int64_t k = 0; k < tg_size(P(net, i)); k++) w[k] += 0.3 * sin(1.7 * (double)k + i);
    }
}

/* ---- layers against plain expressions -------------------------------------------------------- */

Test(nn, linear_embedding_and_position_are_what_they_say)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *net = tg_nn_sequential(tg_nn_embedding(5, 4), tg_nn_position(6, 4), tg_nn_linear(4, 3),
                                  tg_nn_linear(3, 2, .no_bias = true));
    if (!built(net, t)) return;
    const int label[] = { 0, 4, 2, 2, 1, 0 };
    const tg_value x = tg_index(t, label, 2, 3);
    const tg_value places = tg_slice(P(net, 1), .axis = 0, .start = 0, .stop = 3);
    const tg_value e = tg_add(tg_embedding(P(net, 0), x), places);
    const tg_value h = tg_add(tg_matmul(e, tg_transpose(P(net, 2))), P(net, 3));
    SAME(tg_nn_forward(net, x), tg_matmul(h, tg_transpose(P(net, 4))));
    cr_expect(tg_nn_count(net) == 5 && tg_nn_size(net) == 20 + 24 + 12 + 3 + 6);
    tg_nn_free(net);
    tg_tape_free(t);
}

Test(nn, convolutions_and_pools_are_the_operations)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *net = tg_nn_sequential(
        tg_nn_conv2d(2, 4, 3, .padding = 1, .groups = 2), tg_nn_max_pool2d(2),
        tg_nn_conv2d(4, 3, 1, .kernels = TG_AXES(2, 1), .strides = TG_AXES(1, 2), .no_bias = true),
        tg_nn_avg_pool2d(2, .stride = 1, .padding = 1), tg_nn_flatten());
    tg_nn *line = tg_nn_sequential(tg_nn_reshape(2, 6), tg_nn_conv1d(2, 3, 3, .dilation = 2));
    if (!built(net, t) || !built(line, t)) return;
    const tg_value x = NOISE(t, 1, 2, 2, 6, 6);
    tg_value y = tg_max_pool2d(tg_conv2d(x, P(net, 0), P(net, 1), .padding = 1, .groups = 2),
                               .kernel_size = 2);
    y = tg_conv2d(y, P(net, 2), 0, .strides = TG_AXES(1, 2));
    y = tg_flatten(tg_avg_pool2d(y, .kernel_size = 2, .stride = 1, .padding = 1), .start = 1);
    SAME(tg_nn_forward(net, x), y);
    const tg_value u = NOISE(t, 2, 3, 12);
    SAME(tg_nn_forward(line, u),
         tg_conv1d(tg_reshape(u, 3, 2, 6), P(line, 0), P(line, 1), .dilation = 2));
    tg_nn_free(net);
    tg_nn_free(line);
    tg_tape_free(t);
}

Test(nn, activations_are_operations_by_name)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *net = tg_nn_sequential(tg_nn_activation("tanh"),
                                  tg_nn_activation("leaky_relu", .number = { 0.1 }),
                                  tg_nn_activation("clamp", .number = { -0.05, 0.5 }),
                                  tg_nn_activation("softmax", .attributes = "axis=0"));
    if (!built(net, t)) return;
    const tg_value x = NOISE(t, 1, 3, 4);
    SAME(tg_nn_forward(net, x),
         tg_softmax(tg_clamp(tg_leaky_relu(tg_tanh(x), 0.1), -0.05, 0.5), .axis = 0));
    cr_expect(tg_nn_count(net) == 0 && tg_nn_size(net) == 0);
    tg_nn_free(net);
    tg_tape_free(t);
}

Test(nn, normalizations_are_the_operations)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *net = tg_nn_sequential(tg_nn_layer_norm(6), tg_nn_rms_norm(6, .epsilon = 0.1),
                                  tg_nn_group_norm(2, 4), tg_nn_batch_norm(4, .plain = true));
    if (!built(net, t)) return;
    stir(net);
    const tg_value x = NOISE(t, 1, 3, 4, 6);
    tg_value y = tg_rms_norm(tg_layer_norm(x, P(net, 0), P(net, 1)), P(net, 2), .epsilon = 0.1);
    y = tg_batch_norm(tg_group_norm(y, P(net, 3), P(net, 4), .groups = 2), 1, 0);
    SAME(tg_nn_forward(net, x), y);
    tg_nn_free(net);
    tg_tape_free(t);
}

Test(nn, an_lstm_and_a_gru_follow_their_equations)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *lstm = tg_nn_lstm(3, 2), *gru = tg_nn_gru(3, 2);
    if (!built(lstm, t) || !built(gru, t)) return;
    const tg_value x = NOISE(t, 1, 4, 5, 3);
    tg_value h = tg_zeros(t, 4, 2), c = h, k = h, hs[5], ks[5];
    for (int i = 0; i < 5; i++) {
        const tg_value xi = tg_select(x, .axis = 1, .index = i);
        const tg_value z =
            tg_add(tg_linear(xi, P(lstm, 0), P(lstm, 1)), tg_linear(h, P(lstm, 2), P(lstm, 3)));
        c = tg_add(tg_mul(tg_sigmoid(tg_slice(z, .axis = 1, .start = 2, .stop = 4)), c),
                   tg_mul(tg_sigmoid(tg_slice(z, .axis = 1, .stop = 2)),
                          tg_tanh(tg_slice(z, .axis = 1, .start = 4, .stop = 6))));
        hs[i] = h = tg_mul(tg_sigmoid(tg_slice(z, .axis = 1, .start = 6)), tg_tanh(c));
        const tg_value a = tg_linear(xi, P(gru, 0), P(gru, 1)),
                       b = tg_linear(k, P(gru, 2), P(gru, 3));
        const tg_value rz = tg_sigmoid(tg_slice(tg_add(a, b), .axis = 1, .stop = 4));
        const tg_value r = tg_slice(rz, .axis = 1, .stop = 2),
                       u = tg_slice(rz, .axis = 1, .start = 2);
        const tg_value n = tg_tanh(tg_add(tg_slice(a, .axis = 1, .start = 4),
                                          tg_mul(r, tg_slice(b, .axis = 1, .start = 4))));
        ks[i] = k = tg_add(tg_mul(tg_sub(1, u), n), tg_mul(u, k));
    }
    SAME(tg_nn_forward(lstm, x), tg_stack(TG_VALUES(hs[0], hs[1], hs[2], hs[3], hs[4]), .axis = 1));
    SAME(tg_nn_forward(gru, x), tg_stack(TG_VALUES(ks[0], ks[1], ks[2], ks[3], ks[4]), .axis = 1));

    /* in pieces, and step by step */
    tg_nn_carry carry = { 0 }, step = { 0 };
    tg_nn_sequence(lstm, tg_slice(x, .axis = 1, .stop = 2), &carry);
    tg_nn_sequence(lstm, tg_slice(x, .axis = 1, .start = 2), &carry);
    SAME(carry.h, h);
    SAME(carry.c, c);
    for (int i = 0; i < 5; i++) tg_nn_step(gru, tg_select(x, .axis = 1, .index = i), &step);
    SAME(step.h, k);
    cr_expect(!step.c.tape);

    tg_nn *last = tg_nn_gru(3, 2, .last = true, .no_bias = true);
    if (!built(last, t)) return;
    cr_expect(tg_nn_count(last) == 2 && tg_rank(tg_nn_forward(last, x)) == 2);
    tg_nn_free(last);
    tg_nn_free(lstm);
    tg_nn_free(gru);
    tg_tape_free(t);
}

static tg_value heads_by_hand(const tg_nn *net, tg_value x, int heads, int d)
{
    tg_value part[8];
    const tg_value z = tg_linear(x, P(net, 0), P(net, 1));
    for (int i = 0; i < heads; i++) {
        const int w = d / heads, at = i * w;
        const tg_value q = tg_slice(z, .axis = -1, .start = at, .stop = at + w);
        const tg_value k = tg_slice(z, .axis = -1, .start = d + at, .stop = d + at + w);
        const tg_value v = tg_slice(z, .axis = -1, .start = 2 * d + at, .stop = 2 * d + at + w);
        const tg_value scores = tg_mul(tg_matmul(q, tg_transpose(k)), 1 / sqrt(w));
        const tg_value seen = tg_tril(tg_ones(x.tape, tg_dim(x, 1), tg_dim(x, 1)));
        part[i] = tg_matmul(tg_softmax(tg_where(tg_gt(seen, 0), scores, -1e9)), v);
    }
    return tg_linear((tg_cat)(part, heads, &(tg_axis_attributes){ .axis = -1 }), P(net, 2),
                     P(net, 3));
}

Test(nn, attention_and_a_transformer_block_are_their_formulas)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *look = tg_nn_attention(6, 3, .causal = true), *block = tg_nn_transformer(6, 2);
    if (!built(look, t) || !built(block, t)) return;
    stir(look);
    stir(block);
    const tg_value x = NOISE(t, 1, 2, 4, 6);
    SAME(tg_nn_forward(look, x), heads_by_hand(look, x, 3, 6));
    tg_nn *const heads = tg_nn_find(block, "net.attention.heads");
    const tg_value a = tg_add(x, tg_nn_forward(heads, tg_layer_norm(x, P(block, 0), P(block, 1))));
    const tg_value h =
        tg_gelu(tg_linear(tg_layer_norm(a, P(block, 6), P(block, 7)), P(block, 8), P(block, 9)));
    SAME(tg_nn_forward(block, x), tg_add(a, tg_linear(h, P(block, 10), P(block, 11))));
    cr_expect(strcmp(tg_nn_name(block, 2), "net.attention.heads.qkv.weight") == 0);
    cr_expect(tg_dim(P(block, 8), 0) == 24);
    tg_nn_free(look);
    tg_nn_free(block);
    tg_tape_free(t);
}

/* x scale + below(x) */
static tg_value scaled(tg_nn *l, tg_value x, void *user)
{
    cr_expect(*(int *)user == 5);
    if (tg_dim(x, -1) != 3) return tg_nn_fail(l, x, "%d columns are wanted", 3);
    return tg_add(tg_mul(x, tg_nn_own(l, "scale")), tg_nn_forward(tg_nn_layer(l, 0), x));
}

static tg_nn *new_scaled(int *user)
{
    tg_nn *const inside[] = { tg_nn_linear(3, 3) };
    return tg_nn_with(tg_nn_custom("scaled", scaled, user, inside, 1), "scale",
                      (tg_nn_init){ .scheme = TG_INIT_CONSTANT, .a = 2 }, (int64_t[]){ 3 }, 1);
}

Test(nn, residuals_and_layers_of_your_own_record_what_they_say)
{
    tg_tape *t = tg_tape_new(NULL);
    int user = 5;
    tg_nn *net = tg_nn_residual(new_scaled(&user), tg_nn_activation("sin"));
    if (!built(net, t)) return;
    const tg_value x = NOISE(t, 1, 2, 3);
    const tg_value inner = tg_add(tg_mul(x, 2), tg_linear(x, P(net, 1), P(net, 2)));
    SAME(tg_nn_forward(net, x), tg_add(x, tg_sin(inner)));
    cr_expect(strcmp(tg_nn_name(net, 0), "net.0.scale") == 0);
    cr_expect(tg_nn_own(tg_nn_layer(net, 0), "no").tape == NULL);
    tg_nn_forward(net, NOISE(t, 1, 2, 4));
    cr_expect(strstr(tg_error_of(t)->message, "nn: net.0 (scaled): 3 columns are wanted"), "%s",
              tg_error_of(t)->message);
    tg_nn_free(net);
    tg_tape_free(t);
}

/* ---- gradients of every layer ---------------------------------------------------------------- */

typedef struct data {
    int rank;
    int64_t shape[4];
    bool index;
} data;

/* Weighted by position, so that nothing cancels. */
static tg_value weighted(tg_nn *net, tg_tape *t, void *user)
{
    const data *const d = user;
    static const int label[6] = { 1, 0, 3, 2, 1, 1 };
    const tg_value x = d->index ? tg_index_new(t, sizeof(int), label, d->rank, d->shape, NULL)
                                : tg_normal_new(t, 5, 0, 1, d->rank, d->shape, NULL);
    const tg_value y = tg_nn_forward(net, x);
    if (!y.generation) return y;
    const tg_value flat = tg_reshape(y, tg_size(y));
    return tg_sum(tg_mul(flat, tg_cos(tg_arange(t, 0, (double)tg_size(y), 1))));
}

static void gradients_agree(tg_nn *net, data d, int line)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_check_report report = { .message = "" };
    if (built(net, t)) {
        stir(net);
        const bool right = tg_nn_gradcheck(net, weighted, &d, NULL, &report);
        cr_expect(right && report.checked > 0, "line %d: %s", line, report.message);
        cr_expect(tg_nn_forward(net, d.index ? tg_index(t, (const int[]){ 1 }, 1, 1)
                                             : tg_normal_new(t, 5, 0, 1, d.rank, d.shape, NULL))
                      .generation,
                  "line %d: the parameters are its own again", line);
    }
    tg_nn_free(net);
    tg_tape_free(t);
}
#define AGREE(net, axes, ...)                                                                      \
    gradients_agree(net, (data){ .rank = axes, .shape = __VA_ARGS__ }, __LINE__)

Test(nn, gradients_of_every_layer_agree_with_differences)
{
    AGREE(tg_nn_linear(3, 2), 2, { 4, 3 });
    AGREE(tg_nn_linear(3, 2, .no_bias = true), 1, { 3 });
    AGREE(tg_nn_conv1d(2, 2, 2), 3, { 2, 2, 4 });
    AGREE(tg_nn_sequential(tg_nn_conv2d(1, 2, 2), tg_nn_max_pool2d(2), tg_nn_conv2d(2, 1, 1)), 4,
          { 2, 1, 5, 5 });
    AGREE(tg_nn_sequential(tg_nn_conv2d(1, 2, 2, .no_bias = true), tg_nn_avg_pool2d(2),
                           tg_nn_flatten()),
          4, { 2, 1, 5, 5 });
    AGREE(tg_nn_sequential(tg_nn_linear(4, 4), tg_nn_reshape(2, 2), tg_nn_activation("tanh")), 2,
          { 3, 4 });
    AGREE(tg_nn_sequential(tg_nn_linear(4, 4), tg_nn_batch_norm(4)), 2, { 5, 4 });
    AGREE(tg_nn_sequential(tg_nn_linear(4, 4), tg_nn_layer_norm(4)), 2, { 3, 4 });
    AGREE(tg_nn_sequential(tg_nn_linear(4, 4), tg_nn_rms_norm(4)), 2, { 3, 4 });
    AGREE(tg_nn_sequential(tg_nn_linear(4, 4), tg_nn_group_norm(2, 4)), 2, { 3, 4 });
    AGREE(tg_nn_sequential(tg_nn_linear(4, 6), tg_nn_dropout(0.5), tg_nn_linear(6, 2)), 2,
          { 3, 4 });
    AGREE(tg_nn_sequential(tg_nn_embedding(4, 3), tg_nn_position(3, 3)), 2, { 2, 3 },
          .index = true);
    AGREE(tg_nn_lstm(2, 3), 3, { 2, 3, 2 });
    AGREE(tg_nn_lstm(2, 2, .no_bias = true, .last = true), 3, { 2, 3, 2 });
    AGREE(tg_nn_gru(2, 3), 3, { 2, 3, 2 });
    AGREE(tg_nn_attention(4, 2), 3, { 2, 3, 4 });
    AGREE(tg_nn_attention(4, 4, .no_bias = true, .causal = true), 3, { 1, 3, 4 });
    AGREE(
        tg_nn_transformer(4, 2, .hidden = 3, .causal = true, .dropout = 0.2, .activation = "tanh"),
        3, { 1, 3, 4 });
    AGREE(tg_nn_residual(tg_nn_linear(3, 3)), 2, { 2, 3 });
    int user = 5;
    AGREE(new_scaled(&user), 2, { 2, 3 });
}

static tg_value wrong_backward(tg_nn *net, tg_tape *t, void *user)
{
    (void)user;
    return tg_detach(tg_sum(tg_nn_forward(net, tg_ones(t, 2, 3))));
}

Test(nn, the_gradient_check_of_a_net_can_fail)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *net = tg_nn_linear(3, 2), *bare = tg_nn_linear(1, 1), *empty = tg_nn_flatten();
    if (!built(net, t) || !built(empty, t)) return;
    tg_check_report report;
    cr_expect(!tg_nn_gradcheck(net, wrong_backward, NULL, NULL, &report));
    cr_expect(!tg_nn_gradcheck(bare, wrong_backward, NULL, NULL, &report) &&
              strstr(report.message, "built"));
    cr_expect(!tg_nn_gradcheck(empty, wrong_backward, NULL, NULL, &report) &&
              strstr(report.message, "no parameters"));
    cr_expect(!tg_nn_gradcheck(NULL, wrong_backward, NULL, NULL, NULL));
    tg_reset(t);
    cr_expect(!tg_nn_gradcheck(net, wrong_backward, NULL, NULL, &report) &&
              strstr(report.message, "cannot be read"));
    tg_nn_free(net);
    tg_nn_free(bare);
    tg_nn_free(empty);
    tg_tape_free(t);
}

/* ---- start values ---------------------------------------------------------------------------- */

static void moments(tg_value v, double *mean, double *std, double *most)
{
    const size_t n = (size_t)tg_size(v);
    double *const x = malloc(n * sizeof *x);
    cr_assert(x && tg_read(v, x, n));
    *mean = *std = *most = 0;
    for (size_t i = 0; i < n; i++) *mean += x[i] / (double)n, *most = fmax(*most, fabs(x[i]));
    for (size_t i = 0; i < n; i++) *std += (x[i] - *mean) * (x[i] - *mean) / (double)n;
    *std = sqrt(*std);
    free(x);
}

/* 60000 draws: the mean of them is within 5 of its deviations, std / 245; the deviation within 2
   %. */
static void starts(tg_nn_init init, double mean, double std, double most, int line)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *net = tg_nn_linear(300, 200, .weight = init);
    if (!built(net, t)) return;
    double got[3];
    moments(P(net, 0), &got[0], &got[1], &got[2]);
    cr_expect(fabs(got[0] - mean) <= 5 * std / 245 + 1e-11, "line %d: mean %g, not %g", line,
              got[0], mean);
    cr_expect(fabs(got[1] - std) <= 0.02 * std + 1e-11, "line %d: deviation %g, not %g", line,
              got[1], std);
    cr_expect(got[2] <= most && (most > 1e9 || got[2] >= 0.99 * most), "line %d: %g", line, got[2]);
    tg_nn_free(net);
    tg_tape_free(t);
}
#define STARTS(mean, std, most, ...) starts((tg_nn_init){ __VA_ARGS__ }, mean, std, most, __LINE__)

Test(nn, start_values_have_the_moments_of_their_scheme)
{
    const double third = 1 / sqrt(3), none = 1e10;
    STARTS(0, third / sqrt(300), 1 / sqrt(300), .scheme = TG_INIT_DEFAULT);
    STARTS(0, third, 1, .scheme = TG_INIT_UNIFORM);
    STARTS(2, 2 * third, 4, .scheme = TG_INIT_UNIFORM, .a = 0, .b = 4);
    STARTS(3, 1, none, .scheme = TG_INIT_NORMAL, .a = 3);
    STARTS(0, 0.02, none, .scheme = TG_INIT_NORMAL, .b = 0.02);
    STARTS(0, sqrt(2 / 500.0), sqrt(6 / 500.0), .scheme = TG_INIT_XAVIER_UNIFORM);
    STARTS(0, 2 * sqrt(2 / 500.0), none, .scheme = TG_INIT_XAVIER_NORMAL, .gain = 2);
    STARTS(0, sqrt(2 / 300.0), sqrt(6 / 300.0), .scheme = TG_INIT_KAIMING_UNIFORM);
    STARTS(0, 1 / sqrt(300), none, .scheme = TG_INIT_KAIMING_NORMAL, .gain = 1);
    STARTS(0, 0, 0, .scheme = TG_INIT_ZEROS);
    STARTS(1, 0, 1, .scheme = TG_INIT_ONES);
    STARTS(2.5, 0, 2.5, .scheme = TG_INIT_CONSTANT, .a = 2.5);
}

Test(nn, every_layer_starts_as_its_description_says)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *net = tg_nn_sequential(tg_nn_conv2d(8, 50, 5, .groups = 2), tg_nn_embedding(100, 60),
                                  tg_nn_position(100, 60), tg_nn_lstm(30, 25),
                                  tg_nn_attention(60, 2), tg_nn_layer_norm(3));
    if (!built(net, t)) return;
    const struct {
        const char *name;
        double std;
    } wanted[] = { { "net.0.weight", 1 / sqrt(300) },
                   { "net.0.bias", 1 / sqrt(300) },
                   { "net.1.weight", 1 },
                   { "net.2.weight", 0.02 },
                   { "net.3.weight_x", 1 / sqrt(75) },
                   { "net.3.weight_h", 1 / sqrt(75) },
                   { "net.3.bias_h", 1 / sqrt(75) },
                   { "net.4.qkv.weight", sqrt(2 / 240.0) },
                   { "net.4.out.weight", 1 / sqrt(180) },
                   { "net.4.qkv.bias", 0 },
                   { "net.5.weight", 0 } };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        double mean, std, most;
        moments(tg_nn_parameter(net, wanted[i].name), &mean, &std, &most);
        const double bound = tg_size(tg_nn_parameter(net, wanted[i].name)) < 1000 ? 0.25 : 0.06;
        const double std_wanted = i == 0 || i == 1 ? 1 / sqrt(100) / sqrt(3) : wanted[i].std;
        cr_expect(fabs(std - std_wanted) <= bound * std_wanted, "%s: %g, not %g", wanted[i].name,
                  std, std_wanted);
    }
    tg_nn_free(net);
    tg_tape_free(t);
}

Test(nn, a_start_follows_from_seed_and_path_alone)
{
    double a[6], b[6];
    tg_tape *t = tg_tape_new(NULL), *u = tg_tape_new(&(tg_tape_options){ .type = TG_F32 });
    tg_nn *one = tg_nn_sequential(tg_nn_linear(2, 3), tg_nn_linear(3, 2));
    tg_nn *two = tg_nn_sequential(tg_nn_linear(5, 2), tg_nn_linear(3, 2), tg_nn_linear(2, 9));
    tg_nn *other = tg_nn_sequential(tg_nn_linear(5, 2), tg_nn_linear(3, 2));
    cr_assert(tg_nn_build(one, t, &(tg_nn_options){ .seed = 1, .name = "one" }));
    cr_assert(tg_nn_build(two, u, &(tg_nn_options){ .seed = 1, .name = "two" }));
    cr_assert(tg_nn_build(other, t, &(tg_nn_options){ .seed = 2 }));
    cr_assert(tg_read(tg_nn_parameter(one, "one.1.weight"), a, 6));
    cr_assert(tg_read(tg_nn_parameter(two, "two.1.weight"), b, 6));
    for (int i = 0; i < 6; i++) cr_expect((float)a[i] == (float)b[i]);
    cr_assert(tg_read(tg_nn_parameter(other, "net.1.weight"), b, 6));
    for (int i = 0; i < 6; i++) cr_expect(a[i] != b[i]);
    tg_nn_free(one);
    tg_nn_free(two);
    tg_nn_free(other);
    tg_tape_free(t);
    tg_tape_free(u);
}

Test(nn, the_build_has_initialisers_for_what_asks_for_none)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *net = tg_nn_sequential(tg_nn_linear(2, 2),
                                  tg_nn_linear(2, 2, .weight = { .scheme = TG_INIT_ZEROS }),
                                  tg_nn_layer_norm(2));
    const tg_nn_init four = { .scheme = TG_INIT_CONSTANT, .a = 4 },
                     five = { .scheme = TG_INIT_CONSTANT, .a = 5 };
    cr_assert(tg_nn_build(net, t, &(tg_nn_options){ .weight = four, .bias = five }));
    const double wanted[] = { 4, 5, 0, 5, 1, 0 };
    for (int i = 0; i < 6; i++) NEAR(tg_data(P(net, i))[1], wanted[i]);
    tg_nn_free(net);
    tg_tape_free(t);
}

/* ---- names, modes, state --------------------------------------------------------------------- */

Test(nn, parameters_have_names_paths_and_an_order)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *net = tg_nn_sequential(tg_nn_linear(2, 3),
                                  tg_nn_named("head", tg_nn_sequential(tg_nn_linear(3, 1))));
    cr_expect(tg_nn_count(net) == 4 && tg_nn_size(net) == 13 && !tg_nn_parameters(net) &&
              !tg_nn_path(net) && !tg_nn_name(net, 0) && !tg_nn_find(net, "net"));
    cr_expect(tg_nn_parameter(net, "net.0.weight").tape == NULL);
    if (!built(net, t)) return;
    const char *const names[] = { "net.0.weight", "net.0.bias", "net.head.0.weight",
                                  "net.head.0.bias" };
    for (int i = 0; i < 4; i++) {
        cr_expect(strcmp(tg_nn_name(net, i), names[i]) == 0);
        cr_expect(strcmp(tg_name_of(P(net, i)), names[i]) == 0);
        cr_expect(tg_nn_parameter(net, names[i]).id == P(net, i).id);
    }
    cr_expect(!tg_nn_name(net, 4) && !tg_nn_name(net, -1));
    tg_nn *const head = tg_nn_find(net, "net.head");
    cr_expect(head == tg_nn_layer(net, 1) && !tg_nn_find(net, "net.tail") && !tg_nn_layer(net, 2));
    cr_expect(strcmp(tg_nn_kind(head), "sequential") == 0 &&
              strcmp(tg_nn_path(head), "net.head") == 0);
    cr_expect(tg_nn_layers(net) == 2 && tg_nn_count(head) == 2 &&
              tg_nn_parameters(head)[0].id == P(net, 2).id);
    tg_nn_free(head);
    cr_expect(tg_nn_layer(net, 1) == head, "a layer inside is not freed by itself");
    tg_nn_free(net);
    tg_tape_free(t);
}

static double *state(tg_nn *net, const char *wanted)
{
    const char *name;
    size_t n;
    for (int i = 0;; i++) {
        double *const array = tg_nn_state(net, i, &name, &n);
        if (!array || strcmp(name, wanted) == 0) return array;
    }
}

Test(nn, batch_norm_keeps_running_statistics_and_evaluates_with_them)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *net = tg_nn_batch_norm(2, .momentum = 0.25, .epsilon = 0.01);
    if (!built(net, t)) return;
    stir(net);
    const tg_value x = NOISE(t, 3, 5, 2, 3);
    cr_expect(tg_nn_training(net));
    tg_nn_forward(net, x);
    double mean[2], variance[2];
    tg_read(tg_mean(x, .axes = TG_AXES(0, 2)), mean, 2);
    tg_read(tg_var(x, .axes = TG_AXES(0, 2)), variance, 2);
    for (int i = 0; i < 2; i++) {
        NEAR(state(net, "net.running_mean")[i], 0.25 * mean[i]);
        NEAR(state(net, "net.running_variance")[i], 0.75 + 0.25 * variance[i]);
    }
    tg_nn_train(net, false);
    cr_expect(!tg_nn_training(net));
    const double *m = state(net, "net.running_mean"), *v = state(net, "net.running_variance");
    const double m0 = m[0];
    const tg_value z =
        tg_div(tg_sub(x, tg_constant(t, m, 2, 1)), tg_sqrt(tg_add(tg_constant(t, v, 2, 1), 0.01)));
    SAME(tg_nn_forward(net, x),
         tg_add(tg_mul(z, tg_reshape(P(net, 0), 2, 1)), tg_reshape(P(net, 1), 2, 1)));
    NEAR(state(net, "net.running_mean")[0], m0);
    tg_nn_free(net);
    tg_tape_free(t);
}

static tg_value failing(tg_nn *l, tg_value x, void *user)
{
    return *(bool *)user ? tg_nn_fail(l, x, "it was told to") : x;
}

Test(nn, a_run_that_fails_leaves_the_state_as_it_was)
{
    tg_tape *t = tg_tape_new(NULL);
    bool fail = true;
    tg_nn *net = tg_nn_sequential(tg_nn_batch_norm(2), tg_nn_dropout(0.5),
                                  tg_nn_custom("last", failing, &fail, NULL, 0));
    if (!built(net, t)) return;
    const tg_value x = NOISE(t, 3, 5, 2);
    cr_expect(!tg_nn_forward(net, x).generation && tg_error_of(t));
    NEAR(*state(net, "net.1.runs"), 0);
    NEAR(*state(net, "net.0.running_mean"), 0);
    tg_error_clear(t);
    fail = false;
    cr_expect(tg_nn_forward(net, x).generation);
    NEAR(*state(net, "net.1.runs"), 1);
    cr_expect(*state(net, "net.0.running_mean") != 0);
    tg_nn_free(net);
    tg_tape_free(t);
}

Test(nn, dropout_drops_in_training_and_others_in_each_run)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *net = tg_nn_sequential(tg_nn_dropout(0.25), tg_nn_dropout(0)),
          *twin = tg_nn_sequential(tg_nn_dropout(0.25));
    if (!built(net, t) || !built(twin, t)) return;
    const tg_value x = tg_ones(t, 1000);
    double a[1000], b[1000], sum = 0;
    tg_read(tg_nn_forward(net, x), a, 1000);
    tg_read(tg_nn_forward(net, x), b, 1000);
    for (int i = 0; i < 1000; i++) sum += a[i] / 1000;
    cr_expect(memcmp(a, b, sizeof a) != 0 && fabs(sum - 1) < 0.1, "%g", sum);
    *state(twin, "net.0.runs") = 1;
    tg_read(tg_nn_forward(twin, x), a, 1000);
    cr_expect(memcmp(a, b, sizeof a) == 0, "the same path, seed and run drop the same");
    tg_nn_train(net, false);
    cr_expect(tg_nn_forward(net, x).id == x.id);
    tg_nn_free(net);
    tg_nn_free(twin);
    tg_tape_free(t);
}

Test(nn, one_build_serves_all_batch_sizes_and_both_types)
{
    for (tg_type type = TG_F64; type <= TG_F32; type++) {
        tg_tape *t = tg_tape_new(&(tg_tape_options){ .type = type });
        tg_nn *net = tg_nn_sequential(tg_nn_conv2d(1, 2, 3), tg_nn_batch_norm(2),
                                      tg_nn_activation("relu"), tg_nn_flatten(), tg_nn_linear(8, 8),
                                      tg_nn_reshape(2, 4), tg_nn_transformer(4, 2, .dropout = 0.1),
                                      tg_nn_lstm(4, 3, .last = true), tg_nn_linear(3, 2));
        if (!built(net, t)) return;
        tg_optimizer *o = tg_adam_new(tg_nn_parameters(net), tg_nn_count(net), NULL);
        const tg_mark mark = tg_tape_mark(t);
        for (int64_t n = 1; n <= 7; n += 3) {
            const tg_value y = tg_nn_forward(net, NOISE(t, 1, n, 1, 4, 4));
            cr_expect(tg_dim(y, 0) == n && tg_dim(y, 1) == 2 && tg_type_of(y) == type);
            cr_expect(tg_backward(tg_mean(tg_square(y))) && tg_step(o), "%s",
                      tg_optimizer_status(o)->message);
            tg_release(mark);
        }
        tg_optimizer_free(o);
        tg_nn_free(net);
        tg_tape_free(t);
    }
}

Test(nn, values_can_be_bound_as_parameters)
{
    tg_tape *t = tg_tape_new(NULL), *u = tg_tape_new(NULL);
    tg_nn *net = tg_nn_linear(2, 1);
    const tg_value w[] = { tg_param(t, ((double[]){ 2, 3 }), 1, 2),
                           tg_param(t, ((double[]){ 4 }), 1) };
    cr_assert(tg_nn_bind(net, w, 2), "%s", tg_nn_status(net)->message);
    cr_expect(strcmp(tg_nn_name(net, 0), "net.weight") == 0);
    NEAR(tg_item(tg_nn_forward(net, tg_ones(t, 1, 2))), 9);
    const tg_value other[] = { tg_ones(u, 1, 2), tg_ones(u, 1) }, mixed[] = { w[0], other[1] },
                   large[] = { tg_ones(u, 2, 2), other[1] },
                   whole[] = { tg_index(u, ((const int[]){ 1, 1 }), 1, 2), other[1] };
    cr_expect(!tg_nn_bind(net, w, 1) &&
              strstr(tg_nn_status(net)->message, "1 values given, the net has 2"));
    cr_expect(!tg_nn_bind(net, mixed, 2) &&
              strstr(tg_nn_status(net)->message, "net.bias: a value of another tape"));
    cr_expect(!tg_nn_bind(net, large, 2) &&
              strstr(tg_nn_status(net)->message,
                     "net.weight has shape (1, 2): it cannot be a value of shape (2, 2)"));
    cr_expect(!tg_nn_bind(net, whole, 2) && strstr(tg_nn_status(net)->message, "integers"));
    NEAR(tg_item(tg_nn_forward(net, tg_ones(t, 1, 2))), 9);
    cr_expect(tg_nn_bind(net, other, 2));
    NEAR(tg_item(tg_nn_forward(net, tg_ones(u, 1, 2))), 3);
    tg_nn *inside = tg_nn_linear(1, 1), *outer = tg_nn_sequential(inside);
    cr_expect(!tg_nn_bind(inside, w, 2) && !tg_nn_bind(NULL, w, 2));
    cr_expect(!tg_nn_bind(outer, w, 2) && !tg_nn_parameters(outer));
    tg_nn_free(outer);
    tg_nn_free(net);
    tg_tape_free(t);
    tg_tape_free(u);
}

Test(nn, the_summary_is_a_table_of_the_layers)
{
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *net =
        tg_nn_sequential(tg_nn_linear(4, 3), tg_nn_batch_norm(3), tg_nn_activation("tanh"));
    if (!built(net, t)) return;
    const tg_value x = NOISE(t, 1, 5, 4);
    const size_t before = tg_stats(t).instructions;
    char text[2000] = "";
    FILE *f = fmemopen(text, sizeof text, "w");
    cr_assert(f && tg_nn_summary(net, f, x));
    fclose(f);
    const char *const wanted = "layer  kind          output               parameters\n"
                               "net    sequential    (5, 3)                        0\n"
                               "net.0  linear        (5, 3)                       15\n"
                               "net.1  batch_norm    (5, 3)                        6\n"
                               "net.2  activation    (5, 3)                        0\n"
                               "4 tensors, 21 parameters\n";
    cr_expect(strcmp(text, wanted) == 0, "%s", text);
    cr_expect(tg_stats(t).instructions == before && *state(net, "net.1.running_mean") == 0);
    f = fmemopen(text, sizeof text, "w");
    cr_expect(tg_nn_summary(net, f, (tg_value){ 0 }));
    fclose(f);
    cr_expect(!strstr(text, "(5, 3)") && strstr(text, "net.1  batch_norm "));
    cr_expect(!tg_nn_summary(NULL, stdout, x) && !tg_nn_summary(net, NULL, x));
    cr_expect(!tg_nn_summary(net, stderr, NOISE(t, 1, 5, 5)));
    tg_nn_free(net);
    tg_tape_free(t);
}

/* ---- mistakes -------------------------------------------------------------------------------- */

/* The build of a net that makes no sense says so, with all the words of text in order. */
static void refused(tg_nn *net, const char *text, int line)
{
    tg_tape *t = tg_tape_new(NULL);
    cr_expect(!tg_nn_build(net, t, NULL), "line %d: built", line);
    const tg_status *const s = tg_nn_status(net);
    cr_expect(s->code != TG_OK && strstr(s->message, text), "line %d: \"%s\" is not \"...%s...\"",
              line, s->message, text);
    cr_expect(tg_stats(t).instructions == 0 && !tg_nn_parameters(net) && !tg_nn_path(net));
    tg_nn_free(net);
    tg_tape_free(t);
}
#define REFUSED(net, text) refused(net, text, __LINE__)

/* Long as a table is: one call for each mistake. */
Test(nn, mistakes_in_making_are_reported_by_the_build_with_their_path)
{
    REFUSED(tg_nn_sequential(tg_nn_linear(2, 2), tg_nn_linear(0, 2)),
            "net.1 (linear): in is 0: it must be at least 1");
    REFUSED(tg_nn_linear(2, -1), "net (linear): out is -1");
    REFUSED(tg_nn_linear((int64_t)1 << 40, (int64_t)1 << 40),
            "weight has an axis shorter than 1, or too many");
    REFUSED(tg_nn_sequential(tg_nn_linear(1, 1), NULL),
            "net (sequential): layer 1 is NULL: there was no memory");
    REFUSED(tg_nn_sequential_new(NULL, 2), "2 layers given, in a list that is NULL");
    tg_nn *twice = tg_nn_linear(1, 1);
    REFUSED(tg_nn_sequential(twice, twice), "layer 1 (linear) belongs to another layer already");
    REFUSED(tg_nn_sequential(tg_nn_named("a", tg_nn_flatten()), tg_nn_named("a", tg_nn_flatten())),
            "net.a (flatten): something else is called so");
    REFUSED(tg_nn_named("a.b", tg_nn_flatten()), "\"a.b\" is no name for a layer");
    REFUSED(tg_nn_named(NULL, tg_nn_flatten()), "\"NULL\" is no name");
    REFUSED(tg_nn_sequential(tg_nn_activation("tahn")),
            "net.0 (activation): there is no operation named tahn");
    REFUSED(tg_nn_activation(NULL), "no operation named NULL");
    REFUSED(tg_nn_activation("embedding"), "embedding is no operation of one to 3 operands");
    char text[200];
    memset(text, ' ', sizeof text);
    text[199] = 0;
    REFUSED(tg_nn_activation("softmax", .attributes = text), "199 characters");
    REFUSED(tg_nn_conv2d(3, 4, 3, .groups = 2), "3 and 4 channels cannot be made 2 groups");
    REFUSED(tg_nn_conv2d(3, 4, 0), "kernel is 0");
    REFUSED(tg_nn_conv2d(0, 4, 1), "in is 0");
    REFUSED(tg_nn_conv2d(3, 4, 1, .stride = -1), "stride is -1");
    REFUSED(tg_nn_conv2d(3, 4, 1, .padding = -1), "padding is -1");
    REFUSED(tg_nn_conv2d(3, 4, 1, .dilations = TG_AXES(1, 0)), "dilation is 0");
    REFUSED(tg_nn_conv1d(3, 4, 1, .strides = TG_AXES(1, 2)),
            "strides has 2 numbers, there are 1 axes");
    REFUSED(tg_nn_max_pool2d(0), "kernel is 0");
    REFUSED(tg_nn_max_pool2d(2, .stride = -2), "stride is -2");
    REFUSED(tg_nn_avg_pool2d(2, .padding = 2), "padding is 2: 0 to 1");
    REFUSED(tg_nn_reshape(2, -1), "none of them negative");
    REFUSED(tg_nn_dropout(1.5), "p is 1.5, which is no probability");
    REFUSED(tg_nn_dropout((double)NAN), "no probability");
    REFUSED(tg_nn_embedding(0, 2), "the number of rows is 0");
    REFUSED(tg_nn_position(3, 0), "d is 0");
    REFUSED(tg_nn_layer_norm(0), "d is 0");
    REFUSED(tg_nn_batch_norm(-3), "the number of channels is -3");
    REFUSED(tg_nn_layer_norm(3, .epsilon = -1), "epsilon is -1");
    REFUSED(tg_nn_batch_norm(3, .momentum = 2), "momentum is 2");
    REFUSED(tg_nn_group_norm(2, 3), "3 channels cannot be made 2 groups");
    REFUSED(tg_nn_lstm(0, 3), "in is 0");
    REFUSED(tg_nn_gru(3, 0), "hidden is 0");
    REFUSED(tg_nn_lstm(1, INT64_MAX), "hidden is 9223372036854775807: too many");
    REFUSED(tg_nn_attention(6, 4), "d, 6, cannot be divided among 4 heads");
    REFUSED(tg_nn_attention(6, 0), "heads is 0");
    REFUSED(tg_nn_attention(-6, 2), "d is -6");
    REFUSED(tg_nn_transformer(0, 2), "(layer_norm): d is 0");
    REFUSED(tg_nn_transformer(4, 2, .activation = "none"),
            "net.mlp.activation (activation): there is no operation named none");
    REFUSED(tg_nn_custom("mine", NULL, NULL, NULL, 0), "net (mine): the function is NULL");
    REFUSED(tg_nn_linear(1, 1, .weight = { .scheme = (tg_nn_scheme)99 }),
            "weight: there is no such initialiser");
    REFUSED(tg_nn_linear(1, 1, .bias = { .scheme = TG_INIT_UNIFORM, .a = 2, .b = 1 }),
            "bias: an initialiser's lower bound");
    REFUSED(tg_nn_linear(1, 1, .bias = { .scheme = TG_INIT_NORMAL, .b = -1 }),
            "standard deviation is negative");
    REFUSED(tg_nn_linear(1, 1, .bias = { .scheme = TG_INIT_CONSTANT, .a = (double)INFINITY }),
            "not finite");
    const tg_nn_init none = { .scheme = TG_INIT_DEFAULT };
    const int64_t two[] = { 2 };
    REFUSED(tg_nn_with(tg_nn_linear(1, 1), "weight", none, two, 1),
            "\"weight\" is no name for a parameter, or taken");
    REFUSED(tg_nn_with(tg_nn_linear(1, 1), "a.b", none, two, 1), "\"a.b\" is no name");
    REFUSED(tg_nn_with(tg_nn_linear(1, 1), "a", none, two, 9), "a: 9 axes");
    REFUSED(tg_nn_with(tg_nn_sequential(tg_nn_linear(1, 1)), "0", none, two, 1),
            "net.0 (linear): something else is called so");
}

Test(nn, a_build_says_what_keeps_it_from_building)
{
    tg_tape *t = tg_tape_new(NULL), *bad = tg_tape_new(NULL),
            *tight = tg_tape_new(&(tg_tape_options){ .max_bytes = 100000 });
    tg_nn *inside = tg_nn_linear(1, 1), *net = tg_nn_sequential(inside, tg_nn_linear(200, 200));
    tg_sum(tg_reshape(tg_ones(bad, 2), 3));
    const tg_nn_init wrong = { .scheme = (tg_nn_scheme)99 };
    const struct {
        tg_nn *net;
        tg_tape *tape;
        tg_nn_options options;
        const char *text;
    } cases[] = {
        { inside, t, { 0 }, "the layer belongs to another: build the outermost" },
        { net, NULL, { 0 }, "the tape is NULL" },
        { net, bad, { 0 }, "the tape has an error: " },
        { net, t, { .name = "a.b" }, "\"a.b\" is no name for a net" },
        { net, t, { .weight = wrong }, "options.weight: there is no such initialiser" },
        { net, t, { .bias = wrong }, "options.bias: there is no such initialiser" },
        { net, tight, { 0 }, "net.1.weight: leaf: no memory for a leaf of shape (200, 200)" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cr_expect(!tg_nn_build(cases[i].net, cases[i].tape, &cases[i].options));
        cr_expect(strstr(tg_nn_status(cases[i].net)->message, cases[i].text), "%s",
                  tg_nn_status(cases[i].net)->message);
    }
    cr_expect(tg_stats(t).instructions == 0);
    if (!built(net, t)) return;
    cr_expect(!tg_nn_build(net, t, NULL) &&
              strstr(tg_nn_status(net)->message, "net is built already"));
    cr_expect(tg_nn_with(net, "late", wrong, NULL, 0) == net &&
              strstr(tg_nn_status(net)->message, "net: parameters are added before the build"));
    tg_nn *outer = tg_nn_sequential(net);
    cr_expect(!tg_nn_build(outer, t, NULL) &&
              strstr(tg_nn_status(outer)->message, "layer 0 (sequential) is built already"));
    cr_expect(!tg_nn_build(NULL, t, NULL) && tg_nn_status(NULL)->code == TG_ERROR_MEMORY);
    tg_nn_free(outer);
    tg_nn_free(net);
    tg_nn_free(NULL);
    tg_tape_free(t);
    tg_tape_free(bad);
    tg_tape_free(tight);
}

static void fails_with(tg_tape *t, tg_value y, const char *text, int line)
{
    const tg_error *const e = tg_error_of(t);
    cr_expect(!y.generation && e && strstr(e->message, text), "line %d: \"%s\" is not \"...%s...\"",
              line, e ? e->message : "no error", text);
    tg_error_clear(t);
}

/* A layer, alone in a net, at normal numbers of a shape. */
#define FAILS(layer, text, ...)                                                                    \
    do {                                                                                           \
        tg_nn *const l_ = tg_nn_sequential(layer);                                                 \
        if (!built(l_, t)) break;                                                                  \
        fails_with(t, tg_nn_forward(l_, NOISE(t, 1, __VA_ARGS__)), text, __LINE__);                \
        tg_nn_free(l_);                                                                            \
    } while (0)

Test(nn, inputs_that_do_not_fit_are_errors_of_the_tape_with_the_path)
{
    tg_tape *t = tg_tape_new(NULL);
    FAILS(tg_nn_linear(3, 2), "nn: net.0 (linear): x has shape (2, 4): it takes (..., 3)", 2, 4);
    FAILS(tg_nn_conv2d(2, 1, 3), "x has shape (2, 3, 5, 5): it takes (n, 2, h, w)", 2, 3, 5, 5);
    FAILS(tg_nn_conv2d(2, 1, 3), "it takes axis 3 of length 3 or more", 1, 2, 5, 2);
    FAILS(tg_nn_conv1d(2, 1, 3), "it takes (n, 2, length)", 2, 2);
    FAILS(tg_nn_max_pool2d(3), "it takes (..., h, w), where h and w are at least 3", 2, 2);
    FAILS(tg_nn_flatten(), "it takes (n, ...)", 2);
    FAILS(tg_nn_reshape(2, 2), "it takes (n, ...), with 4 elements for each of n samples", 2, 3);
    FAILS(tg_nn_embedding(3, 2), "net.0 (embedding): x has numbers: it takes an index tensor", 2,
          3);
    FAILS(tg_nn_position(3, 2), "it takes (..., t, 2), where t is at most 3", 4, 2);
    FAILS(tg_nn_layer_norm(3), "it takes (..., 3)", 4, 2);
    FAILS(tg_nn_batch_norm(3), "it takes (n, 3, ...)", 4, 2);
    FAILS(tg_nn_batch_norm(3), "more than one element of each channel in training", 1, 3);
    FAILS(tg_nn_rms_norm(3), "it takes (..., 3)", 2);
    FAILS(tg_nn_group_norm(1, 3), "it takes (n, 3, ...)", 3);
    FAILS(tg_nn_lstm(3, 2), "it takes (n, t, 3), where t is at least 1", 3, 3);
    FAILS(tg_nn_attention(4, 2), "it takes (n, t, 4)", 3, 4);
    FAILS(tg_nn_residual(tg_nn_linear(3, 2)),
          "net.0 (residual): x has shape (2, 3): it takes what its layers give back", 2, 3);
    FAILS(tg_nn_activation("softmax", .attributes = "axes=0"), "softargmax: ", 2, 3);

    tg_nn *layers[] = { tg_nn_linear(1, 1),       tg_nn_conv1d(1, 1, 1), tg_nn_max_pool2d(1),
                        tg_nn_activation("tanh"), tg_nn_dropout(0.5),    tg_nn_position(1, 1),
                        tg_nn_layer_norm(1),      tg_nn_rms_norm(1),     tg_nn_group_norm(1, 1),
                        tg_nn_batch_norm(1),      tg_nn_gru(1, 1),       tg_nn_attention(1, 1) };
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        if (!built(layers[i], t)) return;
        fails_with(t, tg_nn_forward(layers[i], tg_index(t, (const int[]){ 1 }, 1, 1)),
                   "x is an index tensor", __LINE__);
        tg_nn_free(layers[i]);
    }
    tg_tape_free(t);
}

Test(nn, other_wrong_uses_are_errors_too)
{
    tg_tape *t = tg_tape_new(NULL), *u = tg_tape_new(NULL);
    tg_nn *net = tg_nn_lstm(3, 2), *bare = tg_nn_linear(3, 2), *flat = tg_nn_flatten();
    if (!built(net, t) || !built(flat, t)) return;
    const tg_value x = NOISE(t, 1, 4, 2, 3), row = NOISE(t, 1, 4, 3), y = NOISE(u, 1, 4, 2, 3);
    tg_nn_carry carry = { .h = row }, none = { 0 };
    fails_with(t, tg_nn_forward(bare, x),
               "a net that is not built (linear): it has no parameters yet", __LINE__);
    fails_with(t, tg_nn_forward(NULL, x), "nn: a layer that is NULL failed", __LINE__);
    fails_with(u, tg_nn_forward(net, y), "net (lstm): x is on another tape than the parameters",
               __LINE__);
    fails_with(t, tg_nn_sequence(net, x, &carry), "the state has another shape than (4, 2)",
               __LINE__);
    fails_with(t, tg_nn_step(net, x, &none), "it takes (n, 3)", __LINE__);
    fails_with(t, tg_nn_step(net, row, NULL), "the state is NULL", __LINE__);
    fails_with(t, tg_nn_step(flat, row, &none), "it is no recurrent layer", __LINE__);
    fails_with(t, tg_nn_step(NULL, row, &none), "a layer that is NULL", __LINE__);
    const tg_value line = tg_nn_forward(net, row);
    cr_expect(strstr(tg_error_of(t)->message, "test_nn.c:"), "%s", tg_error_of(t)->message);
    const tg_error before = *tg_error_of(t);
    cr_expect(!tg_nn_forward(net, line).generation && tg_error_of(t)->line == before.line,
              "the first stays");
    tg_error_clear(t);
    const tg_mark mark = tg_tape_mark(t);
    const tg_value gone = NOISE(t, 1, 4, 2, 3);
    tg_release(mark);
    fails_with(t, tg_nn_forward(net, gone), "", __LINE__);
    cr_expect(tg_nn_forward(flat, y).generation, "a net without parameters is of no tape");
    tg_nn_free(net);
    tg_nn_free(bare);
    tg_nn_free(flat);
    tg_tape_free(t);
    tg_tape_free(u);
}
