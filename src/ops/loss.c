/* Softargmax, its logarithm, and losses. Losses of classes read rows of scores whose last axis is
   the class; losses of two tensors broadcast them. */
#include "ops/op.h"

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

static tg_code each_line(const tg__call *c, lines_forward *kernel)
{
    const tg_softmax_attributes *const a = c->attributes;
    if (c->y.s->n == 0) return TG_OK;
    const void *x = c->x[0].p;
    if (!tg__shape_contiguous(c->x[0].s)) {
        tg__copy(c->k, c->y, c->x[0]);
        x = c->y.p;
    }
    kernel(lines_of(c), c->y.p, x, a->beta);
    return TG_OK;
}

static tg_code each_line_backward(const tg__call *c, lines_backward *kernel)
{
    const tg_softmax_attributes *const a = c->attributes;
    if (!c->dx[0].p || c->y.s->n == 0) return TG_OK;
    void *const dx = tg__gradient_begin(c, 0);
    if (!dx) return TG_ERROR_MEMORY;
    kernel(lines_of(c), dx, c->g, c->y.p, a->beta);
    tg__gradient_end(c, 0, dx);
    return TG_OK;
}

TG_OP(softargmax, "n", softmax,
      "exp(beta x) over its sum along an axis: a soft one-hot of the argmax")
TG_ALIAS(softmax, softargmax)

SHAPE(softargmax) { return softmax_shape(c, y); }

FORWARD(softargmax) { return each_line(c, c->k->reduce.softargmax); }

/* beta y (g - sum g y) */
BACKWARD(softargmax) { return each_line_backward(c, c->k->reduce.softargmax_backward); }

DERIVATIVE(softargmax)
{
    const tg_softmax_attributes *const a = d->attributes;
    const tg_reduce_attributes *const over = ATTRIBUTES(reduce, .axis = a->axis, .keep = true);
    const tg_value g = d_mul(d, d->g, d->to->number(a->beta));
    d->dx[0] = d_mul(d, d->y, d_sub(d, g, d_sum(d, d_mul(d, g, d->y), over)));
}

CASES(softargmax, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } }, { .n = 1, .x = { TENSOR(-2, 2, 5) } },
      ALONG(TENSOR(-2, 2, 4, 3), .axis = 0, .beta = 1.5),
      ALONG(TENSOR(-2, 2, 2, 3, 2, 2), .axis = -3, .beta = -0.5),
      ALONG(TENSOR(-2, 2, 2, 20), .beta = 2.0), { .n = 1, .x = { TENSOR(-2, 2, 0, 3) } })

TG_OP(log_softmax, "n", softmax, "logarithm of softargmax, without ever forming it")

SHAPE(log_softmax) { return softmax_shape(c, y); }

FORWARD(log_softmax) { return each_line(c, c->k->reduce.log_softmax); }

/* beta (g - exp(y) sum g) */
BACKWARD(log_softmax) { return each_line_backward(c, c->k->reduce.log_softmax_backward); }

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

static tg_reduction reduction_of(const tg__call *c)
{
    return ((const tg_loss_attributes *)c->attributes)->reduction;
}

/* y from the shape of the loss's elements. */
static tg_code loss_shape(const tg__call *c, const tg__shape *elements, tg__shape *y)
{
    const tg_reduction r = reduction_of(c);
    if (r != TG_MEAN && r != TG_SUM && r != TG_NONE)
        return tg__fail(c, TG_ERROR_ARGUMENT, "%d is no reduction", (int)r);
    *y = *elements;
    y->type = c->x[0].s->type;
    if (r != TG_NONE) y->rank = 0;
    return TG_OK;
}

/* Writes the mean or sum of n elements whose running sum is s. */
static void write_sum(const tg__call *c, const tg__sums *s, int64_t n)
{
    double y = s->total[0] + s->rest[0];
    if (isnan(y)) y = s->total[0]; /* of an infinite sum the rest is NaN */
    if (reduction_of(c) == TG_MEAN) y /= (double)n;
    c->k->reduce.store(1, c->y.p, &y);
}

/* The gradients that come in to n elements. */
static tg__incoming incoming_of(const tg__call *c, int64_t n)
{
    const tg_reduction r = reduction_of(c);
    return (tg__incoming){ c->g, r == TG_NONE, r == TG_MEAN ? 1 / (double)n : 1 };
}

/* ---- classes --------------------------------------------------------------------------------- */

