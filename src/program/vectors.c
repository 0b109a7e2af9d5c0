/* Short tensors of one instance: see scalars.h. Elementwise operations on them, sums and dot products of
   them, and what is put together from them are part of the stretches of scalars: a kernel call and a step
   for each would take longer than what they do. What a stretch makes of them lies in chunks, which are used
   again when all of it has been read. */
#include <string.h>

#include "codes.h" /* generated */
#include "program/scalars.h"

enum {
    LONGEST = 256,      /* beyond it a call costs little, and chains go strip by strip */
    MOST_GIVEN = 1024,  /* of an input or a constant, which is copied as a whole */
    MOST_PARTS = 64,
};

/* Room for vectors that are made together. */
typedef struct chunk {
    uint32_t place, size; /* numbers */
    uint32_t alive;       /* vectors in it that are still read */
    uint32_t next;        /* free one of that size; 0: none */
} chunk;

typedef struct shelf {
    uint32_t size, first;
} shelf;

static const tg__node *node_at(const tg__scalars *w, uint32_t id)
{
    return tg__node_at(w->p->g, id);
}

static const tg__shape *shape_of(const tg__scalars *w, uint32_t id)
{
    return tg__node_shape(w->p->g, id);
}

/* ---- which nodes ------------------------------------------------------------------------------------- */

/* Whether the elements of an owner are numbers of the array, or can be. */
static bool is_at_hand(const tg__scalars *w, uint32_t owner)
{
    const tg__node *const node = node_at(w, owner);
    const bool outside = node->op == TG__NODE_INPUT || node->op == TG__NODE_CONSTANT;
    if (tg__is_scalar(node) || w->p->slot[owner] || w->vector[owner]) return true;
    return shape_of(w, owner)->n <= (outside ? MOST_GIVEN : LONGEST) && shape_of(w, owner)->type == w->p->g->type;
}

/* How far apart the elements of x are: 1, or 0 for one number (again and again); -1: otherwise. */
static int step_of(const tg__scalars *w, uint32_t x)
{
    const tg__shape *const s = shape_of(w, x);
    bool repeated = true;
    for (int i = 0; i < s->rank; i++) repeated &= s->dim[i] == 1 || s->stride[i] == 0;
    return repeated ? 0 : tg__shape_contiguous(s) ? 1 : -1;
}

/* Whether x can be an operand of what makes n elements. */
static bool fits(const tg__scalars *w, uint32_t x, int64_t n)
{
    const tg__shape *const s = shape_of(w, x);
    const int step = step_of(w, x);
    return s->type == w->p->g->type && step >= 0 && (s->n == n || s->n == 1) && is_at_hand(w, tg__owner(w->p, x));
}

static bool is_map(const tg__scalars *w, const tg__node *node, const tg__shape *s)
{
    for (uint32_t j = 0; j < tg__node_n(node); j++) {
        const uint32_t x = tg__operand_of(w, node, j);
        const bool same = tg__shape_same_dims(shape_of(w, x), s);
        if (!fits(w, x, s->n) || (!same && shape_of(w, x)->n != 1)) return false;
    }
    return true;
}

/* Whether a scalar is an op on all elements of vectors. */
static bool is_total(const tg__scalars *w, const tg__node *node)
{
    const int64_t n = shape_of(w, tg__operand_of(w, node, 0))->n;
    if (w->p->g->strict || n < 2 || n > LONGEST) return false;
    for (uint32_t j = 0; j < tg__node_n(node); j++) {
        const uint32_t x = tg__operand_of(w, node, j);
        if (shape_of(w, x)->n != n || step_of(w, x) != 1 || !fits(w, x, n)) return false;
    }
    return true;
}

/* The operands of the product that is the gradient of a dot product. */
static bool is_scaled(const tg__scalars *w, const tg__node *node, const tg__shape *s)
{
    const tg__back *const b = tg__node_data(w->p->g, node);
    if (b->op != TG__CODE_dot || w->p->g->strict) return false;
    return fits(w, tg__operand_of(w, node, 1 - (uint32_t)b->by), s->n) && fits(w, tg__operand_of(w, node, 3), 1);
}

