/* Files written whole or not at all: see inner.h. */
#define _XOPEN_SOURCE 700 /* realpath, fsync */
#include "inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 1000 };

/* Where path leads: behind symbolic links if there is a file. mode is that of the file to replace,
   or what a new one is made with. */
static bool find_target(tg__writer *w, mode_t *mode, tg_status *status)
{
    struct stat about;
    *mode = 0;
    if (stat(w->path, &about) == 0) {
        if (!S_ISREG(about.st_mode))
            return tg__data_fail(status, TG_ERROR_FILE, "%s: cannot be written: it is no file",
                                 w->path);
        *mode = about.st_mode & 0777;
        w->target = realpath(w->path, NULL);
    } else if (errno == ENOENT) w->target = strdup(w->path);
    return w->target ? true : tg__data_errno(status, w->path, "cannot be written");
}

/* A new file in the target's folder, of a name that nobody has. */
static bool make_temporary(tg__writer *w, tg_status *status)
{
    const size_t room = strlen(w->target) + 48;
    w->temporary = malloc(room);
    if (!w->temporary) return tg__data_no_memory(status, w->path, room);
    for (int i = 0; i < TRIES; i++) {
        snprintf(w->temporary, room, "%s.%ld.%d.new", w->target, (long)getpid(), i);
        w->file = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (w->file >= 0) return true;
        if (errno != EEXIST) break;
    }
    return tg__data_errno(status, w->path, "cannot be written");
}

/* Ends a writer that has a temporary file or none, without a word. */
static void drop(tg__writer *w)
{
    if (w->file >= 0) close(w->file);
    if (w->file >= 0) unlink(w->temporary);
    free(w->temporary);
    free(w->target);
}

bool tg__writer_open(tg__writer *w, const char *path, tg_status *status)
{
    mode_t mode;
    w->path = path;
    w->target = w->temporary = NULL;
    w->file = -1;
    w->error = 0;
    w->used = 0;
    if (!path) return tg__data_fail(status, TG_ERROR_ARGUMENT, "the path of a file is NULL");
    if (find_target(w, &mode, status) && make_temporary(w, status)) {
        if (!mode || fchmod(w->file, mode) == 0) return true;
        tg__data_errno(status, path, "cannot be written");
    }
    drop(w);
    return false;
}

static bool put_out(tg__writer *w, const uint8_t *p, size_t n)
{
    while (n > 0 && !w->error) {
        const ssize_t done = write(w->file, p, n < 1 << 30 ? n : 1 << 30);
        if (done == 0) w->error = EIO;
        if (done < 0 && errno != EINTR) w->error = errno;
        if (done <= 0) continue;
        p += done;
        n -= (size_t)done;
    }
    return !w->error;
}

static bool flush(tg__writer *w)
{
    const bool good = put_out(w, w->buffer, w->used);
    w->used = 0;
    return good;
}

bool tg__writer_put(void *writer, const void *data, size_t n)
{
    tg__writer *const w = writer;
    if (n > sizeof w->buffer - w->used && !flush(w)) return false;
    if (n > sizeof w->buffer) return put_out(w, data, n);
    if (n > 0) memcpy(w->buffer + w->used, data, n);
    w->used += n;
    return true;
}

/* Brings the folder's new entry to disk. Not every file system can: that is no failure. */
static bool sync_folder(tg__writer *w)
{
    char *const slash = strrchr(w->target, '/');
    if (slash) slash[slash == w->target] = 0;
    const int folder = open(slash ? w->target : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return errno == EACCES; /* a folder that may be written, not read */
    const bool good = fsync(folder) == 0 || errno == EINVAL || errno == ENOTSUP;
    const int error = errno;
    close(folder);
    errno = error;
    return good;
}

bool tg__writer_close(tg__writer *w, bool good, tg_status *status)
{
    const bool out = flush(w);
    if (!out || !good) {
        errno = w->error;
        if (!out) tg__data_errno(status, w->path, "cannot be written");
        drop(w);
        return false;
    }
    const bool synced = fsync(w->file) == 0;
    if (!synced || rename(w->temporary, w->target)) {
        tg__data_errno(status, w->path, "cannot be written");
        drop(w);
        return false;
    }
    const bool durable = sync_folder(w);
    if (!durable) tg__data_errno(status, w->path, "is written, but may not survive a power cut");
    close(w->file);
    w->file = -1;
    drop(w);
    return durable;
}

/* Little-endian bytes of n elements; inlined with a constant size, so that storing one is one
   instruction. */
static inline void store(const uint8_t *p, size_t n, size_t size, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = 0;
        uint32_t single;
        if (size == 4) memcpy(&single, p + i * 4, 4), bits = single;
        else memcpy(&bits, p + i * 8, 8);
        for (size_t k = 0; k < size; k++) out[i * size + k] = (uint8_t)(bits >> 8 * k);
    }
}

bool tg__put_elements(const tg_ndarray *array, tg__sink *sink, void *user)
{
    enum { STRETCH = 512 };
    const size_t n = (size_t)tg_ndarray_size(array), size = array->type == TG_F32 ? 4 : 8;
    uint8_t part[8 * STRETCH];
    for (size_t i = 0; i < n; i += STRETCH) {
        const uint8_t *const p = (const uint8_t *)array->data + i * size;
        const size_t some = n - i < STRETCH ? n - i : STRETCH;
        if (size == 4) store(p, some, 4, part);
        else store(p, some, 8, part);
        if (!sink(user, part, some * size)) return false;
    }
    return true;
}
