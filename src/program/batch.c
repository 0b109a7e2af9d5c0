/* Operations on all instances of a block at once: many ops do to an array with one more axis what
   they do to each of its parts. */
#include <string.h>

#include "codes.h" /* generated */
#include "program/planner.h"

/* x with the instances as first axis, to be filled in when a block is run. */
static bool lead(const tg__planner *p, uint32_t id, tg__shape *y)
{
    const tg__graph *const g = p->g;
    const tg__shape x = *tg__node_shape(g, id);
    const uint32_t owner = tg__node_owner(g, id);
    const tg__shape *const whole = tg__node_shape(g, owner);
    if (x.rank == TG_MAX_RANK) return false;
    y->type = x.type;
    y->rank = x.rank + 1;
    y->n = x.n;
    y->dim[0] = 0;
    y->stride[0] = whole->n;
    for (int i = 0; i < x.rank; i++) y->dim[i + 1] = x.dim[i], y->stride[i + 1] = x.stride[i];
    return true;
}

static bool varies(const tg__planner *p, uint32_t id)
{
    return tg__node_at(p->g, id)->stage == TG__BODY;
}

/* Operand i of the form is the node's operand `from`, with one more axis if it varies. */
static bool take(const tg__planner *p, tg__form *f, int i, int from, uint32_t id)
{
    f->from[i] = from;
    f->batched[i] = varies(p, id);
    f->x[i] = *tg__node_shape(p->g, id);
    return !f->batched[i] || lead(p, id, &f->x[i]);
}

static void insert(tg__shape *s, int axis, int64_t stride)
{
    for (int i = s->rank; i > axis; i--) s->dim[i] = s->dim[i - 1], s->stride[i] = s->stride[i - 1];
    s->dim[axis] = 1;
    s->stride[axis] = stride;
    s->rank++;
}

/* ---- forms of ops ------------------------------------------------------------------------------ */

/* The result in row-major order: with the instances first. */
static void finish_result(const tg__planner *p, tg__form *f, uint32_t y)
{
    lead(p, y, &f->y);
}

/* A vector times a shared matrix, or a shared matrix times a vector: a matrix times a matrix. */
static bool product_with_shared(const tg__planner *p, const uint32_t *x, uint32_t y, tg__form *f)
{
    const int one = varies(p, x[0]) ? 0 : 1; /* the one that varies */
    const tg__shape *const v = tg__node_shape(p->g, x[one]), *const w = tg__node_shape(p->g, x[1 - one]);
    if (v->rank != 1 || w->rank > 2) return false;
    if (!take(p, f, 0, one, x[one]) || !take(p, f, 1, 1 - one, x[1 - one])) return false;
    if (w->rank == 1) insert(&f->x[1], 1, 1); /* a column */
    else if (one == 1) { /* W x = (x' W')' */
        f->x[1].dim[0] = w->dim[1], f->x[1].stride[0] = w->stride[1];
        f->x[1].dim[1] = w->dim[0], f->x[1].stride[1] = w->stride[0];
    }
    finish_result(p, f, y);
    if (w->rank == 1) insert(&f->y, 1, 1);
    return true;
}

/* Any other product: a stack of products of matrices, with as many batch axes on both sides. */
static bool product_of_stacks(const tg__planner *p, const uint32_t *x, uint32_t y, tg__form *f)
{
    tg__shape s[2];
    bool vector[2];
    for (int i = 0; i < 2; i++) {
        if (!take(p, f, i, i, x[i])) return false;
        s[i] = f->x[i];
        const int axes = s[i].rank - f->batched[i];
        vector[i] = axes == 1;
        if (vector[i] && s[i].rank == TG_MAX_RANK) return false;
        if (vector[i]) insert(&s[i], s[i].rank - (i == 0), 1);
    }
    int rank = 0;
    for (int i = 0; i < 2; i++)
        if (s[i].rank - f->batched[i] > rank) rank = s[i].rank - f->batched[i];
    if (rank + 1 > TG_MAX_RANK) return false;
    for (int i = 0; i < 2; i++) {
        while (f->batched[i] && s[i].rank < rank + 1) insert(&s[i], 1, 1);
        f->x[i] = s[i];
    }
    finish_result(p, f, y);
    const int extra = (int)vector[0] + (int)vector[1];
    if (f->y.rank + extra > TG_MAX_RANK) return false;
    if (vector[1]) insert(&f->y, f->y.rank, 1);
    if (vector[0]) insert(&f->y, f->y.rank - 1, 1);
    return true;
}

