/* A program as a C function. It has the stages of the graph: what is computed once before, a loop over
   the instances, what is computed once after. Its text is put behind that of others when all of it is
   there. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "program/emit.h"
#include "program/lower.h"

#include "codes.h" /* generated */

/* ---- what is part of what ---------------------------------------------------------------------- */

static const uint32_t *operands_of(const tg__emitter *e, uint32_t id, uint32_t *n)
{
    const tg__node *const node = tg__node_at(e->g, id);
    *n = tg__node_parts(node) - tg__emit_unused(e, id);
    return tg__node_operands(e->g, node);
}

/* Of n outputs, and states behind them, which are values of their own. */
static void count_uses(tg__emitter *e, const uint32_t *output, uint32_t n, uint32_t states)
{
    for (uint32_t i = 0; i < n + states; i++) e->uses[output[i]] += i < n ? 1 : 2;
    for (uint32_t id = e->g->n; id-- > 1;) {
        e->uses[id] += tg__node_acts(e->g, id);
        if (!e->uses[id]) continue;
        uint32_t operands;
        const uint32_t *const x = operands_of(e, id, &operands);
        for (uint32_t j = 0; j < operands; j++) e->uses[x[j]]++;
    }
}

/* Whether a node goes over its operand's elements in their order, and can take expressions of them. */
static bool takes_expressions(const tg__emitter *e, uint32_t id)
{
    if (tg__is_expression(e, id)) return true;
    switch (tg__node_at(e->g, id)->op) {
    case TG__NODE_SUM:
    case TG__CODE_sum:
    case TG__CODE_mean:
    case TG__CODE_prod:
    case TG__CODE_amax:
    case TG__CODE_amin: return true;
    default: return false;
    }
}

/* Whether x, an expression, can stand in place of its value in what id is. */
static bool can_inline(const tg__emitter *e, uint32_t id, uint32_t x)
{
    const tg__node *const node = tg__node_at(e->g, id), *const of = tg__node_at(e->g, x);
    if (!tg__is_expression(e, x) || e->uses[x] != 1) return false;
    if (node->op == TG__NODE_SUM) return of->stage == TG__BODY;
    if (of->stage != node->stage) return false;
    return !tg__is_expression(e, id) ||
           tg__shape_same_dims(tg__node_shape(e->g, id), tg__node_shape(e->g, x));
}

static void choose_expressions(tg__emitter *e, uint32_t *weight, const uint32_t *output, uint32_t n)
{
    for (uint32_t id = 1; id < e->g->n; id++) {
        weight[id] = 1;
        if (!e->uses[id] || !takes_expressions(e, id)) continue;
        uint32_t operands;
        const uint32_t *const x = operands_of(e, id, &operands);
        for (uint32_t j = 0; j < operands; j++) {
            if (!can_inline(e, id, x[j]) || weight[id] + weight[x[j]] > TG__EXPRESSION) continue;
            e->inlined[x[j]] = true;
            weight[id] += weight[x[j]];
        }
    }
    for (uint32_t i = 0; i < n; i++)
        if (tg__is_expression(e, output[i]) && e->uses[output[i]] == 1) e->inlined[output[i]] = true;
}

/* ---- statements -------------------------------------------------------------------------------- */

/* Where a node was recorded, if that is not what has been written last. */
static void write_site(tg__emitter *e, uint32_t id)
{
    const uint32_t number = tg__node_at(e->g, id)->site;
    const tg_site *const site = (const tg_site *)(void *)e->g->sites.data + number;
    if (number == e->line || !site->file || strstr(site->file, "/*") || strstr(site->file, "*/"))
        return;
    e->line = number;
    tg__write_line(e, "/* %s:%d */", site->file, site->line);
}

