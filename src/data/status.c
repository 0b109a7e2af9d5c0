/* Failures and memory: see inner.h. */
#define _POSIX_C_SOURCE 200809L /* strerror_r */
#include "inner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool tg__data_fail(tg_status *status, tg_code code, const char *format, ...)
{
    if (!status) return false;
    va_list list;
    va_start(list, format);
    status->code = code;
    vsnprintf(status->message, sizeof status->message, format, list);
    va_end(list);
    return false;
}

bool tg__data_no_memory(tg_status *status, const char *what, size_t bytes)
{
    return tg__data_fail(status, TG_ERROR_MEMORY, "no memory: %zu bytes for %s", bytes, what);
}

bool tg__data_errno(tg_status *status, const char *path, const char *what)
{
    char why[128];
    const int error = errno;
    if (strerror_r(error, why, sizeof why)) snprintf(why, sizeof why, "error %d", error);
    return tg__data_fail(status, TG_ERROR_FILE, "%s: %s: %s", path, what, why);
}

bool tg__file_wrong(const tg__file *file, size_t position, tg_status *status, const char *format,
                    ...)
{
    char what[384];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    return tg__data_fail(status, TG_ERROR_FORMAT, "%s: byte %zu%s: %s", file->name, position,
                         file->unpacked ? " when unpacked" : "", what);
}

bool tg__data_times(size_t a, size_t b, size_t *product)
{
    *product = a * b;
    return b == 0 || a <= SIZE_MAX / b;
}

void *tg__data_allocate(size_t n, size_t size, const char *what, tg_status *status)
{
    size_t bytes;
    void *const memory = tg__data_times(n, size, &bytes) ? calloc(bytes ? bytes : 1, 1) : NULL;
    if (!memory) tg__data_no_memory(status, what, n > SIZE_MAX / size ? SIZE_MAX : bytes);
    return memory;
}

bool tg__data_grow(void **memory, size_t *room, size_t n, size_t size, tg_status *status)
{
    if (n <= *room) return true;
    size_t wanted = *room < 16 ? 16 : *room, bytes;
    while (wanted < n) wanted = wanted > SIZE_MAX / 2 ? n : 2 * wanted;
    void *const more = tg__data_times(wanted, size, &bytes) ? realloc(*memory, bytes) : NULL;
    if (!more) return tg__data_no_memory(status, "what was read", bytes);
    *memory = more;
    *room = wanted;
    return true;
}
