/* Files of arrays and tables: what is read is what was written, whoever wrote it; what is wrong is
   said; nothing that a file holds is trusted; a file is replaced whole or not at all. */
#define _XOPEN_SOURCE 700 /* mkdtemp, symlink, setrlimit */
#include <criterion/criterion.h>
#include <dirent.h>
#include <locale.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data_samples.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

static char folder[64];
static tg_status status;

static void make_folder(void)
{
    strcpy(folder, "/tmp/tapegrad-data-XXXXXX");
    cr_assert(mkdtemp(folder));
}

/* Counts what is left in the folder while it removes it. */
static int remove_folder(void)
{
    char path[400];
    int n = 0;
    DIR *const d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        n++;
        remove(path);
    }
    if (d) closedir(d);
    rmdir(folder);
    return n;
}

static void clean(void)
{
    remove_folder();
}

TestSuite(data_files, .init = make_folder, .fini = clean);

/* A path in the folder, in static memory; four at a time. */
static const char *in_folder(const char *name)
{
    static char path[4][160];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static void save(const char *path, const char *bytes, size_t size)
{
    FILE *const f = fopen(path, "wb");
    cr_assert(f && fwrite(bytes, 1, size, f) == size && fclose(f) == 0);
}

/* The bytes of a file; the caller frees them. */
static char *load(const char *path, size_t *size)
{
    FILE *const f = fopen(path, "rb");
    char *const bytes = malloc(1 << 16);
    cr_assert(f && bytes);
    *size = fread(bytes, 1, 1 << 16, f);
    fclose(f);
    return bytes;
}

static void *parse_sample(const char *name)
{
    const data_sample *const s = sample_named(name);
    void *const parsed = parse_bytes(s->form, s->bytes, s->size, &status);
    cr_assert(parsed, "%s: %s", name, status.message);
    return parsed;
}

static double element(const tg_ndarray *a, int64_t i)
{
    return a->type == TG_F64   ? ((const double *)a->data)[i]
           : a->type == TG_F32 ? (double)((const float *)a->data)[i]
                               : (double)((const int64_t *)a->data)[i];
}

/* An array is of this type, shape and contents. */
static void expect_array(const char *what, const tg_ndarray *a, tg_type type, int rank,
                         const int64_t *shape, const double *x)
{
    cr_assert(a, "%s: there is none", what);
    cr_assert(a->type == type && a->rank == rank, "%s: type %d, rank %d", what, (int)a->type,
              a->rank);
    for (int i = 0; i < rank; i++) cr_expect(a->shape[i] == shape[i], "%s: axis %d", what, i);
    for (int64_t i = 0; i < tg_ndarray_size(a); i++)
        cr_expect(element(a, i) == x[i], "%s: element %d: %g, not %g", what, (int)i, element(a, i),
                  x[i]);
}

#define SHAPE(...)                                                                                 \
    (const int64_t[])                                                                              \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define ELEMENTS(...)                                                                              \
    (const double[])                                                                               \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

/* ---- what others have written ---------------------------------------------------------------- */

static void expect_sample(const char *name, tg_type type, int rank, const int64_t *shape,
                          const double *x)
{
    tg_ndarray *const a = parse_sample(name);
    expect_array(name, a, type, rank, shape, x);
    tg_ndarray_free(a);
}

Test(data_files, arrays_of_others_are_read)
{
    expect_sample("columns_first", TG_F64, 2, SHAPE(2, 3), ELEMENTS(1, 2, 3, 4, 5, 6.5));
    expect_sample("big_endian", TG_I64, 1, SHAPE(3), ELEMENTS(1, -2, 300));
    expect_sample("bytes", TG_I64, 3, SHAPE(1, 2, 2), ELEMENTS(0, 1, 2, 3));
    expect_sample("booleans", TG_I64, 1, SHAPE(2), ELEMENTS(1, 0));
    expect_sample("halves", TG_F32, 1, SHAPE(5), ELEMENTS(1.5, -0.25, 65504, 0x1p-24, INFINITY));
    expect_sample("number", TG_F32, 0, NULL, ELEMENTS(2.5));
    expect_sample("idx", TG_I64, 2, SHAPE(2, 3), ELEMENTS(1, 2, 3, 4, 5, 255));
    expect_sample("idx_reals", TG_F32, 1, SHAPE(2), ELEMENTS(1.5, -2));
}

static void expect_pair(const char *name, tg_type type, int64_t rows, int64_t columns,
                        const double *w)
{
    tg_archive *const a = parse_sample(name);
    cr_expect(a->n == 2 && a->notes == 0 && !tg_archive_find(a, "c"));
    expect_array(name, tg_archive_find(a, "W"), type, 2, SHAPE(rows, columns), w);
    expect_array(name, tg_archive_find(a, "b"), TG_I64, 1, SHAPE(1), ELEMENTS(7));
    tg_archive_free(a);
}

Test(data_files, archives_of_others_are_read)
{
    expect_pair("stored", TG_F32, 2, 2, ELEMENTS(1, 2, 3, 4));
    expect_pair("large", TG_F32, 2, 2, ELEMENTS(1, 2, 3, 4));
    tg_archive *a = parse_sample("reference");
    cr_expect(a->n == 1);
    expect_array("reference", tg_archive_find(a, "test"), TG_I64, 2, SHAPE(2, 2),
                 ELEMENTS(0, 0, 0, 0));
    tg_archive_free(a);
    a = parse_sample("types");
    cr_expect(a->n == 4 && a->notes == 2);
    expect_array("F32", tg_archive_find(a, "a/b"), TG_F32, 2, SHAPE(1, 2), ELEMENTS(1.25, -2));
    expect_array("BF16", tg_archive_find(a, "brain"), TG_F32, 1, SHAPE(2), ELEMENTS(1, -3));
    expect_array("F16", tg_archive_find(a, "half"), TG_F32, 1, SHAPE(2), ELEMENTS(0.5, -65504));
    expect_array("empty", tg_archive_find(a, "none"), TG_F64, 2, SHAPE(0, 3), NULL);
    cr_expect(strcmp(tg_archive_find_note(a, "format"), "pt") == 0);
    cr_expect(strcmp(tg_archive_find_note(a, "\xc3\xa9\n"), "\xf0\x9f\x98\x80") == 0);
    cr_expect(!tg_archive_find_note(a, "x"));
    tg_archive_free(a);
}

#ifdef TG_HAVE_ZLIB
Test(data_files, compressed_files_are_read)
{
    const double zeros[20] = { 0 };
    expect_pair("deflated", TG_F64, 4, 5, zeros);
    expect_sample("idx_gz", TG_I64, 2, SHAPE(2, 3), ELEMENTS(1, 2, 3, 4, 5, 255));
    expect_sample("idx_gz_parts", TG_I64, 2, SHAPE(2, 3), ELEMENTS(1, 2, 3, 4, 5, 255));
    const data_sample *const s = sample_named("flowers_gz");
    save(in_folder("flowers.csv"), s->bytes, s->size); /* the name does not matter */
    tg_dataset *const d = tg_csv_read(
        in_folder("flowers.csv"),
        &(tg_csv_options){ .header = true, .allow_missing = true, .label = "kind" }, &status);
    cr_assert(d, "%s", status.message);
    cr_expect(d->n == 3 && d->classes == 2);
    tg_dataset_free(d);
}
#else
Test(data_files, compressed_files_are_refused_without_zlib)
{
    for (int i = 0; i < data_sample_count; i++) {
        const data_sample *const s = data_samples + i;
        if (!strstr(s->name, "gz") && strcmp(s->name, "deflated") != 0) continue;
        cr_expect(!parse_bytes(s->form, s->bytes, s->size, &status));
        cr_expect(strstr(status.message, "built without zlib"), "%s", status.message);
    }
}
#endif

/* ---- arrays to write ------------------------------------------------------------------------- */

static double numbers[48];
static float singles[48];
static int64_t integers[48];

static const tg_ndarray there[] = {
    { TG_F64, 0, { 0 }, numbers },       { TG_F64, 1, { 48 }, numbers },
    { TG_F64, 2, { 0, 7 }, NULL },       { TG_F32, 2, { 6, 8 }, singles },
    { TG_F32, 3, { 2, 3, 1 }, singles }, { TG_I64, 8, { 1, 2, 1, 3, 1, 2, 2, 2 }, integers },
    { TG_I64, 1, { 3 }, integers },      { TG_F32, 1, { 1 }, singles },
};

static void fill(void)
{
    for (int i = 0; i < 48; i++) {
        numbers[i] = ldexp(1.1, i * 40 - 1000) * (i % 2 ? -1 : 1);
        singles[i] = (float)numbers[i];
        integers[i] = (int64_t)((uint64_t)i * UINT64_C(0x0123456789abcdef));
    }
    numbers[3] = INFINITY;
    integers[5] = INT64_MIN;
}

/* ---- every element of the small types -------------------------------------------------------- */

/* The value of binary16 by the formula of the standard. */
static double half_by_formula(unsigned bits)
{
    const int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023);
    const double size = exponent == 31 ? (fraction ? NAN : INFINITY)
                        : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                       : ldexp(fraction, -24);
    return bits >> 15 ? -size : size;
}

