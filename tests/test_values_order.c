/* Sorting, and sums, products and logarithms that run along an axis: sweeps over lengths, axes and
   awkward numbers against plain loops. Examples are in test_values_tensors.c. */
#include "values.h"
#include "finish.h"

#define SEED 20261121u
enum { LONGEST = 150, WIDE = 3 };

static tg_tape *t;
static unsigned state;

static void start(void)
{
    state = SEED;
    t = tg_tape_new(NULL);
}

static void finish(void)
{
    EXPECT_AT_THE_END(!tg_error_of(t), "%s", tg_error_of(t)->message);
    tg_tape_free(t);
}

TestSuite(order, .init = start, .fini = finish);
TestSuite(scans, .init = start, .fini = finish);

static double random_number(void)
{
    return uniform(&state);
}

/* ---- order ----------------------------------------------------------------------------------- */

/* Few different numbers, so that many are equal, and all that is odd. */
static double awkward(void)
{
    static const double odd[] = { NAN, INFINITY, -INFINITY, 0.0, -0.0, DBL_MAX, -DBL_MAX, 1e-300 };
    const int i = (int)((random_number() + 1) * 16);
    return i < COUNT(odd) ? odd[i] : i - 20;
}

static bool comes_before(double a, double b, bool descending)
{
    if (descending) return comes_before(b, a, false);
    return isnan(b) ? !isnan(a) : a < b;
}

/* The positions of n elements, stride apart, in order, by insertion. */
static void order_by_definition(const double *x, int n, int stride, bool descending, int *at)
{
    for (int i = 0; i < n; i++) {
        int j = i;
        for (; j > 0 && comes_before(x[i * stride], x[at[j - 1] * stride], descending); j--)
            at[j] = at[j - 1];
        at[j] = i;
    }
}

static bool same(double a, double b)
{
    return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b));
}

typedef struct results {
    double y[WIDE * LONGEST], at[WIDE * LONGEST], dx[WIDE * LONGEST];
} results;

static void read_results(tg_value x, tg_value y, tg_value at, results *r)
{
    double g[WIDE * LONGEST];
    const size_t n = (size_t)tg_size(x), k = (size_t)tg_size(y);
    for (size_t i = 0; i < k; i++) g[i] = (double)i + 1;
    cr_assert(tg_read(y, r->y, k) && tg_read(at, r->at, k) && tg_type_of(at) == TG_I64);
    cr_assert(tg_backward_with(y, &(tg_backward_options){ .cotangent = g }));
    cr_assert(tg_grad_read(x, r->dx, n));
}

/* x (n, WIDE) along axis 0, and its transpose along the other: the first k in order. */
static void check_order(int n, int k, bool descending)
{
    static double x[WIDE * LONGEST];
    static results r[2];
    for (int i = 0; i < n * WIDE; i++) x[i] = awkward();
    const tg_value v = tg_param(t, x, n, WIDE), turned = tg_transpose(v);
    if (k == n) {
        read_results(v, tg_sort(v, .axis = 0, .descending = descending),
                     tg_argsort(v, .axis = 0, .descending = descending), &r[0]);
        read_results(v, tg_transpose(tg_sort(turned, .descending = descending)),
                     tg_transpose(tg_argsort(turned, .descending = descending)), &r[1]);
    } else {
        read_results(v, tg_topk(v, .axis = 0, .k = k, .largest = descending),
                     tg_argtopk(v, .axis = 0, .k = k, .largest = descending), &r[0]);
        read_results(v, tg_transpose(tg_topk(turned, .k = k, .largest = descending)),
                     tg_transpose(tg_argtopk(turned, .k = k, .largest = descending)), &r[1]);
    }
    for (int column = 0; column < WIDE; column++) {
        int at[LONGEST];
        double dx[LONGEST] = { 0 };
        order_by_definition(x + column, n, WIDE, descending, at);
        for (int i = 0; i < k; i++) dx[at[i]] = i * WIDE + column + 1;
        for (int which = 0; which < 2; which++)
            for (int i = 0; i < n; i++) {
                const int j = i * WIDE + column;
                cr_assert(i >= k || (same(r[which].y[j], x[at[i] * WIDE + column]) &&
                                     r[which].at[j] == at[i]),
                          "%d of %d, way %d: %d is %g from %g", k, n, which, i, r[which].y[j],
                          r[which].at[j]);
                cr_assert(r[which].dx[j] == dx[i], "%d of %d, way %d: gradient %d is %g, not %g", k,
                          n, which, i, r[which].dx[j], dx[i]);
            }
    }
}