static bool product(const tg__planner *p, const uint32_t *x, uint32_t y, tg__form *f)
{
    f->code = TG__CODE_matmul;
    f->n = 2;
    const bool both = varies(p, x[0]) && varies(p, x[1]);
    if (!both && product_with_shared(p, x, y, f)) return true;
    return product_of_stacks(p, x, y, f);
}

/* Operand 0 varies, the others are shared and stay as they are. */
static bool first_varies(const tg__planner *p, const uint32_t *x, int n, uint32_t y, tg__form *f)
{
    for (int i = 0; i < n; i++)
        if (varies(p, x[i]) != (i == 0) || !take(p, f, i, i, x[i])) return false;
    finish_result(p, f, y);
    return true;
}

/* An attribute that counts axes from the front counts one more. */
static void shift_axis(int *axis)
{
    if (*axis >= 0) ++*axis;
}

static void shift_reduced(tg_reduce_attributes *a, int rank)
{
    if (a->axes.count == 0 && a->axis == TG_ALL) {
        a->axes.count = rank;
        for (int i = 0; i < rank; i++) a->axes.axis[i] = i + 1;
        return;
    }
    if (a->axes.count == 0) shift_axis(&a->axis);
    for (int i = 0; i < a->axes.count; i++) shift_axis(&a->axes.axis[i]);
}

/* One row and one label, both varying: a loss for each. */
static bool row_and_label(const tg__planner *p, const uint32_t *x, uint32_t y, tg__form *f)
{
    const bool each = tg__node_shape(p->g, x[0])->rank == 1 && tg__node_shape(p->g, x[1])->rank == 0;
    for (int i = 0; i < 2; i++)
        if (!each || !varies(p, x[i]) || !take(p, f, i, i, x[i])) return false;
    finish_result(p, f, y);
    return true;
}

/* What has one loss, an element or a row, and its target, both varying: a loss for each. */
static bool one_and_target(const tg__planner *p, const uint32_t *x, uint32_t y, bool row, tg__form *f)
{
    const tg__shape *const a = tg__node_shape(p->g, x[0]), *const b = tg__node_shape(p->g, x[1]);
    if (!tg__shape_same_dims(a, b) || (row ? a->rank != 1 : a->n != 1)) return false;
    for (int i = 0; i < 2; i++)
        if (!varies(p, x[i]) || !take(p, f, i, i, x[i])) return false;
    finish_result(p, f, y);
    return true;
}

/* Elements of a shared table at indices that vary: as many more indices. */
static bool table_and_index(const tg__planner *p, const uint32_t *x, uint32_t y, tg__form *f)
{
    for (int i = 0; i < 2; i++)
        if (varies(p, x[i]) != (i == 1) || !take(p, f, i, i, x[i])) return false;
    finish_result(p, f, y);
    return true;
}

/* One row of indices for each instance, along the first axis: a row of more rows. */
static bool gathered(const tg__planner *p, const uint32_t *x, uint32_t y, tg__form *f)
{
    const tg__shape *const index = tg__node_shape(p->g, x[1]);
    const int axis = tg__axis(f->attributes.axis.axis, index->rank);
    if (axis != 0 || index->dim[0] != 1 || !table_and_index(p, x, y, f)) return false;
    tg__shape *const rows[] = { &f->x[1], &f->y };
    for (int i = 0; i < 2; i++) {
        tg__shape *const s = rows[i];
        s->rank--;
        for (int j = 1; j < s->rank; j++)
            s->dim[j] = s->dim[j + 1], s->stride[j] = s->stride[j + 1];
    }
    return true;
}

