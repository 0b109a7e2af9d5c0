/* Making nodes: see graph.h. */
#include "program/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codes.h" /* generated */
#include "kernels/kernels.h"
#include "ops/attributes.h"
#include "tape/scalar.h"

enum { MESSAGE = 256, FOLDED_ELEMENTS = 1 << 16, FEW = 8 };

/* ---- beginning and end ----------------------------------------------------------------------- */

/* bytes more in an arena, aligned to 8; their place, or SIZE_MAX. */
static size_t put(tg__graph *g, tg__arena *a, const void *bytes, size_t n)
{
    const size_t place = (a->used + 7) & ~(size_t)7;
    if (!tg__arena_grow(a, place + n)) {
        tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
        return SIZE_MAX;
    }
    if (n) memcpy(a->data + place, bytes, n);
    a->used = place + n;
    return place;
}

bool tg__graph_init(tg__graph *g, tg__memory *m, tg_type type, const tg_compile_options *options)
{
    *g = (tg__graph){ .type = type, .k = tg__kernels_for(type), .memory = m };
    g->without = options ? options->without : 0;
    g->strict = options && options->strict;
    g->fast_math = options && options->fast_math;
    g->allow_reads = options && options->allow_reads;
    tg__arena *const arena[] = { &g->nodes, &g->pool,  &g->shapes,  &g->attributes, &g->constants,
                                 &g->table, &g->scratch, &g->sites };
    for (size_t i = 0; i < sizeof arena / sizeof *arena; i++) tg__arena_init(arena[i], m);
    const tg__shape scalar = { .type = type, .n = 1 };
    const tg_site nowhere = { NULL, 0 };
    const uint64_t none = 0; /* attributes of nodes that have none: memory all the same */
    if (put(g, &g->shapes, &scalar, sizeof scalar) == SIZE_MAX ||
        put(g, &g->attributes, &none, sizeof none) == SIZE_MAX ||
        put(g, &g->sites, &nowhere, sizeof nowhere) == SIZE_MAX ||
        put(g, &g->nodes, &(tg__node){ 0 }, sizeof(tg__node)) == SIZE_MAX ||
        !tg__graph_expect(g, 1))
        return false;
    g->n = 1;
    return true;
}

void tg__graph_free(tg__graph *g)
{
    tg__arena *const arena[] = { &g->nodes, &g->pool,  &g->shapes,  &g->attributes, &g->constants,
                                 &g->table, &g->scratch, &g->sites };
    for (size_t i = 0; i < sizeof arena / sizeof *arena; i++)
        if (arena[i]->memory) tg__arena_free(arena[i]);
}

void tg__graph_close(tg__graph *g)
{
    if (g->table.memory) tg__arena_free(&g->table);
    if (g->scratch.memory) tg__arena_free(&g->scratch);
    g->buckets = 0;
}

uint32_t tg__graph_fail(tg__graph *g, tg_code code, const char *format, ...)
{
    tg_status *const s = &g->status;
    if (s->code != TG_OK) return 0;
    s->code = code;
    const tg_site *const site = (const tg_site *)(void *)g->sites.data + g->site;
    int at = 0;
    if (g->sites.data && site->file)
        at = snprintf(s->message, sizeof s->message, "%s:%d: ", site->file, site->line);
    if (at < 0 || at >= (int)sizeof s->message) at = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(s->message + at, sizeof s->message - (size_t)at, format, args);
    va_end(args);
    return 0;
}

/* ---- a node is made once ---------------------------------------------------------------------- */

/* What belongs to a node in the arena of attributes. */
static size_t data_size(const tg__node *node)
{
    if (node->op == TG__NODE_VIEW) return sizeof(tg__look);
    if (node->op == TG__NODE_BACKWARD) return sizeof(tg__back);
    const tg__op *const op = tg__node_op(node);
    return op ? op->attributes->size : 0;
}

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

