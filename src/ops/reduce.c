/* Reductions over axes: sums, products, extremes, norms.

   x is seen as outputs (the axes that stay) of elements (the axes that are reduced). fold_each goes
   through the outputs in tiles, rows of up to TG__TILE neighbours whose per-output numbers are
   doubles; a rule makes y of a tile, or adds the gradient of one. Where neighbouring outputs lie
   closer in memory than neighbouring elements a tile is wide and the kernels work along the
   outputs; else it holds one output and they work along its elements. */
#include "ops/op.h"

#include <float.h>
#include <math.h>

enum {
    FEW_ELEMENTS = 16,
    MANY_ELEMENTS = 1024, /* a tile of one output is worth a call */
    TILE_ELEMENTS = 4096,
    LEAST_ROWS = 16 /* kernels take rows in groups of as many as a vector has lanes */
};

typedef struct fold fold;

/* What a rule does with a tile: it makes its y[w]; writes its results itself; adds its gradient, given g, or y and g, or these
   and x to go over twice. */
typedef enum way_of { MAKE, WRITE, ADD_LINEAR, ADD, ADD_TWICE } way_of;
typedef void rule(fold *f, double *y, const double *g);

struct fold {
    const tg__call *c;
    way_of way;
    const tg__reduce_kernels *k, *light; /* light: for what does little with an element */
    const tg_reduce_attributes *a;
    int64_t count;     /* elements of an output */
    tg__walk outputs;  /* x, and dx in backward */
    tg__walk elements; /* the same, of the present tile */
    int64_t w;         /* of the present tile */
    int64_t at;        /* its first output, row-major */
    double *before;    /* only in the backward rule of prod: room for count running products */
};

/* A case of the checks: one operand, and attributes. */
#define OVER(SAMPLE, ...)                                                                          \
    {                                                                                              \
        .n = 1, .x = { SAMPLE }, .attributes = ATTRIBUTES(reduce, __VA_ARGS__)                     \
    }

/* ---- axes and shapes ------------------------------------------------------------------------- */

tg_code tg__reduced_axes(const tg__call *c, unsigned *axes)
{
    const tg_reduce_attributes *const a = c->attributes;
    const int rank = c->x[0].s->rank, count = a->axes.count;
    *axes = 0;
    if (count == 0 && a->axis == TG_ALL) {
        *axes = (1u << rank) - 1;
        return TG_OK;
    }
    if (count < 0 || count > TG_MAX_RANK)
        return tg__fail(c, TG_ERROR_ARGUMENT, "a list of %d axes: it holds at most %d", count,
                        TG_MAX_RANK);
    for (int i = 0; i < (count ? count : 1); i++) {
        const int given = count ? a->axes.axis[i] : a->axis, axis = tg__axis(given, rank);
        if (axis < 0)
            return tg__fail(c, TG_ERROR_SHAPE, "there is no axis %d in a tensor of rank %d", given,
                            rank);
        if (*axes & 1u << axis) return tg__fail(c, TG_ERROR_SHAPE, "axis %d is given twice", given);
        *axes |= 1u << axis;
    }
    return TG_OK;
}

tg_code tg__reduced_shape(const tg__call *c, tg__shape *y)
{
    const tg_reduce_attributes *const a = c->attributes;
    const tg__shape *const x = c->x[0].s;
    unsigned axes;
    const tg_code code = tg__reduced_axes(c, &axes);
    if (code != TG_OK) return code;
    y->type = x->type;
    y->rank = 0;
    for (int i = 0; i < x->rank; i++) {
        const bool reduced = axes & 1u << i;
        if (!reduced || a->keep) y->dim[y->rank++] = reduced ? 1 : x->dim[i];
    }
    return TG_OK;
}

/* The same for ops that have no result without elements. */
static tg_code reduced_shape_of_some(const tg__call *c, tg__shape *y)
{
    const tg_code code = tg__reduced_shape(c, y);
    if (code != TG_OK || c->x[0].s->n > 0) return code;
    for (int i = 0; i < y->rank; i++)
        if (y->dim[i] == 0) return TG_OK;
    return tg__fail(c, TG_ERROR_SHAPE, "no elements to choose from in shape %s",
                    TG__SHAPE_TEXT(c->x[0].s));
}

int64_t tg__reduced_rows(const tg__call *c)
{
    const tg__shape *const x = c->x[0].s;
    unsigned axes;
    if (tg__reduced_axes(c, &axes) != TG_OK) return 0;
    int64_t n = 1;
    int i = x->rank;
    while (i > 0 && axes & 1u << (i - 1)) n *= x->dim[--i];
    return axes && axes == ((1u << x->rank) - 1) - ((1u << i) - 1) ? n : 0;
}

/* ---- from tile to tile ----------------------------------------------------------------------- */

/* A walk over rows of n elements a stride apart, of which the first elements are a step apart. */
static void walk_rows(tg__walk *w, int64_t rows, int64_t step, int64_t n, int64_t stride, void *x,
                      void *dx, tg_type type)
{
    w->arrays = 2;
    w->rank = rows > 1;
    w->n = n;
    w->p[0] = x;
    w->p[1] = dx;
    w->stride[0] = w->stride[1] = stride;
    w->dim[0] = rows;
    w->at[0] = 0;
    w->step[0][0] = w->step[0][1] = step * (ptrdiff_t)tg__type_size(type);
}

/* Axes beside each other of adjacent elements: x is (outer, n, inner), n of them reduced. */
typedef struct block {
    int64_t outer, n, inner;
} block;

/* Whether x is such a block. */
static bool block_of(const tg__shape *x, unsigned axes, block *b)
{
    const unsigned lowest = axes & -axes;
    if ((axes & (axes + lowest)) || !tg__shape_contiguous(x)) return false;
    *b = (block){ axes ? 1 : x->n, 1, 1 };
    for (int i = 0; i < x->rank && axes; i++)
        if (axes >> i & 1) b->n *= x->dim[i];
        else if (axes >> i) b->outer *= x->dim[i];
        else b->inner *= x->dim[i];
    return true;
}

