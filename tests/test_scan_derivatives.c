/* Derivatives of programs that have loops: along directions, transposed, to the third order; in how much
   memory. Rules are compared with differences and with each other: <u, J v> = <J'u, v>. */
#include <tapegrad.h>
#include <tapegrad/short.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "expect.h"
#include "loop_sample.h"
#include "program/run.h"

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(scan_derivatives, .init = quiet);

/* ---- programs and their arguments ---------------------------------------------------------------- */

enum { IN = 5, BATCH = 2, MOST = 400 };

/* Those of the sample but the integers: what varies, what is shared. */
static const int taken_from[IN] = { 0, 2, 1, 4, 5 }, all[IN] = { 0, 1, 2, 3, 4 };

static void sizes_of(const loop_kind *k, size_t *size)
{
    const size_t of[IN] = { WIDTH, (size_t)k->steps * WIDTH, 1, WIDTH * WIDTH, ROWS * WIDTH };
    memcpy(size, of, sizeof of);
}

static size_t sum_of(const size_t *size, int n)
{
    size_t sum = 0;
    for (int i = 0; i < n; i++) sum += size[i];
    return sum;
}

/* All that the loop makes, or one number of it. */
static tg_program *loop_program(const loop_kind *k, const tg_program *body, int64_t slots, bool number)
{
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = k->type });
    Value x[INPUTS], in[IN], out[OUTPUTS];
    make_inputs(t, k, x);
    record_loop(k, body, x, slots, out);
    for (int i = 0; i < IN; i++) in[i] = x[taken_from[i]];
    if (number) out[0] = loss_of(out[0], out[1], out[2], out[3], out[4]);
    tg_status status = { 0 };
    tg_program *const p = tg_compile(out, number ? 1 : 5, in, BATCH, in + BATCH, IN - BATCH, NULL, &status);
    cr_assert(p, "%s", status.message);
    tg_tape_free(t);
    return p;
}

static tg_program *made(tg_program *p, const tg_status *status)
{
    cr_assert(p, "%s", status->message);
    return p;
}

/* One run of one instance, of inputs and outputs one behind the other. Returns the elements of outputs. */
static size_t evaluate(const tg_program *p, const size_t *size, const double *x, double *y)
{
    const void *in[4 * IN];
    void *out[4 * IN];
    size_t n = 0;
    for (int i = 0; i < tg_program_inputs(p); i++) {
        in[i] = x;
        x += size[i];
    }
    for (int i = 0; i < tg_program_outputs(p); i++) {
        out[i] = y + n;
        n += (size_t)tg_program_output_size(p, i, NULL);
    }
    tg_status status = { 0 };
    tg_workspace *const w = tg_workspace_new(p, 1, &status);
    cr_assert(w && tg_run(p, w, 1, in, out, &status), "%s", status.message);
    tg_workspace_free(w);
    return n;
}

/* The derivative of p's outputs along v, a direction of all its inputs, by differences. */
static size_t difference(const tg_program *p, const size_t *size, const double *x, const double *v, double *dy)
{
    static double at[4 * MOST], y[2][4 * MOST];
    const double h = 1e-5;
    const size_t n = sum_of(size, tg_program_inputs(p));
    size_t m = 0;
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < n; i++) at[i] = x[i] + (side ? h : -h) * v[i];
        m = evaluate(p, size, at, y[side]);
    }
    for (size_t i = 0; i < m; i++) dy[i] = (y[1][i] - y[0][i]) / (2 * h);
    return m;
}

