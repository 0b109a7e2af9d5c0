/* y_0' = x_0, y_i' = x_i y_(i-1), y(0) = 0, by Runge and Kutta's method in s steps up to t = 2; what is
   differentiated is the sum of the components. (The benchmark asks for the last one, which s steps do
   not reach for its sizes: that gradient is zero.) */
#include <stdlib.h>
#include <string.h>

#include "gradbench.h"
#include <tapegrad/short.h>

enum { STEPS = 1000, MOST = 100 };

typedef struct state {
    given in;
    int64_t n;
    double x[MOST];
    double *kept; /* the states: (STEPS + 1, n + 1) */
    tg_tape *tape;
    tg_mark mark;
    Value leaf;
    compiled program;
} state;

static const double h = 2.0 / STEPS;

/* ---- with the library ------------------------------------------------------------------------ */

static Value slope(Value x, Value y, Value one)
{
    return mul(x, cat(TG_VALUES(one, slice(y, .stop = -1))));
}

static Value model(Value x)
{
    const Value one = tg_full(x.tape, 1.0, 1);
    Value y = tg_zeros(x.tape, tg_dim(x, 0));
    for (int i = 0; i < STEPS; i++) {
        const Value k1 = slope(x, y, one), k2 = slope(x, add(y, mul(h / 2, k1)), one);
        const Value k3 = slope(x, add(y, mul(h / 2, k2)), one), k4 = slope(x, add(y, mul(h, k3)), one);
        y = add(y, mul(h / 6, add(add(k1, k4), mul(2, add(k2, k3)))));
    }
    return sum(y);
}

static void eager(void *state_, double *result)
{
    const state *const s = state_;
    const Value y = model(s->leaf);
    must(tg_backward(y) && tg_grad_read(s->leaf, result + 1, (size_t)s->n), "ode");
    result[0] = tg_item(y);
    tg_release(s->mark);
}

static void program(void *state_, double *result)
{
    const state *const s = state_;
    run_compiled(&s->program, 1, (const void *[]){ s->x }, (void *[]){ result, result + 1 });
}

/* ---- by hand: plain ---------------------------------------------------------------------------- */

static void slope_of(int64_t n, const double *x, const double *y, double *k)
{
    k[0] = x[0];
    for (int64_t i = 1; i < n; i++) k[i] = x[i] * y[i - 1];
}

/* Adds to dx and dy what dk, the gradient of slope_of's k, makes of them. */
static void slope_back(int64_t n, const double *x, const double *y, const double *dk, double *dx,
                       double *dy)
{
    dx[0] += dk[0];
    for (int64_t i = 1; i < n; i++) dx[i] += dk[i] * y[i - 1];
    for (int64_t i = 1; i < n; i++) dy[i - 1] += dk[i] * x[i];
}

static void stage(int64_t n, const double *y, double step, const double *k, double *z)
{
    for (int64_t i = 0; i < n; i++) z[i] = y[i] + step * k[i];
}

static void primal_of(const state *s, double *y, bool keep)
{
    const int64_t n = s->n;
    double k1[MOST], k2[MOST], k3[MOST], k4[MOST], z[MOST];
    memset(y, 0, (size_t)n * sizeof *y);
    for (int step = 0; step < STEPS; step++) {
        if (keep) memcpy(s->kept + step * n, y, (size_t)n * sizeof *y);
        slope_of(n, s->x, y, k1);
        stage(n, y, h / 2, k1, z);
        slope_of(n, s->x, z, k2);
        stage(n, y, h / 2, k2, z);
        slope_of(n, s->x, z, k3);
        stage(n, y, h, k3, z);
        slope_of(n, s->x, z, k4);
        for (int64_t i = 0; i < n; i++) y[i] += h / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
    }
}

static double sum_of(int64_t n, const double *y)
{
    double total = 0;
    for (int64_t i = 0; i < n; i++) total += y[i];
    return total;
}

static void primal(void *state_, double *result)
{
    const state *const s = state_;
    double y[MOST];
    primal_of(s, y, false);
    *result = sum_of(s->n, y);
}

static void plain(void *state_, double *result)
{
    const state *const s = state_;
    const int64_t n = s->n;
    double y[MOST], dy[MOST], k[MOST], z2[MOST], z3[MOST], z4[MOST];
    double dk[MOST], dz2[MOST], dz3[MOST], dz4[MOST], *const dx = result + 1;
    primal_of(s, y, true);
    result[0] = sum_of(n, y);
    memset(dx, 0, (size_t)n * sizeof *dx);
    for (int64_t i = 0; i < n; i++) dy[i] = 1;
    for (int step = STEPS; step-- > 0;) {
        const double *const y0 = s->kept + step * n;
        slope_of(n, s->x, y0, k);
        stage(n, y0, h / 2, k, z2);
        slope_of(n, s->x, z2, k);
        stage(n, y0, h / 2, k, z3);
        slope_of(n, s->x, z3, k);
        stage(n, y0, h, k, z4);
        memset(dz2, 0, sizeof dz2);
        memset(dz3, 0, sizeof dz3);
        memset(dz4, 0, sizeof dz4);
        for (int64_t i = 0; i < n; i++) dk[i] = h / 6 * dy[i];
        slope_back(n, s->x, z4, dk, dx, dz4);
        for (int64_t i = 0; i < n; i++) dk[i] = h / 3 * dy[i] + h * dz4[i];
        slope_back(n, s->x, z3, dk, dx, dz3);
        for (int64_t i = 0; i < n; i++) dk[i] = h / 3 * dy[i] + h / 2 * dz3[i];
        slope_back(n, s->x, z2, dk, dx, dz2);
        for (int64_t i = 0; i < n; i++) dk[i] = h / 6 * dy[i] + h / 2 * dz2[i];
        for (int64_t i = 0; i < n; i++) dy[i] += dz2[i] + dz3[i] + dz4[i];
        slope_back(n, s->x, y0, dk, dx, dy);
    }
}

