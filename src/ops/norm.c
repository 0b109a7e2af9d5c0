/* Normalizations: sets of elements are shifted and scaled to mean 0 and variance 1, then scaled and
   shifted by gamma and beta. They differ in their sets: the last axes of x (layer_norm, rms_norm),
   groups of channels of one sample (group_norm), a channel of all samples (batch_norm). Channels are
   axis 1. gamma and beta may be numbers. Backward takes the statistics again from x, which is one
   pass that the sums over g share, and keeps nothing between. */
#include "ops/op.h"

#include <math.h>

/* How a call is seen by the kernels. gamma and beta have count elements, each of them for repeat
   neighbours that the kernels want one by one. */
typedef struct plan {
    tg__norm p;
    int64_t count, repeat;
    tg__norm_kernel *forward;
    tg__norm_backward_kernel *backward;
} plan;

/* From this length on a channel's neighbours are a run of their own. */
enum { LONG_RUN = 16 };

/* ---- shapes ---------------------------------------------------------------------------------- */

static tg_code check_epsilon(const tg__call *c, double epsilon)
{
    if (epsilon >= 0) return TG_OK;
    return tg__fail(c, TG_ERROR_ARGUMENT, "epsilon is %g: it must not be negative", epsilon);
}

static const char *parameter_name(int i)
{
    return i == 1 ? "gamma" : "beta";
}

/* How many axes a layer normalization is over. */
static int last_axes(int n, const tg__shape *const *s)
{
    int axes = 1;
    for (int i = 1; i < n; i++)
        if (s[i]->rank > axes) axes = s[i]->rank;
    return axes;
}

static int last_axes_of(const tg__call *c)
{
    const tg__shape *s[3];
    for (int i = 0; i < c->n; i++) s[i] = c->x[i].s;
    return last_axes(c->n, s);
}

static tg_code layer_shape(const tg__call *c, tg__shape *y)
{
    const tg__shape *const x = c->x[0].s;
    const int axes = last_axes_of(c);
    if (x->rank == 0) return tg__fail(c, TG_ERROR_SHAPE, "a scalar has no axis to normalize over");
    for (int i = 1; i < c->n; i++) {
        const tg__shape *const s = c->x[i].s;
        bool agree = s->rank == 0 || (s->rank == axes && axes <= x->rank);
        for (int k = 0; agree && k < s->rank; k++) agree = s->dim[k] == x->dim[x->rank - axes + k];
        if (!agree)
            return tg__fail(c, TG_ERROR_SHAPE, "%s %s is not as the last %d axes of x %s",
                            parameter_name(i), TG__SHAPE_TEXT(s), axes, TG__SHAPE_TEXT(x));
    }
    *y = *x;
    return check_epsilon(c, ((const tg_normalize_attributes *)c->attributes)->epsilon);
}

static tg_code channels_shape(const tg__call *c, tg__shape *y)
{
    const tg__shape *const x = c->x[0].s;
    if (x->rank < 2)
        return tg__fail(c, TG_ERROR_SHAPE, "takes x (samples, channels, ...), not shape %s",
                        TG__SHAPE_TEXT(x));
    for (int i = 1; i < c->n; i++) {
        const tg__shape *const s = c->x[i].s;
        if (s->rank > 1 || (s->rank == 1 && s->dim[0] != x->dim[1]))
            return tg__fail(c, TG_ERROR_SHAPE, "%s %s and x %s do not agree: x has %lld channels",
                            parameter_name(i), TG__SHAPE_TEXT(s), TG__SHAPE_TEXT(x),
                            (long long)x->dim[1]);
    }
    *y = *x;
    return TG_OK;
}