static double inner(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void waves(double *x, size_t n, double phase)
{
    for (size_t i = 0; i < n; i++) x[i] = 0.8 * sin(phase + 1.3 * (double)i);
}

static void expect_number(const char *what, double got, double expected, double bound)
{
    cr_expect(fabs(got - expected) <= bound * (1 + fabs(expected)), "%s: %.17g, expected %.17g", what, got,
              expected);
}

static void free_all(tg_program *const *p, int n)
{
    for (int i = 0; i < n; i++) tg_program_free(p[i]); /* what is made of another one before that */
}

/* ---- against differences, and each other ---------------------------------------------------------- */

/* Differences of 1e-5 have rounding errors of 1e-11, times what the loop makes of them, and lose h^2 of
   the third derivatives. */
static const double near = 1e-7;

/* x, directions v and w of all of it, a cotangent u; room for results. */
typedef struct sample {
    size_t size[4 * IN], n, m; /* elements of x, of the outputs */
    double x[4 * MOST], v[MOST], w[MOST], u[MOST], got[4 * MOST], want[4 * MOST];
} sample;

static void check_first(sample *s, tg_program *p, tg_program *j, tg_program *back)
{
    memcpy(s->x + s->n, s->v, s->n * sizeof *s->x);
    memcpy(s->size + IN, s->size, IN * sizeof *s->size);
    const size_t m = evaluate(j, s->size, s->x, s->got) / 2;
    cr_assert_eq(m, s->m);
    cr_assert_eq(evaluate(p, s->size, s->x, s->want), m);
    expect_close("outputs", s->got, s->want, m, 1e-14);
    difference(p, s->size, s->x, s->v, s->want);
    expect_close("along a direction", s->got + m, s->want, m, near);
    const double along = inner(s->u, s->got + m, m);
    memcpy(s->x + s->n, s->u, m * sizeof *s->x);
    for (int i = 0; i < tg_program_outputs(p); i++)
        s->size[IN + i] = (size_t)tg_program_output_size(p, i, NULL);
    cr_assert_eq(evaluate(back, s->size, s->x, s->got), s->n);
    expect_number("<J'u, v>", inner(s->got, s->v, s->n), along, 1e-13);
}

/* d/dw <u, J v> by differences, reverse over forward, forward over reverse. */
static void check_mixed(sample *s, tg_program *p, tg_program *j, tg_program *back)
{
    tg_status status = { 0 };
    tg_program *const reverse = made(tg_vjp_program(j, all, IN, &status), &status);
    tg_program *const forward = made(tg_jvp_program(back, all, IN, &status), &status);
    static double direction[4 * MOST];
    const int outputs = tg_program_outputs(p);
    const size_t n = s->n, m = s->m;
    memset(direction, 0, sizeof direction);
    memcpy(direction, s->w, n * sizeof *s->w);
    memcpy(s->x + n, s->v, n * sizeof *s->x);
    memcpy(s->size + IN, s->size, IN * sizeof *s->size);
    difference(j, s->size, s->x, direction, s->want);
    const double expected = inner(s->u, s->want + m, m);
    memset(s->x + 2 * n, 0, m * sizeof *s->x);
    memcpy(s->x + 2 * n + m, s->u, m * sizeof *s->x);
    for (int i = 0; i < 2 * outputs; i++)
        s->size[2 * IN + i] = (size_t)tg_program_output_size(p, i % outputs, NULL);
    cr_assert_eq(evaluate(reverse, s->size, s->x, s->got), n);
    expect_number("reverse over forward", inner(s->got, s->w, n), expected, near);
    memcpy(s->size + IN, s->size + 2 * IN, (size_t)outputs * sizeof *s->size);
    memcpy(s->size + IN + outputs, s->size, IN * sizeof *s->size);
    memcpy(s->x + n, s->u, m * sizeof *s->x);
    memcpy(s->x + n + m, s->w, n * sizeof *s->x);
    cr_assert_eq(evaluate(forward, s->size, s->x, s->got), 2 * n);
    expect_number("forward over reverse", inner(s->got + n, s->v, n), expected, near);
    free_all((tg_program *[]){ reverse, forward }, 2);
}

/* Of one number: the gradient, its derivative along v, the derivative of that along w. */
static void check_number(sample *s, tg_program *p)
{
    tg_status status = { 0 };
    const tg_gradient_options o = { .wrt = all, .n_wrt = IN };
    tg_program *const g = made(tg_gradient_program(p, &o, &status), &status);
    tg_program *const j = made(tg_jvp_program(p, all, IN, &status), &status);
    tg_program *const h = made(tg_hvp_program(p, &o, &status), &status);
    tg_program *const third = made(tg_jvp_program(h, all, IN, &status), &status);
    const size_t n = s->n;
    static double direction[4 * MOST];
    memset(direction, 0, sizeof direction);
    memcpy(s->x + n, s->v, n * sizeof *s->x);
    memcpy(s->size + IN, s->size, IN * sizeof *s->size);
    evaluate(g, s->size, s->x, s->got);
    evaluate(j, s->size, s->x, s->want);
    expect_number("along v", inner(s->got + 1, s->v, n), s->want[1], 1e-13);
    difference(g, s->size, s->x, s->v, s->want);
    evaluate(h, s->size, s->x, s->got);
    expect_close("H v", s->got + 1, s->want + 1, n, near);
    const double product = inner(s->got + 1, s->w, n);
    memcpy(s->x + n, s->w, n * sizeof *s->x);
    evaluate(h, s->size, s->x, s->got);
    expect_number("<H w, v>", inner(s->got + 1, s->v, n), product, 1e-12);
    memcpy(direction, s->v, n * sizeof *direction);
    difference(h, s->size, s->x, direction, s->want);
    memcpy(s->x + 2 * n, s->v, n * sizeof *s->x);
    memcpy(s->size + 2 * IN, s->size, IN * sizeof *s->size);
    evaluate(third, s->size, s->x, s->got);
    expect_close("d/dv H w", s->got + 2 + n, s->want + 1, n, 10 * near);
    free_all((tg_program *[]){ third, h, j, g }, 4);
}

static void check_kind(const loop_kind *k, int64_t slots)
{
    static sample s;
    tg_status status = { 0 };
    tg_program *const body = compile_step(k);
    tg_program *const p = loop_program(k, body, slots, false), *const number = loop_program(k, body, slots, true);
    tg_program *const j = made(tg_jvp_program(p, all, IN, &status), &status);
    tg_program *const back = made(tg_vjp_program(p, all, IN, &status), &status);
    sizes_of(k, s.size);
    s.n = sum_of(s.size, IN);
    s.m = 2 * WIDTH + 2 + (size_t)k->steps * WIDTH;
    cr_assert(s.n <= MOST);
    waves(s.x, s.n, 1);
    waves(s.v, s.n, 2);
    waves(s.w, s.n, 3);
    waves(s.u, s.m, 4);
    check_first(&s, p, j, back);
    check_mixed(&s, p, j, back);
    check_number(&s, number);
    free_all((tg_program *[]){ back, j, number, p, body }, 5);
}

Test(scan_derivatives, agree_with_differences_and_each_other_to_the_third_order)
{
    const int64_t steps[] = { 0, 1, 2, 7, 20 };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        check_kind(&(loop_kind){ .steps = steps[i] }, 0);
        check_kind(&(loop_kind){ .steps = steps[i], .reverse = true }, 2);
        check_kind(&(loop_kind){ .steps = steps[i], .batch = true }, steps[i]);
        check_kind(&(loop_kind){ .steps = steps[i], .stop = true, .limit = 9 }, 1);
    }
    check_kind(&(loop_kind){ .steps = 5, .o = { .without = ~0u } }, 0);
}

