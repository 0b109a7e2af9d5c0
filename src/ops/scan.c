/* Scans: sums, products and logarithms of sums of exponentials that run along one axis. Each is one
   kernel, called for every line of the arrays along that axis. */
#include "ops/op.h"

#include <math.h>

static int axis_of(const tg__call *c)
{
    return tg__axis(((const tg_last_attributes *)c->attributes)->axis, c->x[0].s->rank);
}

static tg_code scan_shape(const tg__call *c, tg__shape *y)
{
    *y = *c->x[0].s;
    if (axis_of(c) >= 0) return TG_OK;
    return tg__no_axis(c, ((const tg_last_attributes *)c->attributes)->axis, y);
}

/* n arrays that have y's dimensions. */
static tg_code each_line(const tg__call *c, tg__scan_kernel *kernel, const tg__array *a, int n)
{
    const int axis = axis_of(c);
    tg__shape across[TG__WALK];
    tg__array first[TG__WALK];
    tg__scan_line line[TG__WALK];
    tg__walk w;
    if (c->y.s->n == 0) return TG_OK;
    for (int i = 0; i < n; i++) {
        across[i] = tg__shape_part(a[i].s, ~(1u << axis));
        first[i] = (tg__array){ &across[i], a[i].p };
        line[i].stride = a[i].s->stride[axis];
    }
    tg__walk_begin(&w, n, first);
    for (int i = 0; i < n; i++) line[i].step = w.stride[i];
    do {
        for (int i = 0; i < n; i++) line[i].p = w.p[i];
        kernel(w.n, c->y.s->dim[axis], line);
    } while (tg__walk_next(&w));
    return TG_OK;
}

static tg_code scan(const tg__call *c, tg__scan_kernel *kernel)
{
    return each_line(c, kernel, (const tg__array[]){ c->y, c->x[0] }, 2);
}

static tg_code scan_backward(const tg__call *c, tg__scan_kernel *kernel)
{
    const tg__array g = { c->y.s, (void *)(uintptr_t)c->g };
    return each_line(c, kernel, (const tg__array[]){ g, c->y, c->x[0], c->dx[0] }, 4);
}

/* ---- recorded derivatives -------------------------------------------------------------------- */

static tg_value reversed(const tg__derivation *d, tg_value x)
{
    const tg_last_attributes *const a = d->attributes;
    return d_flip(d, x, ATTRIBUTES(every, .axis = a->axis));
}

/* x moved by one to higher indices; the first element is then the one given. */
static tg_value delayed(const tg__derivation *d, tg_value x, double first)
{
    const tg_last_attributes *const a = d->attributes;
    const tg_value rest = d_slice(d, x, ATTRIBUTES(slice, .axis = a->axis, .stop = -1));
    return d_pad(d, rest, ATTRIBUTES(pad, .axis = a->axis, .before = 1, .value = first));
}

/* s[j] = g[j] + a[j + 1] s[j + 1]: what comes back along an axis. */
static tg_value pulled_back(const tg__derivation *d, tg_value a, tg_value g)
{
    const tg_value from = delayed(d, reversed(d, a), 0);
    return reversed(d, d_recurrence(d, from, reversed(d, g), d->attributes));
}

static bool is_empty(const tg__derivation *d)
{
    return tg__shape_of(d, d->y)->n == 0;
}

/* ---- sums ------------------------------------------------------------------------------------ */

TG_OP(cumsum, "l", last, "running sums along one axis")

SHAPE(cumsum)
{
    return scan_shape(c, y);
}

FORWARD(cumsum)
{
    return scan(c, c->k->scan.cumsum);
}

BACKWARD(cumsum)
{
    const tg__array g = { c->y.s, (void *)(uintptr_t)c->g };
    return each_line(c, c->k->scan.cumsum_backward, (const tg__array[]){ g, c->dx[0] }, 2);
}

DERIVATIVE(cumsum)
{
    d->dx[0] = reversed(d, d_cumsum(d, reversed(d, d->g), d->attributes));
}

CASES(cumsum, { .n = 1, .x = { TENSOR(-2, 2, 2, 5) } }, { .n = 1, .x = { TENSOR(-2, 2, 3, 0) } },
      { .n = 1, .x = { TENSOR(-2, 2, 3, 2, 2) }, .attributes = ATTRIBUTES(last, .axis = 0) })

/* ---- products -------------------------------------------------------------------------------- */

/* Corner: with zeros the gradient is made of products of the others, without division. */
TG_OP(cumprod, "n", last, "running products along one axis")

SHAPE(cumprod)
{
    return scan_shape(c, y);
}

