/* The values of all operations that are not elementwise: examples with results written out, and sweeps over axes, shapes and
   attributes against plain loops in long double. Elementwise operations are in test_values_maps.c. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
#define MOST 4096 /* elements of any tensor here */

typedef long double real;

TestSuite(tensors);

/* ---- operands and results -------------------------------------------------------------------- */

/* rank is one more than the rank, so that what is left out is no tensor: see S, V, M, C. */
typedef struct tensor {
    int rank1;
    int64_t dim[3];
    double x[24];
} tensor;

#define NUMBERS(...) { __VA_ARGS__ }
#define S(x) { 1, { 0 }, { x } }                                                        /* a scalar */
#define V(...) { 2, { COUNT(((const double[]){ __VA_ARGS__ })) }, { __VA_ARGS__ } }     /* a vector */
#define M(m, n, ...) { 3, { m, n }, { __VA_ARGS__ } }                                   /* (m, n) */
#define C(l, m, n, ...) { 4, { l, m, n }, { __VA_ARGS__ } }                             /* (l, m, n) */
#define NOTHING 0 /* the elements of a tensor without any */

static int64_t size_of(const tensor *x)
{
    int64_t n = 1;
    for (int i = 0; i + 1 < x->rank1; i++) n *= x->dim[i];
    return n;
}

/* Results may differ by a few roundings of their largest element. */
static bool near(real got, real want, real largest, tg_type type)
{
    const real epsilon = type == TG_F32 ? (real)FLT_EPSILON : (real)DBL_EPSILON;
    return got == want || (isnan(got) && isnan(want)) || fabsl(got - want) <= 4 * epsilon * largest;
}

/* Whether v, or its gradient if gradient is set, has the shape and the elements of want. */
static bool equals(tg_value v, const tensor *want, bool gradient)
{
    double got[MOST];
    const int64_t n = size_of(want);
    if (tg_rank(v) != want->rank1 - 1) return false;
    for (int i = 0; i < tg_rank(v); i++)
        if (tg_dim(v, i) != want->dim[i]) return false;
    if (!(gradient ? tg_grad_read : tg_read)(v, got, (size_t)n)) return false;
    real largest = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(want->x[i])) largest = fmaxl(largest, fabsl(want->x[i]));
    for (int64_t i = 0; i < n; i++)
        if (!near(got[i], want->x[i], largest, tg_tape_type(v.tape))) return false;
    return true;
}

/* ---- examples -------------------------------------------------------------------------------- */

/* The gradients dx, where they are given, are those for incoming gradients 1, 2, 3, ... in row-major order. */
typedef struct example {
    const char *op;
    tensor x[3];
    const char *attributes;
    tensor y, dx[3];
} example;

