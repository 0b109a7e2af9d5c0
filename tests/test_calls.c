/* Programs as operations: call.h. */
#include <tapegrad.h>
#include <tapegrad/short.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "expect.h"

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(calls, .init = quiet);

/* ---- models: the same recorded, and called ------------------------------------------------------- */

enum { IN = 3, OUT = 3, WIDTH = 3, MOST = IN * WIDTH * WIDTH };

/* Of a vector, a matrix, a number: a vector, a matrix of part of it, a number. */
static void model(const Value *x, Value *y)
{
    Value h = tanh(add(matmul(x[1], x[0]), x[2]));
    y[0] = mul(h, x[0]);
    y[1] = mul(slice(x[1], .axis = 0, .stop = 2), at(h, 1));
    y[2] = add(sum(exp(mul(0.3, x[0]))), mul(at(x[0], 0), x[2]));
}

static const int64_t shape[IN][2] = { { WIDTH, 0 }, { WIDTH, WIDTH }, { 0, 0 } };
static const int rank[IN] = { 1, 2, 0 };

static void make_inputs(tg_tape *t, Value *x, int seed)
{
    for (int i = 0; i < IN; i++) {
        double d[WIDTH * WIDTH];
        for (int j = 0; j < WIDTH * WIDTH; j++)
            d[j] = (double)((j * 7 + i * 5 + seed * 3) % 11) / 11 - 0.4;
        x[i] = tg_leaf_new(t, TG_PARAMETER, TG_F64, d, rank[i], shape[i], NULL);
    }
}

/* The first n_batch inputs vary. */
static tg_program *compile_model(tg_type type, int n_batch, const tg_compile_options *o)
{
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = type });
    Value x[IN], y[OUT];
    make_inputs(t, x, 1);
    model(x, y);
    tg_status status = { 0 };
    tg_program *const p = tg_compile(y, OUT, x, n_batch, x + n_batch, IN - n_batch, o, &status);
    cr_assert(p, "%s", status.message);
    tg_tape_free(t);
    return p;
}

/* A number made of all outputs, that has second derivatives. */
static Value loss_of(const Value *y)
{
    Value l = mul(y[2], y[2]);
    for (int i = 0; i < 2; i++) l = add(l, sum(mul(y[i], sin(y[i]))));
    return l;
}

static Value loss(const tg_program *p, const Value *x)
{
    Value y[OUT];
    if (p) cr_assert(tg_call(p, x, IN, y));
    else model(x, y);
    return loss_of(y);
}

static size_t read_gradients(const Value *x, double *out)
{
    size_t n = 0;
    for (int i = 0; i < IN; i++) {
        cr_assert(tg_grad_read(x[i], out + n, (size_t)tg_size(x[i])));
        n += (size_t)tg_size(x[i]);
    }
    return n;
}

static void check_call(tg_type type, const tg_compile_options *o, double bound)
{
    tg_program *const p = compile_model(type, 0, o);
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = type });
    Value x[IN];
    make_inputs(t, x, 2);
    Value l[] = { loss(NULL, x), loss(p, x) };
    double got[2][MOST * MOST], value[2];
    size_t n = 0;
    for (int i = 0; i < 2; i++) {
        value[i] = tg_item(l[i]);
        cr_assert(tg_backward(l[i]));
        n = read_gradients(x, got[i]);
    }
    expect_close("value", &value[1], &value[0], 1, bound);
    expect_close("gradient", got[1], got[0], n, bound);
    double direction[MOST];
    for (size_t i = 0; i < n; i++) direction[i] = cos((double)i);
    for (int i = 0; i < 2; i++) cr_assert(tg_jvp(l[i], x, IN, direction, 1, got[i]));
    expect_close("along a direction", got[1], got[0], 1, bound);
    for (int i = 0; i < 2; i++) cr_assert(tg_hessian(l[i], x, IN, got[i]));
    expect_close("Hessian", got[1], got[0], n * n, bound);
    /* Third order: the gradient of <the gradient's gradient, ones>. */
    for (int i = 0; i < 2; i++) {
        Value g[IN], h[IN], s = { 0 };
        Value along = l[i];
        for (int order = 0; order < 2; order++) {
            cr_assert(tg_grad_values(&along, NULL, 1, x, IN, order ? h : g));
            for (int j = 0; j < IN; j++)
                s = j ? add(s, sum(order ? h[j] : g[j])) : sum(order ? h[j] : g[j]);
            along = s;
        }
        cr_assert(tg_backward(along));
        read_gradients(x, got[i]);
    }
    expect_close("third order", got[1], got[0], n, 10 * bound);
    tg_tape_free(t);
    tg_program_free(p);
}

