/* A plan: the order in which a graph's nodes are computed, and where their values lie. Made once
   (plan.c, dots.c), followed by run.c.

   A block holds the values of up to `block` instances: of a node with n elements those of one instance
   behind those of the other. So a scalar is a row of lanes, and a step on it is one loop. */
#ifndef TG_PROGRAM_PLAN_H
#define TG_PROGRAM_PLAN_H

#include <stdatomic.h>

#include "program/graph.h"

/* Where operands lie. Inputs follow, one area each. */
enum {
    TG__AREA_BODY,
    TG__AREA_SHARED,
    TG__AREA_CONSTANTS,
    TG__AREA_PARTIALS,
    TG__AREA_STRIPS,
    TG__AREA_INPUTS
};

/* What a chain of steps takes at a time of each operand; the most steps that it has. */
enum { TG__STRIP_BYTES = 8 << 10, TG__CHAIN_STEPS = 24 };

typedef struct tg__operand {
    uint32_t area;
    uint32_t lane;   /* elements from one instance to the next */
    uint64_t offset; /* bytes; in the body's area of one instance: times the block */
    int64_t view;    /* bytes behind it */
} tg__operand;

typedef enum tg__step_kind {
    TG__STEP_MAP,      /* y, x ...: an elementwise op on rows of lanes */
    TG__STEP_WALK,     /* the same on arrays of different shapes */
    TG__STEP_RULE,     /* y, x ...: any op, one instance after the other */
    TG__STEP_BACKWARD, /* width dx, x ..., y, g; columns: place of a list: x ..., y, g, operands of dx */
    TG__STEP_BLOCK,    /* as either of them, all instances at once: columns is a form */
    TG__STEP_ASSEMBLE, /* y, x ... */
    TG__STEP_ROWS,     /* y, x ...: scalars as elements of y; columns: place of a list, of which ones */
    TG__STEP_GUARD,    /* x: a condition */
    TG__STEP_COPY,     /* y, x: lanes side by side */
    TG__STEP_DOT,      /* y, then pairs a, b: their products' sum */
    TG__STEP_DOTS,     /* width results, columns x, width * columns weights: a matrix on lanes */
    TG__STEP_SUM,      /* partial, x: added up over the lanes */
    TG__STEP_OUTER,    /* partials (width * columns in a row), width a, columns b: products added up */
    TG__STEP_SCALARS,  /* one instance: the words from number width on */
    TG__STEP_LOAD,     /* one instance: y, x: width elements */
    TG__STEP_SAME,     /* one instance: y, x: the node's elements, adjacent */
    TG__STEP_GATHER,   /* y, x: in a chain: rows of what it makes are reduced; columns: a form */
    TG__STEP_KINDS
} tg__step_kind;

typedef struct tg__step {
    uint8_t kind;
    bool range; /* a MAP of scalars side by side */
    bool kept;  /* of a RULE, BACKWARD, BLOCK or GATHER: behind its operands, what it keeps for its gradient, or
                   reads of it */
    uint16_t op;
    uint32_t chain; /* the chain that begins here, from 1 on; 0: none */
    uint32_t node;
    uint32_t n, first; /* operands */
    uint32_t width;    /* elements of an instance; scalars in a range */
    uint32_t columns;
} tg__step;

/* Steps that are done strip by strip of the elements that they have in common: elementwise ones, reductions of
   what these make, sums of its rows (a BACKWARD of a linear map by its bias). In front there may be a product, whose
   rows are computed block by block. */
typedef struct tg__chain {
    uint32_t steps;
    uint32_t strip, block; /* elements; block 0: all */
    uint32_t period;       /* the length of its rows; 0: any */
    uint32_t held;         /* bytes of the strips that are the product's */
    bool product;
} tg__chain;

/* An op, or its gradient, on arrays whose first axis is the instances (dim[0] is filled in at a run). */
typedef struct tg__form {
    int code, n;
    int from[3];     /* which operand of the node */
    bool batched[3]; /* it has that axis; the result has it always */
    tg__shape x[3], y;
    bool back, summed; /* the gradient by form operand `by`; added to a partial sum */
    bool same;         /* the gradient of the result is the same for all instances */
    int by;
    union {
        max_align_t align;
        char byte[TG__ATTRIBUTES_BYTES];
        tg_reduce_attributes reduce;
        tg_softmax_attributes softmax;
        tg_axis_attributes axis;
        tg_labels_attributes labels;
        tg_smoothed_attributes smoothed;
        tg_reduction reduction; /* of losses: their attributes begin with it */
    } attributes;
} tg__form;

/* A sum over the batch: where it is added up, and where the total goes. */
typedef struct tg__total {
    uint64_t partial, total; /* bytes, in their areas */
    uint32_t n;              /* elements */
    bool lanes;              /* TG__LANE_BYTES of partial sums of one element */
} tg__total;

/* Of one instance's scalars n from number `place` on, before the first step: bytes in the constants. */
typedef struct tg__initial {
    uint64_t constant;
    uint32_t place, n;
} tg__initial;

/* Instances that are summed up before others are added. */
enum { TG__BATCH_CHUNK = 256 };

/* The memory of programs: little for small ones; for large ones address space, of which only what is used
   is ever touched, in large pages: below half of one, that costs more than it is worth. */
