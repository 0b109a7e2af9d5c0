/* Programs from tapes, and gradients of programs: see tapegrad/program.h. */
#include <stdio.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/plan.h"
#include "tape/tape.h"

static void set_status(tg_status *s, tg_code code, const char *what, const char *message)
{
    if (!s) return;
    s->code = code;
    snprintf(s->message, sizeof s->message, "%s: %.480s", what, message);
}

/* An empty program with room for the numbers of its inputs and outputs. */
static tg_program *new_program(uint32_t n_inputs, uint32_t n_batch, uint32_t n_outputs)
{
    tg__memory own = { .reserve = 0 };
    const size_t bytes = sizeof(tg_program) + n_inputs * sizeof(tg_value) +
                         ((size_t)n_inputs + 2 * n_outputs) * sizeof(uint32_t) + n_outputs;
    tg_program *const p = tg__allocate(&own, bytes);
    if (!p) return NULL;
    memset(p, 0, bytes);
    p->memory = own;
    p->bytes = bytes;
    p->n_inputs = n_inputs;
    p->n_batch = n_batch;
    p->n_outputs = n_outputs;
    p->leaf = (tg_value *)(void *)(p + 1);
    p->input = (uint32_t *)(void *)(p->leaf + n_inputs);
    p->output = p->input + n_inputs;
    p->by = p->output + n_outputs;
    p->each = (bool *)(p->by + n_outputs);
    return p;
}

void tg_program_free(tg_program *p)
{
    if (!p) return;
    tg__plan_free(&p->plan);
    tg__plan_free(&p->careful);
    tg__graph_free(&p->graph);
    tg__memory own = { .bytes = p->bytes };
    tg__deallocate(&own, p, p->bytes);
}

/* The program's plan; frees the program when there is an error. */
static tg_program *finish(tg_program *p, const char *what, tg_status *status)
{
    tg__graph *const g = &p->graph;
    const int n = (int)p->n_outputs;
    bool ok = !tg__graph_failed(g);
    for (int i = 0; ok && i < n; i++)
        p->each[i] |= tg__node_at(g, p->output[i])->stage == TG__BODY;
    ok = ok && tg__plan_make(g, p->output, p->each, n, p->block, false, &p->plan) &&
         (!p->plan.quick ||
          tg__plan_make(g, p->output, p->each, n, p->block, true, &p->careful));
    if (ok) return p;
    set_status(status, g->room.code, what, g->room.message);
    tg_program_free(p);
    return NULL;
}

/* ---- from a tape ------------------------------------------------------------------------------- */

/* The tape of values that can be compiled; NULL with why otherwise. */
static const tg_tape *tape_of(const tg_value *v, int n, const tg_value *other, const char *role,
                              char *why, size_t size)
{
    if (n < 0 || (n > 0 && !v)) {
        snprintf(why, size, "no %s given", role);
        return NULL;
    }
    const tg_tape *const t = other ? other->tape : v[0].tape;
    for (int i = 0; i < n; i++) {
        const bool value = v[i].tape && v[i].tape != TG__NUMBER;
        if (!value || v[i].tape != t || !tg__is_live(t, v[i])) {
            snprintf(why, size, "%s %d is %s", role, i,
                     !value           ? "no value of a tape"
                     : v[i].tape != t ? "a value of another tape"
                                      : "stale: it was released, or the tape was reset");
            return NULL;
        }
    }
    if (t->failed) snprintf(why, size, "the tape has an error: %.300s", t->message);
    return t->failed ? NULL : t;
}

static bool are_leaves(const tg_tape *t, const tg_value *v, int n, char *why, size_t size)
{
    for (int i = 0; i < n; i++) {
        const uint32_t maker = tg__maker(t, v[i].id);
        const tg__instruction *const in = &t->head.code[maker];
        if (in->op != TG__LEAF || in->y != v[i].id) {
            snprintf(why, size, "input %d is no leaf: it is made by %s", i,
                     in->op == TG__LEAF ? "a view" : tg__name_at(t, maker));
            return false;
        }
        for (int j = 0; j < i; j++) {
            if (v[j].id != v[i].id) continue;
            snprintf(why, size, "inputs %d and %d are the same leaf", j, i);
            return false;
        }
    }
    return true;
}

