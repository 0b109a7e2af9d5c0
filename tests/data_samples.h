/* Files for the tests of tapegrad/data.h, in memory: what other programs have written, or could. */
#ifndef TG_TESTS_DATA_SAMPLES_H
#define TG_TESTS_DATA_SAMPLES_H

#include "data/inner.h"

/* How a sample is read. */
typedef enum data_form { ARRAY, ARCHIVE, TABLE } data_form;

typedef struct data_sample {
    const char *name;
    data_form form;
    const char *bytes;
    size_t size;
} data_sample;

extern const data_sample data_samples[];
extern const int data_sample_count;

/* The sample of this name. It must exist. */
const data_sample *sample_named(const char *name);

/* Parses bytes, in memory of exactly their size and a zero byte. A file without zlib that is
   compressed is an error. The result is a tg_ndarray, a tg_archive or a tg_dataset; free it with
   drop_parsed. */
void *parse_bytes(data_form form, const char *bytes, size_t size, tg_status *status);
void drop_parsed(data_form form, void *parsed);

/* Goes through everything that was parsed: a sum of all elements, so that tools see each byte read.
   Calls abort if sizes or names contradict each other. */
double look_through(data_form form, const void *parsed);

#endif
