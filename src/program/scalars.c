/* The plan for one instance: what is in a stretch (see scalars.h). A stretch is all between two steps of
   another kind, and is one step. In it those that wait for nothing but what is before them stand
   together, the same kind side by side: they are one instruction. A tensor that is put together from
   scalars is a part of the array. */
#include "program/scalars.h"

#include <string.h>

#include "codes.h" /* generated */

enum {
    LONGEST_STRETCH = 8192, /* operations, */
    MOST_NUMBERS = 32768,   /* or numbers: so that what is used soon is still in the cache */
    LONGEST_SUM = 24,       /* of vectors: what it is made from is kept until then */
    MANY_PRODUCTS = 64,
    KINDS_LOOKED_AT = 16,
    SPARSE = 8, /* a tensor with more elements for each one given is not put together here */
};

/* A scalar or vector that is a sum: p numbers minus q numbers plus r products minus s products. */
typedef struct sum {
    uint32_t first, count[4]; /* nodes in the list of terms */
} sum;

/* A scalar that is an element of a tensor or an input. */
typedef struct look {
    uint32_t owner, node;
    int64_t offset;
} look;

enum { PLUS, MINUS, PLUS_PRODUCT, MINUS_PRODUCT };

static const tg__node *node_at(const tg__scalars *w, uint32_t id)
{
    return tg__node_at(w->p->g, id);
}

static bool is_scalar(const tg__scalars *w, uint32_t id)
{
    return tg__is_scalar(node_at(w, id));
}

static int64_t elements_of(const tg__scalars *w, uint32_t id)
{
    return tg__node_shape(w->p->g, id)->n;
}

/* An elementwise op of a stretch. */
static bool is_map(const tg__scalars *w, uint32_t id)
{
    const tg__op *const op = tg__node_op(node_at(w, id));
    return w->vector[id] == TG__VECTOR_MAP || (op && op->kind == TG__MAP && is_scalar(w, id));
}

/* ---- what is the same for one instance --------------------------------------------------------- */

/* A sum over one instance is that instance's, and so is a product with or a quotient by their number. */
void tg__find_same(tg__planner *p)
{
    tg__graph *const g = p->g;
    for (uint32_t id = 0; id < p->n; id++) {
        const tg__node *const node = tg__node_at(g, id);
        const uint32_t *const x = tg__node_operands(g, node);
        uint32_t of = 0;
        if (node->op == TG__NODE_SUM) of = x[0];
        else if (node->op == TG__CODE_detached) of = x[0];
        else if (g->count && node->op == TG__CODE_mul) of = x[1] == g->count ? x[0] : x[0] == g->count ? x[1] : 0;
        else if (g->count && node->op == TG__CODE_div && x[1] == g->count) of = x[0];
        /* The one element of what is the same as a view: of that view. */
        const bool looked = node->op == TG__NODE_VIEW && tg__node_shape(g, id)->n == 1 &&
                            tg__is_scalar(tg__node_at(g, x[0])) && tg__node_at(g, p->same[x[0]])->op == TG__NODE_VIEW;
        const bool adjacent = of && tg__shape_same_dims(tg__node_shape(g, of), tg__node_shape(g, id)) &&
                              (tg__is_scalar(node) || (tg__shape_contiguous(tg__node_shape(g, of)) &&
                                                tg__node_owner(g, of) == of));
        p->same[id] = id && id == g->count ? p->one : adjacent ? p->same[of] : looked ? p->same[x[0]] : id;
    }
}

/* ---- sums --------------------------------------------------------------------------------------- */

/* Whether a node can vanish in the sum of n elements that uses it. */
static bool inside(const tg__scalars *w, uint32_t id, int64_t n)
{
    return w->p->uses[id] == 1 && w->p->role[id] == TG__NEEDED && is_map(w, id) && elements_of(w, id) == n;
}

static bool is_sum(const tg__node *node)
{
    return node->op == TG__CODE_add || node->op == TG__CODE_sub || node->op == TG__CODE_fma;
}

/* A summand on its way. */
typedef struct summand {
    uint32_t node;
    bool minus;
} summand;

