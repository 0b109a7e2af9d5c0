/* Functions of the op table that libm does not have, or not within 4 ulp, and derivatives whose
   formula would lose digits: where a factor saturates, an intermediate overflows, or terms cancel.
   Included by formula.h for the type real.

   Those of the type real have no calls, and selections instead of branches, so that loops over them
   vectorise. Those named f64_ compute in double for both types. Polynomials are Chebyshev
   interpolants, rounded; even and odd terms apart, for the sake of latency. */
#ifndef TG_KERNELS_SPECIAL_H
#define TG_KERNELS_SPECIAL_H

#define LENGTH(array) ((int)(sizeof(array) / sizeof *(array)))

/* even(t t) + t odd(t t), each a sum of coefficients times powers. */
static inline __attribute__((always_inline)) real m_polynomial(int evens, const real *even, int odds, const real *odd, real t)
{
    const real u = t * t;
    real p = even[evens - 1], q = odd[odds - 1];
    _Pragma("GCC unroll 32") for (int i = evens - 2; i >= 0; i--) p = even[i] + u * p;
    _Pragma("GCC unroll 32") for (int i = odds - 2; i >= 0; i--) q = odd[i] + u * q;
    return p + t * q;
}

/* The same for one number alone, with as many odd coefficients as even ones, or one less: both sums at once, as a vector of two. */
static inline __attribute__((always_inline)) double f64_polynomial(int evens, const double *even, int odds, const double *odd,
                                                                   double t)
{
    typedef double both __attribute__((vector_size(16)));
    const double u = t * t;
    const both us = { u, u };
    both p = { even[evens - 1], evens == odds ? odd[odds - 1] : 0 };
    _Pragma("GCC unroll 32") for (int i = evens - 2; i >= 0; i--) p = (both){ even[i], odd[i] } + us * p;
    return p[0] + t * p[1];
}

/* Never inlined nor specialised: where the compiler knows an exponent it takes something else than pow,
   and the last bit would depend on that. */
#ifdef __clang__
#define M_SEPARATE __attribute__((noinline))
#else
#define M_SEPARATE __attribute__((noipa))
#endif

/* ---- quotients ------------------------------------------------------------------------------- */

/* Powers of 2 by which arguments too large or too small to be squared are scaled. */
#ifdef TG_REAL_F32
#define SQUARE_HIGH 0x1p62f
#define SQUARE_LOW 0x1p-50f
#define SCALE_DOWN_ROOT 0x1p-33f
#define SCALE_UP_ROOT 0x1p45f
#define QUOTIENT_LOW 0x1p-100f
#else
#define SQUARE_HIGH 0x1p511
#define SQUARE_LOW 0x1p-400
#define SCALE_DOWN_ROOT 0x1p-257
#define SCALE_UP_ROOT 0x1p350
#define QUOTIENT_LOW 0x1p-960
#endif

/* -y / b where y = a / b; where that has lost digits by underflow, b b is in range. */
static inline real m_div_b(real a, real b, real y)
{
    const bool low = M(fabs)(y) < QUOTIENT_LOW && y != 0;
    return -(low ? a : y) / (low ? b * b : b);
}

/* The root of the scale for squares of numbers of which size is the largest. */
static inline real m_square_scale_root(real size)
{
    return size > SQUARE_HIGH ? SCALE_DOWN_ROOT : size < SQUARE_LOW ? SCALE_UP_ROOT : 1;
}

static inline real m_larger_size(real a, real b)
{
    return M(fabs)(a) > M(fabs)(b) ? M(fabs)(a) : M(fabs)(b);
}

/* In double nothing over- or underflows on the way. */
static inline real m_hypot(real a, real b)
{
    const bool infinite = (M(fabs)(a) == (real)INFINITY) | (M(fabs)(b) == (real)INFINITY);
#ifdef TG_REAL_F32
    const real y = (real)sqrt((double)a * (double)a + (double)b * (double)b);
#else
    const real size = m_larger_size(a, b), root = m_square_scale_root(size);
    const real back = size > SQUARE_HIGH  ? 1 / SCALE_DOWN_ROOT
                      : size < SQUARE_LOW ? 1 / SCALE_UP_ROOT
                                          : 1;
    const real p = a * root * root, q = b * root * root, y = sqrt(p * p + q * q) * back * back;
#endif
    return infinite ? (real)INFINITY : y;
}

/* a / hypot(a, b), and 0 at the origin. */
static inline real m_hypot_a(real a, real b)
{
    const real root = m_square_scale_root(m_larger_size(a, b)), p = a * root * root,
               q = b * root * root, size = M(sqrt)(p * p + q * q);
    return a == 0 && b == 0 ? 0 : p / size;
}

/* b / (a a + b b), and 0 at the origin. */
static inline real m_atan2_a(real a, real b)
{
    const real root = m_square_scale_root(m_larger_size(a, b)), p = a * root * root,
               q = b * root * root;
    return a == 0 && b == 0 ? 0 : q * root / (p * p + q * q) * root;
}

static inline real m_xdivy(real a, real b)
{
    return a == 0 && b == b ? 0 : a / b;
}

static inline real m_softsign(real x)
{
    const real size = M(fabs)(x);
    return size > 1 / R(1e-30) ? M(copysign)(1, x) : x / (1 + size);
}

/* ---- powers ---------------------------------------------------------------------------------- */

/* y ln 2 where y = exp2(a), which overflows before the product does. */
static inline real m_exp2_x(real a, real y)
{
#ifdef TG_REAL_F32
    const real top = 128, half = 0x1p127f;
#else
    const real top = 1024, half = 0x1p1023;
#endif
    const real beyond = m_exp((a - top) * R(0.69314718055994530942), false) * R(0.69314718055994530942);
    return a >= top ? beyond * half * 2 : y * R(0.69314718055994530942);
}

/* b exp(a), also where exp(a) alone has underflowed: part of its power of 2 goes to b first. */
static inline real m_exp_times(real a, real b)
{
    const m_exponential e = m_exp_reduce(m_clamp(a, EXP_MIN - EXP_MAX, EXP_MAX));
    const real n = e.rounded - M_MAGIC, first = m_clamp(n, EXP_NORMAL, -EXP_NORMAL);
    return m_scale(b * m_power(first + M_MAGIC) * m_exp_fraction(e).high, n - first + M_MAGIC);
}

/* ---- exponentials of squares ----------------------------------------------------------------- */

