/* Plain scalar instructions of f64 tapes, which make up scalar models: computed and walked in one
   loop each. */
#ifndef TG_TAPE_SCALAR_H
#define TG_TAPE_SCALAR_H

#include "tape/tape.h"

/* The value of the elementwise op with this code; operands it does not have are ignored. */
double tg__scalar_value(int code, double a, double b, double c);

/* Walks back over plain scalar instructions and leaves from instruction end - 1 on, adding to
   adjoints. Returns the end of what it has not walked: 0, or one past an instruction of another
   kind. */
uint32_t tg__scalar_backward(const tg_tape *t, uint32_t end);

/* The same with several planes of adjoints. */
uint32_t tg__scalar_backward_planes(const tg_tape *t, uint32_t end);

#endif