/* Scores (..., c) and labels (...). */
static tg_code classes_shape(const tg__call *c, tg__shape *y)
{
    const tg__shape *const x = c->x[0].s, *const label = c->x[1].s;
    bool agree = x->rank == label->rank + 1;
    for (int i = 0; agree && i < label->rank; i++) agree = x->dim[i] == label->dim[i];
    if (!agree)
        return tg__fail(
            c, TG_ERROR_SHAPE,
            "scores %s and labels %s do not agree: a label is wanted for each row of scores",
            TG__SHAPE_TEXT(x), TG__SHAPE_TEXT(label));
    return loss_shape(c, label, y);
}

static int64_t class_count(const tg__call *c)
{
    return c->x[0].s->dim[c->x[0].s->rank - 1];
}

/* The labels, row-major, every one of them a class. */
static tg_code read_labels(const tg__call *c, const int64_t **labels)
{
    const tg__shape *const s = c->x[1].s;
    const int64_t classes = class_count(c);
    int64_t *const copy = tg__scratch(c, (size_t)s->n * sizeof *copy), at = 0;
    if (!copy) return TG_ERROR_MEMORY;
    tg__walk w;
    tg__walk_begin(&w, 1, &c->x[1]);
    do {
        const int64_t *const row = (const int64_t *)w.p[0];
        for (int64_t i = 0; i < w.n; i++, at++) {
            copy[at] = row[i * w.stride[0]];
            if (copy[at] < 0 || copy[at] >= classes)
                return tg__fail(c, TG_ERROR_INDEX,
                                "label %lld at position %lld is none of the %lld classes",
                                (long long)copy[at], (long long)at, (long long)classes);
        }
    } while (tg__walk_next(&w));
    *labels = copy;
    return TG_OK;
}

/* Where a loss's elements are written before they are summed: y itself if they stay. */
static void *elements_begin(const tg__call *c, int64_t n)
{
    return reduction_of(c) == TG_NONE ? c->y.p
                                      : tg__scratch(c, (size_t)n * tg__type_size(c->y.s->type));
}

static void elements_end(const tg__call *c, const void *p, int64_t n)
{
    if (reduction_of(c) == TG_NONE) return;
    tg__sums s;
    s.total[0] = s.rest[0] = 0;
    c->k->reduce.sum(&(const tg__tile){ 1, n, p, 0, 1 }, NULL, 0, &s);
    write_sum(c, &s, n);
}

static tg_code no_elements(const tg__call *c)
{
    tg__sums s;
    s.total[0] = s.rest[0] = 0;
    if (reduction_of(c) != TG_NONE) write_sum(c, &s, 0);
    return TG_OK;
}

/* The first score of every row, seen as an array of the labels' shape: x's or dx's. */
static tg__shape rows_of(const tg__shape *x)
{
    tg__shape s = *x;
    s.rank--;
    s.n = 1;
    for (int i = 0; i < s.rank; i++) s.n *= s.dim[i];
    return s;
}

TG_OP(nll, "li", loss,
      "negative log-likelihood: minus the log-probability of each label's class (last axis)")

SHAPE(nll) { return classes_shape(c, y); }

FORWARD(nll)
{
    const tg__shape rows = rows_of(c->x[0].s);
    if (rows.n == 0) return no_elements(c);
    const int64_t *label;
    const tg_code code = read_labels(c, &label);
    if (code != TG_OK) return code;
    char *const y = elements_begin(c, rows.n);
    if (!y) return TG_ERROR_MEMORY;
    const ptrdiff_t step = c->x[0].s->stride[rows.rank];
    int64_t at = 0;
    tg__walk w;
    tg__walk_begin(&w, 1, &(const tg__array){ &rows, c->x[0].p });
    do {
        c->k->reduce.nll(w.n, y + (size_t)at * tg__type_size(rows.type), w.p[0], w.stride[0], step,
                         label + at);
        at += w.n;
    } while (tg__walk_next(&w));
    elements_end(c, y, rows.n);
    return TG_OK;
}

BACKWARD(nll)
{
    const tg__shape rows = rows_of(c->x[0].s);
    if (!c->dx[0].p || rows.n == 0) return TG_OK;
    const int64_t *label;
    const tg_code code = read_labels(c, &label);
    if (code != TG_OK) return code;
    const ptrdiff_t step = c->dx[0].s->stride[rows.rank];
    tg__incoming g = incoming_of(c, rows.n);
    tg__walk w;
    tg__walk_begin(&w, 1, &(const tg__array){ &rows, c->dx[0].p });
    do {
        c->k->reduce.nll_backward(w.n, w.p[0], w.stride[0], step, label, &g);
        label += w.n;
        g.g = (const char *)g.g + (size_t)(w.n * g.sg) * tg__type_size(rows.type);
    } while (tg__walk_next(&w));
    return TG_OK;
}

