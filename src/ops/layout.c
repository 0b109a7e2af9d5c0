/* Shape ops. The views come first: they change how an array is looked at and move nothing. Then
   the copies: ops that move elements to other places, where the gradient is the same movement
   backwards, so each is described once and run in both directions (see flow). */
#include "ops/op.h"

/* Where a new axis goes, in 0 ... rank; -1 if there is no such place, or no room for one more
   axis. */
static int new_axis(int axis, const tg__shape *s)
{
    return s->rank < TG_MAX_RANK ? tg__axis(axis, s->rank + 1) : -1;
}

static tg_code no_new_axis(const tg__call *c, int axis, const tg__shape *s)
{
    if (s->rank == TG_MAX_RANK)
        return tg__fail(c, TG_ERROR_SHAPE, "shape %s has the highest rank, %d, already",
                        TG__SHAPE_TEXT(s), TG_MAX_RANK);
    return tg__fail(c, TG_ERROR_SHAPE,
                    "there is no place %d for a new axis in shape %s: it has %d ... %d", axis,
                    TG__SHAPE_TEXT(s), -s->rank - 1, s->rank);
}

static void insert_axis(tg__shape *s, int axis)
{
    for (int i = s->rank; i > axis; i--) {
        s->dim[i] = s->dim[i - 1];
        s->stride[i] = s->stride[i - 1];
    }
    s->dim[axis] = 1;
    s->stride[axis] = 1;
    s->rank++;
}

static void remove_axis(tg__shape *s, int axis)
{
    s->rank--;
    for (int i = axis; i < s->rank; i++) {
        s->dim[i] = s->dim[i + 1];
        s->stride[i] = s->stride[i + 1];
    }
}

/* A list that came from outside may have any count. */
static tg_code check_count(const tg__call *c)
{
    const int count = ((const tg_list_attributes *)c->attributes)->count;
    if (count >= 0 && count <= TG_MAX_RANK) return TG_OK;
    return tg__fail(c, TG_ERROR_ARGUMENT, "a list of %d numbers: 0 ... %d are possible", count,
                    TG_MAX_RANK);
}

/* ---- views ----------------------------------------------------------------------------------- */

/* Finds the strides by which y's dimensions show x's elements in row-major order; false if there
   are none. Axes of x that continue each other make a chunk; each chunk is cut into axes of y,
   from the last to the first. */
static bool restride(const tg__shape *x, tg__shape *y)
{
    int j = y->rank - 1;
    int64_t chunk = 1, cut = 1, stride = x->rank ? x->stride[x->rank - 1] : 1;
    for (int i = x->rank - 1; i >= 0; i--) {
        chunk *= x->dim[i];
        const bool ends = i == 0 || (x->dim[i - 1] != 1 && x->stride[i - 1] != chunk * stride);
        if (!ends) continue;
        for (; j >= 0 && (cut < chunk || y->dim[j] == 1); j--) {
            y->stride[j] = cut * stride;
            cut *= y->dim[j];
        }
        if (cut != chunk) return false;
        if (i) stride = x->stride[i - 1];
        chunk = cut = 1;
    }
    return true;
}

/* Completes y, which has its dimensions and as many elements as x. */
static tg_code look_as(const tg__shape *x, tg__shape *y, int64_t *offset)
{
    *offset = 0;
    tg__shape_finish(y); /* right for no elements and for rank 0 */
    return x->n == 0 || restride(x, y) ? TG_OK : TG__COPY;
}

/* The length that -1 stands for at position axis of y; -1 if there is none. */
static int64_t missing_length(const tg__shape *x, const tg__shape *y, int axis)
{
    tg__shape others = *y;
    others.dim[axis] = 1;
    if (!tg__shape_finish(&others) || others.n == 0 || x->n % others.n) return -1;
    return x->n / others.n;
}

TG_VIEW(reshape, list,
        "the same elements, row-major, with other dimensions; one may be -1: what is left")
VIEW(reshape)
{
    const tg_list_attributes *a = c->attributes;
    const tg__shape *x = c->x[0].s;
    if (check_count(c)) return TG_ERROR_ARGUMENT;
    *y = (tg__shape){ .type = x->type, .rank = a->count };
    int open = -1;
    for (int i = 0; i < a->count; i++) {
        y->dim[i] = a->item[i];
        if (a->item[i] != -1) continue;
        if (open >= 0)
            return tg__fail(c, TG_ERROR_SHAPE, "only one dimension can be -1, not both %d and %d",
                            open, i);
        open = i;
    }
    tg__shape full = *y;
    if (open >= 0) full.dim[open] = missing_length(x, y, open);
    if (!tg__shape_finish(&full) || full.n != x->n)
        return tg__fail(c, TG_ERROR_SHAPE, "shape %s, %lld elements, does not fit into %s",
                        TG__SHAPE_TEXT(x), (long long)x->n, TG__SHAPE_TEXT(y));
    *y = full;
    return look_as(x, y, offset);
}
CASES(reshape,
      { .n = 1,
        .x = { TENSOR(-2, 2, 2, 6) },
        .attributes = ATTRIBUTES(list, .count = 3, .item = { 3, -1, 2 }) },
      { .n = 1,
        .x = { SCALAR(-2, 2) },
        .attributes = ATTRIBUTES(list, .count = 2, .item = { 1, 1 }) },
      { .n = 1, .x = { TENSOR(-2, 2, 1, 1) } },
      { .n = 1,
        .x = { TENSOR(-2, 2, 0, 3) },
        .attributes = ATTRIBUTES(list, .count = 2, .item = { 5, 0 }) })

TG_VIEW(flatten, span,
        "axes start to end, both included, as one; a scalar becomes a vector of one element")
VIEW(flatten)
{
    const tg_span_attributes *a = c->attributes;
    const tg__shape *x = c->x[0].s;
    tg__shape from = *x;
    if (from.rank == 0) insert_axis(&from, 0);
    const int start = tg__axis(a->start, from.rank), end = tg__axis(a->end, from.rank);
    if (start < 0) return tg__no_axis(c, a->start, x);
    if (end < 0) return tg__no_axis(c, a->end, x);
    if (start > end)
        return tg__fail(c, TG_ERROR_SHAPE, "the first axis, %d, lies behind the last, %d", start,
                        end);
    *y = from;
    for (int i = start; i < end; i++) {
        y->dim[start] *= y->dim[start + 1];
        remove_axis(y, start + 1);
    }
    return look_as(x, y, offset);
}
CASES(flatten, { .n = 1, .x = { TENSOR(-2, 2, 2, 3, 2) } }, { .n = 1, .x = { SCALAR(-2, 2) } },
      { .n = 1,
        .x = { TENSOR(-2, 2, 2, 3, 2) },
        .attributes = ATTRIBUTES(span, .start = 1, .end = -1) },
      { .n = 1, .x = { TENSOR(-2, 2, 2, 0, 3) }, .attributes = ATTRIBUTES(span, .start = -2) })

