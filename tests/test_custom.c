/* Operations of the user's own: custom.h. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include <tapegrad.h>

#include "cubes.h"

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(custom, .init = quiet);

static void fails(tg_tape *t, tg_code code, const char *text)
{
    const tg_error *const e = tg_error_of(t);
    cr_assert(e, "no error where \"%s\" is expected", text);
    cr_expect(e->code == code && strstr(e->message, text), "\"%s\" is not \"...%s...\"", e->message,
              text);
    tg_error_clear(t);
}

/* ---- cubes is an operation with everything ------------------------------------------------------ */

static tg_value cubes_of(const tg_custom *op, tg_value a, tg_value b)
{
    return tg_custom_apply(op, a, b);
}

/* Of the check: the operation itself, or its derivative of some order. */
typedef struct subject {
    const tg_custom *op;
    int order;
    bool turned;
} subject;

static tg_value model(tg_tape *t, const tg_value *x, void *user)
{
    const subject *const s = user;
    const tg_value a = s->turned ? tg_transpose(x[0]) : x[0];
    const tg_value b = s->turned ? tg_transpose(x[1]) : x[1];
    tg_value y = tg_sum(tg_sin(cubes_of(s->op, a, b))), g[2];
    (void)t;
    for (int i = 0; i < s->order; i++) {
        if (!tg_grad_values(&y, NULL, 1, x, 2, g)) break;
        y = tg_add(tg_sum(g[0]), tg_sum(tg_mul(0.5, g[1])));
    }
    return y;
}

static bool check(const subject *s, tg_check_report *report)
{
    static const double a[] = { 0.3, -0.7, 1.1, 0.9, -0.2, 0.5 };
    static const double b[] = { 1.3, 0.4, -0.6, 0.8, 0.1, -1.2 };
    const tg_check_input inputs[] = { { .data = a, .rank = 2, .shape = { 2, 3 } },
                                      { .data = b, .rank = 2, .shape = { 2, 3 } } };
    return tg_gradcheck(model, (void *)(uintptr_t)s, inputs, 2, NULL, report);
}

Test(custom, gradients_of_every_order_pass_the_check)
{
    tg_check_report report;
    for (int turned = 0; turned < 2; turned++)
        for (int order = 0; order < 3; order++)
            cr_expect(check(&(subject){ &cubes, order, turned }, &report), "order %d: %s",
                      order + 1, report.message);
}

static bool wrong_backward(const tg_custom_call *c)
{
    cubes_backward(c);
    if (c->wanted[0]) put(&c->dx[0], 1, 0);
    return true;
}

Test(custom, a_wrong_gradient_does_not_pass_the_check)
{
    tg_check_report report;
    tg_custom wrong = cubes;
    wrong.backward = wrong_backward;
    cr_expect(!check(&(subject){ &wrong, 0, false }, &report));
    cr_expect(report.verdict == TG_WRONG && report.input == 0 && report.element == 1, "%s",
              report.message);
}

Test(custom, in_f32_and_again_after_its_operands_changed)
{
    const float a0[] = { 1, 2 }, b0[] = { 3, 4 }, a1[] = { 2, 3 };
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = TG_F32 });
    const tg_value a = tg_param(t, a0, 2), b = tg_param(t, b0, 2), y = cubes_of(&cubes, a, b);
    cr_expect(tg_data_f32(y)[0] == 3 && tg_data_f32(y)[1] == 32);
    tg_set(a, a1, 2);
    cr_assert(tg_forward(y) && tg_backward(tg_sum(y)));
    cr_expect(tg_data_f32(y)[0] == 24 && tg_data_f32(y)[1] == 108);
    cr_expect(tg_grad_f32(a)[0] == 36 && tg_grad_f32(b)[1] == 27);
    tg_tape_free(t);
}

/* ---- with less than everything ----------------------------------------------------------------- */

