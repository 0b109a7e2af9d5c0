/* Convolutions: windows that slide over the last one or two axes of x, (n, c, h, w) or (c, h, w)
   with two axes, (n, c, l) or (c, l) with one.

   Convolution, its transpose and its gradient by the kernel are one form, linear in each of three
   tensors: the sum over images, channels, windows and taps of x w g. What lies on the side of x has
   the planes, what lies on the side of g has one element for each window. Each of the three ops
   computes the form's derivative by one of the tensors, so their gradients are each other.

   All three are matrix products with the matrix whose columns are what windows see. It is made in
   tiles that stay in cache, never as a whole; where x itself is that matrix it is not made at all. */
#include "kernels/blas.h"
#include "ops/op.h"
#include "ops/window.h"

/* ---- attributes ------------------------------------------------------------------------------ */

/* Fills all of the windows but n, out and kernel. */
static tg_code read_steps(const tg__call *c, const tg_conv_attributes *a, int axes,
                          tg__windows w[AXES])
{
    const tg__numbers each[] = { { "stride", a->stride, a->strides, 1 },
                                 { "padding", a->padding, a->paddings, 0 },
                                 { "dilation", a->dilation, a->dilations, 1 } };
    int64_t read[3][AXES] = { { 1, 1 }, { 0, 0 }, { 1, 1 } };
    for (int i = 0; i < 3; i++) {
        const tg_code code = tg__read_numbers(c, &each[i], axes, read[i]);
        if (code != TG_OK) return code;
    }
    for (int i = 0; i < AXES; i++)
        w[i] = (tg__windows){ .n = 1,
                              .out = 1,
                              .kernel = 1,
                              .stride = read[0][i],
                              .padding = read[1][i],
                              .dilation = read[2][i] };
    return TG_OK;
}

/* ---- a convolution --------------------------------------------------------------------------- */

enum {
    TILE_BYTES = 1 << 18, /* of the matrix of a tile: half of a small second cache */
    TILE_DEPTH = 256,     /* its rows, as deep as a block of the matrix product */
    TILE_COLUMNS = 1536,
    LEAST_COLUMNS = 64 /* fewer are not worth a product of their own */
};

/* The form on arrays: x of any strides, w and g adjacent. in and out: the channels of one group. */
typedef struct conv {
    const tg__call *c;
    tg_type type;
    ptrdiff_t size; /* of an element */
    int64_t images, groups, in, out;
    int64_t points; /* windows of an image */
    int64_t taps;   /* of a kernel */
    tg__planes planes;
    ptrdiff_t image; /* x, from one image to the next */
    char *x, *w, *g;
    bool direct;       /* x is the matrix; then: */
    tg__matrix matrix; /* p is that of the first image and group */
    int64_t tile_images, tile_points, tile_channels;
    char *columns, *side, *work; /* scratch */
    size_t work_bytes;
} conv;

/* Some windows of some images in one group. */
typedef struct tile {
    int64_t group, image, images;
    tg__window_range r; /* of each image */
    int64_t columns;
} tile;

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Whether axes of these lengths and strides, from the last to the first, can be walked over with
   one stride, and which. */
static bool merges(int axes, const int64_t *n, const ptrdiff_t *stride, ptrdiff_t *merged)
{
    int64_t length = 1;
    for (int i = 0; i < axes; i++) {
        if (n[i] == 1) continue;
        if (length == 1) *merged = stride[i];
        else if (stride[i] != length * *merged) return false;
        length *= n[i];
    }
    if (length == 1) *merged = 1;
    return true;
}

/* Finds out whether the matrix of all windows is x as it lies in memory. Columns are the windows of
   an image, or where each has one window, the images. */
static bool is_direct(conv *v)
{
    const tg__planes *const p = &v->planes;
    const tg__windows *const h = &p->h, *const w = &p->w;
    v->matrix = (tg__matrix){ v->x, p->channel, v->image };
    if (h->padding || w->padding) return false;
    if (v->points == 1)
        return merges(
            3, (const int64_t[]){ w->kernel, h->kernel, p->channels },
            (const ptrdiff_t[]){ p->column * w->dilation, p->row * h->dilation, p->channel },
            &v->matrix.row);
    if (v->taps > 1 || (v->points < LEAST_COLUMNS && v->images > 1)) return false;
    return merges(2, (const int64_t[]){ w->out, h->out },
                  (const ptrdiff_t[]){ p->column * w->stride, p->row * h->stride },
                  &v->matrix.column);
}

static void choose_tiles(conv *v)
{
    v->tile_images = v->points == 1 ? v->images : 1;
    v->tile_points = v->points;
    v->tile_channels = v->in;
    if (v->direct) return;
    v->tile_channels = least(v->in, (TILE_DEPTH + v->taps - 1) / v->taps);
    int64_t most = TILE_BYTES / v->size / (v->tile_channels * v->taps);
    most = least(most < LEAST_COLUMNS ? LEAST_COLUMNS : most, TILE_COLUMNS);
    v->tile_images = least(v->images, most / v->points);
    if (v->tile_images > 0) return;
    v->tile_images = 1;
    const int64_t pieces = (v->points + most - 1) / most;
    v->tile_points = (v->points + pieces - 1) / pieces;
}

/* Whether results of tiles are no matrix where they lie: several windows of several images. */
static bool goes_aside(const conv *v)
{
    return v->tile_images > 1 && v->points > 1;
}

