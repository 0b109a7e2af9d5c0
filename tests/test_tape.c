/* The tape: what it records, what it computes backwards and forwards, and how long its values live.
   What it does with mistakes is in test_errors.c. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "finish.h"
#include "tape/tape.h"

#include <tapegrad.h>
#include <tapegrad/short.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))

static tg_tape *t; /* the tape of the test that runs: each has a process of its own */

static void start(void)
{
    t = tg_tape_new(NULL);
}

/* Every test must leave its tape without an error. */
static void finish(void)
{
    EXPECT_AT_THE_END(!tg_error_of(t), "the tape has an error: %s", tg_error_of(t)->message);
    tg_tape_free(t);
}

TestSuite(tape, .init = start, .fini = finish);

/* Criterion's own assertions would print the operations' macros in full. */
#define EXPECT(condition) expect((condition), #condition, __LINE__)
#define ASSERT(condition) require((condition), #condition, __LINE__)
static void expect(bool held, const char *text, int line)
{
    cr_expect(held, "line %d: %s", line, text);
}

static void require(bool held, const char *text, int line)
{
    cr_assert(held, "line %d: %s", line, text);
}

static bool not_a_number(double x)
{
    return x != x;
}

/* A few roundings: the tests compare short computations in double. */
static bool near(double a, double b)
{
    return fabs(a - b) <= 32 * DBL_EPSILON * fmax(1, fmax(fabs(a), fabs(b)));
}

