/* Loops as operations: tg_scan. */
#include <tapegrad.h>
#include <tapegrad/short.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expect.h"
#include "loop_sample.h"

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(scan, .init = quiet);

/* ---- the loop with everything in it --------------------------------------------------------------- */

static Value by_hand(tg_tape *t, const loop_kind *k, const Value *x, double *taken)
{
    Value in[INPUTS], out[OUTPUTS], h = x[0], c = x[1], rows[MOST_STEPS];
    Value sums[SUMMED] = { tg_number(t, 0), tg_zeros(t, WIDTH) };
    memcpy(in, x, sizeof in);
    for (int64_t i = 0; i < k->steps; i++) rows[i] = tg_zeros(t, WIDTH);
    int64_t j = 0;
    for (bool going = true; going && j < k->steps; j++) {
        const int at = (int)(k->reverse ? k->steps - 1 - j : j);
        in[0] = h, in[1] = c;
        for (int i = STATES; i < STATES + EACH; i++) in[i] = select(x[i], .axis = 0, .index = at);
        step(in, out, k->limit);
        h = out[0], c = out[1];
        rows[at] = out[2];
        for (int i = 0; i < SUMMED; i++) sums[i] = add(sums[i], out[3 + i]);
        if (k->stop) going = tg_item(out[5]) == 0;
    }
    *taken = (double)j;
    Value all = k->steps ? stack(rows, (int)k->steps) : tg_zeros(t, 0, WIDTH);
    return loss_of(h, c, all, sums[0], sums[1]);
}

static Value by_scan(const loop_kind *k, const tg_program *body, const Value *x, int64_t slots,
                     double *taken)
{
    Value out[OUTPUTS];
    record_loop(k, body, x, slots, out);
    *taken = k->stop ? tg_item(out[5]) : (double)k->steps;
    return loss_of(out[0], out[1], out[2], out[3], out[4]);
}

static const int by[] = { 0, 1, 2, 4, 5 }; /* all but the integers */
enum { BY = 5, MOST = WIDTH + 1 + MOST_STEPS * WIDTH + WIDTH * WIDTH + ROWS * WIDTH };

static size_t read_gradients(const Value *x, double *out)
{
    size_t n = 0;
    for (int i = 0; i < BY; i++) {
        cr_assert(tg_grad_read(x[by[i]], out + n, (size_t)tg_size(x[by[i]])));
        n += (size_t)tg_size(x[by[i]]);
    }
    return n;
}

static void check_loop(const loop_kind *k, double bound)
{
    static double got[2][MOST * MOST], first[MOST], again[MOST];
    tg_program *const body = compile_step(k);
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = k->type });
    Value x[INPUTS], wrt[BY];
    make_inputs(t, k, x);
    for (int i = 0; i < BY; i++) wrt[i] = x[by[i]];
    double taken[2], value[2];
    Value l[] = { by_hand(t, k, x, &taken[0]), by_scan(k, body, x, 0, &taken[1]) };
    size_t n = 0;
    for (int i = 0; i < 2; i++) {
        value[i] = tg_item(l[i]);
        cr_assert(tg_backward(l[i]), "%s", tg_error_of(t) ? tg_error_of(t)->message : "");
        n = read_gradients(x, got[i]);
    }
    memcpy(first, got[1], sizeof first);
    cr_expect_eq(taken[0], taken[1]);
    cr_expect(!k->stop || k->limit > 1 || taken[1] < (double)k->steps, "it never stops");
    expect_close("value", &value[1], &value[0], 1, bound);
    expect_close("gradient", got[1], got[0], n, bound);
    double direction[MOST];
    for (size_t i = 0; i < n; i++) direction[i] = cos((double)i);
    for (int i = 0; i < 2; i++) cr_assert(tg_jvp(l[i], wrt, BY, direction, 1, got[i]));
    expect_close("along a direction", got[1], got[0], 1, bound);
    for (int i = 0; i < 2; i++)
        cr_assert(tg_hvp(l[i], wrt, BY, direction, 1, got[i]), "%s", tg_error_of(t)->message);
    expect_close("Hessian times direction", got[1], got[0], n, 10 * bound);
    const int64_t slots[] = { 1, 2, 3, 5, k->steps - 1, k->steps, 1000 };
    for (size_t i = 0; i < sizeof slots / sizeof *slots; i++) {
        if (slots[i] < 0) continue;
        const Value m = by_scan(k, body, x, slots[i], &taken[1]);
        cr_assert(tg_backward(m));
        read_gradients(x, again);
        cr_expect_eq(memcmp(again, first, n * sizeof *first), 0,
                     "%lld slots: the gradient is another", (long long)slots[i]);
        if (slots[i] != 3 && slots[i] != k->steps) continue;
        cr_assert(tg_hvp(m, wrt, BY, direction, 1, got[1]));
        expect_close("Hessian times direction", got[1], got[0], n, 10 * bound);
    }
    tg_tape_free(t);
    tg_program_free(body);
}

