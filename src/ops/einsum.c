/* Sums over named axes: einsum and trace. An einsum runs from left to right: two operands at a time
   become one, by stacks of matrix products, and what no later operand and not the result names is
   summed as soon as possible. Its gradients are sums of the same kind. */
#include <math.h>
#include <string.h>

#include "kernels/blas.h"
#include "ops/op.h"

/* ---- trace ----------------------------------------------------------------------------------- */

extern const tg__op tg__op_diagonal;

TG_OP(trace, "l", offset, "sum of a diagonal of the last two axes, (..., m, n) -> (...)")

/* The diagonal that the attributes name, as a view of x. */
static tg_code diagonal_of(const tg__call *c, tg__array x, tg__shape *s, tg__array *y)
{
    int64_t offset;
    const tg_code code = tg__op_diagonal.view(c, s, &offset);
    if (code) return code;
    s->n = 1;
    for (int i = 0; i < s->rank; i++) s->n *= s->dim[i];
    *y = (tg__array){ s, (char *)x.p + offset * (ptrdiff_t)tg__type_size(x.s->type) };
    return TG_OK;
}

/* The diagonal of one matrix as a row of n elements, which needs no shape. False: x is several matrices. */
static bool diagonal_of_matrix(const tg__call *c, tg__array x, int64_t *n, void **p)
{
    const int64_t away = ((const tg_offset_attributes *)c->attributes)->offset;
    const tg__shape *const s = x.s;
    if (s->rank != 2) return false;
    const bool outside = away >= s->dim[1] || away <= -s->dim[0];
    const int64_t down = outside || away > 0 ? 0 : -away, right = outside || away < 0 ? 0 : away;
    const int64_t rows = s->dim[0] - down, columns = s->dim[1] - right;
    *n = outside ? 0 : rows < columns ? rows : columns;
    *p = (char *)x.p +
         (down * s->stride[0] + right * s->stride[1]) * (ptrdiff_t)tg__type_size(s->type);
    return true;
}

SHAPE(trace)
{
    int64_t offset;
    const tg_code code = tg__op_diagonal.view(c, y, &offset);
    if (!code) y->rank--;
    return code;
}

/* y with the axis that a trace sums, along which it is repeated. */
static tg__shape along(const tg__shape *y, const tg__shape *diagonal)
{
    tg__shape s = *diagonal;
    for (int i = 0; i < y->rank; i++) s.stride[i] = y->stride[i];
    s.stride[y->rank] = 0;
    return s;
}

FORWARD(trace)
{
    tg__shape s;
    tg__array x = c->x[0];
    int64_t n;
    memset(c->y.p, 0, (size_t)c->y.s->n * tg__type_size(c->y.s->type));
    if (diagonal_of_matrix(c, x, &n, &x.p)) {
        c->k->add(n, c->y.p, 0, x.p, x.s->stride[0] + x.s->stride[1]);
        return TG_OK;
    }
    const tg_code code = diagonal_of(c, x, &s, &x);
    if (code) return code;
    const tg__shape y = along(c->y.s, &s);
    tg__add(c->k, (tg__array){ &y, c->y.p }, x);
    return TG_OK;
}

BACKWARD(trace)
{
    tg__shape s;
    tg__array dx = c->dx[0];
    int64_t n;
    if (diagonal_of_matrix(c, dx, &n, &dx.p)) {
        c->k->add(n, dx.p, dx.s->stride[0] + dx.s->stride[1], c->g, 0);
        return TG_OK;
    }
    const tg_code code = diagonal_of(c, dx, &s, &dx);
    if (code) return code;
    const tg__shape g = along(c->y.s, &s);
    tg__add(c->k, dx, (tg__array){ &g, (void *)(uintptr_t)c->g });
    return TG_OK;
}

/* x on the diagonal of zeros; whole is their shape. */
static tg_value on_diagonal(const tg__derivation *d, tg_value x, const tg__shape *whole,
                            int64_t offset)
{
    const tg__shape s = *tg__shape_of(d, x);
    const int r = whole->rank;
    tg__shape all = *whole;
    tg__shape_finish(&all);
    tg_strided_attributes a = { .rank = s.rank, .whole_rank = r, .offset = offset };
    for (int i = 0; i < r; i++) a.whole[i] = all.dim[i];
    for (int i = 0; i < s.rank; i++) a.dim[i] = s.dim[i], a.stride[i] = all.stride[i];
    a.stride[r - 2] = all.stride[r - 2] + all.stride[r - 1];
    return d_strided_sum(d, x, &a);
}

DERIVATIVE(trace)
{
    const tg__shape x = *tg__shape_of(d, d->x[0]);
    const int64_t away = ((const tg_offset_attributes *)d->attributes)->offset;
    const int64_t m = x.dim[x.rank - 2], n = x.dim[x.rank - 1];
    if (away >= n || away <= -m) return;
    const int64_t down = away < 0 ? -away : 0, right = away > 0 ? away : 0;
    tg__shape s = *tg__shape_of(d, d->g);
    s.dim[s.rank++] = m - down < n - right ? m - down : n - right;
    const tg_value g = d_unsqueeze(d, d->g, ATTRIBUTES(axis, .axis = -1));
    d->dx[0] = on_diagonal(d, tg__broadcasted(d, g, &s), &x, down * n + right);
}

