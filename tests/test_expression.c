/* The parser of infix expressions, alone: what texts mean, written as steps, what is wrong with
   others and where, and that no text does any harm. */
#include "base/expression.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 20261121u

typedef struct reading {
    tg__expression e;
    bool ok;
} reading;

static reading read_text(const char *text)
{
    const size_t room = strlen(text) + 1;
    reading r = { .e = { .text = text, .room = (int)room } };
    r.e.step = malloc(room * sizeof *r.e.step);
    r.ok = tg__expression_read(&r.e);
    return r;
}

static void forget(reading *r)
{
    free(r->e.step);
}

/* ---- meaning --------------------------------------------------------------------------------- */

static int print_bound(char *out, size_t size, bool given, int64_t x)
{
    return given ? snprintf(out, size, "%lld", (long long)x) : 0;
}

static int print_part(const tg__step *s, char *out, size_t size)
{
    int n = snprintf(out, size, "[%d ", s->axis);
    n += print_bound(out + n, size - (size_t)n, s->has_start, s->start);
    if (s->range) {
        n += snprintf(out + n, size - (size_t)n, ":");
        n += print_bound(out + n, size - (size_t)n, s->has_stop, s->stop);
        n += snprintf(out + n, size - (size_t)n, ":%lld", (long long)s->step);
    }
    return n + snprintf(out + n, size - (size_t)n, "]");
}

/* The steps in their order, with the operands of calls counted: "x 2 pow/2". */
static const char *steps_text(const tg__expression *e)
{
    static char out[1024];
    int n = 0;
    *out = 0;
    for (int i = 0; i < e->steps; i++) {
        const tg__step *const s = &e->step[i];
        char *const to = out + n;
        const size_t size = sizeof out - (size_t)n;
        n += snprintf(to, size, i ? " " : "");
        char *const at = out + n;
        const size_t room = sizeof out - (size_t)n;
        if (s->kind == TG__STEP_NUMBER) n += snprintf(at, room, "%.17g", s->number);
        if (s->kind == TG__STEP_NAME) n += snprintf(at, room, "%.*s", (int)s->length, s->text);
        if (s->kind == TG__STEP_CALL)
            n += snprintf(at, room, "%.*s/%d%s%.*s%s", (int)s->length, s->text, s->operands,
                          s->attributes ? "{" : "", (int)s->attributes_length,
                          s->attributes ? s->attributes : "", s->attributes ? "}" : "");
        if (s->kind == TG__STEP_PART) n += print_part(s, at, room);
    }
    return out;
}

