/* What convolutions and pooling share: windows over the last axes, and adjacent arrays. Called from
   conv.c and pool.c. */
#ifndef TG_OPS_WINDOW_H
#define TG_OPS_WINDOW_H

#include "ops/op.h"

enum { AXES = 2 }; /* one axis is the second of two, the first of which has length 1 */

/* TG_AXES(A, B) as a constant, for cases of the checks. */
/* clang-format off */
#define BOTH(A, B) { 2, { A, B } }
/* clang-format on */

/* An attribute that is one number for all axes, or one for each. */
typedef struct tg__numbers {
    const char *name;
    int all;
    tg_axes each;
    int least;
} tg__numbers;

/* Fills the last axes elements of out. */
tg_code tg__read_numbers(const tg__call *c, const tg__numbers *a, int axes, int64_t out[AXES]);

/* The positions that a window extends over. */
int64_t tg__extent(const tg__windows *w);

/* The number of windows on an axis; 0 if none fits, and the error for that. */
int64_t tg__windows_on(const tg__windows *w);
tg_code tg__too_large(const tg__call *c, const tg__windows *w);

/* Makes a an array with the same elements, adjacent: itself or a copy, whose shape s becomes. */
tg_code tg__make_adjacent(const tg__call *c, tg__array *a, tg__shape *s);

/* a: an adjacent array to add a gradient to, dx itself or zeros that tg__target_end adds to dx. */
tg_code tg__target_begin(const tg__call *c, tg__array dx, tg__array *a, tg__shape *s);
void tg__target_end(const tg__call *c, tg__array dx, tg__array a);

/* dL/dy as an array. */
tg__array tg__cotangent(const tg__call *c);

#endif
