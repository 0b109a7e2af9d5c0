/* Pictures: see picture.h. */
#include "common/picture.h"

#include <math.h>
#include <stdio.h>

#include "common/cli.h"

#include <tapegrad/short.h>

tg_plot *picture_new(const char *path, const tg_plot_options *options)
{
    tg_status status;
    if (!tg_plot_writable(path, &status)) fail("%s", status.message);
    if (!tg_plot_gnuplot(&status)) {
        printf("no picture: %s\n", status.message);
        return NULL;
    }
    tg_plot *picture = tg_plot_new(options);
    if (!picture) fail("no memory for the picture");
    return picture;
}

tg_plot_grid picture_around(const double *xy, int64_t n, int cells)
{
    double low[2] = { INFINITY, INFINITY }, high[2] = { -INFINITY, -INFINITY };
    for (int64_t i = 0; i < 2 * n; i++) {
        low[i % 2] = fmin(low[i % 2], xy[i]);
        high[i % 2] = fmax(high[i % 2], xy[i]);
    }
    return (tg_plot_grid){ low[0], high[0], low[1], high[1], cells, cells };
}

tg_plot_axes picture_plane(const char *title, const tg_plot_grid *grid)
{
    return (tg_plot_axes){ title,          "x₁",           "x₂",           .square = true,
                           .x0 = grid->x0, .x1 = grid->x1, .y0 = grid->y0, .y1 = grid->y1 };
}

void picture_sides(tg_plot *picture, const tg_plot_grid *grid, Value z)
{
    const Value p = stack(TG_VALUES(sigmoid(neg(z)), sigmoid(z)), .axis = 1);
    tg_plot_regions(picture, grid, tg_data(p), 2);
    tg_plot_contours(picture, grid, tg_data(z), 1, &(double){ 0 },
                     &(tg_plot_style){ .colour = 0x000001, .width = 2 });
}

void picture_losses(tg_plot *picture, const char *title, int epochs, const double *loss)
{
    tg_plot_panel(picture,
                  &(tg_plot_axes){ title, "epoch", "mean loss", .log_y = true, .x1 = epochs });
    tg_plot_line(picture, epochs, NULL, loss, &(tg_plot_style){ .label = "training" });
    tg_plot_line(picture, epochs, NULL, loss + epochs, &(tg_plot_style){ .label = "test" });
}

void picture_write(tg_plot *picture, const char *path)
{
    tg_status status;
    if (!picture) return;
    if (!tg_plot_write(picture, path, &status)) fail("%s", status.message);
    printf("picture: %s\n", path);
    tg_plot_free(picture);
}
