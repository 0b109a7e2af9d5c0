/* Layers that are functions of the plane, and tables: regions, fields, contours, images, confusion
   matrices. */
#include "inner.h"

#include <math.h>
#include <stdlib.h>

void tg_plot_grid_points(const tg_plot_grid *g, double *xy)
{
    for (int row = 0; row < g->rows; row++)
        for (int column = 0; column < g->columns; column++) {
            *xy++ = g->x0 + (column + 0.5) * (g->x1 - g->x0) / g->columns;
            *xy++ = g->y0 + (row + 0.5) * (g->y1 - g->y0) / g->rows;
        }
}

/* ---- cells ----------------------------------------------------------------------------------- */

/* Ranges take in the grid, and end there. */
static void see_grid(tg_plot *p, const tg_plot_grid *g)
{
    tg__see(&p->x, &p->y, g->x0, g->y0);
    tg__see(&p->x, &p->y, g->x1, g->y1);
    tg__include(&p->x, g->x0);
    tg__include(&p->x, g->x1);
    tg__include(&p->y, g->y0);
    tg__include(&p->y, g->y1);
    p->x.tight = p->y.tight = true;
}

/* Puts what is in a cell into the script. */
typedef void put_cell(tg__bytes *to, const void *cells, int column, int row);

/* A block with a line for each cell: its middle and what is in it. gnuplot needs two cells each way: a
   single one is halved. */
static void put_cells(tg_plot *p, const tg_plot_grid *g, put_cell *put, const void *cells)
{
    const int across = g->columns == 1 ? 2 : 1, up = g->rows == 1 ? 2 : 1;
    const double dx = (g->x1 - g->x0) / (g->columns * across);
    const double dy = (g->y1 - g->y0) / (g->rows * up);
    see_grid(p, g);
    tg__block_begin(p);
    for (int row = 0; row < g->rows * up; row++)
        for (int column = 0; column < g->columns * across; column++) {
            tg__put_number(&p->script, g->x0 + (column + 0.5) * dx);
            tg__put_number(&p->script, g->y0 + (row + 0.5) * dy);
            put(&p->script, cells, column / across, row / up);
            tg__put(&p->script, "\n");
        }
    tg__block_end(p);
}

static void put_pixel(tg__bytes *to, const void *cells, int column, int row)
{
    const tg_image *const m = cells;
    const size_t at = (size_t)(m->height - 1 - row) * (size_t)m->width + (size_t)column;
    const uint8_t *const rgb = m->rgb + 3 * at;
    tg__put(to, "%d %d %d", rgb[0], rgb[1], rgb[2]);
}

void tg__layer_image(tg_plot *p, const tg_plot_grid *grid, const tg_image *m)
{
    tg_plot_grid g = *grid;
    g.columns = m->width;
    g.rows = m->height;
    put_cells(p, &g, put_pixel, m);
    tg__layer_put(p, "$d%d with rgbimage notitle", p->blocks);
}

void tg_plot_image(tg_plot *p, const tg_plot_grid *grid, const tg_image *image)
{
    if (!tg__layer_ready(p, "tg_plot_image", 1, image)) return;
    tg_plot_grid g = grid ? *grid : (tg_plot_grid){ 0 };
    g.columns = image->width;
    g.rows = image->height;
    if (tg__grid_ready(p, "tg_plot_image", grid ? &g : NULL)) tg__layer_image(p, &g, image);
}

void tg_plot_regions(tg_plot *p, const tg_plot_grid *grid, const double *y, int classes)
{
    if (!tg__layer_ready(p, "tg_plot_regions", 1, y) || !tg__grid_ready(p, "tg_plot_regions", grid))
        return;
    tg_image *const m = tg_image_regions(grid, y, classes, &p->status);
    if (m) tg__layer_image(p, grid, m);
    tg_image_free(m);
}

/* ---- fields ---------------------------------------------------------------------------------- */

typedef struct field {
    const double *z;
    int columns;
    bool log;
} field;

static bool has_colour(double z, bool log)
{
    return isfinite(z) && (!log || z > 0);
}

static void put_value(tg__bytes *to, const void *cells, int column, int row)
{
    const field *const f = cells;
    const double z = f->z[(size_t)row * (size_t)f->columns + (size_t)column];
    tg__put_number(to, has_colour(z, f->log) ? z : NAN);
}

/* The least and the highest finite value; false if there is none. */
static bool extent(const double *z, size_t n, bool log, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (!has_colour(z[i], log)) continue;
        *low = fmin(*low, z[i]);
        *high = fmax(*high, z[i]);
    }
    return *low <= *high;
}

