/* The sum of the elements of a vector of 64 bytes of the type real, for the experts. Included where real is a type. */
#ifndef BENCH_SUM_OF_H
#define BENCH_SUM_OF_H

#include <string.h>

typedef real vector_of_64 __attribute__((vector_size(64)));

/* Halves, then quarters, are added as vectors. */
static inline real sum_of(vector_of_64 x)
{
    typedef real half __attribute__((vector_size(32)));
    typedef real quarter __attribute__((vector_size(16)));
    half a[2];
    memcpy(a, &x, sizeof a);
    a[0] += a[1];
    quarter b[2];
    memcpy(b, a, sizeof b);
    b[0] += b[1];
    real sum = b[0][0];
    for (size_t i = 1; i < sizeof *b / sizeof sum; i++) sum += b[0][i];
    return sum;
}

#endif
