/* Programs as C, generated from the op table: every op, in every sample and layout, with its gradient,
   written as C, compiled, and run on a batch, against the program. */
#define _POSIX_C_SOURCE 200809L
#include "sample.h"

#include <tapegrad.h>
#include <tapegrad/program.h>

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tape/record.h"

#define SEED 20261121u
enum {
    INSTANCES = 3,
    MOST = 4096, /* elements of an operand, or a result, of all instances */
    MOST_INPUTS = 10,
};

static size_t checks;

/* ---- functions and what they are to compute ----------------------------------------------------- */

/* One function: a program, its inputs, and what tg_run makes of them. */
typedef struct entry {
    char text[200];
    tg_program *program;
    int inputs, outputs;
    void *input[MOST_INPUTS], *expected[8];
    tg_type type[8]; /* of the outputs */
    size_t size[8];
    double bound;
} entry;

/* A source file that grows, for functions of one test. */
typedef struct source {
    char folder[64], path[96];
    FILE *file;
    entry *list;
    size_t n, room;
} source;

static source src;

static void begin(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
    checks = 0;
    src = (source){ .folder = "/tmp/tapegrad_emit_XXXXXX" };
    cr_assert(mkdtemp(src.folder), "no folder for temporary files");
    snprintf(src.path, sizeof src.path, "%s/all.c", src.folder);
    src.file = fopen(src.path, "w");
    cr_assert(src.file);
    setenv("CCACHE_DISABLE", "1", 1);
}

/* A function that takes the arguments of any. */
static void write_caller(const entry *e, size_t number)
{
    fprintf(src.file, "void call%zu(int64_t n, const void *const *x, void *const *y);\n"
                      "void call%zu(int64_t n, const void *const *x, void *const *y)\n{\n"
                      "    (void)x;\n    f%zu(n",
            number, number, number);
    for (int i = 0; i < e->inputs; i++) fprintf(src.file, ", x[%d]", i);
    for (int i = 0; i < e->outputs; i++) fprintf(src.file, ", y[%d]", i);
    fprintf(src.file, ");\n}\n\n");
}

/* Runs the program and writes its function; takes the program and the inputs over. */
static bool add_entry(entry e, tg_status *status)
{
    char name[32];
    tg_workspace *const w = tg_workspace_new(e.program, 1, status);
    for (int i = 0; i < e.outputs; i++) e.expected[i] = calloc(e.size[i] + 1, sizeof(double));
    const bool ok = w && tg_run(e.program, w, INSTANCES, (const void *const *)e.input, e.expected, status);
    cr_expect(ok, "%s: %s", e.text, status->message);
    tg_workspace_free(w);
    snprintf(name, sizeof name, "f%zu", src.n);
    const bool written = ok && tg_program_emit_c(e.program, name, src.file, status);
    if (written) {
        write_caller(&e, src.n);
        if (src.n == src.room) {
            src.room = 2 * src.room + 256;
            src.list = realloc(src.list, src.room * sizeof *src.list);
            cr_assert(src.list);
        }
        src.list[src.n++] = e;
        return true;
    }
    for (int i = 0; i < e.outputs; i++) free(e.expected[i]);
    for (int i = 0; i < e.inputs; i++) free(e.input[i]);
    tg_program_free(e.program);
    return false;
}

