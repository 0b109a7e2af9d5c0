/* Plain loops: operations that move elements. */
#include "plain_loops.h"

/* x is (m, n) as a view of an (n, m) array. */
VALUE(contiguous)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *x = X(0);
    real *restrict y = Y;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) y[i * n + j] = x[j * m + i];
}

GRADIENT(contiguous)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *g = G;
    real *restrict d = DX(0);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) d[j * m + i] += g[i * n + j];
}

static void add(int64_t n, real *restrict d, const real *g)
{
    for (int64_t i = 0; i < n; i++) d[i] += g[i];
}

VALUE(one_behind_the_other)
{
    const size_t n = (size_t)COUNT(0);
    memcpy(Y, X(0), n * sizeof(real));
    memcpy(Y + n, X(1), n * sizeof(real));
}

GRADIENT(one_behind_the_other)
{
    const int64_t n = COUNT(0);
    add(n, DX(0), G);
    add(n, DX(1), G + n);
}

VALUE(cat_rows)
{
    const int64_t n = DIM(0, 1);
    for (int64_t i = 0; i < DIM(0, 0); i++) {
        memcpy(Y + 2 * i * n, X(0) + i * n, (size_t)n * sizeof(real));
        memcpy(Y + 2 * i * n + n, X(1) + i * n, (size_t)n * sizeof(real));
    }
}

GRADIENT(cat_rows)
{
    const int64_t n = DIM(0, 1);
    for (int64_t i = 0; i < DIM(0, 0); i++) {
        add(n, DX(0) + i * n, G + 2 * i * n);
        add(n, DX(1) + i * n, G + 2 * i * n + n);
    }
}

VALUE(interleaved)
{
    const real *a = X(0), *b = X(1);
    real *restrict y = Y;
    for (int64_t i = 0; i < COUNT(0); i++) y[2 * i] = a[i], y[2 * i + 1] = b[i];
}

GRADIENT(interleaved)
{
    const real *g = G;
    real *restrict a = DX(0), *restrict b = DX(1);
    for (int64_t i = 0; i < COUNT(0); i++) a[i] += g[2 * i], b[i] += g[2 * i + 1];
}

static int64_t shift_of(const tg__call *c, int64_t n)
{
    return ((const tg_roll_attributes *)c->attributes)->shift % n;
}

VALUE(roll)
{
    const int64_t n = COUNT(0), shift = shift_of(c, n);
    memcpy(Y + shift, X(0), (size_t)(n - shift) * sizeof(real));
    memcpy(Y, X(0) + n - shift, (size_t)shift * sizeof(real));
}

GRADIENT(roll)
{
    const int64_t n = COUNT(0), shift = shift_of(c, n);
    add(n - shift, DX(0), G + shift);
    add(shift, DX(0) + n - shift, G);
}

VALUE(roll_rows)
{
    const int64_t n = DIM(0, 1), shift = shift_of(c, n);
    const real *x = X(0);
    real *restrict y = Y;
    for (int64_t i = 0; i < DIM(0, 0); i++, x += n, y += n) {
        for (int64_t j = 0; j < n - shift; j++) y[j + shift] = x[j];
        for (int64_t j = 0; j < shift; j++) y[j] = x[j + n - shift];
    }
}

GRADIENT(roll_rows)
{
    const int64_t n = DIM(0, 1), shift = shift_of(c, n);
    const real *g = G;
    real *restrict d = DX(0);
    for (int64_t i = 0; i < DIM(0, 0); i++, d += n, g += n) {
        for (int64_t j = 0; j < n - shift; j++) d[j] += g[j + shift];
        for (int64_t j = 0; j < shift; j++) d[j + n - shift] += g[j];
    }
}

/* Twice down and three times to the right. */
enum { DOWN = 2, RIGHT = 3 };

VALUE(tile)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    real *y = Y;
    for (int64_t k = 0; k < DOWN; k++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t l = 0; l < RIGHT; l++, y += n)
                memcpy(y, X(0) + i * n, (size_t)n * sizeof(real));
}

