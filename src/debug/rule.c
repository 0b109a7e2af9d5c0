/* Values of rules at other operands: see rule.h. */
#include "debug/rule.h"

#include <string.h>

#include "codes.h" /* generated */
#include "tape/record.h"

/* More instructions than the text of a rule can make. */
enum { MOST = 4096 };

/* A rule of several operands is a chain of carries; the innermost one has the value. */
static uint32_t value_of(const tg__look *l, uint32_t id)
{
    for (;;) {
        const tg__instruction *const in = &l->t->head.code[tg__look_maker(l, id)];
        uint32_t room[2];
        int n;
        if (in->op != TG__CODE_carry) return id;
        id = tg__operand_ids(l->t, in, room, &n)[1];
    }
}

static bool is_inner(const tg__instruction *in)
{
    return in->op != TG__LEAF && in->op != TG__CODE_carry && in->flags & TG__INACTIVE;
}

static void mark_inner(const tg__look *l, uint32_t first, uint32_t last, char *inner)
{
    inner[last - first] = 1;
    for (uint32_t i = last + 1; i-- > first;) {
        const tg__instruction *const in = &l->t->head.code[i];
        uint32_t room[2];
        int n;
        if (!inner[i - first]) continue;
        inner[i - first] = is_inner(in);
        if (!inner[i - first]) continue;
        const uint32_t *const id = tg__operand_ids(l->t, in, room, &n);
        for (int j = 0; j < n; j++) {
            const uint32_t maker = tg__look_maker(l, id[j]);
            if (maker >= first && maker < i) inner[maker - first] = 1;
        }
    }
}

bool tg__rule_begin(tg__look *l, tg__trial *r, tg__arena *shadow, tg__rule_trial *u, bool *possible)
{
    const tg_tape *const t = l->t;
    const uint32_t x = r->p.id[0], value = value_of(l, r->p.id[1]), last = tg__look_maker(l, value);
    *u = (tg__rule_trial){ r, shadow, value, last > MOST ? last - MOST : 0, NULL };
    *possible =
        is_inner(&t->head.code[last]) && !(x & TG__DESCRIPTOR && tg__descriptor_of(t, x)->external);
    if (!*possible) return true;
    if (!shadow->used) {
        if (!tg__arena_push(shadow, (t->head.n_values + (size_t)1) * t->element)) return false;
        memcpy(shadow->data, t->values.data, t->head.n_values * t->element);
    }
    char *const inner = tg__trial_room(l, r, MOST / (int64_t)sizeof(double) + 1);
    if (!inner) return false;
    mark_inner(l, u->first, last, inner);
    u->inner = inner;
    return true;
}

static tg__array array_of(const tg__look *l, const tg__rule_trial *u, uint32_t id)
{
    tg__array a = tg__value_array(l->t, id);
    const bool elsewhere =
        a.s->type == TG_I64 || (id & TG__DESCRIPTOR && tg__descriptor_of(l->t, id)->external);
    if (!elsewhere) a.p = u->shadow->data + ((char *)a.p - l->t->values.data);
    return a;
}

/* Elements of the copy become again what the tape has. */
static void put_back(const tg__look *l, const tg__rule_trial *u, uint32_t id)
{
    const tg__range range = tg__range_of(l->t, id);
    if (tg__value_array(l->t, id).s->type == TG_I64) return;
    memcpy(u->shadow->data + range.first * l->t->element,
           l->t->values.data + range.first * l->t->element,
           (range.end - range.first) * l->t->element);
}

static bool compute(tg__look *l, const tg__rule_trial *u, uint32_t i)
{
    const tg__instruction *const in = &l->t->head.code[i];
    uint32_t room[2];
    int n;
    const uint32_t *const id = tg__operand_ids(l->t, in, room, &n);
    l->scratch.used = u->r->scratch;
    tg__array *const x = tg__arena_push(&l->scratch, (size_t)n * sizeof *x);
    if (!x || tg__value_array(l->t, in->y).s->type == TG_I64) return false;
    for (int j = 0; j < n; j++) x[j] = array_of(l, u, id[j]);
    tg__call c = u->r->p.call;
    c.op = tg__op_table[in->op];
    c.code = in->op;
    c.attributes = tg__attributes_of(l->t, in);
    c.n = n;
    c.x = x;
    c.y = array_of(l, u, in->y);
    return c.op->forward(&c) == TG_OK;
}

bool tg__rule_value(tg__look *l, const tg__rule_trial *u, void *y)
{
    const tg_tape *const t = l->t;
    const uint32_t x = u->r->p.id[0], last = tg__look_maker(l, u->value);
    const tg__range range = tg__range_of(t, x);
    bool ok = true;
    memcpy(u->shadow->data + range.first * t->element, u->r->moved[0].x,
           (range.end - range.first) * t->element);
    for (uint32_t i = u->first; ok && i <= last; i++)
        if (u->inner[i - u->first]) ok = compute(l, u, i);
    const tg__array from = array_of(l, u, u->value);
    const tg__shape *const s = u->r->p.call.y.s;
    const tg__shape seen = tg__broadcast_to(from.s, s);
    for (int64_t k = 0; ok && k < s->n; k++)
        tg__put(y, t->type, k, tg__element((tg__array){ &seen, from.p }, k));
    put_back(l, u, x);
    for (uint32_t i = u->first; i <= last; i++)
        if (u->inner[i - u->first]) put_back(l, u, t->head.code[i].y);
    return ok;
}
