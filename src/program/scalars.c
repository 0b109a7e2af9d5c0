/* The plan for one instance: its scalars are numbers of one array, what is done to them words for the
   kernel of kernels/scalars.h. A stretch of scalar operations between two of tensors is one step. In
   it those that wait for nothing but what is before them stand together, the same kind side by side:
   they are one instruction. A tensor that is put together from scalars is a part of the array. */
#include "program/scalars.h"

#include <stdlib.h>
#include <string.h>

#include "codes.h" /* generated */

enum {
    LONGEST_STRETCH = 8192, /* so that what is used soon is still in the cache */
    FEWEST_IN_RANGE = 8,
    FEWEST_IN_ROW = 8,
    SHAPES_LOOKED_AT = 16,
    SPARSE = 8, /* a tensor with more elements for each one given is not put together here */
};

/* One operation of the stretch. */
typedef struct item {
    uint32_t node; /* 0: y becomes a copy of x */
    uint32_t y, x; /* place; node */
    uint32_t level, key;
} item;

/* A scalar that is a sum: p numbers minus q numbers plus r products minus s products. */
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
    return node_at(w, id)->shape == 0;
}

static uint32_t operand(const tg__scalars *w, const tg__node *node, uint32_t j)
{
    return tg__same(w->p, tg__node_operands(w->p->g, node)[j]);
}

static bool is_map(const tg__scalars *w, uint32_t id)
{
    const tg__op *const op = tg__node_op(node_at(w, id));
    return op && op->kind == TG__MAP && is_scalar(w, id);
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
        else if (g->count && node->op == TG__CODE_mul) of = x[1] == g->count ? x[0] : x[0] == g->count ? x[1] : 0;
        else if (g->count && node->op == TG__CODE_div && x[1] == g->count) of = x[0];
        const bool adjacent = of && tg__shape_same_dims(tg__node_shape(g, of), tg__node_shape(g, id)) &&
                              (!node->shape || (tg__shape_contiguous(tg__node_shape(g, of)) &&
                                                tg__node_owner(g, of) == of));
        p->same[id] = id && id == g->count ? p->one : adjacent ? p->same[of] : id;
    }
}

/* ---- sums --------------------------------------------------------------------------------------- */

static bool inside(const tg__scalars *w, uint32_t id)
{
    return w->p->uses[id] == 1 && w->p->role[id] == TG__NEEDED && is_map(w, id);
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
    const bool open = s.node == root || inside(w, s.node);
    if (open && s.node != root && !term(w, 4, s.node)) return false;
    const uint32_t n = open ? node->n : 0;
    uint32_t x[3] = { 0 };
    for (uint32_t j = 0; j < n && j < 3; j++) x[j] = operand(w, node, j);
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

static bool find_sums(tg__scalars *w)
{
    tg__planner *const p = w->p;
    if (p->g->strict || p->g->without & TG_DOTS) return true;
    for (uint32_t id = p->n; id-- > 1;)
        if (p->role[id] == TG__NEEDED && is_scalar(w, id) && is_sum(node_at(w, id)) && !make_sum(w, id))
            return false;
    return true;
}

/* ---- tensors put together ------------------------------------------------------------------------ */

/* How many scalars a tensor consists of; 0: it is not put together from scalars. */
static uint32_t parts_of(const tg__planner *p, const tg__node *node)
{
    const uint32_t n = node->op == TG__NODE_ASSEMBLE ? node->n / 2 : node->op == TG__CODE_stack ? node->n : 0;
    const uint32_t *const x = tg__node_operands(p->g, node);
    for (uint32_t i = 0; i < n; i++)
        if (tg__node_at(p->g, x[i])->shape) return 0;
    return node->shape ? n : 0;
}

/* Which element part i is; -1: it is all of them. */
static int64_t element(const tg__planner *p, const tg__node *node, uint32_t i)
{
    if (node->op == TG__CODE_stack) return i;
    const uint32_t at = tg__node_operands(p->g, node)[node->n / 2 + i];
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
    w->places = (w->places + 7) / 8 * 8;
    w->p->slot[id] = w->places;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t x = operand(w, node, i);
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
    bool sorted = true;
    look before = { 0 };
    for (uint32_t id = 1; id < p->n; id++) {
        const uint16_t op = node_at(w, id)->op;
        if (p->role[id] == TG__UNUSED || !is_scalar(w, id) || (op != TG__NODE_VIEW && op != TG__NODE_INPUT)) continue;
        look *const l = tg__more(&w->looks, 1, sizeof *l);
        if (!l) return false;
        *l = (look){ tg__same(p, tg__node_owner(p->g, id)), id, tg__node_offset(p->g, id) };
        sorted = sorted && by_place(&before, l) <= 0;
        before = *l;
    }
    const size_t n = w->looks.used / sizeof(look);
    if (!sorted) qsort(w->looks.data, n, sizeof(look), by_place);
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
        if (l[i].owner != l[i].node && p->slot[l[i].owner]) {
            p->slot[l[i].node] = p->slot[l[i].owner] + (uint32_t)l[i].offset;
            continue;
        }
        if (!first && l[i].offset == l[i - 1].offset) p->slot[l[i].node] = w->places - 1;
        else p->slot[l[i].node] = w->places++;
        if (first) p->waiting[l[i].owner] = (uint32_t)i + 1;
    }
    for (size_t i = 0; i < n; i++)
        if (node_at(w, l[i].owner)->op == TG__NODE_INPUT && p->waiting[l[i].owner] == i + 1 && !bring(w, i)) return false;
    return true;
}

