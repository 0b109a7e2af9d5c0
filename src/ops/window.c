/* Windows and adjacent arrays: see window.h. */
#include "ops/window.h"

tg_code tg__read_numbers(const tg__call *c, const tg__numbers *a, int axes, int64_t out[AXES])
{
    const int given = a->each.count;
    if (given && given != axes)
        return tg__fail(c, TG_ERROR_ARGUMENT, "%ss: numbers for %d axes given, for %d needed",
                        a->name, given, axes);
    for (int i = 0; i < axes; i++) {
        const int number = given ? a->each.axis[i] : a->all;
        if (number < a->least)
            return tg__fail(c, TG_ERROR_ARGUMENT, "%s %d: at least %d is needed", a->name, number,
                            a->least);
        out[AXES - axes + i] = number;
    }
    return TG_OK;
}

int64_t tg__extent(const tg__windows *w)
{
    return w->dilation * (w->kernel - 1) + 1;
}

int64_t tg__windows_on(const tg__windows *w)
{
    const int64_t room = w->n + 2 * w->padding - tg__extent(w);
    return room < 0 ? 0 : room / w->stride + 1;
}

tg_code tg__too_large(const tg__call *c, const tg__windows *w)
{
    return tg__fail(c, TG_ERROR_SHAPE,
                    "the kernel extends over %lld positions, the axis over %lld with its padding",
                    (long long)tg__extent(w), (long long)(w->n + 2 * w->padding));
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

tg__array tg__cotangent(const tg__call *c)
{
    return (tg__array){ c->y.s, (void *)(uintptr_t)c->g };
}
