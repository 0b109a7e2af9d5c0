/* Matrix products. All are stacks of products of matrices (kernels/matmul.h): a vector is a matrix
   with one row or one column, batch axes come first and broadcast. Gradients are products of the
   same kind with transposed operands; that of a broadcast operand is a stack whose results fall on
   the same place and add up. */
#include <string.h>

#include "kernels/blas.h"
#include "ops/op.h"

/* ---- stacks of products ---------------------------------------------------------------------- */

/* Makes count products, with strides c, a, b from one to the next, a single one where the rows of a
   and c, the columns of b and c, or the columns of a and the rows of b go on from one to the next.
   Where there is one row, or one column, the next may be anywhere. */
static bool fold(tg__product *p, int64_t count, ptrdiff_t c, ptrdiff_t a, ptrdiff_t b)
{
    const bool adds = p->d.p == p->c.p;
    const bool whole = adds || !p->d.p; /* else d is one row for all rows */
    if (count > 1 && c && p->m == 1 && b == 0) p->a.row = a, p->c.row = c;
    if (count > 1 && c && p->n == 1 && a == 0) p->b.column = b, p->c.column = c;
    if (b == 0 && a == p->m * p->a.row && c == p->m * p->c.row) p->m *= count;
    else if (whole && a == 0 && b == p->n * p->b.column && c == p->n * p->c.column) p->n *= count;
    else if (adds && c == 0 && a == p->k * p->a.column && b == p->k * p->b.row) p->k *= count;
    else return count == 1;
    if (adds) p->d = p->c;
    return true;
}

/* Computes p for every element of the batch axes, which have the same dimensions for c, a and b.
   NULL: once. fresh: bytes of what p adds to and is to overwrite; 0: none. */
static tg_code multiply(const tg__call *c, tg__product p, const tg__shape *const *axes,
                        size_t fresh)
{
    tg__walk w;
    int64_t count = 1;
    bool once = true;
    if (axes && axes[0]->n > 0) {
        const tg__array all[] = { { axes[0], p.c.p }, { axes[1], p.a.p }, { axes[2], p.b.p } };
        tg__walk_begin(&w, 3, all);
        count = fold(&p, w.n, w.stride[0], w.stride[1], w.stride[2]) ? 1 : w.n;
        once = count == 1 && w.n == axes[0]->n;
    }
    if (axes && axes[0]->n == 0) {
        if (fresh) memset(p.c.p, 0, fresh);
        return TG_OK;
    }
    if (fresh && once) p.d = (tg__matrix){ 0 };
    else if (fresh) memset(p.c.p, 0, fresh);
    const size_t bytes = tg__multiply_scratch(c->k, c->y.s->type, &p);
    void *const scratch = bytes ? tg__scratch(c, bytes) : NULL;
    if (bytes && !scratch) return TG_ERROR_MEMORY;
    if (axes) do tg__multiply_row(c->k, c->y.s->type, p, &w, count, scratch); while (tg__walk_next(&w));
    else tg__multiply(c->k, c->y.s->type, &p, scratch);
    return TG_OK;
}

/* ---- operands as matrices -------------------------------------------------------------------- */

/* y = x w: the product of two matrices, and the batch axes of y, x and w where there are any. */
typedef struct stack {
    tg__product p;
    bool batched;
    tg__shape y, x, w;
} stack;

/* x as a matrix; a vector is a row. */
static tg__matrix matrix(tg__array x)
{
    const int r = x.s->rank;
    return (tg__matrix){ x.p, r > 1 ? x.s->stride[r - 2] : 0, x.s->stride[r - 1] };
}

static tg__matrix column(tg__array x)
{
    return tg__transposed(matrix(x));
}

static int64_t rows(const tg__shape *x)
{
    return x->rank > 1 ? x->dim[x->rank - 2] : 1;
}

static int64_t columns(const tg__shape *x)
{
    return x->dim[x->rank - 1];
}

static tg__shape batch_axes(const tg__shape *x)
{
    tg__shape s = { .type = x->type, .rank = x->rank > 2 ? x->rank - 2 : 0 };
    for (int i = 0; i < s.rank; i++) s.dim[i] = x->dim[i], s.stride[i] = x->stride[i];
    return s;
}

