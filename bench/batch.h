/* Gradients summed over a batch, for a few models, by hand, in f64 and f32: plain, an instance at a time over
   libm; and expert, blocks of instances in vectors, over the library's own kernels of tanh, exp and log. */
#ifndef BENCH_BATCH_H
#define BENCH_BATCH_H

enum { INPUTS = 2, HIDDEN = 100, CLASSES = 3, FEATURES = 100, STEPS = 200 };
enum { NET_PARAMETERS = HIDDEN * (INPUTS + 1) + CLASSES * (HIDDEN + 1) };

/* Parameters p: w1 (HIDDEN, INPUTS), b1, w2 (CLASSES, HIDDEN), b2; or w (FEATURES), b. x is (n,
   INPUTS) or (n, FEATURES), y (n, CLASSES) or (n). Adds the gradient to d; returns the loss. All of the
   function's type. */
typedef double by_hand(int n, const void *p, const void *x, const void *y, void *d);

by_hand tanh_plain_f64, square_plain_f64, logistic_plain_f64;
by_hand tanh_plain_f32, square_plain_f32, logistic_plain_f32;
by_hand tanh_expert_f64, square_expert_f64, logistic_expert_f64; /* n: a multiple of 128 */
by_hand tanh_expert_f32, square_expert_f32, logistic_expert_f32;

/* v = x; v += p[1] - p[0] v^3 STEPS times: the last v. And the inner product of p and x. In f64, without y. */
by_hand chain_plain, dot_plain;

/* The same, and adds to h the Hessian times v, a direction like p: the gradient's derivative along v, of
   which every value of the gradient has its own. In f64. */
typedef double hvp_by_hand(int n, const double *p, const double *v, const double *x, const double *y, double *d,
                           double *h);

hvp_by_hand tanh_hvp_plain, square_hvp_plain, logistic_hvp_plain;
hvp_by_hand tanh_hvp_expert, square_hvp_expert, logistic_hvp_expert;

/* For the files that have these functions: the type that they are compiled for. */
#ifdef TG_REAL_F32
typedef float real;
#define BY_HAND(name) name##_f32
#define LIBM(name) name##f
#else
typedef double real;
#define BY_HAND(name) name##_f64
#define LIBM(name) name
#endif

#endif
