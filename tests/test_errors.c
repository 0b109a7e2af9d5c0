/* What a tape says to mistakes, and that it survives all of them: wrong arguments, no memory at any
   place, forged handles, and random calls in random order. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tapegrad.h>

#include "finish.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* ---- what an error must be ------------------------------------------------------------------- */

static tg_tape *t;
static tg_value x;     /* a scalar parameter, 3 */
static tg_value A, B;  /* parameters of shape (2, 3) and (4, 5) */
static tg_value rows;  /* indices 0, 1, 1 */
static int reports;    /* how often the handler was called since the last expectation */
static char told[600]; /* what it was told last */

static void listen(const tg_error *error, void *user)
{
    (void)user;
    reports++;
    snprintf(told, sizeof told, "%s", error->message);
}

static void start(void)
{
    const int i[3] = { 0, 1, 1 };
    tg_set_error_handler(listen, NULL);
    t = tg_tape_new(NULL);
    x = tg_scalar(t, 3);
    A = tg_param(t, NULL, 2, 3);
    B = tg_param(t, NULL, 4, 5);
    rows = tg_index(t, i, 3);
}

static void finish(void)
{
    EXPECT_AT_THE_END(reports == 0, "an error nobody expected: %s", told);
    tg_tape_free(t);
}

TestSuite(errors, .init = start, .fini = finish);

static void expect(bool held, const char *text, int line)
{
    cr_expect(held, "line %d: %s", line, text);
}

/* Criterion's own assertions would print macros in full. */
#define EXPECT(condition) expect((condition), #condition, __LINE__)

/* The tape does nothing while it has an error. */
static void expect_inert(tg_tape *tape, int line)
{
    const tg_tape_stats before = tg_stats(tape);
    const tg_value other = tg_scalar(tape, 1), y = tg_mul(other, x), z = tg_sum(A),
                   fast = tg_mul(x, x);
    double out[6];
    expect(!tg_backward(x) && !tg_forward(x) && !tg_read(A, out, 6) && !tg_data(A) && !tg_grad(A) &&
               isnan(tg_item(x)) && tg_rank(A) == -1 && tg_size(A) == -1 && !tg_edit(A) &&
               !tg_name_of(A) && !tg_set(A, out, 6) && isnan(tg_item(y)) && isnan(tg_item(z)) &&
               fast.generation == 0,
           "the tape is inert after an error", line);
    const tg_tape_stats after = tg_stats(tape);
    expect(after.instructions == before.instructions && after.values == before.values,
           "nothing was recorded", line);
}

static void expect_error(tg_tape *tape, tg_code code, const char *message, int position, int line)
{
    char wanted[600];
    if (position) snprintf(wanted, sizeof wanted, "%s:%d: %s", __FILE__, position, message);
    else snprintf(wanted, sizeof wanted, "%s", message);
    cr_expect(reports == 1, "line %d: the handler was called %d times", line, reports);
    cr_expect(strcmp(told, wanted) == 0, "line %d: \"%s\", not \"%s\"", line, told, wanted);
    reports = 0;
    if (!tape) return;
    const tg_error *const error = tg_error_of(tape);
    cr_assert(error, "line %d: no error on the tape", line);
    cr_expect(error->code == code && strcmp(error->message, wanted) == 0 &&
                  error->line == position && !error->file == !position && error->op &&
                  strstr(message, error->op) == message,
              "line %d: code %d, op %s, %s:%d: %s", line, (int)error->code, error->op, error->file,
              error->line, error->message);
    if (tape == t) expect_inert(tape, line);
    cr_expect(reports == 0 && tg_error_of(tape) == error,
              "line %d: the first error stays, and is told once", line);
    tg_error_clear(tape);
    cr_expect(!tg_error_of(tape));
}

/* The line of the tape's error, if the statement about this line has it: which line a call of several
   lines is on, compilers do not agree about. */
static int line_about(int line)
{
    const tg_error *const error = tg_error_of(t);
    return error && abs(error->line - line) < 8 ? error->line : line;
}

/* Calls that take the caller's position, and those that do not. */
#define FAILS(code, message, call)                                                                 \
    ((void)(call), expect_error(t, code, message, line_about(__LINE__), __LINE__))
#define FAILS_PLAIN(code, message, call) ((void)(call), expect_error(t, code, message, 0, __LINE__))

/* Memory that is counted, and that fails: at one call, or from it on. */
typedef struct meter {
    long calls, fail_at;
    bool for_good;
    size_t bytes;
} meter;

static void *take(void *user, size_t bytes)
{
    meter *const m = user;
    m->calls++;
    if (m->fail_at && (m->for_good ? m->calls >= m->fail_at : m->calls == m->fail_at)) return NULL;
    void *const p = malloc(bytes);
    if (p) m->bytes += bytes;
    return p;
}

static void give_back(void *user, void *memory, size_t bytes)
{
    meter *const m = user;
    m->bytes -= bytes;
    free(memory);
}

/* ---- shapes and axes ------------------------------------------------------------------------- */

Test(errors, shapes_that_do_not_fit_are_told_with_their_numbers)
{
    FAILS(TG_ERROR_SHAPE, "add: shapes (2, 3) and (4, 5) do not broadcast", tg_add(A, B));
    FAILS(TG_ERROR_SHAPE, "matmul: shapes (2, 3) and (4, 5) do not agree: 3 columns, 4 rows",
          tg_matmul(A, B));
    FAILS(TG_ERROR_SHAPE,
          "cat: shapes (2, 3) and (4, 5) of operands 0 and 1 differ elsewhere than in axis 0",
          tg_cat(TG_VALUES(A, B)));
    FAILS(TG_ERROR_SHAPE, "reshape: shape (2, 3), 6 elements, does not fit into (4, 2)",
          tg_reshape(A, 4, 2));
    FAILS(TG_ERROR_SHAPE, "reshape: only one dimension can be -1, not both 0 and 1",
          tg_reshape(A, -1, -1));
    FAILS(TG_ERROR_SHAPE, "broadcast_to: shape (2, 3) does not broadcast to (2, 4)",
          tg_broadcast_to(A, 2, 4));
    FAILS(TG_ERROR_SHAPE, "permute: 1 axes named, shape (2, 3) has 2", tg_permute(A, 0));
    FAILS(TG_ERROR_SHAPE, "permute: axis 1 is named twice", tg_permute(A, 1, 1));
    FAILS(TG_ERROR_SHAPE, "squeeze: axis 0 of shape (2, 3) has length 2, not 1",
          tg_squeeze(A, .axis = 0));
}

Test(errors, axes_that_are_not_there_are_told)
{
    FAILS(TG_ERROR_SHAPE, "sum: there is no axis 2 in a tensor of rank 2", tg_sum(A, .axis = 2));
    FAILS(TG_ERROR_SHAPE, "sum: there is no axis -3 in a tensor of rank 2",
          tg_sum(A, .axes = TG_AXES(0, -3)));
    FAILS(TG_ERROR_SHAPE, "sum: axis -1 is given twice", tg_sum(A, .axes = TG_AXES(1, -1)));
    FAILS(TG_ERROR_SHAPE, "sum: there is no axis 0 in a tensor of rank 0", tg_sum(x, .axis = 0));
    FAILS(TG_ERROR_SHAPE, "transpose: there is no axis 2 in shape (2, 3)",
          tg_transpose(A, .axis0 = 2));
    FAILS(TG_ERROR_SHAPE, "slice: there is no axis 5 in shape (2, 3)", tg_slice(A, .axis = 5));
    FAILS(TG_ERROR_SHAPE, "softargmax: there is no axis 2 in a tensor of rank 2",
          tg_softmax(A, .axis = 2));
    FAILS_PLAIN(TG_ERROR_SHAPE, "dim: there is no axis 2 in shape (2, 3)", tg_dim(A, 2));
    FAILS_PLAIN(TG_ERROR_SHAPE, "dim: there is no axis -3 in shape (2, 3)", tg_dim(A, -3));
}