/* Beyond these exp(-x x) and exp(-x x / 2) are 0. */
#ifdef TG_REAL_F32
#define GAUSSIAN_LIMIT 10.2f
#define GAUSSIAN_HALF_LIMIT 14.7f
#else
#define GAUSSIAN_LIMIT 27.3
#define GAUSSIAN_HALF_LIMIT 38.75
#endif

/* |x|, as far as the functions below change. */
static inline real m_gaussian_size(real x, real scale)
{
    const real limit = scale == 1 ? GAUSSIAN_LIMIT : GAUSSIAN_HALF_LIMIT;
    return M(fabs)(x) > limit ? limit : M(fabs)(x);
}

/* exp(-scale x x) for scale 1 or 1/2, h being the upper half of x:
   exp(-scale h h - scale (x - h) (x + h)). */
static inline m_exponential m_gaussian_parts(real x, real scale)
{
    const real size = m_gaussian_size(x, scale), h = m_upper(size);
    return m_exp_reduce_less(-scale * h * h, scale * ((size - h) * (size + h)));
}

static inline real m_gaussian(real x, real scale)
{
    const m_exponential e = m_gaussian_parts(x, scale);
    return m_scale(m_exp_fraction(e).high, e.rounded);
}

static inline real m_normal_pdf(real x)
{
    return R(0.39894228040143267794) * m_gaussian(x, R(0.5));
}

/* (1 + 2 z) exp(z z) erfc(z) in t = (z - 3.75) / (z + 3.75) for z >= 0 (after Shepherd and
   Laframboise, Mathematics of Computation 36, 1981). */
static inline m_pair m_erfcx_factor(real t)
{
#ifdef TG_REAL_F32
    static const real even[] = {
        0x1.3ccdap+0f,   0x1.d5f542p-9f,  -0x1.bdaa8cp-4f, -0x1.e0c04ap-5f,
        -0x1.40256ep-7f, 0x1.5a34a6p-12f, 0x1.71e1fp-16f,
    };
    static const real odd[] = {
        -0x1.1f3676p-3f, 0x1.510174p-4f,   0x1.7a13b2p-4f,  0x1.d0b7aep-6f,
        0x1.cb0e32p-10f, -0x1.2a1fb6p-12f, 0x1.36bf28p-16f,
    };
#else
    static const real even[] = {
        0x1.3ccda0b5d5dc2p+0,   0x1.d5f294815a405p-9,   -0x1.bda9309a2949ap-4,
        -0x1.e0d0fa6ddfe85p-5,  -0x1.3f603c398c6c5p-7,  0x1.33fb2968decd9p-12,
        0x1.b1439865f8d9ep-15,  -0x1.800077b775cf3p-17, 0x1.d6339f66a50f8p-20,
        -0x1.15be4201dc721p-22, 0x1.4c37f59c36e71p-25,  -0x1.638dcc665be8dp-28,
        0x1.d3744857e262bp-32,
    };
    static const real odd[] = {
        -0x1.1f367683f89a5p-3, 0x1.510169d09665bp-4,   0x1.7a14188a9ce2ap-4,
        0x1.d0b0037d167adp-6,  0x1.cc3a0e7d2150cp-10,  -0x1.303fa4966bc38p-12,
        0x1.778b933adcce7p-16, -0x1.055686d42aa63p-20, -0x1.eb803840c0574p-25,
        0x1.8fa9fe49c359bp-26, -0x1.014cd7201b5adp-28, 0x1.561b105822235p-32,
    };
#endif
    return m_join(*even, t * m_polynomial(LENGTH(odd), odd, LENGTH(even) - 1, even + 1, t));
}

/* erf(z) / z - less in t = z z for 0 <= z <= 1/2. */
M_INLINE real m_erf_factor(real t, real less)
{
#ifdef TG_REAL_F32
    const real even[] = {
        0x1.20dd74p+0f - less,
        0x1.ce2518p-4f,
        0x1.354c2ap-8f,
    };
    static const real odd[] = {
        -0x1.812732p-2f,
        -0x1.b666f4p-6f,
    };
#else
    const real even[] = {
        0x1.20dd750429b6dp+0 - less,  0x1.ce2f21a03d85fp-4,  0x1.565bcbf972c7ap-8,
        0x1.f98db9133cebcp-14, 0x1.8b4eeca0a9fe9p-20,
    };
    static const real odd[] = {
        -0x1.812746b0379b5p-2,
        -0x1.b82ce30f2d7e4p-6,
        -0x1.c02d4f9559a68p-11,
        -0x1.f22551521cb88p-17,
    };
#endif
    return m_polynomial(LENGTH(even), even, LENGTH(odd), odd, t);
}

/* erfc(z) for z >= 0, from exp(-z z). */
static inline real m_erfc_positive(m_pair z, m_exponential gaussian)
{
    const real low = 1 - z.high * m_erf_factor(z.high * z.high, 0);
    const m_pair below = m_sum(1, 2 * z.high);
    const m_pair factor = m_erfcx_factor((z.high - R(3.75)) / (z.high + R(3.75)));
    const m_pair q = m_quotient_parts(factor, (m_pair){ below.high, below.low + 2 * z.low });
    const real high = m_scale(m_product(q, m_exp_fraction(gaussian)).high, gaussian.rounded);
    return z.high < R(0.25) ? low : high;
}

static inline real m_erfc(real x)
{
    const real y = m_erfc_positive((m_pair){ m_gaussian_size(x, 1), 0 }, m_gaussian_parts(x, 1));
    return x < 0 ? 2 - y : y;
}

static inline real m_erf(real x)
{
    const real size = m_gaussian_size(x, 1), low = M(fabs)(x) + M(fabs)(x) * m_erf_factor(size * size, 1);
    const real high = 1 - m_erfc_positive((m_pair){ size, 0 }, m_gaussian_parts(x, 1));
    return M(copysign)(size < R(0.5) ? low : high, x);
}

/* x / sqrt(2) */
static inline m_pair m_over_sqrt2(real x)
{
#ifdef TG_REAL_F32
    const real high = 0x1.6ap-1f, low = 0x1.3cccfep-14f;
#else
    const real high = 0x1.6a09e6p-1, low = 0x1.9fcef32422cbfp-27;
#endif
    const real upper = m_upper(x);
    return m_join(upper * high, upper * low + (x - upper) * (high + low));
}

/* x times the normal distribution function, which is erfc(-x / sqrt(2)) / 2. */
static inline real m_gelu(real x)
{
    const m_pair z = m_over_sqrt2(m_gaussian_size(x, R(0.5)));
    const real y = R(0.5) * m_erfc_positive(z, m_gaussian_parts(x, R(0.5)));
    return (x < -100 ? -100 : x) * (x > 0 ? 1 - y : y);
}

