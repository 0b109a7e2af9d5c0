/* Losses of classes. Scores are rows whose last axis is the class; a row's target is a label, or
   probabilities. Of a label's target the share label_smoothing is spread over all classes; every
   class may have a weight. A loss's element is the sum over the classes of target times weight
   times minus the logarithm of the class's probability; the mean divides by the sum of the labels'
   weights, as PyTorch's does. */
#include "ops/gather.h"
#include "ops/loss.h"

#include <math.h>
#include <string.h>

/* Cases of the checks. */
#define OF_LABELS(KIND, SCORES, LABELS, ...)                                                       \
    {                                                                                              \
        .n = 2, .x = { SCORES, LABELS }, .attributes = ATTRIBUTES(KIND, __VA_ARGS__)               \
    }
#define WEIGHTED(KIND, SCORES, LABELS, WEIGHTS, ...)                                               \
    {                                                                                              \
        .n = 3, .x = { SCORES, LABELS, WEIGHTS }, .attributes = ATTRIBUTES(KIND, __VA_ARGS__)      \
    }

/* ---- operands -------------------------------------------------------------------------------- */

static int64_t class_count(const tg__call *c)
{
    return c->x[0].s->dim[c->x[0].s->rank - 1];
}

/* Scores (..., c), labels (...) and, where there are any, weights (c). */
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
    const tg__shape *const w = c->n > 2 ? c->x[2].s : NULL;
    if (w && (w->rank != 1 || w->dim[0] != class_count(c)))
        return tg__fail(c, TG_ERROR_SHAPE,
                        "scores %s and weights %s do not agree: a weight is wanted for each class",
                        TG__SHAPE_TEXT(x), TG__SHAPE_TEXT(w));
    return tg__loss_shape(c, label, y);
}

static tg_code smoothed_shape(const tg__call *c, tg__shape *y)
{
    const double share = ((const tg_smoothed_attributes *)c->attributes)->label_smoothing;
    if (!(share >= 0 && share <= 1))
        return tg__fail(c, TG_ERROR_ARGUMENT, "label_smoothing is %g: it must be in 0 ... 1",
                        share);
    return classes_shape(c, y);
}

/* What a call works on: rows of n scores, the label of each, row-major, -1 where it is ignored, the
   weights, and the sum of the labels' weights. */
typedef struct rows {
    int64_t count, n;
    const int64_t *label;
    int64_t unread; /* if they have not been read: how many classes there are */
    const void *weight;
    double total;
} rows;

/* The labels of s, every one of them a class or ignored. */
static tg_code read_labels(const tg__call *c, tg__array s, int64_t classes, int64_t ignore,
                           int64_t *label)
{
    int64_t at = 0;
    tg__walk w;
    tg__walk_begin(&w, 1, &s);
    do {
        const int64_t *const row = (const int64_t *)w.p[0];
        for (int64_t i = 0; i < w.n; i++, at++) {
            label[at] = row[i * w.stride[0]];
            if (label[at] == ignore && ignore != TG_NO_INDEX) label[at] = -1;
            else if (label[at] < 0 || label[at] >= classes)
                return tg__fail(c, TG_ERROR_INDEX,
                                "label %lld at position %lld is none of the %lld classes",
                                (long long)label[at], (long long)at, (long long)classes);
        }
    } while (tg__walk_next(&w));
    return TG_OK;
}

/* Whether labels are adjacent, none of them is to be ignored, and there are classes: they are read where they are. */
static bool plain_labels(const tg__call *c)
{
    return ((const tg_labels_attributes *)c->attributes)->ignore_index == TG_NO_INDEX &&
           tg__shape_contiguous(c->x[1].s) && class_count(c) > 0;
}

/* While labels may be unread. */
static tg_code rows_begin(const tg__call *c, rows *r)
{
    const int64_t n = c->x[1].s->n, classes = class_count(c);
    *r = (rows){ .count = n, .n = classes, .label = c->x[1].p, .unread = plain_labels(c) ? classes : 0, .total = (double)n };
    if (c->n > 2 && !(r->weight = tg__adjacent(c, c->x[2]))) return TG_ERROR_MEMORY;
    return TG_OK;
}

/* What kernels want to know of them, but for which rows these are. */
static tg__labelled labelled(const tg__call *c, const rows *r)
{
    const tg__shape *const x = c->x[0].s;
    return (tg__labelled){ .step = x->stride[x->rank - 1], .label = r->label, .unread = r->unread, .weight = r->weight };
}

