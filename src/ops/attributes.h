/* Attributes by name, as text: what tg_apply takes from bindings, and what printed tapes show. */
#ifndef TG_OPS_ATTRIBUTES_H
#define TG_OPS_ATTRIBUTES_H

#include "ops/op.h"

/* Reads "axis=1, keep=true" into out, which has room for kind->size bytes and gets the defaults for
   what is not named. Values: whole numbers, all (axis), end (slice); numbers with a point whatever
   the locale, inf, nan; true, false; mean, sum, none; equations in quotes; lists (0, 2), or one number
   for a list of one. A kind that is only a list also takes the list alone: "(3, -1)". Python's spelling passes
   too: True, (3,). The empty text gives the defaults.
   Otherwise TG_ERROR_ARGUMENT, the reason in message (cut to size), and out has the defaults. */
tg_code tg__attributes_parse(const tg__attributes *kind, const char *text, void *out, char *message,
                             size_t size);

/* The same; where, unless it is NULL, gets the character of a mistake, in place of the message. */
tg_code tg__attributes_read(const tg__attributes *kind, const char *text, void *out, char *message,
                            size_t size, size_t *where);

/* The inverse: the fields that differ from the defaults, as text that parses to the same; cut to
   size. */
void tg__attributes_print(const tg__attributes *kind, const void *attributes, char *text,
                          size_t size);

/* A copy of attributes that have fields: bytes between these are zero, so that equals are equal bytes. */
void tg__attributes_copy(const tg__attributes *kind, const void *attributes, void *out);

#endif