static double brain_by_formula(unsigned bits)
{
    const int exponent = (int)(bits >> 7 & 255), fraction = (int)(bits & 127);
    const double size = exponent == 255 ? (fraction ? NAN : INFINITY)
                        : exponent      ? ldexp(128 + fraction, exponent - 134)
                                        : ldexp(fraction, -133);
    return bits >> 15 ? -size : size;
}

static double signed_by_formula(unsigned bits)
{
    return bits < 32768 ? (double)bits : (double)bits - 65536;
}

/* Reads all words of 16 bits as a kind, in both byte orders, as its array and as doubles. */
static void each_word(tg__kind kind, double formula(unsigned bits))
{
    static uint8_t bytes[2 << 16];
    static double all[1 << 16];
    for (int big = 0; big < 2; big++) {
        for (unsigned i = 0; i < 1 << 16; i++) {
            bytes[2 * i + (unsigned)big] = (uint8_t)i;
            bytes[2 * i + !big] = (uint8_t)(i >> 8);
        }
        const tg__file file = { .name = "words", .data = bytes, .size = sizeof bytes };
        const tg__elements e = { .kind = kind, .big_endian = big, .rank = 1, .shape = { 1 << 16 } };
        tg_ndarray *const a = tg__elements_read(&file, &e, &status);
        tg__elements_read_f64(&file, &e, all);
        for (unsigned i = 0; i < 1 << 16; i++) {
            const double wanted = formula(i), x = element(a, i);
            const bool same =
                isnan(wanted) ? isnan(x) && isnan(all[i])
                              : x == wanted && all[i] == wanted && signbit(x) == signbit(wanted);
            cr_assert(same, "kind %d, word %x: %g, %g, not %g", (int)kind, i, x, all[i], wanted);
        }
        tg_ndarray_free(a);
    }
}

Test(data_files, every_word_of_16_bits_is_what_its_type_says)
{
    each_word(TG__FILE_F16, half_by_formula);
    each_word(TG__FILE_BF16, brain_by_formula);
    each_word(TG__FILE_S16, signed_by_formula);
}

Test(data_files, doubles_stay_as_they_are)
{
    fill();
    const tg__file file = { .name = "f8",
                            .data = (const uint8_t *)numbers,
                            .size = sizeof numbers };
    const tg__elements e = { .kind = TG__FILE_F64,
                             .big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__,
                             .rank = 1,
                             .shape = { 48 } };
    double out[48];
    tg__elements_read_f64(&file, &e, out);
    cr_expect(memcmp(out, numbers, sizeof out) == 0);
}

