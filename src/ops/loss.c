/* Softargmax, its logarithm, and losses of two tensors, which broadcast them. Losses of classes are in
   classes.c. */
#include "ops/loss.h"

#include <math.h>
#include <string.h>

/* Cases of the checks: operands and attributes. */
#define ALONG(SAMPLE, ...)                                                                         \
    {                                                                                              \
        .n = 1, .x = { SAMPLE }, .attributes = ATTRIBUTES(softmax, __VA_ARGS__)                    \
    }
#define LOSS(REDUCTION, A, B)                                                                      \
    {                                                                                              \
        .n = 2, .x = { A, B }, .attributes = ATTRIBUTES(loss, .reduction = REDUCTION)              \
    }

/* ---- softargmax ------------------------------------------------------------------------------ */

static tg_code softmax_shape(const tg__call *c, tg__shape *y)
{
    const tg_softmax_attributes *const a = c->attributes;
    *y = *c->x[0].s;
    if (tg__axis(a->axis, y->rank) < 0)
        return tg__fail(c, TG_ERROR_SHAPE, "there is no axis %d in a tensor of rank %d", a->axis,
                        y->rank);
    return TG_OK;
}

/* y as lines along the axis. */
static tg__lines lines_of(const tg__call *c)
{
    const tg_softmax_attributes *const a = c->attributes;
    const tg__shape *const y = c->y.s;
    const int axis = tg__axis(a->axis, y->rank);
    tg__lines l = { 1, y->dim[axis], 1 };
    for (int i = 0; i < axis; i++) l.outer *= y->dim[i];
    for (int i = axis + 1; i < y->rank; i++) l.inner *= y->dim[i];
    return l;
}

typedef void lines_forward(tg__lines l, void *y, const void *x, double beta);
typedef void lines_backward(tg__lines l, void *dx, const void *g, const void *y, double beta);

/* sign times beta is the kernel's. */
static tg_code each_line(const tg__call *c, lines_forward *kernel, double sign)
{
    const tg_softmax_attributes *const a = c->attributes;
    if (c->y.s->n == 0) return TG_OK;
    const void *x = c->x[0].p;
    if (!tg__shape_contiguous(c->x[0].s)) {
        tg__copy(c->k, c->y, c->x[0]);
        x = c->y.p;
    }
    kernel(lines_of(c), c->y.p, x, sign * a->beta);
    return TG_OK;
}

static tg_code each_line_backward(const tg__call *c, lines_backward *kernel, double sign)
{
    const tg_softmax_attributes *const a = c->attributes;
    if (!c->dx[0].p || c->y.s->n == 0) return TG_OK;
    void *const dx = tg__gradient_begin(c, 0);
    if (!dx) return TG_ERROR_MEMORY;
    kernel(lines_of(c), dx, c->g, c->y.p, sign * a->beta);
    tg__gradient_end(c, 0, dx);
    return TG_OK;
}

TG_OP(softargmax, "n", softmax,
      "exp(beta x) over its sum along an axis: a soft one-hot of the argmax")
TG_ALIAS(softmax, softargmax)

SHAPE(softargmax) { return softmax_shape(c, y); }

FORWARD(softargmax) { return each_line(c, c->k->reduce.softargmax, 1); }

/* beta y (g - sum g y) */
BACKWARD(softargmax) { return each_line_backward(c, c->k->reduce.softargmax_backward, 1); }

static void softargmax_derivative(tg__derivation *d, double sign)
{
    const tg_softmax_attributes *const a = d->attributes;
    const tg_reduce_attributes *const over = ATTRIBUTES(reduce, .axis = a->axis, .keep = true);
    const tg_value g = d_mul(d, d->g, d->to->number(sign * a->beta));
    d->dx[0] = d_mul(d, d->y, d_sub(d, g, d_sum(d, d_mul(d, g, d->y), over)));
}

DERIVATIVE(softargmax) { softargmax_derivative(d, 1); }

