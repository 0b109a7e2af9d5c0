/* Plain loops: normalizations. */
#include "plain_loops.h"

static real epsilon_of(const tg__call *c)
{
    return (real)((const tg_normalize_attributes *)c->attributes)->epsilon;
}

/* ---- rows: layer_norm, rms_norm -------------------------------------------------------------- */

/* Mean and 1 / standard deviation. */
static void moments(int64_t n, const real *x, real epsilon, real *mean, real *scale)
{
    real m = 0, v = 0;
    for (int64_t j = 0; j < n; j++) m += x[j];
    m /= (real)n;
    for (int64_t j = 0; j < n; j++) v += (x[j] - m) * (x[j] - m);
    *mean = m;
    *scale = 1 / sqrt(v / (real)n + epsilon);
}

VALUE(layer_norm)
{
    const int64_t n = DIM(0, 1);
    const real *x = X(0), *gamma = X(1), *beta = X(2), epsilon = epsilon_of(c);
    real *restrict y = Y;
    for (int64_t i = 0; i < DIM(0, 0); i++, x += n, y += n) {
        real m, r;
        moments(n, x, epsilon, &m, &r);
        for (int64_t j = 0; j < n; j++) y[j] = (x[j] - m) * r * gamma[j] + beta[j];
    }
}

GRADIENT(layer_norm)
{
    const int64_t n = DIM(0, 1);
    const real *x = X(0), *gamma = X(1), *g = G, epsilon = epsilon_of(c);
    real *restrict d = DX(0), *restrict dgamma = DX(1), *restrict dbeta = DX(2);
    for (int64_t i = 0; i < DIM(0, 0); i++, x += n, g += n, d += n) {
        real m, r, a = 0, b = 0;
        moments(n, x, epsilon, &m, &r);
        for (int64_t j = 0; j < n; j++) {
            const real z = (x[j] - m) * r, h = g[j] * gamma[j];
            a += h;
            b += h * z;
            dgamma[j] += g[j] * z;
            dbeta[j] += g[j];
        }
        a /= (real)n, b /= (real)n;
        for (int64_t j = 0; j < n; j++) d[j] += r * (g[j] * gamma[j] - a - (x[j] - m) * r * b);
    }
}

static real root_mean_square(int64_t n, const real *x, real epsilon)
{
    real s = 0;
    for (int64_t j = 0; j < n; j++) s += x[j] * x[j];
    return sqrt(s / (real)n + epsilon);
}

VALUE(rms_norm)
{
    const int64_t n = DIM(0, 1);
    const real *x = X(0), *gamma = X(1), epsilon = epsilon_of(c);
    real *restrict y = Y;
    for (int64_t i = 0; i < DIM(0, 0); i++, x += n, y += n) {
        const real r = 1 / root_mean_square(n, x, epsilon);
        for (int64_t j = 0; j < n; j++) y[j] = x[j] * r * gamma[j];
    }
}

GRADIENT(rms_norm)
{
    const int64_t n = DIM(0, 1);
    const real *x = X(0), *gamma = X(1), *g = G, epsilon = epsilon_of(c);
    real *restrict d = DX(0), *restrict dgamma = DX(1);
    for (int64_t i = 0; i < DIM(0, 0); i++, x += n, g += n, d += n) {
        const real r = 1 / root_mean_square(n, x, epsilon);
        real b = 0;
        for (int64_t j = 0; j < n; j++) {
            b += g[j] * gamma[j] * x[j] * r;
            dgamma[j] += g[j] * x[j] * r;
        }
        b /= (real)n;
        for (int64_t j = 0; j < n; j++) d[j] += r * (g[j] * gamma[j] - x[j] * r * b);
    }
}

/* ---- channels: x is (samples, channels, inner) ----------------------------------------------- */

