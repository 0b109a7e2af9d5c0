/* Optimisers: rules by which parameters follow their gradients, learning-rate schedules, clipping.

       tg_optimizer *o = tg_adam_new(parameters, n, &(tg_adam_options){ .lr = 1e-2 });
       for (...) {
           tg_value loss = ...;
           tg_backward(loss);
           tg_step(o);
           tg_release(mark);
       }
       tg_optimizer_free(o);

   An optimiser keeps the handles of its parameters, which must outlive it, and state of its own, in
   double precision whatever the tape's type. The first error stays (tg_optimizer_status), and from
   then on tg_step does nothing and returns false. One thread at a time, as the tape. */
#ifndef TAPEGRAD_OPTIM_H
#define TAPEGRAD_OPTIM_H

#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tg_optimizer tg_optimizer;

/* ---- rules ----------------------------------------------------------------------------------- */

/* In all options zero is the default, which stands beside each field. A rate is for one step;
   weight_decay adds weight_decay * w to the gradient (L2), but for AdamW. */

/* Stochastic gradient descent: b = momentum b + (1 - dampening) g, b = g at first; w -= lr b, or with
   nesterov w -= lr (g + momentum b) (Sutskever et al. 2013, in the form that PyTorch uses). */
typedef struct tg_sgd_options {
    double lr;           /* default 0.01 */
    double momentum;     /* default 0 */
    double dampening;    /* default 0 */
    double weight_decay; /* default 0 */
    bool nesterov;       /* needs momentum and no dampening */
} tg_sgd_options;

/* RMSprop (Tieleman and Hinton 2012): v = alpha v + (1 - alpha) g^2; w -= lr g / (sqrt(v) +
   epsilon), or with momentum b = momentum b + g / (sqrt(v) + epsilon), w -= lr b. */
typedef struct tg_rmsprop_options {
    double lr;           /* default 0.01 */
    double alpha;        /* default 0.99 */
    double epsilon;      /* default 1e-8 */
    double momentum;     /* default 0 */
    double weight_decay; /* default 0 */
} tg_rmsprop_options;

/* Adam (Kingma and Ba 2015, algorithm 1): m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g^2,
   w -= lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon). AdamW (Loshchilov and Hutter
   2019) first shrinks w by lr weight_decay w, instead of adding it to g. */
typedef struct tg_adam_options {
    double lr;           /* default 0.001 */
    double beta1;        /* default 0.9 */
    double beta2;        /* default 0.999 */
    double epsilon;      /* default 1e-8 */
    double weight_decay; /* default 0; AdamW: 0.01 */
} tg_adam_options;

/* An optimiser of n parameters (leaves of one tape). options NULL: the defaults. NULL when there is
   no memory; any other mistake is its status. The caller frees it. */
TG_API tg_optimizer *tg_sgd_new(const tg_value *parameters, int n, const tg_sgd_options *options);
TG_API tg_optimizer *tg_rmsprop_new(const tg_value *parameters, int n,
                                    const tg_rmsprop_options *options);
TG_API tg_optimizer *tg_adam_new(const tg_value *parameters, int n, const tg_adam_options *options);
TG_API tg_optimizer *tg_adamw_new(const tg_value *parameters, int n,
                                  const tg_adam_options *options);

/* NULL is fine. */
TG_API void tg_optimizer_free(tg_optimizer *o);

/* What is different for a group of parameters. */
typedef struct tg_group {
    double lr_scale;     /* times the optimiser's rate; 0: 1 */
    double weight_decay; /* instead of the optimiser's, if own_weight_decay is set */
    bool own_weight_decay;
} tg_group;

/* Adds n more parameters, as a group. */
TG_API bool tg_optimizer_add(tg_optimizer *o, const tg_value *parameters, int n,
                             const tg_group *group);

/* ---- steps ----------------------------------------------------------------------------------- */

/* Changes every parameter by its gradient of the last tg_backward. Parameters without one (frozen)
   stay as they are; that none has one, or that one is NaN or infinite, is an error, and then no
   parameter has changed. */
TG_API bool tg_step(tg_optimizer *o);

