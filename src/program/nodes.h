/* Nodes as such, each made once (nodes.c); what they mean is graph.c's. */
#ifndef TG_PROGRAM_NODES_H
#define TG_PROGRAM_NODES_H

#include "program/graph.h"

/* bytes more in an arena, aligned to 8; their place, or SIZE_MAX. */
size_t tg__nodes_put(tg__graph *g, tg__arena *a, const void *bytes, size_t n);

/* Whether the same operands give the same result, whenever it is computed. data: its attributes. */
bool tg__is_pure(uint32_t op, const void *data);

bool tg__same_shape(const tg__shape *a, const tg__shape *b);

/* A node to be made, but for its shape and what belongs to its attributes. */
typedef struct tg__making {
    uint32_t op, n, data;
    uint8_t stage;
} tg__making;

/* A new node: data are its attributes, s its shape (NULL: a floating scalar). 0 after an error. */
uint32_t tg__nodes_append(tg__graph *g, const tg__making *m, const uint32_t *x, const void *data, const tg__shape *s);

/* Such a node, found or made; and the same of one that has its operands in itself: of n floating
   scalars; and a floating scalar among the elements of its owner. */
uint32_t tg__nodes_find(tg__graph *g, const tg__making *m, const uint32_t *x, const void *data, const tg__shape *s);
uint32_t tg__nodes_find_scalar(tg__graph *g, int code, const uint32_t *x, uint32_t n, uint8_t stage);
uint32_t tg__nodes_find_element(tg__graph *g, uint32_t owner, int64_t offset);

#endif
