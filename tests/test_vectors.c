/* Short tensors of one instance: random graphs of them, run as a program, against the tape. */
#include <tapegrad.h>
#include <tapegrad/program.h>
#include <tapegrad/short.h>

#include <criterion/criterion.h>
#include <math.h>

#include "draw.h"
#include "program/plan.h"

enum { LEAVES = 4, NODES = 40, ROWS = 3, MOST = 300 };

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(vectors, .init = quiet);

/* Vectors of n elements, and scalars, some of them elements and sums of the vectors. */
typedef struct graph {
    int64_t n;
    Value vector[LEAVES + NODES], scalar[LEAVES + NODES];
    int vectors, scalars;
} graph;

static Value some(const graph *g)
{
    return g->vector[draw((uint32_t)g->vectors)];
}

static Value some_number(const graph *g)
{
    return g->scalar[draw((uint32_t)g->scalars)];
}

static int place_in(const graph *g)
{
    return (int)draw((uint32_t)g->n);
}

static Value random_scalar(const graph *g)
{
    switch (draw(5)) {
    case 0: return at(some(g), place_in(g));
    case 1: return mul(1.0 / (double)g->n, sum(some(g)));
    case 2: return tanh(dot(some(g), some(g)));
    case 3: return sin(add(some_number(g), mul(some_number(g), some_number(g))));
    default: return div(1, add(2, exp(some_number(g))));
    }
}

static Value random_vector(const graph *g)
{
    const Value a = some(g), b = some(g);
    switch (draw(14)) {
    case 0: return add(a, b);
    case 1: return sub(a, mul(b, some_number(g)));
    case 2: return mul(a, b);
    case 3: return sigmoid(fma(a, b, some(g)));
    case 4: return tanh(add(fma(a, some_number(g), b), neg(mul(some(g), some(g)))));
    case 5: return sin(a);
    case 6: return where(gt(a, b), a, mul(b, 0.5));
    case 7: return mul(some_number(g), a);
    case 8: return add(some_number(g), square(a));
    case 9: { /* elements moved on, the first from elsewhere */
        const Value first = slice(b, .stop = 1);
        return g->n > 1 ? cat(TG_VALUES(first, slice(a, .stop = -1))) : first;
    }
    case 10: { /* halves exchanged */
        const int64_t half = g->n / 2;
        if (half == 0) return neg(a);
        return cat(TG_VALUES(slice(a, .start = half), slice(b, .stop = half)));
    }
    case 11: { /* what no vector is: rows of a matrix, read the other way round */
        const Value both = stack(TG_VALUES(a, b));
        return sum(mul(both, flip(both, .axis = 1)), .axis = 0);
    }
    case 12: { /* the sum over many, of which a long chain is made */
        Value y = a;
        for (int i = 0; i < 30; i++) y = add(y, mul(0.03, mul(some(g), some(g))));
        return tanh(y);
    }
    default: return exp(neg(square(sub(a, b))));
    }
}

/* A graph with the leaves' data in elements; its loss. */
static Value record(graph *g, tg_tape *t, int64_t n, Value *leaf, Value *number)
{
    const Value table = param(t, (double *)NULL, LEAVES - 1, n), own = param(t, (double *)NULL, n);
    double x[LEAVES * MOST];
    for (int64_t i = 0; i < LEAVES * n; i++) x[i] = draw_real();
    tg_set_data(table, TG_F64, x, (size_t)((LEAVES - 1) * n), NULL);
    tg_set_data(own, TG_F64, x + (LEAVES - 1) * n, (size_t)n, NULL);
    *g = (graph){ .n = n };
    leaf[0] = table, leaf[1] = own;
    for (int i = 0; i + 1 < LEAVES; i++) g->vector[g->vectors++] = select(table, .axis = 0, .index = i);
    g->vector[g->vectors++] = own;
    for (int i = 0; i < LEAVES; i++) g->scalar[g->scalars++] = number[i] = tg_scalar(t, draw_real());
    g->vector[g->vectors++] = tg_full(t, 0.3, n);
    for (int i = 0; i + 1 < NODES; i++) {
        const bool vector = draw(3);
        const Value made = vector ? random_vector(g) : random_scalar(g);
        if (vector) g->vector[g->vectors++] = made;
        else g->scalar[g->scalars++] = made;
    }
    Value loss = g->scalar[g->scalars - 1];
    for (int i = 1; i < 4; i++) loss = add(loss, mul(1.0 / (double)n, sum(g->vector[g->vectors - i])));
    return loss;
}

