/* Sums of products among scalars: an addition whose operands are additions or products that nothing
   else uses is one dot product. Those over the same operands are a matrix times these. */
#include <stdlib.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/planner.h"

enum { TILE = 8, LEAST_TERMS = 3 };

void *tg__more(tg__arena *a, size_t n, size_t size)
{
    if (!tg__arena_grow(a, a->used + n * size)) return NULL;
    void *const place = a->data + a->used;
    a->used += n * size;
    return place;
}

void tg__sort(void *entries, size_t n, size_t size, int (*compare)(const void *, const void *))
{
    char *const x = entries, one[TG__SORTED_BYTES];
    size_t moves = 0, falling = 1;
    while (falling < n && compare(x + (falling - 1) * size, x + falling * size) > 0) falling++;
    for (size_t i = 0; i < falling / 2; i++) {
        memcpy(one, x + i * size, size);
        memcpy(x + i * size, x + (falling - 1 - i) * size, size);
        memcpy(x + (falling - 1 - i) * size, one, size);
    }
    for (size_t i = 1; i < n && moves <= 4 * n; i++) {
        if (compare(x + (i - 1) * size, x + i * size) <= 0) continue;
        memcpy(one, x + i * size, size);
        size_t at = i;
        do memcpy(x + at * size, x + (at - 1) * size, size);
        while (--at > 0 && compare(x + (at - 1) * size, one) > 0);
        memcpy(x + at * size, one, size);
        moves += i - at;
    }
    if (moves > 4 * n) qsort(x, n, size, compare);
}

static tg__term *terms_of(const tg__planner *p, const tg__dot *d)
{
    return (tg__term *)(void *)p->terms.data + d->first;
}

static tg__dot *dot_at(const tg__planner *p, uint32_t i)
{
    return (tg__dot *)(void *)p->dots.data + i;
}

/* ---- terms ------------------------------------------------------------------------------------- */

/* Whether a node can be the product in a term. For `times`, what a gradient contributes, that is so
   as long as all numbers are finite. */
static bool is_product(const tg__planner *p, const tg__node *node)
{
    return node->op == TG__CODE_mul || (node->op == TG__CODE_times && !p->careful);
}

static void note_product(const tg__planner *p, const tg__node *node)
{
    if (node->op == TG__CODE_times) p->plan->quick = true;
}

/* Whether a node can vanish in the sum that uses it. */
static bool inside(const tg__planner *p, uint32_t id)
{
    return p->uses[id] == 1 && p->role[id] == TG__NEEDED && tg__is_lane(p->g, id);
}

static bool add_term(tg__planner *p, uint32_t a, uint32_t b)
{
    const bool varies[] = { tg__is_lane(p->g, a), b == TG__ONES || tg__is_lane(p->g, b) };
    tg__term *const t = tg__more(&p->terms, 1, sizeof *t);
    if (!t) return false;
    *t = varies[0] && !varies[1] ? (tg__term){ b, a } : (tg__term){ a, b };
    return true;
}

/* Whether a node is a sum whose operands can be summands of a larger one. */
static bool is_sum(const tg__planner *p, uint32_t id)
{
    const tg__node *const node = tg__node_at(p->g, id);
    const uint32_t *const x = tg__node_operands(p->g, node);
    if (node->op == TG__CODE_add) return true;
    return node->op == TG__CODE_fma && (tg__is_lane(p->g, x[0]) || tg__is_lane(p->g, x[1]));
}

/* A summand that is no sum: a product, or something else times one. */
static bool add_summand(tg__planner *p, uint32_t id, tg__arena *inner)
{
    const tg__node *const node = tg__node_at(p->g, id);
    if (inside(p, id) && is_product(p, node)) {
        uint32_t *const fused = tg__more(inner, 1, sizeof *fused);
        if (!fused) return false;
        *fused = id;
        const uint32_t *const x = tg__node_operands(p->g, node);
        return add_term(p, x[0], x[1]);
    }
    return tg__is_lane(p->g, id) ? add_term(p, p->one, id) : add_term(p, id, TG__ONES);
}

