/* Making nodes: see graph.h. */
#include "program/nodes.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codes.h" /* generated */
#include "kernels/kernels.h"
#include "ops/attributes.h"
#include "tape/scalar.h"

enum { MESSAGE = 256, FOLDED_ELEMENTS = 1 << 16, FEW = 8, SMALL_BYTES = 512, LATER_BYTES = 1024 };

/* ---- beginning and end ----------------------------------------------------------------------- */

bool tg__graph_init(tg__graph *g, tg__memory *m, tg_type type, const tg_compile_options *options)
{
    *g = (tg__graph){ .type = type, .k = tg__kernels_for(type), .memory = m };
    g->without = options ? options->without : 0;
    g->strict = options && options->strict;
    g->fast_math = options && options->fast_math;
    g->allow_reads = options && options->allow_reads;
    tg__arena *const arena[] = { &g->nodes, &g->pool,  &g->shapes,  &g->attributes, &g->constants,
                                 &g->table, &g->users, &g->scratch, &g->sites, &g->room };
    for (size_t i = 0; i < sizeof arena / sizeof *arena; i++) tg__arena_init(arena[i], m);
    const tg__shape scalar = { .type = type, .n = 1 };
    const tg_site nowhere = { NULL, 0 };
    const uint64_t none = 0; /* attributes of nodes that have none: memory all the same */
    const uint32_t word = 0;
    g->room.raw = true;
    tg__arena *const small[] = { &g->shapes, &g->constants, &g->sites };
    enum { SMALL = sizeof small / sizeof *small };
    bool ok = tg__graph_expect(g, &(tg__expected){ .more = SMALL * SMALL_BYTES + LATER_BYTES });
    for (size_t i = 0; i < SMALL; i++) ok = ok && tg__arena_lend(&g->room, small[i], SMALL_BYTES);
    if (!ok) return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    if (tg__nodes_put(g, &g->sites, &nowhere, sizeof nowhere) == SIZE_MAX || /* first: errors look there */
        tg__nodes_put(g, &g->shapes, &scalar, sizeof scalar) == SIZE_MAX ||
        tg__nodes_put(g, &g->attributes, &none, sizeof none) == SIZE_MAX ||
        tg__nodes_put(g, &g->pool, &word, sizeof word) == SIZE_MAX ||
        tg__nodes_put(g, &g->nodes, &(tg__node){ .many.first = 1 }, sizeof(tg__node)) == SIZE_MAX)
        return false;
    g->n = 1;
    return true;
}

void tg__graph_free(tg__graph *g)
{
    tg__arena *const arena[] = { &g->nodes, &g->pool,  &g->shapes,  &g->attributes, &g->constants,
                                 &g->table, &g->users, &g->scratch, &g->sites, &g->room };
    for (size_t i = 0; i < sizeof arena / sizeof *arena; i++)
        if (arena[i]->memory) tg__arena_free(arena[i]);
}

void tg__graph_close(tg__graph *g)
{
    if (g->table.memory) tg__arena_free(&g->table);
    if (g->scratch.memory) tg__arena_free(&g->scratch);
    if (g->users.memory) tg__arena_free(&g->users);
    g->room_for = 0;
    if (g->lasting) tg__arena_return(&g->room, g->lasting);
    g->lasting = 0;
}

uint32_t tg__graph_fail(tg__graph *g, tg_code code, const char *format, ...)
{
    tg_status *const s = &g->status;
    if (s->code != TG_OK) return 0;
    s->code = code;
    const tg_site *const site = g->sites.data ? (const tg_site *)(void *)g->sites.data + g->site : NULL;
    int at = 0;
    if (site && site->file) at = snprintf(s->message, sizeof s->message, "%s:%d: ", site->file, site->line);
    if (at < 0 || at >= (int)sizeof s->message) at = 0;
    va_list args;
    va_start(args, format);
    vsnprintf(s->message + at, sizeof s->message - (size_t)at, format, args);
    va_end(args);
    return 0;
}

bool tg__node_acts(const tg__graph *g, uint32_t id)
{
    const tg__node *const node = tg__node_at(g, id);
    return node->op == TG__CODE_guard || !tg__is_pure(node->op, tg__node_data(g, node));
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
    const tg__making node = { .op = TG__NODE_INPUT, .stage = varies ? TG__BODY : TG__EARLY,
                            .data = which };
    tg__shape own = *s;
    tg__shape_finish(&own);
    return tg__nodes_append(g, &node, NULL, NULL, is_plain_scalar(g, s) ? NULL : &own);
}

