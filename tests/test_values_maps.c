/* The values of the elementwise operations, against references written here in long double; and
   their gradients at the corners of docs/ops.md. What differences can tell about gradients is in
   check_ops.c, other operations are in test_values_tensors.c. */
#include "values.h"

#define SEED 20240917u

TestSuite(maps);

/* ---- references ------------------------------------------------------------------------------ */

static real signum(real x)
{
    return x > 0 ? 1 : x < 0 ? -1 : isnan(x) ? x : 0;
}

static real logistic(real x)
{
    return 1 / (1 + expl(-x));
}

static real log_of_1_plus_exp(real x)
{
    return x > 0 ? x + log1pl(expl(-x)) : log1pl(expl(x));
}

/* Near x = 1/2 the quotient is near 1: its distance from 1 is exact. */
static real log_odds(real x)
{
    return fabsl(x - 0.5L) < 0.25L ? log1pl((2 * x - 1) / (1 - x)) : logl(x) - log1pl(-x);
}

static real log_of_sum(real a, real b)
{
    if (isnan(a) || isnan(b)) return a + b;
    return a == b ? a + logl(2) : fmaxl(a, b) + log1pl(expl(-fabsl(a - b)));
}

static real normal_distribution(real x)
{
    return erfcl(-x / sqrtl(2)) / 2;
}

/* As Python's %: of the sign of b, also when it is zero. */
static real modulo(real a, real b)
{
    const real r = fmodl(a, b);
    return r == 0 ? copysignl(0, b) : (r < 0) != (b < 0) ? r + b : r;
}

static real larger(real a, real b)
{
    return isnan(a) || isnan(b) ? a + b : a >= b ? a : b;
}

static real smaller(real a, real b)
{
    return isnan(a) || isnan(b) ? a + b : a <= b ? a : b;
}

/* Factorials of orders to which digamma's derivatives are defined. */
static real factorial(real n)
{
    return roundl(tgammal(n + 1));
}

/* n! zeta(n + 1, x) for x > 0: terms up to x = n + 30, then Euler's and Maclaurin's formula. */
static real zeta_times_factorial(real n, real x)
{
    static const real b[] = { 1 / 12.L, -1 / 720.L, 1 / 30240.L, -1 / 1209600.L, 1 / 47900160.L };
    real sum = 0;
    for (; x < n + 30; x += 1) sum += powl(x, -n - 1);
    real rising = n * powl(x, -n), rest = powl(x, -n) * (1 + n / (2 * x));
    for (int k = 0; k < COUNT(b); k++) {
        rising *= (n + 2 * k) * (n + 2 * k + 1) / (x * x) / (k ? 1 : n);
        rest += b[k] * rising;
    }
    return factorial(n) * (sum + rest / n);
}

static real digamma_of_positive(real x)
{
    real sum = 0;
    for (; x < 30; x += 1) sum -= 1 / x;
    const real u = 1 / (x * x);
    return sum + logl(x) - 1 / (2 * x) -
           u * (1 / 12.L - u * (1 / 120.L - u * (1 / 252.L - u * (1 / 240.L - u / 132.L))));
}

/* The n-th derivative of pi cot(pi x), as a polynomial of the cotangent. */
static real cotangent_derivative(int n, real x)
{
    const real pi = acosl(-1), r = x - rintl(x);
    const real c = copysignl(sinl(pi * (0.5L - fabsl(r))), r) / sinl(pi * fabsl(r));
    real p[174] = { 0, pi };
    for (int k = 0; k < n; k++) {
        real q[174] = { 0 };
        for (int i = 1; i <= k + 1; i++) {
            q[i - 1] -= pi * (real)i * p[i];
            q[i + 1] -= pi * (real)i * p[i];
        }
        memcpy(p, q, sizeof p);
    }
    real y = 0;
    for (int i = n + 1; i >= 0; i--) y = y * c + p[i];
    return y;
}

/* digamma and its derivatives; below 0 by reflection. */
static real digamma_derivative(real order, real x)
{
    const real n = rintl(order), sign = fmodl(n, 2) == 0 ? -1 : 1;
    if (!(n >= 0 && n <= 170) || isnan(x)) return NAN;
    if (isinf(x) && x > 0) return n > 0 ? sign * 0 : x;
    if (x > 0) return n > 0 ? sign * zeta_times_factorial(n, x) : digamma_of_positive(x);
    if (x == 0) return n > 0 && sign > 0 ? INFINITY : copysignl(INFINITY, -x);
    if (x == rintl(x)) return n > 0 && sign > 0 ? INFINITY : NAN;
    return -cotangent_derivative((int)n, x) -
           (n > 0 ? zeta_times_factorial(n, 1 - x) : -digamma_of_positive(1 - x));
}

