/* Gradient checking: is the gradient of a model right? Computed by tg_backward, compared with
   differences of the model's value.

   A scheme estimates the derivative along a direction u at x from values of f alone:
     forward  (f(x + hu) - f(x)) / h                  error O(h); slow to converge, only for comparison
     central  (f(x + hu) - f(x - hu)) / 2h            error O(h^2)
     ladder   central differences on a falling sequence of steps, extrapolated to h = 0 (Ridders,
   1982: Neville's scheme in h^2), with the error estimate that the table itself gives. The default.
   Two numbers a (analytic) and n (numeric) agree when |a - n| <= rtol * max(|a|, |n|) + the
   scheme's error estimate. Nothing passes that is not finite, and no check passes in which every
   derivative is zero unless zero_ok is set. */
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
    TG_FAILED,     /* the model could not be recorded: see message */
} tg_verdict;

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
} tg_check_options;

/* What was found: the worst comparison, and the counts. */
typedef struct tg_check_report {
    tg_verdict verdict;
    size_t checked;  /* derivatives compared */
    size_t kinks;    /* comparisons left out because f has a kink there */
    int input;       /* where the worst one is: the input, */
    int64_t element; /* its element (row-major), or -1 for a random direction */
    double analytic;
    double numeric;
    double relative_error; /* |a - n| / max(|a|, |n|) */
    double error_estimate; /* of the numeric derivative, absolute */
    double step;           /* the step that the numeric derivative was read off at */
    char
        message[512]; /* one sentence: input, element, both values, relative error, step, verdict */
} tg_check_report;

/* Checks the gradient of model at the given inputs on f64 tapes of its own. True if the verdict is
   TG_AGREES (single kinks are counted and left out; nothing but kinks is TG_KINK). report may be
   NULL. */
TG_API bool tg_gradcheck(tg_model *model, void *user, const tg_check_input *inputs, int n,
                         const tg_check_options *options, tg_check_report *report);

/* "agrees", "wrong", ... */
TG_API const char *tg_verdict_name(tg_verdict verdict);

#ifdef __cplusplus
}
#endif
#endif
