/* How cost and memory grow: with the length of the tape, with the batch, the width and the depth of a
   network, and the time that compiling takes with the number of operations. All must be linear: the
   exponents are fitted to the larger half of the sizes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <tapegrad.h>
#include <tapegrad/program.h>
#include <tapegrad/short.h>

#include "report.h"

enum { REPEATS = 5, DEEPEST = 512 };

typedef struct task {
    tg_tape *tape;
    tg_mark mark;
    Value x, y, p[2 * DEEPEST + 2];
    int layers;
    double length;
    size_t used; /* bytes, when all was recorded and walked back */
    tg_program *program;
    tg_workspace *room;
    const void *from[2 * DEEPEST + 4];
    void *to[2 * DEEPEST + 4];
    int inputs;
} task;

static void finish(task *k, Value loss)
{
    if (!tg_backward(loss)) exit(1);
    k->used = tg_stats(k->tape).bytes_used;
    tg_release(k->mark);
}

static bench_row new_row(const char *name, const char *size, const char *layout, const char *per)
{
    return (bench_row){ .name = name, .size = size, .type = "f64", .layout = layout, .per = per };
}

/* ---- the tape ---------------------------------------------------------------------------------- */

static void record_chain(int way, void *user)
{
    task *const k = user;
    (void)way;
    Value y = k->x;
    for (double i = 0; i < k->length; i += 2) y = add(mul(y, k->x), k->y);
    finish(k, y);
}

/* Whether there is memory for so many operations and their adjoints. */
static bool fits(double length)
{
    FILE *const f = fopen("/proc/meminfo", "r");
    char line[128];
    double kilobytes = INFINITY;
    while (f && fgets(line, sizeof line, f)) sscanf(line, "MemAvailable: %lf", &kilobytes);
    if (f) fclose(f);
    return kilobytes * 1024 > 60 * length;
}

static void tape_length(const char *size)
{
    task k = { .tape = tg_tape_new(&(tg_tape_options){ .reserve = (size_t)8 << 30 }), .length = strtod(size, NULL) };
    k.x = scalar(k.tape, 1.0), k.y = scalar(k.tape, 1e-9);
    k.mark = tg_tape_mark(k.tape);
    bench_row r = new_row("tape-length", size, "scalar-ops", "recording");
    report_time(1, (const side[]){ SIDE_EAGER }, record_chain, &k, REPEATS, &r.side[SIDE_EAGER]);
    r.memory = (double)k.used;
    r.more[0].key = "ns_per_op", r.more[0].value = r.side[SIDE_EAGER].median / k.length;
    r.more[1].key = "bytes_per_op", r.more[1].value = (double)k.used / k.length;
    report_row(&r);
    tg_tape_free(k.tape);
}

/* ---- networks ---------------------------------------------------------------------------------- */

static Value net_model(const task *k)
{
    Value y = k->x;
    for (int i = 0; i < k->layers; i++) {
        y = linear(y, k->p[2 * i], k->p[2 * i + 1]);
        if (i + 1 < k->layers) y = tanh(y);
    }
    return cross_entropy(y, k->y);
}

static void run_net(int way, void *user)
{
    task *const k = user;
    if (timed_run()) tg_edit(k->p[0])[0] += 1e-9; /* no timed run has the numbers of the one before */
    if (way == 0) finish(k, net_model(k));
    else if (!tg_run(k->program, k->room, 1, k->from, k->to, NULL)) exit(1);
}

static double *numbers(int64_t n)
{
    double *const p = malloc((size_t)n * sizeof *p);
    if (!p) exit(1);
    for (int64_t i = 0; i < n; i++) p[i] = (double)(i * 7919 % 1009) / 1009 - 0.5;
    return p;
}

static Value parameter(task *k, int64_t rows, int64_t columns)
{
    double *const data = numbers(rows * columns);
    for (int64_t i = 0; i < rows * columns; i++) data[i] /= sqrt((double)columns);
    const Value v = rows > 1 ? param(k->tape, data, rows, columns) : param(k->tape, data, columns);
    free(data);
    return v;
}

