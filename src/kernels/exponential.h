/* exp, exp2, expm1, tanh, sinh, cosh and sigmoid for the type real; see pair.h for what they have in common.
   Measured with MPFR over 10 million arguments each: exp 1.0 ulp, exp2 0.7, expm1 1.2, tanh 1.0,
   sinh 2.0, cosh 1.1, sigmoid 0.7; 1.5 where the result is subnormal.

   They reduce x = n ln2 + h - l with |h| <= ln2 / 2: ln2 is taken in two parts, of which the first
   is so short that n times it, and so h, is exact (Cody and Waite, 1980); l is n times the second.
   Then with r = h - l

       exp(r) = 1 + (r + r^2 q(r)) = 1 + h + (r^2 q(r) - l)

   exp itself is the first. The others take the second, and 1 + h in two parts too: what is rounded
   before the last addition is at most 0.07. The terms of q are taken in pairs (Estrin, 1960), for
   the sake of latency.

   The coefficients of q, whose first is 1/2, minimise the largest error of exp(r): 2^-57.4 for f64,
   2^-28.2 for f32. They were found by least squares with Lawson's weights (1961) at 120 Chebyshev
   points in 60 digits, and rounded one after the other from the lowest, the others fitted again
   each time. */
#ifndef TG_KERNELS_EXPONENTIAL_H
#define TG_KERNELS_EXPONENTIAL_H

#include "kernels/pair.h"

#ifdef TG_REAL_F32
#define EXP_LOG2E 0x1.715476p+0f
#define EXP_LN2_HI 0x1.62e4p-1f
#define EXP_LN2_LO 0x1.7f7d1cp-20f
#define EXP_LN2_UPPER 0x1.62ep-1f
#define EXP_LN2_LOWER 0x1.0bfbe8p-15f
#define EXP_MAX 89.0f /* beyond these the results are infinite and 0 */
#define EXP_MIN (-104.0f)
#define EXP_NEAR 87.0f
#define EXP2_MAX 128.0f
#define EXP2_MIN (-151.0f)
#define EXP_TANH_MAX 10.0f
#define EXP_TINY 0x1p-30f /* below this exp(x) - 1 is x */
#define EXP_NORMAL (-124) /* below this power results are computed 2^EXP_UP larger */
#define EXP_UP 32
#define EXP_DOWN 0x1p-32f
#else
#define EXP_LOG2E 0x1.71547652b82fep+0
#define EXP_LN2_HI 0x1.62e42fefa2p-1
#define EXP_LN2_LO 0x1.9ef35793c7673p-41
#define EXP_LN2_UPPER 0x1.62e42f8p-1
#define EXP_LN2_LOWER 0x1.be8e7bcd5e4f2p-27
#define EXP_MAX 710.0 /* beyond these the results are infinite and 0 */
#define EXP_MIN (-746.0)
#define EXP_NEAR 708.0
#define EXP2_MAX 1024.0
#define EXP2_MIN (-1076.0)
#define EXP_TANH_MAX 22.0
#define EXP_TINY 0x1p-60 /* below this exp(x) - 1 is x */
#define EXP_NORMAL (-1020) /* below this power results are computed 2^EXP_UP larger */
#define EXP_UP 64
#define EXP_DOWN 0x1p-64
#endif

/* exp(x) = 2^n (1 + h + tail), h without error and |tail| <= 0.07; rounded is n + M_MAGIC. */
typedef struct m_exponential {
    real rounded, h, tail;
} m_exponential;

/* q(r) */
M_INLINE real m_exp_factor(real r)
{
    const real r2 = r * r;
#ifdef TG_REAL_F32
    return (0.5f + r * 0x1.55549p-3f) + r2 * ((0x1.5554d2p-5f + r * 0x1.123ab6p-7f) + r2 * 0x1.6d6608p-10f);
#else
    const real r4 = r2 * r2;
    const real c0 = (0.5 + r * 0x1.5555555555501p-3) + r2 * (0x1.5555555553211p-5 + r * 0x1.11111111289f7p-7);
    const real c4 = (0x1.6c16c17cbfcccp-10 + r * 0x1.a01a011b871ddp-13) +
                    r2 * (0x1.a019ab386a13dp-16 + r * 0x1.71df56cd3c76fp-19);
    const real c8 = 0x1.289f7f26d02a9p-22 + r * 0x1.ad1d64e1848cep-26;
    return c0 + r4 * (c4 + r4 * c8);
#endif
}

/* exp(h - l) - 1 - h */
M_INLINE real m_exp_tail(real h, real l)
{
    const real r = h - l;
    return r * r * m_exp_factor(r) - l;
}

M_INLINE m_exponential m_exp_reduce(real x)
{
    const real rounded = x * EXP_LOG2E + M_MAGIC, n = rounded - M_MAGIC, h = x - n * EXP_LN2_HI;
    return (m_exponential){ rounded, h, m_exp_tail(h, n * EXP_LN2_LO) };
}

/* Of exp(x - less), for less at most 2^-3. */
M_INLINE m_exponential m_exp_reduce_less(real x, real less)
{
    const real rounded = (x - less) * EXP_LOG2E + M_MAGIC, n = rounded - M_MAGIC;
    const real h = x - n * EXP_LN2_HI;
    return (m_exponential){ rounded, h, m_exp_tail(h, n * EXP_LN2_LO + less) };
}