/* Adds to s, whose product is complete, the batch axes. y's matrices lie one behind the other. */
static void find_batch(const tg__call *c, stack *s)
{
    const tg__shape *const xs = c->x[0].s, *const ws = c->x[1].s;
    s->batched = xs->rank > 2 || ws->rank > 2;
    if (!s->batched) return;
    const tg__shape x = batch_axes(xs), w = batch_axes(ws);
    tg__broadcast(&x, &w, &s->y); /* the shape rule has seen to it that they do */
    s->x = tg__broadcast_to(&x, &s->y);
    s->w = tg__broadcast_to(&w, &s->y);
    for (int i = 0; i < s->y.rank; i++) s->y.stride[i] *= s->p.m * s->p.n;
}

static tg_code forward(const tg__call *c, const stack *s)
{
    return multiply(c, s->p, s->batched ? (const tg__shape *const[]){ &s->y, &s->x, &s->w } : NULL,
                    0);
}

/* Bytes of the gradient by operand i if it is to be overwritten; else 0. */
static size_t fresh(const tg__call *c, int i)
{
    return c->fresh ? (size_t)c->x[i].s->n * tg__type_size(c->x[i].s->type) : 0;
}

/* The batch axes of an array, behind one for the planes, with a stride of step: several cotangents are
   a batch of gradients. */
static tg__shape in_planes(const tg__call *c, const tg__shape *batch, size_t step)
{
    tg__shape s = batch ? *batch : (tg__shape){ .type = c->y.s->type, .n = 1 };
    if (c->planes < 2) return s;
    for (int i = s.rank++; i > 0; i--) s.dim[i] = s.dim[i - 1], s.stride[i] = s.stride[i - 1];
    s.dim[0] = (int64_t)c->planes;
    s.stride[0] = (int64_t)step;
    s.n *= s.dim[0];
    return s;
}

/* The product that is added to the gradient by operand `by`, its batch axes y, those of the gradient
   g, and those of the other operand x. NULL: there are none. */
static tg_code multiply_back(const tg__call *c, tg__product p, int by, bool gradient_first,
                             const tg__shape *y, const tg__shape *g, const tg__shape *x)
{
    if (!y && c->planes < 2) return multiply(c, p, NULL, fresh(c, by));
    const tg__shape to = in_planes(c, y, c->planes > 1 ? c->steps[by] : 0),
                    from = in_planes(c, g, (size_t)c->y.s->n), other = in_planes(c, x, 0);
    const tg__shape *const a = gradient_first ? &from : &other, *const b = gradient_first ? &other : &from;
    return multiply(c, p, (const tg__shape *const[]){ &to, a, b }, fresh(c, by));
}

/* dx += g w' and dw += x' g, or = where they are fresh. */
static tg_code backward(const tg__call *c, const stack *s)
{
    const tg__shape *const y = s->batched ? &s->y : NULL, *const x = s->batched ? &s->x : NULL,
                           *const w = s->batched ? &s->w : NULL;
    const tg__product *const p = &s->p;
    const tg__matrix g = { (void *)c->g, p->n, 1 };
    const tg__matrix dx = { c->dx[0].p, p->a.row, p->a.column };
    const tg__matrix dw = { c->dx[1].p, p->b.row, p->b.column };
    tg_code code = TG_OK;
    if (dx.p)
        code = multiply_back(c, (tg__product){ p->m, p->k, p->n, g, tg__transposed(p->b), dx, dx },
                             0, true, x, y, w);
    if (dw.p && code == TG_OK)
        code = multiply_back(c, (tg__product){ p->k, p->n, p->m, tg__transposed(p->a), g, dw, dw },
                             1, false, w, y, x);
    return code;
}

/* ---- matmul and its special cases ------------------------------------------------------------ */

TG_OP_WRITES(matmul, "ll", none, "matrix product, (..., m, k) x (..., k, n) -> (..., m, n)")

static tg_code scalar_operand(const tg__call *c)
{
    return tg__fail(c, TG_ERROR_SHAPE,
                    "shapes %s and %s: a scalar is no matrix; mul multiplies by it",
                    TG__SHAPE_TEXT(c->x[0].s), TG__SHAPE_TEXT(c->x[1].s));
}

