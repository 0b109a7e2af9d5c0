/* Programs as operations: on a tape, or inside of other programs.

       tg_value next[2];
       tg_call(step, TG_VALUES(x, v, k), next);      // one instruction

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

#ifdef __cplusplus
}
#else
#define tg_call(program, ...) tg_call_at(program, __VA_ARGS__, TG_HERE) /* program, inputs, n, outputs */
#endif
#endif
