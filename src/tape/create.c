/* Leaves that are made here rather than from the caller's data: ranges, the identity, random
   numbers. */
#include <math.h>

#include "base/random.h"
#include "tape/tape.h"

/* Elements first ... first + n - 1, row-major; n <= CHUNK. */
typedef void formula(const void *user, int64_t first, int64_t n, double *out);

enum { CHUNK = 256 };

typedef struct request {
    tg_tape *t;
    tg_leaf kind;
    int rank;
    const int64_t *shape;
    const tg_site *site;
} request;

static tg_value leaf_of(const request *r, formula *f, const void *user)
{
    const tg_value v = tg_leaf_new(r->t, r->kind, TG_F64, NULL, r->rank, r->shape, r->site);
    if (!v.generation) return v;
    const tg__array a = tg__value_array(r->t, v.id);
    double x[CHUNK];
    for (int64_t first = 0; first < a.s->n; first += CHUNK) {
        const int64_t n = a.s->n - first < CHUNK ? a.s->n - first : CHUNK;
        f(user, first, n, x);
        r->t->k->reduce.store(n, (char *)a.p + (size_t)first * r->t->element, x);
    }
    return v;
}

/* ---- ranges ---------------------------------------------------------------------------------- */

typedef struct range {
    double start, step, stop;
    int64_t last; /* the position of stop itself; -1: it has none */
} range;

static void steps(const void *user, int64_t first, int64_t n, double *out)
{
    const range *const r = user;
    for (int64_t i = 0; i < n; i++)
        out[i] = first + i == r->last ? r->stop : r->start + (double)(first + i) * r->step;
}

tg_value tg_arange_new(tg_tape *t, double start, double stop, double step, const tg_site *site)
{
    const double n = ceil((stop - start) / step);
    if (!isfinite(start) || !isfinite(stop) || !isfinite(step) || step == 0 || !(n <= INT32_MAX))
        return tg__error(
            t, TG_ERROR_ARGUMENT, "arange", site,
            "from %g to %g in steps of %g: numbers must be finite, the step not 0, and "
            "no more than %d fit into a tensor",
            start, stop, step, INT32_MAX);
    const int64_t length = n > 0 ? (int64_t)n : 0;
    return leaf_of(&(request){ t, TG_CONSTANT, 1, &length, site }, steps,
                   &(range){ start, step, 0, -1 });
}

tg_value tg_linspace_new(tg_tape *t, double start, double stop, int64_t n, const tg_site *site)
{
    if (!isfinite(stop - start))
        return tg__error(t, TG_ERROR_ARGUMENT, "linspace", site,
                         "from %g to %g: both and their distance must be finite", start, stop);
    const range r = { start, (stop - start) / (double)(n - 1), stop, n > 1 ? n - 1 : -1 };
    const range one = { start, 0, 0, -1 };
    return leaf_of(&(request){ t, TG_CONSTANT, 1, &n, site }, steps, n == 1 ? &one : &r);
}

/* user: the number of columns. */
static void identity(const void *user, int64_t first, int64_t n, double *out)
{
    const int64_t m = *(const int64_t *)user;
    for (int64_t i = 0; i < n; i++) out[i] = (first + i) / m == (first + i) % m;
}

tg_value tg_eye_new(tg_tape *t, int64_t n, int64_t m, const tg_site *site)
{
    const int64_t shape[] = { n, m };
    return leaf_of(&(request){ t, TG_CONSTANT, 2, shape, site }, identity, &m);
}

/* ---- random numbers -------------------------------------------------------------------------- */

typedef struct draw {
    tg__random r;
    double lo, scale;   /* lo + scale x */
    double most;        /* but not more than this */
    uint64_t threshold; /* bernoulli */
} draw;

static void uniform(const void *user, int64_t first, int64_t n, double *out)
{
    const draw *const d = user;
    tg__random_uniform(&d->r, first, n, out);
    for (int64_t i = 0; i < n; i++) out[i] = fmin(d->lo + d->scale * out[i], d->most);
}

static void normal(const void *user, int64_t first, int64_t n, double *out)
{
    const draw *const d = user;
    tg__random_normal(&d->r, first, n, out);
    for (int64_t i = 0; i < n; i++) out[i] = d->lo + d->scale * out[i];
}

static void bernoulli(const void *user, int64_t first, int64_t n, double *out)
{
    const draw *const d = user;
    uint32_t word[CHUNK];
    tg__random_words(&d->r, first, n, word);
    for (int64_t i = 0; i < n; i++) out[i] = word[i] < d->threshold;
}

/* Rounding, to the tape's type too, must not make hi of what lies below it. */
tg_value tg_uniform_new(tg_tape *t, uint64_t seed, double lo, double hi, int rank,
                        const int64_t *shape, const tg_site *site)
{
    if (!isfinite(hi - lo) || lo > hi)
        return tg__error(t, TG_ERROR_ARGUMENT, "uniform", site,
                         "from %g to %g: both and their distance must be finite, in this order", lo,
                         hi);
    const bool single = t && t->type == TG_F32;
    const double below = single ? (double)nextafterf((float)hi, (float)lo) : nextafter(hi, lo);
    return leaf_of(
        &(request){ t, TG_INPUT, rank, shape, site }, uniform,
        &(draw){ .r = { seed, 0, TG__DRAW_UNIFORM }, .lo = lo, .scale = hi - lo, .most = below });
}

tg_value tg_normal_new(tg_tape *t, uint64_t seed, double mean, double std, int rank,
                       const int64_t *shape, const tg_site *site)
{
    if (!isfinite(mean) || !isfinite(std) || std < 0)
        return tg__error(t, TG_ERROR_ARGUMENT, "normal", site,
                         "mean %g, standard deviation %g: both must be finite, the latter not "
                         "negative",
                         mean, std);
    return leaf_of(&(request){ t, TG_INPUT, rank, shape, site }, normal,
                   &(draw){ .r = { seed, 0, TG__DRAW_NORMAL }, .lo = mean, .scale = std });
}

tg_value tg_bernoulli_new(tg_tape *t, uint64_t seed, double p, int rank, const int64_t *shape,
                          const tg_site *site)
{
    if (!(p >= 0 && p <= 1))
        return tg__error(t, TG_ERROR_ARGUMENT, "bernoulli", site,
                         "p is %g, which is no probability", p);
    return leaf_of(
        &(request){ t, TG_INPUT, rank, shape, site }, bernoulli,
        &(draw){ .r = { seed, 0, TG__DRAW_BERNOULLI }, .threshold = tg__random_threshold(p) });
}

tg_value tg_permutation_new(tg_tape *t, uint64_t seed, int64_t n, const tg_site *site)
{
    const tg_value v = tg_index_new(t, sizeof(int64_t), NULL, 1, &n, site);
    if (!v.generation) return v;
    tg__random_permutation(&(tg__random){ seed, 0, TG__DRAW_PERMUTATION }, n,
                           tg__value_array(t, v.id).p);
    return v;
}
