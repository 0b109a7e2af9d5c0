/* .npz, NumPy's zip of .npy files. The zip format: PKWARE, APPNOTE.TXT; of it, what such archives
   need: entries that are stored or deflated, also in the form for large files (zip64). */
#include "inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOCAL = 30, ENTRY = 46, END = 22, LOCATOR = 20, END64 = 56, MOST_ENTRIES = 0xffff };
enum { STORED = 0, DEFLATED = 8, ENCRYPTED = 1, UTF8 = 1 << 11 };

/* ---- checksums ------------------------------------------------------------------------------- */

/* CRC-32 of zip, polynomial 0xedb88320. table[k][b] is what the byte b does to the sum k bytes later:
   with it eight bytes are one step. */
typedef struct crc {
    uint32_t table[8][256], value;
} crc;

static void crc_begin(crc *c)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t x = i;
        for (int bit = 0; bit < 8; bit++) x = x >> 1 ^ (x & 1 ? 0xedb88320u : 0);
        c->table[0][i] = x;
    }
    for (int k = 1; k < 8; k++)
        for (int i = 0; i < 256; i++) {
            const uint32_t x = c->table[k - 1][i];
            c->table[k][i] = x >> 8 ^ c->table[0][x & 0xff];
        }
    c->value = 0xffffffffu;
}

static bool crc_put(void *sum, const void *data, size_t n) /* a tg__sink */
{
    crc *const c = sum;
    const uint8_t *p = data;
    uint32_t x = c->value;
    for (; n >= 8; n -= 8, p += 8) {
        x ^= p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        x = c->table[7][x & 0xff] ^ c->table[6][x >> 8 & 0xff] ^ c->table[5][x >> 16 & 0xff] ^
            c->table[4][x >> 24] ^ c->table[3][p[4]] ^ c->table[2][p[5]] ^ c->table[1][p[6]] ^
            c->table[0][p[7]];
    }
    for (; n > 0; n--, p++) x = x >> 8 ^ c->table[0][(x ^ *p) & 0xff];
    c->value = x;
    return true;
}

