/* Running layers: from one to the next, errors, and what a run leaves behind. */
#include "inner.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/custom.h>
#include <tapegrad/ops.h>
#include <tapegrad/tape.h>

/* ---- errors ---------------------------------------------------------------------------------- */

/* A tape takes errors from its operations alone: here is one that does nothing but fail, for the
   reason that user points to. */
static bool refuse(const tg_custom_call *c, int *rank, int64_t *dim)
{
    (void)rank, (void)dim;
    return tg_custom_fail(c, "%s", (const char *)c->user);
}

static bool never(const tg_custom_call *c)
{
    return tg_custom_fail(c, "%s", (const char *)c->user);
}

static tg_value raise_error(tg_value x, const tg_site *site, char *reason)
{
    const tg_custom error = { .name = "nn", .shape = refuse, .forward = never, .user = reason };
    return tg_custom_apply_at(&error, &x, 1, site);
}

static tg_value describe(tg_nn *layer, tg_value x, const tg_site *site, const char *format,
                         va_list args)
{
    char reason[400];
    const int used =
        snprintf(reason, sizeof reason,
                 "%s (%s): ", layer->path ? layer->path : "a net that is not built", layer->kind);
    if (used >= 0 && (size_t)used < sizeof reason)
        vsnprintf(reason + used, sizeof reason - (size_t)used, format, args);
    return raise_error(x, site, reason);
}

tg_value tg__nn_wrong(tg_nn *layer, tg_value x, const tg_site *site, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const tg_value nothing = describe(layer, x, site, format, args);
    va_end(args);
    return nothing;
}

tg_value tg_nn_fail(tg_nn *layer, tg_value x, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char reason[] = "a layer that is NULL failed";
    const tg_value nothing = layer ? describe(layer, x, tg__nn_root(layer)->site, format, args)
                                   : raise_error(x, NULL, reason);
    va_end(args);
    return nothing;
}

tg_value tg__nn_misfit(tg_nn *layer, tg_value x, const tg_site *site, const char *format, ...)
{
    char text[160] = "(", want[200];
    size_t used = 1;
    for (int i = 0; i < tg_rank(x); i++)
        used += (size_t)snprintf(text + used, sizeof text - used, i ? ", %lld" : "%lld",
                                 (long long)tg_dim(x, i));
    va_list args;
    va_start(args, format);
    vsnprintf(want, sizeof want, format, args);
    va_end(args);
    return tg__nn_wrong(layer, x, site, "x has shape %s): it takes %s", text, want);
}

bool tg__nn_usable(tg_nn *layer, tg_value x, const tg_site *site)
{
    const tg_nn *const root = tg__nn_root(layer);
    if (!x.generation && x.tape && tg_error_of(x.tape)) return false;
    if (!root->built) return tg__nn_wrong(layer, x, site, "it has no parameters yet"), false;
    if (root->tape && x.tape && root->tape != x.tape)
        return tg__nn_wrong(layer, x, site, "x is on another tape than the parameters"), false;
    return tg_rank(x) >= 0;
}

bool tg__nn_floats(tg_nn *layer, tg_value x, const tg_site *site)
{
    if (tg_type_of(x) != TG_I64) return true;
    tg__nn_wrong(layer, x, site, "x is an index tensor: it takes numbers");
    return false;
}

/* ---- state ----------------------------------------------------------------------------------- */

double *tg__nn_next(tg_nn *layer, int i)
{
    tg__nn_array *const a = &layer->array[i];
    if (!a->changed) memcpy(a->next, a->data, a->n * sizeof *a->data);
    a->changed = true;
    return a->next;
}

/* After the outermost run: keeps what layers wrote, or forgets it. */
static void settle(tg_nn *l, bool keep)
{
    for (int i = 0; i < l->arrays; i++) {
        tg__nn_array *const a = &l->array[i];
        if (a->changed && keep) memcpy(a->data, a->next, a->n * sizeof *a->data);
        a->changed = false;
    }
    for (int i = 0; i < l->layers; i++) settle(l->layer[i], keep);
}

