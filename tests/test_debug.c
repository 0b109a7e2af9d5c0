/* Looking into tapes: debug.h. */
#define _GNU_SOURCE
#include "sample.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad.h>
#include <tapegrad/debug.h>
#include <tapegrad/short.h>

#include "tape/record.h"

#define SEED 7u

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(debug, .init = quiet);

static void holds(const char *text, const char *part, int line)
{
    cr_expect(text && strstr(text, part), "line %d: \"...%s...\" is not in\n%s", line, part, text);
}
#define HOLDS(text, part) holds(text, part, __LINE__)

static void near(double a, double b, int line)
{
    cr_expect(fabs(a - b) <= 1e-12 * fmax(fabs(a), fabs(b)), "line %d: %.17g is not %.17g", line, a,
              b);
}
#define NEAR(a, b) near(a, b, __LINE__)

static const double nine[] = { .1, -.2, .3, .4, -.5, .6, .7, -.8, .9 };

/* What a function has written; the caller frees it. */
typedef struct writing {
    FILE *file;
    char *text;
    size_t size;
} writing;

static void begin_writing(writing *w)
{
    *w = (writing){ 0 };
    w->file = open_memstream(&w->text, &w->size);
    cr_assert(w->file);
}

/* ---- paths ------------------------------------------------------------------------------------- */

/* The two-path network of the course: L(f4(f3(f1(x)), f2(f1(x)))), one weight in each function. */
typedef struct network {
    Value w[4], y[4], loss;
} network;

static network make_network(tg_tape *t)
{
    static const char *const names[] = { "w1", "w2", "w3", "w4" };
    network n;
    Value x = tg_name(input(t, (double[]){ 0.5 }), "x");
    for (int i = 0; i < 4; i++) n.w[i] = tg_name(scalar(t, 1.2 - 0.5 * i), names[i]);
    n.y[0] = tg_name(tanh(mul(n.w[0], reshape(x, 1))), "y1");
    n.y[0] = tg_name(at(n.y[0], 0), "y1");
    n.y[1] = tg_name(sin(mul(n.w[1], n.y[0])), "y2");
    n.y[2] = tg_name(sigmoid(mul(n.w[2], n.y[0])), "y3");
    n.y[3] = tg_name(mul(n.w[3], mul(n.y[2], n.y[1])), "y4");
    n.loss = tg_name(square(sub(n.y[3], 1)), "L");
    return n;
}

Test(debug, a_gradient_is_the_sum_over_paths_of_the_products_along_each)
{
    tg_tape *const t = tg_tape_new(NULL);
    const network n = make_network(t);
    const double y1 = tg_item(n.y[0]), y2 = tg_item(n.y[1]), y3 = tg_item(n.y[2]);
    const double w1 = tg_item(n.w[0]), w2 = tg_item(n.w[1]), w3 = tg_item(n.w[2]),
                 w4 = tg_item(n.w[3]);
    const double dL = 2 * (tg_item(n.y[3]) - 1), cos2 = cos(w2 * y1), slope3 = y3 * (1 - y3);
    /* dL/dw2 = dL/dy4 . dy4/dy2 . dy2/dw2: one path */
    tg_explanation e;
    cr_assert(tg_explain(n.loss, n.w[1], NULL, NULL, &e, NULL));
    cr_expect(e.paths == 1 && e.listed == 1);
    NEAR(e.sum, dL * w4 * y3 * cos2 * y1);
    NEAR(e.largest, e.sum);
    /* dL/dw1: two */
    const double by2 = dL * w4 * y3 * cos2 * w2 * (1 - y1 * y1) * 0.5;
    const double by3 = dL * w4 * y2 * slope3 * w3 * (1 - y1 * y1) * 0.5;
    writing w;
    begin_writing(&w);
    cr_assert(tg_explain(n.loss, n.w[0], NULL, w.file, &e, NULL));
    fclose(w.file);
    cr_expect(e.paths == 2 && e.listed == 2);
    NEAR(e.sum, by2 + by3);
    NEAR(e.largest, fabs(by2) > fabs(by3) ? by2 : by3);
    NEAR(e.listed_sum, e.sum);
    cr_assert(tg_backward(n.loss));
    cr_expect(e.sum == tg_grad_item(n.w[0]), "to the bit: %.17g %.17g", e.sum,
              tg_grad_item(n.w[0]));
    HOLDS(w.text, "d L / d w1 = ");
    HOLDS(w.text, "the sum of 2 paths");
    HOLDS(w.text, "L = square(%");
    HOLDS(w.text, "test_debug.c:");
    HOLDS(w.text, "d/dy4 = 1 ");
    HOLDS(w.text, "2. ");
    (void)w1;
    free(w.text);
    tg_tape_free(t);
}

/* All contributions of all paths of 3 stacked layers, by hand: mv(W, tanh(...)). */
Test(debug, contributions_through_tensors_add_up_to_the_gradient)
{
    for (int type = TG_F64; type <= TG_F32; type++) {
        tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = (tg_type)type });
        Value W = tg_name(param(t, nine, 3, 3), "W"), h = param(t, nine, 3);
        for (int i = 0; i < 3; i++) h = tanh(mv(W, slice(h, .axis = 0, .step = -1)));
        Value L = add(sum(square(h)), at(W, 0, 1));
        double gradient[9];
        tg_explanation e;
        writing w;
        begin_writing(&w);
        cr_assert(tg_explain(L, W, NULL, w.file, &e, NULL));
        fclose(w.file);
        cr_assert(tg_backward(L) && tg_grad_read(W, gradient, 9));
        double norm = 0;
        for (int i = 0; i < 9; i++) norm += gradient[i] * gradient[i];
        const double close = type == TG_F64 ? 1e-12 : 1e-5;
        cr_expect(e.paths == 4 && e.listed == 4);
        cr_expect(fabs(e.sum - sqrt(norm)) < close && fabs(e.listed_sum - e.sum) < close);
        HOLDS(w.text, "|d %");
        HOLDS(w.text, "the norm of the sum of 4 paths");
        HOLDS(w.text, "to W: x ");
        free(w.text);
        cr_assert(tg_explain(L, at(W, 2, 1), NULL, NULL, &e, NULL));
        cr_expect(e.paths == 3, "the path to W[0, 1] is not one to W[2, 1]: %g", e.paths);
        cr_expect(fabs(e.sum - gradient[7]) < close && fabs(e.listed_sum - e.sum) < close);
        tg_tape_free(t);
    }
}