static double element(const void *p, tg_type type, size_t i)
{
    if (type == TG_I64) return (double)((const int64_t *)p)[i];
    return type == TG_F32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

static void compare(const entry *e, int output, const void *got)
{
    const tg_type type = e->type[output];
    double largest = 0; /* of all outputs: a sum may cancel */
    for (int j = 0; j < e->outputs; j++)
        for (size_t i = 0; i < e->size[j]; i++) {
            const double x = element(e->expected[j], e->type[j], i);
            if (isfinite(x)) largest = fmax(largest, fabs(x));
        }
    for (size_t i = 0; i < e->size[output]; i++, checks++) {
        const double x = element(got, type, i), y = element(e->expected[output], type, i);
        const bool agree = x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= e->bound * largest;
        cr_expect(agree, "%s: output %d, element %zu is %.17g in C, in the program %.17g", e->text,
                  output, i, x, y);
        if (!agree) return;
    }
}

typedef void caller(int64_t n, const void *const *x, void *const *y);

static void check_entry(void *library, size_t number)
{
    const entry *const e = &src.list[number];
    char name[32];
    snprintf(name, sizeof name, "call%zu", number);
    caller *call;
    *(void **)&call = dlsym(library, name);
    cr_assert(call, "%s", dlerror());
    void *got[8];
    for (int i = 0; i < e->outputs; i++) got[i] = calloc(e->size[i] + 1, sizeof(double));
    call(INSTANCES, (const void *const *)e->input, got);
    for (int i = 0; i < e->outputs; i++) {
        compare(e, i, got[i]);
        free(got[i]);
    }
}

/* Compiles what has been written with every compiler, without a warning, runs and compares it. */
static void check_emitted(void)
{
    static const char *const compilers[] = { TG_COMPILERS };
    char command[400], library[96];
    fclose(src.file);
    snprintf(library, sizeof library, "%s/all.so", src.folder);
    bool compiled = true;
    for (size_t i = 0; i < sizeof compilers / sizeof *compilers; i++) {
        snprintf(command, sizeof command,
                 "%s -std=c17 -pedantic -Wall -Wextra -Wshadow -Wconversion -Werror -Wno-missing-prototypes "
                 "-ffp-contract=off %s %s %s %s",
                 compilers[i], i ? "-fsyntax-only" : "-shared -fPIC -o", i ? "" : library, src.path,
                 i ? "" : "-lm");
        const bool clean = system(command) == 0;
        cr_expect(clean, "%s: %s", compilers[i], command);
        compiled &= i > 0 || clean;
    }
    void *const handle = compiled ? dlopen(library, RTLD_NOW) : NULL;
    if (compiled) cr_assert(handle, "%s", dlerror());
    for (size_t i = 0; handle && i < src.n; i++) check_entry(handle, i);
    for (size_t i = 0; i < src.n; i++) {
        const entry *const e = &src.list[i];
        for (int j = 0; j < e->outputs; j++) free(e->expected[j]);
        for (int j = 0; j < e->inputs; j++) free(e->input[j]);
        tg_program_free(e->program);
    }
    if (handle) dlclose(handle);
    if (compiled && !getenv("TG_KEEP_EMITTED")) {
        unlink(library);
        unlink(src.path);
        rmdir(src.folder);
    }
    fprintf(stderr, "# %s: %zu functions, %zu checks, seed %u\n", criterion_current_test->name, src.n,
            checks, SEED);
    cr_expect(checks > 0, "nothing was checked");
    free(src.list);
}

TestSuite(emit, .init = begin, .timeout = 300);

/* ---- trials ------------------------------------------------------------------------------------- */

/* No C is written for these. */
static const char *const unwritten[] = {
    "argmax", "argmin", "argsort", "argtopk", "avg_pool2d", "avg_pool_shares", "cholesky",
    "cofactor", "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "conv_weight", "custom",
    "custom_gradient", "det", "dropout", "eigh", "guard", "inverse", "inverse_or_nan", "logdet", "max_pool2d",
    "max_pool_pick", "max_pool_put", "median", "median_weights", "qr", "solve", "solve_triangular",
    "sort", "svd", "topk",
};

static bool is_unwritten(const char *name)
{
    for (size_t i = 0; i < sizeof unwritten / sizeof *unwritten; i++)
        if (strcmp(unwritten[i], name) == 0) return true;
    return false;
}

/* How a trial is compiled: which leaves vary over the batch (bits). */
typedef struct way {
    unsigned batch;
    tg_type type;
} way;

static void *elements(const trial *t, way w, int leaf, size_t n)
{
    const bool varies = w.batch >> leaf & 1;
    const int rows = varies ? INSTANCES : 1;
    char *const p = calloc(n * (size_t)rows + 1, sizeof(double));
    for (int i = 0; i < rows; i++) {
        data d = draw(t, SEED + (uint64_t)i);
        for (size_t k = 0; k < n; k++) {
            const size_t at = (size_t)i * n + k;
            const double x = d.element[leaf][k];
            if (is_index(t, leaf)) ((int64_t *)(void *)p)[at] = (int64_t)x;
            else if (w.type == TG_F32) ((float *)(void *)p)[at] = (float)x;
            else ((double *)(void *)p)[at] = x;
        }
        drop(&d);
    }
    return p;
}

static void fill_entry(entry *e, tg_program *p, const trial *t, way w, const tg_value *leaf,
                       const int *order)
{
    e->program = p;
    e->inputs = tg_program_inputs(p);
    e->outputs = tg_program_outputs(p);
    for (int i = 0; i < e->inputs; i++)
        e->input[i] = elements(t, w, order[i], (size_t)tg_size(leaf[order[i]]));
    for (int i = 0; i < e->outputs; i++) {
        bool each = false;
        e->size[i] = (size_t)tg_program_output_size(p, i, &each) * (each ? INSTANCES : 1);
        e->type[i] = w.type;
    }
    e->bound = w.type == TG_F32 ? 1e-5 : 1e-13;
    snprintf(e->text, sizeof e->text, "%.150s, %s, batch %x", trial_text(t),
             w.type == TG_F32 ? "f32" : "f64", w.batch);
}

/* Adds a program, unless it cannot be written, which must be known. */
static void add_program(tg_program *p, const trial *t, way w, const tg_value *leaf, const int *order,
                        tg_type result)
{
    tg_status s = { 0 };
    if (!p) return;
    entry e = { .program = NULL };
    fill_entry(&e, p, t, w, leaf, order);
    if (e.outputs == 1) e.type[0] = result;
    const bool small = e.size[0] < MOST;
    const bool written = small && add_entry(e, &s);
    if (!small) {
        for (int i = 0; i < e.inputs; i++) free(e.input[i]);
        tg_program_free(p);
    } else if (!written) {
        cr_expect(is_unwritten(tg__ops[t->op]->name), "%s: %s", e.text, s.message);
        cr_expect(strstr(s.message, "there is no C for it"), "%s", s.message);
    }
}

/* The value, and the sum of it times random numbers with the gradients. */
static void check_way(const trial *t, way w)
{
    tg_tape *const tape = tg_tape_new(&(const tg_tape_options){ .type = w.type });
    tg_value leaf[TG__SAMPLES], ordered[TG__SAMPLES];
    data d = draw(t, SEED);
    make_leaves(t, &d, tape, leaf);
    drop(&d);
    const tg_value y = record_trial(t, leaf);
    const int leaves = t->same ? 1 : t->x.n;
    int order[TG__SAMPLES], n = 0, n_batch = 0, wrt[TG__SAMPLES], n_wrt = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int j = 0; j < leaves; j++)
            if ((w.batch >> j & 1) == (pass == 0)) order[n++] = j;
    for (int j = 0; j < leaves; j++) {
        ordered[j] = leaf[order[j]];
        n_batch += (int)(w.batch >> j & 1);
        if (!is_index(t, order[j])) wrt[n_wrt++] = j;
    }
    tg_status s = { 0 };
    tg_program *const p =
        tg_compile(&y, 1, ordered, n_batch, ordered + n_batch, leaves - n_batch, NULL, &s);
    cr_expect(p, "%s: %s", trial_text(t), s.message);
    if (p && tg_type_of(y) != TG_I64 && n_wrt) {
        const tg_value loss = apply1("sum", apply2("mul", y, random_cotangent(y, SEED)));
        tg_program *const q =
            tg_compile(&loss, 1, ordered, n_batch, ordered + n_batch, leaves - n_batch, NULL, &s);
        tg_program *const g =
            tg_gradient_program(q, &(tg_gradient_options){ .wrt = wrt, .n_wrt = n_wrt }, &s);
        add_program(g, t, w, leaf, order, w.type);
        tg_program_free(q);
    }
    add_program(p, t, w, leaf, order, tg_type_of(y));
    tg_tape_free(tape);
}

