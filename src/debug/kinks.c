/* Kinks and jumps near to the values on a tape. Smooth derivatives differ at x + hu and x - hu in
   proportion to h: what stays the same with a sixteenth of h is a kink. */
#include <math.h>

#include "codes.h" /* generated */
#include "debug/trial.h"

enum {
    SHRINK = 16,
    LARGE = 0,
    SMALL = 2
}; /* runs: + and - with the large step, with the small one */

typedef struct runs {
    void *y[4];
    void **dx[4]; /* by operand */
} runs;

typedef struct count {
    tg_kinks *k;
    uint64_t random;
    double h, least; /* differences below this part of the numbers are rounding */
    char *varies;    /* by instruction: depends on something with a gradient */
} count;

static bool is_jump(const count *c, double a, double b, double near_a, double near_b)
{
    if (!isfinite(a) || !isfinite(b) || !isfinite(near_a) || !isfinite(near_b)) return false;
    const double far = fabs(a - b), near = fabs(near_a - near_b);
    return far > c->least * (fabs(a) + fabs(b)) && near > 0.5 * far && near < 2 * far;
}

/* How many of n elements jump between the runs, and which one is the first. */
static size_t jumps(const count *c, tg_type type, int64_t n, void *const *run, int64_t *first)
{
    size_t found = 0;
    for (int64_t k = n; k-- > 0;) {
        double v[4];
        for (int i = 0; i < 4; i++) v[i] = tg__get(run[i], type, k);
        if (!is_jump(c, v[0], v[1], v[2], v[3])) continue;
        found++;
        *first = k;
    }
    return found;
}

/* g NULL: forward. False where a rule refuses. */
static bool run_all(tg__look *l, const count *c, tg__trial *r, const void *g, const runs *s)
{
    for (int i = 0; i < 4; i++) {
        tg__trial_at(l, r, (i % 2 ? -1 : 1) * (i < SMALL ? c->h : c->h / SHRINK));
        const tg_code code =
            g ? tg__trial_backward(l, r, s->y[i], g, s->dx[i]) : tg__trial_forward(l, r, s->y[i]);
        if (code != TG_OK) return false;
    }
    return true;
}

static void note(tg__look *l, const count *c, uint32_t i, int operand, int64_t k)
{
    tg_kinks *const found = c->k;
    if (found->place.op) return;
    tg__text x = { found->message, sizeof found->message, 0 };
    found->place = tg__place_of(l, i);
    found->place.operand = operand;
    found->place.element = k;
    tg__say_place(&x, &found->place);
    tg__say(&x, operand < 0 ? " jumps here: " : " has a kink here: ");
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
    if (found) note(l, c, i, -1, first);
    if (!run_all(l, c, r, g, s)) return;
    for (int j = 0; j < r->p.call.n; j++) {
        void *const dx[] = { s->dx[0][j], s->dx[1][j], s->dx[2][j], s->dx[3][j] };
        if (!dx[0]) continue;
        found = jumps(c, type, r->moved[j].n, dx, &first);
        c->k->kinks += found;
        if (found) note(l, c, i, j, number_of(&r->moved[j], r->p.x[j].s, first));
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
    for (int k = 0; k < 4; k++) {
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
        for (int k = 0; k < 4 && tg__play_wants(l, &r.p, j); k++)
            if (!(s.dx[k][j] = tg__trial_room(l, &r, r.moved[j].n))) return false;
    }
    void *const g = tg__trial_room(l, &r, y->n);
    if (!any || !g) return !any;
    for (int64_t k = 0; k < y->n; k++) tg__put(g, y->type, k, tg__weight(&c->random));
    tg__trial_ready(l, &r);
    count_in(l, c, i, &r, &s, g);
    return true;
}

static bool count_all(tg__look *l, count *c)
{
    c->varies = tg__look_room(l, l->last + (uint64_t)1, 1);
    if (!c->varies) return false;
    for (uint32_t i = 0; i <= l->last; i++) {
        const tg__instruction *const in = &l->t->head.code[i];
        uint32_t room[2];
        int n;
        if (!tg__look_needs(l, i)) continue;
        if (in->op == TG__LEAF) {
            c->varies[i] = tg__has_gradient(l->t, in->y);
            continue;
        }
        const uint32_t *const id = tg__operand_ids(l->t, in, room, &n);
        for (int j = 0; j < n; j++) c->varies[i] |= c->varies[tg__look_maker(l, id[j])];
        if (c->varies[i] && !look_at(l, c, i)) return false;
    }
    return true;
}

bool tg_count_kinks(tg_value loss, tg_kinks *kinks, tg_status *status)
{
    tg__look l;
    tg_kinks none;
    if (!kinks) kinks = &none;
    *kinks = (tg_kinks){ .kinks = 0 };
    bool ok = tg__look_begin(&l, "count_kinks", loss, status);
    if (ok) {
        const bool f64 = l.t->type == TG_F64;
        ok = count_all(&l, &(count){ .k = kinks,
                                     .random = 20,
                                     .h = f64 ? 0x1p-18 : 0x1p-10,
                                     .least = f64 ? 1e-6 : 1e-3 });
    }
    tg__look_end(&l);
    return ok;
}
