/* Running a program: block after block through the steps of its plan. */
#include <stdio.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/plan.h"

enum { MESSAGE = 256 };

/* What a plan needs for running. Pointers of operands are worked out once, those to inputs again for
   every block. */
typedef struct space {
    const tg__plan *plan; /* NULL: not made yet */
    tg__arena body, shared, partials, pointers, lanes, moving;
    uint32_t block;
} space;

struct tg_workspace {
    const tg_program *program;
    tg__memory memory;
    space space, careful;
    tg__arena scratch;
};

/* One run. */
typedef struct run {
    const tg_program *program;
    const tg__plan *plan;
    const tg__graph *g;
    space *w;
    tg__arena *scratch;
    const void *const *inputs;
    void *const *outputs;
    void **p;               /* of every operand */
    const ptrdiff_t *lane;  /* of every operand */
    tg_status *status;
    int64_t first;          /* instance of the block */
    char message[MESSAGE];
} run;

static void set_status(tg_status *s, tg_code code, const char *message)
{
    if (!s) return;
    s->code = code;
    snprintf(s->message, sizeof s->message, "%s", message);
}

/* ---- memory ------------------------------------------------------------------------------------ */

static size_t operand_count(const tg__plan *plan)
{
    return plan->operands.used / sizeof(tg__operand);
}

static void write_real(void *at, tg_type type, double x)
{
    if (type == TG_F64) *(double *)at = x;
    else *(float *)at = (float)x;
}

static void free_space(space *w)
{
    tg__arena *const arena[] = { &w->body,     &w->shared, &w->partials,
                                 &w->pointers, &w->lanes,  &w->moving };
    for (size_t i = 0; w->plan && i < sizeof arena / sizeof *arena; i++) tg__arena_free(arena[i]);
    w->plan = NULL;
}

static bool make_space(space *w, const tg__plan *plan, tg_type type, tg__memory *m)
{
    if (w->plan) return true;
    *w = (space){ .plan = plan };
    tg__arena *const arena[] = { &w->body,     &w->shared, &w->partials,
                                 &w->pointers, &w->lanes,  &w->moving };
    for (size_t i = 0; i < sizeof arena / sizeof *arena; i++) tg__arena_init(arena[i], m);
    const size_t n = operand_count(plan);
    const bool ok = tg__arena_grow(&w->body, plan->body * plan->block + 64) &&
                    tg__arena_grow(&w->shared, plan->shared + 64) &&
                    tg__arena_grow(&w->partials, plan->partials + 64) &&
                    tg__arena_grow(&w->pointers, n * sizeof(void *)) &&
                    tg__arena_grow(&w->lanes, n * sizeof(ptrdiff_t)) &&
                    tg__arena_grow(&w->moving, n * sizeof(uint32_t));
    if (!ok) {
        free_space(w);
        return false;
    }
    for (int i = 0; i < TG__BATCH_CHUNK; i++)
        write_real(w->shared.data + plan->ones + (size_t)i * tg__type_size(type), type, 1);
    const tg__operand *const o = tg__plan_operands(plan);
    for (size_t i = 0; i < n; i++) ((ptrdiff_t *)(void *)w->lanes.data)[i] = (ptrdiff_t)o[i].lane;
    for (size_t i = 0; i < n; i++) {
        if (o[i].area < TG__AREA_INPUTS) continue;
        ((uint32_t *)(void *)w->moving.data)[w->moving.used / sizeof(uint32_t)] = (uint32_t)i;
        w->moving.used += sizeof(uint32_t);
    }
    return true;
}

tg_workspace *tg_workspace_new(const tg_program *p, tg_status *status)
{
    if (!p) {
        set_status(status, TG_ERROR_ARGUMENT, "workspace_new: the program is NULL");
        return NULL;
    }
    tg__memory own = { .reserve = 0 };
    tg_workspace *const w = tg__allocate(&own, sizeof *w);
    if (w) {
        *w = (tg_workspace){ .program = p, .memory = own };
        tg__arena_init(&w->scratch, &w->memory);
        if (make_space(&w->space, &p->plan, p->type, &w->memory)) return w;
        tg_workspace_free(w);
    }
    set_status(status, TG_ERROR_MEMORY, "workspace_new: no memory for the program's values");
    return NULL;
}

void tg_workspace_free(tg_workspace *w)
{
    if (!w) return;
    free_space(&w->space);
    free_space(&w->careful);
    tg__arena_free(&w->scratch);
    tg__memory own = { .bytes = sizeof *w };
    tg__deallocate(&own, w, sizeof *w);
}

