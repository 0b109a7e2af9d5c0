/* What a check of a model says beyond the numbers: which recorded operation is wrong, which one has
   the kink, which one made a NaN; with the line where it was recorded and what it computed with. */
#include <tapegrad.h>
#include <tapegrad/criterion.h>
#include <tapegrad/short.h>
#include <tapegrad/tap.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(culprits, .init = quiet);

/* What is expected behind the position of a line, which is that of the model. */
static void says(const char *text, const char *before, int line, const char *after)
{
    char place[64];
    snprintf(place, sizeof place, "test_culprits.c:%d", line);
    const char *const at = strstr(text, place);
    cr_expect(strncmp(text, before, strlen(before)) == 0, "%s does not begin with %s", text, before);
    cr_expect(at, "%s is not in %s", place, text);
    cr_expect(at && strcmp(at + strlen(place), after) == 0, "%s does not end with %s", text, after);
}

static tg_check_report check(tg_model *model, void *user, const tg_check_input *inputs, int n,
                             tg_verdict verdict)
{
    tg_check_report r;
    const bool agrees = tg_gradcheck(model, user, inputs, n, NULL, &r);
    cr_expect(agrees == (verdict == TG_AGREES) && r.verdict == verdict, "%s: %s",
              tg_verdict_name(r.verdict), r.message);
    const size_t length = strlen(r.message), own = strlen(r.operation);
    cr_expect(own == 0 || strcmp(r.message + length - own, r.operation) == 0,
              "the message ends with the operation: %s", r.message);
    return r;
}

static const double zero[] = { 0 };

/* ---- kinks ----------------------------------------------------------------------------------- */

static int at_line; /* of the operation that is meant */

static tg_value two_relus(tg_tape *t, const tg_value *x, void *user)
{
    (void)user;
    Value first = relu(add(x[0], 1));
    at_line = __LINE__ + 1;
    Value hidden = tg_name(relu(sub(matmul(x[1], first), constant(t, ((double[]){ 0.5, 1 }), 2))), "hidden");
    return sum(square(add(hidden, 1)));
}

Test(culprits, a_kink_is_named_by_its_operation_line_and_element)
{
    const double x[] = { 0, 0.5 }, W[] = { 0.5, 0.25, 1, 0 };
    const tg_check_input inputs[] = { { "x", x, 1, { 2 } }, { "W", W, 2, { 2, 2 } } };
    const tg_check_report r = check(two_relus, NULL, inputs, 2, TG_AGREES);
    cr_expect(r.kinks == 3 && r.checked == 3, "%zu, %zu", r.kinks, r.checked);
    says(r.operation, "relu (hidden) of ", at_line, " has a kink at %7[1] = 0: %7 = [0.375, 0]");
    cr_expect(strstr(r.message, "agrees, the worst of 3 compared; 3 left out at kinks, the first at "
                                "x[0]; relu (hidden) of "),
              "%s", r.message);
}

static tg_value corner(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    at_line = __LINE__ + 1;
    return abs(x[0]);
}

Test(culprits, a_check_of_nothing_but_a_kink_says_both_slopes_and_where_it_is)
{
    static const double near[] = { 0, 1e-9, -3e-8, 1e-14 };
    for (size_t i = 0; i < sizeof near / sizeof near[0]; i++) {
        const tg_check_input input = { "x", &near[i], 0, { 0 } };
        const tg_check_report r = check(corner, NULL, &input, 1, TG_KINK);
        cr_expect(strstr(r.reason, "the slope is -1 to the left and 1 to the right") || i, "%s",
                  r.message);
        char end[64];
        snprintf(end, sizeof end, " has a kink at x = %.6g", near[i]);
        says(r.operation, "abs (%1) of ", at_line, end);
    }
    char text[TG_CHECK_TEXT], wanted[TG_CHECK_TEXT];
    const tg_check_input input = { "x", zero, 0, { 0 } };
    tg_check_report r = check(corner, NULL, &input, 1, TG_KINK);
    tg_check_describe(&r, text, sizeof text);
    snprintf(wanted, sizeof wanted,
             "kink at x\n"
             "    why      the slope is -1 to the left and 1 to the right\n"
             "    where    %s",
             r.operation);
    cr_expect_str_eq(text, wanted);
}

static tg_value largest(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    at_line = __LINE__ + 1;
    return mul(amax(x[0]), sum(x[0]));
}

Test(culprits, a_tie_is_a_kink)
{
    const double x[] = { 3, 1, 3 };
    const tg_check_input input = { "x", x, 1, { 3 } };
    const tg_check_report r = check(largest, NULL, &input, 1, TG_AGREES);
    cr_expect(r.kinks == 2);
    says(r.operation, "amax (%1) of ", at_line, " has a kink at x[0] = 3: x = [3, 1, 3]");
}

static tg_value many_relus(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    at_line = __LINE__ + 1;
    return sum(relu(x[0]));
}

