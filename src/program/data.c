/* What comes into a run and goes out: see run.h. */
#include <stdio.h>
#include <string.h>

#include "program/run.h"

bool tg__run_check(const tg_program *p, const tg_workspace *w, int64_t count,
                  const void *const *inputs, void *const *outputs, tg_status *status)
{
    char text[TG__RUN_MESSAGE];
    const char *why = NULL;
    if (!p || !w) why = "the program or the workspace is NULL";
    else if (w->program != p) why = "the workspace is another program's";
    else if (count < 0) why = "a negative number of instances";
    else if (!outputs && p->n_outputs) why = "no place for outputs given";
    else if (!inputs && p->n_inputs) why = "no inputs given";
    for (uint32_t i = 0; !why && i < p->n_inputs; i++) {
        if (inputs[i] || tg__node_shape(&p->graph, p->input[i])->n == 0) continue;
        if (count == 0 && tg__node_at(&p->graph, p->input[i])->stage == TG__BODY) continue;
        snprintf(text, sizeof text, "input %u is NULL", i);
        why = text;
    }
    if (!why) return true;
    tg__program_fail(status, TG_ERROR_ARGUMENT, "run", why);
    return false;
}

/* Where an operand is; of a batch input, for the block that begins at instance first. */
static void *pointer_of(const tg__replay *r, const tg__operand *o)
{
    const tg__space *const w = r->w;
    switch (o->area) {
    case TG__AREA_BODY: return w->body.data + o->offset * w->block + o->view;
    case TG__AREA_SHARED: return w->shared + o->offset + o->view;
    case TG__AREA_CONSTANTS: return r->g->constants.data + o->offset + o->view;
    case TG__AREA_PARTIALS: return w->partials.data + o->offset;
    default: break;
    }
    const uint32_t input = o->area - TG__AREA_INPUTS;
    const char *const at = r->inputs[input];
    const tg__shape *const s = tg__node_shape(r->g, r->program->input[input]);
    const bool batch = tg__node_at(r->g, r->program->input[input])->stage == TG__BODY;
    const int64_t step = batch ? r->first * s->n * (int64_t)tg__type_size(s->type) : 0;
    return (void *)(uintptr_t)(at + step + o->view);
}

/* The operands on a list. */
static void point_at(const tg__replay *r, const tg__arena *list)
{
    const tg__operand *const o = tg__plan_operands(r->plan);
    const uint32_t *const which = (const uint32_t *)(void *)list->data;
    for (size_t i = 0; i < list->used / sizeof *which; i++)
        r->p[which[i]] = pointer_of(r, &o[which[i]]);
}

void tg__run_point(const tg__replay *r, uint32_t block)
{
    const tg__operand *const o = tg__plan_operands(r->plan);
    tg__space *const w = r->w;
    if (w->block != block) {
        w->block = block;
        for (size_t i = 0; i < tg__operand_count(r->plan); i++)
            if (o[i].area < TG__AREA_INPUTS) r->p[i] = pointer_of(r, &o[i]);
    }
    const size_t bytes = r->program->n_inputs * sizeof(void *);
    if (bytes && memcmp(w->inputs.data, r->inputs, bytes) == 0) return;
    if (bytes) memcpy(w->inputs.data, r->inputs, bytes);
    point_at(r, &w->given);
}

void tg__run_point_block(const tg__replay *r)
{
    point_at(r, &r->w->moving);
}

void tg__run_write(const tg__replay *r, bool each, int64_t n)
{
    const tg__output *const o = (const tg__output *)(void *)r->plan->outputs.data;
    for (uint32_t i = 0; i < r->plan->n_outputs; i++) {
        if (o[i].each != each || !r->outputs[i]) continue;
        const tg__shape *const s = tg__node_shape(r->g, o[i].node);
        const ptrdiff_t size = (ptrdiff_t)tg__type_size(s->type);
        tg__shape own = *s;
        tg__shape_finish(&own);
        const char *const from = pointer_of(r, &o[i].from);
        char *const to = (char *)r->outputs[i] + (each ? r->first * s->n * size : 0);
        if (s->n && tg__shape_contiguous(s) && (n == 1 || o[i].from.lane == s->n)) {
            memcpy(to, from, (size_t)(n * s->n * size));
            continue;
        }
        for (int64_t l = 0; l < n; l++) {
            const ptrdiff_t lane = (ptrdiff_t)o[i].from.lane;
            const tg__array x = { s, (void *)(uintptr_t)(from + l * lane * size) };
            tg__copy(r->g->k, (tg__array){ &own, to + l * s->n * size }, x);
        }
    }
}
