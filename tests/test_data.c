/* Data sets: what is split, shuffled, scaled and generated is all there, once, and the same for the
   same seed; points lie where their formulas say. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data/inner.h"
#include "data/random.h"

static tg_status status;

static void expect_message(bool failed, tg_code code, const char *message)
{
    cr_expect(failed && status.code == code && strcmp(status.message, message) == 0,
              "\"%s\", not \"%s\"", failed ? status.message : "done", message);
}

/* n rows, (i, -i) with label i % classes and target i / 2. */
static tg_dataset *counted(int64_t n, int classes)
{
    tg_dataset *const data =
        tg_dataset_new(&(tg_dataset){ .n = n, .d = 2, .classes = classes, .targets = 1 }, &status);
    cr_assert(data, "%s", status.message);
    for (int64_t i = 0; i < n; i++) {
        data->x[2 * i] = (double)i;
        data->x[2 * i + 1] = -(double)i;
        data->y[i] = (double)i / 2;
        data->label[i] = (int)(i % classes);
    }
    return data;
}

/* Whether row i of data is row j of counted. */
static bool is_row(const tg_dataset *data, int64_t i, int64_t j)
{
    return data->x[2 * i] == (double)j && data->x[2 * i + 1] == -(double)j &&
           data->y[i] == (double)j / 2 && data->label[i] == (int)(j % data->classes);
}

/* ---- random numbers -------------------------------------------------------------------------- */

