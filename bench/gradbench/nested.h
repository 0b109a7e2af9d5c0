/* What particle and saddle have in common: a loop whose steps have a derivative in them, and the outer
   derivative of what it ends with, each of them reverse or forward. */
#ifndef GRADBENCH_NESTED_H
#define GRADBENCH_NESTED_H

#include "gradbench.h"

enum { INNER = 2, FIRST_STEPS = 512, MOST_STEPS = 1 << 20, STATES = 9 /* and tangents, at most; and shared inputs */ };

typedef struct nested nested;
struct nested {
    given in;
    bool outer_forward, inner_forward;
    double start[INNER]; /* where the outer descent begins */
    double place[INNER]; /* where the inner one does, if there is one: the program knows it */
    tg_tape *tape; /* of the eager way */
    tg_mark mark;
    /* The function inside, with its derivative by INNER inputs; a step of the loop; its derivative along
       tangents; a step with the tangents beside the states; the function of the last states. */
    tg_program *inner, *step, *derivative, *along, *end;
    int states, smooth, shared; /* inputs of the step; smooth: those first states that have derivatives */
    /* Records the loop with all that goes into it, and gives it to nested_outer. */
    bool (*record)(nested *s, tg_tape *t);
    int64_t steps;              /* at most so many, before it is recorded again with more */
    bool too_long;              /* the loop has more than MOST_STEPS, or no end */
    compiled value, program;    /* where the loop ends; value and outer derivatives */
};

/* Variants are rev over rev, rev over fwd, fwd over rev, fwd over fwd. */
nested *nested_start(int variant, const double *start, int n);
void nested_stop(void *s);

/* The problems from other beginnings than where they are usually done. */
nested *particle_from(int variant, double w);
nested *saddle_from(int variant, const double start[2]);

/* The inner derivative of f by x, as values. */
void nested_gradient(const nested *s, tg_value f, const tg_value x[INNER], tg_value gradient[INNER]);

/* For programs: f of inputs, the first of which x is, becomes s->inner; a call of that gives the
   same derivative. */
void nested_compile(nested *s, tg_value f, const tg_value *inputs, int n);
void nested_call(const nested *s, const tg_value *inputs, int n, tg_value gradient[INNER]);

/* A step of the loop, from its inputs: states, then what is shared; outputs: states, then whether it
   is the last one. */
void nested_step(nested *s, const tg_value *outputs, const tg_value *inputs, int states, int smooth, int shared);

/* f of the smooth states and what is shared. */
void nested_end(nested *s, tg_value f, const tg_value *inputs);

/* f of where the loop ends that begins with these states, and its derivatives by what is shared (leaves)
   become s->program, which goes by the condition that the loop ends before s->steps; false if it does not. */
bool nested_outer(nested *s, const tg_value *states, const tg_value *shared);

/* Makes the program by s->record, with more steps until they are enough. */
void nested_record(nested *s);

/* What the program gives; or the smooth states where the loop ends. If that has more steps than before it is
   recorded again. False, and s->too_long, if it is too long for that. */
bool nested_run(nested *s, const void *const *shared, void *const *outputs);
bool nested_look(nested *s, const void *const *shared, double *end);

#endif
