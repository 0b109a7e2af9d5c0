/* Files read into memory: see inner.h. */
#define _POSIX_C_SOURCE 200809L /* open, fstat */
#include "inner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FIRST_ROOM = 1 << 16, LARGEST_READ = 1 << 30 };

/* Reads to the end. The size that the system names is where the room begins; what is really there
   decides. */
static bool read_all(int descriptor, const char *path, tg__file *file, tg_status *status)
{
    struct stat about;
    if (fstat(descriptor, &about)) return tg__data_errno(status, path, "cannot be read");
    size_t room = S_ISREG(about.st_mode) ? (size_t)about.st_size + 2 : FIRST_ROOM, size = 0;
    uint8_t *data = malloc(room);
    if (!data) return tg__data_no_memory(status, path, room);
    for (;;) {
        const size_t free_room = room - 1 - size;
        const ssize_t n =
            read(descriptor, data + size, free_room < LARGEST_READ ? free_room : LARGEST_READ);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) tg__data_errno(status, path, "cannot be read");
        if (n < 0) break;
        size += (size_t)n;
        data[size] = 0;
        file->data = data;
        file->size = size;
        if (n == 0) return true;
        void *memory = data;
        if (room - 1 == size && !tg__data_grow(&memory, &room, room + 1, 1, status)) break;
        data = memory;
    }
    free(data);
    return false;
}

bool tg__file_open(const char *path, tg__file *file, tg_status *status)
{
    *file = (tg__file){ .name = path };
    if (!path) return tg__data_fail(status, TG_ERROR_ARGUMENT, "the path of a file is NULL");
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return tg__data_errno(status, path, "cannot be opened");
    const bool good = read_all(descriptor, path, file, status);
    close(descriptor);
    if (good && tg__file_unpack(file, status)) return true;
    if (good) tg__file_close(file);
    return false;
}

bool tg__file_unpack(tg__file *file, tg_status *status)
{
    if (file->size < 2 || file->data[0] != 0x1f || file->data[1] != 0x8b) return true;
    tg__file inner;
    if (!tg__inflate(file, 0, file->size, true, SIZE_MAX, &inner, status)) return false;
    tg__file_close(file);
    *file = inner;
    return true;
}

void tg__file_close(tg__file *file)
{
    free((void *)(uintptr_t)file->data);
    file->data = NULL;
}
