/* Operations by others, their values only: gradients have been taken before. See
   tg__graph_expressed. */
#include <math.h>

#include "base/random.h"
#include "codes.h" /* generated */
#include "ops/loss.h"
#include "program/lower.h"

typedef struct expression {
    tg__graph *g;
    const uint32_t *x;
    uint32_t n;
    const void *attributes;
} expression;

static uint32_t number(const expression *e, double x)
{
    return tg__graph_number(e->g, x);
}

static uint32_t one(const expression *e, int code, uint32_t a, const void *attributes)
{
    return tg__graph_apply(e->g, code, &a, 1, attributes);
}

static uint32_t two(const expression *e, int code, uint32_t a, uint32_t b)
{
    return tg__graph_apply(e->g, code, (const uint32_t[]){ a, b }, 2, NULL);
}

/* yes where condition is not 0, else no. */
static uint32_t choose(const expression *e, uint32_t condition, uint32_t yes, uint32_t no)
{
    return tg__graph_apply(e->g, TG__CODE_where, (const uint32_t[]){ condition, yes, no }, 3, NULL);
}

static uint32_t reshaped(const expression *e, uint32_t x, int rank, const int64_t *dim)
{
    tg_list_attributes list = { .count = rank };
    for (int i = 0; i < rank; i++) list.item[i] = dim[i];
    return one(e, TG__CODE_reshape, x, &list);
}

static tg__shape dims_of(const expression *e, uint32_t x)
{
    return *tg__node_shape(e->g, x);
}

static tg_reduce_attributes along(int axis, bool keep)
{
    return (tg_reduce_attributes){ TG_DEFAULTS_reduce, .axis = axis, .keep = keep };
}

/* ---- softargmax and its kin --------------------------------------------------------------------- */

/* beta x less its largest along the axis; of no elements beta x. */
static uint32_t lowered(const expression *e, uint32_t x, double beta, const tg_reduce_attributes *over)
{
    if (beta != 1) x = two(e, TG__CODE_mul, x, number(e, beta));
    if (tg__graph_failed(e->g) || dims_of(e, x).n == 0) return x;
    return two(e, TG__CODE_sub, x, one(e, TG__CODE_amax, x, over));
}

static uint32_t softargmax(const expression *e, uint32_t x, double beta, int axis)
{
    const tg_reduce_attributes over = along(axis, true);
    const uint32_t exponentials = one(e, TG__CODE_exp, lowered(e, x, beta, &over), NULL);
    return two(e, TG__CODE_div, exponentials, one(e, TG__CODE_sum, exponentials, &over));
}

static uint32_t log_softmax(const expression *e, uint32_t x, double beta, int axis)
{
    const tg_reduce_attributes over = along(axis, true);
    const uint32_t d = lowered(e, x, beta, &over), p = one(e, TG__CODE_exp, d, NULL);
    return two(e, TG__CODE_sub, d, one(e, TG__CODE_log, one(e, TG__CODE_sum, p, &over), NULL));
}

static uint32_t logsumexp(const expression *e)
{
    tg_reduce_attributes over = *(const tg_reduce_attributes *)e->attributes;
    if (dims_of(e, e->x[0]).n == 0)
        return one(e, TG__CODE_log, one(e, TG__CODE_sum, e->x[0], &over), NULL);
    over.keep = true;
    const uint32_t top = one(e, TG__CODE_amax, e->x[0], &over);
    const uint32_t from = choose(e, one(e, TG__CODE_isfinite, top, NULL), top, number(e, 0));
    const uint32_t p = one(e, TG__CODE_exp, two(e, TG__CODE_sub, e->x[0], from), NULL);
    const uint32_t sum = one(e, TG__CODE_sum, p, e->attributes);
    if (tg__graph_failed(e->g)) return 0;
    const tg__shape s = dims_of(e, sum);
    return two(e, TG__CODE_add, one(e, TG__CODE_log, sum, NULL), reshaped(e, from, s.rank, s.dim));
}

/* Query i sees keys 0 ... i of causal attention. */
static uint32_t attention(const expression *e)
{
    const tg_attention_attributes *const a = e->attributes;
    const tg__shape q = dims_of(e, e->x[0]), k = dims_of(e, e->x[1]);
    const double d = (double)q.dim[q.rank - 1];
    const uint32_t x = two(e, TG__CODE_mul, e->x[0], number(e, a->scale != 0 ? a->scale : 1 / sqrt(d)));
    uint32_t scores = two(e, TG__CODE_matmul, x, one(e, TG__CODE_transpose, e->x[1], NULL));
    if (a->causal) {
        const tg_list_attributes list = { 2, { q.dim[q.rank - 2], k.dim[k.rank - 2] } };
        const uint32_t ones = one(e, TG__CODE_broadcast_to, number(e, 1), &list);
        const uint32_t seen = one(e, TG__CODE_tril, ones, NULL);
        scores = choose(e, seen, scores, number(e, -(double)INFINITY));
    }
    return two(e, TG__CODE_matmul, softargmax(e, scores, 1, -1), e->x[2]);
}

