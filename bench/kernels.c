/* Every elementwise kernel, forward and backward for each operand (as eager), against a plain loop of the same
   formula over libm, for arrays in the first and second cache and in memory. */
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "ops/op.h"
#include "plain.h"
#include "report.h"

enum { SIZES = 3, MAX_OPERANDS = 3, REPEATS = 7, COMPARED = 1000 /* of the least size */ };
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
} row;

static const ptrdiff_t adjacent[MAX_OPERANDS] = { 1, 1, 1 };

/* Way 0 is the kernel, way 1 the plain loop. */
static void work(int way, void *user)
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
static void results(row *r, int way, double out[COMPARED])
{
    const arrays *const a = r->a;
    if (r->operand >= 0) memset(a->dx, 0, (size_t)r->n * tg__type_size(a->type));
    work(way, r);
    const void *const from = r->operand < 0 ? a->y : a->dx;
    for (int i = 0; i < COMPARED; i++)
        out[i] = a->type == TG_F32 ? (double)((const float *)from)[i] : ((const double *)from)[i];
}

/* Leaves in y what gradients at this size read. */
static void do_forward(const row *r)
{
    row value = *r;
    value.operand = -1;
    work(0, &value);
}

/* A row for each size: the kernel and the plain loop. */
static void do_rows(row *r)
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
        do_forward(r);
        results(r, 1, expected);
        results(r, 0, got);
        report_same(&line, SIDE_EAGER, COMPARED, got, expected);
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
    do_rows(&r);
    for (r.operand = 0; r.operand < n; r.operand++) {
        if (!k->map_backward[code][r.operand]) continue;
        do_rows(&r);
    }
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
    }
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(*all[i]);
    return ok;
}

int main(int argc, char **argv)
{
    report_begin(argc, argv, "kernels", "Elementwise kernels against plain loops over libm.");
    const bool ok = table(TG_F64) && table(TG_F32);
    return report_end() || !ok;
}
