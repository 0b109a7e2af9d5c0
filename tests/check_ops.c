/* Tests generated from the op table: every op, with every one of its samples and layouts.
   Nothing here names an op: a new row is tested as soon as it stands in the table. Each test
   prints how many checks it made. */
#include "sample.h"

#include "tape/record.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 20240917u
#include "counted.h"
#define MOST_ELEMENTS 65536 /* of any operand or result here */

TestSuite(ops, .init = quiet, .fini = count);

/* Counts a check; a failure names the trial. Of one op's failures the first three are enough. */
#define EXPECT(T, CONDITION, ...)                                                                  \
    do {                                                                                           \
        checks++;                                                                                  \
        if (!(CONDITION)) fail_trial(T, #CONDITION, (char[256]){ 0 }, __VA_ARGS__);                \
    } while (0)

__attribute__((format(printf, 4, 5))) static void fail_trial(const trial *t, const char *what,
                                                             char *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, 256, format, arguments);
    va_end(arguments);
    static int failures[1024];
    if (failures[t->op]++ < 3) cr_expect(false, "%s: %s: %s", trial_text(t), what, text);
}

static void each_op(void (*visit)(const trial *t))
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_trial(op, visit);
}

static void each_op_plain(void (*visit)(const trial *t))
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_plain_trial(op, visit);
}

/* ---- one trial on one tape ------------------------------------------------------------------- */

typedef struct run {
    tg_tape *tape;
    tg_value leaf[TG__SAMPLES], y;
} run;

static run run_trial(const trial *t, const data *d, const tg_tape_options *options)
{
    run r = { .tape = tg_tape_new(options) };
    if (!r.tape) return r;
    make_leaves(t, d, r.tape, r.leaf);
    r.y = record_trial(t, r.leaf);
    return r;
}

/* The number of elements; none if there is no value. */
static size_t elements(tg_value v)
{
    const int64_t n = tg_size(v);
    return n < 0 ? 0 : (size_t)n;
}

static const char *message(const tg_tape *tape)
{
    const tg_error *error = tape ? tg_error_of(tape) : NULL;
    return error ? error->message : "no error";
}

/* Whether any operand gets a gradient other than zero: a letter l, n or c. */
static bool has_gradient(const trial *t)
{
    return strpbrk(tg__ops[t->op]->letters, "lnc");
}

static bool gives_indices(const trial *t)
{
    data d = draw(t, SEED);
    const run r = run_trial(t, &d, NULL);
    EXPECT(t, !tg_error_of(r.tape), "%s", message(r.tape));
    const bool indices = tg_type_of(r.y) == TG_I64;
    tg_tape_free(r.tape);
    drop(&d);
    return indices;
}

/* Whether a random cotangent can be pulled back through the trial at all. */
static bool is_differentiable(const trial *t)
{
    return has_gradient(t) && !gives_indices(t);
}

/* ---- values and gradients -------------------------------------------------------------------- */

static size_t nonzero; /* trials of one op in which some derivative is not zero */

static void gradient_agrees(const trial *t)
{
    if (!is_differentiable(t)) return;
    tg_check_report report;
    const tg_check_options options = { .rtol = 1e-7, .seed = SEED };
    const bool agrees = check_trial(t, 0, SEED, &options, &report);
    checks += report.checked;
    nonzero += agrees;
    /* Without elements, or with x - x, nothing but zero is right. */
    const bool zero = report.verdict == TG_ALL_ZERO;
    EXPECT(t, agrees || zero, "%s", report.message);
}

Test(ops, gradients_agree_with_differences_in_every_layout)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) {
        nonzero = 0;
        each_trial(op, gradient_agrees);
        cr_expect(nonzero || !strpbrk(tg__ops[op]->letters, "lnc"),
                  "%s: every derivative in every trial is zero", tg__ops[op]->name);
    }
}

/* Rounds the data to f32, so that both types see the same numbers. */
static void round_data(const trial *t, data *d)
{
    for (int i = 0; i < t->x.n; i++)
        for (int64_t j = 0; j < d->shape[i].n; j++) d->element[i][j] = (float)d->element[i][j];
}

/* Whether n numbers are the same within a few f32 ulp of each, or of their mean magnitude times
   terms: what a sum of that many terms is made of. */
