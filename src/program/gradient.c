/* The gradient of a graph, as nodes of the same graph: the walk of tape/derivative.c over nodes. What
   is differentiated is any owner of elements; views contribute to parts of it. */
#include <string.h>

#include <tapegrad/inline.h>

#include "codes.h" /* generated */
#include "program/graph.h"

/* What has been added to an owner so far. */
typedef struct adjoint {
    uint32_t whole; /* a node of its shape; 0: none */
    uint32_t parts; /* the newest contribution through a view, a place in the list; 0: none. Of a view: its own */
} adjoint;

typedef struct part {
    uint32_t node, look, next;
} part;

/* Bytes borrowed for each node, and for each part: itself, and as an operand, with where it goes. */
enum { OF_A_NODE = sizeof(adjoint) + sizeof(bool), OF_A_PART = sizeof(part), OF_AN_OPERAND = 2 * sizeof(uint32_t) };

typedef struct walk {
    tg__recorder recorder; /* first: rules get its address */
    tg__graph *g;
    uint32_t n; /* nodes that there were at the beginning */
    unsigned how;
    bool summing; /* what is being differentiated does not vary: its gradient is summed already */
    uint32_t at;
    tg__arena adjoints, parts, operands;
    bool *wanted; /* by node: an asked-for one is among what it is made of, and its elements are no integers */
} walk;

static adjoint *adjoint_of(const walk *w, uint32_t owner)
{
    return (adjoint *)(void *)w->adjoints.data + owner;
}

static uint32_t out_of_memory(walk *w)
{
    return tg__graph_fail(w->g, TG_ERROR_MEMORY, "no memory");
}

/* ---- the recorder that rules see: values are nodes -------------------------------------------- */

static uint32_t node_of(walk *w, tg_value v)
{
    return v.tape == TG__NUMBER ? tg__graph_number(w->g, tg__number_of(v)) : v.id;
}

static tg_value apply(tg__recorder *r, int code, const tg_value *x, int n, const void *attributes)
{
    walk *const w = (walk *)(void *)r;
    tg__arena *const a = &w->operands;
    const size_t used = a->used;
    uint32_t few[4], *const id = n <= 4 ? few : tg__arena_push(a, (size_t)n * sizeof *id);
    if (!id) return out_of_memory(w), tg__node_value(w->g, 0);
    for (int i = 0; i < n; i++) id[i] = node_of(w, x[i]);
    const uint32_t node = tg__graph_apply(w->g, code, id, n, attributes);
    a->used = used;
    return tg__node_value(w->g, node);
}

static void fail(tg__recorder *r, const char *why)
{
    walk *const w = (walk *)(void *)r;
    const tg__node *const node = tg__node_at(w->g, w->at);
    const tg__op *const op = tg__node_op(node); /* none of what has been folded */
    tg__graph_fail(w->g, TG_ERROR_HISTORY, "%s: %s",
                   op ? tg__op_name(op, tg__node_data(w->g, node)) : "gradient", why);
}

static tg_value filled(walk *w, double x, const tg__shape *s)
{
    const uint32_t number = tg__graph_number(w->g, x);
    if (s->rank == 0) return tg__node_value(w->g, number);
    tg_list_attributes list = { .count = s->rank };
    for (int i = 0; i < s->rank; i++) list.item[i] = s->dim[i];
    return tg__node_value(w->g, tg__graph_apply(w->g, TG__CODE_broadcast_to, &number, 1, &list));
}

static tg_value zeros(tg__recorder *r, const tg__shape *s)
{
    return filled((walk *)(void *)r, 0, s);
}

static const tg__shape *shape(const tg__recorder *r, tg_value v)
{
    const tg__graph *const g = ((const walk *)(const void *)r)->g;
    return tg__node_shape(g, v.tape == TG__NUMBER ? 0 : v.id);
}

static void custom(tg__recorder *r, tg__derivation *d, const tg_custom *op)
{
    tg__graph_derive_custom(((walk *)(void *)r)->g, d, op);
}

