/* The works of works.h, and how one is recorded and walked back. */
#include "works.h"

#include <stdlib.h>

#include "timing.h"

#define NETWORK                                                                                                  \
    .size = "2-100-3", .inputs = INPUTS, .targets = CLASSES, .parts = 4,                                         \
    .part = { { HIDDEN, INPUTS }, { HIDDEN, 0 }, { CLASSES, HIDDEN }, { CLASSES, 0 } }, .low = -1, .high = 1

const work works[WORKS] = {
    [CHAIN] = { "chain", "1000-ops", .inputs = 1, .parts = 2, .low = 0.01, .high = 0.05, .plain = chain_plain },
    [DOT] = { "dot", "100", .inputs = FEATURES, .parts = 1, .part = { { FEATURES, 0 } }, .low = -1, .high = 1,
              .plain = dot_plain },
    [LOGISTIC] = { "logistic", "100", .inputs = FEATURES, .targets = 1, .parts = 2, .part = { { FEATURES, 0 } },
                   .low = -1, .high = 1, .plain = logistic_plain_f64 },
    [TANH_NET] = { "tanh-net", NETWORK, .plain = tanh_plain_f64 },
    [SQUARE_NET] = { "square-net", NETWORK, .plain = square_plain_f64 },
};

int part_begin(const work *w, int part)
{
    int64_t begin = 0;
    for (int i = 0; i < part; i++)
        begin += (w->part[i].rows ? w->part[i].rows : 1) * (w->part[i].columns ? w->part[i].columns : 1);
    return (int)begin;
}

int first_instance(void)
{
    enum { SHIFT = 64, TURNS = SPARE / SHIFT + 1 };
    return timed_run() % TURNS * SHIFT;
}

int batch_leaves(const work *w)
{
    return w->targets ? 2 : 1;
}

static tg_value leaf_new(tg_tape *t, tg_leaf kind, const double *data, int64_t rows, int64_t columns)
{
    const int64_t shape[] = { rows, columns };
    return tg_leaf_new(t, kind, TG_F64, data, (rows > 0) + (columns > 0), shape, NULL);
}

static tg_value data_new(tg_tape *t, int n)
{
    return leaf_new(t, TG_INPUT, NULL, n > 1 ? n : 0, 0);
}

static tg_value number_of(tg_value v, int64_t i)
{
    const int rank = tg_rank(v);
    const int64_t columns = rank == 2 ? tg_dim(v, 1) : 1;
    return rank == 0 ? v : rank == 1 ? tg_at(v, i) : tg_at(v, i / columns, i % columns);
}

leaves leaves_new(const work *w, const layout *how, tg_tape *t, const double *p)
{
    leaves l = { .w = w, .how = how, .leaf[0] = data_new(t, w->inputs) };
    const int batch = batch_leaves(w);
    if (batch > 1) l.leaf[1] = data_new(t, w->targets);
    for (int i = 0; i < w->parts; i++) {
        const double *const data = p ? p + part_begin(w, i) : NULL;
        l.leaf[batch + i] = leaf_new(t, TG_PARAMETER, data, w->part[i].rows, w->part[i].columns);
    }
    for (int i = 0, n = 0; i < batch + w->parts && how->by_number; i++) {
        /* An element that has no gradient would be a tensor; one that has is a scalar. */
        tg_want_gradient(l.leaf[i], true);
        const int64_t size = tg_size(l.leaf[i]);
        for (int64_t j = 0; j < size; j++) l.number[n++] = number_of(l.leaf[i], j);
    }
    return l;
}

tg_value loss_of(const leaves *l)
{
    const work *const w = l->w;
    recording *const record = l->how->record[w - works];
    if (!l->how->by_number) return record(l->leaf, l->leaf + 1, l->leaf + batch_leaves(w));
    return record(l->number, l->number + w->inputs, l->number + w->inputs + w->targets);
}

operands operands_of(const work *w, size_t size, const void *p, const void *along, void *loss, void *d)
{
    const int batch = batch_leaves(w), parameters = part_begin(w, w->parts);
    operands o = { .out[0] = loss };
    for (int i = 0; i < w->parts; i++) {
        const size_t begin = (size_t)part_begin(w, i) * size;
        o.in[batch + i] = (const char *)p + begin;
        o.out[1 + i] = (char *)d + begin;
        if (!along) continue;
        o.in[batch + w->parts + i] = (const char *)along + begin;
        o.out[1 + w->parts + i] = (char *)d + (size_t)parameters * size + begin;
    }
    return o;
}

struct eager {
    tg_tape *tape;
    tg_mark mark;
    leaves l;
};

eager *eager_new(const work *w, const layout *how, const double *p)
{
    eager *const e = malloc(sizeof *e);
    if (!e) exit(1);
    e->tape = tg_tape_new(NULL);
    e->l = leaves_new(w, how, e->tape, p);
    e->mark = tg_tape_mark(e->tape);
    return e;
}

double eager_step(eager *e, const double *x, const double *y, double *d)
{
    const work *const w = e->l.w;
    const tg_value *const part = e->l.leaf + batch_leaves(w);
    tg_set(e->l.leaf[0], x, (size_t)w->inputs);
    if (w->targets) tg_set(e->l.leaf[1], y, (size_t)w->targets);
    const tg_value loss = loss_of(&e->l);
    if (!tg_backward(loss)) exit(1);
    const double value = tg_item(loss);
    for (int i = 0; i < w->parts; i++) {
        const double *const g = tg_grad(part[i]);
        const int64_t n = tg_size(part[i]);
        for (int64_t j = 0; j < n; j++) d[j] += g[j];
        d += n;
    }
    tg_release(e->mark);
    return value;
}

recorded eager_records(eager *e)
{
    const tg_tape_stats before = tg_stats(e->tape);
    if (!tg_backward(loss_of(&e->l))) exit(1);
    const tg_tape_stats after = tg_stats(e->tape);
    tg_release(e->mark);
    return (recorded){ (double)(after.instructions - before.instructions),
                       (double)(after.bytes_used - before.bytes_used) };
}

void eager_free(eager *e)
{
    if (!e) return;
    tg_tape_free(e->tape);
    free(e);
}
