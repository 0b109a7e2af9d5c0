/* Plain loops: products of matrices and vectors, in the order in which the elements lie. */
#include "plain_loops.h"

/* c (m, n) += a (m, k) b (k, n) */
static void add_product(int64_t m, int64_t k, int64_t n, real *restrict c, const real *a,
                        const real *b)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = 0; j < n; j++) c[i * n + j] += a[i * k + p] * b[p * n + j];
}

/* c (m, n) += a (m, k) b' for b (n, k) */
static void add_product_turned(int64_t m, int64_t k, int64_t n, real *restrict c, const real *a,
                               const real *b)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            real s = 0;
            for (int64_t p = 0; p < k; p++) s += a[i * k + p] * b[j * k + p];
            c[i * n + j] += s;
        }
}

/* c (m, n) += a' b for a (k, m), b (k, n) */
static void add_turned_product(int64_t m, int64_t k, int64_t n, real *restrict c, const real *a,
                               const real *b)
{
    for (int64_t p = 0; p < k; p++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) c[i * n + j] += a[p * m + i] * b[p * n + j];
}

/* ---- matmul ---------------------------------------------------------------------------------- */

VALUE(matmul)
{
    const int64_t m = DIM(0, 0), k = DIM(0, 1), n = DIM(1, 1);
    memset(Y, 0, (size_t)(m * n) * sizeof(real));
    add_product(m, k, n, Y, X(0), X(1));
}

GRADIENT(matmul)
{
    const int64_t m = DIM(0, 0), k = DIM(0, 1), n = DIM(1, 1);
    add_product_turned(m, n, k, DX(0), G, X(1));
    add_turned_product(k, m, n, DX(1), X(0), G);
}

VALUE(batch)
{
    const int64_t m = DIM(0, 1), k = DIM(0, 2), n = DIM(1, 2);
    memset(Y, 0, (size_t)c->y.s->n * sizeof(real));
    for (int64_t i = 0; i < DIM(0, 0); i++)
        add_product(m, k, n, Y + i * m * n, X(0) + i * m * k, X(1) + i * k * n);
}

GRADIENT(batch)
{
    const int64_t m = DIM(0, 1), k = DIM(0, 2), n = DIM(1, 2);
    for (int64_t i = 0; i < DIM(0, 0); i++) {
        add_product_turned(m, n, k, DX(0) + i * m * k, G + i * m * n, X(1) + i * k * n);
        add_turned_product(k, m, n, DX(1) + i * k * n, X(0) + i * m * k, G + i * m * n);
    }
}

/* ---- vectors --------------------------------------------------------------------------------- */

VALUE(dot)
{
    const real *a = X(0), *b = X(1);
    real s = 0;
    for (int64_t i = 0; i < COUNT(0); i++) s += a[i] * b[i];
    Y[0] = s;
}

GRADIENT(dot)
{
    const real *a = X(0), *b = X(1), g = G[0];
    real *restrict da = DX(0), *restrict db = DX(1);
    for (int64_t i = 0; i < COUNT(0); i++) {
        da[i] += g * b[i];
        db[i] += g * a[i];
    }
}

VALUE(mv)
{
    const int64_t n = DIM(0, 1);
    const real *a = X(0), *x = X(1);
    for (int64_t i = 0; i < DIM(0, 0); i++, a += n) {
        real s = 0;
        for (int64_t j = 0; j < n; j++) s += a[j] * x[j];
        Y[i] = s;
    }
}

GRADIENT(mv)
{
    const int64_t n = DIM(0, 1);
    const real *a = X(0), *x = X(1), *g = G;
    real *restrict da = DX(0), *restrict dx = DX(1);
    for (int64_t i = 0; i < DIM(0, 0); i++, a += n, da += n)
        for (int64_t j = 0; j < n; j++) {
            da[j] += g[i] * x[j];
            dx[j] += g[i] * a[j];
        }
}

VALUE(outer)
{
    const int64_t m = COUNT(0), n = COUNT(1);
    const real *a = X(0), *b = X(1);
    real *restrict y = Y;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[i * n + j] = a[i] * b[j];
}

GRADIENT(outer)
{
    const int64_t m = COUNT(0), n = COUNT(1);
    const real *a = X(0), *b = X(1), *g = G;
    real *restrict da = DX(0), *restrict db = DX(1);
    for (int64_t i = 0; i < m; i++, g += n) {
        real s = 0;
        for (int64_t j = 0; j < n; j++) {
            s += g[j] * b[j];
            db[j] += g[j] * a[i];
        }
        da[i] += s;
    }
}

/* ---- linear ---------------------------------------------------------------------------------- */

VALUE(linear)
{
    const int64_t m = DIM(0, 0), k = DIM(0, 1), n = DIM(1, 0);
    const real *b = X(2);
    real *restrict y = Y;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[i * n + j] = b[j];
    add_product_turned(m, k, n, Y, X(0), X(1));
}

GRADIENT(linear)
{
    const int64_t m = DIM(0, 0), k = DIM(0, 1), n = DIM(1, 0);
    const real *g = G;
    real *restrict db = DX(2);
    add_product(m, n, k, DX(0), G, X(1));
    add_turned_product(n, m, k, DX(1), G, X(0));
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) db[j] += g[i * n + j];
}

