/* Programs as C, where there is more than values: conditions, states, random numbers, loops, calls,
   matrices without an inverse, NaN. All of them against tg_run. */
#define _POSIX_C_SOURCE 200809L
#include <tapegrad.h>
#include <tapegrad/short.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emitting.h"
#include "loop_sample.h"

TestSuite(emitted, .init = begin_emitted, .timeout = 300);

/* ---- entries -------------------------------------------------------------------------------------- */

/* A copy of n numbers in a type. */
static void *copied(tg_type type, const double *x, size_t n)
{
    double *const p = calloc(n + 1, sizeof *p);
    for (size_t i = 0; i < n; i++) {
        if (type == TG_F32) ((float *)(void *)p)[i] = (float)x[i];
        else p[i] = x[i];
    }
    return p;
}

static double *waves(size_t n, double phase)
{
    double *const x = calloc(n + 1, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = 0.8 * sin(phase + 1.7 * (double)i);
    return x;
}

/* Takes the entry over, with its program and inputs. */
static void add_described(entry *e, const char *what)
{
    tg_status s = { 0 };
    snprintf(e->text, sizeof e->text, "%s", what);
    const bool written = add_entry(*e, &s);
    cr_expect(written, "%s: %s", what, s.message);
}

/* How the inputs of a program look: their elements, and whether there is one for each instance. */
typedef struct inputs {
    int n, n_batch;
    const size_t *size;
    tg_type type;
    int instances;
    uint64_t run;
    double bound;
} inputs;

static void add_waves(const inputs *in, tg_program *p, const char *what)
{
    cr_assert(p, "%s", what);
    entry e = { .run = in->run, .bound = in->bound };
    describe(&e, p, in->type, in->instances);
    for (int i = 0; i < e.inputs; i++) {
        const int like = i % in->n;
        const size_t n = in->size[like] * (size_t)(like < in->n_batch ? in->instances : 1);
        double *const x = waves(n, 1 + i);
        e.input[i] = copied(in->type, x, n);
        free(x);
    }
    add_described(&e, what);
}

/* The program, its gradient, derivative along a direction and Hessian times one. */
static void add_all(const inputs *in, tg_program *p, const char *what)
{
    tg_status s = { 0 };
    int wrt[EMITTED_MOST];
    char text[100];
    for (int i = 0; i < in->n; i++) wrt[i] = i;
    const tg_gradient_options o = { .wrt = wrt, .n_wrt = in->n };
    tg_program *const made[] = { p, tg_gradient_program(p, &o, &s), tg_jvp_program(p, wrt, in->n, &s),
                                 tg_hvp_program(p, &o, &s) };
    for (int i = 3; i >= 0; i--) {
        snprintf(text, sizeof text, "%s: %s", what,
                 (const char *const[]){ "value", "gradient", "JVP", "HVP" }[i]);
        cr_assert(made[i], "%s: %s", text, s.message);
        add_waves(in, made[i], text);
    }
}

/* ---- conditions ----------------------------------------------------------------------------------- */

/* y = a x if x < 3, recorded for x = 1, a = 2. */
static tg_program *conditional(bool varies, bool gradient)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value v[] = { tg_scalar(t, 1), tg_scalar(t, 2) }, y = v[0];
    y = tg_true(lt(v[0], 3)) ? mul(v[1], v[0]) : y;
    if (tg_true(gt(v[1], 5))) y = add(y, 1);
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&y, 1, v, varies, v + varies, varies ? 1 : 2, NULL, &s);
    cr_assert(p, "%s", s.message);
    tg_program *const g = tg_gradient_program(p, &(tg_gradient_options){ .wrt = (int[]){ 1 }, .n_wrt = 1 }, &s);
    tg_tape_free(t);
    tg_program_free(gradient ? p : g);
    return gradient ? g : p;
}

Test(emitted, a_condition_that_turns_makes_the_function_false)
{
    const double x[][2] = { { 1, -2 }, { 1, 4 }, { 5, 6 }, { 2, 1 } }, a[] = { 2, 2, 2, 6 };
    for (int i = 0; i < 4; i++)
        for (int varies = 0; varies < 2; varies++)
            for (int gradient = 0; gradient < 2; gradient++) {
                entry e = { .bound = 1e-14, .fails = i == 2 || i == 3 || (varies && i == 1) };
                describe(&e, conditional(varies, gradient), TG_F64, 2);
                e.input[0] = copied(TG_F64, x[i], 2);
                e.input[1] = copied(TG_F64, a + i, 1);
                add_described(&e, "a condition");
                cr_expect(strstr(last_emitted(), "it was true when it was recorded"));
            }
    check_emitted();
}