/* What reflection subtracts from each other, times the power of the cotangent that it is. */
static real digamma_terms(real order, real x)
{
    const real n = rintl(order);
    if (!(x < 0 && n >= 0 && n <= 170)) return 0;
    return fmaxl(fmaxl(1, -x), (1 + n) * fabsl(cotangent_derivative((int)n, x)));
}

static real elu_of(real a, real b)
{
    return a > 0 ? a : b * expm1l(a);
}

static real celu_of(real a, real b)
{
    return a > 0 || (a == 0 && b != 0 && !isnan(b)) || (isinf(b) && isfinite(a)) ? a : b * expm1l(a / b);
}

/* x tanh(log(1 + e)), e = exp(x). */
static real mish_of(real x)
{
    const real e = expl(-fabsl(x));
    return x < 0 ? x * e * (e + 2) / (e * (e + 2) + 2) : x * (1 + 2 * e) / (1 + 2 * e * (1 + e));
}

static real gelu_by_tanh(real x)
{
    const real s = 2 * sqrtl(2 / acosl(-1)) * (x + 0.044715L * x * x * x);
    return x == -INFINITY ? -0.0L : x * logistic(s);
}

/* Bounds, in ulp of the result in the tape's type; a zero has its sign, too:
     EXACT    the number itself
     EQUAL    the number itself, a zero of either sign
     ROUNDED  computed exactly and rounded once; the reference is off by up to 2^-11 ulp
     LIBM     functions of libm, each off by at most 2 ulp by glibc's manual, and a few roundings
   The last column is what those ulp are of, where it is larger than the result: a result may be a
   small difference of large numbers (logaddexp, logit); an argument that was rounded moves erfc(z)
   by z^2 times that (gelu); and a factor below tiny, the smallest number that has all its digits,
   has lost some (silu, gelu). */
#define EXACT 0
#define EQUAL 0.25
#define ROUNDED 0.5005
#define LIBM 4

