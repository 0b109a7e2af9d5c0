/* Tensor operations that programs compute together: the same numbers with and without, and the steps
   that do it. */
#define _POSIX_C_SOURCE 200809L
#include "passes.h"

enum { MOST = 70, LONG = 5000, WIDE = 6, ROWS = 7, PASSES = 3 };

static const unsigned passes[PASSES] = { TG_TOGETHER, TG_CHAINS, TG_WHOLE_BLOCKS };

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(fusion, .init = quiet);

static void check(const model *m)
{
    static const int64_t counts[] = { 1, 3, MOST };
    for (int c = 0; c < 3; c++) check_passes(m, TG_F64, true, counts[c], passes, PASSES, 1e-13);
}

static bool has(const model *m, unsigned without, const char *what)
{
    return prints(m, true, &(tg_compile_options){ .without = without }, what);
}

/* ---- gradients by several operands ------------------------------------------------------------- */

static Value mapped(Value x, Value w)
{
    const Value own = mul(w, at(x, 0)); /* varies, so that there is a product for each instance */
    return sum(square(tg_linear(reshape(x, 5, WIDE), own, sum(own, .axis = 1))));
}

static Value attended(Value x, Value w)
{
    const Value y = mul(reshape(x, 3, ROWS, WIDE), w); /* q, k and v are views of it */
    return sum(square(attention(select(y, .axis = 0, .index = 0), select(y, .axis = 0, .index = 1),
                                select(y, .axis = 0, .index = 2))));
}

Test(fusion, gradients_by_several_operands)
{
    const model products = { mapped, 5 * WIDE, 4 * WIDE, 4 };
    check(&products);
    cr_assert(has(&products, 0, "linear' 3") && has(&products, TG_TOGETHER, "linear' 1"));
    const model parts = { attended, 3 * ROWS * WIDE, ROWS * WIDE, ROWS };
    check(&parts);
    cr_assert(has(&parts, 0, "attention' 3"));
}

/* ---- chains ------------------------------------------------------------------------------------ */

static Value chained(Value x, Value w)
{
    const Value y = mul(tanh(mul(x, 0.5)), exp(neg(x)));
    const Value z =
        add(mul(y, at(y, 3)), mul(at(w, 1), y)); /* one element of what the chain makes */
    return sum(square(add(z, mul(z, y))));
}

Test(fusion, elementwise_chains_go_strip_by_strip)
{
    const model m = { chained, LONG, 4, 0 };
    check(&m);
    cr_assert(has(&m, 0, "| ") && !has(&m, TG_CHAINS, "| "));
}

/* ---- sums of products ---------------------------------------------------------------------------- */

/* A sum as a scalar and one with an axis, of what varies times what is shared and the other way round. */
static Value weighed(Value x, Value w)
{
    const Value one = sum(mul(x, w)), other = sum(mul(exp(w), x), .axis = 0, .keep = true);
    return sum(mul(softplus(one), sin(other)));
}

Test(fusion, sums_of_products_are_dot_products)
{
    const model m = { weighed, ROWS, ROWS, 0 };
    check(&m);
    cr_assert(has(&m, TG_WHOLE_BLOCKS, "mul [7]") && !has(&m, 0, "mul [7]"));
}

/* ---- scalars side by side ---------------------------------------------------------------------- */

static Value stacked(Value x, Value w)
{
    Value part[WIDE];
    for (int i = 0; i < WIDE; i++)
        part[i] = mul(at(x, i), sin(mul(at(x, (i + 1) % WIDE), at(w, i))));
    return sum(square(softmax(mul(w, stack(part, WIDE)))));
}

Test(fusion, scalars_are_put_side_by_side)
{
    const model m = { stacked, WIDE + 2, WIDE, 0 }; /* two elements of x are not used */
    check(&m);
    cr_assert(has(&m, 0, "  rows ") && !has(&m, TG_TOGETHER, "  rows "));
}

/* ---- tables ------------------------------------------------------------------------------------ */

static Value nearest(Value x, Value w)
{
    const Value index = argmin(tg_linear(x, mul(-2, w), sum(square(w), .axis = 1)));
    const Value also = take(w, index);
    return add(sum(square(sub(embedding(w, index), x))), mul(also, also));
}

Test(fusion, tables_are_read_for_all_instances)
{
    const model m = { nearest, WIDE, ROWS * WIDE, ROWS };
    check(&m);
    cr_assert(has(&m, 0, "embedding whole") && has(&m, 0, "embedding' whole") &&
              has(&m, 0, "argmin whole") && !has(&m, TG_WHOLE_BLOCKS, "whole"));
}