Test(errors, orders_and_parts_that_there_are_not_are_told)
{
    FAILS(TG_ERROR_SHAPE, "sort: there is no axis 2 in shape (2, 3)", tg_sort(A, .axis = 2));
    FAILS(TG_ERROR_SHAPE, "argsort: there is no axis -1 in shape ()", tg_argsort(x));
    FAILS(TG_ERROR_SHAPE, "topk: there is no axis 2 in shape (2, 3)", tg_topk(A, .axis = 2));
    FAILS(TG_ERROR_ARGUMENT, "topk: k is 4, axis 1 of shape (2, 3) has 3 elements",
          tg_topk(A, .k = 4));
    FAILS(TG_ERROR_ARGUMENT, "argtopk: k is -1, axis 0 of shape (2, 3) has 2 elements",
          tg_argtopk(A, .k = -1, .axis = 0));
    FAILS(TG_ERROR_SHAPE, "median: there is no axis 5 in a tensor of rank 2",
          tg_median(A, .axis = 5));
    FAILS(TG_ERROR_SHAPE, "cumprod: there is no axis 2 in shape (2, 3)", tg_cumprod(A, .axis = 2));
    FAILS(TG_ERROR_SHAPE, "logcumsumexp: there is no axis -3 in shape (2, 3)",
          tg_logcumsumexp(A, .axis = -3));
    FAILS(TG_ERROR_SHAPE, "split: there is no axis 2 in shape (2, 3)", tg_split(A, .axis = 2));
    FAILS(TG_ERROR_SHAPE, "split: axis 1 of length 3 has no 2 equal parts",
          tg_split(A, .axis = 1, .parts = 2));
    FAILS(TG_ERROR_SHAPE, "split: axis 0 of length 2 has no 0 equal parts",
          tg_split(A, .parts = 0));
    FAILS(TG_ERROR_INDEX, "split: part 2 of 2", tg_split(A, .parts = 2, .index = 2));
    FAILS(TG_ERROR_INDEX, "split: part -3 of 2", tg_split(A, .parts = 2, .index = -3));
    tg_value part[2] = { x, x };
    FAILS(TG_ERROR_SHAPE, "split: axis 1 of length 3 has no 2 equal parts",
          EXPECT(!tg_split_all(A, 1, 2, part)));
    EXPECT(part[0].generation == 0 && part[1].generation == 0);
    FAILS(TG_ERROR_SHAPE, "split: axis 1 of length 3 has no 0 equal parts",
          EXPECT(!tg_split_all(A, 1, 0, part)));
}

Test(errors, ranges_and_draws_that_make_no_sense_are_told)
{
    FAILS(TG_ERROR_ARGUMENT,
          "arange: from 0 to 1 in steps of 0: numbers must be finite, the step not 0, and no more "
          "than 2147483647 fit into a tensor",
          tg_arange(t, 0, 1, 0));
    FAILS(TG_ERROR_ARGUMENT,
          "arange: from 0 to 1e+10 in steps of 1: numbers must be finite, the step not 0, and no "
          "more than 2147483647 fit into a tensor",
          tg_arange(t, 0, 1e10, 1));
    FAILS(TG_ERROR_ARGUMENT,
          "arange: from 0 to inf in steps of inf: numbers must be finite, the step not 0, and no "
          "more than 2147483647 fit into a tensor",
          tg_arange(t, 0, (double)INFINITY, (double)INFINITY));
    FAILS(TG_ERROR_ARGUMENT, "linspace: from 0 to nan: both and their distance must be finite",
          tg_linspace(t, 0, (double)NAN, 3));
    FAILS(TG_ERROR_SHAPE,
          "leaf: shape (-1) has a negative axis or too many elements (more than 2147483647)",
          tg_linspace(t, 0, 1, -1));
    FAILS(TG_ERROR_SHAPE,
          "leaf: shape (-2, 3) has a negative axis or too many elements (more than 2147483647)",
          tg_eye(t, -2, 3));
    FAILS(TG_ERROR_ARGUMENT,
          "uniform: from 1 to 0: both and their distance must be finite, in this order",
          tg_uniform(t, 1, 1, 0, 3));
    FAILS(TG_ERROR_ARGUMENT,
          "uniform: from -1e+308 to 1e+308: both and their distance must be finite, in this order",
          tg_uniform(t, 1, -1e308, 1e308, 3));
    FAILS(TG_ERROR_ARGUMENT,
          "normal: mean 0, standard deviation -1: both must be finite, the latter not negative",
          tg_normal(t, 1, 0, -1, 3));
    FAILS(TG_ERROR_ARGUMENT, "bernoulli: p is 1.5, which is no probability",
          tg_bernoulli(t, 1, 1.5, 3));
    FAILS(TG_ERROR_SHAPE,
          "index: shape (-1) has a negative axis or too many elements (more than 2147483647)",
          tg_permutation(t, 1, -1));
    FAILS(TG_ERROR_ARGUMENT, "dropout: p is -0.1, which is no probability",
          tg_dropout(A, .p = -0.1));
    FAILS(TG_ERROR_ARGUMENT, "dropout: p is nan, which is no probability",
          tg_dropout(A, .p = (double)NAN));
    EXPECT(tg_uniform(NULL, 1, 0, 1, 3).generation == 0 && reports == 1);
    EXPECT(strstr(told, "leaf: the tape is NULL"));
    reports = 0;
}

Test(errors, the_largest_of_nothing_is_an_error)
{
    const tg_value none = tg_param(t, NULL, 0, 3);
    FAILS(TG_ERROR_SHAPE, "amax: no elements to choose from in shape (0, 3)", tg_amax(none));
    FAILS(TG_ERROR_SHAPE, "argmax: no elements to choose from in shape (0, 3)",
          tg_argmax(none, .axis = 0));
    EXPECT(tg_size(tg_amax(none, .axis = 1)) == 0);
}

Test(errors, shapes_too_large_for_a_tensor_are_refused)
{
    FAILS(TG_ERROR_SHAPE,
          "leaf: shape (65536, 65536) has a negative axis or too many elements (more than "
          "2147483647)",
          tg_param(t, NULL, 65536, 65536));
    FAILS(TG_ERROR_SHAPE,
          "leaf: shape (0, 2147483648) has a negative axis or too many elements (more than "
          "2147483647)",
          tg_param(t, NULL, 0, 2147483648));
    FAILS(TG_ERROR_SHAPE,
          "leaf: shape (-1) has a negative axis or too many elements (more than 2147483647)",
          tg_param(t, NULL, -1));
    FAILS(TG_ERROR_SHAPE,
          "leaf: shape (9223372036854775807, 9223372036854775807) has a negative axis or too many "
          "elements (more than 2147483647)",
          tg_input(t, NULL, INT64_MAX, INT64_MAX));
    FAILS(TG_ERROR_SHAPE, "leaf: 9 axes: there may be 0 to 8",
          tg_param(t, NULL, 1, 1, 1, 1, 1, 1, 1, 1, 1));
    FAILS(TG_ERROR_SHAPE, "leaf: -1 axes: there may be 0 to 8",
          tg_leaf_new(t, TG_PARAMETER, TG_F64, NULL, -1, NULL, TG_HERE));
    FAILS(
        TG_ERROR_SHAPE,
        "index: shape (4294967296) has a negative axis or too many elements (more than 2147483647)",
        tg_index(t, (int *)NULL, 4294967296));
    const tg_value wide = tg_broadcast_to(x, 50000, 1), tall = tg_broadcast_to(x, 1, 50000);
    FAILS(TG_ERROR_SHAPE, "add: shapes (50000, 1) and (1, 50000) do not broadcast",
          tg_add(wide, tall));
    FAILS(TG_ERROR_SHAPE,
          "matmul: a result of shape (50000, 50000) is too large: more than 2147483647 elements",
          tg_matmul(wide, tall));
    FAILS(TG_ERROR_SHAPE,
          "tile: a result of shape (2, 6000000000) is too large: more than 2147483647 elements",
          tg_tile(A, 1, 2000000000));
}

/* ---- equations and factorisations ------------------------------------------------------------- */