VALUE(group_norm)
{
    const tg_groups_attributes *const a = c->attributes;
    const int64_t inner = DIM(0, 2), channels = DIM(0, 1) / a->groups, n = channels * inner;
    const real *x = X(0), *gamma = X(1), *beta = X(2);
    real *restrict y = Y;
    for (int64_t i = 0; i < DIM(0, 0) * a->groups; i++, x += n, y += n) {
        const int64_t first = i % a->groups * channels;
        real m, r;
        moments(n, x, (real)a->epsilon, &m, &r);
        for (int64_t k = 0; k < channels; k++)
            for (int64_t j = k * inner; j < (k + 1) * inner; j++)
                y[j] = (x[j] - m) * r * gamma[first + k] + beta[first + k];
    }
}

GRADIENT(group_norm)
{
    const tg_groups_attributes *const at = c->attributes;
    const int64_t inner = DIM(0, 2), channels = DIM(0, 1) / at->groups, n = channels * inner;
    const real *x = X(0), *gamma = X(1), *g = G;
    real *restrict d = DX(0), *restrict dgamma = DX(1), *restrict dbeta = DX(2);
    for (int64_t i = 0; i < DIM(0, 0) * at->groups; i++, x += n, g += n, d += n) {
        const int64_t first = i % at->groups * channels;
        real m, r, a = 0, b = 0;
        moments(n, x, (real)at->epsilon, &m, &r);
        for (int64_t k = 0; k < channels; k++) {
            real sum = 0, with_z = 0;
            for (int64_t j = k * inner; j < (k + 1) * inner; j++) {
                sum += g[j];
                with_z += g[j] * (x[j] - m) * r;
            }
            dbeta[first + k] += sum;
            dgamma[first + k] += with_z;
            a += sum * gamma[first + k];
            b += with_z * gamma[first + k];
        }
        a /= (real)n, b /= (real)n;
        for (int64_t k = 0; k < channels; k++)
            for (int64_t j = k * inner; j < (k + 1) * inner; j++)
                d[j] += r * (g[j] * gamma[first + k] - a - (x[j] - m) * r * b);
    }
}

/* Mean and 1 / standard deviation of a channel. */
static void channel_moments(const tg__call *c, int64_t k, real *mean, real *scale)
{
    const int64_t samples = DIM(0, 0), channels = DIM(0, 1), inner = DIM(0, 2);
    const real *x = X(0) + k * inner;
    real m = 0, v = 0;
    for (int64_t i = 0; i < samples; i++)
        for (int64_t j = 0; j < inner; j++) m += x[i * channels * inner + j];
    m /= (real)(samples * inner);
    for (int64_t i = 0; i < samples; i++)
        for (int64_t j = 0; j < inner; j++) {
            const real away = x[i * channels * inner + j] - m;
            v += away * away;
        }
    *mean = m;
    *scale = 1 / sqrt(v / (real)(samples * inner) + epsilon_of(c));
}

VALUE(batch_norm)
{
    const int64_t samples = DIM(0, 0), channels = DIM(0, 1), inner = DIM(0, 2);
    const real *gamma = X(1), *beta = X(2);
    for (int64_t k = 0; k < channels; k++) {
        const real *x = X(0) + k * inner;
        real *restrict y = Y + k * inner, m, r;
        channel_moments(c, k, &m, &r);
        for (int64_t i = 0; i < samples; i++)
            for (int64_t j = 0; j < inner; j++)
                y[i * channels * inner + j] =
                    (x[i * channels * inner + j] - m) * r * gamma[k] + beta[k];
    }
}

GRADIENT(batch_norm)
{
    const int64_t samples = DIM(0, 0), channels = DIM(0, 1), inner = DIM(0, 2);
    const int64_t step = channels * inner, n = samples * inner;
    const real *gamma = X(1);
    for (int64_t k = 0; k < channels; k++) {
        const real *x = X(0) + k * inner, *g = G + k * inner;
        real *restrict d = DX(0) + k * inner, m, r, sum = 0, with_z = 0;
        channel_moments(c, k, &m, &r);
        for (int64_t i = 0; i < samples; i++)
            for (int64_t j = 0; j < inner; j++) {
                sum += g[i * step + j];
                with_z += g[i * step + j] * (x[i * step + j] - m) * r;
            }
        DX(1)[k] += with_z;
        DX(2)[k] += sum;
        sum /= (real)n, with_z /= (real)n;
        for (int64_t i = 0; i < samples; i++)
            for (int64_t j = 0; j < inner; j++)
                d[i * step + j] +=
                    r * gamma[k] * (g[i * step + j] - sum - (x[i * step + j] - m) * r * with_z);
    }
}

