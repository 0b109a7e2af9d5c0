/* Programs from tapes, and gradients of programs: see tapegrad/program.h. */
#include <stdio.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/plan.h"
#include "program/vjp.h"
#include "tape/tape.h"

void tg__program_fail(tg_status *s, tg_code code, const char *what, const char *message)
{
    if (!s) return;
    s->code = code;
    snprintf(s->message, sizeof s->message, "%s: %.480s", what, message);
}

tg_program *tg__program_new(uint32_t n_inputs, uint32_t n_batch, uint32_t n_outputs)
{
    tg__memory own = tg__program_memory();
    const size_t bytes = sizeof(tg_program) + sizeof(tg__store) + n_inputs * sizeof(tg_value) +
                         ((size_t)n_inputs + 3 * n_outputs) * sizeof(uint32_t) + n_outputs;
    tg_program *const p = tg__allocate(&own, bytes);
    if (!p) return NULL;
    memset(p, 0, bytes);
    p->memory = own;
    p->bytes = bytes;
    p->n_inputs = n_inputs;
    p->n_batch = n_batch;
    p->n_outputs = n_outputs;
    p->store = (tg__store *)(void *)(p + 1);
    p->leaf = (tg_value *)(void *)(p->store + 1);
    p->input = (uint32_t *)(void *)(p->leaf + n_inputs);
    p->output = p->input + n_inputs;
    p->by = p->output + n_outputs;
    p->rows = p->by + n_outputs;
    p->each = (bool *)(p->rows + n_outputs);
    return p;
}

void tg_program_free(tg_program *p)
{
    if (!p) return;
    tg__program_forget(p);
    for (int i = 0; i < TG__PLANS; i++) tg__plan_free(atomic_load(&p->plan[i]));
    tg__graph_free(&p->graph);
    if (p->written.room.memory) tg__arena_free(&p->written.room);
    if (p->indices.memory) tg__arena_free(&p->indices);
    if (p->states.memory) tg__arena_free(&p->states);
    tg__memory own = { .bytes = p->bytes };
    tg__deallocate(&own, p, p->bytes);
}

/* What users' operations and calls in the graph ask for. */
static uint32_t flags_of(const tg__graph *g)
{
    uint32_t flags = 0;
    for (uint32_t id = 1; id < g->n && g->has_rules; id++) {
        const tg__node *const node = tg__node_at(g, id);
        const tg__back *const back =
            node->op == TG__NODE_BACKWARD ? tg__node_data(g, node) : NULL;
        const int code = back ? back->op : node->op;
        const void *const a = tg__attributes_at(g, back ? back->attributes : tg__node_word(g, node));
        if (code == TG__CODE_custom || code == TG__CODE_custom_gradient) {
            const tg_custom *const own = ((const tg_custom_attributes *)a)->op;
            flags |= (own->impure ? TG__CALL_IMPURE : 0u) |
                     (own->one_thread ? TG__CALL_ONE_THREAD : 0u);
        } else if (code == TG__CODE_call) {
            flags |= ((const tg_call_attributes *)a)->flags &
                     (TG__CALL_IMPURE | TG__CALL_ONE_THREAD);
        }
    }
    return flags;
}

/* The rows that an output's node puts together, or 0: columns begin next to each other. */
static uint32_t rows_of(const tg_program *p, uint32_t output)
{
    const tg__graph *const g = &p->graph;
    const tg__node *const node = tg__node_at(g, p->output[output]);
    const uint32_t n = tg__node_n(node) / 2;
    if (node->op != TG__NODE_ASSEMBLE || node->stage != TG__BODY || n != p->rows[output]) return 0;
    const uint32_t second = tg__node_operands(g, node)[n + 1];
    return tg__node_offset(g, second) == tg__node_shape(g, p->output[output])->n / n ? n : 0;
}

static bool list_written(tg_program *p)
{
    tg__written *const w = &p->written;
    uint32_t n_states;
    const tg__state *const state = tg__program_states(&p->states, &n_states);
    w->n = n_states;
    for (uint32_t i = 0; i < p->n_outputs; i++) w->n += rows_of(p, i) ? rows_of(p, i) : 1;
    tg__arena_init(&w->room, &p->memory);
    const size_t bytes = w->n * (3 * sizeof(uint32_t) + sizeof(bool)) + 1;
    w->node = tg__arena_lend(&p->graph.room, &w->room, bytes) ? tg__arena_push(&w->room, bytes) : NULL;
    if (!w->node) return tg__graph_fail(&p->graph, TG_ERROR_MEMORY, "no memory");
    w->output = w->node + w->n;
    w->row = w->output + w->n;
    w->each = (bool *)(w->row + w->n);
    for (uint32_t i = 0, k = 0; i < p->n_outputs; i++) {
        const uint32_t rows = rows_of(p, i), *const row =
            tg__node_operands(&p->graph, tg__node_at(&p->graph, p->output[i]));
        for (uint32_t j = 0; j < (rows ? rows : 1); j++, k++) {
            w->node[k] = rows ? row[j] : p->output[i];
            w->output[k] = i;
            w->row[k] = j;
            w->each[k] = p->each[i];
        }
    }
    for (uint32_t i = 0; i < n_states; i++) {
        const uint32_t k = w->n - n_states + i;
        w->node[k] = state[i].next;
        w->output[k] = p->n_outputs + i;
        w->row[k] = 0;
        w->each[k] = false;
    }
    return true;
}

