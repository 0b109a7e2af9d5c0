/* The graph of a program: what was recorded for one instance, as nodes without values.

   A node is one operation, or an input, a constant, a view of another node's elements. Operands come
   before what is made of them. A node is made once: the same operation on the same operands is the
   same node, operations on constants are constants, and what is an operand again is that operand.

   Stages say how often a node is computed: TG__EARLY once a run (it depends on shared inputs only),
   TG__BODY for every instance, TG__LATE once a run, after sums over the batch. */
#ifndef TG_PROGRAM_GRAPH_H
#define TG_PROGRAM_GRAPH_H

#include <tapegrad/program.h>

#include "base/arena.h"
#include "base/shape.h"
#include "ops/op.h"

/* Nodes that are no operation of the table; the others have its codes. */
enum {
    TG__NODE_INPUT = 0x3F0, /* data: which */
    TG__NODE_COUNT,         /* the number of instances of the run */
    TG__NODE_CONSTANT,      /* data: place in the arena of constants */
    TG__NODE_VIEW,          /* of operand 0, which is none; data: place of where it begins (of a scalar: in the node) */
    TG__NODE_ASSEMBLE,      /* zeros, and operand i added where the view operand n / 2 + i looks (0: everywhere) */
    TG__NODE_BACKWARD,      /* data: place of a tg__back; operands: those of the op, its result, the gradient of it */
    TG__NODE_SUM,           /* operand 0 summed over the batch */
    TG__NODE_OPS = 0x400,
};

/* The number of an input that nobody gives: what is linear in it is differentiated by it. */
#define TG__NOT_GIVEN UINT32_MAX

enum { TG__RECENT_SHAPES = 64 };

typedef enum tg__stage { TG__EARLY, TG__BODY, TG__LATE } tg__stage;

/* Nearly all nodes of large graphs are floating scalars made of one to three operands without attributes: these have
   their operands in the node itself. Two such nodes are the same if their words are. */
typedef struct tg__node {
    uint32_t op : 10, stage : 2;
    uint32_t few : 2;   /* such a node's operands; 0: it is another one */
    uint32_t site : 18; /* number of its source position; 0: there were too many */
    union {
        uint32_t x[3]; /* operands, the others 0; x[1] and x[2] of a view: where it begins, in two halves */
        struct {
            uint32_t n, first; /* operands, and where they begin in the pool, behind a word of data: a place in the
                                  arena of attributes, or what the kind of node says */
            uint32_t shape;    /* 0: a floating scalar, else a place in the arena of shapes */
        } many;
    };
} tg__node;

_Static_assert(sizeof(tg__node) == 16, "graphs of millions of nodes go through memory");

/* What an op's backward rule adds to operand by. */
typedef struct tg__back {
    int op, by;
    uint32_t attributes; /* place */
} tg__back;

typedef struct tg__graph {
    tg_type type;
    const tg__kernels *k;
    tg__memory *memory;
    tg__arena nodes, pool, shapes, attributes, constants, users, table, scratch, sites;
    tg__arena room; /* what the others begin in */
    uint32_t n; /* nodes; number 0 is none */
    uint32_t views; /* so many of them */
    uint32_t expected; /* nodes that there will be, about */
    size_t lasting; /* of room: what lies behind is borrowed, until the graph is closed; 0: nothing is */
    uint32_t buckets, entries; /* of the table: a power of two, at least twice as many as these */
    uint32_t room_for;         /* so many nodes can have users; 0: there is no table */
    uint32_t number_bits;      /* of the table's entries */
    uint32_t unlisted; /* nodes before this one are not in the table; 0: all are */
    uint8_t ops[TG__NODE_OPS]; /* what is known of the nodes with an op: see nodes.c */
    uint32_t recent[TG__RECENT_SHAPES]; /* shapes made before, by hash: their places */
    uint32_t site; /* of the nodes being made */
    uint32_t numbers[8], next_number; /* the numbers made last */
    uint32_t count;                   /* the node of it; 0: none */
    unsigned without; /* passes that are off */
    bool strict, fast_math, allow_reads;
    bool has_rules; /* some node is, or differentiates, an op that is not elementwise */
    tg_status status; /* of the first error */
} tg__graph;

