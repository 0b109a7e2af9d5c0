/* What all problems use: see gradbench.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gradbench.h"

void must(bool ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "gradbench: %s\n", what);
    exit(1);
}

void *room(size_t n, size_t size)
{
    void *const p = aligned_alloc(64, (n * size + 64) / 64 * 64);
    must(p, "no memory");
    memset(p, 0, n * size);
    return p;
}

static tg_tape *newest;

tg_tape *row_tape(void)
{
    return newest = tg_tape_new(NULL);
}

size_t row_bytes(void)
{
    return newest ? tg_stats(newest).bytes_held : 0;
}