Test(errors, equations_that_do_not_fit_their_operands_are_told)
{
    const tg_value wide = tg_reshape(A, 1, 1, 2, 3, 1);
    FAILS(TG_ERROR_ARGUMENT,
          "einsum: equation, character 3: expected '->': there are no more operands",
          tg_einsum("ij,jk->ik", A));
    FAILS(TG_ERROR_ARGUMENT,
          "einsum: equation, character 3: expected ',' and a term for every operand",
          tg_einsum("ij", A, A));
    FAILS(TG_ERROR_ARGUMENT, "einsum: equation, character 2: expected a letter, '...', ',' or '->'",
          tg_einsum("i*->i", A));
    FAILS(TG_ERROR_ARGUMENT, "einsum: equation, character 7: expected the end",
          tg_einsum("ij->ij,", A));
    FAILS(TG_ERROR_ARGUMENT, "einsum: equation, character 9: expected no more than 8 letters",
          tg_einsum("abcdefghi", A));
    FAILS(TG_ERROR_SHAPE, "einsum: operand 0 of shape (2, 3) has 2 axes, its term 3 letters",
          tg_einsum("ijk->ik", A));
    FAILS(TG_ERROR_SHAPE,
          "einsum: operand 0 of shape (2, 3) has 2 axes, its term 3 letters and '...'",
          tg_einsum("ij...k", A));
    FAILS(TG_ERROR_SHAPE, "einsum: axis j has length 3, and 2 in operand 1 of shape (2, 3)",
          tg_einsum("ij,jk->ik", A, A));
    FAILS(TG_ERROR_SHAPE, "einsum: axis ... has length 3, and 2 in operand 1 of shape (3, 2)",
          tg_einsum("i...,j...", tg_reshape(A, 2, 3), tg_reshape(A, 3, 2)));
    FAILS(TG_ERROR_ARGUMENT, "einsum: the result names axis z, which no operand has",
          tg_einsum("ij->z", A));
    FAILS(TG_ERROR_ARGUMENT, "einsum: the result names axis i twice", tg_einsum("ij->ii", A));
    FAILS(TG_ERROR_ARGUMENT, "einsum: an operand has axes of '...', which the result does not name",
          tg_einsum("...j->j", A));
    FAILS(TG_ERROR_SHAPE, "einsum: the result would have more than 8 axes",
          tg_einsum("abcde,fghij", wide, wide));
    FAILS(TG_ERROR_SHAPE, "einsum: a product of operands would have 10 axes: 8 are possible",
          tg_einsum("abcde,fghij,abcde,fghij->a", wide, wide, wide, wide));
    char text[200];
    memset(text, ' ', sizeof text);
    text[sizeof text - 1] = 0;
    FAILS(TG_ERROR_ARGUMENT, "einsum: the equation has more than 127 characters",
          tg_einsum(text, A));
    FAILS_PLAIN(TG_ERROR_ARGUMENT,
                "einsum: attributes, character 10: expected an equation in quotes",
                tg_apply(t, "einsum", &A, 1, "equation=ij"));
    FAILS_PLAIN(TG_ERROR_ARGUMENT,
                "einsum: attributes, character 10: expected a quote at its end, too",
                tg_apply(t, "einsum", &A, 1, "equation='ij"));
    snprintf(text, sizeof text, "equation='%150s'", "");
    FAILS_PLAIN(TG_ERROR_ARGUMENT, "einsum: attributes, character 10: expected a shorter equation",
                tg_apply(t, "einsum", &A, 1, text));
    tg_value many[70];
    for (int i = 0; i < 70; i++) many[i] = x;
    FAILS_PLAIN(TG_ERROR_ARGUMENT, "einsum: 70 operands: 64 are possible",
                tg_apply(t, "einsum", many, 70, NULL));
    const tg_value full = tg_reshape(A, 1, 1, 1, 1, 1, 1, 2, 3);
    for (int i = 0; i < 14; i++) many[i] = full;
    FAILS_PLAIN(TG_ERROR_ARGUMENT,
                "einsum: too many axes: 8 different ones, 137 letters written out",
                tg_apply(t, "einsum", many, 14,
                         "equation='...,...,...,...,...,...,...,...,...,...,...,...,...,...'"));
}

Test(errors, matrices_without_factors_are_told_with_position_and_pivot)
{
    const double two[] = { 2, 0, 0, 1, 1, 2, 2, 4 };
    const tg_value s = tg_param(t, two, 2, 2, 2), bad = tg_at(s, 1), zero = tg_zeros(t, 3, 3);
    FAILS(TG_ERROR_ARGUMENT, "inverse: matrix (1) is singular: pivot 1 is 0", tg_inverse(s));
    FAILS(TG_ERROR_ARGUMENT, "solve: the matrix is singular: pivot 1 is 0",
          tg_solve(bad, tg_zeros(t, 2)));
    FAILS(TG_ERROR_ARGUMENT, "solve_triangular: the matrix is singular: pivot 0 is 0",
          tg_solve_triangular(zero, tg_zeros(t, 3)));
    FAILS(TG_ERROR_ARGUMENT, "cholesky: matrix (1) is not positive definite: pivot 1 is 0",
          tg_cholesky(s));
    FAILS(TG_ERROR_ARGUMENT, "cholesky: the matrix is not positive definite: pivot 0 is -2",
          tg_cholesky(tg_neg(tg_at(s, 0))));
    FAILS(TG_ERROR_SHAPE, "inverse: shape (2, 3) holds no square matrices: 2 rows, 3 columns",
          tg_inverse(A));
    FAILS(TG_ERROR_SHAPE, "det: shape () has no two axes", tg_det(x));
    FAILS(TG_ERROR_SHAPE, "trace: shape () has no two axes", tg_trace(x));
    FAILS(TG_ERROR_SHAPE,
          "solve: shapes (2, 2) and (3, 3) do not agree: 2 rows in the matrices, 3 in the right "
          "sides",
          tg_solve(bad, zero));
    FAILS(TG_ERROR_SHAPE,
          "solve: shapes (2, 2, 2) and (3, 2, 1) do not broadcast: batch axes (2), (3)",
          tg_solve(s, tg_zeros(t, 3, 2, 1)));
    tg_value q = x, r = x;
    FAILS(TG_ERROR_SHAPE, "qr: shape () has no two axes", tg_qr(x, &q, &r));
    EXPECT(q.tape == t && q.generation == 0 && r.tape == t && r.generation == 0);
    FAILS(TG_ERROR_SHAPE, "eigh: shape (2, 3) holds no square matrices: 2 rows, 3 columns",
          tg_eigh(A, &q, &r));
    FAILS(TG_ERROR_SHAPE, "svd: shape () has no two axes", tg_svd(x, &q, NULL, &r));
    const tg_value none = tg_param(t, NULL, 2, 2);
    EXPECT(tg_qr_at(none, &q, NULL, NULL));
    const tg_value y = tg_sum(q);
    FAILS_PLAIN(TG_ERROR_ARGUMENT, "qr: the matrix has no gradient: element 0 of R's diagonal is 0",
                tg_backward(y));
    tg_value g;
    FAILS(TG_ERROR_ARGUMENT, "solve_triangular: the matrix is singular: pivot 0 is 0",
          tg_grad_values(&y, NULL, 1, &none, 1, &g));
}

/* ---- types and indices ----------------------------------------------------------------------- */

