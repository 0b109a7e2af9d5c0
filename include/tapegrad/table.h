/* The op table at run time: for bindings to other languages, and for whoever wants to see what
   there is. */
#ifndef TAPEGRAD_TABLE_H
#define TAPEGRAD_TABLE_H

#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One operation. letters has one per operand: l the result is linear in it, n it is not, 0 no
   gradient, i an index tensor, c copied (linear, and integers give integers); a last * repeats the letter before it. attributes names the struct
   tg_NAME_attributes, or is "none". formula and derivative are those of an elementwise operation,
   else NULL. All static. */
typedef struct tg_op_info {
    const char *name;
    const char *letters;
    const char *doc;
    const char *attributes;
    const char *formula;
    const char *derivative[3];
} tg_op_info;

/* The number of names in the table, second names included. */
TG_API int tg_op_count(void);

/* The i-th, or false if there is none. Thread-safe. */
TG_API bool tg_op_at(int i, tg_op_info *info);

/* The one with this name, or false. Thread-safe. */
TG_API bool tg_op_find(const char *name, tg_op_info *info);

/* Records the operation with this name on n operands. attributes is text, "axis=1, keep=true", or
   NULL for the defaults. tape gets the error if something is wrong; also if there is no such name.
 */
TG_API tg_value tg_apply(tg_tape *tape, const char *name, const tg_value *x, int n,
                         const char *attributes);

#ifdef __cplusplus
}
#endif
#endif
