/* The gradient derived by hand, as a C programmer writes it: one sample at a time, libm, no tricks.
   Compiled with -O3 -march=native -std=c17. */
#include <math.h>
#include <stddef.h>

#include "mlp.h"

static double step(void *state, const mlp *p, const double *x, int label, mlp *d)
{
    (void)state;
    double h[HIDDEN], o[OUTPUTS], dh[HIDDEN] = { 0 };
    for (int j = 0; j < HIDDEN; j++) {
        double z = p->b1[j];
        for (int i = 0; i < INPUTS; i++) z += p->w1[j * INPUTS + i] * x[i];
        h[j] = tanh(z);
    }
    for (int k = 0; k < OUTPUTS; k++) {
        double z = p->b2[k];
        for (int j = 0; j < HIDDEN; j++) z += p->w2[k * HIDDEN + j] * h[j];
        o[k] = z;
    }
    double total = 0;
    for (int k = 0; k < OUTPUTS; k++) total += exp(o[k]);
    const double loss = log(total) - o[label];

    for (int k = 0; k < OUTPUTS; k++) {
        const double g = exp(o[k]) / total - (k == label);
        d->b2[k] += g;
        for (int j = 0; j < HIDDEN; j++) {
            d->w2[k * HIDDEN + j] += g * h[j];
            dh[j] += g * p->w2[k * HIDDEN + j];
        }
    }
    for (int j = 0; j < HIDDEN; j++) {
        const double g = dh[j] * (1 - h[j] * h[j]);
        d->b1[j] += g;
        for (int i = 0; i < INPUTS; i++) d->w1[j * INPUTS + i] += g * x[i];
    }
    return loss;
}

const way mlp_plain = { .name = "plain", .step = step };
