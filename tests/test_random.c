/* Values that the library makes itself: random numbers, ranges, and what is dropped; and integers
   of any type as indices. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <tapegrad.h>

#include "finish.h"
#include "base/random.h"

static tg_tape *t;

static void start(void)
{
    t = tg_tape_new(NULL);
}

static void finish(void)
{
    EXPECT_AT_THE_END(!tg_error_of(t), "%s", tg_error_of(t)->message);
    tg_tape_free(t);
}

TestSuite(philox, .init = start, .fini = finish);
TestSuite(draws, .init = start, .fini = finish);
TestSuite(dropping, .init = start, .fini = finish);
TestSuite(ranges, .init = start, .fini = finish);
TestSuite(integers, .init = start, .fini = finish);

enum { N = 100000 };
static double x[N], y[N];

static bool holds(tg_value v, const double *want, int64_t n)
{
    return tg_size(v) == n && tg_read(v, y, (size_t)n) &&
           memcmp(y, want, (size_t)n * sizeof *y) == 0;
}

/* ---- the generator --------------------------------------------------------------------------- */

/* The vectors that the authors' Random123 library is tested with. */
Test(philox, gives_the_known_answers)
{
    static const struct {
        uint32_t counter[4], key[2], block[4];
    } known[] = {
        { { 0 }, { 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX },
          { UINT32_MAX, UINT32_MAX },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t block[4];
        tg__philox(known[i].counter, known[i].key, block);
        cr_expect(memcmp(block, known[i].block, sizeof block) == 0, "vector %zu", i);
    }
}

Test(philox, pieces_of_any_size_are_pieces_of_the_whole)
{
    enum { ALL = 100 };
    const tg__random r = { 7, 3, TG__DRAW_UNIFORM };
    uint32_t word[ALL], some_words[ALL];
    double uniform[ALL], normal[ALL], some[ALL];
    tg__random_words(&r, 0, ALL, word);
    tg__random_uniform(&r, 0, ALL, uniform);
    tg__random_normal(&r, 0, ALL, normal);
    for (int first = 0; first < 9; first++)
        for (int n = 0; n <= ALL - first; n++) {
            const size_t bytes = (size_t)n * sizeof(double);
            tg__random_words(&r, first, n, some_words);
            cr_assert(memcmp(some_words, word + first, (size_t)n * sizeof *word) == 0);
            tg__random_uniform(&r, first, n, some);
            cr_assert(memcmp(some, uniform + first, bytes) == 0);
            tg__random_normal(&r, first, n, some);
            cr_assert(memcmp(some, normal + first, bytes) == 0);
        }
}

/* ---- distributions --------------------------------------------------------------------------- */

/* Within 5 standard deviations of the estimate: the seed is fixed, so it is decided once and for
   all. */
static void expect_moment(int power, double want, double deviation, const char *what)
{
    double sum = 0;
    for (int i = 0; i < N; i++) sum += pow(x[i], power);
    const double got = sum / N;
    cr_expect(fabs(got - want) < 5 * deviation / sqrt(N), "%s, moment %d: %g, not %g", what, power,
              got, want);
}

Test(draws, uniform_numbers_fill_the_unit_interval_evenly)
{
    enum { BINS = 64 };
    int count[BINS] = { 0 };
    cr_assert(tg_read(tg_uniform(t, 1, 0, 1, N), x, N));
    double square = 0;
    for (int i = 0; i < N; i++) {
        cr_assert(x[i] >= 0 && x[i] < 1);
        count[(int)(x[i] * BINS)]++;
    }
    for (int i = 0; i < BINS; i++)
        square += pow(count[i] - (double)N / BINS, 2) / ((double)N / BINS);
    /* Chi-squared with 63 degrees of freedom: mean 63, deviation 11.2. */
    cr_expect(square > 25 && square < 120, "%g", square);
    expect_moment(1, 0.5, sqrt(1 / 12.0), "uniform");
    expect_moment(2, 1 / 3.0, sqrt(4 / 45.0), "uniform");
    double neighbours = 0;
    for (int i = 1; i < N; i++) neighbours += (x[i] - 0.5) * (x[i - 1] - 0.5);
    cr_expect(fabs(neighbours / N) < 5 / 12.0 / sqrt(N), "neighbours depend on each other");
}

Test(draws, uniform_numbers_have_all_53_bits)
{
    cr_assert(tg_read(tg_uniform(t, 1, 0, 1, N), x, N));
    uint64_t ones = 0, zeros = 0;
    for (int i = 0; i < N; i++) {
        const uint64_t bits = (uint64_t)(x[i] * 0x1p53);
        ones |= bits;
        zeros |= ~bits;
    }
    cr_expect(ones == (UINT64_C(1) << 53) - 1 && (zeros & ones) == ones);
}

Test(draws, normal_numbers_have_the_moments_of_their_distribution)
{
    cr_assert(tg_read(tg_normal(t, 2, 0, 1, N), x, N));
    expect_moment(1, 0, 1, "normal");
    expect_moment(2, 1, sqrt(2), "normal");
    expect_moment(3, 0, sqrt(15), "normal");
    expect_moment(4, 3, sqrt(96), "normal");
    int beyond = 0; /* 2: 0.0455 of all */
    for (int i = 0; i < N; i++) beyond += fabs(x[i]) > 2;
    cr_expect(fabs(beyond - 0.0455 * N) < 5 * sqrt(0.0455 * N));
    cr_assert(tg_read(tg_normal(t, 2, 10, 3, N), y, N));
    for (int i = 0; i < N; i++) cr_assert(y[i] == 10 + 3 * x[i]);
}

Test(draws, ones_are_as_frequent_as_their_probability)
{
    static const double p[] = { 0, 1, 0.5, 0.01, 0.9 };
    for (int k = 0; k < 5; k++) {
        int ones = 0;
        cr_assert(tg_read(tg_bernoulli(t, 3, p[k], N), x, N));
        for (int i = 0; i < N; i++) {
            cr_assert(x[i] == 0 || x[i] == 1);
            ones += x[i] == 1;
        }
        cr_expect(fabs(ones - p[k] * N) <= 5 * sqrt(p[k] * (1 - p[k]) * N), "%g: %d", p[k], ones);
    }
}

Test(draws, every_order_of_four_is_as_frequent_as_any_other)
{
    enum { ORDERS = 256, DRAWS = 24000 };
    int count[ORDERS] = { 0 };
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        const tg_mark mark = tg_tape_mark(t);
        const int64_t *const p = tg_data_i64(tg_permutation(t, seed, 4));
        count[p[0] + 4 * p[1] + 16 * p[2] + 64 * p[3]]++;
        tg_release(mark);
    }
    int found = 0;
    double square = 0;
    for (int i = 0; i < ORDERS; i++) {
        found += count[i] > 0;
        if (count[i]) square += pow(count[i] - DRAWS / 24.0, 2) / (DRAWS / 24.0);
    }
    /* Chi-squared with 23 degrees of freedom: mean 23, deviation 6.8. */
    cr_expect(found == 24 && square < 60, "%d orders, %g", found, square);
}

