/* Chains with what comes before and after them, and what is kept for gradients: the same numbers with and without,
   the tape's own where a program is strict, and the steps that do it. */
#define _POSIX_C_SOURCE 200809L
#include "passes.h"

static const unsigned passes[] = { TG_CHAIN_SUMS, TG_CHAIN_PRODUCTS, TG_KEEP, TG_CHAINS, TG_WHOLE_BLOCKS,
                                   TG_CHAIN_SUMS | TG_KEEP };
enum { PASSES = sizeof passes / sizeof *passes };

static const tg_compile_options strictly = { .strict = true };

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(chains, .init = quiet);

/* The same by the tape, of one instance. */
static void *recorded(const model *m, tg_type type)
{
    const size_t size = type == TG_F64 ? 8 : 4;
    void *const x = drawn(type, m->n, 3), *const w = drawn(type, m->m, 4);
    char *const y = malloc((size_t)(1 + m->n + m->m) * size);
    tg_tape *const t = recording = tg_tape_new(&(tg_tape_options){ .type = type });
    const Value vx = leaf(t, type, x, m->n, 0), vw = leaf(t, type, w, m->m, m->rows), loss = m->loss(vx, vw);
    cr_assert(tg_backward(loss));
    const void *const from[] = { type == TG_F64 ? (const void *)tg_data(loss) : (const void *)tg_data_f32(loss),
                                 type == TG_F64 ? (const void *)tg_grad(vx) : (const void *)tg_grad_f32(vx),
                                 type == TG_F64 ? (const void *)tg_grad(vw) : (const void *)tg_grad_f32(vw) };
    memcpy(y, from[0], size);
    memcpy(y + size, from[1], size * (size_t)m->n);
    memcpy(y + size * (size_t)(1 + m->n), from[2], size * (size_t)m->m);
    tg_tape_free(t);
    free(x);
    free(w);
    return y;
}

/* A strict program's results are the tape's, bit by bit. */
static void is_the_tape_s(const model *m)
{
    int64_t n;
    double *const strict = results(m, TG_F64, false, 1, &strictly, &n);
    double *const tape = recorded(m, TG_F64);
    agree(TG_F64, strict, tape, n, 0, "strict");
    free(strict);
    free(tape);
}

static void check(const model *m)
{
    static const int64_t counts[] = { 1, 3, 37 };
    for (int f32 = 0; f32 < 2; f32++) {
        const tg_type type = f32 ? TG_F32 : TG_F64;
        const double part = f32 ? 1e-5 : 1e-13;
        check_passes(m, type, false, 1, passes, PASSES, part);
        for (int c = 0; c < 3; c++) check_passes(m, type, true, counts[c], passes, PASSES, part);
        /* Bit by bit, where nothing may round otherwise. */
        for (int varies = 0; varies < 2; varies++) {
            int64_t n;
            const tg_compile_options without = { .strict = true, .without = ~0u };
            void *const expected = results(m, type, varies, 1 + varies, &without, &n);
            void *const got = results(m, type, varies, 1 + varies, &strictly, &n);
            agree(type, got, expected, n, 0, "strict");
            free(expected);
            free(got);
        }
    }
}

/* What is printed only with a pass. */
static void shows(const model *m, bool varies, unsigned pass, const char *what)
{
    cr_assert(prints(m, varies, NULL, what), "%s", what);
    cr_assert(!prints(m, varies, &(tg_compile_options){ .without = pass }, what), "without %u: %s", pass, what);
}

/* ---- sums of chains ---------------------------------------------------------------------------------- */

enum { ROWS = 60, ROW = 24, LONG = 5003 };

static Value chain(Value x, Value w)
{
    return mul(exp(mul(x, at(w, 0))), add(square(x), at(w, 1)));
}

static Value of_rows(Value x, Value w)
{
    const Value y = reshape(chain(x, w), ROWS, ROW), z = sub(y, 0.5);
    const Value sums[] = { sum(y, .axis = 1), mean(z, .axis = 1), prod(sigmoid(y), .axis = -1), var(y, .axis = 1),
                           std(z, .axis = 1, .correction = 0), amax(y, .axis = 1), amin(z, .axis = 1),
                           norm(y, .axis = 1), logsumexp(z, .axis = -1, .keep = true) };
    Value total = sum(sums[0]);
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) total = add(total, sum(mul(sums[i], (double)(i + 1))));
    return add(total, sum(logsumexp(y, .axes = TG_AXES(0, 1))));
}

