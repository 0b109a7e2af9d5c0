/* See nodes.h. */
#include "program/nodes.h"

#include <string.h>

#include "codes.h" /* generated */

/* Nearly all nodes of large graphs are plain scalars: what finds or makes one is one piece of code without calls, which
   takes a tenth off the time of compiling. */
#define INLINED __attribute__((always_inline)) static inline

enum {
    LINE = 64 / sizeof(uint32_t),
    FEWEST_BUCKETS = 256,
    FEWEST_NODES = 128,
    MOST_NODES = 1 << 30,
    OPS = 0xFFF,
    STAGES = 3,
    SITES = 0x3FFFF
};

size_t tg__nodes_put(tg__graph *g, tg__arena *a, const void *bytes, size_t n)
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

/* What belongs to a node in the arena of attributes. */
static inline size_t data_size(uint32_t op)
{
    if (op == TG__NODE_VIEW) return sizeof(tg__look);
    if (op == TG__NODE_BACKWARD) return sizeof(tg__back);
    return op < TG__NODE_INPUT ? tg__ops[op]->attributes->size : 0;
}

bool tg__is_pure(uint32_t op, const void *data)
{
    if (op == TG__CODE_call) return !(((const tg_call_attributes *)data)->flags & TG__CALL_IMPURE);
    const bool custom = op == TG__CODE_custom || op == TG__CODE_custom_gradient;
    return !custom || !((const tg_custom_attributes *)data)->op->impure;
}

/* ---- which nodes are the same -------------------------------------------------------------------- */

static uint64_t mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

/* Its upper half is what counts. */
static inline uint64_t hash_of(uint32_t op, const uint32_t *x, uint32_t n, const void *data, size_t size)
{
    uint64_t h = op << 16 ^ n;
    for (uint32_t i = 0; i + 1 < n; i += 2) h = mix(h, (uint64_t)x[i] << 32 | x[i + 1]);
    if (n % 2) h = mix(h, x[n - 1]);
    for (size_t i = 0; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, (const char *)data + i, 8);
        h = mix(h, word);
    }
    return h;
}

bool tg__same_shape(const tg__shape *a, const tg__shape *b)
{
    if (a->type != b->type || !tg__shape_same_dims(a, b)) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->stride[i] != b->stride[i]) return false;
    return true;
}

static inline bool same_operation(const tg__graph *g, const tg__node *a, uint32_t op, const uint32_t *x, uint32_t n)
{
    if (a->op != op || a->n != n) return false;
    const uint32_t *const own = tg__node_operands(g, a);
    for (uint32_t i = 0; i < n; i++)
        if (own[i] != x[i]) return false;
    return true;
}

static inline bool same_rest(const tg__graph *g, const tg__node *a, const void *data, size_t size, const tg__shape *s)
{
    if (size && memcmp(g->attributes.data + a->data, data, size) != 0) return false;
    if (!s) return a->shape == 0;
    return tg__same_shape((const tg__shape *)(void *)g->shapes.data + a->shape, s);
}

/* ---- the table ------------------------------------------------------------------------------------ */

/* The table has for each node its number and in the bits above, as many as are left, a part of its hash.
   Nodes made one after the other have operands that were, or one that is the same: so a node is looked
   for first in a cache line that goes on with its first and its last operand, of views with where they
   begin, and if that is full, from where its hash says on. */
typedef struct probe {
    uint32_t line, part, far, k;
} probe;

/* The bits of an entry that are a node's number: numbers are below half of the buckets. */
static inline uint32_t number_bits(const tg__graph *g)
{
    return g->buckets / 2 - 1;
}

static inline probe probe_of(const tg__graph *g, uint32_t op, const uint32_t *x, uint32_t n, const void *data,
                             uint64_t h)
{
    uint32_t at = n ? x[0] + x[n - 1] : 0;
    if (op == TG__NODE_VIEW) at = ~(2 * (uint32_t)((const tg__look *)data)->offset + at);
    return (probe){ .line = at & (g->buckets - LINE), .part = (uint32_t)(h >> 32), .far = (uint32_t)(h >> 16) };
}

