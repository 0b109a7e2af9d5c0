/* Planning for one instance. Its scalars, and the elements of its short tensors ("vectors"), are numbers
   of one array, and a stretch of operations on them is words for the kernel of kernels/scalars.h:
   scalars.c says what is in a stretch, vectors.c which tensors are vectors and where they lie, words.c
   writes the words, numbers.c those of operations on single numbers. */
#ifndef TG_PROGRAM_SCALARS_H
#define TG_PROGRAM_SCALARS_H

#include "program/planner.h"

/* What a node is, or makes of vectors. */
typedef enum tg__vector {
    TG__NO_VECTOR,
    TG__VECTOR_GIVEN,  /* its elements come from outside the stretch */
    TG__VECTOR_MAP,    /* an elementwise op */
    TG__VECTOR_SCALED, /* a vector times a number: the gradient of a dot product by one operand */
    TG__VECTOR_PIECES, /* put together from parts of others */
    TG__VECTOR_SUM,    /* a scalar: the sum of the elements of one */
    TG__VECTOR_DOT,    /* a scalar: the dot product of two */
} tg__vector;

/* Elements of a vector: the sum of those of one or two others, or of numbers that are repeated. */
typedef struct tg__piece {
    uint32_t of, offset, n; /* node, the first element, how many */
    uint32_t x[2], from[2]; /* nodes (0: none), and the first of their elements */
} tg__piece;

/* What items of the same kind do: an op, or (0) a sum of numbers and products, on n elements. */
typedef struct tg__item_kind {
    uint32_t op, n;
    uint32_t count[4]; /* numbers, numbers that are subtracted, products, products that are subtracted */
} tg__item_kind;

/* One operation of the stretch. */
typedef struct tg__item {
    uint32_t node;       /* 0: a piece */
    uint32_t piece;      /* which */
    uint32_t level, key; /* key: an op on one number, or TG__MAPS + the number of a kind */
} tg__item;

typedef struct tg__scalars {
    tg__planner *p;
    uint32_t places;  /* of the array; those before 8 are nobody's, and stay 0 */
    uint32_t levels;  /* of the stretch */
    uint32_t numbers; /* that the stretch makes */
    uint32_t *level;  /* by node: in the stretch; 0: it is not in it */
    uint8_t *vector;  /* by node: tg__vector */
    uint32_t *reads;  /* by node: how often it, a vector, is still read */
    uint32_t *chunk;  /* by node: of a vector; 0: it keeps its place */
    uint32_t *pieces; /* by node: its first piece */
    bool vectors;     /* there are some */
    tg__arena by_node, sums, terms, parts[5], stack, looks, kinds, items, sorted, tuples, tensors, parts_of,
        chunks, shelves;
    tg__arena waiting, number_places, number_users, makers; /* of numbers.c */
} tg__scalars;

#define TG__SCALARS_ARENAS(w)                                                                               \
    { &(w)->by_node,  &(w)->sums,   &(w)->terms,  &(w)->parts[0], &(w)->parts[1], &(w)->parts[2],           \
      &(w)->parts[3], &(w)->parts[4], &(w)->stack, &(w)->looks,   &(w)->kinds,    &(w)->items,              \
      &(w)->sorted,   &(w)->tuples, &(w)->tensors, &(w)->parts_of, &(w)->chunks,  &(w)->shelves,  &(w)->waiting,       \
      &(w)->number_places, &(w)->number_users, &(w)->makers }

enum { TG__SCALARS_ARENAS_N = sizeof((tg__arena *[])TG__SCALARS_ARENAS((tg__scalars *)NULL)) / sizeof(tg__arena *) };

/* Which nodes are others when there is one instance. */
void tg__find_same(tg__planner *p);

/* The bytes of the planner's room that it begins with. */
size_t tg__scalars_room(const tg__planner *p);

/* All give false when there is no memory. Begins when what is needed is known: finds sums, places what
   will be an element of a tensor, and brings what is one of an input. */
bool tg__scalars_begin(tg__scalars *w, tg__planner *p);
void tg__scalars_free(tg__scalars *w);

/* Whether a node is made in a stretch; and one more operation of it. */
bool tg__scalars_has(const tg__scalars *w, uint32_t id);
bool tg__scalars_add(tg__scalars *w, uint32_t id);

/* Ends the stretch: another step follows. */
bool tg__scalars_end(tg__scalars *w);

/* The elements of tensor id that are used as scalars, behind its step. */
bool tg__scalars_bring(tg__scalars *w, uint32_t id);

/* A place for what a step makes, if it is a number or a vector; done is false if it is neither. */
bool tg__scalars_place(tg__scalars *w, uint32_t id, bool *done);

/* ---- vectors.c ---------------------------------------------------------------------------------------- */

/* Which nodes are vectors, when those put together from scalars have their places. */
bool tg__vectors_find(tg__scalars *w);

/* Counts who reads them, when sums are found. */
void tg__vectors_count(tg__scalars *w);

/* Room for n vectors of one size, side by side, each at a multiple of 64 bytes. */
bool tg__vectors_place(tg__scalars *w, const uint32_t *id, size_t n);

/* What node id, or a piece, reads has been read; its place is used again when nobody reads it any more. */
void tg__vectors_read_by(tg__scalars *w, uint32_t id);
void tg__vectors_read_by_piece(tg__scalars *w, const tg__piece *piece);

/* The numbers of the array that n elements take, so that whole vectors of the machine can be computed. */
static inline uint32_t tg__padded(const tg__scalars *w, uint32_t n)
{
    const uint32_t whole = w->p->g->type == TG_F64 ? 8 : 16;
    return (n + whole - 1) / whole * whole;
}

/* What so many numbers are placed from here on begins where a vector of the machine does, if there is at least one. */
static inline void tg__align(tg__scalars *w, uint64_t n)
{
    if (n >= tg__padded(w, 1)) w->places = tg__padded(w, w->places);
}

/* ---- numbers.c ---------------------------------------------------------------------------------------- */

enum { TG__NOWHERE = 1 /* a number that is 0 */ };

/* Whether an op is done at once in a row of operations on single numbers. */
bool tg__at_once(uint32_t op);

/* One operation on numbers, with places as list_places has them, for the row that is written before the
   next other instruction; and its end. */
bool tg__numbers_add(tg__scalars *w, const uint32_t *tuple, uint32_t width, uint32_t key);
bool tg__numbers_end(tg__scalars *w);

/* ---- what scalars.c and words.c share ------------------------------------------------------------------- */

/* Operand j of a node, as a node of this plan. */
static inline uint32_t tg__operand_of(const tg__scalars *w, const tg__node *node, uint32_t j)
{
    return tg__same(w->p, tg__node_operands(w->p->g, node)[j]);
}

/* n words of the stretch. False: no memory. */
bool tg__put_words(tg__scalars *w, const uint32_t *x, size_t n);

/* What an item is computed from: the terms of a sum, or operands. few has room for 3. */
const uint32_t *tg__scalars_operands(const tg__scalars *w, uint32_t id, uint32_t few[3], uint32_t *n);

static inline const tg__piece *tg__piece_at(const tg__scalars *w, uint32_t i)
{
    return (const tg__piece *)(const void *)w->parts_of.data + i;
}

static inline const tg__item_kind *tg__kind_at(const tg__scalars *w, uint32_t key)
{
    return (const tg__item_kind *)(const void *)w->kinds.data + (key - TG__MAPS);
}

#endif
