/* Every kernel at every instruction-set level that this machine has, against plain scalar work: rows
   of all lengths to 40 and some longer ones, misaligned, with strides 1, 2, -1, 3 and 0. What lies
   around a result must stay. Elementwise kernels must give the same bits wherever an element lies
   and whatever the level is; sums are held to bounds. Nothing here names an elementwise op. */
#include "finish.h"
#include "levels.h"
#include "ops/op.h"

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 20240917u

static size_t checks;
static uint64_t state;

static void begin(void)
{
    checks = 0;
    state = SEED;
    find_levels();
}

static void count(void)
{
    fprintf(stderr, "# %s: %zu checks at %d levels, seed %u\n", criterion_current_test->name,
            checks, levels, SEED);
    EXPECT_AT_THE_END(checks > 0, "nothing was checked");
}

TestSuite(kernels, .init = begin, .fini = count);

/* Counts a check; of all failures of a test the first ten are printed. */
#define EXPECT(CONDITION, ...)                                                                     \
    do {                                                                                           \
        static int failures;                                                                       \
        checks++;                                                                                  \
        if (!(CONDITION) && failures++ < 10) cr_expect(false, __VA_ARGS__);                        \
    } while (0)

/* ---- numbers --------------------------------------------------------------------------------- */

static uint64_t draw_bits(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 20;
}

static double uniform(double lo, double hi)
{
    return lo + (hi - lo) * (double)(draw_bits() & 0xffffffff) * 0x1p-32;
}

static int64_t pick(int64_t n)
{
    return (int64_t)(draw_bits() % (uint64_t)n);
}

/* Ordinary numbers mostly; also of any size, whole numbers, and what is special. */
static double any_number(tg_type type)
{
    static const double special[] = { 0,         -0.0,    1,        -1,        0.5,        INFINITY,
                                      -INFINITY, NAN,     DBL_MIN,  0x1p-1074, -0x1p-1070, FLT_MIN,
                                      0x1p-149,  DBL_MAX, -DBL_MAX, FLT_MAX,   710,        -746,
                                      89,        -104,    1e7 };
    const int64_t kind = pick(16);
    if (kind == 0) return special[pick((int64_t)(sizeof special / sizeof *special))];
    if (kind == 1)
        return ldexp(uniform(-2, 2),
                     (int)pick(type == TG_F32 ? 250 : 2040) - (type == TG_F32 ? 125 : 1020));
    if (kind == 2) return (double)(pick(9) - 4);
    if (kind == 3) return uniform(-800, 800);
    return uniform(-4, 4);
}

static bool same(double a, double b)
{
    return a == b ? signbit(a) == signbit(b) : a != a && b != b;
}

static double epsilon(tg_type type)
{
    return type == TG_F32 ? 0x1p-24 : 0x1p-53;
}

/* ---- rows in guarded memory ------------------------------------------------------------------ */

enum { LONGEST = 300, GUARD = 24, ROOM = 3 * LONGEST + 2 * GUARD + 8 };
#define GUARDED (-1234.5) /* in both types */
static const int64_t lengths[] = { 0,  1,  2,  3,  4,  5,  6,  7,   8,   9,   10,     11,
                                   12, 13, 14, 15, 16, 17, 18, 19,  20,  21,  22,     23,
                                   24, 25, 26, 27, 28, 29, 30, 31,  32,  33,  34,     35,
                                   36, 37, 38, 39, 40, 63, 65, 127, 129, 257, LONGEST };
enum { LENGTHS = sizeof lengths / sizeof *lengths };
static const ptrdiff_t strides[] = { 1, 1, 1, 2, -1, 3, 0 };
enum { STRIDES = sizeof strides / sizeof *strides };

typedef struct line {
    tg_type type;
    _Alignas(64) char room[ROOM * sizeof(double)];
    int64_t n;
    ptrdiff_t stride, at; /* of the first element */
} line;

