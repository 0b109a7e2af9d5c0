/* Making tapes, room on them, and taking stretches of them back. */
#include "tape/tape.h"

#include <string.h>

enum { MAX_FILES = 4095, MAX_LINE = (1 << 20) - 1 };

static const size_t default_reserve = (size_t)4 << 30;

/* ---- making a tape --------------------------------------------------------------------------- */

static void each_arena(tg_tape *t, void (*f)(tg_tape *t, tg__arena *a))
{
    tg__arena *const all[] = { &t->code,        &t->values, &t->adjoints, &t->integers,
                               &t->descriptors, &t->pool,   &t->runs,     &t->names,
                               &t->effects,     &t->segments, &t->files,  &t->stale,
                               &t->scratch,     &t->walk, &t->elements };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) f(t, all[i]);
}

static void init_arena(tg_tape *t, tg__arena *a)
{
    tg__arena_init(a, &t->memory);
}
static void free_arena(tg_tape *t, tg__arena *a)
{
    (void)t, tg__arena_free(a);
}
static void settle_arena(tg_tape *t, tg__arena *a)
{
    (void)t, tg__arena_settle(a);
}

static uint32_t next_generation(tg_tape *t)
{
    if (t->generations < UINT32_MAX) t->generations++;
    return t->generations;
}

/* Opens a segment at the present end. */
static bool open_segment(tg_tape *t, uint32_t mark)
{
    const size_t used = t->segments.used;
    if (!tg__arena_grow(&t->segments, used + sizeof(tg__segment))) return false;
    t->segments.used += sizeof(tg__segment);
    const tg__segment s = { .generation = next_generation(t),
                            .mark = mark,
                            .values = t->head.n_values,
                            .code = t->head.n_code,
                            .runs = t->head.n_runs,
                            .integers = t->integers.used,
                            .descriptors = t->descriptors.used,
                            .pool = t->pool.used,
                            .names = t->names.used,
                            .effects = t->effects.used };
    t->top = &tg__segments(t)[used / sizeof s];
    *t->top = s;
    t->head.generation = s.generation;
    t->head.base_generation = tg__segments(t)[0].generation;
    return true;
}

tg_tape *tg_tape_new(const tg_tape_options *options)
{
    const tg_tape_options o = options ? *options : (tg_tape_options){ 0 };
    if (o.type != TG_F64 && o.type != TG_F32) {
        tg__error(NULL, TG_ERROR_ARGUMENT, "tape_new", NULL, "type is not TG_F64 or TG_F32");
        return NULL;
    }
    if (o.allocator && (!o.allocator->allocate || !o.allocator->release)) {
        tg__error(NULL, TG_ERROR_ARGUMENT, "tape_new", NULL, "the allocator needs both functions");
        return NULL;
    }
    tg__memory memory = { .max_bytes = o.max_bytes };
    if (o.allocator) memory.allocator = *o.allocator;
    else memory.reserve = o.reserve ? o.reserve : default_reserve;
    tg_tape *t = tg__allocate(&memory, sizeof *t);
    if (!t) {
        tg__error(NULL, TG_ERROR_MEMORY, "tape_new", NULL, "no memory for a tape");
        return NULL;
    }
    *t = (tg_tape){ .type = o.type,
                    .element = tg__type_size(o.type),
                    .memory = memory,
                    .on_error = o.on_error,
                    .user = o.user,
                    .head.line = -1 };
    t->k = tg__kernels_for(o.type);
    each_arena(t, init_arena);
    if (!open_segment(t, 0)) {
        tg_tape_free(t);
        tg__error(NULL, TG_ERROR_MEMORY, "tape_new", NULL, "no memory for a tape");
        return NULL;
    }
    return t;
}

void tg_tape_free(tg_tape *t)
{
    if (!t) return;
    tg_tape_free(t->inner);
    each_arena(t, free_arena);
    tg__memory memory = t->memory;
    tg__deallocate(&memory, t, sizeof *t);
}

tg_type tg_tape_type(const tg_tape *t)
{
    return t ? t->type : TG_F64;
}

/* ---- room ------------------------------------------------------------------------------------ */

