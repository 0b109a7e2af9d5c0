/* Recording: looks at the operands, computes the value, appends the instruction. The life of one
   value is this file from bottom to top. */
#include "tape/record.h"

#include <stddef.h>
#include <string.h>

#include <tapegrad/ops.h>

#include "ops/attributes.h"
#include "tape/scalar.h"
#include "tape/tape.h"

const tg__op *const *tg__op_table = tg__ops;

enum { FEW = 4, MESSAGE = 256 };

/* One application of an op while it is recorded. */
typedef struct application {
    tg_tape *tape;
    const tg__op *op;
    int code;
    int n;
    uint32_t few_ids[FEW];
    tg__array few_arrays[FEW];
    uint32_t *id;
    tg__array *x;
    const void *attributes;
    const tg_site *site;
    bool described; /* some operand is no scalar of the value arena */
    bool active;    /* a gradient flows */
} application;

static const char *name_of(const application *a)
{
    return tg__op_name(a->op, a->attributes);
}

static tg_value fail(const application *a, tg_code code, const char *message)
{
    return tg__error(a->tape, code, name_of(a), a->site, "%s", message);
}

static tg_value no_memory(const application *a)
{
    const size_t limit = a->tape->memory.max_bytes;
    if (!limit) return fail(a, TG_ERROR_MEMORY, "no memory");
    return tg__error(a->tape, TG_ERROR_MEMORY, name_of(a), a->site,
                     "no memory within the tape's limit of %zu bytes", limit);
}

/* ---- numbers as operands --------------------------------------------------------------------- */

static tg__constant *constant_slot(tg_tape *t, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return &t->constant[(bits * 0x9E3779B97F4A7C15u) >> 58];
}

/* The scalar of the value arena that holds this number: the one that the newest segment has, or a
   new one. */
static tg__constant *constant_of(tg_tape *t, double x, const tg_site *site)
{
    tg__constant *c = constant_slot(t, x);
    if (memcmp(&c->x, &x, sizeof x) == 0 && c->generation == t->head.generation &&
        c->generation != UINT32_MAX)
        return c;
    if (!tg__room(t, 1)) return NULL;
    const uint32_t id = t->head.n_values;
    if (!tg__emit(t, TG__LEAF, TG__INACTIVE, id, TG_CONSTANT, 0, site)) return NULL;
    t->head.n_values++;
    if (t->type == TG_F64) t->head.values[id] = x;
    else ((float *)(void *)t->values.data)[id] = (float)x;
    *c = (tg__constant){ .x = x, .generation = t->head.generation, .id = id };
    return c;
}

/* The same as a tensor of rank 0 without a gradient, so that none is computed for it. */
static uint32_t inactive_constant(tg_tape *t, tg__constant *c)
{
    const tg__shape s = { .type = t->type, .n = 1 };
    if (!c->descriptor) c->descriptor = tg__describe(t, &s, c->id, 0, NULL);
    return c->descriptor;
}

bool tg__take_number(tg_value *number, tg_value beside, const tg_site *site)
{
    tg_tape *const t = beside.tape;
    if (!t || !tg__live(&t->head, beside) || t->head.n_values + 1 >= t->head.limit) return false;
    const tg__constant *const c = constant_of(t, tg__number_of(*number), site);
    if (c) *number = (tg_value){ t, c->id, t->head.generation };
    return c;
}

/* ---- operands -------------------------------------------------------------------------------- */

/* The tape of the operands. Values of two tapes give both the error. */
static bool find_tape(application *a, const tg_value *x)
{
    for (int i = 0; i < a->n && !a->tape; i++)
        if (x[i].tape != TG__NUMBER) a->tape = x[i].tape;
    for (int i = 0; i < a->n; i++) {
        if (x[i].tape == TG__NUMBER) continue;
        if (!x[i].tape) {
            tg__error(a->tape, TG_ERROR_HANDLE, name_of(a), a->site, "operand %d is a null value",
                      i + 1);
            return false;
        }
        if (a->tape != x[i].tape) {
            tg__error(a->tape, TG_ERROR_HANDLE, name_of(a), a->site,
                      "the operands are values of two tapes");
            tg__error_too(x[i].tape, a->tape);
            return false;
        }
    }
    if (!a->tape)
        tg__error(NULL, TG_ERROR_HANDLE, name_of(a), a->site, "no operand is a value of a tape");
    return a->tape && !a->tape->failed;
}

