/* Kinks and jumps near to the values on a tape. What differs between x + hu and x - hu for a small h
   by far more than it changes on the way from there to larger h, jumps. For counting, each operation
   is moved by itself; along a line through a leaf they move as the leaf moves them, each run with
   a copy of the tape's values of its own. */
#include <math.h>
#include <string.h>

#include "codes.h" /* generated */
#include "debug/trial.h"

/* Runs: + and - with the large step, + and - with the small one. */
enum { RUNS = 4, SMALL = 2 };

typedef struct runs {
    void *y[RUNS];
    void **dx[RUNS]; /* by operand */
} runs;

typedef struct count {
    tg_kinks *k;
    uint64_t random;
    double h, shrink; /* the large step, and how much smaller the small one is */
    double least;     /* differences below this part of the numbers are rounding */
    char *varies; /* by instruction: depends on something with a gradient, or on the line's leaf */
    char *run[RUNS]; /* along a line: the tape's values in each run; else NULL */
} count;

static bool is_jump(const count *c, double a, double b, double near_a, double near_b)
{
    if (!isfinite(a) || !isfinite(b) || !isfinite(near_a) || !isfinite(near_b)) return false;
    return fabs(a - b) > c->least * (fabs(a) + fabs(b)) &&
           fabs(near_a - near_b) > 2 * (fabs(a - near_a) + fabs(b - near_b));
}

/* How many of n elements jump between the runs, and which one is the first. */
static size_t jumps(const count *c, tg_type type, int64_t n, void *const *run, int64_t *first)
{
    size_t found = 0;
    for (int64_t k = n; k-- > 0;) {
        double v[RUNS];
        for (int i = 0; i < RUNS; i++) v[i] = tg__get(run[i], type, k);
        if (!is_jump(c, v[0], v[1], v[2], v[3])) continue;
        found++;
        *first = k;
    }
    return found;
}

static double step_of(const count *c, int run)
{
    return (run % 2 ? -1 : 1) * (run < SMALL ? c->h : c->h / c->shrink);
}

/* The operands as they are in this run. */
static void move_to(tg__look *l, const count *c, tg__trial *r, int run)
{
    const size_t element = l->t->element;
    if (!c->run[run]) {
        tg__trial_at(l, r, step_of(c, run));
        return;
    }
    for (int j = 0; j < r->p.call.n; j++) {
        const tg__moved *const m = &r->moved[j];
        if (m->n == 0) continue;
        memcpy(m->x, c->run[run] + tg__range_of(l->t, r->p.id[j]).first * element,
               (size_t)m->n * element);
    }
}

/* g NULL: forward. False where a rule refuses. */
static bool run_all(tg__look *l, const count *c, tg__trial *r, const void *g, const runs *s)
{
    const tg__array y = r->p.call.y;
    for (int i = 0; i < RUNS; i++) {
        move_to(l, c, r, i);
        const tg_code code =
            g ? tg__trial_backward(l, r, s->y[i], g, s->dx[i]) : tg__trial_forward(l, r, s->y[i]);
        if (code != TG_OK) return false;
        if (c->run[i] && !g)
            memcpy(c->run[i] + ((const char *)y.p - l->t->values.data), s->y[i],
                   (size_t)y.s->n * l->t->element);
    }
    return true;
}

/* "relu (%3) of model.c:7 has a kink at x[2] = 0: x = [1, -1, 0]" */
static void note(tg__look *l, const count *c, uint32_t i, const tg__play *p, int operand, int64_t k)
{
    tg_kinks *const found = c->k;
    if (found->place.op) return;
    tg__text x = { found->message, sizeof found->message, 0 };
    found->place = tg__place_of(l, i);
    found->place.operand = operand;
    found->place.element = k;
    tg__say_place(&x, &found->place);
    tg__say(&x, operand < 0 ? " jumps" : " has a kink");
    if (operand >= 0) {
        const tg__array a = tg__value_array(l->t, p->id[operand]);
        tg__say(&x, " at ");
        tg__say_value(l, &x, p->id[operand]);
        tg__say_element(&x, a.s, k);
        if (k >= 0) tg__say(&x, " = "), tg__say_number(&x, tg__element(a, k));
    } else if (p->call.y.s->rank) {
        tg__say(&x, " at its element ");
        tg__say_element(&x, p->call.y.s, k);
    }
    if (operand >= 0 && p->call.n == 1 && p->x[0].s->rank == 0) return;
    tg__say(&x, ": ");
    tg__say_operands(l, &x, i);
}