bool tg__graph_init(tg__graph *g, tg__memory *m, tg_type type, const tg_compile_options *options);
void tg__graph_free(tg__graph *g);

/* Gives back what only the making of nodes needs; more can be made all the same. */
void tg__graph_close(tg__graph *g);

/* What a graph will have, about: nodes, words of the pool, bytes of attributes, and bytes of other arenas that begin
   in its room. */
typedef struct tg__expected {
    uint32_t nodes;
    size_t words, attributes, more;
} tg__expected;

/* Makes room for it, so that none of it need grow. False: no memory. */
bool tg__graph_expect(tg__graph *g, const tg__expected *e);

/* Zeros for an arena without memory, which are the graph's again when it is closed. False: no memory. */
bool tg__graph_borrow(tg__graph *g, tg__arena *a, size_t bytes);

/* Keeps the first error: code, the source position of the node being made, the text. Returns 0. */
__attribute__((format(printf, 3, 4))) uint32_t tg__graph_fail(tg__graph *g, tg_code code,
                                                              const char *format, ...);

/* What it was made with, for a graph that is made from it. */
static inline tg_compile_options tg__graph_options(const tg__graph *g)
{
    return (tg_compile_options){ .without = g->without, .strict = g->strict, .fast_math = g->fast_math };
}

static inline bool tg__graph_failed(const tg__graph *g)
{
    return g->status.code != TG_OK;
}

static inline tg__node *tg__node_at(const tg__graph *g, uint32_t id)
{
    return (tg__node *)(void *)g->nodes.data + id;
}

static inline uint32_t tg__node_n(const tg__node *node)
{
    return node->few ? node->few : node->many.n;
}

/* Its operands but for looks. */
static inline uint32_t tg__node_parts(const tg__node *node)
{
    return node->op == TG__NODE_ASSEMBLE ? tg__node_n(node) / 2 : tg__node_n(node);
}

/* Those of a copy of a node may lie in the copy. */
static inline const uint32_t *tg__node_operands(const tg__graph *g, const tg__node *node)
{
    return node->few ? node->x : (const uint32_t *)(void *)g->pool.data + node->many.first;
}

static inline uint32_t tg__place_of_shape(const tg__node *node)
{
    return node->few ? 0 : node->many.shape;
}

static inline bool tg__is_scalar(const tg__node *node)
{
    return tg__place_of_shape(node) == 0;
}

static inline const tg__shape *tg__node_shape(const tg__graph *g, uint32_t id)
{
    return (const tg__shape *)(void *)g->shapes.data + tg__place_of_shape(tg__node_at(g, id));
}

/* Its word of data. */
static inline uint32_t tg__node_word(const tg__graph *g, const tg__node *node)
{
    return node->few ? 0 : ((const uint32_t *)(void *)g->pool.data)[node->many.first - 1];
}

static inline const void *tg__attributes_at(const tg__graph *g, uint32_t place)
{
    return g->attributes.data + place;
}

static inline const void *tg__node_data(const tg__graph *g, const tg__node *node)
{
    return tg__attributes_at(g, tg__node_word(g, node));
}

/* What a constant's elements are; NULL if the node is none. */
static inline const void *tg__node_constant(const tg__graph *g, uint32_t id)
{
    const tg__node *const node = tg__node_at(g, id);
    return node->op == TG__NODE_CONSTANT ? g->constants.data + (size_t)tg__node_word(g, node) * 8 : NULL;
}

/* A node as rules of derivatives see it. */
static inline tg_value tg__node_value(const tg__graph *g, uint32_t id)
{
    return (tg_value){ (tg_tape *)(uintptr_t)g, id, id != 0 };
}

/* The node that owns the elements a view looks at; any other node owns its own. */
static inline uint32_t tg__node_owner(const tg__graph *g, uint32_t id)
{
    const tg__node *const node = tg__node_at(g, id);
    return node->op == TG__NODE_VIEW ? tg__node_operands(g, node)[0] : id;
}

/* Where a node looks at its owner, in elements. */
static inline int64_t tg__node_offset(const tg__graph *g, uint32_t id)
{
    const tg__node *const node = tg__node_at(g, id);
    if (node->op != TG__NODE_VIEW) return 0;
    return node->few ? (int64_t)((uint64_t)node->x[2] << 32 | node->x[1]) : *(const int64_t *)tg__node_data(g, node);
}