static const struct {
    const char *text, *steps;
    int depth;
} meanings[] = {
    { "x", "x", 1 },
    { " ( x ) ", "x", 1 },
    { "2", "2", 1 },
    { "-2", "-2", 1 },
    { "+ 2.5", "2.5", 1 },
    { ".5", "0.5", 1 },
    { "5.", "5", 1 },
    { "1e3", "1000", 1 },
    { "1.5E-2", "0.014999999999999999", 1 },
    { "1e-999", "0", 1 },
    { "0.1", "0.10000000000000001", 1 },
    { "a + b * c", "a b c mul/2 add/2", 3 },
    { "a * b + c", "a b mul/2 c add/2", 2 },
    { "a - b - c", "a b sub/2 c sub/2", 2 },
    { "a - (b - c)", "a b c sub/2 sub/2", 3 },
    { "a / b / c", "a b div/2 c div/2", 2 },
    { "a @ b * c", "a b matmul/2 c mul/2", 2 },
    { "-a ** 2", "a 2 pow/2 neg/1", 2 },
    { "a ** -2", "a -2 pow/2", 2 },
    { "a ** b ** c", "a b c pow/2 pow/2", 3 },
    { "a * * b", "a b pow/2", 2 },
    { "2 ** -a", "2 a neg/1 pow/2", 2 },
    { "--a", "a neg/1 neg/1", 1 },
    { "a - -b", "a b neg/1 sub/2", 2 },
    { "a--b", "a b neg/1 sub/2", 2 },
    { "a < b", "a b lt/2", 2 },
    { "a <= b", "a b le/2", 2 },
    { "a > b + 1", "a b 1 add/2 gt/2", 3 },
    { "a >= -b", "a b neg/1 ge/2", 2 },
    { "a<-b", "a b neg/1 lt/2", 2 },
    { "a == b", "a b eq/2", 2 },
    { "a != b", "a b ne/2", 2 },
    { "(a < b) < c", "a b lt/2 c lt/2", 2 },
    { "a ? b : c", "a b c where/3", 3 },
    { "a > 0 ? b : c < 0 ? d : e", "a 0 gt/2 b c 0 lt/2 d e where/3 where/3", 5 },
    { "a ? b ? c : d : e", "a b c d where/3 e where/3", 4 },
    { "f(x)", "x f/1", 1 },
    { "f (x, y + 1)", "x y 1 add/2 f/2", 3 },
    { "f(x, axis=1)", "x f/1{axis=1}", 1 },
    { "f(x, axis = (0, 2), keep=true)", "x f/1{axis = (0, 2), keep=true}", 1 },
    { "f(x, a == b)", "x a b eq/2 f/2", 3 },
    { "f(g(x, p=1.5), axis=-1)", "x g/1{p=1.5} f/1{axis=-1}", 1 },
    { "p->W @ x", "p->W x matmul/2", 2 },
    { "p -> W", "p -> W", 1 },
    { "a.b.c->d", "a.b.c->d", 1 },
    { "x[0]", "x [0 0]", 1 },
    { "x[-1]", "x [0 -1]", 1 },
    { "x[1:3]", "x [0 1:3:1]", 1 },
    { "x[:]", "x [0 ::1]", 1 },
    { "x[::2]", "x [0 ::2]", 1 },
    { "x[-1::-1]", "x [0 -1::-1]", 1 },
    { "x[ : , 2 : , - 3 ]", "x [0 ::1] [1 2::1] [2 -3]", 1 },
    { "x[0][1]", "x [0 0] [0 1]", 1 },
    { "f(x)[0] ** 2", "x f/1 [0 0] 2 pow/2", 2 },
    { "-x[0]", "x [0 0] neg/1", 1 },
    { "\tx\n+\r\ny", "x y add/2", 2 },
};

Test(expression, texts_mean_what_they_would_in_C_and_Python)
{
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        reading r = read_text(meanings[i].text);
        cr_expect(r.ok, "%s: %s", meanings[i].text, r.e.message);
        if (r.ok) {
            const char *const steps = steps_text(&r.e);
            cr_expect(strcmp(steps, meanings[i].steps) == 0, "%s: %s, and not %s", meanings[i].text,
                      steps, meanings[i].steps);
            cr_expect(r.e.depth == meanings[i].depth, "%s: depth %d, and not %d", meanings[i].text,
                      r.e.depth, meanings[i].depth);
        }
        forget(&r);
    }
}

/* ---- mistakes -------------------------------------------------------------------------------- */