GRADIENT(tile)
{
    const int64_t m = DIM(0, 0), n = DIM(0, 1);
    const real *g = G;
    for (int64_t k = 0; k < DOWN; k++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t l = 0; l < RIGHT; l++, g += n) add(n, DX(0) + i * n, g);
}

VALUE(pad)
{
    const tg_pad_attributes *const a = c->attributes;
    const int64_t n = DIM(0, 1), all = a->before + n + a->after;
    for (int64_t i = 0; i < DIM(0, 0); i++) {
        real *y = Y + i * all;
        for (int64_t j = 0; j < a->before; j++) y[j] = (real)a->value;
        memcpy(y + a->before, X(0) + i * n, (size_t)n * sizeof(real));
        for (int64_t j = a->before + n; j < all; j++) y[j] = (real)a->value;
    }
}

GRADIENT(pad)
{
    const tg_pad_attributes *const a = c->attributes;
    const int64_t n = DIM(0, 1), all = a->before + n + a->after;
    for (int64_t i = 0; i < DIM(0, 0); i++) add(n, DX(0) + i * n, G + i * all + a->before);
}

VALUE(tril)
{
    const int64_t n = DIM(0, 1);
    const real *x = X(0);
    real *restrict y = Y;
    for (int64_t i = 0; i < DIM(0, 0); i++)
        for (int64_t j = 0; j < n; j++) y[i * n + j] = j <= i ? x[i * n + j] : 0;
}

GRADIENT(tril)
{
    const int64_t n = DIM(0, 1);
    for (int64_t i = 0; i < DIM(0, 0); i++) add(i + 1, DX(0) + i * n, G + i * n);
}

VALUE(triu)
{
    const int64_t n = DIM(0, 1);
    const real *x = X(0);
    real *restrict y = Y;
    for (int64_t i = 0; i < DIM(0, 0); i++)
        for (int64_t j = 0; j < n; j++) y[i * n + j] = j >= i ? x[i * n + j] : 0;
}

GRADIENT(triu)
{
    const int64_t n = DIM(0, 1);
    for (int64_t i = 0; i < DIM(0, 0); i++) add(n - i, DX(0) + i * n + i, G + i * n + i);
}

#define SQUARE .size = { 30, 120, 1400 }, OF(1, TENSOR(-2, 2, N, N))
#define PAIR OF(2, TENSOR(-2, 2, N, 100), TENSOR(-2, 2, N, 100))
#define PAIR_OF_ROWS OF(2, TENSOR(-2, 2, N), TENSOR(-2, 2, N))

const plain_row PLAIN(layout)[] = {
    ROW_OF(contiguous, "transposed", contiguous, SQUARE, .turned = true),
    ROW_LIKE(cat, one_behind_the_other, LINEAR, PAIR_OF_ROWS),
    ROW_OF(cat, "rows-of-100", cat_rows, HUNDREDS, PAIR, BY(axis, .axis = -1)),
    ROW_LIKE(stack, one_behind_the_other, LINEAR, PAIR_OF_ROWS),
    ROW_OF(stack, "last-axis", interleaved, LINEAR, PAIR_OF_ROWS, BY(axis, .axis = -1)),
    ROW(roll, LINEAR, OF(1, TENSOR(-2, 2, N)), BY(roll, .shift = 7)),
    ROW_OF(roll, "rows-of-100", roll_rows, HUNDREDS, OF(1, TENSOR(-2, 2, N, 100)),
           BY(roll, .axis = -1, .shift = 7)),
    ROW(tile, .size = { 3, 40, 4000 }, OF(1, TENSOR(-2, 2, N, 100)),
        BY(list, .count = 2, .item = { DOWN, RIGHT })),
    ROW(pad, HUNDREDS, OF(1, TENSOR(-2, 2, N, 100)),
        BY(pad, .before = 2, .after = 3, .value = 0.5)),
    ROW(tril, SQUARE),
    ROW(triu, SQUARE),
    END
};
