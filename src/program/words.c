/* The words of a stretch of one instance: see scalars.h, and kernels/scalars.h for what they mean. */
#include <stdlib.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/scalars.h"

enum { FEWEST_IN_RANGE = 8, FEWEST_IN_ROW = 8, MOST_RUNS = 8, FEWEST_BROUGHT = 32, LONGEST_IN_TURN = 16 };

static const tg__node *node_at(const tg__scalars *w, uint32_t id)
{
    return tg__node_at(w->p->g, id);
}

static bool word(tg__scalars *w, uint32_t x)
{
    uint32_t *const to = tg__more(&w->p->plan->words, 1, sizeof *to);
    if (to) *to = x;
    return to;
}

bool tg__put_words(tg__scalars *w, const uint32_t *x, size_t n)
{
    uint32_t *const to = tg__more(&w->p->plan->words, n, sizeof *to);
    if (to) memcpy(to, x, n * sizeof *to);
    return to;
}

/* An instruction's first word. */
static bool instruction(tg__scalars *w, uint32_t code)
{
    return tg__numbers_end(w) && word(w, code);
}

/* How far apart the elements of an operand are. */
static uint32_t step_of(const tg__scalars *w, uint32_t x)
{
    const tg__shape *const s = tg__node_shape(w->p->g, x);
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] > 1 && s->stride[i]) return 1;
    return 0;
}

/* Where a scalar or vector is; constants get their place when they are first used. 0: no memory. */
static uint32_t place_of(tg__scalars *w, uint32_t x)
{
    if (!x) return TG__NOWHERE;
    uint32_t *const slot = &w->p->slot[x];
    if (*slot) return *slot;
    const tg__graph *const g = w->p->g;
    const uint32_t owner = tg__owner(w->p, x);
    if (w->p->slot[owner]) return w->p->slot[owner] + (uint32_t)tg__node_offset(g, x);
    tg__initial *const i = tg__more(&w->p->plan->initials, 1, sizeof *i);
    if (!i) return 0;
    const uint64_t from = (uint64_t)tg__node_word(g, node_at(w, owner)) * 8 +
                          (uint64_t)tg__node_offset(g, x) * tg__type_size(g->type);
    *i = (tg__initial){ .place = w->places, .n = 1, .constant = from };
    return *slot = w->places++;
}

