/* Writing programs as C: what emit.c (the file), emit_function.c (a function), emit_ops.c and the
   families of operations behind it, emit_calls.c (functions that a function calls), emit_scans.c (loops of
   such), emit_loops.c (loops over elements), emit_math.c (formulas), emit_parts.c (functions that are there
   as text) and emit_text.c share. */
#ifndef TG_PROGRAM_EMIT_H
#define TG_PROGRAM_EMIT_H

#include "program/plan.h"

enum {
    TG__LOOPS = 2 * TG_MAX_RANK, /* of a nest */
    TG__EXPRESSION = 10,         /* the most operations of one expression */
    TG__LEAVES = 2 * TG__EXPRESSION + 2,
};

/* All that goes into one file. */
typedef struct tg__emission {
    const char *name; /* of the function that users call; it begins those of all others */
    tg_type type;
    tg__memory *memory;
    tg__arena text;      /* the functions that are complete, each behind those that it calls */
    tg__arena functions; /* tg__emitted: those that others call */
    uint32_t numbers;    /* of them, given so far */
    tg__arena flags;
    bool *helper;        /* by op: its function has been written */
    uint64_t parts;      /* bits: those that have been written, of less than 64 */
    bool asserts, bools; /* is there any in the text? */
} tg__emission;

/* A program that has been written as a function. */
typedef struct tg__emitted {
    const tg_program *program;
    uint32_t number;   /* of those that others call, from 1 on; 0: users call it */
    bool one;          /* for one instance: there is no count, and inputs and outputs have one */
    bool fails, draws; /* it returns bool; it has the number of the run as a parameter */
    size_t bytes;      /* of its arrays, and those of the functions that it calls */
} tg__emitted;

/* One function. */
typedef struct tg__emitter {
    tg__emission *all;
    const tg_program *program;
    tg__graph *g;
    const char *real;       /* "double" or "float" */
    const char *suffix;     /* of constants and libm's functions: "" or "f" */
    tg__arena body, room;
    tg__arena *to;          /* where text goes: body or all->text */
    int depth;              /* of the blocks around */
    uint32_t *uses;         /* by node: how often it is an operand or an output */
    bool *inlined;          /* by node: part of the expression of its one user */
    uint32_t line;          /* the site that was written last */
    tg__emitted made;
    size_t bytes, deepest;  /* of arrays; of those of a function that is called */
} tg__emitter;

/* ---- emit_text.c ------------------------------------------------------------------------------- */

/* Text, as printf. */
__attribute__((format(printf, 2, 3))) void tg__write(tg__emitter *e, const char *format, ...);

/* The same on a new line, at the present depth. */
__attribute__((format(printf, 2, 3))) void tg__write_line(tg__emitter *e, const char *format, ...);

/* ---- emit_parts.c ------------------------------------------------------------------------------ */

/* Writes the function of the parts with this name, and those that it calls, unless they have been
   written. False: there is none. */
bool tg__emit_part(tg__emitter *e, const char *name);

/* ---- emit_math.c ------------------------------------------------------------------------------- */

/* A constant of the program's type. */
void tg__emit_number(tg__emitter *e, double x);

/* The C function for an elementwise op: libm's, or one that is written before the program's. Writes
   its name. */
void tg__emit_function(tg__emitter *e, int code);

/* ---- emit_loops.c ------------------------------------------------------------------------------ */

/* An owner's or view's elements, by the loops of a nest; of node 0 only the index. */
typedef struct tg__access {
    uint32_t node;
    int64_t offset, stride[TG__LOOPS];
} tg__access;

