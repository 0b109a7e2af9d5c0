/* Running a program: block after block through the steps of its plan. */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/team.h"
#include "codes.h" /* generated */
#include "program/plan.h"

enum { MESSAGE = 256 };

/* What a plan needs for running. Pointers of operands are worked out once; those to shared inputs
   again when the caller's data has moved, those to batch inputs for every block. */
typedef struct space {
    const tg__plan *plan; /* NULL: not made yet */
    tg__arena body, own, partials, sums, pointers, lanes, moving, given, inputs;
    char *shared; /* the first member's own, for all */
    uint32_t block;
} space;

/* Of one member of the team. */
typedef struct desk {
    tg__memory memory;
    space quick, careful;
    tg__arena scratch;
} desk;

struct tg_workspace {
    const tg_program *program;
    tg__memory memory;
    size_t bytes;
    int members;
    tg__team *team; /* NULL: one member */
    desk desk[];
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
    int64_t count;
    int64_t first;          /* instance of the block */
    char message[MESSAGE];
} run;

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
    tg__arena *const arena[] = { &w->body,     &w->own,   &w->partials, &w->sums,
                                 &w->pointers, &w->lanes, &w->moving, &w->given, &w->inputs };
    for (size_t i = 0; w->plan && i < sizeof arena / sizeof *arena; i++) tg__arena_free(arena[i]);
    w->plan = NULL;
}

/* shared: where the first member has what all share; NULL: this is the first. */
static bool make_space(space *w, const tg_program *p, const tg__plan *plan, char *shared,
                       tg__memory *m)
{
    if (w->plan) return true;
    *w = (space){ .plan = plan };
    tg__arena *const arena[] = { &w->body,     &w->own,   &w->partials, &w->sums,
                                 &w->pointers, &w->lanes, &w->moving, &w->given, &w->inputs };
    for (size_t i = 0; i < sizeof arena / sizeof *arena; i++) tg__arena_init(arena[i], m);
    const size_t n = operand_count(plan);
    const bool ok = tg__arena_grow(&w->body, plan->body * plan->block + 64) &&
                    (shared || (tg__arena_grow(&w->own, plan->shared + 64) &&
                                tg__arena_grow(&w->sums, plan->partials + 64))) &&
                    tg__arena_grow(&w->partials, plan->partials + 64) &&
                    tg__arena_grow(&w->pointers, n * sizeof(void *)) &&
                    tg__arena_grow(&w->lanes, n * sizeof(ptrdiff_t)) &&
                    tg__arena_grow(&w->moving, n * sizeof(uint32_t)) &&
                    tg__arena_grow(&w->given, n * sizeof(uint32_t)) &&
                    tg__arena_grow(&w->inputs, p->n_inputs * sizeof(void *));
    if (!ok) {
        free_space(w);
        return false;
    }
    w->shared = shared ? shared : w->own.data;
    for (int i = 0; i < TG__BATCH_CHUNK && !shared; i++)
        write_real(w->shared + plan->ones + (size_t)i * tg__type_size(p->type), p->type, 1);
    const tg__operand *const o = tg__plan_operands(plan);
    for (size_t i = 0; i < n; i++) ((ptrdiff_t *)(void *)w->lanes.data)[i] = (ptrdiff_t)o[i].lane;
    for (size_t i = 0; i < n; i++) {
        if (o[i].area < TG__AREA_INPUTS) continue;
        const uint32_t input = p->input[o[i].area - TG__AREA_INPUTS];
        const bool varies = tg__node_at(&p->graph, input)->stage == TG__BODY;
        tg__arena *const list = varies ? &w->moving : &w->given;
        ((uint32_t *)(void *)list->data)[list->used / sizeof(uint32_t)] = (uint32_t)i;
        list->used += sizeof(uint32_t);
    }
    return true;
}

static space *space_of(tg_workspace *w, int member, bool careful)
{
    return careful ? &w->desk[member].careful : &w->desk[member].quick;
}

/* Every member's memory for a plan. */
static bool make_spaces(tg_workspace *w, bool careful)
{
    const tg_program *const p = w->program;
    const tg__plan *const plan = careful ? &p->careful : &p->plan;
    for (int i = 0; i < w->members; i++) {
        char *const shared = i ? space_of(w, 0, careful)->shared : NULL;
        if (!make_space(space_of(w, i, careful), p, plan, shared, &w->desk[i].memory))
            return false;
    }
    return true;
}

/* Whether some operation must not run in two threads at once. */
static bool needs_one_thread(const tg_program *p)
{
    for (uint32_t id = 1; id < p->graph.n; id++) {
        const tg__node *const node = tg__node_at(&p->graph, id);
        const tg__back *const back =
            node->op == TG__NODE_BACKWARD ? tg__node_data(&p->graph, node->data) : NULL;
        if ((back ? back->op : node->op) != TG__CODE_custom) continue;
        const tg_custom_attributes *const a =
            tg__node_data(&p->graph, back ? back->attributes : node->data);
        if (a->op->one_thread) return true;
    }
    return false;
}