/* Where an operand is; of a batch input, for the block that begins at instance first. */
static void *pointer_of(const run *r, const tg__operand *o)
{
    const space *const w = r->w;
    switch (o->area) {
    case TG__AREA_BODY: return w->body.data + o->offset * w->block + o->view;
    case TG__AREA_SHARED: return w->shared.data + o->offset + o->view;
    case TG__AREA_CONSTANTS: return r->g->constants.data + o->offset + o->view;
    case TG__AREA_PARTIALS: return w->partials.data + o->offset;
    default: break;
    }
    const uint32_t input = o->area - TG__AREA_INPUTS;
    const char *const at = r->inputs[input];
    const tg__shape *const s = tg__node_shape(r->g, r->program->input[input]);
    const bool batch = tg__node_at(r->g, r->program->input[input])->stage == TG__BODY;
    const int64_t step = batch ? r->first * s->n * (int64_t)tg__type_size(s->type) : 0;
    return (void *)(uintptr_t)(at + step + o->view);
}

static void point(const run *r, uint32_t block)
{
    const tg__operand *const o = tg__plan_operands(r->plan);
    if (r->w->block != block) {
        r->w->block = block;
        for (size_t i = 0; i < operand_count(r->plan); i++)
            if (o[i].area < TG__AREA_INPUTS) r->p[i] = pointer_of(r, &o[i]);
    }
    const uint32_t *const moving = (const uint32_t *)(void *)r->w->moving.data;
    for (size_t i = 0; i < r->w->moving.used / sizeof *moving; i++)
        r->p[moving[i]] = pointer_of(r, &o[moving[i]]);
}

/* ---- steps ------------------------------------------------------------------------------------- */

/* An operation on one instance after the other. */
typedef struct calling {
    tg__call call;
    tg__array x[8], dx[8];
    size_t step[8]; /* bytes from one instance's operand to the next */
} calling;

static bool rule_failed(run *r, const tg__step *s, const tg__call *c, tg_code code, int64_t lane)
{
    const tg__node *const node = tg__node_at(r->g, s->node);
    const tg_site *const site = (const tg_site *)(void *)r->g->sites.data + node->site;
    char text[MESSAGE * 2];
    int at = 0;
    if (site->file) at = snprintf(text, sizeof text, "%s:%d: ", site->file, site->line);
    if (at < 0 || at > MESSAGE) at = 0;
    const bool body = node->stage == TG__BODY;
    char where[48] = "";
    if (body) snprintf(where, sizeof where, "instance %lld: ", (long long)(r->first + lane));
    snprintf(text + at, sizeof text - (size_t)at, "%s%s: %s", where,
             tg__op_name(c->op, c->attributes), code == TG_ERROR_MEMORY ? "no memory" : r->message);
    set_status(r->status, code, text);
    return false;
}

static tg__array *operand_room(run *r, uint32_t n)
{
    r->scratch->used = 0;
    return tg__arena_push(r->scratch, 2 * (size_t)n * sizeof(tg__array));
}

/* The op of a RULE or BACKWARD step, one instance after the other. */
static bool call_rule(run *r, const tg__step *s, int64_t n)
{
    const tg__graph *const g = r->g;
    const tg__node *const node = tg__node_at(g, s->node);
    const bool back = s->kind == TG__STEP_BACKWARD;
    const tg__back *const b = back ? tg__node_data(g, node->data) : NULL;
    const int code = back ? b->op : node->op;
    const uint32_t *const id = tg__node_operands(g, node);
    const uint32_t m = back ? node->n - 2 : node->n;
    char *const *const p = (char *const *)r->p + s->first;
    const ptrdiff_t *const lane = r->lane + s->first;
    tg__array *const x = operand_room(r, m);
    if (!x) {
        set_status(r->status, TG_ERROR_MEMORY, "run: no memory");
        return false;
    }
    tg__array *const dx = x + m;
    const size_t kept = r->scratch->used;
    tg__call c = { .op = tg__ops[code],
                   .code = code,
                   .k = g->k,
                   .attributes = tg__node_data(g, back ? b->attributes : node->data),
                   .n = (int)m,
                   .x = x,
                   .dx = dx,
                   .scratch = r->scratch,
                   .message = r->message,
                   .message_size = sizeof r->message };
    const uint32_t result = back ? id[m] : s->node;
    const tg__shape *const ys = tg__node_shape(g, result);
    for (uint32_t j = 0; j < m; j++) {
        x[j].s = tg__node_shape(g, id[j]);
        dx[j] = (tg__array){ x[j].s, NULL };
    }
    const tg__shape *const ds = tg__node_shape(g, s->node);
    const size_t dx_bytes = (size_t)ds->n * tg__type_size(ds->type);
    for (int64_t l = 0; l < n; l++) {
        for (uint32_t j = 0; j < m; j++)
            x[j].p = p[1 + j] + l * lane[1 + j] * (ptrdiff_t)tg__type_size(x[j].s->type);
        const ptrdiff_t size = (ptrdiff_t)tg__type_size(ys->type);
        tg_code result_code;
        r->scratch->used = kept;
        if (back) {
            c.y = (tg__array){ ys, p[1 + m] + l * lane[1 + m] * size };
            c.g = p[2 + m] + l * lane[2 + m] * size;
            dx[b->by].p = p[0] + l * lane[0] * (ptrdiff_t)tg__type_size(ds->type);
            memset(dx[b->by].p, 0, dx_bytes);
            result_code = c.op->backward(&c);
        } else {
            c.y = (tg__array){ ys, p[0] + l * lane[0] * size };
            result_code = c.op->forward(&c);
        }
        if (result_code != TG_OK) return rule_failed(r, s, &c, result_code, l);
    }
    return true;
}