/* clang-format off */
#define MAPS(MAP1, MAP2, MAP3)                                                                     \
    MAP2(add, ROUNDED, a + b, 0)                                                                   \
    MAP2(sub, ROUNDED, a - b, 0)                                                                   \
    MAP2(mul, ROUNDED, a * b, 0)                                                                   \
    MAP2(div, ROUNDED, a / b, 0)                                                                   \
    MAP3(fma, ROUNDED, fmal(a, b, c), 0)                                                           \
    MAP1(neg, EXACT, -x, 0)                                                                        \
    MAP1(reciprocal, ROUNDED, 1 / x, 0)                                                            \
    MAP1(square, ROUNDED, x * x, 0)                                                                \
    MAP1(sqrt, ROUNDED, sqrtl(x), 0)                                                               \
    MAP1(rsqrt, 2, 1 / sqrtl(x), 0)                                                                \
    MAP1(abs, EXACT, fabsl(x), 0)                                                                  \
    MAP1(sign, EXACT, signum(x), 0)                                                                \
    MAP2(pow, LIBM, powl(a, b), 0)                                                                 \
    MAP2(remainder, ROUNDED, modulo(a, b), 0)                                                      \
    MAP2(copysign, EXACT, copysignl(a, b), 0)                                                      \
    MAP1(exp, LIBM, expl(x), 0)                                                                    \
    MAP1(expm1, LIBM, expm1l(x), 0)                                                                \
    MAP1(exp2, LIBM, exp2l(x), 0)                                                                  \
    MAP1(log, LIBM, logl(x), 0)                                                                    \
    MAP1(log1p, LIBM, log1pl(x), 0)                                                                \
    MAP1(log2, LIBM, log2l(x), 0)                                                                  \
    MAP1(log10, LIBM, log10l(x), 0)                                                                \
    MAP2(logaddexp, LIBM, log_of_sum(a, b), fmaxl(fabsl(a), fabsl(b)))                             \
    MAP2(xlogy, LIBM, a == 0 && !isnan(b) ? 0 : a * logl(b), 0)                                    \
    MAP2(hypot, LIBM, hypotl(a, b), 0)                                                             \
    MAP1(sin, LIBM, sinl(x), 0)                                                                    \
    MAP1(cos, LIBM, cosl(x), 0)                                                                    \
    MAP1(tan, LIBM, tanl(x), 0)                                                                    \
    MAP1(asin, LIBM, asinl(x), 0)                                                                  \
    MAP1(acos, LIBM, acosl(x), 0)                                                                  \
    MAP1(atan, LIBM, atanl(x), 0)                                                                  \
    MAP2(atan2, LIBM, atan2l(a, b), 0)                                                             \
    MAP1(sinh, LIBM, sinhl(x), 0)                                                                  \
    MAP1(cosh, LIBM, coshl(x), 0)                                                                  \
    MAP1(tanh, LIBM, tanhl(x), 0)                                                                  \
    MAP1(asinh, LIBM, asinhl(x), 0)                                                                \
    MAP1(acosh, LIBM, acoshl(x), 0)                                                                \
    MAP1(atanh, LIBM, atanhl(x), 0)                                                                \
    MAP1(erf, LIBM, erfl(x), 0)                                                                    \
    MAP1(erfc, LIBM, erfcl(x), 0)                                                                  \
    MAP1(sigmoid, LIBM, logistic(x), 0)                                                            \
    MAP1(log_sigmoid, LIBM, -log_of_1_plus_exp(-x), 0)                                             \
    MAP1(logit, LIBM, log_odds(x), 0)                                                              \
    MAP1(softplus, LIBM, log_of_1_plus_exp(x), 0)                                                  \
    MAP1(lgamma, LIBM, lgammal(x), x < 0 ? fmaxl(1, -x) : 0)                                       \
    MAP1(digamma, LIBM, digamma_derivative(0, x), x < 0 ? fmaxl(1, -x) : 0)                        \
    MAP2(polygamma, 8, digamma_derivative(a, b), digamma_terms(a, b))                              \
    MAP1(floor, EXACT, floorl(x), 0)                                                               \
    MAP1(ceil, EXACT, ceill(x), 0)                                                                 \
    MAP1(round, EXACT, rintl(x), 0)                                                                \
    MAP1(trunc, EXACT, truncl(x), 0)                                                               \
    MAP2(eq, EXACT, a == b, 0)                                                                     \
    MAP2(ne, EXACT, a != b, 0)                                                                     \
    MAP2(lt, EXACT, a < b, 0)                                                                      \
    MAP2(le, EXACT, a <= b, 0)                                                                     \
    MAP2(gt, EXACT, a > b, 0)                                                                      \
    MAP2(ge, EXACT, a >= b, 0)                                                                     \
    MAP1(isnan, EXACT, isnan(x) ? 1 : 0, 0)                                                        \
    MAP1(isfinite, EXACT, isfinite(x) ? 1 : 0, 0)                                                  \
    MAP2(maximum, EQUAL, larger(a, b), 0)                                                          \
    MAP2(minimum, EQUAL, smaller(a, b), 0)                                                         \
    MAP3(clamp, EQUAL, smaller(larger(a, b), c), 0)                                                \
    MAP3(where, EXACT, a != 0 ? b : c, 0)                                                          \
    MAP3(masked_fill, EXACT, b != 0 ? c : a, 0)                                                    \
    MAP1(relu, EXACT, x > 0 || isnan(x) ? x : 0, 0)                                                \
    MAP2(leaky_relu, ROUNDED, a > 0 ? a : a * b, 0)                                                \
    MAP2(elu, LIBM, elu_of(a, b), 0)                                                               \
    MAP2(celu, LIBM, celu_of(a, b), b < 0 ? LDBL_MAX : 0)                                              \
    MAP1(selu, LIBM, 1.0507009873554804934L * elu_of(x, 1.6732632423543772848L), 0)                \
    MAP1(relu6, EXACT, isnan(x) ? x : fminl(fmaxl(x, 0), 6), 0)                                    \
    MAP1(hardtanh, EXACT, isnan(x) ? x : fminl(fmaxl(x, -1), 1), 0)                                \
    MAP1(hardsigmoid, 2, isnan(x) ? x : fminl(fmaxl((x + 3) / 6, 0), 1), 0)                        \
    MAP1(hardswish, 2, x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6, 0)                              \
    MAP1(softsign, 2, isinf(x) ? copysignl(1, x) : x / (1 + fabsl(x)), 0)                          \
    MAP1(silu, LIBM, x == -INFINITY ? -0.0L : x * logistic(x), fabsl(x) * tiny)                    \
    MAP1(mish, LIBM, x == -INFINITY ? -0.0L : mish_of(x), fabsl(x) * tiny)                         \
    MAP1(gelu, LIBM, x == -INFINITY ? -0.0L : x * normal_distribution(x), fabsl(x) * tiny)         \
    MAP1(gelu_tanh, LIBM, gelu_by_tanh(x), fabsl(x) * tiny)

