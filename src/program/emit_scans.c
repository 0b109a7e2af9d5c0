/* Loops as C: each a loop that calls the function of its body, and gradients of loops, which go backward over
   the states that the loop has kept, or forward and then backward over stretches of steps. The result is a
   vector of all that is made (see scan.h), parts of which others look at. */
#include <inttypes.h>
#include <stdio.h>

#include "codes.h" /* generated */
#include "program/emit.h"
#include "program/scan.h"

/* ---- who keeps states ----------------------------------------------------------------------------- */

enum { FEW_STATES = 1 << 13 }; /* numbers: so many are kept all at once, that no step is done again */

static const tg_call_attributes *call_of(const tg__emitter *e, uint32_t id)
{
    const tg__node *const node = tg__node_at(e->g, id);
    return node->op == TG__CODE_call ? tg__node_data(e->g, node) : NULL;
}

/* The loop whose gradient a node is; 0: none. */
static uint32_t loop_of(const tg__emitter *e, uint32_t id)
{
    const tg__node *const node = tg__node_at(e->g, id);
    const tg_call_attributes *const a = call_of(e, id);
    if (!a || a->callee != &tg__scan_gradient) return 0;
    return tg__node_owner(e->g, tg__node_operands(e->g, node)[tg__node_n(node) - 1]);
}

static bool keeps_all(const tg__loop *k)
{
    return tg__keeps_all(k->a) || (k->a->steps + 1) * k->state_size <= FEW_STATES;
}

/* Whether a loop is written, and keeps the states before all of its steps, for gradients that are. */
static bool keeps_states(const tg__emitter *e, uint32_t id)
{
    const tg_call_attributes *const a = call_of(e, id);
    if (!a || a->callee != &tg__scanned || !e->uses[id]) return false;
    const tg__loop k = tg__loop_of(a);
    bool keeps = false;
    for (uint32_t i = id + 1; i < e->g->n && !keeps; i++) keeps = e->uses[i] && loop_of(e, i) == id;
    return keeps && k.states && keeps_all(&k);
}

/* ---- loops ---------------------------------------------------------------------------------------- */