static double f32_distance(const double *a, const double *b, size_t n, double terms)
{
    double mean = 0, worst = 0;
    for (size_t i = 0; i < n; i++) mean += fabs(b[i]) / (double)n;
    for (size_t i = 0; i < n; i++) {
        if (a[i] == b[i] || (isnan(a[i]) && isnan(b[i]))) continue;
        const double ulps = fabs(a[i] - b[i]) / (FLT_EPSILON * (fabs(b[i]) + mean));
        if (!(ulps / terms <= worst)) worst = isnan(ulps) ? INFINITY : ulps / terms;
    }
    return worst;
}

/* Fills out with the value of a trial, then with its leaves' gradients for a fixed cotangent;
   returns how many numbers. */
static size_t read_run(const trial *t, const run *r, double cotangent, double *out)
{
    const size_t size = elements(r->y);
    size_t n = size;
    if (tg_error_of(r->tape) || !tg_read(r->y, out, n)) return 0;
    if (!has_gradient(t) || tg_type_of(r->y) == TG_I64) return n;
    double *const g = malloc((size + 1) * sizeof *g);
    for (size_t i = 0; i < size; i++) g[i] = cotangent * (double)(i % 5 + 1) / 4;
    tg_backward_with(r->y, &(const tg_backward_options){ .cotangent = g });
    free(g);
    for (int i = 0; i < (t->same ? 1 : t->x.n); i++) {
        if (is_index(t, i)) continue;
        const size_t m = elements(r->leaf[i]);
        tg_grad_read(r->leaf[i], out + n, m);
        n += m;
    }
    return n;
}

static void f32_is_f64(const trial *t)
{
    static double a[16 * MOST_ELEMENTS], b[16 * MOST_ELEMENTS];
    data d = draw(t, SEED);
    round_data(t, &d);
    const run single = run_trial(t, &d, &(const tg_tape_options){ .type = TG_F32 });
    const run both = run_trial(t, &d, NULL);
    const size_t n = read_run(t, &single, 1, a), m = read_run(t, &both, 1, b);
    EXPECT(t, !tg_error_of(single.tape) && !tg_error_of(both.tape), "f32: %s, f64: %s",
           message(single.tape), message(both.tape));
    EXPECT(t, n == m && tg_type_of(single.y) == (tg_type_of(both.y) == TG_I64 ? TG_I64 : TG_F32),
           "%zu and %zu", n, m);
    const size_t size = n == m && n > elements(both.y) ? elements(both.y) : n;
    const double terms = 16 + (tg__ops[t->op]->kind == TG__MAP ? 0 : (double)d.shape[0].n);
    const double value = f32_distance(a, b, size, terms),
                 gradient = f32_distance(a + size, b + size, n - size, terms);
    EXPECT(t, value <= 1, "f32 and f64 values are %.3g bounds apart", value);
    EXPECT(t, gradient <= 1, "f32 and f64 gradients are %.3g bounds apart", gradient);
    tg_tape_free(single.tape);
    tg_tape_free(both.tape);
    drop(&d);
}

Test(ops, f32_gives_what_f64_gives)
{
    each_op(f32_is_f64);
}

/* Whether two numbers are the same within 4 ulp: kernels of scalars and of vectors may use
   other functions. */
static bool same_number(double a, double b)
{
    return fabs(a - b) <= 4 * DBL_EPSILON * fabs(b) || (isnan(a) && isnan(b));
}

/* Scalars have instructions and loops of their own. */
static void scalar_is_vector(int op)
{
    double scalar[8], vector[8];
    trial t = { .op = op, .x = { .n = tg__operands(tg__ops[op]->letters) } };
    for (int i = 0; i < t.x.n; i++)
        t.x.x[i] = (tg__sample){ .lo = tg__ops[op]->range[i].lo, .hi = tg__ops[op]->range[i].hi };
    trial wide = t;
    for (int i = 0; i < t.x.n; i++) wide.x.x[i].dim[0] = wide.x.x[i].rank = 1;
    data d = draw(&t, SEED), e = draw(&wide, SEED);
    const run r = run_trial(&t, &d, NULL), s = run_trial(&wide, &e, NULL);
    const size_t n = read_run(&t, &r, 1, scalar), m = read_run(&wide, &s, 1, vector);
    EXPECT(&t, n == m && n > 0, "%zu and %zu numbers: %s", n, m, message(r.tape));
    for (size_t i = 0; i < n; i++)
        EXPECT(&t, same_number(scalar[i], vector[i]), "number %zu: %.17g, and %.17g in a vector", i,
               scalar[i], vector[i]);
    tg_tape_free(r.tape);
    tg_tape_free(s.tape);
    drop(&d);
    drop(&e);
}