static double get(tg_type type, const void *p, ptrdiff_t i)
{
    return type == TG_F32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

static void set(tg_type type, void *p, ptrdiff_t i, double x)
{
    if (type == TG_F32) ((float *)p)[i] = (float)x;
    else ((double *)p)[i] = x;
}

/* Lays a row somewhere among guards. */
static void lay(line *l, tg_type type, int64_t n, ptrdiff_t stride)
{
    l->type = type;
    l->n = n;
    l->stride = stride;
    l->at = GUARD + pick(8) + (stride < 0 ? n * -stride : 0);
    memset(l->room, 0, sizeof l->room);
    for (ptrdiff_t i = 0; i < ROOM; i++) set(type, l->room, i, GUARDED);
}

static void *first(const line *l)
{
    return (char *)(uintptr_t)l->room + (size_t)l->at * tg__type_size(l->type);
}

static double at(const line *l, int64_t i)
{
    return get(l->type, l->room, l->at + i * l->stride);
}

static void put(line *l, int64_t i, double x)
{
    set(l->type, l->room, l->at + i * l->stride, x);
}

static void draw(line *l)
{
    for (int64_t i = 0; i < l->n; i++) put(l, i, any_number(l->type));
}

static void draw_ordinary(line *l)
{
    for (int64_t i = 0; i < l->n; i++) put(l, i, uniform(-2, 2));
}

/* Whether nothing but the row was written. */
static bool guarded(const line *l)
{
    line mine = *l;
    for (int64_t i = 0; i < (l->stride ? l->n : 1); i++) put(&mine, i, GUARDED);
    for (ptrdiff_t i = 0; i < ROOM; i++)
        if (get(l->type, mine.room, i) != GUARDED) return false;
    return true;
}

/* ---- elementwise ----------------------------------------------------------------------------- */

typedef struct map_case {
    int code, operands;
    line x[3], g, y, dx;
} map_case;

/* Rows without what is special, too: kernels look for it in blocks. */
static void draw_operand(line *l)
{
    const int64_t kind = pick(3);
    if (kind == 0) draw(l);
    if (kind == 1) draw_ordinary(l);
    if (kind == 2)
        for (int64_t i = 0; i < l->n; i++) put(l, i, uniform(0, 80));
}

static void lay_map(map_case *c, tg_type type, int code, int64_t n)
{
    c->code = code;
    c->operands = tg__operands(tg__ops[code]->letters);
    for (int i = 0; i < 3; i++) {
        lay(&c->x[i], type, n, strides[pick(STRIDES)]);
        draw_operand(&c->x[i]);
    }
    lay(&c->g, type, n, 1);
    draw(&c->g);
    lay(&c->y, type, n, 1);
    lay(&c->dx, type, n, strides[pick(STRIDES)]);
}

/* Element i alone, at the base level. */
static double alone_forward(const map_case *c, int64_t i)
{
    const tg_type type = c->y.type;
    double x[3] = { 0 }, y = 0;
    for (int j = 0; j < c->operands; j++) set(type, &x[j], 0, at(&c->x[j], i));
    level[type][0]->map_forward[c->code](1, &y, (const void *const[]){ &x[0], &x[1], &x[2] },
                                         (const ptrdiff_t[]){ 1, 1, 1 });
    return get(type, &y, 0);
}

static double alone_backward(const map_case *c, int operand, int64_t i, double start)
{
    const tg_type type = c->y.type;
    double x[3] = { 0 }, g = 0, y = 0, dx = 0;
    for (int j = 0; j < c->operands; j++) set(type, &x[j], 0, at(&c->x[j], i));
    set(type, &g, 0, at(&c->g, i));
    set(type, &y, 0, at(&c->y, i));
    set(type, &dx, 0, start);
    level[type][0]->map_backward[c->code][operand](1, &g, &y,
                                                   (const void *const[]){ &x[0], &x[1], &x[2] },
                                                   (const ptrdiff_t[]){ 1, 1, 1 }, &dx, 1);
    return get(type, &dx, 0);
}

static void check_forward(map_case *c, const tg__kernels *k)
{
    const void *const x[] = { first(&c->x[0]), first(&c->x[1]), first(&c->x[2]) };
    const ptrdiff_t s[] = { c->x[0].stride, c->x[1].stride, c->x[2].stride };
    for (int64_t i = 0; i < c->y.n; i++) put(&c->y, i, GUARDED);
    k->map_forward[c->code](c->y.n, first(&c->y), x, s);
    for (int64_t i = 0; i < c->y.n; i++) {
        const double y = at(&c->y, i), alone = alone_forward(c, i);
        EXPECT(same(y, alone), "%s %s, %s, element %lld of %lld, of %a, %a, %a: %a, alone %a",
               tg__ops[c->code]->name, c->y.type == TG_F32 ? "f32" : "f64", k->level, (long long)i,
               (long long)c->y.n, at(&c->x[0], i), at(&c->x[1], i), at(&c->x[2], i), y, alone);
    }
    EXPECT(guarded(&c->y), "%s, %s: wrote beside the row", tg__ops[c->code]->name, k->level);
}

static void run_backward(map_case *c, const tg__kernels *k, int operand, double start)
{
    const void *const x[] = { first(&c->x[0]), first(&c->x[1]), first(&c->x[2]) };
    const ptrdiff_t s[] = { c->x[0].stride, c->x[1].stride, c->x[2].stride };
    for (int64_t i = 0; i < c->dx.n; i++) put(&c->dx, i, start);
    k->map_backward[c->code][operand](c->dx.n, first(&c->g), first(&c->y), x, s, first(&c->dx),
                                      c->dx.stride);
}

/* A gradient that is summed over the row: the same bits at every level, and near the exact sum,
   where that is an ordinary number. */
static void check_summed(map_case *c, const tg__kernels *k, int operand)
{
    long double sum = 0, size = 0;
    put(&c->dx, 0, 0);
    for (int64_t i = 0; i < c->dx.n; i++) {
        const double part = alone_backward(c, operand, i, 0);
        sum += (long double)part;
        size += fabsl((long double)part);
    }
    if (c->dx.n == 0) return;
    run_backward(c, level[c->y.type][0], operand, 0);
    const double base = at(&c->dx, 0);
    run_backward(c, k, operand, 0);
    const double y = at(&c->dx, 0);
    EXPECT(same(y, base), "%s, operand %d, %s: the sum is %a, at the base level %a",
           tg__ops[c->code]->name, operand, k->level, y, base);
    if (size < (c->y.type == TG_F32 ? 1e30L : 1e300L)) {
        /* every term passes through at most n additions */
        const long double bound =
            size * (long double)(epsilon(c->y.type) * (double)(c->dx.n + 4)) + 1e-300L;
        EXPECT(fabsl((long double)y - sum) <= bound, "%s, operand %d, %s: the sum is %a, not %La",
               tg__ops[c->code]->name, operand, k->level, y, sum);
    }
}

static void check_backward(map_case *c, const tg__kernels *k, int operand)
{
    if (c->dx.stride == 0) {
        check_summed(c, k, operand);
    } else {
        const double start = uniform(-1, 1);
        run_backward(c, k, operand, start);
        for (int64_t i = 0; i < c->dx.n; i++) {
            const double dx = at(&c->dx, i), alone = alone_backward(c, operand, i, start);
            EXPECT(same(dx, alone), "%s, operand %d, %s, %s, element %lld of %lld: %a, alone %a",
                   tg__ops[c->code]->name, operand, c->y.type == TG_F32 ? "f32" : "f64", k->level,
                   (long long)i, (long long)c->dx.n, dx, alone);
        }
    }
    EXPECT(guarded(&c->dx), "%s, operand %d, %s: wrote beside the row", tg__ops[c->code]->name,
           operand, k->level);
}

static void check_maps(tg_type type)
{
    map_case c;
    for (int code = 1; code < TG__MAPS; code++)
        for (int i = 0; i < LENGTHS; i++)
            for (int l = 0; l < levels; l++) {
                const tg__kernels *k = level[type][l];
                lay_map(&c, type, code, lengths[i]);
                check_forward(&c, k);
                for (int j = 0; j < c.operands; j++)
                    if (k->map_backward[code][j]) check_backward(&c, k, j);
            }
}

/* Long rows, in the second cache and beyond, which may go through other kernels than short ones. */
enum { LONG_ROW = 133001, SHORT_ROW = 100 };
static const int64_t long_rows[] = { 6001, LONG_ROW };
typedef struct long_row {
    double x[3][LONG_ROW], g[LONG_ROW], y[LONG_ROW], dx[LONG_ROW]; /* or floats */
} long_row;

/* All, in calls for some elements. */
static void run_long(long_row *r, tg_type type, const tg__kernels *k, int code, int operand, int64_t all, int64_t some)
{
    const size_t size = tg__type_size(type);
    for (int64_t i = 0; i < all; i += some) {
        const int64_t n = all - i < some ? all - i : some;
        const size_t begin = (size_t)i * size;
        const void *x[3];
        for (int j = 0; j < 3; j++) x[j] = (char *)r->x[j] + begin;
        const ptrdiff_t s[] = { 1, 1, 1 };
        if (operand < 0) k->map_forward[code](n, (char *)r->y + begin, x, s);
        else k->map_backward[code][operand](n, (char *)r->g + begin, (char *)r->y + begin, x, s, (char *)r->dx + begin, 1);
    }
}

static void check_long(tg_type type, int64_t n)
{
    static long_row mine, base, before;
    memset(&base, 0, sizeof base);
    for (int64_t i = 0; i < n; i++) {
        for (int j = 0; j < 3; j++) set(type, base.x[j], i, uniform(-0.9, 0.9));
        set(type, base.g, i, uniform(0.5, 1));
    }
    for (int code = 1; code < TG__MAPS; code++)
        for (int operand = -1; operand < 3; operand++) {
            if (operand >= 0 && !level[type][0]->map_backward[code][operand]) continue;
            memset(base.dx, 0, sizeof base.dx);
            before = base;
            run_long(&base, type, level[type][0], code, operand, n, SHORT_ROW);
            for (int l = 0; l < levels; l++) {
                const tg__kernels *const k = level[type][l];
                mine = before;
                run_long(&mine, type, k, code, operand, n, n);
                for (int64_t i = 0; i < n; i++)
                    EXPECT(same(get(type, mine.y, i), get(type, base.y, i)) &&
                               same(get(type, mine.dx, i), get(type, base.dx, i)),
                           "%s, operand %d, %s, element %lld", tg__ops[code]->name, operand, k->level, (long long)i);
            }
        }
}

Test(kernels, elementwise_f64_gives_the_same_bits_everywhere)
{
    check_maps(TG_F64);
    for (int i = 0; i < 2; i++) check_long(TG_F64, long_rows[i]);
}

Test(kernels, elementwise_f32_gives_the_same_bits_everywhere)
{
    check_maps(TG_F32);
    for (int i = 0; i < 2; i++) check_long(TG_F32, long_rows[i]);
}

/* ---- copies and indices ---------------------------------------------------------------------- */

/* visit(kernels, a row to write, a row to read) for every level, length and several strides. */
static void each_pair(void (*visit)(const tg__kernels *k, line *y, line *x))
{
    line y, x;
    for (int type = TG_F64; type <= TG_F32; type++)
        for (int l = 0; l < levels; l++)
            for (int i = 0; i < LENGTHS; i++)
                for (int sy = 0; sy < STRIDES; sy++)
                    for (int sx = 2; sx < STRIDES; sx++) {
                        lay(&y, (tg_type)type, lengths[i], strides[sy]);
                        lay(&x, (tg_type)type, lengths[i], strides[sx]);
                        draw_ordinary(&x);
                        draw_ordinary(&y);
                        visit(level[type][l], &y, &x);
                        EXPECT(guarded(&y), "wrote beside the row");
                    }
}

static void copies(const tg__kernels *k, line *y, line *x)
{
    k->copy(y->n, first(y), y->stride, first(x), x->stride);
    for (int64_t i = 0; i < y->n; i++)
        EXPECT(at(y, i) == at(x, y->stride ? i : y->n - 1), "copy, %s, element %lld", k->level,
               (long long)i);
}

static void adds(const tg__kernels *k, line *y, line *x)
{
    const line before = *y;
    long double sum = y->n ? (long double)at(y, 0) : 0;
    for (int64_t i = 0; i < y->n; i++) sum += (long double)at(x, i);
    k->add(y->n, first(y), y->stride, first(x), x->stride);
    for (int64_t i = 0; i < y->n && y->stride; i++) {
        line z = before;
        put(&z, i, at(&before, i) + at(x, i));
        EXPECT(at(y, i) == at(&z, i), "add, %s, element %lld", k->level, (long long)i);
    }
    if (y->n && !y->stride) {
        const double bound = 2 * epsilon(y->type) * (double)(y->n + 4) * (double)(y->n + 1);
        EXPECT(fabsl((long double)at(y, 0) - sum) <= (long double)bound, "add, %s: %a is not %La",
               k->level, at(y, 0), sum);
    }
}

static void fills(const tg__kernels *k, line *y, line *x)
{
    (void)x;
    k->fill(y->n, first(y), y->stride, 0.25);
    for (int64_t i = 0; i < y->n; i++)
        EXPECT(at(y, i) == 0.25, "fill, %s, element %lld", k->level, (long long)i);
}

Test(kernels, copy_add_and_fill_write_their_row)
{
    each_pair(copies);
    each_pair(adds);
    each_pair(fills);
}

static void sums_up(const tg__kernels *k, line *y, line *x)
{
    if (y->stride == 0) return;
    long double sum = 0;
    k->scan.cumsum(1, y->n,
                   (const tg__scan_line[]){ { first(y), y->stride, 0 }, { first(x), x->stride, 0 } });
    for (int64_t i = 0; i < y->n; i++) {
        sum += (long double)at(x, i);
        const long double bound = 2 * (long double)epsilon(y->type) * (fabsl(sum) + 2);
        EXPECT(fabsl((long double)at(y, i) - sum) <= bound, "cumsum, %s, element %lld", k->level,
               (long long)i);
    }
}

/* Element j of y goes with element index[j] of x; both move along. */
static void picks(const tg__kernels *k, line *y, line *x)
{
    enum { CHOICES = 3 };
    static const ptrdiff_t steps[] = { 1, 2, -1 };
    if (y->stride == 0 || y->n > LONGEST - CHOICES || x->stride == 0) return;
    int64_t index[LONGEST];
    for (int64_t j = 0; j < y->n; j++) index[j] = pick(CHOICES);
    const ptrdiff_t step = steps[pick(3)], si = pick(2);
    line from, to, wanted = *y;
    lay(&from, x->type, 3 * LONGEST / 2, 1);
    from.at = GUARD;
    draw_ordinary(&from);
    to = from;
    const ptrdiff_t sx = pick(2) ? 1 : 2, middle = 4;
    char *const p = (char *)first(&from) + (size_t)middle * tg__type_size(x->type);
    tg__pick_kernel *const kernel[] = { k->index.gather, k->index.gather_add };
    for (int adding = 0; adding < 2; adding++) {
        for (int64_t j = 0; j < y->n; j++) {
            const double v = at(&from, middle + j * sx + index[j * si] * step);
            put(&wanted, j, adding ? at(y, j) + v : v);
        }
        kernel[adding](1, y->n, (tg__rows){ first(y), 0, y->stride }, (tg__rows){ p, 0, sx },
                       (tg__index){ index, 0, si, step, 0 });
        for (int64_t j = 0; j < y->n; j++)
            EXPECT(at(y, j) == at(&wanted, j), "gather, %s, element %lld", k->level, (long long)j);
    }
    for (int64_t j = 0; j < y->n; j++) {
        const int64_t i = middle + j * sx + index[j * si] * step;
        put(&to, i, at(&to, i) + at(y, j));
    }
    k->index.scatter_add(1, y->n, (tg__rows){ first(y), 0, y->stride }, (tg__rows){ p, 0, sx },
                         (tg__index){ index, 0, si, step, 0 });
    for (int64_t i = 0; i < from.n; i++)
        EXPECT(at(&from, i) == at(&to, i), "scatter_add, %s, element %lld", k->level, (long long)i);
}

Test(kernels, index_kernels_pick_and_sum)
{
    each_pair(picks);
    each_pair(sums_up);
}

/* What is dropped, by the words of base level one by one. */
static void drops(const tg__kernels *k, line *y, line *x)
{
    if (y->stride != 1 || x->stride != 1) return;
    const tg__dropping d = { .r = { UINT64_C(5) << 40 | 3, UINT64_C(1) << 33 | 7, TG__DRAW_DROPOUT },
                             .first = y->n % 7 * 13,
                             .least = UINT32_MAX / 3,
                             .scale = 1.5 };
    uint32_t word[LONGEST];
    line sum = *y, want = *y;
    tg__random_words(&d.r, d.first, y->n, word);
    k->random.drop_add(y->n, first(&sum), first(x), &d);
    k->random.drop(y->n, first(y), first(x), &d);
    for (int64_t i = 0; i < y->n; i++) {
        const double before = at(&want, i);
        put(&want, i, word[i] < d.least ? 0 : at(x, i) * 1.5);
        EXPECT(same(at(y, i), at(&want, i)), "drop, %s, element %lld", k->level, (long long)i);
        put(&want, i, before + at(&want, i));
        EXPECT(same(at(&sum, i), at(&want, i)), "drop_add, %s, element %lld", k->level,
               (long long)i);
    }
    EXPECT(guarded(&sum), "wrote beside the row");
}

Test(kernels, random_words_drop_the_same_elements_at_every_level)
{
    each_pair(drops);
}

/* ---- reductions ------------------------------------------------------------------------------ */

typedef long double term(double x, double b);
static long double term_x(double x, double b)
{
    return (void)b, (long double)x;
}
static long double term_offset(double x, double b)
{
    return (long double)x - (long double)b;
}
static long double term_square(double x, double b)
{
    return term_offset(x, b) * term_offset(x, b);
}
static long double term_size(double x, double b)
{
    return (void)b, fabsl((long double)x);
}
static long double term_scaled(double x, double b)
{
    return (long double)x * (long double)b * ((long double)x * (long double)b);
}
static long double term_power(double x, double b)
{
    return powl(fabsl((long double)x) * (long double)b, 3);
}
static long double term_exp(double x, double b)
{
    return expl((long double)x - (long double)b);
}
static long double term_match(double x, double b)
{
    return x == b;
}
static long double term_size_match(double x, double b)
{
    return fabs(x) == b;
}

/* Sums over tiles: w outputs of n elements each, along the row or across it. */
static void check_sum(tg_type type, const char *name, size_t field, term *f)
{
    for (int l = 0; l < levels; l++)
        for (int64_t w = 1; w < 20; w += 3)
            for (int64_t n = 0; n < LONGEST / w; n += n < 20 ? 1 : 17) {
                line x;
                lay(&x, type, w * n, 1);
                draw_ordinary(&x);
                const bool across = w > 1 && pick(2);
                const tg__tile t = { w, n, first(&x), across ? 1 : n, across ? w : 1, 0 };
                double b[TG__TILE];
                for (int64_t j = 0; j < w; j++) b[j] = n ? at(&x, j * t.sw + n / 2 * t.sn) : 1;
                tg__sums sums = { { 0 }, { 0 } };
                const tg__reduce_kernels *const r = &level[type][l]->reduce;
                (*(tg__sum_kernel *const *)(const void *)((const char *)r + field))(&t, b, 3,
                                                                                    &sums);
                for (int64_t j = 0; j < w; j++) {
                    long double sum = 0, size = 0;
                    for (int64_t i = 0; i < n; i++) {
                        const long double v = f(at(&x, j * t.sw + i * t.sn), b[j]);
                        sum += v;
                        size += fabsl(v);
                    }
                    /* at most 16 additions in a lane and some for the lanes; a term errs by a few
                       roundings of itself */
                    const long double bound = (long double)epsilon(type) * 40 * size;
                    EXPECT(fabsl((long double)(sums.total[j] + sums.rest[j]) - sum) <= bound,
                           "%s, %s, output %lld of (%lld, %lld)", name, level[type][l]->level,
                           (long long)j, (long long)w, (long long)n);
                }
            }
}

Test(kernels, sums_are_near_the_exact_ones)
{
#define CHECK_SUM(NAME, TERM)                                                                      \
    check_sum((tg_type)type, #NAME, offsetof(tg__reduce_kernels, NAME), TERM)
    for (int type = TG_F64; type <= TG_F32; type++) {
        CHECK_SUM(sum, term_x);
        CHECK_SUM(offsets, term_offset);
        CHECK_SUM(squares, term_square);
        CHECK_SUM(sizes, term_size);
        CHECK_SUM(scaled_squares, term_scaled);
        CHECK_SUM(powers, term_power);
        CHECK_SUM(exps, term_exp);
        CHECK_SUM(matches, term_match);
        CHECK_SUM(size_matches, term_size_match);
    }
}

Test(kernels, folds_find_the_extremes)
{
    for (int type = TG_F64; type <= TG_F32; type++)
        for (int l = 0; l < levels; l++)
            for (int i = 1; i < LENGTHS; i++)
                for (int s = 2; s < STRIDES; s++) {
                    const tg__reduce_kernels *r = &level[type][l]->reduce;
                    line x;
                    lay(&x, (tg_type)type, lengths[i], strides[s]);
                    draw_ordinary(&x);
                    const tg__tile t = { 1, x.n, first(&x), 0, x.stride, 0 };
                    double max, min, largest = -INFINITY, smallest = INFINITY; /* max, min: room for either type */
                    for (int64_t j = 0; j < x.n; j++)
                        largest = fmax(largest, at(&x, j)), smallest = fmin(smallest, at(&x, j));
                    r->max(&t, true, &max);
                    r->min(&t, true, &min);
                    EXPECT(get((tg_type)type, &max, 0) == largest && get((tg_type)type, &min, 0) == smallest,
                           "extremes of %lld", (long long)x.n);
                    put(&x, x.n / 2, NAN);
                    r->max(&t, false, &max);
                    EXPECT(isnan(get((tg_type)type, &max, 0)), "a NaN of %lld was lost", (long long)x.n);
                }
}

enum { TILE_ROWS = 40 };

/* Rows, and columns beside each other, of which the first half is folded, and then the second one. Sums of one block are
   those that the kernel for many blocks gives. */
static void check_tiles(tg_type type, int l, int64_t w, int64_t n, bool across)
{
    static double x[TG__TILE * TILE_ROWS]; /* room for either type, as m and sum are */
    const tg__reduce_kernels *const r = &level[type][l]->reduce;
    const ptrdiff_t sw = across ? 1 : n, sn = across ? w : 1;
    const int64_t half = n / 2;
    const tg__tile t = { w, n, x, sw, sn, 0 }, before = { w, half, x, sw, sn, 0 };
    const tg__tile behind = { w, n - half, (char *)x + (size_t)(half * sn) * tg__type_size(type), sw, sn, 0 };
    double m[TG__TILE], sum[TG__TILE], total[TG__TILE];
    tg__sums sums = { { 0 }, { 0 } };
    for (int64_t i = 0; i < w * n; i++) set(type, x, i, (double)(pick(2000001) - 1000000) / 7);
    r->max(&before, true, m);
    r->max(&behind, false, m);
    r->sum(&t, NULL, 0, &sums);
    r->totals(w, total, sums.total, sums.rest);
    const bool is_block = r->block_sums(&t, sum);
    EXPECT(is_block || n > 16, "sums of %lld are of one block", (long long)n);
    for (int64_t j = 0; j < w; j++) {
        double largest = -INFINITY;
        for (int64_t i = 0; i < n; i++) largest = fmax(largest, get(type, x, j * sw + i * sn));
        EXPECT(get(type, m, j) == largest, "output %lld of (%lld, %lld): %g, not %g", (long long)j, (long long)w,
               (long long)n, get(type, m, j), largest);
        EXPECT(!is_block || get(type, sum, j) == total[j], "sum %lld of (%lld, %lld)", (long long)j, (long long)w,
               (long long)n);
    }
}

Test(kernels, tiles_are_folded_and_summed_output_by_output)
{
    for (int type = TG_F64; type <= TG_F32; type++)
        for (int l = 0; l < levels; l++)
            for (int64_t w = 2; w < TG__TILE; w += w < 70 ? 3 : 61)
                for (int64_t n = 1; n < TILE_ROWS; n += n < 20 ? 1 : 7) {
                    check_tiles((tg_type)type, l, w, n, false);
                    check_tiles((tg_type)type, l, w, n, true);
                }
}

/* Many columns, which take a way of their own: gradients have the same bits at every level, and what no gradient is for
   stays as it is. Whole numbers: nothing is rounded. */
static void check_columns(tg_type type, int64_t w, int64_t n)
{
    static double before[70000], x[70000];
    const int64_t size = w * n;
    double a[TG__TILE], b[TG__TILE];
    cr_assert(size <= (int64_t)(sizeof x / sizeof *x) && w <= TG__TILE);
    void *const px = malloc((size_t)size * sizeof(double)), *const dx = malloc((size_t)size * sizeof(double));
    for (int64_t j = 0; j < w; j++) a[j] = (double)(pick(5) - 1), b[j] = (double)pick(40);
    for (int64_t i = 0; i < size; i++) {
        x[i] = (double)pick(400);
        before[i] = pick(3) ? (double)pick(9) : -0.0;
        set(type, px, i, x[i]);
    }
    const tg__tile t = { w, n, px, 1, w, 0 };
    for (int l = 0; l < levels; l++)
        for (int rare = 0; rare < 2; rare++) {
            const tg__reduce_kernels *const r = &level[type][l]->reduce;
            for (int64_t i = 0; i < size; i++) set(type, dx, i, before[i]);
            (rare ? r->spread_equals : r->spread_offsets)(&t, dx, a, b, 0);
            for (int64_t i = 0; i < size; i++) {
                const double aj = a[i % w], bj = b[i % w];
                const double part = rare ? (x[i] == bj ? aj : 0) : aj == 0 ? 0 : aj * (x[i] - bj);
                const double sum = rare && part == 0 ? before[i] : before[i] + part;
                EXPECT(same(get(type, dx, i), sum), "element %lld of (%lld, %lld) at %s: %g, not %g", (long long)i,
                       (long long)n, (long long)w, level[type][l]->level, get(type, dx, i), sum);
            }
        }
    free(px), free(dx);
}

Test(kernels, gradients_of_many_columns_have_the_same_bits_everywhere)
{
    static const int64_t widths[] = { 2, 7, 20, 64, 100, 256 };
    for (int type = TG_F64; type <= TG_F32; type++)
        for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
            for (int64_t more = 1; more < 4; more++)
                check_columns((tg_type)type, widths[i], (1 << 17) / (4 << (type == TG_F64)) / widths[i] + more);
}

/* ---- softargmax ------------------------------------------------------------------------------ */

static void check_softargmax(tg_type type, int l, tg__lines s, double beta)
{
    const tg__reduce_kernels *r = &level[type][l]->reduce;
    const int64_t n = s.outer * s.n * s.inner;
    line x, soft, log_soft, g, d, log_d;
    line *const all[] = { &x, &soft, &log_soft, &g, &d, &log_d };
    for (int i = 0; i < 6; i++) lay(all[i], type, n, 1);
    draw_ordinary(&x);
    draw_ordinary(&g);
    for (int64_t i = 0; i < n; i++) put(&d, i, 0), put(&log_d, i, 0);
    r->softargmax(s, first(&soft), first(&x), beta);
    r->log_softmax(s, first(&log_soft), first(&x), beta);
    r->softargmax_backward(s, first(&d), first(&g), first(&soft), beta);
    r->log_softmax_backward(s, first(&log_d), first(&g), first(&log_soft), beta);
    const long double bound = (long double)epsilon(type) * 64 * (long double)(s.n + 4);
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t in = 0; in < s.inner; in++) {
            long double sum = 0, dot = 0, total = 0;
#define AT(L, I) ((long double)at(&(L), (o * s.n + (I)) * s.inner + in))
            for (int64_t i = 0; i < s.n; i++)
                sum += expl((long double)beta * AT(x, i)), total += AT(g, i);
            for (int64_t i = 0; i < s.n; i++)
                dot += AT(g, i) * expl((long double)beta * AT(x, i)) / sum;
            for (int64_t i = 0; i < s.n; i++) {
                const long double p = expl((long double)beta * AT(x, i)) / sum;
                EXPECT(fabsl(AT(soft, i) - p) <= bound, "softargmax, n %lld", (long long)s.n);
                EXPECT(fabsl(AT(log_soft, i) - logl(p)) <= bound, "log_softmax, n %lld",
                       (long long)s.n);
                EXPECT(fabsl(AT(d, i) - (long double)beta * p * (AT(g, i) - dot)) <= bound,
                       "softargmax's gradient");
                EXPECT(fabsl(AT(log_d, i) - (long double)beta * (AT(g, i) - p * total)) <= bound,
                       "log_softmax's gradient");
            }
#undef AT
        }
    for (int i = 0; i < 6; i++) EXPECT(guarded(all[i]), "wrote beside the lines");
}

Test(kernels, softargmax_is_near_the_exact_one)
{
    for (int type = TG_F64; type <= TG_F32; type++)
        for (int l = 0; l < levels; l++)
            for (int64_t n = 1; n < 60; n += n < 20 ? 1 : 13)
                for (int64_t inner = 1; inner < 5; inner += 3) {
                    check_softargmax((tg_type)type, l,
                                     (tg__lines){ 3, n / (inner > 1 ? 3 : 1) + 1, inner }, 1);
                    check_softargmax((tg_type)type, l,
                                     (tg__lines){ 1, n / (inner > 1 ? 3 : 1) + 1, inner }, -0.5);
                }
}

/* Of numbers of which nothing is rounded. */
static void check_softargmax_gradient(tg_type type, tg__lines lines)
{
    enum { MOST = 300000 };
    static double g[MOST], y[MOST], before[MOST], s[MOST];
    const int64_t size = lines.outer * lines.n * lines.inner, block = lines.n * lines.inner;
    cr_assert(size <= MOST);
#define LINE_OF(i) ((i) / block * lines.inner + (i) % lines.inner)
    const size_t bytes = (size_t)size * tg__type_size(type);
    void *const pg = malloc(bytes), *const py = malloc(bytes), *const dx = malloc(bytes);
    memset(s, 0, sizeof s);
    for (int64_t i = 0; i < size; i++) {
        g[i] = (double)pick(9), y[i] = (double)pick(4) / 4, before[i] = (double)pick(9);
        s[LINE_OF(i)] += g[i] * y[i];
        set(type, pg, i, g[i]);
        set(type, py, i, y[i]);
    }
    for (int l = 0; l < levels; l++) {
        for (int64_t i = 0; i < size; i++) set(type, dx, i, before[i]);
        level[type][l]->reduce.softargmax_backward(lines, dx, pg, py, 1);
        for (int64_t i = 0; i < size; i++) {
            const double sum = before[i] + y[i] * (g[i] - s[LINE_OF(i)]);
            EXPECT(get(type, dx, i) == sum, "element %lld of (%lld, %lld, %lld) at %s: %g, not %g", (long long)i,
                   (long long)lines.outer, (long long)lines.n, (long long)lines.inner, level[type][l]->level,
                   get(type, dx, i), sum);
        }
    }
#undef LINE_OF
    free(pg), free(py), free(dx);
}

/* Beyond the first cache several rows are taken as one, and some are left; beyond the second one, what comes next is brought
   near. */
Test(kernels, softargmax_of_many_lines_has_the_exact_gradient)
{
    static const int64_t sizes[] = { 1 << 17, 1 << 20 }, widths[] = { 2, 9, 20, 64, 100, 256 };
    for (int type = TG_F64; type <= TG_F32; type++)
        for (int k = 0; k < 2; k++)
            for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
                for (int64_t more = 1; more < 4; more++) {
                    const int64_t w = widths[i], n = sizes[k] / (type == TG_F64 ? 8 : 4) / w + more;
                    check_softargmax_gradient((tg_type)type, (tg__lines){ 1, n, w });
                    check_softargmax_gradient((tg_type)type, (tg__lines){ n, w, 1 });
                }
}

/* ---- the matrix product ---------------------------------------------------------------------- */

/* One of the ways in which a matrix of m rows and n columns can lie. */
static tg__matrix matrix(const line *l, int64_t m, int64_t n)
{
    switch (pick(4)) {
    case 0: return (tg__matrix){ first(l), n, 1 };
    case 1: return (tg__matrix){ first(l), 1, m };
    case 2:
        return (tg__matrix){ (char *)first(l) + (size_t)(m * n - 1) * tg__type_size(l->type), -n,
                             -1 };
    default: return (tg__matrix){ first(l), 0, 1 };
    }
}

static void check_product(tg_type type, int l, int64_t m, int64_t n, int64_t k)
{
    line a, b, c;
    lay(&a, type, m * k, 1);
    lay(&b, type, k * n, 1);
    lay(&c, type, m * n, 1);
    draw_ordinary(&a);
    draw_ordinary(&b);
    draw_ordinary(&c);
    double start[LONGEST * 4];
    for (int64_t i = 0; i < m * n; i++) start[i] = at(&c, i);
    const bool turned = pick(2);
    const ptrdiff_t row = turned ? 1 : n, column = turned ? m : 1; /* of c */
    tg__product p = {
        m, n, k, matrix(&a, m, k), matrix(&b, k, n), { first(&c), row, column }, { NULL, 0, 0 }
    };
    const bool adding = pick(2);
    if (adding) p.d = p.c;
    const tg__matmul_kernels *const kernel = &level[type][l]->matmul;
    const size_t bytes = kernel->scratch(&p);
    void *const scratch = bytes ? aligned_alloc(64, (bytes + 63) / 64 * 64) : NULL;
    kernel->product(&p, scratch);
    free(scratch);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            const int64_t place = i * row + j * column;
            long double sum = adding ? (long double)start[place] : 0;
            for (int64_t q = 0; q < k; q++)
                sum += (long double)get(type, p.a.p, i * p.a.row + q * p.a.column) *
                       (long double)get(type, p.b.p, q * p.b.row + j * p.b.column);
            /* k products of at most 4 and as many additions */
            const long double bound =
                (long double)epsilon(type) * 4 * (long double)((k + 2) * (k + 2));
            EXPECT(fabsl((long double)at(&c, place) - sum) <= bound,
                   "(%lld, %lld) times (%lld, %lld), %s", (long long)m, (long long)k, (long long)k,
                   (long long)n, level[type][l]->level);
        }
    EXPECT(guarded(&c), "the product wrote beside its matrix");
}