/* Once labels have been read: where they are, or out of all others into a copy. */
static tg_code rows_of(const tg__call *c, rows *r)
{
    const int64_t ignore = ((const tg_labels_attributes *)c->attributes)->ignore_index;
    tg_code code = rows_begin(c, r);
    if (code != TG_OK) return code;
    tg__labelled all = labelled(c, r);
    all.n = r->count;
    r->unread = 0;
    if (all.unread && c->k->reduce.label_weights(&all, &r->total)) return TG_OK;
    int64_t *const copy = tg__scratch(c, (size_t)r->count * sizeof *copy);
    if (!copy) return TG_ERROR_MEMORY;
    code = read_labels(c, c->x[1], r->n, ignore, copy);
    if (code != TG_OK) return code;
    r->label = all.label = copy;
    all.unread = 0;
    (void)c->k->reduce.label_weights(&all, &r->total);
    return TG_OK;
}

/* ---- elements -------------------------------------------------------------------------------- */

/* Where a loss's elements are written before they are summed: y itself if they stay. */
static void *elements_begin(const tg__call *c, int64_t n)
{
    return tg__reduction(c->attributes) == TG_NONE
               ? c->y.p
               : tg__scratch(c, (size_t)n * tg__type_size(c->y.s->type));
}

static void elements_end(const tg__call *c, const void *p, int64_t n, double total)
{
    if (tg__reduction(c->attributes) == TG_NONE) return;
    tg__sums s;
    s.total[0] = s.rest[0] = 0;
    const tg__tile t = tg__row_tile(n, p, 1);
    if (n > 0) c->k->reduce.sum(&t, NULL, 0, &s);
    tg__loss_write(c, &s, total);
}

static tg_code no_elements(const tg__call *c)
{
    elements_end(c, NULL, 0, 0);
    return TG_OK;
}

/* What a weighted mean of the elements is, for the gradient by the weights; 0 of other reductions. */
static double mean_of(const tg__call *c)
{
    double y = 0;
    if (tg__reduction(c->attributes) == TG_MEAN) c->k->reduce.load(1, &y, c->y.p);
    return y;
}

/* The gradient by n weights is added up in doubles. */
static double *weights_begin(const tg__call *c, int64_t n)
{
    double *const dw = tg__scratch(c, (size_t)n * sizeof *dw);
    for (int64_t i = 0; dw && i < n; i++) dw[i] = 0;
    return dw;
}

static tg_code weights_end(const tg__call *c, const double *dw, int64_t n)
{
    const tg__array dx = c->dx[2];
    void *const all = tg__scratch(c, (size_t)n * tg__type_size(dx.s->type));
    if (!all) return TG_ERROR_MEMORY;
    c->k->reduce.store(n, all, dw);
    c->k->add(n, dx.p, dx.s->stride[0], all, 1);
    return TG_OK;
}

/* ---- recorded derivatives -------------------------------------------------------------------- */

TG_PART_ZERO(targets, "i", targets, "rows of targets: what is not spread evenly belongs to the label")

SHAPE(targets)
{
    const tg_targets_attributes *const a = c->attributes;
    *y = *c->x[0].s;
    y->type = TG_F64;
    if (y->rank == TG_MAX_RANK)
        return tg__fail(c, TG_ERROR_SHAPE, "no axis can be added to shape %s", TG__SHAPE_TEXT(y));
    y->dim[y->rank++] = a->classes;
    return TG_OK;
}

FORWARD(targets)
{
    const tg_targets_attributes *const a = c->attributes;
    const size_t row = (size_t)a->classes * tg__type_size(c->y.s->type);
    const int64_t n = c->x[0].s->n;
    int64_t *const label = tg__scratch(c, (size_t)n * sizeof *label);
    if (!label) return TG_ERROR_MEMORY;
    const tg_code code = read_labels(c, c->x[0], a->classes, a->ignore_index, label);
    if (code != TG_OK) return code;
    const double even = a->label_smoothing / (double)a->classes;
    char *y = c->y.p;
    for (int64_t i = 0; i < n; i++, y += row) {
        c->k->fill(a->classes, y, 1, label[i] < 0 ? 0 : even);
        if (label[i] < 0) continue;
        const double own = 1 - a->label_smoothing + even;
        c->k->reduce.store(1, y + (size_t)label[i] * tg__type_size(c->y.s->type), &own);
    }
    return TG_OK;
}

