/* Random numbers: see random.h. */
#include "base/philox.h"

#include <math.h>

void tg__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t block[4])
{
    tg__philox_words x = { { counter[0] }, { counter[1] }, { counter[2] }, { counter[3] } };
    tg__philox_rounds(x, key);
    for (int i = 0; i < 4; i++) block[i] = x[i][0];
}

/* One block; again tells how often this one was drawn before. */
static void block_of(const tg__random *r, uint32_t number, uint32_t again, uint32_t block[4])
{
    const uint32_t key[2] = { (uint32_t)r->seed, (uint32_t)(r->seed >> 32) };
    const uint32_t counter[4] = { number, (uint32_t)r->draw | again << 8, (uint32_t)r->run,
                                  (uint32_t)(r->run >> 32) };
    tg__philox(counter, key, block);
}

/* The lane of element i, of which each block has so many; at the first lane, and at the start, the
   blocks are drawn. */
static inline int lane_of(const tg__random *r, int64_t i, int64_t first, int each,
                          tg__philox_words x)
{
    enum { LANES = TG__PHILOX_LANES };
    const int64_t block = i / each;
    if (i == first || i % (each * LANES) == 0)
        tg__philox_blocks(r, (uint32_t)(block / LANES * LANES), x);
    return (int)(block % LANES);
}

void tg__random_words(const tg__random *r, int64_t first, int64_t n, uint32_t *out)
{
    tg__philox_words x;
    for (int64_t i = first; i < first + n; i++) *out++ = x[i % 4][lane_of(r, i, first, 4, x)];
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
    tg__philox_words x;
    for (int64_t i = first; i < first + n; i++) {
        const int lane = lane_of(r, i, first, 2, x);
        const uint64_t bits = joined(x[i % 2 * 2][lane], x[i % 2 * 2 + 1][lane]);
        *out++ = (double)(bits >> 11) * 0x1p-53;
    }
}

/* Two of each block (G. E. P. Box and M. E. Muller, 1958). The radius has 64 bits, so that the
   tails reach past 9; its argument is never 0. */
void tg__random_normal(const tg__random *r, int64_t first, int64_t n, double *out)
{
    tg__philox_words x;
    double pair[2] = { 0, 0 };
    for (int64_t i = first; i < first + n; i++) {
        const int lane = lane_of(r, i, first, 2, x);
        if (i == first || i % 2 == 0) {
            const double u = ((double)joined(x[0][lane], x[1][lane]) + 0.5) * 0x1p-64;
            const double angle =
                (double)joined(x[2][lane], x[3][lane]) * 0x1p-64 * 6.283185307179586;
            const double radius = sqrt(-2 * log(u));
            pair[0] = radius * cos(angle);
            pair[1] = radius * sin(angle);
        }
        *out++ = pair[i % 2];
    }
}

/* A whole number below n, without the bias of a remainder (D. Lemire, Fast random integer
   generation in an interval, 2019): from the words of a block, or those of the next ones for this
   position. */
static uint32_t below(const tg__random *r, uint32_t position, uint32_t n, uint32_t block[4])
{
    const uint32_t uneven = (0u - n) % n; /* 2^32 mod n */
    for (uint32_t again = 1;; again++) {
        for (int i = 0; i < 4; i++) {
            const uint64_t product = (uint64_t)block[i] * n;
            if ((uint32_t)product >= uneven) return (uint32_t)(product >> 32);
        }
        block_of(r, position, again, block);
    }
}

void tg__random_permutation(const tg__random *r, int64_t n, int64_t *out)
{
    tg__philox_words x;
    for (int64_t i = 0; i < n; i++) { /* built up from the front: i goes anywhere in 0 ... i */
        const int lane = lane_of(r, i, 0, 1, x);
        uint32_t block[4] = { x[0][lane], x[1][lane], x[2][lane], x[3][lane] };
        const uint32_t j = below(r, (uint32_t)i, (uint32_t)i + 1, block);
        if (j != i) out[i] = out[j];
        out[j] = i;
    }
}