Test(custom, without_a_derivative_one_order_works_and_two_are_a_named_error)
{
    tg_custom plain = cubes;
    plain.derivative = NULL;
    plain.tangent = NULL;
    const double a0[] = { 1, 2 }, b0[] = { 3, 4 };
    double out[4], want[4];
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x[] = { tg_param(t, a0, 2), tg_param(t, b0, 2) };
    const tg_value y = tg_sum(cubes_of(&plain, x[0], x[1]));
    const tg_value known = tg_sum(cubes_of(&cubes, x[0], x[1]));
    tg_value g[2];
    cr_assert(tg_grad_values(&y, NULL, 1, x, 2, g));
    tg_read(g[0], out, 2);
    cr_expect(out[0] == 9 && out[1] == 48);
    cr_expect(!tg_backward(tg_sum(g[0])));
    fails(t, TG_ERROR_HISTORY, "cubes has no .derivative");
    cr_expect(!tg_hvp(y, x, 2, (const double[]){ 1, 1, 1, 1 }, 1, out));
    fails(t, TG_ERROR_HISTORY, "cubes has no .derivative");
    const tg_value s = tg_sum(g[0]);
    cr_expect(!tg_grad_values(&s, NULL, 1, x, 2, g));
    fails(t, TG_ERROR_HISTORY, "cannot be differentiated twice");
    cr_expect(!tg_jvp(y, x, 2, (const double[]){ 1, 1, 1, 1 }, 1, out));
    fails(t, TG_ERROR_HISTORY, "neither .derivative nor .tangent");
    plain.tangent = cubes_tangent;
    const double u[] = { 1, -1, 0.5, 2 };
    cr_assert(tg_jvp(y, x, 2, u, 1, out) && tg_jvp(known, x, 2, u, 1, want), "%s",
              tg_error_of(t)->message);
    cr_expect(fabs(out[0] - want[0]) < 1e-13 * fabs(want[0]), "%g, %g", out[0], want[0]);
    tg_tape_free(t);
}

/* The same rules by somebody who has not read of wanted. */
static bool forgetful_backward(const tg_custom_call *c)
{
    const bool all[] = { true, true, true };
    tg_custom_call call = *c;
    call.wanted = all;
    return cubes_backward(&call);
}

static bool forgetful_tangent(const tg_custom_call *c)
{
    const bool all[] = { true, true, true };
    tg_custom_call call = *c;
    call.wanted = all;
    return cubes_tangent(&call);
}

/* Behind a larger operation on views, whose copies scratch memory is full of. */
static tg_value with_a_constant(tg_tape *t, const tg_value *x, void *user)
{
    const double other[] = { 0.8, -1.1, 0.4, 2, -0.6, 1.3 };
    const tg_value c = tg_constant(t, other, 2, 3);
    const tg_value large = tg_transpose(tg_broadcast_to(c, 8, 2, 3));
    tg_custom_apply(user, large, large);
    return tg_add(tg_custom_apply(user, x[0], c), tg_custom_apply(user, c, x[0]));
}

Test(custom, rules_that_do_not_ask_what_is_wanted_are_right_all_the_same)
{
    static const double a[] = { 0.3, -0.7, 1.1, 0.9, -0.2, 0.5 };
    const tg_check_input input = { .data = a, .rank = 2, .shape = { 2, 3 } };
    tg_custom op = cubes;
    tg_check_report report;
    op.backward = forgetful_backward;
    op.tangent = forgetful_tangent;
    for (int i = 0; i < 3; i++) {
        if (i == 1) op.derivative = NULL;
        if (i == 2) op.tangent = NULL;
        cr_expect(tg_gradcheck(with_a_constant, &op, &input, 1, NULL, &report), "%s",
                  report.message);
        cr_expect(check(&(subject){ &op, 0, true }, &report), "%s", report.message);
    }
    const float b[] = { 1, 2 };
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = TG_F32 });
    const tg_value x = tg_param(t, b, 2), y = tg_custom_apply(&op, tg_constant(t, b, 2), x);
    cr_expect(tg_backward(tg_sum(y)) && tg_grad_f32(x)[1] == 8);
    tg_tape_free(t);
}

