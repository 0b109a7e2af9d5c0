/* The network by ADOL-C: recorded for each sample, or recorded once with the sample's numbers
   as inputs too, and replayed. */
#include <adolc/adolc.h>
#include <cstring>

#include "peer.h"

enum { ALL = NET_PARAMETERS + INPUTS + CLASSES, RECORDED = 1, REPLAYED = 2 };

/* p: w1, b1, w2, b2 in a row; y is 1 for the label, else 0. */
template <typename X, typename Y> static adouble loss_of(const adouble *p, const X *x, const Y *y)
{
    const adouble *w1 = p, *b1 = w1 + HIDDEN * INPUTS, *w2 = b1 + HIDDEN, *b2 = w2 + CLASSES * HIDDEN;
    adouble h[HIDDEN], total = 0, chosen = 0;
    for (int j = 0; j < HIDDEN; j++) {
        adouble z = b1[j];
        for (int i = 0; i < INPUTS; i++) z += w1[j * INPUTS + i] * x[i];
        h[j] = tanh(z);
    }
    for (int k = 0; k < CLASSES; k++) {
        adouble o = b2[k];
        for (int j = 0; j < HIDDEN; j++) o += w2[k * HIDDEN + j] * h[j];
        total += exp(o);
        chosen += y[k] * o;
    }
    return log(total) - chosen;
}

static void record(const double *parameters, const double *x, const double *y, double *to)
{
    static adouble p[NET_PARAMETERS];
    double value, d[NET_PARAMETERS];
    trace_on(RECORDED);
    for (int i = 0; i < NET_PARAMETERS; i++) p[i] <<= parameters[i];
    adouble loss = loss_of(p, x, y);
    loss >>= value;
    trace_off();
    gradient(RECORDED, NET_PARAMETERS, parameters, d);
    for (int i = 0; i < NET_PARAMETERS; i++) to[i] += d[i];
}

static void start_replay()
{
    static adouble p[ALL];
    double value;
    trace_on(REPLAYED);
    for (int i = 0; i < ALL; i++) p[i] <<= 0.5;
    adouble loss = loss_of(p, p + NET_PARAMETERS, p + NET_PARAMETERS + INPUTS);
    loss >>= value;
    trace_off();
}

static void replay(const double *parameters, const double *x, const double *y, double *to)
{
    double all[ALL], d[ALL];
    std::memcpy(all, parameters, NET_PARAMETERS * sizeof *parameters);
    std::memcpy(all + NET_PARAMETERS, x, INPUTS * sizeof *x);
    std::memcpy(all + NET_PARAMETERS + INPUTS, y, CLASSES * sizeof *y);
    gradient(REPLAYED, ALL, all, d);
    for (int i = 0; i < NET_PARAMETERS; i++) to[i] += d[i];
}

const peer peer_adolc = { "adolc", nullptr, record };
const peer peer_adolc_replayed = { "adolc-replayed", start_replay, replay };