Test(chains, rows_are_reduced_where_they_are_made)
{
    const model m = { of_rows, ROWS * ROW, 2, 0 };
    check(&m);
    for (int varies = 0; varies < 2; varies++) {
        shows(&m, varies, TG_CHAIN_SUMS, "| sum of strips");
        shows(&m, varies, TG_CHAINS, "| amax of strips");
    }
    shows(&m, false, TG_CHAIN_SUMS, "| logsumexp of strips");
    cr_assert(prints(&m, true, &strictly, "| var of strips"));
}

static Value of_all(Value x, Value w)
{
    const Value y = chain(x, w), z = tanh(y);
    return add(add(mean(square(y)), sum(z)), add(mul(amax(y), amin(mul(z, at(w, 1)))), logsumexp(sub(y, 1000.0))));
}

Test(chains, long_rows_go_on_from_strip_to_strip)
{
    const model m = { of_all, LONG, 2, 0 };
    check(&m);
    shows(&m, false, TG_CHAIN_SUMS, "| mean of strips");
    shows(&m, true, TG_CHAIN_SUMS, "| amin of strips");
    cr_assert(prints(&m, false, &strictly, "| sum of strips"));
}

/* The gradient's elementwise steps are in the same chain, so that nothing is stored but the gradient. */
static Value of_squares(Value x, Value w)
{
    return sum(square(sub(x, at(w, 0))));
}

Test(chains, what_the_gradient_does_joins)
{
    const model m = { of_squares, LONG, 1, 0 };
    check(&m);
    is_the_tape_s(&m);
    tg_program *const g = compiled(&m, TG_F64, true, NULL);
    char *const text = printed(tg_program_print, g);
    const char *const reduced = strstr(text, "| sum of strips");
    cr_assert(reduced && strstr(reduced + 1, "| "), "%s", text);
    free(text);
    tg_program_free(g);
}

/* The gradient waits for the sum: what is cheap is made again by it, and the exponentials are stored. */
static Value of_square(Value x, Value w)
{
    return square(sum(mul(mul(x, at(w, 0)), exp(x))));
}

Test(chains, cheap_steps_are_done_again)
{
    const model m = { of_square, LONG, 1, 0 };
    check(&m);
    char *text[2];
    int muls[2] = { 0 };
    for (int i = 0; i < 2; i++) {
        tg_program *const g = compiled(&m, TG_F64, true, &(tg_compile_options){ .without = i ? TG_CHAIN_SUMS : 0 });
        text[i] = printed(tg_program_print, g);
        tg_program_free(g);
        for (const char *at = text[i]; (at = strstr(at, "| mul [")); at++) muls[i]++;
    }
    cr_assert(muls[0] > muls[1], "%s%s", text[0], text[1]);
    free(text[0]);
    free(text[1]);
}

static Value of_infinite(Value x, Value w)
{
    const Value far = div(mul(x, at(w, 0)), where(gt(x, 0.9), 0.0, 1.0));
    return add(logsumexp(far), add(amax(far), sum(far)));
}

Test(chains, infinities_stay)
{
    const model m = { of_infinite, LONG, 1, 0 };
    int64_t n;
    double *const got = results(&m, TG_F64, false, 1, NULL, &n),
           *const expected = results(&m, TG_F64, false, 1, &(tg_compile_options){ .without = ~0u }, &n);
    cr_assert((isnan(got[0]) && isnan(expected[0])) || got[0] == expected[0], "%g, not %g", got[0], expected[0]);
    free(got);
    free(expected);
}

/* ---- products ------------------------------------------------------------------------------------------ */

enum { POINTS = 6000, WIDE = 32, IN = 3, OUT = 2 };

static Value net(Value x, Value w, Value (*activation)(Value z))
{
    const Value w1 = reshape(slice(w, .stop = WIDE * IN), WIDE, IN);
    const Value b1 = slice(w, .start = WIDE * IN, .stop = WIDE * (IN + 1)),
                w2 = reshape(slice(w, .start = WIDE * (IN + 1)), OUT, WIDE);
    const Value b2 = sum(w2, .axis = 1);
    const Value y = activation(tg_linear(reshape(x, POINTS, IN), w1, b1));
    return mean(square(sub(activation(tg_linear(y, w2, b2)), 0.25)));
}