static uint32_t crc_end(const crc *c)
{
    return ~c->value;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* What the directory says of one entry. */
typedef struct entry {
    size_t at; /* of what it says */
    const uint8_t *name;
    size_t name_length;
    unsigned flags, method;
    uint32_t crc;
    uint64_t packed, size;
    uint64_t begin, data, end; /* of the local header, of its data, behind them */
} entry;

static uint64_t number(const tg__file *file, size_t at, size_t n)
{
    return tg__bits(file->data + at, n, false);
}

/* The directory: where it lies, and how many entries it has. */
typedef struct directory {
    uint64_t begin, size, n;
} directory;

/* The end record may be followed by a comment that reaches to the end of the file. */
static bool find_end(const tg__file *file, size_t *end, tg_status *status)
{
    const size_t most = END + 0xffff, n = file->size;
    for (size_t back = END; back <= n && back <= most; back++) {
        *end = n - back;
        if (number(file, *end, 4) == 0x06054b50 && number(file, *end + 20, 2) == back - END)
            return true;
    }
    return tg__file_wrong(file, n, status, "a zip without its end record: the file is cut off");
}

static bool find_directory(const tg__file *file, directory *d, tg_status *status)
{
    size_t end = 0;
    if (!find_end(file, &end, status)) return false;
    *d = (directory){ number(file, end + 16, 4), number(file, end + 12, 4),
                      number(file, end + 10, 2) };
    if (end >= LOCATOR && number(file, end - LOCATOR, 4) == 0x07064b50) {
        const uint64_t at = number(file, end - LOCATOR + 8, 8);
        if (end - LOCATOR < END64 || at > end - LOCATOR - END64 ||
            number(file, (size_t)at, 4) != 0x06064b50)
            return tg__file_wrong(file, end - LOCATOR, status,
                                  "no zip64 end record where this says");
        end = (size_t)at;
        *d = (directory){ number(file, end + 48, 8), number(file, end + 40, 8),
                          number(file, end + 32, 8) };
    }
    if (d->begin > end || d->size > end - d->begin || d->n > d->size / ENTRY)
        return tg__file_wrong(file, end, status, "the zip's directory does not lie before its end");
    return true;
}

/* The zip64 field of an entry holds, in this order, the numbers that are all ones elsewhere. */
static bool read_large(const tg__file *file, entry *e, size_t at, size_t end)
{
    uint64_t *const wanted[3] = { &e->size, &e->packed, &e->begin };
    while (end - at >= 4) {
        const uint64_t id = number(file, at, 2), length = number(file, at + 2, 2);
        at += 4;
        if (length > end - at) return false;
        const size_t stop = at + (size_t)length;
        for (int i = 0; id == 1 && i < 3; i++) {
            if (*wanted[i] != UINT32_MAX) continue;
            if (stop - at < 8) return false;
            *wanted[i] = number(file, at, 8);
            at += 8;
        }
        at = stop;
    }
    return true;
}

/* Reads what the directory says at a position, and moves it on. */
static bool read_entry(const tg__file *file, entry *e, size_t *at, size_t end, tg_status *status)
{
    const size_t p = *at;
    if (end - p < ENTRY || number(file, p, 4) != 0x02014b50)
        return tg__file_wrong(file, p, status, "no entry of the zip's directory here");
    const size_t name = (size_t)number(file, p + 28, 2), extra = (size_t)number(file, p + 30, 2),
                 comment = (size_t)number(file, p + 32, 2);
    if (name + extra + comment > end - p - ENTRY)
        return tg__file_wrong(file, p, status, "this entry is longer than the zip's directory");
    *e = (entry){ .at = p,
                  .name = file->data + p + ENTRY,
                  .name_length = name,
                  .flags = (unsigned)number(file, p + 8, 2),
                  .method = (unsigned)number(file, p + 10, 2),
                  .crc = (uint32_t)number(file, p + 16, 4),
                  .packed = number(file, p + 20, 4),
                  .size = number(file, p + 24, 4),
                  .begin = number(file, p + 42, 4) };
    if (!read_large(file, e, p + ENTRY + name, p + ENTRY + name + extra))
        return tg__file_wrong(file, p, status, "a damaged extra field");
    *at = p + ENTRY + name + extra + comment;
    return true;
}

/* Finds the data by the local header, which must agree with the directory at limit. */
static bool find_data(const tg__file *file, entry *e, uint64_t limit, tg_status *status)
{
    if (e->begin > limit || limit - e->begin < LOCAL)
        return tg__file_wrong(file, e->at, status, "this entry does not lie before the directory");
    const size_t p = (size_t)e->begin;
    const uint64_t name = number(file, p + 26, 2), extra = number(file, p + 28, 2);
    if (number(file, p, 4) != 0x04034b50 || number(file, p + 8, 2) != e->method ||
        name != e->name_length || limit - p - LOCAL < name + extra ||
        memcmp(file->data + p + LOCAL, e->name, e->name_length) != 0)
        return tg__file_wrong(file, p, status, "this does not agree with the zip's directory");
    e->data = p + LOCAL + name + extra;
    if (e->packed > limit - e->data)
        return tg__file_wrong(file, p, status, "%llu bytes of data do not lie before the directory",
                              (unsigned long long)e->packed);
    e->end = e->data + e->packed;
    return true;
}

static int by_place(const void *a, const void *b)
{
    const entry *const x = a, *const y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->at < y->at ? -1 : 1;
}

/* Two entries that share bytes would let a small file unpack to a huge one. */
static bool apart(const tg__file *file, const entry *e, size_t n, tg_status *status)
{
    for (size_t i = 1; i < n; i++)
        if (e[i].begin < e[i - 1].end)
            return tg__file_wrong(file, (size_t)e[i].begin, status,
                                  "two entries of the zip share these bytes");
    return true;
}

/* The bytes of an entry, unpacked if they were packed: then the caller closes them, as *own says. */
static bool unpack(const tg__file *file, const entry *e, tg__file *inner, bool *own,
                   tg_status *status)
{
    const size_t from = (size_t)e->data, length = (size_t)e->packed;
    *own = e->method == DEFLATED;
    if (e->flags & ENCRYPTED) return tg__file_wrong(file, e->at, status, "this entry is encrypted");
    if (e->method != STORED && e->method != DEFLATED)
        return tg__file_wrong(file, e->at, status,
                              "compressed by method %u: only stored and deflated are read",
                              e->method);
    if (*own && !tg__inflate(file, from, length, false, (size_t)e->size, inner, status))
        return false;
    if (!*own) *inner = (tg__file){ file->name, file->data + from, length, file->unpacked };
    crc sum;
    crc_begin(&sum);
    crc_put(&sum, inner->data, inner->size);
    if (inner->size == e->size && crc_end(&sum) == e->crc) return true;
    if (*own) tg__file_close(inner);
    return tg__file_wrong(file, e->at, status,
                          "the entry's size or checksum is not what this says");
}

/* Its name, without .npy. */
static char *name_of(const tg__file *file, const entry *e, tg_status *status)
{
    const size_t n = e->name_length;
    if (n < 5 || memcmp(e->name + n - 4, ".npy", 4) != 0)
        return tg__file_wrong(file, e->at, status, "this entry is no .npy file"), NULL;
    if (memchr(e->name, 0, n) || !tg__utf8_valid((const char *)e->name, n))
        return tg__file_wrong(file, e->at, status, "this entry's name is not UTF-8"), NULL;
    char *const name = tg__data_allocate(n - 3, 1, "a name", status);
    if (name) memcpy(name, e->name, n - 4);
    return name;
}

static bool read_array(const tg__file *file, const entry *e, tg_archive *archive, tg_status *status)
{
    char where[160];
    bool own;
    tg__file inner;
    tg__elements elements;
    char *const name = name_of(file, e, status);
    if (!name || !unpack(file, e, &inner, &own, status)) {
        free(name);
        return false;
    }
    snprintf(where, sizeof where, "%.100s: %.40s.npy", file->name, name);
    inner.name = where;
    tg_ndarray *const array = tg__npy_header(&inner, &elements, status)
                                  ? tg__elements_read(&inner, &elements, status)
                                  : NULL;
    if (own) tg__file_close(&inner);
    if (array) return tg__archive_append(archive, name, array, status);
    free(name);
    return false;
}

static bool read_entries(const tg__file *file, const directory *d, entry *e, tg_archive *archive,
                         tg_status *status)
{
    const size_t end = (size_t)(d->begin + d->size), n = (size_t)d->n;
    size_t at = (size_t)d->begin;
    for (size_t i = 0; i < n; i++)
        if (!read_entry(file, e + i, &at, end, status) || !find_data(file, e + i, d->begin, status))
            return false;
    qsort(e, n, sizeof *e, by_place);
    if (!apart(file, e, n, status)) return false;
    for (size_t i = 0; i < n; i++)
        if (!read_array(file, e + i, archive, status)) return false;
    return true;
}

bool tg__npz_parse(const tg__file *file, tg_archive *archive, tg_status *status)
{
    directory d;
    if (!find_directory(file, &d, status)) return false;
    entry *const e = tg__data_allocate((size_t)d.n, sizeof *e, "a directory", status);
    const bool good = e && read_entries(file, &d, e, archive, status);
    free(e);
    return good;
}

/* ---- writing --------------------------------------------------------------------------------- */

static void put_number(uint8_t *p, uint64_t x, size_t n)
{
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)(x >> 8 * i);
}