Test(ops, scalars_give_what_vectors_give)
{
    for (int op = FIRST_OP; op < tg__op_count; op++)
        if (tg__ops[op]->kind == TG__MAP) scalar_is_vector(op);
}

/* ---- layouts --------------------------------------------------------------------------------- */

/* A leaf with the value's elements: adjacent, whatever the value is a view of. */
static tg_value adjacent(tg_value x)
{
    static double element[MOST_ELEMENTS];
    int64_t dim[TG_MAX_RANK];
    const int rank = tg_rank(x);
    for (int i = 0; i < rank; i++) dim[i] = tg_dim(x, i);
    tg_read(x, element, elements(x));
    return tg_leaf_new(x.tape, TG_CONSTANT, TG_F64, element, rank, dim, NULL);
}

static void layout_is_no_matter(const trial *t)
{
    static double seen[MOST_ELEMENTS], expected[MOST_ELEMENTS];
    data d = draw(t, SEED);
    const run r = run_trial(t, &d, NULL);
    tg_value x[TG__SAMPLES];
    for (int i = 0; i < t->x.n; i++) {
        const tg_value view = lay_out(r.leaf[i], t->layout[i]);
        x[i] = is_index(t, i) ? view : adjacent(view);
    }
    const tg_value y = tg__record(t->op, x, t->x.n, t->x.attributes, NULL);
    const size_t n = elements(r.y);
    EXPECT(t, n == elements(y) && !tg_error_of(r.tape), "%s", message(r.tape));
    tg_read(r.y, seen, n);
    tg_read(y, expected, n);
    for (size_t i = 0; i < n; i++)
        EXPECT(t,
               fabs(seen[i] - expected[i]) <= 1e-13 * (1 + fabs(expected[i])) ||
                   (isnan(seen[i]) && isnan(expected[i])),
               "element %zu is %.17g, and %.17g of adjacent operands", i, seen[i], expected[i]);
    tg_tape_free(r.tape);
    drop(&d);
}

Test(ops, the_layout_of_operands_does_not_change_the_value)
{
    each_op(layout_is_no_matter);
}

/* ---- letters --------------------------------------------------------------------------------- */

/* How far f((a + b) / 2) is from (f(a) + f(b)) / 2 in operand i, relative to the magnitudes. */
static double bend(const trial *t, int i, uint64_t seed)
{
    static double y[3][MOST_ELEMENTS];
    data d = draw(t, seed), other = draw(t, seed + 1);
    const size_t bytes = (size_t)d.shape[i].n * sizeof(double);
    double *const a = malloc(bytes + 1);
    memcpy(a, d.element[i], bytes);
    size_t n = 0;
    for (int k = 0; k < 3; k++) {
        for (int64_t j = 0; j < d.shape[i].n; j++) {
            const double b = other.element[i][j];
            d.element[i][j] = k == 0 ? a[j] : k == 1 ? b : (a[j] + b) / 2;
        }
        const run r = run_trial(t, &d, NULL);
        n = elements(r.y);
        tg_read(r.y, y[k], n);
        tg_tape_free(r.tape);
    }
    double most = 0, scale = 1e-300;
    for (size_t j = 0; j < n; j++) {
        most = fmax(most, fabs(y[2][j] - (y[0][j] + y[1][j]) / 2));
        scale = fmax(scale, fmax(fabs(y[0][j]), fabs(y[1][j])));
    }
    free(a);
    drop(&d);
    drop(&other);
    return most / scale;
}

static double bends[TG__SAMPLES]; /* the most seen of one op's operands */

static void letters_of_trial(const trial *t)
{
    for (int i = 0; i < t->x.n; i++) {
        const char letter = tg__letter(tg__ops[t->op]->letters, i);
        if (letter == 'i' || letter == '0') continue;
        for (uint64_t seed = SEED; seed < SEED + 4; seed++)
            bends[i] = fmax(bends[i], bend(t, i, seed));
        if (letter == 'l' || letter == 'c')
            EXPECT(t, bends[i] < 1e-13, "operand %d bends by %.3g", i, bends[i]);
    }
}

