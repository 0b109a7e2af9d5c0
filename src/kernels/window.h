/* Kernels of sliding windows, for convolution and pooling: see window.inl, pool.inl. */
#ifndef TG_KERNELS_WINDOW_H
#define TG_KERNELS_WINDOW_H

#include <stddef.h>
#include <stdint.h>

/* One axis of n positions under windows of kernel taps: tap i of window o is at position
   o * stride - padding + i * dilation, which lies on the axis or in the padding around it. There
   are out windows. */
typedef struct tg__windows {
    int64_t n, out, kernel, stride, padding, dilation;
} tg__windows;

/* Planes under windows of two axes. Strides count elements; any will do. */
typedef struct tg__planes {
    tg__windows h, w;
    int64_t channels;
    ptrdiff_t channel, row, column;
} tg__planes;

/* Some windows of planes: count of them from first on, in row-major order. */
typedef struct tg__window_range {
    int64_t first, count;
} tg__window_range;

typedef struct tg__window_kernels {
    /* Between planes and the matrix whose columns are windows and whose rows are what one tap of
       one channel sees (channels * h.kernel * w.kernel of them, row elements from one to the next;
       columns are adjacent). unfold fills the matrix, zeros in the padding; fold is its adjoint:
       it adds the matrix to the planes. */
    void (*unfold)(const tg__planes *p, tg__window_range r, void *matrix, ptrdiff_t row,
                   const void *x);
    void (*fold)(const tg__planes *p, tg__window_range r, const void *matrix, ptrdiff_t row,
                 void *x);
} tg__window_kernels;

/* Pooling of planes with adjacent elements, one behind the other, and as many adjacent numbers for each as it has
   windows. Padding is never the largest; a NaN is. Of equal ones it is the first. */
typedef struct tg__pool_kernels {
    void (*max)(const tg__planes *p, void *y, const void *x);
    /* Where x is largest in each window: y += a there, and da += g there; nothing for windows that see padding
       only. */
    void (*max_pick)(const tg__planes *p, void *y, const void *x, const void *a);
    void (*max_put)(const tg__planes *p, const void *g, const void *x, void *da);
    /* Means over the elements seen, or over all taps if padding counts; and the adjoint, which
       adds to x. */
    void (*mean)(const tg__planes *p, int counts_padding, void *y, const void *x);
    void (*spread_mean)(const tg__planes *p, int counts_padding, const void *y, void *x);
} tg__pool_kernels;

#endif