/* What local header and directory have in common, 26 bytes: versions, flags, 1 January 1980. */
static void put_common(uint8_t *p, const char *name, uint32_t sum, uint64_t size)
{
    bool ascii = true;
    for (const char *c = name; *c; c++) ascii = ascii && *c > 0;
    put_number(p, 20, 2);
    put_number(p + 2, ascii ? 0 : UTF8, 2);
    put_number(p + 4, STORED, 2);
    put_number(p + 6, 0, 2);
    put_number(p + 8, 1 << 5 | 1, 2);
    put_number(p + 10, sum, 4);
    put_number(p + 14, size, 4);
    put_number(p + 18, size, 4);
    put_number(p + 22, strlen(name) + 4, 2);
    put_number(p + 24, 0, 2);
}

static void put_local(tg__writer *w, const char *name, const tg_ndarray *array, uint32_t sum)
{
    uint8_t local[LOCAL] = { 'P', 'K', 3, 4 };
    put_common(local + 4, name, sum, tg__npy_size(array));
    (void)(tg__writer_put(w, local, LOCAL) && tg__writer_put(w, name, strlen(name)) &&
           tg__writer_put(w, ".npy", 4) && tg__npy_put(array, tg__writer_put, w));
}

static void put_entry(tg__writer *w, const char *name, const tg_ndarray *array, uint32_t sum,
                      uint64_t begin)
{
    uint8_t e[ENTRY] = { 'P', 'K', 1, 2, 20, 3 }; /* made by version 2.0, on Unix */
    put_common(e + 6, name, sum, tg__npy_size(array));
    put_number(e + 38, 0644u << 16 | 0x80000000u, 4); /* a file, and its permissions */
    put_number(e + 42, begin, 4);
    (void)(tg__writer_put(w, e, ENTRY) && tg__writer_put(w, name, strlen(name)) &&
           tg__writer_put(w, ".npy", 4));
}