Test(calls, a_call_is_what_it_calls_to_any_order)
{
    check_call(TG_F64, NULL, 1e-13);
    check_call(TG_F64, &(tg_compile_options){ .strict = true }, 1e-13);
    check_call(TG_F64, &(tg_compile_options){ .without = ~0u }, 1e-13);
    check_call(TG_F32, NULL, 2e-5);
}

/* ---- with a batch -------------------------------------------------------------------------------- */

enum { COUNT = 4 };

/* The sum of the losses of COUNT instances, each with a row of its own of the first n_batch inputs. */
static Value batch_loss(const tg_program *p, const Value *x, int n_batch)
{
    Value y[OUT], total = { 0 };
    if (p) {
        cr_assert(tg_call(p, x, IN, y));
        Value l = mul(y[2], y[2]);
        for (int i = 0; i < 2; i++) {
            cr_assert_eq(tg_rank(y[i]), i + 2);
            cr_assert_eq(tg_dim(y[i], 0), COUNT);
            l = add(l, sum(mul(y[i], sin(y[i])), .axes = i ? TG_AXES(1, 2) : TG_AXES(1)));
        }
        return sum(l);
    }
    for (int k = 0; k < COUNT; k++) {
        Value own[IN];
        for (int i = 0; i < IN; i++)
            own[i] = i < n_batch ? select(x[i], .axis = 0, .index = k) : x[i];
        model(own, y);
        total = k ? add(total, loss_of(y)) : loss_of(y);
    }
    return total;
}

static void check_batch(int n_batch, double bound)
{
    tg_program *const p = compile_model(TG_F64, n_batch, NULL);
    tg_tape *const t = tg_tape_new(NULL);
    Value x[IN];
    make_inputs(t, x, 2);
    for (int i = 0; i < n_batch; i++) {
        const int64_t dim[] = { COUNT, shape[i][0], shape[i][1] };
        double d[COUNT * WIDTH * WIDTH];
        for (int j = 0; j < COUNT * WIDTH * WIDTH; j++) d[j] = sin(1.0 + j + i);
        x[i] = tg_leaf_new(t, TG_PARAMETER, TG_F64, d, rank[i] + 1, dim, NULL);
    }
    Value l[] = { batch_loss(NULL, x, n_batch), batch_loss(p, x, n_batch) };
    static double got[2][COUNT * COUNT * MOST * MOST];
    size_t n = 0;
    for (int i = 0; i < 2; i++) {
        cr_assert(tg_backward(l[i]), "%s", tg_error_of(t) ? tg_error_of(t)->message : "");
        n = read_gradients(x, got[i]);
    }
    expect_close("batch: gradient", got[1], got[0], n, bound);
    double direction[COUNT * MOST];
    for (size_t i = 0; i < n; i++) direction[i] = cos((double)i);
    for (int i = 0; i < 2; i++) cr_assert(tg_jvp(l[i], x, IN, direction, 1, got[i]));
    expect_close("batch: along a direction", got[1], got[0], 1, bound);
    for (int i = 0; i < 2; i++) cr_assert(tg_hessian(l[i], x, IN, got[i]));
    expect_close("batch: Hessian", got[1], got[0], n * n, bound);
    tg_tape_free(t);
    tg_program_free(p);
}

Test(calls, a_call_with_batch_inputs_is_all_instances)
{
    for (int n_batch = 1; n_batch <= 2; n_batch++) check_batch(n_batch, 1e-13);
}

/* ---- programs that call programs ----------------------------------------------------------------- */

/* Value, gradient, Hessian times a direction, and the derivatives of the first and the last along one, of a
   loss that is recorded, or has calls. */
