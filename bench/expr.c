/* TG_EXPR against the same nested calls: what an expression costs more, recorded again and again in
   one place. */
#include <stdlib.h>
#include <tapegrad.h>
#include <tapegrad/short.h>

#include "report.h"

enum { REPEATS = 31, TIMES = 64, BATCH = 4, INPUTS = 3, HIDDEN = 8, CLASSES = 3 };

typedef struct model {
    tg_tape *tape;
    tg_mark mark;
    Value a, b, c;             /* scalars */
    Value x, y, W, v, V, u, w; /* a network of two layers; w like v */
} model;

static Value product_calls(const model *m)
{
    return mul(m->a, m->b);
}
static Value product_text(const model *m)
{
    return TG_EXPR(m->a * m->b, m->a, m->b);
}

static Value scalars_calls(const model *m)
{
    return sub(add(mul(m->a, m->b), mul(m->c, m->a)), div(m->b, m->c));
}
static Value scalars_text(const model *m)
{
    return TG_EXPR(m->a * m->b + m->c * m->a - m->b / m->c, m->a, m->b, m->c);
}

static Value functions_calls(const model *m)
{
    return mul(tanh(mul(m->a, m->b)), exp(sub(m->c, 1)));
}
static Value functions_text(const model *m)
{
    return TG_EXPR(tanh(m->a * m->b) * exp(m->c - 1), m->a, m->b, m->c);
}

static Value vectors_calls(const model *m)
{
    return add(mul(m->v, m->w), m->v);
}
static Value vectors_text(const model *m)
{
    return TG_EXPR(m->v * m->w + m->v, m->v, m->w);
}

static Value network_calls(const model *m)
{
    return cross_entropy(add(matmul(tanh(add(matmul(m->x, m->W), m->v)), m->V), m->u), m->y);
}
/* clang-format off */
static Value network_text(const model *m)
{
    return TG_EXPR(cross_entropy(tanh(m->x @ m->W + m->v) @ m->V + m->u, m->y), m->x, m->y, m->W,
                   m->v, m->V, m->u);
}
/* clang-format on */

static const struct recording {
    const char *name, *size;
    Value (*way[2])(const model *m); /* calls, expression */
} rows[] = {
    { "product", "1-op", { product_calls, product_text } },
    { "scalars", "5-ops", { scalars_calls, scalars_text } },
    { "functions", "5-ops", { functions_calls, functions_text } },
    { "vectors", "2-ops", { vectors_calls, vectors_text } },
    { "network", "6-ops", { network_calls, network_text } },
};
enum { ROWS = sizeof rows / sizeof *rows };

typedef struct task {
    const model *m;
    const struct recording *row;
} task;

static void record(int way, void *user)
{
    const task *const k = user;
    Value (*const f)(const model *m) = k->row->way[way];
    for (int i = 0; i < TIMES; i++) f(k->m);
    tg_release(k->m->mark);
}

static model new_model(void)
{
    static double data[64];
    for (int i = 0; i < 64; i++) data[i] = (double)(i * 37 % 64) / 64 - 0.4;
    tg_tape *const t = tg_tape_new(NULL);
    const int labels[BATCH] = { 0, 2, 1, 0 };
    model m = { .tape = t, .a = scalar(t, 0.7), .b = scalar(t, -1.1), .c = scalar(t, 1.3) };
    m.x = input(t, data, BATCH, INPUTS);
    m.y = index(t, labels, BATCH);
    m.W = param(t, data, INPUTS, HIDDEN);
    m.v = param(t, data, HIDDEN);
    m.w = param(t, data + 8, HIDDEN);
    m.V = param(t, data, HIDDEN, CLASSES);
    m.u = param(t, data, CLASSES);
    m.mark = tg_tape_mark(t);
    return m;
}

/* Holds the values of both ways against each other. */
static void check(const model *m, const struct recording *both, bench_row *r)
{
    double y[2][HIDDEN] = { { 0 } };
    for (int i = 0; i < 2; i++) {
        const Value v = both->way[i](m);
        if (tg_size(v) > HIDDEN || !tg_read(v, y[i], (size_t)tg_size(v))) exit(1);
    }
    tg_release(m->mark);
    report_agree(r, SIDE_EAGER, HIDDEN, y[1], y[0]);
}

int main(int argc, char **argv)
{
    report_begin(argc, argv, "expr", "What an expression in TG_EXPR costs more than the same nested calls (peer), recorded "
                                     "again and again in one place.");
    report_title("recording values: peer is the nested calls, eager is TG_EXPR after the first time");
    model m = new_model();
    for (int i = 0; i < ROWS; i++) {
        const struct recording *const both = &rows[i];
        if (!report_wants(both->name, both->size)) continue;
        bench_row r = { .name = both->name, .size = both->size, .type = "f64", .per = "recording", .units = TIMES };
        timing t[2];
        check(&m, both, &r);
        report_time(2, (const side[]){ SIDE_PEER, SIDE_EAGER }, record, &(task){ &m, both }, REPEATS, t);
        r.side[SIDE_PEER] = t[0], r.side[SIDE_EAGER] = t[1];
        r.memory = (double)tg_stats(m.tape).bytes_held;
        report_row(&r);
    }
    tg_tape_free(m.tape);
    return report_end();
}
