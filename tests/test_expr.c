/* Expressions against the nested calls that they stand for, bit for bit; mistakes, and where the
   caret shows them; call sites; expressions from strings; rules. */
#include "sample.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tapegrad.h>

#include "expr/expr.h"
#include "ops/attributes.h"

#define SEED 20261121u
enum { MOST = 4096, MESSAGE = 512 };

static char last[MESSAGE]; /* the last error that went to the process-wide handler */
static int reported;

static void keep(const tg_error *error, void *user)
{
    (void)user;
    reported++;
    snprintf(last, sizeof last, "%s", error->message);
}

static void listen(void)
{
    reported = 0;
    *last = 0;
    tg_set_error_handler(keep, NULL);
}

TestSuite(expr, .init = listen);
TestSuite(rule, .init = listen);

/* Whether two values have the same shape, the same bits, and gave no error. */
static bool same_bits(tg_value a, tg_value b)
{
    static double x[MOST], y[MOST];
    const int64_t n = tg_size(a);
    if (n < 0 || n > MOST || tg_size(b) != n || tg_rank(a) != tg_rank(b)) return false;
    for (int i = 0; i < tg_rank(a); i++)
        if (tg_dim(a, i) != tg_dim(b, i)) return false;
    if (tg_type_of(a) != tg_type_of(b)) return false;
    return tg_read(a, x, (size_t)n) && tg_read(b, y, (size_t)n) &&
           memcmp(x, y, (size_t)n * sizeof *x) == 0;
}

static bool is_null(tg_value v)
{
    return v.generation == 0;
}

static const char *message_of(const tg_tape *t)
{
    return tg_error_of(t) ? tg_error_of(t)->message : "no error";
}

static void expect_same(int line, tg_value a, tg_value b)
{
    cr_expect(same_bits(a, b), "line %d: the expression and the calls differ: %s", line,
              message_of(a.tape));
}
#define SAME(a, b) expect_same(__LINE__, a, b)

/* ---- values ---------------------------------------------------------------------------------- */

typedef struct layer {
    tg_value W, b;
} layer;

typedef struct fixture {
    tg_tape *t;
    tg_value a, b, c;             /* scalars */
    tg_value x, y, W, V, v, cube; /* (2), labels, (3, 2), (2, 3), (3), (2, 3, 4) */
    layer in;
} fixture;

static fixture set_up(tg_type type)
{
    double element[64];
    const int label[] = { 2 };
    for (int i = 0; i < 64; i++) element[i] = (double)(i * 37 % 64) / 48 - 0.4;
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = type });
    fixture f = { .t = t, .a = tg_scalar(t, 0.7), .b = tg_scalar(t, -1.1), .c = tg_scalar(t, 1.3) };
    f.x = tg_input(t, element, 2);
    f.y = tg_index(t, label, 1);
    f.W = tg_param(t, element + 3, 3, 2);
    f.V = tg_param(t, element + 9, 2, 3);
    f.v = tg_param(t, element + 20, 3);
    f.cube = tg_param(t, element, 2, 3, 4);
    f.in = (layer){ f.W, f.v };
    return f;
}

/* The formatter knows no @ and no **. */
/* clang-format off */
static void operators_of(const fixture *f)
{
    const tg_value a = f->a, b = f->b, c = f->c;
    SAME(tg_add(a, b), TG_EXPR(a + b, a, b));
    SAME(tg_sub(tg_sub(a, b), c), TG_EXPR(a - b - c, a, b, c));
    SAME(tg_div(tg_div(a, b), c), TG_EXPR(a / b / c, a, b, c));
    SAME(tg_add(a, tg_mul(b, c)), TG_EXPR(a + b * c, a, b, c));
    SAME(tg_mul(tg_add(a, b), c), TG_EXPR((a + b) * c, a, b, c));
    SAME(tg_neg(tg_pow(a, 2)), TG_EXPR(-a ** 2, a));
    SAME(tg_pow(a, tg_pow(c, b)), TG_EXPR(a ** c ** b, a, b, c));
    SAME(tg_pow(a, tg_neg(b)), TG_EXPR(a * *-b, a, b));
    SAME(tg_sub(a, tg_neg(b)), TG_EXPR(a - -b, a, b));
    SAME(tg_lt(a, b), TG_EXPR(a < b, a, b));
    SAME(tg_le(a, b), TG_EXPR(a <= b, a, b));
    SAME(tg_gt(a, b), TG_EXPR(a > b, a, b));
    SAME(tg_ge(a, b), TG_EXPR(a >= b, a, b));
    SAME(tg_eq(a, b), TG_EXPR(a == b, a, b));
    SAME(tg_ne(a, b), TG_EXPR(a != b, a, b));
    SAME(tg_where(tg_gt(a, 0), tg_exp(a), tg_mul(b, 2)), TG_EXPR(a > 0 ? exp(a) : b * 2, a, b));
    SAME(tg_fma(a, b, c), TG_EXPR(fma(a, b, c), a, b, c));
    SAME(tg_tanh(tg_mul(a, b)), TG_EXPR(tanh(a * b), a, b));
    SAME(a, TG_EXPR(a, a));
    SAME(a, TG_EXPR(+(a), a, b));
}

/* Doubles, of which only those beside a value reach the tape. */
static void numbers_of(const fixture *f)
{
    const tg_value a = f->a, v = f->v;
    SAME(tg_mul(2, a), TG_EXPR(2 * a, a));
    SAME(tg_sub(a, 0.1), TG_EXPR(a - .1, a));
    SAME(tg_mul(0.5, a), TG_EXPR(1 / 2 * a, a));
    SAME(tg_add(a, -8), TG_EXPR(a + (-2) ** 3, a));
    SAME(tg_add(a, 1), TG_EXPR(a + (3 > 2 ? 1 : 5), a));
    SAME(tg_mul(a, sqrt(2)), TG_EXPR(a * sqrt(2), a));
    SAME(tg_number(f->t, 6), TG_EXPR(2 * 3, a));
    SAME(tg_add(v, 1e-3), TG_EXPR(v + 1e-3, v));
}

