/* Eager recording against gradients derived by hand: small works number by number and in vectors, as programs too; a
   tiny tensor operation, and a training loop in its steady state. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tapegrad.h>
#include <tapegrad/program.h>
#include <tapegrad/short.h>

#include "draw.h"
#include "report.h"
#include "works.h"

enum { REPEATS = 31 };

/* ---- works, number by number and in vectors ------------------------------------------------------ */

enum { COUNT = 1024, FEW = 64, LAYOUTS = 3, MOST_DOERS = 8 };

static const layout *const layouts[LAYOUTS] = { &scalar_ops, &scalar_ops_shared, &vector_ops };

/* A side of the rows of one layout; how NULL: of all rows. */
typedef struct doer {
    side s;
    const layout *how;
    eager *recorder;
    tg_program *program;
    tg_workspace *room;
    operands of;
    double one, d_one[MOST_PARAMETERS]; /* of a run of the program */
    double loss, d[MOST_PARAMETERS];    /* of all instances */
} doer;

typedef struct task {
    const work *w;
    int parameters, instances, doers;
    double p[MOST_PARAMETERS], *x, *y;
    doer doer[MOST_DOERS];
} task;

static void compile(task *k, doer *a)
{
    const work *const w = k->w;
    tg_tape *const t = tg_tape_new(NULL);
    const leaves l = leaves_new(w, a->how, t, NULL);
    const Value loss = loss_of(&l);
    const int batch = batch_leaves(w);
    const tg_compile_options o = { .block = a->s == SIDE_PROGRAM_1 };
    tg_status status = { 0 };
    tg_program *const value = tg_compile(&loss, 1, l.leaf, batch, l.leaf + batch, w->parts, &o, &status);
    a->program = tg_gradient_program(value, NULL, &status);
    a->room = tg_workspace_new(a->program, 1, &status);
    if (!a->room) fprintf(stderr, "%s\n", status.message), exit(1);
    tg_program_free(value);
    tg_tape_free(t);
    a->of = operands_of(w, sizeof(double), k->p, NULL, &a->one, a->d_one);
}

/* n instances from this one on. */
static void run(const task *k, doer *a, int first, int n)
{
    a->of.in[0] = k->x + first * k->w->inputs;
    if (k->w->targets) a->of.in[1] = k->y + first * k->w->targets;
    if (!tg_run(a->program, a->room, n, a->of.in, a->of.out, NULL)) exit(1);
    a->loss += a->one;
    for (int i = 0; i < k->parameters; i++) a->d[i] += a->d_one[i];
}

static void all_instances(int i, void *user)
{
    task *const k = user;
    doer *const a = &k->doer[i];
    const work *const w = k->w;
    const int first = first_instance(), end = first + k->instances;
    a->loss = 0;
    memset(a->d, 0, sizeof a->d);
    switch (a->s) {
    case SIDE_PLAIN:
        a->loss = w->plain(k->instances, k->p, k->x + first * w->inputs, k->y + first * w->targets, a->d);
        break;
    case SIDE_EAGER:
        for (int j = first; j < end; j++)
            a->loss += eager_step(a->recorder, k->x + j * w->inputs, k->y + j * w->targets, a->d);
        break;
    case SIDE_PROGRAM_1:
        for (int j = first; j < end; j++) run(k, a, j, 1);
        break;
    default: run(k, a, first, k->instances); break;
    }
}

static void add_doer(task *k, side s, const layout *how)
{
    doer *const a = &k->doer[k->doers++];
    *a = (doer){ .s = s, .how = how };
    if (s == SIDE_EAGER) a->recorder = eager_new(k->w, how, k->p);
    else if (s != SIDE_PLAIN) compile(k, a);
}

/* Targets are labels: of several numbers one is 1, of one every other. The program is the same, however it was
   recorded by number. */
