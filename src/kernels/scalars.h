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
   EACH:  without n, any operations one after the other, each its code, y, and its operands but the one, if
          any, that is the result before it, in a register still: TG__EACH(operation, which); behind the
          last one TG__EACH_END. Which is 0: none, 1: a, 2: b, 3: c, and not 0 only for operations in
          TG__AT_ONCE. Two more of these are TG__EACH_PLUS and TG__EACH_MINUS, c + a b and c - a b
   END:   without n */
#ifndef TG_KERNELS_SCALARS_H
#define TG_KERNELS_SCALARS_H

#include <stdint.h>

#include "maps_index.h" /* generated: TG__MAPS, the number of elementwise ops */

enum {
    TG__SCALARS_MAP, TG__SCALARS_RANGE, TG__SCALARS_DOT, TG__SCALARS_DOTS, TG__SCALARS_ROW, TG__SCALARS_TOTAL,
    TG__SCALARS_EACH, TG__SCALARS_END
};

#define TG__EACH(OPERATION, REGISTER) ((uint32_t)(OPERATION) * 4 + (REGISTER))
enum { TG__EACH_PLUS = TG__MAPS, TG__EACH_MINUS, TG__EACH_END };

/* The elementwise operations that are short enough to be done between two others without a call, by how many
   operands they have. */
#define TG__AT_ONCE(ONE, TWO, THREE)                                                                        \
    TWO(add) TWO(sub) TWO(mul) TWO(div) TWO(times) TWO(pick) TWO(maximum) TWO(minimum)  \
    TWO(eq) TWO(ne) TWO(lt) TWO(le) TWO(gt) TWO(ge)                                                         \
    ONE(neg) ONE(reciprocal) ONE(square) ONE(sqrt) ONE(rsqrt) ONE(abs) ONE(sign) ONE(relu)                  \
    THREE(fma) THREE(where) THREE(div_b)

typedef void tg__scalars_kernel(const uint32_t *words, void *numbers);

#endif