CASES(trace, { .n = 1, .x = { TENSOR(-2, 2, 3, 3) } },
      { .n = 1, .x = { TENSOR(-2, 2, 2, 3, 4) }, .attributes = ATTRIBUTES(offset, .offset = 2) },
      { .n = 1, .x = { TENSOR(-2, 2, 4, 3) }, .attributes = ATTRIBUTES(offset, .offset = -1) },
      { .n = 1, .x = { TENSOR(-2, 2, 2, 2) }, .attributes = ATTRIBUTES(offset, .offset = 5) },
      { .n = 1, .x = { TENSOR(-2, 2, 2, 0) } }, { .n = 1, .x = { TENSOR(-2, 2, 0, 2, 2) } })

/* ---- equations ------------------------------------------------------------------------------- */

/* Names of axes: A ... Z, a ... z, then the axes of "..." counted from the last. */
enum { LETTERS = 52, NAMES = LETTERS + TG_MAX_RANK, TERMS = 64 };

typedef uint64_t names;

typedef struct term {
    int rank;
    int8_t name[TG_MAX_RANK];
} term;

typedef struct equation {
    int n;
    term x[TERMS], y;
    int64_t dim[NAMES];
} equation;

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static names name_bit(int name)
{
    return (names)1 << name;
}

static names names_in(const term *x)
{
    names all = 0;
    for (int i = 0; i < x->rank; i++) all |= name_bit(x->name[i]);
    return all;
}

/* What is read of a call's equation. */
typedef struct reader {
    const tg__call *c;
    const char *text, *at;
} reader;

static tg_code unexpected(const reader *r, const char *wanted)
{
    return tg__fail(r->c, TG_ERROR_ARGUMENT, "equation, character %d: expected %s",
                    (int)(r->at - r->text) + 1, wanted);
}

static void skip_blanks(reader *r)
{
    while (*r->at == ' ') r->at++;
}

/* Reads the term of an operand (of the result: -1) up to ',', '-' or the end. "..." stands for the
   axes that the operand's letters leave; in the result for dots axes. */
static tg_code read_term(reader *r, int operand, int dots, term *x)
{
    int before = -1, count = 0;
    int8_t name[TG_MAX_RANK];
    for (skip_blanks(r); *r->at && *r->at != ',' && *r->at != '-'; skip_blanks(r)) {
        const char *const letter = strchr(letters, *r->at);
        const bool is_dots = before < 0 && strncmp(r->at, "...", 3) == 0;
        if (!letter && !is_dots) return unexpected(r, "a letter, '...', ',' or '->'");
        if (letter && count == TG_MAX_RANK) return unexpected(r, "no more than 8 letters");
        if (letter) name[count++] = (int8_t)(letter - letters);
        else before = count;
        r->at += letter ? 1 : 3;
    }
    const tg__shape *const s = operand < 0 ? NULL : r->c->x[operand].s;
    if (s) dots = s->rank - count;
    if (s && (before < 0 ? dots != 0 : dots < 0))
        return tg__fail(r->c, TG_ERROR_SHAPE,
                        "operand %d of shape %s has %d axes, its term %d letters%s", operand,
                        TG__SHAPE_TEXT(s), s->rank, count, before < 0 ? "" : " and '...'");
    if (before < 0) dots = 0;
    x->rank = count + dots;
    if (x->rank > TG_MAX_RANK) return TG_OK; /* the result: said later */
    for (int i = 0, next = 0; i < x->rank; i++) {
        const bool is_dot = i >= before && i < before + dots;
        x->name[i] = is_dot ? (int8_t)(LETTERS + before + dots - 1 - i) : name[next++];
    }
    return TG_OK;
}

/* Notes the lengths of operand i's axes. Those of "..." broadcast. */
static tg_code note_lengths(const reader *r, equation *e, int i)
{
    const tg__shape *const s = r->c->x[i].s;
    for (int j = 0; j < s->rank; j++) {
        const int name = e->x[i].name[j];
        int64_t *const dim = &e->dim[name];
        if (*dim == s->dim[j] || (name >= LETTERS && s->dim[j] == 1 && *dim >= 0)) continue;
        if (*dim >= 0 && !(name >= LETTERS && *dim == 1))
            return tg__fail(r->c, TG_ERROR_SHAPE,
                            "axis %.*s has length %lld, and %lld in operand %d of shape %s",
                            name < LETTERS ? 1 : 3, name < LETTERS ? letters + name : "...",
                            (long long)*dim, (long long)s->dim[j], i, TG__SHAPE_TEXT(s));
        *dim = s->dim[j];
    }
    return TG_OK;
}

/* Without "->": the axes of "...", then all letters that occur once, in alphabetical order. */
static void implicit_result(equation *e, int dots)
{
    int count[NAMES] = { 0 };
    for (int i = 0; i < e->n; i++)
        for (int j = 0; j < e->x[i].rank; j++) count[e->x[i].name[j]]++;
    e->y.rank = 0;
    for (int i = dots; i-- > 0;) e->y.name[e->y.rank++] = (int8_t)(LETTERS + i);
    for (int name = 0; name < LETTERS; name++) {
        if (count[name] != 1) continue;
        if (e->y.rank < TG_MAX_RANK) e->y.name[e->y.rank] = (int8_t)name;
        e->y.rank++;
    }
}