Test(scan, a_scan_is_the_loop_whatever_is_kept)
{
    const int64_t steps[] = { 0, 1, 2, 3, 7, 40 };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        check_loop(&(loop_kind){ .steps = steps[i], .limit = 9 }, 1e-13);
        check_loop(&(loop_kind){ .steps = steps[i], .limit = 9, .reverse = true }, 1e-13);
        check_loop(&(loop_kind){ .steps = steps[i], .limit = 9, .batch = true }, 1e-13);
        check_loop(&(loop_kind){ .steps = steps[i], .limit = 9, .type = TG_F32 }, 1e-4);
        check_loop(&(loop_kind){ .steps = steps[i], .limit = 9, .stop = true }, 1e-13);
    }
    check_loop(&(loop_kind){ .steps = 20, .limit = 9, .o = { .without = ~0u } }, 1e-13);
}

Test(scan, a_scan_stops_where_the_body_says)
{
    const double limit[] = { -0.1, -0.05, 0.2, 0.35, 0.39 };
    for (size_t i = 0; i < sizeof limit / sizeof *limit; i++) {
        check_loop(&(loop_kind){ .steps = 40, .limit = limit[i], .stop = true }, 1e-13);
        check_loop(&(loop_kind){ .steps = 40, .limit = limit[i], .stop = true, .reverse = true }, 1e-13);
        check_loop(&(loop_kind){ .steps = 40, .limit = limit[i], .stop = true, .type = TG_F32 }, 1e-4);
    }
}

/* ---- bit for bit --------------------------------------------------------------------------------- */

/* Runge and Kutta's step of order 4 for van der Pol's oscillator. */
static void slope(const Value *y, Value a, Value *d)
{
    d[0] = y[1];
    d[1] = sub(mul(mul(a, sub(1, mul(y[0], y[0]))), y[1]), y[0]);
}

static void advance(const Value *y, Value a, double h, Value *next)
{
    Value k[4][2], at[2];
    slope(y, a, k[0]);
    for (int s = 1; s < 4; s++) {
        for (int i = 0; i < 2; i++) at[i] = add(y[i], mul(s < 3 ? h / 2 : h, k[s - 1][i]));
        slope(at, a, k[s]);
    }
    for (int i = 0; i < 2; i++)
        next[i] = add(
            y[i], mul(h / 6, add(add(k[0][i], mul(2, k[1][i])), add(mul(2, k[2][i]), k[3][i]))));
}

Test(scan, a_strict_scan_of_scalars_has_the_tapes_bits)
{
    enum { STEPS = 1000 };
    const double h = 1e-2;
    tg_tape *const t = tg_tape_new(NULL);
    Value in[] = { tg_scalar(t, 1), tg_scalar(t, 0.5), tg_scalar(t, 0.7) }, out[2];
    advance(in, in[2], h, out);
    tg_status status = { 0 };
    for (int batch = 0; batch < 2; batch++) {
        /* The tape adds what each operation gives: so must the program, which does the same one once. */
        const tg_compile_options o = { .strict = true, .without = TG_COMMON_SUBEXPRESSIONS };
        tg_program *const p = tg_compile(out, 2, in, batch ? 3 : 0, in, batch ? 0 : 3, &o, &status);
        Value y[2] = { in[0], in[1] }, end[2];
        for (int i = 0; i < STEPS; i++) {
            Value next[2];
            advance(y, in[2], h, next);
            y[0] = next[0], y[1] = next[1];
        }
        double g[2][3];
        cr_assert(tg_backward(mul(y[0], y[1])));
        for (int i = 0; i < 3; i++) g[0][i] = tg_grad_item(in[i]);
        cr_assert(tg_scan(p, &(tg_scan_options){ .steps = STEPS, .states = 2 }, in, 3, end));
        cr_expect_eq(tg_item(end[0]), tg_item(y[0]));
        cr_expect_eq(tg_item(end[1]), tg_item(y[1]));
        cr_assert(tg_backward(mul(end[0], end[1])));
        for (int i = 0; i < 3; i++) g[1][i] = tg_grad_item(in[i]);
        for (int i = 0; i < 3; i++)
            cr_expect_eq(g[0][i], g[1][i], "%d: %.17g, on the tape %.17g", i, g[1][i], g[0][i]);
        tg_program_free(p);
    }
    tg_tape_free(t);
}

