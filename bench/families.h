/* The plain side of every operation of the table that is not elementwise: the loops that a C
   programmer writes for it, in families, plain_FAMILY.c. Each has one signature with the rules of
   the operations and sees the same call, but takes operands as adjacent and adds every gradient
   there is. */
#ifndef BENCH_FAMILIES_H
#define BENCH_FAMILIES_H

#include "ops/op.h"

typedef void plain_loop(const tg__call *c);

enum { SIZES = 3 };

/* Measured with n = size[0], size[1], size[2], for operands that fit into the first cache, into the
   second, and into neither. Dimensions of the case below 0 are multiples of n: N, 2 * N. */
typedef struct plain_row {
    const char *op;      /* its name in the table */
    const char *what[2]; /* the call that is measured, as the layout of its rows: value, gradient */
    plain_loop *value, *gradient; /* gradient NULL: there is none */
    bool turned;                  /* the last two axes of operand 0 are a transposed view */
    int64_t size[SIZES];
    tg__case x;
} plain_row;

#define N (-1)

/* How fast a loop is depends on where its code lies: all are compiled PLACES times, and their functions begin 16 bytes
   further at each place. */
enum { PLACES = 4 };
#define PLAIN_AT_PLACES(F, FAMILY, TYPE) F(FAMILY, TYPE, 0) F(FAMILY, TYPE, 1) F(FAMILY, TYPE, 2) F(FAMILY, TYPE, 3)

/* A family's rows of a type at a place, ended by one without an op. */
#define PLAIN_ROWS(FAMILY, TYPE, PLACE) plain_##FAMILY##_##TYPE##_##PLACE
#define PLAIN_FAMILIES(F)                                                                          \
    F(reduce)                                                                                      \
    F(scan)                                                                                        \
    F(index) F(layout) F(loss) F(classes) F(norm) F(linalg) F(decompose) F(order) F(window) F(mixed)
#define PLAIN_DECLARE_AT(...) extern const plain_row PLAIN_ROWS(__VA_ARGS__)[];
#define PLAIN_DECLARE(FAMILY)                                                                      \
    PLAIN_AT_PLACES(PLAIN_DECLARE_AT, FAMILY, f64) PLAIN_AT_PLACES(PLAIN_DECLARE_AT, FAMILY, f32)
PLAIN_FAMILIES(PLAIN_DECLARE)

#endif
