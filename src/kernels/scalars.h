/* Kernels of programs: many operations on single numbers of one array, written as words.

   A word is a number's place in the array, or counts. Instructions begin with TG__SCALARS_x and the
   elementwise operation's code << 8, and the number of times that it is done, n:

   MAP:   n times the places y, a, b, c, as many as the operation has operands
   RANGE: y, a, b, c, then how far apart the next a, b, c are; the next y is adjacent
   DOT:   p, q, r, s, then n times y and the places of p numbers, q numbers that are subtracted, r
          products' factors, s products' that are subtracted
   DOTS:  p, q, r, s, then the same places once, each followed by how far the next one is; up to 3 numbers
          behind the last one may be looked at
   OUTER: m, y, a, b: n rows of m adjacent products, of the next a each with m adjacent b
   ROW:   p, r, then n times y, the places of p numbers and of the first a and b, of which r are adjacent
   TOTAL: r, then n times y and the place of the first of r adjacent numbers, which are added up
   EACH:  without n, any operations one after the other, each its code, y, and its operands but the one, if
          any, that is the result before it, in a register still: TG__EACH(NAME, which) of TG__AT_ONCE,
          which being 0: none, 1: a, 2: b, 3: c. TG__EACH(PLUS, which) and MINUS are c + a b and c - a b,
          TG__EACH(CALL, 0) has the operation's code before y, TG__EACH(LAST, 0) is behind the last one
   END:   without n */
#ifndef TG_KERNELS_SCALARS_H
#define TG_KERNELS_SCALARS_H

#include <stdint.h>

enum {
    TG__SCALARS_MAP, TG__SCALARS_RANGE, TG__SCALARS_DOT, TG__SCALARS_DOTS, TG__SCALARS_OUTER, TG__SCALARS_ROW,
    TG__SCALARS_TOTAL, TG__SCALARS_EACH, TG__SCALARS_END
};

/* The elementwise operations that are short enough to be done between two others without a call, by how many
   operands they have. */
#define TG__AT_ONCE(ONE, TWO, THREE)                                                                        \
    TWO(add) TWO(sub) TWO(mul) TWO(div) TWO(times) TWO(pick) TWO(maximum) TWO(minimum)                      \
    TWO(eq) TWO(ne) TWO(lt) TWO(le) TWO(gt) TWO(ge)                                                         \
    ONE(neg) ONE(reciprocal) ONE(square) ONE(sqrt) ONE(rsqrt) ONE(abs) ONE(sign) ONE(relu)                  \
    THREE(fma) THREE(where) THREE(div_b)

#define TG__EACH(NAME, REGISTER) (TG__EACH_##NAME * 4 + (REGISTER))
#define TG__EACH_NAMED(NAME) TG__EACH_##NAME,
enum {
    TG__AT_ONCE(TG__EACH_NAMED, TG__EACH_NAMED, TG__EACH_NAMED)
    TG__EACH_PLUS, TG__EACH_MINUS, TG__EACH_CALL, TG__EACH_LAST
};
#undef TG__EACH_NAMED

typedef void tg__scalars_kernel(const uint32_t *words, void *numbers);

#endif