Test(data_files, integers_of_every_width_are_read)
{
    static const struct {
        tg__kind kind;
        const char *bytes;
        double x;
    } one[] = {
        { TG__FILE_S8, "\x80", -128 },
        { TG__FILE_S8, "\x7f", 127 },
        { TG__FILE_U8, "\xff", 255 },
        { TG__FILE_U16, "\xff\xfe", 65535 - 256 },
        { TG__FILE_S32, "\x00\x00\x00\x80", -2147483648.0 },
        { TG__FILE_S32, "\xff\xff\xff\x7f", 2147483647 },
        { TG__FILE_U32, "\xff\xff\xff\xff", 4294967295.0 },
        { TG__FILE_S64, "\xff\xff\xff\xff\xff\xff\xff\xff", -1 },
        { TG__FILE_U64, "\x00\x00\x00\x00\x00\x00\x00\x40", 0x1p62 },
        { TG__FILE_BOOL, "\x02", 1 },
    };
    for (int i = 0; i < COUNT(one); i++) {
        const tg__file file = { .name = "one",
                                .data = (const uint8_t *)one[i].bytes,
                                .size = tg__kind_size(one[i].kind) };
        const tg__elements e = { .kind = one[i].kind };
        tg_ndarray *const a = tg__elements_read(&file, &e, &status);
        cr_assert(a && a->type == TG_I64);
        cr_expect(element(a, 0) == one[i].x, "row %d: %.17g", i, element(a, 0));
        tg_ndarray_free(a);
    }
}

/* ---- there and back -------------------------------------------------------------------------- */

static void expect_same(const char *what, const tg_ndarray *a, const tg_ndarray *b)
{
    cr_assert(a && b && a->type == b->type && a->rank == b->rank, "%s", what);
    cr_expect(memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0, "%s", what);
    const size_t bytes = (size_t)tg_ndarray_size(a) * (a->type == TG_F32 ? 4 : 8);
    cr_expect(bytes == 0 || memcmp(a->data, b->data, bytes) == 0, "%s", what);
}

Test(data_files, arrays_come_back_as_they_were)
{
    fill();
    for (int i = 0; i < COUNT(there); i++) {
        const char *const path = in_folder("a.npy");
        cr_assert(tg_ndarray_write(there + i, path, &status), "%s", status.message);
        tg_ndarray *const back = tg_ndarray_read(path, &status);
        cr_assert(back, "%s", status.message);
        expect_same(path, there + i, back);
        tg_ndarray_free(back);
        size_t size;
        char *const bytes = load(path, &size);
        cr_expect((10 + (unsigned char)bytes[8] + 256 * bytes[9]) % 64 == 0,
                  "elements are aligned");
        free(bytes);
    }
    cr_expect(remove_folder() == 1, "no other file is left");
}

static tg_archive *archive_of_all(void)
{
    char name[32];
    fill();
    tg_archive *const a = tg_archive_new();
    for (int i = 0; i < COUNT(there); i++) {
        snprintf(name, sizeof name, "%s%d", i % 2 ? "layer/\"" : "\xc3\xa4\\", i);
        cr_assert(tg_archive_add(a, name, there + i, &status), "%s", status.message);
    }
    return a;
}

static void expect_round_trip(const tg_archive *a, const char *name)
{
    cr_assert(tg_archive_write(a, in_folder(name), &status), "%s", status.message);
    tg_archive *const back = tg_archive_read(in_folder(name), &status);
    cr_assert(back, "%s", status.message);
    cr_expect(back->n == a->n && back->notes == a->notes);
    for (size_t i = 0; i < a->n; i++)
        expect_same(a->name[i], a->array[i], tg_archive_find(back, a->name[i]));
    for (size_t i = 0; i < a->notes; i++)
        cr_expect(strcmp(tg_archive_find_note(back, a->key[i]), a->note[i]) == 0);
    tg_archive_free(back);
}

Test(data_files, archives_come_back_as_they_were)
{
    tg_archive *const a = archive_of_all(), *const empty = tg_archive_new();
    expect_round_trip(a, "a.npz");
    expect_round_trip(empty, "empty.npz");
    expect_round_trip(empty, "empty.safetensors");
    char all[128] = "";
    for (int i = 1; i < 128; i++) all[i - 1] = (char)i;
    cr_assert(tg_archive_note(a, "all of ASCII", all, &status));
    cr_assert(tg_archive_note(a, all, "", &status));
    expect_round_trip(a, "a.safetensors");
    tg_archive_free(a);
    tg_archive_free(empty);
}

Test(data_files, safetensors_are_written_as_the_reference_writes_them)
{
    const float w[2] = { 1, -2 };
    const int64_t k[1] = { 3 };
    static const char wanted[] =
        "{\"__metadata__\":{\"format\":\"pt\"},\"k\":{\"dtype\":\"I64\",\"shape\":[],\"data_"
        "offsets\":[0,8]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[8,16]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]}}";
    tg_archive *const a = tg_archive_new();
    cr_assert(tg_archive_add(a, "b", &(tg_ndarray){ TG_F32, 1, { 2 }, w }, &status) &&
              tg_archive_add(a, "k", &(tg_ndarray){ TG_I64, 0, { 0 }, k }, &status) &&
              tg_archive_add(a, "a", &(tg_ndarray){ TG_F32, 2, { 1, 2 }, w }, &status) &&
              tg_archive_note(a, "format", "pt", &status) &&
              tg_archive_write(a, in_folder("a.safetensors"), &status));
    size_t size;
    char *const bytes = load(in_folder("a.safetensors"), &size);
    const size_t header = (size_t)(unsigned char)bytes[0];
    cr_expect(header % 8 == 0 && header >= sizeof wanted - 1 && size == 8 + header + 24);
    cr_expect(memcmp(bytes + 8, wanted, sizeof wanted - 1) == 0, "%.*s", (int)header, bytes + 8);
    for (size_t i = sizeof wanted - 1; i < header; i++) cr_expect(bytes[8 + i] == ' ');
    free(bytes);
    tg_archive_free(a);
}

/* ---- tables ---------------------------------------------------------------------------------- */

