/* The tape: making it, putting leaves on it, reading values, walking it backwards.

   Errors: a call that fails returns false, NULL, NaN or a null value, and leaves its error on the
   tape. The first error stays; from then on the tape does nothing until tg_error_clear or tg_reset,
   so that one check at the end of an expression or of a training step is enough.

   Threads: a tape is used by one thread at a time; two tapes by two threads need no lock. Nothing
   here is global but the handler of tg_set_error_handler.

   Memory: the tape owns its values. Data passed in is copied unless the function's name ends in
   _view. */
#ifndef TAPEGRAD_TAPE_H
#define TAPEGRAD_TAPE_H

#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- making a tape --------------------------------------------------------------------------- */

/* Options of a new tape; zero is each field's default. */
typedef struct tg_tape_options {
    tg_type type;     /* the floating type of its values: TG_F64 (default) or TG_F32 */
    size_t reserve;   /* address space for each arena, in bytes; 0: 4 GiB, less where that is not to
                         be had */
    size_t max_bytes; /* more than this is the no-memory error; 0: no limit */
    const tg_allocator *allocator; /* NULL: the system. With one, arenas grow by doubling instead of
                                      being reserved */
    tg_error_handler *on_error;    /* NULL: the handler of tg_set_error_handler */
    void *user;                    /* passed to on_error */
} tg_tape_options;

/* A new, empty tape, or NULL when there is no memory or an option makes no sense (reported to the
   process-wide handler). options NULL: all defaults. The caller owns it and frees it with
   tg_tape_free. */
TG_API tg_tape *tg_tape_new(const tg_tape_options *options);

/* Frees the tape and everything on it. NULL is fine. Its handles must not be used any more. */
TG_API void tg_tape_free(tg_tape *tape);

/* The floating type of the tape's values. */
TG_API tg_type tg_tape_type(const tg_tape *tape);

/* ---- leaves ---------------------------------------------------------------------------------- */

/* What a leaf is for. Parameters get gradients. Inputs are data: their gradient is computed only
   after tg_want_gradient. Constants never have one. */
typedef enum tg_leaf { TG_PARAMETER, TG_INPUT, TG_CONSTANT } tg_leaf;

/* A leaf of the tape's type with rank dimensions. data is row-major and is copied (converted if its
   type is not the tape's); NULL means zeros. For scalars rank is 0 and shape may be NULL. */
TG_API tg_value tg_leaf_new(tg_tape *tape, tg_leaf kind, tg_type data_type, const void *data,
                            int rank, const int64_t *shape, const tg_site *site);

/* The same over the caller's memory, which holds elements of the tape's type and must outlive the
   value: several tapes may share one parameter this way. Gradients are the tape's own. tg_set and
   tg_edit write through data. After writing to it in any other way, through another tape too, call
   tg_written. */
TG_API tg_value tg_leaf_view(tg_tape *tape, tg_leaf kind, tg_type data_type, const void *data,
                             int rank, const int64_t *shape, const tg_site *site);

/* A leaf of integers (TG_I64): labels, rows, positions. bytes is the size of one element of data: 1,
   2, 4 or 8, and TG_UNSIGNED added to it if those are unsigned. */
enum { TG_UNSIGNED = 16 };
TG_API tg_value tg_index_new(tg_tape *tape, size_t bytes, const void *data, int rank,
                             const int64_t *shape, const tg_site *site);

/* A scalar leaf with the given value. tg_scalar is a parameter: it gets a gradient. tg_number is a
   constant. */
TG_API tg_value tg_scalar_new(tg_tape *tape, double value, const tg_site *site);
TG_API tg_value tg_number_new(tg_tape *tape, double value, const tg_site *site);

/* A constant of the given shape with every element the same. */
TG_API tg_value tg_full_new(tg_tape *tape, double value, int rank, const int64_t *shape,
                            const tg_site *site);

/* Constants: start, start + step, ... without stop, as NumPy's arange; n numbers from start to stop,
   both included; ones on the main diagonal of zeros (n, m). */
TG_API tg_value tg_arange_new(tg_tape *tape, double start, double stop, double step,
                              const tg_site *site);
TG_API tg_value tg_linspace_new(tg_tape *tape, double start, double stop, int64_t n,
                                const tg_site *site);
TG_API tg_value tg_eye_new(tg_tape *tape, int64_t n, int64_t m, const tg_site *site);