CASES(softargmax, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } }, { .n = 1, .x = { TENSOR(-2, 2, 5) } },
      ALONG(TENSOR(-2, 2, 4, 3), .axis = 0, .beta = 1.5),
      ALONG(TENSOR(-2, 2, 2, 3, 2, 2), .axis = -3, .beta = -0.5),
      ALONG(TENSOR(-2, 2, 2, 20), .beta = 2.0), ALONG(TENSOR(-2, 2, 2, 129), .axis = 0),
      { .n = 1, .x = { TENSOR(-2, 2, 0, 3) } })

TG_OP(softargmin, "n", softmax,
      "exp(-beta x) over its sum along an axis: a soft one-hot of the argmin")

SHAPE(softargmin) { return softmax_shape(c, y); }

FORWARD(softargmin) { return each_line(c, c->k->reduce.softargmax, -1); }

BACKWARD(softargmin) { return each_line_backward(c, c->k->reduce.softargmax_backward, -1); }

DERIVATIVE(softargmin) { softargmax_derivative(d, -1); }

CASES(softargmin, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } },
      ALONG(TENSOR(-2, 2, 4, 3), .axis = 0, .beta = 1.5), { .n = 1, .x = { TENSOR(-2, 2, 0, 3) } })

TG_OP(log_softmax, "n", softmax, "logarithm of softargmax, without ever forming it")

SHAPE(log_softmax) { return softmax_shape(c, y); }

FORWARD(log_softmax) { return each_line(c, c->k->reduce.log_softmax, 1); }

/* beta (g - exp(y) sum g) */
BACKWARD(log_softmax) { return each_line_backward(c, c->k->reduce.log_softmax_backward, 1); }

DERIVATIVE(log_softmax)
{
    const tg_softmax_attributes *const a = d->attributes;
    const tg_reduce_attributes *const over = ATTRIBUTES(reduce, .axis = a->axis, .keep = true);
    const tg_value g = d_mul(d, d->g, d->to->number(a->beta));
    d->dx[0] = d_sub(d, g, d_mul(d, d_exp(d, d->y), d_sum(d, g, over)));
}

CASES(log_softmax, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } }, { .n = 1, .x = { TENSOR(-2, 2, 5) } },
      ALONG(TENSOR(-2, 2, 4, 3), .axis = 0, .beta = 1.5),
      ALONG(TENSOR(-2, 2, 2, 3, 2, 2), .axis = -3, .beta = -0.5),
      ALONG(TENSOR(-2, 2, 2, 20), .beta = 2.0), { .n = 1, .x = { TENSOR(-2, 2, 0, 3) } })

/* ---- what all losses share ------------------------------------------------------------------- */

tg_code tg__loss_shape(const tg__call *c, const tg__shape *elements, tg__shape *y)
{
    const tg_reduction r = tg__reduction(c->attributes);
    if (r != TG_MEAN && r != TG_SUM && r != TG_NONE)
        return tg__fail(c, TG_ERROR_ARGUMENT, "%d is no reduction", (int)r);
    *y = *elements;
    y->type = c->x[0].s->type;
    if (r != TG_NONE) y->rank = 0;
    return TG_OK;
}

void tg__loss_write(const tg__call *c, const tg__sums *s, double n)
{
    double y = s->total[0] + s->rest[0];
    if (isnan(y)) y = s->total[0]; /* of an infinite sum the rest is NaN */
    if (tg__reduction(c->attributes) == TG_MEAN) y /= n;
    c->k->reduce.store(1, c->y.p, &y);
}

tg__incoming tg__loss_incoming(const tg__call *c, double n)
{
    const tg_reduction r = tg__reduction(c->attributes);
    return (tg__incoming){ c->g, r == TG_NONE, r == TG_MEAN ? 1 / n : 1 };
}

tg_value tg__loss_incoming_value(const tg__derivation *d, double n)
{
    const bool mean = tg__reduction(d->attributes) == TG_MEAN;
    return mean ? d_div(d, d->g, d->to->number(n)) : d->g;
}

/* ---- losses of two tensors ------------------------------------------------------------------- */

static tg_code pair_shape(const tg__call *c, tg__shape *y)
{
    tg__shape s;
    if (!tg__broadcast(c->x[0].s, c->x[1].s, &s))
        return tg__fail(c, TG_ERROR_SHAPE, "shapes %s and %s do not broadcast",
                        TG__SHAPE_TEXT(c->x[0].s), TG__SHAPE_TEXT(c->x[1].s));
    return tg__loss_shape(c, &s, y);
}