Test(fusion, an_index_outside_of_the_table_is_named)
{
    tg_tape *const t = tg_tape_new(NULL);
    const Value w = param(t, ((const double[]){ 1, 2, 3, 4 }), 2, 2);
    const Value index = tg_index(t, (const int[]){ 1 }, 1);
    const Value y = embedding(w, index);
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&y, 1, &index, 1, &w, 1, NULL, &status);
    cr_assert(p, "%s", status.message);
    tg_workspace *const space = tg_workspace_new(p, 1, &status);
    const int64_t at[] = { 0, 1, 1, 2, 0 };
    double out[10];
    cr_assert(tg_run(p, space, 3, (const void *[]){ at, (const double[]){ 1, 2, 3, 4 } },
                     (void *[]){ out }, &status));
    cr_assert(out[0] == 1 && out[1] == 2 && out[2] == 3 && out[3] == 4 && out[4] == 3);
    cr_assert(!tg_run(p, space, 5, (const void *[]){ at, (const double[]){ 1, 2, 3, 4 } },
                      (void *[]){ out }, &status));
    cr_assert(strstr(status.message, "instance 3: embedding: index 2"), "%s", status.message);
    tg_workspace_free(space);
    tg_program_free(p);
    tg_tape_free(t);
}

/* ---- losses ------------------------------------------------------------------------------------ */

/* The last element of x is the target of the others. */
static Value fitted(Value x, Value w)
{
    const Value score = tg_linear(slice(x, .stop = WIDE), reshape(w, 1, WIDE), sum(w, .keep = true));
    const Value target = slice(x, .start = WIDE);
    return add(mse(score, target), add(huber(target, score, .reduction = TG_SUM),
                                       bce_with_logits(score, mul(target, target))));
}

Test(fusion, losses_of_one_element_are_computed_for_all_instances)
{
    const model m = { fitted, WIDE + 1, WIDE, 0 };
    check(&m);
    static const char *const loss[] = { "mse", "huber", "bce_with_logits" };
    for (int i = 0; i < 3; i++) {
        char value[40], gradient[40];
        snprintf(value, sizeof value, "%s whole", loss[i]);
        snprintf(gradient, sizeof gradient, "%s' whole", loss[i]);
        cr_assert(has(&m, 0, value) && has(&m, 0, gradient), "%s", loss[i]);
        cr_assert(!has(&m, TG_WHOLE_BLOCKS, value), "%s", loss[i]);
    }
}

/* ---- the gradient beside the Hessian's product -------------------------------------------------- */

Test(fusion, gradient_beside_the_product_with_the_hessian)
{
    enum { COUNT = 9 };
    tg_tape *const t = tg_tape_new(NULL);
    double *const data = drawn(TG_F64, COUNT * WIDE, 5), *const w0 = drawn(TG_F64, ROWS * WIDE, 6),
                  *const u = drawn(TG_F64, ROWS * WIDE, 7);
    const Value x = input(t, data, WIDE), w = param(t, w0, ROWS, WIDE), loss = nearest(x, w);
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&loss, 1, &x, 1, &w, 1, NULL, &status);
    const tg_gradient_options both = { .with_gradient = true };
    tg_program *const all[] = { tg_hvp_program(p, &both, &status),
                                tg_gradient_program(p, NULL, &status),
                                tg_hvp_program(p, NULL, &status) };
    double y[3], g[2][ROWS * WIDE], h[2][ROWS * WIDE];
    void *const out[3][3] = { { &y[0], g[0], h[0] }, { &y[1], g[1] }, { &y[2], h[1] } };
    for (int i = 0; i < 3; i++) {
        cr_assert(all[i], "%s", status.message);
        tg_workspace *const space = tg_workspace_new(all[i], 1, &status);
        cr_assert(tg_run(all[i], space, COUNT, (const void *[]){ data, w0, u }, out[i], &status),
                  "%s", status.message);
        tg_workspace_free(space);
        tg_program_free(all[i]);
    }
    cr_assert(y[0] == y[1] && y[0] == y[2]);
    for (int i = 0; i < ROWS * WIDE; i++) {
        cr_assert(fabs(g[0][i] - g[1][i]) <= 1e-12 && fabs(h[0][i] - h[1][i]) <= 1e-12);
    }
    tg_program_free(p);
    tg_tape_free(t);
    free(data);
    free(w0);
    free(u);
}

/* ---- equals ------------------------------------------------------------------------------------ */

static tg_reduce_attributes along_rows(int between)
{
    const tg_reduce_attributes wanted = { TG_DEFAULTS_reduce };
    tg_reduce_attributes a;
    memset(&a, between, sizeof a);
    a.axis = 1, a.axes = wanted.axes, a.keep = wanted.keep;
    a.correction = wanted.correction, a.p = wanted.p;
    return a;
}

Test(fusion, equal_attributes_are_so_whatever_lies_between_their_fields)
{
    const double data[4] = { 1, 2, 3, 4 };
    char *text[2];
    for (int i = 0; i < 2; i++) {
        tg_tape *const t = tg_tape_new(NULL);
        Value x = param(t, data, 2, 2);
        const tg_reduce_attributes one = along_rows(0x55), other = along_rows(i ? 0xaa : 0x55);
        Value loss = dot((tg_sum)(x, &one), (tg_sum)(x, &other));
        tg_program *const p = tg_compile(&loss, 1, NULL, 0, &x, 1, NULL, NULL);
        cr_assert(p);
        text[i] = printed(tg_program_print, p);
        tg_program_free(p);
        tg_tape_free(t);
    }
    cr_expect(strstr(text[0], "3 nodes") || strstr(text[0], "4 nodes"), "%s", text[0]);
    cr_expect_str_eq(text[0], text[1]);
    free(text[0]);
    free(text[1]);
}