Test(debug, the_largest_of_astronomically_many_paths_come_first)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_name(scalar(t, 1), "x"), s = x;
    for (int i = 0; i < 200; i++) s = add(mul(s, 0.5), mul(s, i == 100 ? 0.25 : 0.125));
    tg_explanation e;
    writing w;
    begin_writing(&w);
    cr_assert(
        tg_explain(s, x, &(tg_explain_options){ .paths = 300, .steps = 4 }, w.file, &e, NULL));
    fclose(w.file);
    cr_expect(e.paths == ldexp(1, 200) && e.listed == 300);
    NEAR(e.largest, ldexp(1, -200));
    NEAR(e.sum, pow(0.625, 199) * 0.75);
    HOLDS(w.text, "\n2. "); /* the detour at 100 costs half, the others a quarter */
    HOLDS(w.text, "... 396 more");
    HOLDS(w.text, "more, together");
    const double second = 0.5 * e.largest, others = 199 * 0.25 * e.largest, both = 99 * 0;
    cr_expect(e.listed_sum > e.largest + second + others + both);
    free(w.text);
    cr_assert(
        tg_explain(s, x, &(tg_explain_options){ .paths = 300, .work = 1000 }, NULL, &e, NULL));
    cr_expect(e.out_of_work && e.listed < 10 && e.listed > 1);
    tg_tape_free(t);
}

/* Random graphs of numbers, their paths listed by brute force. */
enum { NODES = 14, ROUTES = 1 << NODES };

typedef struct graph {
    int operand[NODES][2];
    double slope[NODES][2];
    int operands[NODES];
} graph;

static int all_routes(const graph *g, int node, double product, double *out)
{
    if (node == 0) return *out = product, 1;
    int n = 0;
    for (int j = 0; j < g->operands[node]; j++)
        n += all_routes(g, g->operand[node][j], product * g->slope[node][j], out + n);
    return n;
}

static int by_size(const void *a, const void *b)
{
    const double x = fabs(*(const double *)a), y = fabs(*(const double *)b);
    return (x < y) - (x > y);
}

static uint32_t dice = 5;

static uint32_t toss(uint32_t below)
{
    dice = dice * 1664525u + 1013904223u;
    return (dice >> 8) % below;
}

static tg_value random_graph(tg_tape *t, graph *g, tg_value *x)
{
    Value v[NODES] = { scalar(t, 0.7) };
    for (int i = 1; i < NODES; i++) {
        const int a = (int)toss((uint32_t)i), b = (int)toss((uint32_t)i), kind = (int)toss(3);
        const double p = tg_item(v[a]), q = tg_item(v[b]);
        g->operand[i][0] = a, g->operand[i][1] = b;
        g->operands[i] = kind < 2 ? 2 : 1;
        g->slope[i][0] = kind == 0 ? q : kind == 1 ? 1 : cos(p);
        g->slope[i][1] = kind == 0 ? p : kind == 1 ? -1 : 0;
        v[i] = kind == 0 ? mul(v[a], v[b]) : kind == 1 ? sub(v[a], v[b]) : sin(v[a]);
    }
    *x = v[0];
    return v[NODES - 1];
}

Test(debug, the_paths_listed_are_the_largest_of_all)
{
    static double product[ROUTES];
    for (int round = 0; round < 300; round++) {
        tg_tape *const t = tg_tape_new(NULL);
        graph g;
        tg_value x;
        const tg_value y = random_graph(t, &g, &x);
        const int n = all_routes(&g, NODES - 1, 1, product);
        double sum = 0, most = 0, size = 0;
        size_t nonzero = 0;
        qsort(product, (size_t)n, sizeof *product, by_size);
        for (int i = 0; i < n; i++) {
            sum += product[i];
            size += fabs(product[i]);
            nonzero += product[i] != 0;
            if (i < 5) most += product[i];
        }
        tg_explanation e;
        cr_assert(tg_explain(y, x, &(tg_explain_options){ .paths = 5 }, NULL, &e, NULL));
        cr_expect(e.paths == n && e.listed == (nonzero < 5 ? nonzero : 5), "%d: %g of %d", round,
                  e.paths, n);
        cr_expect(fabs(e.sum - sum) <= 1e-13 * size, "%d: %g, %g", round, e.sum, sum);
        cr_expect(nonzero == 0 || fabs(fabs(e.largest) - fabs(product[0])) <= 1e-14 * size);
        const bool tie = n > 5 && fabs(product[4]) - fabs(product[5]) < 1e-12 * size;
        cr_expect(tie || fabs(e.listed_sum - most) <= 1e-13 * size, "%d: %g, %g", round,
                  e.listed_sum, most);
        tg_tape_free(t);
    }
}

Test(debug, operations_with_very_many_operands_take_no_longer)
{
    enum { MANY = 20000 };
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_name(param(t, nine, 3), "x"), *const v = malloc(MANY * sizeof *v);
    for (int i = 0; i < MANY; i++) v[i] = mul(at(x, i % 3), 1 + 1e-5 * i);
    Value y = sum(relu(stack(v, MANY)));
    tg_explanation e;
    tg_kinks k;
    tg_blame_report r;
    cr_assert(tg_explain(y, x, NULL, NULL, &e, NULL) && e.paths == MANY);
    cr_assert(tg_count_kinks(y, &k, NULL) && k.kinks == 0 && k.checked == MANY + 3);
    cr_assert(tg_blame(y, &r, NULL) && r.wrong == 0 && r.checked > MANY);
    free(v);
    tg_tape_free(t);
}