/* (samples, channels), the channels beside each other in memory: row by row. */
VALUE(batch_norm_rows)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0), *gamma = X(1), *beta = X(2);
    real *restrict y = Y;
    real *restrict mean = calloc((size_t)n, sizeof *mean), *restrict r =
                                                               calloc((size_t)n, sizeof *r);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) mean[j] += x[i * n + j];
    for (int64_t j = 0; j < n; j++) mean[j] /= (real)m;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) r[j] += (x[i * n + j] - mean[j]) * (x[i * n + j] - mean[j]);
    for (int64_t j = 0; j < n; j++) r[j] = 1 / sqrt(r[j] / (real)m + epsilon_of(c));
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            y[i * n + j] = (x[i * n + j] - mean[j]) * r[j] * gamma[j] + beta[j];
    free(mean), free(r);
}

GRADIENT(batch_norm_rows)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0), *gamma = X(1), *g = G;
    real *restrict d = DX(0);
    real *restrict mean = calloc((size_t)n, sizeof *mean), *restrict r =
                                                               calloc((size_t)n, sizeof *r);
    real *restrict sum = calloc((size_t)n, sizeof *sum), *restrict with_z =
                                                             calloc((size_t)n, sizeof *r);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) mean[j] += x[i * n + j];
    for (int64_t j = 0; j < n; j++) mean[j] /= (real)m;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) r[j] += (x[i * n + j] - mean[j]) * (x[i * n + j] - mean[j]);
    for (int64_t j = 0; j < n; j++) r[j] = 1 / sqrt(r[j] / (real)m + epsilon_of(c));
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            sum[j] += g[i * n + j];
            with_z[j] += g[i * n + j] * (x[i * n + j] - mean[j]) * r[j];
        }
    for (int64_t j = 0; j < n; j++) {
        DX(1)[j] += with_z[j];
        DX(2)[j] += sum[j];
        sum[j] /= (real)m, with_z[j] /= (real)m;
    }
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            d[i * n + j] += r[j] * gamma[j] *
                            (g[i * n + j] - sum[j] - (x[i * n + j] - mean[j]) * r[j] * with_z[j]);
    free(mean), free(r), free(sum), free(with_z);
}

#define PARAMETERS(CHANNELS) TENSOR(0.5, 2, CHANNELS), TENSOR(-1, 1, CHANNELS)

const plain_row PLAIN(norm)[] = {
    ROW(layer_norm, HUNDREDS, OF(3, TENSOR(-2, 2, N, 100), PARAMETERS(100))),
    ROW(rms_norm, HUNDREDS, OF(2, TENSOR(-2, 2, N, 100), TENSOR(0.5, 2, 100))),
    ROW(group_norm, .size = { 1, 16, 2000 }, OF(3, TENSOR(-2, 2, N, 8, 100), PARAMETERS(8)),
        BY(groups, .groups = 2)),
    ROW_OF(group_norm, "runs-of-4", group_norm, .size = { 10, 160, 20000 },
           OF(3, TENSOR(-2, 2, N, 24, 4), PARAMETERS(24)), BY(groups, .groups = 4)),
    ROW(batch_norm, .size = { 2, 16, 2000 }, OF(3, TENSOR(-2, 2, N, 8, 100), PARAMETERS(8))),
    ROW_OF(batch_norm, "no-inner-axis", batch_norm_rows, HUNDREDS,
           OF(3, TENSOR(-2, 2, N, 100), PARAMETERS(100))),
    END
};
