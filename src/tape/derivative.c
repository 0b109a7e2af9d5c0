/* Recorded derivatives: the walk of backward.c with values in place of numbers. What every
   instruction contributes is itself recorded, at the end of the tape, and can be differentiated
   again. */
#include <string.h>

#include <tapegrad/derivatives.h>

#include "tape/record.h"
#include "tape/tape.h"

/* One walk. The gradient of an instruction's result is a value of the shape of all that it made;
   views add to their part of it. */
typedef struct walk {
    tg__recorder recorder; /* first: rules get its address */
    tg_tape *t;
    const tg_site *site;
    uint32_t begin, end; /* instructions that are looked at */
    uint32_t at;         /* the one being differentiated */
    size_t state;        /* their entries in the arena t->walk */
    size_t elements;     /* where its contributions to one element each begin in t->elements */
} walk;

/* Of one instruction: its gradient so far (null: none), the last contribution to one element that is
   not yet in it (counted from 1), and whether an asked-for value is made of it. */
typedef struct entry {
    tg_value gradient;
    uint32_t last, n; /* n: such contributions */
    bool wanted;
} entry;

typedef struct element {
    tg_value dx;
    int64_t offset;
    uint32_t before; /* the one before, counted from 1 */
} element;

static entry *entry_of(const walk *w, uint32_t instruction)
{
    return (entry *)(void *)(w->t->walk.data + w->state) + (instruction - w->begin);
}

/* ---- the recorder that rules see ------------------------------------------------------------- */

static tg_value apply(tg__recorder *r, int code, const tg_value *x, int n, const void *attributes)
{
    const walk *const w = (const walk *)(void *)r;
    if (w->t->failed) return (tg_value){ w->t, 0, 0 };
    return tg__record(code, x, n, attributes, w->site);
}

static void fail(tg__recorder *r, const char *why)
{
    const walk *const w = (const walk *)(void *)r;
    const tg_site site = tg__site_of(w->t, w->at);
    tg__error(w->t, TG_ERROR_HISTORY, tg__name_at(w->t, w->at), w->site, "%s (recorded at %s:%d)",
              why, site.file ? site.file : "?", site.line);
}

static tg_value zeros(tg__recorder *r, const tg__shape *s)
{
    const walk *const w = (const walk *)(void *)r;
    return tg_full_new(w->t, 0, s->rank, s->dim, w->site);
}

static const tg__shape *shape(const tg__recorder *r, tg_value v)
{
    const tg_tape *const t = ((const walk *)(const void *)r)->t;
    if (v.tape != t || !tg__is_live(t, v)) return &tg__scalar_shape[t->type];
    return tg__value_array(t, v.id).s;
}

/* ---- views and broadcasting ------------------------------------------------------------------ */

/* How value id looks at the elements that its instruction made, as attributes of strided. */
static tg_strided_attributes look_of(const tg_tape *t, uint32_t id, uint32_t maker)
{
    const uint32_t whole = t->head.code[maker].y;
    const tg__shape *const s = tg__value_array(t, id).s, *const all = tg__value_array(t, whole).s;
    const uint32_t start = whole & TG__DESCRIPTOR ? tg__descriptor_of(t, whole)->offset : whole;
    const uint32_t at = id & TG__DESCRIPTOR ? tg__descriptor_of(t, id)->offset : id;
    tg_strided_attributes a = { .rank = s->rank,
                                .whole_rank = all->rank,
                                .offset = (int64_t)at - (int64_t)start };
    for (int i = 0; i < s->rank; i++) a.dim[i] = s->dim[i], a.stride[i] = s->stride[i];
    for (int i = 0; i < all->rank; i++) a.whole[i] = all->dim[i];
    return a;
}

/* v summed over the axes along which s was repeated, in s's shape. */
static tg_value summed_to(walk *w, tg_value v, const tg__shape *s)
{
    const tg__shape from = *shape(&w->recorder, v);
    tg_reduce_attributes over = { TG_DEFAULTS_reduce };
    over.keep = true;
    for (int i = 0; i < from.rank; i++) {
        const int j = i - (from.rank - s->rank);
        if (j < 0 || s->dim[j] != from.dim[i]) over.axes.axis[over.axes.count++] = i;
    }
    if (over.axes.count) v = apply(&w->recorder, TG__CODE_sum, &v, 1, &over);
    if (from.rank == s->rank) return v;
    tg_list_attributes list = { .count = s->rank };
    for (int i = 0; i < s->rank; i++) list.item[i] = s->dim[i];
    return apply(&w->recorder, TG__CODE_reshape, &v, 1, &list);
}

static void no_memory(const walk *w)
{
    tg__error(w->t, TG_ERROR_MEMORY, "grad_values", w->site, "no memory");
}

