/* Failures, and text for gnuplot: see inner.h. */
#define _POSIX_C_SOURCE 200809L /* strerror_r */
#include "inner.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

bool tg__plot_fail(tg_status *status, tg_code code, const char *format, ...)
{
    if (!status) return false;
    va_list list;
    va_start(list, format);
    status->code = code;
    vsnprintf(status->message, sizeof status->message, format, list);
    va_end(list);
    return false;
}

bool tg__plot_errno(tg_status *status, const char *path, const char *what)
{
    char why[128];
    const int error = errno;
    if (strerror_r(error, why, sizeof why)) snprintf(why, sizeof why, "error %d", error);
    return tg__plot_fail(status, TG_ERROR_FILE, "%s: %s: %s", path, what, why);
}

/* Room for n more bytes and a zero byte. */
static bool grow(tg__bytes *to, size_t n)
{
    if (n < to->room - to->n) return true;
    size_t room = to->room ? to->room : 4096;
    while (room - to->n <= n) room *= 2;
    char *const more = room > to->room ? realloc(to->data, room) : NULL;
    if (!more) {
        if (to->status && to->status->code == TG_OK)
            tg__plot_fail(to->status, TG_ERROR_MEMORY, "no memory: %zu bytes for a picture", room);
        return false;
    }
    to->data = more;
    to->room = room;
    return true;
}

void tg__put_bytes(tg__bytes *to, const char *data, size_t n)
{
    if (!grow(to, n)) return;
    memcpy(to->data + to->n, data, n);
    to->n += n;
    to->data[to->n] = 0;
}

void tg__put(tg__bytes *to, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    const int n = vsnprintf(NULL, 0, format, list);
    va_end(list);
    if (n < 0 || !grow(to, (size_t)n)) return;
    va_start(list, format);
    vsnprintf(to->data + to->n, (size_t)n + 1, format, list);
    va_end(list);
    to->n += (size_t)n;
}

void tg__put_number(tg__bytes *to, double x)
{
    char text[40], *out = text;
    if (!isfinite(x)) {
        tg__put_bytes(to, "NaN ", 4);
        return;
    }
    snprintf(text, sizeof text, "%.9g", x);
    /* What is neither digit nor sign nor exponent is the locale's decimal point, of any length. */
    for (const char *in = text; *in; in++) {
        const bool plain = strchr("0123456789+-e", *in);
        if (plain) *out++ = *in;
        else if (out == text || out[-1] != '.') *out++ = '.';
    }
    *out++ = ' ';
    tg__put_bytes(to, text, (size_t)(out - text));
}

/* The length of the UTF-8 character at text, or 0 if there is none. */
static size_t character(const char *text)
{
    const unsigned char *const c = (const unsigned char *)text;
    const size_t n = c[0] < 0x80                   ? 1
                     : c[0] >= 0xc2 && c[0] < 0xe0 ? 2
                     : c[0] >= 0xe0 && c[0] < 0xf0 ? 3
                     : c[0] >= 0xf0 && c[0] < 0xf5 ? 4
                                                   : 0;
    for (size_t i = 1; i < n; i++)
        if ((c[i] & 0xc0) != 0x80) return 0;
    /* Not the shortest form, a surrogate, or above the last code point. */
    if (n == 3 && ((c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xed && c[1] > 0x9f))) return 0;
    if (n == 4 && ((c[0] == 0xf0 && c[1] < 0x90) || (c[0] == 0xf4 && c[1] > 0x8f))) return 0;
    return n;
}

/* Within single quotes gnuplot takes every character as it is, but for the quote (doubling it fails at
   the beginning of a string) and the line end: these are joined on, in double quotes. */
void tg__put_text(tg__bytes *to, const char *text, bool format)
{
    tg__put_bytes(to, "'", 1);
    while (*text) {
        const size_t n = character(text);
        if (n == 0) tg__put(to, "\xef\xbf\xbd"); /* U+FFFD: no character */
        else if (*text == '\'') tg__put(to, "'.\"'\".'");
        else if (*text == '%' && format) tg__put(to, "%%%%");
        else if (*text == '\n') tg__put(to, "'.\"\\n\".'");
        else if (n == 1 && ((unsigned char)*text < ' ' || *text == 0x7f)) tg__put(to, " ");
        else tg__put_bytes(to, text, n);
        text += n ? n : 1;
    }
    tg__put_bytes(to, "'", 1);
}