/* ---- the stretch ---------------------------------------------------------------------------------- */

/* At least the level, and behind x; an element is there with its tensor. */
static uint32_t level_after(const tg__scalars *w, uint32_t level, uint32_t x)
{
    const uint32_t at = w->level[tg__owner(w->p, x)];
    return at >= level ? at + 1 : level;
}

/* A number for sums with so many terms. */
static uint32_t key_of(tg__scalars *w, const uint32_t *count)
{
    const size_t n = w->shapes.used / (4 * sizeof *count);
    const uint32_t *const shape = (const uint32_t *)(void *)w->shapes.data;
    for (size_t i = n; i > 0 && n - i < SHAPES_LOOKED_AT; i--)
        if (memcmp(shape + 4 * (i - 1), count, 4 * sizeof *count) == 0) return TG__MAPS + (uint32_t)i - 1;
    uint32_t *const made = tg__more(&w->shapes, 4, sizeof *made);
    if (!made) return 0;
    memcpy(made, count, 4 * sizeof *count);
    return TG__MAPS + (uint32_t)n;
}

static const uint32_t one_number[4] = { 1 };

static bool add_item(tg__scalars *w, item made)
{
    if (!made.key) return false;
    item *const i = tg__more(&w->items, 1, sizeof *i);
    if (!i) return false;
    *i = made;
    if (made.level > w->levels) w->levels = made.level;
    if (made.node) w->level[made.node] = made.level;
    return w->items.used / sizeof *i < LONGEST_STRETCH || tg__scalars_end(w);
}

static const uint32_t *terms_of(const tg__scalars *w, uint32_t id, uint32_t *n)
{
    const sum *const s = (const sum *)(void *)w->sums.data + w->p->tile[id];
    *n = s->count[0] + s->count[1] + 2 * (s->count[2] + s->count[3]);
    return (const uint32_t *)(void *)w->terms.data + s->first;
}

bool tg__scalars_add(tg__scalars *w, uint32_t id)
{
    const tg__node *const node = node_at(w, id);
    item made = { .node = id, .key = node->op, .level = 1 };
    if (w->p->role[id] == TG__TILED) {
        uint32_t n;
        const uint32_t *const x = terms_of(w, id, &n);
        for (uint32_t i = 0; i < n; i++) made.level = level_after(w, made.level, x[i]);
        made.key = key_of(w, ((const sum *)(void *)w->sums.data + w->p->tile[id])->count);
    } else {
        for (uint32_t j = 0; j < node->n; j++) made.level = level_after(w, made.level, operand(w, node, j));
    }
    w->p->role[id] = TG__DONE;
    return add_item(w, made);
}

