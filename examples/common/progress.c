/* Progress: see progress.h. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime, isatty */
#include "common/progress.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

progress progress_begin(int64_t total)
{
    const double now = seconds();
    const bool terminal = isatty(STDOUT_FILENO);
    return (progress){ .terminal = terminal, .total = total, .begun = now, .shown = now };
}

/* The way done, from 0 to scale. */
static int way(const progress *p, int64_t done, int scale)
{
    return (int)((double)done / (double)p->total * scale);
}

/* A log gets a line at every tenth of the way and whenever a second has passed; a terminal, ten
   pictures a second. */
static bool due(const progress *p, int64_t done, double now)
{
    if (done >= p->total) return true;
    if (p->terminal) return now - p->shown >= 0.1;
    return now - p->shown >= 1 || way(p, done, 10) > p->tenths;
}

void progress_show(progress *p, int64_t done, const char *format, ...)
{
    const double now = seconds();
    if (!due(p, done, now)) return;
    p->shown = now;
    p->tenths = way(p, done, 10);
    const int width = 30, filled = way(p, done, width);
    if (p->terminal)
        printf("\r[%.*s%*s] ", filled, "##############################", width - filled, "");
    printf("%3d%%  ", way(p, done, 100));
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    fputs(p->terminal ? "\033[K" : "\n", stdout);
    fflush(stdout);
}

double progress_end(const progress *p)
{
    if (p->terminal) putchar('\n');
    return seconds() - p->begun;
}
