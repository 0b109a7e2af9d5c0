/* Random numbers: see random.h. */
#include "random.h"

#include <math.h>

void tg__data_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        const uint64_t a = UINT64_C(0xD2511F53) * x0, b = UINT64_C(0xCD9E8D57) * x2;
        x0 = (uint32_t)(b >> 32) ^ x1 ^ k0;
        x1 = (uint32_t)b;
        x2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
        x3 = (uint32_t)a;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = x0;
    out[1] = x1;
    out[2] = x2;
    out[3] = x3;
}

tg__random tg__data_random_new(uint64_t seed, tg__use use, uint32_t epoch)
{
    return (tg__random){ .key = { (uint32_t)seed, (uint32_t)(seed >> 32) },
                         .counter = { 0, 0, (uint32_t)use, epoch } };
}

static uint32_t next(tg__random *r)
{
    if (r->left == 0) {
        tg__data_philox(r->counter, r->key, r->word);
        if (++r->counter[0] == 0) r->counter[1]++;
        r->left = 4;
    }
    return r->word[4 - r->left--];
}

double tg__data_random_uniform(tg__random *r)
{
    const uint64_t high = next(r) >> 5, low = next(r) >> 6; /* 27 and 26 bits */
    return (double)(high << 26 | low) * 0x1p-53;
}

double tg__data_random_normal(tg__random *r)
{
    /* Box and Muller; 1 - u is never 0. */
    const double u = tg__data_random_uniform(r), v = tg__data_random_uniform(r);
    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

uint64_t tg__data_random_below(tg__random *r, uint64_t n)
{
    /* Without the bias of a remainder: words above the last multiple of n are drawn again. */
    const uint64_t most = UINT64_MAX - UINT64_MAX % n;
    for (;;) {
        const uint64_t high = next(r), word = high << 32 | next(r);
        if (word < most) return word % n;
    }
}

void tg__data_random_order(tg__random *r, int64_t *order, int64_t n)
{
    /* Fisher and Yates, inside out: each of the n! orders is equally likely. */
    for (int64_t i = 0; i < n; i++) {
        const int64_t j = (int64_t)tg__data_random_below(r, (uint64_t)i + 1);
        order[i] = order[j];
        order[j] = i;
    }
}