/* Adds dx to the gradient of all that an instruction made. */
static void add_to(walk *w, uint32_t maker, tg_value dx)
{
    const tg_value sum[] = { entry_of(w, maker)->gradient, dx };
    entry_of(w, maker)->gradient =
        sum[0].generation ? apply(&w->recorder, TG__CODE_add, sum, 2, NULL) : dx;
}

/* A contribution to one element waits for others, so that many do not add up whole arrays. */
static void put_off(walk *w, uint32_t maker, int64_t offset, tg_value dx)
{
    entry *const to = entry_of(w, maker);
    const element e = { dx, offset, to->last };
    tg__arena *const a = &w->t->elements;
    if (!tg__arena_grow(a, a->used + sizeof e)) {
        no_memory(w);
        return;
    }
    memcpy(a->data + a->used, &e, sizeof e);
    a->used += sizeof e;
    to->last = (uint32_t)((a->used - w->elements) / sizeof e);
    to->n++;
}

/* Adds a contribution to the gradient by value id. */
static void contribute(walk *w, uint32_t id, tg_value dx)
{
    const tg_tape *const t = w->t;
    const uint32_t maker = tg__maker(t, id);
    const tg__shape s = *tg__value_array(t, id).s;
    dx = summed_to(w, dx, &s);
    if (id == t->head.code[maker].y) {
        add_to(w, maker, dx);
        return;
    }
    const tg_strided_attributes look = look_of(t, id, maker);
    if (s.rank == 0) put_off(w, maker, look.offset, dx);
    else add_to(w, maker, apply(&w->recorder, TG__CODE_strided_sum, &dx, 1, &look));
}

/* n numbers, put where they belong in zeros like all that an instruction made. */
static tg_value scattered(walk *w, uint32_t maker, const tg_value *dx, const int64_t *offset, uint32_t n)
{
    const tg__shape all = *tg__value_array(w->t, w->t->head.code[maker].y).s;
    const tg_axis_attributes first = { TG_DEFAULTS_axis };
    const tg_value parts[] = { tg_full_new(w->t, 0, 1, &all.n, w->site),
                               tg_index_new(w->t, sizeof *offset, offset, 1, &(int64_t){ n }, w->site),
                               apply(&w->recorder, TG__CODE_stack, dx, (int)n, &first) };
    const tg_value sum = apply(&w->recorder, TG__CODE_scatter_add, parts, 3, &first);
    tg_list_attributes list = { .count = all.rank };
    for (int i = 0; i < all.rank; i++) list.item[i] = all.dim[i];
    return all.rank == 1 ? sum : apply(&w->recorder, TG__CODE_reshape, &sum, 1, &list);
}

