/* Progress, written to the file that the caller gives: see tapegrad/plot.h. */
#define _DEFAULT_SOURCE 1 /* clock_gettime, isatty, TIOCGWINSZ */
#include <tapegrad/plot.h>

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

tg_meter tg_meter_start(FILE *file, int64_t total)
{
    const double now = seconds();
    const int descriptor = file ? fileno(file) : -1;
    return (tg_meter){ .file = file,
                       .terminal = descriptor >= 0 && isatty(descriptor),
                       .total = total,
                       .begun = now,
                       .shown = now };
}

/* The way done, from 0 to scale. */
static int way(const tg_meter *m, int64_t done, int scale)
{
    if (done >= m->total) return scale;
    return done > 0 ? (int)((double)done / (double)m->total * scale) : 0;
}

/* A log gets a line at every tenth of the way and whenever a second has passed; a terminal, ten
   pictures a second. */
static bool due(const tg_meter *m, int64_t done, double now)
{
    if (!m->file) return false;
    if (done >= m->total) return true;
    if (m->terminal) return now - m->shown >= 0.1;
    return now - m->shown >= 1 || way(m, done, 10) > m->tenths;
}

/* Columns of the terminal. */
static size_t columns_of(const tg_meter *m)
{
    struct winsize size;
    const bool known = ioctl(fileno(m->file), TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return known ? size.ws_col : 80;
}

static void describe_left(double left, char *text, size_t room)
{
    if (left < 10) snprintf(text, room, "%.1f s left", left);
    else if (left < 120) snprintf(text, room, "%.0f s left", left);
    else if (left < 7200) snprintf(text, room, "%.0f min left", left / 60);
    else snprintf(text, room, "%.0f h left", left / 3600);
}

/* Puts out as much of a line of text as fits into the given columns. */
static void put_cut(FILE *file, const char *text, size_t columns)
{
    size_t n = 0;
    for (; text[n] && columns > 0; n++) {
        const bool last = (text[n + 1] & 0xc0) != 0x80; /* of a UTF-8 character */
        if (last) columns--;
    }
    fprintf(file, "%.*s", (int)n, text);
}

void tg_meter_show(tg_meter *m, int64_t done, const char *format, ...)
{
    enum { BAR = 24 };
    const double now = seconds();
    if (!due(m, done, now)) return;
    m->shown = now;
    m->tenths = way(m, done, 10);
    char text[512], left[64] = "", line[640];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (done > 0 && done < m->total)
        describe_left((now - m->begun) * (double)(m->total - done) / (double)done, left,
                      sizeof left);
    snprintf(line, sizeof line, "%3d%%  %s%s%s", way(m, done, 100), text, *left ? "  " : "", left);
    if (m->terminal) {
        const int filled = way(m, done, BAR);
        const size_t columns = columns_of(m);
        fprintf(m->file, "\r[%.*s%*s] ", filled, "########################", BAR - filled, "");
        put_cut(m->file, line, columns > BAR + 4 ? columns - BAR - 4 : 1);
        fprintf(m->file, "\033[K");
    } else {
        fprintf(m->file, "%s\n", line);
    }
    fflush(m->file);
}

double tg_meter_end(const tg_meter *m)
{
    if (m->terminal) fprintf(m->file, "\n");
    return seconds() - m->begun;
}