static void calls_of(const fixture *f)
{
    const tg_value x = f->x, y = f->y, W = f->W, V = f->V, v = f->v, cube = f->cube;
    SAME(tg_add(tg_matmul(W, x), v), TG_EXPR(W @ x + v, W, x, v));
    SAME(tg_matmul(W, tg_matmul(V, v)), TG_EXPR(W @ (V @ v), W, V, v));
    SAME(tg_nll(tg_log_softmax(tg_reshape(tg_add(tg_matmul(W, x), v), 1, 3)), y),
         TG_EXPR(nll(log_softmax(reshape(W @ x + v, 1, 3)), y), W, x, v, y));
    SAME(tg_sum(cube, .axis = 1), TG_EXPR(sum(cube, axis=1), cube));
    SAME(tg_sum(cube, .axes = TG_AXES(0, -1), .keep = true),
         TG_EXPR(sum(cube, axes=(0, -1), keep=true), cube));
    SAME(tg_sum(cube), TG_EXPR(sum(cube, axis=all), cube));
    SAME(tg_norm(cube, .p = 1.5), TG_EXPR(norm(cube, p=1.5), cube));
    SAME(tg_permute(cube, 2, 0, 1), TG_EXPR(permute(cube, 2, 0, 1), cube));
    SAME(tg_reshape(cube, 4, -1), TG_EXPR(reshape(cube, 4, -1), cube));
    SAME(tg_reshape(cube, 24), TG_EXPR(reshape(cube, item=(24)), cube));
    SAME(tg_at(cube, 1, 2, 3), TG_EXPR(at(cube, 1, 2, 4 - 1), cube));
    SAME(tg_cat(TG_VALUES(v, v, v)), TG_EXPR(cat(v, v, v), v));
    SAME(tg_stack(TG_VALUES(v, v), .axis = 1), TG_EXPR(stack(v, v, axis=1), v));
    SAME(tg_cross_entropy(tg_reshape(v, 1, 3), y, .reduction = TG_SUM),
         TG_EXPR(cross_entropy(reshape(v, 1, 3), y, reduction=sum), v, y));
    SAME(tg_softargmax(v), TG_EXPR(softargmax(v), v));
}

static void parts_of(const fixture *f)
{
    const tg_value x = f->x, W = f->W, v = f->v, cube = f->cube;
    SAME(tg_select(v, .index = 1), TG_EXPR(v[1], v));
    SAME(tg_select(v, .index = -1), TG_EXPR(v[-1], v));
    SAME(tg_slice(v, .start = 1), TG_EXPR(v[1:], v));
    SAME(tg_slice(v, .stop = -1), TG_EXPR(v[:-1], v));
    SAME(tg_slice(v, .step = -1), TG_EXPR(v[::-1], v));
    SAME(tg_slice(v, .start = 0, .stop = 3, .step = 2), TG_EXPR(v[0:3:2], v));
    SAME(tg_at(cube, 1, 2, 3), TG_EXPR((cube[1, 2, 3]), cube));
    SAME(tg_at(cube, 1, 2, 3), TG_EXPR(cube[1][2][-1], cube));
    SAME(tg_slice(tg_select(cube, .axis = 1, .index = 2), .axis = 1, .start = 1, .stop = 3),
         TG_EXPR((cube[:, 2, 1:3]), cube));
    SAME(tg_select(tg_slice(tg_select(cube, .index = 1), .axis = 0, .step = 2), .axis = 1),
         TG_EXPR((cube[1, ::2, 0]), cube));
    SAME(tg_exp(tg_select(tg_matmul(W, x), .index = 0)), TG_EXPR(exp((W @ x)[0]), W, x));
    SAME(tg_mul(tg_select(v, .index = 0), tg_select(v, .index = 1)), TG_EXPR(v[0] * v[1], v));
    SAME(tg_neg(tg_pow(tg_select(v, .index = 0), 2)), TG_EXPR(-v[0] ** 2, v));
}

static void names_of(const fixture *f)
{
    const tg_value a = f->a, b = f->b, x = f->x, W = f->W, v = f->v;
    const layer *const p = &f->in, in = f->in;
    SAME(tg_add(tg_matmul(W, x), v), TG_EXPR(p->W @ x + p->b, p->W, p->b, x));
    SAME(tg_add(tg_matmul(W, x), v), TG_EXPR(in.W @ x + in.b, in.W, in.b, x));
    SAME(tg_exp(W), TG_EXPR(exp(p -> W), p->W));
    const tg_value sum = a, index = b; /* names of operations may be names of values */
    SAME(tg_sum(tg_mul(a, b)), TG_EXPR(sum(sum * index), sum, index));
}

/* clang-format on */

static void values_of(tg_type type)
{
    const fixture f = set_up(type);
    operators_of(&f);
    numbers_of(&f);
    calls_of(&f);
    parts_of(&f);
    names_of(&f);
    cr_expect(!tg_error_of(f.t), "%s", message_of(f.t));
    tg_tape_free(f.t);
}

Test(expr, gives_what_the_nested_calls_give_bit_for_bit)
{
    values_of(TG_F64);
}

Test(expr, gives_what_the_nested_calls_give_in_single_precision)
{
    values_of(TG_F32);
}

/* The formatter knows no @ and no **. */
/* clang-format off */
Test(expr, has_the_gradients_of_the_nested_calls)
{
    const fixture f = set_up(TG_F64);
    const tg_value W = f.W, x = f.x, v = f.v, a = f.a;
    double expected[7], seen[7];
    tg_backward(tg_mul(tg_sum(tg_tanh(tg_add(tg_matmul(W, x), v))), a));
    tg_grad_read(W, expected, 6);
    expected[6] = tg_grad_item(a);
    tg_backward(TG_EXPR(sum(tanh(W @ x + v)) * a, W, x, v, a));
    tg_grad_read(W, seen, 6);
    seen[6] = tg_grad_item(a);
    cr_expect(memcmp(expected, seen, sizeof seen) == 0);
    tg_tape_free(f.t);
}