static tg_dataset *table_of(const char *text, const tg_csv_options *options)
{
    const tg__file file = { .name = "t.csv", .data = (const uint8_t *)text, .size = strlen(text) };
    tg_dataset *const d = tg__csv_parse(&file, options, &status);
    cr_assert(d, "%s", status.message);
    return d;
}

static void expect_table(tg_dataset *d, int64_t n, int64_t columns, const double *x)
{
    cr_assert(d->n == n && d->d == columns, "(%d, %d)", (int)d->n, (int)d->d);
    for (int64_t i = 0; i < n * columns; i++)
        cr_expect(d->x[i] == x[i] || (isnan(d->x[i]) && isnan(x[i])), "number %d: %g", (int)i,
                  d->x[i]);
}

Test(data_files, tables_are_read)
{
    tg_dataset *d = parse_sample("flowers");
    expect_table(d, 3, 2, ELEMENTS(1.5, 2, -300, 4, 5, NAN));
    cr_expect(d->classes == 2 && d->label[0] == 0 && d->label[1] == 1 && d->label[2] == 0);
    cr_expect(strcmp(d->class_name[0], "setosa") == 0 &&
              strcmp(d->class_name[1], "vir\nginica") == 0);
    cr_expect(strcmp(d->feature[0], "width") == 0 && strcmp(d->feature[1], "le\"ngth") == 0);
    tg_dataset_free(d);

    d = table_of("1;2;0\n3;4;7\n", &(tg_csv_options){ .separator = ';', .label = "-1" });
    expect_table(d, 2, 2, ELEMENTS(1, 2, 3, 4));
    cr_expect(d->classes == 8 && d->label[1] == 7 && !d->class_name && !d->feature);
    tg_dataset_free(d);

    d = table_of("a\tb\tc\n1\t\t3\n",
                 &(tg_csv_options){ .separator = '\t',
                                    .header = true,
                                    .allow_missing = true,
                                    .target = (const char *[]){ "c", "0", NULL } });
    expect_table(d, 1, 1, ELEMENTS(NAN));
    cr_expect(d->targets == 2 && d->y[0] == 3 && d->y[1] == 1 && !d->label && !d->classes);
    tg_dataset_free(d);

    d = table_of(
        "1 2 3\r4 5 6",
        &(tg_csv_options){ .separator = ' ', .feature = (const char *[]){ "2", "-3", NULL } });
    expect_table(d, 2, 2, ELEMENTS(3, 1, 6, 4));
    tg_dataset_free(d);
}

/* A quote inside a field without quotes is one; quoted fields behind it may still hold line ends. */
Test(data_files, quotes_within_fields_do_not_confuse)
{
    tg_dataset *const d =
        table_of("5\"x,\"a\nb,\"\"c\",1\ny,\"\",2\n",
                 &(tg_csv_options){ .label = "0", .feature = (const char *[]){ "2", NULL } });
    expect_table(d, 2, 1, ELEMENTS(1, 2));
    cr_expect(strcmp(d->class_name[0], "5\"x") == 0 && strcmp(d->class_name[1], "y") == 0);
    tg_dataset_free(d);
}

Test(data_files, numbers_have_a_point_in_every_locale)
{
    bool found = false;
    for (const char *const *l =
             (const char *const[]){ "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8", NULL };
         *l; l++)
        found = found || setlocale(LC_ALL, *l);
    tg_dataset *const d = table_of("15e-1,2\n", NULL);
    expect_table(d, 1, 2, ELEMENTS(1.5, 2));
    tg_dataset_free(d);
    if (!found) cr_log_info("no locale with a decimal comma is installed");
}

/* Whatever is short is not left to strtod: both must agree, to the last bit. */
Test(data_files, numbers_are_read_to_the_nearest_double)
{
    static const char *const few[] = { "0",
                                       "-0",
                                       "1.",
                                       ".5",
                                       "+7",
                                       "1e5",
                                       "-1E-3",
                                       "inf",
                                       "-Infinity",
                                       "123456789012345",
                                       "1234567890123456",
                                       "9007199254740993",
                                       "0.000000000000001",
                                       "0.0000000000000001",
                                       "1e-400",
                                       "4.9e-324",
                                       "1.7976931348623157e308",
                                       "00012.50" };
    char text[40];
    for (int i = 0; i < 20000; i++) {
        if (i < COUNT(few)) strcpy(text, few[i]);
        else
            snprintf(text, sizeof text, i % 2 ? "%.*f" : "%.*g", i % 17,
                     sin(i) * pow(10, i % 9 - 3));
        const double wanted = strtod(text, NULL);
        tg_dataset *const d = table_of(text, NULL);
        cr_assert(memcmp(d->x, &wanted, sizeof wanted) == 0, "%s: %.17g, not %.17g", text, d->x[0],
                  wanted);
        tg_dataset_free(d);
    }
    const char *const no[] = { ".", "-", "1.2.3", "1e", "--1", "1-", "0x1", "nan(1)" };
    for (int i = 0; i < COUNT(no); i++) {
        const tg__file file = { .name = "t.csv",
                                .data = (const uint8_t *)no[i],
                                .size = strlen(no[i]) };
        cr_expect(!tg__csv_parse(&file, &(tg_csv_options){ .allow_missing = true }, NULL), "%s",
                  no[i]);
    }
}

/* ---- what is wrong is said ------------------------------------------------------------------- */

/* Parses a text as a table; the message must be this. */
static void expect_table_error(const char *text, const tg_csv_options *options, const char *message)
{
    const tg__file file = { .name = "t.csv", .data = (const uint8_t *)text, .size = strlen(text) };
    status.message[0] = 0;
    tg_dataset *const d = tg__csv_parse(&file, options, &status);
    cr_expect(!d && strcmp(status.message, message) == 0, "\"%s\", not \"%s\"", status.message,
              message);
    tg_dataset_free(d);
}

