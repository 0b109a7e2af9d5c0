/* Gradient descent and its kin: one loop over the parameters, one function a rule. */
#include "optimizer.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/tape.h>

/* ---- errors ---------------------------------------------------------------------------------- */

bool tg__optimizer_fail(tg_optimizer *o, tg_code code, const char *format, ...)
{
    if (o->status.code != TG_OK) return false;
    va_list args;
    va_start(args, format);
    vsnprintf(o->status.message, sizeof o->status.message, format, args);
    va_end(args);
    o->status.code = code;
    return false;
}

const tg_status *tg_optimizer_status(const tg_optimizer *o)
{
    return &o->status;
}

/* ---- parameters ------------------------------------------------------------------------------ */

static bool add(tg_optimizer *o, const tg_value *parameters, int n, const tg_group *group)
{
    if (n < 0 || (n > 0 && !parameters))
        return tg__optimizer_fail(o, TG_ERROR_ARGUMENT, "the parameters are NULL");
    tg__slot *const slots = realloc(o->slot, ((size_t)(o->slots + n) + 1) * sizeof *slots);
    if (!slots) return tg__optimizer_fail(o, TG_ERROR_MEMORY, "no memory for %d parameters", n);
    o->slot = slots;
    for (int i = 0; i < n; i++) {
        const int64_t size = tg_size(parameters[i]);
        if (size < 0 || tg_type_of(parameters[i]) == TG_I64)
            return tg__optimizer_fail(o, TG_ERROR_HANDLE, "parameter %d is no live floating value",
                                      i);
        tg__slot s = { .v = parameters[i], .n = (size_t)size };
        if (group) s.group = *group;
        bool ok = true;
        for (int k = 0; k < o->states; k++)
            ok &= (s.state[k] = calloc(s.n + 1, sizeof(double))) != NULL;
        if (s.n > o->longest) {
            double *const buffer = realloc(o->buffer, 2 * s.n * sizeof *buffer);
            if (buffer) o->buffer = buffer, o->longest = s.n;
            ok &= buffer != NULL;
        }
        o->slot[o->slots++] = s;
        if (!ok)
            return tg__optimizer_fail(o, TG_ERROR_MEMORY,
                                      "no memory for the state of %lld elements", (long long)size);
    }
    return true;
}

bool tg_optimizer_add(tg_optimizer *o, const tg_value *parameters, int n, const tg_group *group)
{
    if (o->status.code != TG_OK) return false;
    if (o->lbfgs)
        return tg__optimizer_fail(o, TG_ERROR_ARGUMENT, "L-BFGS has one group of parameters");
    return add(o, parameters, n, group);
}

tg_optimizer *tg__optimizer_new(const char *rule, const tg_value *parameters, int n, int states)
{
    tg_optimizer *const o = calloc(1, sizeof *o);
    if (!o) return NULL;
    o->rule = rule;
    o->states = states;
    if (n < 1) tg__optimizer_fail(o, TG_ERROR_ARGUMENT, "no parameters given");
    else add(o, parameters, n, NULL);
    return o;
}

void tg_optimizer_free(tg_optimizer *o)
{
    if (!o) return;
    for (int i = 0; i < o->slots; i++)
        for (int k = 0; k < o->states; k++) free(o->slot[i].state[k]);
    tg__lbfgs_free(o->lbfgs);
    free(o->slot);
    free(o->buffer);
    free(o);
}

const double *tg__gradient(const tg__slot *s, double *room)
{
    if (tg_type_of(s->v) == TG_F64) return tg_grad(s->v);
    return tg_grad_f32(s->v) && tg_grad_read(s->v, room, s->n) ? room : NULL;
}

bool tg__read_parameter(const tg__slot *s, double *x)
{
    return tg_read(s->v, x, s->n);
}

bool tg__write_parameter(const tg__slot *s, const double *x)
{
    if (tg_type_of(s->v) == TG_F64) {
        double *const w = tg_edit(s->v);
        if (w) memcpy(w, x, s->n * sizeof *w);
        return w;
    }
    float *const w = tg_edit_f32(s->v);
    for (size_t i = 0; w && i < s->n; i++) w[i] = (float)x[i];
    return w;
}

