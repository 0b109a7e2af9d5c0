/* What looking into a tape needs: which instructions a value depends on, names, the operations' rules
   run on arrays beside the tape. The tape itself is only read. */
#ifndef TG_DEBUG_LOOK_H
#define TG_DEBUG_LOOK_H

#include <tapegrad/debug.h>

#include "tape/tape.h"

typedef struct tg__look {
    tg_tape *t;
    tg_status *status;
    const char *what; /* the caller, for messages */
    tg__memory memory;
    tg__arena names, makers, needed, adjoints, scratch, room;
    uint32_t last;     /* the instruction of the value looked from */
    char message[256]; /* of a rule that failed */
} tg__look;

/* Where elements lie in the arena of the tape's floating type: first ... end, counted in elements. */
typedef struct tg__range {
    uint32_t first, end;
} tg__range;

/* An instruction, ready for its rules: call.x are its operands, call.y its result on the tape, dx is
   to be filled by the caller. Lives until the next one. */
typedef struct tg__play {
    tg__call call;
    tg__array *x, *dx;
    const uint32_t *id;
    uint32_t room[2];
} tg__play;

/* Begins to look at root's tape; marks what root depends on. false: status says why. Every look
   begun, even in vain, is to be ended. */
bool tg__look_begin(tg__look *l, const char *what, tg_value root, tg_status *status);

/* The same for the tape as a whole. */
bool tg__look_begin_tape(tg__look *l, const char *what, tg_tape *t, tg_status *status);
void tg__look_end(tg__look *l);

/* Whether v is alive and of the tape; otherwise says of which argument that is not so. */
bool tg__look_takes(tg__look *l, tg_value v, const char *argument);

/* false, for returning. */
__attribute__((format(printf, 3, 4))) bool tg__look_fail(tg__look *l, tg_code code,
                                                         const char *format, ...);
bool tg__look_no_memory(tg__look *l);

/* Zeroed room that lives as long as the look; NULL: it failed. */
void *tg__look_room(tg__look *l, uint64_t n, size_t size);

/* Whether the root depends on this instruction. */
static inline bool tg__look_needs(const tg__look *l, uint32_t i)
{
    return ((const char *)l->needed.data)[i];
}

uint32_t tg__look_maker(const tg__look *l, uint32_t id);

/* The elements of a floating-point value. */
tg__range tg__range_of(const tg_tape *t, uint32_t id);

/* False: no memory. */
bool tg__play_begin(tg__look *l, uint32_t i, tg__play *p);

/* Whether a gradient may flow into operand j of this instruction, and whether any does. */
bool tg__play_wants(const tg__look *l, const tg__play *p, int j);
static inline bool tg__is_inactive(const tg__instruction *in)
{
    return in->op == TG__LEAF || in->flags & TG__INACTIVE;
}

/* Walks backwards from root as tg_backward does, but with adjoints of the look's own. before is
   called for every instruction with a gradient that is not all zero, with that gradient, before its
   rule is run, and after behind it (p->dx are the operands' adjoints then): they return whether to
   go on. Either may be NULL. False: it failed. */
typedef bool tg__visit(tg__look *l, uint32_t i, const tg__play *p, void *user);
bool tg__sweep(tg__look *l, tg_value root, tg__visit *before, tg__visit *after, void *user);

/* The adjoint of a value, after or during a sweep. */
tg__array tg__swept(const tg__look *l, uint32_t id);

/* ---- elements -------------------------------------------------------------------------------- */

/* Where the k-th element, row-major, is from the first one, in elements; and the element. */
int64_t tg__offset_of_element(const tg__shape *s, int64_t k);
double tg__element(tg__array a, int64_t k);
void tg__set_element(tg__array a, int64_t k, double x);

/* The first element that is NaN (nan) or, otherwise, NaN or infinite; -1: none. */
int64_t tg__first_nonfinite(tg__array a, bool nan);

/* Same elements, adjacent ones of a type, for differences and sums. */
static inline double tg__get(const void *p, tg_type type, int64_t i)
{
    return type == TG_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}
static inline void tg__put(void *p, tg_type type, int64_t i, double x)
{
    if (type == TG_F64) ((double *)p)[i] = x;
    else ((float *)p)[i] = (float)x;
}

/* SplitMix64, as a number of magnitude 0.5 to 1.5 of either sign. */
double tg__weight(uint64_t *state);

/* ---- words ----------------------------------------------------------------------------------- */

/* A text of limited length that is written bit by bit. */
typedef struct tg__text {
    char *p;
    size_t size, used;
} tg__text;
__attribute__((format(printf, 2, 3))) void tg__say(tg__text *x, const char *format, ...);

/* The name of a value, or NULL; for a view without one NULL, too. */
const char *tg__look_name(const tg__look *l, uint32_t id);

/* "W", "%12"; of a view "W as (2, 3)", "W[1, 2]". */
void tg__say_value(const tg__look *l, tg__text *x, uint32_t id);

/* To six digits; NaN without a sign. */
void tg__say_number(tg__text *x, double number);

/* "[1, 2, 3, ...]", or the number; at most so many elements. */
void tg__say_elements(tg__text *x, tg__array a, int64_t most);

/* "exp (%7) of model.c:12", "leaf (x) of model.c:3". */
void tg__say_place(tg__text *x, const tg_place *p);

/* "[2, 0]" for the k-th element of this shape; nothing for a scalar. */
void tg__say_element(tg__text *x, const tg__shape *s, int64_t k);

/* "x = [1, 2], %3 = 4": what an instruction computes with. */
void tg__say_operands(const tg__look *l, tg__text *x, uint32_t i);

tg_place tg__place_of(const tg__look *l, uint32_t i);

#endif