/* s with the axis for images that it may lack. */
static tg__shape with_images(const tg__shape *s, int axes)
{
    if (s->rank == axes + 2) return *s;
    tg__shape t = {
        .type = s->type, .rank = s->rank + 1, .n = s->n, .dim = { 1 }, .stride = { 0 }
    };
    for (int i = 0; i < s->rank; i++) t.dim[i + 1] = s->dim[i], t.stride[i + 1] = s->stride[i];
    return t;
}

/* Makes the form of arrays whose shapes agree. The windows have their steps. */
static tg_code conv_begin(conv *v, const tg__call *c, const tg__windows steps[AXES], tg__array x,
                          tg__array w, tg__array g)
{
    const int axes = w.s->rank - 2;
    const tg__shape xs = with_images(x.s, axes), gs = with_images(g.s, axes);
    tg__windows window[AXES] = { steps[0], steps[1] };
    for (int i = AXES - axes; i < AXES; i++) {
        window[i].n = xs.dim[2 + i - (AXES - axes)];
        window[i].out = gs.dim[2 + i - (AXES - axes)];
        window[i].kernel = w.s->dim[2 + i - (AXES - axes)];
    }
    *v = (conv){ .c = c,
                 .type = x.s->type,
                 .size = (ptrdiff_t)tg__type_size(x.s->type),
                 .images = xs.dim[0],
                 .in = w.s->dim[1],
                 .image = xs.stride[0],
                 .x = x.p,
                 .w = w.p,
                 .g = g.p };
    v->groups = v->in ? xs.dim[1] / v->in : 1;
    v->out = w.s->dim[0] / v->groups;
    v->points = window[0].out * window[1].out;
    v->taps = window[0].kernel * window[1].kernel;
    v->planes = (tg__planes){ .h = window[0],
                              .w = window[1],
                              .channels = v->in,
                              .channel = xs.stride[1],
                              .row = axes > 1 ? xs.stride[2] : 0,
                              .column = xs.stride[axes + 1] };
    if (v->images == 0 || v->in == 0 || v->out == 0) return TG_OK;
    v->direct = is_direct(v);
    choose_tiles(v);
    const int64_t columns = v->tile_images * v->tile_points;
    if (!v->direct) {
        v->columns = tg__scratch(c, (size_t)(columns * v->tile_channels * v->taps * v->size));
        if (!v->columns) return TG_ERROR_MEMORY;
    }
    if (goes_aside(v) && !(v->side = tg__scratch(c, (size_t)(columns * v->out * v->size))))
        return TG_ERROR_MEMORY;
    return TG_OK;
}

static tg_code multiply(conv *v, const tg__product *p)
{
    const size_t bytes = tg__multiply_scratch(v->c->k, v->type, p);
    if (bytes > v->work_bytes) {
        v->work = tg__scratch(v->c, bytes);
        if (!v->work) return TG_ERROR_MEMORY;
        v->work_bytes = bytes;
    }
    tg__multiply(v->c->k, v->type, p, v->work);
    return TG_OK;
}

/* ---- the sides of a tile --------------------------------------------------------------------- */

static char *tile_x(const conv *v, const tile *t)
{
    return v->x + (t->image * v->image + t->group * v->in * v->planes.channel) * v->size;
}

static char *tile_g(const conv *v, const tile *t)
{
    return v->g + ((t->image * v->groups + t->group) * v->out * v->points + t->r.first) * v->size;
}

/* The matrix of results, (out, columns): where they lie, or aside. */
static tg__matrix results(const conv *v, const tile *t)
{
    if (v->side) return (tg__matrix){ v->side, t->columns, 1 };
    return (tg__matrix){ tile_g(v, t), v->points, v->points == 1 ? v->groups * v->out : 1 };
}

/* The results where they lie, and aside, as arrays (out, images, windows). */
static tg__shape results_shape(const conv *v, const tile *t, bool aside)
{
    tg__shape s = { .type = v->type,
                    .rank = 3,
                    .n = v->out * t->columns,
                    .dim = { v->out, t->images, t->r.count },
                    .stride = { v->points, v->groups * v->out * v->points, 1 } };
    if (aside) s.stride[0] = t->columns, s.stride[1] = t->r.count;
    return s;
}

static void fetch_results(const conv *v, const tile *t)
{
    if (!v->side) return;
    const tg__shape there = results_shape(v, t, false), aside = results_shape(v, t, true);
    tg__copy(v->c->k, (tg__array){ &aside, v->side }, (tg__array){ &there, tile_g(v, t) });
}

static void add_results(const conv *v, const tile *t)
{
    if (!v->side) return;
    const tg__shape there = results_shape(v, t, false), aside = results_shape(v, t, true);
    tg__add(v->c->k, (tg__array){ &there, tile_g(v, t) }, (tg__array){ &aside, v->side });
}

/* Channels first ... first + n - 1 of a tile's kernels as a matrix (out, n * taps). */
static tg__matrix kernels(const conv *v, const tile *t, int64_t first)
{
    const int64_t depth = v->in * v->taps;
    return (tg__matrix){ v->w + (t->group * v->out * depth + first * v->taps) * v->size, depth, 1 };
}

static tg__matrix direct_columns(const conv *v, const tile *t)
{
    return (tg__matrix){ tile_x(v, t), v->matrix.row, v->matrix.column };
}

static tg__planes some_planes(const conv *v, int64_t n)
{
    tg__planes p = v->planes;
    p.channels = n;
    return p;
}

