/* Ops that draw random numbers. What is drawn is a function of the attributes and of an element's
   position alone: these ops are as pure as any other. */
#include "ops/op.h"

#include "base/random.h"

/* Corner: what is dropped is 0, whatever stands there, and so is its gradient; p = 1 drops all. */
TG_OP(dropout, "l", dropout, "0 with probability p, else x / (1 - p); which follows from the seed")

SHAPE(dropout)
{
    const double p = ((const tg_dropout_attributes *)c->attributes)->p;
    *y = *c->x[0].s;
    if (p >= 0 && p <= 1) return TG_OK;
    return tg__fail(c, TG_ERROR_ARGUMENT, "p is %g, which is no probability", p);
}

enum { CHUNK = 256 };

/* y = x / (1 - p) where y is kept, 0 elsewhere, whatever x holds there; n adjacent elements. */
static void drop_some(const tg__call *c, void *y, const void *x, int64_t n)
{
    const tg_dropout_attributes *const a = c->attributes;
    const tg__random r = { (uint64_t)a->seed, (uint64_t)a->run, TG__DRAW_DROPOUT };
    const uint64_t dropped = tg__random_threshold(a->p);
    const double scale = 1 / (1 - a->p);
    const bool single = c->y.s->type == TG_F32;
    uint32_t word[CHUNK];
    for (int64_t i = 0; i < n; i++) {
        if (i % CHUNK == 0) tg__random_words(&r, i, n - i < CHUNK ? n - i : CHUNK, word);
        const bool kept = word[i % CHUNK] >= dropped;
        if (single) ((float *)y)[i] = kept ? (float)((double)((const float *)x)[i] * scale) : 0;
        else ((double *)y)[i] = kept ? ((const double *)x)[i] * scale : 0;
    }
}

FORWARD(dropout)
{
    tg__copy(c->k, c->y, c->x[0]);
    drop_some(c, c->y.p, c->y.p, c->y.s->n);
    return TG_OK;
}

BACKWARD(dropout)
{
    const tg__shape *const s = c->y.s;
    void *const g = tg__scratch(c, (size_t)s->n * tg__type_size(s->type));
    if (!g) return TG_ERROR_MEMORY;
    drop_some(c, g, c->g, s->n);
    tg__add(c->k, c->dx[0], (tg__array){ s, g });
    return TG_OK;
}

DERIVATIVE(dropout)
{
    d->dx[0] = d_dropout(d, d->g, d->attributes);
}

CASES(dropout,
      { .n = 1, .x = { TENSOR(-2, 2, 4, 5) }, .attributes = ATTRIBUTES(dropout, .seed = 3) },
      { .n = 1,
        .x = { TENSOR(-2, 2, 3, 3) },
        .attributes = ATTRIBUTES(dropout, .p = 0.25, .seed = -1, .run = 2) },
      { .n = 1, .x = { TENSOR(-2, 2, 3) }, .attributes = ATTRIBUTES(dropout, .p = 0.0) },
      { .n = 1, .x = { TENSOR(-2, 2, 3) }, .attributes = ATTRIBUTES(dropout, .p = 1.0) },
      { .n = 1, .x = { TENSOR(-2, 2, 2, 0) } })
