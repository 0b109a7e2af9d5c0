/* The command line: see cli.h. */
#define _GNU_SOURCE 1 /* program_invocation_short_name */
#include "common/cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int cli_int(struct argp_state *state, const char *option, const char *text, int lo, int hi)
{
    char *end;
    errno = 0;
    const long value = strtol(text, &end, 10);
    if (end == text || *end || errno || value < lo || value > hi)
        argp_error(state, "%s takes a whole number from %d to %d, not '%s'", option, lo, hi, text);
    return (int)value;
}

uint64_t cli_seed(struct argp_state *state, const char *option, const char *text)
{
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end || errno || strchr(text, '-'))
        argp_error(state, "%s takes a whole number from 0 to 2^64 - 1, not '%s'", option, text);
    return value;
}

double cli_real(struct argp_state *state, const char *option, const char *text, double lo,
                double hi)
{
    char *end;
    const double value = strtod(text, &end);
    if (end == text || *end || !(value >= lo && value <= hi))
        argp_error(state, "%s takes a number from %g to %g, not '%s'", option, lo, hi, text);
    return value;
}

int cli_choice(struct argp_state *state, const char *option, const char *text,
               const char *const *names)
{
    char list[256] = "";
    for (int i = 0; names[i]; i++) {
        if (strcmp(text, names[i]) == 0) return i;
        const size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    }
    argp_error(state, "%s is one of %s, not '%s'", option, list, text);
    return 0;
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fflush(stdout);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

void *allocate(size_t n, size_t size)
{
    void *memory = calloc(n ? n : 1, size);
    if (!memory) fail("no memory for %zu elements of %zu bytes", n, size);
    return memory;
}
