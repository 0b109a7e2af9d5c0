/* Derivatives as recorded operations: what their rules share, and those of the elementwise ops,
   which the generator makes from the formulas of their rows. */
#include "ops/op.h"

const tg__shape *tg__shape_of(const tg__derivation *d, tg_value v)
{
    return d->to->shape(d->to, v);
}

tg_value tg__zeros(const tg__derivation *d, const tg__shape *s)
{
    return d->to->zeros(d->to, s);
}

static tg_list_attributes list_of(int rank, const int64_t *dim)
{
    tg_list_attributes list = { .count = rank };
    for (int i = 0; i < rank; i++) list.item[i] = dim[i];
    return list;
}

tg_value tg__reshaped(const tg__derivation *d, tg_value x, int rank, const int64_t *dim)
{
    const tg_list_attributes list = list_of(rank, dim);
    return d_reshape(d, x, &list);
}

tg_value tg__broadcasted(const tg__derivation *d, tg_value x, const tg__shape *s)
{
    const tg_list_attributes list = list_of(s->rank, s->dim);
    return d_broadcast_to(d, x, &list);
}

#include "map_derive.inl" /* generated: contributions, by code and operand */

void tg__map_derive(tg__derivation *d)
{
    for (int i = 0; i < d->n; i++) {
        tg__contribution *const of = tg__contributions[d->code][i];
        if (of && d->wanted[i]) d->dx[i] = of(d);
    }
}
