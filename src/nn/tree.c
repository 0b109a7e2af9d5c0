/* The tree of layers: making, building, looking things up. */
#include "inner.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/tape.h>

static const tg_status no_memory_at_all = { TG_ERROR_MEMORY, "no memory for the net" };

char *tg__nn_text(const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    char *const text = n < 0 ? NULL : malloc((size_t)n + 1);
    if (text) vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    va_end(args);
    return text;
}

/* ---- mistakes -------------------------------------------------------------------------------- */

bool tg__nn_mistake(tg_nn *layer, tg_code code, const char *format, ...)
{
    if (!layer || layer->mistake.code != TG_OK) return false;
    va_list args;
    va_start(args, format);
    vsnprintf(layer->mistake.message, sizeof layer->mistake.message, format, args);
    va_end(args);
    layer->mistake.code = code;
    return false;
}

bool tg__nn_positive(tg_nn *layer, const char *what, int64_t x)
{
    return x >= 1 || tg__nn_mistake(layer, TG_ERROR_ARGUMENT, "%s is %lld: it must be at least 1",
                                    what, (long long)x);
}

__attribute__((format(printf, 3, 4))) static bool fails(tg_nn *net, tg_code code,
                                                        const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(net->status.message, sizeof net->status.message, format, args);
    va_end(args);
    net->status.code = code;
    return false;
}

const tg_status *tg_nn_status(const tg_nn *net)
{
    return net ? &net->status : &no_memory_at_all;
}

/* ---- making ---------------------------------------------------------------------------------- */

tg_nn *tg__nn_new(const char *kind, tg__nn_run *run, const void *settings, size_t size)
{
    tg_nn *const l = calloc(1, sizeof *l);
    if (!l) return NULL;
    l->run = run;
    l->training = true;
    l->rank = -1;
    l->kind = tg__nn_text("%s", kind);
    l->settings = malloc(size + 1);
    if (l->kind && l->settings) {
        if (size > 0) memcpy(l->settings, settings, size);
        return l;
    }
    tg_nn_free(l);
    return NULL;
}

/* Takes the layers over that are there for the taking. */
static void take_over(tg_nn *l, tg_nn *const *layers, int n)
{
    for (int i = 0; i < n; i++) {
        if (!layers[i])
            tg__nn_mistake(l, TG_ERROR_ARGUMENT, "layer %d is NULL: there was no memory for it", i);
        else if (layers[i]->parent)
            tg__nn_mistake(l, TG_ERROR_ARGUMENT, "layer %d (%s) belongs to another layer already",
                           i, layers[i]->kind);
        else if (layers[i]->built)
            tg__nn_mistake(l, TG_ERROR_ARGUMENT, "layer %d (%s) is built already", i,
                           layers[i]->kind);
        else {
            layers[i]->parent = l;
            l->layer[i] = layers[i];
        }
    }
}

tg_nn *tg__nn_around(const char *kind, tg__nn_run *run, const void *settings, size_t size,
                     tg_nn *const *layers, int n)
{
    const size_t count = layers && n > 0 ? (size_t)n : 0;
    tg_nn *const l = tg__nn_new(kind, run, settings, size);
    tg_nn **const inside = l ? calloc(count + 1, sizeof *inside) : NULL;
    if (!inside) {
        for (size_t i = 0; i < count; i++)
            if (layers[i] && !layers[i]->parent) tg_nn_free(layers[i]);
        tg_nn_free(l);
        return NULL;
    }
    l->layer = inside;
    l->layers = (int)count;
    take_over(l, layers, l->layers);
    if (n < 0 || (n > 0 && !layers))
        tg__nn_mistake(l, TG_ERROR_ARGUMENT, "%d layers given, in a list that is %s", n,
                       layers ? "there" : "NULL");
    return l;
}

tg_nn *tg_nn_sequential_new(tg_nn *const *layers, int n)
{
    return tg__nn_around("sequential", tg__nn_chain, NULL, 0, layers, n);
}