/* clang-format on */

Test(expr, takes_C_numbers_from_the_list)
{
    const fixture f = set_up(TG_F64);
    const tg_value a = f.a, v = f.v;
    const double rate = 0.25;
    const float half = 0.5f;
    const int n = 3;
    SAME(tg_sub(a, tg_mul(0.25, a)), TG_EXPR(a - rate * a, a, rate));
    SAME(tg_mul(v, 1.5 + 2 * 0.25), TG_EXPR(v * (n * half + 2 * rate), v, n, half, rate));
    SAME(tg_exp(a), TG_EXPR(exp(n > 2 ? a : rate), n, a, rate));
    SAME(tg_mul(tg_sum(tg_number(f.t, 0.25)), a), TG_EXPR(sum(rate) * a, rate, a));
    SAME(tg_number(f.t, 0.25), TG_EXPR(rate, rate, a));
    tg_tape_free(f.t);
}

Test(expr, takes_24_values)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value a = tg_scalar(t, 2);
    const double b = 1, c = 1, d = 1, e = 1, f = 1, g = 1, h = 1, i = 1, j = 1, k = 1, l = 1, m = 1,
                 n = 1, o = 1, p = 1, q = 1, r = 1, s = 1, u = 1, v = 1, w = 1, x = 1, y = 1;
    const tg_value sum =
        TG_EXPR(a + b + c + d + e + f + g + h + i + j + k + l + m + n + o + p + q + r + s + u + v +
                    w + x + y,
                a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, u, v, w, x, y);
    cr_expect(tg_item(sum) == 25);
    tg_tape_free(t);
}

/* ---- every operation ------------------------------------------------------------------------- */

static const char *op_name;
static size_t compared;

/* The call of a trial as text: "sum(v0, axis=1)". List attributes stand among the operands. */
static void call_text(const trial *t, char *text, size_t size)
{
    static char attributes[256];
    const tg__op *const op = tg__ops[t->op];
    *attributes = 0;
    if (t->x.attributes)
        tg__attributes_print(op->attributes, t->x.attributes, attributes, sizeof attributes);
    const bool list = *attributes == '(';
    if (list) attributes[strlen(attributes) - 1] = 0;
    const char *const rest = attributes + list;
    int n = snprintf(text, size, "%s(", op_name);
    for (int i = 0; i < t->x.n; i++)
        n += snprintf(text + n, size - (size_t)n, i ? ", v%d" : "v%d", i);
    snprintf(text + n, size - (size_t)n, "%s%s)", *rest ? ", " : "", rest);
}

static void compare_call(const trial *t)
{
    static const char *const names[] = { "v0", "v1", "v2", "v3" };
    char text[512];
    data d = draw(t, SEED);
    tg_tape *const tape = tg_tape_new(NULL);
    tg_value leaf[TG__SAMPLES];
    make_leaves(t, &d, tape, leaf);
    call_text(t, text, sizeof text);
    const tg_value y = record_trial(t, leaf), z = tg_eval(text, names, leaf, t->x.n);
    cr_expect(same_bits(y, z), "%s: the expression and the call differ: %s", text,
              message_of(tape));
    compared++;
    tg_tape_free(tape);
    drop(&d);
}

Test(expr, calls_every_operation_by_all_its_names)
{
    tg_op_info info;
    for (int i = 0; tg_op_at(i, &info); i++) {
        op_name = info.name;
        const size_t before = compared;
        each_plain_trial(op_named(info.name), compare_call);
        cr_expect(compared > before, "%s was not called", info.name);
    }
    fprintf(stderr, "# %zu calls\n", compared);
}

Test(expr, parts_of_derivatives_have_no_name)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_scalar(t, 1);
    for (int i = FIRST_OP; i < tg__op_count; i++) {
        char text[128];
        tg_op_info info;
        if (tg_op_find(tg__ops[i]->name, &info)) continue;
        snprintf(text, sizeof text, "%s(x, x)", tg__ops[i]->name);
        tg_eval(text, (const char *const[]){ "x" }, &x, 1);
        cr_expect(strstr(message_of(t), "there is no operation named"), "%s: %s", text,
                  message_of(t));
        tg_error_clear(t);
    }
    tg_tape_free(t);
}

/* ---- mistakes -------------------------------------------------------------------------------- */

/* Evaluated with a scalar a, a vector v of 3 elements and a matrix M of (2, 3). */
static const struct {
    const char *text;
    tg_code code;
    const char *op, *reason;
    int column; /* of the caret */
} mistakes[] = {
    { "a + ", TG_ERROR_ARGUMENT, "expr", "the expression ends where a value is expected", 4 },
    { "", TG_ERROR_ARGUMENT, "expr", "the expression is empty", 0 },
    { "tanh(M @ v + q)", TG_ERROR_ARGUMENT, "expr", "there is no value named q in the list", 13 },
    { "M.T @ v", TG_ERROR_ARGUMENT, "expr", "there is no value named M.T in the list", 0 },
    { "a + tan_h(v)", TG_ERROR_ARGUMENT, "expr", "there is no operation named tan_h", 4 },
    { "a + times(a, a)", TG_ERROR_ARGUMENT, "expr", "there is no operation named times", 4 },
    { "2 * tanh(a, a)", TG_ERROR_ARGUMENT, "expr", "tanh takes 1 operand, not 2", 4 },
    { "matmul(M)", TG_ERROR_ARGUMENT, "expr", "matmul takes 2 operands, not 1", 0 },
    { "cat(axis=1)", TG_ERROR_ARGUMENT, "expr", "cat takes at least 1 operand, not 0", 0 },
    { "exp(a, axis=1)", TG_ERROR_ARGUMENT, "expr", "exp takes no attributes", 7 },
    { "sum(v, axi=1)", TG_ERROR_ARGUMENT, "expr",
      "sum: unknown attribute axi; known: axis, axes, keep, correction, p", 7 },
    { "sum(v, axis=x)", TG_ERROR_ARGUMENT, "expr", "sum: expected a whole number", 12 },
    { "sum(v, keep=true, keep=true)", TG_ERROR_ARGUMENT, "expr",
      "sum: attribute keep is given twice", 22 },
    { "sum(v, .axis=0)", TG_ERROR_ARGUMENT, "expr",
      "attributes are written without a point, as in axis=1", 7 },
    { "reshape(M, 1.5)", TG_ERROR_ARGUMENT, "expr", "reshape takes whole numbers here", 11 },
    { "reshape(M, a)", TG_ERROR_ARGUMENT, "expr", "reshape takes whole numbers here", 11 },
    { "reshape(M, 6, item=(6))", TG_ERROR_ARGUMENT, "expr", "reshape has its numbers already", 14 },
    { "reshape(M, 1, 1, 1, 1, 1, 1, 1, 1, 6)", TG_ERROR_ARGUMENT, "expr", "more than 8 numbers",
      35 },
    { "1 + 2[0]", TG_ERROR_ARGUMENT, "expr", "a number has no parts", 6 },
    { "a ^ 2", TG_ERROR_ARGUMENT, "expr", "'^' is no operator: '**' is the power", 2 },
    { "a * (v @ M)", TG_ERROR_SHAPE, "matmul",
      "shapes (3) and (2, 3) do not agree: 3 elements, 2 rows", 7 },
    { "a + M[0, 5]", TG_ERROR_INDEX, "select", NULL, 9 },
    { "a + M[0, 1, 2]", TG_ERROR_SHAPE, "select", NULL, 12 },
    { "a + v[::0]", TG_ERROR_ARGUMENT, "slice", NULL, 6 },
    { "exp(a) + sum(v, axis=3)", TG_ERROR_SHAPE, "sum", "there is no axis 3 in a tensor of rank 1",
      9 },
};

