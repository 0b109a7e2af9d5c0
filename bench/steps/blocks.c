/* Step f derived by hand: transformer blocks. */
#include "layers.h"

/* A block's parameters, in the order of the library's layer. */
enum { NORM1, SHIFT1, QKV, QKV_B, OUT, OUT_B, NORM2, SHIFT2, UP, UP_B, DOWN, DOWN_B, OF_BLOCK };

/* What the forward pass keeps of a block. */
typedef struct kept {
    const real *x;
    real *n1, *qkv, *weight, *mixed, *x1, *n2, *unit, *slope, *x2;
    real *mean1, *scale1, *mean2, *scale2;
} kept;

typedef struct sizes {
    int rows, c, heads, length, width; /* width: of a head */
} sizes;

static sizes sizes_of(const hand *h)
{
    return (sizes){ h->batch * h->length, h->layer[0], h->heads, h->length,
                    h->layer[0] / h->heads };
}

static real root(real x) { return (real)sqrt((double)x); }

static real *take(real **at, int64_t n)
{
    real *const p = *at;
    *at += (n + LANES - 1) / LANES * LANES;
    return p;
}

static kept kept_of(const sizes *s, real **at)
{
    const int64_t n = s->rows, nc = n * s->c;
    return (kept){ .n1 = take(at, nc),
                   .qkv = take(at, 3 * nc),
                   .weight = take(at, n * s->heads * s->length),
                   .mixed = take(at, nc),
                   .x1 = take(at, nc),
                   .n2 = take(at, nc),
                   .unit = take(at, 4 * nc),
                   .slope = take(at, 4 * nc),
                   .x2 = take(at, nc),
                   .mean1 = take(at, n),
                   .scale1 = take(at, n),
                   .mean2 = take(at, n),
                   .scale2 = take(at, n) };
}

static inline void norm_row(int c, const real *x, const real *gamma, const real *beta, real *y,
                            real *mean, real *scale)
{
    lanes sum = { 0 }, squares = { 0 };
    for (int i = 0; i < c; i += LANES) sum += load(x + i);
    const real m = sum_of(sum) / (real)c;
    for (int i = 0; i < c; i += LANES) squares += (load(x + i) - m) * (load(x + i) - m);
    const real s = 1 / root(sum_of(squares) / (real)c + (real)1e-5);
    for (int i = 0; i < c; i += LANES)
        store(y + i, (load(x + i) - m) * s * load(gamma + i) + load(beta + i));
    *mean = m;
    *scale = s;
}

static void norm(const sizes *s, const real *x, real *const *p, real *y, real *mean,
                 real *scale)
{
    for (int r = 0; r < s->rows; r++)
        norm_row(s->c, x + r * s->c, p[0], p[1], y + r * s->c, mean + r, scale + r);
}

/* y += x + b, and its normalization while the row is near. */
static void add_and_norm(const sizes *s, const real *x, const real *b, real *const *p, real *y,
                         real *n, real *mean, real *scale)
{
    for (int r = 0; r < s->rows; r++) {
        real *const row = y + r * s->c;
        for (int i = 0; i < s->c; i += LANES)
            store(row + i, load(row + i) + load(x + r * s->c + i) + load(b + i));
        if (p) norm_row(s->c, row, p[0], p[1], n + r * s->c, mean + r, scale + r);
    }
}

/* dx += the gradient by x, and those by gamma and beta. */
static void norm_gradient(const sizes *s, const real *x, const real *g, const real *gamma,
                          const real *mean, const real *scale, real *dgamma, real *dbeta,
                          real *dx)
{
    const int c = s->c;
    memset(dgamma, 0, (size_t)c * sizeof *dgamma);
    memset(dbeta, 0, (size_t)c * sizeof *dbeta);
    for (int r = 0; r < s->rows; r++) {
        lanes h = { 0 }, hz = { 0 };
        for (int i = 0; i < c; i += LANES) {
            const lanes z = (load(x + r * c + i) - mean[r]) * scale[r], own = load(g + r * c + i);
            const lanes part = own * load(gamma + i);
            h += part;
            hz += part * z;
            store(dgamma + i, load(dgamma + i) + own * z);
            store(dbeta + i, load(dbeta + i) + own);
        }
        const real a = sum_of(h) / (real)c, b = sum_of(hz) / (real)c;
        for (int i = 0; i < c; i += LANES) {
            const lanes z = (load(x + r * c + i) - mean[r]) * scale[r];
            const lanes part = load(g + r * c + i) * load(gamma + i);
            store(dx + r * c + i, load(dx + r * c + i) + scale[r] * (part - a - z * b));
        }
    }
}

