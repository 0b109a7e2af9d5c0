/* Pictures and panels: the script for gnuplot. A panel's data become named blocks, $d1, $d2, ..., in
   the script at once; what is to be plotted of them is gathered meanwhile, for gnuplot wants all
   layers of a panel in one command, and before it the ranges, which depend on all of them. */
#include "inner.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_PANELS = 100, MOST_PIXELS = 20000, TITLE_HEIGHT = 36 };

/* ---- pictures -------------------------------------------------------------------------------- */

static bool options_valid(const tg_plot_options *o, tg_status *status)
{
    if (o->rows < 1 || o->columns < 1 || o->rows > MOST_PANELS || o->columns > MOST_PANELS)
        return tg__plot_fail(status, TG_ERROR_ARGUMENT,
                             "tg_plot_new: %d x %d panels: 1 to %d each way are possible", o->rows,
                             o->columns, MOST_PANELS);
    if (o->width < 50 || o->height < 50 || o->width > MOST_PIXELS / o->columns ||
        o->height > MOST_PIXELS / o->rows)
        return tg__plot_fail(
            status, TG_ERROR_ARGUMENT,
            "tg_plot_new: %d x %d panels of %d x %d pixels: a panel has at least 50 "
            "each way, a picture at most %d",
            o->rows, o->columns, o->width, o->height, MOST_PIXELS);
    return true;
}

tg_plot *tg_plot_new(const tg_plot_options *options)
{
    tg_plot *const p = calloc(1, sizeof *p);
    if (!p) return NULL;
    tg_plot_options *const o = &p->options;
    if (options) *o = *options;
    if (o->rows == 0) o->rows = 1;
    if (o->columns == 0) o->columns = 1;
    if (o->width == 0) o->width = 540;
    if (o->height == 0) o->height = 500;
    p->script.status = p->layers.status = p->page.status = &p->status;
    if (!options_valid(o, &p->status)) return p;
    tg__put(&p->script, "set multiplot layout %d,%d", o->rows, o->columns);
    if (o->title) {
        tg__put(&p->script, " title ");
        tg__put_text(&p->script, o->title, false);
        tg__put(&p->script, " font ',14'");
    }
    tg__put(&p->script, "\n");
    return p;
}

void tg_plot_free(tg_plot *p)
{
    if (!p) return;
    free(p->script.data);
    free(p->layers.data);
    free(p->page.data);
    free(p);
}

