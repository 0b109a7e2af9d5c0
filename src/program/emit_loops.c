/* Elements in C: where they lie, the loops over them, expressions made of them. */
#include <inttypes.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/emit.h"

static const char loop_name[] = "jklmnopqrstuvwxz";

/* ---- nests ------------------------------------------------------------------------------------- */

void tg__nest_add(const tg__emitter *e, tg__nest *t, uint32_t node, const tg__shape *s,
                  const int *loop)
{
    const tg__shape seen = tg__broadcast_to(tg__node_shape(e->g, node), s);
    tg__access *const a = &t->access[t->n++];
    *a = (tg__access){ .node = node, .offset = tg__node_offset(e->g, node) };
    for (int i = 0; i < t->rank; i++) a->stride[i] = loop[i] < 0 ? 0 : seen.stride[loop[i]];
}

bool tg__is_expression(const tg__emitter *e, uint32_t node)
{
    const tg__op *const op = tg__node_op(tg__node_at(e->g, node));
    return op && op->kind == TG__MAP;
}

void tg__nest_add_leaves(const tg__emitter *e, tg__nest *t, uint32_t node, const tg__shape *s,
                         const int *loop)
{
    const tg__node *const of = tg__node_at(e->g, node);
    for (uint32_t j = 0; j < tg__node_n(of); j++) {
        const uint32_t x = tg__node_operands(e->g, of)[j];
        if (e->inlined[x]) tg__nest_add_leaves(e, t, x, s, loop);
        else tg__nest_add(e, t, x, s, loop);
    }
}

void tg__nest_over(tg__nest *t, const tg__shape *s)
{
    t->rank = t->outer = s->rank;
    t->n = t->next = 0;
    for (int i = 0; i < s->rank; i++) t->dim[i] = s->dim[i];
}

static void remove_loop(tg__nest *t, int loop)
{
    for (int i = loop; i + 1 < t->rank; i++) {
        t->dim[i] = t->dim[i + 1];
        for (int j = 0; j < t->n; j++) t->access[j].stride[i] = t->access[j].stride[i + 1];
    }
    t->rank--;
    if (loop < t->outer) t->outer--;
}

/* Whether loops i and i + 1 walk every array as one loop does. */
static bool walks_as_one(const tg__nest *t, int i)
{
    if (i + 1 == t->outer) return false;
    for (int j = 0; j < t->n; j++)
        if (t->access[j].stride[i] != t->access[j].stride[i + 1] * t->dim[i + 1]) return false;
    return true;
}

void tg__nest_merge(tg__nest *t)
{
    for (int i = t->rank; i-- > 0;)
        if (t->dim[i] == 1) remove_loop(t, i);
    for (int i = t->rank - 1; i-- > 0;) {
        if (!walks_as_one(t, i)) continue;
        t->dim[i + 1] *= t->dim[i];
        remove_loop(t, i);
    }
}

void tg__open_loops(tg__emitter *e, const tg__nest *t, int from, int to, bool block)
{
    for (int i = from; i < to; i++) {
        const char v = loop_name[i];
        tg__write_line(e, "for (int %c = 0; %c < %" PRId64 "; %c++)%s", v, v, t->dim[i], v,
                      block ? " {" : "");
        e->depth++;
    }
}

void tg__close_loops(tg__emitter *e, int loops, bool block)
{
    while (loops-- > 0) {
        e->depth--;
        if (block) tg__write_line(e, "}");
    }
}

/* ---- elements ---------------------------------------------------------------------------------- */

bool tg__has_axes(const tg__emitter *e, uint32_t id)
{
    return tg__node_shape(e->g, id)->rank > 0;
}