Test(draws, a_permutation_has_every_number_once)
{
    static const int64_t sizes[] = { 0, 1, 2, 3, 1000 };
    for (int k = 0; k < 5; k++) {
        char seen[1000] = { 0 };
        const tg_value p = tg_permutation(t, 5, sizes[k]);
        cr_assert(tg_type_of(p) == TG_I64 && tg_rank(p) == 1 && tg_size(p) == sizes[k]);
        const int64_t *const data = tg_data_i64(p);
        for (int64_t i = 0; i < sizes[k]; i++) {
            cr_assert(data[i] >= 0 && data[i] < sizes[k] && !seen[data[i]]);
            seen[data[i]] = 1;
        }
    }
}

Test(draws, the_same_seed_gives_the_same_numbers_wherever_and_another_gives_others)
{
    tg_tape *const other = tg_tape_new(NULL);
    (void)tg_zeros(other, 17); /* what else is on the tape plays no part */
    cr_assert(tg_read(tg_uniform(t, 9, -1, 1, 20, 50), x, 1000));
    cr_expect(holds(tg_uniform(other, 9, -1, 1, 1000), x, 1000));
    cr_expect(!holds(tg_uniform(other, 10, -1, 1, 1000), x, 1000));
    cr_expect(!holds(tg_uniform(other, 9 + (UINT64_C(1) << 32), -1, 1, 1000), x, 1000));
    cr_assert(tg_read(tg_normal(t, 9, 0, 1, 1000), x, 1000));
    cr_expect(holds(tg_normal(other, 9, 0, 1, 10, 100), x, 1000));
    cr_expect(holds(tg_normal(other, 9, 0, 1, 333), x, 333));
    tg_tape_free(other);
}