/* The gradients that come in to the n elements of a loss, as a value that broadcasts to them. */
static tg_value incoming(const tg__derivation *d, int64_t n)
{
    const tg_loss_attributes *const a = d->attributes;
    return a->reduction == TG_MEAN ? d_div(d, d->g, d->to->number((double)n)) : d->g;
}

/* The same for rows of scores: with an axis for the classes where there are several elements. */
static tg_value incoming_rows(const tg__derivation *d)
{
    const tg_loss_attributes *const a = d->attributes;
    const tg_value g = incoming(d, tg__shape_of(d, d->x[1])->n);
    return a->reduction == TG_NONE ? d_unsqueeze(d, g, ATTRIBUTES(axis, .axis = -1)) : g;
}

static tg_value one_hot_labels(const tg__derivation *d)
{
    const tg__shape *const x = tg__shape_of(d, d->x[0]);
    return d_one_hot(d, d->x[1], ATTRIBUTES(classes, .classes = x->dim[x->rank - 1]));
}

DERIVATIVE(nll)
{
    if (!tg__shape_of(d, d->x[0])->n) return;
    d->dx[0] = d_neg(d, d_mul(d, incoming_rows(d), one_hot_labels(d)));
}

CASES(nll, { .n = 2, .x = { TENSOR(-2, 0, 3, 4), TENSOR(0, 3, 3) } },
      { .n = 2, .x = { TENSOR(-2, 0, 4), SCALAR(0, 3) } },
      LOSS(TG_SUM, TENSOR(-2, 0, 2, 3, 4), TENSOR(0, 3, 2, 3)),
      LOSS(TG_NONE, TENSOR(-2, 0, 2, 3, 2), TENSOR(0, 1, 2, 3)))

/* Rows of scores as the kernels want them. */
static tg_code scores_of(const tg__call *c, tg__scores *s)
{
    const int64_t n = class_count(c);
    *s = (tg__scores){ .rows = c->x[1].s->n, .n = n };
    const tg_code code = read_labels(c, &s->label);
    if (code != TG_OK) return code;
    s->x = tg__adjacent(c, c->x[0]);
    s->work = tg__scratch(c, (size_t)TG__WORK(n) * tg__type_size(c->x[0].s->type));
    return s->x && s->work ? TG_OK : TG_ERROR_MEMORY;
}

TG_OP(cross_entropy, "ni", loss,
      "nll of log_softmax of the scores (last axis: classes) in one step")

SHAPE(cross_entropy) { return classes_shape(c, y); }

FORWARD(cross_entropy)
{
    tg__scores s;
    const int64_t n = c->x[1].s->n;
    if (n == 0) return no_elements(c);
    const tg_code code = scores_of(c, &s);
    if (code != TG_OK) return code;
    void *const y = elements_begin(c, n);
    if (!y) return TG_ERROR_MEMORY;
    c->k->reduce.cross_entropy(&s, y);
    elements_end(c, y, n);
    return TG_OK;
}

BACKWARD(cross_entropy)
{
    tg__scores s;
    const int64_t n = c->x[1].s->n;
    if (!c->dx[0].p || n == 0) return TG_OK;
    const tg_code code = scores_of(c, &s);
    if (code != TG_OK) return code;
    const tg__incoming g = incoming_of(c, n);
    void *const dx = tg__gradient_begin(c, 0);
    if (!dx) return TG_ERROR_MEMORY;
    c->k->reduce.cross_entropy_backward(&s, dx, &g);
    tg__gradient_end(c, 0, dx);
    return TG_OK;
}

DERIVATIVE(cross_entropy)
{
    if (!tg__shape_of(d, d->x[0])->n) return;
    const tg_value p = d_softargmax(d, d->x[0], ATTRIBUTES(softmax, .axis = -1));
    d->dx[0] = d_mul(d, incoming_rows(d), d_sub(d, p, one_hot_labels(d)));
}

CASES(cross_entropy, { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(0, 3, 3) } },
      { .n = 2, .x = { TENSOR(-2, 2, 4), SCALAR(0, 3) } },
      LOSS(TG_SUM, TENSOR(-2, 2, 2, 3, 4), TENSOR(0, 3, 2, 3)),
      LOSS(TG_NONE, TENSOR(-2, 2, 2, 3, 20), TENSOR(0, 19, 2, 3)))

/* ---- losses of two tensors ------------------------------------------------------------------- */

