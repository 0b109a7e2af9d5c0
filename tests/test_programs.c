/* Programs: what compiling and running promise beyond single ops, which check_programs has. */
#define _POSIX_C_SOURCE 200809L
#include <tapegrad.h>
#include <tapegrad/program.h>
#include <tapegrad/short.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "printed.h"
#include "program/plan.h"

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(programs, .init = quiet);

/* ---- random graphs of scalars ------------------------------------------------------------------ */

enum { LEAVES = 6, BATCH = 2, NODES = 40, INSTANCES = 37 };

/* A sum of products of what there is, a map of something, or a product. */
static Value random_node(Value *v, int n)
{
    Value a = v[draw((uint32_t)n)], b = v[draw((uint32_t)n)];
    switch (draw(10)) {
    case 8: { /* elements of a tensor that is put together, some of them others' values */
        const Value row = stack(TG_VALUES(a, b, add(a, b), mul(a, a)));
        return mul(at(row, (int)draw(4)), at(row, (int)draw(4)));
    }
    case 0: return add(a, b);
    case 1: return sub(a, b);
    case 2: return mul(a, b);
    case 3: return tanh(a);
    case 4: return sigmoid(a);
    case 5: return sin(a);
    case 6: return fma(a, b, v[draw((uint32_t)n)]);
    case 7: return neg(a);
    default: {
        const int terms = 2 + (int)draw(7);
        Value sum = a;
        for (int i = 0; i < terms; i++)
            sum = add(sum, mul(v[draw((uint32_t)n)], v[draw((uint32_t)n)]));
        return tanh(sum);
    }
    }
}

static void check_random_graph(const tg_compile_options *options, int64_t instances)
{
    static double x[BATCH][INSTANCES], total, shared[LEAVES], got[LEAVES][INSTANCES];
    double expected[LEAVES][INSTANCES] = { { 0 } }, sum = 0;
    tg_tape *const t = tg_tape_new(NULL);
    Value v[LEAVES + NODES];
    for (int i = 0; i < LEAVES; i++) shared[i] = draw_real(), v[i] = tg_scalar(t, shared[i]);
    for (int i = 0; i < NODES; i++) v[LEAVES + i] = random_node(v, LEAVES + i);
    Value loss = v[LEAVES + NODES - 1];
    for (int i = 1; i < 6; i++) loss = add(loss, v[LEAVES + NODES - 1 - i]);
    for (int64_t i = 0; i < instances; i++) {
        for (int j = 0; j < BATCH; j++) {
            x[j][i] = draw_real();
            tg_set(v[j], &x[j][i], 1);
        }
        cr_assert(tg_forward(loss) && tg_backward(loss));
        sum += tg_item(loss);
        for (int j = 0; j < LEAVES; j++) expected[j][j < BATCH ? i : 0] += tg_grad_item(v[j]);
    }
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&loss, 1, v, BATCH, v + BATCH, LEAVES - BATCH, options, &status);
    const int wrt[LEAVES] = { 0, 1, 2, 3, 4, 5 };
    tg_program *const g =
        tg_gradient_program(p, &(tg_gradient_options){ .wrt = wrt, .n_wrt = LEAVES }, &status);
    tg_workspace *const w = tg_workspace_new(g, 1, &status);
    const void *in[LEAVES];
    void *out[1 + LEAVES] = { &total };
    for (int j = 0; j < LEAVES; j++) {
        in[j] = j < BATCH ? (const void *)x[j] : &shared[j];
        out[1 + j] = got[j];
    }
    cr_assert(tg_run(g, w, instances, in, out, &status), "%s", status.message);
    double largest = fabs(sum);
    for (int j = 0; j < LEAVES; j++)
        for (int i = 0; i < instances; i++) largest = fmax(largest, fabs(expected[j][i]));
    cr_expect(fabs(total - sum) <= 1e-12 * largest,
              "without %x, block %d, %lld instances: total %.17g, on the tape %.17g",
              options->without, options->block, (long long)instances, total, sum);
    for (int j = 0; j < LEAVES; j++)
        for (int i = 0; i < (j < BATCH ? instances : 1); i++)
            cr_expect(fabs(got[j][i] - expected[j][i]) <= 1e-12 * largest,
                      "without %x, block %d, %lld instances: gradient by %d of instance %d: %.17g, "
                      "on the tape %.17g",
                      options->without, options->block, (long long)instances, j, i, got[j][i],
                      expected[j][i]);
    tg_workspace_free(w);
    tg_program_free(g);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(programs, random_graphs_agree_with_the_tape_for_any_passes_blocks_and_remainders)
{
    const unsigned passes[] = { 0, TG_DOTS, TG_RANGES, TG_REUSE, TG_DOTS | TG_RANGES, ~0u };
    const int blocks[] = { 0, 1, 2, 16, 33 };
    for (int i = 0; i < 400; i++) {
        const tg_compile_options o = { .without = passes[draw(6)], .block = blocks[draw(5)] };
        check_random_graph(&o, i % 3 ? 1 + (int64_t)draw(INSTANCES) : 1);
    }
}