static bool push(tg__arena *a, uint32_t node, bool minus)
{
    summand *const s = tg__more(a, 1, sizeof *s);
    if (s) *s = (summand){ node, minus };
    return s;
}

static bool term(tg__scalars *w, int kind, uint32_t x)
{
    uint32_t *const t = tg__more(&w->parts[kind], 1, sizeof *t);
    if (t) *t = x;
    return t;
}

static bool product(tg__scalars *w, bool minus, uint32_t a, uint32_t b)
{
    return term(w, PLUS_PRODUCT + minus, a) && term(w, PLUS_PRODUCT + minus, b);
}

/* Takes one summand apart, or lists it as a term. */
static bool take_apart(tg__scalars *w, summand s, uint32_t root)
{
    tg__planner *const p = w->p;
    const tg__node *const node = node_at(w, s.node);
    const int64_t elements = elements_of(w, root);
    const bool full = elements > 1 && w->parts[4].used / sizeof(uint32_t) >= LONGEST_SUM && is_sum(node);
    const bool open = s.node == root || (!full && inside(w, s.node, elements));
    if (open && s.node != root && !term(w, 4, s.node)) return false;
    const uint32_t n = open ? tg__node_n(node) : 0;
    uint32_t x[3] = { 0 };
    for (uint32_t j = 0; j < n && j < 3; j++) x[j] = tg__operand_of(w, node, j);
    switch (open ? node->op : TG__NODE_CONSTANT) {
    case TG__CODE_add: return push(&w->stack, x[1], s.minus) && push(&w->stack, x[0], s.minus);
    case TG__CODE_sub: return push(&w->stack, x[1], !s.minus) && push(&w->stack, x[0], s.minus);
    case TG__CODE_neg: return push(&w->stack, x[0], !s.minus);
    case TG__CODE_fma: return push(&w->stack, x[2], s.minus) && product(w, s.minus, x[0], x[1]);
    case TG__CODE_times:
        if (p->careful) break;
        p->plan->quick = true;
        return product(w, s.minus, x[0], x[1]);
    case TG__CODE_mul: return product(w, s.minus, x[0], x[1]);
    default: break;
    }
    if (open && s.node != root) w->parts[4].used -= sizeof(uint32_t);
    return term(w, s.minus ? MINUS : PLUS, s.node);
}

static bool make_sum(tg__scalars *w, uint32_t root)
{
    tg__planner *const p = w->p;
    for (int i = 0; i < 5; i++) w->parts[i].used = 0;
    const bool quick = p->plan->quick;
    w->stack.used = 0;
    if (!push(&w->stack, root, false)) return false;
    while (w->stack.used) {
        w->stack.used -= sizeof(summand);
        const summand s = *(summand *)(void *)(w->stack.data + w->stack.used);
        if (!take_apart(w, s, root)) return false;
    }
    const size_t fused = w->parts[4].used / sizeof(uint32_t);
    if (!fused && node_at(w, root)->op != TG__CODE_fma) {
        p->plan->quick = quick;
        return true;
    }
    sum *const made = tg__more(&w->sums, 1, sizeof *made);
    if (!made) return false;
    *made = (sum){ .first = (uint32_t)(w->terms.used / sizeof(uint32_t)) };
    for (int i = 0; i < 4; i++) {
        const size_t n = w->parts[i].used / sizeof(uint32_t);
        uint32_t *const to = tg__more(&w->terms, n, sizeof *to);
        if (n && !to) return false;
        if (n) memcpy(to, w->parts[i].data, n * sizeof *to);
        made->count[i] = (uint32_t)(i < PLUS_PRODUCT ? n : n / 2);
    }
    p->tile[root] = (uint32_t)(made - (sum *)(void *)w->sums.data);
    p->role[root] = TG__TILED;
    for (size_t i = 0; i < fused; i++) p->role[((uint32_t *)(void *)w->parts[4].data)[i]] = TG__FUSED;
    return true;
}