/* target += or = the elements of node, in loops. before: the target without its index. */
static void write_elements(tg__emitter *e, const char *before, const char *after, uint32_t node,
                           bool target_has_axes)
{
    const tg__shape *const s = tg__node_shape(e->g, node);
    const int loop[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    tg__nest t;
    tg__nest_over(&t, s);
    if (e->inlined[node]) tg__nest_add_leaves(e, &t, node, s, loop);
    else tg__nest_add(e, &t, node, s, loop);
    tg__shape own = *s;
    tg__shape_finish(&own);
    tg__access *const target = &t.access[t.n]; /* for the index only */
    *target = (tg__access){ .node = 0 };
    for (int i = 0; i < t.rank; i++) target->stride[i] = own.stride[i];
    t.n++;
    tg__nest_merge(&t);
    const int loops = t.rank;
    tg__open_loops(e, &t, 0, loops, false);
    tg__write_line(e, "%s", before);
    if (target_has_axes) tg__emit_index(e, &t, t.n - 1);
    tg__write(e, "%s", after);
    if (e->inlined[node]) tg__emit_expression(e, &t, node);
    else tg__emit_access(e, &t, 0, NULL);
    tg__write(e, ";");
    tg__close_loops(e, loops, false);
}

static void write_sum(tg__emitter *e, uint32_t id)
{
    char before[24];
    const bool axes = tg__has_axes(e, id);
    snprintf(before, sizeof before, "v%u%s", id, axes ? "[" : "");
    write_elements(e, before, axes ? "] += " : " += ", tg__node_operands(e->g, tg__node_at(e->g, id))[0],
                   axes);
}

/* To a parameter, "y0", a value; of instance i where there is one for each. */
static void write_output(tg__emitter *e, const char *parameter, uint32_t node, bool each)
{
    char before[64];
    const int64_t n = tg__node_shape(e->g, node)->n;
    const bool axes = tg__has_axes(e, node);
    if (each && n == 1) snprintf(before, sizeof before, "%s[i", parameter);
    else if (each)
        snprintf(before, sizeof before, "%s[%" PRId64 " * i%s", parameter, n, axes ? " + " : "");
    else snprintf(before, sizeof before, "%s[%s", parameter, axes ? "" : "0");
    if (e->inlined[node]) write_site(e, node);
    write_elements(e, before, "] = ", node, axes && !(each && n == 1));
}

static void write_constant(tg__emitter *e, uint32_t id)
{
    const tg__shape *const s = tg__node_shape(e->g, id);
    const char *const p = tg__node_constant(e->g, id);
    if (s->rank == 0) return;
    tg__write_line(e, "static const %s v%u[%" PRId64 "] = { /* %s */",
                  s->type == TG_I64 ? "int64_t" : e->real, id, s->n ? s->n : 1, TG__SHAPE_TEXT(s));
    e->depth++;
    for (int64_t i = 0; i < (s->n ? s->n : 1); i++) {
        if (i % 4 == 0) tg__write_line(e, "%s", "");
        else tg__write(e, " ");
        const void *const x = p + (size_t)i * tg__type_size(s->type);
        if (s->n == 0) tg__write(e, "0");
        else if (s->type == TG_I64) tg__write(e, "%" PRId64, *(const int64_t *)x);
        else tg__emit_number(e, s->type == TG_F64 ? *(const double *)x : (double)*(const float *)x);
        tg__write(e, ",");
    }
    e->depth--;
    tg__write_line(e, "};");
}

/* A condition that is to be what it was. */
static void write_guard(tg__emitter *e, uint32_t id)
{
    const tg__node *const node = tg__node_at(e->g, id);
    const bool expected = ((const tg_guard_attributes *)tg__node_data(e->g, node))->expected;
    const uint32_t x = tg__node_operands(e->g, node)[0];
    const tg__nest t = { .access = { { .node = x, .offset = tg__node_offset(e->g, x) } } };
    tg__write_line(e, "if (");
    tg__emit_access(e, &t, 0, NULL);
    tg__write(e, " %s 0) return false; /* it was %s when it was recorded */", expected ? "==" : "!=",
              expected ? "true" : "false");
    e->made.fails = true;
}

static void write_node(tg__emitter *e, uint32_t id)
{
    const tg__node *const node = tg__node_at(e->g, id);
    switch (node->op) {
    case TG__NODE_INPUT:
    case TG__NODE_COUNT:
    case TG__NODE_VIEW: return;
    case TG__NODE_CONSTANT: write_constant(e, id); return;
    default: break;
    }
    e->g->site = node->site;
    write_site(e, id);
    if (node->op == TG__NODE_SUM) write_sum(e, id);
    else if (node->op == TG__NODE_ASSEMBLE) tg__emit_assemble(e, id);
    else if (node->op == TG__CODE_guard) write_guard(e, id);
    else if (tg__is_expression(e, id)) tg__emit_map(e, id);
    else tg__emit_op(e, id);
}

/* The nodes of a stage; sums over the batch are added up where instances are computed. */
static void write_stage(tg__emitter *e, tg__stage stage)
{
    e->line = 0;
    for (uint32_t id = 1; id < e->g->n && !tg__graph_failed(e->g); id++) {
        const tg__node *const node = tg__node_at(e->g, id);
        const tg__stage at = node->op == TG__NODE_SUM ? TG__BODY : (tg__stage)node->stage;
        if (at == stage && e->uses[id] && !e->inlined[id]) write_node(e, id);
    }
}

/* Whether there is a loop over the instances. */
static bool has_body(const tg__emitter *e)
{
    const tg_program *const p = e->program;
    for (uint32_t i = 0; i < p->n_outputs && !e->made.one; i++)
        if (p->each[i]) return true;
    for (uint32_t id = 1; id < e->g->n; id++) {
        const tg__node *const node = tg__node_at(e->g, id);
        const bool acts = node->stage == TG__BODY && tg__node_acts(e->g, id);
        if (e->uses[id] && (node->op == TG__NODE_SUM || acts)) return true;
    }
    return false;
}

/* Which states there are; those of a program that another one calls are not written. */
static const tg__state *states_of(const tg__emitter *e, uint32_t *n)
{
    *n = 0;
    return e->made.number || !e->program->states.used ? NULL : tg__program_states(&e->program->states, n);
}

static void write_outputs(tg__emitter *e, const uint32_t *output, bool each)
{
    const tg_program *const p = e->program;
    char name[24];
    for (uint32_t i = 0; i < p->n_outputs; i++) {
        const bool varies = p->each[i] && !e->made.one;
        const bool late = varies && tg__node_at(e->g, output[i])->stage == TG__LATE;
        snprintf(name, sizeof name, "y%u", i);
        if (varies == each && !late) write_output(e, name, output[i], each);
    }
}

static void write_states(tg__emitter *e, const uint32_t *next)
{
    uint32_t n;
    char name[24];
    const tg__state *const state = states_of(e, &n);
    for (uint32_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "x%u", state[i].input);
        write_output(e, name, next[i], false);
    }
}