static void check_graph(int64_t n, tg_type type, const tg_compile_options *o)
{
    static graph g;
    static double got[LEAVES + 3][LEAVES * MOST], expected[LEAVES + 3][LEAVES * MOST];
    static double data[LEAVES + 2][LEAVES * MOST];
    static float gotf[LEAVES + 3][LEAVES * MOST], dataf[LEAVES + 2][LEAVES * MOST];
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = type });
    Value x[2 + LEAVES];
    const Value loss = record(&g, t, n, x, x + 2);
    const bool recorded = tg_backward(loss);
    cr_assert(recorded, "%s", tg_error_of(t)->message);
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&loss, 1, NULL, 0, x, 2 + LEAVES, o, &status);
    tg_program *const d = tg_gradient_program(p, NULL, &status);
    cr_assert(d, "%s", status.message);
    tg_workspace *const w = tg_workspace_new(d, 1, &status);
    const void *in[2 + LEAVES];
    void *out[3 + LEAVES];
    double largest = fabs(tg_item(loss));
    for (int i = 0; i < 3 + LEAVES; i++) out[i] = type == TG_F64 ? (void *)got[i] : (void *)gotf[i];
    for (int i = 0; i < 2 + LEAVES; i++) {
        cr_assert(tg_read(x[i], data[i], (size_t)tg_size(x[i])));
        for (int64_t j = 0; j < tg_size(x[i]); j++) dataf[i][j] = (float)data[i][j];
        in[i] = type == TG_F64 ? (void *)data[i] : (void *)dataf[i];
        cr_assert(tg_grad_read(x[i], expected[1 + i], (size_t)tg_size(x[i])));
        for (int64_t j = 0; j < tg_size(x[i]); j++) largest = fmax(largest, fabs(expected[1 + i][j]));
    }
    expected[0][0] = tg_item(loss);
    for (int again = 0; again < 2; again++) {
        cr_assert(tg_run(d, w, 1, in, out, &status), "%s", status.message);
        for (int i = 0; i < 3 + LEAVES; i++)
            for (int64_t j = 0; j < (i ? tg_size(x[i - 1]) : 1); j++) {
                const double is = type == TG_F64 ? got[i][j] : (double)gotf[i][j];
                const double bound = (type == TG_F64 ? 1e-11 : 1e-3) * largest;
                cr_assert(o->strict && i == 0 ? is == expected[i][j] : fabs(is - expected[i][j]) <= bound,
                          "n %d, without %x, strict %d, run %d: output %d[%d] is %.17g, on the tape %.17g", (int)n,
                          o->without, o->strict, again, i, (int)j, is, expected[i][j]);
            }
    }
    tg_workspace_free(w);
    tg_program_free(d);
    tg_program_free(p);
    tg_tape_free(t);
}

static const int64_t lengths[] = { 1, 2, 7, 8, 14, 16, 33, 100, 256, 257 };

Test(vectors, random_graphs_agree_with_the_tape_for_any_passes)
{
    const unsigned passes[] = { 0, 0, TG_CHAINS, TG_DOTS, TG_REUSE, TG_RANGES, TG_TOGETHER, ~0u };
    for (int i = 0; i < 600; i++) {
        const tg_compile_options o = { .without = passes[i % 8] };
        check_graph(lengths[draw(10)], i % 5 ? TG_F64 : TG_F32, &o);
    }
}

Test(vectors, strict_programs_give_the_tapes_bits)
{
    for (int i = 0; i < 100; i++)
        check_graph(lengths[draw(10)], i % 2 ? TG_F64 : TG_F32, &(tg_compile_options){ .strict = true });
}

Test(vectors, what_has_been_read_is_no_longer_kept)
{
    enum { N = 50, STEPS = 2000 };
    tg_tape *const t = tg_tape_new(NULL);
    double x0[N] = { 0 };
    for (int i = 0; i < N; i++) x0[i] = draw_real();
    const Value x = param(t, x0, N);
    Value y = x;
    for (int i = 0; i < STEPS; i++) y = add(tanh(mul(x, y)), mul(0.5, sin(y)));
    const Value total = sum(y);
    tg_status status = { 0 };
    uint64_t bytes[2];
    for (int i = 0; i < 2; i++) {
        const tg_compile_options o = { .without = i ? TG_REUSE : 0 };
        tg_program *const p = tg_compile(&total, 1, NULL, 0, &x, 1, &o, &status);
        tg_workspace *const w = tg_workspace_new(p, 1, &status);
        double got;
        cr_assert(tg_run(p, w, 1, (const void *[]){ x0 }, (void *[]){ &got }, &status), "%s", status.message);
        cr_assert(fabs(got - tg_item(total)) <= 1e-12);
        bytes[i] = tg__program_plan(p, TG__PLAN_SINGLE, "run", &status)->body;
        tg_workspace_free(w);
        tg_program_free(p);
    }
    cr_assert(bytes[0] * 10 < bytes[1], "%d bytes, without reuse %d", (int)bytes[0], (int)bytes[1]);
    tg_tape_free(t);
}
