/* Looking into a tape: see look.h. */
#include "debug/look.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codes.h" /* generated */
#include "tape/record.h"

/* Address space for an arena, where it is to be had. */
static const size_t reserve = (size_t)4 << 30;

/* ---- beginning and ending -------------------------------------------------------------------- */

bool tg__look_fail(tg__look *l, tg_code code, const char *format, ...)
{
    if (!l->status) return false;
    char text[sizeof l->status->message - 32];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    l->status->code = code;
    snprintf(l->status->message, sizeof l->status->message, "%.24s: %s", l->what, text);
    return false;
}

bool tg__look_no_memory(tg__look *l)
{
    return tg__look_fail(l, TG_ERROR_MEMORY, "no memory");
}

void *tg__look_room(tg__look *l, uint64_t n, size_t size)
{
    void *const p = n > SIZE_MAX / 2 / size ? NULL : tg__arena_push(&l->room, n * size + 1);
    if (!p) tg__look_no_memory(l);
    return p;
}

static void each_arena(tg__look *l, void (*f)(tg__look *l, tg__arena *a))
{
    tg__arena *const all[] = { &l->names,    &l->makers,  &l->needed,
                               &l->adjoints, &l->scratch, &l->room };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) f(l, all[i]);
}

static void init_arena(tg__look *l, tg__arena *a)
{
    tg__arena_init(a, &l->memory);
}

static void free_arena(tg__look *l, tg__arena *a)
{
    (void)l, tg__arena_free(a);
}

void tg__look_end(tg__look *l)
{
    each_arena(l, free_arena);
}

/* A name on the tape, as tg_name has written it, and the table of names by value: places in the list
   of names, plus 1; of a value's names the last one counts. */
typedef struct entry {
    uint32_t id, generation, length;
} entry;

static entry entry_at(const tg_tape *t, size_t at)
{
    entry e;
    memcpy(&e, t->names.data + at, sizeof e);
    return e;
}

static size_t *slot_of(const tg__look *l, uint32_t id, uint32_t generation)
{
    size_t *const table = (size_t *)(void *)l->names.data;
    const size_t mask = l->names.used / sizeof *table - 1;
    size_t i = (id * (size_t)0x9E3779B97F4A7C15u >> 20) & mask;
    while (table[i]) {
        const entry e = entry_at(l->t, table[i] - 1);
        if (e.id == id && e.generation == generation) break;
        i = (i + 1) & mask;
    }
    return &table[i];
}

static bool index_names(tg__look *l)
{
    const tg_tape *const t = l->t;
    size_t n = 0, slots = 2;
    for (size_t at = 0; at < t->names.used; n++)
        at += sizeof(entry) + (entry_at(t, at).length + 3) / 4 * 4;
    if (n == 0) return true;
    while (slots < 2 * n) slots *= 2;
    if (!tg__arena_push(&l->names, slots * sizeof(size_t))) return false;
    for (size_t at = 0; at < t->names.used;) {
        const entry e = entry_at(t, at);
        *slot_of(l, e.id, e.generation) = at + 1;
        at += sizeof e + (e.length + 3) / 4 * 4;
    }
    return true;
}

/* Which instruction made each scalar, for tapes that are mostly scalars. */
static bool index_makers(tg__look *l)
{
    const tg__head *const h = &l->t->head;
    if (h->n_values / 8 > h->n_code) return true;
    const size_t bytes = (h->n_values + (size_t)1) * sizeof(uint32_t);
    uint32_t *const maker = tg__arena_push(&l->makers, bytes);
    if (!maker) return false;
    memset(maker, 0xff, bytes);
    for (uint32_t i = 0; i < h->n_code; i++)
        if (!(h->code[i].y & TG__DESCRIPTOR)) maker[h->code[i].y] = i;
    return true;
}

uint32_t tg__look_maker(const tg__look *l, uint32_t id)
{
    const uint32_t *const maker = (const uint32_t *)(void *)l->makers.data;
    if (maker && !(id & TG__DESCRIPTOR) && maker[id] != TG__NO_INSTRUCTION) return maker[id];
    return tg__maker(l->t, id);
}