/* ---- moments ----------------------------------------------------------------------------------- */

static uint32_t square_of(const expression *e, uint32_t x)
{
    return one(e, TG__CODE_square, x, NULL);
}

static uint32_t centered(const expression *e, uint32_t x, const tg_reduce_attributes *over)
{
    tg_reduce_attributes kept = *over;
    kept.keep = true;
    return two(e, TG__CODE_sub, x, one(e, TG__CODE_mean, x, &kept));
}

static uint32_t variance(const expression *e)
{
    const tg_reduce_attributes *const a = e->attributes;
    const uint32_t squares = square_of(e, centered(e, e->x[0], a));
    const uint32_t sum = one(e, TG__CODE_sum, squares, a);
    if (tg__graph_failed(e->g)) return 0;
    const tg__shape s = dims_of(e, sum), x = dims_of(e, e->x[0]);
    const double n = (s.n ? (double)(x.n / s.n) : 0) - a->correction;
    return two(e, TG__CODE_div, sum, number(e, n > 0 ? n : (double)NAN));
}

static uint32_t norm(const expression *e)
{
    const tg_reduce_attributes *const a = e->attributes;
    const uint32_t x = e->x[0], size = one(e, TG__CODE_abs, x, NULL);
    if (a->p == 0) return one(e, TG__CODE_sum, two(e, TG__CODE_ne, x, number(e, 0)), a);
    if (a->p == 1) return one(e, TG__CODE_sum, size, a);
    if (a->p == 2)
        return one(e, TG__CODE_sqrt, one(e, TG__CODE_sum, square_of(e, x), a), NULL);
    if (isinf(a->p) && dims_of(e, x).n) return one(e, TG__CODE_amax, size, a);
    if (isinf(a->p)) return one(e, TG__CODE_sum, size, a);
    const uint32_t powers = two(e, TG__CODE_pow, size, number(e, a->p));
    return two(e, TG__CODE_pow, one(e, TG__CODE_sum, powers, a), number(e, 1 / a->p));
}

/* x less its mean, where it is centered, over its deviation. */
static uint32_t normalized(const expression *e, uint32_t x, const tg_reduce_attributes *over,
                           bool center, double epsilon)
{
    if (center) x = centered(e, x, over);
    const uint32_t power = one(e, TG__CODE_mean, square_of(e, x), over);
    const uint32_t scale = two(e, TG__CODE_add, power, number(e, epsilon));
    return two(e, TG__CODE_mul, x, one(e, TG__CODE_rsqrt, scale, NULL));
}

static uint32_t layer_norm(const expression *e, bool center)
{
    tg_reduce_attributes over = along(TG_ALL, true);
    for (uint32_t i = 1; i < e->n; i++)
        if (dims_of(e, e->x[i]).rank > over.axes.count) over.axes.count = dims_of(e, e->x[i]).rank;
    if (!over.axes.count) over.axes.count = 1;
    for (int i = 0; i < over.axes.count; i++) over.axes.axis[i] = -1 - i;
    const double epsilon = ((const tg_normalize_attributes *)e->attributes)->epsilon;
    const uint32_t y = normalized(e, e->x[0], &over, center, epsilon);
    const uint32_t scaled = two(e, TG__CODE_mul, y, e->x[1]);
    return center ? two(e, TG__CODE_add, scaled, e->x[2]) : scaled;
}

/* With a gamma and beta for each channel, axis 1 of y. */
static uint32_t by_channel(const expression *e, uint32_t y, const tg__shape *s)
{
    uint32_t parameter[2];
    tg__shape own = *s;
    for (int i = 0; i < s->rank; i++) own.dim[i] = i == 1 ? s->dim[i] : 1;
    for (int i = 0; i < 2; i++) {
        parameter[i] = e->x[1 + i];
        if (dims_of(e, parameter[i]).rank) parameter[i] = reshaped(e, parameter[i], own.rank, own.dim);
    }
    return two(e, TG__CODE_add, two(e, TG__CODE_mul, y, parameter[0]), parameter[1]);
}

