/* Formulas in C: those of the op table's rows, and, for functions that the table takes from the
   kernels, formulas of the same kind. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program/emit.h"

typedef struct names {
    const char *op, *text;
} names;

/* In libm, by these names. */
static const names libm[] = {
    { "fma", "fma" },       { "sqrt", "sqrt" },   { "abs", "fabs" },     { "pow", "pow" },
    { "exp", "exp" },       { "expm1", "expm1" }, { "exp2", "exp2" },    { "log", "log" },
    { "log1p", "log1p" },   { "log2", "log2" },   { "log10", "log10" },  { "hypot", "hypot" },
    { "sin", "sin" },       { "cos", "cos" },     { "tan", "tan" },      { "asin", "asin" },
    { "acos", "acos" },     { "atan", "atan" },   { "atan2", "atan2" },  { "sinh", "sinh" },
    { "cosh", "cosh" },     { "tanh", "tanh" },   { "asinh", "asinh" },  { "acosh", "acosh" },
    { "atanh", "atanh" },   { "erf", "erf" },     { "erfc", "erfc" },    { "lgamma", "lgamma" },
    { "floor", "floor" },   { "ceil", "ceil" },   { "round", "rint" },   { "trunc", "trunc" },
    { "fmod", "fmod" },     { "copysign", "copysign" },
};

/* Whose rows say no more than their names. Corners: docs/ops.md. */
static const names formulas[] = {
    { "sign", "where(x > 0, 1, where(x < 0, -1, where(x == x, 0, x)))" },
    { "logaddexp", "where(a == b, a + 0.69314718055994530942, "
                   "maximum(a, b) + log1p(exp(-abs(a - b))))" },
    { "xlogy", "where(a == 0, where(b == b, 0, b), a * log(b))" },
    { "remainder", "where(fmod(a, b) == 0, copysign(0, b), "
                   "where((fmod(a, b) < 0) != (b < 0), fmod(a, b) + b, fmod(a, b)))" },
    { "sigmoid", "where(x < 0, exp(x) / (1 + exp(x)), 1 / (1 + exp(-x)))" },
    { "softplus", "maximum(x, 0) + log1p(exp(-abs(x)))" },
    { "logit", "log(x) - log1p(-x)" },
    { "softsign", "where(abs(x) > 1e30, copysign(1, x), x / (1 + abs(x)))" },
    { "silu", "maximum(x, -1000) * sigmoid(x)" },
    { "mish", "maximum(x, -1000) * tanh(softplus(x))" },
    { "gelu", "0.5 * maximum(x, -100) * erfc(-0.70710678118654752440 * x)" },
    { "gelu_tanh", "maximum(x, -100) * "
                   "sigmoid(x * (1.5957691216057307118 + 0.071354816272600248776 * x * x))" },
    { "celu", "where(a > 0, a, b * expm1(a / b))" },
    { "div_b", "-c / b" },
    { "pow_a", "where(b == 0, 0, b * pow(a, b - 1))" },
    { "pow_b", "where(a == 0, where(b < 0, -1 / abs(a), 0), times(pow(a, b), log(a)))" },
    { "exp2_x", "b * 0.69314718055994530942" },
    { "logaddexp_a", "where(a == b, where(a > 0, 0.5, where(a - a == 0, 0.5, 0)), sigmoid(a - b))" },
    { "xdivy", "where(a == 0, where(b == b, 0, b), a / b)" },
    { "hypot_a", "where(a == 0, where(b == b, 0, b), a / hypot(a, b))" },
    { "atan2_a", "where(b == 0, where(a == a, 0, a), b / hypot(a, b) / hypot(a, b))" },
    { "exp_times", "b * exp(a)" },
    { "sigmoid_by_value", "where(b < 0.85, b * (1 - b), sigmoid_x(a))" },
    { "tanh_by_value", "where(abs(b) < 0.866, 1 - b * b, 4 * sigmoid_x(2 * a))" },
    { "gaussian", "exp(-x * x)" },
    { "normal_pdf", "0.39894228040143267794 * exp(-0.5 * x * x)" },
    { "sigmoid_x", "sigmoid(x) * sigmoid(-x)" },
    { "silu_x", "sigmoid(x) + times(sigmoid_x(x), x)" },
    { "mish_x", "tanh(softplus(x)) + times(4 * sigmoid_x(2 * softplus(x)) * sigmoid(x), x)" },
    { "gelu_x", "0.5 * erfc(-0.70710678118654752440 * x) + times(normal_pdf(x), x)" },
    { "gelu_tanh_x",
      "sigmoid(x * (1.5957691216057307118 + 0.071354816272600248776 * x * x)) + "
      "times(sigmoid_x(x * (1.5957691216057307118 + 0.071354816272600248776 * x * x)), "
      "x * (1.5957691216057307118 + 0.21406444881780074633 * x * x))" },
    { "celu_a", "where(a > 0, 1, exp(a / b))" },
    { "celu_b", "where(a > 0, 0, exp(a / b) * (1 - a / b) - 1)" },
};