/* ---- the length of the gradient -------------------------------------------------------------- */

/* The Euclidean length of numbers that come one by one: scale sqrt(sum), where scale is the largest
   magnitude so far. */
typedef struct length {
    double scale, sum;
} length;

static void add_to_length(length *l, double x)
{
    const double size = fabs(x);
    if (size == 0) return;
    if (size > l->scale) {
        l->sum = 1 + l->sum * (l->scale / size) * (l->scale / size);
        l->scale = size;
    } else {
        l->sum += (size / l->scale) * (size / l->scale);
    }
}

double tg_gradient_norm(const tg_value *parameters, int n)
{
    length l = { 0, 0 };
    for (int i = 0; i < n; i++) {
        const int64_t size = tg_size(parameters[i]);
        if (size < 0) return (double)NAN;
        const bool f64 = tg_type_of(parameters[i]) == TG_F64;
        const double *const g = f64 ? tg_grad(parameters[i]) : NULL;
        const float *const h = f64 ? NULL : tg_grad_f32(parameters[i]);
        for (int64_t k = 0; (g || h) && k < size; k++) {
            const double x = g ? g[k] : (double)h[k];
            if (isnan(x)) return x;
            add_to_length(&l, x);
        }
    }
    return isinf(l.scale) ? l.scale : l.scale * sqrt(l.sum);
}

/* ---- rules ----------------------------------------------------------------------------------- */

static double decay_of(const tg_optimizer *o, const tg__slot *s)
{
    return s->group.own_weight_decay ? s->group.weight_decay : o->weight_decay;
}

static double rate_of(const tg_optimizer *o, const tg__slot *s)
{
    return s->group.lr_scale != 0 ? o->lr * s->group.lr_scale : o->lr;
}

static void sgd(const tg_optimizer *o, const tg__slot *s, double *w, const double *g)
{
    const double lr = rate_of(o, s), decay = decay_of(o, s), momentum = o->momentum;
    const double fresh = o->steps == 0 ? 1 : 1 - o->dampening;
    double *const b = s->state[0];
    if (momentum == 0) {
        for (size_t i = 0; i < s->n; i++) w[i] -= lr * (g[i] + decay * w[i]);
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        const double d = g[i] + decay * w[i];
        b[i] = momentum * b[i] + fresh * d;
        w[i] -= lr * (o->nesterov ? d + momentum * b[i] : b[i]);
    }
}

static void rmsprop(const tg_optimizer *o, const tg__slot *s, double *w, const double *g)
{
    const double lr = rate_of(o, s), decay = decay_of(o, s);
    double *const v = s->state[0], *const b = s->state[1];
    for (size_t i = 0; i < s->n; i++) {
        const double d = g[i] + decay * w[i];
        v[i] = o->alpha * v[i] + (1 - o->alpha) * d * d;
        b[i] = o->momentum * b[i] + d / (sqrt(v[i]) + o->epsilon);
        w[i] -= lr * b[i];
    }
}

static void adam(const tg_optimizer *o, const tg__slot *s, double *w, const double *g)
{
    const double lr = rate_of(o, s), decay = decay_of(o, s), t = o->steps + 1;
    const double first = 1 - pow(o->beta1, t), second = 1 - pow(o->beta2, t);
    const double added = o->decoupled ? 0 : decay, shrunk = o->decoupled ? lr * decay : 0;
    double *const m = s->state[0], *const v = s->state[1];
    for (size_t i = 0; i < s->n; i++) {
        const double d = g[i] + added * w[i];
        m[i] = o->beta1 * m[i] + (1 - o->beta1) * d;
        v[i] = o->beta2 * v[i] + (1 - o->beta2) * d * d;
        w[i] -= shrunk * w[i];
        w[i] -= lr * (m[i] / first) / (sqrt(v[i] / second) + o->epsilon);
    }
}

/* ---- making them ----------------------------------------------------------------------------- */

static double or_default(double x, double instead)
{
    return x != 0 ? x : instead;
}

/* A named option has to lie in lo ... hi. */
static void within(tg_optimizer *o, const char *name, double x, double lo, double hi)
{
    if (!(x >= lo && x <= hi))
        tg__optimizer_fail(o, TG_ERROR_ARGUMENT, "%s is %g: %g to %g is possible", name, x, lo, hi);
}

