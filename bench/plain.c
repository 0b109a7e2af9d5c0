/* Plain loops: see plain.h. */
#include "plain.h"

#include <math.h>

/* By recurrence to 10, where the asymptotic series is exact enough (Abramowitz and Stegun 6.3.6 and 6.3.18); below 0 by
   reflection (6.3.7). */
static inline double plain_digamma(double x)
{
    const double pi = 3.1415926535897932385;
    double sum = 0;
    if (x < 0) {
        sum = -pi / tan(pi * x);
        x = 1 - x;
    }
    for (; x < 10; x += 1) sum -= 1 / x;
    const double u = 1 / (x * x);
    const double series = u * (1. / 12 - u * (1. / 120 - u * (1. / 252 - u * (1. / 240 - u * (1. / 132 - u * (691. / 32760))))));
    return sum + (log(x) - 0.5 / x - series);
}

#include "kernels/formula.h"

/* The functions that formula.h takes from the vector math: libm's again, and what is made of them. */
#undef acosh
#undef asinh
#undef atanh
#undef cos
#undef cosh
#undef digamma
#undef erf
#undef exp
#undef exp2
#undef expm1
#undef hypot
#undef lgamma
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
#define digamma(x) ((real)plain_digamma((double)(x)))
#define erf(x) M(erf)(x)
#define exp(x) M(exp)(x)
#define exp2(x) M(exp2)(x)
#define expm1(x) M(expm1)(x)
#define hypot(a, b) M(hypot)(a, b)
#define lgamma(x) M(lgamma)(x)
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
const plain_map PLAIN(maps)[TG__MAPS] = {
    { NULL, { NULL } },
#include "maps.inl"
};
