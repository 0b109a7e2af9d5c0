#include "ridge.h"

#include <math.h>

static double margin(const ridge_data *d, size_t i, const double *w)
{
    double sum = 0;
    for (size_t j = 0; j < d->n; j++) sum += d->x[i * d->n + j] * w[j];
    return d->label[i] * sum;
}

double ridge_loss(const double *w, size_t n, void *user)
{
    const ridge_data *const d = user;
    double loss = 0;
    for (size_t i = 0; i < d->m; i++) {
        const double z = -margin(d, i, w);
        loss += (fmax(z, 0) + log1p(exp(-fabs(z)))) / (double)d->m;
    }
    for (size_t j = 0; j < n; j++) loss += d->lambda / 2 * w[j] * w[j];
    return loss;
}

/* d log(1 + exp(-z)) / dz = -1 / (1 + exp(z)), and dz_i / dw_j = label_i x_ij */
void ridge_gradient(const double *w, size_t n, double *g, void *user)
{
    const ridge_data *const d = user;
    for (size_t j = 0; j < n; j++) g[j] = d->lambda * w[j];
    for (size_t i = 0; i < d->m; i++) {
        const double slope = -d->label[i] / (1 + exp(margin(d, i, w))) / (double)d->m;
        for (size_t j = 0; j < n; j++) g[j] += slope * d->x[i * d->n + j];
    }
}