bool tg__look_begin_tape(tg__look *l, const char *what, tg_tape *t, tg_status *status)
{
    *l = (tg__look){ .t = t, .status = status, .what = what };
    if (status) *status = (tg_status){ .code = TG_OK };
    if (t) l->memory.allocator = t->memory.allocator;
    if (!l->memory.allocator.allocate) l->memory.reserve = reserve;
    each_arena(l, init_arena);
    if (!t) return tg__look_fail(l, TG_ERROR_HANDLE, "the tape is NULL");
    return index_names(l) && index_makers(l) ? true : tg__look_no_memory(l);
}

bool tg__look_takes(tg__look *l, tg_value v, const char *argument)
{
    if (!v.tape || v.tape == TG__NUMBER || !v.generation)
        return tg__look_fail(l, TG_ERROR_HANDLE, "%s is a null value", argument);
    if (v.tape != l->t)
        return tg__look_fail(l, TG_ERROR_HANDLE, "%s is a value of another tape", argument);
    if (!tg__is_live(l->t, v))
        return tg__look_fail(l, TG_ERROR_HANDLE, "%s is stale: it was released", argument);
    return true;
}

bool tg__look_begin(tg__look *l, const char *what, tg_value root, tg_status *status)
{
    tg_tape *const t = root.tape == TG__NUMBER ? NULL : root.tape;
    *l = (tg__look){ .status = status, .what = what };
    if (!t) {
        each_arena(l, init_arena);
        if (status) *status = (tg_status){ .code = TG_OK };
        return tg__look_fail(l, TG_ERROR_HANDLE, "the value is null");
    }
    if (!tg__look_begin_tape(l, what, t, status) || !tg__look_takes(l, root, "the value"))
        return false;
    l->last = tg__look_maker(l, root.id);
    char *const needed = tg__arena_push(&l->needed, l->last + (size_t)1);
    if (!needed) return tg__look_no_memory(l);
    needed[l->last] = 1;
    for (uint32_t i = l->last + 1; i-- > 0;) {
        uint32_t room[2];
        int n;
        if (!needed[i]) continue;
        const uint32_t *const id = tg__operand_ids(t, &t->head.code[i], room, &n);
        for (int j = 0; j < n; j++) needed[tg__look_maker(l, id[j])] = 1;
    }
    return true;
}

/* ---- rules ----------------------------------------------------------------------------------- */

tg__range tg__range_of(const tg_tape *t, uint32_t id)
{
    if (!(id & TG__DESCRIPTOR)) return (tg__range){ id, id + 1 };
    const tg__descriptor *const d = tg__descriptor_of(t, id);
    int64_t low = d->offset, high = low;
    if (d->s.n == 0) return (tg__range){ d->offset, d->offset };
    for (int i = 0; i < d->s.rank; i++) {
        const int64_t reach = d->s.stride[i] * (d->s.dim[i] - 1);
        *(reach < 0 ? &low : &high) += reach;
    }
    return (tg__range){ (uint32_t)low, (uint32_t)(high + 1) };
}

bool tg__play_begin(tg__look *l, uint32_t i, tg__play *p)
{
    tg_tape *const t = l->t;
    const tg__instruction *const in = &t->head.code[i];
    int n;
    p->id = tg__operand_ids(t, in, p->room, &n);
    l->scratch.used = 0;
    p->x = tg__arena_push(&l->scratch, (size_t)n * sizeof *p->x + 1);
    p->dx = tg__arena_push(&l->scratch, (size_t)n * sizeof *p->dx + 1);
    if (!p->x || !p->dx) return tg__look_no_memory(l);
    for (int j = 0; j < n; j++) {
        p->x[j] = tg__value_array(t, p->id[j]);
        p->dx[j] = (tg__array){ p->x[j].s, NULL };
    }
    p->call = (tg__call){ .op = tg__op_table[in->op],
                          .code = in->op,
                          .k = t->k,
                          .attributes = tg__attributes_of(t, in),
                          .n = n,
                          .x = p->x,
                          .y = tg__value_array(t, in->y),
                          .dx = p->dx,
                          .scratch = &l->scratch,
                          .message = l->message,
                          .message_size = sizeof l->message };
    return true;
}

