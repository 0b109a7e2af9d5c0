/* What the tests of values share. Each includes this first. */
#ifndef TG_TESTS_VALUES_H
#define TG_TESTS_VALUES_H

#define _POSIX_C_SOURCE 200809L /* setenv */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* Wider than double by 11 bits on x86-64, 60 on arm64: a reference's own rounding hardly counts. */
typedef long double real;

static inline real epsilon_of(tg_type type)
{
    return type == TG_F32 ? (real)FLT_EPSILON : (real)DBL_EPSILON;
}

/* Levels that the machine does not have fall back to one that it has. Every test has a process of
   its own, in which kernels are chosen once. */
enum { LEVELS = 3 };

static inline struct criterion_test_params every_level(void)
{
    static int level[LEVELS] = { 0, 1, 2 };
    return cr_make_param_array(int, level, LEVELS);
}

static inline void choose(int level)
{
    static const char *const names[LEVELS] = { "base", "v3", "v4" };
    setenv("TAPEGRAD_LEVEL", names[level], 1);
}

/* Small tensors written out. rank1 is the rank and one, so that a tensor left out is none. */
typedef struct tensor {
    int rank1;
    int64_t dim[4];
    double x[24];
} tensor;

static inline int64_t size_of(const tensor *x)
{
    int64_t n = 1;
    for (int i = 0; i + 1 < x->rank1; i++) n *= x->dim[i];
    return n;
}

static inline tg_value leaf_of(tg_tape *t, const double *x, int rank, const int64_t *dim)
{
    return tg_leaf_new(t, TG_PARAMETER, TG_F64, x, rank, dim, TG_HERE);
}

/* Reads v, or its gradient, if it has the shape of want. */
static inline bool read_as(tg_value v, const tensor *want, bool gradient, double *x)
{
    if (tg_rank(v) != want->rank1 - 1) return false;
    for (int i = 0; i < tg_rank(v); i++)
        if (tg_dim(v, i) != want->dim[i]) return false;
    return (gradient ? tg_grad_read : tg_read)(v, x, (size_t)size_of(want));
}

/* The elements of v, or of its gradient, as text in static memory. */
static inline const char *elements(tg_value v, bool gradient)
{
    static char text[512];
    double x[24] = { 0 };
    int64_t n = tg_size(v);
    if (n < 0 || n > COUNT(x) || !(gradient ? tg_grad_read : tg_read)(v, x, (size_t)n)) n = 0;
    int used = snprintf(text, sizeof text, "rank %d:", tg_rank(v));
    for (int i = 0; i < n && used < (int)sizeof text; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, " %.17g", x[i]);
    return text;
}

/* The next number of -1 ... 1. */
static inline double uniform(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / (1 << 24) * 2 - 1;
}

#endif
