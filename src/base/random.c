/* Random numbers: see random.h. */
#include "base/random.h"

#include <math.h>

void tg__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t block[4])
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
    block[0] = x0;
    block[1] = x1;
    block[2] = x2;
    block[3] = x3;
}

/* The counter: the number of the block; what is drawn and, where a draw is repeated, how often; the
   run. */
static void block_of(const tg__random *r, uint32_t number, uint32_t again, uint32_t block[4])
{
    const uint32_t key[2] = { (uint32_t)r->seed, (uint32_t)(r->seed >> 32) };
    const uint32_t counter[4] = { number, (uint32_t)r->draw | again << 8, (uint32_t)r->run,
                                  (uint32_t)(r->run >> 32) };
    tg__philox(counter, key, block);
}

void tg__random_words(const tg__random *r, int64_t first, int64_t n, uint32_t *out)
{
    uint32_t block[4];
    for (int64_t i = first; i < first + n; i++) {
        if (i == first || i % 4 == 0) block_of(r, (uint32_t)(i / 4), 0, block);
        *out++ = block[i % 4];
    }
}

uint64_t tg__random_threshold(double p)
{
    return (uint64_t)(p * 0x1p32 + 0.5);
}

static uint64_t joined(uint32_t high, uint32_t low)
{
    return (uint64_t)high << 32 | low;
}

void tg__random_uniform(const tg__random *r, int64_t first, int64_t n, double *out)
{
    uint32_t block[4];
    for (int64_t i = first; i < first + n; i++) {
        const uint32_t *const word = &block[i % 2 * 2];
        if (i == first || i % 2 == 0) block_of(r, (uint32_t)(i / 2), 0, block);
        *out++ = (double)(joined(word[0], word[1]) >> 11) * 0x1p-53;
    }
}

/* Two of each block (G. E. P. Box and M. E. Muller, 1958). The radius has 64 bits, so that the
   tails reach past 9; its argument is never 0. */
void tg__random_normal(const tg__random *r, int64_t first, int64_t n, double *out)
{
    uint32_t block[4];
    double pair[2] = { 0, 0 };
    for (int64_t i = first; i < first + n; i++) {
        if (i == first || i % 2 == 0) {
            block_of(r, (uint32_t)(i / 2), 0, block);
            const double u = ((double)joined(block[0], block[1]) + 0.5) * 0x1p-64;
            const double angle = (double)joined(block[2], block[3]) * 0x1p-64 * 6.283185307179586;
            const double radius = sqrt(-2 * log(u));
            pair[0] = radius * cos(angle);
            pair[1] = radius * sin(angle);
        }
        *out++ = pair[i % 2];
    }
}

/* A whole number below n, without the bias of a remainder (D. Lemire, Fast random integer
   generation in an interval, 2019). */
static uint32_t below(const tg__random *r, uint32_t position, uint32_t n)
{
    const uint32_t uneven = (0u - n) % n; /* 2^32 mod n */
    for (uint32_t again = 0;; again++) {
        uint32_t block[4];
        block_of(r, position, again, block);
        for (int i = 0; i < 4; i++) {
            const uint64_t product = (uint64_t)block[i] * n;
            if ((uint32_t)product >= uneven) return (uint32_t)(product >> 32);
        }
    }
}

void tg__random_permutation(const tg__random *r, int64_t n, int64_t *out)
{
    for (int64_t i = 0; i < n; i++) { /* built up from the front: out[i] goes anywhere in 0 ... i */
        const uint32_t j = below(r, (uint32_t)i, (uint32_t)i + 1);
        if (j != i) out[i] = out[j];
        out[j] = i;
    }
}