/* ---- a gradient of 0 contributes 0 -------------------------------------------------------------- */

/* x detached, and a step of it in a scope without gradients; of leaves that have gradients on the tape, or not. */
static Value detached_paths(tg_tape *t, const Value *x)
{
    Value a = x[0], b = x[1], view = x[1];
    TG_NO_GRAD(t)
    {
        a = exp(x[0]);
        b = exp(x[1]);
        view = flip(x[1]);
    }
    const Value cut = detach(x[1]), kept = add(mul(detach(square(x[0])), x[0]), mul(a, x[0]));
    const Value rows = add(mul(cut, x[1]), add(mul(b, x[1]), mul(view, mul(flip(cut), x[1]))));
    return add(add(kept, sum(rows)), mul(at(cut, 1), at(x[1], 0)));
}

Test(programs, no_gradient_flows_through_what_is_detached)
{
    static const double s = 0.7, v[] = { 3, 5 };
    const double ds = s * s + exp(s);
    const tg_leaf kinds[] = { TG_PARAMETER, TG_INPUT };
    const double dv[] = { v[0] + exp(v[0]) + v[1] * v[1] + v[1], v[1] + exp(v[1]) + v[0] * v[0] };
    for (int kind = 0; kind < 4; kind++) {
        const bool input = kind & 1;
        const int varies = kind & 2;
        tg_tape *const t = tg_tape_new(NULL);
        const Value x[] = { tg_leaf_new(t, kinds[input], TG_F64, &s, 0, NULL, NULL),
                            tg_leaf_new(t, kinds[input], TG_F64, v, 1, (const int64_t[]){ 2 }, NULL) };
        Value y = detached_paths(t, x);
        tg_status status;
        tg_program *const p = tg_compile(&y, 1, x, varies, x + varies, 2 - varies, NULL, &status);
        tg_program *const made[] = {
            tg_gradient_program(p, &(tg_gradient_options){ .wrt = (const int[]){ 0, 1 }, .n_wrt = 2 }, &status),
            tg_jvp_program(p, (const int[]){ 0, 1 }, 2, &status),
        };
        static const double ds1 = 1, dv1[] = { 1, 10 };
        double value, got[3], along;
        for (int i = 0; i < 2; i++) {
            cr_assert(made[i], "%s", status.message);
            tg_workspace *const w = tg_workspace_new(made[i], 1, &status);
            cr_assert(tg_run(made[i], w, 1, (const void *[]){ &s, v, &ds1, dv1 },
                             i ? (void *[]){ &value, &along } : (void *[]){ &value, got, got + 1 }, &status),
                      "%s", status.message);
            tg_workspace_free(w);
            tg_program_free(made[i]);
        }
        cr_expect(fabs(value - tg_item(y)) < 1e-12 * fabs(value));
        cr_expect(fabs(got[0] - ds) < 1e-12 && fabs(got[1] - dv[0]) < 1e-12 && fabs(got[2] - dv[1]) < 1e-10);
        cr_expect(fabs(along - (ds + dv[0] + 10 * dv[1])) < 1e-9 * along);
        if (!input) cr_expect(tg_backward(y) && fabs(tg_grad_item(x[0]) - ds) < 1e-12);
        tg_program_free(p);
        tg_tape_free(t);
    }
}

Test(programs, what_is_not_chosen_reaches_no_gradient)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 1), w = tg_scalar(t, 2), v = tg_scalar(t, 3);
    /* For x <= 0 the logarithm is NaN or -inf, and not chosen. */
    Value l = where(gt(x, 0), mul(w, log(x)), mul(v, x));
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&l, 1, &x, 1, TG_VALUES(w, v), NULL, &status);
    tg_program *const g = tg_gradient_program(p, NULL, &status);
    tg_workspace *const room = tg_workspace_new(g, 1, &status);
    const double X[] = { 1, -1, 0, 2, -3 }, W = 2, V = 3;
    double total, dw, dv;
    cr_assert(tg_run(g, room, 5, (const void *[]){ X, &W, &V }, (void *[]){ &total, &dw, &dv },
                     &status));
    cr_expect_float_eq(dw, log(2.0), 1e-15);
    cr_expect_float_eq(dv, -4, 1e-15);
    tg_workspace_free(room);
    tg_program_free(g);
    tg_program_free(p);
    tg_tape_free(t);
}