/* A block takes the short way. */
static void walks_begin(fold *f, const tg__shape *x, unsigned axes, void *px, void *dx)
{
    block b;
    if (block_of(x, axes, &b)) {
        const bool across = b.inner > 1;
        f->count = b.n;
        walk_rows(&f->outputs, across ? b.outer : 1, b.n * b.inner, across ? b.inner : b.outer,
                  across ? 1 : b.n, px, dx, x->type);
        walk_rows(&f->elements, 1, 0, b.n, b.inner, px, dx, x->type);
        return;
    }
    const tg__shape kept = tg__shape_part(x, ~axes), reduced = tg__shape_part(x, axes);
    f->count = reduced.n;
    tg__walk_begin(&f->outputs, 2, (const tg__array[]){ { &kept, px }, { &kept, dx } });
    tg__walk_begin(&f->elements, 2, (const tg__array[]){ { &reduced, px }, { &reduced, dx } });
}

/* In backward dx goes along with x. */
static void fold_begin(fold *f, const tg__call *c, way_of way)
{
    unsigned axes;
    (void)tg__reduced_axes(c, &axes); /* the shape rule has seen them */
    const tg__shape *const x = c->x[0].s;
    walks_begin(f, x, axes, c->x[0].p, way >= ADD_LINEAR ? c->dx[0].p : c->x[0].p);
    const bool long_rows = f->elements.stride[0] == 1 && f->elements.n > MANY_ELEMENTS;
    f->c = c;
    f->way = way;
    f->k = &c->k->reduce;
    f->light = &(long_rows ? tg__streaming(c, x) : c->k)->reduce;
    f->a = c->attributes;
    f->at = 0;
}

static ptrdiff_t magnitude(ptrdiff_t step)
{
    return step < 0 ? -step : step;
}

/* As many rows as so many elements make. */
static int64_t rows_of(const fold *f, int64_t elements)
{
    const int64_t fit = elements / f->elements.n;
    return fit < LEAST_ROWS ? LEAST_ROWS : fit < TG__TILE ? fit / LEAST_ROWS * LEAST_ROWS : TG__TILE;
}

/* How many outputs of a row go into a tile. Many also where their elements are few: so many that what
   a rule goes over several times stays in the first cache, or at least in the second. From memory, which is asked only the
   second time for what comes next, few rows at once. */
static int64_t widest(const fold *f)
{
    enum { CACHES = 1 << 20, NEAR = 2560 }; /* bytes */
    const tg__shape *const x = f->c->x[0].s;
    const int64_t n = f->elements.n, size = (int64_t)tg__type_size(x->type);
    const bool rows = magnitude(f->outputs.stride[0]) >= magnitude(f->elements.stride[0]);
    if (rows && n > MANY_ELEMENTS) return 1;
    if (rows && f->way == ADD_TWICE && x->n > CACHES / size) return rows_of(f, NEAR / size);
    return rows && n > FEW_ELEMENTS ? rows_of(f, TILE_ELEMENTS) : TG__TILE;
}

static void *output(const fold *f, const void *p)
{
    return (char *)p + (size_t)f->at * tg__type_size(f->c->y.s->type);
}

/* The tile's numbers at p, of the type, as doubles: where they are, so that no rule may change them, or in room. */
static double *as_doubles(const fold *f, const void *p, double *room)
{
    if (f->c->x[0].s->type == TG_F64) return output(f, p);
    f->k->load(f->w, room, output(f, p));
    return room;
}

static void fold_each(fold *f, rule *r)
{
    const int64_t width = widest(f);
    const size_t size = tg__type_size(f->c->x[0].s->type);
    double room[2][TG__TILE];
    do {
        for (int64_t j = 0; j < f->outputs.n; j += f->w, f->at += f->w) {
            f->w = f->outputs.n - j < width ? f->outputs.n - j : width;
            for (int k = 0; k < 2; k++)
                f->elements.p[k] = f->outputs.p[k] + j * f->outputs.stride[k] * (ptrdiff_t)size;
            double *const y = f->way >= ADD ? as_doubles(f, f->c->y.p, room[0]) : room[0];
            r(f, y, f->way < ADD_LINEAR ? NULL : as_doubles(f, f->c->g, room[1]));
            if (f->way == MAKE) f->k->store(f->w, output(f, f->c->y.p), y);
        }
    } while (tg__walk_next(&f->outputs));
}

static tg_code fold_values(const tg__call *c, rule *r, way_of way)
{
    if (c->y.s->n == 0) return TG_OK;
    fold f;
    fold_begin(&f, c, way);
    fold_each(&f, r);
    return TG_OK;
}

static tg_code fold_forward(const tg__call *c, rule *r)
{
    return fold_values(c, r, MAKE);
}

/* The length of rows of adjacent elements that are reduced; 0: they lie otherwise. */
static int64_t whole_rows(const tg__call *c)
{
    const tg__shape *const x = c->x[0].s;
    return x->n > 0 && tg__shape_contiguous(x) ? tg__reduced_rows(c) : 0;
}

/* The same where they are so short that it pays to take many together. */
static int64_t short_rows(const tg__call *c)
{
    const int64_t n = whole_rows(c);
    return n <= TG__CHUNK ? n : 0;
}

static tg_code fold_gradient(const tg__call *c, rule *r, way_of way)
{
    if (!c->dx[0].p || c->x[0].s->n == 0) return TG_OK;
    fold f;
    fold_begin(&f, c, way);
    fold_each(&f, r);
    return TG_OK;
}

static tg_code fold_backward(const tg__call *c, rule *r)
{
    return fold_gradient(c, r, ADD);
}

static tg_code fold_backward_twice(const tg__call *c, rule *r)
{
    return fold_gradient(c, r, ADD_TWICE);
}