/* exp(x x / 2) gelu'(-x) / (0.7518 - x) in t = (x - 4) / (x + 4) for x >= 0, where 0.7518 is the
   zero. */
static inline m_pair m_gelu_factor(real t)
{
#ifdef TG_REAL_F32
    static const real even[] = {
        0x1.d94de8p-2f,   0x1.ef4ff2p-5f,  0x1.37768p-7f,
        -0x1.458dfcp-13f, -0x1.10402p-16f, 0x1.3a0d4ep-19f,
    };
    static const real odd[] = {
        -0x1.a762fcp-4f, -0x1.cc1f7cp-6f, -0x1.d44d84p-10f, 0x1.7c752ap-13f, -0x1.bda06p-17f,
    };
#else
    static const real even[] = {
        0x1.d94de78425463p-2,   0x1.ef4ff801379e4p-5,   0x1.37754d81685cfp-7,
        -0x1.443f63d22fcdap-13, -0x1.253816cab246ap-16, 0x1.dafcb9fbe4768p-19,
        -0x1.0847c568b5849p-21, 0x1.c39747a0088f4p-25,  -0x1.061683269d206p-30,
        -0x1.bbd705eed874dp-30, 0x1.0efbda3ff194bp-31,  -0x1.0a537746a0806p-34,
    };
    static const real odd[] = {
        -0x1.a763001ac67d8p-4,  -0x1.cc1e2623d98cep-6,  -0x1.d4c8222a01636p-10,
        0x1.85999bf61765bp-13,  -0x1.2e93760c1992ap-16, 0x1.29864c458b37ep-19,
        -0x1.771ed57bd4b5ap-22, 0x1.0fac5e2d2312bp-24,  -0x1.85d2495142a28p-27,
        0x1.cc81c2e959e84p-30,  -0x1.3b6717f40fbc8p-33,
    };
#endif
    return m_join(*even, t * m_polynomial(LENGTH(odd), odd, LENGTH(even) - 1, even + 1, t));
}

static inline real m_gelu_x(real x)
{
    const real size = m_gaussian_size(x, R(0.5));
#ifdef TG_REAL_F32
    const real zero = 0x1.80ead2p-1f, zero_low = -0x1.a03fd4p-27f;
#else
    const real zero = 0x1.80ead197f00b4p-1, zero_low = -0x1.13e74c58cada8p-56;
#endif
    const m_pair difference = m_sum(zero, -size), factor = m_gelu_factor((size - 4) / (size + 4));
    const m_pair from_zero = m_join(difference.high, difference.low + zero_low);
    const m_exponential gaussian = m_gaussian_parts(x, R(0.5));
    const m_pair p = m_product(m_product(from_zero, factor), m_exp_fraction(gaussian));
    const real y = m_scale(p.high, gaussian.rounded);
    return x > 0 ? 1 - y : y;
}

/* ---- products with the logistic function ----------------------------------------------------- */

/* sigmoid'(x) = sigmoid(x) sigmoid(-x). */
static inline real m_sigmoid_x(real x)
{
    const real e = m_exp(-M(fabs)(x), false);
    return e / (1 + e * (2 + e));
}

/* The same from y = sigmoid(x), as long as 1 - y keeps its digits: what y lacks, 0.56 ulp, comes to at
   most 1.6 here. Elsewhere, which is far, with an exponential. */
M_INLINE m_bits m_sigmoid_by_value_far(real y)
{
    return (m_to_bits(R(0.85)) - m_to_bits(y)) & ~m_to_bits(y); /* the sign counts */
}
M_INLINE real m_sigmoid_by_value(real x, real y, bool near)
{
    return near || !(m_sigmoid_by_value_far(y) & M_SIGN) ? y * (1 - y) : m_sigmoid_x(x);
}

/* tanh'(x) from y = tanh(x), likewise: below sqrt(3) / 2, 1 - y y is above 1/4, and what y lacks there,
   0.53 ulp, comes to at most 1.9. */
M_INLINE m_bits m_tanh_by_value_far(real y)
{
    return m_above(y, R(0.866));
}
M_INLINE real m_tanh_by_value(real x, real y, bool near)
{
    return near || !(m_tanh_by_value_far(y) & M_SIGN) ? 1 - y * y : 4 * m_sigmoid_x(2 * x);
}

/* The part of exp(a) in exp(a) + exp(b): sigmoid(a - b), with what the difference loses. Two
   infinities have parts as ties of maximum, and none of nothing. */
static inline real m_logaddexp_a(real a, real b)
{
    const real d = a - b, back = a - d, lost = (a - (d + back)) + (back - b);
    const real y = m_sigmoid(d);
    if (a == b) return a == -R(INFINITY) ? 0 : R(0.5);
    return M(fabs)(d) < 1000 ? y + y * (1 - y) * lost : y;
}

/* x within bounds beyond which x exp(-|x|) is 0. */
static inline real m_within_1000(real x)
{
    return x < -1000 ? -1000 : x > 1000 ? 1000 : x;
}

static inline real m_silu(real x)
{
    const real e = m_exp(-M(fabs)(x), false), in = x < -1000 ? -1000 : x;
    return in * (x >= 0 ? 1 : e) / (1 + e);
}

/* exp(d) - 1 for |d| <= 0.7, from its Taylor polynomial at d / 2. */
static inline real m_expm1_near_0(real d)
{
    const real r = d * R(0.5);
#ifdef TG_REAL_F32
    static const real even[] = { 0x1p-1f, 0x1.555556p-5f, 0x1.6c16c2p-10f };
    static const real odd[] = { 0x1.555556p-3f, 0x1.111112p-7f, 0x1.a01a02p-13f };
#else
    static const real even[] = {
        0x1p-1,
        0x1.5555555555555p-5,
        0x1.6c16c16c16c17p-10,
        0x1.a01a01a01a01ap-16,
        0x1.27e4fb7789f5cp-22,
        0x1.1eed8eff8d898p-29,
        0x1.93974a8c07c9dp-37,
    };
    static const real odd[] = {
        0x1.5555555555555p-3,  0x1.1111111111111p-7,  0x1.a01a01a01a01ap-13,
        0x1.71de3a556c734p-19, 0x1.ae64567f544e4p-26, 0x1.6124613a86d09p-33,
    };
#endif
    const real p = r + r * r * m_polynomial(LENGTH(even), even, LENGTH(odd), odd, r);
    return p * (p + 2);
}

/* (1 + exp(x) + x) exp(x) / (1 + exp(x))^2. The first factor is 0 at -1.2785: near there, by its
   distance d from that zero, d + exp(-1.2785) (exp(d) - 1), a sum of equal signs. */