static tg__recorder recorder(bool linear)
{
    return (tg__recorder){ apply, linear, fail, tg__of_number, zeros, shape, custom };
}

/* ---- contributions ----------------------------------------------------------------------------- */

/* v summed over the axes along which s was repeated, in s's shape. */
static uint32_t summed_to(walk *w, uint32_t v, const tg__shape *s)
{
    const tg__shape *const is = tg__node_shape(w->g, v);
    if (tg__shape_same_dims(is, s)) return v;
    const tg__shape from = *is;
    tg_reduce_attributes over = { TG_DEFAULTS_reduce };
    over.keep = true;
    for (int i = 0; i < from.rank; i++) {
        const int j = i - (from.rank - s->rank);
        if (j < 0 || s->dim[j] != from.dim[i]) over.axes.axis[over.axes.count++] = i;
    }
    if (over.axes.count) v = tg__graph_apply(w->g, TG__CODE_sum, &v, 1, &over);
    if (from.rank == s->rank) return v;
    tg_list_attributes list = { .count = s->rank };
    for (int i = 0; i < s->rank; i++) list.item[i] = s->dim[i];
    return tg__graph_apply(w->g, TG__CODE_reshape, &v, 1, &list);
}

/* What an instance contributes to something that does not vary, summed over the batch. */
static uint32_t over_the_batch(walk *w, uint32_t v)
{
    if (tg__node_at(w->g, v)->stage == TG__BODY) return tg__graph_sum(w->g, v);
    const uint32_t x[] = { v, tg__graph_count(w->g) };
    return w->summing ? v : tg__graph_apply(w->g, TG__CODE_mul, x, 2, NULL);
}

/* Apart, since it would need registers where most contributions need none. */
__attribute__((noinline)) static void contribute_any(walk *w, uint32_t to, uint32_t v)
{
    tg__graph *const g = w->g;
    if (!tg__is_scalar(tg__node_at(g, to)) || !tg__is_scalar(tg__node_at(g, v))) {
        const tg__shape s = *tg__node_shape(g, to);
        v = summed_to(w, v, &s);
    }
    const uint32_t owner = tg__node_owner(g, to);
    if (!(w->how & TG__EACH) && tg__node_at(g, owner)->stage != TG__BODY)
        v = over_the_batch(w, v);
    adjoint *const a = adjoint_of(w, owner);
    if (owner == to) {
        const uint32_t sum[] = { a->whole, v };
        a->whole = a->whole ? tg__graph_apply(g, TG__CODE_add, sum, 2, NULL) : v;
        return;
    }
    adjoint *const own = adjoint_of(w, to);
    part *const before = (part *)(void *)w->parts.data + own->parts;
    if (own->parts && !g->strict) {
        const uint32_t sum[] = { before->node, v };
        before->node = tg__graph_apply(g, TG__CODE_add, sum, 2, NULL);
        return;
    }
    const size_t used = w->parts.used;
    if (!tg__arena_grow(&w->parts, used + sizeof(part))) {
        out_of_memory(w);
        return;
    }
    *(part *)(void *)(w->parts.data + used) = (part){ v, to, a->parts };
    a->parts = own->parts = (uint32_t)(used / sizeof(part));
    w->parts.used = used + sizeof(part);
}

/* Mostly it is the first to a plain scalar of one instance. */
static void contribute(walk *w, uint32_t to, uint32_t v)
{
    const tg__node *const node = tg__node_at(w->g, to);
    adjoint *const a = adjoint_of(w, to);
    const bool first = node->few && node->op != TG__NODE_VIEW && node->stage == TG__BODY && !a->whole;
    if (first && tg__is_scalar(tg__node_at(w->g, v))) a->whole = v;
    else contribute_any(w, to, v);
}

/* Whether a part is the whole of an owner with shape s, in other dimensions. */
static bool is_all_of(const tg__graph *g, const part *p, const tg__shape *s)
{
    const tg__shape *const look = tg__node_shape(g, p->look);
    return look->n == s->n && tg__shape_contiguous(look) && tg__shape_contiguous(s) &&
           tg__shape_contiguous(tg__node_shape(g, p->node)) && !g->strict;
}