tg_program *tg_compile(const tg_value *outputs, int n_outputs, const tg_value *batch, int n_batch,
                       const tg_value *shared, int n_shared, const tg_compile_options *options,
                       tg_status *status)
{
    static const char *const what = "compile";
    char why[400] = "no outputs given";
    const tg_tape *t = NULL;
    if (n_outputs > 0 && outputs) t = tape_of(outputs, n_outputs, NULL, "output", why, sizeof why);
    if (t) t = tape_of(batch, n_batch, outputs, "batch input", why, sizeof why);
    if (t) t = tape_of(shared, n_shared, outputs, "shared input", why, sizeof why);
    if (!t) {
        set_status(status, TG_ERROR_ARGUMENT, what, why);
        return NULL;
    }
    const int n = n_batch + n_shared;
    tg_program *const p = new_program((uint32_t)n, (uint32_t)n_batch, (uint32_t)n_outputs);
    if (!p) {
        set_status(status, TG_ERROR_MEMORY, what, "no memory");
        return NULL;
    }
    for (int i = 0; i < n; i++) p->leaf[i] = i < n_batch ? batch[i] : shared[i - n_batch];
    p->type = t->type;
    p->block = options ? options->block : 0;
    bool ok = are_leaves(t, p->leaf, n, why, sizeof why);
    if (!ok) set_status(status, TG_ERROR_ARGUMENT, what, why);
    if (ok && tg__graph_init(&p->graph, &p->memory, t->type, options) &&
        tg__graph_import(&p->graph, outputs, n_outputs, p->leaf, n, n_batch, p->output)) {
        for (uint32_t id = 1; id < p->graph.n; id++) {
            const tg__node *const node = tg__node_at(&p->graph, id);
            if (node->op == TG__NODE_INPUT) p->input[node->data] = id;
        }
    }
    if (ok) return finish(p, what, status);
    tg_program_free(p);
    return NULL;
}

/* ---- gradients --------------------------------------------------------------------------------- */

static bool clone(tg__arena *to, const tg__arena *from, tg__memory *m)
{
    tg__arena_init(to, m);
    if (!tg__arena_grow(to, from->used + 1)) return false;
    if (from->used) memcpy(to->data, from->data, from->used);
    to->used = from->used;
    return true;
}

static bool clone_graph(tg__graph *to, const tg__graph *from, tg__memory *m)
{
    *to = *from;
    to->memory = m;
    to->status = &to->room;
    tg__arena_init(&to->scratch, m);
    tg__arena table = from->table;
    table.used = from->buckets * sizeof(uint32_t);
    return clone(&to->nodes, &from->nodes, m) & clone(&to->pool, &from->pool, m) &
           clone(&to->shapes, &from->shapes, m) & clone(&to->attributes, &from->attributes, m) &
           clone(&to->constants, &from->constants, m) & clone(&to->table, &table, m) &
           clone(&to->sites, &from->sites, m);
}

/* Which inputs the gradient is by; false with why if that makes no sense. */
static bool choose_inputs(const tg_program *p, const tg_gradient_options *o, uint32_t *number,
                          uint32_t *n, char *why, size_t size)
{
    *n = 0;
    if (!o || !o->wrt) {
        for (uint32_t i = p->n_batch; i < p->n_inputs; i++)
            if (tg__node_shape(&p->graph, p->input[i])->type != TG_I64) number[(*n)++] = i;
        snprintf(why, size, "there is no shared input to differentiate by");
        return *n > 0;
    }
    for (int i = 0; i < o->n_wrt; i++) {
        const int input = o->wrt[i];
        if (input < 0 || (uint32_t)input >= p->n_inputs || (uint32_t)i >= p->n_inputs) {
            snprintf(why, size, "there is no input %d", input);
            return false;
        }
        if (tg__node_shape(&p->graph, p->input[input])->type == TG_I64) {
            snprintf(why, size, "input %d is one of integers", input);
            return false;
        }
        number[(*n)++] = (uint32_t)input;
    }
    snprintf(why, size, "no inputs to differentiate by are given");
    return *n > 0;
}

