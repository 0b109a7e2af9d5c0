/* One task, done in several ways: value and gradient of a 2-100-3 network, tanh inside, log-softmax
   and negative log-likelihood outside, for one sample. 1107 scalar operations, 603 parameters. */
#ifndef BENCH_MLP_H
#define BENCH_MLP_H

enum {
    INPUTS = 2,
    HIDDEN = 100,
    OUTPUTS = 3,
    SCALAR_OPS = HIDDEN * (2 * INPUTS + 1) + OUTPUTS * 2 * HIDDEN + 7
};

/* Row-major: w1 is (HIDDEN, INPUTS), w2 is (OUTPUTS, HIDDEN). */
typedef struct mlp {
    double w1[HIDDEN * INPUTS], b1[HIDDEN], w2[OUTPUTS * HIDDEN], b2[OUTPUTS];
} mlp;

/* How the work is done: start gets the parameters and may keep what it makes of them, step adds one
   sample's gradient to gradient and returns its loss, stop gives everything back. */
typedef struct way {
    const char *name;
    void *(*start)(const mlp *parameters);
    double (*step)(void *state, const mlp *parameters, const double *x, int label, mlp *gradient);
    double (*bytes)(void *state); /* an operation, after a step; 0: not known */
    void (*stop)(void *state);
} way;

extern const way mlp_plain, mlp_inline, mlp_shared, mlp_vector;

#endif