/* Whether the message is "file:line: op: reason", then the text, then a caret in that column. */
static bool shows(const char *message, const char *op, const char *reason, const char *text,
                  int column)
{
    char end[MESSAGE];
    snprintf(end, sizeof end, "\n  %s\n%*s^", text, column + 2, "");
    const size_t n = strlen(message), m = strlen(end);
    if (n < m || strcmp(message + n - m, end) != 0) return false;
    char start[64];
    snprintf(start, sizeof start, ": %s: ", op);
    const char *const found = strstr(message, start), *at = message;
    if (found) at = found + strlen(start);
    else if (strncmp(message, start + 2, strlen(start) - 2) == 0) at += strlen(start) - 2;
    else return false;
    if (!reason) return true;
    return strlen(reason) == (size_t)(message + n - m - at) &&
           strncmp(at, reason, strlen(reason)) == 0;
}

Test(expr, mistakes_show_the_text_and_the_place)
{
    static const char *const names[] = { "a", "v", "M" };
    static const double element[6] = { 1, 2, 3, 4, 5, 6 };
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value values[] = { tg_scalar(t, 1), tg_param(t, element, 3),
                                tg_param(t, element, 2, 3) };
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const tg_value y = tg_eval(mistakes[i].text, names, values, 3);
        const int line = __LINE__ - 1;
        const tg_error *const e = tg_error_of(t);
        cr_assert(e && tg_size(y) == -1, "%s: no error", mistakes[i].text);
        cr_expect(e->code == mistakes[i].code, "%s: code %d", mistakes[i].text, e->code);
        cr_expect(e->line == line && strstr(e->file, "test_expr.c"), "%s", e->message);
        cr_expect(shows(e->message, mistakes[i].op, mistakes[i].reason, mistakes[i].text,
                        mistakes[i].column),
                  "%s", e->message);
        tg_error_clear(t);
    }
    cr_expect(reported == (int)(sizeof mistakes / sizeof *mistakes), "%d reports", reported);
    tg_tape_free(t);
}

/* The formatter knows no @ and no **. */
/* clang-format off */
Test(expr, a_mistake_in_the_source_is_reported_there)
{
    const fixture f = set_up(TG_F64);
    const tg_value x = f.x, W = f.W;
    const tg_value y = TG_EXPR(tanh(W @ x + q), W, x);
    const tg_error *const e = tg_error_of(f.t);
    cr_assert(e && tg_size(y) == -1);
    cr_expect(e->line == __LINE__ - 3 && strstr(e->file, "test_expr.c"));
    cr_expect(shows(e->message, "expr", "there is no value named q in the list", "tanh(W @ x + q)",
                    13),
              "%s", e->message);
    cr_expect(strcmp(last, e->message) == 0);
    tg_tape_free(f.t);
}

/* clang-format on */

Test(expr, the_instructions_have_the_position_of_the_expression)
{
    const fixture f = set_up(TG_F64);
    const tg_value a = f.a, v = f.v;
    tg_value y = TG_EXPR(a * a + sum(v), a, v);
    const int line = __LINE__ - 1;
    tg_set(v, ((const double[]){ 1, 2, 3 }), 3);
    cr_expect(!tg_backward(y));
    char place[64];
    snprintf(place, sizeof place, "test_expr.c:%d", line);
    cr_expect(strstr(message_of(f.t), place), "%s", message_of(f.t));
    tg_tape_free(f.t);
}

Test(expr, the_list_has_names_only)
{
    static const struct {
        const char *names[3];
        int n, column;
        const char *reason;
    } lists[] = {
        { { "x", "W[0]" }, 2, 0, "the list has values by name" },
        { { "f(x)" }, 1, 0, "the list has values by name" },
        { { "x", "2" }, 2, 0, "the list has values by name" },
        { { "  -x" }, 1, 2, "the list has values by name" },
        { { "(x)" }, 1, 0, "the list has values by name" },
        { { "+x" }, 1, 0, "the list has values by name" },
        { { "" }, 1, 0, "the list has values by name" },
        { { "x y" }, 1, 0, "the list has values by name" },
        { { "p->x", "x", "p -> x" }, 3, 0, "a name that stands in the list twice" },
    };
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_scalar(t, 1), values[] = { x, x, x };
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        tg_eval("1", lists[i].names, values, lists[i].n);
        const char *const message = message_of(t);
        cr_expect(strstr(message, lists[i].reason), "list %zu: %s", i, message);
        const char *const shown = strchr(message, '\n');
        cr_expect(shown &&
                      shows(message, "expr", NULL, lists[i].names[lists[i].n - 1], lists[i].column),
                  "list %zu: %s", i, message);
        tg_error_clear(t);
    }
    const tg_value s[] = { x, x };
    TG_EXPR(x + 1, x, s[1]);
    cr_expect(shows(message_of(t), "expr", NULL, "x, s[1]", 3), "%s", message_of(t));
    tg_error_clear(t);
    TG_EXPR(x + 1, x, x);
    cr_expect(shows(message_of(t), "expr", "a name that stands in the list twice", "x, x", 3), "%s",
              message_of(t));
    tg_error_clear(t);
    tg_tape_free(t);
}

