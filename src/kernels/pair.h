/* Numbers as bits, and numbers in two parts: what the vector math (exponential.h, logarithm.h,
   trigonometry.h) is made of. Include it after defining real (and TG_REAL_F32 if that is float).

   All of it is additions, multiplications, roots, selections and whole-number arithmetic in straight
   lines, so that loops over it vectorise, and nothing is fused: the results are the same bits at
   every instruction-set level, at every place of an array, and in the scalar path of the tape. */
#ifndef TG_KERNELS_PAIR_H
#define TG_KERNELS_PAIR_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* Always: a call that is left over keeps its loop from being vectorised. */
#define M_INLINE static inline __attribute__((always_inline))

/* A type's bits; the mask keeps half of the significand. Adding M_MAGIC to a number of moderate
   size rounds it to a whole number, which then stands in the low bits. */
#ifdef TG_REAL_F32
typedef uint32_t m_bits;
#define M_SHIFT 23
#define M_BIAS 127
#define M_ONE UINT32_C(0x3f800000)
#define M_SIGN UINT32_C(0x80000000)
#define M_HALF_MASK UINT32_C(0xfffff000)
#define M_MAGIC 0x1.8p23f
#define M_ABS fabsf
#define M_SIN sinf
#define M_COS cosf
#define M_COPYSIGN copysignf
#define M_SQRT sqrtf
#else
typedef uint64_t m_bits;
#define M_SHIFT 52
#define M_BIAS 1023
#define M_ONE UINT64_C(0x3ff0000000000000)
#define M_SIGN UINT64_C(0x8000000000000000)
#define M_HALF_MASK UINT64_C(0xfffffffff8000000)
#define M_MAGIC 0x1.8p52
#define M_ABS fabs
#define M_SIN sin
#define M_COS cos
#define M_COPYSIGN copysign
#define M_SQRT sqrt
#endif

M_INLINE m_bits m_to_bits(real x)
{
    m_bits bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

M_INLINE real m_from_bits(m_bits bits)
{
    real x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Both sides are there before one is chosen: left to themselves compilers make branches of nested choices, and no
   vectors. */
M_INLINE real m_where(bool condition, real yes, real no)
{
    return condition ? yes : no;
}

M_INLINE m_bits m_keep_bits(bool keep, m_bits bits)
{
    return bits & ((m_bits)0 - (m_bits)keep);
}

/* The highest bit is set if |x| is above limit or x is NaN: to or this of many numbers costs less than to compare them. */
M_INLINE m_bits m_above(real x, real limit)
{
    return (m_to_bits(x) & ~M_SIGN) + (M_SIGN - 1 - m_to_bits(limit));
}

/* 2 to the power that was rounded by adding M_MAGIC; exponents of normal numbers only. */
M_INLINE real m_power(real rounded)
{
    return m_from_bits((m_to_bits(rounded) << M_SHIFT) + M_ONE);
}

/* The upper half of x's significand: products of two such halves are exact (Dekker, 1971). */
M_INLINE real m_upper(real x)
{
    return m_from_bits(m_to_bits(x) & M_HALF_MASK);
}

/* high + low, where low is what rounding took from high. */
typedef struct m_pair {
    real high, low;
} m_pair;

/* a + b for |a| >= |b|, or where the sum is exact (Dekker). */
M_INLINE m_pair m_join(real a, real b)
{
    const real sum = a + b;
    return (m_pair){ sum, (a - sum) + b };
}

/* a + b for any (Knuth). */
M_INLINE m_pair m_sum(real a, real b)
{
    const real sum = a + b, part = sum - a;
    return (m_pair){ sum, (a - (sum - part)) + (b - part) };
}

/* x / y: the upper half of the quotient, and the rest from what that leaves over, which is exact. One
   division. */
M_INLINE m_pair m_quotient_parts(m_pair x, m_pair y)
{
    const real inverse = 1 / y.high, q = m_upper(x.high * inverse), upper = m_upper(y.high);
    const real rest = (x.high - q * upper) + (x.low - q * ((y.high - upper) + y.low));
    return (m_pair){ q, rest * inverse };
}

/* x / y, almost correctly rounded. */
M_INLINE real m_quotient(m_pair x, m_pair y)
{
    const m_pair q = m_quotient_parts(x, y);
    return q.high + q.low;
}

/* x y, almost correctly rounded, and what rounding took from it. */
M_INLINE m_pair m_product(m_pair x, m_pair y)
{
    const real a = m_upper(x.high), b = m_upper(y.high);
    const real cross = a * (y.high - b) + (x.high - a) * y.high;
    return m_join(a * b, cross + (x.low * y.high + x.high * y.low));
}

#endif
