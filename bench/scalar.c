/* Eager recording against gradients derived by hand: the scalar 2-100-3 network, a tiny tensor
   operation, and a training loop in its steady state. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tapegrad.h>
#include <tapegrad/program.h>
#include <tapegrad/short.h>

#include "mlp.h"
#include "report.h"

enum { REPEATS = 31 };

static const way *const ways[] = { &mlp_plain, &mlp_inline, &mlp_shared, &mlp_vector };
enum { WAYS = sizeof ways / sizeof *ways, SAMPLES = 64 };

/* ---- the network ----------------------------------------------------------------------------- */

typedef struct task {
    mlp parameters, gradient[WAYS];
    double x[SAMPLES][INPUTS];
    int label[SAMPLES];
    void *state[WAYS];
    int sample[WAYS];
} task;

static double random_number(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / (1 << 24) * 2 - 1;
}

static task *new_task(void)
{
    task *k = calloc(1, sizeof *k);
    if (!k) exit(1);
    unsigned seed = 1;
    for (size_t i = 0; i < sizeof k->parameters / sizeof(double); i++)
        ((double *)&k->parameters)[i] = random_number(&seed);
    for (int s = 0; s < SAMPLES; s++) {
        for (int i = 0; i < INPUTS; i++) k->x[s][i] = random_number(&seed);
        k->label[s] = s % OUTPUTS;
    }
    for (int w = 0; w < WAYS; w++)
        if (ways[w]->start) k->state[w] = ways[w]->start(&k->parameters);
    return k;
}

static void free_task(task *k)
{
    for (int w = 0; w < WAYS; w++)
        if (ways[w]->stop) ways[w]->stop(k->state[w]);
    free(k);
}

static void one_step(int w, void *user)
{
    task *k = user;
    const int s = k->sample[w]++ % SAMPLES;
    ways[w]->step(k->state[w], &k->parameters, k->x[s], k->label[s], &k->gradient[w]);
}

/* The gradients of all samples added up. */
static const double *all_samples(task *k, int w)
{
    memset(&k->gradient[w], 0, sizeof k->gradient[w]);
    for (int i = 0; i < SAMPLES; i++) {
        k->sample[w] = i;
        one_step(w, k);
    }
    return (const double *)&k->gradient[w];
}

static void network(void)
{
    static const side sides[WAYS] = { SIDE_PLAIN, SIDE_EAGER, SIDE_EAGER, SIDE_EAGER };
    task *k = new_task();
    timing t[WAYS];
    report_title("network 2-100-3 of %d scalar operations: value and gradient", SCALAR_OPS);
    report_time(WAYS, sides, one_step, k, REPEATS, t);
    for (int w = 1; w < WAYS; w++) {
        bench_row r = { .name = "tanh-net", .size = "2-100-3", .type = "f64", .layout = ways[w]->name, .per = "sample" };
        r.side[SIDE_PLAIN] = t[0], r.side[SIDE_EAGER] = t[w];
        report_agree(&r, SIDE_EAGER, sizeof(mlp) / sizeof(double), all_samples(k, w), all_samples(k, 0));
        r.more[0].key = "ns_per_op", r.more[0].value = t[w].median / SCALAR_OPS;
        if (ways[w]->bytes)
            r.more[1].key = "bytes_per_op", r.more[1].value = ways[w]->bytes(k->state[w]);
        report_row(&r);
    }
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
   first: the difference is theirs. */
static void tiny_step(int which, void *user)
{
    tiny *k = user;
    const int with = which % 2;
    if (which < 2) {
        tg_backward(tiny_model(k, with));
        tg_release(k->mark);
    } else if (!tg_run(k->program[with], k->room[with], 1, (const void *[]){ k->data, k->data },
                       (void *[]){ &k->total, k->dx, k->dw }, NULL)) {
        exit(1);
    }
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
    if (report_wants("tanh-net", NULL)) network();
    if (report_wants("tiny-op", NULL)) tiny_operation();
    if (report_wants("training-loop", NULL)) steady_state();
    return report_end();
}
