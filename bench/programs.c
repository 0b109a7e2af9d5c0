/* Programs on batches against gradients derived by hand: value and gradient summed over 4096
   instances. */
#define _DEFAULT_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tapegrad.h>

#include "emitted.h"
#include "memory.h"
#include "report.h"
#include "works.h"

enum { COUNT = 4096, REPEATS = 21, INSTANCES = COUNT + SPARE };

typedef struct model {
    const work *w;
    const layout *how; /* it is recorded */
    by_hand *plain[2], *expert[2]; /* f64, f32 */
    hvp_by_hand *hvp_plain, *hvp_expert;
} model;

#define BOTH(NAME) { NAME##_f64, NAME##_f32 }

static const model models[] = {
    { &works[TANH_NET], &scalar_ops, BOTH(tanh_plain), BOTH(tanh_expert), tanh_hvp_plain, tanh_hvp_expert },
    { &works[SQUARE_NET], &scalar_ops, BOTH(square_plain), BOTH(square_expert), square_hvp_plain, square_hvp_expert },
    { &works[LOGISTIC], &vector_ops, BOTH(logistic_plain), BOTH(logistic_expert), logistic_hvp_plain, logistic_hvp_expert },
};

/* ---- one model in all ways ----------------------------------------------------------------------- */

/* HVP: the gradient, and the Hessian times a direction. */
enum { PLAIN, EXPERT, PLAIN_F32, EXPERT_F32, HVP_PLAIN, HVP_EXPERT, BATCH, FAST, SINGLE, STRICT, HVP, F32,
       EMITTED, WAYS };

typedef struct task {
    const model *m;
    int parameters;
    tg_program *program[WAYS];
    tg_workspace *room[WAYS], *two; /* two: of BATCH, for two threads */
    operands of[WAYS];
    double *x, *y, p[MOST_PARAMETERS], along[MOST_PARAMETERS], loss[WAYS];
    double d[WAYS][2 * MOST_PARAMETERS]; /* gradient, Hessian times direction */
    double one, d_one[MOST_PARAMETERS];  /* of SINGLE's last instance */
    float *xf, *yf, pf[MOST_PARAMETERS], df[MOST_PARAMETERS], lossf;
    emitted *c;
    double compile_ns, ready_ns, ops; /* of BATCH: tg_compile; all until there is a first result */
} task;

static operands operands_for(task *k, int way)
{
    const work *const w = k->m->w;
    if (way == F32) return operands_of(w, sizeof(float), k->pf, NULL, &k->lossf, k->df);
    if (way == SINGLE) return operands_of(w, sizeof(double), k->p, NULL, &k->one, k->d_one);
    return operands_of(w, sizeof(double), k->p, way == HVP ? k->along : NULL, &k->loss[way], k->d[way]);
}

static void run(task *k, int way, int first, int count)
{
    const work *const w = k->m->w;
    operands *const o = &k->of[way];
    o->in[0] = way == F32 ? (const void *)(k->xf + first * w->inputs) : k->x + first * w->inputs;
    o->in[1] = way == F32 ? (const void *)(k->yf + first * w->targets) : k->y + first * w->targets;
    tg_status status = { .message = "the emitted C failed" };
    if (way == EMITTED ? emitted_run(k->c, count, o->in, o->out)
                       : tg_run(k->program[way], k->room[way], count, o->in, o->out, &status))
        return;
    fprintf(stderr, "%s\n", status.message);
    exit(1);
}

static void compile(task *k, int way)
{
    const work *const w = k->m->w;
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = way == F32 ? TG_F32 : TG_F64 });
    const leaves l = leaves_new(w, k->m->how, t, NULL);
    const tg_value loss = loss_of(&l);
    const int batch = batch_leaves(w);
    const tg_compile_options o = { .strict = way == STRICT, .fast_math = way == FAST, .block = way == SINGLE };
    const tg_gradient_options both = { .with_gradient = true };
    tg_status status = { 0 };
    const double start = now_ns();
    tg_program *const value = tg_compile(&loss, 1, l.leaf, batch, l.leaf + batch, w->parts, &o, &status);
    if (way == BATCH) k->compile_ns = now_ns() - start, k->ops = (double)tg_stats(t).instructions;
    tg_program *const p = way == HVP ? tg_hvp_program(value, &both, &status)
                                     : tg_gradient_program(value, NULL, &status);
    k->program[way] = p;
    k->room[way] = tg_workspace_new(p, 1, &status);
    if (!k->room[way]) fprintf(stderr, "%s\n", status.message), exit(1);
    run(k, way, 0, 0);
    if (way == BATCH) k->ready_ns = now_ns() - start;
    tg_program_free(value);
    tg_tape_free(t);
}

