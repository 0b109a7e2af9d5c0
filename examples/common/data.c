/* Data: see data.h. */
#include "common/data.h"

#include "common/cli.h"

sets sets_of_points(tg_dataset *(*make)(const tg_points *form, tg_status *status), tg_points form)
{
    tg_status status;
    sets data;
    form.seed *= 2;
    data.train = make(&form, &status);
    form.seed++;
    data.test = data.train ? make(&form, &status) : NULL;
    if (!data.test) fail("%s", status.message);
    return data;
}

sets sets_of_digits(const char *file, double test, uint64_t seed)
{
    tg_status status;
    tg_dataset *all = tg_digits(file, &status);
    if (!all) fail("%s", status.message);
    return sets_divide(all, test, seed);
}

sets sets_of_mnist(const char *folder)
{
    tg_status status;
    sets data;
    if (!tg_mnist(folder, &data.train, &data.test, &status)) fail("%s", status.message);
    return data;
}

sets sets_divide(tg_dataset *all, double test, uint64_t seed)
{
    tg_status status;
    const tg_split_options how = { .test = test, .seed = seed, .stratified = true };
    sets data;
    if (!tg_dataset_split(all, &how, &data.train, &data.test, &status)) fail("%s", status.message);
    tg_dataset_free(all);
    return data;
}

void sets_free(sets data)
{
    tg_dataset_free(data.train);
    tg_dataset_free(data.test);
}

tg_batches *batches_new(const tg_dataset *data, int size, uint64_t seed)
{
    tg_status status;
    const tg_batch_options how = { .size = size, .seed = seed };
    tg_batches *b = tg_batches_new(data, &how, &status);
    if (!b) fail("%s", status.message);
    return b;
}