static tg__tile tile_of(const fold *f)
{
    return (tg__tile){ f->w, f->elements.n, f->elements.p[0], f->outputs.stride[0],
                       f->elements.stride[0], f->way == ADD_TWICE ? f->outputs.n : 0 };
}

/* y = the sum over the tile's elements of a kernel's term. */
static void total(fold *f, tg__sum_kernel *kernel, const double *b, double p, double *y)
{
    tg__sums s;
    for (int64_t j = 0; j < f->w; j++) s.total[j] = s.rest[j] = 0;
    do {
        const tg__tile t = tile_of(f);
        kernel(&t, b, p, &s);
    } while (tg__walk_next(&f->elements));
    f->k->totals(f->w, y, s.total, s.rest);
}

/* m = a kernel's fold over the tile's elements, in the type of these. */
static void fold_into(fold *f, tg__fold_kernel *kernel, void *m)
{
    bool begins = true;
    do {
        const tg__tile t = tile_of(f);
        kernel(&t, begins, m);
        begins = false;
    } while (tg__walk_next(&f->elements));
}

/* Written where it belongs. */
static void write_fold(fold *f, tg__fold_kernel *kernel)
{
    fold_into(f, kernel, output(f, f->c->y.p));
}

/* The same as doubles. */
static void folded(fold *f, tg__fold_kernel *kernel, double *y)
{
    double m[TG__TILE]; /* room for numbers of either type */
    fold_into(f, kernel, m);
    f->k->load(f->w, y, m);
}

/* dx += a times a kernel's term. */
static void spread(fold *f, tg__spread_kernel *kernel, const double *a, const double *b, double p)
{
    do {
        const tg__tile t = tile_of(f);
        kernel(&t, f->elements.p[1], a, b, p);
    } while (tg__walk_next(&f->elements));
}

/* ---- sum, mean ------------------------------------------------------------------------------- */

static void sum_of(fold *f, double *y, const double *g)
{
    (void)g;
    total(f, f->k->sum, NULL, 0, y);
}

static void write_sum(fold *f, double *y, const double *g)
{
    const tg__tile t = tile_of(f);
    void *const to = output(f, f->c->y.p);
    if (f->elements.rank == 0 && f->k->block_sums(&t, to)) return;
    sum_of(f, y, g);
    f->k->store(f->w, to, y);
}

static void spread_sum(fold *f, double *y, const double *g)
{
    (void)y;
    spread(f, f->light->spread, g, NULL, 0);
}

/* ---- recorded derivatives -------------------------------------------------------------------- */

/* The call's attributes with keep. */
static tg_reduce_attributes keeping(const tg__derivation *d)
{
    tg_reduce_attributes a = *(const tg_reduce_attributes *)d->attributes;
    a.keep = true;
    return a;
}

tg_value tg__kept(const tg__derivation *d, tg_value v)
{
    const tg__shape *const x = tg__shape_of(d, d->x[0]);
    const tg_reduce_attributes *const a = d->attributes;
    if (a->keep) return v;
    int64_t dim[TG_MAX_RANK];
    for (int i = 0; i < x->rank; i++) dim[i] = x->dim[i];
    if (!a->axes.count && a->axis == TG_ALL) {
        for (int i = 0; i < x->rank; i++) dim[i] = 1;
    } else {
        for (int i = 0; i < (a->axes.count ? a->axes.count : 1); i++)
            dim[tg__axis(a->axes.count ? a->axes.axis[i] : a->axis, x->rank)] = 1;
    }
    return tg__reshaped(d, v, x->rank, dim);
}

/* How many elements an output is made of. */
static double elements_of(const tg__derivation *d)
{
    const int64_t outputs = tg__shape_of(d, d->y)->n;
    return outputs ? (double)(tg__shape_of(d, d->x[0])->n / outputs) : 0;
}

/* x less its mean. */
static tg_value centered(const tg__derivation *d)
{
    const tg_reduce_attributes a = keeping(d);
    return d_sub(d, d->x[0], d_mean(d, d->x[0], &a));
}

/* The gradient g shared by the elements of v that equal y. */
static tg_value shared(const tg__derivation *d, tg_value v)
{
    const tg_reduce_attributes a = keeping(d);
    const tg_value match = d_eq(d, v, tg__kept(d, d->y));
    return d_pick(d, d_div(d, tg__kept(d, d->g), d_sum(d, match, &a)), match);
}

TG_OP(sum, "l", reduce, "sum of the elements over axes")

SHAPE(sum) { return tg__reduced_shape(c, y); }

FORWARD(sum) { return fold_values(c, write_sum, WRITE); }

BACKWARD(sum) { return fold_gradient(c, spread_sum, ADD_LINEAR); }

DERIVATIVE(sum)
{
    d->dx[0] = tg__broadcasted(d, tg__kept(d, d->g), tg__shape_of(d, d->x[0]));
}

CASES(sum, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } }, { .n = 1, .x = { SCALAR(-2, 2) } },
      OVER(TENSOR(-2, 2, 70, 3), .axis = 0), OVER(TENSOR(-2, 2, 3, 70), .axis = 0, .keep = true),
      OVER(TENSOR(-2, 2, 2, 3, 4), .axis = -1),
      OVER(TENSOR(-2, 2, 2, 3, 4), .axes = { 2, { 0, 2 } }),
      OVER(TENSOR(-2, 2, 2, 3, 2, 3), .axes = { 2, { -1, 1 } }, .keep = true),
      OVER(TENSOR(-2, 2, 0, 3), .axis = 0))

static void mean_of(fold *f, double *y, const double *g)
{
    sum_of(f, y, g);
    for (int64_t j = 0; j < f->w; j++) y[j] /= (double)f->count;
}

static void spread_mean(fold *f, double *y, const double *g)
{
    (void)y;
    double a[TG__TILE];
    for (int64_t j = 0; j < f->w; j++) a[j] = g[j] / (double)f->count;
    spread(f, f->light->spread, a, NULL, 0);
}

TG_OP(mean, "l", reduce, "mean of the elements over axes")