/* Its upper half is what counts. */
static uint64_t hash_of(const tg__node *node, const uint32_t *x, const char *data, size_t size)
{
    uint64_t h = (uint64_t)node->op << 16 ^ node->n;
    for (uint32_t i = 0; i + 1 < node->n; i += 2) h = mix(h, (uint64_t)x[i] << 32 | x[i + 1]);
    if (node->n % 2) h = mix(h, x[node->n - 1]);
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, data + i, 8);
        h = mix(h, word);
    }
    return h;
}

static bool same_shape(const tg__shape *a, const tg__shape *b)
{
    if (a->type != b->type || !tg__shape_same_dims(a, b)) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->stride[i] != b->stride[i]) return false;
    return true;
}

static bool same_node(const tg__graph *g, const tg__node *a, const tg__node *b, const uint32_t *x,
                      const char *data, size_t size, const tg__shape *s)
{
    if (a->op != b->op || a->n != b->n) return false;
    const uint32_t *const own = tg__node_operands(g, a);
    for (uint32_t i = 0; i < a->n; i++)
        if (own[i] != x[i]) return false;
    if (size && memcmp(g->attributes.data + a->data, data, size) != 0) return false;
    if (!s) return a->shape == 0;
    return same_shape((const tg__shape *)(void *)g->shapes.data + a->shape, s);
}

/* The table has for each node its number and in the bits above, as many as are left, a part of its hash.
   Nodes made one after the other have operands that were, or one that is the same: so a node is looked
   for first in a cache line that goes on with its newest and its oldest operand, of views with where they
   begin, and if that is full, from where its hash says on. */
enum { LINE = 64 / sizeof(uint32_t), FEWEST_BUCKETS = 256 };

/* The bits of an entry that are a node's number: numbers are below half of the buckets. */
static uint32_t number_bits(const tg__graph *g)
{
    return g->buckets / 2 - 1;
}

static uint32_t line_of(const tg__graph *g, const tg__node *node, const uint32_t *x, const char *data)
{
    uint32_t newest = 0, oldest = UINT32_MAX;
    for (uint32_t i = 0; i < node->n; i++) {
        if (x[i] > newest) newest = x[i];
        if (x[i] < oldest) oldest = x[i];
    }
    uint32_t at = newest + oldest;
    if (node->op == TG__NODE_VIEW) at = ~(2 * (uint32_t)((const tg__look *)(const void *)data)->offset + at);
    return at & (g->buckets - LINE);
}

/* Where a node of this line and hash is looked for the k-th time. */
static uint32_t *entry_at(const tg__graph *g, uint32_t line, uint64_t h, uint32_t k)
{
    const uint32_t first = (uint32_t)(h >> 32), i = k < LINE ? line | (first + k) % LINE : (uint32_t)(h >> 16) + k;
    return (uint32_t *)(void *)g->table.data + (i & (g->buckets - 1));
}

static void fill_table(tg__graph *g)
{
    for (uint32_t id = 1; id < g->n; id++) {
        const tg__node *const node = tg__node_at(g, id);
        if (node->op == TG__NODE_CONSTANT) continue;
        const uint32_t *const x = tg__node_operands(g, node);
        const char *const data = g->attributes.data + node->data;
        const uint64_t h = hash_of(node, x, data, data_size(node));
        const uint32_t line = line_of(g, node, x, data);
        uint32_t k = 0, *e = entry_at(g, line, h, k);
        while (*e) e = entry_at(g, line, h, ++k);
        *e = id | ((uint32_t)(h >> 32) & ~number_bits(g));
    }
}

/* Room for n nodes. */
static bool enlarge_table(tg__graph *g, uint32_t n)
{
    uint32_t buckets = g->table.used ? g->buckets : FEWEST_BUCKETS;
    while (buckets / 2 < n && buckets <= UINT32_MAX / 2) buckets *= 2;
    if (buckets / 2 < n) return false;
    if (buckets == g->buckets && g->table.used) return true;
    g->buckets = 0;
    tg__arena_free(&g->table); /* new memory is zero */
    if (!tg__arena_push(&g->table, buckets * sizeof(uint32_t))) return false;
    g->buckets = buckets;
    fill_table(g);
    return true;
}