static inline real m_silu_x(real x)
{
    const real in = m_within_1000(x), e = m_exp(-M(fabs)(in), false);
#ifdef TG_REAL_F32
    const real d = (in + 0x1.474974p+0f) - 0x1.bdf6fap-27f, k = 0x1.1d25dp-2f;
#else
    const real d = (in + 0x1.474973c84120bp+0) + 0x1.f8d74bc9ac154p-54, k = 0x1.1d25cf210482ep-2;
#endif
    const m_pair one = m_sum(1, in), above = m_join(1, e), high = m_join(1, e + in * e);
    const real near = d + k * m_expm1_near_0(d), direct = one.high + (one.low + e);
    const real q = m_quotient((m_pair){ in < 0 ? e : high.high, in < 0 ? 0 : high.low },
                              m_product(above, above));
    return in < 0 ? q * (M(fabs)(d) < R(0.35) ? near : direct) : q;
}

/* x tanh(log(1 + exp(x))) = x e (2 + e) / (e (2 + e) + 2), e = exp(x); above 0 in exp(-x). What rounding took from e counts
   below 0, where the result goes with it. */
static inline real m_mish(real x)
{
    const m_pair e = m_exp_decay(x);
    const real in = x < -1000 ? -1000 : x;
    const real low = 2 * e.high + (e.high * e.high + 2 * e.low), high = 1 + 2 * e.high;
    return in * ((x < 0 ? low : high) / (x < 0 ? low + 2 : high + 2 * e.high * e.high));
}

/* mish'(x) / d in t = d for |d| <= 0.66, where d is x + 1.1924, the distance from the zero. */
static inline real m_mish_factor(real t)
{
#ifdef TG_REAL_F32
    static const real even[] = {
        0x1.115accp-2f, 0x1.574f78p-5f, -0x1.034548p-6f, 0x1.2447dap-10f, 0x1.97eap-13f,
    };
    static const real odd[] = {
        0x1.a34a26p-3f, -0x1.4c21fap-6f, -0x1.b89cd8p-9f, 0x1.050fe8p-10f, -0x1.eb3c96p-15f,
    };
#else
    static const real even[] = {
        0x1.115acb42500bbp-2,  0x1.574f121a8692fp-5,  -0x1.03369d4acc2cap-6,
        0x1.1e5e184fcb1e1p-10, 0x1.0a795390fe234p-12, -0x1.d45352779cce1p-15,
        0x1.f9a6f6b5dfbeap-21, 0x1.20742f2294a00p-20, -0x1.3b9483f3d4543p-23,
        0x1.2309b426bf08ap-30,
    };
    static const real odd[] = {
        0x1.a34a251d8ad7bp-3,  -0x1.4c222fe64d4f3p-6,  -0x1.b87ddfb51cb44p-9,
        0x1.03799182fd31ep-10, -0x1.5fffa0f8252aap-15, -0x1.223bc332e0dedp-16,
        0x1.866880e5afd7fp-19, 0x1.d0fd9a69ec89bp-26,  -0x1.0b062e3ad1a25p-24,
        0x1.e08df5faa1814p-28,
    };
#endif
    return m_polynomial(LENGTH(even), even, LENGTH(odd), odd, t);
}

/* (w + 4 x e (1 + e) / (w + 2)) / (w + 2) for w = e (e + 2), e = exp(x); above 0 in exp(-x). Below
   the zero, where these terms cancel, over one fraction. */
static inline real m_mish_x(real x)
{
    const real in = m_within_1000(x), e = m_exp(-M(fabs)(in), false);
#ifdef TG_REAL_F32
    const real d = (in + 0x1.31432cp+0f) + 0x1.a25b08p-29f;
#else
    const real d = (in + 0x1.31432c0d12d84p+0) + 0x1.bf319154da210p-55;
#endif
    const real w = in < 0 ? e * (e + 2) : 1 + 2 * e;
    const real whole = in < 0 ? w + 2 : w + 2 * e * e;
    const real low = e * (4 * (1 + in) + e * ((6 + 4 * in) + e * (4 + e)));
    const real r = (d < 0 ? low : 1) / (d < 0 ? 4 + w * (4 + w) : whole);
    const real high = (w + 4 * in * (in < 0 ? e * (1 + e) : e * e * (1 + e)) * r) * r;
    const real near = d * m_mish_factor(d);
    return M(fabs)(d) < R(0.66) ? near : d < 0 ? r : high;
}

/* ---- gelu's approximation by tanh ------------------------------------------------------------ */

/* x sigmoid(s) with s = sqrt(8 / pi) (x + 0.044715 x^3): the exponential needs s to more digits
   than a number has; with those, it stays exact where s is large. */
#define GELU_TANH_A 1.5957691216057307118
#define GELU_TANH_B 0.071354816272600248776
#define GELU_TANH_C 0.21406444881780074633
#define GELU_TANH_LIMIT 21.55 /* beyond it the exponential is 0 */

/* exp(-s) and x s' of |x|, in two parts each. */
typedef struct m_gelu_tanh_parts {
    double e, e_low, slope, slope_low;
} m_gelu_tanh_parts;

#ifdef TG_REAL_F32
/* exp(s) for s <= 0: by the vector exponential of s in two parts, 2^32 times as large so that it keeps
   its digits where it is small. */
static inline double m_gelu_tanh_exp(double s)
{
    const double in =
        s < -160 ? -160 + 0x1.62e42fefa39efp+4 : s + 0x1.62e42fefa39efp+4; /* 32 log 2 */
    const real high = (real)in;
    return (double)m_exp(high, false) * 0x1p-32 * (1 + (in - (double)high));
}
#endif

M_INLINE m_gelu_tanh_parts m_gelu_tanh_split(double x)
{
    const double size = fabs(x) > GELU_TANH_LIMIT ? GELU_TANH_LIMIT : fabs(x);
#ifdef TG_REAL_F32
    const double square = size * size;
    const double e = m_gelu_tanh_exp(-size * (GELU_TANH_A + GELU_TANH_B * square));
    return (m_gelu_tanh_parts){ e, 0, size * (GELU_TANH_A + GELU_TANH_C * square), 0 };
#else
    const m_pair a = { GELU_TANH_A, -0x1.cbc0d30ebfd15p-54 };
    const m_pair b = { GELU_TANH_B, -0x1.6c843a29d1c70p-61 }, in = { size, 0 };
    const m_pair linear = m_product(in, a), cubic = m_product(m_product(m_product(in, in), b), in);
    const m_pair s = m_sum(linear.high, cubic.high), slope = m_sum(s.high, 2 * cubic.high);
    const double s_low = s.low + (linear.low + cubic.low);
    const m_exponential e = m_exp_reduce_less(-s.high, s_low);
    const m_pair f = m_exp_fraction(e);
    return (m_gelu_tanh_parts){ m_scale(f.high, e.rounded), m_scale(f.low, e.rounded), slope.high,
                                slope.low + (s_low + 2 * cubic.low) };
#endif
}

