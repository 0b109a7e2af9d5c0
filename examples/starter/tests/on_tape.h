/* The same loss recorded on a tape, and the data that the tests look at. */
#ifndef ON_TAPE_H
#define ON_TAPE_H

#include <tapegrad.h>

#include "ridge.h"

enum { SAMPLES = 6, FEATURES = 3 };
extern ridge_data example;             /* (SAMPLES, FEATURES) */
extern const double weights[FEATURES]; /* where the gradients are looked at */

/* For tg_gradcheck: inputs[0] are the weights. user is a ridge_data. */
tg_value ridge_on_tape(tg_tape *tape, const tg_value *inputs, void *user);

/* The loss's gradient at w, by the tape, into g (n). */
void gradient_on_tape(const double *w, size_t n, double *g, ridge_data *data);

#endif