/* The weights of row i: softmax of the scores up to i, 0 behind. */
static inline void weights_row(real *p, int length, int i, real scale)
{
    lanes most = all(-INFINITY), sum = { 0 };
    for (int j = i + 1; j < length; j++) p[j] = (real)-1e30;
    for (int j = 0; j < length; j += LANES) most = larger(most, load(p + j));
    real m = most[0];
    for (int l = 1; l < LANES; l++) m = most[l] > m ? most[l] : m;
    for (int j = 0; j < length; j += LANES) {
        const lanes e = exp_of((load(p + j) - m) * scale);
        sum += e;
        store(p + j, e);
    }
    const real part = 1 / sum_of(sum);
    for (int j = 0; j < length; j += LANES) store(p + j, load(p + j) * part);
    for (int j = i + 1; j < length; j++) p[j] = 0;
}

static void attend(const sizes *s, const kept *k, const real *b)
{
    const int c = s->c, t = s->length, d = s->width;
    for (int r = 0; r < s->rows; r++)
        for (int i = 0; i < 3 * c; i += LANES)
            store(k->qkv + r * 3 * c + i, load(k->qkv + r * 3 * c + i) + load(b + i));
    for (int head = 0; head < s->rows / t * s->heads; head++) {
        const int row = head / s->heads * t, column = head % s->heads * d;
        real *const q = k->qkv + row * 3 * c + column, *const p = k->weight + head * t * t;
        CBLAS(gemm)(CblasRowMajor, CblasNoTrans, CblasTrans, t, t, d, 1, q, 3 * c, q + c, 3 * c, 0,
                    p, t);
        for (int i = 0; i < t; i++) weights_row(p + i * t, t, i, 1 / root((real)d));
        CBLAS(gemm)(CblasRowMajor, CblasNoTrans, CblasNoTrans, t, d, t, 1, p, t, q + 2 * c, 3 * c,
                    0, k->mixed + row * c + column, c);
    }
}

/* g: by what attend gives; dqkv: by its operands; room of length^2 numbers. */
static void attend_gradient(const sizes *s, const kept *k, const real *g, real *dqkv, real *room)
{
    const int c = s->c, t = s->length, d = s->width;
    const real scale = 1 / root((real)d);
    for (int head = 0; head < s->rows / t * s->heads; head++) {
        const int row = head / s->heads * t, column = head % s->heads * d;
        const real *const q = k->qkv + row * 3 * c + column, *const p = k->weight + head * t * t;
        const real *const own = g + row * c + column;
        real *const dq = dqkv + row * 3 * c + column;
        CBLAS(gemm)(CblasRowMajor, CblasTrans, CblasNoTrans, t, d, t, 1, p, t, own, c, 0,
                    dq + 2 * c, 3 * c);
        CBLAS(gemm)(CblasRowMajor, CblasNoTrans, CblasTrans, t, t, d, 1, own, c, q + 2 * c, 3 * c,
                    0, room, t);
        for (int i = 0; i < t; i++) {
            real *const ds = room + i * t;
            lanes sum = { 0 };
            for (int j = 0; j < t; j += LANES) sum += load(p + i * t + j) * load(ds + j);
            const real mean = sum_of(sum);
            for (int j = 0; j < t; j += LANES)
                store(ds + j, load(p + i * t + j) * (load(ds + j) - mean) * scale);
        }
        CBLAS(gemm)(CblasRowMajor, CblasNoTrans, CblasNoTrans, t, d, t, 1, room, t, q + c, 3 * c, 0,
                    dq, 3 * c);
        CBLAS(gemm)(CblasRowMajor, CblasTrans, CblasNoTrans, t, d, t, 1, room, t, q, 3 * c, 0,
                    dq + c, 3 * c);
    }
}

/* GELU by tanh of z = unit + b, which is z sigmoid(2 u), and its derivative, kept for the way
   back. */
static void gelu(int rows, int n, const real *b, real *unit, real *slope)
{
    const real k0 = (real)1.5957691216057308, k1 = (real)0.07135481627260025;
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < n; i += LANES) {
            const lanes z = load(unit + r * n + i) + load(b + i);
            const lanes s = sigmoid_of(z * (k0 + k1 * z * z));
            store(unit + r * n + i, z * s);
            store(slope + r * n + i, s + z * s * (1 - s) * (k0 + 3 * k1 * z * z));
        }
}

