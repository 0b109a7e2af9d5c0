/* Data: reading and writing files of numbers, data sets, minibatches, and points to learn from.

       tg_status status;
       tg_dataset *all = tg_digits("examples/data/digits.csv.gz", &status), *train, *test;
       if (!all || !tg_dataset_split(all, &(tg_split_options){ .test = 0.2, .seed = 1 }, &train, &test,
                             &status))
           fprintf(stderr, "%s\n", status.message);

   Read on in: data sets, making them, minibatches, arrays and archives.

   Errors: a call that fails returns NULL or false, says why in *status where status is not NULL,
   and changes nothing else but what its description names. Files are checked to the last byte:
   whatever is wrong with one is an error that names the place, and no memory is asked for because
   a file claims to need it. Files may be compressed with gzip, whatever they are called; errors then
   count the bytes of what was compressed.

   Ownership: what a call returns belongs to the caller, who frees it with the _free of its type
   (NULL is fine there). What is passed in is read, never kept, except by tg_batches_new.

   Threads: nothing here is shared. Two threads may read the same object, but not while a third
   changes it.

   Randomness: only from the seed that is passed. The same seed gives the same numbers on every
   machine (as far as its sin, cos and log round alike), and splits, orders and points of one seed
   have nothing in common with each other. */
#ifndef TAPEGRAD_DATA_H
#define TAPEGRAD_DATA_H

#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- data sets ------------------------------------------------------------------------------- */

/* Rows of numbers, with what is to be learned about each: a class, numbers, or nothing. The fields
   may be read and written; the pointers are the data set's own. */
typedef struct tg_dataset {
    int64_t n;         /* rows */
    int64_t d;         /* features of a row */
    int64_t targets;   /* numbers to be predicted for a row, or 0 */
    int classes;       /* classes, or 0 */
    double *x;         /* (n, d), row-major */
    double *y;         /* (n, targets), row-major; NULL if there are none */
    int *label;        /* (n), each from 0 to classes - 1; NULL if there are none */
    char **feature;    /* (d) names of the columns of x; NULL if they have none */
    char **class_name; /* (classes) what the classes are called; NULL if they have no names */
} tg_dataset;

/* A new data set with n, d, targets and classes of form, zeroed, without names; the rest of form is
   not looked at: tg_dataset_new(&(tg_dataset){ .n = 100, .d = 2, .classes = 3 }, &status). */
TG_API tg_dataset *tg_dataset_new(const tg_dataset *form, tg_status *status);

/* Frees a data set and all that it points to. NULL is fine. */
TG_API void tg_dataset_free(tg_dataset *data);

/* A copy of some rows, row[0] ... row[n - 1], in this order; a row may come more than once. */
TG_API tg_dataset *tg_dataset_rows(const tg_dataset *data, const int64_t *row, int64_t n,
                                   tg_status *status);

/* Makes y (n, classes) from the labels: 1 in the column of the row's class, 0 elsewhere. A y that
   was there before is freed. */
TG_API bool tg_dataset_one_hot(tg_dataset *data, tg_status *status);

/* How tg_dataset_split divides a data set. */
typedef struct tg_split_options {
    double test;     /* the share of rows to test on, above 0 and below 1 */
    uint64_t seed;   /* which rows */
    bool stratified; /* the same share of each class, as far as whole rows go; needs labels */
} tg_split_options;

/* Divides rows at random into copies, *train and *test, which keep the order of the rows. Of n rows,
   test * n to the nearest whole number are for testing; that both get a row is demanded. After a
   failure both are NULL. */
TG_API bool tg_dataset_split(const tg_dataset *data, const tg_split_options *options,
                             tg_dataset **train, tg_dataset **test, tg_status *status);

/* What brings features to mean 0 and variance 1: x becomes (x - mean) / scale, column by column. */
typedef struct tg_scaling {
    int64_t d;
    double *mean;  /* (d) */
    double *scale; /* (d), standard deviations; 1 for a column that is constant */
} tg_scaling;

/* The means and standard deviations (of the population: divided by n) of a data set's features. NaN
   is left out of both. */
TG_API tg_scaling *tg_scaling_new(const tg_dataset *train, tg_status *status);

/* Frees a scaling. NULL is fine. */
TG_API void tg_scaling_free(tg_scaling *scaling);

/* Scales data in place: the training set by its own scaling, and the test set by the same. */
TG_API bool tg_scaling_apply(const tg_scaling *scaling, tg_dataset *data, tg_status *status);

/* ---- data sets from files -------------------------------------------------------------------- */

/* How a text file of columns is read; zero is each field's default. A column is meant by its name,
   if the file has a header, or else by its number as text: "0" is the first, "-1" the last. */
typedef struct tg_csv_options {
    char separator;             /* between fields; 0: a comma */
    bool header;                /* the first line names the columns */
    bool allow_missing;         /* a missing feature or target becomes NaN; false: it is an error */
    const char *label;          /* the column of the class; NULL: there is none */
    const char *const *target;  /* the columns of y, ended by NULL; NULL: there are none */
    const char *const *feature; /* the columns of x, ended by NULL; NULL: all the others */
} tg_csv_options;