/* The terms of the sum with this root; what vanishes in it is added to inner. */
static bool linearise(tg__planner *p, uint32_t root, tg__arena *stack, tg__arena *inner)
{
    stack->used = inner->used = 0;
    uint32_t *top = tg__more(stack, 1, sizeof *top);
    if (!top) return false;
    *top = root;
    while (stack->used) {
        stack->used -= sizeof *top;
        const uint32_t id = *(uint32_t *)(void *)(stack->data + stack->used);
        const tg__node *const node = tg__node_at(p->g, id);
        const uint32_t *const x = tg__node_operands(p->g, node);
        if (id != root && !(inside(p, id) && is_sum(p, id))) {
            if (!add_summand(p, id, inner)) return false;
            continue;
        }
        if (id != root) {
            uint32_t *const fused = tg__more(inner, 1, sizeof *fused);
            if (!fused) return false;
            *fused = id;
        }
        const bool fma = node->op == TG__CODE_fma;
        if (fma && !add_term(p, x[0], x[1])) return false;
        for (int j = fma ? 2 : 1; j >= (fma ? 2 : 0); j--) {
            if (!(top = tg__more(stack, 1, sizeof *top))) return false;
            *top = x[j];
        }
    }
    return true;
}

static int by_operand(const void *a_, const void *b_)
{
    const tg__term *const a = a_, *const b = b_;
    if (a->b != b->b) return a->b < b->b ? -1 : 1;
    return a->a < b->a ? -1 : a->a > b->a;
}

static bool make_dot(tg__planner *p, uint32_t root, size_t first, const tg__arena *inner)
{
    tg__dot d = { .root = root, .first = (uint32_t)first, .shared = true };
    d.n = (uint32_t)(p->terms.used / sizeof(tg__term) - first);
    tg__term *const t = terms_of(p, &d);
    for (uint32_t i = 0; i < d.n; i++)
        if (tg__is_lane(p->g, t[i].a)) d.shared = false;
    if (d.shared) qsort(t, d.n, sizeof *t, by_operand);
    tg__dot *const made = tg__more(&p->dots, 1, sizeof d);
    if (!made) return false;
    *made = d;
    p->role[root] = TG__TILED;
    const uint32_t *const fused = (const uint32_t *)(void *)inner->data;
    for (size_t i = 0; i < inner->used / sizeof *fused; i++) {
        p->role[fused[i]] = TG__FUSED;
        note_product(p, tg__node_at(p->g, fused[i]));
    }
    return true;
}

static bool find_terms(tg__planner *p)
{
    tg__arena stack, inner;
    tg__arena_init(&stack, p->memory);
    tg__arena_init(&inner, p->memory);
    bool ok = true;
    for (uint32_t id = p->n; ok && id-- > 1;) {
        if (p->role[id] != TG__NEEDED || !tg__is_lane(p->g, id) || !is_sum(p, id)) continue;
        const size_t before = p->terms.used, first = before / sizeof(tg__term);
        ok = linearise(p, id, &stack, &inner);
        const size_t n = p->terms.used / sizeof(tg__term) - first;
        if (ok && n >= LEAST_TERMS) ok = make_dot(p, id, first, &inner);
        else p->terms.used = before;
    }
    tg__arena_free(&stack);
    tg__arena_free(&inner);
    return ok;
}

/* ---- tiles of dots ----------------------------------------------------------------------------- */

static bool same_operands(const tg__planner *p, const tg__dot *a, const tg__dot *b)
{
    if (a->n != b->n || !a->shared || !b->shared) return false;
    const tg__term *const x = terms_of(p, a), *const y = terms_of(p, b);
    for (uint32_t i = 0; i < a->n; i++)
        if (x[i].b != y[i].b) return false;
    return true;
}

static uint32_t hash_of(const tg__planner *p, const tg__dot *d)
{
    const tg__term *const t = terms_of(p, d);
    uint64_t h = d->n;
    for (uint32_t i = 0; i < d->n; i++) h = (h ^ t[i].b) * 0x9E3779B97F4A7C15u >> 3;
    return (uint32_t)(h >> 20);
}

/* Whether a dot's weights lie before another's. */
static bool lies_before(const tg__planner *p, const tg__dot *a, const tg__dot *b)
{
    const uint32_t x = terms_of(p, a)->a, y = terms_of(p, b)->a;
    const uint32_t of_x = tg__node_owner(p->g, x), of_y = tg__node_owner(p->g, y);
    return of_x != of_y ? of_x < of_y : tg__node_offset(p->g, x) < tg__node_offset(p->g, y);
}