static const char *text_of(const names *list, size_t n, const char *name, size_t length)
{
    for (size_t i = 0; i < n; i++)
        if (strlen(list[i].op) == length && memcmp(list[i].op, name, length) == 0)
            return list[i].text;
    return NULL;
}
#define TEXT_OF(LIST, NAME, LENGTH) text_of(LIST, sizeof LIST / sizeof *LIST, NAME, LENGTH)

/* ---- numbers ----------------------------------------------------------------------------------- */

void tg__emit_number(tg__emitter *e, double x)
{
    const bool single = e->g->type == TG_F32;
    if (isnan(x)) tg__write(e, single ? "NAN" : "(double)NAN");
    else if (isinf(x)) tg__write(e, "%s%sINFINITY", x < 0 ? "-" : "", single ? "" : "(double)");
    else {
        char text[40];
        for (int digits = 1; digits <= 17; digits++) { /* as few as give the same number back */
            snprintf(text, sizeof text, "%.*g", digits, x);
            if (single ? strtof(text, NULL) == (float)x : strtod(text, NULL) == x) break;
        }
        const bool whole = !strpbrk(text, ".e");
        tg__write(e, "%s%s%s", text, whole ? ".0" : "", e->suffix);
    }
}

/* ---- formulas ---------------------------------------------------------------------------------- */

static size_t word(const char *s, const char *end)
{
    size_t n = 0;
    while (s + n < end && (isalnum((unsigned char)s[n]) || s[n] == '_')) n++;
    return n;
}

/* The length of a number, with its point and exponent. */
static size_t number(const char *s, const char *end)
{
    size_t n = 0;
    while (s + n < end && (isalnum((unsigned char)s[n]) || s[n] == '.')) n++;
    return n;
}

/* Where the argument that begins at s ends: its comma or parenthesis. */
static const char *argument(const char *s)
{
    for (int depth = 0; *s; s++) {
        if (depth == 0 && (*s == ',' || *s == ')')) return s;
        if (*s == '(') depth++;
        if (*s == ')') depth--;
    }
    return s;
}

/* Of all rows: some have no public function. */
static int op_named(const char *name, size_t length)
{
    for (int code = tg__op_count; --code > 0;)
        if (strlen(tg__ops[code]->name) == length && memcmp(tg__ops[code]->name, name, length) == 0)
            return code;
    return 0;
}

static void write_word(tg__emitter *e, const char *s, size_t n)
{
    const char *const known = TEXT_OF(libm, s, n);
    if (known) tg__write(e, "%s%s", known, e->suffix);
    else if (n > 1) tg__write(e, "%s_%.*s", e->all->name, (int)n, s);
    else tg__write(e, "%c", *s);
}

static void write_formula(tg__emitter *e, const char *s, const char *end);

