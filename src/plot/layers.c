/* Layers of points: curves, marks, bars, bands, lines, texts. */
#include "inner.h"

#include <math.h>

static const tg_plot_style plain = { 0 };

/* A layer of points and where it is drawn. */
typedef struct layer {
    tg_plot *p;
    const tg_plot_style *style;
    const double *x, *y; /* x NULL: first, first + 1, ... */
    int64_t n, stride;
    double first;
    double third;   /* a third column, the same everywhere; 0: none */
    tg__axis *axis; /* y's */
    uint32_t colour;
    const char *axes; /* y's, for gnuplot */
} layer;

/* False if there is nothing to draw on. */
static bool layer_begin(layer *l, const char *call)
{
    if (!l->style) l->style = &plain;
    const tg_plot_style *const s = l->style;
    tg_plot *const p = l->p;
    if (!tg__layer_ready(p, call, l->n, l->y)) return false;
    if (s->stride < 0 || (int)s->mark < TG_MARK_DOT || s->mark > TG_MARK_STAR ||
        !(s->width >= 0 && s->width <= 1e300) || !(s->size >= 0 && s->size <= 1000))
        return tg__plot_fail(&p->status, TG_ERROR_ARGUMENT,
                             "%s: stride %lld, mark %d, width %g, size %g: no such style", call,
                             (long long)s->stride, (int)s->mark, s->width, s->size);
    l->stride = s->stride ? s->stride : 1;
    l->axis = s->right ? &p->right : &p->y;
    l->axes = s->right ? "axes x1y2" : "axes x1y1";
    if (s->right) p->has_right = true;
    l->colour = tg__layer_colour(p, s);
    return true;
}

static double x_of(const layer *l, int64_t i)
{
    return l->x ? l->x[i * l->stride] : l->first + (double)i;
}

/* Puts the points into a block, with a gap where one cannot be drawn; how many there are. */
static int64_t put_points(layer *l)
{
    int64_t drawn = 0;
    tg__block_begin(l->p);
    for (int64_t i = 0; i < l->n; i++) {
        const double x = x_of(l, i), y = l->y[i * l->stride];
        if (tg__see(&l->p->x, l->axis, x, y)) {
            tg__put_number(&l->p->script, x);
            tg__put_number(&l->p->script, y);
            if (l->third > 0) tg__put_number(&l->p->script, l->third);
            drawn++;
        }
        tg__put(&l->p->script, "\n");
    }
    tg__block_end(l->p);
    return drawn;
}

/* "lw 2 lc rgb '#0072b2'" and so on. */
static void put_line_style(layer *l, double width)
{
    tg__bytes *const to = &l->p->layers;
    tg__put(to, "lw ");
    tg__put_number(to, l->style->width > 0 ? l->style->width : width);
    tg__put(to, "lc rgb '#%06x' %s", (unsigned)l->colour, l->style->dashed ? "dt 2 " : "");
}

static void put_mark_style(layer *l)
{
    static const int types[] = {
        [TG_MARK_DOT] = 7,   [TG_MARK_CIRCLE] = 6, [TG_MARK_SQUARE] = 5, [TG_MARK_TRIANGLE] = 9,
        [TG_MARK_CROSS] = 2, [TG_MARK_PLUS] = 1,   [TG_MARK_STAR] = 3,
    };
    tg__bytes *const to = &l->p->layers;
    tg__put(to, "pt %d ps ", types[l->style->mark]);
    tg__put_number(to, l->style->size > 0 ? l->style->size : 0.6);
}

/* Begins the layer's part of the plot command. Where no point can be drawn, gnuplot has nothing to
   plot, but the key shows the layer. */
static bool layer_plot(layer *l, int64_t drawn, const char *with)
{
    if (drawn > 0) tg__layer_put(l->p, "$d%d %s %s", l->p->blocks, l->axes, with);
    else if (l->style->label) tg__layer_put(l->p, "NaN %s", with);
    return drawn > 0 || l->style->label;
}

void tg_plot_line(tg_plot *p, int64_t n, const double *x, const double *y,
                  const tg_plot_style *style)
{
    layer l = { .p = p, .style = style, .x = x, .y = y, .n = n, .first = 1 };
    if (!layer_begin(&l, "tg_plot_line")) return;
    const bool marked = l.style->size > 0;
    if (!layer_plot(&l, put_points(&l), marked ? "with linespoints" : "with lines")) return;
    put_line_style(&l, 2);
    if (marked) put_mark_style(&l);
    tg__layer_title(p, l.style->label);
}