/* Each row's reference, and its call as a user writes it. */
#define FUNCTIONS(NAME, WANT, SCALE, READ, ...)                                                    \
    static real NAME##_want(const real *p)                                                         \
    {                                                                                              \
        READ return WANT;                                                                          \
    }                                                                                              \
    static real NAME##_scale(const real *p, real tiny)                                             \
    {                                                                                              \
        (void)tiny;                                                                                \
        READ return SCALE;                                                                         \
    }                                                                                              \
    static tg_value NAME##_call(const tg_value *v)                                                 \
    {                                                                                              \
        return tg_##NAME(__VA_ARGS__);                                                             \
    }
#define READ1 const real x = p[0]; (void)x;
#define READ2 const real a = p[0], b = p[1]; (void)a, (void)b;
#define READ3 const real c = p[2]; (void)c; READ2
#define MAP1(NAME, ULPS, WANT, SCALE) FUNCTIONS(NAME, WANT, SCALE, READ1, v[0])
#define MAP2(NAME, ULPS, WANT, SCALE) FUNCTIONS(NAME, WANT, SCALE, READ2, v[0], v[1])
#define MAP3(NAME, ULPS, WANT, SCALE) FUNCTIONS(NAME, WANT, SCALE, READ3, v[0], v[1], v[2])
MAPS(MAP1, MAP2, MAP3)

typedef struct map {
    const char *name;
    int operands;
    double ulps;
    real (*want)(const real *x);
    real (*scale)(const real *x, real tiny);
    tg_value (*call)(const tg_value *x);
} map;

#define ROW(NAME, N, ULPS) { #NAME, N, ULPS, NAME##_want, NAME##_scale, NAME##_call },
#define ROW1(NAME, ULPS, WANT, SCALE) ROW(NAME, 1, ULPS)
#define ROW2(NAME, ULPS, WANT, SCALE) ROW(NAME, 2, ULPS)
#define ROW3(NAME, ULPS, WANT, SCALE) ROW(NAME, 3, ULPS)
static const map maps[] = { MAPS(ROW1, ROW2, ROW3) };
/* clang-format on */

Test(maps, every_elementwise_operation_has_a_reference)
{
    tg_op_info info;
    for (int i = 0; tg_op_at(i, &info); i++) {
        if (!info.formula) continue;
        int row = 0;
        while (row < COUNT(maps) && strcmp(maps[row].name, info.name)) row++;
        cr_expect(row < COUNT(maps), "%s has no row in this file", info.name);
    }
}

/* ---- points ---------------------------------------------------------------------------------- */

#define POINTS 4096

/* All combinations are tried: for more operands of fewer corners, the first ones of this list. */
/* clang-format off */
static const double corners[] = {
    0.0, -0.0, 1, -1, INFINITY, -INFINITY, NAN, 2, DBL_MAX, -DBL_MAX, DBL_TRUE_MIN, -DBL_TRUE_MIN,
    0.5, -0.5, 1.5, -1.5, 2.5, -2.5, 3, -3, FLT_MAX, FLT_MIN, FLT_TRUE_MIN, 1e10,
    /* for one operand only */
    1 - DBL_EPSILON / 2, 1 + DBL_EPSILON, 1 - FLT_EPSILON / 2, 1 + FLT_EPSILON, 1e-8, -1e-8,
    0.1, 0.9, 6, -6, 9, -9, 12, -12, 19, -19, 20, -20, 37, -37, 38.5, -38.5, 88.5, -88.5,
    104, -104, 709.5, -709.5, 711, -711, 745.5, -745.5, 1e308, -1e308, 1e-308, DBL_MIN, -DBL_MIN,
    0x1p23, 0x1p23 + 1, 0x1.8p22, -0x1.8p22, 0x1p51 + 0.5, 0x1p52 + 1, 0x1p53,
};
/* clang-format on */
static const int corners_of[] = { 0, COUNT(corners), 24, 12 };

/* Near 0, around it, and of every magnitude up to 2^40. */
static double anywhere(int i, unsigned *seed)
{
    const double u = uniform(seed);
    return i % 3 == 0 ? u : i % 3 == 1 ? 4 * u : copysign(exp2(40 * uniform(seed)), u);
}

/* Fills x with all combinations of corners and then with random numbers that the type can hold. */
static void draw(int operands, tg_type type, double x[3][POINTS])
{
    unsigned seed = SEED;
    const int n = corners_of[operands];
    int combinations = 1;
    for (int i = 0; i < operands; i++) combinations *= n;
    for (int i = 0; i < POINTS; i++)
        for (int k = 0, at = i; k < operands; k++, at /= n) {
            const double drawn = i < combinations ? corners[at % n] : anywhere(i, &seed);
            x[k][i] = type == TG_F32 ? (float)drawn : drawn;
        }
}

