/* Reductions of elements that come piece after piece. */
#ifndef TG_OPS_GATHER_H
#define TG_OPS_GATHER_H

#include "ops/op.h"

typedef struct tg__gathering {
    double total, rest, most;
} tg__gathering;

/* Whether there is one for the op: sum, mean, amax, amin, logsumexp. */
bool tg__gathers(int code);

/* Pieces have a whole number of TG__GATHERED elements, but for the last: so the result is the op's to the bit,
   but of logsumexp, which shifts by the largest that it has seen so far. x: n adjacent elements. */
enum { TG__GATHERED = 512 };
void tg__gather_begin(int code, tg__gathering *s);
void tg__gather(int code, const tg__kernels *k, tg__gathering *s, int64_t n, const void *x);

/* The result, after n elements in all. */
double tg__gather_end(int code, const tg__gathering *s, int64_t n);

#endif
