/* What passes of the compiler leave as it is: a loss and its gradients, compiled with and without. */
#ifndef TESTS_PASSES_H
#define TESTS_PASSES_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad.h>
#include <tapegrad/program.h>
#include <tapegrad/short.h>

#include "printed.h"

/* A loss of x, of n elements, and w, of m, in rows unless there are none. */
typedef struct model {
    Value (*loss)(Value x, Value w);
    int64_t n, m, rows;
} model;

static inline void *drawn(tg_type type, int64_t n, unsigned seed)
{
    void *const x = malloc((size_t)n * 8 + 1);
    cr_assert(x);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        const double v = (double)(seed >> 8) / (1 << 23) - 1;
        if (type == TG_F64) ((double *)x)[i] = v;
        else ((float *)x)[i] = (float)v;
    }
    return x;
}

static inline double number_at(tg_type type, const void *x, int64_t i)
{
    return type == TG_F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

static inline Value leaf(tg_tape *t, tg_type type, const void *x, int64_t n, int64_t rows)
{
    const int64_t dim[] = { rows ? rows : n, rows ? n / rows : 0 };
    return tg_leaf_new(t, TG_PARAMETER, type, x, rows ? 2 : 1, dim, NULL);
}

static tg_tape *recording; /* by a model */

/* The program of the gradient: x varies, or not. */
static inline tg_program *compiled(const model *m, tg_type type, bool varies, const tg_compile_options *o)
{
    tg_tape *const t = recording = tg_tape_new(&(tg_tape_options){ .type = type });
    void *const x0 = drawn(type, m->n, 1), *const w0 = drawn(type, m->m, 2);
    const Value all[] = { leaf(t, type, x0, m->n, 0), leaf(t, type, w0, m->m, m->rows) };
    const Value loss = m->loss(all[0], all[1]);
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&loss, 1, all, varies, all + varies, 2 - varies, o, &status);
    cr_assert(p, "%s", status.message);
    const tg_gradient_options by = { .wrt = (const int[]){ 0, 1 }, .n_wrt = 2 };
    tg_program *const g = tg_gradient_program(p, &by, &status);
    cr_assert(g, "%s", status.message);
    tg_program_free(p);
    tg_tape_free(t);
    free(x0);
    free(w0);
    return g;
}

/* The loss, its gradients by x, and by w: *n numbers. */
static inline void *results(const model *m, tg_type type, bool varies, int64_t count, const tg_compile_options *o,
                            int64_t *n)
{
    const size_t size = type == TG_F64 ? 8 : 4;
    void *const x = drawn(type, count * m->n, 3), *const w = drawn(type, m->m, 4);
    *n = 1 + count * m->n + m->m;
    char *const y = malloc((size_t)*n * size);
    tg_program *const g = compiled(m, type, varies, o);
    tg_status status = { 0 };
    tg_workspace *const space = tg_workspace_new(g, 1, &status);
    for (int again = 0; again < 2; again++) /* nothing of a run is left for the next */
        cr_assert(tg_run(g, space, count, (const void *[]){ x, w },
                         (void *[]){ y, y + size, y + size * (size_t)(1 + count * m->n) }, &status),
                  "%s", status.message);
    tg_workspace_free(space);
    tg_program_free(g);
    free(x);
    free(w);
    return y;
}

/* To a part of the largest number. */
static inline void agree(tg_type type, const void *got, const void *expected, int64_t n, double part, const char *what)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(number_at(type, expected, i)));
    for (int64_t i = 0; i < n; i++) {
        const double a = number_at(type, got, i), b = number_at(type, expected, i);
        cr_assert(fabs(a - b) <= part * largest, "%s, number %d of %d: %.17g, not %.17g", what, (int)i, (int)n, a, b);
    }
}

/* With all passes, and without each of n, against none at all. */
static inline void check_passes(const model *m, tg_type type, bool varies, int64_t count, const unsigned *passes,
                                int n_passes, double part)
{
    int64_t n;
    void *const expected = results(m, type, varies, count, &(tg_compile_options){ .without = ~0u }, &n);
    for (int p = -1; p < n_passes; p++) {
        const tg_compile_options o = { .without = p < 0 ? 0 : passes[p] };
        char what[60];
        snprintf(what, sizeof what, "without %u, %s %d, f32 %d", o.without, varies ? "instances" : "of", (int)count,
                 type == TG_F32);
        void *const got = results(m, type, varies, count, &o, &n);
        agree(type, got, expected, n, part, what);
        free(got);
    }
    free(expected);
}

static inline bool prints(const model *m, bool varies, const tg_compile_options *o, const char *what)
{
    return is_printed(tg_program_print, compiled(m, TG_F64, varies, o), what);
}

#endif