/* Fills in the number of instances. */
static void set_instances(tg__shape *s, int64_t n)
{
    s->dim[0] = n;
    s->n *= n;
}

/* The op of a BLOCK step, on all instances. */
static bool call_block(run *r, const tg__step *s, int64_t n)
{
    const tg__form *const f = (const tg__form *)(void *)r->plan->forms.data + s->columns;
    void *const *const p = r->p + s->first;
    tg__shape shape[4];
    tg__array x[3], dx[3];
    for (int i = 0; i < f->n; i++) {
        shape[i] = f->x[i];
        if (f->batched[i]) set_instances(&shape[i], n);
        x[i] = (tg__array){ &shape[i], p[1 + f->from[i]] };
        dx[i] = (tg__array){ &shape[i], NULL };
    }
    shape[3] = f->y;
    set_instances(&shape[3], n);
    const uint32_t m = s->n - 3; /* operands of a gradient's op */
    r->scratch->used = 0;
    tg__call c = { .op = tg__ops[f->code],
                   .code = f->code,
                   .k = r->g->k,
                   .attributes = &f->attributes,
                   .n = f->n,
                   .x = x,
                   .y = { &shape[3], f->back ? p[1 + m] : p[0] },
                   .g = f->back ? p[2 + m] : NULL,
                   .dx = dx,
                   .scratch = r->scratch,
                   .message = r->message,
                   .message_size = sizeof r->message };
    if (f->back) dx[f->by].p = p[0];
    if (f->back && !f->summed)
        memset(p[0], 0, (size_t)shape[f->by].n * tg__type_size(shape[f->by].type));
    const tg_code code = f->back ? c.op->backward(&c) : c.op->forward(&c);
    return code == TG_OK || rule_failed(r, s, &c, code, 0);
}

/* An elementwise op on tensors of different shapes: the instances are one more axis. */
static void walk(run *r, const tg__step *s, int64_t n)
{
    const tg__graph *const g = r->g;
    const tg__node *const node = tg__node_at(g, s->node);
    const uint32_t *const id = tg__node_operands(g, node);
    const tg__shape *const y = tg__node_shape(g, s->node);
    tg__shape shape[4];
    tg__array a[4];
    for (uint32_t j = 0; j <= node->n; j++) {
        const tg__shape own = j ? tg__broadcast_to(tg__node_shape(g, id[j - 1]), y) : *y;
        shape[j] = own;
        shape[j].rank = own.rank + 1;
        shape[j].dim[0] = n;
        shape[j].stride[0] = r->lane[s->first + j];
        for (int i = 0; i < own.rank; i++) {
            shape[j].dim[i + 1] = own.dim[i];
            shape[j].stride[i + 1] = own.stride[i];
        }
        shape[j].n = own.n * n;
        a[j] = (tg__array){ &shape[j], r->p[s->first + j] };
    }
    tg__walk w;
    tg__walk_begin(&w, 1 + (int)node->n, a);
    do g->k->map_forward[s->op](w.n, w.p[0], (const void *const *)(w.p + 1), w.stride + 1);
    while (tg__walk_next(&w));
}

