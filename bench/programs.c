/* Programs on batches against gradients derived by hand: value and gradient summed over 4096
   instances. */
#define _DEFAULT_SOURCE
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tapegrad.h>
#include <tapegrad/short.h>

#include "batch.h"
#include "emitted.h"
#include "memory.h"
#include "report.h"

enum { COUNT = 4096, REPEATS = 21, MOST_PARAMETERS = NET_PARAMETERS };

/* ---- the models, as they are recorded ------------------------------------------------------------ */

/* A network in scalar operations. */
static Value net(tg_tape *t, Value *x, Value *y, Value *p, Value (*f)(Value))
{
    *x = input(t, (double *)NULL, INPUTS);
    *y = input(t, (double *)NULL, CLASSES);
    *p = param(t, (double *)NULL, NET_PARAMETERS);
    const int b1 = HIDDEN * INPUTS, w2 = b1 + HIDDEN, b2 = w2 + CLASSES * HIDDEN;
    Value h[HIDDEN], total = { 0 }, chosen = { 0 };
    for (int j = 0; j < HIDDEN; j++) {
        Value z = at(*p, b1 + j);
        for (int i = 0; i < INPUTS; i++) z = add(z, mul(at(*p, j * INPUTS + i), at(*x, i)));
        h[j] = f(z);
    }
    for (int k = 0; k < CLASSES; k++) {
        Value o = at(*p, b2 + k);
        for (int j = 0; j < HIDDEN; j++) o = add(o, mul(at(*p, w2 + k * HIDDEN + j), h[j]));
        const Value e = exp(o), c = mul(o, at(*y, k));
        total = k ? add(total, e) : e;
        chosen = k ? add(chosen, c) : c;
    }
    return sub(log(total), chosen);
}

static Value tanh_of(Value z)
{
    return tanh(z);
}

static Value square_of(Value z)
{
    return mul(z, z);
}

static Value tanh_net(tg_tape *t, Value *x, Value *y, Value *p)
{
    return net(t, x, y, p, tanh_of);
}

static Value square_net(tg_tape *t, Value *x, Value *y, Value *p)
{
    return net(t, x, y, p, square_of);
}

static Value logistic(tg_tape *t, Value *x, Value *y, Value *p)
{
    *x = input(t, (double *)NULL, FEATURES);
    *y = input(t, (double *)NULL);
    *p = param(t, (double *)NULL, FEATURES + 1);
    const Value w = slice(*p, .axis = 0, .stop = FEATURES);
    const Value z = add(dot(w, *x), at(*p, FEATURES));
    return sub(softplus(z), mul(*y, z));
}

typedef struct model {
    const char *name;
    Value (*record)(tg_tape *t, Value *x, Value *y, Value *p);
    by_hand *plain[2], *expert[2]; /* f64, f32 */
    hvp_by_hand *hvp_plain, *hvp_expert;
    int inputs, targets, parameters;
} model;

#define BOTH(NAME) { NAME##_f64, NAME##_f32 }

static const model models[] = {
    { "tanh-net", tanh_net, BOTH(tanh_plain), BOTH(tanh_expert), tanh_hvp_plain, tanh_hvp_expert, INPUTS, CLASSES,
      NET_PARAMETERS },
    { "square-net", square_net, BOTH(square_plain), BOTH(square_expert), square_hvp_plain, square_hvp_expert, INPUTS,
      CLASSES, NET_PARAMETERS },
    { "logistic", logistic, BOTH(logistic_plain), BOTH(logistic_expert), logistic_hvp_plain, logistic_hvp_expert,
      FEATURES, 1, FEATURES + 1 },
};

/* ---- one model in all ways ----------------------------------------------------------------------- */

/* HVP: the gradient, and the Hessian times a direction. */
enum { PLAIN, EXPERT, PLAIN_F32, EXPERT_F32, HVP_PLAIN, HVP_EXPERT, BATCH, FAST, SINGLE, STRICT, HVP, F32,
       EMITTED, WAYS };

typedef struct task {
    const model *m;
    tg_program *program[WAYS];
    tg_workspace *room[WAYS];
    double *x, *y, p[MOST_PARAMETERS], along[MOST_PARAMETERS], loss[WAYS];
    double d[WAYS][2 * MOST_PARAMETERS]; /* gradient, Hessian times direction */
    float *xf, *yf, pf[MOST_PARAMETERS], df[MOST_PARAMETERS], lossf;
    emitted *c;
    double compile_ns, ops; /* of the last program */
} task;