/* Copied elements (letter c) are all of the first operand's type. */
static bool check_type(const application *a, int i)
{
    const char letter = tg__letter(a->op->letters, i);
    const tg_type type = a->x[i].s->type;
    const tg_type wanted = letter == 'i'   ? TG_I64
                           : letter == 'c' ? a->x[0].s->type
                                           : a->tape->type;
    if (a->op->kind == TG__VIEW || letter == 'a' || type == wanted) return true;
    tg__error(a->tape, TG_ERROR_TYPE, name_of(a), a->site,
              "operand %d has elements of type %s, where %s is wanted", i + 1, tg__type_name(type),
              letter == 'i' ? "an index tensor (i64)" : tg__type_name(wanted));
    return false;
}

static bool take_operand(application *a, const tg_value *x, int i)
{
    tg_tape *t = a->tape;
    if (x->tape == TG__NUMBER) {
        tg__constant *c = constant_of(t, tg__number_of(*x), a->site);
        if (!c) return no_memory(a), false;
        a->id[i] = c->id;
    } else {
        if (!tg__is_live(t, *x)) {
            tg__error(t, TG_ERROR_HANDLE, name_of(a), a->site,
                      x->generation
                          ? "operand %d is stale: it was released, or the tape was reset, since it "
                            "was made"
                          : "operand %d is null: it is the result of an operation that failed",
                      i + 1);
            return false;
        }
        a->id[i] = x->id;
    }
    a->x[i] = tg__value_array(t, a->id[i]);
    if (a->id[i] & TG__DESCRIPTOR) a->described = true;
    return check_type(a, i);
}

/* In an operation on tensors, numbers are inactive; and a gradient flows where an active operand
   has one. */
static bool settle_activity(application *a, const tg_value *x)
{
    for (int i = 0; i < a->n; i++) {
        const char letter = tg__letter(a->op->letters, i);
        if (x[i].tape == TG__NUMBER) {
            tg__constant *c = constant_of(a->tape, tg__number_of(x[i]), a->site);
            if (!c || !(a->id[i] = inactive_constant(a->tape, c))) return no_memory(a), false;
            a->x[i] = tg__value_array(a->tape, a->id[i]);
        }
        if (tg__is_differentiable(letter) && tg__is_active(a->tape, a->id[i])) a->active = true;
    }
    if (a->tape->no_grad) a->active = false;
    return true;
}

static bool take_operands(application *a, const tg_value *x)
{
    a->id = a->few_ids;
    a->x = a->few_arrays;
    a->tape->scratch.used = 0;
    if (a->n > FEW) {
        a->id = tg__arena_push(&a->tape->scratch, (size_t)a->n * sizeof *a->id);
        a->x = tg__arena_push(&a->tape->scratch, (size_t)a->n * sizeof *a->x);
        if (!a->id || !a->x) return no_memory(a), false;
    }
    for (int i = 0; i < a->n; i++)
        if (!take_operand(a, &x[i], i)) return false;
    return true;
}

/* ---- scalar maps ----------------------------------------------------------------------------- */

static bool put_operands(const application *a, bool attributes, uint32_t *place)
{
    tg__arena *pool = &a->tape->pool;
    const size_t ids = ((size_t)a->n * sizeof(uint32_t) + 7) / 8 * 8;
    const size_t size = attributes ? a->op->attributes->size : 0;
    const size_t start = pool->used;
    if (start / sizeof(uint32_t) > UINT32_MAX ||
        !tg__arena_grow(pool, start + ids + (size + 7) / 8 * 8))
        return false;
    memcpy(pool->data + start, a->id, (size_t)a->n * sizeof(uint32_t));
    if (size) memcpy(pool->data + start + ids, a->attributes, size);
    pool->used = start + ids + (size + 7) / 8 * 8;
    *place = (uint32_t)(start / sizeof(uint32_t));
    return true;
}

static bool append(const application *a, int flags, bool attributes, uint32_t y)
{
    uint32_t first = a->id[0], second = a->n > 1 ? a->id[1] : a->id[0];
    if (a->n > 2 || attributes) {
        flags |= TG__POOL;
        if (!put_operands(a, attributes, &first)) return false;
        second = (uint32_t)a->n;
    }
    return tg__emit(a->tape, a->code, flags, y, first, second, a->site);
}