typedef struct scan {
    const tg__writing *w;
    tg__loop k;
    tg__emitted body;
    bool stops, counted, reverse;
    uint32_t home;   /* states are in the array of this node: */
    const char *row; /* those before a step in this row; NULL: only those before the present one */
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

/* The states given, as the first elements of name. */
static void write_given_states(const scan *s, const char *name)
{
    char text[24];
    int64_t at = 0;
    snprintf(text, sizeof text, "%s%u", name, s->w->id);
    for (uint32_t i = 0; i < s->k.states; i++) {
        tg__copy_elements(s->w->e, text, at, s->w->x[i]);
        at += tg__input_shape(s->k.body, i)->n;
    }
}

/* The call of a function of a step; of one that draws the first argument. */
static void open_step(const scan *s, const tg__emitted *f, bool *first)
{
    tg__emitter *const e = s->w->e;
    *first = true;
    tg__open_call(e, f);
    if (f->draws) tg__separate(e, first), tg__write(e, "(run << 32) + (uint64_t)place");
}

/* What there is for each state, in an array of all. */
static void write_each(const scan *s, bool *first, const char *name)
{
    tg__emitter *const e = s->w->e;
    int64_t at = 0;
    for (uint32_t i = 0; i < s->k.states; i++) {
        tg__separate(e, first);
        tg__write_place(e, name, s->w->id, at);
        at += tg__input_shape(s->k.body, i)->n;
    }
}

/* The states before a step, "state5 + 2 * step", or behind it. */
static void write_states(const scan *s, bool *first, bool next)
{
    tg__emitter *const e = s->w->e;
    int64_t at = next ? s->k.state_size : 0;
    if (!s->row) {
        write_each(s, first, next ? "next" : "state");
        return;
    }
    for (uint32_t i = 0; i < s->k.states; i++) {
        tg__separate(e, first);
        tg__write(e, "state%u + %" PRId64 " * %s", s->home, s->k.state_size, s->row);
        if (at) tg__write(e, " + %" PRId64, at);
        at += tg__input_shape(s->k.body, i)->n;
    }
}

/* A step's inputs behind the states. */
static void write_inputs(const scan *s, bool *first)
{
    char more[40];
    for (uint32_t i = s->k.states; i < s->k.body->n_inputs; i++) {
        tg__separate(s->w->e, first);
        tg__name_place(tg__input_shape(s->k.body, i)->n, more);
        tg__write_pointer(s->w, i, i < s->k.states + s->k.each ? more : NULL);
    }
}

static void write_step(const scan *s)
{
    tg__emitter *const e = s->w->e;
    const tg__loop *const k = &s->k;
    const tg_program *const p = k->body;
    const uint32_t id = s->w->id;
    bool first;
    char more[40];
    int64_t at = k->state_size;
    open_step(s, &s->body, &first);
    write_states(s, &first, false);
    write_inputs(s, &first);
    write_states(s, &first, true);
    for (uint32_t i = k->states; i < k->states + k->stacked; i++) {
        const int64_t n = tg__output_shape(p, i)->n;
        tg__separate(e, &first);
        tg__write_place(e, "v", id, at);
        tg__name_place(n, more);
        tg__write(e, " + %s", more);
        at += n * k->a->steps;
    }
    at = 0;
    for (uint32_t i = k->states + k->stacked; i < k->states + k->stacked + k->summed; i++) {
        tg__separate(e, &first);
        tg__write_place(e, "term", id, at);
        at += tg__output_shape(p, i)->n;
    }
    if (s->stops) tg__separate(e, &first), tg__write(e, "&stop%u", id);
    tg__close_call(e, &s->body);
}

/* "const int limit5 = (int)": element `offset` of operand number which. */
static void write_limit(const scan *s, uint32_t which, int64_t offset)
{
    tg__emitter *const e = s->w->e;
    const uint32_t x = s->w->x[which];
    const tg__nest t = { .access = { { .node = x, .offset = tg__node_offset(e->g, x) + offset } } };
    tg__write_line(e, "const int limit%u = (int)", s->w->id);
    tg__emit_access(e, &t, 0, NULL);
    tg__write(e, ";");
}

static void declare_zeros(tg__emitter *e, const char *name, uint32_t id, int64_t n)
{
    if (n < 1) n = 1;
    e->bytes += (size_t)n * tg__type_size(e->g->type);
    tg__write_line(e, "%s %s%u[%" PRId64 "] = { 0 };", e->real, name, id, n);
}

static void write_declarations(const scan *s)
{
    tg__emitter *const e = s->w->e;
    const tg__loop *const k = &s->k;
    const uint32_t id = s->w->id;
    /* Checkpoints are for rules that compute steps again: here there are none. */
    const int64_t sums = k->taken - k->sums;
    declare_zeros(e, "v", id, k->kept);
    if (k->states) tg__declare_room(e, e->real, "state", id, (s->row ? k->a->steps + 1 : 1) * k->state_size);
    if (k->states && !s->row) tg__declare_room(e, e->real, "next", id, k->state_size);
    if (k->summed) tg__declare_room(e, e->real, "term", id, sums);
    if (s->stops) tg__write_line(e, "%s stop%u = 0;", e->real, id);
    if (s->stops) tg__write_line(e, "int taken%u = 0;", id);
    if (s->counted) write_limit(s, s->w->n - 1, 0);
}

/* Whether a step's place is asked for. */
static bool has_places(const scan *s)
{
    return s->k.each || s->k.stacked || s->body.draws;
}

static void write_place_of_step(const scan *s)
{
    if (!has_places(s)) return;
    if (s->reverse) tg__write_line(s->w->e, "const int place = %" PRId64 " - step;", s->k.a->steps - 1);
    else tg__write_line(s->w->e, "const int place = step;");
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
    write_place_of_step(s);
    write_step(s);
    write_moves(s, k->taken - k->sums, "v", k->sums, "+=", "term", 0);
    if (!s->row) write_moves(s, k->state_size, "state", 0, "=", "next", 0);
    if (s->stops) tg__write_line(e, "taken%u++;", id);
    if (s->stops) tg__write_line(e, "if (stop%u != 0) break;", id);
    e->depth--;
    tg__write_line(e, "}");
}

/* The function of its body; false after an error. */
static bool open_scan(const tg__writing *w, scan *s)
{
    const tg_call_attributes *const a = w->attributes;
    *s = (scan){ .w = w,
                 .k = tg__loop_of(a),
                 .stops = a->flags & TG__CALL_STOP,
                 .counted = a->flags & TG__CALL_COUNTED,
                 .reverse = a->flags & TG__CALL_REVERSE,
                 .home = w->id };
    if (!tg__emit_called(w->e, s->k.body, true, &s->body)) return false;
    tg__copy_operands(w);
    return true;
}

/* The last states, which the result begins with. */
static void write_last_states(const scan *s)
{
    tg__emitter *const e = s->w->e;
    const uint32_t id = s->w->id;
    const int64_t size = s->k.state_size, steps = s->k.a->steps;
    if (s->row && (s->stops || s->counted)) {
        tg__write_line(e, "for (int j = 0; j < %" PRId64 "; j++)", size);
        tg__write_line(e, "    v%u[j] = state%u[%" PRId64 " * %s%u + j];", id, id, size,
                       s->stops ? "taken" : "limit", id);
    } else {
        write_moves(s, size, "v", 0, "=", "state", s->row ? steps * size : 0);
    }
}

void tg__emit_scan(const tg__writing *w)
{
    scan s;
    if (!open_scan(w, &s)) return;
    if (keeps_states(w->e, w->id)) s.row = "step";
    write_declarations(&s);
    write_given_states(&s, "state");
    write_loop(&s);
    write_last_states(&s);
    if (s.stops)
        tg__write_line(w->e, "v%u[%" PRId64 "] = (%s)taken%u;", w->id, s.k.taken, w->e->real, w->id);
}

/* ---- gradients of loops --------------------------------------------------------------------------- */

/* If the loop has not kept them, the states before the steps of one stretch are kept at a time, and those before each
   stretch. */
typedef struct gradient {
    scan s;
    tg__emitted back; /* of a step */
    uint64_t wanted;
    bool kept;
    int64_t stretch, stretches; /* steps of one, and how many there are */
    int64_t shared, rest;       /* elements of gradients that are added up; of outputs that nobody needs */
} gradient;

static int64_t root_above(int64_t n)
{
    int64_t root = 1;
    while (root * root < n) root++;
    return root;
}

static void write_gradient_declarations(const gradient *b)
{
    const scan *const s = &b->s;
    const tg__loop *const k = &s->k;
    tg__emitter *const e = s->w->e;
    const uint32_t id = s->w->id;
    tg__declare(e, id, true); /* of steps that are not taken */
    if (b->stretches > 1) tg__declare_room(e, e->real, "kept", id, b->stretches * k->state_size);
    if (k->states && !b->kept) tg__declare_room(e, e->real, "state", id, (b->stretch + 1) * k->state_size);
    if (k->states) tg__declare_room(e, e->real, "adjoint", id, k->state_size);
    if (k->states) tg__declare_room(e, e->real, "before", id, k->state_size);
    if (b->shared) tg__declare_room(e, e->real, "next", id, b->shared);
    if (b->shared) declare_zeros(e, "sum", id, b->shared);
    if (b->rest) tg__declare_room(e, e->real, "rest", id, b->rest);
    if (s->stops) write_limit(s, s->w->n - 1, k->taken);
    else if (s->counted) write_limit(s, s->w->n - 3, 0);
    else tg__write_line(e, "const int limit%u = %" PRId64 ";", id, k->a->steps);
}

/* Steps from `begin` on, while `step < end`: the states behind each. */
static void write_forward(const gradient *b, const char *begin, const char *end)
{
    const scan *const s = &b->s;
    tg__emitter *const e = s->w->e;
    bool first;
    int64_t at = 0;
    tg__write_line(e, "for (int step = %s; step < %s; step++) {", begin, end);
    e->depth++;
    write_place_of_step(s);
    open_step(s, &s->body, &first);
    write_states(s, &first, false);
    write_inputs(s, &first);
    write_states(s, &first, true);
    for (uint32_t i = s->k.states; i < s->k.body->n_outputs; i++) {
        tg__separate(e, &first);
        tg__write_place(e, "rest", s->w->id, at);
        at += tg__output_shape(s->k.body, i)->n;
    }
    tg__close_call(e, &s->body);
    e->depth--;
    tg__write_line(e, "}");
}

/* "c5 + 12 + 3 * place": the cotangents of what is stacked and summed. */
static void write_cotangents(const gradient *b, bool *first)
{
    const scan *const s = &b->s;
    const tg__loop *const k = &s->k;
    int64_t at = k->state_size;
    char more[80], place[40];
    for (uint32_t i = k->states; i < k->states + k->stacked + k->summed; i++) {
        const bool stacked = i < k->states + k->stacked;
        const int64_t n = tg__output_shape(k->body, i)->n;
        tg__name_place(n, place);
        snprintf(more, sizeof more, stacked ? "%" PRId64 " + %s" : "%" PRId64, at, place);
        tg__separate(s->w->e, first);
        tg__write_pointer(s->w, s->w->n - 2, more);
        at += stacked ? n * k->a->steps : n;
    }
}

/* The gradients by shared inputs, at name. */
static void write_shared(const gradient *b, bool *first, const char *name)
{
    const tg__loop *const k = &b->s.k;
    int64_t at = 0;
    for (uint32_t i = k->states + k->each; i < k->body->n_inputs; i++) {
        if (!tg__loop_wants(k, b->wanted, i)) continue;
        tg__separate(b->s.w->e, first);
        tg__write_place(b->s.w->e, name, b->s.w->id, at);
        at += tg__input_shape(k->body, i)->n;
    }
}

static void write_step_back(const gradient *b)
{
    const scan *const s = &b->s;
    const tg__loop *const k = &s->k;
    tg__emitter *const e = s->w->e;
    bool first;
    int64_t at = 0, row = 0;
    char more[40];
    open_step(s, &b->back, &first);
    write_states(s, &first, false);
    write_inputs(s, &first);
    write_each(s, &first, "adjoint");
    write_cotangents(b, &first);
    write_shared(b, &first, "sum");
    write_each(s, &first, "before");
    for (uint32_t i = 0; i < k->states + k->each; i++) {
        const int64_t n = tg__input_shape(k->body, i)->n;
        const bool each = i >= k->states, wanted = tg__loop_wants(k, k->a->wanted, i);
        if (each && tg__loop_wants(k, b->wanted, i)) {
            tg__separate(e, &first);
            tg__name_place(n, more);
            if (wanted) tg__write_place(e, "v", s->w->id, at), tg__write(e, " + %s", more);
            else tg__write_place(e, "rest", s->w->id, row);
            if (!wanted) row += n;
        }
        if (wanted) at += each ? n * k->a->steps : n;
    }
    write_shared(b, &first, "next");
    tg__close_call(e, &b->back);
    write_moves(s, k->state_size, "adjoint", 0, "=", "before", 0);
    write_moves(s, b->shared, "sum", 0, "=", "next", 0);
}

/* name[to + j] = from[of + j] for all states. */
static void write_state_copy(const gradient *b, const char *to, const char *from)
{
    tg__emitter *const e = b->s.w->e;
    if (b->s.k.state_size == 0) return;
    tg__write_line(e, "for (int j = 0; j < %" PRId64 "; j++)", b->s.k.state_size);
    tg__write_line(e, "    %s = %s;", to, from);
}

/* The states before each stretch are kept, from the first on. */
static void write_stretches(const gradient *b)
{
    tg__emitter *const e = b->s.w->e;
    const uint32_t id = b->s.w->id;
    const int64_t size = b->s.k.state_size;
    char state[40], kept[80], behind[80];
    snprintf(state, sizeof state, "state%u[j]", id);
    snprintf(kept, sizeof kept, "kept%u[%" PRId64 " * (begin / %" PRId64 ") + j]", id, size, b->stretch);
    snprintf(behind, sizeof behind, "kept%u[%" PRId64 " * (begin / %" PRId64 " + 1) + j]", id, size, b->stretch);
    write_given_states(&b->s, "kept");
    tg__write_line(e, "for (int begin = 0; begin + %" PRId64 " < limit%u; begin += %" PRId64 ") {", b->stretch, id,
                   b->stretch);
    e->depth++;
    write_state_copy(b, state, kept);
    snprintf(state, sizeof state, "begin + %" PRId64, b->stretch);
    write_forward(b, "begin", state);
    snprintf(state, sizeof state, "state%u[%" PRId64 " + j]", id, b->stretch * size);
    write_state_copy(b, behind, state);
    e->depth--;
    tg__write_line(e, "}");
}

/* Steps from the one before `end` on, down to `begin`. */
static void write_steps_back(const gradient *b, const char *begin, const char *end)
{
    tg__emitter *const e = b->s.w->e;
    tg__write_line(e, "for (int step = %s - 1; step >= %s; step--) {", end, begin);
    e->depth++;
    write_place_of_step(&b->s);
    write_step_back(b);
    e->depth--;
    tg__write_line(e, "}");
}

/* All at once. */
static void write_whole(const gradient *b)
{
    char limit[32], last[40];
    snprintf(limit, sizeof limit, "limit%u", b->s.w->id);
    snprintf(last, sizeof last, "%s - 1", limit);
    if (b->s.k.states && !b->kept) {
        write_given_states(&b->s, "state");
        write_forward(b, "0", last);
    }
    write_steps_back(b, "0", limit);
}

/* Stretch by stretch, from the last one on. */
static void write_backward(const gradient *b)
{
    tg__emitter *const e = b->s.w->e;
    const uint32_t id = b->s.w->id;
    char state[40], kept[80];
    snprintf(state, sizeof state, "state%u[j]", id);
    snprintf(kept, sizeof kept, "kept%u[%" PRId64 " * (begin / %" PRId64 ") + j]", id, b->s.k.state_size, b->stretch);
    tg__write_line(e, "for (int begin = (limit%u - 1) / %" PRId64 " * %" PRId64 "; begin >= 0; begin -= %" PRId64 ") {",
                   id, b->stretch, b->stretch, b->stretch);
    e->depth++;
    tg__write_line(e, "const int end = begin + %" PRId64 " < limit%u ? begin + %" PRId64 " : limit%u;", b->stretch, id,
                   b->stretch, id);
    write_state_copy(b, state, kept);
    write_forward(b, "begin", "end - 1");
    write_steps_back(b, "begin", "end");
    e->depth--;
    tg__write_line(e, "}");
}

/* The cotangents of the last states, which are the first ones. */
static void write_first_adjoint(const scan *s)
{
    tg__emitter *const e = s->w->e;
    if (s->k.state_size == 0) return;
    tg__write_line(e, "for (int j = 0; j < %" PRId64 "; j++)", s->k.state_size);
    tg__write_line(e, "    adjoint%u[j] = ", s->w->id);
    tg__write_element(s->w, s->w->n - 2, "j");
    tg__write(e, ";");
}

/* What is wanted of the gradients by states and shared inputs, into the result. */
static void write_results(const gradient *b)
{
    const scan *const s = &b->s;
    const tg__loop *const k = &s->k;
    int64_t at = 0, state = 0, shared = 0;
    for (uint32_t i = 0; i < k->body->n_inputs; i++) {
        const int64_t n = tg__input_shape(k->body, i)->n, count = tg__loop_count(k, i);
        const bool wanted = tg__loop_wants(k, k->a->wanted, i);
        if (wanted && i < k->states) write_moves(s, n, "v", at, "=", "adjoint", state);
        else if (wanted && count < 0) write_moves(s, n, "v", at, "=", "sum", shared);
        if (i < k->states) state += n;
        else if (count < 0 && tg__loop_wants(k, b->wanted, i)) shared += n;
        if (wanted) at += n * (count < 0 ? 1 : count);
    }
}

/* The elements of what the functions of a step write that nobody needs. */
static void size_room(gradient *b)
{
    const tg__loop *const k = &b->s.k;
    int64_t rest = 0, rows = 0;
    for (uint32_t i = k->states; i < k->body->n_outputs && !b->kept; i++) rest += tg__output_shape(k->body, i)->n;
    for (uint32_t i = k->states; i < k->body->n_inputs; i++) {
        if (!tg__loop_wants(k, b->wanted, i)) continue;
        if (i >= k->states + k->each) b->shared += tg__input_shape(k->body, i)->n;
        else if (!tg__loop_wants(k, k->a->wanted, i)) rows += tg__input_shape(k->body, i)->n;
    }
    b->rest = rest > rows ? rest : rows;
}

void tg__emit_scan_gradient(const tg__writing *w)
{
    const tg_call_attributes *const a = w->attributes;
    tg__emitter *const e = w->e;
    gradient b = { .stretch = a->steps, .stretches = 1 };
    if (!open_scan(w, &b.s)) return;
    const tg__vjp how = tg__loop_vjp(&b.s.k, a->wanted);
    tg_status status;
    const tg_program *const v = tg__program_vjp(b.s.k.body, &how, &status);
    if (!v) {
        tg__graph_fail(e->g, status.code, "%s", status.message);
        return;
    }
    if (!tg__emit_called(e, v, true, &b.back)) return;
    b.wanted = how.wanted;
    b.kept = keeps_states(e, loop_of(e, w->id));
    if (b.kept) b.s.home = loop_of(e, w->id);
    if (!keeps_all(&b.s.k)) {
        b.stretch = root_above(a->steps);
        b.stretches = (a->steps + b.stretch - 1) / b.stretch;
    }
    b.s.row = b.stretches > 1 ? "(step - begin)" : "step";
    size_room(&b);
    write_gradient_declarations(&b);
    write_first_adjoint(&b.s);
    if (b.stretches > 1) write_stretches(&b), write_backward(&b);
    else write_whole(&b);
    write_results(&b);
}
