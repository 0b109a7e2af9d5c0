/* Images, and writing them without gnuplot: see tapegrad/plot.h. */
#include "inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_SIDE = 32768 };

uint32_t tg_colour(int i)
{
    static const uint32_t colours[TG_COLOURS] = { 0x0072B2, 0xD55E00, 0x009E73, 0xCC79A7,
                                                  0xE69F00, 0x56B4E9, 0x8C6D1F, 0x4D4D4D };
    return colours[(unsigned)i % TG_COLOURS];
}

uint32_t tg__pale(uint32_t colour, double part)
{
    uint32_t pale = 0;
    for (int shift = 0; shift <= 16; shift += 8) {
        const double full = colour >> shift & 255;
        pale |= (uint32_t)lround(255 + part * (full - 255)) << shift;
    }
    return pale;
}

tg_image *tg_image_new(int width, int height, tg_status *status)
{
    if (width < 1 || height < 1 || width > MOST_SIDE || height > MOST_SIDE) {
        tg__plot_fail(status, TG_ERROR_ARGUMENT,
                      "an image of %d x %d pixels: 1 to %d each way are possible", width, height,
                      MOST_SIDE);
        return NULL;
    }
    const size_t bytes = 3 * (size_t)width * (size_t)height;
    tg_image *const m = malloc(sizeof *m);
    uint8_t *const rgb = m ? malloc(bytes) : NULL;
    if (!rgb) {
        tg__plot_fail(status, TG_ERROR_MEMORY, "no memory: %zu bytes for an image", bytes);
        free(m);
        return NULL;
    }
    *m = (tg_image){ width, height, memset(rgb, 255, bytes) };
    return m;
}

void tg_image_free(tg_image *m)
{
    if (!m) return;
    free(m->rgb);
    free(m);
}

void tg_image_set(tg_image *m, int column, int row, uint32_t colour)
{
    if (column < 0 || row < 0 || column >= m->width || row >= m->height) return;
    uint8_t *const pixel = m->rgb + 3 * ((size_t)row * (size_t)m->width + (size_t)column);
    pixel[0] = (uint8_t)(colour >> 16);
    pixel[1] = (uint8_t)(colour >> 8);
    pixel[2] = (uint8_t)colour;
}

void tg_image_dot(tg_image *m, const tg_plot_grid *g, double x, double y, uint32_t colour)
{
    const double across = (x - g->x0) / (g->x1 - g->x0), up = (y - g->y0) / (g->y1 - g->y0);
    if (!(across >= 0 && across <= 1 && up >= 0 && up <= 1)) return;
    const int column = (int)(across * m->width), row = (int)((1 - up) * m->height);
    for (int r = row - 1; r <= row + 1; r++)
        for (int c = column - 1; c <= column + 1; c++) tg_image_set(m, c, r, colour);
}

tg_image *tg_image_regions(const tg_plot_grid *g, const double *y, int classes, tg_status *status)
{
    if (!g || !y || classes < 1) {
        tg__plot_fail(status, TG_ERROR_ARGUMENT, "regions of %d classes: %s", classes,
                      !g   ? "the grid is NULL"
                      : !y ? "the probabilities are NULL"
                           : "there must be one");
        return NULL;
    }
    tg_image *const m = tg_image_new(g->columns, g->rows, status);
    if (!m) return NULL;
    for (int row = g->rows - 1; row >= 0; row--)
        for (int column = 0; column < g->columns; column++, y += classes) {
            int best = 0;
            for (int k = 1; k < classes; k++)
                if (y[k] > y[best] || isnan(y[best])) best = k;
            const double even = 1.0 / classes;
            const double sure = classes > 1 ? (y[best] - even) / (1 - even) : y[best];
            if (!(sure >= 0)) continue; /* no probabilities: white */
            tg_image_set(m, column, row, tg__pale(tg_colour(best), 0.45 * fmin(sure, 1)));
        }
    return m;
}

/* ---- small images side by side --------------------------------------------------------------- */

