/* Directions, cotangents, Jacobians and Hessians, from recorded gradients and backward sweeps with
   several cotangents. Forward mode is the transpose of reverse mode: the recorded gradient J'u is
   linear in u, so that its gradient by u, for the cotangent v, is J v. No operation needs a second
   rule for it. */
#include <string.h>

#include <tapegrad/derivatives.h>
#include <tapegrad/ops.h>

#include "tape/record.h"
#include "tape/tape.h"

/* Planes of adjoints at a time: more would leave the caches. */
enum { SWEEP = 16 };

/* ---- what all share -------------------------------------------------------------------------- */

/* The tape of the request, if it makes sense; n gets the elements of all wrt. */
static tg_tape *begin(const char *what, tg_value y, const tg_value *wrt, int m, const void *in,
                      size_t k, const double *out, size_t *n)
{
    tg_tape *const t = tg__tape_of(y, what, NULL);
    if (!t) return NULL;
    if (!wrt || m < 1 || !out || (!in && k)) {
        tg__error(t, TG_ERROR_ARGUMENT, what, NULL,
                  "a pointer is NULL or there is nothing to "
                  "differentiate by");
        return NULL;
    }
    *n = 0;
    for (int i = 0; i < m; i++) {
        if (tg__tape_of(wrt[i], what, NULL) != t) {
            tg__error(t, TG_ERROR_HANDLE, what, NULL, "value %d is on another tape", i + 1);
            return NULL;
        }
        if (tg__value_array(t, wrt[i].id).s->type == TG_I64 || !tg__has_gradient(t, wrt[i].id)) {
            tg__error(t, TG_ERROR_HISTORY, what, NULL,
                      "value %d to differentiate by has no gradient", i + 1);
            return NULL;
        }
        *n += (size_t)tg__value_array(t, wrt[i].id).s->n;
    }
    return t;
}

/* Whether y is floating and has one element; else the error. */
static bool is_one(tg_tape *t, const char *what, tg_value y)
{
    const tg__shape *const s = tg__value_array(t, y.id).s;
    if (s->n == 1 && s->type != TG_I64) return true;
    tg__error(t, TG_ERROR_SHAPE, what, NULL, "the value has shape %s: one element is needed",
              TG__SHAPE_TEXT(s));
    return false;
}

static tg_value none(tg_tape *t)
{
    return (tg_value){ t, 0, 0 };
}

/* A list of handles on top of the arena t->walk, until the caller sets its end back. */
static tg_value *list(tg_tape *t, int n, const char *what, const tg_site *site)
{
    tg_value *const p = tg__arena_push(&t->walk, (size_t)n * sizeof *p);
    if (!p) tg__error(t, TG_ERROR_MEMORY, what, site, "no memory");
    return p;
}

