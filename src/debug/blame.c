/* Which operation's derivative is wrong. Each is checked by itself: the function t -> g . f(x + t u),
   for a random cotangent g and a direction u in one operand, has at 0 the slope u . J'g, where J'g
   is what the backward rule adds. Differences of the forward rule are extrapolated as in
   src/check/gradcheck.c (Ridders, 1982), with an error estimate; where that is large, or the slopes
   from both sides differ, nothing is said. */
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codes.h" /* generated */
#include "debug/recorded.h"
#include "debug/rule.h"

enum { ROWS = 16, COLUMNS = 5, SHRINKS = 14, ELEMENTS = 1000, OPERANDS = 16 };

/* Ulps by which an element of a value may be off; the largest relative error estimate with which two
   numbers can differ. */
static const double rounding_ulps = 8, doubt = 0.01;

typedef struct blame {
    tg_blame_report *report;
    uint64_t random;
    double rtol, epsilon, step;
    double tiny;      /* values below it have lost digits */
    tg__arena shadow; /* for rules */
} blame;

/* What is compared in one operation. */
typedef struct subject {
    tg__look *l;
    blame *b;
    tg__trial r;
    uint32_t i;
    int operand;
    int64_t n;                  /* elements of the result */
    void *g, *y, *plus, *minus; /* (n) */
    void *dx, *twice;           /* as the operand's copy */
    void **into;                /* by operand: where its gradient goes */
    double magnitude;           /* sum |g y| */
    bool is_rule;
    tg__rule_trial rule;
} subject;

/* A slope at t = 0. */
typedef struct slope {
    double value, error;
    bool trusted;
} slope;

/* ---- slopes ---------------------------------------------------------------------------------- */

/* The result at x + t u. False where the rule refuses. */
static bool value_at(subject *s, double t, void *y)
{
    tg__trial_at(s->l, &s->r, t);
    return s->is_rule ? tg__rule_value(s->l, &s->rule, y)
                      : tg__trial_forward(s->l, &s->r, y) == TG_OK;
}

static double difference(const subject *s, const void *a, const void *b)
{
    const tg_type type = s->l->t->type;
    double sum = 0;
    for (int64_t k = 0; k < s->n; k++)
        sum += tg__get(s->g, type, k) * (tg__get(a, type, k) - tg__get(b, type, k));
    return sum;
}

typedef struct probe {
    double right, left, central;
    bool finite;
} probe;

static probe probe_at(subject *s, double h)
{
    probe p = { .finite = value_at(s, h, s->plus) && value_at(s, -h, s->minus) };
    if (!p.finite) return p;
    p.right = difference(s, s->plus, s->y) / h;
    p.left = difference(s, s->y, s->minus) / h;
    p.central = difference(s, s->plus, s->minus) / (2 * h);
    p.finite = isfinite(p.right) && isfinite(p.left);
    return p;
}

static double rounding(const subject *s, double h)
{
    return rounding_ulps * s->b->epsilon * s->magnitude / h;
}

static bool is_kink(const subject *s, const probe *before, const probe *now, double h)
{
    const double jump = fabs(now->right - now->left);
    const double moved = fabs(now->right - before->right) + fabs(now->left - before->left);
    return jump > 0.75 * fabs(before->right - before->left) && moved < 0.5 * jump &&
           jump > 100 * s->b->rtol * (fabs(now->right) + fabs(now->left)) &&
           jump > 10 * rounding(s, h);
}

/* One more row of the extrapolation for a step half as long; keeps the entry of the least error. */
static void extrapolate(const subject *s, int row, double h, double table[2][COLUMNS], slope *best)
{
    const double *const above = table[(row + 1) % 2];
    double *const now = table[row % 2], factor = 1;
    for (int j = 1; j <= row && j < COLUMNS; j++) {
        factor *= 4;
        now[j] = (factor * now[j - 1] - above[j - 1]) / (factor - 1);
        if (j == row) return;
        const double apart = fmax(fabs(now[j] - now[j - 1]), fabs(now[j] - above[j]));
        const double error = fmax(apart, fabs(now[j] - above[j - 1])) + rounding(s, h);
        if (error < best->error) *best = (slope){ now[j], error, true };
    }
}