static const struct {
    const char *text;
    size_t at;
    const char *message;
} mistakes[] = {
    { "", 0, "the expression is empty" },
    { "   ", 3, "the expression is empty" },
    { "x +", 3, "the expression ends where a value is expected" },
    { "x + * y", 4, "expected a number, a name or '('" },
    { "x y", 2, "expected an operator" },
    { "x)", 1, "')' closes nothing" },
    { "x]", 1, "']' closes nothing" },
    { "(x", 0, "'(' is never closed" },
    { "(x]", 2, "']' closes nothing" },
    { "(x y)", 3, "expected an operator or ')'" },
    { "x, y", 1, "a comma that separates nothing" },
    { "(x, y)", 2, "a comma that separates nothing" },
    { "x = y", 2, "'=' is no operator: '==' compares" },
    { "x ^ y", 2, "'^' is no operator: '**' is the power" },
    { "(x % y)", 3, "'%' is no operator: use remainder(a, b)" },
    { "x && y", 2, "'&' is no operator: a product of comparisons holds where both do" },
    { "x | y", 2, "'|' is no operator: maximum of comparisons holds where one does" },
    { "!x", 0, "expected a number, a name or '('" },
    { "a < b < c", 6, "a second comparison: comparisons need brackets" },
    { "a ? b", 5, "the expression ends where ':' is expected between the two values of '?'" },
    { "a ? b c", 6, "expected ':' between the two values of '?'" },
    { "f(", 2, "the expression ends where a value is expected" },
    { "f()", 2, "expected a number, a name or '('" },
    { "f(x", 3, "the expression ends where ')' is expected at the end of the operands" },
    { "f(x y)", 4, "expected an operator, ',' or ')'" },
    { "f(x ^ 2)", 4, "'^' is no operator: '**' is the power" },
    { "f(x,)", 4, "expected a number, a name or '('" },
    { "f(x, a=1, y)", 10, "operands come before attributes: name = value expected" },
    { "f(x, a=)", 7, "an attribute without a value" },
    { "f(x, a=1", 8, "the expression ends where ')' is expected at the end of the attributes" },
    { "f(x, .a=1)", 5, "attributes are written without a point, as in axis=1" },
    { "x[", 2, "expected a position or a range start:stop:step" },
    { "x[]", 2, "expected a position or a range start:stop:step" },
    { "x[i]", 2, "expected a position or a range start:stop:step" },
    { "x[0", 3, "the expression ends where ']' is expected at the end of the positions" },
    { "x[0 1]", 4, "expected ']' at the end of the positions" },
    { "x[1.5]", 3, "expected ']' at the end of the positions" },
    { "x[-]", 2, "expected a whole number" },
    { "x[99999999999999999999]", 2, "a whole number out of range" },
    { "p.", 2, "expected the name of a member" },
    { "p->1", 3, "expected the name of a member" },
    { "2x", 1, "a number ends here, and a name follows it" },
    { "0.5f", 3, "a number ends here, and a name follows it" },
    { "1e", 1, "an exponent without digits" },
    { "1e+", 1, "an exponent without digits" },
    { "x + 1e999", 4, "a number too large for a double" },
    { ".", 0, "expected a number, a name or '('" },
    { "1.2.3", 3, "expected an operator" },
    { "x \xc3\xa9", 2, "expected an operator" },
    { "\xff", 0, "expected a number, a name or '('" },
    { "1111111111111111111111111111111111111111111111111111111111111", 0,
      "a number of too many digits" },
};

Test(expression, mistakes_are_found_at_their_character)
{
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        reading r = read_text(mistakes[i].text);
        cr_expect(!r.ok, "%s: no mistake found", mistakes[i].text);
        cr_expect(strcmp(r.e.message, mistakes[i].message) == 0, "%s: %s", mistakes[i].text,
                  r.e.message);
        cr_expect(r.e.at == mistakes[i].at, "%s: at %zu, and not %zu", mistakes[i].text, r.e.at,
                  mistakes[i].at);
        forget(&r);
    }
}

Test(expression, more_steps_than_there_is_room_for_are_a_mistake)
{
    tg__step step[2];
    tg__expression e = { .text = "x + y", .step = step, .room = 2 };
    cr_expect(!tg__expression_read(&e) && strcmp(e.message, "the expression is too long") == 0);
}

/* ---- hostile texts --------------------------------------------------------------------------- */

/* Whatever a reading says must lie in the text, and the steps must leave one value. */
static void check_sane(const char *text, const reading *r)
{
    const size_t length = strlen(text);
    if (!r->ok) {
        cr_assert(r->e.at <= length && *r->e.message, "%s", text);
        return;
    }
    int height = 0;
    for (int i = 0; i < r->e.steps; i++) {
        const tg__step *const s = &r->e.step[i];
        height += 1 - s->operands;
        cr_assert(height >= 1 && height <= r->e.depth && s->at <= length, "%s", text);
    }
    cr_assert(height == 1, "%s: %d values are left", text, height);
}

