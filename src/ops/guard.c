/* What C code decided while it recorded, kept so that a replay can see that it would decide otherwise. */
#include "ops/op.h"

TG_PART_ZERO(guard, "0", guard, "1 if x is as true as it was when it was recorded: anything else is an error")

SHAPE(guard)
{
    y->rank = 0;
    if (c->x[0].s->n == 1) return TG_OK;
    return tg__fail(c, TG_ERROR_SHAPE, "shape %s has not one element", TG__SHAPE_TEXT(c->x[0].s));
}

static bool is_true(tg__array x)
{
    return x.s->type == TG_F64 ? *(const double *)x.p != 0 : *(const float *)x.p != 0;
}

FORWARD(guard)
{
    const bool now = is_true(c->x[0]), then = ((const tg_guard_attributes *)c->attributes)->expected;
    c->k->fill(1, c->y.p, 1, 1);
    if (now == then) return TG_OK;
    return tg__fail(c, TG_ERROR_GUARD, "the condition is %s, it was %s when recorded",
                    now ? "true" : "false", then ? "true" : "false");
}

CASES(guard, { .n = 1, .x = { SCALAR(1, 2) } }, { .n = 1, .x = { TENSOR(-2, -1, 1, 1) } })
