/* Exact functions: see reference.h. */
#include "reference.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gamma.h"

/* ---- the table ------------------------------------------------------------------------------- */

#define NORMAL "erfc(-x / sqrt(2)) / 2"
#define E_OF_X "e = exp(-abs(x))"
#define SELU_A "1.0507009873554804934193349852946"
#define SELU_B "1.6732632423543772848170429916717"

static const double logit_points[] = { 0.5, 0.25, 0.75, 0 };
static const double silu_points[] = { -1.2784645427610738, -1.63, -0.93, 0 };
static const double mish_points[] = { -1.1924312145154952,
                                      -1.7924312145154952,
                                      -0.5924312145154952,
                                      -0.5917717393505312,
                                      -1.8524312145154952,
                                      -0.5324312145154952,
                                      0 };
static const double gelu_points[] = { -0.75179152469356446, -0.70710678118654752, -37.5, -38.5, 0 };
static const double gelu_tanh_points[] = { -0.75246142207101625, -1.0024614220710163,
                                           -0.50246142207101625, -21.5, 0 };
static const double erfc_points[] = { 0.5, 26.5, 27.2, -0.5, 5.9, 0 };
static const double gamma_points[] = {
    1.4616321449683623, 1.493351756576021, 0.7, 1.25, 1.7, 1.75, 3, 4, 8, -0.3,
    -2.4570, -2.7476, -0.5040830, -1.5734984, -2.6107, -0.49571569492422346, -67.499999854669781, -3015322686612386.5,
    2.5e305, 2.56e305, 0
};

