/* The median along some axes: of each line of x along them the element of middle rank, or the mean of two. Values come from
   selecting; the gradient goes to the elements that stand where a stable order has its middle, which counting finds from the
   value. -0 equals 0; NaN counts as the largest and is the median wherever there is one. */
#include "ops/op.h"

#include <math.h>

/* ---- line by line ---------------------------------------------------------------------------- */

/* One line, its elements adjacent, row-major if it has several axes. */
typedef struct line {
    const tg__kernels *k;
    tg_type type;
    int64_t n;
    const void *x;
    void *work; /* for select */
} line;

/* The two elements of middle rank; of an odd number the same one twice. */
typedef struct middle {
    double value[2];
    int64_t at[2];
} middle;

static int64_t rank_of(const line *l, int i)
{
    return i ? l->n / 2 : (l->n - 1) / 2;
}

/* The first NaN, or -1. */
static int64_t first_nan(const line *l)
{
    const int64_t at = l->k->order.find(0, l->n, l->x, (double)NAN);
    return at < l->n ? at : -1;
}

/* Finds the values; the line has no NaN. */
static void select_middle(const line *l, middle *m)
{
    m->value[0] = m->value[1] = l->k->order.select(l->n, l->x, rank_of(l, 1), l->work);
    if (l->n % 2) return;
    const tg__standing s = l->k->order.standing(l->n, l->x, m->value[1]);
    if (s.below == rank_of(l, 1)) m->value[0] = s.before;
}

/* The same from their mean y. */
static void middle_around(const line *l, double y, middle *m)
{
    m->value[0] = m->value[1] = y;
    if (l->n % 2) return;
    const tg__standing s = l->k->order.standing(l->n, l->x, y);
    if (s.below > rank_of(l, 0)) m->value[0] = s.before;
    if (s.below + s.equal <= rank_of(l, 1)) m->value[1] = s.behind;
}

/* Where the element of a rank is, which has that value: most often no other has. */
static int64_t place_of(const line *l, int64_t rank, double value)
{
    int64_t at = l->k->order.find(0, l->n, l->x, value);
    int64_t next = l->k->order.find(at + 1, l->n, l->x, value);
    if (next == l->n) return at;
    for (int64_t before = rank - l->k->order.standing(l->n, l->x, value).below; before > 0;
         before--) {
        at = next;
        next = l->k->order.find(at + 1, l->n, l->x, value);
    }
    return at;
}

/* Finds the positions from the values. */
static void place_middle(const line *l, middle *m)
{
    m->at[1] = place_of(l, rank_of(l, 1), m->value[1]);
    m->at[0] = l->n % 2 ? m->at[1] : place_of(l, rank_of(l, 0), m->value[0]);
}

static double element(const line *l, int64_t at)
{
    return l->type == TG_F32 ? (double)((const float *)l->x)[at] : ((const double *)l->x)[at];
}

static double median_of(const line *l)
{
    middle m;
    if (first_nan(l) >= 0) return (double)NAN;
    select_middle(l, &m);
    if (m.value[0] == 0 && m.value[1] == 0) { /* which of the zeros */
        place_middle(l, &m);
        for (int i = 0; i < 2; i++) m.value[i] = element(l, m.at[i]);
    }
    const double a = m.value[0], b = m.value[1];
    return l->n % 2 ? a : isfinite(a + b) ? (a + b) / 2 : a / 2 + b / 2;
}

/* y: the median, or NULL if it is not known. */
static void find_middle(const line *l, const double *y, middle *m)
{
    const bool known = y && !isnan(*y);
    const int64_t nan = known ? -1 : first_nan(l);
    m->at[0] = m->at[1] = nan;
    if (nan >= 0) return;
    if (known) middle_around(l, *y, m);
    else select_middle(l, m); /* the mean of two infinities may be NaN, too */
    place_middle(l, m);
}

/* ---- all lines ------------------------------------------------------------------------------- */

typedef struct medians medians;

/* What is done with a line: y and g are where its median and the gradient of that are, dx where its part of dx begins;
   what a call has not been given is NULL. */
typedef void median_rule(const medians *s, void *y, const void *g, void *dx);

struct medians {
    line l;
    tg__shape along[2]; /* a line of x, of dx */
};

