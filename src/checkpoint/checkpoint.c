/* Checkpoints. What there is to save is a list of named arrays, and one walk goes through it: to
   write them, to hold a file against them, and to read them back. */
#include <tapegrad/checkpoint.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/data.h>
#include <tapegrad/tape.h>

static const char format_note[] = "tapegrad checkpoint 1";

/* First parts of names that are no net's. */
static const char optimizer_part[] = "optimizer.", numbers_part[] = "numbers.",
                  plateau_part[] = "plateau.";

enum { NAME = 400 };

/* One array of a checkpoint: a parameter, or doubles in memory. */
typedef struct entry {
    char name[NAME];
    tg_value parameter; /* or a null value */
    double *x;          /* or NULL */
    tg_ndarray array;   /* its type and shape */
} entry;

/* What is done with each entry; false ends the walk. */
typedef bool visit(void *user, const entry *e);

/* What has no place in memory as an array of doubles. */
typedef struct extra {
    double lr, plateau[3];
} extra;

__attribute__((format(printf, 3, 4))) static bool fails(tg_status *status, tg_code code,
                                                        const char *format, ...)
{
    if (!status) return false;
    va_list args;
    va_start(args, format);
    vsnprintf(status->message, sizeof status->message, format, args);
    va_end(args);
    status->code = code;
    return false;
}

/* ---- the walk -------------------------------------------------------------------------------- */

static bool visit_doubles(visit *f, void *user, const char *part, const char *name, double *x,
                          size_t n)
{
    entry e = { .x = x,
                .array = { .type = TG_F64, .rank = 1, .shape = { (int64_t)n }, .data = x } };
    snprintf(e.name, NAME, "%s%s", part, name);
    return f(user, &e);
}

static bool visit_parameter(visit *f, void *user, const char *name, tg_value v)
{
    entry e = { .parameter = v, .array = { .type = tg_type_of(v), .rank = tg_rank(v) } };
    snprintf(e.name, NAME, "%s", name);
    for (int i = 0; i < e.array.rank; i++) e.array.shape[i] = tg_dim(v, i);
    return f(user, &e);
}

static bool visit_net(tg_nn *net, visit *f, void *user)
{
    const char *name;
    size_t n;
    for (int i = 0; i < tg_nn_count(net); i++)
        if (!visit_parameter(f, user, tg_nn_name(net, i), tg_nn_parameters(net)[i])) return false;
    for (int i = 0;; i++) {
        double *const x = tg_nn_state(net, i, &name, &n);
        if (!x) return true;
        if (!visit_doubles(f, user, "", name, x, n)) return false;
    }
}

static bool visit_optimizer(tg_optimizer *o, visit *f, void *user)
{
    const char *name;
    size_t n;
    for (int i = 0;; i++) {
        double *const x = tg_optimizer_state(o, i, &name, &n);
        if (!x) return true;
        if (!visit_doubles(f, user, optimizer_part, name, x, n)) return false;
    }
}

static bool walk(const tg_checkpoint *c, extra *more, visit *f, void *user)
{
    if (c->net && !visit_net(c->net, f, user)) return false;
    if (c->optimizer && !(visit_optimizer(c->optimizer, f, user) &&
                          visit_doubles(f, user, optimizer_part, "lr", &more->lr, 1)))
        return false;
    if (c->plateau && !visit_doubles(f, user, plateau_part, "state", more->plateau, 3))
        return false;
    for (size_t i = 0; i < c->count; i++)
        if (!visit_doubles(f, user, numbers_part, c->numbers[i].name, c->numbers[i].x,
                           c->numbers[i].n))
            return false;
    return true;
}

static extra extra_of(const tg_checkpoint *c)
{
    extra more = { .lr = c->optimizer ? tg_learning_rate(c->optimizer) : 0 };
    if (!c->plateau) return more;
    more.plateau[0] = c->plateau->best;
    more.plateau[1] = c->plateau->waited;
    more.plateau[2] = c->plateau->started;
    return more;
}

/* ---- what can be saved and loaded ------------------------------------------------------------ */

static bool starts_with(const char *text, const char *part)
{
    return strncmp(text, part, strlen(part)) == 0;
}

/* Whether a name in a file is not of the net. */
static bool is_other(const char *name)
{
    return starts_with(name, optimizer_part) || starts_with(name, numbers_part) ||
           starts_with(name, plateau_part);
}

static bool net_is_sound(const tg_nn *net, tg_status *status)
{
    if (!tg_nn_path(net) || !tg_nn_parameters(net))
        return fails(status, TG_ERROR_ARGUMENT, "the net is not built");
    if (strchr(tg_nn_path(net), '.'))
        return fails(status, TG_ERROR_ARGUMENT, "%s is a part of a net: give the net",
                     tg_nn_path(net));
    for (int i = 0; i < tg_nn_count(net); i++) {
        const tg_value v = tg_nn_parameters(net)[i];
        const tg_error *const e = v.tape ? tg_error_of(v.tape) : NULL;
        if (e) return fails(status, e->code, "the tape has an error: %s", e->message);
        if (tg_size(v) < 0)
            return fails(status, TG_ERROR_HANDLE, "%s is no longer on its tape",
                         tg_nn_name(net, i));
        if (is_other(tg_nn_name(net, i)))
            return fails(status, TG_ERROR_ARGUMENT, "%s: a net of this name cannot be saved",
                         tg_nn_path(net));
        if (strlen(tg_nn_name(net, i)) >= NAME)
            return fails(status, TG_ERROR_ARGUMENT, "%.60s...: the name is too long",
                         tg_nn_name(net, i));
    }
    return true;
}

