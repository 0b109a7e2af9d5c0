/* Training steps derived by hand: see steps_hand.h. */
#include "steps_hand.h"

#include <cblas.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef float loose __attribute__((vector_size(4 * LANES), aligned(4)));
typedef int32_t masks __attribute__((vector_size(4 * LANES)));

static inline lanes load(const float *p) { return *(const loose *)p; }
static inline void store(float *p, lanes x) { *(loose *)p = x; }
static inline lanes all(float x) { return x - (lanes){ 0 }; }
static inline lanes choose(masks m, lanes a, lanes b)
{
    return (lanes)((m & (masks)a) | (~m & (masks)b));
}
static inline lanes larger(lanes a, lanes b) { return choose(a > b, a, b); }

static inline float sum_of(lanes x)
{
    float s[LANES];
    store(s, x);
    for (int width = LANES / 2; width; width /= 2)
        for (int i = 0; i < width; i++) s[i] += s[i + width];
    return s[0];
}

/* 2^n p(r) for x = n log 2 + r; what is added first leaves n in the low bits. */
static inline lanes exp_of(lanes x)
{
    const float shift = 12582912.0F;
    x = choose(x > -87, x, all(-87));
    x = choose(x < 88, x, all(88));
    const lanes t = x * 1.44269504F + shift, n = t - shift;
    const lanes r = (x - n * 0.693359375F) + n * 2.12194440e-4F;
    lanes p = r * 1.3981999507e-3F + 8.3334519073e-3F;
    p = p * r + 4.1665795894e-2F;
    p = p * r + 1.6666665459e-1F;
    p = p * r + 5.0000001201e-1F;
    p = p * (r * r) + r + 1;
    return (lanes)((masks)p + ((masks)t << 23));
}
static inline lanes sigmoid_of(lanes x) { return 1 / (1 + exp_of(-x)); }
static inline lanes tanh_of(lanes x) { return 1 - 2 / (1 + exp_of(2 * x)); }

/* ---- logistic regression --------------------------------------------------------------------- */

/* 100 numbers: six vectors, and a last one that begins in the sixth, of whose products the last four
   count. */
enum { INPUTS = 100, PARTS = 7 };
static inline int part(int i) { return i < PARTS - 1 ? i * LANES : INPUTS - LANES; }
static inline lanes last_four(lanes x)
{
    return choose((masks){ 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1 }, x, (lanes){ 0 });
}

/* x is read once: the gradient of some rows follows while they are in the nearest cache. */
float hand_logistic(hand *h)
{
    const float scale = 1 / (float)h->batch;
    lanes w[PARTS], dw[PARTS] = { 0 }, db = { 0 }, loss = { 0 }, product = all(1);
    for (int i = 0; i < PARTS; i++) w[i] = load(h->p[0] + part(i));
    w[PARTS - 1] = last_four(w[PARTS - 1]);
    for (int row = 0; row < h->batch; row += LANES) {
        const int rows = h->batch - row < LANES ? h->batch - row : LANES;
        float z[LANES] = { 0 }, y[LANES] = { 0 }, there[LANES] = { 0 }, d[LANES];
        for (int r = 0; r < rows; r++) {
            lanes s = { 0 };
            for (int i = 0; i < PARTS; i++) s += w[i] * load(h->x + (row + r) * INPUTS + part(i));
            z[r] = sum_of(s) + h->p[1][0];
            y[r] = h->target[row + r];
            there[r] = 1;
        }
        /* max(z, 0) - y z + log(1 + exp(-|z|)); the logarithms of all are that of a product. */
        const lanes at = load(z), e = exp_of(choose(at > 0, -at, at)), t = load(there);
        loss += t * (choose(at > 0, at, (lanes){ 0 }) - load(y) * at);
        product *= 1 + t * e;
        const lanes a = choose(at > 0, all(1), e) / (1 + e), slope = t * (a - load(y)) * scale;
        db += slope;
        store(d, slope);
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < PARTS; i++)
                dw[i] += d[r] * load(h->x + (row + r) * INPUTS + part(i));
    }
    float factor[LANES], logs = 0;
    store(factor, product);
    for (int i = 0; i < LANES; i++) logs += logf(factor[i]);
    for (int i = 0; i < PARTS; i++) store(h->g[0] + part(i), dw[i]);
    h->g[1][0] = sum_of(db);
    return (sum_of(loss) + logs) * scale;
}

