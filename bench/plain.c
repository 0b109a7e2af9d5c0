/* Plain loops: see plain.h. Compiled for f64, and with TG_REAL_F32 for f32. */
#include "plain.h"

#ifdef TG_REAL_F32
typedef float real;
#define PLAIN(name) name##_f32
#else
typedef double real;
#define PLAIN(name) name##_f64
#endif

#include "kernels/formula.h"

/* The functions that formula.h takes from the vector math: libm's again, and what is made of them. */
#undef acosh
#undef asinh
#undef atanh
#undef cos
#undef cosh
#undef erf
#undef exp
#undef exp2
#undef expm1
#undef hypot
#undef log
#undef log10
#undef log1p
#undef log2
#undef logit
#undef pow
#undef pow_a
#undef pow_b
#undef sin
#undef sinh
#undef tanh
#undef sigmoid
#undef softplus
#undef logaddexp
#undef xlogy
#undef sigmoid_by_value
#undef tanh_by_value
#undef TIMES
#undef PICK
#define acosh(x) M(acosh)(x)
#define asinh(x) M(asinh)(x)
#define atanh(x) M(atanh)(x)
#define cos(x) M(cos)(x)
#define cosh(x) M(cosh)(x)
#define erf(x) M(erf)(x)
#define exp(x) M(exp)(x)
#define exp2(x) M(exp2)(x)
#define expm1(x) M(expm1)(x)
#define hypot(a, b) M(hypot)(a, b)
#define log(x) M(log)(x)
#define log10(x) M(log10)(x)
#define log1p(x) M(log1p)(x)
#define log2(x) M(log2)(x)
#define logit(x) (M(log)(x) - M(log1p)(-(x)))
#define pow(a, b) M(pow)(a, b)
#define pow_a(a, b) ((b) == 0 ? 0 : (b)*M(pow)(a, (b)-1))
#define pow_b(a, b) ((a) == 0 ? ((b) < 0 ? -INFINITY : 0) : M(pow)(a, b) * M(log)(a))
#define sin(x) M(sin)(x)
#define sinh(x) M(sinh)(x)
#define tanh(x) M(tanh)(x)
#define sigmoid(x) (1 / (1 + M(exp)(-(x))))
#define softplus(x) plain_softplus(x)
#define logaddexp(a, b) (((a) > (b) ? (a) : (b)) + M(log1p)(M(exp)(-M(fabs)((a) - (b)))))
#define xlogy(a, b) ((a) == 0 ? 0 : (a)*M(log)(b))
#define sigmoid_by_value(x, y) m_sigmoid_by_value(x, y, NULL)
#define tanh_by_value(x, y) m_tanh_by_value(x, y, NULL)

/* A zero gradient adds nothing, as the operations promise. */
#define TIMES(g, d) ((g) == 0 ? 0 : (g) * (real)(d))
#define PICK(g, d) ((real)(d) == 0 ? 0 : TIMES(g, d))

static inline real plain_softplus(real x)
{
    return (x > 0 ? x : 0) + M(log1p)(M(exp)(-M(fabs)(x)));
}

#define OPERAND1                                                                                   \
    const real x = ((const real *)xs[0])[i];                                                       \
    (void)x;
#define OPERAND2                                                                                   \
    const real a = ((const real *)xs[0])[i], b = ((const real *)xs[1])[i];                         \
    (void)a, (void)b;
#define OPERAND3                                                                                   \
    OPERAND2 const real c = ((const real *)xs[2])[i];                                              \
    (void)c;
#define USED1 (void)x, (void)y;
#define USED2 (void)a, (void)b, (void)y;
#define USED3                                                                                      \
    (void)c;                                                                                       \
    USED2

#define FORWARD(NAME, OPERANDS, VALUE)                                                             \
    static void NAME##_forward(int64_t n, void *y, const void *const *xs, const ptrdiff_t *s)      \
    {                                                                                              \
        real *restrict out = y;                                                                    \
        (void)s;                                                                                   \
        for (int64_t i = 0; i < n; i++) {                                                          \
            OPERANDS out[i] = (real)(VALUE);                                                       \
        }                                                                                          \
    }
#define BACKWARD(NAME, OPERAND, OPERANDS, USED, CONTRIBUTION)                                      \
    static void NAME##_backward_##OPERAND(int64_t n, const void *gs, const void *ys,               \
                                          const void *const *xs, const ptrdiff_t *s, void *dx,     \
                                          ptrdiff_t sd)                                            \
    {                                                                                              \
        real *restrict d = dx;                                                                     \
        (void)s, (void)sd;                                                                         \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const real g = ((const real *)gs)[i], y = ((const real *)ys)[i];                       \
            OPERANDS USED d[i] += CONTRIBUTION;                                                    \
        }                                                                                          \
    }

