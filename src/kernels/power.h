/* pow and its derivatives for the type real; see pair.h for what they have in common. Measured with
   MPFR over 10 million arguments: pow 0.7 ulp, by a 1.5, by b 2.0.

   They are exp(b log|a|), for which the logarithm must be better than its type: an error of 1 ulp
   would be one of 745 in the result. With x = 2^k (1 + f) as in logarithm.h, and s = 2 f / (2 + f)

       log(1 + f) = 2 atanh(s/2) = s (1 + s^2 (1/12 + s^2 R(s^2)))

   where all is in two parts but s^4 R, at most 0.0002. The coefficients of R minimise the largest
   |error| of the logarithm relative to itself, found as those of exponential.h: 2^-66.2 for f64,
   2^-36.7 for f32. */
#ifndef TG_KERNELS_POWER_H
#define TG_KERNELS_POWER_H

#include "kernels/logarithm.h"

/* 1/12, the first part short */
#ifdef TG_REAL_F32
#define POWER_TWELFTH 0x1.5540p-4f
#define POWER_TWELFTH_REST 0x1.555556p-16f
#else
#define POWER_TWELFTH 0x1.5555550000000p-4
#define POWER_TWELFTH_REST 0x1.5555555555555p-30
#endif
/* Below and above these b log|a| a power is 0 and infinite, times b or log|a|, too: where b is so large that it would
   matter b log|a| is far beyond, as a differs from 1 by an ulp at least; where it is so small, a^(b - 1) is 1 / a. */
#define POWER_MIN (EXP_MIN - 64)
#define POWER_MAX (EXP_MAX * (real)1.5)

/* R(z) */
M_INLINE real m_power_factor(real z)
{
    const real z2 = z * z;
#ifdef TG_REAL_F32
    return (0x1.999a00p-7f + z * 0x1.245280p-9f) + z2 * 0x1.dfa108p-12f;
#else
    const real c0 = (0x1.9999999999b30p-7 + z * 0x1.2492492457d7cp-9) +
                    z2 * (0x1.c71c722d62571p-12 + z * 0x1.745ce9e50e81dp-14);
    const real c4 = (0x1.3b1eebb1a8bf0p-16 + z * 0x1.0f7ff28402f64p-18) + z2 * 0x1.0e4253b7e3c85p-20;
    return c0 + (z2 * z2) * c4;
#endif
}

/* log|x|; the low part is finite whatever x is. */
M_INLINE m_pair m_power_log(real x)
{
    const real size = M_ABS(x);
    const m_split in = m_log_split_any(size);
    const m_pair s = m_quotient_parts((m_pair){ 2 * in.f, 0 }, m_join(2, in.f));
    const real square = s.high * s.high, square_rest = s.low * (2 * s.high + s.low), z = square + square_rest;
    const real z_upper = m_upper(z), z_lower = (square - z_upper) + square_rest;
    const m_pair sum = m_join(1, z_upper * POWER_TWELFTH);
    const real rest = sum.low + (z_lower * POWER_TWELFTH + z * (POWER_TWELFTH_REST + z * m_power_factor(z)));
    const real upper = m_upper(sum.high), lower = (sum.high - upper) + rest;
    const m_pair y = m_log_whole(in.k, (m_pair){ s.high * upper, s.high * lower + s.low * (upper + lower) });
    const m_pair log = m_join(y.high, y.low);
    const real high = m_where(size == 0, -(real)INFINITY, log.high);
    return (m_pair){ m_where(size < (real)INFINITY, high, size), log.low };
}

/* factor exp(t log), also where the exponential alone is out of range; it is 1 for 0 times infinity or NaN. */
M_INLINE real m_times_power(real factor, m_pair t, m_pair log)
{
    const real plain = m_where(log.high == 0, 0, t.high) * m_where(t.high == 0, 0, log.high);
    const m_pair product = m_product(t, log);
    const bool inside = (plain > POWER_MIN) & (plain < POWER_MAX) & (plain != 0);
    const m_exponential e = m_exp_reduce_less(m_where(inside, product.high, m_clamp(plain, POWER_MIN, POWER_MAX)),
                                              m_where(inside, -product.low, 0));
    const real n = e.rounded - M_MAGIC, rounded = (real)0.5 * n + M_MAGIC, first = rounded - M_MAGIC;
    const real y = factor * m_power(rounded) * m_exp_fraction(e).high * m_power(n - first + M_MAGIC);
    return m_where(plain <= POWER_MIN, 0, y);
}

/* As bits, since compilers do not mix what is true of one exponent for all with what is true of each number. */
typedef struct m_exponent {
    m_bits odd;      /* M_SIGN if it is */
    m_bits even;     /* M_SIGN if it is, and finite */
    m_bits fraction; /* all set, which are a NaN's, if it is none of the whole numbers, of which infinity is one */
} m_exponent;

/* Adding 2^52 (f64) rounds to a whole number; from there on all are, and from 2^53 on even. */
M_INLINE m_exponent m_exponent_of(real b)
{
    const real size = M_ABS(b), unit = m_from_bits(LOG_WHOLE), sum = m_where(size < unit, size + unit, size);
    const bool whole = (sum - unit == size) | (size >= unit);
    const m_bits odd = m_keep_bits(size < 2 * unit, m_to_bits(sum) << (8 * sizeof(real) - 1));
    return (m_exponent){ .odd = m_keep_bits(whole, odd),
                         .even = m_keep_bits(whole & (size < (real)INFINITY), odd ^ M_SIGN),
                         .fraction = m_keep_bits(!whole, ~(m_bits)0) };
}

/* Squares are exact products, so that those who know that b is 2 need no more. */
M_INLINE real m_pow(real a, real b)
{
    const m_exponent exponent = m_exponent_of(b);
    const m_bits y = m_to_bits(m_times_power(1, (m_pair){ b, 0 }, m_power_log(a)));
    const m_bits undefined = m_keep_bits((a < 0) & (a > -(real)INFINITY), exponent.fraction);
    return m_where(b == 2, a * a, m_from_bits((y ^ (m_to_bits(a) & exponent.odd)) | undefined));
}

/* b a^(b - 1); 0 where b is. */
M_INLINE real m_pow_a(real a, real b)
{
    const m_exponent exponent = m_exponent_of(b);
    const m_bits y = m_to_bits(m_times_power(b, m_sum(b, -1), m_power_log(a)));
    const m_bits undefined = m_keep_bits(a < 0, exponent.fraction);
    const real any = m_where(b == 0, 0, m_from_bits((y ^ (m_to_bits(a) & exponent.even)) | undefined));
    return m_where(b == 2, 2 * a, any);
}

/* a^b log(a); 0 where a is and b is not negative. */
M_INLINE real m_pow_b(real a, real b)
{
    const m_pair log = m_power_log(a);
    const real y = m_where(a < 0, (real)NAN, m_times_power(log.high, (m_pair){ b, 0 }, log));
    return m_where(a == 0, m_where(b >= 0, 0, y), y);
}

#endif
