/* Planning: the steps, in their order. */
#include <string.h>

#include "codes.h" /* generated */
#include "program/planning.h"

enum { USERS_LOOKED_AT = 16, LONGEST_RANGE = 64 };

/* ---- units ------------------------------------------------------------------------------------- */

uint32_t tg__new_room(tg__planning *w, uint32_t node, size_t bytes, uint32_t times)
{
    tg__unit *const u = tg__more(&w->p.units, 1, sizeof *u);
    if (!u) return tg__planning_failed(w), 0;
    *u = (tg__unit){ .n = times,
                     .bytes = (uint32_t)bytes * times,
                     .stage = w->p.single ? TG__EARLY : tg__node_at(w->p.g, node)->stage };
    return (uint32_t)(u - (tg__unit *)(void *)w->p.units.data);
}

static uint32_t new_unit(tg__planning *w, const uint32_t *node, uint32_t n)
{
    const tg__shape *const s = tg__node_shape(w->p.g, node[0]);
    const size_t bytes = tg__type_size(s->type) * (size_t)(s->n ? s->n : 1);
    const uint32_t number = tg__new_room(w, node[0], bytes, n);
    uint32_t *const member = number ? tg__more(&w->members, n, sizeof *member) : NULL;
    if (!member) return tg__planning_failed(w), 0;
    tg__unit_at(w, number)->first = (uint32_t)(member - (uint32_t *)(void *)w->members.data);
    for (uint32_t i = 0; i < n; i++) {
        member[i] = node[i];
        w->p.unit[node[i]] = number;
        w->place[node[i]] = i;
    }
    return number;
}

/* ---- operands of steps --------------------------------------------------------------------------- */

static bool refer(tg__planning *w, uint32_t node, int64_t sum)
{
    tg__reference *const r = tg__more(&w->p.plan->operands, 1, sizeof *r);
    if (!r) return tg__planning_failed(w);
    if (sum == TG__NO_SUM && node != TG__ONES && (w->p.single || !w->packed[node]))
        sum = TG__SOURCE; /* no copy */
    *r = (tg__reference){ .node = node, .sum = sum };
    return true;
}

static tg__step *new_step(tg__planning *w, tg__step_kind kind, uint32_t node)
{
    tg__step *const s = tg__more(&w->p.plan->steps, 1, sizeof *s);
    if (!s) return tg__planning_failed(w), NULL;
    *s = (tg__step){ .kind = (uint8_t)kind,
                     .node = node,
                     .first = (uint32_t)(w->p.plan->operands.used / sizeof(tg__reference)),
                     .width = 1 };
    s->op = tg__node_at(w->p.g, node)->op;
    return s;
}

static void close_step(tg__planning *w, tg__step *s)
{
    s->n = (uint32_t)(w->p.plan->operands.used / sizeof(tg__reference)) - s->first;
}

/* A scalar that lies among other elements (of an input or a tensor), lane by lane in a row of its own. */
static bool pack(tg__planning *w, uint32_t id)
{
    if (id == TG__ONES || !tg__is_lane(w->p.g, id) || tg__has_unit(w, id)) return true;
    if (!new_unit(w, &id, 1)) return false;
    w->packed[id] = true;
    tg__step *const s = new_step(w, TG__STEP_COPY, id);
    return s && refer(w, id, TG__NO_SUM) && refer(w, id, TG__SOURCE) && (close_step(w, s), true);
}

/* ---- steps ------------------------------------------------------------------------------------- */

static const uint32_t *operands_of(const tg__planning *w, uint32_t id)
{
    return tg__node_operands(w->p.g, tg__node_at(w->p.g, id));
}

static bool emit_dot(tg__planning *w, uint32_t tile)
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
        for (uint32_t i = 0; ok && i < n; i++) ok = refer(w, node[i], TG__NO_SUM);
        for (uint32_t j = 0; ok && j < t.columns; j++)
            ok = refer(w, terms[dots[root[0]].first + j].b, TG__NO_SUM);
        for (uint32_t i = 0; ok && i < n; i++)
            for (uint32_t j = 0; ok && j < t.columns; j++)
                ok = refer(w, terms[dots[root[i]].first + j].a, TG__NO_SUM);
    } else {
        ok = refer(w, node[0], TG__NO_SUM);
        for (uint32_t j = 0; ok && j < t.columns; j++) {
            const tg__term term = terms[dots[root[0]].first + j];
            ok = refer(w, term.a, TG__NO_SUM) && refer(w, term.b, TG__NO_SUM);
        }
    }
    close_step(w, s);
    for (uint32_t i = 0; i < n; i++) p->role[node[i]] = TG__DONE;
    return ok;
}

