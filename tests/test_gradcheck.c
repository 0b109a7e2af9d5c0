/* Properties of the gradient check itself: what it accepts, what it refuses, and what it says. */
#include "sample.h"

#include "tape/record.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT(NAME, DATA, ...)                                                                     \
    {                                                                                              \
        .name = (NAME), .data = (DATA),                                                            \
        .rank = (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), .shape = {            \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static const double matrix[] = { 0.3, -0.7, 1.1, 0.4, -1.2, 0.9 };
static const tg_check_input W[] = { INPUT("W1", matrix, 3, 2) };

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(gradcheck, .init = quiet);

static tg_value total(tg_value x)
{
    return apply1("sum", x);
}

/* Checks a model with one element: a vector, because scalars do not go by the table. */
static tg_check_report at(tg_model *model, double x, const tg_check_options *options)
{
    const tg_check_input input = INPUT("x", &x, 1);
    tg_check_report report;
    const bool agrees = tg_gradcheck(model, NULL, &input, 1, options, &report);
    cr_expect(agrees == (report.verdict == TG_AGREES));
    return report;
}

static void expect(const tg_check_report *report, tg_verdict verdict)
{
    cr_expect(report->verdict == verdict, "%s, not %s: %s", tg_verdict_name(report->verdict),
              tg_verdict_name(verdict), report->message);
}

/* ---- a rule that can be made wrong ----------------------------------------------------------- */

static double factor = 1; /* of the gradient of exp */

static tg_code scaled_backward(const tg__call *c)
{
    tg__call call = *c;
    call.op = tg__ops[op_named("exp")];
    double *const g = malloc((size_t)(c->y.s->n + 1) * sizeof *g);
    for (int64_t i = 0; i < c->y.s->n; i++) g[i] = factor * ((const double *)c->g)[i];
    call.g = g;
    const tg_code code = call.op->backward(&call);
    free(g);
    return code;
}

static const tg__op *table[512];
static tg__op changed;

/* Each test is a process of its own: nothing needs to be put back. */
static void make_exp_wrong(double by)
{
    const int op = op_named("exp");
    memcpy(table, tg__ops, (size_t)tg__op_count * sizeof *table);
    changed = *tg__ops[op];
    changed.backward = scaled_backward;
    table[op] = &changed;
    tg__op_table = table;
    factor = by;
}

static tg_value exp_model(tg_tape *tape, const tg_value *x, void *user)
{
    (void)tape, (void)user;
    return apply1("exp", x[0]);
}

/* ---- right and wrong gradients --------------------------------------------------------------- */

Test(gradcheck, a_right_gradient_agrees_by_every_scheme)
{
    for (int scheme = TG_LADDER; scheme <= TG_FORWARD; scheme++) {
        tg_check_report report;
        const tg_check_options options = { .scheme = (tg_scheme)scheme };
        cr_expect(tg_gradcheck(exp_model, NULL, W, 1, &options, &report), "%s", report.message);
        cr_expect(report.checked == 6 && report.kinks == 0);
    }
}

Test(gradcheck, the_ladder_is_good_to_ten_digits)
{
    tg_check_report report;
    cr_expect(
        tg_gradcheck(exp_model, NULL, W, 1, &(const tg_check_options){ .rtol = 1e-10 }, &report),
        "%s", report.message);
    cr_expect(report.relative_error < 1e-10 && report.error_estimate < 1e-10);
}

Test(gradcheck, a_wrong_gradient_is_wrong_by_every_scheme)
{
    static const double factors[] = { -1, 0, 1.01, 0.5, 1e6 };
    for (int scheme = TG_LADDER; scheme <= TG_FORWARD; scheme++)
        for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
            tg_check_report report;
            make_exp_wrong(factors[i]);
            tg_gradcheck(exp_model, NULL, W, 1,
                         &(const tg_check_options){ .scheme = (tg_scheme)scheme }, &report);
            expect(&report, TG_WRONG);
        }
}

Test(gradcheck, the_ladder_sees_an_error_just_above_its_tolerance_and_none_below)
{
    tg_check_report report;
    make_exp_wrong(1 + 2e-7);
    tg_gradcheck(exp_model, NULL, W, 1, NULL, &report);
    expect(&report, TG_WRONG);
    make_exp_wrong(1 + 0.5e-7);
    tg_gradcheck(exp_model, NULL, W, 1, NULL, &report);
    expect(&report, TG_AGREES);
}

Test(gradcheck, the_report_names_the_worst_element)
{
    tg_check_report report;
    make_exp_wrong(1.25);
    cr_expect(!tg_gradcheck(exp_model, NULL, W, 1, NULL, &report));
    cr_expect(report.input == 0 && report.element >= 0 && report.element < 6 &&
              report.checked == 6);
    cr_expect(fabs(report.relative_error - 0.2) < 1e-9 &&
              fabs(report.analytic / report.numeric - 1.25) < 1e-9);
    cr_expect(report.step > 0 && report.step <= 0.02 * 1.2 && report.error_estimate < 1e-9);
    const int row = (int)report.element / 2, column = (int)report.element % 2;
    char start[64];
    snprintf(start, sizeof start, "W1[%d, %d]: analytic ", row, column);
    cr_expect(strncmp(report.message, start, strlen(start)) == 0, "%s", report.message);
    cr_expect(strstr(report.message, "relative error 2.0e-01 (ladder, step ") &&
                  strstr(report.message, "): wrong"),
              "%s", report.message);
}

static tg_value second_input_by_exp(tg_tape *tape, const tg_value *x, void *user)
{
    (void)tape, (void)user;
    return apply2("add", total(apply1("square", x[0])), total(apply1("exp", x[1])));
}

Test(gradcheck, inputs_without_a_name_are_numbered)
{
    const double x = 0.5;
    const tg_check_input inputs[] = { W[0], INPUT(NULL, &x, 1) };
    tg_check_report report;
    make_exp_wrong(2);
    cr_expect(!tg_gradcheck(second_input_by_exp, NULL, inputs, 2, NULL, &report));
    cr_expect(report.input == 1 && report.element == 0);
    cr_expect(strncmp(report.message, "input 1[0]: analytic 3.29744, numeric 1.64872, ", 47) == 0,
              "%s", report.message);
}

/* ---- directions ------------------------------------------------------------------------------ */

Test(gradcheck, large_inputs_are_checked_along_random_directions)
{
    static double x[5000];
    for (size_t i = 0; i < 5000; i++) x[i] = sin((double)i);
    const tg_check_input input = INPUT("x", x, 50, 100);
    tg_check_report report;
    cr_expect(tg_gradcheck(exp_model, NULL, &input, 1, NULL, &report), "%s", report.message);
    cr_expect(report.checked == 32 && report.element == -1);
    cr_expect(strncmp(report.message, "x along a random direction: analytic ", 37) == 0, "%s",
              report.message);
    make_exp_wrong(1.001);
    cr_expect(!tg_gradcheck(exp_model, NULL, &input, 1, NULL, &report));
    expect(&report, TG_WRONG);
    cr_expect(report.element >= 0 && report.fault == TG_FAULT_FACTOR &&
                  fabs(report.factor - 1.001) < 1e-6,
              "%s", report.message);
}

Test(gradcheck, the_number_of_directions_can_be_chosen)
{
    tg_check_report report;
    cr_expect(tg_gradcheck(exp_model, NULL, W, 1,
                           &(const tg_check_options){ .directions = 3, .seed = 5 }, &report));
    cr_expect(report.checked == 3 && report.element == -1);
}

/* ---- kinks ----------------------------------------------------------------------------------- */

static tg_value relu_model(tg_tape *tape, const tg_value *x, void *user)
{
    (void)tape, (void)user;
    return apply1("relu", x[0]);
}

static tg_value abs_model(tg_tape *tape, const tg_value *x, void *user)
{
    (void)tape, (void)user;
    return apply1("abs", x[0]);
}

Test(gradcheck, a_kink_is_named_at_the_corner_and_very_near_it_only)
{
    static const double far[] = { 1, -1, 0.02, -0.015, 1e-2, 1e-3, -1e-4 },
                        near[] = { 0, 1e-9, -1e-9, 1e-14 };
    for (int scheme = TG_LADDER; scheme <= TG_CENTRAL; scheme++) {
        const tg_check_options options = { .scheme = (tg_scheme)scheme, .zero_ok = true };
        for (size_t i = 0; i < sizeof far / sizeof far[0]; i++) {
            const tg_check_report relu = at(relu_model, far[i], &options),
                                  abs = at(abs_model, far[i], &options);
            expect(&relu, TG_AGREES);
            expect(&abs, TG_AGREES);
        }
        for (size_t i = 0; i < sizeof near / sizeof near[0]; i++) {
            const tg_check_report relu = at(relu_model, near[i], &options),
                                  abs = at(abs_model, near[i], &options);
            expect(&relu, TG_KINK);
            expect(&abs, TG_KINK);
            cr_expect(relu.kinks == 1 && relu.checked == 0);
        }
    }
}

Test(gradcheck, single_kinks_are_counted_and_left_out)
{
    static const double x[] = { 0.5, 0, -0.5, 1 };
    const tg_check_input input = INPUT("x", x, 4);
    tg_check_report report;
    cr_expect(tg_gradcheck(relu_model, NULL, &input, 1, NULL, &report), "%s", report.message);
    cr_expect(report.checked == 3 && report.kinks == 1);
    cr_expect(strstr(report.message, "1 left out at kinks"), "%s", report.message);
}

static tg_value curved_model(tg_tape *tape, const tg_value *x, void *user)
{
    (void)tape, (void)user;
    return apply1("exp", apply2("mul", tg_number_new(tape, 300, NULL), x[0]));
}

Test(gradcheck, strong_curvature_is_no_kink)
{
    const tg_check_report report = at(curved_model, 0.01, NULL);
    expect(&report, TG_AGREES);
}

/* ---- nothing to say -------------------------------------------------------------------------- */

/* x with noise of the size that user points at: a different one at each x. */
static tg_value noisy_model(tg_tape *tape, const tg_value *x, void *user)
{
    const double size = *(const double *)user, at = tg_item(x[0]);
    uint64_t bits;
    memcpy(&bits, &at, sizeof bits);
    bits = (bits ^ (bits >> 29)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 32)) * 0x94d049bb133111ebu;
    return apply2("add", x[0], tg_number_new(tape, size * (double)(bits >> 11) * 0x1p-53, NULL));
}