static const reference references[] = {
    { "add", "a + b", { "1", "1" } },
    { "sub", "a - b", { "1", "-1" } },
    { "mul", "a * b", { "b", "a" } },
    { "div", "a / b", { "1 / b", "-a / b / b" } },
    { "fma", "a * b + c", { "b", "a", "1" } },
    { "neg", "-x", { "-1" } },
    { "reciprocal", "1 / x", { "-1 / x / x" } },
    { "square", "x * x", { "2 * x" } },
    { "sqrt", "sqrt(x)", { "0.5 / sqrt(x)" } },
    { "rsqrt", "1 / sqrt(x)", { "-0.5 / sqrt(x) / x" } },
    { "abs", "abs(x)", { "sign(x)" } },
    { "sign", "sign(x)", { "0" } },
    { "pow",
      "pow(a, b)",
      { "where(b == 0, 0, where(a == 0, b * pow(a, b - 1), b * pow(a, b) / a))",
        "where(a == 0, where(b < 0, -inf, 0), pow(a, b) * log(a))" } },
    { "remainder", "remainder(a, b)", { "1", "where(b == 0, nan, -floor(a / b))" } },
    { "copysign", "copysign(a, b)", { "sign(a) * copysign(1, b)", "0" } },
    { "exp", "exp(x)", { "exp(x)" } },
    { "expm1", "expm1(x)", { "exp(x)" } },
    { "exp2", "exp2(x)", { "exp2(x) * ln2" } },
    { "log", "log(x)", { "where(x < 0, nan, 1 / x)" } },
    { "log1p", "log1p(x)", { "where(x < -1, nan, 1 / (1 + x))" } },
    { "log2", "log(x) / ln2", { "where(x < 0, nan, 1 / (x * ln2))" } },
    { "log10", "log(x) / log(10)", { "where(x < 0, nan, 1 / (x * log(10)))" } },
    { "logaddexp",
      "max(a, b) + log1p(exp(-abs(a - b)))",
      { "1 / (1 + exp(b - a))", "1 / (1 + exp(a - b))" },
      .scale = "max(1, max(abs(a), abs(b)))" },
    { "xlogy",
      "where(a == 0, 0, a * log(b))",
      { "where(b == 0, where(a == 0, 0, -inf), log(b))", "where(a == 0, 0, a / b)" } },
    { "hypot",
      "sqrt(a * a + b * b)",
      { "where(a == 0, 0, a / sqrt(a * a + b * b))",
        "where(b == 0, 0, b / sqrt(a * a + b * b))" } },
    { "sin", "sin(x)", { "cos(x)" } },
    { "cos", "cos(x)", { "-sin(x)" } },
    { "tan", "tan(x)", { "1 / square(cos(x))" } },
    { "asin", "asin(x)", { "1 / sqrt((1 - x) * (1 + x))" } },
    { "acos", "acos(x)", { "-1 / sqrt((1 - x) * (1 + x))" } },
    { "atan", "atan(x)", { "1 / (1 + x * x)" } },
    { "atan2",
      "atan2(a, b)",
      { "where(a * a + b * b == 0, 0, b / (a * a + b * b))",
        "where(a * a + b * b == 0, 0, -a / (a * a + b * b))" } },
    { "sinh", "sinh(x)", { "cosh(x)" } },
    { "cosh", "cosh(x)", { "sinh(x)" } },
    { "tanh", "tanh(x)", { "1 / square(cosh(x))" } },
    { "asinh", "asinh(x)", { "1 / sqrt(1 + x * x)" } },
    { "acosh", "acosh(x)", { "where(x < 1, nan, 1 / sqrt((x - 1) * (x + 1)))" } },
    { "atanh", "atanh(x)", { "where(abs(x) > 1, nan, 1 / ((1 - x) * (1 + x)))" } },
    { "erf", "erf(x)", { "2 / sqrt(pi) * exp(-x * x)" } },
    { "erfc", "erfc(x)", { "-2 / sqrt(pi) * exp(-x * x)" }, .points = erfc_points },
    { "sigmoid", "1 / (1 + exp(-x))", { "e / square(1 + e)" }, .let = { E_OF_X } },
    { "log_sigmoid", "min(x, 0) - log1p(exp(-abs(x)))", { "1 / (1 + exp(x))" } },
    { "logit",
      "log(x / (1 - x))",
      { "where(x < 0, nan, where(x > 1, nan, 1 / (x * (1 - x))))" },
      .points = logit_points },
    { "softplus", "max(x, 0) + log1p(exp(-abs(x)))", { "1 / (1 + exp(-x))" } },
    { "lgamma",
      "lgamma(x)",
      { "digamma(x)" },
      .scale = "where(x < 0, max(1, abs(x)), 0)",
      .points = gamma_points },
    { "digamma",
      "digamma(x)",
      { "polygamma(1, x)" },
      .scale = "where(x < 0, max(1, abs(x)), 0)",
      .points = gamma_points },
    { "polygamma",
      "polygamma(a, b)",
      { "0", "polygamma(a + 1, b)" },
      .scale = "where(a == 0, where(b < 0, max(1, abs(b)), 0), 0)",
      .points = gamma_points },
    { "floor", "floor(x)", { "0" } },
    { "ceil", "-floor(-x)", { "0" } },
    { "round", "round(x)", { "0" } },
    { "trunc", "sign(x) * floor(abs(x))", { "0" } },
    { "eq", "a == b", { "0", "0" } },
    { "ne", "a != b", { "0", "0" } },
    { "lt", "a < b", { "0", "0" } },
    { "le", "a <= b", { "0", "0" } },
    { "gt", "a > b", { "0", "0" } },
    { "ge", "a >= b", { "0", "0" } },
    { "isnan", "0", { "0" } },
    { "isfinite", "1", { "0" } },
    { "maximum",
      "max(a, b)",
      { "where(a > b, 1, where(a == b, 0.5, 0))", "where(b > a, 1, where(a == b, 0.5, 0))" } },
    { "minimum",
      "min(a, b)",
      { "where(a < b, 1, where(a == b, 0.5, 0))", "where(b < a, 1, where(a == b, 0.5, 0))" } },
    { "clamp",
      "min(max(a, b), c)",
      { "where(a < b, 0, a <= c)", "where(a < b, b < c, 0)", "where(a < b, b >= c, a > c)" } },
    { "where", "where(a != 0, b, c)", { "0", "a != 0", "a == 0" } },
    { "masked_fill", "where(b != 0, c, a)", { "b == 0", "0", "b != 0" } },
    { "relu", "max(x, 0)", { "x > 0" } },
    { "leaky_relu", "where(a > 0, a, a * b)", { "where(a > 0, 1, b)", "min(a, 0)" } },
    { "elu",
      "where(a > 0, a, b * expm1(a))",
      { "where(a > 0, 1, b * exp(a))", "where(a > 0, 0, expm1(a))" } },
    { "celu",
      "where(a > 0, a, b * expm1(a / b))",
      { "where(a > 0, 1, exp(a / b))", "where(a > 0, 0, expm1(a / b) - exp(a / b) * (a / b))" },
      .domain = "b > 0" },
    { "selu",
      SELU_A " * where(x > 0, x, " SELU_B " * expm1(x))",
      { SELU_A " * where(x < 0, " SELU_B " * exp(x), 1)" } },
    { "relu6", "min(max(x, 0), 6)", { "where(x > 0, x < 6, 0)" } },
    { "hardtanh", "min(max(x, -1), 1)", { "abs(x) < 1" } },
    { "hardsigmoid", "min(max(x + 3, 0), 6) / 6", { "where(abs(x) < 3, 1 / 6, 0)" } },
    { "hardswish",
      "x * min(max(x + 3, 0), 6) / 6",
      { "where(abs(x) < 3, (2 * x + 3) / 6, x > 0)" } },
    { "softsign", "x / (1 + abs(x))", { "1 / square(1 + abs(x))" } },
    { "silu",
      "x * where(x < 0, e, 1) / (1 + e)",
      { "where(x < 0, e * (1 + x + e), 1 + e + x * e) / square(1 + e)" },
      .let = { E_OF_X },
      .points = silu_points },
    { "mish",
      "x * where(x < 0, (e * e + 2 * e) / (e * e + 2 * e + 2), (1 + 2 * e) / (1 + 2 * e + 2 * e * "
      "e))",
      { "where(x < 0, e * (e * e * e + 4 * e * e + 6 * e + 4 + 4 * x * (e + 1)) / square(e * e + 2 "
        "* e + 2), "
        "(1 + 4 * e + 6 * e * e + 4 * e * e * e + 4 * x * e * e * (1 + e)) / square(1 + 2 * e + 2 "
        "* e * e))" },
      .let = { E_OF_X },
      .points = mish_points },
    { "gelu",
      "x * " NORMAL,
      { NORMAL " + x * exp(-x * x / 2) / sqrt(2 * pi)" },
      .points = gelu_points },
    { "gelu_tanh",
      "x * where(x < 0, e, 1) / (1 + e)",
      { "where(x < 0, e * (1 + e + x * s), 1 + e + x * s * e) / square(1 + e)" },
      .let = { "e = exp(-abs(sqrt(8 / pi) * (x + 0.044715 * x * x * x)))",
               "s = sqrt(8 / pi) * (1 + 0.134145 * x * x)" },
      .points = gelu_tanh_points },
};