/* Inputs with random elements: uniform in lo ... hi without hi; normal; 1 with probability p, else 0.
   The same seed gives the same elements, in any program and on any tape (f32: the f64 ones, rounded);
   another seed, or another of these functions, gives others that have nothing to do with them. To
   learn such a leaf, ask for its gradient: tg_want_gradient. */
TG_API tg_value tg_uniform_new(tg_tape *tape, uint64_t seed, double lo, double hi, int rank,
                               const int64_t *shape, const tg_site *site);
TG_API tg_value tg_normal_new(tg_tape *tape, uint64_t seed, double mean, double std, int rank,
                              const int64_t *shape, const tg_site *site);
TG_API tg_value tg_bernoulli_new(tg_tape *tape, uint64_t seed, double p, int rank,
                                 const int64_t *shape, const tg_site *site);

/* An index tensor with 0 ... n - 1 in random order. */
TG_API tg_value tg_permutation_new(tg_tape *tape, uint64_t seed, int64_t n, const tg_site *site);

/* Overwrites a leaf with n elements, row-major; n must be its size. Values recorded from the old
   contents are then out of date: tg_backward refuses them until tg_forward or a new recording. Only
   leaves can be set, not views of them. */
TG_API bool tg_set_data(tg_value leaf, tg_type data_type, const void *data, size_t n,
                        const tg_site *site);

/* A pointer for changing a leaf in place (an optimiser's step), row-major; counts as writing it, as
   tg_set does. Valid until the next operation on the tape: ask again for each step. NULL after an
   error, or if the type is not that of the leaf. */
TG_API double *tg_edit(tg_value leaf);
TG_API float *tg_edit_f32(tg_value leaf);

/* Says that the memory behind a leaf made with tg_leaf_view was changed. */
TG_API bool tg_written(tg_value leaf);

/* Whether a leaf's gradient is computed: tg_want_gradient(input, true) asks for an input's,
   tg_want_gradient(parameter, false) freezes a parameter. Call it before the leaf is used: later, it
   holds from the next backward on, and not for views made before. */
TG_API bool tg_want_gradient(tg_value leaf, bool wanted);

/* ---- stretches of the tape ------------------------------------------------------------------- */

/* A position of a tape. */
typedef struct tg_mark {
    tg_tape *tape;
    uint32_t segment;
    uint32_t generation;
} tg_mark;

/* Marks the present end of the tape. Parameters live below the mark, each training step's values
   above it. Marks with nothing recorded between them are one and the same. */
TG_API tg_mark tg_tape_mark(tg_tape *tape);

/* Takes back everything recorded since the mark. Its memory is kept for the next step, its handles
   become stale, the mark may be used again. Also possible after an error, which it does not clear.
 */
TG_API bool tg_release(tg_mark mark);

/* Takes back everything on the tape, its error too; keeps the memory. */
TG_API void tg_reset(tg_tape *tape);

/* Between the two, operations compute values but no gradient flows through them. Scopes nest. */
TG_API void tg_no_grad_begin(tg_tape *tape);
TG_API void tg_no_grad_end(tg_tape *tape);

/* The same value without its history: no gradient flows through it. A view, not a copy. */
TG_API tg_value tg_detach_at(tg_value value, const tg_site *site);

/* Fills part[0] ... part[parts - 1] with equal parts of an axis of x, which are views. False, and
   null values, if there are no such parts. */
TG_API bool tg_split_all_at(tg_value x, int axis, int parts, tg_value *part, const tg_site *site);

/* ---- forward and backward -------------------------------------------------------------------- */

/* Options of tg_backward_with; zero is each field's default. */
typedef struct tg_backward_options {
    const double *cotangent; /* dL/d(root), row-major, root's shape. NULL: 1, and root must have one
                                element */
    size_t count;            /* how many cotangents lie there one after the other; 0: one. See
                                tg_choose_gradient */
    bool accumulate;         /* add to the gradients that leaves have; false: fresh gradients */
} tg_backward_options;

/* Computes the gradient of root, a value with one element, with respect to every value it was made
   from, summed over all paths. Calling it again gives the same gradients. False after any error. */
TG_API bool tg_backward(tg_value root);

/* The same for a root of any shape, with the cotangent given. options NULL: as tg_backward. */
TG_API bool tg_backward_with(tg_value root, const tg_backward_options *options);

/* After a tg_backward_with of several cotangents: which one's gradients tg_grad and its kin give
   from here on. It gave them of the first (0) so far. False, with the error, if there were not so
   many. */
TG_API bool tg_choose_gradient(tg_tape *tape, size_t cotangent);

/* Computes root, and everything recorded before it, again from the present contents of the leaves.
 */
TG_API bool tg_forward(tg_value root);