Test(scan_derivatives, stop_where_the_loop_stops)
{
    const double limit[] = { -0.1, 0.2, 0.35 };
    for (size_t i = 0; i < sizeof limit / sizeof *limit; i++)
        for (int64_t slots = 0; slots < 3; slots++)
            check_kind(&(loop_kind){ .steps = 20, .stop = true, .limit = limit[i], .reverse = slots == 2 }, slots);
}

/* ---- bit for bit ---------------------------------------------------------------------------------- */

enum { COUNT = 5, DERIVATIVES = 3, STEPS = 12 };

/* The number's gradient, derivative along a direction, HVP. */
static void derive(tg_program *p, tg_program **d)
{
    tg_status status = { 0 };
    const tg_gradient_options o = { .wrt = all, .n_wrt = IN };
    d[0] = made(tg_gradient_program(p, &o, &status), &status);
    d[1] = made(tg_jvp_program(p, all, IN, &status), &status);
    d[2] = made(tg_hvp_program(p, &o, &status), &status);
}

/* Of a batch. Returns the bytes of the outputs. */
static size_t run_batch(const tg_program *p, const size_t *size, int threads, double *y)
{
    static double x[2 * IN][COUNT * STEPS * WIDTH];
    const void *in[2 * IN];
    void *out[2 * IN];
    size_t n = 0;
    for (int i = 0; i < 2 * IN; i++) {
        waves(x[i], COUNT * size[i % IN], i);
        in[i] = x[i];
    }
    for (int i = 0; i < tg_program_outputs(p); i++) {
        bool each;
        const size_t one = (size_t)tg_program_output_size(p, i, &each);
        out[i] = y + n;
        n += one * (each ? COUNT : 1);
    }
    tg_status status = { 0 };
    tg_workspace *const w = tg_workspace_new(p, threads, &status);
    cr_assert(w && tg_run(p, w, COUNT, in, out, &status), "%s", status.message);
    tg_workspace_free(w);
    return n * sizeof *y;
}