CASES(targets,
      { .n = 1,
        .x = { TENSOR(0, 3, 2, 3) },
        .attributes = ATTRIBUTES(targets, .classes = 4, .ignore_index = 1) },
      { .n = 1,
        .x = { SCALAR(0, 3) },
        .attributes = ATTRIBUTES(targets, .classes = 4, .label_smoothing = 0.2) })

static tg_value targets_of(const tg__derivation *d, int64_t ignore, double smoothing)
{
    const tg__shape *const x = tg__shape_of(d, d->x[0]);
    return d_targets(d, d->x[1],
                     ATTRIBUTES(targets, .classes = x->dim[x->rank - 1], .ignore_index = ignore,
                                .label_smoothing = smoothing));
}

static tg_value weighted(const tg__derivation *d, tg_value targets)
{
    return d->n > 2 ? d_mul(d, targets, d->x[2]) : targets;
}

/* The gradients that come in to rows of scores, with an axis for the classes where there are several
   elements. hot: the labels as rows of zeros and ones. */
static tg_value incoming_rows(const tg__derivation *d, tg_value hot, int64_t ignore)
{
    const tg_reduction r = tg__reduction(d->attributes);
    if (r == TG_NONE) return d_unsqueeze(d, d->g, ATTRIBUTES(axis, .axis = -1));
    if (r == TG_SUM) return d->g;
    const double n = (double)tg__shape_of(d, d->x[1])->n;
    if (d->n == 2 && ignore == TG_NO_INDEX) return d_div(d, d->g, d->to->number(n));
    return d_div(d, d->g, d_sum(d, weighted(d, hot), ATTRIBUTES(reduce, .keep = false)));
}

/* v as it stands in the gradient by the weights: a weighted mean depends on them in two ways. */
static tg_value with_mean(const tg__derivation *d, tg_value v, tg_value hot)
{
    if (tg__reduction(d->attributes) != TG_MEAN) return v;
    return d_sub(d, v, d_times(d, hot, d->y));
}

/* ---- nll ------------------------------------------------------------------------------------- */

/* The first score of every row, seen as an array of the labels' shape: x's or dx's. */
static tg__shape first_scores(const tg__shape *x)
{
    tg__shape s = *x;
    s.rank--;
    s.n = 1;
    for (int i = 0; i < s.rank; i++) s.n *= s.dim[i];
    return s;
}

/* A walk over the first score of every row, x's and dx's, of which nothing is made where rows are adjacent. */
static void walk_rows(const tg__call *c, tg__walk *w, void *dx)
{
    const tg__array x = c->x[0];
    if (tg__shape_contiguous(x.s)) {
        *w = (tg__walk){ .n = c->x[1].s->n, .arrays = 2, .p = { x.p, dx } };
        w->stride[0] = w->stride[1] = class_count(c);
        return;
    }
    const tg__shape first = first_scores(x.s);
    tg__walk_begin(w, 2, (const tg__array[]){ { &first, x.p }, { &first, dx } });
}

/* Elements, and where there are weights those of their labels, which are summed while they are in the first cache. */
enum { PIECE = 2 * TG__GATHERED };
typedef struct pieces {
    double y[PIECE], w[PIECE];
    int64_t n;
    tg__sums sum, weights;
} pieces;

static void sum_piece(const tg__call *c, pieces *p, bool weighted)
{
    const tg__tile y = tg__row_tile(p->n, p->y, 1), w = tg__row_tile(p->n, p->w, 1);
    if (p->n > 0) c->k->reduce.sum(&y, NULL, 0, &p->sum);
    if (p->n > 0 && weighted) c->k->reduce.sum(&w, NULL, 0, &p->weights);
    p->n = 0;
}