tg_program *tg__program_finish(tg_program *p, const char *what, tg_status *status)
{
    tg__graph *const g = &p->graph;
    bool ok = !tg__graph_failed(g);
    if (ok) p->flags = flags_of(g);
    for (uint32_t i = 0; ok && i < p->n_outputs; i++)
        p->each[i] |= tg__node_at(g, p->output[i])->stage == TG__BODY;
    if (ok) p->one = tg__graph_number(g, 1);
    tg__graph_close(g);
    ok = ok && list_written(p) && tg__program_list_indices(p) && !tg__graph_failed(g);
    if (ok) return p;
    tg__program_fail(status, g->status.code, what, g->status.message);
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

/* Makes the nodes of next values states of the program; which: among the inputs. */
static bool take_states(tg_program *p, const tg_compile_options *o, const uint32_t *next)
{
    tg__graph *const g = &p->graph;
    tg__arena_init(&p->states, &p->memory);
    for (int i = 0; i < o->n_state; i++) {
        tg__state s = { .next = next[i] };
        while (s.input < p->n_inputs && p->leaf[s.input].id != o->state[i].id) s.input++;
        if (s.input < p->n_batch || s.input == p->n_inputs)
            return tg__graph_fail(g, TG_ERROR_ARGUMENT, "state %d is no shared input", i);
        const tg__shape *const is = tg__node_shape(g, next[i]), *const was = tg__node_shape(g, p->input[s.input]);
        g->site = tg__node_at(g, next[i])->site;
        if (!tg__shape_same_dims(is, was) || is->type != was->type)
            return tg__graph_fail(g, TG_ERROR_SHAPE, "state %d of shape %s would become one of shape %s", i,
                                  TG__SHAPE_TEXT(was), TG__SHAPE_TEXT(is));
        if (tg__node_at(g, next[i])->stage == TG__BODY)
            return tg__graph_fail(g, TG_ERROR_ARGUMENT,
                                  "state %d would become a value that varies over the batch: statistics of "
                                  "the batch need the batch as an axis of a tensor, which is a shared input",
                                  i);
        g->site = 0;
        /* What is another input is kept while that one is overwritten. */
        if (tg__node_at(g, tg__node_owner(g, s.next))->op == TG__NODE_INPUT)
            s.next = tg__graph_apply(g, TG__CODE_contiguous, &s.next, 1, NULL);
        if (tg__graph_failed(g)) return false;
        const size_t used = p->states.used;
        if (!tg__arena_grow(&p->states, used + sizeof s)) return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
        memcpy(p->states.data + used, &s, sizeof s);
        p->states.used = used + sizeof s;
    }
    return true;
}

/* The graph of outputs and next values. */
static bool import(tg_program *p, const tg_value *outputs, int n, const tg_compile_options *options)
{
    const int n_state = options ? options->n_state : 0;
    tg__arena room;
    tg__arena_init(&room, &p->memory);
    const size_t all = (size_t)n + (size_t)n_state;
    tg_value *const value = tg__arena_push(&room, all * (sizeof *value + sizeof(uint32_t)));
    bool ok = value != NULL;
    if (ok) {
        uint32_t *const node = (uint32_t *)(void *)(value + all);
        memcpy(value, outputs, (size_t)n * sizeof *value);
        if (n_state) memcpy(value + n, options->next, (size_t)n_state * sizeof *value);
        ok = tg__graph_import(&p->graph, value, (int)all, p->leaf, (int)p->n_inputs, (int)p->n_batch, node,
                              p->input);
        if (ok) memcpy(p->output, node, (size_t)n * sizeof *node);
        ok = ok && (!n_state || take_states(p, options, node + n));
    } else {
        tg__graph_fail(&p->graph, TG_ERROR_MEMORY, "no memory");
    }
    tg__arena_free(&room);
    return ok;
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
    const int n_state = options ? options->n_state : 0;
    if (t && n_state) t = tape_of(options->state, n_state, outputs, "state", why, sizeof why);
    if (t && n_state) t = tape_of(options->next, n_state, outputs, "next value", why, sizeof why);
    if (!t) {
        tg__program_fail(status, TG_ERROR_ARGUMENT, what, why);
        return NULL;
    }
    const int n = n_batch + n_shared;
    tg_program *const p = tg__program_new((uint32_t)n, (uint32_t)n_batch, (uint32_t)n_outputs);
    if (!p) {
        tg__program_fail(status, TG_ERROR_MEMORY, what, "no memory");
        return NULL;
    }
    for (int i = 0; i < n; i++) p->leaf[i] = i < n_batch ? batch[i] : shared[i - n_batch];
    p->type = t->type;
    p->block = options ? options->block : 0;
    bool ok = are_leaves(t, p->leaf, n, why, sizeof why);
    if (!ok) tg__program_fail(status, TG_ERROR_ARGUMENT, what, why);
    if (ok && tg__graph_init(&p->graph, &p->memory, t->type, options)) import(p, outputs, n_outputs, options);
    if (ok) return tg__program_finish(p, what, status);
    tg_program_free(p);
    return NULL;
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
