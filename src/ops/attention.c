/* Scaled dot-product attention: softargmax(scale q k') v, where the axes before the last two are a
   batch (samples, heads) and broadcast.

   Queries are taken in blocks, whose rows of weights are whole: memory for one block by all keys,
   never for all queries by all keys. Backward makes the weights again, unless a program keeps them, where they
   are few. A causal block leaves out the keys behind its last query. */
#include "kernels/blas.h"
#include "ops/op.h"

#include <math.h>
#include <string.h>

enum { BLOCK_ELEMENTS = 1 << 15, LEAST_BLOCK = 16, MOST_KEPT = 1 << 20 }; /* of weights; of queries; of weights */

/* ---- shapes ---------------------------------------------------------------------------------- */

static tg__shape batch_axes(const tg__shape *x)
{
    tg__shape s = *x;
    s.rank -= 2;
    s.n = 1;
    for (int i = 0; i < s.rank; i++) s.n *= s.dim[i];
    return s;
}

static tg_code disagree(const tg__call *c)
{
    return tg__fail(c, TG_ERROR_SHAPE,
                    "takes q (..., t, d), k (..., s, d) and v (..., s, e), not shapes %s, %s and %s",
                    TG__SHAPE_TEXT(c->x[0].s), TG__SHAPE_TEXT(c->x[1].s), TG__SHAPE_TEXT(c->x[2].s));
}

/* From the back: the length of axis 1, the last, or 2. */
static int64_t length(const tg__shape *x, int axis)
{
    return x->dim[x->rank - axis];
}

TG_OP_KEEPS(attention, "nnl", attention,
      "softargmax(scale q k') v of queries (..., t, d), keys (..., s, d) and values (..., s, e)")

SHAPE(attention)
{
    const tg_attention_attributes *const a = c->attributes;
    const tg__shape *const q = c->x[0].s, *const k = c->x[1].s, *const v = c->x[2].s;
    if (q->rank < 2 || k->rank < 2 || v->rank < 2 || length(q, 1) != length(k, 1) ||
        length(k, 2) != length(v, 2))
        return disagree(c);
    if (!isfinite(a->scale))
        return tg__fail(c, TG_ERROR_ARGUMENT, "scale is %g: it must be finite", a->scale);
    const tg__shape bq = batch_axes(q), bk = batch_axes(k), bv = batch_axes(v);
    if (!tg__broadcast(&bq, &bk, y) || !tg__broadcast(y, &bv, y))
        return tg__fail(c, TG_ERROR_SHAPE, "batch axes %s, %s and %s do not broadcast",
                        TG__SHAPE_TEXT(&bq), TG__SHAPE_TEXT(&bk), TG__SHAPE_TEXT(&bv));
    y->dim[y->rank++] = length(q, 2);
    y->dim[y->rank++] = length(v, 1);
    return TG_OK;
}

static double scale_of(const tg_attention_attributes *a, int64_t d)
{
    return a->scale != 0 ? a->scale : d > 0 ? 1 / sqrt((double)d) : 1;
}

/* ---- one element of the batch ---------------------------------------------------------------- */

typedef struct heads {
    const tg__call *c;
    int64_t t, s, d, e;
    bool causal;
    double scale;
    int64_t rows; /* queries of a block */
    char *weights, *slopes, *sums;
    char *kept; /* all weights of this element and the next ones; NULL: they are not kept */
    void *work; /* of the products, work_size bytes */
    size_t work_size;
    tg__matrix q, k, v, y, dq, dk, dv; /* y is g in backward */
} heads;

static tg__matrix matrix(tg__array x)
{
    const tg__shape *const s = x.s;
    return (tg__matrix){ x.p, s->stride[s->rank - 2], s->stride[s->rank - 1] };
}

/* m from row i on. */
static tg__matrix rows_from(const heads *h, tg__matrix m, int64_t i)
{
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(h->c->y.s->type);
    if (m.p) m.p = (char *)m.p + i * m.row * size;
    return m;
}