/* single: there is one g for all lines. */
static tg_code each_median(const tg__call *c, tg__array x, void *y, const void *g, bool single,
                           tg__array dx, median_rule *rule)
{
    unsigned axes;
    (void)tg__reduced_axes(c, &axes); /* the shape rule has seen them */
    if (x.s->n == 0) return TG_OK;
    tg__shape kept = *x.s, across[4];
    for (int i = 0; i < kept.rank; i++)
        if (axes & 1u << i) kept.dim[i] = 1;
    tg__shape_finish(&kept);
    across[0] = tg__shape_part(x.s, ~axes);
    across[1] = across[2] = tg__shape_part(&kept, ~axes);
    across[3] = tg__shape_part(dx.s, ~axes);
    for (int i = 0; single && i < across[2].rank; i++) across[2].stride[i] = 0;
    medians s = { .along = { tg__shape_part(x.s, axes), tg__shape_part(dx.s, axes) } };
    const bool adjacent = tg__shape_contiguous(&s.along[0]);
    const size_t size = tg__type_size(x.s->type);
    void *const work = tg__scratch(c, (size_t)TG__SELECT_WORK(s.along[0].n) * size);
    void *const copy = adjacent ? NULL : tg__scratch(c, (size_t)s.along[0].n * size);
    if (!work || (!adjacent && !copy)) return TG_ERROR_MEMORY;
    s.l = (line){ c->k, x.s->type, s.along[0].n, NULL, work };
    tg__walk w;
    tg__walk_begin(&w, 4,
                   (const tg__array[]){ { &across[0], x.p },
                                        { &across[1], y ? y : x.p },
                                        { &across[2], g ? (void *)(uintptr_t)g : x.p },
                                        { &across[3], dx.p } });
    tg__shape one = s.along[0];
    tg__shape_finish(&one);
    do {
        for (int64_t j = 0; j < w.n; j++) {
            char *p[4];
            for (int i = 0; i < 4; i++) p[i] = w.p[i] + j * w.stride[i] * (ptrdiff_t)size;
            s.l.x = adjacent ? p[0] : copy;
            tg__walk_ask(&w, 0, j + 1, w.n, (ptrdiff_t)size);
            if (!adjacent)
                tg__copy(c->k, (tg__array){ &one, copy }, (tg__array){ &s.along[0], p[0] });
            rule(&s, y ? p[1] : NULL, p[2], p[3]);
        }
    } while (tg__walk_next(&w));
    return TG_OK;
}

static double number(tg_type type, const void *p)
{
    return type == TG_F32 ? (double)*(const float *)p : *(const double *)p;
}

static void put_median(const medians *s, void *y, const void *g, void *dx)
{
    (void)g, (void)dx;
    const double m = median_of(&s->l);
    if (s->l.type == TG_F32) *(float *)y = (float)m;
    else *(double *)y = m;
}

static ptrdiff_t distance(const tg__shape *along, int64_t at)
{
    ptrdiff_t d = 0;
    for (int i = along->rank - 1; i >= 0; at /= along->dim[i--])
        d += at % along->dim[i] * along->stride[i];
    return d;
}

static void add_to_median(const medians *s, void *y, const void *g, void *dx)
{
    middle m;
    const double known = y ? number(s->l.type, y) : 0, all = number(s->l.type, g);
    find_middle(&s->l, y ? &known : NULL, &m);
    const int n = m.at[0] == m.at[1] ? 1 : 2;
    for (int i = 0; i < n; i++) {
        const ptrdiff_t at = distance(&s->along[1], m.at[i]);
        if (s->l.type == TG_F32) ((float *)dx)[at] += (float)(all / n);
        else ((double *)dx)[at] += all / n;
    }
}

/* ---- median ---------------------------------------------------------------------------------- */

/* Corner: with a NaN it is NaN, and the first one gets the gradient; of nothing it is NaN. */
TG_OP(median, "n", reduce, "middle element over axes; of an even number the mean of the middle two")

SHAPE(median)
{
    return tg__reduced_shape(c, y);
}

FORWARD(median)
{
    if (c->x[0].s->n == 0) c->k->fill(c->y.s->n, c->y.p, 1, (double)NAN);
    return each_median(c, c->x[0], c->y.p, NULL, false, c->x[0], put_median);
}

BACKWARD(median)
{
    return each_median(c, c->x[0], c->y.p, c->g, false, c->dx[0], add_to_median);
}

DERIVATIVE(median)
{
    d->dx[0] = d_times(d, tg__kept(d, d->g), d_median_weights(d, d->x[0], d->attributes));
}

#define MEDIAN_CASES                                                                               \
    { .n = 1, .x = { TENSOR(-2, 2, 3, 3) } }, { .n = 1, .x = { SCALAR(-2, 2) } },                  \
        { .n = 1, .x = { TENSOR(-2, 2, 40) } },                                                    \
        { .n = 1, .x = { TENSOR(-2, 2, 4, 3) }, .attributes = ATTRIBUTES(reduce, .axis = 0) },     \
        { .n = 1,                                                                                  \
          .x = { TENSOR(-2, 2, 4, 3) },                                                            \
          .attributes = ATTRIBUTES(reduce, .axis = -1, .keep = true) },                            \
        { .n = 1,                                                                                  \
          .x = { TENSOR(-2, 2, 2, 3, 2, 2) },                                                      \
          .attributes = ATTRIBUTES(reduce, .axes = { 2, { 0, 2 } }) },                             \
    {                                                                                              \
        .n = 1, .x = { TENSOR(-2, 2, 3, 0) }, .attributes = ATTRIBUTES(reduce, .axis = 0)          \
    }
CASES(median, MEDIAN_CASES)

/* What each element contributes to the median of its line. */
TG_PART_ZERO(median_weights, "0", reduce,
             "1 where the median is, a half at each of two, 0 elsewhere")

SHAPE(median_weights)
{
    unsigned axes;
    *y = *c->x[0].s;
    return tg__reduced_axes(c, &axes);
}

FORWARD(median_weights)
{
    double one;
    c->k->fill(1, &one, 1, 1.0);
    c->k->fill(c->y.s->n, c->y.p, 1, 0.0);
    return each_median(c, c->x[0], NULL, &one, true, c->y, add_to_median);
}
CASES(median_weights, MEDIAN_CASES)
