/* Tensor operations that programs compute together: the same numbers with and without, and the steps
   that do it. */
#define _POSIX_C_SOURCE 200809L
#include <tapegrad.h>
#include <tapegrad/program.h>
#include <tapegrad/short.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 70, LONG = 5000, WIDE = 6, ROWS = 7, PASSES = 3 };

static const unsigned passes[PASSES] = { TG_TOGETHER, TG_CHAINS, TG_WHOLE_BLOCKS };

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(fusion, .init = quiet);

/* A loss of a batch input x, of n elements, and a shared w, of m. */
typedef struct model {
    Value (*loss)(Value x, Value w);
    int64_t n, rows, columns; /* x: (n), w: (rows, columns), or (columns) if rows is 0 */
} model;

static double *drawn(int64_t n, unsigned seed)
{
    double *const x = malloc((size_t)n * sizeof *x);
    cr_assert(x);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (double)(seed >> 8) / (1 << 23) - 1;
    }
    return x;
}

static tg_program *compiled(const model *m, unsigned without)
{
    tg_tape *const t = tg_tape_new(NULL);
    double *const some = drawn(m->n + (m->rows ? m->rows : 1) * m->columns, 1);
    const Value x = param(t, some, m->n);
    const Value w = m->rows ? param(t, some, m->rows, m->columns) : param(t, some, m->columns);
    const Value loss = m->loss(x, w);
    tg_status status = { 0 };
    tg_program *const p =
        tg_compile(&loss, 1, &x, 1, &w, 1, &(tg_compile_options){ .without = without }, &status);
    cr_assert(p, "%s", status.message);
    tg_program *const g = tg_gradient_program(
        p, &(tg_gradient_options){ .wrt = (const int[]){ 0, 1 }, .n_wrt = 2 }, &status);
    cr_assert(g, "%s", status.message);
    tg_program_free(p);
    tg_tape_free(t);
    free(some);
    return g;
}

/* The loss, its gradients by x for each of count instances, and by w. */
static double *results_of(const model *m, unsigned without, int64_t count, int64_t *n)
{
    const int64_t shared = (m->rows ? m->rows : 1) * m->columns;
    double *const x = drawn(count * m->n, 2), *const w = drawn(shared, 3);
    *n = 1 + count * m->n + shared;
    double *const y = malloc((size_t)*n * sizeof *y);
    tg_program *const g = compiled(m, without);
    tg_status status = { 0 };
    tg_workspace *const space = tg_workspace_new(g, 1, &status);
    cr_assert(tg_run(g, space, count, (const void *[]){ x, w },
                     (void *[]){ y, y + 1, y + 1 + count * m->n }, &status),
              "%s", status.message);
    tg_workspace_free(space);
    tg_program_free(g);
    free(x);
    free(w);
    return y;
}

static void check_passes(const model *m)
{
    static const int64_t counts[] = { 1, 3, MOST };
    for (int c = 0; c < 3; c++) {
        int64_t n;
        double *const expected = results_of(m, ~0u, counts[c], &n), largest = 0;
        for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(expected[i]));
        for (int p = -1; p < PASSES; p++) {
            double *const got = results_of(m, p < 0 ? 0 : passes[p], counts[c], &n);
            for (int64_t i = 0; i < n; i++)
                cr_assert(fabs(got[i] - expected[i]) <= 1e-13 * largest,
                          "without %u, %d instances, result %d: %.17g, not %.17g",
                          p < 0 ? 0 : passes[p], (int)counts[c], (int)i, got[i], expected[i]);
            free(got);
        }
        free(expected);
    }
}

static bool prints(const model *m, unsigned without, const char *what)
{
    char text[20000] = "";
    FILE *const file = fmemopen(text, sizeof text - 1, "w");
    tg_program *const g = compiled(m, without);
    tg_program_print(g, file);
    fclose(file);
    tg_program_free(g);
    return strstr(text, what) != NULL;
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
    const model products = { mapped, 5 * WIDE, 4, WIDE };
    check_passes(&products);
    cr_assert(prints(&products, 0, "linear' 3") && prints(&products, TG_TOGETHER, "linear' 1"));
    const model parts = { attended, 3 * ROWS * WIDE, ROWS, WIDE };
    check_passes(&parts);
    cr_assert(prints(&parts, 0, "attention' 3"));
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
    const model m = { chained, LONG, 0, 4 };
    check_passes(&m);
    cr_assert(prints(&m, 0, "| ") && !prints(&m, TG_CHAINS, "| "));
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
    const model m = { weighed, ROWS, 0, ROWS };
    check_passes(&m);
    cr_assert(prints(&m, TG_WHOLE_BLOCKS, "mul [7]") && !prints(&m, 0, "mul [7]"));
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
    const model m = { stacked, WIDE + 2, 0, WIDE }; /* two elements of x are not used */
    check_passes(&m);
    cr_assert(prints(&m, 0, "  rows ") && !prints(&m, TG_TOGETHER, "  rows "));
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
    const model m = { nearest, WIDE, ROWS, WIDE };
    check_passes(&m);
    cr_assert(prints(&m, 0, "embedding whole") && prints(&m, 0, "embedding' whole") &&
              prints(&m, 0, "argmin whole") && !prints(&m, TG_WHOLE_BLOCKS, "whole"));
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
    const model m = { fitted, WIDE + 1, 0, WIDE };
    check_passes(&m);
    static const char *const loss[] = { "mse", "huber", "bce_with_logits" };
    for (int i = 0; i < 3; i++) {
        char value[40], gradient[40];
        snprintf(value, sizeof value, "%s whole", loss[i]);
        snprintf(gradient, sizeof gradient, "%s' whole", loss[i]);
        cr_assert(prints(&m, 0, value) && prints(&m, 0, gradient), "%s", loss[i]);
        cr_assert(!prints(&m, TG_WHOLE_BLOCKS, value), "%s", loss[i]);
    }
}

/* ---- the gradient beside the Hessian's product -------------------------------------------------- */

Test(fusion, gradient_beside_the_product_with_the_hessian)
{
    enum { COUNT = 9 };
    tg_tape *const t = tg_tape_new(NULL);
    double *const data = drawn(COUNT * WIDE, 5), *const w0 = drawn(ROWS * WIDE, 6),
                  *const u = drawn(ROWS * WIDE, 7);
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
    char text[2][4096] = { "" };
    for (int i = 0; i < 2; i++) {
        tg_tape *const t = tg_tape_new(NULL);
        Value x = param(t, data, 2, 2);
        const tg_reduce_attributes one = along_rows(0x55), other = along_rows(i ? 0xaa : 0x55);
        Value loss = dot((tg_sum)(x, &one), (tg_sum)(x, &other));
        tg_program *const p = tg_compile(&loss, 1, NULL, 0, &x, 1, NULL, NULL);
        FILE *const file = fmemopen(text[i], sizeof text[i], "w");
        cr_assert(p && file);
        tg_program_print(p, file);
        fclose(file);
        tg_program_free(p);
        tg_tape_free(t);
    }
    cr_expect(strstr(text[0], "3 nodes") || strstr(text[0], "4 nodes"), "%s", text[0]);
    cr_expect_str_eq(text[0], text[1]);
}
