/* See lower.h. Nodes are made again in their order, so that operands are there before. */
#include "program/lower.h"

#include <string.h>

#include "codes.h" /* generated */

typedef struct lowering {
    tg__graph *to;
    const tg__graph *from;
    tg__pass pass;
    const uint32_t *input; /* or NULL */
    uint32_t *map; /* by node of from: the node of to; while marking: 1 if it is needed */
    tg__arena operands;
} lowering;

static void mark(const lowering *w, const uint32_t *node, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) w->map[node[i]] = 1;
    for (uint32_t id = w->from->n; id-- > 1;) {
        if (!w->map[id] && !tg__node_acts(w->from, id)) continue;
        w->map[id] = 1;
        const tg__node *const of = tg__node_at(w->from, id);
        const uint32_t parts = tg__node_parts(of); /* behind them, looks */
        for (uint32_t j = 0; j < parts; j++) w->map[tg__node_operands(w->from, of)[j]] = 1;
    }
}

/* Views of what is made anew know its elements as adjacent ones. */
static uint32_t adjacent(tg__graph *g, uint32_t id)
{
    if (tg__graph_failed(g) || tg__shape_contiguous(tg__node_shape(g, id))) return id;
    return tg__graph_apply(g, TG__CODE_contiguous, &id, 1, NULL);
}

static uint32_t lower_op(const lowering *w, int code, const uint32_t *x, uint32_t n,
                         const void *attributes)
{
    const uint32_t other =
        w->pass == TG__EXPRESS ? tg__graph_expressed(w->to, code, x, n, attributes) : 0;
    if (other || tg__graph_failed(w->to)) return other;
    return tg__graph_apply(w->to, code, x, (int)n, attributes);
}

static uint32_t lower_constant(const lowering *w, uint32_t id)
{
    const tg__shape *const s = tg__node_shape(w->from, id);
    const void *const p = tg__node_constant(w->from, id);
    if (s->rank == 0 && s->type != TG_I64)
        return tg__graph_number(w->to, s->type == TG_F64 ? *(const double *)p
                                                         : (double)*(const float *)p);
    return tg__graph_constant(w->to, (tg__array){ s, (void *)(uintptr_t)p });
}

static uint32_t lower_back(const lowering *w, const tg__node *node, const uint32_t *x)
{
    const tg__back *const back = tg__node_data(w->from, node);
    const void *const attributes = tg__attributes_at(w->from, back->attributes);
    return tg__graph_derived(w->to, x, tg__node_n(node) - 2, back, attributes);
}

/* What an operand of ASSEMBLE looks at: only how, not of what. */
static uint32_t look_of(lowering *w, uint32_t id)
{
    if (!id) return 0;
    return tg__graph_view(w->to, tg__graph_number(w->to, 0), tg__node_shape(w->from, id),
                          tg__node_offset(w->from, id));
}

static uint32_t lower_assemble(lowering *w, const tg__node *node, const tg__shape *s, uint32_t *x)
{
    const uint32_t n = tg__node_n(node) / 2;
    for (uint32_t j = n; j < tg__node_n(node); j++)
        x[j] = look_of(w, tg__node_operands(w->from, node)[j]);
    return tg__graph_assemble(w->to, s, x, x + n, n);
}

static uint32_t lower_one(lowering *w, uint32_t id)
{
    tg__graph *const g = w->to;
    const tg__node *const node = tg__node_at(w->from, id);
    const void *const data = tg__node_data(w->from, node);
    uint32_t *const x = tg__arena_push(&w->operands, (tg__node_n(node) + 1) * sizeof *x);
    if (!x) return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    w->operands.used = 0;
    for (uint32_t j = 0; j < tg__node_n(node); j++) x[j] = w->map[tg__node_operands(w->from, node)[j]];
    const tg__shape *const s = tg__node_shape(w->from, id);
    switch (node->op) {
    case TG__NODE_INPUT:
        if (w->input) return adjacent(g, w->input[tg__node_word(w->from, node)]);
        return tg__graph_input(g, tg__node_word(w->from, node), s, node->stage == TG__BODY);
    case TG__NODE_COUNT: return w->input ? tg__graph_number(g, 1) : tg__graph_count(g);
    case TG__NODE_CONSTANT: return lower_constant(w, id);
    case TG__NODE_VIEW: return tg__graph_view(g, x[0], s, tg__node_offset(w->from, id));
    case TG__NODE_ASSEMBLE: return lower_assemble(w, node, s, x);
    case TG__NODE_SUM: return w->input ? adjacent(g, x[0]) : tg__graph_sum(g, x[0]);
    case TG__NODE_BACKWARD: return adjacent(g, lower_back(w, node, x));
    default: return adjacent(g, lower_op(w, node->op, x, tg__node_n(node), data));
    }
}

bool tg__graph_lower(tg__graph *to, const tg__graph *from, tg__pass pass, const uint32_t *input,
                     const uint32_t *node, uint32_t n, uint32_t *made)
{
    lowering w = { .to = to, .from = from, .pass = pass, .input = input };
    tg__arena map;
    tg__arena_init(&map, to->memory);
    tg__arena_init(&w.operands, to->memory);
    w.map = tg__arena_push(&map, from->n * sizeof *w.map); /* zeros, as it is new */
    const uint32_t sites = (uint32_t)(to->sites.used / sizeof(tg_site)), own = to->site;
    if (!w.map || !tg__arena_grow(&to->sites, to->sites.used + from->sites.used)) {
        tg__graph_fail(to, TG_ERROR_MEMORY, "no memory");
    } else {
        memcpy(to->sites.data + to->sites.used, from->sites.data, from->sites.used);
        to->sites.used += from->sites.used;
        mark(&w, node, n);
        for (uint32_t id = 1; id < from->n && !tg__graph_failed(to); id++) {
            to->site = sites + tg__node_at(from, id)->site;
            if (w.map[id]) w.map[id] = lower_one(&w, id);
        }
        for (uint32_t i = 0; i < n; i++) made[i] = w.map[node[i]];
        for (uint32_t i = 0; input && i < n; i++) made[i] = adjacent(to, made[i]);
        to->site = own;
    }
    tg__arena_free(&map);
    tg__arena_free(&w.operands);
    return !tg__graph_failed(to);
}