Test(errors, types_that_do_not_fit_are_told)
{
    FAILS(TG_ERROR_TYPE, "exp: operand 1 has elements of type i64, where f64 is wanted",
          tg_exp(rows));
    FAILS(TG_ERROR_TYPE, "mul: operand 2 has elements of type i64, where f64 is wanted",
          tg_mul(A, rows));
    FAILS(TG_ERROR_TYPE,
          "index_select: operand 2 has elements of type f64, where an index tensor (i64) is wanted",
          tg_index_select(A, x));
    FAILS(TG_ERROR_TYPE,
          "cast: operand 1 has elements of type f64, where an index tensor (i64) is wanted",
          tg_cast(A));
    FAILS(TG_ERROR_TYPE, "cat: operand 2 has elements of type i64, where f64 is wanted",
          tg_cat(TG_VALUES(A, rows)));
    FAILS(TG_ERROR_TYPE, "stack: operand 2 has elements of type f64, where i64 is wanted",
          tg_stack(TG_VALUES(rows, A)));
    FAILS(TG_ERROR_TYPE, "sort: operand 1 has elements of type i64, where f64 is wanted",
          tg_sort(rows));
    FAILS(TG_ERROR_TYPE, "data: the elements are of type f64, not f32", tg_data_f32(A));
    FAILS(TG_ERROR_TYPE, "data: the elements are of type i64, not f64", tg_data(rows));
    FAILS(TG_ERROR_TYPE, "data: the elements are of type f64, not i64", tg_data_i64(A));
    FAILS_PLAIN(TG_ERROR_TYPE, "edit: the leaf has type f64, not f32", tg_edit_f32(A));
    FAILS_PLAIN(TG_ERROR_TYPE, "edit: the leaf has type i64, not f64", tg_edit(rows));
    FAILS_PLAIN(TG_ERROR_TYPE, "want_gradient: constants and index tensors have no gradient",
                tg_want_gradient(rows, true));
    const double d[3] = { 0, 0, 0 };
    const int i[6] = { 0, 0, 0, 0, 0, 0 };
    FAILS(TG_ERROR_TYPE, "set: floats given for a leaf of type i64", tg_set(rows, d, 3));
    FAILS(TG_ERROR_TYPE, "set: integers given for a leaf of type f64", tg_set(A, i, 6));
    FAILS(TG_ERROR_TYPE, "index: integers have 1, 2, 4 or 8 bytes, not 3",
          tg_index_new(t, 3, d, 0, NULL, TG_HERE));
    FAILS(TG_ERROR_TYPE, "leaf: data must be double or float",
          tg_leaf_new(t, TG_PARAMETER, TG_I64, i, 0, NULL, TG_HERE));
    const float f[1] = { 1 };
    FAILS(TG_ERROR_TYPE, "leaf_view: a view needs data of the tape's type, f64",
          tg_param_view(t, f, 1));
    if (tg_backward(tg_sum(A)))
        FAILS_PLAIN(TG_ERROR_TYPE, "grad: the elements are of type f64, not f32", tg_grad_f32(A));
}

Test(errors, indices_outside_their_axis_are_told_with_value_and_position)
{
    const int bad[3] = { 0, 2, 1 }, negative[3] = { 0, 1, -3 };
    const tg_value i = tg_index(t, bad, 3), j = tg_index(t, negative, 3);
    FAILS(TG_ERROR_INDEX, "index_select: index 2 at position (1) is outside axis 0 of length 2",
          tg_index_select(A, i));
    FAILS(TG_ERROR_INDEX, "index_select: index -3 at position (2) is outside axis 0 of length 2",
          tg_index_select(A, j));
    FAILS(TG_ERROR_INDEX, "select: index 3 is outside axis 1 of length 3",
          tg_select(A, .axis = 1, .index = 3));
    FAILS(TG_ERROR_INDEX, "at: index -3 is outside axis 0 of length 2", tg_at(A, -3));
    FAILS(TG_ERROR_INDEX, "at: 3 indices for shape (2, 3), which has 2 axes", tg_at(A, 0, 0, 0));
}

Test(errors, an_index_made_wrong_by_set_is_found_by_forward)
{
    const int line = __LINE__ + 1;
    const tg_value y = tg_sum(tg_index_select(A, rows));
    const int bad[3] = { 0, 1, 7 }, good[3] = { 1, 1, 1 };
    EXPECT(tg_set(rows, bad, 3));
    (void)tg_forward(y);
    expect_error(t, TG_ERROR_INDEX,
                 "index_select: index 7 at position (2) is outside axis 0 of length 2", line,
                 __LINE__);
    EXPECT(tg_set(rows, good, 3) && tg_forward(y) && tg_backward(y));
}

Test(errors, an_index_made_wrong_behind_the_back_of_backward_does_no_harm)
{
    const tg_value y = tg_sum(tg_index_select(A, rows));
    const long bad[3] = { 1L << 40, -(1L << 40), 3 };
    EXPECT(tg_set(rows, bad, 3));
    EXPECT(!tg_backward(y) && tg_error_of(t)->code == TG_ERROR_HISTORY);
    reports = 0;
    tg_error_clear(t);
}

/* ---- handles --------------------------------------------------------------------------------- */

Test(errors, values_of_two_tapes_give_both_the_error)
{
    tg_tape *const other = tg_tape_new(NULL);
    const tg_value y = tg_scalar(other, 1);
    const char *const message = "the operands are values of two tapes";
    char wanted[600];
    const tg_value z = tg_add(x, y);
    snprintf(wanted, sizeof wanted, "%s:%d: add: %s", __FILE__, __LINE__ - 1, message);
    EXPECT(reports == 1 && strcmp(told, wanted) == 0);
    EXPECT(tg_error_of(t) && tg_error_of(t)->code == TG_ERROR_HANDLE &&
           strcmp(tg_error_of(t)->message, wanted) == 0);
    EXPECT(tg_error_of(other) && strcmp(tg_error_of(other)->message, wanted) == 0);
    reports = 0;
    EXPECT(isnan(tg_item(z)) && isnan(tg_item(y)));
    tg_error_clear(t);
    tg_error_clear(other);
    EXPECT(tg_item(y) == 1 && tg_item(x) == 3);
    FAILS_PLAIN(TG_ERROR_HANDLE, "mul: operand 2 is no value of the tape",
                tg_apply(t, "mul", TG_VALUES(x, y), NULL));
    EXPECT(!tg_error_of(other));
    tg_tape_free(other);
}

Test(errors, a_stale_handle_is_told_wherever_it_is_used)
{
    const tg_mark mark = tg_tape_mark(t);
    const tg_value v = tg_exp(A), s = tg_exp(x);
    tg_release(mark);
#define STALE "the value is stale: it was released, or the tape was reset, since it was made"
#define STALE_OPERAND(n)                                                                           \
    "operand " #n " is stale: it was released, or the tape was reset, since it was made"
    const double d[6] = { 0 };
    double out[6];
    FAILS(TG_ERROR_HANDLE, "exp: " STALE_OPERAND(1), tg_exp(v));
    FAILS(TG_ERROR_HANDLE, "mul: " STALE_OPERAND(2), tg_mul(A, v));
    FAILS(TG_ERROR_HANDLE, "mul: " STALE_OPERAND(1), tg_mul(s, x));
    FAILS(TG_ERROR_HANDLE, "add: " STALE_OPERAND(2), tg_add(2, s));
    FAILS(TG_ERROR_HANDLE, "fma: " STALE_OPERAND(3), tg_fma(x, x, s));
    FAILS(TG_ERROR_HANDLE, "detach: " STALE, tg_detach(v));
    FAILS(TG_ERROR_HANDLE, "set: " STALE, tg_set(v, d, 6));
    FAILS_PLAIN(TG_ERROR_HANDLE, "backward: " STALE, tg_backward(s));
    FAILS_PLAIN(TG_ERROR_HANDLE, "forward: " STALE, tg_forward(s));
    FAILS(TG_ERROR_HANDLE, "item: " STALE, tg_item(s));
    FAILS(TG_ERROR_HANDLE, "read: " STALE, tg_read(v, out, 6));
    FAILS(TG_ERROR_HANDLE, "data: " STALE, tg_data(v));
    FAILS_PLAIN(TG_ERROR_HANDLE, "grad: " STALE, tg_grad(v));
    FAILS_PLAIN(TG_ERROR_HANDLE, "grad_read: " STALE, tg_grad_read(v, out, 6));
    FAILS_PLAIN(TG_ERROR_HANDLE, "grad_item: " STALE, tg_grad_item(s));
    FAILS_PLAIN(TG_ERROR_HANDLE, "size: " STALE, tg_size(v));
    FAILS_PLAIN(TG_ERROR_HANDLE, "rank: " STALE, tg_rank(v));
    FAILS_PLAIN(TG_ERROR_HANDLE, "type_of: " STALE, tg_type_of(v));
    FAILS_PLAIN(TG_ERROR_HANDLE, "dim: " STALE, tg_dim(v, 0));
    FAILS_PLAIN(TG_ERROR_HANDLE, "edit: " STALE, tg_edit(v));
    FAILS_PLAIN(TG_ERROR_HANDLE, "written: " STALE, tg_written(v));
    FAILS_PLAIN(TG_ERROR_HANDLE, "want_gradient: " STALE, tg_want_gradient(v, true));
    FAILS_PLAIN(TG_ERROR_HANDLE, "name: " STALE, tg_name(v, "v"));
    FAILS_PLAIN(TG_ERROR_HANDLE, "name_of: " STALE, tg_name_of(v));
}