static tg_code pair_shape(const tg__call *c, tg__shape *y)
{
    tg__shape s;
    if (!tg__broadcast(c->x[0].s, c->x[1].s, &s))
        return tg__fail(c, TG_ERROR_SHAPE, "shapes %s and %s do not broadcast",
                        TG__SHAPE_TEXT(c->x[0].s), TG__SHAPE_TEXT(c->x[1].s));
    return loss_shape(c, &s, y);
}

/* Whether both operands are adjacent and of one shape: then they are one row. */
static bool pair_plain(const tg__shape *a, const tg__shape *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return tg__shape_contiguous(a) && tg__shape_contiguous(b);
}

/* A walk over both operands as they are broadcast, dx[i] in the third place and y or g in the
   fourth, if the loss keeps its elements. Absent ones (NULL) repeat an operand. Returns the number
   of elements. */
static int64_t pair_walk(const tg__call *c, tg__walk *w, int i, void *dx, void *elements)
{
    const tg__array *const x = c->x;
    if (reduction_of(c) != TG_NONE) elements = NULL;
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

static tg_code pair_forward(const tg__call *c, const tg__pair_loss *loss)
{
    tg__walk w;
    tg__sums s;
    s.total[0] = s.rest[0] = 0;
    const int64_t n = pair_walk(c, &w, 0, NULL, c->y.p);
    const bool none = reduction_of(c) == TG_NONE;
    do {
        const tg__pair row = { w.n, w.p[0], w.p[1], w.stride[0], w.stride[1] };
        if (none) loss->value(w.n, w.p[3], row.a, row.sa, row.b, row.sb);
        else c->k->reduce.pair_sum(loss->value, &row, &s);
    } while (tg__walk_next(&w));
    if (!none) write_sum(c, &s, n);
    return TG_OK;
}

/* dx[i] += g times the derivative by operand i. */
static void pair_gradient(const tg__call *c, const tg__pair_loss *loss, int i)
{
    if (!c->dx[i].p) return;
    tg__walk w;
    const int64_t n = pair_walk(c, &w, i, c->dx[i].p, (void *)c->g);
    if (n == 0) return;
    tg__incoming in = incoming_of(c, n);
    do {
        const tg__pair row = { w.n, w.p[0], w.p[1], w.stride[0], w.stride[1] };
        if (in.sg) in.g = w.p[3];
        c->k->reduce.pair_add(loss->derivative[i], &row, w.p[2], w.stride[2], &in);
    } while (tg__walk_next(&w));
}

static tg_code pair_backward(const tg__call *c, const tg__pair_loss *loss)
{
    pair_gradient(c, loss, 0);
    pair_gradient(c, loss, 1);
    return TG_OK;
}

/* dx[0] = g da and dx[1] = g db, for the derivatives by a and b of a loss's element. */
static void pair_derive(tg__derivation *d, tg_value da, tg_value db)
{
    const tg_value g = incoming(d, tg__shape_of(d, d->wanted[0] ? da : db)->n);
    if (d->wanted[0]) d->dx[0] = d_times(d, g, da);
    if (d->wanted[1]) d->dx[1] = d_times(d, g, db);
}

TG_OP(mse, "nn", loss, "squared error (a - b)^2")

SHAPE(mse) { return pair_shape(c, y); }

FORWARD(mse) { return pair_forward(c, &c->k->reduce.mse); }

BACKWARD(mse) { return pair_backward(c, &c->k->reduce.mse); }

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

FORWARD(l1) { return pair_forward(c, &c->k->reduce.l1); }

BACKWARD(l1) { return pair_backward(c, &c->k->reduce.l1); }

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

FORWARD(bce) { return pair_forward(c, &c->k->reduce.bce); }

BACKWARD(bce) { return pair_backward(c, &c->k->reduce.bce); }

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

FORWARD(bce_with_logits) { return pair_forward(c, &c->k->reduce.bce_with_logits); }

BACKWARD(bce_with_logits) { return pair_backward(c, &c->k->reduce.bce_with_logits); }

DERIVATIVE(bce_with_logits)
{
    const tg_value a = d->x[0], zero = d_mul(d, d->x[1], d->to->number(0));
    pair_derive(d, d_sub(d, d_sigmoid(d, a), d->x[1]), d_sub(d, zero, a));
}

CASES(bce_with_logits, { .n = 2, .x = { TENSOR(-3, 3, 3, 4), TENSOR(0, 1, 3, 4) } },
      { .n = 2, .x = { SCALAR(-3, 3), SCALAR(0, 1) } },
      LOSS(TG_SUM, TENSOR(-3, 3, 3, 4), TENSOR(0, 1, 4)),
      LOSS(TG_NONE, TENSOR(-3, 3, 2, 1, 3), TENSOR(0, 1, 4, 1)))