bool tg__graph_expect(tg__graph *g, uint32_t n)
{
    return tg__arena_grow(&g->nodes, n * sizeof(tg__node)) &&
           tg__arena_grow(&g->pool, 2 * (size_t)n * sizeof(uint32_t)) &&
           tg__arena_grow(&g->attributes, n * sizeof(tg__look)) && enlarge_table(g, n);
}

/* Whether the same operands give the same result, whenever it is computed. */
static bool pure(const tg__node *node, const void *data)
{
    if (node->op == TG__CODE_call)
        return !(((const tg_call_attributes *)data)->flags & TG__CALL_IMPURE);
    return node->op != TG__CODE_custom || !((const tg_custom_attributes *)data)->op->impure;
}

bool tg__node_acts(const tg__graph *g, uint32_t id)
{
    const tg__node *const node = tg__node_at(g, id);
    return node->op == TG__CODE_guard || !pure(node, tg__node_data(g, node->data));
}

/* The entry of the node like this one that there is already, or a free one. */
static uint32_t *look_up(const tg__graph *g, const tg__node *node, const uint32_t *x, const void *data,
                         size_t size, const tg__shape *s, uint64_t h)
{
    const uint32_t line = line_of(g, node, x, data), number = number_bits(g), part = (uint32_t)(h >> 32);
    for (uint32_t k = 0;; k++) {
        uint32_t *const e = entry_at(g, line, h, k);
        if (!*e || ((*e ^ part) <= number && same_node(g, tg__node_at(g, *e & number), node, x, data, size, s)))
            return e;
    }
}

/* The place of a shape: that of an operand, or of one among the last, or a new one; SIZE_MAX: no memory. */
static size_t place_of_shape(tg__graph *g, const uint32_t *x, uint32_t n, const tg__shape *s)
{
    const tg__shape *const all = (const tg__shape *)(void *)g->shapes.data;
    for (uint32_t i = 0; i < n && i < 2; i++) {
        const uint32_t own = tg__node_at(g, x[i])->shape;
        if (same_shape(&all[own], s)) return own;
    }
    uint64_t h = (uint64_t)s->n << 8 ^ (uint64_t)s->rank;
    for (int i = 0; i < s->rank; i++) h = mix(h, (uint64_t)s->dim[i] << 32 ^ (uint64_t)s->stride[i]);
    uint32_t *const recent = &g->recent[h % TG__RECENT_SHAPES];
    if (same_shape(&all[*recent], s)) return *recent;
    const size_t place = put(g, &g->shapes, s, sizeof *s);
    if (place == SIZE_MAX) return SIZE_MAX;
    return *recent = (uint32_t)(place / sizeof *s);
}

/* Appends a node: data are its attributes, s its shape (NULL: a floating scalar). */
static uint32_t append(tg__graph *g, const tg__node *like, const uint32_t *x, const void *data, size_t size,
                       const tg__shape *s)
{
    const uint32_t n = like->n;
    size_t place = like->data, shape = 0;
    if (g->n == TG__MOST_NODES) return tg__graph_fail(g, TG_ERROR_MEMORY, "more than 2^30 nodes");
    if (!tg__arena_grow(&g->pool, g->pool.used + n * sizeof *x) || !tg__arena_grow(&g->nodes, (g->n + 1) * sizeof *like))
        return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    if (size && (place = put(g, &g->attributes, data, size)) == SIZE_MAX) return 0;
    if (s && (shape = place_of_shape(g, x, n, s)) == SIZE_MAX) return 0;
    const size_t first = g->pool.used / sizeof *x;
    uint32_t *const operand = (uint32_t *)(void *)g->pool.data + first;
    for (uint32_t i = 0; i < n; i++) operand[i] = x[i];
    g->pool.used += n * sizeof *x;
    *tg__node_at(g, g->n) = (tg__node){ .op = like->op,
                                        .stage = like->stage,
                                        .n = n,
                                        .first = (uint32_t)first,
                                        .shape = (uint32_t)shape,
                                        .data = (uint32_t)place,
                                        .site = g->site };
    g->nodes.used = (g->n + 1) * sizeof *like;
    return g->n++;
}