/* 1 + h + tail */
M_INLINE m_pair m_exp_fraction(m_exponential e)
{
    const m_pair s = m_join(1, e.h);
    return m_join(s.high, s.low + e.tail);
}

/* y 2^n with n from EXP2_MIN - 7 to EXP2_MAX. The power comes in two factors, so that results that are
   subnormal or infinite are rounded once. */
M_INLINE real m_scale(real y, real rounded)
{
    const bool small = rounded < M_MAGIC + EXP_NORMAL;
    return (y * m_power(rounded + (small ? EXP_UP : -1))) * (small ? EXP_DOWN : 2);
}

M_INLINE real m_clamp(real x, real min, real max)
{
    const real y = x < min ? min : x;
    return y > max ? max : y;
}

/* Near: up to EXP_NEAR, where the power of two is a normal number. */
M_INLINE real m_exp(real x, bool near)
{
    const real rounded = x * EXP_LOG2E + M_MAGIC, n = rounded - M_MAGIC;
    const real r = (x - n * EXP_LN2_HI) - n * EXP_LN2_LO, y = 1 + (r + r * r * m_exp_factor(r));
    if (near) return m_from_bits(m_to_bits(y) + (m_to_bits(rounded) << M_SHIFT));
    const real inside = x > EXP_MAX ? (real)INFINITY : m_scale(y, rounded);
    return x < EXP_MIN ? 0 : inside;
}

/* x = n + f, and f ln2 in two parts: the product of the upper halves is exact. */
M_INLINE real m_exp2(real x)
{
    const real in = m_clamp(x, EXP2_MIN, EXP2_MAX), rounded = in + M_MAGIC;
    const real f = in - (rounded - M_MAGIC), upper = m_upper(f), h = upper * EXP_LN2_UPPER;
    const real l = (upper - f) * EXP_LN2_UPPER - f * EXP_LN2_LOWER;
    return m_scale(m_exp_fraction((m_exponential){ rounded, h, m_exp_tail(h, l) }).high, rounded);
}

/* (exp(x) - 1) / 2 = (2^(n-1) - 1/2) + 2^(n-1) h + 2^(n-1) tail; the half keeps the power finite. The first two are added
   without an error while the tail is still on its way. The low part may be a little more than half an ulp. */
M_INLINE m_pair m_half_expm1(m_exponential e)
{
    const real power = m_power(e.rounded - 1), whole = power - (real)0.5;
    const real lost = (power - whole) - (real)0.5;
    const m_pair first = m_join(whole, power * e.h), sum = m_join(first.high, power * e.tail);
    return (m_pair){ sum.high, sum.low + (first.low + lost) };
}

M_INLINE real m_expm1(real x)
{
    const m_pair y = m_half_expm1(m_exp_reduce(m_clamp(x, -44, EXP_MAX)));
    return M_ABS(x) < EXP_TINY ? x : 2 * (y.high + y.low);
}

/* h / (h + 1) with h = (exp(2 |x|) - 1) / 2. */
M_INLINE real m_tanh(real x)
{
    const real size = M_ABS(x);
    const m_pair h = m_half_expm1(m_exp_reduce(2 * (size > EXP_TANH_MAX ? EXP_TANH_MAX : size)));
    const m_pair sum = m_sum(h.high, 1);
    return M_COPYSIGN(m_quotient(h, (m_pair){ sum.high, sum.low + h.low }), x);
}

M_INLINE m_exponential m_cosh_reduce(real size)
{
    return m_exp_reduce(size > EXP_MAX + 1 ? EXP_MAX + 1 : size);
}

/* exp(|x|) / 2, which is finite for longer than exp. */
M_INLINE real m_half_exp(m_exponential e)
{
    return m_scale(m_exp_fraction(e).high, e.rounded - 1);
}

/* h + 1 / (4 h) with h = exp(|x|) / 2. */
M_INLINE real m_cosh(real x)
{
    const real h = m_half_exp(m_cosh_reduce(M_ABS(x)));
    return h + (real)0.25 / h;
}

/* h + h / (2 h + 1) with h = (exp(|x|) - 1) / 2; where 1 is negligible, exp(|x|) / 2. */
M_INLINE real m_sinh(real x)
{
    const real size = M_ABS(x);
    const m_exponential e = m_cosh_reduce(size);
    const m_pair h = m_half_expm1(e);
    const real low = h.high + (h.low + h.high / (2 * h.high + 1));
    const real y = size > EXP_TANH_MAX ? m_half_exp(e) : low;
    return M_COPYSIGN(size < EXP_TINY ? size : y, x);
}

/* exp(-|x|) */
M_INLINE m_pair m_exp_decay(real x)
{
    const real size = M_ABS(x);
    const m_exponential e = m_exp_reduce(size > -EXP_MIN ? EXP_MIN : -size);
    const m_pair f = m_exp_fraction(e);
    return (m_pair){ m_scale(f.high, e.rounded), m_scale(f.low, e.rounded) };
}

/* 1 + exp(-|x|) */
M_INLINE m_pair m_exp_above(real x)
{
    const m_pair e = m_exp_decay(x), sum = m_join(1, e.high);
    return (m_pair){ sum.high, sum.low + e.low };
}

/* The logistic function: 1 or exp(-|x|), divided by 1 + exp(-|x|). */
M_INLINE real m_sigmoid(real x)
{
    const m_pair e = m_exp_decay(x);
    return m_quotient((m_pair){ x < 0 ? e.high : 1, x < 0 ? e.low : 0 }, m_exp_above(x));
}

#endif