Test(ops, letter_l_means_linear_and_n_means_not)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) {
        memset(bends, 0, sizeof bends);
        each_plain_trial(op, letters_of_trial);
        const int n = abs(tg__operands(tg__ops[op]->letters));
        for (int i = 0; i < n; i++) {
            if (tg__letter(tg__ops[op]->letters, i) != 'n') continue;
            checks++;
            cr_expect(bends[i] > 1e-9, "%s: operand %d is called nonlinear, and bends by %.3g only",
                      tg__ops[op]->name, i, bends[i]);
        }
    }
}

static void zero_letters_of_trial(const trial *t)
{
    static double y[16 * MOST_ELEMENTS];
    data d = draw(t, SEED);
    const run r = run_trial(t, &d, NULL);
    read_run(t, &r, 1, y);
    for (int i = 0; i < t->x.n && !t->same; i++) {
        const size_t n = elements(r.leaf[i]);
        if (tg__letter(tg__ops[t->op]->letters, i) != '0' || !tg_grad_read(r.leaf[i], y, n))
            continue;
        for (size_t j = 0; j < n; j++)
            EXPECT(t, y[j] == 0, "operand %d, element %zu: %.3g", i, j, y[j]);
    }
    EXPECT(t, !tg_error_of(r.tape), "%s", message(r.tape));
    tg_tape_free(r.tape);
    drop(&d);
}

Test(ops, letter_0_means_no_gradient)
{
    each_op(zero_letters_of_trial);
}

/* ---- gradients of zero ----------------------------------------------------------------------- */

/* Runs the op's own rule with zeros for g. The walk backwards leaves out instructions whose
   gradient is zero; a rule may still meet one, among others that are not. */
static tg_code zeroed_backward(const tg__call *c)
{
    tg__call zeroed = *c;
    double *const g = calloc((size_t)c->y.s->n + 1, sizeof *g);
    zeroed.op = tg__ops[c->code];
    zeroed.g = g;
    const tg_code code = zeroed.op->backward(&zeroed);
    free(g);
    return code;
}

static void zero_stays_zero(const trial *t)
{
    static double y[16 * MOST_ELEMENTS];
    if (!is_differentiable(t)) return;
    data d = draw(t, SEED);
    const run r = run_trial(t, &d, NULL);
    /* Scalar instructions do not go by the table: their gradient of zero comes from outside. */
    const double cotangent = tg__ops[t->op]->kind == TG__MAP && tg_rank(r.y) == 0 ? 0 : 1;
    const size_t size = elements(r.y), n = read_run(t, &r, cotangent, y);
    for (size_t i = size; i < n; i++) EXPECT(t, y[i] == 0, "gradient %zu is %.3g", i - size, y[i]);
    EXPECT(t, !tg_error_of(r.tape), "%s", message(r.tape));
    tg_tape_free(r.tape);
    drop(&d);
}

/* Views have no rule: zeros go through them unchanged. */
Test(ops, a_zero_gradient_contributes_exactly_zero)
{
    const tg__op *const *const table = tg__op_table;
    const tg__op **altered = malloc((size_t)tg__op_count * sizeof *altered);
    memcpy(altered, table, (size_t)tg__op_count * sizeof *altered);
    tg__op_table = altered;
    for (int op = FIRST_OP; op < tg__op_count; op++) {
        if (!table[op]->backward) continue;
        tg__op zeroed = *table[op];
        zeroed.backward = zeroed_backward;
        altered[op] = &zeroed;
        each_trial(op, zero_stays_zero);
        altered[op] = table[op];
    }
    tg__op_table = table;
    free(altered);
}

/* The corners of floating point, in every combination for up to three operands. */
static const double corners[] = { 0.0, -0.0, 1, -1, INFINITY, -INFINITY, NAN, DBL_MAX, DBL_MIN };
#define CORNERS (sizeof corners / sizeof corners[0])

/* One element at a corner with a gradient of zero: a scalar, or with another beside it whose
   gradient is not zero. */
static void corner_stays_zero(int op, size_t corner, int rank)
{
    trial t = { .op = op, .x = { .n = tg__operands(tg__ops[op]->letters) } };
    for (int i = 0; i < t.x.n; i++)
        t.x.x[i] = (tg__sample){ .lo = 0.5, .hi = 0.7, .rank = rank, .dim = { 2 } };
    data d = draw(&t, SEED);
    for (int i = 0; i < t.x.n; i++, corner /= CORNERS) d.element[i][0] = corners[corner % CORNERS];
    const run r = run_trial(&t, &d, NULL);
    const double cotangent[2] = { 0, 1 };
    tg_backward_with(r.y, &(const tg_backward_options){ .cotangent = cotangent });
    for (int i = 0; i < t.x.n; i++) {
        double g[2];
        EXPECT(&t, tg_grad_read(r.leaf[i], g, elements(r.leaf[i])) && g[0] == 0,
               "operand %d's gradient is %g at %g, %g, %g", i, g[0], d.element[0][0],
               t.x.n > 1 ? d.element[1][0] : 0, t.x.n > 2 ? d.element[2][0] : 0);
    }
    tg_tape_free(r.tape);
    drop(&d);
}