#define INF INFINITY
static const example examples[] = {
    /* reductions */
    { "sum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, NULL, S(21), { M(2, 3, 1, 1, 1, 1, 1, 1) } },
    { "sum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=0", V(5, 7, 9), { M(2, 3, 1, 2, 3, 1, 2, 3) } },
    { "sum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=-1", V(6, 15), { M(2, 3, 1, 1, 1, 2, 2, 2) } },
    { "sum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=1, keep=true", M(2, 1, 6, 15), { { 0 } } },
    { "sum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "keep=true", M(1, 1, 21), { { 0 } } },
    { "sum", { C(2, 1, 2, 1, 2, 3, 4) }, "axes=(0, -1)", V(10), { { 0 } } },
    { "sum", { S(7) }, NULL, S(7), { S(1) } },
    { "sum", { M(0, 3, NOTHING) }, NULL, S(0), { { 0 } } },
    { "sum", { M(0, 3, NOTHING) }, "axis=0", V(0, 0, 0), { { 0 } } },
    { "sum", { V(INF, 1, 2) }, NULL, S(INF), { { 0 } } },
    { "sum", { V(INF, -INF, 2) }, NULL, S(NAN), { { 0 } } },
    { "sum", { V(1e30, 1, -1e30) }, NULL, S(1), { { 0 } } },
    { "mean", { M(2, 3, 1, 2, 3, 4, 5, 9) }, NULL, S(4), { { 0 } } },
    { "mean", { M(2, 2, 1, 2, 3, 4) }, "axis=0", V(2, 3), { M(2, 2, 0.5, 1, 0.5, 1) } },
    { "mean", { M(0, 3, NOTHING) }, NULL, S(NAN), { { 0 } } },
    { "mean", { M(2, 0, NOTHING) }, "axis=1", V(NAN, NAN), { { 0 } } },
    { "prod", { V(2, 3, 4) }, NULL, S(24), { V(12, 8, 6) } },
    { "prod", { V(2, 0, 4) }, NULL, S(0), { V(0, 8, 0) } },
    { "prod", { V(2, 0, 0) }, NULL, S(0), { V(0, 0, 0) } },
    { "prod", { M(2, 2, 1, 2, 3, 4) }, "axis=0", V(3, 8), { M(2, 2, 3, 8, 1, 4) } },
    { "prod", { V(2, INF, -1) }, NULL, S(-INF), { { 0 } } },
    { "prod", { M(0, 2, NOTHING) }, "axis=0", V(1, 1), { { 0 } } },
    { "var", { V(1, 2, 3, 6) }, NULL, S(14.0 / 3), { V(-4.0 / 3, -2.0 / 3, 0, 2) } },
    { "var", { V(1, 2, 3, 6) }, "correction=0", S(3.5), { V(-1, -0.5, 0, 1.5) } },
    { "var", { V(1, 2, 3, 6) }, "correction=2", S(7), { { 0 } } },
    { "var", { M(2, 2, 1, 2, 5, 8) }, "axis=0", V(8, 18), { { 0 } } },
    { "var", { V(1e8, 1e8 + 8) }, NULL, S(32), { { 0 } } },
    { "var", { V(3) }, NULL, S(NAN), { { 0 } } },
    { "var", { V(0.1, 0.1, 0.1) }, NULL, S(0), { V(0, 0, 0) } },
    { "std", { V(1, 2, 3, 6) }, "correction=2", S(2.6457513110645906), { { 0 } } },
    { "std", { M(2, 2, 1, 1, 5, 3) }, "axis=-1, correction=0", V(0, 1), { M(2, 2, 0, 0, 1, -1) } },
    { "std", { V(0.1, 0.1, 0.1) }, NULL, S(0), { V(0, 0, 0) } },
    { "std", { V(3) }, NULL, S(NAN), { { 0 } } },
    { "amax", { M(2, 3, 1, 5, 5, 4, 2, 3) }, "axis=1", V(5, 4), { M(2, 3, 0, 0.5, 0.5, 2, 0, 0) } },
    { "amax", { M(2, 2, 1, 5, 5, 5) }, NULL, S(5), { M(2, 2, 0, 1.0 / 3, 1.0 / 3, 1.0 / 3) } },
    { "amax", { V(1, NAN, 3) }, NULL, S(NAN), { { 0 } } },
    { "amax", { V(-INF, -INF) }, NULL, S(-INF), { V(0.5, 0.5) } },
    { "amax", { M(0, 3, NOTHING) }, "axis=1", { 2, { 0 }, { 0 } }, { { 0 } } },
    { "amin", { M(2, 3, 1, 5, 1, 4, 2, 3) }, "axis=0", V(1, 2, 1), { M(2, 3, 1, 0, 3, 0, 2, 0) } },
    { "amin", { V(2, 1, 1, INF) }, NULL, S(1), { V(0, 0.5, 0.5, 0) } },
    { "amin", { V(1, NAN, 3) }, NULL, S(NAN), { { 0 } } },
    { "argmax", { M(2, 3, 1, 5, 5, 4, 2, 3) }, NULL, S(1), { { 0 } } },
    { "argmax", { M(2, 3, 1, 5, 5, 4, 2, 3) }, "axis=0", V(1, 0, 0), { { 0 } } },
    { "argmax", { M(2, 3, 1, 5, 5, 4, 2, 3) }, "axis=-1, keep=true", M(2, 1, 1, 0), { { 0 } } },
    { "argmax", { V(-INF, -INF) }, NULL, S(0), { { 0 } } },
    { "argmax", { V(1, NAN, 3) }, NULL, S(1), { { 0 } } },
    { "argmin", { M(2, 3, 1, 5, 1, 4, 2, 3) }, NULL, S(0), { { 0 } } },
    { "argmin", { M(2, 3, 1, 5, 1, 4, 2, 3) }, "axis=1", V(0, 1), { { 0 } } },
    { "norm", { V(3, -4) }, NULL, S(5), { V(0.6, -0.8) } },
    { "norm", { V(3, -4, 0) }, "p=1", S(7), { V(1, -1, 0) } },
    { "norm", { V(3, -4, 4) }, "p=inf", S(4), { V(0, -0.5, 0.5) } },
    { "norm", { V(3, -4, 3) }, "p=-inf", S(3), { V(0.5, 0, 0.5) } },
    { "norm", { V(3, -4, 0) }, "p=0", S(2), { V(0, 0, 0) } },
    { "norm", { V(1, -8) }, "p=0.5", S(14.65685424949238), { { 0 } } },
    { "norm", { V(1, 2, 2) }, "p=3", S(2.571281590658235), { { 0 } } },
    { "norm", { M(2, 2, 3, 5, 4, 12) }, "axis=0", V(5, 13), { M(2, 2, 0.6, 10.0 / 13, 0.8, 24.0 / 13) } },
    { "norm", { V(0, 0, 0) }, NULL, S(0), { V(0, 0, 0) } },
    { "norm", { V(0, 0, 0) }, "p=3", S(0), { V(0, 0, 0) } },
    { "norm", { V(3e30, 4e30) }, NULL, S(5e30), { V(0.6, 0.8) } },
    { "norm", { V(3e-30, 4e-30) }, "p=2", S(5e-30), { V(0.6, 0.8) } },
    { "logsumexp", { V(0, 0, 0, 0) }, NULL, S(1.3862943611198906), { V(0.25, 0.25, 0.25, 0.25) } },
    { "logsumexp", { V(1000, 1000) }, NULL, S(1000.6931471805599), { V(0.5, 0.5) } },
    { "logsumexp", { M(2, 2, 0, 1, 0, -INF) }, "axis=0", V(0.69314718055994531, 1), { M(2, 2, 0.5, 2, 0.5, 0) } },
    { "logsumexp", { V(-INF, -INF) }, NULL, S(-INF), { V(0, 0) } },
    { "logsumexp", { V(INF, 1) }, NULL, S(INF), { { 0 } } },
    { "logsumexp", { M(2, 0, NOTHING) }, "axis=1", V(-INF, -INF), { { 0 } } },
    { "cumsum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, NULL, M(2, 3, 1, 3, 6, 4, 9, 15), { M(2, 3, 6, 5, 3, 15, 11, 6) } },
    { "cumsum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=0", M(2, 3, 1, 2, 3, 5, 7, 9), { { 0 } } },

    /* softargmax and its kin: the weights are e : 1, the logarithm of e + 1 is 1.3132... */
    { "softargmax", { V(1, 0) }, NULL, V(0.73105857863000488, 0.26894142136999512),
      { V(-0.19661193324148185, 0.19661193324148185) } },
    { "softmax", { M(2, 2, 1, 0, 0, 1) }, NULL,
      M(2, 2, 0.73105857863000488, 0.26894142136999512, 0.26894142136999512, 0.73105857863000488), { { 0 } } },
    { "softargmax", { M(2, 2, 1, 7, 0, 7) }, "axis=0", M(2, 2, 0.73105857863000488, 0.5, 0.26894142136999512, 0.5), { { 0 } } },
    { "softargmax", { V(2, 0) }, "beta=0.5", V(0.73105857863000488, 0.26894142136999512), { { 0 } } },
    { "softargmax", { V(0, 1) }, "beta=-1", V(0.73105857863000488, 0.26894142136999512), { { 0 } } },
    { "softargmax", { V(1e4, 0, -INF) }, NULL, V(1, 0, 0), { V(0, 0, 0) } },
    { "softargmax", { V(-INF, -INF) }, NULL, V(NAN, NAN), { { 0 } } },
    { "log_softmax", { V(1, 0) }, NULL, V(-0.31326168751822284, -1.3132616875182228),
      { V(-1.1931757358900146, 1.1931757358900146) } },
    { "log_softmax", { V(0, -1000, -INF) }, NULL, V(0, -1000, -INF), { V(-5, 2, 3) } },
    { "log_softmax", { V(0, 0.5) }, "beta=-2", V(-0.31326168751822284, -1.3132616875182228), { { 0 } } },
    { "log_softmax", { V(-INF, -INF) }, NULL, V(NAN, NAN), { { 0 } } },

    /* losses: operands that are labels are whole numbers */
    { "nll", { M(2, 3, -1, -2, -3, -4, -5, -6), V(2, 0) }, NULL, S(3.5), { M(2, 3, 0, 0, -0.5, -0.5, 0, 0) } },
    { "nll", { M(2, 3, -1, -2, -3, -4, -5, -6), V(2, 0) }, "reduction=sum", S(7), { { 0 } } },
    { "nll", { M(2, 3, -1, -2, -3, -4, -5, -6), V(2, 0) }, "reduction=none", V(3, 4), { M(2, 3, 0, 0, -1, -2, 0, 0) } },
    { "nll", { V(-1, -2), S(1) }, NULL, S(2), { V(0, -1) } },
    { "cross_entropy", { M(2, 2, 1, 0, 0, 1), V(0, 0) }, NULL, S(0.81326168751822284),
      { M(2, 2, -0.13447071068499756, 0.13447071068499756, -0.36552928931500244, 0.36552928931500244) } },
    { "cross_entropy", { M(2, 2, 1, 0, 0, 1), V(0, 0) }, "reduction=none", V(0.31326168751822284, 1.3132616875182228), { { 0 } } },
    { "cross_entropy", { V(1000, 0), S(1) }, "reduction=sum", S(1000), { V(1, -1) } },
    { "cross_entropy", { M(0, 2, NOTHING), { 2, { 0 }, { 0 } } }, NULL, S(NAN), { { 0 } } },
    { "cross_entropy", { M(0, 2, NOTHING), { 2, { 0 }, { 0 } } }, "reduction=sum", S(0), { { 0 } } },
    { "mse", { V(1, 2, 3), V(1, 4, 0) }, NULL, S(13.0 / 3), { V(0, -4.0 / 3, 2), V(0, 4.0 / 3, -2) } },
    { "mse", { V(1, 2, 3), V(1, 4, 0) }, "reduction=sum", S(13), { V(0, -4, 6), V(0, 4, -6) } },
    { "mse", { M(2, 2, 1, 2, 3, 4), V(1, 4) }, "reduction=none", M(2, 2, 0, 4, 4, 0), { M(2, 2, 0, -8, 12, 0), V(-12, 8) } },
    { "l1", { V(1, 2, 3), V(1, 4, 0) }, NULL, S(5.0 / 3), { V(0, -1.0 / 3, 1.0 / 3), V(0, 1.0 / 3, -1.0 / 3) } },
    { "l1", { V(1, 2, 3), S(2) }, "reduction=none", V(1, 0, 1), { V(-1, 0, 3), S(-2) } },
    { "bce", { V(0.5, 0.25), V(1, 0) }, "reduction=none", V(0.69314718055994531, 0.28768207245178093), { V(-2, 8.0 / 3), V(0, 2.1972245773362194) } },
    { "bce", { V(0.5, 0.5), V(0, 0.5) }, NULL, S(0.69314718055994531), { { 0 } } },
    { "bce", { V(0, 1), V(1, 0) }, "reduction=sum", S(200), { V(0, 0) } },
    { "bce", { V(0, 1), V(0, 1) }, "reduction=sum", S(0), { V(1, -1) } },
    { "bce_with_logits", { V(0, 1), V(1, 0) }, "reduction=none", V(0.69314718055994531, 1.3132616875182228),
      { V(-0.5, 1.4621171572600098), V(0, -2) } },
    { "bce_with_logits", { V(1000, -1000), V(1, 0) }, NULL, S(0), { V(0, 0) } },
    { "bce_with_logits", { S(-800), S(1) }, NULL, S(800), { S(-1), S(800) } },

    /* products */
    { "matmul", { M(2, 2, 1, 2, 3, 4), M(2, 2, 5, 6, 7, 8) }, NULL, M(2, 2, 19, 22, 43, 50),
      { M(2, 2, 17, 23, 39, 53), M(2, 2, 10, 14, 14, 20) } },
    { "matmul", { V(1, 2), M(2, 3, 1, 2, 3, 4, 5, 6) }, NULL, V(9, 12, 15), { V(14, 32), M(2, 3, 1, 2, 3, 2, 4, 6) } },
    { "matmul", { M(2, 3, 1, 2, 3, 4, 5, 6), V(1, 0, -1) }, NULL, V(-2, -2), { M(2, 3, 1, 0, -1, 2, 0, -2), V(9, 12, 15) } },
    { "matmul", { V(1, 2, 3), V(4, 5, 6) }, NULL, S(32), { V(4, 5, 6), V(1, 2, 3) } },
    { "matmul", { C(2, 1, 2, 1, 2, 3, 4), M(2, 1, 5, 6) }, NULL, C(2, 1, 1, 17, 39), { C(2, 1, 2, 5, 6, 10, 12), M(2, 1, 7, 10) } },
    { "matmul", { M(2, 0, NOTHING), M(0, 2, NOTHING) }, NULL, M(2, 2, 0, 0, 0, 0), { { 0 } } },
    { "matmul", { M(1, 2, 0, 1), M(2, 1, INF, 1) }, NULL, M(1, 1, NAN), { { 0 } } },
    { "dot", { V(1, 2, 3), V(4, 5, 6) }, NULL, S(32), { V(4, 5, 6), V(1, 2, 3) } },
    { "mv", { M(2, 3, 1, 2, 3, 4, 5, 6), V(1, 0, -1) }, NULL, V(-2, -2), { M(2, 3, 1, 0, -1, 2, 0, -2), V(9, 12, 15) } },
    { "outer", { V(1, 2), V(3, 4, 5) }, NULL, M(2, 3, 3, 4, 5, 6, 8, 10), { V(26, 62), V(9, 12, 15) } },
    { "linear", { M(2, 2, 1, 2, 3, 4), M(3, 2, 1, 0, 0, 1, 1, 1), V(10, 20, 30) }, NULL, M(2, 3, 11, 22, 33, 13, 24, 37),
      { M(2, 2, 4, 5, 10, 11), M(3, 2, 13, 18, 17, 24, 21, 30), V(5, 7, 9) } },
    { "linear", { V(1, 2), M(1, 2, 3, 4), V(5) }, NULL, V(16), { V(3, 4), M(1, 2, 1, 2), V(1) } },

    /* views */
    { "reshape", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "(3, 2)", M(3, 2, 1, 2, 3, 4, 5, 6), { M(2, 3, 1, 2, 3, 4, 5, 6) } },
    { "reshape", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "(1, -1, 2)", C(1, 3, 2, 1, 2, 3, 4, 5, 6), { { 0 } } },
    { "reshape", { V(5) }, "()", S(5), { V(1) } },
    { "flatten", { C(2, 1, 2, 1, 2, 3, 4) }, NULL, V(1, 2, 3, 4), { { 0 } } },
    { "flatten", { C(1, 2, 2, 1, 2, 3, 4) }, "start=1", M(1, 4, 1, 2, 3, 4), { { 0 } } },
    { "flatten", { C(1, 2, 2, 1, 2, 3, 4) }, "start=-3, end=-2", M(2, 2, 1, 2, 3, 4), { { 0 } } },
    { "flatten", { S(5) }, NULL, V(5), { { 0 } } },
    { "squeeze", { C(1, 2, 1, 1, 2) }, NULL, V(1, 2), { { 0 } } },
    { "squeeze", { C(1, 2, 1, 1, 2) }, "axis=-1", M(1, 2, 1, 2), { { 0 } } },
    { "unsqueeze", { V(1, 2) }, NULL, M(1, 2, 1, 2), { { 0 } } },
    { "unsqueeze", { V(1, 2) }, "axis=-1", M(2, 1, 1, 2), { { 0 } } },
    { "permute", { C(1, 2, 3, 1, 2, 3, 4, 5, 6) }, "(2, 0, 1)", C(3, 1, 2, 1, 4, 2, 5, 3, 6), { C(1, 2, 3, 1, 3, 5, 2, 4, 6) } },
    { "permute", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "(-1, 0)", M(3, 2, 1, 4, 2, 5, 3, 6), { { 0 } } },
    { "transpose", { M(2, 3, 1, 2, 3, 4, 5, 6) }, NULL, M(3, 2, 1, 4, 2, 5, 3, 6), { M(2, 3, 1, 3, 5, 2, 4, 6) } },
    { "transpose", { C(2, 1, 2, 1, 2, 3, 4) }, "axis0=0, axis1=-1", C(2, 1, 2, 1, 3, 2, 4), { { 0 } } },
    { "broadcast_to", { M(2, 1, 1, 2) }, "(2, 3)", M(2, 3, 1, 1, 1, 2, 2, 2), { M(2, 1, 6, 15) } },
    { "broadcast_to", { V(1, 2) }, "(2, 2)", M(2, 2, 1, 2, 1, 2), { V(4, 6) } },
    { "slice", { V(1, 2, 3, 4, 5) }, "start=1, stop=4", V(2, 3, 4), { V(0, 1, 2, 3, 0) } },
    { "slice", { V(1, 2, 3, 4, 5) }, "start=-1, step=-2", V(5, 3, 1), { V(3, 0, 2, 0, 1) } },
    { "slice", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=1, step=-1", M(2, 3, 3, 2, 1, 6, 5, 4), { { 0 } } },
    { "slice", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=-1, start=-2", M(2, 2, 2, 3, 5, 6), { M(2, 3, 0, 1, 2, 0, 3, 4) } },
    { "select", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "index=1", V(4, 5, 6), { M(2, 3, 0, 0, 0, 1, 2, 3) } },
    { "select", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=-1, index=-2", V(2, 5), { { 0 } } },
    { "at", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "(1, -1)", S(6), { M(2, 3, 0, 0, 0, 0, 0, 1) } },
    { "at", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "(-2)", V(1, 2, 3), { { 0 } } },
    { "flip", { M(2, 3, 1, 2, 3, 4, 5, 6) }, NULL, M(2, 3, 6, 5, 4, 3, 2, 1), { M(2, 3, 6, 5, 4, 3, 2, 1) } },
    { "flip", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=0", M(2, 3, 4, 5, 6, 1, 2, 3), { { 0 } } },
    { "diagonal", { M(2, 3, 1, 2, 3, 4, 5, 6) }, NULL, V(1, 5), { M(2, 3, 1, 0, 0, 0, 2, 0) } },
    { "diagonal", { C(2, 2, 2, 1, 2, 3, 4, 5, 6, 7, 8) }, "offset=-1", M(2, 1, 3, 7), { { 0 } } },

    /* copies */
    { "contiguous", { M(2, 2, 1, 2, 3, 4) }, NULL, M(2, 2, 1, 2, 3, 4), { M(2, 2, 1, 2, 3, 4) } },
    { "cat", { M(1, 2, 1, 2), M(2, 2, 3, 4, 5, 6) }, NULL, M(3, 2, 1, 2, 3, 4, 5, 6), { M(1, 2, 1, 2), M(2, 2, 3, 4, 5, 6) } },
    { "cat", { M(2, 1, 1, 2), M(2, 2, 3, 4, 5, 6) }, "axis=-1", M(2, 3, 1, 3, 4, 2, 5, 6), { M(2, 1, 1, 4), M(2, 2, 2, 3, 5, 6) } },
    { "stack", { V(1, 2), V(3, 4), V(5, 6) }, NULL, M(3, 2, 1, 2, 3, 4, 5, 6), { { 0 } } },
    { "stack", { V(1, 2), V(3, 4), V(5, 6) }, "axis=-1", M(2, 3, 1, 3, 5, 2, 4, 6), { V(1, 4), V(2, 5), V(3, 6) } },
    { "roll", { V(1, 2, 3, 4) }, NULL, V(4, 1, 2, 3), { V(2, 3, 4, 1) } },
    { "roll", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=1, shift=-4", M(2, 3, 2, 3, 1, 5, 6, 4), { { 0 } } },
    { "tile", { M(1, 2, 1, 2) }, "(2, 2)", M(2, 4, 1, 2, 1, 2, 1, 2, 1, 2), { M(1, 2, 16, 20) } },
    { "tile", { V(1, 2) }, "(2, 1)", M(2, 2, 1, 2, 1, 2), { { 0 } } },
    { "tile", { M(2, 1, 1, 2) }, "(3)", M(2, 3, 1, 1, 1, 2, 2, 2), { { 0 } } },
    { "pad", { M(2, 2, 1, 2, 3, 4) }, "before=1, value=9", M(2, 3, 9, 1, 2, 9, 3, 4), { M(2, 2, 2, 3, 5, 6) } },
    { "pad", { M(2, 2, 1, 2, 3, 4) }, "axis=0, after=1", M(3, 2, 1, 2, 3, 4, 0, 0), { { 0 } } },
    { "pad", { V(1) }, "before=1, after=2, value=-inf", V(-INF, 1, -INF, -INF), { { 0 } } },
    { "tril", { M(2, 3, 1, 2, 3, 4, 5, 6) }, NULL, M(2, 3, 1, 0, 0, 4, 5, 0), { M(2, 3, 1, 0, 0, 4, 5, 0) } },
    { "tril", { M(2, 2, NAN, NAN, 1, NAN) }, "offset=-1", M(2, 2, 0, 0, 1, 0), { { 0 } } },
    { "triu", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "offset=1", M(2, 3, 0, 2, 3, 0, 0, 6), { M(2, 3, 0, 2, 3, 0, 0, 6) } },

    /* operations with indices */
    { "index_select", { M(3, 2, 1, 2, 3, 4, 5, 6), V(2, 0, 2) }, NULL, M(3, 2, 5, 6, 1, 2, 5, 6), { M(3, 2, 3, 4, 0, 0, 6, 8) } },
    { "index_select", { M(2, 3, 1, 2, 3, 4, 5, 6), V(1, 1) }, "axis=-1", M(2, 2, 2, 2, 5, 5), { M(2, 3, 0, 3, 0, 0, 7, 0) } },
    { "gather", { M(2, 3, 1, 2, 3, 4, 5, 6), M(1, 3, 1, 0, 1) }, NULL, M(1, 3, 4, 2, 6), { M(2, 3, 0, 2, 0, 1, 0, 3) } },
    { "gather", { M(2, 3, 1, 2, 3, 4, 5, 6), M(2, 2, 2, 2, 0, 1) }, "axis=1", M(2, 2, 3, 3, 4, 5), { M(2, 3, 0, 0, 3, 3, 4, 0) } },
    { "scatter_add", { V(10, 20, 30), V(1, 1, 0), V(1, 2, 3) }, NULL, V(13, 23, 30), { V(1, 2, 3), { 0 }, V(2, 2, 1) } },
    { "scatter_add", { M(2, 2, 0, 0, 0, 0), M(2, 1, 1, 0), M(2, 2, 1, 2, 3, 4) }, "axis=1", M(2, 2, 0, 1, 3, 0),
      { M(2, 2, 1, 2, 3, 4), { 0 }, M(2, 2, 2, 0, 3, 0) } },
    { "take", { M(2, 3, 1, 2, 3, 4, 5, 6), M(2, 2, 5, 0, 3, 5) }, NULL, M(2, 2, 6, 1, 4, 6), { M(2, 3, 2, 0, 0, 3, 0, 5) } },
    { "embedding", { M(3, 2, 1, 2, 3, 4, 5, 6), V(2, 0, 2) }, NULL, M(3, 2, 5, 6, 1, 2, 5, 6), { M(3, 2, 3, 4, 0, 0, 6, 8) } },
    { "embedding", { M(3, 2, 1, 2, 3, 4, 5, 6), M(1, 2, 1, 1) }, NULL, C(1, 2, 2, 3, 4, 3, 4), { M(3, 2, 0, 0, 4, 6, 0, 0) } },
    { "one_hot", { V(2, 0) }, "classes=3", M(2, 3, 0, 0, 1, 1, 0, 0), { { 0 } } },
    { "one_hot", { S(1) }, "classes=2", V(0, 1), { { 0 } } },
};

Test(tensors, every_operation_that_is_not_elementwise_has_an_example)
{
    tg_op_info info;
    for (int i = 0; tg_op_at(i, &info); i++) {
        if (info.formula) continue;
        int row = 0;
        while (row < COUNT(examples) && strcmp(examples[row].op, info.name)) row++;
        cr_expect(row < COUNT(examples), "%s has no example in this file", info.name);
    }
}
