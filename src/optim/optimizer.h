/* What the optimisers share: the parameters, their state, and reading and writing them. */
#ifndef TG_OPTIM_OPTIMIZER_H
#define TG_OPTIM_OPTIMIZER_H

#include <tapegrad/optim.h>

enum { TG__MOST_STATES = 2 };

typedef struct tg__slot {
    tg_value v;
    size_t n;
    tg_group group;
    double *state[TG__MOST_STATES]; /* n elements each */
} tg__slot;

typedef struct tg__lbfgs tg__lbfgs;

/* One step of a rule: n elements of w follow g. */
typedef void tg__update(const tg_optimizer *o, const tg__slot *s, double *w, const double *g);

struct tg_optimizer {
    const char *rule;
    tg__update *update; /* NULL: L-BFGS */
    const char *state_names[TG__MOST_STATES];
    int states;
    tg__slot *slot;
    int slots;
    size_t longest; /* the most elements of a parameter */
    double *buffer; /* 2 x longest */
    double lr, clip_value, clip_norm;
    double steps;
    double momentum, dampening, alpha, beta1, beta2, epsilon, weight_decay;
    bool nesterov, decoupled;
    tg__lbfgs *lbfgs;
    tg_status status;
    char name[32];
};

/* An optimiser whose rule has this name and is still to be set, of these parameters. NULL: no
   memory. */
tg_optimizer *tg__optimizer_new(const char *rule, const tg_value *parameters, int n, int states);

/* Leaves the first error; false. */
__attribute__((format(printf, 3, 4))) bool tg__optimizer_fail(tg_optimizer *o, tg_code code,
                                                              const char *format, ...);

/* The gradient of a parameter as doubles: the tape's own, or copied to room. NULL: none. */
const double *tg__gradient(const tg__slot *s, double *room);

/* Copies a parameter's elements to or from x. */
bool tg__read_parameter(const tg__slot *s, double *x);
bool tg__write_parameter(const tg__slot *s, const double *x);

void tg__lbfgs_free(tg__lbfgs *l);
int tg__lbfgs_state(tg_optimizer *o, int i, const char **name, double **p, size_t *n);

#endif