/* Adds what waits to an instruction's gradient. */
static void add_elements(walk *w, uint32_t maker)
{
    entry *const to = entry_of(w, maker);
    const uint32_t n = to->n;
    if (n == 0) return;
    tg__arena *const a = &w->t->elements;
    const size_t used = a->used;
    tg_value *const dx = tg__arena_push(a, n * (sizeof(tg_value) + sizeof(int64_t)));
    if (!dx) {
        no_memory(w);
        return;
    }
    int64_t *const offset = (int64_t *)(void *)(dx + n);
    const element *const list = (const element *)(void *)(a->data + w->elements);
    for (uint32_t i = to->last, j = n; i > 0; i = list[i - 1].before) {
        dx[--j] = list[i - 1].dx;
        offset[j] = list[i - 1].offset;
    }
    to->last = to->n = 0;
    add_to(w, maker, scattered(w, maker, dx, offset, n));
    a->used = used;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static bool wants(const walk *w, uint32_t id, char letter)
{
    if (!tg__is_differentiable(letter) || !tg__is_active(w->t, id)) return false;
    const uint32_t maker = tg__maker(w->t, id);
    return maker >= w->begin && entry_of(w, maker)->wanted;
}

/* Marks what the asked-for values go into. */
static void mark(const walk *w)
{
    const tg_tape *const t = w->t;
    for (uint32_t i = w->begin; i < w->end; i++) {
        const tg__instruction *const in = &t->head.code[i];
        if (in->op == TG__LEAF || in->flags & TG__INACTIVE) continue;
        uint32_t room[2];
        int n;
        const uint32_t *const id = tg__operand_ids(t, in, room, &n);
        const char *const letters = tg__op_table[in->op]->letters;
        bool *const wanted = &entry_of(w, i)->wanted;
        for (int j = 0; j < n && !*wanted; j++) *wanted = wants(w, id[j], tg__letter(letters, j));
    }
}

/* Room in the arena for what a rule gets and gives; the caller sets its end back. */
static bool operand_room(walk *w, int n, size_t *at)
{
    tg__arena *const a = &w->t->walk;
    *at = (a->used + _Alignof(tg_value) - 1) / _Alignof(tg_value) * _Alignof(tg_value);
    const size_t bytes = (size_t)n * (2 * sizeof(tg_value) + sizeof(uint32_t) + sizeof(bool));
    if (!tg__arena_grow(a, *at + bytes)) return false;
    a->used = *at + bytes;
    return true;
}

static bool step(walk *w, uint32_t i)
{
    tg_tape *const t = w->t;
    const tg__instruction in = t->head.code[i];
    const tg__op *const op = tg__op_table[in.op];
    uint32_t room[2];
    int n;
    (void)tg__operand_ids(t, &in, room, &n);
    size_t at;
    const size_t used = t->walk.used;
    if (!operand_room(w, n, &at)) {
        no_memory(w);
        return false;
    }
    tg_value *const x = (tg_value *)(void *)(t->walk.data + at), *const dx = x + n;
    uint32_t *const id = (uint32_t *)(void *)(dx + n);
    bool *const wanted = (bool *)(void *)(id + n);
    memcpy(id, tg__operand_ids(t, &in, room, &n), (size_t)n * sizeof *id);
    for (int j = 0; j < n; j++) {
        x[j] = tg__handle(t, id[j]);
        dx[j] = (tg_value){ NULL, 0, 0 };
        wanted[j] = wants(w, id[j], tg__letter(op->letters, j));
    }
    union {
        max_align_t align;
        char byte[TG__ATTRIBUTES_BYTES];
    } attributes;
    const void *const given = tg__attributes_of(t, &in);
    if (given) memcpy(&attributes, given, op->attributes->size); /* the pool may move */
    tg__derivation d = { .to = &w->recorder,
                         .code = in.op,
                         .attributes = given ? (const void *)&attributes : op->attributes->defaults,
                         .n = n,
                         .x = x,
                         .y = tg__handle(t, in.y),
                         .g = entry_of(w, i)->gradient,
                         .wanted = wanted,
                         .dx = dx };
    w->at = i;
    op->derive(&d);
    for (int j = 0; j < n && !t->failed; j++)
        if (wanted[j] && dx[j].generation) contribute(w, id[j], dx[j]);
    t->walk.used = used;
    return !t->failed;
}

static bool walk_back(walk *w)
{
    for (uint32_t i = w->end; i-- > w->begin;) {
        const tg__instruction *const in = &w->t->head.code[i];
        if (in->op == TG__LEAF || in->flags & TG__INACTIVE) continue;
        if (!entry_of(w, i)->wanted) continue;
        add_elements(w, i);
        if (entry_of(w, i)->gradient.generation && !step(w, i)) return false;
    }
    return !w->t->failed;
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* The gradient by v, from that of all that its instruction made; zeros if there is none. */
static tg_value gradient_of(walk *w, tg_value v)
{
    tg_tape *const t = w->t;
    const uint32_t maker = tg__maker(t, v.id);
    if (maker < w->end) add_elements(w, maker);
    const tg_value whole = maker < w->end ? entry_of(w, maker)->gradient : (tg_value){ NULL, 0, 0 };
    const tg__shape s = *tg__value_array(t, v.id).s;
    if (!whole.generation) return zeros(&w->recorder, &s);
    if (v.id == t->head.code[maker].y) return whole;
    const tg_strided_attributes look = look_of(t, v.id, maker);
    return apply(&w->recorder, TG__CODE_strided, &whole, 1, &look);
}

/* The tape that all values are on; NULL after the error. */
static tg_tape *tape_of_all(const tg_value *v, int n, const char *role, const tg_site *site)
{
    static const char *const what = "grad_values";
    if (n < 1 || !v) {
        tg__error(NULL, TG_ERROR_ARGUMENT, what, site, "no %s given", role);
        return NULL;
    }
    for (int i = 0; i < n; i++) {
        tg_tape *const t = tg__tape_of(v[i], what, site);
        if (!t) return NULL;
        if (t != v[0].tape) {
            tg__error(t, TG_ERROR_HANDLE, what, site, "%s are values of two tapes", role);
            tg__error_too(v[0].tape, t);
            return NULL;
        }
    }
    return v[0].tape;
}

static bool check_output(tg_tape *t, const tg_value *output, const tg_value *cotangent,
                         const tg_site *site)
{
    static const char *const what = "grad_values";
    const tg__shape *const s = tg__value_array(t, output->id).s;
    if (s->type == TG_I64) {
        tg__error(t, TG_ERROR_TYPE, what, site, "an output of integers has no gradient");
    } else if (!cotangent && s->n != 1) {
        tg__error(t, TG_ERROR_SHAPE, what, site,
                  "an output has shape %s: without cotangents it needs one element",
                  TG__SHAPE_TEXT(s));
    } else if (cotangent) {
        const tg__shape *const c = tg__value_array(t, cotangent->id).s;
        if (c->type == s->type && tg__shape_same_dims(c, s)) return true;
        tg__error(t, TG_ERROR_SHAPE, what, site,
                  "an output of shape %s has a cotangent of shape %s", TG__SHAPE_TEXT(s),
                  TG__SHAPE_TEXT(c));
    } else {
        return true;
    }
    return false;
}

/* Entries for the instructions from the first asked-for value to the last output. */
static bool begin(walk *w, const tg_value *outputs, int n, const tg_value *wrt, int m)
{
    const tg_tape *const t = w->t;
    w->begin = UINT32_MAX;
    for (int i = 0; i < m; i++) {
        const uint32_t maker = tg__maker(t, wrt[i].id);
        if (maker < w->begin) w->begin = maker;
    }
    w->end = w->begin;
    for (int i = 0; i < n; i++) {
        const uint32_t maker = tg__maker(t, outputs[i].id);
        if (maker >= w->end) w->end = maker + 1;
    }
    const size_t bytes = (size_t)(w->end - w->begin) * sizeof(entry);
    void *const entries = tg__arena_push(&w->t->walk, bytes + 1);
    if (!entries) return false;
    w->state = (size_t)((char *)entries - w->t->walk.data);
    memset(entries, 0, bytes);
    for (int i = 0; i < m; i++) {
        const uint32_t maker = tg__maker(t, wrt[i].id);
        if (maker < w->end) entry_of(w, maker)->wanted = true;
    }
    mark(w);
    return true;
}

/* Whether all there is to start from is on one tape and makes sense; that tape, or NULL after the
   error. */
static tg_tape *check_request(const tg_value *outputs, const tg_value *cotangents, int n,
                              const tg_value *wrt, int m, const tg_site *site)
{
    static const char *const what = "grad_values";
    tg_tape *const t = tape_of_all(outputs, n, "outputs", site);
    tg_tape *const by = t ? tape_of_all(wrt, m, "values to differentiate by", site) : NULL;
    tg_tape *const from = by && cotangents ? tape_of_all(cotangents, n, "cotangents", site) : by;
    if (!t || !by || !from) return NULL;
    if (by != t || from != t) {
        tg__error(t, TG_ERROR_HANDLE, what, site, "%s are on another tape than the outputs",
                  by != t ? "values to differentiate by" : "cotangents");
        return NULL;
    }
    for (int i = 0; i < n; i++)
        if (!check_output(t, &outputs[i], cotangents ? &cotangents[i] : NULL, site)) return NULL;
    for (int i = 0; i < m; i++) {
        const bool floating = tg__value_array(t, wrt[i].id).s->type != TG_I64;
        if (floating && tg__has_gradient(t, wrt[i].id)) continue;
        tg__error(t, TG_ERROR_HISTORY, what, site,
                  "value %d to differentiate by has no gradient: it is a constant, an input not "
                  "asked for, detached, or recorded without gradients",
                  i + 1);
        return NULL;
    }
    return t;
}

bool tg__grad_values(bool linear, const tg_value *outputs, const tg_value *cotangents, int n,
                     const tg_value *wrt, int m, tg_value *gradients, const tg_site *site)
{
    tg_tape *const t = check_request(outputs, cotangents, n, wrt, m, site);
    if (!t) return false;
    walk w = { .recorder = { apply, linear, fail, tg__of_number, zeros, shape, NULL },
               .t = t,
               .site = site,
               .elements = t->elements.used };
    const size_t used = t->walk.used;
    if (!begin(&w, outputs, n, wrt, m)) {
        no_memory(&w);
        return false;
    }
    for (int i = 0; i < n && !t->failed; i++) {
        if (!wants(&w, outputs[i].id, 'n')) continue;
        const tg__shape s = *tg__value_array(t, outputs[i].id).s;
        contribute(&w, outputs[i].id,
                   cotangents ? cotangents[i] : tg_full_new(t, 1, s.rank, s.dim, site));
    }
    if (!t->failed && walk_back(&w))
        for (int i = 0; i < m; i++) gradients[i] = gradient_of(&w, wrt[i]);
    t->elements.used = w.elements;
    t->walk.used = used;
    return !t->failed;
}

bool tg_grad_values_at(const tg_value *outputs, const tg_value *cotangents, int n,
                       const tg_value *wrt, int m, tg_value *gradients, const tg_site *site)
{
    return tg__grad_values(false, outputs, cotangents, n, wrt, m, gradients, site);
}
