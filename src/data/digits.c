/* Handwritten digits: the set that comes with the examples, and MNIST. */
#define _POSIX_C_SOURCE 200809L /* access */
#include "inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- digits.csv.gz --------------------------------------------------------------------------- */

tg_dataset *tg_digits(const char *path, tg_status *status)
{
    tg_dataset *const data = tg_csv_read(path, &(tg_csv_options){ .label = "-1" }, status);
    if (!data) return NULL;
    bool good = data->d == 64 && data->classes == 10;
    if (!good)
        tg__data_fail(status, TG_ERROR_FORMAT,
                      "%s: %lld pixels, %d classes: the digits have 64, 10", path,
                      (long long)data->d, data->classes);
    for (int64_t i = 0; i < data->n * data->d && good; i++) {
        good = data->x[i] >= 0 && data->x[i] <= 16;
        if (!good)
            tg__data_fail(status, TG_ERROR_FORMAT,
                          "%s: row %lld: pixel %g: the digits have 0 to 16", path,
                          (long long)(i / 64), data->x[i]);
        data->x[i] /= 16;
    }
    if (good) return data;
    tg_dataset_free(data);
    return NULL;
}

/* ---- MNIST ----------------------------------------------------------------------------------- */

/* Opens folder/part-kind-idxN-ubyte under any of the names that are about, and checks its header:
   bytes, of this rank. */
static bool open_part(const char *folder, const char *part, int rank, tg__file *file,
                      tg__elements *e, char **path, tg_status *status)
{
    const size_t room = strlen(folder) + 64;
    *path = tg__data_allocate(room, 1, "a path", status);
    if (!*path) return false;
    for (int form = 0; form < 4; form++) {
        snprintf(*path, room, "%s/%s%cidx%d-ubyte%s", folder, part, form & 2 ? '.' : '-', rank,
                 form & 1 ? ".gz" : "");
        if (access(*path, F_OK) != 0) continue;
        if (!tg__file_open(*path, file, status)) return false;
        if (tg__idx_header(file, e, status)) {
            if (e->kind == TG__FILE_U8 && e->rank == rank) return true;
            tg__file_wrong(file, 2, status, "not bytes of rank %d", rank);
        }
        tg__file_close(file);
        return false;
    }
    return tg__data_fail(status, TG_ERROR_FILE, "%s/%s-idx%d-ubyte is missing, .gz and .idx%d too",
                         folder, part, rank, rank);
}

/* The labels, in order; their number in *n. */
static int *read_labels(const char *folder, const char *part, int64_t *n, tg_status *status)
{
    tg__file file;
    tg__elements e;
    char *path;
    int *label = NULL;
    if (open_part(folder, part, 1, &file, &e, &path, status)) {
        *n = e.shape[0];
        label = tg__data_allocate((size_t)*n, sizeof *label, path, status);
        for (int64_t i = 0; label && i < *n; i++) label[i] = file.data[e.from + (size_t)i];
        tg__file_close(&file);
    }
    free(path);
    return label;
}

/* The images as a data set without labels yet. */
static tg_dataset *read_images(const char *folder, const char *part, tg_status *status)
{
    tg__file file;
    tg__elements e;
    char *path;
    tg_dataset *data = NULL;
    if (open_part(folder, part, 3, &file, &e, &path, status)) {
        data =
            tg_dataset_new(&(tg_dataset){ .n = e.shape[0], .d = e.shape[1] * e.shape[2] }, status);
        if (data) tg__elements_read_f64(&file, &e, data->x);
        for (int64_t i = 0; data && i < data->n * data->d; i++) data->x[i] /= 255;
        tg__file_close(&file);
    }
    free(path);
    return data;
}

static tg_dataset *read_part(const char *folder, const char *images, const char *labels,
                             tg_status *status)
{
    int64_t n = 0;
    tg_dataset *const data = read_images(folder, images, status);
    if (!data) return NULL;
    data->label = read_labels(folder, labels, &n, status);
    if (data->label && n == data->n) {
        for (int64_t i = 0; i < n; i++)
            if (data->label[i] >= data->classes) data->classes = data->label[i] + 1;
        return data;
    }
    if (data->label)
        tg__data_fail(status, TG_ERROR_FORMAT, "%s: %lld images in %s, %lld labels in %s", folder,
                      (long long)data->n, images, (long long)n, labels);
    tg_dataset_free(data);
    return NULL;
}

bool tg_mnist(const char *folder, tg_dataset **train, tg_dataset **test, tg_status *status)
{
    tg_dataset *none, **const a = train ? train : &none, **const b = test ? test : &none;
    none = *a = *b = NULL;
    if (!folder) return tg__data_fail(status, TG_ERROR_ARGUMENT, "the path of a folder is NULL");
    if (train && !(*train = read_part(folder, "train-images", "train-labels", status)))
        return false;
    if (test && !(*test = read_part(folder, "t10k-images", "t10k-labels", status))) {
        tg_dataset_free(*a);
        *a = NULL;
        return false;
    }
    /* A class may have no image in one of them. */
    if (train && test) {
        const int classes = (*a)->classes > (*b)->classes ? (*a)->classes : (*b)->classes;
        (*a)->classes = (*b)->classes = classes;
    }
    return true;
}
