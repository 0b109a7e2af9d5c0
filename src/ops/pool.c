/* Pooling: one number from each window over the last two axes of x, (..., h, w). Their gradients, as
   values, need parts that put numbers back where they came from. */
#include "ops/op.h"
#include "ops/window.h"

/* What the two kinds of pooling share, from which the windows come. */
typedef struct pool_numbers {
    tg__numbers kernel_size, stride, padding, dilation;
} pool_numbers;

static pool_numbers max_pool_numbers(const tg__call *c)
{
    const tg_max_pool_attributes *const a = c->attributes;
    return (pool_numbers){ { "kernel_size", a->kernel_size, a->kernel_sizes, 1 },
                           { "stride", a->stride, a->strides, 0 },
                           { "padding", a->padding, a->paddings, 0 },
                           { "dilation", a->dilation, a->dilations, 1 } };
}

static pool_numbers avg_pool_numbers(const tg_avg_pool_attributes *a)
{
    return (pool_numbers){ { "kernel_size", a->kernel_size, a->kernel_sizes, 1 },
                           { "stride", a->stride, a->strides, 0 },
                           { "padding", a->padding, a->paddings, 0 },
                           { "dilation", 1, { 0, { 0 } }, 1 } };
}

static tg_code pool_windows(const tg__call *c, const pool_numbers *a, tg__windows w[AXES])
{
    int64_t read[4][AXES];
    const tg__numbers *const each[] = { &a->kernel_size, &a->stride, &a->padding, &a->dilation };
    for (int i = 0; i < 4; i++) {
        const tg_code code = tg__read_numbers(c, each[i], AXES, read[i]);
        if (code != TG_OK) return code;
    }
    for (int i = 0; i < AXES; i++) {
        w[i] = (tg__windows){ .kernel = read[0][i],
                              .stride = read[1][i] ? read[1][i] : read[0][i],
                              .padding = read[2][i],
                              .dilation = read[3][i] };
        if (2 * w[i].padding > tg__extent(&w[i]))
            return tg__fail(c, TG_ERROR_ARGUMENT,
                            "padding %lld is more than half of the %lld positions of the kernel",
                            (long long)w[i].padding, (long long)tg__extent(&w[i]));
    }
    return TG_OK;
}

/* Makes y, which has x's shape, that of the windows. */
static tg_code pool_shape(const tg__call *c, const pool_numbers *a, tg__shape *y)
{
    tg__windows w[AXES];
    if (y->rank < AXES)
        return tg__fail(c, TG_ERROR_SHAPE, "takes x (..., h, w), not shape %s", TG__SHAPE_TEXT(y));
    const tg_code code = pool_windows(c, a, w);
    for (int i = 0; i < AXES && code == TG_OK; i++) {
        int64_t *const length = &y->dim[y->rank - AXES + i];
        w[i].n = *length;
        *length = tg__windows_on(&w[i]);
        if (w[i].n == 0 || *length < 1) return tg__too_large(c, &w[i]);
    }
    return code;
}

/* x and y: shapes of planes, which are adjacent, and of windows. */
static tg_code pool_begin(const tg__call *c, const pool_numbers *a, const tg__shape *x,
                          const tg__shape *y, tg__planes *p)
{
    tg__windows w[AXES];
    const tg_code code = pool_windows(c, a, w);
    if (code != TG_OK) return code;
    const int64_t h = x->dim[x->rank - 2], l = x->dim[x->rank - 1];
    for (int i = 0; i < AXES; i++) {
        w[i].n = x->dim[x->rank - AXES + i];
        w[i].out = y->dim[y->rank - AXES + i];
    }
    *p = (tg__planes){ w[0], w[1], x->n / (h * l), h * l, l, 1 };
    return TG_OK;
}

/* ---- max_pool2d ------------------------------------------------------------------------------ */

TG_OP(max_pool2d, "n", max_pool,
      "largest element of each window over the last two axes; gradient to the first of them")
