/* digits: handwritten digits, from softmax regression to a small convolutional network.

   x is an image as a vector of p pixels, W is (c, p) for c classes:
       z = W x + b,  a = softmax(z),  L = -log a_y
   which is one linear layer, learned one image at a time, as in the lecture, and in minibatches; then c independent sigmoids,
   which need not agree on one digit; then a network of two hidden layers; then one of
   convolutions. A third of the images, chosen by --seed, is kept for the test. Settings were chosen
   with --validate, which keeps that third closed and tests on a part of the others.

   Before training, the gradients of all models are checked; and it is shown that the gradient
   dL/dz = a - onehot(y) is the product of dL/da with the (c, c) Jacobian of softmax. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/cli.h"
#include "common/data.h"
#include "common/picture.h"

#include <tapegrad.h>
#include <tapegrad/data.h>
#include <tapegrad/nn.h>
#include <tapegrad/optim.h>
#include <tapegrad/short.h>

/* ---- settings -------------------------------------------------------------------------------- */

static const char *const choices[] = { "all", "softmax", "sigmoids", "mlp", "conv", NULL };

typedef struct settings {
    int choice, epochs, seeds;
    bool validate, require;
    uint64_t seed;
    const char *digits, *mnist, *output;
} settings;

static settings read_settings(int argc, char **argv)
{
    settings s = { .seed = 1, .seeds = 1, .digits = DIGITS, .output = "digits.png" };
    const cli_option options[] = {
        { 'm', "model", "MODEL", "What learns", .choice = &s.choice, .among = choices },
        { 'i', "digits", "FILE", "The digits (default: those of the examples)",
          .text = &s.digits },
        { 'd', "mnist", "FOLDER", "Learn MNIST, whose four files are in this folder",
          .text = &s.mnist },
        { 'e', "epochs", "N",
          "Passes over the training images (default: each model's own; with --mnist a tenth)",
          .whole = &s.epochs, .lo = 1, .hi = 100000 },
        { 's', "seed", "SEED", "Of the split, the first weights, the order", .seed = &s.seed },
        { 'n', "seeds", "N", "Train with so many seeds, from --seed on",
          .whole = &s.seeds, .lo = 1, .hi = 1000 },
        { 'v', "validate", NULL, "Test on a quarter of the training images, for choosing settings",
          .flag = &s.validate },
        { 'o', "output", "FILE", "A picture, .png or .svg", .text = &s.output },
        { 'q', "require", NULL,
          "Fail if a test accuracy is below 0.95 (softmax), 0.97 (mlp), 0.98 (conv)",
          .flag = &s.require },
        { 0 },
    };
    cli_parse(argc, argv,
              "Learns handwritten digits by softmax regression, independent sigmoids, a network of "
              "two hidden layers, and one of convolutions.",
              options);
    return s;
}

/* ---- models ---------------------------------------------------------------------------------- */

enum { INSTANCE, SOFTMAX, SIGMOIDS, MLP, CONV, MODELS };

/* What the models learn from. */
typedef struct digits {
    int side, classes;
    tg_dataset *train, *test;
} digits;

typedef struct model {
    int kind;
    const digits *data;
    tg_tape *t;
    tg_nn *net;    /* images (n, side^2) to scores z (n, classes) */
    tg_mark start; /* everything of one step lies above */
} model;

/* How a kind of model is trained, and the test accuracy that --require asks of it. */
static const struct kind {
    const char *name;
    int epochs, batch;
    double rate, decay; /* AdamW's; for one image at a time, SGD's */
    double shift;       /* images are moved by up to this part of their side */
    double required;
} kinds[MODELS] = {
    [INSTANCE] = { "softmax, one by one", 60, 1, 0.1, 0, 0, 0.95 },
    [SOFTMAX] = { "softmax", 60, 32, 0.03, 0.01, 0, 0.95 },
    [SIGMOIDS] = { "sigmoids", 60, 32, 0.03, 0.01, 0, 0 },
    [MLP] = { "mlp", 80, 32, 0.003, 0.1, 0.0625, 0.97 },
    [CONV] = { "conv", 30, 32, 0.005, 0.1, 0.0625, 0.98 },
};