/* Bytes before the directory, if all fits into a zip without extensions. */
static bool fits(const tg_archive *archive, const char *path, uint64_t *directory_begin,
                 tg_status *status)
{
    uint64_t bytes = 0, size = 0;
    if (archive->notes > 0)
        return tg__data_fail(status, TG_ERROR_ARGUMENT,
                             "%s: an .npz cannot hold the archive's %zu notes; .safetensors can",
                             path, archive->notes);
    for (size_t i = 0; i < archive->n; i++) {
        const uint64_t name = strlen(archive->name[i]) + 4;
        if (name > 0xffff)
            return tg__data_fail(status, TG_ERROR_ARGUMENT, "%s: a name of %llu bytes is too long",
                                 path, (unsigned long long)name);
        bytes += LOCAL + name + tg__npy_size(archive->array[i]);
        size += ENTRY + name;
    }
    *directory_begin = bytes;
    if (archive->n >= MOST_ENTRIES || bytes + size >= UINT32_MAX)
        return tg__data_fail(status, TG_ERROR_ARGUMENT,
                             "%s: %zu arrays of %llu bytes are too much for .npz; .safetensors can",
                             path, archive->n, (unsigned long long)bytes);
    return true;
}

bool tg__npz_put(const tg_archive *archive, const char *path, tg__writer *w, tg_status *status)
{
    uint64_t begin = 0, directory_begin = 0, size = 0;
    if (!fits(archive, path, &directory_begin, status)) return false;
    uint32_t *const sums = tg__data_allocate(archive->n, sizeof *sums, "checksums", status);
    if (!sums) return false;
    for (size_t i = 0; i < archive->n; i++) {
        crc sum;
        crc_begin(&sum);
        tg__npy_put(archive->array[i], crc_put, &sum);
        sums[i] = crc_end(&sum);
        put_local(w, archive->name[i], archive->array[i], sums[i]);
    }
    for (size_t i = 0; i < archive->n; i++) {
        const uint64_t name = strlen(archive->name[i]) + 4;
        put_entry(w, archive->name[i], archive->array[i], sums[i], begin);
        begin += LOCAL + name + tg__npy_size(archive->array[i]);
        size += ENTRY + name;
    }
    free(sums);
    uint8_t end[END] = { 'P', 'K', 5, 6 };
    put_number(end + 8, archive->n, 2);
    put_number(end + 10, archive->n, 2);
    put_number(end + 12, size, 4);
    put_number(end + 16, directory_begin, 4);
    tg__writer_put(w, end, END);
    return true;
}
