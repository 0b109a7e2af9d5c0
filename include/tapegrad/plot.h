/* Plot: pictures by gnuplot, as PNG or SVG; images as PPM or PGM without it; progress as text.

       tg_status status;
       tg_plot *p = tg_plot_new(NULL);
       tg_plot_panel(p, &(tg_plot_axes){ .title = "loss", .x = "epoch", .log_y = true });
       tg_plot_line(p, epochs, NULL, train, &(tg_plot_style){ .label = "training" });
       tg_plot_line(p, epochs, NULL, test, &(tg_plot_style){ .label = "test" });
       if (!tg_plot_write(p, "loss.png", &status)) fprintf(stderr, "%s\n", status.message);
       tg_plot_free(p);

   A picture has panels, a panel has layers, the lowest first. They are gathered in memory as a script
   for gnuplot, which tg_plot_write runs, once or several times. What is passed in is read, never
   kept.

   Errors: the first one stays with the picture, drawing then does nothing, and tg_plot_write reports
   it; no other call needs a look. All functions take a picture that is NULL, as when there was no
   memory for it. gnuplot gets its input through a socket and its picture comes back through a pipe:
   no signal reaches the program if it dies, and no file is left behind.

   Texts are UTF-8, and every character stands for itself; a line end breaks the line. NaN and infinite
   numbers, and those not above 0 on a logarithmic axis, are not drawn: lines have a gap there.

   Colours are 0xRRGGBB. Where one is 0, the panel's next of tg_colour is taken; 0x000001 is black.

   Threads: two threads may work on two pictures. Nothing is printed but by a meter, to the file that
   it is given. */
#ifndef TAPEGRAD_PLOT_H
#define TAPEGRAD_PLOT_H

#include <stdio.h>

#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- pictures -------------------------------------------------------------------------------- */

typedef struct tg_plot tg_plot;

/* What a picture is; zero is each field's default. */
typedef struct tg_plot_options {
    int rows, columns; /* of panels; default 1 and 1 */
    int width, height; /* of a panel, in pixels; default 540 and 500 */
    const char *title; /* above all panels; NULL: none */
} tg_plot_options;

/* A new picture, or NULL when there is no memory. options NULL: all defaults. */
TG_API tg_plot *tg_plot_new(const tg_plot_options *options);

/* NULL is fine. */
TG_API void tg_plot_free(tg_plot *plot);

/* Draws what was gathered so far into a file, which is .png or .svg by the end of its name. The file
   is written when the whole picture is there. More layers may follow, and another tg_plot_write. */
TG_API bool tg_plot_write(tg_plot *plot, const char *path, tg_status *status);

/* Whether tg_plot_write could write to path: its name has a known end, and the file can be opened for
   writing (one that was not there is not there afterwards). To be asked before a long training. */
TG_API bool tg_plot_writable(const char *path, tg_status *status);

/* Whether a gnuplot that is new enough (5.0) can be run. */
TG_API bool tg_plot_gnuplot(tg_status *status);

/* The script for gnuplot of what was gathered so far, but for the terminal and its size. Owned by
   the picture, valid until the next call about it. NULL after an error. */
TG_API const char *tg_plot_script(tg_plot *plot);

/* What went wrong first; code TG_OK: nothing. Owned by the picture; NULL if that is NULL. */
TG_API const tg_status *tg_plot_status(const tg_plot *plot);

/* ---- panels ---------------------------------------------------------------------------------- */

/* Where a panel explains its layers. */
typedef enum tg_plot_key {
    TG_KEY_TOP_RIGHT,
    TG_KEY_TOP_LEFT,
    TG_KEY_BOTTOM_RIGHT,
    TG_KEY_BOTTOM_LEFT,
    TG_KEY_OUTSIDE, /* to the right of the panel */
    TG_KEY_BELOW,
    TG_KEY_NONE,
} tg_plot_key;

/* What a panel is; zero is each field's default. Of a range, two ends that are equal, or an end that
   is NaN, are chosen by the data. A range may run downwards. */
typedef struct tg_plot_axes {
    const char *title, *x, *y; /* NULL: none */
    const char *right;         /* the axis on the right, of layers with .right */
    double x0, x1, y0, y1, right0, right1;
    bool log_x, log_y, log_right;
    bool square;                /* one unit of x is as long as one of y */
    bool bare;                  /* no frame, ticks or grid */
    const char *const *x_names; /* names at x = 0, 1, ... x_count - 1 instead of numbers */
    int x_count;
    tg_plot_key key;
} tg_plot_axes;

/* Begins the next panel: row by row, each from left to right. axes NULL: all defaults. A layer that
   comes before any panel begins one. */