/* Whether both operands are adjacent and of one shape: then they are one row. */
static bool pair_plain(const tg__shape *a, const tg__shape *b)
{
    return tg__shape_same_dims(a, b) && tg__shape_contiguous(a) && tg__shape_contiguous(b);
}

/* A walk over both operands as they are broadcast, dx[i] in the third place and y or g in the
   fourth, if the loss keeps its elements. Absent ones (NULL) repeat an operand. Returns the number
   of elements. */
static int64_t pair_walk(const tg__call *c, tg__walk *w, int i, void *dx, void *elements)
{
    const tg__array *const x = c->x;
    if (tg__reduction(c->attributes) != TG_NONE) elements = NULL;
    if (!dx) dx = x[i].p;
    if (pair_plain(x[0].s, x[1].s)) {
        w->n = x[0].s->n;
        w->arrays = 4;
        w->rank = 0;
        for (int k = 0; k < 4; k++) w->stride[k] = 1;
        w->p[0] = x[0].p;
        w->p[1] = x[1].p;
        w->p[2] = dx;
        w->p[3] = elements ? elements : x[0].p;
        return w->n;
    }
    tg__shape full;
    tg__broadcast(x[0].s, x[1].s, &full);
    const tg__shape a = tg__broadcast_to(x[0].s, &full), b = tg__broadcast_to(x[1].s, &full);
    tg__walk_begin(w, 4,
                   (const tg__array[]){ { &a, x[0].p },
                                        { &b, x[1].p },
                                        { i ? &b : &a, dx },
                                        { elements ? &full : &a, elements ? elements : x[0].p } });
    return full.n;
}

/* p is the parameter of losses that have one. */
static tg_code pair_forward(const tg__call *c, const tg__pair_loss *loss, double p)
{
    tg__walk w;
    tg__sums s;
    s.total[0] = s.rest[0] = 0;
    const int64_t n = pair_walk(c, &w, 0, NULL, c->y.p);
    const bool none = tg__reduction(c->attributes) == TG_NONE;
    do {
        const tg__pair row = { w.n, w.p[0], w.p[1], w.stride[0], w.stride[1], p };
        if (none) loss->value(&row, w.p[3]);
        else c->k->reduce.pair_sum(loss->value, &row, &s);
    } while (tg__walk_next(&w));
    if (!none) tg__loss_write(c, &s, (double)n);
    return TG_OK;
}

/* dx[i] += g times the derivative by operand i. */
static void pair_gradient(const tg__call *c, const tg__pair_loss *loss, double p, int i)
{
    if (!c->dx[i].p) return;
    tg__walk w;
    const int64_t n = pair_walk(c, &w, i, c->dx[i].p, (void *)c->g);
    if (n == 0) return;
    tg__incoming in = tg__loss_incoming(c, (double)n);
    do {
        const tg__pair row = { w.n, w.p[0], w.p[1], w.stride[0], w.stride[1], p };
        if (in.sg) in.g = w.p[3];
        c->k->reduce.pair_add(loss->derivative[i], &row, w.p[2], w.stride[2], &in);
    } while (tg__walk_next(&w));
}

static bool overlap(tg__array a, tg__array b)
{
    const size_t size = tg__type_size(a.s->type);
    const uintptr_t pa = (uintptr_t)a.p, pb = (uintptr_t)b.p;
    return pa < pb + (size_t)b.s->n * size && pb < pa + (size_t)a.s->n * size;
}

static tg_code pair_backward(const tg__call *c, const tg__pair_loss *loss, double p)
{
    const tg__array *const x = c->x, *const dx = c->dx;
    if (tg__reduction(c->attributes) != TG_NONE && pair_plain(x[0].s, x[1].s) &&
        !overlap(dx[0], dx[1])) {
        const tg__pair row = { x[0].s->n, x[0].p, x[1].p, 1, 1, p };
        const tg__incoming in = tg__loss_incoming(c, (double)row.n);
        if (row.n > 0) loss->slopes(&row, dx[0].p, dx[1].p, &in);
        return TG_OK;
    }
    pair_gradient(c, loss, p, 0);
    pair_gradient(c, loss, p, 1);
    return TG_OK;
}

