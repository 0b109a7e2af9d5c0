/* What an operation keeps for its gradient, so that it is not computed twice: the softmax of a loss, the weights
   of attention. Only where both are steps of one stage; then what is kept lies in memory of its own, which the
   gradient overwrites where it is the only one. */
#include <string.h>

#include "program/planning.h"

static tg__keep *keep_at(const tg__planning *w, uint32_t i)
{
    return (tg__keep *)(void *)w->keeps.data + i;
}

/* How many elements an operation keeps. */
static int64_t elements_kept(const tg__planning *w, uint32_t id)
{
    const tg__graph *const g = w->p.g;
    const tg__node *const node = tg__node_at(g, id);
    const uint32_t *const x = tg__node_operands(g, node);
    tg__array operand[TG__KEEPERS];
    if (tg__node_n(node) > TG__KEEPERS) return 0;
    for (uint32_t j = 0; j < tg__node_n(node); j++) operand[j] = (tg__array){ tg__node_shape(g, x[j]), NULL };
    const tg__call c = { .op = tg__ops[node->op], .code = node->op, .k = g->k, .n = (int)tg__node_n(node), .x = operand,
                         .y = { tg__node_shape(g, id), NULL }, .attributes = tg__node_data(g, node) };
    return c.op->kept(&c);
}

/* The operation whose gradient a node is, if that can keep something; else 0. */
static uint32_t kept_for(const tg__planning *w, uint32_t id)
{
    const tg__graph *const g = w->p.g;
    const tg__node *const node = tg__node_at(g, id);
    if (node->op != TG__NODE_BACKWARD || w->p.role[id] != TG__NEEDED) return 0;
    const tg__back *const b = tg__node_data(g, node);
    if (!tg__ops[b->op]->kept) return 0;
    const uint32_t y = tg__same(&w->p, tg__node_operands(g, node)[tg__node_n(node) - 2]);
    const bool there = tg__node_at(g, y)->op == b->op && w->p.role[y] == TG__NEEDED;
    return there && (w->p.single || tg__node_at(g, y)->stage == node->stage) ? y : 0;
}

/* Both take all instances at once, or both one after the other. */
static bool in_one_way(const tg__planning *w, uint32_t id, uint32_t y)
{
    tg__form f;
    return tg__batch_form(&w->p, id, false, &f) == tg__batch_form(&w->p, y, false, &f);
}

bool tg__find_kept(tg__planning *w)
{
    if (w->p.g->strict || w->p.g->without & TG_KEEP) return true;
    for (uint32_t id = 1; id < w->p.n; id++) {
        const uint32_t y = kept_for(w, id);
        if (!y) continue;
        if (!w->keep[y]) {
            const int64_t n = elements_kept(w, y);
            if (n == 0 || n > UINT32_MAX / 8) continue;
            tg__keep *const made = tg__more(&w->keeps, 1, sizeof *made);
            if (!made) return false;
            *made = (tg__keep){ .node = y, .n = (uint32_t)n };
            w->keep[y] = (uint32_t)(w->keeps.used / sizeof *made);
        }
        tg__keep *const k = keep_at(w, w->keep[y] - 1);
        if (in_one_way(w, id, y)) w->keep[id] = w->keep[y], k->readers++;
    }
    return true;
}

tg__keep *tg__kept_by(const tg__planning *w, uint32_t id)
{
    tg__keep *const k = w->keep[id] ? keep_at(w, w->keep[id] - 1) : NULL;
    return k && k->readers ? k : NULL;
}

bool tg__takes_place(const tg__planning *w, uint32_t id, const tg__keep *k)
{
    const tg__op *const op = tg__ops[tg__node_at(w->p.g, k->node)->op];
    const bool only = !strpbrk(op->letters + 1, "lnac");
    return k->unit && k->readers == 1 && only && tg__node_shape(w->p.g, id)->n == k->n;
}
