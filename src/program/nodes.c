/* See nodes.h. */
#include "program/nodes.h"

#include <string.h>

#include "codes.h" /* generated */

/* Nearly all nodes of large graphs are plain scalars: what finds or makes one is one piece of code without calls, which
   takes a tenth off the time of compiling. */
#define INLINED __attribute__((always_inline)) static inline
#define APART __attribute__((noinline)) static /* what is rare, and would need registers there */

enum {
    LINE = 64 / sizeof(uint32_t),
    FEWEST_BUCKETS = 256,
    FEWEST_NODES = 128,
    MOST_NODES = 1 << 30,
    OPS = TG__NODE_OPS - 1,
    STAGES = 3,
    FEW = 3,
    SITES = 0x3FFFF
};

/* What is known of an op: nodes were made with it, and perhaps some that are not in the table. */
enum { MADE = 1, UNLISTED = 2 };

_Static_assert((int)TG__CODE_call < (int)TG__NODE_INPUT && (int)TG__NODE_SUM <= (int)OPS, "call is the last operation");

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
    if (op == TG__NODE_VIEW) return sizeof(int64_t);
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

/* What a node with its operands in itself is to be: kept in registers, since what is read as a whole right after its
   fields were written is waited for. */
typedef struct few {
    uint32_t op, n, stage, x, y, z; /* y and z of a view: where it begins */
} few;

/* The upper halves of hashes are what counts. */
static inline uint64_t hash_of_few(const few *f)
{
    const uint64_t h = mix((uint64_t)f->op << 16 ^ f->n, (uint64_t)f->x << 32 | f->y);
    return f->z ? mix(h, f->z) : h;
}