Test(gradcheck, noise_is_never_agreement)
{
    static const double sizes[] = { 1e-4, 1e-3, 1e-2, 1 };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int k = 0; k < 50; k++) {
            double size = sizes[i];
            const double x = 0.1 + 0.03 * k;
            tg_check_report report;
            const tg_check_input input = { .data = &x };
            cr_expect(!tg_gradcheck(noisy_model, &size, &input, 1, NULL, &report),
                      "noise %g at %g: %s", size, x, report.message);
        }
}

static tg_value log_model(tg_tape *tape, const tg_value *x, void *user)
{
    (void)tape, (void)user;
    return apply1("log", x[0]);
}

Test(gradcheck, what_is_not_finite_never_passes)
{
    const tg_check_report nan_value = at(log_model, -1, NULL), nan_input = at(exp_model, NAN, NULL),
                          infinite = at(exp_model, 1000, NULL), border = at(log_model, 0, NULL);
    expect(&nan_value, TG_NOT_FINITE);
    expect(&nan_input, TG_NOT_FINITE);
    expect(&infinite, TG_NOT_FINITE);
    expect(&border, TG_NOT_FINITE);
    cr_expect(strstr(nan_value.message, "element 0 of the function's value is"), "%s",
              nan_value.message);
    make_exp_wrong(NAN);
    const tg_check_report nan_gradient = at(exp_model, 1, NULL);
    expect(&nan_gradient, TG_NOT_FINITE);
    make_exp_wrong(INFINITY);
    const tg_check_report infinite_gradient = at(exp_model, 1, NULL);
    expect(&infinite_gradient, TG_NOT_FINITE);
}

