/* Gradient checking: is a gradient right? Of a model on a tape, as tg_backward computes it, or of a
   plain C function with a gradient derived by hand. The gradient is compared with differences of
   the function's value, and what is wrong is diagnosed: a sign, a factor, a transposed matrix.

   A scheme estimates the derivative along a direction u at x from values of f alone:
     forward  (f(x + hu) - f(x)) / h                  error O(h); slow to converge, only for comparison
     central  (f(x + hu) - f(x - hu)) / 2h            error O(h^2)
     ladder   central differences on a falling sequence of steps, extrapolated to h = 0 (Ridders,
   1982: Neville's scheme in h^2), with the error estimate that the table itself gives. The default.
   Where a ladder does not settle or contradicts, others begin with smaller steps.
   Two numbers a (analytic) and n (numeric) agree when |a - n| <= rtol * max(|a|, |n|) + the
   scheme's error estimate. They are called wrong only if differences at the smallest steps that
   rounding allows say so too: the function's noise is measured for that. Nothing passes that is not
   finite, and no check passes in which every derivative is zero unless zero_ok is set. */
#ifndef TAPEGRAD_CHECK_H
#define TAPEGRAD_CHECK_H

#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tg_scheme { TG_LADDER, TG_CENTRAL, TG_FORWARD } tg_scheme;

typedef enum tg_verdict {
    TG_AGREES, /* analytic and numeric derivative are the same within the tolerance */
    TG_WRONG,  /* they are not, and the numeric one can be trusted */
    TG_KINK, /* the slopes from the left and from the right differ: no derivative to compare with */
    TG_NOISE,      /* the differences do not settle: ill-conditioned here, nothing can be said */
    TG_NOT_FINITE, /* a value or a derivative is NaN or infinite */
    TG_ALL_ZERO,   /* every derivative is zero, analytic and numeric: nothing was tested */
    TG_FAILED,     /* the check could not be made: see message */
    TG_JUMP,       /* the function is discontinuous here: no derivative to compare with */
    TG_RANDOM,     /* two calls at the same inputs give different results */
} tg_verdict;

/* What is wrong with a wrong gradient, as far as its numbers show. */
typedef enum tg_fault {
    TG_FAULT_NONE,
    TG_FAULT_SIGN,       /* the sign, everywhere or in part of the entries */
    TG_FAULT_FACTOR,     /* a constant factor, everywhere or in part */
    TG_FAULT_TRANSPOSED, /* right, but for the transposed matrix */
    TG_FAULT_SHIFTED,    /* each entry is its neighbour's, or that of one some places further */
    TG_FAULT_PERMUTED,   /* the entries are right, in another order */
    TG_FAULT_SUM,        /* a sum over a broadcast axis is missing */
    TG_FAULT_TERM,       /* a term is left out, or one too many */
    TG_FAULT_PART,       /* zeros: only the gradient of a part was computed */
    TG_FAULT_UNWRITTEN,  /* entries that the function never writes */
    TG_FAULT_ADDS,       /* it adds to what was in the array, see the option adds */
    TG_FAULT_OUTSIDE,    /* it writes past the end of the array */
    TG_FAULT_INPUT,      /* it changes its input */
    TG_FAULT_COTANGENT,  /* a backward rule is not linear in the incoming gradient */
    TG_FAULT_ADJOINT,    /* the gradient agrees; recorded derivatives or tangents contradict it */
    TG_FAULT_OTHER,      /* no pattern that is known here */
} tg_fault;

/* One input of the model under check: named for the report, row-major data, read only. */
typedef struct tg_check_input {
    const char *name; /* NULL: "input 0" and so on */
    const double *data;
    int rank;
    int64_t shape[TG_MAX_RANK];
} tg_check_input;

/* The model: records its value from the inputs, which are leaves of tape, and returns it. Any
   shape: for tensors the check takes a sum with fixed random weights. It is called many times and
   must be the same function each time. */
typedef tg_value tg_model(tg_tape *tape, const tg_value *inputs, void *user);

/* Options; zero is each field's default. */
typedef struct tg_check_options {
    tg_scheme scheme;
    double rtol;       /* default 1e-7 for the ladder, 1e-5 central, 1e-3 forward */
    double step;       /* relative to max(1, |x|): default 0.02 (ladder's first), 6e-6 central, 1e-8
                          forward */
    size_t directions; /* random directions per input; 0: element by element up to 1000 elements,
                          above that 32 */
    uint64_t seed;     /* of directions and weights */
    bool zero_ok;      /* all-zero derivatives are expected (a row of the op table that says so) */
    size_t max_bytes;  /* the tape's byte limit */
    bool no_adjoint;   /* of models on a tape: leaves out that <v, Ju> = <J'v, u>, by tg_jvp */
    const char *name;  /* of the check: for capsules */
    const char *capsule; /* a file that a failing check writes, see below */

    /* Of plain functions only. */
    void *user;                 /* handed to them */
    const char *input;          /* what x is called in messages: "x" */
    int rank;                   /* the shape of x, if it is more than a vector: */
    int64_t shape[TG_MAX_RANK]; /* for messages, and to see a transposed gradient */
    int64_t sizes[4];           /* other sizes in the problem (of a batch): to name factors 1/size */
    bool adds;                  /* the gradient is added to the array, which holds zeros */
} tg_check_options;

