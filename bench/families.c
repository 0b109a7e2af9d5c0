/* Every operation of the table that is not elementwise: its rules, called on prepared arrays without a
   tape (as eager), against the plain loops of families.h, with operands in the first and second cache
   and in memory. What a call costs before its kernel has begun (axes, strides, where the results go) is
   what the call on operands of one element takes longer than the loop on them; without it the time is
   that of the kernel alone. In rows with a number under "slower" the kernel is slower than 0.9 of the
   loop. Where code and arrays lie changes the time of both by up to a fifth: what is printed is the median
   over several places.

   Before anything is measured rule and loop must agree; and every public operation of the table must
   have a loop, or a reason why not. Elementwise operations are those of bench/kernels.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "families.h"
#include "plain.h"
#include "report.h"

/* ---- one call -------------------------------------------------------------------------------- */

typedef struct call {
    const plain_row *row;
    tg_type type;
    bool gradient; /* or the value */
    tg__shape shape[TG__SAMPLES], result;
    tg__array x[TG__SAMPLES], dx[TG__SAMPLES];
    void *block[3 * TG__SAMPLES + 2]; /* of operands, gradients, a copy to compare; g, y */
    int blocks;
    tg__memory memory;
    tg__arena scratch;
    char message[512];
    tg__call c;
} call;

static uint64_t seed = 1;

/* Zeros, from any line of a page on. */
static void *array(call *k, const tg__shape *s)
{
    const size_t bytes = (size_t)s->n * tg__type_size(s->type);
    char *const p = k->block[k->blocks++] = draw_pages(bytes);
    if (!p) exit(1);
    return memset(p + draw_line(&seed), 0, bytes);
}

static void put(const tg__array *a, int64_t i, double x)
{
    if (a->s->type == TG_I64) ((int64_t *)a->p)[i] = (int64_t)floor(x);
    else if (a->s->type == TG_F32) ((float *)a->p)[i] = (float)x;
    else ((double *)a->p)[i] = x;
}

static double get(tg_type type, const void *p, int64_t i)
{
    return type == TG_I64   ? (double)((const int64_t *)p)[i]
           : type == TG_F32 ? (double)((const float *)p)[i]
                            : ((const double *)p)[i];
}

static void fill(const tg__array *a, const tg__sample *s)
{
    const int64_t columns = s->diagonal != 0 ? a->s->dim[a->s->rank - 1] : 0;
    for (int64_t i = 0; i < a->s->n; i++) {
        const double more = columns && i % (columns + 1) == 0 ? s->diagonal : 0;
        put(a, i, draw(&seed, s->lo, s->hi + (a->s->type == TG_I64)) + more);
    }
}

/* n 0: every dimension is 1. */
static void make_operand(call *k, tg_type type, int i, int64_t n)
{
    const tg__sample *const s = &k->row->x.x[i];
    const char letter = tg__letter(k->c.op->letters, i);
    tg__shape *const shape = &k->shape[i];
    *shape = (tg__shape){ .type = letter == 'i' ? TG_I64 : type, .rank = s->rank };
    for (int j = 0; j < s->rank; j++)
        shape->dim[j] = n == 0 ? 1 : s->dim[j] < 0 ? -s->dim[j] * n : s->dim[j];
    tg__shape_finish(shape);
    if (i == 0 && k->row->turned) {
        shape->stride[s->rank - 2] = 1;
        shape->stride[s->rank - 1] = shape->dim[s->rank - 2];
    }
    k->x[i] = (tg__array){ shape, array(k, shape) };
    k->dx[i] = (tg__array){ shape, letter == 'i' || letter == '0' ? NULL : array(k, shape) };
    if (n > 0 || letter != 'i') fill(&k->x[i], s);
}

static void fail(const call *k, const char *why)
{
    printf("%s, %s: %s\n", k->row->op, k->row->what[k->gradient], why);
    exit(1);
}