Test(gradcheck, the_step_shrinks_near_the_border_of_the_domain)
{
    static const double near[] = { 1e-2, 1e-3, 1e-5 };
    for (size_t i = 0; i < 3; i++) {
        const tg_check_report report = at(log_model, near[i], NULL);
        expect(&report, TG_AGREES);
        cr_expect(report.step < near[i]);
    }
}

static tg_value floor_model(tg_tape *tape, const tg_value *x, void *user)
{
    (void)tape, (void)user;
    return apply1("floor", x[0]);
}

Test(gradcheck, all_zero_is_no_success_unless_it_is_asked_for)
{
    const tg_check_report zero = at(floor_model, 0.5, NULL);
    expect(&zero, TG_ALL_ZERO);
    const tg_check_report asked =
        at(floor_model, 0.5, &(const tg_check_options){ .zero_ok = true });
    expect(&asked, TG_AGREES);
    make_exp_wrong(0);
    const tg_check_report wrong = at(exp_model, 0.5, &(const tg_check_options){ .zero_ok = true });
    expect(&wrong, TG_WRONG);
}

Test(gradcheck, inputs_without_elements_test_nothing)
{
    const tg_check_input empty = INPUT("x", matrix, 0, 3);
    tg_check_report report;
    cr_expect(!tg_gradcheck(exp_model, NULL, &empty, 1, NULL, &report));
    expect(&report, TG_ALL_ZERO);
    cr_expect(tg_gradcheck(exp_model, NULL, &empty, 1, &(const tg_check_options){ .zero_ok = true },
                           &report));
}