void tg_plot_points(tg_plot *p, int64_t n, const double *x, const double *y,
                    const tg_plot_style *style)
{
    layer l = { .p = p, .style = style, .x = x, .y = y, .n = n, .first = 1 };
    if (!layer_begin(&l, "tg_plot_points")) return;
    if (!layer_plot(&l, put_points(&l), "with points")) return;
    put_mark_style(&l);
    put_line_style(&l, 1);
    tg__layer_title(p, l.style->label);
}

void tg_plot_classes(tg_plot *p, int64_t n, const double *xy, const int *label, int classes,
                     const char *const *name, const tg_plot_style *style)
{
    if (!tg__layer_ready(p, "tg_plot_classes", n, xy) ||
        !tg__layer_ready(p, "tg_plot_classes", n, label))
        return;
    for (int64_t i = 0; i < n; i++)
        if (label[i] < 0 || label[i] >= classes) {
            tg__plot_fail(
                &p->status, TG_ERROR_INDEX,
                "tg_plot_classes: the label of point %lld is %d, and there are %d classes",
                (long long)i, label[i], classes);
            return;
        }
    for (int k = 0; k < classes && p->status.code == TG_OK; k++) {
        const tg_plot_style one = { .label = name ? name[k] : NULL,
                                    .colour = tg_colour(k),
                                    .size = style ? style->size : 0,
                                    .mark = style ? style->mark : TG_MARK_DOT };
        layer l = { .p = p, .style = &one, .y = xy };
        if (!layer_begin(&l, "tg_plot_classes")) return;
        int64_t drawn = 0;
        tg__block_begin(p);
        for (int64_t i = 0; i < n; i++) {
            if (label[i] != k || !tg__see(&p->x, &p->y, xy[2 * i], xy[2 * i + 1])) continue;
            tg__put_number(&p->script, xy[2 * i]);
            tg__put_number(&p->script, xy[2 * i + 1]);
            tg__put(&p->script, "\n");
            drawn++;
        }
        tg__block_end(p);
        if (!layer_plot(&l, drawn, "with points")) continue;
        put_mark_style(&l);
        put_line_style(&l, 1);
        tg__layer_title(p, one.label);
    }
}

void tg_plot_bars(tg_plot *p, int64_t n, const double *x, const double *y,
                  const tg_plot_style *style)
{
    layer l = { .p = p, .style = style, .x = x, .y = y, .n = n };
    if (!layer_begin(&l, "tg_plot_bars")) return;
    l.third = l.style->width > 0 ? l.style->width : 0.8;
    tg__include(l.axis, 0);
    for (int64_t i = 0; i < n; i++) {
        tg__include(&p->x, x_of(&l, i) - 0.75 * l.third);
        tg__include(&p->x, x_of(&l, i) + 0.75 * l.third);
    }
    p->x.tight = true;
    if (!layer_plot(&l, put_points(&l), "with boxes")) return;
    tg__put(&p->layers, "fill solid 0.85 noborder lc rgb '#%06x' ", (unsigned)l.colour);
    tg__layer_title(p, l.style->label);
}

/* Blocks of three columns: x, and two of y. */
static int64_t put_triples(layer *l, const double *second, bool both)
{
    int64_t drawn = 0;
    tg__block_begin(l->p);
    for (int64_t i = 0; i < l->n; i++) {
        const double x = x_of(l, i), y = l->y[i * l->stride], z = second[i * l->stride];
        const double low = both ? y : y - z, high = both ? z : y + z;
        if (isfinite(z) && tg__see(&l->p->x, l->axis, x, low) &&
            tg__see(&l->p->x, l->axis, x, high)) {
            tg__put_number(&l->p->script, x);
            tg__put_number(&l->p->script, y);
            tg__put_number(&l->p->script, z);
            drawn++;
        }
        tg__put(&l->p->script, "\n");
    }
    tg__block_end(l->p);
    return drawn;
}

void tg_plot_errors(tg_plot *p, int64_t n, const double *x, const double *y, const double *error,
                    const tg_plot_style *style)
{
    layer l = { .p = p, .style = style, .x = x, .y = y, .n = n, .first = 1 };
    if (!tg__layer_ready(p, "tg_plot_errors", n, error) || !layer_begin(&l, "tg_plot_errors"))
        return;
    if (!layer_plot(&l, put_triples(&l, error, false), "with yerrorbars")) return;
    put_mark_style(&l);
    put_line_style(&l, 1.5);
    tg__layer_title(p, l.style->label);
}

