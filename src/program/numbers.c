/* Operations on single numbers that are few of a kind, as words one after the other (TG__SCALARS_EACH of
   kernels/scalars.h). They are done in an order in which as many as can be go on with the result of the
   one before, the longest way to the end first. */
#include <string.h>

#include "codes.h" /* generated */
#include "program/scalars.h"

/* An operation: places from number `first` on, y and what it is made of. */
typedef struct operation {
    uint32_t key, first, n; /* n: of operands */
    uint32_t height;        /* cycles from its beginning to the end of the longest chain */
    uint32_t waiting;       /* for so many operands */
    uint32_t users;         /* behind them: where its own begin in the list */
} operation;

static operation *operations(const tg__scalars *w)
{
    return (operation *)(void *)w->waiting.data;
}

static uint32_t count_of(const tg__scalars *w)
{
    return (uint32_t)(w->waiting.used / sizeof(operation));
}

static const uint32_t *places_of(const tg__scalars *w, const operation *o)
{
    return (const uint32_t *)(void *)w->number_places.data + o->first;
}

/* The code of an op among those that are done at once; else that of a call. */
static uint32_t code_of(uint32_t op)
{
#define IS(NAME)                                                                                            \
    case TG__CODE_##NAME: return TG__EACH_##NAME;
    switch (op) {
        TG__AT_ONCE(IS, IS, IS)
    default: return TG__EACH_CALL;
    }
#undef IS
}

bool tg__at_once(uint32_t op)
{
    return code_of(op) != TG__EACH_CALL;
}

/* Cycles, roughly. */
static uint32_t length_of(const operation *o)
{
    switch (o->key) {
    case TG__CODE_div:
    case TG__CODE_reciprocal:
    case TG__CODE_div_b:
    case TG__CODE_sqrt: return 13;
    case TG__CODE_rsqrt: return 26;
    default: break;
    }
    if (o->key >= TG__MAPS) return 4 * o->n / 2;
    return tg__at_once(o->key) ? 4 : 40;
}

/* ---- what there is to do -------------------------------------------------------------------------------- */

static const uint32_t only_read = UINT32_MAX;

/* By place: 0, or only_read, or the number of the operation that makes it, plus 1. NULL: no memory. */
static uint32_t *makers(tg__scalars *w)
{
    const size_t had = w->makers.used / sizeof(uint32_t);
    if (had < w->places) {
        uint32_t *const more = tg__more(&w->makers, w->places - had, sizeof *more);
        if (!more) return NULL;
        memset(more, 0, (w->places - had) * sizeof *more);
    }
    return (uint32_t *)(void *)w->makers.data;
}

bool tg__numbers_add(tg__scalars *w, const uint32_t *tuple, uint32_t width, uint32_t key)
{
    uint32_t *const maker = makers(w);
    /* A place that is used again, now by another vector: who still needs what it was goes first. */
    if (!maker || (maker[tuple[0]] && !tg__numbers_end(w))) return false;
    const uint32_t first = (uint32_t)(w->number_places.used / sizeof *tuple);
    uint32_t *const place = tg__more(&w->number_places, width, sizeof *place);
    operation *const o = tg__more(&w->waiting, 1, sizeof *o);
    if (!place || !o) return false;
    memcpy(place, tuple, width * sizeof *place);
    *o = (operation){ .key = key, .first = first, .n = width - 1 };
    for (uint32_t k = 1; k < width; k++)
        if (!maker[place[k]]) maker[place[k]] = only_read;
    maker[place[0]] = count_of(w);
    return true;
}

/* ---- the order ------------------------------------------------------------------------------------------ */

/* For each operation those that it is an operand of: the list's end is where the next one's begins. */
static uint32_t *list_users(tg__scalars *w, const uint32_t *maker)
{
    operation *const o = operations(w);
    const uint32_t n = count_of(w);
    uint32_t total = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 1; k <= o[i].n; k++) {
            const uint32_t m = maker[places_of(w, &o[i])[k]];
            if (m != only_read) o[m - 1].users++, o[i].waiting++;
        }
    for (uint32_t i = 0; i < n; i++) o[i].users = total += o[i].users;
    w->number_users.used = 0;
    uint32_t *const user = tg__more(&w->number_users, total + 1, sizeof *user);
    if (!user) return NULL;
    for (uint32_t i = n; i-- > 0;)
        for (uint32_t k = 1; k <= o[i].n; k++) {
            const uint32_t m = maker[places_of(w, &o[i])[k]];
            if (m != only_read) user[--o[m - 1].users] = i;
        }
    user[total] = n;
    return user;
}

static uint32_t users_end(const tg__scalars *w, uint32_t i, uint32_t total)
{
    return i + 1 < count_of(w) ? operations(w)[i + 1].users : total;
}

static void find_heights(tg__scalars *w, const uint32_t *user, uint32_t total)
{
    operation *const o = operations(w);
    for (uint32_t i = count_of(w); i-- > 0;) {
        uint32_t most = 0;
        for (uint32_t k = o[i].users; k < users_end(w, i, total); k++)
            if (o[user[k]].height > most) most = o[user[k]].height;
        o[i].height = most + length_of(&o[i]);
    }
}

/* Whether a is to be done before b. */
static bool is_before(const operation *o, uint32_t a, uint32_t b)
{
    return o[a].height != o[b].height ? o[a].height > o[b].height : a < b;
}

/* Operations that wait for nothing: a heap. */
static void heap_push(const operation *o, uint32_t *heap, uint32_t *n, uint32_t x)
{
    uint32_t i = (*n)++;
    for (; i && is_before(o, x, heap[(i - 1) / 2]); i = (i - 1) / 2) heap[i] = heap[(i - 1) / 2];
    heap[i] = x;
}

