/* Data sets: making, copying, splitting, scaling. */
#include "inner.h"
#include "random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- making and copying ---------------------------------------------------------------------- */

static bool sizes_valid(const tg_dataset *form, tg_status *status)
{
    if (!form) return tg__data_fail(status, TG_ERROR_ARGUMENT, "the data set is NULL");
    if (form->n >= 0 && form->d >= 0 && form->targets >= 0 && form->classes >= 0 &&
        form->n <= PTRDIFF_MAX && form->d <= PTRDIFF_MAX && form->targets <= PTRDIFF_MAX)
        return true;
    return tg__data_fail(
        status, TG_ERROR_SHAPE, "a data set of %lld rows, %lld features, %lld targets, %d classes",
        (long long)form->n, (long long)form->d, (long long)form->targets, form->classes);
}

/* (n, d) numbers, zeroed, or NULL. */
static void *table(int64_t n, int64_t d, size_t size, tg_status *status)
{
    size_t count;
    if (!tg__data_times((size_t)n, (size_t)d, &count)) count = SIZE_MAX;
    return tg__data_allocate(count, size, "a data set", status);
}

tg_dataset *tg_dataset_new(const tg_dataset *form, tg_status *status)
{
    if (!sizes_valid(form, status)) return NULL;
    tg_dataset *const data = tg__data_allocate(1, sizeof *data, "a data set", status);
    if (!data) return NULL;
    data->n = form->n;
    data->d = form->d;
    data->targets = form->targets;
    data->classes = form->classes;
    if ((data->x = table(data->n, data->d, sizeof *data->x, status)) &&
        (!data->targets || (data->y = table(data->n, data->targets, sizeof *data->y, status))) &&
        (!data->classes || (data->label = table(data->n, 1, sizeof *data->label, status))))
        return data;
    tg_dataset_free(data);
    return NULL;
}

static void free_names(char **name, int64_t n)
{
    for (int64_t i = 0; name && i < n; i++) free(name[i]);
    free(name);
}

void tg_dataset_free(tg_dataset *data)
{
    if (!data) return;
    free(data->x);
    free(data->y);
    free(data->label);
    free_names(data->feature, data->d);
    free_names(data->class_name, data->classes);
    free(data);
}

/* A copy of n names, in *copy. No names give no copy, and that is no failure. */
static bool copy_names(char ***copy, char *const *name, int64_t n, tg_status *status)
{
    if (!name) return true;
    *copy = tg__data_allocate((size_t)n, sizeof **copy, "names", status);
    for (int64_t i = 0; *copy && i < n; i++) {
        const size_t length = strlen(name[i]) + 1;
        char *const one = malloc(length);
        if (!one) return tg__data_no_memory(status, "a name", length);
        (*copy)[i] = memcpy(one, name[i], length);
    }
    return *copy;
}

tg_dataset *tg_dataset_rows(const tg_dataset *data, const int64_t *row, int64_t n,
                            tg_status *status)
{
    if (!sizes_valid(data, status)) return NULL;
    for (int64_t i = 0; i < n; i++)
        if (row[i] < 0 || row[i] >= data->n) {
            tg__data_fail(status, TG_ERROR_INDEX, "row %lld of a data set of %lld rows",
                          (long long)row[i], (long long)data->n);
            return NULL;
        }
    tg_dataset form = *data;
    form.n = n;
    tg_dataset *const copy = tg_dataset_new(&form, status);
    if (!copy) return NULL;
    const size_t d = (size_t)data->d, targets = (size_t)data->targets;
    for (int64_t i = 0; i < n; i++) {
        if (d) memcpy(copy->x + (size_t)i * d, data->x + (size_t)row[i] * d, d * sizeof *data->x);
        if (targets)
            memcpy(copy->y + (size_t)i * targets, data->y + (size_t)row[i] * targets,
                   targets * sizeof *data->y);
        if (data->label && copy->label) copy->label[i] = data->label[row[i]];
    }
    if (copy_names(&copy->feature, data->feature, data->d, status) &&
        copy_names(&copy->class_name, data->class_name, data->classes, status))
        return copy;
    tg_dataset_free(copy);
    return NULL;
}

/* ---- labels ---------------------------------------------------------------------------------- */

static bool labels_valid(const tg_dataset *data, tg_status *status)
{
    if (!data->label) return tg__data_fail(status, TG_ERROR_ARGUMENT, "the data set has no labels");
    for (int64_t i = 0; i < data->n; i++)
        if (data->label[i] < 0 || data->label[i] >= data->classes)
            return tg__data_fail(status, TG_ERROR_INDEX, "row %lld: label %d of %d classes",
                                 (long long)i, data->label[i], data->classes);
    return true;
}

bool tg_dataset_one_hot(tg_dataset *data, tg_status *status)
{
    if (!sizes_valid(data, status) || !labels_valid(data, status)) return false;
    double *const y = table(data->n, data->classes, sizeof *y, status);
    if (!y) return false;
    for (int64_t i = 0; i < data->n; i++) y[i * data->classes + data->label[i]] = 1;
    free(data->y);
    data->y = y;
    data->targets = data->classes;
    return true;
}

/* ---- splitting ------------------------------------------------------------------------------- */