bool tg__scalars_assemble(tg__scalars *w, uint32_t id)
{
    const tg__node *const node = node_at(w, id);
    const uint32_t n = parts_of(w->p, node);
    uint32_t *const tensor = tg__more(&w->tensors, 1, sizeof *tensor);
    if (!tensor) return false;
    *tensor = id;
    w->p->role[id] = TG__DONE;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t x = operand(w, node, i), y = w->p->slot[id] + (uint32_t)element(w->p, node, i);
        const bool there = w->p->slot[x] == y;
        const uint32_t level = level_after(w, 1, x) - there;
        if (level > w->level[id]) w->level[id] = level;
        if (there) continue;
        const item copy = { .x = x, .y = y, .level = level_after(w, 1, x), .key = key_of(w, one_number) };
        if (!add_item(w, copy)) return false;
    }
    return true;
}

/* ---- words ----------------------------------------------------------------------------------------- */

static bool word(tg__scalars *w, uint32_t x)
{
    uint32_t *const to = tg__more(&w->p->plan->words, 1, sizeof *to);
    if (to) *to = x;
    return to;
}

static bool words(tg__scalars *w, const uint32_t *x, size_t n)
{
    uint32_t *const to = tg__more(&w->p->plan->words, n, sizeof *to);
    if (to) memcpy(to, x, n * sizeof *to);
    return to;
}

/* Where a scalar is; constants get their place when they are first used. 0: no memory. */
static uint32_t place_of(tg__scalars *w, uint32_t x)
{
    uint32_t *const slot = &w->p->slot[x];
    if (*slot) return *slot;
    const tg__graph *const g = w->p->g;
    const uint32_t owner = tg__node_owner(g, x);
    tg__initial *const i = tg__more(&w->p->plan->initials, 1, sizeof *i);
    if (!i) return 0;
    const uint64_t from = (uint64_t)node_at(w, owner)->data * 8 +
                          (uint64_t)tg__node_offset(g, x) * tg__type_size(g->type);
    *i = (tg__initial){ .place = w->places, .constant = from };
    return *slot = w->places++;
}

/* The places of an item: its result, then its operands. Their number, 0: no memory. */
static uint32_t list_places(tg__scalars *w, const item *i)
{
    uint32_t few[3], n = 0;
    const uint32_t *x = few;
    if (!i->node) {
        few[n++] = i->x;
    } else if (i->key >= TG__MAPS) {
        x = terms_of(w, i->node, &n);
    } else {
        const tg__node *const node = node_at(w, i->node);
        for (; n < node->n; n++) few[n] = operand(w, node, n);
    }
    uint32_t *const to = tg__more(&w->tuples, n + 1, sizeof *to);
    if (!to) return 0;
    for (uint32_t j = 0; j < n; j++)
        if (!(to[1 + j] = place_of(w, x[j]))) return 0;
    uint32_t y = i->y;
    if (i->node) {
        if (!w->p->slot[i->node]) w->p->slot[i->node] = w->places++;
        y = w->p->slot[i->node];
    }
    to[0] = y;
    return n + 1;
}

/* How many tuples from the first on advance by the same steps. */
static uint32_t run_length(const uint32_t *tuple, uint32_t n, uint32_t width)
{
    if (n < 2) return n;
    uint32_t i = 2;
    for (; i < n; i++, tuple += width)
        for (uint32_t k = 0; k < width; k++)
            if (tuple[2 * width + k] - tuple[width + k] != tuple[width + k] - tuple[k]) return i;
    return n;
}

static bool is_cheap(uint32_t op)
{
    switch (op) {
    case TG__CODE_add:
    case TG__CODE_sub:
    case TG__CODE_mul:
    case TG__CODE_div:
    case TG__CODE_times:
    case TG__CODE_neg:
    case TG__CODE_reciprocal:
    case TG__CODE_square:
    case TG__CODE_fma: return true;
    default: return false;
    }
}

/* Whether n tuples of a group, which advance by the same steps, are better one instruction. */
static bool is_strided(const tg__scalars *w, const uint32_t *tuple, uint32_t n, uint32_t width, uint32_t key)
{
    const int32_t step = n > 1 ? (int32_t)(tuple[width] - tuple[0]) : 0;
    const bool map = key < TG__MAPS;
    return n >= (map && !is_cheap(key) ? 2 : FEWEST_IN_RANGE) && (!map || step == 1 || step == -1) &&
           !(w->p->g->without & TG_RANGES);
}