static void check_inside(int n_batch)
{
    enum { PROGRAMS = 5, LISTS = 3 }; /* of inputs: they, directions, directions of what they are now */
    const int which[PROGRAMS] = { 0, 1, 1, 1, IN + 2 }, wrt[IN] = { 0, 1, 2 }; /* which output is compared */
    tg_program *const p = compile_model(TG_F64, n_batch, NULL);
    static double got[2][PROGRAMS][MOST];
    for (int i = 0; i < 2; i++) {
        tg_tape *const t = tg_tape_new(NULL);
        Value x[IN];
        make_inputs(t, x, 2);
        for (int j = 0; j < n_batch; j++) {
            const int64_t dim[] = { COUNT, shape[j][0], shape[j][1] };
            x[j] = tg_leaf_new(t, TG_PARAMETER, TG_F64, NULL, rank[j] + 1, dim, NULL);
        }
        Value twice[] = { mul(2, x[0]), x[1], add(x[2], 0.5) };
        Value l = n_batch ? batch_loss(i ? p : NULL, twice, n_batch) : loss(i ? p : NULL, twice);
        tg_status status = { 0 };
        tg_program *const all = tg_compile(&l, 1, NULL, 0, x, IN, NULL, &status);
        tg_program *const h = tg_hvp_program(all, NULL, &status);
        tg_program *const made[] = { all, tg_gradient_program(all, NULL, &status), h,
                                     tg_jvp_program(all, NULL, 0, &status), tg_jvp_program(h, wrt, IN, &status) };
        static double data[LISTS * IN][COUNT * MOST], out[2 * (IN + 1)][COUNT * MOST];
        const void *in[LISTS * IN];
        void *to[2 * (IN + 1)];
        for (int j = 0; j < LISTS * IN; j++) {
            in[j] = data[j];
            for (int k = 0; k < COUNT * MOST; k++) data[j][k] = sin(1.0 + k + j);
        }
        for (int j = 0; j < 2 * (IN + 1); j++) to[j] = out[j];
        for (int k = 0; k < PROGRAMS; k++) {
            cr_assert(made[k], "%s", status.message);
            tg_workspace *const w = tg_workspace_new(made[k], 1, &status);
            memset(out, 0, sizeof out);
            cr_assert(tg_run(made[k], w, 1, in, to, &status), "%s", status.message);
            memcpy(got[i][k], out[which[k]], sizeof got[i][k]);
            tg_workspace_free(w);
            tg_program_free(made[k]);
        }
        tg_tape_free(t);
    }
    for (int k = 0; k < PROGRAMS; k++)
        expect_close("program in a program", got[1][k], got[0][k], WIDTH, 1e-12);
    tg_program_free(p);
}

Test(calls, programs_call_programs)
{
    check_inside(0);
    check_inside(1);
    check_inside(2);
}

Test(calls, gradient_programs_can_be_called_and_differentiated)
{
    tg_program *const p = compile_model(TG_F64, 0, NULL);
    tg_tape *const t = tg_tape_new(NULL);
    Value x[IN], y[OUT], called[IN];
    make_inputs(t, x, 3);
    tg_status status = { 0 };
    /* p's third output is a number: a program of it alone. */
    cr_assert(tg_call(p, x, IN, y));
    tg_program *const number = tg_compile(&y[2], 1, NULL, 0, x, IN, NULL, &status);
    tg_program *const g = tg_gradient_program(number, NULL, &status);
    Value value[IN + 1], expected[IN];
    cr_assert(tg_call(g, x, IN, value), "%s", tg_error_of(t) ? tg_error_of(t)->message : "");
    cr_assert(tg_grad_values(&y[2], NULL, 1, x, IN, expected));
    cr_expect_float_eq(tg_item(value[0]), tg_item(y[2]), 1e-15);
    double got[2][MOST];
    size_t n = 0;
    for (int i = 0; i < IN; i++) called[i] = value[i + 1];
    for (int i = 0; i < 2; i++) {
        const Value *const from = i ? called : expected;
        Value l = { 0 };
        for (int j = 0; j < IN; j++) l = j ? add(l, sum(square(from[j]))) : sum(square(from[j]));
        cr_assert(tg_backward(l));
        n = read_gradients(x, got[i]);
    }
    expect_close("gradient of a gradient program", got[1], got[0], n, 1e-13);
    tg_tape_free(t);
    tg_program_free(g);
    tg_program_free(number);
    tg_program_free(p);
}

/* Its graph has views of a cotangent that the derivative does not depend on. */
Test(calls, derivatives_along_a_direction_can_be_called)
{
    const double x0[] = { 0.3, 0.7 }, v0[] = { 1, 2 };
    tg_tape *const t = tg_tape_new(NULL);
    Value x = param(t, x0, 2), v = param(t, v0, 2), out[2];
    const Value y = stack(TG_VALUES(mul(at(x, 0), at(x, 1)), sin(at(x, 0))));
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&y, 1, NULL, 0, &x, 1, NULL, &status);
    tg_program *const along = tg_jvp_program(p, NULL, 0, &status);
    cr_assert(along, "%s", status.message);
    cr_assert(tg_call(along, TG_VALUES(x, v), out));
    const double expected[] = { v0[0] * x0[1] + x0[0] * v0[1], cos(x0[0]) * v0[0] };
    expect_close("derivative along v", tg_data(out[1]), expected, 2, 1e-15);
    tg_tape_free(t);
    tg_program_free(along);
    tg_program_free(p);
}

