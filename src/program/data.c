/* What comes into a run and goes out: see run.h. */
#include <stdio.h>
#include <string.h>

#include "program/run.h"

enum { FEW = 32 };

/* One number, few, or many. */
static inline void copy_bytes(void *to_, const void *from_, size_t bytes)
{
    char *to = to_;
    const char *from = from_;
    if (bytes == 8) memcpy(to, from, 8);
    else if (bytes > FEW * 8 || bytes % 8) memcpy(to, from, bytes);
    else for (; bytes; bytes -= 8, to += 8, from += 8) memcpy(to, from, 8);
}

bool tg__run_check(const tg_program *p, const tg_workspace *w, int64_t count,
                  const void *const *inputs, void *const *outputs, tg_status *status)
{
    char text[64];
    const char *why = NULL;
    if (!p || !w) why = "the program or the workspace is NULL";
    else if (w->program != p) why = "the workspace is another program's";
    else if (count < 0) why = "a negative number of instances";
    else if (!outputs && p->n_outputs) why = "no place for outputs given";
    else if (!inputs && p->n_inputs) why = "no inputs given";
    for (uint32_t i = 0; !why && i < p->n_inputs; i++) {
        if (inputs[i] || tg__node_shape(&p->graph, p->input[i])->n == 0) continue;
        if (count == 0 && tg__node_at(&p->graph, p->input[i])->stage == TG__BODY) continue;
        snprintf(text, sizeof text, "input %u is NULL", i);
        why = text;
    }
    if (!why) return true;
    tg__program_fail(status, TG_ERROR_ARGUMENT, "run", why);
    return false;
}

void *tg__space_at(const tg__space *w, const tg__graph *g, const tg__operand *o)
{
    switch (o->area) {
    case TG__AREA_BODY: return w->body.data + o->offset * w->block + o->view;
    case TG__AREA_SHARED: return w->shared + o->offset + o->view;
    case TG__AREA_CONSTANTS: return g->constants.data + o->offset + o->view;
    case TG__AREA_PARTIALS: return w->partials.data + o->offset;
    default: return w->strips.data + o->offset;
    }
}

/* Where an operand is; of a batch input, for the block that begins at instance first. */
static void *pointer_of(const tg__replay *r, const tg__operand *o)
{
    if (o->area < TG__AREA_INPUTS) return tg__space_at(r->w, r->g, o);
    return (void *)(uintptr_t)(tg__run_input(r, o->area - TG__AREA_INPUTS) + o->view);
}

/* The operands on a list. */
static void point_at(const tg__replay *r, const tg__arena *list)
{
    const tg__operand *const o = tg__plan_operands(r->plan);
    const uint32_t *const which = (const uint32_t *)(void *)list->data;
    for (size_t i = 0; i < list->used / sizeof *which; i++)
        r->p[which[i]] = pointer_of(r, &o[which[i]]);
}

void tg__run_point(const tg__replay *r, uint32_t block)
{
    const tg__operand *const o = tg__plan_operands(r->plan);
    tg__space *const w = r->w;
    if (w->block != block) {
        w->block = block;
        for (size_t i = 0; i < tg__operand_count(r->plan); i++)
            if (o[i].area < TG__AREA_INPUTS) r->p[i] = pointer_of(r, &o[i]);
    }
    const size_t bytes = r->program->n_inputs * sizeof(void *);
    if (bytes && memcmp(w->inputs.data, r->inputs, bytes) == 0) return;
    if (bytes) memcpy(w->inputs.data, r->inputs, bytes);
    point_at(r, &w->given);
}

void tg__run_point_block(const tg__replay *r)
{
    point_at(r, &r->w->moving);
}

void tg__run_take_single(const tg__replay *r)
{
    const tg__link *l = (const tg__link *)(void *)r->w->links.data;
    const bool laid_out = r->options->inputs;
    for (size_t n = r->w->links.used / sizeof *l; n > 0; n--, l++) {
        const char *at = laid_out ? tg__run_input(r, l->input) : r->inputs[l->input];
        at += l->view;
        if (l->bytes) copy_bytes(l->to, at, l->bytes);
        else memcpy(l->to, &at, sizeof at);
    }
}

