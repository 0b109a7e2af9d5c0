/* What a program keeps for being an operation: its transposed derivatives, made when they are first
   asked for, and workspaces that are idle. A program is used by many threads, so both are shared
   without locks. */
#ifndef TG_PROGRAM_VJP_H
#define TG_PROGRAM_VJP_H

#include "program/plan.h"

/* Which derivative: the gradients of the sum of cotangent * output by some of the inputs, in their
   order. Its inputs are those of the program, a cotangent for each output that is no integer, and
   what the gradients by inputs begin ... end are added to.

   Or, with forward, the derivative along directions: its inputs are those of the program and a
   direction for each wanted one, its outputs those of the program, then their derivatives. Of one
   instance they come as a scan of both takes them: the directions of states behind the states, those
   of what there is for each step behind that, those of shared inputs last; outputs likewise, of which
   there are `outputs` then. */
typedef struct tg__vjp {
    uint64_t wanted;  /* bits of inputs; the last one is for all others */
    uint32_t outputs; /* the first so many have cotangents */
    uint32_t begin, end;
    uint32_t states, each, stacked; /* forward: inputs, inputs, outputs */
    uint8_t forward;
    uint8_t one;    /* there is one instance: all that is known of it varies, nothing is summed */
    uint8_t by_ops; /* it can be differentiated again */
    int count;      /* cotangents of each output, along a first axis that gradients have too; 0: one */
    uint8_t none;   /* no derivative: the program as it is, but for `one` */
} tg__vjp;

static inline uint64_t tg__wanted_bit(uint32_t input)
{
    return (uint64_t)1 << (input < 63 ? input : 63);
}

/* By the n inputs wrt, whatever how says. NULL after an error. */
tg_program *tg__vjp_make(const tg_program *p, const tg__vjp *how, const uint32_t *wrt, uint32_t n,
                         const char *what, tg_status *status);

/* The one along directions of the inputs wrt. NULL after an error. */
tg_program *tg__jvp_make(const tg_program *p, const tg__vjp *how, const uint32_t *wrt, uint32_t n,
                         tg_status *status);

/* Owned by p. NULL after an error. */
const tg_program *tg__program_vjp(const tg_program *p, const tg__vjp *how, tg_status *status);

/* p for one instance, whichever inputs it has taken for a batch: as tg__program_vjp. */
const tg_program *tg__program_one(const tg_program *p, tg_status *status);

/* A workspace for one thread, until it is given back. NULL after an error. */
tg_workspace *tg__workspace_take(const tg_program *p, tg_status *status);
void tg__workspace_give(const tg_program *p, tg_workspace *w);

/* Frees all of this. */
void tg__program_forget(tg_program *p);

#endif
