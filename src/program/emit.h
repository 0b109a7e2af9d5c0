/* Writing a graph as C: what emit.c (the function), emit_ops.c (operations that are not elementwise),
   emit_loops.c (loops over elements), emit_math.c (formulas) and emit_text.c share; each uses those
   behind it. */
#ifndef TG_PROGRAM_EMIT_H
#define TG_PROGRAM_EMIT_H

#include "program/plan.h"

enum {
    TG__LOOPS = 2 * TG_MAX_RANK, /* of a nest */
    TG__EXPRESSION = 10,         /* the most operations of one expression */
    TG__LEAVES = 2 * TG__EXPRESSION + 2,
};

typedef struct tg__emitter {
    tg__graph *g;
    const char *name;              /* of the function */
    const char *real;              /* "double" or "float" */
    const char *suffix;            /* of constants and libm's functions: "" or "f" */
    tg__arena body, helpers, room;
    tg__arena *to;                 /* where text goes: body or helpers */
    int depth;                     /* of the blocks around */
    bool *helper;                  /* by op: its function has been written */
    uint32_t *uses;                /* by node: how often it is an operand or an output */
    bool *inlined;                 /* by node: part of the expression of its one user */
    uint32_t line;                 /* the site that was written last */
    bool asserts;
    size_t bytes;                  /* of arrays */
} tg__emitter;

/* ---- emit_text.c ------------------------------------------------------------------------------- */

/* Text, as printf. */
__attribute__((format(printf, 2, 3))) void tg__write(tg__emitter *e, const char *format, ...);

/* The same on a new line, at the present depth. */
__attribute__((format(printf, 2, 3))) void tg__write_line(tg__emitter *e, const char *format, ...);

/* ---- emit_math.c ------------------------------------------------------------------------------- */

/* A constant of the program's type. */
void tg__emit_number(tg__emitter *e, double x);

/* The C function for an elementwise op: libm's, or one that is written before the program's. Writes
   its name. */
void tg__emit_function(tg__emitter *e, int code);

/* ---- emit_loops.c ------------------------------------------------------------------------------ */

/* An owner's or view's elements, by the loops of a nest. */
typedef struct tg__access {
    uint32_t node;
    int64_t offset, stride[TG__LOOPS];
} tg__access;

/* Loops, the outermost first; of them the first `outer` are those over the result. */
typedef struct tg__nest {
    int rank, outer;
    int64_t dim[TG__LOOPS];
    int n, next;
    tg__access access[1 + TG__LEAVES];
} tg__nest;

/* An access to node's elements as seen with the dimensions of s, axis loop[i] of which is loop i of the
   nest. */
void tg__nest_add(const tg__emitter *e, tg__nest *t, uint32_t node, const tg__shape *s,
                  const int *loop);

/* The same for all operands of the expression that node is, s their common shape. */
void tg__nest_add_leaves(const tg__emitter *e, tg__nest *t, uint32_t node, const tg__shape *s,
                         const int *loop);

/* Loops over the axes of s, in their order, all of the result. */
void tg__nest_over(tg__nest *t, const tg__shape *s);

/* Fewer loops, where neighbours walk as one. */
void tg__nest_merge(tg__nest *t);

/* Opens loops from ... to - 1, with blocks or for one statement; closes what has been opened. */
void tg__open_loops(tg__emitter *e, const tg__nest *t, int from, int to, bool block);
void tg__close_loops(tg__emitter *e, int loops, bool block);

/* Writes access i, "v5[3 * j + k]"; plus more in the index, if that is not NULL. */
void tg__emit_access(tg__emitter *e, const tg__nest *t, int i, const char *more);

/* The index of access i alone. */
void tg__emit_index(tg__emitter *e, const tg__nest *t, int i);

/* Writes the expression that node is; its operands are accesses from t->next on. */
void tg__emit_expression(tg__emitter *e, tg__nest *t, uint32_t node);

/* Whether node is made of other elements by an expression, in the order of its own. */
bool tg__is_expression(const tg__emitter *e, uint32_t node);

/* "double v5[6]; (2, 3)", for what has axes; `= { 0 }` with zero. */
void tg__declare(tg__emitter *e, uint32_t id, bool zero);
bool tg__has_axes(const tg__emitter *e, uint32_t id);

/* "v5[...] = expression", in loops. */
void tg__emit_map(tg__emitter *e, uint32_t id);

/* ---- emit_ops.c -------------------------------------------------------------------------------- */

/* Writes an op that is not elementwise. */
void tg__emit_op(tg__emitter *e, uint32_t id);

/* Zeros, and what is added to parts of them. */
void tg__emit_assemble(tg__emitter *e, uint32_t id);

#endif
