/* Planning: which nodes are computed, in which order, and where their values lie. */
#include <string.h>

#include "codes.h" /* generated */
#include "program/scalars.h"

enum {
    /* What the values of a block may take: the second cache, unless so few instances fit that the steps'
       own costs weigh more; then the third. */
    NEAR_BYTES = 1 << 20,
    FAR_BYTES = 16 << 20,
    LARGEST_BLOCK = 256,
    FAR_BLOCK = 128,
    SMALLEST_BLOCK = 16,
    USERS_LOOKED_AT = 16,
    LONGEST_RANGE = 64,
};

/* What is allocated at once: one node's elements, or scalars side by side. */
typedef struct unit {
    uint32_t first, n; /* nodes, in the list of members */
    uint32_t bytes;    /* of one instance */
    uint32_t last;     /* the step that uses it last */
    uint32_t next;     /* of those that end with the same step, or that are free; 0: none */
    uint64_t offset;   /* in its area; of the body's for one instance */
    uint8_t stage;
    bool strip; /* there is only a strip of it at a time */
} unit;

/* Which unit a node lies in, and where. */
typedef struct planning {
    tg__planner p; /* first */
    tg__arena members;
    uint32_t *place; /* by node: its number in the unit */
    bool *packed;    /* by node: of an input's or view's lanes there is a copy side by side */
    tg__scalars scalars;
} planning;

static unit *unit_at(const planning *w, uint32_t u)
{
    return (unit *)(void *)w->p.units.data + u;
}

static bool failed(planning *w)
{
    tg__graph_fail(w->p.g, TG_ERROR_MEMORY, "no memory");
    return false;
}

/* ---- what is needed ---------------------------------------------------------------------------- */

static void need(tg__planner *p, uint32_t id)
{
    id = tg__same(p, id);
    p->uses[id]++;
    if (p->role[id] == TG__UNUSED) p->role[id] = TG__NEEDED;
}

static void mark(tg__planner *p, const uint32_t *output, int n)
{
    for (int i = 0; i < n; i++) need(p, output[i]), need(p, output[i]); /* never fused */
    for (uint32_t id = p->n; id-- > 1;) {
        if (p->role[id] == TG__UNUSED && tg__node_acts(p->g, id)) need(p, id);
        if (p->role[id] == TG__UNUSED) continue;
        const tg__node *const node = tg__node_at(p->g, id);
        const uint32_t *const x = tg__node_operands(p->g, node);
        const uint32_t operands = node->op == TG__NODE_ASSEMBLE ? node->n / 2 : node->n;
        for (uint32_t j = 0; j < operands; j++) need(p, x[j]);
    }
}

/* For every node the needed scalars that use it. */
static bool list_users(tg__planner *p)
{
    uint32_t *const begin = tg__arena_push(&p->users, ((size_t)p->n + 1) * sizeof *begin);
    size_t total = 0;
    for (uint32_t id = 0; begin && id < p->n; id++) {
        begin[id] = (uint32_t)total;
        total += p->uses[id];
    }
    uint32_t *const list = tg__arena_push(&p->user_list, (total + 1) * sizeof *list);
    if (!begin || !list) return false;
    memset(list, 0, (total + 1) * sizeof *list);
    for (uint32_t id = 1; id < p->n; id++) {
        const tg__node *const node = tg__node_at(p->g, id);
        if (p->role[id] == TG__UNUSED || !tg__is_lane(p->g, id) || !tg__node_op(node)) continue;
        const uint32_t *const x = tg__node_operands(p->g, node);
        for (uint32_t j = 0; j < node->n; j++) list[begin[x[j]]++] = id;
    }
    for (uint32_t id = p->n; id > 0; id--) begin[id] = begin[id - 1];
    begin[0] = 0;
    p->users_begin = begin;
    p->user = list;
    return true;
}

/* Which nodes are computed once a run: all of one instance's. */
static bool once(const planning *w, uint32_t id)
{
    return w->p.single || tg__node_at(w->p.g, id)->stage != TG__BODY;
}

/* ---- units ------------------------------------------------------------------------------------- */

static uint32_t new_unit(planning *w, const uint32_t *node, uint32_t n)
{
    unit *const u = tg__more(&w->p.units, 1, sizeof *u);
    uint32_t *const member = tg__more(&w->members, n, sizeof *member);
    if (!u || !member) return failed(w), 0;
    const tg__shape *const s = tg__node_shape(w->p.g, node[0]);
    const uint32_t size = (uint32_t)(tg__type_size(s->type) * (size_t)(s->n ? s->n : 1));
    *u = (unit){ .first = (uint32_t)(member - (uint32_t *)(void *)w->members.data),
                 .n = n,
                 .bytes = size * n,
                 .stage = w->p.single ? TG__EARLY : tg__node_at(w->p.g, node[0])->stage };
    const uint32_t number = (uint32_t)(u - (unit *)(void *)w->p.units.data);
    for (uint32_t i = 0; i < n; i++) {
        member[i] = node[i];
        w->p.unit[node[i]] = number;
        w->place[node[i]] = i;
    }
    return number;
}

/* Whether a node's elements are kept in a workspace, by a unit. */
static bool has_unit(const planning *w, uint32_t id)
{
    return w->p.unit[id] != 0;
}

/* ---- operands of steps --------------------------------------------------------------------------- */

/* Steps first name nodes; what these are in memory is put in their places when all is known. */
typedef union reference {
    struct {
        uint32_t node; /* TG__ONES: a row of ones */
        int64_t sum;   /* >= 0: a place among the partial sums; NO_SUM: a packed copy; SOURCE: the node;
                          SLOT: its place among one instance's scalars */
    };
    tg__operand operand;
} reference;