/* In a program the first gradient of a value is written, not added to zeros: also where it comes block of rows by block. */
Test(programs, gradients_of_a_large_outer_product_are_the_tapes)
{
    enum { M = 20, N = 600 };
    static double a[M], b[N], da[M], db[N], want_a[M], want_b[N], loss;
    for (int i = 0; i < M; i++) a[i] = 0.1 * i - 1;
    for (int i = 0; i < N; i++) b[i] = 0.003 * i - 0.7;
    tg_tape *const t = tg_tape_new(NULL);
    const Value x = tg_param(t, a, M), w = tg_param(t, b, N), y = sum(exp(outer(tanh(x), tanh(w))));
    cr_assert(tg_backward(y) && tg_grad_read(x, want_a, M) && tg_grad_read(w, want_b, N));
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&y, 1, TG_VALUES(x, w), NULL, 0, NULL, &status);
    cr_assert(p, "%s", status.message);
    tg_program *const g = tg_gradient_program(p, &(tg_gradient_options){ .wrt = (const int[]){ 0, 1 }, .n_wrt = 2 }, &status);
    cr_assert(g, "%s", status.message);
    tg_workspace *const room = tg_workspace_new(g, 1, &status);
    for (int again = 0; again < 2; again++) /* the second time memory is not zeros before */
        cr_assert(tg_run(g, room, 1, (const void *[]){ a, b }, (void *[]){ &loss, da, db }, &status), "%s", status.message);
    for (int i = 0; i < M; i++) cr_expect_float_eq(da[i], want_a[i], 1e-12 * fabs(want_a[i]));
    for (int i = 0; i < N; i++) cr_expect_float_eq(db[i], want_b[i], 1e-12 * fabs(want_b[i]));
    tg_workspace_free(room);
    tg_program_free(g);
    tg_program_free(p);
    tg_tape_free(t);
}

/* ---- sums over the batch ------------------------------------------------------------------------ */

static tg_program *compile_fit(tg_tape *t, const tg_compile_options *o, tg_over_batch over)
{
    Value x = tg_input(t, (double *)NULL, 3), w = tg_param(t, (double *)NULL, 3);
    Value z = mul(at(w, 0), at(x, 0));
    for (int i = 1; i < 3; i++) z = add(z, mul(at(w, i), at(x, i)));
    Value loss = square(sub(z, 1));
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&loss, 1, &x, 1, &w, 1, o, &status);
    tg_program *const g = tg_gradient_program(p, &(tg_gradient_options){ .over = over }, &status);
    cr_assert(g, "%s", status.message);
    tg_program_free(p);
    return g;
}

static void run_fit(tg_over_batch over, int64_t count, int block, double *total, double dw[3])
{
    static double x[1000][3];
    const double w[] = { 0.5, -1, 2 };
    for (int i = 0; i < 1000; i++)
        for (int j = 0; j < 3; j++) x[i][j] = sin(i + 0.1 * j);
    tg_tape *const t = tg_tape_new(NULL);
    tg_program *const g = compile_fit(t, &(tg_compile_options){ .block = block }, over);
    tg_tape_free(t); /* programs do without */
    tg_workspace *const room = tg_workspace_new(g, 1, NULL);
    cr_assert(tg_run(g, room, count, (const void *[]){ x, w }, (void *[]){ total, dw }, NULL));
    tg_workspace_free(room);
    tg_program_free(g);
}

Test(programs, a_mean_is_the_sum_over_the_count)
{
    double sum, mean, dsum[3], dmean[3];
    run_fit(TG_BATCH_SUM, 1000, 0, &sum, dsum);
    run_fit(TG_BATCH_MEAN, 1000, 0, &mean, dmean);
    cr_expect_float_eq(mean, sum / 1000, 1e-15 * fabs(sum));
    for (int i = 0; i < 3; i++) cr_expect_float_eq(dmean[i], dsum[i] / 1000, 1e-15 * fabs(dsum[i]));
}

Test(programs, an_empty_batch_sums_to_zero)
{
    double sum = 1, d[3] = { 1, 1, 1 };
    run_fit(TG_BATCH_SUM, 0, 0, &sum, d);
    cr_expect(sum == 0 && d[0] == 0 && d[1] == 0 && d[2] == 0);
}

