/* Where a run's inputs are: see run.h. Instances that do not lie one behind the other, as the plan
   expects them, are put so, block by block. */
#include <stdio.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/run.h"

/* Batch inputs do, and directions and cotangents that there is one of for every instance. */
static bool varies(const tg__replay *r, uint32_t input)
{
    return tg__node_at(r->g, r->program->input[input])->stage == TG__BODY;
}

static const tg__shape *shape_of(const tg__replay *r, uint32_t input)
{
    return tg__node_shape(r->g, r->program->input[input]);
}

/* The layout that the caller gave, its defaults filled in. */
static tg_input_layout layout_of(const tg__replay *r, uint32_t input)
{
    const tg_input_layout *const given = r->options->inputs;
    tg_input_layout l = given ? given[input] : (tg_input_layout){ 0 };
    if (!l.element) l.element = 1;
    if (!l.instance) l.instance = shape_of(r, input)->n * l.element;
    return l;
}

/* Whether its instances must be brought together. */
static bool is_apart(const tg__replay *r, uint32_t input)
{
    if (!r->options->inputs || !varies(r, input)) return false;
    const tg_input_layout l = layout_of(r, input);
    return l.rows || l.element != 1 || l.instance != shape_of(r, input)->n;
}

static const char *instance_of(const tg__replay *r, uint32_t input, const tg_input_layout *l,
                               int64_t instance)
{
    const int64_t row = l->rows ? l->rows[instance] : instance;
    return (const char *)r->inputs[input] +
           row * l->instance * (int64_t)tg__type_size(shape_of(r, input)->type);
}

/* ---- checks before anything is written ----------------------------------------------------------- */

static bool fail(const tg__replay *r, tg_code code, const char *why)
{
    tg__program_fail(r->status, code, "run", why);
    return false;
}

static bool check_rows(const tg__replay *r, uint32_t input)
{
    const tg_input_layout l = layout_of(r, input);
    char why[128];
    for (int64_t i = 0; i < r->count && l.rows; i++) {
        if (l.rows[i] >= 0 && l.rows[i] < l.table) continue;
        snprintf(why, sizeof why, "instance %lld: row %lld of input %u, a table of %lld rows", (long long)i,
                 (long long)l.rows[i], input, (long long)l.table);
        return fail(r, TG_ERROR_INDEX, why);
    }
    return true;
}

/* How many places an op's index may name, or -1: it is none; *ignored too. */
static int64_t places_of(const tg__graph *g, const tg__node *node, uint32_t operand, int64_t *ignored)
{
    const void *const a = tg__node_data(g, node);
    const tg__shape *const s = tg__node_shape(g, tg__node_operands(g, node)[0]);
    *ignored = TG_NO_INDEX;
    if (node->op == TG__CODE_one_hot) return ((const tg_classes_attributes *)a)->classes;
    if (operand != 1) return -1;
    switch (node->op) {
    case TG__CODE_index_select:
    case TG__CODE_gather:
    case TG__CODE_scatter_add: return s->dim[tg__axis(((const tg_axis_attributes *)a)->axis, s->rank)];
    case TG__CODE_embedding: return s->dim[0];
    case TG__CODE_take: return s->n;
    case TG__CODE_nll:
    case TG__CODE_nll_weighted:
        *ignored = ((const tg_labels_attributes *)a)->ignore_index;
        return s->dim[s->rank - 1];
    case TG__CODE_cross_entropy:
    case TG__CODE_cross_entropy_weighted:
        *ignored = ((const tg_smoothed_attributes *)a)->ignore_index;
        return s->dim[s->rank - 1];
    default: return -1;
    }
}

/* Every index that operand x of a node, an input or a view of one, has in this run. */
static bool check_indices(const tg__replay *r, uint32_t id, uint32_t x, int64_t places, int64_t ignored)
{
    const tg__graph *const g = r->g;
    const uint32_t input = tg__node_word(g, tg__node_at(g, tg__node_owner(g, x)));
    const tg_input_layout l = layout_of(r, input);
    tg__shape s = *tg__node_shape(g, x);
    for (int i = 0; i < s.rank; i++) s.stride[i] *= l.element;
    const int64_t count = varies(r, input) ? r->count : 1;
    for (int64_t i = 0; i < count && s.n; i++) {
        const char *const at = varies(r, input) ? instance_of(r, input, &l, i) : r->inputs[input];
        tg__walk w;
        tg__walk_begin(&w, 1, &(tg__array){ &s, (void *)(uintptr_t)(at + tg__node_offset(g, x) * l.element * 8) });
        do
            for (int64_t k = 0; k < w.n; k++) {
                const int64_t index = ((const int64_t *)(const void *)w.p[0])[k * w.stride[0]];
                if ((index >= 0 && index < places) || (index == ignored && ignored != TG_NO_INDEX)) continue;
                char text[TG__RUN_MESSAGE], where[48] = "";
                const int n = tg__run_site(r, id, text, sizeof text / 2);
                if (varies(r, input)) snprintf(where, sizeof where, "instance %lld: ", (long long)i);
                snprintf(text + n, sizeof text - (size_t)n, "%s%s: index %lld is outside 0 ... %lld", where,
                         tg__ops[tg__node_at(g, id)->op]->name, (long long)index, (long long)places - 1);
                if (r->status) {
                    r->status->code = TG_ERROR_INDEX;
                    snprintf(r->status->message, sizeof r->status->message, "%s", text);
                }
                return false;
            }
        while (tg__walk_next(&w));
    }
    return true;
}

