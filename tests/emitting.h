/* Programs written as C, compiled by every compiler without a warning, run and held against tg_run. A
   test adds entries to one source file, which is checked at its end. */
#ifndef TESTS_EMITTING_H
#define TESTS_EMITTING_H

#include <tapegrad/program.h>

enum { EMITTED_MOST = 12 };

/* One function: a program, its inputs, how large outputs are, and what tg_run makes of them. */
typedef struct entry {
    char text[200];
    tg_program *program;
    int inputs, outputs, instances;
    uint64_t run; /* its number */
    void *input[EMITTED_MOST], *expected[EMITTED_MOST];
    tg_type type[EMITTED_MOST]; /* of the outputs */
    size_t size[EMITTED_MOST];
    size_t state[EMITTED_MOST]; /* by input: its elements, if a run may write them; of the program's type */
    double bound;               /* relative to the largest element of all outputs; 0: bit-equal */
    bool fails;                 /* the run is to fail, and the function to return false */
    void *after[EMITTED_MOST];  /* by input: what a state is after the run */
} entry;

/* Begins a file; prints how many checks there were at the end. */
void begin_emitted(void);

/* Runs the program and writes its function; takes the program and the inputs over, even where no C can be
   written, which status says and false. */
bool add_entry(entry e, tg_status *status);

/* Fills inputs' and outputs' numbers and the outputs' sizes and types from the program. */
void describe(entry *e, tg_program *p, tg_type type, int instances);

/* Compiles what has been written, runs and compares it. */
void check_emitted(void);

/* The text of the last entry. */
const char *last_emitted(void);

#endif
