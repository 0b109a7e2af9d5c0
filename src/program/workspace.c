/* Memory for running a program: see run.h. */
#include <string.h>

#include "program/run.h"

static void free_space(tg__space *w)
{
    tg__arena *const arena[] = { &w->body,     &w->own,   &w->partials, &w->strips, &w->sums,
                                 &w->pointers, &w->lanes, &w->moving, &w->given, &w->inputs,
                                 &w->staged,   &w->links, &w->copies };
    for (size_t i = 0; w->plan && i < sizeof arena / sizeof *arena; i++) tg__arena_free(arena[i]);
    w->plan = NULL;
}

static void add_link(tg__space *w, const tg__operand *o, void *to, size_t bytes)
{
    tg__link *const l = (tg__link *)(void *)(w->links.data + w->links.used);
    *l = (tg__link){ to, o->view, bytes, o->area - TG__AREA_INPUTS };
    w->links.used += sizeof *l;
}

/* One instance's numbers of inputs, and pointers of operands and outputs: found, or linked to inputs. */
static bool link_single(tg__space *w, const tg_program *p)
{
    const tg__plan *const plan = w->plan;
    const tg__operand *const o = tg__plan_operands(plan);
    const tg__output *const out = (const tg__output *)(void *)plan->outputs.data;
    const size_t n = tg__operand_count(plan);
    size_t links = plan->n_outputs;
    for (size_t i = 0; i < n; i++) links += o[i].area >= TG__AREA_INPUTS;
    if (!tg__arena_grow(&w->links, links * sizeof(tg__link)) ||
        !tg__arena_grow(&w->copies, plan->n_outputs * sizeof(tg__copy_out)))
        return false;
    w->block = 1;
    const uint32_t loads = plan->begin[TG__EARLY];
    for (uint32_t i = 0; i < loads; i++) {
        const tg__step *const s = tg__plan_steps(plan) + i;
        add_link(w, &o[s->first + 1], tg__space_at(w, &p->graph, &o[s->first]), s->width * tg__type_size(p->type));
    }
    for (size_t i = 2 * (size_t)loads; i < n; i++) {
        void **const pointer = (void **)(void *)w->pointers.data + i;
        if (o[i].area >= TG__AREA_INPUTS) add_link(w, &o[i], pointer, 0);
        else *pointer = tg__space_at(w, &p->graph, &o[i]);
    }
    for (uint32_t k = 0; k < plan->n_outputs; k++) {
        const uint32_t output = p->written.output[k];
        if (output >= p->n_outputs) continue; /* a state */
        tg__copy_out *const c = (tg__copy_out *)(void *)(w->copies.data + w->copies.used);
        w->copies.used += sizeof *c;
        const size_t bytes = (size_t)out[k].size * out[k].bytes;
        *c = (tg__copy_out){ .bytes = bytes, .offset = p->written.row[k] * bytes, .output = output,
                             .number = k, .adjacent = out[k].adjacent,
                             .floating = tg__node_shape(&p->graph, out[k].node)->type != TG_I64 };
        if (out[k].from.area >= TG__AREA_INPUTS) add_link(w, &out[k].from, &c->from, 0);
        else c->from = tg__space_at(w, &p->graph, &out[k].from);
    }
    return true;
}

