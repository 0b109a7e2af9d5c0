/* The expert sides of batch.h: 64 instances, in f32 128, side by side, values in the first cache, sums in
   registers, the transcendental functions by the library's kernels. Compiled with -O3 -march=native
   and contraction of products and sums. */

#include "batch.h"
#include "ops/op.h"
#include "sum_of.h"

enum { WIDTH = 64 / sizeof(real), VECTORS = 8, BLOCK = VECTORS * WIDTH };
typedef real vector __attribute__((vector_size(64), aligned(sizeof(real))));

/* The kernels used, looked up once. */
typedef enum function { TANH, EXP, LOG, SIGMOID, SOFTPLUS, FUNCTIONS } function;

static void map(function f, int n, real *y, const real *x)
{
    static const char *const name[] = { "tanh", "exp", "log", "sigmoid", "softplus" };
    static tg__map_forward_kernel *kernel[FUNCTIONS];
    if (!kernel[f]) kernel[f] = tg__kernels_for(sizeof(real) == 4 ? TG_F32 : TG_F64)->map_forward[tg__find(name[f])];
    kernel[f](n, y, (const void *const[]){ x }, (const ptrdiff_t[]){ 1 });
}

/* Of one block: inputs, hidden values and their derivatives, outputs, lane by lane. */
typedef struct block {
    real x[INPUTS][BLOCK], y[CLASSES][BLOCK], z[HIDDEN][BLOCK], h[HIDDEN][BLOCK];
    real o[CLASSES][BLOCK], e[CLASSES][BLOCK], g[CLASSES][BLOCK], total[BLOCK];
} block;

#define V(ROW, I) (*(vector *)((ROW) + (I) * WIDTH))

static void forward(block *b, const real *p, int square)
{
    const real *w1 = p, *b1 = w1 + HIDDEN * INPUTS, *w2 = b1 + HIDDEN, *b2 = w2 + CLASSES * HIDDEN;
    for (int j = 0; j < HIDDEN; j++)
        for (int v = 0; v < VECTORS; v++) {
            const vector z =
                w1[j * INPUTS] * V(b->x[0], v) + (w1[j * INPUTS + 1] * V(b->x[1], v) + b1[j]);
            V(b->z[j], v) = z;
            if (square) V(b->h[j], v) = z * z;
        }
    if (!square) map(TANH, HIDDEN * BLOCK, b->h[0], b->z[0]);
    for (int v = 0; v < VECTORS; v += 4) {
        vector sum[CLASSES][4];
        for (int k = 0; k < CLASSES; k++)
            for (int u = 0; u < 4; u++) sum[k][u] = b2[k] - (vector){ 0 };
        for (int j = 0; j < HIDDEN; j++)
            for (int k = 0; k < CLASSES; k++)
                for (int u = 0; u < 4; u++) sum[k][u] += w2[k * HIDDEN + j] * V(b->h[j], v + u);
        for (int k = 0; k < CLASSES; k++)
            for (int u = 0; u < 4; u++) V(b->o[k], v + u) = sum[k][u];
    }
    map(EXP, CLASSES * BLOCK, b->e[0], b->o[0]);
    for (int v = 0; v < VECTORS; v++) {
        V(b->total, v) = V(b->e[0], v) + V(b->e[1], v) + V(b->e[2], v);
        for (int k = 0; k < CLASSES; k++)
            V(b->g[k], v) = V(b->e[k], v) / V(b->total, v) - V(b->y[k], v);
    }
}

static void backward(const block *b, const real *p, real *d, int square)
{
    const real *w2 = p + HIDDEN * (INPUTS + 1);
    real *dw1 = d, *db1 = dw1 + HIDDEN * INPUTS, *dw2 = db1 + HIDDEN, *db2 = dw2 + CLASSES * HIDDEN;
    for (int j = 0; j < HIDDEN; j++) {
        vector sum[6] = { { 0 } };
        for (int v = 0; v < VECTORS; v++) {
            const vector h = V(b->h[j], v), g0 = V(b->g[0], v), g1 = V(b->g[1], v), g2 = V(b->g[2], v);
            const vector dh = w2[j] * g0 + w2[HIDDEN + j] * g1 + w2[2 * HIDDEN + j] * g2;
            const vector dz = dh * (square ? 2 * V(b->z[j], v) : 1 - h * h);
            sum[0] += g0 * h, sum[1] += g1 * h, sum[2] += g2 * h;
            sum[3] += dz * V(b->x[0], v), sum[4] += dz * V(b->x[1], v), sum[5] += dz;
        }
        for (int k = 0; k < CLASSES; k++) dw2[k * HIDDEN + j] += sum_of(sum[k]);
        dw1[j * INPUTS] += sum_of(sum[3]);
        dw1[j * INPUTS + 1] += sum_of(sum[4]);
        db1[j] += sum_of(sum[5]);
    }
    for (int k = 0; k < CLASSES; k++) {
        vector sum = { 0 };
        for (int v = 0; v < VECTORS; v++) sum += V(b->g[k], v);
        db2[k] += sum_of(sum);
    }
}