/* ---- in programs, of programs -------------------------------------------------------------------- */

/* x[i] is a state, a number for each step, a factor: the loop's last state, as recorded by body. */
static Value chain(const tg_program *body, const Value *x, int64_t steps, int64_t slots)
{
    Value end;
    cr_assert(tg_scan(body,
                      &(tg_scan_options){ .steps = steps, .states = 1, .each = 1, .slots = slots },
                      x, 3, &end));
    return square(end);
}

static tg_program *chain_body(void)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x[] = { tg_scalar(t, 0.1), tg_scalar(t, 0.2), tg_scalar(t, 0.3) };
    Value y = sin(add(mul(x[0], x[2]), x[1]));
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&y, 1, NULL, 0, x, 3, NULL, &status);
    tg_tape_free(t);
    return p;
}

Test(scan, a_program_may_have_loops)
{
    enum { STEPS = 6, COUNT = 5 };
    tg_program *const body = chain_body();
    tg_tape *const t = tg_tape_new(NULL);
    double d[COUNT][STEPS], start[COUNT], factor = 0.8;
    for (int i = 0; i < COUNT * STEPS; i++) d[i / STEPS][i % STEPS] = cos((double)i);
    for (int i = 0; i < COUNT; i++) start[i] = sin((double)i);
    Value x[] = { tg_scalar(t, 0), tg_param(t, d[0], STEPS), tg_scalar(t, factor) };
    Value l = chain(body, x, STEPS, 2);
    tg_status status = { 0 };
    /* For each instance a start and numbers of its own. */
    tg_program *const p = tg_compile(&l, 1, x, 2, x + 2, 1, NULL, &status);
    const int wrt[] = { 0, 1, 2 };
    const tg_gradient_options o = { .wrt = wrt, .n_wrt = 3 };
    tg_program *const g = tg_gradient_program(p, &o, &status), *const h =
                                                                   tg_hvp_program(p, &o, &status);
    cr_assert(h, "%s", status.message);
    double want[COUNT][STEPS], curve[COUNT][STEPS + 2], direction[STEPS + 2];
    double total = 0, sum = 0, factors[2] = { 0 }, curves = 0;
    for (int i = 0; i < STEPS + 2; i++) direction[i] = 1 + i;
    for (int i = 0; i < COUNT; i++) {
        tg_set(x[0], &start[i], 1);
        tg_set(x[1], d[i], STEPS);
        Value own = chain(body, x, STEPS, STEPS);
        cr_assert(tg_backward(own));
        total += tg_item(own);
        tg_grad_read(x[1], want[i], STEPS);
        factors[0] += tg_grad_item(x[2]);
        cr_assert(tg_hvp(own, x, 3, direction, 1, curve[i]));
        curves += curve[i][STEPS + 1];
    }
    double got[COUNT][STEPS], starts[COUNT];
    for (int threads = 1; threads <= 3; threads += 2) {
        tg_workspace *const w = tg_workspace_new(g, threads, &status);
        cr_assert(tg_run(g, w, COUNT, (const void *[]){ start, d, &factor },
                         (void *[]){ &sum, starts, got, &factors[1] }, &status),
                  "%s", status.message);
        expect_close("total", &sum, &total, 1, 1e-14);
        expect_close("by the numbers", got[0], want[0], COUNT * STEPS, 1e-14);
        expect_close("by the factor", &factors[1], &factors[0], 1, 1e-14);
        tg_workspace_free(w);
    }
    double along[COUNT][STEPS];
    for (int i = 0; i < COUNT; i++) memcpy(along[i], direction + 1, sizeof along[i]);
    double ones[COUNT];
    for (int i = 0; i < COUNT; i++) ones[i] = direction[0];
    tg_workspace *const w = tg_workspace_new(h, 1, &status);
    cr_assert(tg_run(h, w, COUNT,
                     (const void *[]){ start, d, &factor, ones, along, &direction[STEPS + 1] },
                     (void *[]){ &sum, starts, got, &factors[1] }, &status),
              "%s", status.message);
    for (int i = 0; i < COUNT; i++) expect_close("HVP", got[i], curve[i] + 1, STEPS, 1e-12);
    expect_close("HVP by the factor", &factors[1], &curves, 1, 1e-12);
    tg_workspace_free(w);
    tg_tape_free(t);
    tg_program *const all[] = { h, g, p, body };
    for (int i = 0; i < 4; i++) tg_program_free(all[i]);
}