static tg_code disagree(const tg__call *c)
{
    const tg__shape *const x = c->x[0].s, *const w = c->x[1].s;
    return tg__fail(
        c, TG_ERROR_SHAPE, "shapes %s and %s do not agree: %lld %s, %lld %s", TG__SHAPE_TEXT(x),
        TG__SHAPE_TEXT(w), (long long)columns(x), x->rank > 1 ? "columns" : "elements",
        (long long)(w->rank > 1 ? rows(w) : w->dim[0]), w->rank > 1 ? "rows" : "elements");
}

/* Makes y the common batch axes. */
static tg_code batch_shape(const tg__call *c, tg__shape *y)
{
    const tg__shape x = batch_axes(c->x[0].s), w = batch_axes(c->x[1].s);
    if (tg__broadcast(&x, &w, y)) return TG_OK;
    return tg__fail(c, TG_ERROR_SHAPE, "shapes %s and %s do not broadcast: batch axes %s, %s",
                    TG__SHAPE_TEXT(c->x[0].s), TG__SHAPE_TEXT(c->x[1].s), TG__SHAPE_TEXT(&x),
                    TG__SHAPE_TEXT(&w));
}

SHAPE(matmul)
{
    const tg__shape *const x = c->x[0].s, *const w = c->x[1].s;
    if (x->rank == 0 || w->rank == 0) return scalar_operand(c);
    if (columns(x) != (w->rank > 1 ? rows(w) : w->dim[0])) return disagree(c);
    y->rank = 0;
    if (x->rank > 2 || w->rank > 2) {
        const tg_code code = batch_shape(c, y);
        if (code != TG_OK) return code;
    }
    y->type = x->type;
    if (x->rank > 1) y->dim[y->rank++] = rows(x);
    if (w->rank > 1) y->dim[y->rank++] = columns(w);
    return TG_OK;
}

static void matmul_stack(const tg__call *c, stack *s)
{
    const tg__array x = c->x[0], w = c->x[1];
    const int64_t n = w.s->rank > 1 ? columns(w.s) : 1;
    const tg__matrix right = w.s->rank > 1 ? matrix(w) : column(w);
    s->p = (tg__product){ rows(x.s), n, columns(x.s), matrix(x), right, { c->y.p, n, 1 }, { 0 } };
    find_batch(c, s);
}

FORWARD(matmul)
{
    stack s;
    matmul_stack(c, &s);
    return forward(c, &s);
}

BACKWARD(matmul)
{
    stack s;
    matmul_stack(c, &s);
    return backward(c, &s);
}

/* Vectors become matrices with one row or column; g gets the axis that y has not. */
DERIVATIVE(matmul)
{
    const tg_swap_attributes *const swap = ATTRIBUTES(swap, .axis0 = -2);
    const bool row = tg__shape_of(d, d->x[0])->rank == 1, col = tg__shape_of(d, d->x[1])->rank == 1;
    tg_value a = d->x[0], b = d->x[1], g = d->g;
    if (row) a = d_unsqueeze(d, a, ATTRIBUTES(axis, .axis = 0));
    if (col) b = d_unsqueeze(d, b, ATTRIBUTES(axis, .axis = -1));
    if (col) g = d_unsqueeze(d, g, ATTRIBUTES(axis, .axis = -1));
    if (row) g = d_unsqueeze(d, g, ATTRIBUTES(axis, .axis = -2));
    if (d->wanted[0]) d->dx[0] = d_matmul(d, g, d_transpose(d, b, swap));
    if (!d->wanted[1]) return;
    const tg_value db = d_matmul(d, d_transpose(d, a, swap), g);
    d->dx[1] = col ? d_squeeze(d, db, ATTRIBUTES(every, .axis = -1)) : db;
}

