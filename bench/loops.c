/* A long loop of small steps: Runge and Kutta's method of order 4 on van der Pol's oscillator, and the
   gradient of where it ends by where it begins and by the factor of the friction. */
#include <stdio.h>
#include <stdlib.h>
#include <tapegrad.h>
#include <tapegrad/short.h>

#include "report.h"

enum { REPEATS = 5, NUMBERS = 3 };

static const double h = 1e-3;

/* What there is at first: of each timed run something else. */
static double start(int i)
{
    static const double numbers[NUMBERS] = { 1, 0.5, 0.7 };
    return numbers[i] * timed_factor();
}

/* ---- by hand ------------------------------------------------------------------------------------- */

static void slope(const double y[2], double a, double d[2])
{
    d[0] = y[1];
    d[1] = a * (1 - y[0] * y[0]) * y[1] - y[0];
}

/* Adds to the gradients by y and a, that by d being g. */
static void slope_back(const double y[2], double a, const double g[2], double dy[2], double *da)
{
    dy[0] -= g[1] * (2 * a * y[0] * y[1] + 1);
    dy[1] += g[0] + g[1] * a * (1 - y[0] * y[0]);
    *da += g[1] * (1 - y[0] * y[0]) * y[1];
}

static const double part[4] = { 0, 0.5, 0.5, 1 }, weight[4] = { 1, 2, 2, 1 };

static void step(const double y[2], double a, double at[4][2], double next[2])
{
    double k[4][2];
    for (int s = 0; s < 4; s++) {
        for (int i = 0; i < 2; i++) at[s][i] = s ? y[i] + part[s] * h * k[s - 1][i] : y[i];
        slope(at[s], a, k[s]);
    }
    for (int i = 0; i < 2; i++)
        next[i] = y[i] + h / 6 * (k[0][i] + 2 * k[1][i] + 2 * k[2][i] + k[3][i]);
}

/* Every state is kept. g: the end's sum by the numbers. */
static double by_hand(long steps, double (*y)[2], double g[NUMBERS])
{
    const double a = start(2);
    double at[4][2];
    y[0][0] = start(0), y[0][1] = start(1);
    for (long j = 0; j < steps; j++) step(y[j], a, at, y[j + 1]);
    g[0] = g[1] = 1, g[2] = 0;
    for (long j = steps; j-- > 0;) {
        double next[2], dk[2] = { 0 }, dy[2] = { g[0], g[1] };
        step(y[j], a, at, next);
        for (int s = 3; s >= 0; s--) {
            double d[2] = { 0 };
            for (int i = 0; i < 2; i++) dk[i] += h / 6 * weight[s] * g[i];
            slope_back(at[s], a, dk, d, &g[2]);
            for (int i = 0; i < 2; i++) dy[i] += d[i], dk[i] = s ? part[s] * h * d[i] : 0;
        }
        g[0] = dy[0], g[1] = dy[1];
    }
    return y[steps][0] + y[steps][1];
}

/* ---- recorded ------------------------------------------------------------------------------------ */

static void recorded_slope(const Value *y, Value a, Value *d)
{
    d[0] = y[1];
    d[1] = sub(mul(mul(a, sub(1, mul(y[0], y[0]))), y[1]), y[0]);
}

static void recorded_step(const Value *y, Value a, Value *next)
{
    Value k[4][2], at[2];
    recorded_slope(y, a, k[0]);
    for (int s = 1; s < 4; s++) {
        for (int i = 0; i < 2; i++) at[i] = add(y[i], mul(part[s] * h, k[s - 1][i]));
        recorded_slope(at, a, k[s]);
    }
    for (int i = 0; i < 2; i++)
        next[i] = add(
            y[i], mul(h / 6, add(add(k[0][i], mul(2, k[1][i])), add(mul(2, k[2][i]), k[3][i]))));
}

typedef struct task {
    long steps;
    double (*y)[2];
    double value[SIDES], g[SIDES][NUMBERS], bytes[SIDES];
    tg_tape *tape[SIDES]; /* of each side its own */
    tg_program *body;
    const side *sides;
} task;