/* Whether so many products of gradients can be in sums that it pays to look at a run's results for it. */
static bool has_many_products(const tg__scalars *w)
{
    int64_t n = 0;
    for (uint32_t id = 1; id < w->p->n && n < MANY_PRODUCTS; id++) {
        const int64_t elements = elements_of(w, id);
        if (node_at(w, id)->op == TG__CODE_times && inside(w, id, elements)) n += elements;
    }
    return n >= MANY_PRODUCTS;
}

static bool find_sums(tg__scalars *w)
{
    tg__planner *const p = w->p;
    if (p->g->strict || p->g->without & TG_DOTS) return true;
    p->careful = p->careful || !has_many_products(w);
    if (!tg__more(&w->sums, 1, sizeof(sum))) return false; /* none is number 0 */
    for (uint32_t id = p->n; id-- > 1;)
        if (p->role[id] == TG__NEEDED && is_map(w, id) && is_sum(node_at(w, id)) && !make_sum(w, id)) return false;
    return true;
}

/* ---- tensors put together ------------------------------------------------------------------------ */

/* How many scalars a tensor consists of; 0: it is not put together from scalars. */
static uint32_t parts_of(const tg__planner *p, const tg__node *node)
{
    const bool assembled = node->op == TG__NODE_ASSEMBLE || node->op == TG__CODE_stack;
    const uint32_t n = assembled ? tg__node_parts(node) : 0;
    const uint32_t *const x = tg__node_operands(p->g, node);
    for (uint32_t i = 0; i < n; i++)
        if (!tg__is_scalar(tg__node_at(p->g, x[i]))) return 0;
    return tg__is_scalar(node) ? 0 : n;
}

/* Which element part i is; -1: it is all of them. */
static int64_t element(const tg__planner *p, const tg__node *node, uint32_t i)
{
    if (node->op == TG__CODE_stack) return i;
    const uint32_t at = tg__node_operands(p->g, node)[tg__node_n(node) / 2 + i];
    return at && tg__node_shape(p->g, at)->n == 1 ? tg__node_offset(p->g, at) : -1;
}

/* Whether a tensor is put together from scalars that are different elements. */
static bool is_mosaic(tg__planner *p, uint32_t id)
{
    const tg__node *const node = tg__node_at(p->g, id);
    const uint32_t n = parts_of(p, node);
    const int64_t size = tg__node_shape(p->g, id)->n;
    if (n == 0 || size / SPARSE > n) return false;
    p->marks.used = 0;
    bool *const taken = tg__more(&p->marks, (size_t)size, sizeof *taken);
    if (!taken) return false; /* it is computed otherwise */
    memset(taken, 0, (size_t)size);
    for (uint32_t i = 0; i < n; i++) {
        const int64_t at = element(p, node, i);
        if (at < 0 || taken[at]) return false;
        taken[at] = true;
    }
    return true;
}

/* Its elements become its parts' places. */
static bool place_tensor(tg__scalars *w, uint32_t id)
{
    if (!is_mosaic(w->p, id)) return true;
    const tg__node *const node = node_at(w, id);
    const uint32_t n = parts_of(w->p, node);
    const int64_t size = tg__node_shape(w->p->g, id)->n;
    w->places = tg__padded(w, w->places);
    w->p->slot[id] = w->places;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t x = tg__operand_of(w, node, i);
        if (!w->p->slot[x] && is_map(w, x)) w->p->slot[x] = w->places + (uint32_t)element(w->p, node, i);
    }
    w->places += (uint32_t)size;
    return true;
}

static bool place_tensors(tg__scalars *w)
{
    for (uint32_t id = 1; id < w->p->n; id++)
        if (w->p->role[id] == TG__NEEDED && !place_tensor(w, id)) return false;
    return true;
}

/* ---- scalars that are elements ------------------------------------------------------------------- */

static int by_place(const void *a_, const void *b_)
{
    const look *const a = a_, *const b = b_;
    if (a->owner != b->owner) return a->owner < b->owner ? -1 : 1;
    return (a->offset > b->offset) - (a->offset < b->offset);
}

/* The elements of an owner that are used as scalars, from number i of the looks on, brought into the
   array: adjacent ones at once. */
