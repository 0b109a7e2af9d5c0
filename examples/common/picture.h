/* The picture that an example leaves behind. */
#ifndef EXAMPLES_PICTURE_H
#define EXAMPLES_PICTURE_H

#include <tapegrad/plot.h>

/* A new picture, to be asked for before any work is done: ends the program if the file cannot be
   written. NULL, and a line that says so, where there is no gnuplot: drawing then does nothing. */
tg_plot *picture_new(const char *path, const tg_plot_options *options);

/* Writes the picture, says where it is, and frees it. NULL is fine. */
void picture_write(tg_plot *picture, const char *path);

#endif
