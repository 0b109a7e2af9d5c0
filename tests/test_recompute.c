/* Stretches of a model that are not kept: tg_recompute. */
#include <tapegrad.h>
#include <tapegrad/short.h>

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "expect.h"

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(recompute, .init = quiet);

enum { WIDTH = 4, INPUTS = 4, OUTPUTS = 2, ALL = WIDTH + WIDTH * WIDTH + 1 };

typedef struct work {
    int calls, fail, depth;
} work;

/* Of a vector, a matrix, a number and rows: a vector and a number. depth: stretches in the stretch. */
static bool stretch(tg_tape *t, const Value *x, Value *y, void *user)
{
    work *const w = user;
    (void)t;
    w->calls++;
    Value h = x[0];
    if (w->depth) {
        work inner = { .depth = w->depth - 1 };
        work *const kept = w + 1;
        kept[0].depth = inner.depth;
        Value out[OUTPUTS];
        if (!tg_recompute(stretch, kept, x, INPUTS, out, OUTPUTS)) return false;
        h = mul(out[0], out[1]);
    }
    for (int i = 0; i < 3; i++) h = tanh(add(matmul(x[1], h), x[2]));
    y[0] = h;
    y[1] = sum(mul(embedding(x[1], x[3]), x[0]));
    return true;
}

static void make_inputs(tg_tape *t, Value *x, bool strided)
{
    double d[WIDTH * WIDTH];
    const int64_t rows[] = { 2, 0 };
    for (int i = 0; i < WIDTH * WIDTH; i++) d[i] = 0.6 * sin(1.0 + i);
    x[0] = param(t, d, WIDTH);
    x[1] = param(t, d, WIDTH, WIDTH);
    if (strided) x[1] = transpose(x[1]);
    x[2] = scalar(t, 0.3);
    x[3] = tg_index(t, rows, 2);
}

static Value loss_of(Value *y)
{
    return add(sum(square(y[0])), mul(y[1], at(y[0], 1)));
}

static size_t read_gradients(const Value *x, double *out)
{
    size_t n = 0;
    for (int i = 0; i < 3; i++) {
        cr_assert(tg_grad_read(x[i], out + n, (size_t)tg_size(x[i])));
        n += (size_t)tg_size(x[i]);
    }
    return n;
}

static void check(tg_type type, int depth, bool strided, double bound)
{
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = type });
    work w[4] = { { .depth = depth } };
    Value x[INPUTS], y[2][OUTPUTS], l[2];
    make_inputs(t, x, strided);
    cr_assert(stretch(t, x, y[0], w));
    w[0].calls = 0;
    cr_assert(tg_recompute(stretch, w, x, INPUTS, y[1], OUTPUTS), "%s", tg_error_of(t)->message);
    cr_expect_eq(w[0].calls, 1, "forward once");
    double got[2][ALL], value[2], direction[ALL];
    size_t n = 0;
    for (int i = 0; i < 2; i++) {
        l[i] = loss_of(y[i]);
        value[i] = tg_item(l[i]);
        cr_assert(tg_backward(l[i]), "%s", tg_error_of(t)->message);
        n = read_gradients(x, got[i]);
    }
    cr_expect_eq(w[0].calls, 2, "backward once");
    cr_expect(strided || value[0] == value[1]); /* a product of what is adjacent rounds otherwise */
    expect_close("value", &value[1], &value[0], 1, bound);
    expect_close("gradient", got[1], got[0], n, bound);
    for (size_t i = 0; i < n; i++) direction[i] = cos((double)i);
    for (int i = 0; i < 2; i++) cr_assert(tg_jvp(l[i], x, 3, direction, 1, got[i]));
    expect_close("along a direction", got[1], got[0], 1, 10 * bound);
    for (int i = 0; i < 2; i++)
        cr_assert(tg_hvp(l[i], x, 3, direction, 1, got[i]), "%s", tg_error_of(t)->message);
    expect_close("Hessian times direction", got[1], got[0], n, 10 * bound);
    const double other = -0.4;
    if (tg_set(x[2], &other, 1)) {
        cr_assert(tg_forward(l[1]));
        for (int i = 0; i < 2; i++) {
            cr_assert(tg_backward(l[i]));
            read_gradients(x, got[i]);
        }
        expect_close("after tg_forward", got[1], got[0], n, bound);
    }
    tg_tape_free(t);
}