static tg_program *compile(task *k, int way, const tg_compile_options *o)
{
    const tg_type type = way == F32 ? TG_F32 : TG_F64;
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = type });
    Value x, y, p;
    const Value loss = k->m->record(t, &x, &y, &p);
    tg_status status = { 0 };
    const double start = now_ns();
    tg_program *const value = tg_compile(&loss, 1, TG_VALUES(x, y), &p, 1, o, &status);
    const tg_gradient_options both = { .with_gradient = true };
    tg_program *const gradient = way == HVP ? tg_hvp_program(value, &both, &status)
                                            : tg_gradient_program(value, NULL, &status);
    tg_workspace *const w = tg_workspace_new(gradient, 1, &status);
    double none[1 + 2 * MOST_PARAMETERS];
    const void *const in[] = { NULL, NULL, none, none };
    const bool planned = w && tg_run(gradient, w, 0, in, (void *[]){ none, none, none }, &status);
    if (way == BATCH) k->compile_ns = now_ns() - start, k->ops = (double)tg_stats(t).instructions;
    tg_workspace_free(w);
    if (!planned) fprintf(stderr, "%s\n", status.message), exit(1);
    tg_program_free(value);
    tg_tape_free(t);
    return gradient;
}

static void run(task *k, int way, const void *const *in, void *const *out, int64_t n)
{
    tg_status status = { 0 };
    if (tg_run(k->program[way], k->room[way], n, in, out, &status)) return;
    fprintf(stderr, "%s\n", status.message);
    exit(1);
}

static void one_pass(int way, void *user)
{
    task *const k = user;
    const model *const m = k->m;
    double *const d = k->d[way];
    memset(d, 0, sizeof k->d[way]);
    switch (way) {
    case PLAIN: k->loss[way] = m->plain[0](COUNT, k->p, k->x, k->y, d); break;
    case EXPERT: k->loss[way] = m->expert[0](COUNT, k->p, k->x, k->y, d); break;
    case PLAIN_F32:
    case EXPERT_F32:
        memset(k->df, 0, sizeof k->df);
        k->loss[way] = (way == PLAIN_F32 ? m->plain : m->expert)[1](COUNT, k->pf, k->xf, k->yf, k->df);
        for (int i = 0; i < m->parameters; i++) d[i] = (double)k->df[i];
        break;
    case HVP_PLAIN: k->loss[way] = m->hvp_plain(COUNT, k->p, k->along, k->x, k->y, d, d + m->parameters); break;
    case HVP_EXPERT: k->loss[way] = m->hvp_expert(COUNT, k->p, k->along, k->x, k->y, d, d + m->parameters); break;
    case F32:
        run(k, way, (const void *[]){ k->xf, k->yf, k->pf }, (void *[]){ &k->lossf, k->df }, COUNT);
        for (int i = 0; i < m->parameters; i++) d[i] = (double)k->df[i];
        break;
    case HVP:
        run(k, way, (const void *[]){ k->x, k->y, k->p, k->along }, (void *[]){ &k->loss[way], d, d + m->parameters },
            COUNT);
        break;
    case EMITTED:
        if (!emitted_run(k->c, COUNT, (const void *[]){ k->x, k->y, k->p }, (void *[]){ &k->loss[way], d })) exit(1);
        break;
    case SINGLE:
        k->loss[way] = 0;
        for (int i = 0; i < COUNT; i++) {
            double loss, own[MOST_PARAMETERS];
            run(k, way, (const void *[]){ k->x + i * m->inputs, k->y + i * m->targets, k->p },
                (void *[]){ &loss, own }, 1);
            for (int j = 0; j < m->parameters; j++) d[j] += own[j];
        }
        break;
    default:
        run(k, way, (const void *[]){ k->x, k->y, k->p }, (void *[]){ &k->loss[way], d }, COUNT);
        break;
    }
}

