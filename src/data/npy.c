/* .npy, NumPy's file of one array (NEP 1 and numpy.lib.format): a magic word, the version, the
   length of the header, the header (a Python dictionary as text), elements. */
#include "inner.h"

#include <stdio.h>
#include <string.h>

/* ---- reading --------------------------------------------------------------------------------- */

/* Takes a string in quotes of either kind, of fewer than room characters and without escapes. */
static bool take_string(tg__text *t, char *string, size_t room)
{
    const char quote = tg__text_take(t, '\'') ? '\'' : tg__text_take(t, '"') ? '"' : 0;
    if (!quote) return false;
    for (size_t n = 0; t->at < t->end && n < room; n++) {
        const char c = (char)t->file->data[t->at++];
        string[n] = c == quote ? 0 : c;
        if (c == quote) return true;
        if (c == '\\') return false;
    }
    return false;
}

static bool take_word(tg__text *t, const char *word)
{
    tg__text_skip(t);
    const size_t n = strlen(word);
    if (t->end - t->at < n || memcmp(t->file->data + t->at, word, n) != 0) return false;
    t->at += n;
    return true;
}

static bool take_size(tg__text *t, int64_t *size)
{
    tg__text_skip(t);
    const size_t first = t->at;
    *size = 0;
    for (; t->at < t->end; t->at++) {
        const int digit = t->file->data[t->at] - '0';
        if (digit < 0 || digit > 9) break;
        if (*size > (INT64_MAX - digit) / 10) return false;
        *size = 10 * *size + digit;
    }
    return t->at > first;
}

/* "<f8": byte order, kind, bytes. */
static bool read_type(tg__text *t, tg__elements *e)
{
    static const char *const names[TG__FILE_KINDS] = {
        [TG__FILE_F64] = "f8", [TG__FILE_F32] = "f4", [TG__FILE_F16] = "f2", [TG__FILE_S64] = "i8",
        [TG__FILE_S32] = "i4", [TG__FILE_S16] = "i2", [TG__FILE_S8] = "i1",  [TG__FILE_U64] = "u8",
        [TG__FILE_U32] = "u4", [TG__FILE_U16] = "u2", [TG__FILE_U8] = "u1",  [TG__FILE_BOOL] = "b1"
    };
    char name[8];
    if (!take_string(t, name, sizeof name))
        return tg__text_wrong(t, "descr: not a type such as '<f8' (structured types are not read)");
    for (int k = 0; k < TG__FILE_KINDS; k++) {
        if (!name[0] || !names[k] || strcmp(name + 1, names[k]) != 0) continue;
        const bool order =
            strchr("<>", name[0]) || (name[0] == '|' && tg__kind_size((tg__kind)k) == 1);
        if (!order) break;
        e->kind = (tg__kind)k;
        e->big_endian = name[0] == '>';
        return true;
    }
    return tg__text_wrong(t, "descr: this type is not read; f8, f4, f2, integers and b1 are");
}

static bool read_shape(tg__text *t, tg__elements *e)
{
    if (!tg__text_take(t, '(')) return tg__text_wrong(t, "shape: not a tuple such as (3, 2)");
    bool comma = true;
    while (!tg__text_take(t, ')')) {
        int64_t size;
        if (!comma || !take_size(t, &size))
            return tg__text_wrong(t, "shape: not a tuple such as (3, 2)");
        if (e->rank == TG_MAX_RANK) return tg__text_wrong(t, "shape: more axes than TG_MAX_RANK");
        e->shape[e->rank++] = size;
        comma = tg__text_take(t, ',');
    }
    if (e->rank == 1 && !comma) return tg__text_wrong(t, "shape: (n) is no tuple, (n,) is");
    return true;
}

static bool read_order(tg__text *t, tg__elements *e)
{
    e->columns_first = take_word(t, "True");
    return e->columns_first || take_word(t, "False") ||
           tg__text_wrong(t, "fortran_order: not True or False");
}