Test(kernels, products_are_near_the_exact_ones)
{
    for (int type = TG_F64; type <= TG_F32; type++)
        for (int l = 0; l < levels; l++) {
            for (int64_t m = 1; m < 30; m += 1 + pick(4))
                for (int64_t n = 1; n < 30; n += 1 + pick(4))
                    for (int64_t k = 1; k < 30; k += 1 + pick(4))
                        check_product((tg_type)type, l, m, n, k);
            check_product((tg_type)type, l, 3, 3, 299);
            check_product((tg_type)type, l, 17, 50, 18);
            for (int i = 0; i < 8; i++) check_product((tg_type)type, l, 2, 100, 9);
        }
}

static void dots(const tg__kernels *k, line *y, line *x)
{
    long double sum = 0;
    for (int64_t i = 0; i < y->n; i++) sum += (long double)at(y, i) * (long double)at(x, i);
    const double dot = k->matmul.dot(y->n, first(y), y->stride, first(x), x->stride);
    const long double bound =
        (long double)epsilon(y->type) * 4 * (long double)((y->n + 2) * (y->n + 2));
    EXPECT(fabsl((long double)dot - sum) <= bound, "dot of %lld, %s", (long long)y->n, k->level);
}

Test(kernels, dot_is_near_the_exact_one)
{
    each_pair(dots);
}