enum { NO_SUM = -1, SOURCE = -2, SLOT = -3 };

static bool refer(planning *w, uint32_t node, int64_t sum)
{
    reference *const r = tg__more(&w->p.plan->operands, 1, sizeof *r);
    if (!r) return failed(w);
    if (sum == NO_SUM && node != TG__ONES && (w->p.single || !w->packed[node])) sum = SOURCE; /* no copy */
    *r = (reference){ .node = node, .sum = sum };
    return true;
}

static tg__step *new_step(planning *w, tg__step_kind kind, uint32_t node)
{
    tg__step *const s = tg__more(&w->p.plan->steps, 1, sizeof *s);
    if (!s) return failed(w), NULL;
    *s = (tg__step){ .kind = (uint8_t)kind,
                     .node = node,
                     .first = (uint32_t)(w->p.plan->operands.used / sizeof(reference)),
                     .width = 1 };
    s->op = tg__node_at(w->p.g, node)->op;
    return s;
}

static void close_step(planning *w, tg__step *s)
{
    s->n = (uint32_t)(w->p.plan->operands.used / sizeof(reference)) - s->first;
}

/* A scalar that lies among other elements (of an input or a tensor), lane by lane in a row of its own. */
static bool pack(planning *w, uint32_t id)
{
    if (id == TG__ONES || !tg__is_lane(w->p.g, id) || has_unit(w, id)) return true;
    if (!new_unit(w, &id, 1)) return false;
    w->packed[id] = true;
    tg__step *const s = new_step(w, TG__STEP_COPY, id);
    return s && refer(w, id, NO_SUM) && refer(w, id, SOURCE) && (close_step(w, s), true);
}

/* ---- steps ------------------------------------------------------------------------------------- */

static const uint32_t *operands_of(const planning *w, uint32_t id)
{
    return tg__node_operands(w->p.g, tg__node_at(w->p.g, id));
}

static bool emit_dot(planning *w, uint32_t tile)
{
    tg__planner *const p = &w->p;
    const tg__bundle t = ((const tg__bundle *)(void *)p->tiles.data)[tile];
    const tg__dot *const dots = (const tg__dot *)(void *)p->dots.data;
    const tg__term *const terms = (const tg__term *)(void *)p->terms.data;
    uint32_t root[8], n = 0;
    for (uint32_t d = t.first; d; d = dots[d].next) root[n++] = d;
    for (uint32_t i = 0; i < t.n; i++)
        for (uint32_t j = 0; j < t.columns; j++) {
            const tg__term term = terms[dots[root[i]].first + j];
            if (!pack(w, term.a) || !pack(w, term.b)) return false;
        }
    uint32_t node[8];
    for (uint32_t i = 0; i < n; i++) node[i] = dots[root[i]].root;
    if (!new_unit(w, node, n)) return false;
    const bool shared = dots[root[0]].shared;
    tg__step *const s = new_step(w, shared ? TG__STEP_DOTS : TG__STEP_DOT, node[0]);
    if (!s) return false;
    s->width = n;
    s->columns = t.columns;
    bool ok = true;
    if (shared) {
        for (uint32_t i = 0; ok && i < n; i++) ok = refer(w, node[i], NO_SUM);
        for (uint32_t j = 0; ok && j < t.columns; j++)
            ok = refer(w, terms[dots[root[0]].first + j].b, NO_SUM);
        for (uint32_t i = 0; ok && i < n; i++)
            for (uint32_t j = 0; ok && j < t.columns; j++)
                ok = refer(w, terms[dots[root[i]].first + j].a, NO_SUM);
    } else {
        ok = refer(w, node[0], NO_SUM);
        for (uint32_t j = 0; ok && j < t.columns; j++) {
            const tg__term term = terms[dots[root[0]].first + j];
            ok = refer(w, term.a, NO_SUM) && refer(w, term.b, NO_SUM);
        }
    }
    close_step(w, s);
    for (uint32_t i = 0; i < n; i++) p->role[node[i]] = TG__DONE;
    return ok;
}

/* A new sum over the batch; its place among the partial sums, or -1. */
static int64_t new_total(planning *w, uint32_t node, bool lanes)
{
    tg__plan *const plan = w->p.plan;
    const tg__shape *const s = tg__node_shape(w->p.g, node);
    if (!new_unit(w, &node, 1)) return -1;
    tg__total *const t = tg__more(&plan->totals, 1, sizeof *t);
    if (!t) return failed(w), -1;
    const uint64_t bytes = lanes ? TG__LANE_BYTES : (uint64_t)s->n * tg__type_size(s->type);
    const int64_t place = (int64_t)plan->partials;
    *t = (tg__total){ .partial = plan->partials, .total = node, .n = (uint32_t)s->n, .lanes = lanes };
    plan->partials += (bytes + 63) / 64 * 64;
    plan->n_totals++;
    w->p.role[node] = TG__DONE;
    return place;
}

static bool emit_rows(planning *w, uint32_t tile)
{
    tg__planner *const p = &w->p;
    const tg__bundle t = ((const tg__bundle *)(void *)p->tiles.data)[tile];
    const tg__row *const rows = (const tg__row *)(void *)p->rows.data + t.first;
    const uint32_t *const columns = (const uint32_t *)(void *)p->columns.data;
    const uint32_t *const sums = (const uint32_t *)(void *)p->sums.data;
    for (uint32_t i = 0; i < t.n; i++)
        if (!pack(w, rows[i].node)) return false;
    for (uint32_t j = 0; j < t.columns; j++)
        if (!pack(w, columns[rows[0].first + j])) return false;
    int64_t first = -1;
    for (uint32_t i = 0; i < t.n; i++)
        for (uint32_t j = 0; j < t.columns; j++) {
            const int64_t place = new_total(w, sums[rows[i].first + j], true);
            if (place < 0) return false;
            if (first < 0) first = place;
        }
    tg__step *const s = new_step(w, TG__STEP_OUTER, sums[rows[0].first]);
    if (!s) return false;
    s->width = t.n;
    s->columns = t.columns;
    bool ok = refer(w, 0, first);
    for (uint32_t i = 0; ok && i < t.n; i++) ok = refer(w, rows[i].node, NO_SUM);
    for (uint32_t j = 0; ok && j < t.columns; j++) ok = refer(w, columns[rows[0].first + j], NO_SUM);
    close_step(w, s);
    return ok;
}

