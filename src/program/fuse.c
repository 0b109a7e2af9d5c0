/* Tensor operations that are computed together. */
#include "codes.h" /* generated */
#include "program/planner.h"

enum { SIBLINGS_LOOKED_AT = 64, MOST_COMPARED = 512 };

/* Whether a and b have the same elements: a rule that adds to a gradient gets its operand adjacent. */
static bool same_elements(const tg__graph *g, uint32_t a, uint32_t b)
{
    const tg__node *const x = tg__node_at(g, a), *const y = tg__node_at(g, b);
    return a == b || (x->op == TG__CODE_contiguous && tg__node_operands(g, x)[0] == b) ||
           (y->op == TG__CODE_contiguous && tg__node_operands(g, y)[0] == a);
}

static bool are_siblings(const tg__planner *p, uint32_t a, uint32_t b)
{
    const tg__node *const x = tg__node_at(p->g, a), *const y = tg__node_at(p->g, b);
    if (y->op != TG__NODE_BACKWARD || tg__node_n(y) != tg__node_n(x) || p->role[b] != TG__NEEDED) return false;
    const uint32_t *const of_a = tg__node_operands(p->g, x), *const of_b =
                                                                 tg__node_operands(p->g, y);
    tg__form f;
    for (uint32_t j = 0; j < tg__node_n(x); j++)
        if (!same_elements(p->g, of_a[j], of_b[j])) return false;
    return !tg__batch_form(p, b, false, &f);
}

uint32_t tg__siblings(const tg__planner *p, uint32_t id, uint32_t node[TG__SIBLINGS])
{
    uint32_t n = 0;
    node[n++] = id;
    if (p->g->without & TG_TOGETHER) return n;
    for (uint32_t i = id + 1; i < p->n && i - id < SIBLINGS_LOOKED_AT && n < TG__SIBLINGS; i++)
        if (are_siblings(p, id, i)) node[n++] = i;
    return n;
}

/* Elements at[i] that are all different. */
static bool distinct(const uint32_t *at, uint32_t n)
{
    bool rising = true;
    for (uint32_t i = 1; i < n && rising; i++) rising = at[i] > at[i - 1];
    if (rising || n > MOST_COMPARED) return rising;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < i; j++)
            if (at[i] == at[j]) return false;
    return true;
}

uint32_t tg__side_by_side(const tg__planner *p, uint32_t id, uint32_t *at)
{
    const tg__graph *const g = p->g;
    const tg__node *const node = tg__node_at(g, id);
    const uint32_t *const x = tg__node_operands(g, node);
    const bool parts = node->op == TG__NODE_ASSEMBLE && !g->strict;
    const uint32_t n = parts ? tg__node_n(node) / 2 : tg__node_n(node);
    if (node->stage != TG__BODY || p->single || g->without & TG_TOGETHER ||
        (!parts && node->op != TG__CODE_stack))
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t look = parts ? x[n + i] : 0;
        if (!tg__is_scalar(tg__node_at(g, x[i])) || (parts && (!look || tg__node_shape(g, look)->n != 1)))
            return 0;
        at[i] = parts ? (uint32_t)tg__node_offset(g, look) : i;
    }
    return distinct(at, n) ? n : 0;
}