bool tg__play_wants(const tg__look *l, const tg__play *p, int j)
{
    const char letter = tg__letter(p->call.op->letters, j);
    return tg__is_differentiable(letter) && tg__is_active(l->t, p->id[j]);
}

/* ---- the sweep ------------------------------------------------------------------------------- */

tg__array tg__swept(const tg__look *l, uint32_t id)
{
    const tg__array x = tg__value_array(l->t, id);
    const uint32_t offset = id & TG__DESCRIPTOR ? tg__descriptor_of(l->t, id)->offset : id;
    return (tg__array){ x.s, l->adjoints.data + offset * l->t->element };
}

static bool all_zero(tg__array g)
{
    for (int64_t k = 0; k < g.s->n; k++)
        if (tg__get(g.p, g.s->type, k) != 0) return false;
    return true;
}

bool tg__sweep(tg__look *l, tg_value root, tg__visit *before, tg__visit *after, void *user)
{
    const tg_tape *const t = l->t;
    if (!tg__arena_push(&l->adjoints, (t->head.n_values + (size_t)1) * t->element))
        return tg__look_no_memory(l);
    const tg__array seed = tg__swept(l, root.id);
    for (int64_t k = 0; k < seed.s->n; k++) tg__set_element(seed, k, 1);
    for (uint32_t i = l->last + 1; i-- > 0;) {
        const tg__instruction *const in = &t->head.code[i];
        if (!tg__look_needs(l, i) || tg__is_inactive(in)) continue;
        const tg__array g = tg__swept(l, in->y);
        tg__play p;
        if (all_zero(g)) continue;
        if (!tg__play_begin(l, i, &p)) return false;
        p.call.g = g.p;
        for (int j = 0; j < p.call.n; j++)
            if (tg__play_wants(l, &p, j)) p.dx[j] = tg__swept(l, p.id[j]);
        if (before && !before(l, i, &p, user)) return true;
        if (!p.call.op->backward) continue;
        const tg_code code = p.call.op->backward(&p.call);
        if (code == TG_ERROR_MEMORY) return tg__look_no_memory(l);
        if (code != TG_OK) return tg__look_fail(l, code, "%s: %s", tg__name_at(t, i), l->message);
        if (after && !after(l, i, &p, user)) return true;
    }
    return true;
}

/* ---- elements -------------------------------------------------------------------------------- */

int64_t tg__offset_of_element(const tg__shape *s, int64_t k)
{
    int64_t at = 0;
    for (int i = s->rank; i-- > 0;) {
        at += k % s->dim[i] * s->stride[i];
        k /= s->dim[i];
    }
    return at;
}

static void *element_at(tg__array a, int64_t k)
{
    const int64_t at = tg__offset_of_element(a.s, k);
    return (char *)a.p + at * (int64_t)tg__type_size(a.s->type);
}

double tg__element(tg__array a, int64_t k)
{
    const void *const p = element_at(a, k);
    return a.s->type == TG_I64 ? (double)*(const int64_t *)p : tg__get(p, a.s->type, 0);
}

void tg__set_element(tg__array a, int64_t k, double x)
{
    tg__put(element_at(a, k), a.s->type, 0, x);
}

int64_t tg__first_nonfinite(tg__array a, bool nan)
{
    if (a.s->type == TG_I64) return -1;
    for (int64_t k = 0; k < a.s->n; k++) {
        const double x = tg__element(a, k);
        if (nan ? isnan(x) : !isfinite(x)) return k;
    }
    return -1;
}

double tg__weight(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    const double magnitude = 0.5 + (double)(z >> 11) * 0x1p-53;
    return z & 1 ? magnitude : -magnitude;
}

/* ---- words ----------------------------------------------------------------------------------- */

void tg__say(tg__text *x, const char *format, ...)
{
    if (x->used >= x->size) return;
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(x->p + x->used, x->size - x->used, format, args);
    va_end(args);
    if (n > 0) x->used += (size_t)n;
}