/* Chooses the ends of a scale as far as they are not given. */
static void choose_ends(tg_plot_scale *s, double low, double high)
{
    if (s->low < s->high) return;
    s->low = low;
    s->high = high;
    if (s->diverging) {
        s->high = fmax(fabs(low), fabs(high));
        s->low = -s->high;
    }
    if (s->low < s->high) return;
    s->low = s->log ? s->low / 2 : s->low - 0.5;
    s->high = s->log ? s->high * 2 : s->high + 0.5;
}

/* Viridis (van der Walt and Smith, 2015), or from blue over white to orange. */
static void put_scale(tg_plot *p, const tg_plot_scale *s)
{
    tg__bytes *const to = &p->script;
    if (s->diverging) tg__put(to, "set palette defined (0 '#0072b2', 1 '#ffffff', 2 '#d55e00')\n");
    else
        tg__put(to, "set palette defined (0 '#440154', 1 '#414487', 2 '#2a788e', 3 '#22a884', "
                    "4 '#7ad151', 5 '#fde725')\n");
    tg__put(to, "set cbrange [");
    tg__put_number(to, s->low);
    tg__put(to, ": ");
    tg__put_number(to, s->high);
    tg__put(to, "]\n%s\n", s->log ? "set logscale cb\nset format cb '%g'" : "unset logscale cb");
    tg__put(to, "set cblabel ");
    tg__put_text(to, s->label ? s->label : "", false);
    tg__put(to, "\n");
}

void tg_plot_field(tg_plot *p, const tg_plot_grid *g, const double *z, const tg_plot_scale *scale)
{
    if (!tg__layer_ready(p, "tg_plot_field", 1, z) || !tg__grid_ready(p, "tg_plot_field", g))
        return;
    tg_plot_scale s = scale ? *scale : (tg_plot_scale){ 0 };
    if (!isfinite(s.low) || !isfinite(s.high) || s.low > s.high ||
        (s.log && (s.diverging || (s.low < s.high && s.low <= 0)))) {
        tg__plot_fail(&p->status, TG_ERROR_ARGUMENT, "tg_plot_field: a %s%s scale from %g to %g",
                      s.log ? "logarithmic" : "linear", s.diverging ? " diverging" : "", s.low,
                      s.high);
        return;
    }
    const field f = { z, g->columns, s.log };
    double low, high;
    if (!extent(z, (size_t)g->columns * (size_t)g->rows, s.log, &low, &high)) {
        see_grid(p, g);
        return;
    }
    choose_ends(&s, low, high);
    put_scale(p, &s);
    put_cells(p, g, put_value, &f);
    tg__layer_put(p, "$d%d with image notitle", p->blocks);
}

/* ---- contours -------------------------------------------------------------------------------- */

/* A square between the middles of four cells, or between them and the edge: the corners' places and
   values, counterclockwise. */
typedef struct square {
    double x[4], y[4], z[4];
} square;

static void put_crossing(tg__bytes *to, const square *s, int side, double level)
{
    const int next = (side + 1) % 4;
    const double part = (level - s->z[side]) / (s->z[next] - s->z[side]);
    tg__put_number(to, s->x[side] + part * (s->x[next] - s->x[side]));
    tg__put_number(to, s->y[side] + part * (s->y[next] - s->y[side]));
    tg__put(to, "\n");
}

/* The lines of one level through a square, between the sides that it crosses. Where it crosses all
   four, the mean says whether the middle is above. Returns how many there are. */
static int put_crossings(tg__bytes *to, const square *s, double level)
{
    int side[4], n = 0;
    for (int i = 0; i < 4; i++)
        if ((s->z[i] < level) != (s->z[(i + 1) % 4] < level)) side[n++] = i;
    if (n == 4) {
        const double middle = (s->z[0] + s->z[1] + s->z[2] + s->z[3]) / 4;
        if ((middle < level) != (s->z[0] < level)) {
            /* The first corner is by itself: its two sides, 3 and 0, belong together. */
            side[0] = 3, side[1] = 0, side[2] = 1, side[3] = 2;
        }
    }
    for (int i = 0; i < n; i += 2) {
        put_crossing(to, s, side[i], level);
        put_crossing(to, s, side[i + 1], level);
        tg__put(to, "\n");
    }
    return n / 2;
}

/* Where the middle of the i-th of n cells lies; for -1 and n, the edge before and behind them all. */
static double middle_of(double from, double to, int n, int i)
{
    if (i < 0) return from;
    return i < n ? from + (i + 0.5) * (to - from) / n : to;
}

/* The cells to go by at i, and the weight of the second. The edge continues the line through the
   last two. */