/* ---- softmax --------------------------------------------------------------------------------- */

/* The loss of a row of scores, which become its gradient times scale. */
static inline float softmax_row(float *score, int classes, int label, float scale)
{
    float wide[WIDEST];
    float most = score[0];
    for (int c = 1; c < classes; c++) most = score[c] > most ? score[c] : most;
    for (int c = 0; c < WIDEST; c++) wide[c] = c < classes ? score[c] - most : -1e30F;
    const float own = wide[label];
    lanes e = exp_of(load(wide));
    store(wide, e);
    float sum = 0;
    for (int c = 0; c < classes; c++) sum += wide[c];
    for (int c = 0; c < classes; c++) score[c] = wide[c] * (scale / sum);
    score[label] -= scale;
    return logf(sum) - own;
}

enum { CLASSES = 10, PIXELS = 784 };

static inline void scores_of(const hand *h, int row, float *score)
{
    lanes s[2][CLASSES] = { 0 };
    for (int k = 0; k < PIXELS; k += LANES) {
        const lanes x0 = load(h->x + row * PIXELS + k), x1 = load(h->x + (row + 1) * PIXELS + k);
        for (int c = 0; c < CLASSES; c++) {
            const lanes w = load(h->p[0] + c * PIXELS + k);
            s[0][c] += x0 * w;
            s[1][c] += x1 * w;
        }
    }
    for (int c = 0; c < CLASSES; c++) {
        score[c] = sum_of(s[0][c]) + h->p[1][c];
        score[CLASSES + c] = sum_of(s[1][c]) + h->p[1][c];
    }
}

/* The gradient by width vectors of weights of each class. */
static inline void softmax_gradient(const hand *h, const float *slope, int k, int width)
{
    lanes s[2][CLASSES] = { 0 };
    for (int r = 0; r < h->batch; r++)
        for (int i = 0; i < width; i++) {
            const lanes x = load(h->x + r * PIXELS + k + i * LANES);
            for (int c = 0; c < CLASSES; c++) s[i][c] += x * slope[r * CLASSES + c];
        }
    for (int i = 0; i < width; i++)
        for (int c = 0; c < CLASSES; c++) store(h->g[0] + c * PIXELS + k + i * LANES, s[i][c]);
}

float hand_softmax(hand *h)
{
    float *const score = h->room, loss = 0;
    for (int r = 0; r < h->batch; r += 2) scores_of(h, r, score + r * CLASSES);
    memset(h->g[1], 0, CLASSES * sizeof(float));
    for (int r = 0; r < h->batch; r++) {
        loss += softmax_row(score + r * CLASSES, CLASSES, h->label[r], 1 / (float)h->batch);
        for (int c = 0; c < CLASSES; c++) h->g[1][c] += score[r * CLASSES + c];
    }
    int k = 0;
    for (; k + 2 * LANES <= PIXELS; k += 2 * LANES) softmax_gradient(h, score, k, 2);
    for (; k < PIXELS; k += LANES) softmax_gradient(h, score, k, 1);
    return loss / (float)h->batch;
}

/* ---- one hidden layer ------------------------------------------------------------------------ */

/* The batch lies in the lanes: x (in, batch) and the target (out, batch), one-hot for classes, are
   turned once; hidden units are one behind the other. */
typedef struct turned {
    int blocks, in, out, hidden;
    lanes *x, *target, *share, *unit, *slope; /* share: 1 / n, and 0 behind the batch */
} turned;

static turned turned_of(const hand *h, int in, int out)
{
    const int blocks = (h->batch + LANES - 1) / LANES;
    turned t = { .blocks = blocks, .in = in, .out = out, .hidden = h->layer[1] };
    t.x = (lanes *)(void *)h->room;
    t.target = t.x + in * blocks;
    t.share = t.target + out * blocks;
    t.slope = t.share + blocks;
    t.unit = t.slope + out * blocks;
    return t;
}

