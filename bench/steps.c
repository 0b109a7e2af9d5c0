/* Training steps: value and gradients of whole models against the same derived by hand by an expert
   (steps_hand.c), f32, one thread. Eager: recorded anew and walked back in every step. Program: the
   same recording, compiled once. Layout batch: a program of one row, run for all, by one thread and by two. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cblas.h>
#include <tapegrad.h>
#include <tapegrad/nn.h>
#include <tapegrad/program.h>

#include "steps_hand.h"
#include "report.h"

enum { REPEATS = 31, BY_HAND = 0, EAGER, PROGRAM, WAYS };

typedef struct work work;
struct work {
    const char *name, *size;
    hand h;
    float (*by_hand)(hand *h);
    tg_value (*record)(const work *w);
    tg_tape *tape;
    tg_mark mark;
    tg_value x, target; /* target: numbers or classes */
    tg_value p[MOST_PARAMETERS];
    int n; /* parameters */
    tg_nn *net;
    tg_program *program;
    tg_workspace *space;
    double compile_ns;
    const void *from[MOST_PARAMETERS + 2];
    void *to[MOST_PARAMETERS + 2];
    bool by_rows; /* there is a row of layout batch, too */
};

static void *need(void *p)
{
    if (p) return p;
    fprintf(stderr, "no memory\n");
    exit(1);
}

static float *floats(int64_t n)
{
    return need(aligned_alloc(64, (size_t)(n + 16) / 16 * 64));
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

/* Elements of a leaf of either type. */
static const void *elements(tg_value v)
{
    return tg_type_of(v) == TG_F32 ? (const void *)tg_data_f32(v) : (const void *)tg_data_i64(v);
}

static tg_value random_leaf(tg_tape *t, tg_leaf kind, double size, int rank, const int64_t *dim)
{
    static unsigned seed = 1;
    int64_t n = 1;
    for (int i = 0; i < rank; i++) n *= dim[i];
    float *const data = floats(n);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        data[i] = (float)(size * ((double)(seed >> 8) / (1 << 23) - 1));
    }
    const tg_value v = tg_leaf_new(t, kind, TG_F32, data, rank, dim, NULL);
    free(data);
    return v;
}

static void make_layers(work *w)
{
    const hand *const h = &w->h;
    const int64_t last = h->layer[h->layers - 1], batch = h->batch;
    w->x = random_leaf(w->tape, TG_INPUT, 1, 2, (int64_t[]){ batch, h->layer[0] });
    for (int i = 1; i < h->layers; i++) {
        const int64_t dim[] = { h->layer[i], h->layer[i - 1] };
        const double size = 1 / sqrt((double)dim[1]);
        w->p[w->n++] = random_leaf(w->tape, TG_PARAMETER, size, 2, dim);
        w->p[w->n++] = random_leaf(w->tape, TG_PARAMETER, size, 1, dim);
    }
    if (last > 1) {
        int *const label = need(malloc((size_t)batch * sizeof *label));
        for (int i = 0; i < batch; i++) label[i] = i * 7 % (int)last;
        w->target = tg_index(w->tape, label, batch);
        w->h.label = label;
    } else {
        float *const target = floats(batch);
        for (int i = 0; i < batch; i++) target[i] = (float)(i % 3 == 0);
        w->target = tg_input(w->tape, target, batch, 1);
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
    w->x = random_leaf(w->tape, TG_PARAMETER, 1, 3, (int64_t[]){ h->batch, h->length, c });
    const tg_nn_options start = { .seed = 1, .bias = { .scheme = TG_INIT_NORMAL, .b = 0.1 } };
    if (!tg_nn_build(w->net, w->tape, &start)) exit(1);
    w->n = tg_nn_count(w->net);
    memcpy(w->p, tg_nn_parameters(w->net), (size_t)w->n * sizeof *w->p);
}

/* The expert's arrays: copies of the tape's parameters, and room. */
static void make_hand(work *w)
{
    hand *const h = &w->h;
    float *const x = floats(tg_size(w->x));
    memcpy(x, tg_data_f32(w->x), (size_t)tg_size(w->x) * sizeof *x);
    h->x = x;
    for (int i = 0; i < w->n; i++) {
        const int64_t n = tg_size(w->p[i]);
        h->p[i] = floats(n);
        h->g[i] = floats(n);
        memcpy(h->p[i], tg_data_f32(w->p[i]), (size_t)n * sizeof(float));
    }
    h->dx = floats(tg_size(w->x));
    h->room = floats(hand_room(h));
    if (w->record == tanh_net || w->record == sigmoid_net) hand_turn(h);
}

/* All leaves are shared inputs of one instance. Left out where the compiler refuses the model. */
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
    for (int i = 0; i <= by.n_wrt; i++) w->to[i] = floats(i ? tg_size(input[i - 1]) : 1);
    tg_release(w->mark);
}