/* COUNT instances from first on. */
static void pass(task *k, int way, int first)
{
    const model *const m = k->m;
    const int n = k->parameters;
    const double *const x = k->x + first * m->w->inputs, *const y = k->y + first * m->w->targets;
    const float *const xf = k->xf + first * m->w->inputs, *const yf = k->yf + first * m->w->targets;
    double *const d = k->d[way];
    memset(d, 0, sizeof k->d[way]);
    switch (way) {
    case PLAIN: k->loss[way] = m->plain[0](COUNT, k->p, x, y, d); break;
    case EXPERT: k->loss[way] = m->expert[0](COUNT, k->p, x, y, d); break;
    case PLAIN_F32:
    case EXPERT_F32:
        memset(k->df, 0, sizeof k->df);
        k->loss[way] = (way == PLAIN_F32 ? m->plain : m->expert)[1](COUNT, k->pf, xf, yf, k->df);
        for (int i = 0; i < n; i++) d[i] = (double)k->df[i];
        break;
    case HVP_PLAIN: k->loss[way] = m->hvp_plain(COUNT, k->p, k->along, x, y, d, d + n); break;
    case HVP_EXPERT: k->loss[way] = m->hvp_expert(COUNT, k->p, k->along, x, y, d, d + n); break;
    case F32:
        run(k, way, first, COUNT);
        k->loss[way] = (double)k->lossf;
        for (int i = 0; i < n; i++) d[i] = (double)k->df[i];
        break;
    case SINGLE:
        k->loss[way] = 0;
        for (int i = first; i < first + COUNT; i++) {
            run(k, way, i, 1);
            k->loss[way] += k->one;
            for (int j = 0; j < n; j++) d[j] += k->d_one[j];
        }
        break;
    default: run(k, way, first, COUNT); break;
    }
}

static void timed_pass(int way, void *user)
{
    pass(user, way, first_instance());
}

static task *new_task(const model *m)
{
    task *const k = calloc(1, sizeof *k);
    const work *const w = m->w;
    k->m = m;
    k->parameters = part_begin(w, w->parts);
    const size_t nx = (size_t)INSTANCES * (size_t)w->inputs, ny = (size_t)INSTANCES * (size_t)w->targets;
    k->x = calloc(nx, sizeof(double));
    k->y = calloc(ny, sizeof(double));
    k->xf = calloc(nx, sizeof(float));
    k->yf = calloc(ny, sizeof(float));
    for (size_t i = 0; i < nx; i++) k->x[i] = sin(1.7 * (double)i), k->xf[i] = (float)k->x[i];
    for (int i = 0; i < INSTANCES; i++) k->y[i * w->targets + i % w->targets] = w->targets > 1 || i % 2;
    for (size_t i = 0; i < ny; i++) k->yf[i] = (float)k->y[i];
    for (int i = 0; i < k->parameters; i++) {
        k->p[i] = 0.3 * cos(2.3 * i);
        k->along[i] = sin(0.7 * i + 1);
        k->pf[i] = (float)k->p[i];
    }
    for (int way = BATCH; way <= EMITTED; way++) k->of[way] = operands_for(k, way);
    for (int way = BATCH; way < EMITTED; way++) compile(k, way);
    k->two = tg_workspace_new(k->program[BATCH], 2, NULL);
    if (!k->two) exit(1);
    k->c = emitted_new(k->program[BATCH]);
    return k;
}

static void free_task(task *k)
{
    for (int way = BATCH; way < EMITTED; way++) {
        tg_workspace_free(k->room[way]);
        tg_program_free(k->program[way]);
    }
    tg_workspace_free(k->two);
    emitted_free(k->c);
    free(k->x), free(k->y), free(k->xf), free(k->yf);
    free(k);
}

