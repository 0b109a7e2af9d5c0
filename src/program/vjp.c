/* Transposed derivatives of programs: see vjp.h. */
#include "program/vjp.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "program/lower.h"

/* One that is kept. */
typedef struct tg__derived {
    tg__vjp how;
    tg_program *program;
    struct tg__derived *next;
} tg__derived;

/* ---- making one ---------------------------------------------------------------------------------- */

/* What an input of the new program is: an input, the cotangent of an output, or what the gradient by
   the input begins with, that is wanted as number which. */
typedef struct role {
    enum { INPUT, COTANGENT, BEGIN } kind;
    uint32_t which;
} role;

/* One being made. The lists lie one behind the other in one block. */
typedef struct making {
    const tg_program *p;
    const tg__vjp *how;
    tg__memory memory;
    size_t bytes;
    uint32_t *wrt, n_wrt; /* inputs that gradients are asked for */
    role *role;
    uint32_t n_roles;
    uint32_t *node;                  /* outputs, then inputs, as nodes of the new graph */
    uint32_t *cotangent, *by, *from; /* nodes; by output, the others by wanted input */
    tg_program *made;
} making;

static bool is_integer(const tg_program *p, uint32_t node)
{
    return tg__node_shape(&p->graph, node)->type == TG_I64;
}

static void list_roles(making *m)
{
    for (uint32_t i = 0; i < m->p->n_inputs; i++) m->role[m->n_roles++] = (role){ INPUT, i };
    if (m->how->none) return;
    for (uint32_t i = 0; i < m->how->outputs; i++)
        if (!is_integer(m->p, m->p->output[i])) m->role[m->n_roles++] = (role){ COTANGENT, i };
    for (uint32_t j = 0; j < m->n_wrt; j++)
        if (m->wrt[j] >= m->how->begin && m->wrt[j] < m->how->end)
            m->role[m->n_roles++] = (role){ BEGIN, j };
}

static bool begin(making *m, const uint32_t *wrt, uint32_t n)
{
    const tg_program *const p = m->p;
    const size_t in = p->n_inputs, all = in + n, out = p->n_outputs;
    m->bytes = (all + out) * sizeof(role) + (4 * (size_t)n + in + 2 * out + 1) * sizeof(uint32_t);
    m->role = tg__allocate(&m->memory, m->bytes);
    if (!m->role) return false;
    memset(m->role, 0, m->bytes);
    m->wrt = (uint32_t *)(void *)(m->role + all + out);
    m->by = m->wrt + n;
    m->from = m->by + n;
    m->node = m->from + n;
    m->cotangent = m->node + out + in;
    memcpy(m->wrt, wrt, n * sizeof *wrt);
    m->n_wrt = n;
    list_roles(m);
    return true;
}

/* For count of what node `like` of p is. */
static uint32_t add_input(const making *m, uint32_t number, uint32_t like, int count, bool varies)
{
    const uint32_t made = tg__graph_inputs_like(
        &m->made->graph, number, tg__node_shape(&m->p->graph, like), count, varies);
    m->made->input[number] = made;
    return made;
}

/* The nodes of the new program's inputs. Those of p are made with the rest of its graph if there is a
   batch, and then they come first. */
static void add_inputs(making *m)
{
    const tg_program *const p = m->p;
    const bool one = m->how->one;
    for (uint32_t i = 0; i < m->n_roles && !tg__graph_failed(&m->made->graph); i++) {
        const uint32_t which = m->role[i].which;
        switch (m->role[i].kind) {
        case INPUT:
            if (one) m->node[p->n_outputs + which] = add_input(m, i, p->input[which], 0, true);
            else m->made->input[i] = m->node[p->n_outputs + which];
            break;
        case COTANGENT:
            m->cotangent[which] =
                add_input(m, i, p->output[which], m->how->count, one || p->each[which]);
            break;
        case BEGIN: m->from[which] = add_input(m, i, p->input[m->wrt[which]], 0, true); break;
        }
    }
}