const reference *find_reference(const char *op)
{
    for (size_t i = 0; i < sizeof references / sizeof *references; i++)
        if (strcmp(references[i].op, op) == 0) return &references[i];
    return NULL;
}

/* ---- formulas -------------------------------------------------------------------------------- */

#define FUNCTIONS(F)                                                                               \
    F(add)                                                                                         \
    F(sub) F(mul) F(div) F(neg) F(sqrt) F(square) F(abs) F(sign) F(pow) F(remainder) F(copysign)   \
        F(exp) F(expm1) F(exp2) F(log) F(log1p) F(sin) F(cos) F(tan) F(asin) F(acos) F(atan)       \
            F(atan2) F(sinh) F(cosh) F(tanh) F(asinh) F(acosh) F(atanh) F(erf) F(erfc) F(lgamma)   \
                F(digamma) F(polygamma) F(floor) F(round) F(max) F(min) F(eq) F(ne) F(lt) F(le)    \
                    F(gt) F(ge) F(where)
#define NUMBER_OF(NAME) F_##NAME,
#define NAME_OF(NAME) #NAME,
enum { FUNCTIONS(NUMBER_OF) N_FUNCTIONS };
static const char *const function_names[] = { FUNCTIONS(NAME_OF) };

typedef struct text {
    tg__expression e;
    tg__step step[MOST_STEPS];
    int function[MOST_STEPS]; /* of calls; of names: the variable */
} text;