/* False if the op takes no such operands. */
static bool begin(call *k, const plain_row *row, tg_type type, int64_t n)
{
    const int code = tg__find(row->op);
    const tg__op *const op = tg__ops[code];
    *k = (call){ .row = row, .type = type };
    tg__arena_init(&k->scratch, &k->memory);
    k->c =
        (tg__call){ .op = op,
                    .code = code,
                    .k = tg__kernels_for(type),
                    .attributes = row->x.attributes ? row->x.attributes : op->attributes->defaults,
                    .n = row->x.n,
                    .x = k->x,
                    .dx = k->dx,
                    .scratch = &k->scratch,
                    .message = k->message,
                    .message_size = sizeof k->message };
    for (int i = 0; i < row->x.n; i++) make_operand(k, type, i, n);
    if (op->shape(&k->c, &k->result) != TG_OK) return false;
    if (k->result.type != TG_I64) k->result.type = type;
    tg__shape_finish(&k->result);
    k->c.y = (tg__array){ &k->result, array(k, &k->result) };
    if (k->result.type == TG_I64) return true;
    const tg__array g = { &k->result, array(k, &k->result) };
    fill(&g, &(const tg__sample){ .lo = 0.5, .hi = 1 });
    k->c.g = g.p;
    return true;
}

static void end(call *k)
{
    for (int i = 0; i < k->blocks; i++) free(k->block[i]);
    tg__arena_free(&k->scratch);
}

/* Way 0 is the op's rule, way 1 the plain loop. */
static void work(int way, void *user)
{
    call *const k = user;
    const tg__op *const op = k->c.op;
    if (way) {
        (k->gradient ? k->row->gradient : k->row->value)(&k->c);
        return;
    }
    k->scratch.used = 0;
    if ((k->gradient ? op->backward : op->forward)(&k->c) != TG_OK) fail(k, k->message);
}

/* ---- agreement ------------------------------------------------------------------------------- */

/* The largest distance must be none. Loops add up many numbers as exactly as their type does it, and what
   a factorisation loses depends on the matrix: all in relation to the largest element. f32 only where
   sums are short. */
static void agree(bench_row *r, const tg__shape *s, const void *rule, const void *loop)
{
    const double tolerance = s->type == TG_F32 ? 5e-4 : s->type == TG_F64 ? 1e-9 : 0;
    const double none = 0;
    double top = 0, away = 0;
    for (int64_t i = 0; i < s->n && !isnan(away); i++) {
        const double x = get(s->type, rule, i), y = get(s->type, loop, i);
        top = fmax(top, fabs(y));
        away = isnan(x - y) ? x - y : fmax(away, fabs(x - y));
    }
    if (!(away <= tolerance * top)) report_same(r, SIDE_EAGER, 1, &away, &none);
}

static void clear_gradients(call *k)
{
    for (int i = 0; i < k->c.n; i++)
        if (k->dx[i].p)
            memset(k->dx[i].p, 0, (size_t)k->shape[i].n * tg__type_size(k->shape[i].type));
}

static void compare_values(call *k, bench_row *r)
{
    void *const loop = array(k, &k->result), *const rule = k->c.y.p;
    work(0, k);
    k->c.y.p = loop;
    work(1, k);
    k->c.y.p = rule;
    agree(r, &k->result, rule, loop);
}