/* What these are is a promise to whoever saved a seed. */
Test(draws, the_numbers_of_a_seed_stay_what_they_are)
{
    const uint32_t key[2] = { 1, 0 }, counter[4] = { 0, TG__DRAW_UNIFORM };
    uint32_t block[4];
    tg__philox(counter, key, block);
    const double first = (double)(((uint64_t)block[0] << 32 | block[1]) >> 11) * 0x1p-53;
    cr_expect(tg_item(tg_select(tg_uniform(t, 1, 0, 1, 3))) == first);
}

Test(draws, f32_numbers_are_the_f64_ones_rounded_and_below_their_bound)
{
    tg_tape *const single = tg_tape_new(&(tg_tape_options){ .type = TG_F32 });
    cr_assert(tg_read(tg_uniform(t, 4, -3, 7, N), x, N));
    cr_assert(tg_read(tg_uniform(single, 4, -3, 7, N), y, N));
    for (int i = 0; i < N; i++) cr_assert(y[i] == (float)x[i] || (x[i] > 6.999 && y[i] < 7));
    cr_assert(tg_read(tg_normal(t, 4, 0, 1, N), x, N));
    cr_assert(tg_read(tg_normal(single, 4, 0, 1, N), y, N));
    for (int i = 0; i < N; i++) cr_assert(y[i] == (float)x[i]);
    const double narrow = 1 + 0x1p-23;
    cr_assert(tg_read(tg_uniform(single, 4, 1, narrow, 100), y, 100));
    for (int i = 0; i < 100; i++) cr_assert(y[i] == 1, "%.9g", y[i]);
    cr_assert(tg_read(tg_uniform(t, 4, 2, 2, 100), y, 100));
    for (int i = 0; i < 100; i++) cr_assert(y[i] == 2);
    tg_tape_free(single);
}

Test(draws, have_the_shape_asked_for_and_learn_if_asked_to)
{
    const tg_value W = tg_uniform(t, 1, -1, 1, 3, 4), s = tg_normal(t, 1, 0, 1);
    cr_expect(tg_rank(W) == 2 && tg_dim(W, 0) == 3 && tg_dim(W, 1) == 4 && tg_rank(s) == 0);
    cr_expect(tg_rank(tg_bernoulli(t, 1, 0.5)) == 0 && tg_size(tg_uniform(t, 1, 0, 1, 0, 3)) == 0);
    cr_assert(tg_want_gradient(W, true) && tg_backward(tg_sum(W)));
    cr_expect(tg_grad(W)[11] == 1);
}

/* ---- dropout --------------------------------------------------------------------------------- */

