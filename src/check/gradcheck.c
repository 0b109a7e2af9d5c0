/* The check of a model: see tapegrad/check.h. Uses the public API alone: the model is recorded on
   a tape of its own, once for its gradient, then again for each changed input, so that the
   model's control flow may depend on its inputs. */
#include "check/inner.h"

#include <tapegrad/debug.h>
#include <tapegrad/derivatives.h>
#include <tapegrad/tape.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Of models with one value: not 1, so that rules not linear in g show; a power of 2, so that
   dividing by it is exact. */
#define SCALAR_COTANGENT 0.5

/* How far the two sides of the adjoint identity, and gradients of opposite cotangents, may be apart
   by rounding, relative to their terms. */
#define IDENTITY 1e-6
#define OPPOSITE 1e-9

/* How often a kink is looked for, at four times the step each time. */
#define WIDER 3

/* The same relative to the model's value, for derivatives that are nothing but rounding. */
#define ROUNDING 1e-12

typedef struct subject {
    tg_model *model;
    void *user;
    tg_tape *tape;
    tg_mark mark;
    tg_value *leaf; /* (n) */
    tg_value root;
} subject;

static bool stop_by_tape(tg__check *c)
{
    const subject *s = c->subject;
    const tg_error *error = s->tape ? tg_error_of(s->tape) : NULL;
    return tg__stop(c, TG_FAILED, "failed: %s", error ? error->message : "no memory for the check");
}

/* Records the model at the leaves' present contents; a null value after any error. */
static tg_value record(tg__check *c)
{
    subject *const s = c->subject;
    const tg_value none = { 0 };
    const tg_value y = s->model(s->tape, s->leaf, s->user);
    if (tg_error_of(s->tape)) return stop_by_tape(c), none;
    if (y.tape != s->tape || tg_rank(y) < 0)
        return tg__stop(c, TG_FAILED, "failed: the model returned no value of its tape"), none;
    if (tg_type_of(y) == TG_I64)
        return tg__stop(c, TG_FAILED,
                        "failed: the model's value is an index tensor, which has no gradient"),
               none;
    return y;
}

static bool edit(tg__check *c, int input, const double *x)
{
    subject *const s = c->subject;
    double *const to = tg_edit(s->leaf[input]);
    if (!to) return stop_by_tape(c);
    memcpy(to, x, tg__input_size(&c->inputs[input]) * sizeof *x);
    return true;
}

/* The model's value with one input changed; the leaf is put back. */
static bool evaluate(tg__check *c, int input, const double *x, double *out)
{
    subject *const s = c->subject;
    if (!tg_release(s->mark)) return stop_by_tape(c);
    if (input >= 0 && !edit(c, input, x)) return false;
    const tg_value y = record(c);
    if (!y.tape) return false;
    if ((size_t)tg_size(y) != c->size)
        return tg__stop(
            c, TG_FAILED,
            "failed: the model's value has %lld elements, and had %zu at the unchanged inputs",
            (long long)tg_size(y), c->size);
    if (!tg_read(y, out, c->size)) return stop_by_tape(c);
    s->root = y;
    return input < 0 || edit(c, input, c->inputs[input].data);
}

static bool make_leaves(tg__check *c)
{
    subject *const s = c->subject;
    s->leaf = tg__arena_push(&c->arena, (size_t)(c->n + 1) * sizeof *s->leaf);
    if (!s->leaf) return stop_by_tape(c);
    for (int i = 0; i < c->n; i++) {
        const tg_check_input *x = &c->inputs[i];
        s->leaf[i] = tg_leaf_new(s->tape, TG_PARAMETER, TG_F64, x->data, x->rank, x->shape, NULL);
        if (tg_error_of(s->tape)) return stop_by_tape(c);
        if (x->name) tg_name(s->leaf[i], x->name);
    }
    s->mark = tg_tape_mark(s->tape);
    return true;
}

/* ---- the gradient ---------------------------------------------------------------------------- */

/* The gradients with respect to all inputs, into the sheets' analytic or numeric. A value that
   depends on no input has none: zeros. */
