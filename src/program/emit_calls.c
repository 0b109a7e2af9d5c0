/* Programs as operations: functions that the function calls. The result is a vector of all that is made,
   parts of which others look at. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/emit.h"
#include "program/scan.h"

/* ---- functions ------------------------------------------------------------------------------------ */

static bool written(tg__emitter *e, const tg_program *p, bool one, tg__emitted *f)
{
    tg__emission *const all = e->all;
    const tg__emitted *const list = (const tg__emitted *)(void *)all->functions.data;
    const size_t n = all->functions.used / sizeof *list;
    for (size_t i = 0; i < n; i++)
        if (list[i].program == p && list[i].one == one) {
            *f = list[i];
            return true;
        }
    *f = (tg__emitted){ .program = p, .number = ++all->numbers, .one = one };
    tg_status status;
    if (!tg__emit_program(all, f, &status)) {
        e->g->site = 0;
        tg__graph_fail(e->g, status.code, "%s", status.message);
        return false;
    }
    const size_t used = all->functions.used;
    if (!tg__arena_grow(&all->functions, used + sizeof *f))
        return tg__graph_fail(e->g, TG_ERROR_MEMORY, "no memory");
    memcpy(all->functions.data + used, f, sizeof *f);
    all->functions.used = used + sizeof *f;
    return true;
}

bool tg__emit_called(tg__emitter *e, const tg_program *p, bool one, tg__emitted *f)
{
    if (!written(e, p, one, f)) return false;
    e->made.fails = e->made.fails || f->fails;
    e->made.draws = e->made.draws || f->draws;
    if (f->bytes > e->deepest) e->deepest = f->bytes;
    return true;
}

/* ---- arguments ------------------------------------------------------------------------------------ */

/* Whether the elements of an operand are not where a pointer could find them: adjacent, of its type. */
static bool is_apart(const tg__emitter *e, uint32_t x)
{
    const tg__shape *const s = tg__node_shape(e->g, x);
    const bool sum = tg__node_at(e->g, tg__node_owner(e->g, x))->op == TG__NODE_SUM;
    return s->rank && (!tg__shape_contiguous(s) || (sum && e->g->type == TG_F32));
}

static const char *type_of(const tg__emitter *e, uint32_t x)
{
    return tg__node_shape(e->g, x)->type == TG_I64 ? "int64_t" : e->real;
}

void tg__copy_elements(tg__emitter *e, const char *name, int64_t offset, uint32_t x)
{
    static const int in_order[TG_MAX_RANK] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    const tg__shape *const s = tg__node_shape(e->g, x);
    tg__nest t;
    tg__nest_over(&t, s);
    tg__nest_add(e, &t, x, s, in_order);
    tg__nest_index(&t, 0);
    t.access[1].offset = offset;
    tg__nest_merge(&t);
    const int loops = t.rank;
    tg__open_loops(e, &t, 0, loops, false);
    tg__write_line(e, "%s[", name);
    tg__emit_index(e, &t, 1);
    tg__write(e, "] = ");
    tg__emit_access(e, &t, 0, NULL);
    tg__write(e, ";");
    tg__close_loops(e, loops, false);
}

/* "c5_1": the copy of operand number which. */
static void name_copy(const tg__writing *w, uint32_t which, char name[40])
{
    snprintf(name, 40, "c%u_%u", w->id, which);
}

void tg__copy_operands(const tg__writing *w)
{
    tg__emitter *const e = w->e;
    char name[40];
    for (uint32_t j = 0; j < w->n - tg__emit_unused(e, w->id); j++) {
        if (!is_apart(e, w->x[j])) continue;
        const int64_t n = tg__shape_in(w, j)->n;
        name_copy(w, j, name);
        e->bytes += (size_t)n * 8;
        tg__write_line(e, "%s %s[%" PRId64 "];", type_of(e, w->x[j]), name, n ? n : 1);
        tg__copy_elements(e, name, 0, w->x[j]);
    }
}

