/* Plain loops: convolutions and pooling with windows of 3, stride 1 and padding 1 (pooling: windows
   of 2, side by side), samples (n, channels, h, w). */
#include "plain_loops.h"

enum { TAPS = 3 };

/* The positions of a row of length n that tap k of a window may begin at. */
static int64_t first_at(int64_t k)
{
    return k < 1 ? 1 - k : 0;
}

static int64_t end_at(int64_t k, int64_t n)
{
    return k > 1 ? n + 1 - k : n;
}

/* Calls ROW_WORK for every sample, output and input channel, tap and row of the result: y, x and w
   are then where the row of the result, the row of the operand and the tap's weight lie, and
   columns first ... end - 1 are within the operand. */
#define EACH_TAP(SAMPLES, OUT, IN, H, L, ROWS_OF_TAPS, ROW_WORK)                                   \
    for (int64_t n = 0; n < SAMPLES; n++)                                                          \
        for (int64_t o = 0; o < OUT; o++)                                                          \
            for (int64_t p = 0; p < IN; p++)                                                       \
                for (int64_t a = 0; a < ROWS_OF_TAPS; a++)                                         \
                    for (int64_t b = 0; b < TAPS; b++) {                                           \
                        const int64_t shift = ROWS_OF_TAPS > 1 ? a - 1 : 0;                        \
                        const int64_t first = first_at(b), end = end_at(b, L);                     \
                        for (int64_t i = shift < 0 ? 1 : 0; i < H - (shift > 0); i++) {            \
                            const int64_t y = ((n * OUT + o) * H + i) * L;                         \
                            const int64_t x = ((n * IN + p) * H + i + shift) * L + b - 1;          \
                            ROW_WORK                                                               \
                        }                                                                          \
                    }

typedef struct sizes {
    int64_t samples, in, out, h, l, rows;
} sizes;

/* Of x (n, in, h, w) or (n, in, w). */
static sizes sizes_of(const tg__call *c)
{
    const tg__shape *const x = c->x[0].s;
    const bool plane = x->rank == 4;
    return (sizes){ x->dim[0],           x->dim[1],       c->y.s->dim[1], plane ? x->dim[2] : 1,
                    x->dim[x->rank - 1], plane ? TAPS : 1 };
}

static void set_bias(const tg__call *c, const sizes *z)
{
    const int64_t n = z->h * z->l;
    for (int64_t i = 0; i < z->samples * z->out; i++)
        for (int64_t j = 0; j < n; j++) Y[i * n + j] = X(2)[i % z->out];
}

static void add_bias_gradient(const tg__call *c, const sizes *z)
{
    const int64_t n = z->h * z->l;
    for (int64_t i = 0; i < z->samples * z->out; i++) {
        real s = 0;
        for (int64_t j = 0; j < n; j++) s += G[i * n + j];
        DX(2)[i % z->out] += s;
    }
}

/* w (out, in, ...). */
#define WEIGHT (((o * z.in + p) * z.rows + a) * TAPS + b)

VALUE(conv)
{
    const sizes z = sizes_of(c);
    const real *from = X(0), *w = X(1);
    real *restrict to = Y;
    set_bias(c, &z);
    EACH_TAP(z.samples, z.out, z.in, z.h, z.l, z.rows, {
        const real v = w[WEIGHT];
        for (int64_t j = first; j < end; j++) to[y + j] += v * from[x + j];
    })
}

GRADIENT(conv)
{
    const sizes z = sizes_of(c);
    const real *from = X(0), *w = X(1), *g = G;
    real *restrict d = DX(0), *restrict dw = DX(1);
    add_bias_gradient(c, &z);
    EACH_TAP(z.samples, z.out, z.in, z.h, z.l, z.rows, {
        const real v = w[WEIGHT];
        real s = 0;
        for (int64_t j = first; j < end; j++) d[x + j] += v * g[y + j];
        for (int64_t j = first; j < end; j++) s += from[x + j] * g[y + j];
        dw[WEIGHT] += s;
    })
}

