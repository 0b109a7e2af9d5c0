/* All kernels for one type at one instruction-set level: Meson compiles this file once for each
   pair, with TG_REAL_F32 defined for f32, TG_LEVEL the level's name, TG_NARROW that of the level of its
   narrow kernels, and the compiler's flags for it. */
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

#include "base/philox.h"

#define JOIN_(a, b, c) a##b##_##c
#define JOIN(a, b, c) JOIN_(a, b, c)
#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

#ifdef TG_REAL_F32
typedef float real;
#define TABLE_OF(LEVEL) JOIN(tg__kernels_, f32, LEVEL)
#else
typedef double real;
#define TABLE_OF(LEVEL) JOIN(tg__kernels_, f64, LEVEL)
#endif
#define TABLE TABLE_OF(TG_LEVEL)
#define NARROW TABLE_OF(TG_NARROW)
extern const tg__kernels TABLE, NARROW;

#include "kernels/wide.inl"
#include "kernels/copy.inl"
#include "kernels/arrays.inl"
#include "kernels/index.inl"
#include "kernels/matmul.inl"
#include "kernels/lanes.inl"
#include "kernels/window.inl"
#include "kernels/pool.inl"
#include "kernels/order.inl"
#include "kernels/dense.inl"
#include "kernels/scan.inl"
#include "kernels/random.inl"
#include "kernels/formula.h" /* gives names of libm another meaning: no header may follow */
#include "kernels/map.inl"
static const bool near = false; /* of what follows */
#include "kernels/scalars.inl"
#include "kernels/rows.inl"
#include "kernels/reduce.inl"
#include "kernels/softargmax.inl"
#include "kernels/classes.inl"
#include "kernels/pairs.inl"
#include "kernels/norm.inl"
#include "kernels/logscan.inl"

const tg__kernels TABLE = {
    .level = TEXT(TG_LEVEL),
    .narrow = &NARROW,
    .map_forward = map_forward,
    .map_backward = map_backward,
    .copy = copy,
    .repeat = repeat,
    .add = add,
    .fill = fill,
    .index = INDEX_KERNELS,
    .matmul = MATMUL_KERNELS,
    .reduce = REDUCE_KERNELS,
    .norm = NORM_KERNELS,
    .window = WINDOW_KERNELS,
    .dense = DENSE_KERNELS,
    .scan = SCAN_KERNELS,
    .lanes = LANES_KERNELS,
    .scalars = scalars,
    .rows = ROWS_KERNELS,
    .order = ORDER_KERNELS,
    .pool = POOL_KERNELS,
    .random = RANDOM_KERNELS,
};