Test(programs, sums_of_scalars_are_bit_equal_for_every_block)
{
    double sum, d[3];
    run_fit(TG_BATCH_SUM, 1000, 64, &sum, d);
    for (int block = 0; block < 260; block++) {
        double other, e[3];
        run_fit(TG_BATCH_SUM, 1000, block, &other, e);
        cr_expect(other == sum && memcmp(d, e, sizeof d) == 0, "block %d", block);
    }
}

/* ---- threads ------------------------------------------------------------------------------------- */

Test(programs, results_are_bit_equal_for_any_number_of_threads)
{
    enum { MOST = 6950 };
    static double x[MOST][3], each[2][MOST][3];
    for (int i = 0; i < MOST; i++)
        for (int j = 0; j < 3; j++) x[i][j] = draw_real();
    tg_tape *const t = tg_tape_new(NULL);
    Value in = tg_input(t, (double *)NULL, 3), w = tg_param(t, (double *)NULL, 3);
    Value loss = log_softmax(mul(w, tanh(in)));
    loss = neg(at(loss, 1));
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&loss, 1, &in, 1, &w, 1, NULL, &status);
    const int wrt[] = { 0, 1 };
    tg_program *const g = tg_gradient_program(p, &(tg_gradient_options){ .wrt = wrt, .n_wrt = 2 }, &status);
    cr_assert(g, "%s", status.message);
    const double W[] = { 0.5, -1, 2 };
    const int threads[] = { 1, 2, 3, 7, 13 };
    double total[2], dw[2][3];
    tg_workspace *room[5];
    for (int i = 0; i < 5; i++) room[i] = tg_workspace_new(g, threads[i], &status);
    static const int counts[] = { MOST, 1, 256, 257, 2000, 256 * 16, 0, MOST };
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++)
        for (int i = 0; i < 5; i++) {
            const int to = i > 0;
            for (int j = 0; j < 3; j++)
                cr_assert(tg_run(g, room[i], counts[k], (const void *[]){ x, W },
                                 (void *[]){ &total[to], each[to], dw[to] }, &status));
            cr_expect(total[0] == total[to] && memcmp(dw[0], dw[to], sizeof *dw) == 0 &&
                          memcmp(each[0], each[to], (size_t)counts[k] * sizeof **each) == 0,
                      "%d instances, %d threads", counts[k], threads[i]);
            cr_expect(counts[k] || (total[to] == 0 && dw[to][0] == 0), "a sum of nothing is 0");
        }
    for (int i = 0; i < 5; i++) tg_workspace_free(room[i]);
    tg_program_free(g);
    tg_program_free(p);
    tg_tape_free(t);
}

/* One after the other they would all be lost beside 2^24. */
Test(programs, sums_over_the_batch_keep_small_terms_of_other_parts)
{
    enum { PART = 256, PARTS = 64 };
    static float x[PART * PARTS];
    for (int i = 0; i < PARTS; i++) x[PART * i] = i ? 1 : 0x1p24f;
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = TG_F32 });
    Value in = tg_input(t, (double *)NULL), c = tg_param(t, (double *)NULL), y = mul(in, c);
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&y, 1, &in, 1, &c, 1, NULL, &status);
    tg_program *const g = tg_gradient_program(p, NULL, &status);
    tg_workspace *const room = tg_workspace_new(g, 1, &status);
    const float one = 1;
    float total, by_c;
    cr_assert(tg_run(g, room, PART * PARTS, (const void *[]){ x, &one }, (void *[]){ &total, &by_c }, &status),
              "%s", status.message);
    cr_expect(total >= 0x1p24f + PARTS - 8 && total <= 0x1p24f + PARTS, "%.9g", (double)total);
    cr_expect(by_c == total, "%.9g", (double)by_c);
    tg_workspace_free(room);
    tg_program_free(g);
    tg_program_free(p);
    tg_tape_free(t);
}

/* ---- training ------------------------------------------------------------------------------------ */