/* where(condition, yes, no), from behind its parenthesis; returns what follows it. */
static const char *write_choice(tg__emitter *e, const char *s)
{
    static const char *const between[] = { " ? ", " : ", "" };
    for (int i = 0; i < 3; i++) {
        const char *const end = argument(s);
        while (*s == ' ') s++;
        write_formula(e, s, end);
        tg__write(e, "%s", between[i]);
        s = end + 1;
    }
    return s;
}

/* What follows n arguments and their parenthesis. */
static const char *skip(const char *s, int n)
{
    while (n-- > 0) s = argument(s) + 1;
    return s;
}

static void write_formula(tg__emitter *e, const char *s, const char *end)
{
    const char *const begin = s;
    while (s < end) {
        if (isdigit((unsigned char)*s)) {
            const size_t n = number(s, end);
            const bool point = memchr(s, '.', n) || memchr(s, 'e', n);
            tg__write(e, "%.*s%s", (int)n, s, point ? e->suffix : "");
            s += n;
        } else if (isalpha((unsigned char)*s)) {
            const size_t n = word(s, end);
            if (n == 5 && memcmp(s, "where", 5) == 0) {
                const bool whole = s == begin && *skip(s + 6, 3) == 0;
                tg__write(e, "%s", whole ? "" : "(");
                s = write_choice(e, s + 6);
                tg__write(e, "%s", whole ? "" : ")");
                continue;
            }
            write_word(e, s, n);
            s += n;
        } else {
            tg__write(e, "%c", *s++);
        }
    }
}

/* ---- functions --------------------------------------------------------------------------------- */

static void define(tg__emitter *e, int code);

/* The functions that a formula calls come before it. */
static void define_words(tg__emitter *e, const char *s)
{
    const char *const end = s + strlen(s);
    while (s < end) {
        const size_t n = isalpha((unsigned char)*s) ? word(s, end) : 0;
        if (n > 1 && s[n] == '(' && !TEXT_OF(libm, s, n) && strncmp(s, "where", 5) != 0) {
            const int code = op_named(s, n);
            if (code) define(e, code);
        }
        s += n ? n : 1;
    }
}

static void define(tg__emitter *e, int code)
{
    const tg__op *const op = tg__ops[code];
    if (e->all->helper[code]) return;
    e->all->helper[code] = true;
    if (tg__emit_part(e, op->name)) return;
    const size_t length = strlen(op->name);
    const char *formula = TEXT_OF(formulas, op->name, length);
    const char *const own = formula ? "" : op->value;
    const bool empty = strncmp(own, op->name, length) == 0 && own[length] == '(';
    if (empty && strcmp(op->name, "where") != 0) { /* which is not called, but written */
        tg__graph_fail(e->g, TG_ERROR_ARGUMENT, "%s: there is no C for it", op->name);
        return;
    }
    if (!formula) formula = op->value;
    define_words(e, formula);
    const int n = tg__operands(op->letters);
    tg__arena *const to = e->to;
    e->to = &e->all->text;
    tg__write(e, "/* %s */\nstatic %s %s_%s(", op->doc, e->real, e->all->name, op->name);
    for (int i = 0; i < n; i++) tg__write(e, "%s%s %c", i ? ", " : "", e->real, n == 1 ? 'x' : "abc"[i]);
    tg__write(e, ")\n{\n");
    for (int i = 0; n > 1 && i < n; i++) /* what a formula leaves out */
        if (!strchr(formula, "abc"[i])) tg__write(e, "    (void)%c;\n", "abc"[i]);
    tg__write(e, "    return ");
    write_formula(e, formula, formula + strlen(formula));
    tg__write(e, ";\n}\n\n");
    e->to = to;
}

void tg__emit_function(tg__emitter *e, int code)
{
    const char *const name = tg__ops[code]->name;
    if (!TEXT_OF(libm, name, strlen(name))) define(e, code);
    write_word(e, name, strlen(name));
}