/* Variables: x or a, b, c, then the lets, then the constants. */
enum { LETS = 3, PI = 5, LN2, INF, NOT_A_NUMBER, VARIABLES };

struct formula {
    text main, let[2];
    int lets;
    mpfr_t stack[MOST_STEPS], variable[VARIABLES], last;
    long double near[MOST_STEPS], error[MOST_STEPS], near_let[2], error_let[2];
};

static _Noreturn void die(const char *words, const char *what)
{
    fprintf(stderr, "accuracy: %s: %s\n", words, what);
    exit(2);
}

static int find(const tg__step *s, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (strlen(names[i]) == s->length && memcmp(names[i], s->text, s->length) == 0) return i;
    return -1;
}

static void read_text(text *t, const char *words)
{
    static const char *const unary[] = { "x", "b", "c", "e", "s", "pi", "ln2", "inf", "nan" };
    t->e = (tg__expression){ .text = words, .step = t->step, .room = MOST_STEPS };
    if (!tg__expression_read(&t->e)) die(words, t->e.message);
    for (int i = 0; i < t->e.steps; i++) {
        const tg__step *s = &t->step[i];
        const bool a = s->kind == TG__STEP_NAME && s->length == 1 && *s->text == 'a';
        t->function[i] = s->kind == TG__STEP_CALL   ? find(s, function_names, N_FUNCTIONS)
                         : s->kind == TG__STEP_NAME ? (a ? 0 : find(s, unary, VARIABLES))
                                                    : 0;
        if (t->function[i] < 0) die(words, "an unknown name");
    }
}

formula *formula_new(const reference *r, const char *main)
{
    formula *const f = calloc(1, sizeof *f);
    if (!f) die(main, "no memory");
    for (; f->lets < 2 && r->let[f->lets]; f->lets++)
        read_text(&f->let[f->lets], r->let[f->lets] + 4); /* behind "e = " */
    read_text(&f->main, main);
    for (int i = 0; i < MOST_STEPS; i++) mpfr_init2(f->stack[i], 64);
    for (int i = 0; i < VARIABLES; i++) mpfr_init2(f->variable[i], 64);
    mpfr_init2(f->last, 64);
    return f;
}

void formula_free(formula *f)
{
    for (int i = 0; i < MOST_STEPS; i++) mpfr_clear(f->stack[i]);
    for (int i = 0; i < VARIABLES; i++) mpfr_clear(f->variable[i]);
    mpfr_clear(f->last);
    free(f);
}

/* ---- multiple precision ---------------------------------------------------------------------- */

static void remainder_exact(mpfr_t y, const mpfr_t a, const mpfr_t b)
{
    mpfr_fmod(y, a, b, MPFR_RNDN);
    if (mpfr_nan_p(y)) return;
    if (mpfr_zero_p(y)) mpfr_copysign(y, y, b, MPFR_RNDN);
    else if (mpfr_signbit(y) != mpfr_signbit(b)) mpfr_add(y, y, b, MPFR_RNDN);
}

