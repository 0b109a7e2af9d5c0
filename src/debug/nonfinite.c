/* Where a NaN or an infinity was born. */
#include <math.h>
#include <string.h>

#include "debug/look.h"

enum { ELEMENTS = 4 };

/* ---- forward --------------------------------------------------------------------------------- */

/* The instruction that made what reached instruction start: followed back through operands that have
   a NaN (nan) or anything that is not finite, until one has none; the first of those. on: marks, zero
   below start + 1. */
static uint32_t birth(tg__look *l, uint32_t start, bool nan, char *on)
{
    uint32_t born = start;
    on[start] = 1;
    for (uint32_t i = start + 1; i-- > 0;) {
        uint32_t room[2];
        int n;
        if (!on[i]) continue;
        const uint32_t *const id = tg__operand_ids(l->t, &l->t->head.code[i], room, &n);
        bool inherited = false;
        for (int j = 0; j < n; j++) {
            if (tg__first_nonfinite(tg__value_array(l->t, id[j]), nan) < 0) continue;
            on[tg__look_maker(l, id[j])] = 1;
            inherited = true;
        }
        if (!inherited) born = i;
    }
    return born;
}

/* What a map computes its k-th element with; of other operations what their operands begin with. */
static void say_inputs(const tg__look *l, tg__text *x, uint32_t i, int64_t k)
{
    const tg__instruction *const in = &l->t->head.code[i];
    const tg__array y = tg__value_array(l->t, in->y);
    if (tg__ops[in->op]->kind != TG__MAP) {
        tg__say_operands(l, x, i);
        return;
    }
    uint32_t room[2];
    int n;
    const uint32_t *const id = tg__operand_ids(l->t, in, room, &n);
    for (int j = 0; j < n; j++) {
        const tg__array a = tg__value_array(l->t, id[j]);
        const tg__shape seen = tg__broadcast_to(a.s, y.s);
        tg__say(x, "%s", j ? ", " : "");
        tg__say_value(l, x, id[j]);
        tg__say(x, " = ");
        tg__say_number(x, tg__element((tg__array){ &seen, a.p }, k));
        if (y.s->rank) tg__say(x, " there");
    }
}

static bool find_forward(tg__look *l, tg_value root, tg_nonfinite *found)
{
    const tg__array y = tg__value_array(l->t, root.id);
    if (tg__first_nonfinite(y, false) < 0) return true;
    char *const on = tg__look_room(l, l->last + (uint64_t)1, 1);
    if (!on) return false;
    const bool nan = tg__first_nonfinite(y, true) >= 0;
    const uint32_t i = birth(l, l->last, nan, on);
    const tg__array made = tg__value_array(l->t, l->t->head.code[i].y);
    const int64_t k = tg__first_nonfinite(made, nan);
    tg__text x = { found->message, sizeof found->message, 0 };
    found->found = true;
    found->place = tg__place_of(l, i);
    found->place.element = k;
    found->number = tg__element(made, k);
    tg__say_place(&x, &found->place);
    tg__say(&x, l->t->head.code[i].op == TG__LEAF ? " holds " : " made ");
    tg__say_number(&x, found->number);
    if (made.s->rank) tg__say(&x, " at ");
    tg__say_element(&x, made.s, k);
    if (l->t->head.code[i].op == TG__LEAF) return true;
    tg__say(&x, ": ");
    say_inputs(l, &x, i, k);
    if (!nan) return true;
    memset(on, 0, l->last + (size_t)1);
    const uint32_t origin = birth(l, i, false, on);
    if (origin == i) return true;
    found->infinity = tg__place_of(l, origin);
    tg__say(&x, "; the infinity comes from ");
    tg__say_place(&x, &found->infinity);
    return true;
}

/* ---- backward -------------------------------------------------------------------------------- */

static bool look_at_gradients(tg__look *l, uint32_t i, const tg__play *p, void *user)
{
    tg_nonfinite *const found = user;
    for (int j = 0; j < p->call.n; j++) {
        if (!p->dx[j].p) continue;
        const int64_t k = tg__first_nonfinite(p->dx[j], false);
        if (k < 0) continue;
        tg__text x = { found->message, sizeof found->message, 0 };
        found->found = found->backward = true;
        found->place = tg__place_of(l, i);
        found->place.operand = j;
        found->place.element = k;
        found->number = tg__element(p->dx[j], k);
        tg__say(&x, "the gradient of ");
        tg__say_place(&x, &found->place);
        tg__say(&x, " by ");
        tg__say_value(l, &x, p->id[j]);
        tg__say_element(&x, p->dx[j].s, k);
        tg__say(&x, " is ");
        tg__say_number(&x, found->number);
        tg__say(&x, ": ");
        if (tg__shape_same_dims(p->call.y.s, p->dx[j].s)) say_inputs(l, &x, i, k);
        else tg__say_operands(l, &x, i);
        tg__say(&x, "; the gradient that came in is ");
        tg__say_elements(&x, (tg__array){ p->call.y.s, (void *)(uintptr_t)p->call.g }, ELEMENTS);
        return false;
    }
    return true;
}

bool tg_find_nonfinite(tg_value loss, tg_nonfinite *found, tg_status *status)
{
    tg__look l;
    tg_nonfinite none;
    if (!found) found = &none;
    *found = (tg_nonfinite){ .found = false };
    bool ok = tg__look_begin(&l, "find_nonfinite", loss, status) && find_forward(&l, loss, found);
    if (ok && !found->found && tg__has_gradient(l.t, loss.id))
        ok = tg__sweep(&l, loss, NULL, look_at_gradients, found);
    tg__look_end(&l);
    return ok;
}