static uint32_t heap_pop(const operation *o, uint32_t *heap, uint32_t *n)
{
    const uint32_t top = heap[0], x = heap[--*n];
    uint32_t i = 0;
    for (uint32_t k; (k = 2 * i + 1) < *n; i = k) {
        if (k + 1 < *n && is_before(o, heap[k + 1], heap[k])) k++;
        if (!is_before(o, heap[k], x)) break;
        heap[i] = heap[k];
    }
    heap[i] = x;
    return top;
}

/* ---- words ------------------------------------------------------------------------------------------- */

/* One instruction, of which operand x[k] is in the register if it is `there`. */
static bool put_one(tg__scalars *w, uint32_t code, uint32_t y, const uint32_t *x, uint32_t n, uint32_t there)
{
    uint32_t word[5] = { 0, y }, m = 2, in_register = 0;
    for (uint32_t k = 0; k < n; k++) {
        if (!in_register && x[k] == there) in_register = k + 1;
        else word[m++] = x[k];
    }
    word[0] = code * 4 + in_register;
    return tg__put_words(w, word, m);
}

static bool put_call(tg__scalars *w, uint32_t op, const uint32_t *place, uint32_t n)
{
    return tg__put_words(w, (const uint32_t[]){ TG__EACH(CALL, 0), op }, 2) && tg__put_words(w, place, n);
}

/* The terms of one kind that a sum has still to do. */
typedef struct terms {
    uint32_t code, width, n;
    const uint32_t *x;
} terms;

/* A sum of numbers and products goes on in the register; it begins with what is there already. */
static bool put_sum(tg__scalars *w, const operation *o, uint32_t there)
{
    const uint32_t *const count = tg__kind_at(w, o->key)->count, *const place = places_of(w, o);
    const uint32_t y = place[0], *const plus = place + 1, *const minus = plus + count[0],
                   *const products = minus + count[1];
    terms t[4] = { { TG__EACH_add, 1, count[0], plus }, { TG__EACH_sub, 1, count[1], minus },
                   { TG__EACH_PLUS, 2, count[2], products },
                   { TG__EACH_MINUS, 2, count[3], products + 2 * count[2] } };
    uint32_t sum = t[0].n ? *t[0].x++ : TG__NOWHERE;
    if (t[0].n) t[0].n--;
    /* Taking 0 away changes nothing, not even the sign of 0. */
    if (o->n == 1 && !t[1].n) return put_one(w, TG__EACH_sub, y, (const uint32_t[]){ sum, TG__NOWHERE }, 2, there);
    for (int kind = 0; kind < 4; kind++)
        for (uint32_t i = 0; i < t[kind].n; i++) {
            const uint32_t *const term = t[kind].x + i * t[kind].width;
            const bool product = t[kind].width == 2;
            const uint32_t of[3] = { product ? term[0] : sum, product ? term[1] : term[0], sum };
            if (!put_one(w, t[kind].code, y, of, product ? 3 : 2, there)) return false;
            there = sum = y;
        }
    return true;
}

static bool put_operation(tg__scalars *w, const operation *o, uint32_t there)
{
    const uint32_t *const place = places_of(w, o);
    if (o->key >= TG__MAPS) return put_sum(w, o, there);
    if (!tg__at_once(o->key)) return put_call(w, o->key, place, o->n + 1);
    const bool square = o->key == TG__CODE_mul && place[1] == place[2];
    return put_one(w, square ? TG__EACH_square : code_of(o->key), place[0], place + 1, square ? 1 : o->n, there);
}

/* ---- the whole ----------------------------------------------------------------------------------------- */

static bool put_in_order(tg__scalars *w, const uint32_t *user, uint32_t total)
{
    operation *const o = operations(w);
    const uint32_t n = count_of(w);
    w->stack.used = 0;
    uint32_t *const heap = tg__more(&w->stack, n, sizeof *heap), waiting = 0, next = n;
    if (!heap) return false;
    for (uint32_t i = 0; i < n; i++)
        if (!o[i].waiting) heap_push(o, heap, &waiting, i);
    for (uint32_t done = 0, there = 0; done < n; done++) {
        const uint32_t i = next < n ? next : heap_pop(o, heap, &waiting);
        if (!put_operation(w, &o[i], there)) return false;
        there = places_of(w, &o[i])[0];
        next = n;
        for (uint32_t k = o[i].users; k < users_end(w, i, total); k++) {
            const uint32_t u = user[k];
            if (--o[u].waiting) continue;
            const bool better = next == n || is_before(o, u, next);
            if (next < n) heap_push(o, heap, &waiting, better ? next : u);
            if (better) next = u;
        }
    }
    return true;
}

bool tg__numbers_end(tg__scalars *w)
{
    const uint32_t n = count_of(w);
    if (!n) return true;
    uint32_t *const maker = (uint32_t *)(void *)w->makers.data;
    const uint32_t *const user = list_users(w, maker);
    if (!user || !tg__put_words(w, (const uint32_t[]){ TG__SCALARS_EACH }, 1)) return false;
    const uint32_t total = (uint32_t)(w->number_users.used / sizeof *user) - 1;
    find_heights(w, user, total);
    const bool in_order = !(w->p->g->without & TG_REGISTERS);
    bool ok = !in_order || put_in_order(w, user, total);
    for (uint32_t i = 0; ok && !in_order && i < n; i++) ok = put_operation(w, &operations(w)[i], 0);
    const uint32_t *const place = (const uint32_t *)(void *)w->number_places.data;
    for (size_t i = 0; i < w->number_places.used / sizeof *place; i++) maker[place[i]] = 0;
    w->waiting.used = w->number_places.used = 0;
    return ok && tg__put_words(w, (const uint32_t[]){ TG__EACH(LAST, 0) }, 1);
}