/* A new sum over the batch; its place among the partial sums, or -1. */
static int64_t new_total(tg__planning *w, uint32_t node, bool lanes)
{
    tg__plan *const plan = w->p.plan;
    const tg__shape *const s = tg__node_shape(w->p.g, node);
    if (!new_unit(w, &node, 1)) return -1;
    tg__total *const t = tg__more(&plan->totals, 1, sizeof *t);
    if (!t) return tg__planning_failed(w), -1;
    const uint64_t bytes = lanes ? TG__LANE_BYTES : (uint64_t)s->n * tg__type_size(s->type);
    const int64_t place = (int64_t)plan->partials;
    *t = (tg__total){
        .partial = plan->partials, .total = node, .n = (uint32_t)s->n, .lanes = lanes
    };
    plan->partials += (bytes + 63) / 64 * 64;
    plan->n_totals++;
    w->p.role[node] = TG__DONE;
    return place;
}

static bool emit_rows(tg__planning *w, uint32_t tile)
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
    for (uint32_t i = 0; ok && i < t.n; i++) ok = refer(w, rows[i].node, TG__NO_SUM);
    for (uint32_t j = 0; ok && j < t.columns; j++)
        ok = refer(w, columns[rows[0].first + j], TG__NO_SUM);
    close_step(w, s);
    return ok;
}

/* A form of a node's, for a step; its number, or -1. */
static int64_t new_form(tg__planning *w, const tg__form *f)
{
    tg__form *const made = tg__more(&w->p.plan->forms, 1, sizeof *made);
    if (!made) return tg__planning_failed(w), -1;
    *made = *f;
    return made - (tg__form *)(void *)w->p.plan->forms.data;
}

static bool emit_sum(tg__planning *w, uint32_t id)
{
    const uint32_t x = operands_of(w, id)[0];
    const bool whole = w->p.role[x] == TG__FUSED;
    tg__form f;
    if (whole) tg__batch_form(&w->p, x, true, &f);
    const int64_t place = new_total(w, id, false), form = whole ? new_form(w, &f) : 0;
    tg__step *const s = place < 0 || form < 0
                            ? NULL
                            : new_step(w, whole ? TG__STEP_BLOCK : TG__STEP_SUM, whole ? x : id);
    if (!s) return false;
    s->width = (uint32_t)tg__node_shape(w->p.g, id)->n;
    s->columns = (uint32_t)form;
    bool ok = refer(w, 0, place);
    const uint32_t n = whole ? tg__node_n(tg__node_at(w->p.g, x)) : 1;
    for (uint32_t j = 0; ok && j < n; j++)
        ok = refer(w, whole ? operands_of(w, x)[j] : x, TG__NO_SUM);
    close_step(w, s);
    return ok;
}

static bool dense(const tg__planning *w, uint32_t id)
{
    return tg__shape_contiguous(tg__node_shape(w->p.g, id)) &&
           (tg__once(w, id) || tg__node_owner(w->p.g, id) == id);
}

/* Whether an elementwise op can be computed as one row: every operand has the result's elements side
   by side, or is one number. */
static bool is_row(const tg__planning *w, uint32_t id)
{
    const tg__node *const node = tg__node_at(w->p.g, id);
    const tg__shape *const y = tg__node_shape(w->p.g, id);
    if (y->n == 1 && tg__is_scalar(node)) return true;
    for (uint32_t j = 0; j < tg__node_n(node); j++) {
        const uint32_t x = operands_of(w, id)[j];
        const tg__shape *const s = tg__node_shape(w->p.g, x);
        const bool varies = tg__once(w, x) == tg__once(w, id);
        if (s->n == 1 && !varies && !tg__once(w, id)) continue;
        if (s->n == 1 && tg__once(w, id)) continue;
        if (!tg__shape_same_dims(s, y) || !dense(w, x)) return false;
        if (!varies && !tg__once(w, id)) return false;
    }
    return true;
}