/* A tile's dots are in the order of their weights: so the rows of a matrix and, going back, those of its
   transpose come in the same order, and what is done to them is done to ranges. */
static void put_into_tile(tg__planner *p, tg__bundle *tile, uint32_t i)
{
    uint32_t *at = &tile->first;
    while (*at && !lies_before(p, dot_at(p, i), dot_at(p, *at))) at = &dot_at(p, *at)->next;
    dot_at(p, i)->next = *at;
    *at = i;
}

/* Dots were found from the last root to the first; tiles take them from the first on, a tile being
   open until it is full. */
static bool make_tiles(tg__planner *p)
{
    const uint32_t n = (uint32_t)(p->dots.used / sizeof(tg__dot));
    uint32_t buckets = 64;
    while (buckets < 2 * n) buckets *= 2;
    tg__arena table;
    tg__arena_init(&table, p->memory);
    uint32_t *const open = tg__arena_push(&table, buckets * sizeof *open);
    bool ok = open;
    if (ok) memset(open, 0, buckets * sizeof *open);
    for (uint32_t i = n; ok && i-- > 1;) {
        tg__dot *const d = dot_at(p, i);
        uint32_t h = hash_of(p, d);
        tg__bundle *tile = NULL;
        for (; open[h % buckets]; h++) {
            tile = (tg__bundle *)(void *)p->tiles.data + open[h % buckets];
            if (same_operands(p, dot_at(p, tile->first), d)) break;
            tile = NULL;
        }
        if (!tile || tile->n == TILE) {
            if (!(ok = (tile = tg__more(&p->tiles, 1, sizeof *tile)))) break;
            *tile = (tg__bundle){ .columns = d->n };
            open[h % buckets] = (uint32_t)(tile - (tg__bundle *)(void *)p->tiles.data);
        }
        put_into_tile(p, tile, i);
        tile->n++;
        p->tile[d->root] = (uint32_t)(tile - (tg__bundle *)(void *)p->tiles.data);
    }
    tg__arena_free(&table);
    return ok;
}

bool tg__find_dots(tg__planner *p)
{
    tg__dot *const none = tg__more(&p->dots, 1, sizeof *none);
    if (!none) return false;
    *none = (tg__dot){ 0 };
    return find_terms(p) && make_tiles(p);
}

/* ---- sums over the batch ----------------------------------------------------------------------- */

/* A sum of products, before they are grouped. */
typedef struct pair {
    uint32_t row, column, sum;
} pair;

static int by_row(const void *a_, const void *b_)
{
    const pair *const a = a_, *const b = b_;
    if (a->row != b->row) return a->row < b->row ? -1 : 1;
    if (a->column != b->column) return a->column < b->column ? -1 : 1;
    return a->sum < b->sum ? -1 : a->sum > b->sum;
}

static pair pair_of(const tg__planner *p, uint32_t sum, bool fuse)
{
    const uint32_t x = tg__node_operands(p->g, tg__node_at(p->g, sum))[0];
    const tg__node *const node = tg__node_at(p->g, x);
    const uint32_t *const ab = tg__node_operands(p->g, node);
    if (fuse && inside(p, x) && is_product(p, node) && tg__is_lane(p->g, ab[0]) &&
        tg__is_lane(p->g, ab[1])) {
        p->role[x] = TG__FUSED;
        note_product(p, node);
        return (pair){ ab[0] > ab[1] ? ab[0] : ab[1], ab[0] > ab[1] ? ab[1] : ab[0], sum };
    }
    return (pair){ x, TG__ONES, sum };
}

static bool same_columns(const tg__planner *p, const tg__row *a, const tg__row *b)
{
    const uint32_t *const c = (const uint32_t *)(void *)p->columns.data;
    return a->n == b->n && memcmp(c + a->first, c + b->first, a->n * sizeof *c) == 0;
}

/* A row's last operand: what it has to wait for. */
static uint32_t after(const tg__planner *p, const tg__row *row)
{
    uint32_t latest = row->node;
    const uint32_t *const c = (const uint32_t *)(void *)p->columns.data + row->first;
    for (uint32_t i = 0; i < row->n; i++)
        if (c[i] != TG__ONES && c[i] > latest) latest = c[i];
    return latest;
}