static bool bring(tg__scalars *w, size_t i)
{
    const look *const l = (const look *)(void *)w->looks.data;
    const size_t end = w->looks.used / sizeof *l;
    const uint32_t owner = l[i].owner;
    for (size_t n; i < end && l[i].owner == owner; i += n) {
        for (n = 1; i + n < end && l[i + n].owner == owner && l[i + n].offset <= l[i + n - 1].offset + 1;) n++;
        if (!tg__emit_load(w->p, l[i].node, (uint32_t)(l[i + n - 1].offset - l[i].offset + 1))) return false;
    }
    return true;
}

static bool list_looks(tg__scalars *w)
{
    const tg__planner *const p = w->p;
    for (uint32_t id = 1; id < p->n; id++) {
        const uint16_t op = node_at(w, id)->op;
        if (p->role[id] == TG__UNUSED || !is_scalar(w, id) || (op != TG__NODE_VIEW && op != TG__NODE_INPUT)) continue;
        look *const l = tg__more(&w->looks, 1, sizeof *l);
        if (!l) return false;
        *l = (look){ tg__same(p, tg__node_owner(p->g, id)), id, tg__node_offset(p->g, id) };
    }
    tg__sort(w->looks.data, w->looks.used / sizeof(look), sizeof(look), by_place);
    return true;
}

static bool place_looks(tg__scalars *w)
{
    if (!list_looks(w)) return false;
    const look *const l = (const look *)(void *)w->looks.data;
    const size_t n = w->looks.used / sizeof *l;
    tg__planner *const p = w->p;
    for (size_t i = 0; i < n; i++) {
        const bool first = i == 0 || l[i - 1].owner != l[i].owner;
        const uint16_t op = node_at(w, l[i].owner)->op;
        if (op == TG__NODE_CONSTANT) continue;
        if (l[i].owner != l[i].node && w->vector[l[i].owner] && !p->slot[l[i].owner]) continue;
        if (l[i].owner != l[i].node && p->slot[l[i].owner]) {
            p->slot[l[i].node] = p->slot[l[i].owner] + (uint32_t)l[i].offset;
            continue;
        }
        if (first) tg__align(w, (uint64_t)elements_of(w, l[i].owner));
        if (!first && l[i].offset == l[i - 1].offset) p->slot[l[i].node] = w->places - 1;
        else p->slot[l[i].node] = w->places++;
        if (first) p->waiting[l[i].owner] = (uint32_t)i + 1;
    }
    for (size_t i = 0; i < n; i++)
        if (node_at(w, l[i].owner)->op == TG__NODE_INPUT && p->waiting[l[i].owner] == i + 1 && !bring(w, i))
            return false;
    return true;
}

/* ---- the stretch ---------------------------------------------------------------------------------- */

/* At least the level, and behind x; an element is there with its tensor. */
static uint32_t level_after(const tg__scalars *w, uint32_t level, uint32_t x)
{
    const uint32_t at = w->level[tg__owner(w->p, x)];
    return at >= level ? at + 1 : level;
}

/* The number of a kind. */
static uint32_t key_of(tg__scalars *w, const tg__item_kind *kind)
{
    const size_t n = w->kinds.used / sizeof *kind;
    for (size_t i = n; i > 0 && n - i < KINDS_LOOKED_AT; i--)
        if (memcmp(tg__kind_at(w, TG__MAPS + (uint32_t)i - 1), kind, sizeof *kind) == 0)
            return TG__MAPS + (uint32_t)i - 1;
    tg__item_kind *const made = tg__more(&w->kinds, 1, sizeof *made);
    if (!made) return 0;
    *made = *kind;
    return TG__MAPS + (uint32_t)n;
}

static bool add_item(tg__scalars *w, tg__item made, uint32_t n)
{
    if (!made.key) return false;
    tg__item *const i = tg__more(&w->items, 1, sizeof *i);
    if (!i) return false;
    *i = made;
    w->numbers += n;
    if (made.level > w->levels) w->levels = made.level;
    if (made.node) w->level[made.node] = made.level;
    return true;
}