Test(dropping, depends_on_seed_run_and_position_alone)
{
    tg_value ones = tg_ones(t, N);
    cr_assert(tg_read(tg_dropout(ones, .p = 0.3, .seed = 11), x, N));
    int kept = 0;
    for (int i = 0; i < N; i++) {
        cr_assert(x[i] == 0 || x[i] == 1 / (1 - 0.3));
        kept += x[i] != 0;
    }
    cr_expect(fabs(kept - 0.7 * N) < 5 * sqrt(0.21 * N), "%d", kept);
    cr_expect(holds(tg_dropout(ones, .p = 0.3, .seed = 11), x, N));
    cr_expect(holds(tg_dropout(tg_ones(t, N - 1), .p = 0.3, .seed = 11), x, N - 1));
    cr_expect(!holds(tg_dropout(ones, .p = 0.3, .seed = 12), x, N));
    cr_expect(!holds(tg_dropout(ones, .p = 0.3, .seed = 11, .run = 1), x, N));
    /* A view is seen by its own positions. */
    const tg_value turned = tg_transpose(tg_reshape(ones, 100, N / 100));
    cr_expect(holds(tg_dropout(turned, .p = 0.3, .seed = 11), x, N));
}

Test(dropping, keeps_the_same_elements_forwards_backwards_and_in_every_derivative)
{
    enum { FEW = 1000 };
    double value[FEW], dx[FEW], recorded[FEW];
    for (int i = 0; i < FEW; i++) x[i] = 1;
    const tg_value v = tg_param(t, x, FEW);
    const tg_value d = tg_dropout(v, .seed = 5);
    const tg_value sum = tg_sum(d);
    tg_value g;
    cr_assert(tg_read(d, value, FEW) && tg_backward(sum) && tg_grad_read(v, dx, FEW));
    cr_assert(tg_grad_values(&sum, NULL, 1, &v, 1, &g) && tg_read(g, recorded, FEW));
    cr_expect(memcmp(value, dx, sizeof dx) == 0 && memcmp(value, recorded, sizeof dx) == 0);
    cr_assert(tg_forward(sum) && tg_read(d, dx, FEW));
    cr_expect(memcmp(value, dx, sizeof dx) == 0);
}

/* ---- ranges ---------------------------------------------------------------------------------- */

Test(ranges, arange_goes_in_steps_up_to_but_not_including_its_end)
{
    cr_expect(holds(tg_arange(t, 0, 5, 1), (const double[]){ 0, 1, 2, 3, 4 }, 5));
    cr_expect(holds(tg_arange(t, 1, 2, 0.25), (const double[]){ 1, 1.25, 1.5, 1.75 }, 4));
    cr_expect(holds(tg_arange(t, 1, 2.1, 0.25), (const double[]){ 1, 1.25, 1.5, 1.75, 2 }, 5));
    cr_expect(holds(tg_arange(t, 3, 0, -1), (const double[]){ 3, 2, 1 }, 3));
    cr_expect(holds(tg_arange(t, 3, 0, 1), x, 0) && tg_rank(tg_arange(t, 3, 0, 1)) == 1);
    const tg_value wide = tg_arange(t, 0, 1000, 1); /* more than are made at a time */
    for (int i = 0; i < 1000; i++) x[i] = i;
    cr_expect(holds(wide, x, 1000));
}

Test(ranges, linspace_includes_both_ends_exactly)
{
    cr_expect(holds(tg_linspace(t, 0, 1, 5), (const double[]){ 0, 0.25, 0.5, 0.75, 1 }, 5));
    cr_expect(holds(tg_linspace(t, 3, 1, 3), (const double[]){ 3, 2, 1 }, 3));
    cr_expect(holds(tg_linspace(t, 3, 7, 1), (const double[]){ 3 }, 1));
    cr_expect(holds(tg_linspace(t, 3, 7, 0), x, 0));
    for (int n = 2; n < 200; n++) {
        cr_assert(tg_read(tg_linspace(t, 0.1, 0.7, n), x, (size_t)n));
        cr_expect(x[0] == 0.1 && x[n - 1] == 0.7, "%d", n);
    }
}

Test(ranges, eye_has_ones_where_row_and_column_are_the_same)
{
    for (int64_t n = 0; n < 5; n++)
        for (int64_t m = 0; m < 5; m++) {
            for (int64_t i = 0; i < n * m; i++) x[i] = i / m == i % m;
            const tg_value v = tg_eye(t, n, m);
            cr_expect(holds(v, x, n * m) && tg_dim(v, 0) == n && tg_dim(v, 1) == m);
        }
    int calls = 3;
    const tg_value square = tg_eye(t, calls++);
    cr_expect(tg_dim(square, 0) == 3 && tg_dim(square, 1) == 3 && calls == 4);
}

