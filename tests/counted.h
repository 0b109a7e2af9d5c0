/* What a suite of generated checks begins and ends with: errors are not printed, and how many checks
   there were is, with the SEED, which is defined before. */
#ifndef TESTS_COUNTED_H
#define TESTS_COUNTED_H

#include <criterion/criterion.h>
#include <tapegrad.h>

#include "finish.h"

static size_t checks;

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
    checks = 0;
}

static void count(void)
{
    fprintf(stderr, "# %s: %zu checks, seed %u\n", criterion_current_test->name, checks, SEED);
    EXPECT_AT_THE_END(checks > 0, "nothing was checked");
}

#endif
