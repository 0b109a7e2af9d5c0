/* Sorting, and what rests on it: sort, topk and their indices.

   The order is stable: equal elements stay as they stand, and -0 equals 0. NaN counts as the
   largest of all, as in NumPy and PyTorch: ascending it comes last, descending first.

   An op goes through the lines of x along one axis, brings each into order as whole numbers with the positions they came from, and does with them what its rule says.
   Gradients go to the positions; backward sorts again rather than keep them. */
#include "ops/op.h"

#include <math.h>
#include <string.h>

/* An element of a line: a whole number for its place in the order, and its position. */
typedef struct entry {
    uint64_t key;
    uint32_t at;
} entry;

/* ---- keys ------------------------------------------------------------------------------------ */

/* Sign and magnitude made into whole numbers that compare as the numbers do. */
static uint64_t key_of_f64(double x)
{
    uint64_t bits;
    if (isnan(x)) return UINT64_MAX;
    x += 0.0; /* makes 0 of -0 */
    memcpy(&bits, &x, sizeof bits);
    return bits >> 63 ? ~bits : bits | UINT64_C(1) << 63;
}

/* The upper half is 0 for all: half the work. */
static uint64_t key_of_f32(float x)
{
    uint32_t bits;
    if (isnan(x)) return UINT32_MAX;
    x += 0.0f;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
}

/* Of element j of a row. */
static inline uint64_t key_at(tg_type type, const void *row, ptrdiff_t j, bool descending)
{
    const uint64_t key =
        type == TG_F32 ? key_of_f32(((const float *)row)[j]) : key_of_f64(((const double *)row)[j]);
    return key ^ (descending ? UINT64_MAX : 0);
}

/* The elements of a line, row-major if it has several axes. */
static void read_line(entry *e, tg__array line, bool descending)
{
    uint32_t at = 0;
    tg__walk w;
    tg__walk_begin(&w, 1, &line);
    do
        for (int64_t j = 0; j < w.n; j++, at++)
            e[at] = (entry){ key_at(line.s->type, w.p[0], j * w.stride[0], descending), at };
    while (tg__walk_next(&w));
}

/* ---- sorting --------------------------------------------------------------------------------- */

enum { BYTES = 8, DIGITS = 256 };

/* The first k of a line in order: only their positions. */
static void read_first(const tg__kernels *f, entry *e, tg__array line, bool descending, int64_t k)
{
    int64_t at[TG__FEW];
    f->order.first(k, line.s->n, line.p, line.s->stride[0], descending, at);
    for (int64_t i = 0; i < k; i++) e[i].at = (uint32_t)at[i];
}

/* By the bytes of the keys, the least significant first; where all have the same there is nothing
   to do. Returns where the result is: e or other. */
static entry *distribute(entry *e, entry *other, int64_t n)
{
    uint32_t count[BYTES][DIGITS] = { { 0 } };
    for (int64_t i = 0; i < n; i++)
        for (int b = 0; b < BYTES; b++) count[b][e[i].key >> 8 * b & 255]++;
    for (int b = 0; b < BYTES; b++) {
        uint32_t *const place = count[b];
        if (place[e[0].key >> 8 * b & 255] == (uint64_t)n) continue;
        uint32_t before = 0;
        for (int i = 0; i < DIGITS; i++) {
            const uint32_t here = place[i];
            place[i] = before;
            before += here;
        }
        for (int64_t i = 0; i < n; i++) other[place[e[i].key >> 8 * b & 255]++] = e[i];
        entry *const sorted = other;
        other = e;
        e = sorted;
    }
    return e;
}

/* ---- line by line ---------------------------------------------------------------------------- */

typedef struct lines lines;

/* What is done with the first elements of one line in order; p[i] is where that line of a[i]
   begins. */
typedef void line_rule(const lines *l, const entry *e, char *const p[3]);

struct lines {
    unsigned axes; /* along which lines go, as bits */
    int64_t k;     /* how many of each line are wanted in order */
    bool descending;
    tg__array a[3];    /* x, and two others with lines of their own, as y or dx */
    tg__shape along;   /* the rest is for rules: a line of x */
    int64_t n;         /* its length */
    ptrdiff_t step[3]; /* from one element of a line to the next, where there is one axis */
};

static void begin_lines(lines *l, tg__walk *w)
{
    tg__shape across[3];
    tg__array first[3];
    for (int i = 0; i < 3; i++) {
        across[i] = tg__shape_part(l->a[i].s, ~l->axes);
        first[i] = (tg__array){ &across[i], l->a[i].p };
        const tg__shape along = tg__shape_part(l->a[i].s, l->axes);
        l->step[i] = along.rank ? along.stride[along.rank - 1] : 0;
    }
    tg__walk_begin(w, 3, first);
    l->along = tg__shape_part(l->a[0].s, l->axes);
    l->n = l->along.n;
}

