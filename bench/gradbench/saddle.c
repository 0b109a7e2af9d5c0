/* The least x of the greatest y of (x1^2 + x2^2) - (y1^2 + y2^2), both by descent from (1, 1): the outer
   gradient goes through the whole inner descent, whose steps are gradients. */
#include <math.h>
#include <string.h>

#include "descent.h"
#include "nested.h"
#include <tapegrad/short.h>

static double length(double a, double b)
{
    return __builtin_sqrt(a * a + b * b);
}

/* ---- with the library ------------------------------------------------------------------------ */

static Value model(const Value *x, const Value *y)
{
    return sub(add(square(x[0]), square(x[1])), add(square(y[0]), square(y[1])));
}

/* The greatest value by y, which is left at the place. */
static Value greatest(const nested *s, const Value *x, Value *y)
{
    for (int i = 0; i < 2; i++) y[i] = tg_scalar(s->tape, s->place[i]);
    Value f = model(x, y), g[2];
    descent d = descent_from(-tg_item(f));
    nested_gradient(s, f, y, g);
    while (length(tg_item(g[0]), tg_item(g[1])) > close_enough) {
        descent_grow(&d);
        const Value next[2] = { add(y[0], mul(d.eta, g[0])), add(y[1], mul(d.eta, g[1])) };
        if (length(tg_item(next[0]) - tg_item(y[0]), tg_item(next[1]) - tg_item(y[1])) <= close_enough) break;
        const Value there = model(x, next);
        if (!descent_takes(&d, -tg_item(there))) continue;
        memcpy(y, next, sizeof next);
        f = there;
        nested_gradient(s, f, y, g);
    }
    return f;
}

/* The value at x; with g its gradient. y is where it is. */
static double value_at(nested *s, const double *x0, double *g, double *y0)
{
    Value x[2] = { tg_scalar(s->tape, x0[0]), tg_scalar(s->tape, x0[1]) }, y[2];
    const Value f = greatest(s, x, y);
    const double value = tg_item(f);
    for (int i = 0; i < 2; i++) y0[i] = tg_item(y[i]);
    if (s->outer_forward) {
        must(tg_jvp(f, x, 2, (const double[]){ 1, 0, 0, 1 }, 2, g), "saddle");
    } else {
        must(tg_backward(f), "saddle");
        for (int i = 0; i < 2; i++) g[i] = tg_grad_item(x[i]);
    }
    tg_release(s->mark);
    return value;
}

/* Outer descent, with whatever gives values and gradients. */
typedef double value_and_gradient(nested *s, const double *x, double *g, double *y);

static void least(nested *s, value_and_gradient *f, double *result)
{
    double x[2] = { s->start[0], s->start[1] }, y[2] = { 0 }, g[2];
    descent d = descent_from(f(s, x, g, y));
    while (length(g[0], g[1]) > close_enough) {
        descent_grow(&d);
        const double next[2] = { x[0] - d.eta * g[0], x[1] - d.eta * g[1] };
        const double dx[2] = { next[0] - x[0], next[1] - x[1] };
        if (!(length(dx[0], dx[1]) > close_enough)) break; /* no number: f has none */
        double next_g[2], next_y[2] = { 0 };
        if (!descent_takes(&d, f(s, next, next_g, next_y))) continue;
        memcpy(x, next, sizeof x);
        memcpy(g, next_g, sizeof g);
        memcpy(y, next_y, sizeof y);
    }
    result[0] = x[0], result[1] = x[1];
    result[2] = y[0], result[3] = y[1];
}

static void eager(void *s, double *result)
{
    least(s, value_at, result);
}

static Value length_of(const Value *z)
{
    return sqrt(add(square(z[0]), square(z[1])));
}

/* A step of the inner descent, as descent.h has it, from y, f there, eta and how many successes there were
   in a row. Which way it goes depends on numbers only. */
static void compile_parts(nested *s)
{
    enum { F = 2, ETA, SUCCESSES, X };
    tg_tape *const t = tg_tape_new(NULL);
    Value in[X + 2], out[X + 1], g[2], next[2], moved[2];
    for (int i = 0; i < X + 2; i++) in[i] = scalar(t, 1);
    const Value *const y = in, *const x = in + X;
    nested_compile(s, model(x, y), TG_VALUES(y[0], y[1], x[0], x[1]));
    nested_call(s, TG_VALUES(y[0], y[1], x[0], x[1]), g);
    const Value grows = ge(in[SUCCESSES], 10), eta = where(grows, mul(2, in[ETA]), in[ETA]);
    for (int i = 0; i < 2; i++) {
        next[i] = add(y[i], mul(eta, g[i]));
        moved[i] = sub(next[i], y[i]);
    }
    const Value f = neg(tg_detach(model(x, next)));
    const Value stop = maximum(le(length_of(g), close_enough), le(length_of(moved), close_enough));
    const Value better = lt(f, in[F]), taken = where(stop, 0, better);
    for (int i = 0; i < 2; i++) out[i] = where(taken, next[i], y[i]);
    out[F] = where(taken, f, in[F]);
    out[ETA] = where(better, eta, mul(0.5, eta));
    out[SUCCESSES] = where(better, add(where(grows, 0, in[SUCCESSES]), 1), 0);
    out[X] = stop;
    nested_step(s, out, in, X, 2, 2);
    nested_end(s, model(x, y), (const Value[]){ y[0], y[1], x[0], x[1] });
    tg_tape_free(t);
}