const uint32_t *tg__scalars_operands(const tg__scalars *w, uint32_t id, uint32_t few[3], uint32_t *n)
{
    const tg__node *const node = node_at(w, id);
    if (w->p->tile[id]) {
        const sum *const s = (const sum *)(void *)w->sums.data + w->p->tile[id];
        *n = s->count[0] + s->count[1] + 2 * (s->count[2] + s->count[3]);
        return (const uint32_t *)(void *)w->terms.data + s->first;
    }
    if (w->vector[id] == TG__VECTOR_SCALED) {
        const tg__back *const b = tg__node_data(w->p->g, node);
        few[0] = tg__operand_of(w, node, 3);
        few[1] = tg__operand_of(w, node, 1 - (uint32_t)b->by);
        *n = 2;
        return few;
    }
    for (*n = 0; *n < tg__node_n(node); ++*n) few[*n] = tg__operand_of(w, node, *n);
    return few;
}

static bool add_operation(tg__scalars *w, uint32_t id)
{
    uint32_t few[3], n;
    const uint32_t *const x = tg__scalars_operands(w, id, few, &n);
    tg__item made = { .node = id, .level = 1 };
    for (uint32_t i = 0; i < n; i++) made.level = level_after(w, made.level, x[i]);
    const bool total = w->vector[id] == TG__VECTOR_SUM || w->vector[id] == TG__VECTOR_DOT;
    tg__item_kind kind = { .op = node_at(w, id)->op, .n = (uint32_t)elements_of(w, total ? x[0] : id) };
    if (w->vector[id] == TG__VECTOR_SCALED) kind.op = TG__CODE_mul;
    if (w->p->role[id] == TG__TILED) {
        kind.op = 0;
        memcpy(kind.count, ((const sum *)(void *)w->sums.data + w->p->tile[id])->count, sizeof kind.count);
    }
    made.key = kind.op && kind.n == 1 ? kind.op : key_of(w, &kind);
    w->p->role[id] = TG__DONE;
    return add_item(w, made, total ? 1 : kind.n);
}

/* Numbers or vectors that become elements of another one, as a sum of one or two. */
static bool add_piece(tg__scalars *w, uint32_t i)
{
    const tg__piece *const piece = tg__piece_at(w, i);
    const tg__item_kind kind = { .n = piece->n, .count = { piece->x[0] && piece->x[1] ? 2 : 1 } };
    tg__item made = { .piece = i, .level = 1, .key = key_of(w, &kind) };
    for (int k = 0; k < 2; k++)
        if (piece->x[k]) made.level = level_after(w, made.level, piece->x[k]);
    if (made.level > w->level[piece->of]) w->level[piece->of] = made.level;
    return add_item(w, made, piece->n);
}

static bool note_tensor(tg__scalars *w, uint32_t id)
{
    uint32_t *const tensor = tg__more(&w->tensors, 1, sizeof *tensor);
    if (tensor) *tensor = id;
    w->p->role[id] = TG__DONE;
    return tensor;
}

static bool add_pieces(tg__scalars *w, uint32_t id)
{
    if (!note_tensor(w, id)) return false;
    for (uint32_t i = w->pieces[id]; i < w->parts_of.used / sizeof(tg__piece); i++) {
        if (tg__piece_at(w, i)->of != id) break;
        if (!add_piece(w, i)) return false;
    }
    return true;
}

/* A tensor that has its place: the scalars that are elsewhere are copied. */
static bool assemble(tg__scalars *w, uint32_t id)
{
    const tg__node *const node = node_at(w, id);
    const uint32_t n = parts_of(w->p, node);
    if (!note_tensor(w, id)) return false;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t x = tg__operand_of(w, node, i), at = (uint32_t)element(w->p, node, i);
        if (w->p->slot[x] == w->p->slot[id] + at) {
            const uint32_t level = level_after(w, 1, x) - 1;
            if (level > w->level[id]) w->level[id] = level;
            continue;
        }
        tg__piece *const piece = tg__more(&w->parts_of, 1, sizeof *piece);
        if (!piece) return false;
        *piece = (tg__piece){ .of = id, .offset = at, .n = 1, .x = { x } };
        if (!add_piece(w, (uint32_t)(w->parts_of.used / sizeof *piece) - 1)) return false;
    }
    return true;
}

