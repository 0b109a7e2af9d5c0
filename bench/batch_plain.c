/* The plain sides of batch.h. Compiled with -O3 -march=native -std=c17. */
#include <math.h>

#include "batch.h"

/* A 2-100-3 network with log-softmax: values of one instance, or with d its gradient too. */
static real net(const real *p, const real *x, const real *y, real *d, int square)
{
    const real *w1 = p, *b1 = w1 + HIDDEN * INPUTS, *w2 = b1 + HIDDEN, *b2 = w2 + CLASSES * HIDDEN;
    real *dw1 = d, *db1 = dw1 + HIDDEN * INPUTS, *dw2 = db1 + HIDDEN, *db2 = dw2 + CLASSES * HIDDEN;
    real z[HIDDEN], h[HIDDEN], o[CLASSES], dh[HIDDEN] = { 0 }, total = 0, chosen = 0;
    for (int j = 0; j < HIDDEN; j++) {
        z[j] = b1[j];
        for (int i = 0; i < INPUTS; i++) z[j] += w1[j * INPUTS + i] * x[i];
        h[j] = square ? z[j] * z[j] : LIBM(tanh)(z[j]);
    }
    for (int k = 0; k < CLASSES; k++) {
        o[k] = b2[k];
        for (int j = 0; j < HIDDEN; j++) o[k] += w2[k * HIDDEN + j] * h[j];
        total += LIBM(exp)(o[k]);
        chosen += o[k] * y[k];
    }
    for (int k = 0; k < CLASSES; k++) {
        const real g = LIBM(exp)(o[k]) / total - y[k];
        db2[k] += g;
        for (int j = 0; j < HIDDEN; j++) {
            dw2[k * HIDDEN + j] += g * h[j];
            dh[j] += g * w2[k * HIDDEN + j];
        }
    }
    for (int j = 0; j < HIDDEN; j++) {
        const real g = dh[j] * (square ? 2 * z[j] : 1 - h[j] * h[j]);
        db1[j] += g;
        for (int i = 0; i < INPUTS; i++) dw1[j * INPUTS + i] += g * x[i];
    }
    return LIBM(log)(total) - chosen;
}

static double nets(int n, const real *p, const real *x, const real *y, real *d, int square)
{
    double loss = 0;
    for (int i = 0; i < n; i++) loss += (double)net(p, x + i * INPUTS, y + i * CLASSES, d, square);
    return loss;
}

double BY_HAND(tanh_plain)(int n, const void *p, const void *x, const void *y, void *d)
{
    return nets(n, p, x, y, d, 0);
}

double BY_HAND(square_plain)(int n, const void *p, const void *x, const void *y, void *d)
{
    return nets(n, p, x, y, d, 1);
}

double BY_HAND(logistic_plain)(int n, const void *p_, const void *x_, const void *y_, void *d_)
{
    const real *p = p_, *x = x_, *y = y_;
    real *const d = d_;
    double loss = 0;
    for (int i = 0; i < n; i++, x += FEATURES) {
        real z = p[FEATURES];
        for (int j = 0; j < FEATURES; j++) z += p[j] * x[j];
        const real e = LIBM(exp)(-LIBM(fabs)(z)), g = (z >= 0 ? 1 : e) / (1 + e) - y[i];
        for (int j = 0; j < FEATURES; j++) d[j] += g * x[j];
        d[FEATURES] += g;
        loss += (double)((z > 0 ? z : 0) + LIBM(log1p)(e) - y[i] * z);
    }
    return loss;
}

/* ---- a chain, a product ------------------------------------------------------------------------ */

#ifndef TG_REAL_F32

/* The two derivatives go along with v: that is quicker than to keep every v and to come back. */
double chain_plain(int n, const void *p_, const void *x_, const void *y, void *d_)
{
    (void)y;
    const double *const p = p_, *const x = x_;
    double *const d = d_, total = 0;
    for (int i = 0; i < n; i++) {
        double v = x[i], d0 = 0, d1 = 0;
        for (int s = 0; s < STEPS; s++) {
            const double slope = 1 - 3 * p[0] * (v * v);
            d0 = d0 * slope - v * v * v;
            d1 = d1 * slope + 1;
            v += p[1] - p[0] * (v * v * v);
        }
        d[0] += d0, d[1] += d1;
        total += v;
    }
    return total;
}

double dot_plain(int n, const void *p_, const void *x_, const void *y, void *d_)
{
    (void)y;
    const double *w = p_, *x = x_;
    double *const d = d_, total = 0;
    for (int i = 0; i < n; i++, x += FEATURES) {
        double z = 0;
        for (int j = 0; j < FEATURES; j++) z += w[j] * x[j];
        for (int j = 0; j < FEATURES; j++) d[j] += x[j];
        total += z;
    }
    return total;
}

