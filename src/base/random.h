/* Random numbers by position: Philox4x32-10 (J. K. Salmon et al., Parallel random numbers: as easy
   as 1, 2, 3, 2011). Every number is a function of the seed, the run, what is drawn and the
   position of the element; nothing is kept from one to the next. So numbers can be drawn in pieces
   of any size, in any order, by any number of threads. */
#ifndef TG_BASE_RANDOM_H
#define TG_BASE_RANDOM_H

#include <stdint.h>

/* What is drawn. Draws of different kinds have nothing in common, though their seed be the same. */
typedef enum tg__draw {
    TG__DRAW_UNIFORM,
    TG__DRAW_NORMAL,
    TG__DRAW_BERNOULLI,
    TG__DRAW_PERMUTATION,
    TG__DRAW_DROPOUT
} tg__draw;

typedef struct tg__random {
    uint64_t seed, run;
    tg__draw draw;
} tg__random;

/* The generator itself: a block of four words for each counter. */
void tg__philox(const uint32_t counter[4], const uint32_t key[2], uint32_t block[4]);

/* Elements first ... first + n - 1 of a row of at most 2^31. */
void tg__random_words(const tg__random *r, int64_t first, int64_t n, uint32_t *out);
void tg__random_uniform(const tg__random *r, int64_t first, int64_t n,
                        double *out); /* [0, 1): 53 bits */
void tg__random_normal(const tg__random *r, int64_t first, int64_t n, double *out);

/* The numbers 0 ... n - 1 in random order, each order as probable as any other. n < 2^31. */
void tg__random_permutation(const tg__random *r, int64_t n, int64_t *out);

/* For tg__random_words: below it lie words with probability p, to 32 bits. */
uint64_t tg__random_threshold(double p);

#endif