static void zero_stays_zero_at_corners(int op)
{
    size_t corner = 1;
    for (int i = 0; i < tg__operands(tg__ops[op]->letters); i++) corner *= CORNERS;
    for (; corner > 0; corner--) {
        corner_stays_zero(op, corner - 1, 1);
        corner_stays_zero(op, corner - 1, 0);
    }
}

Test(ops, a_zero_gradient_contributes_zero_where_derivatives_are_infinite)
{
    for (int op = FIRST_OP; op < tg__op_count; op++)
        if (tg__ops[op]->kind == TG__MAP && strpbrk(tg__ops[op]->letters, "lnc"))
            zero_stays_zero_at_corners(op);
}

/* ---- contracts ------------------------------------------------------------------------------- */

/* Expects the error, clears it, and expects an ordinary call to work afterwards. */
static void expect_error(const trial *t, run *r, tg_value y, tg_code code, const char *what)
{
    const tg_error *error = tg_error_of(r->tape);
    EXPECT(t, error && error->code == code, "%s: %s", what, message(r->tape));
    EXPECT(t, tg_size(y) == -1, "%s: there is a value", what);
    tg_error_clear(r->tape);
    EXPECT(t, tg_size(record_trial(t, r->leaf)) >= 0, "after %s: %s", what, message(r->tape));
    tg_error_clear(r->tape);
}

static tg_value call(const trial *t, const tg_value *x, int n)
{
    static const tg_site site = { "contract.c", 7 };
    return tg__record(t->op, x, n, t->x.attributes, &site);
}

/* Each operand in turn: null, stale, of another tape, of the wrong type. */
static void operand_contracts(const trial *t, run *r, run *other)
{
    for (int i = 0; i < t->x.n; i++) {
        tg_value x[TG__SAMPLES];
        memcpy(x, r->leaf, sizeof x);
        x[i] = (tg_value){ 0 };
        const tg_value y = call(t, x, t->x.n);
        EXPECT(t, tg_size(y) == -1, "a null operand %d gives a value", i);
        tg_error_clear(r->tape);

        const tg_mark mark = tg_tape_mark(r->tape);
        x[i] = tg_number_new(r->tape, 1, NULL);
        tg_release(mark);
        expect_error(t, r, call(t, x, t->x.n), TG_ERROR_HANDLE, "a stale operand");

        x[i] = other->leaf[i];
        if (t->x.n > 1) {
            expect_error(t, r, call(t, x, t->x.n), TG_ERROR_HANDLE, "an operand of another tape");
            tg_error_clear(other->tape);
        }

        static const int32_t zeros[MOST_ELEMENTS];
        const tg__sample *s = &t->x.x[i];
        if (is_index(t, i)) x[i] = tg_full_new(r->tape, 0, s->rank, s->dim, NULL);
        else x[i] = tg_index_new(r->tape, 4, zeros, s->rank, s->dim, NULL);
        const char *const letters = tg__ops[t->op]->letters;
        const bool any = (tg__letter(letters, i) == 'c' && t->x.n == 1) ||
                         strcmp(letters, "00") == 0; /* comparisons take integers, too */
        if (tg__ops[t->op]->kind != TG__VIEW && !any)
            expect_error(t, r, call(t, x, t->x.n), TG_ERROR_TYPE, "an operand of the wrong type");
    }
}

static void contracts(const trial *t)
{
    data d = draw(t, SEED);
    run r = run_trial(t, &d, NULL), other = run_trial(t, &d, NULL);
    const int n = tg__operands(tg__ops[t->op]->letters);
    operand_contracts(t, &r, &other);
    tg_value x[TG__SAMPLES + 1];
    memcpy(x, r.leaf, sizeof r.leaf);
    x[t->x.n] = r.leaf[0];
    if (n > 0) expect_error(t, &r, call(t, x, n + 1), TG_ERROR_ARGUMENT, "an operand too many");
    if (n > 1) expect_error(t, &r, call(t, x, n - 1), TG_ERROR_ARGUMENT, "an operand too few");
    EXPECT(t, tg_size(call(t, x, 0)) == -1, "no operand at all gives a value");
    tg_error_clear(r.tape);
    tg_tape_free(r.tape);
    tg_tape_free(other.tape);
    drop(&d);
}

