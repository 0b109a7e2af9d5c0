/* One instruction tried at other operands: what differences of its rules are made of. */
#ifndef TG_DEBUG_TRIAL_H
#define TG_DEBUG_TRIAL_H

#include "debug/look.h"

/* Operands that are moved have copies; u is the direction, of the same layout. Everything lies in
   the look's scratch memory, until the next trial or play. */
typedef struct tg__moved {
    int operand;
    int64_t n;      /* elements of the copy, gaps of views among them */
    int64_t origin; /* where the operand's first element is */
    const char *from;
    void *x;
    double *u;
} tg__moved;

typedef struct tg__trial {
    tg__play p;
    tg__moved *moved; /* as many as operands; n 0: not moved */
    size_t scratch;   /* where the rules' own begins */
} tg__trial;

/* False: no memory. */
bool tg__trial_begin(tg__look *l, uint32_t i, tg__trial *r);

/* Operand j gets a copy and a direction, random, each element in relation to its size. */
bool tg__trial_move(tg__look *l, tg__trial *r, int j, uint64_t *random);

/* Room of the size of the result or of a moved operand. */
void *tg__trial_room(tg__look *l, tg__trial *r, int64_t n);

/* To be called when all room has been taken. */
void tg__trial_ready(tg__look *l, tg__trial *r);

/* Operands to x + t u. */
void tg__trial_at(tg__look *l, tg__trial *r, double t);

/* The rules, at the operands as they are: the result into y; what cotangent g gives by each moved
   operand, added to dx[j], of the layout of its copy, unless that is NULL. */
tg_code tg__trial_forward(tg__look *l, tg__trial *r, void *y);
tg_code tg__trial_backward(tg__look *l, tg__trial *r, const void *y, const void *g,
                           void *const *dx);

#endif