SHAPE(max_pool2d)
{
    const pool_numbers a = max_pool_numbers(c);
    *y = *c->x[0].s;
    return pool_shape(c, &a, y);
}

FORWARD(max_pool2d)
{
    const pool_numbers a = max_pool_numbers(c);
    tg__array x = c->x[0];
    tg__shape s;
    tg__planes p;
    tg_code code = pool_begin(c, &a, x.s, c->y.s, &p);
    if (code == TG_OK) code = tg__make_adjacent(c, &x, &s);
    if (code == TG_OK) c->k->pool.max(&p, c->y.p, x.p);
    return code;
}

/* picks: windows += the elements of planes that are chosen in x; else the other way round. x has
   the shape of planes. All but x are adjacent. */
static tg_code each_choice(const tg__call *c, tg__array x, char *planes, tg__array windows,
                           bool picks)
{
    const pool_numbers a = max_pool_numbers(c);
    tg__shape s;
    tg__planes p;
    tg_code code = pool_begin(c, &a, x.s, windows.s, &p);
    if (code == TG_OK) code = tg__make_adjacent(c, &x, &s);
    if (code != TG_OK) return code;
    if (picks) c->k->pool.max_pick(&p, windows.p, x.p, planes);
    else c->k->pool.max_put(&p, windows.p, x.p, planes);
    return TG_OK;
}

static tg_code add_chosen(const tg__call *c, tg__array x, tg__array da, tg__array g)
{
    tg__shape s[2];
    tg__array a;
    tg_code code = tg__target_begin(c, da, &a, &s[0]);
    if (code == TG_OK) code = tg__make_adjacent(c, &g, &s[1]);
    if (code == TG_OK) code = each_choice(c, x, a.p, g, false);
    if (code == TG_OK) tg__target_end(c, da, a);
    return code;
}

static tg_code add_picked(const tg__call *c, tg__array x, tg__array a, tg__array dg)
{
    tg__shape s[2];
    tg__array g;
    tg_code code = tg__target_begin(c, dg, &g, &s[0]);
    if (code == TG_OK) code = tg__make_adjacent(c, &a, &s[1]);
    if (code == TG_OK) code = each_choice(c, x, a.p, g, true);
    if (code == TG_OK) tg__target_end(c, dg, g);
    return code;
}

BACKWARD(max_pool2d)
{
    return add_chosen(c, c->x[0], c->dx[0], tg__cotangent(c));
}

DERIVATIVE(max_pool2d)
{
    d->dx[0] = d_max_pool_put(d, d->g, d->x[0], d->attributes);
}

#define POOL(X, KIND, ...)                                                                         \
    {                                                                                              \
        .n = 1, .x = { X }, .attributes = ATTRIBUTES(KIND, __VA_ARGS__)                            \
    }
CASES(max_pool2d, POOL(TENSOR(-2, 2, 1, 2, 4, 5), max_pool, .kernel_size = 2),
      POOL(TENSOR(-2, 2, 2, 3, 4), max_pool, .kernel_sizes = BOTH(3, 2), .strides = BOTH(2, 1),
           .paddings = BOTH(1, 0)),
      POOL(TENSOR(-2, 2, 5, 7), max_pool, .kernel_size = 3, .stride = 3, .padding = 2,
           .dilations = BOTH(2, 3)),
      POOL(TENSOR(-2, 2, 0, 3, 4), max_pool, .kernel_size = 2))

TG_PART(max_pool_pick, "l0", max_pool,
        "of each window, the element of a where that of x is largest")