Test(data_files, a_mistake_in_a_table_is_named_with_line_and_column)
{
    const tg_csv_options header = { .header = true, .label = "k" };
    expect_table_error("1,2\n3,x4\n", NULL, "t.csv: line 2, column 2: 'x4' is not a number");
    expect_table_error("w,k\n1,0\n\n0x10,0\n", &header,
                       "t.csv: line 4, column 1 (w): '0x10' is not a number");
    expect_table_error("1,2\n3,\n", NULL, "t.csv: line 2, column 2: the value is missing");
    expect_table_error("1,NaN\n", NULL, "t.csv: line 1, column 2: the value is missing");
    expect_table_error("w,k\n1,?\n", &header, "t.csv: line 2, column 2 (k): the label is missing");
    expect_table_error("1,2\n3\n", NULL, "t.csv: line 2: fields: 1, but 2 in the first line");
    expect_table_error("1,\"2\n3\n", NULL,
                       "t.csv: line 1, column 2: a quoted field without a closing quote");
    expect_table_error("\"1\" 2,3\n", NULL, "t.csv: line 1, column 1: '2' after a closing quote");
    expect_table_error("\"1\n\",3\n5,1e999\n", NULL,
                       "t.csv: line 1, column 1: '1\n' is not a number");
    expect_table_error("1,\"\n\"\n5,1e999\n",
                       &(tg_csv_options){ .feature = (const char *[]){ "1", NULL },
                                          .allow_missing = true,
                                          .label = "1" },
                       "t.csv: line 1, column 2: '\n' is not a number");
    expect_table_error("1,1e999\n", NULL,
                       "t.csv: line 1, column 2: 1e999 is too large for a number");
    expect_table_error("", NULL, "t.csv: line 1: the file has no rows");
    expect_table_error("w,k\n", &header, "t.csv: line 2: the file has no rows");
    expect_table_error("a,b\n1,2\n", &header, "t.csv: no column \"k\" among 2");
    expect_table_error(
        "1,2\n", &(tg_csv_options){ .label = "2" },
        "t.csv: no column \"2\" among 2 (without a header they have numbers, from 0)");
    expect_table_error("1,2\n", &(tg_csv_options){ .separator = '"' },
                       "t.csv: quotes and line ends cannot separate fields");
    const tg__file zero = { .name = "t.csv", .data = (const uint8_t *)"1,\0", .size = 3 };
    cr_expect(!tg__csv_parse(&zero, NULL, &status));
    cr_expect(strcmp(status.message, "t.csv: byte 2: a zero byte: no text") == 0, "%s",
              status.message);
}

/* A sample with some bytes replaced. */
typedef struct spoiled {
    const char *sample;
    int at; /* from the end, if negative */
    const char *bytes;
    const char *message; /* without "sample: " */
} spoiled;

static const spoiled wrong_files[] = {
    { "number", 0, "x", "byte 0: neither .npy nor IDX" },
    { "number", 1, "n", "byte 0: an .npy file begins with \\x93NUMPY and a version" },
    { "number", 6, "\4", "byte 6: version 4.0 of .npy is none of 1.0, 2.0, 3.0" },
    { "number", 9, "\2", "byte 8: the file ends within its header" },
    { "number", 10, "[", "byte 10: the header is not a dictionary: no {" },
    { "number", 12, "D", "byte 18: the header: a key that should not be here" },
    { "number", 21, "=", "byte 25: descr: this type is not read; f8, f4, f2, integers and b1 are" },
    { "number", 21, "<c8",
      "byte 25: descr: this type is not read; f8, f4, f2, integers and b1 are" },
    { "columns_first", 44, "X", "byte 44: fortran_order: not True or False" },
    { "columns_first", 61, "[", "byte 61: shape: not a tuple such as (3, 2)" },
    { "columns_first", 60, "9", "byte 176: the file ends here, with 48 bytes of elements of 216" },
    { "columns_first", 60, "1", "byte 152: 24 bytes after the last element" },
    { "columns_first", 126, "x", "byte 126: the header: more after its dictionary" },
    { "columns_first", 59, "(9223372036854775807,9),}",
      "byte 10: this shape is too large for any file" },
    { "columns_first", 59, "(1,1,1,1,1,1,1,1,1),}", "byte 77: shape: more axes than TG_MAX_RANK" },
    { "idx", 1, "\1", "byte 0: an IDX file begins with two zero bytes, type, rank" },
    { "idx", 2, "\7", "byte 2: type 0x07 is none of IDX" },
    { "idx", 3, "\11", "byte 3: rank 9 is above 8" },
    { "idx", 4, "\377", "byte 18: the file ends here, with 6 bytes of elements of 12834570246" },
    { "idx", 3, "\10", "byte 18: the header is cut off" },
    { "reference", 7, "\1",
      "byte 0: neither .safetensors nor .npz: a header of 72057594037927996 bytes in a file of "
      "84" },
    { "reference", 8, "[", "byte 8: the header does not begin with {" },
    { "reference", 26, "I31", "byte 30: type \"I31\" of \"test\" is not read" },
    { "reference", 39, "[3", "byte 9: \"test\" has 16 bytes, which type and shape contradict" },
    { "reference", 61, "1", "byte 9: \"test\" begins at byte 1 of the data, a hole: 0 are taken" },
    { "reference", 63, "99", "byte 9: \"test\" ends at byte 99 of the data, which are 16" },
    { "reference", 63, "08", "byte 65: the header: no whole number here" },
    { "reference", 18, "D", "byte 24: the header: a key that should not be here" },
    { "types", 29, "\1", "byte 29: the header: a string with a character that cannot stand in it" },
    { "stored", -1, "\1", "byte 510: a zip without its end record: the file is cut off" },
    { "stored", 100, "x", "byte 386: the entry's size or checksum is not what this says" },
    { "stored", 30, "V", "byte 0: this does not agree with the zip's directory" },
    { "stored", 394, "\1", "byte 386: this entry is encrypted" },
    { "stored", 396, "\14", "byte 0: this does not agree with the zip's directory" },
    { "stored", 386, "X", "byte 386: no entry of the zip's directory here" },
    { "stored", -6, "\377", "byte 488: the zip's directory does not lie before its end" },
    { "large", 608, "\377", "byte 600: no zip64 end record where this says" },
};