/* The stack's top n numbers become the result of a function. p is the first of them. */
static void call_exact(int function, mpfr_t *p)
{
    int sign;
#define R MPFR_RNDN
#define ONE(NAME, CALL)                                                                            \
    case F_##NAME:                                                                                 \
        CALL(*p, *p, R);                                                                           \
        break;
#define TWO(NAME, CALL)                                                                            \
    case F_##NAME:                                                                                 \
        CALL(*p, p[0], p[1], R);                                                                   \
        break;
#define TEST(NAME, CONDITION)                                                                      \
    case F_##NAME: mpfr_set_si(*p, CONDITION, R); break;
    switch (function) {
        TWO(add, mpfr_add)
        TWO(sub, mpfr_sub) TWO(mul, mpfr_mul) TWO(div, mpfr_div) TWO(pow, mpfr_pow) TWO(
            copysign, mpfr_copysign) TWO(atan2, mpfr_atan2) TWO(max, mpfr_max) TWO(min, mpfr_min)
            ONE(neg, mpfr_neg) ONE(sqrt, mpfr_sqrt) ONE(square, mpfr_sqr) ONE(abs, mpfr_abs) ONE(
                exp, mpfr_exp) ONE(expm1, mpfr_expm1) ONE(exp2, mpfr_exp2) ONE(log, mpfr_log)
                ONE(log1p, mpfr_log1p) ONE(sin, mpfr_sin) ONE(cos, mpfr_cos) ONE(tan, mpfr_tan) ONE(
                    asin, mpfr_asin) ONE(acos, mpfr_acos) ONE(atan, mpfr_atan) ONE(sinh, mpfr_sinh)
                    ONE(cosh, mpfr_cosh) ONE(tanh, mpfr_tanh) ONE(asinh, mpfr_asinh)
                        ONE(acosh, mpfr_acosh) ONE(atanh, mpfr_atanh) ONE(erf, mpfr_erf)
                            ONE(erfc, mpfr_erfc) ONE(digamma, mpfr_digamma) TEST(sign, 0) TEST(
                                eq, mpfr_equal_p(p[0], p[1])) TEST(ne, !mpfr_equal_p(p[0], p[1]))
                                TEST(lt, mpfr_less_p(p[0], p[1]))
                                    TEST(le, mpfr_lessequal_p(p[0], p[1]))
                                        TEST(gt, mpfr_greater_p(p[0], p[1]))
                                            TEST(ge, mpfr_greaterequal_p(p[0], p[1])) case F_floor
            : mpfr_floor(*p, *p);
        break;
    case F_round: mpfr_rint(*p, *p, R); break;
    case F_lgamma: mpfr_lgamma(*p, &sign, *p, R); break;
    case F_remainder:
        remainder_exact(p[2], p[0], p[1]);
        mpfr_swap(p[0], p[2]);
        break;
    case F_polygamma:
        polygamma_exact(p[2], (unsigned)mpfr_get_ui(p[0], MPFR_RNDN), p[1]);
        mpfr_swap(p[0], p[2]);
        break;
    case F_where: mpfr_swap(p[0], mpfr_zero_p(p[0]) ? p[2] : p[1]); break;
    }
#undef R
}

/* A number as it is written: a sign before it has become part of it. */
static void number_exact(const text *t, const tg__step *s, mpfr_t y)
{
    mpfr_strtofr(y, t->e.text + s->at + strspn(t->e.text + s->at, "-+ "), NULL, 10, MPFR_RNDN);
    if (signbit(s->number)) mpfr_neg(y, y, MPFR_RNDN);
}

/* Leaves the result in stack[0]. */
static void run_exact(formula *f, text *t)
{
    int top = 0;
    for (int i = 0; i < t->e.steps; i++) {
        const tg__step *s = &t->step[i];
        top -= s->operands;
        mpfr_t *const p = &f->stack[top++];
        if (s->kind == TG__STEP_NUMBER) number_exact(t, s, *p);
        else if (s->kind == TG__STEP_NAME) mpfr_set(*p, f->variable[t->function[i]], MPFR_RNDN);
        else if (t->function[i] == F_sign) mpfr_set_si(*p, mpfr_sgn(*p), MPFR_RNDN);
        else call_exact(t->function[i], p);
    }
}

static void run_all(formula *f, const double *x, mpfr_prec_t bits)
{
    for (int i = 0; i < MOST_STEPS; i++) mpfr_set_prec(f->stack[i], bits);
    for (int i = 0; i < VARIABLES; i++) mpfr_set_prec(f->variable[i], bits);
    for (int i = 0; i < LETS; i++) mpfr_set_d(f->variable[i], x[i], MPFR_RNDN);
    mpfr_const_pi(f->variable[PI], MPFR_RNDN);
    mpfr_const_log2(f->variable[LN2], MPFR_RNDN);
    mpfr_set_inf(f->variable[INF], 1);
    mpfr_set_nan(f->variable[NOT_A_NUMBER]);
    for (int i = 0; i < f->lets; i++) {
        run_exact(f, &f->let[i]);
        mpfr_swap(f->variable[LETS + i], f->stack[0]);
    }
    run_exact(f, &f->main);
}

