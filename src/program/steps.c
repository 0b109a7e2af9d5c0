/* The steps of a plan: see run.h. */
#include <stdio.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/run.h"

int tg__run_site(const tg__replay *r, uint32_t node, char *text, size_t size)
{
    const tg_site *const sites = (const tg_site *)(void *)r->g->sites.data;
    const tg_site *const site = sites + tg__node_at(r->g, node)->site;
    const int n = site->file ? snprintf(text, size, "%s:%d: ", site->file, site->line) : 0;
    if (n > 0 && (size_t)n < size) return n;
    text[0] = 0;
    return 0;
}

bool tg__rule_failed(tg__replay *r, const tg__step *s, const tg__call *c, tg_code code, int64_t lane)
{
    const tg__node *const node = tg__node_at(r->g, s->node);
    char text[TG__RUN_MESSAGE * 2];
    const int at = tg__run_site(r, s->node, text, TG__RUN_MESSAGE);
    const bool body = node->stage == TG__BODY;
    char where[48] = "";
    if (body) snprintf(where, sizeof where, "instance %lld: ", (long long)(r->first + lane));
    snprintf(text + at, sizeof text - (size_t)at, "%s%s: %s", where,
             tg__op_name(c->op, c->attributes), code == TG_ERROR_MEMORY ? "no memory" : r->desk->message);
    if (!r->status) return false;
    r->status->code = code;
    snprintf(r->status->message, sizeof r->status->message, "%s", text);
    return false;
}

static tg__array *operand_room(tg__replay *r, uint32_t n)
{
    r->desk->scratch.used = 0;
    return tg__arena_push(&r->desk->scratch, 2 * (size_t)n * sizeof(tg__array));
}

/* The places of a BACKWARD step's results in instance l: cleared, unless the rule writes them. */
static void place_gradients(const tg__replay *r, const tg__step *s, const uint32_t *by,
                            const tg__call *c, tg__array *dx, int64_t l)
{
    for (uint32_t i = 0; i < s->width; i++) {
        tg__array *const a = &dx[by[i]];
        const size_t size = tg__type_size(a->s->type);
        a->p = (char *)r->p[s->first + i] + l * r->lane[s->first + i] * (ptrdiff_t)size;
        if (!c->fresh) memset(a->p, 0, (size_t)a->s->n * size);
    }
}

/* The op of a RULE or BACKWARD step, one instance after the other. */
static bool call_rule(tg__replay *r, const tg__step *s, int64_t n)
{
    const tg__graph *const g = r->g;
    const tg__node *const node = tg__node_at(g, s->node);
    const bool back = s->kind == TG__STEP_BACKWARD;
    const tg__back *const b = back ? tg__node_data(g, node) : NULL;
    const int code = back ? b->op : node->op;
    const uint32_t *const id = back ? (const uint32_t *)(void *)r->plan->lists.data + s->columns
                                    : tg__node_operands(g, node);
    const uint32_t m = back ? tg__node_n(node) - 2 : tg__node_n(node), results = back ? s->width : 1;
    char *const *const p = (char *const *)r->p + s->first;
    const ptrdiff_t *const lane = r->lane + s->first;
    tg__array *const x = operand_room(r, m);
    if (!x) {
        tg__program_fail(r->status, TG_ERROR_MEMORY, "run", "no memory");
        return false;
    }
    tg__array *const dx = x + m;
    const size_t used = r->desk->scratch.used;
    tg__call c = { .op = tg__ops[code],
                   .code = code,
                   .k = g->k,
                   .attributes = tg__attributes_at(g, back ? b->attributes : tg__node_word(g, node)),
                   .n = (int)m,
                   .x = x,
                   .dx = dx,
                   .fresh = tg__ops[code]->writes || s->kept,
                   .run = r->options->run,
                   .scratch = &r->desk->scratch,
                   .message = r->desk->message,
                   .message_size = TG__RUN_MESSAGE };
    const uint32_t result = back ? id[m] : s->node, at = back ? results + m : 0;
    const tg__shape *const ys = tg__node_shape(g, result);
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(ys->type);
    for (uint32_t j = 0; j < m; j++) {
        x[j].s = tg__node_shape(g, id[j]);
        dx[j] = (tg__array){ x[j].s, NULL };
    }
    const bool unread = back && c.op->writes; /* its memory may be used again already */
    for (int64_t l = 0; l < n; l++) {
        for (uint32_t j = 0; j < m; j++)
            x[j].p =
                p[results + j] + l * lane[results + j] * (ptrdiff_t)tg__type_size(x[j].s->type);
        r->desk->scratch.used = used;
        c.first = (r->first + l) * ys->n;
        c.y = (tg__array){ ys, unread ? NULL : p[at] + l * lane[at] * size };
        c.g = back ? p[at + 1] + l * lane[at + 1] * size : NULL;
        if (s->kept) c.kept = p[s->n - 1] + l * lane[s->n - 1] * (ptrdiff_t)tg__type_size(g->type);
        if (back) place_gradients(r, s, id + tg__node_n(node), &c, dx, l);
        const tg_code result_code = back ? c.op->backward(&c) : c.op->forward(&c);
        if (result_code != TG_OK) return tg__rule_failed(r, s, &c, result_code, l);
    }
    return true;
}