Test(errors, a_handle_of_an_older_mark_does_not_come_to_life_in_a_newer_one)
{
    tg_value old[8];
    for (int i = 0; i < 8; i++) {
        const tg_mark mark = tg_tape_mark(t);
        old[i] = tg_exp(x);
        tg_mark inner = tg_tape_mark(t);
        const tg_value deep = tg_exp(old[i]);
        EXPECT(tg_release(inner) && tg_item(old[i]) == exp(3));
        FAILS(TG_ERROR_HANDLE, "item: " STALE, tg_item(deep));
        inner = tg_tape_mark(t);
        EXPECT(tg_item(tg_exp(old[i])) == exp(exp(3)));
        if (i < 7) EXPECT(tg_release(mark));
    }
    EXPECT(tg_item(old[7]) == exp(3));
    for (int i = 0; i < 7; i++) FAILS(TG_ERROR_HANDLE, "item: " STALE, tg_item(old[i]));
}

Test(errors, a_reset_makes_every_handle_stale)
{
    tg_reset(t);
    FAILS(TG_ERROR_HANDLE, "item: " STALE, tg_item(x));
    x = tg_scalar(t, 3);
    A = tg_param(t, NULL, 2, 3);
    FAILS_PLAIN(TG_ERROR_HANDLE, "size: " STALE, tg_size(B));
}

Test(errors, a_null_handle_goes_to_the_process_wide_handler)
{
    const tg_value null = { 0 };
    (void)tg_exp(null);
    EXPECT(reports == 1 && strstr(told, "exp: operand 1 is a null value"));
    EXPECT(isnan(tg_item(null)) && reports == 2 && strstr(told, "item: the value is null"));
    EXPECT(!tg_backward(null) && !tg_edit(null) && tg_rank(null) == -1 && tg_size(null) == -1 &&
           reports == 6);
    reports = 0;
    FAILS(TG_ERROR_HANDLE, "mul: operand 2 is a null value", tg_mul(x, null));
    reports = 0;
    FAILS(TG_ERROR_HANDLE, "mul: operand 1 is a null value", tg_mul(null, x));
    reports = 1;
    (void)tg_scalar(NULL, 1);
    EXPECT(reports == 2 && strstr(told, "leaf: the tape is NULL"));
    (void)tg_add(1, 2);
    EXPECT(reports == 3 && strstr(told, "add: no operand is a value of a tape"));
    EXPECT(tg_tape_mark(NULL).tape == NULL && reports == 4 && !tg_release((tg_mark){ 0 }) &&
           reports == 5);
    tg_reset(NULL);
    tg_tape_free(NULL);
    tg_error_clear(NULL);
    tg_no_grad_begin(NULL);
    tg_no_grad_end(NULL);
    EXPECT(!tg_error_of(NULL) && tg_stats(NULL).bytes_held == 0 && reports == 5);
    reports = 0;
}

Test(errors, the_result_of_a_failed_operation_is_a_null_value_of_its_tape)
{
    const tg_value y = tg_add(A, B);
    EXPECT(y.tape == t && reports == 1);
    reports = 0;
    tg_error_clear(t);
    FAILS(TG_ERROR_HANDLE,
                "item: the value is null: it is the result of an operation that failed",
                tg_item(y));
    FAILS(TG_ERROR_HANDLE, "exp: operand 1 is null: it is the result of an operation that failed",
          tg_exp(y));
}

Test(errors, marks_that_are_none_are_refused)
{
    const char *const none = "release: the mark is none of this tape's, or was taken back by a "
                             "release to an earlier one";
    const tg_mark mark = tg_tape_mark(t);
    (void)tg_exp(x);
    const tg_mark inner = tg_tape_mark(t);
    EXPECT(tg_release(mark));
    FAILS_PLAIN(TG_ERROR_HANDLE, none, tg_release(inner));
    FAILS_PLAIN(TG_ERROR_HANDLE, none, tg_release((tg_mark){ t, 0, 0 }));
    FAILS_PLAIN(TG_ERROR_HANDLE, none, tg_release((tg_mark){ t, 1, mark.generation + 1 }));
    FAILS_PLAIN(TG_ERROR_HANDLE, none, tg_release((tg_mark){ t, UINT32_MAX, mark.generation }));
}

/* ---- history --------------------------------------------------------------------------------- */

Test(errors, backward_needs_a_history)
{
    const char *const none = "backward: the value has no history: it is a constant, an input, "
                             "detached, or recorded without gradients";
    const double d[1] = { 1 };
    const tg_value c = tg_constant(t, d), in = tg_input(t, d, 1);
    const tg_value both = tg_exp(in), cut = tg_detach(x), i = tg_argmax(A);
    const tg_value bad[] = { c, in, both, i };
    for (size_t k = 0; k < COUNT(bad); k++) {
        (void)tg_backward(bad[k]);
        expect_error(t, TG_ERROR_HISTORY, none, line_about(__LINE__), __LINE__);
    }
    EXPECT(!tg_backward(cut) && strstr(told, none) && !tg_backward(x));
    reports = 0;
    tg_error_clear(t);
}

Test(errors, backward_of_many_elements_needs_a_cotangent)
{
    const int line = __LINE__ + 1;
    const tg_value y = tg_exp(A);
    (void)tg_backward(y);
    expect_error(t, TG_ERROR_SHAPE,
                 "backward: the value has shape (2, 3): without a cotangent it needs one element",
                 line, __LINE__);
}

Test(errors, a_written_leaf_is_named_with_the_lines_of_both)
{
    const int line = __LINE__ + 1;
    const tg_value W = tg_name(tg_param(t, NULL, 2), "W1"), y = tg_sum(tg_exp(W));
    const double d[2] = { 1, 2 };
    EXPECT(tg_set(W, d, 2) && !tg_backward(y));
    char wanted[600];
    snprintf(wanted, sizeof wanted,
             "backward: exp was recorded here from the leaf W1 of %s:%d, which has been written "
             "since: record again, or call tg_forward",
             __FILE__, line);
    expect_error(t, TG_ERROR_HISTORY, wanted, line, __LINE__);
}

/* ---- counts, options, names ------------------------------------------------------------------ */

Test(errors, wrong_counts_and_pointers_are_told)
{
    double d[6] = { 0 };
    FAILS(TG_ERROR_SHAPE, "set: 5 elements given for a leaf of shape (2, 3)", tg_set(A, d, 5));
    FAILS(TG_ERROR_SHAPE, "set: 18446744073709551615 elements given for a leaf of shape (2, 3)",
          tg_set(A, d, SIZE_MAX));
    FAILS(TG_ERROR_ARGUMENT, "set: data is NULL", tg_set(A, (double *)NULL, 6));
    FAILS(TG_ERROR_ARGUMENT, "leaf_view: data is NULL", tg_param_view(t, (double *)NULL, 6));
    FAILS(TG_ERROR_SHAPE, "read: room for 7 elements given, shape (2, 3) read",
                tg_read(A, d, 7));
    FAILS(TG_ERROR_SHAPE, "read: no room given (6), shape (2, 3) read", tg_read(A, NULL, 6));
    FAILS(TG_ERROR_SHAPE, "item: shape (2, 3) has not one element", tg_item(A));
    EXPECT(tg_backward(tg_sum(A)));
    FAILS_PLAIN(TG_ERROR_SHAPE, "grad_read: room for 0 elements given, shape (2, 3) read",
                tg_grad_read(A, d, 0));
    FAILS_PLAIN(TG_ERROR_SHAPE, "grad_item: shape (2, 3) has not one element", tg_grad_item(A));
    const tg_value turned = tg_transpose(A);
    FAILS(TG_ERROR_SHAPE,
                "data: the value is a view whose elements are not adjacent: read it with tg_read "
                "or tg_grad_read, or make it contiguous",
                tg_data(turned));
    FAILS_PLAIN(TG_ERROR_SHAPE,
                "grad: the value is a view whose elements are not adjacent: read it with tg_read "
                "or tg_grad_read, or make it contiguous",
                tg_grad(turned));
}

