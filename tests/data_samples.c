/* Files as other programs write them, byte by byte: see data_samples.h. */
#include "data_samples.h"

#include <stdlib.h>
#include <string.h>

/* clang-format off */
#define FILE_OF(...) __VA_ARGS__, sizeof(__VA_ARGS__) - 1

const data_sample data_samples[] = {
/* NumPy */
{ "columns_first", ARRAY, FILE_OF(
    "\223NUMPY\001\000v\000{'descr': '<f8', 'fortran_order': True, 'shape': (2, 3), }        "
    "                                                   \n\000\000\000\000\000\000\360\077"
    "\000\000\000\000\000\000\020@\000\000\000\000\000\000\000@\000\000\000\000\000\000\024@"
    "\000\000\000\000\000\000\010@\000\000\000\000\000\000\032@") },

/* NumPy */
{ "big_endian", ARRAY, FILE_OF(
    "\223NUMPY\002\000t\000\000\000{'descr': '>i2', 'fortran_order': False, 'shape': (3,), } "
    "                                                         \n\000\001\377\376\001,") },

/* NumPy */
{ "bytes", ARRAY, FILE_OF(
    "\223NUMPY\003\000t\000\000\000{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 2"
    "), }                                                     \n\000\001\002\003") },

/* NumPy */
{ "booleans", ARRAY, FILE_OF(
    "\223NUMPY\001\000v\000{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }         "
    "                                                   \n\001\000") },

/* NumPy */
{ "halves", ARRAY, FILE_OF(
    "\223NUMPY\001\000v\000{'descr': '<f2', 'fortran_order': False, 'shape': (5,), }         "
    "                                                   \n\000>\000\264\377{\001\000\000|") },

/* NumPy */
{ "number", ARRAY, FILE_OF(
    "\223NUMPY\001\000v\000{'descr': '<f4', 'fortran_order': False, 'shape': (), }           "
    "                                                   \n\000\000 @") },

/* NumPy */
{ "stored", ARCHIVE, FILE_OF(
    "PK\003\004-\000\000\000\000\000\000\000!\000N\373 u\377\377\377\377\377\377\377\377\005"
    "\000\024\000W.npy\001\000\020\000\220\000\000\000\000\000\000\000\220\000\000\000\000"
    "\000\000\000\223NUMPY\001\000v\000{'descr': '<f4', 'fortran_order': False, 'shape': (2, "
    "2), }                                                          \n\000\000\200\077\000"
    "\000\000@\000\000@@\000\000\200@PK\003\004-\000\000\000\000\000\000\000!\000}Gyj\377\377"
    "\377\377\377\377\377\377\005\000\024\000b.npy\001\000\020\000\204\000\000\000\000\000"
    "\000\000\204\000\000\000\000\000\000\000\223NUMPY\001\000v\000{'descr': '<i4', 'fortran_"
    "order': False, 'shape': (1,), }                                                         "
    "   \n\007\000\000\000PK\001\002-\003-\000\000\000\000\000\000\000!\000N\373 u\220\000"
    "\000\000\220\000\000\000\005\000\000\000\000\000\000\000\000\000\000\000\200\001\000\000"
    "\000\000W.npyPK\001\002-\003-\000\000\000\000\000\000\000!\000}Gyj\204\000\000\000\204"
    "\000\000\000\005\000\000\000\000\000\000\000\000\000\000\000\200\001\307\000\000\000b.np"
    "yPK\005\006\000\000\000\000\002\000\002\000f\000\000\000\202\001\000\000\000\000") },

/* NumPy */
{ "deflated", ARCHIVE, FILE_OF(
    "PK\003\004-\000\000\000\010\000\000\000!\0003\277\322\025\377\377\377\377\377\377\377"
    "\377\005\000\024\000W.npy\001\000\020\000 \001\000\000\000\000\000\000I\000\000\000\000"
    "\000\000\000\233\354\027\352\033\020\311\310P\306P\255\236\222Z\234\\\244n\245\240n\223f"
    "\241\256\243\240\236\226_TR\224\230\027\237_\224\222\n\022wK\314)N\005\212\027g$\026\244"
    "\002\371\032&:\n\246\232:\n\265\nd\003.\206A\016\000PK\003\004-\000\000\000\010\000\000"
    "\000!\000}Gyj\377\377\377\377\377\377\377\377\005\000\024\000b.npy\001\000\020\000\204"
    "\000\000\000\000\000\000\000H\000\000\000\000\000\000\000\233\354\027\352\033\020\311"
    "\310P\306P\255\236\222Z\234\\\244n\245\240n\223i\242\256\243\240\236\226_TR\224\230\027"
    "\237_\224\222\n\022wK\314)N\005\212\027g$\026\244\002\371\032\206:\232:\n\265\n\024\000."
    "v\006\006\006\000PK\001\002-\003-\000\000\000\010\000\000\000!\0003\277\322\025I\000\000"
    "\000 \001\000\000\005\000\000\000\000\000\000\000\000\000\000\000\200\001\000\000\000"
    "\000W.npyPK\001\002-\003-\000\000\000\010\000\000\000!\000}GyjH\000\000\000\204\000\000"
    "\000\005\000\000\000\000\000\000\000\000\000\000\000\200\001\200\000\000\000b.npyPK\005"
    "\006\000\000\000\000\002\000\002\000f\000\000\000\377\000\000\000\000\000") },

/* put together by the rules of zip64; NumPy reads it */
{ "large", ARCHIVE, FILE_OF(
    "PK\003\004-\000\000\000\000\000\000\000!\000N\373 u\377\377\377\377\377\377\377\377\005"
    "\000\024\000W.npy\001\000\020\000\220\000\000\000\000\000\000\000\220\000\000\000\000"
    "\000\000\000\223NUMPY\001\000v\000{'descr': '<f4', 'fortran_order': False, 'shape': (2, "
    "2), }                                                          \n\000\000\200\077\000"
    "\000\000@\000\000@@\000\000\200@PK\003\004-\000\000\000\000\000\000\000!\000}Gyj\377\377"
    "\377\377\377\377\377\377\005\000\024\000b.npy\001\000\020\000\204\000\000\000\000\000"
    "\000\000\204\000\000\000\000\000\000\000\223NUMPY\001\000v\000{'descr': '<i4', 'fortran_"
    "order': False, 'shape': (1,), }                                                         "
    "   \n\007\000\000\000PK\001\002-\003-\000\000\000\000\000\000\000!\000N\373 u\377\377"
    "\377\377\377\377\377\377\005\000\034\000\000\000\000\000\000\000\000\000\200\001\377\377"
    "\377\377W.npy\001\000\030\000\220\000\000\000\000\000\000\000\220\000\000\000\000\000"
    "\000\000\000\000\000\000\000\000\000\000PK\001\002-\003-\000\000\000\000\000\000\000!"
    "\000}Gyj\377\377\377\377\377\377\377\377\005\000\034\000\000\000\000\000\000\000\000\000"
    "\200\001\377\377\377\377b.npy\001\000\030\000\204\000\000\000\000\000\000\000\204\000"
    "\000\000\000\000\000\000\307\000\000\000\000\000\000\000PK\006\006,\000\000\000\000\000"
    "\000\000-\000-\000\000\000\000\000\000\000\000\000\002\000\000\000\000\000\000\000\002"
    "\000\000\000\000\000\000\000\236\000\000\000\000\000\000\000\202\001\000\000\000\000\000"
    "\000PK\006\007\000\000\000\000 \002\000\000\000\000\000\000\001\000\000\000PK\005\006"
    "\000\000\000\000\377\377\377\377\377\377\377\377\377\377\377\377\005\000hello") },

/* the example in the documentation of safetensors */
{ "reference", ARCHIVE, FILE_OF(
    "<\000\000\000\000\000\000\000{\"test\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets"
    "\":[0,16]}}\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000\000") },

/* by the rules of safetensors, with a header as json.dumps writes it */
{ "types", ARCHIVE, FILE_OF(
    "L\001\000\000\000\000\000\000{\"__metadata__\": {\"format\": \"pt\", \"\\u00e9\\n\": \""
    "\\ud83d\\ude00\"}, \"half\": {\"dtype\": \"F16\", \"shape\": [2], \"data_offsets\": [12,"
    " 16]}, \"a/b\": {\"dtype\": \"F32\", \"shape\": [1, 2], \"data_offsets\": [0, 8]}, \"bra"
    "in\": {\"dtype\": \"BF16\", \"shape\": [2], \"data_offsets\": [8, 12]}, \"none\": {\"dty"
    "pe\": \"F64\", \"shape\": [0, 3], \"data_offsets\": [16, 16]}}  \000\000\240\077\000\000"
    "\000\300\200\077@\300\0008\377\373") },

/* by the rules of IDX */
{ "idx", ARRAY, FILE_OF(
    "\000\000\010\002\000\000\000\002\000\000\000\003\001\002\003\004\005\377") },

/* by the rules of IDX */
{ "idx_reals", ARRAY, FILE_OF(
    "\000\000\015\001\000\000\000\002\077\300\000\000\300\000\000\000") },

/* the same by gzip */
{ "idx_gz", ARRAY, FILE_OF(
    "\037\213\010\000\000\000\000\000\002\003c`\340`b``\000afF&f\026\326\377\000\360\336_!"
    "\022\000\000\000") },

/* the same in two members */
{ "idx_gz_parts", ARRAY, FILE_OF(
    "\037\213\010\000\000\000\000\000\002\003c`\340`b```b\000\000@\231\030\252\011\000\000"
    "\000\037\213\010\000\000\000\000\000\002\003c``fdbfa\375\017\000\014\222\264#\011\000"
    "\000\000") },

{ "flowers", TABLE, FILE_OF(
    "\357\273\277width, \"le\"\"ngth\",kind\015\n1.5,2,setosa\n\n-3e2 ,\"4\", \"vir\nginica\""
    "\n5,NA,setosa") },

/* the same by gzip */
{ "flowers_gz", TABLE, FILE_OF(
    "\037\213\010\000\000\000\000\000\002\003{\277{\177yfJI\206\216\202RN\252\222R^zI\206\222"
    "Nvf^\n/\227\241\236\251\216\221NqjI~q\"\027\227\256q\252\221\202\216\222\211\022PeYf\021"
    "Wzf^fr\242\022\227\251\216\237#T\021\000\350\320\361EL\000\000\000") },

};
/* clang-format on */