static void write_body(tg__emitter *e, const uint32_t *output)
{
    e->depth = 1;
    write_stage(e, TG__EARLY);
    for (uint32_t id = 1; id < e->g->n; id++)
        if (e->uses[id] && tg__node_at(e->g, id)->op == TG__NODE_SUM) tg__declare(e, id, true);
    if (has_body(e)) {
        tg__write_line(e, "for (int64_t i = 0; i < count; i++) {");
        e->depth++;
        write_stage(e, TG__BODY);
        write_outputs(e, output, true);
        e->depth--;
        tg__write_line(e, "}");
    }
    write_stage(e, TG__LATE);
    write_outputs(e, output, false);
    write_states(e, output + e->program->n_outputs);
    if (e->made.fails) tg__write_line(e, "return true;");
    tg__write(e, "\n}\n");
}

/* ---- the head ---------------------------------------------------------------------------------- */

void tg__write_name(tg__emitter *e, const tg__emitted *f)
{
    tg__write(e, "%s", e->all->name);
    if (f->number) tg__write(e, "_%s%u", f->one ? "step" : "call", f->number);
}

/* "const double *x0,", the last one with a parenthesis, and what it is. */
static void write_parameter(tg__emitter *e, const char *constant, const tg__shape *s, const char *name,
                            uint32_t which, bool last, const char *what)
{
    char text[64];
    snprintf(text, sizeof text, "%s%s *%s%u%s", constant, s->type == TG_I64 ? "int64_t" : e->real, name,
             which, last ? ")" : ",");
    tg__write(e, "\n        %-22s /* %s%s */", text, s->rank ? TG__SHAPE_TEXT(s) : "one number", what);
}