static tg_code check_result(const reader *r, const equation *e, int dots)
{
    names left = 0, seen = 0;
    for (int i = 0; i < e->n; i++) left |= names_in(&e->x[i]);
    if (e->y.rank > TG_MAX_RANK)
        return tg__fail(r->c, TG_ERROR_SHAPE, "the result would have more than %d axes",
                        TG_MAX_RANK);
    for (int i = 0; i < e->y.rank; i++) {
        const int name = e->y.name[i];
        if (name < LETTERS && !(left & name_bit(name)))
            return tg__fail(r->c, TG_ERROR_ARGUMENT,
                            "the result names axis %c, which no operand has", letters[name]);
        if (seen & name_bit(name))
            return tg__fail(r->c, TG_ERROR_ARGUMENT, "the result names axis %c twice",
                            letters[name]);
        seen |= name_bit(name);
    }
    for (int i = 0; i < dots; i++)
        if (!(seen & name_bit(LETTERS + i)))
            return tg__fail(r->c, TG_ERROR_ARGUMENT,
                            "an operand has axes of '...', which the result does not name");
    return TG_OK;
}

/* What derivatives need room for: the same terms written without "...". */
static tg_code check_length(const tg__call *c, const equation *e)
{
    names all = 0;
    int length = e->n + 3 + e->y.rank;
    for (int i = 0; i < e->n; i++) {
        all |= names_in(&e->x[i]);
        length += e->x[i].rank;
    }
    if (length <= TG_EQUATION && __builtin_popcountll(all) <= LETTERS) return TG_OK;
    return tg__fail(c, TG_ERROR_ARGUMENT,
                    "too many axes: %d different ones, %d letters written out",
                    __builtin_popcountll(all), length);
}

static tg_code read_equation(const tg__call *c, equation *e)
{
    const tg_einsum_attributes *const a = c->attributes;
    reader r = { c, a->equation, a->equation };
    int dots = 0;
    if (!memchr(a->equation, 0, sizeof a->equation))
        return tg__fail(c, TG_ERROR_ARGUMENT, "the equation has more than %d characters",
                        TG_EQUATION - 1);
    if (c->n > TERMS)
        return tg__fail(c, TG_ERROR_ARGUMENT, "%d operands: %d are possible", c->n, TERMS);
    for (int i = 0; i < NAMES; i++) e->dim[i] = -1;
    for (e->n = 0; e->n < c->n; e->n++) {
        if (e->n && *r.at != ',') return unexpected(&r, "',' and a term for every operand");
        if (e->n) r.at++;
        term *const x = &e->x[e->n];
        tg_code code = read_term(&r, e->n, 0, x);
        if (!code) code = note_lengths(&r, e, e->n);
        if (code) return code;
        for (int j = 0; j < x->rank; j++)
            if (x->name[j] - LETTERS >= dots) dots = x->name[j] - LETTERS + 1;
    }
    if (!*r.at) {
        implicit_result(e, dots);
    } else {
        if (strncmp(r.at, "->", 2) != 0) return unexpected(&r, "'->': there are no more operands");
        r.at += 2;
        const tg_code code = read_term(&r, -1, dots, &e->y);
        if (code) return code;
        if (*r.at) return unexpected(&r, "the end");
    }
    const tg_code code = check_result(&r, e, dots);
    return code ? code : check_length(c, e);
}

/* ---- arrays with named axes ------------------------------------------------------------------ */

typedef struct tensor {
    tg__shape s;
    int8_t name[TG_MAX_RANK];
    void *p;
} tensor;

static names names_of(const tensor *x)
{
    names all = 0;
    for (int i = 0; i < x->s.rank; i++) all |= name_bit(x->name[i]);
    return all;
}

static int axis_of(const tensor *x, int name)
{
    for (int i = 0; i < x->s.rank; i++)
        if (x->name[i] == name) return i;
    return -1;
}

/* y = x, as far as its rank goes: see tg__shape_copy. */
static void tensor_copy(tensor *y, const tensor *x)
{
    tg__shape_copy(&y->s, &x->s);
    for (int i = 0; i < x->s.rank; i++) y->name[i] = x->name[i];
    y->p = x->p;
}

/* y = x with each name once: where one is repeated its diagonal, and without axes that broadcast. */
static void name_axes(const equation *e, const term *of, tg__array x, tensor *y)
{
    y->s.type = x.s->type;
    y->s.rank = 0;
    y->s.n = 1;
    y->p = x.p;
    for (int i = 0; i < of->rank; i++) {
        const int name = of->name[i], seen = axis_of(y, name);
        if (x.s->dim[i] != e->dim[name]) continue;
        if (seen >= 0) {
            y->s.stride[seen] += x.s->stride[i];
            continue;
        }
        y->name[y->s.rank] = (int8_t)name;
        y->s.dim[y->s.rank] = x.s->dim[i];
        y->s.stride[y->s.rank++] = x.s->stride[i];
        y->s.n *= x.s->dim[i];
    }
}

/* Some names in an order. */
typedef struct group {
    int n;
    int8_t name[2 * TG_MAX_RANK];
} group;

static void include(group *g, const tensor *x, names wanted)
{
    for (int i = 0; i < x->s.rank; i++) {
        bool there = !(wanted & name_bit(x->name[i]));
        for (int j = 0; j < g->n && !there; j++) there = g->name[j] == x->name[i];
        if (!there) g->name[g->n++] = x->name[i];
    }
}

/* An axis that x does not have repeats it. */
static ptrdiff_t stride_of(const tensor *x, int name)
{
    const int axis = axis_of(x, name);
    return axis < 0 ? 0 : x->s.stride[axis];
}

/* The axes of a group one by one. */
static void seen_by(const equation *e, const tensor *x, const group *g, tg__shape *s)
{
    s->type = x->s.type;
    s->rank = g->n;
    s->n = 1;
    for (int i = 0; i < g->n; i++) {
        s->dim[i] = e->dim[g->name[i]];
        s->stride[i] = stride_of(x, g->name[i]);
        s->n *= s->dim[i];
    }
}

