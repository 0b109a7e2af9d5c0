/* Planning: where values lie. */
#include <string.h>

#include "program/planning.h"

/* ---- memory -------------------------------------------------------------------------------------- */

/* The unit that a reference reads or writes; 0: no memory of a workspace. */
static uint32_t unit_of(const tg__planning *w, const tg__reference *r)
{
    if (r->sum >= 0 || r->node == TG__ONES) return 0;
    if (r->sum == TG__KEPT) return tg__kept_by(w, r->node)->unit;
    if (r->sum <= TG__AGAIN) return (uint32_t)(TG__AGAIN - r->sum);
    if (r->sum == TG__NO_SUM) return w->p.unit[r->node];
    return r->sum == TG__SLOT ? 0 : w->p.unit[tg__owner(&w->p, r->node)];
}

static void use(tg__planning *w, uint32_t u, uint32_t step)
{
    tg__unit *const at = tg__unit_at(w, u);
    const tg__plan *const plan = w->p.plan;
    /* The body is a loop: what comes from outside lives to its end. */
    const bool outside = at->stage != TG__BODY && step >= plan->begin[1] && step < plan->begin[2];
    if (outside) step = plan->begin[2] - 1;
    if (step > at->last) at->last = step;
}

/* Whether a step of a chain takes of an operand, or gives, just the elements of the strip that it is at. */
static bool by_elements(const tg__planning *w, const tg__step *s, const tg__reference *r)
{
    return s->kind == TG__STEP_MAP && r->node != TG__ONES && tg__node_shape(w->p.g, r->node)->n == s->width;
}

/* Whether an operand is the result of an op whose gradient does not read it. */
static bool is_unread(const tg__planning *w, const tg__step *s, uint32_t operand)
{
    const tg__node *const node = tg__node_at(w->p.g, s->node);
    if (node->op != TG__NODE_BACKWARD || operand + 2 + s->kept != s->n) return false;
    return tg__ops[((const tg__back *)tg__node_data(w->p.g, node))->op]->writes;
}

/* Anything else is wanted again for the next strip. */
static void find_last_uses(tg__planning *w, const uint32_t *output, int n)
{
    const tg__plan *const plan = w->p.plan;
    const uint32_t steps = tg__step_count(plan);
    uint32_t end = 0; /* of the present chain */
    for (uint32_t i = 0; i < steps; i++) {
        const tg__step *const s = tg__plan_steps(plan) + i;
        const tg__reference *const r =
            (const tg__reference *)(void *)plan->operands.data + s->first;
        if (s->chain) end = i + tg__plan_chain(plan, s)->steps - 1;
        for (uint32_t j = 0; j < s->n; j++)
            if (unit_of(w, &r[j]) && !is_unread(w, s, j))
                use(w, unit_of(w, &r[j]), i < end && !by_elements(w, s, &r[j]) ? end : i);
    }
    for (int i = 0; i < n; i++) {
        const uint32_t u = w->p.unit[tg__owner(&w->p, output[i])];
        if (u) tg__unit_at(w, u)->last = steps;
    }
}

/* Whether what step s of a chain makes is summed up by blocks in it. */
static bool is_summed(const tg__planning *w, const tg__step *s, const tg__step *end)
{
    const tg__reference *const r = (const tg__reference *)(void *)w->p.plan->operands.data;
    const uint32_t made = r[s->first].node;
    for (const tg__step *t = s + 1; t < end; t++)
        if (t->kind == TG__STEP_BACKWARD && tg__owner(&w->p, r[t->first + t->n - 1].node) == made) return true;
    return false;
}