static tg_value softmax_total(tg_tape *tape, const tg_value *x, void *user)
{
    (void)tape, (void)user;
    return total(apply1("softmax", x[0]));
}

Test(gradcheck, derivatives_that_are_rounding_only_are_zero)
{
    tg_check_report report;
    cr_expect(!tg_gradcheck(softmax_total, NULL, W, 1, NULL, &report));
    expect(&report, TG_ALL_ZERO);
    cr_expect(tg_gradcheck(softmax_total, NULL, W, 1, &(const tg_check_options){ .zero_ok = true },
                           &report),
              "%s", report.message);
}

static tg_value partly_unused(tg_tape *tape, const tg_value *x, void *user)
{
    (void)user;
    static const tg_slice_attributes front = { .axis = 0, .start = 0, .stop = 1, .step = 1 };
    const tg_value used = total(apply1("exp", apply("slice", 1, x, &front)));
    return apply2("add", used, tg_number_new(tape, 1e6, NULL));
}

Test(gradcheck, zero_derivatives_among_others_agree)
{
    tg_check_report report;
    cr_expect(tg_gradcheck(partly_unused, NULL, W, 1, NULL, &report), "%s", report.message);
    cr_expect(report.checked == 6);
}

/* ---- models ---------------------------------------------------------------------------------- */

static tg_value branching(tg_tape *tape, const tg_value *x, void *user)
{
    (void)tape, (void)user;
    tg_value y = x[0];
    for (int i = 0; i < 3; i++) y = tg_item(y) > 1 ? apply1("log", y) : apply1("exp", y);
    return y;
}

Test(gradcheck, the_model_may_branch_on_its_values)
{
    const tg_check_report low = at(branching, 0.3, NULL), high = at(branching, 5, NULL);
    expect(&low, TG_AGREES);
    expect(&high, TG_AGREES);
}

static tg_value counting(tg_tape *tape, const tg_value *x, void *user)
{
    int *calls = user;
    return apply2("mul", x[0], tg_number_new(tape, ++*calls, NULL));
}