/* A form of a node's, for a step; its number, or -1. */
static int64_t new_form(planning *w, const tg__form *f)
{
    tg__form *const made = tg__more(&w->p.plan->forms, 1, sizeof *made);
    if (!made) return failed(w), -1;
    *made = *f;
    return made - (tg__form *)(void *)w->p.plan->forms.data;
}

static bool emit_sum(planning *w, uint32_t id)
{
    const uint32_t x = operands_of(w, id)[0];
    const bool whole = w->p.role[x] == TG__FUSED;
    tg__form f;
    if (whole) tg__batch_form(&w->p, x, true, &f);
    const int64_t place = new_total(w, id, false), form = whole ? new_form(w, &f) : 0;
    tg__step *const s =
        place < 0 || form < 0 ? NULL : new_step(w, whole ? TG__STEP_BLOCK : TG__STEP_SUM, whole ? x : id);
    if (!s) return false;
    s->width = (uint32_t)tg__node_shape(w->p.g, id)->n;
    s->columns = (uint32_t)form;
    bool ok = refer(w, 0, place);
    const uint32_t n = whole ? tg__node_at(w->p.g, x)->n : 1;
    for (uint32_t j = 0; ok && j < n; j++)
        ok = refer(w, whole ? operands_of(w, x)[j] : x, NO_SUM);
    close_step(w, s);
    return ok;
}

static bool dense(const planning *w, uint32_t id)
{
    return tg__shape_contiguous(tg__node_shape(w->p.g, id)) &&
           (once(w, id) || tg__node_owner(w->p.g, id) == id);
}

/* Whether an elementwise op can be computed as one row: every operand has the result's elements side
   by side, or is one number. */
static bool is_row(const planning *w, uint32_t id)
{
    const tg__node *const node = tg__node_at(w->p.g, id);
    const tg__shape *const y = tg__node_shape(w->p.g, id);
    if (y->n == 1 && node->shape == 0) return true;
    for (uint32_t j = 0; j < node->n; j++) {
        const uint32_t x = operands_of(w, id)[j];
        const tg__shape *const s = tg__node_shape(w->p.g, x);
        const bool varies = once(w, x) == once(w, id);
        if (s->n == 1 && !varies && !once(w, id)) continue;
        if (s->n == 1 && once(w, id)) continue;
        if (!tg__shape_same_dims(s, y) || !dense(w, x)) return false;
        if (!varies && !once(w, id)) return false;
    }
    return true;
}

static tg__step_kind kind_of(const planning *w, uint32_t id)
{
    const tg__node *const node = tg__node_at(w->p.g, id);
    if (node->op == TG__NODE_ASSEMBLE) return TG__STEP_ASSEMBLE;
    if (node->op == TG__NODE_BACKWARD) return TG__STEP_BACKWARD;
    if (node->op == TG__NODE_SUM) return TG__STEP_SAME;
    if (tg__node_op(node)->kind != TG__MAP) return TG__STEP_RULE;
    if (is_row(w, id)) return TG__STEP_MAP;
    const int rank = tg__node_shape(w->p.g, id)->rank;
    return once(w, id) || rank == TG_MAX_RANK ? TG__STEP_RULE : TG__STEP_WALK;
}

static bool emit_guard(planning *w, uint32_t id)
{
    tg__step *const s = new_step(w, TG__STEP_GUARD, id);
    const bool ok = s && refer(w, operands_of(w, id)[0], NO_SUM);
    if (ok) close_step(w, s);
    w->p.role[id] = TG__DONE;
    return ok;
}

static bool emit_one(planning *w, uint32_t id);

static bool make_room(planning *w, uint32_t id)
{
    const bool scalar = w->p.single && !tg__node_at(w->p.g, id)->shape;
    return scalar ? tg__scalars_place(&w->scalars, id) : new_unit(w, &id, 1);
}

/* Elements that are used as scalars, where those have an array of their own. */
static bool bring(planning *w, uint32_t id)
{
    return !w->p.single || tg__scalars_bring(&w->scalars, id);
}

/* The gradient by node id's operand, and those by other operands that are computed with it. */
static bool emit_backward(planning *w, uint32_t id)
{
    const tg__graph *const g = w->p.g;
    const uint32_t operands = tg__node_at(g, id)->n;
    uint32_t result[TG__SIBLINGS], *const list = tg__more(&w->p.plan->lists,
                                                          operands + TG__SIBLINGS, sizeof *list);
    if (!list) return failed(w);
    const uint32_t n = tg__siblings(&w->p, id, result),
                   place = (uint32_t)(list - (uint32_t *)(void *)w->p.plan->lists.data);
    memcpy(list, operands_of(w, id), operands * sizeof *list);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t by =
            (uint32_t)((const tg__back *)tg__node_data(g, tg__node_at(g, result[i])->data))->by;
        const uint32_t x = operands_of(w, result[i])[by];
        list[operands + i] = by;
        list[by] = x;
        if (x != operands_of(w, id)[by] && w->p.role[x] == TG__NEEDED &&
            !(emit_one(w, x) && bring(w, x)))
            return false;
        if (!make_room(w, result[i])) return false;
        w->p.role[result[i]] = TG__DONE;
    }
    tg__step *const s = new_step(w, TG__STEP_BACKWARD, id);
    if (!s) return false;
    s->width = n;
    s->columns = place;
    bool ok = true;
    for (uint32_t i = 0; ok && i < n; i++) ok = refer(w, result[i], NO_SUM);
    for (uint32_t j = 0; ok && j < operands; j++) ok = refer(w, list[j], NO_SUM);
    close_step(w, s);
    for (uint32_t i = 1; ok && i < n; i++) ok = bring(w, result[i]);
    return ok;
}

