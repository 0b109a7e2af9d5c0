/* What the parts of planning share beyond planner.h: plan.c says what is needed and makes the whole,
   order.c orders the steps, place.c gives them memory. */
#ifndef TG_PROGRAM_PLANNING_H
#define TG_PROGRAM_PLANNING_H

#include "program/scalars.h"

/* What is allocated at once: one node's elements, or scalars side by side. */
typedef struct tg__unit {
    uint32_t first, n; /* nodes, in the list of members */
    uint32_t bytes;    /* of one instance */
    uint32_t last;     /* the step that uses it last */
    uint32_t next;     /* of those that end with the same step, or that are free; 0: none */
    uint64_t offset;   /* in its area; of the body's for one instance */
    uint8_t stage;
    bool placed;
    bool strip; /* there is only a strip of it at a time */
} tg__unit;

/* What an operation keeps for its gradient: n elements of an instance. */
typedef struct tg__keep {
    uint32_t node, n;
    uint32_t unit;    /* where; 0: not there yet */
    uint32_t readers; /* gradients */
} tg__keep;

enum { TG__KEEPERS = 8 }; /* most operands of an operation that keeps something */

/* Which unit a node lies in, and where. */
typedef struct tg__planning {
    tg__planner p; /* first */
    tg__arena members, keeps;
    uint32_t *place; /* by node: its number in the unit */
    uint32_t *keep;  /* by operation and gradient: the number, from 1 on, of what is kept; 0: nothing */
    bool *packed;    /* by node: of an input's or view's lanes there is a copy side by side */
    tg__scalars scalars;
} tg__planning;

/* Steps first name nodes; what these are in memory is put in their places when all is known. */
typedef union tg__reference {
    struct {
        uint32_t node; /* TG__ONES: a row of ones */
        int64_t
            sum; /* >= 0: a place among the partial sums; TG__NO_SUM: a packed copy; TG__SOURCE: the node;
                          TG__SLOT: its place among one instance's scalars; TG__KEPT: what
                          the node keeps; TG__AGAIN less a unit's number: the node, made again there */
    };
    tg__operand operand;
} tg__reference;

enum { TG__NO_SUM = -1, TG__SOURCE = -2, TG__SLOT = -3, TG__KEPT = -4, TG__AGAIN = -5 };

static inline tg__unit *tg__unit_at(const tg__planning *w, uint32_t u)
{
    return (tg__unit *)(void *)w->p.units.data + u;
}

static inline bool tg__planning_failed(tg__planning *w)
{
    tg__graph_fail(w->p.g, TG_ERROR_MEMORY, "no memory");
    return false;
}

/* Which nodes are computed once a run: all of one instance's. */
static inline bool tg__once(const tg__planning *w, uint32_t id)
{
    return w->p.single || tg__node_at(w->p.g, id)->stage != TG__BODY;
}

/* Whether a node's elements are kept in a workspace, by a unit. */
static inline bool tg__has_unit(const tg__planning *w, uint32_t id)
{
    return w->p.unit[id] != 0;
}

static inline uint32_t tg__step_count(const tg__plan *plan)
{
    return (uint32_t)(plan->steps.used / sizeof(tg__step));
}

/* ---- order.c --------------------------------------------------------------------------------------- */

/* The steps, when it is known what is needed: for blocks, in three stages; for one instance, in one. */
bool tg__order(tg__planning *w);
bool tg__order_single(tg__planning *w);

/* So many bytes of an instance, a number of times, from the stage of a node on; 0: no memory. */
uint32_t tg__new_room(tg__planning *w, uint32_t node, size_t bytes, uint32_t times);

/* ---- kept.c ---------------------------------------------------------------------------------------- */

/* What there is to keep. False: no memory. */
bool tg__find_kept(tg__planning *w);

/* What operation id keeps, or gradient id reads; NULL: nothing. */
tg__keep *tg__kept_by(const tg__planning *w, uint32_t id);

/* Whether gradient id is written where k is: it alone reads it, and is all that is made of it. */
bool tg__takes_place(const tg__planning *w, uint32_t id, const tg__keep *k);

/* ---- chains.c -------------------------------------------------------------------------------------- */

/* Brings steps together that are done strip by strip. False: no memory. */
bool tg__find_chains(tg__planning *w);

/* Whether the gradients of one op, of which id is the first, are better computed one by one: their sums join
   chains. */
bool tg__apart(const tg__planning *w, uint32_t id);

/* ---- again.c --------------------------------------------------------------------------------------- */

/* Lets chains make again what is cheap. False: no memory. */
bool tg__make_again(tg__planning *w);

/* ---- place.c --------------------------------------------------------------------------------------- */

/* Memory for the values of ordered steps, which lasts for n outputs to the end; where outputs lie; then
   where the steps' operands do, in the place of their nodes. */
bool tg__give_memory(tg__planning *w, const uint32_t *output, int n);
bool tg__list_outputs(tg__planning *w, const uint32_t *output, const bool *each, int n);
void tg__locate_all(const tg__planning *w);

#endif