static bool strided(tg__scalars *w, const uint32_t *tuple, uint32_t n, uint32_t width, uint32_t key)
{
    const int32_t step = (int32_t)(tuple[width] - tuple[0]);
    if (key >= TG__MAPS) {
        const uint32_t *const shape = (const uint32_t *)(void *)w->shapes.data + 4 * (key - TG__MAPS);
        bool ok = word(w, TG__SCALARS_DOTS) && word(w, n) && words(w, shape, 4);
        for (uint32_t k = 0; ok && k < width; k++) ok = word(w, tuple[k]) && word(w, tuple[width + k] - tuple[k]);
        return ok;
    }
    const uint32_t *const first = step > 0 ? tuple : tuple + (n - 1) * width;
    bool ok = word(w, TG__SCALARS_RANGE | key << 8) && word(w, n);
    for (uint32_t k = 0; ok && k < 4; k++) ok = word(w, k < width ? first[k] : 0);
    for (uint32_t k = 1; ok && k < 4; k++)
        ok = word(w, k < width ? (tuple[width + k] - tuple[k]) * (uint32_t)step : 0);
    return ok;
}

/* Whether a sum is one of numbers and products of adjacent ones. */
static bool is_row(const uint32_t *count, const uint32_t *tuple)
{
    if (count[1] || count[3] || count[2] < FEWEST_IN_ROW) return false;
    const uint32_t *const x = tuple + 1 + count[0];
    for (uint32_t t = 1; t < count[2]; t++)
        if (x[2 * t] != x[0] + t || x[2 * t + 1] != x[1] + t) return false;
    return true;
}

/* A few of a kind, behind few of other kinds if these are the last words. */
static bool each(tg__scalars *w, const uint32_t *tuple, uint32_t n, uint32_t width, uint32_t code)
{
    tg__arena *const all = &w->p->plan->words;
    if (w->each == w->each_end || w->each_end != all->used) {
        w->each = all->used;
        if (!word(w, TG__SCALARS_EACH) || !word(w, 0)) return false;
    }
    for (uint32_t i = 0; i < n; i++, tuple += width) {
        /* y, c, a, b of a sum */
        const uint32_t *const x = tuple + (code ? 1 : 2);
        const uint32_t op[] = { code, tuple[0], x[0], width > 2 ? x[1] : x[0], tuple[1] };
        if (!words(w, op, code ? 4 : 5)) return false;
    }
    ((uint32_t *)(void *)(all->data + w->each))[1] += n;
    w->each_end = all->used;
    return true;
}

/* Whether they are additions of one product. */
static bool is_one_product(const uint32_t *shape)
{
    return shape[0] == 1 && shape[1] == 0 && shape[2] == 1 && shape[3] == 0;
}

static bool one_by_one(tg__scalars *w, const uint32_t *tuple, uint32_t n, uint32_t width, uint32_t key)
{
    if (n == 0) return true;
    if (n < FEWEST_IN_RANGE && key < TG__MAPS && is_cheap(key) && key != TG__CODE_fma)
        return each(w, tuple, n, width, key);
    if (key < TG__MAPS) return word(w, TG__SCALARS_MAP | key << 8) && word(w, n) && words(w, tuple, (size_t)n * width);
    const uint32_t *const shape = (const uint32_t *)(void *)w->shapes.data + 4 * (key - TG__MAPS);
    if (n < FEWEST_IN_RANGE && is_one_product(shape)) return each(w, tuple, n, width, 0);
    for (uint32_t i = 0, m; i < n; i += m, tuple += m * width) {
        const bool row = is_row(shape, tuple);
        for (m = 1; i + m < n && is_row(shape, tuple + m * width) == row;) m++;
        bool ok;
        if (row) {
            ok = word(w, TG__SCALARS_ROW) && word(w, m) && word(w, shape[0]) && word(w, shape[2]);
            for (uint32_t k = 0; ok && k < m; k++) ok = words(w, tuple + k * width, 3 + shape[0]);
        } else {
            ok = word(w, TG__SCALARS_DOT) && word(w, m) && words(w, shape, 4) && words(w, tuple, (size_t)m * width);
        }
        if (!ok) return false;
    }
    return true;
}

