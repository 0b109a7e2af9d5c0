/* Pictures: panels side by side, drawn by gnuplot through a pipe into a PNG file; and small pixel
   images, which are layers of a panel, or are written as PPM where there is no gnuplot.

   Titles and labels are the program's own texts: no single quotes in them. Colours are 0xRRGGBB. */
#ifndef EXAMPLES_PLOT_H
#define EXAMPLES_PLOT_H

#include <stdbool.h>
#include <stdint.h>

/* Colours that stay apart for the colour-blind too (Okabe and Ito, 2008). */
#define PLOT_COLOURS 8
extern const uint32_t plot_colour[PLOT_COLOURS];

/* Pixels over the rectangle x0 ... x1, y0 ... y1. rgb holds 3 bytes a pixel, the top row first. */
typedef struct image {
    int width, height;
    double x0, x1, y0, y1;
    uint8_t *rgb;
} image;

void image_set(image *m, int column, int row, uint32_t colour);

/* A dot of 3 by 3 pixels; nothing where (x, y) lies outside the rectangle. */
void image_dot(image *m, double x, double y, uint32_t colour);

/* False with errno set. */
bool image_write_ppm(const image *m, const char *path);

/* Whether a file can be written at path; false with errno set. Leaves nothing behind. */
bool plot_writable(const char *path);

/* Whether gnuplot can be run. */
bool plot_has_gnuplot(void);

/* A picture of a number of panels, from left to right, that becomes the PNG file path. */
typedef struct plot plot;

typedef struct plot_axes {
    const char *title, *x, *y;
    bool square; /* one unit of x is as long as one of y */
    bool log_y;
    double x0, x1, y0, y1; /* x0 = x1, y0 = y1: chosen by gnuplot */
} plot_axes;

/* How points are drawn. */
typedef enum plot_style { PLOT_DOTS, PLOT_SMALL_DOTS, PLOT_LINE } plot_style;

/* NULL with errno set when gnuplot cannot be started. */
plot *plot_new(const char *path, int panels);

/* Begins the next panel; its layers follow, the lowest first. */
void plot_panel(plot *p, const plot_axes *axes);
void plot_image(plot *p, const image *m);

/* n points, x and y one after the other, under label in the key; label NULL: not in the key. */
void plot_points(plot *p, plot_style style, const char *label, uint32_t colour, const double *xy,
                 int n);

/* Finishes the picture and frees it. Whether the file was written. */
bool plot_free(plot *p);

#endif
