/* The op table's row, and what a row's rules see. An op is written in one place: a line in elementwise.c, or a block in a
   family's file, as CONTRIBUTING.md shows. The generator (generate.c) reads those files and makes everything else of them.

   Letters, one per operand: l the result is linear (or affine) in it, n it is not, 0 its gradient is zero, i it is an index
   tensor, a it may be either (n, or i for integers), c its elements are copied (l, and integers give integers); a last '*' repeats the letter before it (any number of operands).

   Rules know no tape: they get arrays, and report what is wrong with tg__fail. */
#ifndef TG_OPS_OP_H
#define TG_OPS_OP_H

#include <tapegrad/attributes.h>
#include <tapegrad/custom.h>
#include <tapegrad/table.h>

#include "base/arena.h"
#include "base/shape.h"
#include "kernels/kernels.h"

typedef struct tg__op tg__op;

/* One call of a rule. shape sees x[i].s and attributes only; forward also the data of x and y; backward g, y and dx too. */
typedef struct tg__call {
    const tg__op *op;
    int code; /* op's place in the table */
    const tg__kernels *k; /* for the floating type of this call */
    const void *attributes;
    int n;                /* operands */
    const tg__array *x;   /* x[i]: operands, any strides */
    tg__array y;          /* the result: row-major, adjacent */
    const void *g;        /* dL/dy: as y */
    const tg__array *dx;  /* dx[i]: add dL/dx[i] here; p is NULL if it is not wanted. Shape and strides as x[i] */
    bool fresh; /* dx[i] is adjacent and to be overwritten: given to ops that heed it only (TG_OP_WRITES) */
    void *kept; /* room for what forward keeps for backward, which reads it and then heeds fresh; NULL: nothing
                   is kept. Given to ops that have a rule for it only (TG_OP_KEEPS) */
    size_t planes;       /* to these too: more than 1: g is so many, one behind the other, and dx[i] ... */
    const size_t *steps; /* ... where that of the first one goes, the others steps[i] elements apart */
    uint64_t run;         /* what draws random numbers adds this to the run of its attributes ... */
    int64_t first;        /* ... and begins at this position of a row */
    tg__arena *scratch;
    char *message;        /* for tg__fail */
    size_t message_size;
} tg__call;

/* Writes the reason, without the op's name, and returns code: return tg__fail(c, TG_ERROR_SHAPE, "...", ...); */
__attribute__((format(printf, 3, 4))) tg_code tg__fail(const tg__call *c, tg_code code, const char *format, ...);

/* The same for an axis that s does not have. */
tg_code tg__no_axis(const tg__call *c, int axis, const tg__shape *s);

/* Of ops with tg_reduce_attributes: the axes that a call reduces, as bits; where these are the last ones, how many
   elements they have together, else 0; the shape of its result. */
tg_code tg__reduced_axes(const tg__call *c, unsigned *axes);
int64_t tg__reduced_rows(const tg__call *c);
tg_code tg__reduced_shape(const tg__call *c, tg__shape *y);

/* Memory for the duration of one rule, aligned to 64 bytes; NULL when there is none (return TG_ERROR_MEMORY then). */
void *tg__scratch(const tg__call *c, size_t bytes);

/* The call's kernels, for what only reads, adds or writes each element of s (kernels.h). */
static inline const tg__kernels *tg__streaming(const tg__call *c, const tg__shape *s)
{
    return (size_t)s->n * tg__type_size(s->type) > TG__FIRST_CACHE ? c->k->narrow : c->k;
}

/* Makes a an array with the same elements, adjacent: itself or a copy, whose shape s becomes. */
tg_code tg__make_adjacent(const tg__call *c, tg__array *a, tg__shape *s);

/* a: an adjacent array to add a gradient to, dx itself or zeros that tg__target_end adds to dx. */
tg_code tg__target_begin(const tg__call *c, tg__array dx, tg__array *a, tg__shape *s);
void tg__target_end(const tg__call *c, tg__array dx, tg__array a);

/* x with adjacent elements: its own, or a copy of them in scratch memory. NULL when there is none. */
void *tg__adjacent(const tg__call *c, tg__array x);

/* Where adjacent elements of the gradient by operand i are added: dx[i] itself, or zeros that
   tg__gradient_end adds to it. NULL when there is no memory. */
void *tg__gradient_begin(const tg__call *c, int i);
void tg__gradient_end(const tg__call *c, int i, void *p);

/* y = x and y += x, for arrays of the same type and dimensions and any strides. (y with stride 0 sums.) */
void tg__copy(const tg__kernels *k, tg__array y, tg__array x);
void tg__add(const tg__kernels *k, tg__array y, tg__array x);