Test(debug, paths_with_a_zero_are_counted_and_not_listed)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_name(scalar(t, -1), "x"), y = tg_name(add(relu(x), mul(x, x)), "y");
    tg_explanation e;
    writing w;
    begin_writing(&w);
    cr_assert(tg_explain(y, x, NULL, w.file, &e, NULL));
    fclose(w.file);
    cr_expect(e.paths == 3 && e.listed == 2 && e.sum == -2 && e.largest == -1);
    HOLDS(w.text, "1 path has a derivative of 0 in it");
    free(w.text);
    cr_assert(tg_explain(y, tg_scalar(t, 3), NULL, NULL, &e, NULL));
    cr_expect(e.paths == 0 && e.sum == 0 && e.listed == 0);
    cr_assert(tg_explain(mul(y, detach(x)), x, NULL, NULL, &e, NULL));
    cr_expect(e.paths == 3, "none through what is detached");
    tg_tape_free(t);
}

/* ---- numbers that are none ---------------------------------------------------------------------- */

Test(debug, a_nan_is_followed_to_where_it_was_born)
{
    tg_tape *const t = tg_tape_new(NULL);
    tg_nonfinite found;
    Value W = tg_name(param(t, nine, 3, 3), "W");
    Value bad = tg_name(log(W), "bad"), loss = sum(square(mul(transpose(bad), 2)));
    cr_assert(tg_find_nonfinite(loss, &found, NULL));
    cr_expect(found.found && !found.backward && isnan(found.number));
    cr_expect_str_eq(found.place.op, "log");
    cr_expect_str_eq(found.place.name, "bad");
    cr_expect(found.place.element == 1 && found.place.value.id == bad.id && found.place.site.line);
    HOLDS(found.message, "log (bad) of ");
    HOLDS(found.message, "made nan at [0, 1]: W = -0.2 there");
    /* of infinities */
    Value e = tg_name(exp(mul(W, 1000)), "e"), f = mul(e, broadcast_to(W, 3, 3));
    cr_assert(tg_find_nonfinite(sum(sub(f, add(f, 1))), &found, NULL));
    cr_expect_str_eq(found.place.op, "sub");
    cr_expect_str_eq(found.infinity.name, "e");
    HOLDS(found.message, "; the infinity comes from exp (e) of ");
    cr_assert(tg_find_nonfinite(sum(f), &found, NULL));
    cr_expect(isinf(found.number));
    HOLDS(found.message, "exp (e) of ");
    HOLDS(found.message, " made inf at [2, 2]: ");
    /* in a leaf, through a view of it, on a tape with an error */
    const double hole[] = { 1, NAN, 3 };
    Value holed = tg_name(input(t, hole, 3), "data");
    loss = sum(mul(slice(holed, .axis = 0, .step = -1), select(W, .index = 0)));
    add(W, reshape(W, 9));
    cr_assert(tg_error_of(t));
    cr_assert(tg_find_nonfinite(loss, &found, NULL));
    HOLDS(found.message, "leaf (data) of ");
    HOLDS(found.message, "holds nan at [1]");
    tg_tape_free(t);
}

Test(debug, an_infinity_in_a_gradient_is_found_where_the_values_are_finite)
{
    tg_tape *const t = tg_tape_new(NULL);
    tg_nonfinite found;
    Value x = tg_name(param(t, ((double[]){ 4, 0, 1 }), 3), "x");
    Value loss = sum(mul(sqrt(x), 2));
    cr_assert(tg_find_nonfinite(loss, &found, NULL));
    cr_expect(found.found && found.backward && isinf(found.number));
    cr_expect(found.place.operand == 0 && found.place.element == 1);
    HOLDS(found.message, "the gradient of sqrt (%");
    HOLDS(found.message, "by x[1] is inf: x = 0 there; the gradient that came in is [2, 2, 2]");
    cr_assert(tg_find_nonfinite(sum(x), &found, NULL));
    cr_expect(!found.found && found.message[0] == 0 && !found.place.op);
    cr_assert(tg_find_nonfinite(tg_number(t, 3), &found, NULL) && !found.found);
    tg_tape_free(t);
}

/* ---- kinks --------------------------------------------------------------------------------------- */

static tg_kinks kinks_of(tg_value loss)
{
    tg_kinks k;
    tg_status status;
    cr_assert(tg_count_kinks(loss, &k, &status), "%s", status.message);
    return k;
}

Test(debug, kinks_and_jumps_are_counted)
{
    for (int type = TG_F64; type <= TG_F32; type++) {
        tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = (tg_type)type });
        Value x = tg_name(param(t, ((double[]){ 0, 1, -1, 0 }), 4), "x");
        tg_kinks k = kinks_of(sum(relu(x)));
        cr_expect(k.kinks == 2 && k.jumps == 0 && k.checked == 2, "%zu %zu", k.kinks, k.checked);
        HOLDS(k.message, "relu (%1) of ");
        HOLDS(k.message, " has a kink at x[0] = 0: x = [0, 1, -1, 0]");
        cr_expect(k.place.element == 0 && k.place.operand == 0);
        cr_expect(kinks_of(sum(square(x))).kinks == 0);
        cr_expect(kinks_of(sum(tanh(mul(x, 3)))).kinks == 0);
        k = kinks_of(sum(floor(x)));
        cr_expect(k.jumps == 4 && k.kinks == 0);
        HOLDS(k.message, " jumps at its element [0]: x = [0, 1, -1, 0]");
        cr_expect(kinks_of(amax(x)).kinks == 0);
        Value tie = param(t, ((double[]){ 3, 1, 3 }), 3);
        cr_expect(kinks_of(amax(tie)).kinks == 2, "both of a tie");
        cr_expect(kinks_of(maximum(at(tie, 0), at(tie, 2))).kinks == 2);
        cr_expect(kinks_of(abs(sub(at(tie, 0), 3))).kinks == 1, "a scalar");
        cr_expect(kinks_of(sum(relu(input(t, ((double[]){ 0 }), 1)))).checked == 0,
                  "nothing varies");
        tg_tape_free(t);
    }
}

