/* What the files of this room share: what a layer is, making one, running those inside it. Not for
   users: they have tapegrad/nn.h. */
#ifndef TG_NN_INNER_H
#define TG_NN_INNER_H

#include <tapegrad/nn.h>

#if defined(__GNUC__)
#define TG__NN_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define TG__NN_PRINTF(text, first)
#endif

/* What a parameter is for: which of the build's initialisers holds for it. */
typedef enum tg__nn_role { TG__NN_WEIGHT, TG__NN_BIAS, TG__NN_OTHER } tg__nn_role;

/* A parameter, but for its value: that lies in the layer's part of the net's list. */
typedef struct tg__nn_parameter {
    char *name; /* "weight"; after the build "net.0.weight" */
    tg__nn_role role;
    tg_nn_init asked, standard; /* by the user, or TG_INIT_DEFAULT; the layer's own */
    int rank;
    int64_t shape[TG_MAX_RANK];
} tg__nn_parameter;

/* An array that a run may change. A run writes next; the array gets it when the outermost run has
   succeeded. */
typedef struct tg__nn_array {
    char *name; /* as of a parameter */
    size_t n;
    double *data, *next; /* (n) each, one allocation */
    bool changed;        /* next has been written */
} tg__nn_array;

/* Records what a layer computes of x. A null value after an error of the tape. */
typedef tg_value tg__nn_run(tg_nn *layer, tg_value x, const tg_site *site);

struct tg_nn {
    char *kind;
    tg__nn_run *run;
    char *name, *path; /* the one given, or NULL; NULL before the build */
    tg_nn *parent;     /* NULL: the outermost */
    tg_nn **layer;     /* inside; NULL where a mistake was made */
    tg__nn_parameter *parameter;
    tg__nn_array *array;
    int layers, parameters, arrays;
    void *settings;    /* of the kind */
    tg_status mistake; /* the first one in making it */
    uint64_t seed;     /* of dropout: of the build's seed and the path */
    tg_value *value;   /* (tg_nn_count) of this layer and those inside: a part of the outermost's */
    bool training;
    int rank; /* of its last result, for the summary; -1: none yet */
    int64_t shape[TG_MAX_RANK];
    /* Of the outermost only: */
    tg_status status;
    tg_tape *tape;       /* NULL: any, there are no parameters */
    const tg_site *site; /* of the call that is running */
    int running;         /* depth of tg_nn_forward calls */
    bool built, still;   /* still: runs leave the state alone */
};

/* ---- making layers (tree.c) ------------------------------------------------------------------ */

/* A layer with a copy of size bytes of settings, and no layers inside. NULL: no memory. */
tg_nn *tg__nn_new(const char *kind, tg__nn_run *run, const void *settings, size_t size);

/* The same around n layers, which it takes over; they are freed when there is no memory. */
tg_nn *tg__nn_around(const char *kind, tg__nn_run *run, const void *settings, size_t size,
                     tg_nn *const *layers, int n);

/* Keeps the first mistake. NULL is fine as the layer. Always false. */
bool tg__nn_mistake(tg_nn *layer, tg_code code, const char *format, ...) TG__NN_PRINTF(3, 4);

/* A mistake unless x is at least 1. */
bool tg__nn_positive(tg_nn *layer, const char *what, int64_t x);

/* Adds a parameter, an array of n numbers that start at start. Mistakes are kept; NULL is fine as
   the layer. */
void tg__nn_add(tg_nn *layer, const char *name, tg__nn_role role, tg_nn_init asked,
                tg_nn_init standard, const int64_t *shape, int rank);
void tg__nn_add_array(tg_nn *layer, const char *name, int64_t n, double start);

/* Uniform from -bound to bound. */
tg_nn_init tg__nn_within(double bound);

tg_nn *tg__nn_root(const tg_nn *layer);

/* Text in memory of its own; NULL when there is none. */
char *tg__nn_text(const char *format, ...) TG__NN_PRINTF(1, 2);

/* ---- start values (start.c) ------------------------------------------------------------------ */

/* A seed of its own for each path. */
uint64_t tg__nn_seed(uint64_t seed, const char *path);

/* Draws the start of a parameter on scratch, an f64 tape, and puts it on the tape, a null value
   after an error on either. */
tg_value tg__nn_start(tg_tape *tape, tg_tape *scratch, const tg__nn_parameter *p, tg_nn_init init,
                      uint64_t seed);

/* Why an initialiser makes no sense; NULL: it does. */
const char *tg__nn_init_wrong(tg_nn_init init);

/* ---- running (run.c) ------------------------------------------------------------------------- */

/* Runs a layer, and those one behind the other inside a layer. */
tg_value tg__nn_apply(tg_nn *layer, tg_value x, const tg_site *site);
tg_value tg__nn_chain(tg_nn *layer, tg_value x, const tg_site *site);

/* The error of a layer on x's tape. A null value. */
tg_value tg__nn_wrong(tg_nn *layer, tg_value x, const tg_site *site, const char *format, ...)
    TG__NN_PRINTF(4, 5);

/* The error that x has another shape than is wanted. */
tg_value tg__nn_misfit(tg_nn *layer, tg_value x, const tg_site *site, const char *format, ...)
    TG__NN_PRINTF(4, 5);

/* Whether x is a live value of the net's tape, and of floats. False with the error. */
bool tg__nn_usable(tg_nn *layer, tg_value x, const tg_site *site);
bool tg__nn_floats(tg_nn *layer, tg_value x, const tg_site *site);

/* What a run writes instead of the i-th array. */
double *tg__nn_next(tg_nn *layer, int i);

/* x in the shape given; part of an axis. */
tg_value tg__nn_reshaped(tg_value x, const int64_t *shape, int rank, const tg_site *site);
tg_value tg__nn_swapped(tg_value x, int axis0, int axis1, const tg_site *site);

/* Zeros of the tape of x. */
tg_value tg__nn_zeros(tg_value x, const int64_t *shape, int rank, const tg_site *site);

/* x W' + b, or without bias, where parameter i is W and i + 1 is b. */
tg_value tg__nn_affine(tg_nn *layer, tg_value x, int i, bool no_bias, const tg_site *site);

#endif