/* The flags of an instruction without gradients. */
static int inactive(const tg_tape *t, bool active)
{
    return (active ? 0 : TG__INACTIVE) | (t->no_grad ? TG__CUT : 0);
}

static tg_value record_scalar(const application *a)
{
    tg_tape *t = a->tape;
    if (!tg__room(t, 1)) return no_memory(a);
    const uint32_t id = t->head.n_values;
    if (!append(a, inactive(t, !t->no_grad), false, id)) return no_memory(a);
    t->head.n_values++;
    if (t->type == TG_F64) {
        const double *v = t->head.values;
        t->head.values[id] =
            tg__scalar_value(a->code, v[a->id[0]], v[a->id[a->n > 1]], v[a->id[a->n > 2 ? 2 : 0]]);
    } else {
        const void *const x[3] = { a->x[0].p, a->x[a->n > 1].p, a->x[a->n > 2 ? 2 : 0].p };
        t->k->map_forward[a->code](1, tg__value_array(t, id).p, x, (const ptrdiff_t[3]){ 1, 1, 1 });
    }
    tg__set_limit(t);
    return (tg_value){ t, id, t->head.generation };
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* All fields are named here and there is no zeroed shape below: zeros for the rest would be a call
   to the microcode that costs as much as a small operation. */
static tg__call call_of(const application *a, char *message, size_t size)
{
    return (tg__call){ .op = a->op,
                       .code = a->code,
                       .k = a->tape->k,
                       .attributes = a->attributes,
                       .n = a->n,
                       .x = a->x,
                       .y = { NULL, NULL },
                       .g = NULL,
                       .dx = NULL,
                       .run = 0,
                       .first = 0,
                       .scratch = &a->tape->scratch,
                       .message = message,
                       .message_size = size };
}

static tg_value rule_failed(const application *a, tg_code code, const char *message)
{
    return code == TG_ERROR_MEMORY ? no_memory(a) : fail(a, code, message);
}

/* The result's place: a scalar of the value arena where it can be one, else a descriptor. 0
   elements take one place, so that every instruction's result begins somewhere of its own. */
static bool make_result(const application *a, const tg__shape *s, uint32_t *id)
{
    tg_tape *t = a->tape;
    const uint64_t room = s->n ? (uint64_t)s->n : 1;
    if (s->type == TG_I64) {
        const size_t start = t->integers.used;
        if (!tg__room(t, 0) || !tg__arena_grow(&t->integers, start + room * sizeof(int64_t)))
            return false;
        if (start / sizeof(int64_t) > INT32_MAX) return false;
        *id = tg__describe(t, s, (uint32_t)(start / sizeof(int64_t)), TG__OWNER, NULL);
        if (*id) t->integers.used += room * sizeof(int64_t);
        return *id != 0;
    }
    if (!tg__room(t, room)) return false;
    tg__align(t, room);
    *id = t->head.n_values;
    if (s->rank)
        *id = tg__describe(t, s, t->head.n_values, TG__OWNER | (a->active ? TG__ACTIVE : 0u), NULL);
    if (s->rank && !*id) return false;
    t->head.n_values += (uint32_t)room;
    return true;
}

/* Where the tape stood before a result was made, for taking it back if its rule fails. */
typedef struct stand {
    uint32_t values;
    size_t integers, descriptors, pool;
} stand;

static stand stand_of(const tg_tape *t)
{
    return (stand){ t->head.n_values, t->integers.used, t->descriptors.used, t->pool.used };
}

static void go_back(tg_tape *t, stand s)
{
    t->head.n_values = s.values;
    t->integers.used = s.integers;
    t->descriptors.used = s.descriptors;
    t->pool.used = s.pool;
}

static tg_value record_tensor(application *a)
{
    tg_tape *t = a->tape;
    char message[MESSAGE];
    tg__call c = call_of(a, message, sizeof message);
    tg__shape s;
    s.type = t->type;
    s.rank = 0;
    tg_code code = a->op->shape(&c, &s);
    if (code != TG_OK) return rule_failed(a, code, message);
    if (s.type != TG_I64) s.type = t->type;
    if (s.rank > TG_MAX_RANK)
        return fail(a, TG_ERROR_SHAPE, "the result would have more than 8 axes");
    if (!tg__shape_finish(&s))
        return tg__error(t, TG_ERROR_SHAPE, name_of(a), a->site,
                         "a result of shape %s is too large: more than %d elements",
                         TG__SHAPE_TEXT(&s), INT32_MAX);
    const stand before = stand_of(t);
    uint32_t id;
    if (!make_result(a, &s, &id)) {
        go_back(t, before);
        return no_memory(a);
    }
    c.y = tg__value_array(t, id);
    code = a->op->forward(&c);
    if (code == TG_OK &&
        !append(a, TG__TENSOR | inactive(t, a->active), a->op->attributes->size > 0, id))
        code = TG_ERROR_MEMORY;
    if (code != TG_OK) {
        go_back(t, before);
        return rule_failed(a, code, message);
    }
    tg__set_limit(t);
    return (tg_value){ t, id, t->head.generation };
}

/* A view that is one element of the value arena, with a gradient, is that scalar. */
static bool is_scalar(const tg_tape *t, const tg__shape *s, uint32_t base, bool active)
{
    if (s->rank || s->type != t->type || !active) return false;
    return !(base & TG__DESCRIPTOR) || !tg__descriptor_of(t, base)->external;
}

static tg_value record_view(application *a, tg_value x)
{
    tg_tape *t = a->tape;
    char message[MESSAGE];
    tg__call c = call_of(a, message, sizeof message);
    tg__shape s;
    s.rank = 0;
    int64_t delta = 0;
    const tg_code code = a->op->view(&c, &s, &delta);
    if (code == TG__COPY) {
        const tg_value copied = tg__record(TG__CODE_contiguous, &x, 1, NULL, a->site);
        if (!tg__is_live(t, copied)) return copied;
        return tg__record(a->code, &copied, 1, a->attributes, a->site);
    }
    if (code != TG_OK) return rule_failed(a, code, message);
    s.type = a->x[0].s->type;
    s.n = 1;
    for (int i = 0; i < s.rank; i++) {
        if (s.dim[i] && s.n > INT32_MAX / s.dim[i])
            return tg__error(t, TG_ERROR_SHAPE, name_of(a), a->site,
                             "a result of shape %s is too large: more than %d elements",
                             TG__SHAPE_TEXT(&s), INT32_MAX);
        s.n *= s.dim[i];
    }
    const uint32_t base = a->id[0];
    const tg__descriptor *d = base & TG__DESCRIPTOR ? tg__descriptor_of(t, base) : NULL;
    const bool active = tg__is_active(t, base) && !t->no_grad;
    const uint32_t offset = (uint32_t)((d ? d->offset : base) + delta);
    if (is_scalar(t, &s, base, active)) {
        /* It lives as long as the elements do, which may be longer than the view x of them. */
        const bool owner = !d || d->flags & TG__OWNER;
        return (tg_value){ t, offset,
                           owner ? x.generation : tg__generation_of(t, tg__maker(t, base)) };
    }
    const uint32_t flags = t->no_grad ? TG__DETACHED : active ? TG__ACTIVE : 0;
    const uint32_t id = tg__describe_view(t, base, &s, delta, flags);
    return id ? (tg_value){ t, id, t->head.generation } : no_memory(a);
}

/* ---- the way in ------------------------------------------------------------------------------ */

static bool is_integer(const application *a, tg_value v)
{
    return v.tape == a->tape && tg__is_live(v.tape, v) && tg__value_array(v.tape, v.id).s->type == TG_I64;
}

/* A comparison of integers is one of their order with 0; beside a number they are numbers. False: it is none. */
static bool compare_integers(const application *a, const tg_value *x, tg_value *y)
{
    if (a->op->kind != TG__MAP || strcmp(a->op->letters, "00") != 0) return false;
    const bool both = is_integer(a, x[0]) && is_integer(a, x[1]);
    const int i = is_integer(a, x[0]) ? 0 : 1;
    if (!is_integer(a, x[i])) return false;
    tg_value of[2] = { x[0], x[1] };
    if (both) of[1] = tg__of_number(0);
    tg__shape s;
    const tg__shape *const p = tg__value_array(a->tape, x[i].id).s;
    if (both && !tg__broadcast(p, tg__value_array(a->tape, x[1].id).s, &s)) {
        *y = tg__error(a->tape, TG_ERROR_SHAPE, name_of(a), a->site, "shapes %s and %s do not broadcast",
                       TG__SHAPE_TEXT(p), TG__SHAPE_TEXT(tg__value_array(a->tape, x[1].id).s));
        return true;
    }
    of[i] = both ? tg__record(TG__CODE_order, x, 2, NULL, a->site) : tg__record(TG__CODE_cast, &x[i], 1, NULL, a->site);
    *y = of[i].generation ? tg__record(a->code, of, 2, NULL, a->site) : of[i];
    return true;
}

tg_value tg__record(int code, const tg_value *x, int n, const void *attributes, const tg_site *site)
{
    /* Field by field: the room for operands needs no zeros. */
    application a;
    a.tape = NULL;
    a.op = tg__op_table[code];
    a.code = code;
    a.n = n;
    a.attributes = attributes ? attributes : a.op->attributes->defaults;
    a.site = site;
    a.described = a.active = false;
    const int wanted = tg__operands(a.op->letters);
    if (n < 1 || (wanted != -1 && n != wanted)) {
        tg_tape *t = n > 0 && x && x[0].tape != TG__NUMBER ? x[0].tape : NULL;
        return tg__error(t, TG_ERROR_ARGUMENT, name_of(&a), site, "%d operands given, %s%d wanted",
                         n, wanted == -1 ? "at least " : "", wanted == -1 ? 1 : wanted);
    }
    if (!x) return tg__error(NULL, TG_ERROR_HANDLE, name_of(&a), site, "the operands are NULL");
    tg_value compared;
    if (!find_tape(&a, x)) return (tg_value){ a.tape, 0, 0 };
    if (compare_integers(&a, x, &compared)) return compared;
    if (!take_operands(&a, x)) return (tg_value){ a.tape, 0, 0 };
    if (a.op->kind == TG__MAP && !a.described) return record_scalar(&a);
    if (a.op->kind == TG__VIEW) return record_view(&a, x[0]);
    if (!settle_activity(&a, x)) return (tg_value){ a.tape, 0, 0 };
    return record_tensor(&a);
}

tg_value tg_custom_apply_at(const tg_custom *op, const tg_value *x, int n, const tg_site *site)
{
    static const char *const what = "custom_apply";
    tg_tape *const t = x && n > 0 && x[0].tape != TG__NUMBER ? x[0].tape : NULL;
    if (!op || !op->name || !op->forward)
        return tg__error(t, TG_ERROR_ARGUMENT, what, site,
                         "the operation is NULL, or has no name or no forward function");
    if (n < 1 || (op->operands && n != op->operands))
        return tg__error(t, TG_ERROR_ARGUMENT, op->name, site, "%d operands given, %d wanted", n,
                         op->operands);
    const tg_value y = tg__record(TG__CODE_custom, x, n, &(tg_custom_attributes){ .op = op }, site);
    if (op->impure && y.generation) tg__note(y.tape, TG__IMPURE, y.id, site);
    return y;
}

bool tg_split_all_at(tg_value x, int axis, int parts, tg_value *part, const tg_site *site)
{
    bool whole = true;
    int i = 0;
    do { /* also for 0 parts, which are an error */
        const tg_split_attributes a = { .axis = axis, .parts = parts, .index = i };
        const tg_value v = tg__record(TG__CODE_split, &x, 1, &a, site);
        if (parts > 0) part[i] = v;
        whole = whole && v.generation;
    } while (++i < parts);
    return whole;
}

tg_value tg_apply(tg_tape *t, const char *name, const tg_value *x, int n, const char *attributes)
{
    const int code = name ? tg__find(name) : 0;
    if (!code)
        return tg__error(t, TG_ERROR_ARGUMENT, "apply", NULL, "there is no operation named %s",
                         name ? name : "NULL");
    const tg__op *op = tg__op_table[code];
    if (!x || n < 1) return tg__error(t, TG_ERROR_ARGUMENT, op->name, NULL, "no operands given");
    union {
        max_align_t align;
        char byte[TG__ATTRIBUTES_BYTES];
    } room;
    char message[MESSAGE];
    if (attributes) {
        const tg_code parsed =
            tg__attributes_parse(op->attributes, attributes, &room, message, sizeof message);
        if (parsed != TG_OK) return tg__error(t, parsed, op->name, NULL, "%s", message);
    }
    for (int i = 0; i < n; i++) {
        if (x[i].tape == t) continue;
        return tg__error(t, TG_ERROR_HANDLE, op->name, NULL, "operand %d is no value of the tape",
                         i + 1);
    }
    return tg__record(code, x, n, attributes ? &room : NULL, NULL);
}

#include "api.inl" /* generated: a function for each op */
