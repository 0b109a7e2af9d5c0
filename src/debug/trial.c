/* One instruction at other operands: see trial.h. */
#include "debug/trial.h"

#include <math.h>
#include <string.h>

/* Elements move in relation to their size, and at least to this part of the largest one. */
static const double smallest = 1e-3;

bool tg__trial_begin(tg__look *l, uint32_t i, tg__trial *r)
{
    if (!tg__play_begin(l, i, &r->p)) return false;
    const size_t bytes = ((size_t)r->p.call.n + 1) * sizeof *r->moved;
    r->moved = tg__arena_push(&l->scratch, bytes);
    if (!r->moved) return tg__look_no_memory(l);
    memset(r->moved, 0, bytes);
    return true;
}

void *tg__trial_room(tg__look *l, tg__trial *r, int64_t n)
{
    (void)r;
    void *const p = tg__arena_push(&l->scratch, ((size_t)n + 1) * sizeof(double));
    if (!p) tg__look_no_memory(l);
    else memset(p, 0, ((size_t)n + 1) * sizeof(double));
    return p;
}

bool tg__trial_move(tg__look *l, tg__trial *r, int j, uint64_t *random)
{
    const tg_tape *const t = l->t;
    const tg__array x = r->p.x[j];
    const uint32_t id = r->p.id[j];
    const tg__range range = tg__range_of(t, id);
    const uint32_t offset = id & TG__DESCRIPTOR ? tg__descriptor_of(t, id)->offset : id;
    tg__moved *const m = &r->moved[j];
    *m = (tg__moved){ .operand = j, .n = range.end - range.first, .origin = offset - range.first };
    m->from = (const char *)x.p - m->origin * (int64_t)t->element;
    m->x = tg__trial_room(l, r, m->n);
    m->u = tg__trial_room(l, r, m->n);
    if (!m->x || !m->u) return false;
    memcpy(m->x, m->from, (size_t)m->n * t->element);
    double largest = 0;
    for (int64_t k = 0; k < m->n; k++) {
        const double size = fabs(tg__get(m->from, t->type, k));
        if (isfinite(size) && size > largest) largest = size;
    }
    const double least = largest > 0 ? smallest * largest : 1;
    for (int64_t k = 0; k < m->n; k++)
        m->u[k] = tg__weight(random) * fmax(fabs(tg__get(m->from, t->type, k)), least);
    r->p.x[j].p = (char *)m->x + m->origin * (int64_t)t->element;
    return true;
}

void tg__trial_ready(tg__look *l, tg__trial *r)
{
    r->scratch = l->scratch.used;
}

void tg__trial_at(tg__look *l, tg__trial *r, double t)
{
    const tg_type type = l->t->type;
    for (int j = 0; j < r->p.call.n; j++) {
        const tg__moved *const m = &r->moved[j];
        for (int64_t k = 0; k < m->n; k++)
            tg__put(m->x, type, k, tg__get(m->from, type, k) + t * m->u[k]);
    }
}

tg_code tg__trial_forward(tg__look *l, tg__trial *r, void *y)
{
    tg__call c = r->p.call;
    l->scratch.used = r->scratch;
    c.y.p = y;
    return c.op->forward(&c);
}

tg_code tg__trial_backward(tg__look *l, tg__trial *r, const void *y, const void *g, void *const *dx)
{
    tg__call c = r->p.call;
    l->scratch.used = r->scratch;
    c.y.p = (void *)(uintptr_t)y;
    c.g = g;
    for (int j = 0; j < c.n; j++)
        r->p.dx[j].p = dx[j] ? (char *)dx[j] + r->moved[j].origin * (int64_t)l->t->element : NULL;
    return c.op->backward ? c.op->backward(&c) : TG_OK;
}
