/* TG_EXPR against the same nested calls: what an expression costs more, recorded again and again in
   one place. Prints a table; every figure is measured in this run. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tapegrad.h>
#include <tapegrad/short.h>

#include "timing.h"

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

static const struct row {
    const char *name;
    int ops;
    Value (*way[2])(const model *m); /* calls, expression */
} rows[] = {
    { "a * b, scalars", 1, { product_calls, product_text } },
    { "a * b + c * a - b / c, scalars", 5, { scalars_calls, scalars_text } },
    { "tanh(a * b) * exp(c - 1), scalars", 5, { functions_calls, functions_text } },
    { "v * w + v, 8 elements", 2, { vectors_calls, vectors_text } },
    { "cross_entropy(tanh(x @ W + v) @ V + u, y)", 6, { network_calls, network_text } },
};
enum { ROWS = sizeof rows / sizeof *rows };

typedef struct task {
    const model *m;
    const struct row *row;
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

/* Whether both ways record the same value. */
static bool same(const model *m, const struct row *r)
{
    double y[2][HIDDEN] = { { 0 } };
    for (int i = 0; i < 2; i++) {
        const Value v = r->way[i](m);
        if (tg_size(v) < 0 || !tg_read(v, y[i], (size_t)tg_size(v))) return false;
    }
    tg_release(m->mark);
    return memcmp(y[0], y[1], sizeof y[0]) == 0;
}

int main(void)
{
    model m = new_model();
    bool right = true;
    print_machine();
    printf("\nrecording once, forward only: nested calls, TG_EXPR after the first call\n");
    printf("  %-44s %4s %9s %9s %9s %11s\n", "", "ops", "calls ns", "EXPR ns", "more", "more / op");
    for (int i = 0; i < ROWS; i++) {
        const struct row *const r = &rows[i];
        if (!same(&m, r)) {
            printf("  %-44s WRONG: the two ways differ\n", r->name);
            right = false;
            continue;
        }
        timing t[2];
        time_ways(2, record, &(task){ &m, r }, REPEATS, t);
        const double calls = t[0].median / TIMES, text = t[1].median / TIMES;
        printf("  %-44s %4d %9.1f %9.1f %9.1f %11.2f%s\n", r->name, r->ops, calls, text,
               text - calls, (text - calls) / r->ops,
               t[0].spread > 0.1 || t[1].spread > 0.1 ? "  NOISY" : "");
    }
    tg_tape_free(m.tape);
    return right ? 0 : 1;
}
