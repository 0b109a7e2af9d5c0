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
    { "sum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, .y = S(21), .dx = { M(2, 3, 1, 1, 1, 1, 1, 1) } },
    { "sum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=0", .y = V(5, 7, 9),
      .dx = { M(2, 3, 1, 2, 3, 1, 2, 3) } },
    { "sum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=-1", .y = V(6, 15),
      .dx = { M(2, 3, 1, 1, 1, 2, 2, 2) } },
    { "sum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=1, keep=true", .y = M(2, 1, 6, 15) },
    { "sum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "keep=true", .y = M(1, 1, 21) },
    { "sum", { C(2, 1, 2, 1, 2, 3, 4) }, "axes=(0, -1)", .y = V(10) },
    { "sum", { S(7) }, .y = S(7), .dx = { S(1) } },
    { "sum", { M(0, 3, NOTHING) }, .y = S(0) },
    { "sum", { M(0, 3, NOTHING) }, "axis=0", .y = V(0, 0, 0) },
    { "sum", { V(INF, 1, 2) }, .y = S(INF) },
    { "sum", { V(INF, -INF, 2) }, .y = S(NAN) },
    { "sum", { V(1e30, 1, -1e30) }, .y = S(1) },
    { "mean", { M(2, 3, 1, 2, 3, 4, 5, 9) }, .y = S(4) },
    { "mean", { M(2, 2, 1, 2, 3, 4) }, "axis=0", .y = V(2, 3), .dx = { M(2, 2, 0.5, 1, 0.5, 1) } },
    { "mean", { M(0, 3, NOTHING) }, .y = S(NAN) },
    { "mean", { M(2, 0, NOTHING) }, "axis=1", .y = V(NAN, NAN) },
    { "prod", { V(2, 3, 4) }, .y = S(24), .dx = { V(12, 8, 6) } },
    { "prod", { V(2, 0, 4) }, .y = S(0), .dx = { V(0, 8, 0) } },
    { "prod", { V(2, 0, 0) }, .y = S(0), .dx = { V(0, 0, 0) } },
    { "prod", { M(2, 2, 1, 2, 3, 4) }, "axis=0", .y = V(3, 8), .dx = { M(2, 2, 3, 8, 1, 4) } },
    { "prod", { V(2, INF, -1) }, .y = S(-INF) },
    { "prod", { M(0, 2, NOTHING) }, "axis=0", .y = V(1, 1) },
    { "var", { V(1, 2, 3, 6) }, .y = S(14.0 / 3), .dx = { V(-4.0 / 3, -2.0 / 3, 0, 2) } },
    { "var", { V(1, 2, 3, 6) }, "correction=0", .y = S(3.5), .dx = { V(-1, -0.5, 0, 1.5) } },
    { "var", { V(1, 2, 3, 6) }, "correction=2", .y = S(7) },
    { "var", { M(2, 2, 1, 2, 5, 8) }, "axis=0", .y = V(8, 18) },
    { "var", { V(1e8, 1e8 + 8) }, .y = S(32) },
    { "var", { V(3) }, .y = S(NAN) },
    { "var", { V(0.1, 0.1, 0.1) }, .y = S(0), .dx = { V(0, 0, 0) } },
    { "std", { V(1, 2, 3, 6) }, "correction=2", .y = S(2.6457513110645906) },
    { "std", { M(2, 2, 1, 1, 5, 3) }, "axis=-1, correction=0", .y = V(0, 1),
      .dx = { M(2, 2, 0, 0, 1, -1) } },
    { "std", { V(0.1, 0.1, 0.1) }, .y = S(0), .dx = { V(0, 0, 0) } },
    { "std", { V(3) }, .y = S(NAN) },
    { "amax", { M(2, 3, 1, 5, 5, 4, 2, 3) }, "axis=1", .y = V(5, 4),
      .dx = { M(2, 3, 0, 0.5, 0.5, 2, 0, 0) } },
    { "amax", { M(2, 2, 1, 5, 5, 5) }, .y = S(5), .dx = { M(2, 2, 0, 1.0 / 3, 1.0 / 3, 1.0 / 3) } },
    { "amax", { V(1, NAN, 3) }, .y = S(NAN) },
    { "amax", { V(-INF, -INF) }, .y = S(-INF), .dx = { V(0.5, 0.5) } },
    { "amax", { M(0, 3, NOTHING) }, "axis=1", .y = { 2, { 0 }, { 0 } } },
    { "amin", { M(2, 3, 1, 5, 1, 4, 2, 3) }, "axis=0", .y = V(1, 2, 1),
      .dx = { M(2, 3, 1, 0, 3, 0, 2, 0) } },
    { "amin", { V(2, 1, 1, INF) }, .y = S(1), .dx = { V(0, 0.5, 0.5, 0) } },
    { "amin", { V(1, NAN, 3) }, .y = S(NAN) },
    { "argmax", { M(2, 3, 1, 5, 5, 4, 2, 3) }, .y = S(1) },
    { "argmax", { M(2, 3, 1, 5, 5, 4, 2, 3) }, "axis=0", .y = V(1, 0, 0) },
    { "argmax", { M(2, 3, 1, 5, 5, 4, 2, 3) }, "axis=-1, keep=true", .y = M(2, 1, 1, 0) },
    { "argmax", { V(-INF, -INF) }, .y = S(0) },
    { "argmax", { V(1, NAN, 3) }, .y = S(1) },
    { "argmin", { M(2, 3, 1, 5, 1, 4, 2, 3) }, .y = S(0) },
    { "argmin", { M(2, 3, 1, 5, 1, 4, 2, 3) }, "axis=1", .y = V(0, 1) },
    { "norm", { V(3, -4) }, .y = S(5), .dx = { V(0.6, -0.8) } },
    { "norm", { V(3, -4, 0) }, "p=1", .y = S(7), .dx = { V(1, -1, 0) } },
    { "norm", { V(3, -4, 4) }, "p=inf", .y = S(4), .dx = { V(0, -0.5, 0.5) } },
    { "norm", { V(3, -4, 3) }, "p=-inf", .y = S(3), .dx = { V(0.5, 0, 0.5) } },
    { "norm", { V(3, -4, 0) }, "p=0", .y = S(2), .dx = { V(0, 0, 0) } },
    { "norm", { V(1, -8) }, "p=0.5", .y = S(14.65685424949238) },
    { "norm", { V(1, 2, 2) }, "p=3", .y = S(2.571281590658235) },
    { "norm", { M(2, 2, 3, 5, 4, 12) }, "axis=0", .y = V(5, 13),
      .dx = { M(2, 2, 0.6, 10.0 / 13, 0.8, 24.0 / 13) } },
    { "norm", { V(0, 0, 0) }, .y = S(0), .dx = { V(0, 0, 0) } },
    { "norm", { V(0, 0, 0) }, "p=3", .y = S(0), .dx = { V(0, 0, 0) } },
    { "norm", { V(3e30, 4e30) }, .y = S(5e30), .dx = { V(0.6, 0.8) } },
    { "norm", { V(3e-30, 4e-30) }, "p=2", .y = S(5e-30), .dx = { V(0.6, 0.8) } },
    { "logsumexp", { V(0, 0, 0, 0) }, .y = S(1.3862943611198906),
      .dx = { V(0.25, 0.25, 0.25, 0.25) } },
    { "logsumexp", { V(1000, 1000) }, .y = S(1000.6931471805599), .dx = { V(0.5, 0.5) } },
    { "logsumexp", { M(2, 2, 0, 1, 0, -INF) }, "axis=0", .y = V(0.69314718055994531, 1),
      .dx = { M(2, 2, 0.5, 2, 0.5, 0) } },
    { "logsumexp", { V(-INF, -INF) }, .y = S(-INF), .dx = { V(0, 0) } },
    { "logsumexp", { V(INF, 1) }, .y = S(INF) },
    { "logsumexp", { M(2, 0, NOTHING) }, "axis=1", .y = V(-INF, -INF) },
    { "cumsum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, .y = M(2, 3, 1, 3, 6, 4, 9, 15),
      .dx = { M(2, 3, 6, 5, 3, 15, 11, 6) } },
    { "cumsum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=0", .y = M(2, 3, 1, 2, 3, 5, 7, 9) },

    /* softargmax and its kin: the weights are e : 1, the logarithm of e + 1 is 1.3132... */
    { "softargmax", { V(1, 0) }, .y = V(0.73105857863000488, 0.26894142136999512),
      .dx = { V(-0.19661193324148185, 0.19661193324148185) } },
    { "softmax", { M(2, 2, 1, 0, 0, 1) },
      .y = M(2, 2, 0.73105857863000488, 0.26894142136999512, 0.26894142136999512, 0.73105857863000488) },
    { "softargmax", { M(2, 2, 1, 7, 0, 7) }, "axis=0",
      .y = M(2, 2, 0.73105857863000488, 0.5, 0.26894142136999512, 0.5) },
    { "softargmax", { V(2, 0) }, "beta=0.5", .y = V(0.73105857863000488, 0.26894142136999512) },
    { "softargmax", { V(0, 1) }, "beta=-1", .y = V(0.73105857863000488, 0.26894142136999512) },
    { "softargmax", { V(1e4, 0, -INF) }, .y = V(1, 0, 0), .dx = { V(0, 0, 0) } },
    { "softargmax", { V(-INF, -INF) }, .y = V(NAN, NAN) },
    { "log_softmax", { V(1, 0) }, .y = V(-0.31326168751822284, -1.3132616875182228),
      .dx = { V(-1.1931757358900146, 1.1931757358900146) } },
    { "log_softmax", { V(0, -1000, -INF) }, .y = V(0, -1000, -INF), .dx = { V(-5, 2, 3) } },
    { "log_softmax", { V(0, 0.5) }, "beta=-2", .y = V(-0.31326168751822284, -1.3132616875182228) },
    { "log_softmax", { V(-INF, -INF) }, .y = V(NAN, NAN) },

    /* losses: operands that are labels are whole numbers */
    { "nll", { M(2, 3, -1, -2, -3, -4, -5, -6), V(2, 0) }, .y = S(3.5),
      .dx = { M(2, 3, 0, 0, -0.5, -0.5, 0, 0) } },
    { "nll", { M(2, 3, -1, -2, -3, -4, -5, -6), V(2, 0) }, "reduction=sum", .y = S(7) },
    { "nll", { M(2, 3, -1, -2, -3, -4, -5, -6), V(2, 0) }, "reduction=none", .y = V(3, 4),
      .dx = { M(2, 3, 0, 0, -1, -2, 0, 0) } },
    { "nll", { V(-1, -2), S(1) }, .y = S(2), .dx = { V(0, -1) } },
    { "cross_entropy", { M(2, 2, 1, 0, 0, 1), V(0, 0) }, .y = S(0.81326168751822284),
      .dx = { M(2, 2, -0.13447071068499756, 0.13447071068499756, -0.36552928931500244, 0.36552928931500244) } },
    { "cross_entropy", { M(2, 2, 1, 0, 0, 1), V(0, 0) }, "reduction=none",
      .y = V(0.31326168751822284, 1.3132616875182228) },
    { "cross_entropy", { V(1000, 0), S(1) }, "reduction=sum", .y = S(1000), .dx = { V(1, -1) } },
    { "cross_entropy", { M(0, 2, NOTHING), { 2, { 0 }, { 0 } } }, .y = S(NAN) },
    { "cross_entropy", { M(0, 2, NOTHING), { 2, { 0 }, { 0 } } }, "reduction=sum", .y = S(0) },
    { "mse", { V(1, 2, 3), V(1, 4, 0) }, .y = S(13.0 / 3),
      .dx = { V(0, -4.0 / 3, 2), V(0, 4.0 / 3, -2) } },
    { "mse", { V(1, 2, 3), V(1, 4, 0) }, "reduction=sum", .y = S(13),
      .dx = { V(0, -4, 6), V(0, 4, -6) } },
    { "mse", { M(2, 2, 1, 2, 3, 4), V(1, 4) }, "reduction=none", .y = M(2, 2, 0, 4, 4, 0),
      .dx = { M(2, 2, 0, -8, 12, 0), V(-12, 8) } },
    { "l1", { V(1, 2, 3), V(1, 4, 0) }, .y = S(5.0 / 3),
      .dx = { V(0, -1.0 / 3, 1.0 / 3), V(0, 1.0 / 3, -1.0 / 3) } },
    { "l1", { V(1, 2, 3), S(2) }, "reduction=none", .y = V(1, 0, 1), .dx = { V(-1, 0, 3), S(-2) } },
    { "bce", { V(0.5, 0.25), V(1, 0) }, "reduction=none",
      .y = V(0.69314718055994531, 0.28768207245178093),
      .dx = { V(-2, 8.0 / 3), V(0, 2.1972245773362194) } },
    { "bce", { V(0.5, 0.5), V(0, 0.5) }, .y = S(0.69314718055994531) },
    { "bce", { V(0, 1), V(1, 0) }, "reduction=sum", .y = S(200), .dx = { V(0, 0) } },
    { "bce", { V(0, 1), V(0, 1) }, "reduction=sum", .y = S(0), .dx = { V(1, -1) } },
    { "bce_with_logits", { V(0, 1), V(1, 0) }, "reduction=none",
      .y = V(0.69314718055994531, 1.3132616875182228),
      .dx = { V(-0.5, 1.4621171572600098), V(0, -2) } },
    { "bce_with_logits", { V(1000, -1000), V(1, 0) }, .y = S(0), .dx = { V(0, 0) } },
    { "bce_with_logits", { S(-800), S(1) }, .y = S(800), .dx = { S(-1), S(800) } },

    /* products */
    { "matmul", { M(2, 2, 1, 2, 3, 4), M(2, 2, 5, 6, 7, 8) }, .y = M(2, 2, 19, 22, 43, 50),
      .dx = { M(2, 2, 17, 23, 39, 53), M(2, 2, 10, 14, 14, 20) } },
    { "matmul", { V(1, 2), M(2, 3, 1, 2, 3, 4, 5, 6) }, .y = V(9, 12, 15),
      .dx = { V(14, 32), M(2, 3, 1, 2, 3, 2, 4, 6) } },
    { "matmul", { M(2, 3, 1, 2, 3, 4, 5, 6), V(1, 0, -1) }, .y = V(-2, -2),
      .dx = { M(2, 3, 1, 0, -1, 2, 0, -2), V(9, 12, 15) } },
    { "matmul", { V(1, 2, 3), V(4, 5, 6) }, .y = S(32), .dx = { V(4, 5, 6), V(1, 2, 3) } },
    { "matmul", { C(2, 1, 2, 1, 2, 3, 4), M(2, 1, 5, 6) }, .y = C(2, 1, 1, 17, 39),
      .dx = { C(2, 1, 2, 5, 6, 10, 12), M(2, 1, 7, 10) } },
    { "matmul", { M(2, 0, NOTHING), M(0, 2, NOTHING) }, .y = M(2, 2, 0, 0, 0, 0) },
    { "matmul", { M(1, 2, 0, 1), M(2, 1, INF, 1) }, .y = M(1, 1, NAN) },
    { "dot", { V(1, 2, 3), V(4, 5, 6) }, .y = S(32), .dx = { V(4, 5, 6), V(1, 2, 3) } },
    { "mv", { M(2, 3, 1, 2, 3, 4, 5, 6), V(1, 0, -1) }, .y = V(-2, -2),
      .dx = { M(2, 3, 1, 0, -1, 2, 0, -2), V(9, 12, 15) } },
    { "outer", { V(1, 2), V(3, 4, 5) }, .y = M(2, 3, 3, 4, 5, 6, 8, 10),
      .dx = { V(26, 62), V(9, 12, 15) } },
    { "linear", { M(2, 2, 1, 2, 3, 4), M(3, 2, 1, 0, 0, 1, 1, 1), V(10, 20, 30) },
      .y = M(2, 3, 11, 22, 33, 13, 24, 37),
      .dx = { M(2, 2, 4, 5, 10, 11), M(3, 2, 13, 18, 17, 24, 21, 30), V(5, 7, 9) } },
    { "linear", { V(1, 2), M(1, 2, 3, 4), V(5) }, .y = V(16),
      .dx = { V(3, 4), M(1, 2, 1, 2), V(1) } },

    /* views */
    { "reshape", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "(3, 2)", .y = M(3, 2, 1, 2, 3, 4, 5, 6),
      .dx = { M(2, 3, 1, 2, 3, 4, 5, 6) } },
    { "reshape", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "(1, -1, 2)", .y = C(1, 3, 2, 1, 2, 3, 4, 5, 6) },
    { "reshape", { V(5) }, "()", .y = S(5), .dx = { V(1) } },
    { "flatten", { C(2, 1, 2, 1, 2, 3, 4) }, .y = V(1, 2, 3, 4) },
    { "flatten", { C(1, 2, 2, 1, 2, 3, 4) }, "start=1", .y = M(1, 4, 1, 2, 3, 4) },
    { "flatten", { C(1, 2, 2, 1, 2, 3, 4) }, "start=-3, end=-2", .y = M(2, 2, 1, 2, 3, 4) },
    { "flatten", { S(5) }, .y = V(5) },
    { "squeeze", { C(1, 2, 1, 1, 2) }, .y = V(1, 2) },
    { "squeeze", { C(1, 2, 1, 1, 2) }, "axis=-1", .y = M(1, 2, 1, 2) },
    { "unsqueeze", { V(1, 2) }, .y = M(1, 2, 1, 2) },
    { "unsqueeze", { V(1, 2) }, "axis=-1", .y = M(2, 1, 1, 2) },
    { "permute", { C(1, 2, 3, 1, 2, 3, 4, 5, 6) }, "(2, 0, 1)", .y = C(3, 1, 2, 1, 4, 2, 5, 3, 6),
      .dx = { C(1, 2, 3, 1, 3, 5, 2, 4, 6) } },
    { "permute", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "(-1, 0)", .y = M(3, 2, 1, 4, 2, 5, 3, 6) },
    { "transpose", { M(2, 3, 1, 2, 3, 4, 5, 6) }, .y = M(3, 2, 1, 4, 2, 5, 3, 6),
      .dx = { M(2, 3, 1, 3, 5, 2, 4, 6) } },
    { "transpose", { C(2, 1, 2, 1, 2, 3, 4) }, "axis0=0, axis1=-1", .y = C(2, 1, 2, 1, 3, 2, 4) },
    { "broadcast_to", { M(2, 1, 1, 2) }, "(2, 3)", .y = M(2, 3, 1, 1, 1, 2, 2, 2),
      .dx = { M(2, 1, 6, 15) } },
    { "broadcast_to", { V(1, 2) }, "(2, 2)", .y = M(2, 2, 1, 2, 1, 2), .dx = { V(4, 6) } },
    { "slice", { V(1, 2, 3, 4, 5) }, "start=1, stop=4", .y = V(2, 3, 4),
      .dx = { V(0, 1, 2, 3, 0) } },
    { "slice", { V(1, 2, 3, 4, 5) }, "start=-1, step=-2", .y = V(5, 3, 1),
      .dx = { V(3, 0, 2, 0, 1) } },
    { "slice", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=1, step=-1", .y = M(2, 3, 3, 2, 1, 6, 5, 4) },
    { "slice", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=-1, start=-2", .y = M(2, 2, 2, 3, 5, 6),
      .dx = { M(2, 3, 0, 1, 2, 0, 3, 4) } },
    { "select", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "index=1", .y = V(4, 5, 6),
      .dx = { M(2, 3, 0, 0, 0, 1, 2, 3) } },
    { "select", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=-1, index=-2", .y = V(2, 5) },
    { "at", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "(1, -1)", .y = S(6),
      .dx = { M(2, 3, 0, 0, 0, 0, 0, 1) } },
    { "at", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "(-2)", .y = V(1, 2, 3) },
    { "flip", { M(2, 3, 1, 2, 3, 4, 5, 6) }, .y = M(2, 3, 6, 5, 4, 3, 2, 1),
      .dx = { M(2, 3, 6, 5, 4, 3, 2, 1) } },
    { "flip", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=0", .y = M(2, 3, 4, 5, 6, 1, 2, 3) },
    { "diagonal", { M(2, 3, 1, 2, 3, 4, 5, 6) }, .y = V(1, 5),
      .dx = { M(2, 3, 1, 0, 0, 0, 2, 0) } },
    { "diagonal", { C(2, 2, 2, 1, 2, 3, 4, 5, 6, 7, 8) }, "offset=-1", .y = M(2, 1, 3, 7) },

    /* copies */
    { "contiguous", { M(2, 2, 1, 2, 3, 4) }, .y = M(2, 2, 1, 2, 3, 4),
      .dx = { M(2, 2, 1, 2, 3, 4) } },
    { "cat", { M(1, 2, 1, 2), M(2, 2, 3, 4, 5, 6) }, .y = M(3, 2, 1, 2, 3, 4, 5, 6),
      .dx = { M(1, 2, 1, 2), M(2, 2, 3, 4, 5, 6) } },
    { "cat", { M(2, 1, 1, 2), M(2, 2, 3, 4, 5, 6) }, "axis=-1", .y = M(2, 3, 1, 3, 4, 2, 5, 6),
      .dx = { M(2, 1, 1, 4), M(2, 2, 2, 3, 5, 6) } },
    { "stack", { V(1, 2), V(3, 4), V(5, 6) }, .y = M(3, 2, 1, 2, 3, 4, 5, 6) },
    { "stack", { V(1, 2), V(3, 4), V(5, 6) }, "axis=-1", .y = M(2, 3, 1, 3, 5, 2, 4, 6),
      .dx = { V(1, 4), V(2, 5), V(3, 6) } },
    { "roll", { V(1, 2, 3, 4) }, .y = V(4, 1, 2, 3), .dx = { V(2, 3, 4, 1) } },
    { "roll", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=1, shift=-4", .y = M(2, 3, 2, 3, 1, 5, 6, 4) },
    { "tile", { M(1, 2, 1, 2) }, "(2, 2)", .y = M(2, 4, 1, 2, 1, 2, 1, 2, 1, 2),
      .dx = { M(1, 2, 16, 20) } },
    { "tile", { V(1, 2) }, "(2, 1)", .y = M(2, 2, 1, 2, 1, 2) },
    { "tile", { M(2, 1, 1, 2) }, "(3)", .y = M(2, 3, 1, 1, 1, 2, 2, 2) },
    { "pad", { M(2, 2, 1, 2, 3, 4) }, "before=1, value=9", .y = M(2, 3, 9, 1, 2, 9, 3, 4),
      .dx = { M(2, 2, 2, 3, 5, 6) } },
    { "pad", { M(2, 2, 1, 2, 3, 4) }, "axis=0, after=1", .y = M(3, 2, 1, 2, 3, 4, 0, 0) },
    { "pad", { V(1) }, "before=1, after=2, value=-inf", .y = V(-INF, 1, -INF, -INF) },
    { "tril", { M(2, 3, 1, 2, 3, 4, 5, 6) }, .y = M(2, 3, 1, 0, 0, 4, 5, 0),
      .dx = { M(2, 3, 1, 0, 0, 4, 5, 0) } },
    { "tril", { M(2, 2, NAN, NAN, 1, NAN) }, "offset=-1", .y = M(2, 2, 0, 0, 1, 0) },
    { "triu", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "offset=1", .y = M(2, 3, 0, 2, 3, 0, 0, 6),
      .dx = { M(2, 3, 0, 2, 3, 0, 0, 6) } },

    /* operations with indices */
    { "index_select", { M(3, 2, 1, 2, 3, 4, 5, 6), V(2, 0, 2) }, .y = M(3, 2, 5, 6, 1, 2, 5, 6),
      .dx = { M(3, 2, 3, 4, 0, 0, 6, 8) } },
    { "index_select", { M(2, 3, 1, 2, 3, 4, 5, 6), V(1, 1) }, "axis=-1", .y = M(2, 2, 2, 2, 5, 5),
      .dx = { M(2, 3, 0, 3, 0, 0, 7, 0) } },
    { "gather", { M(2, 3, 1, 2, 3, 4, 5, 6), M(1, 3, 1, 0, 1) }, .y = M(1, 3, 4, 2, 6),
      .dx = { M(2, 3, 0, 2, 0, 1, 0, 3) } },
    { "gather", { M(2, 3, 1, 2, 3, 4, 5, 6), M(2, 2, 2, 2, 0, 1) }, "axis=1",
      .y = M(2, 2, 3, 3, 4, 5), .dx = { M(2, 3, 0, 0, 3, 3, 4, 0) } },
    { "scatter_add", { V(10, 20, 30), V(1, 1, 0), V(1, 2, 3) }, .y = V(13, 23, 30),
      .dx = { V(1, 2, 3), { 0 }, V(2, 2, 1) } },
    { "scatter_add", { M(2, 2, 0, 0, 0, 0), M(2, 1, 1, 0), M(2, 2, 1, 2, 3, 4) }, "axis=1",
      .y = M(2, 2, 0, 1, 3, 0), .dx = { M(2, 2, 1, 2, 3, 4), { 0 }, M(2, 2, 2, 0, 3, 0) } },
    { "take", { M(2, 3, 1, 2, 3, 4, 5, 6), M(2, 2, 5, 0, 3, 5) }, .y = M(2, 2, 6, 1, 4, 6),
      .dx = { M(2, 3, 2, 0, 0, 3, 0, 5) } },
    { "embedding", { M(3, 2, 1, 2, 3, 4, 5, 6), V(2, 0, 2) }, .y = M(3, 2, 5, 6, 1, 2, 5, 6),
      .dx = { M(3, 2, 3, 4, 0, 0, 6, 8) } },
    { "embedding", { M(3, 2, 1, 2, 3, 4, 5, 6), M(1, 2, 1, 1) }, .y = C(1, 2, 2, 3, 4, 3, 4),
      .dx = { M(3, 2, 0, 0, 4, 6, 0, 0) } },
    { "one_hot", { V(2, 0) }, "classes=3", .y = M(2, 3, 0, 0, 1, 1, 0, 0) },
    { "one_hot", { S(1) }, "classes=2", .y = V(0, 1) },
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

static tg_tape *new_tape(tg_type type)
{
    return tg_tape_new(&(const tg_tape_options){ .type = type });
}

static tg_value index_of(tg_tape *t, const double *x, int rank, const int64_t *dim)
{
    int64_t n = 1, whole[MOST];
    for (int i = 0; i < rank; i++) n *= dim[i];
    for (int64_t i = 0; i < n; i++) whole[i] = (int64_t)x[i];
    return tg_index_new(t, sizeof *whole, whole, rank, dim, TG_HERE);
}

static tg_value leaf_of(tg_tape *t, const double *x, int rank, const int64_t *dim)
{
    return tg_leaf_new(t, TG_PARAMETER, TG_F64, x, rank, dim, TG_HERE);
}

/* The elements of v, or of its gradient, in static memory. */
static const char *elements(tg_value v, bool gradient)
{
    static char text[512];
    double x[24] = { 0 };
    int64_t n = tg_size(v);
    if (n < 0 || n > COUNT(x) || !(gradient ? tg_grad_read : tg_read)(v, x, (size_t)n)) n = 0;
    int used = snprintf(text, sizeof text, "rank %d:", tg_rank(v));
    for (int i = 0; i < n && used < (int)sizeof text; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, " %.17g", x[i]);
    return text;
}

static void check_example(const example *e, tg_type type)
{
    tg_op_info info;
    cr_assert(tg_op_find(e->op, &info), "%s", e->op);
    const char *const attributes = e->attributes ? e->attributes : "";
    tg_tape *const t = new_tape(type);
    tg_value x[COUNT(e->x)];
    int n = 0;
    for (; n < COUNT(e->x) && e->x[n].rank1; n++) {
        const char letter = info.letters[1] == '*' ? info.letters[0] : info.letters[n];
        x[n] = (letter == 'i' ? index_of : leaf_of)(t, e->x[n].x, e->x[n].rank1 - 1, e->x[n].dim);
    }
    const tg_value y = tg_apply(t, e->op, x, n, attributes);
    cr_expect(equals(y, &e->y, false), "example %d: %s(%s): %s", (int)(e - examples), e->op, attributes,
              elements(y, false));
    double g[MOST];
    for (int i = 0; i < MOST; i++) g[i] = i + 1;
    for (int k = 0; k < n; k++) {
        if (!e->dx[k].rank1) continue;
        cr_assert(tg_backward_with(y, &(const tg_backward_options){ .cotangent = g }));
        cr_expect(equals(x[k], &e->dx[k], true), "example %d: %s(%s), gradient of operand %d: %s",
                  (int)(e - examples), e->op, attributes, k, elements(x[k], true));
    }
    cr_expect(!tg_error_of(t), "%s(%s)", e->op, attributes);
    tg_tape_free(t);
}
