/* Programs: a recorded computation, compiled once and replayed on other data.

       tg_value loss = model(t, x, y, W, b);               // recorded for one instance
       tg_program *p = tg_compile(TG_VALUES(loss), TG_VALUES(x, y), TG_VALUES(W, b), NULL, &status);
       tg_program *g = tg_gradient_program(p, NULL, &status);
       tg_workspace *w = tg_workspace_new(g, 1, &status);
       tg_run(g, w, 4096, (const void *[]){ X, Y, W0, b0 }, (void *[]){ &total, dW, db }, NULL, &status);

   What is recorded is one instance; a run computes any number of them, in blocks, with the batch
   inputs taken from row after row of the caller's arrays and the shared inputs the same for all.
   Leaves of the tape that are no inputs become constants. Control flow in C happened while
   recording: what is to depend on the data must be where, maximum, clamp ... or tg_true(condition),
   by which a run sees that C would have recorded something else: it fails with TG_ERROR_GUARD then.
   A condition, or an impure operation of the user's, belongs to the program if it depends on an
   input, wherever on the tape it is: record what is to be compiled by itself.

   A program never changes and may be run by any number of threads, each with a workspace of its own.
   It does not need the tape any more. Functions fail with a tg_status; the tape is left alone. */
#ifndef TAPEGRAD_PROGRAM_H
#define TAPEGRAD_PROGRAM_H

#include <stdio.h>

#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_program tg_program;
typedef struct tg_workspace tg_workspace;

/* What the compiler does, each of which can be switched off. */
enum {
    TG_FOLD = 1,                  /* operations on constants become constants */
    TG_SIMPLIFY = 2,              /* x * 1, x / 1, - - x ... become x: never changes a bit, but, unless
                                     strict, the sign of 0 in x + 0 */
    TG_COMMON_SUBEXPRESSIONS = 4, /* the same operation on the same operands is done once */
    TG_DOTS = 8,                  /* sums of products become dot products, those over the same
                                     operands one product of a matrix; sums over the batch too */
    TG_RANGES = 16,               /* the same operation on neighbouring scalars is one on a range */
    TG_REUSE = 32,                /* memory of values no longer needed is used again */
    TG_WHOLE_BLOCKS = 64,         /* products, reductions, softmax ... take all instances at once */
    TG_TOGETHER = 128, /* gradients by several operands are computed together, scalars put
                                     side by side by one step */
    TG_CHAINS = 256,   /* elementwise operations on tensors that follow each other are done
                                     strip by strip: what is between them stays in the first cache;
                                     those of one instance on short tensors are like those on scalars */
    TG_CHAIN_SUMS = 512, /* chains take in the reductions of what they make, which need not be stored then;
                                     what is cheap is done again for the gradient rather than stored */
    TG_CHAIN_PRODUCTS = 1024, /* and the product before them, by blocks of rows that stay in the cache,
                                     and the bias's gradient */
    TG_KEEP = 2048,    /* what cross_entropy, logsumexp or attention has for its value is kept for its gradient, if
                                     both are wanted: exponentials are computed once */
    TG_REGISTERS = 4096, /* one instance: numbers are computed in an order in which many go on with the last
                                     one made, which is in a register still */
};

typedef struct tg_compile_options {
    unsigned without; /* passes to leave out: TG_FOLD | ... */
    bool strict;      /* round as the tape does: without what reorders sums or fuses products */
    bool fast_math;   /* tanh' as 1 - y^2 and sigmoid' as y (1 - y), whose digits go where y saturates */
    int block;        /* instances at a time, at most 256; 0: chosen so that the values stay in the
                         cache. Rounded up where it would change how sums are made: results are
                         bit-equal for any */
    const tg_value *state; /* n_state shared inputs: after a successful run the caller's data for
                              state[i], which must be writable then, is what next[i] was, a value of
                              its shape that does not vary over the batch. Of a gradient program too;
                              nothing is differentiated by it */
    const tg_value *next;
    int n_state;
    bool allow_reads; /* values that depend on inputs, or batch inputs, were read while recording:
                         never mind */
} tg_compile_options;

/* Compiles outputs (values of one tape) as a function of inputs (leaves of it): n_batch that vary
   over the batch, n_shared that do not. At a run inputs are numbered in this order. options NULL: the
   defaults. NULL after an error: one is that a value which depends on an input was read, by tg_item,
   tg_data ..., and operations that the outputs need were recorded after that. */
