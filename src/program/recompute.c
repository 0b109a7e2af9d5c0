/* Stretches that are not kept: a function records onto an inner tape, of which only the results stay,
   and again where their gradient is asked for. One inner tape serves all stretches of a tape, and is
   empty between them; its own stretches have one of theirs. */
#include <stdio.h>
#include <string.h>

#include <tapegrad/call.h>

#include "program/call.h"
#include "tape/record.h"

enum { MESSAGE = 256 };

/* What there is of a stretch while it is on the inner tape. */
typedef struct stretch {
    tg_tape *inner;
    tg_value *x, *y; /* inputs, results */
} stretch;

static tg_tape *outer_of(const tg_call_attributes *a)
{
    return (tg_tape *)(uintptr_t)a->what;
}

/* The inner tape, empty; NULL: no memory. */
static tg_tape *inner_of(tg_tape *t)
{
    const tg__memory *const m = &t->memory;
    if (!t->inner) {
        const tg_tape_options o = { .type = t->type,
                                    .reserve = m->reserve,
                                    .allocator = m->allocator.allocate ? &m->allocator : NULL,
                                    .on_error = tg_ignore_error };
        t->inner = tg_tape_new(&o);
    }
    if (!t->inner) return NULL;
    tg_reset(t->inner);
    t->inner->walk.used = 0;
    /* Both together keep to the limit. */
    const size_t left = m->max_bytes > m->bytes ? m->max_bytes - m->bytes : 1;
    t->inner->memory.max_bytes = m->max_bytes ? left : 0;
    return t->inner;
}

/* The handles, at the beginning of the arena t->inner->walk, where they stay until the tape is empty. */
static stretch stretch_of(const tg_call_attributes *a, int n)
{
    tg_tape *const inner = outer_of(a)->inner;
    tg_value *const x = (tg_value *)(void *)inner->walk.data;
    return (stretch){ inner, x, x + n };
}

static void forget(tg_tape *inner)
{
    inner->walk.used = 0;
    tg_reset(inner);
}

static tg_value leaf_of(tg_tape *t, tg__array x)
{
    const tg__shape *const s = x.s;
    if (s->type == TG_I64) return tg_index_new(t, sizeof(int64_t), x.p, s->rank, s->dim, NULL);
    if (s->rank == 0) return tg_leaf_new(t, TG_PARAMETER, s->type, x.p, 0, NULL, NULL);
    return tg_leaf_view(t, TG_PARAMETER, s->type, x.p, s->rank, s->dim, NULL);
}

static bool results_are_right(const tg_tape *inner, const tg_value *y, uint32_t m, char *why)
{
    for (uint32_t i = 0; i < m; i++) {
        const bool own = y[i].tape == inner && tg__is_live(inner, y[i]);
        const bool number = own && tg__value_array(inner, y[i].id).s->type != TG_I64;
        if (number) continue;
        snprintf(why, MESSAGE, "output %u is %s", i,
                 own ? "one of integers" : "no value of the tape that the function was given");
        return false;
    }
    return true;
}

/* Records the stretch; x: adjacent. why gets the reason if it fails. */
static tg_code record(const tg_call_attributes *a, const tg__array *x, int n, char *why)
{
    const uint32_t m = a->states;
    tg_tape *const inner = inner_of(outer_of(a));
    tg__memory memory = { 0 };
    const size_t bytes = ((size_t)n + m + 1) * sizeof(tg_value);
    tg_value *const v = inner ? tg__allocate(&memory, bytes) : NULL;
    snprintf(why, MESSAGE, "no memory");
    if (!v) return TG_ERROR_MEMORY;
    memset(v, 0, bytes);
    for (int i = 0; i < n; i++) v[i] = leaf_of(inner, x[i]);
    const bool ok =
        !inner->failed && ((tg_recompute_function *)a->function)(inner, v, v + n, a->user);
    tg_code code = TG_OK;
    if (inner->failed) {
        code = inner->error.code;
        snprintf(why, MESSAGE, "%.255s", inner->message);
    } else if (!ok || !results_are_right(inner, v + n, m, why)) {
        if (!ok) snprintf(why, MESSAGE, "the function failed");
        code = TG_ERROR_ARGUMENT;
    }
    inner->walk.used = 0;
    void *const kept = code ? NULL : tg__arena_push(&inner->walk, bytes);
    if (kept) memcpy(kept, v, bytes);
    else if (!code) code = TG_ERROR_MEMORY;
    tg__deallocate(&memory, v, bytes);
    if (code) tg_reset(inner);
    return code;
}