tg_workspace *tg_workspace_new(const tg_program *p, int threads, tg_status *status)
{
    if (!p || threads < 0) {
        tg__program_fail(status, TG_ERROR_ARGUMENT, "workspace_new",
                         p ? "a negative number of threads" : "the program is NULL");
        return NULL;
    }
    const int members = threads < 2 || needs_one_thread(p) ? 1 : threads;
    tg__memory own = { .first = TG__PROGRAM_FIRST };
    const size_t bytes = sizeof(tg_workspace) + (size_t)members * sizeof(desk);
    tg_workspace *const w = tg__allocate(&own, bytes);
    if (w) {
        memset(w, 0, bytes);
        *w = (tg_workspace){ .program = p, .memory = own, .bytes = bytes, .members = members };
        for (int i = 0; i < members; i++) {
            w->desk[i].memory.first = TG__PROGRAM_FIRST;
            tg__arena_init(&w->desk[i].scratch, &w->desk[i].memory);
        }
        if (members > 1) w->team = tg__team_new(&w->memory, members);
        if ((members == 1 || w->team) && make_spaces(w, false)) return w;
        tg_workspace_free(w);
    }
    tg__program_fail(status, TG_ERROR_MEMORY, "workspace_new",
                     "no memory for the program's values, or no threads");
    return NULL;
}

void tg_workspace_free(tg_workspace *w)
{
    if (!w) return;
    tg__team_free(w->team);
    for (int i = 0; i < w->members; i++) {
        free_space(&w->desk[i].quick);
        free_space(&w->desk[i].careful);
        tg__arena_free(&w->desk[i].scratch);
    }
    tg__memory own = { .bytes = w->bytes };
    tg__deallocate(&own, w, w->bytes);
}