void tg_plot_band(tg_plot *p, int64_t n, const double *x, const double *low, const double *high,
                  const tg_plot_style *style)
{
    layer l = { .p = p, .style = style, .x = x, .y = low, .n = n, .first = 1 };
    if (!tg__layer_ready(p, "tg_plot_band", n, high) || !layer_begin(&l, "tg_plot_band")) return;
    if (!layer_plot(&l, put_triples(&l, high, true), "with filledcurves")) return;
    tg__put(&p->layers, "fill transparent solid 0.25 noborder lc rgb '#%06x' ", (unsigned)l.colour);
    tg__layer_title(p, l.style->label);
}

/* ---- lines from point to point --------------------------------------------------------------- */

/* Lines as vectors: x, y, dx, dy. */
static void put_vectors(layer *l, const char *call, const char *with)
{
    if (!layer_begin(l, call)) return;
    tg_plot *const p = l->p;
    int64_t drawn = 0;
    tg__block_begin(p);
    for (int64_t i = 0; i < l->n; i++) {
        const double *const e = l->y + 4 * i;
        if (!tg__see(&p->x, l->axis, e[0], e[1]) || !tg__see(&p->x, l->axis, e[2], e[3])) continue;
        tg__put_number(&p->script, e[0]);
        tg__put_number(&p->script, e[1]);
        tg__put_number(&p->script, e[2] - e[0]);
        tg__put_number(&p->script, e[3] - e[1]);
        tg__put(&p->script, "\n");
        drawn++;
    }
    tg__block_end(p);
    if (!layer_plot(l, drawn, with)) return;
    put_line_style(l, 2);
    tg__layer_title(p, l->style->label);
}

void tg_plot_segments(tg_plot *p, int64_t n, const double *ends, const tg_plot_style *style)
{
    layer l = { .p = p, .style = style, .y = ends, .n = n };
    put_vectors(&l, "tg_plot_segments", "with vectors nohead");
}

void tg_plot_arrows(tg_plot *p, int64_t n, const double *ends, const tg_plot_style *style)
{
    layer l = { .p = p, .style = style, .y = ends, .n = n };
    put_vectors(&l, "tg_plot_arrows", "with vectors head filled size char 0.7,20");
}

/* A line across the panel is an arrow of gnuplot's, which the key does not know: there, a curve
   without points stands for it. */
static void put_across(layer *l, const char *call, double at, bool vertical)
{
    const double one = 0;
    l->y = &one;
    if (!layer_begin(l, call)) return;
    tg_plot *const p = l->p;
    tg__bytes *const to = &p->script;
    tg__axis *const axis = vertical ? &p->x : l->axis;
    if (!isfinite(at) || (axis->log && at <= 0)) return;
    tg__include(axis, at);
    const char *const y = l->style->right ? "second " : "first ";
    for (int end = 0; end <= 1; end++) {
        tg__put(to, end ? "to " : "set arrow ");
        if (!end) tg__put(to, "%d from ", ++p->labels);
        if (!vertical) tg__put(to, "graph %d, %s", end, y);
        tg__put_number(to, at);
        if (vertical) tg__put(to, ", graph %d ", end);
    }
    tg__put(to, "nohead front lw ");
    tg__put_number(to, l->style->width > 0 ? l->style->width : 1.5);
    tg__put(to, "lc rgb '#%06x'%s\n", (unsigned)l->colour, l->style->dashed ? " dt 2" : "");
    if (!layer_plot(l, 0, "with lines")) return;
    put_line_style(l, 1.5);
    tg__layer_title(p, l->style->label);
}

void tg_plot_hline(tg_plot *p, double y, const tg_plot_style *style)
{
    layer l = { .p = p, .style = style };
    put_across(&l, "tg_plot_hline", y, false);
}

void tg_plot_vline(tg_plot *p, double x, const tg_plot_style *style)
{
    layer l = { .p = p, .style = style };
    put_across(&l, "tg_plot_vline", x, true);
}

void tg_plot_text(tg_plot *p, double x, double y, const char *text, const tg_plot_style *style)
{
    if (!style) style = &plain;
    if (!tg__layer_ready(p, "tg_plot_text", 1, text)) return;
    tg__label(p, x, y, text, "left", style->size > 0 ? style->size : 10,
              style->colour ? style->colour : 0x000001);
}