static void assemble(run *r, const tg__step *s, int64_t n)
{
    const tg__graph *const g = r->g;
    const tg__node *const node = tg__node_at(g, s->node);
    const uint32_t *const id = tg__node_operands(g, node);
    const tg__shape *const y = tg__node_shape(g, s->node);
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(y->type);
    const uint32_t m = node->n / 2;
    char *const *const p = (char *const *)r->p + s->first;
    const ptrdiff_t *const lane = r->lane + s->first;
    for (int64_t l = 0; l < n; l++) {
        char *const to = p[0] + l * lane[0] * size;
        memset(to, 0, (size_t)(y->n * size));
        for (uint32_t j = 0; j < m; j++) {
            const uint32_t look = id[m + j];
            tg__shape from = *tg__node_shape(g, id[j]);
            const tg__array x = { &from, p[1 + j] + l * lane[1 + j] * size };
            const int64_t offset = look ? tg__node_offset(g, look) : 0;
            const tg__shape *const at = look ? tg__node_shape(g, look) : y;
            tg__add(g->k, (tg__array){ at, to + offset * size }, x);
        }
    }
}

/* sum += x, instance after instance. */
static void sum_up(run *r, const tg__step *s, int64_t n)
{
    const tg__graph *const g = r->g;
    const uint32_t x = tg__node_operands(g, tg__node_at(g, s->node))[0];
    const tg__shape *const from = tg__node_shape(g, x);
    tg__shape y = *from;
    tg__shape_finish(&y);
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(from->type);
    for (int64_t l = 0; l < n; l++) {
        const tg__array a = { from, (char *)r->p[s->first + 1] + l * r->lane[s->first + 1] * size };
        tg__add(g->k, (tg__array){ &y, r->p[s->first] }, a);
    }
}

static bool do_steps(run *r, tg__stage stage, int64_t n)
{
    const tg__kernels *const k = r->g->k;
    const tg__step *s = tg__plan_steps(r->plan) + r->plan->begin[stage];
    const tg__step *const end = tg__plan_steps(r->plan) + r->plan->begin[stage + 1];
    for (; s < end; s++) {
        void **const p = r->p + s->first;
        const void *const *const x = (const void *const *)(p + 1);
        const ptrdiff_t *const lane = r->lane + s->first + 1;
        switch ((tg__step_kind)s->kind) {
        case TG__STEP_MAP:
            k->map_forward[s->op](s->range ? (int64_t)(s->width - 1) * r->w->block + n
                                           : n * s->width,
                                  p[0], x, lane);
            break;
        case TG__STEP_WALK: walk(r, s, n); break;
        case TG__STEP_RULE:
        case TG__STEP_BACKWARD:
            if (!call_rule(r, s, n)) return false;
            break;
        case TG__STEP_BLOCK:
            if (!call_block(r, s, n)) return false;
            break;
        case TG__STEP_ASSEMBLE: assemble(r, s, n); break;
        case TG__STEP_COPY: k->copy(n, p[0], 1, x[0], lane[0]); break;
        case TG__STEP_DOT: k->lanes.dot(n, p[0], s->columns, x, lane); break;
        case TG__STEP_DOTS:
            k->lanes.dots(n, s->width, s->columns, p, (const void *const *)p + s->width,
                          (const void *const *)p + s->width + s->columns);
            break;
        case TG__STEP_SUM: sum_up(r, s, n); break;
        case TG__STEP_OUTER:
            k->lanes.outer(n, s->width, s->columns, p[0], x, x + s->width);
            break;
        }
    }
    return true;
}

/* ---- the batch --------------------------------------------------------------------------------- */

/* Adds the chunk's sums to the totals; they begin again at 0. */
static void add_partials(const run *r)
{
    const tg__total *const t = (const tg__total *)(void *)r->plan->totals.data;
    const bool f64 = r->program->type == TG_F64;
    for (uint32_t i = 0; i < r->plan->n_totals; i++) {
        char *const total = r->w->shared.data + t[i].total;
        char *const part = r->w->partials.data + t[i].partial;
        if (!t[i].lanes) {
            r->g->k->add(t[i].n, total, 1, part, 1);
            memset(part, 0, t[i].n * tg__type_size(r->program->type));
            continue;
        }
        /* Halves, their halves ...: the same tree at every level. */
        for (int half = TG__LANE_SUMS / 2; half; half /= 2)
            for (int l = 0; l < half; l++) {
                if (f64) ((double *)(void *)part)[l] += ((double *)(void *)part)[l + half];
                else ((float *)(void *)part)[l] += ((float *)(void *)part)[l + half];
            }
        r->g->k->add(1, total, 1, part, 1);
        memset(part, 0, TG__LANE_SUMS * tg__type_size(r->program->type));
    }
}

static void clear_sums(const run *r)
{
    const tg__total *const t = (const tg__total *)(void *)r->plan->totals.data;
    const size_t size = tg__type_size(r->program->type);
    for (uint32_t i = 0; i < r->plan->n_totals; i++)
        memset(r->w->shared.data + t[i].total, 0, t[i].n * size);
    memset(r->w->partials.data, 0, r->plan->partials);
}