const tg_status *tg_plot_status(const tg_plot *p)
{
    return p ? &p->status : NULL;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

/* True, or an error if the end of a range is infinite or makes no sense on a logarithmic axis. */
static bool set_axis(tg_plot *p, tg__axis *axis, const char *name, bool log, double low,
                     double high)
{
    *axis = (tg__axis){ .low = low,
                        .high = high,
                        .least = INFINITY,
                        .most = -INFINITY,
                        .first = INFINITY,
                        .last = -INFINITY,
                        .log = log };
    if (low == high) axis->low = axis->high = NAN;
    if (isinf(low) || isinf(high))
        return tg__plot_fail(&p->status, TG_ERROR_ARGUMENT,
                             "tg_plot_panel: the range of %s is infinite", name);
    if (log && (axis->low <= 0 || axis->high <= 0))
        return tg__plot_fail(&p->status, TG_ERROR_ARGUMENT,
                             "tg_plot_panel: the range of %s is %g to %g: a logarithmic axis needs "
                             "numbers above 0",
                             name, low, high);
    return true;
}

static bool drawable(const tg__axis *axis, double at)
{
    return isfinite(at) && (!axis->log || at > 0);
}

/* Whether a value lies within the ends that are given. */
static bool inside(const tg__axis *axis, double at)
{
    const double low = fmin(axis->low, axis->high), high = fmax(axis->low, axis->high);
    if (isnan(axis->low)) return !(at > axis->high);
    if (isnan(axis->high)) return !(at < axis->low);
    return at >= low && at <= high;
}

static void see_at(tg__axis *axis, double at)
{
    axis->seen = true;
    axis->first = fmin(axis->first, at);
    axis->last = fmax(axis->last, at);
}

bool tg__see(tg__axis *x, tg__axis *y, double at_x, double at_y)
{
    if (!drawable(x, at_x) || !drawable(y, at_y)) return false;
    if (inside(x, at_x) && inside(y, at_y)) {
        see_at(x, at_x);
        see_at(y, at_y);
    }
    return true;
}

void tg__include(tg__axis *axis, double value)
{
    if (!drawable(axis, value)) return;
    axis->least = fmin(axis->least, value);
    axis->most = fmax(axis->most, value);
}

void tg__fix_ranges(tg_plot *p, double x0, double x1, double y0, double y1)
{
    p->x.low = x0;
    p->x.high = x1;
    p->y.low = y0;
    p->y.high = y1;
}

/* The end of a logarithmic range that takes in the data and what must be included: a power of ten.
   gnuplot (5.4) takes no notice of a bound on such an axis. */
static double log_end(const tg__axis *axis, bool upper)
{
    const double end = upper ? fmax(axis->last, axis->most) : fmin(axis->first, axis->least);
    if (axis->tight) return end;
    /* A power itself stays, though its logarithm be rounded. */
    return pow(10, upper ? ceil(log10(end) - 1e-9) : floor(log10(end) + 1e-9));
}

/* One end of a range: its number, or that the data choose it, and must go as far as the bound. */
static void put_end(tg__bytes *to, const tg__axis *axis, double end, bool upper)
{
    const double bound = upper ? axis->most : axis->least;
    if (!isnan(end)) {
        tg__put_number(to, end);
    } else if (!axis->seen) {
        /* There is nothing to choose by: 0 to 1, or around what must be included. */
        const double free = upper ? 1 : axis->log ? 0.1 : 0;
        tg__put_number(to, upper ? fmax(free, bound) : fmin(free, bound));
    } else if (axis->least > axis->most) {
        tg__put(to, "* ");
    } else if (axis->log) {
        tg__put_number(to, log_end(axis, upper));
    } else if (upper) {
        tg__put_number(to, bound);
        tg__put(to, "< * ");
    } else {
        tg__put(to, "* < ");
        tg__put_number(to, bound);
    }
}

static void put_range(tg__bytes *to, const char *name, const tg__axis *axis)
{
    tg__axis a = *axis;
    /* Without data, an end that is given has the other at a distance of 1, or of a power of 10. */
    if (!a.seen && isnan(a.low) && !isnan(a.high)) a.low = a.log ? a.high / 10 : a.high - 1;
    if (!a.seen && isnan(a.high) && !isnan(a.low)) a.high = a.log ? a.low * 10 : a.low + 1;
    tg__put(to, "set %srange [", name);
    put_end(to, &a, a.low, false);
    tg__put(to, ": ");
    put_end(to, &a, a.high, true);
    tg__put(to, "]%s\n", a.tight ? " noextend" : "");
}

/* ---- panels ---------------------------------------------------------------------------------- */

/* What is still missing of the present panel: ranges, and the plot command. */
static void finish_panel(const tg_plot *p, tg__bytes *to)
{
    if (p->panels == 0) return;
    put_range(to, "x", &p->x);
    put_range(to, "y", &p->y);
    if (p->has_right) {
        put_range(to, "y2", &p->right);
        tg__put(to, "set y2tics nomirror out textcolor '#404040'\n");
    }
    if (!p->has_key) tg__put(to, "unset key\n");
    tg__put(to, "plot %s\n", p->layers.n ? p->layers.data : "NaN notitle");
}

static void put_setting(tg_plot *p, const char *setting, const char *text)
{
    if (!text) return;
    tg__put(&p->script, "set %s ", setting);
    tg__put_text(&p->script, text, false);
    tg__put(&p->script, "\n");
}

static void put_names(tg_plot *p, const char *axis, int n, const char *const *name)
{
    tg__put(&p->script, "set %stics (", axis);
    for (int i = 0; i < n; i++) {
        tg__put(&p->script, i ? ", " : "");
        tg__put_text(&p->script, name[i] ? name[i] : "", true);
        tg__put(&p->script, " %d", i);
    }
    tg__put(&p->script, ")\n");
}

static const char *const keys[] = {
    [TG_KEY_TOP_RIGHT] = "set key top right",
    [TG_KEY_TOP_LEFT] = "set key top left Left reverse",
    [TG_KEY_BOTTOM_RIGHT] = "set key bottom right",
    [TG_KEY_BOTTOM_LEFT] = "set key bottom left Left reverse",
    [TG_KEY_OUTSIDE] = "set key outside right top Left reverse",
    [TG_KEY_BELOW] = "set key below center horizontal height 1", /* clear of the axis' name */
    [TG_KEY_NONE] = "unset key",
};

static void put_frame(tg_plot *p, const tg_plot_axes *axes)
{
    tg__put(&p->script, "set clip two\nset key samplen 1.5\n%s\n", keys[axes->key]);
    if (axes->key < TG_KEY_BELOW)
        tg__put(&p->script, "set key opaque box lc rgb '#d0d0d0' width 1\n");
    tg__put(&p->script, "set size %s\n", axes->square ? "ratio -1" : "noratio");
    if (axes->log_x) tg__put(&p->script, "set logscale x\nset format x '%%g'\n");
    if (axes->log_y) tg__put(&p->script, "set logscale y\nset format y '%%g'\n");
    if (axes->log_right) tg__put(&p->script, "set logscale y2\nset format y2 '%%g'\n");
    if (axes->bare) {
        tg__put(&p->script, "unset border\nunset tics\n");
        return;
    }
    tg__put(&p->script, "set border lc rgb '#606060'\n"
                        "set tics nomirror out textcolor '#404040'\n"
                        "set grid lc rgb '#e0e0e0' lt 1\n");
    if (axes->x_names && axes->x_count > 0) put_names(p, "x", axes->x_count, axes->x_names);
}

static bool axes_valid(tg_plot *p, const tg_plot_axes *axes)
{
    if (p->panels == p->options.rows * p->options.columns)
        return tg__plot_fail(&p->status, TG_ERROR_ARGUMENT,
                             "tg_plot_panel: the picture has %d x %d panels, and this is one more",
                             p->options.rows, p->options.columns);
    if ((int)axes->key < TG_KEY_TOP_RIGHT || axes->key > TG_KEY_NONE)
        return tg__plot_fail(&p->status, TG_ERROR_ARGUMENT,
                             "tg_plot_panel: there is no place %d for the key", (int)axes->key);
    if (axes->x_count < 0 || (axes->x_count > 0 && !axes->x_names))
        return tg__plot_fail(&p->status, TG_ERROR_ARGUMENT,
                             "tg_plot_panel: %d names of x, and x_names is %s", axes->x_count,
                             axes->x_names ? "there" : "NULL");
    return true;
}

void tg_plot_panel(tg_plot *p, const tg_plot_axes *axes)
{
    const tg_plot_axes defaults = { 0 };
    if (!p || p->status.code) return;
    if (!axes) axes = &defaults;
    if (!axes_valid(p, axes)) return;
    finish_panel(p, &p->script);
    p->layers.n = 0;
    p->panels++;
    p->colours = 0;
    p->has_right = p->has_key = false;
    p->named_x = axes->x;
    p->named_y = axes->y;
    if (!set_axis(p, &p->x, "x", axes->log_x, axes->x0, axes->x1) ||
        !set_axis(p, &p->y, "y", axes->log_y, axes->y0, axes->y1) ||
        !set_axis(p, &p->right, "the right axis", axes->log_right, axes->right0, axes->right1))
        return;
    tg__put(&p->script, "reset\n");
    put_setting(p, "title", axes->title);
    put_setting(p, "xlabel", axes->x);
    put_setting(p, "ylabel", axes->y);
    put_setting(p, "y2label", axes->right);
    put_frame(p, axes);
}

/* ---- for layers ------------------------------------------------------------------------------ */

bool tg__layer_ready(tg_plot *p, const char *call, int64_t n, const void *data)
{
    if (!p || p->status.code) return false;
    if (n < 0)
        return tg__plot_fail(&p->status, TG_ERROR_ARGUMENT, "%s: n is %lld", call, (long long)n);
    if (n > 0 && !data)
        return tg__plot_fail(&p->status, TG_ERROR_ARGUMENT, "%s: %lld values, and they are NULL",
                             call, (long long)n);
    if (p->panels == 0) tg_plot_panel(p, NULL);
    return p->status.code == TG_OK;
}

bool tg__grid_ready(tg_plot *p, const char *call, const tg_plot_grid *g)
{
    if (!g) return tg__plot_fail(&p->status, TG_ERROR_ARGUMENT, "%s: the grid is NULL", call);
    const double width = g->x1 - g->x0, height = g->y1 - g->y0;
    if (g->columns > 0 && g->rows > 0 && g->columns <= MOST_PIXELS && g->rows <= MOST_PIXELS &&
        isfinite(width) && isfinite(height) && width != 0 && height != 0)
        return true;
    return tg__plot_fail(&p->status, TG_ERROR_ARGUMENT,
                         "%s: a grid of %d x %d cells over %g ... %g, %g ... %g: it needs 1 to %d "
                         "each way, and an area",
                         call, g->columns, g->rows, g->x0, g->x1, g->y0, g->y1, MOST_PIXELS);
}

uint32_t tg__layer_colour(tg_plot *p, const tg_plot_style *style)
{
    return (style->colour ? style->colour : tg_colour(p->colours++)) & 0xffffff;
}

void tg__block_begin(tg_plot *p)
{
    tg__put(&p->script, "$d%d << END\n", ++p->blocks);
}

void tg__block_end(tg_plot *p)
{
    tg__put(&p->script, "END\n");
}

void tg__layer_put(tg_plot *p, const char *format, ...)
{
    char text[256];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    tg__put(&p->layers, "%s%s ", p->layers.n ? ", " : "", text);
}

void tg__layer_title(tg_plot *p, const char *label)
{
    if (label) {
        p->has_key = true;
        tg__put(&p->layers, "title ");
        tg__put_text(&p->layers, label, false);
    } else {
        tg__put(&p->layers, "notitle");
    }
}

void tg__label(tg_plot *p, double x, double y, const char *text, const char *where, double size,
               uint32_t colour)
{
    if (!drawable(&p->x, x) || !drawable(&p->y, y)) return;
    tg__put(&p->script, "set label %d ", ++p->labels);
    tg__put_text(&p->script, text, false);
    tg__put(&p->script, " at ");
    tg__put_number(&p->script, x);
    tg__put(&p->script, ", ");
    tg__put_number(&p->script, y);
    tg__put(&p->script, "%s front font ',%d' textcolor rgb '#%06x'\n", where, (int)lround(size),
            (unsigned)colour & 0xffffff);
}

/* ---- writing --------------------------------------------------------------------------------- */

const char *tg_plot_script(tg_plot *p)
{
    if (!p || p->status.code) return NULL;
    p->page.n = 0;
    if (p->script.n) tg__put_bytes(&p->page, p->script.data, p->script.n);
    finish_panel(p, &p->page);
    tg__put(&p->page, "unset multiplot\n");
    return p->status.code ? NULL : p->page.data;
}

/* The end of a picture's file: what comes last in it when it is whole, and what makes gnuplot draw
   such. */
typedef struct ending {
    const char *name, *terminal, *last;
} ending;

static const ending endings[] = {
    { ".png", "pngcairo", "IEND\xae\x42\x60\x82" },
    { ".svg", "svg", "</svg>" },
};

static const ending *find_ending(const char *path, tg_status *status)
{
    if (!path) {
        tg__plot_fail(status, TG_ERROR_ARGUMENT, "the path of a picture is NULL");
        return NULL;
    }
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
        if (tg__ends_in(path, endings[i].name)) return &endings[i];
    tg__plot_fail(status, TG_ERROR_ARGUMENT, "%s: a picture's name ends in .png or .svg", path);
    return NULL;
}

bool tg_plot_writable(const char *path, tg_status *status)
{
    return find_ending(path, status) && tg__file_writable(path, status);
}

/* Passes a failure on. Always false. */
static bool give(tg_status *status, const tg_status *failure)
{
    if (status) *status = *failure;
    return false;
}

/* Runs gnuplot on the script. A failure of one that is too old is just that. */
static bool draw(const tg_plot *p, const ending *e, tg__bytes *out, tg_status *status)
{
    const tg_plot_options *const o = &p->options;
    tg_status failure = { 0 };
    tg__bytes all = { .status = &failure };
    tg__put(&all,
            "set encoding utf8\n"
            "set terminal %s noenhanced size %d,%d font 'sans,11' background '#ffffff'\n",
            e->terminal, o->columns * o->width,
            o->rows * o->height + (o->title ? TITLE_HEIGHT : 0));
    tg__put_bytes(&all, p->page.data, p->page.n);
    if (!failure.code && !tg__gnuplot_run(&all, out, &failure)) tg_plot_gnuplot(&failure);
    free(all.data);
    if (failure.code) return give(status, &failure);
    const size_t end = strlen(e->last);
    size_t n = out->n;
    while (n > 0 && out->data[n - 1] == '\n') n--;
    if (n > end && memcmp(out->data + n - end, e->last, end) == 0) return true;
    return tg__plot_fail(status, TG_ERROR_FILE, "gnuplot ended without a whole picture");
}

bool tg_plot_write(tg_plot *p, const char *path, tg_status *status)
{
    const ending *const e = find_ending(path, status);
    if (!e) return false;
    if (!p) return tg__plot_fail(status, TG_ERROR_MEMORY, "%s: no memory for a picture", path);
    if (!tg_plot_script(p)) return give(status, &p->status);
    tg_status memory = { 0 };
    tg__bytes out = { .status = &memory };
    bool good = draw(p, e, &out, status);
    if (memory.code) good = give(status, &memory);
    good = good && tg__file_write(path, out.data, out.n, status);
    free(out.data);
    return good;
}