/* c = a b, or c += a b. */
static tg_code multiply(heads *h, int64_t m, int64_t n, int64_t k, tg__matrix a, tg__matrix b,
                        tg__matrix c, bool add)
{
    const tg__product p = { m, n, k, a, b, c, add ? c : (tg__matrix){ 0 } };
    const tg_type type = h->c->y.s->type;
    const size_t bytes = tg__multiply_scratch(h->c->k, type, &p);
    if (bytes > h->work_size) {
        h->work = tg__scratch(h->c, bytes);
        h->work_size = h->work ? bytes : 0;
        if (!h->work) return TG_ERROR_MEMORY;
    }
    tg__multiply(h->c->k, type, &p, bytes ? h->work : NULL);
    return TG_OK;
}

/* The keys that queries i ... i + n - 1 see. */
static int64_t keys_of(const heads *h, int64_t i, int64_t n)
{
    return h->causal && i + n < h->s ? i + n : h->s;
}

static tg__matrix row_major(void *p, int64_t columns)
{
    return (tg__matrix){ p, columns, 1 };
}

static size_t weights_bytes(const heads *h, int64_t queries)
{
    return (size_t)(queries * h->s) * tg__type_size(h->c->y.s->type);
}

/* The weights of n queries from i on, (n, keys). */
static tg_code weigh(heads *h, int64_t i, int64_t n, int64_t keys)
{
    if (h->kept) h->weights = h->kept + weights_bytes(h, i);
    if (h->kept && h->c->g) return TG_OK;
    const tg__kernels *const k = h->c->k;
    const size_t size = tg__type_size(h->c->y.s->type);
    const tg_code code = multiply(h, n, keys, h->d, rows_from(h, h->q, i), tg__transposed(h->k),
                                  row_major(h->weights, keys), false);
    if (code != TG_OK) return code;
    for (int64_t j = 0; h->causal && j < n; j++) {
        const int64_t seen = i + j + 1 < keys ? i + j + 1 : keys;
        k->fill(keys - seen, h->weights + (size_t)(j * keys + seen) * size, 1,
                h->scale < 0 ? (double)INFINITY : -(double)INFINITY);
    }
    k->reduce.softargmax((tg__lines){ n, keys, 1 }, h->weights, h->weights, h->scale);
    return TG_OK;
}

static tg_code attend(heads *h)
{
    tg_code code = TG_OK;
    for (int64_t i = 0; i < h->t && code == TG_OK; i += h->rows) {
        const int64_t n = h->t - i < h->rows ? h->t - i : h->rows, keys = keys_of(h, i, n);
        code = weigh(h, i, n, keys);
        if (code == TG_OK)
            code = multiply(h, n, h->e, keys, row_major(h->weights, keys), h->v,
                            rows_from(h, h->y, i), false);
    }
    return code;
}

/* With P the weights of a block: dv += P' g; the slopes S = softargmax's gradient of g v';
   dq += S k, dk += S' q. */
static tg_code attend_backward(heads *h, int64_t i, int64_t n, int64_t keys)
{
    const size_t bytes = (size_t)(n * keys) * tg__type_size(h->c->y.s->type);
    tg_code code = weigh(h, i, n, keys);
    const tg__matrix g = rows_from(h, h->y, i), p = row_major(h->weights, keys);
    const tg__matrix sums = row_major(h->sums, keys), slopes = row_major(h->slopes, keys);
    if (code == TG_OK && h->dv.p)
        code = multiply(h, keys, h->e, n, tg__transposed(p), g, h->dv, true);
    if (code != TG_OK || (!h->dq.p && !h->dk.p)) return code;
    code = multiply(h, n, keys, h->e, g, tg__transposed(h->v), sums, false);
    if (code != TG_OK) return code;
    memset(h->slopes, 0, bytes);
    h->c->k->reduce.softargmax_backward((tg__lines){ n, keys, 1 }, h->slopes, h->sums, h->weights,
                                        h->scale);
    if (h->dq.p) code = multiply(h, n, h->d, keys, slopes, h->k, rows_from(h, h->dq, i), true);
    if (code == TG_OK && h->dk.p)
        code = multiply(h, keys, h->d, n, tg__transposed(slopes), rows_from(h, h->q, i), h->dk,
                        true);
    return code;
}