Test(scan_derivatives, have_the_same_bits_for_any_threads_and_any_slots)
{
    static double first[DERIVATIVES][COUNT * MOST], again[COUNT * MOST];
    const loop_kind kinds[] = { { .steps = STEPS }, { .steps = STEPS, .stop = true, .limit = 0.2 } };
    const int64_t slots[] = { 0, 1, 3, 5, STEPS };
    const int threads[] = { 1, 2, 7 };
    for (int i = 0; i < 2; i++) {
        tg_program *const body = compile_step(&kinds[i]);
        size_t size[IN];
        sizes_of(&kinds[i], size);
        for (int s = 0; s < 5; s++) {
            tg_program *d[DERIVATIVES], *const p = loop_program(&kinds[i], body, slots[s], true);
            derive(p, d);
            for (int j = 0; j < DERIVATIVES * 3; j++) {
                const bool is_first = s == 0 && j < DERIVATIVES;
                double *const y = is_first ? first[j] : again;
                const size_t bytes = run_batch(d[j % DERIVATIVES], size, threads[j / DERIVATIVES], y);
                cr_expect(memcmp(y, first[j % DERIVATIVES], bytes) == 0, "derivative %d, %d slots, %d threads",
                          j % DERIVATIVES, (int)slots[s], threads[j / DERIVATIVES]);
            }
            free_all(d, DERIVATIVES);
            tg_program_free(p);
        }
        tg_program_free(body);
    }
}

/* ---- several at once ------------------------------------------------------------------------------ */

Test(scan_derivatives, along_several_directions_are_those_along_each)
{
    enum { K = 3 };
    static double x[3 * MOST], one[3 * MOST], many[2 * K * MOST];
    const loop_kind k = { .steps = 6 };
    tg_status status = { 0 };
    tg_program *const body = compile_step(&k), *const p = loop_program(&k, body, 0, false);
    tg_program *const j = made(tg_jvp_program(p, all, IN, &status), &status);
    tg_program *const several = made(tg_jvps_program(p, all, IN, K, &status), &status);
    size_t size[2 * IN], wide[2 * IN];
    sizes_of(&k, size);
    sizes_of(&k, size + IN);
    const size_t n = sum_of(size, IN), m = 2 * WIDTH + 2 + (size_t)k.steps * WIDTH;
    for (int i = 0; i < 2 * IN; i++) wide[i] = size[i] * (i < IN ? 1 : K);
    waves(x, n + K * n, 1);
    evaluate(several, wide, x, many);
    for (size_t d = 0; d < K; d++) {
        static double single[2 * MOST];
        size_t at = n, to = n, from = m, begin = m;
        memcpy(single, x, n * sizeof *x);
        for (int i = 0; i < IN; i++) {
            memcpy(single + to, x + at + d * size[i], size[i] * sizeof *x);
            at += K * size[i];
            to += size[i];
        }
        evaluate(j, size, single, one);
        for (int i = 0; i < tg_program_outputs(p); i++) {
            const size_t length = (size_t)tg_program_output_size(p, i, NULL);
            expect_close("a direction of several", many + from + d * length, one + begin, length, 1e-14);
            from += K * length;
            begin += length;
        }
    }
    free_all((tg_program *[]){ several, j, p, body }, 4);
}

/* One number goes in, more come out: the Jacobian is a column for each. */
Test(scan_derivatives, make_jacobians_by_columns)
{
    static double x[2 * MOST], y[2 * MOST], column[2 * MOST];
    const loop_kind k = { .steps = 6 };
    const int number = 2;
    tg_status status = { 0 };
    tg_program *const body = compile_step(&k), *const p = loop_program(&k, body, 0, false);
    tg_program *const jacobian = made(tg_jacobian_program(p, &number, 1, &status), &status);
    tg_program *const j = made(tg_jvp_program(p, &number, 1, &status), &status);
    size_t size[IN + 1] = { 0 };
    sizes_of(&k, size);
    size[IN] = 1;
    const size_t n = sum_of(size, IN);
    waves(x, n, 1);
    x[n] = 1;
    const size_t all_outputs = evaluate(jacobian, size, x, y);
    cr_assert_eq(evaluate(j, size, x, column), all_outputs);
    expect_close("Jacobian", y, column, all_outputs, 1e-14);
    free_all((tg_program *[]){ j, jacobian, p, body }, 4);
}

/* ---- memory --------------------------------------------------------------------------------------- */

