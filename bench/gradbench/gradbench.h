/* The problems of the public benchmark GradBench, each done in the same ways side by side: by hand,
   recorded on a tape, and as a program. A problem's file has all of them. */
#ifndef GRADBENCH_H
#define GRADBENCH_H

#include <stddef.h>
#include <stdint.h>
#include <tapegrad.h>
#include <tapegrad/program.h>

#include "../draw.h"
#include "../emitted.h"

enum { SIZES = 4 };

/* PRIMAL is the value alone, in plain C. PLAIN: value and gradient as a C programmer derives and
   writes them, an instance at a time. EXPERT: the same blocked, vectorised, memory reused. EAGER:
   recorded and walked backwards each time. PROGRAM: recorded and compiled before. */
enum { PRIMAL, PLAIN, EXPERT, EAGER, PROGRAM, WAYS };

/* The numbers that a problem is given: arrays that all ways read. What is timed has other ones than what was compiled,
   and none of its runs those of the run before. A state begins with its struct given. */
enum { MOST_GIVEN = 5 };

typedef struct given {
    int n;
    struct {
        double *x, first; /* first: x[0] */
        int64_t size;
        tg_value leaf;
    } of[MOST_GIVEN];
} given;

/* leaf: what the eager way has of the n numbers at x; {0}: nothing that it keeps. */
void given_add(given *all, double *x, int64_t n, tg_value leaf);

/* Changes all numbers: by up to 1 %, zeros by up to .01. */
void given_vary(given *all);

/* Changes the first number of each array, or of its leaf, for a timed run. */
void given_change(const given *all, bool leaves);

typedef struct problem {
    const char *name;
    const char *size[SIZES];      /* what the rows are called; NULL: no more rows */
    void *(*start)(int size);     /* data by seed, and what is prepared once */
    void (*stop)(void *state);
    /* How many numbers a way gives. The first values of them are no gradient; PRIMAL gives these only. */
    size_t (*results)(void *state, size_t *values);
    void (*way[WAYS])(void *state, double *result); /* NULL: the problem is not done this way */
    double known[4]; /* what the first results are, to four digits, where it is published; 0: it is not */
} problem;

extern const problem hello, gmm, ba, lstm, ht, kmeans, llsq, lse, ode, det, particle, saddle;

/* Memory or the end of the program. */
void *room(size_t n, size_t size);

/* The tape that a problem records on eagerly, and what it holds: a row's memory. */
tg_tape *row_tape(void);
size_t row_bytes(void);

/* Ends the program with what went wrong. */
void must(bool ok, const char *what);

/* A program and room to run it in; and the same as C. */
typedef struct compiled {
    tg_program *program;
    tg_workspace *workspace;
    emitted *c; /* NULL: there is none */
} compiled;

/* How what is compiled from now on is: written as C, too; how long it took, without that; whether there is
   C for all of it, and whether that is what is run. */
typedef struct compilation {
    bool emit, all_emitted, run_emitted;
    double ns;
} compilation;
extern compilation compiling;

/* The outputs as they are, for every instance. */
compiled compile(const tg_value *outputs, int n, const tg_value *batch, int n_batch,
                 const tg_value *shared, int n_shared);

/* The sum of f over the instances, and its gradients by the inputs whose numbers are in wrt (NULL: all
   shared ones). */
compiled compile_gradient(tg_value f, const tg_value *batch, int n_batch, const tg_value *shared,
                          int n_shared, const int *wrt, int n_wrt);

/* The sum, its gradients by all shared inputs, and the gradients' derivatives along directions, which
   are inputs behind the others. */
compiled compile_hvp(tg_value f, const tg_value *batch, int n_batch, const tg_value *shared,
                     int n_shared);

void run_compiled(const compiled *c, int64_t count, const void *const *inputs, void *const *outputs);
bool try_compiled(const compiled *c, int64_t count, const void *const *inputs,
                  void *const *outputs); /* false if a condition is not what it was when recorded */
void run_compiled_with(const compiled *c, int64_t count, const void *const *inputs, void *const *outputs,
                       const tg_run_options *options); /* which there is no C for */
void free_compiled(compiled *c);

#endif
