/* Convolutions and pooling: loops over windows and, in them, over taps. A tap that lies in the padding
   is left out by a condition. */
#include <inttypes.h>
#include <string.h>

#include "codes.h" /* generated */
#include "ops/window.h"
#include "program/emit.h"

/* The axes of windows: the places of the last `axes` of AXES are used. */
typedef struct windows {
    int axes;
    tg__windows w[AXES];
} windows;

/* ---- what lies in the padding ---------------------------------------------------------------------- */

/* Where windows and taps meet an axis, as an access to no node; returns its number, or -1 if every tap
   lies on the axis. window and tap: their loops. */
static int add_position(tg__nest *t, const tg__windows *w, int window, int tap)
{
    const int64_t last = (w->out - 1) * w->stride + (w->kernel - 1) * w->dilation - w->padding;
    if (w->padding == 0 && last < w->n) return -1;
    tg__access *const a = &t->access[t->n++];
    *a = (tg__access){ .node = 0, .offset = -w->padding };
    a->stride[window] = w->stride;
    a->stride[tap] = w->dilation;
    return t->n - 1;
}

/* "if (j + l - 1 >= 0 && j + l - 1 < 5) ", for positions that may lie in the padding. */
static void write_condition(tg__emitter *e, const tg__nest *t, const windows *a, const int *position)
{
    const char *before = "if (";
    for (int i = AXES - a->axes; i < AXES; i++) {
        const tg__windows *const w = &a->w[i];
        const int64_t last = (w->out - 1) * w->stride + (w->kernel - 1) * w->dilation - w->padding;
        if (position[i] < 0) continue;
        for (int end = 0; end < 2; end++) {
            if (end ? last < w->n : w->padding == 0) continue;
            tg__write(e, "%s", before);
            tg__emit_index(e, t, position[i]);
            if (end) tg__write(e, " < %" PRId64, w->n);
            else tg__write(e, " >= 0");
            before = " && ";
        }
    }
    if (before[0] == ' ') tg__write(e, ") ");
}

/* ---- convolution ------------------------------------------------------------------------------------ */

/* Loops: images, groups, channels of the result in a group, of what is convolved, windows, taps. */
enum { IMAGE, GROUP, OUT, IN, WINDOW, TAP = WINDOW + AXES, KINDS = TAP + AXES };

/* The three tensors of a convolution, any of which is computed of the others (see ops/conv.c): planes,
   kernels, one element for each window. */
typedef struct convolution {
    uint32_t planes, kernels, results;
    windows at;
    int64_t groups, dim[KINDS];
    int64_t stride[3][KINDS];
} convolution;

/* The strides of planes or results by image and channel, and those of its axes. */
static void set_strides(const tg__shape *s, int axes, int channel, int64_t group, int64_t *stride,
                        int64_t *axis)
{
    const int first = s->rank - axes - 1;
    stride[IMAGE] = first ? s->stride[0] : 0;
    stride[GROUP] = group * s->stride[first];
    stride[channel] = s->stride[first];
    for (int i = 0; i < axes; i++) axis[AXES - axes + i] = s->stride[first + 1 + i];
}

static void read_steps(const tg__numbers *each, int axes, windows *a)
{
    int64_t read[3][AXES] = { { 1, 1 }, { 0, 0 }, { 1, 1 } };
    const tg__call none = { .n = 0 };
    for (int i = 0; i < 3; i++) /* the shape rule has seen them */
        (void)tg__read_numbers(&none, &each[i], axes, read[i]);
    for (int i = 0; i < AXES; i++)
        a->w[i] = (tg__windows){ 1, 1, 1, read[0][i], read[1][i], read[2][i] };
    a->axes = axes;
}

static void measure(const tg__emitter *e, convolution *c)
{
    const tg__shape *const x = tg__node_shape(e->g, c->planes), *const w = tg__node_shape(e->g, c->kernels);
    const tg__shape *const g = tg__node_shape(e->g, c->results);
    const int axes = c->at.axes;
    int64_t down[AXES] = { 0 }, across[AXES] = { 0 };
    const int64_t out = w->dim[0] / c->groups, in = w->dim[1];
    memset(c->stride, 0, sizeof c->stride);
    for (int i = AXES - axes; i < AXES; i++) {
        tg__windows *const a = &c->at.w[i];
        a->n = x->dim[x->rank - AXES + i];
        a->out = g->dim[g->rank - AXES + i];
        a->kernel = w->dim[2 + i - (AXES - axes)];
        c->stride[1][TAP + i] = w->stride[2 + i - (AXES - axes)];
    }
    set_strides(x, axes, IN, in, c->stride[0], down);
    set_strides(g, axes, OUT, out, c->stride[2], across);
    c->stride[1][GROUP] = out * w->stride[0];
    c->stride[1][OUT] = w->stride[0];
    c->stride[1][IN] = w->stride[1];
    const int64_t dim[] = { x->rank == axes + 2 ? x->dim[0] : 1, c->groups, out, in };
    memcpy(c->dim, dim, sizeof dim);
    for (int i = 0; i < AXES; i++) {
        c->dim[WINDOW + i] = c->at.w[i].out;
        c->dim[TAP + i] = c->at.w[i].kernel;
        c->stride[0][WINDOW + i] = c->at.w[i].stride * down[i];
        c->stride[0][TAP + i] = c->at.w[i].dilation * down[i];
        c->stride[2][WINDOW + i] = across[i];
    }
}