TG_API tg_program *tg_compile(const tg_value *outputs, int n_outputs, const tg_value *batch,
                              int n_batch, const tg_value *shared, int n_shared,
                              const tg_compile_options *options, tg_status *status);

/* NULL is fine. */
TG_API void tg_program_free(tg_program *p);

typedef enum tg_over_batch {
    TG_BATCH_SUM,  /* of the sum over the batch */
    TG_BATCH_MEAN, /* of the mean */
    TG_BATCH_EACH  /* one for every instance, by shared inputs too; the output itself likewise */
} tg_over_batch;

typedef struct tg_gradient_options {
    const int *wrt; /* numbers of inputs; NULL: all shared ones that are no integers */
    int n_wrt;
    tg_over_batch over;
    bool with_gradient; /* of tg_hvp_program: its outputs are those of tg_gradient_program, then the rest */
    int count; /* of tg_hvp_program: as many directions for each input, along a first axis which their
                  products have too. 0: one, without that axis */
} tg_gradient_options;

/* The program whose outputs are the sum or mean over the batch of p's first output, which must have
   one element, and its gradients: by a shared input one of its shape, by a batch input one for every
   instance. NULL after an error. */
TG_API tg_program *tg_gradient_program(const tg_program *p, const tg_gradient_options *options,
                                       tg_status *status);

/* The same with the gradient's derivative along a direction in the place of the gradient: Hessian times
   direction. Its inputs are p's, then a direction for each of wrt, of that input's shape. */
TG_API tg_program *tg_hvp_program(const tg_program *p, const tg_gradient_options *options,
                                  tg_status *status);

/* The program whose outputs are p's, and then the derivative of each along a direction (forward mode).
   Its inputs are p's, then a direction for each input wrt (NULL: all shared ones that are no
   integers), of its shape, one for every instance if the input is a batch input. What p sums over the
   batch, as gradients do, is summed. NULL after an error. */
TG_API tg_program *tg_jvp_program(const tg_program *p, const int *wrt, int n_wrt, tg_status *status);

/* The program whose outputs are the gradients, by the inputs wrt (NULL: all shared ones that are no
   integers), of the sum of cotangent * output over all outputs of p: by a shared input summed over the
   batch, by a batch input one for every instance. Its inputs are p's, then a cotangent for each output
   that is no integer, of its shape, one for every instance if the output is. It can be made from any
   program, one of these too. NULL after an error. */
TG_API tg_program *tg_vjp_program(const tg_program *p, const int *wrt, int n_wrt, tg_status *status);

/* The same for count directions, or cotangents, in one run, count > 0: each of the further inputs has
   so many of them along a first axis, shape (count, ...), and so has each derivative or gradient; what
   there is for every instance has that axis in every instance. p itself, and the derivatives of its
   operations, are computed once for all of them; but loops (tg_scan) for each. */
TG_API tg_program *tg_jvps_program(const tg_program *p, const int *wrt, int n_wrt, int count,
                                   tg_status *status);
TG_API tg_program *tg_vjps_program(const tg_program *p, const int *wrt, int n_wrt, int count,
                                   tg_status *status);

/* The program whose outputs are p's, and then of every output, by every input wrt (NULL: all shared ones
   that are no integers), the Jacobian, one for every instance: a matrix with a row for each element
   of the output and a column for each of the input. Where all outputs together have more elements than
   all these inputs it goes column by column (forward mode), else row by row: few of either are fast,
   and outputs that are scalars faster than those that are tensors. tg_output_layout has room for the
   elements anywhere. Of a program made by tg_gradient_program these are Hessians. */
TG_API tg_program *tg_jacobian_program(const tg_program *p, const int *wrt, int n_wrt,
                                       tg_status *status);

/* Memory for runs of p, one run at a time, each by so many threads (0: one): the caller's and others
   that the workspace keeps. Results are bit-equal for any number of them. The program must outlive
   it. What a run needs is there from the first one on: of a program how it is run, which all its
   workspaces share, and of a workspace the memory. NULL after an error. */
TG_API tg_workspace *tg_workspace_new(const tg_program *p, int threads, tg_status *status);
TG_API void tg_workspace_free(tg_workspace *w);

/* How many there are; the elements of one, and whether there is one for every instance. */
TG_API int tg_program_inputs(const tg_program *p);
TG_API int tg_program_outputs(const tg_program *p);
TG_API int64_t tg_program_output_size(const tg_program *p, int output, bool *each);

