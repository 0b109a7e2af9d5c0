/* tg_grad_values and what is made of it: JVP, VJP, Jacobians, Hessians. What must hold for every op
   is in check_derivatives.c. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include <tapegrad.h>

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(derivatives, .init = quiet);

#define NEAR(GOT, WANT)                                                                            \
    do {                                                                                           \
        const double got_ = (GOT), want_ = (WANT);                                                 \
        cr_expect(fabs(got_ - want_) <= 1e-12 * (1 + fabs(want_)), "%s is %.17g, not %.17g", #GOT, \
                  got_, want_);                                                                    \
    } while (0)

static void fails(const tg_tape *t, tg_code code, const char *text)
{
    const tg_error *const e = tg_error_of(t);
    cr_assert(e, "no error where \"%s\" is expected", text);
    cr_expect(e->code == code && strstr(e->message, text), "\"%s\" is not \"...%s...\"", e->message,
              text);
}

/* f = x^2 y + sin(x y) at (1.5, -0.7) */
static tg_value model(tg_value x, tg_value y)
{
    return tg_add(tg_mul(tg_square(x), y), tg_sin(tg_mul(x, y)));
}

Test(derivatives, of_a_derivative_of_a_derivative)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_scalar(t, 0.6);
    tg_value y = tg_sin(x);
    const double want[] = { cos(0.6), -sin(0.6), -cos(0.6), sin(0.6), cos(0.6) };
    for (int order = 0; order < 5; order++) {
        cr_assert(tg_grad_values(&y, NULL, 1, &x, 1, &y));
        NEAR(tg_item(y), want[order]);
    }
    tg_tape_free(t);
}

Test(derivatives, mixed_partials_are_equal)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x[] = { tg_scalar(t, 1.5), tg_scalar(t, -0.7) };
    const tg_value f = model(x[0], x[1]);
    tg_value g[2];
    cr_assert(tg_grad_values(&f, NULL, 1, x, 2, g));
    NEAR(tg_item(g[0]), 2 * 1.5 * -0.7 - 0.7 * cos(1.5 * -0.7));
    cr_assert(tg_backward(g[0]));
    const double xy = tg_grad_item(x[1]);
    cr_assert(tg_backward(g[1]));
    NEAR(tg_grad_item(x[0]), xy);
    NEAR(xy, 2 * 1.5 + cos(1.5 * -0.7) + 1.5 * 0.7 * sin(1.5 * -0.7));
    tg_tape_free(t);
}

/* d/dw of (df/dx)^2 with f = w x^2: (2 w x)^2, 8 w x^2. */
Test(derivatives, gradient_penalty)
{
    tg_tape *const t = tg_tape_new(NULL);
    const double data[] = { 1, -2, 3 };
    const tg_value w = tg_scalar(t, 0.5), x = tg_param(t, data, 3);
    const tg_value f = tg_sum(tg_mul(w, tg_square(x)));
    tg_value g;
    cr_assert(tg_grad_values(&f, NULL, 1, &x, 1, &g));
    const tg_value penalty = tg_sum(tg_square(g));
    NEAR(tg_item(penalty), 1 + 4 + 9);
    cr_assert(tg_backward(penalty));
    NEAR(tg_grad_item(w), 8 * 0.5 * (1 + 4 + 9));
    tg_tape_free(t);
}

Test(derivatives, with_respect_to_values_in_the_middle_and_views)
{
    tg_tape *const t = tg_tape_new(NULL);
    const double data[] = { 1, 2, 3, 4, 5, 6 };
    const tg_value x = tg_param(t, data, 2, 3);
    const tg_value h = tg_square(x), column = tg_select(h, .axis = 1, .index = 2);
    const tg_value f = tg_sum(tg_mul(tg_transpose(h), tg_transpose(h)));
    const tg_value by[] = { h, column, x };
    tg_value g[3];
    double out[6];
    cr_assert(tg_grad_values(&f, NULL, 1, by, 3, g), "%s", tg_error_of(t)->message);
    cr_expect(tg_rank(g[1]) == 1 && tg_dim(g[1], 0) == 2);
    tg_read(g[0], out, 6);
    for (int i = 0; i < 6; i++) NEAR(out[i], 2 * data[i] * data[i]);
    tg_read(g[1], out, 2);
    NEAR(out[0], 18);
    NEAR(out[1], 72);
    tg_read(g[2], out, 6);
    for (int i = 0; i < 6; i++) NEAR(out[i], 4 * pow(data[i], 3));
    tg_tape_free(t);
}