TG_VIEW(squeeze, every, "without an axis of length 1, or without all of them")
VIEW(squeeze)
{
    const tg_every_attributes *a = c->attributes;
    *offset = 0;
    *y = *c->x[0].s;
    if (a->axis == TG_ALL) {
        for (int i = y->rank - 1; i >= 0; i--)
            if (y->dim[i] == 1) remove_axis(y, i);
        return TG_OK;
    }
    const int axis = tg__axis(a->axis, y->rank);
    if (axis < 0) return tg__no_axis(c, a->axis, y);
    if (y->dim[axis] != 1)
        return tg__fail(c, TG_ERROR_SHAPE, "axis %d of shape %s has length %lld, not 1", axis,
                        TG__SHAPE_TEXT(y), (long long)y->dim[axis]);
    remove_axis(y, axis);
    return TG_OK;
}
CASES(squeeze, { .n = 1, .x = { TENSOR(-2, 2, 1, 3, 1) } },
      { .n = 1, .x = { TENSOR(-2, 2, 0, 1) } },
      { .n = 1, .x = { TENSOR(-2, 2, 1, 3, 1) }, .attributes = ATTRIBUTES(every, .axis = -1) },
      { .n = 1, .x = { SCALAR(-2, 2) } })

TG_VIEW(unsqueeze, axis, "with a new axis of length 1 at the position given")
VIEW(unsqueeze)
{
    const tg_axis_attributes *a = c->attributes;
    *offset = 0;
    *y = *c->x[0].s;
    const int axis = new_axis(a->axis, y);
    if (axis < 0) return no_new_axis(c, a->axis, y);
    insert_axis(y, axis);
    return TG_OK;
}
CASES(unsqueeze, { .n = 1, .x = { TENSOR(-2, 2, 2, 3) } }, { .n = 1, .x = { SCALAR(-2, 2) } },
      { .n = 1, .x = { TENSOR(-2, 2, 2, 3) }, .attributes = ATTRIBUTES(axis, .axis = -1) })

TG_VIEW(permute, list, "axes in another order: all of them, each once")
VIEW(permute)
{
    const tg_list_attributes *a = c->attributes;
    const tg__shape *x = c->x[0].s;
    bool taken[TG_MAX_RANK] = { false };
    if (check_count(c)) return TG_ERROR_ARGUMENT;
    if (a->count != x->rank)
        return tg__fail(c, TG_ERROR_SHAPE, "%d axes named, shape %s has %d", a->count,
                        TG__SHAPE_TEXT(x), x->rank);
    *offset = 0;
    *y = *x;
    for (int i = 0; i < x->rank; i++) {
        const int64_t item = a->item[i] + (a->item[i] < 0 ? x->rank : 0);
        if (item < 0 || item >= x->rank)
            return tg__fail(c, TG_ERROR_SHAPE, "there is no axis %lld in shape %s",
                            (long long)a->item[i], TG__SHAPE_TEXT(x));
        if (taken[item])
            return tg__fail(c, TG_ERROR_SHAPE, "axis %lld is named twice", (long long)item);
        taken[item] = true;
        y->dim[i] = x->dim[item];
        y->stride[i] = x->stride[item];
    }
    return TG_OK;
}
CASES(permute,
      { .n = 1,
        .x = { TENSOR(-2, 2, 2, 3, 4) },
        .attributes = ATTRIBUTES(list, .count = 3, .item = { 2, 0, -2 }) },
      { .n = 1, .x = { SCALAR(-2, 2) } },
      { .n = 1,
        .x = { TENSOR(-2, 2, 0, 3) },
        .attributes = ATTRIBUTES(list, .count = 2, .item = { 1, 0 }) })

TG_VIEW(transpose, swap, "two axes exchanged, the last two unless said otherwise")
VIEW(transpose)
{
    const tg_swap_attributes *a = c->attributes;
    const tg__shape *x = c->x[0].s;
    const int i = tg__axis(a->axis0, x->rank), j = tg__axis(a->axis1, x->rank);
    if (i < 0) return tg__no_axis(c, a->axis0, x);
    if (j < 0) return tg__no_axis(c, a->axis1, x);
    *offset = 0;
    *y = *x;
    y->dim[i] = x->dim[j];
    y->dim[j] = x->dim[i];
    y->stride[i] = x->stride[j];
    y->stride[j] = x->stride[i];
    return TG_OK;
}
CASES(transpose, { .n = 1, .x = { TENSOR(-2, 2, 2, 3, 4) } },
      { .n = 1, .x = { TENSOR(-2, 2, 3, 0) } },
      { .n = 1, .x = { TENSOR(-2, 2, 2, 3, 4) }, .attributes = ATTRIBUTES(swap, .axis0 = 0) })

TG_VIEW(broadcast_to, list,
        "repeated along axes of length 1, and along new ones in front, up to the dimensions given")
VIEW(broadcast_to)
{
    const tg_list_attributes *a = c->attributes;
    const tg__shape *x = c->x[0].s;
    tg__shape to = { .type = x->type, .rank = a->count }, both;
    if (check_count(c)) return TG_ERROR_ARGUMENT;
    for (int i = 0; i < a->count; i++) to.dim[i] = a->item[i];
    bool fits = tg__shape_finish(&to) && tg__broadcast(x, &to, &both) && both.rank == to.rank;
    for (int i = 0; fits && i < to.rank; i++) fits = both.dim[i] == to.dim[i];
    if (!fits)
        return tg__fail(c, TG_ERROR_SHAPE, "shape %s does not broadcast to %s", TG__SHAPE_TEXT(x),
                        TG__SHAPE_TEXT(&to));
    *offset = 0;
    *y = tg__broadcast_to(x, &to);
    return TG_OK;
}
CASES(broadcast_to,
      { .n = 1,
        .x = { TENSOR(-2, 2, 3, 1) },
        .attributes = ATTRIBUTES(list, .count = 3, .item = { 2, 3, 4 }) },
      { .n = 1,
        .x = { SCALAR(-2, 2) },
        .attributes = ATTRIBUTES(list, .count = 2, .item = { 2, 3 }) },
      { .n = 1,
        .x = { TENSOR(-2, 2, 1, 3) },
        .attributes = ATTRIBUTES(list, .count = 2, .item = { 0, 3 }) })

/* start or stop of a slice as a position; rest is what TG_END stands for, lo and hi are the
   outermost positions. */
static int64_t slice_bound(int64_t at, int64_t rest, int64_t lo, int64_t hi)
{
    if (at == TG_END) return rest;
    if (at < 0) at += hi - lo; /* hi - lo is the length, whichever way the slice goes */
    return at < lo ? lo : at > hi ? hi : at;
}

TG_VIEW(slice, slice,
        "part of one axis: start, start + step, ... without stop, as Python's x[start:stop:step]")
