/* Loops as operations. The result of a scan is a vector: the last states, what is stacked, what is
   summed up, the number of steps taken if that is not known before; and behind these, seen by no
   user, the checkpoints: states from which backward computes the steps again. They have gradients
   as all the rest, so that a scan that keeps every state is one with its states as an output. */
#ifndef TG_PROGRAM_SCAN_H
#define TG_PROGRAM_SCAN_H

#include "program/call.h"

extern const tg__callee tg__scanned;

/* What a scan's attributes say of its body. Offsets are in elements of the result. */
typedef struct tg__loop {
    const tg_program *body;
    const tg_call_attributes *a;
    uint32_t states, each, shared;    /* inputs */
    uint32_t stacked, summed;         /* outputs behind the states */
    int64_t state_size;               /* elements of all states */
    int64_t sums, taken, kept, total; /* offsets; what is stacked lies behind the states */
} tg__loop;

tg__loop tg__loop_of(const tg_call_attributes *a);

/* Whether every state is kept, in the order of the steps' data. */
static inline bool tg__keeps_all(const tg_call_attributes *a)
{
    return a->slots >= a->steps;
}

/* How many steps on the next checkpoint is, where `length` are to be done from one on and there is
   room for `slots`, itself among them; at least length: there is none. Binomial checkpoints: A.
   Griewank, A. Walther, Algorithm 799: revolve (2000), section 2. */
int64_t tg__next_checkpoint(int64_t length, int64_t slots);

/* So many that no step is done more than twice forward. */
int64_t tg__checkpoints_for(int64_t steps);

/* The rules (scan_run.c). */
tg_code tg__scan_forward(const tg__call *c);
tg_code tg__scan_backward(const tg__call *c);

#endif
