/* What an expert's loops need: an exponential that the compiler vectorises, and lanes. */
#ifndef GRADBENCH_VECTOR_H
#define GRADBENCH_VECTOR_H

#include <stdint.h>
#include <string.h>

/* As many f64 as the widest vectors have; the compiler splits them for other machines. */
enum { LANES = 8 };
typedef double lanes __attribute__((vector_size(LANES * sizeof(double)), may_alias));
typedef int64_t lanes_i64 __attribute__((vector_size(LANES * sizeof(double)), may_alias));

static inline lanes lanes_of(double x)
{
    return (lanes){ x, x, x, x, x, x, x, x };
}

/* Elementwise the larger one. */
static inline lanes lanes_max(lanes a, lanes b)
{
    const lanes_i64 first = a > b;
    return (lanes)((first & (lanes_i64)a) | (~first & (lanes_i64)b));
}

/* The largest of n numbers. */
static inline double largest_in(const double *x, int64_t n)
{
    lanes most[4] = { lanes_of(x[0]), lanes_of(x[0]), lanes_of(x[0]), lanes_of(x[0]) };
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int j = 0; j < 4; j++) {
            lanes next;
            memcpy(&next, x + i + j * LANES, sizeof next);
            most[j] = lanes_max(most[j], next);
        }
    const lanes all = lanes_max(lanes_max(most[0], most[1]), lanes_max(most[2], most[3]));
    double largest = all[0];
    for (int j = 1; j < LANES; j++) largest = all[j] > largest ? all[j] : largest;
    for (; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    return largest;
}

static inline double lanes_sum(lanes x)
{
    return ((x[0] + x[4]) + (x[1] + x[5])) + ((x[2] + x[6]) + (x[3] + x[7]));
}

/* exp(x) - 1 = power - 1 + power p, for x between -708 and 709: reduced by n log 2, then Taylor's series of
   exp(r) - 1, whose rest is below 2^-56. */
typedef struct exponential {
    double power, p;
} exponential;

static inline exponential fast_parts(double x)
{
    const double shifted = __builtin_fma(x, 0x1.71547652b82fep+0, 0x1.8p52), n = shifted - 0x1.8p52;
    const double r = __builtin_fma(n, -0x1.abc9e3b39803fp-56, __builtin_fma(n, -0x1.62e42fefa39efp-1, x));
    const double r2 = r * r, r4 = r2 * r2;
    const double p0 = __builtin_fma(r, 1.0 / 6, 0.5), p1 = __builtin_fma(r, 1.0 / 120, 1.0 / 24);
    const double p2 = __builtin_fma(r, 1.0 / 5040, 1.0 / 720);
    const double p3 = __builtin_fma(r, 1.0 / 362880, 1.0 / 40320);
    const double p4 = __builtin_fma(r, 1.0 / 39916800, 1.0 / 3628800);
    const double p5 = __builtin_fma(r, 1.0 / 6227020800, 1.0 / 479001600);
    const double low = __builtin_fma(p1, r2, p0), middle = __builtin_fma(p3, r2, p2);
    const double high = __builtin_fma(p5, r2, p4);
    const double tail = __builtin_fma(__builtin_fma(high, r4, middle), r4, low);
    int64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (int64_t)((uint64_t)bits << 52) + INT64_C(0x3ff0000000000000);
    exponential e = { .p = __builtin_fma(tail, r2, r) };
    memcpy(&e.power, &bits, sizeof e.power);
    return e;
}

/* These three are within 4 ulp, as the library promises of its own (check_functions); for exp what is outside
   of -708 to 709 counts as the end that it lies behind. */
static inline double fast_exp(double x)
{
    x = x < -708 ? -708 : x;
    x = x > 709 ? 709 : x;
    const exponential e = fast_parts(x);
    return __builtin_fma(e.power, e.p, e.power);
}

static inline double fast_sigmoid(double x)
{
    return 1 / (1 + fast_exp(-x));
}

/* By exp(2 |x|) - 1, which keeps its digits near 0. */
static inline double fast_tanh(double x)
{
    double size = __builtin_fabs(x);
    size = size > 20 ? 20 : size;
    const exponential e = fast_parts(2 * size);
    const double t = __builtin_fma(e.power, e.p, e.power - 1);
    return __builtin_copysign(t / (t + 2), x);
}

#endif