/* One trial of four: there are many, of which each kind comes up. */
static void all_vary(const trial *t)
{
    static unsigned number;
    if (tg__ops[t->op]->kind != TG__MAP && number++ % 4 == 0)
        check_way(t, (way){ .batch = 0xff, .type = TG_F64 });
}

static void all_vary_f32(const trial *t)
{
    check_way(t, (way){ .batch = 0xff, .type = TG_F32 });
}

static void some_vary(const trial *t)
{
    check_way(t, (way){ .batch = 0xff, .type = TG_F64 });
    check_way(t, (way){ .batch = 0, .type = TG_F64 });
    for (int i = 0; i < t->x.n && !t->same && t->x.n > 1; i++)
        check_way(t, (way){ .batch = 1u << i, .type = TG_F64 });
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

/* ---- graphs of scalars -------------------------------------------------------------------------- */

enum { LEAVES = 5, BATCH = 2, NODES = 30, GRAPHS = 200 };

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

static void add_random_graph(int number)
{
    tg_tape *const t = tg_tape_new(NULL);
    tg_value v[LEAVES + NODES], loss;
    for (int i = 0; i < LEAVES; i++) v[i] = tg_scalar_new(t, 0.5 * i, NULL);
    for (int i = 0; i < NODES; i++) v[LEAVES + i] = random_node(v, (uint32_t)(LEAVES + i));
    loss = v[LEAVES + NODES - 1];
    for (int i = 2; i < 6; i++) loss = apply2("add", loss, v[LEAVES + NODES - i]);
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&loss, 1, v, BATCH, v + BATCH, LEAVES - BATCH, NULL, &s);
    const int wrt[LEAVES] = { 0, 1, 2, 3, 4 };
    entry e = { .inputs = LEAVES, .outputs = 1 + LEAVES, .bound = 1e-13 };
    e.program = tg_gradient_program(
        p, &(tg_gradient_options){ .wrt = wrt, .n_wrt = LEAVES,
                                   .over = number % 2 ? TG_BATCH_MEAN : TG_BATCH_SUM }, &s);
    cr_assert(e.program, "%s", s.message);
    snprintf(e.text, sizeof e.text, "graph %d", number);
    for (int i = 0; i < LEAVES; i++) e.input[i] = random_numbers(i < BATCH ? INSTANCES : 1);
    for (int i = 0; i <= LEAVES; i++) e.size[i] = i > 0 && i <= BATCH ? INSTANCES : 1;
    cr_expect(add_entry(e, &s), "%s", s.message);
    e.program = tg_jvp_program(p, wrt, LEAVES, 0, &s);
    cr_assert(e.program, "%s", s.message);
    e.inputs = 2 * LEAVES;
    e.outputs = 2;
    for (int i = 0; i < e.inputs; i++)
        e.input[i] = random_numbers(i % LEAVES < BATCH ? INSTANCES : 1);
    for (int i = 0; i < 2; i++) e.size[i] = INSTANCES;
    cr_expect(add_entry(e, &s), "%s", s.message);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(emit, random_graphs_of_scalars)
{
    for (int i = 0; i < GRAPHS; i++) add_random_graph(i);
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
    entry parts = { .inputs = 2, .outputs = 2, .size = { 1, 2 }, .bound = 1e-13, .text = "whole and part" };
    parts.program = tg_gradient_program(p, NULL, &s);
    cr_assert(parts.program, "%s", s.message);
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

Test(emit_errors, what_cannot_be_written_is_named_with_its_line)
{
    const tg_site here = { "model.c", 7 };
    const int64_t dim[] = { 3, 3 };
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_leaf_new(t, TG_PARAMETER, TG_F64, NULL, 2, dim, &here);
    const tg_value y = tg__record(op_named("det"), &x, 1, NULL, &here);
    tg_program *const p = tg_compile(&y, 1, &x, 1, NULL, 0, NULL, NULL);
    cr_assert(p);
    expect_refused(p, "f", "emit_c: model.c:7: det: there is no C for it");
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