/* Loops in this order, and the accesses: target, two factors, positions. */
static void make_nest(const tg__emitter *e, const convolution *c, const int *order, uint32_t target,
                      tg__nest *t, int *position)
{
    const uint32_t node[] = { c->planes, c->kernels, c->results };
    *t = (tg__nest){ .rank = KINDS, .outer = KINDS, .n = 3 };
    int place[KINDS];
    for (int i = 0; i < KINDS; i++) {
        t->dim[i] = c->dim[order[i]];
        place[order[i]] = i;
    }
    for (int j = 0, factor = 1; j < 3; j++) {
        tg__access *const a = &t->access[node[j] == target ? 0 : factor++];
        *a = (tg__access){ .node = node[j], .offset = tg__node_offset(e->g, node[j]) };
        for (int i = 0; i < KINDS; i++) a->stride[i] = c->stride[j][order[i]];
        for (int i = 0; j == 0 && i < AXES; i++) {
            const tg__windows *const w = &c->at.w[i];
            if (w->padding) a->offset -= w->padding * (c->stride[0][TAP + i] / w->dilation);
        }
    }
    for (int i = 0; i < AXES; i++)
        position[i] = i < AXES - c->at.axes
                          ? -1
                          : add_position(t, &c->at.w[i], place[WINDOW + i], place[TAP + i]);
}

/* The result, which begins with zeros or, by channel, the bias. */
static void begin_result(const tg__writing *w, int axes)
{
    tg__emitter *const e = w->e;
    const uint32_t bias = w->n > 2 ? w->x[2] : 0;
    const void *const p = bias ? tg__node_constant(e->g, bias) : NULL;
    const bool number = p && tg__node_shape(e->g, bias)->rank == 0;
    const bool zero = !bias || (number && (e->g->type == TG_F64 ? *(const double *)p == 0
                                                                 : *(const float *)p == 0));
    tg__declare(e, w->id, zero);
    if (zero) return;
    static const int in_order[TG_MAX_RANK] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    tg__nest t;
    tg__nest_over(&t, w->y);
    tg__nest_add(e, &t, w->id, w->y, in_order);
    tg__nest_by_axis(e, &t, bias, (const int[]){ w->y->rank - axes - 1 });
    tg__emit_copy(e, &t, " = ");
}

static void write_convolution(const tg__writing *w, convolution *c)
{
    static const int results_first[] = { IMAGE, GROUP, OUT, WINDOW, WINDOW + 1, IN, TAP, TAP + 1 };
    static const int planes_first[] = { IMAGE, GROUP, IN, OUT, WINDOW, WINDOW + 1, TAP, TAP + 1 };
    static const int kernels_first[] = { GROUP, OUT, IN, TAP, TAP + 1, IMAGE, WINDOW, WINDOW + 1 };
    tg__emitter *const e = w->e;
    tg__nest t;
    int position[AXES];
    measure(e, c);
    begin_result(w, c->at.axes);
    make_nest(e, c, w->id == c->results  ? results_first
                    : w->id == c->planes ? planes_first
                                         : kernels_first, w->id, &t, position);
    tg__nest_merge(&t);
    const int loops = t.rank;
    tg__open_loops(e, &t, 0, loops, false);
    tg__write_line(e, "%s", "");
    write_condition(e, &t, &c->at, position);
    for (int i = 0; i < 3; i++) {
        tg__emit_access(e, &t, i, NULL);
        tg__write(e, "%s", i == 0 ? " += " : i == 1 ? " * " : ";");
    }
    tg__close_loops(e, loops, false);
}