/* The node like this one, found or made. */
static uint32_t node_of(tg__graph *g, const tg__node *node, const uint32_t *x, const void *data,
                        const tg__shape *s)
{
    const size_t size = data_size(node);
    if (g->without & TG_COMMON_SUBEXPRESSIONS || !pure(node, data))
        return append(g, node, x, data, size, s);
    if (g->n >= g->buckets / 2 && !enlarge_table(g, 2 * g->n))
        return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    const uint64_t h = hash_of(node, x, data, size);
    uint32_t *const e = look_up(g, node, x, data, size, s, h);
    if (*e) return *e & number_bits(g);
    const uint32_t made = append(g, node, x, data, size, s);
    if (made) *e = made | ((uint32_t)(h >> 32) & ~number_bits(g));
    return made;
}

static uint8_t stage_of(const tg__graph *g, const uint32_t *x, uint32_t n)
{
    uint8_t stage = TG__EARLY;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t other = tg__node_at(g, x[i])->stage;
        if (other > stage) stage = other;
    }
    return stage;
}

/* ---- leaves ---------------------------------------------------------------------------------- */

static bool is_plain_scalar(const tg__graph *g, const tg__shape *s)
{
    return s->rank == 0 && s->type == g->type;
}

uint32_t tg__graph_input(tg__graph *g, uint32_t which, const tg__shape *s, bool varies)
{
    const tg__node node = { .op = TG__NODE_INPUT, .stage = varies ? TG__BODY : TG__EARLY,
                            .data = which };
    tg__shape own = *s;
    tg__shape_finish(&own);
    return append(g, &node, NULL, NULL, 0, is_plain_scalar(g, s) ? NULL : &own);
}

uint32_t tg__graph_count(tg__graph *g)
{
    if (!g->count) g->count = append(g, &(tg__node){ .op = TG__NODE_COUNT }, NULL, NULL, 0, NULL);
    return g->count;
}

uint32_t tg__graph_constant(tg__graph *g, tg__array a)
{
    if (tg__graph_failed(g)) return 0;
    tg__shape s = *a.s;
    tg__shape_finish(&s);
    const size_t bytes = (size_t)s.n * tg__type_size(s.type);
    const size_t place = (g->constants.used + 63) & ~(size_t)63;
    if (!tg__arena_grow(&g->constants, place + bytes))
        return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory for a constant of shape %s",
                              TG__SHAPE_TEXT(&s));
    g->constants.used = place + bytes;
    const tg__array copy = { &s, g->constants.data + place };
    tg__copy(g->k, copy, a);
    const tg__node node = { .op = TG__NODE_CONSTANT, .data = (uint32_t)(place / 8) };
    return append(g, &node, NULL, NULL, 0, is_plain_scalar(g, &s) ? NULL : &s);
}

static uint32_t number_of_bits(tg__graph *g, uint64_t bits)
{
    const size_t place = put(g, &g->constants, &bits, sizeof bits);
    if (place == SIZE_MAX) return 0;
    return append(g, &(tg__node){ .op = TG__NODE_CONSTANT, .data = (uint32_t)(place / 8) }, NULL, NULL, 0, NULL);
}