/* A running mean, a count, and what the count was; and two that change places. */
Test(emitted, states_are_overwritten)
{
    enum { OVERWRITTEN = 5, ALL = OVERWRITTEN + 2 };
    const double zeros[12] = { 0 }, start[OVERWRITTEN][3] = { { 1, 2, 3 }, { 4 }, { -1 }, { 0.5 }, { 0.25 } };
    for (int gradient = 0; gradient < 2; gradient++) {
        tg_tape *const t = tg_tape_new(NULL);
        Value in[ALL] = { tg_input(t, zeros, 4, 3), tg_param(t, zeros, 3), tg_input(t, zeros, 3) };
        for (int i = 3; i < ALL; i++) in[i] = tg_scalar(t, 0);
        Value m = mean(in[0], .axis = 0), runs = in[3];
        Value loss = sum(mul(in[1], log(add(2, square(add(sub(in[0], m), runs))))));
        const Value next[] = { add(mul(in[2], 0.75), mul(m, 0.25)), add(runs, 1), runs, in[6], in[5] };
        const tg_compile_options o = { .state = in + 2, .next = next, .n_state = OVERWRITTEN };
        tg_status s = { 0 };
        tg_program *const p = tg_compile(&loss, 1, NULL, 0, in, ALL, &o, &s);
        cr_assert(p, "%s", s.message);
        tg_program *const g = tg_gradient_program(p, NULL, &s);
        entry e = { .bound = 1e-14, .state = { 0, 0, 3, 1, 1, 1, 1 } };
        describe(&e, gradient ? g : p, TG_F64, 1);
        e.input[0] = waves(12, 0);
        e.input[1] = waves(3, 1);
        for (int i = 0; i < OVERWRITTEN; i++) e.input[2 + i] = copied(TG_F64, start[i], 3);
        add_described(&e, "states");
        tg_program_free(gradient ? p : g);
        tg_tape_free(t);
    }
    check_emitted();
}

/* Two directions, or cotangents, of each input in one run. */
Test(emitted, several_directions_at_once)
{
    enum { N = 3, COUNT = 2, INSTANCES = 4 };
    const double zeros[N] = { 0 };
    const int wrt[] = { 0, 1 };
    tg_tape *const t = tg_tape_new(NULL);
    Value x[] = { tg_input(t, zeros, N), tg_param(t, zeros, N) };
    Value y = sum(sin(mul(x[0], exp(x[1]))));
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&y, 1, x, 1, x + 1, 1, NULL, &s);
    const tg_gradient_options o = { .wrt = wrt, .n_wrt = 2, .count = COUNT, .with_gradient = true };
    tg_program *const made[] = { tg_jvps_program(p, wrt, 2, COUNT, &s), tg_hvp_program(p, &o, &s),
                                 tg_vjps_program(p, wrt, 2, COUNT, &s) };
    for (int i = 0; i < 3; i++) {
        cr_assert(made[i], "%s", s.message);
        entry e = { .bound = 1e-13 };
        describe(&e, made[i], TG_F64, INSTANCES);
        for (int j = 0; j < e.inputs; j++) e.input[j] = waves(COUNT * N * INSTANCES, 1 + j);
        add_described(&e, "several directions");
    }
    tg_program_free(p);
    tg_tape_free(t);
    check_emitted();
}

/* ---- random numbers ------------------------------------------------------------------------------- */

Test(emitted, what_is_dropped_is_what_the_run_drops)
{
    enum { N = 7, COUNT = 5 };
    for (int kind = 0; kind < 12; kind++) {
        const tg_type type = kind % 2 ? TG_F32 : TG_F64;
        tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = type });
        const double d[N] = { 0 };
        Value x[] = { tg_input(t, d, N), tg_param(t, d, N) };
        Value kept = dropout(mul(x[0], add(x[1], 1)), .p = 0.4, .seed = kind - 3, .run = kind / 6);
        Value y = sum(sin(mul(kept, dropout(x[1], .p = 0.25, .seed = 9))));
        tg_status s = { 0 };
        tg_program *const p = tg_compile(&y, 1, x, 1, x + 1, 1, NULL, &s);
        const size_t size[] = { N, N };
        const inputs in = { .n = 2, .n_batch = 1, .size = size, .type = type, .instances = COUNT,
                            .run = kind % 3 ? (uint64_t)kind << 31 : 0,
                            .bound = type == TG_F32 ? 1e-5 : 1e-13 };
        add_all(&in, p, "dropout");
        tg_tape_free(t);
    }
    check_emitted();
}