SHAPE(mean) { return tg__reduced_shape(c, y); }

FORWARD(mean) { return fold_forward(c, mean_of); }

BACKWARD(mean) { return fold_gradient(c, spread_mean, ADD_LINEAR); }

DERIVATIVE(mean)
{
    const tg_value g = d_div(d, tg__kept(d, d->g), d->to->number(elements_of(d)));
    d->dx[0] = tg__broadcasted(d, g, tg__shape_of(d, d->x[0]));
}

CASES(mean, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } }, { .n = 1, .x = { SCALAR(-2, 2) } },
      OVER(TENSOR(-2, 2, 5, 3), .axis = 0, .keep = true), OVER(TENSOR(-2, 2, 5, 3), .axis = -1),
      OVER(TENSOR(-2, 2, 2, 3, 2, 3), .axes = { 3, { 0, 1, 3 } }),
      OVER(TENSOR(-2, 2, 3, 0), .axis = 0))

/* ---- prod ------------------------------------------------------------------------------------ */

static void write_product(fold *f, double *y, const double *g)
{
    (void)y, (void)g;
    write_fold(f, f->k->product);
}

/* The elements of f's outputs in the opposite order: the last one first, and steps the other way.
   */
static tg__walk reversed(const tg__walk *w, size_t size)
{
    tg__walk r = *w;
    for (int k = 0; k < w->arrays; k++) {
        r.p[k] += (w->n - 1) * w->stride[k] * (ptrdiff_t)size;
        r.stride[k] = -w->stride[k];
        for (int i = 0; i < w->rank; i++) {
            r.p[k] += (w->dim[i] - 1) * w->step[i][k];
            r.step[i][k] = -w->step[i][k];
        }
    }
    return r;
}

/* The present output: dx += g times the product of the other elements, which is that of those before,
   from a first pass, and of those behind, which grows in a second pass from the last element to the
   first. */
static void spread_others(fold *f, double g)
{
    double m = 1, *before = f->before;
    do {
        const tg__tile t = tile_of(f);
        f->k->products_before(&t, &m, before);
        before += t.n;
    } while (tg__walk_next(&f->elements));

    tg__walk back = reversed(&f->elements, tg__type_size(f->c->x[0].s->type));
    m = 1;
    do {
        const tg__tile t = tg__row_tile(back.n, back.p[0], back.stride[0]);
        f->k->spread_products(&t, back.p[1], g, &m, before - 1);
        before -= t.n;
    } while (tg__walk_next(&back));
}

/* dx += g y / x where y is in range, so that no element is 0; the others go one by one. */
static void spread_product(fold *f, double *y, const double *g)
{
    const bool single = f->c->x[0].s->type == TG_F32;
    const double least = single ? 1e-30 : 1e-290, most = single ? 1e30 : 1e290;
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(f->c->x[0].s->type);
    const int64_t w = f->w;
    double a[TG__TILE];
    a[0] = 0; /* of no columns */
    bool all = true;
    for (int64_t j = 0; j < w; j++) {
        const bool within = fabs(y[j]) > least && fabs(y[j]) < most;
        a[j] = within ? g[j] : 0;
        all &= within;
    }
    spread(f, f->k->spread_quotients, a, y, 0);
    if (all) return;
    f->w = 1;
    for (int64_t j = 0; j < w; j++) {
        if (g[j] != 0 && a[j] == 0) spread_others(f, g[j]);
        for (int k = 0; k < 2; k++) f->elements.p[k] += f->outputs.stride[k] * size;
    }
    f->w = w;
}

TG_OP(prod, "n", reduce, "product of the elements over axes")

SHAPE(prod) { return tg__reduced_shape(c, y); }

FORWARD(prod) { return fold_values(c, write_product, WRITE); }

BACKWARD(prod)
{
    if (!c->dx[0].p || c->x[0].s->n == 0) return TG_OK;
    fold f;
    fold_begin(&f, c, ADD);
    f.k = &c->k->narrow->reduce; /* divisions come no sooner for wider vectors, beside which all is slower */
    f.before = tg__scratch(c, (size_t)f.count * sizeof *f.before);
    if (!f.before) return TG_ERROR_MEMORY;
    fold_each(&f, spread_product);
    return TG_OK;
}

/* The gradient of the products of column after column of x (n, m), without division: a tree of
   products of two, upwards and back. g has shape (1, m). */
static tg_value products_derivative(const tg__derivation *d, tg_value x, tg_value g)
{
    enum { LEVELS = 32 };
    static const tg_slice_attributes even = { TG_DEFAULTS_slice, .step = 2 };
    static const tg_slice_attributes odd = { TG_DEFAULTS_slice, .start = 1, .step = 2 };
    const int64_t m = tg__shape_of(d, x)->dim[1];
    tg_value level[LEVELS];
    int64_t size[LEVELS];
    int top = 0;
    level[0] = x;
    for (size[0] = tg__shape_of(d, x)->dim[0]; size[top] > 1; top++) {
        if (size[top] % 2)
            level[top] = d_pad(d, level[top], ATTRIBUTES(pad, .axis = 0, .after = 1, .value = 1.0));
        level[top + 1] = d_mul(d, d_slice(d, level[top], &even), d_slice(d, level[top], &odd));
        size[top + 1] = size[top] - size[top] / 2;
    }
    for (int i = top - 1; i >= 0; i--) {
        const tg_value pair[] = { d_times(d, g, d_slice(d, level[i], &odd)),
                                  d_times(d, g, d_slice(d, level[i], &even)) };
        g = d_stack(d, pair, 2, ATTRIBUTES(axis, .axis = 1));
        g = tg__reshaped(d, g, 2, (const int64_t[]){ 2 * size[i + 1], m });
        if (size[i] % 2) g = d_slice(d, g, ATTRIBUTES(slice, .stop = size[i]));
    }
    return g;
}