/* Where to look next. */
static inline uint32_t *next_entry(const tg__graph *g, probe *p)
{
    const uint32_t i = p->k < LINE ? p->line | (p->part + p->k) % LINE : p->far + p->k;
    p->k++;
    return (uint32_t *)(void *)g->table.data + (i & (g->buckets - 1));
}

static inline uint32_t new_entry(const tg__graph *g, const probe *p, uint32_t id)
{
    return id | (p->part & ~number_bits(g));
}

static void fill_table(const tg__graph *g)
{
    for (uint32_t id = 1; id < g->n; id++) {
        const tg__node *const node = tg__node_at(g, id);
        if (node->op == TG__NODE_CONSTANT) continue;
        const uint32_t *const x = tg__node_operands(g, node);
        const char *const data = g->attributes.data + node->data;
        const uint64_t h = hash_of(node->op, x, node->n, data, node->data ? data_size(node->op) : 0);
        probe p = probe_of(g, node->op, x, node->n, data, h);
        uint32_t *e = next_entry(g, &p);
        while (*e) e = next_entry(g, &p);
        *e = new_entry(g, &p, id);
    }
}

/* The buckets that n nodes need. */
static uint32_t buckets_for(uint32_t n)
{
    uint32_t buckets = FEWEST_BUCKETS;
    while (buckets / 2 < n && buckets / 2 < MOST_NODES) buckets *= 2;
    return buckets;
}

/* Room for n nodes. */
static bool enlarge_table(tg__graph *g, uint32_t n)
{
    const uint32_t buckets = buckets_for(n);
    g->buckets = 0;
    tg__arena_free(&g->table);
    if (!tg__graph_borrow(g, &g->table, buckets * sizeof(uint32_t))) return false;
    g->buckets = buckets;
    fill_table(g);
    return true;
}

bool tg__graph_expect(tg__graph *g, const tg__expected *e)
{
    const uint32_t n = e->nodes < FEWEST_NODES ? FEWEST_NODES : e->nodes;
    const size_t nodes = n * sizeof(tg__node), table = buckets_for(n) * sizeof(uint32_t);
    const size_t pool = (e->operands + 3 * FEWEST_NODES) * sizeof(uint32_t);
    const size_t attributes = e->attributes + FEWEST_NODES * sizeof(tg__look);
    tg__arena *const room = &g->room;
    g->expected = n; /* by the table, when it is first asked */
    g->lasting = 0;
    return tg__arena_grow(room, room->used + nodes + pool + attributes + table + e->more + (size_t)5 * 64) &&
           tg__arena_lend(room, &g->nodes, nodes) && tg__arena_lend(room, &g->pool, pool) &&
           tg__arena_lend(room, &g->attributes, attributes);
}

bool tg__graph_borrow(tg__graph *g, tg__arena *a, size_t bytes)
{
    if (!g->lasting) g->lasting = g->room.used;
    return tg__arena_borrow(&g->room, a, bytes);
}

static inline bool has_room(tg__graph *g)
{
    return g->n < g->buckets / 2 || enlarge_table(g, 2 * g->n < g->expected ? g->expected : 2 * g->n) ||
           tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
}

/* ---- making them ---------------------------------------------------------------------------------- */

/* The place of a shape: that of an operand, or of one made before, or a new one; SIZE_MAX: no memory. */
static size_t place_of_shape(tg__graph *g, const uint32_t *x, uint32_t n, const tg__shape *s)
{
    const tg__shape *const all = (const tg__shape *)(void *)g->shapes.data;
    for (uint32_t i = 0; i < n && i < 2; i++) {
        const uint32_t own = tg__node_at(g, x[i])->shape;
        if (tg__same_shape(&all[own], s)) return own;
    }
    uint64_t h = (uint64_t)s->n << 8 ^ (uint64_t)s->rank;
    for (int i = 0; i < s->rank; i++) h = mix(h, (uint64_t)s->dim[i] << 32 ^ (uint64_t)s->stride[i]);
    uint32_t *const recent = &g->recent[h % TG__RECENT_SHAPES];
    if (tg__same_shape(&all[*recent], s)) return *recent;
    const size_t place = tg__nodes_put(g, &g->shapes, s, sizeof *s);
    if (place == SIZE_MAX) return SIZE_MAX;
    return *recent = (uint32_t)(place / sizeof *s);
}

