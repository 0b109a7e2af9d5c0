/* Plain loops: reductions over everything, over rows and over columns. */
#include "plain_loops.h"

/* ---- of n numbers ---------------------------------------------------------------------------- */

static real sum_of(int64_t n, const real *x)
{
    real s = 0;
    for (int64_t i = 0; i < n; i++) s += x[i];
    return s;
}

static real mean_of(int64_t n, const real *x)
{
    return sum_of(n, x) / (real)n;
}

static real prod_of(int64_t n, const real *x)
{
    real s = 1;
    for (int64_t i = 0; i < n; i++) s *= x[i];
    return s;
}

static real var_of(int64_t n, const real *x)
{
    const real m = mean_of(n, x);
    real s = 0;
    for (int64_t i = 0; i < n; i++) s += (x[i] - m) * (x[i] - m);
    return s / (real)(n - 1);
}

static real std_of(int64_t n, const real *x)
{
    return sqrt(var_of(n, x));
}

static int64_t argmax_of(int64_t n, const real *x)
{
    int64_t at = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[at]) at = i;
    return at;
}

static int64_t argmin_of(int64_t n, const real *x)
{
    int64_t at = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] < x[at]) at = i;
    return at;
}

static real amax_of(int64_t n, const real *x)
{
    real m = x[0];
    for (int64_t i = 1; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

static real amin_of(int64_t n, const real *x)
{
    real m = x[0];
    for (int64_t i = 1; i < n; i++) m = x[i] < m ? x[i] : m;
    return m;
}

static real norm_of(int64_t n, const real *x)
{
    real s = 0;
    for (int64_t i = 0; i < n; i++) s += x[i] * x[i];
    return sqrt(s);
}

static real logsumexp_of(int64_t n, const real *x)
{
    const real m = amax_of(n, x);
    real s = 0;
    for (int64_t i = 0; i < n; i++) s += exp(x[i] - m);
    return m + log(s);
}

/* ---- their gradients: d += g dy/dx ----------------------------------------------------------- */

static void sum_add(int64_t n, const real *x, real y, real g, real *restrict d)
{
    (void)x, (void)y;
    for (int64_t i = 0; i < n; i++) d[i] += g;
}

static void mean_add(int64_t n, const real *x, real y, real g, real *restrict d)
{
    sum_add(n, x, y, g / (real)n, d);
}

static void prod_add(int64_t n, const real *x, real y, real g, real *restrict d)
{
    for (int64_t i = 0; i < n; i++) d[i] += g * y / x[i];
}

static void var_add(int64_t n, const real *x, real y, real g, real *restrict d)
{
    const real m = mean_of(n, x), a = 2 * g / (real)(n - 1);
    (void)y;
    for (int64_t i = 0; i < n; i++) d[i] += a * (x[i] - m);
}

static void std_add(int64_t n, const real *x, real y, real g, real *restrict d)
{
    const real m = mean_of(n, x), a = g / ((real)(n - 1) * y);
    for (int64_t i = 0; i < n; i++) d[i] += a * (x[i] - m);
}

static void extreme_add(int64_t n, const real *x, real y, real g, real *restrict d)
{
    real ties = 0;
    for (int64_t i = 0; i < n; i++) ties += x[i] == y;
    for (int64_t i = 0; i < n; i++)
        if (x[i] == y) d[i] += g / ties;
}

static void norm_add(int64_t n, const real *x, real y, real g, real *restrict d)
{
    const real a = g / y;
    for (int64_t i = 0; i < n; i++) d[i] += a * x[i];
}

static void logsumexp_add(int64_t n, const real *x, real y, real g, real *restrict d)
{
    for (int64_t i = 0; i < n; i++) d[i] += g * exp(x[i] - y);
}

/* ---- over everything, and over rows ---------------------------------------------------------- */

#define REDUCTION(NAME, OF_N, ADD)                                                                 \
    VALUE(NAME)                                                                                    \
    {                                                                                              \
        Y[0] = OF_N(COUNT(0), X(0));                                                               \
    }                                                                                              \
    GRADIENT(NAME)                                                                                 \
    {                                                                                              \
        ADD(COUNT(0), X(0), Y[0], G[0], DX(0));                                                    \
    }                                                                                              \
    VALUE(NAME##_rows)                                                                             \
    {                                                                                              \
        const int64_t n = DIM(0, 1);                                                               \
        for (int64_t i = 0; i < DIM(0, 0); i++) Y[i] = OF_N(n, X(0) + i * n);                      \
    }                                                                                              \
    GRADIENT(NAME##_rows)                                                                          \
    {                                                                                              \
        const int64_t n = DIM(0, 1);                                                               \
        for (int64_t i = 0; i < DIM(0, 0); i++) ADD(n, X(0) + i * n, Y[i], G[i], DX(0) + i * n);   \
    }
REDUCTION(sum, sum_of, sum_add)
REDUCTION(mean, mean_of, mean_add)
REDUCTION(prod, prod_of, prod_add)
REDUCTION(var, var_of, var_add)
REDUCTION(std, std_of, std_add)
REDUCTION(amax, amax_of, extreme_add)
REDUCTION(amin, amin_of, extreme_add)
REDUCTION(norm, norm_of, norm_add)
REDUCTION(logsumexp, logsumexp_of, logsumexp_add)

#define POSITION(NAME)                                                                             \
    VALUE(NAME)                                                                                    \
    {                                                                                              \
        WHOLE_Y[0] = NAME##_of(COUNT(0), X(0));                                                    \
    }                                                                                              \
    VALUE(NAME##_rows)                                                                             \
    {                                                                                              \
        const int64_t n = DIM(0, 1);                                                               \
        for (int64_t i = 0; i < DIM(0, 0); i++) WHOLE_Y[i] = NAME##_of(n, X(0) + i * n);           \
    }
POSITION(argmax)
POSITION(argmin)

/* ---- over columns: row by row, as the elements lie ------------------------------------------- */

VALUE(sum_columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0);
    real *restrict y = Y;
    for (int64_t j = 0; j < n; j++) y[j] = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[j] += x[i * n + j];
}

GRADIENT(sum_columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *g = G;
    real *restrict d = DX(0);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) d[i * n + j] += g[j];
}

VALUE(amax_columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0);
    real *restrict y = Y;
    for (int64_t j = 0; j < n; j++) y[j] = x[j];
    for (int64_t i = 1; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[j] = x[i * n + j] > y[j] ? x[i * n + j] : y[j];
}

GRADIENT(amax_columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0), *y = Y, *g = G;
    real *restrict d = DX(0), *restrict ties = calloc((size_t)n, sizeof *ties);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) ties[j] += x[i * n + j] == y[j];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            if (x[i * n + j] == y[j]) d[i * n + j] += g[j] / ties[j];
    free(ties);
}

VALUE(argmax_columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0);
    int64_t *restrict y = WHOLE_Y;
    for (int64_t j = 0; j < n; j++) y[j] = 0;
    for (int64_t i = 1; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            if (x[i * n + j] > x[y[j] * n + j]) y[j] = i;
}

static void column_means(int64_t m, int64_t n, const real *x, real *restrict mean)
{
    for (int64_t j = 0; j < n; j++) mean[j] = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) mean[j] += x[i * n + j];
    for (int64_t j = 0; j < n; j++) mean[j] /= (real)m;
}