static bool is_sound(const char *path, const tg_checkpoint *c, tg_status *status)
{
    if (!path || !c || (c->count > 0 && !c->numbers))
        return fails(status, TG_ERROR_ARGUMENT, "the path, the checkpoint or its numbers are NULL");
    if (c->net && !net_is_sound(c->net, status)) return false;
    if (c->optimizer && tg_optimizer_status(c->optimizer)->code != TG_OK)
        return fails(status, tg_optimizer_status(c->optimizer)->code,
                     "the optimiser has an error: %s", tg_optimizer_status(c->optimizer)->message);
    for (size_t i = 0; i < c->count; i++)
        if (!c->numbers[i].name || !c->numbers[i].x || strlen(c->numbers[i].name) > NAME / 2)
            return fails(status, TG_ERROR_ARGUMENT,
                         "numbers %zu have no name, a very long one, or no place", i);
    return true;
}

/* ---- saving ---------------------------------------------------------------------------------- */

typedef struct saving {
    tg_archive *archive;
    tg_status *status;
} saving;

static bool save_entry(void *user, const entry *e)
{
    const saving *const s = user;
    tg_ndarray a = e->array;
    if (!e->x)
        a.data = a.type == TG_F64 ? (const void *)tg_data(e->parameter)
                                  : (const void *)tg_data_f32(e->parameter);
    if (!a.data) return fails(s->status, TG_ERROR_HANDLE, "%s cannot be read", e->name);
    return tg_archive_add(s->archive, e->name, &a, s->status);
}

static bool save_notes(const tg_checkpoint *c, tg_archive *archive, tg_status *status)
{
    char epoch[32], batch[32], seed[32];
    snprintf(epoch, sizeof epoch, "%" PRId64, c->epoch);
    snprintf(batch, sizeof batch, "%" PRId64, c->batch);
    snprintf(seed, sizeof seed, "%" PRIu64, c->seed);
    return tg_archive_note(archive, "format", format_note, status) &&
           tg_archive_note(archive, "epoch", epoch, status) &&
           tg_archive_note(archive, "batch", batch, status) &&
           tg_archive_note(archive, "seed", seed, status) &&
           (!c->optimizer ||
            tg_archive_note(archive, "optimizer", tg_optimizer_rule(c->optimizer), status));
}

bool tg_checkpoint_save(const char *path, const tg_checkpoint *c, tg_status *status)
{
    if (!is_sound(path, c, status)) return false;
    const size_t n = strlen(path);
    if (n >= 4 && strcmp(path + n - 4, ".npz") == 0)
        return fails(status, TG_ERROR_ARGUMENT, "%s: a checkpoint is no .npz, which has no notes",
                     path);
    tg_archive *const archive = tg_archive_new();
    if (!archive) return fails(status, TG_ERROR_MEMORY, "no memory for a checkpoint");
    saving s = { archive, status };
    extra more = extra_of(c);
    const bool ok = save_notes(c, archive, status) && walk(c, &more, save_entry, &s) &&
                    tg_archive_write(archive, path, status);
    tg_archive_free(archive);
    return ok;
}

/* ---- loading --------------------------------------------------------------------------------- */

typedef struct loading {
    const char *path;
    const tg_archive *archive;
    tg_status *status;
    const char *missing; /* a name in the file that nothing here has */
} loading;

static const char *describe(const tg_ndarray *a, char *text, size_t size)
{
    static const char *const types[] = { [TG_F64] = "f64", [TG_F32] = "f32", [TG_I64] = "i64" };
    size_t used = (size_t)snprintf(text, size, "%s (", types[a->type]);
    for (int i = 0; i < a->rank && used < size; i++)
        used +=
            (size_t)snprintf(text + used, size - used, i ? ", %" PRId64 : "%" PRId64, a->shape[i]);
    if (used < size) snprintf(text + used, size - used, ")");
    return text;
}

static bool check_entry(void *user, const entry *e)
{
    const loading *const l = user;
    const tg_ndarray *const a = tg_archive_find(l->archive, e->name);
    char there[200], here[200];
    if (!a) return fails(l->status, TG_ERROR_FORMAT, "%s: has no %s", l->path, e->name);
    bool same = a->type == e->array.type && a->rank == e->array.rank;
    for (int i = 0; same && i < a->rank; i++) same = a->shape[i] == e->array.shape[i];
    if (!same)
        return fails(l->status, TG_ERROR_FORMAT, "%s: %s is %s there, %s here", l->path, e->name,
                     describe(a, there, sizeof there), describe(&e->array, here, sizeof here));
    if (e->x || tg_written(e->parameter)) return true;
    return fails(l->status, TG_ERROR_HANDLE, "%s cannot be written", e->name);
}

