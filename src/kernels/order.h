/* Kernels of order: see order.inl. Lines are adjacent. */
#ifndef TG_KERNELS_ORDER_H
#define TG_KERNELS_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How the elements of a line stand to a number: how many are below it, how many equal, and the nearest on either side,
   an infinity where there is none. */
typedef struct tg__standing {
    int64_t below, equal;
    double before, behind;
} tg__standing;

enum { TG__FEW = 32 };

/* The elements that select needs room for. */
#define TG__SELECT_WORK(n) (2 * ((n) + 64))

typedef struct tg__order_kernels {
    /* The element of a rank, 0 ... n - 1, of a line without NaN. */
    double (*select)(int64_t n, const void *x, int64_t rank, void *work);
    tg__standing (*standing)(int64_t n, const void *x, double value);
    /* The first position from i on where the line is equal to the value, for NaN a NaN; or n. */
    int64_t (*find)(int64_t i, int64_t n, const void *x, double value);
    /* Where the first k elements in order of each line are, at[line * k + i], k at most TG__FEW: rising with NaN last,
       or falling with NaN first; equal ones as they stand. Lines of n elements, sx apart, begin next apart. */
    void (*first)(int64_t lines, int64_t k, int64_t n, const void *x, ptrdiff_t next, ptrdiff_t sx, bool falls,
                  int64_t *at);
} tg__order_kernels;

#endif