DERIVATIVE(prod)
{
    const tg__shape x = *tg__shape_of(d, d->x[0]), y = *tg__shape_of(d, tg__kept(d, d->y));
    const int64_t n = (int64_t)elements_of(d);
    if (n == 0) return;
    tg_list_attributes there = { .count = 0 }, back = { .count = x.rank };
    tg_list_attributes ordered = { .count = x.rank };
    for (int stays = 0; stays < 2; stays++) /* the reduced axes come first */
        for (int i = 0; i < x.rank; i++)
            if ((y.dim[i] == x.dim[i]) == stays) there.item[there.count++] = i;
    for (int i = 0; i < x.rank; i++) {
        back.item[there.item[i]] = i;
        ordered.item[i] = x.dim[there.item[i]];
    }
    const int64_t folded[] = { n, x.n / n };
    const tg_value columns = tg__reshaped(d, d_permute(d, d->x[0], &there), 2, folded);
    const tg_value g = tg__reshaped(d, d->g, 2, (const int64_t[]){ 1, folded[1] });
    const tg_value dx = products_derivative(d, columns, g);
    d->dx[0] = d_permute(d, d_reshape(d, dx, &ordered), &back);
}

CASES(prod, { .n = 1, .x = { TENSOR(-2, 2, 2, 3) } }, { .n = 1, .x = { SCALAR(-2, 2) } },
      OVER(TENSOR(-2, 2, 3, 4), .axis = 0), OVER(TENSOR(-2, 2, 3, 4), .axis = 1, .keep = true),
      OVER(TENSOR(0.5, 2, 2, 3, 2, 2), .axes = { 2, { 1, -1 } }),
      OVER(TENSOR(-2, 2, 0, 3), .axis = 0))

/* ---- var, std -------------------------------------------------------------------------------- */

/* What the sum of squares is divided by: NaN where nothing is left of it. */
static double freedom(const fold *f)
{
    const double n = (double)f->count - f->a->correction;
    return n > 0 ? n : (double)NAN;
}

/* Whether a mean is so large against the deviation of the elements that its rounding is felt there: by the square of their
   quotient. */
static bool is_far(double mean, double variance, double square)
{
    return !(mean * mean < square * variance);
}

/* To means that are far the mean distance of the elements from them is added: then they are one of the elements where all
   are equal; in f32, which has no use for them, without the last four bits. False if there are none. */
static bool center(fold *f, double *mean, const double *variance, double square)
{
    const bool single = f->c->x[0].s->type == TG_F32;
    double rest[TG__TILE];
    if (!f->k->far_from_0(f->w, mean, variance, square)) return false;
    total(f, f->k->offsets, mean, 0, rest);
    for (int64_t j = 0; j < f->w; j++)
        if (is_far(mean[j], variance[j], square)) {
            const double exact = mean[j] + rest[j] / (double)f->count, more = 17 * exact;
            mean[j] = single ? more - (more - exact) : exact;
        }
    return true;
}

/* y = y / n, of which f32 has the digits that a product has, too. */
static void divide(const fold *f, double *y, double n)
{
    const double part = 1 / n;
    if (f->c->x[0].s->type == TG_F32)
        for (int64_t j = 0; j < f->w; j++) y[j] *= part;
    else
        for (int64_t j = 0; j < f->w; j++) y[j] /= n;
}

static void first_mean(fold *f, double *mean)
{
    sum_of(f, mean, NULL);
    divide(f, mean, (double)f->count);
}

/* Squares around a mean that is off by an ulp or two are too large by the square of that: only of elements far from 0 does
   it matter, and of equal ones, whose variance is 0. The others are the same again. */
static void variance_of(fold *f, double *y, const double *g)
{
    (void)g;
    double mean[TG__TILE];
    first_mean(f, mean);
    total(f, f->k->squares, mean, 0, y);
    divide(f, y, freedom(f));
    if (!center(f, mean, y, 1000)) return;
    total(f, f->k->squares, mean, 0, y);
    divide(f, y, freedom(f));
}

/* The mean for the gradient, as exact as the elements' distances from it are to be. */
static void mean_for(fold *f, double *mean, const double *variance)
{
    first_mean(f, mean);
    (void)center(f, mean, variance, 16);
}

/* a = g times scale, which may be NaN; nothing where g is 0. Without a condition in front of the product compilers make
   vectors of it. */
static void scaled(const fold *f, const double *g, double scale, double *a)
{
    for (int64_t j = 0; j < f->w; j++) {
        const double product = g[j] * scale;
        a[j] = g[j] == 0 ? 0 : product;
    }
}

static void spread_variance(fold *f, double *y, const double *g)
{
    double mean[TG__TILE], a[TG__TILE];
    mean_for(f, mean, y);
    scaled(f, g, 2 / freedom(f), a);
    spread(f, f->k->spread_offsets, a, mean, 0);
}

TG_OP(var, "n", reduce, "variance of the elements over axes: divided by n - correction")

SHAPE(var) { return tg__reduced_shape(c, y); }

FORWARD(var) { return fold_forward(c, variance_of); }

BACKWARD(var) { return fold_backward_twice(c, spread_variance); }

DERIVATIVE(var)
{
    const double n = elements_of(d) - ((const tg_reduce_attributes *)d->attributes)->correction;
    const tg_value scale = d->to->number(n > 0 ? 2 / n : (double)NAN);
    d->dx[0] = d_times(d, tg__kept(d, d_times(d, d->g, scale)), centered(d));
}

CASES(var, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } },
      OVER(TENSOR(-2, 2, 4, 3), .axis = 0, .correction = 0.0),
      OVER(TENSOR(-2, 2, 4, 3), .axis = -1, .keep = true),
      OVER(TENSOR(-2, 2, 2, 3, 2, 3), .axes = { 2, { 0, 2 } }),
      OVER(TENSOR(-2, 2, 3, 0), .axis = 0))

static void deviation_of(fold *f, double *y, const double *g)
{
    variance_of(f, y, g);
    for (int64_t j = 0; j < f->w; j++) y[j] = sqrt(y[j]);
}