static tg_optimizer *with_rule(tg_optimizer *o, tg__update *update, double lr)
{
    if (!o) return NULL;
    o->update = update;
    o->lr = lr;
    within(o, "lr", lr, 0, (double)INFINITY);
    within(o, "weight_decay", o->weight_decay, 0, (double)INFINITY);
    return o;
}

tg_optimizer *tg_sgd_new(const tg_value *parameters, int n, const tg_sgd_options *options)
{
    const tg_sgd_options a = options ? *options : (tg_sgd_options){ 0 };
    tg_optimizer *const o = tg__optimizer_new("sgd", parameters, n, a.momentum != 0);
    if (!o) return NULL;
    o->momentum = a.momentum;
    o->dampening = a.dampening;
    o->weight_decay = a.weight_decay;
    o->nesterov = a.nesterov;
    o->state_names[0] = "momentum";
    within(o, "momentum", a.momentum, 0, 1);
    within(o, "dampening", a.dampening, 0, 1);
    if (a.nesterov && (a.momentum == 0 || a.dampening != 0))
        tg__optimizer_fail(o, TG_ERROR_ARGUMENT, "nesterov needs momentum and no dampening");
    return with_rule(o, sgd, or_default(a.lr, 0.01));
}

tg_optimizer *tg_rmsprop_new(const tg_value *parameters, int n, const tg_rmsprop_options *options)
{
    const tg_rmsprop_options a = options ? *options : (tg_rmsprop_options){ 0 };
    tg_optimizer *const o = tg__optimizer_new("rmsprop", parameters, n, 2);
    if (!o) return NULL;
    o->alpha = or_default(a.alpha, 0.99);
    o->epsilon = or_default(a.epsilon, 1e-8);
    o->momentum = a.momentum;
    o->weight_decay = a.weight_decay;
    o->state_names[0] = "v";
    o->state_names[1] = "momentum";
    within(o, "alpha", o->alpha, 0, 1);
    within(o, "epsilon", o->epsilon, 0, (double)INFINITY);
    within(o, "momentum", a.momentum, 0, 1);
    return with_rule(o, rmsprop, or_default(a.lr, 0.01));
}

static tg_optimizer *adam_new(const tg_value *parameters, int n, const tg_adam_options *options,
                              bool decoupled)
{
    const tg_adam_options a = options ? *options : (tg_adam_options){ 0 };
    tg_optimizer *const o =
        tg__optimizer_new(decoupled ? "adamw" : "adam", parameters, n, 2);
    if (!o) return NULL;
    o->beta1 = or_default(a.beta1, 0.9);
    o->beta2 = or_default(a.beta2, 0.999);
    o->epsilon = or_default(a.epsilon, 1e-8);
    o->weight_decay = or_default(a.weight_decay, decoupled ? 0.01 : 0);
    o->decoupled = decoupled;
    o->state_names[0] = "m";
    o->state_names[1] = "v";
    within(o, "beta1", o->beta1, 0, 1);
    within(o, "beta2", o->beta2, 0, 1);
    within(o, "epsilon", o->epsilon, 0, (double)INFINITY);
    return with_rule(o, adam, or_default(a.lr, 0.001));
}

tg_optimizer *tg_adam_new(const tg_value *parameters, int n, const tg_adam_options *options)
{
    return adam_new(parameters, n, options, false);
}