static void free_tree(tg_nn *net)
{
    if (!net) return;
    for (int i = 0; i < net->layers; i++) free_tree(net->layer[i]);
    for (int i = 0; i < net->parameters; i++) free(net->parameter[i].name);
    for (int i = 0; i < net->arrays; i++) {
        free(net->array[i].name);
        free(net->array[i].data);
    }
    if (!net->parent) free(net->value);
    free(net->layer);
    free(net->parameter);
    free(net->array);
    free(net->settings);
    free(net->kind);
    free(net->name);
    free(net->path);
    free(net);
}

void tg_nn_free(tg_nn *net)
{
    if (net && !net->parent) free_tree(net);
}

tg_nn *tg_nn_named(const char *name, tg_nn *layer)
{
    if (!layer) return NULL;
    if (!name || !name[0] || strchr(name, '.')) {
        tg__nn_mistake(layer, TG_ERROR_ARGUMENT, "\"%s\" is no name for a layer",
                       name ? name : "NULL");
        return layer;
    }
    free(layer->name);
    layer->name = tg__nn_text("%s", name);
    if (!layer->name) tg__nn_mistake(layer, TG_ERROR_MEMORY, "no memory for the name");
    return layer;
}

/* ---- parameters and arrays of one layer ------------------------------------------------------ */

static bool name_taken(const tg_nn *l, const char *name)
{
    for (int i = 0; i < l->parameters; i++)
        if (strcmp(l->parameter[i].name, name) == 0) return true;
    return false;
}

/* The number of elements; -1 if there are none, or too many. */
static int64_t elements(const int64_t *shape, int rank)
{
    int64_t n = 1;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 1 || __builtin_mul_overflow(n, shape[i], &n)) return -1;
    return n;
}

void tg__nn_add(tg_nn *l, const char *name, tg__nn_role role, tg_nn_init asked, tg_nn_init standard,
                const int64_t *shape, int rank)
{
    if (!l || l->mistake.code != TG_OK) return;
    const char *const wrong = tg__nn_init_wrong(asked);
    if (wrong) {
        tg__nn_mistake(l, TG_ERROR_ARGUMENT, "%s: %s", name, wrong);
        return;
    }
    if (elements(shape, rank) < 0) {
        tg__nn_mistake(l, TG_ERROR_SHAPE, "%s has an axis shorter than 1, or too many elements",
                       name);
        return;
    }
    tg__nn_parameter *const more =
        realloc(l->parameter, ((size_t)l->parameters + 1) * sizeof *more);
    if (more) l->parameter = more;
    char *const copy = more ? tg__nn_text("%s", name) : NULL;
    if (!copy) {
        tg__nn_mistake(l, TG_ERROR_MEMORY, "no memory for %s", name);
        return;
    }
    tg__nn_parameter *const p = &more[l->parameters++];
    *p = (tg__nn_parameter){
        .name = copy, .role = role, .asked = asked, .standard = standard, .rank = rank
    };
    for (int i = 0; i < rank; i++) p->shape[i] = shape[i];
}

void tg__nn_add_array(tg_nn *l, const char *name, int64_t n, double start)
{
    if (!l || l->mistake.code != TG_OK) return;
    tg__nn_array *const more = realloc(l->array, ((size_t)l->arrays + 1) * sizeof *more);
    if (more) l->array = more;
    tg__nn_array a = { .name = more ? tg__nn_text("%s", name) : NULL, .n = (size_t)n };
    a.data = a.name ? calloc(a.n, 2 * sizeof *a.data) : NULL;
    if (!a.data) {
        free(a.name);
        tg__nn_mistake(l, TG_ERROR_MEMORY, "no memory for %s", name);
        return;
    }
    a.next = a.data + n;
    for (int64_t i = 0; i < n; i++) a.data[i] = start;
    more[l->arrays++] = a;
}