/* x becomes sin(x a + b). */
static tg_program *small_step(void)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x[] = { tg_scalar(t, 0.1), tg_scalar(t, 0.8), tg_scalar(t, 0.3) };
    Value y = sin(add(mul(x[0], x[1]), x[2]));
    tg_status status = { 0 };
    tg_program *const p = made(tg_compile(&y, 1, NULL, 0, x, 3, NULL, &status), &status);
    tg_tape_free(t);
    return p;
}

static tg_program *small_loop(const tg_program *body, int64_t steps, int64_t slots)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x[] = { tg_scalar(t, 0.1), tg_scalar(t, 0.8), tg_scalar(t, 0.3) }, end;
    const tg_scan_options o = { .steps = steps, .states = 1, .slots = slots };
    cr_assert(tg_scan(body, &o, x, 3, &end));
    end = square(end);
    tg_status status = { 0 };
    tg_program *const p = made(tg_compile(&end, 1, NULL, 0, x, 3, NULL, &status), &status);
    tg_tape_free(t);
    return p;
}

/* What a workspace has obtained when a run is done. */
static size_t bytes_of_run(const tg_program *p)
{
    const double x[] = { 0.1, 0.8, 0.3 };
    const void *const in[] = { x, x + 1, x + 2, x, x + 1, x + 2 };
    double y[4];
    void *const out[] = { y, y + 1, y + 2, y + 3 };
    tg_status status = { 0 };
    tg_workspace *const w = tg_workspace_new(p, 1, &status);
    cr_assert(w && tg_run(p, w, 1, in, out, &status), "%s", status.message);
    const size_t bytes = w->memory.bytes + w->desk[0].memory.bytes;
    tg_workspace_free(w);
    return bytes;
}

/* Of the gradient, the derivative along a direction, the HVP. */
static void bytes_of(int64_t steps, int64_t slots, size_t bytes[DERIVATIVES])
{
    tg_program *const body = small_step(), *const p = small_loop(body, steps, slots);
    tg_status status = { 0 };
    tg_program *const d[] = { made(tg_gradient_program(p, NULL, &status), &status),
                              made(tg_jvp_program(p, NULL, 0, &status), &status),
                              made(tg_hvp_program(p, NULL, &status), &status) };
    for (int i = 0; i < DERIVATIVES; i++) bytes[i] = bytes_of_run(d[i]);
    free_all(d, DERIVATIVES);
    free_all((tg_program *[]){ p, body }, 2);
}

Test(scan_derivatives, take_the_memory_of_the_checkpoints)
{
    enum { LONG = 200000 };
    size_t root[DERIVATIVES], few[DERIVATIVES], more[DERIVATIVES], every[DERIVATIVES];
    bytes_of(LONG, 0, root);
    bytes_of(LONG, 20, few);
    bytes_of(10 * LONG, 20, more);
    bytes_of(LONG, LONG, every);
    for (int i = 0; i < DERIVATIVES; i++) {
        /* 633 checkpoints, of 16 bytes in a HVP, here and there, and of what is smaller pages and doubling. */
        cr_expect(root[i] < 200000, "derivative %d: %zu bytes", i, root[i]);
        cr_expect(few[i] < 60000, "derivative %d: %zu bytes", i, few[i]);
        cr_expect(more[i] <= few[i], "derivative %d: %zu bytes, of fewer steps %zu", i, more[i], few[i]);
        cr_expect(every[i] >= LONG * sizeof(double), "derivative %d: %zu bytes", i, every[i]);
    }
}

/* The gradient on a tape is that of a program, bit for bit, and what is recorded of it no longer. */
Test(scan_derivatives, on_a_tape_take_no_more)
{
    enum { LONG = 200000, X = 3 };
    tg_program *const body = small_step();
    tg_tape *const t = tg_tape_new(NULL);
    Value x[] = { tg_scalar(t, 0.1), tg_scalar(t, 0.8), tg_scalar(t, 0.3) }, end, g[X];
    cr_assert(tg_scan(body, &(tg_scan_options){ .steps = LONG, .states = 1 }, x, X, &end));
    Value l = square(end);
    double by_rule[X], recorded[X], direction[] = { 1, 2, 3 }, along, product[X];
    cr_assert(tg_backward(l));
    for (int i = 0; i < X; i++) by_rule[i] = tg_grad_item(x[i]);
    cr_assert(tg_grad_values(&l, NULL, 1, x, X, g), "%s", tg_error_of(t)->message);
    for (int i = 0; i < X; i++) recorded[i] = tg_item(g[i]);
    expect_close("recorded", recorded, by_rule, X, 0);
    cr_assert(tg_jvp(l, x, X, direction, 1, &along));
    expect_number("along a direction", along, inner(by_rule, direction, X), 1e-12);
    cr_assert(tg_hvp(l, x, X, direction, 1, product));
    for (int i = 0; i < X; i++) { /* forward over reverse */
        double row;
        cr_assert(tg_jvp(g[i], x, X, direction, 1, &row), "%s", tg_error_of(t)->message);
        expect_number("of a gradient along a direction", row, product[i], 1e-12);
    }
    cr_expect_lt(tg_stats(t).bytes_held, 1500000);
    tg_tape_free(t);
    tg_program_free(body);
}