/* The stride of the axes of a group as one; false if they are not. */
static bool joined(const equation *e, const tensor *x, const group *g, ptrdiff_t *stride)
{
    int64_t n = 1;
    *stride = 0;
    for (int i = g->n - 1; i >= 0; i--) {
        const int64_t dim = e->dim[g->name[i]];
        if (dim == 1) continue;
        const ptrdiff_t here = stride_of(x, g->name[i]);
        if (n != 1 && here != *stride * n) return false;
        if (n == 1) *stride = here;
        n *= dim;
    }
    return true;
}

/* A new tensor with the axes of the groups in this order. */
static tg_code make(const tg__call *c, const equation *e, tg_type type, const group *const *g,
                    int groups, tensor *y)
{
    y->s.type = type;
    y->s.rank = 0;
    int rank = 0;
    for (int i = 0; i < groups; i++) rank += g[i]->n;
    if (rank > TG_MAX_RANK)
        return tg__fail(c, TG_ERROR_SHAPE,
                        "a product of operands would have %d axes: %d are possible", rank,
                        TG_MAX_RANK);
    for (int i = 0; i < groups; i++)
        for (int j = 0; j < g[i]->n; j++) {
            y->s.dim[y->s.rank] = e->dim[g[i]->name[j]];
            y->name[y->s.rank++] = g[i]->name[j];
        }
    if (!tg__shape_finish(&y->s))
        return tg__fail(c, TG_ERROR_SHAPE, "a product of operands, shape %s, is too large",
                        TG__SHAPE_TEXT(&y->s));
    y->p = tg__scratch(c, ((size_t)y->s.n + 1) * tg__type_size(type));
    return y->p ? TG_OK : TG_ERROR_MEMORY;
}

/* y = x or y += x, by names; x is repeated along axes that it does not have. */
static void move(const tg__call *c, const equation *e, const tensor *y, const tensor *x, bool add)
{
    group g;
    tg__shape s;
    g.n = 0;
    include(&g, y, ~(names)0);
    seen_by(e, x, &g, &s);
    const tg__array to = { &y->s, y->p }, from = { &s, x->p };
    if (add) tg__add(c->k, to, from);
    else tg__copy(c->k, to, from);
}

/* Makes x such that the axes of two of its three groups are one each. */
static tg_code arrange(const tg__call *c, const equation *e, tensor *x, const group *const *g,
                       ptrdiff_t *stride)
{
    if (joined(e, x, g[1], &stride[0]) && joined(e, x, g[2], &stride[1])) return TG_OK;
    tensor y;
    const tg_code code = make(c, e, x->s.type, g, 3, &y);
    if (code) return code;
    move(c, e, &y, x, false);
    tensor_copy(x, &y);
    joined(e, x, g[1], &stride[0]);
    joined(e, x, g[2], &stride[1]);
    return TG_OK;
}

/* ---- products of two ------------------------------------------------------------------------- */

/* Where a result goes: y = or y +=. */
typedef struct target {
    const tensor *y;
    bool add;
} target;

/* y = or += the products of elements, summed over the axes of all that y does not have. (Where y is not added to, it has
   zeros if there are such.) The last axis should be the one along which elements lie closest. */
static void multiply_elements(const tg__call *c, const equation *e, const target *to,
                              const tensor *a, const tensor *b, const group *all)
{
    tg__shape y, p, q;
    seen_by(e, to->y, all, &y);
    seen_by(e, a, all, &p);
    seen_by(e, b, all, &q);
    const tg__array arrays[] = { { &y, to->y->p }, { &p, a->p }, { &q, b->p } };
    ptrdiff_t row[3];
    tg__walk w;
    tg__walk_begin(&w, 3, arrays);
    const int64_t m = tg__walk_rows(&w, arrays, row);
    do
        c->k->rows.multiply(m, w.n, (tg__rows){ w.p[0], row[0], w.stride[0] },
                            (tg__rows){ w.p[1], row[1], w.stride[1] },
                            (tg__rows){ w.p[2], row[2], w.stride[2] }, to->add);
    while (tg__walk_next(&w));
}

/* So many rows may be added to each other one by one; more are summed by the kernels of matmul, more exactly. */
enum { FEW_ROWS = 256 };

/* The axes of two groups, those of the one last along which x's elements lie closest. */
static void order_groups(const tensor *x, const group *outer, const group *inner, group *all)
{
    const group *first = outer, *second = inner;
    if (outer->n && inner->n) {
        const int i = axis_of(x, outer->name[outer->n - 1]),
                  j = axis_of(x, inner->name[inner->n - 1]);
        if (i >= 0 && x->s.stride[i] == 1 && (j < 0 || x->s.stride[j] != 1))
            first = inner, second = outer;
    }
    all->n = 0;
    for (int i = 0; i < first->n; i++) all->name[all->n++] = first->name[i];
    for (int i = 0; i < second->n; i++) all->name[all->n++] = second->name[i];
}

static tg_code multiply(const tg__call *c, tg__product p, const tg__array *batch)
{
    const tg_type type = c->y.s->type;
    const size_t bytes = tg__multiply_scratch(c->k, type, &p);
    void *const scratch = bytes ? tg__scratch(c, bytes) : NULL;
    if (bytes && !scratch) return TG_ERROR_MEMORY;
    if (batch[0].s->n == 0) return TG_OK;
    tg__walk w;
    tg__walk_begin(&w, 3, batch);
    do tg__multiply_row(c->k, type, p, &w, w.n, scratch); while (tg__walk_next(&w));
    return TG_OK;
}

