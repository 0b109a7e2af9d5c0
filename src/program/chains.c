/* Chains: steps on the elements of tensors that follow each other, or can. They are done strip by strip, so that
   what is between them stays in the first cache and need not be stored.

   A chain consists of elementwise steps; of reductions of rows of what they make; of sums of its rows, which are
   the gradient by a bias. In front of them there may be the product that they begin with. */
#include <string.h>

#include "codes.h" /* generated */
#include "ops/gather.h"
#include "program/planning.h"

enum {
    SKIPPED = 8,            /* steps between it and one that can be done earlier */
    MOST_GATHERED = 4,      /* long rows that are reduced at the same time */
    BLOCK_BYTES = 64 << 10, /* of a block of a product's rows, at least, */
    MOST_BYTES = 512 << 10, /* and at most */
    NEAR_BYTES = 1 << 20,   /* what stays in the second cache needs no blocks */
    ROWS_A_COLUMN = 4,      /* of a block for each row of the matrix, which is brought into order every time */
};

typedef struct builder {
    tg__planning *w;
    tg__step *first;
    uint32_t n;        /* steps */
    uint32_t elements; /* of an instance */
    uint32_t rows, long_sums; /* the length of rows, 0: any; how many reductions go on from strip to strip */
    tg__chain chain;
} builder;

static uint32_t node_of(const tg__planning *w, const tg__step *s, uint32_t operand)
{
    return ((const tg__reference *)(void *)w->p.plan->operands.data)[s->first + operand].node;
}

static uint32_t results_of(const tg__step *s)
{
    switch (s->kind) {
    case TG__STEP_GUARD:
    case TG__STEP_SCALARS: return 0;
    case TG__STEP_BACKWARD:
    case TG__STEP_DOTS: return s->width;
    default: return 1;
    }
}

static uint32_t strip_of(const tg__planning *w)
{
    return TG__STRIP_BYTES / (uint32_t)tg__type_size(w->p.g->type);
}

static bool is_link(const tg__planning *w, const tg__step *s)
{
    return s->kind == TG__STEP_MAP && !s->range && s->width > 1 &&
           tg__node_shape(w->p.g, s->node)->type == w->p.g->type;
}

/* The step of the chain that makes an operand; NULL: none. */
static const tg__step *maker_of(const builder *b, const tg__step *s, uint32_t operand)
{
    const uint32_t owner = tg__owner(&b->w->p, node_of(b->w, s, operand));
    for (uint32_t i = 0; i < b->n; i++)
        if (node_of(b->w, b->first + i, 0) == owner) return b->first + i;
    return NULL;
}

/* Whether an operand is all that a link of the chain makes, in its order. */
static bool is_whole(const builder *b, const tg__step *s, uint32_t operand)
{
    const tg__planning *const w = b->w;
    const tg__step *const maker = maker_of(b, s, operand);
    const uint32_t x = tg__same(&w->p, node_of(w, s, operand));
    const bool link = maker && (maker->kind == TG__STEP_MAP || (b->chain.product && maker == b->first));
    return link && tg__node_offset(w->p.g, x) == 0 && tg__node_shape(w->p.g, x)->n == b->elements &&
           tg__shape_contiguous(tg__node_shape(w->p.g, x));
}

static bool is_reduction_step(const tg__step *s)
{
    return s->kind == TG__STEP_RULE || s->kind == TG__STEP_BLOCK;
}

/* Whether a step that is further behind could be one of the chain: it reads what that makes, and its result has no
   place among one instance's numbers, where something else may still be. */
static bool reads_chain(const builder *b, const tg__step *s)
{
    const bool apart = s->kind == TG__STEP_MAP || s->kind == TG__STEP_BACKWARD || is_reduction_step(s);
    const uint32_t made = apart ? node_of(b->w, s, 0) : 0;
    if (!apart || (b->w->p.single && b->w->p.slot[made] && !tg__is_scalar(tg__node_at(b->w->p.g, made)))) return false;
    for (uint32_t j = 1; j < s->n; j++)
        if (maker_of(b, s, j)) return true;
    return false;
}

/* ---- what joins a chain ------------------------------------------------------------------------------ */

static bool may_have_rows(const builder *b, uint32_t n)
{
    return n > 0 && b->elements % n == 0 && (b->rows == 0 || b->rows == n);
}

/* A step whose other operands come from elsewhere, or element by element. */
static bool joins_as_link(const builder *b, const tg__step *s)
{
    if (!is_link(b->w, s) || s->width != b->elements) return false;
    for (uint32_t j = 1; j < s->n; j++)
        if (maker_of(b, s, j) && !is_whole(b, s, j)) return false;
    return true;
}