/* Rules. shape fills type, rank and dim of y. view fills all of y but n, and the offset in elements of its first element
   from that of x[0]; it returns TG__COPY if that needs x[0] with adjacent elements. */
#define TG__COPY ((tg_code)-1)
typedef tg_code tg__shape_rule(const tg__call *c, tg__shape *y);
typedef tg_code tg__view_rule(const tg__call *c, tg__shape *y, int64_t *offset);
typedef tg_code tg__rule(const tg__call *c);

/* How many elements of the floating type forward keeps for backward by operand 0, for the shapes x[i].s; 0: none.
   Where the call is for several instances at once, as many times those of one, one behind the other. */
typedef int64_t tg__kept_rule(const tg__call *c);

/* ---- derivatives as recorded operations ------------------------------------------------------------------------------- */

/* Where a derivative rule puts what it records: ops know no tape. After an error it records nothing more, apply gives
   null values, and shape some shape. */
typedef struct tg__recorder tg__recorder;
typedef struct tg__derivation tg__derivation;
struct tg__recorder {
    tg_value (*apply)(tg__recorder *r, int code, const tg_value *x, int n, const void *attributes);
    bool linear; /* only what depends on g will be differentiated again: the others are as constants */
    void (*fail)(tg__recorder *r, const char *why); /* an error of the op being differentiated */
    tg_value (*number)(double x);                                  /* an operand */
    tg_value (*zeros)(tg__recorder *r, const tg__shape *s);        /* of the floating type */
    const tg__shape *(*shape)(const tg__recorder *r, tg_value v);
    /* Calls a user's .derivative, which records on a tape. NULL: values are of one. */
    void (*custom)(tg__recorder *r, tg__derivation *d, const tg_custom *op);
};

/* One call of a derivative rule: for every wanted operand it sets dx[i] to a value recorded from x, y and g = dL/dy, of
   x[i]'s shape, or of one to which x[i] broadcasts (the caller sums it up). What it does not set is zero. It uses the
   functions d_NAME(d, operands, attributes), one for every op. */
struct tg__derivation {
    tg__recorder *to;
    int code;
    const void *attributes;
    int n;
    const tg_value *x;
    tg_value y, g;
    const bool *wanted;
    tg_value *dx;
};
typedef void tg__derive_rule(tg__derivation *d);

const tg__shape *tg__shape_of(const tg__derivation *d, tg_value v);
tg_value tg__zeros(const tg__derivation *d, const tg__shape *s);
tg_value tg__reshaped(const tg__derivation *d, tg_value x, int rank, const int64_t *dim);
tg_value tg__broadcasted(const tg__derivation *d, tg_value x, const tg__shape *s);

/* Of ops with tg_reduce_attributes: v, of y's shape, with the reduced axes as axes of length 1. */
tg_value tg__kept(const tg__derivation *d, tg_value v);

/* ---- rows ------------------------------------------------------------------------------------------------------------- */

/* Operands for the generated checks: for each operand its range (indices: whole numbers lo ... hi) and shape; and what
   the diagonals of its last two axes get in addition. */
typedef struct tg__sample {
    double lo, hi;
    int rank;
    int64_t dim[TG_MAX_RANK];
    double diagonal;
} tg__sample;

#define TG__SAMPLES 4
typedef struct tg__case {
    int n; /* operands; 0 ends the list */
    tg__sample x[TG__SAMPLES];
    const void *attributes; /* NULL: the defaults */
} tg__case;

#define SCALAR(lo, hi) { lo, hi, 0, { 0 }, 0 }
#define TENSOR(lo, hi, ...) \
    { lo, hi, (int)(sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), { __VA_ARGS__ }, 0 }

#define ATTRIBUTES(KIND, ...) (&(const tg_##KIND##_attributes){ TG_DEFAULTS_##KIND, __VA_ARGS__ })

typedef enum tg__kind { TG__MAP, TG__OP, TG__VIEW } tg__kind;

/* What attributes an op takes: the name of the struct, its size, its defaults, its fields for access by name. */
typedef enum tg__field_type { TG__INT, TG__INT64, TG__BOOL, TG__DOUBLE, TG__AXES, TG__LIST, TG__REDUCTION, TG__EQUATION } tg__field_type;

typedef struct tg__field {
    const char *name;
    tg__field_type type;
    size_t offset;
} tg__field;

typedef struct tg__attributes {
    const char *name; /* "reduce" */
    size_t size;
    const void *defaults;
    int fields;
    tg__field field[10];
} tg__attributes;