static tg_nn *mlp(int pixels, int classes)
{
    return tg_nn_sequential(
        tg_nn_linear(pixels, 128), tg_nn_activation("relu"), tg_nn_dropout(0.2),
        tg_nn_linear(128, 128), tg_nn_activation("relu"), tg_nn_dropout(0.2),
        tg_nn_linear(128, classes));
}

/* Images of 8 by 8 are halved once, larger ones twice. */
static tg_nn *conv(int side, int classes)
{
    const int early = side > 16 ? 2 : 1, left = side / 2 / early;
    return tg_nn_sequential(
        tg_nn_reshape(1, side, side), tg_nn_conv2d(1, 16, 3, .padding = 1),
        tg_nn_activation("relu"), tg_nn_max_pool2d(early), tg_nn_conv2d(16, 32, 3, .padding = 1),
        tg_nn_activation("relu"), tg_nn_max_pool2d(2), tg_nn_flatten(), tg_nn_dropout(0.4),
        tg_nn_linear(32 * left * left, classes));
}

/* What the model makes of its scores: numbers from 0 to 1 for each class. */
static Value outputs_of(const model *m, Value z)
{
    return m->kind == SIGMOIDS ? sigmoid(z) : softmax(z);
}

static Value loss_of(const model *m, Value z, Value y)
{
    if (m->kind != SIGMOIDS) return cross_entropy(z, y);
    const int c = m->data->classes;
    return mul(bce_with_logits(z, one_hot(y, .classes = c)), c);
}

/* Images x (n, side^2), each moved its own way by up to reach pixels, anew in each run; white comes
   in. To move an image by a part of a pixel is to convolve it with a kernel that interpolates. */
static Value moved(const model *m, Value x, double reach, int64_t run)
{
    const int64_t n = tg_dim(x, 0), side = m->data->side;
    const double taps = ceil(reach);
    const Value by = uniform(m->t, (uint64_t)run, -reach, reach, n, 2, 1);
    const Value at = arange(m->t, -taps, taps + 1, 1);
    const Value near = TG_EXPR(relu(1 - abs(at - by)), at, by); /* (n, 2, taps) */
    const Value kernel = TG_EXPR((transpose(near[:, :1]) * near[:, 1:]), near);
    const Value y = conv2d(reshape(x, 1, n, side, side), unsqueeze(kernel, .axis = 1), 0,
                           .padding = (int)taps, .groups = (int)n);
    return reshape(y, n, side * side);
}

static model model_new(int kind, const digits *d, uint64_t seed)
{
    const int pixels = d->side * d->side, c = d->classes;
    model m = { .kind = kind, .data = d };
    m.t = tg_tape_new(&(tg_tape_options){ .type = kind >= MLP ? TG_F32 : TG_F64 });
    m.net = kind == MLP    ? mlp(pixels, c)
            : kind == CONV ? conv(d->side, c)
                           : tg_nn_linear(pixels, c);
    const tg_nn_options start = { .seed = seed, .weight = { .scheme = TG_INIT_KAIMING_NORMAL } };
    if (!m.t) exit(EXIT_FAILURE);
    if (!tg_nn_build(m.net, m.t, &start)) fail("%s", tg_nn_status(m.net)->message);
    m.start = tg_tape_mark(m.t);
    return m;
}

static void model_free(model *m)
{
    tg_nn_free(m->net);
    tg_tape_free(m->t);
}

/* ---- the gradient check ---------------------------------------------------------------------- */

#define CHECKED 2 /* images */

static Value checked_loss(tg_nn *net, tg_tape *t, void *user)
{
    const model *m = user;
    const tg_dataset *d = m->data->train;
    const Value z = tg_nn_forward(net, constant(t, d->x, CHECKED, d->d));
    return loss_of(m, z, index(t, d->label, CHECKED));
}

static void check_model(int kind, const digits *d)
{
    model m = model_new(kind, d, 1);
    printf("%-20s", kinds[kind].name);
    check_net(m.net, checked_loss, &m, kind >= MLP ? 5 : 0);
    model_free(&m);
}

/* Prints dL/dz for L = -log a_y in four ways: a - onehot(y); that by the fused cross_entropy; the
   product of dL/da with the Jacobian of softmax; the engine's sweep through log and softmax. */