/* A network of two inputs and three classes: value and gradient of all parameters. */
static void network(const char *name, const char *size, int64_t batch, int64_t width, int layers)
{
    task *const k = calloc(1, sizeof *k);
    int *const label = calloc((size_t)batch, sizeof *label);
    if (!k || !label) exit(1);
    double *const data = numbers(batch * 2);
    for (int64_t i = 0; i < batch; i++) label[i] = (int)(i % 3);
    k->tape = tg_tape_new(NULL);
    k->x = input(k->tape, data, batch, 2);
    k->y = index(k->tape, label, batch);
    k->layers = layers;
    for (int i = 0; i < layers; i++) {
        const int64_t in = i ? width : 2, out = i + 1 < layers ? width : 3;
        k->p[2 * i] = parameter(k, out, in);
        k->p[2 * i + 1] = parameter(k, 1, out);
    }
    k->mark = tg_tape_mark(k->tape);
    const Value loss = net_model(k);
    tg_program *const p = tg_compile(&loss, 1, NULL, 0, k->p, 2 * layers, NULL, NULL);
    k->program = tg_gradient_program(p, NULL, NULL);
    k->room = tg_workspace_new(k->program, 1, NULL);
    k->to[0] = numbers(1);
    for (int i = 0; i < 2 * layers; i++) {
        k->from[i] = tg_data(k->p[i]);
        k->to[i + 1] = numbers(tg_size(k->p[i]));
    }
    if (!tg_backward(loss)) exit(1);
    run_net(1, k);
    bench_row r = new_row(name, size, "tanh-net", "step");
    report_agree(&r, SIDE_PROGRAM, (size_t)tg_size(k->p[0]), k->to[1], tg_grad(k->p[0]));
    tg_release(k->mark);
    timing t[2];
    report_time(2, (const side[]){ SIDE_EAGER, SIDE_PROGRAM }, run_net, k, REPEATS, t);
    r.side[SIDE_EAGER] = t[0], r.side[SIDE_PROGRAM] = t[1];
    r.memory = (double)k->used;
    report_row(&r);
    for (int i = 0; i <= 2 * layers; i++) free(k->to[i]);
    tg_workspace_free(k->room);
    tg_program_free(k->program);
    tg_program_free(p);
    tg_tape_free(k->tape);
    free(data), free(label), free(k);
}

static void batch(const char *size)
{
    network("batch", size, strtol(size, NULL, 10), 100, 2);
}

static void width(const char *size)
{
    network("width", size, 64, strtol(size, NULL, 10), 2);
}

static void depth(const char *size)
{
    network("depth", size, 16, 32, (int)strtol(size, NULL, 10));
}

/* ---- compiling --------------------------------------------------------------------------------- */

/* Such a network in scalar operations, of this many hidden ones. */
static Value scalar_net(tg_tape *t, int hidden, Value *x, Value *p)
{
    *x = input(t, (double *)NULL, 2);
    *p = param(t, (double *)NULL, 4 * hidden);
    Value y = at(*p, 0);
    for (int j = 0; j < hidden; j++) {
        Value z = at(*p, 4 * j);
        for (int i = 0; i < 2; i++) z = add(z, mul(at(*p, 4 * j + 1 + i), at(*x, i)));
        y = add(y, mul(at(*p, 4 * j + 3), tanh(z)));
    }
    return square(y);
}

/* What is timed: the program; and its gradient's, made of it. Plans are made by the first run that needs them: the one for
   one instance, and the one for several. */
enum { COMPILED, DERIVED, RUN_ONCE, RUN_TWICE, COMPILATIONS };

typedef struct compilation {
    Value loss, x, p;
    const void *from[2];
    void *to[2];
} compilation;

static void compile(int way, void *user)
{
    const compilation *const c = user;
    tg_program *const p = tg_compile(&c->loss, 1, &c->x, 1, &c->p, 1, NULL, NULL);
    tg_program *const g = way == COMPILED ? NULL : tg_gradient_program(p, NULL, NULL);
    tg_workspace *const room = way <= DERIVED ? NULL : tg_workspace_new(g, 1, NULL);
    const int64_t instances = way == RUN_ONCE ? 1 : 2;
    if (!p || (way > COMPILED && !g) || (way > DERIVED && !tg_run(g, room, instances, c->from, c->to, NULL))) exit(1);
    tg_workspace_free(room);
    tg_program_free(g);
    tg_program_free(p);
}

