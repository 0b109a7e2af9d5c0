/* Random graphs are drawn with this: the same ones in every run. */
#ifndef TESTS_DRAW_H
#define TESTS_DRAW_H

#include <stdint.h>

static uint32_t state = 20261121u;

static uint32_t draw(uint32_t below)
{
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
}

/* -1 ... 1 */
static double draw_real(void)
{
    return (double)draw(1 << 16) / (1 << 15) - 1;
}

#endif