VIEW(slice)
{
    const tg_slice_attributes *a = c->attributes;
    const tg__shape *x = c->x[0].s;
    const int axis = tg__axis(a->axis, x->rank);
    if (axis < 0) return tg__no_axis(c, a->axis, x);
    if (a->step == 0) return tg__fail(c, TG_ERROR_ARGUMENT, "the step of a slice cannot be 0");
    const int64_t lo = a->step < 0 ? -1 : 0, hi = x->dim[axis] + lo, sign = a->step < 0 ? -1 : 1;
    const int64_t start = slice_bound(a->start, sign < 0 ? hi : lo, lo, hi);
    const int64_t stop = slice_bound(a->stop, sign < 0 ? lo : hi, lo, hi);
    const int64_t span = (stop - start) * sign;
    /* Past the longest axis all steps are the same: to the first element and no further. */
    const int64_t step = a->step > INT32_MAX    ? INT32_MAX
                         : a->step < -INT32_MAX ? -INT32_MAX
                                                : a->step;
    *y = *x;
    y->dim[axis] = span > 0 ? (span - 1) / (step * sign) + 1 : 0;
    if (y->dim[axis] > 1) y->stride[axis] *= step;
    *offset = x->n && span > 0 ? start * x->stride[axis] : 0;
    return TG_OK;
}
CASES(slice,
      { .n = 1,
        .x = { TENSOR(-2, 2, 5, 3) },
        .attributes = ATTRIBUTES(slice, .start = 1, .stop = 4) },
      { .n = 1,
        .x = { TENSOR(-2, 2, 2, 7) },
        .attributes = ATTRIBUTES(slice, .axis = -1, .start = -2, .step = -3) },
      { .n = 1, .x = { TENSOR(-2, 2, 5) }, .attributes = ATTRIBUTES(slice, .start = 3, .stop = 1) },
      { .n = 1, .x = { TENSOR(-2, 2, 0, 2) }, .attributes = ATTRIBUTES(slice, .step = -1) },
      { .n = 1, .x = { TENSOR(-2, 2, 4) } })

/* Makes index, negative: from the back, a position of an axis of x[0]. */
static tg_code enter_axis(const tg__call *c, int axis, int64_t *index)
{
    const int64_t length = c->x[0].s->dim[axis], asked = *index;
    if (asked < -length || asked >= length)
        return tg__fail(c, TG_ERROR_INDEX, "index %lld is outside axis %d of length %lld",
                        (long long)asked, axis, (long long)length);
    if (asked < 0) *index += length;
    return TG_OK;
}

TG_VIEW(split, split, "one of several equal parts of an axis")
VIEW(split)
{
    const tg_split_attributes *a = c->attributes;
    const tg__shape *x = c->x[0].s;
    const int axis = tg__axis(a->axis, x->rank);
    if (axis < 0) return tg__no_axis(c, a->axis, x);
    if (a->parts < 1 || x->dim[axis] % a->parts)
        return tg__fail(c, TG_ERROR_SHAPE, "axis %d of length %lld has no %lld equal parts", axis,
                        (long long)x->dim[axis], (long long)a->parts);
    if (a->index < -a->parts || a->index >= a->parts)
        return tg__fail(c, TG_ERROR_INDEX, "part %lld of %lld", (long long)a->index,
                        (long long)a->parts);
    const int64_t index = a->index + (a->index < 0 ? a->parts : 0);
    *y = *x;
    y->dim[axis] /= a->parts;
    *offset = x->n ? index * y->dim[axis] * x->stride[axis] : 0;
    return TG_OK;
}
CASES(split,
      { .n = 1,
        .x = { TENSOR(-2, 2, 6, 2) },
        .attributes = ATTRIBUTES(split, .parts = 3, .index = 1) },
      { .n = 1,
        .x = { TENSOR(-2, 2, 2, 4) },
        .attributes = ATTRIBUTES(split, .axis = -1, .parts = 2, .index = -1) },
      { .n = 1, .x = { TENSOR(-2, 2, 3) } },
      { .n = 1, .x = { TENSOR(-2, 2, 0, 2) }, .attributes = ATTRIBUTES(split, .parts = 2) })

TG_VIEW(select, select, "one position of one axis, which vanishes")
VIEW(select)
{
    const tg_select_attributes *a = c->attributes;
    const tg__shape *x = c->x[0].s;
    const int axis = tg__axis(a->axis, x->rank);
    if (axis < 0) return tg__no_axis(c, a->axis, x);
    int64_t index = a->index;
    const tg_code code = enter_axis(c, axis, &index);
    if (code) return code;
    *offset = x->n ? index * x->stride[axis] : 0;
    *y = *x;
    remove_axis(y, axis);
    return TG_OK;
}
CASES(select,
      { .n = 1,
        .x = { TENSOR(-2, 2, 3, 4) },
        .attributes = ATTRIBUTES(select, .axis = 1, .index = 2) },
      { .n = 1,
        .x = { TENSOR(-2, 2, 3, 4) },
        .attributes = ATTRIBUTES(select, .axis = -2, .index = -1) },
      { .n = 1, .x = { TENSOR(-2, 2, 3) } }, { .n = 1, .x = { TENSOR(-2, 2, 2, 0) } })

TG_VIEW(at, list, "one position of each of the leading axes, which vanish: x[i, j]")
VIEW(at)
{
    const tg_list_attributes *a = c->attributes;
    const tg__shape *x = c->x[0].s;
    if (check_count(c)) return TG_ERROR_ARGUMENT;
    if (a->count > x->rank)
        return tg__fail(c, TG_ERROR_INDEX, "%d indices for shape %s, which has %d axes", a->count,
                        TG__SHAPE_TEXT(x), x->rank);
    *offset = 0;
    *y = *x;
    for (int i = 0; i < a->count; i++) {
        int64_t index = a->item[i];
        const tg_code code = enter_axis(c, i, &index);
        if (code) return code;
        if (x->n) *offset += index * x->stride[i];
        remove_axis(y, 0);
    }
    return TG_OK;
}
CASES(at,
      { .n = 1,
        .x = { TENSOR(-2, 2, 3, 4) },
        .attributes = ATTRIBUTES(list, .count = 2, .item = { 1, -1 }) },
      { .n = 1,
        .x = { TENSOR(-2, 2, 3, 4) },
        .attributes = ATTRIBUTES(list, .count = 1, .item = { -3 }) },
      { .n = 1, .x = { SCALAR(-2, 2) } },
      { .n = 1,
        .x = { TENSOR(-2, 2, 2, 0) },
        .attributes = ATTRIBUTES(list, .count = 1, .item = { 1 }) })