bool tg__room(tg_tape *t, uint64_t elements)
{
    elements += elements > 1 ? tg__line(t) : 0; /* for tg__align */
    if (elements > INT32_MAX || t->head.n_values + elements > INT32_MAX ||
        t->head.n_code == UINT32_MAX - 1)
        return false;
    if (!tg__arena_grow(&t->values, (t->head.n_values + elements) * t->element)) return false;
    if (!tg__arena_grow(&t->code, (t->head.n_code + (size_t)1) * sizeof(tg__instruction)))
        return false;
    t->head.values = (double *)(void *)t->values.data;
    t->head.code = (tg__instruction *)(void *)t->code.data;
    tg__set_limit(t);
    return true;
}

/* The number of a source file, with room for it in the list; 0 if it is unknown. False: no memory.
 */
static bool file_number(tg_tape *t, const char *file, uint32_t *number)
{
    const char **files = (const char **)(void *)t->files.data;
    const size_t n = t->files.used / sizeof *files;
    *number = 0;
    if (!file) return true;
    for (size_t i = 0; i < n; i++) {
        if (files[i] != file && strcmp(files[i], file) != 0) continue;
        *number = (uint32_t)i + 1;
        return true;
    }
    if (n == MAX_FILES) return true;
    if (!tg__arena_grow(&t->files, t->files.used + sizeof *files)) return false;
    ((const char **)(void *)t->files.data)[n] = file;
    t->files.used += sizeof *files;
    *number = (uint32_t)n + 1;
    return true;
}

/* Starts a run of instructions from this position, unless the last run is one. */
static bool note_place(tg_tape *t, const tg_site *site)
{
    tg__head *h = &t->head;
    const tg_site nowhere = { NULL, 0 };
    if (!site) site = &nowhere;
    if (site->file == h->file && site->line == h->line) return true;
    uint32_t number;
    if (!file_number(t, site->file, &number)) return false;
    if (!tg__arena_grow(&t->runs, (h->n_runs + (size_t)1) * sizeof(tg__run))) return false;
    h->runs = (tg__run *)(void *)t->runs.data;
    const size_t room = t->runs.capacity / sizeof(tg__run);
    h->runs_limit = room > UINT32_MAX ? UINT32_MAX : (uint32_t)room;
    h->file = site->file;
    h->file_bits = number << 20;
    h->line = site->line;
    const int line = site->line < 0 || site->line > MAX_LINE ? 0 : site->line;
    h->runs[h->n_runs++] = (tg__run){ h->n_code, h->file_bits | (uint32_t)line };
    return true;
}

bool tg__emit(tg_tape *t, int op, int flags, uint32_t y, uint32_t a, uint32_t b,
              const tg_site *site)
{
    if (!note_place(t, site)) return false;
    t->head.code[t->head.n_code++] = (tg__instruction){ (uint16_t)op, (uint16_t)flags, y, a, b };
    return true;
}

uint32_t tg__describe(tg_tape *t, const tg__shape *s, uint32_t offset, uint32_t flags,
                      const void *external)
{
    const size_t used = t->descriptors.used;
    if (used / sizeof(tg__descriptor) >= INT32_MAX) return 0;
    if (!tg__arena_grow(&t->descriptors, used + sizeof(tg__descriptor))) return 0;
    t->descriptors.used += sizeof(tg__descriptor);
    tg__descriptor *d = (tg__descriptor *)(void *)(t->descriptors.data + used);
    tg__shape_copy(&d->s, s);
    d->offset = offset;
    d->flags = flags;
    d->external = external;
    d->maker = t->head.n_code;
    return (uint32_t)(used / sizeof *d) | TG__DESCRIPTOR;
}

uint32_t tg__describe_view(tg_tape *t, uint32_t base, const tg__shape *s, int64_t delta, uint32_t flags)
{
    if (!(base & TG__DESCRIPTOR)) return tg__describe(t, s, (uint32_t)(base + delta), flags, NULL);
    const tg__descriptor d = *tg__descriptor_of(t, base);
    const char *external = d.external;
    if (external) external += delta * (int64_t)tg__type_size(s->type);
    const uint32_t id = tg__describe(t, s, (uint32_t)(d.offset + delta), flags | (d.flags & TG__DETACHED), external);
    if (id) tg__descriptor_of(t, id)->maker = d.maker;
    return id;
}

/* ---- stretches ------------------------------------------------------------------------------- */

