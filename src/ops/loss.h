/* What all losses share: elements that are kept, added up or averaged. The attributes of every loss
   begin with its reduction. Defined in loss.c. */
#ifndef TG_OPS_LOSS_H
#define TG_OPS_LOSS_H

#include "ops/op.h"

static inline tg_reduction tg__reduction(const void *attributes)
{
    return *(const tg_reduction *)attributes;
}

/* y from the shape of the loss's elements. */
tg_code tg__loss_shape(const tg__call *c, const tg__shape *elements, tg__shape *y);

/* Writes the sum s of a loss's elements, or the mean: over n. */
void tg__loss_write(const tg__call *c, const tg__sums *s, double n);

/* The gradients that come in to the elements of a loss whose mean is over n. */
tg__incoming tg__loss_incoming(const tg__call *c, double n);

/* The same as a value that broadcasts to the elements. */
tg_value tg__loss_incoming_value(const tg__derivation *d, double n);

#endif