M_INLINE double f64_gelu_tanh(double x)
{
    const double e = m_gelu_tanh_split(x).e;
    return (x < -100 ? -100 : x) * (x >= 0 ? 1 : e) / (1 + e);
}

/* exp(s) (1 + exp(s) + x s') / (1 + exp(s))^2, the bracket 0 at -0.7525: near there by the distance
   from that zero, as in m_silu_x. Above 0 in exp(-s). */
M_INLINE double f64_gelu_tanh_x(double x)
{
    const m_gelu_tanh_parts p = m_gelu_tanh_split(x);
    const double in = x < -GELU_TANH_LIMIT ? -GELU_TANH_LIMIT : x;
    const double zero = -0x1.81429f9e97e4dp-1, d = (in - zero) - 0x1.4f523ed77dbdcp-55;
    const double m = in * in + in * zero + zero * zero;
    const double near =
        d * (GELU_TANH_A + GELU_TANH_C * m) +
        0x1.2af64e9c485eep-2 * (double)m_expm1_near_0((real)(d * (GELU_TANH_A + GELU_TANH_B * m)));
#ifdef TG_REAL_F32
    const double low = p.e * (fabs(d) < 0.25 ? near : (1 - p.slope) + p.e);
    return (in < 0 ? low : 1 + (p.e + p.slope * p.e)) / (1 + p.e * (2 + p.e));
#else
    const m_pair one = m_sum(1, -p.slope), sum = m_join(1, p.e);
    const m_pair above = { sum.high, sum.low + p.e_low }, high = m_join(1, p.e + p.slope * p.e);
    const m_pair bracket = m_sum(one.high, p.e);
    const double low = bracket.high + (bracket.low + (one.low - p.slope_low + p.e_low));
    const double q = m_quotient((m_pair){ in < 0 ? p.e : high.high, in < 0 ? p.e_low : high.low },
                                m_product(above, above));
    return in >= 0 ? q : q * (fabs(d) < 0.03 ? near : low);
#endif
}

/* ---- celu ------------------------------------------------------------------------------------ */

static inline real m_celu(real a, real b)
{
    const real z = a / b, y = b * m_expm1(z);
    return a > 0 || M(fabs)(z) < R(1e-20) ? a : y;
}

/* Of a and b below CELU_SMALL the rest of the quotient would underflow; up to CELU_MAX exp(z) (1 - z) is finite. */
#ifdef TG_REAL_F32
#define CELU_SMALL 0x1p-50f
#define CELU_UP 0x1p50f
#define CELU_MAX 83
#else
#define CELU_SMALL 0x1p-500
#define CELU_UP 0x1p500
#define CELU_MAX 700
#endif

/* a / b in two parts. */
static inline m_pair m_celu_quotient(real a, real b)
{
    const real scale = M(fabs)(a) < CELU_SMALL && M(fabs)(b) < CELU_SMALL ? CELU_UP : 1, p = a * scale, q = b * scale,
               z = p / q;
    return (m_pair){ z, M(fabs)(z) < 1000 ? M(fma)(-z, q, p) / q : 0 };
}

/* exp(a / b) below 0, else 1. */
static inline real m_celu_a(real a, real b)
{
    const m_pair z = m_celu_quotient(a, b);
    const real y = m_exp(z.high, false);
    return a > 0 || M(fabs)(z.high) < R(1e-20) ? 1 : y + y * z.low;
}

/* (exp(z) (1 - z) - 1) / z^2 in t = z + 1, for z from -2 to a little above 0. */
static inline real m_celu_factor(real t)
{
    static const real even[] = {
        R(-0x1.0e95393a6219p-2),   R(-0x1.d2a7274c4320fp-5),  R(-0x1.8567ab97ca46bp-9),
        R(-0x1.2ceaf01bd1b3bp-14), R(-0x1.0d31e7a86d8cfp-20), R(-0x1.3a503af8f55ddp-27),
        R(-0x1.02641ada83ac1p-34), R(-0x1.401cdaa72105bp-42),
    };
    static const real odd[] = {
        R(-0x1.48ea1e23ea7d3p-3),  R(-0x1.dfb414dd1631bp-7),  R(-0x1.05daa0aa890a9p-11),
        R(-0x1.2e0b555f630d8p-17), R(-0x1.af8c717db815bp-24), R(-0x1.a381158329a1bp-31),
        R(-0x1.2c35043d3ab5fp-38),
    };
    return m_polynomial(LENGTH(even), even, LENGTH(odd), odd, t);
}

/* By b: exp(z) (1 - z) - 1 for z = a / b below 0. What rounding took from z changes it by -z exp(z)
   times as much. */
static inline real m_celu_b(real a, real b)
{
    const m_pair z = m_celu_quotient(a, b);
    const real in = m_clamp(z.high, -60, CELU_MAX);
    const m_exponential e = m_exp_reduce(in);
    const m_pair fraction = m_exp_fraction(e), p = m_product(fraction, m_sum(1, -in));
    const real power = m_power(e.rounded), rest = -in * z.low * (fraction.high * power);
    const m_pair sum = m_sum(-1, p.high * power);
    const real near = z.high * z.high * m_celu_factor(z.high + 1) + rest;
    const real y = M(fabs)(z.high) < R(0.3) ? near : sum.high + (sum.low + (p.low * power + rest));
    return a > 0 ? 0 : y;
}

/* ---- logit ----------------------------------------------------------------------------------- */

/* log(x / (1 - x)); around its zero 2 atanh(2 x - 1), where the argument is exact. */
static inline real m_logit(real x)
{
    const real low = 2 * m_atanh(2 * x - 1), high = m_log(x, false) - m_log1p(-x);
    return ((x > R(0.25)) & (x < R(0.75))) ? low : high;
}

/* ---- the gamma function and its relatives ---------------------------------------------------- */