#define MAP1(NAME, VALUE) FORWARD(NAME, OPERAND1, VALUE)
#define MAP2(NAME, VALUE) FORWARD(NAME, OPERAND2, VALUE)
#define MAP3(NAME, VALUE) FORWARD(NAME, OPERAND3, VALUE)
#define TERM1(NAME, KIND, OPERAND, DERIVATIVE)                                                     \
    BACKWARD(NAME, OPERAND, OPERAND1, USED1, KIND(g, DERIVATIVE))
#define TERM2(NAME, KIND, OPERAND, DERIVATIVE)                                                     \
    BACKWARD(NAME, OPERAND, OPERAND2, USED2, KIND(g, DERIVATIVE))
#define TERM3(NAME, KIND, OPERAND, DERIVATIVE)                                                     \
    BACKWARD(NAME, OPERAND, OPERAND3, USED3, KIND(g, DERIVATIVE))
#define ZERO(NAME, OPERAND)
#define END(NAME)
#include "maps.inl"
#undef MAP1
#undef MAP2
#undef MAP3
#undef TERM1
#undef TERM2
#undef TERM3
#undef ZERO
#undef END

#define MAP1(NAME, VALUE)                                                                          \
    {                                                                                              \
        NAME##_forward,                                                                            \
        {
#define MAP2 MAP1
#define MAP3 MAP1
#define TERM1(NAME, KIND, OPERAND, DERIVATIVE) NAME##_backward_##OPERAND,
#define TERM2 TERM1
#define TERM3 TERM1
#define ZERO(NAME, OPERAND) NULL,
#define END(NAME)                                                                                  \
    }                                                                                              \
    }                                                                                              \
    ,
const plain_map PLAIN(plain_maps)[TG__MAPS] = {
    { NULL, { NULL } },
#include "maps.inl"
};

/* ---- reductions of a row --------------------------------------------------------------------- */

static real sum_of(int64_t n, const real *x)
{
    real s = 0;
    for (int64_t i = 0; i < n; i++) s += x[i];
    return s;
}

static real largest(int64_t n, const real *x)
{
    real m = x[0];
    for (int64_t i = 1; i < n; i++) m = x[i] > m ? x[i] : m;
    return m;
}

static real log_sum_exp(int64_t n, const real *x)
{
    const real m = largest(n, x);
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)exp(x[i] - m);
    return m + log((real)s);
}

static void sum_forward(int64_t n, void *y, const void *x)
{
    *(real *)y = sum_of(n, x);
}
static void mean_forward(int64_t n, void *y, const void *x)
{
    *(real *)y = sum_of(n, x) / (real)n;
}
static void amax_forward(int64_t n, void *y, const void *x)
{
    *(real *)y = largest(n, x);
}
static void amin_forward(int64_t n, void *y, const void *x_)
{
    const real *x = x_;
    real m = x[0];
    for (int64_t i = 1; i < n; i++) m = x[i] < m ? x[i] : m;
    *(real *)y = m;
}
static void prod_forward(int64_t n, void *y, const void *x_)
{
    const real *x = x_;
    double p = 1;
    for (int64_t i = 0; i < n; i++) p *= (double)x[i];
    *(real *)y = (real)p;
}
static real variance(int64_t n, const real *x, real mean)
{
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)((x[i] - mean) * (x[i] - mean));
    return (real)(s / (double)(n - 1));
}
static void var_forward(int64_t n, void *y, const void *x)
{
    *(real *)y = variance(n, x, sum_of(n, x) / (real)n);
}
static void std_forward(int64_t n, void *y, const void *x)
{
    *(real *)y = M(sqrt)(variance(n, x, sum_of(n, x) / (real)n));
}
static void norm_forward(int64_t n, void *y, const void *x_)
{
    const real *x = x_;
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)(x[i] * x[i]);
    *(real *)y = M(sqrt)((real)s);
}
static void cumsum_forward(int64_t n, void *y_, const void *x_)
{
    const real *x = x_;
    real *restrict y = y_;
    double s = 0;
    for (int64_t i = 0; i < n; i++) y[i] = (real)(s += (double)x[i]);
}
static void cumprod_forward(int64_t n, void *y_, const void *x_)
{
    const real *x = x_;
    real *restrict y = y_;
    double p = 1;
    for (int64_t i = 0; i < n; i++) y[i] = (real)(p *= (double)x[i]);
}
static void logsumexp_forward(int64_t n, void *y, const void *x)
{
    *(real *)y = log_sum_exp(n, x);
}

