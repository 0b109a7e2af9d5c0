/* Programs on batches against gradients derived by hand: value and gradient summed over 4096
   instances. Prints a table; every figure is measured in this run. */
#define _DEFAULT_SOURCE
#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tapegrad.h>
#include <tapegrad/short.h>
#include <time.h>

#include "batch.h"
#include "timing.h"

enum { COUNT = 4096, MOST_PARAMETERS = NET_PARAMETERS };

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
    by_hand *plain, *expert;
    int inputs, targets, parameters;
} model;

static const model models[] = {
    { "tanh network 2-100-3", tanh_net, tanh_plain, tanh_expert, INPUTS, CLASSES, NET_PARAMETERS },
    { "square network 2-100-3", square_net, square_plain, square_expert, INPUTS, CLASSES,
      NET_PARAMETERS },
    { "logistic regression, 100 features", logistic, logistic_plain, logistic_expert, FEATURES, 1,
      FEATURES + 1 },
};

/* ---- one model in all ways ----------------------------------------------------------------------- */

enum { PLAIN, EXPERT, BATCH, FAST, SINGLE, STRICT, F32, WAYS };
static const char *const way_name[] = { "plain, by hand",          "expert, by hand",
                                        "program, batch of 4096",  "program, fast_math",
                                        "program, one instance a run",
                                        "program, strict",         "program, f32" };

typedef struct task {
    const model *m;
    tg_program *program[WAYS];
    tg_workspace *room[WAYS];
    double *x, *y, p[MOST_PARAMETERS], d[WAYS][MOST_PARAMETERS], loss[WAYS];
    float *xf, *yf, pf[MOST_PARAMETERS], df[MOST_PARAMETERS], lossf;
    double compiling; /* ns an operation */
} task;

static tg_program *compile(task *k, tg_type type, const tg_compile_options *o)
{
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = type });
    Value x, y, p;
    const Value loss = k->m->record(t, &x, &y, &p);
    tg_status status = { 0 };
    const double start = now_ns();
    tg_program *const value = tg_compile(&loss, 1, TG_VALUES(x, y), &p, 1, o, &status);
    tg_program *const gradient = tg_gradient_program(value, NULL, &status);
    k->compiling = (now_ns() - start) / (double)tg_stats(t).instructions;
    if (!gradient) fprintf(stderr, "%s\n", status.message), exit(1);
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
    case PLAIN: k->loss[way] = m->plain(COUNT, k->p, k->x, k->y, d); break;
    case EXPERT: k->loss[way] = m->expert(COUNT, k->p, k->x, k->y, d); break;
    case F32:
        run(k, way, (const void *[]){ k->xf, k->yf, k->pf }, (void *[]){ &k->lossf, k->df }, COUNT);
        for (int i = 0; i < m->parameters; i++) d[i] = (double)k->df[i];
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
        k->pf[i] = (float)k->p[i];
    }
    for (int way = WAYS - 1; way >= BATCH; way--) {
        const tg_compile_options o = { .strict = way == STRICT, .fast_math = way == FAST, .block = way == SINGLE };
        k->program[way] = compile(k, way == F32 ? TG_F32 : TG_F64, &o);
        k->room[way] = tg_workspace_new(k->program[way], 1, NULL);
    }
    return k;
}

static void free_task(task *k)
{
    for (int way = BATCH; way < WAYS; way++) {
        tg_workspace_free(k->room[way]);
        tg_program_free(k->program[way]);
    }
    free(k->x), free(k->y), free(k->xf), free(k->yf);
    free(k);
}

/* The largest difference from the plain gradient, relative to its largest entry. */
static double disagreement(const task *k, int way)
{
    double worst = 0, largest = 0;
    for (int i = 0; i < k->m->parameters; i++) {
        worst = fmax(worst, fabs(k->d[way][i] - k->d[PLAIN][i]));
        largest = fmax(largest, fabs(k->d[PLAIN][i]));
    }
    return largest > 0 ? worst / largest : INFINITY;
}

static double wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
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

static bool measure(const model *m, int repeats)
{
    task *const k = new_task(m);
    timing t[WAYS];
    bool right = true;
    time_ways(WAYS, one_pass, k, repeats, t);
    printf("\n%s: value and gradient, f64 but for the last row\n", m->name);
    printf("  %-30s %12s %8s %8s %8s\n", "", "ns/instance", "x plain", "x expert", "spread");
    for (int way = 0; way < WAYS; way++) {
        one_pass(way, k);
        printf("  %-30s %12.1f %8.2f %8.2f %7.1f%%%s\n", way_name[way], t[way].median / COUNT,
               t[way].median / t[PLAIN].median, t[way].median / t[EXPERT].median, 100 * t[way].spread,
               t[way].spread > 0.1 ? "  NOISY" : "");
        const double error = disagreement(k, way);
        if (error <= (way == F32 ? 1e-4 : 1e-9)) continue;
        printf("  WRONG: its gradient differs from the plain one by %.1e\n", error);
        right = false;
    }
    printf("  two threads: %.2f times one; compiling: %.0f ns an operation\n", speed_of_two(k),
           k->compiling);
    free_task(k);
    return right;
}

/* ---- command line ---------------------------------------------------------------------------------- */

static error_t parse(int key, char *arg, struct argp_state *state)
{
    int *const repeats = state->input;
    if (key != 'r') return ARGP_ERR_UNKNOWN;
    *repeats = atoi(arg);
    if (*repeats < 1) argp_error(state, "--repeats: %s is no positive number", arg);
    return 0;
}

int main(int argc, char **argv)
{
    int repeats = 21;
    const struct argp_option options[] = { { "repeats", 'r', "N", 0, "Interleaved repeats (21)", 0 }, { 0 } };
    const struct argp argp = { options, parse, NULL,
                               "Programs on batches against gradients derived by hand.", NULL, NULL, NULL };
    argp_parse(&argp, argc, argv, 0, NULL, &repeats);
    print_machine();
    bool right = true;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) right &= measure(&models[i], repeats);
    return right ? 0 : 1;
}