static inline tg__memory tg__program_memory(void)
{
    return (tg__memory){ .first = 2048, .reserve = SIZE_MAX >> 30, .reserve_from = 1 << 20 };
}

typedef struct tg__output {
    tg__operand from;
    uint32_t node;
    uint32_t size;
    uint32_t bytes; /* of an element */
    bool each, adjacent;
} tg__output;

typedef struct tg__plan {
    tg__memory memory;
    tg__arena steps, operands, totals, outputs, forms, lists;
    tg__arena chains;
    tg__arena words, initials; /* one instance: what is done to its scalars; numbers there are before */
    tg__arena room;            /* what the others begin in */
    uint32_t begin[4]; /* the steps of stage s: begin[s] ... begin[s + 1]; before them: what is brought of inputs */
    uint32_t n_outputs, n_totals;
    uint64_t body, shared, partials, strips; /* bytes of the areas; body's for one block */
    uint64_t ones;                   /* in the shared area: a row of ones */
    uint64_t count;                  /* in the shared area; UINT64_MAX: not used */
    uint32_t block;
    uint32_t piece; /* instances that whole-block steps do at once */
    bool quick; /* somewhere 0 times infinity is NaN, where a gradient of 0 must contribute 0 */
    tg_status status; /* of making it */
} tg__plan;

typedef enum tg__plan_kind {
    TG__PLAN_QUICK,   /* but where a run must not be done again */
    TG__PLAN_SINGLE,  /* for one instance: all steps are in the stage TG__EARLY; values in an area of the body */
    TG__PLAN_CAREFUL, /* never quick: for what the other, if it is, made no finite numbers of */
    TG__PLANS
} tg__plan_kind;

/* A shared input that a successful run overwrites. */
typedef struct tg__state {
    uint32_t input, next; /* node */
} tg__state;

static inline const tg__state *tg__program_states(const tg__arena *states, uint32_t *n)
{
    *n = (uint32_t)(states->used / sizeof(tg__state));
    return (const tg__state *)(void *)states->data;
}

/* The chain that begins at a step. */
static inline tg__chain *tg__plan_chain(const tg__plan *p, const tg__step *s)
{
    return (tg__chain *)(void *)p->chains.data + s->chain - 1;
}

static inline const tg__step *tg__plan_steps(const tg__plan *p)
{
    return (const tg__step *)(void *)p->steps.data;
}

static inline const tg__operand *tg__plan_operands(const tg__plan *p)
{
    return (const tg__operand *)(void *)p->operands.data;
}

/* What a program keeps for being an operation: see vjp.h. */
enum { TG__IDLE = 8 };
typedef struct tg__store {
    _Atomic(struct tg__derived *) derived;
    _Atomic(tg_workspace *) idle[TG__IDLE];
} tg__store;

/* What a run writes: the outputs, but of one that is a matrix put together from rows, the rows. */
typedef struct tg__written {
    tg__arena room;
    uint32_t n;
    uint32_t *node;
    uint32_t *output; /* which one; behind them states */
    uint32_t *row;
    bool *each; /* for every instance */
} tg__written;

/* An operand that names places, and is an input or a view of one. */
typedef struct tg__indexing {
    uint32_t node, operand;
    int64_t places, ignored;
} tg__indexing;

struct tg_program {
    tg__memory memory;
    size_t bytes; /* of this struct and what is behind it */
    tg__graph graph;
    tg_type type;
    uint32_t *input;  /* nodes; 0: the graph does not need it */
    uint32_t *output; /* nodes */
    bool *each;       /* by output: one for every instance, even where all are the same */
    uint32_t *rows;   /* by output: of a Jacobian with several, elements of what is differentiated; else 0 */
    uint32_t n_inputs, n_batch, n_outputs;
    tg_value *leaf; /* by input: on the tape that it was compiled from */
    uint32_t *by;   /* of a gradient program, by output but the first: which input it is by */
    tg__written written;
    tg__arena indices; /* tg__indexing */
    tg__arena states;  /* tg__state; written last */
    bool gradient;
    int block;
    uint32_t one; /* the number's node */
    _Atomic(tg__plan *) plan[TG__PLANS]; /* NULL: nobody needed it yet */
    tg__store *store;
    uint32_t flags; /* TG__CALL_IMPURE, TG__CALL_ONE_THREAD: of the operations in it */
};

/* The program's plan of this kind, made the first time that it is asked for; any number of threads may
   ask. NULL after an error. */
const tg__plan *tg__program_plan(const tg_program *p, tg__plan_kind kind, const char *what,
                                 tg_status *status);
void tg__plan_free(tg__plan *plan);

/* ---- program.c: making programs ---------------------------------------------------------------- */

/* An empty program with room for the numbers of its inputs and outputs; NULL: no memory. */
tg_program *tg__program_new(uint32_t n_inputs, uint32_t n_batch, uint32_t n_outputs);

/* Ends the making of a program whose graph is complete. Frees the program when there is an error. */
tg_program *tg__program_finish(tg_program *p, const char *what, tg_status *status);

/* ---- inputs.c ---------------------------------------------------------------------------------- */

/* Lists what a run must check before it writes anything. False: no memory. */
bool tg__program_list_indices(tg_program *p);

void tg__program_fail(tg_status *s, tg_code code, const char *what, const char *message);

#endif