static int64_t length_of(const equation *e, const group *g)
{
    int64_t n = 1;
    for (int i = 0; i < g->n; i++) n *= e->dim[g->name[i]];
    return n;
}

/* y = products of elements of a and b, with the axes outer, summed over inner. */
static tg_code contract_elements(const tg__call *c, const equation *e, const tensor *a,
                                 const tensor *b, const group *outer, const group *inner,
                                 const target *to, tensor *y)
{
    target made;
    if (!to) {
        const tg_code code = make(c, e, a->s.type, (const group *const[]){ outer }, 1, y);
        if (code) return code;
        made = (target){ y, false };
        to = &made;
    } else {
        tensor_copy(y, to->y);
    }
    target there = *to;
    if (inner->n && !to->add) {
        c->k->fill(y->s.n, y->p, 1, 0); /* what is not added to is adjacent */
        there.add = true;
    }
    group all;
    order_groups(a, outer, inner, &all);
    multiply_elements(c, e, &there, a, b, &all);
    return TG_OK;
}

/* The names of the axes of a product of a and b, by what they are in it. */
typedef struct roles {
    group stack, rows, inner, columns;
} roles;

/* In the order of the result, if that has just these axes (last), else in that of the operands. */
static void find_roles(const tensor *a, const tensor *b, names keep, const tensor *last, roles *r)
{
    const names in_a = names_of(a), in_b = names_of(b);
    r->stack.n = r->rows.n = r->inner.n = r->columns.n = 0;
    include(&r->stack, last ? last : a, in_a & in_b & (last ? ~(names)0 : keep));
    include(&r->rows, last ? last : a, in_a & ~in_b & (last ? ~(names)0 : keep));
    include(&r->columns, last ? last : b, in_b & ~in_a & (last ? ~(names)0 : keep));
    include(&r->inner, a, ~keep);
    include(&r->inner, b, ~keep);
}

/* The product of a and b as a stack of products of matrices (rows, inner) and (inner, columns). last: it lies in `to`, if its
   axes are matrices there. */
static tg_code contract_matrices(const tg__call *c, const equation *e, const tensor *a_, const tensor *b_,
                                 const roles *r, const target *to, bool last, tensor *y)
{
    tensor a, b;
    ptrdiff_t sa[2], sb[2], sy[2];
    tensor_copy(&a, a_);
    tensor_copy(&b, b_);
    tg_code code = arrange(c, e, &a, (const group *const[]){ &r->stack, &r->rows, &r->inner }, sa);
    if (!code)
        code = arrange(c, e, &b, (const group *const[]){ &r->stack, &r->inner, &r->columns }, sb);
    if (code) return code;
    const bool direct =
        last && joined(e, to->y, &r->rows, &sy[0]) && joined(e, to->y, &r->columns, &sy[1]);
    if (direct) {
        tensor_copy(y, to->y);
    } else {
        code = make(c, e, a.s.type, (const group *const[]){ &r->stack, &r->rows, &r->columns }, 3, y);
        if (code) return code;
        joined(e, y, &r->rows, &sy[0]);
        joined(e, y, &r->columns, &sy[1]);
    }
    tg__shape of_y, of_a, of_b;
    seen_by(e, y, &r->stack, &of_y);
    seen_by(e, &a, &r->stack, &of_a);
    seen_by(e, &b, &r->stack, &of_b);
    tg__product p = { length_of(e, &r->rows), length_of(e, &r->columns), length_of(e, &r->inner),
                      { a.p, sa[0], sa[1] },  { b.p, sb[0], sb[1] },     { y->p, sy[0], sy[1] },
                      { 0 } };
    if (direct && to->add) p.d = p.c;
    return multiply(c, p, (const tg__array[]){ { &of_y, y->p }, { &of_a, a.p }, { &of_b, b.p } });
}

/* y = the product of a and b, summed over all names but those kept. It lies in `to`, if that has just its axes. */
static tg_code contract(const tg__call *c, const equation *e, const tensor *a, const tensor *b,
                        names keep, const target *to, tensor *y)
{
    const names in_a = names_of(a), in_b = names_of(b);
    const bool last = to && names_of(to->y) == ((in_a | in_b) & keep);
    roles r;
    find_roles(a, b, keep, last ? to->y : NULL, &r);
    const int64_t m = length_of(e, &r.rows), n = length_of(e, &r.columns), k = length_of(e, &r.inner);
    ptrdiff_t sa, sb;
    const bool sums =
        m == 1 && n == 1 && joined(e, a, &r.inner, &sa) && joined(e, b, &r.inner, &sb);
    const bool dots = sums && sa == 1 && sb == 1, columns_of = sums && k <= FEW_ROWS;
    const bool fits = __builtin_popcountll(in_a | in_b) <= TG_MAX_RANK;
    if (!fits || !((k == 1 && (m == 1 || n == 1)) || dots || columns_of))
        return contract_matrices(c, e, a, b, &r, to, last, y);
    include(&r.stack, a, in_a & ~in_b & keep);
    include(&r.stack, b, in_b & ~in_a & keep);
    return contract_elements(c, e, a, b, &r.stack, &r.inner, last ? to : NULL, y);
}