static void turn(const hand *h, int in, int out)
{
    const turned t = turned_of(h, in, out);
    for (int i = 0; i < t.blocks * LANES; i++) {
        const bool there = i < h->batch;
        for (int k = 0; k < in; k++)
            t.x[k * t.blocks + i / LANES][i % LANES] = there ? h->x[i * in + k] : 0;
        for (int c = 0; c < out; c++)
            t.target[c * t.blocks + i / LANES][i % LANES] =
                !there ? 0 : h->label ? (float)(h->label[i] == c) : h->target[i];
        t.share[i / LANES][i % LANES] = there ? 1 / (float)h->batch : 0;
    }
}

/* The loss of a block of scores, and its gradient. product gathers the factors of one logarithm. */
static inline lanes scored(const turned *t, int b, const lanes *y, bool classes, lanes *product)
{
    lanes loss = { 0 }, most = y[0], sum = { 0 }, e[4];
    const lanes share = t->share[b];
    if (!classes) {
        const lanes off = y[0] - t->target[b];
        t->slope[b] = 2 * off * share;
        return off * off * share;
    }
    for (int c = 1; c < t->out; c++) most = larger(most, y[c]);
    for (int c = 0; c < t->out; c++) sum += e[c] = exp_of(y[c] - most);
    for (int c = 0; c < t->out; c++) {
        const lanes target = t->target[c * t->blocks + b];
        t->slope[c * t->blocks + b] = (e[c] / sum - target) * share;
        loss += target * (most - y[c]);
    }
    *product *= choose(share > 0, sum, all(1));
    return loss * share;
}

static inline lanes forward(const hand *h, const turned *t, bool classes, lanes *product)
{
    lanes loss = { 0 };
    for (int b = 0; b < t->blocks; b++) {
        lanes y[4];
        for (int c = 0; c < t->out; c++) y[c] = all(h->p[3][c]);
        for (int j = 0; j < t->hidden; j++) {
            lanes z = all(h->p[1][j]);
            for (int k = 0; k < t->in; k++) z += h->p[0][j * t->in + k] * t->x[k * t->blocks + b];
            const lanes a = classes ? tanh_of(z) : sigmoid_of(z);
            t->unit[j * t->blocks + b] = a;
            for (int c = 0; c < t->out; c++) y[c] += h->p[2][c * t->hidden + j] * a;
        }
        loss += scored(t, b, y, classes, product);
    }
    return loss;
}

/* The gradients by a unit's weights, summed in registers. */
static inline void backward(const hand *h, const turned *t, bool classes)
{
    for (int j = 0; j < t->hidden; j++) {
        lanes dw2[4] = { 0 }, dw1[2] = { 0 }, db1 = { 0 };
        for (int b = 0; b < t->blocks; b++) {
            const lanes a = t->unit[j * t->blocks + b];
            lanes g = { 0 };
            for (int c = 0; c < t->out; c++) {
                const lanes slope = t->slope[c * t->blocks + b];
                g += h->p[2][c * t->hidden + j] * slope;
                dw2[c] += a * slope;
            }
            g *= classes ? 1 - a * a : a * (1 - a);
            db1 += g;
            for (int k = 0; k < t->in; k++) dw1[k] += g * t->x[k * t->blocks + b];
        }
        for (int c = 0; c < t->out; c++) h->g[2][c * t->hidden + j] = sum_of(dw2[c]);
        for (int k = 0; k < t->in; k++) h->g[0][j * t->in + k] = sum_of(dw1[k]);
        h->g[1][j] = sum_of(db1);
    }
    for (int c = 0; c < t->out; c++) {
        lanes db2 = { 0 };
        for (int b = 0; b < t->blocks; b++) db2 += t->slope[c * t->blocks + b];
        h->g[3][c] = sum_of(db2);
    }
}

static inline float net(const hand *h, int in, int out, bool classes)
{
    const turned t = turned_of(h, in, out);
    lanes product = all(1);
    float loss = sum_of(forward(h, &t, classes, &product));
    for (int i = 0; classes && i < LANES; i++) loss += logf(product[i]) / (float)h->batch;
    backward(h, &t, classes);
    return loss;
}

float hand_tanh_net(hand *h) { return net(h, 2, 3, true); }
float hand_sigmoid_net(hand *h) { return net(h, 1, 1, false); }

