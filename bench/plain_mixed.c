/* Plain loops: attention and dropout. */
#include "plain_loops.h"

#include "base/random.h"

/* ---- attention: heads of queries, keys, values (heads, t, d) --------------------------------- */

/* The weights of query i: softargmax of its products with all keys. */
static void weigh(int64_t t, int64_t n, const real *q, const real *k, real *restrict w)
{
    const real scale = 1 / sqrt((real)n);
    real top = -(real)INFINITY, s = 0;
    for (int64_t j = 0; j < t; j++) {
        real z = 0;
        for (int64_t p = 0; p < n; p++) z += q[p] * k[j * n + p];
        w[j] = scale * z;
        top = w[j] > top ? w[j] : top;
    }
    for (int64_t j = 0; j < t; j++) s += w[j] = exp(w[j] - top);
    for (int64_t j = 0; j < t; j++) w[j] /= s;
}

VALUE(attention)
{
    const int64_t t = DIM(0, 1), n = DIM(0, 2);
    real *const w = malloc((size_t)t * sizeof *w);
    memset(Y, 0, (size_t)c->y.s->n * sizeof(real));
    for (int64_t i = 0; i < DIM(0, 0) * t; i++) {
        const int64_t head = i / t * t * n;
        real *restrict y = Y + i * n;
        weigh(t, n, X(0) + i * n, X(1) + head, w);
        for (int64_t j = 0; j < t; j++)
            for (int64_t p = 0; p < n; p++) y[p] += w[j] * X(2)[head + j * n + p];
    }
    free(w);
}

GRADIENT(attention)
{
    const int64_t t = DIM(0, 1), n = DIM(0, 2);
    const real scale = 1 / sqrt((real)n);
    real *const w = malloc((size_t)t * sizeof *w), *const dw = malloc((size_t)t * sizeof *dw);
    for (int64_t i = 0; i < DIM(0, 0) * t; i++) {
        const int64_t head = i / t * t * n;
        const real *q = X(0) + i * n, *k = X(1) + head, *v = X(2) + head, *g = G + i * n;
        real *restrict dq = DX(0) + i * n, *restrict dk = DX(1) + head, *restrict dv = DX(2) + head;
        real sum = 0;
        weigh(t, n, q, k, w);
        for (int64_t j = 0; j < t; j++) {
            dw[j] = 0;
            for (int64_t p = 0; p < n; p++) {
                dw[j] += g[p] * v[j * n + p];
                dv[j * n + p] += w[j] * g[p];
            }
            sum += w[j] * dw[j];
        }
        for (int64_t j = 0; j < t; j++) {
            const real z = scale * w[j] * (dw[j] - sum);
            for (int64_t p = 0; p < n; p++) {
                dq[p] += z * k[j * n + p];
                dk[j * n + p] += z * q[p];
            }
        }
    }
    free(w), free(dw);
}

/* ---- dropout: the same words, drawn a block of four at a time -------------------------------- */

static void dropped(const tg__call *c, const real *x, real *restrict y, bool add)
{
    const tg_dropout_attributes *const a = c->attributes;
    const uint64_t least = tg__random_threshold(a->p);
    const uint32_t key[2] = { (uint32_t)a->seed, (uint32_t)((uint64_t)a->seed >> 32) };
    const real scale = (real)(1 / (1 - a->p));
    uint32_t word[4] = { 0 };
    for (int64_t i = 0; i < COUNT(0); i++) {
        if (i % 4 == 0)
            tg__philox((const uint32_t[]){ (uint32_t)(i / 4), TG__DRAW_DROPOUT, (uint32_t)a->run,
                                           (uint32_t)((uint64_t)a->run >> 32) },
                       key, word);
        const real kept = word[i % 4] >= least ? scale * x[i] : 0;
        y[i] = add ? y[i] + kept : kept;
    }
}

VALUE(dropout)
{
    dropped(c, X(0), Y, false);
}

GRADIENT(dropout)
{
    dropped(c, G, DX(0), true);
}

#define HEADS(T, D) TENSOR(-1, 1, N, T, D), TENSOR(-1, 1, N, T, D), TENSOR(-1, 1, N, T, D)

const plain_row PLAIN(mixed)[] = {
    ROW_OF(attention, "64-of-16", attention, .size = { 1, 8, 200 }, OF(3, HEADS(64, 16))),
    ROW(dropout, LINEAR, OF(1, TENSOR(-2, 2, N)), BY(dropout, .seed = 3)), END
};
