/* Plain loops: losses of two tensors (the mean), and softargmax and its kin. */
#include "plain_loops.h"

/* ---- losses: an element's value and its derivatives, in a and b ------------------------------ */

#define LOSS(NAME, ELEMENT, BY_A, BY_B)                                                            \
    VALUE(NAME)                                                                                    \
    {                                                                                              \
        const int64_t n = COUNT(0);                                                                \
        const real *x = X(0), *t = X(1);                                                           \
        real s = 0;                                                                                \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const real a = x[i], b = t[i];                                                         \
            s += ELEMENT;                                                                          \
        }                                                                                          \
        Y[0] = s / (real)n;                                                                        \
    }                                                                                              \
    GRADIENT(NAME)                                                                                 \
    {                                                                                              \
        const int64_t n = COUNT(0);                                                                \
        const real *x = X(0), *t = X(1), g = G[0] / (real)n;                                       \
        real *restrict da = DX(0), *restrict db = DX(1);                                           \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const real a = x[i], b = t[i];                                                         \
            da[i] += g * (BY_A);                                                                   \
            db[i] += g * (BY_B);                                                                   \
        }                                                                                          \
    }

static inline real sign_of(real x)
{
    return (real)((x > 0) - (x < 0));
}

static inline real clipped(real x)
{
    return x > 1 ? 1 : x < -1 ? -1 : x;
}

static inline real huber_of(real e)
{
    return fabs(e) <= 1 ? e * e / 2 : fabs(e) - (real)0.5;
}

static inline real bounded_log(real x)
{
    const real y = log(x);
    return y > -100 ? y : -100;
}

static inline real sigmoid_of(real x)
{
    return 1 / (1 + exp(-x));
}

LOSS(mse, (a - b) * (a - b), 2 * (a - b), -2 * (a - b))
LOSS(l1, fabs(a - b), sign_of(a - b), -sign_of(a - b))
LOSS(bce, -(b *bounded_log(a) + (1 - b) * bounded_log(1 - a)), (a - b) / (a * (1 - a)),
     bounded_log(1 - a) - bounded_log(a))
LOSS(bce_with_logits, (a > 0 ? a : 0) - a * b + log1p(exp(-fabs(a))), sigmoid_of(a) - b, -a)
LOSS(huber, huber_of(a - b), clipped(a - b), -clipped(a - b))
LOSS(kl_div, b *(log(b) - a), -b, log(b) + 1 - a)
LOSS(hinge, a *b < 1 ? 1 - a * b : 0, a *b < 1 ? -b : 0, a *b < 1 ? -a : 0)

/* ---- softargmax ------------------------------------------------------------------------------ */

static void softargmax_of(int64_t n, real beta, const real *x, real *restrict y)
{
    real top = beta * x[0], s = 0;
    for (int64_t i = 1; i < n; i++) top = beta * x[i] > top ? beta * x[i] : top;
    for (int64_t i = 0; i < n; i++) s += y[i] = exp(beta * x[i] - top);
    for (int64_t i = 0; i < n; i++) y[i] /= s;
}

static void softargmax_add(int64_t n, real beta, const real *y, const real *g, real *restrict d)
{
    real s = 0;
    for (int64_t i = 0; i < n; i++) s += g[i] * y[i];
    for (int64_t i = 0; i < n; i++) d[i] += beta * y[i] * (g[i] - s);
}

#define SOFTARG(NAME, BETA)                                                                        \
    VALUE(NAME)                                                                                    \
    {                                                                                              \
        const int64_t n = DIM(0, 1);                                                               \
        for (int64_t i = 0; i < DIM(0, 0); i++) softargmax_of(n, BETA, X(0) + i * n, Y + i * n);   \
    }                                                                                              \
    GRADIENT(NAME)                                                                                 \
    {                                                                                              \
        const int64_t n = DIM(0, 1);                                                               \
        for (int64_t i = 0; i < DIM(0, 0); i++)                                                    \
            softargmax_add(n, BETA, Y + i * n, G + i * n, DX(0) + i * n);                          \
    }