/* The output's elements, all defaults filled in. */
static tg_output_layout layout_of(const tg__replay *r, uint32_t output, bool *dense)
{
    const tg_program *const p = r->program;
    const tg_output_layout *const given = r->options->outputs;
    tg_output_layout o = given ? given[output] : (tg_output_layout){ 0 };
    const int64_t n = tg__node_shape(r->g, p->output[output])->n;
    const int64_t columns = p->rows[output] ? n / p->rows[output] : n;
    if (!o.column) o.column = 1;
    if (!o.row) o.row = columns * o.column;
    if (!o.instance) o.instance = n / (columns ? columns : 1) * o.row;
    *dense = o.column == 1 && o.row == columns && o.instance == n;
    return o;
}

/* n scalars, one of every instance. */
static void scatter(int64_t n, size_t size, char *to, int64_t step, const char *from, int64_t lane)
{
    if (size == 8)
        for (int64_t l = 0; l < n; l++)
            memcpy(to + l * step * 8, from + l * lane * 8, 8);
    else
        for (int64_t l = 0; l < n; l++)
            memcpy(to + l * step * 4, from + l * lane * 4, 4);
}

void tg__run_write_states(const tg__replay *r)
{
    const tg__output *const o = (const tg__output *)(void *)r->plan->outputs.data;
    uint32_t n;
    const tg__state *const state = tg__program_states(&r->program->states, &n);
    for (uint32_t i = 0; i < n; i++) {
        const tg__output *const from = &o[r->plan->n_outputs - n + i];
        const tg__shape *const s = tg__node_shape(r->g, from->node);
        tg__shape own = *s;
        tg__shape_finish(&own);
        tg__copy(r->g->k, (tg__array){ &own, (void *)(uintptr_t)r->inputs[state[i].input] },
                 (tg__array){ s, pointer_of(r, &from->from) });
    }
}

static void write_output(const tg__replay *r, uint32_t k, int64_t n)
{
    const tg__output *const o = (const tg__output *)(void *)r->plan->outputs.data + k;
    const uint32_t output = r->program->written.output[k];
    const tg__shape *const s = tg__node_shape(r->g, o->node);
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(s->type), lane = (ptrdiff_t)o->from.lane;
    bool dense;
    const tg_output_layout layout = layout_of(r, output, &dense);
    const char *const from = pointer_of(r, &o->from);
    const int64_t first = o->each ? r->first : 0;
    char *const to = (char *)r->outputs[output] +
                     (first * layout.instance + r->program->written.row[k] * layout.row) * size;
    const int64_t whole = tg__node_shape(r->g, r->program->output[output])->n;
    if (dense && s->n == whole && s->n && o->adjacent && (n == 1 || lane == s->n)) {
        memcpy(to, from, (size_t)(n * s->n * size));
        return;
    }
    if (s->n == 1) {
        scatter(n, (size_t)size, to, layout.instance, from, lane);
        return;
    }
    tg__shape own = *s;
    tg__shape_finish(&own);
    for (int i = 0; i < own.rank; i++) own.stride[i] *= layout.column;
    if (r->program->rows[output] > 1 && s->n == whole) own.stride[0] = layout.row;
    for (int64_t l = 0; l < n; l++) {
        const tg__array x = { s, (void *)(uintptr_t)(from + l * lane * size) };
        tg__copy(r->g->k, (tg__array){ &own, to + l * layout.instance * size }, x);
    }
}

void tg__run_write(const tg__replay *r, bool each, int64_t n)
{
    const tg__output *const o = (const tg__output *)(void *)r->plan->outputs.data;
    for (uint32_t k = 0; k < r->plan->n_outputs; k++) {
        const uint32_t output = r->program->written.output[k];
        const bool wanted = output < r->program->n_outputs && r->outputs[output];
        if (o[k].each == each && wanted) write_output(r, k, n);
    }
}

