/* Kernels of normalizations: see norm.inl. */
#ifndef TG_KERNELS_NORM_H
#define TG_KERNELS_NORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* x (outer, groups, channels, inner), row-major, is normalized set by set:

       y = (x - mean) / sqrt(variance + epsilon) gamma + beta

   By rows a set is (channels, inner) and gamma and beta are (groups, channels, inner); by runs a set
   is the same and they are (groups, channels); across, a set is a channel with all of (outer, inner),
   groups is 1, and they are (channels). Not centered (by rows only): without mean and beta, the
   variance is the mean of the squares. */
typedef struct tg__norm {
    int64_t outer, groups, channels, inner;
    bool centered;
    double epsilon;
    const void *x, *gamma, *beta;
    void *work; /* TG__NORM_WORK bytes */
} tg__norm;

/* Room for two rows of every group, or for two sums of every run of a set. */
#define TG__NORM_WORK(p)                                                                           \
    (2 * sizeof(double) * (size_t)((p)->groups * (p)->channels * (p)->inner > (p)->outer           \
                                       ? (p)->groups * (p)->channels * (p)->inner                  \
                                       : (p)->outer))

/* The gradients. dx is added to. Those by gamma and beta, of n elements, are added to total[i], and
   what rounding takes from total to total[n + i]. Each may be NULL. */
typedef struct tg__norm_gradients {
    const void *g;
    void *dx;
    double *gamma, *beta;
    int64_t n;
} tg__norm_gradients;

typedef void tg__norm_kernel(const tg__norm *p, void *y);
typedef void tg__norm_backward_kernel(const tg__norm *p, const tg__norm_gradients *d);

typedef struct tg__norm_kernels {
    tg__norm_kernel *rows, *runs, *across;
    tg__norm_backward_kernel *rows_backward, *runs_backward, *across_backward;
} tg__norm_kernels;

#endif