Test(recompute, a_stretch_is_what_it_records)
{
    for (int depth = 0; depth < 3; depth++)
        for (int strided = 0; strided < 2; strided++) {
            check(TG_F64, depth, strided, 1e-14);
            check(TG_F32, depth, strided, 1e-5);
        }
}

Test(recompute, programs_have_it_as_if_it_was_recorded)
{
    tg_tape *const t = tg_tape_new(NULL);
    work w[4] = { { .depth = 1 } };
    Value x[INPUTS], y[OUTPUTS], z[OUTPUTS];
    make_inputs(t, x, false);
    Value turned[INPUTS] = { x[0], transpose(x[1]), x[2], x[3] };
    cr_assert(stretch(t, turned, y, w) && tg_recompute(stretch, w, turned, INPUTS, z, OUTPUTS));
    Value l[] = { loss_of(y), loss_of(z) };
    double got[2][ALL], total;
    tg_status status = { 0 };
    for (int i = 0; i < 2; i++) {
        tg_program *const p = tg_compile(&l[i], 1, NULL, 0, x, INPUTS, NULL, &status);
        tg_program *const g = tg_gradient_program(p, NULL, &status);
        tg_workspace *const room = tg_workspace_new(g, 1, &status);
        const double number = 0.3;
        cr_assert(room, "%s", status.message);
        cr_assert(
            tg_run(g, room, 1,
                   (const void *[]){ tg_data(x[0]), tg_data(x[1]), &number, tg_data_i64(x[3]) },
                   (void *[]){ &total, got[i], got[i] + WIDTH, got[i] + ALL - 1 }, &status));
        cr_expect_float_eq(total, tg_item(l[0]), 1e-14);
        tg_workspace_free(room);
        tg_program_free(g);
        tg_program_free(p);
    }
    expect_close("gradient", got[1], got[0], ALL, 1e-14);
    tg_tape_free(t);
}

/* A long chain in stretches of so many steps. */
enum { LENGTH = 64, SIZE = 1000 };

static bool chain(tg_tape *t, const Value *x, Value *y, void *user)
{
    (void)t;
    Value h = x[0];
    for (int i = 0; i < *(const int *)user; i++) h = sin(add(h, x[1]));
    y[0] = h;
    return true;
}

Test(recompute, memory_is_that_of_one_stretch)
{
    static double d[SIZE], expected[SIZE], got[SIZE];
    size_t used[2], allocations = 0;
    for (int kept = 1; kept >= 0; kept--) {
        tg_tape *const t = tg_tape_new(NULL);
        for (int i = 0; i < SIZE; i++) d[i] = i * 1e-3;
        Value x = param(t, d, SIZE), a = scalar(t, 0.1);
        const int each = 8;
        const tg_mark mark = tg_tape_mark(t);
        for (int round = 0; round < 3; round++) {
            Value h = x;
            for (int i = 0; i < LENGTH; i += each) {
                if (kept) cr_assert(chain(t, (Value[]){ h, a }, &h, (void *)(uintptr_t)&each));
                else
                    cr_assert(
                        tg_recompute(chain, (void *)(uintptr_t)&each, TG_VALUES(h, a), &h, 1));
            }
            cr_assert(tg_backward(sum(h)));
            tg_grad_read(x, kept ? expected : got, SIZE);
            if (round)
                cr_expect_eq(tg_stats(t).allocations, allocations, "it asks for memory again");
            allocations = tg_stats(t).allocations;
            used[kept] = tg_stats(t).bytes_used;
            tg_release(mark);
        }
        tg_tape_free(t);
    }
    cr_expect_eq(memcmp(got, expected, sizeof got), 0, "the gradient is another");
    cr_expect(used[0] * 4 < used[1], "%zu bytes, all kept %zu", used[0], used[1]);
}

