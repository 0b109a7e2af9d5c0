/* Derivatives of users' operations in programs: what .derivative records, on a tape of its own, becomes
   part of the graph. */
#include <tapegrad/tape.h>

#include "program/call.h"

/* One derivation: a leaf for each operand, for the result and for its gradient. */
typedef struct derivation {
    tg__derivation *d;
    tg__graph *g;
    tg_tape *t;
    int n;                     /* operands */
    tg_value *leaf, *dx, *out; /* n + 2; n; of dx what is wanted and was recorded, */
    uint32_t *node, *made;     /* n + 2: of the leaves; and the nodes of that */
} derivation;

static tg_value leaf_like(tg_tape *t, const tg__shape *s)
{
    if (s->type == TG_I64) return tg_index_new(t, sizeof(int64_t), NULL, s->rank, s->dim, NULL);
    return tg_leaf_new(t, TG_PARAMETER, s->type, NULL, s->rank, s->dim, NULL);
}

static void fail(const derivation *r, const char *why)
{
    r->d->to->fail(r->d->to, why);
}

/* Calls the user's function. */
static bool record(const derivation *r, const tg_custom *op)
{
    const tg__derivation *const d = r->d;
    for (int i = 0; i < r->n + 2; i++) {
        r->node[i] = (i < r->n ? d->x[i] : i == r->n ? d->y : d->g).id;
        r->leaf[i] = leaf_like(r->t, tg__node_shape(r->g, r->node[i]));
    }
    const tg_custom_derivation u = { r->n,      r->leaf, r->leaf[r->n], r->leaf[r->n + 1],
                                     d->wanted, r->dx,   op->user };
    const bool ok = !tg_error_of(r->t) && op->derivative(&u);
    const tg_error *const error = tg_error_of(r->t);
    if (ok && !error) return true;
    fail(r, error ? error->message : "its derivative failed");
    return false;
}

/* Makes nodes of what it recorded. */
static void take_over(const derivation *r)
{
    tg__derivation *const d = r->d;
    const tg_compile_options o = tg__graph_options(r->g);
    tg_status status = { 0 };
    int n = 0;
    for (int i = 0; i < r->n; i++) {
        if (!d->wanted[i]) continue;
        d->dx[i] = r->dx[i]; /* a number stays one */
        if (r->dx[i].generation) r->out[n++] = r->dx[i];
    }
    if (n == 0) return;
    tg_program *const p = tg_compile(r->out, n, r->leaf, r->n + 2, NULL, 0, &o, &status);
    if (!p) fail(r, status.message);
    else if (tg__graph_lower(r->g, &p->graph, TG__DERIVE, r->node, p->output, p->n_outputs,
                             r->made))
        for (int i = 0, k = 0; i < r->n; i++)
            if (d->wanted[i] && r->dx[i].generation) d->dx[i] = tg__node_value(r->g, r->made[k++]);
    tg_program_free(p);
}

void tg__graph_derive_custom(tg__graph *g, tg__derivation *d, const tg_custom *op)
{
    const tg__memory *const m = g->memory;
    const tg_tape_options o = { .type = g->type,
                                .allocator = m->allocator.allocate ? &m->allocator : NULL,
                                .on_error = tg_ignore_error };
    tg__arena room;
    tg__arena_init(&room, g->memory);
    const size_t n = (size_t)d->n, values = 3 * n + 2, nodes = 2 * n + 2;
    derivation r = { .d = d, .g = g, .t = tg_tape_new(&o), .n = d->n };
    r.leaf = tg__arena_push(&room, values * sizeof(tg_value) + nodes * sizeof(uint32_t));
    if (r.t && r.leaf) {
        r.dx = r.leaf + n + 2;
        r.out = r.dx + n;
        r.node = (uint32_t *)(void *)(r.out + n);
        r.made = r.node + n + 2;
        if (record(&r, op)) take_over(&r);
    } else {
        fail(&r, "no memory");
    }
    tg__arena_free(&room);
    tg_tape_free(r.t);
}