tg_optimizer *tg_adamw_new(const tg_value *parameters, int n, const tg_adam_options *options)
{
    return adam_new(parameters, n, options, true);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static bool not_finite(tg_optimizer *o, int i, const double *g)
{
    for (size_t k = 0; k < o->slot[i].n; k++)
        if (!isfinite(g[k])) {
            const char *const name = tg_name_of(o->slot[i].v);
            tg__optimizer_fail(o, TG_ERROR_ARGUMENT,
                               "the gradient of parameter %d%s%s is %g at element %zu", i,
                               name ? ", " : "", name ? name : "", g[k], k);
            return true;
        }
    return false;
}

/* What all gradients are to be multiplied with, after looking at all of them; NaN after an error. */
static double inspect(tg_optimizer *o)
{
    length l = { 0, 0 };
    int found = 0;
    for (int i = 0; i < o->slots; i++) {
        const double *const g = tg__gradient(&o->slot[i], o->buffer);
        if (!g) continue;
        found++;
        if (not_finite(o, i, g)) return (double)NAN;
        for (size_t k = 0; o->clip_norm > 0 && k < o->slot[i].n; k++)
            add_to_length(&l, o->clip_value > 0 ? fmax(-o->clip_value, fmin(o->clip_value, g[k]))
                                                : g[k]);
    }
    if (!found) {
        tg__optimizer_fail(o, TG_ERROR_HISTORY,
                           "no parameter has a gradient: tg_backward comes first");
        return (double)NAN;
    }
    const double norm = l.scale * sqrt(l.sum);
    return o->clip_norm > 0 && norm > o->clip_norm ? o->clip_norm / norm : 1;
}

/* The gradient as the rule gets it: clipped, in the second half of the buffer. */
static const double *clipped(const tg_optimizer *o, const tg__slot *s, const double *g,
                             double scale)
{
    if (scale == 1 && !(o->clip_value > 0)) return g;
    double *const room = o->buffer + o->longest,
                  most = o->clip_value > 0 ? o->clip_value : (double)INFINITY;
    for (size_t k = 0; k < s->n; k++) room[k] = scale * fmax(-most, fmin(most, g[k]));
    return room;
}

static bool step_slot(tg_optimizer *o, const tg__slot *s, double scale)
{
    double *const room = o->buffer + o->longest;
    const double *g = tg__gradient(s, room);
    if (!g) return true;
    g = clipped(o, s, g, scale);
    if (tg_type_of(s->v) == TG_F64) {
        double *const w = tg_edit(s->v);
        if (w) o->update(o, s, w, g);
        return w;
    }
    if (!tg__read_parameter(s, o->buffer)) return false;
    o->update(o, s, o->buffer, g);
    return tg__write_parameter(s, o->buffer);
}

bool tg_step(tg_optimizer *o)
{
    if (o->status.code != TG_OK) return false;
    if (!o->update)
        return tg__optimizer_fail(o, TG_ERROR_ARGUMENT, "L-BFGS steps with tg_lbfgs_step");
    const double scale = inspect(o);
    if (isnan(scale)) return false;
    for (int i = 0; i < o->slots; i++)
        if (!step_slot(o, &o->slot[i], scale))
            return tg__optimizer_fail(o, TG_ERROR_HANDLE, "parameter %d cannot be written", i);
    o->steps++;
    return true;
}

double tg_learning_rate(const tg_optimizer *o)
{
    return o->lr;
}

bool tg_set_learning_rate(tg_optimizer *o, double lr)
{
    if (o->status.code != TG_OK) return false;
    within(o, "lr", lr, 0, (double)INFINITY);
    if (o->status.code == TG_OK) o->lr = lr;
    return o->status.code == TG_OK;
}

int64_t tg_steps(const tg_optimizer *o)
{
    return (int64_t)o->steps;
}

bool tg_clip(tg_optimizer *o, double value, double norm)
{
    if (o->status.code != TG_OK) return false;
    within(o, "value", value, 0, (double)INFINITY);
    within(o, "norm", norm, 0, (double)INFINITY);
    o->clip_value = value;
    o->clip_norm = norm;
    return o->status.code == TG_OK;
}

/* ---- state ----------------------------------------------------------------------------------- */

const char *tg_optimizer_rule(const tg_optimizer *o)
{
    return o->rule;
}

double *tg_optimizer_state(tg_optimizer *o, int i, const char **name, size_t *n)
{
    double *p = NULL;
    *name = NULL;
    *n = 0;
    if (i == 0) {
        *name = "steps";
        *n = 1;
        return &o->steps;
    }
    i--;
    if (o->lbfgs) return tg__lbfgs_state(o, i, name, &p, n) ? p : NULL;
    if (i < 0 || !o->states || i / o->states >= o->slots) return NULL;
    const tg__slot *const s = &o->slot[i / o->states];
    snprintf(o->name, sizeof o->name, "%s.%d", o->state_names[i % o->states], i / o->states);
    *name = o->name;
    *n = s->n;
    return s->state[i % o->states];
}
