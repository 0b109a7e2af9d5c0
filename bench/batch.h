/* Gradients summed over a batch, for three models, by hand: plain, an instance at a time over libm;
   and expert, blocks of instances in vectors, over the library's own kernels of tanh, exp and log. */
#ifndef BENCH_BATCH_H
#define BENCH_BATCH_H

enum { INPUTS = 2, HIDDEN = 100, CLASSES = 3, FEATURES = 100 };
enum { NET_PARAMETERS = HIDDEN * (INPUTS + 1) + CLASSES * (HIDDEN + 1) };

/* Parameters p: w1 (HIDDEN, INPUTS), b1, w2 (CLASSES, HIDDEN), b2; or w (FEATURES), b. x is (n,
   INPUTS) or (n, FEATURES), y (n, CLASSES) or (n). Adds the gradient to d; returns the loss. */
typedef double by_hand(int n, const double *p, const double *x, const double *y, double *d);

by_hand tanh_plain, square_plain, logistic_plain;
by_hand tanh_expert, square_expert, logistic_expert; /* n: a multiple of 64 */

/* The same, and adds to h the Hessian times v, a direction like p: the gradient's derivative along v, of
   which every value of the gradient has its own. */
typedef double hvp_by_hand(int n, const double *p, const double *v, const double *x, const double *y, double *d,
                           double *h);

hvp_by_hand tanh_hvp_plain, square_hvp_plain, logistic_hvp_plain;
hvp_by_hand tanh_hvp_expert, square_hvp_expert, logistic_hvp_expert;

#endif
