/* Reductions of elements that come piece after piece: what reduce.c does with all at once. */
#include "ops/gather.h"

#include <math.h>

#include "codes.h" /* generated */

bool tg__gathers(int code)
{
    return code == TG__CODE_sum || code == TG__CODE_mean || code == TG__CODE_amax || code == TG__CODE_amin ||
           code == TG__CODE_logsumexp;
}

void tg__gather_begin(int code, tg__gathering *s)
{
    *s = (tg__gathering){ .most = code == TG__CODE_amin ? (double)INFINITY : -(double)INFINITY };
}

static void add(tg__sum_kernel *kernel, const tg__tile *t, const double *b, tg__gathering *s)
{
    tg__sums sums;
    sums.total[0] = s->total, sums.rest[0] = s->rest;
    kernel(t, b, 0, &sums);
    s->total = sums.total[0], s->rest = sums.rest[0];
}

static void fold(const tg__kernels *k, tg__fold_kernel *kernel, const tg__tile *t, double *most)
{
    double m; /* room for a number of either type */
    k->reduce.store(1, &m, most);
    kernel(t, false, &m);
    k->reduce.load(1, most, &m);
}

/* What was summed before a larger one came is made smaller. Of an infinite one, or NaN, nothing is finite. */
static void add_exps(const tg__kernels *k, const tg__tile *t, tg__gathering *s)
{
    double most = s->most;
    fold(k, k->reduce.max, t, &most);
    if (most < 0 && isinf(most)) return;
    const double less = isfinite(most) ? exp(s->most - most) : 0;
    s->most = most;
    if (isfinite(most)) {
        s->total *= less, s->rest *= less;
        add(k->reduce.exps, t, &s->most, s);
    }
}

void tg__gather(int code, const tg__kernels *k, tg__gathering *s, int64_t n, const void *x)
{
    const tg__tile t = tg__row_tile(n, x, 1);
    switch (code) {
    case TG__CODE_amax: fold(k, k->reduce.max, &t, &s->most); break;
    case TG__CODE_amin: fold(k, k->reduce.min, &t, &s->most); break;
    case TG__CODE_logsumexp: add_exps(k, &t, s); break;
    default: add(k->reduce.sum, &t, NULL, s);
    }
}

double tg__gather_end(int code, const tg__gathering *s, int64_t n)
{
    const double sum = s->total + s->rest, y = sum == sum ? sum : s->total; /* of an infinite sum the rest is NaN */
    switch (code) {
    case TG__CODE_amax:
    case TG__CODE_amin: return s->most;
    case TG__CODE_logsumexp: return isfinite(s->most) ? log(y) + s->most : s->most;
    case TG__CODE_mean: return y / (double)n;
    default: return y;
    }
}