static double neighbours(int n, int i, int *first, int *second)
{
    const bool outside = i < 0 || i >= n;
    *first = i < 0 ? 0 : i < n ? i : n - 1;
    *second = !outside || n == 1 ? *first : i < 0 ? 1 : n - 2;
    return outside && n > 1 ? -0.5 : 0;
}

static double value_at(const tg_plot_grid *g, const double *z, int column, int row)
{
    int c[2], r[2];
    const double across = neighbours(g->columns, column, &c[0], &c[1]);
    const double up = neighbours(g->rows, row, &r[0], &r[1]);
    double at[2];
    for (int i = 0; i < 2; i++) {
        const double *const line = z + (size_t)r[i] * (size_t)g->columns;
        at[i] = (1 - across) * line[c[0]] + across * line[c[1]];
    }
    return (1 - up) * at[0] + up * at[1];
}

/* False if a corner has no number. */
static bool square_at(square *s, const tg_plot_grid *g, const double *z, int column, int row)
{
    for (int i = 0; i < 4; i++) {
        const int c = column + (i == 1 || i == 2), r = row + (i >= 2);
        s->x[i] = middle_of(g->x0, g->x1, g->columns, c);
        s->y[i] = middle_of(g->y0, g->y1, g->rows, r);
        s->z[i] = value_at(g, z, c, r);
        if (!isfinite(s->z[i])) return false;
    }
    return true;
}

static int64_t put_level(tg_plot *p, const tg_plot_grid *g, const double *z, double level)
{
    int64_t drawn = 0;
    square s;
    for (int row = -1; row < g->rows; row++)
        for (int column = -1; column < g->columns; column++)
            if (square_at(&s, g, z, column, row)) drawn += put_crossings(&p->script, &s, level);
    return drawn;
}