/* Room for any that can be given as text. */
enum { TG__ATTRIBUTES_BYTES = 256 };

/* One per attribute struct of tapegrad/attributes.h, defined in attributes.c. */
extern const tg__attributes tg__attributes_none, tg__attributes_reduce, tg__attributes_softmax, tg__attributes_axis,
    tg__attributes_every, tg__attributes_last, tg__attributes_swap, tg__attributes_span, tg__attributes_slice,
    tg__attributes_select, tg__attributes_offset, tg__attributes_roll, tg__attributes_pad, tg__attributes_classes,
    tg__attributes_conv, tg__attributes_conv_transpose, tg__attributes_max_pool, tg__attributes_avg_pool,
    tg__attributes_loss, tg__attributes_triangular, tg__attributes_einsum, tg__attributes_huber,
    tg__attributes_smooth_l1, tg__attributes_labels, tg__attributes_smoothed, tg__attributes_targets,
    tg__attributes_normalize, tg__attributes_groups, tg__attributes_attention, tg__attributes_order,
    tg__attributes_topk, tg__attributes_split, tg__attributes_dropout, tg__attributes_custom, tg__attributes_call,
    tg__attributes_strided,
    tg__attributes_conv_weight, tg__attributes_guard, tg__attributes_avg_pool_shares, tg__attributes_list;

/* A user's operation: see custom.c. */
typedef struct tg_custom_attributes {
    const tg_custom *op;
    int operand; /* custom_gradient: which one it is by */
    bool linear; /* custom_gradient: only the dependence on g will be differentiated */
} tg_custom_attributes;
#define TG_DEFAULTS_custom .op = NULL
enum { TG__CUSTOM_OPERANDS = 64 };

/* What a call calls: rules as those of an op. See call.c and the program room. */
typedef struct tg__callee {
    const char *name;
    tg__shape_rule *shape;
    tg__rule *forward, *backward;
    tg__derive_rule *derive;
    bool hides; /* there is an operand which its rules have no derivative by: no differences are held against it */
} tg__callee;

/* No byte of it is padding: calls are compared. */
typedef struct tg_call_attributes {
    const tg__callee *callee;
    const void *what; /* a program, which outlives the tape; of a function the tape */
    const void *transposed; /* the program of which that is the transposed derivative, by what is wanted */
    void *user;
    void (*function)(void);
    int64_t steps, slots;
    uint64_t wanted; /* of a gradient: by which inputs, as bits */
    uint64_t along;  /* of a gradient's transposed derivative: by which inputs that is */
    uint32_t states, each, summed, flags;
} tg_call_attributes;
#define TG_DEFAULTS_call .callee = NULL

enum {
    TG__CALL_IMPURE = 1,     /* never merged, computed beforehand or again */
    TG__CALL_ONE_THREAD = 2, /* not by two threads at once */
    TG__CALL_ONE = 4,        /* there is one instance, which has no axis */
    TG__CALL_STOP = 8,       /* scans: the body's last output ends it */
    TG__CALL_COUNTED = 16,   /* the last operand is how many steps */
    TG__CALL_REVERSE = 32,   /* from the last step to the first */
    TG__CALL_LINEAR = 64,    /* gradients: only what depends on cotangents is differentiated */
};

/* Part of an array: see strided in layout.c. No public op takes it. */
typedef struct tg_strided_attributes {
    int rank, whole_rank;
    int64_t offset, dim[TG_MAX_RANK], stride[TG_MAX_RANK];
    int64_t whole[TG_MAX_RANK]; /* the dimensions of the array */
} tg_strided_attributes;
#define TG_DEFAULTS_strided .rank = 0

/* What a condition was when it was recorded: see guard.c. No public op takes it. */
typedef struct tg_guard_attributes {
    bool expected;
} tg_guard_attributes;
#define TG_DEFAULTS_guard .expected = true

/* Rows of targets made of labels: see targets in classes.c. No public op takes it. */
typedef struct tg_targets_attributes {
    int64_t classes, ignore_index;
    double label_smoothing;
} tg_targets_attributes;
#define TG_DEFAULTS_targets .classes = 0, .ignore_index = TG_NO_INDEX, .label_smoothing = 0.0
/* The gradients of conv1d and conv2d by the kernel, and of avg_pool2d: what is not to be seen from
   their operands. */
typedef struct tg_conv_weight_attributes {
    tg_conv_attributes conv;
    int axes; /* of the kernel */
    int64_t kernel[2];
} tg_conv_weight_attributes;
#define TG_DEFAULTS_conv_weight .conv = { TG_DEFAULTS_conv }, .axes = 2, .kernel = { 1, 1 }