bool tg__is_reduction(int code)
{
    switch (code) {
    case TG__CODE_sum:
    case TG__CODE_mean:
    case TG__CODE_prod:
    case TG__CODE_var:
    case TG__CODE_std:
    case TG__CODE_amax:
    case TG__CODE_amin:
    case TG__CODE_argmax:
    case TG__CODE_argmin:
    case TG__CODE_norm:
    case TG__CODE_logsumexp: return true;
    default: return false;
    }
}

/* The form of op `code` on operands x with result y; false: it has none. */
static bool form_of(const tg__planner *p, int code, const uint32_t *x, int n, uint32_t y,
                    const void *attributes, tg__form *f)
{
    f->code = code;
    f->n = n;
    memcpy(&f->attributes, attributes, tg__ops[code]->attributes->size);
    const tg__shape *const s = tg__node_shape(p->g, x[0]);
    if (tg__is_reduction(code)) {
        if (s->rank == 0 || s->rank == TG_MAX_RANK) return false;
        shift_reduced(&f->attributes.reduce, s->rank);
        return first_varies(p, x, n, y, f);
    }
    switch (code) {
    case TG__CODE_matmul:
    case TG__CODE_dot:
    case TG__CODE_mv: return product(p, x, y, f);
    case TG__CODE_dropout:
        /* The elements of all instances are drawn as one row. */
        if (((const tg_dropout_attributes *)attributes)->same) return false;
        return first_varies(p, x, n, y, f);
    case TG__CODE_linear:
    case TG__CODE_contiguous:
    case TG__CODE_layer_norm:
    case TG__CODE_rms_norm: return first_varies(p, x, n, y, f);
    case TG__CODE_softargmax:
    case TG__CODE_softargmin:
    case TG__CODE_log_softmax:
        if (s->rank == 0) return false;
        shift_axis(&f->attributes.softmax.axis);
        return first_varies(p, x, n, y, f);
    case TG__CODE_embedding:
    case TG__CODE_take: return table_and_index(p, x, y, f);
    case TG__CODE_gather: return gathered(p, x, y, f);
    case TG__CODE_mse:
    case TG__CODE_l1:
    case TG__CODE_huber:
    case TG__CODE_smooth_l1:
    case TG__CODE_bce:
    case TG__CODE_bce_with_logits:
    case TG__CODE_kl_div:
    case TG__CODE_hinge:
        f->attributes.reduction = TG_NONE;
        return one_and_target(p, x, y, false, f);
    case TG__CODE_cross_entropy_soft: f->attributes.reduction = TG_NONE; return one_and_target(p, x, y, true, f);
    case TG__CODE_nll: f->attributes.labels.reduction = TG_NONE; return row_and_label(p, x, y, f);
    case TG__CODE_cross_entropy:
        f->attributes.smoothed.reduction = TG_NONE;
        return row_and_label(p, x, y, f);
    default: return false;
    }
}

/* Whether node id is a sum of products of two vectors, one of which varies, while the other is shared. Contributions to
   a gradient are products as long as all numbers are finite. */
static bool is_sum_of_products(const tg__planner *p, uint32_t id)
{
    const tg__graph *const g = p->g;
    const tg__node *const node = tg__node_at(g, id);
    const uint32_t x = tg__node_operands(g, node)[0];
    const tg__node *const of = tg__node_at(g, x);
    const tg__shape *const s = tg__node_shape(g, x);
    const bool products = of->op == TG__CODE_mul || (of->op == TG__CODE_times && !p->careful);
    if (node->op != TG__CODE_sum || !products || g->without & TG_DOTS) return false;
    const uint32_t *const factor = tg__node_operands(g, of);
    return s->rank == 1 && tg__node_shape(g, id)->n == 1 && varies(p, factor[0]) != varies(p, factor[1]) &&
           tg__shape_same_dims(tg__node_shape(g, factor[0]), s) && tg__shape_same_dims(tg__node_shape(g, factor[1]), s);
}

