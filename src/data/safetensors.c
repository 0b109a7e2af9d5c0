/* .safetensors: the length of the header in 8 little-endian bytes, the header (a JSON object),
   elements. The rules are those of the reference implementation (Hugging Face, safetensors): the
   byte ranges fit types and shapes, and cover all that follows the header, each byte once. */
#include "inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_HEADER = 100000000 };

/* ---- JSON ------------------------------------------------------------------------------------ */

/* After an item of a list: true if another follows, false after the closing bracket; *good is false
   if neither is there. */
static bool another(tg__text *t, char closing, bool *good)
{
    if (tg__text_take(t, ',')) return true;
    if (!tg__text_take(t, closing))
        *good = tg__text_wrong(t, "the header: no comma here, and no closing bracket");
    return false;
}

static bool take_size(tg__text *t, uint64_t *size)
{
    tg__text_skip(t);
    const size_t first = t->at;
    *size = 0;
    for (; t->at < t->end; t->at++) {
        const int digit = t->file->data[t->at] - '0';
        if (digit < 0 || digit > 9) break;
        if (*size > (uint64_t)(INT64_MAX - digit) / 10)
            return tg__text_wrong(t, "this number is too large");
        *size = 10 * *size + (uint64_t)digit;
    }
    if (t->at == first || (t->file->data[first] == '0' && t->at > first + 1))
        return tg__text_wrong(t, "the header: no whole number here");
    return true;
}

/* Four hexadecimal digits at a position. */
static bool hexadecimal(const tg__text *t, size_t at, uint32_t *code)
{
    if (t->end - at < 4) return false;
    *code = 0;
    for (size_t i = 0; i < 4; i++) {
        const uint8_t c = t->file->data[at + i], letter = c | 0x20;
        if (c >= '0' && c <= '9') *code = *code << 4 | (uint32_t)(c - '0');
        else if (letter >= 'a' && letter <= 'f') *code = *code << 4 | (uint32_t)(letter - 'a' + 10);
        else return false;
    }
    return true;
}

static size_t encode(uint32_t code, char *out)
{
    const size_t length = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t first[5] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(first[length] | code);
    return length;
}

