/* Kernels of programs: many operations on single numbers of one array, written as words.

   A word is a number's place in the array, or counts. Instructions begin with TG__SCALARS_x and the
   elementwise operation's code << 8, and the number of times that it is done, n:

   MAP:   n times the places y, a, b, c, as many as the operation has operands
   RANGE: y, a, b, c, then how far apart the next a, b, c are; the next y is adjacent
   DOT:   p, q, r, s, then n times y and the places of p numbers, q numbers that are subtracted, r
          products' factors, s products' that are subtracted
   DOTS:  p, q, r, s, then the same places once, each followed by how far the next one is
   ROW:   p, r, then n times y, the places of p numbers and of the first a and b, of which r are adjacent
   TOTAL: r, then n times y and the place of the first of r adjacent numbers, which are added up
   EACH:  n times a code, y, a, b (a again where the operation has one operand); of code 0, which is a sum
          of c and a b, also c. Codes are add, sub, mul, div, times, neg, reciprocal, square
   END:   without n */
#ifndef TG_KERNELS_SCALARS_H
#define TG_KERNELS_SCALARS_H

#include <stdint.h>

enum {
    TG__SCALARS_MAP, TG__SCALARS_RANGE, TG__SCALARS_DOT, TG__SCALARS_DOTS, TG__SCALARS_ROW, TG__SCALARS_TOTAL,
    TG__SCALARS_EACH, TG__SCALARS_END
};

typedef void tg__scalars_kernel(const uint32_t *words, void *numbers);

#endif