static bool read_sanely(const char *text)
{
    reading r = read_text(text);
    check_sane(text, &r);
    const bool ok = r.ok;
    forget(&r);
    return ok;
}

/* A text of one piece again and again, between two others. */
static char *repeated(const char *before, const char *piece, size_t n, const char *after)
{
    const size_t first = strlen(before), length = strlen(piece), last = strlen(after);
    char *const text = malloc(first + n * length + last + 1);
    cr_assert(text);
    memcpy(text, before, first);
    for (size_t i = 0; i < n; i++) memcpy(text + first + i * length, piece, length);
    memcpy(text + first + n * length, after, last + 1);
    return text;
}

Test(expression, nesting_without_end_is_a_mistake_and_takes_no_stack)
{
    static const char *const pieces[] = { "(",    "-",        "+",         "- +",  "x**",
                                          "x ? ", "x ? x : ", "f(",        "f(x,", "x* *",
                                          "-(",   "x**-",     "f(x, x ? ", "x @ (" };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        char *const text = repeated("", pieces[i], 200000, "x");
        reading r = read_text(text);
        cr_expect(!r.ok && strcmp(r.e.message, "too deeply nested") == 0, "%s...: %s", pieces[i],
                  r.e.message);
        forget(&r);
        free(text);
    }
}

Test(expression, long_chains_are_no_nesting)
{
    static const char *const pieces[] = {
        "+ x", "* x", "[0]", "/ f(x)", "- x[1:2, 3]", "@ (x + 1)"
    };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        char *const text = repeated("x", pieces[i], 20000, "");
        cr_expect(read_sanely(text), "%s", pieces[i]);
        free(text);
    }
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

Test(expression, random_texts_do_no_harm)
{
    static const char *const words[] = {
        "x",  "y.z", "p->q", "f(", "sum(", "(",  ")",    "[",    "]",  "+",  "-",  "*",    "/",
        "@",  "**",  "<",    "<=", "==",   "!=", "?",    ":",    ",",  "=",  "1",  "2.5",  "1e3",
        "-1", " ",   "axis", ".",  "->",   "0",  "true", "1e99", "\t", "\"", "\\", "\x80", "x[",
    };
    uint32_t seed = SEED;
    size_t good = 0;
    for (int k = 0; k < 100000; k++) {
        char text[256];
        size_t n = 0;
        for (uint32_t left = next(&seed) % 24; left > 0; left--) {
            if (k % 4 == 0) text[n++] = (char)(next(&seed) % 255 + 1);
            else
                n += (size_t)sprintf(text + n, "%s",
                                     words[next(&seed) % (sizeof words / sizeof *words)]);
        }
        text[n] = 0;
        good += read_sanely(text);
    }
    cr_expect(good > 1000, "only %zu random texts make sense", good);
    fprintf(stderr, "# %zu of 100000 random texts make sense, seed %u\n", good, SEED);
}

/* Texts that mean something, with one character changed, left out or doubled. */
Test(expression, texts_with_a_slip_do_no_harm)
{
    uint32_t seed = SEED;
    for (int k = 0; k < 100000; k++) {
        char text[128];
        const char *const from = meanings[next(&seed) % (sizeof meanings / sizeof *meanings)].text;
        const size_t n = strlen(from), at = next(&seed) % n;
        const uint32_t kind = next(&seed) % 3;
        memcpy(text, from, at);
        size_t used = at;
        if (kind == 0) text[used++] = (char)(next(&seed) % 255 + 1);
        if (kind == 1) text[used++] = from[at], text[used++] = from[at];
        memcpy(text + used, from + at + 1, n - at);
        read_sanely(text);
    }
}
