/* Why targets are missed: see results.h. */
#define _DEFAULT_SOURCE
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "results.h"

enum { LINE = 1000 };

static struct reason {
    char row[ID], key[64], *text; /* of one or more lines, each with its end */
    bool used;
} *reasons;
static size_t n_reasons;

static void *or_end(void *p)
{
    if (!p) exit(1);
    return p;
}

static void begin_reason(const char *line)
{
    reasons = or_end(realloc(reasons, (n_reasons + 1) * sizeof *reasons));
    struct reason *const r = &reasons[n_reasons++];
    *r = (struct reason){ .text = or_end(calloc(1, 1)) };
    sscanf(line, "%159s %63s", r->row, r->key);
}

static void continue_reason(const char *line)
{
    struct reason *const r = &reasons[n_reasons - 1];
    const char *const begin = line + strspn(line, " \t");
    const size_t used = strlen(r->text), more = strlen(begin);
    r->text = or_end(realloc(r->text, used + more + 1));
    memcpy(r->text + used, begin, more + 1);
}

bool reasons_read(const char *path)
{
    FILE *const f = fopen(path, "r");
    if (!f) {
        perror(path);
        return false;
    }
    char line[LINE];
    while (fgets(line, sizeof line, f)) {
        if (*line == '#' || *line == '\n') continue;
        if (*line != ' ') begin_reason(line);
        else if (n_reasons) continue_reason(line);
    }
    fclose(f);
    return true;
}

bool reasons_print(const char *id, const char *key)
{
    bool found = false;
    for (size_t i = 0; i < n_reasons; i++) {
        struct reason *const r = &reasons[i];
        if (fnmatch(r->row, id, 0) != 0 || fnmatch(r->key, key, 0) != 0) continue;
        if (!r->used)
            for (const char *line = r->text; *line; line += strcspn(line, "\n") + 1)
                printf("      %.*s\n", (int)strcspn(line, "\n"), line);
        else printf("      see %s %s above\n", r->row, r->key);
        r->used = found = true;
    }
    return found;
}

void reasons_end(void)
{
    for (size_t i = 0; i < n_reasons; i++) free(reasons[i].text);
    free(reasons);
    reasons = NULL;
    n_reasons = 0;
}
