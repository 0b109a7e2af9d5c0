/* A program's graph made again in another one, in two passes: gradients by rule become their recorded
   derivatives, which can be differentiated and written in another language; then operations that
   others can express become these. */
#ifndef TG_PROGRAM_LOWER_H
#define TG_PROGRAM_LOWER_H

#include "program/graph.h"

typedef enum tg__pass { TG__DERIVE, TG__EXPRESS } tg__pass;

/* Makes in `to`, which is initialised, what n nodes of `from` need. made: where these are in it; may be
   node. input: the nodes that are its inputs there, by their numbers; then there is one instance, and
   all that is made has adjacent elements. NULL: inputs as they are, and a batch. */
bool tg__graph_lower(tg__graph *to, const tg__graph *from, tg__pass pass, const uint32_t *input,
                     const uint32_t *node, uint32_t n, uint32_t *made);

/* An op that others express: its value by them. 0 if it is none of those, or after an error. */
uint32_t tg__graph_expressed(tg__graph *g, int code, const uint32_t *x, uint32_t n,
                             const void *attributes);

#endif