/* A line fitted to a parabola by gradient descent: recorded anew for every step, or replayed. */
static void fit_line(bool replay, double w[2])
{
    double x[8], y[8];
    for (int i = 0; i < 8; i++) x[i] = 0.25 * i - 1, y[i] = x[i] * x[i];
    tg_tape *const t = tg_tape_new(NULL);
    Value a = tg_scalar(t, 0.5), b = tg_scalar(t, -0.5);
    const tg_mark mark = tg_tape_mark(t);
    tg_program *p = NULL, *g = NULL;
    tg_workspace *room = NULL;
    if (replay) {
        Value xi = tg_input(t, x), yi = tg_input(t, y);
        Value error = sub(add(mul(a, xi), b), yi), loss = square(error);
        p = tg_compile(&loss, 1, TG_VALUES(xi, yi), TG_VALUES(a, b), NULL, NULL);
        g = tg_gradient_program(p, &(tg_gradient_options){ .over = TG_BATCH_MEAN }, NULL);
        room = tg_workspace_new(g, 1, NULL);
    }
    for (int i = 0; i < 50; i++) {
        if (replay) {
            double total = 0;
            cr_assert(tg_run_backward(g, room, 8, (const void *[]){ x, y }, &total, NULL));
            cr_expect(total > 0);
        } else {
            Value xs = tg_input(t, x, 8), ys = tg_input(t, y, 8);
            Value error = sub(add(mul(a, xs), b), ys);
            cr_assert(tg_backward(mean(square(error))));
        }
        w[0] = tg_item(a) - 0.3 * tg_grad_item(a);
        w[1] = tg_item(b) - 0.3 * tg_grad_item(b);
        if (!replay) tg_release(mark);
        tg_set(a, &w[0], 1);
        tg_set(b, &w[1], 1);
    }
    tg_workspace_free(room);
    tg_program_free(g);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(programs, a_training_loop_can_be_replayed)
{
    double recorded[2], replayed[2];
    fit_line(false, recorded);
    fit_line(true, replayed);
    for (int i = 0; i < 2; i++) cr_expect_float_eq(recorded[i], replayed[i], 1e-14);
}

/* ---- along directions ----------------------------------------------------------------------------- */

/* Instance i: sin(x w) along i, by the cotangent i; more instances than a block has. */
Test(programs, directions_and_cotangents_are_those_of_their_instances)
{
    enum { N = 1000 };
    static double x[N], d[N], wide[2 * N], y[N], dy[N], dx[N];
    const double w = 2;
    double dw;
    for (int i = 0; i < N; i++) x[i] = 0.001 * i, d[i] = wide[2 * i] = i;
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value in = tg_scalar(t, 0), factor = tg_scalar(t, w), made = tg_sin(tg_mul(in, factor));
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&made, 1, &in, 1, &factor, 1, NULL, &s);
    tg_program *const j = tg_jvp_program(p, (int[]){ 0 }, 1, &s), *const v = tg_vjp_program(p, (int[]){ 0, 1 }, 2, &s);
    cr_assert(j && v, "%s", s.message);
    const tg_input_layout layout[] = { { 0 }, { 0 }, { .instance = 2 } };
    for (int kind = 0; kind < 4; kind++) { /* threads, layout */
        const tg_run_options o = { .inputs = kind & 2 ? layout : NULL };
        const void *const given[] = { x, &w, kind & 2 ? wide : d };
        tg_workspace *const forward = tg_workspace_new(j, 1 + 2 * (kind & 1), &s);
        tg_workspace *const back = tg_workspace_new(v, 1 + 2 * (kind & 1), &s);
        cr_assert(tg_run_with(j, forward, N, given, (void *[]){ y, dy }, &o, &s) &&
                      tg_run_with(v, back, N, given, (void *[]){ dx, &dw }, &o, &s),
                  "%s", s.message);
        double sum = 0;
        for (int i = 0; i < N; i++) {
            const double slope = cos(w * x[i]) * i;
            sum += slope * x[i];
            cr_expect_float_eq(dy[i], w * slope, 1e-11, "%d: along %g, expected %g", i, dy[i], w * slope);
            cr_expect_float_eq(dx[i], w * slope, 1e-11, "%d: gradient %g, expected %g", i, dx[i], w * slope);
        }
        cr_expect_float_eq(dw, sum, 1e-7);
        tg_workspace_free(back);
        tg_workspace_free(forward);
    }
    tg_program_free(v);
    tg_program_free(j);
    tg_program_free(p);
    tg_tape_free(t);
}

