/* Eager recording against gradients derived by hand: the scalar 2-100-3 network, a tiny tensor
   operation, and a long chain. Prints a table; every figure is measured in this run. */
#define _DEFAULT_SOURCE
#include <argp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <tapegrad.h>
#include <tapegrad/short.h>

#include "mlp.h"
#include "timing.h"

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

/* The largest difference from the hand-derived gradient over all samples, relative to its largest
   entry. */
static double disagreement(task *k, int w)
{
    memset(k->gradient, 0, sizeof k->gradient);
    for (int i = 0; i < SAMPLES; i++) {
        k->sample[0] = k->sample[w] = i;
        one_step(0, k);
        if (w) one_step(w, k);
    }
    double worst = 0, largest = 0;
    for (size_t i = 0; i < sizeof(mlp) / sizeof(double); i++) {
        const double hand = ((double *)&k->gradient[0])[i], other = ((double *)&k->gradient[w])[i];
        worst = fmax(worst, fabs(hand - other));
        largest = fmax(largest, fabs(hand));
    }
    return largest > 0 ? worst / largest : INFINITY;
}

static bool network(int repeats)
{
    task *k = new_task();
    timing t[WAYS];
    bool right = true;
    time_ways(WAYS, one_step, k, repeats, t);
    printf("\nnetwork 2-100-3, one sample, value and gradient (%d scalar operations, f64)\n",
           SCALAR_OPS);
    printf("  %-36s %9s %8s %8s %8s %8s\n", "", "ns", "x plain", "ns/op", "bytes/op", "spread");
    for (int w = 0; w < WAYS; w++) {
        const double error = disagreement(k, w),
                     bytes = ways[w]->bytes ? ways[w]->bytes(k->state[w]) : 0;
        char held[16] = "-";
        if (bytes > 0) snprintf(held, sizeof held, "%.1f", bytes);
        printf("  %-36s %9.0f %8.2f %8.2f %8s %7.1f%%%s\n", ways[w]->name, t[w].median,
               t[w].median / t[0].median, t[w].median / SCALAR_OPS, held, 100 * t[w].spread,
               t[w].spread > 0.1 ? "  NOISY" : "");
        if (w == 0 || error <= 1e-9) continue;
        printf("  WRONG: its gradient differs from the plain one by %.1e\n", error);
        right = false;
    }
    free_task(k);
    return right;
}

/* ---- a tiny tensor operation ----------------------------------------------------------------- */

enum { TINY = 8, TINY_OPS = 20 };

typedef struct tiny {
    tg_tape *tape;
    tg_mark mark;
    Value x, w;
    double seed[TINY];
} tiny;

/* Way 1 does TINY_OPS operations more than way 0: the difference is theirs. */
static void tiny_step(int with, void *user)
{
    tiny *k = user;
    Value y = mul(k->x, k->w);
    for (int i = 0; i < with * TINY_OPS; i++) y = i % 2 ? mul(y, k->w) : add(y, k->x);
    tg_backward_with(y, &(tg_backward_options){ .cotangent = k->seed });
    tg_release(k->mark);
}

static void tiny_operation(int repeats)
{
    double data[TINY];
    tiny k = { .tape = tg_tape_new(NULL) };
    for (int i = 0; i < TINY; i++) data[i] = k.seed[i] = 1 + i * 0.01;
    k.x = param(k.tape, data, TINY);
    k.w = param(k.tape, data, TINY);
    k.mark = tg_tape_mark(k.tape);
    timing t[2];
    time_ways(2, tiny_step, &k, repeats, t);
    printf("\none operation on %d elements, forward and backward: %.0f ns (spread %.1f%%)\n", TINY,
           (t[1].median - t[0].median) / TINY_OPS, 100 * t[1].spread);
    tg_tape_free(k.tape);
}

/* ---- a training loop in its steady state ----------------------------------------------------- */

static long page_faults(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_minflt + r.ru_majflt;
}

