/* Kernels: plain loops over arrays, compiled once per type and instruction-set level from one
   source. They know no tape, allocate nothing and cannot fail. Pointers are void because one table
   type serves f64 and f32; strides count elements. Called from the ops room through the table that
   tg__kernels_for chose. */
#ifndef TG_KERNELS_KERNELS_H
#define TG_KERNELS_KERNELS_H

#include <tapegrad/value.h>

#include "kernels/dense.h"
#include "kernels/index.h"
#include "kernels/lanes.h"
#include "kernels/matmul.h"
#include "kernels/norm.h"
#include "kernels/order.h"
#include "kernels/random.h"
#include "kernels/reduce.h"
#include "kernels/arrays.h"
#include "kernels/scalars.h"
#include "kernels/window.h"
#include "kernels/scan.h"
#include "maps_index.h" /* generated: TG__MAPS, the number of elementwise ops */

/* y[i] = f(x0[i], x1[i], x2[i]); y has stride 1 and overlaps no operand. */
typedef void tg__map_forward_kernel(int64_t n, void *y, const void *const *x,
                                    const ptrdiff_t *stride);

/* For one operand: dx[i] += g[i] * dy/dx; g and y have stride 1. A dx_stride of 0 sums. A zero g
   adds nothing. */
typedef void tg__map_backward_kernel(int64_t n, const void *g, const void *y, const void *const *x,
                                     const ptrdiff_t *stride, void *dx, ptrdiff_t dx_stride);

/* Bytes: more do not stay in the first cache with what else there is. */
enum { TG__FIRST_CACHE = 1 << 15 };

typedef struct tg__kernels tg__kernels;
struct tg__kernels {
    const char *level;                          /* "base", "v3", "v4" */
    /* The same in vectors of at most 32 bytes: those of 64 slow the clock of some processors by a tenth, and are no faster where
       elements are divided, or come from beyond the first cache. */
    const tg__kernels *narrow;
    tg__map_forward_kernel *const *map_forward; /* by elementwise op */
    tg__map_backward_kernel *const (
        *map_backward)[3]; /* by elementwise op and operand; NULL: no gradient */
    void (*copy)(int64_t n, void *y, ptrdiff_t sy, const void *x, ptrdiff_t sx); /* y = x */
    void (*repeat)(int64_t m, int64_t n, void *y, const void *x); /* each of m elements n times */
    void (*add)(int64_t n, void *y, ptrdiff_t sy, const void *x,
                ptrdiff_t sx); /* y += x; sy = 0 sums */
    void (*fill)(int64_t n, void *y, ptrdiff_t sy, double value);
    tg__rows_kernels rows;
    tg__index_kernels index;
    tg__matmul_kernels matmul;
    tg__reduce_kernels reduce;
    tg__norm_kernels norm;
    tg__window_kernels window;
    tg__pool_kernels pool;
    tg__order_kernels order;
    tg__dense_kernels dense;
    tg__scan_kernels scan;
    tg__lanes_kernels lanes;
    tg__scalars_kernel *scalars;
    tg__random_kernels random;
};

/* The kernels for TG_F64 or TG_F32 at the best level this machine has, or at the level that the
   environment variable TAPEGRAD_LEVEL names (base, v3, v4) if the machine has it. Chosen once;
   thread-safe. */
const tg__kernels *tg__kernels_for(tg_type type);

#endif