/* ---- layers by BLAS -------------------------------------------------------------------------- */

/* y (rows, out) = x (rows, in) W (out, in)'. */
static void times_weight(int rows, int out, int in, const float *x, const float *w, float *y)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, out, in, 1, x, in, w, in, 0, y, out);
}

/* dW = g' x, and dx = g W. */
static void weight_gradient(int rows, int out, int in, const float *g, const float *x, float *dw)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, out, in, rows, 1, g, out, x, in, 0, dw, in);
}
static void input_gradient(int rows, int out, int in, const float *g, const float *w, float *dx)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, in, out, 1, g, out, w, in, 0, dx,
                in);
}

/* The sum of g's rows. */
static void bias_gradient(int rows, int n, const float *restrict g, float *restrict db)
{
    memcpy(db, g, (size_t)n * sizeof *db);
    for (int r = 1; r < rows; r++)
        for (int j = 0; j < n; j++) db[j] += g[r * n + j];
}

static void bias_relu(int rows, int n, const float *restrict b, float *restrict y)
{
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < n; j++) {
            const float z = y[r * n + j] + b[j];
            y[r * n + j] = z > 0 ? z : 0;
        }
}

/* g is cut where y is 0, and summed, in one pass. */
static void relu_gradient(int rows, int n, const float *restrict y, float *restrict g,
                          float *restrict db)
{
    memset(db, 0, (size_t)n * sizeof *db);
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < n; j++) {
            const float slope = y[r * n + j] > 0 ? g[r * n + j] : 0;
            g[r * n + j] = slope;
            db[j] += slope;
        }
}

float hand_relu_net(hand *h)
{
    const int rows = h->batch, last = h->layers - 1;
    const float *y[8] = { h->x };
    float *at = h->room, *g[8] = { 0 }, loss = 0;
    for (int i = 1; i <= last; i++) {
        const int in = h->layer[i - 1], out = h->layer[i];
        float *const z = at;
        at += rows * out;
        times_weight(rows, out, in, y[i - 1], h->p[2 * i - 2], z);
        if (i < last) bias_relu(rows, out, h->p[2 * i - 1], z);
        y[i] = z;
        g[i] = i < last ? at : z;
        if (i < last) at += rows * out;
    }
    for (int r = 0; r < rows; r++) {
        float *const score = g[last] + r * h->layer[last];
        for (int c = 0; c < h->layer[last]; c++) score[c] += h->p[2 * last - 1][c];
        loss += softmax_row(score, h->layer[last], h->label[r], 1 / (float)rows);
    }
    bias_gradient(rows, h->layer[last], g[last], h->g[2 * last - 1]);
    for (int i = last; i >= 1; i--) {
        const int in = h->layer[i - 1], out = h->layer[i];
        weight_gradient(rows, out, in, g[i], y[i - 1], h->g[2 * i - 2]);
        if (i == 1) break;
        input_gradient(rows, out, in, g[i], h->p[2 * i - 2], g[i - 1]);
        relu_gradient(rows, in, y[i - 1], g[i - 1], h->g[2 * i - 3]);
    }
    return loss / (float)rows;
}

/* ---- transformer blocks ---------------------------------------------------------------------- */

/* A block's parameters, in the order of the library's layer. */
enum { NORM1, SHIFT1, QKV, QKV_B, OUT, OUT_B, NORM2, SHIFT2, UP, UP_B, DOWN, DOWN_B, OF_BLOCK };

/* What the forward pass keeps of a block. */
typedef struct kept {
    const float *x;
    float *n1, *qkv, *weight, *mixed, *x1, *n2, *unit, *slope, *x2;
    float *mean1, *scale1, *mean2, *scale2;
} kept;

typedef struct sizes {
    int rows, c, heads, length, width; /* width: of a head */
} sizes;

static sizes sizes_of(const hand *h)
{
    return (sizes){ h->batch * h->length, h->layer[0], h->heads, h->length,
                    h->layer[0] / h->heads };
}

static float *take(float **at, int64_t n)
{
    float *const p = *at;
    *at += (n + LANES - 1) / LANES * LANES;
    return p;
}

