/* What the kernels are measured against: for every elementwise operation and operand the loop that
   a C programmer writes for the same formula, over libm. See plain.c. */
#ifndef BENCH_PLAIN_H
#define BENCH_PLAIN_H

#include "kernels/kernels.h"

/* As the kernels of kernels.h, for adjacent elements: the strides are not looked at. */
typedef struct plain_map {
    tg__map_forward_kernel *forward;
    tg__map_backward_kernel *backward[3];
} plain_map;

extern const plain_map plain_maps_f64[TG__MAPS], plain_maps_f32[TG__MAPS];

#endif