/* The number for each step of the inner loop is the same in all steps of the outer one. */
Test(scan, a_loops_body_may_have_loops)
{
    enum { STEPS = 6 };
    tg_program *const body = chain_body();
    tg_tape *const t = tg_tape_new(NULL);
    double d[STEPS], direction[STEPS + 2], got[STEPS];
    for (int i = 0; i < STEPS; i++) d[i] = cos((double)i);
    for (int i = 0; i < STEPS + 2; i++) direction[i] = 1 + i;
    Value y[] = { tg_scalar(t, 0.3), tg_param(t, d, STEPS), tg_scalar(t, 0.8) }, end;
    Value m = y[0];
    for (int i = 0; i < 4; i++) m = chain(body, (Value[]){ m, y[1], y[2] }, STEPS, 0);
    double expected[STEPS], curvature[2][STEPS + 2];
    cr_assert(tg_backward(m));
    tg_grad_read(y[1], expected, STEPS);
    Value inner = chain(body, y, STEPS, 0);
    tg_status status = { 0 };
    tg_program *const outer = tg_compile(&inner, 1, NULL, 0, y, 3, NULL, &status);
    cr_assert(outer, "%s", status.message);
    cr_assert(tg_scan(outer, &(tg_scan_options){ .steps = 4, .states = 1 }, y, 3, &end));
    cr_expect_float_eq(tg_item(end), tg_item(m), 1e-14);
    cr_assert(tg_backward(end));
    tg_grad_read(y[1], got, STEPS);
    expect_close("loop of loops", got, expected, STEPS, 1e-13);
    cr_assert(tg_hvp(m, y, 3, direction, 1, curvature[0]) &&
                  tg_hvp(end, y, 3, direction, 1, curvature[1]),
              "%s", tg_error_of(t) ? tg_error_of(t)->message : "");
    expect_close("loop of loops: HVP", curvature[1], curvature[0], STEPS + 2, 1e-12);
    tg_tape_free(t);
    tg_program_free(outer);
    tg_program_free(body);
}

static Value checked(tg_tape *t, const Value *x, void *user)
{
    (void)t;
    return chain(user, x, 6, 0);
}

Test(scan, the_gradient_check_takes_loops)
{
    tg_program *const body = chain_body();
    const double d[] = { 0.3, -0.2, 0.5, 0.1, -0.4, 0.6 };
    const tg_check_input x[] = { { "start", d, 0, { 0 } },
                                 { "numbers", d, 1, { 6 } },
                                 { "factor", d + 2, 0, { 0 } } };
    tg_check_report report;
    cr_expect(tg_gradcheck(checked, body, x, 3, NULL, &report), "%s", report.message);
    tg_program_free(body);
}

/* ---- draws and conditions ------------------------------------------------------------------------ */

static Value drop_and_add(tg_program *body, const Value *x, int64_t slots, Value *rows)
{
    Value out[2];
    const tg_scan_options o = { .steps = 12, .states = 1, .slots = slots };
    cr_assert(tg_scan(body, &o, x, 2, out));
    if (rows) *rows = out[1];
    return add(sum(square(out[0])), sum(out[1]));
}

static Value dropping(tg_tape *t, const Value *x, void *user)
{
    (void)t;
    return drop_and_add(user, x, 3, NULL);
}

/* A step that drops some of what it adds, of x[1], and puts out what it kept. */
static tg_program *dropping_body(const Value *x)
{
    Value kept = dropout(x[1], .p = 0.5, .seed = 7);
    tg_status status = { 0 };
    tg_program *const body =
        tg_compile(TG_VALUES(sin(add(x[0], mul(x[0], kept))), kept), NULL, 0, x, 2, NULL, &status);
    cr_assert(body, "%s", status.message);
    return body;
}

