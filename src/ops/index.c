/* Index ops: elements picked by an integer tensor. All of them are one walk: each element of the
   index goes with an element y of the array that has the index's dimensions, and with the
   element of x at that position of one axis (see picks). Indices count from 0; each is checked
   before it is used. Repeated ones add in a fixed order. */
#include "ops/op.h"

static int axis_of(const tg__call *c)
{
    return tg__axis(((const tg_axis_attributes *)c->attributes)->axis, c->x[0].s->rank);
}

/* ---- checking -------------------------------------------------------------------------------- */

static bool all_within(const tg__kernels *k, tg__array index, int64_t length)
{
    tg__walk w;
    tg__walk_begin(&w, 1, &index);
    do
        if (!k->index.within(w.n, (const int64_t *)(void *)w.p[0], w.stride[0], length))
            return false;
    while (tg__walk_next(&w));
    return true;
}

/* Finds the first index that is not in 0 ... length - 1, and its position. One must be there. */
static int64_t first_outside(tg__array index, int64_t length, tg__shape *position)
{
    *position = *index.s;
    for (int64_t j = 0;; j++) {
        int64_t at = j, skip = 0;
        for (int i = index.s->rank - 1; i >= 0; i--) {
            position->dim[i] = at % index.s->dim[i];
            skip += position->dim[i] * index.s->stride[i];
            at /= index.s->dim[i];
        }
        const int64_t value = ((const int64_t *)index.p)[skip];
        if ((uint64_t)value >= (uint64_t)length) return value;
    }
}

/* axis is for the message; negative: all of x seen as one. */
static tg_code check_indices(const tg__call *c, tg__array index, int axis, int64_t length)
{
    if (index.s->n == 0 || all_within(c->k, index, length)) return TG_OK;
    tg__shape position;
    const int64_t value = first_outside(index, length, &position);
    if (axis < 0)
        return tg__fail(c, TG_ERROR_INDEX, "index %lld at position %s is outside the %lld elements",
                        (long long)value, TG__SHAPE_TEXT(&position), (long long)length);
    return tg__fail(c, TG_ERROR_INDEX,
                    "index %lld at position %s is outside axis %d of length %lld", (long long)value,
                    TG__SHAPE_TEXT(&position), axis, (long long)length);
}

/* ---- the walk -------------------------------------------------------------------------------- */

/* What corresponds: for each position of y (all three shapes have its dimensions) the element of
   x that lies index * step further than x's strides say. */
typedef struct picks {
    tg__shape x, y, index;
    ptrdiff_t step;
} picks;

/* a: y, x and the index. length: of the axis, 0: the indices have been checked before. False: one is outside. */
static bool each_pick(const picks *p, tg__pick_kernel *kernel, const tg__array a[3], int64_t length)
{
    if (p->y.n == 0) return true;
    const tg__array all[] = { { &p->y, a[0].p }, { &p->x, a[1].p }, { &p->index, a[2].p } };
    ptrdiff_t row[3];
    tg__walk w;
    tg__walk_begin(&w, 3, all);
    const int64_t m = tg__walk_rows(&w, all, row);
    bool inside;
    do
        inside = kernel(m, w.n, (tg__rows){ w.p[0], row[0], w.stride[0] },
                        (tg__rows){ w.p[1], row[1], w.stride[1] },
                        (tg__index){ (const int64_t *)(void *)w.p[2], row[2], w.stride[2], p->step, length });
    while (inside && tg__walk_next(&w));
    return inside;
}

/* index along an axis of x, elsewhere the same position in both: gather and scatter. y has at
   least index's lengths. */
static picks picks_along(const tg__shape *x, const tg__shape *y, const tg__shape *index, int axis)
{
    picks p = { .x = *index, .y = *index, .index = *index, .step = x->stride[axis] };
    p.x.type = x->type;
    p.y.type = y->type;
    for (int i = 0; i < index->rank; i++) {
        p.x.stride[i] = i == axis ? 0 : x->stride[i];
        p.y.stride[i] = y->stride[i];
    }
    return p;
}

