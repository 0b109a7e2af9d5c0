/* Programs as C, generated from the op table: every op, in every sample and layout, with its gradient,
   its derivative along a direction and its Hessian times one, written as C, compiled, and run on a batch,
   against the program. */
#define _POSIX_C_SOURCE 200809L
#include "emitting.h"
#include "sample.h"

#include <tapegrad.h>
#include <tapegrad/program.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tape/record.h"

#define SEED 20261121u
enum {
    INSTANCES = 3,
    MOST = 4096, /* elements of an operand, or a result, of all instances */
};

TestSuite(emit, .init = begin_emitted, .timeout = 600);

/* ---- trials ------------------------------------------------------------------------------------- */

/* No C is written for these: of an operation of the user's own there is no text. */
static const char *const unwritten[] = { "custom", "custom_gradient" };

static bool is_unwritten(const char *name)
{
    for (size_t i = 0; i < sizeof unwritten / sizeof *unwritten; i++)
        if (strcmp(unwritten[i], name) == 0) return true;
    return false;
}

/* How a trial is compiled: which leaves vary over the batch (bits), and which programs are made. */
typedef struct way {
    unsigned batch;
    tg_type type;
    enum { VALUE = 1, GRADIENT = 2, DIRECTIONS = 4 } programs;
} way;

/* A trial on a tape. Inputs of programs are its leaves in this order: those that vary first. */
typedef struct scene {
    const trial *t;
    way w;
    tg_tape *tape;
    tg_value leaf[TG__SAMPLES], ordered[TG__SAMPLES], y;
    int leaves, n_batch, order[TG__SAMPLES];
    int wrt[TG__SAMPLES], n_wrt;
} scene;

static void *elements(const scene *s, int leaf, uint64_t seed)
{
    const size_t n = (size_t)tg_size(s->leaf[leaf]);
    const int rows = s->w.batch >> leaf & 1 ? INSTANCES : 1;
    char *const p = calloc(n * (size_t)rows + 1, sizeof(double));
    for (int i = 0; i < rows; i++) {
        data d = draw(s->t, seed + (uint64_t)i);
        for (size_t k = 0; k < n; k++) {
            const size_t at = (size_t)i * n + k;
            const double x = d.element[leaf][k];
            if (is_index(s->t, leaf)) ((int64_t *)(void *)p)[at] = (int64_t)x;
            else if (s->w.type == TG_F32) ((float *)(void *)p)[at] = (float)x;
            else ((double *)(void *)p)[at] = x;
        }
        drop(&d);
    }
    return p;
}

/* Adds a program, unless it cannot be written, which must be known. */
static void add_program(const scene *s, tg_program *p, const char *what, tg_type result)
{
    tg_status status = { 0 };
    if (!p) return;
    /* Second derivatives cancel: so much of the largest element is what is promised. */
    const double bound = s->w.programs & DIRECTIONS ? 1e-12 : 1e-13;
    entry e = { .bound = s->w.type == TG_F32 ? 1e-5 : bound };
    describe(&e, p, s->w.type, INSTANCES);
    for (int i = 0; i < e.inputs; i++) /* directions behind the leaves */
        e.input[i] = i < s->leaves ? elements(s, s->order[i], SEED)
                                   : elements(s, s->order[s->wrt[i - s->leaves]], SEED + 100);
    if (e.outputs == 1) e.type[0] = result;
    snprintf(e.text, sizeof e.text, "%.120s, %s, batch %x, %s", trial_text(s->t),
             s->w.type == TG_F32 ? "f32" : "f64", s->w.batch, what);
    if (e.size[0] >= MOST) {
        for (int i = 0; i < e.inputs; i++) free(e.input[i]);
        tg_program_free(p);
    } else if (!add_entry(e, &status)) {
        cr_expect(is_unwritten(tg__ops[s->t->op]->name), "%s: %s", e.text, status.message);
        cr_expect(strstr(status.message, "there is no C for it"), "%s", status.message);
    }
}