static uint32_t batch_norm(const expression *e)
{
    const tg__shape s = dims_of(e, e->x[0]);
    tg_reduce_attributes over = along(TG_ALL, true);
    for (int i = 0; i < s.rank; i++)
        if (i != 1) over.axes.axis[over.axes.count++] = i;
    const double epsilon = ((const tg_normalize_attributes *)e->attributes)->epsilon;
    return by_channel(e, normalized(e, e->x[0], &over, true, epsilon), &s);
}

static uint32_t group_norm(const expression *e)
{
    const tg_groups_attributes *const a = e->attributes;
    const tg__shape s = dims_of(e, e->x[0]);
    tg_reduce_attributes over = along(-1, true);
    const int64_t each = s.dim[0] * a->groups;
    const int64_t dim[] = { s.dim[0], a->groups, each ? s.n / each : 0 };
    const uint32_t y = normalized(e, reshaped(e, e->x[0], 3, dim), &over, true, a->epsilon);
    return by_channel(e, reshaped(e, y, s.rank, s.dim), &s);
}

/* ---- losses ------------------------------------------------------------------------------------ */

/* Elements by how the loss reduces them; total: what a mean is divided by, 0: their number. */
static uint32_t reduced(const expression *e, uint32_t elements, uint32_t total)
{
    const tg_reduction r = tg__reduction(e->attributes);
    if (r == TG_NONE) return elements;
    if (r == TG_MEAN && !total) return one(e, TG__CODE_mean, elements, NULL);
    const uint32_t sum = one(e, TG__CODE_sum, elements, NULL);
    return r == TG_SUM ? sum : two(e, TG__CODE_div, sum, total);
}

static uint32_t bounded_log(const expression *e, int code, uint32_t x)
{
    return two(e, TG__CODE_maximum, one(e, code, x, NULL), number(e, -100));
}

/* -(b log(a) + (1 - b) log(1 - a)) */
static uint32_t bce(const expression *e)
{
    const uint32_t a = e->x[0], b = e->x[1];
    const uint32_t yes = two(e, TG__CODE_mul, b, bounded_log(e, TG__CODE_log, a));
    const uint32_t no = two(e, TG__CODE_mul, two(e, TG__CODE_sub, number(e, 1), b),
                            bounded_log(e, TG__CODE_log1p, one(e, TG__CODE_neg, a, NULL)));
    return one(e, TG__CODE_neg, two(e, TG__CODE_add, yes, no), NULL);
}

/* scale e e / 2 up to the bend, from there on (e - bend / 2) slope. */
static uint32_t bent(const expression *e, double bend, double slope)
{
    const uint32_t size = one(e, TG__CODE_abs, two(e, TG__CODE_sub, e->x[0], e->x[1]), NULL);
    if (bend == 0) return size;
    const uint32_t line = two(e, TG__CODE_mul, number(e, slope),
                              two(e, TG__CODE_sub, size, number(e, bend / 2)));
    const uint32_t curve = two(e, TG__CODE_mul, number(e, slope / (2 * bend)), square_of(e, size));
    return choose(e, two(e, TG__CODE_lt, size, number(e, bend)), curve, line);
}

static uint32_t kl_div(const expression *e)
{
    const uint32_t difference = two(e, TG__CODE_sub, one(e, TG__CODE_log, e->x[1], NULL), e->x[0]);
    return two(e, TG__CODE_times, e->x[1], difference);
}

static uint32_t hinge(const expression *e)
{
    const uint32_t met = two(e, TG__CODE_mul, e->x[0], e->x[1]);
    return one(e, TG__CODE_relu, two(e, TG__CODE_sub, number(e, 1), met), NULL);
}

static uint32_t pair_loss(const expression *e, int code)
{
    const uint32_t a = e->x[0], b = e->x[1];
    switch (code) {
    case TG__CODE_mse: return square_of(e, two(e, TG__CODE_sub, a, b));
    case TG__CODE_l1: return bent(e, 0, 1);
    case TG__CODE_bce: return bce(e);
    case TG__CODE_bce_with_logits:
        return two(e, TG__CODE_sub, one(e, TG__CODE_softplus, a, NULL), two(e, TG__CODE_mul, a, b));
    case TG__CODE_huber: {
        const double delta = ((const tg_huber_attributes *)e->attributes)->delta;
        return bent(e, delta, delta);
    }
    case TG__CODE_smooth_l1:
        return bent(e, ((const tg_smooth_l1_attributes *)e->attributes)->beta, 1);
    case TG__CODE_kl_div: return kl_div(e);
    case TG__CODE_hinge: return hinge(e);
    default: return 0;
    }
}

/* ---- losses of labels -------------------------------------------------------------------------- */

