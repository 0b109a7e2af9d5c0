/* What the kernels are measured against: for every elementwise operation and operand the loop that
   a C programmer writes for the same formula, over libm, and some reductions. See plain.c. */
#ifndef BENCH_PLAIN_H
#define BENCH_PLAIN_H

#include "kernels/kernels.h"

/* As the kernels of kernels.h, for adjacent elements: the strides are not looked at. */
typedef struct plain_map {
    tg__map_forward_kernel *forward;
    tg__map_backward_kernel *backward[3];
} plain_map;

/* Over a row of n elements; y is one number for all before SOFTMAX. */
typedef enum plain_reduction {
    SUM,
    MEAN,
    PROD,
    VAR,
    STD,
    NORM,
    AMAX,
    AMIN,
    LOGSUMEXP,
    SOFTMAX,
    LOG_SOFTMAX,
    CUMSUM,
    CUMPROD,
    REDUCTIONS
} plain_reduction;

typedef struct plain_reduce {
    void (*forward)(int64_t n, void *y, const void *x);
    void (*backward)(int64_t n, const void *g, const void *y, const void *x, void *dx);
} plain_reduce;

extern const plain_map plain_maps_f64[TG__MAPS], plain_maps_f32[TG__MAPS];
extern const plain_reduce plain_reductions_f64[REDUCTIONS], plain_reductions_f32[REDUCTIONS];

#endif