tg_nn *tg_nn_with(tg_nn *layer, const char *name, tg_nn_init init, const int64_t *shape, int rank)
{
    if (!layer) return NULL;
    if (tg__nn_root(layer)->built) {
        fails(tg__nn_root(layer), TG_ERROR_ARGUMENT, "%s: parameters are added before the build",
              layer->path);
    } else if (!name || !name[0] || strchr(name, '.') || name_taken(layer, name)) {
        tg__nn_mistake(layer, TG_ERROR_ARGUMENT, "\"%s\" is no name for a parameter, or taken",
                       name ? name : "NULL");
    } else if (rank < 0 || rank > TG_MAX_RANK || (rank > 0 && !shape)) {
        tg__nn_mistake(layer, TG_ERROR_SHAPE, "%s: %d axes: there may be 0 to %d", name, rank,
                       TG_MAX_RANK);
    } else {
        tg__nn_add(layer, name, rank >= 2 ? TG__NN_WEIGHT : TG__NN_OTHER, init,
                   (tg_nn_init){ TG_INIT_KAIMING_UNIFORM, .gain = 0.57735026918962576451 }, shape,
                   rank);
    }
    return layer;
}

/* ---- the tree -------------------------------------------------------------------------------- */

tg_nn *tg__nn_root(const tg_nn *layer)
{
    while (layer->parent) layer = layer->parent;
    return (tg_nn *)(uintptr_t)layer;
}

tg_nn *tg_nn_layer(const tg_nn *net, int i)
{
    return net && i >= 0 && i < net->layers ? net->layer[i] : NULL;
}

int tg_nn_layers(const tg_nn *net)
{
    return net ? net->layers : 0;
}

const char *tg_nn_path(const tg_nn *net)
{
    return net ? net->path : NULL;
}

const char *tg_nn_kind(const tg_nn *net)
{
    return net ? net->kind : NULL;
}

tg_nn *tg_nn_find(tg_nn *net, const char *path)
{
    if (!net || !path || !net->path) return NULL;
    if (strcmp(net->path, path) == 0) return net;
    for (int i = 0; i < net->layers; i++) {
        tg_nn *const found = tg_nn_find(net->layer[i], path);
        if (found) return found;
    }
    return NULL;
}

void tg_nn_train(tg_nn *net, bool training)
{
    if (!net) return;
    net->training = training;
    for (int i = 0; i < net->layers; i++) tg_nn_train(net->layer[i], training);
}

bool tg_nn_training(const tg_nn *net)
{
    return net && net->training;
}

/* ---- parameters ------------------------------------------------------------------------------ */

int tg_nn_count(const tg_nn *net)
{
    int n = net ? net->parameters : 0;
    for (int i = 0; net && i < net->layers; i++) n += tg_nn_count(net->layer[i]);
    return n;
}

int64_t tg_nn_size(const tg_nn *net)
{
    int64_t n = 0;
    for (int i = 0; net && i < net->parameters; i++)
        n += elements(net->parameter[i].shape, net->parameter[i].rank);
    for (int i = 0; net && i < net->layers; i++) n += tg_nn_size(net->layer[i]);
    return n;
}

const tg_value *tg_nn_parameters(const tg_nn *net)
{
    return net ? net->value : NULL;
}

/* The i-th parameter of the tree, and *i less the parameters passed; NULL if there are not so
   many. */
static const tg__nn_parameter *parameter_at(const tg_nn *net, int *i)
{
    if (*i < net->parameters) return &net->parameter[*i];
    *i -= net->parameters;
    for (int k = 0; k < net->layers; k++) {
        const tg__nn_parameter *const p = net->layer[k] ? parameter_at(net->layer[k], i) : NULL;
        if (p) return p;
    }
    return NULL;
}

const char *tg_nn_name(const tg_nn *net, int i)
{
    const tg__nn_parameter *const p = net && net->path && i >= 0 ? parameter_at(net, &i) : NULL;
    return p ? p->name : NULL;
}