static task *new_task(const work *w)
{
    task *const k = calloc(1, sizeof *k);
    if (!k) exit(1);
    k->w = w;
    k->parameters = part_begin(w, w->parts);
    k->instances = report_quick() ? FEW : COUNT;
    const int all = k->instances + SPARE;
    k->x = calloc((size_t)(all * w->inputs), sizeof(double));
    k->y = calloc((size_t)(all * w->targets + 1), sizeof(double));
    if (!k->x || !k->y) exit(1);
    uint64_t seed = 1;
    for (int i = 0; i < k->parameters; i++) k->p[i] = draw(&seed, w->low, w->high);
    for (int i = 0; i < all * w->inputs; i++) k->x[i] = draw(&seed, -1, 1);
    for (int i = 0; i < all && w->targets; i++) k->y[i * w->targets + i % w->targets] = w->targets > 1 || i % 2;
    add_doer(k, SIDE_PLAIN, NULL);
    for (int i = 0; i < LAYOUTS; i++) {
        if (!layouts[i]->record[w - works]) continue;
        add_doer(k, SIDE_EAGER, layouts[i]);
        if (layouts[i] == &scalar_ops_shared) continue;
        add_doer(k, SIDE_PROGRAM_1, layouts[i]);
        add_doer(k, SIDE_PROGRAM, layouts[i]);
    }
    return k;
}

static void free_task(task *k)
{
    for (int i = 0; i < k->doers; i++) {
        eager_free(k->doer[i].recorder);
        tg_workspace_free(k->doer[i].room);
        tg_program_free(k->doer[i].program);
    }
    free(k->x), free(k->y);
    free(k);
}

static void row(task *k, const layout *how, double operations, const timing *t)
{
    bench_row r = { .name = k->w->name, .size = k->w->size, .type = "f64", .layout = how->name, .per = "instance",
                    .units = k->instances };
    double bytes = 0;
    for (int i = 0; i < k->doers; i++) {
        doer *const a = &k->doer[i];
        if (a->how && a->how != how) continue;
        r.side[a->s] = t[i];
        all_instances(i, k);
        report_same(&r, a->s, 1, &a->loss, &k->doer[0].loss);
        report_agree(&r, a->s, (size_t)k->parameters, a->d, k->doer[0].d);
        if (a->s == SIDE_EAGER) bytes = eager_records(a->recorder).bytes;
    }
    r.more[0].key = "ns_per_op", r.more[0].value = r.side[SIDE_EAGER].median / k->instances / operations;
    if (how->by_number) r.more[1].key = "bytes_per_op", r.more[1].value = bytes / operations;
    report_row(&r);
}

static void measure(const work *w)
{
    task *const k = new_task(w);
    side sides[MOST_DOERS];
    timing t[MOST_DOERS];
    for (int i = 0; i < k->doers; i++) sides[i] = k->doer[i].s;
    const double operations = eager_records(k->doer[1].recorder).operations;
    report_title("%s of %.0f scalar operations: value and gradient", w->name, operations);
    report_time(k->doers, sides, all_instances, k, REPEATS, t);
    for (int i = 0; i < LAYOUTS; i++)
        if (layouts[i]->record[w - works]) row(k, layouts[i], operations, t);
    free_task(k);
}

/* ---- a tiny tensor operation ----------------------------------------------------------------- */

enum { TINY = 8, TINY_OPS = 20 };

typedef struct tiny {
    tg_tape *tape;
    tg_mark mark;
    Value x, w;
    double data[TINY], dx[TINY], dw[TINY], total;
    tg_program *program[2];
    tg_workspace *room[2];
} tiny;

static Value tiny_model(const tiny *k, int with)
{
    Value y = mul(k->x, k->w);
    for (int i = 0; i < with * TINY_OPS; i++) y = i % 2 ? mul(y, k->w) : add(y, k->x);
    return sum(y);
}

/* Ways 0 and 1 are eager, 2 and 3 programs; of both the second does TINY_OPS operations more than the
   first: the difference is theirs. No timed step has the numbers of the one before. */