/* The length of the rows that a step reduces; 0: it reduces nothing, or other than rows. */
static uint32_t reduced_by(const builder *b, const tg__step *s)
{
    const tg__graph *const g = b->w->p.g;
    const tg__node *const node = tg__node_at(g, s->node);
    if (g->without & TG_CHAIN_SUMS || !is_reduction_step(s) || !tg__is_reduction(node->op) ||
        tg__is_dot(&b->w->p, s->node) || !is_whole(b, s, 1))
        return 0;
    const tg__array x = { tg__node_shape(g, node_of(b->w, s, 1)), NULL };
    return (uint32_t)tg__reduced_rows(&(tg__call){ .x = &x, .attributes = tg__node_data(g, node) });
}

/* Long rows go on from strip to strip; whether their sums are made as otherwise depends on where these end. */
static bool joins_as_reduction(const builder *b, const tg__step *s, uint32_t *rows)
{
    const tg__planning *const w = b->w;
    *rows = reduced_by(b, s);
    if (!may_have_rows(b, *rows)) return false;
    if (*rows <= strip_of(w)) return true;
    const uint16_t code = tg__node_at(w->p.g, s->node)->op;
    return tg__gathers(code) && !s->kept && b->long_sums < MOST_GATHERED && !b->chain.product &&
           (!w->p.g->strict || code != TG__CODE_logsumexp);
}

/* The gradient by the bias of a linear map: sums over the rows of g. */
static bool joins_as_bias(const builder *b, const tg__step *s, uint32_t *rows)
{
    const tg__planning *const w = b->w;
    const tg__graph *const g = w->p.g;
    if (g->without & TG_CHAIN_PRODUCTS || g->strict || s->kind != TG__STEP_BACKWARD || s->width != 1) return false;
    const tg__back *const back = tg__node_data(g, tg__node_at(g, s->node));
    if (back->op != TG__CODE_linear || back->by != 2 || !tg__once(w, s->node) || !is_whole(b, s, s->n - 1))
        return false;
    *rows = (uint32_t)tg__node_shape(g, s->node)->n;
    return may_have_rows(b, *rows) && *rows <= strip_of(w) && *rows < b->elements;
}

/* Of rows of so many elements, at least so many rows; a whole number. */
static uint32_t block_of(const tg__planning *w, int64_t length, int64_t least)
{
    const int64_t rows = BLOCK_BYTES / (length * (int64_t)tg__type_size(w->p.g->type));
    return (uint32_t)(length * (rows < least ? least : rows));
}

static bool joins(builder *b, const tg__step *s)
{
    uint32_t rows = 0;
    if (b->n == TG__CHAIN_STEPS) return false;
    if (joins_as_link(b, s)) return true;
    if (joins_as_reduction(b, s, &rows)) b->long_sums += rows > strip_of(b->w);
    else if (!joins_as_bias(b, s, &rows)) return false;
    else if (!b->chain.block) b->chain.block = block_of(b->w, rows, 1);
    b->rows = rows;
    return true;
}

/* ---- the product in front ---------------------------------------------------------------------------- */

/* The rows, their length, and how many products of numbers an element is, of a step that multiplies rows by one
   matrix. False: it does not. */
static bool is_product(const tg__planning *w, const tg__step *s, int64_t *rows, int64_t *length, int64_t *inner)
{
    const tg__graph *const g = w->p.g;
    const bool back = s->kind == TG__STEP_BACKWARD;
    if (!tg__once(w, s->node) || s->kept || (s->kind != TG__STEP_RULE && (!back || s->width != 1))) return false;
    const tg__back *const of = back ? tg__node_data(g, tg__node_at(g, s->node)) : NULL;
    const int code = back ? of->op : tg__node_at(g, s->node)->op;
    if ((code != TG__CODE_linear && code != TG__CODE_matmul) || (back && of->by != 0)) return false;
    const tg__shape *const x = tg__node_shape(g, node_of(w, s, 1)), *const m = tg__node_shape(g, node_of(w, s, 2));
    if (x->rank < 2 || m->rank != 2 || (x->rank > 2 && !tg__shape_contiguous(x))) return false;
    *length = tg__node_shape(g, s->node)->dim[x->rank - 1];
    *inner = back ? m->dim[code == TG__CODE_linear ? 0 : 1] : x->dim[x->rank - 1];
    *rows = *length ? s->width / *length : 0;
    if (back) *rows = *length ? tg__node_shape(g, s->node)->n / *length : 0;
    return *rows > 0;
}

