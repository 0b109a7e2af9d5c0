/* Random numbers: see random.h. */
#include "common/random.h"

#include <math.h>

void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
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

rng rng_new(uint64_t seed, uint32_t stream)
{
    return (rng){ .key = { (uint32_t)seed, (uint32_t)(seed >> 32) }, .counter = { [2] = stream } };
}

static uint32_t next(rng *r)
{
    if (r->left == 0) {
        philox4x32(r->counter, r->key, r->word);
        if (++r->counter[0] == 0) r->counter[1]++;
        r->left = 4;
    }
    return r->word[4 - r->left--];
}

double rng_uniform(rng *r)
{
    const uint64_t high = next(r) >> 5, low = next(r) >> 6; /* 27 and 26 bits */
    return (double)(high << 26 | low) * 0x1p-53;
}

double rng_normal(rng *r)
{
    /* Box and Muller; 1 - u is never 0. */
    const double u = rng_uniform(r), v = rng_uniform(r);
    return sqrt(-2 * log(1 - u)) * cos(6.283185307179586 * v);
}

/* A whole number below n, without the bias of a remainder (Lemire, 2019). */
static uint32_t below(rng *r, uint32_t n)
{
    const uint32_t uneven = (0u - n) % n; /* 2^32 mod n */
    uint64_t product;
    do product = (uint64_t)next(r) * n;
    while ((uint32_t)product < uneven);
    return (uint32_t)(product >> 32);
}

void rng_shuffle(rng *r, int *item, int n)
{
    for (int i = n - 1; i > 0; i--) {
        const uint32_t j = below(r, (uint32_t)i + 1);
        const int swapped = item[i];
        item[i] = item[j];
        item[j] = swapped;
    }
}