VALUE(var_columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0);
    real *restrict y = Y, *mean = malloc((size_t)n * sizeof *mean);
    column_means(m, n, x, mean);
    for (int64_t j = 0; j < n; j++) y[j] = 0;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            const real away = x[i * n + j] - mean[j];
            y[j] += away * away;
        }
    for (int64_t j = 0; j < n; j++) y[j] /= (real)(m - 1);
    free(mean);
}

GRADIENT(var_columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0), *g = G;
    real *restrict d = DX(0), *mean = malloc((size_t)n * sizeof *mean);
    column_means(m, n, x, mean);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            d[i * n + j] += 2 * g[j] / (real)(m - 1) * (x[i * n + j] - mean[j]);
    free(mean);
}

VALUE(logsumexp_columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0);
    real *restrict y = Y, *top = malloc((size_t)n * sizeof *top);
    for (int64_t j = 0; j < n; j++) top[j] = x[j], y[j] = 0;
    for (int64_t i = 1; i < m; i++)
        for (int64_t j = 0; j < n; j++) top[j] = x[i * n + j] > top[j] ? x[i * n + j] : top[j];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[j] += exp(x[i * n + j] - top[j]);
    for (int64_t j = 0; j < n; j++) y[j] = top[j] + log(y[j]);
    free(top);
}

