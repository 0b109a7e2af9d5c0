/* Timing: repeats of several ways of doing the same work, interleaved, so that whatever else the
   machine does meets all of them alike; medians, and the spread between the quartiles. */
#ifndef BENCH_TIMING_H
#define BENCH_TIMING_H

#include <stddef.h>

typedef struct timing {
    double median; /* nanoseconds a call */
    double spread; /* (third quartile - first quartile) / median */
} timing;

/* Nanoseconds of processor time that this thread has had: what else runs on the machine does not
   count. */
double now_ns(void);

/* Times n ways: work(i, user) does way i once. Each repeat runs every way for about 2 ms. */
void time_ways(int n, void (*work)(int way, void *user), void *user, int repeats, timing *result);

/* Machine, compiler and kernels, as lines of text on standard output. */
void print_machine(void);

#endif
