/* log, log2, log10, log1p, asinh, acosh, atanh and softplus for the type real; see pair.h for what
   they have in common. Measured with MPFR over 10 million arguments each: log 0.8 ulp, log10 and
   log1p 0.65, log2 0.7, asinh 1.5, acosh 2.4, atanh 2.0, softplus 1.0; 1.5 where the result is
   subnormal.

   x = 2^k (1 + f) with 1 + f between sqrt(1/2) and sqrt(2), and then with s = f / (2 + f)

       log(1 + f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + R(s^2)),    R(z) = 2 atanh(s)/s - 2

   (as in Tang, 1990, and fdlibm). log itself is that and k ln2, added from the smallest to the
   largest. The others need it in two parts, and so f - f^2/2: f^2/2 is exact up to the product
   of f's lower half with f, so that only s (f^2/2 + R), at most 0.02, is rounded before the last
   addition. The coefficients of R(z) / z minimise the largest |error| of R, found as those of
   exponential.h: 2^-58.5 for f64, 2^-29.2 for f32. */
#ifndef TG_KERNELS_LOGARITHM_H
#define TG_KERNELS_LOGARITHM_H

#include "kernels/exponential.h"

/* Upper parts times k, and times the upper half of a number, are exact. */
#ifdef TG_REAL_F32
#define LOG_SQRT_HALF UINT32_C(0x3f3504f3)
#define LOG_WHOLE UINT32_C(0x4b000000) /* of 2^23: or-ing a whole number adds it */
#define LOG_WHOLE_BIAS (0x1p23f + M_BIAS)
#define LOG_NORMAL 0x1p-126f
#define LOG_UP 0x1p24f
#define LOG_UP_POWER 24
#define LOG_TINY 0x1p-30f
#define LOG2_UPPER 0x1.714p+0f
#define LOG2_LOWER 0x1.47652cp-12f
#define LOG10_UPPER 0x1.bcap-2f
#define LOG10_LOWER 0x1.7b1526p-14f
#define LOG10_2_HI 0x1.344p-2f
#define LOG10_2_LO 0x1.3509f8p-18f
#else
#define LOG_SQRT_HALF UINT64_C(0x3fe6a09e667f3bcd)
#define LOG_WHOLE UINT64_C(0x4330000000000000) /* of 2^52: or-ing a whole number adds it */
#define LOG_WHOLE_BIAS (0x1p52 + M_BIAS)
#define LOG_NORMAL 0x1p-1022
#define LOG_UP 0x1p54
#define LOG_UP_POWER 54
#define LOG_TINY 0x1p-60
#define LOG2_UPPER 0x1.7154760000000p+0
#define LOG2_LOWER 0x1.4ae0bf85ddf44p-26
#define LOG10_UPPER 0x1.bcb7b10000000p-2
#define LOG10_LOWER 0x1.49b9438ca9aaep-28
#define LOG10_2_HI 0x1.34413509f6p-2
#define LOG10_2_LO 0x1.9fef311f12b36p-42
#endif

/* x = 2^k (1 + f) for positive normal x; down is 2^(1 - k). */
typedef struct m_split {
    real k, f, down;
} m_split;

M_INLINE m_split m_log_split(real x)
{
    const m_bits shifted = m_to_bits(x) + (M_ONE - LOG_SQRT_HALF);
    const m_bits exponent = shifted >> M_SHIFT, fraction = shifted & (((m_bits)1 << M_SHIFT) - 1);
    return (m_split){ m_from_bits(exponent | LOG_WHOLE) - LOG_WHOLE_BIAS,
                      m_from_bits(fraction + LOG_SQRT_HALF) - 1,
                      m_from_bits((2 * M_BIAS + 1 - exponent) << M_SHIFT) };
}

/* The same with subnormal numbers. */
M_INLINE m_split m_log_split_any(real x)
{
    const real up = x < LOG_NORMAL ? x * LOG_UP : x;
    m_split s = m_log_split(up);
    s.k -= x < LOG_NORMAL ? LOG_UP_POWER : 0;
    return s;
}

/* R(z) */
M_INLINE real m_log_factor(real z)
{
#ifdef TG_REAL_F32
    return z * (0x1.55557ap-1f + z * (0x1.995ed6p-2f + z * 0x1.31e086p-2f));
#else
    const real z2 = z * z;
    const real c0 = (0x1.5555555555593p-1 + z * 0x1.999999997faf2p-2) +
                    z2 * (0x1.24924942126ddp-2 + z * 0x1.c71c51f18e1f0p-3);
    const real c4 = (0x1.746643527903bp-3 + z * 0x1.39a151c3f924ep-3) + z2 * 0x1.2f09406dd8c5cp-3;
    return z * (c0 + (z2 * z2) * c4);
#endif
}