CASES(matmul,
      { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(-2, 2, 4, 5) } },
      { .n = 2, .x = { TENSOR(-2, 2, 1, 1), TENSOR(-2, 2, 1, 1) } },
      { .n = 2, .x = { TENSOR(-2, 2, 7), TENSOR(-2, 2, 7) } },
      { .n = 2, .x = { TENSOR(-2, 2, 1), TENSOR(-2, 2, 1) } },
      { .n = 2, .x = { TENSOR(-2, 2, 5, 3), TENSOR(-2, 2, 3) } },
      { .n = 2, .x = { TENSOR(-2, 2, 20, 2), TENSOR(-2, 2, 2) } },
      { .n = 2, .x = { TENSOR(-2, 2, 3), TENSOR(-2, 2, 3, 5) } },
      { .n = 2, .x = { TENSOR(-2, 2, 3, 40), TENSOR(-2, 2, 40, 2) } },
      { .n = 2, .x = { TENSOR(-2, 2, 13, 17), TENSOR(-2, 2, 17, 33) } },
      { .n = 2, .x = { TENSOR(-2, 2, 2, 3, 4), TENSOR(-2, 2, 2, 4, 2) } },
      { .n = 2, .x = { TENSOR(-2, 2, 2, 3, 4), TENSOR(-2, 2, 4, 2) } },
      { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(-2, 2, 2, 4, 2) } },
      { .n = 2, .x = { TENSOR(-2, 2, 2, 1, 3, 4), TENSOR(-2, 2, 3, 4, 2) } },
      { .n = 2, .x = { TENSOR(-2, 2, 4), TENSOR(-2, 2, 3, 4, 2) } },
      { .n = 2, .x = { TENSOR(-2, 2, 3, 2, 4), TENSOR(-2, 2, 4) } },
      { .n = 2, .x = { TENSOR(-2, 2, 2, 3, 0), TENSOR(-2, 2, 0, 4) } },
      { .n = 2, .x = { TENSOR(-2, 2, 0, 3), TENSOR(-2, 2, 3, 2) } },
      { .n = 2, .x = { TENSOR(-2, 2, 0, 2, 3), TENSOR(-2, 2, 3, 2) } })

TG_OP(dot, "ll", none, "inner product of two vectors, (k) x (k) -> scalar")

static tg_code ranks_wrong(const tg__call *c, const char *wanted)
{
    return tg__fail(c, TG_ERROR_SHAPE, "takes %s, not shapes %s and %s", wanted,
                    TG__SHAPE_TEXT(c->x[0].s), TG__SHAPE_TEXT(c->x[1].s));
}

SHAPE(dot)
{
    if (c->x[0].s->rank != 1 || c->x[1].s->rank != 1) return ranks_wrong(c, "two vectors");
    return matmul_shape(c, y);
}

FORWARD(dot)
{
    return matmul_forward(c);
}

/* dx[i] += g times the other operand, which has the same stride. */
BACKWARD(dot)
{
    const double one = 1;
    double g;
    if (c->x[0].s->stride[0] != c->x[1].s->stride[0]) return matmul_backward(c);
    c->k->reduce.load(1, &g, c->g);
    for (int i = 0; i < 2; i++) {
        const tg__array other = c->x[1 - i];
        const tg__tile t = tg__row_tile(other.s->n, other.p, other.s->stride[0]);
        if (c->dx[i].p) tg__streaming(c, other.s)->reduce.spread_scaled(&t, c->dx[i].p, &g, &one, 0);
    }
    return TG_OK;
}

DERIVATIVE(dot)
{
    if (d->wanted[0]) d->dx[0] = d_mul(d, d->g, d->x[1]);
    if (d->wanted[1]) d->dx[1] = d_mul(d, d->g, d->x[0]);
}

CASES(dot,
      { .n = 2, .x = { TENSOR(-2, 2, 100), TENSOR(-2, 2, 100) } },
      { .n = 2, .x = { TENSOR(-2, 2, 1), TENSOR(-2, 2, 1) } },
      { .n = 2, .x = { TENSOR(-2, 2, 0), TENSOR(-2, 2, 0) } })

TG_OP_WRITES(mv, "ll", none, "product of a matrix and a vector, (m, k) x (k) -> (m)")

SHAPE(mv)
{
    if (c->x[0].s->rank != 2 || c->x[1].s->rank != 1)
        return ranks_wrong(c, "a matrix and a vector");
    return matmul_shape(c, y);
}

FORWARD(mv)
{
    return matmul_forward(c);
}

BACKWARD(mv)
{
    return matmul_backward(c);
}

DERIVATIVE(mv)
{
    if (d->wanted[0]) d->dx[0] = d_outer(d, d->g, d->x[1]);
    if (d->wanted[1])
        d->dx[1] = d_mv(d, d_transpose(d, d->x[0], ATTRIBUTES(swap, .axis0 = 0)), d->g);
}