static Value as_relu(Value z) { return relu(z); }
static Value as_tanh(Value z) { return tanh(z); }
static Value relu_net(Value x, Value w) { return net(x, w, as_relu); }
static Value tanh_net(Value x, Value w) { return net(x, w, as_tanh); }

Test(chains, products_begin_chains)
{
    enum { ALL = POINTS * IN, WEIGHTS = WIDE * (IN + 1 + OUT) };
    const model nets[] = { { relu_net, ALL, WEIGHTS, 0 }, { tanh_net, ALL, WEIGHTS, 0 } };
    for (int i = 0; i < 2; i++) {
        check_passes(&nets[i], TG_F64, false, 1, passes, PASSES, 1e-12);
        is_the_tape_s(&nets[i]);
        shows(&nets[i], false, TG_CHAIN_PRODUCTS, "| linear by rows");
        shows(&nets[i], false, TG_CHAIN_PRODUCTS, "| linear' by rows");
        cr_assert(!prints(&nets[i], false, &strictly, "by rows"));
    }
}

/* ---- what is kept -------------------------------------------------------------------------------------- */

enum { CLASSES = 5, SAMPLES = 7 };

static Value classified(Value x, Value w)
{
    const Value scores = mul(reshape(x, SAMPLES, CLASSES), w);
    static const int labels[SAMPLES] = { 0, 4, 2, 2, 1, 3, 4 };
    const Value label = tg_index(recording, labels, SAMPLES);
    const Value smooth = cross_entropy(scores, label, .label_smoothing = 0.1, .ignore_index = 2, .reduction = TG_SUM);
    const Value each = cross_entropy(mul(scores, 3), label, .reduction = TG_NONE);
    return add(add(cross_entropy(scores, label), smooth), sum(square(each)));
}

Test(chains, the_softmax_of_a_loss_is_kept)
{
    const model m = { classified, SAMPLES * CLASSES, CLASSES, 0 };
    check(&m);
    shows(&m, false, TG_KEEP, "; kept:");
    shows(&m, true, TG_KEEP, "; kept:");
    cr_assert(!prints(&m, false, &strictly, "; kept:"));
}

enum { TALL = 3000 };

/* Rows that are short, long, all there is, and columns, for which nothing is kept. */
static Value summed(Value x, Value w)
{
    const Value y = reshape(mul(x, add(at(w, 0), 4)), 2, TALL);
    const Value z = mul(slice(reshape(x, TALL, 2), .stop = SAMPLES), w);
    const Value part = add(logsumexp(y), sum(square(logsumexp(y, .axis = 1))));
    const Value some = where(gt(select(z, .axis = 1, .index = 0), 0), 0.0, 2.0); /* gradients that are 0 */
    return add(add(part, sum(mul(logsumexp(z, .axis = -1), some))), sum(logsumexp(z, .axis = 0)));
}

Test(chains, exponentials_are_computed_once)
{
    const model m = { summed, 2 * TALL, 2, 0 };
    check(&m);
    shows(&m, false, TG_KEEP, "; kept:");
    shows(&m, true, TG_KEEP, "; kept:");
}

static Value lost(Value x, Value w)
{
    const Value low = where(gt(x, 2), x, -INFINITY), high = where(gt(x, 0.5), INFINITY, mul(x, at(w, 0)));
    return add(sum(mul(where(lt(logsumexp(low), 0), 1.0, 0.0), x)), where(gt(logsumexp(high), 0), sum(x), 0.0));
}

Test(chains, sums_of_nothing_and_of_infinity_are_kept_as_such)
{
    const model m = { lost, CLASSES, 1, 0 };
    check(&m);
}

static Value attended(Value x, Value w)
{
    const Value y = mul(reshape(x, 3, 2, SAMPLES, 4), at(w, 0));
    const Value q = select(y, .axis = 0, .index = 0), k = select(y, .axis = 0, .index = 1);
    const Value v = select(y, .axis = 0, .index = 2);
    return add(sum(square(attention(q, k, v))), sum(mul(attention(q, k, v, .causal = true), v)));
}

Test(chains, the_weights_of_attention_are_kept)
{
    const model m = { attended, 3 * 2 * SAMPLES * 4, 1, 0 };
    check(&m);
    shows(&m, false, TG_KEEP, "; kept:");
    shows(&m, true, TG_KEEP, "; kept:");
}