/* The matrix of what a tile's windows see of n channels, (n * taps, columns). */
static tg__matrix columns(const conv *v, const tile *t, int64_t first, int64_t n)
{
    if (v->direct) return direct_columns(v, t);
    const tg__planes p = some_planes(v, n);
    const char *const x = tile_x(v, t) + first * p.channel * v->size;
    for (int64_t i = 0; i < t->images; i++)
        v->c->k->window.unfold(&p, t->r, v->columns + i * t->r.count * v->size, t->columns,
                               x + i * v->image * v->size);
    return (tg__matrix){ v->columns, t->columns, 1 };
}

/* Adds such a matrix to x. */
static void add_columns(const conv *v, const tile *t, int64_t first, int64_t n)
{
    const tg__planes p = some_planes(v, n);
    char *const x = tile_x(v, t) + first * p.channel * v->size;
    for (int64_t i = 0; i < t->images; i++)
        v->c->k->window.fold(&p, t->r, v->columns + i * t->r.count * v->size, t->columns,
                             x + i * v->image * v->size);
}

/* ---- the three derivatives of the form ------------------------------------------------------- */

typedef tg_code tile_work(conv *v, const tile *t);

static tg_code each_tile(conv *v, tile_work *work)
{
    if (v->in == 0 || v->out == 0) return TG_OK;
    for (int64_t group = 0; group < v->groups; group++)
        for (int64_t i = 0; i < v->images; i += v->tile_images)
            for (int64_t first = 0; first < v->points; first += v->tile_points) {
                tile t = { group,
                           i,
                           least(v->tile_images, v->images - i),
                           { first, least(v->tile_points, v->points - first) },
                           0 };
                t.columns = t.images * t.r.count;
                const tg_code code = work(v, &t);
                if (code != TG_OK) return code;
            }
    return TG_OK;
}

/* g += the convolution of x by w. */
static tg_code convolve_tile(conv *v, const tile *t)
{
    const tg__matrix g = results(v, t);
    tg_code code = TG_OK;
    for (int64_t i = 0; i < v->in && code == TG_OK; i += v->tile_channels) {
        const int64_t n = least(v->tile_channels, v->in - i);
        const tg__matrix from = v->side && i == 0 ? (tg__matrix){ 0 } : g;
        code = multiply(v, &(tg__product){ v->out, t->columns, n * v->taps, kernels(v, t, i),
                                           columns(v, t, i, n), g, from });
    }
    if (code == TG_OK) add_results(v, t);
    return code;
}

/* x += the transposed convolution of g by w. */
static tg_code transpose_tile(conv *v, const tile *t)
{
    fetch_results(v, t);
    const tg__matrix g = results(v, t);
    for (int64_t i = 0; i < v->in; i += v->tile_channels) {
        const int64_t n = least(v->tile_channels, v->in - i);
        tg__product p = { n * v->taps, t->columns,
                          v->out,      tg__transposed(kernels(v, t, i)),
                          g,           { v->columns, t->columns, 1 },
                          { 0 } };
        if (v->direct) p.c = p.d = direct_columns(v, t);
        const tg_code code = multiply(v, &p);
        if (code != TG_OK) return code;
        if (!v->direct) add_columns(v, t, i, n);
    }
    return TG_OK;
}

/* w += the gradient of a convolution by its kernels. */
static tg_code weigh_tile(conv *v, const tile *t)
{
    fetch_results(v, t);
    const tg__matrix g = results(v, t);
    for (int64_t i = 0; i < v->in; i += v->tile_channels) {
        const int64_t n = least(v->tile_channels, v->in - i);
        const tg__matrix w = kernels(v, t, i), x = columns(v, t, i, n);
        const tg_code code = multiply(
            v, &(tg__product){ v->out, n * v->taps, t->columns, g, tg__transposed(x), w, w });
        if (code != TG_OK) return code;
    }
    return TG_OK;
}

/* One derivative of the form, added to the array on its side. */
static tg_code add_form(const tg__call *c, tile_work *work, const tg__windows steps[AXES],
                        tg__array x, tg__array w, tg__array g)
{
    conv v;
    const tg_code code = conv_begin(&v, c, steps, x, w, g);
    return code == TG_OK ? each_tile(&v, work) : code;
}

/* ---- arrays ---------------------------------------------------------------------------------- */

static tg_code add_to_x(const tg__call *c, const tg__windows steps[AXES], tg__array dx, tg__array w,
                        tg__array g)
{
    tg__shape s[2];
    tg_code code = tg__make_adjacent(c, &w, &s[0]);
    if (code == TG_OK) code = tg__make_adjacent(c, &g, &s[1]);
    return code == TG_OK ? add_form(c, transpose_tile, steps, dx, w, g) : code;
}

static tg_code add_to_w(const tg__call *c, const tg__windows steps[AXES], tg__array x, tg__array dw,
                        tg__array g)
{
    tg__shape s[2];
    tg__array w;
    tg_code code = tg__target_begin(c, dw, &w, &s[0]);
    if (code == TG_OK) code = tg__make_adjacent(c, &g, &s[1]);
    if (code == TG_OK) code = add_form(c, weigh_tile, steps, x, w, g);
    if (code == TG_OK) tg__target_end(c, dw, w);
    return code;
}

