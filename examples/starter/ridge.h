/* Logistic regression with a ridge: a loss and its gradient, derived by hand, in plain C. */
#ifndef RIDGE_H
#define RIDGE_H

#include <stddef.h>

/* m samples of n features, row-major, and for each a label +1 or -1. */
typedef struct ridge_data {
    size_t m, n;
    const double *x;     /* (m, n) */
    const double *label; /* (m) */
    double lambda;       /* how much large weights cost */
} ridge_data;

/* mean over i of log(1 + exp(-label_i x_i w)) + lambda / 2 |w|^2, for n weights. user is a
   ridge_data. */
double ridge_loss(const double *w, size_t n, void *user);

/* Its gradient by w, into g (n). */
void ridge_gradient(const double *w, size_t n, double *g, void *user);

#endif