/* Whole rows of x: in y, index's axes stand where x has the one that they index. */
static picks picks_of_rows(const tg__shape *x, const tg__shape *y, const tg__shape *index, int axis)
{
    picks p = { .x = *y, .y = *y, .index = *y, .step = x->stride[axis] };
    p.x.type = x->type;
    p.index.type = index->type;
    for (int i = 0; i < y->rank; i++) {
        const int j = i - axis;
        const bool indexed = j >= 0 && j < index->rank;
        p.index.stride[i] = indexed ? index->stride[j] : 0;
        p.x.stride[i] = indexed ? 0 : x->stride[j < 0 ? i : i - index->rank + 1];
    }
    return p;
}

/* ---- the walk where everything is adjacent --------------------------------------------------- */

/* x is (outer, length, inner), y (outer, count, inner). The index has count elements, or as many as y where it goes
   along: no shapes are made for a walk. */
typedef struct blocks {
    int64_t outer, length, count, inner;
    bool along;
} blocks;

static bool same_elsewhere(const tg__shape *x, const tg__shape *y, int axis)
{
    bool same = x->rank == y->rank;
    for (int i = 0; same && i < x->rank; i++) same = i == axis || x->dim[i] == y->dim[i];
    return same;
}

/* Where each element of y has its own index: y is of the index's shape. */
static bool blocks_along(const tg__shape *x, const tg__shape *y, const tg__shape *index, int axis,
                         blocks *b)
{
    *b = (blocks){ 1, x->dim[axis], index->dim[axis], 1, true };
    for (int i = 0; i < axis; i++) b->outer *= index->dim[i];
    for (int i = axis + 1; i < index->rank; i++) b->inner *= index->dim[i];
    return same_elsewhere(x, index, axis) && tg__shape_same_dims(y, index) &&
           tg__shape_contiguous(x) && tg__shape_contiguous(y) && tg__shape_contiguous(index);
}

/* Where indices are of whole rows of x. */
static bool blocks_of_rows(const tg__shape *x, const tg__shape *index, int axis, blocks *b)
{
    *b = (blocks){ 1, x->dim[axis], index->n, 1, false };
    for (int i = 0; i < axis; i++) b->outer *= x->dim[i];
    for (int i = axis + 1; i < x->rank; i++) b->inner *= x->dim[i];
    return tg__shape_contiguous(x) && tg__shape_contiguous(index);
}

/* a: y, x and the index, whose elements are checked unless they were before. False: one is outside. */
static bool pick_blocks(const tg__call *c, const blocks *b, tg__pick_kernel *kernel,
                        const tg__array a[3], bool checked)
{
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(a[0].s->type);
    const int64_t row = b->count * b->inner;
    const int64_t *const index = a[2].p;
    if (!checked && !b->along && b->outer > 1) { /* once for all blocks */
        if (!c->k->index.within(b->count, index, 1, b->length)) return false;
        checked = true;
    }
    const int64_t length = checked ? 0 : b->length;
    if (b->inner == 1)
        return kernel(b->outer, b->count, (tg__rows){ a[0].p, b->count, 1 },
                      (tg__rows){ a[1].p, b->length, 0 },
                      (tg__index){ index, b->along ? b->count : 0, 1, 1, length });
    bool inside = true;
    for (int64_t i = 0; i < b->outer && inside; i++)
        inside = kernel(b->count, b->inner, (tg__rows){ (char *)a[0].p + i * row * size, b->inner, 1 },
                        (tg__rows){ (char *)a[1].p + i * b->length * b->inner * size, 0, 1 },
                        b->along ? (tg__index){ index + i * row, b->inner, 1, b->inner, length }
                                 : (tg__index){ index, 1, 0, b->inner, length });
    return inside;
}

/* ---- ops ------------------------------------------------------------------------------------- */