Test(data_files, a_mistake_in_a_file_is_named_with_its_byte)
{
    char bytes[2048], wanted[300];
    for (int i = 0; i < COUNT(wrong_files); i++) {
        const spoiled *const w = wrong_files + i;
        const data_sample *const s = sample_named(w->sample);
        cr_assert(s->size < sizeof bytes);
        memcpy(bytes, s->bytes, s->size);
        const int at = w->at < 0 ? (int)s->size + w->at : w->at;
        memcpy(bytes + at, w->bytes, strlen(w->bytes));
        snprintf(wanted, sizeof wanted, "sample: %s", w->message);
        void *const parsed = parse_bytes(s->form, bytes, s->size, &status);
        cr_expect(!parsed && status.code == TG_ERROR_FORMAT && strcmp(status.message, wanted) == 0,
                  "row %d: %s: \"%s\", not \"%s\"", i, w->sample,
                  parsed ? "accepted" : status.message, wanted);
        if (parsed) drop_parsed(s->form, parsed);
    }
}

/* What the directory and an entry say alike: local header and directory are spoiled together. */
Test(data_files, an_entry_that_cannot_be_read_is_named)
{
    static const struct {
        int at, in_directory;
        const char *bytes, *message;
    } both[] = {
        { 8, 396, "\14",
          "sample: byte 386: compressed by method 12: only stored and deflated are read" },
        { 34, 436, "z", "sample: byte 386: this entry is no .npy file" },
        { 30, 432, "\377", "sample: byte 386: this entry's name is not UTF-8" },
    };
    const data_sample *const s = sample_named("stored");
    char bytes[1024];
    for (int i = 0; i < COUNT(both); i++) {
        memcpy(bytes, s->bytes, s->size);
        bytes[both[i].at] = bytes[both[i].in_directory] = both[i].bytes[0];
        void *const parsed = parse_bytes(ARCHIVE, bytes, s->size, &status);
        cr_expect(!parsed && strcmp(status.message, both[i].message) == 0, "%s", status.message);
        if (parsed) drop_parsed(ARCHIVE, parsed);
    }
    /* Both entries of the directory lead to the first one's bytes. */
    memcpy(bytes, s->bytes, s->size);
    memcpy(bytes + 437, s->bytes + 386, 51);
    cr_expect(!parse_bytes(ARCHIVE, bytes, s->size, &status));
    cr_expect(strcmp(status.message, "sample: byte 0: two entries of the zip share these bytes") ==
                  0,
              "%s", status.message);
}

Test(data_files, what_npz_cannot_hold_is_refused)
{
    static char name[70000];
    memset(name, 'n', sizeof name - 1);
    tg_archive *const a = tg_archive_new();
    cr_assert(tg_archive_add(a, name, there + 2, &status));
    cr_expect(!tg_archive_write(a, in_folder("a.npz"), &status) &&
              status.code == TG_ERROR_ARGUMENT);
    cr_expect(strstr(status.message, "a.npz: a name of 70003 bytes is too long"), "%s",
              status.message);
    cr_expect(tg_archive_write(a, in_folder("a.safetensors"), &status), "%s", status.message);
    tg_archive_free(a);
    tg_archive many = { .n = 65535 };
    many.name = calloc(many.n, sizeof *many.name);
    many.array = calloc(many.n, sizeof *many.array);
    for (size_t i = 0; i < many.n; i++) {
        many.name[i] = name + sizeof name - 2;
        many.array[i] = (tg_ndarray *)(uintptr_t)(there + 2);
    }
    cr_expect(!tg_archive_write(&many, in_folder("a.npz"), &status) &&
              status.code == TG_ERROR_ARGUMENT);
    cr_expect(strstr(status.message, "65535 arrays of 10682205 bytes are too much for .npz"), "%s",
              status.message);
    free(many.name);
    free(many.array);
}

/* Texts after the length of the header, and the message behind "sample: ". */
static const char *const wrong_headers[][2] = {
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"b\":{\"dtype\":\"U8\","
      "\"shape\":[1],"
      "\"data_offsets\":[0,1]}}",
      "byte 61: \"b\" begins at byte 0 of the data, an overlap: 1 are taken" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\","
      "\"shape\":[0],"
      "\"data_offsets\":[1,1]}}",
      "byte 0: has two entries \"a\"" },
    { "{\"__metadata__\":{\"a\":\"\",\"a\":\"\"},\"b\":{\"dtype\":\"U8\",\"shape\":[],\"data_"
      "offsets\":[0,1]}}",
      "byte 0: has two entries \"a\"" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[0,9223372036854775807,9],\"data_offsets\":[0,0]}}",
      "byte 9: \"a\" has 0 bytes, which type and shape contradict" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[9223372036854775808],\"data_offsets\":[0,1]}}",
      "byte 54: this number is too large" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}",
      "byte 52: shape: more axes than TG_MAX_RANK" },
    { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}",
      "byte 39: the header: an array lacks dtype, shape or data_offsets" },
    { "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\"}}",
      "byte 34: the header: a key that should not be here" },
    { "{}", "byte 10: 1 bytes that belong to no array" },
    { "{} {}", "byte 11: the header: more after its object" },
    { "{\"a\":[]}", "byte 13: the header: an array is described by an object: no {" },
    { "{\"\\ud800\":{}}",
      "byte 16: the header: a string with a character that cannot stand in it" },
    { "{\"\\u0000\":{}}",
      "byte 12: the header: a string with a character that cannot stand in it" },
    { "{\"\\ud800\\u0041\":{}}",
      "byte 16: the header: a string with a character that cannot stand in it" },
    { "{\"\xff\":{}}", "byte 10: the header: a string with a character that cannot stand in it" },
    { "{\"\xc0\xaf\":{}}",
      "byte 10: the header: a string with a character that cannot stand in it" },
    { "{\"\xed\xa0\x80\":{}}",
      "byte 10: the header: a string with a character that cannot stand in it" },
    { "{\"a", "byte 10: the header: a string without an end" },
    { "{\"a\\", "byte 10: the header: a string without an end" },
    { "{\"__metadata__\":{\"a\":1}}", "byte 29: the header: no string here" },
    { "{\"__metadata__\":{\"a\",1}}", "byte 28: __metadata__: a key without a string" },
    { "{\"__metadata__\":{\"a\":\"b\"]}",
      "byte 32: the header: no comma here, and no closing bracket" },
};