/* Reads a text file of columns, one row a line. A field may stand in double quotes, a quote inside
   is then doubled, and separators and line ends inside are part of the field. Blanks around a field
   without quotes do not count. Empty lines are left out; every other has as many fields as the first.
   Missing are an empty field, ?, NA, NaN and null, in capitals or not; a missing label is always an
   error. Numbers have a decimal point whatever the locale. Labels that are all whole numbers from 0
   up are taken as they are (and classes is one more than the highest); other labels are numbered in
   the order of their bytes, and class_name has them. options NULL: all defaults.
   A NUL byte in the file is an error. */
TG_API tg_dataset *tg_csv_read(const char *path, const tg_csv_options *options, tg_status *status);

/* Reads the handwritten digits that come with the examples, examples/data/digits.csv.gz (its README
   says where they are from): n = 1797 images, d = 64 pixels (8 x 8, row by row) from 0 (white) to
   1 (black), 10 classes. */
TG_API tg_dataset *tg_digits(const char *path, tg_status *status);

/* Reads MNIST, or a set of the same form, from a folder with its four files: train-images-idx3-ubyte,
   train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte; each may end in .gz, and
   have a point for the hyphen before idx. Images become rows of pixels from 0 to 1 (d = 784 in MNIST);
   classes is one more than the highest label in what is read. train or test may be NULL: that part
   is then not read. After a failure both are NULL. */
TG_API bool tg_mnist(const char *folder, tg_dataset **train, tg_dataset **test, tg_status *status);

/* ---- points to learn from -------------------------------------------------------------------- */

/* What points are wanted; zero is each field's default. */
typedef struct tg_points {
    int classes;   /* of spirals (default 3) and blobs (default 2); the others have 2 */
    int64_t each;  /* points of each class; default 100 */
    double noise;  /* the standard deviation of what is added to each coordinate; for blobs, their
                      own */
    uint64_t seed; /* another seed gives other points: take one for training and one for testing */
} tg_points;

/* Points of the plane, d = 2, one class after the other. points NULL: all defaults. Before noise:

   spirals  X_k(t) = t (sin a, cos a), a = 2 pi / K (2t + k - 1), for k = 1 ... K classes and t
            uniform in [0, 1] (LeCun and Canziani, Foundations of Deep Learning). Class k - 1.
   circle   class 0 uniform in the disc of radius 0.5, class 1 uniform in the ring from 0.7 to 1.
   blobs    class k at (cos a, sin a), a = 2 pi (k / K + 1 / 8): two lie at (r, r) and (-r, -r).
   xor      uniform in the four squares 0.1 < |x|, |y| < 1; class 0 where x and y have the same
            sign, class 1 where they differ.
   moons    for a uniform in [0, pi], class 0 at (cos a, sin a), class 1 at (1 - cos a, 0.5 - sin a). */
TG_API tg_dataset *tg_points_spirals(const tg_points *points, tg_status *status);
TG_API tg_dataset *tg_points_circle(const tg_points *points, tg_status *status);
TG_API tg_dataset *tg_points_blobs(const tg_points *points, tg_status *status);
TG_API tg_dataset *tg_points_xor(const tg_points *points, tg_status *status);
TG_API tg_dataset *tg_points_moons(const tg_points *points, tg_status *status);

/* ---- minibatches ----------------------------------------------------------------------------- */

/* How tg_batches goes through a data set; zero is each field's default. */
typedef struct tg_batch_options {
    int64_t size;   /* rows in a batch; 0: all of them */
    uint64_t seed;  /* of the order */
    bool in_order;  /* the rows as they lie; false: shuffled anew in each epoch */
    bool drop_last; /* leave out the last batch if it is not full; false: it is a smaller one */
} tg_batch_options;

/* A minibatch: copies of n rows. They lie there until the next call about the tg_batches that gave
   it. */
typedef struct tg_batch {
    int64_t n;          /* rows */
    int64_t number;     /* of this batch in its epoch, from 0 */
    const int64_t *row; /* (n) which rows of the data set */
    const double *x;    /* (n, d) */
    const double *y;    /* (n, targets), or NULL */
    const int *label;   /* (n), or NULL */
} tg_batch;

/* A walk through the minibatches of a data set.

       tg_batches *b = tg_batches_new(train, &(tg_batch_options){ .size = 100, .seed = 1 }, &status);
       for (int epoch = 0; epoch < 20; epoch++) {
           tg_batches_start(b, epoch, 0);
           for (const tg_batch *m; (m = tg_batches_next(b));) {
               Value x = input(t, m->x, m->n, train->d), y = index(t, m->label, m->n);
               ...
           }
       }
       tg_batches_free(b);

   The order is made from the seed and the number of the epoch, and from nothing else: training that
   was interrupted goes on exactly, from tg_batches_start(b, epoch, number of the next batch). */