static void spread_deviation(fold *f, double *y, const double *g)
{
    double mean[TG__TILE], a[TG__TILE], variance[TG__TILE];
    for (int64_t j = 0; j < f->w; j++) variance[j] = y[j] * y[j];
    mean_for(f, mean, variance);
    scaled(f, g, 1 / freedom(f), a);
    for (int64_t j = 0; j < f->w; j++) {
        const double quotient = a[j] / y[j];
        a[j] = y[j] == 0 ? 0 : quotient;
    }
    spread(f, f->k->spread_offsets, a, mean, 0);
}

TG_OP(std, "n", reduce, "standard deviation of the elements over axes: the square root of var")

SHAPE(std) { return tg__reduced_shape(c, y); }

FORWARD(std) { return fold_forward(c, deviation_of); }

BACKWARD(std) { return fold_backward_twice(c, spread_deviation); }

DERIVATIVE(std)
{
    const double n = elements_of(d) - ((const tg_reduce_attributes *)d->attributes)->correction;
    const tg_value size = d_mul(d, d->y, d->to->number(n > 0 ? n : (double)NAN));
    const tg_value g = d_where(d, d->y, d_div(d, d->g, size), d->to->number(0));
    d->dx[0] = d_times(d, tg__kept(d, g), centered(d));
}

CASES(std, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } },
      OVER(TENSOR(-2, 2, 4, 3), .axis = 0, .correction = 0.0),
      OVER(TENSOR(-2, 2, 4, 3), .axis = -1, .keep = true),
      OVER(TENSOR(-2, 2, 2, 3, 2, 3), .axes = { 2, { 0, 2 } }))

/* ---- amax, amin, argmax, argmin -------------------------------------------------------------- */

static void write_largest(fold *f, double *y, const double *g)
{
    (void)y, (void)g;
    write_fold(f, f->k->max);
}

static void write_smallest(fold *f, double *y, const double *g)
{
    (void)y, (void)g;
    write_fold(f, f->k->min);
}

/* a = g shared by as many elements as match y. */
static void shares(fold *f, tg__sum_kernel *matches, const double *y, const double *g, double *a)
{
    double count[TG__TILE];
    total(f, matches, y, 0, count);
    f->k->shares(f->w, a, g, count);
}

static void spread_extreme(fold *f, double *y, const double *g)
{
    double a[TG__TILE];
    const bool nan = !f->c->k->lanes.finite(f->w, output(f, f->c->y.p)); /* or infinite */
    shares(f, nan ? f->k->matches : f->k->equals, y, g, a);
    spread(f, nan ? f->k->spread_matches : f->k->spread_equals, a, y, 0);
}

TG_OP(amax, "n", reduce, "largest element over axes; ties share the gradient")

SHAPE(amax) { return reduced_shape_of_some(c, y); }

FORWARD(amax) { return fold_values(c, write_largest, WRITE); }

BACKWARD(amax) { return fold_backward_twice(c, spread_extreme); }

DERIVATIVE(amax) { d->dx[0] = shared(d, d->x[0]); }

CASES(amax, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } }, { .n = 1, .x = { SCALAR(-2, 2) } },
      OVER(TENSOR(-2, 2, 4, 3), .axis = 0), OVER(TENSOR(-2, 2, 4, 3), .axis = -1, .keep = true),
      OVER(TENSOR(-2, 2, 2, 3, 2, 3), .axes = { 2, { 0, 2 } }),
      OVER(TENSOR(-2, 2, 3, 0), .axis = 0))

TG_OP(amin, "n", reduce, "smallest element over axes; ties share the gradient")

SHAPE(amin) { return reduced_shape_of_some(c, y); }

FORWARD(amin) { return fold_values(c, write_smallest, WRITE); }

BACKWARD(amin) { return fold_backward_twice(c, spread_extreme); }

DERIVATIVE(amin) { d->dx[0] = shared(d, d->x[0]); }

CASES(amin, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } }, { .n = 1, .x = { SCALAR(-2, 2) } },
      OVER(TENSOR(-2, 2, 4, 3), .axis = 0), OVER(TENSOR(-2, 2, 4, 3), .axis = -1, .keep = true),
      OVER(TENSOR(-2, 2, 2, 3, 2, 3), .axes = { 2, { 0, 2 } }),
      OVER(TENSOR(-2, 2, 3, 0), .axis = 0))

/* Writes the position of the first element that is value[j], row-major among the reduced axes. */
static void find_first(fold *f, const double *value)
{
    int64_t *const index = output(f, f->c->y.p), at = 0;
    for (int64_t j = 0; j < f->w; j++) index[j] = -1;
    do {
        const tg__tile t = tile_of(f);
        f->k->find(&t, value, at, index);
        at += t.n;
    } while (tg__walk_next(&f->elements));
}

static void find_largest(fold *f, double *y, const double *g)
{
    (void)g;
    folded(f, f->k->max, y);
    find_first(f, y);
}

static void find_smallest(fold *f, double *y, const double *g)
{
    (void)g;
    folded(f, f->k->min, y);
    find_first(f, y);
}

/* Blocks take a short way. */
static tg_code find_extremes(const tg__call *c, bool most)
{
    const tg__shape *const x = c->x[0].s;
    const tg__reduce_kernels *const k = &c->k->reduce;
    unsigned axes;
    block b;
    (void)tg__reduced_axes(c, &axes);
    if (c->y.s->n == 0) return TG_OK;
    if (!block_of(x, axes, &b)) return fold_values(c, most ? find_largest : find_smallest, WRITE);
    int64_t *const index = c->y.p;
    if (b.inner == 1) k->first_extremes(b.outer, b.n, c->x[0].p, most, index);
    const size_t size = (size_t)(b.n * b.inner) * tg__type_size(x->type);
    for (int64_t i = 0; i < b.outer && b.inner > 1; i++)
        k->first_extremes_columns(b.inner, b.n, (const char *)c->x[0].p + (size_t)i * size, most,
                                  index + i * b.inner);
    return TG_OK;
}