/* ---- by hand: expert --------------------------------------------------------------------------- */

/* Each stage is one pass over the components. Before each array lies y_(-1) = 1, so that the first
   component is like the others; behind each gradient of a slope lies 0. */
static inline void stages(int64_t n, const double *restrict x, const double *restrict y,
                          double *restrict z2, double *restrict z3, double *restrict z4)
{
    for (int64_t i = 0; i < n; i++) z2[i] = y[i] + h / 2 * (x[i] * y[i - 1]);
    for (int64_t i = 0; i < n; i++) z3[i] = y[i] + h / 2 * (x[i] * z2[i - 1]);
    for (int64_t i = 0; i < n; i++) z4[i] = y[i] + h * (x[i] * z3[i - 1]);
}

static void expert(void *state_, double *result)
{
    const state *const s = state_;
    const int64_t n = s->n, width = n + 1;
    double x[MOST + 1] = { 0 }, dx[MOST] = { 0 }, dy[MOST];
    double before2[MOST + 1], before3[MOST + 1], before4[MOST + 1];
    double dk1[MOST + 1], dk2[MOST + 1], dk3[MOST + 1], dk4[MOST + 1];
    double *const restrict z2 = before2 + 1, *const restrict z3 = before3 + 1;
    double *const restrict z4 = before4 + 1;
    memcpy(x, s->x, (size_t)n * sizeof *x);
    before2[0] = before3[0] = before4[0] = 1;
    memset(s->kept, 0, (size_t)width * sizeof *s->kept);
    for (int step = 0; step < STEPS; step++) {
        double *const restrict y = s->kept + step * width + 1, *const restrict next = y + width;
        y[-1] = 1;
        stages(n, x, y, z2, z3, z4);
        for (int64_t i = 0; i < n; i++)
            next[i] = y[i] + h / 6 * x[i] * (y[i - 1] + z4[i - 1] + 2 * (z2[i - 1] + z3[i - 1]));
    }
    result[0] = sum_of(n, s->kept + STEPS * width + 1);
    for (int64_t i = 0; i < n; i++) dy[i] = 1;
    dk1[n] = dk2[n] = dk3[n] = dk4[n] = 0;
    for (int step = STEPS; step-- > 0;) {
        const double *const restrict y = s->kept + step * width + 1;
        stages(n, x, y, z2, z3, z4);
        for (int64_t i = 0; i < n; i++) dk4[i] = h / 6 * dy[i];
        for (int64_t i = 0; i < n; i++) dk3[i] = h / 3 * dy[i] + h * (x[i + 1] * dk4[i + 1]);
        for (int64_t i = 0; i < n; i++) dk2[i] = h / 3 * dy[i] + h / 2 * (x[i + 1] * dk3[i + 1]);
        for (int64_t i = 0; i < n; i++) dk1[i] = h / 6 * dy[i] + h / 2 * (x[i + 1] * dk2[i + 1]);
        for (int64_t i = 0; i < n; i++) {
            dy[i] += x[i + 1] * (dk1[i + 1] + dk2[i + 1] + dk3[i + 1] + dk4[i + 1]);
            dx[i] += dk1[i] * y[i - 1] + dk2[i] * z2[i - 1] + dk3[i] * z3[i - 1] + dk4[i] * z4[i - 1];
        }
    }
    memcpy(result + 1, dx, (size_t)n * sizeof *dx);
}

/* ---- the rows ---------------------------------------------------------------------------------- */

static void *start(int size)
{
    state *const s = room(1, sizeof *s);
    uint64_t seed = 4;
    s->n = (const int64_t[]){ 20, 50, MOST }[size];
    for (int64_t i = 0; i < s->n; i++) s->x[i] = draw(&seed, 0.5, 1.5);
    s->kept = room((size_t)((STEPS + 1) * (s->n + 1)), sizeof *s->kept);
    s->tape = row_tape();
    s->leaf = param(s->tape, s->x, s->n);
    given_add(&s->in, s->x, s->n, s->leaf);
    s->mark = tg_tape_mark(s->tape);
    s->program = compile_gradient(model(s->leaf), NULL, 0, &s->leaf, 1, NULL, 0);
    tg_release(s->mark);
    return s;
}

static void stop(void *state_)
{
    state *const s = state_;
    free_compiled(&s->program);
    tg_tape_free(s->tape);
    free(s->kept);
    free(s);
}

static size_t results(void *state_, size_t *values)
{
    *values = 1;
    return 1 + (size_t)((const state *)state_)->n;
}

const problem ode = { "ode", { "20", "50", "100" }, start, stop, results,
                      { primal, plain, expert, eager, program }, { 0 } };