static void load(block *b, const real *x, const real *y)
{
    for (int l = 0; l < BLOCK; l++) {
        for (int k = 0; k < INPUTS; k++) b->x[k][l] = x[l * INPUTS + k];
        for (int k = 0; k < CLASSES; k++) b->y[k][l] = y[l * CLASSES + k];
    }
}

/* Takes the total. */
static real loss_of(block *b)
{
    vector chosen = { 0 }, logs = { 0 };
    for (int v = 0; v < VECTORS; v++)
        for (int k = 0; k < CLASSES; k++) chosen += V(b->o[k], v) * V(b->y[k], v);
    map(LOG, BLOCK, b->total, b->total);
    for (int v = 0; v < VECTORS; v++) logs += V(b->total, v);
    return sum_of(logs - chosen);
}

static double net(int n, const real *p, const real *x, const real *y, real *d, int square)
{
    static block b;
    double loss = 0;
    for (int i = 0; i < n; i += BLOCK) {
        load(&b, x + i * INPUTS, y + i * CLASSES);
        forward(&b, p, square);
        backward(&b, p, d, square);
        loss += (double)loss_of(&b);
    }
    return loss;
}

double BY_HAND(tanh_expert)(int n, const void *p, const void *x, const void *y, void *d)
{
    return net(n, p, x, y, d, 0);
}

double BY_HAND(square_expert)(int n, const void *p, const void *x, const void *y, void *d)
{
    return net(n, p, x, y, d, 1);
}

/* Rows of x, four at a time, of blocks in the first cache; 100 features are 12 vectors, in f32 6, and 4
   numbers. */
double BY_HAND(logistic_expert)(int n, const void *p_, const void *x_, const void *y_, void *d_)
{
    const real *p = p_, *x = x_, *y = y_;
    real *const d = d_;
    enum { WHOLE = FEATURES / WIDTH, REST = FEATURES % WIDTH, ROWS = 4 * WIDTH };
    real z[ROWS], s[ROWS], l[ROWS];
    double loss = 0;
    for (int i = 0; i < n; i += ROWS, x += ROWS * FEATURES, y += ROWS) {
        for (int r = 0; r < ROWS; r += 4) {
            vector sum[4] = { { 0 } };
            real rest[4] = { 0 };
            for (int v = 0; v < WHOLE; v++)
                for (int q = 0; q < 4; q++) sum[q] += V(p, v) * V(x + (r + q) * FEATURES, v);
            for (int j = FEATURES - REST; j < FEATURES; j++)
                for (int q = 0; q < 4; q++) rest[q] += p[j] * x[(r + q) * FEATURES + j];
            for (int q = 0; q < 4; q++) z[r + q] = p[FEATURES] + sum_of(sum[q]) + rest[q];
        }
        map(SIGMOID, ROWS, s, z);
        map(SOFTPLUS, ROWS, l, z);
        for (int r = 0; r < ROWS; r++) loss += (double)(l[r] - y[r] * z[r]), s[r] -= y[r], d[FEATURES] += s[r];
        for (int r = 0; r < ROWS; r += 4) {
            for (int v = 0; v < WHOLE; v++) {
                vector sum = V(d, v);
                for (int q = 0; q < 4; q++) sum += s[r + q] * V(x + (r + q) * FEATURES, v);
                V(d, v) = sum;
            }
            for (int j = FEATURES - REST; j < FEATURES; j++)
                for (int q = 0; q < 4; q++) d[j] += s[r + q] * x[(r + q) * FEATURES + j];
        }
    }
    return loss;
}

/* ---- Hessian times a direction ----------------------------------------------------------------- */

