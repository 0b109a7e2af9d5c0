/* The matrix product as ops call it: by a BLAS where there is one and it pays, else by the own
   kernels. Which of the two depends on sizes and strides alone, so that the same call gives the
   same bits every time. */
#ifndef TG_KERNELS_BLAS_H
#define TG_KERNELS_BLAS_H

#include "base/shape.h"
#include "kernels/kernels.h"

/* The memory that tg__multiply needs for these sizes and strides, in bytes; 0 for everything small.
   */
size_t tg__multiply_scratch(const tg__kernels *k, tg_type type, const tg__product *p);

/* Computes p with elements of type (TG_F64 or TG_F32), whose kernels are k. scratch is aligned to
   64 bytes and as large as tg__multiply_scratch says; it may be NULL if that is 0. */
void tg__multiply(const tg__kernels *k, tg_type type, const tg__product *p, void *scratch);

/* count products of a row of the walk over c, a and b; where p's d is its c, each is added to its c. */
void tg__multiply_row(const tg__kernels *k, tg_type type, tg__product p, const tg__walk *w, int64_t count, void *scratch);

#endif
