/* What every benchmark has in common: its command line, the rows that it measures, the table that it
   prints, the file that it writes.

       int main(int argc, char **argv)
       {
           report_begin(argc, argv, "scalar", "What it measures.");
           report_title("network, one sample");
           bench_row r = { .name = "net", .size = "2-100-3", .type = "f64", .per = "sample" };
           report_agree(&r, SIDE_EAGER, n, gradient, gradient_by_hand);
           report_time(2, (const side[]){ SIDE_PLAIN, SIDE_EAGER }, work, &task, 21, t);
           r.side[SIDE_PLAIN] = t[0], r.side[SIDE_EAGER] = t[1];
           report_row(&r);
           return report_end();
       }

   A row is one work, done by several sides. Sides that disagree, or a gradient of zeros, are no
   result: the row is marked, and the program fails. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>

#include "timing.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum side {
    SIDE_PRIMAL,    /* the value alone, in plain C */
    SIDE_PLAIN,     /* gradient by hand, as a C programmer writes it */
    SIDE_EXPERT,    /* by hand: blocked, vectorised, memory reused, the same vector math and BLAS */
    SIDE_PEER,      /* another library, which the row's layout names */
    SIDE_EAGER,     /* recorded and walked back each time */
    SIDE_PROGRAM_1, /* as a program that is run for one instance at a time */
    SIDE_PROGRAM,   /* as a program, all instances in one run */
    SIDE_EMITTED,   /* the program written as C and compiled */
    SIDES
} side;

enum { MORE = 6 };

/* Texts have no blanks, since a row is found by program/name/size/type/layout. */
typedef struct bench_row {
    const char *name, *size, *type, *layout; /* NULL: - */
    const char *per;                         /* what the times are of: instance, element, step ... */
    double units;                            /* so many of these in a call; 0: one */
    timing side[SIDES];                      /* of calls; repeats 0: it is not there */
    double memory;                           /* bytes of the tape, or of the program and its workspace; 0: not known */
    double compile_ns;                       /* of a program; 0: none */
    struct {
        const char *key;
        double value;
    } more[MORE]; /* what else was measured; key NULL: no more */
    bool wrong;
} bench_row;

/* Reads the command line, which --help explains, and prints the machine. May end the program. */
void report_begin(int argc, char **argv, const char *program, const char *does);

/* Whether the smallest sizes and fewest repeats will do: a test of the benchmark itself. */
bool report_quick(void);

/* Whether rows that begin with name, or name/size, are asked for. */
bool report_wants(const char *name, const char *size);

/* The rows that follow are a table of their own, with this above. */
void report_title(const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 1, 2)))
#endif
    ;

/* time_ways (timing.h) for ways that are these sides. */
void report_time(int n, const side *sides, void (*work)(int way, void *user), void *user, int repeats,
                 timing *result);

/* Whether what a side computed is what is expected: to 1e-9 of each number, and 1e-13 of the largest one
   for what cancels; rows of f32, to 1e-4 of both. If not, it is printed, and the row is wrong.
   report_agree is for gradients: it refuses zeros. */
bool report_same(bench_row *r, side s, size_t n, const double *got, const double *expected);
bool report_agree(bench_row *r, side s, size_t n, const double *got, const double *expected);

/* Takes a row into the table. Its texts must stay. */
void report_row(const bench_row *r);

/* Fits y = c x^e to the larger half of the rows that were reported under a name (their size is the
   number x, growing), by least squares of the logarithms, and reports a row of size "fit" with the exponents
   of cost (of this side) and of memory. */
void report_fit(const char *name, const char *layout, side s);

/* Prints and writes what is left; returns main's result: 1 if a row was wrong or got slower. */
int report_end(void);

#ifdef __cplusplus
}
#endif

#endif
