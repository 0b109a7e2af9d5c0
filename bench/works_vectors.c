/* The works in operations on vectors. A step of the chain needs the one before: there is nothing to put side by side. */
#include <tapegrad.h>
#include <tapegrad/short.h>

#include "works.h"

static Value dot_of(const Value *x, const Value *y, const Value *p)
{
    (void)y;
    return dot(p[0], x[0]);
}

static Value logistic(const Value *x, const Value *y, const Value *p)
{
    const Value z = add(dot(p[0], x[0]), p[1]);
    return sub(softplus(z), mul(y[0], z));
}

static Value tanh_net(const Value *x, const Value *y, const Value *p)
{
    const Value h = tanh(linear(x[0], p[0], p[1]));
    return cross_entropy_soft(linear(h, p[2], p[3]), y[0]);
}

static Value square_net(const Value *x, const Value *y, const Value *p)
{
    const Value h = square(linear(x[0], p[0], p[1]));
    return cross_entropy_soft(linear(h, p[2], p[3]), y[0]);
}

const layout vector_ops = { "vector-ops", false, { NULL, dot_of, logistic, tanh_net, square_net } };