/* The value. False if an unread label is no class. */
static bool nll_elements(const tg__call *c, const rows *r)
{
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(c->x[0].s->type);
    const bool stay = tg__reduction(c->attributes) == TG_NONE, weighted = r->weight;
    tg__labelled some = labelled(c, r);
    pieces p;
    p.n = 0;
    p.sum.total[0] = p.sum.rest[0] = p.weights.total[0] = p.weights.rest[0] = 0;
    char *y = c->y.p;
    tg__walk w;
    walk_rows(c, &w, c->x[0].p);
    do
        for (int64_t i = 0; i < w.n; i += some.n, some.label += some.n) {
            some.n = w.n - i < PIECE - p.n ? w.n - i : PIECE - p.n;
            some.x = w.p[0] + i * w.stride[0] * size;
            some.row = w.stride[0];
            if (!c->k->reduce.nll(&some, stay ? y : (char *)p.y + p.n * size, (char *)p.w + p.n * size)) return false;
            if (stay) y += some.n * size;
            else if ((p.n += some.n) == PIECE) sum_piece(c, &p, weighted);
        }
    while (tg__walk_next(&w));
    if (stay) return true;
    sum_piece(c, &p, weighted);
    tg__loss_write(c, &p.sum, weighted ? p.weights.total[0] + p.weights.rest[0] : r->total);
    return true;
}

static tg_code nll_forwards(const tg__call *c)
{
    rows r;
    if (c->x[1].s->n == 0) return no_elements(c);
    tg_code code = rows_begin(c, &r);
    if (code != TG_OK || (r.unread && nll_elements(c, &r))) return code;
    code = rows_of(c, &r);
    if (code == TG_OK) (void)nll_elements(c, &r);
    return code;
}

/* The gradient by the scores and, if dw is given, by the weights. False if an unread label is no class. */
static bool nll_gradients(const tg__call *c, const rows *r, double *dw)
{
    const size_t size = tg__type_size(c->x[0].s->type);
    const double mean = dw ? mean_of(c) : 0;
    tg__labelled some = labelled(c, r);
    tg__incoming g = tg__loss_incoming(c, r->total);
    bool classes;
    tg__walk w;
    walk_rows(c, &w, c->dx[0].p ? c->dx[0].p : c->x[0].p);
    do {
        some.n = w.n;
        some.x = w.p[0];
        some.row = w.stride[0];
        classes = c->k->reduce.nll_backward(&some, &g, c->dx[0].p ? w.p[1] : NULL, dw, mean);
        some.label += w.n;
        g.g = (const char *)g.g + (size_t)(w.n * g.sg) * size;
    } while (classes && tg__walk_next(&w));
    return classes;
}

static tg_code nll_backwards(const tg__call *c)
{
    const bool by_weights = c->n > 2 && c->dx[2].p;
    if (c->x[0].s->n == 0 || (!c->dx[0].p && !by_weights)) return TG_OK;
    rows r;
    tg_code code = rows_begin(c, &r);
    if (code != TG_OK || (r.unread && !r.weight && nll_gradients(c, &r, NULL))) return code;
    code = rows_of(c, &r);
    if (code != TG_OK) return code;
    double *const dw = by_weights ? weights_begin(c, r.n) : NULL;
    if (by_weights && !dw) return TG_ERROR_MEMORY;
    (void)nll_gradients(c, &r, dw);
    return dw ? weights_end(c, dw, r.n) : TG_OK;
}

static void nll_derivation(tg__derivation *d)
{
    const int64_t ignore = ((const tg_labels_attributes *)d->attributes)->ignore_index;
    if (!tg__shape_of(d, d->x[0])->n) return;
    const tg_value hot = targets_of(d, ignore, 0), g = incoming_rows(d, hot, ignore);
    if (d->wanted[0]) d->dx[0] = d_neg(d, d_times(d, weighted(d, hot), g));
    if (d->n < 3 || !d->wanted[2]) return;
    const tg_value own = d_neg(d, d_times(d, hot, d->x[0]));
    d->dx[2] = d_times(d, with_mean(d, own, hot), g);
}

TG_OP(nll, "li", labels,
      "negative log-likelihood: minus the log-probability of each label's class (last axis)")

SHAPE(nll) { return classes_shape(c, y); }

FORWARD(nll) { return nll_forwards(c); }

BACKWARD(nll) { return nll_backwards(c); }

DERIVATIVE(nll) { nll_derivation(d); }