/* x summed over names that are not kept. */
static tg_code sum_out(const tg__call *c, const equation *e, tensor *x, names keep,
                       const target *to)
{
    static const double one_f64 = 1;
    static const float one_f32 = 1;
    if (!(names_of(x) & ~keep)) return TG_OK;
    const void *const one = x->s.type == TG_F32 ? (const void *)&one_f32 : &one_f64;
    const tensor ones = { .s = { .type = x->s.type, .n = 1 }, .p = (void *)(uintptr_t)one };
    tensor y;
    const tg_code code = contract(c, e, x, &ones, keep, to, &y);
    if (!code) tensor_copy(x, &y);
    return code;
}

/* The names that tensors but two, and the result, still need. */
static names needed(const tensor *x, int n, int i, int j, names wanted)
{
    for (int k = 0; k < n; k++)
        if (k != i && k != j) wanted |= names_of(&x[k]);
    return wanted;
}

enum { LOOK_AHEAD = 8 }; /* tensors among which to choose */

/* Which two of n tensors to multiply next: those with the smallest product. */
static void choose_two(const equation *e, const tensor *x, int n, names wanted, int *first,
                       int *second)
{
    const int few = n < LOOK_AHEAD ? n : LOOK_AHEAD;
    double least = INFINITY;
    if (n == 2) return; /* the first two */
    for (int i = 0; i < few; i++)
        for (int j = i + 1; j < few; j++) {
            double size = 1;
            const names kept = (names_of(&x[i]) | names_of(&x[j])) & needed(x, n, i, j, wanted);
            for (int name = 0; name < NAMES; name++)
                if (kept & name_bit(name)) size *= (double)e->dim[name];
            if (size >= least || __builtin_popcountll(kept) > TG_MAX_RANK) continue;
            least = size;
            *first = i;
            *second = j;
        }
}

/* The product of n tensors, which are used up, summed to the names that the target has, is put or added there: two at a time,
   from left to right, or in the order that is best. */
static tg_code run_whole(const tg__call *c, const equation *e, tensor *x, int n, bool in_order,
                   const target *to)
{
    const names wanted = names_of(to->y);
    for (; n > 1; n--) {
        int i = 0, j = 1;
        if (!in_order) choose_two(e, x, n, wanted, &i, &j);
        const names later = needed(x, n, i, j, wanted);
        tensor y;
        tg_code code = sum_out(c, e, &x[i], later | names_of(&x[j]), NULL);
        if (!code) code = sum_out(c, e, &x[j], later | names_of(&x[i]), NULL);
        if (!code) code = contract(c, e, &x[i], &x[j], later, n == 2 ? to : NULL, &y);
        if (code) return code;
        tensor_copy(&x[i], &y);
        for (int k = j; k + 1 < n; k++) tensor_copy(&x[k], &x[k + 1]);
    }
    const tg_code code = sum_out(c, e, &x[0], wanted, to);
    if (!code && x[0].p != to->y->p) move(c, e, to->y, &x[0], to->add);
    return code;
}

/* Bytes of tensors whose products stay in the second cache. */
enum { BLOCK = 1 << 18 };

/* Whether the product of n tensors may be made for some positions of an axis at a time, with none of its steps done again:
   the axis stays to the end, and no more than one tensor is without it, a small one. What is not added to must stay
   adjacent. */
static bool divides(const tensor *x, int n, bool in_order, const target *to, int name)
{
    const int axis = axis_of(to->y, name);
    const bool stays = axis >= 0 || (in_order && axis_of(&x[n - 1], name) >= 0);
    int without = 0;
    int64_t again = 0;
    for (int i = 0; i < n; i++)
        if (axis_of(&x[i], name) < 0) without++, again = x[i].s.n * (int64_t)tg__type_size(x[i].s.type);
    return (to->add || axis <= 0) && (without == 0 || (without == 1 && stays && again <= BLOCK));
}

static int64_t elements_at(const tensor *x, int name)
{
    const int axis = axis_of(x, name);
    return axis < 0 || x->s.n == 0 ? 0 : x->s.n / x->s.dim[axis];
}

/* The longest such axis, and how many of its positions fit into BLOCK; 0: all of them do, or there is none. */
static int64_t block_of(const equation *e, const tensor *x, int n, bool in_order, const target *to, int *name)
{
    const int64_t size = (int64_t)tg__type_size(x[0].s.type);
    int64_t all = 0, longest = 0;
    for (int i = 0; i < n; i++) all += x[i].s.n;
    for (int k = 0; k < x[0].s.rank && all * size > BLOCK; k++) {
        const int here = x[0].name[k];
        if (e->dim[here] <= longest || !divides(x, n, in_order, to, here)) continue;
        longest = e->dim[here];
        *name = here;
    }
    if (longest == 0) return 0;
    int64_t at = elements_at(to->y, *name);
    for (int i = 0; i < n; i++) at += elements_at(&x[i], *name);
    const int64_t some = 1 + BLOCK / (1 + at * size);
    return 2 * some < longest ? some : 0;
}

/* x between two positions of an axis, as far as it has that. */
static void part_of(const tensor *x, int name, int64_t from, int64_t length, tensor *y)
{
    const int axis = axis_of(x, name);
    tensor_copy(y, x);
    if (axis < 0) return;
    y->s.n = x->s.n / x->s.dim[axis] * length;
    y->s.dim[axis] = length;
    y->p = (char *)x->p + from * x->s.stride[axis] * (ptrdiff_t)tg__type_size(x->s.type);
}