tg_value tg_nn_parameter(const tg_nn *net, const char *name)
{
    const int n = tg_nn_count(net);
    for (int i = 0; name && i < n && net->path; i++)
        if (strcmp(tg_nn_name(net, i), name) == 0) return net->value[i];
    return (tg_value){ 0 };
}

tg_value tg_nn_own(const tg_nn *layer, const char *name)
{
    for (int i = 0; layer && layer->value && name && i < layer->parameters; i++)
        if (strcmp(strrchr(layer->parameter[i].name, '.') + 1, name) == 0) return layer->value[i];
    return (tg_value){ 0 };
}

static tg__nn_array *array_at(tg_nn *net, int *i)
{
    if (*i < net->arrays) return &net->array[*i];
    *i -= net->arrays;
    for (int k = 0; k < net->layers; k++) {
        tg__nn_array *const a = array_at(net->layer[k], i);
        if (a) return a;
    }
    return NULL;
}

double *tg_nn_state(tg_nn *net, int i, const char **name, size_t *n)
{
    tg__nn_array *const a = net && net->path && i >= 0 ? array_at(net, &i) : NULL;
    if (!a) return NULL;
    if (name) *name = a->name;
    if (n) *n = a->n;
    return a->data;
}

/* ---- building -------------------------------------------------------------------------------- */

static void drop_paths(tg_nn *l)
{
    free(l->path);
    l->path = NULL;
    for (int i = 0; i < l->layers; i++)
        if (l->layer[i]) drop_paths(l->layer[i]);
}

/* Gives a layer, and those inside, their paths, which name takes over. */
static bool give_paths(tg_nn *l, char *path)
{
    l->path = path;
    for (int i = 0; path && i < l->layers; i++) {
        tg_nn *const inside = l->layer[i];
        if (!inside) continue;
        char *const below =
            inside->name ? tg__nn_text("%s.%s", path, inside->name) : tg__nn_text("%s.%d", path, i);
        if (!give_paths(inside, below)) return false;
    }
    return path;
}

/* A layer of the same name as another thing in the same layer, or NULL. */
static const tg_nn *called_twice(const tg_nn *l)
{
    for (int i = 0; i < l->layers; i++) {
        const char *const path = l->layer[i]->path, *const name = strrchr(path, '.') + 1;
        for (int k = 0; k < i; k++)
            if (strcmp(l->layer[k]->path, path) == 0) return l->layer[i];
        if (name_taken(l, name)) return l->layer[i];
    }
    return NULL;
}

/* Reports the first mistake in the tree, outer layers first. */
static bool sound(tg_nn *net, const tg_nn *l)
{
    if (l->mistake.code != TG_OK)
        return fails(net, l->mistake.code, "%s (%s): %s", l->path, l->kind, l->mistake.message);
    const tg_nn *const twice = called_twice(l);
    if (twice)
        return fails(net, TG_ERROR_ARGUMENT, "%s (%s): something else is called so, too",
                     twice->path, twice->kind);
    for (int i = 0; i < l->layers; i++)
        if (!sound(net, l->layer[i])) return false;
    return true;
}

/* Makes "weight" "net.0.weight". */
static bool lengthen(char **name, const char *path)
{
    char *const whole = tg__nn_text("%s.%s", path, *name);
    if (!whole) return false;
    free(*name);
    *name = whole;
    return true;
}

static bool lengthen_all(tg_nn *l)
{
    bool ok = true;
    for (int i = 0; ok && i < l->parameters; i++) ok = lengthen(&l->parameter[i].name, l->path);
    for (int i = 0; ok && i < l->arrays; i++) ok = lengthen(&l->array[i].name, l->path);
    for (int i = 0; ok && i < l->layers; i++) ok = lengthen_all(l->layer[i]);
    return ok;
}