SHAPE(max_pool_pick)
{
    const pool_numbers a = max_pool_numbers(c);
    if (!tg__broadcast(c->x[0].s, c->x[1].s, y) || y->n != c->x[0].s->n || y->n != c->x[1].s->n)
        return tg__fail(c, TG_ERROR_SHAPE, "shapes %s and %s differ", TG__SHAPE_TEXT(c->x[0].s),
                        TG__SHAPE_TEXT(c->x[1].s));
    *y = *c->x[1].s;
    return pool_shape(c, &a, y);
}
FORWARD(max_pool_pick)
{
    c->k->fill(c->y.s->n, c->y.p, 1, 0);
    return add_picked(c, c->x[1], c->x[0], c->y);
}
BACKWARD(max_pool_pick)
{
    return add_chosen(c, c->x[1], c->dx[0], tg__cotangent(c));
}
DERIVATIVE(max_pool_pick)
{
    d->dx[0] = d_max_pool_put(d, d->g, d->x[1], d->attributes);
}
CASES(max_pool_pick,
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 4, 5), TENSOR(-2, 2, 2, 4, 5) },
        .attributes = ATTRIBUTES(max_pool, .kernel_size = 3, .stride = 2, .padding = 1) })

TG_PART(max_pool_put, "l0", max_pool, "zeros, with g added where the windows of x are largest")
SHAPE(max_pool_put)
{
    const pool_numbers a = max_pool_numbers(c);
    const tg__shape *const g = c->x[0].s, *const x = c->x[1].s;
    tg__shape windows = *x;
    const tg_code code = pool_shape(c, &a, &windows);
    if (code != TG_OK) return code;
    if (!tg__shape_same_dims(g, &windows))
        return tg__fail(c, TG_ERROR_SHAPE, "windows of shape %s, gradients of shape %s",
                        TG__SHAPE_TEXT(&windows), TG__SHAPE_TEXT(g));
    *y = *x;
    return TG_OK;
}
FORWARD(max_pool_put)
{
    c->k->fill(c->y.s->n, c->y.p, 1, 0);
    return add_chosen(c, c->x[1], c->y, c->x[0]);
}
BACKWARD(max_pool_put)
{
    return add_picked(c, c->x[1], tg__cotangent(c), c->dx[0]);
}
DERIVATIVE(max_pool_put)
{
    d->dx[0] = d_max_pool_pick(d, d->g, d->x[1], d->attributes);
}
CASES(max_pool_put,
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 2, 3), TENSOR(-2, 2, 2, 4, 5) },
        .attributes = ATTRIBUTES(max_pool, .kernel_size = 3, .stride = 2, .padding = 1) })

/* ---- avg_pool2d ------------------------------------------------------------------------------ */

/* means: windows += means of planes; else the adjoint, which adds to planes. All are adjacent. */
static tg_code each_mean(const tg__call *c, const tg_avg_pool_attributes *a, tg__array planes,
                         tg__array windows, bool means)
{
    const pool_numbers n = avg_pool_numbers(a);
    tg__planes p;
    const tg_code code = pool_begin(c, &n, planes.s, windows.s, &p);
    if (code != TG_OK) return code;
    const bool all = a->count_include_pad || (!p.h.padding && !p.w.padding);
    if (means) c->k->pool.mean(&p, all, windows.p, planes.p);
    else c->k->pool.spread_mean(&p, all, windows.p, planes.p);
    return TG_OK;
}

/* y = means of x. */
static tg_code set_means(const tg__call *c, const tg_avg_pool_attributes *a, tg__array x,
                         tg__array y)
{
    tg__shape s;
    const tg_code code = tg__make_adjacent(c, &x, &s);
    return code == TG_OK ? each_mean(c, a, x, y, true) : code;
}

static tg_code add_means(const tg__call *c, const tg_avg_pool_attributes *a, tg__array x,
                         tg__array dy)
{
    tg__shape s = *dy.s;
    tg__shape_finish(&s);
    if (s.n == 0) return TG_OK;
    const tg__array y = { &s, tg__scratch(c, (size_t)s.n * tg__type_size(s.type)) };
    if (!y.p) return TG_ERROR_MEMORY;
    const tg_code code = set_means(c, a, x, y);
    if (code == TG_OK) tg__add(c->k, dy, y);
    return code;
}

static tg_code add_shares(const tg__call *c, const tg_avg_pool_attributes *a, tg__array dx,
                          tg__array g)
{
    tg__shape s[2];
    tg__array x;
    tg_code code = tg__target_begin(c, dx, &x, &s[0]);
    if (code == TG_OK) code = tg__make_adjacent(c, &g, &s[1]);
    if (code == TG_OK) code = each_mean(c, a, x, g, false);
    if (code == TG_OK) tg__target_end(c, dx, x);
    return code;
}