/* ---- loops in loops, draws, conditions, users' operations ------------------------------------------ */

/* The derivative along v of p, which has one output, and of its gradient g by all inputs, against differences; x: all
   inputs of p, n elements of these sizes, and room for v behind them. */
static void check_along(tg_program *p, tg_program *g, const size_t *size, double *x, const double *v, size_t n,
                        double bound)
{
    static double got[2 * MOST], want[2 * MOST];
    const int inputs = tg_program_inputs(p);
    const tg_gradient_options o = { .wrt = all, .n_wrt = inputs };
    size_t both[4 * IN];
    tg_status status = { 0 };
    tg_program *const j = made(tg_jvp_program(p, all, inputs, &status), &status);
    tg_program *const h = made(tg_hvp_program(p, &o, &status), &status);
    memcpy(both, size, (size_t)inputs * sizeof *both);
    memcpy(both + inputs, size, (size_t)inputs * sizeof *both);
    memcpy(x + n, v, n * sizeof *x);
    evaluate(j, both, x, got);
    difference(p, size, x, v, want);
    expect_close("along a direction", got + 1, want, 1, near);
    evaluate(h, both, x, got);
    difference(g, size, x, v, want);
    expect_close("H v", got + 1, want + 1, n, bound);
    free_all((tg_program *[]){ h, j }, 2);
}

/* p of some numbers, one by one. */
static void check_scalars(tg_program *p, const double *x, int n)
{
    tg_status status = { 0 };
    const size_t size[IN] = { 1, 1, 1, 1, 1 };
    double at[2 * IN], v[IN];
    for (int i = 0; i < n; i++) at[i] = x[i], v[i] = 1 + i;
    tg_program *const g =
        made(tg_gradient_program(p, &(tg_gradient_options){ .wrt = all, .n_wrt = n }, &status), &status);
    check_along(p, g, size, at, v, (size_t)n, 10 * near);
    tg_program_free(g);
}

Test(scan_derivatives, of_loops_in_loops)
{
    tg_program *const inner_step = small_step(), *const inner_loop = small_loop(inner_step, 7, 0);
    tg_program *const p = small_loop(inner_loop, 5, 2);
    check_scalars(p, (const double[]){ 0.3, 0.9, 0.2 }, 3);
    free_all((tg_program *[]){ p, inner_loop, inner_step }, 3);
}

/* What a step drops is the same in all derivatives: the draws of a run are fixed. */
Test(scan_derivatives, draw_what_the_loop_draws)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x[] = { tg_scalar(t, 0.4), tg_scalar(t, 0.7), tg_scalar(t, 0.3) }, end;
    Value many = mul(x[1], tg_ones(t, 8));
    Value y = sin(add(mul(x[0], sum(dropout(many, .p = 0.5, .seed = 3))), x[2]));
    tg_status status = { 0 };
    tg_program *const body = made(tg_compile(&y, 1, NULL, 0, x, 3, NULL, &status), &status);
    cr_assert(tg_scan(body, &(tg_scan_options){ .steps = 6, .states = 1 }, x, 3, &end));
    tg_program *const p = made(tg_compile(&end, 1, NULL, 0, x, 3, NULL, &status), &status);
    check_scalars(p, (const double[]){ 0.4, 0.2, 0.3 }, 3);
    tg_tape_free(t);
    free_all((tg_program *[]){ p, body }, 2);
}