Test(debug, the_kink_on_a_line_is_found_whatever_others_there_are)
{
    for (int type = TG_F64; type <= TG_F32; type++) {
        tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = (tg_type)type });
        const double step = type == TG_F64 ? 1e-6 : 1e-2;
        Value x = tg_name(param(t, ((double[]){ 0, 1, 2 }), 3), "x"), other = param(t, ((double[]){ 0 }), 1);
        Value y = relu(sub(mul(x, x), 1)), loss = add(sum(y), sum(add(abs(other), relu(x))));
        tg_kinks k;
        cr_assert(tg_find_kink(loss, x, ((double[]){ 0, 1, 0 }), step, &k, NULL));
        cr_expect(k.kinks == 1 && k.place.element == 1 && strcmp(k.place.op, "relu") == 0);
        HOLDS(k.message, " has a kink at %");
        HOLDS(k.message, "[1] = 0: ");
        cr_assert(tg_find_kink(loss, x, ((double[]){ 1, 0, 0 }), step, &k, NULL));
        HOLDS(k.message, " has a kink at x[0] = 0: x = [0, 1, 2]");
        cr_assert(tg_find_kink(loss, x, ((double[]){ 0, 0, 1 }), step, &k, NULL));
        cr_expect(!k.place.op && k.kinks == 0 && k.message[0] == 0);
        cr_assert(tg_find_kink(sum(square(other)), x, ((double[]){ 1, 1, 1 }), step, &k, NULL));
        cr_expect(!k.place.op && k.checked == 0);
        tg_tape_free(t);
    }
}

/* ---- parameters that learn nothing ---------------------------------------------------------------- */

Test(debug, parameters_without_a_gradient_are_named_with_the_reason)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value used = tg_name(param(t, nine, 3), "used"), off = tg_name(param(t, nine, 3), "off"),
          idle = tg_name(param(t, nine, 2), "idle"), frozen = tg_name(param(t, nine, 3), "frozen"),
          dead = tg_name(param(t, nine, 3), "dead"), hidden = tg_name(param(t, nine, 3), "hidden");
    tg_want_gradient(frozen, false);
    tg_no_grad_begin(t);
    Value inner = exp(hidden);
    tg_no_grad_end(t);
    Value cut = tg_name(square(detach(off)), "cut");
    Value loss = add(add(sum(mul(used, cut)), sum(relu(sub(dead, 5)))), sum(mul(inner, frozen)));
    tg_unused list[6];
    size_t count;
    cr_assert(tg_unused_parameters(loss, list, 6, &count, NULL));
    cr_assert(count == 5, "%zu", count);
    cr_expect_str_eq(list[0].place.name, "off");
    cr_expect(list[0].reason == TG_CUT_OFF);
    HOLDS(list[0].message, "the parameter leaf (off) of ");
    HOLDS(list[0].message, "gets no gradient: none flows through square (cut) of ");
    cr_expect(list[1].reason == TG_NOT_USED && list[1].place.value.id == idle.id);
    HOLDS(list[1].message, "is not used: the loss does not depend on it");
    cr_expect(list[2].reason == TG_CUT_OFF && !list[2].cut.op);
    HOLDS(list[2].message, "leaf (frozen) of ");
    HOLDS(list[2].message, "is frozen: no gradient was wanted");
    cr_expect(list[3].reason == TG_ALL_ZEROS);
    HOLDS(list[3].message, "has a gradient of zeros only");
    cr_expect(list[4].reason == TG_CUT_OFF);
    HOLDS(list[4].message, "none flows through exp (%");
    cr_assert(tg_unused_parameters(loss, list, 1, &count, NULL) && count == 5);
    cr_assert(tg_unused_parameters(loss, NULL, 0, &count, NULL) && count == 5);
    cr_assert(tg_unused_parameters(detach(loss), list, 6, &count, NULL) && count == 6);
    HOLDS(list[0].message, "the loss itself is cut off");
    tg_tape_free(t);
}

/* ---- blame ---------------------------------------------------------------------------------------- */

static tg_blame_report blame(tg_value loss)
{
    tg_blame_report r;
    tg_status status;
    cr_assert(tg_blame(loss, &r, &status), "%s", status.message);
    return r;
}

static double at_element(const tg_array *x, int64_t i)
{
    return x->type == TG_F64 ? ((double *)x->data)[i] : (double)((float *)x->data)[i];
}

static void add_to(const tg_array *x, int64_t i, double d)
{
    if (!x->data) return;
    if (x->type == TG_F64) ((double *)x->data)[i] += d;
    else ((float *)x->data)[i] += (float)d;
}

static bool cube_forward(const tg_custom_call *c)
{
    for (int64_t i = 0; i < c->y.size; i++) {
        const double x = at_element(&c->x[0], i);
        if (c->y.type == TG_F64) ((double *)c->y.data)[i] = x * x * x;
        else ((float *)c->y.data)[i] = (float)(x * x * x);
    }
    return true;
}

/* user: what is wrong. */
static bool cube_backward(const tg_custom_call *c)
{
    const int mistake = c->user ? *(const int *)c->user : 0;
    if (mistake == 4) return tg_custom_fail(c, "no gradient today");
    for (int64_t i = 0; i < c->y.size; i++) {
        const double x = at_element(&c->x[0], i);
        double d = 3 * x * x * at_element(&c->g, i);
        if (mistake == 1 && i == 2) d = 0;
        if (mistake == 2) d *= 1.01;
        if (mistake == 3 && c->dx[0].data) add_to(&c->dx[0], i, -at_element(&c->dx[0], i));
        add_to(&c->dx[0], i, d);
    }
    return true;
}

static tg_custom cube = {
    .name = "cube", .operands = 1, .forward = cube_forward, .backward = cube_backward
};