/* log(1 + f) */
M_INLINE m_pair m_log_fraction(real f)
{
    const real s = f / (2 + f), r = m_log_factor(s * s);
    const real upper = m_upper(f), square = (real)0.5 * upper * upper;
    const real rest = (real)0.5 * (f - upper) * (f + upper);
    const m_pair y = m_join(f, -square);
    return (m_pair){ y.high, (y.low - rest) + s * (square + rest + r) };
}

/* k ln2 + y */
M_INLINE m_pair m_log_whole(real k, m_pair y)
{
    const m_pair sum = m_join(k * EXP_LN2_HI, y.high);
    return m_join(sum.high, (sum.low + k * EXP_LN2_LO) + y.low);
}

/* y is the logarithm of x if x is positive and finite. */
M_INLINE real m_log_corners(real x, real y)
{
    const real outside = x > 0 ? x : x == 0 ? -(real)INFINITY : (real)NAN;
    return ((x > 0) & (x < (real)INFINITY)) ? y : outside;
}

/* What is not positive, normal and finite. */
M_INLINE m_bits m_log_far(real x)
{
    const m_bits bits = m_to_bits(x);
    return bits | (bits - m_to_bits(LOG_NORMAL)) | (m_to_bits((real)INFINITY) - 1 - bits);
}

M_INLINE real m_log(real x, bool near)
{
    const m_split in = near ? m_log_split(x) : m_log_split_any(x);
    const real f = in.f, s = f / (2 + f), square = (real)0.5 * f * f;
    const real rest = square - (s * (square + m_log_factor(s * s)) + in.k * EXP_LN2_LO);
    const real y = in.k * EXP_LN2_HI + (f - rest);
    return near ? y : m_log_corners(x, y);
}

/* y / log(base), for upper and lower the parts of 1 / log(base), plus k log2_hi + k log2_lo. */
M_INLINE real m_log_base(m_split s, real upper, real lower, real log2_hi, real log2_lo)
{
    const m_pair parts = m_log_fraction(s.f), y = m_join(parts.high, parts.low);
    const real first = m_upper(y.high), second = (y.high - first) + y.low;
    const m_pair sum = m_join(s.k * log2_hi, first * upper);
    return sum.high + (sum.low + (second * upper + (y.high * lower + s.k * log2_lo)));
}

M_INLINE real m_log2(real x)
{
    return m_log_corners(x, m_log_base(m_log_split_any(x), LOG2_UPPER, LOG2_LOWER, 1, 0));
}

M_INLINE real m_log10(real x)
{
    return m_log_corners(
        x, m_log_base(m_log_split_any(x), LOG10_UPPER, LOG10_LOWER, LOG10_2_HI, LOG10_2_LO));
}

/* log(x.high + x.low) for x.high not below 2^-60. With x.low f has two parts: the second changes
   the logarithm by itself / (1 + f), for which 1 - f + f^2 will do. */
M_INLINE m_pair m_log_pair(m_pair x)
{
    const m_split s = m_log_split(x.high);
    const m_pair f = m_join(s.f, (real)0.5 * x.low * s.down);
    m_pair y = m_log_fraction(f.high);
    y.low += f.low * (1 - f.high + f.high * f.high);
    return m_log_whole(s.k, y);
}

M_INLINE real m_log1p(real x)
{
    const real y = m_log_pair(m_sum(1, x)).high;
    const real inside = x < (real)INFINITY ? y : x;
    const real any = x > -1 ? inside : x == -1 ? -(real)INFINITY : (real)NAN;
    return M_ABS(x) < LOG_TINY ? x : any;
}

/* ---- inverse hyperbolic functions --------------------------------------------------------------- */

/* Beyond this x + sqrt(x x + 1) and x + sqrt(x x - 1) are 2 x. */
#ifdef TG_REAL_F32
#define LOG_LARGE 0x1p14f
#else
#define LOG_LARGE 0x1p28
#endif
#define LOG_LN2 ((real)0.69314718055994530942)

M_INLINE real m_asinh(real x)
{
    const real size = M_ABS(x), square = size * size;
    const bool large = size > LOG_LARGE;
    const real y = m_log1p(large ? size - 1 : size + square / (1 + M_SQRT(1 + square)));
    return M_COPYSIGN(y + (large ? LOG_LN2 : 0), x);
}

M_INLINE real m_acosh(real x)
{
    const real above = x - 1;
    const bool large = x > LOG_LARGE;
    const real y = m_log1p(large ? above : above + M_SQRT(above * (above + 2)));
    return x >= 1 ? y + (large ? LOG_LN2 : 0) : (real)NAN;
}

M_INLINE real m_atanh(real x)
{
    const real size = M_ABS(x);
    return M_COPYSIGN((real)0.5 * m_log1p(2 * size / (1 - size)), x);
}

/* ---- softplus ------------------------------------------------------------------------------------ */

/* max(x, 0) + log(1 + exp(-|x|)) */
M_INLINE real m_softplus(real x)
{
    const m_pair y = m_log_pair(m_exp_above(x)), sum = m_sum(x > 0 ? x : 0, y.high);
    return x < (real)INFINITY ? sum.high + (sum.low + y.low) : x;
}

#endif
