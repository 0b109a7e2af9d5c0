/* Handles, and where the things they name lie. */
#include "tape/tape.h"

const tg__head tg__number_head = { .values = NULL };

const tg__shape tg__scalar_shape[2] = { { .type = TG_F64, .n = 1 }, { .type = TG_F32, .n = 1 } };

bool tg__is_live_somewhere(const tg_tape *t, tg_value v)
{
    const tg__segment *s = tg__segments(t);
    const bool described = v.id & TG__DESCRIPTOR;
    const uint64_t at =
        described ? (v.id & ~TG__DESCRIPTOR) * (uint64_t)sizeof(tg__descriptor) : v.id;
    uint64_t end = described ? t->descriptors.used : t->head.n_values;
    for (uint32_t i = tg__segment_count(t); i-- > 0;) {
        const uint64_t start = described ? s[i].descriptors : s[i].values;
        if (s[i].generation == v.generation && at >= start && at < end) return true;
        end = start;
    }
    return false;
}

tg_tape *tg__tape_of(tg_value v, const char *what, const tg_site *site)
{
    tg_tape *t = v.tape;
    if (!t || t == TG__NUMBER) {
        tg__error(NULL, TG_ERROR_HANDLE, what, site, "the value is null");
        return NULL;
    }
    if (t->failed) return NULL;
    if (!tg__is_live(t, v)) {
        tg__error(
            t, TG_ERROR_HANDLE, what, site,
            v.generation
                ? "the value is stale: it was released, or the tape was reset, since it was made"
                : "the value is null: it is the result of an operation that failed");
        return NULL;
    }
    return t;
}

uint32_t tg__start_of(const tg_tape *t, uint32_t instruction)
{
    const uint32_t y = t->head.code[instruction].y;
    if (!(y & TG__DESCRIPTOR)) return y;
    const tg__descriptor *d = tg__descriptor_of(t, y);
    return d->s.type == TG_I64 ? UINT32_MAX : d->offset;
}

/* The last instruction whose result begins at or before the offset. Instructions that made integers
   have no place in that order: the search steps over them. */
static uint32_t maker_of_offset(const tg_tape *t, uint32_t offset)
{
    uint32_t low = 0, high = t->head.n_code, found = TG__NO_INSTRUCTION;
    /* If all that was made since is scalars, so many instructions made it. */
    const uint32_t since = t->head.n_values - offset;
    if (since > 0 && since <= high && t->head.code[high - since].y == offset) return high - since;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        uint32_t i = middle;
        while (i > low && tg__start_of(t, i) == UINT32_MAX) i--;
        const uint32_t start = tg__start_of(t, i);
        if (start != UINT32_MAX && start > offset) {
            high = i;
        } else {
            if (start != UINT32_MAX) found = i;
            low = middle + 1;
        }
    }
    return found;
}

uint32_t tg__maker(const tg_tape *t, uint32_t id)
{
    if (!(id & TG__DESCRIPTOR)) return maker_of_offset(t, id);
    const tg__descriptor *d = tg__descriptor_of(t, id);
    return d->s.type == TG_I64 ? d->maker : maker_of_offset(t, d->offset);
}

tg__adjoints tg__adjoint_planes(const tg_tape *t, uint32_t id)
{
    const tg__descriptor *const d = id & TG__DESCRIPTOR ? tg__descriptor_of(t, id) : NULL;
    const tg__shape *const s = d ? &d->s : &tg__scalar_shape[t->type];
    const uint32_t offset = d ? d->offset : id;
    uint32_t start = offset;
    size_t n = (size_t)s->n;
    if (d ? !(d->flags & TG__OWNER) : tg__plane_flags(t)[id] & TG__PART) {
        const uint32_t y = t->head.code[maker_of_offset(t, offset)].y;
        const tg__descriptor *const whole = y & TG__DESCRIPTOR ? tg__descriptor_of(t, y) : NULL;
        start = whole ? whole->offset : y;
        n = whole ? (size_t)whole->s.n : 1;
    }
    return (tg__adjoints){ { s, t->adjoint + (start * t->planes + (offset - start)) * t->element }, n };
}