/* ---- trace, einsum --------------------------------------------------------------------------- */

VALUE(trace)
{
    const int64_t n = DIM(0, 1);
    real s = 0;
    for (int64_t i = 0; i < n; i++) s += X(0)[i * n + i];
    Y[0] = s;
}

GRADIENT(trace)
{
    const int64_t n = DIM(0, 1);
    real *restrict d = DX(0);
    for (int64_t i = 0; i < n; i++) d[i * n + i] += G[0];
}

/* y[i] = sum over j of a[i, j] b[i, j] */
VALUE(row_products)
{
    const int64_t n = DIM(0, 1);
    const real *a = X(0), *b = X(1);
    for (int64_t i = 0; i < DIM(0, 0); i++, a += n, b += n) {
        real s = 0;
        for (int64_t j = 0; j < n; j++) s += a[j] * b[j];
        Y[i] = s;
    }
}

GRADIENT(row_products)
{
    const int64_t n = DIM(0, 1);
    const real *a = X(0), *b = X(1), *g = G;
    real *restrict da = DX(0), *restrict db = DX(1);
    for (int64_t i = 0; i < DIM(0, 0); i++, a += n, b += n, da += n, db += n)
        for (int64_t j = 0; j < n; j++) {
            da[j] += g[i] * b[j];
            db[j] += g[i] * a[j];
        }
}

/* y[b] = sum over i, j of x[b, i] a[i, j] z[b, j] */
VALUE(bilinear)
{
    const int64_t m = DIM(1, 0), n = DIM(1, 1);
    const real *x = X(0), *a = X(1), *z = X(2);
    for (int64_t b = 0; b < DIM(0, 0); b++, x += m, z += n) {
        real s = 0;
        for (int64_t i = 0; i < m; i++) {
            real row = 0;
            for (int64_t j = 0; j < n; j++) row += a[i * n + j] * z[j];
            s += x[i] * row;
        }
        Y[b] = s;
    }
}

GRADIENT(bilinear)
{
    const int64_t m = DIM(1, 0), n = DIM(1, 1);
    const real *x = X(0), *a = X(1), *z = X(2), *g = G;
    real *restrict dx = DX(0), *restrict da = DX(1), *restrict dz = DX(2);
    for (int64_t b = 0; b < DIM(0, 0); b++, x += m, z += n, dx += m, dz += n)
        for (int64_t i = 0; i < m; i++) {
            const real w = g[b] * x[i];
            real row = 0;
            for (int64_t j = 0; j < n; j++) {
                row += a[i * n + j] * z[j];
                da[i * n + j] += w * z[j];
                dz[j] += w * a[i * n + j];
            }
            dx[i] += g[b] * row;
        }
}

#define SQUARE TENSOR(-2, 2, N, N)
#define DENSE .size = { 16, 100, 400 }
#define SMALL_BATCH                                                                                \
    .size = { 10, 200, 20000 }, OF(2, TENSOR(-2, 2, N, 8, 8), TENSOR(-2, 2, N, 8, 8))
#define VECTORS LINEAR, OF(2, TENSOR(-2, 2, N), TENSOR(-2, 2, N))
#define ROWS HUNDREDS, OF(2, TENSOR(-2, 2, N, 100), TENSOR(-2, 2, N, 100))

const plain_row PLAIN(linalg)[] = {
    ROW(matmul, DENSE, OF(2, SQUARE, SQUARE)),
    ROW_OF(matmul, "batch-of-8x8", batch, SMALL_BATCH),
    ROW(dot, VECTORS),
    ROW(mv, .size = { 30, 120, 1400 }, OF(2, SQUARE, TENSOR(-2, 2, N))),
    ROW(outer, .size = { 30, 120, 1400 }, OF(2, TENSOR(-2, 2, N), TENSOR(-2, 2, N))),
    ROW(linear, DENSE, OF(3, SQUARE, SQUARE, TENSOR(-2, 2, N))),
    ROW_OF(linear, "10-to-10", linear, TENS,
           OF(3, TENSOR(-2, 2, N, 10), TENSOR(-2, 2, 10, 10), TENSOR(-2, 2, 10))),
    ROW(trace, .size = { 30, 120, 1400 }, OF(1, SQUARE)),
    ROW_OF(einsum, "ij,jk->ik", matmul, DENSE, OF(2, SQUARE, SQUARE),
           BY(einsum, .equation = "ij,jk->ik")),
    ROW_OF(einsum, "bij,bjk->bik", batch, SMALL_BATCH, BY(einsum, .equation = "bij,bjk->bik")),
    ROW_OF(einsum, "ij,ij->i", row_products, ROWS, BY(einsum, .equation = "ij,ij->i")),
    ROW_OF(einsum, "bi,ij,bj->b", bilinear, TENS,
           OF(3, TENSOR(-2, 2, N, 10), TENSOR(-2, 2, 10, 10), TENSOR(-2, 2, N, 10)),
           BY(einsum, .equation = "bi,ij,bj->b")),
    END
};