static void set_up(scene *s, const trial *t, way w)
{
    *s = (scene){ .t = t, .w = w, .leaves = t->same ? 1 : t->x.n };
    s->tape = tg_tape_new(&(const tg_tape_options){ .type = w.type });
    data d = draw(t, SEED);
    make_leaves(t, &d, s->tape, s->leaf);
    drop(&d);
    s->y = record_trial(t, s->leaf);
    int n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int j = 0; j < s->leaves; j++)
            if ((w.batch >> j & 1) == (pass == 0)) s->order[n++] = j;
    for (int j = 0; j < s->leaves; j++) {
        s->ordered[j] = s->leaf[s->order[j]];
        s->n_batch += (int)(w.batch >> j & 1);
        if (!is_index(t, s->order[j])) s->wrt[s->n_wrt++] = j;
    }
}

static tg_program *compiled(const scene *s, tg_value y)
{
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&y, 1, s->ordered, s->n_batch, s->ordered + s->n_batch,
                                     s->leaves - s->n_batch, NULL, &status);
    cr_expect(p, "%s: %s", trial_text(s->t), status.message);
    return p;
}

/* The sum of y's elements times random numbers. */
static tg_value loss_of(tg_value y)
{
    return apply1("sum", apply2("mul", y, random_cotangent(y, SEED)));
}

/* Of y, and the Hessian of a loss of its squares: that of linear ops would be 0. */
static void add_directions(const scene *s, const tg_program *p)
{
    tg_status status = { 0 };
    if (!strpbrk(tg__ops[s->t->op]->letters, "lnc") || strstr(tg__ops[s->t->op]->name, "custom")) return;
    tg_program *const q = compiled(s, loss_of(apply1("square", s->y)));
    const tg_gradient_options o = { .wrt = s->wrt, .n_wrt = s->n_wrt };
    add_program(s, tg_jvp_program(p, s->wrt, s->n_wrt, &status), "JVP", s->w.type);
    cr_expect(status.code == TG_OK, "%s: %s", trial_text(s->t), status.message);
    add_program(s, tg_hvp_program(q, &o, &status), "HVP", s->w.type);
    cr_expect(status.code == TG_OK, "%s: %s", trial_text(s->t), status.message);
    tg_program_free(q);
}

/* The value, and the gradients of a loss of it. */
static void check_way(const trial *t, way w)
{
    scene s;
    tg_status status = { 0 };
    set_up(&s, t, w);
    tg_program *const p = compiled(&s, s.y);
    const bool differentiable = p && tg_type_of(s.y) != TG_I64 && s.n_wrt;
    if (differentiable && w.programs & GRADIENT) {
        tg_program *const q = compiled(&s, loss_of(s.y));
        const tg_gradient_options o = { .wrt = s.wrt, .n_wrt = s.n_wrt };
        add_program(&s, tg_gradient_program(q, &o, &status), "gradient", w.type);
        tg_program_free(q);
    }
    if (differentiable && w.programs & DIRECTIONS) add_directions(&s, p);
    if (w.programs & VALUE) add_program(&s, p, "value", tg_type_of(s.y));
    else tg_program_free(p);
    tg_tape_free(s.tape);
}

/* One trial of four: there are many, of which each kind comes up. */
static void all_vary(const trial *t)
{
    static unsigned number;
    if (tg__ops[t->op]->kind != TG__MAP && number++ % 4 == 0)
        check_way(t, (way){ .batch = 0xff, .type = TG_F64, .programs = VALUE | GRADIENT });
}

/* With directions in every op's first sample. */
static void all_vary_f32(const trial *t)
{
    static int last;
    check_way(t, (way){ .batch = 0xff, .type = TG_F32,
                        .programs = VALUE | GRADIENT | (t->op != last ? DIRECTIONS : 0) });
    last = t->op;
}