TG_API void tg_plot_panel(tg_plot *plot, const tg_plot_axes *axes);

/* ---- layers: curves and points --------------------------------------------------------------- */

/* How points are marked. */
typedef enum tg_plot_mark {
    TG_MARK_DOT,
    TG_MARK_CIRCLE,
    TG_MARK_SQUARE,
    TG_MARK_TRIANGLE,
    TG_MARK_CROSS,
    TG_MARK_PLUS,
    TG_MARK_STAR,
} tg_plot_mark;

/* How a layer looks; zero is each field's default. */
typedef struct tg_plot_style {
    const char *label; /* in the key; NULL: it is not there */
    uint32_t colour;   /* 0: the panel's next */
    double width;      /* of lines; default 2. Of bars, in units of x; default 0.8 */
    double size;       /* of points; default 0.6. Lines are marked with points if it is given. Of a
                          text, in points; default 10 */
    tg_plot_mark mark;
    bool dashed;
    bool right;     /* y counts on the right axis */
    int64_t stride; /* from one x or y to the next; default 1. 2 for pairs: x = xy, y = xy + 1 */
} tg_plot_style;

/* The colours, which stay apart for the colour-blind too (Okabe and Ito, Color universal design,
   2008), and repeat after TG_COLOURS. */
enum { TG_COLOURS = 8 };
TG_API uint32_t tg_colour(int i);

/* n points (x[i], y[i]), joined by a line or each by itself. x NULL: 1, 2, ... n. style NULL: all
   defaults, here and below. */
TG_API void tg_plot_line(tg_plot *plot, int64_t n, const double *x, const double *y,
                         const tg_plot_style *style);
TG_API void tg_plot_points(tg_plot *plot, int64_t n, const double *x, const double *y,
                           const tg_plot_style *style);

/* n points xy (n, 2), each in the colour of its class: label[i] is from 0 to classes - 1, and its
   colour tg_colour(label[i]). name (classes) is what they are called in the key; NULL: they are not
   there. Of style, size and mark count. */
TG_API void tg_plot_classes(tg_plot *plot, int64_t n, const double *xy, const int *label,
                            int classes, const char *const *name, const tg_plot_style *style);

/* Bars from 0 up (or down) to y, in the middle of x. x NULL: 0, 1, ... n - 1, as axes.x_names. */
TG_API void tg_plot_bars(tg_plot *plot, int64_t n, const double *x, const double *y,
                         const tg_plot_style *style);

/* Points with a vertical line from y - error to y + error. */
TG_API void tg_plot_errors(tg_plot *plot, int64_t n, const double *x, const double *y,
                           const double *error, const tg_plot_style *style);

/* The area between two curves, pale. */
TG_API void tg_plot_band(tg_plot *plot, int64_t n, const double *x, const double *low,
                         const double *high, const tg_plot_style *style);

/* Lines, or arrows, from (x0, y0) to (x1, y1): ends (n, 4). stride does not count. */
TG_API void tg_plot_segments(tg_plot *plot, int64_t n, const double *ends,
                             const tg_plot_style *style);
TG_API void tg_plot_arrows(tg_plot *plot, int64_t n, const double *ends,
                           const tg_plot_style *style);

/* A line across the whole panel, above the other layers; a range that is chosen by the data includes
   it. */
TG_API void tg_plot_hline(tg_plot *plot, double y, const tg_plot_style *style);
TG_API void tg_plot_vline(tg_plot *plot, double x, const tg_plot_style *style);

/* A text that begins at (x, y), above all other layers. colour 0: black. It does not widen ranges. */
TG_API void tg_plot_text(tg_plot *plot, double x, double y, const char *text,
                         const tg_plot_style *style);

/* ---- layers: functions of the plane ---------------------------------------------------------- */

/* A rectangle, divided into columns times rows cells. A function of the plane is a value for the
   middle of each: row-major, the row of the lowest y first. */
typedef struct tg_plot_grid {
    double x0, x1, y0, y1;
    int columns, rows;
} tg_plot_grid;

/* Puts the middles of the cells into xy (rows * columns, 2), where a model takes them from. */
TG_API void tg_plot_grid_points(const tg_plot_grid *grid, double *xy);

/* Decision regions: y (rows * columns, classes) are the probabilities of the classes. Each cell has the
   pale colour of the most probable one, the paler the less sure. */
TG_API void tg_plot_regions(tg_plot *plot, const tg_plot_grid *grid, const double *y, int classes);

/* How a function's values become colours; zero is each field's default. */
typedef struct tg_plot_scale {
    const char *label; /* beside the colour bar */
    double low, high;  /* of the colours; equal: chosen by the data */
    bool diverging; /* blue below, white at and orange above the middle of low ... high; chosen by
                          the data, the middle is 0 */
    bool log;       /* logarithmic */
} tg_plot_scale;

