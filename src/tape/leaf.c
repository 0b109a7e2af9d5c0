/* Leaves: putting data on the tape, and changing it. */
#include <string.h>

#include "tape/tape.h"

static int64_t integer_at(const void *p, tg_type type, size_t i)
{
    switch (type) {
    case TG__I8: return ((const int8_t *)p)[i];
    case TG__I16: return ((const int16_t *)p)[i];
    case TG__I32: return ((const int32_t *)p)[i];
    case TG__U8: return ((const uint8_t *)p)[i];
    case TG__U16: return ((const uint16_t *)p)[i];
    case TG__U32: return ((const uint32_t *)p)[i];
    default: return ((const int64_t *)p)[i]; /* the upper half of U64 becomes negative: no index */
    }
}

static bool is_integer(tg_type type)
{
    return type >= TG_I64 && type <= TG__U64;
}

/* Copies n elements of one type to another, both adjacent. */
static void convert(void *to, tg_type to_type, const void *from, tg_type from_type, size_t n)
{
    if (to_type == from_type) {
        memcpy(to, from, n * tg__type_size(to_type));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (to_type == TG_I64) ((int64_t *)to)[i] = integer_at(from, from_type, i);
        else if (to_type == TG_F64) ((double *)to)[i] = (double)((const float *)from)[i];
        else ((float *)to)[i] = (float)((const double *)from)[i];
    }
}

static bool check_tape(tg_tape *t, const char *what, const tg_site *site)
{
    if (!t) tg__error(NULL, TG_ERROR_HANDLE, what, site, "the tape is NULL");
    return t && !t->failed;
}

/* The shape of a leaf with so many dimensions; false after the error. */
static bool leaf_shape(tg_tape *t, const char *what, tg_type type, int rank, const int64_t *dim,
                       const tg_site *site, tg__shape *s)
{
    *s = (tg__shape){ .type = type, .rank = rank };
    if (rank < 0 || rank > TG_MAX_RANK || (rank > 0 && !dim)) {
        tg__error(t, TG_ERROR_SHAPE, what, site, "%d axes: there may be 0 to %d", rank,
                  TG_MAX_RANK);
        return false;
    }
    for (int i = 0; i < rank; i++) s->dim[i] = dim[i];
    if (tg__shape_finish(s)) return true;
    tg__error(t, TG_ERROR_SHAPE, what, site,
              "shape %s has a negative axis or too many elements (more than %d)", TG__SHAPE_TEXT(s),
              INT32_MAX);
    return false;
}

static tg_value no_memory(tg_tape *t, const char *what, const tg_site *site, const tg__shape *s)
{
    if (t->memory.max_bytes)
        return tg__error(t, TG_ERROR_MEMORY, what, site,
                         "no memory for a leaf of shape %s within the tape's limit of %zu bytes",
                         TG__SHAPE_TEXT(s), t->memory.max_bytes);
    return tg__error(t, TG_ERROR_MEMORY, what, site, "no memory for a leaf of shape %s",
                     TG__SHAPE_TEXT(s));
}

/* A leaf with room for its elements, which are the caller's to write; id 0 after an error cannot be
   told from the first scalar, so the result is the handle. */
static tg_value new_leaf(tg_tape *t, const char *what, tg_leaf kind, const tg__shape *s,
                         const void *external, const tg_site *site)
{
    const bool integer = s->type == TG_I64, active = kind == TG_PARAMETER;
    const uint64_t room = s->n ? (uint64_t)s->n : 1;
    const size_t integers = t->integers.used;
    if (!tg__room(t, integer ? 0 : room)) return no_memory(t, what, site, s);
    if (integer && !tg__arena_grow(&t->integers, integers + room * sizeof(int64_t)))
        return no_memory(t, what, site, s);
    if (!integer) tg__align(t, room);
    uint32_t id = t->head.n_values;
    if (s->rank || integer || external) {
        const uint32_t offset = integer ? (uint32_t)(integers / sizeof(int64_t)) : id;
        id = tg__describe(t, s, offset, TG__OWNER | (active ? TG__ACTIVE : 0u), external);
        if (!id) return no_memory(t, what, site, s);
    }
    if (!tg__emit(t, TG__LEAF, active ? 0 : TG__INACTIVE, id, (uint32_t)kind, 0, site))
        return no_memory(t, what, site, s);
    if (integer) t->integers.used += room * sizeof(int64_t);
    else t->head.n_values += (uint32_t)room;
    tg__set_limit(t);
    return (tg_value){ t, id, t->head.generation };
}

