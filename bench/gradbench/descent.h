/* The descent of particle and saddle (Pearlmutter and Siskind, "Using programming language theory to
   make automatic differentiation sound and efficient", 2008): the step doubles after ten successes
   in a row and halves after a failure. Which way to go, and when to stop, depends on numbers only. */
#ifndef GRADBENCH_DESCENT_H
#define GRADBENCH_DESCENT_H

#include <stdbool.h>

typedef struct descent {
    double eta, f; /* the step, and the value at the present point */
    int successes;
} descent;

static const double close_enough = 1e-5;

static inline descent descent_from(double f)
{
    return (descent){ 1e-5, f, 0 };
}

/* Before each try. */
static inline void descent_grow(descent *d)
{
    if (d->successes < 10) return;
    d->eta *= 2;
    d->successes = 0;
}

/* Whether the try, which has the value f, is taken. */
static inline bool descent_takes(descent *d, double f)
{
    if (f < d->f) {
        d->f = f;
        d->successes++;
        return true;
    }
    d->eta /= 2;
    d->successes = 0;
    return false;
}

#endif