/* Only what fits around the place is shown, and the caret counts characters, not bytes. */
Test(expr, long_and_foreign_texts_are_cut_around_the_place)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_scalar(t, 1);
    static const char *const names[] = { "x" };
    char text[2048] = "x";
    for (int i = 0; i < 200; i++) strcat(text, " + x");
    strcat(text, " + q");
    for (int i = 0; i < 200; i++) strcat(text, " + x");
    tg_eval(text, names, &x, 1);
    const char *const message = message_of(t), *const line = strchr(message, '\n') + 1,
                      *const caret = strrchr(message, '\n') + 1;
    cr_expect(strlen(message) < 400 && line < caret, "%s", message);
    cr_expect(line[strlen(caret) - 1] == 'q', "%s", message);
    cr_expect(strncmp(line, "  ...", 5) == 0 && strncmp(caret - 4, "...\n", 4) == 0, "%s", message);
    tg_error_clear(t);

    tg_eval("x + \xc3\xa9\xe2\x82\xac", names, &x, 1);
    cr_expect(shows(message_of(t), "expr", "expected a number, a name or '('",
                    "x + \xc3\xa9\xe2\x82\xac", 4),
              "%s", message_of(t));
    tg_error_clear(t);
    /* two characters of two and three bytes before the place */
    tg_eval("x[1:2, \xc3\xa9", names, &x, 1);
    cr_expect(shows(message_of(t), "expr", NULL, "x[1:2, \xc3\xa9", 7), "%s", message_of(t));
    tg_error_clear(t);
    tg_eval("x\x01\n+\xff\x80 1", names, &x, 1);
    cr_expect(shows(message_of(t), "expr", "expected an operator", "x  +?? 1", 1), "%s",
              message_of(t));
    tg_tape_free(t);
}

Test(expr, what_is_too_large_is_a_mistake)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_scalar(t, 1);
    static const char *const names[] = { "x" };
    static char text[70000];
    memset(text, ' ', 65536);
    text[0] = 'x';
    tg_eval(text, names, &x, 1);
    cr_expect(strstr(message_of(t), "the expression is longer than 65535 characters"));
    tg_error_clear(t);

    strcpy(text, "cat(x");
    for (int i = 0; i < 600; i++) strcat(text, ", x");
    strcat(text, ")");
    tg_eval(text, names, &x, 1);
    cr_expect(strstr(message_of(t), "the expression is too large"), "%s", message_of(t));
    tg_error_clear(t);
    *text = 0;
    strcpy(text, "x");
    for (int i = 0; i < 600; i++) sprintf(text + strlen(text), " + %d", i);
    tg_eval(text, names, &x, 1);
    cr_expect(strstr(message_of(t), "the expression is too large"), "%s", message_of(t));
    tg_error_clear(t);
    /* A long one that is not: operations need no places of their own. */
    strcpy(text, "x");
    for (int i = 0; i < 10000; i++) memcpy(text + 1 + 4 * i, " + x", 5);
    cr_expect(tg_item(tg_eval(text, names, &x, 1)) == 10001);
    tg_tape_free(t);
}

/* ---- handles --------------------------------------------------------------------------------- */

Test(expr, wrong_values_are_errors)
{
    const fixture f = set_up(TG_F64), g = set_up(TG_F64);
    const tg_value a = f.a, other = g.a, nothing = { 0 };
    cr_expect(is_null(TG_EXPR(a * 2 + other, a, other)));
    cr_expect(strstr(message_of(f.t), "add: the operands are values of two tapes"), "%s",
              message_of(f.t));
    cr_expect(shows(message_of(f.t), "add", NULL, "a * 2 + other", 6), "%s", message_of(f.t));
    cr_expect(strcmp(message_of(f.t), message_of(g.t)) == 0);
    tg_error_clear(f.t);
    tg_error_clear(g.t);

    cr_expect(is_null(TG_EXPR(a * nothing, a, nothing)));
    cr_expect(shows(message_of(f.t), "mul", "operand 2 is a null value", "a * nothing", 2), "%s",
              message_of(f.t));
    tg_error_clear(f.t);

    const tg_mark mark = tg_tape_mark(f.t);
    const tg_value stale = tg_mul(a, a), stale_tensor = tg_exp(f.v);
    tg_release(mark);
    cr_expect(is_null(TG_EXPR(a + stale, a, stale)));
    cr_expect(strstr(message_of(f.t), "operand 2 is stale") &&
                  shows(message_of(f.t), "add", NULL, "a + stale", 2),
              "%s", message_of(f.t));
    tg_error_clear(f.t);
    cr_expect(is_null(TG_EXPR(sum(stale_tensor), stale_tensor)));
    tg_error_clear(f.t);

    const double two = 2;
    cr_expect(is_null(TG_EXPR(two * two, two)));
    cr_expect(strstr(last, "expr: none of the list is a value of a tape"), "%s", last);
    cr_expect(is_null(TG_EXPR(nothing + 1, nothing)));
    cr_expect(strstr(last, "expr: none of the list is a value of a tape"), "%s", last);
    tg_tape_free(f.t);
    tg_tape_free(g.t);
}