Test(culprits, a_kink_along_a_random_direction_is_named_too)
{
    static double x[1500];
    for (size_t i = 0; i < 1500; i++) x[i] = i == 700 ? 0 : 1 + sin((double)i) * 0.5;
    const tg_check_input input = { "x", x, 1, { 1500 } };
    const tg_check_report r = check(many_relus, NULL, &input, 1, TG_KINK);
    cr_expect(r.kinks == 32);
    says(r.operation, "relu (%1) of ", at_line,
         " has a kink at x[700] = 0: x = [1, 1.42074, 1.45465, 1.07056, ...]");
}

static tg_value stepped(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    Value smooth = exp(mul(0.1, x[0]));
    at_line = __LINE__ + 1;
    Value whole = floor(mul(2, x[0]));
    return sum(add(smooth, mul(whole, whole)));
}

Test(culprits, a_jump_is_named)
{
    const double x[] = { 0.3, 1.5 };
    const tg_check_input input = { "x", x, 1, { 2 } };
    tg_check_report r = check(stepped, NULL, &input, 1, TG_AGREES);
    cr_expect(r.jumps == 1);
    says(r.operation, "floor (%6) of ", at_line, " jumps at its element [1]: %5 = [0.6, 3]");
    const tg_check_input alone = { "x", x + 1, 0, { 0 } };
    r = check(stepped, NULL, &alone, 1, TG_JUMP);
    cr_expect(strstr(r.reason, "the value jumps by 5 within a step of "), "%s", r.message);
    says(r.operation, "floor (%6) of ", at_line, " jumps: %5 = 3");
}

static tg_value branching(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    return tg_item(x[0]) > 0 ? mul(3, x[0]) : mul(-1, x[0]);
}

Test(culprits, a_branch_of_the_models_own_is_told_from_a_kink_of_an_operation)
{
    const tg_check_input input = { "x", zero, 0, { 0 } };
    const tg_check_report r = check(branching, NULL, &input, 1, TG_KINK);
    cr_expect_str_eq(r.operation,
                     "no recorded operation has it: does the model's own code branch there?");
    cr_expect_str_eq(r.reason, "the slope is -1 to the left and 3 to the right");
}

static double plain_corner(const double *x, size_t n, void *user)
{
    (void)n, (void)user;
    return fabs(x[0]) + x[1] * x[1];
}

static void plain_corner_gradient(const double *x, size_t n, double *g, void *user)
{
    (void)n, (void)user;
    g[0] = 1, g[1] = 2 * x[1];
}

Test(culprits, of_plain_functions_the_element_with_the_kink_is_named)
{
    const double x[] = { 0, 2 };
    tg_check_report r;
    cr_assert(tg_check_gradient(plain_corner, plain_corner_gradient, x, 2, NULL, &r));
    cr_expect(strstr(r.message,
                     "agrees, the worst of 1 compared; 1 left out at kinks, the first at x[0]"),
              "%s", r.message);
}

/* ---- wrong operations ------------------------------------------------------------------------ */

static bool cube_forward(const tg_custom_call *c)
{
    const double *const x = c->x[0].data;
    double *const y = c->y.data;
    for (int64_t i = 0; i < c->y.size; i++) y[i] = x[i] * x[i] * x[i];
    return true;
}

static bool cube_backward(const tg_custom_call *c)
{
    const double *const x = c->x[0].data, *const g = c->g.data;
    double *const dx = c->dx[0].data;
    for (int64_t i = 0; i < c->y.size; i++) dx[i] += (i == 1 ? 2 : 3) * x[i] * x[i] * g[i];
    return true;
}

static const tg_custom cube = { .name = "cube", .operands = 1, .forward = cube_forward,
                                .backward = cube_backward };

static tg_value with_cube(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    Value h = tg_name(tanh(x[0]), "h");
    at_line = __LINE__ + 1;
    return sum(exp(tg_custom_apply(&cube, h)));
}

static const double three[] = { 0.5, -1.5, 2 };
static const tg_check_input w[] = { { "w", three, 1, { 3 } } };

Test(culprits, the_wrong_operation_is_named_with_its_line_and_values)
{
    const tg_check_report r = check(with_cube, NULL, w, 1, TG_WRONG);
    says(r.operation, "cube (%2) of ", at_line,
         " has a wrong gradient by h[1]: its backward rule gives 0.98898532, differences of its "
         "forward rule give 1.483478 (for random cotangents): h = [0.462117, -0.905148, "
         "0.964028]");
    cr_expect(strstr(r.message, "w[1]: analytic 0.141"), "%s", r.message);
    cr_expect(strstr(r.message, "a constant factor: 2/3 times what it should be: w[1] alone; cube (%2) of "),
              "%s", r.message);
}

Test(culprits, assertions_and_tap_show_it)
{
    char text[TG_CHECK_TEXT], tap[4000] = "";
    const tg_check_case row = { "with a cube", .model = with_cube, .inputs = w, .n = 1 };
    cr_expect(!tg__criterion_run(&row, text, sizeof text));
    cr_expect(strncmp(text, "with a cube: wrong at w[1]\n    expected ", 40) == 0, "%s", text);
    cr_expect(strstr(text, "\n    where    cube (%2) of "), "%s", text);
    FILE *const file = tmpfile();
    cr_assert(file && tg_tap_to(file, file, &row, 1) == 1);
    rewind(file);
    cr_expect(fread(tap, 1, sizeof tap - 1, file) > 0);
    fclose(file);
    cr_expect(strstr(tap, "\n#     where    cube (%2) of "), "%s", tap);
}