typedef struct tg_batches tg_batches;

/* A walk at the start of epoch 0. data must outlive it and keep its size. options NULL: all
   defaults. A data set that gives no batch, being empty or smaller than one full batch where
   drop_last is set, is an error. */
TG_API tg_batches *tg_batches_new(const tg_dataset *data, const tg_batch_options *options,
                                  tg_status *status);

/* Frees a walk; the data set stays. NULL is fine. */
TG_API void tg_batches_free(tg_batches *batches);

/* Batches in an epoch. */
TG_API int64_t tg_batches_count(const tg_batches *batches);

/* Goes to a batch of an epoch, both counted from 0. Epochs repeat their orders after 2^32. */
TG_API void tg_batches_start(tg_batches *batches, int64_t epoch, int64_t batch);

/* The next batch, or NULL at the end of the epoch. */
TG_API const tg_batch *tg_batches_next(tg_batches *batches);

/* Puts 0 ... n - 1 into order in the order that tg_batches goes through n rows in. */
TG_API void tg_batches_order(int64_t *order, int64_t n, uint64_t seed, int64_t epoch);

/* ---- arrays ---------------------------------------------------------------------------------- */

/* An array of numbers in memory. To put it on a tape:
   tg_leaf_new(tape, TG_PARAMETER, a->type, a->data, a->rank, a->shape, NULL). */
typedef struct tg_ndarray {
    tg_type type; /* TG_F64, TG_F32 or TG_I64 */
    int rank;     /* 0 to TG_MAX_RANK */
    int64_t shape[TG_MAX_RANK];
    const void *data; /* row-major; may be NULL if there are no elements */
} tg_ndarray;

/* How many elements shape has room for. */
TG_API int64_t tg_ndarray_size(const tg_ndarray *array);

/* Reads an array from a file of one of these formats, told by its first bytes:
   .npy  NumPy's, versions 1 to 3, in C or Fortran order, of either byte order
   IDX   that of MNIST
   Elements f8 become TG_F64; f4 and f2 TG_F32; integers and booleans of any size TG_I64 (unsigned ones
   above 2^63 - 1 are an error). The array is freed with tg_ndarray_free, elements and all. */
TG_API tg_ndarray *tg_ndarray_read(const char *path, tg_status *status);

/* Frees an array that came from tg_ndarray_read. NULL is fine. */
TG_API void tg_ndarray_free(tg_ndarray *array);

/* Writes an array as .npy: tg_ndarray_write(&(tg_ndarray){ TG_F64, 2, { 3, 2 }, w }, "w.npy", &status).
   The file is complete or as it was before: a new one is written beside it, brought to disk and put
   in its place. What stands at path must be a file, or nothing. */
TG_API bool tg_ndarray_write(const tg_ndarray *array, const char *path, tg_status *status);

/* ---- archives: named arrays ------------------------------------------------------------------ */

/* Arrays with names, and notes: what a .safetensors or an .npz file holds. The fields are for
   reading. */
typedef struct tg_archive {
    size_t n;
    char **name;        /* (n), each once */
    tg_ndarray **array; /* (n) */
    size_t notes;
    char **key;  /* (notes), each once */
    char **note; /* (notes) */
} tg_archive;

/* An empty archive, or NULL when there is no memory. */
TG_API tg_archive *tg_archive_new(void);

/* Frees an archive with its arrays and notes. NULL is fine. */
TG_API void tg_archive_free(tg_archive *archive);

/* Adds a copy of an array. Names are UTF-8; one that is there already is an error. */
TG_API bool tg_archive_add(tg_archive *archive, const char *name, const tg_ndarray *array,
                           tg_status *status);

/* Adds a note, a text with a key, both UTF-8. A key that is there already is an error. */
TG_API bool tg_archive_note(tg_archive *archive, const char *key, const char *note,
                            tg_status *status);

/* The array of this name, which the archive keeps, or NULL. */
TG_API const tg_ndarray *tg_archive_find(const tg_archive *archive, const char *name);

/* The note of this key, which the archive keeps, or NULL. */
TG_API const char *tg_archive_find_note(const tg_archive *archive, const char *key);

/* Reads an archive from a file of one of these formats, told by its first bytes:
   .safetensors  F64, F32, F16, BF16, all integers, BOOL; held against the rules of the reference
                 implementation: byte ranges that fit type and shape, without overlap and without hole
   .npz          NumPy's zip of .npy files, stored or deflated; checksums are verified
   Types are converted as by tg_ndarray_read, and BF16 to TG_F32. */
TG_API tg_archive *tg_archive_read(const char *path, tg_status *status);

/* Writes an archive as .npz if path ends so, otherwise as .safetensors, in the same way as
   tg_ndarray_write. The same archive gives the same bytes. An .npz has no notes, and no more than
   4 GiB or 65535 arrays: more is an error. */
TG_API bool tg_archive_write(const tg_archive *archive, const char *path, tg_status *status);

#ifdef __cplusplus
}
#endif
#endif