/* Undoes what lengthen_all has done, all of it or a part. */
static void shorten_all(tg_nn *l)
{
    for (int i = 0; i < l->parameters + l->arrays; i++) {
        char *const name =
            i < l->parameters ? l->parameter[i].name : l->array[i - l->parameters].name;
        const char *const own = strrchr(name, '.');
        if (own) memmove(name, own + 1, strlen(own));
    }
    for (int i = 0; i < l->layers; i++)
        if (l->layer[i]) shorten_all(l->layer[i]);
}

/* Shares the list of values out to the layers; gives each its seed. Returns where the list ends. */
static tg_value *share_out(tg_nn *l, tg_value *value, uint64_t seed, size_t above)
{
    l->value = value;
    l->seed = tg__nn_seed(seed, l->path + above);
    value += value ? l->parameters : 0;
    for (int i = 0; i < l->layers; i++) value = share_out(l->layer[i], value, seed, above);
    return value;
}

/* Everything of a build but the parameters: paths, the check of the tree, and an empty list. */
static bool prepare(tg_nn *net, const char *name, uint64_t seed)
{
    if (!give_paths(net, tg__nn_text("%s", name)))
        return fails(net, TG_ERROR_MEMORY, "no memory for the paths of layers");
    if (!sound(net, net)) return false;
    net->value = calloc((size_t)tg_nn_count(net) + 1, sizeof *net->value);
    if (!net->value || !lengthen_all(net)) {
        free(net->value);
        net->value = NULL;
        shorten_all(net);
        return fails(net, TG_ERROR_MEMORY, "no memory for the names of parameters");
    }
    share_out(net, net->value, seed, strlen(name));
    return true;
}

static void take_apart(tg_nn *net)
{
    if (net->value) shorten_all(net);
    free(net->value);
    net->value = NULL;
    drop_paths(net);
}

static tg_nn_init choose(const tg__nn_parameter *p, const tg_nn_options *o)
{
    if (p->asked.scheme != TG_INIT_DEFAULT) return p->asked;
    if (p->role == TG__NN_WEIGHT && o->weight.scheme != TG_INIT_DEFAULT) return o->weight;
    if (p->role == TG__NN_BIAS && o->bias.scheme != TG_INIT_DEFAULT) return o->bias;
    return p->standard;
}

/* Puts the parameters of a layer, and of those inside, on the tape. */
static bool put(tg_nn *net, tg_nn *l, tg_tape *tape, tg_tape *scratch, const tg_nn_options *o)
{
    const size_t above = strlen(net->path);
    for (int i = 0; i < l->parameters; i++) {
        const tg__nn_parameter *const p = &l->parameter[i];
        l->value[i] =
            tg__nn_start(tape, scratch, p, choose(p, o), tg__nn_seed(o->seed, p->name + above));
        if (!tg_error_of(tape) && !tg_error_of(scratch)) continue;
        const tg_error *const e = tg_error_of(tape) ? tg_error_of(tape) : tg_error_of(scratch);
        return fails(net, e->code, "%s: %s", p->name, e->message);
    }
    for (int i = 0; i < l->layers; i++)
        if (!put(net, l->layer[i], tape, scratch, o)) return false;
    return true;
}

static bool put_all(tg_nn *net, tg_tape *tape, const tg_nn_options *o)
{
    tg_tape *const scratch = tg_tape_new(&(tg_tape_options){ .on_error = tg_ignore_error });
    if (!scratch) return fails(net, TG_ERROR_MEMORY, "no memory for start values");
    const tg_mark mark = tg_tape_mark(tape);
    const bool ok = put(net, net, tape, scratch, o);
    if (!ok) tg_release(mark);
    tg_tape_free(scratch);
    return ok;
}