static tg_code record_for(const tg__call *c)
{
    char why[MESSAGE];
    tg__array *const x = tg__scratch(c, ((size_t)c->n + 1) * sizeof *x);
    if (!x) return TG_ERROR_MEMORY;
    for (int i = 0; i < c->n; i++) {
        x[i] = (tg__array){ c->x[i].s, tg__adjacent(c, c->x[i]) };
        if (!x[i].p) return TG_ERROR_MEMORY;
    }
    const tg_code code = record(c->attributes, x, c->n, why);
    if (code) return tg__fail(c, code, "%s", why);
    const tg_call_attributes *const a = c->attributes;
    const stretch s = stretch_of(a, c->n);
    int64_t total = 0;
    for (uint32_t i = 0; i < a->states; i++) total += tg__value_array(s.inner, s.y[i].id).s->n;
    if (total == a->steps) return TG_OK;
    forget(s.inner);
    return tg__fail(c, TG_ERROR_SHAPE, "the outputs have other shapes than when it was recorded");
}

/* ---- rules --------------------------------------------------------------------------------------- */

static tg_code recompute_shape(const tg__call *c, tg__shape *y)
{
    y->rank = 1;
    y->dim[0] = ((const tg_call_attributes *)c->attributes)->steps;
    return TG_OK;
}

static tg_code recompute_forward(const tg__call *c)
{
    const tg_call_attributes *const a = c->attributes;
    const tg_tape *const there = outer_of(a)->inner; /* at its recording it is */
    const tg_code code = there && there->walk.used ? TG_OK : record_for(c);
    if (code) return code;
    const stretch s = stretch_of(a, c->n);
    char *to = c->y.p;
    for (uint32_t i = 0; i < a->states; i++) {
        const tg__array y = tg__value_array(s.inner, s.y[i].id);
        tg__shape own = *y.s;
        tg__shape_finish(&own);
        tg__copy(c->k, (tg__array){ &own, to }, y);
        to += (size_t)y.s->n * tg__type_size(own.type);
    }
    forget(s.inner);
    return TG_OK;
}

/* The sum of cotangent * output. */
static tg_value along(const stretch *s, const tg_call_attributes *a, const char *g)
{
    tg_tape *const t = s->inner;
    tg_value sum = { NULL, 0, 0 };
    for (uint32_t i = 0; i < a->states && !t->failed; i++) {
        const tg__shape own = *tg__value_array(t, s->y[i].id).s;
        const tg_value by = tg_leaf_view(t, TG_CONSTANT, own.type, g, own.rank, own.dim, NULL);
        const tg_value both[] = { s->y[i], by };
        tg_value term = tg__record(TG__CODE_mul, both, 2, NULL, NULL);
        if (own.rank) term = tg__record(TG__CODE_sum, &term, 1, NULL, NULL);
        const tg_value terms[] = { sum, term };
        sum = sum.generation ? tg__record(TG__CODE_add, terms, 2, NULL, NULL) : term;
        g += (size_t)own.n * tg__type_size(own.type);
    }
    return sum;
}

