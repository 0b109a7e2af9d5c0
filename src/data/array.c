/* Arrays, and the files of one array: .npy is in npy.c, IDX in idx.c. */
#include "inner.h"

#include <stdlib.h>
#include <string.h>

int64_t tg_ndarray_size(const tg_ndarray *array)
{
    int64_t n = 1;
    for (int i = 0; i < array->rank; i++) n *= array->shape[i];
    return n;
}

bool tg__array_valid(const tg_ndarray *array, const char *what, tg_status *status)
{
    if (!array) return tg__data_fail(status, TG_ERROR_ARGUMENT, "%s: the array is NULL", what);
    if (array->type != TG_F64 && array->type != TG_F32 && array->type != TG_I64)
        return tg__data_fail(status, TG_ERROR_TYPE,
                             "%s: the array's type %d is none of TG_F64, TG_F32, TG_I64", what,
                             (int)array->type);
    if (array->rank < 0 || array->rank > TG_MAX_RANK)
        return tg__data_fail(status, TG_ERROR_SHAPE, "%s: the array's rank %d is not in 0 ... %d",
                             what, array->rank, TG_MAX_RANK);
    for (int i = 0; i < array->rank; i++)
        if (array->shape[i] < 0)
            return tg__data_fail(status, TG_ERROR_SHAPE, "%s: axis %d of the array has size %lld",
                                 what, i, (long long)array->shape[i]);
    tg__elements e = { .kind = TG__FILE_F64, .rank = array->rank };
    size_t count, bytes;
    memcpy(e.shape, array->shape, sizeof e.shape);
    if (!tg__elements_count(&e, &count, &bytes))
        return tg__data_fail(status, TG_ERROR_SHAPE, "%s: the array is too large for memory", what);
    if (count > 0 && !array->data)
        return tg__data_fail(status, TG_ERROR_ARGUMENT, "%s: the array's data are NULL", what);
    return true;
}

tg_ndarray *tg__array_parse(const tg__file *file, tg_status *status)
{
    tg__elements e;
    const uint8_t *const p = file->data;
    const bool npy = file->size > 0 && p[0] == 0x93, idx = file->size > 0 && p[0] == 0;
    if (!npy && !idx) {
        tg__file_wrong(file, 0, status, file->size ? "neither .npy nor IDX" : "the file is empty");
        return NULL;
    }
    const bool good = npy ? tg__npy_header(file, &e, status) : tg__idx_header(file, &e, status);
    return good ? tg__elements_read(file, &e, status) : NULL;
}

tg_ndarray *tg_ndarray_read(const char *path, tg_status *status)
{
    tg__file file;
    if (!tg__file_open(path, &file, status)) return NULL;
    tg_ndarray *const array = tg__array_parse(&file, status);
    tg__file_close(&file);
    return array;
}

void tg_ndarray_free(tg_ndarray *array)
{
    free(array);
}

bool tg_ndarray_write(const tg_ndarray *array, const char *path, tg_status *status)
{
    tg__writer w;
    if (!tg__array_valid(array, path ? path : "tg_ndarray_write", status) ||
        !tg__writer_open(&w, path, status))
        return false;
    tg__npy_put(array, tg__writer_put, &w);
    return tg__writer_close(&w, true, status);
}
