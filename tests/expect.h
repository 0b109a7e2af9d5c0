/* What tests of operations that are made of programs expect of numbers and of errors. */
#ifndef TESTS_EXPECT_H
#define TESTS_EXPECT_H

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include <tapegrad/tape.h>

/* n numbers, to bound times the largest. Only the first that is wrong is told of. */
static inline void expect_close(const char *what, const double *got, const double *expected, size_t n,
                         double bound)
{
    double largest = 0;
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < n; i++) {
        if (fabs(got[i] - expected[i]) <= bound * largest) continue;
        cr_expect(wrong++, "%s %zu: %.17g, expected %.17g, the largest is %g", what, i, got[i],
                  expected[i], largest);
    }
}

/* That a call was refused (ok: what it returned), with this error on the tape, which is cleared. */
static inline void expect_error(tg_tape *t, bool ok, tg_code code, const char *text)
{
    cr_expect_not(ok);
    const tg_error *const e = tg_error_of(t);
    cr_assert(e, "no error, where there should be: %s", text);
    cr_expect(e->code == code && strstr(e->message, text), "\"%s\", expected: %s", e->message,
              text);
    tg_error_clear(t);
}

#endif
