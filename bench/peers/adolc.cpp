/* The network of mlp.h by ADOL-C: recorded for each sample, or recorded once with the sample's numbers
   as inputs too, and replayed. */
#include <adolc/adolc.h>
#include <cstdlib>
#include <cstring>

#include "../mlp.h"

enum { PARAMETERS = sizeof(mlp) / sizeof(double), ALL = PARAMETERS + INPUTS + OUTPUTS, RECORDED = 1, REPLAYED = 2 };

/* p: w1, b1, w2, b2 in a row; y is 1 for the label, else 0. */
template <typename X, typename Y> static adouble loss_of(const adouble *p, const X *x, const Y *y)
{
    const adouble *w1 = p, *b1 = w1 + HIDDEN * INPUTS, *w2 = b1 + HIDDEN, *b2 = w2 + OUTPUTS * HIDDEN;
    adouble h[HIDDEN], total = 0, chosen = 0;
    for (int j = 0; j < HIDDEN; j++) {
        adouble z = b1[j];
        for (int i = 0; i < INPUTS; i++) z += w1[j * INPUTS + i] * x[i];
        h[j] = tanh(z);
    }
    for (int k = 0; k < OUTPUTS; k++) {
        adouble o = b2[k];
        for (int j = 0; j < HIDDEN; j++) o += w2[k * HIDDEN + j] * h[j];
        total += exp(o);
        chosen += y[k] * o;
    }
    return log(total) - chosen;
}

static void add_to(mlp *gradient, const double *d)
{
    double *const g = (double *)gradient;
    for (int i = 0; i < PARAMETERS; i++) g[i] += d[i];
}

static double record(void *, const mlp *parameters, const double *x, int label, mlp *gradient_)
{
    static adouble p[PARAMETERS];
    double value, d[PARAMETERS], y[OUTPUTS] = { 0 };
    y[label] = 1;
    trace_on(RECORDED);
    for (int i = 0; i < PARAMETERS; i++) p[i] <<= ((const double *)parameters)[i];
    adouble loss = loss_of(p, x, y);
    loss >>= value;
    trace_off();
    gradient(RECORDED, PARAMETERS, (const double *)parameters, d);
    add_to(gradient_, d);
    return value;
}

static void *start_replay(const mlp *parameters)
{
    static adouble p[ALL];
    double value;
    trace_on(REPLAYED);
    for (int i = 0; i < ALL; i++) p[i] <<= i < PARAMETERS ? ((const double *)parameters)[i] : 0.5;
    adouble loss = loss_of(p, p + PARAMETERS, p + PARAMETERS + INPUTS);
    loss >>= value;
    trace_off();
    return std::malloc(1);
}

static double replay(void *, const mlp *parameters, const double *x, int label, mlp *gradient_)
{
    double all[ALL] = { 0 }, d[ALL];
    std::memcpy(all, parameters, sizeof *parameters);
    std::memcpy(all + PARAMETERS, x, INPUTS * sizeof *x);
    all[PARAMETERS + INPUTS + label] = 1;
    gradient(REPLAYED, ALL, all, d);
    add_to(gradient_, d);
    return 0;
}

extern const way peer_adolc = { "adolc", nullptr, record, nullptr, nullptr };
extern const way peer_adolc_replayed = { "adolc-replayed", start_replay, replay, nullptr, std::free };