Test(expr, a_tape_with_an_error_stays_inert)
{
    const fixture f = set_up(TG_F64);
    const tg_value a = f.a, v = f.v, W = f.W;
    tg_matmul(v, v);
    tg_matmul(v, W);
    tg_matmul(W, v);
    const char *const first = message_of(f.t);
    const size_t before = tg_stats(f.t).instructions;
    cr_expect(is_null(TG_EXPR(a + a, a)));
    cr_expect(is_null(TG_EXPR(a + wrong, a)));
    cr_expect(message_of(f.t) == first && tg_stats(f.t).instructions == before && reported == 1);
    tg_error_clear(f.t);
    /* What came after an expression that failed shows no expression. */
    TG_EXPR(matmul(W, v), W, v);
    tg_error_clear(f.t);
    tg_matmul(W, v);
    cr_expect(!strchr(message_of(f.t), '\n'), "%s", message_of(f.t));
    tg_tape_free(f.t);
}

/* The formatter knows no @ and no **. */
/* clang-format off */
/* One place in the source, reached for different tapes and values. */
static tg_value shared_place(tg_value x, tg_value w)
{
    return TG_EXPR(sum(x * w) ** 2, x, w);
}

/* clang-format on */

Test(expr, a_place_serves_all_tapes_and_loops)
{
    const fixture f = set_up(TG_F64), g = set_up(TG_F32);
    size_t allocations = 0;
    const tg_mark mark = tg_tape_mark(f.t);
    for (int i = 0; i < 1000; i++) {
        SAME(tg_pow(tg_sum(tg_mul(f.x, f.a)), 2), shared_place(f.x, f.a));
        SAME(tg_pow(tg_sum(tg_mul(g.v, g.v)), 2), shared_place(g.v, g.v));
        SAME(tg_pow(tg_sum(tg_mul(f.a, f.b)), 2), shared_place(f.a, f.b));
        if (i == 1) allocations = tg_stats(f.t).allocations;
        tg_release(mark);
    }
    cr_expect(tg_stats(f.t).allocations == allocations);
    tg_tape_free(f.t);
    tg_tape_free(g.t);
}

/* ---- strings --------------------------------------------------------------------------------- */

Test(expr, is_read_once_and_evaluated_often_from_a_string)
{
    const fixture f = set_up(TG_F64);
    char text[] = "tanh(net.W @ x + net.b)", first[] = "net.W";
    const char *const names[] = { first, "net.b", "x" };
    tg_expr *const e = tg_expr_new(text, names, 3);
    cr_assert(e);
    memset(text, '?', sizeof text - 1); /* it has copied what it needs */
    memset(first, '?', sizeof first - 1);
    const tg_value values[] = { f.W, f.v, f.x };
    for (int i = 0; i < 3; i++)
        SAME(tg_tanh(tg_add(tg_matmul(f.W, f.x), f.v)), tg_expr_eval(e, values, 3));
    const tg_value wrong[] = { f.x, f.v, f.W };
    cr_expect(is_null(tg_expr_eval(e, wrong, 3)));
    cr_expect(shows(message_of(f.t), "matmul", NULL, "tanh(net.W @ x + net.b)", 11), "%s",
              message_of(f.t));
    tg_error_clear(f.t);
    cr_expect(is_null(tg_expr_eval(e, values, 2)));
    cr_expect(strstr(message_of(f.t), "expr: 2 values given, the expression has 3 names"));
    tg_error_clear(f.t);
    cr_expect(is_null(tg_expr_eval(NULL, values, 3)));
    cr_expect(strstr(message_of(f.t), "expr: the expression is NULL"));
    cr_expect(is_null(tg_expr_eval(e, NULL, 3)));
    cr_expect(strstr(last, "expr: the values are NULL"));
    tg_expr_free(e);
    tg_expr_free(NULL);
    tg_tape_free(f.t);
}

Test(expr, mistakes_in_strings_without_a_tape_go_to_the_process)
{
    static const char *const names[] = { "x", NULL };
    cr_expect(!tg_expr_new("x + z", names, 1));
    cr_expect(shows(last, "expr", "there is no value named z in the list", "x + z", 4), "%s", last);
    cr_expect(!tg_expr_new(NULL, names, 1));
    cr_expect(strstr(last, "expr: the text is NULL"), "%s", last);
    cr_expect(!tg_expr_new("x", NULL, 1));
    cr_expect(strstr(last, "expr: the list of values is empty"), "%s", last);
    cr_expect(!tg_expr_new("x", names, 0));
    cr_expect(strstr(last, "expr: the list of values is empty"), "%s", last);
    cr_expect(!tg_expr_new("x", names, 2));
    cr_expect(strstr(last, "expr: name 2 of the list is NULL"), "%s", last);
    cr_expect(!tg_expr_new("x", names, 100000));
    cr_expect(strstr(last, "expr: more than 255 values in the list"), "%s", last);
    cr_expect(is_null(tg_eval("x", names, NULL, 1)));
    cr_expect(strstr(last, "expr: the values are NULL"), "%s", last);
}

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* From texts to tapes: a value or an error, whatever it says. */
Test(expr, random_texts_give_a_value_or_an_error)
{
    static const char *const words[] = {
        "a",    "v",    "M",    "(",        ")",   "[",        "]",        "+",   "-",    "*",
        "/",    "@",    "**",   "<",        "?",   ":",        ",",        "1",   "2",    "0.5",
        "sum(", "exp(", "cat(", "reshape(", "at(", ", axis=1", ", axis=0", "[0]", "[1:]", "matmul(",
    };
    static const char *const names[] = { "a", "v", "M" };
    static const double element[6] = { 1, 2, 3, 4, 5, 6 };
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value values[] = { tg_scalar(t, 1), tg_param(t, element, 3),
                                tg_param(t, element, 2, 3) };
    const tg_mark mark = tg_tape_mark(t);
    uint32_t seed = SEED;
    size_t good = 0;
    for (int k = 0; k < 20000; k++) {
        char text[256] = "";
        for (uint32_t left = next(&seed) % 12 + 1; left > 0; left--)
            strcat(text, words[next(&seed) % (sizeof words / sizeof *words)]);
        const tg_value y = tg_eval(text, names, values, 3);
        cr_assert((tg_error_of(t) != NULL) == (tg_size(y) < 0), "%s: %s", text, message_of(t));
        good += !tg_error_of(t);
        tg_error_clear(t);
        tg_release(mark);
    }
    cr_expect(good > 200, "only %zu random texts give a value", good);
    fprintf(stderr, "# %zu of 20000 random texts give a value, seed %u\n", good, SEED);
    tg_tape_free(t);
}