/* A sum of products of loops, as an index. */
static void write_index(tg__emitter *e, const tg__nest *t, const tg__access *a, const char *before,
                        const char *after)
{
    bool first = !before;
    if (before) tg__write(e, "%s", before);
    bool negative = false;
    for (int i = 0; i < t->rank; i++) negative |= a->stride[i] < 0;
    if (negative && a->offset) { /* what is subtracted comes second */
        tg__write(e, "%s%" PRId64, first ? "" : " + ", a->offset);
        first = false;
    }
    for (int i = 0; i < t->rank; i++) {
        const int64_t step = a->stride[i], size = step < 0 ? -step : step;
        if (step == 0) continue;
        tg__write(e, "%s", first ? (step < 0 ? "-" : "") : step < 0 ? " - " : " + ");
        if (size != 1) tg__write(e, "%" PRId64 " * ", size);
        tg__write(e, "%c", loop_name[i]);
        first = false;
    }
    if (!negative && a->offset) {
        const bool minus = a->offset < 0 && !first;
        tg__write(e, "%s%" PRId64, first ? "" : minus ? " - " : " + ", minus ? -a->offset : a->offset);
        first = false;
    }
    if (after) tg__write(e, "%s%s", first ? "" : " + ", after);
    else if (first) tg__write(e, "0");
}

static void write_input(tg__emitter *e, const tg__nest *t, const tg__access *a, uint32_t owner,
                        const char *more)
{
    const tg__node *const node = tg__node_at(e->g, owner);
    const int64_t n = tg__node_shape(e->g, owner)->n;
    char before[40] = "i";
    if (n != 1) snprintf(before, sizeof before, "%" PRId64 " * i", n);
    tg__write(e, "x%u[", tg__node_word(e->g, node));
    write_index(e, t, a, node->stage == TG__BODY ? before : NULL, more);
    tg__write(e, "]");
}

void tg__emit_access(tg__emitter *e, const tg__nest *t, int i, const char *more)
{
    const tg__access *const a = &t->access[i];
    const uint32_t owner = tg__node_owner(e->g, a->node);
    const tg__node *const node = tg__node_at(e->g, owner);
    const tg__shape *const s = tg__node_shape(e->g, owner);
    if (node->op == TG__NODE_SUM && e->g->type == TG_F32) tg__write(e, "(float)");
    if (node->op == TG__NODE_INPUT) {
        write_input(e, t, a, owner, more);
    } else if (node->op == TG__NODE_COUNT) {
        tg__write(e, "(%s)count", e->real);
    } else if (node->op == TG__NODE_CONSTANT && s->rank == 0 && s->type != TG_I64) {
        const void *const p = tg__node_constant(e->g, owner);
        tg__emit_number(e, s->type == TG_F64 ? *(const double *)p : (double)*(const float *)p);
    } else if (node->op == TG__NODE_CONSTANT && s->rank == 0) {
        tg__write(e, "%" PRId64, *(const int64_t *)tg__node_constant(e->g, owner));
    } else if (s->rank == 0) {
        tg__write(e, "v%u", owner);
    } else {
        tg__write(e, "v%u[", owner);
        write_index(e, t, a, NULL, more);
        tg__write(e, "]");
    }
}

void tg__emit_index(tg__emitter *e, const tg__nest *t, int i)
{
    write_index(e, t, &t->access[i], NULL, NULL);
}

/* ---- expressions ------------------------------------------------------------------------------- */

enum { SUM = 1, PRODUCT, UNARY, PRIMARY }; /* how tightly an expression holds together */

/* The operator of an op, and what it binds; NULL: it is a function. */
static const char *operator_of(int code, int *binds)
{
    *binds = code == TG__CODE_add || code == TG__CODE_sub ? SUM : PRODUCT;
    switch (code) {
    case TG__CODE_add: return " + ";
    case TG__CODE_sub: return " - ";
    case TG__CODE_mul: return " * ";
    case TG__CODE_div: return " / ";
    default: return NULL;
    }
}

static void write_node(tg__emitter *e, tg__nest *t, uint32_t node, int least);

static void write_operand(tg__emitter *e, tg__nest *t, uint32_t x, int least)
{
    if (e->inlined[x]) {
        write_node(e, t, x, least);
        return;
    }
    const size_t at = e->to->used;
    tg__emit_access(e, t, t->next++, NULL);
    /* Numbers below 0, and casts. */
    const bool unary = !tg__graph_failed(e->g) && (e->to->data[at] == '-' || e->to->data[at] == '(');
    if (least < PRIMARY || !unary) return;
    char own[64];
    const size_t n = e->to->used - at;
    if (n >= sizeof own) return;
    memcpy(own, e->to->data + at, n);
    own[n] = 0;
    e->to->used = at;
    tg__write(e, "(%s)", own);
}

