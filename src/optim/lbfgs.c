/* L-BFGS. Source: Nocedal and Wright, Numerical Optimization, second edition 2006: the two-loop
   recursion (algorithm 7.4), the line search for the strong Wolfe conditions (3.5 and 3.6). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/tape.h>

#include "optimizer.h"

struct tg__lbfgs {
    size_t n; /* elements of all parameters */
    int history, evaluations;
    double tolerance;
    double kept;     /* pairs, of the newest history */
    double newest;   /* the place of the newest pair */
    double loss;     /* at x; NaN: not known */
    double *memory;  /* everything below is in it */
    double *s, *y;   /* history x n: steps, and changes of the gradient */
    double *x, *g;   /* n: where we are */
    double *xt, *gt; /* n: where the line search tries */
    double *d;       /* n: the direction */
    double *work;    /* history */
};

void tg__lbfgs_free(tg__lbfgs *l)
{
    if (!l) return;
    free(l->memory);
    free(l);
}

tg_optimizer *tg_lbfgs_new(const tg_value *parameters, int n, const tg_lbfgs_options *options)
{
    const tg_lbfgs_options a = options ? *options : (tg_lbfgs_options){ 0 };
    tg_optimizer *const o = tg__optimizer_new("lbfgs", parameters, n, 0);
    tg__lbfgs *const l = calloc(1, sizeof *l);
    if (!o || !l) {
        tg_optimizer_free(o);
        free(l);
        return NULL;
    }
    o->lbfgs = l;
    o->lr = a.lr != 0 ? a.lr : 1;
    l->history = a.history ? a.history : 10;
    l->evaluations = a.evaluations ? a.evaluations : 25;
    l->tolerance = a.tolerance != 0 ? a.tolerance : 1e-10;
    l->loss = (double)NAN;
    if (!(o->lr > 0) || l->history < 1 || l->evaluations < 1 || !(l->tolerance > 0)) {
        tg__optimizer_fail(o, TG_ERROR_ARGUMENT,
                           "lr, history, evaluations and tolerance of L-BFGS are positive");
        return o;
    }
    for (int i = 0; i < o->slots; i++) l->n += o->slot[i].n;
    const size_t pairs = (size_t)l->history;
    l->memory = calloc((2 * pairs + 5) * l->n + pairs + 1, sizeof *l->memory);
    if (!l->memory) {
        tg_optimizer_free(o);
        return NULL;
    }
    l->s = l->memory;
    l->y = l->s + pairs * l->n;
    l->x = l->y + pairs * l->n;
    l->g = l->x + l->n;
    l->xt = l->g + l->n;
    l->gt = l->xt + l->n;
    l->d = l->gt + l->n;
    l->work = l->d + l->n;
    return o;
}

/* ---- vectors --------------------------------------------------------------------------------- */

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static void add_scaled(double *y, double a, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}

static double largest(const double *x, size_t n)
{
    double size = 0;
    for (size_t i = 0; i < n; i++) size = fmax(size, fabs(x[i]));
    return size;
}

/* ---- the loss -------------------------------------------------------------------------------- */

typedef struct problem {
    tg_optimizer *o;
    tg_closure *closure;
    void *user;
    int left;     /* evaluations */
    double tried; /* the last step of the line search */
} problem;

static bool read_parameters(const tg_optimizer *o, double *x)
{
    for (int i = 0; i < o->slots; x += o->slot[i++].n)
        if (!tg__read_parameter(&o->slot[i], x)) return false;
    return true;
}

static bool write_parameters(const tg_optimizer *o, const double *x)
{
    for (int i = 0; i < o->slots; x += o->slot[i++].n)
        if (!tg__write_parameter(&o->slot[i], x)) return false;
    return true;
}

/* The loss at x, and its gradient in g; x becomes what the parameters' type makes of it. NaN after an
   error; infinity where the loss is no number, which a line search steps back from. */
static double evaluate(problem *p, double *x, double *g)
{
    tg_optimizer *const o = p->o;
    p->left--;
    if (!write_parameters(o, x) || !read_parameters(o, x)) {
        tg__optimizer_fail(o, TG_ERROR_HANDLE, "the parameters cannot be written");
        return (double)NAN;
    }
    const double loss = p->closure(p->user);
    int found = 0;
    for (int i = 0; i < o->slots; g += o->slot[i++].n) {
        const double *const from = tg__gradient(&o->slot[i], o->buffer);
        found += from != NULL;
        if (from) memmove(g, from, o->slot[i].n * sizeof *g);
        else memset(g, 0, o->slot[i].n * sizeof *g);
    }
    if (found) return isfinite(loss) ? loss : (double)INFINITY;
    tg__optimizer_fail(o, TG_ERROR_HISTORY,
                       "no parameter has a gradient after the closure: it has to call tg_backward");
    return (double)NAN;
}

