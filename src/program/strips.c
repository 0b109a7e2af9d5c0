/* Running chains: see chains.c and run.h. */
#include <string.h>

#include "ops/gather.h"
#include "program/run.h"

/* A run of a chain: elements of all instances, one behind the other. */
typedef struct strips {
    tg__replay *r;
    const tg__step *s;
    const tg__chain *chain;
    int64_t n;
    ptrdiff_t size; /* bytes of an element */
    int64_t width;  /* elements of an instance */
    int64_t block;  /* the present block's first element */
    tg__gathering sums[TG__CHAIN_STEPS]; /* of steps that reduce long rows */
} strips;

/* Where the strip from element `at` on of an operand is, whose elements are so far apart. */
static char *strip_of(const strips *c, const tg__step *s, uint32_t operand, int64_t at, ptrdiff_t stride)
{
    const tg__operand *const o = tg__plan_operands(c->r->plan) + s->first + operand;
    char *const p = c->r->p[s->first + operand];
    if (o->area != TG__AREA_STRIPS) return p + at * stride * c->size;
    return o->offset < c->chain->held ? p + (at - c->block) * c->size : p;
}

static tg__shape shape_of(tg_type type, int64_t rows, int64_t columns)
{
    return (
        tg__shape){ .type = type, .rank = 2, .n = rows * columns, .dim = { rows, columns }, .stride = { columns, 1 } };
}

/* ---- reductions ---------------------------------------------------------------------------------------- */

/* Whole rows: what the op does to an array of them. */
static bool reduce_rows(const strips *c, const tg__step *s, int64_t at, int64_t n)
{
    tg__replay *const r = c->r;
    const tg__form *const f = (const tg__form *)(void *)r->plan->forms.data + s->columns;
    const int64_t rows = n / c->chain->period, first = at / c->chain->period;
    const tg_type made = tg__node_shape(r->g, s->node)->type;
    const tg__shape xs = shape_of(r->g->type, rows, c->chain->period),
                    ys = { .type = made, .rank = 1, .n = rows, .dim = { rows }, .stride = { 1 } };
    const tg__array x = { &xs, strip_of(c, s, 1, at, 1) };
    r->desk->scratch.used = 0;
    const tg__call call = { .op = tg__ops[f->code],
                            .code = f->code,
                            .k = r->g->k,
                            .attributes = &f->attributes,
                            .n = 1,
                            .x = &x,
                            .y = { &ys, (char *)r->p[s->first] + first * (ptrdiff_t)tg__type_size(made) },
                            .kept = s->kept ? (char *)r->p[s->first + s->n - 1] + at * c->size : NULL,
                            .scratch = &r->desk->scratch,
                            .message = r->desk->message,
                            .message_size = TG__RUN_MESSAGE };
    const tg_code code = call.op->forward(&call);
    return code == TG_OK || tg__rule_failed(r, s, &call, code, at / c->width);
}

/* A part of a long row. */
static void reduce_part(strips *c, const tg__step *s, int64_t at, int64_t n)
{
    const tg__replay *const r = c->r;
    const int64_t period = c->chain->period;
    const int code = ((const tg__form *)(void *)r->plan->forms.data + s->columns)->code;
    tg__gathering *const g = &c->sums[s - c->s];
    if (at % period == 0) tg__gather_begin(code, g);
    tg__gather(code, r->g->k, g, n, strip_of(c, s, 1, at, 1));
    if ((at + n) % period == 0)
        tg__write_real((char *)r->p[s->first] + at / period * c->size, r->g->type, tg__gather_end(code, g, period));
}

/* ---- rows of products ------------------------------------------------------------------------------------ */

/* n elements from `at` on of a product, or of a gradient of one, whose rows are independent; or what these rows of
   g add to the gradient by the bias. */