tg_value tg_leaf_new(tg_tape *t, tg_leaf kind, tg_type data_type, const void *data, int rank,
                     const int64_t *shape, const tg_site *site)
{
    static const char *const what = "leaf";
    tg__shape s;
    if (!check_tape(t, what, site)) return (tg_value){ t, 0, 0 };
    if (kind != TG_PARAMETER && kind != TG_INPUT && kind != TG_CONSTANT)
        return tg__error(t, TG_ERROR_ARGUMENT, what, site, "there is no kind of leaf %d",
                         (int)kind);
    if (data && data_type != TG_F64 && data_type != TG_F32)
        return tg__error(t, TG_ERROR_TYPE, what, site, "data must be double or float");
    if (!leaf_shape(t, what, t->type, rank, shape, site, &s)) return (tg_value){ t, 0, 0 };
    const tg_value v = new_leaf(t, what, kind, &s, NULL, site);
    if (!v.generation) return v;
    void *to = tg__value_array(t, v.id).p;
    if (data) convert(to, t->type, data, data_type, (size_t)s.n);
    else memset(to, 0, (size_t)s.n * t->element);
    return v;
}

tg_value tg_leaf_view(tg_tape *t, tg_leaf kind, tg_type data_type, const void *data, int rank,
                      const int64_t *shape, const tg_site *site)
{
    static const char *const what = "leaf_view";
    tg__shape s;
    if (!check_tape(t, what, site)) return (tg_value){ t, 0, 0 };
    if (!data) return tg__error(t, TG_ERROR_ARGUMENT, what, site, "data is NULL");
    if (data_type != t->type)
        return tg__error(t, TG_ERROR_TYPE, what, site, "a view needs data of the tape's type, %s",
                         tg__type_name(t->type));
    if (!leaf_shape(t, what, t->type, rank, shape, site, &s)) return (tg_value){ t, 0, 0 };
    return new_leaf(t, what, kind, &s, data, site);
}

/* The type of integers with so many bytes; of a type that no integers have if there is none. */
static tg_type integer_type(size_t bytes)
{
    switch (bytes) {
    case 1: return TG__I8;
    case 2: return TG__I16;
    case 4: return TG__I32;
    case 8: return TG_I64;
    case 1 + TG_UNSIGNED: return TG__U8;
    case 2 + TG_UNSIGNED: return TG__U16;
    case 4 + TG_UNSIGNED: return TG__U32;
    case 8 + TG_UNSIGNED: return TG__U64;
    default: return TG_F64;
    }
}

tg_value tg_index_new(tg_tape *t, size_t bytes, const void *data, int rank, const int64_t *shape,
                      const tg_site *site)
{
    static const char *const what = "index";
    tg__shape s;
    if (!check_tape(t, what, site)) return (tg_value){ t, 0, 0 };
    if (!is_integer(integer_type(bytes)))
        return tg__error(t, TG_ERROR_TYPE, what, site, "integers have 1, 2, 4 or 8 bytes, not %zu",
                         bytes);
    if (!leaf_shape(t, what, TG_I64, rank, shape, site, &s)) return (tg_value){ t, 0, 0 };
    const tg_value v = new_leaf(t, what, TG_INPUT, &s, NULL, site);
    if (!v.generation) return v;
    void *to = tg__value_array(t, v.id).p;
    if (data) convert(to, TG_I64, data, integer_type(bytes), (size_t)s.n);
    else memset(to, 0, (size_t)s.n * sizeof(int64_t));
    return v;
}

tg_value tg_scalar_new(tg_tape *t, double value, const tg_site *site)
{
    return tg_leaf_new(t, TG_PARAMETER, TG_F64, &value, 0, NULL, site);
}

tg_value tg_number_new(tg_tape *t, double value, const tg_site *site)
{
    return tg_leaf_new(t, TG_CONSTANT, TG_F64, &value, 0, NULL, site);
}

tg_value tg_full_new(tg_tape *t, double value, int rank, const int64_t *shape, const tg_site *site)
{
    const tg_value v = tg_leaf_new(t, TG_CONSTANT, TG_F64, NULL, rank, shape, site);
    if (!v.generation) return v;
    const tg__array a = tg__value_array(t, v.id);
    t->k->fill(a.s->n, a.p, 1, value);
    return v;
}

