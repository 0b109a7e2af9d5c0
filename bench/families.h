/* The plain side of every operation of the table that is not elementwise: the loops that a C
   programmer writes for it, in families, plain_FAMILY.c. Each has one signature with the rules of
   the operations and sees the same call, but takes operands as adjacent and adds every gradient
   there is. */
#ifndef BENCH_FAMILIES_H
#define BENCH_FAMILIES_H

#include "ops/op.h"
#include "places.h"

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

/* A family's rows of a type at a place, ended by one without an op. */
#define PLAIN_FAMILIES(F)                                                                          \
    F(reduce)                                                                                      \
    F(scan)                                                                                        \
    F(index) F(layout) F(loss) F(classes) F(norm) F(linalg) F(decompose) F(order) F(window) F(mixed)
#define PLAIN_DECLARE_ROWS(...) extern const plain_row PLAIN_AT(__VA_ARGS__)[];
#define PLAIN_DECLARE(FAMILY)                                                                      \
    AT_PLACES(PLAIN_DECLARE_ROWS, FAMILY, f64) AT_PLACES(PLAIN_DECLARE_ROWS, FAMILY, f32)
PLAIN_FAMILIES(PLAIN_DECLARE)

#endif