Test(scan_derivatives, hold_the_conditions_of_the_loop)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 1), y = x, end;
    y = tg_true(lt(x, 3)) ? add(x, mul(x, x)) : mul(x, 2);
    tg_status status = { 0 };
    tg_program *const body = made(tg_compile(&y, 1, NULL, 0, &x, 1, NULL, &status), &status);
    cr_assert(tg_scan(body, &(tg_scan_options){ .steps = 2, .states = 1 }, &x, 1, &end));
    tg_program *const p = made(tg_compile(&end, 1, NULL, 0, &x, 1, NULL, &status), &status);
    tg_program *const j = made(tg_jvp_program(p, NULL, 0, &status), &status);
    tg_workspace *const w = tg_workspace_new(j, 1, &status);
    double small = 0.5, large = 2, one = 1, out[2];
    void *const to[] = { out, out + 1 };
    cr_assert(tg_run(j, w, 1, (const void *[]){ &small, &one }, to, &status), "%s", status.message);
    expect_number("along 1", out[1], (1 + 2 * 0.5) * (1 + 2 * 0.75), 1e-14);
    cr_expect_not(tg_run(j, w, 1, (const void *[]){ &large, &one }, to, &status));
    cr_expect(strstr(status.message, "scan: step 1: "), "%s", status.message);
    tg_workspace_free(w);
    tg_tape_free(t);
    free_all((tg_program *[]){ j, p, body }, 3);
}

static bool cube(const tg_custom_call *c)
{
    const double x = *(const double *)c->x[0].data;
    *(double *)c->y.data = x * x * x;
    return true;
}

static bool cube_back(const tg_custom_call *c)
{
    const double x = *(const double *)c->x[0].data;
    *(double *)c->dx[0].data += 3 * x * x * *(const double *)c->g.data;
    return true;
}

static bool cube_derivative(const tg_custom_derivation *d)
{
    d->dx[0] = mul(d->g, mul(3, square(d->x[0])));
    return true;
}

Test(scan_derivatives, of_users_operations_go_by_what_they_have)
{
    tg_custom op = { .name = "cube", .operands = 1, .forward = cube, .backward = cube_back };
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 0.9), y = tg_custom_apply(&op, x), end;
    tg_status status = { 0 };
    tg_program *const body = made(tg_compile(&y, 1, NULL, 0, &x, 1, NULL, &status), &status);
    cr_assert(tg_scan(body, &(tg_scan_options){ .steps = 3, .states = 1 }, &x, 1, &end));
    tg_program *const p = made(tg_compile(&end, 1, NULL, 0, &x, 1, NULL, &status), &status);
    tg_program *const g = made(tg_gradient_program(p, NULL, &status), &status);
    const size_t size = 1;
    double at = 0.9, out[2];
    evaluate(g, &size, &at, out);
    expect_number("gradient", out[1], 27 * pow(at, 26), 1e-13);
    cr_expect_null(tg_jvp_program(p, NULL, 0, &status));
    cr_expect(strstr(status.message, "cube: it has neither .derivative nor .tangent"), "%s", status.message);
    op.derivative = cube_derivative;
    tg_program *const j = made(tg_jvp_program(p, NULL, 0, &status), &status);
    evaluate(j, (const size_t[]){ 1, 1 }, (const double[]){ at, 2 }, out);
    expect_number("along 2", out[1], 2 * 27 * pow(at, 26), 1e-13);
    tg_tape_free(t);
    free_all((tg_program *[]){ j, g, p, body }, 4);
}

Test(scan_derivatives, are_not_to_blame)
{
    tg_program *const body = small_step();
    tg_tape *const t = tg_tape_new(NULL);
    Value x[] = { tg_scalar(t, 0.1), tg_scalar(t, 0.8), tg_scalar(t, 0.3) }, end, g[3];
    cr_assert(tg_scan(body, &(tg_scan_options){ .steps = 9, .states = 1 }, x, 3, &end));
    Value l = square(end);
    cr_assert(tg_grad_values(&l, NULL, 1, x, 3, g));
    l = add(l, square(g[1]));
    tg_blame_report report;
    tg_status status = { 0 };
    cr_assert(tg_blame(l, &report, &status), "%s", status.message);
    cr_expect(report.wrong == 0 && report.skipped == 1, "%s", report.message);
    tg_tape_free(t);
    tg_program_free(body);
}

static uint32_t count_calls(const tg_program *p)
{
    uint32_t calls = 0;
    for (uint32_t i = 1; i < p->graph.n; i++) calls += tg__node_at(&p->graph, i)->op == TG__CODE_call;
    return calls;
}