#ifndef TG_REAL_F32

/* Of one block: derivatives along the direction. */
typedef struct tangents {
    double z[HIDDEN][BLOCK], h[HIDDEN][BLOCK], g[CLASSES][BLOCK];
} tangents;

static void forward_tangents(const block *b, tangents *t, const double *p, const double *v, int square)
{
    enum { B1 = HIDDEN * INPUTS, W2 = B1 + HIDDEN, B2 = W2 + CLASSES * HIDDEN };
    vector o[CLASSES][VECTORS];
    for (int j = 0; j < HIDDEN; j++)
        for (int l = 0; l < VECTORS; l++) {
            const vector h = V(b->h[j], l);
            const vector z = v[j * INPUTS] * V(b->x[0], l) + (v[j * INPUTS + 1] * V(b->x[1], l) + v[B1 + j]);
            V(t->z[j], l) = z;
            V(t->h[j], l) = z * (square ? 2 * V(b->z[j], l) : 1 - h * h);
        }
    for (int l = 0; l < VECTORS; l += 4) {
        vector sum[CLASSES][4];
        for (int k = 0; k < CLASSES; k++)
            for (int u = 0; u < 4; u++) sum[k][u] = v[B2 + k] - (vector){ 0 };
        for (int j = 0; j < HIDDEN; j++)
            for (int k = 0; k < CLASSES; k++)
                for (int u = 0; u < 4; u++)
                    sum[k][u] += v[W2 + k * HIDDEN + j] * V(b->h[j], l + u) + p[W2 + k * HIDDEN + j] * V(t->h[j], l + u);
        for (int k = 0; k < CLASSES; k++)
            for (int u = 0; u < 4; u++) o[k][l + u] = sum[k][u];
    }
    for (int l = 0; l < VECTORS; l++) {
        const vector inverse = 1 / V(b->total, l);
        const vector q0 = V(b->e[0], l) * inverse, q1 = V(b->e[1], l) * inverse, q2 = V(b->e[2], l) * inverse;
        const vector mean = q0 * o[0][l] + q1 * o[1][l] + q2 * o[2][l];
        V(t->g[0], l) = q0 * (o[0][l] - mean);
        V(t->g[1], l) = q1 * (o[1][l] - mean);
        V(t->g[2], l) = q2 * (o[2][l] - mean);
    }
}

static void backward_tangents(const block *b, const tangents *t, const double *p, const double *v, double *d,
                              double *hd, int square)
{
    enum { B1 = HIDDEN * INPUTS, W2 = B1 + HIDDEN, B2 = W2 + CLASSES * HIDDEN };
    for (int j = 0; j < HIDDEN; j++) {
        const double w[] = { p[W2 + j], p[W2 + HIDDEN + j], p[W2 + 2 * HIDDEN + j] };
        const double a[] = { v[W2 + j], v[W2 + HIDDEN + j], v[W2 + 2 * HIDDEN + j] };
        vector sum[12] = { { 0 } };
        for (int l = 0; l < VECTORS; l++) {
            const vector g0 = V(b->g[0], l), g1 = V(b->g[1], l), g2 = V(b->g[2], l);
            const vector t0 = V(t->g[0], l), t1 = V(t->g[1], l), t2 = V(t->g[2], l);
            const vector h = V(b->h[j], l), th = V(t->h[j], l), x0 = V(b->x[0], l), x1 = V(b->x[1], l);
            const vector dh = w[0] * g0 + w[1] * g1 + w[2] * g2;
            const vector tdh = (w[0] * t0 + w[1] * t1 + w[2] * t2) + (a[0] * g0 + a[1] * g1 + a[2] * g2);
            const vector slope = square ? 2 * V(b->z[j], l) : 1 - h * h;
            const vector bend = square ? 2 * V(t->z[j], l) : -2 * h * th;
            const vector dz = dh * slope, tdz = tdh * slope + dh * bend;
            sum[0] += g0 * h, sum[1] += g1 * h, sum[2] += g2 * h;
            sum[3] += dz * x0, sum[4] += dz * x1, sum[5] += dz;
            sum[6] += t0 * h + g0 * th, sum[7] += t1 * h + g1 * th, sum[8] += t2 * h + g2 * th;
            sum[9] += tdz * x0, sum[10] += tdz * x1, sum[11] += tdz;
        }
        double *const to[] = { d, hd };
        for (int i = 0; i < 2; i++) {
            const vector *const s = sum + 6 * i;
            for (int k = 0; k < CLASSES; k++) to[i][W2 + k * HIDDEN + j] += sum_of(s[k]);
            to[i][j * INPUTS] += sum_of(s[3]);
            to[i][j * INPUTS + 1] += sum_of(s[4]);
            to[i][B1 + j] += sum_of(s[5]);
        }
    }
    for (int k = 0; k < CLASSES; k++) {
        vector sum = { 0 }, tangent = { 0 };
        for (int l = 0; l < VECTORS; l++) sum += V(b->g[k], l), tangent += V(t->g[k], l);
        d[B2 + k] += sum_of(sum);
        hd[B2 + k] += sum_of(tangent);
    }
}

