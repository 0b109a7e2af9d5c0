/* Errors: the first one sticks to its tape. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tape/tape.h"

static void print_error(const tg_error *error, void *user)
{
    (void)user;
    fprintf(stderr, "%s\n", error->message);
}

static struct {
    tg_error_handler *handler;
    void *user;
} process = { print_error, NULL };

void tg_set_error_handler(tg_error_handler *handler, void *user)
{
    process.handler = handler ? handler : print_error;
    process.user = user;
}

void tg_ignore_error(const tg_error *error, void *user)
{
    (void)error;
    (void)user;
}

/* "model.c:31: matmul: reason", without the parts that are not known. */
static void compose(char *text, size_t size, const char *op, const tg_site *site,
                    const char *format, va_list args)
{
    int used = 0;
    if (site && site->file) used = snprintf(text, size, "%s:%d: ", site->file, site->line);
    if (op && used >= 0 && (size_t)used < size)
        used += snprintf(text + used, size - (size_t)used, "%s: ", op);
    if (used >= 0 && (size_t)used < size) vsnprintf(text + used, size - (size_t)used, format, args);
}

static void report(const tg_error *error, tg_error_handler *handler, void *user)
{
    if (handler) handler(error, user);
    else process.handler(error, process.user);
    if (getenv("TAPEGRAD_BREAK")) raise(SIGTRAP);
}

tg_value tg__error(tg_tape *t, tg_code code, const char *op, const tg_site *site,
                   const char *format, ...)
{
    if (t && t->failed) return (tg_value){ t, 0, 0 };
    char local[sizeof((tg_tape *)0)->message];
    char *text = t ? t->message : local;
    va_list args;
    va_start(args, format);
    compose(text, sizeof local, op, site, format, args);
    va_end(args);
    const size_t used = strlen(text);
    if (t && t->context) t->context->describe(t->context, text + used, sizeof local - used);
    const tg_error error = { code, text, site ? site->file : NULL, site ? site->line : 0, op };
    if (t) {
        t->failed = true;
        t->error = error;
        tg__set_limit(t);
    }
    report(&error, t ? t->on_error : NULL, t ? t->user : NULL);
    return (tg_value){ t, 0, 0 };
}

void tg__error_too(tg_tape *t, const tg_tape *other)
{
    if (t->failed) return;
    memcpy(t->message, other->message, sizeof t->message);
    t->error = other->error;
    t->error.message = t->message;
    t->failed = true;
    tg__set_limit(t);
}

const tg_error *tg_error_of(const tg_tape *t)
{
    return t && t->failed ? &t->error : NULL;
}

void tg_error_clear(tg_tape *t)
{
    if (!t) return;
    t->failed = false;
    tg__set_limit(t);
}