/* dx[0] = g da and dx[1] = g db, for the derivatives by a and b of a loss's element. */
static void pair_derive(tg__derivation *d, tg_value da, tg_value db)
{
    const double n = (double)tg__shape_of(d, d->wanted[0] ? da : db)->n;
    const tg_value g = tg__loss_incoming_value(d, n);
    if (d->wanted[0]) d->dx[0] = d_times(d, g, da);
    if (d->wanted[1]) d->dx[1] = d_times(d, g, db);
}

TG_OP(mse, "nn", loss, "squared error (a - b)^2")

SHAPE(mse) { return pair_shape(c, y); }

FORWARD(mse) { return pair_forward(c, &c->k->reduce.mse, 0); }

BACKWARD(mse) { return pair_backward(c, &tg__streaming(c, c->x[0].s)->reduce.mse, 0); }

DERIVATIVE(mse)
{
    const tg_value twice = d_mul(d, d->to->number(2), d_sub(d, d->x[0], d->x[1]));
    pair_derive(d, twice, d_neg(d, twice));
}

CASES(mse, { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(-2, 2, 3, 4) } },
      { .n = 2, .x = { SCALAR(-2, 2), SCALAR(-2, 2) } },
      LOSS(TG_SUM, TENSOR(-2, 2, 3, 4), TENSOR(-2, 2, 4)),
      LOSS(TG_NONE, TENSOR(-2, 2, 2, 1, 3), TENSOR(-2, 2, 4, 1)),
      LOSS(TG_SUM, TENSOR(-2, 2, 0, 3), TENSOR(-2, 2, 3)))

TG_OP(l1, "nn", loss, "absolute error |a - b|; gradient 0 where they are equal")

SHAPE(l1) { return pair_shape(c, y); }

FORWARD(l1) { return pair_forward(c, &c->k->reduce.l1, 0); }

BACKWARD(l1) { return pair_backward(c, &c->k->reduce.l1, 0); }

DERIVATIVE(l1)
{
    const tg_value sign = d_sign(d, d_sub(d, d->x[0], d->x[1]));
    pair_derive(d, sign, d_neg(d, sign));
}

CASES(l1, { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(-2, 2, 3, 4) } },
      { .n = 2, .x = { SCALAR(0, 2), SCALAR(-2, -1) } },
      LOSS(TG_SUM, TENSOR(-2, 2, 3, 4), TENSOR(-2, 2, 4)),
      LOSS(TG_NONE, TENSOR(-2, 2, 2, 1, 3), TENSOR(-2, 2, 4, 1)))

TG_OP(bce, "nl", loss,
      "binary cross-entropy of probabilities a and targets b, logarithms bounded by -100")

SHAPE(bce) { return pair_shape(c, y); }

FORWARD(bce) { return pair_forward(c, &c->k->reduce.bce, 0); }

BACKWARD(bce) { return pair_backward(c, &c->k->reduce.bce, 0); }

/* 1 / v, or 0 where the logarithm of v has met its bound. */
static tg_value bounded_slope(const tg__derivation *d, tg_value logarithm, tg_value v)
{
    const tg_value free = d_gt(d, logarithm, d->to->number(-100));
    return d_where(d, free, d_reciprocal(d, v), d->to->number(0));
}

DERIVATIVE(bce)
{
    const tg_value a = d->x[0], b = d->x[1], one = d->to->number(1), bound = d->to->number(-100);
    const tg_value no = d_sub(d, one, a), log_a = d_log(d, a), log_no = d_log1p(d, d_neg(d, a));
    const tg_value da = d_sub(d, d_times(d, d_sub(d, one, b), bounded_slope(d, log_no, no)),
                              d_times(d, b, bounded_slope(d, log_a, a)));
    const tg_value db = d_sub(d, d_maximum(d, log_no, bound), d_maximum(d, log_a, bound));
    pair_derive(d, da, d_add(d, db, d_mul(d, b, d->to->number(0))));
}

