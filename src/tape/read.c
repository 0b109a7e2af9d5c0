/* Reading values, gradients, shapes and names. */
#include <math.h>
#include <string.h>

#include "tape/tape.h"

/* ---- shapes ---------------------------------------------------------------------------------- */

static const tg__shape *shape_of(tg_value v, const char *what)
{
    const tg_tape *t = tg__tape_of(v, what, NULL);
    return t ? tg__value_array(t, v.id).s : NULL;
}

tg_type tg_type_of(tg_value v)
{
    const tg__shape *s = shape_of(v, "type_of");
    return s ? s->type : TG_F64;
}

int tg_rank(tg_value v)
{
    const tg__shape *s = shape_of(v, "rank");
    return s ? s->rank : -1;
}

int64_t tg_dim(tg_value v, int axis)
{
    const tg__shape *s = shape_of(v, "dim");
    const int at = s ? tg__axis(axis, s->rank) : -1;
    if (s && at < 0)
        tg__error(v.tape, TG_ERROR_SHAPE, "dim", NULL, "there is no axis %d in shape %s", axis,
                  TG__SHAPE_TEXT(s));
    return at < 0 ? -1 : s->dim[at];
}

int64_t tg_size(tg_value v)
{
    const tg__shape *s = shape_of(v, "size");
    return s ? s->n : -1;
}

/* ---- elements -------------------------------------------------------------------------------- */

static double element(tg__array a)
{
    if (a.s->type == TG_F64) return *(const double *)a.p;
    if (a.s->type == TG_F32) return (double)*(const float *)a.p;
    return (double)*(const int64_t *)a.p;
}

/* The elements of an array, row-major, as doubles. */
static void read_out(tg__array a, double *out)
{
    tg__shape target = *a.s;
    target.type = TG_F64;
    tg__shape_finish(&target);
    tg__walk w;
    tg__walk_begin(&w, 2, (const tg__array[]){ { &target, out }, a });
    do {
        double *y = (double *)(void *)w.p[0];
        const ptrdiff_t step = w.stride[1] * (ptrdiff_t)tg__type_size(a.s->type);
        for (int64_t i = 0; i < w.n; i++)
            y[i * w.stride[0]] = element((tg__array){ a.s, w.p[1] + i * step });
    } while (tg__walk_next(&w));
}

static bool one_element(tg_tape *t, const tg__shape *s, const char *what, const tg_site *site)
{
    if (s->n == 1) return true;
    tg__error(t, TG_ERROR_SHAPE, what, site, "shape %s has not one element", TG__SHAPE_TEXT(s));
    return false;
}

static const void *adjacent(tg_tape *t, tg__array a, tg_type type, const char *what,
                            const tg_site *site)
{
    if (a.s->type != type) {
        tg__error(t, TG_ERROR_TYPE, what, site, "the elements are of type %s, not %s",
                  tg__type_name(a.s->type), tg__type_name(type));
        return NULL;
    }
    if (tg__shape_contiguous(a.s)) return a.p;
    tg__error(t, TG_ERROR_SHAPE, what, site,
              "the value is a view whose elements are not adjacent: read it with tg_read or "
              "tg_grad_read, or make it contiguous");
    return NULL;
}

static bool check_count(tg_tape *t, const tg__shape *s, const double *out, size_t n,
                        const char *what, const tg_site *site)
{
    if (n == (size_t)s->n && (out || n == 0)) return true;
    tg__error(t, TG_ERROR_SHAPE, what, site,
              out ? "room for %zu elements given, shape %s read"
                  : "no room given (%zu), shape %s read",
              n, TG__SHAPE_TEXT(s));
    return false;
}

double tg_item_at(tg_value v, const tg_site *site)
{
    tg_tape *t = tg__tape_of(v, "item", site);
    if (!t || !tg__note(t, TG__READ, v.id, site)) return NAN;
    const tg__array a = tg__value_array(t, v.id);
    return one_element(t, a.s, "item", site) ? element(a) : NAN;
}

static const void *data(tg_value v, tg_type type, const tg_site *site)
{
    tg_tape *t = tg__tape_of(v, "data", site);
    if (!t || !tg__note(t, TG__READ, v.id, site)) return NULL;
    return adjacent(t, tg__value_array(t, v.id), type, "data", site);
}

const double *tg_data_at(tg_value v, const tg_site *site)
{
    return data(v, TG_F64, site);
}

const float *tg_data_f32_at(tg_value v, const tg_site *site)
{
    return data(v, TG_F32, site);
}

const int64_t *tg_data_i64_at(tg_value v, const tg_site *site)
{
    return data(v, TG_I64, site);
}