/* log(gamma(1 + z)) / z for -0.3 <= z <= 0.5 in t = z - 0.1. */
static inline double f64_lgamma_at_1(double t)
{
    static const double even[] = {
        -0x1.feb19cc74ec5dp-2, -0x1.5261de6861369p-2, -0x1.1fba03124f47ap-3, -0x1.49e85d5a59efcp-4,
        -0x1.a5b0c8e7c177p-5,  -0x1.1cfe6687064a9p-5, -0x1.8ed04f77bfd56p-6, -0x1.1e13315aa140dp-6,
        -0x1.9d33055ac4fc6p-7, -0x1.4daef3f06bee1p-7, -0x1.0bc2099552b5fp-8, -0x1.7825517aa6096p-7,
    };
    static const double odd[] = {
        0x1.7fd7fc90dbc3fp-1, 0x1.9ddf1956743b5p-3, 0x1.ab4603de88981p-4, 0x1.055ba1f140d49p-4,
        0x1.58d6a3eb18b89p-5, 0x1.db18c658e80bdp-6, 0x1.50f7b0f02432ap-6, 0x1.e3da7e9710452p-7,
        0x1.7e5e25f7814dap-7, 0x1.4f430e7cf740ep-8, 0x1.a1bcec427fad6p-7,
    };
    return f64_polynomial(LENGTH(even), even, LENGTH(odd), odd, t);
}

/* log(gamma(2 + z)) / z for -0.5 <= z <= 1 in t = z - 0.25. */
static inline double f64_lgamma_at_2(double t)
{
    static const double even[] = {
        0x1.ff797bba88502p-2,   -0x1.bcc9b6fbc76ffp-5,  -0x1.3191e510ff2bcp-8,
        -0x1.356ab225fe2eap-11, -0x1.6c170f5d8fa3ep-14, -0x1.ce1a2d628024bp-17,
        -0x1.328ab9229884cp-19, -0x1.a15970a2e72abp-22, -0x1.2bedea19b8583p-24,
        -0x1.4558fed78ad37p-27, -0x1.07ac7ca20847p-28,
    };
    static const double odd[] = {
        0x1.2b408cef4c80cp-2,  0x1.e14e96ffdd7d3p-7,  0x1.a7552045154ffp-10, 0x1.d4c16e85bf599p-13,
        0x1.200865a063ad3p-15, 0x1.76b83fe938fc4p-18, 0x1.f90bd7461b1c9p-21, 0x1.5b3ffa23fa60ep-23,
        0x1.fa8afbbca7484p-26, 0x1.090b3743ec8f4p-28, 0x1.cca1a6d453ad6p-30,
    };
    return f64_polynomial(LENGTH(even), even, LENGTH(odd), odd, t);
}

/* log(gamma(x)) for 1.25 <= x <= 1.75: around its minimum, where the polynomials on both sides lose digits. The
   slope at the rounded place of the minimum is not 0. */
static inline double f64_lgamma_at_minimum(double x)
{
    static const double even[] = {
        0x1.ef72bc8ee38adp-2,  0x1.08b4294d501edp-4,  0x1.266e797a88d82p-6,  0x1.8fce01bd4f768p-8,
        0x1.28319311c2c1ap-9,  0x1.cc3a6e32a4789p-11, 0x1.77abe82d03db4p-12, 0x1.cc401f4a9c0fp-14,
    };
    static const double odd[] = {
        -0x1.2e4278dc6bc1fp-3,  -0x1.0c9a8df5165f4p-5,  -0x1.51f9f94829ab8p-7,  -0x1.e2f1ab611ef88p-9,
        -0x1.6f9644ad5b3e8p-10, -0x1.227d6c829ab2fp-11, -0x1.eb8df95f705bdp-13,
    };
    const double t = x - 0x1.762d86356be3fp+0, low = 0x1.f095c88d5a6cdp-59 - 0x1.aa2d9b3ce29ep-54 * t;
    return -0x1.f19b9bcc38a42p-4 + (t * t * f64_polynomial(LENGTH(even), even, LENGTH(odd), odd, t) + low);
}

/* For x > 0. From 8 on by Stirling's series (Abramowitz and Stegun 6.1.41). */
static inline double f64_lgamma_positive(double x)
{
    if (x < 0.5) return x * f64_lgamma_at_1(x - 0.1) - log(x);
    if (x < 0.7) return (x - 1) * f64_lgamma_at_2((x - 1) - 0.25) - log(x);
    if (x < 1.25) return (1 - x) * -f64_lgamma_at_1((x - 1) - 0.1);
    if (x < 1.75) return f64_lgamma_at_minimum(x);
    if (x < 8) {
        double product = 1;
        for (; x >= 3; product *= x) x -= 1;
        return (x - 2) * f64_lgamma_at_2((x - 2) - 0.25) + (product > 1 ? log(product) : 0);
    }
    const double r = 1 / x;
    static const double even[] = {
        0x1.5555555555555p-4,
        0x1.a01a01a01a01ap-11,
        0x1.b951e2b18ff23p-11,
        0x1.a41a41a41a41ap-8,
    };
    static const double odd[] = {
        -0x1.6c16c16c16c17p-9,
        -0x1.3813813813814p-11,
        -0x1.f6ab0d9993c7dp-10,
        -0x1.e4286cb0f5398p-6,
    };
    const double series = r * f64_polynomial(LENGTH(even), even, LENGTH(odd), odd, r * r);
    return (x - 0.5) * (log(x) - 1) + (0.41893853320467274178 + series);
}

/* log |gamma(x)|; below 0 by reflection (6.1.17). */
static inline double f64_lgamma(double x)
{
    if (x > 0 || x != x) return x > 1e306 ? x * (log(x) - 1) : f64_lgamma_positive(x);
    const double size = -x;
    if (size < 0.3) return x * f64_lgamma_at_1(x - 0.1) - log(size);
    const double r = size - rint(size);
    if (r == 0 || size > 0x1p60) return (double)INFINITY;
    return log(3.1415926535897932385 / (size * fabs(sin(3.1415926535897932385 * r)))) -
           f64_lgamma_positive(size);
}

