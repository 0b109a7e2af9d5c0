/* Parameters that get no gradient. */
#include <string.h>

#include "debug/look.h"

typedef struct search {
    char *flows; /* by instruction: its value gets a gradient, perhaps of zeros */
    char *from;  /* by instruction: made from the parameter in question */
} search;

static void mark_flow(tg__look *l, tg_value loss, char *flows)
{
    flows[l->last] = tg__has_gradient(l->t, loss.id);
    for (uint32_t i = l->last + 1; i-- > 0;) {
        const tg__instruction *const in = &l->t->head.code[i];
        uint32_t room[2];
        int n;
        if (!flows[i] || tg__is_inactive(in)) continue;
        const uint32_t *const id = tg__operand_ids(l->t, in, room, &n);
        for (int j = 0; j < n; j++) {
            const char letter = tg__letter(tg__ops[in->op]->letters, j);
            if (tg__is_differentiable(letter) && tg__is_active(l->t, id[j]))
                flows[tg__look_maker(l, id[j])] = 1;
        }
    }
}

/* The first instruction on the way from the parameter to the loss through which no gradient flows. */
static bool find_cut(tg__look *l, const search *s, uint32_t leaf, uint32_t *cut)
{
    memset(s->from, 0, l->last + (size_t)1);
    s->from[leaf] = 1;
    for (uint32_t i = leaf + 1; i <= l->last; i++) {
        const tg__instruction *const in = &l->t->head.code[i];
        uint32_t room[2];
        int n;
        if (!tg__look_needs(l, i)) continue;
        const uint32_t *const id = tg__operand_ids(l->t, in, room, &n);
        for (int j = 0; j < n; j++) {
            if (!s->from[tg__look_maker(l, id[j])]) continue;
            const char letter = tg__letter(tg__ops[in->op]->letters, j);
            s->from[i] = 1;
            if (tg__is_inactive(in) || !tg__is_differentiable(letter) ||
                !tg__is_active(l->t, id[j])) {
                *cut = i;
                return true;
            }
        }
    }
    return false;
}

static void describe(tg__look *l, const search *s, uint32_t i, tg_unused *u)
{
    const tg__instruction *const in = &l->t->head.code[i];
    tg__text x = { u->message, sizeof u->message, 0 };
    uint32_t cut;
    u->place = tg__place_of(l, i);
    tg__say(&x, "the parameter ");
    tg__say_place(&x, &u->place);
    if (u->reason == TG_NOT_USED) tg__say(&x, " is not used: the loss does not depend on it");
    if (u->reason == TG_ALL_ZEROS) tg__say(&x, " has a gradient of zeros only");
    if (u->reason != TG_CUT_OFF) return;
    if (!tg__has_gradient(l->t, in->y)) {
        tg__say(&x, " is frozen: no gradient was wanted");
    } else if (find_cut(l, s, i, &cut)) {
        u->cut = tg__place_of(l, cut);
        tg__say(&x, " gets no gradient: none flows through ");
        tg__say_place(&x, &u->cut);
    } else {
        tg__say(&x, " gets no gradient: the loss itself is cut off");
    }
}

static bool is_unused(const tg__look *l, const search *s, uint32_t i, tg_unused_reason *reason)
{
    *reason = TG_NOT_USED;
    if (i > l->last || !tg__look_needs(l, i)) return true;
    *reason = TG_CUT_OFF;
    if (!s->flows[i] || !tg__has_gradient(l->t, l->t->head.code[i].y)) return true;
    *reason = TG_ALL_ZEROS;
    const tg__array g = tg__swept(l, l->t->head.code[i].y);
    for (int64_t k = 0; k < g.s->n; k++)
        if (tg__element(g, k) != 0) return false;
    return true;
}

static bool collect(tg__look *l, tg_value loss, tg_unused *list, size_t room, size_t *count)
{
    const search s = { tg__look_room(l, l->last + (uint64_t)1, 1),
                       tg__look_room(l, l->last + (uint64_t)1, 1) };
    if (!s.flows || !s.from) return false;
    mark_flow(l, loss, s.flows);
    if (!tg__sweep(l, loss, NULL, NULL, NULL)) return false;
    for (uint32_t i = 0; i < l->t->head.n_code; i++) {
        const tg__instruction *const in = &l->t->head.code[i];
        tg_unused_reason reason;
        if (in->op != TG__LEAF || in->a != TG_PARAMETER || !is_unused(l, &s, i, &reason)) continue;
        if (*count < room) {
            list[*count] = (tg_unused){ .reason = reason };
            describe(l, &s, i, &list[*count]);
        }
        ++*count;
    }
    return true;
}

bool tg_unused_parameters(tg_value loss, tg_unused *list, size_t room, size_t *count,
                          tg_status *status)
{
    tg__look l;
    size_t none;
    if (!count) count = &none;
    *count = 0;
    const bool ok = tg__look_begin(&l, "unused_parameters", loss, status) &&
                    collect(&l, loss, list, list ? room : 0, count);
    tg__look_end(&l);
    return ok;
}