CASES(mv,
      { .n = 2, .x = { TENSOR(-2, 2, 3, 100), TENSOR(-2, 2, 100) } },
      { .n = 2, .x = { TENSOR(-2, 2, 100, 2), TENSOR(-2, 2, 2) } },
      { .n = 2, .x = { TENSOR(-2, 2, 1, 1), TENSOR(-2, 2, 1) } },
      { .n = 2, .x = { TENSOR(-2, 2, 3, 0), TENSOR(-2, 2, 0) } },
      { .n = 2, .x = { TENSOR(-2, 2, 0, 3), TENSOR(-2, 2, 3) } })

TG_OP_WRITES(outer, "ll", none, "all products of the elements of two vectors, (m) x (n) -> (m, n)")

SHAPE(outer)
{
    const tg__shape *const x = c->x[0].s, *const w = c->x[1].s;
    if (x->rank != 1 || w->rank != 1) return ranks_wrong(c, "two vectors");
    y->type = x->type;
    y->rank = 2;
    y->dim[0] = x->dim[0];
    y->dim[1] = w->dim[0];
    return TG_OK;
}

static void outer_stack(const tg__call *c, stack *s)
{
    const int64_t m = columns(c->x[0].s), n = columns(c->x[1].s);
    s->p = (tg__product){ m, n, 1, column(c->x[0]), matrix(c->x[1]), { c->y.p, n, 1 }, { 0 } };
    s->batched = false;
}

FORWARD(outer)
{
    stack s;
    outer_stack(c, &s);
    return forward(c, &s);
}

/* g comes from memory once: what some of its rows add to both gradients is computed while they are in a cache. */
BACKWARD(outer)
{
    enum { LEAST_ROWS = 8 };
    stack s;
    outer_stack(c, &s);
    const int64_t m = s.p.m;
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(c->y.s->type), row = s.p.n * size;
    const int64_t fit = row ? TG__FIRST_CACHE / row : 0, most = fit > LEAST_ROWS ? fit : LEAST_ROWS;
    if (!c->dx[0].p || !c->dx[1].p || c->planes > 1 || m <= most) return backward(c, &s);
    tg__array dx[] = { c->dx[0], c->dx[1] };
    tg__call part = *c;
    part.dx = dx;
    part.fresh = false;
    for (int by = 0; by < 2 && c->fresh; by++) memset(dx[by].p, 0, fresh(c, by));
    tg_code code = TG_OK;
    for (int64_t i = 0; i < m && code == TG_OK; i += most) {
        const ptrdiff_t at = i * s.p.a.row * size;
        s.p.m = m - i < most ? m - i : most;
        s.p.a.p = (char *)c->x[0].p + at;
        dx[0].p = (char *)c->dx[0].p + at;
        part.g = (const char *)c->g + i * row;
        code = backward(&part, &s);
    }
    return code;
}

DERIVATIVE(outer)
{
    if (d->wanted[0]) d->dx[0] = d_mv(d, d->g, d->x[1]);
    if (d->wanted[1])
        d->dx[1] = d_mv(d, d_transpose(d, d->g, ATTRIBUTES(swap, .axis0 = 0)), d->x[0]);
}

CASES(outer,
      { .n = 2, .x = { TENSOR(-2, 2, 3), TENSOR(-2, 2, 20) } },
      { .n = 2, .x = { TENSOR(-2, 2, 1), TENSOR(-2, 2, 1) } },
      { .n = 2, .x = { TENSOR(-2, 2, 0), TENSOR(-2, 2, 3) } })

/* ---- linear ---------------------------------------------------------------------------------- */

TG_OP_WRITES(linear, "lll", none, "affine map of the last axis, x (..., p) W (c, p)' + b (c)")

SHAPE(linear)
{
    const tg__shape *const x = c->x[0].s, *const w = c->x[1].s, *const b = c->x[2].s;
    if (x->rank == 0 || w->rank != 2 || b->rank != 1)
        return tg__fail(c, TG_ERROR_SHAPE,
                        "takes x (..., p), W (c, p) and b (c), not shapes %s, %s and %s",
                        TG__SHAPE_TEXT(x), TG__SHAPE_TEXT(w), TG__SHAPE_TEXT(b));
    if (columns(x) != columns(w))
        return tg__fail(c, TG_ERROR_SHAPE,
                        "shapes %s of x and %s of W do not agree: %lld columns, %lld columns",
                        TG__SHAPE_TEXT(x), TG__SHAPE_TEXT(w), (long long)columns(x),
                        (long long)columns(w));
    if (b->dim[0] != w->dim[0])
        return tg__fail(
            c, TG_ERROR_SHAPE, "shapes %s of W and %s of b do not agree: %lld rows, %lld elements",
            TG__SHAPE_TEXT(w), TG__SHAPE_TEXT(b), (long long)w->dim[0], (long long)b->dim[0]);
    y->type = x->type;
    y->rank = x->rank;
    for (int i = 0; i + 1 < x->rank; i++) y->dim[i] = x->dim[i];
    y->dim[y->rank - 1] = w->dim[0];
    return TG_OK;
}