uint32_t tg__graph_number(tg__graph *g, double x)
{
    if (tg__graph_failed(g)) return 0;
    uint64_t bits = 0;
    const float single = (float)x;
    if (g->type == TG_F64) memcpy(&bits, &x, sizeof x);
    else memcpy(&bits, &single, sizeof single);
    /* The last nodes first: derivatives use few numbers, again and again. */
    for (int i = 0; i < FEW; i++) {
        const uint32_t id = g->numbers[i];
        if (id && *(const uint64_t *)tg__node_constant(g, id) == bits) return id;
    }
    const uint32_t id = number_of_bits(g, bits);
    g->numbers[g->next_number++ % FEW] = id;
    return id;
}

/* ---- views ----------------------------------------------------------------------------------- */

uint32_t tg__graph_view(tg__graph *g, uint32_t base, const tg__shape *s, int64_t offset)
{
    if (tg__graph_failed(g)) return 0;
    const uint32_t owner = tg__node_owner(g, base);
    const tg__look look = { offset + tg__node_offset(g, base) };
    if (look.offset == 0 && same_shape(s, tg__node_shape(g, owner))) return owner;
    const tg__node node = { .op = TG__NODE_VIEW, .n = 1, .stage = tg__node_at(g, owner)->stage };
    return node_of(g, &node, &owner, &look, is_plain_scalar(g, s) ? NULL : s);
}

/* ---- operations ------------------------------------------------------------------------------ */

/* An op applied to nodes, as its rules see it. */
typedef struct application {
    tg__call call;
    tg__array few[FEW];
    char message[MESSAGE];
} application;

/* Arrays without elements, or, of constants, with them. */
static bool set_up(tg__graph *g, int code, const uint32_t *x, int n, const void *attributes,
                   application *a)
{
    g->scratch.used = 0;
    tg__array *arrays = a->few;
    if (n > FEW && !(arrays = tg__arena_push(&g->scratch, (size_t)n * sizeof *arrays))) {
        tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
        return false;
    }
    for (int i = 0; i < n; i++) {
        const char *const data = tg__node_constant(g, x[i]);
        arrays[i] = (tg__array){ tg__node_shape(g, x[i]), (void *)(uintptr_t)data };
    }
    a->call = (tg__call){ .op = tg__ops[code],
                          .code = code,
                          .k = g->k,
                          .attributes = attributes,
                          .n = n,
                          .x = arrays,
                          .scratch = &g->scratch,
                          .message = a->message,
                          .message_size = sizeof a->message };
    return true;
}

static uint32_t rule_failed(tg__graph *g, const application *a, tg_code code)
{
    const char *const name = tg__op_name(a->call.op, a->call.attributes);
    if (code == TG_ERROR_MEMORY) return tg__graph_fail(g, code, "%s: no memory", name);
    return tg__graph_fail(g, code, "%s: %s", name, a->message);
}

static uint32_t apply_view(tg__graph *g, int code, uint32_t x, const void *attributes)
{
    application a;
    if (!set_up(g, code, &x, 1, attributes, &a)) return 0;
    tg__shape s = { .rank = 0 };
    int64_t offset = 0;
    const tg_code result = a.call.op->view(&a.call, &s, &offset);
    if (result == TG__COPY) {
        const uint32_t copied = tg__graph_apply(g, TG__CODE_contiguous, &x, 1, NULL);
        return tg__graph_failed(g) ? 0 : apply_view(g, code, copied, attributes);
    }
    if (result != TG_OK) return rule_failed(g, &a, result);
    s.type = a.call.x[0].s->type;
    s.n = 1;
    for (int i = 0; i < s.rank; i++) s.n *= s.dim[i];
    return tg__graph_view(g, x, &s, offset);
}

/* The value of an op on constants only, as a constant. */
static uint32_t fold(tg__graph *g, application *a, const tg__shape *s)
{
    const size_t bytes = (size_t)(s->n ? s->n : 1) * tg__type_size(s->type);
    void *const y = tg__arena_push(&g->scratch, bytes);
    if (!y) return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    /* The arena of scratch memory may have moved with the operands' arrays in it, which stay
       readable. */
    a->call.y = (tg__array){ s, y };
    const tg_code code = a->call.op->forward(&a->call);
    if (code != TG_OK) return rule_failed(g, a, code);
    return tg__graph_constant(g, a->call.y);
}

