/* Random numbers and places, the same in every run. */
#ifndef BENCH_DRAW_H
#define BENCH_DRAW_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* A number in lo ... hi; moves the seed on. */
static inline double draw(uint64_t *seed, double lo, double hi)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return lo + (hi - lo) * (double)(*seed >> 11) * 0x1p-53;
}

enum { PAGE_BYTES = 4096, LINE_BYTES = 64 };

/* Whole pages in which so many bytes can lie from any place of the first one on; NULL: out of memory. */
static inline char *draw_pages(size_t bytes)
{
    return aligned_alloc(PAGE_BYTES, (bytes / PAGE_BYTES + 2) * PAGE_BYTES);
}

/* An offset into a page, of whole lines of the cache; moves the seed on. */
static inline size_t draw_line(uint64_t *seed)
{
    return LINE_BYTES * (size_t)draw(seed, 0, PAGE_BYTES / LINE_BYTES);
}

#endif
