/* Known answers of Philox4x32-10, from the authors' Random123 distribution (kat_vectors), and the
   first moments of what is made from it. A plain program: says what is wrong and fails. */
#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/random.h"

typedef struct known {
    uint32_t counter[4], key[2], out[4];
} known;

#define ONES UINT32_MAX
static const known answers[] = {
    { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
    { { ONES, ONES, ONES, ONES },
      { ONES, ONES },
      { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
      { 0xa4093822, 0x299f31d0 },
      { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
};

static bool known_answers_come_out(void)
{
    bool good = true;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        uint32_t out[4];
        philox4x32(answers[i].counter, answers[i].key, out);
        if (memcmp(out, answers[i].out, sizeof out) == 0) continue;
        fprintf(stderr, "answer %zu: %08" PRIx32 " %08" PRIx32 " %08" PRIx32 " %08" PRIx32 "\n", i,
                out[0], out[1], out[2], out[3]);
        good = false;
    }
    return good;
}

/* Mean and variance of n draws; each must lie within five standard errors of what it should be. */
static bool moments_are_right(const char *name, double (*draw)(rng *), double mean, double variance,
                              double kurtosis)
{
    const int n = 100000;
    rng r = rng_new(7, 0);
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++) {
        const double x = draw(&r) - mean;
        sum += x;
        squares += x * x;
    }
    const double mean_off = sum / n, variance_off = squares / n - variance;
    const double mean_error = sqrt(variance / n);
    const double variance_error = variance * sqrt((kurtosis - 1) / n);
    if (fabs(mean_off) < 5 * mean_error && fabs(variance_off) < 5 * variance_error) return true;
    fprintf(stderr, "%s: mean off by %g, variance off by %g\n", name, mean_off, variance_off);
    return false;
}

/* Of the 6 orders of 3 items each comes with probability 1/6: within five standard errors. */
static bool orders_are_equally_likely(void)
{
    enum { draws = 60000 };
    int count[27] = { 0 };
    rng r = rng_new(7, 1);
    for (int i = 0; i < draws; i++) {
        int item[3] = { 0, 1, 2 };
        rng_shuffle(&r, item, 3);
        count[9 * item[0] + 3 * item[1] + item[2]]++;
    }
    const int order[6] = { 5, 7, 11, 15, 19, 21 }; /* 012, 021, 102, 120, 201, 210 in base 3 */
    bool good = true;
    for (int i = 0; i < 6; i++) good = good && abs(count[order[i]] - draws / 6) < 5 * 92;
    if (!good) fprintf(stderr, "shuffle: the orders are not equally likely\n");
    return good;
}

int main(void)
{
    const bool good[] = {
        known_answers_come_out(),
        moments_are_right("uniform", rng_uniform, 0.5, 1.0 / 12, 1.8),
        moments_are_right("normal", rng_normal, 0, 1, 3),
        orders_are_equally_likely(),
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (!good[i]) return EXIT_FAILURE;
    return EXIT_SUCCESS;
}