/* Items of one level and key. */
static bool encode_group(tg__scalars *w, const item *items, uint32_t n)
{
    uint32_t width = 0;
    w->tuples.used = 0;
    for (uint32_t i = 0; i < n; i++)
        if (!(width = list_places(w, &items[i]))) return false;
    const uint32_t *const tuple = (const uint32_t *)(void *)w->tuples.data, key = items[0].key;
    uint32_t from = 0;
    for (uint32_t i = 0, m; i < n;) {
        m = run_length(tuple + i * width, n - i, width);
        if (!is_strided(w, tuple + i * width, m, width, key)) {
            i += m > 1 && i + m < n ? m - 1 : m;
            continue;
        }
        if (!one_by_one(w, tuple + from * width, i - from, width, key) ||
            !strided(w, tuple + i * width, m, width, key))
            return false;
        from = i += m;
    }
    return one_by_one(w, tuple + from * width, n - from, width, key);
}

/* By one of two numbers of an item, stably. */
static bool sort_by(tg__scalars *w, tg__arena *from, tg__arena *to, bool level, uint32_t most)
{
    const item *const x = (const item *)(void *)from->data;
    const size_t n = from->used / sizeof *x;
    to->used = w->tuples.used = 0;
    item *const y = tg__more(to, n, sizeof *y);
    uint32_t *const at = tg__more(&w->tuples, most + 2, sizeof *at);
    if (!y || !at) return false;
    memset(at, 0, (most + 2) * sizeof *at);
    for (size_t i = 0; i < n; i++) at[1 + (level ? x[i].level : x[i].key)]++;
    for (uint32_t k = 0; k <= most; k++) at[k + 1] += at[k];
    for (size_t i = 0; i < n; i++) y[at[level ? x[i].level : x[i].key]++] = x[i];
    return true;
}

bool tg__scalars_end(tg__scalars *w)
{
    const size_t n = w->items.used / sizeof(item);
    if (n == 0) return true;
    const uint32_t first = (uint32_t)(w->p->plan->words.used / sizeof(uint32_t));
    const uint32_t keys = TG__MAPS + (uint32_t)(w->shapes.used / (4 * sizeof(uint32_t)));
    if (!sort_by(w, &w->items, &w->sorted, false, keys) || !sort_by(w, &w->sorted, &w->items, true, w->levels))
        return false;
    const item *const x = (const item *)(void *)w->items.data;
    for (size_t i = 0, m; i < n; i += m) {
        for (m = 1; i + m < n && x[i + m].key == x[i].key && x[i + m].level == x[i].level;) m++;
        if (!encode_group(w, x + i, (uint32_t)m)) return false;
    }
    for (size_t i = 0; i < n; i++) w->level[x[i].node] = 0;
    const uint32_t *const tensor = (const uint32_t *)(void *)w->tensors.data;
    for (size_t i = 0; i < w->tensors.used / sizeof *tensor; i++) w->level[tensor[i]] = 0;
    w->items.used = w->shapes.used = w->tensors.used = 0;
    w->levels = 0;
    return word(w, TG__SCALARS_END) && tg__emit_scalars(w->p, first);
}

/* ---- the whole ------------------------------------------------------------------------------------- */

bool tg__scalars_begin(tg__scalars *w, tg__planner *p)
{
    *w = (tg__scalars){ .p = p, .places = 8 };
    tg__arena *const arena[] = TG__SCALARS_ARENAS(w);
    for (size_t i = 0; i < sizeof arena / sizeof *arena; i++) tg__arena_init(arena[i], p->memory);
    w->level = tg__arena_push(&w->levels_by_node, p->n * sizeof *w->level);
    if (!w->level) return false;
    memset(w->level, 0, p->n * sizeof *w->level);
    return find_sums(w) && place_tensors(w) && place_looks(w);
}

bool tg__scalars_bring(tg__scalars *w, uint32_t id)
{
    const uint32_t first = w->p->waiting[id];
    return first == 0 || bring(w, first - 1);
}

uint32_t tg__scalars_place(tg__scalars *w, uint32_t id)
{
    uint32_t *const slot = &w->p->slot[id];
    if (!*slot) *slot = w->places++;
    return *slot;
}

void tg__scalars_free(tg__scalars *w)
{
    tg__arena *const arena[] = TG__SCALARS_ARENAS(w);
    for (size_t i = 0; w->p && i < sizeof arena / sizeof *arena; i++) tg__arena_free(arena[i]);
}