/* Scalars put side by side, by one step; done is false if they are not. */
static bool emit_rows_of(planning *w, uint32_t id, bool *done)
{
    const uint32_t *const x = operands_of(w, id), most = tg__node_at(w->p.g, id)->n;
    tg__arena *const lists = &w->p.plan->lists;
    const size_t used = lists->used;
    uint32_t *const at = tg__more(lists, most, sizeof *at);
    if (!at) return failed(w);
    const uint32_t n = tg__side_by_side(&w->p, id, at);
    *done = n > 0;
    if (n == 0) {
        lists->used = used;
        return true;
    }
    tg__step *const s = new_unit(w, &id, 1) ? new_step(w, TG__STEP_ROWS, id) : NULL;
    if (!s) return false;
    s->width = (uint32_t)tg__node_shape(w->p.g, id)->n;
    s->columns = (uint32_t)(used / sizeof *at);
    bool ok = refer(w, id, NO_SUM);
    for (uint32_t j = 0; ok && j < n; j++) ok = refer(w, x[j], NO_SUM);
    close_step(w, s);
    w->p.role[id] = TG__DONE;
    return ok;
}

static bool emit_one(planning *w, uint32_t id)
{
    const tg__node *const node = tg__node_at(w->p.g, id);
    tg__form f = { 0 };
    bool done = false;
    if (!emit_rows_of(w, id, &done) || done) return done;
    const tg__step_kind kind = kind_of(w, id);
    const bool rule = kind == TG__STEP_RULE || kind == TG__STEP_BACKWARD;
    const bool whole = rule && tg__batch_form(&w->p, id, false, &f);
    if (kind == TG__STEP_BACKWARD && !whole) return emit_backward(w, id);
    if (!make_room(w, id)) return false;
    const int64_t form = whole ? new_form(w, &f) : 0;
    tg__step *const s = form < 0 ? NULL : new_step(w, whole ? TG__STEP_BLOCK : kind, id);
    if (!s) return false;
    s->width = (uint32_t)tg__node_shape(w->p.g, id)->n;
    s->columns = (uint32_t)form;
    const uint32_t operands = node->op == TG__NODE_ASSEMBLE ? node->n / 2 : node->n;
    bool ok = refer(w, id, NO_SUM);
    for (uint32_t j = 0; ok && j < operands; j++) ok = refer(w, operands_of(w, id)[j], NO_SUM);
    close_step(w, s);
    w->p.role[id] = TG__DONE;
    return ok;
}

/* ---- one instance ------------------------------------------------------------------------------- */

bool tg__emit_load(tg__planner *p, uint32_t node, uint32_t n)
{
    planning *const w = (planning *)(void *)p;
    tg__step *const s = new_step(w, TG__STEP_LOAD, node);
    if (!s) return false;
    s->width = n;
    const bool ok = refer(w, node, SLOT) && refer(w, node, SOURCE);
    close_step(w, s);
    return ok;
}

bool tg__emit_scalars(tg__planner *p, uint32_t first)
{
    tg__step *const s = new_step((planning *)(void *)p, TG__STEP_SCALARS, 0);
    if (s) s->width = first;
    return s;
}

static bool emit_single(planning *w, uint32_t id)
{
    tg__planner *const p = &w->p;
    const tg__node *const node = tg__node_at(p->g, id);
    if (p->role[id] != TG__NEEDED && p->role[id] != TG__TILED) return true;
    if (node->op == TG__NODE_CONSTANT || node->op == TG__NODE_VIEW || node->op == TG__NODE_INPUT) return true;
    const tg__op *const op = tg__node_op(node);
    if (op && op->kind == TG__MAP && !node->shape) return tg__scalars_add(&w->scalars, id);
    if (node->op == TG__CODE_guard) return tg__scalars_end(&w->scalars) && emit_guard(w, id);
    if (p->slot[id] && node->shape) return tg__scalars_assemble(&w->scalars, id);
    return tg__scalars_end(&w->scalars) && emit_one(w, id) && bring(w, id);
}

/* All in one stage. */
static bool order_single(planning *w)
{
    tg__plan *const plan = w->p.plan;
    bool ok = tg__scalars_begin(&w->scalars, &w->p);
    for (uint32_t id = 1; ok && id < w->p.n; id++) ok = emit_single(w, id);
    ok = ok && tg__scalars_end(&w->scalars);
    for (int i = 1; i < 4; i++) plan->begin[i] = (uint32_t)(plan->steps.used / sizeof(tg__step));
    plan->body = (uint64_t)w->scalars.places * tg__type_size(w->p.g->type);
    tg__scalars_free(&w->scalars);
    return ok || failed(w);
}

/* ---- ranges -------------------------------------------------------------------------------------- */

static bool is_ready(const planning *w, uint32_t id)
{
    const uint32_t owner = tg__node_owner(w->p.g, id);
    const uint16_t op = tg__node_at(w->p.g, owner)->op;
    return tg__node_at(w->p.g, owner)->stage != TG__BODY || op == TG__NODE_INPUT ||
           w->p.role[owner] == TG__DONE;
}

