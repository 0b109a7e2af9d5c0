/* Random numbers for the examples: Philox4x32-10 (Salmon et al., Parallel random numbers: as easy
   as 1, 2, 3, SC 2011). The same seed gives the same words on every machine. */
#ifndef EXAMPLES_RANDOM_H
#define EXAMPLES_RANDOM_H

#include <stdint.h>

/* One block of Philox: four random words for each counter and key. */
void philox4x32(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A sequence of random numbers. Two streams of one seed have nothing in common. */
typedef struct rng {
    uint32_t key[2];     /* the seed */
    uint32_t counter[4]; /* the block, 64 bits, and the stream */
    uint32_t word[4];    /* the present block */
    int left;            /* words of it not yet used */
} rng;

rng rng_new(uint64_t seed, uint32_t stream);

double rng_uniform(rng *r);                 /* in [0, 1), 53 random bits */
double rng_normal(rng *r);                  /* mean 0, variance 1 */
void rng_shuffle(rng *r, int *item, int n); /* every order equally likely */

#endif