Test(data_random, the_generator_gives_its_known_answers)
{
    /* Random123, tests/kat_vectors */
    static const uint32_t answer[2][3][4] = {
        { { 0 }, { 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
    };
    for (int i = 0; i < 2; i++) {
        uint32_t out[4];
        tg__data_philox(answer[i][0], answer[i][1], out);
        cr_expect(memcmp(out, answer[i][2], sizeof out) == 0, "%x", out[0]);
    }
}

Test(data_random, numbers_below_are_uniform)
{
    enum { N = 7, DRAWS = 70000 };
    int count[N] = { 0 };
    tg__random r = tg__data_random_new(1, TG__FOR_ORDER, 0);
    for (int i = 0; i < DRAWS; i++) count[tg__data_random_below(&r, N)]++;
    double chi = 0;
    for (int i = 0; i < N; i++) chi += pow(count[i] - DRAWS / N, 2) / (DRAWS / N);
    cr_expect(chi < 22.5, "chi squared %g: above 22.5 once in 1000 seeds", chi);
    cr_expect(tg__data_random_below(&r, UINT64_MAX) < UINT64_MAX && tg__data_random_below(&r, 1) == 0);
}

Test(data_random, normal_numbers_have_mean_0_and_variance_1)
{
    enum { N = 100000 };
    double sum = 0, squares = 0;
    tg__random r = tg__data_random_new(2, TG__FOR_POINTS, 0);
    for (int i = 0; i < N; i++) {
        const double x = tg__data_random_normal(&r);
        sum += x;
        squares += x * x;
    }
    cr_expect(fabs(sum / N) < 4 / sqrt(N), "mean %g", sum / N);
    cr_expect(fabs(squares / N - 1) < 4 * sqrt(2.0 / N), "variance %g", squares / N);
}

/* ---- data sets ------------------------------------------------------------------------------- */

Test(data, rows_are_copied_in_the_order_asked_for)
{
    tg_dataset *const data = counted(5, 3);
    tg_dataset *const some = tg_dataset_rows(data, (const int64_t[]){ 4, 0, 4 }, 3, &status);
    cr_assert(some && some->n == 3 && some->classes == 3);
    cr_expect(is_row(some, 0, 4) && is_row(some, 1, 0) && is_row(some, 2, 4));
    expect_message(!tg_dataset_rows(data, (const int64_t[]){ 5 }, 1, &status), TG_ERROR_INDEX,
                   "row 5 of a data set of 5 rows");
    expect_message(!tg_dataset_rows(data, NULL, -1, &status), TG_ERROR_SHAPE,
                   "a data set of -1 rows, 2 features, 1 targets, 3 classes");
    tg_dataset *const none = tg_dataset_rows(data, NULL, 0, &status);
    cr_expect(none && none->n == 0);
    tg_dataset_free(none);
    tg_dataset_free(some);
    tg_dataset_free(data);
    tg_dataset_free(NULL);
}

Test(data, names_are_copied_too)
{
    static const char text[] = "w,k,l\n1,b,2\n3,a,4\n";
    const tg__file file = { .name = "t.csv", .data = (const uint8_t *)text, .size = strlen(text) };
    tg_dataset *const data =
        tg__csv_parse(&file, &(tg_csv_options){ .header = true, .label = "k" }, &status);
    cr_assert(data, "%s", status.message);
    tg_dataset *const some = tg_dataset_rows(data, (const int64_t[]){ 1 }, 1, &status);
    tg_dataset_free(data);
    cr_assert(some && some->label[0] == 0);
    cr_expect(strcmp(some->feature[0], "w") == 0 && strcmp(some->feature[1], "l") == 0);
    cr_expect(strcmp(some->class_name[0], "a") == 0 && strcmp(some->class_name[1], "b") == 0);
    tg_dataset_free(some);
}

Test(data, a_data_set_too_large_for_memory_is_an_error)
{
    const tg_dataset form = { .n = INT64_MAX / 2, .d = INT64_MAX / 2 };
    cr_expect(!tg_dataset_new(&form, &status) && status.code == TG_ERROR_MEMORY);
    expect_message(!tg_dataset_new(NULL, &status), TG_ERROR_ARGUMENT, "the data set is NULL");
}

Test(data, labels_become_rows_with_a_single_1)
{
    tg_dataset *const data = counted(4, 3);
    cr_assert(tg_dataset_one_hot(data, &status) && data->targets == 3);
    const double wanted[12] = { 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 0 };
    for (int i = 0; i < 12; i++) cr_expect(data->y[i] == wanted[i]);
    data->label[2] = 3;
    expect_message(!tg_dataset_one_hot(data, &status), TG_ERROR_INDEX,
                   "row 2: label 3 of 3 classes");
    tg_dataset_free(data);
}

/* ---- splits ---------------------------------------------------------------------------------- */

static void expect_split(int64_t n, int classes, double share, bool stratified)
{
    tg_dataset *const data = counted(n, classes), *train, *test;
    cr_assert(
        tg_dataset_split(data, &(tg_split_options){ share, 3, stratified }, &train, &test, &status),
        "%s", status.message);
    cr_expect(test->n == (int64_t)round(share * (double)n) && train->n + test->n == n);
    bool *const seen = calloc((size_t)n, sizeof *seen);
    int *const count = calloc((size_t)classes, sizeof *count);
    for (int part = 0; part < 2; part++) {
        const tg_dataset *const p = part ? test : train;
        for (int64_t i = 0, last = -1; i < p->n; i++) {
            const int64_t row = (int64_t)p->x[2 * i];
            cr_assert(row > last && row < n && !seen[row] && is_row(p, i, row));
            seen[row] = true;
            last = row;
            if (part) count[p->label[i]]++;
        }
    }
    for (int k = 0; stratified && k < classes; k++) {
        const double wanted = share * (double)((n - k + classes - 1) / classes);
        cr_expect(fabs(count[k] - wanted) <= 1.5, "class %d: %d, not %g", k, count[k], wanted);
    }
    free(count);
    free(seen);
    tg_dataset_free(data);
    tg_dataset_free(train);
    tg_dataset_free(test);
}

Test(data, a_split_has_every_row_once)
{
    for (int stratified = 0; stratified < 2; stratified++) {
        expect_split(2, 2, 0.5, stratified);
        expect_split(10, 3, 0.2, stratified);
        expect_split(1000, 7, 1.0 / 3, stratified);
        expect_split(999, 4, 0.999, stratified);
    }
}

static bool same_rows(const tg_dataset *a, const tg_dataset *b)
{
    return a->n == b->n && memcmp(a->x, b->x, (size_t)(a->n * a->d) * sizeof *a->x) == 0;
}

Test(data, a_split_depends_on_its_seed)
{
    tg_dataset *const data = counted(100, 2), *train[3], *test[3];
    for (int i = 0; i < 3; i++)
        cr_assert(tg_dataset_split(data, &(tg_split_options){ .test = 0.3, .seed = i == 2 },
                                   train + i, test + i, NULL));
    cr_expect(same_rows(test[0], test[1]) && same_rows(train[0], train[1]));
    cr_expect(!same_rows(test[0], test[2]));
    for (int i = 0; i < 3; i++) {
        tg_dataset_free(train[i]);
        tg_dataset_free(test[i]);
    }
    tg_dataset_free(data);
}

Test(data, a_split_that_makes_no_sense_is_an_error)
{
    tg_dataset *const data = counted(3, 2), *train = data, *test = data;
    expect_message(!tg_dataset_split(data, NULL, &train, &test, &status) && !train && !test,
                   TG_ERROR_ARGUMENT,
                   "a split with 0 of the rows for testing: above 0 and below 1 is wanted");
    expect_message(
        !tg_dataset_split(data, &(tg_split_options){ .test = NAN }, &train, &test, &status),
        TG_ERROR_ARGUMENT,
        "a split with nan of the rows for testing: above 0 and below 1 is wanted");
    expect_message(
        !tg_dataset_split(data, &(tg_split_options){ .test = 0.1 }, &train, &test, &status),
        TG_ERROR_ARGUMENT, "a split of 3 rows leaves 3 for training, 0 for testing");
    free(data->label);
    data->label = NULL;
    expect_message(!tg_dataset_split(data, &(tg_split_options){ .test = 0.5, .stratified = true },
                                     &train, &test, &status),
                   TG_ERROR_ARGUMENT, "the data set has no labels");
    tg_dataset_free(data);
}

/* ---- scaling --------------------------------------------------------------------------------- */

Test(data, scaled_features_have_mean_0_and_variance_1)
{
    tg_dataset *const data = tg_dataset_new(&(tg_dataset){ .n = 1001, .d = 4 }, &status);
    for (int64_t i = 0; i < data->n; i++) {
        data->x[4 * i] = 1e9 + (double)(i % 7);       /* far from 0 */
        data->x[4 * i + 1] = 0.1;                     /* constant, and not a binary fraction */
        data->x[4 * i + 2] = i % 3 ? (double)i : NAN; /* with gaps */
        data->x[4 * i + 3] = NAN;
    }
    tg_scaling *const s = tg_scaling_new(data, &status);
    cr_assert(s && s->d == 4 && s->scale[1] == 1 && s->scale[3] == 1);
    cr_assert(tg_scaling_apply(s, data, &status));
    for (int column = 0; column < 3; column += 2) {
        double sum = 0, squares = 0, n = 0;
        for (int64_t i = 0; i < data->n; i++) {
            const double x = data->x[4 * i + column];
            if (!isnan(x)) sum += x, squares += x * x, n++;
        }
        cr_expect(fabs(sum / n) < 1e-7 && fabs(squares / n - 1) < 1e-9, "%g %g", sum / n,
                  squares / n);
    }
    for (int64_t i = 0; i < data->n; i++)
        cr_expect(fabs(data->x[4 * i + 1]) < 1e-15 && isnan(data->x[4 * i + 3]));
    tg_dataset *const other = counted(1, 1);
    expect_message(!tg_scaling_apply(s, other, &status), TG_ERROR_SHAPE,
                   "a scaling of 4 features, data of 2");
    expect_message(!tg_scaling_apply(NULL, other, &status), TG_ERROR_ARGUMENT,
                   "the scaling is NULL");
    tg_dataset_free(other);
    tg_dataset_free(data);
    tg_scaling_free(s);
    tg_scaling_free(NULL);
}

/* ---- minibatches ----------------------------------------------------------------------------- */

/* Goes through one epoch; the rows in order. Each batch must be what the data set says. */
static int64_t walk(tg_batches *b, const tg_dataset *data, int64_t size, int64_t *order)
{
    int64_t rows = 0, batches = 0;
    for (const tg_batch *m; (m = tg_batches_next(b)); batches++) {
        cr_assert(m->number == batches && m->n > 0 && m->n <= size);
        for (int64_t i = 0; i < m->n; i++) {
            const tg_dataset as_set = { .d = 2,
                                        .classes = data->classes,
                                        .x = (double *)(uintptr_t)m->x,
                                        .y = (double *)(uintptr_t)m->y,
                                        .label = (int *)(uintptr_t)m->label };
            cr_assert(is_row(&as_set, i, m->row[i]));
            order[rows++] = m->row[i];
        }
    }
    cr_expect(batches == tg_batches_count(b) && !tg_batches_next(b));
    return rows;
}

static bool is_permutation(const int64_t *order, int64_t n)
{
    bool *const seen = calloc((size_t)n, sizeof *seen), all = true;
    for (int64_t i = 0; i < n; i++) {
        all = all && order[i] >= 0 && order[i] < n && !seen[order[i]];
        if (all) seen[order[i]] = true;
    }
    free(seen);
    return all;
}

Test(data, an_epoch_has_every_row_once_in_an_order_of_its_own)
{
    enum { N = 103, SIZE = 10 };
    int64_t first[N], second[N], again[N], wanted[N];
    tg_dataset *const data = counted(N, 4);
    tg_batches *const b =
        tg_batches_new(data, &(tg_batch_options){ .size = SIZE, .seed = 5 }, &status);
    cr_assert(b && tg_batches_count(b) == 11);
    cr_expect(walk(b, data, SIZE, first) == N && is_permutation(first, N));
    tg_batches_start(b, 1, 0);
    cr_expect(walk(b, data, SIZE, second) == N && is_permutation(second, N));
    cr_expect(memcmp(first, second, sizeof first) != 0, "epochs differ");
    tg_batches_start(b, 0, 0);
    walk(b, data, SIZE, again);
    tg_batches_order(wanted, N, 5, 0);
    cr_expect(memcmp(first, again, sizeof first) == 0 && memcmp(first, wanted, sizeof first) == 0,
              "an epoch is the same each time");
    tg_batches_order(wanted, N, 6, 0);
    cr_expect(memcmp(first, wanted, sizeof first) != 0, "seeds differ");
    tg_batches_free(b);
    tg_dataset_free(data);
}

Test(data, a_walk_goes_on_where_it_was_interrupted)
{
    tg_dataset *const data = counted(20, 2);
    const tg_batch_options options = { .size = 3, .seed = 9 };
    tg_batches *const a = tg_batches_new(data, &options, &status), *const b = tg_batches_new(
                                                                       data, &options, &status);
    tg_batches_start(a, 7, 0);
    for (int i = 0; i < 4; i++) tg_batches_next(a);
    tg_batches_start(b, 7, 4);
    for (const tg_batch *m; (m = tg_batches_next(a));) {
        const tg_batch *const other = tg_batches_next(b);
        cr_assert(other && other->n == m->n && other->number == m->number &&
                  memcmp(other->row, m->row, (size_t)m->n * sizeof *m->row) == 0);
    }
    cr_expect(!tg_batches_next(b));
    tg_batches_start(b, 7, -1);
    cr_expect(tg_batches_next(b)->number == 0);
    tg_batches_start(b, 7, 100);
    cr_expect(!tg_batches_next(b));
    tg_batches_free(a);
    tg_batches_free(b);
    tg_dataset_free(data);
}

Test(data, batches_may_be_full_only_or_in_order_or_one)
{
    int64_t order[20];
    tg_dataset *const data = counted(20, 2);
    tg_batches *b = tg_batches_new(data, &(tg_batch_options){ .size = 6, .drop_last = true }, NULL);
    cr_expect(tg_batches_count(b) == 3 && walk(b, data, 6, order) == 18);
    tg_batches_free(b);
    b = tg_batches_new(data, &(tg_batch_options){ .size = 6, .in_order = true }, NULL);
    cr_expect(walk(b, data, 6, order) == 20);
    for (int i = 0; i < 20; i++) cr_expect(order[i] == i);
    tg_batches_free(b);
    b = tg_batches_new(data, NULL, NULL);
    cr_expect(tg_batches_count(b) == 1 && walk(b, data, 20, order) == 20);
    tg_batches_free(b);
    b = tg_batches_new(data, &(tg_batch_options){ .size = 1000 }, NULL);
    cr_expect(tg_batches_count(b) == 1 && walk(b, data, 20, order) == 20);
    tg_batches_free(b);
    expect_message(
        !tg_batches_new(data, &(tg_batch_options){ .size = 21, .drop_last = true }, &status),
        TG_ERROR_ARGUMENT, "no batch of 21 rows from 20 rows");
    expect_message(!tg_batches_new(data, &(tg_batch_options){ .size = -1 }, &status),
                   TG_ERROR_ARGUMENT, "no batch of -1 rows from 20 rows");
    expect_message(!tg_batches_new(NULL, NULL, &status), TG_ERROR_ARGUMENT, "the data set is NULL");
    tg_batches_free(NULL);
    tg_dataset_free(data);
}

Test(data, a_data_set_of_features_alone_gives_batches)
{
    tg_dataset *const data = tg_dataset_new(&(tg_dataset){ .n = 3, .d = 1 }, &status);
    tg_batches *const b = tg_batches_new(data, NULL, &status);
    const tg_batch *const m = tg_batches_next(b);
    cr_expect(m->x && !m->y && !m->label && m->n == 3);
    tg_batches_free(b);
    tg_dataset_free(data);
}

/* ---- points ---------------------------------------------------------------------------------- */

static double radius(const double *x)
{
    return hypot(x[0], x[1]);
}

/* Whether x is a point of class k without noise, as the header says. */
typedef bool is_point(const double *x, int k, int classes);

static bool on_spiral(const double *x, int k, int classes)
{
    const double t = radius(x), angle = 2 * acos(-1) / classes * (2 * t + k);
    return t <= 1 && fabs(x[0] - t * sin(angle)) < 1e-12 && fabs(x[1] - t * cos(angle)) < 1e-12;
}

static bool on_circle(const double *x, int k, int classes)
{
    (void)classes;
    return k == 0 ? radius(x) <= 0.5 : radius(x) >= 0.7 && radius(x) <= 1 + 1e-15;
}

static bool on_blob(const double *x, int k, int classes)
{
    const double angle = 2 * acos(-1) * ((double)k / classes + 0.125);
    return fabs(x[0] - cos(angle)) < 1e-12 && fabs(x[1] - sin(angle)) < 1e-12;
}

static bool on_xor(const double *x, int k, int classes)
{
    (void)classes;
    return fmin(fabs(x[0]), fabs(x[1])) >= 0.1 && fmax(fabs(x[0]), fabs(x[1])) <= 1 &&
           (x[0] * x[1] < 0) == (k == 1);
}

static bool on_moon(const double *x, int k, int classes)
{
    (void)classes;
    const double centre[2] = { k, k == 0 ? 0 : 0.5 };
    const double from[2] = { x[0] - centre[0], x[1] - centre[1] };
    return fabs(radius(from) - 1) < 1e-12 && (k == 0 ? from[1] >= -1e-12 : from[1] <= 1e-12);
}

static const struct {
    const char *name;
    tg_dataset *(*make)(const tg_points *points, tg_status *status);
    is_point *is;
    int classes;
} kinds[] = { { "spirals", tg_points_spirals, on_spiral, 3 },
              { "circle", tg_points_circle, on_circle, 2 },
              { "blobs", tg_points_blobs, on_blob, 2 },
              { "xor", tg_points_xor, on_xor, 2 },
              { "moons", tg_points_moons, on_moon, 2 } };

Test(data, points_lie_where_their_formulas_say)
{
    for (int i = 0; i < 5; i++) {
        tg_dataset *const data = kinds[i].make(NULL, &status);
        cr_assert(data && data->d == 2 && data->classes == kinds[i].classes);
        cr_assert(data->n == 100 * data->classes);
        for (int64_t p = 0; p < data->n; p++) {
            cr_assert(data->label[p] == p / 100);
            cr_assert(kinds[i].is(data->x + 2 * p, data->label[p], data->classes),
                      "%s %d: (%g, %g)", kinds[i].name, (int)p, data->x[2 * p], data->x[2 * p + 1]);
        }
        tg_dataset_free(data);
    }
}

Test(data, points_have_the_noise_asked_for)
{
    const double noise = 0.25;
    for (int i = 0; i < 5; i++) {
        /* Normal numbers are drawn either way: what differs is the noise. */
        tg_dataset *const clean = kinds[i].make(&(tg_points){ .each = 2000, .seed = 4 }, &status);
        tg_dataset *const noisy =
            kinds[i].make(&(tg_points){ .each = 2000, .seed = 4, .noise = noise }, &status);
        const int64_t n = 2 * clean->n;
        double sum = 0, squares = 0;
        for (int64_t p = 0; p < n; p++) {
            const double x = noisy->x[p] - clean->x[p];
            sum += x;
            squares += x * x;
        }
        cr_expect(fabs(sum / (double)n) < 4 * noise / sqrt((double)n), "%s", kinds[i].name);
        cr_expect(fabs(sqrt(squares / (double)n) - noise) < 4 * noise / sqrt(2 * (double)n), "%s",
                  kinds[i].name);
        tg_dataset_free(clean);
        tg_dataset_free(noisy);
    }
}

Test(data, points_depend_on_their_seed)
{
    for (int i = 0; i < 5; i++) {
        tg_dataset *a = kinds[i].make(&(tg_points){ .seed = 1, .noise = 0.1 }, &status),
                   *b = kinds[i].make(&(tg_points){ .seed = 1, .noise = 0.1 }, &status),
                   *c = kinds[i].make(&(tg_points){ .seed = 2, .noise = 0.1 }, &status);
        cr_expect(same_rows(a, b) && !same_rows(a, c), "%s", kinds[i].name);
        tg_dataset_free(a);
        tg_dataset_free(b);
        tg_dataset_free(c);
    }
}

Test(data, points_may_have_more_classes)
{
    tg_dataset *const data = tg_points_spirals(&(tg_points){ .classes = 5, .each = 7 }, &status);
    cr_assert(data && data->n == 35 && data->classes == 5);
    for (int p = 0; p < 35; p++) cr_expect(on_spiral(data->x + 2 * p, p / 7, 5));
    tg_dataset_free(data);
    expect_message(!tg_points_moons(&(tg_points){ .classes = 3 }, &status), TG_ERROR_ARGUMENT,
                   "points of 3 classes: 2 to 2 are possible");
    expect_message(!tg_points_blobs(&(tg_points){ .classes = -1 }, &status), TG_ERROR_ARGUMENT,
                   "points of -1 classes: 1 to 1048576 are possible");
    expect_message(!tg_points_blobs(&(tg_points){ .each = -1 }, &status), TG_ERROR_ARGUMENT,
                   "-1 points of each class");
    expect_message(!tg_points_xor(&(tg_points){ .noise = NAN }, &status), TG_ERROR_ARGUMENT,
                   "points with noise nan");
}

/* ---- digits ---------------------------------------------------------------------------------- */

#ifdef TG_HAVE_ZLIB
Test(data, the_digits_are_all_there)
{
    tg_dataset *const data = tg_digits(DIGITS, &status);
    cr_assert(data, "%s", status.message);
    cr_expect(data->n == 1797 && data->d == 64 && data->classes == 10);
    /* How many of each there are: UCI's optdigits.names, test set. */
    static const int wanted[10] = { 178, 182, 177, 183, 181, 182, 181, 179, 174, 180 };
    int count[10] = { 0 };
    double sum = 0;
    for (int64_t i = 0; i < data->n; i++) count[data->label[i]]++;
    for (int64_t i = 0; i < data->n * data->d; i++) sum += data->x[i];
    for (int k = 0; k < 10; k++) cr_expect(count[k] == wanted[k], "digit %d: %d", k, count[k]);
    cr_expect(sum * 16 == 561718, "%.17g", sum * 16);
    cr_expect(data->x[2] == 5.0 / 16 && data->label[0] == 0);
    tg_dataset_free(data);
}
#endif

/* Writes a row of pixels, the last of them given, and a label; reads it as digits. */
static void expect_no_digits(int pixels, int last, int label, const char *message)
{
    char path[] = "/tmp/tapegrad-digits-XXXXXX", wanted[200];
    FILE *const f = fdopen(mkstemp(path), "w");
    cr_assert(f);
    for (int i = 1; i < pixels; i++) fputs("3,", f);
    fprintf(f, "%d,%d\n", last, label);
    fclose(f);
    snprintf(wanted, sizeof wanted, "%s: %s", path, message);
    expect_message(!tg_digits(path, &status), TG_ERROR_FORMAT, wanted);
    remove(path);
}

Test(data, what_is_not_the_digits_is_refused)
{
    expect_no_digits(63, 3, 9, "63 pixels, 10 classes: the digits have 64, 10");
    expect_no_digits(64, 3, 10, "64 pixels, 11 classes: the digits have 64, 10");
    expect_no_digits(64, 17, 9, "row 0: pixel 17: the digits have 0 to 16");
}

/* ---- MNIST ----------------------------------------------------------------------------------- */

static char folder[64];

/* Writes one of the four files: images of 2 x 2, or labels. */
static void put(const char *name, int n, bool images, const char *bytes)
{
    char path[128];
    const uint8_t head[16] = {
        0, 0, 8, images ? 3 : 1, 0, 0, 0, (uint8_t)n, 0, 0, 0, 2, 0, 0, 0, 2
    };
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *const f = fopen(path, "wb");
    cr_assert(f);
    fwrite(head, 1, images ? 16 : 8, f);
    fwrite(bytes, 1, (size_t)(images ? 4 * n : n), f);
    fclose(f);
}

static void drop_folder(void)
{
    static const char *const names[] = { "train-images-idx3-ubyte", "train-labels-idx1-ubyte",
                                         "t10k-images.idx3-ubyte", "t10k-labels-idx1-ubyte" };
    for (int i = 0; i < 4; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        remove(path);
    }
    rmdir(folder);
}

Test(data, a_folder_of_mnist_is_read_and_what_is_missing_is_named, .fini = drop_folder)
{
    char wanted[200];
    tg_dataset *train, *test;
    strcpy(folder, "/tmp/tapegrad-mnist-XXXXXX");
    cr_assert(mkdtemp(folder));
    put("train-images-idx3-ubyte", 2, true, "\0\377\63\0\1\2\3\4");
    snprintf(wanted, sizeof wanted, "%s/train-labels-idx1-ubyte is missing, .gz and .idx1 too",
             folder);
    expect_message(!tg_mnist(folder, &train, NULL, &status) && !train, TG_ERROR_FILE, wanted);
    put("train-labels-idx1-ubyte", 2, false, "\7\2");
    snprintf(wanted, sizeof wanted, "%s/t10k-images-idx3-ubyte is missing, .gz and .idx3 too",
             folder);
    expect_message(!tg_mnist(folder, &train, &test, &status) && !train && !test, TG_ERROR_FILE,
                   wanted);
    put("t10k-images.idx3-ubyte", 1, true, "\0\0\0\377");
    put("t10k-labels-idx1-ubyte", 1, false, "\11");
    cr_assert(tg_mnist(folder, &train, &test, &status), "%s", status.message);
    cr_expect(train->n == 2 && train->d == 4 && train->classes == 10 && test->classes == 10);
    cr_expect(train->x[1] == 1 && train->x[2] == 0.2 && train->label[0] == 7 &&
              train->label[1] == 2);
    cr_expect(test->n == 1 && test->x[3] == 1 && test->label[0] == 9);
    tg_dataset_free(train);
    tg_dataset_free(test);
    put("t10k-labels-idx1-ubyte", 2, false, "\11\1");
    snprintf(wanted, sizeof wanted, "%s: 1 images in t10k-images, 2 labels in t10k-labels", folder);
    expect_message(!tg_mnist(folder, NULL, &test, &status), TG_ERROR_FORMAT, wanted);
    put("t10k-labels-idx1-ubyte", 1, true, "\0\0\0\0");
    snprintf(wanted, sizeof wanted, "%s/t10k-labels-idx1-ubyte: byte 2: not bytes of rank 1",
             folder);
    expect_message(!tg_mnist(folder, NULL, &test, &status), TG_ERROR_FORMAT, wanted);
    cr_expect(tg_mnist(folder, NULL, NULL, &status) && !tg_mnist(NULL, NULL, NULL, &status));
}