/* Rows ordered by class and, within a class, as they were (counting sort). */
static bool order_by_class(const tg_dataset *data, int64_t *order, tg_status *status)
{
    const size_t classes = (size_t)data->classes, n = (size_t)data->n;
    int64_t *const next = tg__data_allocate(classes + 1, sizeof *next, "an order", status);
    int64_t *const sorted = tg__data_allocate(n, sizeof *sorted, "an order", status);
    const bool good = next && sorted;
    if (good) {
        for (size_t i = 0; i < n; i++) next[data->label[i] + 1]++;
        for (size_t k = 0; k < classes; k++) next[k + 1] += next[k];
        for (size_t i = 0; i < n; i++) sorted[next[data->label[order[i]]]++] = order[i];
        memcpy(order, sorted, n * sizeof *order);
    }
    free(next);
    free(sorted);
    return good;
}

/* Of n rows in order, chosen of them are for testing, evenly spread: so each stretch, such as a
   class, gets its share to within one. Leaves in row the rows for training, then those for testing,
   each in the order of the data set. */
static bool choose(int64_t *row, const int64_t *order, int64_t n, int64_t chosen, tg_status *status)
{
    bool *const test = tg__data_allocate((size_t)n, sizeof *test, "a split", status);
    if (!test) return false;
    int64_t sum = 0; /* i * chosen modulo n */
    for (int64_t i = 0; i < n; i++) {
        sum += chosen;
        test[order[i]] = sum >= n;
        if (sum >= n) sum -= n;
    }
    int64_t trains = 0, tests = n - chosen;
    for (int64_t i = 0; i < n; i++) row[test[i] ? tests++ : trains++] = i;
    free(test);
    return true;
}

bool tg_dataset_split(const tg_dataset *data, const tg_split_options *options, tg_dataset **train,
                      tg_dataset **test, tg_status *status)
{
    *train = *test = NULL;
    if (!sizes_valid(data, status)) return false;
    if (!options || !(options->test > 0 && options->test < 1))
        return tg__data_fail(
            status, TG_ERROR_ARGUMENT,
            "a split with %g of the rows for testing: above 0 and below 1 is wanted",
            options ? options->test : 0);
    if (options->stratified && !labels_valid(data, status)) return false;
    const int64_t n = data->n, chosen = (int64_t)round(options->test * (double)n);
    if (chosen < 1 || chosen >= n)
        return tg__data_fail(status, TG_ERROR_ARGUMENT,
                             "a split of %lld rows leaves %lld for training, %lld for testing",
                             (long long)n, (long long)(n - chosen), (long long)chosen);
    int64_t *const order = tg__data_allocate((size_t)n, 2 * sizeof *order, "a split", status);
    if (!order) return false;
    int64_t *const row = order + n;
    tg__random r = tg__data_random_new(options->seed, TG__FOR_SPLIT, 0);
    tg__data_random_order(&r, order, n);
    if ((!options->stratified || order_by_class(data, order, status)) &&
        choose(row, order, n, chosen, status) &&
        (*train = tg_dataset_rows(data, row, n - chosen, status)))
        *test = tg_dataset_rows(data, row + n - chosen, chosen, status);
    free(order);
    if (*test) return true;
    tg_dataset_free(*train);
    *train = NULL;
    return false;
}

/* ---- scaling --------------------------------------------------------------------------------- */

/* Mean and standard deviation of a column, in two passes: the second is exact where the first was
   not, for numbers far from 0. */
static void measure(const tg_dataset *data, int64_t column, double *mean, double *deviation)
{
    double sum = 0, squares = 0, rest = 0, n = 0;
    for (int64_t i = 0; i < data->n; i++) {
        const double x = data->x[i * data->d + column];
        if (isnan(x)) continue;
        sum += x;
        n++;
    }
    const double first = n > 0 ? sum / n : 0;
    for (int64_t i = 0; i < data->n; i++) {
        const double x = data->x[i * data->d + column] - first;
        if (isnan(x)) continue;
        rest += x;
        squares += x * x;
    }
    *mean = n > 0 ? first + rest / n : 0;
    *deviation = n > 0 ? sqrt(fmax(0, squares / n - rest / n * (rest / n))) : 0;
}

tg_scaling *tg_scaling_new(const tg_dataset *train, tg_status *status)
{
    if (!sizes_valid(train, status)) return NULL;
    tg_scaling *const s = tg__data_allocate(1, sizeof *s, "a scaling", status);
    if (!s) return NULL;
    s->d = train->d;
    s->mean = table(s->d, 1, sizeof *s->mean, status);
    s->scale = s->mean ? table(s->d, 1, sizeof *s->scale, status) : NULL;
    if (!s->scale) {
        tg_scaling_free(s);
        return NULL;
    }
    for (int64_t i = 0; i < s->d; i++) {
        measure(train, i, s->mean + i, s->scale + i);
        /* What is left of a constant after rounding is no deviation. */
        if (s->scale[i] <= 4e-16 * fabs(s->mean[i])) s->scale[i] = 1;
    }
    return s;
}

void tg_scaling_free(tg_scaling *scaling)
{
    if (!scaling) return;
    free(scaling->mean);
    free(scaling->scale);
    free(scaling);
}

bool tg_scaling_apply(const tg_scaling *scaling, tg_dataset *data, tg_status *status)
{
    if (!scaling) return tg__data_fail(status, TG_ERROR_ARGUMENT, "the scaling is NULL");
    if (!sizes_valid(data, status)) return false;
    if (scaling->d != data->d)
        return tg__data_fail(status, TG_ERROR_SHAPE, "a scaling of %lld features, data of %lld",
                             (long long)scaling->d, (long long)data->d);
    for (int64_t i = 0; i < data->n; i++)
        for (int64_t j = 0; j < data->d; j++) {
            double *const x = data->x + i * data->d + j;
            *x = (*x - scaling->mean[j]) / scaling->scale[j];
        }
    return true;
}
