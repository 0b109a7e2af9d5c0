/* Calls: operations that are a program, or made of programs. What they do is behind pointers, since
   programs are made of operations. */
#include "ops/op.h"

static const tg__callee *callee_of(const void *attributes)
{
    return ((const tg_call_attributes *)attributes)->callee;
}

/* Recorded by the functions of tapegrad/call.h only: by name there is nothing to call. */
TG_PART(call, "a*", call, "a program as an operation")

SHAPE(call)
{
    const tg__callee *const callee = callee_of(c->attributes);
    if (!callee) return tg__fail(c, TG_ERROR_ARGUMENT, "tg_call records it");
    return callee->shape(c, y);
}

FORWARD(call)
{
    return callee_of(c->attributes)->forward(c);
}
BACKWARD(call)
{
    return callee_of(c->attributes)->backward(c);
}
DERIVATIVE(call)
{
    callee_of(d->attributes)->derive(d);
}
CASES(call, { .n = 0 })