static void steady_state(void)
{
    enum { STEPS = 1000 };
    double data[64 * 16] = { 0.5 };
    tg_tape *t = tg_tape_new(NULL);
    Value w = param(t, data, 64, 16), x = input(t, data, 64);
    const tg_mark mark = tg_tape_mark(t);
    size_t allocations = 0;
    long faults = 0;
    for (int i = 0; i <= STEPS; i++) {
        if (i == 1) allocations = tg_stats(t).allocations, faults = page_faults();
        Value z = sum(tanh(matmul(x, w)));
        for (int j = 0; j < 50; j++) z = add(z, mul(z, z));
        tg_backward(z);
        tg_edit(w)[0] -= 1e-6 * tg_grad(w)[0];
        tg_release(mark);
    }
    printf("\ntraining loop, %d steps after the first: %zu allocations, %ld page faults\n", STEPS,
           tg_stats(t).allocations - allocations, page_faults() - faults);
    tg_tape_free(t);
}

/* ---- a long chain ---------------------------------------------------------------------------- */

static bool chain(double length)
{
    tg_tape *t = tg_tape_new(&(tg_tape_options){ .reserve = (size_t)8 << 30 });
    Value x = scalar(t, 1.0), c = scalar(t, 1e-9), y = x;
    const double start = now_ns();
    for (double i = 0; i < length; i += 2) {
        y = add(mul(y, x), c);
    }
    const double recorded = now_ns();
    const bool ok = tg_backward(y);
    const double done = now_ns();
    const tg_tape_stats s = tg_stats(t);
    if (ok)
        printf("  %9.0e  %6.2f ns forward  %6.2f ns backward  %5.1f bytes/op used  %5.1f held  "
               "dy/dx = %.6g\n",
               length, (recorded - start) / length, (done - recorded) / length,
               (double)s.bytes_used / length, (double)s.bytes_held / length, tg_grad_item(x));
    tg_tape_free(t);
    return ok;
}

static bool chains(double longest)
{
    printf("\nchain of scalar operations, cold memory\n");
    bool ok = true;
    for (double length = 1e4; ok && length <= longest; length *= 10) ok = chain(length);
    return ok;
}

/* ---- the command line ------------------------------------------------------------------------ */

static struct settings {
    int repeats;
    double longest;
} settings = { 31, 1e8 };

static const struct argp_option options[] = {
    { "repeats", 'r', "N", 0, "interleaved repeats of each measurement, 3 or more (31)", 0 },
    { "chain", 'c', "N", 0, "length of the longest chain (1e8, which takes 4 GB)", 0 },
    { 0 },
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    char *end = text;
    const double number = text ? strtod(text, &end) : 0;
    if (text && (*end || end == text)) argp_error(state, "%s is no number", text);
    if (key == 'r' && !(number >= 3 && number <= 10000))
        argp_error(state, "repeats: 3 to 10000, not %s", text);
    if (key == 'c' && !(number >= 0 && number <= 1e8))
        argp_error(state, "chain: 0 to 1e8, not %s", text);
    if (key == 'r') settings.repeats = (int)number;
    else if (key == 'c') settings.longest = number;
    else return key == ARGP_KEY_ARG ? ARGP_ERR_UNKNOWN : 0;
    return 0;
}

int main(int argc, char **argv)
{
    const struct argp argp = {
        options, parse,
        NULL,    "Eager scalar and tensor operations against gradients derived by hand.",
        NULL,    NULL,
        NULL
    };
    if (argp_parse(&argp, argc, argv, 0, NULL, NULL)) return 1;
    print_machine();
    printf("flags:     -O3 -march=native -std=c17, plain and callers alike; the library at its own "
           "instruction-set levels\n");
    const bool right = network(settings.repeats);
    tiny_operation(settings.repeats);
    steady_state();
    return chains(settings.longest) && right ? 0 : 1;
}