Test(debug, a_wrong_operation_is_named_with_its_place_and_its_values)
{
    for (int type = TG_F64; type <= TG_F32; type++) {
        tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = (tg_type)type });
        Value W = tg_name(param(t, nine, 3, 3), "W"), v = param(t, nine, 3);
        int mistake = 0;
        cube.user = &mistake;
        Value h = tg_name(tg_custom_apply(&cube, transpose(W)), "h");
        Value loss = sum(tanh(mul(mv(h, tanh(mv(W, v))), 3)));
        tg_blame_report r = blame(loss);
        cr_expect(r.wrong == 0 && r.checked > 6 && !r.place.op, "%s", r.message);
        HOLDS(r.message, "no operation is to blame: ");
        for (mistake = 1; mistake <= 2; mistake++) {
            r = blame(loss);
            cr_expect(r.wrong == 1, "type %d, %d: %s", type, mistake, r.message);
            cr_expect_str_eq(r.place.op, "cube");
            cr_expect(r.place.value.id == h.id && r.place.operand == 0 && r.place.site.line);
            HOLDS(r.message, "cube (h) of ");
            HOLDS(r.message, " has a wrong gradient by W as (3, 3)[");
            if (mistake == 1) cr_expect(r.place.element == 2 && r.analytic == 0 && r.numeric != 0);
            HOLDS(r.message, ": W as (3, 3) = [0.1, 0.4, 0.7, -0.2, ...]");
        }
        mistake = 3;
        r = blame(sum(tg_custom_apply(&cube, v)));
        cr_expect(r.wrong == 1);
        HOLDS(r.message, "its backward rule overwrites what is there");
        mistake = 4;
        cr_expect(blame(loss).skipped >= 1, "its backward rule fails");
        cube.user = NULL;
        tg_custom none = cube;
        none.backward = NULL;
        r = blame(sum(tg_custom_apply(&none, v)));
        cr_expect(r.wrong == 1, "%s", r.message);
        none.impure = true;
        r = blame(sum(tg_custom_apply(&none, v)));
        cr_expect(r.wrong == 0 && r.skipped == 1);
        HOLDS(r.message, "1 could not be compared");
        tg_tape_free(t);
    }
}

TG_RULE(swish, "x * sigmoid(x)", "sigmoid(x) * (1 + x * sigmoid(-x))")
TG_RULE(swash, "x * sigmoid(x)", "sigmoid(x) * (1 - x * sigmoid(-x))")
TG_RULE(sine, "a * sin(b)", "sin(b)", "a * cos(b)")
TG_RULE(root, "sqrt(x)", "0.5 / y")
TG_RULE(wrong_sine, "a * sin(b)", "sin(b)", "-a * cos(b)")

Test(debug, rules_are_checked_with_the_operations_that_they_stand_for)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value W = tg_name(param(t, nine, 3, 3), "W"), v = tg_name(param(t, nine, 3), "v");
    Value s = tg_name(scalar(t, 0.3), "s"), u = scalar(t, 0.4);
    Value right[] = { sum(swish(W)), sum(sine(W, v)), sum(sine(v, sin(v))), swish(s), sine(s, u) };
    for (int i = 0; i < 5; i++) {
        const tg_blame_report r = blame(right[i]);
        cr_expect(r.wrong == 0 && r.checked >= (i < 3 ? 2 : 1), "%d: %s", i, r.message);
    }
    const tg_blame_report unsure = blame(root(s));
    cr_expect(unsure.wrong == 0 && unsure.skipped == 1,
              "its value cannot be told from its operand's history");
    Value wrong[] = { sum(swash(W)), sum(wrong_sine(W, v)), sum(wrong_sine(v, sin(v))), swash(s),
                      wrong_sine(s, u) };
    for (int i = 0; i < 5; i++) {
        const tg_blame_report r = blame(wrong[i]);
        cr_expect(r.wrong == 1, "%d: %s", i, r.message);
        cr_expect_str_eq(r.place.op, "carry");
    }
    tg_tape_free(t);
}

Test(debug, a_value_that_is_out_of_date_is_told_from_a_wrong_gradient)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value v = tg_name(param(t, nine, 3), "v"), loss = sum(exp(v));
    tg_set(v, ((double[]){ 1, 2, 3 }), 3);
    tg_blame_report r = blame(loss);
    cr_expect(r.wrong == 1);
    HOLDS(r.message, "exp (%");
    HOLDS(r.message,
          "gives another value now than it gave when it was recorded: a leaf was written");
    cr_assert(tg_forward(loss));
    cr_expect(blame(loss).wrong == 0);
    tg_tape_free(t);
}

static tg_value model(tg_tape *t, const tg_value *x, void *user)
{
    (void)t;
    return user ? tg_sum(tg_custom_apply(user, tg_tanh(x[0]))) : tg_add(x[0], tg_reshape(x[0], 7));
}

Test(debug, a_model_that_fails_its_check_is_searched)
{
    const tg_check_input input = { "points", nine, 2, { 3, 3 } };
    int mistake = 2;
    tg_blame_report r;
    tg_status status;
    cube.user = &mistake;
    cr_expect(!tg_gradcheck(model, &cube, &input, 1, NULL, NULL));
    cr_assert(tg_blame_model(model, &cube, &input, 1, &r, &status));
    cr_expect(r.wrong == 1 && !r.place.value.tape);
    cr_expect_str_eq(r.place.op, "cube");
    cube.user = NULL;
    cr_expect(!tg_blame_model(model, NULL, &input, 1, &r, &status));
    HOLDS(status.message, "blame_model: ");
    HOLDS(status.message, "reshape");
}

static tg_value loss_of(tg_value y)
{
    return apply1("sum", apply2("mul", y, random_cotangent(y, SEED)));
}

static size_t blamed, tried, compared, skipped;

/* A loss of a trial, on a new tape; false: it has none. */
static bool make_loss(const trial *x, tg_type type, data *d, tg_tape **t, tg_value *leaf,
                      tg_value *loss)
{
    *t = tg_tape_new(&(tg_tape_options){ .type = type });
    *d = draw(x, SEED);
    make_leaves(x, d, *t, leaf);
    const tg_value y = record_trial(x, leaf);
    if (!tg_error_of(*t) && tg_type_of(y) != TG_I64) *loss = loss_of(y);
    else *loss = (tg_value){ 0 };
    return loss->tape && !tg_error_of(*t);
}

static void is_not_blamed(const trial *x, tg_type type)
{
    tg_tape *t;
    data d;
    tg_value leaf[TG__SAMPLES], loss;
    if (make_loss(x, type, &d, &t, leaf, &loss)) {
        const tg_blame_report r = blame(loss);
        tried++;
        compared += r.checked;
        skipped += r.skipped;
        cr_expect(r.wrong == 0, "%s: %s", trial_text(x), r.message);
    }
    drop(&d);
    tg_tape_free(t);
}

static void is_not_blamed_f64(const trial *x)
{
    is_not_blamed(x, TG_F64);
}

static void is_not_blamed_f32(const trial *x)
{
    is_not_blamed(x, TG_F32);
}

