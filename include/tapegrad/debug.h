/* Looking into a tape: along which paths a gradient comes, where a NaN was born, which operation's
   derivative is wrong, which parameters learn nothing, what was recorded.

   Nothing here changes the tape, its gradients or its error, and nothing runs but the operations'
   own rules, on memory from where the tape has its own; it works after an error too. Nothing is
   printed but into the file that is given. Every function takes a value, or a tape, and false means
   that it could not look (a stale handle, no memory): status says why, and may be NULL.

   A view's elements are those of the value that it looks at: to ask about one element, give
   tg_at(W, 2, 3) instead of W. */
#ifndef TAPEGRAD_DEBUG_H
#define TAPEGRAD_DEBUG_H

#include <stdio.h>

#include <tapegrad/check.h>
#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One recorded operation, or leaf, and one element of its value. Strings are copies or constants:
   all but value outlives the tape. */
typedef struct tg_place {
    const char *op;     /* "leaf" for leaves; NULL: there is no such place */
    char name[64];      /* of its value, cut if too long; "" if it has none */
    tg_site site;       /* where it was recorded; file NULL: unknown */
    size_t instruction; /* its number, %12 in what is printed */
    tg_value value;
    int operand;     /* counted from 0; -1: it is not about an operand */
    int64_t element; /* row-major, of the operand or, without, of the value; -1: none */
} tg_place;

/* ---- paths ----------------------------------------------------------------------------------- */

/* Zero is each field's default. */
typedef struct tg_explain_options {
    size_t paths; /* how many are listed, at most 1000: 8 */
    size_t steps; /* lines for each; of longer paths the middle is left out: 16 */
    size_t work;  /* steps walked in all: 10 million */
} tg_explain_options;

typedef struct tg_explanation {
    double paths;      /* how many there are (exact to 2^53) */
    double sum;        /* of all: the gradient; of several elements its Euclidean norm */
    size_t listed;     /* how many were listed */
    double listed_sum; /* what they are together, as sum */
    double largest;    /* the first one listed */
    bool out_of_work;  /* options.work was too little */
} tg_explanation;

/* Lists the paths by which the gradient comes from loss (one element) to w: for each the derivatives
   along it and their product, largest first, and the sum of all, which is what tg_backward gives. A
   path leads from operation to operation. Where every value along it is one number, so are the
   derivatives. Through tensors a path's contribution is 1, pulled back through the operations of
   this path alone: a tensor of w's shape, of which the norm is shown, and the share of the gradient
   that it is (its projection); a step shows by how much the norm grows. Contributions are exact and
   add up to the gradient; which are the largest is exact for numbers and estimated for tensors.
   file and result may be NULL. */
TG_API bool tg_explain(tg_value loss, tg_value w, const tg_explain_options *options, FILE *file,
                       tg_explanation *result, tg_status *status);

/* ---- numbers that are none ------------------------------------------------------------------- */

typedef struct tg_nonfinite {
    bool found;
    bool backward;     /* in the gradient, where the values are finite */
    tg_place place;    /* the operation that made it of finite numbers, or the leaf that holds it */
    double number;     /* what was made: NaN or an infinity */
    tg_place infinity; /* NaN made of an infinity: where that was born */
    char message[512]; /* one sentence with the operands' values */
} tg_nonfinite;

/* Where the NaN or infinity in loss was born; if loss is finite, that in the gradients of loss, in
   the order in which tg_backward comes by. */
TG_API bool tg_find_nonfinite(tg_value loss, tg_nonfinite *found, tg_status *status);

/* ---- kinks ----------------------------------------------------------------------------------- */

typedef struct tg_kinks {
    size_t kinks;      /* elements of operands at which a derivative jumps: relu at 0, a tie */
    size_t jumps;      /* elements of results that jump: floor at a whole number */
    size_t checked;    /* operations looked at */
    tg_place place;    /* the first */
    char message[512]; /* one sentence about it */
} tg_kinks;