Test(errors, only_leaves_can_be_written)
{
    const double d[3] = { 0 };
    const tg_value row = tg_at(A, 1), y = tg_exp(x), element = tg_at(A, 0, 0),
                   number = tg_mul(x, 2);
    FAILS(TG_ERROR_ARGUMENT, "set: the value is a part or view of a leaf, not a leaf",
          tg_set(row, d, 3));
    FAILS(TG_ERROR_ARGUMENT, "set: the value is a part or view of a leaf, not a leaf",
          tg_set(element, d, 1));
    FAILS(TG_ERROR_ARGUMENT, "set: the value is the result of an operation, not a leaf",
          tg_set(y, d, 1));
    FAILS_PLAIN(TG_ERROR_ARGUMENT, "edit: the value is the result of an operation, not a leaf",
                tg_edit(number));
}

Test(errors, options_that_make_no_sense_make_no_tape)
{
    const tg_allocator half = { .release = give_back }, other = { .allocate = take };
    const tg_tape_options bad[] = { { .type = TG_I64 },
                                    { .type = (tg_type)77 },
                                    { .allocator = &half },
                                    { .allocator = &other },
                                    { .max_bytes = 1 } };
    for (size_t i = 0; i < COUNT(bad); i++) {
        EXPECT(!tg_tape_new(&bad[i]) && reports == 1);
        reports = 0;
    }
    const tg_tape_options odd[] = {
        { .reserve = 1 }, { .reserve = SIZE_MAX }, { .reserve = 12345 }, { .max_bytes = SIZE_MAX }
    };
    for (size_t i = 0; i < COUNT(odd); i++) {
        tg_tape *const tape = tg_tape_new(&odd[i]);
        const tg_value v = tg_param(tape, NULL, 30000);
        EXPECT(tg_item(tg_sum(tg_exp(v))) == 30000 && tg_backward(tg_sum(v)));
        tg_tape_free(tape);
    }
}

Test(errors, operations_by_name_tell_what_is_wrong_with_name_operands_or_text)
{
    char name[] = "sum";
    FAILS_PLAIN(TG_ERROR_ARGUMENT, "apply: there is no operation named frobnicate",
                tg_apply(t, "frobnicate", &A, 1, NULL));
    FAILS_PLAIN(TG_ERROR_ARGUMENT, "apply: there is no operation named NULL",
                tg_apply(t, NULL, &A, 1, NULL));
    FAILS_PLAIN(TG_ERROR_ARGUMENT, "apply: there is no operation named leaf",
                tg_apply(t, "leaf", &A, 1, NULL));
    FAILS_PLAIN(TG_ERROR_ARGUMENT, "mul: 3 operands given, 2 wanted",
                tg_apply(t, "mul", TG_VALUES(x, x, x), NULL));
    FAILS_PLAIN(TG_ERROR_ARGUMENT, "mul: no operands given", tg_apply(t, "mul", &x, 0, NULL));
    FAILS_PLAIN(TG_ERROR_ARGUMENT, "mul: no operands given", tg_apply(t, "mul", NULL, 2, NULL));
    (void)tg_apply(t, name, &A, 1, "axis=");
    memset(name, '?', 3); /* the error must not need the caller's text */
    EXPECT(tg_error_of(t) && strcmp(tg_error_of(t)->op, "sum") == 0 &&
           strncmp(told, "sum: attributes, character", 26) == 0);
    tg_error_clear(t);
    const char *const bad[] = {
        "axis", "axis=1.5",   "axis=99999999999", "nonsense=1", "axis=1 keep=true",
        "=",    "keep=maybe", "axis=\xff\xfe",    "(((((((((",  "axes=(1,2,3,4,5,6,7,8,9)"
    };
    for (size_t i = 0; i < COUNT(bad); i++) {
        (void)tg_apply(t, "sum", &A, 1, bad[i]);
        cr_expect(tg_error_of(t), "%s", bad[i]);
        tg_error_clear(t);
    }
    reports = 0;
}

Test(errors, names_that_cannot_be_kept_are_refused)
{
    static char huge[70000];
    memset(huge, 'a', sizeof huge - 1);
    FAILS_PLAIN(TG_ERROR_ARGUMENT, "name: the name is NULL", tg_name(x, NULL));
    FAILS_PLAIN(TG_ERROR_ARGUMENT, "name: the name is too long", tg_name(x, huge));
    EXPECT(!tg_name_of(x));
}

Test(errors, messages_longer_than_their_room_are_cut)
{
    static char file[2000];
    memset(file, 'f', sizeof file - 1);
    (void)(tg_add_at)(A, B, &(tg_site){ file, 1 });
    EXPECT(reports == 1 && tg_error_of(t) && strlen(tg_error_of(t)->message) < 512);
    reports = 0;
    tg_error_clear(t);
    FAILS(TG_ERROR_SHAPE, "add: shapes (2, 3) and (4, 5) do not broadcast", tg_add(A, B));
}

/* ---- the sticky error and its handlers ------------------------------------------------------- */

Test(errors, the_first_error_of_an_expression_is_the_one_that_is_told)
{
    const int line = __LINE__ + 1;
    const tg_value y = tg_exp(tg_sum(tg_add(A, B)));
    (void)tg_matmul(A, B);
    EXPECT(isnan(tg_item(y)) && !tg_backward(y));
    expect_error(t, TG_ERROR_SHAPE, "add: shapes (2, 3) and (4, 5) do not broadcast", line,
                 __LINE__);
}

Test(errors, a_failed_operation_leaves_nothing_on_the_tape)
{
    const int bad[3] = { 0, 9, 1 };
    const tg_value i = tg_index(t, bad, 3);
    const tg_tape_stats before = tg_stats(t);
    (void)tg_index_select(A, i); /* fails in forward, after its result was made */
    reports = 0;
    tg_error_clear(t);
    (void)tg_matmul(A, B); /* fails in its shape rule */
    reports = 0;
    tg_error_clear(t);
    const tg_tape_stats after = tg_stats(t);
    EXPECT(after.instructions == before.instructions && after.values == before.values);
}

Test(errors, release_works_after_an_error_and_reset_forgets_it)
{
    const tg_mark mark = tg_tape_mark(t);
    (void)tg_add(A, B);
    EXPECT(tg_error_of(t) && tg_release(mark) && tg_error_of(t));
    tg_reset(t);
    EXPECT(!tg_error_of(t));
    x = tg_scalar(t, 2);
    const tg_value y = tg_square(x);
    EXPECT(tg_backward(y) && tg_grad_item(x) == 4);
    reports = 0;
}

Test(errors, a_backward_that_fails_on_its_way_leaves_no_half_computed_gradients)
{
    enum { MANY = 5000 };
    static tg_value many[MANY];
    meter m = { .for_good = true };
    const tg_allocator allocator = { take, give_back, &m };
    tg_tape *const tape = tg_tape_new(&(tg_tape_options){ .allocator = &allocator });
    const tg_value v = tg_scalar(tape, 2), early = tg_exp(v);
    for (int i = 0; i < MANY; i++) many[i] = early;
    const tg_value y = tg_sum(tg_stack(many, MANY));
    EXPECT(tg_backward(early) &&
           tg_grad_item(v) == exp(2)); /* room for gradients, but not for that many operands */
    m.fail_at = m.calls + 1;
    (void)tg_backward(y);
    EXPECT(reports == 1 && tg_error_of(tape)->code == TG_ERROR_MEMORY);
    tg_error_clear(tape);
    EXPECT(!tg_grad(v) && !tg_grad(y));
    m.fail_at = 0;
    EXPECT(tg_backward_with(y, &(tg_backward_options){ .accumulate = true }));
    EXPECT(fabs(tg_grad_item(v) - MANY * exp(2)) < 1e-6);
    tg_tape_free(tape);
    reports = 0;
}