/* The places of an item: its result, then its operands. Their number, 0: no memory. */
static uint32_t list_places(tg__scalars *w, const tg__item *i)
{
    const tg__piece *const piece = tg__piece_at(w, i->piece);
    uint32_t few[3], n = 0, y;
    const uint32_t *x = few;
    if (i->node) x = tg__scalars_operands(w, i->node, few, &n);
    else for (; n < tg__kind_at(w, i->key)->count[0]; n++) few[n] = piece->x[n];
    uint32_t *const to = tg__more(&w->tuples, n + 1, sizeof *to);
    if (!to) return 0;
    for (uint32_t j = 0; j < n; j++)
        if (!(to[1 + j] = place_of(w, x[j]))) return 0;
    if (i->node) {
        if (!w->p->slot[i->node]) w->p->slot[i->node] = w->places++;
        y = w->p->slot[i->node];
    } else {
        if (!w->p->slot[piece->of] && !tg__vectors_place(w, &piece->of, 1)) return 0;
        y = w->p->slot[piece->of] + piece->offset;
        for (uint32_t k = 0; k < n; k++) to[1 + k] += piece->x[k] ? piece->from[k] * step_of(w, piece->x[k]) : 0;
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

/* Whether the results of a group of one op are not adjacent. */
static bool is_apart(uint32_t key, int32_t step)
{
    return key < TG__MAPS && step != 1 && step != -1;
}

/* Whether n tuples of a group, which advance by the same steps, are better one instruction. */
static bool is_strided(const tg__scalars *w, const uint32_t *tuple, uint32_t n, uint32_t width, uint32_t key)
{
    const int32_t step = n > 1 ? (int32_t)(tuple[width] - tuple[0]) : 0;
    const bool product = key == TG__CODE_mul || (key == TG__CODE_times && w->p->plan->quick);
    return n >= (key < TG__MAPS && !tg__at_once(key) ? 2 : FEWEST_IN_RANGE) &&
           (!is_apart(key, step) || (product && !w->p->g->strict && !(w->p->g->without & TG_DOTS))) &&
           !(w->p->g->without & TG_RANGES);
}

static bool strided(tg__scalars *w, const uint32_t *tuple, uint32_t n, uint32_t width, uint32_t key)
{
    static const uint32_t one_product[4] = { 0, 0, 1, 0 };
    const int32_t step = (int32_t)(tuple[width] - tuple[0]);
    const bool apart = is_apart(key, step);
    if (key >= TG__MAPS || apart) {
        bool ok = instruction(w, TG__SCALARS_DOTS) && word(w, n) &&
                  tg__put_words(w, apart ? one_product : tg__kind_at(w, key)->count, 4);
        for (uint32_t k = 0; ok && k < width; k++) ok = word(w, tuple[k]) && word(w, tuple[width + k] - tuple[k]);
        return ok;
    }
    const uint32_t *const first = step > 0 ? tuple : tuple + (n - 1) * width;
    bool ok = instruction(w, TG__SCALARS_RANGE | key << 8) && word(w, n);
    for (uint32_t k = 0; ok && k < 4; k++) ok = word(w, k < width ? first[k] : 0);
    for (uint32_t k = 1; ok && k < 4; k++)
        ok = word(w, k < width ? (tuple[width + k] - tuple[k]) * (uint32_t)step : 0);
    return ok;
}

/* Whether products are those of adjacent numbers, operand a of a run, with as many others as the results of a run are
   apart: each run's with one of these, and the results side by side. */
static bool is_outer(const uint32_t *tuple, uint32_t n, uint32_t rows, uint32_t a)
{
    const uint32_t m = tuple[3] - tuple[0], b = 3 - a;
    if (m < 2 || m > MOST_RUNS || (uint64_t)m * rows > n) return false;
    const uint32_t *x = tuple;
    for (uint32_t i = 0; i < m; i++)
        for (uint32_t j = 0; j < rows; j++, x += 3)
            if (x[0] != tuple[0] + j * m + i || x[a] != tuple[a] + j || x[b] != tuple[b] + i) return false;
    return true;
}

/* Products by one instruction, if they are such; their number, or 0: they are not. */
static uint32_t outer(tg__scalars *w, const uint32_t *tuple, uint32_t n, uint32_t rows, uint32_t key, bool *ok)
{
    if (key >= TG__MAPS || !is_apart(key, (int32_t)(tuple[3] - tuple[0]))) return 0;
    for (uint32_t a = 1; a <= 2; a++) {
        if (!is_outer(tuple, n, rows, a)) continue;
        const uint32_t m = tuple[3] - tuple[0];
        *ok = instruction(w, TG__SCALARS_OUTER) && word(w, rows) && word(w, m) && word(w, tuple[0]) &&
              word(w, tuple[a]) && word(w, tuple[3 - a]);
        return m * rows;
    }
    return 0;
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

/* From how many of an op, or of sums, on they are one instruction although they have nothing in common. */
static uint32_t fewest_of(uint32_t key)
{
    switch (key) {
    case TG__CODE_add:
    case TG__CODE_sub:
    case TG__CODE_mul:
    case TG__CODE_div:
    case TG__CODE_times:
    case TG__CODE_neg:
    case TG__CODE_reciprocal:
    case TG__CODE_square:
    case TG__CODE_fma: return FEWEST_IN_RANGE;
    default: return key >= TG__MAPS ? FEWEST_IN_RANGE : tg__at_once(key) ? FEWEST_BROUGHT : 2;
    }
}

static bool one_by_one(tg__scalars *w, const uint32_t *tuple, uint32_t n, uint32_t width, uint32_t key)
{
    if (n == 0) return true;
    if (n < fewest_of(key) && width < LONGEST_IN_TURN) {
        for (uint32_t i = 0; i < n; i++)
            if (!tg__numbers_add(w, tuple + i * width, width, key)) return false;
        return true;
    }
    if (key < TG__MAPS)
        return instruction(w, TG__SCALARS_MAP | key << 8) && word(w, n) && tg__put_words(w, tuple, (size_t)n * width);
    const uint32_t *const shape = tg__kind_at(w, key)->count;
    for (uint32_t i = 0, m; i < n; i += m, tuple += m * width) {
        const bool row = is_row(shape, tuple);
        for (m = 1; i + m < n && is_row(shape, tuple + m * width) == row;) m++;
        bool ok;
        if (row) {
            ok = instruction(w, TG__SCALARS_ROW) && word(w, m) && word(w, shape[0]) && word(w, shape[2]);
            for (uint32_t k = 0; ok && k < m; k++) ok = tg__put_words(w, tuple + k * width, 3 + shape[0]);
        } else {
            ok = instruction(w, TG__SCALARS_DOT) && word(w, m) && tg__put_words(w, shape, 4) &&
                 tg__put_words(w, tuple, (size_t)m * width);
        }
        if (!ok) return false;
    }
    return true;
}

/* ---- vectors ----------------------------------------------------------------------------------------- */

/* Tuples of vectors have a result, and operands each followed by how far apart its elements are. */
static bool list_vectors(tg__scalars *w, const tg__item *i, uint32_t *width)
{
    const tg__piece *const piece = tg__piece_at(w, i->piece);
    uint32_t few[3], n;
    const size_t used = w->tuples.used;
    const uint32_t operands = list_places(w, i) - 1;
    if (operands == UINT32_MAX) return false;
    uint32_t *const more = tg__more(&w->tuples, operands, sizeof *more);
    if (!more) return false;
    const uint32_t *const x = i->node ? tg__scalars_operands(w, i->node, few, &n) : piece->x;
    uint32_t *const tuple = (uint32_t *)(void *)(w->tuples.data + used);
    for (uint32_t k = operands; k-- > 0;) {
        tuple[2 + 2 * k] = x[k] ? step_of(w, x[k]) : 0;
        tuple[1 + 2 * k] = tuple[1 + k];
    }
    *width = 1 + 2 * operands;
    return true;
}

/* Whether a tuple goes on where another one, `done` elements long, ends. */
static bool goes_on(const uint32_t *a, const uint32_t *b, uint32_t done, uint32_t width)
{
    if (b[0] != a[0] + done) return false;
    for (uint32_t k = 1; k < width; k += 2)
        if (b[k] != a[k] + done * a[k + 1] || b[k + 1] != a[k + 1]) return false;
    return true;
}

/* n elements by one instruction. */
static bool vector_words(tg__scalars *w, const tg__item_kind *kind, const uint32_t *tuple, uint32_t n, uint32_t width)
{
    if (!kind->op)
        return instruction(w, TG__SCALARS_DOTS) && word(w, n) && tg__put_words(w, kind->count, 4) &&
               word(w, tuple[0]) && word(w, 1) && tg__put_words(w, tuple + 1, width - 1);
    bool ok = instruction(w, TG__SCALARS_RANGE | kind->op << 8) && word(w, n) && word(w, tuple[0]);
    for (uint32_t side = 0; side < 2; side++)
        for (uint32_t k = 1; ok && k < 7; k += 2) ok = word(w, k < width ? tuple[k + side] : 0);
    return ok;
}

/* Room for what the items make; it is computed to the end of its last 64 bytes. */
static bool place_results(tg__scalars *w, const tg__item *items, uint32_t n)
{
    uint32_t *const id = tg__more(&w->tuples, n, sizeof *id);
    uint32_t m = 0;
    for (uint32_t i = 0; id && i < n; i++)
        if (!w->p->slot[items[i].node]) id[m++] = items[i].node;
    return id && tg__vectors_place(w, id, m);
}

/* An item, and where its first operand is. */
typedef struct ranked {
    uint32_t place;
    tg__item item;
} ranked;

static int by_place(const void *a_, const void *b_)
{
    const ranked *const a = a_, *const b = b_;
    if (a->place != b->place) return a->place < b->place ? -1 : 1;
    return (a->item.node > b->item.node) - (a->item.node < b->item.node);
}

/* Items in the order of their first operands: what is adjacent becomes one instruction. */
static bool sort_items(tg__scalars *w, tg__item *items, uint32_t n)
{
    w->tuples.used = 0;
    ranked *const list = tg__more(&w->tuples, n, sizeof *list);
    if (!list) return false;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t few[3], m;
        const uint32_t place = place_of(w, tg__scalars_operands(w, items[i].node, few, &m)[0]);
        if (!place) return false;
        list[i] = (ranked){ place, items[i] };
    }
    qsort(list, n, sizeof *list, by_place);
    for (uint32_t i = 0; i < n; i++) items[i] = list[i].item;
    return true;
}

static bool encode_vectors(tg__scalars *w, tg__item *items, uint32_t n, const tg__item_kind *kind)
{
    const uint32_t room = items[0].node ? tg__padded(w, kind->n) : kind->n;
    uint32_t width = 0;
    if (items[0].node && n > 1 && !sort_items(w, items, n)) return false;
    w->tuples.used = 0;
    if (items[0].node && !place_results(w, items, n)) return false;
    w->tuples.used = 0;
    for (uint32_t i = 0; i < n; i++)
        if (!list_vectors(w, &items[i], &width)) return false;
    const uint32_t *const tuple = (const uint32_t *)(void *)w->tuples.data;
    for (uint32_t i = 0, m; i < n; i += m) {
        for (m = 1; i + m < n && goes_on(tuple + i * width, tuple + (i + m) * width, m * room, width);) m++;
        if (!vector_words(w, kind, tuple + i * width, m * room, width)) return false;
    }
    return true;
}

/* Sums of elements, and dot products. */
static bool encode_totals(tg__scalars *w, const tg__item *items, uint32_t n, const tg__item_kind *kind)
{
    const bool dot = kind->op == TG__CODE_dot;
    bool ok = instruction(w, dot ? TG__SCALARS_ROW : TG__SCALARS_TOTAL) && word(w, n) && (!dot || word(w, 0)) &&
              word(w, kind->n);
    for (uint32_t i = 0; ok && i < n; i++) {
        w->tuples.used = 0;
        const uint32_t width = list_places(w, &items[i]);
        ok = width && tg__put_words(w, (const uint32_t *)(void *)w->tuples.data, width);
    }
    return ok;
}

/* ---- groups ------------------------------------------------------------------------------------------- */

/* Whether the operands of the items lie in falling order, as going back leaves them. */
static bool runs_down(tg__scalars *w, const tg__item *items, uint32_t n)
{
    if (n < FEWEST_IN_RANGE || !items[0].node || !items[1].node) return false;
    uint32_t few[2][3], m[2], falling = 0;
    const uint32_t *x[2];
    for (int i = 0; i < 2; i++) x[i] = tg__scalars_operands(w, items[i].node, few[i], &m[i]);
    for (uint32_t k = 0; k < m[0] && k < m[1]; k++) {
        const uint32_t a = w->p->slot[x[0][k]], b = w->p->slot[x[1][k]];
        if (b > a) return false;
        falling += b < a;
    }
    return falling > 0;
}

static void turn(tg__item *items, uint32_t n)
{
    for (uint32_t i = 0; i < n / 2; i++) {
        const tg__item first = items[i];
        items[i] = items[n - 1 - i];
        items[n - 1 - i] = first;
    }
}

/* Whether each tuple is as far from the one `period` before it as that from the one before that. */
static bool has_period(const uint32_t *tuple, uint32_t n, uint32_t width, uint32_t period)
{
    const size_t far = (size_t)period * width;
    for (size_t i = 0; i + 2 * far < (size_t)n * width; i++)
        if (tuple[i + 2 * far] - tuple[i + far] != tuple[i + far] - tuple[i]) return false;
    return true;
}

/* Tuples of several runs that take turns, as a matrix's gradient has them: one run behind the other. */
static bool unlace(tg__scalars *w, uint32_t n, uint32_t width)
{
    const uint32_t *const tuple = (const uint32_t *)(void *)w->tuples.data;
    uint32_t period = 1;
    while (period <= MOST_RUNS && period * FEWEST_IN_RANGE <= n && !has_period(tuple, n, width, period)) period++;
    if (period == 1 || period > MOST_RUNS || period * FEWEST_IN_RANGE > n) return true;
    const size_t bytes = (size_t)n * width * sizeof *tuple;
    w->sorted.used = 0;
    uint32_t *to = tg__more(&w->sorted, bytes, 1);
    if (!to) return false;
    for (uint32_t i = 0; i < period; i++)
        for (uint32_t j = i; j < n; j += period, to += width) memcpy(to, tuple + (size_t)j * width, width * sizeof *to);
    memcpy(w->tuples.data, w->sorted.data, bytes);
    return true;
}

static bool encode_scalars(tg__scalars *w, tg__item *items, uint32_t n)
{
    uint32_t width = 0;
    w->tuples.used = 0;
    if (runs_down(w, items, n)) turn(items, n);
    if (items[0].node && !w->p->slot[items[0].node]) tg__align(w, n);
    for (uint32_t i = 0; i < n; i++)
        if (!(width = list_places(w, &items[i]))) return false;
    if (!unlace(w, n, width)) return false;
    const uint32_t *const tuple = (const uint32_t *)(void *)w->tuples.data, key = items[0].key;
    uint32_t from = 0;
    for (uint32_t i = 0, m; i < n;) {
        m = run_length(tuple + i * width, n - i, width);
        if (!is_strided(w, tuple + i * width, m, width, key)) {
            i += m > 1 && i + m < n ? m - 1 : m;
            continue;
        }
        if (!one_by_one(w, tuple + from * width, i - from, width, key)) return false;
        bool ok = true;
        const uint32_t all = outer(w, tuple + i * width, n - i, m, key, &ok);
        if (!(all ? ok : strided(w, tuple + i * width, m, width, key))) return false;
        from = i += all ? all : m;
    }
    return one_by_one(w, tuple + from * width, n - from, width, key);
}

/* Items of one level and key. */
static bool encode_group(tg__scalars *w, tg__item *items, uint32_t n)
{
    bool ok;
    if (items[0].key < TG__MAPS) {
        ok = encode_scalars(w, items, n);
    } else {
        const tg__item_kind kind = *tg__kind_at(w, items[0].key);
        const bool total = kind.op && tg__ops[kind.op]->kind != TG__MAP;
        ok = total ? encode_totals(w, items, n, &kind)
             : kind.n > 1 ? encode_vectors(w, items, n, &kind) : encode_scalars(w, items, n);
    }
    for (uint32_t i = 0; ok && w->vectors && i < n; i++) {
        if (items[i].node) tg__vectors_read_by(w, items[i].node);
        else tg__vectors_read_by_piece(w, tg__piece_at(w, items[i].piece));
    }
    return ok;
}

/* By one of two numbers of an item, stably. */
static bool sort_by(tg__scalars *w, tg__arena *from, tg__arena *to, bool level, uint32_t most)
{
    const tg__item *const x = (const tg__item *)(void *)from->data;
    const size_t n = from->used / sizeof *x;
    to->used = w->tuples.used = 0;
    tg__item *const y = tg__more(to, n, sizeof *y);
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
    const size_t n = w->items.used / sizeof(tg__item);
    if (n == 0) return true;
    const uint32_t first = (uint32_t)(w->p->plan->words.used / sizeof(uint32_t));
    const uint32_t keys = TG__MAPS + (uint32_t)(w->kinds.used / sizeof(tg__item_kind));
    if (!sort_by(w, &w->items, &w->sorted, false, keys) || !sort_by(w, &w->sorted, &w->items, true, w->levels))
        return false;
    tg__item *const x = (tg__item *)(void *)w->items.data;
    for (size_t i = 0, m; i < n; i += m) {
        for (m = 1; i + m < n && x[i + m].key == x[i].key && x[i + m].level == x[i].level;) m++;
        if (!encode_group(w, x + i, (uint32_t)m)) return false;
    }
    for (size_t i = 0; i < n; i++) w->level[x[i].node] = 0;
    const uint32_t *const tensor = (const uint32_t *)(void *)w->tensors.data;
    for (size_t i = 0; i < w->tensors.used / sizeof *tensor; i++) w->level[tensor[i]] = 0;
    w->items.used = w->kinds.used = w->tensors.used = 0;
    w->levels = w->numbers = 0;
    return instruction(w, TG__SCALARS_END) && tg__emit_scalars(w->p, first);
}