/* x over the batch: its sum or mean. */
static uint32_t total_of(tg__graph *g, uint32_t x, tg_over_batch over)
{
    const uint32_t count = tg__graph_count(g);
    if (tg__node_at(g, x)->stage == TG__BODY) x = tg__graph_sum(g, x);
    else if (over == TG_BATCH_MEAN) return x;
    else return tg__graph_apply(g, TG__CODE_mul, (const uint32_t[]){ x, count }, 2, NULL);
    if (over == TG_BATCH_SUM) return x;
    return tg__graph_apply(g, TG__CODE_div, (const uint32_t[]){ x, count }, 2, NULL);
}

tg_program *tg_gradient_program(const tg_program *p, const tg_gradient_options *options,
                                tg_status *status)
{
    static const char *const what = "gradient_program";
    char why[128] = "the program is NULL";
    uint32_t n = 0;
    tg__memory scratch = { .reserve = 0 };
    const size_t bytes = p ? 3 * ((size_t)p->n_inputs + 1) * sizeof(uint32_t) : 0;
    uint32_t *const number = p ? tg__allocate(&scratch, bytes) : NULL;
    if (!number || !choose_inputs(p, options, number, &n, why, sizeof why)) {
        set_status(status, p && !number ? TG_ERROR_MEMORY : TG_ERROR_ARGUMENT, what,
                   p && !number ? "no memory" : why);
        tg__deallocate(&scratch, number, bytes);
        return NULL;
    }
    const tg_over_batch over = options ? options->over : TG_BATCH_SUM;
    uint32_t *const wrt = number + p->n_inputs + 1, *const gradient = wrt + p->n_inputs + 1;
    const tg__shape *const s = tg__node_shape(&p->graph, p->output[0]);
    tg_program *made = NULL;
    if (s->n != 1 || s->type == TG_I64) {
        snprintf(why, sizeof why, "the first output has %lld elements%s, not one number",
                 (long long)s->n, s->type == TG_I64 ? ", integers" : "");
        set_status(status, TG_ERROR_SHAPE, what, why);
    } else if (!(made = new_program(p->n_inputs, p->n_batch, n + 1))) {
        set_status(status, TG_ERROR_MEMORY, what, "no memory");
    } else {
        tg__graph *const g = &made->graph;
        made->type = p->type;
        made->block = p->block;
        made->gradient = true;
        memcpy(made->input, p->input, p->n_inputs * sizeof *p->input);
        memcpy(made->leaf, p->leaf, p->n_inputs * sizeof *p->leaf);
        if (!clone_graph(g, &p->graph, &made->memory)) tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
        for (uint32_t i = 0; i < n; i++) wrt[i] = made->input[number[i]];
        if (!tg__graph_failed(g) &&
            tg__graph_gradient(g, p->output, NULL, 1, wrt, (int)n, false, gradient)) {
            made->output[0] = total_of(g, p->output[0], over);
            for (uint32_t i = 0; i < n; i++) {
                const uint32_t by[] = { gradient[i], tg__graph_count(g) };
                made->each[i + 1] = number[i] < p->n_batch;
                made->by[i + 1] = number[i];
                made->output[i + 1] = over == TG_BATCH_SUM
                                          ? gradient[i]
                                          : tg__graph_apply(g, TG__CODE_div, by, 2, NULL);
            }
        }
        made = finish(made, what, status);
    }
    tg__deallocate(&scratch, number, bytes);
    return made;
}

/* ---- what there is ----------------------------------------------------------------------------- */

int tg_program_inputs(const tg_program *p)
{
    return p ? (int)p->n_inputs : 0;
}

int tg_program_outputs(const tg_program *p)
{
    return p ? (int)p->n_outputs : 0;
}

int64_t tg_program_output_size(const tg_program *p, int output, bool *each)
{
    if (!p || output < 0 || (uint32_t)output >= p->n_outputs) return -1;
    const uint32_t node = p->output[output];
    if (each) *each = p->each[output];
    return tg__node_shape(&p->graph, node)->n;
}