/* Whether the net can be built now. */
static bool may_build(tg_nn *net, const tg_tape *tape, const tg_nn_options *o)
{
    const char *const weight = tg__nn_init_wrong(o->weight), *const bias =
                                                                 tg__nn_init_wrong(o->bias);
    if (net->parent)
        return fails(net, TG_ERROR_ARGUMENT, "the layer belongs to another: build the outermost");
    if (net->built) return fails(net, TG_ERROR_ARGUMENT, "%s is built already", net->path);
    if (!tape) return fails(net, TG_ERROR_HANDLE, "the tape is NULL");
    if (tg_error_of(tape))
        return fails(net, tg_error_of(tape)->code, "the tape has an error: %s",
                     tg_error_of(tape)->message);
    if (o->name && (!o->name[0] || strchr(o->name, '.')))
        return fails(net, TG_ERROR_ARGUMENT, "\"%s\" is no name for a net", o->name);
    if (weight || bias)
        return fails(net, TG_ERROR_ARGUMENT, "options.%s: %s", weight ? "weight" : "bias",
                     weight ? weight : bias);
    return true;
}

bool tg_nn_build(tg_nn *net, tg_tape *tape, const tg_nn_options *options)
{
    const tg_nn_options o = options ? *options : (tg_nn_options){ 0 };
    if (!net || !may_build(net, tape, &o)) return false;
    net->built = prepare(net, o.name ? o.name : "net", o.seed) && put_all(net, tape, &o);
    if (!net->built) {
        take_apart(net);
        return false;
    }
    net->tape = tg_nn_count(net) > 0 ? tape : NULL;
    net->status.code = TG_OK;
    return true;
}

/* ---- binding --------------------------------------------------------------------------------- */

/* "(3, 4)" */
static void shape_text(const int64_t *shape, int rank, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < rank && used < size; i++)
        used +=
            (size_t)snprintf(text + used, size - used, i ? ", %lld" : "%lld", (long long)shape[i]);
    if (used < size) snprintf(text + used, size - used, ")");
}

static bool fits(tg_nn *net, const tg__nn_parameter *p, tg_value v)
{
    bool same = tg_rank(v) == p->rank;
    for (int i = 0; same && i < p->rank; i++) same = tg_dim(v, i) == p->shape[i];
    if (same && tg_type_of(v) != TG_I64) return true;
    char want[160], got[160];
    int64_t shape[TG_MAX_RANK];
    if (tg_rank(v) < 0) return fails(net, TG_ERROR_HANDLE, "%s: a value that is gone", p->name);
    for (int i = 0; i < tg_rank(v); i++) shape[i] = tg_dim(v, i);
    shape_text(p->shape, p->rank, want, sizeof want);
    shape_text(shape, tg_rank(v), got, sizeof got);
    return fails(net, TG_ERROR_SHAPE, "%s has shape %s: it cannot be %s of shape %s", p->name, want,
                 tg_type_of(v) == TG_I64 ? "integers" : "a value", got);
}

static bool all_fit(tg_nn *net, const tg_value *v, int n)
{
    if (n != tg_nn_count(net) || (n > 0 && !v))
        return fails(net, TG_ERROR_ARGUMENT, "%d values given, the net has %d parameters",
                     v ? n : 0, tg_nn_count(net));
    for (int i = 0; i < n; i++) {
        int at = i;
        if (v[i].tape != v[0].tape)
            return fails(net, TG_ERROR_HANDLE, "%s: a value of another tape than the first",
                         tg_nn_name(net, i));
        if (!fits(net, parameter_at(net, &at), v[i])) return false;
    }
    return true;
}

bool tg_nn_bind(tg_nn *net, const tg_value *parameters, int n)
{
    if (!net) return false;
    if (net->parent)
        return fails(net, TG_ERROR_ARGUMENT, "the layer belongs to another: bind the outermost");
    const bool fresh = !net->built;
    if ((fresh && !prepare(net, "net", 0)) || !all_fit(net, parameters, n)) {
        if (fresh) take_apart(net);
        return false;
    }
    for (int i = 0; i < n; i++) net->value[i] = parameters[i];
    net->tape = n > 0 ? parameters[0].tape : NULL;
    net->built = true;
    net->status.code = TG_OK;
    return true;
}