Test(gradcheck, a_model_that_changes_from_call_to_call_fails)
{
    int calls = 0;
    tg_check_report report;
    cr_expect(!tg_gradcheck(counting, &calls, W, 1, NULL, &report));
    expect(&report, TG_RANDOM);
    cr_expect(strstr(report.message, "changes from call to call"), "%s", report.message);
}

static tg_value misshapen(tg_tape *tape, const tg_value *x, void *user)
{
    (void)tape, (void)user;
    return apply2("matmul", x[0], x[0]);
}

static tg_value nothing(tg_tape *tape, const tg_value *x, void *user)
{
    (void)tape, (void)x, (void)user;
    return (tg_value){ 0 };
}

static tg_value integers(tg_tape *tape, const tg_value *x, void *user)
{
    const int64_t label = 1;
    (void)x, (void)user;
    return tg_index_new(tape, sizeof label, &label, 0, NULL, NULL);
}

static tg_value growing(tg_tape *tape, const tg_value *x, void *user)
{
    static const tg_slice_attributes front = { .axis = 0, .start = 0, .stop = 1, .step = 1 };
    (void)tape, (void)user;
    return tg_data(x[0])[0] == matrix[0] ? apply1("exp", x[0]) : apply("slice", 1, x, &front);
}

Test(gradcheck, an_error_in_the_model_is_reported_with_its_message)
{
    tg_check_report report;
    cr_expect(!tg_gradcheck(misshapen, NULL, W, 1, NULL, &report));
    expect(&report, TG_FAILED);
    cr_expect(strstr(report.message, "matmul"), "%s", report.message);
    cr_expect(!tg_gradcheck(nothing, NULL, W, 1, NULL, &report));
    expect(&report, TG_FAILED);
    cr_expect_str_eq(report.message, "failed: the model returned no value of its tape");
    cr_expect(!tg_gradcheck(integers, NULL, W, 1, NULL, &report));
    expect(&report, TG_FAILED);
    cr_expect_str_eq(report.message,
                     "failed: the model's value is an index tensor, which has no gradient");
    cr_expect(!tg_gradcheck(growing, NULL, W, 1, NULL, &report));
    expect(&report, TG_FAILED);
    cr_expect_str_eq(report.message, "failed: the model's value has 2 elements, and had 6 at the "
                                     "unchanged inputs");
}

Test(gradcheck, calls_that_make_no_sense_are_refused)
{
    const tg_check_input ranks = { "x", matrix, 9, { 1 } };
    tg_check_report report;
    cr_expect(!tg_gradcheck(NULL, NULL, W, 1, NULL, &report));
    cr_expect_str_eq(report.message, "the model is NULL");
    cr_expect(!tg_gradcheck(exp_model, NULL, W, 0, NULL, &report));
    cr_expect_str_eq(report.message, "there are no inputs");
    cr_expect(!tg_gradcheck(exp_model, NULL, &ranks, 1, NULL, &report));
    cr_expect_str_eq(report.message, "an input has a rank outside 0 to 8");
    expect(&report, TG_FAILED);
}

Test(gradcheck, the_byte_limit_of_the_tape_is_kept)
{
    tg_check_report report;
    cr_expect(!tg_gradcheck(exp_model, NULL, W, 1, &(const tg_check_options){ .max_bytes = 64 },
                            &report));
    expect(&report, TG_FAILED);
}

Test(gradcheck, the_report_may_be_left_out)
{
    cr_expect(tg_gradcheck(exp_model, NULL, W, 1, NULL, NULL));
    make_exp_wrong(2);
    cr_expect(!tg_gradcheck(exp_model, NULL, W, 1, NULL, NULL));
}

Test(gradcheck, the_same_seed_gives_the_same_report)
{
    tg_check_report a, b;
    const tg_check_options options = { .directions = 4, .seed = 11 };
    tg_gradcheck(exp_model, NULL, W, 1, &options, &a);
    tg_gradcheck(exp_model, NULL, W, 1, &options, &b);
    cr_expect(a.analytic == b.analytic && a.numeric == b.numeric &&
              strcmp(a.message, b.message) == 0);
}