/* ---- integers -------------------------------------------------------------------------------- */

#define INDICES(type, ...)                                                                         \
    do {                                                                                           \
        const type data[] = { __VA_ARGS__ }, other[] = { 1, 1, 1 };                                \
        type changing[] = { __VA_ARGS__ };                                                         \
        const tg_value v = tg_index(t, data, 3);                                                   \
        cr_expect(holds(tg_cast(v), (const double[]){ __VA_ARGS__ }, 3), #type);                   \
        cr_expect(holds(tg_cast(tg_index(t, changing, 3)), (const double[]){ __VA_ARGS__ }, 3));   \
        cr_expect(tg_set(v, other, 3) && tg_set(v, changing, 3) &&                                 \
                  tg_data_i64(v)[2] == (int64_t)data[2]);                                          \
    } while (0)

Test(integers, of_every_type_are_indices)
{
    INDICES(signed char, 0, -128, 127);
    INDICES(unsigned char, 0, 128, 255);
    INDICES(short, 0, -32768, 32767);
    INDICES(unsigned short, 0, 32768, 65535);
    INDICES(int, 0, -2147483647, 2147483647);
    INDICES(unsigned, 0, 2147483648u, 4294967295u);
    INDICES(long, 0, -7, 7);
    INDICES(unsigned long, 0, 1, 7);
    INDICES(long long, 0, -7, 7);
    INDICES(unsigned long long, 0, 1, 7);
    INDICES(int64_t, 0, -7, 7);
    INDICES(size_t, 0, 1, 7);
}

Test(integers, are_copied_joined_and_stacked_as_integers)
{
    const int a[] = { 0, 1, 2, 3, 4, 5 };
    for (int single = 0; single < 2; single++) {
        tg_tape *const tape = tg_tape_new(&(tg_tape_options){ .type = single ? TG_F32 : TG_F64 });
        const tg_value v = tg_index(tape, a, 2, 3), turned = tg_transpose(v);
        const tg_value copy = tg_contiguous(turned), flat = tg_reshape(turned, 6);
        cr_expect(tg_type_of(copy) == TG_I64 && tg_type_of(flat) == TG_I64);
        cr_expect(holds(copy, (const double[]){ 0, 3, 1, 4, 2, 5 }, 6));
        cr_expect(holds(flat, (const double[]){ 0, 3, 1, 4, 2, 5 }, 6));
        const tg_value rows = tg_select(v, .index = 1);
        cr_expect(
            holds(tg_cat(TG_VALUES(flat, rows)), (const double[]){ 0, 3, 1, 4, 2, 5, 3, 4, 5 }, 9));
        cr_expect(holds(tg_stack(TG_VALUES(rows, rows), .axis = 1),
                        (const double[]){ 3, 3, 4, 4, 5, 5 }, 6));
        cr_expect(!tg_error_of(tape));
        tg_tape_free(tape);
    }
}

Test(integers, split_gives_all_parts)
{
    for (int i = 0; i < 12; i++) x[i] = i;
    const tg_value v = tg_param(t, x, 2, 6);
    tg_value part[3];
    cr_assert(tg_split_all(v, -1, 3, part));
    cr_expect(holds(part[0], (const double[]){ 0, 1, 6, 7 }, 4));
    cr_expect(holds(part[1], (const double[]){ 2, 3, 8, 9 }, 4));
    cr_expect(holds(part[2], (const double[]){ 4, 5, 10, 11 }, 4));
    cr_assert(tg_backward(tg_sum(part[1])));
    const double want[] = { 0, 0, 1, 1, 0, 0, 0, 0, 1, 1, 0, 0 };
    cr_expect(tg_grad_read(v, y, 12) && memcmp(y, want, sizeof want) == 0);
}