/* Whether v does to the members that lie `distance` further in their units what u does. */
static bool alike(const planning *w, uint32_t u, uint32_t v, int64_t distance)
{
    const tg__node *const a = tg__node_at(w->p.g, u), *const b = tg__node_at(w->p.g, v);
    if (a->op != b->op || w->p.role[v] != TG__NEEDED || !tg__is_lane(w->p.g, v)) return false;
    for (uint32_t j = 0; j < a->n; j++) {
        const uint32_t x = operands_of(w, u)[j], y = operands_of(w, v)[j];
        if (!tg__is_lane(w->p.g, x)) {
            if (x != y) return false;
            continue;
        }
        if (!has_unit(w, x) || w->p.unit[x] != w->p.unit[y] || !is_ready(w, y)) return false;
        if ((int64_t)w->place[y] - (int64_t)w->place[x] != distance) return false;
    }
    return true;
}

/* The nodes that can be computed in one step with id, in the order of their units; their number. */
static uint32_t range_of(const planning *w, uint32_t id, uint32_t *node)
{
    const tg__node *const first = tg__node_at(w->p.g, id);
    node[0] = id;
    if (w->p.g->without & TG_RANGES) return 1;
    uint32_t x = 0;
    for (uint32_t j = 0; j < first->n; j++) {
        x = operands_of(w, id)[j];
        if (tg__is_lane(w->p.g, x) && has_unit(w, x) && unit_at(w, w->p.unit[x])->n > 1) break;
        x = 0;
    }
    if (!x) return 1;
    const unit *const u = unit_at(w, w->p.unit[x]);
    if (u->n > LONGEST_RANGE) return 1;
    const uint32_t *const member = (const uint32_t *)(void *)w->members.data + u->first;
    uint32_t n = 0, begin = UINT32_MAX;
    for (uint32_t i = 0; i < u->n; i++) {
        uint32_t found = 0;
        const uint32_t from = w->p.users_begin[member[i]], to = w->p.users_begin[member[i] + 1];
        for (uint32_t k = from; k < to && k - from < USERS_LOOKED_AT && !found; k++)
            if (alike(w, id, w->p.user[k], (int64_t)i - (int64_t)w->place[x])) found = w->p.user[k];
        if (found == id) begin = n;
        if (!found && begin != UINT32_MAX) break; /* what follows is not adjacent */
        if (!found) n = 0;
        else node[n++] = found;
    }
    if (begin != UINT32_MAX && n > 1) return n;
    node[0] = id;
    return 1;
}

static bool emit_range(planning *w, uint32_t id)
{
    uint32_t node[LONGEST_RANGE];
    const uint32_t n = range_of(w, id, node);
    if (n == 1) return emit_one(w, id);
    if (!new_unit(w, node, n)) return false;
    tg__step *const s = new_step(w, TG__STEP_MAP, node[0]);
    if (!s) return false;
    s->width = n;
    s->range = true;
    bool ok = refer(w, node[0], NO_SUM);
    for (uint32_t j = 0; ok && j < tg__node_at(w->p.g, id)->n; j++)
        ok = refer(w, operands_of(w, node[0])[j], NO_SUM);
    close_step(w, s);
    for (uint32_t i = 0; i < n; i++) w->p.role[node[i]] = TG__DONE;
    return ok;
}

/* ---- order --------------------------------------------------------------------------------------- */

static bool emit(planning *w, uint32_t id)
{
    tg__planner *const p = &w->p;
    const tg__node *const node = tg__node_at(p->g, id);
    if (p->role[id] == TG__TILED) return emit_dot(w, p->tile[id]);
    if (p->role[id] != TG__NEEDED) return true;
    switch (node->op) {
    case TG__NODE_INPUT:
        if (node->data == TG__NOT_GIVEN)
            tg__graph_fail(p->g, TG_ERROR_HISTORY, "a derivative along a direction depends on its cotangent");
        return node->data != TG__NOT_GIVEN;
    case TG__NODE_CONSTANT:
    case TG__NODE_VIEW: return true;
    case TG__NODE_COUNT: return new_unit(w, &id, 1) != 0;
    case TG__CODE_guard: return emit_guard(w, id);
    default: break;
    }
    const tg__op *const op = tg__node_op(node);
    const bool lane = op && op->kind == TG__MAP && tg__is_lane(p->g, id);
    return lane ? emit_range(w, id) : emit_one(w, id);
}

static bool emit_stage(planning *w, tg__stage stage)
{
    for (uint32_t id = 1; id < w->p.n; id++) {
        const tg__node *const node = tg__node_at(w->p.g, id);
        if (node->op == TG__NODE_SUM) {
            if (stage == TG__BODY && w->p.role[id] == TG__NEEDED && node->shape && !emit_sum(w, id))
                return false;
        } else if (node->stage == stage && !emit(w, id)) {
            return false;
        }
        if (stage != TG__BODY) continue;
        for (uint32_t t = w->p.waiting[id]; t; t = ((tg__bundle *)(void *)w->p.tiles.data)[t].next)
            if (!emit_rows(w, t)) return false;
    }
    return true;
}

static uint32_t operand_node(const tg__plan *plan, uint32_t operand)
{
    return ((const reference *)(void *)plan->operands.data)[operand].node;
}

static bool order(planning *w)
{
    tg__plan *const plan = w->p.plan;
    for (int stage = TG__EARLY; stage <= TG__LATE; stage++) {
        plan->begin[stage] = (uint32_t)(plan->steps.used / sizeof(tg__step));
        if (!emit_stage(w, (tg__stage)stage)) return false;
    }
    plan->begin[3] = (uint32_t)(plan->steps.used / sizeof(tg__step));
    tg__find_chains(&w->p, operand_node);
    return true;
}