/* The derivatives of a gradient program's outputs, some of which are sums over the batch: forward over reverse. */
Test(programs, along_a_direction_a_sum_over_the_batch_has_one_derivative)
{
    enum { N = 600 };
    static double x[3][N], v[N], dx[3][N], ddx[N];
    const double w[] = { 2 - 1e-5, 2 + 1e-5, 2 }, one = 1;
    double loss[3], dw[3], dloss, ddw;
    const int wrt[] = { 0, 1 };
    for (int i = 0; i < N; i++) v[i] = cos((double)i);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < N; i++) x[k][i] = 0.002 * i + (w[k] - 2) * v[i];
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value in = tg_scalar(t, 0), by = tg_scalar(t, 0);
    const tg_value l = tg_add(tg_sin(tg_mul(in, by)), tg_mul(by, tg_mul(by, by)));
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&l, 1, &in, 1, &by, 1, NULL, &s);
    for (int mean = 0; mean < 2; mean++) {
        const tg_gradient_options o = { .wrt = wrt, .n_wrt = 2, .over = mean ? TG_BATCH_MEAN : TG_BATCH_SUM };
        tg_program *const g = tg_gradient_program(p, &o, &s), *const j = tg_jvp_program(g, wrt, 2, &s);
        cr_assert(j, "%s", s.message);
        const bool each[] = { false, true, false, false, true, false };
        for (int i = 0; i < 6; i++) {
            bool is;
            cr_assert(tg_program_output_size(j, i, &is) == 1 && is == each[i], "output %d", i);
        }
        tg_workspace *const room = tg_workspace_new(g, 1, &s), *const along = tg_workspace_new(j, 3, &s);
        for (int k = 0; k < 3; k++)
            cr_assert(tg_run(g, room, N, (const void *[]){ x[k], &w[k] }, (void *[]){ &loss[k], dx[k], &dw[k] }, &s));
        cr_assert(tg_run(j, along, N, (const void *[]){ x[2], &w[2], v, &one },
                         (void *[]){ &loss[2], dx[2], &dw[2], &dloss, ddx, &ddw }, &s),
                  "%s", s.message);
        const double scale = mean ? 1 : N;
        cr_expect_float_eq(dloss, (loss[1] - loss[0]) / 2e-5, 1e-7 * scale);
        cr_expect_float_eq(ddw, (dw[1] - dw[0]) / 2e-5, 1e-6 * scale);
        for (int i = 0; i < N; i++) cr_expect_float_eq(ddx[i], (dx[1][i] - dx[0][i]) / 2e-5, 1e-8);
        tg_workspace_free(along);
        tg_workspace_free(room);
        tg_program_free(j);
        tg_program_free(g);
    }
    tg_program_free(p);
    tg_tape_free(t);
}

/* ---- results that are operands ------------------------------------------------------------------ */

static void expect_columns(Value (*same)(Value x))
{
    const double v[2][3] = { { 1, 2, 3 }, { 4, 5, 6 } };
    double out[6];
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_param(t, &v[0][0], 2, 3), y = mul(reshape(same(transpose(x)), 6), 2);
    tg_program *const p = tg_compile(&y, 1, NULL, 0, &x, 1, NULL, NULL);
    tg_workspace *const w = tg_workspace_new(p, 1, NULL);
    cr_assert(tg_run(p, w, 1, (const void *[]){ v }, (void *[]){ out }, NULL));
    for (int i = 0; i < 6; i++) cr_expect(out[i] == 2 * v[i % 2][i / 2], "element %d: %g", i, out[i]);
    tg_workspace_free(w);
    tg_program_free(p);
    tg_tape_free(t);
}

static Value times_one(Value x) { return mul(x, 1); }
static Value over_one(Value x) { return div(x, 1); }
static Value twice_negative(Value x) { return neg(neg(x)); }

Test(programs, what_is_simplified_to_a_view_has_the_elements_of_the_result)
{
    expect_columns(times_one);
    expect_columns(over_one);
    expect_columns(twice_negative);
}

/* ---- nodes that are made once -------------------------------------------------------------------- */

/* Products of operands whose numbers have the same sum, which are looked for in the same place of the table. */
static Value mirrored_products(Value x, int n)
{
    Value sum = mul(at(x, 0), at(x, n - 1));
    for (int i = 1; i < n / 2; i++) sum = add(sum, mul(at(x, i), at(x, n - 1 - i)));
    return sum;
}

Test(programs, a_node_is_made_once_wherever_it_is_in_the_table)
{
    enum { N = 3000 };
    static double zeros[N];
    tg_tape *const t = tg_tape_new(NULL);
    const Value x = tg_param(t, zeros, N);
    for (int i = 0; i < N; i++) (void)at(x, i);
    const Value first = mirrored_products(x, N), again = mirrored_products(x, N), both[] = { first, again };
    tg_program *const p = tg_compile(both, 1, NULL, 0, &x, 1, NULL, NULL);
    tg_program *const q = tg_compile(both, 2, NULL, 0, &x, 1, NULL, NULL);
    cr_assert(p && q);
    cr_expect(p->graph.n == q->graph.n, "%u nodes, with the same again %u", p->graph.n, q->graph.n);
    cr_expect(p->graph.n == 1 + 1 + N + N / 2 + N / 2 - 1 + 1, "%u nodes", p->graph.n); /* the last is a number */
    tg_program *const g = tg_gradient_program(p, NULL, NULL), *const h = tg_gradient_program(q, NULL, NULL);
    cr_assert(g && h);
    cr_expect(g->graph.n == h->graph.n, "%u nodes, with the same again %u", g->graph.n, h->graph.n);
    tg_program_free(p), tg_program_free(q), tg_program_free(g), tg_program_free(h);
    tg_tape_free(t);
}