static void times_slope(int rows, int n, const real *restrict slope, real *restrict g,
                        real *restrict db)
{
    memset(db, 0, (size_t)n * sizeof *db);
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < n; j++) db[j] += g[r * n + j] *= slope[r * n + j];
}

static void block_forward(const sizes *s, const kept *k, real *const *p)
{
    const int n = s->rows, c = s->c;
    norm(s, k->x, p + NORM1, k->n1, k->mean1, k->scale1);
    times_weight(n, 3 * c, c, k->n1, p[QKV], k->qkv);
    attend(s, k, p[QKV_B]);
    times_weight(n, c, c, k->mixed, p[OUT], k->x1);
    add_and_norm(s, k->x, p[OUT_B], p + NORM2, k->x1, k->n2, k->mean2, k->scale2);
    times_weight(n, 4 * c, c, k->n2, p[UP], k->unit);
    gelu(n, 4 * c, p[UP_B], k->unit, k->slope);
    times_weight(n, c, 4 * c, k->unit, p[DOWN], k->x2);
    add_and_norm(s, k->x1, p[DOWN_B], NULL, k->x2, NULL, NULL, NULL);
}

/* dx: the gradient by the block's result, which becomes that by its x. */
static void block_backward(const sizes *s, const kept *k, real *const *p, real *const *g,
                           real *dx, real *room)
{
    const int n = s->rows, c = s->c;
    real *const wide = take(&room, (int64_t)n * 4 * c), *const narrow = take(&room, (int64_t)n * c);
    bias_gradient(n, c, dx, g[DOWN_B]);
    weight_gradient(n, c, 4 * c, dx, k->unit, g[DOWN]);
    input_gradient(n, c, 4 * c, dx, p[DOWN], wide);
    times_slope(n, 4 * c, k->slope, wide, g[UP_B]);
    weight_gradient(n, 4 * c, c, wide, k->n2, g[UP]);
    input_gradient(n, 4 * c, c, wide, p[UP], narrow);
    norm_gradient(s, k->x1, narrow, p[NORM2], k->mean2, k->scale2, g[NORM2], g[SHIFT2], dx);

    bias_gradient(n, c, dx, g[OUT_B]);
    weight_gradient(n, c, c, dx, k->mixed, g[OUT]);
    input_gradient(n, c, c, dx, p[OUT], narrow);
    attend_gradient(s, k, narrow, wide, room);
    bias_gradient(n, 3 * c, wide, g[QKV_B]);
    weight_gradient(n, 3 * c, c, wide, k->n1, g[QKV]);
    input_gradient(n, 3 * c, c, wide, p[QKV], narrow);
    norm_gradient(s, k->x, narrow, p[NORM1], k->mean1, k->scale1, g[NORM1], g[SHIFT1], dx);
}

double TYPED(hand_blocks)(hand *h)
{
    const sizes s = sizes_of(h);
    const int64_t size = (int64_t)s.rows * s.c;
    kept k[8];
    real *at = h->room, *const dx = h->dx, *p[MOST_PARAMETERS], *g[MOST_PARAMETERS];
    for (int i = 0; i < h->layers * OF_BLOCK; i++) p[i] = h->p[i], g[i] = h->g[i];
    for (int i = 0; i < h->layers; i++) {
        k[i] = kept_of(&s, &at);
        k[i].x = i ? k[i - 1].x2 : h->x;
        block_forward(&s, &k[i], p + i * OF_BLOCK);
    }
    const real *const y = k[h->layers - 1].x2, scale = 2 / (real)size;
    lanes sum = { 0 };
    for (int64_t i = 0; i < size; i += LANES) {
        const lanes v = load(y + i);
        sum += v * v;
        store(dx + i, v * scale);
    }
    for (int i = h->layers - 1; i >= 0; i--)
        block_backward(&s, &k[i], p + i * OF_BLOCK, g + i * OF_BLOCK, dx, at);
    return (double)(sum_of(sum) / (real)size);
}

int64_t TYPED(hand_blocks_room)(const hand *h)
{
    const sizes s = sizes_of(h);
    const int64_t nc = (int64_t)s.rows * s.c;
    return h->layers * (16 * nc + (int64_t)s.rows * (s.heads * s.length + 4) + 16 * LANES) + 6 * nc +
           (int64_t)s.length * s.length;
}