uint32_t tg__graph_count(tg__graph *g)
{
    if (!g->count) g->count = tg__nodes_append(g, &(tg__making){ .op = TG__NODE_COUNT }, NULL, NULL, NULL);
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
    const tg__making node = { .op = TG__NODE_CONSTANT, .data = (uint32_t)(place / 8) };
    return tg__nodes_append(g, &node, NULL, NULL, is_plain_scalar(g, &s) ? NULL : &s);
}

static uint32_t number_of_bits(tg__graph *g, uint64_t bits)
{
    const size_t place = tg__nodes_put(g, &g->constants, &bits, sizeof bits);
    if (place == SIZE_MAX) return 0;
    return tg__nodes_append(g, &(tg__making){ .op = TG__NODE_CONSTANT, .data = (uint32_t)(place / 8) }, NULL, NULL, NULL);
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

uint32_t tg__graph_element(tg__graph *g, uint32_t base, int64_t offset)
{
    if (tg__graph_failed(g)) return 0;
    const uint32_t owner = tg__node_owner(g, base);
    const int64_t at = offset + tg__node_offset(g, base);
    return at == 0 && tg__is_scalar(tg__node_at(g, owner)) ? owner : tg__nodes_find_element(g, owner, at);
}

uint32_t tg__graph_view(tg__graph *g, uint32_t base, const tg__shape *s, int64_t offset)
{
    if (is_plain_scalar(g, s)) return tg__graph_element(g, base, offset);
    if (tg__graph_failed(g)) return 0;
    const uint32_t owner = tg__node_owner(g, base);
    const int64_t at = offset + tg__node_offset(g, base);
    if (at == 0 && tg__same_shape(s, tg__node_shape(g, owner))) return owner;
    const tg__making node = { .op = TG__NODE_VIEW, .n = 1, .stage = tg__node_at(g, owner)->stage };
    return tg__nodes_find(g, &node, &owner, &at, s);
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

/* What an op's operands are, seen in one go: mostly they are plain scalars. */
typedef struct operands {
    bool scalar;   /* all of them */
    int constants; /* so many */
    uint8_t stage; /* the latest */
} operands;

static inline operands look_at(const tg__graph *g, const uint32_t *x, int n)
{
    operands o = { .scalar = true };
    for (int i = 0; i < n; i++) {
        const tg__node *const node = tg__node_at(g, x[i]);
        o.scalar &= tg__is_scalar(node);
        o.constants += node->op == TG__NODE_CONSTANT;
        if (node->stage > o.stage) o.stage = node->stage;
    }
    return o;
}

/* Whether all elements of x are the number one. */
static bool is_one(const tg__graph *g, uint32_t x)
{
    const uint32_t owner = tg__node_owner(g, x);
    const void *const p = tg__node_constant(g, owner);
    if (!p || !tg__is_scalar(tg__node_at(g, owner))) return false;
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

/* Whether the number x is a constant 0: of any sign, of plus, of minus. */
enum { ANY_ZERO, PLUS_ZERO, MINUS_ZERO };
static bool is_zero(const tg__graph *g, uint32_t x, int sign)
{
    const void *const p = tg__node_constant(g, x);
    if (!p) return false;
    const double is = g->type == TG_F64 ? *(const double *)p : (double)*(const float *)p;
    return is == 0 && (sign == ANY_ZERO || (sign == MINUS_ZERO) == !!__builtin_signbit(is));
}

/* What a node is the negative of; 0: it is none. */
static uint32_t negated(const tg__graph *g, uint32_t x)
{
    const tg__node *const node = tg__node_at(g, x);
    return node->op == TG__CODE_neg ? tg__node_operands(g, node)[0] : 0;
}

static uint32_t simplify_sum(tg__graph *g, bool minus, const uint32_t *x)
{
    /* x - 0 and x + -0 are x, bit for bit; -0 + 0 is not -0. */
    const int zero = !g->strict ? ANY_ZERO : minus ? PLUS_ZERO : MINUS_ZERO;
    if (is_zero(g, x[1], zero)) return x[0];
    if (!minus && is_zero(g, x[0], zero)) return x[1];
    const uint32_t second = negated(g, x[1]), first = minus || second ? 0 : negated(g, x[0]);
    if (!first && !second) return 0;
    const uint32_t sum[] = { first ? x[1] : x[0], first ? first : second };
    return tg__graph_apply(g, minus ? TG__CODE_add : TG__CODE_sub, sum, 2, NULL);
}

/* The same on numbers only: sums, choices, and what contributes 0 to a gradient. Derivatives of derivatives
   have many of them. */
static uint32_t simplify_scalar(tg__graph *g, int code, const uint32_t *x)
{
    if (g->without & TG_SIMPLIFY) return 0;
    switch (code) {
    case TG__CODE_add:
    case TG__CODE_sub: return simplify_sum(g, code == TG__CODE_sub, x);
    case TG__CODE_times: return is_zero(g, x[0], ANY_ZERO) ? tg__graph_number(g, 0) : 0;
    case TG__CODE_pick:
        return is_zero(g, x[0], ANY_ZERO) || is_zero(g, x[1], ANY_ZERO) ? tg__graph_number(g, 0) : 0;
    case TG__CODE_where:
        if (x[1] == x[2] || is_zero(g, x[0], ANY_ZERO)) return x[2];
        return tg__node_constant(g, x[0]) ? x[1] : 0;
    default: return 0;
    }
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
static uint32_t apply_scalar(tg__graph *g, int code, const uint32_t *x, int n, const operands *o)
{
    const uint32_t quick = quick_derivative(g, code, x);
    if (quick) return quick;
    if (o->constants == n && !(g->without & TG_FOLD)) return fold_scalars(g, code, x, n);
    /* Without constants there is little to simplify, and in what is large there are few. */
    const bool sum = code == TG__CODE_add || code == TG__CODE_sub, choice = code == TG__CODE_where;
    uint32_t simple = 0;
    if (o->constants || code == TG__CODE_neg) simple = simplify(g, code, x, (const tg__shape *)(void *)g->shapes.data);
    if (!simple && (o->constants || sum || choice)) simple = simplify_scalar(g, code, x);
    return simple ? simple : tg__nodes_find_scalar(g, code, x, (uint32_t)n, o->stage);
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
        if (kept < 0 && !tg__is_scalar(tg__node_at(g, x[i])) && !repeats(g, x[i])) kept = i;
    }
    for (int i = 0; i < n && kept >= 0 && !tg__graph_failed(g); i++)
        if (repeats(g, x[i]) &&
            tg__shape_same_dims(tg__node_shape(g, x[i]), tg__node_shape(g, x[kept])))
            number[i] = tg__graph_view(g, x[i], &scalar, 0);
}

/* Of any kind, and any operands. */
static uint32_t apply_any(tg__graph *g, int code, const uint32_t *x, int n, const void *attributes, operands o)
{
    const tg__op *const op = tg__ops[code];
    uint32_t number[3];
    if (op->kind == TG__MAP && !(g->without & TG_SIMPLIFY)) {
        as_numbers(g, x, n, number);
        x = number;
        if (tg__graph_failed(g)) return 0;
        o = look_at(g, x, n);
    }
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
    if (op->kind == TG__MAP && o.scalar) return apply_scalar(g, code, x, n, &o);
    const uint32_t quick = quick_derivative(g, code, x);
    if (quick) return quick;
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
    const tg__making node = { .op = (uint32_t)code, .n = (uint32_t)n, .stage = o.stage };
    const bool foldable = !(g->without & TG_FOLD) && s.n <= FOLDED_ELEMENTS &&
                          code != TG__CODE_dropout && tg__is_pure((uint32_t)code, attributes) && o.constants == n;
    if (foldable) return fold(g, &a, &s);
    const uint32_t made = tg__nodes_find(g, &node, x, attributes, is_plain_scalar(g, &s) ? NULL : &s);
    /* What a guard says is 1, or there is no result. */
    return code == TG__CODE_guard && made ? tg__graph_number(g, 1) : made;
}

/* Apart, since it would need registers where most nodes need none. */
__attribute__((noinline)) static uint32_t apply_special(tg__graph *g, int code, const uint32_t *x, int n,
                                                        const void *attributes)
{
    const operands o = look_at(g, x, n);
    if (tg__ops[code]->kind == TG__MAP && o.scalar) return apply_scalar(g, code, x, n, &o);
    return apply_any(g, code, x, n, attributes, o);
}

/* Most nodes of large graphs go a short way: of plain scalars that are neither constants nor negatives of others there
   is nothing to simplify. */
uint32_t tg__graph_apply(tg__graph *g, int code, const uint32_t *x, int n, const void *attributes)
{
    if (tg__graph_failed(g)) return 0;
    bool simple = tg__ops[code]->kind == TG__MAP && code != TG__CODE_where && !g->fast_math;
    uint8_t stage = TG__EARLY;
    for (int i = 0; i < n && simple; i++) {
        const tg__node *const node = tg__node_at(g, x[i]);
        simple = node->few && node->op != TG__CODE_neg;
        if (node->stage > stage) stage = node->stage;
    }
    return simple ? tg__nodes_find_scalar(g, code, x, (uint32_t)n, stage) : apply_special(g, code, x, n, attributes);
}

/* ---- what is no op ----------------------------------------------------------------------------- */

uint32_t tg__graph_assemble(tg__graph *g, const tg__shape *s, const uint32_t *x, const uint32_t *look,
                            uint32_t n)
{
    if (tg__graph_failed(g)) return 0;
    g->scratch.used = 0;
    uint32_t *copy = NULL;
    if (look != x + n) { /* behind each other they may be already */
        copy = tg__arena_push(&g->scratch, 2 * (size_t)n * sizeof *copy);
        if (!copy) return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
        memcpy(copy, x, n * sizeof *x);
        memcpy(copy + n, look, n * sizeof *look);
    }
    tg__shape own = *s;
    tg__shape_finish(&own);
    const tg__making node = { .op = TG__NODE_ASSEMBLE, .n = 2 * n, .stage = stage_of(g, x, n) };
    return tg__nodes_find(g, &node, copy ? copy : x, NULL, is_plain_scalar(g, &own) ? NULL : &own);
}

uint32_t tg__graph_backward(tg__graph *g, uint32_t y, int by, uint32_t gradient)
{
    if (tg__graph_failed(g)) return 0;
    const tg__node node = *tg__node_at(g, y);
    const tg__back back = { node.op, by, tg__node_word(g, &node) };
    const uint32_t n = tg__node_n(&node);
    /* A rule adds to a gradient with its operand's strides: this one has adjacent elements. */
    uint32_t own = tg__node_operands(g, &node)[by];
    if (!tg__shape_contiguous(tg__node_shape(g, own)))
        own = tg__graph_apply(g, TG__CODE_contiguous, &own, 1, NULL);
    if (!tg__graph_failed(g) && !tg__shape_contiguous(tg__node_shape(g, gradient)))
        gradient = tg__graph_apply(g, TG__CODE_contiguous, &gradient, 1, NULL);
    if (tg__graph_failed(g)) return 0;
    g->scratch.used = 0;
    uint32_t *const x = tg__arena_push(&g->scratch, ((size_t)n + 2) * sizeof *x);
    if (!x) return tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    memcpy(x, tg__node_operands(g, &node), n * sizeof *x);
    x[by] = own;
    x[n] = y;
    x[n + 1] = gradient;
    tg__shape s = *tg__node_shape(g, x[by]);
    tg__shape_finish(&s);
    const tg__making made = { .op = TG__NODE_BACKWARD, .n = n + 2,
                            .stage = stage_of(g, x, n + 2) };
    return tg__nodes_find(g, &made, x, &back, is_plain_scalar(g, &s) ? NULL : &s);
}

uint32_t tg__graph_sum(tg__graph *g, uint32_t x)
{
    if (tg__graph_failed(g)) return 0;
    if (tg__is_scalar(tg__node_at(g, x))) return tg__nodes_find_scalar(g, TG__NODE_SUM, &x, 1, TG__LATE);
    tg__shape s = *tg__node_shape(g, x);
    tg__shape_finish(&s);
    const tg__making node = { .op = TG__NODE_SUM, .n = 1, .stage = TG__LATE };
    return tg__nodes_find(g, &node, &x, NULL, is_plain_scalar(g, &s) ? NULL : &s);
}
