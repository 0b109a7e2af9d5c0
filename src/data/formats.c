/* Reading and writing files of any of the formats: one array is .npy (npy.c) or IDX (idx.c), an archive
   .npz (npz.c) or .safetensors (safetensors.c). What is read is told by its first bytes. */
#include "inner.h"

#include <string.h>

/* ---- one array ------------------------------------------------------------------------------- */

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

bool tg_ndarray_write(const tg_ndarray *array, const char *path, tg_status *status)
{
    tg__writer w;
    if (!tg__array_valid(array, path ? path : "tg_ndarray_write", status) ||
        !tg__writer_open(&w, path, status))
        return false;
    tg__npy_put(array, tg__writer_put, &w);
    return tg__writer_close(&w, true, status);
}

/* ---- archives -------------------------------------------------------------------------------- */

tg_archive *tg__archive_parse(const tg__file *file, tg_status *status)
{
    const uint8_t *const p = file->data;
    /* A length of a safetensors header may look like the "PK" of a zip; its brace follows then. */
    const bool zip = file->size > 8 && p[0] == 'P' && p[1] == 'K' && p[8] != '{';
    tg_archive *const archive = tg_archive_new();
    if (!archive) return tg__data_no_memory(status, "an archive", sizeof *archive), NULL;
    bool failed = false;
    if (zip ? tg__npz_parse(file, archive, status) : tg__safetensors_parse(file, archive, status)) {
        const char *const twice = tg__archive_double(archive, status, &failed);
        if (!twice && !failed) return archive;
        if (twice) tg__file_wrong(file, 0, status, "has two entries \"%.100s\"", twice);
    }
    tg_archive_free(archive);
    return NULL;
}

tg_archive *tg_archive_read(const char *path, tg_status *status)
{
    tg__file file;
    if (!tg__file_open(path, &file, status)) return NULL;
    tg_archive *const archive = tg__archive_parse(&file, status);
    tg__file_close(&file);
    return archive;
}

bool tg_archive_write(const tg_archive *archive, const char *path, tg_status *status)
{
    tg__writer w;
    if (!archive) return tg__data_fail(status, TG_ERROR_ARGUMENT, "the archive is NULL");
    if (!tg__writer_open(&w, path, status)) return false;
    const size_t n = strlen(path);
    const bool npz = n >= 4 && strcmp(path + n - 4, ".npz") == 0;
    const bool good =
        npz ? tg__npz_put(archive, path, &w, status) : tg__safetensors_put(archive, &w, status);
    return tg__writer_close(&w, good, status);
}