static bool backward(tg__check *c, double sign, bool analytic)
{
    subject *const s = c->subject;
    const double half = sign * SCALAR_COTANGENT;
    for (size_t i = 0; i < c->size; i++) c->plus[i] = sign * c->weight[i];
    const tg_backward_options options = { .cotangent = c->size == 1 ? &half : c->plus };
    bool history = true;
    if (!tg_backward_with(s->root, &options)) {
        if (tg_error_of(s->tape)->code != TG_ERROR_HISTORY) return stop_by_tape(c);
        tg_error_clear(s->tape);
        history = false;
    }
    for (int i = 0; i < c->n; i++) {
        tg__sheet *t = &c->sheet[i];
        double *const to = analytic ? t->analytic : t->numeric;
        if (!history) memset(to, 0, t->size * sizeof *to);
        else if (!tg_grad_read(s->leaf[i], to, t->size)) return stop_by_tape(c);
        for (size_t k = 0; c->size == 1 && k < t->size; k++) to[k] /= SCALAR_COTANGENT;
    }
    return true;
}

/* The gradient of minus the value must be minus the gradient. */
static bool differentiate(tg__check *c)
{
    if (!backward(c, 1, true) || !backward(c, -1, false)) return false;
    for (int i = 0; i < c->n; i++) {
        const tg__sheet *t = &c->sheet[i];
        double largest = 0;
        for (size_t k = 0; k < t->size; k++)
            largest = fmax(largest, fabs(t->analytic[k]) + fabs(t->numeric[k]));
        for (size_t k = 0; k < t->size; k++)
            if (fabs(t->analytic[k] + t->numeric[k]) > OPPOSITE * largest) {
                c->report->fault = TG_FAULT_COTANGENT;
                snprintf(c->report->reason, sizeof c->report->reason,
                         "a backward rule is not linear in the incoming gradient: with the "
                         "opposite one, %.6g does not become %.6g but %.6g",
                         t->analytic[k], -t->analytic[k], t->numeric[k]);
                return true;
            }
    }
    return true;
}

/* <v, J u> = <J'v, u>, where J u comes from recorded derivatives and tangents: another way to the
   same number, without steps. Nothing is said where the model has no second way. */
static bool check_adjoint(tg__check *c)
{
    subject *const s = c->subject;
    size_t total = 0, at = 0;
    for (int i = 0; i < c->n; i++) total += c->sheet[i].size;
    double *const u = tg__push_doubles(c, total);
    if (!u) return tg__stop_for_memory(c);
    double there = 0, back = 0, size = 0, rounding = 0;
    for (size_t i = 0; i < c->size; i++) rounding += ROUNDING * fabs(c->weight[i] * c->y[i]);
    for (int i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->sheet[i].size; k++, at++) {
            const double term = (u[at] = tg__random_weight(c)) * c->sheet[i].analytic[k];
            back += term;
            size += fabs(term);
        }
    if (!evaluate(c, -1, NULL, c->plus)) return false;
    if (!tg_jvp(s->root, s->leaf, c->n, u, 1, c->plus)) {
        tg_error_clear(s->tape);
        return true;
    }
    for (size_t i = 0; i < c->size; i++) {
        there += c->weight[i] * c->plus[i];
        size += fabs(c->weight[i] * c->plus[i]);
    }
    if (!isfinite(there) || fabs(there - back) <= IDENTITY * size + rounding) return true;
    c->report->fault = TG_FAULT_ADJOINT;
    snprintf(c->report->reason, sizeof c->report->reason,
             "the gradient agrees with differences, but recorded derivatives or tangents do not "
             "agree with it: <v, Ju> is %.6g, <J'v, u> is %.6g",
             there, back);
    return tg__stop(c, TG_WRONG, "wrong: %s", c->report->reason);
}

/* ---- one pattern more ------------------------------------------------------------------------ */

/* Slices of the value along an axis, and entries of the wrong input, that are looked at. */
#define SLICES 16
#define ENTRIES 8

/* Of an axis of the value: with weights in one slice alone, is the gradient right there? Counts
   slices where it is right and not zero, and those where it is zero though it should not be. Any
   other ends the search. */
typedef struct slices {
    size_t n, inner;         /* the axis, and the elements that one step along it spans */
    double *weight, *masked; /* (size) */
    double *claimed;         /* (n, entries) */
    size_t entry[ENTRIES], entries;
    size_t right, zero, other, last; /* last: the slice that was right */
} slices;