/* ---- errors -------------------------------------------------------------------------------------- */

static void expect_message(const tg_status *s, const char *text)
{
    cr_expect(s->code != TG_OK && strstr(s->message, text), "\"%s\" lacks \"%s\"", s->message, text);
}

Test(programs, mistakes_are_named)
{
    tg_tape *const t = tg_tape_new(NULL), *const other = tg_tape_new(NULL);
    Value w = tg_param(t, (double *)NULL, 2), x = tg_input(t, (double *)NULL, 2);
    Value y = mul(w, x), foreign = tg_scalar(other, 1);
    const int64_t one = 1;
    Value index = tg_index(t, &one, 1);
    tg_status s = { 0 };
#define FAILS(TEXT, ...)                                \
    do {                                                \
        s = (tg_status){ 0 };                           \
        cr_expect_not(__VA_ARGS__);                     \
        expect_message(&s, TEXT);                       \
    } while (0)
    FAILS("no outputs given", tg_compile(NULL, 0, &x, 1, &w, 1, NULL, &s));
    FAILS("batch input 0 is a value of another tape",
          tg_compile(&y, 1, &foreign, 1, &w, 1, NULL, &s));
    FAILS("output 0 is no value of a tape", tg_compile(&(Value){ 0 }, 1, &x, 1, &w, 1, NULL, &s));
    FAILS("input 0 is no leaf: it is made by mul", tg_compile(&y, 1, &y, 1, &w, 1, NULL, &s));
    FAILS("inputs 0 and 1 are the same leaf", tg_compile(&y, 1, &w, 1, &w, 1, NULL, &s));
    tg_program *const p = tg_compile(&y, 1, &x, 1, &w, 1, NULL, &s);
    cr_assert(p);
    FAILS("the first output has 2 elements, not one number", tg_gradient_program(p, NULL, &s));
    Value total = sum(y), picked = take(w, index);
    tg_program *const q = tg_compile(TG_VALUES(total), &x, 1, TG_VALUES(w), NULL, &s);
    FAILS("there is no input 7",
          tg_gradient_program(q, &(tg_gradient_options){ .wrt = (int[]){ 7 }, .n_wrt = 1 }, &s));
    FAILS("the program is NULL", tg_gradient_program(NULL, NULL, &s));
    FAILS("the program is NULL", tg_workspace_new(NULL, 1, &s));
    tg_workspace *const room = tg_workspace_new(p, 1, &s);
    double in[2] = { 1, 2 }, out[2];
    FAILS("input 1 is NULL", tg_run(p, room, 1, (const void *[]){ in, NULL }, (void *[]){ out }, &s));
    FAILS("another program's", tg_run(q, room, 1, (const void *[]){ in, in }, (void *[]){ out }, &s));
    FAILS("no gradient program", tg_run_backward(p, room, 1, NULL, NULL, &s));
    FAILS("a negative number",
          tg_run(p, room, -1, (const void *[]){ in, in }, (void *[]){ out }, &s));
    tg_workspace_free(room);
    tg_program *const taking = tg_compile(&picked, 1, &index, 1, &w, 1, NULL, &s);
    cr_assert(taking, "%s", s.message);
    tg_workspace *const rows = tg_workspace_new(taking, 1, &s);
    const int64_t which[] = { 0, 1, 2 };
    double taken[3];
    FAILS("instance 2: take: ",
          tg_run(taking, rows, 3, (const void *[]){ which, in }, (void *[]){ taken }, &s));
    cr_expect(strstr(s.message, __FILE__), "the position is missing in \"%s\"", s.message);
    tg_workspace_free(rows);
    tg_program_free(taking);
    tg_program_free(p);
    tg_program_free(q);
    tg_tape_free(t);
    tg_tape_free(other);
}

Test(programs, stale_values_are_refused)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value w = tg_scalar(t, 1);
    const tg_mark m = tg_tape_mark(t);
    Value y = mul(w, 2);
    tg_release(m);
    tg_status s = { 0 };
    cr_expect_not(tg_compile(&y, 1, NULL, 0, &w, 1, NULL, &s));
    expect_message(&s, "output 0 is stale");
    tg_tape_free(t);
}

/* ---- text ---------------------------------------------------------------------------------------- */