/* What is picked of rows of x, and of elements where each of y has its own index. All take y, x and the index. */
static tg_code pick_rows(const tg__call *c, tg__pick_kernel *kernel, const tg__array a[3], int axis,
                         bool checked)
{
    const tg__array x = a[1], index = a[2];
    const int64_t length = x.s->dim[axis];
    blocks b;
    bool inside = a[0].s->n > 0 && length > 0;
    if (inside && blocks_of_rows(x.s, index.s, axis, &b)) {
        inside = pick_blocks(c, &b, kernel, a, checked);
    } else if (inside) {
        const picks p = picks_of_rows(x.s, a[0].s, index.s, axis);
        inside = each_pick(&p, kernel, a, checked ? 0 : length);
    }
    return inside ? TG_OK : check_indices(c, index, axis, length);
}

static tg_code pick_along(const tg__call *c, tg__pick_kernel *kernel, const tg__array a[3], bool checked)
{
    const tg__array y = a[0], x = a[1], index = a[2];
    const int axis = axis_of(c);
    const int64_t length = x.s->dim[axis];
    blocks b;
    bool inside = a[0].s->n > 0 && length > 0;
    if (inside && blocks_along(x.s, y.s, index.s, axis, &b)) {
        inside = pick_blocks(c, &b, kernel, a, checked);
    } else if (inside) {
        const picks p = picks_along(x.s, y.s, index.s, axis);
        inside = each_pick(&p, kernel, a, checked ? 0 : length);
    }
    return inside ? TG_OK : check_indices(c, index, axis, length);
}

/* Zeros of x's shape, with g added where index says, which gets g's shape by broadcasting. */
static tg_value scattered(const tg__derivation *d, const tg__shape *x, tg_value index, tg_value g,
                          int axis)
{
    const tg_value all = tg__broadcasted(d, index, tg__shape_of(d, g));
    return d_scatter_add(d, tg__zeros(d, x), all, g, ATTRIBUTES(axis, .axis = axis));
}

TG_OP(index_select, "li", axis, "the positions of one axis that a vector of indices names")
SHAPE(index_select)
{
    const tg__shape *index = c->x[1].s;
    const int axis = axis_of(c);
    *y = *c->x[0].s;
    if (axis < 0) return tg__no_axis(c, ((const tg_axis_attributes *)c->attributes)->axis, y);
    if (index->rank != 1)
        return tg__fail(c, TG_ERROR_SHAPE, "the index has shape %s: a vector is needed",
                        TG__SHAPE_TEXT(index));
    y->dim[axis] = index->n;
    return TG_OK;
}

FORWARD(index_select)
{
    return pick_rows(c, c->k->index.gather, (const tg__array[]){ c->y, c->x[0], c->x[1] }, axis_of(c), false);
}

BACKWARD(index_select)
{
    const tg__array g = { c->y.s, (void *)(uintptr_t)c->g };
    return pick_rows(c, c->k->index.scatter_add, (const tg__array[]){ g, c->dx[0], c->x[1] }, axis_of(c), true);
}
DERIVATIVE(index_select)
{
    const tg__shape x = *tg__shape_of(d, d->x[0]);
    const int axis = tg__axis(((const tg_axis_attributes *)d->attributes)->axis, x.rank);
    int64_t dim[TG_MAX_RANK];
    for (int i = 0; i < x.rank; i++) dim[i] = i == axis ? tg__shape_of(d, d->x[1])->n : 1;
    d->dx[0] = scattered(d, &x, tg__reshaped(d, d->x[1], x.rank, dim), d->g, axis);
}

CASES(index_select, { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(0, 2, 5) } },
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 3, 2), TENSOR(0, 2, 4) },
        .attributes = ATTRIBUTES(axis, .axis = -2) },
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 3), TENSOR(0, 2, 2) },
        .attributes = ATTRIBUTES(axis, .axis = -1) },
      { .n = 2, .x = { TENSOR(-2, 2, 0, 3), TENSOR(0, 0, 0) } })

