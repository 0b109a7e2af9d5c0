/* What programs print, as text. Needs _POSIX_C_SOURCE 200809L. */
#ifndef TESTS_PRINTED_H
#define TESTS_PRINTED_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad/program.h>

typedef void printing(const tg_program *p, FILE *file);

/* By tg_program_print or tg_program_print_graph; the caller frees it. */
static inline char *printed(printing *print, const tg_program *p)
{
    static char *text; /* static: gcc takes what is found in the text for a pointer to this one */
    static size_t size;
    FILE *const file = open_memstream(&text, &size);
    print(p, file);
    fclose(file);
    return text;
}

/* Whether a text is in what is printed of p, which is freed. */
static inline bool is_printed(printing *print, tg_program *p, const char *what)
{
    char *const text = printed(print, p);
    const bool found = strstr(text, what);
    free(text);
    tg_program_free(p);
    return found;
}

#endif
