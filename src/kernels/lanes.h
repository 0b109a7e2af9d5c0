/* Kernels of programs: rows of lanes, one lane an instance. */
#ifndef TG_KERNELS_LANES_H
#define TG_KERNELS_LANES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A sum over lanes is kept in parts, so many bytes of them at every level. */
#define TG__LANE_BYTES 64

typedef struct tg__lanes_kernels {
    /* y = sum of a[i] * b[i], i < terms; operands are rows of n lanes, or with stride 0 one number. x
       holds a[0], b[0], a[1] ... */
    void (*dot)(int64_t n, void *y, int64_t terms, const void *const *x, const ptrdiff_t *stride);
    /* y[i] = sum of weight[i * terms + j] * x[j], i < rows: weights are numbers, the others rows of
       n lanes. */
    void (*dots)(int64_t n, int64_t rows, int64_t terms, void *const *y, const void *const *x,
                 const void *const *weight);
    /* sum[(i * columns + j) * parts + l] += the sum of a[i] * b[j] over the lanes l, l +
       parts, ... of n. */
    void (*outer)(int64_t n, int64_t rows, int64_t columns, void *sum, const void *const *a,
                  const void *const *b);
    /* y[l * row + at[j]] = x[j][l * stride[j]] for l < n, j < columns. */
    void (*rows)(int64_t n, int64_t columns, void *y, ptrdiff_t row, const uint32_t *at,
                 const void *const *x, const ptrdiff_t *stride);
    /* d[l] += g[l] * by, or nothing where g[l] is 0: a derivative for several cotangents. */
    void (*spread)(int64_t n, void *d, const void *g, double by);
    /* Whether there is no infinity and no NaN among n numbers. */
    bool (*finite)(int64_t n, const void *x);
    /* y = x, and the same. */
    bool (*copy_finite)(int64_t n, void *y, const void *x);
} tg__lanes_kernels;

#endif