static tg_code attend_blocks_backward(heads *h)
{
    tg_code code = TG_OK;
    for (int64_t i = 0; i < h->t && code == TG_OK; i += h->rows) {
        const int64_t n = h->t - i < h->rows ? h->t - i : h->rows;
        code = attend_backward(h, i, n, keys_of(h, i, n));
    }
    return code;
}

/* ---- the batch ------------------------------------------------------------------------------- */

static tg_code begin(const tg__call *c, heads *h, bool backward)
{
    const tg_attention_attributes *const a = c->attributes;
    const tg__shape *const q = c->x[0].s, *const v = c->x[2].s;
    *h = (heads){ .c = c,
                  .t = length(q, 2),
                  .s = length(v, 2),
                  .d = length(q, 1),
                  .e = length(v, 1),
                  .causal = a->causal,
                  .scale = scale_of(a, length(q, 1)) };
    h->rows = BLOCK_ELEMENTS / (h->s ? h->s : 1);
    if (h->rows < LEAST_BLOCK) h->rows = LEAST_BLOCK;
    if (h->rows > h->t) h->rows = h->t;
    const size_t bytes = weights_bytes(h, h->rows);
    h->kept = c->kept;
    h->weights = h->kept ? h->kept : tg__scratch(c, bytes);
    if (backward) {
        h->sums = tg__scratch(c, bytes);
        h->slopes = tg__scratch(c, bytes);
    }
    h->q = matrix(c->x[0]), h->k = matrix(c->x[1]), h->v = matrix(c->x[2]);
    h->y = row_major(backward ? (void *)c->g : c->y.p, h->e);
    if (!backward) return h->weights ? TG_OK : TG_ERROR_MEMORY;
    h->dq = matrix(c->dx[0]), h->dk = matrix(c->dx[1]), h->dv = matrix(c->dx[2]);
    return h->weights && h->sums && h->slopes ? TG_OK : TG_ERROR_MEMORY;
}

/* Sets the matrices of element j of a row of the walk; absent gradients stay absent. */
static void take(heads *h, const tg__walk *w, int64_t j)
{
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(h->c->y.s->type);
    tg__matrix *const all[] = { &h->y, &h->q, &h->k, &h->v, &h->dq, &h->dk, &h->dv };
    for (int i = 0; i < w->arrays; i++)
        if (all[i]->p) all[i]->p = w->p[i] + j * w->stride[i] * size;
}

/* Calls work for every element of the batch. Absent gradients walk along with y. */
static tg_code each_head(heads *h, tg_code (*work)(heads *h), bool backward)
{
    const tg__call *const c = h->c;
    tg__shape y = batch_axes(c->y.s), of[3];
    const tg__matrix dx[] = { h->dq, h->dk, h->dv }, x[] = { h->q, h->k, h->v };
    tg__array all[7] = { { &y, h->y.p } };
    for (int i = 0; i < 3; i++) {
        const tg__shape s = batch_axes(c->x[i].s);
        of[i] = tg__broadcast_to(&s, &y);
        all[1 + i] = (tg__array){ &of[i], x[i].p };
        all[4 + i] = (tg__array){ dx[i].p ? &of[i] : &y, dx[i].p ? dx[i].p : h->y.p };
    }
    tg_code code = TG_OK;
    tg__walk w;
    tg__walk_begin(&w, backward ? 7 : 4, all);
    do {
        for (int64_t j = 0; j < w.n && code == TG_OK; j++) {
            take(h, &w, j);
            code = work(h);
            if (h->kept) h->kept += weights_bytes(h, h->t);
        }
    } while (code == TG_OK && tg__walk_next(&w));
    return code;
}

KEPT(attention)
{
    tg__shape y = { .rank = 0 };
    if (attention_shape(c, &y) != TG_OK) return 0;
    y.dim[y.rank - 1] = length(c->x[2].s, 2);
    tg__shape_finish(&y);
    return y.n <= MOST_KEPT ? y.n : 0;
}