Test(data_files, a_header_that_the_reference_refuses_is_refused)
{
    char bytes[400], wanted[300];
    for (int i = 0; i < COUNT(wrong_headers); i++) {
        const size_t n = strlen(wrong_headers[i][0]);
        memset(bytes, 0, sizeof bytes);
        bytes[0] = (char)n;
        memcpy(bytes + 8, wrong_headers[i][0], n); /* and one byte of data */
        snprintf(wanted, sizeof wanted, "sample: %s", wrong_headers[i][1]);
        void *const parsed = parse_bytes(ARCHIVE, bytes, 8 + n + 1, &status);
        cr_expect(!parsed && strcmp(status.message, wanted) == 0, "%s: \"%s\", not \"%s\"",
                  wrong_headers[i][0], status.message, wanted);
        if (parsed) drop_parsed(ARCHIVE, parsed);
    }
}

Test(data_files, a_number_above_the_largest_is_an_error)
{
    const char text[] =
        "\x93NUMPY\1\0\x42\0{'shape': (2,), 'fortran_order': False, 'descr': '<u8'}          \n"
        "\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x80";
    cr_expect(!parse_bytes(ARRAY, text, sizeof text - 1, &status));
    cr_expect(strcmp(status.message, "sample: byte 84: a number above 2^63 - 1") == 0, "%s",
              status.message);
}

Test(data_files, a_status_is_not_needed)
{
    cr_expect(!tg_ndarray_read(in_folder("nothing.npy"), NULL) && !tg_csv_read(NULL, NULL, NULL));
    cr_expect(!tg_archive_read(in_folder("nothing.npz"), &status) && status.code == TG_ERROR_FILE);
    cr_expect(strstr(status.message, "/nothing.npz: cannot be opened: No such file or directory"),
              "%s", status.message);
    cr_expect(!tg_ndarray_read(folder, &status) &&
                  strstr(status.message, "cannot be read: Is a directory"),
              "%s", status.message);
    save(in_folder("empty"), "", 0);
    cr_expect(!tg_ndarray_read(in_folder("empty"), &status) &&
              strstr(status.message, "empty: byte 0: the file is empty"));
}

/* ---- nothing is trusted ---------------------------------------------------------------------- */

/* Parses, looks at everything, and forgets. Returns whether it was accepted. */
static bool survives(const data_sample *s, const char *bytes, size_t size)
{
    status.message[0] = 0;
    void *const parsed = parse_bytes(s->form, bytes, size, &status);
    if (parsed) look_through(s->form, parsed);
    else cr_expect(strncmp(status.message, "sample: ", 8) == 0, "\"%s\"", status.message);
    if (parsed) drop_parsed(s->form, parsed);
    return parsed;
}

/* A table may end anywhere after its first row. Arrays and archives, and all that is compressed, know
   where they end; of a zip's comment, the length is known. */
Test(data_files, a_file_that_is_cut_off_anywhere_is_an_error)
{
    for (int i = 0; i < data_sample_count; i++) {
        const data_sample *const s = data_samples + i;
        const bool open = s->form == TABLE && s->bytes[0] != 0x1f;
        for (size_t n = 0; n < s->size; n++) {
            const bool accepted = survives(s, s->bytes, n);
            /* The first member of two is a gzip of its own, and half an IDX file: no array. */
            cr_expect(!accepted || open, "%s is accepted after %zu bytes", s->name, n);
        }
    }
}