uint32_t tg__generation_of(const tg_tape *t, uint32_t instruction)
{
    const tg__segment *s = tg__segments(t);
    uint32_t i = tg__segment_count(t) - 1;
    while (i > 0 && s[i].code > instruction) i--;
    return s[i].generation;
}

tg_value tg__handle(tg_tape *t, uint32_t id)
{
    if (!(id & TG__DESCRIPTOR))
        return (tg_value){ t, id, tg__generation_of(t, tg__maker(t, id)) };
    const tg__segment *s = tg__segments(t);
    const uint64_t at = (id & ~TG__DESCRIPTOR) * (uint64_t)sizeof(tg__descriptor);
    uint32_t i = tg__segment_count(t) - 1;
    while (i > 0 && s[i].descriptors > at) i--;
    return (tg_value){ t, id, s[i].generation };
}

const char *tg__name_at(const tg_tape *t, uint32_t instruction)
{
    const tg__instruction *const in = &t->head.code[instruction];
    return tg__op_name(tg__ops[in->op], tg__attributes_of(t, in));
}

bool tg__has_gradient(const tg_tape *t, uint32_t id)
{
    if (id & TG__DESCRIPTOR) return tg__is_active(t, id);
    const tg__instruction *in = &t->head.code[tg__maker(t, id)];
    return !(in->flags & TG__INACTIVE);
}

tg_site tg__site_of(const tg_tape *t, uint32_t instruction)
{
    const tg__run *runs = t->head.runs;
    uint32_t low = 0, high = t->head.n_runs;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (runs[middle].first <= instruction) low = middle + 1;
        else high = middle;
    }
    return tg__site_of_run(t, low);
}

tg_site tg__site_of_run(const tg_tape *t, uint32_t runs)
{
    if (runs == 0) return (tg_site){ NULL, 0 };
    const uint32_t place = t->head.runs[runs - 1].place, file = place >> 20;
    return (tg_site){ file ? ((const char **)(void *)t->files.data)[file - 1] : NULL,
                      (int)(place & 0xfffff) };
}

/* ---- leaves written since something was recorded from them ----------------------------------- */

/* The end of the last instruction below end that is no leaf. Remembers what it has looked at. */
static uint32_t last_op_end(tg_tape *t, uint32_t end)
{
    uint32_t i = end;
    const uint32_t known = t->ops_known <= end ? t->ops_known : 0;
    while (i > known && t->head.code[i - 1].op == TG__LEAF) i--;
    if (i == known && known) i = t->ops_end;
    t->ops_known = end;
    t->ops_end = i;
    return i;
}

/* A leaf's instruction keeps in b where its entry of the list is, plus 1. */
void tg__stale_cut(tg_tape *t, uint32_t from)
{
    tg__stale *list = (tg__stale *)(void *)t->stale.data;
    const size_t n = t->stale.used / sizeof *list;
    uint32_t kept = 0;
    if (t->ops_known > t->head.n_code) t->ops_known = t->ops_end = 0;
    const uint32_t end = n ? last_op_end(t, t->head.n_code) : 0;
    for (size_t i = 0; i < n; i++) {
        tg__stale s = list[i];
        if (s.from < from) s.from = from;
        /* After a partial tg_forward whatever is newer may be made of what was out of date then. */
        if (from || s.to > end) s.to = end;
        if (s.leaf >= t->head.n_code) continue;
        const bool keep = s.from < s.to;
        if (keep) list[kept++] = s;
        t->head.code[s.leaf].b = keep ? kept : 0;
    }
    t->stale.used = kept * sizeof *list;
}

bool tg__leaf_written(tg_tape *t, uint32_t leaf)
{
    const uint32_t end = last_op_end(t, t->head.n_code);
    if (end <= leaf + 1) return true;
    uint32_t entry = t->head.code[leaf].b;
    if (!entry) {
        if (!tg__arena_grow(&t->stale, t->stale.used + sizeof(tg__stale))) return false;
        t->stale.used += sizeof(tg__stale);
        entry = t->head.code[leaf].b = (uint32_t)(t->stale.used / sizeof(tg__stale));
    }
    ((tg__stale *)(void *)t->stale.data)[entry - 1] = (tg__stale){ leaf, leaf + 1, end };
    return true;
}
