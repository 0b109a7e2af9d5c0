/* What the families of plain loops share. */
#ifndef BENCH_PLAIN_LOOPS_H
#define BENCH_PLAIN_LOOPS_H

#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

#include "families.h"

/* A loop's head, and what it sees: operand i, its length along an axis, its number of elements; an
   index operand; the result, which may be of integers; dL/dy; where dL/dx[i] is added. */
#define VALUE(NAME) static void NAME##_value(const tg__call *c)
#define GRADIENT(NAME) static void NAME##_gradient(const tg__call *c)
#define X(i) ((const real *)c->x[i].p)
#define DIM(i, axis) (c->x[i].s->dim[axis])
#define COUNT(i) (c->x[i].s->n)
#define INDEX(i) ((const int64_t *)c->x[i].p)
#define Y ((real *)c->y.p)
#define WHOLE_Y ((int64_t *)c->y.p)
#define G ((const real *)c->g)
#define DX(i) ((real *)c->dx[i].p)

/* A row for the loops of an op, ROW(sum, LINEAR, OF(1, TENSOR(-2, 2, N))); for those of another that
   does the same; or of a special case: in WHAT there are no blanks. */
#define ROW(OP, ...) ROW_LIKE(OP, OP, __VA_ARGS__)
#define ROW_LIKE(OP, LOOPS, ...)                                                                   \
    {                                                                                              \
        .op = #OP, .what = { "value", "gradient" }, .value = LOOPS##_value,                        \
        .gradient = LOOPS##_gradient, __VA_ARGS__                                                  \
    }
#define ROW_OF(OP, WHAT, LOOPS, ...)                                                               \
    {                                                                                              \
        .op = #OP, .what = { WHAT, WHAT "-gradient" }, .value = LOOPS##_value,                     \
        .gradient = LOOPS##_gradient, __VA_ARGS__                                                  \
    }
#define ROW_ZERO(OP, WHAT, LOOPS, ...)                                                             \
    {                                                                                              \
        .op = #OP, .what = { WHAT }, .value = LOOPS##_value, __VA_ARGS__                           \
    }
#define OF(COUNT, ...) .x.n = COUNT, .x.x = { __VA_ARGS__ }
#define BY(KIND, ...) .x.attributes = ATTRIBUTES(KIND, __VA_ARGS__)
#define END                                                                                        \
    {                                                                                              \
        .op = NULL                                                                                 \
    }

/* Sizes for operands of n elements, of n rows of 100, of n rows of 10. */
#define LINEAR .size = { 1000, 16000, 2000000 }
#define HUNDREDS .size = { 10, 160, 20000 }
#define TENS .size = { 100, 1600, 200000 }

#endif
