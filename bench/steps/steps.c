/* Training steps: value and gradients of whole models against the same derived by hand by an expert
   (hand.h), in f32 and f64, one thread. Eager: recorded anew and walked back in every step. Program: the
   same recording, compiled once. Layout batch: a program of one row, or of one sequence, run for all, by one
   thread and by two. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tapegrad.h>
#include <tapegrad/nn.h>
#include <tapegrad/program.h>

#include "../draw.h"
#include "../emitted.h"
#include "../memory.h"
#include "../report.h"
#include "hand.h"

enum { REPEATS = 31, EXPERT = 0, EAGER, PROGRAM, EMITTED, WAYS };

static const double too_long = 2e7; /* ns, for a call of the program as C, whose products are three loops */

typedef struct work work;
struct work {
    const char *name, *size;
    hand h;
    double (*by_hand[2])(hand *h); /* f32, f64 */
    tg_value (*record)(const work *w);
    tg_type type;
    tg_tape *tape;
    tg_mark mark;
    tg_value x, target; /* target: numbers or classes */
    tg_value p[MOST_PARAMETERS];
    int n; /* parameters */
    tg_nn *net;
    tg_program *program;
    tg_workspace *space;
    emitted *c;
    double compile_ns, first; /* first: of p[0], the first number */
    const void *from[MOST_PARAMETERS + 2];
    void *to[MOST_PARAMETERS + 2];
};

static void *need(void *p)
{
    if (p) return p;
    fprintf(stderr, "no memory\n");
    exit(1);
}

/* ---- numbers of either type -------------------------------------------------------------------- */

static void *numbers(int64_t n)
{
    return need(aligned_alloc(64, ((size_t)n * sizeof(double) + 64) / 64 * 64));
}

static size_t size_of(tg_type type)
{
    return type == TG_F32 ? sizeof(float) : sizeof(double);
}

