/* What the formulas of elementwise.c mean for the type real: the functions they call, with arguments and results of
   that type. Include it after defining real (and TG_REAL_F32 if that is float). Redefines names of <math.h>. */
#ifndef TG_KERNELS_FORMULA_H
#define TG_KERNELS_FORMULA_H

#include <math.h>
#include <stdlib.h> /* declares abs before it is redefined */

#include "kernels/exponential.h"

#define R(constant) ((real)(constant))

#ifdef TG_REAL_F32
#define M(name) name##f
#else
#define M(name) name
#endif

#define where(condition, yes, no) ((condition) ? (real)(yes) : (real)(no))

static inline real m_sign(real x) { return (real)(x > 0) - (real)(x < 0) + (x != x ? x : 0); }

/* The logistic function without overflow: exp of a number that is not above 0. */
static inline real m_sigmoid(real x)
{
    const real e = m_exp(-M(fabs)(x));
    return (x >= 0 ? 1 : e) / (1 + e) + (x != x ? x : 0);
}

static inline real m_softplus(real x) { return where(x > 0, x, 0) + M(log1p)(m_exp(-M(fabs)(x))) + (x != x ? x : 0); }

static inline real m_logaddexp(real a, real b)
{
    if (a == b) return a + R(0.69314718055994530942); /* also for two equal infinities */
    const real d = a - b;
    return (d > 0 ? a : b) + M(log1p)(m_exp(-M(fabs)(d)));
}

static inline real m_xlogy(real a, real b) { return a == 0 && b == b ? 0 : a * M(log)(b); }

/* Python's: the result has the sign of b, a zero too. */
static inline real m_remainder(real a, real b)
{
    const real r = M(fmod)(a, b);
    if (r == 0) return M(copysign)(0, b);
    return (r < 0) != (b < 0) ? r + b : r;
}

#define abs(x) M(fabs)(x)
#define exp(x) m_exp(x)
#define tanh(x) m_tanh(x)
#define sign(x) m_sign(x)
#define sigmoid(x) m_sigmoid(x)
#define softplus(x) m_softplus(x)
#define logaddexp(a, b) m_logaddexp(a, b)
#define xlogy(a, b) m_xlogy(a, b)
#define remainder(a, b) m_remainder(a, b)
#define round(x) M(rint)(x)
#ifdef TG_REAL_F32
#define acos(x) acosf(x)
#define acosh(x) acoshf(x)
#define asin(x) asinf(x)
#define asinh(x) asinhf(x)
#define atan(x) atanf(x)
#define atan2(a, b) atan2f(a, b)
#define atanh(x) atanhf(x)
#define ceil(x) ceilf(x)
#define copysign(a, b) copysignf(a, b)
#define cos(x) cosf(x)
#define cosh(x) coshf(x)
#define erf(x) erff(x)
#define erfc(x) erfcf(x)
#define exp2(x) exp2f(x)
#define expm1(x) expm1f(x)
#define floor(x) floorf(x)
#define fma(a, b, c) fmaf(a, b, c)
#define hypot(a, b) hypotf(a, b)
#define log(x) logf(x)
#define log10(x) log10f(x)
#define log1p(x) log1pf(x)
#define log2(x) log2f(x)
#define pow(a, b) powf(a, b)
#define sin(x) sinf(x)
#define sinh(x) sinhf(x)
#define sqrt(x) sqrtf(x)
#define tan(x) tanf(x)
#define trunc(x) truncf(x)
#endif

/* What an incoming gradient g and a derivative d contribute. */
#define TIMES(g, d) ((g) == 0 ? 0 : (g) * (real)(d))
#define PICK(g, d) ((real)(d) == 0 ? 0 : TIMES(g, d))

#endif