Test(derivatives, are_zero_where_nothing_depends_on_the_value)
{
    tg_tape *const t = tg_tape_new(NULL);
    const double data[] = { 1, 2 };
    const tg_value x = tg_param(t, data, 2), other = tg_param(t, data, 2), f = tg_sum(x);
    const tg_value later = tg_scalar(t, 3);
    const tg_value by[] = { other, later, x };
    tg_value g[3];
    double out[2] = { 7, 7 };
    cr_assert(tg_grad_values(&f, NULL, 1, by, 3, g));
    tg_read(g[0], out, 2);
    cr_expect(out[0] == 0 && out[1] == 0 && tg_item(g[1]) == 0);
    tg_read(g[2], out, 2);
    cr_expect(out[0] == 1 && out[1] == 1);
    cr_assert(tg_grad_values(&f, NULL, 1, &later, 1, g));
    cr_expect(tg_item(g[0]) == 0);
    tg_tape_free(t);
}

Test(derivatives, of_several_outputs_with_cotangents_add_up)
{
    tg_tape *const t = tg_tape_new(NULL);
    const double data[] = { 1, 2 }, c0[] = { 10, 100 };
    const tg_value x = tg_param(t, data, 2);
    const tg_value y[] = { tg_square(x), tg_sum(x), x };
    const tg_value c[] = { tg_constant(t, c0, 2), tg_number(t, 3), tg_constant(t, c0, 2) };
    tg_value g;
    double out[2];
    cr_assert(tg_grad_values(y, c, 3, &x, 1, &g));
    tg_read(g, out, 2);
    NEAR(out[0], 2 * 10 + 3 + 10);
    NEAR(out[1], 4 * 100 + 3 + 100);
    tg_tape_free(t);
}

/* ---- numbers --------------------------------------------------------------------------------- */

/* y_i = sum_j a_ij x_j^2: J = 2 a_ij x_j, wide and tall. */
static void jacobian_of(int rows, int columns)
{
    double a[64], x0[8], j[64], back[64], along[64], unit[64] = { 0 };
    for (int i = 0; i < rows * columns; i++) a[i] = sin(i + 1.0);
    for (int i = 0; i < columns; i++) x0[i] = cos(i + 1.0), unit[i * columns + i] = 1;
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_param(t, x0, columns);
    const tg_value y = tg_mv(tg_constant(t, a, rows, columns), tg_square(x));
    const tg_tape_stats before = tg_stats(t);
    cr_assert(tg_jacobian(y, &x, 1, j));
    cr_assert(tg_jvp(y, &x, 1, unit, (size_t)columns, along));
    for (int i = 0; i < rows; i++)
        for (int k = 0; k < columns; k++) {
            NEAR(j[i * columns + k], 2 * a[i * columns + k] * x0[k]);
            NEAR(along[k * rows + i], j[i * columns + k]);
        }
    memset(unit, 0, sizeof unit);
    for (int i = 0; i < rows; i++) unit[i * rows + i] = 1;
    cr_assert(tg_vjp(y, &x, 1, unit, (size_t)rows, back));
    for (int i = 0; i < rows * columns; i++) NEAR(back[i], j[i]);
    const tg_tape_stats after = tg_stats(t);
    cr_expect(after.instructions == before.instructions && after.values == before.values,
              "something was left on the tape");
    tg_tape_free(t);
}

Test(derivatives, jacobians_wide_and_tall)
{
    jacobian_of(3, 5);
    jacobian_of(7, 2);
    jacobian_of(4, 4);
    jacobian_of(1, 6);
    jacobian_of(6, 1);
    jacobian_of(8, 8);
}

/* More rows and columns than are swept at a time, and two values to differentiate by. */
Test(derivatives, jacobian_of_an_outer_product)
{
    enum { M = 9, N = 4 };
    double a0[M], b0[N], j[M * N * (M + N)];
    for (int i = 0; i < M; i++) a0[i] = i + 1;
    for (int i = 0; i < N; i++) b0[i] = i + 20;
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value by[] = { tg_param(t, a0, M), tg_param(t, b0, N) };
    cr_assert(tg_jacobian(tg_outer(by[0], by[1]), by, 2, j));
    for (int r = 0; r < M * N; r++)
        for (int c = 0; c < M + N; c++) {
            const double by_a = r / N == c ? b0[r % N] : 0, by_b = r % N == c - M ? a0[r / N] : 0;
            NEAR(j[r * (M + N) + c], c < M ? by_a : by_b);
        }
    tg_tape_free(t);
}