/* Whether n numbers, `step` apart, have no infinity or NaN among them. */
static bool are_finite(const tg__kernels *k, const char *p, tg_type type, int64_t n, int64_t step)
{
    if (step == 1) return k->lanes.finite(n, p);
    double sum = 0;
    if (type == TG_F64)
        for (int64_t j = 0; j < n; j++) sum += ((const double *)(const void *)p)[j * step] * 0;
    else
        for (int64_t j = 0; j < n; j++)
            sum += (double)(((const float *)(const void *)p)[j * step] * 0);
    return sum == 0;
}

bool tg__run_all_finite(const tg__replay *r)
{
    for (uint32_t i = 0; i < r->program->n_outputs; i++) {
        const tg__shape *const s = tg__node_shape(r->g, r->program->output[i]);
        if (!r->outputs[i] || s->type == TG_I64) continue;
        bool dense;
        const tg_output_layout o = layout_of(r, i, &dense);
        const int64_t size = (int64_t)tg__type_size(s->type);
        const int64_t count = r->program->each[i] ? r->count : 1, rows = r->program->rows[i] ? r->program->rows[i] : 1;
        const char *const p = r->outputs[i];
        if (dense) {
            if (!are_finite(r->g->k, p, s->type, count * s->n, 1)) return false;
            continue;
        }
        for (int64_t l = 0; l < count; l++)
            for (int64_t k = 0; k < rows; k++)
                if (!are_finite(r->g->k, p + (l * o.instance + k * o.row) * size, s->type, s->n / rows, o.column))
                    return false;
    }
    return true;
}

/* The same of one or few, whose exponents are looked at. */
static inline bool is_finite_f64(const char *p)
{
    uint64_t x;
    memcpy(&x, p, sizeof x);
    return (x & (uint64_t)0x7ff << 52) != (uint64_t)0x7ff << 52;
}

static bool are_few_finite(const char *p, tg_type type, size_t n)
{
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        uint32_t x = 0;
        if (type == TG_F32) memcpy(&x, p + i * 4, 4);
        finite &= type == TG_F64 ? is_finite_f64(p + i * 8) : (x & 0xffu << 23) != 0xffu << 23;
    }
    return finite;
}

/* What a run of one instance wrote there. */
static bool is_written_finite(const tg__replay *r, const tg__copy_out *c, const char *at)
{
    const size_t size = tg__type_size(r->program->type);
    if (size == 8 && c->bytes == 8) return is_finite_f64(at);
    if (c->bytes > FEW * size) return are_finite(r->g->k, at, r->program->type, (int64_t)(c->bytes / size), 1);
    return are_few_finite(at, r->program->type, c->bytes / size);
}

bool tg__run_write_single(const tg__replay *r)
{
    const bool quick = r->plan->quick;
    if (r->options->outputs) {
        tg__run_write(r, true, 1);
        tg__run_write(r, false, 1);
        return !quick || tg__run_all_finite(r);
    }
    const tg__copy_out *c = (const tg__copy_out *)(void *)r->w->copies.data;
    const size_t size = tg__type_size(r->program->type);
    bool finite = true;
    for (size_t n = r->w->copies.used / sizeof *c; n > 0; n--, c++) {
        if (!r->outputs[c->output]) continue;
        char *const to = (char *)r->outputs[c->output] + c->offset;
        const bool looked_at = quick && c->floating;
        if (looked_at && c->adjacent && c->bytes > FEW * size) {
            finite &= r->g->k->lanes.copy_finite((int64_t)(c->bytes / size), to, c->from);
            continue;
        }
        if (c->adjacent) copy_bytes(to, c->from, c->bytes);
        else write_output(r, c->number, 1);
        if (looked_at) finite &= is_written_finite(r, c, to);
    }
    return finite;
}
