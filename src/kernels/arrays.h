/* Kernels that move and multiply arrays of two axes: see arrays.inl. */
#ifndef TG_KERNELS_ARRAYS_H
#define TG_KERNELS_ARRAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* m rows of n elements: element (i, j) is p[i * row + j * column]. Strides count elements; any will do. */
typedef struct tg__rows {
    void *p;
    ptrdiff_t row, column;
} tg__rows;

/* Adjacent matrices (m, n) one behind the other, of which rows i have their columns up to i + offset (lower), or from
   that on. */
typedef struct tg__triangles {
    int64_t matrices, m, n, offset;
    bool lower;
} tg__triangles;

/* What rows are put together from: n adjacent elements, the next row's `row` further. p NULL: nothing is there. */
typedef struct tg__strip {
    void *p;
    int64_t n;
    ptrdiff_t row;
} tg__strip;

/* x: (blocks, rows, n). In y each row is there `right` times, and all rows of a block `down` times:
   (blocks, down, rows, right, n). */
typedef struct tg__tiles {
    int64_t blocks, down, rows, right, n;
} tg__tiles;

typedef struct tg__rows_kernels {
    void (*copy)(int64_t m, int64_t n, tg__rows y, tg__rows x); /* y = x; they do not overlap */
    void (*add)(int64_t m, int64_t n, tg__rows y, tg__rows x); /* y += x; a stride of 0 in y sums */
    /* y += a b, and where !add and no stride of y is 0, y = a b. A column stride of 0 in y sums; so do rows that
       lie in the same place, one after the other. */
    void (*multiply)(int64_t m, int64_t n, tg__rows y, tg__rows a, tg__rows b, bool add);
    /* m rows, each of which is the pieces' rows one behind the other: y = pieces, and value where nothing is; pieces += y. */
    void (*join)(int64_t m, int pieces, const tg__strip *x, void *y, double value);
    void (*add_joined)(int64_t m, int pieces, const tg__strip *x, const void *y);
    void (*tile)(const tg__tiles *t, void *y, const void *x);
    void (*add_tiles)(const tg__tiles *t, void *x, const void *y); /* x += what repeats it in y */
    /* y[i * k + l] = x[l][i] for i < n, and x[l][i] += y[i * k + l] where x[l] is not NULL. */
    void (*interleave)(int64_t k, int64_t n, void *y, const void *const *x);
    void (*add_interleaved)(int64_t k, int64_t n, void *const *x, const void *y);
    void (*copy_triangles)(const tg__triangles *t, void *y,
                           const void *x); /* y = x within, 0 outside */
    void (*add_triangles)(const tg__triangles *t, void *y, const void *x); /* y += x within */
} tg__rows_kernels;

#endif