typedef struct tg_avg_pool_shares_attributes {
    tg_avg_pool_attributes pool;
    int64_t length[2]; /* of the last axes of what is pooled */
} tg_avg_pool_shares_attributes;
#define TG_DEFAULTS_avg_pool_shares .pool = { TG_DEFAULTS_avg_pool }, .length = { 1, 1 }

struct tg__op {
    const char *name;
    const char *letters;
    const char *doc;
    tg__kind kind;
    const tg__attributes *attributes;
    tg__shape_rule *shape;       /* ops */
    tg__view_rule *view;         /* views */
    tg__rule *forward;           /* ops */
    tg__rule *backward;          /* ops; NULL if every letter is 0 or i */
    tg__derive_rule *derive;     /* maps and ops: the same as recorded operations; NULL as backward */
    bool writes;                 /* backward heeds fresh and planes, and reads no y */
    tg__kept_rule *kept;         /* ops: NULL: it keeps nothing */
    const tg__case *cases;       /* ops and views */
    const char *value;           /* maps: the formula, in x or in a, b, c */
    const char *derivative[3];   /* maps: of the result with respect to each operand, also in the result y */
    struct { double lo, hi; } range[3]; /* maps: for the checks */
};

/* A block starts with its row. The rules and CASES follow; a missing one does not compile. */
#define TG_OP(NAME, LETTERS, ATTRIBUTES, DOC) TG__OP_ROW(NAME, LETTERS, ATTRIBUTES, DOC, false)

/* The same for an op whose BACKWARD does not read y and heeds fresh: it writes a gradient that is the first one, where others get zeros to add to;
   and planes: it takes several cotangents at once, where others are called for each. */
#define TG_OP_WRITES(NAME, LETTERS, ATTRIBUTES, DOC) TG__OP_ROW(NAME, LETTERS, ATTRIBUTES, DOC, true)