static bool all_constant(const tg__graph *g, const uint32_t *x, int n)
{
    for (int i = 0; i < n; i++)
        if (!tg__node_constant(g, x[i])) return false;
    return true;
}

/* Whether all elements of x are the number one. */
static bool is_one(const tg__graph *g, uint32_t x)
{
    const uint32_t owner = tg__node_owner(g, x);
    const void *const p = tg__node_constant(g, owner);
    if (!p || tg__node_at(g, owner)->shape) return false;
    return g->type == TG_F64 ? *(const double *)p == 1 : *(const float *)p == 1;
}

/* Whether x can stand for a result of shape s: views of that know its elements as adjacent ones. */
static bool can_be(const tg__graph *g, uint32_t x, const tg__shape *s)
{
    const tg__shape *const is = tg__node_shape(g, x);
    return tg__shape_same_dims(is, s) && tg__shape_contiguous(is);
}

/* An elementwise op whose result is one of its operands, or another op on them, bit for bit; 0: it
   is not. */
static uint32_t simplify(tg__graph *g, int code, const uint32_t *x, const tg__shape *s)
{
    if (g->without & TG_SIMPLIFY) return 0;
    const bool product = code == TG__CODE_mul || code == TG__CODE_times;
    if (product || code == TG__CODE_div) {
        for (int i = 0; i < 2; i++) {
            if (is_one(g, x[1 - i]) && (product || i == 0) && can_be(g, x[i], s)) return x[i];
        }
    }
    if (code == TG__CODE_div && is_one(g, x[0]) &&
        tg__shape_same_dims(tg__node_shape(g, x[1]), s))
        return tg__graph_apply(g, TG__CODE_reciprocal, &x[1], 1, NULL);
    if (code == TG__CODE_neg && tg__node_at(g, x[0])->op == TG__CODE_neg) {
        const uint32_t twice = tg__node_operands(g, tg__node_at(g, x[0]))[0];
        return can_be(g, twice, s) ? twice : 0;
    }
    return 0;
}

/* The derivatives of tanh and sigmoid by their value y alone, for those who do not mind; 0: no such. */
static uint32_t quick_derivative(tg__graph *g, int code, const uint32_t *x)
{
    if (!g->fast_math || (code != TG__CODE_tanh_by_value && code != TG__CODE_sigmoid_by_value)) return 0;
    const uint32_t y = x[1], one = tg__graph_number(g, 1);
    const uint32_t minus = tg__graph_apply(g, TG__CODE_neg, &y, 1, NULL);
    const uint32_t squared[] = { minus, y, code == TG__CODE_tanh_by_value ? one : y };
    return tg__graph_apply(g, TG__CODE_fma, squared, 3, NULL);
}

/* The value of an op on constants that are plain scalars. */
static uint32_t fold_scalars(tg__graph *g, int code, const uint32_t *x, int n)
{
    double v[3] = { 0 };
    for (int i = 0; i < n; i++) {
        const void *const p = tg__node_constant(g, x[i]);
        v[i] = g->type == TG_F64 ? *(const double *)p : (double)*(const float *)p;
    }
    if (g->type == TG_F64) return tg__graph_number(g, tg__scalar_value(code, v[0], v[1], v[2]));
    float y, f[3] = { (float)v[0], (float)v[1], (float)v[2] };
    g->k->map_forward[code](1, &y, (const void *const[]){ f, f + 1, f + 2 }, (const ptrdiff_t[]){ 1, 1, 1 });
    return tg__graph_number(g, (double)y);
}