static void compare_gradients(call *k, bench_row *r)
{
    tg__array rule[TG__SAMPLES];
    clear_gradients(k);
    work(0, k);
    for (int i = 0; i < k->c.n; i++) {
        rule[i] = k->dx[i];
        if (rule[i].p) k->dx[i].p = array(k, &k->shape[i]);
    }
    work(1, k);
    for (int i = 0; i < k->c.n; i++)
        if (rule[i].p) agree(r, &k->shape[i], rule[i].p, k->dx[i].p);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static timing once(call *k, int way)
{
    const double begun = now_ns();
    work(way, k);
    timing t = { .median = now_ns() - begun, .allocations = (double)NAN, .repeats = 1 };
    t.ns[0] = t.median;
    return t;
}

/* More repeats of both ways. */
static void time_both(call *k, int repeats, timing t[2])
{
    static const side sides[] = { SIDE_EAGER, SIDE_PLAIN };
    timing more[2];
    if (!report_quick()) report_time(2, sides, work, k, repeats, more);
    else more[0] = once(k, 0), more[1] = once(k, 1);
    for (int i = 0; i < 2; i++) time_more(&t[i], &more[i]);
}

static const char *const sizes[SIZES] = { "first-cache", "second-cache", "memory" };

/* What a call takes longer than the loop where there is one element; 0 if the op takes no such operands. */
static double call_cost(const plain_row *row, tg_type type, bool gradient)
{
    call k;
    double cost = 0;
    if (begin(&k, row, type, 0) && k.c.op->forward(&k.c) == TG_OK) {
        timing t[2] = { { 0 } };
        k.gradient = gradient;
        time_both(&k, REPEATS, t);
        cost = fmax(0, t[0].median - t[1].median);
    }
    end(&k);
    return cost;
}

/* A family's row at size i, the value or then the gradient: both ways at all places. */
static void measure(const plain_row *const *places, int number, tg_type type, int i, bool gradient, double cost)
{
    const plain_row *const row = &places[0][number];
    bench_row r = { .name = row->op,
                    .size = sizes[i],
                    .type = tg__type_name(type),
                    .layout = row->what[gradient],
                    .per = "call" };
    timing t[2] = { { 0 } };
    for (int place = 0; place < (report_quick() ? 1 : PLACES); place++) {
        call k;
        if (!begin(&k, &places[place][number], type, row->size[i])) fail(&k, k.message);
        k.gradient = gradient;
        if (gradient && k.c.op->forward(&k.c) != TG_OK) fail(&k, k.message);
        if (place == 0 && (type == TG_F64 || i == 0)) (gradient ? compare_gradients : compare_values)(&k, &r);
        time_both(&k, i == SIZES - 1 ? REPEATS_IN_MEMORY : REPEATS, t);
        end(&k);
    }
    r.side[SIDE_EAGER] = t[0], r.side[SIDE_PLAIN] = t[1];
    const double kernel = ratio_of(&t[0], &t[1]).median * fmax(0, 1 - cost / t[0].median);
    if (!report_quick()) {
        r.more[0].key = "call_ns", r.more[0].value = cost;
        r.more[1].key = "kernel/plain", r.more[1].value = kernel;
        if (kernel > 1 / 0.9) r.more[2].key = "slower", r.more[2].value = kernel;
    }
    report_row(&r);
}

static void measure_row(const plain_row *const *places, int number, tg_type type)
{
    const plain_row *const row = &places[0][number];
    for (int gradient = 0; gradient < (row->gradient ? 2 : 1); gradient++) {
        const double cost = report_quick() ? 0 : call_cost(row, type, gradient);
        for (int i = 0; i < (report_quick() ? 1 : SIZES); i++)
            if (report_wants(row->op, sizes[i])) measure(places, number, type, i, gradient, cost);
    }
}

/* ---- the table ------------------------------------------------------------------------------- */

#define ROWS_AT(...) PLAIN_AT(__VA_ARGS__),
static const plain_row *const families[][2][PLACES] = {
#define BOTH(FAMILY) { { AT_PLACES(ROWS_AT, FAMILY, f64) }, { AT_PLACES(ROWS_AT, FAMILY, f32) } },
    PLAIN_FAMILIES(BOTH)
};
enum { FAMILIES = sizeof families / sizeof *families };

/* Measures the rows of one operation; false if one is missing. */
static bool rows_of(int code, tg_type type)
{
    const tg__op *const op = tg__ops[code];
    bool found = op->kind == TG__VIEW;
    if (op->kind == TG__MAP) found = plain_maps_f64_0[code].forward != NULL;
    for (int i = 0; i < FAMILIES; i++) {
        const plain_row *const *const places = families[i][type == TG_F32], *row;
        for (int number = 0; (row = &places[0][number])->op; number++) {
            if (strcmp(row->op, op->name) != 0) continue;
            found = true;
            if (!row->gradient == !op->backward) measure_row(places, number, type);
            else fprintf(stderr, "%s has a gradient, or its loop has one, but not both\n", op->name);
        }
    }
    if (!found) fprintf(stderr, "%s has neither a plain loop nor a reason why not\n", op->name);
    return found;
}

static bool is_public(const tg__op *op)
{
    tg_op_info info;
    return tg_op_find(op->name, &info);
}

static bool table(tg_type type)
{
    bool complete = true;
    report_title("%s, kernels of level %s", tg__type_name(type), tg__kernels_for(type)->level);
    for (int code = 1; code < tg__op_count; code++)
        if (is_public(tg__ops[code]) && report_wants(tg__ops[code]->name, NULL))
            complete &= rows_of(code, type);
    return complete;
}

static void print_views(void)
{
    printf("\nviews: nothing to compute:");
    for (int code = 1; code < tg__op_count; code++)
        if (tg__ops[code]->kind == TG__VIEW && is_public(tg__ops[code]))
            printf(" %s", tg__ops[code]->name);
    printf("\n");
}

int main(int argc, char **argv)
{
    report_begin(argc, argv, "families",
                 "Every operation that is not elementwise against a plain loop, without a tape.");
    const bool f64 = table(TG_F64), f32 = table(TG_F32);
    const int result = report_end();
    print_views();
    return result || !f64 || !f32;
}