static void mask(const tg__check *c, const slices *a, size_t slice)
{
    for (size_t i = 0; i < c->size; i++)
        c->weight[i] = i / a->inner % a->n == slice ? a->weight[i] : 0;
}

static bool claim_slices(tg__check *c, slices *a)
{
    const subject *s = c->subject;
    const tg__sheet *t = &c->sheet[c->worst];
    if (!evaluate(c, -1, NULL, c->plus)) return false;
    for (size_t k = 0; k < a->n; k++) {
        mask(c, a, k);
        memcpy(c->plus, c->weight, c->size * sizeof *c->plus);
        if (!tg_backward_with(s->root, &(tg_backward_options){ .cotangent = c->plus }) ||
            !tg_grad_read(s->leaf[t->input], a->masked, t->size))
            return stop_by_tape(c);
        for (size_t i = 0; i < a->entries; i++)
            a->claimed[k * a->entries + i] = a->masked[a->entry[i]];
    }
    return true;
}

static bool judge_slice(tg__check *c, slices *a, size_t slice)
{
    const tg__sheet *t = &c->sheet[c->worst];
    size_t right = 0, zero = 0, other = 0;
    mask(c, a, slice);
    for (size_t i = 0; i < a->entries; i++) {
        const size_t k = a->entry[i];
        const double claimed = a->claimed[slice * a->entries + i];
        const tg__line l = { .input = t->input,
                             .element = (int64_t)k,
                             .output = -1,
                             .scale = fmax(1, fabs(c->inputs[t->input].data[k])) };
        tg__slope n;
        if (!tg__measure(c, &l, &n)) return false;
        const double error = 10 * n.error + 1e-6 * fabs(n.value);
        if (fabs(n.value) <= error && claimed == 0) continue;
        if (fabs(claimed - n.value) <= error) right++;
        else if (claimed == 0) zero++;
        else other++;
    }
    a->right += right && !zero && !other;
    a->zero += zero && !right && !other;
    a->other += other || (zero && right);
    if (right) a->last = slice;
    return true;
}

static bool look_at_axis(tg__check *c, int axis, const int64_t *shape, slices *a)
{
    tg_check_report *const r = c->report;
    a->right = a->zero = a->other = 0;
    a->n = (size_t)shape[axis];
    if (a->n < 2 || a->n > SLICES) return true;
    if (!claim_slices(c, a)) return false;
    for (size_t k = 0; k < a->n && !a->other; k++)
        if (!judge_slice(c, a, k)) return false;
    if (a->other || a->right != 1 || a->zero == 0) return true;
    r->fault = TG_FAULT_SUM;
    snprintf(r->reason, sizeof r->reason,
             "a sum over axis %d of the value is missing: of its %zu parts only number %zu counts",
             axis, a->n, a->last);
    tg__summarize(c);
    return true;
}

/* An operand that was broadcast gets the sum over the axes that repeat it; a rule without the sum
   shows where the value's slices are looked at one by one. Leaves the verdict alone. */
static void look_for_sum(tg__check *c)
{
    const subject *s = c->subject;
    tg_check_report *const r = c->report;
    if (r->verdict != TG_WRONG || r->fault != TG_FAULT_OTHER || c->size < 2) return;
    const tg__sheet *t = &c->sheet[c->worst];
    slices a = { .weight = c->weight, .inner = c->size };
    double *const own = c->weight;
    a.masked = tg__push_doubles(c, t->size);
    a.claimed = tg__push_doubles(c, SLICES * ENTRIES);
    c->weight = tg__push_doubles(c, c->size);
    for (size_t k = 0; k < t->size && a.entries < ENTRIES; k++)
        if (t->known[k] == 1 + TG_WRONG) a.entry[a.entries++] = k;
    int64_t shape[TG_MAX_RANK];
    const int rank = tg_rank(s->root);
    for (int i = 0; i < rank; i++) shape[i] = tg_dim(s->root, i);
    const tg_check_report kept = *r;
    bool fine = a.masked && a.claimed && c->weight;
    for (int i = 0; i < rank && fine && r->fault == TG_FAULT_OTHER; i++) {
        a.inner /= (size_t)shape[i];
        fine = look_at_axis(c, i, shape, &a);
    }
    if (!fine) *r = kept;
    c->weight = own;
}

/* ---- which operation it is ------------------------------------------------------------------- */