static double net_hvp(int n, const double *p, const double *v, const double *x, const double *y, double *d,
                      double *hd, int square)
{
    static block b;
    static tangents t;
    double loss = 0;
    for (int i = 0; i < n; i += BLOCK) {
        load(&b, x + i * INPUTS, y + i * CLASSES);
        forward(&b, p, square);
        forward_tangents(&b, &t, p, v, square);
        backward_tangents(&b, &t, p, v, d, hd, square);
        loss += loss_of(&b);
    }
    return loss;
}

double tanh_hvp_expert(int n, const double *p, const double *v, const double *x, const double *y, double *d, double *h)
{
    return net_hvp(n, p, v, x, y, d, h, 0);
}

double square_hvp_expert(int n, const double *p, const double *v, const double *x, const double *y, double *d,
                         double *h)
{
    return net_hvp(n, p, v, x, y, d, h, 1);
}

/* Both dot products in one pass over the rows, both sums in another. */
double logistic_hvp_expert(int n, const double *p, const double *v, const double *x, const double *y, double *d,
                           double *h)
{
    enum { WHOLE = FEATURES / WIDTH, REST = FEATURES % WIDTH, ROWS = 4 * WIDTH };
    double z[ROWS], t[ROWS], s[ROWS], l[ROWS], loss = 0;
    for (int i = 0; i < n; i += ROWS, x += ROWS * FEATURES, y += ROWS) {
        for (int r = 0; r < ROWS; r += 4) {
            vector sum[4] = { { 0 } }, along[4] = { { 0 } };
            double rest[4] = { 0 }, rest_along[4] = { 0 };
            for (int k = 0; k < WHOLE; k++)
                for (int q = 0; q < 4; q++) {
                    const vector row = V(x + (r + q) * FEATURES, k);
                    sum[q] += V(p, k) * row;
                    along[q] += V(v, k) * row;
                }
            for (int j = FEATURES - REST; j < FEATURES; j++)
                for (int q = 0; q < 4; q++) {
                    rest[q] += p[j] * x[(r + q) * FEATURES + j];
                    rest_along[q] += v[j] * x[(r + q) * FEATURES + j];
                }
            for (int q = 0; q < 4; q++) {
                z[r + q] = p[FEATURES] + sum_of(sum[q]) + rest[q];
                t[r + q] = v[FEATURES] + sum_of(along[q]) + rest_along[q];
            }
        }
        map(SIGMOID, ROWS, s, z);
        map(SOFTPLUS, ROWS, l, z);
        for (int r = 0; r < ROWS; r++) {
            t[r] *= s[r] * (1 - s[r]);
            loss += l[r] - y[r] * z[r], s[r] -= y[r];
            d[FEATURES] += s[r], h[FEATURES] += t[r];
        }
        for (int r = 0; r < ROWS; r += 4) {
            for (int k = 0; k < WHOLE; k++) {
                vector sum = V(d, k), along = V(h, k);
                for (int q = 0; q < 4; q++) {
                    const vector row = V(x + (r + q) * FEATURES, k);
                    sum += s[r + q] * row;
                    along += t[r + q] * row;
                }
                V(d, k) = sum;
                V(h, k) = along;
            }
            for (int j = FEATURES - REST; j < FEATURES; j++)
                for (int q = 0; q < 4; q++) {
                    d[j] += s[r + q] * x[(r + q) * FEATURES + j];
                    h[j] += t[r + q] * x[(r + q) * FEATURES + j];
                }
        }
    }
    return loss;
}

#endif
