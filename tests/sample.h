/* Trials of ops, for the generated tests: an op of the table with operands of given shapes,
   ranges and layouts. A trial can be recorded on any tape, from the same data each time. */
#ifndef TG_TESTS_SAMPLE_H
#define TG_TESTS_SAMPLE_H

#include <tapegrad/check.h>
#include <tapegrad/tape.h>

#include "ops/op.h"

/* Where the ops begin in tg__ops: before them is the leaf. */
#define FIRST_OP 1

/* How an operand lies in memory. All but the first are views of a leaf that is larger or turned. */
typedef enum layout { ADJACENT, TRANSPOSED, BACKWARDS, SPACED, LAYOUTS } layout;

typedef struct trial {
    int op; /* the index into tg__ops */
    tg__case x;
    layout layout[TG__SAMPLES];
    bool same;  /* every operand is the first one */
    bool twice; /* the op is recorded twice, and the results are stacked */
} trial;

/* The data of a trial's leaves, row-major, in the leaves' own shapes. */
typedef struct data {
    double *element[TG__SAMPLES]; /* indices too: whole numbers */
    tg__shape shape[TG__SAMPLES];
    uint64_t seed; /* of the last number drawn */
} data;

/* The index of an op, by its name. It must exist. */
int op_named(const char *name);

/* Records an op by its name, with attributes or NULL. */
tg_value apply(const char *name, int n, const tg_value *x, const void *attributes);
tg_value apply1(const char *name, tg_value x);
tg_value apply2(const char *name, tg_value a, tg_value b);

/* Whether operand i of a trial is an index tensor. */
bool is_index(const trial *t, int i);

/* Draws operands inside the trial's ranges; drop frees them. */
data draw(const trial *t, uint64_t seed);
void drop(data *d);

/* One leaf for every operand (for all of them, if they are the same one). */
void make_leaves(const trial *t, const data *d, tg_tape *tape, tg_value *leaf);

/* The operand that a leaf is in a layout. */
tg_value lay_out(tg_value leaf, layout l);

/* Records the trial's op on its leaves. */
tg_value record_trial(const trial *t, const tg_value *leaf);

/* A constant of y's shape with random elements. */
tg_value random_cotangent(tg_value y, uint64_t seed);

/* The recorded derivative of a trial of some order, with random cotangents: one vector, made of the
   gradients by all operands. Order 0 is the value. */
tg_value trial_derivative(const trial *t, const tg_value *leaf, uint64_t seed, int order);

/* Checks the gradient of a trial's value, or of its derivative of some order. */
bool check_trial(const trial *t, int order, uint64_t seed, const tg_check_options *options,
                 tg_check_report *report);

/* "matmul of (2, 3) transposed and (3, 4)", in static memory. */
const char *trial_text(const trial *t);

/* Calls visit for the trials of one op: its samples as they are; in every layout; and, for
   elementwise ops, scalars, vectors, broadcast pairs, and one value used as every operand. */
void each_trial(int op, void (*visit)(const trial *t));

/* The trials of one op with every operand adjacent and none repeated: its samples, or small
   tensors that broadcast. */
void each_plain_trial(int op, void (*visit)(const trial *t));

#endif
