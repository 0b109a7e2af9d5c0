/* log sum exp of n numbers, shifted by the largest. */
#include <math.h>
#include <stdlib.h>

#include "gradbench.h"
#include "vector.h"
#include <tapegrad/short.h>

enum { BLOCK = 1024 };

typedef struct state {
    given in;
    int64_t n;
    double *x, *largest; /* of each block */
    tg_tape *tape;
    tg_mark mark;
    Value leaf;
    compiled program;
} state;

/* ---- with the library ------------------------------------------------------------------------ */

static void eager(void *state_, double *result)
{
    const state *const s = state_;
    const Value y = logsumexp(s->leaf);
    must(tg_backward(y) && tg_grad_read(s->leaf, result + 1, (size_t)s->n), "lse");
    result[0] = tg_item(y);
    tg_release(s->mark);
}

/* The program has the sum, an instance for each number; its gradient, divided by it, is that of the
   logarithm. */
static Value model_of_number(Value x, Value largest)
{
    return exp(sub(x, largest));
}

static void program(void *state_, double *result)
{
    const state *const s = state_;
    const double largest = largest_in(s->x, s->n);
    double sum;
    run_compiled(&s->program, s->n, (const void *[]){ s->x, &largest }, (void *[]){ &sum, result + 1 });
    const double scale = 1 / sum;
    result[0] = largest + log(sum);
    for (int64_t i = 0; i < s->n; i++) result[1 + i] *= scale;
}

/* ---- by hand --------------------------------------------------------------------------------- */

static void primal(void *state_, double *result)
{
    const state *const s = state_;
    double largest = -INFINITY, sum = 0;
    for (int64_t i = 0; i < s->n; i++) largest = s->x[i] > largest ? s->x[i] : largest;
    for (int64_t i = 0; i < s->n; i++) sum += exp(s->x[i] - largest);
    *result = largest + log(sum);
}

static void plain(void *state_, double *result)
{
    const state *const s = state_;
    double largest = -INFINITY, sum = 0, *const dx = result + 1;
    for (int64_t i = 0; i < s->n; i++) largest = s->x[i] > largest ? s->x[i] : largest;
    for (int64_t i = 0; i < s->n; i++) sum += dx[i] = exp(s->x[i] - largest);
    result[0] = largest + log(sum);
    for (int64_t i = 0; i < s->n; i++) dx[i] /= sum;
}

/* Each block with its own largest number, while it lies in the cache; then all scaled. */
static void expert(void *state_, double *result)
{
    const state *const s = state_;
    double largest = -INFINITY, sum = 0, *const dx = result + 1;
    for (int64_t first = 0; first < s->n; first += BLOCK) {
        const int64_t n = s->n - first < BLOCK ? s->n - first : BLOCK;
        const double *const x = s->x + first;
        const double most = largest_in(x, n);
        double part = 0;
#pragma omp simd reduction(+ : part)
        for (int64_t i = 0; i < n; i++) part += dx[first + i] = fast_exp(x[i] - most);
        s->largest[first / BLOCK] = most;
        if (most > largest) {
            sum *= exp(largest - most);
            largest = most;
        }
        sum += part * exp(most - largest);
    }
    result[0] = largest + log(sum);
    for (int64_t first = 0; first < s->n; first += BLOCK) {
        const int64_t end = s->n - first < BLOCK ? s->n : first + BLOCK;
        const double scale = exp(s->largest[first / BLOCK] - largest) / sum;
        for (int64_t i = first; i < end; i++) dx[i] *= scale;
    }
}

/* ---- the rows ---------------------------------------------------------------------------------- */

static void *start(int size)
{
    state *const s = room(1, sizeof *s);
    uint64_t seed = 2;
    s->n = (const int64_t[]){ 2500, 50000, 1280000 }[size];
    s->x = room((size_t)s->n, sizeof *s->x);
    s->largest = room((size_t)s->n / BLOCK + 1, sizeof *s->largest);
    for (int64_t i = 0; i < s->n; i++) s->x[i] = draw(&seed, -1, 1);
    s->tape = row_tape();
    s->leaf = param(s->tape, s->x, s->n);
    given_add(&s->in, s->x, s->n, s->leaf);
    s->mark = tg_tape_mark(s->tape);
    const Value x = tg_scalar(s->tape, 1), largest = tg_scalar(s->tape, 2);
    s->program = compile_gradient(model_of_number(x, largest), &x, 1, &largest, 1, (const int[]){ 0 }, 1);
    tg_release(s->mark);
    return s;
}

static void stop(void *state_)
{
    state *const s = state_;
    free_compiled(&s->program);
    tg_tape_free(s->tape);
    free(s->largest);
    free(s->x);
    free(s);
}

static size_t results(void *state_, size_t *values)
{
    *values = 1;
    return 1 + (size_t)((const state *)state_)->n;
}

const problem lse = { "lse", { "2500", "50000", "1280000" }, start, stop, results,
                      { primal, plain, expert, eager, program }, { 0 } };