/* Counts the kinks that lie so near to the values on the tape (4e-6 of them or less; f32: 1e-3)
   that a derivative there is an arbitrary choice. Found by running each operation a little to both
   sides. */
TG_API bool tg_count_kinks(tg_value loss, tg_kinks *kinks, tg_status *status);

/* The operation that makes loss have a kink, or jump, somewhere between w - step u and w + step u: w
   is a leaf of loss's tape (in the tape's own memory), u has its size, step is above 0. Everything
   that depends on w is computed again along this line, in memory beside the tape. found->place.op
   is NULL where no recorded operation has one: then it is in the code that records them, or there
   is none. */
TG_API bool tg_find_kink(tg_value loss, tg_value w, const double *u, double step, tg_kinks *found,
                         tg_status *status);

/* ---- parameters that learn nothing ----------------------------------------------------------- */

typedef enum tg_unused_reason {
    TG_NOT_USED, /* loss does not depend on it */
    TG_CUT_OFF,  /* it does, but no gradient flows: detached, frozen, no_grad, an op without one */
    TG_ALL_ZEROS /* gradients flow, and all are zero */
} tg_unused_reason;

typedef struct tg_unused {
    tg_unused_reason reason;
    tg_place place;    /* the parameter */
    tg_place cut;      /* TG_CUT_OFF: the first operation through which no gradient flows */
    char message[512]; /* one sentence */
} tg_unused;

/* The parameters on loss's tape that get no gradient from it, or only zeros. Writes up to room of
   them to list, in the order in which they were made, and to count how many there are. */
TG_API bool tg_unused_parameters(tg_value loss, tg_unused *list, size_t room, size_t *count,
                                 tg_status *status);

/* ---- blame ----------------------------------------------------------------------------------- */

typedef struct tg_blame_report {
    size_t checked;    /* derivatives of operations by one operand that were compared */
    size_t skipped;    /* that could not be: a kink, noise, values not finite */
    size_t wrong;      /* that are wrong */
    tg_place place;    /* the first operation that is wrong, the operand, its worst element */
    double analytic;   /* by its backward rule, for the cotangent g of the message */
    double numeric;    /* by differences of its forward rule */
    char message[512]; /* one sentence: the operation, where, its operands' values, both numbers */
} tg_blame_report;

/* Looks for the operation that makes a gradient wrong: checks the derivative of every operation that
   loss depends on, by itself and in place, with the operands that it had: its backward rule against
   differences of its own forward rule, along a random direction, then element by element; of more
   than 16 operands only that many, evenly spaced. Of operations of the user's (custom.h) the
   .derivative or .tangent is held against the backward rule, too. Rules (TG_RULE) are checked, too;
   those whose derivative uses y are counted as skipped. tg_gradcheck calls it when it has found a
   wrong gradient. */
TG_API bool tg_blame(tg_value loss, tg_blame_report *report, tg_status *status);
TG_API bool tg_blame_model(tg_model *model, void *user, const tg_check_input *inputs, int n,
                           tg_blame_report *report, tg_status *status);

/* ---- the tape as text and as a picture ------------------------------------------------------- */

/* Zero is each field's default. */
typedef struct tg_print_options {
    tg_value from, to; /* only what lies on a path from one to the other; one of them may be null */
    const char *name;  /* only values whose name has this in it */
    int depth;         /* only so many operations back from to, or from the last one; 0: all */
    int elements;      /* shown of each value: 4; below 0: none */
    size_t limit;      /* only so many instructions, the newest: 200 */
} tg_print_options;

/* One line an instruction: number or name, operation, operands, shape, value, gradient of the last
   tg_backward, source line. options NULL: the defaults. */
TG_API bool tg_print_tape(tg_tape *tape, const tg_print_options *options, FILE *file,
                          tg_status *status);

/* The same as a graph for Graphviz: dot -Tsvg. */
TG_API bool tg_print_dot(tg_tape *tape, const tg_print_options *options, FILE *file,
                         tg_status *status);

#ifdef __cplusplus
}
#endif
#endif
