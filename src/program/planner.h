/* What the parts of planning share: dots.c finds sums of products, batch.c what takes all instances at
   once, fuse.c what is computed together, scalars.c words for one instance; planning.h has the rest. */
#ifndef TG_PROGRAM_PLANNER_H
#define TG_PROGRAM_PLANNER_H

#include "program/plan.h"

/* In place of a node: a row of ones. */
#define TG__ONES UINT32_MAX

typedef enum tg__role {
    TG__UNUSED,
    TG__NEEDED,
    TG__FUSED, /* inside of a dot product or a sum over the batch */
    TG__TILED, /* the result of a tile of dot products */
    TG__DONE,
} tg__role;

/* The product a * b of a dot; of those with a shared factor it is a. */
typedef struct tg__term {
    uint32_t a, b;
} tg__term;

/* A scalar that is a sum of terms. */
typedef struct tg__dot {
    uint32_t root, first, n; /* terms */
    uint32_t next;           /* of its tile: number of the dot, 0: none */
    bool shared;             /* every term has a shared factor */
} tg__dot;

/* Dots over the same operands b, computed together; or sums over the batch of the products of rows
   with the same columns. */
typedef struct tg__bundle {
    uint32_t first, n; /* dots; rows */
    uint32_t columns;
    uint32_t after; /* rows: the node after which it can be computed */
    uint32_t next;  /* with the same `after`, 0: none */
} tg__bundle;

/* Of a row: its node, and its columns in the list of columns; the sums they make. */
typedef struct tg__row {
    uint32_t node, first, n;
} tg__row;

typedef struct tg__planner {
    tg__graph *g;
    tg__plan *plan;
    tg__memory *memory;
    uint32_t n;
    uint8_t *role;      /* by node */
    uint32_t *uses;     /* by node: operands of needed nodes that it is */
    uint32_t *tile;     /* by node: the tile of dots that makes it, if TG__TILED */
    uint32_t *waiting;  /* by node: the first tile of rows to be computed after it; 0: none */
    uint32_t *unit;     /* by node: what is allocated for it; 0: nothing yet */
    uint32_t one;       /* the number's node */
    bool careful;
    bool single;    /* for one instance: then */
    uint32_t *same; /* by node: the node that it is for one instance */
    uint32_t *slot; /* by node: its place among the scalars, of a tensor its first element's; 0: none */
    const uint32_t *output; /* nodes, so many */
    uint32_t n_outputs;
    tg__arena marks; /* by element of a tensor */
    tg__arena by_node, terms, dots, tiles, rows, columns, sums, units, users, user_list;
    tg__arena room; /* what arenas of planning begin in: there are many, and most stay small */
    uint32_t *users_begin, *user;
} tg__planner;

/* Arenas that begin in a block, with so many bytes; false: no memory. */
enum { TG__FIRST_BYTES = 256 };
bool tg__begin_arenas(tg__arena *const *arena, size_t n, tg__arena *room);

/* Terms, dots and tiles; false when there is no memory. */
bool tg__find_dots(tg__planner *p);

/* Sums over the batch, as rows and tiles. */
bool tg__find_rows(tg__planner *p);

/* How the node can be computed for all instances at once; summed: added up over them. False: it cannot. */
bool tg__batch_form(const tg__planner *p, uint32_t id, bool summed, tg__form *f);

/* Gradients that nothing needs but their sums over the batch, products that nothing needs but the sum of their
   elements: the sums are computed at once. */
void tg__find_sums(tg__planner *p);

/* Whether node id adds up products that are made nowhere else: a form's operands are then their factors. */
bool tg__is_dot(const tg__planner *p, uint32_t id);

/* The gradients by the operands of one op that its rule computes in one call: node id, and those behind
   it. Their number. */
enum { TG__SIBLINGS = 8 };
uint32_t tg__siblings(const tg__planner *p, uint32_t id, uint32_t node[TG__SIBLINGS]);

/* Whether the node puts scalars of an instance side by side: the operands at[i] ... are its elements
   at[i]. at has room for all operands; their number, or 0. */
uint32_t tg__side_by_side(const tg__planner *p, uint32_t id, uint32_t *at);

static inline bool tg__is_lane(const tg__graph *g, uint32_t id)
{
    const tg__node *const node = tg__node_at(g, id);
    return node->stage == TG__BODY && tg__is_scalar(node);
}

/* The node whose values are id's. */
static inline uint32_t tg__same(const tg__planner *p, uint32_t id)
{
    return p->single ? p->same[id] : id;
}

/* The node that owns the elements that are id's. */
static inline uint32_t tg__owner(const tg__planner *p, uint32_t id)
{
    return tg__same(p, tg__node_owner(p->g, tg__same(p, id)));
}

/* Steps for scalars.c and the like: n elements from where node is into the array, at its place; a stretch of words. */
bool tg__emit_load(tg__planner *p, uint32_t node, uint32_t n);
bool tg__emit_scalars(tg__planner *p, uint32_t first);

/* qsort, for what mostly is in order already, or the other way round: then it takes one pass.
   Entries have at most TG__SORTED_BYTES. */
enum { TG__SORTED_BYTES = 64 };
void tg__sort(void *entries, size_t n, size_t size, int (*compare)(const void *, const void *));

/* Whether an op has tg_reduce_attributes and reduces numbers one by one (batch.c). */
bool tg__is_reduction(int code);

/* n elements at the end of an arena; NULL when there is no memory. */
void *tg__more(tg__arena *a, size_t n, size_t size);

#endif