static void some_vary(const trial *t)
{
    check_way(t, (way){ .batch = 0xff, .type = TG_F64, .programs = VALUE | GRADIENT });
    check_way(t, (way){ .batch = 0, .type = TG_F64, .programs = VALUE | GRADIENT });
    for (int i = 0; i < t->x.n && !t->same && t->x.n > 1; i++)
        check_way(t, (way){ .batch = 1u << i, .type = TG_F64, .programs = VALUE | GRADIENT });
}

static void along_directions(const trial *t)
{
    check_way(t, (way){ .batch = 1, .type = TG_F64, .programs = DIRECTIONS });
}

Test(emit, operations_in_any_layout)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_trial(op, all_vary);
    check_emitted();
}

Test(emit, every_op_in_f32)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_plain_trial(op, all_vary_f32);
    check_emitted();
}

Test(emit, every_op_with_any_operands_varying)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_plain_trial(op, some_vary);
    check_emitted();
}

Test(emit, every_op_along_directions)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_plain_trial(op, along_directions);
    check_emitted();
}

/* ---- graphs of scalars -------------------------------------------------------------------------- */

enum { LEAVES = 5, BATCH = 2, NODES = 30, GRAPHS = 400 };

static uint32_t state = SEED;

static uint32_t below(uint32_t n)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % n;
}

static double *random_numbers(size_t n)
{
    double *const x = calloc(n, sizeof *x);
    for (size_t i = 0; i < n; i++) x[i] = (double)below(1 << 16) / (1 << 15) - 1;
    return x;
}

static tg_value random_node(const tg_value *v, uint32_t n)
{
    static const char *const maps[] = { "tanh", "sigmoid", "sin",    "neg",  "softplus",
                                        "gelu", "relu",    "square", "silu", "erf" };
    static const char *const pairs[] = { "add", "sub", "mul", "sub", "mul", "maximum", "hypot" };
    const tg_value a = v[below(n)], b = v[below(n)];
    if (below(2)) return apply1(maps[below(sizeof maps / sizeof *maps)], a);
    return apply2(pairs[below(sizeof pairs / sizeof *pairs)], a, b);
}

/* A program of LEAVES inputs with `size` elements each, or one like it with directions behind them. */
static void add_graph(int number, const char *what, tg_program *p, size_t size, double bound)
{
    tg_status s = { 0 };
    entry e = { .bound = bound };
    cr_assert(p, "graph %d has no %s", number, what);
    describe(&e, p, TG_F64, INSTANCES);
    snprintf(e.text, sizeof e.text, "graph %d, %s", number, what);
    for (int i = 0; i < e.inputs; i++)
        e.input[i] = random_numbers(size * (i % LEAVES < BATCH ? INSTANCES : 1));
    cr_expect(add_entry(e, &s), "%s", s.message);
}

/* A loss of leaves v, of which the first vary: gradient, JVP and HVP. */
static void add_derivatives(int number, tg_value loss, const tg_value *v, double bound)
{
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&loss, 1, v, BATCH, v + BATCH, LEAVES - BATCH, NULL, &s);
    cr_assert(p, "graph %d: %s", number, s.message);
    const int wrt[LEAVES] = { 0, 1, 2, 3, 4 };
    const tg_gradient_options o = { .wrt = wrt, .n_wrt = LEAVES,
                                    .over = number % 2 ? TG_BATCH_MEAN : TG_BATCH_SUM };
    const size_t size = (size_t)tg_size(v[0]);
    add_graph(number, "gradient", tg_gradient_program(p, &o, &s), size, bound);
    add_graph(number, "JVP", tg_jvp_program(p, wrt, LEAVES, &s), size, bound);
    add_graph(number, "HVP", tg_hvp_program(p, &o, &s), size, bound);
    tg_program_free(p);
}

