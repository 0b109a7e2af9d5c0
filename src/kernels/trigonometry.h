/* sin and cos for the type real; see pair.h for what it has in common with the other vector math.
   Measured with MPFR over 2 million arguments, a quarter of them next to multiples of pi/2: 0.77 ulp
   for f64, 0.51 for f32.

   x = n pi/2 + r, |r| <= pi/4. pi/2 comes in parts of 33 bits, so that n times a part is exact as
   long as n has at most 20 bits (Cody and Waite, 1980): for |x| <= M_NEAR. These subtractions are
   exact wherever r comes out small, so that r is good to 2^-130. Larger arguments are left to libm;
   whoever wants vectors passes a place where they are reported, and does the work again if there
   were any.

   The polynomials of r^2, sin(r) = r + r r^2 S and cos(r) = 1 - r^2/2 + r^4 C, minimise the largest
   error of these, found as those of exponential.h: 2^-58 and 2^-64 for f64; for f32, which is
   computed in double, 2^-37 and 2^-33. There both are 1 + z P(z), times r or 1, so that one polynomial
   does whose coefficients are chosen. */
#ifndef TG_KERNELS_TRIGONOMETRY_H
#define TG_KERNELS_TRIGONOMETRY_H

#include "kernels/pair.h"

#define M_NEAR 0x1p20
#define TRIG_2_PI 0x1.45f306dc9c883p-1
#define TRIG_MAGIC 0x1.8p52
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

/* y or -y, as quarter says. */
M_INLINE double m_signed(double x, uint64_t quarter)
{
    const uint64_t bits = m_double_bits(x) ^ (quarter & 2) << 62;
    double y;
    memcpy(&y, &bits, sizeof y);
    return y;
}

/* sin(x + quarters pi/2) for |x| <= M_NEAR. */
M_INLINE real m_sin_near(real x_, uint64_t quarters)
{
    const double x = (double)x_, rounded = x * TRIG_2_PI + TRIG_MAGIC, n = rounded - TRIG_MAGIC;
    const uint64_t quarter = m_double_bits(rounded) + quarters;
#ifdef TG_REAL_F32
    const double r = (x - n * TRIG_PI_2_A) - n * (TRIG_PI_2_B + TRIG_PI_2_C), z = r * r;
    const bool odd = quarter & 1;
    const double p1 = odd ? -0.5 : -0x1.5555554cb93bap-3;
    const double p2 = odd ? 0x1.55554ab2d8837p-5 : 0x1.11110895f24d3p-7;
    const double p3 = odd ? -0x1.6c0c8afce63a4p-10 : -0x1.a00f9d6da57fcp-13;
    const double p4 = odd ? 0x1.9a0222c4a2659p-16 : 0x1.6cd84d05cdeddp-19;
    const double p = (1 + z * p1) + (z * z) * ((p2 + z * p3) + (z * z) * p4);
    return (real)(m_signed(odd ? 1 : r, quarter) * p);
#else
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
    const double sine = r + (r * (z * s) + (low - half * low));
    const double cosine = one + (((1 - one) - half) + (z2 * c - r * low));
    const real y = m_signed(quarter & 1 ? cosine : sine, quarter);
    return x_ == 0 && !quarters ? x_ : y;
#endif
}

/* far is NULL, or the place where arguments beyond M_NEAR are reported; their results are wrong
   then. */
M_INLINE real m_sin(real x, m_bits *far)
{
    const bool near = !(M_ABS(x) > (real)M_NEAR);
    if (far) *far |= (m_bits)!near;
    return far || near ? m_sin_near(x, 0) : M_SIN(x);
}

M_INLINE real m_cos(real x, m_bits *far)
{
    const bool near = !(M_ABS(x) > (real)M_NEAR);
    if (far) *far |= (m_bits)!near;
    return far || near ? m_sin_near(x, 1) : M_COS(x);
}

#endif