TG_OP(avg_pool2d, "l", avg_pool, "mean of each window over the last two axes")
SHAPE(avg_pool2d)
{
    const pool_numbers a = avg_pool_numbers(c->attributes);
    *y = *c->x[0].s;
    return pool_shape(c, &a, y);
}
FORWARD(avg_pool2d)
{
    return set_means(c, c->attributes, c->x[0], c->y);
}
BACKWARD(avg_pool2d)
{
    return add_shares(c, c->attributes, c->dx[0], tg__cotangent(c));
}
DERIVATIVE(avg_pool2d)
{
    const tg__shape *const x = tg__shape_of(d, d->x[0]);
    tg_avg_pool_shares_attributes a = { .pool = *(const tg_avg_pool_attributes *)d->attributes };
    for (int i = 0; i < AXES; i++) a.length[i] = x->dim[x->rank - AXES + i];
    d->dx[0] = d_avg_pool_shares(d, d->g, &a);
}
CASES(avg_pool2d, POOL(TENSOR(-2, 2, 1, 2, 4, 5), avg_pool, .kernel_size = 2),
      POOL(TENSOR(-2, 2, 2, 3, 4), avg_pool, .kernel_sizes = BOTH(3, 2), .strides = BOTH(2, 1),
           .paddings = BOTH(1, 0)),
      POOL(TENSOR(-2, 2, 4, 5), avg_pool, .kernel_size = 3, .stride = 2, .padding = 1,
           .count_include_pad = false),
      POOL(TENSOR(-2, 2, 0, 3, 4), avg_pool, .kernel_size = 2))

TG_PART(avg_pool_shares, "l", avg_pool_shares, "each mean's gradient shared out to its elements")
SHAPE(avg_pool_shares)
{
    const tg_avg_pool_shares_attributes *const a = c->attributes;
    const pool_numbers n = avg_pool_numbers(&a->pool);
    const tg__shape *const g = c->x[0].s;
    tg__shape windows = *y = *g;
    if (g->rank < AXES)
        return tg__fail(c, TG_ERROR_SHAPE, "takes g (..., h, w), not shape %s", TG__SHAPE_TEXT(g));
    for (int i = 0; i < AXES; i++)
        y->dim[y->rank - AXES + i] = windows.dim[y->rank - AXES + i] = a->length[i];
    const tg_code code = pool_shape(c, &n, &windows);
    if (code != TG_OK) return code;
    for (int i = 0; i < g->rank; i++)
        if (g->dim[i] != windows.dim[i])
            return tg__fail(c, TG_ERROR_SHAPE, "windows of shape %s, gradients of shape %s",
                            TG__SHAPE_TEXT(&windows), TG__SHAPE_TEXT(g));
    return TG_OK;
}
FORWARD(avg_pool_shares)
{
    const tg_avg_pool_shares_attributes *const a = c->attributes;
    c->k->fill(c->y.s->n, c->y.p, 1, 0);
    return add_shares(c, &a->pool, c->y, c->x[0]);
}
BACKWARD(avg_pool_shares)
{
    const tg_avg_pool_shares_attributes *const a = c->attributes;
    return add_means(c, &a->pool, tg__cotangent(c), c->dx[0]);
}
DERIVATIVE(avg_pool_shares)
{
    const tg_avg_pool_shares_attributes *const a = d->attributes;
    d->dx[0] = d_avg_pool2d(d, d->g, &a->pool);
}
CASES(avg_pool_shares,
      { .n = 1,
        .x = { TENSOR(-2, 2, 2, 2, 3) },
        .attributes = &(const tg_avg_pool_shares_attributes){
            .pool = { TG_DEFAULTS_avg_pool, .kernel_size = 3, .stride = 2, .padding = 1 },
            .length = { 4, 5 } } })