/* ---- memory -------------------------------------------------------------------------------------- */

/* The unit that a reference reads or writes; 0: no memory of a workspace. */
static uint32_t unit_of(const planning *w, const reference *r)
{
    if (r->sum >= 0 || r->node == TG__ONES) return 0;
    if (r->sum == NO_SUM) return w->p.unit[r->node];
    return r->sum == SLOT ? 0 : w->p.unit[tg__owner(&w->p, r->node)];
}

static void use(planning *w, uint32_t u, uint32_t step)
{
    unit *const at = unit_at(w, u);
    const tg__plan *const plan = w->p.plan;
    /* The body is a loop: what comes from outside lives to its end. */
    const bool outside = at->stage != TG__BODY && step >= plan->begin[1] && step < plan->begin[2];
    if (outside) step = plan->begin[2] - 1;
    if (step > at->last) at->last = step;
}

static uint32_t step_count(const tg__plan *plan)
{
    return (uint32_t)(plan->steps.used / sizeof(tg__step));
}

static void find_last_uses(planning *w, const uint32_t *output, int n)
{
    const tg__plan *const plan = w->p.plan;
    const uint32_t steps = step_count(plan);
    for (uint32_t i = 0; i < steps; i++) {
        const tg__step *const s = tg__plan_steps(plan) + i;
        const reference *const r = (const reference *)(void *)plan->operands.data + s->first;
        for (uint32_t j = 0; j < s->n; j++)
            if (unit_of(w, &r[j])) use(w, unit_of(w, &r[j]), i);
    }
    for (int i = 0; i < n; i++) {
        const uint32_t u = w->p.unit[tg__owner(&w->p, output[i])];
        if (u) unit_at(w, u)->last = steps;
    }
}

/* What only the chain that makes it uses. */
static void make_strips(planning *w)
{
    tg__plan *const plan = w->p.plan;
    for (uint32_t i = 0; i < step_count(plan); i++) {
        const tg__step *const s = tg__plan_steps(plan) + i;
        uint64_t bytes = 0;
        for (uint32_t j = 0; j + 1 < s->chain; j++) {
            unit *const u = unit_at(w, w->p.unit[s[j].node]);
            if (u->last >= i + s->chain) continue;
            u->strip = true;
            u->offset = bytes;
            bytes += TG__STRIP_BYTES;
        }
        if (bytes > plan->strips) plan->strips = bytes;
    }
}

/* Free memory of one size. */
typedef struct shelf {
    uint32_t bytes;
    uint8_t body;
    uint32_t unit; /* that had it; 0: none */
} shelf;

typedef struct store {
    tg__arena shelves;
    uint32_t *ending; /* by step: units whose last use it is */
} store;

static shelf *shelf_for(store *st, uint32_t bytes, bool body)
{
    shelf *const list = (shelf *)(void *)st->shelves.data;
    const size_t n = st->shelves.used / sizeof *list;
    for (size_t i = 0; i < n; i++)
        if (list[i].bytes == bytes && list[i].body == body) return &list[i];
    shelf *const made = tg__more(&st->shelves, 1, sizeof *made);
    if (made) *made = (shelf){ bytes, body, 0 };
    return made;
}

static bool place_unit(planning *w, store *st, uint32_t u)
{
    unit *const at = unit_at(w, u);
    if (at->strip) return true;
    tg__plan *const plan = w->p.plan;
    const bool body = at->stage == TG__BODY;
    shelf *const s = shelf_for(st, at->bytes, body);
    if (!s) return failed(w);
    if (s->unit && !(w->p.g->without & TG_REUSE)) {
        const unit *const had = unit_at(w, s->unit);
        at->offset = had->offset;
        s->unit = had->next;
    } else {
        uint64_t *const end = body ? &plan->body : &plan->shared;
        if (at->bytes % 8 == 0) *end = (*end + 7) / 8 * 8; /* integers among f32 */
        at->offset = *end;
        *end += body ? at->bytes : (at->bytes + 63) / 64 * 64;
    }
    at->next = st->ending[at->last];
    st->ending[at->last] = u;
    return true;
}

static bool end_units(planning *w, store *st, uint32_t step)
{
    for (uint32_t u = st->ending[step], next; u; u = next) {
        unit *const at = unit_at(w, u);
        next = at->next;
        shelf *const s = shelf_for(st, at->bytes, at->stage == TG__BODY);
        if (!s) return failed(w);
        at->next = s->unit;
        s->unit = u;
    }
    return true;
}

/* Whether a step adds to partial sums, which have a place. */
static bool adds_up(const tg__plan *plan, const tg__step *s)
{
    const tg__form *const form = (const tg__form *)(void *)plan->forms.data;
    return s->kind == TG__STEP_SUM || s->kind == TG__STEP_OUTER ||
           (s->kind == TG__STEP_BLOCK && form[s->columns].summed);
}

static bool place_results(planning *w, store *st, const tg__step *s)
{
    const reference *const r = (const reference *)(void *)w->p.plan->operands.data + s->first;
    const bool none = s->kind == TG__STEP_GUARD || s->kind == TG__STEP_SCALARS;
    const uint32_t n = s->kind == TG__STEP_BACKWARD ? s->width : !none;
    for (uint32_t i = 0; i < n; i++)
        if (unit_of(w, &r[i]) && !place_unit(w, st, unit_of(w, &r[i]))) return false;
    return true;
}