static bool add_row(tg__planner *p, const pair *pairs, uint32_t n, uint32_t *open)
{
    const tg__row made = { pairs[0].row, (uint32_t)(p->columns.used / sizeof(uint32_t)), n };
    uint32_t *const column = tg__more(&p->columns, n, sizeof *column);
    uint32_t *const sum = tg__more(&p->sums, n, sizeof *sum);
    tg__row *const row = tg__more(&p->rows, 1, sizeof *row);
    if (!column || !sum || !row) return false;
    for (uint32_t i = 0; i < n; i++) column[i] = pairs[i].column, sum[i] = pairs[i].sum;
    *row = made;
    const uint32_t number = (uint32_t)(row - (tg__row *)(void *)p->rows.data);
    tg__bundle *tile = (tg__bundle *)(void *)p->tiles.data + *open;
    const tg__row *const first = (const tg__row *)(void *)p->rows.data + (*open ? tile->first : 0);
    if (!*open || tile->n == TILE || !same_columns(p, first, row)) {
        if (!(tile = tg__more(&p->tiles, 1, sizeof *tile))) return false;
        *tile = (tg__bundle){ .first = number, .columns = n };
        *open = (uint32_t)(tile - (tg__bundle *)(void *)p->tiles.data);
    }
    tile->n++;
    const uint32_t latest = after(p, row);
    if (latest > tile->after) tile->after = latest;
    return true;
}

/* Tiles of rows wait at the node after which they can be computed. */
static void hang_up(const tg__planner *p, uint32_t from)
{
    tg__bundle *const tiles = (tg__bundle *)(void *)p->tiles.data;
    const uint32_t n = (uint32_t)(p->tiles.used / sizeof *tiles);
    for (uint32_t i = from; i < n; i++) {
        tiles[i].next = p->waiting[tiles[i].after];
        p->waiting[tiles[i].after] = i;
    }
}

/* The pairs in the order of their rows, each row's in that of its columns: in time linear in them and the
   nodes, as pairs of one row mostly come in order, or the other way round. */
static bool sort_pairs(tg__planner *p, tg__arena *list)
{
    const size_t n = list->used / sizeof(pair);
    tg__arena made;
    tg__arena_init(&made, p->memory);
    const pair *const x = (const pair *)(const void *)list->data;
    pair *const y = tg__arena_push(&made, n * sizeof *y);
    if (!y) return false;
    uint32_t *const place = p->waiting; /* nothing waits yet */
    for (size_t i = 0; i < n; i++) place[x[i].row]++;
    for (uint32_t id = 0, sum = 0; id < p->n; id++) {
        const uint32_t pairs = place[id];
        place[id] = sum;
        sum += pairs;
    }
    for (size_t i = 0; i < n; i++) y[place[x[i].row]++] = x[i];
    memset(place, 0, p->n * sizeof *place);
    for (size_t i = 0, m; i < n; i += m) {
        for (m = 1; i + m < n && y[i + m].row == y[i].row;) m++;
        tg__sort(y + i, m, sizeof *y, by_row);
    }
    tg__arena_free(list);
    *list = made;
    return true;
}

bool tg__find_rows(tg__planner *p)
{
    const uint32_t from = (uint32_t)(p->tiles.used / sizeof(tg__bundle));
    tg__arena list;
    tg__arena_init(&list, p->memory);
    bool ok = true;
    const bool fuse = !(p->g->without & TG_DOTS) && !p->g->strict;
    for (uint32_t id = 1; ok && id < p->n; id++) {
        const tg__node *const node = tg__node_at(p->g, id);
        if (node->op != TG__NODE_SUM || !tg__is_scalar(node) || p->role[id] != TG__NEEDED) continue;
        pair *const made = tg__more(&list, 1, sizeof *made);
        if ((ok = made)) *made = pair_of(p, id, fuse);
    }
    const size_t n = list.used / sizeof(pair);
    if (ok && n) ok = sort_pairs(p, &list);
    const pair *const pairs = (const pair *)(const void *)list.data;
    uint32_t open = 0;
    for (size_t i = 0, m; ok && i < n; i += m) {
        for (m = 1; i + m < n && pairs[i + m].row == pairs[i].row;) m++;
        ok = add_row(p, pairs + i, (uint32_t)m, &open);
    }
    if (ok) hang_up(p, from);
    tg__arena_free(&list);
    return ok;
}