/* ---- as any operation ---------------------------------------------------------------------------- */

static Value checked(tg_tape *t, const Value *x, void *user)
{
    (void)t;
    return loss(user, x);
}

Test(calls, the_gradient_check_takes_calls)
{
    tg_program *const p = compile_model(TG_F64, 0, NULL);
    const double d[] = { 0.3, -0.2, 0.5, 0.1, -0.4, 0.6, 0.2, 0.7, -0.5 };
    const tg_check_input x[] = { { "x", d, 1, { WIDTH } },
                                 { "A", d, 2, { WIDTH, WIDTH } },
                                 { "b", d, 0, { 0 } } };
    tg_check_report report;
    cr_expect(tg_gradcheck(checked, p, x, IN, NULL, &report), "%s", report.message);
    tg_program_free(p);
}

Test(calls, a_call_is_computed_again_with_the_tape)
{
    tg_program *const p = compile_model(TG_F64, 0, NULL);
    tg_tape *const t = tg_tape_new(NULL);
    Value x[IN];
    make_inputs(t, x, 2);
    Value l = loss(p, x);
    const double other = 0.7;
    tg_set(x[2], &other, 1);
    double got[2][MOST];
    cr_assert(tg_forward(l) && tg_backward(l));
    const size_t n = read_gradients(x, got[1]);
    Value m = loss(NULL, x);
    cr_expect_float_eq(tg_item(m), tg_item(l), 1e-13);
    cr_assert(tg_backward(m));
    read_gradients(x, got[0]);
    expect_close("after tg_forward", got[1], got[0], n, 1e-13);
    tg_tape_free(t);
    tg_program_free(p);
}

Test(calls, what_does_not_fit_is_an_error)
{
    tg_program *const p = compile_model(TG_F64, 0, NULL), *const b = compile_model(TG_F64, 2, NULL);
    tg_program *const single = compile_model(TG_F32, 0, NULL);
    tg_tape *const t = tg_tape_new(NULL);
    Value x[IN], y[OUT];
    make_inputs(t, x, 2);
    expect_error(t, tg_call(NULL, x, IN, y), TG_ERROR_ARGUMENT, "the program is NULL");
    expect_error(t, tg_call(p, x, IN, NULL), TG_ERROR_ARGUMENT, "the list of outputs is NULL");
    expect_error(t, tg_call(p, x, 2, y), TG_ERROR_ARGUMENT, "2 inputs given, the program has 3");
    expect_error(t, tg_call(single, x, IN, y), TG_ERROR_TYPE,
                 "the program computes in f32, the tape in f64");
    Value wrong[] = { x[1], x[1], x[2] };
    expect_error(t, tg_call(p, wrong, IN, y), TG_ERROR_SHAPE,
                 "call: input 0 has shape (3, 3), the program's has (3)");
    const int three[] = { 1, 2, 7 };
    wrong[0] = tg_index(t, three, 3);
    expect_error(t, tg_call(p, wrong, IN, y), TG_ERROR_TYPE,
                 "input 0 has elements of type i64, the program's is f64");
    wrong[0] = tg_zeros(t, 4, 3);
    wrong[1] = tg_zeros(t, 5, 3, 3);
    expect_error(t, tg_call(b, wrong, IN, y), TG_ERROR_SHAPE,
                 "input 1 has shape (5, 3, 3), wanted are 4 times (3, 3)");
    tg_status status = { 0 };
    Value i = argmax(x[0], .axis = 0);
    tg_program *const integers = tg_compile(&i, 1, NULL, 0, x, 1, NULL, &status);
    expect_error(t, tg_call(integers, x, 1, y), TG_ERROR_ARGUMENT, "output 0 is one of integers");
    cr_expect_null(tg_vjp_program(NULL, NULL, 0, &status));
    cr_expect_str_eq(status.message, "vjp_program: the program is NULL");
    cr_expect_null(tg_vjp_program(p, (const int[]){ 3 }, 1, &status));
    cr_expect_str_eq(status.message, "vjp_program: there is no input 3");
    /* What a run refuses is the call's error. */
    Value rows = tg_index(t, three, 1);
    Value taken = gather(x[0], rows);
    tg_program *const table = tg_compile(&taken, 1, NULL, 0, TG_VALUES(x[0], rows), NULL, &status);
    cr_assert(table, "%s", status.message);
    Value beyond[] = { x[0], tg_index(t, three + 2, 1) };
    expect_error(t, tg_call(table, beyond, 2, y), TG_ERROR_INDEX, "7");
    tg_program *const all[] = { p, b, single, integers, table };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) tg_program_free(all[k]);
    tg_tape_free(t);
}