FORWARD(cumprod)
{
    return scan(c, c->k->scan.cumprod);
}

BACKWARD(cumprod)
{
    return scan_backward(c, c->k->scan.cumprod_backward);
}

/* The product of those before, times what comes back from those behind: no division. */
DERIVATIVE(cumprod)
{
    if (is_empty(d)) return;
    d->dx[0] = d_times(d, pulled_back(d, d->x[0], d->g), delayed(d, d->y, 1));
}

CASES(cumprod, { .n = 1, .x = { TENSOR(-2, 2, 2, 5) } }, { .n = 1, .x = { TENSOR(-2, 2, 3, 0) } },
      { .n = 1, .x = { TENSOR(-2, 2, 3, 2, 2) }, .attributes = ATTRIBUTES(last, .axis = 0) },
      { .n = 1, .x = { TENSOR(0, 0, 2, 3) } })

/* ---- logarithms of sums of exponentials ------------------------------------------------------ */

/* Corner: -inf as long as all are -inf, with gradient 0. */
TG_OP(logcumsumexp, "n", last, "logarithms of running sums of exponentials along one axis")

SHAPE(logcumsumexp)
{
    return scan_shape(c, y);
}

FORWARD(logcumsumexp)
{
    return scan(c, c->k->scan.logcumsumexp);
}

BACKWARD(logcumsumexp)
{
    return scan_backward(c, c->k->scan.logcumsumexp_backward);
}

/* exp(a - b), 0 where a is -inf, whatever b is. */
static tg_value exp_of_difference(const tg__derivation *d, tg_value a, tg_value b)
{
    const tg_value none = d_eq(d, a, d->to->number(-(double)INFINITY));
    return d_where(d, none, d->to->number(0), d_exp(d, d_sub(d, a, b)));
}

/* The sum over j >= i of g[j] exp(x[i] - y[j]), with each exponential made of factors below 1. */
DERIVATIVE(logcumsumexp)
{
    if (is_empty(d)) return;
    const tg_value factors = exp_of_difference(d, delayed(d, d->y, -(double)INFINITY), d->y);
    const tg_value g = pulled_back(d, factors, d->g);
    d->dx[0] = d_times(d, g, exp_of_difference(d, d->x[0], d->y));
}

CASES(logcumsumexp, { .n = 1, .x = { TENSOR(-2, 2, 2, 5) } },
      { .n = 1, .x = { TENSOR(-2, 2, 3, 0) } }, { .n = 1, .x = { TENSOR(-60, 60, 4) } },
      { .n = 1, .x = { TENSOR(-2, 2, 3, 2, 2) }, .attributes = ATTRIBUTES(last, .axis = 0) })

/* ---- parts of derivatives -------------------------------------------------------------------- */

/* It carries gradients: one that is zero stays zero, whatever it is multiplied with. */
TG_PART(recurrence, "nl", last, "y[j] = a[j] y[j - 1] + b[j] along one axis, y[0] = b[0]")

SHAPE(recurrence)
{
    return scan_shape(c, y);
}

FORWARD(recurrence)
{
    return each_line(c, c->k->scan.recurrence,
                     (const tg__array[]){ c->y, c->x[0], c->x[1] }, 3);
}

/* A gradient that is not wanted is added to one number again and again. */
BACKWARD(recurrence)
{
    double nowhere = 0;
    const tg__array g = { c->y.s, (void *)(uintptr_t)c->g };
    tg__shape still = *c->y.s;
    for (int i = 0; i < still.rank; i++) still.stride[i] = 0;
    tg__array dx[2];
    for (int i = 0; i < 2; i++) dx[i] = c->dx[i].p ? c->dx[i] : (tg__array){ &still, &nowhere };
    return each_line(c, c->k->scan.recurrence_backward,
                     (const tg__array[]){ g, c->y, c->x[0], dx[0], dx[1] }, 5);
}

DERIVATIVE(recurrence)
{
    if (is_empty(d)) return;
    const tg_value g = pulled_back(d, d->x[0], d->g);
    d->dx[0] = d_times(d, g, delayed(d, d->y, 0));
    d->dx[1] = g;
}

CASES(recurrence, { .n = 2, .x = { TENSOR(-2, 2, 2, 4), TENSOR(-2, 2, 2, 4) } },
      { .n = 2,
        .x = { TENSOR(-2, 2, 3, 2), TENSOR(-2, 2, 3, 2) },
        .attributes = ATTRIBUTES(last, .axis = 0) },
      { .n = 2, .x = { TENSOR(-2, 2, 0), TENSOR(-2, 2, 0) } })