static void show_jacobian(const digits *d, uint64_t seed)
{
    enum { MOST = 64 };
    const int c = d->classes, label = d->train->label[0];
    if (c > MOST) return;
    tg_tape *t = tg_tape_new(NULL);
    double J[MOST * MOST], fused[MOST], swept[MOST], product[MOST] = { 0 }, worst = 0;
    const Value z = normal(t, seed, 0, 2, c), y = index(t, &label);
    tg_want_gradient(z, true);
    const Value a = softmax(z), L = neg(log(select(a, .index = label)));
    if (!tg_jacobian(a, &z, 1, J) || !tg_backward(L) || !tg_grad_read(z, swept, (size_t)c))
        exit(EXIT_FAILURE);
    for (int i = 0; i < c; i++)
        for (int j = 0; j < c; j++) product[j] += tg_grad(a)[i] * J[i * c + j];
    if (!tg_backward(cross_entropy(z, y)) || !tg_grad_read(z, fused, (size_t)c)) exit(EXIT_FAILURE);

    printf("\ndL/dz for random scores z and y = %d:\n%20s%12s%20s%12s\n", label, "a - onehot(y)",
           "fused", "dL/da times (c, c)", "swept");
    for (int j = 0; j < c; j++) {
        const double exact = tg_data(a)[j] - (j == label);
        printf("%20.12f%12.6f%20.12f%12.6f\n", exact, fused[j], product[j], swept[j]);
        worst = fmax(worst, fabs(fused[j] - exact));
        worst = fmax(worst, fabs(product[j] - exact));
        worst = fmax(worst, fabs(swept[j] - exact));
    }
    printf("the largest difference is %.1e\n\n", worst);
    check_figure("the difference between four ways to dL/dz", worst, 0, 1e-15);
    tg_tape_free(t);
}

/* ---- training -------------------------------------------------------------------------------- */

/* A model's outputs for a data set. */
typedef struct answers {
    double *output; /* (n, classes) */
    int *digit;     /* (n) the class with the highest */
    double accuracy;
} answers;

static answers answers_new(model *m, const tg_dataset *d)
{
    enum { ROWS = 256 };
    const int c = m->data->classes;
    answers a = { allocate((size_t)(d->n * c), sizeof(double)), allocate((size_t)d->n, sizeof(int)),
                  0 };
    tg_nn_train(m->net, false);
    for (int64_t i = 0; i < d->n; i += ROWS) {
        const int64_t n = d->n - i < ROWS ? d->n - i : ROWS;
        tg_no_grad_begin(m->t);
        const Value x = input(m->t, d->x + i * d->d, n, d->d);
        const Value y = outputs_of(m, tg_nn_forward(m->net, x));
        tg_no_grad_end(m->t);
        if (!tg_read(y, a.output + i * c, (size_t)(n * c))) exit(EXIT_FAILURE);
        const int64_t *best = tg_data_i64(argmax(y, .axis = 1));
        for (int64_t k = 0; k < n; k++) a.digit[i + k] = (int)best[k];
        tg_release(m->start);
    }
    tg_nn_train(m->net, true);
    for (int64_t i = 0; i < d->n; i++) a.accuracy += a.digit[i] == d->label[i];
    a.accuracy /= (double)d->n;
    return a;
}

static void answers_free(answers a)
{
    free(a.output);
    free(a.digit);
}

/* A model that was trained; mistakes are the shares of the test images after each epoch. */
typedef struct trained {
    model m;
    int epochs;
    double *mistakes, seconds, step;
    answers train, test;
} trained;

static tg_optimizer *optimizer_new(const model *m, const struct kind *k)
{
    const tg_value *p = tg_nn_parameters(m->net);
    const int n = tg_nn_count(m->net);
    if (m->kind == INSTANCE) return tg_sgd_new(p, n, &(tg_sgd_options){ .lr = k->rate });
    return tg_adamw_new(p, n, &(tg_adam_options){ .lr = k->rate, .weight_decay = k->decay });
}