static tg__step_kind kind_of(const tg__planning *w, uint32_t id)
{
    const tg__node *const node = tg__node_at(w->p.g, id);
    if (node->op == TG__NODE_ASSEMBLE) return TG__STEP_ASSEMBLE;
    if (node->op == TG__NODE_BACKWARD) return TG__STEP_BACKWARD;
    if (node->op == TG__NODE_SUM) return TG__STEP_SAME;
    if (tg__node_op(node)->kind != TG__MAP) return TG__STEP_RULE;
    if (is_row(w, id)) return TG__STEP_MAP;
    const int rank = tg__node_shape(w->p.g, id)->rank;
    return tg__once(w, id) || rank == TG_MAX_RANK ? TG__STEP_RULE : TG__STEP_WALK;
}

static bool emit_guard(tg__planning *w, uint32_t id)
{
    tg__step *const s = new_step(w, TG__STEP_GUARD, id);
    const bool ok = s && refer(w, operands_of(w, id)[0], TG__NO_SUM);
    if (ok) close_step(w, s);
    w->p.role[id] = TG__DONE;
    return ok;
}

static bool emit_one(tg__planning *w, uint32_t id);

/* A gradient that alone reads what was kept takes its place. */
static bool make_room(tg__planning *w, uint32_t id)
{
    bool done = false;
    if (w->p.single && !tg__scalars_place(&w->scalars, id, &done)) return tg__planning_failed(w);
    const tg__keep *const k = done ? NULL : tg__kept_by(w, id);
    if (!k || k->node == id || !tg__takes_place(w, id, k)) return done || new_unit(w, &id, 1);
    w->p.unit[id] = k->unit;
    return true;
}

/* The last operand of a step: what its operation keeps, or what its gradient finds there. */
static bool refer_kept(tg__planning *w, tg__step *s, uint32_t id)
{
    tg__keep *const k = tg__kept_by(w, id);
    if (!k || (k->node != id && !k->unit)) return true;
    if (k->node == id) k->unit = tg__new_room(w, id, k->n * tg__type_size(w->p.g->type), 1);
    s->kept = true;
    return k->unit && refer(w, k->node, TG__KEPT);
}

/* Elements that are used as scalars, where those have an array of their own. */
static bool bring(tg__planning *w, uint32_t id)
{
    return !w->p.single || tg__scalars_bring(&w->scalars, id);
}

/* The operand by which node id is a gradient. */
static uint32_t by_of(const tg__planning *w, uint32_t id)
{
    return (uint32_t)((const tg__back *)tg__node_data(w->p.g, tg__node_at(w->p.g, id)))->by;
}

/* The gradients `result` of one op, by n of its operands. */
static bool emit_gradients(tg__planning *w, const uint32_t *result, uint32_t n)
{
    const uint32_t id = result[0], operands = tg__node_n(tg__node_at(w->p.g, id));
    uint32_t *const list = tg__more(&w->p.plan->lists, operands + TG__SIBLINGS, sizeof *list);
    if (!list) return tg__planning_failed(w);
    const uint32_t place = (uint32_t)(list - (uint32_t *)(void *)w->p.plan->lists.data);
    memcpy(list, operands_of(w, id), operands * sizeof *list);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t by = by_of(w, result[i]), x = operands_of(w, result[i])[by];
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
    for (uint32_t i = 0; ok && i < n; i++) ok = refer(w, result[i], TG__NO_SUM);
    for (uint32_t j = 0; ok && j < operands; j++) ok = refer(w, list[j], TG__NO_SUM);
    ok = ok && refer_kept(w, s, id);
    close_step(w, s);
    return ok;
}

/* The gradient by node id's operand, and those by other operands that are computed with it, or beside it: then the
   bias's first, whose rows have just been made, and last what the next steps take. */
static bool emit_backward(tg__planning *w, uint32_t id)
{
    uint32_t result[TG__SIBLINGS];
    const uint32_t n = tg__siblings(&w->p, id, result);
    bool ok = true;
    if (n == 1 || !tg__apart(w, id)) {
        ok = emit_gradients(w, result, n);
    } else {
        for (uint32_t by = tg__node_n(tg__node_at(w->p.g, id)) - 2; by-- > 0;)
            for (uint32_t i = 0; ok && i < n; i++)
                if (by_of(w, result[i]) == by) ok = emit_gradients(w, &result[i], 1);
    }
    for (uint32_t i = 1; ok && i < n; i++) ok = bring(w, result[i]);
    return ok;
}