Test(debug, no_operation_of_the_library_is_blamed)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) {
        each_trial(op, is_not_blamed_f64);
        each_plain_trial(op, is_not_blamed_f32);
    }
    fprintf(stderr, "# %zu trials, %zu derivatives compared, %zu not\n", tried, compared, skipped);
    cr_expect(tried > 1000 && skipped < compared / 20);
}

/* ---- mutants ---- */

static struct {
    const tg__op *original;
    int mistake;
} mutant;

/* The rule with a changed g. */
static tg_code mutated_backward(const tg__call *c)
{
    const int64_t n = c->y.s->n;
    double *const g = malloc(((size_t)n + 1) * sizeof *g);
    tg__call call = *c;
    memcpy(g, c->g, (size_t)n * sizeof *g);
    for (int64_t i = 0; i < n; i++) {
        if (mutant.mistake == 0) g[i] *= 1.01;
        if (mutant.mistake == 1) g[i] = -g[i];
        if (mutant.mistake == 2 && i == n - 1) g[i] = 0;
        if (mutant.mistake == 3) g[i] = ((const double *)c->g)[n - 1 - i];
        if (mutant.mistake == 4) g[i] *= g[i];
    }
    call.g = g;
    call.op = mutant.original;
    const tg_code code = call.op->backward(&call);
    free(g);
    return code;
}

/* The gradient of all leaves, as one number that a mistake changes. */
static double fingerprint(const trial *x, tg_value loss, const tg_value *leaf)
{
    double sum = 0, out[4096];
    if (!tg_backward(loss)) return NAN;
    for (int i = 0; i < x->x.n; i++) {
        const int64_t n = tg_size(leaf[i]);
        if (n > 4096 || !tg_grad_read(leaf[i], out, (size_t)n)) continue;
        for (int64_t k = 0; k < n; k++) sum += out[k] * (1 + 0.1 * (double)k);
    }
    return sum;
}

static void hunt(const trial *x)
{
    const tg__op *const *const table = tg__op_table;
    for (mutant.mistake = 0; mutant.mistake < 5; mutant.mistake++) {
        tg_tape *t;
        data d;
        tg_value leaf[TG__SAMPLES], loss;
        if (make_loss(x, TG_F64, &d, &t, leaf, &loss)) {
            const double wrong = fingerprint(x, loss, leaf);
            tg__op_table = tg__ops;
            const double right = fingerprint(x, loss, leaf);
            tg__op_table = table;
            const tg_blame_report r = blame(loss);
            if (fabs(wrong - right) > 1e-3 * fabs(right)) {
                tried++;
                blamed += r.wrong && !strcmp(r.place.op, mutant.original->name);
                cr_expect(r.wrong, "%s, mistake %d: %s", trial_text(x), mutant.mistake, r.message);
            }
        }
        drop(&d);
        tg_tape_free(t);
    }
}

Test(debug, every_mutant_of_a_rule_is_blamed)
{
    tried = blamed = 0;
    for (int op = FIRST_OP; op < tg__op_count; op++) {
        if (!tg__ops[op]->backward || !strpbrk(tg__ops[op]->letters, "lnc")) continue;
        const tg__op **table = malloc((size_t)tg__op_count * sizeof *table);
        tg__op changed = *tg__ops[op];
        memcpy(table, tg__ops, (size_t)tg__op_count * sizeof *table);
        changed.backward = mutated_backward;
        table[op] = &changed;
        mutant.original = tg__ops[op];
        tg__op_table = table;
        each_plain_trial(op, hunt);
        tg__op_table = tg__ops;
        free(table);
    }
    fprintf(stderr, "# %zu of %zu mutants blamed\n", blamed, tried);
    cr_expect(tried > 500 && blamed == tried);
}

/* ---- the tape as text and as a picture ------------------------------------------------------------ */

static char *printed(tg_tape *t, bool dot, const tg_print_options *options)
{
    writing w;
    begin_writing(&w);
    tg_status status;
    cr_expect((dot ? tg_print_dot : tg_print_tape)(t, options, w.file, &status), "%s",
              status.message);
    fclose(w.file);
    return w.text;
}

static int lines_of(const char *text)
{
    int n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

Test(debug, the_tape_is_printed_with_names_shapes_values_gradients_and_lines)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value W = tg_name(param(t, nine, 3, 3), "W"), x = tg_name(input(t, nine, 3), "x");
    const long labels[] = { 2, 0 };
    Value rows = index_select(W, tg_index(t, labels, 2));
    Value h = tg_name(tanh(mv(transpose(W), x)), "h");
    Value loss = tg_name(add(sum(rows), mul(sum(h), at(W, 1, 2))), "loss");
    cr_assert(tg_backward(loss));
    char *text = printed(t, false, NULL);
    HOLDS(text, "%0 W = parameter");
    HOLDS(text, "(3, 3)  [0.1, -0.2, 0.3, 0.4, ...]  gradient [");
    HOLDS(text, "%1 x = input");
    HOLDS(text, "= index ");
    HOLDS(text, "= index_select(W, %2)");
    HOLDS(text, "= mv(W as (3, 3), x)");
    HOLDS(text, "= mul(%");
    HOLDS(text, ", W[1, 2])");
    HOLDS(text, "loss = add(");
    HOLDS(text, "test_debug.c:");
    free(text);
    text = printed(t, false, &(tg_print_options){ .from = x, .to = h, .elements = -1 });
    cr_expect(lines_of(text) == 3, "%s", text);
    cr_expect(!strstr(text, "0.1"));
    free(text);
    text = printed(t, false, &(tg_print_options){ .to = h, .depth = 1 });
    cr_expect(lines_of(text) == 2, "%s", text);
    free(text);
    text = printed(t, false, &(tg_print_options){ .name = "los" });
    cr_expect(lines_of(text) == 1, "%s", text);
    free(text);
    text = printed(t, false, &(tg_print_options){ .limit = 2, .elements = 1 });
    HOLDS(text, "... ");
    HOLDS(text, " earlier ones\n");
    cr_expect(lines_of(text) == 3, "%s", text);
    free(text);
    text = printed(t, true, &(tg_print_options){ .limit = 3 });
    HOLDS(text, "digraph tape {");
    HOLDS(text, "earlier ones are left out");
    free(text);
    tg_tape_free(t);
}

