/* The rounds of Philox (random.h), for blocks in so many lanes that compilers find vectors in
   them. In a header, because the kernels compile them for each instruction set. */
#ifndef TG_BASE_PHILOX_H
#define TG_BASE_PHILOX_H

#include "base/random.h"

enum { TG__PHILOX_LANES = 32 };

/* Words 0 ... 3 of blocks, one in each lane. */
typedef uint32_t tg__philox_words[4][TG__PHILOX_LANES];

static inline void tg__philox_rounds(tg__philox_words x, const uint32_t key[2])
{
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < TG__PHILOX_LANES; i++) {
            const uint64_t a = UINT64_C(0xD2511F53) * x[0][i], b = UINT64_C(0xCD9E8D57) * x[2][i];
            x[0][i] = (uint32_t)(b >> 32) ^ x[1][i] ^ k0;
            x[1][i] = (uint32_t)b;
            x[2][i] = (uint32_t)(a >> 32) ^ x[3][i] ^ k1;
            x[3][i] = (uint32_t)a;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/* Blocks from that number on. The counter: the number of the block; what is drawn; the run. */
static inline void tg__philox_blocks(const tg__random *r, uint32_t number, tg__philox_words x)
{
    const uint32_t key[2] = { (uint32_t)r->seed, (uint32_t)(r->seed >> 32) };
    for (uint32_t i = 0; i < TG__PHILOX_LANES; i++) {
        x[0][i] = number + i;
        x[1][i] = (uint32_t)r->draw;
        x[2][i] = (uint32_t)r->run;
        x[3][i] = (uint32_t)(r->run >> 32);
    }
    tg__philox_rounds(x, key);
}

#endif