static tg_code no_room(const tg__call *c, const tg__shape *index)
{
    return tg__fail(c, TG_ERROR_SHAPE, "the index has shape %s: no room for one more axis",
                    TG__SHAPE_TEXT(index));
}

TG_OP(embedding, "li", none, "rows of a table, (n, d) and indices (...) -> (..., d)")
SHAPE(embedding)
{
    const tg__shape *x = c->x[0].s, *index = c->x[1].s;
    if (x->rank != 2)
        return tg__fail(c, TG_ERROR_SHAPE, "the table has shape %s, not (n, d)", TG__SHAPE_TEXT(x));
    if (index->rank == TG_MAX_RANK) return no_room(c, index);
    *y = *index;
    y->type = x->type;
    y->dim[y->rank++] = x->dim[1];
    return TG_OK;
}

FORWARD(embedding)
{
    return pick_rows(c, c->k->index.gather, (const tg__array[]){ c->y, c->x[0], c->x[1] }, 0, false);
}

BACKWARD(embedding)
{
    const tg__array g = { c->y.s, (void *)(uintptr_t)c->g };
    return pick_rows(c, c->k->index.scatter_add, (const tg__array[]){ g, c->dx[0], c->x[1] }, 0, true);
}
DERIVATIVE(embedding)
{
    const tg__shape x = *tg__shape_of(d, d->x[0]);
    const int64_t n = tg__shape_of(d, d->x[1])->n;
    const tg_value index = tg__reshaped(d, d->x[1], 2, (const int64_t[]){ n, 1 });
    const tg_value g = tg__reshaped(d, d->g, 2, (const int64_t[]){ n, x.dim[1] });
    d->dx[0] = scattered(d, &x, index, g, 0);
}

CASES(embedding, { .n = 2, .x = { TENSOR(-2, 2, 4, 3), TENSOR(0, 3, 2, 3) } },
      { .n = 2, .x = { TENSOR(-2, 2, 4, 3), SCALAR(0, 3) } },
      { .n = 2, .x = { TENSOR(-2, 2, 4, 3), TENSOR(0, 3, 0) } })

/* Whether index fits into s: no longer along any axis but the one indexed (which may be -1:
   none). */
static bool fits_within(const tg__shape *index, const tg__shape *s, int axis)
{
    bool fits = index->rank == s->rank;
    for (int i = 0; fits && i < s->rank; i++) fits = i == axis || index->dim[i] <= s->dim[i];
    return fits;
}

static tg_code does_not_fit(const tg__call *c, const tg__shape *index, const tg__shape *s)
{
    return tg__fail(c, TG_ERROR_SHAPE, "the index has shape %s, which does not fit within %s",
                    TG__SHAPE_TEXT(index), TG__SHAPE_TEXT(s));
}

TG_OP(gather, "li", axis,
      "y[i, j] = x[index[i, j], j] for axis 0, y[i, j] = x[i, index[i, j]] for axis 1, and so on")
SHAPE(gather)
{
    const tg__shape *x = c->x[0].s, *index = c->x[1].s;
    const int axis = axis_of(c);
    if (axis < 0) return tg__no_axis(c, ((const tg_axis_attributes *)c->attributes)->axis, x);
    if (!fits_within(index, x, axis)) return does_not_fit(c, index, x);
    *y = *index;
    y->type = x->type;
    return TG_OK;
}

FORWARD(gather)
{
    return pick_along(c, c->k->index.gather, (const tg__array[]){ c->y, c->x[0], c->x[1] }, false);
}

BACKWARD(gather)
{
    const tg__array g = { c->y.s, (void *)(uintptr_t)c->g };
    return pick_along(c, c->k->index.scatter_add, (const tg__array[]){ g, c->dx[0], c->x[1] }, true);
}
DERIVATIVE(gather)
{
    const tg__shape x = *tg__shape_of(d, d->x[0]);
    d->dx[0] = scattered(d, &x, d->x[1], d->g, ((const tg_axis_attributes *)d->attributes)->axis);
}