/* Every place of rows of all lengths, for what is and what is not. */
Test(kernels, one_number_that_is_not_finite_is_found)
{
    for (int type = TG_F64; type <= TG_F32; type++)
        for (int l = 0; l < levels; l++)
            for (int64_t n = 0; n < 100; n++) {
                line x;
                lay(&x, (tg_type)type, n, 1);
                draw_ordinary(&x);
                const tg__kernels *const k = level[type][l];
                line y, before;
                lay(&y, (tg_type)type, n, 1);
                draw_ordinary(&y);
                before = y;
                EXPECT(k->lanes.finite(n, first(&x)), "%lld numbers, %s", (long long)n, k->level);
                EXPECT(k->lanes.copy_finite(n, first(&y), first(&x)), "%lld numbers, %s", (long long)n, k->level);
                for (int64_t i = 0; i < n; i++) EXPECT(at(&y, i) == at(&x, i), "copy of number %lld", (long long)i);
                memcpy(first(&y), first(&before), (size_t)n * tg__type_size((tg_type)type));
                EXPECT(memcmp(y.room, before.room, sizeof y.room) == 0, "what is beside %lld numbers", (long long)n);
                for (int64_t i = 0; i < n; i++) {
                    const double was = at(&x, i);
                    put(&x, i, i % 2 ? (double)INFINITY : (double)NAN);
                    EXPECT(!k->lanes.finite(n, first(&x)) && !k->lanes.copy_finite(n, first(&y), first(&x)),
                           "number %lld of %lld, %s", (long long)i, (long long)n, k->level);
                    put(&x, i, was);
                }
            }
}