static slope measure(subject *s, double scale)
{
    double table[2][COLUMNS], h = s->b->step * scale;
    slope best = { 0, INFINITY, false };
    probe p[2] = { probe_at(s, h) };
    for (int i = 0; i < SHRINKS && !p[0].finite; i++) p[0] = probe_at(s, h /= 4);
    int kinks = 0;
    for (int i = 0; i < ROWS && p[i % 2].finite; h /= 2) {
        table[i % 2][0] = p[i % 2].central;
        if (i > 0) {
            extrapolate(s, i, h, table, &best);
            kinks = is_kink(s, &p[(i + 1) % 2], &p[i % 2], h) ? kinks + 1 : 0;
            /* What was found from the other side of a kink is nothing. */
            if (kinks) best = (slope){ 0, INFINITY, false };
            const double enough = fmax(0.1 * s->b->rtol * fabs(best.value), 2 * rounding(s, h));
            if (!kinks && best.error <= enough) break;
        }
        if (++i < ROWS) p[i % 2] = probe_at(s, h / 2);
    }
    return best;
}

/* ---- judging --------------------------------------------------------------------------------- */

typedef enum judgement { RIGHT, WRONG, NOTHING } judgement;

/* The slope that the backward rule gives, and how large its terms are. */
static double analytic(const subject *s, double *terms)
{
    const tg__moved *const m = &s->r.moved[s->operand];
    double sum = 0, size = 0;
    for (int64_t k = 0; k < m->n; k++) {
        const double term = m->u[k] == 0 ? 0 : m->u[k] * tg__get(s->dx, s->l->t->type, k);
        sum += term;
        size += fabs(term);
    }
    *terms = size;
    return sum;
}

static judgement judge(subject *s, double *a, double *n)
{
    double terms;
    *a = analytic(s, &terms);
    const slope d = measure(s, 1);
    *n = d.value;
    if (!isfinite(*a) || !d.trusted) return NOTHING;
    if (s->magnitude > 0 && s->magnitude < s->b->tiny) return NOTHING;
    const double size = fmax(fabs(*a), fabs(d.value)), apart = fabs(*a - d.value);
    const double close = s->b->rtol * size + 64 * s->b->epsilon * terms;
    const bool clear = d.error <= fmax(doubt * fmax(size, terms), 10 * s->b->rtol * s->magnitude);
    if (apart <= close + d.error) return clear ? RIGHT : NOTHING;
    if (apart <= close + 10 * d.error || d.error > doubt * size) return NOTHING;
    const slope again = measure(s, 0.7);
    return again.trusted && fabs(again.value - d.value) <= 0.1 * apart ? WRONG : NOTHING;
}

/* Called twice, a rule that adds has added twice the same. */
static bool run_backward(subject *s, bool *adds)
{
    const tg_type type = s->l->t->type;
    const int64_t n = s->r.moved[s->operand].n;
    tg__trial_at(s->l, &s->r, 0);
    s->into[s->operand] = s->dx;
    if (tg__trial_backward(s->l, &s->r, s->y, s->g, s->into) != TG_OK) return false;
    memcpy(s->twice, s->dx, (size_t)n * s->l->t->element);
    s->into[s->operand] = s->twice;
    if (tg__trial_backward(s->l, &s->r, s->y, s->g, s->into) != TG_OK) return false;
    double largest = 0, apart = 0;
    for (int64_t k = 0; k < n; k++) {
        const double once = tg__get(s->dx, type, k), both = tg__get(s->twice, type, k);
        largest = fmax(largest, fabs(once));
        apart = fmax(apart, fabs(both - 2 * once));
    }
    *adds = !(apart > 1e-3 * largest);
    return true;
}

/* ---- telling --------------------------------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void accuse(subject *s, const char *format, ...)
{
    tg_blame_report *const report = s->b->report;
    if (report->wrong++) return;
    tg__text x = { report->message, sizeof report->message, 0 };
    va_list args;
    report->place = tg__place_of(s->l, s->i);
    report->place.operand = s->operand;
    tg__say_place(&x, &report->place);
    va_start(args, format);
    const int n = vsnprintf(x.p + x.used, x.size - x.used, format, args);
    va_end(args);
    if (n > 0) x.used += (size_t)n;
    tg__say(&x, ": ");
    tg__say_operands(s->l, &x, s->i);
}

static const char *operand_text(const subject *s, char *room, size_t size, int64_t element)
{
    tg__text x = { room, size, 0 };
    tg__say_value(s->l, &x, s->r.p.id[s->operand]);
    tg__say_element(&x, s->r.p.x[s->operand].s, element);
    return room;
}

/* The element whose derivative is most wrong; a direction's numbers if none stands out. */
static void accuse_element(subject *s, double a, double n)
{
    const tg__moved *const m = &s->r.moved[s->operand];
    const tg__array x = s->r.p.x[s->operand];
    int64_t worst = -1;
    if (s->b->report->wrong == 0 && x.s->n <= ELEMENTS) {
        double most = 0;
        for (int64_t k = 0; k < x.s->n; k++) {
            double here, there;
            const int64_t at = m->origin + tg__offset_of_element(x.s, k);
            memset(m->u, 0, (size_t)m->n * sizeof *m->u);
            m->u[at] = 1;
            if (judge(s, &here, &there) != WRONG || fabs(here - there) <= most) continue;
            most = fabs(here - there);
            worst = k;
            a = here;
            n = there;
        }
    }
    char name[128];
    accuse(s,
           " has a wrong gradient by %s%s: its backward rule gives %.8g, differences of its "
           "forward rule give %.8g (for %s)",
           operand_text(s, name, sizeof name, worst), worst < 0 ? " along a direction" : "", a, n,
           s->n == 1 ? "a cotangent that is not 1" : "random cotangents");
    if (s->b->report->wrong > 1) return;
    s->b->report->place.element = worst;
    s->b->report->analytic = a;
    s->b->report->numeric = n;
}