/* The operation that has the kink or jump which was met along l, within step. */
static bool find_kink(tg__check *c, const tg__line *l, double step)
{
    subject *const s = c->subject;
    tg_check_report *const r = c->report;
    tg_kinks k = { .kinks = 0 };
    const size_t n = c->sheet[l->input].size;
    double *const u = c->moved;
    for (size_t i = 0; i < n; i++) u[i] = l->u ? l->u[i] : i == (size_t)l->element;
    if (!evaluate(c, -1, NULL, c->plus)) return false;
    for (int i = 0; i < WIDER && !k.place.op; i++, step *= 4)
        if (!tg_find_kink(s->root, s->leaf[l->input], u, step, &k, NULL)) return true;
    snprintf(r->operation, sizeof r->operation, "%s",
             k.place.op ? k.message
                        : "no recorded operation has it: does the model's own code branch there?");
    return true;
}

/* Records the model at its inputs again, after a check that came as far as that. */
static bool record_again(tg__check *c)
{
    const tg_check_report kept = *c->report;
    if (!c->plus || c->report->verdict == TG_FAILED) return false;
    if (evaluate(c, -1, NULL, c->plus)) return true;
    *c->report = kept;
    return false;
}

static void print_model(const tg__check *c, FILE *file)
{
    const subject *s = c->subject;
    tg_print_tape(s->tape, NULL, file, NULL);
}

/* Of a check that failed: the operation with the wrong derivative, or that made a number which is
   none. */
static void find_culprit(tg__check *c)
{
    const subject *s = c->subject;
    tg_check_report *const r = c->report;
    tg_blame_report blame;
    tg_nonfinite birth;
    if (r->verdict == TG_NOT_FINITE) {
        if (tg_find_nonfinite(s->root, &birth, NULL) && birth.found)
            snprintf(r->operation, sizeof r->operation, "%s", birth.message);
        return;
    }
    if (r->verdict != TG_WRONG || !tg_blame(s->root, &blame, NULL)) return;
    if (blame.wrong) snprintf(r->operation, sizeof r->operation, "%s", blame.message);
    else if (r->fault != TG_FAULT_ADJOINT)
        snprintf(
            r->operation, sizeof r->operation,
            "no recorded operation is wrong by itself (%zu derivatives agree, %zu could not be "
            "compared): does the model use numbers read from the tape, or detached values?",
            blame.checked, blame.skipped);
}

static bool run(tg__check *c)
{
    subject *const s = c->subject;
    const tg_tape_options options = { .max_bytes = c->options.max_bytes,
                                      .on_error = tg_ignore_error };
    s->tape = tg_tape_new(&options);
    if (!s->tape) return stop_by_tape(c);
    if (!tg__make_sheets(c) || !make_leaves(c)) return false;
    const tg_value y = record(c);
    if (!y.tape || !tg__make_room(c, (size_t)tg_size(y))) return false;
    if (!tg__weigh(c) || !differentiate(c)) return false;
    if (!tg__compare_all(c)) return look_for_sum(c), false;
    if (c->report->fault == TG_FAULT_COTANGENT)
        return tg__stop(c, TG_WRONG, "wrong: %s", c->report->reason);
    return c->options.no_adjoint || !c->nonzero || check_adjoint(c);
}

bool tg_gradcheck(tg_model *model, void *user, const tg_check_input *inputs, int n,
                  const tg_check_options *options, tg_check_report *report)
{
    tg_check_report unread;
    subject s = { .model = model, .user = user };
    tg__check c = { .kind = "gradcheck",
                    .inputs = inputs,
                    .n = n,
                    .evaluate = evaluate,
                    .find_kink = find_kink,
                    .subject = &s };
    if (!tg__open(&c, options, report ? report : &unread)) return false;
    const bool agrees = model ? run(&c) : tg__stop(&c, TG_FAILED, "the model is NULL");
    tg_check_report *const r = c.report;
    if (!agrees && record_again(&c)) {
        c.print = print_model;
        find_culprit(&c);
    }
    const size_t used = strlen(r->message);
    if (r->operation[0])
        snprintf(r->message + used, sizeof r->message - used, "; %s", r->operation);
    tg__close(&c, agrees);
    tg_tape_free(s.tape);
    return agrees;
}
