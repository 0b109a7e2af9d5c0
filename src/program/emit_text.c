/* The text that is being written as C. */
#include <stdarg.h>
#include <stdio.h>

#include "program/emit.h"

static void write_text(tg__emitter *e, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    const int n = vsnprintf(NULL, 0, format, args);
    tg__arena *const a = e->to;
    if (n < 0 || !tg__arena_grow(a, a->used + (size_t)n + 1)) {
        tg__graph_fail(e->g, TG_ERROR_MEMORY, "no memory");
    } else {
        vsnprintf(a->data + a->used, (size_t)n + 1, format, again);
        a->used += (size_t)n;
    }
    va_end(again);
}

void tg__write(tg__emitter *e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_text(e, format, args);
    va_end(args);
}

void tg__write_line(tg__emitter *e, const char *format, ...)
{
    tg__write(e, "\n%*s", 4 * e->depth, "");
    va_list args;
    va_start(args, format);
    write_text(e, format, args);
    va_end(args);
}
