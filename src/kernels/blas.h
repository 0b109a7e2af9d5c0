/* The matrix product as ops call it: by a BLAS where there is one and it pays, else by the own
   kernels. Which of the two depends on sizes and strides alone, so that the same call gives the
   same bits every time. */
#ifndef TG_KERNELS_BLAS_H
#define TG_KERNELS_BLAS_H

#include "kernels/kernels.h"

/* The memory that tg__multiply needs for these sizes and strides, in bytes; 0 for everything small.
   */
size_t tg__multiply_scratch(const tg__kernels *k, tg_type type, const tg__product *p);

/* Computes p with elements of type (TG_F64 or TG_F32), whose kernels are k. scratch is aligned to
   64 bytes and as large as tg__multiply_scratch says; it may be NULL if that is 0. */
void tg__multiply(const tg__kernels *k, tg_type type, const tg__product *p, void *scratch);

#endif
