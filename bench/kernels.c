/* Every elementwise kernel, forward and backward for each operand, and some reductions (as eager), against
   a plain loop of the same formula over libm, for arrays in the first and second cache and in memory. */
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "ops/op.h"
#include "plain.h"
#include "report.h"

enum { SIZES = 3, MAX_OPERANDS = 3, REPEATS = 7, COMPARED = 1000 };
static const int64_t sizes[SIZES] = { 1000, 16000, 4000000 };

/* Arrays of the largest size: operands, gradient, result, gradient of an operand. */
typedef struct arrays {
    tg_type type;
    void *x[MAX_OPERANDS], *g, *y, *dx;
} arrays;

typedef struct row {
    const arrays *a;
    const tg__kernels *k;
    int64_t n;
    int code, operand; /* operand -1: forward */
    plain_reduction reduction;
} row;

static const ptrdiff_t adjacent[MAX_OPERANDS] = { 1, 1, 1 };

/* Way 0 is the kernel, way 1 the plain loop. */
static void map_work(int way, void *user)
{
    const row *r = user;
    const arrays *a = r->a;
    const plain_map *plain = (a->type == TG_F32 ? plain_maps_f32 : plain_maps_f64) + r->code;
    const void *const x[MAX_OPERANDS] = { a->x[0], a->x[1], a->x[2] };
    if (r->operand < 0) {
        (way ? plain->forward : r->k->map_forward[r->code])(r->n, a->y, x, adjacent);
        return;
    }
    tg__map_backward_kernel *const f =
        way ? plain->backward[r->operand] : r->k->map_backward[r->code][r->operand];
    f(r->n, a->g, a->y, x, adjacent, a->dx, 1);
}

/* What a row computes, as doubles: the first elements of y or of dx. */
static size_t results(row *r, void (*work)(int, void *), int way, double *out)
{
    const arrays *const a = r->a;
    const bool one = r->operand < 0 && r->reduction < SOFTMAX && work != map_work;
    const size_t n = one ? 1 : (size_t)(r->n < COMPARED ? r->n : COMPARED);
    if (r->operand >= 0) memset(a->dx, 0, (size_t)r->n * tg__type_size(a->type));
    work(way, r);
    const void *const from = r->operand < 0 ? a->y : a->dx;
    for (size_t i = 0; i < n; i++)
        out[i] = a->type == TG_F32 ? (double)((const float *)from)[i] : ((const double *)from)[i];
    return n;
}

/* Leaves in y what gradients at this size read. */
static void do_forward(row *r, void (*work)(int, void *))
{
    const int operand = r->operand;
    r->operand = -1;
    work(0, r);
    r->operand = operand;
}

/* A row for each size: the kernel and the plain loop. */
static void do_rows(row *r, void (*work)(int, void *))
{
    static const side sides[] = { SIDE_EAGER, SIDE_PLAIN };
    static const char *const names[SIZES] = { "1000", "16000", "4000000" };
    static const char *const layouts[] = { "value", "gradient-0", "gradient-1", "gradient-2" };
    static double got[COMPARED], expected[COMPARED];
    for (int i = 0; i < (report_quick() ? 1 : SIZES); i++) {
        timing t[2];
        r->n = sizes[i];
        bench_row line = { .name = tg__ops[r->code]->name, .size = names[i], .per = "element", .units = (double)r->n };
        line.type = r->a->type == TG_F32 ? "f32" : "f64";
        line.layout = layouts[r->operand + 1];
        do_forward(r, work);
        results(r, work, 1, expected);
        const size_t n = results(r, work, 0, got);
        /* Plain sums of millions of floats are too far from the truth to be compared. */
        if (i < SIZES - 1) report_same(&line, SIDE_EAGER, n, got, expected);
        report_time(2, sides, work, r, i == SIZES - 1 ? 5 : REPEATS, t);
        line.side[SIDE_EAGER] = t[0], line.side[SIDE_PLAIN] = t[1];
        report_row(&line);
    }
}

static uint64_t seed = 1;

static void fill(tg_type type, void *x, double lo, double hi)
{
    for (int64_t i = 0; i < sizes[SIZES - 1]; i++) {
        if (type == TG_F32) ((float *)x)[i] = (float)draw(&seed, lo, hi);
        else ((double *)x)[i] = draw(&seed, lo, hi);
    }
}

static void map_rows(const arrays *a, const tg__kernels *k, int code)
{
    const tg__op *op = tg__ops[code];
    row r = { .a = a, .k = k, .code = code, .operand = -1 };
    const int n = tg__operands(op->letters);
    for (int i = 0; i < n; i++) fill(a->type, a->x[i], op->range[i].lo, op->range[i].hi);
    do_rows(&r, map_work);
    for (r.operand = 0; r.operand < n; r.operand++) {
        if (!k->map_backward[code][r.operand]) continue;
        do_rows(&r, map_work);
    }
}

