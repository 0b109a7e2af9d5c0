/* Kernels of index ops: see index.inl. */
#ifndef TG_KERNELS_INDEX_H
#define TG_KERNELS_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/arrays.h"

/* Rows of picked elements: element (i, j) of y goes with element index[i * row + j * column] of the
   axis of x that has stride step, and x itself moves as x's strides say. Repeated ones are added in
   the order of i, then j. Indices are 0 ... length - 1; with length 0 they have been checked before,
   and are not below 0. False: one is outside, and what comes before it may have been done. */
typedef struct tg__index {
    const int64_t *p;
    ptrdiff_t row, column, step;
    int64_t length;
} tg__index;

typedef bool tg__pick_kernel(int64_t m, int64_t n, tg__rows y, tg__rows x, tg__index index);

typedef struct tg__index_kernels {
    tg__pick_kernel *gather;      /* y = picked x */
    tg__pick_kernel *gather_add;  /* y += picked x */
    tg__pick_kernel *scatter_add; /* picked x += y */
    bool (*within)(int64_t n, const int64_t *i, ptrdiff_t stride,
                   int64_t length);                                   /* all in 0 ... length - 1 */
    void (*cast)(int64_t n, void *y, const int64_t *x, ptrdiff_t sx); /* y = x, y adjacent */
    /* n rows of classes elements, 1 where the index says and 0 elsewhere. False: an index is outside. */
    bool (*one_hot)(int64_t n, int64_t classes, void *y, const int64_t *index, ptrdiff_t si);
} tg__index_kernels;

#endif