/* The transposed one: the same with the result in the operand's place; w (in, out, ...). */
VALUE(conv_transpose)
{
    const sizes z = sizes_of(c);
    const real *from = X(0), *w = X(1);
    real *restrict to = Y;
    set_bias(c, &z);
    EACH_TAP(z.samples, z.in, z.out, z.h, z.l, z.rows, {
        const real v = w[((o * z.out + p) * z.rows + a) * TAPS + b];
        for (int64_t j = first; j < end; j++) to[x + j] += v * from[y + j];
    })
}

GRADIENT(conv_transpose)
{
    const sizes z = sizes_of(c);
    const real *from = X(0), *w = X(1), *g = G;
    real *restrict d = DX(0), *restrict dw = DX(1);
    add_bias_gradient(c, &z);
    EACH_TAP(z.samples, z.in, z.out, z.h, z.l, z.rows, {
        const int64_t at = ((o * z.out + p) * z.rows + a) * TAPS + b;
        real s = 0;
        for (int64_t j = first; j < end; j++) d[y + j] += w[at] * g[x + j];
        for (int64_t j = first; j < end; j++) s += from[y + j] * g[x + j];
        dw[at] += s;
    })
}

/* ---- pooling --------------------------------------------------------------------------------- */

/* Where the largest of a window begins at x, in rows of n. */
static int64_t largest_of(const real *x, int64_t n)
{
    int64_t at = 0;
    if (x[1] > x[at]) at = 1;
    if (x[n] > x[at]) at = n;
    if (x[n + 1] > x[at]) at = n + 1;
    return at;
}

#define EACH_WINDOW                                                                                \
    for (int64_t s = 0, h = DIM(0, 2), l = DIM(0, 3); s < DIM(0, 0) * DIM(0, 1); s++)              \
        for (int64_t i = 0; i < h / 2; i++)                                                        \
            for (int64_t j = 0, y = (s * (h / 2) + i) * (l / 2), x = (s * h + 2 * i) * l;          \
                 j < l / 2; j++, x += 2, y++)

VALUE(max_pool2d)
{
    const real *from = X(0);
    real *restrict to = Y;
    EACH_WINDOW to[y] = from[x + largest_of(from + x, l)];
}

GRADIENT(max_pool2d)
{
    const real *from = X(0), *g = G;
    real *restrict d = DX(0);
    EACH_WINDOW d[x + largest_of(from + x, l)] += g[y];
}

VALUE(avg_pool2d)
{
    const real *from = X(0);
    real *restrict to = Y;
    EACH_WINDOW to[y] = (from[x] + from[x + 1] + from[x + l] + from[x + l + 1]) / 4;
}

GRADIENT(avg_pool2d)
{
    const real *g = G;
    real *restrict d = DX(0);
    EACH_WINDOW
    {
        const real share = g[y] / 4;
        d[x] += share, d[x + 1] += share, d[x + l] += share, d[x + l + 1] += share;
    }
}

#define PLANES TENSOR(-2, 2, N, 8, 16, 16), TENSOR(-2, 2, 8, 8, TAPS, TAPS), TENSOR(-2, 2, 8)
#define LINES TENSOR(-2, 2, N, 8, 64), TENSOR(-2, 2, 8, 8, TAPS), TENSOR(-2, 2, 8)
#define POOLED .size = { 1, 16, 2000 }, OF(1, TENSOR(-2, 2, N, 4, 16, 16))

const plain_row PLAIN(window)[] = {
    ROW_LIKE(conv1d, conv, .size = { 2, 16, 1000 }, OF(3, LINES), BY(conv, .padding = 1)),
    ROW_LIKE(conv2d, conv, .size = { 1, 8, 200 }, OF(3, PLANES), BY(conv, .padding = 1)),
    ROW_LIKE(conv_transpose1d, conv_transpose, .size = { 2, 16, 1000 }, OF(3, LINES),
             BY(conv_transpose, .padding = 1)),
    ROW_LIKE(conv_transpose2d, conv_transpose, .size = { 1, 8, 200 }, OF(3, PLANES),
             BY(conv_transpose, .padding = 1)),
    ROW(max_pool2d, POOLED, BY(max_pool, .kernel_size = 2)),
    ROW(avg_pool2d, POOLED, BY(avg_pool, .kernel_size = 2)),
    END
};