Test(order, lines_of_every_length_are_sorted_as_by_insertion)
{
    for (int n = 1; n <= LONGEST; n++)
        for (int descending = 0; descending < 2; descending++) check_order(n, n, descending);
}

Test(order, the_first_of_a_line_are_those_of_the_sorted_line)
{
    for (int n = 1; n <= LONGEST; n += 7)
        for (int k = 1; k < n; k += 5)
            for (int descending = 0; descending < 2; descending++) check_order(n, k, descending);
}

/* Lines of numbers of which many are equal, or none; with infinities, and some with a NaN. */
static double of_few(int kinds)
{
    const double x = floor((random_number() + 1) * kinds);
    return kinds > 100 ? random_number() : x == 1 ? -INFINITY : x == 2 ? INFINITY : x == 3 ? -0.0 : x - 4;
}

Test(order, the_first_of_adjacent_lines_are_those_of_the_sorted_line)
{
    static const int kinds[] = { 1, 4, 20, 1000 };
    static double x[4 * LONGEST], y[4 * LONGEST], where[4 * LONGEST];
    for (int type = TG_F64; type <= TG_F32; type++)
        for (int n = 30; n <= LONGEST; n += 5)
            for (int k = 1; k <= 17; k += 2)
                for (int descending = 0; descending < 2; descending++) {
                    tg_tape *const own = tg_tape_new(&(tg_tape_options){ .type = (tg_type)type });
                    for (int i = 0; i < 4 * n; i++) x[i] = (double)(float)of_few(kinds[i / n]);
                    if (k % 4 == 1) x[2 * n + 7] = x[3 * n + n / 2] = NAN;
                    const tg_value v = tg_param(own, x, 4, n);
                    cr_assert(tg_read(tg_topk(v, .k = k, .largest = descending), y, (size_t)(4 * k)));
                    cr_assert(tg_read(tg_argtopk(v, .k = k, .largest = descending), where, (size_t)(4 * k)));
                    for (int row = 0; row < 4; row++) {
                        int at[LONGEST];
                        order_by_definition(x + row * n, n, 1, descending, at);
                        for (int i = 0; i < k; i++)
                            cr_assert(where[row * k + i] == at[i] && same(y[row * k + i], x[row * n + at[i]]),
                                      "%d of %d, line %d: %d is %g from %g", k, n, row, i, y[row * k + i],
                                      where[row * k + i]);
                    }
                    tg_tape_free(own);
                }
}