/* Sums over the batch and the count have their places from the beginning. */
static bool place_all(planning *w, store *st)
{
    tg__plan *const plan = w->p.plan;
    const uint32_t steps = step_count(plan);
    tg__total *const total = (tg__total *)(void *)plan->totals.data;
    for (uint32_t i = 0; i < plan->n_totals; i++) {
        const uint32_t u = w->p.unit[total[i].total];
        if (!place_unit(w, st, u)) return false;
        total[i].total = unit_at(w, u)->offset;
    }
    const uint32_t count = w->p.unit[w->p.g->count];
    if (count) {
        if (!place_unit(w, st, count)) return false;
        plan->count = unit_at(w, count)->offset;
    }
    for (uint32_t i = 0; i < steps; i++) {
        const tg__step *const s = tg__plan_steps(plan) + i;
        if (!adds_up(plan, s) && !place_results(w, st, s)) return false;
        if (!end_units(w, st, i)) return false;
    }
    return true;
}

static bool give_memory(planning *w, const uint32_t *output, int n)
{
    store st = { 0 };
    tg__arena endings;
    tg__arena_init(&st.shelves, w->p.memory);
    tg__arena_init(&endings, w->p.memory);
    const size_t bytes = ((size_t)step_count(w->p.plan) + 1) * sizeof *st.ending;
    st.ending = tg__arena_push(&endings, bytes);
    bool ok = st.ending;
    if (ok) {
        memset(st.ending, 0, bytes);
        find_last_uses(w, output, n);
        make_strips(w);
        ok = place_all(w, &st);
    } else {
        failed(w);
    }
    tg__arena_free(&st.shelves);
    tg__arena_free(&endings);
    return ok;
}

/* ---- where operands are -------------------------------------------------------------------------- */

static tg__operand locate(const planning *w, const reference *r)
{
    const tg__graph *const g = w->p.g;
    if (r->sum >= 0) return (tg__operand){ .area = TG__AREA_PARTIALS, .offset = (uint64_t)r->sum };
    if (r->node == TG__ONES)
        return (tg__operand){ .area = TG__AREA_SHARED, .lane = 1, .offset = w->p.plan->ones };
    const bool copy = r->sum == NO_SUM;
    const uint32_t owner = copy ? r->node : tg__owner(&w->p, r->node);
    const tg__node *const node = tg__node_at(g, owner);
    const tg__shape *const s = tg__node_shape(g, owner);
    const size_t size = tg__type_size(s->type);
    if (r->sum == SLOT) return (tg__operand){ .area = TG__AREA_BODY, .offset = w->p.slot[r->node] * size };
    tg__operand o = { .view = copy ? 0 : tg__node_offset(g, tg__same(&w->p, r->node)) * (int64_t)size };
    if (node->op == TG__NODE_CONSTANT) {
        o.area = TG__AREA_CONSTANTS;
        o.offset = (uint64_t)node->data * 8;
    } else if (node->op == TG__NODE_INPUT && !copy) {
        o.area = TG__AREA_INPUTS + node->data;
        o.lane = node->stage == TG__BODY ? (uint32_t)s->n : 0;
    } else if (w->p.single && w->p.slot[owner]) {
        o.area = TG__AREA_BODY;
        o.offset = w->p.slot[owner] * size;
    } else {
        const unit *const u = unit_at(w, w->p.unit[owner]);
        const bool body = u->stage == TG__BODY;
        o.area = u->strip ? TG__AREA_STRIPS : body ? TG__AREA_BODY : TG__AREA_SHARED;
        o.lane = !body ? 0 : copy ? 1 : (uint32_t)s->n;
        o.offset = u->offset + (uint64_t)w->place[owner] * (u->bytes / u->n);
    }
    return o;
}

/* In a row of elements the distance from one to the next counts, for instances and ranges alike. */
static void locate_all(const planning *w)
{
    tg__plan *const plan = w->p.plan;
    for (uint32_t i = 0; i < step_count(plan); i++) {
        const tg__step *const s = tg__plan_steps(plan) + i;
        reference *const r = (reference *)(void *)plan->operands.data + s->first;
        for (uint32_t j = 0; j < s->n; j++) {
            const reference was = r[j];
            tg__operand o = locate(w, &was);
            const bool row = s->kind == TG__STEP_MAP &&
                             (s->width > 1 || once(w, s->node));
            if (row) o.lane = (!w->p.single && o.lane) || tg__node_shape(w->p.g, was.node)->n > 1;
            r[j].operand = o;
        }
    }
}

static bool list_outputs(planning *w, const uint32_t *output, const bool *each, int n)
{
    for (int i = 0; i < n; i++) {
        tg__output *const o = tg__more(&w->p.plan->outputs, 1, sizeof *o);
        if (!o) return failed(w);
        const reference r = { .node = output[i], .sum = SOURCE };
        const tg__shape *const s = tg__node_shape(w->p.g, output[i]);
        *o = (tg__output){ .from = locate(w, &r),
                           .node = output[i],
                           .size = (uint32_t)s->n,
                           .bytes = (uint32_t)tg__type_size(s->type),
                           .each = each[i],
                           .adjacent = tg__shape_contiguous(s) };
    }
    w->p.plan->n_outputs = (uint32_t)n;
    return true;
}

/* Whether how many instances a step does at once can be seen in its result. */
static bool is_grainy(const tg__plan *plan)
{
    for (uint32_t i = 0; i < step_count(plan); i++) {
        const uint8_t kind = tg__plan_steps(plan)[i].kind;
        if (kind == TG__STEP_BLOCK || kind == TG__STEP_OUTER) return true;
    }
    return false;
}

/* Such steps do plan->piece instances at a time, which no option changes: a block has whole pieces. */
static void choose_block(tg__plan *plan, int asked)
{
    uint32_t block = LARGEST_BLOCK;
    while (block > FAR_BLOCK && plan->body * block > NEAR_BYTES) block /= 2;
    while (block > SMALLEST_BLOCK && plan->body * block > FAR_BYTES) block /= 2;
    plan->piece = plan->block = block;
    if (asked <= 0) return;
    if (is_grainy(plan)) plan->block = ((uint32_t)asked + block - 1) / block * block;
    else plan->block = (uint32_t)asked;
    if (plan->block > TG__BATCH_CHUNK) plan->block = TG__BATCH_CHUNK;
}

