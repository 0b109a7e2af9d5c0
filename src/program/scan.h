/* Loops as operations. The result of a scan is a vector: the last states, what is stacked, what is
   summed up, the number of steps taken if that is not known before; and behind these, seen by no
   user, the checkpoints: states from which backward computes the steps again.

   Derivatives are made of two operations. The gradient of a scan, J'u, is what its backward rule gives,
   as an operation: its operands are those of the scan, u, and the scan's result, of which it needs the
   checkpoints and the number of steps taken, but which is no variable of it. Its own
   derivative, for a cotangent w, is by u the loop of directions, J w: a scan whose states are the
   states and their derivatives along w. And by x it is that of <J'u, w> = <u, J w>: the gradient of the
   loop of directions. So no order needs more of the states than the checkpoints.

   A program's derivative along directions is the gradient by u of what is linear in u, and must not depend
   on u. Of a gradient the derivatives by u and x do, as they are made above; where only u will be
   differentiated by, they are one operation, transposed, of which the derivative is known: the gradient of
   the loop of directions again. */
#ifndef TG_PROGRAM_SCAN_H
#define TG_PROGRAM_SCAN_H

#include "program/call.h"

extern const tg__callee tg__scanned, tg__scan_gradient, tg__scan_transposed;

/* What a scan's attributes say of its body. Offsets are in elements of the result. */
typedef struct tg__loop {
    const tg_program *body;
    const tg_call_attributes *a;
    uint32_t states, each;            /* inputs; those behind are shared by all steps */
    uint32_t stacked, summed;         /* outputs behind the states */
    int64_t state_size;               /* elements of all states */
    int64_t sums, taken, kept, total; /* offsets; what is stacked lies behind the states; what is before
                                         taken has a gradient */
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

/* The rules (scan_run.c, scan_derive.c). */
tg_code tg__scan_forward(const tg__call *c);
tg_code tg__scan_backward(const tg__call *c);
tg_code tg__scan_pull(const tg__call *c); /* g ends where there are no gradients any more */
void tg__scan_derive(tg__derivation *d);

/* ---- gradients (scan_derive.c) ------------------------------------------------------------------- */

/* Whether a gradient by these inputs, as bits, has one by input i: then that is a part of it, `count`
   times as large as one step's (-1: there is one for all steps). */
bool tg__loop_wants(const tg__loop *k, uint64_t wanted, uint32_t i);
int64_t tg__loop_count(const tg__loop *k, uint32_t i);

/* Of one step: by the states and the inputs wanted, those shared beginning with what there is. */
tg__vjp tg__loop_vjp(const tg__loop *k, uint64_t wanted);

#endif