void tg__write_pointer(const tg__writing *w, uint32_t which, const char *more)
{
    tg__emitter *const e = w->e;
    const uint32_t x = w->x[which], owner = tg__node_owner(e->g, x);
    const tg__node *const node = tg__node_at(e->g, owner);
    const tg__nest t = { .access = { { .node = x, .offset = tg__node_offset(e->g, x) } } };
    char name[40];
    name_copy(w, which, name);
    if (is_apart(e, x)) {
        tg__write(e, "%s%s%s", name, more ? " + " : "", more ? more : "");
        return;
    }
    const bool sum = node->op == TG__NODE_SUM && e->g->type == TG_F32;
    const bool number = node->op == TG__NODE_CONSTANT || node->op == TG__NODE_COUNT || sum;
    const bool literal = number && !tg__has_axes(e, owner);
    const size_t begin = e->to->used;
    if (literal) tg__write(e, "&(const %s){ ", type_of(e, x));
    else tg__write(e, "&");
    tg__emit_access(e, &t, 0, more);
    if (literal) tg__write(e, " }");
    /* "&x3[0]" is x3. */
    const size_t n = e->to->used - begin;
    char *const text = e->to->data + begin;
    if (tg__graph_failed(e->g) || n < 4 || memcmp(text + n - 3, "[0]", 3) != 0) return;
    memmove(text, text + 1, n - 4);
    e->to->used -= 4;
}

void tg__write_element(const tg__writing *w, uint32_t which, const char *index)
{
    const uint32_t x = w->x[which];
    const tg__nest t = { .access = { { .node = x, .offset = tg__node_offset(w->e->g, x) } } };
    char name[40];
    name_copy(w, which, name);
    if (is_apart(w->e, x)) tg__write(w->e, "%s[%s]", name, index);
    else tg__emit_access(w->e, &t, 0, index);
}

void tg__write_place(tg__emitter *e, const char *name, uint32_t id, int64_t offset)
{
    tg__write(e, "%s%u", name, id);
    if (offset) tg__write(e, " + %" PRId64, offset);
}

void tg__name_place(int64_t n, char text[40])
{
    if (n == 1) snprintf(text, 40, "place");
    else snprintf(text, 40, "%" PRId64 " * place", n);
}

void tg__open_call(tg__emitter *e, const tg__emitted *f)
{
    tg__write_line(e, "%s", f->fails ? "if (!" : "");
    tg__write_name(e, f);
    tg__write(e, "(");
}

void tg__close_call(tg__emitter *e, const tg__emitted *f)
{
    tg__write(e, f->fails ? ")) return false;" : ");");
}

enum { LINE = 84 }; /* characters, behind which a line goes on below */

void tg__separate(tg__emitter *e, bool *first)
{
    size_t length = 0;
    while (length < e->to->used && e->to->data[e->to->used - 1 - length] != '\n') length++;
    if (!*first) tg__write(e, ",");
    if (!*first && length > LINE) tg__write_line(e, "        ");
    else if (!*first) tg__write(e, " ");
    *first = false;
}

/* ---- one call ------------------------------------------------------------------------------------- */

static void write_call(const tg__writing *w)
{
    tg__emitter *const e = w->e;
    const tg_call_attributes *const a = w->attributes;
    const tg_program *const p = a->what;
    const bool one = a->flags & TG__CALL_ONE;
    int64_t count = 1, offset = 0;
    tg__emitted f;
    if (!tg__emit_called(e, p, one, &f)) return;
    for (uint32_t j = p->n_inputs; j-- > 0 && !one;)
        if (tg__node_at(&p->graph, p->input[j])->stage == TG__BODY) count = tg__shape_in(w, j)->dim[0];
    tg__declare(e, w->id, false);
    tg__copy_operands(w);
    tg__open_call(e, &f);
    bool first = true;
    if (!one) tg__separate(e, &first), tg__write(e, "%" PRId64, count);
    if (f.draws) tg__separate(e, &first), tg__write(e, "run");
    for (uint32_t j = 0; j < w->n; j++) tg__separate(e, &first), tg__write_pointer(w, j, NULL);
    for (uint32_t j = 0; j < p->n_outputs; j++) {
        tg__separate(e, &first);
        tg__write_place(e, "v", w->id, offset);
        offset += tg__output_shape(p, j)->n * (p->each[j] && !one ? count : 1);
    }
    tg__close_call(e, &f);
}

uint32_t tg__emit_unused(const tg__emitter *e, uint32_t id)
{
    const tg__node *const node = tg__node_at(e->g, id);
    if (node->op != TG__CODE_call) return 0;
    const tg_call_attributes *const a = tg__node_data(e->g, node);
    return a->callee == &tg__scan_gradient && !(a->flags & TG__CALL_STOP);
}

bool tg__emit_call_op(const tg__writing *w, int code)
{
    if (code != TG__CODE_call) return false;
    const tg__callee *const callee = ((const tg_call_attributes *)w->attributes)->callee;
    if (callee == &tg__scanned) tg__emit_scan(w);
    else if (callee == &tg__scan_gradient) tg__emit_scan_gradient(w);
    else if (callee == &tg__called) write_call(w);
    else return false; /* functions that record have become part of the graph */
    return true;
}