static bool do_rows(const strips *c, const tg__step *s, int64_t at, int64_t n)
{
    tg__replay *const r = c->r;
    const tg__node *const node = tg__node_at(r->g, s->node);
    const bool back = s->kind == TG__STEP_BACKWARD;
    const tg__back *const b = back ? tg__node_data(r->g, node) : NULL;
    const uint32_t *const list = (const uint32_t *)(void *)r->plan->lists.data + s->columns;
    const uint32_t *const id = back ? list : tg__node_operands(r->g, node);
    const uint32_t m = back ? tg__node_n(node) - 2 : tg__node_n(node);
    const int64_t rows = n / c->chain->period, first = at / c->chain->period;
    const tg__shape *const whole = tg__node_shape(r->g, id[0]);
    const tg__shape *const result = tg__node_shape(r->g, back ? id[m] : s->node);
    tg__shape xs = shape_of(whole->type, rows, whole->dim[whole->rank - 1]);
    const tg__shape ys = shape_of(result->type, rows, result->dim[result->rank - 1]);
    if (whole->rank == 2) xs.stride[0] = whole->stride[0], xs.stride[1] = whole->stride[1];
    char *const *const p = (char *const *)r->p + s->first + 1;
    tg__array x[3], dx[3];
    for (uint32_t j = 0; j < m; j++) {
        x[j] = (tg__array){ j ? tg__node_shape(r->g, id[j]) : &xs, p[j] };
        dx[j] = (tg__array){ x[j].s, NULL };
    }
    x[0].p = p[0] + first * xs.stride[0] * c->size;
    const bool by_rows = back && b->by == 0;
    char *const y = strip_of(c, s, 0, at, 1);
    const char *const g = !back     ? NULL
                          : by_rows ? p[m + 1] + first * ys.stride[0] * c->size
                                    : strip_of(c, s, m + 2, at, 1);
    if (back) dx[b->by].p = by_rows ? y : r->p[s->first];
    r->desk->scratch.used = 0;
    const int code = back ? b->op : node->op;
    const tg__call call = { .op = tg__ops[code],
                            .code = code,
                            .k = r->g->k,
                            .attributes = tg__attributes_at(r->g, back ? b->attributes : tg__node_word(r->g, node)),
                            .n = (int)m,
                            .x = x,
                            .y = { &ys, back ? p[m] : y },
                            .g = g,
                            .dx = dx,
                            .fresh = back && (by_rows || at == 0),
                            .scratch = &r->desk->scratch,
                            .message = r->desk->message,
                            .message_size = TG__RUN_MESSAGE };
    const tg_code result_code = back ? call.op->backward(&call) : call.op->forward(&call);
    return result_code == TG_OK || tg__rule_failed(r, s, &call, result_code, at / c->width);
}

/* ---- strips ---------------------------------------------------------------------------------------------- */

static void map(const strips *c, const tg__step *s, int64_t at, int64_t n)
{
    const ptrdiff_t *const lane = c->r->lane + s->first;
    void *p[4];
    for (uint32_t j = 0; j < s->n; j++) p[j] = strip_of(c, s, j, at, lane[j]);
    c->r->g->k->map_forward[s->op](n, p[0], (const void *const *)(p + 1), lane + 1);
}

static bool do_strip(strips *c, int64_t at, int64_t n)
{
    const bool long_rows = c->chain->period > c->chain->strip;
    for (const tg__step *s = c->s + c->chain->product; s < c->s + c->chain->steps; s++) {
        if (s->kind == TG__STEP_MAP) map(c, s, at, n);
        else if (s->kind == TG__STEP_GATHER && long_rows) reduce_part(c, s, at, n);
        else if (s->kind == TG__STEP_GATHER && !reduce_rows(c, s, at, n)) return false;
    }
    return true;
}

/* The gradients by biases. */
static bool do_sums(strips *c, int64_t at, int64_t n)
{
    for (const tg__step *s = c->s + c->chain->product; s < c->s + c->chain->steps; s++)
        if (s->kind == TG__STEP_BACKWARD && !do_rows(c, s, at, n)) return false;
    return true;
}

/* Strips end where rows do, or in them where these are longer; so do blocks. */
bool tg__run_chain(tg__replay *r, const tg__step *s, const tg__chain *chain, int64_t n)
{
    const int64_t width = s[chain->product ? 1 : 0].width; /* a gradient's is another number */
    strips c = {
        .r = r, .s = s, .chain = chain, .n = n * width, .width = width, .size = (ptrdiff_t)tg__type_size(r->g->type)
    };
    const int64_t block = chain->block ? chain->block : c.n;
    const int64_t row = chain->period > chain->strip ? chain->period : block;
    for (int64_t m, end; c.block < c.n; c.block = end) {
        end = c.n - c.block < block ? c.n : c.block + block;
        if (chain->product && !do_rows(&c, s, c.block, end - c.block)) return false;
        for (int64_t at = c.block; at < end; at += m) {
            m = row - (at - c.block) % row;
            m = m < chain->strip ? m : chain->strip;
            m = m < end - at ? m : end - at;
            if (!do_strip(&c, at, m)) return false;
        }
        if (chain->block && !do_sums(&c, c.block, end - c.block)) return false;
    }
    return true;
}