/* The dictionary: each of the three keys once, in any order. */
static bool read_dictionary(tg__text *t, tg__elements *e)
{
    static const struct {
        const char *key;
        bool (*read)(tg__text *t, tg__elements *e);
    } entry[3] = { { "descr", read_type },
                   { "fortran_order", read_order },
                   { "shape", read_shape } };
    bool seen[3] = { false }, comma = true;
    if (!tg__text_take(t, '{')) return tg__text_wrong(t, "the header is not a dictionary: no {");
    while (!tg__text_take(t, '}')) {
        char key[16];
        int k = 0;
        if (!comma || !take_string(t, key, sizeof key))
            return tg__text_wrong(t, "the header: no key here");
        while (k < 3 && strcmp(key, entry[k].key) != 0) k++;
        if (k == 3 || seen[k])
            return tg__text_wrong(t, "the header: a key that should not be here");
        if (!tg__text_take(t, ':')) return tg__text_wrong(t, "the header: no : after a key");
        if (!entry[k].read(t, e)) return false;
        seen[k] = true;
        comma = tg__text_take(t, ',');
    }
    if (!seen[0] || !seen[1] || !seen[2])
        return tg__text_wrong(t, "the header lacks descr, fortran_order or shape");
    tg__text_skip(t);
    return t->at == t->end || tg__text_wrong(t, "the header: more after its dictionary");
}

bool tg__npy_header(const tg__file *file, tg__elements *e, tg_status *status)
{
    const uint8_t *const p = file->data;
    *e = (tg__elements){ 0 };
    if (file->size < 10 || memcmp(p, "\x93NUMPY", 6) != 0)
        return tg__file_wrong(file, 0, status, "an .npy file begins with \\x93NUMPY and a version");
    if (p[6] < 1 || p[6] > 3 || p[7] != 0)
        return tg__file_wrong(file, 6, status, "version %d.%d of .npy is none of 1.0, 2.0, 3.0",
                              p[6], p[7]);
    const size_t wide = p[6] == 1 ? 2 : 4, start = 8 + wide;
    const size_t length = file->size < start ? 0 : (size_t)tg__bits(p + 8, wide, false);
    if (file->size < start || length > file->size - start)
        return tg__file_wrong(file, 8, status, "the file ends within its header");
    tg__text t = { file, start, start + length, status };
    if (!read_dictionary(&t, e)) return false;
    e->from = start + length;
    size_t count, bytes;
    if (!tg__elements_count(e, &count, &bytes))
        return tg__file_wrong(file, start, status, "this shape is too large for any file");
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

/* ---- writing --------------------------------------------------------------------------------- */

enum { START = 10, ALIGNMENT = 64, HEADER = 320 };

/* The whole of version 1.0 up to the elements, which begin at a multiple of 64. Returns its length. */
static size_t header_of(const tg_ndarray *array, char header[HEADER])
{
    static const char *const type[] = { [TG_F64] = "<f8", [TG_F32] = "<f4", [TG_I64] = "<i8" };
    memset(header, ' ', HEADER);
    memcpy(header, "\x93NUMPY\x01\x00", 8);
    size_t n = START + (size_t)sprintf(header + START,
                                       "{'descr': '%s', 'fortran_order': False, "
                                       "'shape': (",
                                       type[array->type]);
    for (int i = 0; i < array->rank; i++)
        n += (size_t)sprintf(header + n, "%s%lld", i ? ", " : "", (long long)array->shape[i]);
    n += (size_t)sprintf(header + n, array->rank == 1 ? ",), }" : "), }");
    header[n] = ' ';
    const size_t end = (n + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    header[8] = (char)((end - START) & 0xff);
    header[9] = (char)((end - START) >> 8);
    header[end - 1] = '\n';
    return end;
}

bool tg__npy_put(const tg_ndarray *array, tg__sink *sink, void *user)
{
    char header[HEADER];
    const size_t n = header_of(array, header);
    return sink(user, header, n) && tg__put_elements(array, sink, user);
}

size_t tg__npy_size(const tg_ndarray *array)
{
    char header[HEADER];
    return header_of(array, header) +
           (size_t)tg_ndarray_size(array) * (array->type == TG_F32 ? 4 : 8);
}