static void softmax_forward(int64_t n, void *y_, const void *x_)
{
    real *restrict y = y_;
    const real *x = x_, m = largest(n, x);
    double s = 0;
    for (int64_t i = 0; i < n; i++) s += (double)(y[i] = exp(x[i] - m));
    for (int64_t i = 0; i < n; i++) y[i] /= (real)s;
}

static void log_softmax_forward(int64_t n, void *y_, const void *x_)
{
    real *restrict y = y_;
    const real *x = x_, s = log_sum_exp(n, x);
    for (int64_t i = 0; i < n; i++) y[i] = x[i] - s;
}

#define REDUCTION_BACKWARD(NAME, TERM)                                                             \
    static void NAME##_backward(int64_t n, const void *g_, const void *y_, const void *x_,         \
                                void *dx)                                                          \
    {                                                                                              \
        const real *g = g_, *y = y_, *x = x_;                                                      \
        real *restrict d = dx;                                                                     \
        (void)y, (void)x;                                                                          \
        for (int64_t i = 0; i < n; i++) d[i] += TERM;                                              \
    }
REDUCTION_BACKWARD(sum, g[0])
REDUCTION_BACKWARD(mean, g[0] / (real)n)
REDUCTION_BACKWARD(prod, g[0] * y[0] / x[i])
REDUCTION_BACKWARD(norm, g[0] / y[0] * x[i])
REDUCTION_BACKWARD(amax, x[i] == y[0] ? g[0] : 0)
REDUCTION_BACKWARD(amin, x[i] == y[0] ? g[0] : 0)
REDUCTION_BACKWARD(logsumexp, g[0] * exp(x[i] - y[0]))

/* d += a (x - mean) */
static void add_offsets(int64_t n, const real *x, real a, real *restrict d)
{
    const real mean = sum_of(n, x) / (real)n;
    for (int64_t i = 0; i < n; i++) d[i] += a * (x[i] - mean);
}

static void var_backward(int64_t n, const void *g, const void *y, const void *x, void *dx)
{
    (void)y;
    add_offsets(n, x, *(const real *)g * 2 / (real)(n - 1), dx);
}

static void std_backward(int64_t n, const void *g, const void *y, const void *x, void *dx)
{
    add_offsets(n, x, *(const real *)g / ((real)(n - 1) * *(const real *)y), dx);
}

static void cumsum_backward(int64_t n, const void *g_, const void *y, const void *x, void *dx)
{
    const real *g = g_;
    real *restrict d = dx;
    double s = 0;
    (void)y, (void)x;
    for (int64_t i = n; i-- > 0;) d[i] += (real)(s += (double)g[i]);
}

static void cumprod_backward(int64_t n, const void *g_, const void *y_, const void *x_, void *dx)
{
    const real *g = g_, *y = y_, *x = x_;
    real *restrict d = dx;
    double s = 0;
    for (int64_t i = n; i-- > 0;) {
        s += (double)(g[i] * y[i]);
        d[i] += (real)s / x[i];
    }
}

static void softmax_backward(int64_t n, const void *g_, const void *y_, const void *x, void *dx)
{
    const real *g = g_, *y = y_;
    real *restrict d = dx, s = 0;
    (void)x;
    for (int64_t i = 0; i < n; i++) s += g[i] * y[i];
    for (int64_t i = 0; i < n; i++) d[i] += y[i] * (g[i] - s);
}

static void log_softmax_backward(int64_t n, const void *g_, const void *y_, const void *x, void *dx)
{
    const real *g = g_, *y = y_, s = sum_of(n, g);
    real *restrict d = dx;
    (void)x;
    for (int64_t i = 0; i < n; i++) d[i] += g[i] - exp(y[i]) * s;
}

const plain_reduce PLAIN(plain_reductions)[REDUCTIONS] = {
    [SUM] = { sum_forward, sum_backward },
    [MEAN] = { mean_forward, mean_backward },
    [PROD] = { prod_forward, prod_backward },
    [VAR] = { var_forward, var_backward },
    [STD] = { std_forward, std_backward },
    [NORM] = { norm_forward, norm_backward },
    [AMIN] = { amin_forward, amin_backward },
    [CUMSUM] = { cumsum_forward, cumsum_backward },
    [CUMPROD] = { cumprod_forward, cumprod_backward },
    [AMAX] = { amax_forward, amax_backward },
    [LOGSUMEXP] = { logsumexp_forward, logsumexp_backward },
    [SOFTMAX] = { softmax_forward, softmax_backward },
    [LOG_SOFTMAX] = { log_softmax_forward, log_softmax_backward },
};