/* ---- reductions, by the op's own rules on one row -------------------------------------------- */

static const char *const reduction_names[REDUCTIONS] = {
    [SUM] = "sum",
    [MEAN] = "mean",
    [PROD] = "prod",
    [VAR] = "var",
    [STD] = "std",
    [NORM] = "norm",
    [AMAX] = "amax",
    [AMIN] = "amin",
    [LOGSUMEXP] = "logsumexp",
    [SOFTMAX] = "softmax",
    [LOG_SOFTMAX] = "log_softmax",
    [CUMSUM] = "cumsum",
    [CUMPROD] = "cumprod",
};

/* What the tape hands to the rules: prepared once for a size, outside of what is measured. */
typedef struct reduction {
    row r; /* first: do_rows hands a row on, reduction_work takes what it is the beginning of */
    tg__shape shape, result;
    tg__array x, dx;
    tg__call c;
    char message[100];
} reduction;

static void prepare(reduction *p)
{
    static tg__memory memory;
    static tg__arena scratch;
    const row *const r = &p->r;
    const tg__op *const op = tg__ops[r->code];
    if (!scratch.memory) tg__arena_init(&scratch, &memory);
    p->shape = (tg__shape){ .type = r->a->type, .rank = 1, .dim = { r->n } };
    tg__shape_finish(&p->shape);
    p->result = p->shape;
    p->x = (tg__array){ &p->shape, r->a->x[0] };
    p->dx = (tg__array){ &p->shape, r->a->dx };
    p->c = (tg__call){ .op = op,
                       .code = r->code,
                       .k = r->k,
                       .attributes = op->attributes->defaults,
                       .n = 1,
                       .x = &p->x,
                       .scratch = &scratch,
                       .message = p->message,
                       .message_size = sizeof p->message };
    op->shape(&p->c, &p->result);
    tg__shape_finish(&p->result);
    p->c.y = (tg__array){ &p->result, r->a->y };
    p->c.g = r->a->g;
    p->c.dx = &p->dx;
}

static void reduction_work(int way, void *user)
{
    reduction *const p = user;
    const row *const r = &p->r;
    const arrays *const a = r->a;
    const plain_reduce *const plain =
        (a->type == TG_F32 ? plain_reductions_f32 : plain_reductions_f64) + r->reduction;
    if (way) {
        if (r->operand < 0) plain->forward(r->n, a->y, a->x[0]);
        else plain->backward(r->n, a->g, a->y, a->x[0], a->dx);
        return;
    }
    if (p->shape.n != r->n) prepare(p);
    p->c.scratch->used = 0;
    if ((r->operand < 0 ? p->c.op->forward(&p->c) : p->c.op->backward(&p->c)) != TG_OK) exit(1);
}

static void reduction_rows(const arrays *a, const tg__kernels *k, plain_reduction which)
{
    reduction p = { .r = { .a = a,
                           .k = k,
                           .code = tg__find(reduction_names[which]),
                           .operand = -1,
                           .reduction = which,
                           .n = sizes[SIZES - 1] } };
    const bool products = which == PROD || which == CUMPROD; /* of numbers whose products stay in range */
    fill(a->type, a->x[0], products ? 0.99 : -2, products ? 1.010033 : 2);
    do_rows(&p.r, reduction_work);
    p.r.operand = 0;
    do_rows(&p.r, reduction_work);
}

/* ---- the table ------------------------------------------------------------------------------- */

static bool table(tg_type type)
{
    const size_t bytes = (size_t)sizes[SIZES - 1] * tg__type_size(type);
    arrays a = { .type = type };
    void **const all[] = { &a.x[0], &a.x[1], &a.x[2], &a.g, &a.y, &a.dx };
    bool ok = true;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ok &= (*all[i] = aligned_alloc(64, bytes)) != NULL;
    if (ok) {
        const tg__kernels *k = tg__kernels_for(type);
        report_title("%s, level %s: kernels and plain loops", type == TG_F32 ? "f32" : "f64", k->level);
        fill(type, a.g, -1, 1);
        for (int code = 1; code < TG__MAPS; code++)
            if (report_wants(tg__ops[code]->name, NULL)) map_rows(&a, k, code);
        for (plain_reduction i = SUM; i < REDUCTIONS; i++)
            if (report_wants(reduction_names[i], NULL)) reduction_rows(&a, k, i);
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(*all[i]);
    return ok;
}

int main(int argc, char **argv)
{
    report_begin(argc, argv, "kernels", "Elementwise kernels and reductions against plain loops over libm.");
    const bool ok = table(TG_F64) && table(TG_F32);
    return report_end() || !ok;
}