static tg_code index_shape(const tg__call *c, tg__shape *y)
{
    const tg_code code = reduced_shape_of_some(c, y);
    y->type = TG_I64;
    return code;
}

TG_OP_ZERO(argmax, "0", reduce, "index of the first largest element over axes")

SHAPE(argmax) { return index_shape(c, y); }

FORWARD(argmax)
{
    return find_extremes(c, true);
}

CASES(argmax, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } }, { .n = 1, .x = { SCALAR(-2, 2) } },
      OVER(TENSOR(-2, 2, 4, 3), .axis = 0), OVER(TENSOR(-2, 2, 2, 3, 4), .axis = -1, .keep = true))

TG_OP_ZERO(argmin, "0", reduce, "index of the first smallest element over axes")

SHAPE(argmin) { return index_shape(c, y); }

FORWARD(argmin)
{
    return find_extremes(c, false);
}

CASES(argmin, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } }, { .n = 1, .x = { SCALAR(-2, 2) } },
      OVER(TENSOR(-2, 2, 4, 3), .axis = 0), OVER(TENSOR(-2, 2, 2, 3, 4), .axis = -1, .keep = true))

/* ---- norm ------------------------------------------------------------------------------------ */

/* The power of two that brings size to about 1, as far as the type can hold it. It changes no digit
   of what it multiplies. */
static double unit(double size, tg_type type)
{
    const int most = type == TG_F32 ? 126 : 1022;
    int exponent;
    (void)frexp(size, &exponent);
    return size == 0 || !isfinite(size) ? 1 : ldexp(1, -exponent < most ? -exponent : most);
}

/* y = (sum |x b|^p)^(1/p), where b brings about the largest element (for p < 0 the smallest) to 1: its
   power could overflow. */
static void scaled_norm(fold *f, double *y, double *b)
{
    const double p = f->a->p;
    double size[TG__TILE];
    folded(f, p < 0 ? f->k->size_min : f->k->size_max, size);
    for (int64_t j = 0; j < f->w; j++) b[j] = unit(size[j], f->c->x[0].s->type);
    total(f, p == 2 ? f->k->scaled_squares : f->k->powers, b, p, y);
    for (int64_t j = 0; j < f->w; j++)
        y[j] = f->count == 0 ? 0 : p == 2 ? sqrt(y[j]) : pow(y[j], 1 / p);
}

/* The root of the sum of squares as they are, where all sums are of a size at which no square that matters has lost digits;
   else false. */
static bool plain_norm(fold *f, double *y)
{
    const bool single = f->c->x[0].s->type == TG_F32;
    const double least = single ? 0x1p-80 : 0x1p-900, most = single ? 0x1p120 : 0x1p1000;
    bool within = true;
    total(f, f->k->squares, NULL, 0, y);
    for (int64_t j = 0; j < f->w; j++) within &= (y[j] > least) & (y[j] < most);
    for (int64_t j = 0; within && j < f->w; j++) y[j] = sqrt(y[j]);
    return within;
}

static void power_norm(fold *f, double *y)
{
    if (f->a->p == 2 && plain_norm(f, y)) return;
    double b[TG__TILE];
    scaled_norm(f, y, b);
    for (int64_t j = 0; j < f->w; j++) y[j] /= b[j];
}

static void norm_of(fold *f, double *y, const double *g)
{
    (void)g;
    const double p = f->a->p;
    if (p == 1) {
        total(f, f->k->sizes, NULL, 0, y);
    } else if (isinf(p) && f->count > 0) {
        folded(f, p > 0 ? f->k->size_max : f->k->size_min, y);
    } else if (p == 0) {
        const double zero[TG__TILE] = { 0 };
        total(f, f->k->matches, zero, 0, y);
        for (int64_t j = 0; j < f->w; j++) y[j] = (double)f->count - y[j];
    } else {
        power_norm(f, y);
    }
}

/* dx = g sign(x) (|x b| / y)^(p - 1), with y the norm of x b. */
static void spread_scaled_norm(fold *f, const double *g)
{
    const double p = f->a->p;
    double a[TG__TILE], b[TG__TILE], y[TG__TILE];
    scaled_norm(f, y, b);
    for (int64_t j = 0; j < f->w; j++)
        a[j] = g[j] == 0 || y[j] == 0 ? 0 : g[j] * (p == 2 ? 1 / y[j] : pow(y[j], 1 - p));
    spread(f, p == 2 ? f->light->spread_scaled : f->k->spread_powers, a, b, p - 1);
}

/* dx = g sign(x) (|x| / y)^(p - 1). */
static void spread_norm(fold *f, double *y, const double *g)
{
    const double p = f->a->p;
    double a[TG__TILE], b[TG__TILE];
    if (p == 0) return;
    if (isinf(p)) {
        shares(f, f->k->size_matches, y, g, a);
        spread(f, f->k->spread_size_matches, a, y, 0);
        return;
    }
    if (p == 1) {
        for (int64_t j = 0; j < f->w; j++) a[j] = y[j] == 0 ? 0 : g[j];
        spread(f, f->light->spread_signs, a, NULL, 0);
        return;
    }
    /* Some norm may be so small that its reciprocal is infinite, or that it has lost digits. */
    if (f->k->any_below(f->w, y, f->c->x[0].s->type == TG_F32 ? (double)FLT_MIN : DBL_MIN)) {
        spread_scaled_norm(f, g);
        return;
    }
    if (p == 2) {
        f->k->quotients(f->w, a, g, y);
        spread(f, f->light->spread_multiples, a, NULL, 0);
        return;
    }
    for (int64_t j = 0; j < f->w; j++) {
        a[j] = y[j] == 0 ? 0 : g[j];
        b[j] = 1 / y[j];
    }
    spread(f, f->k->spread_powers, a, b, p - 1);
}

