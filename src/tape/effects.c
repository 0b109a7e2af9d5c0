/* Effects: what C code learnt from values while it recorded, and users' operations that do more than
   compute. The tape does nothing with them; a program goes by them. */
#include "tape/record.h"
#include "tape/tape.h"

#include <string.h>

/* Readings between two instructions that are told apart; of more, all values count as read. */
enum { TOLD_APART = 64 };

/* Whether another reading says nothing new. As many as have been read since the last instruction
   are looked at. */
static bool is_known(const tg_tape *t, uint32_t id, uint32_t *readings)
{
    size_t n;
    const tg__effect *const e = tg__effects(t, &n);
    for (*readings = 0; n > 0 && e[n - 1].code == t->head.n_code; n--) {
        if (e[n - 1].kind == TG__READ_ALL) return true;
        if (e[n - 1].kind != TG__READ) continue;
        if (e[n - 1].id == id) return true;
        ++*readings;
    }
    return false;
}

bool tg__note(tg_tape *t, tg__effect_kind kind, uint32_t id, const tg_site *site)
{
    uint32_t readings = 0;
    if (kind == TG__READ && is_known(t, id, &readings)) return true;
    if (readings == TOLD_APART) kind = TG__READ_ALL;
    const size_t used = t->effects.used;
    if (!tg__arena_grow(&t->effects, used + sizeof(tg__effect))) {
        tg__error(t, TG_ERROR_MEMORY, "note", site, "no memory to note what was read");
        return false;
    }
    tg__effect e = { .kind = kind, .id = id, .code = t->head.n_code };
    if (site) e.site = *site;
    memcpy(t->effects.data + used, &e, sizeof e);
    t->effects.used = used + sizeof e;
    return true;
}

bool tg_true_at(tg_value condition, const tg_site *site)
{
    tg_tape *const t = tg__tape_of(condition, "true", site);
    if (!t) return false;
    const tg__array a = tg__value_array(t, condition.id);
    tg_guard_attributes now = { false };
    if (a.s->n == 1 && a.s->type == TG_F64) now.expected = *(const double *)a.p != 0;
    if (a.s->n == 1 && a.s->type == TG_F32) now.expected = *(const float *)a.p != 0;
    const tg_value guard = tg__record(TG__CODE_guard, &condition, 1, &now, site);
    return guard.generation && tg__note(t, TG__GUARD, guard.id, NULL) && now.expected;
}
