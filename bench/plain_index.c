/* Plain loops: elements picked by whole numbers. */
#include "plain_loops.h"

/* Rows of a table (.., n): index_select along axis 0, embedding. */
VALUE(rows)
{
    const int64_t m = COUNT(1), n = DIM(0, 1), *index = INDEX(1);
    const real *x = X(0);
    real *restrict y = Y;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[i * n + j] = x[index[i] * n + j];
}

GRADIENT(rows)
{
    const int64_t m = COUNT(1), n = DIM(0, 1), *index = INDEX(1);
    const real *g = G;
    real *restrict d = DX(0);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) d[index[i] * n + j] += g[i * n + j];
}

VALUE(columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1), k = COUNT(1), *index = INDEX(1);
    const real *x = X(0);
    real *restrict y = Y;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++) y[i * k + j] = x[i * n + index[j]];
}

GRADIENT(columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1), k = COUNT(1), *index = INDEX(1);
    const real *g = G;
    real *restrict d = DX(0);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++) d[i * n + index[j]] += g[i * k + j];
}

/* y[i, j] = x[index[i, j], j] */
VALUE(gather)
{
    const int64_t m = DIM(1, 0), n = DIM(1, 1), *index = INDEX(1);
    const real *x = X(0);
    real *restrict y = Y;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[i * n + j] = x[index[i * n + j] * n + j];
}

GRADIENT(gather)
{
    const int64_t m = DIM(1, 0), n = DIM(1, 1), *index = INDEX(1);
    const real *g = G;
    real *restrict d = DX(0);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) d[index[i * n + j] * n + j] += g[i * n + j];
}

/* y[i, j] = x[i, index[i, j]] */
VALUE(gather_columns)
{
    const int64_t m = DIM(1, 0), k = DIM(1, 1), n = DIM(0, 1), *index = INDEX(1);
    const real *x = X(0);
    real *restrict y = Y;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++) y[i * k + j] = x[i * n + index[i * k + j]];
}

GRADIENT(gather_columns)
{
    const int64_t m = DIM(1, 0), k = DIM(1, 1), n = DIM(0, 1), *index = INDEX(1);
    const real *g = G;
    real *restrict d = DX(0);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++) d[i * n + index[i * k + j]] += g[i * k + j];
}

VALUE(scatter_add)
{
    const int64_t m = DIM(1, 0), n = DIM(1, 1), *index = INDEX(1);
    const real *source = X(2);
    real *restrict y = Y;
    memcpy(y, X(0), (size_t)COUNT(0) * sizeof *y);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[index[i * n + j] * n + j] += source[i * n + j];
}

GRADIENT(scatter_add)
{
    const int64_t m = DIM(1, 0), n = DIM(1, 1), *index = INDEX(1);
    const real *g = G;
    real *restrict d = DX(0), *restrict ds = DX(2);
    for (int64_t i = 0; i < COUNT(0); i++) d[i] += g[i];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) ds[i * n + j] += g[index[i * n + j] * n + j];
}

VALUE(take)
{
    const int64_t n = COUNT(1), *index = INDEX(1);
    const real *x = X(0);
    real *restrict y = Y;
    for (int64_t i = 0; i < n; i++) y[i] = x[index[i]];
}

GRADIENT(take)
{
    const int64_t n = COUNT(1), *index = INDEX(1);
    const real *g = G;
    real *restrict d = DX(0);
    for (int64_t i = 0; i < n; i++) d[index[i]] += g[i];
}

VALUE(cast)
{
    const int64_t n = COUNT(0), *x = INDEX(0);
    real *restrict y = Y;
    for (int64_t i = 0; i < n; i++) y[i] = (real)x[i];
}

VALUE(one_hot)
{
    const int64_t m = COUNT(0), n = c->y.s->n / m, *index = INDEX(0);
    real *restrict y = Y;
    memset(y, 0, (size_t)c->y.s->n * sizeof *y);
    for (int64_t i = 0; i < m; i++) y[i * n + index[i]] = 1;
}

const plain_row PLAIN(index)[] = {
    ROW_OF(index_select, "rows", rows, HUNDREDS, OF(2, TENSOR(-2, 2, 10, 100), TENSOR(0, 9, N))),
    ROW_OF(index_select, "columns", columns, HUNDREDS,
           OF(2, TENSOR(-2, 2, N, 100), TENSOR(0, 99, 100)), BY(axis, .axis = 1)),
    ROW_LIKE(embedding, rows, HUNDREDS, OF(2, TENSOR(-2, 2, 10, 100), TENSOR(0, 9, N))),
    ROW(gather, HUNDREDS, OF(2, TENSOR(-2, 2, 10, 100), TENSOR(0, 9, N, 100))),
    ROW_OF(gather, "along-rows", gather_columns, HUNDREDS,
           OF(2, TENSOR(-2, 2, N, 100), TENSOR(0, 99, N, 100)), BY(axis, .axis = 1)),
    ROW(scatter_add, HUNDREDS,
        OF(3, TENSOR(-2, 2, 10, 100), TENSOR(0, 9, N, 100), TENSOR(-2, 2, N, 100))),
    ROW(take, LINEAR, OF(2, TENSOR(-2, 2, 1000), TENSOR(0, 999, N))),
    ROW_ZERO(cast, "value", cast, LINEAR, OF(1, TENSOR(-1000, 1000, N))),
    ROW_ZERO(one_hot, "value", one_hot, TENS, OF(1, TENSOR(0, 9, N)), BY(classes, .classes = 10)),
    END
};