static void linear_stack(const tg__call *c, stack *s)
{
    const tg__array x = c->x[0], w = c->x[1], b = c->x[2];
    const int64_t n = w.s->dim[0];
    s->p = (tg__product){ rows(x.s), n, columns(x.s), matrix(x), tg__transposed(matrix(w)),
                          { c->y.p, n, 1 }, { b.p, 0, b.s->stride[0] } };
    find_batch(c, s);
}

FORWARD(linear)
{
    stack s;
    linear_stack(c, &s);
    return forward(c, &s);
}

/* db is the sum of g's rows: a product with a row of ones, which one element with strides 0 stands
   for. */
static tg_code linear_backward_bias(const tg__call *c)
{
    static const double one_f64 = 1;
    static const float one_f32 = 1;
    const int64_t n = c->x[2].s->dim[0];
    if (n == 0) return TG_OK;
    const tg__matrix ones = { c->y.s->type == TG_F32 ? (void *)&one_f32 : (void *)&one_f64, 0, 0 };
    const tg__matrix g = { (void *)c->g, n, 1 }, db = { c->dx[2].p, 0, c->x[2].s->stride[0] };
    return multiply_back(c, (tg__product){ 1, n, c->y.s->n / n, ones, g, db, db }, 2, false, NULL,
                         NULL, NULL);
}

BACKWARD(linear)
{
    stack s;
    linear_stack(c, &s);
    const tg_code code = backward(c, &s);
    return code == TG_OK && c->dx[2].p ? linear_backward_bias(c) : code;
}

DERIVATIVE(linear)
{
    const int64_t p = tg__shape_of(d, d->x[1])->dim[1], c = tg__shape_of(d, d->x[1])->dim[0];
    int64_t n = 1;
    const tg__shape *const x = tg__shape_of(d, d->x[0]);
    for (int i = 0; i + 1 < x->rank; i++) n *= x->dim[i];
    if (d->wanted[0]) d->dx[0] = d_matmul(d, d->g, d->x[1]);
    if (d->wanted[1]) {
        const tg_value g = tg__reshaped(d, d->g, 2, (const int64_t[]){ n, c });
        const tg_value rows = tg__reshaped(d, d->x[0], 2, (const int64_t[]){ n, p });
        d->dx[1] = d_matmul(d, d_transpose(d, g, ATTRIBUTES(swap, .axis0 = 0)), rows);
    }
    if (d->wanted[2]) d->dx[2] = d->g;
}

CASES(linear,
      { .n = 3, .x = { TENSOR(-2, 2, 4), TENSOR(-2, 2, 3, 4), TENSOR(-2, 2, 3) } },
      { .n = 3, .x = { TENSOR(-2, 2, 5, 4), TENSOR(-2, 2, 3, 4), TENSOR(-2, 2, 3) } },
      { .n = 3, .x = { TENSOR(-2, 2, 30, 2), TENSOR(-2, 2, 20, 2), TENSOR(-2, 2, 20) } },
      { .n = 3, .x = { TENSOR(-2, 2, 2, 3, 4), TENSOR(-2, 2, 5, 4), TENSOR(-2, 2, 5) } },
      { .n = 3, .x = { TENSOR(-2, 2, 1), TENSOR(-2, 2, 1, 1), TENSOR(-2, 2, 1) } },
      { .n = 3, .x = { TENSOR(-2, 2, 2, 0), TENSOR(-2, 2, 3, 0), TENSOR(-2, 2, 3) } },
      { .n = 3, .x = { TENSOR(-2, 2, 0, 4), TENSOR(-2, 2, 3, 4), TENSOR(-2, 2, 3) } })