/* Runs dot on the text; 127: it is not there. */
static int draw_graph(const char *text)
{
    FILE *const pipe = popen("dot -Tsvg 2>&1 >/dev/null | { ! grep . 1>&2; }", "w");
    if (!pipe) return 127;
    fputs(text, pipe);
    return pclose(pipe);
}

Test(debug, any_name_gives_a_graph_that_dot_reads)
{
    const char *const names[] = { "plain",
                                  "a \"quoted\" name",
                                  "back\\slash\\",
                                  "line\nend",
                                  "<b>&amp; {x|y} \\n \\l \\N",
                                  "\xc3\xa4\xe2\x88\x87\xf0\x9f\x8e\xb2",
                                  "\xff\xfe not UTF-8 \xc3",
                                  "\x01\x1b[31m",
                                  "]; n1 -> n2; [",
                                  "\xed\xa0\x80 \xef\xbf\xbf \xf4\x90\x80\x80 \xc0\xaf" };
    tg_tape *const t = tg_tape_new(NULL);
    Value s = scalar(t, 1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        s = tg_name(tanh(add(s, scalar(t, 0.1))), names[i]);
        tg_name(reshape(s, 1), names[i]);
    }
    s = tg_name(log(sub(sum(reshape(s, 1)), 7)), "not finite");
    char *const text = printed(t, true, NULL);
    HOLDS(text, "a \\\"quoted\\\" name");
    HOLDS(text, "line\\\\x0aend");
    HOLDS(text, "\\\\xff\\\\xfe not UTF-8 \\\\xc3");
    HOLDS(text, "&amp;amp;");
    HOLDS(text, "color=\"#c00000\"");
    const int plain = draw_graph("digraph { a }");
    if (plain == 0) cr_expect(draw_graph(text) == 0);
    else fprintf(stderr, "# dot is not there: the graph was not drawn\n");
    free(text);
    tg_tape_free(t);
}

/* ---- what cannot be done -------------------------------------------------------------------------- */

static void refused(bool ok, const tg_status *status, tg_code code, const char *part, int line)
{
    cr_expect(!ok && status->code == code, "line %d: code %d", line, (int)status->code);
    holds(status->message, part, line);
}
#define REFUSED(call, code, part) refused(call, &status, code, part, __LINE__)

Test(debug, lines_that_are_none_are_refused)
{
    tg_tape *const t = tg_tape_new(NULL);
    tg_status status;
    const long label = 0;
    Value v = param(t, nine, 3), s = sum(v);
    const tg_mark mark = tg_tape_mark(t);
    Value gone = sum(exp(v));
    tg_release(mark);
    const double u[] = { 1, 1, 1 };
    REFUSED(tg_find_kink(gone, v, u, 1e-6, NULL, &status), TG_ERROR_HANDLE, "find_kink: ");
    REFUSED(tg_find_kink(s, gone, u, 1e-6, NULL, &status), TG_ERROR_HANDLE, "w is stale");
    REFUSED(tg_find_kink(s, s, u, 1e-6, NULL, &status), TG_ERROR_ARGUMENT, "w is no leaf");
    REFUSED(tg_find_kink(s, tg_index(t, &label, 1), u, 1e-6, NULL, &status), TG_ERROR_TYPE,
            "w is an index tensor");
    REFUSED(tg_find_kink(s, v, NULL, 1e-6, NULL, &status), TG_ERROR_ARGUMENT, "u is NULL");
    REFUSED(tg_find_kink(s, v, u, 0, NULL, &status), TG_ERROR_ARGUMENT, "the step not above 0");
    REFUSED(tg_find_kink(s, tg_input_view(t, nine, 3), u, 1e-6, NULL, &status), TG_ERROR_ARGUMENT,
            "w lies in memory of the caller");
    tg_tape_free(t);
}

Test(debug, what_cannot_be_looked_at_is_refused_and_the_tape_is_left_alone)
{
    tg_tape *const t = tg_tape_new(NULL), *const other = tg_tape_new(NULL);
    tg_status status;
    Value v = param(t, nine, 3), s = sum(v), o = tg_scalar(other, 1);
    const tg_mark mark = tg_tape_mark(t);
    Value gone = sum(exp(v));
    tg_release(mark);
    const Value null = { 0 };
    FILE *const full = fopen("/dev/full", "w");
    REFUSED(tg_explain(null, v, NULL, NULL, NULL, &status), TG_ERROR_HANDLE,
            "explain: the value is null");
    REFUSED(tg_explain(gone, v, NULL, NULL, NULL, &status), TG_ERROR_HANDLE,
            "explain: the value is stale: it was released");
    REFUSED(tg_explain(s, null, NULL, NULL, NULL, &status), TG_ERROR_HANDLE, "w is a null value");
    REFUSED(tg_explain(s, o, NULL, NULL, NULL, &status), TG_ERROR_HANDLE,
            "w is a value of another tape");
    REFUSED(tg_explain(exp(v), v, NULL, NULL, NULL, &status), TG_ERROR_SHAPE,
            "the value explained has shape (3): give one element of it, with tg_at");
    REFUSED(tg_explain(s, s, NULL, NULL, NULL, &status), TG_ERROR_ARGUMENT,
            "w and the value explained come from the same operation");
    const long label = 0;
    REFUSED(tg_explain(s, tg_index(t, &label, 1), NULL, NULL, NULL, &status), TG_ERROR_TYPE,
            "w holds integers");
    REFUSED(tg_find_nonfinite(null, NULL, &status), TG_ERROR_HANDLE, "find_nonfinite: ");
    REFUSED(tg_find_nonfinite(tg_find_nonfinite(s, NULL, NULL) ? gone : s, NULL, &status),
            TG_ERROR_HANDLE, "stale");
    REFUSED(tg_count_kinks(gone, NULL, &status), TG_ERROR_HANDLE, "count_kinks: ");
    REFUSED(tg_unused_parameters(gone, NULL, 0, NULL, &status), TG_ERROR_HANDLE,
            "unused_parameters: ");
    REFUSED(tg_blame(gone, NULL, &status), TG_ERROR_HANDLE, "blame: ");
    REFUSED(tg_print_tape(NULL, NULL, stderr, &status), TG_ERROR_HANDLE,
            "print_tape: the tape is NULL");
    REFUSED(tg_print_tape(t, NULL, NULL, &status), TG_ERROR_ARGUMENT, "the file is NULL");
    REFUSED(tg_print_dot(t, &(tg_print_options){ .to = o }, stderr, &status), TG_ERROR_HANDLE,
            "print_dot: to is a value of another tape");
    REFUSED(tg_print_dot(t, &(tg_print_options){ .from = gone }, stderr, &status), TG_ERROR_HANDLE,
            "from is stale");
    if (full) {
        setbuf(full, NULL);
        REFUSED(tg_print_tape(t, NULL, full, &status), TG_ERROR_FILE, "cannot be written");
        clearerr(full);
        REFUSED(tg_print_dot(t, NULL, full, &status), TG_ERROR_FILE, "cannot be written");
        clearerr(full);
        REFUSED(tg_explain(s, v, NULL, full, NULL, &status), TG_ERROR_FILE, "cannot be written");
        fclose(full);
    }
    cr_expect(!tg_error_of(t) && !tg_error_of(other));
    cr_expect(!tg_blame(null, NULL, NULL), "nobody wants to know");
    tg_custom op = cube;
    int mistake = 4;
    op.user = &mistake;
    Value y = sum(tg_custom_apply(&op, v));
    REFUSED(tg_find_nonfinite(y, NULL, &status), TG_ERROR_ARGUMENT, "cube: no gradient today");
    REFUSED(tg_explain(y, v, NULL, NULL, NULL, &status), TG_ERROR_ARGUMENT,
            "cube: no gradient today");
    tg_tape_free(t);
    tg_tape_free(other);
}