static bool count_forward(const tg_custom_call *c)
{
    *(double *)c->y.data = (double)c->n;
    for (int i = 0; i < c->n; i++)
        if (c->x[i].type == TG_I64) *(double *)c->y.data += (double)*(const int64_t *)c->x[i].data;
    return true;
}

static bool scalar_shape(const tg_custom_call *c, int *rank, int64_t *dim)
{
    (void)c, (void)dim;
    *rank = 0;
    return true;
}

Test(custom, any_number_of_operands_integers_too_and_no_gradient)
{
    static const tg_custom count = { .name = "count",
                                     .shape = scalar_shape,
                                     .forward = count_forward };
    const long label = 40;
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_scalar(t, 1), i = tg_index(t, &label);
    const tg_value y = tg_custom_apply(&count, i, x);
    cr_expect(tg_item(y) == 42);
    cr_assert(tg_backward(tg_add(y, x)));
    cr_expect(tg_grad_item(x) == 1);
    tg_tape_free(t);
}

/* ---- mistakes ---------------------------------------------------------------------------------- */

static bool no_forward(const tg_custom_call *c)
{
    return tg_custom_fail(c, "no result for %d operands", c->n);
}

static bool silent(const tg_custom_call *c)
{
    (void)c;
    return false;
}

static bool nine_axes(const tg_custom_call *c, int *rank, int64_t *dim)
{
    (void)c, (void)dim;
    *rank = 9;
    return true;
}

static bool no_derivation(const tg_custom_derivation *d)
{
    (void)d;
    return false;
}

Test(custom, mistakes_are_named)
{
    const double data[] = { 1, 2, 3 };
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value a = tg_param(t, data, 2), b = tg_param(t, data, 3);
    tg_custom op = cubes;
    tg_custom_apply(&op, a, b);
    fails(t, TG_ERROR_SHAPE, "cubes: 2 and 3 elements");
    tg_custom_apply(&op, a);
    fails(t, TG_ERROR_ARGUMENT, "cubes: 1 operands given, 2 wanted");
    op.shape = nine_axes;
    tg_custom_apply(&op, a, a);
    fails(t, TG_ERROR_SHAPE, "9 axes");
    op.shape = NULL;
    op.forward = no_forward;
    tg_custom_apply(&op, a, a);
    fails(t, TG_ERROR_ARGUMENT, "cubes: no result for 2 operands");
    op.forward = silent;
    tg_custom_apply(&op, a, a);
    fails(t, TG_ERROR_ARGUMENT, "cubes: it failed and did not say why");
    op.forward = cubes_forward;
    op.backward = silent;
    cr_expect(!tg_backward(tg_sum(tg_custom_apply(&op, a, a))));
    fails(t, TG_ERROR_ARGUMENT, "cubes: it failed and did not say why");
    op.derivative = no_derivation;
    const tg_value y = tg_sum(tg_custom_apply(&op, a, a));
    tg_value g;
    cr_expect(!tg_grad_values(&y, NULL, 1, &a, 1, &g));
    fails(t, TG_ERROR_HISTORY, "cubes: its derivative failed");
    op.forward = NULL;
    tg_custom_apply(&op, a, a);
    fails(t, TG_ERROR_ARGUMENT, "no forward function");
    tg_custom_apply(NULL, a, a);
    fails(t, TG_ERROR_ARGUMENT, "NULL");
    tg_custom_apply(&cubes, a, (tg_value){ NULL, 0, 0 });
    fails(t, TG_ERROR_HANDLE, "cubes: operand 2 is a null value");
    /* Parts of derivatives have no names for users. */
    tg_apply(t, "custom", &a, 1, NULL);
    fails(t, TG_ERROR_ARGUMENT, "no operation named custom");
    tg_apply(t, "strided", &a, 1, NULL);
    fails(t, TG_ERROR_ARGUMENT, "no operation named strided");
    tg_tape_free(t);
}
