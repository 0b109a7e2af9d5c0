/* Puts together what several benchmarks have written:

       summary [OPTION ...] FILE ...       FILE: rows in JSON, as the benchmarks' --json writes them

   Holds the rows against the list of rows and their targets (--rows), an earlier run (--baseline), draws
   them (--plot), writes them as one file (--json). Fails if a row is missing, unknown, wrong or got
   slower. */
#define _DEFAULT_SOURCE
#include <argp.h>
#include <stdlib.h>

#include "results.h"

enum { NAMES = 64 };

static struct {
    const char *json, *baseline, *plot, *rows, *reasons;
    char *name[NAMES];
    int names;
    json *all;
} run;

static const struct argp_option options[] = {
    { "json", 'j', "FILE", 0, "write all rows to FILE", 0 },
    { "baseline", 'b', "FILE", 0, "hold them against the rows in FILE", 0 },
    { "plot", 'p', "FILE", 0, "draw them (FILE.png or FILE.svg)", 0 },
    { "rows", 'r', "FILE", 0, "the list of rows there must be, and their targets", 0 },
    { "reasons", 'w', "FILE", 0, "why targets are missed", 0 },
    { "only", 'o', "NAME", 0, "of that list only those that begin with NAME; may be repeated", 0 },
    { 0 },
};

/* Moves the rows of a file behind all others. */
static void take(const char *path, struct argp_state *state)
{
    json *const list = json_read_file(path);
    if (!list || list->kind != JSON_LIST) argp_failure(state, 1, 0, "%s: there is no list of rows in it", path);
    for (size_t i = 0; list && i < list->count; i++) *json_add(run.all, NULL, JSON_NULL) = list->item[i];
    if (list) list->count = 0;
    json_free(list);
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    switch (key) {
    case 'j': run.json = text; break;
    case 'b': run.baseline = text; break;
    case 'p': run.plot = text; break;
    case 'r': run.rows = text; break;
    case 'w': run.reasons = text; break;
    case 'o':
        if (run.names == NAMES) argp_error(state, "more than %d names", NAMES);
        run.name[run.names++] = text;
        break;
    case ARGP_KEY_ARG: take(text, state); break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const struct argp argp = { options, parse, "FILE ...", "Puts together what benchmarks have written.", NULL, NULL, NULL };
    run.all = json_new(JSON_LIST);
    if (argp_parse(&argp, argc, argv, 0, NULL, NULL)) return 1;
    bool ok = !run.reasons || reasons_read(run.reasons);
    if (run.rows) ok &= results_targets(run.all, run.rows, run.names, run.name);
    if (run.baseline) ok &= results_compare(run.all, run.baseline);
    if (run.plot) ok &= results_plot(run.all, run.plot);
    if (run.json) ok &= results_write(run.all, run.json);
    reasons_end();
    json_free(run.all);
    return ok ? 0 : 1;
}