/* A function as colours, with a colour bar: z (rows * columns). scale NULL: all defaults. A panel has
   one scale: that of its last field. */
TG_API void tg_plot_field(tg_plot *plot, const tg_plot_grid *grid, const double *z,
                          const tg_plot_scale *scale);

/* Lines on which a function has the values level[0] ... level[n - 1]; level NULL: about n round
   values. colour 0: grey. */
TG_API void tg_plot_contours(tg_plot *plot, const tg_plot_grid *grid, const double *z, int n,
                             const double *level, const tg_plot_style *style);

/* ---- layers: images and tables --------------------------------------------------------------- */

/* Pixels, 3 bytes each: red, green, blue; row-major, the top row first. */
typedef struct tg_image {
    int width, height;
    uint8_t *rgb;
} tg_image;

/* An image over the rectangle of a grid. */
TG_API void tg_plot_image(tg_plot *plot, const tg_plot_grid *grid, const tg_image *image);

/* Small grey images side by side; zero is each field's default. */
typedef struct tg_images {
    int n, width, height;     /* how many, and the pixels of each */
    const double *pixel;      /* (n, height, width), the top row first */
    double white, black;      /* the pixels' values of these; equal: 0 and 1 */
    int columns;              /* images in a row; 0: as many as make a square */
    const char *const *label; /* (n) above each; NULL: none */
} tg_images;

/* Fills a panel with images; its ranges and frame are then theirs. */
TG_API void tg_plot_images(tg_plot *plot, const tg_images *images);

/* A confusion matrix: count (classes, classes) of the actual class in its rows, the predicted one in
   its columns. What is right is blue and what is wrong orange, by its share of the row; zeros are
   left empty. name (classes); NULL: their numbers from 0. It sets the panel's ranges, and names its
   axes where they have no name. */
TG_API void tg_plot_confusion(tg_plot *plot, int classes, const int *count,
                              const char *const *name);

/* ---- images without gnuplot ------------------------------------------------------------------ */

/* A white image. The caller frees it with tg_image_free. */
TG_API tg_image *tg_image_new(int width, int height, tg_status *status);

/* NULL is fine. */
TG_API void tg_image_free(tg_image *image);

/* One pixel, counted from the left and from the top; nothing outside the image. */
TG_API void tg_image_set(tg_image *image, int column, int row, uint32_t colour);

/* The decision regions that tg_plot_regions draws, a pixel for a cell. */
TG_API tg_image *tg_image_regions(const tg_plot_grid *grid, const double *y, int classes,
                                  tg_status *status);

/* A dot of 3 by 3 pixels at (x, y) of the grid that the image shows; nothing outside it. */
TG_API void tg_image_dot(tg_image *image, const tg_plot_grid *grid, double x, double y,
                         uint32_t colour);

/* The small images as one, without labels, with a border of one pixel between them. */
TG_API tg_image *tg_image_of(const tg_images *images, tg_status *status);

/* Writes an image as .ppm, or in grey as .pgm, by the end of the file's name. */
TG_API bool tg_image_write(const tg_image *image, const char *path, tg_status *status);

/* As tg_plot_writable, for tg_image_write. */
TG_API bool tg_image_writable(const char *path, tg_status *status);

/* ---- progress -------------------------------------------------------------------------------- */

/* The progress of a long loop: on a terminal a bar that moves, in a log plain lines, one for each
   tenth of the way and for each second. Both end in the time that is left.

       tg_meter m = tg_meter_start(stdout, epochs);
       for (int epoch = 0; epoch < epochs; epoch++) {
           ...
           tg_meter_show(&m, epoch + 1, "loss %.4f  accuracy %.3f", loss, accuracy);
       }
       printf("trained in %.2f s\n", tg_meter_end(&m)); */
typedef struct tg_meter {
    FILE *file;
    bool terminal;
    int64_t total;
    int tenths;   /* of the way, when it was last shown */
    double begun; /* seconds */
    double shown; /* when it was last shown, seconds */
} tg_meter;

/* A loop of total steps begins. file NULL: nothing is shown, but time is measured. */
TG_API tg_meter tg_meter_start(FILE *file, int64_t total);

/* done steps are done. The text, as of printf, is only made when it is time to show it: call this as
   often as you like. */
TG_API void tg_meter_show(tg_meter *meter, int64_t done, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* Seconds since the loop began. Ends the bar's line; also where the loop is left early. */
TG_API double tg_meter_end(const tg_meter *meter);

#ifdef __cplusplus
}
#endif
#endif