/* Whether the results of two precisions are the same within 2^-70. */
static bool settled(const mpfr_t a, const mpfr_t b)
{
    if (mpfr_nan_p(a) || mpfr_nan_p(b)) return mpfr_nan_p(a) && mpfr_nan_p(b);
    if (mpfr_equal_p(a, b)) return true;
    if (!mpfr_number_p(a) || !mpfr_number_p(b)) return false;
    mpfr_t d;
    mpfr_init2(d, 64);
    mpfr_sub(d, a, b, MPFR_RNDN);
    const bool near = mpfr_zero_p(d) || mpfr_get_exp(d) < -1100 ||
                      (!mpfr_zero_p(b) && mpfr_get_exp(d) < mpfr_get_exp(b) - 70);
    mpfr_clear(d);
    return near;
}

void formula_exact(formula *f, const double *x, mpfr_t y)
{
    mpfr_prec_t bits = 160;
    run_all(f, x, bits);
    do {
        mpfr_set_prec(f->last, bits);
        mpfr_swap(f->last, f->stack[0]);
        bits = bits * 7 / 4;
        run_all(f, x, bits);
    } while (bits < 8000 &&
             (!settled(f->last, f->stack[0]) ||
              (mpfr_zero_p(f->stack[0]) && bits < 2500))); /* all digits may have cancelled */
    mpfr_set(y, f->stack[0], MPFR_RNDN);
}

/* ---- long double ----------------------------------------------------------------------------- */

/* A function's result, of operands with errors e0 and e1; the slope bounds what e0 does. */
static void give(long double *y, long double *e, long double value, long double slope,
                 long double own)
{
    const long double carried = *e == 0 ? 0 : slope * *e;
    *y = value;
    *e = isfinite(value) ? carried + own * EPSILON * fabsl(value) : 0;
}

