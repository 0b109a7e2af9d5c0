/* sin and cos for the type real; see pair.h for what it has in common with the other vector math.
   Measured with MPFR over 10 million arguments, and next to multiples of pi/2: 1.5 ulp for f64;
   over all arguments up to 2^20 0.51 for f32.

   f64: x = n pi/2 + r, |r| <= pi/4. pi/2 comes in parts of 33 bits, so that n times a part is exact
   as long as n has at most 20 bits (Cody and Waite, 1980): for |x| <= M_NEAR. These subtractions are
   exact wherever r comes out small, so that r is good to 2^-130 and its own rounding. Both
   sin(r) = r + r z S and cos(r) = 1 + z C, for z = r^2, are a first term and a polynomial of z: what
   is chosen between is the coefficients.

   f32 is computed in double: x = (n + f) pi, |f| <= 1/2. x has 24 bits and the first part of 1/pi
   has 29, so that their product is exact, and so is n taken from it. sin(pi f) = f S and
   cos(pi f) = (1/4 - f^2) C, where each vanishes as it should, need no choice between them.

   The polynomials S and C of r^2 or f^2 minimise the largest error of sin and cos, found as those of
   exponential.h: 2^-63 and 2^-64 for f64, 2^-35 and 2^-29.9 for f32.

   Larger arguments are left to libm, one at a time. */
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
M_INLINE double m_either(bool cosine, double sine_s, double cosine_s)
{
    return cosine ? cosine_s : sine_s;
}

M_INLINE real m_sin_near(real x, bool cosine)
{
    const double rounded = x * TRIG_2_PI + TRIG_MAGIC, n = rounded - TRIG_MAGIC;
    const double a = x - n * TRIG_PI_2_A, b = n * TRIG_PI_2_B, ab = a - b;
    const double r = (ab - (((ab - a) + b) + n * TRIG_PI_2_C)) - n * TRIG_PI_2_D, z = r * r, z2 = z * z;
    const uint64_t quarter = m_double_bits(rounded) + cosine;
    const bool c = quarter & 1;
    const double p0 = m_either(c, -0x1.5555555555555p-3, -0.5), p1 = m_either(c, 0x1.1111111111067p-7, 0x1.555555555554cp-5);
    const double p2 = m_either(c, -0x1.a01a019ffdba9p-13, -0x1.6c16c16c1521fp-10);
    const double p3 = m_either(c, 0x1.71de3a32a8d95p-19, 0x1.a01a019cbf5d2p-16);
    const double p4 = m_either(c, -0x1.ae642ad2cb836p-26, -0x1.27e4f812ad5cfp-22);
    const double p5 = m_either(c, 0x1.6108af8fffd6fp-33, 0x1.1ee9f148c33c5p-29);
    const double p6 = m_either(c, -0x1.9f6db0c0ad1cfp-41, -0x1.8fb12a114ca75p-37);
    const double p = (p0 + z * p1) + z2 * ((p2 + z * p3) + z2 * ((p4 + z * p5) + z2 * p6));
    const double first = m_either(c, r, 1);
    const real y = m_flipped(first + first * z * p, quarter >> 1);
    return x == 0 && !cosine ? x : y; /* the sign */
}
#endif

M_INLINE real m_sin(real x, bool near)
{
    return near || !(M_ABS(x) > (real)M_NEAR) ? m_sin_near(x, false) : M_SIN(x);
}

M_INLINE real m_cos(real x, bool near)
{
    return near || !(M_ABS(x) > (real)M_NEAR) ? m_sin_near(x, true) : M_COS(x);
}

#endif