/* p's graph in the new one, so that it can be differentiated. */
static bool copy_graph(making *m)
{
    const tg_program *const p = m->p;
    const uint32_t out = p->n_outputs;
    memcpy(m->node, p->output, out * sizeof *p->output);
    if (m->how->one)
        return tg__graph_lower(&m->made->graph, &p->graph, TG__DERIVE, m->node + out, m->node, out,
                               m->node);
    memcpy(m->node + out, p->input, p->n_inputs * sizeof *p->input);
    return tg__graph_lower(&m->made->graph, &p->graph, TG__DERIVE, NULL, m->node, out + p->n_inputs,
                           m->node);
}

/* The new program's outputs: gradients for each cotangent, put together. */
static void differentiate(making *m)
{
    tg__graph *const g = &m->made->graph;
    const size_t count = m->how->count ? (size_t)m->how->count : 1;
    const unsigned how = (m->how->by_ops ? TG__BY_OPS : 0u) | (m->how->one ? TG__EACH : 0u);
    uint32_t n = 0; /* outputs that have cotangents */
    for (uint32_t i = 0; i < m->how->outputs; i++) {
        if (!m->cotangent[i]) continue;
        m->node[n] = m->node[i];
        m->cotangent[n++] = m->cotangent[i];
    }
    tg__arena room;
    tg__arena_init(&room, g->memory);
    uint32_t *const cotangent = tg__arena_push(
        &room, (n + (1 + 2 * count) * m->n_wrt + 1) * sizeof *cotangent);
    if (!cotangent) tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    uint32_t *const gradient = cotangent + n, *const part = gradient + m->n_wrt;
    for (uint32_t j = 0; j < count && !tg__graph_failed(g); j++) {
        for (uint32_t i = 0; i < n; i++)
            cotangent[i] = tg__graph_one_of(g, m->cotangent[i], m->how->count, j);
        tg__graph_gradient(g, m->node, cotangent, (int)n, m->by, m->from, (int)m->n_wrt, how, gradient);
        for (uint32_t i = 0; i < m->n_wrt; i++) part[2 * count * i + j] = gradient[i];
    }
    for (uint32_t i = 0; i < m->n_wrt && !tg__graph_failed(g); i++) {
        m->made->output[i] = tg__graph_all_of(g, part + 2 * count * i, m->how->count);
        m->made->rows[i] = count > 1 ? (uint32_t)count : 0;
        m->made->each[i] = tg__node_at(g, m->by[i])->stage == TG__BODY;
    }
    tg__arena_free(&room);
}

static void fill(making *m)
{
    const tg_program *const p = m->p;
    tg__graph *const g = &m->made->graph;
    const tg_compile_options o = tg__graph_options(&p->graph);
    if (!tg__graph_init(g, &m->made->memory, p->type, &o)) return;
    if (!m->how->one && !copy_graph(m)) return;
    add_inputs(m);
    if (tg__graph_failed(g) || (m->how->one && !copy_graph(m))) return;
    if (m->how->none) {
        memcpy(m->made->output, m->node, p->n_outputs * sizeof *m->node);
        return;
    }
    for (uint32_t i = 0; i < m->n_wrt; i++) m->by[i] = m->node[p->n_outputs + m->wrt[i]];
    differentiate(m);
}

tg_program *tg__vjp_make(const tg_program *p, const tg__vjp *how, const uint32_t *wrt, uint32_t n,
                         const char *what, tg_status *status)
{
    making m = { .p = p, .how = how };
    if (begin(&m, wrt, n))
        m.made = tg__program_new(m.n_roles, how->one ? m.n_roles : p->n_batch,
                                 how->none ? p->n_outputs : n);
    if (m.made) {
        m.made->type = p->type;
        m.made->block = how->one ? 1 : p->block;
        if (!how->one) memcpy(m.made->leaf, p->leaf, p->n_inputs * sizeof *p->leaf);
        fill(&m);
    } else {
        tg__program_fail(status, TG_ERROR_MEMORY, what, "no memory");
    }
    if (m.role) tg__deallocate(&m.memory, m.role, m.bytes);
    return m.made ? tg__program_finish(m.made, what, status) : NULL;
}