TG_VIEW(flip, every, "one axis backwards, or every axis")
VIEW(flip)
{
    const tg_every_attributes *a = c->attributes;
    const tg__shape *x = c->x[0].s;
    const int axis = tg__axis(a->axis, x->rank);
    if (axis < 0 && a->axis != TG_ALL) return tg__no_axis(c, a->axis, x);
    *offset = 0;
    *y = *x;
    for (int i = 0; i < x->rank; i++) {
        if (i != axis && a->axis != TG_ALL) continue;
        y->stride[i] = -x->stride[i];
        if (x->n) *offset += (x->dim[i] - 1) * x->stride[i];
    }
    return TG_OK;
}
CASES(flip, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } }, { .n = 1, .x = { SCALAR(-2, 2) } },
      { .n = 1, .x = { TENSOR(-2, 2, 3, 4) }, .attributes = ATTRIBUTES(every, .axis = -1) },
      { .n = 1, .x = { TENSOR(-2, 2, 0, 2) } })

TG_VIEW(diagonal, offset,
        "a diagonal of the last two axes, (..., m, n) -> (..., k): the elements (i, i + offset)")
VIEW(diagonal)
{
    const int64_t away = ((const tg_offset_attributes *)c->attributes)->offset;
    const tg__shape *x = c->x[0].s;
    const int i = x->rank - 2, j = x->rank - 1;
    if (i < 0) return tg__fail(c, TG_ERROR_SHAPE, "shape %s has no two axes", TG__SHAPE_TEXT(x));
    const bool outside = away >= x->dim[j] || away <= -x->dim[i];
    const int64_t down = outside || away > 0 ? 0 : -away, right = outside || away < 0 ? 0 : away;
    const int64_t rows = x->dim[i] - down, columns = x->dim[j] - right;
    *y = *x;
    remove_axis(y, j);
    y->dim[i] = outside ? 0 : rows < columns ? rows : columns;
    y->stride[i] = x->stride[i] + x->stride[j];
    *offset = x->n ? down * x->stride[i] + right * x->stride[j] : 0;
    return TG_OK;
}
CASES(diagonal, { .n = 1, .x = { TENSOR(-2, 2, 2, 3, 4) } },
      { .n = 1, .x = { TENSOR(-2, 2, 4, 3) }, .attributes = ATTRIBUTES(offset, .offset = -1) },
      { .n = 1, .x = { TENSOR(-2, 2, 3, 3) }, .attributes = ATTRIBUTES(offset, .offset = 3) },
      { .n = 1, .x = { TENSOR(-2, 2, 0, 3) } })

/* ---- copies ---------------------------------------------------------------------------------- */

/* Elements on their way between an operand and the result: forward y = x, backward x += y, where
   x is then dx and y is g. An op says which part of x and which part of y correspond. */
typedef struct flow {
    const tg__kernels *k;
    bool backward;
    bool adjacent; /* numbers that lie adjacent in x, as they do in y: see move_pieces */
    tg__array x, y;
} flow;

static flow flow_of(const tg__call *c, bool backward, tg__array x, void *y)
{
    const bool adjacent = x.s->type != TG_I64 && tg__shape_contiguous(x.s);
    return (flow){ tg__streaming(c, x.s), backward, adjacent, x, { c->y.s, y } };
}

static flow forward_of(const tg__call *c, int i)
{
    return flow_of(c, false, c->x[i], c->y.p);
}

static flow backward_of(const tg__call *c, int i)
{
    return flow_of(c, true, c->dx[i], (void *)(uintptr_t)c->g);
}

static void move(const flow *f, tg__array x, tg__array y)
{
    if (f->backward) tg__add(f->k, x, y);
    else tg__copy(f->k, y, x);
}

/* Positions from, from + 1, ... of an axis. */
typedef struct range {
    int64_t from, length;
} range;

/* The part of a that lies within a range of an axis. s becomes its shape. */
static tg__array part(tg__array a, int axis, range r, tg__shape *s)
{
    const ptrdiff_t skip = r.from * a.s->stride[axis] * (ptrdiff_t)tg__type_size(a.s->type);
    *s = *a.s;
    s->dim[axis] = r.length;
    s->n = 1;
    for (int i = 0; i < s->rank; i++) s->n *= s->dim[i];
    return (tg__array){ s, s->n ? (char *)a.p + skip : a.p };
}

/* The number of elements that axes from ... end - 1 have together. */
static int64_t elements(const tg__shape *s, int from, int end)
{
    int64_t n = 1;
    for (int i = from; i < end; i++) n *= s->dim[i];
    return n;
}

/* Where elements are adjacent y is rows that are put together from pieces: no shapes are made for them. value is between
   the pieces. */
static void move_pieces(const flow *f, int64_t m, int pieces, const tg__strip *x, double value)
{
    if (f->backward) f->k->rows.add_joined(m, pieces, x, f->y.p);
    else f->k->rows.join(m, pieces, x, f->y.p, value);
}

/* The piece of x at positions r of an axis. */
static tg__strip piece(const flow *f, int axis, range r)
{
    const tg__shape *const s = f->x.s;
    const int64_t n = elements(s, axis + 1, s->rank);
    const ptrdiff_t skip = r.from * n * (ptrdiff_t)tg__type_size(s->type);
    return (tg__strip){ f->x.p ? (char *)f->x.p + skip : NULL, r.length * n, s->dim[axis] * n };
}

TG_OP(contiguous, "c", none, "the same with elements adjacent in row-major order: a copy")
SHAPE(contiguous)
{
    *y = *c->x[0].s;
    return TG_OK;
}

static tg_code contiguous(flow f)
{
    move(&f, f.x, f.y);
    return TG_OK;
}

/* How often each element is repeated, where the elements are adjacent but for that; else 1. */
static int64_t repetitions(const tg__shape *x)
{
    int64_t n = 1;
    tg__shape elements = *x;
    while (elements.rank > 0 && (x->stride[elements.rank - 1] == 0 || x->dim[elements.rank - 1] == 1))
        n *= x->dim[--elements.rank];
    return x->n > 0 && x->type != TG_I64 && tg__shape_contiguous(&elements) ? n : 1;
}

FORWARD(contiguous)
{
    const tg__shape *const x = c->x[0].s;
    const int64_t n = repetitions(x);
    if (n == 1) return contiguous(forward_of(c, 0));
    c->k->repeat(x->n / n, n, c->y.p, c->x[0].p);
    return TG_OK;
}

BACKWARD(contiguous)
{
    return contiguous(backward_of(c, 0));
}
DERIVATIVE(contiguous) { d->dx[0] = d->g; }

CASES(contiguous, { .n = 1, .x = { TENSOR(-2, 2, 2, 3) } }, { .n = 1, .x = { SCALAR(-2, 2) } },
      { .n = 1, .x = { TENSOR(-2, 2, 2, 0) } })