static uint32_t class_targets(const expression *e, int64_t ignore, double smoothing)
{
    const tg__shape x = dims_of(e, e->x[0]);
    const tg_targets_attributes a = { x.dim[x.rank - 1], ignore, smoothing };
    const uint32_t q = one(e, TG__CODE_targets, e->x[1], &a);
    return e->n > 2 ? two(e, TG__CODE_mul, q, e->x[2]) : q;
}

/* Minus the sum over the classes of target times log-probability. */
static uint32_t by_targets(const expression *e, uint32_t targets, uint32_t logs)
{
    const tg_reduce_attributes last = along(-1, false);
    const uint32_t products = two(e, TG__CODE_times, targets, logs);
    return one(e, TG__CODE_neg, one(e, TG__CODE_sum, products, &last), NULL);
}

static uint32_t label_loss(const expression *e, uint32_t logs, int64_t ignore, double smoothing)
{
    const uint32_t elements = by_targets(e, class_targets(e, ignore, smoothing), logs);
    const bool all = e->n == 2 && ignore == TG_NO_INDEX;
    if (all || tg__reduction(e->attributes) != TG_MEAN) return reduced(e, elements, 0);
    return reduced(e, elements, one(e, TG__CODE_sum, class_targets(e, ignore, 0), NULL));
}

static uint32_t class_loss(const expression *e, int code)
{
    if (code == TG__CODE_nll || code == TG__CODE_nll_weighted) {
        const tg_labels_attributes *const a = e->attributes;
        return label_loss(e, e->x[0], a->ignore_index, 0);
    }
    const uint32_t logs = log_softmax(e, e->x[0], 1, -1);
    if (code == TG__CODE_cross_entropy_soft) return reduced(e, by_targets(e, e->x[1], logs), 0);
    const tg_smoothed_attributes *const a = e->attributes;
    return label_loss(e, logs, a->ignore_index, a->label_smoothing);
}

/* ---- all --------------------------------------------------------------------------------------- */

static uint32_t trace(const expression *e)
{
    const tg_reduce_attributes last = along(-1, false);
    return one(e, TG__CODE_sum, one(e, TG__CODE_diagonal, e->x[0], e->attributes), &last);
}

/* By its positions: from a vector. */
static uint32_t take(const expression *e)
{
    const tg__shape s = dims_of(e, e->x[0]);
    if (s.rank == 1) return 0;
    return two(e, TG__CODE_take, reshaped(e, e->x[0], 1, &s.n), e->x[1]);
}

/* Where it drops nothing, or everything. */
static uint32_t dropout(const expression *e)
{
    const uint64_t least = tg__random_threshold(((const tg_dropout_attributes *)e->attributes)->p);
    const tg__shape s = dims_of(e, e->x[0]);
    tg_list_attributes list = { .count = s.rank };
    for (int i = 0; i < s.rank; i++) list.item[i] = s.dim[i];
    if (least == 0) return e->x[0];
    return least > UINT32_MAX ? one(e, TG__CODE_broadcast_to, number(e, 0), &list) : 0;
}

uint32_t tg__graph_expressed(tg__graph *g, int code, const uint32_t *x, uint32_t n,
                             const void *attributes)
{
    const expression e = { g, x, n, attributes };
    if (tg__graph_failed(g)) return 0;
    const tg_softmax_attributes *const soft = attributes;
    switch (code) {
    case TG__CODE_dropout: return dropout(&e);
    case TG__CODE_take: return take(&e);
    case TG__CODE_trace: return trace(&e);
    case TG__CODE_softargmax: return softargmax(&e, x[0], soft->beta, soft->axis);
    case TG__CODE_softargmin: return softargmax(&e, x[0], -soft->beta, soft->axis);
    case TG__CODE_log_softmax: return log_softmax(&e, x[0], soft->beta, soft->axis);
    case TG__CODE_logsumexp: return logsumexp(&e);
    case TG__CODE_attention: return attention(&e);
    case TG__CODE_var: return variance(&e);
    case TG__CODE_std: return one(&e, TG__CODE_sqrt, variance(&e), NULL);
    case TG__CODE_norm: return norm(&e);
    case TG__CODE_layer_norm: return layer_norm(&e, true);
    case TG__CODE_rms_norm: return layer_norm(&e, false);
    case TG__CODE_batch_norm: return batch_norm(&e);
    case TG__CODE_group_norm: return group_norm(&e);
    case TG__CODE_nll:
    case TG__CODE_nll_weighted:
    case TG__CODE_cross_entropy:
    case TG__CODE_cross_entropy_weighted:
    case TG__CODE_cross_entropy_soft: return class_loss(&e, code);
    default: {
        const uint32_t elements = pair_loss(&e, code);
        return elements ? reduced(&e, elements, 0) : 0;
    }
    }
}
