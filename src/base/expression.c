/* The parser of infix expressions: recursive descent, one function for each line of the grammar in
   expression.h. */
#include "base/expression.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 200, LONGEST_NUMBER = 60 };

typedef struct parser {
    tg__expression *e;
    const char *p;
    int nesting;
    int stack; /* operands on it now */
} parser;

static bool expression(parser *r);
static bool unary(parser *r);

/* ---- small things ---------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static bool wrong(parser *r, const char *at,
                                                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->e->message, sizeof r->e->message, format, args);
    va_end(args);
    r->e->at = (size_t)(at - r->e->text);
    return false;
}

/* The letters of C, whatever the locale's are. */
static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_first(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static void skip_blanks(parser *r)
{
    while (is_blank(*r->p)) r->p++;
}

/* Takes the sign and the blanks behind it, if it is there. */
static bool take(parser *r, const char *sign)
{
    const size_t n = strlen(sign);
    if (strncmp(r->p, sign, n) != 0) return false;
    r->p += n;
    skip_blanks(r);
    return true;
}

static bool expect(parser *r, const char *sign, const char *where)
{
    if (take(r, sign)) return true;
    return *r->p ? wrong(r, r->p, "expected '%s' %s", sign, where)
                 : wrong(r, r->p, "the expression ends where '%s' is expected %s", sign, where);
}

static size_t identifier(const char *p)
{
    size_t n = 0;
    while (is_first(p[n]) || (n && is_digit(p[n]))) n++;
    return n;
}

static bool push(parser *r, const tg__step *step)
{
    tg__expression *const e = r->e;
    if (e->steps == e->room) return wrong(r, r->p, "the expression is too long");
    e->step[e->steps++] = *step;
    r->stack += 1 - step->operands;
    if (r->stack > e->depth) e->depth = r->stack;
    return true;
}

static bool push_call(parser *r, const char *at, const char *op, int operands)
{
    return push(r, &(tg__step){ .kind = TG__STEP_CALL,
                                .operands = operands,
                                .at = (size_t)(at - r->e->text),
                                .text = op,
                                .length = strlen(op) });
}

/* Something stands where a value has ended: what C or mathematics mean by it, or else expected. */
static bool no_operator(parser *r, const char *expected)
{
    static const struct {
        char sign;
        const char *message;
    } hints[] = {
        { ')', "')' closes nothing" },
        { ']', "']' closes nothing" },
        { ',', "a comma that separates nothing" },
        { '=', "'=' is no operator: '==' compares" },
        { '^', "'^' is no operator: '**' is the power" },
        { '%', "'%' is no operator: use remainder(a, b)" },
        { '&', "'&' is no operator: a product of comparisons holds where both do" },
        { '|', "'|' is no operator: maximum of comparisons holds where one does" },
    };
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
        if (*r->p == hints[i].sign) return wrong(r, r->p, "%s", hints[i].message);
    return wrong(r, r->p, "%s", expected);
}

/* ---- numbers and names ----------------------------------------------------------------------- */

/* Digits with a point or an exponent, whatever the locale's point is: strtod sees none of it. */
static bool number(parser *r)
{
    const char *const start = r->p;
    char text[LONGEST_NUMBER + 8];
    size_t digits = 0, n = 0;
    long exponent = 0;
    bool point = false;
    for (; is_digit(*r->p) || (*r->p == '.' && !point); r->p++) {
        if (*r->p == '.') {
            point = true;
            continue;
        }
        if (n == LONGEST_NUMBER) return wrong(r, start, "a number of too many digits");
        text[n++] = *r->p;
        digits++;
        exponent -= point;
    }
    if (!digits) return wrong(r, start, "expected a number, a name or '('");
    if (*r->p == 'e' || *r->p == 'E') {
        char *end;
        const char *const from = r->p + 1;
        if (!is_digit(from[*from == '-' || *from == '+']))
            return wrong(r, r->p, "an exponent without digits");
        const long given = strtol(from, &end, 10);
        exponent += given > 9999 ? 9999 : given < -9999 ? -9999 : given;
        r->p = end;
    }
    if (is_first(*r->p)) return wrong(r, r->p, "a number ends here, and a name follows it");
    snprintf(text + n, sizeof text - n, "e%ld", exponent);
    const tg__step step = { .kind = TG__STEP_NUMBER,
                            .at = (size_t)(start - r->e->text),
                            .text = start,
                            .length = (size_t)(r->p - start),
                            .number = strtod(text, NULL) };
    if (isinf(step.number)) return wrong(r, start, "a number too large for a double");
    skip_blanks(r);
    return push(r, &step);
}

/* One attribute's value: up to the next comma or bracket that is not inside brackets or quotation marks of its own. */
static bool attribute_value(parser *r)
{
    const char *const start = r->p;
    int depth = 0;
    for (; *r->p; r->p++) {
        if (*r->p == '\'' || *r->p == '"') {
            const char *const end = strchr(r->p + 1, *r->p);
            if (!end) return wrong(r, r->p, "the quotation mark is never closed");
            r->p = end;
        }
        if (*r->p == '(') depth++;
        if (depth == 0 && (*r->p == ',' || *r->p == ')')) break;
        if (*r->p == ')') depth--;
    }
    if (r->p == start) return wrong(r, start, "an attribute without a value");
    return true;
}

/* Whether "name =" comes next: an attribute, not an operand. */
static bool attribute_follows(const parser *r)
{
    const char *p = r->p + identifier(r->p);
    if (p == r->p) return false;
    while (is_blank(*p)) p++;
    return p[0] == '=' && p[1] != '=';
}

/* The operands and attributes of a call, behind its bracket. */
static bool arguments(parser *r, tg__step *call)
{
    while (!attribute_follows(r)) {
        if (*r->p == '.' && is_first(r->p[1]))
            return wrong(r, r->p, "attributes are written without a point, as in axis=1");
        if (!expression(r)) return false;
        call->operands++;
        if (take(r, ",")) continue;
        if (*r->p && *r->p != ')') return no_operator(r, "expected an operator, ',' or ')'");
        return expect(r, ")", "at the end of the operands");
    }
    call->attributes = r->p;
    do {
        if (!attribute_follows(r))
            return wrong(r, r->p, "operands come before attributes: name = value expected");
        r->p += identifier(r->p);
        skip_blanks(r);
        r->p++;
        skip_blanks(r);
        if (!attribute_value(r)) return false;
        call->attributes_length = (size_t)(r->p - call->attributes);
    } while (take(r, ","));
    return expect(r, ")", "at the end of the attributes");
}

static bool name(parser *r)
{
    tg__step step = { .kind = TG__STEP_NAME, .at = (size_t)(r->p - r->e->text), .text = r->p };
    r->p += identifier(r->p);
    step.length = (size_t)(r->p - step.text);
    skip_blanks(r);
    if (take(r, "(")) {
        step.kind = TG__STEP_CALL;
        return arguments(r, &step) && push(r, &step);
    }
    while (*r->p == '.' || (r->p[0] == '-' && r->p[1] == '>')) {
        r->p += *r->p == '.' ? 1 : 2;
        skip_blanks(r);
        const size_t n = identifier(r->p);
        if (!n) return wrong(r, r->p, "expected the name of a member");
        r->p += n;
        step.length = (size_t)(r->p - step.text);
        skip_blanks(r);
    }
    return push(r, &step);
}

/* ---- the grammar ----------------------------------------------------------------------------- */

static bool primary(parser *r)
{
    const char *const open = r->p;
    if (take(r, "(")) {
        if (!expression(r)) return false;
        if (take(r, ")")) return true;
        return *r->p ? no_operator(r, "expected an operator or ')'")
                     : wrong(r, open, "'(' is never closed");
    }
    if (is_first(*r->p)) return name(r);
    if (*r->p == 0) return wrong(r, r->p, "the expression ends where a value is expected");
    return number(r);
}

static bool integer(parser *r, int64_t *x)
{
    const char *const start = r->p;
    const bool negative = take(r, "-");
    if (!is_digit(*r->p)) return wrong(r, start, "expected a whole number");
    *x = 0;
    for (; is_digit(*r->p); r->p++) {
        if (*x > (INT64_MAX - 9) / 10) return wrong(r, start, "a whole number out of range");
        *x = *x * 10 + (*r->p - '0');
    }
    if (negative) *x = -*x;
    skip_blanks(r);
    return true;
}

static bool bound(parser *r, bool *given, int64_t *x)
{
    *given = *r->p == '-' || is_digit(*r->p);
    return !*given || integer(r, x);
}

static bool part(parser *r, int axis)
{
    tg__step step = { .kind = TG__STEP_PART,
                      .operands = 1,
                      .at = (size_t)(r->p - r->e->text),
                      .text = r->p,
                      .axis = axis,
                      .step = 1 };
    if (!bound(r, &step.has_start, &step.start)) return false;
    step.range = take(r, ":");
    if (!step.range && !step.has_start)
        return wrong(r, r->p, "expected a position or a range start:stop:step");
    bool has_step;
    if (step.range && !bound(r, &step.has_stop, &step.stop)) return false;
    if (step.range && take(r, ":") && !bound(r, &has_step, &step.step)) return false;
    step.length = (size_t)(r->p - step.text);
    return push(r, &step);
}

static bool postfix(parser *r)
{
    if (!primary(r)) return false;
    while (take(r, "[")) {
        int axis = 0;
        do
            if (!part(r, axis++)) return false;
        while (take(r, ","));
        if (!expect(r, "]", "at the end of the positions")) return false;
    }
    return true;
}

static bool power(parser *r)
{
    if (!postfix(r)) return false;
    const char *const at = r->p;
    parser ahead = *r;
    if (!take(&ahead, "**") && !(take(&ahead, "*") && take(&ahead, "*"))) return true;
    r->p = ahead.p;
    if (++r->nesting > DEEPEST) return wrong(r, at, "too deeply nested");
    if (!unary(r)) return false;
    r->nesting--;
    return push_call(r, at, "pow", 2);
}

static bool unary(parser *r)
{
    const char *const at = r->p;
    const int before = r->e->steps;
    const bool negative = take(r, "-");
    if (!negative && !take(r, "+")) return power(r);
    if (++r->nesting > DEEPEST) return wrong(r, at, "too deeply nested");
    if (!unary(r)) return false;
    r->nesting--;
    if (!negative) return true;
    tg__step *const only = &r->e->step[before];
    if (r->e->steps != before + 1 || only->kind != TG__STEP_NUMBER)
        return push_call(r, at, "neg", 1);
    only->number = -only->number;
    return true;
}

/* An operator and the function that it means. In a list the longer of two that begin alike stands
   first. */
typedef struct sign {
    const char *text, *op;
} sign;

static const sign *take_sign(parser *r, const sign *list)
{
    for (; list->text; list++)
        if (take(r, list->text)) return list;
    return NULL;
}

static bool chain(parser *r, const sign *signs, bool (*operand)(parser *r))
{
    if (!operand(r)) return false;
    for (;;) {
        const char *const at = r->p;
        const sign *const found = take_sign(r, signs);
        if (!found) return true;
        if (!operand(r) || !push_call(r, at, found->op, 2)) return false;
    }
}

static bool product(parser *r)
{
    static const sign signs[] = {
        { "*", "mul" }, { "/", "div" }, { "@", "matmul" }, { NULL, NULL }
    };
    return chain(r, signs, unary);
}

static bool sum(parser *r)
{
    static const sign signs[] = { { "+", "add" }, { "-", "sub" }, { NULL, NULL } };
    return chain(r, signs, product);
}

static bool comparison(parser *r)
{
    static const sign signs[] = { { "==", "eq" }, { "!=", "ne" }, { "<=", "le" }, { ">=", "ge" },
                                  { "<", "lt" },  { ">", "gt" },  { NULL, NULL } };
    if (!sum(r)) return false;
    const char *const at = r->p;
    const sign *const found = take_sign(r, signs);
    if (!found) return true;
    if (!sum(r) || !push_call(r, at, found->op, 2)) return false;
    const char *const second = r->p;
    if (take_sign(r, signs))
        return wrong(r, second, "a second comparison: comparisons need brackets");
    return true;
}

static bool expression(parser *r)
{
    if (++r->nesting > DEEPEST) return wrong(r, r->p, "too deeply nested");
    if (!comparison(r)) return false;
    const char *const at = r->p;
    if (take(r, "?")) {
        if (!expression(r) || !expect(r, ":", "between the two values of '?'") || !expression(r) ||
            !push_call(r, at, "where", 3))
            return false;
    }
    r->nesting--;
    return true;
}

bool tg__expression_read(tg__expression *e)
{
    parser r = { .e = e, .p = e->text };
    e->steps = e->depth = 0;
    e->message[0] = 0;
    skip_blanks(&r);
    if (!*r.p) return wrong(&r, r.p, "the expression is empty");
    if (!expression(&r)) return false;
    return !*r.p || no_operator(&r, "expected an operator");
}