TG_OP(cat, "c*", axis, "operands one behind the other along an axis that they have")
SHAPE(cat)
{
    const tg_axis_attributes *a = c->attributes;
    *y = *c->x[0].s;
    const int axis = tg__axis(a->axis, y->rank);
    if (axis < 0) return tg__no_axis(c, a->axis, y);
    for (int i = 1; i < c->n; i++) {
        const tg__shape *x = c->x[i].s;
        bool agree = x->rank == y->rank;
        for (int j = 0; agree && j < x->rank; j++) agree = j == axis || x->dim[j] == y->dim[j];
        if (!agree)
            return tg__fail(
                c, TG_ERROR_SHAPE,
                "shapes %s and %s of operands 0 and %d differ elsewhere than in axis %d",
                TG__SHAPE_TEXT(c->x[0].s), TG__SHAPE_TEXT(x), i, axis);
        y->dim[axis] += x->dim[axis];
    }
    return TG_OK;
}

enum { FEW = 4 }; /* operands, for which there is room on the stack */

/* Operands one behind the other along an axis that they have, which in a stack is one of length 1. False: there is no memory,
   or some are not adjacent. */
static bool join(const tg__call *c, flow (*side)(const tg__call *, int), int axis, bool stacked)
{
    tg__strip few[FEW], *x = few;
    flow f = side(c, 0);
    if (c->n > FEW && !(x = tg__scratch(c, (size_t)c->n * sizeof *x))) return false;
    for (int i = 0; i < c->n; i++) {
        f = side(c, i);
        if (!f.adjacent) return false;
        if (stacked) x[i] = (tg__strip){ f.x.p, 0, 0 };
        else x[i] = piece(&f, axis, (range){ 0, f.x.s->dim[axis] });
        if (stacked) x[i].n = x[i].row = elements(f.x.s, axis, f.x.s->rank);
    }
    move_pieces(&f, elements(c->y.s, 0, axis), c->n, x, 0);
    return true;
}

static tg_code cat(const tg__call *c, flow (*side)(const tg__call *, int))
{
    const int axis = tg__axis(((const tg_axis_attributes *)c->attributes)->axis, c->y.s->rank);
    int64_t from = 0;
    if (join(c, side, axis, false)) return TG_OK;
    for (int i = 0; i < c->n; i++) {
        const flow f = side(c, i);
        const int64_t length = f.x.s->dim[axis];
        tg__shape s;
        if (f.x.p) move(&f, f.x, part(f.y, axis, (range){ from, length }, &s));
        from += length;
    }
    return TG_OK;
}

FORWARD(cat)
{
    return cat(c, forward_of);
}

BACKWARD(cat)
{
    return cat(c, backward_of);
}
DERIVATIVE(cat)
{
    const int axis = tg__axis(((const tg_axis_attributes *)d->attributes)->axis,
                              tg__shape_of(d, d->y)->rank);
    int64_t at = 0;
    for (int i = 0; i < d->n; i++) {
        const int64_t end = at + tg__shape_of(d, d->x[i])->dim[axis];
        if (d->wanted[i])
            d->dx[i] = d_slice(d, d->g, ATTRIBUTES(slice, .axis = axis, .start = at, .stop = end));
        at = end;
    }
}

CASES(cat, { .n = 3, .x = { TENSOR(-2, 2, 2, 3), TENSOR(-2, 2, 1, 3), TENSOR(-2, 2, 0, 3) } },
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 3, 2), TENSOR(-2, 2, 2, 1, 2) },
        .attributes = ATTRIBUTES(axis, .axis = -2) },
      { .n = 1, .x = { TENSOR(-2, 2, 3) } })

TG_OP(stack, "c*", axis, "operands of one shape side by side along a new axis")
SHAPE(stack)
{
    const tg_axis_attributes *a = c->attributes;
    *y = *c->x[0].s;
    const int axis = new_axis(a->axis, y);
    if (axis < 0) return no_new_axis(c, a->axis, y);
    for (int i = 1; i < c->n; i++) {
        const tg__shape *x = c->x[i].s;
        bool agree = x->rank == y->rank;
        for (int j = 0; agree && j < x->rank; j++) agree = x->dim[j] == y->dim[j];
        if (!agree)
            return tg__fail(c, TG_ERROR_SHAPE, "shapes %s and %s of operands 0 and %d differ",
                            TG__SHAPE_TEXT(y), TG__SHAPE_TEXT(x), i);
    }
    insert_axis(y, axis);
    y->dim[axis] = c->n;
    return TG_OK;
}

static tg_code stack(const tg__call *c, flow (*side)(const tg__call *, int))
{
    const int axis = tg__axis(((const tg_axis_attributes *)c->attributes)->axis, c->y.s->rank);
    if (join(c, side, axis, true)) return TG_OK;
    for (int i = 0; i < c->n; i++) {
        const flow f = side(c, i);
        tg__shape s;
        const tg__array y = part(f.y, axis, (range){ i, 1 }, &s);
        remove_axis(&s, axis);
        if (f.x.p) move(&f, f.x, y);
    }
    return TG_OK;
}

/* Whether y's elements are those of one operand after the other. */
static bool side_by_side(const tg__call *c, const tg__array *x)
{
    const int last = c->y.s->rank - 1;
    const int axis = tg__axis(((const tg_axis_attributes *)c->attributes)->axis, c->y.s->rank);
    bool adjacent = axis == last && c->y.s->type != TG_I64;
    for (int i = 0; i < c->n; i++) adjacent = adjacent && tg__shape_contiguous(x[i].s);
    return adjacent;
}

/* The operands' arrays, or NULL when there is no memory. Few need none. */
static void **arrays_of(const tg__call *c, const tg__array *x, void *few[FEW])
{
    void **const p = c->n <= FEW ? few : tg__scratch(c, (size_t)c->n * sizeof *p);
    for (int i = 0; p && i < c->n; i++) p[i] = x[i].p;
    return p;
}

/* Operands of one element each. */
static void stack_numbers(const tg__call *c)
{
    for (int i = 0; i < c->n; i++) {
        if (c->y.s->type == TG_F32) ((float *)c->y.p)[i] = *(const float *)c->x[i].p;
        else ((double *)c->y.p)[i] = *(const double *)c->x[i].p;
    }
}

static void add_stacked_numbers(const tg__call *c)
{
    for (int i = 0; i < c->n; i++) {
        if (!c->dx[i].p) continue;
        if (c->y.s->type == TG_F32) *(float *)c->dx[i].p += ((const float *)c->g)[i];
        else *(double *)c->dx[i].p += ((const double *)c->g)[i];
    }
}

FORWARD(stack)
{
    if (!side_by_side(c, c->x)) return stack(c, forward_of);
    if (c->x[0].s->n == 1) {
        stack_numbers(c);
        return TG_OK;
    }
    void *few[FEW], **const x = arrays_of(c, c->x, few);
    if (!x) return TG_ERROR_MEMORY;
    c->k->rows.interleave(c->n, c->x[0].s->n, c->y.p, (const void *const *)x);
    return TG_OK;
}

