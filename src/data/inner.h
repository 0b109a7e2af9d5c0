/* What the files of this room share: failures, memory, files in memory, elements as files hold
   them, and writing. Not for users: they have tapegrad/data.h. */
#ifndef TG_DATA_INNER_H
#define TG_DATA_INNER_H

#include <tapegrad/data.h>

#if defined(__GNUC__)
#define TG__PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define TG__PRINTF(text, first)
#endif

/* ---- failures (status.c) --------------------------------------------------------------------- */

/* Describes a failure, if status is not NULL. Always false. */
bool tg__data_fail(tg_status *status, tg_code code, const char *format, ...) TG__PRINTF(3, 4);

/* No memory for what is named. Always false. */
bool tg__data_no_memory(tg_status *status, const char *what, size_t bytes);

/* A failed system call on path: errno says why. Always false. */
bool tg__data_errno(tg_status *status, const char *path, const char *what);

/* ---- memory (status.c) ----------------------------------------------------------------------- */

/* Memory for n * size bytes, zeroed, at least one byte; NULL, with the failure described, if there
   is none. */
void *tg__data_allocate(size_t n, size_t size, const char *what, tg_status *status);

/* Makes *memory, which has room for *room elements of size bytes, large enough for n, by doubling.
   What is new is not zeroed. */
bool tg__data_grow(void **memory, size_t *room, size_t n, size_t size, tg_status *status);

/* a * b, unless it overflows. */
bool tg__data_times(size_t a, size_t b, size_t *product);

/* ---- files in memory (file.c, inflate.c) ----------------------------------------------------- */

/* The contents of a file. */
typedef struct tg__file {
    const char *name;    /* for messages */
    const uint8_t *data; /* size bytes, then a zero byte */
    size_t size;
    bool unpacked; /* what it holds was compressed */
} tg__file;

/* Reads a whole file, and decompresses it if it is gzip. The caller frees it with tg__file_close. */
bool tg__file_open(const char *path, tg__file *file, tg_status *status);

/* Decompresses a file in memory if it is gzip; its data are then freed and replaced. */
bool tg__file_unpack(tg__file *file, tg_status *status);

void tg__file_close(tg__file *file);

/* "name: byte N: what is wrong": a format error. Always false. */
bool tg__file_wrong(const tg__file *file, size_t position, tg_status *status, const char *format,
                    ...) TG__PRINTF(4, 5);

/* Decompresses length bytes of file from a position on: gzip, all its members, or bare deflate. More
   than limit bytes are an error. out is what came of it; its data the caller frees. */
bool tg__inflate(const tg__file *file, size_t from, size_t length, bool gzip, size_t limit,
                 tg__file *out, tg_status *status);

/* ---- text (text.c) --------------------------------------------------------------------------- */

/* As far as it is read. */
typedef struct tg__text {
    const tg__file *file;
    size_t at, end;
    tg_status *status;
} tg__text;

/* Says what is wrong at this position; false. */
bool tg__text_wrong(const tg__text *t, const char *what);

/* Passes blanks. */
void tg__text_skip(tg__text *t);

/* Takes a character and the blanks before it, if it comes next. */
bool tg__text_take(tg__text *t, char c);

/* Whether n bytes are UTF-8 without NUL. */
bool tg__utf8_valid(const char *text, size_t n);

/* ---- elements (element.c) -------------------------------------------------------------------- */

/* What a file's elements are. */
typedef enum tg__kind {
    TG__FILE_F64,
    TG__FILE_F32,
    TG__FILE_F16,
    TG__FILE_BF16,
    TG__FILE_S64,
    TG__FILE_S32,
    TG__FILE_S16,
    TG__FILE_S8,
    TG__FILE_U64,
    TG__FILE_U32,
    TG__FILE_U16,
    TG__FILE_U8,
    TG__FILE_BOOL,
    TG__FILE_KINDS
} tg__kind;

/* An array where it lies in a file. */
typedef struct tg__elements {
    tg__kind kind;
    bool big_endian, columns_first;
    int rank;
    int64_t shape[TG_MAX_RANK];
    size_t from; /* position of the first byte */
} tg__elements;

/* Bytes of one element. */
size_t tg__kind_size(tg__kind kind);

/* How many elements there are, and bytes of them; false if that overflows. */
bool tg__elements_count(const tg__elements *e, size_t *count, size_t *bytes);

/* Converts elements, which must lie within the file, to F64 in out, row-major, C order only. */
void tg__elements_read_f64(const tg__file *file, const tg__elements *e, double *out);

/* The same to an array of its own, of the type that fits the kind. */
tg_ndarray *tg__elements_read(const tg__file *file, const tg__elements *e, tg_status *status);

/* The bits of n <= 8 bytes. */
uint64_t tg__bits(const uint8_t *p, size_t n, bool big_endian);

/* ---- writing (write.c) ----------------------------------------------------------------------- */

/* Where bytes go. False: it failed, and the sink keeps why. */
typedef bool tg__sink(void *user, const void *data, size_t n);

/* A file being written beside its place. */
typedef struct tg__writer {
    const char *path;
    char *target;    /* path without symbolic links */
    char *temporary; /* in the target's folder */
    int file;        /* descriptor, or -1 */
    int error;       /* errno of the first write that failed */
    size_t used;     /* bytes waiting in buffer */
    uint8_t buffer[1 << 14];
} tg__writer;

bool tg__writer_open(tg__writer *w, const char *path, tg_status *status);
bool tg__writer_put(void *writer, const void *data, size_t n); /* a tg__sink */

/* Puts the file in its place if good, or else leaves everything as it was. False if it is not good,
   or if anything failed. */
bool tg__writer_close(tg__writer *w, bool good, tg_status *status);

/* The elements of an array as little-endian bytes. */
bool tg__put_elements(const tg_ndarray *array, tg__sink *sink, void *user);

/* Whether an array is one: type, rank, sizes, data. what names it in the message. */
bool tg__array_valid(const tg_ndarray *array, const char *what, tg_status *status);

/* ---- formats --------------------------------------------------------------------------------- */

bool tg__npy_header(const tg__file *file, tg__elements *e, tg_status *status);
bool tg__npy_put(const tg_ndarray *array, tg__sink *sink, void *user);
size_t tg__npy_size(const tg_ndarray *array); /* bytes that tg__npy_put puts */
bool tg__idx_header(const tg__file *file, tg__elements *e, tg_status *status);
tg_ndarray *tg__array_parse(const tg__file *file, tg_status *status);

bool tg__npz_parse(const tg__file *file, tg_archive *archive, tg_status *status);
bool tg__npz_put(const tg_archive *archive, const char *path, tg__writer *w, tg_status *status);
bool tg__safetensors_parse(const tg__file *file, tg_archive *archive, tg_status *status);
bool tg__safetensors_put(const tg_archive *archive, tg__writer *w, tg_status *status);
tg_archive *tg__archive_parse(const tg__file *file, tg_status *status);

tg_dataset *tg__csv_parse(const tg__file *file, const tg_csv_options *options, tg_status *status);

/* Appends to an archive without a look for doubles; takes name (from malloc) and array over, also
   when it fails. */
bool tg__archive_append(tg_archive *archive, char *name, tg_ndarray *array, tg_status *status);
bool tg__archive_append_note(tg_archive *archive, char *key, char *note, tg_status *status);

/* A name or key that comes twice, or NULL. */
const char *tg__archive_double(const tg_archive *archive, tg_status *status, bool *failed);

#endif
