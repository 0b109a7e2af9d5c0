/* IDX, the format of MNIST: two zero bytes, the type, the rank, sizes of 4 bytes, elements; numbers
   are big-endian (LeCun, Cortes, Burges: The MNIST database of handwritten digits). */
#include "inner.h"

static bool kind_of(uint8_t code, tg__kind *kind)
{
    switch (code) {
    case 0x08: *kind = TG__FILE_U8; return true;
    case 0x09: *kind = TG__FILE_S8; return true;
    case 0x0b: *kind = TG__FILE_S16; return true;
    case 0x0c: *kind = TG__FILE_S32; return true;
    case 0x0d: *kind = TG__FILE_F32; return true;
    case 0x0e: *kind = TG__FILE_F64; return true;
    default: return false;
    }
}

bool tg__idx_header(const tg__file *file, tg__elements *e, tg_status *status)
{
    const uint8_t *const p = file->data;
    *e = (tg__elements){ .big_endian = true };
    if (file->size < 4 || p[0] || p[1])
        return tg__file_wrong(file, 0, status,
                              "an IDX file begins with two zero bytes, type, rank");
    if (!kind_of(p[2], &e->kind))
        return tg__file_wrong(file, 2, status, "type 0x%02x is none of IDX", p[2]);
    if (p[3] > TG_MAX_RANK)
        return tg__file_wrong(file, 3, status, "rank %d is above %d", p[3], TG_MAX_RANK);
    e->rank = p[3];
    e->from = 4 + 4 * (size_t)e->rank;
    if (file->size < e->from)
        return tg__file_wrong(file, file->size, status, "the header is cut off");
    for (int i = 0; i < e->rank; i++) e->shape[i] = (int64_t)tg__bits(p + 4 + 4 * i, 4, true);
    size_t count, bytes;
    if (!tg__elements_count(e, &count, &bytes))
        return tg__file_wrong(file, 4, status, "these sizes are too large for any file");
    const size_t there = file->size - e->from;
    if (bytes > there)
        return tg__file_wrong(file, file->size, status,
                              "the file ends here, with %zu bytes of elements of %zu", there,
                              bytes);
    if (bytes < there)
        return tg__file_wrong(file, e->from + bytes, status, "%zu bytes after the last element",
                              there - bytes);
    return true;
}