static void compiling(const char *size)
{
    enum { OPS_OF_ONE = 7 };
    const int hidden = (int)(strtod(size, NULL) / OPS_OF_ONE) + 1;
    tg_tape *const t = tg_tape_new(NULL);
    compilation c;
    c.loss = scalar_net(t, hidden, &c.x, &c.p);
    c.from[0] = numbers(2 * 2), c.from[1] = numbers(4 * hidden);
    c.to[0] = numbers(1), c.to[1] = numbers(4 * hidden);
    bench_row r = new_row("compile", size, "scalar-net", "compilation");
    timing of[COMPILATIONS];
    const side all[COMPILATIONS] = { SIDE_PROGRAM, SIDE_PROGRAM, SIDE_PROGRAM, SIDE_PROGRAM };
    report_time(COMPILATIONS, all, compile, &c, 3, of);
    const double ops = (double)tg_stats(t).instructions;
    r.side[SIDE_PROGRAM] = of[DERIVED];
    r.more[0].key = "compile_ns_per_op", r.more[0].value = of[COMPILED].median / ops;
    r.more[1].key = "gradient_ns_per_op", r.more[1].value = (of[DERIVED].median - of[COMPILED].median) / ops;
    r.more[2].key = "both_ns_per_op", r.more[2].value = of[DERIVED].median / ops;
    r.more[3].key = "first_run_ns_per_op", r.more[3].value = (of[RUN_ONCE].median - of[DERIVED].median) / ops;
    r.more[4].key = "first_batch_ns_per_op", r.more[4].value = (of[RUN_TWICE].median - of[DERIVED].median) / ops;
    report_row(&r);
    for (int i = 0; i < 2; i++) free((void *)(uintptr_t)c.from[i]), free(c.to[i]);
    tg_tape_free(t);
}

/* ---- the rows ---------------------------------------------------------------------------------- */

enum { SIZES = 7 };

static const struct growth {
    const char *name, *layout, *title;
    void (*measure)(const char *size);
    side of;
    const char *size[SIZES];
} growths[] = {
    { "tape-length",
      "scalar-ops",
      "a chain of scalar operations: recorded and walked back",
      tape_length,
      SIDE_EAGER,
      { "1e2", "1e3", "1e4", "1e5", "1e6", "1e7", "1e8" } },
    { "batch",
      "tanh-net",
      "2-100-3 network, by the batch",
      batch,
      SIDE_EAGER,
      { "16", "64", "256", "1024", "4096", "16384", "65536" } },
    { "width",
      "tanh-net",
      "2-n-3 network, batch 64, by the width n",
      width,
      SIDE_EAGER,
      { "16", "64", "256", "1024", "4096", "16384" } },
    { "depth", "tanh-net", "network of n layers of 32, batch 16", depth, SIDE_EAGER, { "2", "8", "32", "128", "512" } },
    { "compile",
      "scalar-net",
      "a network of n scalar operations: compiling it, its gradient's program, and the first run of that, which plans it",
      compiling,
      SIDE_PROGRAM,
      { "1e2", "1e3", "1e4", "1e5", "1e6" } },
};

int main(int argc, char **argv)
{
    report_begin(argc, argv, "growth",
                 "How cost and memory grow. tape-length/1e8 takes 6 GB, and is done where there are.");
    for (size_t i = 0; i < sizeof growths / sizeof *growths; i++) {
        const struct growth *const g = &growths[i];
        report_title("%s", g->title);
        for (int s = 0; s < (report_quick() ? 3 : SIZES) && g->size[s]; s++) {
            if (!report_wants(g->name, g->size[s])) continue;
            if (g->measure == tape_length && !fits(strtod(g->size[s], NULL)))
                printf("tape-length %s: not enough memory\n", g->size[s]);
            else g->measure(g->size[s]);
        }
        report_fit(g->name, g->layout, g->of);
    }
    return report_end();
}
