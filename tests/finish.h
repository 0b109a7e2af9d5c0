/* What a .fini of Criterion holds: there a failed assertion does not count, but an abort does. */
#ifndef TESTS_FINISH_H
#define TESTS_FINISH_H

#include <stdio.h>
#include <stdlib.h>

#define EXPECT_AT_THE_END(condition, ...)                                                          \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "at the test's end: " __VA_ARGS__);                                    \
            fputc('\n', stderr);                                                                   \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

#endif