/* The same for an op whose FORWARD can keep what its BACKWARD would compute again: KEPT says how much. */
#define TG_OP_KEEPS(NAME, LETTERS, ATTRIBUTES, DOC)                                                            \
    static tg__kept_rule NAME##_kept;                                                                          \
    TG__OP_ROW(NAME, LETTERS, ATTRIBUTES, DOC, false, .kept = NAME##_kept)

#define TG__OP_ROW(NAME, LETTERS, ATTRIBUTES, DOC, ...)                                                     \
    static tg__shape_rule NAME##_shape;                                                                        \
    static tg__rule NAME##_forward, NAME##_backward;                                                           \
    static tg__derive_rule NAME##_derive;                                                                      \
    TG__ROW(NAME, LETTERS, ATTRIBUTES, DOC, .kind = TG__OP, .shape = NAME##_shape, .forward = NAME##_forward,  \
            .backward = NAME##_backward, .derive = NAME##_derive, .writes = __VA_ARGS__,                       \
            .cases = tg__##NAME##_cases)

/* The same for an op without any gradient: no BACKWARD, no DERIVATIVE. */
#define TG_OP_ZERO(NAME, LETTERS, ATTRIBUTES, DOC)                                                             \
    static tg__shape_rule NAME##_shape;                                                                        \
    static tg__rule NAME##_forward;                                                                            \
    TG__ROW(NAME, LETTERS, ATTRIBUTES, DOC, .kind = TG__OP, .shape = NAME##_shape, .forward = NAME##_forward,  \
            .cases = tg__##NAME##_cases)

/* An op that only looks at its operand in another way. */
#define TG_VIEW(NAME, ATTRIBUTES, DOC)                                                                         \
    static tg__view_rule NAME##_view;                                                                          \
    TG__ROW(NAME, "l", ATTRIBUTES, DOC, .kind = TG__VIEW, .view = NAME##_view, .cases = tg__##NAME##_cases)

/* An op with several results, packed one behind the other along its last axis. In the table it is one like any other; its
   public function (tapegrad/factors.h) takes the results apart, and is none of the generator's. */
#define TG_OP_PACKED TG_OP

/* Ops that are there only because the derivatives of others need them: no public function. */
#define TG_PART TG_OP
#define TG_PART_ZERO TG_OP_ZERO
#define TG_PART_VIEW TG_VIEW

#define TG__ROW(NAME, LETTERS, ATTRIBUTES, DOC, ...)                                                           \
    extern const tg__case tg__##NAME##_cases[];                                                                \
    extern const tg__op tg__op_##NAME;                                                                         \
    const tg__op tg__op_##NAME = { .name = #NAME, .letters = LETTERS, .doc = DOC,                              \
                                   .attributes = &tg__attributes_##ATTRIBUTES, __VA_ARGS__ };

#define SHAPE(NAME) static tg_code NAME##_shape(const tg__call *c, tg__shape *y)
#define VIEW(NAME) static tg_code NAME##_view(const tg__call *c, tg__shape *y, int64_t *offset)
#define FORWARD(NAME) static tg_code NAME##_forward(const tg__call *c)
#define BACKWARD(NAME) static tg_code NAME##_backward(const tg__call *c)
#define KEPT(NAME) static int64_t NAME##_kept(const tg__call *c)
#define DERIVATIVE(NAME) static void NAME##_derive(tg__derivation *d)
#define CASES(NAME, ...) const tg__case tg__##NAME##_cases[] = { __VA_ARGS__, { .n = 0 } };

/* A second name for an op: TG_ALIAS(softmax, softargmax). Read by the generator. */
#define TG_ALIAS(NAME, OP)

/* Elementwise ops: one line each. See elementwise.c. */
#define TG__UNPACK(...) __VA_ARGS__
#define TG_MAP1(NAME, LETTERS, DOC, VALUE, DX, RX)                                                             \
    TG__MAP_ROW(NAME, LETTERS, DOC, #VALUE, .derivative = { #DX }, .range = { { TG__UNPACK RX } })
#define TG_MAP2(NAME, LETTERS, DOC, VALUE, DA, DB, RA, RB)                                                     \
    TG__MAP_ROW(NAME, LETTERS, DOC, #VALUE, .derivative = { #DA, #DB },                                        \
                .range = { { TG__UNPACK RA }, { TG__UNPACK RB } })
#define TG_MAP3(NAME, LETTERS, DOC, VALUE, DA, DB, DC, RA, RB, RC)                                             \
    TG__MAP_ROW(NAME, LETTERS, DOC, #VALUE, .derivative = { #DA, #DB, #DC },                                   \
                .range = { { TG__UNPACK RA }, { TG__UNPACK RB }, { TG__UNPACK RC } })
/* Where a derivative that is 0 must contribute exactly 0, whatever comes in (where, maximum). */
#define TG_PICK1 TG_MAP1
#define TG_PICK2 TG_MAP2
#define TG_PICK3 TG_MAP3

/* Parts of other derivatives, as TG_PART. */
#define TG_PART1 TG_MAP1
#define TG_PART2 TG_MAP2
#define TG_PART3 TG_MAP3
#define TG_PART_PICK2 TG_PICK2

#define TG__MAP_ROW(NAME, LETTERS, DOC, TEXT, ...)                                                             \
    extern const tg__op tg__op_##NAME;                                                                         \
    const tg__op tg__op_##NAME = { .name = #NAME, .letters = LETTERS, .doc = DOC, .kind = TG__MAP,             \
                                   .attributes = &tg__attributes_none, .shape = tg__map_shape,                 \
                                   .forward = tg__map_forward, .backward = tg__map_backward,                   \
                                   .derive = tg__map_derive,                                                   \
                                   .value = TEXT, __VA_ARGS__ };
tg__shape_rule tg__map_shape;
tg__rule tg__map_forward, tg__map_backward;
tg__derive_rule tg__map_derive; /* from the derivative's text: derive.c */

/* The same for one operand, by code and operand: what it contributes is made of d's code, x, y and g; NULL: nothing. */
typedef tg_value tg__contribution(const tg__derivation *d);
extern tg__contribution *const tg__contributions[][3];

/* The name for messages: a user's operation has its own. */
const char *tg__op_name(const tg__op *op, const void *attributes);

/* The code of the op with this name (second names too), or 0. */
int tg__find(const char *name);

/* Code 0. */
extern const tg__op tg__op_leaf;

/* All ops; the index is the op's code (generated: codes.h). */
extern const tg__op *const tg__ops[];
extern const int tg__op_count;

/* The number of operands that letters ask for; -1: any number of at least one. */
static inline int tg__operands(const char *letters)
{
    int n = 0;
    while (letters[n]) n++;
    return n && letters[n - 1] == '*' ? -1 : n;
}

/* The letter of operand i of those that there are. */
static inline char tg__letter(const char *letters, int i)
{
    return letters[1] == '*' ? letters[0] : letters[i];
}

/* Whether a derivative by an operand with this letter may be other than 0. */
static inline bool tg__is_differentiable(char letter)
{
    return letter != '0' && letter != 'i';
}

#include "derive.h" /* generated: d_NAME */

#endif