/* digamma(x) / (x - 1.4616) for 1 <= x <= 2 in t = x - 1.5, where 1.4616 is the zero. */
static inline double f64_digamma_factor(double t)
{
    static const double even[] = {
        0x1.e6f0cbb873616p-1,  0x1.eca189b8e6f7bp-3,  0x1.8512e59037ebbp-4,  0x1.4de9aa1802de8p-5,
        0x1.25647156391a7p-6,  0x1.03c0b2b60f6f7p-7,  0x1.cd1f26d55994ep-9,  0x1.99e1aca26565dp-10,
        0x1.69ba8fdd1d52cp-11, 0x1.56c5b73aaffa6p-12, 0x1.80260c257a44fp-14, 0x1.00b98a8f0aa04p-13,
    };
    static const double odd[] = {
        -0x1.b1cb63005ee98p-2,  -0x1.2feeeb98a78cbp-3,  -0x1.fb44202a259cep-5,
        -0x1.b9f8b11b2f98ep-6,  -0x1.8635641765f08p-7,  -0x1.5a06a23d62223p-8,
        -0x1.336df991b5f25p-9,  -0x1.0fb126d4c2892p-10, -0x1.fdacdb7508852p-12,
        -0x1.2f41994664278p-13, -0x1.761380b8f00cep-13,
    };
    return f64_polynomial(LENGTH(even), even, LENGTH(odd), odd, t);
}

/* digamma(x) for 2 <= x <= 4 in t = x - 3. */
static inline double f64_digamma_at_3(double t)
{
    static const double even[] = {
        0x1.d8773039049e7p-1,   -0x1.3ba004f00621ap-4,  -0x1.7418eca7cbbebp-8,
        -0x1.196d0a68413b9p-11, -0x1.cf9ec053182a4p-15, -0x1.8c6fa38407147p-18,
        -0x1.593823e6caa51p-21, -0x1.2f9d751134808p-24, -0x1.0a606b1ba73a2p-27,
        -0x1.f7092a863124cp-31, -0x1.19a9d3655cc7ep-34, -0x1.779aea76423dcp-36,
    };
    static const double odd[] = {
        0x1.94699894c1f4dp-2,  0x1.44c8ab1f60e38p-6,  0x1.c2613024f42abp-10, 0x1.66d5f0a258d1p-13,
        0x1.2e33ad5413578p-16, 0x1.052ca220ef887p-19, 0x1.c98596a23af04p-23, 0x1.912a154e354bbp-26,
        0x1.7682353063dcep-29, 0x1.bd1c255ba5ea1p-33, 0x1.11be43598ede5p-34,
    };
    return f64_polynomial(LENGTH(even), even, LENGTH(odd), odd, t);
}

/* For x > 0. From 8 on by the asymptotic series (Abramowitz and Stegun 6.3.18). */
static inline double f64_digamma_positive(double x)
{
    if (x < 1)
        return ((x - 0x1.d8b618d5af8fep-2) + 0x1.1e563779a1f5bp-56) * f64_digamma_factor(x - 0.5) -
               1 / x;
    if (x < 2)
        return ((x - 0x1.762d86356be3fp+0) - 0x1.b86a722197829p-54) * f64_digamma_factor(x - 1.5);
    if (x < 8) {
        double sum = 0;
        for (; x >= 4; sum += 1 / x) x -= 1;
        return f64_digamma_at_3(x - 3) + sum;
    }
    const double r = 1 / x, u = r * r;
    static const double even[] = {
        0x1.5555555555555p-4,
        0x1.0410410410410p-8,
        0x1.f07c1f07c1f08p-8,
        0x1.5555555555555p-4,
    };
    static const double odd[] = {
        -0x1.1111111111111p-7,
        -0x1.1111111111111p-8,
        -0x1.5995995995996p-6,
        -0x1.c5e5e5e5e5e5ep-2,
    };
    const double series = u * f64_polynomial(LENGTH(even), even, LENGTH(odd), odd, u);
    return log(x) - (0.5 * r + series);
}

/* Below 0 by reflection (6.3.7); at 0 and below at whole numbers there is a pole. */
static inline double f64_digamma(double x)
{
    if (x > 0 || x != x) return x == (double)INFINITY ? x : f64_digamma_positive(x);
    if (x == 0) return copysign((double)INFINITY, -x);
    const double size = -x, r = size - rint(size);
    if (r == 0 || size > 0x1p60) return (double)NAN;
    if (fabs(r) < 0x1p-20)
        return f64_digamma_positive(1 + size) + (1 / r - 3.2898681336964528729 * r);
    const double pi = 3.1415926535897932385, angle = pi * r, t = tan(angle);
    const double lost = fma(pi, r, -angle) + 0x1.1a62633145c07p-53 * r;
    const double cotangent = pi / t;
    const double rest = fma(-cotangent, t, pi) / t - pi * (1 + 1 / (t * t)) * lost;
    return (f64_digamma_positive(1 + size) + cotangent) + rest;
}

/* Sums, products and quotients of doubles in two parts, to 100 bits. */
typedef struct f64_pair {
    double high, low;
} f64_pair;

static inline f64_pair f64_sum(double a, double b)
{
    const double sum = a + b, part = sum - a;
    return (f64_pair){ sum, (a - (sum - part)) + (b - part) };
}

static inline f64_pair f64_plus(f64_pair a, f64_pair b)
{
    const f64_pair sum = f64_sum(a.high, b.high);
    return (f64_pair){ sum.high, sum.low + (a.low + b.low) };
}

static inline f64_pair f64_times(f64_pair a, f64_pair b)
{
    const double p = a.high * b.high;
    const double low = fma(a.high, b.high, -p) + (a.high * b.low + a.low * b.high);
    return (f64_pair){ p + low, (p - (p + low)) + low };
}

static inline f64_pair f64_over(f64_pair a, f64_pair b)
{
    const double q = a.high / b.high;
    return (f64_pair){ q, (fma(-q, b.high, a.high) + (a.low - q * b.low)) / b.high };
}

/* x^-m for m > 0. */
static inline f64_pair f64_inverse_power(f64_pair x, int m)
{
    const f64_pair inverse = f64_over((f64_pair){ 1, 0 }, x);
    f64_pair p = { 1, 0 };
    for (int bit = 128; bit > 0; bit /= 2) {
        p = f64_times(p, p);
        if (m & bit) p = f64_times(p, inverse);
    }
    return p.high < (double)INFINITY ? p : (f64_pair){ (double)INFINITY, 0 };
}

static inline f64_pair f64_factorial(double n)
{
    f64_pair y = { 1, 0 };
    for (double k = 2; k <= n; k++) y = f64_times(y, (f64_pair){ k, 0 });
    return y;
}

/* B(2 k) / (2 k)! for k = 1 ..., the coefficients of Euler and Maclaurin's formula. */
static const double f64_bernoulli[] = {
    0x1.5555555555555p-4,   -0x1.6c16c16c16c17p-10, 0x1.1566abc011567p-15, -0x1.bbd779334ef0bp-21,
    0x1.66a8f2bf70ebep-26,  -0x1.22805d644267fp-31, 0x1.d6db2c4e09162p-37, -0x1.7da4e1f79955cp-42,
    0x1.355871d652e9ep-47,  -0x1.f57d968caacf1p-53, 0x1.967e1f09c376fp-58, -0x1.497d9033a2b5cp-63,
    0x1.0b132d7c6ad06p-68,  -0x1.b0f72d59f1c16p-74,
};