static double number(tg_type type, const void *x, int64_t i)
{
    return type == TG_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static void put(tg_type type, void *x, int64_t i, double value)
{
    if (type == TG_F32) ((float *)x)[i] = (float)value;
    else ((double *)x)[i] = value;
}

static double loss_by_hand(work *w)
{
    return w->by_hand[w->type == TG_F64](&w->h);
}

/* ---- the models ------------------------------------------------------------------------------ */

static tg_value scores(const work *w, tg_value (*activation)(tg_value x))
{
    tg_value y = w->x;
    for (int i = 0; i < w->n; i += 2) {
        y = tg_linear(y, w->p[i], w->p[i + 1]);
        if (i + 2 < w->n) y = activation(y);
    }
    return y;
}

static tg_value as_relu(tg_value x) { return tg_relu(x); }
static tg_value as_tanh(tg_value x) { return tg_tanh(x); }
static tg_value as_sigmoid(tg_value x) { return tg_sigmoid(x); }

static tg_value logistic(const work *w)
{
    return tg_bce_with_logits(scores(w, NULL), w->target);
}
static tg_value relu_net(const work *w) { return tg_cross_entropy(scores(w, as_relu), w->target); }
static tg_value tanh_net(const work *w) { return tg_cross_entropy(scores(w, as_tanh), w->target); }
static tg_value sigmoid_net(const work *w) { return tg_mse(scores(w, as_sigmoid), w->target); }
static tg_value blocks(const work *w) { return tg_mean(tg_square(tg_nn_forward(w->net, w->x))); }

/* ---- making them ----------------------------------------------------------------------------- */

/* Elements of a leaf of any type. */
static const void *elements(tg_value v)
{
    const tg_type type = tg_type_of(v);
    if (type == TG_F32) return tg_data_f32(v);
    return type == TG_F64 ? (const void *)tg_data(v) : tg_data_i64(v);
}

static const void *gradient(tg_value v)
{
    return tg_type_of(v) == TG_F32 ? (const void *)tg_grad_f32(v) : tg_grad(v);
}

static tg_value random_leaf(const work *w, tg_leaf kind, double size, int rank, const int64_t *dim)
{
    static uint64_t seed = 1;
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= dim[i];
    void *const data = numbers(n);
    for (int64_t i = 0; i < n; i++) put(w->type, data, i, draw(&seed, -size, size));
    const tg_value v = tg_leaf_new(w->tape, kind, w->type, data, rank, dim, NULL);
    free(data);
    return v;
}

static void make_layers(work *w)
{
    const hand *const h = &w->h;
    const int64_t last = h->layer[h->layers - 1], batch = h->batch;
    w->x = random_leaf(w, TG_INPUT, 1, 2, (int64_t[]){ batch, h->layer[0] });
    for (int i = 1; i < h->layers; i++) {
        const int64_t dim[] = { h->layer[i], h->layer[i - 1] };
        const double size = 1 / sqrt((double)dim[1]);
        w->p[w->n++] = random_leaf(w, TG_PARAMETER, size, 2, dim);
        w->p[w->n++] = random_leaf(w, TG_PARAMETER, size, 1, dim);
    }
    if (last > 1) {
        int *const label = need(malloc((size_t)batch * sizeof *label));
        for (int i = 0; i < batch; i++) label[i] = i * 7 % (int)last;
        w->target = tg_index(w->tape, label, batch);
        w->h.label = label;
    } else {
        void *const target = numbers(batch);
        for (int i = 0; i < batch; i++) put(w->type, target, i, i % 3 == 0);
        w->target = tg_leaf_new(w->tape, TG_INPUT, w->type, target, 2, (int64_t[]){ batch, 1 }, NULL);
        w->h.target = target;
    }
}

static void make_blocks(work *w)
{
    const hand *const h = &w->h;
    const int64_t c = h->layer[0];
    tg_nn *block[8];
    for (int i = 0; i < h->layers; i++)
        block[i] = tg_nn_transformer(c, h->heads, .causal = true, .activation = "gelu_tanh");
    w->net = tg_nn_sequential_new(block, h->layers);
    /* As behind an embedding: the gradient by x is wanted. */
    w->x = random_leaf(w, TG_PARAMETER, 1, 3, (int64_t[]){ h->batch, h->length, c });
    const tg_nn_options start = { .seed = 1, .bias = { .scheme = TG_INIT_NORMAL, .b = 0.1 } };
    if (!tg_nn_build(w->net, w->tape, &start)) exit(1);
    w->n = tg_nn_count(w->net);
    memcpy(w->p, tg_nn_parameters(w->net), (size_t)w->n * sizeof *w->p);
}

static void *editable(tg_value leaf)
{
    return tg_type_of(leaf) == TG_F32 ? (void *)tg_edit_f32(leaf) : tg_edit(leaf);
}

/* What was compiled has seen other numbers. */
static void change_leaves(const work *w)
{
    uint64_t seed = 2;
    for (int i = 0; i <= w->n; i++) {
        const tg_value leaf = i < w->n ? w->p[i] : w->x;
        void *const x = editable(leaf);
        for (int64_t k = 0; k < tg_size(leaf); k++) put(w->type, x, k, number(w->type, x, k) * draw(&seed, .99, 1.01));
    }
}

/* The expert's arrays: copies of the tape's parameters, and room. */
static void make_hand(work *w)
{
    hand *const h = &w->h;
    const size_t bytes = size_of(w->type);
    void *const x = numbers(tg_size(w->x));
    h->x = memcpy(x, elements(w->x), (size_t)tg_size(w->x) * bytes);
    for (int i = 0; i < w->n; i++) {
        const int64_t n = tg_size(w->p[i]);
        h->g[i] = numbers(n);
        h->p[i] = memcpy(numbers(n), elements(w->p[i]), (size_t)n * bytes);
    }
    w->first = number(w->type, h->p[0], 0);
    h->dx = numbers(tg_size(w->x));
    if (w->type == TG_F32) h->room = numbers(h->heads ? hand_blocks_room_f32(h) : hand_net_room_f32(h));
    else h->room = numbers(h->heads ? hand_blocks_room_f64(h) : hand_net_room_f64(h));
    if (w->record == tanh_net || w->record == sigmoid_net) (w->type == TG_F32 ? hand_turn_f32 : hand_turn_f64)(h);
}

/* All leaves are shared inputs of one instance. Left out where the compiler refuses the model, or there is no C for
   it. */
static void make_program(work *w)
{
    tg_value input[MOST_PARAMETERS + 2];
    int wrt[MOST_PARAMETERS + 1], n = 0;
    const tg_value loss = w->record(w);
    for (int i = 0; i < w->n; i++) wrt[n] = n, input[n++] = w->p[i];
    wrt[n] = n;
    input[n++] = w->x;
    if (!w->net) input[n++] = w->target;
    tg_status status = { 0 };
    const double start = now_ns();
    tg_program *const p = tg_compile(&loss, 1, NULL, 0, input, n, NULL, &status);
    const tg_gradient_options by = { .wrt = wrt, .n_wrt = w->n + (w->net ? 1 : 0) };
    w->program = p ? tg_gradient_program(p, &by, &status) : NULL;
    w->space = w->program ? tg_workspace_new(w->program, 1, &status) : NULL;
    w->compile_ns = now_ns() - start;
    if (!w->space) fprintf(stderr, "%s: no program: %s\n", w->name, status.message);
    tg_program_free(p);
    for (int i = 0; i < n; i++) w->from[i] = elements(input[i]);
    for (int i = 0; i <= by.n_wrt; i++) w->to[i] = numbers(i ? tg_size(input[i - 1]) : 1);
    tg_release(w->mark);
    if (w->space) w->c = emitted_new(w->program);
    const double begin = now_ns();
    if (!w->c || !emitted_run(w->c, 1, w->from, w->to) || now_ns() - begin < too_long) return;
    emitted_free(w->c);
    w->c = NULL;
}

/* ---- checking and timing --------------------------------------------------------------------- */

/* No timed run has the parameters of the one before: the first number of all changes, the tape's and the expert's. */
static void change_number(work *w)
{
    const double x = w->first * timed_factor();
    put(w->type, w->h.p[0], 0, x);
    put(w->type, editable(w->p[0]), 0, x);
}

static void run(int way, void *user)
{
    work *const w = user;
    tg_status status;
    change_number(w);
    if (way == EXPERT) {
        loss_by_hand(w);
    } else if (way == PROGRAM) {
        if (!tg_run(w->program, w->space, 1, w->from, w->to, &status)) exit(1);
    } else if (way == EMITTED) {
        if (!emitted_run(w->c, 1, w->from, w->to)) exit(1);
    } else {
        if (!tg_backward(w->record(w))) exit(1);
        tg_release(w->mark);
    }
}

/* Holds a side's gradient against the expert's. */
static void agree(bench_row *r, side s, tg_type type, int64_t n, const void *got, const void *expected)
{
    double *const a = need(malloc((size_t)n * sizeof *a)), *const b = need(malloc((size_t)n * sizeof *b));
    for (int64_t i = 0; i < n; i++) a[i] = number(type, got, i), b[i] = number(type, expected, i);
    report_agree(r, s, (size_t)n, a, b);
    free(a);
    free(b);
}

/* All that a program, of any kind, gave. */
static void check_program(bench_row *r, side s, const work *w, double value)
{
    const double loss = number(w->type, w->to[0], 0);
    report_same(r, s, 1, &loss, &value);
    for (int i = 0; i < w->n && !r->wrong; i++)
        agree(r, s, w->type, tg_size(w->p[i]), w->to[i + 1], w->h.g[i]);
    if (w->net && !r->wrong) agree(r, s, w->type, tg_size(w->x), w->to[w->n + 1], w->h.dx);
}

static void check(bench_row *r, work *w)
{
    const tg_value loss = w->record(w);
    if (!tg_backward(loss)) exit(1);
    const double value = tg_item(loss), by_hand = loss_by_hand(w);
    report_same(r, SIDE_EAGER, 1, &value, &by_hand);
    for (int i = 0; i < w->n && !r->wrong; i++)
        agree(r, SIDE_EAGER, w->type, tg_size(w->p[i]), gradient(w->p[i]), w->h.g[i]);
    if (w->net) agree(r, SIDE_EAGER, w->type, tg_size(w->x), gradient(w->x), w->h.dx);
    if (w->space) {
        run(PROGRAM, w);
        check_program(r, SIDE_PROGRAM, w, by_hand);
    }
    if (w->c) {
        run(EMITTED, w);
        check_program(r, SIDE_EMITTED, w, by_hand);
    }
    tg_release(w->mark);
}

/* ---- by rows ---------------------------------------------------------------------------------- */

/* The program of one row of x, or one sequence, with the mean of all rows' gradients; and each
   sequence's own. Its inputs: x, the target, the parameters. */
static tg_program *program_of_row(const work *w, tg_status *status)
{
    work one = *w;
    int wrt[MOST_PARAMETERS + 1], n = 0;
    const int inputs = w->net ? 1 : 2;
    const int64_t dim[] = { w->h.length, w->h.layer[0] };
    const tg_value x = tg_leaf_new(w->tape, TG_INPUT, w->type, NULL, w->net ? 2 : 1, w->net ? dim : dim + 1, NULL);
    one.x = w->net ? tg_unsqueeze(x, .axis = 0) : x;
    if (w->h.label) one.target = tg_index(w->tape, w->h.label); /* one */
    else one.target = tg_leaf_new(w->tape, TG_INPUT, w->type, NULL, 1, (int64_t[]){ 1 }, NULL);
    const tg_value loss = w->record(&one), varies[] = { x, one.target };
    tg_program *const p = tg_compile(&loss, 1, varies, inputs, w->p, w->n, NULL, status);
    while (n < w->n) wrt[n] = inputs + n, n++;
    if (w->net) wrt[n++] = 0;
    const tg_gradient_options mean = { .over = TG_BATCH_MEAN, .wrt = wrt, .n_wrt = n };
    tg_program *const g = p ? tg_gradient_program(p, &mean, status) : NULL;
    tg_program_free(p);
    tg_release(w->mark);
    return g;
}

/* Sides of a row of layout batch: the expert, and the program. */
typedef struct rows_task {
    work *w;
    const tg_program *program;
    tg_workspace *space[2]; /* of one thread, of two */
    const void *from[MOST_PARAMETERS + 2];
} rows_task;

static void run_in(int space, void *user)
{
    const rows_task *const t = user;
    change_number(t->w);
    if (!tg_run(t->program, t->space[space], t->w->h.batch, t->from, t->w->to, NULL)) exit(1);
}

static void run_rows(int way, void *user)
{
    const rows_task *const t = user;
    if (way != EXPERT) {
        run_in(0, user);
        return;
    }
    change_number(t->w);
    loss_by_hand(t->w);
}

static bench_row new_row(const work *w, const char *layout)
{
    return (bench_row){ .name = w->name, .size = w->size, .type = w->type == TG_F32 ? "f32" : "f64", .layout = layout,
                        .per = "step" };
}

static void measure_rows(work *w)
{
    tg_status status = { 0 };
    bench_row r = new_row(w, "batch");
    const double start = now_ns();
    tg_program *const p = program_of_row(w, &status);
    r.compile_ns = now_ns() - start;
    rows_task task = { .w = w, .program = p };
    for (int i = 0; i < 2; i++) {
        task.space[i] = p ? tg_workspace_new(p, i + 1, &status) : NULL;
        if (!task.space[i]) fprintf(stderr, "%s: no program: %s\n", w->name, status.message), exit(1);
    }
    int n = 0;
    task.from[n++] = elements(w->x);
    if (!w->net) task.from[n++] = elements(w->target);
    for (int i = 0; i < w->n; i++) task.from[n++] = elements(w->p[i]);
    change_number(w);
    const double value = loss_by_hand(w);
    run_rows(PROGRAM, &task);
    r.memory = program_bytes(p, task.space[0]);
    check_program(&r, SIDE_PROGRAM, w, value);
    timing t[2] = { { 0 } };
    report_time(2, (const side[]){ SIDE_EXPERT, SIDE_PROGRAM }, run_rows, &task, REPEATS, t);
    r.side[SIDE_EXPERT] = t[0], r.side[SIDE_PROGRAM] = t[1];
    if (!report_quick()) r.more[0].key = "two_threads", r.more[0].value = speed_of_second(run_in, &task);
    report_row(&r);
    for (int i = 0; i < 2; i++) tg_workspace_free(task.space[i]);
    tg_program_free(p);
}

/* ---- rows ------------------------------------------------------------------------------------- */

static void free_work(work *w)
{
    for (int i = 0; i < MOST_PARAMETERS + 2; i++) free(w->to[i]);
    for (int i = 0; i < w->n; i++) free(w->h.p[i]), free(w->h.g[i]);
    free((void *)(uintptr_t)w->h.x);
    free((void *)(uintptr_t)w->h.target);
    free((void *)(uintptr_t)w->h.label);
    free(w->h.dx);
    free(w->h.room);
    emitted_free(w->c);
    tg_workspace_free(w->space);
    tg_program_free(w->program);
    tg_nn_free(w->net);
    tg_tape_free(w->tape);
}

static void measure(work *w, tg_type type)
{
    static const side sides[WAYS] = { SIDE_EXPERT, SIDE_EAGER, SIDE_PROGRAM, SIDE_EMITTED };
    w->type = type;
    w->tape = need(tg_tape_new(&(tg_tape_options){ .type = type }));
    if (w->h.heads) make_blocks(w);
    else make_layers(w);
    w->mark = tg_tape_mark(w->tape);
    make_program(w);
    change_leaves(w);
    make_hand(w);
    bench_row r = new_row(w, NULL);
    r.compile_ns = w->compile_ns;
    check(&r, w);
    timing t[WAYS] = { { 0 } };
    report_time(w->c ? WAYS : w->space ? EMITTED : PROGRAM, sides, run, w, REPEATS, t);
    for (int i = 0; i < WAYS; i++) r.side[sides[i]] = t[i];
    r.memory = (double)tg_stats(w->tape).bytes_held;
    report_row(&r);
    measure_rows(w);
    free_work(w);
}

/* The expert's functions keep the promise that the library's do. */
static void check_functions(void)
{
    const double error[] = { hand_error_f32(), hand_error_f64() };
    if (error[0] <= 4 && error[1] <= 4) return;
    fprintf(stderr, "steps: the expert's functions are off by %.1f ulp in f32, %.1f in f64\n", error[0], error[1]);
    exit(1);
}

#define BY_HAND(STEP) .by_hand = { hand_##STEP##_f32, hand_##STEP##_f64 }

int main(int argc, char **argv)
{
    static const work works[] = {
        { .name = "a-logistic", .size = "1000x100", .record = logistic, BY_HAND(logistic),
          .h = { .batch = 1000, .layer = { 100, 1 }, .layers = 2 } },
        { .name = "b-softmax", .size = "784-10,64", .record = relu_net, BY_HAND(softmax),
          .h = { .batch = 64, .layer = { 784, 10 }, .layers = 2 } },
        { .name = "c-tanh-net", .size = "2-100-3,300", .record = tanh_net, BY_HAND(tanh_net),
          .h = { .batch = 300, .layer = { 2, 100, 3 }, .layers = 3 } },
        { .name = "d-relu-net", .size = "784-256-128-10,64", .record = relu_net, BY_HAND(relu_net),
          .h = { .batch = 64, .layer = { 784, 256, 128, 10 }, .layers = 4 } },
        { .name = "d-relu-net", .size = "784-256-128-10,512", .record = relu_net, BY_HAND(relu_net),
          .h = { .batch = 512, .layer = { 784, 256, 128, 10 }, .layers = 4 } },
        { .name = "e-sigmoid-net", .size = "1-50-1,200", .record = sigmoid_net, BY_HAND(sigmoid_net),
          .h = { .batch = 200, .layer = { 1, 50, 1 }, .layers = 3 } },
        { .name = "f-gpt-blocks", .size = "2,4x64x128", .record = blocks, BY_HAND(blocks),
          .h = { .batch = 4, .layer = { 128 }, .layers = 2, .heads = 4, .length = 64 } },
    };
    report_begin(argc, argv, "steps", "Training steps against an expert's code with OpenBLAS.");
    check_functions();
    for (int type = 0; type < 2; type++) {
        report_title("value and gradients of a step, %s", type ? "f64" : "f32");
        for (int i = 0; i < (int)(sizeof works / sizeof *works); i++) {
            work w = works[i];
            if (report_wants(w.name, w.size)) measure(&w, type ? TG_F64 : TG_F32);
        }
    }
    return report_end();
}