/* The values one behind the other, as a vector. */
static tg_value joined(tg_tape *t, const tg_value *v, int m)
{
    static const tg_span_attributes all = { TG_DEFAULTS_span };
    static const tg_axis_attributes first = { TG_DEFAULTS_axis };
    const size_t used = t->walk.used;
    tg_value *const flat = list(t, m, "cat", NULL);
    for (int i = 0; flat && i < m; i++) flat[i] = (tg_flatten_at)(v[i], &all, NULL);
    t->walk.used = used;
    return flat ? (tg_cat_at)(flat, m, &first, NULL) : none(t);
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

/* out[i] = the gradient of <cotangent i, y>, for k cotangents; cotangent(user, i, row) writes one. */
typedef void cotangent_row(const void *given, size_t i, size_t size, double *row);

static void given_row(const void *given, size_t i, size_t size, double *row)
{
    memcpy(row, (const double *)given + i * size, size * sizeof *row);
}

static void unit_row(const void *given, size_t i, size_t size, double *row)
{
    (void)given;
    memset(row, 0, size * sizeof *row);
    row[i] = 1;
}

static bool read_gradients(tg_tape *t, const tg_value *wrt, int m, double *out)
{
    for (int i = 0; i < m; i++) {
        const size_t n = (size_t)tg__value_array(t, wrt[i].id).s->n;
        if (!tg_grad_read(wrt[i], out, n)) return false;
        out += n;
    }
    return true;
}

static bool sweep(tg_tape *t, tg_value y, const tg_value *wrt, int m, size_t n, cotangent_row *row,
                  const void *given, size_t k, double *out)
{
    const size_t size = (size_t)tg__value_array(t, y.id).s->n;
    if (!tg__has_gradient(t, y.id)) {
        memset(out, 0, k * n * sizeof *out);
        return true;
    }
    const size_t most = k < SWEEP ? k : SWEEP, used = t->walk.used;
    double *const cotangent = tg__arena_push(&t->walk, (most * size + 1) * sizeof *cotangent);
    if (!cotangent)
        tg__error(t, TG_ERROR_MEMORY, "backward", NULL,
                  "no memory for %zu cotangents of %zu elements", most, size);
    bool ok = cotangent;
    for (size_t i = 0, count; ok && i < k; i += count) {
        count = k - i < SWEEP ? k - i : SWEEP;
        for (size_t j = 0; j < count; j++) row(given, i + j, size, cotangent + j * size);
        ok = tg__backward_by(y, cotangent, count, wrt, m);
        for (size_t j = 0; ok && j < count; j++)
            ok = tg_choose_gradient(t, j) && read_gradients(t, wrt, m, out + (i + j) * n);
    }
    tg__gradients_end(t);
    t->walk.used = used;
    return ok;
}

bool tg_vjp(tg_value y, const tg_value *wrt, int m, const double *cotangents, size_t k, double *out)
{
    size_t n;
    tg_tape *const t = begin("vjp", y, wrt, m, cotangents, k, out, &n);
    return t && sweep(t, y, wrt, m, n, given_row, cotangents, k, out);
}

/* ---- with something recorded meanwhile ------------------------------------------------------- */

/* A stretch of the tape that is taken back, in which history is recorded. */
typedef struct stretch {
    tg_mark mark;
    int no_grad;
} stretch;

static bool stretch_begin(tg_tape *t, stretch *s)
{
    s->no_grad = t->no_grad;
    t->no_grad = 0;
    s->mark = tg_tape_mark(t);
    return !t->failed;
}

static bool stretch_end(tg_tape *t, const stretch *s, bool ok)
{
    t->no_grad = s->no_grad;
    tg_release(s->mark);
    t->graded = 0;
    return ok && !t->failed;
}

/* A cotangent of y, as a leaf. */
static tg_value cotangent_of(tg_tape *t, tg_value y, const tg_site *site)
{
    const tg__shape s = *tg__value_array(t, y.id).s;
    return tg_leaf_new(t, TG_PARAMETER, TG_F64, NULL, s.rank, s.dim, site);
}

/* The gradient J'u as a vector of N elements, recorded, and u. */
static tg_value transposed(tg_tape *t, tg_value y, const tg_value *wrt, int m, tg_value *u)
{
    const size_t used = t->walk.used;
    tg_value *const g = list(t, m, "jvp", NULL);
    *u = cotangent_of(t, y, NULL);
    const bool ok = !t->failed && tg__grad_values(true, &y, u, 1, wrt, m, g, NULL);
    const tg_value all = ok ? joined(t, g, m) : none(t);
    t->walk.used = used;
    return all;
}

/* k rows of M: J times the rows of N that row gives. */
static bool forward(tg_tape *t, tg_value y, const tg_value *wrt, int m, cotangent_row *row,
                    const void *given, size_t k, double *out)
{
    stretch s;
    tg_value u;
    if (!stretch_begin(t, &s)) return false;
    const size_t size = (size_t)tg__value_array(t, y.id).s->n;
    const tg_value g = transposed(t, y, wrt, m, &u);
    return stretch_end(t, &s, !t->failed && sweep(t, g, &u, 1, size, row, given, k, out));
}

bool tg_jvp(tg_value y, const tg_value *wrt, int m, const double *directions, size_t k, double *out)
{
    size_t n;
    tg_tape *const t = begin("jvp", y, wrt, m, directions, k, out, &n);
    return t && forward(t, y, wrt, m, given_row, directions, k, out);
}

/* The columns of J one after the other are its transpose: turned in place by following where each
   element goes (a cycle of the permutation is moved once, from its smallest place). */
static void turn(double *a, size_t rows, size_t columns)
{
    const size_t n = rows * columns;
    for (size_t start = 1; start + 1 < n; start++) {
        size_t at = start;
        do at = at % rows * columns + at / rows;
        while (at > start);
        if (at < start) continue;
        double moved = a[start];
        do {
            at = at % rows * columns + at / rows;
            const double next = a[at];
            a[at] = moved;
            moved = next;
        } while (at != start);
    }
}

bool tg_jacobian(tg_value y, const tg_value *wrt, int m, double *out)
{
    size_t n;
    tg_tape *const t = begin("jacobian", y, wrt, m, NULL, 0, out, &n);
    if (!t) return false;
    const size_t size = (size_t)tg__value_array(t, y.id).s->n;
    if (size <= n) return sweep(t, y, wrt, m, n, unit_row, NULL, size, out);
    if (!forward(t, y, wrt, m, unit_row, NULL, n, out)) return false;
    turn(out, size, n);
    return true;
}

/* The gradient of y as a vector, recorded. */
static tg_value gradient(tg_tape *t, tg_value y, const tg_value *wrt, int m)
{
    const size_t used = t->walk.used;
    tg_value *const g = list(t, m, "hessian", NULL);
    const bool ok = g && tg_grad_values_at(&y, NULL, 1, wrt, m, g, NULL);
    const tg_value all = ok ? joined(t, g, m) : none(t);
    t->walk.used = used;
    return all;
}

static bool second(tg_tape *t, tg_value y, const tg_value *wrt, int m, size_t n, cotangent_row *row,
                   const void *given, size_t k, double *out)
{
    stretch s;
    if (!stretch_begin(t, &s)) return false;
    const tg_value g = gradient(t, y, wrt, m);
    return stretch_end(t, &s, !t->failed && sweep(t, g, wrt, m, n, row, given, k, out));
}

bool tg_hessian(tg_value y, const tg_value *wrt, int m, double *out)
{
    size_t n;
    tg_tape *const t = begin("hessian", y, wrt, m, NULL, 0, out, &n);
    return t && is_one(t, "hessian", y) && second(t, y, wrt, m, n, unit_row, NULL, n, out);
}

bool tg_hvp(tg_value y, const tg_value *wrt, int m, const double *directions, size_t k, double *out)
{
    size_t n;
    tg_tape *const t = begin("hvp", y, wrt, m, directions, k, out, &n);
    return t && is_one(t, "hvp", y) && second(t, y, wrt, m, n, given_row, directions, k, out);
}

/* ---- forward mode as values ------------------------------------------------------------------ */

bool tg_jvp_values_at(const tg_value *outputs, int n, const tg_value *wrt, const tg_value *tangents,
                      int m, tg_value *directional, const tg_site *site)
{
    static const char *const what = "jvp_values";
    tg_tape *const t = outputs && n > 0 ? tg__tape_of(outputs[0], what, site) : NULL;
    if (!t || !wrt || !tangents || m < 1 || !directional) {
        if (!t || !t->failed)
            tg__error(t, TG_ERROR_ARGUMENT, what, site, "a list is NULL or empty");
        return false;
    }
    const size_t used = t->walk.used;
    tg_value *const u = list(t, n + 2 * m, what, site), *const g = u + n, *const along = g + m;
    for (int i = 0; i < n && !t->failed; i++)
        u[i] =
            tg__tape_of(outputs[i], what, site) == t ? cotangent_of(t, outputs[i], site) : none(t);
    bool ok = !t->failed && tg_grad_values_at(outputs, u, n, wrt, m, g, site);
    /* What does not depend on u has no history, and is left out. */
    int kept = 0;
    for (int j = 0; ok && j < m; j++) {
        if (!tg__has_gradient(t, g[j].id)) continue;
        g[kept] = g[j];
        along[kept++] = tangents[j];
    }
    if (ok && kept) ok = tg_grad_values_at(g, along, kept, u, n, directional, site);
    for (int i = 0; ok && !kept && i < n; i++) {
        const tg__shape s = *tg__value_array(t, outputs[i].id).s;
        directional[i] = tg_full_new(t, 0, s.rank, s.dim, site);
    }
    t->walk.used = used;
    return ok && !t->failed;
}