const int data_sample_count = sizeof data_samples / sizeof *data_samples;

const data_sample *sample_named(const char *name)
{
    for (int i = 0; i < data_sample_count; i++)
        if (strcmp(data_samples[i].name, name) == 0) return data_samples + i;
    abort();
}

/* Columns as the tables among the samples have them. */
static const tg_csv_options table_options = { .header = true,
                                              .allow_missing = true,
                                              .label = "kind" };

void *parse_bytes(data_form form, const char *bytes, size_t size, tg_status *status)
{
    char *const copy = malloc(size + 1);
    if (!copy) abort();
    if (size > 0) memcpy(copy, bytes, size);
    copy[size] = 0;
    tg__file file = { .name = "sample", .data = (uint8_t *)copy, .size = size };
    void *parsed = NULL;
    if (!tg__file_unpack(&file, status)) parsed = NULL;
    else if (form == ARRAY) parsed = tg__array_parse(&file, status);
    else if (form == ARCHIVE) parsed = tg__archive_parse(&file, status);
    else parsed = tg__csv_parse(&file, &table_options, status);
    tg__file_close(&file);
    return parsed;
}

void drop_parsed(data_form form, void *parsed)
{
    if (form == ARRAY) tg_ndarray_free(parsed);
    else if (form == ARCHIVE) tg_archive_free(parsed);
    else tg_dataset_free(parsed);
}