/* Scalars put side by side, by one step; done is false if they are not. */
static bool emit_rows_of(tg__planning *w, uint32_t id, bool *done)
{
    const uint32_t *const x = operands_of(w, id), most = tg__node_n(tg__node_at(w->p.g, id));
    tg__arena *const lists = &w->p.plan->lists;
    const size_t used = lists->used;
    uint32_t *const at = tg__more(lists, most, sizeof *at);
    if (!at) return tg__planning_failed(w);
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
    bool ok = refer(w, id, TG__NO_SUM);
    for (uint32_t j = 0; ok && j < n; j++) ok = refer(w, x[j], TG__NO_SUM);
    close_step(w, s);
    w->p.role[id] = TG__DONE;
    return ok;
}

static bool emit_one(tg__planning *w, uint32_t id)
{
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
    const uint32_t of = whole && tg__is_dot(&w->p, id) ? operands_of(w, id)[0] : id;
    const uint32_t operands = tg__node_parts(tg__node_at(w->p.g, of));
    bool ok = refer(w, id, TG__NO_SUM);
    for (uint32_t j = 0; ok && j < operands; j++) ok = refer(w, operands_of(w, of)[j], TG__NO_SUM);
    ok = ok && (!rule || refer_kept(w, s, id));
    close_step(w, s);
    w->p.role[id] = TG__DONE;
    return ok;
}

/* ---- one instance ------------------------------------------------------------------------------- */

bool tg__emit_load(tg__planner *p, uint32_t node, uint32_t n)
{
    tg__planning *const w = (tg__planning *)(void *)p;
    tg__step *const s = new_step(w, TG__STEP_LOAD, node);
    if (!s) return false;
    s->width = n;
    const bool ok = refer(w, node, TG__SLOT) && refer(w, node, TG__SOURCE);
    close_step(w, s);
    return ok;
}

bool tg__emit_scalars(tg__planner *p, uint32_t first)
{
    tg__step *const s = new_step((tg__planning *)(void *)p, TG__STEP_SCALARS, 0);
    if (s) s->width = first;
    return s;
}

static bool emit_single(tg__planning *w, uint32_t id)
{
    tg__planner *const p = &w->p;
    const tg__node *const node = tg__node_at(p->g, id);
    const bool early = p->role[id] == TG__DONE; /* with a sibling */
    if (p->role[id] != TG__NEEDED && p->role[id] != TG__TILED && !early) return true;
    if (node->op == TG__NODE_CONSTANT || node->op == TG__NODE_VIEW || node->op == TG__NODE_INPUT)
        return true;
    if (!early && tg__scalars_has(&w->scalars, id)) return tg__scalars_add(&w->scalars, id);
    bool ok = early || tg__scalars_end(&w->scalars);
    if (ok && !early) ok = node->op == TG__CODE_guard ? emit_guard(w, id) : emit_one(w, id) && bring(w, id);
    tg__vectors_read_by(&w->scalars, id);
    return ok;
}

/* All in one stage. */
bool tg__order_single(tg__planning *w)
{
    tg__plan *const plan = w->p.plan;
    bool ok = tg__scalars_begin(&w->scalars, &w->p);
    plan->begin[TG__EARLY] = tg__step_count(plan);
    for (uint32_t id = 1; ok && id < w->p.n; id++) ok = emit_single(w, id);
    ok = ok && tg__scalars_end(&w->scalars);
    for (int i = 1; i < 4; i++) plan->begin[i] = (uint32_t)(plan->steps.used / sizeof(tg__step));
    ok = ok && tg__find_chains(w);
    plan->body = (uint64_t)w->scalars.places * tg__type_size(w->p.g->type);
    tg__scalars_free(&w->scalars);
    return ok || tg__planning_failed(w);
}

/* ---- ranges -------------------------------------------------------------------------------------- */

static bool is_ready(const tg__planning *w, uint32_t id)
{
    const uint32_t owner = tg__node_owner(w->p.g, id);
    const uint16_t op = tg__node_at(w->p.g, owner)->op;
    return tg__node_at(w->p.g, owner)->stage != TG__BODY || op == TG__NODE_INPUT ||
           w->p.role[owner] == TG__DONE;
}