BACKWARD(stack)
{
    if (!side_by_side(c, c->dx)) return stack(c, backward_of);
    if (c->x[0].s->n == 1) {
        add_stacked_numbers(c);
        return TG_OK;
    }
    void *few[FEW], **const dx = arrays_of(c, c->dx, few);
    if (!dx) return TG_ERROR_MEMORY;
    tg__streaming(c, c->y.s)->rows.add_interleaved(c->n, c->x[0].s->n, dx, c->g);
    return TG_OK;
}
DERIVATIVE(stack)
{
    const int axis = ((const tg_axis_attributes *)d->attributes)->axis;
    for (int i = 0; i < d->n; i++)
        if (d->wanted[i])
            d->dx[i] = d_select(d, d->g, ATTRIBUTES(select, .axis = axis, .index = i));
}

CASES(stack, { .n = 2, .x = { TENSOR(-2, 2, 2, 3), TENSOR(-2, 2, 2, 3) } },
      { .n = 3, .x = { SCALAR(-2, 2), SCALAR(-2, 2), SCALAR(-2, 2) } },
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 3), TENSOR(-2, 2, 2, 3) },
        .attributes = ATTRIBUTES(axis, .axis = -1) },
      { .n = 3,
        .x = { TENSOR(-2, 2, 3), TENSOR(-2, 2, 3), TENSOR(-2, 2, 3) },
        .attributes = ATTRIBUTES(axis, .axis = 1) },
      { .n = 2, .x = { TENSOR(-2, 2, 0), TENSOR(-2, 2, 0) } })

TG_OP(roll, "l", roll,
      "moved along one axis by shift positions; what leaves at one end comes in at the other")
SHAPE(roll)
{
    const tg_roll_attributes *a = c->attributes;
    *y = *c->x[0].s;
    return tg__axis(a->axis, y->rank) < 0 ? tg__no_axis(c, a->axis, y) : TG_OK;
}

static tg_code roll(const tg__call *c, flow f)
{
    const tg_roll_attributes *a = c->attributes;
    const int axis = tg__axis(a->axis, f.x.s->rank);
    const int64_t n = f.x.s->dim[axis];
    if (n == 0) return TG_OK;
    const int64_t shift = (a->shift % n + n) % n;
    const range front = { 0, n - shift }, back = { n - shift, shift };
    if (f.adjacent) {
        const tg__strip x[] = { piece(&f, axis, back), piece(&f, axis, front) };
        move_pieces(&f, elements(f.x.s, 0, axis), 2, x, 0);
        return TG_OK;
    }
    tg__shape s[4];
    move(&f, part(f.x, axis, front, &s[0]), part(f.y, axis, (range){ shift, n - shift }, &s[1]));
    move(&f, part(f.x, axis, back, &s[2]), part(f.y, axis, (range){ 0, shift }, &s[3]));
    return TG_OK;
}

FORWARD(roll)
{
    return roll(c, forward_of(c, 0));
}

BACKWARD(roll)
{
    flow f = backward_of(c, 0);
    f.k = c->k; /* parts of rows that begin anywhere: masks are better */
    return roll(c, f);
}
DERIVATIVE(roll)
{
    const tg_roll_attributes *const a = d->attributes;
    const int64_t length = tg__shape_of(d, d->g)->dim[tg__axis(a->axis, tg__shape_of(d, d->g)->rank)];
    const int64_t shift = length ? a->shift % length : 0;
    d->dx[0] = d_roll(d, d->g, ATTRIBUTES(roll, .axis = a->axis, .shift = -shift));
}

CASES(roll, { .n = 1, .x = { TENSOR(-2, 2, 3, 2) } },
      { .n = 1,
        .x = { TENSOR(-2, 2, 2, 5) },
        .attributes = ATTRIBUTES(roll, .axis = -1, .shift = -7) },
      { .n = 1, .x = { TENSOR(-2, 2, 2, 0) }, .attributes = ATTRIBUTES(roll, .axis = 1) })

TG_OP(tile, "l", list, "repeated as a whole along each axis; repeats are aligned to the last axes")
SHAPE(tile)
{
    const tg_list_attributes *a = c->attributes;
    const tg__shape *x = c->x[0].s;
    if (check_count(c)) return TG_ERROR_ARGUMENT;
    *y = (tg__shape){ .type = x->type, .rank = x->rank > a->count ? x->rank : a->count };
    for (int i = 1; i <= y->rank; i++) {
        const int64_t repeats = i <= a->count ? a->item[a->count - i] : 1;
        if (repeats < 0 || repeats > INT32_MAX)
            return tg__fail(c, TG_ERROR_SHAPE, "%lld repeats along axis %d make no sense",
                            (long long)repeats, y->rank - i);
        y->dim[y->rank - i] = repeats * (i <= x->rank ? x->dim[x->rank - i] : 1);
    }
    return TG_OK;
}

/* A tiled array with the axes of the tiles and those within a tile one by one, without those of
   length 1. */
typedef struct tiling {
    int rank;
    int64_t dim[2 * TG_MAX_RANK], x[2 * TG_MAX_RANK], y[2 * TG_MAX_RANK]; /* x, y: strides */
} tiling;

static void tiling_axis(tiling *t, int64_t dim, int64_t x, int64_t y)
{
    if (dim == 1) return;
    t->dim[t->rank] = dim;
    t->x[t->rank] = x;
    t->y[t->rank] = y;
    t->rank++;
}

static tiling tiling_of(const tg__shape *x, const tg__shape *y)
{
    tiling t = { .rank = 0 };
    for (int i = 0; i < y->rank; i++) {
        const int j = i - (y->rank - x->rank);
        const int64_t dim = j < 0 ? 1 : x->dim[j];
        tiling_axis(&t, y->dim[i] / dim, 0, y->stride[i] * dim);
        tiling_axis(&t, dim, j < 0 ? 0 : x->stride[j], y->stride[i]);
    }
    return t;
}

/* How often y repeats x along an axis of y, and how long x is there. */
static int64_t repeats_of(const tg__shape *x, const tg__shape *y, int axis, int64_t *length)
{
    const int i = axis - (y->rank - x->rank);
    *length = i < 0 ? 1 : x->dim[i];
    return y->dim[axis] / *length;
}

/* Whether no more than two axes are repeated, and rows are not too short for a kernel of theirs. */
static bool few_repeats(const tg__shape *x, const tg__shape *y, tg__tiles *t)
{
    enum { SHORT = 8 };
    int repeated = 0;
    *t = (tg__tiles){ 1, 1, 1, 1, 1 };
    for (int i = y->rank - 1; i >= 0; i--) {
        int64_t length;
        const int64_t times = repeats_of(x, y, i, &length);
        if (repeated == 0) t->n *= length;
        else if (repeated == 1) t->rows *= length;
        else t->blocks *= length;
        if (times == 1) continue;
        if (++repeated == 1) t->right = times;
        else t->down = times;
    }
    return repeated <= 2 && t->n >= SHORT;
}

/* The last axes are one movement, as many as a shape can have; for each position of the others
   it is made anew. */