Test(data_files, any_byte_may_be_any_other, .timeout = 120)
{
    char bytes[2048];
    for (int i = 0; i < data_sample_count; i++) {
        const data_sample *const s = data_samples + i;
        memcpy(bytes, s->bytes, s->size);
        for (size_t n = 0; n < s->size; n++) {
            for (int change = 1; change < 256; change += change < 4 ? 1 : 7) {
                bytes[n] = (char)(s->bytes[n] ^ change);
                survives(s, bytes, s->size);
            }
            bytes[n] = s->bytes[n];
        }
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

static const double kept[3] = { 1, 2, 3 };
static const tg_ndarray old_array = { TG_F64, 1, { 3 }, kept };

static void expect_kept(const char *path)
{
    tg_ndarray *const a = tg_ndarray_read(path, &status);
    expect_array(path, a, TG_F64, 1, SHAPE(3), kept);
    tg_ndarray_free(a);
}

Test(data_files, a_failure_leaves_the_old_file)
{
    static const double many[4096];
    const char *const path = in_folder("x.npy");
    cr_assert(tg_ndarray_write(&old_array, path, &status));
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 4096; /* a disk that is full after this */
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limit);
    const bool written =
        tg_ndarray_write(&(tg_ndarray){ TG_F64, 1, { 4096 }, many }, path, &status);
    setrlimit(RLIMIT_FSIZE, &before);
    cr_expect(!written && status.code == TG_ERROR_FILE &&
                  strstr(status.message, "/x.npy: cannot be written: File too large"),
              "%s", status.message);
    expect_kept(path);
    cr_expect(remove_folder() == 1, "no other file is left");
}

Test(data_files, an_archive_that_cannot_be_written_leaves_the_old_file)
{
    tg_archive *const a = tg_archive_new();
    cr_assert(tg_archive_note(a, "k", "v", &status));
    cr_assert(tg_ndarray_write(&old_array, in_folder("x.npz"), &status));
    cr_expect(!tg_archive_write(a, in_folder("x.npz"), &status));
    cr_expect(strstr(status.message,
                     "x.npz: an .npz cannot hold the archive's 1 notes; .safetensors can"),
              "%s", status.message);
    expect_kept(in_folder("x.npz"));
    cr_expect(remove_folder() == 1, "no other file is left");
    tg_archive_free(a);
}

Test(data_files, only_files_are_replaced)
{
    struct stat about;
    cr_assert(mkfifo(in_folder("pipe"), 0600) == 0);
    cr_expect(!tg_ndarray_write(&old_array, in_folder("pipe"), &status) &&
              strstr(status.message, "/pipe: cannot be written: it is no file"));
    cr_expect(stat(in_folder("pipe"), &about) == 0 && S_ISFIFO(about.st_mode));
    cr_expect(!tg_ndarray_write(&old_array, folder, &status) &&
              strstr(status.message, "it is no file"));
    cr_expect(!tg_ndarray_write(&old_array, in_folder("none/x.npy"), &status) &&
              strstr(status.message, "none/x.npy: cannot be written: No such file or directory"));
    cr_expect(!tg_ndarray_write(&old_array, "", &status) && status.code == TG_ERROR_FILE);
    cr_expect(!tg_ndarray_write(&old_array, NULL, &status) && status.code == TG_ERROR_ARGUMENT);
}

Test(data_files, a_link_stays_and_what_it_leads_to_is_replaced)
{
    struct stat about;
    save(in_folder("real"), "old", 3);
    cr_assert(chmod(in_folder("real"), 0640) == 0 && symlink("real", in_folder("link")) == 0);
    cr_assert(tg_ndarray_write(&old_array, in_folder("link"), &status), "%s", status.message);
    cr_expect(lstat(in_folder("link"), &about) == 0 && S_ISLNK(about.st_mode));
    cr_expect(stat(in_folder("real"), &about) == 0 && (about.st_mode & 0777) == 0640,
              "the mode stays");
    expect_kept(in_folder("real"));
    umask(027);
    cr_assert(tg_ndarray_write(&old_array, in_folder("new"), &status));
    cr_expect(stat(in_folder("new"), &about) == 0 && (about.st_mode & 0777) == 0640,
              "as the user wants new files");
}

Test(data_files, a_file_in_the_working_directory_is_written)
{
    cr_assert(chdir(folder) == 0);
    cr_expect(tg_ndarray_write(&old_array, "here.npy", &status), "%s", status.message);
    expect_kept("here.npy");
    cr_assert(chdir("/") == 0);
}

static void expect_refused(bool done, tg_code code, const char *message)
{
    cr_expect(!done && status.code == code && strcmp(status.message, message) == 0,
              "\"%s\", not \"%s\"", status.message, message);
}

Test(data_files, what_cannot_be_kept_is_refused)
{
    tg_archive *const a = tg_archive_new();
    cr_assert(tg_archive_add(a, "x", &old_array, &status) && tg_archive_note(a, "k", "", &status));
    expect_refused(tg_archive_add(a, "x", &old_array, &status), TG_ERROR_ARGUMENT,
                   "the archive has an array \"x\" already");
    expect_refused(tg_archive_add(a, "__metadata__", &old_array, &status), TG_ERROR_ARGUMENT,
                   "an array cannot be named \"__metadata__\"");
    expect_refused(tg_archive_add(a, "", &old_array, &status), TG_ERROR_ARGUMENT,
                   "an array cannot be named \"\"");
    expect_refused(tg_archive_add(a, "\xff", &old_array, &status), TG_ERROR_ARGUMENT,
                   "the name of an array is not UTF-8");
    expect_refused(tg_archive_add(a, NULL, &old_array, &status), TG_ERROR_ARGUMENT,
                   "the name of an array is NULL");
    expect_refused(tg_archive_add(NULL, "y", &old_array, &status), TG_ERROR_ARGUMENT,
                   "the archive is NULL");
    expect_refused(tg_archive_add(a, "y", NULL, &status), TG_ERROR_ARGUMENT,
                   "y: the array is NULL");
    expect_refused(tg_archive_add(a, "y", &(tg_ndarray){ (tg_type)9, 0, { 0 }, kept }, &status),
                   TG_ERROR_TYPE, "y: the array's type 9 is none of TG_F64, TG_F32, TG_I64");
    expect_refused(tg_archive_add(a, "y", &(tg_ndarray){ TG_F64, 9, { 0 }, kept }, &status),
                   TG_ERROR_SHAPE, "y: the array's rank 9 is not in 0 ... 8");
    expect_refused(tg_archive_add(a, "y", &(tg_ndarray){ TG_F64, 1, { -1 }, kept }, &status),
                   TG_ERROR_SHAPE, "y: axis 0 of the array has size -1");
    expect_refused(
        tg_archive_add(a, "y", &(tg_ndarray){ TG_F64, 2, { INT64_MAX, 3 }, kept }, &status),
        TG_ERROR_SHAPE, "y: the array is too large for memory");
    expect_refused(tg_archive_add(a, "y", &(tg_ndarray){ TG_F64, 1, { 1 }, NULL }, &status),
                   TG_ERROR_ARGUMENT, "y: the array's data are NULL");
    expect_refused(tg_archive_note(a, "k", "", &status), TG_ERROR_ARGUMENT,
                   "the archive has a note \"k\" already");
    expect_refused(tg_archive_note(a, "l", NULL, &status), TG_ERROR_ARGUMENT, "a note is NULL");
    expect_refused(tg_archive_note(NULL, "l", "", &status), TG_ERROR_ARGUMENT,
                   "the archive is NULL");
    expect_refused(tg_archive_write(NULL, "x", &status), TG_ERROR_ARGUMENT, "the archive is NULL");
    cr_expect(a->n == 1 && a->notes == 1);
    tg_archive_free(a);
    tg_archive_free(NULL);
    tg_ndarray_free(NULL);
}