/* ---- one operation --------------------------------------------------------------------------- */

/* Room for what is compared; the operand's direction. */
static bool begin_operand(subject *s, bool *possible)
{
    tg__look *const l = s->l;
    const tg__shape *const y = tg__value_array(l->t, l->t->head.code[s->i].y).s;
    *possible = true;
    if (!tg__trial_begin(l, s->i, &s->r)) return false;
    if (!tg__trial_move(l, &s->r, s->operand, &s->b->random)) return false;
    s->n = y->n;
    void **const room[] = { &s->g, &s->y, &s->plus, &s->minus };
    for (int k = 0; k < 4; k++)
        if (!(*room[k] = tg__trial_room(l, &s->r, s->n))) return false;
    s->dx = tg__trial_room(l, &s->r, s->r.moved[s->operand].n);
    s->twice = tg__trial_room(l, &s->r, s->r.moved[s->operand].n);
    s->into = tg__trial_room(l, &s->r, s->r.p.call.n);
    if (!s->dx || !s->twice || !s->into) return false;
    for (int64_t k = 0; k < s->n; k++) tg__put(s->g, y->type, k, tg__weight(&s->b->random));
    s->is_rule = s->r.p.call.code == TG__CODE_carry && s->operand == 0;
    if (s->is_rule && !tg__rule_begin(l, &s->r, &s->b->shadow, &s->rule, possible))
        return tg__look_no_memory(l);
    tg__trial_ready(l, &s->r);
    return true;
}

/* Whether the forward rule gives again what is on the tape. */
static bool same_value(subject *s)
{
    const tg__array y = s->r.p.call.y;
    double largest = 0, apart = 0;
    s->magnitude = 0;
    for (int64_t k = 0; k < s->n; k++) {
        const double now = tg__get(s->y, y.s->type, k), then = tg__get(y.p, y.s->type, k);
        largest = fmax(largest, fabs(then));
        apart = fmax(apart, fabs(now - then));
        s->magnitude += fabs(tg__get(s->g, y.s->type, k) * now);
    }
    return apart <= 1e3 * s->b->rtol * largest;
}

/* Compares one operand's derivative. */
static bool check_operand(subject *s)
{
    tg_blame_report *const report = s->b->report;
    bool possible, adds;
    double a, n;
    if (!begin_operand(s, &possible)) return false;
    if (!possible || tg__first_nonfinite(s->r.p.call.y, false) >= 0 || !value_at(s, 0, s->y) ||
        !isfinite(difference(s, s->y, s->r.p.call.y.p))) {
        report->skipped++;
        return true;
    }
    if (!same_value(s)) {
        report->checked++;
        accuse(s, " gives another value now than it gave when it was recorded: a leaf was written "
                  "since, or it is not a function of its operands");
        return true;
    }
    if (!run_backward(s, &adds)) {
        report->skipped++;
        return true;
    }
    const judgement j = adds ? judge(s, &a, &n) : WRONG;
    if (j == NOTHING) report->skipped++;
    else report->checked++;
    if (!adds)
        accuse(s,
               " does not add to the gradient of operand %d: its backward rule overwrites what "
               "is there",
               s->operand);
    else if (j == WRONG) accuse_element(s, a, n);
    return true;
}

/* A custom operation's other derivative, if its backward is right. */
static bool check_recorded(tg__look *l, blame *b, uint32_t i)
{
    tg__play p;
    tg__recorded r;
    if (!tg__play_begin(l, i, &p) || !tg__compare_recorded(l, &p, &r)) return false;
    b->report->checked += r.compared;
    if (!r.wrong) return true;
    subject s = { .l = l, .b = b, .i = i, .operand = -1 };
    accuse(&s,
           " has a .%s that contradicts its backward: for random u and v <v, Ju> is %.8g by the "
           "one, <J'v, u> is %.8g by the other",
           r.what, r.there, r.back);
    if (b->report->wrong > 1) return true;
    b->report->analytic = r.there;
    b->report->numeric = r.back;
    return true;
}