static bool same_bits(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

#define EXPECT_ITEM(value, wanted) expect_number(tg_item(value), wanted, __LINE__)
#define EXPECT_GRADIENT(value, wanted) expect_number(tg_grad_item(value), wanted, __LINE__)
static void expect_number(double got, double wanted, int line)
{
    cr_expect(near(got, wanted), "line %d: %.17g, not %.17g", line, got, wanted);
}

#define EXPECT_VALUES(value, ...) EXPECT_READ(tg_read, value, __VA_ARGS__)
#define EXPECT_GRADIENTS(value, ...) EXPECT_READ(tg_grad_read, value, __VA_ARGS__)
#define EXPECT_READ(read, value, ...)                                                              \
    do {                                                                                           \
        const double wanted_[] = { __VA_ARGS__ };                                                  \
        double got_[COUNT(wanted_)];                                                               \
        ASSERT(read(value, got_, COUNT(wanted_)));                                                 \
        for (size_t i_ = 0; i_ < COUNT(wanted_); i_++)                                             \
            cr_expect(near(got_[i_], wanted_[i_]), "line %d: element %zu is %.17g, not %.17g",     \
                      __LINE__, i_, got_[i_], wanted_[i_]);                                        \
    } while (0)

/* Runs code in which an error is expected; the tape works again afterwards. */
#define EXPECT_REFUSED(call, wanted)                                                               \
    do {                                                                                           \
        t->on_error = tg_ignore_error;                                                             \
        expect(!(call), #call " is refused", __LINE__);                                            \
        const tg_error *error_ = tg_error_of(t);                                                   \
        ASSERT(error_);                                                                            \
        cr_expect(error_->code == (wanted), "line %d: %s", __LINE__, error_->message);             \
        tg_error_clear(t);                                                                         \
    } while (0)

static double random_number(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / (1 << 24) * 2 - 1;
}

/* ---- sums over paths ------------------------------------------------------------------------ */

/* L(f4(f3(f1), f2(f1))): one of the paths can be cut. */
static Value two_paths(Value f1, bool cut2, bool cut3)
{
    Value f2 = sin(f1), f3 = exp(f1);
    if (cut2) f2 = detach(f2);
    if (cut3) f3 = detach(f3);
    const Value f4 = mul(f3, add(f2, f3));
    return sqrt(f4);
}

static double slope_of_two_paths(double x, bool cut2, bool cut3)
{
    const Value f1 = scalar(t, x);
    ASSERT(tg_backward(two_paths(f1, cut2, cut3)));
    return tg_grad_item(f1);
}

Test(tape, a_gradient_is_the_sum_of_the_products_along_all_paths)
{
    for (double x = -0.5; x < 2; x += 0.25) {
        const double f2 = sin(x), f3 = exp(x), f4 = f3 * (f2 + f3), outer = 0.5 / sqrt(f4);
        const double through2 = outer * f3 * cos(x), through3 = outer * (f2 + 2 * f3) * f3;
        EXPECT(near(slope_of_two_paths(x, false, true), through2));
        EXPECT(near(slope_of_two_paths(x, true, false), through3));
        EXPECT(near(slope_of_two_paths(x, false, false), through2 + through3));
    }
}

Test(tape, paths_that_double_at_every_step_are_all_counted)
{
    const Value x = scalar(t, 1);
    Value y = x;
    for (int i = 0; i < 60; i++) y = add(y, y); /* 2^60 paths */
    ASSERT(tg_backward(y));
    EXPECT(tg_grad_item(x) == ldexp(1, 60));
}

Test(tape, every_use_of_a_value_adds_to_its_gradient)
{
    const double ones3[3] = { 1, 1, 1 };
    const Value x = scalar(t, 3), v = param(t, ones3, 3);
    Value y = number(t, 0), w = zeros(t, 3);
    for (int i = 0; i < 1000; i++) y = add(y, x), w = add(w, v);
    ASSERT(tg_backward(add(y, sum(w))));
    EXPECT_GRADIENT(x, 1000);
    EXPECT_GRADIENTS(v, 1000, 1000, 1000);
}

Test(tape, one_value_may_be_every_operand)
{
    const double d[2] = { 2, -3 };
    const Value x = scalar(t, 3), v = param(t, d, 2);
    ASSERT(tg_backward(add(fma(x, x, x), sum(mul(v, mul(v, v))))));
    EXPECT_GRADIENT(x, 2 * 3 + 1);
    EXPECT_GRADIENTS(v, 3 * 4, 3 * 9);
}

Test(tape, intermediate_values_have_gradients_too)
{
    const double d[3] = { 0.1, 0.2, 0.3 };
    const Value x = param(t, d, 3), e = exp(x), s = sum(e), y = log(s);
    ASSERT(tg_backward(y));
    EXPECT_GRADIENT(y, 1);
    EXPECT_GRADIENT(s, 1 / tg_item(s));
    for (int i = 0; i < 3; i++) EXPECT(near(tg_grad(e)[i], 1 / tg_item(s)));
    for (int i = 0; i < 3; i++) EXPECT(near(tg_grad(x)[i], exp(d[i]) / tg_item(s)));
}

Test(tape, values_that_the_root_does_not_depend_on_have_gradient_zero)
{
    const double d[2] = { 1, 2 };
    const Value x = scalar(t, 2), v = param(t, d, 2), y = square(x), later = exp(v);
    (void)later;
    ASSERT(tg_backward(y));
    EXPECT_GRADIENTS(v, 0, 0);
    EXPECT_GRADIENTS(later, 0, 0);
    EXPECT(same_bits(tg_grad(v)[0], 0.0));
}

/* ---- backward again ------------------------------------------------------------------------- */

static Value small_model(Value W, Value b)
{
    return mean(square(tanh(add(mul(W, W), b))));
}

Test(tape, a_second_backward_gives_the_same_gradients)
{
    const double w[6] = { 0.3, -0.7, 1.1, 0.4, -1.2, 0.9 }, c[3] = { 0.1, 0.2, 0.3 };
    const Value W = param(t, w, 2, 3), b = param(t, c, 3), y = small_model(W, b);
    double first[9], second[9];
    ASSERT(tg_backward(y) && tg_grad_read(W, first, 6) && tg_grad_read(b, first + 6, 3));
    ASSERT(tg_backward(y) && tg_grad_read(W, second, 6) && tg_grad_read(b, second + 6, 3));
    EXPECT(memcmp(first, second, sizeof first) == 0);
}

Test(tape, backward_of_another_root_forgets_the_first)
{
    const Value x = scalar(t, 3), y = square(x), z = mul(5, x);
    ASSERT(tg_backward(y) && tg_backward(z));
    EXPECT_GRADIENT(x, 5);
    EXPECT_GRADIENT(y, 0);
}

Test(tape, accumulating_adds_the_gradients_of_several_roots)
{
    const double w[6] = { 0.5, -0.25, 1, 2, -1.5, 0.75 };
    const Value W = param(t, w, 2, 3), x = scalar(t, 3);
    const Value y = mul(x, sum(square(W))), z = mul(sum(W), x);
    const tg_backward_options more = { .accumulate = true };
    ASSERT(tg_backward(add(y, z)));
    double both[6];
    ASSERT(tg_grad_read(W, both, 6));
    const double slope = tg_grad_item(x);
    ASSERT(tg_backward(y) && tg_backward_with(z, &more));
    EXPECT_GRADIENTS(W, both[0], both[1], both[2], both[3], both[4], both[5]);
    EXPECT_GRADIENT(x, slope);
    EXPECT_GRADIENT(y, 0);
}

Test(tape, accumulating_n_times_is_n_times_the_gradient)
{
    const Value x = scalar(t, 3), y = square(square(x));
    const tg_backward_options more = { .accumulate = true };
    for (int n = 1; n <= 5; n++) {
        ASSERT(tg_backward_with(y, &more));
        cr_expect(tg_grad_item(x) == n * 108.0, "after %d: %g", n, tg_grad_item(x));
        cr_expect(tg_grad_item(y) == 1, "of the root, which is no leaf: %g", tg_grad_item(y));
    }
}

Test(tape, accumulating_starts_from_zero_for_what_is_newer_than_the_gradients)
{
    const tg_backward_options more = { .accumulate = true };
    const Value W = scalar(t, 2);
    const tg_mark mark = tg_tape_mark(t);
    for (int n = 1; n <= 4; n++) {
        const Value fresh = scalar(t, 10 * n);
        ASSERT(tg_backward_with(mul(W, fresh), &more));
        EXPECT_GRADIENT(fresh, 2);
        EXPECT_GRADIENT(W, 5.0 * n * (n + 1));
        tg_release(mark);
    }
}

Test(tape, a_vector_root_takes_a_cotangent)
{
    const double d[3] = { 1, 2, 3 },
                 c[2][2][3] = { { { 1, 0, 0 }, { 0, 0, 0 } }, { { 1, -2, 3 }, { 4, 0.5, -1 } } };
    const double w[6] = { 1, 2, 3, 4, 5, 6 };
    const Value x = param(t, d, 3), W = param(t, w, 2, 3), y = mul(W, square(x));
    ASSERT(tg_backward_with(y, &(tg_backward_options){ .cotangent = &c[0][0][0] }));
    EXPECT_GRADIENTS(x, 2, 0, 0);
    EXPECT_GRADIENTS(W, 1, 0, 0, 0, 0, 0);
    ASSERT(tg_backward_with(y, &(tg_backward_options){ .cotangent = &c[1][0][0] }));
    EXPECT_GRADIENTS(x, 2 * (1 + 16), 4 * (-2 * 2 + 0.5 * 5), 6 * (3 * 3 - 6));
    EXPECT_GRADIENTS(y, 1, -2, 3, 4, 0.5, -1);
}

Test(tape, the_cotangent_of_a_view_goes_to_the_elements_it_shows)
{
    const double d[6] = { 1, 2, 3, 4, 5, 6 }, c[6] = { 10, 20, 30, 40, 50, 60 };
    const Value x = param(t, d, 2, 3), y = square(x);
    ASSERT(tg_backward_with(transpose(y), &(tg_backward_options){ .cotangent = c })); /* (3, 2) */
    EXPECT_GRADIENTS(x, 2 * 10, 4 * 30, 6 * 50, 8 * 20, 10 * 40, 12 * 60);
    ASSERT(
        tg_backward_with(broadcast_to(at(y, 0, 1), 6), &(tg_backward_options){ .cotangent = c }));
    EXPECT_GRADIENTS(x, 0, 4 * 210, 0, 0, 0, 0);
}

Test(tape, several_cotangents_give_the_gradients_that_each_gives_alone)
{
    const double d[3] = { 0.1, 0.2, 0.3 }, w[6] = { 1, 2, 3, 4, 5, 6 },
                 c[3][2] = { { 1, 0 }, { 0, 1 }, { -2, 0.5 } };
    const Value x = param(t, d, 3), W = param(t, w, 2, 3), s = scalar(t, 2),
                y = mul(s, tanh(matmul(W, exp(x)))); /* (2) */
    double alone[3][10], together[10];
    for (int i = 0; i < 3; i++) {
        ASSERT(tg_backward_with(y, &(tg_backward_options){ .cotangent = c[i] }));
        ASSERT(tg_grad_read(x, alone[i], 3) && tg_grad_read(W, alone[i] + 3, 6) &&
               tg_grad_read(s, alone[i] + 9, 1));
    }
    ASSERT(tg_backward_with(y, &(tg_backward_options){ .cotangent = &c[0][0], .count = 3 }));
    for (int i = 2; i >= 0; i--) {
        ASSERT(tg_choose_gradient(t, (size_t)i));
        ASSERT(tg_grad_read(x, together, 3) && tg_grad_read(W, together + 3, 6) &&
               tg_grad_read(s, together + 9, 1));
        EXPECT(memcmp(together, alone[i], sizeof together) == 0);
    }
    EXPECT_REFUSED(tg_choose_gradient(t, 3), TG_ERROR_ARGUMENT);
    ASSERT(tg_choose_gradient(t, 2) && tg_backward(sum(y)));
    EXPECT_GRADIENT(s, tg_item(sum(y)) / 2);
    EXPECT_REFUSED(tg_choose_gradient(t, 1), TG_ERROR_ARGUMENT);
}

Test(tape, after_several_cotangents_more_is_added_to_the_first)
{
    const double d[3] = { 1, 2, 3 }, c[2][3] = { { 1, 10, 100 }, { 7, 7, 7 } };
    const Value s = scalar(t, 2), x = param(t, d, 3), late = scalar(t, 5),
                y = mul(s, mul(late, square(x)));
    ASSERT(tg_backward_with(y, &(tg_backward_options){ .cotangent = &c[0][0], .count = 2 }));
    const Value newest = scalar(t, 4);
    ASSERT(tg_choose_gradient(t, 1));
    EXPECT_GRADIENT(s, 5 * 7 * (1 + 4 + 9));
    ASSERT(tg_backward_with(mul(newest, mul(s, at(x, 1))), &(tg_backward_options){ .accumulate = true }));
    EXPECT_GRADIENT(s, 5 * (1 + 40 + 900) + 4 * 2);
    EXPECT_GRADIENTS(x, 20, 400 + 8, 6000);
    EXPECT_GRADIENT(late, 2 * (1 + 40 + 900));
    EXPECT_GRADIENT(newest, 4);
}

Test(tape, one_element_of_any_rank_is_a_root)
{
    const double d[1] = { 3 };
    const Value x = param(t, d, 1, 1, 1);
    ASSERT(tg_backward(square(x)));
    EXPECT_GRADIENT(x, 6);
    ASSERT(tg_backward(x));
    EXPECT_GRADIENT(x, 1);
}

/* ---- zeros, infinities, NaN ----------------------------------------------------------------- */

Test(tape, a_zero_gradient_contributes_exactly_zero_to_an_infinite_slope)
{
    const double d[2] = { 0, 4 }, c[2] = { 0, 1 };
    const Value x = scalar(t, 0), v = param(t, d, 2);
    ASSERT(tg_backward(mul(0, sqrt(x))));
    cr_expect(same_bits(tg_grad_item(x), 0.0), "%g", tg_grad_item(x));
    ASSERT(tg_backward_with(sqrt(v), &(tg_backward_options){ .cotangent = c }));
    EXPECT_GRADIENTS(v, 0, 0.25);
    ASSERT(tg_backward(sum(mul(0, log(v)))));
    EXPECT_GRADIENTS(v, 0, 0);
    const double inf[1] = { INFINITY };
    const Value w = param(t, inf, 1);
    ASSERT(tg_backward(sum(mul(0, square(w)))));
    EXPECT_GRADIENTS(w, 0);
}

Test(tape, a_gradient_that_is_zero_throughout_is_not_multiplied_by_infinities)
{
    const double d[4] = { INFINITY, 1, NAN, 2 }, e[2] = { 3, 4 };
    const Value W = param(t, d, 2, 2), x = param(t, e, 2);
    ASSERT(tg_backward(add(mul(0, sum(matmul(W, x))), sum(x))));
    EXPECT_GRADIENTS(x, 1, 1);
    EXPECT_GRADIENTS(W, 0, 0, 0, 0);
}

Test(tape, infinite_slopes_reach_the_leaf)
{
    const Value x = scalar(t, 0), z = scalar(t, -0.0);
    ASSERT(tg_backward(sqrt(x)));
    EXPECT(tg_grad_item(x) == INFINITY);
    ASSERT(tg_backward(reciprocal(z)));
    EXPECT(tg_grad_item(z) == -INFINITY);
}

Test(tape, nan_is_not_taken_for_a_zero_gradient)
{
    const double c[2] = { NAN, 0 }, d[2] = { 1, 2 };
    const Value x = scalar(t, NAN), v = param(t, d, 2);
    ASSERT(tg_backward(square(x)));
    EXPECT(not_a_number(tg_grad_item(x)));
    ASSERT(tg_backward_with(exp(v), &(tg_backward_options){ .cotangent = c }));
    EXPECT(not_a_number(tg_grad(v)[0]) && tg_grad(v)[1] == 0);
}

Test(tape, the_side_not_taken_may_hold_nan)
{
    const double d[2] = { -1, 4 };
    const Value x = param(t, d, 2), safe = where(gt(x, 0), sqrt(x), mul(3, x));
    ASSERT(tg_backward(sum(safe)));
    EXPECT_VALUES(safe, -3, 2);
    EXPECT_GRADIENT(at(x, 1), 0.25);
}

Test(tape, minus_zero_keeps_its_sign)
{
    const double d[2] = { -0.0, 0.0 };
    const Value x = scalar(t, -0.0), v = param(t, d, 2);
    EXPECT(signbit(tg_item(x)) && !signbit(tg_item(neg(x))));
    EXPECT(signbit(tg_item(mul(x, 1))) && signbit(tg_item(at(v, 0))) &&
           !signbit(tg_item(at(v, 1))));
    EXPECT(tg_item(div(1, x)) == -INFINITY);
    EXPECT(tg_item(div(scalar(t, 1), -0.0)) ==
           -INFINITY); /* the constant -0.0 is not the constant 0.0 */
    EXPECT(tg_item(div(scalar(t, 1), 0.0)) == INFINITY);
}

/* ---- broadcasting --------------------------------------------------------------------------- */

Test(tape, gradients_of_broadcast_operands_are_summed_over_the_repeats)
{
    const double a[3] = { 1, 2, 3 }, b[4] = { 10, 20, 30, 40 };
    const Value x = param(t, a, 3, 1), y = param(t, b, 4), s = scalar(t, 2);
    const Value z = mul(mul(x, y), s); /* (3, 4) */
    ASSERT(tg_rank(z) == 2 && tg_dim(z, 0) == 3 && tg_dim(z, 1) == 4);
    ASSERT(tg_backward(sum(z)));
    EXPECT_GRADIENTS(x, 200, 200, 200);
    EXPECT_GRADIENTS(y, 12, 12, 12, 12);
    EXPECT_GRADIENT(s, 600);
}

Test(tape, an_axis_of_length_one_is_summed_wherever_it_stands)
{
    const Value one = ones(t, 2, 3, 4);
    const int64_t shape[][3] = { { 1, 3, 4 }, { 2, 1, 4 }, { 2, 3, 1 }, { 1, 1, 4 },
                                 { 1, 3, 1 }, { 2, 1, 1 }, { 1, 1, 1 } };
    for (size_t i = 0; i < COUNT(shape); i++) {
        const Value x = tg_leaf_new(t, TG_PARAMETER, TG_F64, NULL, 3, shape[i], TG_HERE);
        ASSERT(tg_backward(sum(add(one, x))));
        const int64_t n = tg_size(x);
        for (int64_t j = 0; j < n; j++) EXPECT(tg_grad(x)[j] == 24.0 / (double)n);
    }
}

/* ---- views ---------------------------------------------------------------------------------- */

/* With x = 0, 1, 2, ... a view's values tell which elements it shows: the gradient of sum(w * view)
   must be w there, summed where elements repeat. The same must be read through the view's own
   handle before the product. */
static void expect_view(Value x, Value view, int line)
{
    double seen[64], w[64], wanted[24] = { 0 };
    const int64_t n = tg_size(view);
    unsigned seed = 7;
    cr_assert(n >= 0 && n <= 64 && tg_size(x) == 24 && tg_read(view, seen, (size_t)n), "line %d",
              line);
    for (int64_t i = 0; i < n; i++) wanted[(int)seen[i]] += w[i] = random_number(&seed);
    int64_t shape[TG_MAX_RANK];
    for (int i = 0; i < tg_rank(view); i++) shape[i] = tg_dim(view, i);
    const Value W = tg_leaf_new(t, TG_CONSTANT, TG_F64, w, tg_rank(view), shape, TG_HERE);
    cr_assert(tg_backward(sum(mul(view, W))), "line %d", line);
    for (int i = 0; i < 24; i++)
        cr_expect(near(tg_grad(x)[i], wanted[i]), "line %d: element %d: %g, not %g", line, i,
                  tg_grad(x)[i], wanted[i]);
    double through[64];
    cr_assert(tg_grad_read(view, through, (size_t)n), "line %d", line);
}

Test(tape, gradients_flow_through_every_kind_of_view)
{
    double d[24];
    for (int i = 0; i < 24; i++) d[i] = i;
    const Value x = param(t, d, 2, 3, 4);
#define VIEW_IS_RIGHT(...) expect_view(x, __VA_ARGS__, __LINE__)
    VIEW_IS_RIGHT(transpose(x));
    VIEW_IS_RIGHT(transpose(x, .axis0 = 0, .axis1 = 2));
    VIEW_IS_RIGHT(permute(x, 2, 0, 1));
    VIEW_IS_RIGHT(slice(x, .axis = 2, .start = 1, .stop = 3));
    VIEW_IS_RIGHT(slice(x, .axis = 2, .start = -1, .step = -2));
    VIEW_IS_RIGHT(slice(x, .axis = 1, .start = 3));
    VIEW_IS_RIGHT(flip(x));
    VIEW_IS_RIGHT(flip(x, .axis = 1));
    VIEW_IS_RIGHT(select(x, .axis = 1, .index = -1));
    VIEW_IS_RIGHT(at(x, 1));
    VIEW_IS_RIGHT(at(x, 1, 2));
    VIEW_IS_RIGHT(at(x, 1, 2, 3));
    VIEW_IS_RIGHT(reshape(x, 6, 4));
    VIEW_IS_RIGHT(reshape(transpose(x), 24)); /* a copy */
    VIEW_IS_RIGHT(reshape(at(x, 0, 0, 1), 1, 1));
    VIEW_IS_RIGHT(flatten(x));
    VIEW_IS_RIGHT(squeeze(slice(x, .axis = 1, .start = 1, .stop = 2)));
    VIEW_IS_RIGHT(unsqueeze(x, .axis = 1));
    VIEW_IS_RIGHT(broadcast_to(at(x, 0, 1), 5, 4));
    VIEW_IS_RIGHT(broadcast_to(at(x, 0, 1, 2), 3, 2));
    VIEW_IS_RIGHT(diagonal(x));
    VIEW_IS_RIGHT(flip(slice(transpose(permute(x, 1, 2, 0)), .axis = 2, .step = 2)));
}

Test(tape, overlapping_views_add_up)
{
    const double d[5] = { 1, 2, 3, 4, 5 };
    const Value x = param(t, d, 5);
    const Value left = slice(x, .stop = 4), right = slice(x, .start = 1);
    ASSERT(tg_backward(sum(mul(left, right))));
    EXPECT_GRADIENTS(x, 2, 1 + 3, 2 + 4, 3 + 5, 4);
}

Test(tape, a_view_reads_its_part_of_the_gradient)
{
    const double d[6] = { 1, 2, 3, 4, 5, 6 };
    const Value x = param(t, d, 2, 3), turned = transpose(x), row = at(x, 1), element = at(x, 1, 2);
    ASSERT(tg_backward(sum(square(x))));
    EXPECT_GRADIENTS(turned, 2, 8, 4, 10, 6, 12);
    EXPECT_GRADIENTS(row, 8, 10, 12);
    EXPECT_GRADIENT(element, 12);
    EXPECT(tg_grad(row) == tg_grad(x) + 3);
}

Test(tape, axes_of_length_one_do_not_make_elements_apart)
{
    const double d[4] = { 1, 2, 3, 4 };
    const Value column = param(t, d, 4, 1), row = transpose(column);
    EXPECT(tg_data(row) == tg_data(column));
    EXPECT(tg_data(slice(column, .axis = 0, .start = 1, .step = 5)) == tg_data(column) + 1);
}

Test(tape, elements_of_views_are_scalars_that_live_as_long_as_the_elements)
{
    const double d[6] = { 1, 2, 3, 4, 5, 6 };
    const Value W = param(t, d, 2, 3), s = scalar(t, 10);
    const tg_mark mark = tg_tape_mark(t);
    const Value row = select(W, .index = 1), element = at(row, 2);
    EXPECT_ITEM(element, 6);
    EXPECT_ITEM(mul(element, s), 60);
    EXPECT_ITEM(exp(mul(0, at(transpose(W), 0, 1))), 1);
    ASSERT(tg_backward(mul(element, s)));
    EXPECT_GRADIENTS(W, 0, 0, 0, 0, 0, 10);
    ASSERT(tg_release(mark));
    EXPECT_ITEM(element, 6);
    EXPECT_REFUSED(tg_rank(row) == 1, TG_ERROR_HANDLE);
}

Test(tape, elements_of_a_dot_product_written_out_equal_the_operation)
{
    const double a[4] = { 1, -2, 3, 0.5 }, b[4] = { 2, 5, -1, 4 };
    const Value x = param(t, a, 4), y = param(t, b, 4);
    Value s = mul(at(x, 0), at(y, 0));
    for (int i = 1; i < 4; i++) s = add(s, mul(at(x, i), at(y, i)));
    EXPECT(tg_item(s) == tg_item(dot(x, y)));
    ASSERT(tg_backward(s));
    EXPECT_GRADIENTS(x, 2, 5, -1, 4);
    EXPECT_GRADIENTS(y, 1, -2, 3, 0.5);
}

/* ---- marks, release, reset ------------------------------------------------------------------ */

Test(tape, values_below_a_mark_survive_its_release)
{
    const double d[2] = { 3, 4 };
    const Value W = param(t, d, 2), s = scalar(t, 2);
    const tg_mark mark = tg_tape_mark(t);
    for (int i = 1; i <= 3; i++) {
        ASSERT(tg_backward(mul(sum(square(W)), s)));
        EXPECT_GRADIENTS(W, 12, 16);
        EXPECT_GRADIENT(s, 25);
        ASSERT(tg_release(mark));
        EXPECT_VALUES(W, 3, 4);
        EXPECT_ITEM(s, 2);
        EXPECT_GRADIENTS(W, 12, 16); /* until the next backward */
    }
}

Test(tape, released_handles_are_stale_even_where_new_values_lie_in_their_place)
{
    const Value W = scalar(t, 2);
    const tg_mark mark = tg_tape_mark(t);
    const Value old = exp(W), old_vector = zeros(t, 2);
    ASSERT(tg_release(mark));
    const Value fresh = exp(W), fresh_vector = zeros(t, 2);
    EXPECT(old.id == fresh.id && old_vector.id == fresh_vector.id); /* the place is used again */
    EXPECT_REFUSED(!not_a_number(tg_item(old)), TG_ERROR_HANDLE);
    EXPECT_REFUSED(tg_size(old_vector) == 2, TG_ERROR_HANDLE);
    EXPECT_REFUSED(!not_a_number(tg_item(add(old, W))), TG_ERROR_HANDLE);
    EXPECT_REFUSED(!not_a_number(tg_item(add(fresh, old))), TG_ERROR_HANDLE);
    EXPECT_ITEM(fresh, exp(2.0));
}

Test(tape, a_mark_in_every_step_is_one_mark)
{
    const tg_value x = tg_scalar(t, 2);
    uint32_t segment = 0;
    for (int i = 0; i < 1000; i++) {
        const tg_mark mark = tg_tape_mark(t);
        if (i == 0) segment = mark.segment;
        ASSERT(mark.segment == segment);
        const tg_value y = tg_square(x);
        ASSERT(tg_item(y) == 4 && tg_release(mark));
        EXPECT_REFUSED(!isnan(tg_item(y)), TG_ERROR_HANDLE);
    }
    const tg_mark outer = tg_tape_mark(t), inner = tg_tape_mark(t);
    const tg_value gone = tg_square(x);
    ASSERT(tg_release(inner) && tg_release(outer));
    EXPECT_REFUSED(!isnan(tg_item(gone)), TG_ERROR_HANDLE);
}

Test(tape, marks_nest)
{
    const Value a = scalar(t, 1);
    const tg_mark outer = tg_tape_mark(t);
    const Value b = add(a, 1);
    const tg_mark inner = tg_tape_mark(t);
    const Value c = add(b, 1);
    EXPECT_ITEM(mul(c, 1), 3);
    ASSERT(tg_release(inner));
    EXPECT_REFUSED(!not_a_number(tg_item(c)), TG_ERROR_HANDLE);
    const Value d = mul(b, 10);
    EXPECT_ITEM(d, 20);
    ASSERT(tg_release(outer));
    EXPECT_REFUSED(!not_a_number(tg_item(b)), TG_ERROR_HANDLE);
    EXPECT_REFUSED(!not_a_number(tg_item(d)), TG_ERROR_HANDLE);
    EXPECT_ITEM(a, 1);
    EXPECT_REFUSED(tg_release(inner), TG_ERROR_HANDLE);
    const tg_mark again = tg_tape_mark(t);
    EXPECT_REFUSED(tg_release(inner), TG_ERROR_HANDLE);
    ASSERT(tg_release(again) && tg_release(again) && tg_release(outer));
    EXPECT_ITEM(a, 1);
}

Test(tape, a_backward_may_reach_through_several_marks)
{
    const Value a = scalar(t, 2);
    tg_tape_mark(t);
    const Value b = square(a);
    tg_tape_mark(t);
    const Value c = square(b);
    tg_tape_mark(t);
    ASSERT(tg_backward(square(c)));
    EXPECT_GRADIENT(a, 8 * 128);
    EXPECT_GRADIENT(c, 2 * 16);
}

Test(tape, a_reset_takes_everything_and_keeps_the_memory)
{
    const Value x = scalar(t, 2);
    const tg_mark mark = tg_tape_mark(t);
    tg_no_grad_begin(t);
    ASSERT(!not_a_number(tg_item(exp(x))));
    const size_t held = tg_stats(t).bytes_held;
    tg_reset(t);
    const tg_tape_stats stats = tg_stats(t);
    EXPECT(stats.instructions == 0 && stats.values == 0 && stats.bytes_used == 0 &&
           stats.bytes_held == held);
    EXPECT_REFUSED(!not_a_number(tg_item(x)), TG_ERROR_HANDLE);
    EXPECT_REFUSED(tg_release(mark), TG_ERROR_HANDLE);
    const Value y = scalar(t, 3);
    ASSERT(tg_backward(square(y))); /* the no-grad scope is gone too */
    EXPECT_GRADIENT(y, 6);
}

Test(tape, numbers_are_right_after_a_release_though_their_constants_are_shared)
{
    const Value x = scalar(t, 2);
    const tg_mark mark = tg_tape_mark(t);
    for (int i = 0; i < 3; i++) {
        EXPECT_ITEM(mul(x, 7), 14);
        if (i == 1) EXPECT_ITEM(mul(x, 9), 18);
        EXPECT_ITEM(add(mul(x, 7), 7), 21);
        ASSERT(tg_release(mark));
    }
}

/* 2^32 releases take less than an hour in a small loop. */
Test(tape, nothing_but_the_detection_of_stale_handles_ends_with_the_generations)
{
    t->generations = UINT32_MAX - 3;
    tg_reset(t);
    const Value x = scalar(t, 2);
    const tg_mark mark = tg_tape_mark(t);
    for (int i = 0; i < 8; i++) {
        Value y = i % 2 ? mul(x, 100 + i) : mul(add(x, 100 + i), 100 + i);
        y = add(y, 5);
        ASSERT(tg_backward(y));
        EXPECT_ITEM(y, i % 2 ? 2 * (100 + i) + 5 : (102 + i) * (100 + i) + 5);
        EXPECT_GRADIENT(x, 100 + i);
        EXPECT_REFUSED(!not_a_number(tg_item((Value){ t, 0, 0 })), TG_ERROR_HANDLE);
        ASSERT(tg_release(mark));
    }
    EXPECT_ITEM(x, 2);
    EXPECT(t->generations == UINT32_MAX); /* they do not begin again */
}

/* ---- detach, no-grad scopes, frozen leaves -------------------------------------------------- */

Test(tape, no_gradient_flows_through_a_detached_value)
{
    const double d[2] = { 3, 5 };
    const Value x = scalar(t, 3), v = param(t, d, 2);
    const Value cut = detach(square(x)), cut_vector = detach(v);
    EXPECT_ITEM(cut, 9);
    ASSERT(tg_backward(add(mul(x, cut), sum(mul(v, cut_vector)))));
    EXPECT_GRADIENT(x, 9);
    EXPECT_GRADIENTS(v, 3, 5);
    EXPECT(tg_grad(cut) == NULL && tg_grad(cut_vector) == NULL);
    EXPECT(tg_data(cut_vector) == tg_data(v)); /* a view, not a copy */
}

Test(tape, elements_and_views_of_a_detached_value_are_detached)
{
    const double d[3] = { 3, 5, 7 };
    const Value v = param(t, d, 3), cut = detach(v);
    const Value y = add(mul(at(v, 0), at(cut, 1)), sum(mul(v, flip(cut))));
    ASSERT(tg_backward(y));
    EXPECT_GRADIENTS(v, 7 + 5, 5, 3);
}

Test(tape, no_gradient_flows_out_of_a_no_grad_scope)
{
    const double d[2] = { 1, 2 };
    const Value x = scalar(t, 3), v = param(t, d, 2);
    Value a = x, b = v, view = v;
    TG_NO_GRAD(t)
    {
        TG_NO_GRAD(t) a = square(x);
        b = exp(v);
        view = flip(v);
    }
    EXPECT_ITEM(a, 9);
    ASSERT(tg_backward(add(mul(a, x), sum(add(mul(b, v), mul(view, v))))));
    EXPECT_GRADIENT(x, 9);
    EXPECT_GRADIENTS(v, exp(1.0) + 2, exp(2.0) + 1);
    EXPECT_REFUSED(tg_backward(a), TG_ERROR_HISTORY);
    EXPECT_REFUSED(tg_backward(sum(b)), TG_ERROR_HISTORY);
}

Test(tape, a_no_grad_scope_ends_where_its_outermost_one_does)
{
    const Value x = scalar(t, 3);
    tg_no_grad_begin(t);
    tg_no_grad_begin(t);
    tg_no_grad_end(t);
    const Value inside = square(x);
    tg_no_grad_end(t);
    const Value outside = square(x);
    EXPECT_REFUSED(tg_backward(inside), TG_ERROR_HISTORY);
    ASSERT(tg_backward(outside));
    EXPECT_REFUSED((tg_no_grad_end(t), !tg_error_of(t)), TG_ERROR_ARGUMENT);
}

Test(tape, a_frozen_parameter_gets_no_gradient_and_an_input_gets_one_if_asked)
{
    const double d[2] = { 3, 5 };
    const Value W = param(t, d, 2), x = input(t, d, 2), s = scalar(t, 2), asked = input(t, d, 2);
    ASSERT(tg_want_gradient(W, false) && tg_want_gradient(s, false) &&
           tg_want_gradient(asked, true));
    const Value y = mul(s, sum(mul(mul(W, x), asked)));
    ASSERT(tg_backward(y));
    EXPECT(tg_grad(W) == NULL && tg_grad(x) == NULL && tg_grad(s) == NULL);
    EXPECT_GRADIENTS(asked, 2 * 9, 2 * 25);
    ASSERT(tg_want_gradient(W, true) && tg_backward(sum(square(W))));
    EXPECT_GRADIENTS(W, 6, 10);
    EXPECT(tg_want_gradient(number(t, 1), false));
    EXPECT_REFUSED(tg_want_gradient(number(t, 1), true), TG_ERROR_TYPE);
    EXPECT_REFUSED(tg_want_gradient(y, true), TG_ERROR_ARGUMENT);
}

/* What their place was used for before does not show. */
Test(tape, large_data_that_gets_a_gradient_begins_from_zero)
{
    enum { N = 20000 };
    static double d[N];
    for (int i = 0; i < N; i++) d[i] = i % 7;
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        const tg_mark mark = tg_tape_mark(t);
        ASSERT(tg_backward(sum(square(param(t, d, N)))));
        tg_release(mark);
        const Value x = input(t, d, N), w = scalar(t, 2), y = mul(w, sum(x));
        ASSERT(tg_backward(y) && tg_backward(y));
        EXPECT(tg_grad(x) == NULL);
        ASSERT(tg_want_gradient(x, true));
        EXPECT(tg_grad(x)[0] == 0 && tg_grad(x)[N - 1] == 0);
        const Value z = mul(w, sum(square(x)));
        ASSERT(tg_backward_with(z, &(tg_backward_options){ .accumulate = accumulate }));
        EXPECT(tg_grad(x)[1] == 4 && tg_grad(x)[N - 1] == 4 * d[N - 1]);
        const Value part = slice(x, .axis = 0, .stop = 3), v = sum(mul(part, part));
        ASSERT(tg_want_gradient(x, false) && tg_backward(v) && tg_backward(v));
        EXPECT_GRADIENTS(part, 0, 2, 4);
        tg_release(mark);
    }
}

Test(tape, constants_and_inputs_have_no_gradient)
{
    const double d[2] = { 3, 5 };
    const int rows[2] = { 1, 0 };
    const Value x = input(t, d, 2), c = constant(t, d, 2), i = index(t, rows, 2),
                W = param(t, d, 2);
    ASSERT(tg_backward(sum(mul(index_select(W, i), mul(x, c)))));
    EXPECT(!tg_grad(x) && !tg_grad(c) && !tg_grad(i));
    double out[2];
    EXPECT(!tg_grad_read(c, out, 2) && not_a_number(tg_grad_item(number(t, 1))));
    EXPECT_GRADIENTS(W, 25, 9);
}

Test(tape, what_is_recorded_after_a_backward_has_no_gradient_yet)
{
    const Value x = scalar(t, 3), y = square(x);
    ASSERT(tg_backward(y));
    const Value z = exp(x);
    EXPECT(tg_grad(z) == NULL && not_a_number(tg_grad_item(z)));
    EXPECT_GRADIENT(y, 1);
}

/* ---- names ---------------------------------------------------------------------------------- */

Test(tape, names_are_copied_and_belong_to_one_value)
{
    char name[] = "W1";
    const double d[2] = { 1, 2 };
    const Value W = tg_name(param(t, d, 2), name), x = tg_name(scalar(t, 1), "x"), y = exp(x);
    strcpy(name, "??");
    EXPECT(strcmp(tg_name_of(W), "W1") == 0 && strcmp(tg_name_of(x), "x") == 0 && !tg_name_of(y));
    tg_name(W, "the second name stands");
    EXPECT(strcmp(tg_name_of(W), "the second name stands") == 0);
    const tg_mark mark = tg_tape_mark(t);
    tg_name(exp(x), "e");
    ASSERT(tg_release(mark));
    EXPECT(!tg_name_of(exp(x))); /* the name went with its value */
}

/* ---- writing leaves, and computing again ---------------------------------------------------- */

enum { CELLS = 6 };

/* Something of everything: scalars, tensors, views, copies, numbers, indices, constants. */
typedef struct model {
    Value W, b, s, rows, root;
} model;

static model record_model(tg_tape *tape, const double *w, const double *bias, double factor,
                          const int *rows)
{
    model m = { .W = param(tape, w, 2, 3),
                .b = param(tape, bias, 3),
                .s = scalar(tape, factor),
                .rows = index(tape, rows, 4) };
    const Value picked = index_select(m.W, m.rows);                        /* (4, 3) */
    const Value h = tanh(add(matmul(picked, transpose(m.W)), at(m.b, 1))); /* (4, 2) */
    const Value l = logsumexp(reshape(transpose(h), 8));
    const Value c = clamp(mul(m.s, at(m.W, 1, 1)), -1, fma(m.s, m.s, 3));
    m.root = add(mul(l, exp(sub(1, m.s))), add(c, prod(slice(m.b, .step = -1))));
    return m;
}

static void draw(unsigned seed, double *w, double *bias, double *factor, int *rows)
{
    for (int i = 0; i < CELLS; i++) w[i] = random_number(&seed);
    for (int i = 0; i < 3; i++) bias[i] = random_number(&seed);
    *factor = random_number(&seed);
    for (int i = 0; i < 4; i++) rows[i] = random_number(&seed) > 0;
}

static void gradients(const model *m, double *out)
{
    ASSERT(tg_backward(m->root));
    ASSERT(tg_grad_read(m->W, out, 6) && tg_grad_read(m->b, out + 6, 3) &&
           tg_grad_read(m->s, out + 9, 1));
}

static void expect_forward_like_recording(tg_type type)
{
    tg_tape *const replayed = tg_tape_new(&(tg_tape_options){ .type = type });
    double w[CELLS], bias[3], factor, got[10], wanted[10];
    int rows[4];
    draw(1, w, bias, &factor, rows);
    const model m = record_model(replayed, w, bias, factor, rows);
    const size_t instructions = tg_stats(replayed).instructions;
    for (unsigned seed = 2; seed < 12; seed++) {
        tg_tape *const fresh = tg_tape_new(&(tg_tape_options){ .type = type });
        draw(seed, w, bias, &factor, rows);
        ASSERT(tg_set(m.W, w, 6) && tg_set(m.b, bias, 3) && tg_set(m.s, &factor, 1) &&
               tg_set(m.rows, rows, 4));
        ASSERT(tg_forward(m.root));
        const model other = record_model(fresh, w, bias, factor, rows);
        cr_expect(same_bits(tg_item(m.root), tg_item(other.root)), "seed %u", seed);
        gradients(&m, got);
        gradients(&other, wanted);
        cr_expect(memcmp(got, wanted, sizeof got) == 0, "seed %u", seed);
        EXPECT(!tg_error_of(fresh));
        tg_tape_free(fresh);
    }
    EXPECT(tg_stats(replayed).instructions == instructions && !tg_error_of(replayed));
    tg_tape_free(replayed);
}

Test(tape, forward_after_set_equals_a_new_recording_bit_for_bit)
{
    expect_forward_like_recording(TG_F64);
    expect_forward_like_recording(TG_F32);
}

Test(tape, forward_without_a_change_changes_nothing)
{
    double w[CELLS], bias[3], factor;
    int rows[4];
    draw(3, w, bias, &factor, rows);
    const model m = record_model(t, w, bias, factor, rows);
    const double before = tg_item(m.root);
    ASSERT(tg_forward(m.root));
    EXPECT(same_bits(before, tg_item(m.root)));
}

Test(tape, backward_refuses_values_recorded_from_a_leaf_that_was_written_since)
{
    const double d[2] = { 3, 5 }, e[2] = { 4, 6 };
    const Value W = param(t, d, 2), other = param(t, d, 2), y = sum(square(W)),
                z = sum(square(other));
    ASSERT(tg_set(W, e, 2));
    EXPECT_REFUSED(tg_backward(y), TG_ERROR_HISTORY);
    EXPECT_REFUSED(tg_backward(exp(mul(y, 0))), TG_ERROR_HISTORY);
    ASSERT(tg_backward(z)); /* it does not depend on W */
    EXPECT_REFUSED(tg_backward(add(y, z)), TG_ERROR_HISTORY);
    ASSERT(tg_backward(sum(square(W)))); /* recorded after the change */
    EXPECT_GRADIENTS(W, 8, 12);
    ASSERT(tg_forward(y) && tg_backward(y));
    EXPECT_GRADIENTS(W, 8, 12);
}

Test(tape, an_edit_is_a_change)
{
    const double d[2] = { 3, 5 };
    const Value W = param(t, d, 2), y = sum(square(W));
    double *const w = tg_edit(W);
    ASSERT(w);
    EXPECT(w[0] == 3 && w[1] == 5);
    w[1] = 7;
    EXPECT_REFUSED(tg_backward(y), TG_ERROR_HISTORY);
    ASSERT(tg_forward(y));
    EXPECT_ITEM(y, 58);
    EXPECT_VALUES(W, 3, 7);
}

Test(tape, a_release_and_a_new_recording_make_a_changed_leaf_good_again)
{
    const double d[2] = { 3, 5 };
    const Value W = param(t, d, 2), s = scalar(t, 2);
    const tg_mark mark = tg_tape_mark(t);
    for (int step = 0; step < 5; step++) {
        ASSERT(tg_backward(mul(s, sum(square(W)))));
        double *const w = tg_edit(W), *const f = tg_edit(s);
        ASSERT(w && f);
        w[0] -= 0.1 * tg_grad(W)[0];
        *f += 1;
        ASSERT(tg_release(mark));
    }
    EXPECT_ITEM(s, 7);
}

Test(tape, a_leaf_written_before_it_is_used_is_not_out_of_date)
{
    const double d[2] = { 3, 5 };
    const Value W = param(t, NULL, 2), late = param(t, NULL, 2), y = sum(exp(W));
    ASSERT(tg_set(late, d, 2) && tg_set(W, d, 2));
    ASSERT(tg_backward(sum(square(late))) && tg_backward(sum(square(W))));
    EXPECT_REFUSED(tg_backward(y), TG_ERROR_HISTORY);
}

Test(tape, a_forward_of_an_earlier_value_leaves_later_ones_out_of_date)
{
    const Value x = scalar(t, 2), z = scalar(t, 1), a = exp(x), b = square(a), c = square(z),
                d = mul(c, exp(z));
    const double one = 1, four = 4;
    ASSERT(tg_set(x, &one, 1) && tg_forward(a));
    ASSERT(tg_backward(a)); /* a was computed again */
    EXPECT_GRADIENT(x, exp(1.0));
    EXPECT_REFUSED(tg_backward(b), TG_ERROR_HISTORY);
    EXPECT_REFUSED(tg_backward(mul(a, b)), TG_ERROR_HISTORY);
    ASSERT(tg_backward(d));         /* it does not depend on x */
    ASSERT(tg_backward(mul(a, d))); /* neither of its operands is out of date */
    EXPECT_GRADIENT(x, exp(1.0) * exp(1.0));
    ASSERT(tg_set(z, &four, 1) && tg_forward(c));
    EXPECT_REFUSED(tg_backward(d), TG_ERROR_HISTORY);
    ASSERT(tg_backward(mul(b, c))); /* b comes before c, and was computed with it */
    ASSERT(tg_backward(mul(a, c)));
    EXPECT_GRADIENT(z, 8 * exp(1.0));
    ASSERT(tg_forward(d) && tg_backward(add(b, d)));
    EXPECT_GRADIENT(x, 2 * exp(2.0));
}

Test(tape, one_parameter_may_be_shared_by_several_tapes)
{
    double shared[2] = { 3, 5 };
    tg_tape *const other = tg_tape_new(NULL);
    const Value W = tg_param_view(t, shared, 2), V = tg_param_view(other, shared, 2);
    const Value y = sum(square(W)), z = sum(exp(at(V, 1)));
    ASSERT(tg_backward(y) && tg_backward(z));
    EXPECT_GRADIENTS(W, 6, 10);
    EXPECT_GRADIENTS(V, 0, exp(5.0));
    EXPECT(tg_data(W) == shared && tg_data(V) == shared);
    shared[1] = 1;
    ASSERT(tg_written(W) && tg_written(V));
    EXPECT_REFUSED(tg_backward(y), TG_ERROR_HISTORY);
    ASSERT(tg_forward(y) && tg_backward(y) && tg_forward(z) && tg_backward(z));
    EXPECT_ITEM(y, 10);
    EXPECT_GRADIENTS(W, 6, 2);
    EXPECT_GRADIENTS(V, 0, exp(1.0));
    *tg_edit(W) = 8;
    EXPECT(shared[0] == 8); /* an edit writes to the memory itself */
    EXPECT(!tg_error_of(other));
    tg_tape_free(other);
}

Test(tape, data_is_copied_and_converted)
{
    double d[2] = { 1.5, 2.5 };
    float f[2] = { 0.5f, 0.25f };
    int i[2] = { 3, -4 };
    long long l[1] = { 1LL << 40 };
    const Value x = param(t, d, 2), y = input(t, f, 2), n = index(t, i, 2), big = index(t, l);
    d[0] = f[0] = 9, i[0] = 9;
    EXPECT_VALUES(x, 1.5, 2.5);
    EXPECT_VALUES(y, 0.5, 0.25);
    EXPECT_VALUES(n, 3, -4);
    EXPECT_ITEM(big, 1099511627776.0);
    ASSERT(tg_set(x, f, 2));
    EXPECT_VALUES(x, 9, 0.25);
    EXPECT_VALUES(param(t, NULL, 2), 0, 0);
    EXPECT_VALUES(full(t, 2.5, 3), 2.5, 2.5, 2.5);
    EXPECT_VALUES(ones(t, 1, 2), 1, 1);
    EXPECT_ITEM(param(t, &d[1]), 2.5);
}

/* ---- numbers, short names, calls ------------------------------------------------------------ */

Test(tape, numbers_stand_on_both_sides)
{
    const Value a = scalar(t, 3);
    EXPECT_ITEM(sub(1, a), -2);
    EXPECT_ITEM(sub(a, 1), 2);
    EXPECT_ITEM(sub(1.5f, a), -1.5);
    EXPECT_ITEM(mul(2LL, mul(a, (char)2)), 12);
    EXPECT_ITEM(add((unsigned char)200, add(true, a)), 204);
    EXPECT_ITEM(div(9u, a), 3);
    EXPECT_ITEM(add(a, 18446744073709551615ull), 18446744073709551616.0);
    EXPECT_ITEM(fma(2, a, 0.5), 6.5);
    EXPECT_ITEM(where(0, a, 5), 5);
    const double d[2] = { 3, 4 };
    const Value v = param(t, d, 2);
    EXPECT_VALUES(sub(1, v), -2, -3);
    EXPECT_VALUES(pow(v, 2), 9, 16);
    EXPECT_VALUES(pow(2, v), 8, 16);
    ASSERT(tg_backward(sub(1, a)));
    EXPECT_GRADIENT(a, -1);
    ASSERT(tg_backward(sum(pow(2, v))));
    EXPECT_GRADIENTS(v, 8 * log(2.0), 16 * log(2.0));
}

Test(tape, equal_numbers_share_a_constant_and_different_ones_do_not)
{
    const Value x = scalar(t, 2);
    const size_t before = tg_stats(t).values;
    for (int i = 0; i < 100; i++) EXPECT(tg_item(mul(x, 0.125)) == 0.25);
    EXPECT(tg_stats(t).values == before + 101);
    for (int i = 0; i < 500; i++) cr_expect(tg_item(fma(x, i, i + 1)) == 3 * i + 1, "%d", i);
}

static int calls;
static char order[8];

static Value called(char name, Value v)
{
    order[calls++] = name;
    return v;
}

Test(tape, operands_are_evaluated_once_from_left_to_right)
{
    const Value x = scalar(t, 2);
    EXPECT_ITEM(fma(called('a', x), called('b', mul(x, 2)), called('c', x)), 10);
    EXPECT_ITEM(sub(called('d', mul(x, 5)), called('e', x)), 8);
    cr_expect(strcmp(order, "abcde") == 0, "%s", order);
    int n = 1;
    EXPECT_ITEM(mul(x, n++), 2);
    EXPECT(n == 2);
}

Test(tape, short_names_of_libm_keep_their_meaning_for_numbers)
{
    EXPECT(_Generic(exp(2.0), double
                    : true, default
                    : false) &&
           _Generic(abs(-3), int
                    : true, default
                    : false));
    EXPECT(exp(2.0) == (exp)(2.0) && log(3) == (log)(3) && pow(2, 10) == 1024 &&
           pow(2.5, 2) == 6.25);
    EXPECT(abs(-3) == 3 && fma(2.0, 3.0, 4.0) == 10 && hypot(3, 4) == 5 &&
           atan2(1.0, -1.0) == (atan2)(1.0, -1.0));
    EXPECT(floor(2.5) == 2 && round(2.5) == 3 && sqrt(2) == (sqrt)(2) && copysign(3, -0.0) == -3);
    const div_t halves = (div)(7, 2);
    EXPECT(halves.quot == 3 && halves.rem == 1);
    const Value x = scalar(t, 2);
    EXPECT(exp(exp(0.0)) == (exp)(1.0));
    EXPECT_ITEM(exp(x), exp(2.0));
    EXPECT_ITEM(pow(x, pow(2, 2)), 16);
    EXPECT_ITEM(round(add(x, 0.5)), 2); /* half to even, as the operation has it */
}

Test(tape, operations_nest_deeply_on_one_line)
{
    const Value x = scalar(t, 1);
    EXPECT_ITEM(
        add(add(add(add(add(add(add(add(add(add(add(add(add(add(add(add(x, x), x), x), x), x), x),
                                                x),
                                            x),
                                        x),
                                    x),
                                x),
                            x),
                        x),
                    x),
                x),
            x),
        17);
}

/* One polynomial, three ways to call. */
static Value by_macro(Value x, Value y)
{
    return sub(mul(add(mul(x, y), 0.1), div(x, y)), add(neg(square(x)), mul(y, 1.0 / 3)));
}

static Value by_function(Value x, Value y)
{
    const Value tenth = tg_number(t, 0.1), third = tg_number(t, 1.0 / 3);
    Value left = (tg_add)((tg_mul)(x, y), tenth);
    left = (tg_mul)(left, (tg_div)(x, y));
    const Value right = (tg_neg)((tg_square)(x));
    return (tg_sub)(left, (tg_add)(right, (tg_mul)(y, third)));
}

static double by_hand(double x, double y)
{
    return (x * y + 0.1) * (x / y) - (-(x * x) + y * (1.0 / 3));
}

Test(tape, inlined_and_exported_operations_agree_bit_for_bit)
{
    unsigned seed = 5;
    for (int i = 0; i < 200; i++) {
        const double a = random_number(&seed), b = 1.5 + random_number(&seed);
        const Value x = scalar(t, a), y = scalar(t, b), one = by_macro(x, y),
                    two = by_function(x, y);
        EXPECT(same_bits(tg_item(one), by_hand(a, b)) && same_bits(tg_item(two), by_hand(a, b)));
        ASSERT(tg_backward(one));
        const double dx = tg_grad_item(x), dy = tg_grad_item(y);
        ASSERT(tg_backward(two));
        EXPECT(same_bits(tg_grad_item(x), dx) && same_bits(tg_grad_item(y), dy));
    }
}

Test(tape, tensors_of_one_element_and_scalars_agree)
{
    const double d[1] = { 0.7 };
    const Value x = scalar(t, 0.7), v = param(t, d, 1);
    const Value y = mul(exp(sub(1, x)), tanh(x)), z = mul(exp(sub(1, v)), tanh(v));
    EXPECT(near(tg_item(y), tg_item(z)));
    ASSERT(tg_backward(y));
    const double slope = tg_grad_item(x);
    ASSERT(tg_backward(z));
    EXPECT_GRADIENT(v, slope);
}

Test(tape, positions_of_any_line_number_are_kept_or_left_out_but_never_mixed_up)
{
    const tg_site far = { "far.c", 1 << 21 }, near_by = { "near.c", 77 }, below = { "below.c", -5 };
    const Value x = scalar(t, 3);
    Value y = (tg_mul_at)(x, x, &far);
    for (int i = 0; i < 3; i++) y = (tg_mul_at)(y, (tg_add_at)(x, x, &far), i ? &near_by : &below);
    for (uint32_t i = 0; i < t->head.n_code; i++) {
        const tg_site site = tg__site_of(t, i);
        ASSERT(site.file);
        EXPECT(site.line == 0 || strcmp(site.file, "far.c") != 0);
        EXPECT(site.line == 0 || strcmp(site.file, "below.c") != 0);
        EXPECT(site.line == 77 || strcmp(site.file, "near.c") != 0);
    }
    EXPECT_ITEM(y, 9 * 6 * 6 * 6);
}

Test(tape, the_same_line_is_noted_again_after_a_release)
{
    const Value x = scalar(t, 3);
    const tg_mark mark = tg_tape_mark(t);
    for (int i = 0; i < 3; i++) {
        const int line = __LINE__ + 1;
        const Value y = mul(x, x);
        const tg_site site = tg__site_of(t, tg__maker(t, y.id));
        EXPECT(site.file && strcmp(site.file, __FILE__) == 0 && site.line == line);
        ASSERT(tg_release(mark));
    }
}

/* Every object file has strings of its own. */
Test(tape, one_file_is_one_file_wherever_its_name_lies)
{
    static char name[5000][8];
    const Value x = scalar(t, 3);
    for (int i = 0; i < 5000; i++) {
        strcpy(name[i], "model.c");
        const tg_site site = { name[i], 7 };
        (void)(tg_mul_at)(x, x, &site);
    }
    const tg_site last = tg__site_of(t, t->head.n_code - 1);
    EXPECT(last.line == 7 && last.file && strcmp(last.file, "model.c") == 0);
}

Test(tape, calls_without_a_position_have_none_whatever_came_before)
{
    const Value x = scalar(t, 3);
    const tg_mark mark = tg_tape_mark(t);
    ASSERT(!not_a_number(tg_item(mul(x, x))));
    ASSERT(tg_release(mark));
    const Value y = (tg_mul)((tg_mul)(x, x), x);
    EXPECT_ITEM(y, 27);
    EXPECT(tg__site_of(t, t->head.n_code - 1).file == NULL &&
           tg__site_of(t, t->head.n_code - 2).file == NULL);
    EXPECT(tg__site_of(t, 0).file != NULL);
}

/* ---- single precision, indices -------------------------------------------------------------- */

Test(tape, a_tape_of_floats_computes_in_single_precision)
{
    tg_tape *const f = tg_tape_new(&(tg_tape_options){ .type = TG_F32 });
    const double d[2] = { 0.1, 0.2 };
    const Value x = param(f, d, 2), s = scalar(f, 0.1), y = mul(s, sum(square(x)));
    EXPECT(tg_tape_type(f) == TG_F32 && tg_type_of(y) == TG_F32);
    EXPECT(tg_item(s) == (double)0.1f && tg_data_f32(x)[1] == 0.2f);
    ASSERT(tg_backward(y));
    EXPECT(tg_grad_f32(x)[0] == 0.1f * (2 * 0.1f));
    EXPECT(tg_item(y) == (double)*tg_data_f32(y) && tg_grad_item(s) == (double)*tg_grad_f32(s));
    const float g[2] = { 3, 4 };
    ASSERT(tg_set(x, g, 2) && tg_edit_f32(s));
    ASSERT(tg_forward(y));
    EXPECT(tg_item(y) == (double)(0.1f * 25));
    EXPECT(tg_item(add(s, 16777216)) == 16777216); /* rounded to a float */
    EXPECT(!tg_error_of(f));
    tg_tape_free(f);
}

Test(tape, gradients_of_rows_picked_twice_add_up)
{
    const double d[6] = { 1, 2, 3, 4, 5, 6 };
    const int rows[3] = { 2, 0, 2 };
    const Value W = param(t, d, 3, 2), i = index(t, rows, 3), y = sum(square(index_select(W, i)));
    ASSERT(tg_backward(y));
    EXPECT_GRADIENTS(W, 2, 4, 0, 0, 20, 24);
    const long others[3] = { 1, 1, 1 };
    ASSERT(tg_set(i, others, 3));
    EXPECT_REFUSED(tg_backward(y), TG_ERROR_HISTORY);
    ASSERT(tg_forward(y) && tg_backward(y));
    EXPECT_GRADIENTS(W, 0, 0, 18, 24, 0, 0);
    EXPECT(tg_type_of(i) == TG_I64 && tg_data_i64(i)[2] == 1);
}

Test(tape, each_of_several_index_tensors_is_itself)
{
    const double d[3] = { 1, 2, 3 };
    const int a[2] = { 0, 1 }, b[2] = { 1, 2 }, c[2] = { 2, 2 };
    const Value W = param(t, d, 3), i = index(t, a, 2), j = index(t, b, 2);
    const Value y = sum(index_select(W, i)), z = sum(index_select(W, j));
    ASSERT(tg_set(i, c, 2));
    ASSERT(tg_backward(z)); /* it does not depend on i */
    EXPECT_REFUSED(tg_backward(y), TG_ERROR_HISTORY);
    ASSERT(tg_forward(z));
    EXPECT_ITEM(y, 6);
    EXPECT_ITEM(z, 5);
}

Test(tape, computed_and_viewed_indices_are_indices)
{
    const double d[6] = { 1, 9, 3, 4, 5, 6 };
    const Value W = param(t, d, 2, 3), first = scalar(t, 1), best = argmax(W, .axis = 1),
                last = scalar(t, 3);
    EXPECT_VALUES(best, 1, 2);
    const Value picked = index_select(W, flip(best), .axis = 1);
    EXPECT_VALUES(picked, 3, 9, 6, 5);
    ASSERT(tg_backward(mul(mul(first, last), sum(picked))));
    EXPECT_GRADIENTS(W, 0, 3, 3, 0, 3, 3);
    EXPECT_GRADIENT(first, 23 * 3);
    EXPECT_GRADIENT(last, 23);
}

/* ---- by name -------------------------------------------------------------------------------- */

Test(tape, an_operation_by_name_is_the_operation)
{
    const double d[6] = { 1, 2, 3, 4, 5, 6 };
    const Value W = param(t, d, 2, 3), s = scalar(t, 2);
    EXPECT_VALUES(tg_apply(t, "sum", &W, 1, "axis=1, keep=true"), 6, 15);
    EXPECT(tg_rank(tg_apply(t, "sum", &W, 1, "axis=1, keep=true")) == 2);
    EXPECT_ITEM(tg_apply(t, "sum", &W, 1, NULL), 21);
    EXPECT_VALUES(tg_apply(t, "slice", &W, 1, "axis=-1, start=2, step=-2"), 3, 1, 6, 4);
    EXPECT_ITEM(tg_apply(t, "mul", TG_VALUES(s, s), NULL), 4);
    EXPECT_VALUES(tg_apply(t, "softmax", TG_VALUES(zeros(t, 2)), "axis=0"), 0.5, 0.5);
    ASSERT(tg_backward(tg_apply(t, "mean", TG_VALUES(W), "")));
    EXPECT_GRADIENT(at(W, 1, 1), 1.0 / 6);
}

Test(tape, the_list_of_operations_is_complete_and_has_no_doubles)
{
    tg_op_info info, found;
    const int n = tg_op_count();
    EXPECT(n > 50 && !tg_op_at(-1, &info) && !tg_op_at(n, &info) &&
           !tg_op_find("nonsense", &info) && !tg_op_find(NULL, &info));
    for (int i = 0; i < n; i++) {
        ASSERT(tg_op_at(i, &info));
        cr_expect(info.name[0] && info.letters[0] && info.doc[0] && info.attributes[0], "%s",
                  info.name);
        cr_expect(strspn(info.letters, "ln0ic*") == strlen(info.letters), "%s: %s", info.name,
                  info.letters);
        ASSERT(tg_op_find(info.name, &found));
        cr_expect(strcmp(found.name, info.name) == 0 && found.doc == info.doc, "%s is there twice",
                  info.name);
    }
    ASSERT(tg_op_find("softmax", &info) && strcmp(info.name, "softmax") == 0);
    ASSERT(tg_op_find("sqrt", &info));
    EXPECT(strcmp(info.formula, "sqrt(x)") == 0 && info.derivative[0] && !info.derivative[1]);
}

/* ---- memory of a loop, empty tensors -------------------------------------------------------- */

static void train(Value W, Value b, tg_mark mark, int steps)
{
    for (int step = 0; step < steps; step++) {
        const int labels[4] = { 0, 2, 1, step % 3 };
        const double data[8] = { 1, 2, 3, 4, step, 6, 7, 8 };
        const Value x = tg_name(input(t, data, 4, 2), "x"), y = index(t, labels, 4);
        const Value z = log_softmax(add(matmul(x, transpose(W)), b));
        const Value parts = cat(TG_VALUES(z, mul(0.5, z), z, z, z), .axis = 0);
        const Value loss =
            add(nll(z, y), add(mul(1e-3, sum(square(W))), mean(prod(parts, .axis = 0))));
        ASSERT(tg_backward(loss));
        double *const w = tg_edit(W);
        for (int i = 0; i < 6; i++) w[i] -= 1e-3 * tg_grad(W)[i];
        ASSERT(tg_release(mark));
    }
}

Test(tape, a_steady_training_loop_asks_for_no_memory)
{
    const double d[6] = { 0.1, -0.2, 0.3, 0.4, -0.5, 0.6 };
    const Value W = param(t, d, 3, 2), b = param(t, NULL, 3);
    const tg_mark mark = tg_tape_mark(t);
    train(W, b, mark, 1);
    const tg_tape_stats first = tg_stats(t);
    train(W, b, mark, 5000);
    const tg_tape_stats last = tg_stats(t);
    EXPECT(last.allocations == first.allocations && last.bytes_held == first.bytes_held);
    EXPECT(last.bytes_used == first.bytes_used && last.instructions == 2 && last.values == 9);
}

Test(tape, a_loop_without_backward_asks_for_no_memory_either)
{
    const double d[6] = { 0.1, -0.2, 0.3, 0.4, -0.5, 0.6 };
    const Value W = param(t, d, 3, 2);
    const tg_mark mark = tg_tape_mark(t);
    tg_tape_stats first = { 0 };
    for (int i = 0; i < 5000; i++) {
        const Value y = sum(prod(mul(W, transpose(reshape(W, 2, 3))), .axis = 0)),
                    z = nll(log_softmax(W), index(t, (int *)NULL, 3));
        ASSERT(!not_a_number(tg_item(add(y, z))));
        ASSERT(tg_release(mark));
        if (i == 0) first = tg_stats(t);
    }
    EXPECT(tg_stats(t).allocations == first.allocations &&
           tg_stats(t).bytes_held == first.bytes_held);
}

Test(tape, the_counts_tell_what_was_recorded)
{
    const Value x = scalar(t, 1);
    const tg_tape_stats before = tg_stats(t);
    Value y = x;
    for (int i = 0; i < 1000; i++) y = add(y, x);
    const tg_tape_stats after = tg_stats(t);
    EXPECT(after.instructions == before.instructions + 1000 &&
           after.values == before.values + 1000);
    /* 8 bytes of value, 16 of instruction; and once the position of the line they share. */
    EXPECT(after.bytes_used == before.bytes_used + 1000 * 24 + 8);
    EXPECT(after.bytes_held >= after.bytes_used);
}

Test(tape, tensors_without_elements_are_valid)
{
    const Value e = param(t, NULL, 0, 3), x = scalar(t, 2), after = scalar(t, 3);
    const Value y = exp(mul(e, x));
    EXPECT(tg_size(y) == 0 && tg_dim(y, 1) == 3 && tg_rank(y) == 2);
    ASSERT(tg_backward(add(sum(y), mul(x, after))));
    EXPECT_GRADIENT(x, 3);
    EXPECT_ITEM(sum(e), 0);
    EXPECT_VALUES(sum(e, .axis = 0), 0, 0, 0);
    EXPECT(tg_read(e, NULL, 0) && tg_grad_read(e, NULL, 0));
    EXPECT(tg_size(transpose(slice(e, .axis = 1, .start = 1))) == 0);
    EXPECT_VALUES(matmul(transpose(e), param(t, NULL, 0, 1)), 0, 0, 0);
    EXPECT(tg_backward_with(y, &(tg_backward_options){ .cotangent = (const double[]){ 1 } }));
    const Value none = slice(param(t, NULL, 4), .start = 4);
    ASSERT(tg_backward(add(sum(none), x)));
    EXPECT_GRADIENT(x, 1);
    ASSERT(tg_set(e, (const double *)(const double[]){ 0 }, 0) && tg_forward(y));
}

Test(tape, a_tensor_of_rank_zero_is_a_scalar)
{
    const double d[1] = { 3 };
    const Value x = reshape(param(t, d, 1)), y = reshape(square(x), 1, 1);
    EXPECT(tg_rank(x) == 0 && tg_size(x) == 1);
    ASSERT(tg_backward(y));
    EXPECT_GRADIENT(x, 6);
    const Value view = tg_param_view(t, d);
    EXPECT(tg_rank(view) == 0);
    ASSERT(tg_backward(mul(view, square(view))));
    EXPECT_GRADIENT(view, 27);
}

Test(tape, the_highest_rank_works)
{
    const double d[2] = { 3, 4 };
    const Value x = param(t, d, 1, 1, 1, 1, 2, 1, 1, 1), y = mul(flip(x), x);
    EXPECT(tg_rank(y) == TG_MAX_RANK);
    ASSERT(tg_backward(sum(y)));
    EXPECT_GRADIENTS(x, 8, 6);
}

Test(tape, a_leaf_frozen_after_its_use_gets_no_gradient)
{
    const Value W = param(t, NULL, 4, 2), v = scalar(t, 2), y = mul(sum(roll(W)), v);
    ASSERT(tg_want_gradient(W, false));
    ASSERT(tg_backward(y));
    EXPECT(tg_grad(W) == NULL);
    EXPECT_GRADIENT(v, 0);
}

Test(tape, what_was_recorded_from_values_out_of_date_stays_so_after_they_are_not)
{
    const double old[2] = { 1, 2 }, new[2] = { 3, 4 };
    const Value x = param(t, old, 2), k = square(x);
    ASSERT(tg_set(x, new, 2));
    const Value j = sum(sin(k));
    ASSERT(tg_forward(k));
    EXPECT(!tg_backward(j));
    tg_error_clear(t);
    ASSERT(tg_forward(j) && tg_backward(j));
    EXPECT_ITEM(j, sin(9.0) + sin(16.0));
}

Test(tape, a_reset_forgets_the_cotangents)
{
    const double ones[2] = { 1, 1 };
    const Value x = scalar(t, 1), y = square(x);
    ASSERT(tg_backward_with(y, &(tg_backward_options){ .cotangent = ones, .count = 2 }));
    EXPECT(tg_choose_gradient(t, 1) && !tg_choose_gradient(t, 2));
    tg_reset(t);
    EXPECT(!tg_choose_gradient(t, 0));
    tg_error_clear(t);
}