/* Of an owner's parts, put together. */
static uint32_t put_together(walk *w, uint32_t owner)
{
    adjoint *const a = adjoint_of(w, owner);
    const part *const list = (const part *)(void *)w->parts.data;
    uint32_t n = a->whole ? 1 : 0;
    for (uint32_t p = a->parts; p; p = list[p].next) n++;
    const tg__shape s = *tg__node_shape(w->g, owner);
    if (n == 1 && is_all_of(w->g, &list[a->parts], &s)) {
        a->whole = tg__graph_view(w->g, list[a->parts].node, &s, 0);
        a->parts = 0;
        return a->whole;
    }
    const size_t used = w->operands.used;
    uint32_t *const x = tg__arena_push(&w->operands, 2 * (size_t)n * sizeof *x);
    if (!x) return out_of_memory(w);
    uint32_t i = n; /* the oldest first */
    for (uint32_t p = a->parts; p; p = list[p].next) {
        x[--i] = list[p].node;
        x[n + i] = list[p].look;
    }
    if (a->whole) x[0] = a->whole, x[n] = 0;
    a->whole = tg__graph_assemble(w->g, &s, x, x + n, n);
    a->parts = 0;
    w->operands.used = used;
    return a->whole;
}

/* The gradient by an owner, of all that contributed; 0: nothing did. */
static uint32_t gradient_of(walk *w, uint32_t owner)
{
    const adjoint *const a = adjoint_of(w, owner);
    return a->parts ? put_together(w, owner) : a->whole;
}

/* ---- the walk ---------------------------------------------------------------------------------- */

static bool wants(const walk *w, uint32_t x, char letter)
{
    return w->wanted[x] && tg__is_differentiable(letter);
}

/* Whether one of what a node is made of is wanted. */
static bool leads_on(const walk *w, const tg__node *node)
{
    const tg__op *const op = tg__node_op(node);
    const uint32_t *const x = tg__node_operands(w->g, node);
    const uint32_t n = tg__node_parts(node);
    if (!op && node->op != TG__NODE_ASSEMBLE && node->op != TG__NODE_SUM && node->op != TG__NODE_VIEW) return false;
    for (uint32_t j = 0; j < n; j++)
        if (wants(w, x[j], op ? tg__letter(op->letters, (int)j) : 'l')) return true;
    return false;
}

static void mark(const walk *w, uint32_t from)
{
    for (uint32_t i = from; i < w->n; i++) {
        const tg__node *const node = tg__node_at(w->g, i);
        if (!w->wanted[i])
            w->wanted[i] = leads_on(w, node) && (tg__is_scalar(node) || tg__node_shape(w->g, i)->type != TG_I64);
    }
}

/* By the op's numeric rule: one node an operand, which cannot be differentiated again. */
static void step_by_rule(walk *w, uint32_t i, uint32_t gradient)
{
    const tg__node node = *tg__node_at(w->g, i);
    const tg__op *const op = tg__node_op(&node);
    for (uint32_t j = 0; j < tg__node_n(&node) && !tg__graph_failed(w->g); j++) {
        const uint32_t x = tg__node_operands(w->g, &node)[j];
        if (wants(w, x, tg__letter(op->letters, (int)j)))
            contribute(w, x, tg__graph_backward(w->g, i, (int)j, gradient));
    }
}

/* Ops whose gradient needs none of their values: recorded, it does not keep them alive, and numbers that
   are repeated stay numbers. */
static bool is_copying(const tg__graph *g, int code)
{
    return !g->strict && (code == TG__CODE_sum || code == TG__CODE_mean ||
                          code == TG__CODE_contiguous || code == TG__CODE_cat || code == TG__CODE_scatter_add);
}