CASES(gather, { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(0, 2, 5, 2) } },
      { .n = 2,
        .x = { TENSOR(-2, 2, 3, 4), TENSOR(0, 3, 3, 1) },
        .attributes = ATTRIBUTES(axis, .axis = -1) },
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 3, 2), TENSOR(0, 2, 2, 4, 1) },
        .attributes = ATTRIBUTES(axis, .axis = 1) },
      { .n = 2, .x = { TENSOR(-2, 2, 3, 0), TENSOR(0, 2, 2, 0) } })

TG_OP(scatter_add, "lil", axis,
      "x with src added where the index says: y[index[i, j], j] += src[i, j] for axis 0")
SHAPE(scatter_add)
{
    const tg__shape *x = c->x[0].s, *index = c->x[1].s, *src = c->x[2].s;
    const int axis = axis_of(c);
    if (axis < 0) return tg__no_axis(c, ((const tg_axis_attributes *)c->attributes)->axis, x);
    if (!fits_within(index, x, axis)) return does_not_fit(c, index, x);
    if (!fits_within(index, src, -1)) return does_not_fit(c, index, src);
    *y = *x;
    return TG_OK;
}

FORWARD(scatter_add)
{
    tg__copy(c->k, c->y, c->x[0]);
    return pick_along(c, c->k->index.scatter_add, (const tg__array[]){ c->x[2], c->y, c->x[1] }, false);
}

BACKWARD(scatter_add)
{
    const tg__array g = { c->y.s, (void *)(uintptr_t)c->g };
    if (c->dx[0].p) tg__add(c->k, c->dx[0], g);
    if (!c->dx[2].p) return TG_OK;
    return pick_along(c, c->k->index.gather_add, (const tg__array[]){ c->dx[2], g, c->x[1] }, true);
}
DERIVATIVE(scatter_add)
{
    d->dx[0] = d->g;
    if (!d->wanted[2]) return;
    const tg__shape src = *tg__shape_of(d, d->x[2]), index = *tg__shape_of(d, d->x[1]);
    tg_value g = d_gather(d, d->g, d->x[1], d->attributes);
    for (int i = 0; i < src.rank; i++) {
        const int64_t more = src.dim[i] - index.dim[i];
        if (more) g = d_pad(d, g, ATTRIBUTES(pad, .axis = i, .after = more));
    }
    d->dx[2] = g;
}

CASES(scatter_add,
      { .n = 3, .x = { TENSOR(-2, 2, 3, 4), TENSOR(0, 2, 5, 4), TENSOR(-2, 2, 5, 4) } },
      { .n = 3,
        .x = { TENSOR(-2, 2, 2, 3), TENSOR(0, 2, 1, 4), TENSOR(-2, 2, 2, 5) },
        .attributes = ATTRIBUTES(axis, .axis = -1) },
      { .n = 3, .x = { TENSOR(-2, 2, 3), TENSOR(0, 2, 0), TENSOR(-2, 2, 0) } })

TG_OP(take, "li", none,
      "elements of x by their positions in row-major order; the result has the index's shape")
SHAPE(take)
{
    *y = *c->x[1].s;
    y->type = c->x[0].s->type;
    return TG_OK;
}

/* How far from the first element of x the one at the lowest address is, if there are any. */
static ptrdiff_t lowest_of(const tg__shape *x)
{
    ptrdiff_t lowest = 0;
    for (int i = 0; i < x->rank; i++)
        if (x->stride[i] < 0) lowest += (x->dim[i] - 1) * x->stride[i];
    return lowest;
}

