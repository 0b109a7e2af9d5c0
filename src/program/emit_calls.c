/* Programs as operations: functions that the function calls, and loops that call one in each step. The
   result is a vector of all that is made (see scan.h), parts of which others look at. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/emit.h"
#include "program/scan.h"

/* ---- functions ------------------------------------------------------------------------------------ */

/* The function of p, written if it has not been; false with the graph's error. */
static bool called(tg__emitter *e, const tg_program *p, bool one, tg__emitted *f)
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

/* What a function that calls another one has of it. */
static void take_over(tg__emitter *e, const tg__emitted *f)
{
    e->made.fails = e->made.fails || f->fails;
    e->made.draws = e->made.draws || f->draws;
    if (f->bytes > e->deepest) e->deepest = f->bytes;
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

/* name[offset + j] = the elements of x, row-major. */
static void copy_elements(tg__emitter *e, const char *name, int64_t offset, uint32_t x)
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

static void copy_operands(const tg__writing *w)
{
    tg__emitter *const e = w->e;
    char name[40];
    for (uint32_t j = 0; j < w->n; j++) {
        if (!is_apart(e, w->x[j])) continue;
        const int64_t n = tg__shape_in(w, j)->n;
        name_copy(w, j, name);
        e->bytes += (size_t)n * 8;
        tg__write_line(e, "%s %s[%" PRId64 "];", type_of(e, w->x[j]), name, n ? n : 1);
        copy_elements(e, name, 0, w->x[j]);
    }
}

/* A pointer to operand number which, and `more` elements on, if that is not NULL. */
static void write_pointer(const tg__writing *w, uint32_t which, const char *more)
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

/* "v5 + 12" */
static void write_place(tg__emitter *e, const char *name, uint32_t id, int64_t offset)
{
    tg__write(e, "%s%u", name, id);
    if (offset) tg__write(e, " + %" PRId64, offset);
}

/* "3 * place" */
static void name_place(int64_t n, char text[40])
{
    if (n == 1) snprintf(text, 40, "place");
    else snprintf(text, 40, "%" PRId64 " * place", n);
}

/* "fit_step1(", or of one that may fail "if (!fit_step1(" */
static void open_call(tg__emitter *e, const tg__emitted *f)
{
    tg__write_line(e, "%s", f->fails ? "if (!" : "");
    tg__write_name(e, f);
    tg__write(e, "(");
}

static void close_call(tg__emitter *e, const tg__emitted *f)
{
    tg__write(e, f->fails ? ")) return false;" : ");");
}

enum { LINE = 84 }; /* characters, behind which a line goes on below */

/* ", ", but before the first. */
static void separate(tg__emitter *e, bool *first)
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
    if (!called(e, p, one, &f)) return;
    take_over(e, &f);
    for (uint32_t j = p->n_inputs; j-- > 0 && !one;)
        if (tg__node_at(&p->graph, p->input[j])->stage == TG__BODY) count = tg__shape_in(w, j)->dim[0];
    tg__declare(e, w->id, false);
    copy_operands(w);
    open_call(e, &f);
    bool first = true;
    if (!one) separate(e, &first), tg__write(e, "%" PRId64, count);
    if (f.draws) separate(e, &first), tg__write(e, "run");
    for (uint32_t j = 0; j < w->n; j++) separate(e, &first), write_pointer(w, j, NULL);
    for (uint32_t j = 0; j < p->n_outputs; j++) {
        separate(e, &first);
        write_place(e, "v", w->id, offset);
        offset += tg__output_shape(p, j)->n * (p->each[j] && !one ? count : 1);
    }
    close_call(e, &f);
}

/* ---- loops ---------------------------------------------------------------------------------------- */

typedef struct scan {
    const tg__writing *w;
    tg__loop k;
    tg__emitted body;
    bool keeps; /* all states, for the gradient */
    bool stops, counted, reverse;
} scan;