/* A node, all but its operands' place and the position. It is put together in registers: what is read as a
   whole right after its fields were written is waited for. */
INLINED uint32_t append(tg__graph *g, uint32_t op, uint32_t stage, const uint32_t *x, uint32_t n, uint32_t shape,
                        uint32_t data)
{
    const uint32_t id = g->n;
    const size_t used = g->pool.used, first = used / sizeof *x;
    if (id == MOST_NODES) return tg__graph_fail(g, TG_ERROR_MEMORY, "more than 2^30 nodes");
    if (!tg__arena_grow(&g->pool, used + n * sizeof *x) || !tg__arena_grow(&g->nodes, (id + 1) * sizeof(tg__node)))
        return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    uint32_t *const operand = (uint32_t *)(void *)g->pool.data + first;
    for (uint32_t i = 0; i < n; i++) operand[i] = x[i];
    *tg__node_at(g, id) = (tg__node){ .op = op & OPS,
                                      .stage = stage & STAGES,
                                      .site = g->site <= SITES ? g->site & SITES : 0,
                                      .n = n,
                                      .first = (uint32_t)first,
                                      .shape = shape,
                                      .data = data };
    g->pool.used = used + n * sizeof *x;
    g->nodes.used = (id + 1) * sizeof(tg__node);
    g->n = id + 1;
    return id;
}

/* size: of its attributes. */
INLINED uint32_t make(tg__graph *g, const tg__making *m, const uint32_t *x, const void *data, size_t size,
                      const tg__shape *s)
{
    size_t place = m->data, shape = 0;
    if (size && (place = tg__nodes_put(g, &g->attributes, data, size)) == SIZE_MAX) return 0;
    if (s && (shape = place_of_shape(g, x, m->n, s)) == SIZE_MAX) return 0;
    g->views += m->op == TG__NODE_VIEW;
    return append(g, m->op, m->stage, x, m->n, (uint32_t)shape, (uint32_t)place);
}

INLINED uint32_t find_or_make(tg__graph *g, const tg__making *m, const uint32_t *x, const void *data, size_t size,
                              const tg__shape *s)
{
    if (g->without & TG_COMMON_SUBEXPRESSIONS) return make(g, m, x, data, size, s);
    if (!has_room(g)) return 0;
    const uint32_t number = number_bits(g);
    probe p = probe_of(g, m->op, x, m->n, data, hash_of(m->op, x, m->n, data, size));
    uint32_t *e = next_entry(g, &p);
    for (; *e; e = next_entry(g, &p)) {
        const tg__node *const node = tg__node_at(g, *e & number);
        if ((*e ^ p.part) <= number && same_operation(g, node, m->op, x, m->n) && same_rest(g, node, data, size, s))
            return *e & number;
    }
    const uint32_t made = make(g, m, x, data, size, s);
    if (made) *e = new_entry(g, &p, made);
    return made;
}

static void note_rules(tg__graph *g, uint32_t op)
{
    g->has_rules |= op == TG__NODE_BACKWARD || (op < TG__NODE_INPUT && tg__ops[op]->kind != TG__MAP);
}

uint32_t tg__nodes_append(tg__graph *g, const tg__making *m, const uint32_t *x, const void *data, const tg__shape *s)
{
    note_rules(g, m->op);
    return make(g, m, x, data, data_size(m->op), s);
}

uint32_t tg__nodes_find(tg__graph *g, const tg__making *m, const uint32_t *x, const void *data, const tg__shape *s)
{
    if (!tg__is_pure(m->op, data)) return tg__nodes_append(g, m, x, data, s);
    note_rules(g, m->op);
    return find_or_make(g, m, x, data, data_size(m->op), s);
}

uint32_t tg__nodes_find_scalar(tg__graph *g, int code, const uint32_t *x, uint32_t n, uint8_t stage)
{
    return find_or_make(g, &(tg__making){ .op = (uint32_t)code, .n = n, .stage = stage }, x, NULL, 0, NULL);
}

uint32_t tg__nodes_find_element(tg__graph *g, uint32_t owner, tg__look look)
{
    const tg__making m = { .op = TG__NODE_VIEW, .n = 1, .stage = tg__node_at(g, owner)->stage };
    return find_or_make(g, &m, &owner, &look, sizeof look, NULL);
}