/* By the op's recorded derivative. */
static void step_by_ops(walk *w, uint32_t i, uint32_t gradient)
{
    tg__graph *const g = w->g;
    const tg__node node = *tg__node_at(g, i);
    const tg__op *const op = tg__node_op(&node);
    const size_t used = w->operands.used, n = tg__node_n(&node);
    union {
        max_align_t align;
        char byte[TG__ATTRIBUTES_BYTES];
    } attributes;
    if (tg__node_word(g, &node)) memcpy(&attributes, tg__node_data(g, &node), op->attributes->size);
    tg_value few[8];
    bool few_wanted[4];
    tg_value *const x =
        n <= 4 ? few : tg__arena_push(&w->operands, n * (2 * sizeof *x + sizeof(bool)));
    if (!x) {
        out_of_memory(w);
        return;
    }
    tg_value *const dx = x + n;
    bool *const wanted = n <= 4 ? few_wanted : (bool *)(void *)(dx + n);
    for (size_t j = 0; j < n; j++) {
        const uint32_t id = tg__node_operands(g, &node)[j];
        x[j] = tg__node_value(w->g, id);
        dx[j] = (tg_value){ NULL, 0, 0 };
        wanted[j] = wants(w, id, tg__letter(op->letters, (int)j));
    }
    tg__derivation d = { .to = &w->recorder, .code = node.op, .attributes = &attributes,
                         .n = (int)n, .x = x, .y = tg__node_value(w->g, i), .g = tg__node_value(w->g, gradient),
                         .wanted = wanted, .dx = dx };
    op->derive(&d);
    for (size_t j = 0; j < n && !tg__graph_failed(g); j++) {
        const bool given = dx[j].generation || dx[j].tape == TG__NUMBER;
        if (!wanted[j] || !given) continue;
        uint32_t v = node_of(w, dx[j]);
        const bool apart = op->kind != TG__MAP && is_copying(g, node.op) && tg__node_at(g, v)->stage == TG__BODY;
        if (apart && !tg__shape_contiguous(tg__node_shape(g, v)))
            v = tg__graph_apply(g, TG__CODE_contiguous, &v, 1, NULL);
        contribute(w, x[j].id, v);
    }
    w->operands.used = used;
}

/* The same of plain scalars, as nearly all nodes of large graphs are: without what these do not need. */
static void step_by_formulas(walk *w, uint32_t i, uint32_t gradient)
{
    const tg__graph *const g = w->g;
    const tg__node node = *tg__node_at(g, i);
    const tg_value x[3] = { tg__node_value(g, node.x[0]), tg__node_value(g, node.x[1]), tg__node_value(g, node.x[2]) };
    const tg__derivation d = { .to = &w->recorder, .code = node.op, .n = node.few, .x = x,
                               .y = tg__node_value(g, i), .g = tg__node_value(g, gradient) };
    uint32_t v[3] = { 0 };
    for (uint32_t j = 0; j < node.few; j++) {
        tg__contribution *const of = tg__contributions[node.op][j];
        if (of && w->wanted[node.x[j]]) v[j] = of(&d).id;
    }
    for (uint32_t j = 0; j < node.few && !tg__graph_failed(g); j++)
        if (v[j]) contribute(w, node.x[j], v[j]);
}

/* What was put together from parts: each gets its part of the gradient. */
static void step_apart(walk *w, uint32_t i, uint32_t gradient)
{
    tg__graph *const g = w->g;
    const tg__node node = *tg__node_at(g, i);
    const uint32_t n = tg__node_n(&node) / 2;
    if (!tg__shape_contiguous(tg__node_shape(g, gradient)))
        gradient = tg__graph_apply(g, TG__CODE_contiguous, &gradient, 1, NULL);
    for (uint32_t j = 0; j < n && !tg__graph_failed(g); j++) {
        const uint32_t x = tg__node_operands(g, &node)[j], look = tg__node_operands(g, &node)[n + j];
        if (!wants(w, x, 'l')) continue;
        const tg__shape s = *tg__node_shape(g, look ? look : i);
        const int64_t offset = look ? tg__node_offset(g, look) : 0;
        contribute(w, x, look ? tg__graph_view(g, gradient, &s, offset) : gradient);
    }
}

