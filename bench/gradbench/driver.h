/* GradBench's functions on data from outside: driver.c has the protocol, driver_models.c and
   driver_scenes.c the functions, as users of the library would write them: recorded and compiled once, then
   run as programs. */
#ifndef GRADBENCH_DRIVER_H
#define GRADBENCH_DRIVER_H

#include "../json.h"
#include "gradbench.h"

enum { LEAVES = 4, INPUTS = 8, OUTPUTS = 12 };

/* A function with its input. */
typedef struct work {
    tg_tape *tape;
    tg_value leaf[LEAVES]; /* what gradients are by, and how many */
    int leaves;
    tg_value data[INPUTS]; /* what else the model reads */
    int64_t size[4];
    double number[4];
    tg_program *program, *inner; /* inner: which that is made of */
    tg_workspace *room;
    int64_t count;               /* of a run: instances, inputs, outputs, and where they are */
    const void *in[INPUTS];
    void *to[OUTPUTS];
    tg_run_options options;
    void *own;                   /* of a problem of gradbench.h, or whatever else */
    double value;                /* which a gradient comes with */
    double *out;                 /* the result, (rows, columns) or (columns) if rows is 0, or one number */
    int64_t rows, columns;
    char error[512];             /* what there is about the input that cannot be done */
} work;

typedef struct function {
    const char *module, *name;
    void (*prepare)(work *k, const json *input);
    void (*compile)(work *k); /* after that, if there was no error; NULL: nothing */
    void (*run)(work *k);
    void (*write)(const work *k, json *message); /* adds "output" */
    void (*stop)(work *k);                       /* gives own back; NULL: nothing */
} function;

extern const function functions_of_models[], functions_of_scenes[]; /* module NULL: the end */

/* A leaf of nested lists of numbers, or of one number. */
tg_value tensor(work *k, tg_leaf kind, const json *j);

/* A number of the input that has to be there. */
double number_of(work *k, const json *input, const char *key);

void refuse(work *k, const char *why);

/* Room for the result: rows x columns numbers; rows 0: columns; both 0: one. */
void result_of(work *k, int64_t rows, int64_t columns);

/* Writes that as number, list or list of lists. */
void write_result(const work *k, json *message);
json *add_numbers(json *to, const char *key, const double *x, int64_t rows, int64_t columns);

/* Whether there is no error so far; one of the tape or of status becomes k's. */
bool is_fine(work *k, const tg_status *status);

/* The outputs of a run of k->program by its leaves, one instance: y, or with gradient also its gradients,
   which become the result. */
void compile_work(work *k, tg_value y, bool gradient);

/* The same of the gradient, y being what one of count points contributes: batch are its inputs, n of them,
   whose data for all points is given. With second, and by one leaf, also the Hessian times ones, behind the
   gradient. */
void compile_points(work *k, tg_value y, const tg_value *batch, const tg_value *data, int n, int64_t count,
                    bool second);

/* Room to run k->program, which is there now. */
void make_room(work *k);

void run_work(work *k);

#endif