#endif

/* ---- Hessian times a direction ----------------------------------------------------------------- */

#ifndef TG_REAL_F32

/* One instance of the network: gradient and, with t before a name, its derivative along v. */
static double net_hvp(const double *p, const double *v, const double *x, const double *y, double *d, double *hd,
                      int square)
{
    enum { B1 = HIDDEN * INPUTS, W2 = B1 + HIDDEN, B2 = W2 + CLASSES * HIDDEN };
    double z[HIDDEN], h[HIDDEN], slope[HIDDEN], tz[HIDDEN], th[HIDDEN], o[CLASSES], to[CLASSES];
    double dh[HIDDEN] = { 0 }, tdh[HIDDEN] = { 0 }, total = 0, chosen = 0, mean = 0;
    for (int j = 0; j < HIDDEN; j++) {
        z[j] = p[B1 + j];
        tz[j] = v[B1 + j];
        for (int i = 0; i < INPUTS; i++) z[j] += p[j * INPUTS + i] * x[i];
        for (int i = 0; i < INPUTS; i++) tz[j] += v[j * INPUTS + i] * x[i];
        h[j] = square ? z[j] * z[j] : tanh(z[j]);
        slope[j] = square ? 2 * z[j] : 1 - h[j] * h[j];
        th[j] = slope[j] * tz[j];
    }
    for (int k = 0; k < CLASSES; k++) {
        o[k] = p[B2 + k];
        to[k] = v[B2 + k];
        for (int j = 0; j < HIDDEN; j++) o[k] += p[W2 + k * HIDDEN + j] * h[j];
        for (int j = 0; j < HIDDEN; j++) to[k] += v[W2 + k * HIDDEN + j] * h[j] + p[W2 + k * HIDDEN + j] * th[j];
        total += exp(o[k]);
        chosen += o[k] * y[k];
    }
    for (int k = 0; k < CLASSES; k++) mean += exp(o[k]) / total * to[k];
    for (int k = 0; k < CLASSES; k++) {
        const double q = exp(o[k]) / total, g = q - y[k], tg = q * (to[k] - mean);
        d[B2 + k] += g;
        hd[B2 + k] += tg;
        for (int j = 0; j < HIDDEN; j++) {
            d[W2 + k * HIDDEN + j] += g * h[j];
            hd[W2 + k * HIDDEN + j] += tg * h[j] + g * th[j];
            dh[j] += g * p[W2 + k * HIDDEN + j];
            tdh[j] += tg * p[W2 + k * HIDDEN + j] + g * v[W2 + k * HIDDEN + j];
        }
    }
    for (int j = 0; j < HIDDEN; j++) {
        const double bend = square ? 2 * tz[j] : -2 * h[j] * th[j];
        const double g = dh[j] * slope[j], tg = tdh[j] * slope[j] + dh[j] * bend;
        d[B1 + j] += g;
        hd[B1 + j] += tg;
        for (int i = 0; i < INPUTS; i++) {
            d[j * INPUTS + i] += g * x[i];
            hd[j * INPUTS + i] += tg * x[i];
        }
    }
    return log(total) - chosen;
}

double tanh_hvp_plain(int n, const double *p, const double *v, const double *x, const double *y, double *d, double *h)
{
    double loss = 0;
    for (int i = 0; i < n; i++) loss += net_hvp(p, v, x + i * INPUTS, y + i * CLASSES, d, h, 0);
    return loss;
}

double square_hvp_plain(int n, const double *p, const double *v, const double *x, const double *y, double *d,
                        double *h)
{
    double loss = 0;
    for (int i = 0; i < n; i++) loss += net_hvp(p, v, x + i * INPUTS, y + i * CLASSES, d, h, 1);
    return loss;
}

double logistic_hvp_plain(int n, const double *p, const double *v, const double *x, const double *y, double *d,
                          double *h)
{
    double loss = 0;
    for (int i = 0; i < n; i++, x += FEATURES) {
        double z = p[FEATURES], tz = v[FEATURES];
        for (int j = 0; j < FEATURES; j++) z += p[j] * x[j];
        for (int j = 0; j < FEATURES; j++) tz += v[j] * x[j];
        const double e = exp(-fabs(z)), g = (z >= 0 ? 1 : e) / (1 + e) - y[i], tg = e / ((1 + e) * (1 + e)) * tz;
        for (int j = 0; j < FEATURES; j++) d[j] += g * x[j];
        for (int j = 0; j < FEATURES; j++) h[j] += tg * x[j];
        d[FEATURES] += g;
        h[FEATURES] += tg;
        loss += (z > 0 ? z : 0) + log1p(e) - y[i] * z;
    }
    return loss;
}

#endif