/* f32 has keys of its own. Every bit pattern's neighbours would take too long: a sample of them. */
Test(order, f32_is_sorted_as_f64_is)
{
    enum { N = 4000 };
    static float x[N];
    static double y[N], at[N];
    for (int i = 0; i < N; i++) {
        const uint32_t bits = (uint32_t)((random_number() + 1) * 0x1p31);
        memcpy(&x[i], &bits, sizeof bits);
    }
    tg_tape *const single = tg_tape_new(&(tg_tape_options){ .type = TG_F32 });
    const tg_value v = tg_param(single, x, N);
    cr_assert(tg_read(tg_sort(v), y, N) && tg_read(tg_argsort(v), at, N));
    for (int i = 0; i < N; i++) cr_assert(same((double)x[(int)at[i]], y[i]));
    for (int i = 1; i < N; i++) cr_assert(!comes_before(y[i], y[i - 1], false), "%d", i);
    tg_tape_free(single);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

Test(order, the_median_is_the_middle_of_the_sorted_line)
{
    double x[LONGEST], sorted[LONGEST], dx[LONGEST];
    for (int n = 1; n <= LONGEST; n++) {
        for (int i = 0; i < n; i++) sorted[i] = x[i] = random_number();
        qsort(sorted, (size_t)n, sizeof *sorted, by_size);
        const tg_value v = tg_param(t, x, n), m = tg_median(v);
        cr_expect(tg_item(m) == (sorted[n / 2] + sorted[(n - 1) / 2]) / 2, "%d", n);
        cr_assert(tg_backward(m) && tg_grad_read(v, dx, (size_t)n));
        for (int i = 0; i < n; i++) {
            const bool middle = x[i] == sorted[n / 2] || x[i] == sorted[(n - 1) / 2];
            cr_expect(dx[i] == (middle ? n % 2 ? 1 : 0.5 : 0), "%d of %d: %g", i, n, dx[i]);
        }
    }
}

/* As sorting puts them: the first of equal ones comes first. NaN: the first one. */
Test(order, the_gradient_of_the_median_goes_to_one_of_equal_elements)
{
    enum { LONG = 99 };
    double x[LONG], dx[LONG], place[LONG];
    for (int i = 0; i < LONG; i++) x[i] = i * 7 % 5 - 2;
    for (int round = 0; round < 2; round++) {
        const tg_value v = tg_param(t, x, LONG), m = tg_median(v);
        cr_assert(tg_read(tg_argsort(v), place, LONG));
        cr_assert(tg_backward(m) && tg_grad_read(v, dx, LONG));
        const int middle = round ? 40 : (int)place[LONG / 2];
        for (int i = 0; i < LONG; i++) cr_expect(dx[i] == (i == middle), "%d: %g", i, dx[i]);
        x[40] = x[60] = NAN;
    }
}

Test(order, the_median_of_large_numbers_does_not_overflow)
{
    const double x[] = { DBL_MAX, -1, DBL_MAX, DBL_MAX };
    cr_expect(tg_item(tg_median(tg_param(t, x, 4))) == DBL_MAX);
    const double tiny[] = { 0, DBL_TRUE_MIN * 2 };
    cr_expect(tg_item(tg_median(tg_param(t, tiny, 2))) == DBL_TRUE_MIN);
}

/* ---- scans ----------------------------------------------------------------------------------- */

typedef struct line {
    int n;
    const double *x, *g;
    real *y, *dx;
    real *scale; /* of dx: the sum of its terms' sizes */
} line;

static void products_by_definition(line *l)
{
    for (int j = 0; j < l->n; j++) {
        l->y[j] = 1;
        for (int k = 0; k <= j; k++) l->y[j] *= l->x[k];
    }
    for (int i = 0; i < l->n; i++) {
        l->dx[i] = l->scale[i] = 0;
        for (int j = i; j < l->n; j++) {
            real product = l->g[j];
            for (int k = 0; k <= j; k++) product *= k == i ? 1 : l->x[k];
            l->dx[i] += product;
            l->scale[i] += fabsl(product);
        }
    }
}

static void logarithms_by_definition(line *l)
{
    for (int j = 0; j < l->n; j++) {
        real most = -INFINITY, sum = 0;
        for (int k = 0; k <= j; k++) most = fmaxl(most, l->x[k]);
        for (int k = 0; k <= j; k++) sum += expl(l->x[k] - most);
        l->y[j] = most + logl(sum);
    }
    for (int i = 0; i < l->n; i++) {
        l->dx[i] = l->scale[i] = 0;
        for (int j = i; j < l->n; j++) {
            const real part = l->g[j] * expl(l->x[i] - l->y[j]);
            l->dx[i] += part;
            l->scale[i] += fabsl(part);
        }
    }
}

/* Bounds in roundings: a product of n factors has n of them. */
static void check_scan(const char *name, void (*definition)(line *), double lo, double hi, int n,
                       double roundings)
{
    static double x[LONGEST], g[LONGEST], y[LONGEST], dx[LONGEST];
    static real want[LONGEST], want_dx[LONGEST], scale[LONGEST];
    for (int i = 0; i < n; i++) {
        x[i] = lo + (hi - lo) * (random_number() + 1) / 2;
        if (i % 7 == 6 && definition == products_by_definition && n % 2) x[i] = 0;
        g[i] = random_number();
    }
    line l = { n, x, g, want, want_dx, scale };
    definition(&l);
    const tg_value v = tg_param(t, x, n), r = tg_apply(t, name, &v, 1, NULL);
    cr_assert(tg_read(r, y, (size_t)n) &&
              tg_backward_with(r, &(tg_backward_options){ .cotangent = g }) &&
              tg_grad_read(v, dx, (size_t)n));
    for (int i = 0; i < n; i++) {
        const real size = fmaxl(fabsl(want[i]), definition == logarithms_by_definition);
        cr_assert(fabsl(y[i] - want[i]) <= roundings * DBL_EPSILON * size,
                  "%s of %d: %d is %.17g, not %.17Lg", name, n, i, y[i], want[i]);
        /* An exponential is as wrong as its argument's rounding makes it. */
        const real size_of_argument = fmaxl(1, fabsl(want[i]));
        const real bound = roundings * DBL_EPSILON * scale[i] * size_of_argument + DBL_MIN;
        cr_assert(fabsl(dx[i] - want_dx[i]) <= bound, "%s of %d: gradient %d is %.17g, not %.17Lg",
                  name, n, i, dx[i], want_dx[i]);
    }
}

Test(scans, products_and_their_gradients_are_those_of_the_definition_with_zeros_too)
{
    for (int n = 1; n <= LONGEST; n += n < 20 ? 1 : 43)
        check_scan("cumprod", products_by_definition, -1.5, 1.5, n, n + 4);
}

Test(scans, logarithms_and_their_gradients_are_those_of_the_definition)
{
    for (int n = 1; n <= LONGEST; n += n < 20 ? 1 : 43) {
        check_scan("logcumsumexp", logarithms_by_definition, -2, 2, n, 8);
        check_scan("logcumsumexp", logarithms_by_definition, -700, 700, n, 8);
    }
}

/* The error must not grow with the length: a sum with compensation, and one reference for many. */
Test(scans, long_lines_are_as_good_as_short_ones)
{
    enum { N = 200000 };
    double *const x = malloc(N * sizeof *x), *const y = malloc(N * sizeof *y);
    real sum = 0, worst = 0;
    for (int i = 0; i < N; i++) x[i] = i * 1e-4 + random_number();
    const tg_value v = tg_param(t, x, N), r = tg_logcumsumexp(v);
    cr_assert(tg_read(r, y, N));
    for (int i = 0; i < N; i++) {
        sum += expl(x[i]);
        const real error = fabsl(y[i] - logl(sum)) / fmaxl(1, fabsl(logl(sum)));
        worst = fmaxl(worst, error);
    }
    cr_expect(worst <= 2 * DBL_EPSILON, "off by %Lg roundings", worst / DBL_EPSILON);

    /* With equal x and g = 1 the gradients are tails of the harmonic series. */
    for (int i = 0; i < N; i++) x[i] = y[i] = 1;
    const tg_value equal = tg_param(t, x, N), all = tg_sum(tg_logcumsumexp(equal));
    cr_assert(tg_backward(all) && tg_grad_read(equal, y, N));
    sum = worst = 0;
    for (int i = N - 1; i >= 0; i--) {
        sum += 1 / (real)(i + 1);
        worst = fmaxl(worst, fabsl(y[i] - sum) / sum);
    }
    cr_expect(worst <= 16 * DBL_EPSILON, "gradients off by %Lg roundings", worst / DBL_EPSILON);
    free(x);
    free(y);
}

/* What is nothing, in front and behind, is longer than the kernel's blocks; each sum of ones is a logarithm. */
Test(scans, logarithms_begin_and_gradients_end_anywhere_in_a_long_line)
{
    enum { N = 400, NOTHING = 150, WANTED = 20 };
    static double x[N], g[N], y[N], dx[N];
    for (int i = 0; i < N; i++) {
        x[i] = i < NOTHING ? -INFINITY : 0;
        g[i] = i >= NOTHING && i < NOTHING + WANTED;
    }
    const tg_value v = tg_param(t, x, N), r = tg_logcumsumexp(v);
    cr_assert(tg_read(r, y, N) && tg_backward_with(r, &(tg_backward_options){ .cotangent = g }) && tg_grad_read(v, dx, N));
    double sum = 0;
    for (int i = N - 1; i >= 0; i--) {
        const double want = i < NOTHING ? -INFINITY : log(i - NOTHING + 1);
        if (g[i] != 0) sum += 1.0 / (i - NOTHING + 1);
        const double slope = i < NOTHING || i >= NOTHING + WANTED ? 0 : sum;
        cr_expect(y[i] == want || fabs(y[i] - want) <= 4 * DBL_EPSILON * want, "%d: %g, not %g", i, y[i], want);
        cr_expect(fabs(dx[i] - slope) <= 16 * DBL_EPSILON * slope, "gradient %d: %g, not %g", i, dx[i], slope);
    }
}

/* By definition: what is before an element, times all that is behind it. Steps are taken eight at a time where the factors
   allow it: some of these do, some are zero, too large or too small for it. */
Test(scans, products_of_a_long_line_have_their_gradients)
{
    enum { N = 203 };
    static double x[N], g[N], dx[N];
    for (int kind = 0; kind < 6; kind++) {
        for (int i = 0; i < N; i++) {
            x[i] = (i * 37 % 11 < 5 ? -1 : 1) * (0.8 + i * 53 % 17 / 40.0);
            g[i] = i * 29 % 13 - 6;
            if (kind == 1 && i % 50 == 49) x[i] = 0;
            if ((kind == 2 || kind == 3) && i / 20 % 2) x[i] *= i % 2 ? 0x1p-90 : 0x1p90;
            if (kind == 3) g[i] *= 0x1p510;
            if (kind == 4) { /* the product of eight factors overflows, but not with the rest */
                x[i] *= i == 0 ? 0x1p-900 : i >= 98 && i < 106 ? 0x1p130 : 1;
                g[i] *= i < 106 ? 0 : 0x1p-900;
            }
            if (kind == 5) { /* and so does a product with one of two that cancel */
                x[i] *= i == 0 ? 0x1p-900 : i >= 99 && i < 108 ? 0x1p59 : 1;
                g[i] = i == 107 ? 0x1p910 : 0;
            }
        }
        if (kind == 5) g[106] = -x[107] * g[107];
        const tg_value v = tg_param(t, x, N);
        cr_assert(tg_backward_with(tg_cumprod(v), &(tg_backward_options){ .cotangent = g }));
        cr_assert(tg_grad_read(v, dx, N));
        for (int j = 0; j < N; j++) {
            real before = 1, product = 1, sum = 0, sizes = 0;
            for (int i = 0; i < j; i++) before *= x[i];
            for (int i = j; i < N; i++) {
                if (i > j) product *= x[i];
                sum += g[i] * product;
                sizes += fabsl(g[i] * product);
            }
            cr_expect(fabsl(dx[j] - before * sum) <= 64 * DBL_EPSILON * sizes * fabsl(before), "kind %d, %d: %g, not %Lg",
                      kind, j, dx[j], before * sum);
        }
    }
}

static void expect_close(const char *what, int turn, int n, const double *a, const double *b, double near, double least)
{
    for (int i = 0; i < n; i++)
        cr_expect((isnan(a[i]) && isnan(b[i])) || a[i] == b[i] ||
                      fabs(a[i] - b[i]) <= near * fmax(fabs(a[i]), fabs(b[i])) + least,
                  "%s, turn %d, %d: %g, not %g", what, turn, i, a[i], b[i]);
}

/* Infinities, NaN and zeros among the factors and the gradients of a line, and products beyond the range: as of the same
   line among others, which goes another way. No sums cancel where products are large. */
Test(scans, products_of_a_long_line_are_those_of_one_among_others)
{
    enum { N = 90, LINES = 3 };
    static double x[LINES][N], g[LINES][N], alone[N], among[LINES][N];
    uint32_t random = 1;
    for (int turn = 0; turn < 600; turn++) {
        const bool single = turn % 2;
        tg_tape *const tape = tg_tape_new(&(tg_tape_options){ .type = single ? TG_F32 : TG_F64 });
        const double most = single ? 0x1p125 : 0x1p1000, near = single ? 1e-6 : 1e-12;
        const double odd[] = { INFINITY, -INFINITY, NAN, 0, most, 1 / most, -0.0 };
        const double large[] = { most, 1 / most, 0x1p55, 0x1p-55, 0x1p50, 0x1p-50, 1 };
        for (int i = 0; i < N; i++) {
            random = random * 1664525 + 1013904223;
            if (turn % 3 == 1) x[0][i] = random >> 28 ? large[2 + (random >> 8) % 5] : large[(random >> 8) % 2];
            else x[0][i] = random >> 27 || turn < 2 ? 0.5 + i % 7 / 5.0 : odd[(random >> 8) % 7];
            g[0][i] = random >> 16 & 31 ? i % 5 - (turn % 3 == 1 ? 0 : 2) : odd[(random >> 12) % 7];
        }
        for (int l = 1; l < LINES; l++) memcpy(x[l], x[0], sizeof x[0]), memcpy(g[l], g[0], sizeof g[0]);
        const tg_value one = tg_param(tape, x[0], N), all = tg_param(tape, x[0], LINES, N);
        const tg_value of_one = tg_cumprod(one), of_all = tg_cumprod(all);
        cr_assert(tg_read(of_one, alone, N) && tg_read(of_all, among[0], (size_t)LINES * N));
        expect_close("value", turn, N, alone, among[1], near, single ? (double)FLT_MIN : DBL_MIN);
        cr_assert(tg_backward_with(of_one, &(tg_backward_options){ .cotangent = g[0] }));
        cr_assert(tg_grad_read(one, alone, N));
        cr_assert(tg_backward_with(of_all, &(tg_backward_options){ .cotangent = g[0] }));
        cr_assert(tg_grad_read(all, among[0], (size_t)LINES * N));
        expect_close("gradient", turn, N, alone, among[1], near, 1e-9);
        tg_tape_free(tape);
    }
}

Test(scans, a_zero_gradient_passes_no_infinity)
{
    const double x[] = { 2, INFINITY, 3 }, g[] = { 1, 0, 0 };
    double dx[3];
    const tg_value v = tg_param(t, x, 3);
    cr_assert(tg_backward_with(tg_cumprod(v), &(tg_backward_options){ .cotangent = g }));
    cr_assert(tg_grad_read(v, dx, 3));
    cr_expect(dx[0] == 1 && dx[1] == 0 && dx[2] == 0);
    cr_assert(tg_backward_with(tg_logcumsumexp(v), &(tg_backward_options){ .cotangent = g }));
    cr_assert(tg_grad_read(v, dx, 3));
    cr_expect(dx[0] == 1 && dx[1] == 0 && dx[2] == 0);
}

/* Where some elements are zero, second and third derivatives of a product are products of the
   others, too: here of x y z, by definition. */
Test(scans, products_have_derivatives_of_every_order_at_zeros)
{
    const double x[3] = { 0, 0, 5 }, last[3] = { 0, 0, 1 };
    double got[3];
    const tg_value v = tg_param(t, x, 3), y = tg_cumprod(v);
    const tg_value g = tg_constant(t, last, 3), first = tg_constant(t, ((double[]){ 1, 0, 0 }), 3);
    tg_value d1, d2, d3;
    cr_assert(tg_grad_values(&y, &g, 1, &v, 1, &d1));
    cr_expect(tg_read(d1, got, 3) && got[0] == 0 && got[1] == 0 && got[2] == 0);
    cr_assert(tg_grad_values(&d1, &first, 1, &v, 1, &d2)); /* of y z */
    cr_expect(tg_read(d2, got, 3) && got[0] == 0 && got[1] == 5 && got[2] == 0);
    const tg_value second = tg_constant(t, ((double[]){ 0, 1, 0 }), 3);
    cr_assert(tg_grad_values(&d2, &second, 1, &v, 1, &d3)); /* of z */
    cr_expect(tg_read(d3, got, 3) && got[0] == 0 && got[1] == 0 && got[2] == 1);
}