static kept kept_of(const sizes *s, float **at)
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

static inline void norm_row(int c, const float *x, const float *gamma, const float *beta, float *y,
                            float *mean, float *scale)
{
    lanes sum = { 0 }, squares = { 0 };
    for (int i = 0; i < c; i += LANES) sum += load(x + i);
    const float m = sum_of(sum) / (float)c;
    for (int i = 0; i < c; i += LANES) squares += (load(x + i) - m) * (load(x + i) - m);
    const float s = 1 / sqrtf(sum_of(squares) / (float)c + 1e-5F);
    for (int i = 0; i < c; i += LANES)
        store(y + i, (load(x + i) - m) * s * load(gamma + i) + load(beta + i));
    *mean = m;
    *scale = s;
}

static void norm(const sizes *s, const float *x, float *const *p, float *y, float *mean,
                 float *scale)
{
    for (int r = 0; r < s->rows; r++)
        norm_row(s->c, x + r * s->c, p[0], p[1], y + r * s->c, mean + r, scale + r);
}

/* y += x + b, and its normalization while the row is near. */
static void add_and_norm(const sizes *s, const float *x, const float *b, float *const *p, float *y,
                         float *n, float *mean, float *scale)
{
    for (int r = 0; r < s->rows; r++) {
        float *const row = y + r * s->c;
        for (int i = 0; i < s->c; i += LANES)
            store(row + i, load(row + i) + load(x + r * s->c + i) + load(b + i));
        if (p) norm_row(s->c, row, p[0], p[1], n + r * s->c, mean + r, scale + r);
    }
}

/* dx += the gradient by x, and those by gamma and beta. */
static void norm_gradient(const sizes *s, const float *x, const float *g, const float *gamma,
                          const float *mean, const float *scale, float *dgamma, float *dbeta,
                          float *dx)
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
        const float a = sum_of(h) / (float)c, b = sum_of(hz) / (float)c;
        for (int i = 0; i < c; i += LANES) {
            const lanes z = (load(x + r * c + i) - mean[r]) * scale[r];
            const lanes part = load(g + r * c + i) * load(gamma + i);
            store(dx + r * c + i, load(dx + r * c + i) + scale[r] * (part - a - z * b));
        }
    }
}

/* The weights of row i: softmax of the scores up to i, 0 behind. */
static inline void weights_row(float *p, int length, int i, float scale)
{
    lanes most = all(-INFINITY), sum = { 0 };
    for (int j = i + 1; j < length; j++) p[j] = -1e30F;
    for (int j = 0; j < length; j += LANES) most = larger(most, load(p + j));
    float m = most[0];
    for (int l = 1; l < LANES; l++) m = most[l] > m ? most[l] : m;
    for (int j = 0; j < length; j += LANES) {
        const lanes e = exp_of((load(p + j) - m) * scale);
        sum += e;
        store(p + j, e);
    }
    const float part = 1 / sum_of(sum);
    for (int j = 0; j < length; j += LANES) store(p + j, load(p + j) * part);
    for (int j = i + 1; j < length; j++) p[j] = 0;
}

static void attend(const sizes *s, const kept *k, const float *b)
{
    const int c = s->c, t = s->length, d = s->width;
    for (int r = 0; r < s->rows; r++)
        for (int i = 0; i < 3 * c; i += LANES)
            store(k->qkv + r * 3 * c + i, load(k->qkv + r * 3 * c + i) + load(b + i));
    for (int head = 0; head < s->rows / t * s->heads; head++) {
        const int row = head / s->heads * t, column = head % s->heads * d;
        float *const q = k->qkv + row * 3 * c + column, *const p = k->weight + head * t * t;
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, t, t, d, 1, q, 3 * c, q + c, 3 * c, 0,
                    p, t);
        for (int i = 0; i < t; i++) weights_row(p + i * t, t, i, 1 / sqrtf((float)d));
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, t, d, t, 1, p, t, q + 2 * c, 3 * c,
                    0, k->mixed + row * c + column, c);
    }
}