/* The row-major number of the element at this place of a moved operand's copy; -1: a gap. */
static int64_t number_of(const tg__moved *m, const tg__shape *s, int64_t place)
{
    for (int64_t k = 0; k < s->n; k++)
        if (tg__offset_of_element(s, k) + m->origin == place) return k;
    return -1;
}

static void count_in(tg__look *l, count *c, uint32_t i, tg__trial *r, const runs *s, const void *g)
{
    const tg_type type = l->t->type;
    int64_t first = -1;
    if (!run_all(l, c, r, NULL, s)) return;
    c->k->checked++;
    size_t found = jumps(c, type, r->p.call.y.s->n, s->y, &first);
    c->k->jumps += found;
    if (found) note(l, c, i, &r->p, -1, first);
    if (!run_all(l, c, r, g, s)) return;
    for (int j = 0; j < r->p.call.n; j++) {
        void *const dx[] = { s->dx[0][j], s->dx[1][j], s->dx[2][j], s->dx[3][j] };
        if (!dx[0]) continue;
        found = jumps(c, type, r->moved[j].n, dx, &first);
        c->k->kinks += found;
        if (found) note(l, c, i, &r->p, j, number_of(&r->moved[j], r->p.x[j].s, first));
    }
}

static bool is_impure(const tg__play *p)
{
    if (p->call.code != TG__CODE_custom) return false;
    const tg_custom_attributes *const a = p->call.attributes;
    return a->op->impure;
}

static bool look_at(tg__look *l, count *c, uint32_t i)
{
    const tg__shape *const y = tg__value_array(l->t, l->t->head.code[i].y).s;
    tg__trial r;
    runs s;
    if (y->type == TG_I64 || y->n == 0) return true;
    if (!tg__trial_begin(l, i, &r)) return false;
    if (is_impure(&r.p)) return true;
    for (int k = 0; k < RUNS; k++) {
        s.y[k] = tg__trial_room(l, &r, y->n);
        s.dx[k] = tg__trial_room(l, &r, r.p.call.n);
        if (!s.y[k] || !s.dx[k]) return false;
    }
    bool any = false;
    for (int j = 0; j < r.p.call.n; j++) {
        const tg__shape *const x = r.p.x[j].s;
        if (x->type == TG_I64 || x->n == 0 || !c->varies[tg__look_maker(l, r.p.id[j])]) continue;
        if (tg__first_nonfinite(r.p.x[j], false) >= 0) return true;
        if (!tg__trial_move(l, &r, j, &c->random)) return false;
        any = true;
        for (int k = 0; k < RUNS && tg__play_wants(l, &r.p, j); k++)
            if (!(s.dx[k][j] = tg__trial_room(l, &r, r.moved[j].n))) return false;
    }
    void *const g = tg__trial_room(l, &r, y->n);
    if (!any || !g) return !any;
    for (int64_t k = 0; k < y->n; k++) tg__put(g, y->type, k, tg__weight(&c->random));
    tg__trial_ready(l, &r);
    count_in(l, c, i, &r, &s, g);
    return true;
}