/* The same block by block, where more than two are multiplied: what becomes of the first ones need not go through memory. */
static tg_code run(const tg__call *c, const equation *e, tensor *x, int n, bool in_order, const target *to)
{
    int name = 0;
    const int64_t block = n > 2 ? block_of(e, x, n, in_order, to, &name) : 0;
    if (block == 0) return run_whole(c, e, x, n, in_order, to);
    tensor *const part = tg__scratch(c, (size_t)n * sizeof *part), y;
    if (!part) return TG_ERROR_MEMORY;
    const size_t used = c->scratch->used;
    const bool sums = axis_of(to->y, name) < 0;
    equation some = *e;
    tg_code code = TG_OK;
    for (int64_t from = 0; from < e->dim[name] && !code; from += block) {
        const int64_t length = e->dim[name] - from < block ? e->dim[name] - from : block;
        some.dim[name] = length;
        for (int i = 0; i < n; i++) part_of(&x[i], name, from, length, &part[i]);
        part_of(to->y, name, from, length, &y);
        code = run_whole(c, &some, part, n, in_order, &(target){ &y, to->add || (sums && from > 0) });
        c->scratch->used = used;
    }
    return code;
}

/* ---- einsum ---------------------------------------------------------------------------------- */

/* Corner: a letter of two lengths is an error, also if one of them is 1: only axes of '...'
   broadcast. */
TG_OP(einsum, "l*", einsum, "products summed over named axes, in NumPy's notation: ij,jk->ik")

SHAPE(einsum)
{
    equation e;
    const tg_code code = read_equation(c, &e);
    if (code) return code;
    y->type = c->x[0].s->type;
    y->rank = e.y.rank;
    for (int i = 0; i < y->rank; i++) y->dim[i] = e.dim[e.y.name[i]];
    return TG_OK;
}

FORWARD(einsum)
{
    equation e;
    const tg_code code = read_equation(c, &e);
    tensor *const x = tg__scratch(c, (size_t)c->n * sizeof *x);
    if (code) return code;
    if (!x) return TG_ERROR_MEMORY;
    tensor y;
    name_axes(&e, &e.y, c->y, &y);
    for (int i = 0; i < c->n; i++) name_axes(&e, &e.x[i], c->x[i], &x[i]);
    return run(c, &e, x, c->n, true, &(target){ &y, false });
}

/* The gradient by one operand is the product of g and of all others, summed to what it has. */
BACKWARD(einsum)
{
    equation e;
    tg_code code = read_equation(c, &e);
    tensor *const x = tg__scratch(c, (size_t)c->n * sizeof *x);
    if (code) return code;
    if (!x) return TG_ERROR_MEMORY;
    const tg__array g = { c->y.s, (void *)(uintptr_t)c->g };
    const size_t used = c->scratch->used;
    for (int i = 0; i < c->n && !code; i++) {
        if (!c->dx[i].p) continue;
        tensor dx;
        int n = 0;
        name_axes(&e, &e.y, g, &x[n++]);
        for (int j = 0; j < c->n; j++)
            if (j != i) name_axes(&e, &e.x[j], c->x[j], &x[n++]);
        name_axes(&e, &e.x[i], c->dx[i], &dx);
        code = run(c, &e, x, n, false, &(target){ &dx, true });
        c->scratch->used = used;
    }
    return code;
}

/* ---- the same recorded ----------------------------------------------------------------------- */

/* An equation that is being written. */
typedef struct writer {
    tg_einsum_attributes a;
    int length;
    char letter[NAMES]; /* axes of "..." get letters that are free */
} writer;

static void choose_letters(const equation *e, writer *w)
{
    names used = names_in(&e->y);
    for (int i = 0; i < e->n; i++) used |= names_in(&e->x[i]);
    int next = 0;
    for (int name = 0; name < NAMES; name++) {
        w->letter[name] = name < LETTERS ? letters[name] : 0;
        if (name < LETTERS || !(used & name_bit(name))) continue;
        while (used & name_bit(next)) next++;
        w->letter[name] = letters[next++];
    }
}

static void write_name(writer *w, int name)
{
    w->a.equation[w->length++] = w->letter[name];
    w->a.equation[w->length] = 0;
}

/* Writes x's term, without the axes that broadcast; returns x without them. */
static tg_value write_operand(const tg__derivation *d, writer *w, const equation *e, const term *of,
                              tg_value x, bool first)
{
    const tg__shape s = *tg__shape_of(d, x);
    int64_t dim[TG_MAX_RANK];
    int rank = 0;
    if (!first) w->a.equation[w->length++] = ',';
    for (int i = 0; i < of->rank && i < s.rank; i++) {
        if (s.dim[i] != e->dim[of->name[i]]) continue;
        write_name(w, of->name[i]);
        dim[rank++] = s.dim[i];
    }
    return rank == s.rank ? x : tg__reshaped(d, x, rank, dim);
}

/* y, which has those axes of operand i that are in `present`, in i's shape, or one that broadcasts
   to it; the others repeat it, and where a name is repeated y lies on the diagonal. */