/* What follows a backslash; adds it to out. A character beyond 16 bits is written as two. */
static bool take_escape(tg__text *t, char *out, size_t *n)
{
    static const char plain[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char c = t->at < t->end ? (char)t->file->data[t->at++] : 0;
    const char *const found = c ? strchr(plain, c) : NULL;
    if (found) {
        out[(*n)++] = meant[found - plain];
        return true;
    }
    uint32_t code, low;
    if (c != 'u' || !hexadecimal(t, t->at, &code) || code == 0) return false;
    t->at += 4;
    if (code >> 10 == 0x36) {
        if (t->end - t->at < 6 || memcmp(t->file->data + t->at, "\\u", 2) != 0 ||
            !hexadecimal(t, t->at + 2, &low) || low >> 10 != 0x37)
            return false;
        t->at += 6;
        code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
    } else if (code >> 10 == 0x37) return false;
    *n += encode(code, out + *n);
    return true;
}

/* Takes a string; the caller frees it. What is escaped is never shorter than what it means. */
static char *take_string(tg__text *t)
{
    if (!tg__text_take(t, '"')) return tg__text_wrong(t, "the header: no string here"), NULL;
    size_t end = t->at;
    while (end < t->end && t->file->data[end] != '"') end += t->file->data[end] == '\\' ? 2 : 1;
    if (end >= t->end) return tg__text_wrong(t, "the header: a string without an end"), NULL;
    char *const out = malloc(end - t->at + 1);
    if (!out) return tg__data_no_memory(t->status, "a name", end - t->at + 1), NULL;
    size_t n = 0;
    bool good = tg__utf8_valid((const char *)t->file->data + t->at, end - t->at);
    while (good && t->at < end) {
        const char c = (char)t->file->data[t->at];
        good = c < 0 || c >= ' ';
        if (good) t->at++;
        if (c == '\\') good = take_escape(t, out, &n);
        else out[n++] = c;
    }
    out[n] = 0;
    if (good) {
        t->at = end + 1;
        return out;
    }
    free(out);
    return tg__text_wrong(t, "the header: a string with a character that cannot stand in it"), NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* One entry of the header: an array and its bytes, counted from the header's end. */
typedef struct entry {
    char *name;
    tg__elements e;
    uint64_t begin, end;
    size_t at; /* where the header tells of it */
} entry;

typedef struct entries {
    entry *entry;
    size_t n, room;
} entries;

static bool kind_of(const char *name, tg__kind *kind)
{
    static const char *const names[TG__FILE_KINDS] = {
        [TG__FILE_F64] = "F64",   [TG__FILE_F32] = "F32", [TG__FILE_F16] = "F16",
        [TG__FILE_BF16] = "BF16", [TG__FILE_S64] = "I64", [TG__FILE_S32] = "I32",
        [TG__FILE_S16] = "I16",   [TG__FILE_S8] = "I8",   [TG__FILE_U64] = "U64",
        [TG__FILE_U32] = "U32",   [TG__FILE_U16] = "U16", [TG__FILE_U8] = "U8",
        [TG__FILE_BOOL] = "BOOL"
    };
    int k = 0;
    while (k < TG__FILE_KINDS && strcmp(names[k], name) != 0) k++;
    *kind = (tg__kind)k;
    return k < TG__FILE_KINDS;
}

static bool read_type(tg__text *t, entry *e)
{
    char *const name = take_string(t);
    if (!name) return false;
    const bool known = kind_of(name, &e->e.kind);
    if (!known)
        tg__file_wrong(t->file, t->at, t->status, "type \"%.20s\" of \"%.100s\" is not read", name,
                       e->name);
    free(name);
    return known;
}

static bool read_shape(tg__text *t, entry *e)
{
    bool good = true;
    if (!tg__text_take(t, '[')) return tg__text_wrong(t, "shape: no [ here");
    if (tg__text_take(t, ']')) return true;
    do {
        uint64_t size;
        if (e->e.rank == TG_MAX_RANK) return tg__text_wrong(t, "shape: more axes than TG_MAX_RANK");
        if (!take_size(t, &size)) return false;
        e->e.shape[e->e.rank++] = (int64_t)size;
    } while (another(t, ']', &good));
    return good;
}

static bool read_range(tg__text *t, entry *e)
{
    if (!tg__text_take(t, '[')) return tg__text_wrong(t, "data_offsets: no [ here");
    if (!take_size(t, &e->begin)) return false;
    if (!tg__text_take(t, ',')) return tg__text_wrong(t, "data_offsets: not two numbers");
    if (!take_size(t, &e->end)) return false;
    return tg__text_take(t, ']') || tg__text_wrong(t, "data_offsets: not two numbers");
}

/* The object that describes one array: each of the three keys once, in any order. */
static bool read_entry(tg__text *t, entry *e)
{
    static const struct {
        const char *key;
        bool (*read)(tg__text *t, entry *e);
    } field[3] = { { "dtype", read_type },
                   { "shape", read_shape },
                   { "data_offsets", read_range } };
    bool seen[3] = { false }, good = true;
    if (!tg__text_take(t, '{'))
        return tg__text_wrong(t, "the header: an array is described by an object: no {");
    do {
        char *const key = take_string(t);
        if (!key) return false;
        int k = 0;
        while (k < 3 && strcmp(key, field[k].key) != 0) k++;
        free(key);
        if (k == 3 || seen[k])
            return tg__text_wrong(t, "the header: a key that should not be here");
        if (!tg__text_take(t, ':')) return tg__text_wrong(t, "the header: no : after a key");
        if (!field[k].read(t, e)) return false;
        seen[k] = true;
    } while (another(t, '}', &good));
    if (good && !(seen[0] && seen[1] && seen[2]))
        good = tg__text_wrong(t, "the header: an array lacks dtype, shape or data_offsets");
    return good;
}

static bool read_notes(tg__text *t, tg_archive *archive)
{
    bool good = true;
    if (!tg__text_take(t, '{')) return tg__text_wrong(t, "__metadata__ is not an object: no {");
    if (tg__text_take(t, '}')) return true;
    do {
        char *const key = take_string(t);
        if (!key) return false;
        const bool colon = tg__text_take(t, ':');
        char *const note = colon ? take_string(t) : NULL;
        if (!note) {
            free(key);
            return colon ? false : tg__text_wrong(t, "__metadata__: a key without a string");
        }
        if (!tg__archive_append_note(archive, key, note, t->status)) return false;
    } while (another(t, '}', &good));
    return good;
}

static bool read_item(tg__text *t, entries *list, tg_archive *archive)
{
    tg__text_skip(t);
    const size_t at = t->at;
    char *const name = take_string(t);
    if (!name) return false;
    if (!tg__text_take(t, ':')) {
        free(name);
        return tg__text_wrong(t, "the header: no : after a key");
    }
    if (strcmp(name, "__metadata__") == 0) {
        free(name);
        return read_notes(t, archive);
    }
    void *memory = list->entry;
    const bool room = tg__data_grow(&memory, &list->room, list->n + 1, sizeof(entry), t->status);
    list->entry = memory;
    if (!room) {
        free(name);
        return false;
    }
    entry *const e = list->entry + list->n++;
    *e = (entry){ .name = name, .at = at };
    return read_entry(t, e);
}

static bool read_header(tg__text *t, entries *list, tg_archive *archive)
{
    bool good = true;
    if (t->at == t->end || t->file->data[t->at] != '{')
        return tg__text_wrong(t, "the header does not begin with {");
    t->at++;
    if (!tg__text_take(t, '}')) do {
            if (!read_item(t, list, archive)) return false;
        } while (another(t, '}', &good));
    tg__text_skip(t);
    if (good && t->at != t->end) good = tg__text_wrong(t, "the header: more after its object");
    return good;
}

static int by_range(const void *a, const void *b)
{
    const entry *const x = a, *const y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return x->at < y->at ? -1 : 1;
}

/* The ranges of sorted entries cover size bytes, each once. */
static bool ranges_fit(const tg__text *t, const entries *list, uint64_t size)
{
    uint64_t covered = 0;
    for (size_t i = 0; i < list->n; i++) {
        const entry *const e = list->entry + i;
        size_t count, bytes;
        if (e->begin != covered)
            return tg__file_wrong(t->file, e->at, t->status,
                                  "\"%.100s\" begins at byte %llu of the data, %s: %llu are taken",
                                  e->name, (unsigned long long)e->begin,
                                  e->begin < covered ? "an overlap" : "a hole",
                                  (unsigned long long)covered);
        if (e->end < e->begin || e->end > size)
            return tg__file_wrong(t->file, e->at, t->status,
                                  "\"%.100s\" ends at byte %llu of the data, which are %llu",
                                  e->name, (unsigned long long)e->end, (unsigned long long)size);
        if (!tg__elements_count(&e->e, &count, &bytes) || bytes != e->end - e->begin)
            return tg__file_wrong(t->file, e->at, t->status,
                                  "\"%.100s\" has %llu bytes, which type and shape contradict",
                                  e->name, (unsigned long long)(e->end - e->begin));
        covered = e->end;
    }
    return covered == size || tg__file_wrong(t->file, t->end + covered, t->status,
                                             "%llu bytes that belong to no array",
                                             (unsigned long long)(size - covered));
}

static bool read_arrays(tg__text *t, entries *list, tg_archive *archive)
{
    if (list->n > 1) qsort(list->entry, list->n, sizeof *list->entry, by_range);
    if (!ranges_fit(t, list, t->file->size - t->end)) return false;
    for (size_t i = 0; i < list->n; i++) {
        entry *const e = list->entry + i;
        e->e.from = t->end + e->begin;
        tg_ndarray *const array = tg__elements_read(t->file, &e->e, t->status);
        char *const name = e->name;
        if (!array) return false;
        e->name = NULL; /* the archive's, from here on */
        if (!tg__archive_append(archive, name, array, t->status)) return false;
    }
    return true;
}

bool tg__safetensors_parse(const tg__file *file, tg_archive *archive, tg_status *status)
{
    if (file->size < 8)
        return tg__file_wrong(file, file->size, status,
                              "neither .safetensors nor .npz: it ends after %zu bytes", file->size);
    const uint64_t length = tg__bits(file->data, 8, false);
    if (length > LONGEST_HEADER || length > file->size - 8)
        return tg__file_wrong(
            file, 0, status,
            "neither .safetensors nor .npz: a header of %llu bytes in a file of %zu",
            (unsigned long long)length, file->size);
    tg__text t = { file, 8, 8 + (size_t)length, status };
    entries list = { NULL, 0, 0 };
    const bool good = read_header(&t, &list, archive) && read_arrays(&t, &list, archive);
    for (size_t i = 0; i < list.n; i++) free(list.entry[i].name);
    free(list.entry);
    return good;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* The header as it grows. */
typedef struct header {
    char *text;
    size_t n, room;
    bool good;
    tg_status *status;
} header;

static void put(header *h, const char *word, size_t n)
{
    void *memory = h->text;
    h->good = h->good && tg__data_grow(&memory, &h->room, h->n + n, 1, h->status);
    h->text = memory;
    if (!h->good) return;
    memcpy(h->text + h->n, word, n);
    h->n += n;
}

static void put_text(header *h, const char *word)
{
    put(h, word, strlen(word));
}

static void put_string(header *h, const char *word)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    put_text(h, "\"");
    for (const char *p = word; *p; p++) {
        const char *const special = strchr(plain, *p);
        char escape[8];
        if (special) put(h, (const char[]){ '\\', letter[special - plain] }, 2);
        else if (*p > 0 && *p < ' ')
            put(h, escape, (size_t)sprintf(escape, "\\u%04x", (unsigned)*p));
        else put(h, p, 1);
    }
    put_text(h, "\"");
}

static void put_notes(header *h, const tg_archive *archive)
{
    put_text(h, "\"__metadata__\":{");
    for (size_t i = 0; i < archive->notes; i++) {
        if (i > 0) put_text(h, ",");
        put_string(h, archive->key[i]);
        put_text(h, ":");
        put_string(h, archive->note[i]);
    }
    put_text(h, "}");
}

static size_t bytes_of(const tg_ndarray *array)
{
    return (size_t)tg_ndarray_size(array) * (array->type == TG_F32 ? 4 : 8);
}

static void put_array(header *h, const char *name, const tg_ndarray *array, size_t begin)
{
    static const char *const type[] = { [TG_F64] = "F64", [TG_F32] = "F32", [TG_I64] = "I64" };
    char number[80];
    put_string(h, name);
    put_text(h, ":{\"dtype\":\"");
    put_text(h, type[array->type]);
    put_text(h, "\",\"shape\":[");
    for (int i = 0; i < array->rank; i++) {
        sprintf(number, "%s%lld", i ? "," : "", (long long)array->shape[i]);
        put_text(h, number);
    }
    sprintf(number, "],\"data_offsets\":[%zu,%zu]}", begin, begin + bytes_of(array));
    put_text(h, number);
}

/* An array and its name, to be sorted as the reference does: wide types first, so that every
   element is aligned, then by name. */
typedef struct named {
    const char *name;
    const tg_ndarray *array;
} named;

static int by_type_and_name(const void *a, const void *b)
{
    static const int rank[] = { [TG_F64] = 1, [TG_F32] = 0, [TG_I64] = 2 };
    const named *const x = a, *const y = b;
    const int order = rank[y->array->type] - rank[x->array->type];
    return order ? order : strcmp(x->name, y->name);
}

static void put_header(header *h, const tg_archive *archive, const named *sorted)
{
    size_t begin = 0;
    put_text(h, "{");
    if (archive->notes > 0) put_notes(h, archive);
    for (size_t i = 0; i < archive->n; i++) {
        if (i > 0 || archive->notes > 0) put_text(h, ",");
        put_array(h, sorted[i].name, sorted[i].array, begin);
        begin += bytes_of(sorted[i].array);
    }
    put_text(h, "}");
    while (h->good && h->n % 8) put_text(h, " ");
    if (h->good && h->n > LONGEST_HEADER)
        h->good = tg__data_fail(h->status, TG_ERROR_ARGUMENT,
                                "names and notes take %zu bytes, more than the %d of .safetensors",
                                h->n, LONGEST_HEADER);
}

bool tg__safetensors_put(const tg_archive *archive, tg__writer *w, tg_status *status)
{
    named *const sorted = tg__data_allocate(archive->n, sizeof *sorted, "names", status);
    if (!sorted) return false;
    for (size_t i = 0; i < archive->n; i++)
        sorted[i] = (named){ archive->name[i], archive->array[i] };
    qsort(sorted, archive->n, sizeof *sorted, by_type_and_name);
    header h = { .good = true, .status = status };
    put_header(&h, archive, sorted);
    if (h.good) {
        uint8_t length[8];
        for (int i = 0; i < 8; i++) length[i] = (uint8_t)((uint64_t)h.n >> 8 * i);
        bool out = tg__writer_put(w, length, 8) && tg__writer_put(w, h.text, h.n);
        for (size_t i = 0; i < archive->n && out; i++)
            out = tg__put_elements(sorted[i].array, tg__writer_put, w);
    }
    free(h.text);
    free(sorted);
    return h.good;
}