SOFTARG(softargmax, 1)
SOFTARG(softargmin, -1)

VALUE(softargmax_columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0);
    real *restrict y = Y, *top = malloc((size_t)n * sizeof *top), *s = calloc((size_t)n, sizeof *s);
    for (int64_t j = 0; j < n; j++) top[j] = x[j];
    for (int64_t i = 1; i < m; i++)
        for (int64_t j = 0; j < n; j++) top[j] = x[i * n + j] > top[j] ? x[i * n + j] : top[j];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) s[j] += y[i * n + j] = exp(x[i * n + j] - top[j]);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[i * n + j] /= s[j];
    free(top), free(s);
}

GRADIENT(softargmax_columns)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *y = Y, *g = G;
    real *restrict d = DX(0), *restrict s = calloc((size_t)n, sizeof *s);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) s[j] += g[i * n + j] * y[i * n + j];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) d[i * n + j] += y[i * n + j] * (g[i * n + j] - s[j]);
    free(s);
}

VALUE(log_softmax)
{
    const int64_t n = DIM(0, 1);
    const real *x = X(0);
    real *restrict y = Y;
    for (int64_t i = 0; i < DIM(0, 0); i++, x += n, y += n) {
        real top = x[0], s = 0;
        for (int64_t j = 1; j < n; j++) top = x[j] > top ? x[j] : top;
        for (int64_t j = 0; j < n; j++) s += exp(x[j] - top);
        s = top + log(s);
        for (int64_t j = 0; j < n; j++) y[j] = x[j] - s;
    }
}

GRADIENT(log_softmax)
{
    const int64_t n = DIM(0, 1);
    const real *y = Y, *g = G;
    real *restrict d = DX(0);
    for (int64_t i = 0; i < DIM(0, 0); i++, y += n, g += n, d += n) {
        real s = 0;
        for (int64_t j = 0; j < n; j++) s += g[j];
        for (int64_t j = 0; j < n; j++) d[j] += g[j] - exp(y[j]) * s;
    }
}

#define PAIR(LO, HI, LO_B, HI_B) LINEAR, OF(2, TENSOR(LO, HI, N), TENSOR(LO_B, HI_B, N))
#define LINE LINEAR, OF(1, TENSOR(-2, 2, 1, N))
#define ROWS HUNDREDS, OF(1, TENSOR(-2, 2, N, 100))

const plain_row PLAIN(loss)[] = {
    ROW(mse, PAIR(-2, 2, -2, 2)),
    ROW(l1, PAIR(-2, 2, -2, 2)),
    ROW(bce, PAIR(0.1, 0.9, 0, 1)),
    ROW(bce_with_logits, PAIR(-3, 3, 0, 1)),
    ROW(huber, PAIR(-2, 2, -2, 2)),
    ROW_LIKE(smooth_l1, huber, PAIR(-2, 2, -2, 2)),
    ROW(kl_div, PAIR(-2, 0, 0.1, 0.9)),
    ROW(hinge, PAIR(-2, 2, -1, 1)),
    ROW_OF(softargmax, "line", softargmax, LINE),
    ROW_OF(softargmax, "rows-of-100", softargmax, ROWS),
    ROW_OF(softargmax, "rows-of-10", softargmax, TENS, OF(1, TENSOR(-2, 2, N, 10))),
    ROW_OF(softargmax, "columns", softargmax_columns, ROWS, BY(softmax, .axis = 0)),
    ROW_OF(softargmin, "rows-of-100", softargmin, ROWS),
    ROW_OF(log_softmax, "line", log_softmax, LINE),
    ROW_OF(log_softmax, "rows-of-100", log_softmax, ROWS),
    ROW_OF(log_softmax, "rows-of-10", log_softmax, TENS, OF(1, TENSOR(-2, 2, N, 10))),
    END
};
