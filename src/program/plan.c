/* Planning: which nodes are computed, and how many instances at a time. */
#include <string.h>

#include "program/planning.h"

enum {
    /* What the values of a block may take: the second cache, unless so few instances fit that the steps'
       own costs weigh more; then the third. */
    NEAR_BYTES = 1 << 20,
    FAR_BYTES = 16 << 20,
    LARGEST_BLOCK = 256,
    FAR_BLOCK = 128,
    SMALLEST_BLOCK = 16,
};

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
        const uint32_t operands = tg__node_parts(node);
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
        for (uint32_t j = 0; j < tg__node_n(node); j++) list[begin[x[j]]++] = id;
    }
    for (uint32_t id = p->n; id > 0; id--) begin[id] = begin[id - 1];
    begin[0] = 0;
    p->users_begin = begin;
    p->user = list;
    return true;
}

/* ---- blocks -------------------------------------------------------------------------------------- */

/* Whether how many instances a step does at once can be seen in its result. */
static bool is_grainy(const tg__plan *plan)
{
    for (uint32_t i = 0; i < tg__step_count(plan); i++) {
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

enum { ARENAS = 13 };

static void list_arenas(tg__planning *w, tg__arena *arena[ARENAS])
{
    tg__planner *const p = &w->p;
    tg__arena *const all[ARENAS] = { &p->by_node, &p->terms,     &p->dots,    &p->tiles,
                                     &p->rows,    &p->columns,   &p->sums,    &p->units,
                                     &p->users,   &p->user_list, &w->members, &p->marks,
                                     &w->keeps };
    memcpy(arena, all, sizeof all);
}

bool tg__begin_arenas(tg__arena *const *arena, size_t n, tg__arena *room)
{
    bool ok = tg__arena_grow(room, room->used + n * TG__FIRST_BYTES);
    for (size_t i = 0; i < n; i++) {
        tg__arena_init(arena[i], room->memory);
        ok = ok && tg__arena_lend(room, arena[i], TG__FIRST_BYTES);
    }
    return ok;
}

static bool begin(tg__planning *w)
{
    tg__planner *const p = &w->p;
    tg__arena *arena[ARENAS];
    list_arenas(w, arena);
    tg__arena_init(&p->room, p->memory);
    p->n = p->g->n;
    const size_t n = p->n, lists = p->single ? 8 : 6;
    const size_t bytes = n * (lists * sizeof(uint32_t) + sizeof(uint8_t) + sizeof(bool));
    if (!tg__arena_grow(&p->room, bytes + 64 + ARENAS * TG__FIRST_BYTES + (p->single ? tg__scalars_room(p) : 0)) ||
        !tg__begin_arenas(arena, ARENAS, &p->room) || !tg__arena_lend(&p->room, &p->by_node, bytes))
        return tg__planning_failed(w);
    char *const at = tg__arena_push(&p->by_node, bytes); /* zeros, as it is new */
    tg__bundle *const tile = tg__more(&p->tiles, 1, sizeof *tile);
    tg__unit *const none = tg__more(&p->units, 1, sizeof *none);
    /* Half of the nodes become steps, if they are many. */
    const size_t operands = (p->g->pool.used / sizeof(uint32_t) + n) / 2, steps = n / 2;
    const bool room = p->single || (tg__arena_grow(&p->plan->steps, steps * sizeof(tg__step)) &&
                                    tg__arena_grow(&p->plan->operands, operands * sizeof(tg__reference)));
    if (!at || !tile || !none || !room) return tg__planning_failed(w);
    *tile = (tg__bundle){ 0 };
    *none = (tg__unit){ 0 };
    p->uses = (uint32_t *)(void *)at;
    p->tile = p->uses + n;
    p->waiting = p->tile + n;
    p->unit = p->waiting + n;
    w->place = p->unit + n;
    w->keep = w->place + n;
    p->same = w->keep + n;
    p->slot = p->same + n;
    p->role = (uint8_t *)(p->uses + lists * n);
    w->packed = (bool *)(p->role + n);
    return true;
}

static void end(tg__planning *w)
{
    tg__arena *arena[ARENAS];
    list_arenas(w, arena);
    for (int i = 0; i < ARENAS; i++) tg__arena_free(arena[i]);
    tg__arena_free(&w->p.room);
}

enum { OWN_ARENAS = 9 };

static void list_own_arenas(tg__plan *plan, tg__arena *arena[OWN_ARENAS])
{
    tg__arena *const all[OWN_ARENAS] = { &plan->steps, &plan->operands, &plan->totals,   &plan->outputs,
                                   &plan->forms, &plan->words,    &plan->initials, &plan->lists,
                                   &plan->chains };
    memcpy(arena, all, sizeof all);
}

/* Into an empty plan. */
static bool make(const tg_program *program, tg__plan_kind kind, tg__plan *plan)
{
    /* Planning writes nothing to the graph but the first error. */
    tg__graph own = program->graph, *const g = &own;
    const tg__written *const written = &program->written;
    const int n = (int)written->n;
    plan->count = UINT64_MAX;
    tg__arena *arena[OWN_ARENAS];
    list_own_arenas(plan, arena);
    tg__arena_init(&plan->room, &plan->memory);
    bool ok = tg__begin_arenas(arena, OWN_ARENAS, &plan->room);
    tg__planning w = { .p = { .g = g,
                              .plan = plan,
                              .memory = &plan->memory,
                              .one = program->one,
                              .output = written->node,
                              .n_outputs = written->n,
                              .single = kind == TG__PLAN_SINGLE,
                              .careful =
                                  kind == TG__PLAN_CAREFUL || program->flags & TG__CALL_IMPURE } };
    ok = begin(&w) && (ok || tg__planning_failed(&w));
    if (ok && w.p.single) {
        tg__find_same(&w.p);
        mark(&w.p, written->node, n);
        ok = tg__find_kept(&w) ? tg__order_single(&w) : tg__planning_failed(&w);
    } else if (ok) {
        plan->shared = TG__BATCH_CHUNK * sizeof(double); /* the row of ones */
        mark(&w.p, written->node, n);
        const bool dots = !(g->without & TG_DOTS) && !g->strict;
        tg__find_sums(&w.p);
        ok = (!dots || tg__find_dots(&w.p)) && tg__find_rows(&w.p) && list_users(&w.p);
        ok = ok && tg__find_kept(&w);
        ok = ok ? tg__order(&w) : tg__planning_failed(&w);
    }
    ok = ok && tg__give_memory(&w, written->node, n) &&
         tg__list_outputs(&w, written->node, written->each, n);
    if (ok) tg__locate_all(&w);
    if (w.p.single) plan->block = plan->piece = 1;
    else choose_block(plan, program->block);
    end(&w);
    plan->status = g->status;
    return ok && !tg__graph_failed(g);
}

void tg__plan_free(tg__plan *plan)
{
    if (!plan) return;
    tg__arena *arena[OWN_ARENAS];
    list_own_arenas(plan, arena);
    for (int i = 0; i < OWN_ARENAS; i++) tg__arena_free(arena[i]);
    tg__arena_free(&plan->room);
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
    *made = (tg__plan){ .memory = tg__program_memory() };
    if (!make(p, kind, made)) {
        tg__program_fail(status, made->status.code, what, made->status.message);
        tg__plan_free(made);
        return NULL;
    }
    if (atomic_compare_exchange_strong(place, &none, made)) return made;
    tg__plan_free(made); /* another thread was first */
    return none;
}
