/* The plain sides of batch.h. Compiled with -O3 -march=native -std=c17. */
#include <math.h>

#include "batch.h"

/* A 2-100-3 network with log-softmax: values of one instance, or with d its gradient too. */
static double net(const double *p, const double *x, const double *y, double *d, int square)
{
    const double *w1 = p, *b1 = w1 + HIDDEN * INPUTS, *w2 = b1 + HIDDEN, *b2 = w2 + CLASSES * HIDDEN;
    double *dw1 = d, *db1 = dw1 + HIDDEN * INPUTS, *dw2 = db1 + HIDDEN, *db2 = dw2 + CLASSES * HIDDEN;
    double z[HIDDEN], h[HIDDEN], o[CLASSES], dh[HIDDEN] = { 0 }, total = 0, chosen = 0;
    for (int j = 0; j < HIDDEN; j++) {
        z[j] = b1[j];
        for (int i = 0; i < INPUTS; i++) z[j] += w1[j * INPUTS + i] * x[i];
        h[j] = square ? z[j] * z[j] : tanh(z[j]);
    }
    for (int k = 0; k < CLASSES; k++) {
        o[k] = b2[k];
        for (int j = 0; j < HIDDEN; j++) o[k] += w2[k * HIDDEN + j] * h[j];
        total += exp(o[k]);
        chosen += o[k] * y[k];
    }
    for (int k = 0; k < CLASSES; k++) {
        const double g = exp(o[k]) / total - y[k];
        db2[k] += g;
        for (int j = 0; j < HIDDEN; j++) {
            dw2[k * HIDDEN + j] += g * h[j];
            dh[j] += g * w2[k * HIDDEN + j];
        }
    }
    for (int j = 0; j < HIDDEN; j++) {
        const double g = dh[j] * (square ? 2 * z[j] : 1 - h[j] * h[j]);
        db1[j] += g;
        for (int i = 0; i < INPUTS; i++) dw1[j * INPUTS + i] += g * x[i];
    }
    return log(total) - chosen;
}

double tanh_plain(int n, const double *p, const double *x, const double *y, double *d)
{
    double loss = 0;
    for (int i = 0; i < n; i++) loss += net(p, x + i * INPUTS, y + i * CLASSES, d, 0);
    return loss;
}

double square_plain(int n, const double *p, const double *x, const double *y, double *d)
{
    double loss = 0;
    for (int i = 0; i < n; i++) loss += net(p, x + i * INPUTS, y + i * CLASSES, d, 1);
    return loss;
}

double logistic_plain(int n, const double *p, const double *x, const double *y, double *d)
{
    double loss = 0;
    for (int i = 0; i < n; i++, x += FEATURES) {
        double z = p[FEATURES];
        for (int j = 0; j < FEATURES; j++) z += p[j] * x[j];
        const double e = exp(-fabs(z)), g = (z >= 0 ? 1 : e) / (1 + e) - y[i];
        for (int j = 0; j < FEATURES; j++) d[j] += g * x[j];
        d[FEATURES] += g;
        loss += (z > 0 ? z : 0) + log1p(e) - y[i] * z;
    }
    return loss;
}