static tg_code recompute_backward(const tg__call *c)
{
    const tg_code code = record_for(c);
    if (code) return code;
    const stretch s = stretch_of(c->attributes, c->n);
    const tg_value sum = along(&s, c->attributes, c->g);
    const bool has = !s.inner->failed && tg__has_gradient(s.inner, sum.id);
    const bool ok = !s.inner->failed && (!has || tg_backward(sum));
    for (int i = 0; ok && has && i < c->n; i++)
        if (c->dx[i].p) tg__add(c->k, c->dx[i], tg__adjoint_array(s.inner, s.x[i].id));
    const tg_code failed = ok ? TG_OK : tg__fail(c, s.inner->error.code, "%s", s.inner->message);
    forget(s.inner);
    return failed;
}

/* The stretch is recorded on the tape itself, from inputs that are as leaves to it. */
static void derive(tg__derivation *d, tg_value *v)
{
    const tg_call_attributes *const a = d->attributes;
    tg_tape *const t = outer_of(a);
    const tg_value one = tg__of_number(1);
    tg_value *const x = v, *const y = x + d->n, *const by = y + a->states,
                    *const wrt = by + a->states, *const dx = wrt + d->n;
    int wanted = 0;
    for (int i = 0; i < d->n; i++) {
        const tg_value twice[] = { d->x[i], one };
        x[i] = d->wanted[i] ? d->to->apply(d->to, TG__CODE_mul, twice, 2, NULL) : d->x[i];
        if (d->wanted[i]) wrt[wanted++] = x[i];
    }
    char why[MESSAGE];
    const bool ok = !t->failed && ((tg_recompute_function *)a->function)(t, x, y, a->user);
    if (t->failed) return;
    if (!ok || !results_are_right(t, y, a->states, why)) {
        d->to->fail(d->to, ok ? why : "the function failed");
        return;
    }
    int64_t offset = 0;
    for (uint32_t i = 0; i < a->states; i++) {
        const tg__shape s = *tg__value_array(t, y[i].id).s;
        by[i] = tg__derived_part(d, d->g, &offset, &s, -1);
    }
    if (t->failed || !wanted ||
        !tg__grad_values(d->to->linear, y, by, (int)a->states, wrt, wanted, dx, NULL))
        return;
    for (int i = 0, k = 0; i < d->n; i++)
        if (d->wanted[i]) d->dx[i] = dx[k++];
}

static void recompute_derive(tg__derivation *d)
{
    const tg_call_attributes *const a = d->attributes;
    tg__memory memory = { 0 };
    const size_t bytes = (3 * (size_t)d->n + 2 * (size_t)a->states + 1) * sizeof(tg_value);
    tg_value *const v = tg__allocate(&memory, bytes);
    if (!v) {
        d->to->fail(d->to, "no memory");
        return;
    }
    memset(v, 0, bytes);
    derive(d, v);
    tg__deallocate(&memory, v, bytes);
}

const tg__callee tg__recomputed = { "recompute", recompute_shape, recompute_forward,
                                    recompute_backward, recompute_derive, false };

/* Makes arrays adjacent, with memory of the arena. */
static bool make_adjacent(tg__arena *room, const tg__kernels *k, tg__array *x, int n)
{
    for (int i = 0; i < n; i++) {
        if (tg__shape_contiguous(x[i].s)) continue;
        tg__shape *const own = tg__arena_push(room, sizeof *own);
        if (!own) return false;
        *own = *x[i].s;
        tg__shape_finish(own);
        const size_t bytes = ((size_t)own->n + 1) * tg__type_size(own->type);
        const tg__array copy = { own, tg__arena_push(room, bytes) };
        if (!copy.p) return false;
        tg__copy(k, copy, x[i]);
        x[i] = copy;
    }
    return true;
}

/* ---- in programs --------------------------------------------------------------------------------- */

