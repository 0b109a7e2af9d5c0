/* The network by Eigen's AutoDiff: forward mode, all 603 derivatives at once. */
#include <Eigen/Core>
#include <unsupported/Eigen/AutoDiff>

#include "peer.h"

typedef Eigen::AutoDiffScalar<Eigen::Matrix<double, NET_PARAMETERS, 1>> number;

static void step(const double *parameters, const double *x, const double *y, double *d)
{
    static number p[NET_PARAMETERS], h[HIDDEN], o[CLASSES];
    for (int i = 0; i < NET_PARAMETERS; i++) p[i] = number(parameters[i], NET_PARAMETERS, i);
    const number *w1 = p, *b1 = w1 + HIDDEN * INPUTS, *w2 = b1 + HIDDEN, *b2 = w2 + CLASSES * HIDDEN;
    for (int j = 0; j < HIDDEN; j++) {
        number z = b1[j];
        for (int i = 0; i < INPUTS; i++) z += w1[j * INPUTS + i] * x[i];
        h[j] = tanh(z);
    }
    number total(0), chosen(0);
    for (int k = 0; k < CLASSES; k++) {
        o[k] = b2[k];
        for (int j = 0; j < HIDDEN; j++) o[k] += w2[k * HIDDEN + j] * h[j];
        total += exp(o[k]);
        chosen += o[k] * y[k];
    }
    const number loss = log(total) - chosen;
    for (int i = 0; i < NET_PARAMETERS; i++) d[i] += loss.derivatives()[i];
}

const peer peer_eigen = { "eigen", nullptr, step };