Test(programs, print_shows_steps_and_choices)
{
    tg_tape *const t = tg_tape_new(NULL);
    tg_program *const g = compile_fit(t, NULL, TG_BATCH_SUM);
    char *const text = printed(tg_program_print, g);
    cr_expect(strstr(text, "program: 2 inputs (1 vary), 2 outputs"), "%s", text);
    cr_expect(strstr(text, "for every block of instances") && strstr(text, "dot"), "%s", text);
    free(text);
    tg_program_free(g);
    tg_tape_free(t);
}

Test(programs, print_says_how_inputs_are_taken_and_what_there_was_before)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value s = tg_input(t, (double *)NULL), v = tg_input(t, (double *)NULL, 3), m = tg_input(t, (double *)NULL, 5, 4),
          x = tg_input(t, (double *)NULL, 4), none = tg_input(t, (double *)NULL, 2), w = tg_param(t, (double *)NULL, 4, 2);
    Value lanes = add(add(mul(at(v, 0), s), mul(at(v, 2), s)), at(v, 1));
    Value y = add(mul(lanes, sum(matmul(x, w))), sum(cumsum(m, .axis = 0)));
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&y, 1, TG_VALUES(s, v, m, x, none), TG_VALUES(w), NULL, &status);
    cr_assert(p, "%s", status.message);
    char *const text = printed(tg_program_print, p), *const graph = printed(tg_program_print_graph, p);
    static const char *const lines[] = {
        "input 0 (): varies, 1 of 1 elements as lanes side by side\n",
        "input 1 (3): varies, 3 of 3 elements as lanes side by side\n",
        "input 2 (5, 4): varies, rows, one instance after the other\n",
        "input 3 (4): varies, rows, a block of instances at once\n",
        "input 4 (2): varies, no step takes it\n",
        "input 5 (4, 2): shared\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        cr_expect(strstr(text, lines[i]), "no \"%s\" in\n%s", lines[i], text);
    cr_expect(strstr(text, "dot") && !strstr(text, "mul n"), "%s", text);
    cr_expect(strstr(graph, " = mul n") && strstr(graph, "matmul") && strstr(graph, "; each\n"), "%s", graph);
    cr_expect(strstr(graph, "input 5; once, before\n") && strstr(graph, "output 0: n"), "%s", graph);
    free(text);
    free(graph);
    tg_program_free(p);
    tg_tape_free(t);
}

/* ---- one instance -------------------------------------------------------------------------------- */

/* Layers of sums of products, of differences, of functions, so many that they are computed in several
   stretches; a tensor between them. */
static Value deep(tg_tape *t, Value x, int n, int layers)
{
    Value v[64];
    for (int i = 0; i < n; i++) v[i] = at(x, i);
    for (int l = 0; l < layers; l++) {
        Value next[64];
        for (int i = 0; i < n; i++) {
            Value sum = mul(v[i], v[(i + 1) % n]);
            for (int j = 2; j < 12; j++) sum = j % 3 ? add(sum, mul(at(x, (i + j) % n), v[(i + j) % n])) : sub(sum, mul(v[i], v[(i + j) % n]));
            next[i] = i % 2 ? tanh(sum) : sigmoid(neg(sum));
        }
        memcpy(v, next, sizeof v);
        if (l % 40) continue;
        const Value row = softargmax(stack(v, n));
        for (int i = 0; i < n; i++) v[i] = add(v[i], at(row, i));
    }
    (void)t;
    return sum(stack(v, n));
}

Test(programs, one_instance_of_a_deep_graph_agrees_with_the_tape)
{
    enum { N = 48, LAYERS = 100 };
    tg_tape *const t = tg_tape_new(NULL);
    double x[N], expected[N], got[N], total;
    for (int i = 0; i < N; i++) x[i] = draw_real();
    const Value leaf = tg_param(t, x, N);
    const Value loss = deep(t, leaf, N, LAYERS);
    cr_assert(tg_backward(loss) && tg_grad_read(leaf, expected, N));
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&loss, 1, NULL, 0, &leaf, 1, NULL, &status);
    tg_program *const g = tg_gradient_program(p, NULL, &status);
    tg_workspace *const w = tg_workspace_new(g, 1, &status);
    cr_assert(tg_run(g, w, 1, (const void *[]){ x }, (void *[]){ &total, got }, &status), "%s", status.message);
    double largest = 0;
    for (int i = 0; i < N; i++) largest = fmax(largest, fabs(expected[i]));
    cr_expect_float_eq(total, tg_item(loss), 1e-12 * N);
    for (int i = 0; i < N; i++)
        cr_expect(fabs(got[i] - expected[i]) <= 1e-11 * largest, "gradient by %d: %.17g, on the tape %.17g", i, got[i], expected[i]);
    tg_workspace_free(w);
    tg_program_free(g);
    tg_program_free(p);
    tg_tape_free(t);
}