/* ---- distance -------------------------------------------------------------------------------- */

/* The distance of neighbouring numbers of the type around x. */
static real ulp_of(real x, tg_type type)
{
    const int digits = type == TG_F32 ? FLT_MANT_DIG : DBL_MANT_DIG;
    const int least = (type == TG_F32 ? FLT_MIN_EXP : DBL_MIN_EXP) - digits;
    int exponent;
    (void)frexpl(x, &exponent);
    return ldexpl(1, x == 0 || exponent - digits < least ? least : exponent - digits);
}

/* Infinity, seen as the first power of two that the type cannot hold; numbers beyond too. */
static real held(real x, tg_type type)
{
    const real top = ldexpl(1, type == TG_F32 ? FLT_MAX_EXP : DBL_MAX_EXP);
    return fabsl(x) > top ? copysignl(top, x) : x;
}

static real distance(real got, real want, real scale, tg_type type)
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : (real)INFINITY;
    if (got == want) return 0;
    if (isinf(want)) return (real)INFINITY;
    const real unit = fmaxl(fabsl(held(want, type)), isfinite(scale) ? scale : 0);
    return fabsl(held(got, type) - held(want, type)) / ulp_of(unit, type);
}

/* Fails with the operation's name and operands; of one's failures the first three are enough. */
static void compare(const map *m, const char *how, const double x[3][POINTS], int i, double got,
                    tg_type type)
{
    const real p[3] = { x[0][i], x[1][i], x[2][i] };
    const real want = m->want(p), scale = m->scale(p, type == TG_F32 ? FLT_MIN : DBL_MIN);
    const real off = distance(got, want, scale, type);
    const bool sign =
        m->ulps == EQUAL || !(got == 0 && want == 0) || !signbit(got) == !signbit(want);
    static int failures[COUNT(maps)];
    if ((off <= m->ulps && sign) || failures[m - maps]++ >= 3) return;
    cr_expect(false, "%s%s of %s: (%a, %a, %a) gives %.17g, not %.17Lg: %.3Lg ulp", m->name,
              type == TG_F32 ? " in f32" : "", how, x[0][i], m->operands > 1 ? x[1][i] : 0,
              m->operands > 2 ? x[2][i] : 0, got, want, off);
}

/* ---- values ---------------------------------------------------------------------------------- */

static void check_vector(const map *m, tg_tape *t, const double x[3][POINTS])
{
    static double y[POINTS];
    tg_value v[3];
    for (int k = 0; k < m->operands; k++) v[k] = tg_param(t, x[k], POINTS);
    cr_assert(tg_read(m->call(v), y, POINTS), "%s", m->name);
    for (int i = 0; i < POINTS; i++) compare(m, "vectors", x, i, y[i], tg_tape_type(t));
}

static void check_scalars(const map *m, tg_tape *t, const double x[3][POINTS])
{
    for (int i = 0; i < POINTS; i++) {
        tg_value v[3];
        for (int k = 0; k < m->operands; k++) v[k] = tg_scalar(t, x[k][i]);
        compare(m, "scalars", x, i, tg_item(m->call(v)), tg_tape_type(t));
    }
}

static void check_map(const map *m, tg_type type)
{
    static double x[3][POINTS];
    draw(m->operands, type, x);
    tg_tape *const t = tg_tape_new(&(const tg_tape_options){ .type = type });
    check_vector(m, t, (const double(*)[POINTS])x);
    check_scalars(m, t, (const double(*)[POINTS])x);
    cr_expect(!tg_error_of(t), "%s", m->name);
    tg_tape_free(t);
}

ParameterizedTestParameters(maps, every_value_is_as_near_to_the_reference_as_its_bound)
{
    return every_level();
}

ParameterizedTest(const int *level, maps, every_value_is_as_near_to_the_reference_as_its_bound)
{
    choose(*level);
    for (int i = 0; i < COUNT(maps); i++) {
        check_map(&maps[i], TG_F64);
        check_map(&maps[i], TG_F32);
    }
}

/* ---- what is said about single numbers ------------------------------------------------------- */

/* Gradients where the derivative is none, infinite or one of several, and the values there. The
   incoming gradient is 1. */
typedef struct spot {
    const char *op;
    double x[3], y, dx[3];
} spot;