static double look_at_array(const tg_ndarray *array)
{
    double sum = 0;
    const int64_t n = tg_ndarray_size(array);
    if (n < 0 || array->rank < 0 || array->rank > TG_MAX_RANK) abort();
    for (int64_t i = 0; i < n; i++)
        sum += array->type == TG_F64   ? ((const double *)array->data)[i]
               : array->type == TG_F32 ? (double)((const float *)array->data)[i]
                                       : (double)((const int64_t *)array->data)[i];
    return sum;
}

static double look_at_archive(const tg_archive *archive)
{
    double sum = 0;
    for (size_t i = 0; i < archive->n; i++) {
        if (tg_archive_find(archive, archive->name[i]) != archive->array[i]) abort();
        sum += look_at_array(archive->array[i]);
    }
    for (size_t i = 0; i < archive->notes; i++)
        if (tg_archive_find_note(archive, archive->key[i]) != archive->note[i]) abort();
    return sum;
}

static double look_at_table(const tg_dataset *data)
{
    double sum = 0;
    for (int64_t i = 0; i < data->n * data->d; i++) sum += data->x[i];
    for (int64_t i = 0; i < data->n * data->targets; i++) sum += data->y[i];
    for (int64_t i = 0; data->label && i < data->n; i++) {
        if (data->label[i] < 0 || data->label[i] >= data->classes) abort();
        if (data->class_name) sum += (double)strlen(data->class_name[data->label[i]]);
    }
    for (int64_t i = 0; data->feature && i < data->d; i++) sum += (double)strlen(data->feature[i]);
    return sum;
}

double look_through(data_form form, const void *parsed)
{
    return form == ARRAY     ? look_at_array(parsed)
           : form == ARCHIVE ? look_at_archive(parsed)
                             : look_at_table(parsed);
}