/* Of what only decides, or is detached: no step is taken back for it. */
Test(scan_derivatives, by_what_no_step_depends_on_are_0)
{
    tg_tape *t = tg_tape_new(NULL);
    Value in[] = { tg_scalar(t, 1), tg_scalar(t, 2), tg_scalar(t, 3), tg_scalar(t, 4) };
    Value y = where(lt(in[0], in[1]), mul(in[0], in[2]), add(in[0], detach(in[3])));
    tg_status status = { 0 };
    tg_program *const body = made(tg_compile(&y, 1, NULL, 0, in, 4, NULL, &status), &status);
    tg_tape_free(t);
    const size_t size[] = { 1, 1, 1, 1 };
    const double at[] = { 1, 5, 1.5, 0.25 }, by_x = 1.5 * 1.5 * 1.5 * 1.5, by_factor = 4 * 1.5 * 1.5 * 1.5;
    for (int64_t steps = 0; steps < 7; steps += 6) {
        t = tg_tape_new(NULL);
        for (int i = 0; i < 4; i++) in[i] = tg_scalar(t, at[i]);
        cr_assert(tg_scan(body, &(tg_scan_options){ .steps = steps, .states = 1 }, in, 4, &y));
        tg_program *const p = made(tg_compile(&y, 1, NULL, 0, in, 4, NULL, &status), &status);
        tg_program *const every = made(tg_gradient_program(p, NULL, &status), &status);
        const tg_gradient_options o = { .wrt = (const int[]){ 1, 3 }, .n_wrt = 2 };
        tg_program *const two = made(tg_gradient_program(p, &o, &status), &status);
        double got[5];
        evaluate(every, size, at, got);
        expect_number("by the state", got[1], steps ? by_x : 1, 1e-14);
        expect_number("by the factor", got[3], steps ? by_factor : 0, 1e-14);
        cr_expect(got[2] == 0 && got[4] == 0 && tg_backward(y));
        for (int i = 0; i < 4; i++) cr_expect_eq(tg_grad_item(in[i]), got[1 + i]);
        evaluate(two, size, at, got);
        cr_expect(got[1] == 0 && got[2] == 0);
        cr_expect_eq(count_calls(every), 2);
        cr_expect_eq(count_calls(two), 1);
        tg_tape_free(t);
        free_all((tg_program *[]){ two, every, p }, 3);
    }
    tg_program_free(body);
}

/* More inputs than a gradient has bits for: those that are wanted beyond them are wanted together. */
Test(scan_derivatives, of_bodies_with_many_inputs)
{
    enum { MANY = 80 };
    static Value x[1 + MANY];
    static double in[3 * (1 + MANY)], got[3 * (1 + MANY)], want[3 * (1 + MANY)], v[3 * (1 + MANY)];
    const size_t size[] = { 1, MANY, 1, MANY };
    tg_tape *const t = tg_tape_new(NULL);
    Value start = tg_scalar(t, 0.5), factors = tg_zeros(t, MANY), end;
    x[0] = start;
    for (int i = 0; i < MANY; i++) x[1 + i] = tg_scalar(t, 0);
    Value y = x[0];
    for (int i = 0; i < MANY; i++) y = add(y, mul(sin(add(y, i)), mul(0.1, x[1 + i])));
    tg_status status = { 0 };
    tg_program *const body = made(tg_compile(&y, 1, NULL, 0, x, 1 + MANY, NULL, &status), &status);
    factors = tg_param(t, in, MANY);
    for (int i = 0; i < MANY; i++) x[1 + i] = at(factors, i);
    cr_assert(tg_scan(body, &(tg_scan_options){ .steps = 3, .states = 1 }, x, 1 + MANY, &end));
    tg_program *const p = made(tg_compile(&end, 1, NULL, 0, TG_VALUES(start, factors), NULL, &status), &status);
    const tg_gradient_options o = { .wrt = all, .n_wrt = 2 };
    tg_program *const g = made(tg_gradient_program(p, &o, &status), &status);
    tg_program *const along = made(tg_jvp_program(g, all, 2, &status), &status);
    waves(in, 1 + MANY, 1);
    waves(v, 1 + MANY, 2);
    check_along(p, g, size, in, v, 1 + MANY, near);
    difference(g, size, in, v, want);
    evaluate(along, size, in, got);
    expect_close("forward over reverse", got + 2 + MANY, want, 2 + MANY, near);
    tg_tape_free(t);
    free_all((tg_program *[]){ along, g, p, body }, 4);
}
