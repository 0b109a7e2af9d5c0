/* The tape's own data: what record.c writes and backward.c reads.

   Values lie in one arena of the tape's type, adjoints in another at the same offsets, integers in
   a third. An id is the offset of a scalar in the value arena, or, with its top bit set, the index
   of a descriptor. A view is a descriptor over another value's elements, never an instruction. An
   instruction of the form (op, y, a, b) holds ids; with TG__POOL set, a is the place in the pool of
   b operands, followed by the attributes. Instructions lie in the order of their results in the
   value arena. */
#ifndef TG_TAPE_TAPE_H
#define TG_TAPE_TAPE_H

#include <tapegrad/inline.h>
#include <tapegrad/tape.h>

#include "base/arena.h"
#include "base/shape.h"
#include "codes.h" /* generated: op codes */
#include "ops/op.h"

#define TG__DESCRIPTOR 0x80000000u
#define TG__NO_INSTRUCTION UINT32_MAX

/* Flags of instructions. A plain scalar instruction has none. */
enum {
    TG__TENSOR = 1,   /* the result or an operand is no scalar of the value arena */
    TG__POOL = 2,     /* operands and attributes are in the pool */
    TG__INACTIVE = 4, /* no gradient flows through it */
    TG__CUT = 8,      /* because it was recorded in a scope without gradients */
};

/* Flags of descriptors. */
enum {
    TG__ACTIVE = 1, /* has a gradient */
    TG__OWNER = 2,  /* the result of an instruction, not a view */
    TG__ASKED = 4,  /* a leaf that tg_want_gradient was asked about */
    TG__DETACHED = 8, /* a view through which no gradient flows, whoever asks: also of inputs, in programs */
};

typedef struct tg__descriptor {
    tg__shape s;
    uint32_t offset; /* of the first element, in the arena of its type; adjoints lie there too */
    uint32_t flags;
    uint32_t maker;       /* of integers: the instruction that made the elements */
    const void *external; /* first element in the caller's memory, or NULL: in the arena */
} tg__descriptor;

/* Everything from one mark to the next. */
typedef struct tg__segment {
    uint32_t generation; /* of its handles: new at every release */
    uint32_t mark;       /* of the mark that opened it */
    uint32_t values, code, runs;
    size_t integers, descriptors, pool, names, effects; /* bytes */
} tg__segment;

/* Instructions from ... to (without) may use the leaf made by instruction leaf, which has been
   written since. */
typedef struct tg__stale {
    uint32_t leaf, from, to;
} tg__stale;

typedef struct tg__constant {
    double x;
    uint32_t generation;
    uint32_t id;
    uint32_t descriptor; /* the same as an inactive tensor of rank 0; 0: not made yet */
} tg__constant;

/* Something larger that operations are being recorded for. Adds its words to the end of the
   messages of errors meanwhile; text has room for size characters. */
typedef struct tg__context tg__context;
struct tg__context {
    void (*describe)(const tg__context *c, char *text, size_t size);
};

/* What happened beside the values, for programs: replayed, it would have to happen again. */
typedef enum tg__effect_kind { TG__READ, TG__READ_ALL, TG__GUARD, TG__IMPURE } tg__effect_kind;

typedef struct tg__effect {
    tg__effect_kind kind;
    uint32_t id;   /* of the value read, or made by the guard or the user's operation */
    uint32_t code; /* instructions there were */
    tg_site site;  /* of reading */
} tg__effect;

enum { TG__CONSTANTS = 64 };

struct tg_tape {
    tg__head head; /* first: the inlined operations find it there */
    tg_type type;
    size_t element;
    const tg__kernels *k;
    tg__memory memory;
    tg__arena code, values, adjoints, integers, descriptors, pool, runs, names, effects, segments,
        files, stale, scratch, walk, elements;
    tg__segment *top;     /* the newest */
    uint32_t generations; /* given out so far; saturates */
    int no_grad;
    uint32_t graded; /* values below this offset have the gradients of the last backward */
    char *adjoint;   /* of everything, at the offsets of the values; with several planes as it says below */
    size_t planes, plane; /* cotangents of the last backward; which one's gradients are in use */
    bool flagged;         /* it was one by planes: there are flags */
    uint32_t ops_known, ops_end; /* ops_end ... ops_known - 1 are all leaves */
    tg__constant constant[TG__CONSTANTS];
    const tg__context *context; /* or NULL */
    tg_tape *inner; /* what is recorded and not kept is recorded there; NULL: not made yet */
    bool failed;
    tg_error error;
    char message[512];
    tg_error_handler *on_error;
    void *user;
};

/* ---- errors (error.c) ------------------------------------------------------------------------ */

/* Makes the error the tape's, unless it has one already; tape NULL: goes to the process-wide
   handler. Returns a null value of the tape. */