/* ---- the direction --------------------------------------------------------------------------- */

/* d = -H g, H the inverse Hessian that the pairs stand for. */
static void find_direction(tg__lbfgs *l)
{
    const int kept = (int)l->kept, newest = (int)l->newest;
    const size_t n = l->n;
    for (size_t i = 0; i < n; i++) l->d[i] = -l->g[i];
    for (int k = 0; k < kept; k++) {
        const int at = (newest - k + l->history) % l->history;
        const double *const s = l->s + (size_t)at * n, *const y = l->y + (size_t)at * n;
        l->work[at] = dot(s, l->d, n) / dot(s, y, n);
        add_scaled(l->d, -l->work[at], y, n);
    }
    if (kept) {
        const double *const s = l->s + (size_t)newest * n, *const y = l->y + (size_t)newest * n;
        const double scale = dot(s, y, n) / dot(y, y, n);
        for (size_t i = 0; i < n; i++) l->d[i] *= scale;
    }
    for (int k = kept - 1; k >= 0; k--) {
        const int at = (newest - k + l->history) % l->history;
        const double *const s = l->s + (size_t)at * n, *const y = l->y + (size_t)at * n;
        add_scaled(l->d, l->work[at] - dot(y, l->d, n) / dot(s, y, n), s, n);
    }
}

/* Keeps the step from x to xt, if the curvature along it is positive. */
static void keep_pair(tg__lbfgs *l)
{
    const size_t n = l->n;
    const int at = l->kept > 0 ? ((int)l->newest + 1) % l->history : 0;
    double *const s = l->s + (size_t)at * n, *const y = l->y + (size_t)at * n;
    double curvature = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        const double ds = l->xt[i] - l->x[i], dy = l->gt[i] - l->g[i];
        curvature += ds * dy;
        squares += dy * dy;
    }
    if (!(curvature > 1e-16 * squares)) return;
    for (size_t i = 0; i < n; i++) {
        s[i] = l->xt[i] - l->x[i];
        y[i] = l->gt[i] - l->g[i];
    }
    l->newest = at;
    if (l->kept < l->history) l->kept++;
}

/* ---- the line search ------------------------------------------------------------------------- */

/* A place on the line: x + a d, the loss there, and its slope along d. */
typedef struct place {
    double a, loss, slope;
} place;

static place try_step(problem *p, double a)
{
    tg__lbfgs *const l = p->o->lbfgs;
    for (size_t i = 0; i < l->n; i++) l->xt[i] = l->x[i] + a * l->d[i];
    p->tried = a;
    const double loss = evaluate(p, l->xt, l->gt);
    return (place){ a, loss, dot(l->gt, l->d, l->n) };
}

/* The minimum of the cubic through two places (equation 3.59), kept off their ends. */
static double between(place lo, place hi)
{
    const double width = hi.a - lo.a, middle = lo.a + width / 2;
    if (!isfinite(hi.loss) || !isfinite(hi.slope)) return lo.a + width / 10;
    const double d1 = lo.slope + hi.slope - 3 * (lo.loss - hi.loss) / (lo.a - hi.a);
    const double root = d1 * d1 - lo.slope * hi.slope;
    if (!(root >= 0)) return middle;
    const double d2 = copysign(sqrt(root), width);
    const double a = hi.a - width * (hi.slope + d2 - d1) / (hi.slope - lo.slope + 2 * d2);
    const double edge = 0.1 * fabs(width);
    const bool inside = a > fmin(lo.a, hi.a) + edge && a < fmax(lo.a, hi.a) - edge;
    return inside ? a : middle;
}

static bool falls_enough(place start, place at)
{
    return at.loss <= start.loss + 1e-4 * at.a * start.slope;
}

static bool flat_enough(place start, place at)
{
    return fabs(at.slope) <= -0.9 * start.slope;
}