bool tg__images_valid(const tg_images *m, tg__mosaic *mosaic, tg_status *status)
{
    if (!m || m->n < 1 || m->width < 1 || m->height < 1 || m->columns < 0 || !m->pixel)
        return tg__plot_fail(
            status, TG_ERROR_ARGUMENT,
            "images: %d of %d x %d pixels, %d in a row: none of these may be below "
            "1, and there must be pixels",
            m ? m->n : 0, m ? m->width : 0, m ? m->height : 0, m ? m->columns : 0);
    const int columns = m->columns ? m->columns : (int)ceil(sqrt(m->n));
    *mosaic = (tg__mosaic){ .columns = columns < m->n ? columns : m->n };
    mosaic->rows = (m->n - 1) / mosaic->columns + 1;
    if (m->width < MOST_SIDE / 2 / mosaic->columns && m->height < MOST_SIDE / 2 / mosaic->rows)
        return true;
    return tg__plot_fail(status, TG_ERROR_ARGUMENT,
                         "images: %d of %d x %d pixels, %d in a row, are too many for one picture",
                         m->n, m->width, m->height, mosaic->columns);
}

void tg__mosaic_place(const tg__mosaic *mosaic, const tg_images *m, int i, int *column, int *row)
{
    *column = mosaic->gap + i % mosaic->columns * (m->width + mosaic->gap);
    *row =
        mosaic->gap + i / mosaic->columns * (m->height + mosaic->gap + mosaic->head) + mosaic->head;
}

tg_image *tg__mosaic_make(const tg__mosaic *mosaic, const tg_images *m, tg_status *status)
{
    const int gap = mosaic->gap;
    tg_image *const all =
        tg_image_new(gap + mosaic->columns * (m->width + gap),
                     gap + mosaic->rows * (m->height + mosaic->head + gap), status);
    if (!all) return NULL;
    for (int y = 0; y < all->height; y++)
        for (int x = 0; x < all->width; x++) tg_image_set(all, x, y, mosaic->ground);
    const double white = m->white, range = m->black == m->white ? 1 : m->black - m->white;
    const double *pixel = m->pixel;
    for (int i = 0; i < m->n; i++) {
        int column, row;
        tg__mosaic_place(mosaic, m, i, &column, &row);
        for (int y = 0; y < m->height; y++)
            for (int x = 0; x < m->width; x++) {
                const double dark = fmin(fmax((*pixel++ - white) / range, 0), 1); /* NaN: white */
                tg_image_set(all, column + x, row + y, tg__pale(0, dark));
            }
    }
    return all;
}

tg_image *tg_image_of(const tg_images *images, tg_status *status)
{
    tg__mosaic mosaic;
    if (!tg__images_valid(images, &mosaic, status)) return NULL;
    mosaic.gap = 1;
    mosaic.ground = 0xc0c0c0;
    return tg__mosaic_make(&mosaic, images, status);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The luminance of a pixel, by the weights of ITU-R BT.709. */
static uint8_t grey(const uint8_t *rgb)
{
    return (uint8_t)lround(0.2126 * rgb[0] + 0.7152 * rgb[1] + 0.0722 * rgb[2]);
}

static bool has_ending(const char *path, tg_status *status)
{
    if (!path) return tg__plot_fail(status, TG_ERROR_ARGUMENT, "the path of an image is NULL");
    if (tg__ends_in(path, ".ppm") || tg__ends_in(path, ".pgm")) return true;
    return tg__plot_fail(status, TG_ERROR_ARGUMENT, "%s: an image's name ends in .ppm or .pgm",
                         path);
}

bool tg_image_writable(const char *path, tg_status *status)
{
    return has_ending(path, status) && tg__file_writable(path, status);
}

bool tg_image_write(const tg_image *m, const char *path, tg_status *status)
{
    if (!has_ending(path, status)) return false;
    if (!m) return tg__plot_fail(status, TG_ERROR_ARGUMENT, "%s: the image is NULL", path);
    const bool in_grey = tg__ends_in(path, ".pgm");
    const size_t pixels = (size_t)m->width * (size_t)m->height, bytes = in_grey ? 1 : 3;
    tg_status failure = { 0 };
    tg__bytes out = { .status = &failure };
    tg__put(&out, "P%d\n%d %d\n255\n", in_grey ? 5 : 6, m->width, m->height);
    for (size_t i = 0; i < pixels && !failure.code; i++) {
        const uint8_t *const rgb = m->rgb + 3 * i, one = grey(rgb);
        tg__put_bytes(&out, (const char *)(in_grey ? &one : rgb), bytes);
    }
    if (failure.code && status) *status = failure;
    const bool good = !failure.code && tg__file_write(path, out.data, out.n, status);
    free(out.data);
    return good;
}
