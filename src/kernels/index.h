/* Kernels of index ops: see index.inl. */
#ifndef TG_KERNELS_INDEX_H
#define TG_KERNELS_INDEX_H

#include <stddef.h>
#include <stdint.h>

/* One row of a walk over picked elements: element j of row y goes with element index[j * si] of
   the axis of x that has stride step, and row x moves by sx. All indices are valid. Repeated
   ones are added in the order of j. */
typedef void tg__pick_kernel(int64_t n, void *y, ptrdiff_t sy, void *x, ptrdiff_t sx,
                             ptrdiff_t step, const int64_t *index, ptrdiff_t si);

typedef struct tg__index_kernels {
    tg__pick_kernel *gather;      /* y = picked x */
    tg__pick_kernel *gather_add;  /* y += picked x */
    tg__pick_kernel *scatter_add; /* picked x += y */
} tg__index_kernels;

#endif