/* The op that a node computes, or whose gradient; NULL for others. */
static inline const tg__op *tg__node_op(const tg__node *node)
{
    return node->op < TG__NODE_INPUT ? tg__ops[node->op] : NULL;
}

/* Whether a node does more than compute its value: guards, and users' operations that are impure.
   Such are done exactly once an instance, whether anything needs their values or not. */
bool tg__node_acts(const tg__graph *g, uint32_t id);

/* Makers of nodes. All give 0 after an error, and take 0 for operands then. */
uint32_t tg__graph_input(tg__graph *g, uint32_t which, const tg__shape *s, bool varies);
uint32_t tg__graph_count(tg__graph *g);
uint32_t tg__graph_number(tg__graph *g, double x);
uint32_t tg__graph_constant(tg__graph *g, tg__array a); /* copies the elements */
uint32_t tg__graph_apply(tg__graph *g, int code, const uint32_t *x, int n, const void *attributes);

/* base's elements from the one at offset on, seen with the dimensions and strides of s. */
uint32_t tg__graph_view(tg__graph *g, uint32_t base, const tg__shape *s, int64_t offset);
uint32_t tg__graph_element(tg__graph *g, uint32_t base, int64_t offset); /* one floating number */
uint32_t tg__graph_assemble(tg__graph *g, const tg__shape *s, const uint32_t *x, const uint32_t *look,
                            uint32_t n);
uint32_t tg__graph_backward(tg__graph *g, uint32_t y, int by, uint32_t gradient);
uint32_t tg__graph_sum(tg__graph *g, uint32_t x);

/* ---- several.c ------------------------------------------------------------------------------- */

/* Several of one shape along a first axis. A count of 0 is one without that axis everywhere.

   inputs_like: the input with this number, for count of this shape. one_of: number i of all of them.
   all_of: the count nodes `part` together; behind them there is room for as many. */
uint32_t tg__graph_inputs_like(tg__graph *g, uint32_t which, const tg__shape *like, int count,
                               bool varies);
uint32_t tg__graph_one_of(tg__graph *g, uint32_t all, int count, uint32_t i);
uint32_t tg__graph_all_of(tg__graph *g, uint32_t *part, int count);

/* The n nodes `part` of one shape, one behind the other, as shape s says; room as above. */
uint32_t tg__graph_rows(tg__graph *g, const tg__shape *s, uint32_t *part, uint32_t n);

/* ---- import.c -------------------------------------------------------------------------------- */

/* Nodes for n values of a tape: node[i] for value[i]. The leaves among inputs become inputs, input[j] for
   inputs[j], of which the first n_batch vary; all others constants. */
bool tg__graph_import(tg__graph *g, const tg_value *value, int n, const tg_value *inputs, int n_inputs,
                      int n_batch, uint32_t *node, uint32_t *input);

/* ---- gradient.c ------------------------------------------------------------------------------ */

/* How a gradient is made. */
enum {
    TG__BY_OPS = 1, /* all of ops, so that it can be differentiated again */
    TG__EACH = 2,   /* nothing is summed over the batch; otherwise what does not vary gets the sum */
    TG__LINEAR = 4, /* it is differentiated again by the cotangents only */
};

/* What it borrows of g, about. */
size_t tg__graph_gradient_bytes(const tg__graph *g);

/* The gradients of sum(cotangent * output) by the nodes wrt, as nodes. Without cotangents they are
   ones, and an output that does not vary counts for every instance. begin: what gradients are added
   to, 0: nothing; may be NULL. */
bool tg__graph_gradient(tg__graph *g, const uint32_t *output, const uint32_t *cotangent, int n,
                        const uint32_t *wrt, const uint32_t *begin, int m, unsigned how,
                        uint32_t *gradient);

/* What a node of TG__NODE_BACKWARD is, made of ops by the recorded derivative. x: as its operands, the
   n of the op, its result, the gradient of that. */
uint32_t tg__graph_derived(tg__graph *g, const uint32_t *x, uint32_t n, const tg__back *back,
                           const void *attributes);

/* Sets d->dx to what the derivative of a user's operation records, as nodes. */
void tg__graph_derive_custom(tg__graph *g, tg__derivation *d, const tg_custom *op);

#endif