/* ---- loops ---------------------------------------------------------------------------------------- */

enum { STEPS = 5 };

/* A number of all that the loop makes, and a state where it does not stop. */
static tg_program *looping(const loop_kind *k, const tg_program *body, int64_t slots)
{
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = k->type });
    Value x[INPUTS], out[OUTPUTS];
    make_inputs(t, k, x);
    record_loop(k, body, x, slots, out);
    /* The first state and the vectors vary; the rows are a constant. */
    const Value in[] = { x[0], x[2], x[1], x[4], x[5] };
    const Value outputs[] = { loss_of(out[0], out[1], out[2], out[3], out[4]), out[1] };
    tg_status s = { 0 };
    tg_program *const p = tg_compile(outputs, k->stop ? 1 : 2, in, 2, in + 2, 3, NULL, &s);
    cr_assert(p, "%s", s.message);
    tg_tape_free(t);
    return p;
}

Test(emitted, loops_and_what_they_are_differentiated_to)
{
    enum { KINDS = 8 };
    const size_t size[] = { WIDTH, STEPS * WIDTH, 1, WIDTH * WIDTH, ROWS * WIDTH };
    tg_program *body[KINDS];
    for (int kind = 0; kind < KINDS; kind++) {
        const loop_kind k = { .type = kind == 3 ? TG_F32 : TG_F64,
                              .stop = kind == 1 || kind == 7,
                              .reverse = kind == 2 || kind == 3 || kind == 7,
                              .batch = kind == 4,
                              .limit = 0.3,
                              .steps = STEPS };
        char text[60];
        snprintf(text, sizeof text, "scan of kind %d", kind);
        const inputs in = { .n = 5, .n_batch = 2, .size = size, .type = k.type, .instances = 3,
                            .bound = k.type == TG_F32 ? 1e-4 : 1e-12 };
        body[kind] = compile_step(&k);
        add_all(&in, looping(&k, body[kind], kind == 5 ? STEPS : kind == 6 ? 1 : 0), text);
    }
    check_emitted();
    for (int kind = 0; kind < KINDS; kind++) tg_program_free(body[kind]);
}

/* x becomes tanh(factor x) plus a number of the step. */
static tg_program *chain_body(void)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x[] = { tg_scalar(t, 0.1), tg_scalar(t, 0.2), tg_scalar(t, 0.3) };
    Value y = tanh(add(mul(x[0], x[2]), x[1]));
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&y, 1, NULL, 0, x, 3, NULL, &s);
    cr_assert(p, "%s", s.message);
    tg_tape_free(t);
    return p;
}

Test(emitted, loops_in_loops)
{
    const double d[STEPS] = { 0 };
    tg_program *const inner = chain_body();
    tg_tape *const t = tg_tape_new(NULL);
    Value x[] = { tg_scalar(t, 0.3), tg_param(t, d, STEPS), tg_scalar(t, 0.8) }, end[1];
    tg_scan_options o = { .steps = STEPS, .states = 1, .each = 1 };
    cr_assert(tg_scan(inner, &o, x, 3, end));
    tg_status s = { 0 };
    tg_program *const outer = tg_compile(end, 1, NULL, 0, x, 3, NULL, &s);
    cr_assert(outer, "%s", s.message);
    o = (tg_scan_options){ .steps = 3, .states = 1 };
    cr_assert(tg_scan(outer, &o, x, 3, end));
    tg_program *const p = tg_compile(end, 1, x, 1, x + 1, 2, NULL, &s);
    const inputs in = { .n = 3, .n_batch = 1, .size = (size_t[]){ 1, STEPS, 1 }, .instances = 4, .bound = 1e-12 };
    add_all(&in, p, "a loop of loops");
    tg_tape_free(t);
    check_emitted();
    tg_program_free(outer);
    tg_program_free(inner);
}