Test(scan, every_step_draws_for_itself_and_the_same_when_it_is_done_again)
{
    enum { N = 8 };
    tg_tape *const t = tg_tape_new(NULL);
    double d[N];
    for (int i = 0; i < N; i++) d[i] = 0.1 * i + 0.2;
    Value x[] = { param(t, d, N), param(t, d, N) }, rows;
    tg_program *const body = dropping_body(x);
    Value l = drop_and_add(body, x, 0, &rows);
    const double *const r = tg_data(rows);
    int same = 0;
    for (int j = 1; j < 12; j++) same += memcmp(r, r + j * N, N * sizeof *r) == 0;
    cr_expect(same < 3, "%d steps of 11 draw as the first one", same);
    double g[2][N], direction[2 * N], h[2][2 * N];
    for (int i = 0; i < 2 * N; i++) direction[i] = cos((double)i);
    for (int i = 0; i < 2; i++) {
        Value m = i ? drop_and_add(body, x, 12, NULL) : l;
        cr_assert(tg_backward(m));
        tg_grad_read(x[0], g[i], N);
        cr_assert(tg_hvp(m, x, 2, direction, 1, h[i]));
    }
    cr_expect_eq(memcmp(g[0], g[1], sizeof g[0]), 0);
    expect_close("Hessian times direction", h[1], h[0], 2 * N, 1e-13);
    const tg_check_input in[] = { { "state", d, 1, { N } }, { "rate", d, 1, { N } } };
    tg_check_report report;
    cr_expect(tg_gradcheck(dropping, body, in, 2, NULL, &report), "%s", report.message);
    tg_tape_free(t);
    tg_program_free(body);
}

Test(scan, in_a_program_every_run_draws_for_itself)
{
    enum { N = 8 };
    tg_tape *const t = tg_tape_new(NULL);
    double d[N], got[3][12 * N];
    for (int i = 0; i < N; i++) d[i] = 0.1 * i + 0.2;
    Value x[] = { param(t, d, N), param(t, d, N) }, rows;
    tg_program *const body = dropping_body(x);
    drop_and_add(body, x, 0, &rows);
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&rows, 1, NULL, 0, x, 2, NULL, &status);
    tg_workspace *const w = tg_workspace_new(p, 1, &status);
    cr_assert(w, "%s", status.message);
    for (int i = 0; i < 3; i++)
        cr_assert(tg_run_with(p, w, 1, (const void *[]){ d, d }, (void *[]){ got[i] },
                              &(tg_run_options){ .run = (uint64_t)(i + 1) / 2 }, &status),
                  "%s", status.message);
    cr_expect(memcmp(got[1], got[2], sizeof got[1]) == 0);
    for (int j = 0; j < 12; j++)
        for (int k = 0; k < 12; k++)
            cr_expect(memcmp(got[0] + j * N, got[1] + k * N, N * sizeof *d), "step %d as %d", k, j);
    tg_workspace_free(w);
    tg_program_free(p);
    tg_program_free(body);
    tg_tape_free(t);
}

Test(scan, a_condition_in_the_body_is_held)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 1), y = x, end;
    y = tg_true(lt(x, 3)) ? add(x, 1) : mul(x, 2);
    tg_status status = { 0 };
    tg_program *const body = tg_compile(&y, 1, NULL, 0, &x, 1, NULL, &status);
    cr_assert(body, "%s", status.message);
    tg_scan_options o = { .steps = 2, .states = 1 };
    cr_assert(tg_scan(body, &o, &x, 1, &end));
    cr_expect_eq(tg_item(end), 3);
    o.steps = 5;
    cr_expect_not(tg_scan(body, &o, &x, 1, &end));
    cr_expect(tg_error_of(t) && strstr(tg_error_of(t)->message, "scan: step 2: "), "%s",
              tg_error_of(t) ? tg_error_of(t)->message : "no error");
    tg_tape_free(t);
    tg_program_free(body);
}

/* ---- errors -------------------------------------------------------------------------------------- */