static bool load_entry(void *user, const entry *e)
{
    const loading *const l = user;
    const tg_ndarray *const a = tg_archive_find(l->archive, e->name);
    const size_t n = (size_t)tg_ndarray_size(a);
    if (!e->x) return tg_set_data(e->parameter, a->type, a->data, n, NULL);
    if (n > 0) memcpy(e->x, a->data, n * sizeof *e->x);
    return true;
}

static bool is_not_missing(void *user, const entry *e)
{
    const loading *const l = user;
    return strcmp(e->name, l->missing) != 0;
}

/* Whether the file holds something that belongs to what is asked for, and that is not there. */
static bool nothing_else(const tg_checkpoint *c, extra *more, loading *l)
{
    for (size_t i = 0; i < l->archive->n; i++) {
        const char *const name = l->archive->name[i];
        const bool wanted = starts_with(name, optimizer_part) ? c->optimizer != NULL
                            : starts_with(name, plateau_part) ? c->plateau != NULL
                            : starts_with(name, numbers_part) ? c->count > 0
                                                              : c->net != NULL;
        l->missing = name;
        if (wanted && walk(c, more, is_not_missing, l))
            return fails(l->status, TG_ERROR_FORMAT, "%s: has %s, for which there is no place here",
                         l->path, name);
    }
    return true;
}

/* A whole number that is one, of a note. */
static bool read_note(const loading *l, const char *key, bool negative, uint64_t *x)
{
    const char *const text = tg_archive_find_note(l->archive, key);
    char *end;
    errno = 0;
    if (text && text[0] >= (negative ? '-' : '0') && text[0] <= '9') {
        *x = negative ? (uint64_t)strtoll(text, &end, 10) : strtoull(text, &end, 10);
        if (!errno && !*end) return true;
    }
    return fails(l->status, TG_ERROR_FORMAT, "%s: the note \"%s\" is no number, or missing",
                 l->path, key);
}

/* The state in the file is of the optimiser's rule: the arrays of some look alike. */
static bool same_rule(const tg_checkpoint *c, const loading *l)
{
    if (!c->optimizer) return true;
    const char *const there = tg_archive_find_note(l->archive, "optimizer");
    const char *const here = tg_optimizer_rule(c->optimizer);
    if (there && strcmp(there, here) == 0) return true;
    return fails(l->status, TG_ERROR_FORMAT, "%s: the optimiser is %.40s there, %s here", l->path,
                 there ? there : "missing", here);
}

/* The numbers that are no arrays of the user's make sense. */
static bool extra_is_sound(const tg_checkpoint *c, const loading *l)
{
    const tg_ndarray *const lr = c->optimizer ? tg_archive_find(l->archive, "optimizer.lr") : NULL;
    const tg_ndarray *const state =
        c->plateau ? tg_archive_find(l->archive, "plateau.state") : NULL;
    const double rate = lr ? *(const double *)lr->data : 0;
    const double waited = state ? ((const double *)state->data)[1] : 0;
    if (!(rate >= 0) || !(waited >= 0 && waited <= INT32_MAX))
        return fails(l->status, TG_ERROR_FORMAT,
                     "%s: a learning rate of %g, after %g epochs of waiting", l->path, rate,
                     waited);
    return true;
}

static bool load(tg_checkpoint *c, loading *l)
{
    const char *const format = tg_archive_find_note(l->archive, "format");
    uint64_t epoch, batch, seed;
    extra more = extra_of(c);
    if (!format || strcmp(format, format_note) != 0)
        return fails(l->status, TG_ERROR_FORMAT, "%s: is no checkpoint of this library", l->path);
    if (!read_note(l, "epoch", true, &epoch) || !read_note(l, "batch", true, &batch) ||
        !read_note(l, "seed", false, &seed) || !same_rule(c, l) ||
        !walk(c, &more, check_entry, l) || !nothing_else(c, &more, l) || !extra_is_sound(c, l))
        return false;
    if (!walk(c, &more, load_entry, l))
        return fails(l->status, TG_ERROR_HANDLE, "%s: a parameter cannot be written", l->path);
    if (c->optimizer) tg_set_learning_rate(c->optimizer, more.lr);
    if (c->plateau) {
        c->plateau->best = more.plateau[0];
        c->plateau->waited = (int)more.plateau[1];
        c->plateau->started = more.plateau[2] != 0;
    }
    c->epoch = (int64_t)epoch;
    c->batch = (int64_t)batch;
    c->seed = seed;
    return true;
}

bool tg_checkpoint_load(const char *path, tg_checkpoint *c, tg_status *status)
{
    if (!is_sound(path, c, status)) return false;
    tg_archive *const archive = tg_archive_read(path, status);
    if (!archive) return false;
    loading l = { .path = path, .archive = archive, .status = status };
    const bool ok = load(c, &l);
    tg_archive_free(archive);
    return ok;
}
