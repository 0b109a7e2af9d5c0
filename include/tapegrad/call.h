/* Programs as operations: on a tape, or inside of other programs.

       tg_value next[2];
       tg_call(step, TG_VALUES(x, v, k), next);                 // one instruction
       tg_scan(step, &(tg_scan_options){ .steps = 1000000, .states = 2 }, TG_VALUES(x, v, k), next);

   What is called must outlive the tapes and programs that call it. Threads: as the tape. */
#ifndef TAPEGRAD_CALL_H
#define TAPEGRAD_CALL_H

#include <tapegrad/program.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Records a run of p as one operation, that can be differentiated to any order: the program's
   transposed derivatives are made when they are first needed and kept with it. inputs: the program's
   n inputs, of its shapes, values of one tape of its type. outputs: room for its outputs, none of
   which may be of integers. Batch inputs have one axis more, the first: the instances; so have outputs
   that there is one of for every instance. Compiled into another program, a program without batch
   inputs becomes part of that. False, and the error on the tape, if something does not fit. */
TG_API bool tg_call_at(const tg_program *p, const tg_value *inputs, int n, tg_value *outputs,
                       const tg_site *site);

/* A loop whose body is a program. Its inputs are states, then what there is for each step, then what
   is the same in all of them; its outputs the states for the next step, then what is stacked, then
   what is added up. Zero is each field's default. */
typedef struct tg_scan_options {
    int64_t steps; /* how many, or with stop at most how many */
    int states;    /* how many of the inputs, and of the outputs */
    int each;      /* inputs behind them, of which there is one for each step */
    int summed;    /* outputs that are added up: the last ones */
    bool stop;    /* behind these the body has one more output, a number: the step where that is not
                      0 is the last one. It has no gradient */
    bool reverse; /* begins with the last of what there is for each step; stacks from the end */
    int64_t slots; /* states kept for the gradient, from which the others are computed again.
                      0: about sqrt(2 steps), so that no step is computed again more than once;
                      steps or more: all of them; in between, the fewest repetitions possible */
} tg_scan_options;

/* Records the loop as one operation: inputs are n values of one tape, those for each step with one axis
   more, the first, of length steps. outputs has room for the body's outputs, in their order: the last
   states; stacked, with that axis more (zeros for steps not taken); added up; with stop the number of
   steps taken. Batch inputs of the body are taken as inputs of one instance. Differentiable to any
   order and along directions, on a tape and in programs, where it takes no more memory than that of the
   slots. Gradients are bit-equal for any number of slots. What draws random numbers draws anew in every step, and in a step that is
   computed again the same. False, and the error on the tape, if something does not fit. */
TG_API bool tg_scan_at(const tg_program *body, const tg_scan_options *options,
                       const tg_value *inputs, int n, tg_value *outputs, const tg_site *site);

/* Records a stretch of a model: from inputs on the tape it is given, which is not that of the values
   outside, and from nothing else but user. It is called again for gradients, and must record the same
   then. False, or an error on that tape, if it fails. */
typedef bool tg_recompute_function(tg_tape *tape, const tg_value *inputs, tg_value *outputs,
                                   void *user);

/* Runs function and keeps its m outputs only: what is between is recorded again when backward comes to
   it, and forgotten again. Takes the memory of one stretch for any number of them, and one more time
   forward. inputs: n values of one tape; user must outlive it. Differentiable to any order: recorded
   derivatives record the stretch on the tape itself. A program compiled from it has the stretch as
   if it had been recorded. False, and the error on the tape, if something fails. */
TG_API bool tg_recompute_at(tg_recompute_function *function, void *user, const tg_value *inputs,
                            int n, tg_value *outputs, int m, const tg_site *site);

#ifdef __cplusplus
}
#else
/* body, options, inputs, n, outputs */
#define tg_scan(body, options, ...) tg_scan_at(body, options, __VA_ARGS__, TG_HERE)
/* function, user, inputs, n, outputs, m */
#define tg_recompute(function, user, ...) tg_recompute_at(function, user, __VA_ARGS__, TG_HERE)
#define tg_call(program, ...)                                                                      \
    tg_call_at(program, __VA_ARGS__, TG_HERE) /* program, inputs, n, outputs */
#endif
#endif