/* n x^n zeta(n + 1, x) for n > 0 and x >= n + 10, by Euler and Maclaurin's formula (Abramowitz and
   Stegun 6.4.11). */
static inline f64_pair f64_polygamma_rest(double n, double x)
{
    const double u = 1 / (x * x);
    double sum = 0, rising = 1;
    for (int k = 0; k < 10; k++) {
        rising *= (n + 2 * k) * (n + 2 * k + 1) * u;
        sum += f64_bernoulli[k] * rising;
    }
    return f64_sum(1, n / (2 * x) + sum);
}

/* q^m for whole m > 0. */
static inline f64_pair f64_power(f64_pair q, double m)
{
    if (m > 8) {
        const double y = pow(q.high, m);
        return (f64_pair){ y, y == 0 ? 0 : y * (m * q.low / q.high) };
    }
    f64_pair y = q;
    for (double k = 1; k < m; k++) y = f64_times(y, q);
    return y;
}

/* (x / (x + k))^m, with what sum and quotient lose. */
static inline f64_pair f64_ratio_power(double x, double k, double m)
{
    return f64_power(f64_over((f64_pair){ x, 0 }, f64_sum(x, k)), m);
}

/* n! zeta(n + 1, x) for n > 0, x > 0: the first terms, in units of the first of all, and the rest. The
   power of x comes last, without its exponent, so that nothing is out of range on the way. */
M_SEPARATE static double f64_polygamma_positive(double n, double x)
{
    const bool large = x >= n + 10;
    f64_pair sum = { 1, 0 };
    if (large) {
        sum = f64_polygamma_rest(n, x);
    } else {
        double k = 1;
        for (; x + k < n + 10; k++) sum = f64_plus(sum, f64_ratio_power(x, k, n + 1));
        const f64_pair rest = f64_times(f64_sum(x, k), f64_polygamma_rest(n, x + k));
        const f64_pair tail = f64_times(f64_ratio_power(x, k, n + 1), rest);
        sum = f64_plus(sum, f64_over(tail, (f64_pair){ n, 0 }));
    }
    int exponent;
    const int m = large ? (int)n : (int)n + 1;
    const double fraction = 2 * frexp(x, &exponent);
    const f64_pair y = f64_over(f64_times(f64_factorial(m - 1), sum), f64_power((f64_pair){ fraction, 0 }, m));
    return scalbn(y.high + y.low, -m * (exponent - 1));
}

/* zeta(n + 1, x), the same way: to 100 bits for x >= n + 30. */
static inline f64_pair f64_polygamma_tail(double n, f64_pair x)
{
    static const double rest[] = {
        0x1.5555555555555p-58,  0x1.f49f49f49f49fp-65, -0x1.50ffbaa655100p-69,
        0x1.4e65f77088199p-75, -0x1.75a7bb0599f07p-80, 0x1.16a73200360d2p-88,
    };
    const f64_pair inverse = f64_over((f64_pair){ 1, 0 }, x), u = f64_times(inverse, inverse);
    f64_pair sum = { 0, 0 };
    for (int k = LENGTH(f64_bernoulli) - 1; k >= 0; k--) {
        const f64_pair rising = f64_times(u, (f64_pair){ (n + 2 * k) * (n + 2 * k + 1), 0 });
        sum = f64_times(rising, f64_plus((f64_pair){ f64_bernoulli[k], k < LENGTH(rest) ? rest[k] : 0 }, sum));
    }
    sum = f64_plus((f64_pair){ 1, 0 }, f64_plus(f64_times(inverse, (f64_pair){ n / 2, 0 }), sum));
    return f64_over(f64_times(sum, f64_inverse_power(x, (int)n)), (f64_pair){ n, 0 });
}

static inline f64_pair f64_signed(double sign, f64_pair x)
{
    return (f64_pair){ sign * x.high, sign * x.low };
}

/* The same for negative x = -size that is no whole number, and (-1)^n as sign: over distances to whole
   numbers above and, by N = floor(size) + 1, below,

       n! (zeta(n + 1, 1 - f) - sign (zeta(n + 1, f) - zeta(n + 1, f + N))),    f = size - floor(size)

   where for even n the terms cancel near zeros, halfway between whole numbers all but the last of them: they are put
   together two by two, the smallest first. */
M_SEPARATE static double f64_polygamma_negative(double n, double size, double sign)
{
    const double whole = floor(size), f = size - whole, terms = n + (sign > 0 ? 30 : 10);
    const int m = (int)n + 1;
    const bool beyond = whole >= terms; /* distances below are more than are added up one by one */
    f64_pair sum = beyond ? f64_signed(sign, f64_polygamma_tail(n, f64_sum(size, 1))) : (f64_pair){ 0, 0 };
    f64_pair next = f64_polygamma_tail(n, f64_sum(terms + 1, -f));
    if (beyond) next = f64_plus(next, f64_signed(-sign, f64_polygamma_tail(n, f64_sum(terms, f))));
    sum = f64_plus(sum, next);
    for (double k = terms - 1; k >= 0; k--) {
        next = f64_inverse_power(f64_sum(k + 1, -f), m);
        if (k <= whole) next = f64_plus(next, f64_signed(-sign, f64_inverse_power(f64_sum(k, f), m)));
        sum = f64_plus(sum, next);
    }
    const f64_pair factorial = f64_factorial(n);
    const double y = factorial.high * sum.high;
    return isinf(y) ? y : f64_times(factorial, f64_sum(sum.high, sum.low)).high;
}

/* The n-th derivative of digamma, n rounded to a whole number, 0 to 170; below 0 by reflection
   (6.4.7). */
static inline double f64_polygamma(double order, double x)
{
    const double n = rint(order), sign = fmod(n, 2) == 0 ? -1 : 1;
    if (n == 0) return f64_digamma(x);
    if (!(n > 0 && n <= 170) || x != x) return (double)NAN;
    if (x > 0) return x == (double)INFINITY ? sign * 0 : sign * f64_polygamma_positive(n, x);
    const double size = -x, r = size - rint(size);
    if (x == 0) return sign > 0 ? (double)INFINITY : copysign((double)INFINITY, -x);
    if (r == 0 || size > 0x1p60) return sign > 0 ? (double)INFINITY : (double)NAN;
    return sign * f64_polygamma_negative(n, size, -sign);
}
#endif