static void write_conv(const tg__writing *w, int axes)
{
    const tg_conv_attributes *const a = w->attributes;
    const tg__numbers each[] = { { "stride", a->stride, a->strides, 1 },
                                 { "padding", a->padding, a->paddings, 0 },
                                 { "dilation", a->dilation, a->dilations, 1 } };
    convolution c = { .planes = w->x[0], .kernels = w->x[1], .results = w->id, .groups = a->groups };
    read_steps(each, axes, &c.at);
    write_convolution(w, &c);
}

static void write_conv_transpose(const tg__writing *w, int axes)
{
    const tg_conv_transpose_attributes *const a = w->attributes;
    const tg__numbers each[] = { { "stride", a->stride, a->strides, 1 },
                                 { "padding", a->padding, a->paddings, 0 },
                                 { "dilation", a->dilation, a->dilations, 1 } };
    convolution c = { .planes = w->id, .kernels = w->x[1], .results = w->x[0], .groups = a->groups };
    read_steps(each, axes, &c.at);
    write_convolution(w, &c);
}

static void write_conv_weight(const tg__writing *w)
{
    const tg_conv_weight_attributes *const a = w->attributes;
    const tg__numbers each[] = { { "stride", a->conv.stride, a->conv.strides, 1 },
                                 { "padding", a->conv.padding, a->conv.paddings, 0 },
                                 { "dilation", a->conv.dilation, a->conv.dilations, 1 } };
    convolution c = { .planes = w->x[0], .kernels = w->id, .results = w->x[1],
                      .groups = a->conv.groups };
    read_steps(each, a->axes, &c.at);
    write_convolution(w, &c);
}

/* ---- pooling ---------------------------------------------------------------------------------------- */

/* A pooling: loops over planes, windows and taps. */
typedef struct pooling {
    windows at;
    tg__nest t;
    int position[AXES];
} pooling;

/* planes: the shape of what has the elements; results: that of what has one for each window. */
static pooling pooling_of(const tg__numbers *each, const tg__numbers *size, const tg__shape *planes,
                          const tg__shape *results)
{
    pooling p;
    int64_t kernel[AXES] = { 1, 1 };
    const tg__call none = { .n = 0 };
    read_steps(each, AXES, &p.at);
    (void)tg__read_numbers(&none, size, AXES, kernel);
    tg__nest_over(&p.t, results);
    const int first = results->rank - AXES;
    for (int i = 0; i < AXES; i++) {
        tg__windows *const w = &p.at.w[i];
        w->n = planes->dim[first + i];
        w->out = results->dim[first + i];
        w->kernel = kernel[i];
        if (w->stride == 0) w->stride = kernel[i];
        p.t.dim[p.t.rank++] = kernel[i];
    }
    for (int i = 0; i < AXES; i++)
        p.position[i] = add_position(&p.t, &p.at.w[i], first + i, first + AXES + i);
    return p;
}

/* Accesses to node's elements by windows and taps, or to those of a node with one for each window. */
static int add_planes(const tg__emitter *e, pooling *p, uint32_t node)
{
    const tg__shape *const s = tg__node_shape(e->g, node);
    tg__access *const a = &p->t.access[p->t.n++];
    *a = (tg__access){ .node = node, .offset = tg__node_offset(e->g, node) };
    for (int i = 0; i < s->rank; i++) a->stride[i] = s->stride[i];
    for (int i = 0; i < AXES; i++) {
        const tg__windows *const w = &p->at.w[i];
        const int axis = s->rank - AXES + i;
        a->offset -= w->padding * s->stride[axis];
        a->stride[axis] = w->stride * s->stride[axis];
        a->stride[axis + AXES] = w->dilation * s->stride[axis];
    }
    return p->t.n - 1;
}

static int add_results(const tg__emitter *e, pooling *p, uint32_t node)
{
    const tg__shape *const s = tg__node_shape(e->g, node);
    tg__access *const a = &p->t.access[p->t.n++];
    *a = (tg__access){ .node = node, .offset = tg__node_offset(e->g, node) };
    for (int i = 0; i < s->rank; i++) a->stride[i] = s->stride[i];
    return p->t.n - 1;
}

/* Opens and closes the loops over windows; over their taps, up to the statement. */
static void open_windows(tg__emitter *e, const pooling *p)
{
    tg__open_loops(e, &p->t, 0, p->t.outer, true);
}

/* Whether the brace of a block is that of the last loop, not of a condition. */
static bool is_plain(const pooling *p)
{
    return p->position[0] < 0 && p->position[1] < 0;
}