/* What only the chain that makes it uses: a strip at a time, of a product a block. */
static void make_strips(tg__planning *w)
{
    tg__plan *const plan = w->p.plan;
    for (uint32_t i = 0; i < tg__step_count(plan); i++) {
        const tg__step *const s = tg__plan_steps(plan) + i;
        if (!s->chain) continue;
        tg__chain *const chain = tg__plan_chain(plan, s);
        const size_t size = tg__type_size(w->p.g->type);
        uint64_t bytes = 0;
        for (uint32_t j = 0; j < chain->steps; j++) {
            const bool product = j == 0 && chain->product;
            const uint32_t made = unit_of(w, (const tg__reference *)(void *)plan->operands.data + s[j].first);
            tg__unit *const u = tg__unit_at(w, made);
            if (!made || u->last >= i + chain->steps || (s[j].kind != TG__STEP_MAP && !product)) continue;
            if (is_summed(w, s + j, s + chain->steps)) continue;
            u->strip = true;
            u->offset = bytes;
            bytes += ((product ? chain->block : chain->strip) * size + 63) / 64 * 64;
            if (product) chain->held = (uint32_t)bytes;
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

static bool place_unit(tg__planning *w, store *st, uint32_t u)
{
    tg__unit *const at = tg__unit_at(w, u);
    if (at->strip || at->placed) return true;
    at->placed = true;
    tg__plan *const plan = w->p.plan;
    const bool body = at->stage == TG__BODY;
    shelf *const s = shelf_for(st, at->bytes, body);
    if (!s) return tg__planning_failed(w);
    if (s->unit && !(w->p.g->without & TG_REUSE)) {
        const tg__unit *const had = tg__unit_at(w, s->unit);
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

static bool end_units(tg__planning *w, store *st, uint32_t step)
{
    for (uint32_t u = st->ending[step], next; u; u = next) {
        tg__unit *const at = tg__unit_at(w, u);
        next = at->next;
        shelf *const s = shelf_for(st, at->bytes, at->stage == TG__BODY);
        if (!s) return tg__planning_failed(w);
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

static bool place_results(tg__planning *w, store *st, const tg__step *s)
{
    const tg__reference *const r =
        (const tg__reference *)(void *)w->p.plan->operands.data + s->first;
    const bool none = s->kind == TG__STEP_GUARD || s->kind == TG__STEP_SCALARS;
    const uint32_t n = s->kind == TG__STEP_BACKWARD ? s->width : !none;
    for (uint32_t i = 0; i < n; i++)
        if (unit_of(w, &r[i]) && !place_unit(w, st, unit_of(w, &r[i]))) return false;
    const uint32_t kept = s->kept ? unit_of(w, &r[s->n - 1]) : 0;
    return !kept || place_unit(w, st, kept);
}

/* What a chain makes of all its strips is not to lie where something is that one of them reads. */
static bool place_sums(tg__planning *w, store *st, const tg__step *s, uint32_t steps)
{
    for (uint32_t i = 0; i < steps; i++)
        if (s[i].kind != TG__STEP_MAP && !place_results(w, st, &s[i])) return false;
    return true;
}

/* Sums over the batch and the count have their places from the beginning. */
static bool place_all(tg__planning *w, store *st)
{
    tg__plan *const plan = w->p.plan;
    const uint32_t steps = tg__step_count(plan);
    tg__total *const total = (tg__total *)(void *)plan->totals.data;
    for (uint32_t i = 0; i < plan->n_totals; i++) {
        const uint32_t u = w->p.unit[total[i].total];
        if (!place_unit(w, st, u)) return false;
        total[i].total = tg__unit_at(w, u)->offset;
    }
    const uint32_t count = w->p.unit[w->p.g->count];
    if (count) {
        if (!place_unit(w, st, count)) return false;
        plan->count = tg__unit_at(w, count)->offset;
    }
    for (uint32_t i = 0; i < steps; i++) {
        const tg__step *const s = tg__plan_steps(plan) + i;
        if (s->chain && !place_sums(w, st, s, tg__plan_chain(plan, s)->steps)) return false;
        if (!adds_up(plan, s) && !place_results(w, st, s)) return false;
        if (!end_units(w, st, i)) return false;
    }
    return true;
}

bool tg__give_memory(tg__planning *w, const uint32_t *output, int n)
{
    store st = { 0 };
    tg__arena endings;
    tg__arena_init(&st.shelves, w->p.memory);
    tg__arena_init(&endings, w->p.memory);
    const size_t bytes = ((size_t)tg__step_count(w->p.plan) + 1) * sizeof *st.ending;
    st.ending = tg__arena_push(&endings, bytes);
    bool ok = st.ending;
    if (ok) {
        memset(st.ending, 0, bytes);
        find_last_uses(w, output, n);
        make_strips(w);
        ok = place_all(w, &st);
    } else {
        tg__planning_failed(w);
    }
    tg__arena_free(&st.shelves);
    tg__arena_free(&endings);
    return ok;
}

/* ---- where operands are -------------------------------------------------------------------------- */

static tg__operand locate(const tg__planning *w, const tg__reference *r)
{
    const tg__graph *const g = w->p.g;
    if (r->sum >= 0) return (tg__operand){ .area = TG__AREA_PARTIALS, .offset = (uint64_t)r->sum };
    if (r->node == TG__ONES)
        return (tg__operand){ .area = TG__AREA_SHARED, .lane = 1, .offset = w->p.plan->ones };
    if (r->sum == TG__KEPT) {
        const tg__keep *const k = tg__kept_by(w, r->node);
        const tg__unit *const u = tg__unit_at(w, k->unit);
        const bool body = u->stage == TG__BODY;
        return (tg__operand){ .area = body ? TG__AREA_BODY : TG__AREA_SHARED, .lane = body ? k->n : 0,
                              .offset = u->offset };
    }
    if (r->sum <= TG__AGAIN) /* always a strip */
        return (tg__operand){ .area = TG__AREA_STRIPS, .lane = 1, .offset = tg__unit_at(w, unit_of(w, r))->offset };
    const bool copy = r->sum == TG__NO_SUM;
    const uint32_t owner = copy ? r->node : tg__owner(&w->p, r->node);
    const tg__node *const node = tg__node_at(g, owner);
    const tg__shape *const s = tg__node_shape(g, owner);
    const size_t size = tg__type_size(s->type);
    if (r->sum == TG__SLOT)
        return (tg__operand){ .area = TG__AREA_BODY, .offset = w->p.slot[r->node] * size };
    tg__operand o = { .view =
                          copy ? 0 : tg__node_offset(g, tg__same(&w->p, r->node)) * (int64_t)size };
    if (node->op == TG__NODE_CONSTANT) {
        o.area = TG__AREA_CONSTANTS;
        o.offset = (uint64_t)tg__node_word(g, node) * 8;
    } else if (node->op == TG__NODE_INPUT && !copy) {
        o.area = TG__AREA_INPUTS + tg__node_word(g, node);
        o.lane = node->stage == TG__BODY ? (uint32_t)s->n : 0;
    } else if (w->p.single && w->p.slot[owner]) {
        o.area = TG__AREA_BODY;
        o.offset = w->p.slot[owner] * size;
    } else {
        const tg__unit *const u = tg__unit_at(w, w->p.unit[owner]);
        const bool body = u->stage == TG__BODY;
        o.area = u->strip ? TG__AREA_STRIPS : body ? TG__AREA_BODY : TG__AREA_SHARED;
        o.lane = !body ? 0 : copy ? 1 : (uint32_t)s->n;
        o.offset = u->offset + (uint64_t)w->place[owner] * (u->bytes / u->n);
    }
    return o;
}

/* In a row of elements the distance from one to the next counts, for instances and ranges alike. */
void tg__locate_all(const tg__planning *w)
{
    tg__plan *const plan = w->p.plan;
    for (uint32_t i = 0; i < tg__step_count(plan); i++) {
        const tg__step *const s = tg__plan_steps(plan) + i;
        tg__reference *const r = (tg__reference *)(void *)plan->operands.data + s->first;
        for (uint32_t j = 0; j < s->n; j++) {
            const tg__reference was = r[j];
            tg__operand o = locate(w, &was);
            const bool row = s->kind == TG__STEP_MAP && (s->width > 1 || tg__once(w, s->node));
            if (row) o.lane = (!w->p.single && o.lane) || tg__node_shape(w->p.g, was.node)->n > 1;
            r[j].operand = o;
        }
    }
}

bool tg__list_outputs(tg__planning *w, const uint32_t *output, const bool *each, int n)
{
    for (int i = 0; i < n; i++) {
        tg__output *const o = tg__more(&w->p.plan->outputs, 1, sizeof *o);
        if (!o) return tg__planning_failed(w);
        const tg__reference r = { .node = output[i], .sum = TG__SOURCE };
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