static int own_reports;
static void own_handler(const tg_error *error, void *user)
{
    own_reports += error->code == TG_ERROR_SHAPE && user == &own_reports;
}

Test(errors, a_tape_may_have_a_handler_of_its_own)
{
    tg_tape *const tape =
        tg_tape_new(&(tg_tape_options){ .on_error = own_handler, .user = &own_reports });
    const tg_value a = tg_param(tape, NULL, 2), b = tg_param(tape, NULL, 3);
    (void)tg_add(a, b);
    (void)tg_add(a, b);
    EXPECT(own_reports == 1 && reports == 0);
    tg_error_clear(tape);
    (void)tg_add(a, b);
    EXPECT(own_reports == 2 && reports == 0);
    tg_tape_free(tape);
}

Test(errors, the_default_handler_prints_one_line)
{
    char text[600];
    int ends[2];
    cr_assert(pipe(ends) == 0);
    fflush(stderr);
    const int kept = dup(2);
    dup2(ends[1], 2);
    tg_set_error_handler(NULL, NULL);
    const int line = __LINE__ + 1;
    const tg_value y = tg_exp(tg_add(A, B));
    (void)tg_backward(y);
    tg_set_error_handler(tg_ignore_error, NULL);
    tg_error_clear(t);
    (void)tg_add(A, B);
    fflush(stderr);
    dup2(kept, 2);
    close(ends[1]);
    const ssize_t n = read(ends[0], text, sizeof text - 1);
    cr_assert(n > 0);
    text[n] = 0;
    char wanted[600];
    snprintf(wanted, sizeof wanted, "%s:%d: add: shapes (2, 3) and (4, 5) do not broadcast\n",
             __FILE__, line);
    cr_expect(strcmp(text, wanted) == 0, "\"%s\"", text);
}

/* ---- no memory, at any place ----------------------------------------------------------------- */

/* Uses every arena beyond its first block. The result is 1, or NaN after an error. */
static double scenario(tg_tape *tape)
{
    const tg_value W = tg_name(tg_param(tape, NULL, 3000), "W"), one = tg_scalar(tape, 1);
    const tg_mark mark = tg_tape_mark(tape);
    tg_value s = one, many[6000];
    for (int i = 0; i < 6000; i++) {
        s = i % 2 ? tg_mul(s, one) : tg_fma(s, one, 0);
        many[i] = s;
        if (i % 2) tg_name(s, "one of very many values, each of which has this name");
        if (i % 8 == 0) tg_tape_mark(tape);
    }
    const int three[] = { 1, 1, 2 };
    const tg_value i = tg_index(tape, three, 3), all = tg_index(tape, (int *)NULL, 9000);
    const tg_value ones = tg_index_select(tg_stack(many, 6000), i),
                   more = tg_exp(tg_index_select(W, all));
    const tg_value zeros =
        tg_prod(tg_reshape(tg_transpose(tg_broadcast_to(W, 5, 3000)), 3000, 5), .axis = 0);
    const tg_value y = tg_add(tg_mul(tg_mean(ones), tg_mean(more)), tg_sum(zeros));
    const bool ok = tg_edit(W) && tg_forward(y) && tg_backward(y);
    const double result = ok ? tg_item(y) : NAN;
    (void)tg_release(mark);
    return result;
}

static void fail_at(long n, bool for_good, bool *complete)
{
    meter m = { .fail_at = n, .for_good = for_good };
    const tg_allocator allocator = { take, give_back, &m };
    tg_tape *const tape = tg_tape_new(&(tg_tape_options){ .allocator = &allocator });
    const double first = tape ? scenario(tape) : NAN;
    const tg_error *const error = tg_error_of(tape);
    *complete = m.calls < n;
    cr_expect(reports == isnan(first), "call %ld: %d reports", n, reports);
    cr_expect(isnan(first) || first == 1, "call %ld: %g", n, first);
    cr_expect(!*complete || first == 1, "call %ld: %s", n, told);
    cr_expect(!tape || !error == !isnan(first), "call %ld", n);
    cr_expect(!error || error->code == TG_ERROR_MEMORY, "call %ld: %s", n, told);
    m.fail_at = 0; /* with memory again, everything works again */
    for (int again = 0; tape && again < 2; again++) {
        tg_error_clear(tape);
        cr_expect(scenario(tape) == 1, "call %ld: %s", n, told);
        cr_expect(tg_stats(tape).bytes_held == m.bytes, "call %ld", n);
        tg_reset(tape);
    }
    tg_tape_free(tape);
    cr_expect(m.bytes == 0, "call %ld: %zu bytes were not given back", n, m.bytes);
    reports = 0;
}

static void fail_everywhere(bool for_good)
{
    bool complete = false;
    long n = 0;
    while (!complete) fail_at(++n, for_good, &complete);
    cr_expect(n > 30, "only %ld allocations: the scenario is too small", n);
}

Test(errors, one_failing_allocation_at_any_place_is_survived)
{
    fail_everywhere(false);
}

Test(errors, running_out_of_memory_at_any_place_is_an_error_that_can_be_cleared)
{
    fail_everywhere(true);
}

/* ---- forged handles and random calls --------------------------------------------------------- */

static uint64_t random_state;

static uint32_t bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32);
}

static int below(int n)
{
    return (int)(bits() % (uint32_t)n);
}

enum { POOL = 48, ROOM = 4096 };

typedef struct player {
    tg_tape *tape[2];
    tg_value value[POOL];
    tg_mark mark[8];
    double data[ROOM];
} player;

static tg_value any(const player *p)
{
    tg_value v = p->value[below(POOL)];
    const int how = below(64);
    if (how == 0) v.id = bits();
    if (how == 1) v.generation = bits() % 64;
    if (how == 2) v = (tg_value){ p->tape[below(2)], bits() & 0x800000ffu, bits() % 64 };
    if (how == 3) v = (tg_value){ 0 };
    return v;
}

static int64_t dimension(void)
{
    static const int64_t odd[] = { -1, INT64_MAX, INT64_MIN, INT32_MAX, 1 << 20, 65536 };
    return below(60) ? below(5) : odd[below((int)COUNT(odd))];
}

static tg_value any_leaf(player *p, tg_tape *tape)
{
    int64_t shape[TG_MAX_RANK];
    const int rank = below(40) ? below(4) : below(14) - 2;
    int64_t n = 1;
    for (int i = 0; i < rank && i < TG_MAX_RANK; i++) {
        shape[i] = dimension();
        n = n < 0 || n > ROOM || shape[i] < 0 || shape[i] > ROOM ? -1 : n * shape[i];
    }
    const double *const data = n > ROOM || n < 0 ? NULL : p->data;
    if (below(3) == 0) return tg_index_new(tape, below(8) ? 4 : 8, NULL, rank, shape, TG_HERE);
    if (below(9) == 0 && data)
        return tg_leaf_view(tape, TG_PARAMETER, TG_F64, p->data, rank, shape, TG_HERE);
    return tg_leaf_new(tape, (tg_leaf)below(4 - (below(9) > 0)), TG_F64, data, rank, shape,
                       TG_HERE);
}