CASES(bce, { .n = 2, .x = { TENSOR(0.1, 0.9, 3, 4), TENSOR(0, 1, 3, 4) } },
      { .n = 2, .x = { SCALAR(0.1, 0.9), SCALAR(0, 1) } },
      LOSS(TG_SUM, TENSOR(0.1, 0.9, 3, 4), TENSOR(0, 1, 4)),
      LOSS(TG_NONE, TENSOR(0.1, 0.9, 2, 1, 3), TENSOR(0, 1, 4, 1)))

TG_OP(bce_with_logits, "nl", loss,
      "binary cross-entropy of sigmoid(a) and targets b, stable for every a")

SHAPE(bce_with_logits) { return pair_shape(c, y); }

FORWARD(bce_with_logits) { return pair_forward(c, &c->k->reduce.bce_with_logits, 0); }

BACKWARD(bce_with_logits) { return pair_backward(c, &c->k->reduce.bce_with_logits, 0); }

DERIVATIVE(bce_with_logits)
{
    const tg_value a = d->x[0], zero = d_mul(d, d->x[1], d->to->number(0));
    pair_derive(d, d_sub(d, d_sigmoid(d, a), d->x[1]), d_sub(d, zero, a));
}

CASES(bce_with_logits, { .n = 2, .x = { TENSOR(-3, 3, 3, 4), TENSOR(0, 1, 3, 4) } },
      { .n = 2, .x = { SCALAR(-3, 3), SCALAR(0, 1) } },
      LOSS(TG_SUM, TENSOR(-3, 3, 3, 4), TENSOR(0, 1, 4)),
      LOSS(TG_NONE, TENSOR(-3, 3, 2, 1, 3), TENSOR(0, 1, 4, 1)))

/* ---- huber, smooth_l1 ------------------------------------------------------------------------ */

static double delta_of(const void *attributes)
{
    return ((const tg_huber_attributes *)attributes)->delta;
}

TG_OP(huber, "nn", huber, "(a - b)^2 / 2 up to |a - b| = delta, from there on a line")

SHAPE(huber)
{
    const double delta = delta_of(c->attributes);
    if (!(delta > 0 && isfinite(delta)))
        return tg__fail(c, TG_ERROR_ARGUMENT, "delta is %g: it must be above 0 and finite", delta);
    return pair_shape(c, y);
}

FORWARD(huber) { return pair_forward(c, &c->k->reduce.huber, delta_of(c->attributes)); }

BACKWARD(huber) { return pair_backward(c, &c->k->reduce.huber, delta_of(c->attributes)); }

DERIVATIVE(huber)
{
    const double delta = delta_of(d->attributes);
    const tg_value slope = d_clamp(d, d_sub(d, d->x[0], d->x[1]), d->to->number(-delta),
                                   d->to->number(delta));
    pair_derive(d, slope, d_neg(d, slope));
}

/* A loss with a parameter. */
#define LOSS_WITH(KIND, A, B, ...)                                                                 \
    {                                                                                              \
        .n = 2, .x = { A, B }, .attributes = ATTRIBUTES(KIND, __VA_ARGS__)                         \
    }

CASES(huber, { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(-2, 2, 3, 4) } },
      { .n = 2, .x = { SCALAR(0, 1), SCALAR(-2, -1.5) } },
      LOSS_WITH(huber, TENSOR(-2, 2, 3, 4), TENSOR(-2, 2, 4), .delta = 0.5, .reduction = TG_SUM),
      LOSS_WITH(huber, TENSOR(-2, 2, 2, 1, 3), TENSOR(-2, 2, 4, 1), .reduction = TG_NONE))

static double beta_of(const void *attributes)
{
    return ((const tg_smooth_l1_attributes *)attributes)->beta;
}

TG_OP(smooth_l1, "nn", smooth_l1, "(a - b)^2 / (2 beta) below |a - b| = beta, else |a - b| - beta / 2")