static void tiny_step(int which, void *user)
{
    tiny *k = user;
    const int with = which % 2;
    const double first = timed_factor();
    if (which < 2) {
        tg_edit(k->x)[0] = first;
        tg_backward(tiny_model(k, with));
        tg_release(k->mark);
        return;
    }
    k->data[0] = first;
    if (!tg_run(k->program[with], k->room[with], 1, (const void *[]){ k->data, k->data },
                (void *[]){ &k->total, k->dx, k->dw }, NULL))
        exit(1);
}

static timing difference(const timing *less, const timing *more)
{
    timing t = *more;
    t.median -= less->median;
    t.spread *= more->median / t.median;
    for (int i = 0; i < t.repeats; i++) t.ns[i] -= less->ns[i];
    return t;
}

static void tiny_operation(void)
{
    tiny k = { .tape = tg_tape_new(NULL) };
    for (int i = 0; i < TINY; i++) k.data[i] = 1 + i * 0.01;
    k.x = param(k.tape, k.data, TINY);
    k.w = param(k.tape, k.data, TINY);
    k.mark = tg_tape_mark(k.tape);
    for (int with = 0; with < 2; with++) {
        const Value y = tiny_model(&k, with);
        tg_program *const p = tg_compile(&y, 1, NULL, 0, TG_VALUES(k.x, k.w), NULL, NULL);
        k.program[with] = tg_gradient_program(p, NULL, NULL);
        k.room[with] = tg_workspace_new(k.program[with], 1, NULL);
        tg_program_free(p);
        tg_release(k.mark);
    }
    bench_row r = { .name = "tiny-op", .size = "8", .type = "f64", .per = "operation", .units = TINY_OPS };
    tg_backward(tiny_model(&k, 1));
    tiny_step(3, &k);
    report_agree(&r, SIDE_PROGRAM, TINY, k.dw, tg_grad(k.w));
    tg_release(k.mark);
    timing t[4];
    report_title("one operation on %d elements, value and gradient", TINY);
    report_time(4, (const side[]){ SIDE_EAGER, SIDE_EAGER, SIDE_PROGRAM, SIDE_PROGRAM }, tiny_step, &k, REPEATS, t);
    r.side[SIDE_EAGER] = difference(&t[0], &t[1]);
    r.side[SIDE_PROGRAM] = difference(&t[2], &t[3]);
    report_row(&r);
    for (int with = 0; with < 2; with++) tg_workspace_free(k.room[with]), tg_program_free(k.program[with]);
    tg_tape_free(k.tape);
}

/* ---- a training loop in its steady state ----------------------------------------------------- */

typedef struct loop {
    tg_tape *tape;
    tg_mark mark;
    Value w, x;
} loop;

static void training_step(int which, void *user)
{
    const loop *const k = user;
    (void)which;
    Value z = sum(tanh(matmul(k->x, k->w)));
    for (int j = 0; j < 50; j++) z = add(z, mul(z, z));
    tg_backward(z);
    tg_edit(k->w)[0] -= 1e-6 * tg_grad(k->w)[0];
    tg_release(k->mark);
}

static void steady_state(void)
{
    double data[64 * 16];
    for (int i = 0; i < 64 * 16; i++) data[i] = 1e-6 * (i + 1);
    loop k = { .tape = tg_tape_new(NULL) };
    k.w = param(k.tape, data, 64, 16);
    k.x = input(k.tape, data, 64);
    k.mark = tg_tape_mark(k.tape);
    bench_row r = { .name = "training-loop", .size = "100-ops", .type = "f64", .per = "step" };
    report_title("training loop in its steady state");
    report_time(1, (const side[]){ SIDE_EAGER }, training_step, &k, REPEATS, &r.side[SIDE_EAGER]);
    r.memory = (double)tg_stats(k.tape).bytes_held;
    report_row(&r);
    tg_tape_free(k.tape);
}

int main(int argc, char **argv)
{
    report_begin(argc, argv, "scalar", "Eager scalar and tiny tensor operations against gradients derived by hand.");
    for (int i = 0; i < WORKS; i++)
        if (report_wants(works[i].name, NULL)) measure(&works[i]);
    if (report_wants("tiny-op", NULL)) tiny_operation();
    if (report_wants("training-loop", NULL)) steady_state();
    return report_end();
}
