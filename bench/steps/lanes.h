/* Vectors of 64 bytes of the type real, which is float if TG_REAL_F32 is defined, and the functions that
   an expert's steps need. These are within 4 ulp, as the library promises of its own (hand_error), between
   -87 and 88 (f64: -708 and 709); arguments beyond count as the end they lie behind. */
#ifndef BENCH_STEPS_LANES_H
#define BENCH_STEPS_LANES_H

#include <math.h>
#include <stdint.h>

#include "hand.h"

#ifdef TG_REAL_F32
typedef float real;
typedef int32_t word;
#define TYPED(name) name##_f32
#define CBLAS(name) cblas_s##name
#define LN2_HIGH 0x1.62e4p-1F
#define LN2_LOW 0x1.7f7d1cp-20F
#define SHIFT 0x1.8p23F /* added, it leaves a whole number in the low bits */
#define ONE_BITS 0x3f800000
enum { LANES = 16, FRACTION = 23, SMALLEST = -87, LARGEST = 88, SATURATED = 10 };
#else
typedef double real;
typedef int64_t word;
#define TYPED(name) name##_f64
#define CBLAS(name) cblas_d##name
#define LN2_HIGH 0x1.62e42fefa2p-1
#define LN2_LOW 0x1.9ef35793c7673p-41
#define SHIFT 0x1.8p52
#define ONE_BITS INT64_C(0x3ff0000000000000)
enum { LANES = 8, FRACTION = 52, SMALLEST = -708, LARGEST = 709, SATURATED = 20 };
#endif

typedef real lanes __attribute__((vector_size(64)));
typedef real loose __attribute__((vector_size(64), aligned(sizeof(real))));
typedef word masks __attribute__((vector_size(64)));

#include "sum_of.h"

static inline lanes load(const real *p) { return *(const loose *)p; }
static inline void store(real *p, lanes x) { *(loose *)p = x; }
static inline lanes all(real x) { return x - (lanes){ 0 }; }
static inline lanes choose(masks m, lanes a, lanes b) { return (lanes)((m & (masks)a) | (~m & (masks)b)); }
static inline lanes larger(lanes a, lanes b) { return choose(a > b, a, b); }
static inline lanes smaller(lanes a, lanes b) { return choose(a < b, a, b); }

/* exp(x) - 1 = power - 1 + power p for x = n log 2 + r, with power = 2^n, p = exp(r) - 1 = r + r^2 q(r); q
   interpolates at Chebyshev's points, with an error below 0.15 ulp. */
typedef struct exponential {
    lanes power, p;
} exponential;

static inline exponential reduced(lanes x)
{
    const lanes t = x * (real)0x1.71547652b82fep+0 + SHIFT, n = t - SHIFT, r = (x - n * LN2_HIGH) - n * LN2_LOW;
#ifdef TG_REAL_F32
    static const real c[] = { 0x1p-1F, 0x1.5554dcp-3F, 0x1.55551ap-5F, 0x1.120bb6p-7F, 0x1.6d115p-10F };
#else
    static const real c[] = { 0x1.0000000000001p-1,  0x1.5555555555556p-3,  0x1.5555555553d48p-5,
                              0x1.11111111109abp-7,  0x1.6c16c17896742p-10, 0x1.a01a01a7caa3bp-13,
                              0x1.a019b8e3fdb17p-16, 0x1.71de0d950eaadp-19, 0x1.2891b6514ff7cp-22,
                              0x1.af38e5e7b1a55p-26 };
#endif
    enum { DEGREE = sizeof c / sizeof *c - 1 };
    lanes q = all(c[DEGREE]);
    for (int i = DEGREE; i-- > 0;) q = q * r + c[i];
    return (exponential){ (lanes)(((masks)t << FRACTION) + ONE_BITS), r * r * q + r };
}

static inline lanes exp_of(lanes x)
{
    const exponential e = reduced(smaller(larger(x, all(SMALLEST)), all(LARGEST)));
    return e.power * e.p + e.power;
}
static inline lanes sigmoid_of(lanes x) { return 1 / (1 + exp_of(-x)); }

/* (exp(2 |x|) - 1) / (exp(2 |x|) + 1), which keeps its digits near 0. */
static inline lanes tanh_of(lanes x)
{
    const masks sign = (masks)x & (masks)all((real)-0.0);
    const exponential e = reduced(2 * smaller((lanes)((masks)x ^ sign), all(SATURATED)));
    const lanes t = e.power * e.p + (e.power - 1);
    return (lanes)((masks)(t / (t + 2)) | sign);
}

/* The logarithm of the product of all. */
static inline real log_of_product(lanes x)
{
    double sum = 0;
    for (int i = 0; i < LANES; i++) sum += log((double)x[i]);
    return (real)sum;
}

#endif
