/* Cheap steps of a chain, mostly of a gradient's, done again instead of storing what the chain before made: where
   storing and reading it costs more than what it is made of, which is there anyhow. */
#include <string.h>

#include "codes.h" /* generated */
#include "program/planning.h"

enum { LOOKED_BACK = 256 /* steps */ };

static tg__step *step_at(const tg__planning *w, uint32_t i)
{
    return (tg__step *)(void *)w->p.plan->steps.data + i;
}

static tg__reference *reference_at(const tg__planning *w, uint32_t i)
{
    return (tg__reference *)(void *)w->p.plan->operands.data + i;
}

static bool is_cheap(uint16_t op)
{
    switch (op) {
    case TG__CODE_add:
    case TG__CODE_sub:
    case TG__CODE_mul:
    case TG__CODE_times:
    case TG__CODE_neg:
    case TG__CODE_abs:
    case TG__CODE_square:
    case TG__CODE_relu:
    case TG__CODE_gt:
    case TG__CODE_lt: return true;
    default: return false;
    }
}

/* How many operands of elementwise steps `from` ... node is. */
static uint32_t reads_of(const tg__planning *w, uint32_t node, uint32_t from, uint32_t steps)
{
    uint32_t n = 0;
    for (uint32_t i = from; i < from + steps; i++) {
        const tg__step *const s = step_at(w, i);
        for (uint32_t j = 1; s->kind == TG__STEP_MAP && j < s->n; j++) n += reference_at(w, s->first + j)->node == node;
    }
    return n;
}

/* Whether all that a step reads is outside of the workspace, but for numbers, and at most one array is not read by
   the chain of `steps` from `from` on anyhow: reading it is as much as reading what is not stored. */
static bool reads_what_is_there(const tg__planning *w, const tg__step *s, uint32_t from, uint32_t steps)
{
    uint32_t arrays = 0;
    for (uint32_t j = 1; j < s->n; j++) {
        const uint32_t x = reference_at(w, s->first + j)->node, owner = tg__owner(&w->p, x);
        const uint16_t op = tg__node_at(w->p.g, owner)->op;
        const bool array = tg__node_shape(w->p.g, x)->n > 1;
        if (op != TG__NODE_INPUT && op != TG__NODE_CONSTANT && (array || !tg__is_scalar(tg__node_at(w->p.g, owner))))
            return false;
        arrays += array && !reads_of(w, x, from, steps);
    }
    return arrays <= 1;
}

/* The step of an earlier chain that makes a node that nothing but it and the chain at `to` read. -1: none. */
static int64_t made_before(const tg__planning *w, uint32_t node, uint32_t to, uint32_t first)
{
    int64_t made = -1;
    const uint32_t end = to - first < LOOKED_BACK ? first : to - LOOKED_BACK;
    for (uint32_t i = to; i-- > end;) {
        const tg__step *const s = step_at(w, i);
        if (made < 0 && s->kind == TG__STEP_MAP && s->n && reference_at(w, s->first)->node == node) made = i;
        if (made < 0 || !s->chain) continue;
        const uint32_t steps = tg__plan_chain(w->p.plan, s)->steps,
                       own = tg__plan_chain(w->p.plan, step_at(w, to))->steps;
        const bool all = reads_of(w, node, i, steps) + reads_of(w, node, to, own) == w->p.uses[node];
        return made < i + steps && all ? made : -1;
    }
    return -1;
}

/* Puts a copy of step `made` before the chain at `to`, whose steps read it. */
static bool repeat(tg__planning *w, uint32_t made, uint32_t to, tg__stage stage)
{
    tg__plan *const plan = w->p.plan;
    const tg__step again = *step_at(w, made);
    const uint32_t node = again.node, steps = tg__plan_chain(w->p.plan, step_at(w, to))->steps;
    const uint32_t unit = tg__new_room(w, node, again.width * tg__type_size(w->p.g->type), 1);
    tg__reference *const r = unit ? tg__more(&plan->operands, again.n, sizeof *r) : NULL;
    if (!r || !tg__more(&plan->steps, 1, sizeof again)) return false;
    const int64_t where = TG__AGAIN - (int64_t)unit;
    for (uint32_t i = to; i < to + steps; i++)
        for (uint32_t j = 1; j < step_at(w, i)->n; j++)
            if (reference_at(w, step_at(w, i)->first + j)->node == node)
                reference_at(w, step_at(w, i)->first + j)->sum = where;
    for (uint32_t j = 0; j < again.n; j++) r[j] = *reference_at(w, again.first + j);
    r[0].sum = where;
    tg__step *const s = step_at(w, to);
    memmove(s + 1, s, (tg__step_count(plan) - 1 - to) * sizeof *s);
    *s = again;
    s->first = (uint32_t)(r - reference_at(w, 0));
    s->chain = s[1].chain;
    s[1].chain = 0;
    tg__plan_chain(w->p.plan, s)->steps++;
    for (int i = (int)stage + 1; i < 4; i++) plan->begin[i]++;
    return true;
}

/* A step of the chain at `to` that reads what can be made again: the step that made it, or -1. */
static int64_t find_one(const tg__planning *w, uint32_t to, uint32_t first)
{
    const tg__chain *const c = tg__plan_chain(w->p.plan, step_at(w, to));
    if (c->product || c->steps == TG__CHAIN_STEPS) return -1;
    for (uint32_t i = to; i < to + c->steps; i++) {
        const tg__step *const s = step_at(w, i);
        for (uint32_t j = 1; s->kind == TG__STEP_MAP && j < s->n; j++) {
            const tg__reference *const r = reference_at(w, s->first + j);
            if (r->sum <= TG__AGAIN || !w->p.unit[r->node] || !is_cheap(tg__node_at(w->p.g, r->node)->op) ||
                tg__node_shape(w->p.g, r->node)->n != s->width)
                continue;
            const int64_t made = made_before(w, r->node, to, first);
            const tg__step *const m = made < 0 ? NULL : step_at(w, (uint32_t)made);
            if (m && m->width == s->width && reads_what_is_there(w, m, to, c->steps)) return made;
        }
    }
    return -1;
}

bool tg__make_again(tg__planning *w)
{
    const tg__plan *const plan = w->p.plan;
    for (int stage = TG__EARLY; stage <= TG__LATE && !(w->p.g->without & TG_CHAIN_SUMS); stage++)
        for (uint32_t i = plan->begin[stage]; i < plan->begin[stage + 1]; i++)
            for (int64_t made; step_at(w, i)->chain && (made = find_one(w, i, plan->begin[stage])) >= 0;)
                if (!repeat(w, (uint32_t)made, i, (tg__stage)stage)) return false;
    return true;
}
