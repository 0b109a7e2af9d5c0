/* Kernels of factorisations: see dense.inl. Matrices are f64 whatever the type of a call, and
   row-major: element (i, j) is a[i * row + j]. */
#ifndef TG_KERNELS_DENSE_H
#define TG_KERNELS_DENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/matmul.h"

typedef struct tg__dense_kernels {
    /* Between a matrix (m, n) of the kernels' type, x, and one of f64: y = x, without gaps between rows; x = y;
       x += scale y. */
    void (*load)(int64_t m, int64_t n, double *y, tg__matrix x);
    void (*store)(int64_t m, int64_t n, tg__matrix x, const double *y, ptrdiff_t row);
    void (*add)(int64_t m, int64_t n, tg__matrix x, const double *y, ptrdiff_t row, double scale);

    /* The rest is there for f64 only. */
    double (*dot)(int64_t n, const double *x, const double *y);
    void (*add_row)(int64_t n, double *y, const double *x, double a); /* y += a x */
    /* x, y = c x + s y, c y - s x. */
    void (*rotate)(int64_t n, double *x, double *y, double c, double s);
    /* b (m, n) = t^-1 b, for t (m, m) of any strides, lower or upper triangular, with unit its diagonal ones. */
    void (*substitute)(int64_t m, int64_t n, tg__matrix t, bool lower, bool unit, double *b,
                       ptrdiff_t row);
    /* Gauss in columns from ... end - 1 of a (m, n), with exchanges of whole rows: in step i rows i and swap[i].
       Returns the first pivot that is zero, or -1. */
    int64_t (*eliminate)(int64_t m, int64_t n, double *a, ptrdiff_t row, int64_t from, int64_t end,
                         int64_t *swap);
    /* Rows from ... end - 1 of U, with U' U = a, from what earlier rows have left of a (n, n). Returns the first
       pivot that is not positive, or -1. */
    int64_t (*cholesky)(int64_t n, double *a, ptrdiff_t row, int64_t from, int64_t end);
    /* a (m, n) = (I - tau v v') a; v[0], which is 1, is not looked at. */
    void (*reflect)(int64_t m, int64_t n, double *a, ptrdiff_t row, const double *v, ptrdiff_t step,
                    double tau);
} tg__dense_kernels;

#endif
