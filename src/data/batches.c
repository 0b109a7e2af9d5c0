/* Minibatches: rows gathered in an order that seed and epoch decide. */
#include "inner.h"
#include "random.h"

#include <stdlib.h>
#include <string.h>

struct tg_batches {
    const tg_dataset *data;
    tg_batch_options options;
    int64_t size, count; /* rows in a full batch, batches in an epoch */
    int64_t next;        /* number of the next batch */
    int64_t epoch;       /* whose order this is */
    int64_t *order;      /* (n of the data) */
    double *x, *y;       /* the rows of one batch */
    int *label;
    tg_batch batch;
};

void tg_batches_order(int64_t *order, int64_t n, uint64_t seed, int64_t epoch)
{
    tg__random r = tg__data_random_new(seed, TG__FOR_ORDER, (uint32_t)epoch);
    tg__data_random_order(&r, order, n);
}

/* Room for the order and for one batch. */
static bool make_room(tg_batches *b, tg_status *status)
{
    static const char what[] = "minibatches";
    const tg_dataset *const data = b->data;
    const size_t size = (size_t)b->size;
    b->order = tg__data_allocate((size_t)data->n, sizeof *b->order, what, status);
    if (!b->order) return false;
    /* No larger than the data set's own. */
    b->x = tg__data_allocate(size * (size_t)data->d, sizeof *b->x, what, status);
    if (b->x && data->targets)
        b->y = tg__data_allocate(size * (size_t)data->targets, sizeof *b->y, what, status);
    if (b->x && data->label) b->label = tg__data_allocate(size, sizeof *b->label, what, status);
    return b->x && (b->y || !data->targets) && (b->label || !data->label);
}

tg_batches *tg_batches_new(const tg_dataset *data, const tg_batch_options *options,
                           tg_status *status)
{
    const tg_batch_options o = options ? *options : (tg_batch_options){ 0 };
    if (!data) return tg__data_fail(status, TG_ERROR_ARGUMENT, "the data set is NULL"), NULL;
    if (o.size < 0 || data->n < 1 || (o.drop_last && o.size > data->n)) {
        tg__data_fail(status, TG_ERROR_ARGUMENT, "no batch of %lld rows from %lld rows",
                      (long long)o.size, (long long)data->n);
        return NULL;
    }
    tg_batches *const b = tg__data_allocate(1, sizeof *b, "minibatches", status);
    if (!b) return NULL;
    b->data = data;
    b->options = o;
    b->size = o.size == 0 || o.size > data->n ? data->n : o.size;
    b->count = data->n / b->size + (!o.drop_last && data->n % b->size > 0);
    b->epoch = -1;
    if (make_room(b, status)) {
        for (int64_t i = 0; i < data->n; i++) b->order[i] = i;
        tg_batches_start(b, 0, 0);
        return b;
    }
    tg_batches_free(b);
    return NULL;
}

void tg_batches_free(tg_batches *batches)
{
    if (!batches) return;
    free(batches->order);
    free(batches->x);
    free(batches->y);
    free(batches->label);
    free(batches);
}

int64_t tg_batches_count(const tg_batches *batches)
{
    return batches->count;
}

void tg_batches_start(tg_batches *batches, int64_t epoch, int64_t batch)
{
    tg_batches *const b = batches;
    if (!b->options.in_order && (epoch != b->epoch))
        tg_batches_order(b->order, b->data->n, b->options.seed, epoch);
    b->epoch = epoch;
    b->next = batch < 0 ? 0 : batch;
}

const tg_batch *tg_batches_next(tg_batches *batches)
{
    tg_batches *const b = batches;
    const tg_dataset *const data = b->data;
    if (b->next >= b->count) return NULL;
    const int64_t first = b->next * b->size, left = data->n - first;
    const int64_t n = left < b->size ? left : b->size;
    const int64_t *const row = b->order + first;
    const size_t d = (size_t)data->d, targets = (size_t)data->targets;
    for (int64_t i = 0; i < n; i++) {
        if (d) memcpy(b->x + (size_t)i * d, data->x + (size_t)row[i] * d, d * sizeof *b->x);
        if (targets)
            memcpy(b->y + (size_t)i * targets, data->y + (size_t)row[i] * targets,
                   targets * sizeof *b->y);
        if (b->label) b->label[i] = data->label[row[i]];
    }
    b->batch = (tg_batch){ n, b->next++, row, b->x, b->y, b->label };
    return &b->batch;
}
