/* Programs as C: see tg_program_emit_c. The function has the stages of the graph: what is computed
   once before, a loop over the instances, what is computed once after. Its text is written to the file
   when all of it is there. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "program/emit.h"
#include "program/lower.h"

#include "codes.h" /* generated */

enum { STACK_BYTES = 1 << 20 }; /* the most that the function's arrays may take */

/* ---- what is part of what ---------------------------------------------------------------------- */

static const uint32_t *operands_of(const tg__emitter *e, uint32_t id, uint32_t *n)
{
    const tg__node *const node = tg__node_at(e->g, id);
    *n = node->op == TG__NODE_ASSEMBLE ? node->n / 2 : node->n;
    return tg__node_operands(e->g, node);
}

static void count_uses(tg__emitter *e, const uint32_t *output, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) e->uses[output[i]]++;
    for (uint32_t id = e->g->n; id-- > 1;) {
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

/* Output number which, of instance i where there is one for each. */
static void write_output(tg__emitter *e, uint32_t which, uint32_t node, bool each)
{
    char before[64];
    const int64_t n = tg__node_shape(e->g, node)->n;
    const bool axes = tg__has_axes(e, node);
    if (each && n == 1) snprintf(before, sizeof before, "y%u[i", which);
    else if (each)
        snprintf(before, sizeof before, "y%u[%" PRId64 " * i%s", which, n, axes ? " + " : "");
    else snprintf(before, sizeof before, "y%u[%s", which, axes ? "" : "0");
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

static bool has_body(const tg__emitter *e, const tg_program *p)
{
    for (uint32_t i = 0; i < p->n_outputs; i++)
        if (p->each[i]) return true;
    for (uint32_t id = 1; id < e->g->n; id++)
        if (e->uses[id] && tg__node_at(e->g, id)->op == TG__NODE_SUM) return true;
    return false;
}

static void write_body(tg__emitter *e, const tg_program *p, const uint32_t *output)
{
    e->depth = 1;
    write_stage(e, TG__EARLY);
    for (uint32_t id = 1; id < e->g->n; id++)
        if (e->uses[id] && tg__node_at(e->g, id)->op == TG__NODE_SUM) tg__declare(e, id, true);
    if (has_body(e, p)) {
        tg__write_line(e, "for (int64_t i = 0; i < count; i++) {");
        e->depth++;
        write_stage(e, TG__BODY);
        for (uint32_t i = 0; i < p->n_outputs; i++)
            if (p->each[i] && tg__node_at(e->g, output[i])->stage != TG__LATE)
                write_output(e, i, output[i], true);
        e->depth--;
        tg__write_line(e, "}");
    }
    write_stage(e, TG__LATE);
    for (uint32_t i = 0; i < p->n_outputs; i++)
        if (!p->each[i]) write_output(e, i, output[i], false);
    tg__write(e, "\n}\n");
}

/* ---- the head ---------------------------------------------------------------------------------- */

static void write_parameter(tg__emitter *e, const char *space, const tg__shape *s, bool each,
                            const char *name, uint32_t which, bool last)
{
    char text[64];
    snprintf(text, sizeof text, "%s%s *%s%u%s", space, s->type == TG_I64 ? "int64_t" : e->real, name,
             which, last ? ")" : ",");
    tg__write(e, "\n        %-22s /* %s%s */", text, s->rank ? TG__SHAPE_TEXT(s) : "one number",
              each ? ", for every instance" : "");
}

static void write_head(tg__emitter *e, const tg_program *p)
{
    e->to = &e->helpers;
    tg__write(e, "void %s(int64_t count,", e->name);
    for (uint32_t i = 0; i < p->n_inputs; i++)
        write_parameter(e, "const ", tg__node_shape(&p->graph, p->input[i]),
                        tg__node_at(&p->graph, p->input[i])->stage == TG__BODY, "x", i, false);
    for (uint32_t i = 0; i < p->n_outputs; i++)
        write_parameter(e, "", tg__node_shape(&p->graph, p->output[i]), p->each[i], "y", i,
                        i + 1 == p->n_outputs);
    tg__write(e, "\n{");
    e->depth = 1;
    bool counts = has_body(e, p);
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        bool used = false;
        for (uint32_t id = 1; id < e->g->n && !used; id++) {
            const tg__node *const node = tg__node_at(e->g, id);
            used = node->op == TG__NODE_INPUT && node->data == i && e->uses[id];
        }
        if (!used) tg__write_line(e, "(void)x%u;", i);
    }
    counts |= e->g->count && e->uses[e->g->count];
    if (!counts) tg__write_line(e, "(void)count;");
}

/* ---- the whole --------------------------------------------------------------------------------- */

static bool is_name(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    static const char all[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789";
    return name && *name && strchr(letters, *name) && name[strspn(name, all)] == 0;
}

/* The emitter's graph, from the program's. */
static bool lower(tg__emitter *e, const tg_program *p, uint32_t *output)
{
    if (p->states.used) {
        tg__graph_fail(e->g, TG_ERROR_ARGUMENT, "a program with states: there is no C for it");
        return false;
    }
    for (uint32_t id = 1; id < p->graph.n; id++) {
        if (!tg__node_acts(&p->graph, id)) continue;
        const tg__node *const node = tg__node_at(&p->graph, id);
        tg__graph_fail(e->g, TG_ERROR_ARGUMENT, "%s: there is no C for it",
                       tg__op_name(tg__ops[node->op], tg__node_data(&p->graph, node->data)));
        return false;
    }
    const tg_compile_options options = { .without = p->graph.without };
    tg__graph derived;
    bool ok = tg__graph_init(&derived, e->g->memory, p->type, &options);
    ok = ok && tg__graph_lower(&derived, &p->graph, TG__DERIVE, NULL, p->output, p->n_outputs, output) &&
         tg__graph_lower(e->g, &derived, TG__EXPRESS, NULL, output, p->n_outputs, output);
    if (!ok && e->g->status.code == TG_OK) e->g->status = derived.status;
    tg__graph_free(&derived);
    return ok;
}

/* Everything but the file. */
static bool write_all(tg__emitter *e, const tg_program *p)
{
    tg__graph *const g = e->g;
    uint32_t *const output = tg__arena_push(&e->room, (p->n_outputs + 1) * sizeof *output);
    if (!output) tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    if (!output || !lower(e, p, output)) return false;
    tg__arena room;
    tg__arena_init(&room, e->room.memory);
    const size_t n = g->n, ops = (size_t)tg__op_count;
    const size_t bytes = n * (2 * sizeof(uint32_t) + sizeof(bool)) + ops * sizeof(bool);
    uint32_t *const by_node = tg__arena_push(&room, bytes);
    if (by_node) {
        memset(by_node, 0, bytes);
        e->uses = by_node;
        e->inlined = (bool *)(by_node + 2 * n);
        e->helper = e->inlined + n;
        count_uses(e, output, p->n_outputs);
        choose_expressions(e, by_node + n, output, p->n_outputs);
        write_body(e, p, output);
        write_head(e, p);
        if (e->bytes > STACK_BYTES) {
            g->site = 0;
            tg__graph_fail(g, TG_ERROR_MEMORY,
                           "the function's arrays would take %zu bytes on the stack, more than %d",
                           e->bytes, STACK_BYTES);
        }
    } else {
        tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    }
    tg__arena_free(&room);
    return !tg__graph_failed(g);
}

static bool write_file(const tg__emitter *e, FILE *file)
{
    fprintf(file,
            "/* %s, for count instances, which lie one behind the other. Inputs and outputs must not\n"
            "   overlap. Written by tapegrad. */\n"
            "%s#include <math.h>\n#include <stdint.h>\n\n",
            e->name, e->asserts ? "#include <assert.h>\n" : "");
    fwrite(e->helpers.data, 1, e->helpers.used, file);
    fwrite(e->body.data, 1, e->body.used, file);
    return !ferror(file);
}

bool tg_program_emit_c(const tg_program *p, const char *name, FILE *file, tg_status *status)
{
    tg__memory memory = { .reserve = 0 };
    tg__graph g;
    tg__emitter e = { .g = &g, .name = name };
    const char *const why = !p               ? "the program is NULL"
                            : !file          ? "the file is NULL"
                            : !is_name(name) ? "the name is no name in C"
                                             : NULL;
    if (why) {
        tg__program_fail(status, TG_ERROR_ARGUMENT, "emit_c", why);
        return false;
    }
    const tg_compile_options options = { .without = p->graph.without };
    const bool made = tg__graph_init(&g, &memory, p->type, &options);
    const bool single = p->type == TG_F32;
    e.real = single ? "float" : "double";
    e.suffix = single ? "f" : "";
    e.to = &e.body;
    tg__arena *const arena[] = { &e.body, &e.helpers, &e.room };
    for (int i = 0; i < 3; i++) tg__arena_init(arena[i], &memory);
    bool ok = made && write_all(&e, p);
    if (ok && !write_file(&e, file)) {
        g.site = 0;
        tg__graph_fail(&g, TG_ERROR_FILE, "the file cannot be written");
        ok = false;
    }
    if (!ok) tg__program_fail(status, g.status.code, "emit_c", g.status.message);
    for (int i = 0; i < 3; i++) tg__arena_free(arena[i]);
    tg__graph_free(&g);
    return ok;
}
