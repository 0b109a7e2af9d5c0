/* Plain loops: scans along rows and down columns. */
#include "plain_loops.h"

#define EACH_ROW for (int64_t i = 0, n = DIM(0, 1); i < DIM(0, 0); i++)

VALUE(cumsum)
{
    EACH_ROW
    {
        const real *x = X(0) + i * n;
        real *restrict y = Y + i * n, s = 0;
        for (int64_t j = 0; j < n; j++) y[j] = s += x[j];
    }
}

GRADIENT(cumsum)
{
    EACH_ROW
    {
        const real *g = G + i * n;
        real *restrict d = DX(0) + i * n, s = 0;
        for (int64_t j = n - 1; j >= 0; j--) d[j] += s += g[j];
    }
}

VALUE(cumsum_columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0);
    real *y = Y;
    for (int64_t j = 0; j < n; j++) y[j] = x[j];
    for (int64_t i = 1; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[i * n + j] = y[(i - 1) * n + j] + x[i * n + j];
}

GRADIENT(cumsum_columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *g = G;
    real *restrict d = DX(0), *restrict s = calloc((size_t)n, sizeof *s);
    for (int64_t i = m - 1; i >= 0; i--)
        for (int64_t j = 0; j < n; j++) d[i * n + j] += s[j] += g[i * n + j];
    free(s);
}

VALUE(cumprod)
{
    EACH_ROW
    {
        const real *x = X(0) + i * n;
        real *restrict y = Y + i * n, s = 1;
        for (int64_t j = 0; j < n; j++) y[j] = s *= x[j];
    }
}

/* Of numbers that are not zero. */
GRADIENT(cumprod)
{
    EACH_ROW
    {
        const real *x = X(0) + i * n, *y = Y + i * n, *g = G + i * n;
        real *restrict d = DX(0) + i * n, s = 0;
        for (int64_t j = n - 1; j >= 0; j--) {
            s += g[j] * y[j];
            d[j] += s / x[j];
        }
    }
}

VALUE(logcumsumexp)
{
    EACH_ROW
    {
        const real *x = X(0) + i * n;
        real *restrict y = Y + i * n, s = x[0];
        y[0] = s;
        for (int64_t j = 1; j < n; j++) {
            const real top = s > x[j] ? s : x[j];
            y[j] = s = top + log1p(exp(-fabs(s - x[j])));
        }
    }
}

/* dx[j] = sum over i >= j of g[i] exp(x[j] - y[i]), with the sum taken along as exp(y[j]) times it. */
GRADIENT(logcumsumexp)
{
    EACH_ROW
    {
        const real *x = X(0) + i * n, *y = Y + i * n, *g = G + i * n;
        real *restrict d = DX(0) + i * n, s = 0;
        for (int64_t j = n - 1; j >= 0; j--) {
            s = g[j] + (j + 1 < n ? s * exp(y[j] - y[j + 1]) : 0);
            d[j] += s * exp(x[j] - y[j]);
        }
    }
}

#define ROWS HUNDREDS, OF(1, TENSOR(-2, 2, N, 100))

const plain_row PLAIN(scan)[] = {
    ROW_OF(cumsum, "line", cumsum, LINEAR, OF(1, TENSOR(-2, 2, 1, N))),
    ROW_OF(cumsum, "rows-of-100", cumsum, ROWS),
    ROW_OF(cumsum, "columns", cumsum_columns, ROWS, BY(last, .axis = 0)),
    ROW_OF(cumprod, "line", cumprod, LINEAR, OF(1, TENSOR(0.99, 1.010033, 1, N))), /* products stay in range */
    ROW_OF(cumprod, "rows-of-100", cumprod, HUNDREDS, OF(1, TENSOR(0.5, 1.5, N, 100))),
    ROW_OF(logcumsumexp, "rows-of-100", logcumsumexp, ROWS), END
};
