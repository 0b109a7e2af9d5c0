/* The least x of the greatest y of (x1^2 + x2^2) - (y1^2 + y2^2), both by descent from (1, 1): the outer
   gradient goes through the whole inner descent, whose steps are gradients. */
#include <stdlib.h>
#include <string.h>

#include "gradbench.h"
#include "descent.h"
#include <tapegrad/short.h>

typedef struct state {
    bool outer_forward, inner_forward;
    tg_tape *tape;
    tg_mark mark;
} state;

static double length(double a, double b)
{
    return __builtin_sqrt(a * a + b * b);
}

/* ---- with the library ------------------------------------------------------------------------ */

static Value model(const Value *x, const Value *y)
{
    return sub(add(square(x[0]), square(x[1])), add(square(y[0]), square(y[1])));
}

/* The gradient of f by z, as values: reverse, or forward along each axis. */
static void gradient_values(const state *s, Value f, const Value *z, Value *gradient)
{
    if (!s->inner_forward) {
        must(tg_grad_values(&f, NULL, 1, z, 2, gradient), "saddle");
        return;
    }
    const Value one = tg_number(s->tape, 1), zero = tg_number(s->tape, 0);
    const Value along[2][2] = { { one, zero }, { zero, one } };
    for (int i = 0; i < 2; i++)
        must(tg_jvp_values(&f, 1, z, along[i], 2, &gradient[i]), "saddle");
}

/* The greatest value by y, which is left at the place. */
static Value greatest(const state *s, const Value *x, Value *y)
{
    y[0] = tg_scalar(s->tape, 1), y[1] = tg_scalar(s->tape, 1);
    Value f = model(x, y), g[2];
    descent d = descent_from(-tg_item(f));
    gradient_values(s, f, y, g);
    while (length(tg_item(g[0]), tg_item(g[1])) > close_enough) {
        descent_grow(&d);
        const Value next[2] = { add(y[0], mul(d.eta, g[0])), add(y[1], mul(d.eta, g[1])) };
        if (length(tg_item(next[0]) - tg_item(y[0]), tg_item(next[1]) - tg_item(y[1])) <= close_enough) break;
        const Value there = model(x, next);
        if (!descent_takes(&d, -tg_item(there))) continue;
        memcpy(y, next, sizeof next);
        f = there;
        gradient_values(s, f, y, g);
    }
    return f;
}

/* The value at x; with g its gradient. y is where it is. */
static double value_at(const state *s, const double *x0, double *g, double *y0)
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
typedef double value_and_gradient(const state *s, const double *x, double *g, double *y);

static void least(const state *s, value_and_gradient *f, double *result)
{
    double x[2] = { 1, 1 }, y[2], g[2];
    descent d = descent_from(f(s, x, g, y));
    while (length(g[0], g[1]) > close_enough) {
        descent_grow(&d);
        const double next[2] = { x[0] - d.eta * g[0], x[1] - d.eta * g[1] };
        const double dx[2] = { next[0] - x[0], next[1] - x[1] };
        if (length(dx[0], dx[1]) <= close_enough) break;
        double next_g[2], next_y[2];
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

/* ---- by hand --------------------------------------------------------------------------------- */

/* The inner gradient is -2 y, its derivative by x zero: the outer one is 2 x, and what the inner descent
   adds to it, -2 y dy/dx with dy/dx <- dy/dx - 2 eta dy/dx. */
static double plain_at(const state *s, const double *x, double *g, double *y)
{
    (void)s;
    double dy[2][2] = { { 0 } };
    y[0] = y[1] = 1;
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
static double expert_at(const state *s, const double *x, double *g, double *y)
{
    (void)s;
    const double x2 = x[0] * x[0] + x[1] * x[1], bound = close_enough * close_enough;
    double a = 1, b = 1;
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

static void *start(int size)
{
    state *const s = room(1, sizeof *s);
    s->outer_forward = size >= 2;
    s->inner_forward = size % 2 == 1;
    s->tape = tg_tape_new(NULL);
    s->mark = tg_tape_mark(s->tape);
    return s;
}

static void stop(void *state_)
{
    state *const s = state_;
    tg_tape_free(s->tape);
    free(s);
}

static size_t results(void *s, size_t *values)
{
    (void)s;
    *values = 0;
    return 4;
}

const problem saddle = { "saddle", { "rev over rev", "rev over fwd", "fwd over rev", "fwd over fwd" },
                         start, stop, results, { NULL, plain, expert, eager, NULL },
                         { 8.246e-6, 8.246e-6, 8.246e-6, 8.246e-6 } };