static bool cube_right_backward(const tg_custom_call *c)
{
    const double *const x = c->x[0].data, *const g = c->g.data;
    double *const dx = c->dx[0].data;
    for (int64_t i = 0; i < c->y.size; i++) dx[i] += 3 * x[i] * x[i] * g[i];
    return true;
}

static bool cube_derivative(const tg_custom_derivation *d)
{
    d->dx[0] = mul(d->g, mul(2, square(d->x[0])));
    return true;
}

static bool cube_tangent(const tg_custom_call *c)
{
    const double *const x = c->x[0].data, *const u = c->dx[0].data;
    double *const dy = c->dy->data;
    for (int64_t i = 0; i < c->y.size; i++) dy[i] = -3 * x[i] * x[i] * u[i];
    return true;
}

static tg_value with_any_cube(tg_tape *t, const tg_value *x, void *user)
{
    (void)t;
    Value h = tg_name(tanh(x[0]), "h");
    at_line = __LINE__ + 1;
    return sum(exp(tg_custom_apply((const tg_custom *)user, h)));
}

Test(culprits, a_derivative_or_tangent_that_contradicts_backward_is_named)
{
    tg_custom op = cube;
    op.backward = cube_right_backward;
    check(with_any_cube, &op, w, 1, TG_AGREES);
    op.derivative = cube_derivative;
    tg_check_report r = check(with_any_cube, &op, w, 1, TG_WRONG);
    cr_expect(r.fault == TG_FAULT_ADJOINT);
    cr_expect_str_eq(r.reason, "the gradient agrees with differences, but recorded derivatives or "
                               "tangents do not agree with it: <v, Ju> is 0.550788, <J'v, u> is "
                               "0.826182");
    says(r.operation, "cube (%2) of ", at_line,
         " has a .derivative that contradicts its backward: for random u and v <v, Ju> is "
         "-3.4063298 by the one, <J'v, u> is -5.1094946 by the other: h = [0.462117, -0.905148, 0.964028]");
    op.derivative = NULL;
    op.tangent = cube_tangent;
    r = check(with_any_cube, &op, w, 1, TG_WRONG);
    cr_expect(r.fault == TG_FAULT_ADJOINT);
    cr_expect(strstr(r.operation, "has a .tangent that contradicts its backward: "), "%s",
              r.operation);
}

TG_RULE(crooked, "x * x", "3 * x")

static tg_value with_a_rule(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    at_line = __LINE__ + 1;
    return sum(crooked(x[0]));
}

Test(culprits, a_wrong_rule_is_named)
{
    const tg_check_report r = check(with_a_rule, NULL, w, 1, TG_WRONG);
    cr_expect(strncmp(r.operation, "carry (", 7) == 0 && strstr(r.operation, "wrong gradient by w["),
              "%s", r.operation);
}

static tg_value with_a_number(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    return sum(mul(x[0], tg_item(sum(x[0]))));
}

Test(culprits, a_number_taken_out_of_the_tape_is_suspected_where_no_operation_is_wrong)
{
    const tg_check_report r = check(with_a_number, NULL, w, 1, TG_WRONG);
    cr_expect_str_eq(r.operation,
                     "no recorded operation is wrong by itself (2 derivatives agree, 0 could not be "
                     "compared): does the model use numbers read from the tape, or detached values?");
}

/* ---- not finite ------------------------------------------------------------------------------ */

static tg_value with_a_log(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    at_line = __LINE__ + 1;
    return sum(square(log(x[0])));
}

static tg_value with_a_root(tg_tape *t, const tg_value *x, void *user)
{
    (void)t, (void)user;
    at_line = __LINE__ + 1;
    return sum(sqrt(square(x[0])));
}

Test(culprits, what_made_a_nan_or_an_infinity_is_named_forward_and_backward)
{
    tg_check_report r = check(with_a_log, NULL, w, 1, TG_NOT_FINITE);
    says(r.operation, "log (%1) of ", at_line, " made nan at [1]: w = -1.5 there");
    cr_expect(strncmp(r.message, "not finite: element 0 of the function's value is NaN; log (%1)", 60) == 0,
              "%s", r.message);
    const double x[] = { 2, 0 };
    const tg_check_input input = { "x", x, 1, { 2 } };
    r = check(with_a_root, NULL, &input, 1, TG_NOT_FINITE);
    says(r.operation, "the gradient of sqrt (%2) of ", at_line,
         " by %1[1] is inf: %1 = 0 there; the gradient that came in is [1, 1]");
    cr_expect(strncmp(r.message, "not finite: the gradient is ", 28) == 0, "%s", r.message);
}