/* A sum over the batch gives every instance its gradient, which is there before the instances. */
static void step_each(walk *w, uint32_t i, uint32_t gradient)
{
    if (tg__node_at(w->g, gradient)->stage == TG__EARLY)
        contribute(w, tg__node_operands(w->g, tg__node_at(w->g, i))[0], gradient);
    else
        tg__graph_fail(w->g, TG_ERROR_HISTORY,
                       "a sum over the batch can be differentiated only where it goes into what is "
                       "linear in it");
}

/* The gradient of a user's operation without .derivative: it is linear in its first operand, the cotangent,
   by which it is differentiated by .tangent, whatever the cotangent is. */
static void step_by_tangent(walk *w, uint32_t i, uint32_t gradient)
{
    const tg__node node = *tg__node_at(w->g, i);
    const tg_custom_attributes a = *(const tg_custom_attributes *)tg__node_data(w->g, &node);
    const uint32_t *const own = tg__node_operands(w->g, &node), cotangent = own[0];
    uint32_t x[1 + TG__CUSTOM_OPERANDS];
    bool twice = false;
    for (uint32_t j = 1; j < tg__node_n(&node); j++) x[j] = own[j], twice |= !a.linear && w->wanted[own[j]];
    if (twice) fail(&w->recorder, "it has no .derivative: it cannot be differentiated twice");
    else if (!a.op->tangent) fail(&w->recorder, "it has neither .derivative nor .tangent");
    if (tg__graph_failed(w->g) || !w->wanted[cotangent]) return;
    const tg__shape s = *tg__node_shape(w->g, cotangent);
    x[0] = filled(w, 1, &s).id;
    const uint32_t same = tg__graph_apply(w->g, TG__CODE_custom_gradient, x, (int)tg__node_n(&node), &a);
    if (!tg__graph_failed(w->g)) contribute(w, cotangent, tg__graph_backward(w->g, same, 0, gradient));
}

static void step(walk *w, uint32_t i)
{
    const adjoint *const a = adjoint_of(w, i);
    if (!w->wanted[i] || (!a->whole && !a->parts)) return;
    tg__graph *const g = w->g;
    const tg__node *const node = tg__node_at(g, i);
    const tg__op *const op = tg__node_op(node);
    const bool assembled = node->op == TG__NODE_ASSEMBLE, summed = node->op == TG__NODE_SUM;
    const uint32_t gradient = op || assembled || summed ? gradient_of(w, i) : 0;
    if (!gradient) return;
    w->at = i;
    w->summing = node->stage != TG__BODY;
    g->site = node->site;
    const bool by_ops = w->how & TG__BY_OPS;
    if (assembled) step_apart(w, i, gradient);
    else if (summed) step_each(w, i, gradient);
    else if (node->op == TG__CODE_custom_gradient) step_by_tangent(w, i, gradient);
    else if (op->kind == TG__OP && !by_ops && node->op != TG__CODE_call && !is_copying(g, node->op))
        step_by_rule(w, i, gradient);
    else if (node->few && op->kind == TG__MAP) step_by_formulas(w, i, gradient);
    else step_by_ops(w, i, gradient);
}

/* ---- the whole --------------------------------------------------------------------------------- */

size_t tg__graph_gradient_bytes(const tg__graph *g)
{
    return (size_t)g->n * OF_A_NODE + (1 + (size_t)g->views) * (OF_A_PART + OF_AN_OPERAND) + (size_t)3 * 64;
}

/* Parts are mostly one a view, and those of one node mostly the most operands. */
static bool begin(walk *w, const uint32_t *wrt, const uint32_t *from, int m)
{
    const size_t parts = 1 + (size_t)w->g->views;
    if (!tg__graph_borrow(w->g, &w->adjoints, (size_t)w->n * OF_A_NODE) ||
        !tg__graph_borrow(w->g, &w->parts, parts * OF_A_PART) ||
        !tg__graph_borrow(w->g, &w->operands, parts * OF_AN_OPERAND)) {
        out_of_memory(w);
        return false;
    }
    w->parts.used = sizeof(part); /* place 0 is none */
    w->wanted = (bool *)(adjoint_of(w, 0) + w->n);
    uint32_t first = w->n;
    for (int i = 0; i < m; i++) {
        const uint32_t owner = tg__node_owner(w->g, wrt[i]);
        w->wanted[owner] = tg__node_shape(w->g, owner)->type != TG_I64;
        if (from) adjoint_of(w, owner)->whole = from[i];
        if (owner < first) first = owner;
    }
    mark(w, first);
    return true;
}