static bool is_mosaic_placed(const tg__scalars *w, uint32_t id)
{
    return !is_scalar(w, id) && w->p->slot[id] && !w->vector[id];
}

bool tg__scalars_has(const tg__scalars *w, uint32_t id)
{
    return is_map(w, id) || w->vector[id] > TG__VECTOR_GIVEN || is_mosaic_placed(w, id);
}

bool tg__scalars_add(tg__scalars *w, uint32_t id)
{
    const bool ok = is_mosaic_placed(w, id)                 ? assemble(w, id)
                    : w->vector[id] == TG__VECTOR_PIECES ? add_pieces(w, id)
                                                            : add_operation(w, id);
    const bool full = w->items.used / sizeof(tg__item) >= LONGEST_STRETCH || w->numbers >= MOST_NUMBERS;
    return ok && (!full || tg__scalars_end(w));
}

/* ---- the whole ------------------------------------------------------------------------------------- */

/* About what a graph of scalars will take of some arenas, so that they need not grow. */
typedef struct sizes {
    size_t lists, items, looks, terms;
} sizes;

static sizes sizes_of(const tg__planner *p)
{
    const size_t n = p->n;
    return (sizes){ .lists = n * (4 * sizeof(uint32_t) + sizeof(uint8_t)),
                    .items = (n / 2 < LONGEST_STRETCH ? n / 2 : LONGEST_STRETCH) * sizeof(tg__item),
                    .looks = p->g->views * sizeof(look),
                    .terms = n / 2 * sizeof(uint32_t) };
}

size_t tg__scalars_room(const tg__planner *p)
{
    const sizes s = sizes_of(p);
    return s.lists + 2 * s.items + s.looks + s.terms + (size_t)5 * 64 + TG__SCALARS_ARENAS_N * TG__FIRST_BYTES;
}

static bool begin_arenas(tg__scalars *w)
{
    tg__arena *const arena[] = TG__SCALARS_ARENAS(w), *const room = &w->p->room;
    const sizes s = sizes_of(w->p);
    return tg__begin_arenas(arena, sizeof arena / sizeof *arena, room) && tg__arena_lend(room, &w->by_node, s.lists) &&
           tg__arena_lend(room, &w->items, s.items) && tg__arena_lend(room, &w->sorted, s.items) &&
           tg__arena_lend(room, &w->looks, s.looks) && tg__arena_lend(room, &w->terms, s.terms) &&
           tg__arena_grow(&w->p->plan->words, 2 * w->p->n * sizeof(uint32_t));
}

bool tg__scalars_begin(tg__scalars *w, tg__planner *p)
{
    *w = (tg__scalars){ .p = p, .places = 8 };
    const size_t lists = sizes_of(p).lists;
    w->level = begin_arenas(w) ? tg__arena_push(&w->by_node, lists) : NULL; /* zeros, as it is new */
    if (!w->level) return false;
    w->reads = w->level + p->n;
    w->chunk = w->reads + p->n;
    w->pieces = w->chunk + p->n;
    w->vector = (uint8_t *)(w->pieces + p->n);
    if (!place_tensors(w) || !tg__vectors_find(w) || !find_sums(w) || !place_looks(w)) return false;
    tg__vectors_count(w);
    return true;
}

bool tg__scalars_bring(tg__scalars *w, uint32_t id)
{
    const uint32_t first = w->p->waiting[id];
    return first == 0 || bring(w, first - 1);
}

bool tg__scalars_place(tg__scalars *w, uint32_t id, bool *done)
{
    uint32_t *const slot = &w->p->slot[id];
    *done = is_scalar(w, id) || w->vector[id];
    if (!*done || *slot) return true;
    if (w->vector[id] && !is_scalar(w, id)) return tg__vectors_place(w, &id, 1);
    *slot = w->places++;
    return true;
}

void tg__scalars_free(tg__scalars *w)
{
    tg__arena *const arena[] = TG__SCALARS_ARENAS(w);
    for (size_t i = 0; w->p && i < sizeof arena / sizeof *arena; i++) tg__arena_free(arena[i]);
}