static const spot spots[] = {
    { "abs", { 0 }, 0, { 0 } },
    { "round", { 0.5 }, 0, { 0 } },
    { "round", { 1.5 }, 2, { 0 } },
    { "round", { 2.5 }, 2, { 0 } },
    { "round", { -3.5 }, -4, { 0 } },
    { "relu", { 0 }, 0, { 0 } },
    { "relu", { -0.0 }, 0, { 0 } },
    { "relu", { -INFINITY }, 0, { 0 } },
    { "leaky_relu", { 0, 0.25 }, 0, { 0.25, 0 } },
    { "elu", { 0, 0.25 }, 0, { 0.25, 0 } },
    { "elu", { -INFINITY, 2 }, -2, { 0, -1 } },
    { "celu", { 0, 2 }, 0, { 1, 0 } },
    { "celu", { -INFINITY, 2 }, -2, { 0, -1 } },
    { "selu", { 0 }, 0, { 1.0507009873554805 } },
    { "relu6", { 0 }, 0, { 0 } },
    { "relu6", { 6 }, 6, { 0 } },
    { "hardtanh", { -1 }, -1, { 0 } },
    { "hardtanh", { 1 }, 1, { 0 } },
    { "hardsigmoid", { -3 }, 0, { 0 } },
    { "hardsigmoid", { 3 }, 1, { 0 } },
    { "hardswish", { -3 }, 0, { 0 } },
    { "hardswish", { 3 }, 3, { 1 } },
    { "softsign", { INFINITY }, 1, { 0 } },
    { "silu", { -INFINITY }, -0.0, { 0 } },
    { "silu", { INFINITY }, INFINITY, { 1 } },
    { "mish", { -INFINITY }, -0.0, { 0 } },
    { "mish", { INFINITY }, INFINITY, { 1 } },
    { "gelu", { -INFINITY }, -0.0, { 0 } },
    { "gelu", { INFINITY }, INFINITY, { 1 } },
    { "gelu_tanh", { -INFINITY }, -0.0, { 0 } },
    { "gelu_tanh", { INFINITY }, INFINITY, { 1 } },
    { "logaddexp", { -INFINITY, -INFINITY }, -INFINITY, { 0, 0 } },
    { "logaddexp", { INFINITY, INFINITY }, INFINITY, { 0.5, 0.5 } },
    { "logaddexp", { INFINITY, 1 }, INFINITY, { 1, 0 } },
    { "atanh", { 2 }, NAN, { NAN } },
    { "logit", { 2 }, NAN, { NAN } },
    { "acosh", { -2 }, NAN, { NAN } },
    { "logit", { 0 }, -INFINITY, { INFINITY } },
    { "lgamma", { 0 }, INFINITY, { -INFINITY } },
    { "lgamma", { -2 }, INFINITY, { NAN } },
    { "lgamma", { INFINITY }, INFINITY, { INFINITY } },
    { "digamma", { 0 }, -INFINITY, { INFINITY } },
    { "digamma", { -2 }, NAN, { INFINITY } },
    { "digamma", { INFINITY }, INFINITY, { 0 } },
    { "polygamma", { 2, 0 }, -INFINITY, { 0, INFINITY } },
    { "leaky_relu", { -2, 0.25 }, -0.5, { 0.25, -2 } },
    { "sqrt", { 0 }, 0, { INFINITY } },
    { "sqrt", { -1 }, NAN, { NAN } },
    { "log", { 0 }, -INFINITY, { INFINITY } },
    { "log", { -1 }, NAN, { NAN } },
    { "log2", { -1 }, NAN, { NAN } },
    { "log10", { -1 }, NAN, { NAN } },
    { "log1p", { -1 }, -INFINITY, { INFINITY } },
    { "log1p", { -2 }, NAN, { NAN } },
    { "asin", { 1 }, 1.5707963267948966, { INFINITY } },
    { "asin", { -1 }, -1.5707963267948966, { INFINITY } },
    { "acos", { 1 }, 0, { -INFINITY } },
    { "acos", { -1 }, 3.1415926535897932, { -INFINITY } },
    { "atanh", { 1 }, INFINITY, { INFINITY } },
    { "atanh", { -1 }, -INFINITY, { INFINITY } },
    { "acosh", { 1 }, 0, { INFINITY } },
    { "div", { 1, 0 }, INFINITY, { INFINITY, -INFINITY } },
    { "div", { -1, 0 }, -INFINITY, { INFINITY, INFINITY } },
    { "remainder", { -3, 2 }, 1, { 1, 2 } },
    { "remainder", { 3, -2 }, -1, { 1, 2 } },
    { "copysign", { 0, -1 }, -0.0, { 0, 0 } },
    { "copysign", { 2, -1 }, -2, { -1, 0 } },
    { "hypot", { 0, 0 }, 0, { 0, 0 } },
    { "atan2", { 0, 0 }, 0, { 0, 0 } },
    { "atan2", { 0, 2 }, 0, { 0.5, 0 } },
    { "xlogy", { 0, 0 }, 0, { 0, 0 } },
    { "xlogy", { 0, 1 }, 0, { 0, 0 } },
    { "xlogy", { 1, 0 }, -INFINITY, { -INFINITY, INFINITY } },
    { "pow", { 0, 0 }, 1, { 0, 0 } },
    { "pow", { 5, 0 }, 1, { 0, 1.6094379124341003 } },
    { "pow", { 0, 1 }, 0, { 1, 0 } },
    { "pow", { 0, 2 }, 0, { 0, 0 } },
    { "pow", { 0, 0.5 }, 0, { INFINITY, 0 } },
    { "pow", { 0, -1 }, INFINITY, { -INFINITY, -INFINITY } },
    { "pow", { -2, 3 }, -8, { 12, NAN } },
    { "pow", { -2, -1 }, -0.5, { -0.25, NAN } },
    { "pow", { -2, 0.5 }, NAN, { NAN, NAN } },
    { "maximum", { 3, 3 }, 3, { 0.5, 0.5 } },
    { "maximum", { 3, 2 }, 3, { 1, 0 } },
    { "maximum", { INFINITY, INFINITY }, INFINITY, { 0.5, 0.5 } },
    { "minimum", { 3, 3 }, 3, { 0.5, 0.5 } },
    { "minimum", { 3, 2 }, 2, { 0, 1 } },
    { "clamp", { 1, 1, 2 }, 1, { 1, 0, 0 } },
    { "clamp", { 2, 1, 2 }, 2, { 1, 0, 0 } },
    { "clamp", { 0, 1, 2 }, 1, { 0, 1, 0 } },
    { "clamp", { 3, 1, 2 }, 2, { 0, 0, 1 } },
    { "clamp", { 0, 2, 1 }, 1, { 0, 0, 1 } },
    { "clamp", { 3, 2, 1 }, 1, { 0, 0, 1 } },
    { "where", { 1, 5, NAN }, 5, { 0, 1, 0 } },
    { "where", { 0, NAN, 5 }, 5, { 0, 0, 1 } },
    { "where", { NAN, 5, 6 }, 5, { 0, 1, 0 } },
    { "masked_fill", { NAN, 1, 3 }, 3, { 0, 0, 1 } },
    { "masked_fill", { 3, 0, NAN }, 3, { 1, 0, 0 } },
};

