/* Recording: the only writer of the tape. */
#ifndef TG_TAPE_RECORD_H
#define TG_TAPE_RECORD_H

#include <tapegrad/value.h>

#include "ops/op.h"

/* Applies the op with this code to n operands and records it. attributes NULL: the defaults. A null
   value after an error. */
tg_value tg__record(int op, const tg_value *x, int n, const void *attributes, const tg_site *site);

/* Makes a number the scalar that is its constant, beside a plain scalar, where operations can go on without further ado.
   False: it is left to tg__record. */
bool tg__take_number(tg_value *number, tg_value beside, const tg_site *site);

/* The table that recording, forward and backward go by; tests of the checks put altered rows here.
 */
extern const tg__op *const *tg__op_table;

#endif