__attribute__((format(printf, 5, 6))) tg_value tg__error(tg_tape *t, tg_code code, const char *op,
                                                         const tg_site *site, const char *format,
                                                         ...);

/* Gives t the error that the other tape has, without reporting it a second time. */
void tg__error_too(tg_tape *t, const tg_tape *other);

/* ---- room (tape.c) --------------------------------------------------------------------------- */

/* Room for so many more elements in the value arena, and one more instruction. */
bool tg__room(tg_tape *t, uint64_t elements);

/* Elements of a cache line. */
static inline uint32_t tg__line(const tg_tape *t)
{
    return t->type == TG_F64 ? 8 : 16;
}

/* Moves the end of the value arena to where a tensor of n elements should begin, for which and 64
   bytes more there is room: longer ones begin at a cache line, so that vectors do not straddle two.
 */
static inline void tg__align(tg_tape *t, uint64_t n)
{
    const uint32_t line = tg__line(t);
    if (n >= 2 * line) t->head.n_values = (t->head.n_values + line - 1) & ~(line - 1);
}

/* Sets head.limit from what room there is, or to 0 if something is out of the way of inlined
   operations. */
static inline void tg__set_limit(tg_tape *t)
{
    t->head.limit = 0;
    if (t->failed || t->no_grad || t->type != TG_F64) return;
    size_t values = t->values.capacity / sizeof(double);
    const size_t code = t->code.capacity / sizeof(tg__instruction) - t->head.n_code;
    if (values > INT32_MAX) values = INT32_MAX;
    if (values > t->head.n_values + code) values = t->head.n_values + code;
    t->head.limit = (uint32_t)values;
}

/* Appends an instruction for which there is room. False: no memory for its position. */
bool tg__emit(tg_tape *t, int op, int flags, uint32_t y, uint32_t a, uint32_t b,
              const tg_site *site);

/* A new descriptor's id, or 0 when there is no memory. */
uint32_t tg__describe(tg_tape *t, const tg__shape *s, uint32_t offset, uint32_t flags,
                      const void *external);

/* The same for a view of base's elements, the first of them delta elements behind base's first. What is detached
   stays so. */
uint32_t tg__describe_view(tg_tape *t, uint32_t base, const tg__shape *s, int64_t delta, uint32_t flags);

static inline tg__segment *tg__segments(const tg_tape *t)
{
    return (tg__segment *)(void *)t->segments.data;
}

static inline uint32_t tg__segment_count(const tg_tape *t)
{
    return (uint32_t)(t->segments.used / sizeof(tg__segment));
}

static inline tg__descriptor *tg__descriptor_of(const tg_tape *t, uint32_t id)
{
    return (tg__descriptor *)(void *)t->descriptors.data + (id & ~TG__DESCRIPTOR);
}

/* ---- effects (effects.c) ----------------------------------------------------------------------- */

/* Notes an effect by or on a value. False: no memory, which is the tape's error then. */
bool tg__note(tg_tape *t, tg__effect_kind kind, uint32_t id, const tg_site *site);

static inline const tg__effect *tg__effects(const tg_tape *t, size_t *n)
{
    *n = t->effects.used / sizeof(tg__effect);
    return (const tg__effect *)(void *)t->effects.data;
}

/* ---- handles and where things lie (handle.c) ------------------------------------------------- */

/* Whether the handle is one of this tape's, not released since: by the segments from the newest on.
 */
bool tg__is_live_somewhere(const tg_tape *t, tg_value v);

static inline bool tg__is_live(const tg_tape *t, tg_value v)
{
    const uint64_t at = (v.id & ~TG__DESCRIPTOR) * (uint64_t)sizeof(tg__descriptor);
    const bool newest = v.id & TG__DESCRIPTOR && v.generation == t->head.generation;
    if (newest && at >= t->top->descriptors && at < t->descriptors.used) return true;
    return tg__is_live_somewhere(t, v);
}

/* The tape of a live handle; NULL after leaving the error on it (or nowhere, if it has none). what
   names the caller. */
tg_tape *tg__tape_of(tg_value v, const char *what, const tg_site *site);

extern const tg__shape tg__scalar_shape[2]; /* by floating type */

static inline tg__array tg__value_array(const tg_tape *t, uint32_t id)
{
    if (!(id & TG__DESCRIPTOR))
        return (tg__array){ &tg__scalar_shape[t->type], t->values.data + id * t->element };
    const tg__descriptor *d = tg__descriptor_of(t, id);
    if (d->external) return (tg__array){ &d->s, (void *)(uintptr_t)d->external };
    const tg__arena *a = d->s.type == TG_I64 ? &t->integers : &t->values;
    return (tg__array){ &d->s, a->data + d->offset * tg__type_size(d->s.type) };
}