static task *new_task(const model *m)
{
    task *const k = calloc(1, sizeof *k);
    k->m = m;
    const size_t nx = (size_t)COUNT * (size_t)m->inputs, ny = (size_t)COUNT * (size_t)m->targets;
    k->x = calloc(nx, sizeof(double));
    k->y = calloc(ny, sizeof(double));
    k->xf = calloc(nx, sizeof(float));
    k->yf = calloc(ny, sizeof(float));
    for (size_t i = 0; i < nx; i++) k->x[i] = sin(1.7 * (double)i), k->xf[i] = (float)k->x[i];
    for (int i = 0; i < COUNT; i++) k->y[i * m->targets + i % m->targets] = m->targets > 1 || i % 2;
    for (size_t i = 0; i < ny; i++) k->yf[i] = (float)k->y[i];
    for (int i = 0; i < m->parameters; i++) {
        k->p[i] = 0.3 * cos(2.3 * i);
        k->along[i] = sin(0.7 * i + 1);
        k->pf[i] = (float)k->p[i];
    }
    for (int way = BATCH; way < EMITTED; way++) {
        const tg_compile_options o = { .strict = way == STRICT, .fast_math = way == FAST, .block = way == SINGLE };
        k->program[way] = compile(k, way, &o);
        k->room[way] = tg_workspace_new(k->program[way], 1, NULL);
    }
    k->c = emitted_new(k->program[BATCH]);
    return k;
}

static void free_task(task *k)
{
    for (int way = BATCH; way < EMITTED; way++) {
        tg_workspace_free(k->room[way]);
        tg_program_free(k->program[way]);
    }
    emitted_free(k->c);
    free(k->x), free(k->y), free(k->xf), free(k->yf);
    free(k);
}

/* How much faster two threads are: the best of many runs each, by the clock. */
static double speed_of_two(task *k)
{
    double best[2] = { INFINITY, INFINITY };
    tg_workspace *const one = k->room[BATCH], *const two = tg_workspace_new(k->program[BATCH], 2, NULL);
    for (int i = 0; two && i < 400; i++) {
        k->room[BATCH] = i % 2 ? two : one;
        const double start = wall_ns();
        one_pass(BATCH, k);
        best[i % 2] = fmin(best[i % 2], wall_ns() - start);
    }
    k->room[BATCH] = one;
    tg_workspace_free(two);
    return best[0] / best[1];
}

static bench_row new_row(const task *k, const char *layout)
{
    return (bench_row){ .name = k->m->name, .size = "4096", .type = "f64", .layout = layout, .per = "instance", .units = COUNT };
}

/* One of the row's sides; it has to agree with what the plain one, taken first, computed in d. */
static void take_side(bench_row *r, task *k, const timing *t, side s, int way)
{
    const bool second = way == HVP || way == HVP_PLAIN || way == HVP_EXPERT;
    const size_t n = (size_t)k->m->parameters;
    const double *const expected = k->d[second ? HVP_PLAIN : PLAIN];
    one_pass(way, k);
    r->side[s] = t[way];
    if (s == SIDE_PROGRAM) r->memory = program_bytes(k->program[way], k->room[way]);
    report_agree(r, s, n, k->d[way], expected);
    if (second) report_agree(r, s, n, k->d[way] + n, expected + n);
}

/* A row of first derivatives, and its sides by hand; f32 is held against f64's plain side. */
static bench_row gradient_row(task *k, const timing *t, tg_type type, const char *layout)
{
    bench_row r = new_row(k, layout);
    if (type == TG_F32) r.type = "f32";
    one_pass(PLAIN, k);
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
    report_time(k->c ? WAYS : EMITTED, sides, one_pass, k, REPEATS, t);
    bench_row r = gradient_row(k, t, TG_F64, "batch");
    take_side(&r, k, t, SIDE_PROGRAM, BATCH);
    take_side(&r, k, t, SIDE_PROGRAM_1, SINGLE);
    if (k->c) take_side(&r, k, t, SIDE_EMITTED, EMITTED);
    r.compile_ns = k->compile_ns;
    r.more[0].key = "compile_ns_per_op", r.more[0].value = k->compile_ns / k->ops;
    if (!report_quick()) r.more[1].key = "two_threads", r.more[1].value = speed_of_two(k);
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
        if (report_wants(models[i].name, NULL)) measure(&models[i]);
    return report_end();
}
