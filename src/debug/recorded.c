/* Whether the two derivatives of a user's operation agree: what backward adds, and what .derivative
   records or .tangent computes. Without steps: <v, Ju> = <J'v, u> for random u and v, where J u is
   made of the one and J'v of the other, of the operation alone on a tape of its own. */
#include "debug/recorded.h"

#include <math.h>
#include <string.h>

#include <tapegrad/derivatives.h>

/* How far the two may be apart by rounding, relative to their terms. */
static const double identity = 1e-6;

typedef struct subject {
    tg_tape *t;
    tg_value *x, *wrt; /* operands, and those of them that a gradient is wanted for */
    int n, m;          /* how many */
    double *u, *Jtv;   /* of all elements of wrt */
    double *v, *Ju;    /* of the elements of the result */
    size_t size_x, size_y;
} subject;

/* The operand as a leaf, its elements in row-major order. */
static tg_value copy_operand(tg__look *l, subject *s, tg__array x, bool wanted)
{
    const bool integer = x.s->type == TG_I64;
    void *const room = tg__look_room(l, (uint64_t)x.s->n + 1, sizeof(double));
    if (!room) return (tg_value){ 0 };
    for (int64_t k = 0; k < x.s->n; k++) {
        const double a = tg__element(x, k);
        if (integer) ((int64_t *)room)[k] = (int64_t)a;
        else ((double *)room)[k] = a;
    }
    if (wanted) s->size_x += (size_t)x.s->n;
    return tg_leaf_new(s->t,
                       wanted    ? TG_PARAMETER
                       : integer ? TG_INPUT
                                 : TG_CONSTANT,
                       integer ? TG_I64 : TG_F64, room, x.s->rank, x.s->dim, NULL);
}

static bool make_operands(tg__look *l, const tg__play *p, subject *s)
{
    s->n = p->call.n;
    s->x = tg__look_room(l, (uint64_t)s->n, sizeof *s->x);
    s->wrt = tg__look_room(l, (uint64_t)s->n, sizeof *s->wrt);
    if (!s->x || !s->wrt) return false;
    for (int j = 0; j < s->n; j++) {
        const bool wanted = p->x[j].s->type != TG_I64 && tg__play_wants(l, p, j);
        s->x[j] = copy_operand(l, s, p->x[j], wanted);
        if (!s->x[j].tape) return tg__look_no_memory(l);
        if (wanted) s->wrt[s->m++] = s->x[j];
    }
    return true;
}

static double product(const double *a, const double *b, size_t n, double *terms)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        sum += a[i] * b[i];
        *terms += fabs(a[i] * b[i]);
    }
    return sum;
}

static bool compare(tg__look *l, subject *s, const tg_custom *op, tg__recorded *r)
{
    uint64_t random = 11;
    const tg_value y = tg_custom_apply_at(op, s->x, s->n, NULL);
    if (tg_error_of(s->t)) return true;
    s->size_y = (size_t)tg_size(y);
    double **const room[] = { &s->u, &s->Jtv, &s->v, &s->Ju };
    for (int i = 0; i < 4; i++)
        if (!(*room[i] = tg__look_room(l, (i < 2 ? s->size_x : s->size_y) + 1, sizeof(double))))
            return false;
    for (size_t i = 0; i < s->size_x; i++) s->u[i] = tg__weight(&random);
    for (size_t i = 0; i < s->size_y; i++) s->v[i] = tg__weight(&random);
    if (!tg_jvp(y, s->wrt, s->m, s->u, 1, s->Ju) || !tg_vjp(y, s->wrt, s->m, s->v, 1, s->Jtv))
        return true;
    double terms = 0;
    r->there = product(s->v, s->Ju, s->size_y, &terms);
    r->back = product(s->Jtv, s->u, s->size_x, &terms);
    r->compared = isfinite(r->there) && isfinite(r->back);
    r->wrong = r->compared && fabs(r->there - r->back) > identity * terms;
    return true;
}

bool tg__compare_recorded(tg__look *l, const tg__play *p, tg__recorded *r)
{
    const tg_custom *const op = ((const tg_custom_attributes *)p->call.attributes)->op;
    *r = (tg__recorded){ .compared = false };
    if (l->t->type != TG_F64 || !op->backward || (!op->derivative && !op->tangent)) return true;
    const tg_allocator *const allocator = &l->memory.allocator;
    const tg_tape_options options = { .on_error = tg_ignore_error,
                                      .allocator = allocator->allocate ? allocator : NULL };
    subject s = { .t = tg_tape_new(&options) };
    if (!s.t) return tg__look_no_memory(l);
    r->what = op->derivative ? "derivative" : "tangent";
    const bool ok = make_operands(l, p, &s) && (s.m == 0 || compare(l, &s, op, r));
    tg_tape_free(s.t);
    return ok;
}
