/* Windows: see window.h. */
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

tg__array tg__cotangent(const tg__call *c)
{
    return (tg__array){ c->y.s, (void *)(uintptr_t)c->g };
}