CASES(nll, { .n = 2, .x = { TENSOR(-2, 0, 3, 4), TENSOR(0, 3, 3) } },
      { .n = 2, .x = { TENSOR(-2, 0, 4), SCALAR(0, 3) } },
      OF_LABELS(labels, TENSOR(-2, 0, 2, 3, 4), TENSOR(0, 3, 2, 3), .reduction = TG_SUM),
      OF_LABELS(labels, TENSOR(-2, 0, 2, 3, 2), TENSOR(0, 1, 2, 3), .reduction = TG_NONE),
      OF_LABELS(labels, TENSOR(-2, 0, 9, 2), TENSOR(0, 1, 9), .ignore_index = 1),
      OF_LABELS(labels, TENSOR(-2, 0, 9, 2), TENSOR(-1, 1, 9), .ignore_index = -1,
                .reduction = TG_NONE))

TG_OP(nll_weighted, "lin", labels, "nll with a weight for each class, scores (..., c) and weights (c)")

SHAPE(nll_weighted) { return classes_shape(c, y); }

FORWARD(nll_weighted) { return nll_forwards(c); }

BACKWARD(nll_weighted) { return nll_backwards(c); }

DERIVATIVE(nll_weighted) { nll_derivation(d); }

CASES(nll_weighted,
      WEIGHTED(labels, TENSOR(-2, 0, 6, 3), TENSOR(0, 2, 6), TENSOR(0.5, 2, 3), .reduction = TG_MEAN),
      WEIGHTED(labels, TENSOR(-2, 0, 3), SCALAR(0, 2), TENSOR(0.5, 2, 3), .reduction = TG_SUM),
      WEIGHTED(labels, TENSOR(-2, 0, 9, 3), TENSOR(0, 2, 9), TENSOR(0.5, 2, 3), .ignore_index = 1),
      WEIGHTED(labels, TENSOR(-2, 0, 2, 4, 3), TENSOR(0, 2, 2, 4), TENSOR(0.5, 2, 3),
               .ignore_index = 1, .reduction = TG_NONE))

/* ---- cross_entropy --------------------------------------------------------------------------- */

/* The rows as the kernels want them. */
static tg_code scores_of(const tg__call *c, const rows *r, tg__scores *s)
{
    *s = (tg__scores){ .rows = r->count, .n = r->n, .label = r->label, .weight = r->weight };
    s->x = tg__adjacent(c, c->x[0]);
    s->work = tg__scratch(c, (size_t)TG__WORK(r->n) * tg__type_size(c->x[0].s->type));
    return s->x && s->work ? TG_OK : TG_ERROR_MEMORY;
}

/* The same with labels, weights and smoothing from the operands and attributes. */
static tg_code labelled_scores(const tg__call *c, rows *r, tg__scores *s)
{
    tg_code code = rows_of(c, r);
    if (code == TG_OK) code = scores_of(c, r, s);
    s->smoothing = ((const tg_smoothed_attributes *)c->attributes)->label_smoothing;
    s->kept = c->kept;
    return code;
}

static tg_code entropy_elements(const tg__call *c)
{
    rows r;
    tg__scores s;
    if (c->x[1].s->n == 0) return no_elements(c);
    const tg_code code = labelled_scores(c, &r, &s);
    if (code != TG_OK) return code;
    void *const y = elements_begin(c, r.count);
    if (!y) return TG_ERROR_MEMORY;
    c->k->reduce.cross_entropy(&s, y);
    elements_end(c, y, r.count, r.total);
    return TG_OK;
}

static tg_code entropy_backwards(const tg__call *c)
{
    rows r;
    tg__scores s;
    const bool by_weights = c->n > 2 && c->dx[2].p;
    if (c->x[0].s->n == 0 || (!c->dx[0].p && !by_weights)) return TG_OK;
    const tg_code code = labelled_scores(c, &r, &s);
    if (code != TG_OK) return code;
    const tg__incoming g = tg__loss_incoming(c, r.total);
    if (c->dx[0].p) {
        void *const dx = c->kept ? c->dx[0].p : tg__gradient_begin(c, 0);
        if (!dx) return TG_ERROR_MEMORY;
        c->k->reduce.cross_entropy_backward(&s, dx, &g);
        if (!c->kept) tg__gradient_end(c, 0, dx);
    }
    if (!by_weights) return TG_OK;
    double *const dw = weights_begin(c, r.n);
    if (!dw) return TG_ERROR_MEMORY;
    c->k->reduce.cross_entropy_weights(&s, dw, &g, mean_of(c));
    return weights_end(c, dw, r.n);
}