/* ---- checking and timing --------------------------------------------------------------------- */

static void run(int way, void *user)
{
    work *const w = user;
    tg_status status;
    if (way == BY_HAND) {
        w->by_hand(&w->h);
    } else if (way == PROGRAM) {
        if (!tg_run(w->program, w->space, 1, w->from, w->to, &status)) exit(1);
    } else {
        if (!tg_backward(w->record(w))) exit(1);
        tg_release(w->mark);
    }
}

/* Holds a side's gradient against the expert's. */
static void agree(bench_row *r, side s, int64_t n, const float *got, const float *expected)
{
    double *const a = need(malloc((size_t)n * sizeof *a)), *const b = need(malloc((size_t)n * sizeof *b));
    for (int64_t i = 0; i < n; i++) a[i] = (double)got[i], b[i] = (double)expected[i];
    report_agree(r, s, (size_t)n, a, b);
    free(a);
    free(b);
}

static void check(bench_row *r, work *w)
{
    const tg_value loss = w->record(w);
    if (!tg_backward(loss)) exit(1);
    const float value = (float)tg_item(loss), by_hand = w->by_hand(&w->h);
    agree(r, SIDE_EAGER, 1, &value, &by_hand);
    if (w->space) run(PROGRAM, w);
    for (int i = 0; i < w->n && !r->wrong; i++) {
        agree(r, SIDE_EAGER, tg_size(w->p[i]), tg_grad_f32(w->p[i]), w->h.g[i]);
        if (w->space) agree(r, SIDE_PROGRAM, tg_size(w->p[i]), w->to[i + 1], w->h.g[i]);
    }
    if (w->net) agree(r, SIDE_EAGER, tg_size(w->x), tg_grad_f32(w->x), w->h.dx);
    tg_release(w->mark);
}

/* ---- by rows ---------------------------------------------------------------------------------- */

/* The program of one row of x, with the mean of all rows' gradients. */
static tg_program *program_of_row(const work *w, tg_status *status)
{
    work one = *w;
    const int64_t in = w->h.layer[0];
    one.x = tg_leaf_new(w->tape, TG_INPUT, TG_F32, NULL, 1, &in, NULL);
    one.target = w->h.label ? tg_index(w->tape, w->h.label) /* one */
                            : tg_input(w->tape, (float *)NULL, 1);
    const tg_value loss = w->record(&one), varies[] = { one.x, one.target };
    tg_program *const p = tg_compile(&loss, 1, varies, 2, w->p, w->n, NULL, status);
    tg_program *const g =
        p ? tg_gradient_program(p, &(tg_gradient_options){ .over = TG_BATCH_MEAN }, status) : NULL;
    tg_program_free(p);
    tg_release(w->mark);
    return g;
}

/* Sides of a row of layout batch: the expert, and the program by one thread. */
typedef struct rows_task {
    work *w;
    const tg_program *program;
    tg_workspace *space;
    const void *from[MOST_PARAMETERS + 2];
} rows_task;

static void run_rows(int way, void *user)
{
    rows_task *const t = user;
    if (way == BY_HAND) t->w->by_hand(&t->w->h);
    else if (!tg_run(t->program, t->space, t->w->h.batch, t->from, t->w->to, NULL)) exit(1);
}

/* How much faster two threads are: the best of many runs each, by the clock. */
static double speed_of_two(rows_task *t)
{
    double best[2] = { INFINITY, INFINITY };
    tg_workspace *const space[2] = { t->space, need(tg_workspace_new(t->program, 2, NULL)) };
    for (int i = 0; i < 400; i++) {
        t->space = space[i % 2];
        const double start = wall_ns();
        run_rows(PROGRAM, t);
        best[i % 2] = fmin(best[i % 2], wall_ns() - start);
    }
    t->space = space[0];
    tg_workspace_free(space[1]);
    return best[0] / best[1];
}