/* Where an operand is; of a batch input, for the block that begins at instance first. */
static void *pointer_of(const run *r, const tg__operand *o)
{
    const space *const w = r->w;
    switch (o->area) {
    case TG__AREA_BODY: return w->body.data + o->offset * w->block + o->view;
    case TG__AREA_SHARED: return w->shared + o->offset + o->view;
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

/* The operands on a list. */
static void point_at(const run *r, const tg__arena *list)
{
    const tg__operand *const o = tg__plan_operands(r->plan);
    const uint32_t *const which = (const uint32_t *)(void *)list->data;
    for (size_t i = 0; i < list->used / sizeof *which; i++)
        r->p[which[i]] = pointer_of(r, &o[which[i]]);
}

/* Everything that stays where it is during a run. */
static void point(const run *r, uint32_t block)
{
    const tg__operand *const o = tg__plan_operands(r->plan);
    space *const w = r->w;
    if (w->block != block) {
        w->block = block;
        for (size_t i = 0; i < operand_count(r->plan); i++)
            if (o[i].area < TG__AREA_INPUTS) r->p[i] = pointer_of(r, &o[i]);
    }
    const size_t bytes = r->program->n_inputs * sizeof(void *);
    if (bytes && memcmp(w->inputs.data, r->inputs, bytes) == 0) return;
    if (bytes) memcpy(w->inputs.data, r->inputs, bytes);
    point_at(r, &w->given);
}

/* ---- steps ------------------------------------------------------------------------------------- */

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
    if (!r->status) return false;
    r->status->code = code;
    snprintf(r->status->message, sizeof r->status->message, "%s", text);
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
        tg__program_fail(r->status, TG_ERROR_MEMORY, "run", "no memory");
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

/* One element of a sum. */
static void add_one(tg_type type, char *y, const char *x)
{
    if (type == TG_F64) *(double *)(void *)y += *(const double *)(const void *)x;
    else *(float *)(void *)y += *(const float *)(const void *)x;
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
            const tg__array x = { tg__node_shape(g, id[j]), p[1 + j] + l * lane[1 + j] * size };
            const int64_t offset = look ? tg__node_offset(g, look) : 0;
            const tg__shape *const at = look ? tg__node_shape(g, look) : y;
            if (at->n == 1) add_one(y->type, to + offset * size, x.p);
            else tg__add(g->k, (tg__array){ at, to + offset * size }, x);
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

/* Adds the chunk's partial sums to those of the chunks before; they begin again at 0. */
static void add_partials(const run *r, char *sums)
{
    const size_t bytes = r->plan->partials;
    const int64_t n = (int64_t)(bytes / tg__type_size(r->program->type));
    r->g->k->add(n, sums, 1, r->w->partials.data, 1);
    memset(r->w->partials.data, 0, bytes);
}

/* The parts of one sum: halves, their halves ..., the same tree at every level. */
static double fold_f64(const double *part)
{
    return ((part[0] + part[4]) + (part[2] + part[6])) + ((part[1] + part[5]) + (part[3] + part[7]));
}

static float fold_f32(const float *part)
{
    double half[8];
    for (int i = 0; i < 8; i++) half[i] = (double)(part[i] + part[i + 8]);
    return (float)fold_f64(half);
}

/* The totals, of all partial sums. */
static void fold_sums(const run *r, const char *sums)
{
    const tg__total *const t = (const tg__total *)(void *)r->plan->totals.data;
    const bool f64 = r->program->type == TG_F64;
    for (uint32_t i = 0; i < r->plan->n_totals; i++) {
        char *const total = r->w->shared + t[i].total;
        const void *const part = sums + t[i].partial;
        if (!t[i].lanes) memcpy(total, part, t[i].n * tg__type_size(r->program->type));
        else if (f64) *(double *)(void *)total = fold_f64(part);
        else *(float *)(void *)total = fold_f32(part);
    }
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
        if (s->n && tg__shape_contiguous(s) && (n == 1 || o[i].from.lane == s->n)) {
            memcpy(to, from, (size_t)(n * s->n * size));
            continue;
        }
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
    tg__program_fail(status, TG_ERROR_ARGUMENT, "run", why);
    return false;
}

/* The instances of one chunk, from first on. */
static bool do_chunk(run *r, int64_t first)
{
    const int64_t end = r->count - first < TG__BATCH_CHUNK ? r->count : first + TG__BATCH_CHUNK;
    const uint32_t block = r->w->block;
    for (int64_t i = first, n; i < end; i += n) {
        n = end - i < block ? end - i : block;
        r->first = i;
        point_at(r, &r->w->moving);
        if (!do_steps(r, TG__BODY, n)) return false;
        write_outputs(r, true, n);
    }
    return true;
}

/* A run by all members. */
typedef struct sharing {
    const run *all;
    tg_workspace *w;
    bool careful;
    atomic_llong turn; /* the chunk whose sums are to be added next */
    atomic_bool failed;
    tg_status status; /* of the first chunk that failed */
} sharing;

static run run_of(const run *all, tg_workspace *w, int member, bool careful)
{
    run r = *all;
    r.w = space_of(w, member, careful);
    r.plan = r.w->plan;
    r.scratch = &w->desk[member].scratch;
    r.p = (void **)(void *)r.w->pointers.data;
    r.lane = (const ptrdiff_t *)(const void *)r.w->lanes.data;
    return r;
}

/* Every so many chunks one; the sums are added in the chunks' order, whoever computed them. */
static void do_part(void *job, int member)
{
    sharing *const s = job;
    run r = run_of(s->all, s->w, member, s->careful);
    tg_status status = { 0 };
    r.status = &status;
    memset(r.w->partials.data, 0, r.plan->partials);
    for (int64_t c = member; c * TG__BATCH_CHUNK < r.count; c += s->w->members) {
        const bool ok = !atomic_load(&s->failed) && do_chunk(&r, c * TG__BATCH_CHUNK);
        while (atomic_load(&s->turn) != c) sched_yield();
        if (ok) add_partials(&r, space_of(s->w, 0, s->careful)->sums.data);
        else if (!atomic_load(&s->failed)) s->status = status;
        if (!ok) atomic_store(&s->failed, true);
        atomic_store(&s->turn, c + 1);
    }
}

static uint32_t block_of(const tg__plan *plan, int64_t count)
{
    if (count >= (int64_t)plan->block) return plan->block;
    return count > 1 ? (uint32_t)count : 1;
}

/* The whole batch by one plan. */
static bool run_plan(const run *all, tg_workspace *w, bool careful)
{
    run r = run_of(all, w, 0, careful);
    const uint32_t block = block_of(r.plan, r.count);
    const int64_t chunks = (r.count + TG__BATCH_CHUNK - 1) / TG__BATCH_CHUNK;
    for (int i = 0; i < w->members; i++) {
        run other = run_of(all, w, i, careful);
        point(&other, block);
    }
    memset(r.w->sums.data, 0, r.plan->partials);
    if (r.plan->count != UINT64_MAX)
        write_real(r.w->shared + r.plan->count, r.program->type, (double)r.count);
    if (!do_steps(&r, TG__EARLY, 1)) return false;
    sharing s = { .all = all, .w = w, .careful = careful };
    if (w->team && chunks > 1) tg__team_run(w->team, do_part, &s);
    else for (int i = 0; i < w->members && i < chunks; i++) do_part(&s, i);
    if (atomic_load(&s.failed)) {
        if (r.status) *r.status = s.status;
        return false;
    }
    fold_sums(&r, r.w->sums.data);
    if (!do_steps(&r, TG__LATE, 1)) return false;
    r.first = 0;
    write_outputs(&r, false, 1);
    return true;
}

static bool all_finite(const run *r)
{
    const tg__output *const o = (const tg__output *)(void *)r->plan->outputs.data;
    for (uint32_t i = 0; i < r->plan->n_outputs; i++) {
        const tg_type type = tg__node_shape(r->g, o[i].node)->type;
        if (!r->outputs[i] || type == TG_I64) continue;
        const int64_t n = (int64_t)o[i].size * (o[i].each ? r->count : 1);
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
    const run r = { .program = p, .plan = &p->plan, .g = &p->graph, .inputs = inputs,
                    .outputs = outputs, .status = status, .count = count };
    if (!run_plan(&r, w, false)) return false;
    if (!p->plan.quick || all_finite(&r)) return true;
    if (make_spaces(w, true)) return run_plan(&r, w, true);
    tg__program_fail(status, TG_ERROR_MEMORY, "run", "no memory for the program's values");
    return false;
}