/* "name5[j + to] operation from5[j + of];" for n elements. */
static void write_moves(const scan *s, int64_t n, const char *name, int64_t to, const char *operation,
                        const char *from, int64_t of)
{
    tg__emitter *const e = s->w->e;
    const uint32_t id = s->w->id;
    tg__nest t = { .rank = 1, .outer = 1, .n = 2, .dim = { n } };
    t.access[0] = (tg__access){ .offset = to, .stride = { 1 } };
    t.access[1] = (tg__access){ .offset = of, .stride = { 1 } };
    if (n == 0) return;
    tg__nest_merge(&t);
    const int loops = t.rank;
    tg__open_loops(e, &t, 0, loops, false);
    tg__write_line(e, "%s%u[", name, id);
    tg__emit_index(e, &t, 0);
    tg__write(e, "] %s %s%u[", operation, from, id);
    tg__emit_index(e, &t, 1);
    tg__write(e, "];");
    tg__close_loops(e, loops, false);
}

/* The states before a step, into the result. */
static void write_kept(const scan *s)
{
    tg__emitter *const e = s->w->e;
    const uint32_t id = s->w->id;
    int64_t at = 0;
    char more[40];
    for (uint32_t i = 0; i < s->k.states; i++) {
        const int64_t n = tg__input_shape(s->k.body, i)->n, to = s->k.kept + s->k.a->slots * at;
        name_place(n, more);
        if (n == 1) {
            tg__write_line(e, "v%u[%s + %" PRId64 "] = state%u[%" PRId64 "];", id, more, to, id, at);
        } else {
            tg__write_line(e, "for (int j = 0; j < %" PRId64 "; j++)", n);
            tg__write_line(e, "    v%u[%s + j + %" PRId64 "] = state%u[j", id, more, to, id);
            if (at) tg__write(e, " + %" PRId64, at);
            tg__write(e, "];");
        }
        at += n;
    }
}

static void write_step(const scan *s)
{
    tg__emitter *const e = s->w->e;
    const tg__loop *const k = &s->k;
    const tg_program *const p = k->body;
    const uint32_t id = s->w->id;
    bool first = true;
    char more[40];
    int64_t at = 0;
    open_call(e, &s->body);
    if (s->body.draws) separate(e, &first), tg__write(e, "(run << 32) + (uint64_t)place");
    for (uint32_t i = 0; i < k->states; i++) {
        separate(e, &first);
        write_place(e, "state", id, at);
        at += tg__input_shape(p, i)->n;
    }
    for (uint32_t i = k->states; i < p->n_inputs; i++) {
        const bool each = i < k->states + k->each;
        separate(e, &first);
        name_place(tg__input_shape(p, i)->n, more);
        write_pointer(s->w, i, each ? more : NULL);
    }
    at = 0;
    for (uint32_t i = 0; i < k->states; i++) {
        separate(e, &first);
        write_place(e, "next", id, at);
        at += tg__output_shape(p, i)->n;
    }
    for (uint32_t i = k->states; i < k->states + k->stacked; i++) {
        const int64_t n = tg__output_shape(p, i)->n;
        separate(e, &first);
        write_place(e, "v", id, at);
        name_place(n, more);
        tg__write(e, " + %s", more);
        at += n * k->a->steps;
    }
    at = 0;
    for (uint32_t i = k->states + k->stacked; i < k->states + k->stacked + k->summed; i++) {
        separate(e, &first);
        write_place(e, "term", id, at);
        at += tg__output_shape(p, i)->n;
    }
    if (s->stops) separate(e, &first), tg__write(e, "&stop%u", id);
    close_call(e, &s->body);
}