/* Gradients for several cotangents are kept in planes. What an instruction makes, n elements from an
   offset on, has its planes at planes * offset, n elements after n elements: so those of a scalar are
   adjacent, and each of a tensor's is as its elements are. */
typedef struct tg__adjoints {
    tg__array first;
    size_t step; /* elements from one plane to the next */
} tg__adjoints;

tg__adjoints tg__adjoint_planes(const tg_tape *t, uint32_t id);

/* While there are planes: by offset in the value arena, what is there. */
enum {
    TG__PART = 1, /* an element of a tensor: its planes are not adjacent */
    TG__UNWANTED = 2, /* no gradient through it is wanted: it has none, not even zeros */
};

static inline uint8_t *tg__plane_flags(const tg_tape *t)
{
    return (uint8_t *)(t->adjoints.data + t->adjoints.used);
}

/* In the plane in use. Room must have been made. */
static inline tg__array tg__adjoint_array(const tg_tape *t, uint32_t id)
{
    if (t->planes > 1) {
        const tg__adjoints all = tg__adjoint_planes(t, id);
        return (tg__array){ all.first.s,
                            (char *)all.first.p + t->plane * all.step * t->element };
    }
    if (!(id & TG__DESCRIPTOR))
        return (tg__array){ &tg__scalar_shape[t->type], t->adjoint + id * t->element };
    const tg__descriptor *d = tg__descriptor_of(t, id);
    return (tg__array){ &d->s, t->adjoint + d->offset * t->element };
}

/* Scalars of the value arena always are. */
static inline bool tg__is_active(const tg_tape *t, uint32_t id)
{
    return !(id & TG__DESCRIPTOR) || tg__descriptor_of(t, id)->flags & TG__ACTIVE;
}

/* The instruction that made the value, or that a view's elements belong to. */
uint32_t tg__maker(const tg_tape *t, uint32_t id);

/* Where the result of an instruction begins in the value arena; UINT32_MAX if it is a tensor of
   integers. */
uint32_t tg__start_of(const tg_tape *t, uint32_t instruction);

/* The generation of what the instruction made. */
uint32_t tg__generation_of(const tg_tape *t, uint32_t instruction);

/* The handle of the value with this id. */
tg_value tg__handle(tg_tape *t, uint32_t id);

/* The name of an instruction's op; a user's operation has its own. */
const char *tg__name_at(const tg_tape *t, uint32_t instruction);

/* tg_grad_values; with linear only what depends on the cotangents will be differentiated again
   (derivative.c). */
bool tg__grad_values(bool linear, const tg_value *outputs, const tg_value *cotangents, int n,
                     const tg_value *wrt, int m, tg_value *gradients, const tg_site *site);

/* The gradients of sum(cotangent * root) by the m values wrt, for count cotangents: tg_choose_gradient.
   Several are walked only where they lead there, and what else has a gradient is nobody's: at the end
   tg__gradients_end is to be called, after which there are none. */
bool tg__backward_by(tg_value root, const double *cotangent, size_t count, const tg_value *wrt, int m);
void tg__gradients_end(tg_tape *t);

/* Room for gradients of everything on the tape, all zero now: tg__adjoint_array. False: no memory. */
bool tg__clear_gradients(tg_tape *t);

/* Whether the value has a gradient: for scalars this looks at their instruction. */
bool tg__has_gradient(const tg_tape *t, uint32_t id);

/* The operands of an instruction, and how many. */
static inline const uint32_t *tg__operand_ids(const tg_tape *t, const tg__instruction *in,
                                              uint32_t room[2], int *n)
{
    if (in->flags & TG__POOL) {
        *n = (int)in->b;
        return (const uint32_t *)(void *)t->pool.data + in->a;
    }
    const char *const letters = in->op == TG__LEAF ? "" : tg__ops[in->op]->letters;
    *n = !letters[0] ? 0 : letters[1] ? 2 : 1;
    room[0] = in->a;
    room[1] = in->b;
    return room;
}

/* The attributes of an instruction. */
static inline const void *tg__attributes_of(const tg_tape *t, const tg__instruction *in)
{
    if (!(in->flags & TG__POOL)) return NULL;
    return t->pool.data + ((in->a + (size_t)in->b) * sizeof(uint32_t) + 7) / 8 * 8;
}

/* Where an instruction was recorded; file NULL if unknown. */
tg_site tg__site_of(const tg_tape *t, uint32_t instruction);

/* The same by how many runs of source positions have begun there. */
tg_site tg__site_of_run(const tg_tape *t, uint32_t runs);

/* The leaf of this handle was written: what was recorded from it is out of date. */
bool tg__leaf_written(tg_tape *t, uint32_t leaf);

/* Entries of the stale list, cut to what is still on the tape. */
void tg__stale_cut(tg_tape *t, uint32_t from);

#endif