const char *tg__look_name(const tg__look *l, uint32_t id)
{
    if (!l->names.data) return NULL;
    const size_t at = *slot_of(l, id, tg__handle(l->t, id).generation);
    return at ? l->t->names.data + at - 1 + sizeof(entry) : NULL;
}

/* A name in a line: control characters as their numbers. */
static void say_name(tg__text *x, const char *name)
{
    for (; *name; name++) {
        const unsigned char c = (unsigned char)*name;
        if (c < ' ' || c == 0x7f) tg__say(x, "\\x%02x", c);
        else tg__say(x, "%c", c);
    }
}

void tg__say_value(const tg__look *l, tg__text *x, uint32_t id)
{
    const char *const name = tg__look_name(l, id);
    const uint32_t maker = tg__look_maker(l, id), whole = l->t->head.code[maker].y;
    if (name || id == whole) {
        if (name) say_name(x, name);
        else tg__say(x, "%%%u", maker);
        return;
    }
    tg__say_value(l, x, whole);
    const tg__shape *const s = tg__value_array(l->t, id).s;
    const uint32_t start = whole & TG__DESCRIPTOR ? tg__descriptor_of(l->t, whole)->offset : whole;
    if (s->rank) tg__say(x, " as %s", TG__SHAPE_TEXT(s));
    else if (!(id & TG__DESCRIPTOR)) tg__say_element(x, tg__value_array(l->t, whole).s, id - start);
}

void tg__say_number(tg__text *x, double number)
{
    if (isnan(number)) tg__say(x, "nan");
    else tg__say(x, "%.6g", number);
}

void tg__say_elements(tg__text *x, tg__array a, int64_t most)
{
    const bool many = a.s->rank > 0;
    if (many) tg__say(x, "[");
    for (int64_t k = 0; k < a.s->n && k < most; k++) {
        if (k) tg__say(x, ", ");
        tg__say_number(x, tg__element(a, k));
    }
    if (many) tg__say(x, a.s->n > most ? ", ...]" : "]");
}

void tg__say_place(tg__text *x, const tg_place *p)
{
    tg__say(x, "%s", p->op);
    if (p->name[0]) tg__say(x, " (%s)", p->name);
    else tg__say(x, " (%%%zu)", p->instruction);
    if (p->site.file) tg__say(x, " of %s:%d", p->site.file, p->site.line);
}

void tg__say_element(tg__text *x, const tg__shape *s, int64_t k)
{
    if (s->rank == 0 || k < 0) return;
    int64_t index[TG_MAX_RANK];
    for (int i = s->rank; i-- > 0;) {
        index[i] = k % s->dim[i];
        k /= s->dim[i];
    }
    for (int i = 0; i < s->rank; i++) tg__say(x, "%s%lld", i ? ", " : "[", (long long)index[i]);
    tg__say(x, "]");
}

void tg__say_operands(const tg__look *l, tg__text *x, uint32_t i)
{
    enum { OPERANDS = 4, ELEMENTS = 4 };
    uint32_t room[2];
    int n;
    const uint32_t *const id = tg__operand_ids(l->t, &l->t->head.code[i], room, &n);
    for (int j = 0; j < n && j < OPERANDS; j++) {
        tg__say(x, "%s", j ? ", " : "");
        tg__say_value(l, x, id[j]);
        tg__say(x, " = ");
        tg__say_elements(x, tg__value_array(l->t, id[j]), ELEMENTS);
    }
    if (n > OPERANDS) tg__say(x, ", ...");
}

tg_place tg__place_of(const tg__look *l, uint32_t i)
{
    const uint32_t y = l->t->head.code[i].y;
    tg_place p = { .op = tg__name_at(l->t, i),
                   .site = tg__site_of(l->t, i),
                   .instruction = i,
                   .value = { l->t, y, tg__generation_of(l->t, i) },
                   .operand = -1,
                   .element = -1 };
    const char *const name = tg__look_name(l, y);
    if (name) say_name(&(tg__text){ p.name, sizeof p.name, 0 }, name);
    return p;
}