static tg_code add_to_g(const tg__call *c, const tg__windows steps[AXES], tg__array x, tg__array w,
                        tg__array dg)
{
    tg__shape s[2];
    tg__array g;
    tg_code code = tg__make_adjacent(c, &w, &s[0]);
    if (code == TG_OK) code = tg__target_begin(c, dg, &g, &s[1]);
    if (code == TG_OK) code = add_form(c, convolve_tile, steps, x, w, g);
    if (code == TG_OK) tg__target_end(c, dg, g);
    return code;
}

/* ---- biases ---------------------------------------------------------------------------------- */

/* How results lie by channels: images of channels of planes of points. */
typedef struct layers {
    int64_t images, channels, points;
    ptrdiff_t bias; /* stride: 0 for a number */
} layers;

static layers layers_of(const tg__call *c)
{
    const tg__shape *const b = c->x[2].s;
    const int axes = c->x[1].s->rank - 2;
    const tg__shape y = with_images(c->y.s, axes);
    layers l = { y.dim[0], y.dim[1], 1, b->rank ? b->stride[0] : 0 };
    for (int i = 2; i < y.rank; i++) l.points *= y.dim[i];
    return l;
}

static void fill_bias(const tg__call *c)
{
    const layers l = layers_of(c);
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(c->y.s->type);
    char *y = c->y.p;
    for (int64_t i = 0; i < l.images; i++)
        for (int64_t j = 0; j < l.channels; j++, y += l.points * size) {
            double b;
            c->k->reduce.load(1, &b, (const char *)c->x[2].p + j * l.bias * size);
            c->k->fill(l.points, y, 1, b);
        }
}

static void add_to_bias(const tg__call *c)
{
    const layers l = layers_of(c);
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(c->y.s->type);
    for (int64_t j = 0; j < l.channels; j++) {
        tg__sums s;
        s.total[0] = s.rest[0] = 0;
        for (int64_t i = 0; i < l.images; i++) {
            const tg__tile t = tg__row_tile(l.points, (const char *)c->g + (i * l.channels + j) * l.points * size, 1);
            c->k->reduce.sum(&t, NULL, 0, &s);
        }
        const double total = s.total[0] + s.rest[0];
        double stored; /* room for either type */
        c->k->reduce.store(1, &stored, &total);
        c->k->add(1, (char *)c->dx[2].p + j * l.bias * size, 0, &stored, 1);
    }
}

