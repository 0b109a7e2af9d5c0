/* Recorded derivatives (tg_grad_values), generated from the op table: every op, in every sample and
   layout, against the numeric sweep and, one order higher, against differences of itself. */
#include "sample.h"

#include <tapegrad/derivatives.h>

#include "tape/record.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 20261121u
#include "counted.h"
#define MOST_ELEMENTS 65536 /* of any operand or result here */

TestSuite(derivatives, .init = quiet, .fini = count);

static bool is_differentiable(const trial *t)
{
    return strpbrk(tg__ops[t->op]->letters, "lnc");
}

/* ---- first order ----------------------------------------------------------------------------- */

static const char *message(const tg_tape *tape)
{
    return tg_error_of(tape) ? tg_error_of(tape)->message : "no error";
}

/* Recorded and numeric gradients, for the same cotangent, may differ by roundings of the largest
   element or term: they add the same terms, of about the cotangent's size, in another order. */
static void compare_sweeps(const trial *t, tg_type type)
{
    static double recorded[MOST_ELEMENTS], numeric[MOST_ELEMENTS], cotangent[MOST_ELEMENTS];
    data d = draw(t, SEED);
    tg_tape *const tape = tg_tape_new(&(const tg_tape_options){ .type = type });
    tg_value leaf[TG__SAMPLES], gradient;
    make_leaves(t, &d, tape, leaf);
    const tg_value y = record_trial(t, leaf), g = random_cotangent(y, SEED);
    tg_read(g, cotangent, (size_t)tg_size(g));
    for (int i = 0; i < t->x.n && !(i > 0 && t->same); i++) {
        if (is_index(t, i)) continue;
        const size_t n = (size_t)tg_size(leaf[i]);
        const bool ok = tg_grad_values_at(&y, &g, 1, &leaf[i], 1, &gradient, NULL) &&
                        tg_read(gradient, recorded, n) &&
                        tg_backward_with(y, &(tg_backward_options){ .cotangent = cotangent }) &&
                        tg_grad_read(leaf[i], numeric, n);
        cr_expect(ok, "%s: %s", trial_text(t), message(tape));
        if (!ok) break;
        double largest = 0;
        for (size_t j = 0; j < n; j++) largest = fmax(largest, fabs(numeric[j]));
        for (int64_t j = 0; j < tg_size(y); j++) largest = fmax(largest, fabs(cotangent[j]));
        for (size_t j = 0; j < n; j++, checks++) {
            const double distance = fabs(recorded[j] - numeric[j]);
            const double bound =
                64 * (type == TG_F32 ? (double)FLT_EPSILON : DBL_EPSILON) * largest;
            cr_expect(distance <= bound || (isnan(recorded[j]) && isnan(numeric[j])),
                      "%s, operand %d, element %zu: recorded %.17g, numeric %.17g", trial_text(t),
                      i, j, recorded[j], numeric[j]);
            if (!(distance <= bound)) break;
        }
    }
    tg_tape_free(tape);
    drop(&d);
}

static void sweeps_agree(const trial *t)
{
    if (!is_differentiable(t)) return;
    compare_sweeps(t, TG_F64);
    compare_sweeps(t, TG_F32);
}

Test(derivatives, recorded_and_numeric_gradients_agree_in_every_layout)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_trial(op, sweeps_agree);
}

/* ---- corners --------------------------------------------------------------------------------- */

static const double corners[] = { 0.0,  -0.0,  1,      -1,     0.5,      2,         -3,
                                  1e-9, 1e300, -1e300, 1e-310, INFINITY, -INFINITY, NAN };
enum { CORNERS = sizeof corners / sizeof *corners };

/* Every combination of corners as the operands of an elementwise op. */
static size_t corner_leaves(tg_tape *tape, int operands, tg_value *leaf)
{
    static double x[CORNERS * CORNERS * CORNERS];
    size_t n = 1;
    for (int i = 0; i < operands; i++) n *= CORNERS;
    for (size_t i = 0, period = 1; i < (size_t)operands; i++, period *= CORNERS) {
        for (size_t j = 0; j < n; j++) x[j] = corners[j / period % CORNERS];
        leaf[i] = tg_leaf_new(tape, TG_PARAMETER, TG_F64, x, 1, &(int64_t){ (int64_t)n }, NULL);
    }
    return n;
}

/* The operands at position j, for messages. */
static const char *corner_text(int operands, size_t j)
{
    static char text[128];
    int used = 0;
    for (int i = 0; i < operands; i++, j /= CORNERS)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%g", i ? ", " : "",
                         corners[j % CORNERS]);
    return text;
}