/* Loops, the outermost first; of them the first `outer` are those over the result. */
typedef struct tg__nest {
    int rank, outer;
    int64_t dim[TG__LOOPS];
    int n, next;
    tg__access access[2 + TG__LEAVES];
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

/* "double a5[6];", for what is needed on the way to node 5. At least one element. */
void tg__declare_room(tg__emitter *e, const char *type, const char *name, uint32_t id, int64_t n);

/* "v5[...] = expression", in loops. */
void tg__emit_map(tg__emitter *e, uint32_t id);

/* ---- emit_ops.c -------------------------------------------------------------------------------- */

/* An op being written: its node, operands, attributes, shape. */
typedef struct tg__writing {
    tg__emitter *e;
    uint32_t id, n;
    const uint32_t *x;
    const void *attributes;
    const tg__shape *y;
} tg__writing;

static inline const tg__shape *tg__shape_in(const tg__writing *w, uint32_t operand)
{
    return tg__node_shape(w->e->g, w->x[operand]);
}

/* Writes an op that is not elementwise. */
void tg__emit_op(tg__emitter *e, uint32_t id);

/* Families of them; false if the op is none of the family's. An error is the graph's. */
bool tg__emit_sum_op(const tg__writing *w, int code);    /* emit_sums.c: folds, products, running sums */
bool tg__emit_copy_op(const tg__writing *w, int code);   /* emit_copies.c: copies, dropout */
bool tg__emit_index_op(const tg__writing *w, int code);  /* emit_indices.c */
bool tg__emit_window_op(const tg__writing *w, int code); /* emit_windows.c: convolutions, pooling */
bool tg__emit_order_op(const tg__writing *w, int code);  /* emit_order.c: sorting, medians, argmax */
bool tg__emit_matrix_op(const tg__writing *w, int code); /* emit_matrices.c: factorisations */
bool tg__emit_call_op(const tg__writing *w, int code);   /* emit_calls.c: programs, loops */

/* Zeros, and what is added to parts of them. */
void tg__emit_assemble(tg__emitter *e, uint32_t id);

/* The result = operand 0. */
void tg__emit_contiguous(const tg__writing *w);

/* "y = x" or "y += x", in loops; of a nest with these two accesses. */
void tg__emit_copy(tg__emitter *e, tg__nest *t, const char *operation);

/* An access whose axis i goes with loop loop[i]; those of length 1 are repeated. */
void tg__nest_by_axis(const tg__emitter *e, tg__nest *t, uint32_t node, const int *loop);

/* Which axes an op with tg_reduce_attributes reduces. */
unsigned tg__reduced_in(const tg__writing *w);

/* Loops over x: first its axes that are not reduced, then the others. loop: those axes; y_axis: those
   of the result, which may have kept reduced ones, or -1. */
void tg__nest_reduced(tg__nest *t, const tg__shape *x, unsigned axes, bool kept, int *loop,
                      int *y_axis);

/* An access to no node: the index of a row-major array of the loops from `from` on. */
void tg__nest_index(tg__nest *t, int from);

/* ---- emit_function.c --------------------------------------------------------------------------- */

/* Writes made->program as a function, which made says the rest of, behind those that it calls. False
   with the error. */
bool tg__emit_program(tg__emission *all, tg__emitted *made, tg_status *status);

/* "fit", "fit_call1" */
void tg__write_name(tg__emitter *e, const tg__emitted *f);

/* ---- emit_calls.c ------------------------------------------------------------------------------ */

/* The function of p (one: for one instance), which is written if it has not been; the function that calls it
   has what it has. False with the graph's error. */
bool tg__emit_called(tg__emitter *e, const tg_program *p, bool one, tg__emitted *f);

/* How many operands of a node, the last ones, are not read: a gradient of a loop needs its result for
   checkpoints only, of which C has its own. */
uint32_t tg__emit_unused(const tg__emitter *e, uint32_t id);

/* "fit_step1(", or of one that may fail "if (!fit_step1("; ", ", but before the first; and the end. */
void tg__open_call(tg__emitter *e, const tg__emitted *f);
void tg__separate(tg__emitter *e, bool *first);
void tg__close_call(tg__emitter *e, const tg__emitted *f);

/* Makes of operands that no pointer could find adjacent copies, which the next two take. */
void tg__copy_operands(const tg__writing *w);

/* A pointer to operand number which, and `more` elements on, if that is not NULL; the element there. */
void tg__write_pointer(const tg__writing *w, uint32_t which, const char *more);
void tg__write_element(const tg__writing *w, uint32_t which, const char *index);

/* name[offset + j] = the elements of x, row-major. */
void tg__copy_elements(tg__emitter *e, const char *name, int64_t offset, uint32_t x);

/* "v5 + 12", name being v; "3 * place". */
void tg__write_place(tg__emitter *e, const char *name, uint32_t id, int64_t offset);
void tg__name_place(int64_t n, char text[40]);

/* ---- emit_scans.c ------------------------------------------------------------------------------ */

void tg__emit_scan(const tg__writing *w);
void tg__emit_scan_gradient(const tg__writing *w);

#endif
