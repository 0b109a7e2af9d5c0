/* The op table itself, and what every rule may call. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ops/attributes.h"
#include "ops/op.h"
#include "table.inl" /* generated: tg__ops, names */

/* Code 0: a leaf is an instruction without operands, so that every value comes from an instruction.
 */
const tg__op tg__op_leaf = { .name = "leaf",
                             .letters = "",
                             .doc = "input, parameter or constant",
                             .attributes = &tg__attributes_none };

tg_code tg__fail(const tg__call *c, tg_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->message, c->message_size, format, args);
    va_end(args);
    return code;
}

tg_code tg__no_axis(const tg__call *c, int axis, const tg__shape *s)
{
    return tg__fail(c, TG_ERROR_SHAPE, "there is no axis %d in shape %s", axis, TG__SHAPE_TEXT(s));
}

void *tg__scratch(const tg__call *c, size_t bytes)
{
    return tg__arena_push(c->scratch, bytes);
}

tg_code tg__make_adjacent(const tg__call *c, tg__array *a, tg__shape *s)
{
    if (tg__shape_contiguous(a->s)) return TG_OK;
    *s = *a->s;
    tg__shape_finish(s);
    const tg__array copy = { s, tg__scratch(c, (size_t)s->n * tg__type_size(s->type)) };
    if (!copy.p) return TG_ERROR_MEMORY;
    tg__copy(c->k, copy, *a);
    *a = copy;
    return TG_OK;
}

tg_code tg__target_begin(const tg__call *c, tg__array dx, tg__array *a, tg__shape *s)
{
    *a = dx;
    if (tg__shape_contiguous(dx.s)) return TG_OK;
    *s = *dx.s;
    tg__shape_finish(s);
    *a = (tg__array){ s, tg__scratch(c, (size_t)s->n * tg__type_size(s->type)) };
    if (!a->p) return TG_ERROR_MEMORY;
    c->k->fill(s->n, a->p, 1, 0);
    return TG_OK;
}

void tg__target_end(const tg__call *c, tg__array dx, tg__array a)
{
    if (a.p != dx.p) tg__add(c->k, dx, a);
}

void *tg__adjacent(const tg__call *c, tg__array x)
{
    tg__shape s;
    return tg__make_adjacent(c, &x, &s) == TG_OK ? x.p : NULL;
}

void *tg__gradient_begin(const tg__call *c, int i)
{
    tg__shape s;
    tg__array a;
    return tg__target_begin(c, c->dx[i], &a, &s) == TG_OK ? a.p : NULL;
}

void tg__gradient_end(const tg__call *c, int i, void *p)
{
    tg__shape s = *c->dx[i].s;
    tg__shape_finish(&s);
    tg__target_end(c, c->dx[i], (tg__array){ &s, p });
}

static void copy_integers(tg__array y, tg__array x)
{
    tg__walk w;
    tg__walk_begin(&w, 2, (const tg__array[]){ y, x });
    do {
        int64_t *const to = (int64_t *)(void *)w.p[0];
        const int64_t *const from = (const int64_t *)(void *)w.p[1];
        for (int64_t i = 0; i < w.n; i++) to[i * w.stride[0]] = from[i * w.stride[1]];
    } while (tg__walk_next(&w));
}

/* The kernel for all rows of y and x. */
static void each_rows(void (*kernel)(int64_t, int64_t, tg__rows, tg__rows), tg__array y,
                      tg__array x)
{
    if (tg__shape_contiguous(y.s) && tg__shape_contiguous(x.s)) {
        const int64_t n = y.s->n;
        kernel(1, n, (tg__rows){ y.p, n, 1 }, (tg__rows){ x.p, n, 1 });
        return;
    }
    const tg__array both[] = { y, x };
    ptrdiff_t row[2];
    tg__walk w;
    tg__walk_begin(&w, 2, both);
    const int64_t m = tg__walk_rows(&w, both, row);
    do
        kernel(m, w.n, (tg__rows){ w.p[0], row[0], w.stride[0] },
               (tg__rows){ w.p[1], row[1], w.stride[1] });
    while (tg__walk_next(&w));
}

void tg__copy(const tg__kernels *k, tg__array y, tg__array x)
{
    if (y.s->type == TG_I64) copy_integers(y, x);
    else each_rows(k->rows.copy, y, x);
}

void tg__add(const tg__kernels *k, tg__array y, tg__array x)
{
    each_rows(k->rows.add, y, x);
}

const char *tg__op_name(const tg__op *op, const void *attributes)
{
    const tg_custom_attributes *const custom = attributes;
    const tg_call_attributes *const call = attributes;
    if (op->attributes == &tg__attributes_custom && custom && custom->op) return custom->op->name;
    if (op->attributes == &tg__attributes_call && call && call->callee) return call->callee->name;
    return op->name;
}

int tg__find(const char *name)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].name, name) == 0) return names[i].code;
    return 0;
}

int tg_op_count(void)
{
    return (int)(sizeof names / sizeof *names);
}

bool tg_op_at(int i, tg_op_info *info)
{
    if (i < 0 || i >= tg_op_count()) return false;
    const tg__op *op = tg__ops[names[i].code];
    *info =
        (tg_op_info){ names[i].name, op->letters,
                      op->doc,       op->attributes->name,
                      op->value,     { op->derivative[0], op->derivative[1], op->derivative[2] } };
    return true;
}

bool tg_op_find(const char *name, tg_op_info *info)
{
    for (int i = 0; name && i < tg_op_count(); i++)
        if (strcmp(names[i].name, name) == 0) return tg_op_at(i, info);
    return false;
}