/* ---- the whole ----------------------------------------------------------------------------------- */

enum { ARENAS = 12 };

static void list_arenas(planning *w, tg__arena *arena[ARENAS])
{
    tg__planner *const p = &w->p;
    tg__arena *const all[ARENAS] = { &p->by_node, &p->terms, &p->dots,  &p->tiles,     &p->rows,   &p->columns,
                                     &p->sums,    &p->units, &p->users, &p->user_list, &w->members, &p->marks };
    memcpy(arena, all, sizeof all);
}

static bool begin(planning *w)
{
    tg__planner *const p = &w->p;
    tg__arena *arena[ARENAS];
    list_arenas(w, arena);
    for (int i = 0; i < ARENAS; i++) tg__arena_init(arena[i], p->memory);
    p->n = p->g->n;
    const size_t n = p->n, lists = p->single ? 7 : 5;
    const size_t bytes = n * (lists * sizeof(uint32_t) + sizeof(uint8_t) + sizeof(bool));
    char *const at = tg__arena_push(&p->by_node, bytes);
    tg__bundle *const tile = tg__more(&p->tiles, 1, sizeof *tile);
    unit *const none = tg__more(&p->units, 1, sizeof *none);
    if (!at || !tile || !none) return failed(w);
    memset(at, 0, bytes);
    *tile = (tg__bundle){ 0 };
    *none = (unit){ 0 };
    p->uses = (uint32_t *)(void *)at;
    p->tile = p->uses + n;
    p->waiting = p->tile + n;
    p->unit = p->waiting + n;
    w->place = p->unit + n;
    p->same = w->place + n;
    p->slot = p->same + n;
    p->role = (uint8_t *)(p->uses + lists * n);
    w->packed = (bool *)(p->role + n);
    return true;
}

static void end(planning *w)
{
    tg__arena *arena[ARENAS];
    list_arenas(w, arena);
    for (int i = 0; i < ARENAS; i++) tg__arena_free(arena[i]);
}

/* Into an empty plan. */
static bool make(const tg_program *program, tg__plan_kind kind, tg__plan *plan)
{
    /* Planning writes nothing to the graph but the first error. */
    tg__graph own = program->graph, *const g = &own;
    const tg__written *const written = &program->written;
    const int n = (int)written->n;
    plan->count = UINT64_MAX;
    tg__arena_init(&plan->steps, &plan->memory);
    tg__arena_init(&plan->operands, &plan->memory);
    tg__arena_init(&plan->totals, &plan->memory);
    tg__arena_init(&plan->outputs, &plan->memory);
    tg__arena_init(&plan->forms, &plan->memory);
    tg__arena_init(&plan->lists, &plan->memory);
    tg__arena_init(&plan->words, &plan->memory);
    tg__arena_init(&plan->initials, &plan->memory);
    planning w = { .p = { .g = g, .plan = plan, .memory = &plan->memory, .one = program->one,
                          .single = kind == TG__PLAN_SINGLE, .careful = kind == TG__PLAN_CAREFUL || program->flags & TG__CALL_IMPURE } };
    bool ok = begin(&w);
    if (ok && w.p.single) {
        tg__find_same(&w.p);
        mark(&w.p, written->node, n);
        ok = order_single(&w);
    } else if (ok) {
        plan->shared = TG__BATCH_CHUNK * sizeof(double); /* the row of ones */
        mark(&w.p, written->node, n);
        const bool dots = !(g->without & TG_DOTS) && !g->strict;
        tg__find_sums(&w.p);
        ok = (!dots || tg__find_dots(&w.p)) && tg__find_rows(&w.p) && list_users(&w.p);
        ok = ok ? order(&w) : failed(&w);
    }
    ok = ok && give_memory(&w, written->node, n) &&
         list_outputs(&w, written->node, written->each, n);
    if (ok) locate_all(&w);
    if (w.p.single) plan->block = plan->piece = 1;
    else choose_block(plan, program->block);
    end(&w);
    plan->status = g->status;
    return ok && !tg__graph_failed(g);
}

void tg__plan_free(tg__plan *plan)
{
    if (!plan) return;
    tg__arena *const arenas[] = { &plan->steps, &plan->operands, &plan->totals, &plan->outputs,
                                 &plan->forms, &plan->words,    &plan->initials, &plan->lists };
    for (size_t i = 0; i < sizeof arenas / sizeof *arenas; i++) tg__arena_free(arenas[i]);
    tg__memory own = { .bytes = sizeof *plan };
    tg__deallocate(&own, plan, sizeof *plan);
}

const tg__plan *tg__program_plan(const tg_program *p, tg__plan_kind kind, const char *what,
                                 tg_status *status)
{
    _Atomic(tg__plan *) *const place = &((tg_program *)(uintptr_t)p)->plan[kind];
    tg__plan *made = atomic_load(place), *none = NULL;
    if (made) return made;
    tg__memory own = { 0 };
    made = tg__allocate(&own, sizeof *made);
    if (!made) {
        tg__program_fail(status, TG_ERROR_MEMORY, what, "no memory");
        return NULL;
    }
    *made = (tg__plan){ .memory = { .first = TG__PROGRAM_FIRST } };
    if (!make(p, kind, made)) {
        tg__program_fail(status, made->status.code, what, made->status.message);
        tg__plan_free(made);
        return NULL;
    }
    if (atomic_compare_exchange_strong(place, &none, made)) return made;
    tg__plan_free(made); /* another thread was first */
    return none;
}