/* Where the incoming gradient is 0, elementwise ops contribute exactly 0, whatever the operands are;
   and elsewhere recorded and numeric gradients agree there too. Every third element comes with a
   gradient. */
static void corners_agree(int op)
{
    static double numeric[CORNERS * CORNERS * CORNERS], recorded[CORNERS * CORNERS * CORNERS];
    static double g[CORNERS * CORNERS * CORNERS];
    const int operands = tg__operands(tg__ops[op]->letters);
    for (size_t phase = 0; phase < 3; phase++) {
        tg_tape *const tape = tg_tape_new(NULL);
        tg_value leaf[3], by[3];
        const size_t n = corner_leaves(tape, operands, leaf);
        const int64_t dim = (int64_t)n;
        for (size_t j = 0; j < n; j++) g[j] = j % 3 == phase ? 1.5 : 0;
        const tg_value y = tg__record(op, leaf, operands, NULL, NULL);
        const tg_value c = tg_leaf_new(tape, TG_CONSTANT, TG_F64, g, 1, &dim, NULL);
        cr_assert(tg_grad_values_at(&y, &c, 1, leaf, operands, by, NULL), "%s", message(tape));
        cr_assert(tg_backward_with(y, &(tg_backward_options){ .cotangent = g }), "%s",
                  message(tape));
        for (int i = 0; i < operands; i++) {
            tg_grad_read(leaf[i], numeric, n);
            tg_read(by[i], recorded, n);
            for (size_t j = 0; j < n; j++, checks++) {
                if (g[j] == 0)
                    cr_expect(numeric[j] == 0 && recorded[j] == 0,
                              "%s of %s, operand %d, no incoming gradient: numeric %g, recorded %g",
                              tg__ops[op]->name, corner_text(operands, j), i, numeric[j],
                              recorded[j]);
                else
                    cr_expect(
                        numeric[j] == recorded[j] || (isnan(numeric[j]) && isnan(recorded[j])) ||
                            fabs(numeric[j] - recorded[j]) <=
                                8 * (DBL_EPSILON * fabs(numeric[j]) + DBL_TRUE_MIN),
                        "%s of %s, operand %d: numeric %.17g, recorded %.17g", tg__ops[op]->name,
                        corner_text(operands, j), i, numeric[j], recorded[j]);
            }
        }
        tg_tape_free(tape);
    }
}

Test(derivatives, elementwise_ops_at_every_combination_of_corners)
{
    for (int op = FIRST_OP; op < tg__op_count; op++)
        if (tg__ops[op]->kind == TG__MAP && strpbrk(tg__ops[op]->letters, "lnc")) corners_agree(op);
}

/* ---- forward mode ----------------------------------------------------------------------------- */

enum { DIRECTIONS = 3 };

static double product(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* <v, J u> = <J' v, u>, for several u and v at once; the sums have rounded terms. */
static void identity_holds(const trial *t)
{
    static double u[DIRECTIONS * MOST_ELEMENTS], v[DIRECTIONS * MOST_ELEMENTS];
    static double ju[DIRECTIONS * MOST_ELEMENTS], jv[DIRECTIONS * MOST_ELEMENTS];
    if (!is_differentiable(t)) return;
    data d = draw(t, SEED);
    tg_tape *const tape = tg_tape_new(NULL);
    tg_value leaf[TG__SAMPLES], wrt[TG__SAMPLES];
    make_leaves(t, &d, tape, leaf);
    const tg_value y = record_trial(t, leaf);
    const size_t size = (size_t)tg_size(y);
    size_t n = 0;
    int m = 0;
    for (int i = 0; i < t->x.n && !(i > 0 && t->same); i++) {
        if (is_index(t, i)) continue;
        wrt[m++] = leaf[i];
        n += (size_t)tg_size(leaf[i]);
    }
    for (size_t i = 0; i < DIRECTIONS * n; i++) u[i] = sin((double)i + 1);
    for (size_t i = 0; i < DIRECTIONS * size; i++) v[i] = cos((double)i + 1);
    const bool ok = tg_vjp(y, wrt, m, v, DIRECTIONS, jv) && tg_jvp(y, wrt, m, u, DIRECTIONS, ju);
    cr_expect(ok, "%s: %s", trial_text(t), message(tape));
    for (size_t i = 0; ok && i < DIRECTIONS; i++, checks++) {
        const double forward = product(v + i * size, ju + i * size, size);
        const double reverse = product(jv + i * n, u + i * n, n);
        double scale = 0;
        for (size_t j = 0; j < n; j++) scale += fabs(jv[i * n + j] * u[i * n + j]);
        for (size_t j = 0; j < size; j++) scale += fabs(ju[i * size + j] * v[i * size + j]);
        cr_expect(fabs(forward - reverse) <= 64 * DBL_EPSILON * scale,
                  "%s: <v, J u> is %.17g, <J' v, u> is %.17g", trial_text(t), forward, reverse);
    }
    tg_tape_free(tape);
    drop(&d);
}

Test(derivatives, forward_mode_is_the_transpose_of_reverse_mode)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_trial(op, identity_holds);
}