static void measure_rows(work *w)
{
    tg_status status = { 0 };
    tg_program *const p = program_of_row(w, &status);
    rows_task task = { .w = w, .program = p, .space = p ? tg_workspace_new(p, 1, &status) : NULL };
    if (!task.space) {
        fprintf(stderr, "%s: no program: %s\n", w->name, status.message);
        exit(1);
    }
    task.from[0] = elements(w->x), task.from[1] = elements(w->target);
    for (int i = 0; i < w->n; i++) task.from[2 + i] = elements(w->p[i]);
    bench_row r = { .name = w->name, .size = w->size, .type = "f32", .layout = "batch", .per = "step" };
    run_rows(BY_HAND, &task);
    run_rows(PROGRAM, &task);
    for (int i = 0; i < w->n && !r.wrong; i++)
        agree(&r, SIDE_PROGRAM, tg_size(w->p[i]), w->to[i + 1], w->h.g[i]);
    timing t[2] = { { 0 } };
    report_time(2, (const side[]){ SIDE_EXPERT, SIDE_PROGRAM }, run_rows, &task, REPEATS, t);
    r.side[SIDE_EXPERT] = t[0], r.side[SIDE_PROGRAM] = t[1];
    if (!report_quick()) r.more[0].key = "two_threads", r.more[0].value = speed_of_two(&task);
    report_row(&r);
    tg_workspace_free(task.space);
    tg_program_free(p);
}

/* ---- rows ------------------------------------------------------------------------------------- */

static void measure(work *w)
{
    static const side sides[WAYS] = { SIDE_EXPERT, SIDE_EAGER, SIDE_PROGRAM };
    w->tape = need(tg_tape_new(&(tg_tape_options){ .type = TG_F32 }));
    if (w->h.heads) make_blocks(w);
    else make_layers(w);
    w->mark = tg_tape_mark(w->tape);
    make_hand(w);
    make_program(w);
    bench_row r = { .name = w->name, .size = w->size, .type = "f32", .per = "step", .compile_ns = w->compile_ns };
    check(&r, w);
    timing t[WAYS] = { { 0 } };
    report_time(w->space ? WAYS : PROGRAM, sides, run, w, REPEATS, t);
    for (int i = 0; i < WAYS; i++) r.side[sides[i]] = t[i];
    r.memory = (double)tg_stats(w->tape).bytes_held;
    report_row(&r);
    if (w->by_rows) measure_rows(w);
}

int main(int argc, char **argv)
{
    static work works[] = {
        { .name = "a-logistic", .size = "1000x100", .record = logistic, .by_hand = hand_logistic,
          .by_rows = true, .h = { .batch = 1000, .layer = { 100, 1 }, .layers = 2 } },
        { .name = "b-softmax", .size = "784-10,64", .record = relu_net, .by_hand = hand_softmax,
          .h = { .batch = 64, .layer = { 784, 10 }, .layers = 2 } },
        { .name = "c-tanh-net", .size = "2-100-3,300", .record = tanh_net, .by_hand = hand_tanh_net,
          .h = { .batch = 300, .layer = { 2, 100, 3 }, .layers = 3 } },
        { .name = "d-relu-net", .size = "784-256-128-10,64", .record = relu_net, .by_hand = hand_relu_net,
          .h = { .batch = 64, .layer = { 784, 256, 128, 10 }, .layers = 4 } },
        { .name = "d-relu-net", .size = "784-256-128-10,512", .record = relu_net, .by_hand = hand_relu_net,
          .by_rows = true, .h = { .batch = 512, .layer = { 784, 256, 128, 10 }, .layers = 4 } },
        { .name = "e-sigmoid-net", .size = "1-50-1,200", .record = sigmoid_net,
          .by_hand = hand_sigmoid_net, .h = { .batch = 200, .layer = { 1, 50, 1 }, .layers = 3 } },
        { .name = "f-gpt-blocks", .size = "2,4x64x128", .record = blocks,
          .by_hand = hand_blocks, .h = { .batch = 4, .layer = { 128 }, .layers = 2, .heads = 4, .length = 64 } },
    };
    report_begin(argc, argv, "steps", "Training steps against an expert's code with OpenBLAS.");
    report_title("value and gradients of a step");
    for (int i = 0; i < (int)(sizeof works / sizeof *works); i++)
        if (report_wants(works[i].name, works[i].size)) measure(&works[i]);
    return report_end();
}