bool tg__graph_gradient(tg__graph *g, const uint32_t *output, const uint32_t *cotangent, int n,
                        const uint32_t *wrt, const uint32_t *from, int m, unsigned how,
                        uint32_t *gradient)
{
    walk w = { .recorder = recorder(how & TG__LINEAR), .g = g, .how = how };
    /* What is made later than all of these has nothing to do with them. */
    for (int i = 0; i < n; i++)
        if (output[i] >= w.n) w.n = output[i] + 1;
    for (int i = 0; i < m; i++)
        if (wrt[i] >= w.n) w.n = wrt[i] + 1;
    tg__arena_init(&w.adjoints, g->memory);
    tg__arena_init(&w.parts, g->memory);
    tg__arena_init(&w.operands, g->memory);
    bool ok = begin(&w, wrt, from, m);
    for (int i = 0; ok && i < n; i++) {
        if (!w.wanted[output[i]]) continue;
        const tg__shape s = *tg__node_shape(g, output[i]);
        w.summing = cotangent != NULL;
        contribute(&w, output[i],
                   cotangent && cotangent[i] ? cotangent[i] : filled(&w, 1, &s).id);
    }
    for (uint32_t i = w.n; ok && i-- > 1 && !tg__graph_failed(g);) step(&w, i);
    for (int i = 0; ok && i < m; i++) {
        const tg__shape s = *tg__node_shape(g, wrt[i]);
        gradient[i] = gradient_of(&w, wrt[i]);
        if (!gradient[i]) gradient[i] = filled(&w, 0, &s).id;
    }
    g->site = 0;
    tg__arena_free(&w.adjoints);
    tg__arena_free(&w.parts);
    tg__arena_free(&w.operands);
    return ok && !tg__graph_failed(g);
}

uint32_t tg__graph_derived(tg__graph *g, const uint32_t *x, uint32_t n, const tg__back *back,
                           const void *attributes)
{
    if (tg__graph_failed(g)) return 0;
    walk w = { .recorder = recorder(false), .g = g, .at = x[n] };
    tg__arena_init(&w.operands, g->memory);
    tg__arena room;
    tg__arena_init(&room, g->memory);
    tg_value *const v = tg__arena_push(&room, n * (2 * sizeof *v + sizeof(bool)) + 1);
    uint32_t made = 0;
    if (v) {
        tg_value *const dx = v + n;
        bool *const wanted = (bool *)(void *)(dx + n);
        for (uint32_t j = 0; j < n; j++) {
            v[j] = tg__node_value(w.g, x[j]);
            dx[j] = (tg_value){ NULL, 0, 0 };
            wanted[j] = (int)j == back->by;
        }
        tg__derivation d = { .to = &w.recorder, .code = back->op, .attributes = attributes,
                             .n = (int)n, .x = v, .y = tg__node_value(w.g, x[n]),
                             .g = tg__node_value(w.g, x[n + 1]), .wanted = wanted, .dx = dx };
        tg__ops[back->op]->derive(&d);
        const tg__shape s = *tg__node_shape(g, x[back->by]);
        const tg_value got = dx[back->by];
        const bool given = got.generation || got.tape == TG__NUMBER;
        made = given ? node_of(&w, got) : filled(&w, 0, &s).id;
        if (!tg__graph_failed(g)) made = summed_to(&w, made, &s);
    } else {
        out_of_memory(&w);
    }
    tg__arena_free(&room);
    tg__arena_free(&w.operands);
    return tg__graph_failed(g) ? 0 : made;
}