/* ---- higher orders --------------------------------------------------------------------------- */

static int order;

static void derivative_agrees(const trial *t)
{
    if (!is_differentiable(t)) return;
    tg_check_report report;
    const tg_check_options options = { .seed = SEED, .zero_ok = true, .no_adjoint = true };
    const bool agrees = check_trial(t, order, SEED, &options, &report);
    checks += report.checked;
    /* An op that is linear has a derivative without any history. */
    const bool constant = report.verdict == TG_FAILED && strstr(report.message, "no history");
    /* What cancels to zero leaves a rounding, which has no relative accuracy; differences of such divide
       it by the step. */
    const bool zero = fabs(report.analytic) < 1e-13;
    const bool cancels =
        fabs(report.analytic - report.numeric) < 1e-13 + (zero ? DBL_EPSILON / report.step : 0);
    cr_expect(agrees || constant || cancels, "%s, order %d: %s", trial_text(t), order + 1,
              report.message);
}

Test(derivatives, second_derivatives_agree_with_differences_of_first_in_every_layout)
{
    order = 1;
    for (int op = FIRST_OP; op < tg__op_count; op++) each_trial(op, derivative_agrees);
}

Test(derivatives, third_derivatives_agree_with_differences_of_second)
{
    order = 2;
    for (int op = FIRST_OP; op < tg__op_count; op++) each_plain_trial(op, derivative_agrees);
}

/* ---- seams ----------------------------------------------------------------------------------- */

/* Where formulas and kernels change from one branch to another, and functions have their zeros. */
static const double seams[] = { 0, 0.5, 1, 2, 3, -0.5, -1, -3, -2 };
enum { SEAMS = sizeof seams / sizeof *seams, HIGHEST = 4 };

/* Derivatives of order 1 to 4 at a point against differences of the order below. Where the function
   has a kink or a pole there is nothing to compare. */
static void seam_agrees(const trial *t)
{
    tg_check_report report;
    for (int k = 0; k < HIGHEST; k++) {
        const tg_check_options options = {
            .seed = SEED, .zero_ok = true, .rtol = 1e-5, .step = 0.01
        };
        const bool agrees = check_trial(t, k, SEED, &options, &report);
        if (report.verdict == TG_NOT_FINITE || report.verdict == TG_KINK ||
            report.verdict == TG_JUMP || report.verdict == TG_FAILED || report.verdict == TG_NOISE)
            return;
        checks += report.checked;
        const bool cancels = fabs(report.analytic - report.numeric) < 1e-9;
        cr_expect(agrees || cancels, "%s at %g, %g, %g, order %d: %s", tg__ops[t->op]->name,
                  t->x.x[0].lo, t->x.x[1].lo, t->x.x[2].lo, k + 1, report.message);
    }
}

/* Between bounds that leave no room clamp's derivative is a convention; celu is meant for b > 0; the
   operands of tanh_by_value and sigmoid_by_value are a and its tanh or sigmoid, and what they make of
   others is not a function of b alone. tanh and sigmoid themselves are checked at all points. */
static bool is_outside(const trial *t)
{
    const char *const name = tg__ops[t->op]->name;
    if (strcmp(name, "clamp") == 0) return t->x.x[1].lo >= t->x.x[2].lo;
    if (strcmp(name, "carry") == 0) return t->x.x[2].lo != 0; /* it is told its derivative */
    if (strcmp(name, "tanh_by_value") == 0) return fabs(t->x.x[1].lo) > 0.8;
    if (strcmp(name, "sigmoid_by_value") == 0) return t->x.x[1].lo > 0.8;
    return strncmp(name, "celu", 4) == 0 && t->x.x[1].lo <= 0;
}

Test(derivatives, up_to_the_fourth_order_at_seams)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) {
        if (tg__ops[op]->kind != TG__MAP || !strpbrk(tg__ops[op]->letters, "ln")) continue;
        const int n = tg__operands(tg__ops[op]->letters);
        int points = 1;
        for (int i = 0; i < n; i++) points *= SEAMS;
        for (int j = 0; j < points; j++) {
            trial t = { .op = op, .x = { .n = n } };
            for (int i = 0, rest = j; i < n; i++, rest /= SEAMS)
                t.x.x[i].lo = t.x.x[i].hi = seams[rest % SEAMS];
            if (!is_outside(&t)) seam_agrees(&t);
        }
    }
}