/* q, the targets: dx = g (softargmax(x) sum q w - q w), dw = -g q log_softmax(x). */
static void entropy_derivation(tg__derivation *d)
{
    const tg_smoothed_attributes *const a = d->attributes;
    const tg_softmax_attributes *const last = ATTRIBUTES(softmax, .axis = -1);
    if (!tg__shape_of(d, d->x[0])->n) return;
    const tg_value hot = targets_of(d, a->ignore_index, 0);
    const tg_value q = a->label_smoothing == 0
                           ? hot
                           : targets_of(d, a->ignore_index, a->label_smoothing);
    const tg_value g = incoming_rows(d, hot, a->ignore_index), qw = weighted(d, q);
    if (d->wanted[0]) {
        const bool plain = d->n == 2 && a->ignore_index == TG_NO_INDEX;
        tg_value p = d_softargmax(d, d->x[0], last);
        if (!plain)
            p = d_times(d, d_sum(d, qw, ATTRIBUTES(reduce, .axis = -1, .keep = true)), p);
        d->dx[0] = d_times(d, d_sub(d, p, qw), g);
    }
    if (d->n < 3 || !d->wanted[2]) return;
    const tg_value own = d_neg(d, d_times(d, q, d_log_softmax(d, d->x[0], last)));
    d->dx[2] = d_times(d, with_mean(d, own, hot), g);
}

TG_OP_KEEPS(cross_entropy, "ni", smoothed,
      "nll of log_softmax of the scores (last axis: classes) in one step")

SHAPE(cross_entropy) { return smoothed_shape(c, y); }

/* The softargmax of the rows. */
KEPT(cross_entropy) { return c->x[0].s->n; }

FORWARD(cross_entropy) { return entropy_elements(c); }

BACKWARD(cross_entropy) { return entropy_backwards(c); }

DERIVATIVE(cross_entropy) { entropy_derivation(d); }

CASES(cross_entropy, { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(0, 3, 3) } },
      { .n = 2, .x = { TENSOR(-2, 2, 4), SCALAR(0, 3) } },
      OF_LABELS(smoothed, TENSOR(-2, 2, 2, 3, 4), TENSOR(0, 3, 2, 3), .reduction = TG_SUM),
      OF_LABELS(smoothed, TENSOR(-2, 2, 2, 3, 20), TENSOR(0, 19, 2, 3), .reduction = TG_NONE),
      OF_LABELS(smoothed, TENSOR(-2, 2, 9, 3), TENSOR(0, 2, 9), .ignore_index = 1),
      OF_LABELS(smoothed, TENSOR(-2, 2, 3, 4), TENSOR(0, 3, 3), .label_smoothing = 0.2),
      OF_LABELS(smoothed, TENSOR(-2, 2, 9, 3), TENSOR(-1, 2, 9), .ignore_index = -1,
                .label_smoothing = 0.5, .reduction = TG_NONE))

TG_OP(cross_entropy_weighted, "nin", smoothed,
      "cross_entropy with a weight for each class, scores (..., c) and weights (c)")

SHAPE(cross_entropy_weighted) { return smoothed_shape(c, y); }

FORWARD(cross_entropy_weighted) { return entropy_elements(c); }

BACKWARD(cross_entropy_weighted) { return entropy_backwards(c); }

DERIVATIVE(cross_entropy_weighted) { entropy_derivation(d); }

CASES(cross_entropy_weighted,
      WEIGHTED(smoothed, TENSOR(-2, 2, 6, 3), TENSOR(0, 2, 6), TENSOR(0.5, 2, 3), .reduction = TG_MEAN),
      WEIGHTED(smoothed, TENSOR(-2, 2, 3), SCALAR(0, 2), TENSOR(0.5, 2, 3), .reduction = TG_SUM),
      WEIGHTED(smoothed, TENSOR(-2, 2, 9, 3), TENSOR(0, 2, 9), TENSOR(0.5, 2, 3), .ignore_index = 1,
               .label_smoothing = 0.3),
      WEIGHTED(smoothed, TENSOR(-2, 2, 2, 4, 3), TENSOR(0, 2, 2, 4), TENSOR(0.5, 2, 3),
               .ignore_index = 1, .label_smoothing = 0.3, .reduction = TG_NONE))

/* ---- probabilities --------------------------------------------------------------------------- */

TG_OP(cross_entropy_soft, "nl", loss,
      "minus the sum over classes of probability times log_softmax of the scores, both (..., c)")