/* The number of elements behind axis 1. */
static int64_t inner_of(const tg__shape *x)
{
    int64_t n = 1;
    for (int i = 2; i < x->rank; i++) n *= x->dim[i];
    return n;
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* gamma or beta as the kernels want it: its elements repeated. NULL when there is no memory. */
static const void *parameter(const tg__call *c, const plan *q, int i)
{
    const tg__array x = c->x[i];
    const void *const from = tg__adjacent(c, x);
    if (!from || (x.s->rank > 0 && q->repeat == 1)) return from;
    const int64_t step = x.s->rank > 0;
    const tg__shape few = { .type = x.s->type,
                            .rank = 2,
                            .n = q->count * q->repeat,
                            .dim = { q->count, q->repeat },
                            .stride = { step, 0 } };
    tg__shape many = few;
    tg__shape_finish(&many);
    const tg__array y = { &many, tg__scratch(c, (size_t)many.n * tg__type_size(many.type)) };
    if (y.p) tg__copy(c->k, y, (tg__array){ &few, (void *)from });
    return y.p;
}

static tg_code begin(const tg__call *c, plan *q)
{
    q->p.x = tg__adjacent(c, c->x[0]);
    q->p.gamma = parameter(c, q, 1);
    if (c->n > 2) q->p.beta = parameter(c, q, 2);
    q->p.work = tg__scratch(c, TG__NORM_WORK(&q->p));
    const bool complete = q->p.x && q->p.gamma && (c->n < 3 || q->p.beta) && q->p.work;
    return complete ? TG_OK : TG_ERROR_MEMORY;
}

static tg_code forward(const tg__call *c, plan q)
{
    if (c->x[0].s->n == 0) return TG_OK;
    const tg_code code = begin(c, &q);
    if (code == TG_OK) q.forward(&q.p, c->y.p);
    return code;
}

/* Adds the sums of n elements each, v and what rounding took from them, to dx[i]. */
static tg_code parameter_end(const tg__call *c, int i, const double *v, int64_t all)
{
    tg__shape s = *c->dx[i].s;
    tg__shape_finish(&s);
    const int64_t n = all / s.n;
    double *const sum = tg__scratch(c, (size_t)s.n * sizeof *sum);
    const tg__array dx = { &s, tg__scratch(c, (size_t)s.n * tg__type_size(s.type)) };
    if (!sum || !dx.p) return TG_ERROR_MEMORY;
    const tg__reduce_kernels *const k = &tg__kernels_for(TG_F64)->reduce;
    for (int64_t j = 0; j < s.n; j += TG__TILE) {
        const int64_t w = s.n - j < TG__TILE ? s.n - j : TG__TILE;
        if (n == 1) {
            k->totals(w, sum + j, v + j, v + all + j);
            continue;
        }
        tg__sums t = { { 0 }, { 0 } };
        k->sum(&(const tg__tile){ w, n, v + j * n, n, 1, s.n }, NULL, 0, &t);
        k->sum(&(const tg__tile){ w, n, v + all + j * n, n, 1, s.n }, NULL, 0, &t);
        k->totals(w, sum + j, t.total, t.rest);
    }
    c->k->reduce.store(s.n, dx.p, sum);
    tg__add(c->k, c->dx[i], dx);
    return TG_OK;
}

static tg_code backward(const tg__call *c, plan q)
{
    if (c->x[0].s->n == 0) return TG_OK;
    tg_code code = begin(c, &q);
    if (code != TG_OK) return code;
    const int64_t all = q.count * q.repeat;
    double *sums[3] = { NULL };
    for (int i = 1; i < c->n; i++) {
        if (!c->dx[i].p) continue;
        sums[i] = tg__scratch(c, 2 * (size_t)all * sizeof(double));
        if (!sums[i]) return TG_ERROR_MEMORY;
        for (int64_t j = 0; j < 2 * all; j++) sums[i][j] = 0;
    }
    void *const dx = c->dx[0].p ? tg__gradient_begin(c, 0) : NULL;
    if (c->dx[0].p && !dx) return TG_ERROR_MEMORY;
    q.backward(&q.p, &(const tg__norm_gradients){ c->g, dx, sums[1], sums[2], all });
    if (dx) tg__gradient_end(c, 0, dx);
    for (int i = 1; i < c->n && code == TG_OK; i++)
        if (sums[i]) code = parameter_end(c, i, sums[i], all);
    return code;
}

/* ---- recorded derivatives -------------------------------------------------------------------- */

/* x as it is normalized: its dimensions, the axes of a set, and where gamma and beta lie: from axis
   from on, behind them axes of length 1. */
typedef struct view {
    int rank, from, parameters;
    int64_t dim[4];
    tg_reduce_attributes sets;
    bool centered;
    double epsilon;
} view;

/* gamma or beta, as it broadcasts to x. */
static tg_value seen(const tg__derivation *d, const view *v, int i)
{
    int64_t dim[4];
    if (tg__shape_of(d, d->x[i])->rank == 0) return d->x[i];
    for (int k = v->from; k < v->rank; k++)
        dim[k - v->from] = k < v->from + v->parameters ? v->dim[k] : 1;
    return tg__reshaped(d, d->x[i], v->rank - v->from, dim);
}

/* A gradient by gamma or beta, from its contribution of every element of x. */
static tg_value gathered(const tg__derivation *d, const view *v, tg_value g, int i)
{
    const tg__shape s = *tg__shape_of(d, d->x[i]);
    if (s.rank == 0) return g;
    tg_reduce_attributes others = { TG_DEFAULTS_reduce };
    for (int k = 0; k < v->rank; k++)
        if (k < v->from || k >= v->from + v->parameters)
            others.axes.axis[others.axes.count++] = k;
    return tg__reshaped(d, others.axes.count ? d_sum(d, g, &others) : g, s.rank, s.dim);
}

/* With h = g gamma and z the normalized x: dx = (h - mean h - z mean (h z)) / sqrt(variance). */
static void derive(tg__derivation *d, const view *v)
{
    const tg__shape x = *tg__shape_of(d, d->x[0]);
    if (!x.n) return;
    tg_value c = tg__reshaped(d, d->x[0], v->rank, v->dim);
    const tg_value g = tg__reshaped(d, d->g, v->rank, v->dim), epsilon = d->to->number(v->epsilon);
    if (v->centered) c = d_sub(d, c, d_mean(d, c, &v->sets));
    const tg_value variance = d_mean(d, d_square(d, c), &v->sets);
    const tg_value scale = d_rsqrt(d, d_add(d, variance, epsilon)), z = d_mul(d, c, scale);
    if (d->wanted[1]) d->dx[1] = gathered(d, v, d_mul(d, g, z), 1);
    if (d->n > 2 && d->wanted[2]) d->dx[2] = gathered(d, v, g, 2);
    if (!d->wanted[0]) return;
    const tg_value h = d_mul(d, g, seen(d, v, 1));
    tg_value dx = d_sub(d, h, d_mul(d, z, d_mean(d, d_mul(d, h, z), &v->sets)));
    if (v->centered) dx = d_sub(d, dx, d_mean(d, h, &v->sets));
    d->dx[0] = tg__reshaped(d, d_mul(d, scale, dx), x.rank, x.dim);
}

/* ---- layer_norm, rms_norm -------------------------------------------------------------------- */

/* x as rows of the last axes. */
static plan layer_plan(const tg__call *c, bool centered)
{
    const tg__shape *const x = c->x[0].s;
    const int axes = last_axes_of(c);
    int64_t n = 1;
    for (int i = x->rank - axes; i < x->rank; i++) n *= x->dim[i];
    return (plan){
        .p = { .outer = n ? x->n / n : 0,
               .groups = 1,
               .channels = n,
               .inner = 1,
               .centered = centered,
               .epsilon = ((const tg_normalize_attributes *)c->attributes)->epsilon },
        .count = n,
        .repeat = 1,
        .forward = c->k->norm.rows,
        .backward = c->k->norm.rows_backward,
    };
}

static void layer_derive(tg__derivation *d, bool centered)
{
    const tg__shape *s[3];
    for (int i = 0; i < d->n; i++) s[i] = tg__shape_of(d, d->x[i]);
    const int axes = last_axes(d->n, s);
    int64_t n = 1;
    for (int i = s[0]->rank - axes; i < s[0]->rank; i++) n *= s[0]->dim[i];
    derive(d, &(const view){
                  .rank = 2,
                  .from = 1,
                  .parameters = 1,
                  .dim = { n ? s[0]->n / n : 0, n },
                  .sets = { TG_DEFAULTS_reduce, .axis = 1, .keep = true },
                  .centered = centered,
                  .epsilon = ((const tg_normalize_attributes *)d->attributes)->epsilon,
              });
}

#define NORMALIZED(KIND, X, GAMMA, BETA, ...)                                                      \
    {                                                                                              \
        .n = 3, .x = { X, GAMMA, BETA }, .attributes = ATTRIBUTES(KIND, __VA_ARGS__)               \
    }

TG_OP(layer_norm, "nll", normalize,
      "x less its mean, over its standard deviation, times gamma, plus beta; over the last axes of x, "
      "as many as gamma and beta have (numbers: one)")

SHAPE(layer_norm) { return layer_shape(c, y); }

FORWARD(layer_norm) { return forward(c, layer_plan(c, true)); }

BACKWARD(layer_norm) { return backward(c, layer_plan(c, true)); }

DERIVATIVE(layer_norm) { layer_derive(d, true); }

CASES(layer_norm,
      NORMALIZED(normalize, TENSOR(-2, 2, 3, 4), TENSOR(0.5, 2, 4), TENSOR(-1, 1, 4), .epsilon = 1e-5),
      NORMALIZED(normalize, TENSOR(-2, 2, 2, 2, 3), TENSOR(0.5, 2, 2, 3), TENSOR(-1, 1, 2, 3),
                 .epsilon = 0.1),
      NORMALIZED(normalize, TENSOR(-2, 2, 2, 5), SCALAR(0.5, 2), SCALAR(-1, 1), .epsilon = 0.3),
      NORMALIZED(normalize, TENSOR(-2, 2, 5), TENSOR(0.5, 2, 5), SCALAR(-1, 1), .epsilon = 0.0),
      NORMALIZED(normalize, TENSOR(-2, 2, 20, 3), TENSOR(0.5, 2, 3), SCALAR(-1, 1), .epsilon = 0.5),
      NORMALIZED(normalize, TENSOR(-2, 2, 0, 3), TENSOR(0.5, 2, 3), TENSOR(-1, 1, 3), .epsilon = 0.5))

TG_OP(rms_norm, "nl", normalize,
      "x over the root of its mean square, times gamma; over the last axes of x, as many as gamma has "
      "(a number: one)")

SHAPE(rms_norm) { return layer_shape(c, y); }

FORWARD(rms_norm) { return forward(c, layer_plan(c, false)); }

BACKWARD(rms_norm) { return backward(c, layer_plan(c, false)); }

DERIVATIVE(rms_norm) { layer_derive(d, false); }

CASES(rms_norm, { .n = 2, .x = { TENSOR(-2, 2, 3, 4), TENSOR(0.5, 2, 4) } },
      { .n = 2, .x = { TENSOR(-2, 2, 2, 2, 3), TENSOR(0.5, 2, 2, 3) } },
      { .n = 2,
        .x = { TENSOR(-2, 2, 20, 3), SCALAR(0.5, 2) },
        .attributes = ATTRIBUTES(normalize, .epsilon = 0.1) })

/* ---- group_norm ------------------------------------------------------------------------------ */

TG_OP(group_norm, "nll", groups,
      "x (samples, channels, ...) normalized over groups of channels of each sample, times gamma, "
      "plus beta (channels)")

SHAPE(group_norm)
{
    const tg_groups_attributes *const a = c->attributes;
    tg_code code = channels_shape(c, y);
    if (code != TG_OK) return code;
    if (a->groups < 1 || y->dim[1] % a->groups)
        return tg__fail(c, TG_ERROR_ARGUMENT, "%lld channels cannot be made %lld groups of one size",
                        (long long)y->dim[1], (long long)a->groups);
    return check_epsilon(c, a->epsilon);
}

/* Of short runs each element has a gamma and beta of its own. */
static plan group_plan(const tg__call *c)
{
    const tg_groups_attributes *const a = c->attributes;
    const tg__shape *const x = c->x[0].s;
    const int64_t inner = inner_of(x);
    const bool runs = inner >= LONG_RUN;
    return (plan){
        .p = { .outer = x->dim[0],
               .groups = a->groups,
               .channels = x->dim[1] / a->groups,
               .inner = inner,
               .centered = true,
               .epsilon = a->epsilon },
        .count = x->dim[1],
        .repeat = runs ? 1 : inner,
        .forward = runs ? c->k->norm.runs : c->k->norm.rows,
        .backward = runs ? c->k->norm.runs_backward : c->k->norm.rows_backward,
    };
}

FORWARD(group_norm) { return forward(c, group_plan(c)); }

BACKWARD(group_norm) { return backward(c, group_plan(c)); }

DERIVATIVE(group_norm)
{
    const tg_groups_attributes *const a = d->attributes;
    const tg__shape *const x = tg__shape_of(d, d->x[0]);
    derive(d, &(const view){
                  .rank = 4,
                  .from = 1,
                  .parameters = 2,
                  .dim = { x->dim[0], a->groups, x->dim[1] / a->groups, inner_of(x) },
                  .sets = { TG_DEFAULTS_reduce, .axes = { 2, { 2, 3 } }, .keep = true },
                  .centered = true,
                  .epsilon = a->epsilon,
              });
}

CASES(group_norm,
      NORMALIZED(groups, TENSOR(-2, 2, 2, 4, 3), TENSOR(0.5, 2, 4), TENSOR(-1, 1, 4), .groups = 2),
      NORMALIZED(groups, TENSOR(-2, 2, 2, 6), TENSOR(0.5, 2, 6), TENSOR(-1, 1, 6), .groups = 2,
                 .epsilon = 0.1),
      NORMALIZED(groups, TENSOR(-2, 2, 1, 2, 4, 5), TENSOR(0.5, 2, 2), TENSOR(-1, 1, 2),
                 .groups = 1),
      NORMALIZED(groups, TENSOR(-2, 2, 1, 2, 17), SCALAR(0.5, 2), SCALAR(-1, 1), .groups = 2,
                 .epsilon = 0.5))

/* ---- batch_norm ------------------------------------------------------------------------------ */

TG_OP(batch_norm, "nll", normalize,
      "x (samples, channels, ...) normalized channel by channel over all samples, times gamma, plus "
      "beta (channels)")

SHAPE(batch_norm)
{
    const tg_code code = channels_shape(c, y);
    if (code != TG_OK) return code;
    return check_epsilon(c, ((const tg_normalize_attributes *)c->attributes)->epsilon);
}

static plan batch_plan(const tg__call *c)
{
    const tg__shape *const x = c->x[0].s;
    return (plan){
        .p = { .outer = x->dim[0],
               .groups = 1,
               .channels = x->dim[1],
               .inner = inner_of(x),
               .centered = true,
               .epsilon = ((const tg_normalize_attributes *)c->attributes)->epsilon },
        .count = x->dim[1],
        .repeat = 1,
        .forward = c->k->norm.across,
        .backward = c->k->norm.across_backward,
    };
}

FORWARD(batch_norm) { return forward(c, batch_plan(c)); }

BACKWARD(batch_norm) { return backward(c, batch_plan(c)); }

DERIVATIVE(batch_norm)
{
    const tg__shape *const x = tg__shape_of(d, d->x[0]);
    derive(d, &(const view){
                  .rank = 3,
                  .from = 1,
                  .parameters = 1,
                  .dim = { x->dim[0], x->dim[1], inner_of(x) },
                  .sets = { TG_DEFAULTS_reduce, .axes = { 2, { 0, 2 } }, .keep = true },
                  .centered = true,
                  .epsilon = ((const tg_normalize_attributes *)d->attributes)->epsilon,
              });
}

CASES(batch_norm,
      NORMALIZED(normalize, TENSOR(-2, 2, 5, 3), TENSOR(0.5, 2, 3), TENSOR(-1, 1, 3), .epsilon = 0.3),
      NORMALIZED(normalize, TENSOR(-2, 2, 3, 2, 2, 2), TENSOR(0.5, 2, 2), TENSOR(-1, 1, 2),
                 .epsilon = 0.1),
      NORMALIZED(normalize, TENSOR(-2, 2, 2, 2, 17), TENSOR(0.5, 2, 2), TENSOR(-1, 1, 2),
                 .epsilon = 0.3),
      NORMALIZED(normalize, TENSOR(-2, 2, 3, 2, 3), SCALAR(0.5, 2), SCALAR(-1, 1), .epsilon = 0.5))
