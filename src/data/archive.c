/* Named arrays and notes. */
#include "inner.h"

#include <stdlib.h>
#include <string.h>

tg_archive *tg_archive_new(void)
{
    return calloc(1, sizeof(tg_archive));
}

void tg_archive_free(tg_archive *archive)
{
    if (!archive) return;
    for (size_t i = 0; i < archive->n; i++) {
        free(archive->name[i]);
        tg_ndarray_free(archive->array[i]);
    }
    for (size_t i = 0; i < archive->notes; i++) {
        free(archive->key[i]);
        free(archive->note[i]);
    }
    free(archive->name);
    free(archive->array);
    free(archive->key);
    free(archive->note);
    free(archive);
}

/* ---- adding ---------------------------------------------------------------------------------- */

/* Room for one pointer more in both lists, which double when n is a power of two. */
static bool make_room(void **a, void **b, size_t n, tg_status *status)
{
    if (n & (n - 1)) return true;
    const size_t bytes = (n ? 2 * n : 1) * sizeof(void *);
    void *const more_a = realloc(*a, bytes);
    if (more_a) *a = more_a;
    void *const more_b = more_a ? realloc(*b, bytes) : NULL;
    if (more_b) *b = more_b;
    return more_b || tg__data_no_memory(status, "an archive", bytes);
}

bool tg__archive_append(tg_archive *archive, char *name, tg_ndarray *array, tg_status *status)
{
    void *names = archive->name, *arrays = archive->array;
    const bool room = make_room(&names, &arrays, archive->n, status);
    archive->name = names;
    archive->array = arrays;
    if (!room) {
        free(name);
        tg_ndarray_free(array);
        return false;
    }
    archive->name[archive->n] = name;
    archive->array[archive->n++] = array;
    return true;
}

bool tg__archive_append_note(tg_archive *archive, char *key, char *note, tg_status *status)
{
    void *keys = archive->key, *notes = archive->note;
    const bool room = make_room(&keys, &notes, archive->notes, status);
    archive->key = keys;
    archive->note = notes;
    if (!room) {
        free(key);
        free(note);
        return false;
    }
    archive->key[archive->notes] = key;
    archive->note[archive->notes++] = note;
    return true;
}

/* A copy of a text that is UTF-8. */
static char *copy_text(const char *text, const char *what, tg_status *status)
{
    if (!text) return tg__data_fail(status, TG_ERROR_ARGUMENT, "%s is NULL", what), NULL;
    const size_t n = strlen(text);
    if (!tg__utf8_valid(text, n))
        return tg__data_fail(status, TG_ERROR_ARGUMENT, "%s is not UTF-8", what), NULL;
    char *const copy = malloc(n + 1);
    if (!copy) return tg__data_no_memory(status, what, n + 1), NULL;
    return memcpy(copy, text, n + 1);
}

static tg_ndarray *copy_array(const tg_ndarray *array, tg_status *status)
{
    const size_t bytes = (size_t)tg_ndarray_size(array) * (array->type == TG_F32 ? 4 : 8);
    tg_ndarray *const copy = malloc(sizeof *copy + bytes);
    if (!copy) return tg__data_no_memory(status, "an array", bytes), NULL;
    *copy = *array;
    if (bytes > 0) memcpy(copy + 1, array->data, bytes);
    copy->data = copy + 1;
    return copy;
}

bool tg_archive_add(tg_archive *archive, const char *name, const tg_ndarray *array,
                    tg_status *status)
{
    if (!archive) return tg__data_fail(status, TG_ERROR_ARGUMENT, "the archive is NULL");
    char *const own_name = copy_text(name, "the name of an array", status);
    if (!own_name) return false;
    if (strcmp(name, "__metadata__") == 0 || !name[0])
        tg__data_fail(status, TG_ERROR_ARGUMENT, "an array cannot be named \"%s\"", name);
    else if (tg_archive_find(archive, name))
        tg__data_fail(status, TG_ERROR_ARGUMENT, "the archive has an array \"%s\" already", name);
    else if (tg__array_valid(array, name, status)) {
        tg_ndarray *const own = copy_array(array, status);
        if (own) return tg__archive_append(archive, own_name, own, status);
    }
    free(own_name);
    return false;
}

bool tg_archive_note(tg_archive *archive, const char *key, const char *note, tg_status *status)
{
    if (!archive) return tg__data_fail(status, TG_ERROR_ARGUMENT, "the archive is NULL");
    if (key && tg_archive_find_note(archive, key))
        return tg__data_fail(status, TG_ERROR_ARGUMENT, "the archive has a note \"%s\" already",
                             key);
    char *const own_key = copy_text(key, "the key of a note", status);
    char *const own_note = own_key ? copy_text(note, "a note", status) : NULL;
    if (own_note) return tg__archive_append_note(archive, own_key, own_note, status);
    free(own_key);
    return false;
}

/* ---- finding --------------------------------------------------------------------------------- */

const tg_ndarray *tg_archive_find(const tg_archive *archive, const char *name)
{
    for (size_t i = 0; i < archive->n; i++)
        if (strcmp(archive->name[i], name) == 0) return archive->array[i];
    return NULL;
}

const char *tg_archive_find_note(const tg_archive *archive, const char *key)
{
    for (size_t i = 0; i < archive->notes; i++)
        if (strcmp(archive->key[i], key) == 0) return archive->note[i];
    return NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Sorted, doubles lie together: a file may hold millions of names. */
static const char *first_double(char *const *text, size_t n, tg_status *status, bool *failed)
{
    char **const sorted = tg__data_allocate(n, sizeof *sorted, "names", status);
    *failed = !sorted;
    if (!sorted) return NULL;
    if (n > 0) memcpy(sorted, text, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_text);
    const char *found = NULL;
    for (size_t i = 1; i < n && !found; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0) found = sorted[i];
    free(sorted);
    return found;
}

const char *tg__archive_double(const tg_archive *archive, tg_status *status, bool *failed)
{
    const char *const name = first_double(archive->name, archive->n, status, failed);
    return name || *failed ? name : first_double(archive->key, archive->notes, status, failed);
}