static void add_random_graph(int number)
{
    tg_tape *const t = tg_tape_new(NULL);
    tg_value v[LEAVES + NODES], loss;
    for (int i = 0; i < LEAVES; i++) v[i] = tg_scalar_new(t, 0.5 * i, NULL);
    for (int i = 0; i < NODES; i++) v[LEAVES + i] = random_node(v, (uint32_t)(LEAVES + i));
    loss = v[LEAVES + NODES - 1];
    for (int i = 2; i < 6; i++) loss = apply2("add", loss, v[LEAVES + NODES - i]);
    add_derivatives(number, loss, v, 1e-13);
    tg_tape_free(t);
}

Test(emit, random_graphs_of_scalars)
{
    for (int i = 0; i < GRAPHS; i++) add_random_graph(i);
    check_emitted();
}

/* ---- graphs of matrices ------------------------------------------------------------------------- */

enum { SIDE = 3, MATRICES = 12, MATRIX_GRAPHS = 100 };

/* Square matrices all: of the same size, and bounded, so that no graph runs away. */
static tg_value random_matrix(const tg_value *v, uint32_t n)
{
    static const char *const one[] = { "tanh", "sin", "sigmoid", "softplus", "relu", "neg", "transpose",
                                       "contiguous", "tril", "triu", "flip", "cumsum", "sort",
                                       "softargmax", "log_softmax", "roll" };
    static const char *const whole[] = { "sum", "mean", "amax", "amin", "prod", "std", "norm", "median",
                                         "logsumexp", "det", "trace" };
    static const char *const two[] = { "add", "sub", "mul", "maximum", "matmul", "hypot", "logaddexp" };
    const tg_value a = v[below(n)], b = v[below(n)];
    const uint32_t which = below(8);
    if (which < 3) return apply1(one[below(sizeof one / sizeof *one)], a);
    if (which < 4) return apply2("sub", b, apply1("tanh", apply1(whole[below(sizeof whole / sizeof *whole)], a)));
    return apply1("sin", apply2(two[below(sizeof two / sizeof *two)], a, b));
}

static void add_matrix_graph(int number)
{
    const int64_t dim[] = { SIDE, SIDE };
    const double zeros[SIDE * SIDE] = { 0 };
    tg_tape *const t = tg_tape_new(NULL);
    tg_value v[LEAVES + MATRICES];
    for (int i = 0; i < LEAVES; i++) v[i] = tg_leaf_new(t, TG_PARAMETER, TG_F64, zeros, 2, dim, NULL);
    for (int i = 0; i < MATRICES; i++) v[LEAVES + i] = random_matrix(v, (uint32_t)(LEAVES + i));
    tg_value loss = v[LEAVES + MATRICES - 1];
    for (int i = 2; i < 5; i++) loss = apply2("add", loss, v[LEAVES + MATRICES - i]);
    for (int i = 0; i < LEAVES; i++) loss = apply2("add", loss, apply2("mul", v[i], v[(i + 1) % LEAVES]));
    add_derivatives(number, apply1("mean", loss), v, 1e-12);
    tg_tape_free(t);
}

Test(emit, random_graphs_of_matrices)
{
    for (int i = 0; i < MATRIX_GRAPHS; i++) add_matrix_graph(i);
    check_emitted();
}

/* A vector that is used as a whole and by an element: its gradient is put together of both. */
Test(emit, a_gradient_of_the_whole_and_of_a_part)
{
    const double w0[] = { 0.3, -0.2 };
    tg_status s = { 0 };
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_scalar_new(t, 0, NULL), w = tg_param(t, w0, 2), e = tg_exp(w);
    const tg_value loss = tg_add(tg_mul(x, tg_at(e, 0)), tg_mul(0.25, tg_sum(tg_square(e))));
    tg_program *const p = tg_compile(&loss, 1, &x, 1, &w, 1, NULL, &s);
    entry parts = { .bound = 1e-13, .text = "whole and part" };
    describe(&parts, tg_gradient_program(p, NULL, &s), TG_F64, INSTANCES);
    parts.input[0] = random_numbers(INSTANCES);
    parts.input[1] = random_numbers(2);
    cr_expect(add_entry(parts, &s), "%s", s.message);
    tg_program_free(p);
    tg_tape_free(t);
    check_emitted();
}