bool tg_read_at(tg_value v, double *out, size_t n, const tg_site *site)
{
    tg_tape *t = tg__tape_of(v, "read", site);
    if (!t || !tg__note(t, TG__READ, v.id, site)) return false;
    const tg__array a = tg__value_array(t, v.id);
    if (!check_count(t, a.s, out, n, "read", site)) return false;
    read_out(a, out);
    return true;
}

double (tg_item)(tg_value v)
{
    return tg_item_at(v, NULL);
}

const double *(tg_data)(tg_value v)
{
    return tg_data_at(v, NULL);
}

const float *(tg_data_f32)(tg_value v)
{
    return tg_data_f32_at(v, NULL);
}

const int64_t *(tg_data_i64)(tg_value v)
{
    return tg_data_i64_at(v, NULL);
}

bool (tg_read)(tg_value v, double *out, size_t n)
{
    return tg_read_at(v, out, n, NULL);
}

/* ---- gradients ------------------------------------------------------------------------------- */

/* Where the gradient lies; p is NULL if the value has none. */
static tg__array gradient(const tg_tape *t, tg_value v)
{
    const tg__array a = tg__value_array(t, v.id);
    const uint32_t offset = v.id & TG__DESCRIPTOR ? tg__descriptor_of(t, v.id)->offset : v.id;
    if (a.s->type == TG_I64 || offset >= t->graded || !tg__has_gradient(t, v.id))
        return (tg__array){ a.s, NULL };
    return tg__adjoint_array(t, v.id);
}

static const void *grad(tg_value v, tg_type type)
{
    tg_tape *t = tg__tape_of(v, "grad", NULL);
    if (!t) return NULL;
    const tg__array d = gradient(t, v);
    return d.p ? adjacent(t, d, type, "grad", NULL) : NULL;
}

const double *tg_grad(tg_value v)
{
    return grad(v, TG_F64);
}

const float *tg_grad_f32(tg_value v)
{
    return grad(v, TG_F32);
}

bool tg_grad_read(tg_value v, double *out, size_t n)
{
    tg_tape *t = tg__tape_of(v, "grad_read", NULL);
    if (!t) return false;
    const tg__array d = gradient(t, v);
    if (!d.p || !check_count(t, d.s, out, n, "grad_read", NULL)) return false;
    read_out(d, out);
    return true;
}

double tg_grad_item(tg_value v)
{
    tg_tape *t = tg__tape_of(v, "grad_item", NULL);
    if (!t) return NAN;
    const tg__array d = gradient(t, v);
    return d.p && one_element(t, d.s, "grad_item", NULL) ? element(d) : NAN;
}

/* ---- names ----------------------------------------------------------------------------------- */

/* The list of names: for each the id and generation of its value, the length of the text with its
   zero, and the text, filled up to a multiple of 4. */
typedef struct entry {
    uint32_t id, generation, length;
} entry;

tg_value tg_name(tg_value v, const char *name)
{
    tg_tape *t = tg__tape_of(v, "name", NULL);
    if (!t) return v;
    const size_t length = name ? strlen(name) + 1 : 0;
    if (length == 0 || length > UINT16_MAX) {
        tg__error(t, TG_ERROR_ARGUMENT, "name", NULL,
                  name ? "the name is too long" : "the name is NULL");
        return v;
    }
    const size_t start = t->names.used, size = sizeof(entry) + (length + 3) / 4 * 4;
    if (!tg__arena_grow(&t->names, start + size)) {
        tg__error(t, TG_ERROR_MEMORY, "name", NULL, "no memory for the name %s", name);
        return v;
    }
    memcpy(t->names.data + start, &(entry){ v.id, v.generation, (uint32_t)length }, sizeof(entry));
    memcpy(t->names.data + start + sizeof(entry), name, length);
    t->names.used = start + size;
    return v;
}

const char *tg_name_of(tg_value v)
{
    tg_tape *t = tg__tape_of(v, "name_of", NULL);
    const char *found = NULL;
    for (size_t at = 0; t && at < t->names.used;) {
        entry e;
        memcpy(&e, t->names.data + at, sizeof e);
        if (e.id == v.id && e.generation == v.generation) found = t->names.data + at + sizeof e;
        at += sizeof e + (e.length + 3) / 4 * 4;
    }
    return found;
}

/* ---- detach ---------------------------------------------------------------------------------- */

tg_value tg_detach_at(tg_value v, const tg_site *site)
{
    tg_tape *t = tg__tape_of(v, "detach", site);
    if (!t) return (tg_value){ v.tape, 0, 0 };
    const tg__array a = tg__value_array(t, v.id);
    const tg__shape s = *a.s;
    const uint32_t id = tg__describe_view(t, v.id, &s, 0, TG__DETACHED);
    if (!id) return tg__error(t, TG_ERROR_MEMORY, "detach", site, "no memory for a view");
    return (tg_value){ t, id, t->head.generation };
}
