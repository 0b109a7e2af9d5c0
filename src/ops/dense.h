/* Factorisations of one matrix, in f64, for the rules of decompose.c: which is why they see a call,
   for its memory. Large products inside go through the kernels of matmul. Nothing here knows of
   batches, types or gradients. */
#ifndef TG_OPS_DENSE_H
#define TG_OPS_DENSE_H

#include "ops/op.h"

/* A matrix (m, n) in memory: element (i, j) is p[i * row + j * column]. */
typedef struct tg__dense {
    int64_t m, n;
    double *p;
    ptrdiff_t row, column;
} tg__dense;

/* Where matrices are made. Memory that is missing is noted and makes all later work do nothing, so
   that one look at failed, before elements are touched directly, is enough. */
typedef struct tg__desk {
    tg__arena *memory;
    const tg__kernels *k; /* those of f64 */
    bool failed;
} tg__desk;

/* A new matrix, row-major, of any contents; it lives until the caller takes memory->used back. */
tg__dense tg__dense_new(tg__desk *d, int64_t m, int64_t n);

static inline tg__dense tg__dense_turned(tg__dense x)
{
    return (tg__dense){ x.n, x.m, x.p, x.column, x.row };
}

/* Rows i ... i + m - 1, columns j ... j + n - 1. Of a matrix for which there was no memory: none. */
static inline tg__dense tg__dense_part(tg__dense x, int64_t i, int64_t j, int64_t m, int64_t n)
{
    double *const p = x.p ? x.p + i * x.row + j * x.column : NULL;
    return (tg__dense){ m, n, p, x.row, x.column };
}

static inline double *tg__dense_at(tg__dense x, int64_t i, int64_t j)
{
    return x.p + i * x.row + j * x.column;
}

void tg__dense_fill(tg__desk *d, tg__dense y, double x);
void tg__dense_identity(tg__desk *d, tg__dense y);
void tg__dense_copy(tg__desk *d, tg__dense y, tg__dense x);

/* c = a b, c += a b, c -= a b. c overlaps neither. */
void tg__dense_product(tg__desk *d, tg__dense c, tg__dense a, tg__dense b);
void tg__dense_add_product(tg__desk *d, tg__dense c, tg__dense a, tg__dense b);
void tg__dense_subtract_product(tg__desk *d, tg__dense c, tg__dense a, tg__dense b);

/* b = t^-1 b, for t lower or upper triangular; its other half, and with unit its diagonal, are not
   looked at. */
void tg__dense_triangle(tg__desk *d, tg__dense t, bool lower, bool unit, tg__dense b);

/* Row-major a = P L U, by Gauss with partial pivoting, in its place; in step i rows i and swap[i]
   were exchanged. Returns the first pivot that is zero, or -1. */
int64_t tg__dense_lu(tg__desk *d, tg__dense a, int64_t *swap);

/* b = a^-1 b, from a's factors. */
void tg__dense_lu_solve(tg__desk *d, tg__dense lu, const int64_t *swap, tg__dense b);

/* The upper triangle of the row-major symmetric a becomes U, with U' U = a. Below it is whatever.
   Returns the first pivot that is not positive, or -1. */
int64_t tg__dense_cholesky(tg__desk *d, tg__dense a);

/* Row-major a (m, n) = q r, with k = min(m, n) columns in q, which get orthonormal. a's first k
   rows become r: upper triangular, with a diagonal that is not negative. */
void tg__dense_qr(tg__desk *d, tg__dense a, tg__dense q);

/* Symmetric row-major a (n, n) = v diag(w) v', w rising; a is used up. Each column of v has the
   sign that makes its first large component (half of the largest or more) positive. */
void tg__dense_eigh(tg__desk *d, tg__dense a, double *w, tg__dense v);

/* a (m, n) = u diag(s) v, s falling, k = min(m, n) columns in u and rows in v; signs by the columns
   of u as in eigh. precision is that of the type the result is for: rows of v are orthogonal to it. */
void tg__dense_svd(tg__desk *d, tg__dense a, double precision, tg__dense u, double *s, tg__dense v);

#endif