/* Long because of its table: each thing that does not fit. */
Test(scan, what_does_not_fit_is_an_error)
{
    tg_program *const body = compile_step(&(loop_kind){ .stop = true, .limit = 9 });
    tg_program *const single = compile_step(&(loop_kind){ .type = TG_F32, .stop = true, .limit = 9 });
    tg_tape *const t = tg_tape_new(NULL), *const f32 =
                                              tg_tape_new(&(tg_tape_options){ .type = TG_F32 });
    const loop_kind k = { .steps = 4 };
    Value x[INPUTS], y[INPUTS], out[OUTPUTS];
    make_inputs(t, &k, x);
    make_inputs(f32, &k, y);
    const tg_scan_options right = {
        .steps = 4, .states = STATES, .each = EACH, .summed = SUMMED, .stop = true
    };
    tg_scan_options o = right;
    cr_expect(tg_scan(body, &o, x, INPUTS, out));
    expect_error(t, tg_scan(NULL, &o, x, INPUTS, out), TG_ERROR_ARGUMENT, "the body is NULL");
    expect_error(t, tg_scan(body, NULL, x, INPUTS, out), TG_ERROR_ARGUMENT, "the options are NULL");
    expect_error(t, tg_scan(body, &o, x, INPUTS, NULL), TG_ERROR_ARGUMENT,
                 "the list of outputs is NULL");
    const struct {
        tg_scan_options o;
        const char *text;
    } rows[] = {
        { { .steps = -1 }, "the number of steps is negative or above 2^31" },
        { { .steps = INT64_MAX }, "the number of steps is negative or above 2^31" },
        { { .slots = -1 }, "the number of slots is negative" },
        { { .states = -1 }, "a number in the options is negative" },
        { { .states = 5, .each = 2 },
          "the body has fewer inputs than states and what there is for each step" },
        { { .states = 4, .summed = 2, .stop = true },
          "the body has fewer outputs than states, sums and the stop condition" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_error(t, tg_scan(body, &rows[i].o, x, INPUTS, out), TG_ERROR_ARGUMENT, rows[i].text);
    o.steps = 3;
    expect_error(t, tg_scan(body, &o, x, INPUTS, out), TG_ERROR_SHAPE,
                 "scan: input 2 has shape (4, 3), wanted are 3 times (3)");
    expect_error(t, tg_scan(body, &right, x, INPUTS - 1, out), TG_ERROR_ARGUMENT,
                 "5 inputs given, the body has 6");
    expect_error(t, tg_scan(single, &right, x, INPUTS, out), TG_ERROR_TYPE,
                 "the body computes in f32, the tape in f64");
    o.steps = (1 << 24) + 1;
    expect_error(f32, tg_scan(single, &o, y, INPUTS, out), TG_ERROR_ARGUMENT,
                 "a scan that stops has at most 2^24 steps in f32");

    /* Bodies that are none. */
    Value w = tg_param(t, (double *)NULL, 3);
    Value both = mul(w, 2), total = sum(w), index = argmax(w, .axis = 0);
    tg_status status = { 0 };
    tg_program *const integers = tg_compile(TG_VALUES(both, index), NULL, 0, &w, 1, NULL, &status);
    tg_program *const shrinks = tg_compile(&total, 1, NULL, 0, &w, 1, NULL, &status);
    tg_program *const stops = tg_compile(TG_VALUES(both, both), NULL, 0, &w, 1, NULL, &status);
    cr_assert(integers && shrinks && stops, "%s", status.message);
    const tg_scan_options one = { .steps = 2, .states = 1 },
                          stop = { .steps = 2, .states = 1, .stop = true };
    expect_error(t, tg_scan(integers, &one, &w, 1, out), TG_ERROR_ARGUMENT,
                 "of the body, output 1 is one of integers");
    expect_error(t, tg_scan(shrinks, &one, &w, 1, out), TG_ERROR_ARGUMENT,
                 "state 0 comes out of the body in another shape");
    expect_error(t, tg_scan(stops, &stop, &w, 1, out), TG_ERROR_ARGUMENT,
                 "the stop condition, output 1 of the body, is not one number");

    /* What a step refuses. */
    const int64_t beyond[] = { 0, 1, 2, ROWS };
    Value wrong[INPUTS];
    memcpy(wrong, x, sizeof x);
    wrong[3] = tg_index_new(t, 8, beyond, 2, (const int64_t[]){ 4, 1 }, NULL);
    expect_error(t, tg_scan(body, &right, wrong, INPUTS, out), TG_ERROR_INDEX, "scan: step 3: ");
    tg_program *const all[] = { body, single, integers, shrinks, stops };
    for (size_t j = 0; j < sizeof all / sizeof *all; j++) tg_program_free(all[j]);
    tg_tape_free(t);
    tg_tape_free(f32);
}