/* Numbers of one or two roundings. */
static void expect_near(double got, double want, tg_type type, const spot *s, const char *what)
{
    cr_expect(distance(got, want, 0, type) <= 2, "%s of (%g, %g, %g)%s: %s is %.17g, not %.17g",
              s->op, s->x[0], s->x[1], s->x[2], type == TG_F32 ? " in f32" : "", what, got, want);
}

#define SPOT_SIZE 19 /* leaves a rest in every vector register */

/* As a scalar (n = 1), or as a vector of n equal elements whose sum is the root. */
static void check_spot(const spot *s, tg_type type, int n)
{
    tg_op_info info;
    cr_assert(tg_op_find(s->op, &info), "%s", s->op);
    const int operands = (int)strlen(info.letters);
    tg_tape *const t = tg_tape_new(&(const tg_tape_options){ .type = type });
    double element[SPOT_SIZE];
    tg_value x[3];
    for (int k = 0; k < operands; k++) {
        for (int i = 0; i < n; i++) element[i] = s->x[k];
        x[k] = n > 1 ? tg_param(t, element, n) : tg_param(t, element);
    }
    const tg_value y = tg_apply(t, s->op, x, operands, NULL);
    cr_assert(tg_read(y, element, (size_t)n), "%s", s->op);
    expect_near(element[n - 1], s->y, type, s, "the value");
    /* Without a gradient there is no way back; check_ops.c sees to that. */
    if (strpbrk(info.letters, "ln")) cr_assert(tg_backward(n > 1 ? tg_sum(y) : y), "%s", s->op);
    for (int k = 0; k < operands && tg_grad_read(x[k], element, (size_t)n); k++) {
        const char *const what[] = { "the first gradient", "the second gradient",
                                     "the third gradient" };
        expect_near(element[n - 1], s->dx[k], type, s, what[k]);
    }
    cr_expect(!tg_error_of(t), "%s", s->op);
    tg_tape_free(t);
}

Test(maps, gradients_at_corners_and_ties_are_those_documented)
{
    for (int i = 0; i < COUNT(spots); i++)
        for (tg_type type = TG_F64; type <= TG_F32; type++) {
            check_spot(&spots[i], type, 1);
            check_spot(&spots[i], type, SPOT_SIZE);
        }
}