static bool is_state(const tg__emitter *e, uint32_t input)
{
    uint32_t n;
    const tg__state *const state = states_of(e, &n);
    while (n > 0 && state[n - 1].input != input) n--;
    return n > 0;
}

static void write_parameters(tg__emitter *e)
{
    const tg_program *const p = e->program;
    const bool one = e->made.one;
    if (!one) tg__write(e, "int64_t count,");
    if (e->made.draws) tg__write(e, "%suint64_t run,", one ? "" : " ");
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        const bool each = tg__node_at(&p->graph, p->input[i])->stage == TG__BODY && !one;
        const bool state = is_state(e, i);
        write_parameter(e, state ? "" : "const ", tg__node_shape(&p->graph, p->input[i]), "x", i,
                        p->n_outputs == 0 && i + 1 == p->n_inputs,
                        each ? ", for every instance" : state ? ", a state" : "");
    }
    for (uint32_t i = 0; i < p->n_outputs; i++)
        write_parameter(e, "", tg__node_shape(&p->graph, p->output[i]), "y", i, i + 1 == p->n_outputs,
                        p->each[i] && !one ? ", for every instance" : "");
}

/* Whether the graph has any input of the program's number, or states overwrite it. */
static bool is_used(const tg__emitter *e, uint32_t input)
{
    for (uint32_t id = 1; id < e->g->n; id++) {
        const tg__node *const node = tg__node_at(e->g, id);
        if (node->op == TG__NODE_INPUT && tg__node_word(e->g, node) == input && e->uses[id]) return true;
    }
    return is_state(e, input);
}

static void write_head(tg__emitter *e)
{
    tg__write(e, "%s%s ", e->made.number ? "static " : "", e->made.fails ? "bool" : "void");
    tg__write_name(e, &e->made);
    tg__write(e, "(");
    write_parameters(e);
    tg__write(e, "\n{");
    e->depth = 1;
    for (uint32_t i = 0; i < e->program->n_inputs; i++)
        if (!is_used(e, i)) tg__write_line(e, "(void)x%u;", i);
    const bool counts = has_body(e) || (e->g->count && e->uses[e->g->count]);
    if (!counts && !e->made.one) tg__write_line(e, "(void)count;");
    e->all->bools = e->all->bools || e->made.fails;
}

/* ---- the whole --------------------------------------------------------------------------------- */

/* What cannot be written: operations of the user's own, of which only pointers are known. */
static bool has_strangers(const tg__emitter *e)
{
    for (uint32_t id = 1; id < e->g->n; id++) {
        const tg__node *const node = tg__node_at(e->g, id);
        if (node->op != TG__CODE_custom && node->op != TG__CODE_custom_gradient) continue;
        const void *const a = tg__node_data(e->g, node);
        e->g->site = node->site;
        tg__graph_fail(e->g, TG_ERROR_ARGUMENT,
                       "%s: there is no C for it: of an operation of your own only the functions that "
                       "compute it are known, not what they say. TG_RULE makes one of formulas",
                       ((const tg_custom_attributes *)a)->op->name);
        return true;
    }
    return false;
}