/* Everything there is, once. Whether all of it worked. */
static bool look_around(const network *n, FILE *file)
{
    tg_tape *const t = n->loss.tape;
    tg_unused list[2];
    const double one = 1;
    return tg_explain(n->loss, n->w[0], NULL, file, NULL, NULL) &&
           tg_find_nonfinite(n->loss, NULL, NULL) && tg_count_kinks(n->loss, NULL, NULL) &&
           tg_find_kink(n->loss, n->w[0], &one, 1e-6, NULL, NULL) &&
           tg_unused_parameters(n->loss, list, 2, NULL, NULL) && tg_blame(n->loss, NULL, NULL) &&
           tg_print_tape(t, NULL, file, NULL) &&
           tg_print_dot(t, &(tg_print_options){ .to = n->loss, .depth = 3 }, file, NULL);
}

Test(debug, looking_changes_nothing)
{
    tg_tape *const t = tg_tape_new(NULL);
    const network n = make_network(t);
    cr_assert(tg_backward(n.loss));
    const tg_tape_stats before = tg_stats(t);
    char *const first = printed(t, false, NULL);
    FILE *const null = fopen("/dev/null", "w");
    cr_assert(null && look_around(&n, null));
    const tg_tape_stats after = tg_stats(t);
    char *const second = printed(t, false, NULL);
    cr_expect(memcmp(&before, &after, sizeof before) == 0);
    cr_expect_str_eq(first, second);
    add(n.w[0], (tg_value){ 0 });
    cr_assert(tg_error_of(t));
    char *const failed = printed(t, false, NULL);
    cr_expect_str_eq(failed, second);
    cr_expect(look_around(&n, null), "a tape with an error can be looked at");
    cr_expect(tg_error_of(t)->code == TG_ERROR_HANDLE);
    fclose(null);
    free(first);
    free(second);
    free(failed);
    tg_tape_free(t);
}

/* Memory that ends after so many blocks; below 0: never. */
typedef struct supply {
    long left;
    size_t bytes;
    bool ended;
} supply;

static void *take_some(void *user, size_t bytes)
{
    supply *const s = user;
    if (s->left == 0) {
        s->ended = true;
        return NULL;
    }
    if (s->left > 0) s->left--;
    s->bytes += bytes;
    return malloc(bytes);
}

static void give_back(void *user, void *memory, size_t bytes)
{
    ((supply *)user)->bytes -= bytes;
    free(memory);
}

Test(debug, without_memory_it_says_so_and_leaves_nothing_behind)
{
    supply s = { .left = -1 };
    tg_tape *const t =
        tg_tape_new(&(tg_tape_options){ .allocator = &(tg_allocator){ take_some, give_back, &s } });
    const network n = make_network(t);
    Value w = mul(sum(swish(param(t, nine, 3, 3))), n.loss);
    network all = n;
    all.loss = w;
    FILE *const null = fopen("/dev/null", "w");
    cr_assert(null && look_around(&all, null));
    const size_t bytes = s.bytes;
    long failures = 0;
    for (bool ended = true; ended; failures++) {
        s.left = failures;
        s.ended = false;
        const bool ok = look_around(&all, null);
        s.left = -1;
        ended = s.ended;
        cr_expect(ok == !ended, "allocation %ld", failures);
        cr_expect(s.bytes == bytes, "allocation %ld: %zu bytes more", failures, s.bytes - bytes);
    }
    cr_expect(failures > 30, "%ld", failures);
    tg_status status;
    s.left = 0;
    REFUSED(tg_blame(w, NULL, &status), TG_ERROR_MEMORY, "blame: no memory");
    s.left = -1;
    fclose(null);
    tg_tape_free(t);
    cr_expect(s.bytes == 0);
}

Test(debug, a_chain_of_a_million_operations_takes_seconds)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value a = tg_name(scalar(t, 1.0001), "a"), s = a;
    for (int i = 0; i < 666666; i++) s = i % 2 ? sin(s) : add(mul(s, 0.5), 0.5);
    network n = { .loss = s };
    n.w[0] = a;
    FILE *const null = fopen("/dev/null", "w");
    cr_assert(null && look_around(&n, null));
    tg_explanation e;
    writing w;
    begin_writing(&w);
    cr_assert(tg_explain(s, a, NULL, w.file, &e, NULL));
    fclose(w.file);
    cr_expect(e.paths == 1 && e.listed == 1);
    HOLDS(w.text, "999999 steps");
    HOLDS(w.text, "... 999983 more");
    free(w.text);
    fclose(null);
    tg_tape_free(t);
}