/* Rosenbrock's function of two scalars. */
Test(derivatives, hessian_and_its_products)
{
    const double x = -1.2, y = 1, direction[] = { 0.3, -2 };
    double h[4], hv[2];
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value by[] = { tg_scalar(t, x), tg_scalar(t, y) };
    const tg_value f = tg_add(tg_square(tg_sub(1, by[0])),
                              tg_mul(100, tg_square(tg_sub(by[1], tg_square(by[0])))));
    cr_assert(tg_hessian(f, by, 2, h));
    NEAR(h[0], 1200 * x * x - 400 * y + 2);
    NEAR(h[1], -400 * x);
    NEAR(h[2], -400 * x);
    NEAR(h[3], 200);
    cr_assert(tg_hvp(f, by, 2, direction, 1, hv));
    for (int i = 0; i < 2; i++) NEAR(hv[i], h[2 * i] * 0.3 + h[2 * i + 1] * -2);
    tg_tape_free(t);
}

Test(derivatives, hessian_of_something_linear_is_zero)
{
    const double data[] = { 1, 2 };
    double h[4] = { 7, 7, 7, 7 }, j[2];
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_param(t, data, 2), other = tg_scalar(t, 1);
    cr_assert(tg_hessian(tg_sum(x), &x, 1, h));
    for (int i = 0; i < 4; i++) cr_expect(h[i] == 0);
    cr_assert(tg_jvp(tg_mul(x, 3), &other, 1, (const double[]){ 1 }, 1, j));
    cr_expect(j[0] == 0 && j[1] == 0);
    tg_tape_free(t);
}

Test(derivatives, forward_mode_as_values)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_scalar(t, 0.8), v = tg_number(t, 2);
    const tg_value y[] = { tg_exp(x), tg_mul(3, x), tg_scalar(t, 1) };
    tg_value d[3], g;
    cr_assert(tg_jvp_values(y, 3, &x, &v, 1, d));
    NEAR(tg_item(d[0]), 2 * exp(0.8));
    NEAR(tg_item(d[1]), 6);
    NEAR(tg_item(d[2]), 0);
    cr_assert(tg_grad_values(&d[0], NULL, 1, &x, 1, &g));
    NEAR(tg_item(g), 2 * exp(0.8));
    tg_tape_free(t);
}

Test(derivatives, in_f32_and_inside_no_grad)
{
    double h[4];
    const double data[] = { 0.5, 2 };
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = TG_F32 });
    const tg_value x = tg_param(t, data, 2);
    const tg_value f = tg_prod(tg_square(x));
    tg_value g;
    TG_NO_GRAD(t)
    {
        cr_assert(tg_hessian(f, &x, 1, h));
        cr_assert(tg_grad_values(&f, NULL, 1, &x, 1, &g));
    }
    NEAR(h[0], 8);
    NEAR(h[1], 4);
    NEAR(h[2], 4);
    NEAR(h[3], 0.5);
    cr_expect(!tg_backward(tg_sum(g)), "there is a history");
    fails(t, TG_ERROR_HISTORY, "no history");
    tg_tape_free(t);
}

Test(derivatives, repeated_use_needs_no_more_memory)
{
    double out[4], v[] = { 1, 2 };
    const double data[] = { 0.5, 2 };
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_param(t, data, 2);
    const tg_value f = tg_sum(tg_exp(x));
    for (int i = 0; i < 3; i++) cr_assert(tg_hvp(f, &x, 1, v, 1, out) && tg_hessian(f, &x, 1, out));
    const size_t allocations = tg_stats(t).allocations;
    for (int i = 0; i < 100; i++)
        cr_assert(tg_hvp(f, &x, 1, v, 1, out) && tg_hessian(f, &x, 1, out));
    cr_expect(tg_stats(t).allocations == allocations);
    tg_tape_free(t);
}

/* Elements used one by one: their contributions are put together at once, not each in an array of
   its own. */
static size_t bytes_for_elements(int n)
{
    tg_tape *const t = tg_tape_new(NULL);
    double *const d = calloc((size_t)n, sizeof *d);
    for (int i = 0; i < n; i++) d[i] = 1 + i % 3;
    const tg_value x = tg_param(t, d, n / 2, 2), flat = tg_reshape(x, n);
    tg_value loss = tg_scalar(t, 0), g, h;
    for (int i = 0; i + 1 < n; i++)
        loss = tg_add(loss, tg_mul(tg_square(tg_at(flat, i)), tg_at(flat, i + 1)));
    cr_assert(tg_grad_values(&loss, NULL, 1, &x, 1, &g));
    const tg_value total = tg_sum(tg_square(g));
    cr_assert(tg_grad_values(&total, NULL, 1, &x, 1, &h));
    cr_expect(tg_rank(g) == 2 && tg_dim(g, 0) == n / 2);
    const double *const first = tg_data(g);
    for (int i = 1; i + 1 < n; i++)
        cr_assert_float_eq(first[i], 2 * d[i] * d[i + 1] + d[i - 1] * d[i - 1], 1e-12);
    const size_t bytes = tg_stats(t).bytes_used;
    free(d);
    tg_tape_free(t);
    return bytes;
}