/* An allocator that fails from its countdown on, and knows what is out. */
typedef struct heap {
    size_t calls, fail_at, bytes;
} heap;

static void *heap_allocate(void *user, size_t bytes)
{
    heap *const h = user;
    if (++h->calls >= h->fail_at) return NULL;
    h->bytes += bytes;
    return malloc(bytes);
}

static void heap_release(void *user, void *memory, size_t bytes)
{
    heap *const h = user;
    h->bytes -= bytes;
    free(memory);
}

Test(expr, every_allocation_may_fail)
{
    /* Enough numbers, steps and attributes for every array to grow. */
    static char text[60000] = "x";
    static const char *const names[] = { "x" };
    for (int i = 0; i < 480; i++)
        sprintf(text + strlen(text), " + %d * x[0, :] + sum(x, axis=%d)", i, i);
    for (int i = 0; i < 7000; i++) memcpy(text + strlen(text), "[0]", 4);
    for (size_t fail_at = 1;; fail_at++) {
        heap h = { .fail_at = fail_at };
        const tg__expr_source source = {
            .text = text, .names = names, .n = 1, .allocator = { heap_allocate, heap_release, &h }
        };
        tg__expr_mistake mistake = { 0 };
        tg_expr *const e = tg__expr_compile(&source, &mistake);
        cr_assert((e != NULL) == (h.calls < fail_at), "allocation %zu: %s", fail_at,
                  mistake.reason);
        tg_expr_free(e);
        cr_assert(h.bytes == 0, "allocation %zu: %zu bytes are not given back", fail_at, h.bytes);
        if (e) break;
        cr_assert(mistake.code == TG_ERROR_MEMORY && !mistake.shown);
        cr_assert(strcmp(mistake.reason, "no memory for the expression") == 0);
        cr_assert(fail_at < 1000);
    }
}

/* ---- rules ----------------------------------------------------------------------------------- */

TG_RULE(swish, "x * sigmoid(x)", "sigmoid(x) * (1 + x * sigmoid(-x))")
TG_RULE(own_tanh, "tanh(x)", "1 - y * y")
TG_RULE(ratio, "a / b", "1 / b", "-y / b")
TG_RULE(own_fma, "a * b + c", "b", "a", "1")
TG_RULE(straight, "round(x)", "1")
TG_RULE(tripled, "x", "3")

static tg_value swish_model(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    return swish(x[0]);
}

static tg_value ratio_model(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    return ratio(x[0], tg_exp(x[1]));
}

static tg_value fma_model(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    return own_fma(x[0], own_fma(x[1], x[0], x[0]), x[2]);
}

static tg_value tripled_model(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    return tripled(x[0]);
}

static void check_model(tg_model *model, int n, tg_verdict expected)
{
    static const double element[12] = {
        0.3, -1.2, 2, 0.7, -0.1, 1.1, -2, 0.4, 0.9, 1.7, -0.6, 0.2
    };
    const tg_check_input inputs[][3] = {
        { { "a", element, 0, { 0 } },
          { "b", element + 1, 0, { 0 } },
          { "c", element + 2, 0, { 0 } } },
        { { "a", element, 2, { 3, 4 } },
          { "b", element, 1, { 4 } },
          { "c", element + 2, 2, { 3, 1 } } },
        { { "a", element, 1, { 1 } },
          { "b", element, 2, { 2, 3 } },
          { "c", element + 2, 0, { 0 } } },
    };
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        tg_check_report report;
        tg_gradcheck(model, NULL, inputs[i], n, NULL, &report);
        cr_expect(report.verdict == expected, "%s", report.message);
    }
}

Test(rule, gradients_agree_with_differences_also_where_operands_broadcast)
{
    check_model(swish_model, 1, TG_AGREES);
    check_model(ratio_model, 2, TG_AGREES);
    check_model(fma_model, 3, TG_AGREES);
}

Test(rule, a_derivative_is_taken_as_given)
{
    check_model(tripled_model, 1, TG_WRONG);
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_scalar(t, 1.7), y = straight(x);
    cr_expect(tg_item(y) == 2 && tg_backward(tg_square(y)) && tg_grad_item(x) == 4);
    tg_tape_free(t);
}

/* The n-th derivatives of sum(f(x)) by x, elementwise. */
static bool derivative(tg_value y, tg_value x, int order, double *out, size_t n)
{
    for (int i = 0; i < order; i++) {
        const tg_value total = tg_sum(y);
        if (!tg_grad_values(&total, NULL, 1, &x, 1, &y)) return false;
    }
    return tg_read(y, out, n);
}

static void expect_orders(int line, tg_value mine, tg_value theirs, tg_value x, double bound)
{
    double a[8], b[8];
    const size_t n = (size_t)tg_size(x);
    for (int order = 1; order <= 4; order++) {
        cr_assert(derivative(mine, x, order, a, n) && derivative(theirs, x, order, b, n),
                  "line %d, order %d: %s", line, order, message_of(x.tape));
        for (size_t i = 0; i < n; i++)
            cr_expect(fabs(a[i] - b[i]) <= bound * (1 + fabs(b[i])),
                      "line %d, order %d, element %zu: %.17g, and %.17g", line, order, i, a[i],
                      b[i]);
    }
}