/* One line a function. */
static void call_near(int function, long double *p, long double *e)
{
    const long double x = *p, a = p[0], b = p[1];
    switch (function) {
    case F_add:
        *e += e[1];
        give(p, e, a + b, 1, 1);
        break;
    case F_sub:
        *e += e[1];
        give(p, e, a - b, 1, 1);
        break;
    case F_mul:
        *e = *e * fabsl(b) + e[1] * (fabsl(a) + *e);
        give(p, e, a * b, 1, 1);
        break;
    case F_div:
        *e = (*e + fabsl(a / b) * e[1]) / (fabsl(b) - e[1]);
        if (fabsl(b) <= e[1] && e[1] > 0) *e = INFINITY;
        give(p, e, a / b, 1, 1);
        break;
    case F_neg: *p = -x; break;
    case F_abs: *p = fabsl(x); break;
    case F_square: give(p, e, x * x, 2 * fabsl(x) + *e, 1); break;
    case F_sqrt: give(p, e, sqrtl(x), 1 / sqrtl(x), 1); break;
    case F_exp: give(p, e, expl(x), 1.01L * expl(x), 2); break;
    case F_exp2: give(p, e, exp2l(x), exp2l(x), 2); break;
    case F_expm1: give(p, e, expm1l(x), 1.01L * (expm1l(x) + 1), 4); break;
    case F_log: give(p, e, logl(x), 1.01L / fabsl(x), 2); break;
    case F_log1p: give(p, e, log1pl(x), 1.01L / fabsl(1 + x), 4); break;
    case F_sin: give(p, e, sinl(x), 1, 4); break;
    case F_cos: give(p, e, cosl(x), 1, 4); break;
    case F_tan: give(p, e, tanl(x), INFINITY, 4); break;
    case F_asin: give(p, e, asinl(x), INFINITY, 4); break;
    case F_acos: give(p, e, acosl(x), INFINITY, 4); break;
    case F_atan: give(p, e, atanl(x), 1, 4); break;
    case F_sinh: give(p, e, sinhl(x), INFINITY, 8); break;
    case F_cosh: give(p, e, coshl(x), INFINITY, 8); break;
    case F_tanh: give(p, e, tanhl(x), 1, 8); break;
    case F_asinh: give(p, e, asinhl(x), 1, 8); break;
    case F_acosh: give(p, e, acoshl(x), INFINITY, 8); break;
    case F_atanh: give(p, e, atanhl(x), INFINITY, 8); break;
    case F_erf: give(p, e, erfl(x), 1.2L, 8); break;
    case F_erfc: give(p, e, erfcl(x), (2 * fabsl(x) + 2) * erfcl(x) * 1.1L, 16); break;
    case F_pow:
        give(p, e, powl(a, b), INFINITY, 4);
        if (e[1] > 0) *e = INFINITY;
        break;
    case F_atan2: give(p, e, atan2l(a, b), INFINITY, 4); break;
    case F_copysign: *p = copysignl(a, b); break;
    case F_max:
        *p = a > b ? a : b;
        *e = fmaxl(*e, e[1]);
        break;
    case F_min:
        *p = a < b ? a : b;
        *e = fmaxl(*e, e[1]);
        break;
    case F_lgamma:
        *e = *e > 0 ? INFINITY : 0;
        *p = lgamma_near(x, e);
        break;
    case F_digamma:
        *e = *e > 0 ? INFINITY : 0;
        *p = digamma_near(x, e);
        break;
    case F_polygamma:
        *e = *e < 0.5L && e[1] == 0 ? 0 : INFINITY; /* the order is whole */
        *p = a < 0.5L ? digamma_near(b, e) : polygamma_near((unsigned)rintl(a), b, e);
        break;
    case F_sign: *p = x > 0 ? 1 : x < 0 ? -1 : 0; break;
    case F_eq: *p = a == b; break;
    case F_ne: *p = a != b; break;
    case F_lt: *p = a < b; break;
    case F_le: *p = a <= b; break;
    case F_gt: *p = a > b; break;
    case F_ge: *p = a >= b; break;
    case F_where:
        *p = a != 0 ? p[1] : p[2];
        *e = a != 0 ? e[1] : e[2];
        break;
    default: *p = NAN; break; /* remainder, floor, round */
    }
}

static void run_near(formula *f, const text *t, const double *x)
{
    int top = 0;
    for (int i = 0; i < t->e.steps; i++) {
        const tg__step *s = &t->step[i];
        const int k = t->function[i];
        top -= s->operands;
        long double *const p = &f->near[top], *const e = &f->error[top++];
        if (s->kind == TG__STEP_CALL) {
            call_near(k, p, e);
        } else if (s->kind == TG__STEP_NUMBER) {
            *p = copysignl(strtold(t->e.text + s->at + strspn(t->e.text + s->at, "-+ "), NULL),
                           (long double)s->number);
            *e = *p == rintl(*p) ? 0 : EPSILON * fabsl(*p);
        } else if (k < LETS) {
            *p = x[k], *e = 0;
        } else if (k < PI) {
            *p = f->near_let[k - LETS], *e = f->error_let[k - LETS];
        } else {
            static const long double constants[] = { 3.14159265358979323846264338327950288L,
                                                     0.693147180559945309417232121458176568L,
                                                     INFINITY, NAN };
            *p = constants[k - PI], *e = k < INF ? EPSILON * *p : 0;
        }
    }
}

long double formula_near(formula *f, const double *x, long double *bound)
{
    for (int i = 0; i < f->lets; i++) {
        run_near(f, &f->let[i], x);
        f->near_let[i] = f->near[0];
        f->error_let[i] = f->error[0];
    }
    run_near(f, &f->main, x);
    *bound = f->near[0] - f->near[0] == 0 && f->error[0] >= 0 ? f->error[0] : (long double)INFINITY;
    return f->near[0];
}
