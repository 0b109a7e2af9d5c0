/* Plain loops: losses of classes, the mean over rows of scores. */
#include "plain_loops.h"

/* The sum of the labels' weights. */
static real total_weight(const tg__call *c)
{
    const real *w = X(2);
    real s = 0;
    for (int64_t i = 0; i < COUNT(1); i++) s += w[INDEX(1)[i]];
    return s;
}

static real log_sum_exp(int64_t n, const real *x)
{
    real top = x[0], s = 0;
    for (int64_t j = 1; j < n; j++) top = x[j] > top ? x[j] : top;
    for (int64_t j = 0; j < n; j++) s += exp(x[j] - top);
    return top + log(s);
}

VALUE(nll)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1), *label = INDEX(1);
    real s = 0;
    for (int64_t i = 0; i < m; i++) s -= X(0)[i * n + label[i]];
    Y[0] = s / (real)m;
}

GRADIENT(nll)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1), *label = INDEX(1);
    const real g = G[0] / (real)m;
    real *restrict d = DX(0);
    for (int64_t i = 0; i < m; i++) d[i * n + label[i]] -= g;
}

VALUE(nll_weighted)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1), *label = INDEX(1);
    const real *w = X(2);
    real s = 0;
    for (int64_t i = 0; i < m; i++) s -= w[label[i]] * X(0)[i * n + label[i]];
    Y[0] = s / total_weight(c);
}

GRADIENT(nll_weighted)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1), *label = INDEX(1);
    const real *x = X(0), *w = X(2), y = Y[0], g = G[0] / total_weight(c);
    real *restrict d = DX(0), *restrict dw = DX(2);
    for (int64_t i = 0; i < m; i++) {
        d[i * n + label[i]] -= g * w[label[i]];
        dw[label[i]] -= g * (x[i * n + label[i]] + y);
    }
}

VALUE(cross_entropy)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1), *label = INDEX(1);
    const real *x = X(0);
    real s = 0;
    for (int64_t i = 0; i < m; i++, x += n) s += log_sum_exp(n, x) - x[label[i]];
    Y[0] = s / (real)m;
}

GRADIENT(cross_entropy)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1), *label = INDEX(1);
    const real *x = X(0), g = G[0] / (real)m;
    real *restrict d = DX(0);
    for (int64_t i = 0; i < m; i++, x += n, d += n) {
        const real all = log_sum_exp(n, x);
        for (int64_t j = 0; j < n; j++) d[j] += g * exp(x[j] - all);
        d[label[i]] -= g;
    }
}

VALUE(cross_entropy_weighted)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1), *label = INDEX(1);
    const real *x = X(0), *w = X(2);
    real s = 0;
    for (int64_t i = 0; i < m; i++, x += n) s += w[label[i]] * (log_sum_exp(n, x) - x[label[i]]);
    Y[0] = s / total_weight(c);
}

GRADIENT(cross_entropy_weighted)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1), *label = INDEX(1);
    const real *x = X(0), *w = X(2), y = Y[0], g = G[0] / total_weight(c);
    real *restrict d = DX(0), *restrict dw = DX(2);
    for (int64_t i = 0; i < m; i++, x += n, d += n) {
        const real all = log_sum_exp(n, x), gw = g * w[label[i]];
        for (int64_t j = 0; j < n; j++) d[j] += gw * exp(x[j] - all);
        d[label[i]] -= gw;
        dw[label[i]] += g * (all - x[label[i]] - y);
    }
}

VALUE(cross_entropy_soft)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0), *p = X(1);
    real s = 0;
    for (int64_t i = 0; i < m; i++, x += n, p += n) {
        const real all = log_sum_exp(n, x);
        for (int64_t j = 0; j < n; j++) s += p[j] * (all - x[j]);
    }
    Y[0] = s / (real)m;
}

GRADIENT(cross_entropy_soft)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0), *p = X(1), g = G[0] / (real)m;
    real *restrict d = DX(0), *restrict dp = DX(1);
    for (int64_t i = 0; i < m; i++, x += n, p += n, d += n, dp += n) {
        const real all = log_sum_exp(n, x);
        real s = 0;
        for (int64_t j = 0; j < n; j++) s += p[j];
        for (int64_t j = 0; j < n; j++) {
            d[j] += g * (s * exp(x[j] - all) - p[j]);
            dp[j] += g * (all - x[j]);
        }
    }
}

#define LABELS(LO, HI) TENS, OF(2, TENSOR(LO, HI, N, 10), TENSOR(0, 9, N))
#define WEIGHTS(LO, HI) TENS, OF(3, TENSOR(LO, HI, N, 10), TENSOR(0, 9, N), TENSOR(0.5, 2, 10))

const plain_row PLAIN(classes)[] = { ROW(nll, LABELS(-2, 0)),
                                     ROW(nll_weighted, WEIGHTS(-2, 0)),
                                     ROW(cross_entropy, LABELS(-2, 2)),
                                     ROW_OF(cross_entropy, "100-classes", cross_entropy, HUNDREDS,
                                            OF(2, TENSOR(-2, 2, N, 100), TENSOR(0, 99, N))),
                                     ROW(cross_entropy_weighted, WEIGHTS(-2, 2)),
                                     ROW(cross_entropy_soft, TENS,
                                         OF(2, TENSOR(-2, 2, N, 10), TENSOR(0, 1, N, 10))),
                                     END };