/* Plain scalars only: the way of most nodes of large graphs. */
static uint32_t apply_scalar(tg__graph *g, int code, const uint32_t *x, int n)
{
    if (all_constant(g, x, n) && !(g->without & TG_FOLD)) return fold_scalars(g, code, x, n);
    const uint32_t simple = simplify(g, code, x, (const tg__shape *)(void *)g->shapes.data);
    if (simple) return simple;
    const tg__node node = { .op = (uint16_t)code, .n = (uint32_t)n,
                            .stage = stage_of(g, x, (uint32_t)n) };
    return node_of(g, &node, x, NULL, NULL);
}

static bool all_scalars(const tg__graph *g, const uint32_t *x, int n)
{
    for (int i = 0; i < n; i++)
        if (tg__node_at(g, x[i])->shape) return false;
    return true;
}

/* Whether x is one number again and again, the same for all instances. */
static bool repeats(const tg__graph *g, uint32_t x)
{
    const tg__node *const node = tg__node_at(g, x);
    const tg__shape *const s = tg__node_shape(g, x);
    bool same =
        node->op == TG__NODE_VIEW && node->stage != TG__BODY && s->n > 1 && s->type == g->type;
    for (int i = 0; same && i < s->rank; i++) same = s->dim[i] == 1 || s->stride[i] == 0;
    return same;
}

/* The operands of an elementwise op, with numbers in the places of repeated numbers, as long as one
   operand keeps the result's dimensions. */
static void as_numbers(tg__graph *g, const uint32_t *x, int n, uint32_t number[3])
{
    const tg__shape scalar = { .type = g->type, .n = 1 };
    int kept = -1;
    for (int i = 0; i < n; i++) {
        number[i] = x[i];
        if (kept < 0 && tg__node_at(g, x[i])->shape && !repeats(g, x[i])) kept = i;
    }
    for (int i = 0; i < n && kept >= 0 && !tg__graph_failed(g); i++)
        if (repeats(g, x[i]) &&
            tg__shape_same_dims(tg__node_shape(g, x[i]), tg__node_shape(g, x[kept])))
            number[i] = tg__graph_view(g, x[i], &scalar, 0);
}

uint32_t tg__graph_apply(tg__graph *g, int code, const uint32_t *x, int n, const void *attributes)
{
    if (tg__graph_failed(g)) return 0;
    const tg__op *const op = tg__ops[code];
    if (op->kind == TG__MAP && all_scalars(g, x, n)) {
        const uint32_t quick = quick_derivative(g, code, x);
        return quick ? quick : apply_scalar(g, code, x, n);
    }
    uint32_t number[3];
    if (op->kind == TG__MAP && !(g->without & TG_SIMPLIFY)) {
        as_numbers(g, x, n, number);
        x = number;
    }
    if (tg__graph_failed(g)) return 0;
    if (!attributes) attributes = op->attributes->defaults;
    union {
        max_align_t align;
        char byte[TG__ATTRIBUTES_BYTES];
    } clean;
    if (op->attributes->fields) {
        tg__attributes_copy(op->attributes, attributes, clean.byte);
        attributes = clean.byte;
    }
    tg_dropout_attributes drawn;
    if (code == TG__CODE_dropout && tg__node_at(g, x[0])->stage != TG__BODY) {
        /* Drawn once a run: its derivatives, which may be made for every instance, drop the same. */
        memcpy(&drawn, attributes, sizeof drawn);
        drawn.same = true;
        attributes = &drawn;
    }
    const uint32_t quick = quick_derivative(g, code, x);
    if (quick) return quick;
    if (op->kind == TG__MAP && all_scalars(g, x, n)) return apply_scalar(g, code, x, n);
    if (op->kind == TG__VIEW) return apply_view(g, code, x[0], attributes);
    application a;
    if (!set_up(g, code, x, n, attributes, &a)) return 0;
    tg__shape s = { .type = g->type, .rank = 0 };
    const tg_code result = op->shape(&a.call, &s);
    if (result != TG_OK) return rule_failed(g, &a, result);
    if (s.type != TG_I64) s.type = g->type;
    if (s.rank > TG_MAX_RANK || !tg__shape_finish(&s))
        return tg__graph_fail(g, TG_ERROR_SHAPE, "%s: a result of shape %s is too large",
                              tg__op_name(op, attributes), TG__SHAPE_TEXT(&s));
    const uint32_t simple = op->kind == TG__MAP ? simplify(g, code, x, &s) : 0;
    if (simple) return simple;
    const tg__node node = { .op = (uint16_t)code, .n = (uint32_t)n,
                            .stage = stage_of(g, x, (uint32_t)n) };
    const bool foldable = !(g->without & TG_FOLD) && s.n <= FOLDED_ELEMENTS &&
                          code != TG__CODE_dropout && pure(&node, attributes) && all_constant(g, x, n);
    if (foldable) return fold(g, &a, &s);
    const uint32_t made = node_of(g, &node, x, attributes, is_plain_scalar(g, &s) ? NULL : &s);
    /* What a guard says is 1, or there is no result. */
    return code == TG__CODE_guard && made ? tg__graph_number(g, 1) : made;
}

