/* The same loss recorded on a tape, and what both tests compare. */
#ifndef ON_TAPE_H
#define ON_TAPE_H

#include <tapegrad.h>

#include "ridge.h"

enum { SAMPLES = 6, FEATURES = 3 };
extern ridge_data example;             /* (SAMPLES, FEATURES) */
extern const double weights[FEATURES]; /* where the gradients are looked at */

/* For tg_gradcheck: inputs[0] are the weights. user is a ridge_data. */
tg_value ridge_on_tape(tg_tape *tape, const tg_value *inputs, void *user);

/* Whether the loss and the gradient by hand are those of the tape, to twelve digits; if not,
   message says where. */
bool hand_agrees(const double *w, size_t n, ridge_data *data, char *message, size_t size);

#endif