/* Looks at what depends on one leaf, or, without one, on any that has a gradient. */
static bool look_at_all(tg__look *l, count *c, int64_t leaf)
{
    c->varies = tg__look_room(l, l->last + (uint64_t)1, 1);
    if (!c->varies) return false;
    for (uint32_t i = 0; i <= l->last; i++) {
        const tg__instruction *const in = &l->t->head.code[i];
        uint32_t room[2];
        int n;
        if (!tg__look_needs(l, i)) continue;
        if (in->op == TG__LEAF) {
            c->varies[i] = leaf >= 0 ? i == leaf : tg__has_gradient(l->t, in->y);
            continue;
        }
        const uint32_t *const id = tg__operand_ids(l->t, in, room, &n);
        for (int j = 0; j < n; j++) c->varies[i] |= c->varies[tg__look_maker(l, id[j])];
        if (c->varies[i] && !look_at(l, c, i)) return false;
        if (leaf >= 0 && c->k->place.op) return true;
    }
    return true;
}

static count defaults(const tg__look *l, tg_kinks *k)
{
    const bool f64 = l->t->type == TG_F64;
    return (count){
        .k = k, .random = 20, .h = f64 ? 0x1p-18 : 0x1p-10, .shrink = 16, .least = f64 ? 1e-6 : 1e-3
    };
}

bool tg_count_kinks(tg_value loss, tg_kinks *kinks, tg_status *status)
{
    tg__look l;
    tg_kinks none;
    if (!kinks) kinks = &none;
    *kinks = (tg_kinks){ .kinks = 0 };
    bool ok = tg__look_begin(&l, "count_kinks", loss, status);
    if (ok) {
        count c = defaults(&l, kinks);
        ok = look_at_all(&l, &c, -1);
    }
    tg__look_end(&l);
    return ok;
}

/* ---- along a line ---------------------------------------------------------------------------- */

/* The values of the tape for each run, with the leaf moved. */
static bool make_runs(tg__look *l, count *c, tg_value w, const double *u)
{
    const tg_tape *const t = l->t;
    const tg__array x = tg__value_array(t, w.id);
    for (int i = 0; i < RUNS; i++) {
        c->run[i] = tg__look_room(l, t->head.n_values, t->element);
        if (!c->run[i]) return false;
        memcpy(c->run[i], t->values.data, t->head.n_values * t->element);
        const tg__array moved = { x.s, c->run[i] + ((const char *)x.p - t->values.data) };
        for (int64_t k = 0; k < x.s->n; k++)
            tg__set_element(moved, k, tg__element(x, k) + step_of(c, i) * u[k]);
    }
    return true;
}

/* Whether w can be moved. */
static bool is_movable(tg__look *l, tg_value w, const double *u, double step)
{
    if (!tg__look_takes(l, w, "w")) return false;
    const uint32_t maker = tg__look_maker(l, w.id);
    if (l->t->head.code[maker].op != TG__LEAF || l->t->head.code[maker].y != w.id)
        return tg__look_fail(l, TG_ERROR_ARGUMENT, "w is no leaf");
    if (tg__value_array(l->t, w.id).s->type == TG_I64)
        return tg__look_fail(l, TG_ERROR_TYPE, "w is an index tensor");
    if (w.id & TG__DESCRIPTOR && tg__descriptor_of(l->t, w.id)->external)
        return tg__look_fail(l, TG_ERROR_ARGUMENT, "w lies in memory of the caller");
    if (!u || !(step > 0))
        return tg__look_fail(l, TG_ERROR_ARGUMENT,
                             "there is no line: u is NULL or "
                             "the step not above 0");
    return true;
}

bool tg_find_kink(tg_value loss, tg_value w, const double *u, double step, tg_kinks *found,
                  tg_status *status)
{
    tg__look l;
    tg_kinks none;
    if (!found) found = &none;
    *found = (tg_kinks){ .kinks = 0 };
    bool ok = tg__look_begin(&l, "find_kink", loss, status) && is_movable(&l, w, u, step);
    if (ok) {
        count c = defaults(&l, found);
        c.h = step;
        c.shrink = 4;
        const uint32_t leaf = tg__look_maker(&l, w.id);
        ok = leaf > l.last || (make_runs(&l, &c, w, u) && look_at_all(&l, &c, leaf));
    }
    tg__look_end(&l);
    return ok;
}