/* Without keys there is nothing to take the mean of. */
FORWARD(attention)
{
    heads h;
    if (c->y.s->n == 0) return TG_OK;
    if (length(c->x[2].s, 2) == 0) {
        c->k->fill(c->y.s->n, c->y.p, 1, (double)NAN);
        return TG_OK;
    }
    const tg_code code = begin(c, &h, false);
    return code == TG_OK ? each_head(&h, attend, false) : code;
}

BACKWARD(attention)
{
    heads h;
    for (int i = 0; i < 3; i++)
        if (c->fresh && c->dx[i].p) c->k->fill(c->dx[i].s->n, c->dx[i].p, 1, 0);
    if (c->y.s->n == 0 || length(c->x[2].s, 2) == 0) return TG_OK;
    const tg_code code = begin(c, &h, true);
    return code == TG_OK ? each_head(&h, attend_blocks_backward, true) : code;
}

/* ---- recorded derivative --------------------------------------------------------------------- */

/* The weights (..., t, s) as a value. */
static tg_value weights_value(const tg__derivation *d, tg_value k_turned, double scale)
{
    const tg_attention_attributes *const a = d->attributes;
    tg_value scores = d_mul(d, d_matmul(d, d->x[0], k_turned), d->to->number(scale));
    if (a->causal) {
        const tg__shape s = *tg__shape_of(d, scores);
        tg__shape mask = { .type = s.type, .rank = 2, .dim = { length(&s, 2), length(&s, 1) } };
        tg__shape_finish(&mask);
        const tg_value ones = d_add(d, tg__zeros(d, &mask), d->to->number(1));
        scores = d_where(d, d_tril(d, ones, ATTRIBUTES(offset, .offset = 0)), scores,
                         d->to->number(-(double)INFINITY));
    }
    return d_softargmax(d, scores, ATTRIBUTES(softmax, .axis = -1));
}

DERIVATIVE(attention)
{
    const tg_swap_attributes *const swap = ATTRIBUTES(swap, .axis0 = -2);
    const tg__shape q = *tg__shape_of(d, d->x[0]);
    const tg__shape v = *tg__shape_of(d, d->x[2]);
    const double scale = scale_of(d->attributes, length(&q, 1));
    if (!tg__shape_of(d, d->y)->n || !length(&v, 2)) return;
    const tg_value p = weights_value(d, d_transpose(d, d->x[1], swap), scale);
    if (d->wanted[2]) d->dx[2] = d_matmul(d, d_transpose(d, p, swap), d->g);
    if (!d->wanted[0] && !d->wanted[1]) return;
    const tg_value dp = d_matmul(d, d->g, d_transpose(d, d->x[2], swap));
    const tg_value mean = d_sum(d, d_mul(d, dp, p), ATTRIBUTES(reduce, .axis = -1, .keep = true));
    const tg_value slopes =
        d_mul(d, d_mul(d, p, d_sub(d, dp, mean)), d->to->number(scale));
    if (d->wanted[0]) d->dx[0] = d_matmul(d, slopes, d->x[1]);
    if (d->wanted[1]) d->dx[1] = d_matmul(d, d_transpose(d, slopes, swap), d->x[0]);
}

#define ATTENTION(Q, K, V, ...)                                                                    \
    {                                                                                              \
        .n = 3, .x = { Q, K, V }, .attributes = ATTRIBUTES(attention, __VA_ARGS__)                 \
    }
CASES(attention,
      ATTENTION(TENSOR(-1, 1, 2, 3, 4), TENSOR(-1, 1, 2, 5, 4), TENSOR(-1, 1, 2, 5, 3),
                .causal = false),
      ATTENTION(TENSOR(-1, 1, 4, 2), TENSOR(-1, 1, 4, 2), TENSOR(-1, 1, 4, 3), .causal = true),
      ATTENTION(TENSOR(-1, 1, 5, 2), TENSOR(-1, 1, 3, 2), TENSOR(-1, 1, 3, 1), .causal = true,
                .scale = -0.7),
      ATTENTION(TENSOR(-1, 1, 2, 1, 2, 2), TENSOR(-1, 1, 2, 3, 2), TENSOR(-1, 1, 2, 1, 3, 2),
                .scale = 1.5))