static void write_declarations(const scan *s)
{
    tg__emitter *const e = s->w->e;
    const tg__loop *const k = &s->k;
    const uint32_t id = s->w->id;
    /* Checkpoints are for rules that compute steps again: here all states are kept, or none. */
    const int64_t n = s->keeps ? k->total : k->kept, size = n > 0 ? n : 1, sums = k->taken - k->sums;
    e->bytes += (size_t)size * tg__type_size(e->g->type);
    tg__write_line(e, "%s v%u[%" PRId64 "] = { 0 };", e->real, id, size);
    if (k->states) tg__declare_room(e, e->real, "state", id, k->state_size);
    if (k->states) tg__declare_room(e, e->real, "next", id, k->state_size);
    if (k->summed) tg__declare_room(e, e->real, "term", id, sums);
    if (s->stops) tg__write_line(e, "%s stop%u = 0;", e->real, id);
    if (s->stops) tg__write_line(e, "int taken%u = 0;", id);
    if (!s->counted) return;
    tg__write_line(e, "const int limit%u = (int)", id);
    const uint32_t x = s->w->x[s->w->n - 1];
    const tg__nest t = { .access = { { .node = x, .offset = tg__node_offset(e->g, x) } } };
    tg__emit_access(e, &t, 0, NULL);
    tg__write(e, ";");
}

/* Whether a step's place is asked for. */
static bool has_places(const scan *s)
{
    return s->k.each || s->k.stacked || (s->keeps && s->k.states) || s->body.draws;
}

static void write_loop(const scan *s)
{
    tg__emitter *const e = s->w->e;
    const tg__loop *const k = &s->k;
    const uint32_t id = s->w->id;
    char limit[32];
    if (s->counted) snprintf(limit, sizeof limit, "limit%u", id);
    else snprintf(limit, sizeof limit, "%" PRId64, k->a->steps);
    tg__write_line(e, "for (int step = 0; step < %s; step++) {", limit);
    e->depth++;
    if (has_places(s) && s->reverse) tg__write_line(e, "const int place = %s - 1 - step;", limit);
    else if (has_places(s)) tg__write_line(e, "const int place = step;");
    if (s->keeps) write_kept(s);
    write_step(s);
    write_moves(s, k->taken - k->sums, "v", k->sums, "+=", "term", 0);
    write_moves(s, k->state_size, "state", 0, "=", "next", 0);
    if (s->stops) tg__write_line(e, "taken%u++;", id);
    if (s->stops) tg__write_line(e, "if (stop%u != 0) break;", id);
    e->depth--;
    tg__write_line(e, "}");
}

static void write_scan(const tg__writing *w)
{
    tg__emitter *const e = w->e;
    const tg_call_attributes *const a = w->attributes;
    scan s = { .w = w,
               .k = tg__loop_of(a),
               .keeps = tg__keeps_all(a),
               .stops = a->flags & TG__CALL_STOP,
               .counted = a->flags & TG__CALL_COUNTED,
               .reverse = a->flags & TG__CALL_REVERSE };
    if (!called(e, s.k.body, true, &s.body)) return;
    take_over(e, &s.body);
    copy_operands(w);
    write_declarations(&s);
    char name[24];
    snprintf(name, sizeof name, "state%u", w->id);
    int64_t at = 0;
    for (uint32_t i = 0; i < s.k.states; i++) {
        copy_elements(e, name, at, w->x[i]);
        at += tg__input_shape(s.k.body, i)->n;
    }
    write_loop(&s);
    write_moves(&s, s.k.state_size, "v", 0, "=", "state", 0);
    if (s.stops) tg__write_line(e, "v%u[%" PRId64 "] = (%s)taken%u;", w->id, s.k.taken, e->real, w->id);
}

bool tg__emit_call_op(const tg__writing *w, int code)
{
    if (code != TG__CODE_call) return false;
    const tg__callee *const callee = ((const tg_call_attributes *)w->attributes)->callee;
    if (callee == &tg__scanned) write_scan(w);
    else if (callee == &tg__called) write_call(w);
    else return false; /* functions that record have become part of the graph */
    return true;
}