/* As few rows as fill a part of the cache, but so many that the matrix is worth being brought there. */
static bool starts_with_product(builder *b, tg__step *s, const tg__step *end)
{
    const tg__planning *const w = b->w;
    int64_t rows, length, inner;
    if (w->p.g->strict || w->p.g->without & TG_CHAIN_PRODUCTS || s + 1 >= end || !is_link(w, s + 1)) return false;
    if (!is_product(w, s, &rows, &length, &inner)) return false;
    const int64_t size = (int64_t)tg__type_size(w->p.g->type);
    const int64_t block = block_of(w, length, ROWS_A_COLUMN * inner);
    if (rows * length * size <= NEAR_BYTES || block * size > MOST_BYTES || length > strip_of(w)) return false;
    const builder with = { .w = b->w, .first = s, .n = 1, .elements = (uint32_t)(rows * length), .rows = (uint32_t)length,
                           .chain = { .product = true, .block = (uint32_t)block } };
    if (!reads_chain(&with, s + 1) || !joins_as_link(&with, s + 1)) return false;
    *b = with;
    return true;
}

bool tg__apart(const tg__planning *w, uint32_t id)
{
    const tg__graph *const g = w->p.g;
    const tg__node *const node = tg__node_at(g, id);
    const tg__back *const back = tg__node_data(g, node);
    const uint32_t y = tg__node_operands(g, node)[tg__node_n(node) - 2];
    return !g->strict && !(g->without & (TG_CHAIN_PRODUCTS | TG_CHAINS)) && back->op == TG__CODE_linear &&
           tg__once(w, id) && tg__node_shape(g, y)->n * (int64_t)tg__type_size(g->type) > NEAR_BYTES;
}

/* ---- finding them ------------------------------------------------------------------------------------ */

/* Whether a step can be done before those from `from` on: it reads nothing that they make. */
static bool is_free(const builder *b, const tg__step *from, const tg__step *s)
{
    const tg__planning *const w = b->w;
    for (uint32_t j = 1; j < s->n; j++) {
        const uint32_t owner = tg__owner(&w->p, node_of(w, s, j));
        const bool number = w->p.single && w->p.slot[owner];
        for (const tg__step *t = from; t < s; t++) {
            if (number && (t->kind == TG__STEP_SCALARS || t->kind == TG__STEP_LOAD)) return false;
            for (uint32_t i = 0; i < results_of(t); i++)
                if (node_of(w, t, i) == owner) return false;
        }
    }
    return true;
}

/* Steps behind the chain become part of it, those further behind too if nothing is in their way. */
static void extend(builder *b, const tg__step *end)
{
    tg__step *next = b->first + b->n;
    for (tg__step *s = next; s < end && s - next <= SKIPPED; s++) {
        if (s->chain || (s > next && (!reads_chain(b, s) || !is_free(b, next, s))) || !joins(b, s)) continue;
        const tg__step joined = *s;
        memmove(next + 1, next, (size_t)(s - next) * sizeof *s);
        *next++ = joined;
        b->n++;
    }
}

/* The form of a reduction of rows. */
static bool make_gather(tg__planning *w, tg__step *s)
{
    const tg__graph *const g = w->p.g;
    const tg__node *const node = tg__node_at(g, s->node);
    tg__form *const f = tg__more(&w->p.plan->forms, 1, sizeof *f);
    if (!f) return false;
    *f = (tg__form){ .code = node->op, .n = 1 };
    memcpy(&f->attributes, tg__node_data(g, node), sizeof f->attributes.reduce);
    f->attributes.reduce.axis = -1;
    f->attributes.reduce.axes.count = 0;
    f->attributes.reduce.keep = false;
    s->kind = TG__STEP_GATHER;
    s->columns = (uint32_t)(f - (tg__form *)(void *)w->p.plan->forms.data);
    return true;
}

static bool finish(builder *b)
{
    tg__planning *const w = b->w;
    tg__chain *const made = tg__more(&w->p.plan->chains, 1, sizeof *made);
    if (!made) return false;
    uint32_t strip = strip_of(w);
    if (b->rows && b->rows <= strip) strip = strip / b->rows * b->rows;
    *made = b->chain;
    made->steps = b->n;
    made->strip = strip;
    made->period = b->rows;
    b->first->chain = (uint32_t)(w->p.plan->chains.used / sizeof *made);
    for (uint32_t i = b->chain.product; i < b->n; i++)
        if (is_reduction_step(&b->first[i]) && !make_gather(w, &b->first[i])) return false;
    return true;
}

bool tg__find_chains(tg__planning *w)
{
    const tg__plan *const plan = w->p.plan;
    tg__step *const steps = (tg__step *)(void *)plan->steps.data;
    for (int stage = TG__EARLY; stage <= TG__LATE && !(w->p.g->without & TG_CHAINS); stage++) {
        tg__step *const end = steps + plan->begin[stage + 1];
        for (tg__step *s = steps + plan->begin[stage]; s < end; s++) {
            builder b = { .w = w, .first = s, .n = 1, .elements = s->width };
            if (!starts_with_product(&b, s, end) && !is_link(w, s)) continue;
            extend(&b, end);
            if (b.n > 1 && !finish(&b)) return false;
            s += b.n - 1;
        }
    }
    return tg__make_again(w);
}
