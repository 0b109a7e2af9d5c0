/* Operations of the user's own: rules that call the functions of a tg_custom. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ops/op.h"

static const tg_custom *custom_of(const void *attributes)
{
    return ((const tg_custom_attributes *)attributes)->op;
}

/* ---- calling --------------------------------------------------------------------------------- */

bool tg_custom_fail(const tg_custom_call *c, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(c->message, c->message_size, format, args);
    va_end(args);
    return false;
}

static tg_array as_public(const tg__shape *s, const void *p)
{
    return (tg_array){ s->type, s->rank, s->n, s->dim, (void *)(uintptr_t)p };
}

/* The user's view of a call: x with adjacent elements (not for shape rules), nothing else yet. */
static tg_code open_call(const tg__call *c, int n, bool data, tg_custom_call *u)
{
    tg_array *const x = tg__scratch(c, 2 * (size_t)n * sizeof *x);
    bool *const wanted = tg__scratch(c, (size_t)n * sizeof *wanted);
    if (!x || !wanted) return TG_ERROR_MEMORY;
    for (int i = 0; i < n; i++) {
        x[i] = as_public(c->x[i].s, data ? tg__adjacent(c, c->x[i]) : NULL);
        x[n + i] = as_public(c->x[i].s, NULL);
        wanted[i] = false;
        if (data && !x[i].data) return TG_ERROR_MEMORY;
    }
    *u = (tg_custom_call){ .n = n,
                           .x = x,
                           .dx = x + n,
                           .wanted = wanted,
                           .user = custom_of(c->attributes)->user,
                           .message = c->message,
                           .message_size = c->message_size };
    if (data) u->y = as_public(c->y.s, c->y.p);
    snprintf(c->message, c->message_size, "it failed and did not say why");
    return TG_OK;
}

static tg_code result_of(bool ok)
{
    return ok ? TG_OK : TG_ERROR_ARGUMENT;
}

static void set_dx(tg_custom_call *u, int i, const void *p)
{
    ((tg_array *)(uintptr_t)u->dx)[i].data = (void *)(uintptr_t)p;
    ((bool *)(uintptr_t)u->wanted)[i] = p != NULL;
}

/* What is not wanted has room all the same, of zeros: a user's function that forgets to ask writes,
   or reads, there. */
static bool fill_up(const tg__call *c, tg_custom_call *u)
{
    tg_array *const dx = (tg_array *)(uintptr_t)u->dx;
    for (int i = 0; i < u->n; i++) {
        if (dx[i].data) continue;
        const size_t bytes = ((size_t)dx[i].size + 1) * sizeof(double);
        dx[i].data = tg__scratch(c, bytes);
        if (!dx[i].data) return false;
        memset(dx[i].data, 0, bytes);
    }
    return true;
}

/* ---- the operation --------------------------------------------------------------------------- */

/* Recorded by tg_custom_apply only: by name there is no function to call. */
TG_PART(custom, "a*", custom, "an operation of the user's own")

SHAPE(custom)
{
    const tg_custom *const op = custom_of(c->attributes);
    if (!op) return tg__fail(c, TG_ERROR_ARGUMENT, "tg_custom_apply records it");
    y->type = TG_F64; /* of the tape's floating type */
    y->rank = c->x[0].s->rank;
    memcpy(y->dim, c->x[0].s->dim, sizeof y->dim);
    if (!op->shape) return TG_OK;
    tg_custom_call u;
    if (open_call(c, c->n, false, &u)) return TG_ERROR_MEMORY;
    if (!op->shape(&u, &y->rank, y->dim)) return TG_ERROR_SHAPE;
    if (y->rank >= 0 && y->rank <= TG_MAX_RANK) return TG_OK;
    return tg__fail(c, TG_ERROR_SHAPE, "its result would have %d axes", y->rank);
}

FORWARD(custom)
{
    tg_custom_call u;
    const tg_code code = open_call(c, c->n, true, &u);
    return code ? code : result_of(custom_of(c->attributes)->forward(&u));
}

BACKWARD(custom)
{
    tg_custom_call u;
    if (!custom_of(c->attributes)->backward) return TG_OK;
    const tg_code code = open_call(c, c->n, true, &u);
    if (code) return code;
    u.g = as_public(c->y.s, c->g);
    for (int i = 0; i < c->n; i++) {
        if (!c->dx[i].p) continue;
        set_dx(&u, i, tg__gradient_begin(c, i));
        if (!u.wanted[i]) return TG_ERROR_MEMORY;
    }
    if (!fill_up(c, &u)) return TG_ERROR_MEMORY;
    if (!custom_of(c->attributes)->backward(&u)) return TG_ERROR_ARGUMENT;
    for (int i = 0; i < c->n; i++)
        if (u.wanted[i]) tg__gradient_end(c, i, u.dx[i].data);
    return TG_OK;
}