static bool wrong(tg_tape *t, const Value *x, Value *y, void *user)
{
    static tg_value other;
    work *const w = user;
    y[0] = sin(x[0]);
    if (w->fail == 0) other = x[0];
    switch (w->fail) {
    case 1: return false;
    case 2: y[0] = argmax(x[0], .axis = 0); return true;
    case 3: y[0] = other; return true;
    case 4: y[0] = matmul(x[0], tg_zeros(t, 7, 7)); return true;
    case 5: y[0] = w->calls++ ? sum(x[0]) : x[0]; return true;
    default: return true;
    }
}

Test(recompute, what_does_not_fit_is_an_error)
{
    tg_tape *const t = tg_tape_new(NULL), *const other = tg_tape_new(NULL);
    Value x = tg_param(t, (double *)NULL, 3), z = tg_param(other, (double *)NULL, 3), y;
    work w = { 0 };
    expect_error(t, tg_recompute(NULL, &w, &x, 1, &y, 1), TG_ERROR_ARGUMENT,
                 "the function is NULL");
    cr_expect_not(tg_recompute(wrong, &w, &x, 0, &y, 1)); /* the error is of no tape */
    expect_error(t, tg_recompute(wrong, &w, &x, 1, &y, 0), TG_ERROR_ARGUMENT,
                 "the list of outputs is empty");
    const Value number[] = { x, tg__of_number(1) }, both[] = { x, z };
    expect_error(t, tg_recompute(wrong, &w, number, 2, &y, 1), TG_ERROR_ARGUMENT,
                 "input 1 is a number: make it a leaf");
    expect_error(t, tg_recompute(wrong, &w, both, 2, &y, 1), TG_ERROR_ARGUMENT,
                 "the inputs are values of two tapes");
    cr_assert(tg_recompute(wrong, &w, &x, 1, &y, 1));
    static const struct {
        tg_code code;
        const char *text;
    } rows[] = {
        { TG_ERROR_ARGUMENT, "recompute: the function failed" },
        { TG_ERROR_ARGUMENT, "output 0 is one of integers" },
        { TG_ERROR_ARGUMENT, "output 0 is no value of the tape that the function was given" },
        { TG_ERROR_SHAPE, "matmul" },
    };
    for (int i = 0; i < 4; i++) {
        w.fail = i + 1;
        expect_error(t, tg_recompute(wrong, &w, &x, 1, &y, 1), rows[i].code, rows[i].text);
    }
    w.fail = 0;
    cr_assert(tg_recompute(wrong, &w, &x, 1, &y, 1));
    Value l = sum(y);
    w.fail = 1;
    expect_error(t, tg_backward(l), TG_ERROR_ARGUMENT, "recompute: the function failed");
    expect_error(t, tg_grad_values(&l, NULL, 1, &x, 1, &y), TG_ERROR_HISTORY,
                 "the function failed");
    tg_status status = { 0 };
    cr_expect_null(tg_compile(&l, 1, NULL, 0, &x, 1, NULL, &status));
    cr_expect(strstr(status.message, "recompute: the function failed"), "%s", status.message);
    w = (work){ .fail = 5 };
    cr_assert(tg_recompute(wrong, &w, &x, 1, &y, 1));
    expect_error(t, tg_forward(y), TG_ERROR_SHAPE,
                 "the outputs have other shapes than when it was recorded");
    expect_error(t, tg_backward(sum(y)), TG_ERROR_SHAPE,
                 "the outputs have other shapes than when it was recorded");
    tg_tape_free(t);
    tg_tape_free(other);
}