/* ---- errors ------------------------------------------------------------------------------------- */

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(emit_errors, .init = quiet);

static void expect_refused(const tg_program *p, const char *name, const char *why)
{
    char *text = NULL;
    size_t size = 0;
    tg_status s = { 0 };
    FILE *const file = open_memstream(&text, &size);
    cr_expect_not(tg_program_emit_c(p, name, file, &s));
    cr_expect(s.code != TG_OK && strstr(s.message, why), "\"%s\" lacks \"%s\"", s.message, why);
    cr_expect_not(tg_program_emit_c(p, name, file, NULL));
    fclose(file);
    cr_expect(size == 0, "something has been written: %s", text);
    free(text);
}

static bool doubled(const tg_custom_call *c)
{
    for (int64_t i = 0; i < c->y.size; i++)
        ((double *)c->y.data)[i] = 2 * ((const double *)c->x[0].data)[i];
    return true;
}

static const tg_custom own = { .name = "doubled", .forward = doubled };

Test(emit_errors, what_cannot_be_written_is_named_with_its_line)
{
    const tg_site here = { "model.c", 7 };
    const int64_t dim[] = { 3, 3 };
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_leaf_new(t, TG_PARAMETER, TG_F64, NULL, 2, dim, &here);
    const tg_value y = tg_custom_apply_at(&own, &x, 1, &here);
    tg_program *const p = tg_compile(&y, 1, &x, 1, NULL, 0, NULL, NULL);
    cr_assert(p);
    expect_refused(p, "f", "emit_c: model.c:7: doubled: there is no C for it: of an operation of your own");
    expect_refused(p, "f", "TG_RULE");
    expect_refused(p, "7up", "emit_c: the name is no name in C");
    expect_refused(p, "", "the name is no name in C");
    expect_refused(p, NULL, "the name is no name in C");
    expect_refused(NULL, "f", "emit_c: the program is NULL");
    tg_status s = { 0 };
    cr_expect_not(tg_program_emit_c(p, "f", NULL, &s));
    cr_expect(strstr(s.message, "the file is NULL"), "%s", s.message);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(emit_errors, an_einsum_of_very_many_operands_is_refused)
{
    enum { N = 22 };
    const int64_t dim[] = { 2 };
    tg_tape *const t = tg_tape_new(NULL);
    tg_value x[N];
    tg_einsum_attributes a = { .equation = "a" };
    x[0] = tg_leaf_new(t, TG_INPUT, TG_F64, NULL, 1, dim, NULL);
    for (int i = 1; i < N; i++) {
        x[i] = x[0];
        strcat(a.equation, ",a");
    }
    strcat(a.equation, "->a");
    const tg_value y = tg__record(op_named("einsum"), x, N, &a, NULL);
    tg_program *const p = tg_compile(&y, 1, x, 1, NULL, 0, NULL, NULL);
    expect_refused(p, "f", "einsum: there is no C for it: more than 21 operands or 16 axes");
    tg_program_free(p);
    tg_tape_free(t);
}

Test(emit_errors, arrays_too_large_for_a_stack_are_refused)
{
    const int64_t dim[] = { 1 << 9, 1 << 9 };
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_leaf_new(t, TG_INPUT, TG_F64, NULL, 2, dim, NULL);
    const tg_value y = apply1("cumsum", x);
    tg_program *const p = tg_compile(&y, 1, &x, 1, NULL, 0, NULL, NULL);
    expect_refused(p, "f", "would take 2097152 bytes on the stack, more than 1048576");
    tg_program_free(p);
    tg_tape_free(t);
}