/* Without a derivative, the gradient by each operand is recorded as an operation whose value comes
   from backward; it can itself be differentiated by g only, if there is a tangent. */
static void pull_back(tg__derivation *d)
{
    tg_value all[TG__CUSTOM_OPERANDS + 1];
    if (d->n > TG__CUSTOM_OPERANDS) {
        d->to->fail(d->to, "too many operands for a recorded gradient without .derivative");
        return;
    }
    all[0] = d->g;
    for (int i = 0; i < d->n; i++) all[1 + i] = d->x[i];
    for (int i = 0; i < d->n; i++) {
        if (!d->wanted[i]) continue;
        const tg_custom_attributes a = { custom_of(d->attributes), i, d->to->linear };
        d->dx[i] = d_custom_gradient(d, all, d->n + 1, &a);
    }
}

DERIVATIVE(custom)
{
    const tg_custom *const op = custom_of(d->attributes);
    if (!op->backward) return;
    if (!op->derivative) {
        pull_back(d);
        return;
    }
    if (d->to->custom) {
        d->to->custom(d->to, d, op);
        return;
    }
    const tg_custom_derivation u = { d->n, d->x, d->y, d->g, d->wanted, d->dx, op->user };
    if (!op->derivative(&u)) d->to->fail(d->to, "its derivative failed");
}

CASES(custom, { .n = 0 })

/* ---- its gradient, where there is no recorded derivative ------------------------------------- */

TG_PART(custom_gradient, "a*", custom, "the gradient of a user's operation by one operand")

SHAPE(custom_gradient)
{
    const int i = ((const tg_custom_attributes *)c->attributes)->operand;
    tg__shape_copy(y, c->x[1 + i].s);
    return TG_OK;
}

/* The call as the operation itself sees it: without g in front. */
static tg__call inner_call(const tg__call *c)
{
    tg__call inner = *c;
    inner.n = c->n - 1;
    inner.x = c->x + 1;
    return inner;
}

/* An array of this shape, adjacent, in scratch memory; false when there is none. */
static bool make_like(const tg__call *c, const tg__shape *like, tg__array *a)
{
    tg__shape *const s = tg__scratch(c, sizeof *s);
    if (!s) return false;
    tg__shape_copy(s, like);
    tg__shape_finish(s);
    *a = (tg__array){ s, tg__scratch(c, ((size_t)s->n + 1) * tg__type_size(s->type)) };
    return a->p;
}

/* The operation's result, which backward and tangent may read. */
static tg_code result_again(const tg__call *c, tg_custom_call *u)
{
    tg__array y;
    if (!make_like(c, c->x[0].s, &y)) return TG_ERROR_MEMORY;
    u->y = as_public(y.s, y.p);
    return result_of(custom_of(c->attributes)->forward(u));
}

FORWARD(custom_gradient)
{
    const int i = ((const tg_custom_attributes *)c->attributes)->operand;
    const tg__call inner = inner_call(c);
    tg_custom_call u;
    tg_code code = open_call(&inner, inner.n, true, &u);
    if (!code) code = result_again(c, &u);
    if (code) return code;
    u.g = as_public(c->x[0].s, tg__adjacent(c, c->x[0]));
    if (!u.g.data) return TG_ERROR_MEMORY;
    set_dx(&u, i, c->y.p);
    c->k->fill(c->y.s->n, c->y.p, 1, 0);
    if (!fill_up(&inner, &u)) return TG_ERROR_MEMORY;
    return result_of(custom_of(c->attributes)->backward(&u));
}

BACKWARD(custom_gradient)
{
    const tg_custom_attributes *const a = c->attributes;
    bool second = false;
    for (int i = 1; i < c->n; i++) second |= c->dx[i].p != NULL;
    if (second && !a->linear)
        return tg__fail(c, TG_ERROR_HISTORY,
                        "%s has no .derivative: it cannot be differentiated twice", a->op->name);
    if (!c->dx[0].p) return TG_OK;
    if (!a->op->tangent)
        return tg__fail(c, TG_ERROR_HISTORY, "%s has neither .derivative nor .tangent",
                        a->op->name);
    const tg__call inner = inner_call(c);
    tg_custom_call u;
    tg_code code = open_call(&inner, inner.n, true, &u);
    if (!code) code = result_again(c, &u);
    if (code) return code;
    set_dx(&u, a->operand, c->g);
    tg__array made;
    if (!fill_up(&inner, &u) || !make_like(c, c->x[0].s, &made)) return TG_ERROR_MEMORY;
    const tg_array dy = as_public(made.s, made.p);
    u.dy = &dy;
    if (!a->op->tangent(&u)) return TG_ERROR_ARGUMENT;
    tg__add(c->k, c->dx[0], made);
    return TG_OK;
}

DERIVATIVE(custom_gradient)
{
    d->to->fail(d->to, "it has no .derivative: it cannot be differentiated twice");
}

CASES(custom_gradient, { .n = 0 })
