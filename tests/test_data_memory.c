/* The data module and memory. No file, whatever it claims, makes it ask for more than its bytes are
   worth. And every call under failing memory: the first, the second, ... allocation fails,
   until the call needs no more. Each failure is reported as one, and what was taken is given back: a
   sanitizer sees that. Linked with malloc, calloc and realloc turned to the ones here. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "data_samples.h"

static long left = -1; /* allocations until the one that fails; negative: none does */

static size_t largest; /* request so far */

static bool fails(size_t bytes)
{
    if (bytes > largest) largest = bytes;
    if (left < 0) return false;
    return left-- == 0;
}

/* What the linker turns the names of libc to. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
    return fails(n) ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails(n * size) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails(n) ? NULL : __real_realloc(p, n);
}

static tg_status status;
static tg_dataset *data; /* of 3 rows, with names */
static tg_archive *archive;
static char path[64];

/* One call that may fail; true if it did what it should. */
typedef bool call(void);

static int sample;

/* The sample with bytes from a place on turned; 0 of them: as it is. */
static bool parse_turned(size_t from, size_t n, uint8_t turn)
{
    const data_sample *const s = data_samples + sample;
    static const tg_csv_options table = { .header = true, .allow_missing = true, .label = "kind" };
    uint8_t *const bytes = __real_malloc(s->size + 1);
    memcpy(bytes, s->bytes, s->size);
    bytes[s->size] = 0;
    for (size_t i = from; i < from + n && i < s->size; i++) bytes[i] ^= turn;
    tg__file copy = { .name = s->name, .data = bytes, .size = s->size };
    void *parsed = NULL;
    if (tg__file_unpack(&copy, &status))
        parsed = s->form == ARRAY     ? (void *)tg__array_parse(&copy, &status)
                 : s->form == ARCHIVE ? (void *)tg__archive_parse(&copy, &status)
                                      : (void *)tg__csv_parse(&copy, &table, &status);
    tg__file_close(&copy);
    if (parsed) drop_parsed(s->form, parsed);
    return parsed;
}

static bool parse(void)
{
    return parse_turned(0, 0, 0);
}

/* However a file lies about its sizes, no request is larger than what its bytes could hold: an
   element of 8 bytes for each, 100 for each entry of 46; and where unpacking starts. */
static void lie(void)
{
    for (sample = 0; sample < data_sample_count; sample++) {
        const size_t size = data_samples[sample].size, most = (1 << 15) + 64 * size;
        for (size_t from = 0; from < size; from++)
            for (size_t n = 1; n <= 8; n *= 2)
                for (int turn = 0; turn < 4; turn++) {
                    largest = 0;
                    parse_turned(from, n, (uint8_t[]){ 0xff, 0x7f, 0x80, 0x09 }[turn]);
                    if (largest <= most) continue;
                    printf("%s, byte %zu: %zu bytes asked for\n", data_samples[sample].name, from,
                           largest);
                    exit(EXIT_FAILURE);
                }
    }
}

static tg_dataset *read_flowers(void)
{
    const data_sample *const s = sample_named("flowers");
    return parse_bytes(TABLE, s->bytes, s->size, &status);
}

static bool write_and_read(void)
{
    if (!tg_archive_write(archive, path, &status)) return false;
    tg_archive *const back = tg_archive_read(path, &status);
    tg_archive_free(back);
    return back;
}

static bool split(void)
{
    tg_dataset *train, *test;
    const bool done =
        tg_dataset_split(data, &(tg_split_options){ 0.25, 1, true }, &train, &test, &status);
    if (!done && (train || test)) abort();
    tg_dataset_free(train);
    tg_dataset_free(test);
    return done;
}

static bool scale(void)
{
    tg_scaling *const s = tg_scaling_new(data, &status);
    tg_scaling_free(s);
    return s;
}

static bool walk(void)
{
    tg_batches *const b = tg_batches_new(data, NULL, &status);
    tg_batches_free(b);
    return b;
}

static bool one_hot(void)
{
    return tg_dataset_one_hot(data, &status);
}

static bool make_points(void)
{
    tg_dataset *const d = tg_points_spirals(NULL, &status);
    tg_dataset_free(d);
    return d;
}

static bool add(void)
{
    tg_archive *const a = tg_archive_new();
    if (!a) status.code = TG_ERROR_MEMORY; /* this call has no status */
    const bool done = a && tg_archive_add(a, "x", archive->array[0], &status) &&
                      tg_archive_note(a, "k", "v", &status);
    tg_archive_free(a);
    return done;
}

/* Fails a call at each of its allocations. Returns how many it had. */
static long torment(call *c, const char *name)
{
    for (long n = 0;; n++) {
        status.code = TG_OK;
        left = n;
        const bool done = c(), reached = left < 0;
        left = -1;
        if (!done && status.code != TG_ERROR_MEMORY) {
            printf("%s: allocation %ld fails: %s\n", name, n, status.message);
            exit(EXIT_FAILURE);
        }
        if (done && !reached) return n;
        if (done) printf("%s: allocation %ld fails, and the call does not\n", name, n), exit(1);
    }
}

int main(void)
{
    char folder[] = "/tmp/tapegrad-memory-XXXXXX";
    static const double x[3] = { 1, 2, 3 };
    data = read_flowers();
    archive = tg_archive_new();
    if (!data || !archive || !mkdtemp(folder)) return EXIT_FAILURE;
    if (!tg_archive_add(archive, "x", &(tg_ndarray){ TG_F64, 1, { 3 }, x }, &status) ||
        !tg_archive_add(archive, "y", &(tg_ndarray){ TG_F32, 0, { 0 }, x }, &status))
        return EXIT_FAILURE;
    lie();
    long allocations = 0;
    for (sample = 0; sample < data_sample_count; sample++) {
#ifndef TG_HAVE_ZLIB
        const char *const name = data_samples[sample].name;
        if (strstr(name, "gz") || strcmp(name, "deflated") == 0) continue;
#endif
        allocations += torment(parse, data_samples[sample].name);
    }
    static const struct {
        const char *name;
        call *call;
    } calls[] = { { "split", split },     { "scale", scale },         { "batches", walk },
                  { "one_hot", one_hot }, { "spirals", make_points }, { "add", add } };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        allocations += torment(calls[i].call, calls[i].name);
    for (int npz = 0; npz < 2; npz++) {
        snprintf(path, sizeof path, "%s/a.%s", folder, npz ? "npz" : "safetensors");
        allocations += torment(write_and_read, path);
        remove(path);
    }
    rmdir(folder); /* empty: no temporary file is left */
    tg_dataset_free(data);
    tg_archive_free(archive);
    printf("%ld allocations failed, one at a time\n", allocations);
    if (allocations == 0)
        return 77; /* link-time optimisation has kept the linker from it: skipped */
    return access(folder, F_OK) == 0;
}
