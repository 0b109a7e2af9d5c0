/* Files: see inner.h. */
#define _POSIX_C_SOURCE 200809L /* open */
#include "inner.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool tg__ends_in(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

bool tg__file_writable(const char *path, tg_status *status)
{
    const bool was_there = access(path, F_OK) == 0;
    const int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
    if (file < 0) return tg__plot_errno(status, path, "cannot be written");
    close(file);
    if (!was_there) unlink(path);
    return true;
}

bool tg__file_write(const char *path, const char *data, size_t n, tg_status *status)
{
    const int file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0) return tg__plot_errno(status, path, "cannot be written");
    int error = 0;
    while (n > 0 && !error) {
        const ssize_t done = write(file, data, n);
        if (done < 0 && errno != EINTR) error = errno;
        if (done == 0) error = EIO;
        if (done <= 0) continue;
        data += done;
        n -= (size_t)done;
    }
    if (close(file) && !error) error = errno;
    errno = error;
    return error ? tg__plot_errno(status, path, "cannot be written") : true;
}