Test(ops, mistakes_of_the_caller_are_errors_and_leave_the_tape_usable)
{
    each_op_plain(contracts);
}

/* Operands of every rank up to the highest, and of no elements: a value or an error, and the
   tape goes on. */
static void any_shape(const trial *t)
{
    static const int64_t dims[][TG_MAX_RANK] = { { 1, 1, 1, 1, 1, 1, 1, 1 },
                                                 { 2, 1, 2, 1, 2, 1, 2, 1 },
                                                 { 0, 2, 2, 2, 1, 1, 1, 1 },
                                                 { 2, 0, 1, 1, 1, 1, 1, 0 } };
    static double y[16 * MOST_ELEMENTS];
    for (int rank = 0; rank <= TG_MAX_RANK; rank++)
        for (size_t k = 0; k < sizeof dims / sizeof dims[0]; k++) {
            trial odd = *t;
            for (int i = 0; i < t->x.n; i++) {
                odd.x.x[i].rank = rank;
                memcpy(odd.x.x[i].dim, dims[k], sizeof dims[k]);
            }
            data d = draw(&odd, SEED);
            const run r = run_trial(&odd, &d, NULL);
            if (tg_error_of(r.tape)) EXPECT(&odd, tg_size(r.y) == -1, "an error and a value");
            else read_run(&odd, &r, 1, y);
            EXPECT(&odd, tg_size(r.y) == -1 || !tg_error_of(r.tape), "%s", message(r.tape));
            tg_tape_free(r.tape);
            drop(&d);
        }
}

Test(ops, operands_of_any_rank_and_of_no_elements_give_a_value_or_an_error)
{
    each_op_plain(any_shape);
}

Test(ops, a_rank_beyond_the_highest_is_an_error)
{
    const int64_t dim[TG_MAX_RANK + 1] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    tg_tape *tape = tg_tape_new(NULL);
    const tg_value x = tg_leaf_new(tape, TG_INPUT, TG_F64, NULL, TG_MAX_RANK + 1, dim, NULL);
    checks++;
    cr_expect(tg_rank(x) == -1 && tg_error_of(tape) && tg_error_of(tape)->code == TG_ERROR_SHAPE);
    tg_tape_free(tape);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* An allocator that fails from its countdown on, and knows what is out. */
typedef struct heap {
    size_t calls, fail_at, bytes;
} heap;

static void *heap_allocate(void *user, size_t bytes)
{
    heap *h = user;
    if (++h->calls >= h->fail_at) return NULL;
    h->bytes += bytes;
    return malloc(bytes);
}

static void heap_release(void *user, void *memory, size_t bytes)
{
    heap *h = user;
    h->bytes -= bytes;
    free(memory);
}

/* One attempt with memory for so many allocations; whether it went through. */
static bool attempt(const trial *t, const data *d, size_t fail_at)
{
    static double y[16 * MOST_ELEMENTS];
    heap h = { .fail_at = fail_at };
    const tg_allocator allocator = { heap_allocate, heap_release, &h };
    const run r = run_trial(t, d, &(const tg_tape_options){ .allocator = &allocator });
    if (r.tape && tg_size(r.y) >= 0) read_run(t, &r, 1, y);
    const tg_error *error = r.tape ? tg_error_of(r.tape) : NULL;
    const bool done = r.tape && !error;
    EXPECT(t, done || !r.tape || error->code == TG_ERROR_MEMORY, "allocation %zu: %s", fail_at,
           message(r.tape));
    EXPECT(t, done || h.calls >= fail_at, "an error without a failed allocation");
    tg_tape_free(r.tape);
    EXPECT(t, h.bytes == 0, "allocation %zu: %zu bytes are not given back", fail_at, h.bytes);
    return done;
}

static void memory_may_fail(const trial *t)
{
    data d = draw(t, SEED);
    size_t n = 1;
    while (n < 1000 && !attempt(t, &d, n)) n++;
    EXPECT(t, n < 1000, "it never succeeds");
    drop(&d);
}

Test(ops, every_allocation_may_fail)
{
    each_op_plain(memory_may_fail);
}