/* ---- what is put together from parts ------------------------------------------------------------------ */

/* Which elements part i of a node is; false: they are not adjacent. */
static bool place_of_part(const tg__scalars *w, const tg__node *node, uint32_t i, uint32_t *offset, uint32_t *n)
{
    const tg__graph *const g = w->p->g;
    const uint32_t *const x = tg__node_operands(g, node);
    *n = (uint32_t)tg__node_shape(g, x[i])->n;
    *offset = 0;
    if (node->op == TG__CODE_cat) {
        for (uint32_t j = 0; j < i; j++) *offset += (uint32_t)tg__node_shape(g, x[j])->n;
        return true;
    }
    const uint32_t look = node->op == TG__NODE_ASSEMBLE ? x[tg__node_n(node) / 2 + i] : 0;
    if (!look) return true;
    *offset = (uint32_t)tg__node_offset(g, look);
    return tg__shape_contiguous(tg__node_shape(g, look));
}

static bool add_piece(tg__scalars *w, tg__piece piece)
{
    if (piece.n == 0) return true;
    tg__piece *const to = tg__more(&w->parts_of, 1, sizeof *to);
    if (to) *to = piece;
    return to;
}

/* How many parts a node is put together from; 0: it is not. */
static uint32_t count_parts(const tg__scalars *w, const tg__node *node)
{
    const tg__graph *const g = w->p->g;
    switch (node->op) {
    case TG__NODE_ASSEMBLE: return tg__node_parts(node);
    case TG__CODE_contiguous: return 1;
    case TG__CODE_cat:
        return tg__node_shape(g, tg__node_operands(g, node)[0])->rank == 1 ? tg__node_n(node) : 0;
    default: return 0;
    }
}

/* The parts in the order of their places: of element i of the result owner[i] says which part it is of,
   0 none; the first may be all of it, to which the others are added. False: it cannot be made so. */
static bool map_parts(const tg__scalars *w, const tg__node *node, uint32_t parts, uint8_t *owner, bool *whole)
{
    const tg__node *const y = node;
    *whole = y->op == TG__NODE_ASSEMBLE && !tg__node_operands(w->p->g, y)[parts];
    for (uint32_t i = 0; i < parts; i++) {
        const uint32_t x = tg__operand_of(w, node, i);
        uint32_t offset, n;
        if (!place_of_part(w, node, i, &offset, &n) || !fits(w, x, n)) return false;
        for (uint32_t k = 0; k < n && (i || !*whole); k++) {
            if (owner[offset + k]) return false;
            owner[offset + k] = (uint8_t)(i + 1);
        }
    }
    return true;
}

/* Lists the pieces that node id consists of; *done: it does. False: no memory. */
static bool find_pieces(tg__scalars *w, uint32_t id, bool *done)
{
    const tg__node *const node = node_at(w, id);
    const uint32_t parts = count_parts(w, node), n = (uint32_t)shape_of(w, id)->n;
    uint8_t owner[LONGEST] = { 0 };
    bool whole;
    *done = parts > 0 && parts <= MOST_PARTS && map_parts(w, node, parts, owner, &whole);
    if (!*done) return true;
    w->pieces[id] = (uint32_t)(w->parts_of.used / sizeof(tg__piece));
    const uint32_t all = whole ? tg__operand_of(w, node, 0) : 0;
    for (uint32_t i = 0, k; i < n; i = k) {
        for (k = i + 1; k < n && owner[k] == owner[i];) k++;
        tg__piece piece = { .of = id, .offset = i, .n = k - i, .x = { all }, .from = { all ? i : 0 } };
        if (owner[i]) {
            uint32_t offset, size;
            place_of_part(w, node, owner[i] - 1u, &offset, &size);
            piece.x[whole] = tg__operand_of(w, node, owner[i] - 1u);
            piece.from[whole] = i - offset;
        }
        if (!add_piece(w, piece)) return false;
    }
    return true;
}

