/* Every elementwise kernel, forward and backward for each operand (as eager), against a plain loop of the same
   formula over libm, for arrays in the first and second cache and in memory. Medians over several places of the loops and
   of the arrays. */
#include <stdlib.h>
#include <string.h>

#include "draw.h"
#include "ops/op.h"
#include "plain.h"
#include "report.h"

enum { SIZES = 3, MAX_OPERANDS = 3, COMPARED = 1000 /* of the least size */ };
static const int64_t sizes[SIZES] = { 1000, 16000, 4000000 };

/* Operands, gradient, result, gradient of an operand. */
enum { G = MAX_OPERANDS, Y, DX, ARRAYS };

/* Of the largest size, from somewhere in the first page of their blocks on. */
typedef struct arrays {
    tg_type type;
    char *block[ARRAYS];
    void *at[ARRAYS];
} arrays;

static uint64_t seed = 1;

static void move(arrays *a)
{
    for (int i = 0; i < ARRAYS; i++) a->at[i] = a->block[i] + draw_line(&seed);
}

typedef struct row {
    arrays *a;
    const tg__kernels *k;
    int64_t n;
    int code, operand, place; /* operand -1: forward */
} row;

#define MAPS_AT(...) PLAIN_AT(__VA_ARGS__),
static const plain_map *const maps[][PLACES] = { { AT_PLACES(MAPS_AT, maps, f64) }, { AT_PLACES(MAPS_AT, maps, f32) } };

static const ptrdiff_t adjacent[MAX_OPERANDS] = { 1, 1, 1 };

/* Way 0 is the kernel, way 1 the plain loop. */
static void work(int way, void *user)
{
    const row *r = user;
    const arrays *a = r->a;
    const plain_map *plain = &maps[a->type == TG_F32][r->place][r->code];
    const void *const x[MAX_OPERANDS] = { a->at[0], a->at[1], a->at[2] };
    if (r->operand < 0) {
        (way ? plain->forward : r->k->map_forward[r->code])(r->n, a->at[Y], x, adjacent);
        return;
    }
    tg__map_backward_kernel *const f =
        way ? plain->backward[r->operand] : r->k->map_backward[r->code][r->operand];
    f(r->n, a->at[G], a->at[Y], x, adjacent, a->at[DX], 1);
}

/* What a row computes, as doubles: the first elements of y or of dx. */
static void results(row *r, int way, double out[COMPARED])
{
    const arrays *const a = r->a;
    if (r->operand >= 0) memset(a->at[DX], 0, (size_t)r->n * tg__type_size(a->type));
    work(way, r);
    const void *const from = a->at[r->operand < 0 ? Y : DX];
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
        r->n = sizes[i];
        bench_row line = { .name = tg__ops[r->code]->name, .size = names[i], .per = "element", .units = (double)r->n };
        line.type = r->a->type == TG_F32 ? "f32" : "f64";
        line.layout = layouts[r->operand + 1];
        for (r->place = 0; r->place < (report_quick() ? 1 : PLACES); r->place++) {
            timing t[2];
            move(r->a);
            do_forward(r);
            if (r->place == 0) {
                results(r, 1, expected);
                results(r, 0, got);
                report_same(&line, SIDE_EAGER, COMPARED, got, expected);
            }
            report_time(2, sides, work, r, i == SIZES - 1 ? REPEATS_IN_MEMORY : REPEATS, t);
            for (int way = 0; way < 2; way++) time_more(&line.side[sides[way]], &t[way]);
        }
        report_row(&line);
    }
}

/* As far as the array may come to lie. */
static void fill(const arrays *a, int array, double lo, double hi)
{
    void *const x = a->block[array];
    const int64_t n = sizes[SIZES - 1] + PAGE_BYTES / (int64_t)tg__type_size(a->type);
    for (int64_t i = 0; i < n; i++) {
        if (a->type == TG_F32) ((float *)x)[i] = (float)draw(&seed, lo, hi);
        else ((double *)x)[i] = draw(&seed, lo, hi);
    }
}

static void map_rows(arrays *a, const tg__kernels *k, int code)
{
    const tg__op *op = tg__ops[code];
    row r = { .a = a, .k = k, .code = code, .operand = -1 };
    const int n = tg__operands(op->letters);
    for (int i = 0; i < n; i++) fill(a, i, op->range[i].lo, op->range[i].hi);
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
    bool ok = true;
    for (int i = 0; i < ARRAYS; i++) ok &= (a.block[i] = draw_pages(bytes)) != NULL;
    if (ok) {
        const tg__kernels *k = tg__kernels_for(type);
        report_title("%s, level %s: kernels and plain loops", type == TG_F32 ? "f32" : "f64", k->level);
        fill(&a, G, -1, 1);
        for (int code = 1; code < TG__MAPS; code++)
            if (report_wants(tg__ops[code]->name, NULL)) map_rows(&a, k, code);
    }
    for (int i = 0; i < ARRAYS; i++) free(a.block[i]);
    return ok;
}

int main(int argc, char **argv)
{
    report_begin(argc, argv, "kernels", "Elementwise kernels against plain loops over libm.");
    const bool ok = table(TG_F64) && table(TG_F32);
    return report_end() || !ok;
}