SHAPE(cross_entropy_soft)
{
    const tg__shape *const x = c->x[0].s, *const p = c->x[1].s;
    if (x->rank == 0 || !tg__shape_same_dims(x, p))
        return tg__fail(c, TG_ERROR_SHAPE,
                        "scores %s and probabilities %s do not agree: both are (..., c)",
                        TG__SHAPE_TEXT(x), TG__SHAPE_TEXT(p));
    tg__shape without_classes = *x;
    without_classes.rank--;
    return tg__loss_shape(c, &without_classes, y);
}

static tg_code soft_scores(const tg__call *c, tg__scores *s)
{
    const int64_t n = class_count(c);
    const rows r = { .count = c->x[0].s->n / n, .n = n };
    const tg_code code = scores_of(c, &r, s);
    s->probability = tg__adjacent(c, c->x[1]);
    return s->probability ? code : TG_ERROR_MEMORY;
}

/* Rows without classes give 0 each: there may be many. */
static tg_code soft_nothing(const tg__call *c)
{
    const tg__shape first = first_scores(c->x[0].s);
    if (tg__reduction(c->attributes) == TG_NONE) c->k->fill(first.n, c->y.p, 1, 0);
    else elements_end(c, NULL, 0, (double)first.n);
    return TG_OK;
}

FORWARD(cross_entropy_soft)
{
    tg__scores s;
    if (c->x[0].s->n == 0) return soft_nothing(c);
    const tg_code code = soft_scores(c, &s);
    if (code != TG_OK) return code;
    void *const y = elements_begin(c, s.rows);
    if (!y) return TG_ERROR_MEMORY;
    c->k->reduce.cross_entropy_soft(&s, y);
    elements_end(c, y, s.rows, (double)s.rows);
    return TG_OK;
}

BACKWARD(cross_entropy_soft)
{
    tg__scores s;
    if (c->x[0].s->n == 0) return TG_OK;
    const tg_code code = soft_scores(c, &s);
    if (code != TG_OK) return code;
    const tg__incoming g = tg__loss_incoming(c, (double)s.rows);
    void *d[2] = { NULL, NULL };
    for (int i = 0; i < 2; i++) {
        if (c->dx[i].p) d[i] = tg__gradient_begin(c, i);
        if (c->dx[i].p && !d[i]) return TG_ERROR_MEMORY;
    }
    c->k->reduce.cross_entropy_soft_backward(&s, d[0], d[1], &g);
    for (int i = 0; i < 2; i++)
        if (d[i]) tg__gradient_end(c, i, d[i]);
    return TG_OK;
}

DERIVATIVE(cross_entropy_soft)
{
    const tg__shape *const x = tg__shape_of(d, d->x[0]);
    const tg_softmax_attributes *const last = ATTRIBUTES(softmax, .axis = -1);
    if (!x->n) return;
    tg_value g = tg__loss_incoming_value(d, (double)(x->n / x->dim[x->rank - 1]));
    if (tg__reduction(d->attributes) == TG_NONE) g = d_unsqueeze(d, g, ATTRIBUTES(axis, .axis = -1));
    if (d->wanted[0]) {
        const tg_value all = d_sum(d, d->x[1], ATTRIBUTES(reduce, .axis = -1, .keep = true));
        const tg_value p = d_mul(d, all, d_softargmax(d, d->x[0], last));
        d->dx[0] = d_times(d, g, d_sub(d, p, d->x[1]));
    }
    if (d->wanted[1]) d->dx[1] = d_times(d, g, d_neg(d, d_log_softmax(d, d->x[0], last)));
}

#define SOFT(REDUCTION, A, B)                                                                      \
    {                                                                                              \
        .n = 2, .x = { A, B }, .attributes = ATTRIBUTES(loss, .reduction = REDUCTION)              \
    }
CASES(cross_entropy_soft, { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(0, 1, 3, 4) } },
      { .n = 2, .x = { TENSOR(-2, 2, 4), TENSOR(0, 1, 4) } },
      SOFT(TG_SUM, TENSOR(-2, 2, 2, 3, 4), TENSOR(0, 1, 2, 3, 4)),
      SOFT(TG_NONE, TENSOR(-2, 2, 2, 20), TENSOR(0, 1, 2, 20)),
      SOFT(TG_SUM, TENSOR(-2, 2, 0, 3), TENSOR(0, 1, 0, 3)))