/* Computes count instances. inputs[i]: row-major elements of the input's type, adjacent; of a batch
   input count times as many, an instance behind the other. outputs[i]: room for the output, count
   times that if there is one for every instance; NULL: not wanted. Inputs and outputs do not overlap.
   False after an error (TG_ERROR_GUARD, say: record again), and then outputs are undefined; but
   inputs that are indices or labels are checked before anything is written. Bit-equal for
   equal inputs. */
TG_API bool tg_run(const tg_program *p, tg_workspace *w, int64_t count, const void *const *inputs,
                   void *const *outputs, tg_status *status);

/* Where the instances of a batch input are: element j of instance i at i * instance + j * element. So
   { .instance = 1, .element = count } is column-major. With rows, instance i is what would be instance
   rows[i] of a table that has as many as table says; what is outside is an error, found before
   anything is written. */
typedef struct tg_input_layout {
    int64_t instance; /* 0: as many as one has, times element */
    int64_t element;  /* 0: 1 */
    const int64_t *rows;
    int64_t table;
} tg_input_layout;

/* Where the elements of an output go, of which there is one for every instance: those of instance i, row
   r and column c to places i * instance + r * row + c * column. Jacobians have rows and columns; any
   other output is one row. So the values of a sparse matrix can be put where they belong:
   { .instance = 30, .row = 15 } for two rows of 15 values, of which these are some. */
typedef struct tg_output_layout {
    int64_t instance; /* 0: as many as an output has rows and columns */
    int64_t row;      /* 0: as many as it has columns */
    int64_t column;   /* 0: 1 */
} tg_output_layout;

/* How a run differs from a plain one; zero is each field's default. */
typedef struct tg_run_options {
    const tg_input_layout *inputs;   /* of every input; zeros for shared ones. NULL: without gaps */
    const tg_output_layout *outputs; /* of every output; NULL: without gaps */
    uint64_t run; /* what draws random numbers (dropout) draws as in its recording's run plus this
                     number, for every element of every instance something of its own. Equal
                     numbers draw equally, whatever threads and blocks; another one, for each step
                     of training say, draws anew */
} tg_run_options;

/* The same with options; NULL: the defaults. */
TG_API bool tg_run_with(const tg_program *p, tg_workspace *w, int64_t count,
                        const void *const *inputs, void *const *outputs,
                        const tg_run_options *options, tg_status *status);

/* What tg_backward does, by a program: g is a gradient program by shared inputs, and all of these are
   still leaves of their tape. They are read there, as they are now, and the gradients are put there,
   for tg_grad and tg_step; all other gradients of the tape are zero then. batch[i]: the data of the
   batch inputs. total, if not NULL, gets the sum or mean of the loss. A training loop that is
   replayed instead of recorded calls this in place of the model and tg_backward. Uses the tape: one
   thread at a time. The number of the run is how often the workspace has come here: what draws
   random numbers draws as recorded at first, then anew at every call. options, if not NULL, say
   another number, as after resuming. */
TG_API bool tg_run_backward(const tg_program *g, tg_workspace *w, int64_t count,
                            const void *const *batch, double *total, tg_status *status);
TG_API bool tg_run_backward_with(const tg_program *g, tg_workspace *w, int64_t count,
                                 const void *const *batch, double *total,
                                 const tg_run_options *options, tg_status *status);

/* Writes the program's steps to file, one a line, and what the compiler chose: how many instances go
   at a time, and of every batch input whether steps take its instances as lanes (an element of one
   beside that of the next) or as rows, a block of them at once or one after the other. */
TG_API void tg_program_print(const tg_program *p, FILE *file);

/* Writes the operations that the steps were made of, one a line: the program before the passes that look
   for dot products, ranges, chains ... What was constant, simpler, or there already is not in it any
   more; tg_print_tape shows the tape that it was recorded on. Operations that no output needs are still there,
   and will not be computed. */
TG_API void tg_program_print_graph(const tg_program *p, FILE *file);

/* Writes the program as C17 that needs libm only: void NAME(int64_t count, inputs x0, x1 ..., outputs
   y0, y1 ...), every one a pointer, laid out as tg_run has them; no output may be NULL. What indices
   point at is asserted. States are overwritten, by a pointer that is not const. If the program draws
   random numbers, behind count comes uint64_t run, as in tg_run_options. If a run can fail with more than
   an index (conditions, matrices without an inverse), it is bool NAME(...): false where tg_run is, and
   outputs are undefined then. False after an error, an operation that no C is written for, say (your
   own, tg_custom), and then nothing has been written. */
TG_API bool tg_program_emit_c(const tg_program *p, const char *name, FILE *file, tg_status *status);

#ifdef __cplusplus
}
#endif
#endif