/* ---- changing -------------------------------------------------------------------------------- */

/* The instruction of a leaf; TG__NO_INSTRUCTION after the error if the handle is none. */
static uint32_t leaf_of(tg_value v, const char *what, const tg_site *site, tg_tape **tape)
{
    tg_tape *t = *tape = tg__tape_of(v, what, site);
    if (!t) return TG__NO_INSTRUCTION;
    const uint32_t i = tg__maker(t, v.id);
    const tg__instruction *in = &t->head.code[i];
    if (in->op == TG__LEAF && in->y == v.id) return i;
    tg__error(t, TG_ERROR_ARGUMENT, what, site, "the value is %s, not a leaf",
              in->op == TG__LEAF ? "a part or view of a leaf" : "the result of an operation");
    return TG__NO_INSTRUCTION;
}

static bool note_written(tg_tape *t, uint32_t leaf, const char *what, const tg_site *site)
{
    if (tg__leaf_written(t, leaf)) return true;
    tg__error(t, TG_ERROR_MEMORY, what, site, "no memory for noting that a leaf was written");
    return false;
}

bool tg_set_data(tg_value v, tg_type data_type, const void *data, size_t n, const tg_site *site)
{
    static const char *const what = "set";
    tg_tape *t;
    const uint32_t leaf = leaf_of(v, what, site, &t);
    if (leaf == TG__NO_INSTRUCTION) return false;
    const tg__array a = tg__value_array(t, v.id);
    const bool integers = is_integer(data_type);
    if (!data) {
        tg__error(t, TG_ERROR_ARGUMENT, what, site, "data is NULL");
    } else if (integers != (a.s->type == TG_I64)) {
        tg__error(t, TG_ERROR_TYPE, what, site,
                  integers ? "integers given for a leaf of type %s" : "floats given for a leaf of type %s",
                  tg__type_name(a.s->type));
    } else if (n != (size_t)a.s->n) {
        tg__error(t, TG_ERROR_SHAPE, what, site, "%zu elements given for a leaf of shape %s", n,
                  TG__SHAPE_TEXT(a.s));
    } else if (note_written(t, leaf, what, site)) {
        convert(a.p, a.s->type, data, data_type, n);
        return true;
    }
    return false;
}

static void *edit(tg_value v, tg_type type)
{
    tg_tape *t;
    const uint32_t leaf = leaf_of(v, "edit", NULL, &t);
    if (leaf == TG__NO_INSTRUCTION) return NULL;
    const tg__array a = tg__value_array(t, v.id);
    if (a.s->type != type) {
        tg__error(t, TG_ERROR_TYPE, "edit", NULL, "the leaf has type %s, not %s",
                  tg__type_name(a.s->type), tg__type_name(type));
        return NULL;
    }
    return note_written(t, leaf, "edit", NULL) ? a.p : NULL;
}

double *tg_edit(tg_value leaf)
{
    return edit(leaf, TG_F64);
}

float *tg_edit_f32(tg_value leaf)
{
    return edit(leaf, TG_F32);
}

bool tg_written(tg_value v)
{
    tg_tape *t;
    const uint32_t leaf = leaf_of(v, "written", NULL, &t);
    return leaf != TG__NO_INSTRUCTION && note_written(t, leaf, "written", NULL);
}

bool tg_want_gradient(tg_value v, bool wanted)
{
    tg_tape *t;
    const uint32_t leaf = leaf_of(v, "want_gradient", NULL, &t);
    if (leaf == TG__NO_INSTRUCTION) return false;
    tg__instruction *in = &t->head.code[leaf];
    if (tg__value_array(t, v.id).s->type == TG_I64 || in->a == TG_CONSTANT) {
        if (!wanted) return true;
        tg__error(t, TG_ERROR_TYPE, "want_gradient", NULL,
                  "constants and index tensors have no gradient");
        return false;
    }
    in->flags = (uint16_t)((in->flags & ~TG__INACTIVE) | (wanted ? 0 : TG__INACTIVE));
    if (v.id & TG__DESCRIPTOR) {
        tg__descriptor *d = tg__descriptor_of(t, v.id);
        d->flags = (d->flags & ~(uint32_t)TG__ACTIVE) | TG__ASKED | (wanted ? TG__ACTIVE : 0u);
        if (wanted && d->offset < t->graded && t->planes == 1)
            memset(t->adjoint + d->offset * t->element, 0, (size_t)d->s.n * t->element);
    }
    return true;
}
