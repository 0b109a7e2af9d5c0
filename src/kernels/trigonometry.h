/* sin and cos for the type real; see pair.h for what it has in common with the other vector math.
   Measured with MPFR over 2 million arguments, a quarter of them next to multiples of pi/2: 0.77 ulp
   for f64; over all arguments up to 2^20 0.51 for f32.

   f64: x = n pi/2 + r, |r| <= pi/4. pi/2 comes in parts of 33 bits, so that n times a part is exact
   as long as n has at most 20 bits (Cody and Waite, 1980): for |x| <= M_NEAR. These subtractions are
   exact wherever r comes out small, so that r is good to 2^-130. sin(r) = r + r r^2 S and
   cos(r) = 1 - r^2/2 + r^4 C.

   f32 is computed in double: x = (n + f) pi, |f| <= 1/2. x has 24 bits and the first part of 1/pi
   has 29, so that their product is exact, and so is n taken from it. sin(pi f) = f S and
   cos(pi f) = (1/4 - f^2) C, where each vanishes as it should, need no choice between them; a choice
   costs more than the longer polynomial.

   The polynomials S and C of r^2 or f^2 minimise the largest error of sin and cos, found as those of
   exponential.h: 2^-58 and 2^-64 for f64, 2^-35 and 2^-29.9 for f32.

   Larger arguments are left to libm; whoever wants vectors passes a place where they are reported,
   and does the work again if there were any. */
#ifndef TG_KERNELS_TRIGONOMETRY_H
#define TG_KERNELS_TRIGONOMETRY_H

#include "kernels/pair.h"

#define M_NEAR 0x1p20
#define TRIG_MAGIC 0x1.8p52
#define TRIG_1_PI_A 0x1.45f306dp-2
#define TRIG_1_PI_B 0x1.9391054a7f09dp-31
#define TRIG_2_PI 0x1.45f306dc9c883p-1
#define TRIG_PI_2_A 0x1.921fb544p+0
#define TRIG_PI_2_B 0x1.0b4611a6p-34
#define TRIG_PI_2_C 0x1.3198a2ep-69
#define TRIG_PI_2_D 0x1.b839a252049c1p-104

M_INLINE uint64_t m_double_bits(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* x, or -x where n is odd. */
M_INLINE double m_flipped(double x, uint64_t n)
{
    const uint64_t bits = m_double_bits(x) ^ n << 63;
    double y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

/* sin(x) or cos(x) for |x| <= M_NEAR. */
#ifdef TG_REAL_F32
M_INLINE real m_sin_near(real x_, bool cosine)
{
    const double x = (double)x_, high = x * TRIG_1_PI_A, rounded = high + TRIG_MAGIC;
    const double f = (high - (rounded - TRIG_MAGIC)) + x * TRIG_1_PI_B, z = f * f, z2 = z * z;
    const double s = (0x1.921fb5441e49cp+1 + z * -0x1.4abbce4f1a272p+2) +
                     z2 * ((0x1.466bbfc24dceep+1 + z * -0x1.32d112015b510p-1) +
                           z2 * (0x1.500ff7e47a213p-4 + z * -0x1.cc3458e5abfe3p-8));
    const double c = (0x1.fffffff790c57p+1 + z * -0x1.de9e5e8b0a479p+1) +
                     z2 * ((0x1.472a565560612p+0 + z * -0x1.d474df4b0f2c0p-3) + z2 * 0x1.8bbd9e11e25f9p-6);
    return (real)(m_flipped(cosine ? 0.25 - z : f, m_double_bits(rounded)) * (cosine ? c : s));
}
#else
M_INLINE real m_sin_near(real x, bool cosine)
{
    const double rounded = x * TRIG_2_PI + TRIG_MAGIC, n = rounded - TRIG_MAGIC;
    const uint64_t quarter = m_double_bits(rounded) + cosine;
    const double a = x - n * TRIG_PI_2_A, b = n * TRIG_PI_2_B, ab = a - b;
    const double rest = ((a - ab) - b) - n * TRIG_PI_2_C, r = ab + rest;
    const double low = ((ab - r) + rest) - n * TRIG_PI_2_D;
    const double z = r * r, half = 0.5 * z, z2 = z * z;
    const double s = (-0x1.5555555555549p-3 + z * 0x1.111111110f8a6p-7) +
                     z2 * ((-0x1.a01a019c16113p-13 + z * 0x1.71de357b0bf94p-19) +
                           z2 * (-0x1.ae5e688c47feap-26 + z * 0x1.5d939d6255800p-33));
    const double c = (0x1.555555555554cp-5 + z * -0x1.6c16c16c1521fp-10) +
                     z2 * ((0x1.a01a019cbf5d2p-16 + z * -0x1.27e4f812ad5cfp-22) +
                           z2 * (0x1.1ee9f148c33c5p-29 + z * -0x1.8fb12a114ca75p-37));
    const double one = 1 - half;
    const double sin_r = r + (r * (z * s) + (low - half * low));
    const double cos_r = one + (((1 - one) - half) + (z2 * c - r * low));
    const real y = m_flipped(quarter & 1 ? cos_r : sin_r, quarter >> 1);
    return x == 0 && !cosine ? x : y;
}
#endif

/* far is NULL, or the place where arguments beyond M_NEAR are reported; their results are wrong
   then. */
M_INLINE real m_sin(real x, m_bits *far)
{
    const bool near = !(M_ABS(x) > (real)M_NEAR);
    if (far) *far |= (m_bits)!near;
    return far || near ? m_sin_near(x, false) : M_SIN(x);
}

M_INLINE real m_cos(real x, m_bits *far)
{
    const bool near = !(M_ABS(x) > (real)M_NEAR);
    if (far) *far |= (m_bits)!near;
    return far || near ? m_sin_near(x, true) : M_COS(x);
}

#endif
