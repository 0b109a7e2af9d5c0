/* Data that the examples learn from: each function makes what it says, or ends the program. */
#ifndef EXAMPLES_DATA_H
#define EXAMPLES_DATA_H

#include <tapegrad/data.h>

/* What is learned from, and what is tested on. */
typedef struct sets {
    tg_dataset *train, *test;
} sets;

/* Points of the plane by tg_points_spirals and its like, twice, from two seeds that form.seed gives. */
sets sets_of_points(tg_dataset *(*make)(const tg_points *form, tg_status *status), tg_points form);

/* The handwritten digits of a file, divided as sets_divide does. */
sets sets_of_digits(const char *file, double test, uint64_t seed);

/* MNIST, from the folder of its four files. */
sets sets_of_mnist(const char *folder);

/* Keeps a share of each class for the test, chosen by the seed. Frees all. */
sets sets_divide(tg_dataset *all, double test, uint64_t seed);

void sets_free(sets data);

/* Minibatches of so many rows, in an order that the seed gives. */
tg_batches *batches_new(const tg_dataset *data, int size, uint64_t seed);

#endif