/* One minibatch, or one image: forward, backward, a step. Returns its loss. */
static double train_on(model *m, const tg_batch *b, tg_optimizer *o)
{
    const double reach = kinds[m->kind].shift * m->data->side;
    const Value x = input(m->t, b->x, b->n, m->data->train->d);
    const Value z = tg_nn_forward(m->net, reach > 0 ? moved(m, x, reach, tg_steps(o)) : x);
    const Value loss = loss_of(m, z, index(m->t, b->label, b->n));
    const double value = tg_item(loss);
    if (!tg_backward(loss)) exit(EXIT_FAILURE);
    if (!tg_step(o)) fail("%s", tg_optimizer_status(o)->message);
    tg_release(m->start);
    return value;
}

static trained train(model m, int epochs, uint64_t seed)
{
    const struct kind *k = &kinds[m.kind];
    trained r = { .epochs = epochs, .mistakes = allocate((size_t)epochs, sizeof(double)) };
    tg_batches *batches = batches_new(m.data->train, k->batch, seed);
    tg_optimizer *o = optimizer_new(&m, k);
    const int64_t total = epochs * tg_batches_count(batches);
    tg_meter bar = tg_meter_start(stdout, total);
    for (int epoch = 0; epoch < epochs; epoch++) {
        double mean = 0;
        tg_batches_start(batches, epoch, 0);
        const tg_meter clock = tg_meter_start(NULL, 1);
        for (const tg_batch *b; (b = tg_batches_next(batches));) {
            tg_set_learning_rate(o, tg_lr_cosine(k->rate, 0, total, tg_steps(o)));
            mean += (train_on(&m, b, o) - mean) / (double)(b->number + 1);
            tg_meter_show(&bar, tg_steps(o), "%s  loss %.4f", k->name, mean);
        }
        r.seconds += tg_meter_end(&clock);
        const answers a = answers_new(&m, m.data->test);
        r.mistakes[epoch] = 1 - a.accuracy;
        answers_free(a);
    }
    tg_meter_end(&bar);
    tg_optimizer_free(o);
    tg_batches_free(batches);
    r.m = m;
    r.train = answers_new(&m, m.data->train);
    r.test = answers_new(&m, m.data->test);
    r.step = r.seconds / (double)total;
    return r;
}

static void trained_free(trained *r)
{
    free(r->mistakes);
    answers_free(r->train);
    answers_free(r->test);
    model_free(&r->m);
}

/* ---- coordinated outputs --------------------------------------------------------------------- */

static double sum_of(const trained *r, int64_t i)
{
    const int c = r->m.data->classes;
    double sum = 0;
    for (int k = 0; k < c; k++) sum += r->test.output[i * c + k];
    return sum;
}

/* What a softmax cannot do and independent sigmoids do: claim no digit, or several. */
static void print_sums(const trained *r)
{
    const tg_dataset *d = r->m.data->test;
    int64_t least = 0, most = 0, near = 0;
    double mean = 0;
    for (int64_t i = 0; i < d->n; i++) {
        const double sum = sum_of(r, i);
        if (sum < sum_of(r, least)) least = i;
        if (sum > sum_of(r, most)) most = i;
        near += fabs(sum - 1) < 0.1;
        mean += sum / (double)d->n;
    }
    printf("%-10s sum of outputs: mean %.4f, within 0.1 of 1 for %.1f %% of the test digits\n",
           kinds[r->m.kind].name, mean, 100 * (double)near / (double)d->n);
    const int64_t extreme[] = { least, most };
    for (int e = 0; e < 2; e++) {
        printf("  %-6s %.4f, a %d:", e ? "most" : "least", sum_of(r, extreme[e]),
               d->label[extreme[e]]);
        for (int k = 0; k < d->classes; k++)
            printf(" %.3f", r->test.output[extreme[e] * d->classes + k]);
        printf("\n");
    }
}

/* ---- the picture ----------------------------------------------------------------------------- */

static void draw_learning(tg_plot *picture, const trained *all)
{
    tg_plot_panel(
        picture,
        &(tg_plot_axes){
            .title = "mistakes on test digits", .x = "epoch", .y = "share", .y0 = 0, .y1 = 0.15 });
    for (int k = 0; k < MODELS; k++)
        if (all[k].epochs)
            tg_plot_line(picture, all[k].epochs, NULL, all[k].mistakes,
                         &(tg_plot_style){ .label = kinds[k].name, .colour = tg_colour(k) });
}

