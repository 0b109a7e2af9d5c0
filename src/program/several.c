/* Several nodes of one shape as one node with a first axis more, and back: see graph.h. */
#include "program/graph.h"

/* n times s; false after the error that it has too many axes. */
static bool several(tg__graph *g, const tg__shape *s, uint32_t n, tg__shape *all)
{
    if (tg__graph_failed(g)) return false;
    if (s->rank == TG_MAX_RANK)
        return tg__graph_fail(g, TG_ERROR_SHAPE, "shape %s leaves no axis for %u of it",
                              TG__SHAPE_TEXT(s), n);
    *all = (tg__shape){ .type = s->type, .rank = s->rank + 1, .dim = { n } };
    for (int i = 0; i < s->rank; i++) all->dim[1 + i] = s->dim[i];
    if (tg__shape_finish(all)) return true;
    return tg__graph_fail(g, TG_ERROR_SHAPE, "%u of shape %s are too many", n, TG__SHAPE_TEXT(s));
}

uint32_t tg__graph_inputs_like(tg__graph *g, uint32_t which, const tg__shape *like, int count,
                               bool varies)
{
    tg__shape all = *like;
    if (tg__graph_failed(g) || (count > 0 && !several(g, like, (uint32_t)count, &all))) return 0;
    return tg__graph_input(g, which, &all, varies);
}

uint32_t tg__graph_one_of(tg__graph *g, uint32_t all, int count, uint32_t i)
{
    if (tg__graph_failed(g) || count == 0) return all;
    const tg__shape *const s = tg__node_shape(g, all);
    tg__shape one = { .type = s->type, .rank = s->rank - 1 };
    for (int j = 0; j < one.rank; j++) one.dim[j] = s->dim[1 + j];
    tg__shape_finish(&one);
    return tg__graph_view(g, all, &one, (int64_t)i * one.n);
}

uint32_t tg__graph_rows(tg__graph *g, const tg__shape *s, uint32_t *part, uint32_t n)
{
    if (tg__graph_failed(g)) return 0;
    tg__shape one = *tg__node_shape(g, part[0]);
    tg__shape_finish(&one);
    const uint32_t any = tg__graph_number(g, 0); /* not a part, which may be a view itself */
    for (uint32_t i = 0; i < n; i++) part[n + i] = tg__graph_view(g, any, &one, (int64_t)i * one.n);
    return tg__graph_assemble(g, s, part, part + n, n);
}

uint32_t tg__graph_all_of(tg__graph *g, uint32_t *part, int count)
{
    tg__shape all;
    if (count == 0 || tg__graph_failed(g)) return part[0];
    const tg__shape one = *tg__node_shape(g, part[0]);
    return several(g, &one, (uint32_t)count, &all) ? tg__graph_rows(g, &all, part, (uint32_t)count)
                                                   : 0;
}
