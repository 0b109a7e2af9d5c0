/* Ops that draw random numbers. What is drawn is a function of the attributes, of the run and of an
   element's position alone: in one run these ops are as pure as any other. In a program the elements
   of all instances are one row, an instance behind the other. */
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

/* False where everything is dropped. */
static bool dropping_of(const tg__call *c, tg__dropping *d)
{
    const tg_dropout_attributes *const a = c->attributes;
    const uint64_t least = tg__random_threshold(a->p);
    *d = (tg__dropping){ .r = { (uint64_t)a->seed, (uint64_t)a->run + c->run, TG__DRAW_DROPOUT },
                         .first = a->same ? 0 : c->first,
                         .least = (uint32_t)least,
                         .scale = 1 / (1 - a->p) };
    return least <= UINT32_MAX;
}

FORWARD(dropout)
{
    tg__dropping d;
    if (!dropping_of(c, &d)) {
        c->k->fill(c->y.s->n, c->y.p, 1, 0);
        return TG_OK;
    }
    const void *const x = tg__adjacent(c, c->x[0]);
    if (!x) return TG_ERROR_MEMORY;
    c->k->random.drop(c->y.s->n, c->y.p, x, &d);
    return TG_OK;
}

/* The same elements are drawn again. */
BACKWARD(dropout)
{
    tg__dropping d;
    if (!dropping_of(c, &d)) return TG_OK;
    void *const dx = tg__gradient_begin(c, 0);
    if (!dx) return TG_ERROR_MEMORY;
    c->k->random.drop_add(c->y.s->n, dx, c->g, &d);
    tg__gradient_end(c, 0, dx);
    return TG_OK;
}

DERIVATIVE(dropout)
{
    d->dx[0] = d_dropout(d, d->g, d->attributes);
}

/* The same for every instance of a program, so that programs can be checked against the tape. */
CASES(dropout,
      { .n = 1, .x = { TENSOR(-2, 2, 4, 5) }, .attributes = ATTRIBUTES(dropout, .same = true, .seed = 3) },
      { .n = 1,
        .x = { TENSOR(-2, 2, 3, 3) },
        .attributes = ATTRIBUTES(dropout, .same = true, .p = 0.25, .seed = -1, .run = 2) },
      { .n = 1, .x = { TENSOR(-2, 2, 3) }, .attributes = ATTRIBUTES(dropout, .same = true, .p = 0.0) },
      { .n = 1, .x = { TENSOR(-2, 2, 3) }, .attributes = ATTRIBUTES(dropout, .same = true, .p = 1.0) },
      { .n = 1, .x = { TENSOR(-2, 2, 2, 0) } })