static void draw_confusion(tg_plot *picture, const trained *r)
{
    const tg_dataset *d = r->m.data->test;
    char title[64];
    snprintf(title, sizeof title, "%s: %.1f %% of %d right", kinds[r->m.kind].name,
             100 * r->test.accuracy, (int)d->n);
    int *count = allocate((size_t)(d->classes * d->classes), sizeof(int));
    for (int64_t i = 0; i < d->n; i++) count[d->label[i] * d->classes + r->test.digit[i]]++;
    tg_plot_panel(picture, &(tg_plot_axes){ .title = title });
    tg_plot_confusion(picture, d->classes, count, NULL);
    free(count);
}

/* By how much a test digit's wrong answer beats the right one. */
static double wrong_by(const trained *r, int64_t i)
{
    const double *a = r->test.output + i * r->m.data->classes;
    return a[r->test.digit[i]] - a[r->m.data->test->label[i]];
}

/* The test digits that the model is most sure about, and wrong. */
static void draw_mistakes(tg_plot *picture, const trained *r)
{
    enum { MOST = 12 };
    const tg_dataset *d = r->m.data->test;
    int64_t worst[MOST + 1];
    int n = 0;
    for (int64_t i = 0; i < d->n; i++) {
        if (r->test.digit[i] == d->label[i]) continue;
        int at = n < MOST ? n++ : MOST;
        for (; at > 0 && wrong_by(r, worst[at - 1]) < wrong_by(r, i); at--)
            worst[at] = worst[at - 1];
        worst[at] = i;
    }
    double *pixel = allocate((size_t)(MOST * d->d), sizeof(double));
    char text[MOST][32];
    const char *label[MOST];
    for (int i = 0; i < n; i++) {
        memcpy(pixel + i * d->d, d->x + worst[i] * d->d, (size_t)d->d * sizeof(double));
        snprintf(text[i], sizeof text[i], "%d → %d", d->label[worst[i]], r->test.digit[worst[i]]);
        label[i] = text[i];
    }
    char title[96];
    snprintf(title, sizeof title, "%s: the worst mistakes (digit → answer)", kinds[r->m.kind].name);
    tg_plot_panel(picture, &(tg_plot_axes){ .title = title });
    const int side = r->m.data->side;
    if (n) tg_plot_images(picture, &(tg_images){ n, side, side, pixel, .label = label });
    free(pixel);
}

/* W, an image for each class: black raises its score, white lowers it. */
static void draw_weights(tg_plot *picture, const trained *r)
{
    static const char *const names[] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" };
    const int side = r->m.data->side, c = r->m.data->classes;
    const Value W = tg_nn_parameters(r->m.net)[0];
    const double reach = 3 * tg_item(std(W));
    char title[96];
    snprintf(title, sizeof title, "%s: W, from %.2f (white) to %.2f (black)", kinds[r->m.kind].name,
             -reach, reach);
    tg_plot_panel(picture, &(tg_plot_axes){ .title = title });
    tg_plot_images(picture, &(tg_images){ c, side, side, tg_data(W), -reach, reach, 4,
                                          c <= 10 ? names : NULL });
}

/* How many test digits have which sum of outputs. */
static void draw_sums(tg_plot *picture, const trained *all)
{
    enum { BINS = 41 };
    tg_plot_panel(picture, &(tg_plot_axes){ .title = "sum of the outputs",
                                            .x = "sum",
                                            .y = "share of test digits",
                                            .x0 = 0,
                                            .x1 = 2,
                                            .y0 = 0,
                                            .y1 = 1 });
    for (int k = SOFTMAX; k <= SIGMOIDS; k++) {
        if (!all[k].epochs) continue;
        const int64_t n = all[k].m.data->test->n;
        double middle[BINS], share[BINS] = { 0 };
        for (int i = 0; i < BINS; i++) middle[i] = 0.05 * i;
        for (int64_t i = 0; i < n; i++)
            share[(int)fmin(round(sum_of(&all[k], i) / 0.05), BINS - 1)] += 1 / (double)n;
        tg_plot_bars(
            picture, BINS, middle, share,
            &(tg_plot_style){ .label = kinds[k].name, .colour = tg_colour(k), .width = 0.04 });
    }
}