/* ---- kept ---------------------------------------------------------------------------------------- */

static const tg_program *find(const tg__derived *d, const tg__vjp *how)
{
    for (; d; d = d->next) {
        const tg__vjp *const h = &d->how;
        if (h->wanted == how->wanted && h->outputs == how->outputs && h->begin == how->begin &&
            h->end == how->end && h->states == how->states && h->each == how->each &&
            h->stacked == how->stacked && h->forward == how->forward && h->one == how->one &&
            h->by_ops == how->by_ops && h->count == how->count && h->none == how->none)
            return d->program;
    }
    return NULL;
}

/* A program made of p, and how. */
static tg__derived *derive(const tg_program *p, const tg__vjp *how, tg_status *status)
{
    const char *const what = how->none ? "program" : "gradient";
    tg__memory memory = { 0 };
    tg__derived *const d = tg__allocate(&memory, sizeof *d);
    uint32_t *const wrt = tg__allocate(&memory, (p->n_inputs + 1) * sizeof *wrt);
    uint32_t n = 0;
    for (uint32_t i = 0; wrt && i < p->n_inputs; i++)
        if (how->wanted & tg__wanted_bit(i) && !is_integer(p, p->input[i])) wrt[n++] = i;
    if (d && wrt)
        *d = (tg__derived){ *how,
                            how->forward ? tg__jvp_make(p, how, wrt, n, status)
                                         : tg__vjp_make(p, how, wrt, n, what, status),
                            NULL };
    else tg__program_fail(status, TG_ERROR_MEMORY, what, "no memory");
    const bool made = d && wrt && d->program;
    if (wrt) tg__deallocate(&memory, wrt, (p->n_inputs + 1) * sizeof *wrt);
    if (made) return d;
    if (d) tg__deallocate(&memory, d, sizeof *d);
    return NULL;
}

static void free_derived(tg__derived *d)
{
    tg__memory memory = { .bytes = sizeof *d };
    tg_program_free(d->program);
    tg__deallocate(&memory, d, sizeof *d);
}

const tg_program *tg__program_vjp(const tg_program *p, const tg__vjp *how, tg_status *status)
{
    tg__store *const store = p->store;
    tg__derived *first = atomic_load(&store->derived);
    const tg_program *found = find(first, how);
    if (found) return found;
    tg__derived *const made = derive(p, how, status);
    if (!made) return NULL;
    do { /* another thread may have made one meanwhile */
        found = find(first, how);
        if (found) {
            free_derived(made);
            return found;
        }
        made->next = first;
    } while (!atomic_compare_exchange_weak(&store->derived, &first, made));
    return made->program;
}

const tg_program *tg__program_one(const tg_program *p, tg_status *status)
{
    return tg__program_vjp(p, &(const tg__vjp){ .one = true, .none = true }, status);
}

tg_workspace *tg__workspace_take(const tg_program *p, tg_status *status)
{
    for (int i = 0; i < TG__IDLE; i++) {
        tg_workspace *const w = atomic_exchange(&p->store->idle[i], NULL);
        if (w) return w;
    }
    return tg_workspace_new(p, 1, status);
}

void tg__workspace_give(const tg_program *p, tg_workspace *w)
{
    for (int i = 0; i < TG__IDLE; i++) {
        tg_workspace *none = NULL;
        if (atomic_compare_exchange_strong(&p->store->idle[i], &none, w)) return;
    }
    tg_workspace_free(w);
}

void tg__program_forget(tg_program *p)
{
    for (int i = 0; i < TG__IDLE; i++) tg_workspace_free(atomic_load(&p->store->idle[i]));
    for (tg__derived *d = atomic_load(&p->store->derived), *next; d; d = next) {
        next = d->next;
        free_derived(d);
    }
}