SHAPE(smooth_l1)
{
    const double beta = beta_of(c->attributes);
    if (!(beta >= 0 && isfinite(beta)))
        return tg__fail(c, TG_ERROR_ARGUMENT, "beta is %g: it must be finite and not below 0", beta);
    return pair_shape(c, y);
}

FORWARD(smooth_l1) { return pair_forward(c, &c->k->reduce.smooth_l1, beta_of(c->attributes)); }

BACKWARD(smooth_l1) { return pair_backward(c, &c->k->reduce.smooth_l1, beta_of(c->attributes)); }

DERIVATIVE(smooth_l1)
{
    const double beta = beta_of(d->attributes);
    const tg_value e = d_sub(d, d->x[0], d->x[1]);
    const tg_value slope = beta == 0 ? d_sign(d, e)
                                     : d_clamp(d, d_div(d, e, d->to->number(beta)),
                                               d->to->number(-1), d->to->number(1));
    pair_derive(d, slope, d_neg(d, slope));
}

CASES(smooth_l1, { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(-2, 2, 3, 4) } },
      { .n = 2, .x = { SCALAR(0, 1), SCALAR(-2, -1.5) } },
      LOSS_WITH(smooth_l1, TENSOR(-2, 2, 3, 4), TENSOR(-2, 2, 4), .beta = 0.5, .reduction = TG_SUM),
      LOSS_WITH(smooth_l1, TENSOR(0, 2, 2, 1, 3), TENSOR(-2, -1, 4, 1), .beta = 0.0),
      LOSS_WITH(smooth_l1, TENSOR(-2, 2, 2, 1, 3), TENSOR(-2, 2, 4, 1), .reduction = TG_NONE))

/* ---- kl_div, hinge --------------------------------------------------------------------------- */

TG_OP(kl_div, "ln", loss, "Kullback-Leibler divergence b (log b - a) of log-probabilities a and targets b")

SHAPE(kl_div) { return pair_shape(c, y); }

FORWARD(kl_div) { return pair_forward(c, &c->k->reduce.kl_div, 0); }

BACKWARD(kl_div) { return pair_backward(c, &c->k->reduce.kl_div, 0); }

DERIVATIVE(kl_div)
{
    const tg_value a = d->x[0], b = d->x[1], none = d_mul(d, a, d->to->number(0));
    const tg_value slope = d_add(d, d_log(d, b), d->to->number(1));
    const tg_value free = d_where(d, b, slope, d->to->number(0));
    pair_derive(d, d_sub(d, none, b), d_sub(d, free, a));
}

CASES(kl_div, { .n = 2, .x = { TENSOR(-2, 0, 3, 4), TENSOR(0.1, 0.9, 3, 4) } },
      { .n = 2, .x = { SCALAR(-2, 0), SCALAR(0.1, 0.9) } },
      LOSS(TG_SUM, TENSOR(-2, 0, 3, 4), TENSOR(0.1, 0.9, 4)),
      LOSS(TG_NONE, TENSOR(-2, 0, 2, 1, 3), TENSOR(0.1, 0.9, 4, 1)))

TG_OP(hinge, "nn", loss, "what a b, score times target of -1 or 1, lacks to 1: max(0, 1 - a b)")

SHAPE(hinge) { return pair_shape(c, y); }

FORWARD(hinge) { return pair_forward(c, &c->k->reduce.hinge, 0); }

BACKWARD(hinge) { return pair_backward(c, &c->k->reduce.hinge, 0); }

DERIVATIVE(hinge)
{
    const tg_value a = d->x[0], b = d->x[1], zero = d->to->number(0);
    const tg_value met = d_ge(d, d_mul(d, a, b), d->to->number(1));
    pair_derive(d, d_where(d, met, zero, d_neg(d, b)), d_where(d, met, zero, d_neg(d, a)));
}

CASES(hinge, { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(-1, 1, 3, 4) } },
      { .n = 2, .x = { SCALAR(-2, 0), SCALAR(0.5, 1) } },
      LOSS(TG_SUM, TENSOR(-2, 2, 3, 4), TENSOR(-1, 1, 4)),
      LOSS(TG_NONE, TENSOR(-2, 2, 2, 1, 3), TENSOR(-1, 1, 4, 1)))
