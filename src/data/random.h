/* Random numbers of this room: Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as
   1, 2, 3, SC 2011), key = seed, counter = (block, block, use, epoch). */
#ifndef TG_DATA_RANDOM_H
#define TG_DATA_RANDOM_H

#include <stdint.h>

/* What numbers are drawn for: uses of one seed have nothing in common. */
typedef enum tg__use { TG__FOR_POINTS = 0x64617400, TG__FOR_SPLIT, TG__FOR_ORDER } tg__use;

typedef struct tg__random {
    uint32_t key[2], counter[4];
    uint32_t word[4]; /* the present block */
    int left;         /* words of it not yet used */
} tg__random;

/* One block: four random words for each counter and key. */
void tg__data_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

tg__random tg__data_random_new(uint64_t seed, tg__use use, uint32_t epoch);
double tg__data_random_uniform(tg__random *r);                        /* in [0, 1), 53 random bits */
double tg__data_random_normal(tg__random *r);                         /* mean 0, variance 1 */
uint64_t tg__data_random_below(tg__random *r, uint64_t n);            /* 0 ... n - 1, n > 0 */
void tg__data_random_order(tg__random *r, int64_t *order, int64_t n); /* 0 ... n - 1, shuffled */

#endif
