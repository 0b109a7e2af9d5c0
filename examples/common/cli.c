/* The command line: see cli.h. */
#define _GNU_SOURCE 1 /* program_invocation_short_name */
#include "common/cli.h"

#include <argp.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---------------------------------------------------------------------------------- */

static bool read_whole(const char *text, const cli_option *o, int *value)
{
    char *end;
    errno = 0;
    const long number = strtol(text, &end, 10);
    if (end == text || *end || errno || number < (long)o->lo || number > (long)o->hi) return false;
    *value = (int)number;
    return true;
}

static bool read_real(const char *text, const cli_option *o, double *value)
{
    char *end;
    const double number = strtod(text, &end);
    if (end == text || *end || !(number >= o->lo && number <= o->hi)) return false;
    *value = number;
    return true;
}

static bool read_seed(const char *text, uint64_t *value)
{
    char *end;
    errno = 0;
    const unsigned long long number = strtoull(text, &end, 10);
    if (end == text || *end || errno || strchr(text, '-')) return false;
    *value = number;
    return true;
}

static bool read_choice(const char *text, const cli_option *o)
{
    for (int i = 0; o->among[i]; i++)
        if (strcmp(text, o->among[i]) == 0) {
            *o->choice = i;
            return true;
        }
    return false;
}

static void list_choices(FILE *out, const cli_option *o)
{
    for (int i = 0; o->among[i]; i++) fprintf(out, "%s%s", i ? ", " : "", o->among[i]);
}

/* What is printed into a stream goes to *text, which is the caller's to free. */
static FILE *stream_new(char **text, size_t *size)
{
    FILE *out = open_memstream(text, size);
    if (!out) fail("no memory for a line of text");
    return out;
}

static void refuse_choice(struct argp_state *state, const cli_option *o, const char *text)
{
    char *list;
    size_t size;
    FILE *out = stream_new(&list, &size);
    list_choices(out, o);
    fclose(out);
    argp_error(state, "--%s is one of %s, not '%s'", o->name, list, text);
    free(list);
}

/* ARGP_KEY_ARG, for an argument, is 0, the key of its row. */
static error_t parse(int key, char *text, struct argp_state *state)
{
    const cli_option *o = state->input;
    while (o->name && o->key != key) o++;
    if (!o->name || (key == 0 && state->arg_num > 0 && !o->count)) return ARGP_ERR_UNKNOWN;

    double *real = o->real;
    if (o->count) {
        if (state->arg_num == 0) *o->count = 0;
        if (*o->count == o->most) argp_error(state, "there are more than %d numbers", o->most);
        real += (*o->count)++;
    }
    const char *const dashes = key ? "--" : "";
    if (o->flag) *o->flag = true;
    if (o->text) *o->text = text;
    if (o->choice && !read_choice(text, o)) refuse_choice(state, o, text);
    if (o->whole && !read_whole(text, o, o->whole))
        argp_error(state, "%s%s takes a whole number from %.0f to %.0f, not '%s'", dashes, o->name,
                   o->lo, o->hi, text);
    if (o->real && !read_real(text, o, real))
        argp_error(state, "%s%s takes a number from %g to %g, not '%s'", dashes, o->name, o->lo,
                   o->hi, text);
    if (o->seed && !read_seed(text, o->seed))
        argp_error(state, "%s%s takes a whole number from 0 to 2^64 - 1, not '%s'", dashes, o->name,
                   text);
    return 0;
}

/* ---- help ------------------------------------------------------------------------------------ */

static bool is_within(const cli_option *o, double value)
{
    return value >= o->lo && value <= o->hi;
}

static void print_default(FILE *out, const cli_option *o)
{
    if (o->text && *o->text) fprintf(out, " (default %s)", *o->text);
    if (o->choice) fprintf(out, " (default %s)", o->among[*o->choice]);
    if (o->seed) fprintf(out, " (default %" PRIu64 ")", *o->seed);
    if (o->whole && is_within(o, *o->whole)) fprintf(out, " (default %d)", *o->whole);
    if (o->real && is_within(o, *o->real)) {
        fprintf(out, " (default");
        for (int i = 0; i < (o->count ? *o->count : 1); i++) fprintf(out, " %g", o->real[i]);
        fprintf(out, ")");
    }
}

static char *describe(const cli_option *o)
{
    char *text;
    size_t size;
    FILE *out = stream_new(&text, &size);
    fputs(o->what, out);
    if (o->choice) {
        fprintf(out, ": ");
        list_choices(out, o);
    }
    if (!strstr(o->what, "default")) print_default(out, o);
    fclose(out);
    return text;
}

void cli_parse(int argc, char **argv, const char *what, const cli_option *options)
{
    size_t n = 0;
    while (options[n].name) n++;
    struct argp_option *const row = allocate(n + 1, sizeof *row);
    char **const text = allocate(n, sizeof *text), argument[64] = "";
    for (size_t i = 0; i < n; i++) {
        const cli_option *o = &options[i];
        text[i] = describe(o);
        const int in_this_order = (int)i + 1, flags = o->key ? 0 : OPTION_DOC;
        row[i] = (struct argp_option){ o->name, o->key, o->value, flags, text[i], in_this_order };
        if (!o->key) snprintf(argument, sizeof argument, o->count ? "[%s ...]" : "[%s]", o->name);
    }
    const struct argp line = {
        .options = row, .parser = parse, .args_doc = *argument ? argument : NULL, .doc = what
    };
    if (argp_parse(&line, argc, argv, 0, NULL, (void *)options) != 0) exit(EXIT_FAILURE);
    for (size_t i = 0; i < n; i++) free(text[i]);
    free(text);
    free(row);
}

/* ---- the way out ----------------------------------------------------------------------------- */

static void complain(const char *format, va_list arguments)
{
    fflush(stdout);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void cli_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments);
    va_end(arguments);
    argp_help(&(struct argp){ 0 }, stderr, ARGP_HELP_SEE, program_invocation_short_name);
    exit(argp_err_exit_status);
}

void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments);
    va_end(arguments);
    exit(EXIT_FAILURE);
}

void *allocate(size_t n, size_t size)
{
    void *memory = calloc(n ? n : 1, size);
    if (!memory) fail("no memory for %zu elements of %zu bytes", n, size);
    return memory;
}