static tg_code tile(flow f)
{
    tg__tiles few;
    if (f.y.s->n == 0) return TG_OK;
    if (f.adjacent && few_repeats(f.x.s, f.y.s, &few)) {
        if (f.backward) f.k->rows.add_tiles(&few, f.x.p, f.y.p);
        else f.k->rows.tile(&few, f.y.p, f.x.p);
        return TG_OK;
    }
    const tiling t = tiling_of(f.x.s, f.y.s);
    const int first = t.rank > TG_MAX_RANK ? t.rank - TG_MAX_RANK : 0;
    tg__shape x = { .type = f.x.s->type, .rank = t.rank - first }, y;
    int64_t blocks = 1;
    for (int i = 0; i < first; i++) blocks *= t.dim[i];
    for (int i = 0; i < x.rank; i++) x.dim[i] = t.dim[first + i];
    tg__shape_finish(&x);
    y = x;
    for (int i = 0; i < x.rank; i++) {
        x.stride[i] = t.x[first + i];
        y.stride[i] = t.y[first + i];
    }
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(x.type);
    for (int64_t block = 0; block < blocks; block++) {
        int64_t at = block;
        ptrdiff_t skip_x = 0, skip_y = 0;
        for (int i = first - 1; i >= 0; i--) {
            skip_x += at % t.dim[i] * t.x[i] * size;
            skip_y += at % t.dim[i] * t.y[i] * size;
            at /= t.dim[i];
        }
        move(&f, (tg__array){ &x, (char *)f.x.p + skip_x },
             (tg__array){ &y, (char *)f.y.p + skip_y });
    }
    return TG_OK;
}

FORWARD(tile)
{
    return tile(forward_of(c, 0));
}

BACKWARD(tile)
{
    return tile(backward_of(c, 0));
}
/* One axis after the other: what it was repeated by becomes an axis of its own and is summed. */
DERIVATIVE(tile)
{
    const tg__shape x = *tg__shape_of(d, d->x[0]), y = *tg__shape_of(d, d->y);
    tg__shape now = y;
    tg_value g = d->g;
    for (int i = 0; i < y.rank; i++) {
        const int j = i - (y.rank - x.rank);
        now.dim[i] = j < 0 ? 1 : x.dim[j];
        if (y.dim[i] == now.dim[i]) continue;
        if (now.dim[i] == 0 || y.n == 0) return;
        int64_t dim[] = { 1, y.dim[i] / now.dim[i], now.dim[i], 1 };
        for (int k = 0; k < i; k++) dim[0] *= now.dim[k];
        for (int k = i + 1; k < y.rank; k++) dim[3] *= now.dim[k];
        g = d_sum(d, tg__reshaped(d, g, 4, dim), ATTRIBUTES(reduce, .axis = 1));
    }
    d->dx[0] = tg__reshaped(d, g, x.rank, x.dim);
}

CASES(tile,
      { .n = 1,
        .x = { TENSOR(-2, 2, 2, 3) },
        .attributes = ATTRIBUTES(list, .count = 3, .item = { 2, 1, 3 }) },
      { .n = 1,
        .x = { TENSOR(-2, 2, 2, 2, 1, 2, 2, 2) },
        .attributes = ATTRIBUTES(list, .count = 6, .item = { 2, 2, 2, 2, 2, 2 }) },
      { .n = 1, .x = { SCALAR(-2, 2) }, .attributes = ATTRIBUTES(list, .count = 1, .item = { 4 }) },
      { .n = 1, .x = { TENSOR(-2, 2, 3) } },
      { .n = 1,
        .x = { TENSOR(-2, 2, 2, 3) },
        .attributes = ATTRIBUTES(list, .count = 2, .item = { 2, 0 }) })

TG_OP(pad, "l", pad, "with a value before and after one axis")
SHAPE(pad)
{
    const tg_pad_attributes *a = c->attributes;
    *y = *c->x[0].s;
    const int axis = tg__axis(a->axis, y->rank);
    if (axis < 0) return tg__no_axis(c, a->axis, y);
    if (a->before < 0 || a->after < 0 || a->before > INT32_MAX || a->after > INT32_MAX)
        return tg__fail(c, TG_ERROR_SHAPE, "%lld elements before and %lld after axis %d",
                        (long long)a->before, (long long)a->after, axis);
    y->dim[axis] += a->before + a->after;
    return TG_OK;
}

static void fill(const tg__kernels *k, tg__array y, double value)
{
    const float single = (float)value;
    tg__shape s = *y.s;
    for (int i = 0; i < s.rank; i++) s.stride[i] = 0;
    const void *const p = s.type == TG_F32 ? (const void *)&single : &value;
    tg__copy(k, y, (tg__array){ &s, (void *)(uintptr_t)p });
}

static tg_code pad(const tg__call *c, flow f)
{
    const tg_pad_attributes *a = c->attributes;
    const int axis = tg__axis(a->axis, f.y.s->rank);
    const int64_t n = f.x.s->dim[axis];
    if (f.adjacent) {
        const int64_t m = elements(f.x.s, 0, axis), inner = elements(f.x.s, axis + 1, f.x.s->rank);
        const tg__strip x = piece(&f, axis, (range){ 0, n });
        const tg__strip before = { NULL, a->before * inner, 0 }, after = { NULL, a->after * inner, 0 };
        const tg__rows y = { (char *)f.y.p + (size_t)before.n * tg__type_size(f.y.s->type),
                             before.n + x.n + after.n, 1 };
        if (f.backward) f.k->rows.add(m, x.n, (tg__rows){ x.p, x.row, 1 }, y);
        else move_pieces(&f, m, 3, (const tg__strip[]){ before, x, after }, a->value);
        return TG_OK;
    }
    tg__shape s[3];
    move(&f, f.x, part(f.y, axis, (range){ a->before, n }, &s[0]));
    if (f.backward) return TG_OK;
    fill(c->k, part(f.y, axis, (range){ 0, a->before }, &s[1]), a->value);
    fill(c->k, part(f.y, axis, (range){ a->before + n, a->after }, &s[2]), a->value);
    return TG_OK;
}

FORWARD(pad)
{
    return pad(c, forward_of(c, 0));
}

BACKWARD(pad)
{
    return pad(c, backward_of(c, 0));
}
DERIVATIVE(pad)
{
    const tg_pad_attributes *const a = d->attributes;
    const tg__shape *const x = tg__shape_of(d, d->x[0]);
    const int64_t end = a->before + x->dim[tg__axis(a->axis, x->rank)];
    d->dx[0] =
        d_slice(d, d->g, ATTRIBUTES(slice, .axis = a->axis, .start = a->before, .stop = end));
}

CASES(pad,
      { .n = 1,
        .x = { TENSOR(-2, 2, 2, 3) },
        .attributes = ATTRIBUTES(pad, .before = 1, .after = 2, .value = 0.5) },
      { .n = 1,
        .x = { TENSOR(-2, 2, 2, 3) },
        .attributes = ATTRIBUTES(pad, .axis = 0, .after = 1) },
      { .n = 1, .x = { TENSOR(-2, 2, 3) } },
      { .n = 1, .x = { TENSOR(-2, 2, 0) }, .attributes = ATTRIBUTES(pad, .before = 2) })