GRADIENT(logsumexp_columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0), *y = Y, *g = G;
    real *restrict d = DX(0);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) d[i * n + j] += g[j] * exp(x[i * n + j] - y[j]);
}

/* ---- rows ------------------------------------------------------------------------------------ */

#define ALL LINEAR, OF(1, TENSOR(-2, 2, N))
#define ROWS HUNDREDS, OF(1, TENSOR(-2, 2, N, 100)), BY(reduce, .axis = -1)
#define COLUMNS HUNDREDS, OF(1, TENSOR(-2, 2, N, 100)), BY(reduce, .axis = 0)
#define SHORT TENS, OF(1, TENSOR(-2, 2, N, 10)), BY(reduce, .axis = -1)

const plain_row PLAIN(reduce)[] = { ROW(sum, ALL),
                                    ROW_OF(sum, "rows-of-100", sum_rows, ROWS),
                                    ROW_OF(sum, "rows-of-10", sum_rows, SHORT),
                                    ROW_OF(sum, "columns", sum_columns, COLUMNS),
                                    ROW(mean, ALL),
                                    ROW_OF(mean, "rows-of-100", mean_rows, ROWS),
                                    ROW(prod, LINEAR, OF(1, TENSOR(0.9999, 1.0001, N))),
                                    ROW_OF(prod, "rows-of-100", prod_rows, HUNDREDS,
                                           OF(1, TENSOR(0.5, 1.5, N, 100)), BY(reduce, .axis = -1)),
                                    ROW(var, ALL),
                                    ROW_OF(var, "rows-of-100", var_rows, ROWS),
                                    ROW_OF(var, "columns", var_columns, COLUMNS),
                                    ROW(std, ALL),
                                    ROW_OF(std, "rows-of-100", std_rows, ROWS),
                                    ROW(amax, ALL),
                                    ROW_OF(amax, "rows-of-100", amax_rows, ROWS),
                                    ROW_OF(amax, "rows-of-10", amax_rows, SHORT),
                                    ROW_OF(amax, "columns", amax_columns, COLUMNS),
                                    ROW(amin, ALL),
                                    ROW_OF(amin, "rows-of-100", amin_rows, ROWS),
                                    ROW_ZERO(argmax, "value", argmax, ALL),
                                    ROW_ZERO(argmax, "rows-of-100", argmax_rows, ROWS),
                                    ROW_ZERO(argmax, "columns", argmax_columns, COLUMNS),
                                    ROW_ZERO(argmin, "value", argmin, ALL),
                                    ROW_ZERO(argmin, "rows-of-100", argmin_rows, ROWS),
                                    ROW(norm, ALL),
                                    ROW_OF(norm, "rows-of-100", norm_rows, ROWS),
                                    ROW(logsumexp, ALL),
                                    ROW_OF(logsumexp, "rows-of-100", logsumexp_rows, ROWS),
                                    ROW_OF(logsumexp, "columns", logsumexp_columns, COLUMNS),
                                    END };
