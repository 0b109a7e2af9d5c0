/* Sorting, and what rests on it: sort, topk and their indices.

   The order is stable: equal elements stay as they stand, and -0 equals 0. NaN counts as the
   largest of all, as in NumPy and PyTorch: ascending it comes last, descending first.

   An op goes through the lines of x along one axis, finds the positions of their elements in order, and does with them
   what its rule says. Gradients go to the positions; backward sorts again rather than keep them. */
#include "ops/op.h"

#include <math.h>
#include <string.h>

/* An element of a line: a whole number for its place in the order, and its position. */
typedef struct entry {
    uint64_t key;
    int64_t at;
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

/* The elements of a line, step apart. */
static void read_line(entry *e, tg_type type, int64_t n, const void *line, ptrdiff_t step, bool descending)
{
    for (int64_t j = 0; j < n; j++) e[j] = (entry){ key_at(type, line, j * step, descending), j };
}

/* ---- sorting --------------------------------------------------------------------------------- */

enum { BYTES = 8, DIGITS = 256 };

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

/* What is done with the first elements of one line in order: element i is the one at position at[i * step]. p[i] is
   where that line of a[i] begins. */
typedef void line_rule(const lines *l, const int64_t *at, ptrdiff_t step, char *const p[3]);

struct lines {
    int axis;  /* along which lines go */
    int64_t k; /* how many of each line are wanted in order */
    bool descending;
    tg__array a[3];    /* x, and two others with lines of their own, as y or dx */
    int64_t n;         /* the rest is for rules: the length of a line of x */
    ptrdiff_t step[3]; /* from one element of a line to the next */
};

static void begin_lines(lines *l, tg__walk *w)
{
    tg__shape across[3];
    tg__array first[3];
    for (int i = 0; i < 3; i++) {
        across[i] = tg__shape_part(l->a[i].s, ~(1u << l->axis));
        first[i] = (tg__array){ &across[i], l->a[i].p };
        l->step[i] = l->a[i].s->stride[l->axis];
    }
    tg__walk_begin(w, 3, first);
    l->n = l->a[0].s->dim[l->axis];
}

/* Where line j of those that the walk is at begins, of each array. */
static void places_of(const lines *l, const tg__walk *w, int64_t j, char *p[3])
{
    for (int i = 0; i < 3; i++)
        p[i] = w->p[i] + j * w->stride[i] * (ptrdiff_t)tg__type_size(l->a[i].s->type);
}

/* Of few elements of each only the positions are found, for some lines at once. */
static void each_first(const tg__call *c, const lines *l, tg__walk *w, line_rule *rule)
{
    enum { LINES = 16 };
    int64_t at[LINES * TG__FEW];
    char *p[3];
    do {
        for (int64_t j = 0; j < w->n; j++) {
            const int64_t left = w->n - j, line = j % LINES;
            places_of(l, w, j, p);
            if (line == 0)
                c->k->order.first(left < LINES ? left : LINES, l->k, l->n, p[0], w->stride[0], l->step[0],
                                  l->descending, at);
            rule(l, at + line * l->k, 1, p);
        }
    } while (tg__walk_next(w));
}

static tg_code each_line(const tg__call *c, lines *l, line_rule *rule)
{
    tg__walk w;
    if (l->a[0].s->n == 0 || l->k == 0) return TG_OK;
    begin_lines(l, &w);
    if (l->k <= TG__FEW) {
        each_first(c, l, &w, rule);
        return TG_OK;
    }
    entry *const e = tg__scratch(c, (size_t)l->n * sizeof *e), *const other = tg__scratch(c, (size_t)l->n * sizeof *e);
    if (!e || !other) return TG_ERROR_MEMORY;
    do {
        for (int64_t j = 0; j < w.n; j++) {
            char *p[3];
            places_of(l, &w, j, p);
            read_line(e, l->a[0].s->type, l->n, p[0], l->step[0], l->descending);
            rule(l, &distribute(e, other, l->n)->at, sizeof *e / sizeof e->at, p);
        }
    } while (tg__walk_next(&w));
    return TG_OK;
}

/* y = x in order. */
static void put_values(const lines *l, const int64_t *at, ptrdiff_t step, char *const p[3])
{
    const ptrdiff_t sx = l->step[0], sy = l->step[1];
    if (l->a[0].s->type == TG_F32) {
        const float *const x = (const float *)(void *)p[0];
        float *const y = (float *)(void *)p[1];
        for (int64_t i = 0; i < l->k; i++) y[i * sy] = x[at[i * step] * sx];
    } else {
        const double *const x = (const double *)(void *)p[0];
        double *const y = (double *)(void *)p[1];
        for (int64_t i = 0; i < l->k; i++) y[i * sy] = x[at[i * step] * sx];
    }
}

static void put_positions(const lines *l, const int64_t *at, ptrdiff_t step, char *const p[3])
{
    int64_t *const y = (int64_t *)(void *)p[1];
    for (int64_t i = 0; i < l->k; i++) y[i * l->step[1]] = at[i * step];
}

/* dx += g where each came from. */
static void add_back(const lines *l, const int64_t *at, ptrdiff_t step, char *const p[3])
{
    const ptrdiff_t sg = l->step[1], sdx = l->step[2];
    if (l->a[0].s->type == TG_F32) {
        const float *const g = (const float *)(void *)p[1];
        float *const dx = (float *)(void *)p[2];
        for (int64_t i = 0; i < l->k; i++) dx[at[i * step] * sdx] += g[i * sg];
    } else {
        const double *const g = (const double *)(void *)p[1];
        double *const dx = (double *)(void *)p[2];
        for (int64_t i = 0; i < l->k; i++) dx[at[i * step] * sdx] += g[i * sg];
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
    lines l = { .axis = axis,
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
    lines l = { .axis = tg__axis(a->axis, c->x[0].s->rank),
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