static void by_threads(int two, void *user)
{
    task *const k = user;
    tg_workspace *const one = k->room[BATCH];
    if (two) k->room[BATCH] = k->two;
    run(k, BATCH, first_instance(), COUNT);
    k->room[BATCH] = one;
}

static bench_row new_row(const task *k, const char *name)
{
    return (bench_row){
        .name = k->m->w->name, .size = "4096", .type = "f64", .layout = name, .per = "instance", .units = COUNT
    };
}

/* One of the row's sides; it has to agree with what the plain one, taken first, computed in d. */
static void take_side(bench_row *r, task *k, const timing *t, side s, int way)
{
    const bool second = way == HVP || way == HVP_PLAIN || way == HVP_EXPERT;
    const size_t n = (size_t)k->parameters;
    const double *const expected = k->d[second ? HVP_PLAIN : PLAIN];
    pass(k, way, 0);
    r->side[s] = t[way];
    if (s == SIDE_PROGRAM) r->memory = program_bytes(k->program[way], k->room[way]);
    report_same(r, s, 1, &k->loss[way], &k->loss[PLAIN]);
    report_agree(r, s, n, k->d[way], expected);
    if (second) report_agree(r, s, n, k->d[way] + n, expected + n);
}

/* A row of first derivatives, and its sides by hand; f32 is held against f64's plain side. */
static bench_row gradient_row(task *k, const timing *t, tg_type type, const char *name)
{
    bench_row r = new_row(k, name);
    if (type == TG_F32) r.type = "f32";
    take_side(&r, k, t, SIDE_PLAIN, type == TG_F32 ? PLAIN_F32 : PLAIN);
    take_side(&r, k, t, SIDE_EXPERT, type == TG_F32 ? EXPERT_F32 : EXPERT);
    return r;
}

static void measure(const model *m)
{
    static const side sides[WAYS] = { SIDE_PLAIN,   SIDE_EXPERT,  SIDE_PLAIN,   SIDE_EXPERT,    SIDE_PLAIN,
                                      SIDE_EXPERT,  SIDE_PROGRAM, SIDE_PROGRAM, SIDE_PROGRAM_1, SIDE_PROGRAM,
                                      SIDE_PROGRAM, SIDE_PROGRAM, SIDE_EMITTED };
    task *const k = new_task(m);
    timing t[WAYS];
    report_time(k->c ? WAYS : EMITTED, sides, timed_pass, k, REPEATS, t);
    bench_row r = gradient_row(k, t, TG_F64, "batch");
    take_side(&r, k, t, SIDE_PROGRAM, BATCH);
    take_side(&r, k, t, SIDE_PROGRAM_1, SINGLE);
    if (k->c) take_side(&r, k, t, SIDE_EMITTED, EMITTED);
    r.compile_ns = k->ready_ns;
    r.more[0].key = "compile_ns_per_op", r.more[0].value = k->compile_ns / k->ops;
    if (!report_quick()) r.more[1].key = "two_threads", r.more[1].value = speed_of_second(by_threads, k);
    report_row(&r);
    static const struct {
        int way;
        const char *name;
    } kinds[] = { { FAST, "fast-math" }, { STRICT, "strict" }, { F32, "batch" } };
    for (int i = 0; i < 3; i++) {
        bench_row other = gradient_row(k, t, kinds[i].way == F32 ? TG_F32 : TG_F64, kinds[i].name);
        take_side(&other, k, t, SIDE_PROGRAM, kinds[i].way);
        report_row(&other);
    }
    bench_row second = new_row(k, "hvp");
    take_side(&second, k, t, SIDE_PLAIN, HVP_PLAIN);
    take_side(&second, k, t, SIDE_EXPERT, HVP_EXPERT);
    take_side(&second, k, t, SIDE_PROGRAM, HVP);
    second.more[0].key = "gradient+hvp/gradient";
    second.more[0].value = ratio_of(&t[HVP], &t[BATCH]).median;
    report_row(&second);
    free_task(k);
}

int main(int argc, char **argv)
{
    report_begin(argc, argv, "programs", "Programs on batches against gradients derived by hand.");
    report_title("value and gradient summed over a batch; hvp: and a Hessian-vector product");
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        if (report_wants(models[i].w->name, NULL)) measure(&models[i]);
    return report_end();
}