static void to_distances(const tg__shape *x, ptrdiff_t lowest, tg__array index, int64_t *to)
{
    tg__walk w;
    tg__walk_begin(&w, 1, &index);
    do {
        const int64_t *from = (const int64_t *)w.p[0];
        for (int64_t j = 0; j < w.n; j++, to++) {
            int64_t at = from[j * w.stride[0]];
            *to = -lowest;
            for (int i = x->rank - 1; i >= 0; at /= x->dim[i--])
                *to += at % x->dim[i] * x->stride[i];
        }
    } while (tg__walk_next(&w));
}

/* Where x is not adjacent, positions in row-major order become distances from its element at the lowest address. */
static tg_code take_with(const tg__call *c, tg__pick_kernel *kernel, tg__array y, tg__array x)
{
    picks p = { .x = *y.s, .y = *y.s, .index = *c->x[1].s, .step = 1 };
    int64_t *index = c->x[1].p;
    for (int i = 0; i < p.x.rank; i++) p.x.stride[i] = 0;
    if (!tg__shape_contiguous(x.s) && p.index.n) {
        index = tg__scratch(c, (size_t)p.index.n * sizeof(int64_t));
        if (!index) return TG_ERROR_MEMORY;
        const ptrdiff_t lowest = lowest_of(x.s);
        to_distances(x.s, lowest, c->x[1], index);
        x.p = (char *)x.p + lowest * (ptrdiff_t)tg__type_size(x.s->type);
        tg__shape_finish(&p.index);
    }
    each_pick(&p, kernel, (const tg__array[]){ y, x, { &p.index, index } }, 0);
    return TG_OK;
}

FORWARD(take)
{
    const tg__array x = c->x[0], index = c->x[1];
    const blocks b = { 1, x.s->n, index.s->n, 1, true };
    if (tg__shape_contiguous(x.s) && tg__shape_contiguous(index.s) &&
        x.s->n > 0 && pick_blocks(c, &b, c->k->index.gather, (const tg__array[]){ c->y, x, index }, false))
        return TG_OK;
    const tg_code code = check_indices(c, index, -1, x.s->n);
    return code ? code : take_with(c, c->k->index.gather, c->y, x);
}

BACKWARD(take)
{
    const tg__array g = { c->y.s, (void *)(uintptr_t)c->g }, dx = c->dx[0], index = c->x[1];
    const blocks b = { 1, dx.s->n, index.s->n, 1, true };
    if (!tg__shape_contiguous(dx.s) || !tg__shape_contiguous(index.s))
        return take_with(c, c->k->index.scatter_add, g, dx);
    pick_blocks(c, &b, c->k->index.scatter_add, (const tg__array[]){ g, dx, index }, true);
    return TG_OK;
}
DERIVATIVE(take)
{
    const tg__shape x = *tg__shape_of(d, d->x[0]);
    const tg__shape flat = { .type = x.type, .rank = 1, .n = x.n, .dim = { x.n }, .stride = { 1 } };
    const int64_t n = tg__shape_of(d, d->x[1])->n;
    const tg_value index = tg__reshaped(d, d->x[1], 1, &n), g = tg__reshaped(d, d->g, 1, &n);
    d->dx[0] = tg__reshaped(d, scattered(d, &flat, index, g, 0), x.rank, x.dim);
}

CASES(take, { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(0, 11, 2, 5) } },
      { .n = 2, .x = { TENSOR(-2, 2, 3, 4), SCALAR(0, 11) } },
      { .n = 2, .x = { SCALAR(-2, 2), TENSOR(0, 0, 3) } },
      { .n = 2, .x = { TENSOR(-2, 2, 0), TENSOR(0, 0, 2, 0) } })

TG_OP_ZERO(cast, "i", none, "integers as numbers of the tape's type, which have no gradient")
SHAPE(cast)
{
    *y = *c->x[0].s;
    y->type = TG_F64; /* of the tape's floating type */
    return TG_OK;
}