/* ---- running --------------------------------------------------------------------------------- */

tg_value tg__nn_apply(tg_nn *layer, tg_value x, const tg_site *site)
{
    if (!x.generation) return x;
    const tg_value y = layer->run(layer, x, site);
    if (!tg__nn_root(layer)->still || !y.generation) return y;
    layer->rank = tg_rank(y);
    for (int i = 0; i < layer->rank; i++) layer->shape[i] = tg_dim(y, i);
    return y;
}

tg_value tg__nn_chain(tg_nn *layer, tg_value x, const tg_site *site)
{
    for (int i = 0; i < layer->layers; i++) x = tg__nn_apply(layer->layer[i], x, site);
    return x;
}

static tg_value residual(tg_nn *layer, tg_value x, const tg_site *site)
{
    const tg_value y = tg__nn_chain(layer, x, site);
    if (!y.generation) return y;
    bool same = tg_rank(x) == tg_rank(y);
    for (int i = 0; same && i < tg_rank(x); i++) same = tg_dim(x, i) == tg_dim(y, i);
    if (!same) return tg__nn_misfit(layer, x, site, "what its layers give back, of the same shape");
    return tg_add_at(x, y, site);
}

tg_nn *tg_nn_residual_new(tg_nn *const *layers, int n)
{
    return tg__nn_around("residual", residual, NULL, 0, layers, n);
}

tg_value tg_nn_forward_at(tg_nn *net, tg_value x, const tg_site *site)
{
    if (!net) return tg_nn_fail(NULL, x, " ");
    tg_nn *const root = tg__nn_root(net);
    const tg_site *const outer = root->site;
    root->site = site;
    root->running++;
    const tg_value y =
        tg__nn_usable(net, x, site) ? tg__nn_apply(net, x, site) : (tg_value){ .tape = x.tape };
    root->running--;
    root->site = outer;
    if (root->running == 0 && root->built) settle(root, y.generation && !root->still);
    return y;
}

/* ---- what several layers record -------------------------------------------------------------- */

static tg_list_attributes list_of(const int64_t *item, int count)
{
    tg_list_attributes a = { .count = count };
    for (int i = 0; i < count; i++) a.item[i] = item[i];
    return a;
}

tg_value tg__nn_reshaped(tg_value x, const int64_t *shape, int rank, const tg_site *site)
{
    const tg_list_attributes a = list_of(shape, rank);
    return tg_reshape_at(x, &a, site);
}

tg_value tg__nn_swapped(tg_value x, int axis0, int axis1, const tg_site *site)
{
    return tg_transpose_at(x, &(tg_swap_attributes){ axis0, axis1 }, site);
}

tg_value tg__nn_zeros(tg_value x, const int64_t *shape, int rank, const tg_site *site)
{
    return tg_full_new(x.tape, 0, rank, shape, site);
}

tg_value tg__nn_affine(tg_nn *layer, tg_value x, int i, bool no_bias, const tg_site *site)
{
    const tg_value w = layer->value[i];
    const tg_value b =
        no_bias ? tg__nn_zeros(x, layer->parameter[i].shape, 1, site) : layer->value[i + 1];
    return tg_linear_at(x, w, b, site);
}

/* ---- layers of the user's own ---------------------------------------------------------------- */

typedef struct custom {
    tg_nn_function *function;
    void *user;
} custom;

static tg_value run_custom(tg_nn *layer, tg_value x, const tg_site *site)
{
    const custom *const c = layer->settings;
    (void)site; /* what the function records has positions of its own */
    return c->function(layer, x, c->user);
}

tg_nn *tg_nn_custom(const char *kind, tg_nn_function *function, void *user, tg_nn *const *layers,
                    int n)
{
    const custom c = { function, user };
    tg_nn *const l = tg__nn_around(kind ? kind : "custom", run_custom, &c, sizeof c, layers, n);
    if (!function) tg__nn_mistake(l, TG_ERROR_ARGUMENT, "the function is NULL");
    return l;
}
