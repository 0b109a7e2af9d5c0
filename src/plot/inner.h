/* What the files of this room share: texts that grow, the picture, failures, and running gnuplot.
   Not for users: they have tapegrad/plot.h. */
#ifndef TG_PLOT_INNER_H
#define TG_PLOT_INNER_H

#include <tapegrad/plot.h>

#if defined(__GNUC__)
#define TG__PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define TG__PRINTF(text, first)
#endif

/* ---- failures (text.c) ----------------------------------------------------------------------- */

/* Describes a failure, if status is not NULL. Always false. */
bool tg__plot_fail(tg_status *status, tg_code code, const char *format, ...) TG__PRINTF(3, 4);

/* A failed system call: errno says why. Always false. */
bool tg__plot_errno(tg_status *status, const char *path, const char *what);

/* ---- text (text.c) --------------------------------------------------------------------------- */

/* Bytes that grow. When there is no memory for more, status says so, and they stay as they are. */
typedef struct tg__bytes {
    char *data; /* n bytes, then a zero byte; NULL if there are none */
    size_t n, room;
    tg_status *status;
} tg__bytes;

void tg__put_bytes(tg__bytes *to, const char *data, size_t n);

/* As printf. Not for doubles: a locale may have another decimal point than gnuplot. */
void tg__put(tg__bytes *to, const char *format, ...) TG__PRINTF(2, 3);

/* A number and a blank, whatever the locale; NaN for what is not finite. */
void tg__put_number(tg__bytes *to, double x);

/* Text as a string for gnuplot, in quotes. As a format, percent signs are doubled. */
void tg__put_text(tg__bytes *to, const char *text, bool format);

/* ---- the picture (panel.c) ------------------------------------------------------------------- */

/* A range of a panel. */
typedef struct tg__axis {
    double low, high;   /* where the axis begins and ends; NaN: chosen by the data */
    double least, most; /* what a range that is chosen must include; least > most: nothing */
    double first, last; /* the ends of the data */
    bool log;
    bool seen;  /* there are data */
    bool tight; /* a range that is chosen ends with the data, not with a tick */
} tg__axis;

struct tg_plot {
    tg_status status; /* the first error */
    tg_plot_options options;
    tg__bytes script; /* all panels; of the present one, all but its plot command */
    tg__bytes layers; /* the present panel's plot command */
    tg__bytes page;   /* what tg_plot_script gives */
    tg__axis x, y, right;
    int panels;              /* begun */
    int blocks, labels;      /* made so far */
    int colours;             /* taken in this panel */
    bool has_right, has_key; /* of this panel */
    bool named_x, named_y;
};

/* Whether a layer can be drawn: no error so far, n and the pointers make sense. Begins a panel if
   there is none. call is the function's name. */
bool tg__layer_ready(tg_plot *p, const char *call, int64_t n, const void *data);

/* Whether a grid has cells and an area. */
bool tg__grid_ready(tg_plot *p, const char *call, const tg_plot_grid *grid);

/* The colour of a layer. */
uint32_t tg__layer_colour(tg_plot *p, const tg_plot_style *style);

/* Whether a point can be drawn; if so, ranges take it in. */
bool tg__see(tg__axis *x, tg__axis *y, double at_x, double at_y);

/* A range that is chosen by the data takes a value in. */
void tg__include(tg__axis *axis, double value);

/* Begins and ends a block of data, $d1, $d2, ... */
void tg__block_begin(tg_plot *p);
void tg__block_end(tg_plot *p);

/* Puts a separator into the plot command, and there, as printf, what is to be plotted. */
void tg__layer_put(tg_plot *p, const char *format, ...) TG__PRINTF(2, 3);

/* "title 'label'", or that there is none. */
void tg__layer_title(tg_plot *p, const char *label);

/* A text in the panel, of a size in points. where: left or center. */
void tg__label(tg_plot *p, double x, double y, const char *text, const char *where, double size,
               uint32_t colour);

/* Axis ends, all given. */
void tg__fix_ranges(tg_plot *p, double x0, double x1, double y0, double y1);

/* An image as a layer. */
void tg__layer_image(tg_plot *p, const tg_plot_grid *grid, const tg_image *image);

/* ---- images (image.c) ------------------------------------------------------------------------ */

/* Between white (0) and a colour (1). */
uint32_t tg__pale(uint32_t colour, double part);

/* How images of a form are put side by side, in pixels. */
typedef struct tg__mosaic {
    int columns, rows;
    int gap, head; /* around each; above each, for its label */
    uint32_t ground;
} tg__mosaic;

/* The place of the i-th image's first pixel. */
void tg__mosaic_place(const tg__mosaic *mosaic, const tg_images *images, int i, int *column,
                      int *row);

tg_image *tg__mosaic_make(const tg__mosaic *mosaic, const tg_images *images, tg_status *status);

/* Whether images are such; chooses columns. */
bool tg__images_valid(const tg_images *images, tg__mosaic *mosaic, tg_status *status);

/* ---- the outside (gnuplot.c, file.c) --------------------------------------------------------- */

/* Runs gnuplot on a script, or, if that is NULL, asks for its version; out gets what it prints. */
bool tg__gnuplot_run(const tg__bytes *script, tg__bytes *out, tg_status *status);

/* Whether text ends so. */
bool tg__ends_in(const char *text, const char *end);

/* Whether path can be written; leaves things as they are. */
bool tg__file_writable(const char *path, tg_status *status);

/* Writes a file whole, or says why it cannot. */
bool tg__file_write(const char *path, const char *data, size_t n, tg_status *status);

#endif
