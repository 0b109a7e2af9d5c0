/* A user's operation with everything: y = a^3 b, elementwise, for the tests of such, on tapes and in programs. */
#ifndef TESTS_CUBES_H
#define TESTS_CUBES_H

#include <math.h>
#include <string.h>

#include <tapegrad.h>

static double at(const tg_array *x, int64_t i)
{
    return x->type == TG_F64 ? ((const double *)x->data)[i] : (double)((const float *)x->data)[i];
}

static void put(const tg_array *x, int64_t i, double value)
{
    if (x->type == TG_F64) ((double *)x->data)[i] = value;
    else ((float *)x->data)[i] = (float)value;
}

static bool cubes_shape(const tg_custom_call *c, int *rank, int64_t *dim)
{
    if (c->x[0].size != c->x[1].size)
        return tg_custom_fail(c, "%lld and %lld elements", (long long)c->x[0].size,
                              (long long)c->x[1].size);
    *rank = c->x[0].rank;
    memcpy(dim, c->x[0].dim, (size_t)c->x[0].rank * sizeof *dim);
    return true;
}

static bool cubes_forward(const tg_custom_call *c)
{
    for (int64_t i = 0; i < c->y.size; i++)
        put(&c->y, i, pow(at(&c->x[0], i), 3) * at(&c->x[1], i));
    return true;
}

static bool cubes_backward(const tg_custom_call *c)
{
    for (int64_t i = 0; i < c->y.size; i++) {
        const double a = at(&c->x[0], i), b = at(&c->x[1], i), g = at(&c->g, i);
        if (c->wanted[0]) put(&c->dx[0], i, at(&c->dx[0], i) + 3 * a * a * b * g);
        if (c->wanted[1]) put(&c->dx[1], i, at(&c->dx[1], i) + a * a * a * g);
    }
    return true;
}

static bool cubes_tangent(const tg_custom_call *c)
{
    for (int64_t i = 0; i < c->y.size; i++) {
        const double a = at(&c->x[0], i), b = at(&c->x[1], i);
        double d = 0;
        if (c->wanted[0]) d += 3 * a * a * b * at(&c->dx[0], i);
        if (c->wanted[1]) d += a * a * a * at(&c->dx[1], i);
        put(c->dy, i, d);
    }
    return true;
}

static bool cubes_derivative(const tg_custom_derivation *d)
{
    const tg_value square = tg_square(d->x[0]);
    if (d->wanted[0]) d->dx[0] = tg_mul(d->g, tg_mul(3, tg_mul(square, d->x[1])));
    if (d->wanted[1]) d->dx[1] = tg_mul(d->g, tg_mul(square, d->x[0]));
    return true;
}

static const tg_custom cubes = { .name = "cubes",
                                 .operands = 2,
                                 .shape = cubes_shape,
                                 .forward = cubes_forward,
                                 .backward = cubes_backward,
                                 .derivative = cubes_derivative,
                                 .tangent = cubes_tangent };

#endif