/* Its states would not find room on the stack: a gradient keeps those of a stretch at a time. */
Test(emitted, gradients_of_long_loops)
{
    enum { LONG = 300000 };
    tg_program *const body = chain_body();
    tg_tape *const t = tg_tape_new(NULL);
    Value x[] = { tg_scalar(t, 0.3), tg_scalar(t, 0.1), tg_scalar(t, 0.8) }, end[1];
    cr_assert(tg_scan(body, &(tg_scan_options){ .steps = LONG, .states = 1 }, x, 3, end));
    tg_status s = { 0 };
    tg_program *const p = tg_compile(end, 1, NULL, 0, x, 3, NULL, &s);
    const inputs in = { .n = 3, .size = (size_t[]){ 1, 1, 1 }, .instances = 1, .bound = 1e-11 };
    add_all(&in, p, "a long loop");
    tg_tape_free(t);
    check_emitted();
    tg_program_free(body);
}

/* Each step draws for itself, forward and in the gradient; and a condition may end it. */
Test(emitted, loops_that_draw_or_fail)
{
    enum { N = 4 };
    const double d[N] = { 0 };
    tg_program *body[2];
    for (int guarded = 0; guarded < 2; guarded++) {
        tg_tape *const t = tg_tape_new(NULL);
        Value x[] = { tg_param(t, d, N), tg_param(t, d, N) }, out[1];
        Value y = sin(add(x[0], add(0.1, dropout(x[1], .p = 0.5, .seed = 7))));
        if (guarded && tg_true(lt(sum(x[0]), 1.5))) y = mul(y, 1.5);
        tg_status s = { 0 };
        body[guarded] = tg_compile(&y, 1, NULL, 0, x, 2, NULL, &s);
        cr_assert(body[guarded], "%s", s.message);
        cr_assert(tg_scan(body[guarded], &(tg_scan_options){ .steps = 3, .states = 1 }, x, 2, out));
        Value l = sum(square(out[0]));
        tg_program *const p = tg_compile(&l, 1, x, 1, x + 1, 1, NULL, &s);
        cr_assert(p, "%s", s.message);
        const inputs in = { .n = 2, .n_batch = 1, .size = (size_t[]){ N, N }, .instances = 3,
                            .run = 3, .bound = 1e-12 };
        if (guarded) {
            const double small[N * 3] = { 0 }, large[N * 3] = { 1, 1, 1, 1 };
            for (int fails = 0; fails < 2; fails++) {
                entry e = { .run = 1, .bound = 1e-12, .fails = fails };
                describe(&e, fails ? p : tg_gradient_program(p, NULL, &s), TG_F64, 3);
                e.input[0] = copied(TG_F64, fails ? large : small, N * 3);
                e.input[1] = waves(N, 2);
                for (int i = 0; i < N; i++) ((double *)e.input[1])[i] *= fails ? 1 : -1;
                if (!fails) memset(e.input[1], 0, N * sizeof(double));
                add_described(&e, "a loop with a condition");
            }
        } else {
            add_all(&in, p, "a loop that draws");
        }
        tg_tape_free(t);
    }
    check_emitted();
    for (int i = 0; i < 2; i++) tg_program_free(body[i]);
}

/* ---- calls ---------------------------------------------------------------------------------------- */

Test(emitted, calls_with_a_batch_are_functions_of_their_own)
{
    enum { COUNT = 4, N = 3 };
    const double d[COUNT * N] = { 0 };
    tg_program *called[2];
    for (int drops = 0; drops < 2; drops++) {
        tg_tape *const t = tg_tape_new(NULL);
        Value x[] = { tg_param(t, d, N), tg_param(t, d, N) };
        Value kept = drops ? dropout(x[0], .p = 0.3, .seed = 2) : x[0];
        Value made[] = { sin(mul(kept, x[1])), sum(exp(x[1])) };
        tg_status s = { 0 };
        called[drops] = tg_compile(made, 2, x, 1, x + 1, 1, NULL, &s);
        cr_assert(called[drops], "%s", s.message);
        Value all[] = { tg_param(t, d, COUNT, N), tg_param(t, d, N) }, out[2];
        cr_assert(tg_call(called[drops], all, 2, out));
        Value l = add(sum(square(out[0])), sum(out[1]));
        tg_program *const p = tg_compile(&l, 1, all, 1, all + 1, 1, NULL, &s);
        cr_assert(p, "%s", s.message);
        const inputs in = { .n = 2, .n_batch = 1, .size = (size_t[]){ COUNT * N, N }, .instances = 2,
                            .run = 8, .bound = 1e-12 };
        add_all(&in, p, drops ? "a call that draws" : "a call");
        tg_tape_free(t);
    }
    check_emitted();
    for (int i = 0; i < 2; i++) tg_program_free(called[i]);
}