static tg_code triangle_shape(const tg__call *c, tg__shape *y)
{
    *y = *c->x[0].s;
    if (y->rank >= 2) return TG_OK;
    return tg__fail(c, TG_ERROR_SHAPE, "shape %s has no two axes", TG__SHAPE_TEXT(y));
}

/* Moves, of each row i of the last two axes, the columns up to i + offset (lower) or from it on. */
static tg_code triangle(const tg__call *c, flow f, bool lower)
{
    const int64_t offset = ((const tg_offset_attributes *)c->attributes)->offset;
    const int row = f.x.s->rank - 2, column = row + 1;
    const int64_t m = f.x.s->dim[row], n = f.x.s->dim[column];
    const int64_t away = offset < -m  ? -m
                         : offset > n ? n
                                      : offset; /* beyond, nothing changes any more */
    if (tg__shape_contiguous(f.x.s)) {
        const tg__triangles t = { f.x.s->n > 0 ? f.x.s->n / (m * n) : 0, m, n, away, lower };
        if (f.backward) f.k->rows.add_triangles(&t, f.x.p, f.y.p);
        else f.k->rows.copy_triangles(&t, f.y.p, f.x.p);
        return TG_OK;
    }
    if (!f.backward) fill(f.k, f.y, 0.0);
    for (int64_t i = 0; i < m; i++) {
        const int64_t edge = i + away + lower, inside = edge < 0 ? 0 : edge > n ? n : edge;
        const range columns = lower ? (range){ 0, inside } : (range){ inside, n - inside };
        tg__shape s[4];
        move(&f, part(part(f.x, row, (range){ i, 1 }, &s[0]), column, columns, &s[1]),
             part(part(f.y, row, (range){ i, 1 }, &s[2]), column, columns, &s[3]));
    }
    return TG_OK;
}

TG_OP(tril, "l", offset,
      "the lower triangles of the last two axes, up to the diagonal given; zero above it")
SHAPE(tril)
{
    return triangle_shape(c, y);
}

FORWARD(tril)
{
    return triangle(c, forward_of(c, 0), true);
}

BACKWARD(tril)
{
    return triangle(c, backward_of(c, 0), true);
}
DERIVATIVE(tril) { d->dx[0] = d_tril(d, d->g, d->attributes); }

CASES(tril, { .n = 1, .x = { TENSOR(-2, 2, 2, 3, 3) } },
      { .n = 1, .x = { TENSOR(-2, 2, 4, 3) }, .attributes = ATTRIBUTES(offset, .offset = -2) },
      { .n = 1, .x = { TENSOR(-2, 2, 3, 4) }, .attributes = ATTRIBUTES(offset, .offset = 1) },
      { .n = 1, .x = { TENSOR(-2, 2, 3, 0) } })

TG_OP(triu, "l", offset,
      "the upper triangles of the last two axes, from the diagonal given on; zero below it")
SHAPE(triu)
{
    return triangle_shape(c, y);
}

FORWARD(triu)
{
    return triangle(c, forward_of(c, 0), false);
}

BACKWARD(triu)
{
    return triangle(c, backward_of(c, 0), false);
}
DERIVATIVE(triu) { d->dx[0] = d_triu(d, d->g, d->attributes); }

CASES(triu, { .n = 1, .x = { TENSOR(-2, 2, 2, 3, 3) } },
      { .n = 1, .x = { TENSOR(-2, 2, 4, 3) }, .attributes = ATTRIBUTES(offset, .offset = -2) },
      { .n = 1, .x = { TENSOR(-2, 2, 3, 4) }, .attributes = ATTRIBUTES(offset, .offset = 1) },
      { .n = 1, .x = { TENSOR(-2, 2, 0, 3) } })

/* ---- parts of derivatives -------------------------------------------------------------------- */

/* Any view, seen from the recorded derivative: x, whole and adjacent, is looked at with the
   dimensions, strides and offset given. The caller has them from a view of an array of x's shape. */
TG_PART_VIEW(strided, strided, "elements of x by strides")
VIEW(strided)
{
    const tg_strided_attributes *const a = c->attributes;
    const tg__shape *const x = c->x[0].s;
    if (!tg__shape_contiguous(x)) return TG__COPY;
    *y = (tg__shape){ .type = x->type, .rank = a->rank };
    for (int i = 0; i < a->rank; i++) y->dim[i] = a->dim[i], y->stride[i] = a->stride[i];
    *offset = a->offset;
    return TG_OK;
}
#define STRIDED_CASE                                                                               \
    ATTRIBUTES(strided, .rank = 2, .whole_rank = 1, .offset = 1, .dim = { 2, 3 },                  \
               .stride = { 0, 2 }, .whole = { 6 })
CASES(strided, { .n = 1, .x = { TENSOR(-2, 2, 6) }, .attributes = STRIDED_CASE })

/* The elements of whole that a call of strided_sum adds to. */
static tg__shape strided_shape(const tg__call *c, tg_type type)
{
    const tg_strided_attributes *const a = c->attributes;
    tg__shape s = { .type = type, .rank = a->rank };
    for (int i = 0; i < a->rank; i++) s.dim[i] = a->dim[i];
    tg__shape_finish(&s);
    for (int i = 0; i < a->rank; i++) s.stride[i] = a->stride[i];
    return s;
}

TG_PART(strided_sum, "l", strided, "zeros, with x added to the elements that strided would show")
SHAPE(strided_sum)
{
    const tg_strided_attributes *const a = c->attributes;
    y->type = c->x[0].s->type;
    y->rank = a->whole_rank;
    for (int i = 0; i < y->rank; i++) y->dim[i] = a->whole[i];
    return TG_OK;
}
FORWARD(strided_sum)
{
    const tg__shape s = strided_shape(c, c->y.s->type);
    const size_t skip = (size_t)((const tg_strided_attributes *)c->attributes)->offset;
    c->k->fill(c->y.s->n, c->y.p, 1, 0);
    tg__add(c->k, (tg__array){ &s, (char *)c->y.p + skip * tg__type_size(s.type) }, c->x[0]);
    return TG_OK;
}
BACKWARD(strided_sum)
{
    const tg__shape s = strided_shape(c, c->y.s->type);
    const size_t skip = (size_t)((const tg_strided_attributes *)c->attributes)->offset;
    char *const g = (char *)(uintptr_t)c->g + skip * tg__type_size(s.type);
    tg__add(c->k, c->dx[0], (tg__array){ &s, g });
    return TG_OK;
}
DERIVATIVE(strided_sum) { d->dx[0] = d_strided(d, d->g, d->attributes); }
CASES(strided_sum, { .n = 1, .x = { TENSOR(-2, 2, 2, 3) }, .attributes = STRIDED_CASE })