TG_OP(norm, "n", reduce, "p-norm of the elements over axes; p = 0 counts those that are not 0")

SHAPE(norm)
{
    const double p = ((const tg_reduce_attributes *)c->attributes)->p;
    return isnan(p) ? tg__fail(c, TG_ERROR_ARGUMENT, "p is NaN") : tg__reduced_shape(c, y);
}

FORWARD(norm) { return fold_forward(c, norm_of); }

BACKWARD(norm) { return fold_backward(c, spread_norm); }

DERIVATIVE(norm)
{
    const double p = ((const tg_reduce_attributes *)d->attributes)->p;
    const tg_value x = d->x[0], y = tg__kept(d, d->y), g = tg__kept(d, d->g), zero = d->to->number(0);
    if (p == 0) return;
    if (isinf(p)) {
        d->dx[0] = d_times(d, shared(d, d_abs(d, x)), d_sign(d, x));
    } else if (p == 1) {
        d->dx[0] = d_times(d, g, d_sign(d, x));
    } else if (p == 2) {
        d->dx[0] = d_times(d, d_where(d, y, d_div(d, g, y), zero), x);
    } else {
        const tg_value size = d_pow(d, d_div(d, d_abs(d, x), y), d->to->number(p - 1));
        d->dx[0] = d_where(d, y, d_times(d, g, d_mul(d, d_sign(d, x), size)), zero);
    }
}

CASES(norm, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } }, { .n = 1, .x = { SCALAR(0.5, 2) } },
      OVER(TENSOR(-2, 2, 4, 3), .axis = 0, .p = 1.0),
      OVER(TENSOR(-2, 2, 4, 3), .axis = -1, .keep = true, .p = 3.0),
      OVER(TENSOR(0.5, 2, 4, 3), .axis = 0, .p = -1.5),
      OVER(TENSOR(-2, 2, 4, 3), .axis = -1, .p = (double)INFINITY),
      OVER(TENSOR(-2, 2, 2, 3, 2, 3), .axes = { 2, { 0, 2 } }))

/* ---- logsumexp ------------------------------------------------------------------------------- */

/* Shifted by the maximum, unless that is infinite: then the exponentials give 0 or infinity without
   help. */
static void logsumexp_of(fold *f, double *y, const double *g)
{
    (void)g;
    double m[TG__TILE];
    folded(f, f->k->max, m);
    for (int64_t j = 0; j < f->w; j++)
        if (isinf(m[j])) m[j] = 0;
    total(f, f->k->exps, m, 0, y);
    for (int64_t j = 0; j < f->w; j++) y[j] = log(y[j]) + m[j];
}

/* The rounding of y, which is large if y is, is found again in the sum of exp(x - y): it is not 1. */
static void spread_logsumexp(fold *f, double *y, const double *g)
{
    double a[TG__TILE], sum[TG__TILE];
    total(f, f->k->exps, y, 0, sum);
    for (int64_t j = 0; j < f->w; j++)
        a[j] = g[j] == 0 || (y[j] < 0 && isinf(y[j])) ? 0 : isinf(y[j]) ? g[j] : g[j] / sum[j];
    spread(f, f->k->spread_exps, a, y, 0);
}

static bool all_finite(tg__array x)
{
    double sum = 0;
    for (int64_t i = 0; i < x.s->n; i++)
        sum += 0 * (x.s->type == TG_F32 ? (double)((float *)x.p)[i] : ((double *)x.p)[i]);
    return sum == 0;
}

TG_OP_KEEPS(logsumexp, "n", reduce, "logarithm of the sum of the exponentials over axes")

SHAPE(logsumexp) { return tg__reduced_shape(c, y); }

/* The softargmax of the rows, which is the gradient for a g of 1. */
KEPT(logsumexp) { return whole_rows(c) ? c->x[0].s->n : 0; }

FORWARD(logsumexp)
{
    const int64_t n = c->kept ? whole_rows(c) : short_rows(c);
    if (n == 0) return fold_forward(c, logsumexp_of);
    if (c->kept) c->k->reduce.kept_logsumexps(c->y.s->n, n, c->x[0].p, c->y.p, c->kept);
    else c->k->reduce.row_logsumexps(c->y.s->n, n, c->x[0].p, c->y.p);
    return TG_OK;
}

BACKWARD(logsumexp)
{
    const int64_t rows = c->y.s->n;
    if (c->kept) {
        c->k->reduce.kept_logsumexps_backward(rows, whole_rows(c), c->kept, c->g, c->dx[0].p);
        return TG_OK;
    }
    const int64_t n = short_rows(c);
    if (n == 0 || !c->dx[0].p || !all_finite(c->y)) return fold_backward(c, spread_logsumexp);
    c->k->reduce.row_logsumexps_backward(rows, n, c->x[0].p, c->y.p, c->g, c->dx[0].p);
    return TG_OK;
}

/* The sum takes the rounding of y away, as in spread_logsumexp. */
DERIVATIVE(logsumexp)
{
    const tg_reduce_attributes a = keeping(d);
    const tg_value y = tg__kept(d, d->y), none = d_eq(d, y, d->to->number(-(double)INFINITY));
    const tg_value part = d_exp(d, d_sub(d, d->x[0], y)), sum = d_sum(d, part, &a);
    const tg_value share = d_div(d, part, d_where(d, d_isfinite(d, y), sum, d->to->number(1)));
    d->dx[0] = d_times(d, tg__kept(d, d->g), d_where(d, none, d->to->number(0), share));
}

CASES(logsumexp, { .n = 1, .x = { TENSOR(-2, 2, 3, 4) } }, { .n = 1, .x = { SCALAR(-2, 2) } },
      OVER(TENSOR(-2, 2, 4, 3), .axis = 0), OVER(TENSOR(-2, 2, 4, 3), .axis = -1, .keep = true),
      OVER(TENSOR(-2, 2, 2, 3, 2, 3), .axes = { 2, { 0, 2 } }))