static void open_taps(tg__emitter *e, const pooling *p, bool block)
{
    const int last = p->t.rank - 1;
    tg__open_loops(e, &p->t, p->t.outer, last, false);
    tg__open_loops(e, &p->t, last, p->t.rank, block && is_plain(p));
    if (block && is_plain(p)) return;
    tg__write_line(e, "%s", "");
    write_condition(e, &p->t, &p->at, p->position);
    if (block) tg__write(e, "{");
    e->depth += block;
}

static void close_taps(tg__emitter *e, const pooling *p, bool block)
{
    const bool condition = block && !is_plain(p);
    e->depth -= condition;
    if (condition) tg__write_line(e, "}");
    tg__close_loops(e, 1, block && !condition);
    tg__close_loops(e, AXES - 1, false);
}

static pooling max_pooling(const tg__writing *w, const tg__shape *planes, const tg__shape *results)
{
    const tg_max_pool_attributes *const a = w->attributes;
    const tg__numbers each[] = { { "stride", a->stride, a->strides, 0 },
                                 { "padding", a->padding, a->paddings, 0 },
                                 { "dilation", a->dilation, a->dilations, 1 } };
    const tg__numbers size = { "kernel_size", a->kernel_size, a->kernel_sizes, 1 };
    return pooling_of(each, &size, planes, results);
}

static void write_max_pool(const tg__writing *w)
{
    tg__emitter *const e = w->e;
    pooling p = max_pooling(w, tg__shape_in(w, 0), w->y);
    const int x = add_planes(e, &p, w->x[0]), y = add_results(e, &p, w->id);
    tg__declare(e, w->id, false);
    open_windows(e, &p);
    tg__write_line(e, "%s s%u = -%sINFINITY;", e->real, w->id, e->suffix[0] ? "" : "(double)");
    open_taps(e, &p, false);
    tg__write(e, "s%u = ", w->id);
    tg__emit_function(e, TG__CODE_maximum);
    tg__write(e, "(s%u, ", w->id);
    tg__emit_access(e, &p.t, x, NULL);
    tg__write(e, ");");
    close_taps(e, &p, false);
    tg__write_line(e, "%s", "");
    tg__emit_access(e, &p.t, y, NULL);
    tg__write(e, " = s%u;", w->id);
    tg__close_loops(e, p.t.outer, true);
}

/* at5: where in a node's plane the window's largest element is; -1 where it sees padding only. */
static void write_choice(const tg__writing *w, pooling *p, int x, int there)
{
    tg__emitter *const e = w->e;
    const uint32_t id = w->id;
    tg__write_line(e, "int64_t at%u = -1;", id);
    tg__write_line(e, "%s s%u = 0;", e->real, id);
    open_taps(e, p, true);
    tg__write_line(e, "const %s x = ", e->real);
    tg__emit_access(e, &p->t, x, NULL);
    tg__write(e, ";");
    tg__write_line(e, "if (at%u < 0 || x > s%u || (x != x && s%u == s%u)) {", id, id, id, id);
    e->depth++;
    tg__write_line(e, "s%u = x;", id);
    tg__write_line(e, "at%u = ", id);
    tg__emit_index(e, &p->t, there);
    tg__write(e, ";");
    e->depth--;
    tg__write_line(e, "}");
    close_taps(e, p, true);
}

/* picks: y = the elements of operand 0 where those of operand 1 are largest; else y += operand 0 there. */
static void write_chosen(const tg__writing *w, bool picks)
{
    tg__emitter *const e = w->e;
    const uint32_t planes = picks ? w->x[0] : w->id, results = picks ? w->id : w->x[0];
    pooling p = max_pooling(w, tg__shape_in(w, 1), tg__node_shape(e->g, results));
    const int x = add_planes(e, &p, w->x[1]), there = add_planes(e, &p, planes);
    const int one = add_results(e, &p, results), base = p.t.n++;
    char at[24];
    snprintf(at, sizeof at, "at%u", w->id);
    p.t.access[base] = (tg__access){ .node = planes };
    tg__declare(e, w->id, !picks);
    open_windows(e, &p);
    write_choice(w, &p, x, there);
    if (picks) {
        tg__write_line(e, "%s", "");
        tg__emit_access(e, &p.t, one, NULL);
        tg__write(e, " = %s < 0 ? 0 : ", at);
        tg__emit_access(e, &p.t, base, at);
    } else {
        tg__write_line(e, "if (%s >= 0) ", at);
        tg__emit_access(e, &p.t, base, at);
        tg__write(e, " += ");
        tg__emit_access(e, &p.t, one, NULL);
    }
    tg__write(e, ";");
    tg__close_loops(e, p.t.outer, true);
}