static void write_node(tg__emitter *e, tg__nest *t, uint32_t node, int least)
{
    const tg__node *const of = tg__node_at(e->g, node);
    const uint32_t *const x = tg__node_operands(e->g, of);
    int binds;
    const char *const infix = operator_of(of->op, &binds);
    if (of->op == TG__CODE_square && !e->inlined[x[0]]) { /* a product, of what is easily said twice */
        if (least > PRODUCT) tg__write(e, "(");
        tg__emit_access(e, t, t->next, NULL);
        tg__write(e, " * ");
        tg__emit_access(e, t, t->next++, NULL);
        if (least > PRODUCT) tg__write(e, ")");
        return;
    }
    if (!infix && of->op != TG__CODE_neg) {
        tg__emit_function(e, of->op);
        tg__write(e, "(");
        for (uint32_t j = 0; j < tg__node_n(of); j++) {
            if (j) tg__write(e, ", ");
            write_operand(e, t, x[j], 0);
        }
        tg__write(e, ")");
        return;
    }
    if (!infix) binds = UNARY;
    if (binds < least) tg__write(e, "(");
    if (infix) {
        write_operand(e, t, x[0], binds);
        tg__write(e, "%s", infix);
        write_operand(e, t, x[1], binds + 1);
    } else {
        tg__write(e, "-");
        write_operand(e, t, x[0], PRIMARY);
    }
    if (binds < least) tg__write(e, ")");
}

void tg__emit_expression(tg__emitter *e, tg__nest *t, uint32_t node)
{
    write_node(e, t, node, 0);
}

/* ---- arrays ------------------------------------------------------------------------------------ */

void tg__declare(tg__emitter *e, uint32_t id, bool zero)
{
    const tg__shape *const s = tg__node_shape(e->g, id);
    const int64_t n = s->n ? s->n : 1;
    const bool wide = s->type == TG_F64 || tg__node_at(e->g, id)->op == TG__NODE_SUM;
    const char *const type = s->type == TG_I64 ? "int64_t" : wide ? "double" : "float";
    e->bytes += (size_t)n * (wide ? 8 : tg__type_size(s->type));
    if (s->rank == 0) tg__write_line(e, "%s v%u%s;", type, id, zero ? " = 0" : "");
    else tg__write_line(e, "%s v%u[%" PRId64 "]%s; /* %s */", type, id, n, zero ? " = { 0 }" : "",
                       TG__SHAPE_TEXT(s));
}

void tg__declare_room(tg__emitter *e, const char *type, const char *name, uint32_t id, int64_t n)
{
    if (n < 1) n = 1;
    e->bytes += (size_t)n * (strcmp(type, "float") == 0 || strcmp(type, "int") == 0 ? 4 : 8);
    tg__write_line(e, "%s %s%u[%" PRId64 "];", type, name, id, n);
}

void tg__emit_map(tg__emitter *e, uint32_t id)
{
    const tg__shape *const s = tg__node_shape(e->g, id);
    const int loop[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    tg__nest t;
    tg__nest_over(&t, s);
    if (s->rank > 0) {
        tg__declare(e, id, false);
        tg__nest_add(e, &t, id, s, loop);
        t.next = 1;
    }
    tg__nest_add_leaves(e, &t, id, s, loop);
    tg__nest_merge(&t);
    const int loops = t.rank;
    tg__open_loops(e, &t, 0, loops, false);
    if (s->rank > 0) {
        tg__write_line(e, "%s", "");
        tg__emit_access(e, &t, 0, NULL);
        tg__write(e, " = ");
    } else {
        tg__write_line(e, "const %s v%u = ", e->real, id);
    }
    tg__emit_expression(e, &t, id);
    tg__write(e, ";");
    tg__close_loops(e, loops, false);
}