/* g: by what attend gives; dqkv: by its operands; room of length^2 numbers. */
static void attend_gradient(const sizes *s, const kept *k, const float *g, float *dqkv, float *room)
{
    const int c = s->c, t = s->length, d = s->width;
    const float scale = 1 / sqrtf((float)d);
    for (int head = 0; head < s->rows / t * s->heads; head++) {
        const int row = head / s->heads * t, column = head % s->heads * d;
        const float *const q = k->qkv + row * 3 * c + column, *const p = k->weight + head * t * t;
        const float *const own = g + row * c + column;
        float *const dq = dqkv + row * 3 * c + column;
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, t, d, t, 1, p, t, own, c, 0,
                    dq + 2 * c, 3 * c);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, t, t, d, 1, own, c, q + 2 * c, 3 * c,
                    0, room, t);
        for (int i = 0; i < t; i++) {
            float *const ds = room + i * t;
            lanes sum = { 0 };
            for (int j = 0; j < t; j += LANES) sum += load(p + i * t + j) * load(ds + j);
            const float mean = sum_of(sum);
            for (int j = 0; j < t; j += LANES)
                store(ds + j, load(p + i * t + j) * (load(ds + j) - mean) * scale);
        }
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, t, d, t, 1, room, t, q + c, 3 * c, 0,
                    dq, 3 * c);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, t, d, t, 1, room, t, q, 3 * c, 0,
                    dq + c, 3 * c);
    }
}

/* GELU by tanh of z = unit + b, which is z sigmoid(2 u), and its derivative, kept for the way
   back. */
static void gelu(int rows, int n, const float *b, float *unit, float *slope)
{
    const float k0 = 1.5957691216F, k1 = 0.0713548162726F;
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < n; i += LANES) {
            const lanes z = load(unit + r * n + i) + load(b + i);
            const lanes s = sigmoid_of(z * (k0 + k1 * z * z));
            store(unit + r * n + i, z * s);
            store(slope + r * n + i, s + z * s * (1 - s) * (k0 + 3 * k1 * z * z));
        }
}

static void times_slope(int rows, int n, const float *restrict slope, float *restrict g,
                        float *restrict db)
{
    memset(db, 0, (size_t)n * sizeof *db);
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < n; j++) db[j] += g[r * n + j] *= slope[r * n + j];
}

static void block_forward(const sizes *s, const kept *k, float *const *p)
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
static void block_backward(const sizes *s, const kept *k, float *const *p, float *const *g,
                           float *dx, float *room)
{
    const int n = s->rows, c = s->c;
    float *const wide = take(&room, (int64_t)n * 4 * c), *const narrow = take(&room, (int64_t)n * c);
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

float hand_blocks(hand *h)
{
    const sizes s = sizes_of(h);
    const int64_t size = (int64_t)s.rows * s.c;
    kept k[8];
    float *at = h->room;
    for (int i = 0; i < h->layers; i++) {
        k[i] = kept_of(&s, &at);
        k[i].x = i ? k[i - 1].x2 : h->x;
        block_forward(&s, &k[i], h->p + i * OF_BLOCK);
    }
    const float *const y = k[h->layers - 1].x2, scale = 2 / (float)size;
    lanes sum = { 0 };
    for (int64_t i = 0; i < size; i += LANES) {
        const lanes v = load(y + i);
        sum += v * v;
        store(h->dx + i, v * scale);
    }
    for (int i = h->layers - 1; i >= 0; i--)
        block_backward(&s, &k[i], h->p + i * OF_BLOCK, h->g + i * OF_BLOCK, h->dx, at);
    return sum_of(sum) / (float)size;
}

/* ---- room ------------------------------------------------------------------------------------ */

void hand_turn(hand *h)
{
    turn(h, h->layer[0], h->layer[2]);
}

int64_t hand_room(const hand *h)
{
    int64_t n = 0;
    if (h->heads) {
        const sizes s = sizes_of(h);
        const int64_t nc = (int64_t)s.rows * s.c;
        return h->layers * (16 * nc + (int64_t)s.rows * (s.heads * s.length + 4) + 16 * LANES) +
               6 * nc + (int64_t)s.length * s.length;
    }
    for (int i = 0; i < h->layers; i++) n += 2 * (int64_t)(h->batch + LANES) * h->layer[i];
    return n + 2 * (h->batch + LANES);
}