static pooling mean_pooling(const tg_avg_pool_attributes *a, const tg__shape *planes,
                            const tg__shape *results)
{
    const tg__numbers each[] = { { "stride", a->stride, a->strides, 0 },
                                 { "padding", a->padding, a->paddings, 0 },
                                 { "dilation", 1, { 0, { 0 } }, 1 } };
    const tg__numbers size = { "kernel_size", a->kernel_size, a->kernel_sizes, 1 };
    return pooling_of(each, &size, planes, results);
}

/* Whether means are over all taps, of which the padding counts as zeros. */
static bool counts_all(const tg_avg_pool_attributes *a, const pooling *p)
{
    return a->count_include_pad || (!p->at.w[0].padding && !p->at.w[1].padding);
}

/* What sums are divided by: a number, or n5. */
static void write_divisor(const tg__writing *w, const pooling *p, bool all)
{
    if (all) tg__emit_number(w->e, (double)(p->at.w[0].kernel * p->at.w[1].kernel));
    else tg__write(w->e, "%sn%u", w->e->suffix[0] ? "(float)" : "", w->id);
}

static void write_avg_pool(const tg__writing *w)
{
    tg__emitter *const e = w->e;
    const tg_avg_pool_attributes *const a = w->attributes;
    pooling p = mean_pooling(a, tg__shape_in(w, 0), w->y);
    const int x = add_planes(e, &p, w->x[0]), y = add_results(e, &p, w->id);
    const bool all = counts_all(a, &p), single = e->suffix[0];
    tg__declare(e, w->id, false);
    open_windows(e, &p);
    tg__write_line(e, "double s%u = 0;", w->id);
    if (!all) tg__write_line(e, "int n%u = 0;", w->id);
    open_taps(e, &p, !all);
    if (!all) tg__write_line(e, "n%u++;", w->id);
    if (!all) tg__write_line(e, "%s", "");
    tg__write(e, "s%u += ", w->id);
    tg__emit_access(e, &p.t, x, NULL);
    tg__write(e, ";");
    close_taps(e, &p, !all);
    tg__write_line(e, "%s", "");
    tg__emit_access(e, &p.t, y, NULL);
    tg__write(e, " = %ss%u / ", single ? "(float)(" : "", w->id);
    if (all) tg__write(e, "%" PRId64, p.at.w[0].kernel * p.at.w[1].kernel);
    else tg__write(e, "n%u", w->id);
    tg__write(e, single ? ");" : ";");
    tg__close_loops(e, p.t.outer, true);
}

static void write_avg_pool_shares(const tg__writing *w)
{
    tg__emitter *const e = w->e;
    const tg_avg_pool_attributes *const a =
        &((const tg_avg_pool_shares_attributes *)w->attributes)->pool;
    pooling p = mean_pooling(a, w->y, tg__shape_in(w, 0));
    const int x = add_planes(e, &p, w->id), g = add_results(e, &p, w->x[0]);
    const bool all = counts_all(a, &p);
    tg__declare(e, w->id, true);
    open_windows(e, &p);
    if (!all) {
        tg__write_line(e, "int n%u = 0;", w->id);
        open_taps(e, &p, false);
        tg__write(e, "n%u++;", w->id);
        close_taps(e, &p, false);
    }
    open_taps(e, &p, false);
    tg__emit_access(e, &p.t, x, NULL);
    tg__write(e, " += ");
    tg__emit_access(e, &p.t, g, NULL);
    tg__write(e, " / ");
    write_divisor(w, &p, all);
    tg__write(e, ";");
    close_taps(e, &p, false);
    tg__close_loops(e, p.t.outer, true);
}

/* ---- all -------------------------------------------------------------------------------------------- */

bool tg__emit_window_op(const tg__writing *w, int code)
{
    switch (code) {
    case TG__CODE_conv1d: write_conv(w, 1); return true;
    case TG__CODE_conv2d: write_conv(w, 2); return true;
    case TG__CODE_conv_transpose1d: write_conv_transpose(w, 1); return true;
    case TG__CODE_conv_transpose2d: write_conv_transpose(w, 2); return true;
    case TG__CODE_conv_weight: write_conv_weight(w); return true;
    case TG__CODE_max_pool2d: write_max_pool(w); return true;
    case TG__CODE_max_pool_pick: write_chosen(w, true); return true;
    case TG__CODE_max_pool_put: write_chosen(w, false); return true;
    case TG__CODE_avg_pool2d: write_avg_pool(w); return true;
    case TG__CODE_avg_pool_shares: write_avg_pool_shares(w); return true;
    default: return false;
    }
}
