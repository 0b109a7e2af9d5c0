/* What the formulas of elementwise.c mean for the type real: the functions they call, with arguments and results of
   that type. Include it after defining real (and TG_REAL_F32 if that is float). Redefines names of <math.h>. */
#ifndef TG_KERNELS_FORMULA_H
#define TG_KERNELS_FORMULA_H

#include <math.h>
#include <stdlib.h> /* declares abs before it is redefined */

#include "kernels/exponential.h"
#include "kernels/logarithm.h"
#include "kernels/power.h"
#include "kernels/trigonometry.h"

#define R(constant) ((real)(constant))

#ifdef TG_REAL_F32
#define M(name) name##f
#else
#define M(name) name
#endif

#define where(condition, yes, no) ((condition) ? (real)(yes) : (real)(no))

/* 0 for both zeros, NaN for NaN. */
M_INLINE real m_sign(real x)
{
    const real size = M_ABS(x);
    return size > 0 ? M_COPYSIGN(1, x) : size;
}

M_INLINE real m_logaddexp(real a, real b)
{
    const real d = a == b ? 0 : a - b; /* also for two equal infinities */
    return (d > 0 ? a : b) + m_log_pair(m_exp_above(d)).high;
}

M_INLINE real m_xlogy(real a, real b) { return m_where((a == 0) & (b == b), 0, a * m_log(b, false)); }

/* Python's: the result has the sign of b, a zero too. */
M_INLINE real m_remainder(real a, real b)
{
    const real r = M(fmod)(a, b);
    if (r == 0) return M(copysign)(0, b);
    return (r < 0) != (b < 0) ? r + b : r;
}

#include "kernels/special.h"

#define WIDE(f, x) ((real)f((double)(x)))

#define abs(x) M(fabs)(x)
#define acosh(x) m_acosh(x)
#define asinh(x) m_asinh(x)
#define atanh(x) m_atanh(x)
#define cos(x) m_cos(x, near) /* near: see pair.h */
#define cosh(x) m_cosh(x)
#define exp(x) m_exp(x, near)
#define exp2(x) m_exp2(x)
#define expm1(x) m_expm1(x)
#define log(x) m_log(x, near)
#define log10(x) m_log10(x)
#define log1p(x) m_log1p(x)
#define log2(x) m_log2(x)
#define sin(x) m_sin(x, near)
#define sinh(x) m_sinh(x)
#define tanh(x) m_tanh(x)
#define sign(x) m_sign(x)
#define sigmoid(x) m_sigmoid(x)
#define softplus(x) m_softplus(x)
#define logaddexp(a, b) m_logaddexp(a, b)
#define xlogy(a, b) m_xlogy(a, b)
#define remainder(a, b) m_remainder(a, b)
#define round(x) M(rint)(x)
#define hypot(a, b) m_hypot(a, b)
#define pow(a, b) m_pow(a, b)
#define erf(x) m_erf(x)
#define erfc(x) m_erfc(x)
#define logit(x) m_logit(x)
#define softsign(x) m_softsign(x)
#define silu(x) m_silu(x)
#define mish(x) m_mish(x)
#define gelu(x) m_gelu(x)
#define gelu_tanh(x) WIDE(f64_gelu_tanh, x)
#define celu(a, b) m_celu(a, b)
#define lgamma(x) WIDE(f64_lgamma, x)
#define digamma(x) WIDE(f64_digamma, x)
#define polygamma(a, b) ((real)f64_polygamma((double)(a), (double)(b)))

/* parts of derivatives */
#define times(a, b) m_times(a, b)
#define div_b(a, b, c) m_div_b(a, b, c)
#define pow_a(a, b) m_pow_a(a, b)
#define pow_b(a, b) m_pow_b(a, b)
#define exp_times(a, b) m_exp_times(a, b)
#define exp2_x(a, b) m_exp2_x(a, b)
#define logaddexp_a(a, b) m_logaddexp_a(a, b)
#define xdivy(a, b) m_xdivy(a, b)
#define hypot_a(a, b) m_hypot_a(a, b)
#define atan2_a(a, b) m_atan2_a(a, b)
#define gaussian(x) m_gaussian(x, 1)
#define normal_pdf(x) m_normal_pdf(x)
#define sigmoid_x(x) m_sigmoid_x(x)
#define sigmoid_by_value(x, y) m_sigmoid_by_value(x, y, near)
#define tanh_by_value(x, y) m_tanh_by_value(x, y, near)
#define silu_x(x) m_silu_x(x)
#define mish_x(x) m_mish_x(x)
#define gelu_x(x) m_gelu_x(x)
#define gelu_tanh_x(x) WIDE(f64_gelu_tanh_x, x)
#define celu_a(a, b) m_celu_a(a, b)
#define celu_b(a, b) m_celu_b(a, b)

#ifdef TG_REAL_F32
#define acos(x) acosf(x)
#define asin(x) asinf(x)
#define atan(x) atanf(x)
#define atan2(a, b) atan2f(a, b)
#define ceil(x) ceilf(x)
#define copysign(a, b) copysignf(a, b)
#define floor(x) floorf(x)
#define fma(a, b, c) fmaf(a, b, c)
#define sqrt(x) sqrtf(x)
#define tan(x) tanf(x)
#define trunc(x) truncf(x)
#endif

/* What an incoming gradient g and a derivative d contribute: nothing if g is 0, which needs no look at a d that is a finite
   constant. The product is cut out as bits: a choice would be a branch, behind which the compiler moves the derivative, and
   then long ones are not vectorised. */
M_INLINE real m_keep(bool keep, real x) { return m_from_bits(m_keep_bits(keep, m_to_bits(x))); }
M_INLINE real m_times(real g, real d)
{
    return __builtin_constant_p(d - d == 0) && d - d == 0 ? g * d : m_keep(g != 0, g * d);
}
M_INLINE real m_pick(real g, real d) { return m_keep(d != 0, m_times(g, d)); }

#define TIMES(g, d) m_times(g, (real)(d))
#define PICK(g, d) m_pick(g, (real)(d))

#endif
