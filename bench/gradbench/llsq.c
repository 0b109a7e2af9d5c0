/* Least squares: the polynomial with coefficients x that is nearest to the sign,
   1/2 sum_i (sign(t_i) - sum_j x_j t_i^j)^2 for n points t_i from -1 to 1. */
#include <stdlib.h>
#include <string.h>

#include "gradbench.h"
#include "vector.h"
#include <tapegrad/short.h>

enum { M = 128, BLOCK = 8 };

typedef struct state {
    given in;
    int64_t n;
    double *t, x[M];
    tg_tape *tape;
    tg_mark mark;
    Value coefficients, points; /* (M), (n, 1) */
    compiled program;
} state;

static double sign_of(double t)
{
    return (double)(t > 0) - (double)(t < 0);
}

/* ---- with the library ------------------------------------------------------------------------ */

/* All points at once: powers is (n, M). */
static Value model(Value x, Value t)
{
    const int64_t n = tg_dim(t, 0);
    const Value ones = tg_full(t.tape, 1.0, n, 1);
    const Value powers = cumprod(cat(TG_VALUES(ones, broadcast_to(t, n, M - 1)), .axis = 1), .axis = 1);
    return mul(0.5, sum(square(sub(sign(reshape(t, n)), mv(powers, x)))));
}

/* One point. */
static Value model_of_point(Value x, Value t)
{
    Value power = t, y = add(at(x, 0), mul(at(x, 1), t));
    for (int j = 2; j < M; j++) {
        power = mul(power, t);
        y = add(y, mul(at(x, j), power));
    }
    return mul(0.5, square(sub(sign(t), y)));
}

static void eager(void *state_, double *result)
{
    const state *const s = state_;
    const Value loss = model(s->coefficients, s->points);
    must(tg_backward(loss) && tg_grad_read(s->coefficients, result + 1, M), "llsq");
    result[0] = tg_item(loss);
    tg_release(s->mark);
}

static void program(void *state_, double *result)
{
    const state *const s = state_;
    run_compiled(&s->program, s->n, (const void *[]){ s->t, s->x }, (void *[]){ result, result + 1 });
}

/* ---- by hand --------------------------------------------------------------------------------- */

static void plain_of(const state *s, double *loss, double *dx)
{
    *loss = 0;
    if (dx) memset(dx, 0, M * sizeof *dx);
    for (int64_t i = 0; i < s->n; i++) {
        const double t = s->t[i];
        double r = sign_of(t), power = 1;
        for (int j = 0; j < M; j++) {
            r -= s->x[j] * power;
            power *= t;
        }
        *loss += 0.5 * r * r;
        if (!dx) continue;
        power = 1;
        for (int j = 0; j < M; j++) {
            dx[j] -= r * power;
            power *= t;
        }
    }
}

static void primal(void *s, double *result)
{
    plain_of(s, result, NULL);
}

static void plain(void *s, double *result)
{
    plain_of(s, result, result + 1);
}

/* Blocks of points side by side in registers: Horner's scheme forward, then r t^j, added up lane by
   lane. */
static void expert(void *state_, double *result)
{
    const state *const s = state_;
    lanes sums[M] = { { 0 } }, loss = { 0 };
    for (int64_t first = 0; first < s->n; first += BLOCK * LANES) {
        const int64_t n = s->n - first < BLOCK * LANES ? s->n - first : BLOCK * LANES;
        lanes t[BLOCK] = { { 0 } }, r[BLOCK], sign[BLOCK], inside[BLOCK];
        memcpy(t, s->t + first, (size_t)n * sizeof(double));
        for (int i = 0; i < BLOCK * LANES; i++) {
            sign[i / LANES][i % LANES] = sign_of(t[i / LANES][i % LANES]);
            inside[i / LANES][i % LANES] = i < n;
        }
        for (int i = 0; i < BLOCK; i++) r[i] = lanes_of(s->x[M - 1]);
        for (int j = M - 1; j-- > 0;)
            for (int i = 0; i < BLOCK; i++) r[i] = r[i] * t[i] + s->x[j];
        for (int i = 0; i < BLOCK; i++) {
            r[i] = (r[i] - sign[i]) * inside[i];
            loss += 0.5 * r[i] * r[i];
        }
        for (int j = 0; j < M; j++) {
            sums[j] += ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
            for (int i = 0; i < BLOCK; i++) r[i] *= t[i];
        }
    }
    result[0] = lanes_sum(loss);
    for (int j = 0; j < M; j++) result[1 + j] = lanes_sum(sums[j]);
}

/* ---- the rows ---------------------------------------------------------------------------------- */

static void *start(int size)
{
    state *const s = room(1, sizeof *s);
    uint64_t seed = 1;
    s->n = (const int64_t[]){ 1000, 4000, 16000 }[size];
    s->t = room((size_t)s->n, sizeof *s->t);
    for (int64_t i = 0; i < s->n; i++) s->t[i] = -1 + 2 * (double)i / (double)(s->n - 1);
    for (int j = 0; j < M; j++) s->x[j] = draw(&seed, -1, 1);
    s->tape = row_tape();
    s->coefficients = param(s->tape, s->x, M);
    s->points = input(s->tape, s->t, s->n, 1);
    given_add(&s->in, s->x, M, s->coefficients);
    given_add(&s->in, s->t, s->n, s->points);
    s->mark = tg_tape_mark(s->tape);
    const Value t = input(s->tape, &s->t[1]);
    s->program = compile_gradient(model_of_point(s->coefficients, t), &t, 1, &s->coefficients, 1, NULL, 0);
    tg_release(s->mark);
    return s;
}

static void stop(void *state_)
{
    state *const s = state_;
    free_compiled(&s->program);
    tg_tape_free(s->tape);
    free(s->t);
    free(s);
}

static size_t results(void *s, size_t *values)
{
    *values = 1;
    (void)s;
    return 1 + M;
}

const problem llsq = { "llsq", { "1000", "4000", "16000" }, start, stop, results,
                       { primal, plain, expert, eager, program }, { 0 } };
