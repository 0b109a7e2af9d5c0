/* The network of mlp.h by Eigen's AutoDiff: forward mode, all 603 derivatives at once. */
#include <Eigen/Core>
#include <unsupported/Eigen/AutoDiff>

#include "../mlp.h"

enum { PARAMETERS = sizeof(mlp) / sizeof(double) };
typedef Eigen::AutoDiffScalar<Eigen::Matrix<double, PARAMETERS, 1>> number;

static double step(void *, const mlp *parameters, const double *x, int label, mlp *gradient)
{
    static number p[PARAMETERS], h[HIDDEN], o[OUTPUTS];
    for (int i = 0; i < PARAMETERS; i++) p[i] = number(((const double *)parameters)[i], PARAMETERS, i);
    const number *w1 = p, *b1 = w1 + HIDDEN * INPUTS, *w2 = b1 + HIDDEN, *b2 = w2 + OUTPUTS * HIDDEN;
    for (int j = 0; j < HIDDEN; j++) {
        number z = b1[j];
        for (int i = 0; i < INPUTS; i++) z += w1[j * INPUTS + i] * x[i];
        h[j] = tanh(z);
    }
    number total(0);
    for (int k = 0; k < OUTPUTS; k++) {
        o[k] = b2[k];
        for (int j = 0; j < HIDDEN; j++) o[k] += w2[k * HIDDEN + j] * h[j];
        total += exp(o[k]);
    }
    const number loss = log(total) - o[label];
    double *const g = (double *)gradient;
    for (int i = 0; i < PARAMETERS; i++) g[i] += loss.derivatives()[i];
    return loss.value();
}

extern const way peer_eigen = { "eigen", nullptr, step, nullptr, nullptr };
