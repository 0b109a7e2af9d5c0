/* The derivative of a program along directions, as part of an operation: see vjp.h. */
#include "program/lower.h"
#include "program/vjp.h"

/* The numbers of inputs or outputs in another order. */
typedef struct order {
    uint32_t *number, n;
} order;

static void add(order *o, uint32_t number)
{
    o->number[o->n++] = number;
}

/* The directions of inputs wrt are behind p's inputs. */
static void order_inputs(order *o, const tg_program *p, const tg__vjp *how, const uint32_t *wrt, uint32_t n)
{
    const uint32_t end[] = { how->states, how->states + how->each, p->n_inputs };
    for (uint32_t group = 0, from = 0; group < 3; from = end[group++]) {
        for (uint32_t i = from; i < end[group]; i++) add(o, i);
        for (uint32_t j = 0; j < n; j++)
            if (wrt[j] >= from && wrt[j] < end[group]) add(o, p->n_inputs + j);
    }
}

/* The derivatives of outputs are behind p's outputs. */
static void order_outputs(order *o, const tg_program *p, const tg__vjp *how)
{
    const uint32_t end[] = { how->states, how->states + how->stacked, how->outputs };
    for (uint32_t group = 0, from = 0; group < 3; from = end[group++]) {
        for (uint32_t i = from; i < end[group]; i++) add(o, i);
        for (uint32_t i = from; i < end[group]; i++) add(o, p->n_outputs + i);
    }
}

/* A program of one instance with inputs and outputs of another one, in another order. node: room for as
   many as that has of both. */
static tg_program *arrange(const tg_program *p, const order *in, const order *out, uint32_t *node,
                           const char *what, tg_status *status)
{
    tg_program *const made = tg__program_new(in->n, in->n, out->n);
    if (!made) {
        tg__program_fail(status, TG_ERROR_MEMORY, what, "no memory");
        return NULL;
    }
    made->type = p->type;
    made->block = 1;
    tg__graph *const g = &made->graph;
    const tg_compile_options o = tg__graph_options(&p->graph);
    if (tg__graph_init(g, &made->memory, p->type, &o)) {
        for (uint32_t i = 0; i < in->n; i++) {
            const uint32_t number = in->number[i];
            made->input[i] =
                tg__graph_inputs_like(g, i, tg__node_shape(&p->graph, p->input[number]), 0, true);
            node[number] = made->input[i];
        }
        for (uint32_t i = 0; i < out->n; i++) made->output[i] = p->output[out->number[i]];
        if (!tg__graph_failed(g))
            tg__graph_lower(g, &p->graph, TG__DERIVE, node, made->output, out->n, made->output);
    }
    return tg__program_finish(made, what, status);
}

/* p for one instance, and its derivative. */
static tg_program *one_forward(const tg_program *p, const tg__vjp *how, const uint32_t *wrt, uint32_t n,
                               tg_status *status)
{
    static const char *const what = "directions";
    const tg_program *const one = tg__program_one(p, status);
    tg_program *const both = one ? tg_jvp_program(one, (const int *)wrt, (int)n, status) : NULL;
    if (!both) return NULL;
    const size_t in = both->n_inputs, out = both->n_outputs;
    tg__memory memory = { 0 };
    const size_t bytes = (2 * in + out) * sizeof(uint32_t);
    uint32_t *const room = tg__allocate(&memory, bytes);
    tg_program *made = NULL;
    if (room) {
        order inputs = { .number = room + in }, outputs = { .number = room + 2 * in };
        order_inputs(&inputs, one, how, wrt, n);
        order_outputs(&outputs, one, how);
        made = arrange(both, &inputs, &outputs, room, what, status);
        tg__deallocate(&memory, room, bytes);
    } else {
        tg__program_fail(status, TG_ERROR_MEMORY, what, "no memory");
    }
    tg_program_free(both);
    return made;
}

tg_program *tg__jvp_make(const tg_program *p, const tg__vjp *how, const uint32_t *wrt, uint32_t n,
                         tg_status *status)
{
    if (how->one) return one_forward(p, how, wrt, n, status);
    return tg_jvp_program(p, (const int *)wrt, (int)n, status);
}
