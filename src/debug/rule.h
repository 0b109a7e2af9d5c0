/* Values of the user's rules (TG_RULE) at other operands. Such a rule is recorded as carry(x, value,
   d): its value does not come from x, but from the operations without a gradient that were recorded
   just before. They are computed again, in a copy of the tape's values. */
#ifndef TG_DEBUG_RULE_H
#define TG_DEBUG_RULE_H

#include "debug/trial.h"

typedef struct tg__rule_trial {
    tg__trial *r;
    tg__arena *shadow; /* the copy, made when it is first needed and kept as the tape is */
    uint32_t value;    /* what the rule's value is */
    uint32_t first;    /* from this instruction on, inner tells which ones make it */
    const char *inner;
} tg__rule_trial;

/* Of the trial of a carry. possible: whether its value can be computed again. False: no memory. */
bool tg__rule_begin(tg__look *l, tg__trial *r, tg__arena *shadow, tg__rule_trial *u,
                    bool *possible);

/* The value with operand 0 as it has been moved, into y. False where an operation refuses. */
bool tg__rule_value(tg__look *l, const tg__rule_trial *u, void *y);

#endif
