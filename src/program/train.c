/* Programs in place of tg_backward: see tg_run_backward. */
#include <stdio.h>

#include "program/run.h"
#include "tape/tape.h"

static bool failed(tg_status *s, tg_code code, const char *message)
{
    tg__program_fail(s, code, "run_backward", message);
    return false;
}

/* What keeps the program from using its tape; NULL: nothing. */
static const char *obstacle(const tg_program *g, const tg_workspace *w, const void *const *batch,
                            char *text, size_t size)
{
    if (!g || !w) return "the program or the workspace is NULL";
    if (!g->gradient) return "the program is no gradient program";
    if (!batch && g->n_batch) return "no batch inputs given";
    for (uint32_t i = 1; i < g->n_outputs; i++) {
        if (!g->each[i]) continue;
        snprintf(text, size, "output %u is a gradient for every instance, by input %u", i, g->by[i]);
        return text;
    }
    for (uint32_t i = g->n_batch; i < g->n_inputs; i++) {
        tg_tape *const t = g->leaf[i].tape;
        if (t->failed) return "the tape has an error";
        if (tg__is_live(t, g->leaf[i])) continue;
        snprintf(text, size, "input %u was released, or the tape was reset", i);
        return text;
    }
    return NULL;
}

bool tg_run_backward(const tg_program *g, tg_workspace *w, int64_t count, const void *const *batch,
                     double *total, tg_status *status)
{
    return tg_run_backward_with(g, w, count, batch, total, NULL, status);
}

bool tg_run_backward_with(const tg_program *g, tg_workspace *w, int64_t count,
                          const void *const *batch, double *total, const tg_run_options *options,
                          tg_status *status)
{
    char text[128];
    const char *const why = obstacle(g, w, batch, text, sizeof text);
    if (why) return failed(status, TG_ERROR_ARGUMENT, why);
    tg_tape *const t = g->leaf[g->n_batch].tape;
    tg__memory memory = { .reserve = 0 };
    const size_t bytes = ((size_t)g->n_inputs + g->n_outputs) * sizeof(void *);
    void **const p = tg__allocate(&memory, bytes);
    if (!p || !tg__clear_gradients(t)) {
        tg__deallocate(&memory, p, bytes);
        return failed(status, TG_ERROR_MEMORY, "no memory");
    }
    union {
        double f64;
        float f32;
    } loss = { 0 };
    void **const out = p + g->n_inputs;
    for (uint32_t i = 0; i < g->n_inputs; i++)
        p[i] = i < g->n_batch ? (void *)(uintptr_t)batch[i] : tg__value_array(t, g->leaf[i].id).p;
    out[0] = &loss;
    for (uint32_t i = 1; i < g->n_outputs; i++) out[i] = tg__adjoint_array(t, g->leaf[g->by[i]].id).p;
    const tg_run_options next = { .run = w->backwards };
    const bool ok = tg_run_with(g, w, count, (const void *const *)p, out, options ? options : &next, status);
    w->backwards++;
    if (ok && total) *total = g->type == TG_F64 ? loss.f64 : (double)loss.f32;
    tg__deallocate(&memory, p, bytes);
    uint32_t n;
    const tg__state *const state = tg__program_states(&g->states, &n);
    for (uint32_t i = 0; i < n && ok; i++)
        if (!tg_written(g->leaf[state[i].input])) return failed(status, TG_ERROR_MEMORY, "no memory");
    return ok;
}