bool tg__run_check_inputs(const tg__replay *r)
{
    char why[96];
    for (uint32_t i = 0; i < r->program->n_inputs && r->options->inputs; i++) {
        const tg_input_layout l = r->options->inputs[i];
        if (!varies(r, i) && (l.instance || l.element || l.rows)) {
            snprintf(why, sizeof why, "input %u has a layout, but does not vary over the batch", i);
            return fail(r, TG_ERROR_ARGUMENT, why);
        }
        if (varies(r, i) && !check_rows(r, i)) return false;
    }
    const tg__indexing *const x = (const tg__indexing *)(void *)r->program->indices.data;
    for (size_t i = 0; i < r->program->indices.used / sizeof *x; i++) {
        const bool given = r->inputs[tg__node_word(r->g, tg__node_at(r->g, tg__node_owner(r->g, x[i].operand)))];
        if (given && !check_indices(r, x[i].node, x[i].operand, x[i].places, x[i].ignored)) return false;
    }
    return true;
}

bool tg__program_list_indices(tg_program *p)
{
    const tg__graph *const g = &p->graph;
    tg__arena_init(&p->indices, &p->memory);
    for (uint32_t id = 1; id < g->n && g->has_rules; id++) {
        const tg__node *const node = tg__node_at(g, id);
        const tg__op *const op = tg__node_op(node);
        if (!op || op->kind == TG__MAP || !strchr(op->letters, 'i')) continue;
        for (uint32_t j = 0; j < tg__node_n(node); j++) {
            const uint32_t x = tg__node_operands(g, node)[j];
            if (tg__letter(op->letters, (int)j) != 'i') continue;
            if (tg__node_at(g, tg__node_owner(g, x))->op != TG__NODE_INPUT) continue;
            tg__indexing entry = { .node = id, .operand = x };
            entry.places = places_of(g, node, j, &entry.ignored);
            if (entry.places < 0) continue;
            const size_t used = p->indices.used;
            if (!tg__arena_grow(&p->indices, used + sizeof entry))
                return tg__graph_fail(&p->graph, TG_ERROR_MEMORY, "no memory");
            memcpy(p->indices.data + used, &entry, sizeof entry);
            p->indices.used = used + sizeof entry;
        }
    }
    return true;
}

/* ---- bringing instances together ----------------------------------------------------------------- */

static size_t bytes_of(const tg__replay *r, uint32_t input)
{
    const tg__shape *const s = shape_of(r, input);
    return (size_t)s->n * tg__type_size(s->type);
}

bool tg__run_stage(const tg__replay *r, tg__space *w)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < r->program->n_inputs && r->options->inputs; i++)
        if (is_apart(r, i)) bytes += (bytes_of(r, i) * w->plan->block + 63) / 64 * 64;
    if (tg__arena_grow(&w->staged, bytes)) return true;
    return fail(r, TG_ERROR_MEMORY, "no memory to bring instances together");
}

const char *tg__run_input(const tg__replay *r, uint32_t input)
{
    const char *const given = r->inputs[input];
    if (!varies(r, input)) return given;
    if (!is_apart(r, input)) return given + r->first * (int64_t)bytes_of(r, input);
    const char *at = r->w->staged.data;
    for (uint32_t i = 0; i < input; i++)
        if (is_apart(r, i)) at += (bytes_of(r, i) * r->plan->block + 63) / 64 * 64;
    return at;
}

/* n instances of m elements of 8 or 4 bytes, 8 at a time: they may lie side by side. */
static void transpose(char *to, const char *const *from, int64_t n, int64_t m, int64_t step, size_t size)
{
    for (int64_t first = 0; first < n; first += 8) {
        const int64_t end = n - first < 8 ? n : first + 8;
        for (int64_t j = 0; j < m; j++)
            for (int64_t l = first; l < end; l++) {
                char *const y = to + (l * m + j) * (int64_t)size;
                const char *const x = from[l] + j * step * (int64_t)size;
                if (size == 8) memcpy(y, x, 8);
                else memcpy(y, x, 4);
            }
    }
}

void tg__run_gather(const tg__replay *r, int64_t n)
{
    const char *from[TG__BATCH_CHUNK];
    for (uint32_t i = 0; i < r->program->n_inputs && r->options->inputs; i++) {
        if (!is_apart(r, i) || !r->inputs[i]) continue;
        const tg_input_layout l = layout_of(r, i);
        char *const to = (char *)(uintptr_t)tg__run_input(r, i);
        const tg__shape *const s = shape_of(r, i);
        for (int64_t k = 0; k < n; k++) from[k] = instance_of(r, i, &l, r->first + k);
        if (l.element != 1) {
            transpose(to, from, n, s->n, l.element, tg__type_size(s->type));
            continue;
        }
        const size_t bytes = bytes_of(r, i);
        for (int64_t k = 0; k < n; k++) memcpy(to + (size_t)k * bytes, from[k], bytes);
    }
}