FORWARD(cast)
{
    char *y = c->y.p;
    tg__walk w;
    tg__walk_begin(&w, 1, c->x);
    do {
        c->k->index.cast(w.n, y, (const int64_t *)(void *)w.p[0], w.stride[0]);
        y += (size_t)w.n * tg__type_size(c->y.s->type);
    } while (tg__walk_next(&w));
    return TG_OK;
}
CASES(cast, { .n = 1, .x = { TENSOR(-3, 3, 2, 3) } }, { .n = 1, .x = { SCALAR(0, 9) } },
      { .n = 1, .x = { TENSOR(0, 0, 0) } })

/* What comparisons of integers are made of, which as numbers of the tape's type would lose digits: the order compared with 0. */
TG_PART_ZERO(order, "ii", none, "-1, 0 or 1: the integer a is below, equal to or above the integer b")
SHAPE(order)
{
    const tg_code code = tg__map_shape(c, y);
    y->type = TG_F64; /* of the tape's floating type */
    return code;
}

FORWARD(order)
{
    const bool single = c->y.s->type == TG_F32;
    const size_t size = tg__type_size(c->y.s->type);
    const tg__shape a = tg__broadcast_to(c->x[0].s, c->y.s), b = tg__broadcast_to(c->x[1].s, c->y.s);
    tg__walk w;
    tg__walk_begin(&w, 3, (const tg__array[]){ c->y, { &a, c->x[0].p }, { &b, c->x[1].p } });
    do {
        for (int64_t j = 0; j < w.n; j++) {
            const int64_t p = ((const int64_t *)(void *)w.p[1])[j * w.stride[1]];
            const int64_t q = ((const int64_t *)(void *)w.p[2])[j * w.stride[2]];
            void *const y = w.p[0] + (size_t)(j * w.stride[0]) * size;
            if (single) *(float *)y = (float)((p > q) - (p < q));
            else *(double *)y = (double)((p > q) - (p < q));
        }
    } while (tg__walk_next(&w));
    return TG_OK;
}
CASES(order, { .n = 2, .x = { TENSOR(-3, 3, 2, 3), TENSOR(-3, 3, 2, 3) } },
      { .n = 2, .x = { TENSOR(-3, 3, 4), SCALAR(0, 2) } },
      { .n = 2, .x = { TENSOR(-3, 3, 3, 1), TENSOR(-3, 3, 2) } },
      { .n = 2, .x = { TENSOR(0, 0, 0), SCALAR(0, 0) } })

TG_OP_ZERO(one_hot, "i", classes,
           "1 where the index points along a new last axis of that many classes, 0 elsewhere")
SHAPE(one_hot)
{
    const tg_classes_attributes *a = c->attributes;
    const tg__shape *index = c->x[0].s;
    if (a->classes < 1)
        return tg__fail(c, TG_ERROR_ARGUMENT, "%lld classes: at least 1 is needed",
                        (long long)a->classes);
    if (index->rank == TG_MAX_RANK) return no_room(c, index);
    *y = *index;
    y->type = TG_F64;
    y->dim[y->rank++] = a->classes;
    return TG_OK;
}

FORWARD(one_hot)
{
    const int64_t classes = ((const tg_classes_attributes *)c->attributes)->classes;
    char *y = c->y.p;
    bool inside;
    tg__walk w;
    tg__walk_begin(&w, 1, c->x);
    do {
        inside = c->k->index.one_hot(w.n, classes, y, (const int64_t *)(void *)w.p[0], w.stride[0]);
        y += (size_t)(w.n * classes) * tg__type_size(c->y.s->type);
    } while (inside && tg__walk_next(&w));
    return inside ? TG_OK : check_indices(c, c->x[0], c->y.s->rank - 1, classes);
}
CASES(one_hot,
      { .n = 1, .x = { TENSOR(0, 3, 2, 3) }, .attributes = ATTRIBUTES(classes, .classes = 4) },
      { .n = 1, .x = { SCALAR(0, 3) }, .attributes = ATTRIBUTES(classes, .classes = 4) },
      { .n = 1, .x = { TENSOR(0, 3, 0) }, .attributes = ATTRIBUTES(classes, .classes = 4) })