/* ---- matrices that have no inverse; NaN ------------------------------------------------------------ */

static Value of_matrix(int which, Value x)
{
    Value u, w, v;
    switch (which) {
    case 0: return sum(inverse(x));
    case 1: return sum(cholesky(x));
    case 2: return sum(solve(x, x));
    case 3: return det(x);
    case 4: return logdet(x);
    case 5: /* where a singular value is 0 the sign of a row of V is rounding's */
        tg_svd(x, &u, &w, &v);
        return add(add(sum(u), sum(w)), sum(square(v)));
    default: tg_eigh(x, &w, &v); return add(sum(w), sum(v));
    }
}

Test(emitted, matrices_that_are_singular_fail_or_have_a_value_as_in_a_run)
{
    const double good[] = { 4, 1, 0.5, 1, 3, 0.2, 0.5, 0.2, 5 }, bad[] = { 1, 2, 3, 2, 4, 6, 1, 0, 1 },
                 zeros[9] = { 0 };
    const double *const x[] = { good, bad, zeros };
    for (int which = 0; which < 7; which++)
        for (int i = 0; i < 3; i++)
            for (int gradient = 0; gradient < (which < 5 ? 2 : 1); gradient++) {
                tg_tape *const t = tg_tape_new(NULL);
                tg_status s = { 0 };
                Value m = tg_param(t, good, 3, 3), y = of_matrix(which, m);
                cr_assert_null(tg_error_of(t), "%s", tg_error_of(t)->message);
                tg_program *const p = tg_compile(&y, 1, NULL, 0, &m, 1, NULL, &s);
                tg_program *const g = tg_gradient_program(p, NULL, &s);
                cr_assert(g, "%s", s.message);
                entry e = { .bound = 1e-13, .fails = which < 3 && i > 0 };
                describe(&e, gradient ? g : p, TG_F64, 1);
                e.input[0] = copied(TG_F64, x[i], 9);
                char text[60];
                snprintf(text, sizeof text, "matrix %d, op %d%s", i, which, gradient ? ", gradient" : "");
                add_described(&e, text);
                tg_program_free(gradient ? p : g);
                tg_tape_free(t);
            }
    check_emitted();
}

static Value with_nan(int which, Value x)
{
    switch (which) {
    case 0: return sort(x, .axis = 0);
    case 1: return sort(x, .axis = -1, .descending = true);
    case 2: return topk(x, .k = 2);
    case 3: return median(x, .axis = -1);
    case 4: return median(x);
    case 5: return argmax(x, .axis = -1);
    case 6: return argmin(x);
    case 7: return argsort(x, .axis = -1, .descending = true);
    default: return max_pool2d(x, .kernel_size = 2, .stride = 1);
    }
}

Test(emitted, orders_with_nan_ties_and_infinities_are_those_of_a_run)
{
    const double x[] = { 1,  NAN, 1,   -INFINITY, -0.0, 0,   NAN, NAN, INFINITY, 2,
                         -3, 2,   0.0, -INFINITY, -INFINITY, -INFINITY };
    for (int which = 0; which < 9; which++) {
        tg_tape *const t = tg_tape_new(NULL);
        tg_status s = { 0 };
        Value m = tg_param(t, x, 4, 4), y = with_nan(which, m);
        cr_assert_null(tg_error_of(t), "%s", tg_error_of(t)->message);
        tg_program *const p = tg_compile(&y, 1, NULL, 0, &m, 1, NULL, &s);
        entry e = { .bound = 0 };
        describe(&e, p, which >= 5 && which < 8 ? TG_I64 : TG_F64, 1);
        e.input[0] = copied(TG_F64, x, 16);
        add_described(&e, "an order");
        tg_tape_free(t);
    }
    check_emitted();
}
