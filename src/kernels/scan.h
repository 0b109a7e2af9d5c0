/* Kernels of scans: see scan.inl. */
#ifndef TG_KERNELS_SCAN_H
#define TG_KERNELS_SCAN_H

#include <stddef.h>
#include <stdint.h>

/* Lines of elements: those of a line are stride apart, the first ones of neighbouring lines are step apart. */
typedef struct tg__scan_line {
    void *p;
    ptrdiff_t stride, step;
} tg__scan_line;

/* Lines of n elements of each array of a[]. Forward kernels write the first of them from the others; backward kernels are
   given g, y and the operands, and add to the last ones. */
typedef void tg__scan_kernel(int64_t lines, int64_t n, const tg__scan_line *a);

typedef struct tg__scan_kernels {
    tg__scan_kernel *cumsum;                /* y, x: y[j] = x[0] + ... + x[j] */
    tg__scan_kernel *cumsum_backward;       /* g, dx */
    tg__scan_kernel *cumprod;               /* y, x: y[j] = x[0] * ... * x[j] */
    tg__scan_kernel *cumprod_backward;      /* g, y, x, dx */
    tg__scan_kernel *logcumsumexp;          /* y, x: y[j] = log(exp(x[0]) + ... + exp(x[j])) */
    tg__scan_kernel *logcumsumexp_backward; /* g, y, x, dx */
    tg__scan_kernel *recurrence;            /* y, a, b: y[j] = a[j] y[j - 1] + b[j]; y[-1] = 0 */
    tg__scan_kernel *recurrence_backward;   /* g, y, a, da, db */
} tg__scan_kernels;

#endif