static bool record_greatest(nested *s, tg_tape *t)
{
    const Value x[] = { scalar(t, 1), scalar(t, 1) }, y[] = { tg_number(t, s->place[0]), tg_number(t, s->place[1]) };
    const Value f = neg(tg_detach(model(x, y)));
    return nested_outer(s, (const Value[]){ y[0], y[1], f, tg_number(t, 1e-5), tg_number(t, 0) }, x);
}

static double program_at(nested *s, const double *x, double *g, double *y)
{
    double value;
    (void)y;
    if (nested_run(s, (const void *[]){ x, x + 1 }, (void *[]){ &value, g, g + 1 })) return value;
    return g[0] = g[1] = NAN;
}

/* y once, at the end. */
static void program(void *state, double *result)
{
    nested *const s = state;
    least(s, program_at, result);
    nested_look(s, (const void *[]){ result, result + 1 }, result + 2);
}

/* ---- by hand --------------------------------------------------------------------------------- */

/* The inner gradient is -2 y, its derivative by x zero: the outer one is 2 x, and what the inner descent
   adds to it, -2 y dy/dx with dy/dx <- dy/dx - 2 eta dy/dx. */
static double plain_at(nested *s, const double *x, double *g, double *y)
{
    double dy[2][2] = { { 0 } };
    memcpy(y, s->place, sizeof s->place);
    descent d = descent_from(-(x[0] * x[0] + x[1] * x[1] - y[0] * y[0] - y[1] * y[1]));
    for (;;) {
        const double gy[2] = { -2 * y[0], -2 * y[1] };
        if (length(gy[0], gy[1]) <= close_enough) break;
        descent_grow(&d);
        const double next[2] = { y[0] + d.eta * gy[0], y[1] + d.eta * gy[1] };
        const double step[2] = { next[0] - y[0], next[1] - y[1] };
        if (length(step[0], step[1]) <= close_enough) break;
        const double f = x[0] * x[0] + x[1] * x[1] - next[0] * next[0] - next[1] * next[1];
        if (!descent_takes(&d, -f)) continue;
        for (int i = 0; i < 2; i++) {
            y[i] = next[i];
            for (int j = 0; j < 2; j++) dy[i][j] -= 2 * d.eta * dy[i][j];
        }
    }
    for (int j = 0; j < 2; j++) g[j] = 2 * x[j] - 2 * (y[0] * dy[0][j] + y[1] * dy[1][j]);
    return -d.f;
}

static void plain(void *s, double *result)
{
    least(s, plain_at, result);
}

/* dy/dx is zero throughout; squares of lengths are compared. */
static double expert_at(nested *s, const double *x, double *g, double *y)
{
    const double x2 = x[0] * x[0] + x[1] * x[1], bound = close_enough * close_enough;
    double a = s->place[0], b = s->place[1];
    descent d = descent_from(-(x2 - a * a - b * b));
    while (4 * (a * a + b * b) > bound) {
        descent_grow(&d);
        const double next_a = a - 2 * d.eta * a, next_b = b - 2 * d.eta * b;
        if ((next_a - a) * (next_a - a) + (next_b - b) * (next_b - b) <= bound) break;
        if (!descent_takes(&d, next_a * next_a + next_b * next_b - x2)) continue;
        a = next_a, b = next_b;
    }
    y[0] = a, y[1] = b;
    g[0] = 2 * x[0], g[1] = 2 * x[1];
    return -d.f;
}

static void expert(void *s, double *result)
{
    least(s, expert_at, result);
}

/* ---- the rows ---------------------------------------------------------------------------------- */

nested *saddle_from(int variant, const double start[2])
{
    nested *const s = nested_start(variant, start, 2);
    s->record = record_greatest;
    compile_parts(s);
    nested_record(s);
    return s;
}

static void *start(int variant)
{
    return saddle_from(variant, (const double[]){ 1, 1 });
}

static size_t results(void *s, size_t *values)
{
    (void)s;
    *values = 0;
    return 4;
}

const problem saddle = { "saddle", { "rev over rev", "rev over fwd", "fwd over rev", "fwd over fwd" },
                         start, nested_stop, results, { NULL, plain, expert, eager, program },
                         { 8.246e-6, 8.246e-6, 8.246e-6, 8.246e-6 } };