/* The gradient of the bias as values: g summed, or g for a number, which the caller sums up. */
static tg_value derived_bias(const tg__derivation *d, int axes)
{
    if (tg__shape_of(d, d->x[2])->rank == 0) return d->g;
    const int channel = tg__shape_of(d, d->g)->rank - axes - 1;
    tg_reduce_attributes over = { TG_DEFAULTS_reduce };
    for (int i = 0; i <= axes + channel; i++)
        if (i != channel) over.axes.axis[over.axes.count++] = i;
    return d_sum(d, d->g, &over);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static tg_code wrong_ranks(const tg__call *c, int axes)
{
    return tg__fail(c, TG_ERROR_SHAPE,
                    axes == 1 ? "takes x (n, c, l) or (c, l), w of rank 3 and b of rank 1 or a "
                                "number, not shapes %s, %s and %s"
                              : "takes x (n, c, h, w) or (c, h, w), w of rank 4 and b of rank 1 or "
                                "a number, not shapes %s, %s and %s",
                    TG__SHAPE_TEXT(c->x[0].s), TG__SHAPE_TEXT(c->x[1].s),
                    TG__SHAPE_TEXT(c->x[2].s));
}

/* What convolutions and their transposes ask of operands. channels: those of the bias. */
static tg_code check_operands(const tg__call *c, int axes, int groups, int64_t channels)
{
    const tg__shape *const x = c->x[0].s, *const w = c->x[1].s, *const b = c->x[2].s;
    if ((x->rank != axes + 1 && x->rank != axes + 2) || w->rank != axes + 2 || b->rank > 1)
        return wrong_ranks(c, axes);
    if (groups < 1)
        return tg__fail(c, TG_ERROR_ARGUMENT, "groups %d: at least 1 is needed", groups);
    if (w->dim[0] % groups)
        return tg__fail(c, TG_ERROR_SHAPE,
                        "w has shape %s: %lld channels do not part into %d groups",
                        TG__SHAPE_TEXT(w), (long long)w->dim[0], groups);
    if (b->rank && b->dim[0] != channels)
        return tg__fail(c, TG_ERROR_SHAPE, "the bias has shape %s: the result has %lld channels",
                        TG__SHAPE_TEXT(b), (long long)channels);
    for (int i = 2; i < w->rank; i++)
        if (w->dim[i] == 0)
            return tg__fail(c, TG_ERROR_SHAPE, "w has shape %s: a kernel without elements",
                            TG__SHAPE_TEXT(w));
    return TG_OK;
}

static tg_code wrong_channels(const tg__call *c, int axes, int64_t wanted)
{
    const tg__shape *const x = c->x[0].s;
    return tg__fail(c, TG_ERROR_SHAPE,
                    "shapes %s of x and %s of w do not agree: %lld channels, w is for %lld",
                    TG__SHAPE_TEXT(x), TG__SHAPE_TEXT(c->x[1].s),
                    (long long)x->dim[x->rank - axes - 1], (long long)wanted);
}

/* y: x's images with other channels and axes. */
static void result_shape(const tg__call *c, int axes, int64_t channels, const int64_t *length,
                         tg__shape *y)
{
    y->type = c->x[0].s->type;
    y->rank = c->x[0].s->rank;
    y->dim[0] = c->x[0].s->dim[0];
    y->dim[y->rank - axes - 1] = channels;
    for (int i = 0; i < axes; i++) y->dim[y->rank - axes + i] = length[i];
}

/* ---- convolution ----------------------------------------------------------------------------- */

static tg_code conv_shape(const tg__call *c, int axes, tg__shape *y)
{
    const tg_conv_attributes *const a = c->attributes;
    const tg__shape *const x = c->x[0].s, *const w = c->x[1].s;
    tg__windows steps[AXES];
    tg_code code = check_operands(c, axes, a->groups, w->rank ? w->dim[0] : 0);
    if (code == TG_OK) code = read_steps(c, a, axes, steps);
    if (code != TG_OK) return code;
    if (x->dim[x->rank - axes - 1] != w->dim[1] * a->groups)
        return wrong_channels(c, axes, w->dim[1] * a->groups);
    int64_t length[AXES];
    for (int i = 0; i < axes; i++) {
        tg__windows *const s = &steps[AXES - axes + i];
        s->n = x->dim[x->rank - axes + i];
        s->kernel = w->dim[2 + i];
        length[i] = tg__windows_on(s);
        if (length[i] < 1) return tg__too_large(c, s);
    }
    result_shape(c, axes, w->dim[0], length, y);
    return TG_OK;
}

static tg_code conv_forward(const tg__call *c)
{
    tg__windows steps[AXES];
    const tg_code code = read_steps(c, c->attributes, c->x[1].s->rank - 2, steps);
    if (code != TG_OK) return code;
    fill_bias(c);
    return add_to_g(c, steps, c->x[0], c->x[1], c->y);
}

static tg_code conv_backward(const tg__call *c)
{
    tg__windows steps[AXES];
    tg_code code = read_steps(c, c->attributes, c->x[1].s->rank - 2, steps);
    if (code == TG_OK && c->dx[0].p) code = add_to_x(c, steps, c->dx[0], c->x[1], tg__cotangent(c));
    if (code == TG_OK && c->dx[1].p) code = add_to_w(c, steps, c->x[0], c->dx[1], tg__cotangent(c));
    if (code == TG_OK && c->dx[2].p) add_to_bias(c);
    return code;
}

/* ---- derivatives as values ------------------------------------------------------------------- */

static tg_value convolved(const tg__derivation *d, int axes, tg_value x, tg_value w,
                          const tg_conv_attributes *a)
{
    const tg_value b = d->to->number(0);
    return axes == 1 ? d_conv1d(d, x, w, b, a) : d_conv2d(d, x, w, b, a);
}

static int64_t number_of(int all, const tg_axes *each, int axis)
{
    return each->count ? each->axis[axis] : all;
}

/* The gradient of a convolution by its operand x, whose shape is wanted. */
static tg_value transposed(const tg__derivation *d, int axes, tg_value g, tg_value w,
                           const tg_conv_attributes *a, const tg__shape *wanted)
{
    const tg__shape *const gs = tg__shape_of(d, g), *const ws = tg__shape_of(d, w);
    tg_conv_transpose_attributes t = {
        .stride = a->stride,
        .strides = a->strides,
        .padding = a->padding,
        .paddings = a->paddings,
        .dilation = a->dilation,
        .dilations = a->dilations,
        .groups = a->groups,
        .output_paddings = { .count = axes },
    };
    for (int i = 0; i < axes && gs->rank >= axes && ws->rank == axes + 2; i++) {
        const int64_t reached =
            (gs->dim[gs->rank - axes + i] - 1) * number_of(a->stride, &a->strides, i) -
            2 * number_of(a->padding, &a->paddings, i) +
            number_of(a->dilation, &a->dilations, i) * (ws->dim[2 + i] - 1) + 1;
        t.output_paddings.axis[i] = (int)(wanted->dim[wanted->rank - axes + i] - reached);
    }
    const tg_value b = d->to->number(0);
    return axes == 1 ? d_conv_transpose1d(d, g, w, b, &t) : d_conv_transpose2d(d, g, w, b, &t);
}

/* x cut to the lengths of wanted: a convolution may have windows behind those of what it is the
   gradient of. */
static tg_value cut(const tg__derivation *d, tg_value x, int axes, const tg__shape *wanted)
{
    for (int i = wanted->rank - axes; i < wanted->rank; i++) {
        const tg__shape *const s = tg__shape_of(d, x);
        if (s->rank == wanted->rank && s->dim[i] > wanted->dim[i])
            x = d_slice(d, x, ATTRIBUTES(slice, .axis = i, .stop = wanted->dim[i]));
    }
    return x;
}

static tg_value weighed(const tg__derivation *d, tg_value x, tg_value g,
                        const tg_conv_attributes *a, const tg__shape *w)
{
    tg_conv_weight_attributes by = { .conv = *a, .axes = w->rank - 2 };
    for (int i = 0; i < by.axes; i++) by.kernel[i] = w->dim[2 + i];
    return d_conv_weight(d, x, g, &by);
}

static void conv_derive(tg__derivation *d, int axes)
{
    const tg__shape x = *tg__shape_of(d, d->x[0]), w = *tg__shape_of(d, d->x[1]);
    if (d->wanted[0]) d->dx[0] = transposed(d, axes, d->g, d->x[1], d->attributes, &x);
    if (d->wanted[1]) d->dx[1] = weighed(d, d->x[0], d->g, d->attributes, &w);
    if (d->wanted[2]) d->dx[2] = derived_bias(d, axes);
}

/* Cases of the checks. */
#define CONV(X, W, B, KIND, ...)                                                                   \
    {                                                                                              \
        .n = 3, .x = { X, W, B }, .attributes = ATTRIBUTES(KIND, __VA_ARGS__)                      \
    }

TG_OP(conv1d, "lll", conv,
      "convolution x (n, c, l) or (c, l) by w (o, c / groups, k), plus b (o) or a number")
SHAPE(conv1d)
{
    return conv_shape(c, 1, y);
}
FORWARD(conv1d)
{
    return conv_forward(c);
}
BACKWARD(conv1d)
{
    return conv_backward(c);
}
DERIVATIVE(conv1d)
{
    conv_derive(d, 1);
}
CASES(conv1d, { .n = 3, .x = { TENSOR(-2, 2, 2, 3, 5), TENSOR(-2, 2, 2, 3, 2), TENSOR(-2, 2, 2) } },
      { .n = 3, .x = { TENSOR(-2, 2, 2, 4), TENSOR(-2, 2, 3, 2, 3), SCALAR(-2, 2) } },
      CONV(TENSOR(-2, 2, 1, 4, 6), TENSOR(-2, 2, 2, 2, 2), TENSOR(-2, 2, 2), conv, .stride = 2,
           .padding = 1, .dilation = 2, .groups = 2),
      CONV(TENSOR(-2, 2, 2, 2, 5), TENSOR(-2, 2, 2, 2, 3), TENSOR(-2, 2, 2), conv,
           .strides = { 1, { 3 } }, .paddings = { 1, { 2 } }, .dilations = { 1, { 1 } }),
      { .n = 3, .x = { TENSOR(-2, 2, 3, 2, 4), TENSOR(-2, 2, 2, 2, 4), TENSOR(-2, 2, 2) } },
      { .n = 3, .x = { TENSOR(-2, 2, 0, 3, 5), TENSOR(-2, 2, 2, 3, 2), TENSOR(-2, 2, 2) } })

TG_OP(
    conv2d, "lll", conv,
    "convolution x (n, c, h, w) or (c, h, w) by w (o, c / groups, kh, kw), plus b (o) or a number")
SHAPE(conv2d)
{
    return conv_shape(c, 2, y);
}
FORWARD(conv2d)
{
    return conv_forward(c);
}
BACKWARD(conv2d)
{
    return conv_backward(c);
}
DERIVATIVE(conv2d)
{
    conv_derive(d, 2);
}
CASES(conv2d,
      { .n = 3, .x = { TENSOR(-2, 2, 2, 2, 3, 4), TENSOR(-2, 2, 3, 2, 2, 2), TENSOR(-2, 2, 3) } },
      { .n = 3, .x = { TENSOR(-2, 2, 2, 3, 3), TENSOR(-2, 2, 2, 2, 2, 3), SCALAR(-2, 2) } },
      CONV(TENSOR(-2, 2, 1, 2, 5, 4), TENSOR(-2, 2, 2, 1, 2, 2), TENSOR(-2, 2, 2), conv,
           .strides = BOTH(2, 1), .paddings = BOTH(0, 2), .dilations = BOTH(2, 3), .groups = 2),
      CONV(TENSOR(-2, 2, 2, 1, 4, 5), TENSOR(-2, 2, 2, 1, 3, 3), TENSOR(-2, 2, 2), conv,
           .stride = 3, .padding = 2),
      { .n = 3, .x = { TENSOR(-2, 2, 1, 3, 2, 3), TENSOR(-2, 2, 2, 3, 1, 1), TENSOR(-2, 2, 2) } },
      CONV(TENSOR(-2, 2, 1, 2, 3, 5), TENSOR(-2, 2, 2, 2, 1, 1), TENSOR(-2, 2, 2), conv,
           .stride = 2),
      { .n = 3, .x = { TENSOR(-2, 2, 3, 2, 2, 3), TENSOR(-2, 2, 2, 2, 2, 3), TENSOR(-2, 2, 2) } },
      { .n = 3, .x = { TENSOR(-2, 2, 0, 2, 3, 3), TENSOR(-2, 2, 2, 2, 2, 2), TENSOR(-2, 2, 2) } },
      { .n = 3, .x = { TENSOR(-2, 2, 2, 0, 3, 3), TENSOR(-2, 2, 2, 0, 2, 2), TENSOR(-2, 2, 2) } },
      { .n = 3, .x = { TENSOR(-2, 2, 1, 2, 3, 3), TENSOR(-2, 2, 0, 2, 2, 2), SCALAR(-2, 2) } })

/* ---- transposed convolution ------------------------------------------------------------------ */

static tg_conv_attributes conv_of(const tg_conv_transpose_attributes *t)
{
    return (tg_conv_attributes){
        .stride = t->stride,
        .strides = t->strides,
        .padding = t->padding,
        .paddings = t->paddings,
        .dilation = t->dilation,
        .dilations = t->dilations,
        .groups = t->groups,
    };
}

static tg_code conv_transpose_length(const tg__call *c, const tg__windows *s, int64_t more,
                                     int64_t *length)
{
    if (more >= s->stride && more >= s->dilation)
        return tg__fail(c, TG_ERROR_ARGUMENT,
                        "output_padding %lld is less than neither stride %lld nor dilation %lld",
                        (long long)more, (long long)s->stride, (long long)s->dilation);
    *length = (s->out - 1) * s->stride - 2 * s->padding + tg__extent(s) + more;
    if (s->out < 1 || *length < 1)
        return tg__fail(c, TG_ERROR_SHAPE, "an axis of length %lld would get length %lld",
                        (long long)s->out, (long long)*length);
    return TG_OK;
}

static tg_code conv_transpose_shape(const tg__call *c, int axes, tg__shape *y)
{
    const tg_conv_transpose_attributes *const a = c->attributes;
    const tg_conv_attributes steps_of = conv_of(a);
    const tg__shape *const x = c->x[0].s, *const w = c->x[1].s;
    const tg__numbers output_padding = { "output_padding", a->output_padding, a->output_paddings,
                                         0 };
    const int64_t channels = w->rank > 1 ? w->dim[1] * a->groups : 0;
    tg__windows steps[AXES];
    int64_t more[AXES], length[AXES];
    tg_code code = check_operands(c, axes, a->groups, channels);
    if (code == TG_OK) code = read_steps(c, &steps_of, axes, steps);
    if (code == TG_OK) code = tg__read_numbers(c, &output_padding, axes, more);
    if (code != TG_OK) return code;
    if (x->dim[x->rank - axes - 1] != w->dim[0]) return wrong_channels(c, axes, w->dim[0]);
    for (int i = 0; i < axes && code == TG_OK; i++) {
        tg__windows *const s = &steps[AXES - axes + i];
        s->out = x->dim[x->rank - axes + i];
        s->kernel = w->dim[2 + i];
        code = conv_transpose_length(c, s, more[AXES - axes + i], &length[i]);
    }
    if (code == TG_OK) result_shape(c, axes, channels, length, y);
    return code;
}

static tg_code conv_transpose_forward(const tg__call *c)
{
    const tg_conv_attributes a = conv_of(c->attributes);
    tg__windows steps[AXES];
    const tg_code code = read_steps(c, &a, c->x[1].s->rank - 2, steps);
    if (code != TG_OK) return code;
    fill_bias(c);
    return add_to_x(c, steps, c->y, c->x[1], c->x[0]);
}

static tg_code conv_transpose_backward(const tg__call *c)
{
    const tg_conv_attributes a = conv_of(c->attributes);
    tg__windows steps[AXES];
    tg_code code = read_steps(c, &a, c->x[1].s->rank - 2, steps);
    if (code == TG_OK && c->dx[0].p) code = add_to_g(c, steps, tg__cotangent(c), c->x[1], c->dx[0]);
    if (code == TG_OK && c->dx[1].p) code = add_to_w(c, steps, tg__cotangent(c), c->dx[1], c->x[0]);
    if (code == TG_OK && c->dx[2].p) add_to_bias(c);
    return code;
}

static void conv_transpose_derive(tg__derivation *d, int axes)
{
    const tg_conv_attributes a = conv_of(d->attributes);
    const tg__shape x = *tg__shape_of(d, d->x[0]), w = *tg__shape_of(d, d->x[1]);
    if (d->wanted[0]) d->dx[0] = cut(d, convolved(d, axes, d->g, d->x[1], &a), axes, &x);
    if (d->wanted[1]) d->dx[1] = weighed(d, d->g, d->x[0], &a, &w);
    if (d->wanted[2]) d->dx[2] = derived_bias(d, axes);
}

TG_OP(
    conv_transpose1d, "lll", conv_transpose,
    "transposed convolution x (n, c, l) or (c, l) by w (c, o / groups, k), plus b (o) or a number")
SHAPE(conv_transpose1d)
{
    return conv_transpose_shape(c, 1, y);
}
FORWARD(conv_transpose1d)
{
    return conv_transpose_forward(c);
}
BACKWARD(conv_transpose1d)
{
    return conv_transpose_backward(c);
}
DERIVATIVE(conv_transpose1d)
{
    conv_transpose_derive(d, 1);
}
CASES(conv_transpose1d,
      { .n = 3, .x = { TENSOR(-2, 2, 2, 3, 4), TENSOR(-2, 2, 3, 2, 2), TENSOR(-2, 2, 2) } },
      CONV(TENSOR(-2, 2, 4, 3), TENSOR(-2, 2, 4, 1, 2), SCALAR(-2, 2), conv_transpose, .stride = 2,
           .padding = 1, .output_padding = 1, .dilation = 3, .groups = 2),
      CONV(TENSOR(-2, 2, 1, 2, 3), TENSOR(-2, 2, 2, 2, 2), TENSOR(-2, 2, 2), conv_transpose,
           .dilation = 3, .output_padding = 2))

TG_OP(conv_transpose2d, "lll", conv_transpose,
      "transposed convolution x (n, c, h, w) or (c, h, w) by w (c, o / groups, kh, kw), plus b (o) "
      "or a number")
SHAPE(conv_transpose2d)
{
    return conv_transpose_shape(c, 2, y);
}
FORWARD(conv_transpose2d)
{
    return conv_transpose_forward(c);
}
BACKWARD(conv_transpose2d)
{
    return conv_transpose_backward(c);
}
DERIVATIVE(conv_transpose2d)
{
    conv_transpose_derive(d, 2);
}
CASES(conv_transpose2d,
      { .n = 3, .x = { TENSOR(-2, 2, 2, 3, 2, 3), TENSOR(-2, 2, 3, 2, 2, 2), TENSOR(-2, 2, 2) } },
      CONV(TENSOR(-2, 2, 2, 2, 3), TENSOR(-2, 2, 2, 1, 3, 2), SCALAR(-2, 2), conv_transpose,
           .strides = BOTH(2, 3), .paddings = BOTH(1, 0), .dilations = BOTH(1, 2),
           .output_paddings = BOTH(1, 2), .groups = 2),
      CONV(TENSOR(-2, 2, 1, 1, 3, 3), TENSOR(-2, 2, 1, 2, 2, 2), TENSOR(-2, 2, 2), conv_transpose,
           .padding = 1, .dilation = 2, .output_padding = 1),
      { .n = 3, .x = { TENSOR(-2, 2, 1, 3, 2, 2), TENSOR(-2, 2, 3, 2, 1, 1), TENSOR(-2, 2, 2) } },
      { .n = 3, .x = { TENSOR(-2, 2, 0, 2, 2, 2), TENSOR(-2, 2, 2, 2, 2, 2), TENSOR(-2, 2, 2) } })

/* ---- the gradient by the kernel -------------------------------------------------------------- */

TG_PART(conv_weight, "ll", conv_weight,
        "gradient of a convolution of x by its kernel, where that of its result is g")
SHAPE(conv_weight)
{
    const tg_conv_weight_attributes *const a = c->attributes;
    const tg__shape *const x = c->x[0].s, *const g = c->x[1].s;
    const int channel = x->rank - a->axes - 1;
    if (channel < 0 || channel > 1 || g->rank != x->rank)
        return tg__fail(c, TG_ERROR_SHAPE, "shapes %s and %s are not those of a convolution",
                        TG__SHAPE_TEXT(x), TG__SHAPE_TEXT(g));
    y->type = x->type;
    y->rank = a->axes + 2;
    y->dim[0] = g->dim[channel];
    y->dim[1] = x->dim[channel] / a->conv.groups;
    for (int i = 0; i < a->axes; i++) y->dim[2 + i] = a->kernel[i];
    if (channel && x->dim[0] != g->dim[0])
        return tg__fail(c, TG_ERROR_SHAPE, "shapes %s and %s are not those of a convolution",
                        TG__SHAPE_TEXT(x), TG__SHAPE_TEXT(g));
    tg__windows steps[AXES];
    const tg_code code = read_steps(c, &a->conv, a->axes, steps);
    if (code != TG_OK) return code;
    for (int i = 0; i < a->axes; i++) {
        tg__windows *const s = &steps[AXES - a->axes + i];
        s->n = x->dim[channel + 1 + i];
        s->kernel = a->kernel[i];
        if (g->dim[channel + 1 + i] > tg__windows_on(s) || g->dim[channel + 1 + i] < 1)
            return tg__too_large(c, s);
    }
    return TG_OK;
}

FORWARD(conv_weight)
{
    const tg_conv_weight_attributes *const a = c->attributes;
    tg__windows steps[AXES];
    const tg_code code = read_steps(c, &a->conv, a->axes, steps);
    if (code != TG_OK) return code;
    c->k->fill(c->y.s->n, c->y.p, 1, 0);
    return add_to_w(c, steps, c->x[0], c->y, c->x[1]);
}

BACKWARD(conv_weight)
{
    const tg_conv_weight_attributes *const a = c->attributes;
    tg__windows steps[AXES];
    tg_code code = read_steps(c, &a->conv, a->axes, steps);
    if (code == TG_OK && c->dx[0].p) code = add_to_x(c, steps, c->dx[0], tg__cotangent(c), c->x[1]);
    if (code == TG_OK && c->dx[1].p) code = add_to_g(c, steps, c->x[0], tg__cotangent(c), c->dx[1]);
    return code;
}

DERIVATIVE(conv_weight)
{
    const tg_conv_weight_attributes *const a = d->attributes;
    const tg__shape x = *tg__shape_of(d, d->x[0]), g = *tg__shape_of(d, d->x[1]);
    if (d->wanted[0]) d->dx[0] = transposed(d, a->axes, d->x[1], d->g, &a->conv, &x);
    if (d->wanted[1])
        d->dx[1] = cut(d, convolved(d, a->axes, d->x[0], d->g, &a->conv), a->axes, &g);
}

#define CONV_WEIGHT(X, G, AXES, KERNEL, ...)                                                       \
    {                                                                                              \
        .n = 2, .x = { X, G }, .attributes = &(const tg_conv_weight_attributes)                    \
        {                                                                                          \
            .conv = { TG_DEFAULTS_conv, __VA_ARGS__ }, .axes = AXES, .kernel = KERNEL              \
        }                                                                                          \
    }
/* clang-format off */
#define KERNEL_OF(...) { __VA_ARGS__ }
/* clang-format on */
CASES(conv_weight,
      CONV_WEIGHT(TENSOR(-2, 2, 2, 2, 3, 4), TENSOR(-2, 2, 2, 3, 2, 2), 2, KERNEL_OF(2, 3),
                  .groups = 1),
      CONV_WEIGHT(TENSOR(-2, 2, 2, 4, 5), TENSOR(-2, 2, 2, 2, 2), 2, KERNEL_OF(3, 2), .stride = 2,
                  .paddings = BOTH(1, 0), .dilations = BOTH(1, 2), .groups = 2),
      CONV_WEIGHT(TENSOR(-2, 2, 2, 2, 5), TENSOR(-2, 2, 2, 3, 3), 1, KERNEL_OF(2), .dilation = 2),
      CONV_WEIGHT(TENSOR(-2, 2, 2, 6), TENSOR(-2, 2, 1, 3), 1, KERNEL_OF(2), .dilation = 2))
