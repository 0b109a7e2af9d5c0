/* Kernels that draw random numbers by position: see random.inl. */
#ifndef TG_KERNELS_RANDOM_H
#define TG_KERNELS_RANDOM_H

#include "base/random.h"

/* What is kept: elements whose word of r is least or more, times scale. */
typedef struct tg__dropping {
    tg__random r;
    int64_t first; /* position of the first element in the row */
    uint32_t least;
    double scale;
} tg__dropping;

/* n adjacent elements of a row, from the one at first on: y = or y += x * scale where it is kept; 0 elsewhere, whatever x holds
   there. */
typedef void tg__drop_kernel(int64_t n, void *y, const void *x, const tg__dropping *d);

typedef struct tg__random_kernels {
    tg__drop_kernel *drop, *drop_add;
} tg__random_kernels;

#endif
