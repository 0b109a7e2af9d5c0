/* Programs as operations. A call has one result, a vector: all that it makes, one behind the other;
   its outputs are views of that. */
#ifndef TG_PROGRAM_CALL_H
#define TG_PROGRAM_CALL_H

#include "program/lower.h"
#include "program/vjp.h"
#include "tape/tape.h"

extern const tg__callee tg__called, tg__recomputed; /* a program, a function */

/* The program of what a function records from these inputs, whose elements may be moved to the arena.
   NULL after an error. */
tg_program *tg__recompute_compile(const tg_call_attributes *a, tg__array *x, int n, tg__arena *room,
                                  const tg_compile_options *options, tg_status *status);

/* A part of a vector of n elements, from offset on: of s's dimensions, behind one of length count
   unless that is -1. */
tg_strided_attributes tg__part_of(int64_t n, int64_t offset, const tg__shape *s, int64_t count);

/* Views of the parts of a value that a call made; the first of all at *offset, which goes on. */
tg_value tg__next_part(tg_value packed, int64_t *offset, const tg__shape *s, int64_t count,
                       const tg_site *site);

/* The same where derivatives are recorded; packed may be a gradient of it. */
tg_value tg__derived_part(const tg__derivation *d, tg_value packed, int64_t *offset,
                          const tg__shape *s, int64_t count);

/* The shape of an input or output of one instance. */
static inline const tg__shape *tg__input_shape(const tg_program *p, uint32_t i)
{
    return tg__node_shape(&p->graph, p->input[i]);
}

static inline const tg__shape *tg__output_shape(const tg_program *p, uint32_t i)
{
    return tg__node_shape(&p->graph, p->output[i]);
}

/* Whether s is count times (-1: is) an array of the shape of input i; else the error. */
tg_code tg__check_input(const tg__call *c, const tg_program *p, uint32_t i, const tg__shape *s,
                        int64_t count);

/* A run of one workspace; after an error that of the call. */
tg_code tg__call_failed(const tg__call *c, const tg_status *status);

/* The error of a call that cannot be recorded, on the tape of the first value that has one. */
bool tg__call_refused(const tg_value *x, int n, const char *what, const tg_site *site,
                      const char *format, ...);

/* Which operands' gradients are wanted, as bits. */
uint64_t tg__wanted_operands(const tg__derivation *d);

#endif
