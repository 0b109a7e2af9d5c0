/* Small works: value and gradient of one instance, recorded number by number or in vectors. What is measured on
   them: scalar.c, peers/peers.c, and some of programs.c. */
#ifndef BENCH_WORKS_H
#define BENCH_WORKS_H

#include <tapegrad.h>

#include "batch.h"

enum { MOST_PARTS = 4, MOST_PARAMETERS = NET_PARAMETERS };

typedef enum work_id { CHAIN, DOT, LOGISTIC, TANH_NET, SQUARE_NET, WORKS } work_id;

typedef struct work {
    const char *name, *size;
    int inputs, targets; /* numbers in x and in y */
    int parts;           /* of the parameters; where a dimension is 0 there is none */
    struct {
        int64_t rows, columns;
    } part[MOST_PARTS];
    double low, high; /* between these lie its parameters */
    by_hand *plain;
} work;

extern const work works[WORKS];

/* Where a part begins among the parameters; of part number parts: how many parameters there are. */
int part_begin(const work *w, int part);

/* How many leaves vary with the instance: x, and y if there is any. */
int batch_leaves(const work *w);

/* The instance that a pass begins with, at most SPARE: a timed one not with that of the pass before. */
enum { SPARE = 448 };
int first_instance(void);

/* The loss of an instance. By number, x, y and p have a value for each number, otherwise one for x, one
   for y, and one for each part. */
typedef tg_value recording(const tg_value *x, const tg_value *y, const tg_value *p);

/* Operations on scalars: inline, or (shared) each a call into the library; operations on vectors. NULL: none. */
typedef struct layout {
    const char *name;
    bool by_number;
    recording *record[WORKS];
} layout;

extern const layout scalar_ops, scalar_ops_shared, vector_ops;

/* A work's leaves on a tape, x, y if there is any, and the parts; and the loss of what is in them. */
typedef struct leaves {
    const work *w;
    const layout *how;
    tg_value leaf[2 + MOST_PARTS], number[FEATURES + 1 + MOST_PARAMETERS]; /* number: of all leaves in turn */
} leaves;

leaves leaves_new(const work *w, const layout *how, tg_tape *t, const double *p); /* p NULL: zeros */
tg_value loss_of(const leaves *l);

/* For tg_run of a gradient program of the work, in an array each of this size of elements: x and y, which the caller
   puts in, the parts of p and, for a Hessian's product, of along; the loss, the parts of d, and those of the
   product, which is behind d. */
typedef struct operands {
    const void *in[2 + 2 * MOST_PARTS];
    void *out[1 + 2 * MOST_PARTS];
} operands;

operands operands_of(const work *w, size_t size, const void *p, const void *along, void *loss, void *d);

/* An instance after the other on a warm tape, which keeps the leaves. */
typedef struct eager eager;
eager *eager_new(const work *w, const layout *how, const double *p);
double eager_step(eager *e, const double *x, const double *y, double *d); /* adds to d, as by_hand does */
void eager_free(eager *e); /* NULL is fine */

/* What a step records: operations, and bytes of instructions, values, adjoints and positions. */
typedef struct recorded {
    double operations, bytes;
} recorded;
recorded eager_records(eager *e);

#endif
