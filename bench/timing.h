/* Timing: repeats of several ways of doing the same work, interleaved, so that whatever else the
   machine does meets all of them alike; medians, and the spread between the quartiles. */
#ifndef BENCH_TIMING_H
#define BENCH_TIMING_H

#ifdef __cplusplus
extern "C" {
#endif

enum { MOST_REPEATS = 64 };

typedef struct timing {
    double median; /* nanoseconds a call */
    double spread; /* (third quartile - first quartile) / median */
    double allocations, faults; /* of memory and of pages, a call; allocations NaN: not counted here */
    int repeats;
    double ns[MOST_REPEATS]; /* a call of each repeat, in their order: pairs with those of other ways */
} timing;

/* Nanoseconds of processor time that this thread has had: what else runs on the machine does not
   count. */
double now_ns(void);

/* Nanoseconds on the clock, for what several threads do. */
double wall_ns(void);

/* How often this thread has allocated memory so far, whoever asked; NaN where that is not counted. */
double allocations_so_far(void);

/* Times n ways: work(i, user) does way i once. Each repeat runs every way for about 2 ms. */
void time_ways(int n, void (*work)(int way, void *user), void *user, int repeats, timing *result);

/* How many runs of its way time_ways (speed_of_second: of both) has begun, while it is in one; else 0. For inputs that change
   with every run. */
int timed_run(void);

/* By what a number is multiplied to be another than in the run before: 1 while nothing is timed, else a little more. */
double timed_factor(void);

/* How many times as fast way 1 is as way 0, by the clock: the best of many runs of each in turns, each after one that
   is not timed, as the ways have different memory. For what several threads do. */
double speed_of_second(void (*work)(int way, void *user), void *user);

/* Adds the repeats of more to t. */
void time_more(timing *t, const timing *more);

/* Median and spread of ns[0] ... ns[repeats - 1]. */
void time_summary(timing *t);

/* The median over repeats of the ratio a / b of what ran in turns, and the upper end of its 95 %
   interval (by the order of the ratios: no distribution is assumed). */
typedef struct paired {
    double median, high;
} paired;
paired ratio_of(const timing *a, const timing *b);

/* Texts about this machine: "unknown" if they are not to be found out. Static memory. */
const char *machine_processor(void);
const char *machine_compiler(void);

/* Machine, compiler and BLAS, as lines of text on standard output. */
void print_machine(void);

#ifdef __cplusplus
}
#endif

#endif