/* Fills in the number of instances. */
static void set_instances(tg__shape *s, int64_t n)
{
    s->dim[0] = n;
    s->n *= n;
}

/* n times an array of shape s; NULL when there is no memory. */
static const void *repeated(const tg__replay *r, const void *x, const tg__shape *s, int64_t n)
{
    const size_t bytes = (size_t)s->n * tg__type_size(s->type);
    char *const y = tg__arena_push(&r->desk->scratch, bytes * (size_t)n + 1);
    for (int64_t i = 0; y && i < n; i++) memcpy(y + (size_t)i * bytes, x, bytes);
    return y;
}

/* The op of a BLOCK step, on n instances from the block's instance `from` on. */
static bool call_piece(tg__replay *r, const tg__step *s, int64_t from, int64_t n)
{
    const tg__form *const f = (const tg__form *)(void *)r->plan->forms.data + s->columns;
    char *const *const p = (char *const *)r->p + s->first;
    tg__shape shape[4];
    tg__array x[3], dx[3];
    for (int i = 0; i < f->n; i++) {
        shape[i] = f->x[i];
        if (f->batched[i]) set_instances(&shape[i], n);
        const int64_t skipped = f->batched[i] ? from * shape[i].stride[0] : 0;
        x[i] = (tg__array){ &shape[i], p[1 + f->from[i]] + skipped * (int64_t)tg__type_size(shape[i].type) };
        dx[i] = (tg__array){ &shape[i], NULL };
    }
    shape[3] = f->y;
    set_instances(&shape[3], n);
    const ptrdiff_t skipped = from * f->y.stride[0] * (ptrdiff_t)tg__type_size(f->y.type);
    const uint32_t m = s->n - 3 - s->kept, kept = s->n - 1; /* operands of a gradient's op; what it keeps */
    const tg__node *const node = tg__node_at(r->g, s->node);
    const uint32_t result = f->back ? tg__node_operands(r->g, node)[m] : s->node;
    r->desk->scratch.used = 0;
    tg__call c = { .op = tg__ops[f->code],
                   .code = f->code,
                   .k = r->g->k,
                   .attributes = &f->attributes,
                   .n = f->n,
                   .x = x,
                   .y = { &shape[3], (f->back ? p[1 + m] : p[0]) + skipped },
                   .g = f->back ? p[2 + m] + skipped : NULL,
                   .dx = dx,
                   .kept = s->kept ? p[kept] + from * r->lane[s->first + kept] * (ptrdiff_t)tg__type_size(r->g->type)
                                   : NULL,
                   .run = r->options->run,
                   .first = (r->first + from) * f->y.n,
                   .scratch = &r->desk->scratch,
                   .message = r->desk->message,
                   .message_size = TG__RUN_MESSAGE };
    if (f->same) c.g = repeated(r, p[2 + m], tg__node_shape(r->g, result), n);
    if (f->same && !c.g) {
        tg__program_fail(r->status, TG_ERROR_MEMORY, "run", "no memory");
        return false;
    }
    c.fresh = (c.op->writes || s->kept) && !f->summed;
    if (f->back && c.op->writes) c.y.p = NULL; /* its memory may be used again already */
    if (f->back) {
        const tg__shape *const d = &shape[f->by];
        const int64_t size = (int64_t)tg__type_size(d->type);
        dx[f->by].p = p[0] + (f->summed ? 0 : from * d->stride[0] * size);
        if (!f->summed && !c.fresh) memset(dx[f->by].p, 0, (size_t)(d->n * size));
    }
    const tg_code code = f->back ? c.op->backward(&c) : c.op->forward(&c);
    if (code == TG_OK) return true;
    /* One after the other they tell which instance it was. */
    return !f->back && code != TG_ERROR_MEMORY ? call_rule(r, s, from + n)
                                               : tg__rule_failed(r, s, &c, code, from);
}

