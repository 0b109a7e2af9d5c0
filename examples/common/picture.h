/* The picture that an example leaves behind, and what several of them show. A picture that is NULL
   draws nothing. */
#ifndef EXAMPLES_PICTURE_H
#define EXAMPLES_PICTURE_H

#include <tapegrad.h>
#include <tapegrad/plot.h>

/* A new picture, to be asked for before any work is done: ends the program if the file cannot be
   written. NULL, and a line that says so, where there is no gnuplot. */
tg_plot *picture_new(const char *path, const tg_plot_options *options);

/* Cells by cells over the smallest rectangle around n points xy (n, 2). */
tg_plot_grid picture_around(const double *xy, int64_t n, int cells);

/* A panel for that part of the plane of x₁ and x₂ which the grid covers. */
tg_plot_axes picture_plane(const char *title, const tg_plot_grid *grid);

/* The regions of two classes, and the line between them, where z (cells of the grid) is 0: the
   second class has the probability sigmoid(z). */
void picture_sides(tg_plot *picture, const tg_plot_grid *grid, tg_value z);

/* A panel of losses (2, epochs): after each epoch that of the training data, and of the test data. */
void picture_losses(tg_plot *picture, const char *title, int epochs, const double *loss);

/* Writes the picture, says where it is, and frees it. NULL is fine. */
void picture_write(tg_plot *picture, const char *path);

#endif