/* The learning rate, to be changed between steps by a schedule. */
TG_API double tg_learning_rate(const tg_optimizer *o);
TG_API bool tg_set_learning_rate(tg_optimizer *o, double lr);

/* Steps made so far. */
TG_API int64_t tg_steps(const tg_optimizer *o);

/* From now on gradients are clipped in every step: first each element to -value ... value, then all
   together to the Euclidean length norm. 0: not. The tape's gradients stay as they are. */
TG_API bool tg_clip(tg_optimizer *o, double value, double norm);

/* The Euclidean length of the gradients of n parameters, without overflow; those without a gradient
   count 0. NaN after an error. */
TG_API double tg_gradient_norm(const tg_value *parameters, int n);

/* What went wrong first; code TG_OK: nothing. Owned by the optimiser. */
TG_API const tg_status *tg_optimizer_status(const tg_optimizer *o);

/* ---- L-BFGS ---------------------------------------------------------------------------------- */

/* Computes the loss at the present parameters and its gradient (tg_backward); NaN if that failed. */
typedef double tg_closure(void *user);

/* L-BFGS: the two-loop recursion over the last pairs (Nocedal and Wright 2006, algorithm 7.4) and a
   line search for the strong Wolfe conditions (algorithms 3.5 and 3.6). */
typedef struct tg_lbfgs_options {
    double lr;        /* the first step tried in each line search; default 1 */
    int history;      /* pairs; default 10 */
    int evaluations;  /* the most calls of the closure in one step; default 25 */
    double tolerance; /* largest element of the gradient at which it has converged; default 1e-10 */
} tg_lbfgs_options;

TG_API tg_optimizer *tg_lbfgs_new(const tg_value *parameters, int n,
                                  const tg_lbfgs_options *options);

typedef enum tg_progress {
    TG_MOVED,     /* the loss is lower */
    TG_CONVERGED, /* the gradient is within the tolerance: nothing has changed */
    TG_STUCK,     /* no lower loss was found along the direction: the parameters are as they were */
    TG_STOPPED,   /* an error: see tg_optimizer_status */
} tg_progress;

/* One iteration; *loss, if not NULL, gets the loss after it. Only for an optimiser of tg_lbfgs_new,
   which tg_step refuses. */
TG_API tg_progress tg_lbfgs_step(tg_optimizer *o, tg_closure *closure, void *user, double *loss);

/* ---- learning-rate schedules ------------------------------------------------------------------- */

/* Functions of the step alone: resuming needs nothing but its number. */

/* lr factor^(step / every), whole division. */
TG_API double tg_lr_step(double lr, double factor, int64_t every, int64_t step);

/* From lr at step 0 down to lowest at step total along half a cosine (Loshchilov and Hutter 2017). */
TG_API double tg_lr_cosine(double lr, double lowest, int64_t total, int64_t step);

/* Linear from lr / steps at step 0 to lr at step steps - 1; then lr. To be multiplied with others:
   pass lr = 1. */
TG_API double tg_lr_warmup(double lr, int64_t steps, int64_t step);

/* Lowers the rate when the loss has stopped falling. Zero is each default; the last three fields are
   its state and part of a checkpoint. */
typedef struct tg_plateau {
    double factor;    /* default 0.1 */
    int patience;     /* calls without improvement before it lowers; default 10 */
    double threshold; /* relative improvement that counts; default 1e-4 */
    double lowest;    /* never below */
    double best;
    int waited;
    bool started;
} tg_plateau;

/* The rate after an epoch with this loss. */
TG_API double tg_lr_plateau(tg_plateau *p, double lr, double loss);

/* ---- state ------------------------------------------------------------------------------------- */

/* The rule: "sgd", "rmsprop", "adam", "adamw" or "lbfgs". The state of one means nothing to
   another, though it have the same form. */
TG_API const char *tg_optimizer_rule(const tg_optimizer *o);

/* For checkpoints: the optimiser's state as arrays of doubles, that can be read and overwritten. The
   i-th has a name ("steps", "m.0", "v.0", ...; 0 is the parameter's number) and n elements; NULL
   behind the last. The name lives until the next call. */
TG_API double *tg_optimizer_state(tg_optimizer *o, int i, const char **name, size_t *n);

#ifdef __cplusplus
}
#endif
#endif