/* Narrows lo ... hi down to a place that satisfies both conditions (algorithm 3.6). */
static place zoom(problem *p, place start, place lo, place hi)
{
    while (p->left > 0 && p->o->status.code == TG_OK) {
        const place at = try_step(p, between(lo, hi));
        if (!falls_enough(start, at) || at.loss >= lo.loss) {
            hi = at;
        } else {
            if (flat_enough(start, at)) return at;
            if (at.slope * (hi.a - lo.a) >= 0) hi = lo;
            lo = at;
        }
        if (fabs(hi.a - lo.a) <= 1e-16 * fabs(lo.a)) break;
    }
    return lo;
}

/* Algorithm 3.5. The place it ends at may be where it started: no lower loss was found. */
static place search(problem *p, place start, double first)
{
    place before = start;
    for (double a = first; p->left > 0 && p->o->status.code == TG_OK; a *= 2) {
        const place at = try_step(p, a);
        if (!falls_enough(start, at) || (before.a > 0 && at.loss >= before.loss))
            return zoom(p, start, before, at);
        if (flat_enough(start, at)) return at;
        if (at.slope >= 0) return zoom(p, start, at, before);
        before = at;
    }
    return before;
}

/* ---- one iteration --------------------------------------------------------------------------- */

static tg_progress move_to(problem *p, place found)
{
    tg__lbfgs *const l = p->o->lbfgs;
    if (found.a == 0 || !(found.loss < l->loss)) {
        l->kept = 0;
        write_parameters(p->o, l->x);
        return TG_STUCK;
    }
    if (p->tried != found.a) found = try_step(p, found.a);
    keep_pair(l);
    memcpy(l->x, l->xt, l->n * sizeof *l->x);
    memcpy(l->g, l->gt, l->n * sizeof *l->g);
    l->loss = found.loss;
    p->o->steps++;
    return TG_MOVED;
}

/* Where the parameters are: known from the last iteration, unless somebody has changed them. */
static bool begin(problem *p)
{
    tg__lbfgs *const l = p->o->lbfgs;
    if (!read_parameters(p->o, l->xt))
        return tg__optimizer_fail(p->o, TG_ERROR_HANDLE, "the parameters cannot be read");
    if (!isnan(l->loss) && memcmp(l->x, l->xt, l->n * sizeof *l->x) == 0) return true;
    l->kept = 0;
    memcpy(l->x, l->xt, l->n * sizeof *l->x);
    l->loss = evaluate(p, l->x, l->g);
    if (isinf(l->loss))
        return tg__optimizer_fail(p->o, TG_ERROR_ARGUMENT, "the loss is not finite at the start");
    return p->o->status.code == TG_OK;
}

tg_progress tg_lbfgs_step(tg_optimizer *o, tg_closure *closure, void *user, double *loss)
{
    if (o->status.code != TG_OK) return TG_STOPPED;
    tg__lbfgs *const l = o->lbfgs;
    if (!l || !closure) {
        tg__optimizer_fail(o, TG_ERROR_ARGUMENT,
                           l ? "the closure is NULL" : "the optimiser is not L-BFGS");
        return TG_STOPPED;
    }
    problem p = { o, closure, user, l->evaluations, 0 };
    tg_progress progress = TG_STOPPED;
    if (begin(&p)) {
        find_direction(l);
        double slope = dot(l->g, l->d, l->n);
        if (!(slope < 0)) { /* the pairs have lost their worth: straight down again */
            l->kept = 0;
            find_direction(l);
            slope = dot(l->g, l->d, l->n);
        }
        const double size = largest(l->g, l->n);
        const double first = l->kept > 0 ? o->lr : fmin(1, 1 / size) * o->lr;
        progress = size <= l->tolerance
                       ? TG_CONVERGED
                       : move_to(&p, search(&p, (place){ 0, l->loss, slope }, first));
    }
    if (loss) *loss = l->loss;
    return o->status.code == TG_OK ? progress : TG_STOPPED;
}

/* ---- state ----------------------------------------------------------------------------------- */

int tg__lbfgs_state(tg_optimizer *o, int i, const char **name, double **p, size_t *n)
{
    tg__lbfgs *const l = o->lbfgs;
    const size_t all = l->n * (size_t)l->history;
    const struct {
        const char *name;
        double *p;
        size_t n;
    } states[] = { { "pairs", &l->kept, 1 }, { "newest", &l->newest, 1 }, { "loss", &l->loss, 1 },
                   { "s", l->s, all },       { "y", l->y, all },          { "x", l->x, l->n },
                   { "g", l->g, l->n } };
    if (i < 0 || i >= (int)(sizeof states / sizeof *states)) return 0;
    *name = states[i].name;
    *p = states[i].p;
    *n = states[i].n;
    return 1;
}