bool tg__is_dot(const tg__planner *p, uint32_t id)
{
    const tg__node *const node = tg__node_at(p->g, id);
    return node->op == TG__CODE_sum && p->role[tg__node_operands(p->g, node)[0]] == TG__FUSED;
}

/* As one sum of products; its result is one number, whether that has an axis or not. */
static bool form_of_dot(const tg__planner *p, uint32_t id, tg__form *f)
{
    const tg__node *const product_node = tg__node_at(p->g, tg__node_operands(p->g, tg__node_at(p->g, id))[0]);
    if (!product(p, tg__node_operands(p->g, product_node), id, f)) return false;
    f->y.rank = 2;
    f->y.dim[1] = f->y.stride[1] = 1;
    return true;
}

/* Whether a node's instances lie one behind the other, each adjacent, row-major. */
static bool is_stacked(const tg__planner *p, uint32_t id)
{
    const tg__shape *const s = tg__node_shape(p->g, id);
    return varies(p, id) && tg__node_shape(p->g, tg__node_owner(p->g, id))->n == s->n &&
           tg__shape_contiguous(s);
}

bool tg__batch_form(const tg__planner *p, uint32_t id, bool summed, tg__form *f)
{
    const tg__graph *const g = p->g;
    const tg__node *const node = tg__node_at(g, id);
    const uint32_t *const x = tg__node_operands(g, node);
    if (node->stage != TG__BODY || p->single || g->strict || g->without & TG_WHOLE_BLOCKS) return false;
    if (!summed && tg__is_dot(p, id)) return form_of_dot(p, id, f);
    if (node->op != TG__NODE_BACKWARD)
        return !summed && form_of(p, node->op, x, (int)tg__node_n(node), id, tg__node_data(g, node), f);
    const tg__back *const b = tg__node_data(g, node);
    const uint32_t n = tg__node_n(node) - 2, y = x[n], gradient = x[n + 1];
    const bool by_varies = varies(p, x[b->by]);
    if (by_varies == summed || !is_stacked(p, y)) return false;
    f->same = !varies(p, gradient);
    if (f->same ? !tg__shape_contiguous(tg__node_shape(p->g, gradient)) : !is_stacked(p, gradient))
        return false;
    if (by_varies && !is_stacked(p, x[b->by])) return false;
    if (!form_of(p, b->op, x, (int)n, y, tg__attributes_at(g, b->attributes), f)) return false;
    f->back = true;
    f->summed = summed;
    for (int i = 0; i < f->n; i++)
        if (f->from[i] == b->by) f->by = i;
    return true;
}

void tg__find_sums(tg__planner *p)
{
    if (p->g->without & TG_WHOLE_BLOCKS) return;
    for (uint32_t id = 1; id < p->n; id++) {
        const tg__node *const node = tg__node_at(p->g, id);
        const bool over_batch = node->op == TG__NODE_SUM && !tg__is_scalar(node);
        const bool over_elements = node->op == TG__CODE_sum && node->stage == TG__BODY && !p->g->strict;
        if ((!over_batch && !over_elements) || p->role[id] != TG__NEEDED) continue;
        const uint32_t x = tg__node_operands(p->g, node)[0];
        if (p->uses[x] != 1 || p->role[x] != TG__NEEDED) continue;
        tg__form f;
        if (over_batch ? tg__node_at(p->g, x)->op == TG__NODE_BACKWARD && tg__batch_form(p, x, true, &f)
                       : is_sum_of_products(p, id) && form_of_dot(p, id, &f)) {
            p->role[x] = TG__FUSED;
            if (tg__node_at(p->g, x)->op == TG__CODE_times) p->plan->quick = true;
        }
    }
}