/* Writes the outputs of n instances, or of the whole run, where the caller wants them. */
static void write_outputs(const run *r, bool each, int64_t n)
{
    const tg__output *const o = (const tg__output *)(void *)r->plan->outputs.data;
    for (uint32_t i = 0; i < r->plan->n_outputs; i++) {
        if (o[i].each != each || !r->outputs[i]) continue;
        const tg__shape *const s = tg__node_shape(r->g, o[i].node);
        const ptrdiff_t size = (ptrdiff_t)tg__type_size(s->type);
        tg__shape own = *s;
        tg__shape_finish(&own);
        const char *const from = pointer_of(r, &o[i].from);
        char *const to = (char *)r->outputs[i] + (each ? r->first * s->n * size : 0);
        for (int64_t l = 0; l < n; l++) {
            const ptrdiff_t lane = (ptrdiff_t)o[i].from.lane;
            const tg__array x = { s, (void *)(uintptr_t)(from + l * lane * size) };
            tg__copy(r->g->k, (tg__array){ &own, to + l * s->n * size }, x);
        }
    }
}

static bool check(const tg_program *p, const tg_workspace *w, int64_t count,
                  const void *const *inputs, void *const *outputs, tg_status *status)
{
    char text[MESSAGE];
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
    char message[MESSAGE + 8];
    snprintf(message, sizeof message, "run: %s", why);
    set_status(status, TG_ERROR_ARGUMENT, message);
    return false;
}

/* The whole batch by one plan. */
static bool run_plan(run *r, int64_t count)
{
    const tg__plan *const plan = r->plan;
    const uint32_t block =
        count < (int64_t)plan->block ? (uint32_t)(count > 1 ? count : 1) : plan->block;
    r->p = (void **)(void *)r->w->pointers.data;
    r->lane = (const ptrdiff_t *)(const void *)r->w->lanes.data;
    r->first = 0;
    point(r, block);
    clear_sums(r);
    if (plan->count != UINT64_MAX)
        write_real(r->w->shared.data + plan->count, r->program->type, (double)count);
    if (!do_steps(r, TG__EARLY, 1)) return false;
    for (int64_t i = 0, n; i < count; i += n) {
        const int64_t chunk = TG__BATCH_CHUNK - i % TG__BATCH_CHUNK, left = count - i;
        n = block < chunk ? block : chunk;
        if (n > left) n = left;
        r->first = i;
        if (i) point(r, block);
        if (!do_steps(r, TG__BODY, n)) return false;
        write_outputs(r, true, n);
        if ((i + n) % TG__BATCH_CHUNK == 0 || i + n == count) add_partials(r);
    }
    if (!do_steps(r, TG__LATE, 1)) return false;
    r->first = 0;
    write_outputs(r, false, 1);
    return true;
}

static bool all_finite(const run *r, int64_t count)
{
    const tg__output *const o = (const tg__output *)(void *)r->plan->outputs.data;
    for (uint32_t i = 0; i < r->plan->n_outputs; i++) {
        const tg_type type = tg__node_shape(r->g, o[i].node)->type;
        if (!r->outputs[i] || type == TG_I64) continue;
        const int64_t n = (int64_t)o[i].size * (o[i].each ? count : 1);
        double sum = 0; /* NaN once there is an infinity or NaN */
        if (type == TG_F64)
            for (int64_t j = 0; j < n; j++) sum += ((double *)r->outputs[i])[j] * 0;
        else
            for (int64_t j = 0; j < n; j++) sum += (double)(((float *)r->outputs[i])[j] * 0);
        if (sum != 0) return false;
    }
    return true;
}

bool tg_run(const tg_program *p, tg_workspace *w, int64_t count, const void *const *inputs,
            void *const *outputs, tg_status *status)
{
    if (!check(p, w, count, inputs, outputs, status)) return false;
    run r = { .program = p, .plan = &p->plan, .g = &p->graph, .w = &w->space,
              .scratch = &w->scratch, .inputs = inputs, .outputs = outputs, .status = status };
    if (!run_plan(&r, count)) return false;
    if (!p->plan.quick || all_finite(&r, count)) return true;
    if (!make_space(&w->careful, &p->careful, p->type, &w->memory)) {
        set_status(status, TG_ERROR_MEMORY, "run: no memory for the program's values");
        return false;
    }
    r.plan = &p->careful;
    r.w = &w->careful;
    return run_plan(&r, count);
}