static tg_code each_line(const tg__call *c, lines *l, line_rule *rule)
{
    tg__walk w;
    if (l->a[0].s->n == 0 || l->k == 0) return TG_OK;
    begin_lines(l, &w);
    const bool few = l->k <= TG__FEW;
    entry *const e = tg__scratch(c, (size_t)(few ? l->k : l->n) * sizeof *e);
    entry *const other = few ? e : tg__scratch(c, (size_t)l->n * sizeof *e);
    if (!e || !other) return TG_ERROR_MEMORY;
    do {
        for (int64_t j = 0; j < w.n; j++) {
            char *p[3];
            for (int i = 0; i < 3; i++)
                p[i] = w.p[i] + j * w.stride[i] * (ptrdiff_t)tg__type_size(l->a[i].s->type);
            const tg__array line = { &l->along, p[0] };
            if (few) read_first(c->k, e, line, l->descending, l->k);
            else read_line(e, line, l->descending);
            rule(l, few ? e : distribute(e, other, l->n), p);
        }
    } while (tg__walk_next(&w));
    return TG_OK;
}

/* y = x in order. */
static void put_values(const lines *l, const entry *e, char *const p[3])
{
    const ptrdiff_t sx = l->step[0], sy = l->step[1];
    if (l->a[0].s->type == TG_F32) {
        const float *const x = (const float *)(void *)p[0];
        float *const y = (float *)(void *)p[1];
        for (int64_t i = 0; i < l->k; i++) y[i * sy] = x[e[i].at * sx];
    } else {
        const double *const x = (const double *)(void *)p[0];
        double *const y = (double *)(void *)p[1];
        for (int64_t i = 0; i < l->k; i++) y[i * sy] = x[e[i].at * sx];
    }
}

static void put_positions(const lines *l, const entry *e, char *const p[3])
{
    int64_t *const y = (int64_t *)(void *)p[1];
    for (int64_t i = 0; i < l->k; i++) y[i * l->step[1]] = e[i].at;
}

/* dx += g where each came from. */
static void add_back(const lines *l, const entry *e, char *const p[3])
{
    const ptrdiff_t sg = l->step[1], sdx = l->step[2];
    if (l->a[0].s->type == TG_F32) {
        const float *const g = (const float *)(void *)p[1];
        float *const dx = (float *)(void *)p[2];
        for (int64_t i = 0; i < l->k; i++) dx[e[i].at * sdx] += g[i * sg];
    } else {
        const double *const g = (const double *)(void *)p[1];
        double *const dx = (double *)(void *)p[2];
        for (int64_t i = 0; i < l->k; i++) dx[e[i].at * sdx] += g[i * sg];
    }
}

/* Zeros of x's shape, with g added where the indices say that its elements came from. */
static tg_value put_back(const tg__derivation *d, tg_value index, int axis)
{
    const tg_value zeros = tg__zeros(d, tg__shape_of(d, d->x[0]));
    return d_scatter_add(d, zeros, index, d->g, ATTRIBUTES(axis, .axis = axis));
}

/* ---- sort ------------------------------------------------------------------------------------ */

static tg_code order_shape(const tg__call *c, tg__shape *y)
{
    const int axis = ((const tg_order_attributes *)c->attributes)->axis;
    *y = *c->x[0].s;
    return tg__axis(axis, y->rank) < 0 ? tg__no_axis(c, axis, y) : TG_OK;
}

static tg_code each_sorted(const tg__call *c, tg__array y, tg__array dx, line_rule *rule)
{
    const tg_order_attributes *const a = c->attributes;
    const int axis = tg__axis(a->axis, c->x[0].s->rank);
    lines l = { .axes = 1u << axis,
                .k = c->x[0].s->dim[axis],
                .descending = a->descending,
                .a = { c->x[0], y, dx } };
    return each_line(c, &l, rule);
}

/* Corner: stable, -0 equals 0; NaN counts as the largest. */
TG_OP(sort, "n", order, "the elements along one axis in order; equal ones stay as they stand")

SHAPE(sort)
{
    return order_shape(c, y);
}

FORWARD(sort)
{
    return each_sorted(c, c->y, c->x[0], put_values);
}

BACKWARD(sort)
{
    const tg__array g = { c->y.s, (void *)(uintptr_t)c->g };
    return each_sorted(c, g, c->dx[0], add_back);
}

DERIVATIVE(sort)
{
    const tg_order_attributes *const a = d->attributes;
    d->dx[0] = put_back(d, d_argsort(d, d->x[0], a), a->axis);
}