/* Text that may be the attributes of some operation. */
static const char *any_attributes(char *text, size_t size)
{
    static const char *const forms[] = { "axis=%d",
                                         "axis=%d, keep=true",
                                         "axes=(%d, %d)",
                                         "axis=%d, start=%d, step=%d",
                                         "axis=%d, index=%d",
                                         "offset=%d",
                                         "axis0=%d, axis1=%d",
                                         "start=%d, end=%d",
                                         "axis=%d, before=%d, after=%d",
                                         "classes=%d",
                                         "reduction=none",
                                         "item=(%d, %d, %d)",
                                         "(%d, %d)",
                                         "p=%d",
                                         "axis=%d, beta=%d",
                                         "axis=%d, shift=%d",
                                         "correction=%d",
                                         "%d",
                                         "(%d",
                                         "axis=%d,,",
                                         "item=()",
                                         "%d, %d, %d" };
    if (below(3) == 0) return NULL;
    const int small[3] = { below(7) - 3, below(7) - 3, below(7) - 3 };
    const int odd = below(80) ? small[0] : (int)bits();
    snprintf(text, size, "%s", forms[below((int)COUNT(forms))]);
    char out[128];
    /* The forms are constant; the numbers of numbers in them are at most three. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(out, sizeof out, text, odd, small[1], small[2]);
#pragma GCC diagnostic pop
    snprintf(text, size, "%s", out);
    return text;
}

static tg_value any_operation(player *p, tg_tape *tape)
{
    tg_op_info info;
    char text[128];
    tg_value operands[6];
    tg_op_at(below(tg_op_count()), &info);
    int n = info.letters[1] == '*' ? 1 + below(5) : (int)strlen(info.letters);
    if (below(50) == 0) n = below(6) - 1;
    for (int i = 0; i < n; i++) {
        operands[i] = any(p);
        /* As a rule of one tape; else nearly every call would end there. */
        for (int tries = 0; tries < 4 && operands[i].tape != tape; tries++) operands[i] = any(p);
    }
    return tg_apply(tape, info.name, operands, n, any_attributes(text, sizeof text));
}

static void read_all(player *p, tg_value v)
{
    double out[ROOM];
    const int64_t n = tg_size(v);
    if (n < 0 || n > ROOM) return;
    if (tg_read(v, out, (size_t)n) && tg_type_of(v) == TG_F64 && below(2)) {
        const double *const data = tg_data(v);
        for (int64_t i = 0; data && i < n; i++)
            cr_assert(memcmp(&data[i], &out[i], sizeof *out) == 0);
    }
    (void)tg_grad_read(v, out, (size_t)n);
    (void)p;
}

static void walk(player *p, tg_value v)
{
    const int64_t n = tg_size(v);
    const size_t count = (size_t)below(4);
    tg_backward_options o = { .accumulate = below(4) == 0 };
    if (n >= 0 && n * 4 <= ROOM && below(2)) o.cotangent = p->data, o.count = count;
    if (tg_backward_with(v, &o) && count > 1) (void)tg_choose_gradient(v.tape, (size_t)below(5));
}

static void put(player *p, tg_value v)
{
    const int64_t n = tg_size(v);
    const int small[8] = { 0, 1, 0, 1, 2, 0, 0, below(20) - 2 };
    if (n >= 0 && n <= ROOM && tg_type_of(v) != TG_I64)
        (void)tg_set(v, p->data, (size_t)n - (below(30) == 0));
    else if (n >= 0 && n <= 8) (void)tg_set(v, small, (size_t)n);
}

static void play(player *p)
{
    tg_tape *const tape = p->tape[below(4) == 0];
    const tg_value v = any(p);
    tg_value *const out = &p->value[below(POOL)];
    switch (below(40)) {
    case 0: tg_reset(below(30) ? NULL : tape); break;
    case 1: p->mark[below(8)] = tg_tape_mark(tape); break;
    case 2: {
        tg_mark m = p->mark[below(8)];
        if (below(8) == 0) m = (tg_mark){ tape, bits() % 8, bits() % 64 };
        if (below(4) == 0) (void)tg_release(m);
        break;
    }
    case 3: tg_no_grad_begin(tape); break;
    case 4:
    case 5:
        if (!tg_error_of(tape)) tg_no_grad_end(tape);
        break;
    case 6:
    case 7: walk(p, v); break;
    case 8: (void)tg_forward(v); break;
    case 9: put(p, v); break;
    case 10: (void)tg_edit(v); break;
    case 11: (void)tg_want_gradient(v, below(2)); break;
    case 12: (void)tg_name_of(tg_name(v, below(9) ? "some name" : "")); break;
    case 13: *out = tg_detach(v); break;
    case 14: (void)tg_dim(v, below(9) - 4); break;
    case 15:
    case 16: *out = any_leaf(p, tape); break;
    case 17: *out = tg_mul(v, any(p)); break;
    case 18: *out = tg_add(v, below(9) - 4); break;
    case 19: *out = tg_scalar(tape, below(9)); break;
    case 20: (void)tg_item(v), (void)tg_grad_item(v), (void)tg_grad(v), (void)tg_written(v); break;
    case 21:
    case 22:
    case 23: read_all(p, v); break;
    default: *out = any_operation(p, tape); break;
    }
    for (int i = 0; i < 2; i++) {
        const tg_error *const error = tg_error_of(p->tape[i]);
        if (!error) continue;
        cr_assert(error->code != TG_OK && error->message[0] && error->op);
        tg_error_clear(p->tape[i]);
    }
}

/* One game: two tapes, a few thousand calls; in the end all memory is back. */
static void game(uint64_t seed, int calls)
{
    meter m = { 0 };
    const tg_allocator allocator = { take, give_back, &m };
    player *const p = calloc(1, sizeof *p);
    cr_assert(p);
    random_state = seed * 0x9E3779B97F4A7C15u + 1;
    for (int i = 0; i < ROOM; i++)
        p->data[i] = below(100) ? (double)below(200) / 100 - 1 : below(2) ? INFINITY : -0.0;
    for (int i = 0; i < 2; i++)
        p->tape[i] = tg_tape_new(&(tg_tape_options){ .max_bytes = 4 << 20,
                                                     .on_error = tg_ignore_error,
                                                     .allocator = seed % 2 ? &allocator : NULL });
    for (int i = 0; i < calls; i++) play(p);
    for (int i = 0; i < 2; i++) tg_tape_free(p->tape[i]);
    cr_assert(m.bytes == 0, "seed %llu: %zu bytes were not given back", (unsigned long long)seed,
              m.bytes);
    free(p);
}

/* TAPEGRAD_FUZZ in the environment is how many games to play, from the seed TAPEGRAD_FUZZ_SEED on.
   */
Test(errors, random_calls_in_random_order_neither_crash_nor_leak)
{
    const char *const games = getenv("TAPEGRAD_FUZZ"), *const first = getenv("TAPEGRAD_FUZZ_SEED");
    const uint64_t start_at = first ? strtoull(first, NULL, 10) : 1,
                   n = games ? strtoull(games, NULL, 10) : 8;
    for (uint64_t seed = start_at; seed < start_at + n; seed++) {
        fprintf(stderr, "random calls: seed %llu\n", (unsigned long long)seed);
        game(seed, 3000);
    }
    reports = 0; /* null values go to the process-wide handler */
}

Test(errors, forged_handles_are_refused_or_name_some_value)
{
    const tg_mark mark = tg_tape_mark(t);
    (void)tg_exp(A);
    (void)tg_tape_mark(t);
    (void)tg_transpose(A);
    (void)mark;
    random_state = 99;
    tg_set_error_handler(tg_ignore_error, NULL);
    int accepted = 0;
    for (int i = 0; i < 100000; i++) {
        const uint32_t id = bits() & (below(2) ? 0x8000001fu : UINT32_MAX);
        const tg_value v = { t, id, below(2) ? bits() % 16 : bits() };
        double out[64];
        const int64_t n = tg_size(v);
        if (n >= 0 && n <= 64 && tg_read(v, out, (size_t)n)) accepted++;
        (void)tg_mul(v, x);
        tg_error_clear(t);
        (void)tg_backward(v);
        tg_error_clear(t);
        if (i % 1000 == 0) (void)tg_release(mark);
        tg_error_clear(t);
    }
    cr_expect(accepted > 0, "forging went nowhere near");
}

/* The tape of the test below, for its handler. */
static tg_tape *forgiving;

static void forgive(const tg_error *error, void *user)
{
    (void)error, (void)user;
    tg_error_clear(forgiving);
}

Test(errors, a_handler_that_clears_the_error_does_not_make_leaves_of_nothing)
{
    forgiving = tg_tape_new(&(tg_tape_options){ .max_bytes = 1 << 20, .on_error = forgive });
    const tg_value s = tg_scalar(forgiving, 1);
    (void)tg_full(forgiving, 7.0, 1000000);
    (void)tg_param(forgiving, NULL, 1000000);
    EXPECT(tg_item(s) == 1);
    tg_tape_free(forgiving);
}
