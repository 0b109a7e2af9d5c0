/* Products with a layer's weights, and its biases. */
#ifndef BENCH_STEPS_LAYERS_H
#define BENCH_STEPS_LAYERS_H

#include <cblas.h>
#include <string.h>

#include "lanes.h"

/* y (rows, out) = x (rows, in) W (out, in)'. */
static inline void times_weight(int rows, int out, int in, const real *x, const real *w, real *y)
{
    CBLAS(gemm)(CblasRowMajor, CblasNoTrans, CblasTrans, rows, out, in, 1, x, in, w, in, 0, y, out);
}

/* dW = g' x, and dx = g W. */
static inline void weight_gradient(int rows, int out, int in, const real *g, const real *x, real *dw)
{
    CBLAS(gemm)(CblasRowMajor, CblasTrans, CblasNoTrans, out, in, rows, 1, g, out, x, in, 0, dw, in);
}
static inline void input_gradient(int rows, int out, int in, const real *g, const real *w, real *dx)
{
    CBLAS(gemm)(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, in, out, 1, g, out, w, in, 0, dx,
                in);
}

/* The sum of g's rows. */
static inline void bias_gradient(int rows, int n, const real *restrict g, real *restrict db)
{
    memcpy(db, g, (size_t)n * sizeof *db);
    for (int r = 1; r < rows; r++)
        for (int j = 0; j < n; j++) db[j] += g[r * n + j];
}

#endif