tg_program *tg__recompute_compile(const tg_call_attributes *a, tg__array *x, int n, tg__arena *room,
                                  const tg_compile_options *options, tg_status *status)
{
    char why[MESSAGE] = "no memory";
    const bool adjacent = make_adjacent(room, outer_of(a)->k, x, n);
    const tg_code code = adjacent ? record(a, x, n, why) : TG_ERROR_MEMORY;
    if (code) {
        tg__program_fail(status, code, "recompute", why);
        return NULL;
    }
    const stretch s = stretch_of(a, n);
    tg_program *const p = tg_compile(s.y, (int)a->states, NULL, 0, s.x, n, options, status);
    forget(s.inner);
    return p;
}

/* ---- recording ----------------------------------------------------------------------------------- */

/* The shapes of what the stretch on the inner tape gives, and how many elements in all. */
static tg__shape *shapes_of(tg_tape *t, const tg_call_attributes *a, int n, int64_t *total)
{
    const stretch s = stretch_of(a, n);
    tg__shape *const shape = tg__arena_push(&t->walk, (a->states + (size_t)1) * sizeof *shape);
    *total = 0;
    for (uint32_t i = 0; shape && i < a->states; i++) {
        shape[i] = *tg__value_array(s.inner, s.y[i].id).s;
        *total += shape[i].n;
    }
    return shape;
}

static bool record_all(tg_tape *t, tg_call_attributes *a, const tg_value *inputs, int n,
                       tg_value *outputs, const tg_site *site)
{
    static const char *const what = "recompute";
    char why[MESSAGE] = "no memory";
    tg__array *const x = tg__arena_push(&t->walk, (size_t)n * sizeof *x);
    for (int i = 0; x && i < n; i++) x[i] = tg__value_array(t, inputs[i].id);
    const bool adjacent = x && make_adjacent(&t->walk, t->k, x, n);
    tg_code code = adjacent ? record(a, x, n, why) : TG_ERROR_MEMORY;
    const tg__shape *const shape = code ? NULL : shapes_of(t, a, n, &a->steps);
    if (!code && !shape) code = TG_ERROR_MEMORY;
    if (code) {
        tg__error(t, code, what, site, "%s", why);
        return false;
    }
    const tg_value all = tg__record(TG__CODE_call, inputs, n, a, site);
    if (!all.generation) forget(t->inner); /* it may not have come to the forward rule */
    int64_t offset = 0;
    for (uint32_t i = 0; i < a->states && all.generation; i++) {
        outputs[i] = tg__next_part(all, &offset, &shape[i], -1, site);
        if (!outputs[i].generation) return false;
    }
    return all.generation;
}

bool tg_recompute_at(tg_recompute_function *function, void *user, const tg_value *inputs, int n,
                     tg_value *outputs, int m, const tg_site *site)
{
    static const char *const what = "recompute";
    if (!function || !inputs || n < 1 || !outputs || m < 1)
        return tg__call_refused(inputs, n, what, site, "the %s",
                                !function          ? "function is NULL"
                                : !inputs || n < 1 ? "list of inputs is empty"
                                                   : "list of outputs is empty");
    for (int i = 0; i < m; i++) outputs[i] = (tg_value){ NULL, 0, 0 };
    tg_tape *t = NULL;
    for (int i = 0; i < n; i++) {
        if (inputs[i].tape == TG__NUMBER)
            return tg__call_refused(inputs, n, what, site, "input %d is a number: make it a leaf",
                                    i);
        tg_tape *const own = tg__tape_of(inputs[i], what, site);
        if (!own) return false;
        if (t && own != t)
            return tg__call_refused(inputs, n, what, site, "the inputs are values of two tapes");
        t = own;
    }
    tg_call_attributes a = { .callee = &tg__recomputed,
                             .what = t,
                             .user = user,
                             .function = (void (*)(void))function,
                             .states = (uint32_t)m };
    const size_t used = t->walk.used;
    const bool ok = record_all(t, &a, inputs, n, outputs, site);
    t->walk.used = used;
    return ok;
}
