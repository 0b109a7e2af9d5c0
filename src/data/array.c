/* Arrays in memory. */
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

void tg_ndarray_free(tg_ndarray *array)
{
    free(array);
}
