/* GradBench's functions on data from outside: driver.c has the protocol, driver_models.c and
   driver_scenes.c the functions, as users of the library would write them: eager, in tensors. */
#ifndef GRADBENCH_DRIVER_H
#define GRADBENCH_DRIVER_H

#include "../json.h"
#include "gradbench.h"

/* A function with its input. */
typedef struct work {
    tg_tape *tape;
    tg_mark mark;        /* behind the leaves */
    tg_value leaf[4];    /* what gradients are by, and how many */
    int leaves;
    tg_value data[8];    /* what else the model reads */
    int64_t size[4];
    double number[4];
    void *own;           /* of a problem of gradbench.h */
    double *out;         /* the result, (rows, columns) or (columns) if rows is 0, or one number */
    int64_t rows, columns;
    char error[200];     /* what there is about the input that cannot be done */
} work;

typedef struct function {
    const char *module, *name;
    void (*prepare)(work *k, const json *input);
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

/* Runs the last value's walk back, and puts the gradients of all leaves behind each other into out. */
void read_gradients(work *k, tg_value y);

#endif