/* y = x0^x1 element by element. */
static void read_powers(tg_type type, int n, const double *base, const double *exponent, double *y)
{
    tg_tape *const t = tg_tape_new(&(const tg_tape_options){ .type = type });
    cr_assert(tg_read(tg_pow(tg_input(t, base, n), tg_input(t, exponent, n)), y, (size_t)n));
    tg_tape_free(t);
}

Test(maps, powers_of_special_numbers_have_ieee_values)
{
    static const double special[] = {
        0, 1, 2, 3, 0.5, 1.5, 0x1p-1074, 0x1p-149, 0x1p-1022, 0x1p22, 0x1p22 + 1, 0x1p23 + 1, 0x1p24 - 1, 0x1p24,
        0x1p51 + 0.5, 0x1p52 + 1, 0x1p53 - 1, 0x1p53, 1e30, 1e300, 1 - 0x1p-24, 1 + 0x1p-52, 1023, 1024, 150.5,
        INFINITY, NAN,
    };
    enum { N = 2 * COUNT(special) };
    for (tg_type type = TG_F64; type <= TG_F32; type++) {
        double base[N * N], exponent[N * N], y[N * N], number[N];
        for (int i = 0; i < N; i++) {
            const double x = i % 2 ? -special[i / 2] : special[i / 2];
            number[i] = type == TG_F32 ? (double)(float)x : x;
        }
        for (int i = 0; i < N * N; i++) base[i] = number[i / N], exponent[i] = number[i % N];
        read_powers(type, N * N, base, exponent, y);
        for (int i = 0; i < N * N; i++) {
            const double exact = pow(base[i], exponent[i]), want = type == TG_F32 ? (double)(float)exact : exact;
            cr_expect(distance(y[i], want, 0, type) <= 2 && (want != want || !signbit(y[i]) == !signbit(want)),
                      "%a to the power %a%s is %a, not %a", base[i], exponent[i], type == TG_F32 ? " in f32" : "", y[i],
                      want);
        }
    }
}

Test(maps, whole_powers_of_whole_numbers_are_exact)
{
    for (tg_type type = TG_F64; type <= TG_F32; type++) {
        double base[2000], exponent[2000], want[2000], y[2000];
        int n = 0;
        for (int b = -100; b <= 100; b++) {
            double power = 1;
            for (int e = 0; e < 60 && fabs(power) <= (type == TG_F32 ? 0x1p24 : 0x1p53) && n < COUNT(y); e++, power *= b)
                base[n] = b, exponent[n] = e, want[n++] = power;
        }
        cr_assert(n > 1000);
        read_powers(type, n, base, exponent, y);
        for (int i = 0; i < n; i++)
            cr_expect(y[i] == want[i], "%g to the power %g%s is %a, not %a", base[i], exponent[i],
                      type == TG_F32 ? " in f32" : "", y[i], want[i]);
    }
}

/* Whether the exponent is one number or one for each element, and as a scalar. */
Test(maps, squares_are_the_same_as_powers)
{
    enum { N = 3001 };
    for (tg_type type = TG_F64; type <= TG_F32; type++) {
        tg_tape *const t = tg_tape_new(&(const tg_tape_options){ .type = type });
        double base[N], two[N], y[3][N], dx[3][N];
        for (int i = 0; i < N; i++) base[i] = ldexp(1 + i / 7000.0, i % 240 - 120) * (i % 2 ? -1 : 1), two[i] = 2;
        base[0] = 0, base[1] = -INFINITY, base[2] = NAN;
        for (int k = 0; k < 3; k++) {
            const tg_value x = tg_param(t, base, N);
            const tg_value p = k == 0 ? tg_square(x) : k == 1 ? tg_pow(x, 2) : tg_pow(x, tg_input(t, two, N));
            cr_assert(tg_read(p, y[k], N) && tg_backward(tg_sum(p)) && tg_grad_read(x, dx[k], N));
        }
        for (int k = 1; k < 3; k++)
            for (int i = 0; i < N; i++)
                cr_expect(distance(y[k][i], y[0][i], 0, TG_F64) == 0 && distance(dx[k][i], dx[0][i], 0, TG_F64) == 0,
                          "%a: %a, not %a; gradient %a, not %a", base[i], y[k][i], y[0][i], dx[k][i], dx[0][i]);
        for (int i = 3; i < 100; i++) {
            const tg_value x = tg_param(t, &base[i]), p = tg_pow(x, 2);
            cr_assert(tg_backward(p));
            cr_expect(tg_item(p) == y[0][i] && tg_grad_item(x) == dx[0][i], "%a: %a, %a", base[i], tg_item(p),
                      tg_grad_item(x));
        }
        tg_tape_free(t);
    }
}