/* Takes back everything from segment s on, and opens a new one in its place. */
static void truncate_to(tg_tape *t, uint32_t segment)
{
    const tg__segment s = tg__segments(t)[segment];
    t->head.n_values = s.values;
    t->head.n_code = s.code;
    t->head.n_runs = s.runs;
    t->integers.used = s.integers;
    t->descriptors.used = s.descriptors;
    t->pool.used = s.pool;
    t->names.used = s.names;
    t->effects.used = s.effects;
    t->segments.used = segment * sizeof s;
    if (t->graded > s.values) t->graded = s.values;
    t->head.line = -1;
    t->head.file = NULL;
    t->head.file_bits = 0;
    open_segment(t, s.mark); /* has the place of the old one */
    tg__stale_cut(t, 0);
    tg__set_limit(t);
}

/* Whether nothing was put on the tape since the newest mark. */
static bool nothing_since(const tg_tape *t, const tg__segment *s)
{
    return t->head.n_values == s->values && t->head.n_code == s->code &&
           t->integers.used == s->integers && t->descriptors.used == s->descriptors &&
           t->pool.used == s->pool && t->names.used == s->names &&
           t->effects.used == s->effects;
}

tg_mark tg_tape_mark(tg_tape *t)
{
    const tg_mark none = { t, 0, 0 };
    if (!t) {
        tg__error(NULL, TG_ERROR_HANDLE, "tape_mark", NULL, "the tape is NULL");
        return none;
    }
    if (t->failed) return none;
    /* A loop that sets a mark and releases it in each step comes here again and again. */
    const uint32_t newest = tg__segment_count(t) - 1;
    if (newest > 0 && nothing_since(t, t->top)) return (tg_mark){ t, newest, t->top->mark };
    const uint32_t mark = t->generations == UINT32_MAX ? UINT32_MAX : t->generations + 1;
    if (!open_segment(t, mark)) {
        tg__error(t, TG_ERROR_MEMORY, "tape_mark", NULL, "no memory for a mark");
        return none;
    }
    return (tg_mark){ t, tg__segment_count(t) - 1, mark };
}

bool tg_release(tg_mark mark)
{
    tg_tape *t = mark.tape;
    const bool live = t && mark.segment > 0 && mark.segment < tg__segment_count(t) &&
                      tg__segments(t)[mark.segment].mark == mark.generation;
    if (!live) {
        tg__error(
            t, TG_ERROR_HANDLE, "release", NULL,
            t ? "the mark is none of this tape's, or was taken back by a release to an earlier one"
              : "the tape is NULL");
        return false;
    }
    truncate_to(t, mark.segment);
    return true;
}

void tg_reset(tg_tape *t)
{
    if (!t) return;
    t->failed = false;
    t->no_grad = 0;
    t->files.used = 0;
    t->planes = 0;
    truncate_to(t, 0);
    each_arena(t, settle_arena);
}

void tg_no_grad_begin(tg_tape *t)
{
    if (!t) return;
    t->no_grad++;
    tg__set_limit(t);
}

void tg_no_grad_end(tg_tape *t)
{
    if (!t) return;
    if (t->no_grad == 0) {
        tg__error(t, TG_ERROR_ARGUMENT, "no_grad_end", NULL, "no scope was begun");
        return;
    }
    t->no_grad--;
    tg__set_limit(t);
}

tg_tape_stats tg_stats(const tg_tape *t)
{
    if (!t) return (tg_tape_stats){ 0 };
    tg_tape_stats s = {
        .instructions = t->head.n_code,
        .values = t->head.n_values + t->integers.used / sizeof(int64_t),
        .bytes_held = t->memory.bytes,
        .allocations = t->memory.allocations,
    };
    const size_t values = t->head.n_values * t->element;
    s.bytes_used = t->head.n_code * sizeof(tg__instruction) + t->head.n_runs * sizeof(tg__run) +
                   values + (t->adjoints.used < values ? t->adjoints.used : values) +
                   t->integers.used + t->descriptors.used + t->pool.used + t->names.used +
                   t->effects.used;
    const tg_tape_stats inner = tg_stats(t->inner);
    s.bytes_held += inner.bytes_held;
    s.allocations += inner.allocations;
    return s;
}