Test(derivatives, by_elements_need_memory_in_proportion)
{
    const size_t some = bytes_for_elements(400);
    cr_expect(bytes_for_elements(1600) < 5 * some);
}

/* A chain too long for recursion of any kind. */
Test(derivatives, of_a_long_chain)
{
    enum { LENGTH = 100000 };
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_scalar(t, 1);
    tg_value y = x, g;
    for (int i = 0; i < LENGTH; i++) y = tg_mul(y, 1.00001);
    cr_assert(tg_grad_values(&y, NULL, 1, &x, 1, &g));
    NEAR(tg_item(g) / pow(1.00001, LENGTH), 1);
    tg_tape_free(t);
}

/* ---- mistakes -------------------------------------------------------------------------------- */

Test(derivatives, mistakes_are_named)
{
    const double data[] = { 1, 2 };
    double out[4];
    tg_value g[2];
    tg_tape *const t = tg_tape_new(NULL), *const u = tg_tape_new(NULL);
    const tg_value x = tg_param(t, data, 2), y = tg_square(x), s = tg_sum(y),
                   in = tg_input(t, data, 2);
    const tg_value away = tg_scalar(u, 1);
#define MISTAKE(CALL, CODE, TEXT)                                                                  \
    do {                                                                                           \
        cr_expect(!(CALL), "%s works", #CALL);                                                     \
        fails(t, CODE, TEXT);                                                                      \
        tg_error_clear(t);                                                                         \
        tg_error_clear(u);                                                                         \
    } while (0)
    MISTAKE(tg_grad_values(&y, NULL, 1, &x, 1, g), TG_ERROR_SHAPE, "without cotangents");
    MISTAKE(tg_grad_values(&y, &s, 1, &x, 1, g), TG_ERROR_SHAPE, "has a cotangent of shape ()");
    MISTAKE(tg_grad_values(&s, NULL, 1, &in, 1, g), TG_ERROR_HISTORY, "value 1");
    MISTAKE(tg_grad_values(&s, NULL, 1, &away, 1, g), TG_ERROR_HANDLE, "another tape");
    MISTAKE(tg_grad_values(&s, &away, 1, &x, 1, g), TG_ERROR_HANDLE, "another tape");
    MISTAKE(tg_hessian(y, &x, 1, out), TG_ERROR_SHAPE, "one element");
    MISTAKE(tg_hvp(y, &x, 1, data, 1, out), TG_ERROR_SHAPE, "one element");
    MISTAKE(tg_jacobian(y, &in, 1, out), TG_ERROR_HISTORY, "no gradient");
    MISTAKE(tg_jacobian(y, &x, 1, NULL), TG_ERROR_ARGUMENT, "NULL");
    MISTAKE(tg_jvp(y, &x, 0, data, 1, out), TG_ERROR_ARGUMENT, "nothing");
    MISTAKE(tg_jvp_values(&y, 1, &x, NULL, 1, g), TG_ERROR_ARGUMENT, "NULL");
    cr_expect(!tg_grad_values(NULL, NULL, 1, &x, 1, g) && !tg_grad_values(&y, NULL, 1, NULL, 1, g));
    const tg_mark mark = tg_tape_mark(t);
    const tg_value stale = tg_sum(x);
    tg_release(mark);
    tg_error_clear(t);
    MISTAKE(tg_grad_values(&stale, NULL, 1, &x, 1, g), TG_ERROR_HANDLE, "stale");
    tg_tape_free(t);
    tg_tape_free(u);
}

/* With any limit there is either the right answer or a memory error, and nothing is lost. */
Test(derivatives, memory_runs_out_anywhere)
{
    size_t failures = 0;
    for (size_t limit = 2000; limit < 60000; limit += 97) {
        tg_tape *const t = tg_tape_new(&(tg_tape_options){ .max_bytes = limit });
        if (!t) continue;
        const double data[] = { 0.5, 2, 3 };
        double h[9];
        const tg_value x = tg_param(t, data, 3), f = tg_sum(tg_mul(tg_exp(x), x));
        if (tg_hessian(f, &x, 1, h)) {
            NEAR(h[4], exp(2) * 4);
        } else {
            failures++;
            cr_expect(tg_error_of(t)->code == TG_ERROR_MEMORY, "%s", tg_error_of(t)->message);
        }
        tg_tape_free(t);
    }
    cr_expect(failures > 10);
}