/* What was found: the worst comparison, the counts, and the diagnosis. */
typedef struct tg_check_report {
    tg_verdict verdict;
    size_t checked;  /* derivatives compared */
    size_t kinks;    /* comparisons left out because f has a kink there */
    int input;       /* where the worst one is: the input, */
    int64_t element; /* its element (row-major; of a Jacobian, in (m, n)), or -1 for a random
                        direction */
    double analytic;
    double numeric;
    double relative_error; /* |a - n| / max(|a|, |n|) */
    double error_estimate; /* of the numeric derivative, absolute */
    double step;           /* the step that the numeric derivative was read off at */
    size_t jumps;          /* comparisons left out because f is discontinuous there */
    size_t wrong;          /* derivatives that are wrong */
    tg_fault fault;
    double factor;     /* of TG_FAULT_FACTOR: analytic / numeric */
    double condition;  /* of TG_NOISE: the function's noise in units of its rounding */
    char place[128];   /* "W[2, 0]" */
    char reason[256];  /* why it is no agreement, a sentence without a full stop; else empty */
    char operation[512]; /* of models on a tape: the recorded operation that is to blame, its source
                            line and operands: the wrong one (by tg_blame), the one that made what
                            is not finite, the one that has the first kink or jump; else empty */
    char message[1536]; /* all of it in one sentence: place, both values, relative error, step,
                           verdict, reason, operation */
} tg_check_report;

/* Checks the gradient of model at the given inputs on f64 tapes of its own. True if the verdict is
   TG_AGREES (single kinks and jumps are counted and left out; nothing but those is TG_KINK or
   TG_JUMP). report may be NULL. */
TG_API bool tg_gradcheck(tg_model *model, void *user, const tg_check_input *inputs, int n,
                         const tg_check_options *options, tg_check_report *report);

/* ---- plain functions: no tape ---------------------------------------------------------------- */

/* A function of n numbers, and its gradient: n numbers, written to g. Arrays are row-major. */
typedef double tg_plain_function(const double *x, size_t n, void *user);
typedef void tg_plain_gradient(const double *x, size_t n, double *g, void *user);

/* A function with m results, and its Jacobian: (m, n), J[i * n + j] = dy[i] / dx[j]. */
typedef void tg_plain_map(const double *x, size_t n, double *y, size_t m, void *user);
typedef void tg_plain_jacobian(const double *x, size_t n, double *J, size_t m, void *user);

/* The product of the Hessian at x with v, written to Hv (n). */
typedef void tg_plain_hvp(const double *x, const double *v, size_t n, double *Hv, void *user);

/* Checks a gradient, a Jacobian, Hessian-vector products against their gradient (itself to be
   checked). All as tg_gradcheck. */
TG_API bool tg_check_gradient(tg_plain_function *f, tg_plain_gradient *gradient, const double *x,
                              size_t n, const tg_check_options *options, tg_check_report *report);
TG_API bool tg_check_jacobian(tg_plain_map *f, tg_plain_jacobian *jacobian, const double *x,
                              size_t n, size_t m, const tg_check_options *options,
                              tg_check_report *report);
TG_API bool tg_check_hvp(tg_plain_gradient *gradient, tg_plain_hvp *hvp, const double *x, size_t n,
                         const tg_check_options *options, tg_check_report *report);

/* Checks two gradients against each other, which needs no steps: by hand and, say, from a tape. */
TG_API bool tg_check_match(const double *got, const double *expected, size_t n,
                           const tg_check_options *options, tg_check_report *report);

/* ---- tables of checks ------------------------------------------------------------------------ */

/* One check as a row of a table. Which it is, its functions say:
       { "model", .model = m, .inputs = inputs, .n = 2 }                   tg_gradcheck
       { "loss", .f = loss, .gradient = loss_gradient, .x = x, .n = 6 }    tg_check_gradient
       { "map", .map = f, .jacobian = J, .x = x, .n = 4, .m = 3 }          tg_check_jacobian
       { "Hv", .gradient = loss_gradient, .hvp = Hv, .x = x, .n = 4 }      tg_check_hvp
       { "two", .got = a, .expected = b, .n = 6 }                          tg_check_match
   criterion.h and tap.h run them. */
typedef struct tg_check_case {
    const char *name;
    tg_model *model;
    const tg_check_input *inputs;
    tg_plain_function *f;
    tg_plain_gradient *gradient;
    tg_plain_map *map;
    tg_plain_jacobian *jacobian;
    tg_plain_hvp *hvp;
    const double *x, *got, *expected;
    size_t n, m;              /* of model: n inputs */
    tg_check_options options; /* user goes to the model, too; name is the row's */
} tg_check_case;

TG_API bool tg_check_run(const tg_check_case *row, tg_check_report *report);

/* Writes the report on a few lines: what and at which element, expected, got, why, where. Returns the
   text's length, as snprintf; TG_CHECK_TEXT has room for any. */
#define TG_CHECK_TEXT 2048
TG_API int tg_check_describe(const tg_check_report *report, char *text, size_t size);

/* "agrees", "wrong", ...; "sign", "factor", ... */
TG_API const char *tg_verdict_name(tg_verdict verdict);
TG_API const char *tg_fault_name(tg_fault fault);

/* Capsules. A check that fails writes the file options.capsule, or NAME.capsule in the directory
   that the environment variable TAPEGRAD_CAPSULES names (NAME: options.name; without one, nothing
   is written): text, with its inputs, seed and steps. While TAPEGRAD_REPLAY names such a file, the
   check of that name takes its inputs, seed and steps from there instead of its arguments:

       TAPEGRAD_REPLAY=softmax.capsule build/tests/gradients  */

#ifdef __cplusplus
}
#endif
#endif