CASES(sort, { .n = 1, .x = { TENSOR(-2, 2, 3, 5) } }, { .n = 1, .x = { TENSOR(-2, 2, 40) } },
      { .n = 1,
        .x = { TENSOR(-2, 2, 3, 2, 2) },
        .attributes = ATTRIBUTES(order, .axis = 0, .descending = true) },
      { .n = 1, .x = { TENSOR(-2, 2, 3, 0) } })

/* Corner: stable, -0 equals 0; NaN counts as the largest. */
TG_OP_ZERO(argsort, "0", order, "the positions along one axis that bring the elements into order")

SHAPE(argsort)
{
    const tg_code code = order_shape(c, y);
    y->type = TG_I64;
    return code;
}

FORWARD(argsort)
{
    return each_sorted(c, c->y, c->x[0], put_positions);
}

CASES(argsort, { .n = 1, .x = { TENSOR(-2, 2, 3, 5) } }, { .n = 1, .x = { TENSOR(-2, 2, 40) } },
      { .n = 1,
        .x = { TENSOR(-2, 2, 3, 2, 2) },
        .attributes = ATTRIBUTES(order, .axis = 0, .descending = true) },
      { .n = 1, .x = { TENSOR(-2, 2, 3, 0) } })

/* ---- topk ------------------------------------------------------------------------------------ */

static tg_code first_k_shape(const tg__call *c, tg__shape *y)
{
    const tg_topk_attributes *const a = c->attributes;
    *y = *c->x[0].s;
    const int axis = tg__axis(a->axis, y->rank);
    if (axis < 0) return tg__no_axis(c, a->axis, y);
    if (a->k < 0 || a->k > y->dim[axis])
        return tg__fail(c, TG_ERROR_ARGUMENT, "k is %lld, axis %d of shape %s has %lld elements",
                        (long long)a->k, axis, TG__SHAPE_TEXT(y), (long long)y->dim[axis]);
    y->dim[axis] = a->k;
    return TG_OK;
}

static tg_code each_topk(const tg__call *c, tg__array y, tg__array dx, line_rule *rule)
{
    const tg_topk_attributes *const a = c->attributes;
    lines l = { .axes = 1u << tg__axis(a->axis, c->x[0].s->rank),
                .k = a->k,
                .descending = a->largest,
                .a = { c->x[0], y, dx } };
    return each_line(c, &l, rule);
}

/* Corner: of equal ones the first; NaN counts as the largest. */
TG_OP(topk, "n", topk, "the k largest or smallest elements along one axis, in order")

SHAPE(topk)
{
    return first_k_shape(c, y);
}

FORWARD(topk)
{
    return each_topk(c, c->y, c->x[0], put_values);
}

BACKWARD(topk)
{
    const tg__array g = { c->y.s, (void *)(uintptr_t)c->g };
    return each_topk(c, g, c->dx[0], add_back);
}

DERIVATIVE(topk)
{
    const tg_topk_attributes *const a = d->attributes;
    d->dx[0] = put_back(d, d_argtopk(d, d->x[0], a), a->axis);
}

CASES(topk, { .n = 1, .x = { TENSOR(-2, 2, 3, 5) }, .attributes = ATTRIBUTES(topk, .k = 2) },
      { .n = 1, .x = { TENSOR(-2, 2, 40) }, .attributes = ATTRIBUTES(topk, .k = 35) },
      { .n = 1,
        .x = { TENSOR(-2, 2, 4, 2, 2) },
        .attributes = ATTRIBUTES(topk, .k = 3, .axis = 0, .largest = false) },
      { .n = 1, .x = { TENSOR(-2, 2, 3) }, .attributes = ATTRIBUTES(topk, .k = 0) },
      { .n = 1, .x = { TENSOR(-2, 2, 0, 3) } })

/* Corner: of equal ones the first; NaN counts as the largest. */
TG_OP_ZERO(argtopk, "0", topk, "the positions of the k largest or smallest along one axis")

SHAPE(argtopk)
{
    const tg_code code = first_k_shape(c, y);
    y->type = TG_I64;
    return code;
}

FORWARD(argtopk)
{
    return each_topk(c, c->y, c->x[0], put_positions);
}

CASES(argtopk, { .n = 1, .x = { TENSOR(-2, 2, 3, 5) }, .attributes = ATTRIBUTES(topk, .k = 2) },
      { .n = 1,
        .x = { TENSOR(-2, 2, 4, 2, 2) },
        .attributes = ATTRIBUTES(topk, .k = 3, .axis = 0, .largest = false) },
      { .n = 1, .x = { TENSOR(-2, 2, 0, 3) } })
