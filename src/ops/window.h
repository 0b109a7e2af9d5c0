/* What convolutions and pooling share: windows over the last axes. Called from
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

/* dL/dy as an array. */
tg__array tg__cotangent(const tg__call *c);

#endif