/* Always as many at once, so that no result depends on the block. */
static bool call_block(tg__replay *r, const tg__step *s, int64_t n)
{
    for (int64_t from = 0, m; from < n; from += m) {
        m = n - from < r->plan->piece ? n - from : r->plan->piece;
        if (!call_piece(r, s, from, m)) return false;
    }
    return true;
}

/* An elementwise op on tensors of different shapes: the instances are one more axis. */
static void walk(tg__replay *r, const tg__step *s, int64_t n)
{
    const tg__graph *const g = r->g;
    const tg__node *const node = tg__node_at(g, s->node);
    const uint32_t *const id = tg__node_operands(g, node);
    const tg__shape *const y = tg__node_shape(g, s->node);
    tg__shape shape[4];
    tg__array a[4];
    for (uint32_t j = 0; j <= tg__node_n(node); j++) {
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
    tg__walk_begin(&w, 1 + (int)tg__node_n(node), a);
    do g->k->map_forward[s->op](w.n, w.p[0], (const void *const *)(w.p + 1), w.stride + 1);
    while (tg__walk_next(&w));
}

/* One element of a sum. */
static void add_one(tg_type type, char *y, const char *x)
{
    if (type == TG_F64) *(double *)(void *)y += *(const double *)(const void *)x;
    else *(float *)(void *)y += *(const float *)(const void *)x;
}

static void assemble(tg__replay *r, const tg__step *s, int64_t n)
{
    const tg__graph *const g = r->g;
    const tg__node *const node = tg__node_at(g, s->node);
    const uint32_t *const id = tg__node_operands(g, node);
    const tg__shape *const y = tg__node_shape(g, s->node);
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(y->type);
    const uint32_t m = tg__node_n(node) / 2;
    char *const *const p = (char *const *)r->p + s->first;
    const ptrdiff_t *const lane = r->lane + s->first;
    const bool copied = m && !id[m] && tg__shape_contiguous(tg__node_shape(g, id[0]));
    for (int64_t l = 0; l < n; l++) {
        char *const to = p[0] + l * lane[0] * size;
        if (copied) memcpy(to, p[1] + l * lane[1] * size, (size_t)(y->n * size));
        else memset(to, 0, (size_t)(y->n * size));
        for (uint32_t j = copied; j < m; j++) {
            const uint32_t look = id[m + j];
            const tg__array x = { tg__node_shape(g, id[j]), p[1 + j] + l * lane[1 + j] * size };
            const int64_t offset = look ? tg__node_offset(g, look) : 0;
            const tg__shape *const at = look ? tg__node_shape(g, look) : y;
            if (at->n == 1) add_one(y->type, to + offset * size, x.p);
            else if (tg__shape_contiguous(at) && tg__shape_contiguous(x.s))
                g->k->add(at->n, to + offset * size, 1, x.p, 1);
            else tg__add(g->k, (tg__array){ at, to + offset * size }, x);
        }
    }
}

/* sum += x, instance after instance. */
static void sum_up(tg__replay *r, const tg__step *s, int64_t n)
{
    const tg__graph *const g = r->g;
    const uint32_t x = tg__node_operands(g, tg__node_at(g, s->node))[0];
    const tg__shape *const from = tg__node_shape(g, x);
    tg__shape y = *from;
    tg__shape_finish(&y);
    const ptrdiff_t size = (ptrdiff_t)tg__type_size(from->type);
    const bool adjacent = tg__shape_contiguous(from);
    for (int64_t l = 0; l < n; l++) {
        const tg__array a = { from, (char *)r->p[s->first + 1] + l * r->lane[s->first + 1] * size };
        if (adjacent) g->k->add(y.n, r->p[s->first], 1, a.p, 1);
        else tg__add(g->k, (tg__array){ &y, r->p[s->first] }, a);
    }
}

/* Scalars become elements; the others are zeros. */
static void put_rows(const tg__replay *r, const tg__step *s, int64_t n)
{
    void *const *const p = r->p + s->first;
    const uint32_t columns = s->n - 1;
    if (columns < s->width) memset(p[0], 0, (size_t)n * s->width * tg__type_size(r->g->type));
    r->g->k->lanes.rows(n, columns, p[0], s->width,
                        (const uint32_t *)(void *)r->plan->lists.data + s->columns,
                        (const void *const *)(p + 1), r->lane + s->first + 1);
}

/* Conditions, one for each instance. */
static void guard(const tg__replay *r, const tg__step *s, int64_t n)
{
    const tg__node *const node = tg__node_at(r->g, s->node);
    const bool expected = ((const tg_guard_attributes *)tg__node_data(r->g, node))->expected;
    const void *const x = r->p[s->first];
    const ptrdiff_t lane = r->lane[s->first];
    for (int64_t l = 0; l < n; l++) {
        const bool now = r->g->type == TG_F64 ? ((const double *)x)[l * lane] != 0
                                              : ((const float *)x)[l * lane] != 0;
        if (now == expected) continue;
        r->desk->flipped = true;
        if (!r->desk->flip[l]) r->desk->flip[l] = s->node;
    }
}

/* A copy of a node's elements, adjacent. */
static void same(const tg__replay *r, const tg__step *s)
{
    const tg__shape *const from = tg__node_shape(r->g, tg__node_operands(r->g, tg__node_at(r->g, s->node))[0]);
    const tg__array x = { from, r->p[s->first + 1] };
    tg__copy(r->g->k, (tg__array){ tg__node_shape(r->g, s->node), r->p[s->first] }, x);
}

bool tg__run_steps(tg__replay *r, tg__stage stage, int64_t n)
{
    const tg__kernels *const k = r->g->k;
    const tg__step *s = tg__plan_steps(r->plan) + r->plan->begin[stage];
    const tg__step *const end = tg__plan_steps(r->plan) + r->plan->begin[stage + 1];
    for (; s < end; s++) {
        void **const p = r->p + s->first;
        const void *const *const x = (const void *const *)(p + 1);
        const ptrdiff_t *const lane = r->lane + s->first + 1;
        if (s->chain) {
            const tg__chain *const chain = tg__plan_chain(r->plan, s);
            if (!tg__run_chain(r, s, chain, n)) return false;
            s += chain->steps - 1;
            continue;
        }
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
        case TG__STEP_GUARD: guard(r, s, n); break;
        case TG__STEP_ASSEMBLE: assemble(r, s, n); break;
        case TG__STEP_ROWS: put_rows(r, s, n); break;
        case TG__STEP_COPY: k->copy(n, p[0], 1, x[0], lane[0]); break;
        case TG__STEP_DOT: k->lanes.dot(n, p[0], s->columns, x, lane); break;
        case TG__STEP_DOTS:
            k->lanes.dots(n, s->width, s->columns, p, (const void *const *)p + s->width,
                          (const void *const *)p + s->width + s->columns);
            break;
        case TG__STEP_SCALARS:
            k->scalars((const uint32_t *)(void *)r->plan->words.data + s->width, r->w->body.data);
            break;
        case TG__STEP_LOAD: memcpy(p[0], p[1], s->width * tg__type_size(r->program->type)); break;
        case TG__STEP_SAME: same(r, s); break;
        case TG__STEP_SUM: sum_up(r, s, n); break;
        case TG__STEP_GATHER: /* always in a chain */
        case TG__STEP_KINDS: break;
        case TG__STEP_OUTER:
            k->lanes.outer(n, s->width, s->columns, p[0], x, x + s->width);
            break;
        }
    }
    return true;
}
