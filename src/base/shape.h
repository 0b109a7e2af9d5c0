/* Shapes: types, sizes, strides, broadcasting, and walking over several strided arrays of one shape
   at a time. Knows nothing of tapes. Called from every room above. */
#ifndef TG_BASE_SHAPE_H
#define TG_BASE_SHAPE_H

#include <tapegrad/value.h>

/* What an array looks like. Strides count elements; 0 repeats, negative walks backwards. */
typedef struct tg__shape {
    tg_type type;
    int rank;
    int64_t n; /* the number of elements: the product of dim */
    int64_t dim[TG_MAX_RANK];
    int64_t stride[TG_MAX_RANK];
} tg__shape;

/* y = x, as far as its rank goes: a small operation is as quick as its few shapes are copied. */
static inline void tg__shape_copy(tg__shape *y, const tg__shape *x)
{
    y->type = x->type;
    y->rank = x->rank;
    y->n = x->n;
    for (int i = 0; i < x->rank; i++) {
        y->dim[i] = x->dim[i];
        y->stride[i] = x->stride[i];
    }
}

/* An array: its shape and where its first element lies. */
typedef struct tg__array {
    const tg__shape *s;
    void *p;
} tg__array;

static inline size_t tg__type_size(tg_type type)
{
    return type == TG_F32 ? sizeof(float) : sizeof(double);
}

const char *tg__type_name(tg_type type); /* "f64", "f32", "i64" */

/* Fills n and row-major strides from type, rank and dim. False if a dimension is negative or the
   product does not fit 31 bits (the most that one tensor holds). */
bool tg__shape_finish(tg__shape *s);

/* Whether the elements lie adjacent in row-major order. */
bool tg__shape_contiguous(const tg__shape *s);

/* Whether both have the same axes. */
static inline bool tg__shape_same_dims(const tg__shape *a, const tg__shape *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

/* Makes axis (negative: from the back) a position in 0 ... rank - 1; -1 if there is none such. */
int tg__axis(int axis, int rank);

/* NumPy's broadcasting: y becomes the common shape of a and b, row-major, with a's type. False if
   they have none. y may be a. */
bool tg__broadcast(const tg__shape *a, const tg__shape *b, tg__shape *y);

/* x seen with y's dimensions: strides of repeated axes are 0. x must broadcast to y. */
tg__shape tg__broadcast_to(const tg__shape *x, const tg__shape *y);

/* s's axes among the given ones (bits), with their strides. */
tg__shape tg__shape_part(const tg__shape *s, unsigned axes);

/* Writes "(2, 3)" into text, which has room for size characters. Returns text. */
char *tg__shape_text(const tg__shape *s, char *text, size_t size);
#define TG__SHAPE_TEXT(s)                                                                          \
    tg__shape_text((s), (char[TG_MAX_RANK * 22 + 3]){ 0 }, TG_MAX_RANK * 22 + 3)

/* A walk over the rows of up to TG__WALK arrays that have the same dimensions: adjacent axes are
   merged where all strides allow, the innermost axis is left to the caller.

       tg__walk w;
       tg__walk_begin(&w, 2, (const tg__array[]){ y, x });
       do kernel(w.n, w.p[0], w.stride[0], w.p[1], w.stride[1]); while (tg__walk_next(&w));

   With no elements w.n is 0 and there is one row. Strides count elements. */
#define TG__WALK 8
typedef struct tg__walk {
    int64_t n; /* the length of a row */
    ptrdiff_t stride[TG__WALK];
    char *p[TG__WALK];
    int arrays;
    int rank; /* of what is outside the row */
    int64_t dim[TG_MAX_RANK];
    int64_t at[TG_MAX_RANK];
    ptrdiff_t step[TG_MAX_RANK][TG__WALK]; /* bytes */
} tg__walk;

void tg__walk_begin(tg__walk *w, int arrays, const tg__array *a);
bool tg__walk_next(tg__walk *w);

/* Asks memory for what an array has at element i of n, elements of so many bytes, if these lie one behind the other and are
   short: so few bytes that the processor sees no stream. */
static inline void tg__walk_ask(const tg__walk *w, int array, int64_t i, int64_t n, ptrdiff_t size)
{
    enum { MOST = 1024, LINE = 64 };
    const ptrdiff_t step = w->stride[array] * size;
    if (step < LINE || step > MOST || i >= n) return;
    const char *const p = w->p[array] + i * step;
    for (ptrdiff_t at = 0; at < step; at += LINE) __builtin_prefetch(p + at);
}

/* Right after the beginning: leaves the innermost axis but one to the caller, too. Returns its length; row[k] is a[k]'s
   stride along it. */
int64_t tg__walk_rows(tg__walk *w, const tg__array *a, ptrdiff_t *row);

#endif