/* Whether v does to the members that lie `distance` further in their units what u does. */
static bool alike(const tg__planning *w, uint32_t u, uint32_t v, int64_t distance)
{
    const tg__node *const a = tg__node_at(w->p.g, u), *const b = tg__node_at(w->p.g, v);
    if (a->op != b->op || w->p.role[v] != TG__NEEDED || !tg__is_lane(w->p.g, v)) return false;
    for (uint32_t j = 0; j < tg__node_n(a); j++) {
        const uint32_t x = operands_of(w, u)[j], y = operands_of(w, v)[j];
        if (!tg__is_lane(w->p.g, x)) {
            if (x != y) return false;
            continue;
        }
        if (!tg__has_unit(w, x) || w->p.unit[x] != w->p.unit[y] || !is_ready(w, y)) return false;
        if ((int64_t)w->place[y] - (int64_t)w->place[x] != distance) return false;
    }
    return true;
}

/* The nodes that can be computed in one step with id, in the order of their units; their number. */
static uint32_t range_of(const tg__planning *w, uint32_t id, uint32_t *node)
{
    const tg__node *const first = tg__node_at(w->p.g, id);
    node[0] = id;
    if (w->p.g->without & TG_RANGES) return 1;
    uint32_t x = 0;
    for (uint32_t j = 0; j < tg__node_n(first); j++) {
        x = operands_of(w, id)[j];
        if (tg__is_lane(w->p.g, x) && tg__has_unit(w, x) && tg__unit_at(w, w->p.unit[x])->n > 1)
            break;
        x = 0;
    }
    if (!x) return 1;
    const tg__unit *const u = tg__unit_at(w, w->p.unit[x]);
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

static bool emit_range(tg__planning *w, uint32_t id)
{
    uint32_t node[LONGEST_RANGE];
    const uint32_t n = range_of(w, id, node);
    if (n == 1) return emit_one(w, id);
    if (!new_unit(w, node, n)) return false;
    tg__step *const s = new_step(w, TG__STEP_MAP, node[0]);
    if (!s) return false;
    s->width = n;
    s->range = true;
    bool ok = refer(w, node[0], TG__NO_SUM);
    for (uint32_t j = 0; ok && j < tg__node_n(tg__node_at(w->p.g, id)); j++)
        ok = refer(w, operands_of(w, node[0])[j], TG__NO_SUM);
    close_step(w, s);
    for (uint32_t i = 0; i < n; i++) w->p.role[node[i]] = TG__DONE;
    return ok;
}

/* ---- order --------------------------------------------------------------------------------------- */

static bool emit(tg__planning *w, uint32_t id)
{
    tg__planner *const p = &w->p;
    const tg__node *const node = tg__node_at(p->g, id);
    if (p->role[id] == TG__TILED) return emit_dot(w, p->tile[id]);
    if (p->role[id] != TG__NEEDED) return true;
    switch (node->op) {
    case TG__NODE_INPUT:
        if (tg__node_word(p->g, node) == TG__NOT_GIVEN)
            tg__graph_fail(p->g, TG_ERROR_HISTORY,
                           "a derivative along a direction depends on its cotangent");
        return tg__node_word(p->g, node) != TG__NOT_GIVEN;
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

static bool emit_stage(tg__planning *w, tg__stage stage)
{
    for (uint32_t id = 1; id < w->p.n; id++) {
        const tg__node *const node = tg__node_at(w->p.g, id);
        if (node->op == TG__NODE_SUM) {
            if (stage == TG__BODY && w->p.role[id] == TG__NEEDED && !tg__is_scalar(node) && !emit_sum(w, id))
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

bool tg__order(tg__planning *w)
{
    tg__plan *const plan = w->p.plan;
    for (int stage = TG__EARLY; stage <= TG__LATE; stage++) {
        plan->begin[stage] = (uint32_t)(plan->steps.used / sizeof(tg__step));
        if (!emit_stage(w, (tg__stage)stage)) return false;
    }
    plan->begin[3] = (uint32_t)(plan->steps.used / sizeof(tg__step));
    return tg__find_chains(w) || tg__planning_failed(w);
}