/* A round number, 1, 2 or 5 times a power of ten, at least x > 0. */
static double round_up(double x)
{
    const double power = pow(10, floor(log10(x))), part = x / power;
    return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

void tg_plot_contours(tg_plot *p, const tg_plot_grid *g, const double *z, int n,
                      const double *level, const tg_plot_style *style)
{
    if (!tg__layer_ready(p, "tg_plot_contours", n, z) || !tg__grid_ready(p, "tg_plot_contours", g))
        return;
    double low, high;
    see_grid(p, g);
    if (n == 0 || !extent(z, (size_t)g->columns * (size_t)g->rows, false, &low, &high)) return;
    int64_t drawn = 0;
    tg__block_begin(p);
    if (level)
        for (int i = 0; i < n; i++) drawn += put_level(p, g, z, level[i]);
    const double step = low < high ? round_up((high - low) / n) : 0;
    if (!level && isfinite(step) && step > 0)
        for (double at = ceil(low / step); at * step <= high; at++)
            drawn += put_level(p, g, z, at * step);
    tg__block_end(p);
    if (drawn == 0) return;
    const tg_plot_style s = style ? *style : (tg_plot_style){ 0 };
    tg__layer_put(p, "$d%d with lines lw ", p->blocks);
    tg__put_number(&p->layers, s.width > 0 ? s.width : 1);
    tg__put(&p->layers, "lc rgb '#%06x' %s", s.colour ? (unsigned)s.colour & 0xffffff : 0x707070,
            s.dashed ? "dt 2 " : "");
    tg__layer_title(p, s.label);
}

/* ---- images side by side --------------------------------------------------------------------- */

/* The size of text in a cell of the panel, in points; cells is how many lie across and up. */
static double text_size(const tg_plot *p, int across, int up, double part)
{
    const double width = 0.75 * p->options.width / across, height = 0.75 * p->options.height / up;
    return fmin(fmax(part * fmin(width, height), 6), 13);
}

/* A thin frame around each image. */
static void put_frames(tg_plot *p, const tg__mosaic *mosaic, const tg_images *m)
{
    tg__block_begin(p);
    for (int i = 0; i < m->n; i++) {
        int x, y;
        tg__mosaic_place(mosaic, m, i, &x, &y);
        const int right = x + m->width, bottom = y + m->height;
        tg__put(&p->script, "%d %d\n%d %d\n%d %d\n%d %d\n%d %d\n\n", x, y, right, y, right, bottom,
                x, bottom, x, y);
    }
    tg__block_end(p);
    tg__layer_put(p, "$d%d with lines lw 1 lc rgb '#b0b0b0' notitle", p->blocks);
}

void tg_plot_images(tg_plot *p, const tg_images *m)
{
    tg__mosaic mosaic;
    if (!tg__layer_ready(p, "tg_plot_images", 1, m) || !tg__images_valid(m, &mosaic, &p->status))
        return;
    const int larger = m->width > m->height ? m->width : m->height;
    mosaic.gap = larger / 8 + 1;
    mosaic.head = m->label ? larger / 4 + 2 : 0;
    mosaic.ground = 0xffffff;
    tg_image *const all = tg__mosaic_make(&mosaic, m, &p->status);
    if (!all) return;
    /* From the top down, as pixels are counted. */
    const tg_plot_grid whole = { .x1 = all->width, .y0 = all->height };
    tg__fix_ranges(p, 0, all->width, all->height, 0);
    tg__put(&p->script, "set size ratio -1\nunset border\nunset tics\nunset key\n");
    tg__layer_image(p, &whole, all);
    put_frames(p, &mosaic, m);
    const double size = text_size(p, mosaic.columns, mosaic.rows, 0.16);
    for (int i = 0; m->label && i < m->n; i++) {
        int x, y;
        tg__mosaic_place(&mosaic, m, i, &x, &y);
        if (m->label[i])
            tg__label(p, x + 0.5 * m->width, y - 0.5 * mosaic.head, m->label[i], "center", size,
                      0x202020);
    }
    tg_image_free(all);
}

/* ---- confusion ------------------------------------------------------------------------------- */

/* The colours of the cells, the highest class at the bottom. */
static tg_image *confusion_image(int classes, const int *count, tg_status *status)
{
    tg_image *const m = tg_image_new(classes, classes, status);
    for (int actual = 0; m && actual < classes; actual++) {
        const int *const row = count + (size_t)actual * (size_t)classes;
        double all = 0;
        for (int k = 0; k < classes; k++) all += row[k];
        for (int k = 0; k < classes; k++) {
            const double share = all > 0 ? row[k] / all : 0;
            /* Errors are few: by the root of their share they are seen. */
            const uint32_t colour = k == actual ? tg__pale(tg_colour(0), 0.85 * share)
                                                : tg__pale(tg_colour(1), 0.85 * sqrt(share));
            tg_image_set(m, k, actual, colour);
        }
    }
    return m;
}

/* The classes' names along an axis. */
static void put_class_tics(tg_plot *p, const char *axis, int classes, const char *const *name)
{
    tg__put(&p->script, "set %stics (", axis);
    for (int k = 0; k < classes; k++) {
        char number[16];
        snprintf(number, sizeof number, "%d", k);
        tg__put(&p->script, k ? ", " : "");
        tg__put_text(&p->script, name && name[k] ? name[k] : number, true);
        tg__put(&p->script, " %d", k);
    }
    tg__put(&p->script, ") scale 0\n");
}

static bool counts_valid(tg_plot *p, int classes, const int *count)
{
    if (classes < 1 || classes > 1000)
        return tg__plot_fail(&p->status, TG_ERROR_ARGUMENT,
                             "tg_plot_confusion: %d classes: 1 to 1000 are possible", classes);
    for (int i = 0; i < classes * classes; i++)
        if (count[i] < 0)
            return tg__plot_fail(&p->status, TG_ERROR_ARGUMENT,
                                 "tg_plot_confusion: class %d was taken for %d %d times",
                                 i / classes, i % classes, count[i]);
    return true;
}

void tg_plot_confusion(tg_plot *p, int classes, const int *count, const char *const *name)
{
    if (!tg__layer_ready(p, "tg_plot_confusion", 1, count) || !counts_valid(p, classes, count))
        return;
    tg_image *const m = confusion_image(classes, count, &p->status);
    if (!m) return;
    const double end = classes - 0.5;
    tg__fix_ranges(p, -0.5, end, end, -0.5);
    if (!p->named_x) tg__put(&p->script, "set xlabel 'predicted'\n");
    if (!p->named_y) tg__put(&p->script, "set ylabel 'actual'\n");
    tg__put(&p->script, "set size ratio -1\nunset grid\nunset key\n");
    put_class_tics(p, "x", classes, name);
    put_class_tics(p, "y", classes, name);
    tg__layer_image(p, &(tg_plot_grid){ -0.5, end, end, -0.5, classes, classes }, m);
    const double size = text_size(p, classes, classes, 0.3);
    for (int i = 0; i < classes * classes; i++) {
        char number[16];
        snprintf(number, sizeof number, "%d", count[i]);
        const bool dark = m->rgb[3 * i] < 120 && i / classes == i % classes;
        if (count[i] > 0)
            tg__label(p, i % classes, i / classes, number, "center", size,
                      dark ? 0xffffff : 0x202020);
    }
    tg_image_free(m);
}