/* Above: how the models learned, and the last of them; below, the softmax or the sigmoids. */
static void draw(tg_plot *picture, const trained *all)
{
    const trained *last = NULL, *lowest = NULL;
    for (int k = SOFTMAX; k < MODELS; k++) {
        if (!all[k].epochs) continue;
        last = &all[k];
        if (!lowest) lowest = last;
    }
    draw_learning(picture, all);
    draw_confusion(picture, last);
    draw_mistakes(picture, last);
    if (lowest->m.kind > SIGMOIDS) return;
    draw_weights(picture, lowest);
    draw_sums(picture, all);
    if (lowest == last) return;
    draw_mistakes(picture, lowest);
}

/* ---- all of it ------------------------------------------------------------------------------- */

static bool is_wanted(const settings *s, int kind)
{
    static const int choice_of[MODELS] = { 1, 1, 2, 3, 4 };
    return s->choice == 0 || s->choice == choice_of[kind];
}

static digits digits_new(const settings *s, uint64_t seed)
{
    sets data = s->mnist ? sets_of_mnist(s->mnist) : sets_of_digits(s->digits, 1.0 / 3, seed);
    if (s->validate) {
        tg_dataset_free(data.test);
        data = sets_divide(data.train, 0.25, seed);
    }
    const digits d = { (int)lround(sqrt((double)data.train->d)), data.train->classes, data.train,
                       data.test };
    if (d.side * d.side != d.train->d || d.side % 2 || d.train->n < CHECKED)
        fail("%d images of %d pixels: few, or no squares of an even side", (int)d.train->n,
             (int)d.train->d);
    return d;
}

static void print_results(const settings *s, uint64_t seed, const digits *d, const trained *all)
{
    printf("\nseed %" PRIu64 ": %d images to learn from, %d to %s\n", seed, (int)d->train->n,
           (int)d->test->n, s->validate ? "validate" : "test");
    printf("%-20s%10s%10s%12s%14s%12s\n", "", "numbers", "training",
           s->validate ? "validation" : "test", "one step", "trained");
    for (int k = 0; k < MODELS; k++) {
        if (!all[k].epochs) continue;
        const trained *r = &all[k];
        printf("%-20s%10" PRId64 "%10.4f%12.4f%11.1f us%10.2f s\n", kinds[k].name, tg_nn_size(r->m.net),
               r->train.accuracy, r->test.accuracy, 1e6 * r->step, r->seconds);
    }
}

/* Trains the models that are wanted on one split; draws them if picture is not NULL. */
static void run(const settings *s, uint64_t seed, tg_plot *picture)
{
    const digits d = digits_new(s, seed);
    trained all[MODELS] = { 0 };
    if (seed == s->seed) {
        for (int k = 0; k < MODELS; k++)
            if (is_wanted(s, k)) check_model(k, &d);
        show_jacobian(&d, seed);
    }
    for (int k = 0; k < MODELS; k++) {
        const int usual = s->mnist ? (kinds[k].epochs + 9) / 10 : kinds[k].epochs;
        if (is_wanted(s, k))
            all[k] = train(model_new(k, &d, seed), s->epochs ? s->epochs : usual, seed);
    }
    print_results(s, seed, &d, all);
    for (int k = SOFTMAX; k <= SIGMOIDS; k++)
        if (all[k].epochs) print_sums(&all[k]);
    if (picture) draw(picture, all);
    for (int k = 0; k < MODELS; k++) {
        if (!all[k].epochs) continue;
        if (s->require && all[k].test.accuracy < kinds[k].required)
            fail("%s: the test accuracy %.4f is below %.2f", kinds[k].name, all[k].test.accuracy,
                 kinds[k].required);
        trained_free(&all[k]);
    }
    tg_dataset_free(d.train);
    tg_dataset_free(d.test);
}

int main(int argc, char **argv)
{
    const settings s = read_settings(argc, argv);
    const bool linear = is_wanted(&s, SOFTMAX) || is_wanted(&s, SIGMOIDS);
    tg_plot *picture = picture_new(
        s.output,
        &(tg_plot_options){ .rows = linear ? 2 : 1, .columns = 3, .width = 480, .height = 440 });
    for (int i = 0; i < s.seeds; i++) run(&s, s.seed + (uint64_t)i, i ? NULL : picture);
    picture_write(picture, s.output);
    return EXIT_SUCCESS;
}