static Value whole(const task *k, const Value *x)
{
    Value y[2] = { x[0], x[1] }, next[2];
    for (long j = 0; j < k->steps; j++) {
        recorded_step(y, x[2], next);
        y[0] = next[0], y[1] = next[1];
    }
    return add(y[0], y[1]);
}

static Value replayed(const task *k, const Value *x)
{
    Value end[2];
    const tg_scan_options o = { .steps = k->steps, .states = 2 };
    if (!tg_scan(k->body, &o, x, NUMBERS, end)) exit(1);
    return add(end[0], end[1]);
}

static void work(int way, void *user)
{
    task *const k = user;
    const side s = k->sides[way];
    if (s == SIDE_PLAIN) {
        k->value[s] = by_hand(k->steps, k->y, k->g[s]);
        return;
    }
    tg_tape *const t = k->tape[s];
    tg_reset(t);
    Value x[NUMBERS];
    for (int i = 0; i < NUMBERS; i++) x[i] = scalar(t, start(i));
    const Value end = s == SIDE_EAGER ? whole(k, x) : replayed(k, x);
    if (!tg_backward(end)) exit(1);
    k->value[s] = tg_item(end);
    for (int i = 0; i < NUMBERS; i++) k->g[s][i] = tg_grad_item(x[i]);
    k->bytes[s] = (double)tg_stats(t).bytes_held;
}

/* So that it adds what the whole tape adds. */
static tg_program *compile_step(void)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x[NUMBERS], next[2];
    for (int i = 0; i < NUMBERS; i++) x[i] = scalar(t, 2);
    recorded_step(x, x[2], next);
    const tg_compile_options o = { .strict = true, .without = TG_COMMON_SUBEXPRESSIONS };
    tg_status status = { 0 };
    tg_program *const p = tg_compile(next, 2, NULL, 0, x, NUMBERS, &o, &status);
    if (!p) fprintf(stderr, "%s\n", status.message), exit(1);
    tg_tape_free(t);
    return p;
}

/* One row. The whole tape takes part as long as there is memory for it. */
static void row(const char *size, bool eager)
{
    static const side with[] = { SIDE_PLAIN, SIDE_PROGRAM, SIDE_EAGER };
    if (!report_wants("runge-kutta", size)) return;
    const int n = eager ? 3 : 2;
    task k = { .steps = (long)strtod(size, NULL), .body = compile_step(), .sides = with };
    k.y = malloc(((size_t)k.steps + 1) * sizeof *k.y);
    if (!k.y) exit(1);
    for (int i = 1; i < n; i++) k.tape[with[i]] = tg_tape_new(NULL);
    bench_row r = {
        .name = "runge-kutta", .size = size, .type = "f64", .per = "step", .units = (double)k.steps
    };
    timing t[3];
    for (int i = 0; i < n; i++) work(i, &k);
    for (int i = 1; i < n; i++) {
        report_same(&r, with[i], 1, &k.value[with[i]], &k.value[SIDE_PLAIN]);
        report_agree(&r, with[i], NUMBERS, k.g[with[i]], k.g[SIDE_PLAIN]);
    }
    bool same = true;
    for (int i = 0; i < NUMBERS; i++) same = same && k.g[SIDE_PROGRAM][i] == k.g[SIDE_EAGER][i];
    report_time(n, with, work, &k, REPEATS, t);
    for (int i = 0; i < n; i++) r.side[with[i]] = t[i];
    r.memory = k.bytes[SIDE_PROGRAM];
    if (eager) r.more[0].key = "bit_equal", r.more[0].value = same;
    if (eager) r.more[1].key = "eager_bytes", r.more[1].value = k.bytes[SIDE_EAGER];
    report_row(&r);
    for (int i = 1; i < n; i++) tg_tape_free(k.tape[with[i]]);
    tg_program_free(k.body);
    free(k.y);
}

int main(int argc, char **argv)
{
    report_begin(argc, argv, "loops",
                 "A long loop of small steps: its gradient by hand with every state kept (plain), "
                 "recorded step by step (eager), as a scan with checkpoints (program).");
    report_title(
        "Runge-Kutta steps on van der Pol's oscillator; bytes are those of the scan's tape");
    row("1e4", true);
    row("1e6", false);
    return report_end();
}