/* ---- finding them -------------------------------------------------------------------------------------- */

static bool kind_of(tg__scalars *w, uint32_t id, tg__vector *kind)
{
    const tg__node *const node = node_at(w, id);
    const tg__shape *const s = shape_of(w, id);
    const tg__op *const op = tg__node_op(node);
    *kind = TG__NO_VECTOR;
    if (w->p->slot[id] || s->n == 0 || s->n > LONGEST || s->type != w->p->g->type) return true;
    if (s->n == 1 && node->op == TG__CODE_sum && is_total(w, node)) *kind = TG__VECTOR_SUM;
    if (node->op == TG__CODE_dot && is_total(w, node)) *kind = TG__VECTOR_DOT;
    if (tg__is_scalar(node) || *kind) return true;
    if (op && op->kind == TG__MAP) {
        if (is_map(w, node, s)) *kind = TG__VECTOR_MAP;
        return true;
    }
    if (node->op == TG__NODE_BACKWARD) {
        if (is_scaled(w, node, s)) *kind = TG__VECTOR_SCALED;
        return true;
    }
    bool done;
    if (!find_pieces(w, id, &done)) return false;
    if (done) *kind = TG__VECTOR_PIECES;
    return true;
}

/* An owner whose elements vectors are made from. Inputs and constants are copied once. */
static bool give(tg__scalars *w, uint32_t owner)
{
    const tg__node *const node = node_at(w, owner);
    if (tg__is_scalar(node) || w->p->slot[owner] || w->vector[owner]) return true;
    w->vector[owner] = TG__VECTOR_GIVEN;
    if (node->op != TG__NODE_INPUT && node->op != TG__NODE_CONSTANT) return true;
    const uint32_t n = (uint32_t)shape_of(w, owner)->n;
    w->places = tg__padded(w, w->places);
    w->p->slot[owner] = w->places;
    w->places += tg__padded(w, n);
    if (node->op == TG__NODE_INPUT) return tg__emit_load(w->p, owner, n);
    tg__initial *const i = tg__more(&w->p->plan->initials, 1, sizeof *i);
    if (i) *i = (tg__initial){ .place = w->p->slot[owner], .n = n, .constant = (uint64_t)tg__node_word(w->p->g, node) * 8 };
    return i;
}

bool tg__vectors_find(tg__scalars *w)
{
    if (w->p->g->without & TG_CHAINS) return true;
    for (uint32_t id = 1; id < w->p->n; id++) {
        const tg__node *const node = node_at(w, id);
        tg__vector kind = TG__NO_VECTOR;
        if (w->p->role[id] != TG__NEEDED || (tg__is_scalar(node) && node->op != TG__CODE_sum && node->op != TG__CODE_dot))
            continue;
        if (!kind_of(w, id, &kind)) return false;
        if (kind == TG__NO_VECTOR) continue;
        w->vector[id] = (uint8_t)kind;
        w->vectors = true;
        const uint32_t n = tg__node_parts(node);
        for (uint32_t j = 0; j < n; j++) {
            const uint32_t owner = tg__owner(w->p, tg__operand_of(w, node, j));
            if (is_at_hand(w, owner) && !give(w, owner)) return false;
        }
    }
    return true;
}

/* ---- chunks ---------------------------------------------------------------------------------------------- */

static chunk *chunk_at(const tg__scalars *w, uint32_t i)
{
    return (chunk *)(void *)w->chunks.data + i;
}

static shelf *shelf_for(tg__scalars *w, uint32_t size)
{
    shelf *const list = (shelf *)(void *)w->shelves.data;
    const size_t n = w->shelves.used / sizeof *list;
    for (size_t i = 0; i < n; i++)
        if (list[i].size == size) return &list[i];
    shelf *const made = tg__more(&w->shelves, 1, sizeof *made);
    if (made) *made = (shelf){ size, 0 };
    return made;
}