/* shared: where the first member has what all share; NULL: this is the first. */
static bool make_space(tg__space *w, const tg_program *p, const tg__plan *plan, char *shared,
                       tg__memory *m)
{
    if (w->plan) return true;
    const bool single = plan == atomic_load(&p->plan[TG__PLAN_SINGLE]);
    *w = (tg__space){ .plan = plan };
    tg__arena *const arena[] = { &w->body,     &w->own,   &w->partials, &w->strips, &w->sums,
                                 &w->pointers, &w->lanes, &w->moving, &w->given, &w->inputs,
                                 &w->staged,   &w->links, &w->copies };
    for (size_t i = 0; i < sizeof arena / sizeof *arena; i++) tg__arena_init(arena[i], m);
    const size_t n = tg__operand_count(plan);
    const bool ok = tg__arena_grow(&w->body, plan->body * plan->block + 64) &&
                    (shared || tg__arena_grow(&w->own, plan->shared + 64)) &&
                    tg__arena_grow(&w->partials, plan->partials + 64) &&
                    tg__arena_grow(&w->strips, plan->strips) &&
                    tg__arena_grow(&w->pointers, n * sizeof(void *)) &&
                    tg__arena_grow(&w->lanes, n * sizeof(ptrdiff_t)) &&
                    tg__arena_grow(&w->moving, n * sizeof(uint32_t)) &&
                    tg__arena_grow(&w->given, n * sizeof(uint32_t)) &&
                    tg__arena_grow(&w->inputs, p->n_inputs * sizeof(void *));
    if (!ok) {
        free_space(w);
        return false;
    }
    w->shared = shared ? shared : w->own.data;
    for (int i = 0; i < TG__BATCH_CHUNK && !shared && !single; i++)
        tg__write_real(w->shared + plan->ones + (size_t)i * tg__type_size(p->type), p->type, 1);
    const size_t size = tg__type_size(p->type), initials = plan->initials.used / sizeof(tg__initial);
    const tg__initial *const initial = (const tg__initial *)(void *)plan->initials.data;
    for (size_t i = 0; i < initials; i++)
        memcpy(w->body.data + initial[i].place * size, p->graph.constants.data + initial[i].constant,
               initial[i].n * size);
    const tg__operand *const o = tg__plan_operands(plan);
    if (single && !link_single(w, p)) {
        free_space(w);
        return false;
    }
    for (size_t i = 0; i < n; i++) ((ptrdiff_t *)(void *)w->lanes.data)[i] = (ptrdiff_t)o[i].lane;
    for (size_t i = 0; i < n && !single; i++) {
        if (o[i].area < TG__AREA_INPUTS) continue;
        const uint32_t input = p->input[o[i].area - TG__AREA_INPUTS];
        const bool varies = tg__node_at(&p->graph, input)->stage == TG__BODY;
        tg__arena *const list = varies ? &w->moving : &w->given;
        ((uint32_t *)(void *)list->data)[list->used / sizeof(uint32_t)] = (uint32_t)i;
        list->used += sizeof(uint32_t);
    }
    return true;
}

bool tg__spaces_make(tg_workspace *w, tg__plan_kind kind, tg_status *status)
{
    const tg_program *const p = w->program;
    if (tg__space_of(w, w->members - 1, kind)->plan) return true;
    const tg__plan *const plan = tg__program_plan(p, kind, "run", status);
    for (int i = 0; plan && i < w->members; i++) {
        char *const shared = i ? tg__space_of(w, 0, kind)->shared : NULL;
        if (make_space(tg__space_of(w, i, kind), p, plan, shared, &w->desk[i].memory)) continue;
        tg__program_fail(status, TG_ERROR_MEMORY, "run", "no memory for the program's values");
        return false;
    }
    return plan;
}

tg_workspace *tg_workspace_new(const tg_program *p, int threads, tg_status *status)
{
    if (!p || threads < 0) {
        tg__program_fail(status, TG_ERROR_ARGUMENT, "workspace_new",
                         p ? "a negative number of threads" : "the program is NULL");
        return NULL;
    }
    const int members = threads < 2 || p->flags & TG__CALL_ONE_THREAD ? 1 : threads;
    tg__memory own = tg__program_memory();
    const size_t bytes = sizeof(tg_workspace) + (size_t)members * sizeof(tg__desk);
    tg_workspace *const w = tg__allocate(&own, bytes);
    if (w) {
        memset(w, 0, bytes);
        *w = (tg_workspace){ .program = p, .memory = own, .bytes = bytes, .members = members };
        for (int i = 0; i < members; i++) {
            w->desk[i].memory = tg__program_memory();
            tg__arena_init(&w->desk[i].scratch, &w->desk[i].memory);
        }
        if (members > 1) w->team = tg__team_new(&w->memory, members);
        if (members == 1 || w->team) return w;
        tg_workspace_free(w);
    }
    tg__program_fail(status, TG_ERROR_MEMORY, "workspace_new", "no memory, or no threads");
    return NULL;
}

void tg_workspace_free(tg_workspace *w)
{
    if (!w) return;
    tg__team_free(w->team);
    for (int i = 0; i < w->members; i++) {
        for (int kind = 0; kind < TG__PLANS; kind++) free_space(&w->desk[i].space[kind]);
        tg__arena_free(&w->desk[i].scratch);
    }
    tg__memory own = { .bytes = w->bytes };
    tg__deallocate(&own, w, w->bytes);
}