static void orders_of(tg_type type, double bound)
{
    static const double element[4] = { 0.3, -1.2, 1.4, 0.7 };
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = type });
    const tg_value x[] = { tg_scalar(t, 0.8), tg_param(t, element, 4) };
    for (int i = 0; i < 2; i++) {
        const tg_value b = tg_exp(x[i]);
        expect_orders(__LINE__, swish(x[i]), tg_silu(x[i]), x[i], bound);
        expect_orders(__LINE__, own_tanh(x[i]), tg_tanh(x[i]), x[i], bound);
        expect_orders(__LINE__, ratio(x[i], b), tg_div(x[i], b), x[i], bound);
        expect_orders(__LINE__, own_fma(x[i], x[i], b), tg_fma(x[i], x[i], b), x[i], bound);
        expect_orders(__LINE__, swish(own_tanh(x[i])), tg_silu(tg_tanh(x[i])), x[i], bound);
    }
    cr_expect(!tg_error_of(t), "%s", message_of(t));
    tg_tape_free(t);
}

/* 256 ulp: the texts compute the same in other orders. */
Test(rule, derivatives_up_to_the_fourth_are_those_of_the_built_in_operations)
{
    orders_of(TG_F64, 0x1p-44);
    orders_of(TG_F32, 0x1p-15);
}

Test(rule, goes_through_directions_and_hessians)
{
    static const double element[3] = { 0.3, -1.2, 2 }, direction[3] = { 1, -0.5, 0.25 };
    double mine[9], theirs[9];
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_param(t, element, 3);
    cr_assert(tg_jvp(swish(x), &x, 1, direction, 1, mine) &&
              tg_jvp(tg_silu(x), &x, 1, direction, 1, theirs));
    for (int i = 0; i < 3; i++) cr_expect(fabs(mine[i] - theirs[i]) <= 1e-14);
    cr_assert(tg_hessian(tg_sum(tg_square(swish(x))), &x, 1, mine) &&
              tg_hessian(tg_sum(tg_square(tg_silu(x))), &x, 1, theirs));
    for (int i = 0; i < 9; i++) cr_expect(fabs(mine[i] - theirs[i]) <= 1e-13);
    tg_tape_free(t);
}

Test(rule, has_the_value_of_its_expression_and_follows_forward)
{
    static const double first[3] = { 0.3, -1.2, 2 }, second[3] = { 1, 0.5, -3 };
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_param(t, first, 3), s = tg_at(x, 1), y = swish(x), z = ratio(s, y),
                   w = own_tanh(x);
    SAME(TG_EXPR(x * sigmoid(x), x), y);
    tg_set(x, second, 3);
    cr_expect(tg_forward(w));
    double seen[9], expected[9];
    cr_expect(tg_backward(tg_sum(tg_mul(z, w))) && tg_grad_read(x, seen, 3));
    tg_read(y, seen + 3, 3);
    tg_read(z, seen + 6, 3);
    tg_tape *const u = tg_tape_new(NULL);
    const tg_value x2 = tg_param(u, second, 3), y2 = swish(x2), z2 = ratio(tg_at(x2, 1), y2);
    cr_expect(tg_backward(tg_sum(tg_mul(z2, own_tanh(x2)))) && tg_grad_read(x2, expected, 3));
    tg_read(y2, expected + 3, 3);
    tg_read(z2, expected + 6, 3);
    cr_expect(memcmp(seen, expected, sizeof seen) == 0);
    tg_tape_free(t);
    tg_tape_free(u);
}

Test(rule, without_a_gradient_records_only_the_value)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_input(t, ((const double[]){ 1, 2 }), 2), p = tg_scalar(t, 1);
    size_t before = tg_stats(t).instructions;
    swish(x);
    cr_expect(tg_stats(t).instructions == before + 2, "a product and a sigmoid");
    TG_NO_GRAD(t)
    {
        before = tg_stats(t).instructions;
        swish(p);
        cr_expect(tg_stats(t).instructions == before + 2);
    }
    cr_expect(tg_backward(swish(p)), "%s", message_of(t));
    tg_tape_free(t);
}

TG_RULE(no_value, "x * z", "1")
TG_RULE(no_rule, "sum(x)", "1")
TG_RULE(no_part, "x[0]", "1")
TG_RULE(no_derivative, "x", "x *")
TG_RULE(no_y_in_values, "y", "1")
TG_RULE(no_broadcast, "a + b", "1", "1")

static void expect_mistake(tg_value y, tg_tape *t, const char *op, const char *reason,
                           const char *text, int column)
{
    cr_expect(tg_size(y) == -1 && shows(message_of(t), op, reason, text, column), "%s",
              message_of(t));
    cr_expect(strstr(message_of(t), "test_expr.c:"), "%s", message_of(t));
    tg_error_clear(t);
}

Test(rule, mistakes_are_shown_where_the_rule_stands)
{
    tg_tape *const t = tg_tape_new(NULL), *const u = tg_tape_new(NULL);
    const tg_value x = tg_scalar(t, 1), v = tg_param(t, NULL, 3), w = tg_param(t, NULL, 2);
    expect_mistake(no_value(x), t, "expr", "there is no value named z in the list", "x * z", 4);
    expect_mistake(no_rule(x), t, "expr", "sum is not elementwise: a rule may not use it", "sum(x)",
                   0);
    expect_mistake(no_part(v), t, "expr", "a part is not elementwise: a rule may not use it",
                   "x[0]", 2);
    expect_mistake(no_derivative(x), t, "expr", "the expression ends where a value is expected",
                   "x *", 3);
    expect_mistake(no_y_in_values(x), t, "expr", "there is no value named y in the list", "y", 0);
    expect_mistake(no_broadcast(v, w), t, "add", "shapes (3) and (2) do not broadcast", "a + b", 2);
    cr_expect(is_null(no_broadcast(x, tg_scalar(u, 1))));
    cr_expect(strstr(message_of(t), "two tapes") && strstr(message_of(u), "two tapes"));
    cr_expect(is_null(swish((tg_value){ 0 })));
    cr_expect(strstr(last, "none of the list is a value of a tape"), "%s", last);
    tg_error_clear(t);
    cr_expect(tg_item(swish(x)) == 1 / (1 + exp(-1.0)), "the tape works again: %s", message_of(t));
    tg_tape_free(t);
    tg_tape_free(u);
}