static uint64_t hash_of(uint32_t op, const uint32_t *x, uint32_t n, const void *data, size_t size)
{
    uint64_t h = (uint64_t)op << 16 ^ n;
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

static inline bool is_few(const tg__node *a, const few *f)
{
    return a->op == f->op && a->few == f->n && a->x[0] == f->x && a->x[1] == f->y && a->x[2] == f->z;
}

/* What any other node is to be. */
typedef struct many {
    const tg__making *m;
    const uint32_t *x;
    const void *data;
    size_t size; /* of data */
    const tg__shape *s;
} many;

static bool is_many(const tg__graph *g, const tg__node *a, const many *w)
{
    const uint32_t n = w->m->n;
    if (a->few || a->op != w->m->op || a->many.n != n) return false;
    if (n && memcmp(tg__node_operands(g, a), w->x, n * sizeof *w->x) != 0) return false;
    if (w->size && memcmp(tg__node_data(g, a), w->data, w->size) != 0) return false;
    if (!w->s) return a->many.shape == 0;
    return tg__same_shape((const tg__shape *)(void *)g->shapes.data + a->many.shape, w->s);
}

/* ---- the table ------------------------------------------------------------------------------------ */

/* Most nodes are alone in having their newest operand as such. So one that has its operands in itself is looked for
   first where that operand has the first such user, and only all others, and elements, are in the table. That has for
   each its number and in the bits above, as many as are left, a part of its hash. Nodes made one after the other have
   operands that were, or one that is the same: so a node is looked for first in a cache line that goes on with its
   first and its last operand, of elements with where they begin, and if that is full, from where its hash says on. */
typedef struct probe {
    uint32_t line, part, far, k;
} probe;

static inline uint32_t newest_of(const few *f)
{
    const uint32_t newer = f->x > f->y ? f->x : f->y;
    return newer > f->z ? newer : f->z;
}

static inline uint32_t *first_user(const tg__graph *g, const few *f)
{
    return (uint32_t *)(void *)g->users.data + newest_of(f);
}

static inline probe probe_of(const tg__graph *g, uint32_t first, uint32_t last, uint64_t h)
{
    return (probe){ .line = (first + last) & (g->buckets - LINE), .part = (uint32_t)(h >> 32), .far = (uint32_t)(h >> 16) };
}

static inline probe probe_of_few(const tg__graph *g, const few *f)
{
    const uint64_t h = hash_of_few(f);
    if (f->op == TG__NODE_VIEW) return probe_of(g, ~(2 * f->x), 0 - 2 * f->y, h);
    return probe_of(g, f->x, f->n == 1 ? f->x : f->n == 2 ? f->y : f->z, h);
}

static probe probe_of_many(const tg__graph *g, const many *w)
{
    const uint32_t n = w->m->n;
    const uint64_t h = hash_of(w->m->op, w->x, n, w->data, w->size);
    return n ? probe_of(g, w->x[0], w->x[n - 1], h) : probe_of(g, 0, 0, h);
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
    return id | (p->part & ~g->number_bits);
}

static inline few few_of_node(const tg__node *node)
{
    return (few){ node->op, node->few, node->stage, node->x[0], node->x[1], node->x[2] };
}

static probe probe_of_node(const tg__graph *g, const tg__node *node)
{
    if (node->few) {
        const few f = few_of_node(node);
        return probe_of_few(g, &f);
    }
    const uint32_t word = tg__node_word(g, node);
    const tg__making m = { .op = node->op, .n = node->many.n };
    return probe_of_many(g, &(many){ .m = &m, .x = tg__node_operands(g, node), .data = tg__attributes_at(g, word),
                                     .size = word ? data_size(node->op) : 0 });
}

/* False: the table is full. */
static bool list_node(tg__graph *g, uint32_t id, const tg__node *node)
{
    if (node->op == TG__NODE_CONSTANT) return true;
    if (node->few && node->op != TG__NODE_VIEW) {
        const few f = few_of_node(node);
        uint32_t *const user = first_user(g, &f);
        if (!*user) *user = id;
        if (*user == id) return true;
    }
    if (g->entries >= g->buckets / 2) return false;
    probe p = probe_of_node(g, node);
    uint32_t *e = next_entry(g, &p);
    while (*e) e = next_entry(g, &p);
    *e = new_entry(g, &p, id);
    g->entries++;
    return true;
}

/* A graph's copy has none of its nodes in the table until one is looked for that they may be: nearly all derivatives
   are made of something new, or with another op. */
static bool list_nodes(tg__graph *g)
{
    for (uint32_t op = 0; op <= OPS; op++) g->ops[op] |= (uint8_t)(g->ops[op] & MADE ? UNLISTED : 0);
    g->entries = 0;
    for (uint32_t id = g->unlisted ? g->unlisted : 1; id < g->n; id++)
        if (!list_node(g, id, tg__node_at(g, id))) return false;
    return true;
}

/* The least power of two that is enough for n, which may be twice the most nodes. */
static uint32_t power_for(uint32_t n)
{
    uint32_t power = FEWEST_BUCKETS;
    while (power < n && power / 2 < MOST_NODES) power *= 2;
    return power;
}

/* Room for n nodes, and so many buckets or more. */
static bool enlarge_table(tg__graph *g, uint32_t n, uint32_t buckets)
{
    do {
        g->room_for = 0;
        tg__arena_free(&g->users);
        tg__arena_free(&g->table);
        if (!tg__graph_borrow(g, &g->users, n * sizeof(uint32_t)) ||
            !tg__graph_borrow(g, &g->table, buckets * sizeof(uint32_t)))
            return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
        g->room_for = n;
        g->number_bits = power_for(n) - 1;
        g->buckets = buckets;
        buckets *= 2;
    } while (!list_nodes(g));
    return true;
}

APART bool list_all(tg__graph *g)
{
    g->unlisted = 0;
    return enlarge_table(g, g->room_for, power_for(g->room_for));
}

bool tg__graph_expect(tg__graph *g, const tg__expected *e)
{
    const uint32_t n = e->nodes < FEWEST_NODES ? FEWEST_NODES : e->nodes;
    const size_t nodes = n * sizeof(tg__node), table = ((size_t)n + power_for(n - g->unlisted)) * sizeof(uint32_t);
    const size_t pool = (e->words + 3 * FEWEST_NODES) * sizeof(uint32_t);
    const size_t attributes = e->attributes + FEWEST_NODES * sizeof(int64_t);
    tg__arena *const room = &g->room;
    g->expected = n; /* by the table, when it is first asked */
    g->lasting = 0;
    return tg__arena_grow(room, room->used + nodes + pool + attributes + table + e->more + (size_t)6 * 64) &&
           tg__arena_lend(room, &g->nodes, nodes) && tg__arena_lend(room, &g->pool, pool) &&
           tg__arena_lend(room, &g->attributes, attributes);
}

bool tg__graph_borrow(tg__graph *g, tg__arena *a, size_t bytes)
{
    if (!g->lasting) g->lasting = g->room.used;
    return tg__arena_borrow(&g->room, a, bytes);
}

APART bool make_room(tg__graph *g)
{
    if (g->n < g->room_for) return enlarge_table(g, g->room_for, 2 * g->buckets);
    const uint32_t n = 2 * g->n < g->expected ? g->expected : 2 * g->n;
    return enlarge_table(g, n, power_for(n - g->unlisted));
}

/* For one more node, with an op and what is the newest of its operands, which then can be looked for. */
static inline bool has_room(tg__graph *g, uint32_t op, uint32_t newest)
{
    if ((g->n >= g->room_for || g->entries >= g->buckets / 2) && !make_room(g)) return false;
    return newest >= g->unlisted || !(g->ops[op] & UNLISTED) || list_all(g);
}

/* ---- making them ---------------------------------------------------------------------------------- */

/* The place of a shape: that of an operand, or of one made before, or a new one; SIZE_MAX: no memory. */
static size_t place_of_shape(tg__graph *g, const uint32_t *x, uint32_t n, const tg__shape *s)
{
    const tg__shape *const all = (const tg__shape *)(void *)g->shapes.data;
    for (uint32_t i = 0; i < n && i < 2; i++) {
        const uint32_t own = tg__place_of_shape(tg__node_at(g, x[i]));
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

/* Room for one more node; NULL: there is none. */
INLINED tg__node *append(tg__graph *g)
{
    const uint32_t id = g->n;
    const bool room = id < MOST_NODES && tg__arena_grow(&g->nodes, (id + 1) * sizeof(tg__node));
    if (!room) {
        tg__graph_fail(g, TG_ERROR_MEMORY, id < MOST_NODES ? "no memory" : "more than 2^30 nodes");
        return NULL;
    }
    g->nodes.used = (id + 1) * sizeof(tg__node);
    g->n = id + 1;
    return tg__node_at(g, id);
}

INLINED uint32_t make_few(tg__graph *g, const few *f)
{
    const uint32_t site = g->site <= SITES ? g->site : 0;
    tg__node *const node = append(g);
    if (!node) return 0;
    g->ops[f->op] |= MADE;
    *node = (tg__node){ .op = f->op & OPS, .stage = f->stage & STAGES, .few = f->n & FEW, .site = site & SITES,
                        .x = { f->x, f->y, f->z } };
    return g->n - 1;
}

static uint32_t make_many(tg__graph *g, const many *w)
{
    const tg__making *const m = w->m;
    const uint32_t site = g->site <= SITES ? g->site : 0;
    size_t place = m->data, shape = 0;
    if (w->size && (place = tg__nodes_put(g, &g->attributes, w->data, w->size)) == SIZE_MAX) return 0;
    if (w->s && (shape = place_of_shape(g, w->x, m->n, w->s)) == SIZE_MAX) return 0;
    const size_t used = g->pool.used, first = used / sizeof(uint32_t) + 1;
    if (!tg__arena_grow(&g->pool, used + (m->n + (size_t)1) * sizeof(uint32_t)))
        return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    uint32_t *const operand = (uint32_t *)(void *)g->pool.data + first;
    operand[-1] = (uint32_t)place;
    for (uint32_t i = 0; i < m->n; i++) operand[i] = w->x[i];
    tg__node *const node = append(g);
    if (!node) return 0;
    g->ops[m->op] |= MADE;
    *node = (tg__node){ .op = m->op & OPS, .stage = (uint32_t)m->stage & STAGES, .site = site & SITES,
                        .many = { m->n, (uint32_t)first, (uint32_t)shape } };
    g->pool.used = used + (m->n + (size_t)1) * sizeof(uint32_t);
    g->views += m->op == TG__NODE_VIEW;
    return g->n - 1;
}

static uint32_t newest_of_many(const many *w)
{
    uint32_t newest = 0;
    for (uint32_t i = 0; i < w->m->n; i++)
        if (w->x[i] > newest) newest = w->x[i];
    return newest;
}

/* One of f and w. */
INLINED uint32_t make(tg__graph *g, const few *f, const many *w)
{
    return f ? make_few(g, f) : make_many(g, w);
}

INLINED uint32_t find_in_table(tg__graph *g, const few *f, const many *w)
{
    const uint32_t number = g->number_bits;
    probe p = f ? probe_of_few(g, f) : probe_of_many(g, w);
    uint32_t *e = next_entry(g, &p);
    for (; *e; e = next_entry(g, &p)) {
        const tg__node *const node = tg__node_at(g, *e & number);
        if ((*e ^ p.part) <= number && (f ? is_few(node, f) : is_many(g, node, w))) return *e & number;
    }
    const uint32_t made = make(g, f, w);
    if (made) *e = new_entry(g, &p, made), g->entries++;
    return made;
}

/* Those that are in the table only; newest: of the operands. */
INLINED uint32_t find_or_make(tg__graph *g, const few *f, const many *w, uint32_t newest)
{
    if (g->without & TG_COMMON_SUBEXPRESSIONS) return make(g, f, w);
    return has_room(g, f ? f->op : w->m->op, newest) ? find_in_table(g, f, w) : 0;
}

static void note_rules(tg__graph *g, uint32_t op)
{
    g->has_rules |= op == TG__NODE_BACKWARD || (op < TG__NODE_INPUT && tg__ops[op]->kind != TG__MAP);
}

/* Whether such a node has its operands in itself. */
static bool has_few(const many *w)
{
    return w->m->op < TG__NODE_INPUT && !w->s && !w->size && w->m->n >= 1 && w->m->n <= FEW;
}

INLINED few few_of(uint32_t op, const uint32_t *x, uint32_t n, uint32_t stage)
{
    return (few){ op, n, stage, x[0], n > 1 ? x[1] : 0, n > 2 ? x[2] : 0 };
}

uint32_t tg__nodes_append(tg__graph *g, const tg__making *m, const uint32_t *x, const void *data, const tg__shape *s)
{
    const many w = { m, x, data, data_size(m->op), s };
    note_rules(g, m->op);
    if (!has_few(&w)) return make_many(g, &w);
    const few f = few_of(m->op, x, m->n, m->stage);
    return make_few(g, &f);
}

uint32_t tg__nodes_find(tg__graph *g, const tg__making *m, const uint32_t *x, const void *data, const tg__shape *s)
{
    if (!tg__is_pure(m->op, data)) return tg__nodes_append(g, m, x, data, s);
    const many w = { m, x, data, data_size(m->op), s };
    note_rules(g, m->op);
    if (has_few(&w)) return tg__nodes_find_scalar(g, (int)m->op, x, m->n, m->stage);
    return find_or_make(g, NULL, &w, newest_of_many(&w));
}

APART uint32_t find_scalar_in_table(tg__graph *g, int code, const uint32_t *x, uint32_t n, uint8_t stage)
{
    const few f = few_of((uint32_t)code, x, n, stage);
    return find_in_table(g, &f, NULL);
}

uint32_t tg__nodes_find_scalar(tg__graph *g, int code, const uint32_t *x, uint32_t n, uint8_t stage)
{
    const few f = few_of((uint32_t)code, x, n, stage);
    if (g->without & TG_COMMON_SUBEXPRESSIONS) return make_few(g, &f);
    if (!has_room(g, f.op, newest_of(&f))) return 0;
    uint32_t *const user = first_user(g, &f);
    if (!*user) return *user = make_few(g, &f);
    return is_few(tg__node_at(g, *user), &f) ? *user : find_scalar_in_table(g, code, x, n, stage);
}

uint32_t tg__nodes_find_element(tg__graph *g, uint32_t owner, int64_t offset)
{
    const uint32_t n = g->n;
    const few f = { TG__NODE_VIEW, 1, tg__node_at(g, owner)->stage, owner, (uint32_t)offset,
                    (uint32_t)((uint64_t)offset >> 32) };
    const uint32_t found = find_or_make(g, &f, NULL, owner);
    g->views += g->n - n;
    return found;
}