static tg_value expand(const tg__derivation *d, const equation *e, int i, names present, tg_value y)
{
    const tg__shape x = *tg__shape_of(d, d->x[i]);
    tg_strided_attributes a = { .whole_rank = x.rank };
    tg__shape whole = x, full = { .type = x.type }, now;
    int8_t name[TG_MAX_RANK];
    tg__shape_finish(&whole);
    now = full;
    for (int j = 0; j < x.rank; j++) {
        int seen = 0;
        while (seen < full.rank && name[seen] != e->x[i].name[j]) seen++;
        a.whole[j] = x.dim[j];
        if (seen < full.rank) {
            a.stride[seen] += whole.stride[j];
            continue;
        }
        name[seen] = e->x[i].name[j];
        a.stride[seen] = whole.stride[j];
        a.dim[seen] = full.dim[seen] = x.dim[j];
        now.dim[seen] = present & name_bit(name[seen]) ? x.dim[j] : 1;
        a.rank = now.rank = ++full.rank;
    }
    y = tg__reshaped(d, y, now.rank, now.dim);
    return full.rank == x.rank ? tg__broadcasted(d, y, &full)
                               : d_strided_sum(d, tg__broadcasted(d, y, &full), &a);
}

/* The operands' shapes and the attributes as read_equation takes them. */
static void read_again(const tg__derivation *d, equation *e)
{
    tg__array x[TERMS];
    tg__shape shape[TERMS];
    char message[256];
    for (int i = 0; i < d->n; i++) {
        shape[i] = *tg__shape_of(d, d->x[i]);
        x[i] = (tg__array){ &shape[i], NULL };
    }
    const tg__call c = { .attributes = d->attributes,
                         .n = d->n,
                         .x = x,
                         .message = message,
                         .message_size = sizeof message };
    (void)read_equation(&c, e); /* it went well when the op was recorded */
}

DERIVATIVE(einsum)
{
    equation e;
    read_again(d, &e);
    for (int i = 0; i < d->n; i++) {
        if (!d->wanted[i]) continue;
        tg_value x[TERMS];
        writer w = { .length = 0 };
        names there = names_in(&e.y), present = 0;
        int n = 0;
        choose_letters(&e, &w);
        x[n++] = write_operand(d, &w, &e, &e.y, d->g, true);
        for (int j = 0; j < d->n; j++) {
            if (j == i) continue;
            x[n++] = write_operand(d, &w, &e, &e.x[j], d->x[j], false);
            const tg__shape s = *tg__shape_of(d, d->x[j]);
            for (int k = 0; k < s.rank; k++)
                if (s.dim[k] == e.dim[e.x[j].name[k]]) there |= name_bit(e.x[j].name[k]);
        }
        memcpy(w.a.equation + w.length, "->", 3);
        w.length += 2;
        const tg__shape s = *tg__shape_of(d, d->x[i]);
        for (int j = 0; j < s.rank; j++) {
            const names bit = name_bit(e.x[i].name[j]);
            if (!(there & bit & ~present) || s.dim[j] != e.dim[e.x[i].name[j]]) continue;
            present |= bit;
            write_name(&w, e.x[i].name[j]);
        }
        d->dx[i] = expand(d, &e, i, present, d_einsum(d, x, n, &w.a));
    }
}

#define EQUATION(TEXT) ATTRIBUTES(einsum, .equation = TEXT)
CASES(einsum,
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 3), TENSOR(-2, 2, 3, 4) },
        .attributes = EQUATION("ij,jk->ik") },
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 3), TENSOR(-2, 2, 3, 2) },
        .attributes = EQUATION("ij,ji") },
      { .n = 1, .x = { TENSOR(-2, 2, 3, 3) }, .attributes = EQUATION("ii->i") },
      { .n = 1, .x = { TENSOR(-2, 2, 2, 3, 2) }, .attributes = EQUATION("iji->j") },
      { .n = 1, .x = { TENSOR(-2, 2, 2, 3, 2) }, .attributes = EQUATION("abc->ca") },
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 2, 3), TENSOR(-2, 2, 3, 4) },
        .attributes = EQUATION("aaj,jk->ka") },
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 3, 4), TENSOR(-2, 2, 1, 4, 2) },
        .attributes = EQUATION("...ij,...jk") },
      { .n = 3,
        .x = { TENSOR(-2, 2, 2, 3), TENSOR(-2, 2, 3, 2), TENSOR(-2, 2, 2) },
        .attributes = EQUATION("ij,jk,l->kl") },
      { .n = 3,
        .x = { TENSOR(-2, 2, 2, 3), TENSOR(-2, 2, 2, 2), SCALAR(-2, 2) },
        .attributes = EQUATION("bi,bj,->bij") },
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 3), TENSOR(-2, 2, 3, 2) },
        .attributes = EQUATION("ij,ji->ij") },
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 3), TENSOR(-2, 2, 2, 3) },
        .attributes = EQUATION("ij,ij->i") },
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 3), TENSOR(-2, 2, 2, 3) },
        .attributes = EQUATION("ij,ij->j") },
      { .n = 3,
        .x = { TENSOR(-2, 2, 3, 2), TENSOR(-2, 2, 2, 2), TENSOR(-2, 2, 3, 2) },
        .attributes = EQUATION("bi,ij,bj->b") },
      { .n = 4,
        .x = { TENSOR(-2, 2, 2, 3), TENSOR(-2, 2, 3, 2, 2), TENSOR(-2, 2, 2), TENSOR(-2, 2, 2, 3) },
        .attributes = EQUATION("ai,iab,b,bj->j") },
      { .n = 2,
        .x = { TENSOR(-2, 2, 2, 0), TENSOR(-2, 2, 0, 3) },
        .attributes = EQUATION("ij,jk->ik") },
      { .n = 2, .x = { TENSOR(-2, 2, 0, 2), TENSOR(-2, 2, 2) }, .attributes = EQUATION("ij,j->i") },
      { .n = 2, .x = { SCALAR(-2, 2), TENSOR(-2, 2, 3) }, .attributes = EQUATION(",i->i") })