/* ---- reading --------------------------------------------------------------------------------- */

TG_API tg_type tg_type_of(tg_value value); /* TG_F64 also for a null or stale handle */
TG_API int tg_rank(tg_value value);        /* -1 for a null or stale handle */
TG_API int64_t tg_dim(tg_value value,
                      int axis);        /* the length of an axis; -1 if there is no such axis */
TG_API int64_t tg_size(tg_value value); /* the number of elements; -1 for a null or stale handle */

/* The single element of a value, as double. NaN after an error. */
TG_API double tg_item(tg_value value);

/* The elements, row-major, owned by the tape, readable until the value is released. NULL after an
   error, if the type is another (an error), or if the value is a view whose elements are not
   adjacent (an error: use tg_read). */
TG_API const double *tg_data(tg_value value);
TG_API const float *tg_data_f32(tg_value value);
TG_API const int64_t *tg_data_i64(tg_value value);

/* Copies the n elements, row-major and converted, whatever the type and strides. n must be the
   value's size. */
TG_API bool tg_read(tg_value value, double *out, size_t n);

/* The same with a position, which the macros of these names pass on: a program (program.h) cannot be
   compiled from what was recorded after a value that depends on its inputs had been read, and says
   where that was. */
TG_API double tg_item_at(tg_value value, const tg_site *site);
TG_API const double *tg_data_at(tg_value value, const tg_site *site);
TG_API const float *tg_data_f32_at(tg_value value, const tg_site *site);
TG_API const int64_t *tg_data_i64_at(tg_value value, const tg_site *site);
TG_API bool tg_read_at(tg_value value, double *out, size_t n, const tg_site *site);

/* Whether a condition, a value with one element, is not 0: for C code that records one thing or
   another by it. What it said is recorded, too: tg_forward and runs of programs fail with
   TG_ERROR_GUARD where it would say something else, because something else had been recorded then.
   tg_true(condition) passes the position on. False after an error. */
TG_API bool tg_true_at(tg_value condition, const tg_site *site);

/* The gradient of the last tg_backward with respect to the value, in its shape, row-major: owned by
   the tape, valid until the next tg_backward or until the value is released. Zeros if the root does
   not depend on it. NULL if the value has no gradient (a constant, an index, an input not asked
   for, recorded since the last tg_backward: that is why tg_backward says whether it worked) and
   after an error; a wrong type or elements that are not adjacent are errors. */
TG_API const double *tg_grad(tg_value value);
TG_API const float *tg_grad_f32(tg_value value);

/* Copies the gradient, row-major and converted; n must be the value's size. False where tg_grad
   gives NULL. */
TG_API bool tg_grad_read(tg_value value, double *out, size_t n);

/* The gradient of a value with one element. NaN where tg_grad gives NULL. */
TG_API double tg_grad_item(tg_value value);

/* Names a value: messages about that one value use the name. It is copied, and forgotten at the release of a mark
   that was made before it was given. Returns the value. */
TG_API tg_value tg_name(tg_value value, const char *name);

/* The name given, or NULL. Owned by the tape, valid until the value is released. */
TG_API const char *tg_name_of(tg_value value);

/* ---- errors ---------------------------------------------------------------------------------- */

/* The tape's first error, or NULL if there is none. */
TG_API const tg_error *tg_error_of(const tg_tape *tape);

/* Forgets the error; the tape works again. Values made before it are as they were. */
TG_API void tg_error_clear(tg_tape *tape);

/* The handler for tapes without one of their own, and for errors that belong to no tape. NULL: the
   default one, which prints the message as one line to standard error. tg_ignore_error says
   nothing. Not to be called while another thread uses the library. If the environment variable
   TAPEGRAD_BREAK is set, every error also raises SIGTRAP, so that a debugger stops at its cause. */
TG_API void tg_set_error_handler(tg_error_handler *handler, void *user);
TG_API void tg_ignore_error(const tg_error *error, void *user);

/* ---- what a tape holds ----------------------------------------------------------------------- */

typedef struct tg_tape_stats {
    size_t instructions; /* recorded now */
    size_t values;       /* elements in the value arenas now */
    size_t bytes_used;   /* by instructions, values, gradients, descriptors, positions, names now */
    size_t bytes_held;   /* memory obtained and kept */
    size_t allocations;  /* how often memory was asked for since the tape was made; a steady loop
                            adds none */
} tg_tape_stats;

TG_API tg_tape_stats tg_stats(const tg_tape *tape);

#ifdef __cplusplus
}
#endif
#endif