/* Of operations that do more than compute, or whose operands belong together, differences say nothing. */
static bool is_no_function(const tg__call *c)
{
    switch (c->code) {
    case TG__CODE_custom: return ((const tg_custom_attributes *)c->attributes)->op->impure;
    case TG__CODE_call: return ((const tg_call_attributes *)c->attributes)->callee->hides;
    default: return false;
    }
}

static bool check_instruction(tg__look *l, blame *b, uint32_t i)
{
    tg__play p;
    const size_t wrong = b->report->wrong;
    if (!tg__play_begin(l, i, &p)) return false;
    if (p.call.y.s->n == 0) return true;
    const bool custom = p.call.code == TG__CODE_custom;
    if (is_no_function(&p.call)) {
        b->report->skipped++;
        return true;
    }
    const int n = p.call.n, step = (n + OPERANDS - 1) / OPERANDS;
    for (int j = 0; j < n; j += step) {
        /* The place of the operands' arrays is used again for each. */
        if (!tg__play_begin(l, i, &p)) return false;
        if (!tg__play_wants(l, &p, j) || p.x[j].s->type == TG_I64 || p.x[j].s->n == 0) continue;
        if (tg__first_nonfinite(p.x[j], false) >= 0) {
            b->report->skipped++;
            continue;
        }
        subject s = { .l = l, .b = b, .i = i, .operand = j };
        if (!check_operand(&s)) return false;
    }
    return !custom || b->report->wrong > wrong || check_recorded(l, b, i);
}

static void conclude(tg_blame_report *r)
{
    tg__text x = { r->message, sizeof r->message, 0 };
    if (r->wrong) return;
    tg__say(&x, "no operation is to blame: %zu derivatives agree", r->checked);
    if (r->skipped) tg__say(&x, ", %zu could not be compared", r->skipped);
}

bool tg_blame(tg_value loss, tg_blame_report *report, tg_status *status)
{
    tg__look l;
    tg_blame_report none;
    blame b = { .report = report ? report : &none, .random = 7 };
    *b.report = (tg_blame_report){ .checked = 0 };
    bool ok = tg__look_begin(&l, "blame", loss, status);
    tg__arena_init(&b.shadow, &l.memory);
    if (ok) {
        const bool f64 = l.t->type == TG_F64;
        b.rtol = f64 ? 1e-7 : 1e-3;
        b.epsilon = f64 ? DBL_EPSILON : FLT_EPSILON;
        b.tiny = f64 ? DBL_MIN / DBL_EPSILON : FLT_MIN / FLT_EPSILON;
        b.step = f64 ? 0.02 : 0.1;
    }
    for (uint32_t i = 0; ok && i <= l.last; i++)
        if (tg__look_needs(&l, i) && !tg__is_inactive(&l.t->head.code[i]))
            ok = check_instruction(&l, &b, i);
    if (ok) conclude(b.report);
    tg__arena_free(&b.shadow);
    tg__look_end(&l);
    return ok;
}

/* ---- a model --------------------------------------------------------------------------------- */

static bool model_failed(const tg_tape *t, tg_status *status)
{
    const tg_error *const e = t ? tg_error_of(t) : NULL;
    if (!status) return false;
    status->code = e ? e->code : t ? TG_ERROR_ARGUMENT : TG_ERROR_MEMORY;
    snprintf(status->message, sizeof status->message, "blame_model: %.480s",
             e   ? e->message
             : t ? "the model returned no value of its tape"
                 : "no memory for a tape");
    return false;
}

bool tg_blame_model(tg_model *model, void *user, const tg_check_input *inputs, int n,
                    tg_blame_report *report, tg_status *status)
{
    tg__memory own = { .reserve = 0 };
    tg__arena room;
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .on_error = tg_ignore_error });
    tg__arena_init(&room, &own);
    tg_value *const leaf = t ? tg__arena_push(&room, ((size_t)n + 1) * sizeof *leaf) : NULL;
    bool ok = leaf != NULL;
    for (int i = 0; ok && i < n; i++) {
        leaf[i] = tg_leaf_new(t, TG_PARAMETER, TG_F64, inputs[i].data, inputs[i].rank,
                              inputs[i].shape, NULL);
        if (inputs[i].name) tg_name(leaf[i], inputs[i].name);
    }
    const tg_value y = ok ? model(t, leaf, user) : (tg_value){ 0 };
    if (!ok) model_failed(NULL, status);
    else if (tg_error_of(t) || y.tape != t || tg_rank(y) < 0) ok = model_failed(t, status);
    else ok = tg_blame(y, report, status);
    if (ok && report) report->place.value = (tg_value){ NULL, 0, 0 };
    tg__arena_free(&room);
    tg_tape_free(t);
    return ok;
}
