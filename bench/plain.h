/* What the kernels are measured against: for every elementwise operation and operand the loop that
   a C programmer writes for the same formula, over libm. See plain.c. */
#ifndef BENCH_PLAIN_H
#define BENCH_PLAIN_H

#include "kernels/kernels.h"
#include "places.h"

/* As the kernels of kernels.h, for adjacent elements: the strides are not looked at. */
typedef struct plain_map {
    tg__map_forward_kernel *forward;
    tg__map_backward_kernel *backward[3];
} plain_map;

#define PLAIN_DECLARE_MAPS(...) extern const plain_map PLAIN_AT(__VA_ARGS__)[TG__MAPS];
AT_PLACES(PLAIN_DECLARE_MAPS, maps, f64)
AT_PLACES(PLAIN_DECLARE_MAPS, maps, f32)

#endif