/* The number of a chunk with room for so many numbers; 0: no memory. */
static uint32_t get_chunk(tg__scalars *w, uint32_t size)
{
    shelf *const s = shelf_for(w, size);
    if (!s) return 0;
    const uint32_t old = s->first;
    if (old) {
        s->first = chunk_at(w, old)->next;
        return old;
    }
    if (!w->chunks.used && !tg__more(&w->chunks, 1, sizeof(chunk))) return 0; /* none is number 0 */
    chunk *const made = tg__more(&w->chunks, 1, sizeof *made);
    if (!made) return 0;
    w->places = tg__padded(w, w->places);
    *made = (chunk){ .place = w->places, .size = size };
    w->places += size;
    return (uint32_t)(made - (chunk *)(void *)w->chunks.data);
}

bool tg__vectors_place(tg__scalars *w, const uint32_t *id, size_t n)
{
    if (n == 0) return true;
    const uint32_t room = tg__padded(w, (uint32_t)shape_of(w, id[0])->n), number = get_chunk(w, (uint32_t)n * room);
    if (!number) return false;
    chunk *const c = chunk_at(w, number);
    c->alive = (uint32_t)n;
    for (uint32_t i = 0; i < n; i++) {
        w->p->slot[id[i]] = c->place + i * room;
        w->chunk[id[i]] = number;
    }
    return true;
}

/* Vector x has been read once. Where there is no shelf for its chunk, the chunk is not used again. */
static void read_once(tg__scalars *w, uint32_t x)
{
    const uint32_t owner = tg__owner(w->p, x);
    if (!w->chunk[owner] || --w->reads[owner]) return;
    const uint32_t number = w->chunk[owner];
    chunk *const c = chunk_at(w, number);
    if (--c->alive || w->p->g->without & TG_REUSE) return;
    shelf *const s = shelf_for(w, c->size);
    if (!s) return;
    c->next = s->first;
    s->first = number;
}

static uint32_t inputs_of(const tg__node *node)
{
    return node->op == TG__NODE_VIEW ? 0 : tg__node_parts(node);
}

/* What outputs are is read when all else is done. */
void tg__vectors_count(tg__scalars *w)
{
    tg__planner *const p = w->p;
    for (uint32_t id = 1; id < p->n && w->vectors; id++) {
        if (p->role[id] == TG__UNUSED) continue;
        const tg__node *const node = node_at(w, id);
        if (w->vector[id] == TG__VECTOR_PIECES) continue;
        for (uint32_t j = 0; j < inputs_of(node); j++) w->reads[tg__owner(p, tg__operand_of(w, node, j))]++;
    }
    for (size_t i = 0; i < w->parts_of.used / sizeof(tg__piece) && w->vectors; i++)
        for (int k = 0; k < 2; k++) {
            const uint32_t x = tg__piece_at(w, (uint32_t)i)->x[k];
            if (x) w->reads[tg__owner(p, x)]++;
        }
    for (uint32_t i = 0; i < p->n_outputs && w->vectors; i++) w->reads[tg__owner(p, p->output[i])] = UINT32_MAX / 2;
}

void tg__vectors_read_by(tg__scalars *w, uint32_t id)
{
    if (!w->vectors || w->vector[id] == TG__VECTOR_PIECES) return;
    const tg__node *const node = node_at(w, id);
    uint32_t few[3], n;
    const bool sum = w->p->role[id] == TG__DONE && w->p->tile[id];
    const uint32_t *const term = sum ? tg__scalars_operands(w, id, few, &n) : NULL;
    if (!sum) n = inputs_of(node);
    for (uint32_t j = 0; j < n; j++) read_once(w, sum ? term[j] : tg__operand_of(w, node, j));
}

void tg__vectors_read_by_piece(tg__scalars *w, const tg__piece *piece)
{
    for (int k = 0; k < 2; k++)
        if (piece->x[k]) read_once(w, piece->x[k]);
}
