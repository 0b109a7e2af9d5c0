/* What all problems use: see gradbench.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../timing.h"
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

/* ---- inputs ------------------------------------------------------------------------------------ */

void given_add(given *all, double *x, int64_t n, tg_value leaf)
{
    must(all->n < MOST_GIVEN, "too many inputs");
    all->of[all->n].x = x;
    all->of[all->n].first = *x;
    all->of[all->n].size = n;
    all->of[all->n++].leaf = leaf;
}

void given_vary(given *all)
{
    uint64_t seed = 10;
    for (int i = 0; i < all->n; i++)
        for (int64_t j = 0; j < all->of[i].size; j++) {
            double *const x = all->of[i].x + j;
            *x += draw(&seed, -.01, .01) * (*x != 0 ? *x : 1);
        }
    for (int i = 0; i < all->n; i++) {
        all->of[i].first = *all->of[i].x;
        if (all->of[i].leaf.tape) must(tg_set(all->of[i].leaf, all->of[i].x, (size_t)all->of[i].size), "other data");
    }
}

void given_change(const given *all, bool leaves)
{
    const double by = timed_factor();
    for (int i = 0; i < all->n; i++) {
        const tg_value leaf = all->of[i].leaf;
        *(leaves && leaf.tape ? tg_edit(leaf) : all->of[i].x) = all->of[i].first * by;
    }
}

/* ---- the tape ---------------------------------------------------------------------------------- */

static tg_tape *newest;

tg_tape *row_tape(void)
{
    return newest = tg_tape_new(NULL);
}

size_t row_bytes(void)
{
    return newest ? tg_stats(newest).bytes_held : 0;
}