/* The inputs as nodes of `to` where there is one instance; NULL: no memory. */
static uint32_t *single_inputs(tg__emitter *e, tg__graph *to)
{
    const tg_program *const p = e->program;
    uint32_t *const input = tg__arena_push(&e->room, (p->n_inputs + (size_t)1) * sizeof *input);
    for (uint32_t i = 0; input && i < p->n_inputs; i++)
        input[i] = tg__graph_input(to, i, tg__node_shape(&p->graph, p->input[i]), false);
    if (!input) tg__graph_fail(to, TG_ERROR_MEMORY, "no memory");
    return input;
}

/* The emitter's graph, from the program's: of n values. */
static bool lower(tg__emitter *e, uint32_t *value, uint32_t n)
{
    const tg__graph *const from = &e->program->graph;
    const tg_compile_options options = tg__graph_options(from);
    tg__graph derived;
    bool ok = tg__graph_init(&derived, e->all->memory, e->program->type, &options);
    const uint32_t *const input = ok && e->made.one ? single_inputs(e, &derived) : NULL;
    ok = ok && !tg__graph_failed(&derived) &&
         tg__graph_lower(&derived, from, TG__DERIVE, input, value, n, value) &&
         tg__graph_lower(e->g, &derived, TG__EXPRESS, NULL, value, n, value);
    if (!ok && e->g->status.code == TG_OK) e->g->status = derived.status;
    tg__graph_free(&derived);
    return ok && !has_strangers(e);
}

/* The values that are asked for, as nodes of the emitter's graph: outputs, then what states become. */
static uint32_t *lowered_values(tg__emitter *e, uint32_t *states)
{
    const tg_program *const p = e->program;
    const tg__state *const state = states_of(e, states);
    uint32_t *const value = tg__arena_push(&e->room, ((size_t)p->n_outputs + *states + 1) * sizeof *value);
    if (!value) {
        tg__graph_fail(e->g, TG_ERROR_MEMORY, "no memory");
        return NULL;
    }
    memcpy(value, p->output, p->n_outputs * sizeof *value);
    for (uint32_t i = 0; i < *states; i++) value[p->n_outputs + i] = state[i].next;
    return lower(e, value, p->n_outputs + *states) ? value : NULL;
}

static void write_function(tg__emitter *e)
{
    uint32_t states;
    const uint32_t *const value = lowered_values(e, &states);
    if (!value) return;
    tg__arena room;
    tg__arena_init(&room, e->all->memory);
    const size_t n = e->g->n, bytes = n * (2 * sizeof(uint32_t) + sizeof(bool));
    uint32_t *const by_node = tg__arena_push(&room, bytes);
    if (by_node) {
        memset(by_node, 0, bytes);
        e->uses = by_node;
        e->inlined = (bool *)(by_node + 2 * n);
        count_uses(e, value, e->program->n_outputs, states);
        choose_expressions(e, by_node + n, value, e->program->n_outputs);
        e->to = &e->body;
        write_body(e, value);
        e->to = &e->all->text;
        write_head(e);
        tg__write(e, "%.*s%s", (int)e->body.used, e->body.data, e->made.number ? "\n" : "");
    } else {
        tg__graph_fail(e->g, TG_ERROR_MEMORY, "no memory");
    }
    tg__arena_free(&room);
}

bool tg__emit_program(tg__emission *all, tg__emitted *made, tg_status *status)
{
    const tg_program *const p = made->program;
    const bool single = p->type == TG_F32;
    tg__graph g;
    tg__emitter e = { .all = all,
                      .program = p,
                      .g = &g,
                      .real = single ? "float" : "double",
                      .suffix = single ? "f" : "",
                      .made = *made };
    tg__arena_init(&e.body, all->memory);
    tg__arena_init(&e.room, all->memory);
    const tg_compile_options options = tg__graph_options(&p->graph);
    if (tg__graph_init(&g, all->memory, p->type, &options)) write_function(&e);
    e.made.bytes = e.bytes + e.deepest;
    *made = e.made;
    *status = g.status;
    tg__arena_free(&e.body);
    tg__arena_free(&e.room);
    tg__graph_free(&g);
    return status->code == TG_OK;
}