/* ---- what is no op ----------------------------------------------------------------------------- */

uint32_t tg__graph_assemble(tg__graph *g, const tg__shape *s, const uint32_t *x, const uint32_t *look,
                            uint32_t n)
{
    if (tg__graph_failed(g)) return 0;
    g->scratch.used = 0;
    uint32_t *const operand = tg__arena_push(&g->scratch, 2 * (size_t)n * sizeof *operand);
    if (!operand) return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    memcpy(operand, x, n * sizeof *x);
    memcpy(operand + n, look, n * sizeof *look);
    tg__shape own = *s;
    tg__shape_finish(&own);
    const tg__node node = { .op = TG__NODE_ASSEMBLE, .n = 2 * n, .stage = stage_of(g, x, n) };
    return node_of(g, &node, operand, NULL, is_plain_scalar(g, &own) ? NULL : &own);
}

uint32_t tg__graph_backward(tg__graph *g, uint32_t y, int by, uint32_t gradient)
{
    if (tg__graph_failed(g)) return 0;
    const tg__node node = *tg__node_at(g, y);
    const tg__back back = { node.op, by, node.data };
    /* A rule adds to a gradient with its operand's strides: this one has adjacent elements. */
    uint32_t own = tg__node_operands(g, &node)[by];
    if (!tg__shape_contiguous(tg__node_shape(g, own)))
        own = tg__graph_apply(g, TG__CODE_contiguous, &own, 1, NULL);
    if (!tg__graph_failed(g) && !tg__shape_contiguous(tg__node_shape(g, gradient)))
        gradient = tg__graph_apply(g, TG__CODE_contiguous, &gradient, 1, NULL);
    if (tg__graph_failed(g)) return 0;
    g->scratch.used = 0;
    uint32_t *const x = tg__arena_push(&g->scratch, ((size_t)node.n + 2) * sizeof *x);
    if (!x) return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    memcpy(x, tg__node_operands(g, &node), node.n * sizeof *x);
    x[by] = own;
    x[node.n] = y;
    x[node.n + 1] = gradient;
    tg__shape s = *tg__node_shape(g, x[by]);
    tg__shape_finish(&s);
    const tg__node made = { .op = TG__NODE_BACKWARD, .n = node.n + 2,
                            .stage = stage_of(g, x, node.n + 2) };
    return node_of(g, &made, x, &back, is_plain_scalar(g, &s) ? NULL : &s);
}

uint32_t tg__graph_sum(tg__graph *g, uint32_t x)
{
    if (tg__graph_failed(g)) return 0;
    tg__shape s = *tg__node_shape(g, x);
    tg__shape_finish(&s);
    const tg__node node = { .op = TG__NODE_SUM, .n = 1, .stage = TG__LATE };
    return node_of(g, &node, &x, NULL, is_plain_scalar(g, &s) ? NULL : &s);
}
