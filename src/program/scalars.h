/* Planning for one instance: see scalars.c. */
#ifndef TG_PROGRAM_SCALARS_H
#define TG_PROGRAM_SCALARS_H

#include "program/planner.h"

typedef struct tg__scalars {
    tg__planner *p;
    uint32_t places;  /* of the array; those before 8 are nobody's */
    uint32_t levels;  /* of the stretch */
    uint32_t *level;  /* by node: in the stretch; 0: it is not in it */
    size_t each, each_end; /* bytes: where the last EACH begins and ends in the words; equal: there is none */
    tg__arena levels_by_node, sums, terms, parts[5], stack, looks, shapes, items, sorted, tuples, tensors;
} tg__scalars;

#define TG__SCALARS_ARENAS(w)                                                                       \
    { &(w)->levels_by_node, &(w)->sums,     &(w)->terms,    &(w)->parts[0], &(w)->parts[1],          \
      &(w)->parts[2],       &(w)->parts[3], &(w)->parts[4], &(w)->stack,    &(w)->looks,             \
      &(w)->shapes,         &(w)->items,    &(w)->sorted,   &(w)->tuples,   &(w)->tensors }

/* Which nodes are others when there is one instance. */
void tg__find_same(tg__planner *p);

/* All give false when there is no memory. Begins when what is needed is known: finds sums, places what
   will be an element of a tensor, and brings what is one of an input. */
bool tg__scalars_begin(tg__scalars *w, tg__planner *p);
void tg__scalars_free(tg__scalars *w);

/* One more operation of the stretch: an elementwise one on scalars; a tensor that has a place. */
bool tg__scalars_add(tg__scalars *w, uint32_t id);
bool tg__scalars_assemble(tg__scalars *w, uint32_t id);

/* Ends the stretch: a tensor's step follows. */
bool tg__scalars_end(tg__scalars *w);

/* The elements of tensor id that are used as scalars, behind its step. */
bool tg__scalars_bring(tg__scalars *w, uint32_t id);

/* The place of a scalar that a tensor's operation makes. */
uint32_t tg__scalars_place(tg__scalars *w, uint32_t id);

#endif
