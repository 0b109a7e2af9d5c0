/* The values of all operations that are not elementwise: examples with results written out, and
   sweeps over axes, shapes and attributes against plain loops in long double. Elementwise
   operations are in test_values_maps.c. */
#include "values.h"
#include "values_elsewhere.h"

#define MOST 16384 /* elements of any tensor here */

TestSuite(tensors);

/* ---- operands and results -------------------------------------------------------------------- */

/* clang-format off */
#define S(x) { 1, { 0 }, { x } } /* a scalar, a vector, a matrix, a cuboid */
#define V(...) { 2, { COUNT(((const double[]){ __VA_ARGS__ })) }, { __VA_ARGS__ } }
#define M(m, n, ...) { 3, { m, n }, { __VA_ARGS__ } }
#define C(l, m, n, ...) { 4, { l, m, n }, { __VA_ARGS__ } }
#define NOTHING 0 /* the elements of a tensor without any */
#define EMPTY { 2, { 0 }, { NOTHING } }
/* clang-format on */

/* Results may differ by a few roundings of their largest element. */
static bool near(real got, real want, real largest, tg_type type)
{
    return got == want || (isnan(got) && isnan(want)) ||
           fabsl(got - want) <= 4 * epsilon_of(type) * largest;
}

/* Whether v, or its gradient if gradient is set, has the shape and the elements of want. */
static bool equals(tg_value v, const tensor *want, bool gradient)
{
    double got[24];
    const int64_t n = size_of(want);
    if (!read_as(v, want, gradient, got)) return false;
    real largest = 0;
    for (int64_t i = 0; i < n; i++)
        if (isfinite(want->x[i])) largest = fmaxl(largest, fabsl(want->x[i]));
    for (int64_t i = 0; i < n; i++)
        if (!near(got[i], want->x[i], largest, tg_tape_type(v.tape))) return false;
    return true;
}

/* ---- examples -------------------------------------------------------------------------------- */

/* The gradients dx, where they are given, are those for incoming gradients 1, 2, 3, ... in
   row-major order. */
typedef struct example {
    const char *op;
    tensor x[3];
    const char *attributes;
    tensor y, dx[3];
} example;

#define INF INFINITY
/* clang-format off */
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
    { "var", { V(1e6, 1e6 + 8) }, .y = S(32) },
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
    { "amax", { M(0, 3, NOTHING) }, "axis=1", .y = EMPTY },
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
    { "logsumexp", { V(1000, 1000) }, .y = S(1000.6931471805599) },
    { "logsumexp", { M(2, 2, 0, 1, 0, -INF) }, "axis=0", .y = V(0.69314718055994531, 1),
      .dx = { M(2, 2, 0.5, 2, 0.5, 0) } },
    { "logsumexp", { V(-INF, -INF) }, .y = S(-INF), .dx = { V(0, 0) } },
    { "logsumexp", { V(INF, 1) }, .y = S(INF) },
    { "logsumexp", { M(2, 0, NOTHING) }, "axis=1", .y = V(-INF, -INF) },
    { "cumsum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, .y = M(2, 3, 1, 3, 6, 4, 9, 15),
      .dx = { M(2, 3, 6, 5, 3, 15, 11, 6) } },
    { "cumsum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=0", .y = M(2, 3, 1, 2, 3, 5, 7, 9) },
    { "cumprod", { V(2, 3, 4) }, .y = V(2, 6, 24), .dx = { V(43, 28, 18) } },
    { "cumprod", { V(2, 0, 4) }, .y = V(2, 0, 0), .dx = { V(1, 28, 0) } },
    { "cumprod", { V(0, 3, 0, 5) }, .y = V(0, 0, 0, 0), .dx = { V(7, 0, 0, 0) } },
    { "cumprod", { M(2, 2, 1, 2, 3, 4) }, "axis=0", .y = M(2, 2, 1, 2, 3, 8),
      .dx = { M(2, 2, 10, 18, 3, 8) } },
    { "cumprod", { V(2, INF, -1) }, .y = V(2, INF, -INF) },
    { "logcumsumexp", { V(0, 0, 0, 0) },
      .y = V(0, 0.69314718055994531, 1.0986122886681098, 1.3862943611198906),
      .dx = { V(4, 3, 2, 1) } },
    { "logcumsumexp", { M(2, 2, 0, 3, 0, 3) }, "axis=0",
      .y = M(2, 2, 0, 3, 0.69314718055994531, 3.6931471805599453),
      .dx = { M(2, 2, 2.5, 4, 1.5, 2) } },
    { "logcumsumexp", { V(1000, 1000) }, .y = V(1000, 1000.6931471805599) },
    { "logcumsumexp", { V(-INF, 0, -INF, 0) }, .y = V(-INF, 0, 0, 0.69314718055994531),
      .dx = { V(0, 7, 0, 2) } },
    { "logcumsumexp", { V(1000, -1000, 2000) }, .y = V(1000, 1000, 2000), .dx = { V(3, 0, 3) } },
    { "logcumsumexp", { V(1, INF, 2) }, .y = V(1, INF, INF) },
    { "logcumsumexp", { V(1, NAN, 2) }, .y = V(1, NAN, NAN) },

    /* order */
    { "sort", { M(2, 3, 3, 1, 2, 5, 4, 6) }, .y = M(2, 3, 1, 2, 3, 4, 5, 6),
      .dx = { M(2, 3, 3, 1, 2, 5, 4, 6) } },
    { "sort", { M(2, 2, 3, 1, 2, 4) }, "axis=0", .y = M(2, 2, 2, 1, 3, 4),
      .dx = { M(2, 2, 3, 2, 1, 4) } },
    { "sort", { V(2, NAN, -INF, INF, -1) }, .y = V(-INF, -1, 2, INF, NAN) },
    { "sort", { V(1, 2, 1, NAN, 2) }, "descending=true", .y = V(NAN, 2, 2, 1, 1),
      .dx = { V(4, 2, 5, 1, 3) } },
    { "argsort", { V(1, 2, 1, NAN, 2) }, .y = V(0, 2, 1, 4, 3) },
    { "argsort", { V(1, 2, 1, NAN, 2) }, "descending=true", .y = V(3, 1, 4, 0, 2) },
    { "argsort", { V(0, -1, -0.0, 0) }, .y = V(1, 0, 2, 3) },
    { "topk", { V(3, 1, 4, 1, 5) }, "k=2", .y = V(5, 4), .dx = { V(0, 0, 2, 0, 1) } },
    { "topk", { V(3, 1, 4, 1, 5) }, "k=3, largest=false", .y = V(1, 1, 3),
      .dx = { V(3, 1, 0, 2, 0) } },
    { "topk", { M(2, 2, 1, 4, 3, 2) }, "axis=0", .y = M(1, 2, 3, 4), .dx = { M(2, 2, 0, 2, 1, 0) } },
    { "topk", { V(1, NAN, 2) }, .y = V(NAN) },
    { "topk", { V(1, 2) }, "k=0", .y = EMPTY },
    { "argtopk", { V(3, 1, 4, 1, 5) }, "k=2", .y = V(4, 2) },
    { "argtopk", { V(3, 1, 4, 1, 5) }, "k=3, largest=false", .y = V(1, 3, 0) },
    { "median", { V(3, 1, 2) }, .y = S(2), .dx = { V(0, 0, 1) } },
    { "median", { V(4, 1, 3, 2) }, .y = S(2.5), .dx = { V(0, 0, 0.5, 0.5) } },
    { "median", { M(2, 3, 3, 1, 2, 9, 7, 5) }, "axis=1", .y = V(2, 7),
      .dx = { M(2, 3, 0, 0, 1, 0, 2, 0) } },
    { "median", { M(2, 3, 3, 1, 2, 9, 7, 5) }, "axis=0, keep=true", .y = M(1, 3, 6, 4, 3.5),
      .dx = { M(2, 3, 0.5, 1, 1.5, 0.5, 1, 1.5) } },
    { "median", { C(2, 2, 2, 1, 8, 2, 7, 3, 6, 9, 5) }, "axes=(0, 1)", .y = V(2.5, 6.5),
      .dx = { C(2, 2, 2, 0, 0, 0.5, 1, 0.5, 1, 0, 0) } },
    { "median", { V(1, NAN, 3, NAN) }, .y = S(NAN), .dx = { V(0, 1, 0, 0) } },
    { "median", { V(INF, -INF) }, .y = S(NAN) },
    { "median", { M(2, 0, NOTHING) }, "axis=1", .y = V(NAN, NAN) },
    { "median", { S(3) }, .y = S(3), .dx = { S(1) } },

    /* random numbers: more in test_random.c */
    { "dropout", { V(1, 2, 3) }, "p=0", .y = V(1, 2, 3), .dx = { V(1, 2, 3) } },
    { "dropout", { V(1, NAN, INF) }, "p=1", .y = V(0, 0, 0), .dx = { V(0, 0, 0) } },

    /* softargmax and its kin: the weights are e : 1, the logarithm of e + 1 is 1.3132... */
    { "softargmax", { V(1, 0) }, .y = V(0.73105857863000488, 0.26894142136999512),
      .dx = { V(-0.19661193324148185, 0.19661193324148185) } },
    { "softargmin", { V(0, 1) }, .y = V(0.73105857863000488, 0.26894142136999512),
      .dx = { V(0.19661193324148185, -0.19661193324148185) } },
    { "softargmin", { V(1, -1) }, "beta=0.5", .y = V(0.26894142136999512, 0.73105857863000488) },
    { "softmax", { M(2, 2, 1, 0, 0, 1) },
      .y = M(2, 2, 0.73105857863000488, 0.26894142136999512,
                   0.26894142136999512, 0.73105857863000488) },
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
    { "nll", { M(2, 3, -1, -2, -3, -4, -5, -6), V(2, 0) }, "ignore_index=0", .y = S(3),
      .dx = { M(2, 3, 0, 0, -1, 0, 0, 0) } },
    { "nll", { M(2, 2, -1, NAN, -3, -4), V(-100, 0) }, "ignore_index=-100, reduction=none",
      .y = V(0, 3), .dx = { M(2, 2, 0, 0, -2, 0) } },
    { "nll", { M(2, 2, -1, -2, -3, -4), V(1, 1) }, "ignore_index=1", .y = S(NAN),
      .dx = { M(2, 2, 0, 0, 0, 0) } },
    { "nll", { M(2, 2, -1, -2, -3, -4), V(1, 1) }, "ignore_index=1, reduction=sum", .y = S(0) },
    { "nll_weighted", { M(2, 3, -1, -2, -3, -4, -5, -6), V(2, 0), V(1, 2, 3) }, .y = S(3.25),
      .dx = { M(2, 3, 0, 0, -0.75, -0.25, 0, 0), { 0 }, V(0.1875, 0, -0.0625) } },
    { "nll_weighted", { M(2, 2, -1, -2, -INF, -4), V(1, 0), V(0, 3) }, "reduction=none",
      .y = V(6, 0), .dx = { M(2, 2, 0, -3, 0, 0) } },
    { "nll_weighted", { M(2, 2, -1, -2, -3, -4), V(1, 0), V(2, 3) }, "ignore_index=0",
      .y = S(2), .dx = { M(2, 2, 0, -1, 0, 0), { 0 }, V(0, 0) } },
    { "cross_entropy", { M(2, 2, 1, 0, 0, 1), V(0, 0) }, .y = S(0.81326168751822284),
      .dx = { M(2, 2, -0.13447071068499756, 0.13447071068499756,
                      -0.36552928931500244, 0.36552928931500244) } },
    { "cross_entropy", { M(2, 2, 1, 0, 0, 1), V(0, 0) }, "reduction=none",
      .y = V(0.31326168751822284, 1.3132616875182228) },
    { "cross_entropy", { V(1000, 0), S(1) }, "reduction=sum", .y = S(1000), .dx = { V(1, -1) } },
    { "cross_entropy", { M(0, 2, NOTHING), EMPTY }, .y = S(NAN) },
    { "cross_entropy", { M(0, 2, NOTHING), EMPTY }, "reduction=sum", .y = S(0) },
    { "cross_entropy", { M(2, 2, 1, 0, NAN, INF), V(0, -1) }, "ignore_index=-1",
      .y = S(0.31326168751822284),
      .dx = { M(2, 2, -0.26894142136999512, 0.26894142136999512, 0, 0) } },
    { "cross_entropy", { M(1, 2, 1, 0), V(7) }, "ignore_index=7", .y = S(NAN),
      .dx = { M(1, 2, 0, 0) } },
    { "cross_entropy", { V(1, 0), S(1) }, "label_smoothing=0.5", .y = S(1.0632616875182228),
      .dx = { V(0.48105857863000488, -0.48105857863000488) } },
    { "cross_entropy_weighted", { M(2, 2, 1, 0, 0, 1), V(0, 0), V(2, 5) },
      .y = S(0.81326168751822284), .dx = { M(2, 2, -0.13447071068499756, 0.13447071068499756,
        -0.36552928931500244, 0.36552928931500244) } },
    { "cross_entropy_weighted", { M(2, 2, 1, 0, 0, 1), V(0, 0), V(2, 5) }, "reduction=none",
      .y = V(0.62652337503644567, 2.6265233750364456),
      .dx = { M(2, 2, -0.53788284273999024, 0.53788284273999024, -2.9242343145200195,
        2.9242343145200195), { 0 }, V(2.9397850625546684, 0) } },
    { "cross_entropy_weighted", { V(1, 0), S(0), V(2, 4) }, "label_smoothing=0.5, reduction=sum",
      .y = S(1.7831542187955571), .dx = { { 0 }, { 0 }, V(0.23494626563866713, 0.3283154218795557) } },
    { "cross_entropy_soft", { V(1, 0), V(0.25, 0.75) }, .y = S(1.0632616875182228),
      .dx = { V(0.48105857863000488, -0.48105857863000488),
              V(0.31326168751822284, 1.3132616875182228) } },
    { "cross_entropy_soft", { M(2, 2, 0, 0, 0, -INF), M(2, 2, 2, 0, 1, 0) }, "reduction=none",
      .y = V(1.3862943611198906, 0), .dx = { M(2, 2, -1, 1, 0, 0) } },
    { "cross_entropy_soft", { M(0, 2, NOTHING), M(0, 2, NOTHING) }, .y = S(NAN) },
    { "mse", { V(1, 2, 3), V(1, 4, 0) }, .y = S(13.0 / 3),
      .dx = { V(0, -4.0 / 3, 2), V(0, 4.0 / 3, -2) } },
    { "mse", { V(1, 2, 3), V(1, 4, 0) }, "reduction=sum", .y = S(13),
      .dx = { V(0, -4, 6), V(0, 4, -6) } },
    { "mse", { M(2, 2, 1, 2, 3, 4), V(1, 4) }, "reduction=none", .y = M(2, 2, 0, 4, 4, 0),
      .dx = { M(2, 2, 0, -8, 12, 0), V(-12, 8) } },
    { "l1", { V(1, 2, 3), V(1, 4, 0) }, .y = S(5.0 / 3),
      .dx = { V(0, -1.0 / 3, 1.0 / 3), V(0, 1.0 / 3, -1.0 / 3) } },
    { "l1", { V(1, 2, 3), S(2) }, "reduction=none", .y = V(1, 0, 1), .dx = { V(-1, 0, 3), S(-2) } },
    { "huber", { V(1, 2, 3), V(1, 4, 0) }, .y = S(4.0 / 3),
      .dx = { V(0, -1.0 / 3, 1.0 / 3), V(0, 1.0 / 3, -1.0 / 3) } },
    { "huber", { V(1, 2, 3), V(1, 4, 0) }, "delta=2, reduction=sum", .y = S(6),
      .dx = { V(0, -2, 2), V(0, 2, -2) } },
    { "smooth_l1", { V(1, 2, 3), V(2, 4, 0) }, "beta=2, reduction=none", .y = V(0.25, 1, 2),
      .dx = { V(-0.5, -2, 3), V(0.5, 2, -3) } },
    { "smooth_l1", { V(1, 2), V(1, 0) }, "beta=0", .y = S(1), .dx = { V(0, 0.5), V(0, -0.5) } },
    { "kl_div", { V(-1, 0), V(0.5, 0) }, "reduction=none", .y = V(0.15342640972002736, 0),
      .dx = { V(-0.5, 0), V(1.3068528194400547, 0) } },
    { "kl_div", { S(-INF), S(0) }, .y = S(0), .dx = { S(0), S(INF) } },
    { "kl_div", { V(-1, -1), S(1) }, .y = S(1), .dx = { V(-0.5, -0.5), S(2) } },
    { "hinge", { V(2, 0.5, 1, -1), V(1, 1, 1, 1) }, "reduction=none", .y = V(0, 0.5, 0, 2),
      .dx = { V(0, -2, 0, -4), V(0, -1, 0, 4) } },
    { "hinge", { V(-1, -1), V(-1, 1) }, .y = S(1), .dx = { V(0, -0.5), V(0, 0.5) } },
    { "hinge", { S(NAN), S(1) }, .y = S(NAN) },
    { "bce", { V(0.5, 0.25), V(1, 0) }, "reduction=none",
      .y = V(0.69314718055994531, 0.28768207245178093),
      .dx = { V(-2, 8.0 / 3), V(0, 2.1972245773362194) } },
    { "bce", { V(0.5, 0.5), V(0, 0.5) }, .y = S(0.69314718055994531) },
    { "bce", { S(1e-20), S(0) }, .y = S(1e-20), .dx = { S(1) } },
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

    /* sums over named axes */
    { "trace", { M(2, 2, 1, 2, 3, 4) }, .y = S(5), .dx = { M(2, 2, 1, 0, 0, 1) } },
    { "trace", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "offset=1", .y = S(8),
      .dx = { M(2, 3, 0, 1, 0, 0, 0, 1) } },
    { "trace", { C(2, 2, 2, 1, 2, 3, 4, 5, 6, 7, 8) }, "offset=-1", .y = V(3, 7),
      .dx = { C(2, 2, 2, 0, 0, 1, 0, 0, 0, 2, 0) } },
    { "trace", { M(2, 2, 1, 2, 3, 4) }, "offset=2", .y = S(0), .dx = { M(2, 2, 0, 0, 0, 0) } },
    { "einsum", { M(2, 2, 1, 2, 3, 4), M(2, 2, 5, 6, 7, 8) }, "equation='ij,jk->ik'",
      .y = M(2, 2, 19, 22, 43, 50), .dx = { M(2, 2, 17, 23, 39, 53), M(2, 2, 10, 14, 14, 20) } },
    { "einsum", { M(2, 2, 1, 2, 3, 4) }, "equation='ii'", .y = S(5), .dx = { M(2, 2, 1, 0, 0, 1) } },
    { "einsum", { M(2, 2, 1, 2, 3, 4) }, "equation=\"ii -> i\"", .y = V(1, 4),
      .dx = { M(2, 2, 1, 0, 0, 2) } },
    { "einsum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "equation='ba'", .y = M(3, 2, 1, 4, 2, 5, 3, 6) },
    { "einsum", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "equation='ij->j'", .y = V(5, 7, 9),
      .dx = { M(2, 3, 1, 2, 3, 1, 2, 3) } },
    { "einsum", { V(1, 2), V(3, 4, 5) }, "equation='i,j'", .y = M(2, 3, 3, 4, 5, 6, 8, 10),
      .dx = { V(26, 62), V(9, 12, 15) } },
    { "einsum", { V(1, 2, 3), V(4, 5, 6) }, "equation='i,i->i'", .y = V(4, 10, 18),
      .dx = { V(4, 10, 18), V(1, 4, 9) } },
    { "einsum", { V(1, 2), V(3, 4, 5) }, "equation='i,j->'", .y = S(36),
      .dx = { V(12, 12), V(3, 3, 3) } },
    { "einsum", { C(2, 1, 2, 1, 2, 3, 4), M(2, 1, 5, 6) }, "equation='...ij,...jk'",
      .y = C(2, 1, 1, 17, 39), .dx = { C(2, 1, 2, 5, 6, 10, 12), M(2, 1, 7, 10) } },
    { "einsum", { M(2, 2, 1, 2, 3, 4), V(5, 6), S(2) }, "equation='ij,j,->i'", .y = V(34, 78),
      .dx = { M(2, 2, 10, 12, 20, 24), V(14, 20), S(17 + 2 * 39) } },
    { "einsum", { M(2, 0, NOTHING), M(0, 2, NOTHING) }, "equation='ij,jk'",
      .y = M(2, 2, 0, 0, 0, 0) },

    /* linear algebra */
    { "inverse", { M(2, 2, 4, 7, 2, 6) }, .y = M(2, 2, 0.6, -0.7, -0.2, 0.4),
      .dx = { M(2, 2, 0.28, -0.16, -0.16, 0.02) } },
    { "inverse", { M(2, 2, 0, 2, 4, 0) }, .y = M(2, 2, 0, 0.25, 0.5, 0) },
    { "inverse", { C(2, 1, 1, 2, -4) }, .y = C(2, 1, 1, 0.5, -0.25),
      .dx = { C(2, 1, 1, -0.25, -0.125) } },
    { "det", { M(2, 2, 1, 2, 3, 4) }, .y = S(-2), .dx = { M(2, 2, 4, -3, -2, 1) } },
    { "det", { M(2, 2, 1, 2, 2, 4) }, .y = S(0), .dx = { M(2, 2, 4, -2, -2, 1) } },
    { "det", { M(2, 2, 0, 0, 0, 0) }, .y = S(0), .dx = { M(2, 2, 0, 0, 0, 0) } },
    { "det", { M(3, 3, 1, 0, 0, 0, 0, 0, 0, 0, 0) }, .y = S(0),
      .dx = { M(3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0) } },
    { "det", { M(3, 3, 2, 0, 0, 0, 0, 0, 0, 0, 3) }, .y = S(0),
      .dx = { M(3, 3, 0, 0, 0, 0, 6, 0, 0, 0, 0) } },
    { "det", { M(0, 0, NOTHING) }, .y = S(1) },
    { "logdet", { M(2, 2, 2, 0, 0, 3) }, .y = S(1.791759469228055),
      .dx = { M(2, 2, 0.5, 0, 0, 1.0 / 3) } },
    { "logdet", { M(2, 2, -2, 0, 0, -3) }, .y = S(1.791759469228055) },
    { "logdet", { M(2, 2, 0, 1, 1, 0) }, .y = S(NAN), .dx = { M(2, 2, NAN, NAN, NAN, NAN) } },
    { "logdet", { M(2, 2, 1, 2, 2, 4) }, .y = S(-INF), .dx = { M(2, 2, NAN, NAN, NAN, NAN) } },
    { "cholesky", { M(2, 2, 4, 2, 2, 5) }, .y = M(2, 2, 2, 0, 1, 2),
      .dx = { M(2, 2, 0.125, 0.25, 0.25, 1) } },
    { "cholesky", { M(2, 2, 4, 1, 3, 5) }, .y = M(2, 2, 2, 0, 1, 2),
      .dx = { M(2, 2, 0.125, 0.25, 0.25, 1) } },
    { "solve", { M(2, 2, 2, 1, 1, 3), V(3, 5) }, .y = V(0.8, 1.4),
      .dx = { M(2, 2, -0.16, -0.28, -0.48, -0.84), V(0.2, 0.6) } },
    { "solve", { C(2, 1, 1, 2, 4), M(1, 2, 8, 4) }, .y = C(2, 1, 2, 4, 2, 2, 1),
      .dx = { C(2, 1, 1, -4, -2.5), M(1, 2, 1.25, 2) } },
    { "solve", { C(2, 1, 1, 2, 4), V(8) }, .y = M(2, 1, 4, 2), .dx = { C(2, 1, 1, -2, -1), V(1) } },
    { "solve_triangular", { M(2, 2, 2, 9, 1, 4), V(2, 9) }, .y = V(1, 2),
      .dx = { M(2, 2, -0.25, 0, -0.5, -1), V(0.25, 0.5) } },
    { "solve_triangular", { M(2, 2, 2, 1, 9, 4), V(4, 8) }, "upper=true", .y = V(1, 2),
      .dx = { M(2, 2, -0.5, -1, 0, -0.75), V(0.5, 0.375) } },
    { "solve_triangular", { M(2, 2, 2, NAN, 1, 4), V(4, 8) }, "transpose=true", .y = V(1, 2) },
    { "solve_triangular", { M(2, 2, 7, NAN, 3, 0), V(1, 5) }, "unit=true", .y = V(1, 2),
      .dx = { M(2, 2, 0, 0, -2, 0), V(-5, 2) } },
    { "qr", { M(2, 2, 3, 1, 4, 2) }, .y = V(0.6, -0.8, 0.8, 0.6, 5, 2.2, 0, 0.4) },
    { "qr", { M(2, 1, 3, 4) }, .y = V(0.6, 0.8, 5), .dx = { M(2, 1, 1.736, 2.448) } },
    { "qr", { M(1, 2, -3, 4) }, .y = V(-1, 3, -4), .dx = { M(1, 2, -2, -3) } },
    { "qr", { M(2, 2, 0, 0, 0, 0) }, .y = V(1, 0, 0, 1, 0, 0, 0, 0) },
    { "eigh", { M(2, 2, 2, 1, 1, 2) },
      .y = V(1, 3, 0.70710678118654752, 0.70710678118654752, -0.70710678118654752,
             0.70710678118654752),
      .dx = { M(2, 2, -0.26776695296636887, 0.5, 0.5, 3.2677669529663689) } },
    { "eigh", { M(2, 2, 1, 0, 0, 1) }, .y = V(1, 1, 1, 0, 0, 1), .dx = { M(2, 2, 1, 0, 0, 2) } },
    { "eigh", { M(1, 1, -7) }, .y = V(-7, 1), .dx = { M(1, 1, 1) } },
    { "eigh", { M(2, 2, NAN, 0, 0, 1) }, .y = V(NAN, NAN, NAN, NAN, NAN, NAN) },
    { "svd", { M(2, 2, 3, 0, 0, -2) }, .y = V(1, 0, 0, 1, 3, 2, 1, 0, 0, -1) },
    { "svd", { M(2, 1, 3, 4) }, .y = V(0.6, 0.8, 5, 1), .dx = { M(2, 1, 1.736, 2.448) } },
    { "svd", { M(1, 2, -3, -4) }, .y = V(1, 5, -0.6, -0.8) },
    { "svd", { M(2, 2, 0, 0, 0, 0) }, .y = V(1, 0, 0, 1, 0, 0, 1, 0, 0, 1),
      .dx = { M(2, 2, 5, 0, 0, 6) } },
    { "svd", { M(1, 1, INF) }, .y = V(NAN, NAN, NAN) },

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
    { "split", { M(4, 1, 1, 2, 3, 4) }, "parts=2, index=1", .y = M(2, 1, 3, 4),
      .dx = { M(4, 1, 0, 0, 1, 2) } },
    { "split", { M(2, 3, 1, 2, 3, 4, 5, 6) }, "axis=-1, parts=3, index=-1", .y = M(2, 1, 3, 6) },
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
    { "cast", { V(2, -3) }, .y = V(2, -3) },
    { "one_hot", { V(2, 0) }, "classes=3", .y = M(2, 3, 0, 0, 1, 1, 0, 0) },
    { "one_hot", { S(1) }, "classes=2", .y = V(0, 1) },
};
/* clang-format on */

static bool is_tested_elsewhere(const char *name)
{
    for (int i = 0; i < COUNT(nets_operations); i++)
        if (strcmp(nets_operations[i], name) == 0) return true;
    for (int i = 0; i < COUNT(conv_operations); i++)
        if (strcmp(conv_operations[i], name) == 0) return true;
    return false;
}

Test(tensors, every_operation_that_is_not_elementwise_has_an_example)
{
    tg_op_info info;
    for (int i = 0; tg_op_at(i, &info); i++) {
        if (info.formula || is_tested_elsewhere(info.name)) continue;
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
    int64_t n = 1, whole[128];
    for (int i = 0; i < rank; i++) n *= dim[i];
    for (int64_t i = 0; i < n; i++) whole[i] = (int64_t)x[i];
    return tg_index_new(t, sizeof *whole, whole, rank, dim, TG_HERE);
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
    cr_expect(equals(y, &e->y, false), "example %d: %s(%s): %s", (int)(e - examples), e->op,
              attributes, elements(y, false));
    double g[COUNT(e->y.x)];
    for (int i = 0; i < COUNT(g); i++) g[i] = i + 1;
    for (int k = 0; k < n; k++) {
        if (!e->dx[k].rank1) continue;
        cr_assert(tg_backward_with(y, &(const tg_backward_options){ .cotangent = g }));
        cr_expect(equals(x[k], &e->dx[k], true), "example %d: %s(%s), gradient of operand %d: %s",
                  (int)(e - examples), e->op, attributes, k, elements(x[k], true));
    }
    cr_expect(!tg_error_of(t), "%s(%s)", e->op, attributes);
    tg_tape_free(t);
}

ParameterizedTestParameters(tensors, every_example_has_its_values_and_gradients)
{
    return every_level();
}

ParameterizedTest(const int *level, tensors, every_example_has_its_values_and_gradients)
{
    choose(*level);
    for (int i = 0; i < COUNT(examples); i++) {
        check_example(&examples[i], TG_F64);
        check_example(&examples[i], TG_F32);
    }
}

/* ---- integers -------------------------------------------------------------------------------- */

Test(tensors, integers_are_compared_as_integers_and_beside_numbers_as_numbers)
{
    const int64_t far = INT64_C(1) << 53; /* far + 1 is no double */
    const int64_t a[] = { far, far + 1, -3 }, b[] = { far + 1, far + 1, -4 };
    const double none[] = { 0, 0, 0 }, below[] = { 1, 0, 0 }, same[] = { 0, 1, 0 }, other[] = { 1, 0, 1 },
                 above[] = { 0, 0, 1 }, at_most[] = { 1, 1, 0 }, at_least[] = { 0, 1, 1 },
                 negative[] = { 0, 0, 1 };
    for (tg_type type = TG_F64; type <= TG_F32; type++) {
        tg_tape *const t = new_tape(type);
        const tg_value x = tg_index_new(t, sizeof *a, a, 1, (const int64_t[]){ 3 }, TG_HERE);
        const tg_value y = tg_index_new(t, sizeof *b, b, 1, (const int64_t[]){ 3 }, TG_HERE);
        const tg_value row = tg_index_new(t, sizeof *b, b + 2, 2, (const int64_t[]){ 1, 1 }, TG_HERE);
        const struct {
            tg_value y;
            const double *wanted;
        } rows[] = {
            { tg_lt(x, y), below }, { tg_eq(x, y), same },      { tg_ne(x, y), other },
            { tg_gt(x, y), above }, { tg_le(x, y), at_most },   { tg_ge(x, y), at_least },
            { tg_lt(x, 0), negative }, { tg_gt(0, x), negative }, { tg_lt(x, row), none },
        };
        for (int i = 0; i < COUNT(rows); i++) {
            double z[3];
            cr_assert(tg_read(rows[i].y, z, 3), "row %d: %s", i, tg_error_of(t) ? tg_error_of(t)->message : "");
            cr_expect(tg_type_of(rows[i].y) == type && memcmp(z, rows[i].wanted, sizeof z) == 0,
                      "row %d: %g %g %g", i, z[0], z[1], z[2]);
        }
        const tg_value two = tg_index_new(t, sizeof *a, a, 1, (const int64_t[]){ 2 }, TG_HERE);
        const tg_value failed = tg_eq(x, two);
        cr_expect(!failed.generation);
        cr_expect(strstr(tg_error_of(t)->message, "eq: shapes (3) and (2) do not broadcast"));
        tg_tape_free(t);
    }
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

typedef struct shape {
    int rank;
    int64_t dim[4];
} shape;

static int64_t elements_of(const shape *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++) n *= s->dim[i];
    return n;
}

/* The elements before and behind an axis: x[(i * length + j) * behind + k]. */
static int64_t behind(const shape *s, int axis)
{
    int64_t n = 1;
    for (int i = axis + 1; i < s->rank; i++) n *= s->dim[i];
    return n;
}

/* Numbers of lo ... hi that both types can hold, the same ones every time. */
static double *draw(double *x, int64_t n, double lo, double hi)
{
    unsigned seed = 20240917u + (unsigned)n;
    for (int64_t i = 0; i < n; i++) x[i] = (float)(lo + (hi - lo) * (uniform(&seed) + 1) / 2);
    return x;
}

/* Fails, naming the case, where an element of y is further from want than 4 ulp of scale. */
__attribute__((format(printf, 5, 6))) static void expect_all(tg_value y, int64_t n,
                                                             const real *want, const real *scale,
                                                             const char *format, ...)
{
    static double got[MOST];
    char name[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    cr_assert(n <= MOST && tg_read(y, got, (size_t)n), "%s", name);
    for (int64_t i = 0; i < n; i++)
        if (!near(got[i], want[i], scale[i], tg_tape_type(y.tape))) {
            cr_expect(false, "%s%s, element %lld: %.17g, not %.17Lg", name,
                      tg_tape_type(y.tape) == TG_F32 ? " in f32" : "", (long long)i, got[i],
                      want[i]);
            return;
        }
}

/* ---- reductions ------------------------------------------------------------------------------ */

static real total(const real *x, int n, real a)
{
    (void)a;
    real y = 0;
    for (int i = 0; i < n; i++) y += x[i];
    return y;
}

static real mean(const real *x, int n, real a)
{
    return total(x, n, a) / n;
}

static real product(const real *x, int n, real a)
{
    (void)a;
    real y = 1;
    for (int i = 0; i < n; i++) y *= x[i];
    return y;
}

static real variance(const real *x, int n, real correction)
{
    const real m = mean(x, n, 0);
    real y = 0;
    for (int i = 0; i < n; i++) y += (x[i] - m) * (x[i] - m);
    return n > correction ? y / (n - correction) : (real)NAN;
}

static real deviation(const real *x, int n, real correction)
{
    return sqrtl(variance(x, n, correction));
}

static real first_largest(const real *x, int n, real sign)
{
    int at = 0;
    for (int i = 1; i < n; i++)
        if (sign * x[i] > sign * x[at]) at = i;
    return at;
}

static real largest(const real *x, int n, real sign)
{
    return x[(int)first_largest(x, n, sign)];
}

static real p_norm(const real *x, int n, real p)
{
    real y = 0;
    for (int i = 0; i < n; i++) y += p == 0 ? x[i] != 0 : powl(fabsl(x[i]), p);
    return p == 0 ? y : powl(y, 1 / p);
}

static real size(const real *x, int n, real sign)
{
    real y = fabsl(x[0]);
    for (int i = 1; i < n; i++) y = sign * fabsl(x[i]) > sign * y ? fabsl(x[i]) : y;
    return y;
}

static real log_of_exponentials(const real *x, int n, real a)
{
    (void)a;
    real y = 0;
    for (int i = 0; i < n; i++) y += expl(x[i]);
    return logl(y);
}

typedef struct fold {
    const char *op, *attributes;
    real (*of)(const real *x, int n, real a);
    real a;
} fold;

static const fold folds[] = {
    { "sum", "", total, 0 },
    { "mean", "", mean, 0 },
    { "prod", "", product, 0 },
    { "var", "", variance, 1 },
    { "var", "correction=0, ", variance, 0 },
    { "var", "correction=3.5, ", variance, 3.5L },
    { "std", "", deviation, 1 },
    { "std", "correction=0, ", deviation, 0 },
    { "amax", "", largest, 1 },
    { "amin", "", largest, -1 },
    { "argmax", "", first_largest, 1 },
    { "argmin", "", first_largest, -1 },
    { "norm", "", p_norm, 2 },
    { "norm", "p=0, ", p_norm, 0 },
    { "norm", "p=1, ", p_norm, 1 },
    { "norm", "p=3, ", p_norm, 3 },
    { "norm", "p=-1.5, ", p_norm, -1.5L },
    { "norm", "p=inf, ", size, 1 },
    { "norm", "p=-inf, ", size, -1 },
    { "logsumexp", "", log_of_exponentials, 0 },
};

/* Collects, for output j of those that the axes in the set leave, the elements that go into it. */
static int elements_into(const shape *s, unsigned axes, int64_t j, const double *x, real *out)
{
    int n = 0;
    for (int64_t i = 0; i < elements_of(s); i++) {
        int64_t output = 0;
        for (int axis = 0; axis < s->rank; axis++)
            if (!(axes & 1u << axis))
                output = output * s->dim[axis] + i / behind(s, axis) % s->dim[axis];
        if (output == j) out[n++] = x[i];
    }
    return n;
}

/* What 4 ulp are of: the sum of magnitudes for a sum; n / 8 times itself for a product, which is
   rounded n times. */
static real scale_of(const fold *f, const real *x, int n, real y)
{
    real magnitudes = 0;
    for (int i = 0; i < n; i++) magnitudes += fabsl(x[i]);
    if (f->of == product) return fabsl(y) * (1 + n / 8);
    return fmaxl(fabsl(y), f->of == total ? magnitudes : magnitudes / n);
}

/* "axes=(2, -3), keep=true": every second axis counts from the back, the last comes first. */
static void write_axes(char *text, size_t room, const fold *f, const shape *s, unsigned axes,
                       bool keep)
{
    int used = snprintf(text, room, "%saxes=(", f->attributes);
    for (int axis = s->rank - 1; axis >= 0; axis--)
        if (axes & 1u << axis)
            used += snprintf(text + used, room - (size_t)used, "%d, ",
                             axis % 2 ? axis - s->rank : axis);
    snprintf(text + used, room - (size_t)used, "), keep=%s", keep ? "true" : "false");
}

static bool has_reduced_shape(tg_value y, const shape *s, unsigned axes, bool keep)
{
    int rank = 0;
    bool right = true;
    for (int axis = 0; axis < s->rank; axis++) {
        const bool reduced = axes & 1u << axis;
        if (reduced && !keep) continue;
        right &= tg_dim(y, rank++) == (reduced ? 1 : s->dim[axis]);
    }
    return right && tg_rank(y) == rank;
}

static void check_fold(const fold *f, const shape *s, unsigned axes, bool keep, tg_type type)
{
    static double x[MOST];
    static real into[MOST], want[MOST], scale[MOST];
    char attributes[128];
    write_axes(attributes, sizeof attributes, f, s, axes, keep);
    tg_tape *const t = new_tape(type);
    /* Products of many numbers stay within the range of f32 if these are near 1 on average. */
    const double lo = f->of == product ? 0.4 : -2, hi = f->of == product ? 1.9 : 2;
    const tg_value leaf = leaf_of(t, draw(x, elements_of(s), lo, hi), s->rank, s->dim);
    const tg_value y = tg_apply(t, f->op, &leaf, 1, attributes);
    const int64_t outputs = tg_size(y);
    cr_expect(has_reduced_shape(y, s, axes, keep), "%s(%s): rank %d", f->op, attributes,
              tg_rank(y));
    for (int64_t j = 0; j < outputs; j++) {
        const int n = elements_into(s, axes, j, x, into);
        want[j] = f->of(into, n, f->a);
        scale[j] = scale_of(f, into, n, want[j]);
    }
    expect_all(y, outputs, want, scale, "%s(%s) of %lld elements", f->op, attributes,
               (long long)elements_of(s));
    tg_tape_free(t);
}

ParameterizedTestParameters(tensors, reductions_over_any_axes_are_those_of_plain_loops)
{
    return every_level();
}

ParameterizedTest(const int *level, tensors, reductions_over_any_axes_are_those_of_plain_loops)
{
    static const shape shapes[] = {
        { 3, { 2, 3, 4 } }, { 3, { 3, 71, 2 } }, { 3, { 130, 1, 5 } }, { 1, { 1000 } }
    };
    choose(*level);
    for (int f = 0; f < COUNT(folds); f++)
        for (int s = 0; s < COUNT(shapes); s++)
            for (unsigned axes = 1; axes < 1u << shapes[s].rank; axes++)
                for (int i = 0; i < 4; i++)
                    check_fold(&folds[f], &shapes[s], axes, i / 2, i % 2 ? TG_F32 : TG_F64);
}

/* ---- along one axis -------------------------------------------------------------------------- */

/* Calls f for each line of x along an axis: n elements, step apart, the first at x[from]. */
typedef void line(const double *x, int64_t from, int64_t n, int64_t step, real beta, real *y,
                  real *scale);

static void each_line(const shape *s, int axis, line *f, const double *x, real beta, real *y,
                      real *scale)
{
    const int64_t step = behind(s, axis), n = s->dim[axis];
    for (int64_t i = 0; i < elements_of(s); i++)
        if (i / step % n == 0) f(x, i, n, step, beta, y, scale);
}

/* An exponential's argument is rounded, which moves it by at most |beta x| ulp: here 4. */
static void soft(const double *x, int64_t from, int64_t n, int64_t step, real beta, real *y,
                 real *scale)
{
    real sum = 0;
    for (int64_t i = 0; i < n; i++) sum += expl(beta * x[from + i * step]);
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = from + i * step;
        y[at] = expl(beta * x[at]) / sum;
        scale[at] = 2 * y[at];
    }
}

static void log_soft(const double *x, int64_t from, int64_t n, int64_t step, real beta, real *y,
                     real *scale)
{
    real most = 0; /* what the others are seen from */
    soft(x, from, n, step, beta, y, scale);
    for (int64_t i = 0; i < n; i++) most = fmaxl(most, fabsl(beta * x[from + i * step]));
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = from + i * step;
        y[at] = logl(y[at]);
        scale[at] = fmaxl(fabsl(y[at]), most);
    }
}

/* n roundings of partial sums. */
static void running(const double *x, int64_t from, int64_t n, int64_t step, real beta, real *y,
                    real *scale)
{
    (void)beta;
    real sum = 0, magnitudes = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = from + i * step;
        sum += x[at];
        magnitudes += fabsl((real)x[at]);
        y[at] = sum;
        scale[at] = magnitudes * (1 + i / 8);
    }
}

static void check_lines(const char *op, line *f, const shape *s, int axis, double beta,
                        tg_type type)
{
    static double x[MOST];
    static real want[MOST], scale[MOST];
    char attributes[64];
    int used = snprintf(attributes, sizeof attributes, "axis=%d", axis % 2 ? axis : axis - s->rank);
    if (f != running)
        snprintf(attributes + used, sizeof attributes - (size_t)used, ", beta=%g", beta);
    tg_tape *const t = new_tape(type);
    const tg_value leaf = leaf_of(t, draw(x, elements_of(s), -2, 2), s->rank, s->dim);
    each_line(s, axis, f, x, beta, want, scale);
    expect_all(tg_apply(t, op, &leaf, 1, attributes), elements_of(s), want, scale, "%s(%s)", op,
               attributes);
    tg_tape_free(t);
}

ParameterizedTestParameters(tensors,
                            softargmax_and_running_sums_along_any_axis_are_those_of_plain_loops)
{
    return every_level();
}

ParameterizedTest(const int *level, tensors,
                  softargmax_and_running_sums_along_any_axis_are_those_of_plain_loops)
{
    static const shape shapes[] = {
        { 3, { 2, 3, 4 } }, { 3, { 3, 71, 2 } }, { 2, { 40, 19 } }, { 1, { 1 } }
    };
    static const double betas[] = { 1, 2, 0.5, -1, 0 };
    choose(*level);
    for (int s = 0; s < COUNT(shapes); s++)
        for (int axis = 0; axis < shapes[s].rank; axis++)
            for (int i = 0; i < 2 * COUNT(betas); i++) {
                const tg_type type = i % 2 ? TG_F32 : TG_F64;
                check_lines("softargmax", soft, &shapes[s], axis, betas[i / 2], type);
                check_lines("softmax", soft, &shapes[s], axis, betas[i / 2], type);
                check_lines("log_softmax", log_soft, &shapes[s], axis, betas[i / 2], type);
                check_lines("cumsum", running, &shapes[s], axis, 0, type);
            }
}

/* ---- products -------------------------------------------------------------------------------- */

/* A stack of matrices with two batch axes, which vectors and single matrices have with length 1. */
typedef struct stack {
    int64_t dim[4];
} stack;

static stack as_stack(const shape *s, bool left)
{
    stack m = { { 1, 1, 1, 1 } };
    for (int i = 0; i < s->rank; i++) m.dim[4 - s->rank + i] = s->dim[i];
    if (s->rank == 1 && !left) m.dim[2] = m.dim[3], m.dim[3] = 1;
    return m;
}

static real element(const stack *m, const double *x, const int64_t at[4])
{
    int64_t i = 0;
    for (int k = 0; k < 4; k++) i = i * m->dim[k] + (m->dim[k] == 1 ? 0 : at[k]);
    return x[i];
}

static int64_t longer(int64_t a, int64_t b)
{
    return a == 1 ? b : a;
}

/* y = a b, element by element; scale is the sum of the magnitudes of the k products, times what k
   roundings of a sum in any order come to (Higham, Accuracy and Stability of Numerical Algorithms,
   section 3.1). Returns the number of elements. */
static int64_t multiply(const shape *sa, const double *a, const shape *sb, const double *b, real *y,
                        real *scale)
{
    const stack ma = as_stack(sa, true), mb = as_stack(sb, false);
    const int64_t l0 = longer(ma.dim[0], mb.dim[0]), l1 = longer(ma.dim[1], mb.dim[1]);
    const int64_t m = ma.dim[2], n = mb.dim[3], k = ma.dim[3];
    for (int64_t i = 0; i < l0 * l1 * m * n; i++) {
        const int64_t i0 = i / (l1 * m * n), i1 = i / (m * n) % l1, row = i / n % m, column = i % n;
        y[i] = scale[i] = 0;
        for (int64_t p = 0; p < k; p++) {
            const real term = element(&ma, a, (const int64_t[]){ i0, i1, row, p }) *
                              element(&mb, b, (const int64_t[]){ i0, i1, p, column });
            y[i] += term;
            scale[i] += fabsl(term) * (1 + k / 8);
        }
    }
    return l0 * l1 * m * n;
}

static void check_product(const char *op, const shape *sa, const shape *sb, tg_type type)
{
    static double a[MOST], b[MOST];
    static real want[MOST], scale[MOST];
    tg_tape *const t = new_tape(type);
    const tg_value x[] = { leaf_of(t, draw(a, elements_of(sa), -2, 2), sa->rank, sa->dim),
                           leaf_of(t, draw(b, elements_of(sb), -1, 3), sb->rank, sb->dim) };
    const int64_t n = multiply(sa, a, sb, b, want, scale);
    expect_all(tg_apply(t, op, x, 2, NULL), n, want, scale,
               "%s of ranks %d and %d, last lengths %lld and %lld", op, sa->rank, sb->rank,
               (long long)sa->dim[sa->rank - 1], (long long)sb->dim[sb->rank - 1]);
    tg_tape_free(t);
}

/* outer (m) x (n) is a product (m, 1) x (1, n). */
static void check_outer(int64_t m, int64_t n, tg_type type)
{
    static double a[MOST], b[MOST];
    static real want[MOST], scale[MOST];
    tg_tape *const t = new_tape(type);
    const tg_value y =
        tg_outer(tg_param(t, draw(a, m, -2, 2), m), tg_param(t, draw(b, n, -1, 3), n));
    const shape column = { 2, { m, 1 } }, row = { 2, { 1, n } };
    expect_all(y, multiply(&column, a, &row, b, want, scale), want, scale, "outer");
    tg_tape_free(t);
}

/* Gradients by both operands, of one pass and of two that add up; n may be so many that rows of g come in blocks. */
static void check_outer_gradient(int64_t m, int64_t n, tg_type type)
{
    static double x[2][MOST], g[MOST], got[MOST];
    tg_tape *const t = new_tape(type);
    const tg_value v[] = { tg_param(t, draw(x[0], m, -2, 2), m), tg_param(t, draw(x[1], n, -1, 3), n) };
    const tg_value y = tg_outer(v[0], v[1]);
    draw(g, m * n, -1, 1);
    for (int passes = 1; passes <= 2; passes++) {
        cr_assert(tg_backward_with(y, &(tg_backward_options){ .cotangent = g, .accumulate = passes > 1 }));
        for (int by = 0; by < 2; by++) {
            const int64_t own = by ? n : m, other = by ? m : n;
            cr_assert(tg_grad_read(v[by], got, (size_t)own));
            for (int64_t i = 0; i < own; i++) {
                real want = 0, scale = 0;
                for (int64_t j = 0; j < other; j++) {
                    const real term = passes * (real)g[by ? j * n + i : i * n + j] * x[!by][j];
                    want += term;
                    scale += fabsl(term) * (1 + other / 8);
                }
                cr_assert(fabsl(got[i] - want) <= 4 * epsilon_of(type) * scale, "(%lld) x (%lld), by %d: %lld is %g, not %Lg",
                          (long long)m, (long long)n, by, (long long)i, got[i], want);
            }
        }
    }
    tg_tape_free(t);
}

static void check_linear(const shape *s, int64_t outputs, tg_type type)
{
    static double x[MOST], w[MOST], b[MOST];
    static real want[MOST], scale[MOST];
    const int64_t p = s->dim[s->rank - 1], rows = elements_of(s) / p;
    tg_tape *const t = new_tape(type);
    const tg_value y = tg_linear(leaf_of(t, draw(x, rows * p, -2, 2), s->rank, s->dim),
                                 tg_param(t, draw(w, outputs * p, -1, 3), outputs, p),
                                 tg_param(t, draw(b, outputs, -2, 2), outputs));
    for (int64_t i = 0; i < rows * outputs; i++) {
        const int64_t row = i / outputs, column = i % outputs;
        want[i] = b[column];
        scale[i] = fabsl((real)b[column]) * (1 + p / 8);
        for (int64_t k = 0; k < p; k++) {
            const real term = (real)x[row * p + k] * w[column * p + k];
            want[i] += term;
            scale[i] += fabsl(term) * (1 + p / 8);
        }
    }
    expect_all(y, rows * outputs, want, scale, "linear, %lld to %lld", (long long)p,
               (long long)outputs);
    tg_tape_free(t);
}

ParameterizedTestParameters(tensors, products_of_any_shapes_are_those_of_plain_loops)
{
    return every_level();
}

ParameterizedTest(const int *level, tensors, products_of_any_shapes_are_those_of_plain_loops)
{
    /* From single elements to several tiles and a rest; batches that broadcast either way. */
    static const struct {
        const char *op;
        shape a, b;
    } cases[] = {
        { "matmul", { 2, { 1, 1 } }, { 2, { 1, 1 } } },
        { "matmul", { 2, { 5, 3 } }, { 2, { 3, 7 } } },
        { "matmul", { 2, { 13, 17 } }, { 2, { 17, 33 } } },
        { "matmul", { 2, { 40, 70 } }, { 2, { 70, 33 } } },
        { "matmul", { 2, { 100, 2 } }, { 2, { 2, 100 } } },
        { "matmul", { 2, { 2, 300 } }, { 2, { 300, 3 } } },
        { "matmul", { 2, { 64, 64 } }, { 2, { 64, 64 } } },
        { "matmul", { 1, { 31 } }, { 2, { 31, 18 } } },
        { "matmul", { 2, { 18, 31 } }, { 1, { 31 } } },
        { "matmul", { 1, { 100 } }, { 1, { 100 } } },
        { "matmul", { 3, { 2, 3, 4 } }, { 3, { 2, 4, 5 } } },
        { "matmul", { 3, { 2, 3, 4 } }, { 2, { 4, 5 } } },
        { "matmul", { 2, { 3, 4 } }, { 3, { 2, 4, 5 } } },
        { "matmul", { 4, { 2, 1, 3, 4 } }, { 3, { 3, 4, 5 } } },
        { "matmul", { 4, { 2, 3, 9, 11 } }, { 4, { 1, 3, 11, 10 } } },
        { "matmul", { 1, { 4 } }, { 3, { 3, 4, 2 } } },
        { "matmul", { 4, { 2, 3, 2, 4 } }, { 1, { 4 } } },
        { "dot", { 1, { 1 } }, { 1, { 1 } } },
        { "dot", { 1, { 1000 } }, { 1, { 1000 } } },
        { "mv", { 2, { 1, 7 } }, { 1, { 7 } } },
        { "mv", { 2, { 50, 130 } }, { 1, { 130 } } },
    };
    static const shape rows[] = {
        { 1, { 5 } }, { 2, { 20, 33 } }, { 3, { 2, 3, 4 } }, { 2, { 64, 100 } }
    };
    choose(*level);
    for (tg_type type = TG_F64; type <= TG_F32; type++) {
        for (int i = 0; i < COUNT(cases); i++)
            check_product(cases[i].op, &cases[i].a, &cases[i].b, type);
        for (int i = 0; i < COUNT(rows); i++)
            for (int64_t outputs = 1; outputs < 40; outputs += 9)
                check_linear(&rows[i], outputs, type);
        check_outer(3, 50, type);
        check_outer(41, 17, type);
        check_outer_gradient(3, 50, type);
        check_outer_gradient(20, 600, type);
        check_outer_gradient(2000, 8, type);
    }
}

/* ---- losses ---------------------------------------------------------------------------------- */

static real squared_error(real a, real b)
{
    return (a - b) * (a - b);
}

static real absolute_error(real a, real b)
{
    return fabsl(a - b);
}

static real binary(real a, real b)
{
    return -(b * logl(a) + (1 - b) * log1pl(-a));
}

static real binary_of_logit(real a, real b)
{
    return fmaxl(a, 0) + log1pl(expl(-fabsl(a))) - a * b;
}

static real huber_of_3(real a, real b)
{
    const real e = fabsl(a - b);
    return e <= 0.3L ? e * e / 2 : 0.3L * (e - 0.15L);
}

static real smooth_l1_of_3(real a, real b)
{
    const real e = fabsl(a - b);
    return e < 0.3L ? e * e / 0.6L : e - 0.15L;
}

static real divergence(real a, real b)
{
    return b * (logl(b) - a);
}

static real lacking(real a, real b)
{
    return fmaxl(0, 1 - a * b);
}

static const char *const reductions[] = { "mean", "sum", "none" };

/* Makes a mean or a sum of n losses, and of their scales, in place; returns how many are left. */
static int64_t reduce(int reduction, real *y, real *scale, int64_t n)
{
    if (reduction == TG_NONE) return n;
    for (int64_t i = 1; i < n; i++) {
        y[0] += y[i];
        scale[0] += scale[i];
    }
    if (reduction == TG_MEAN) y[0] /= n, scale[0] /= n;
    return 1;
}

/* a (2, 3, 5) and b (3, 1): each b goes with two rows of a. */
static void check_pair_loss(const char *op, const char *more, real (*f)(real, real), int reduction,
                            tg_type type)
{
    enum { N = 30 };
    double a[N], b[3];
    real want[N], scale[N];
    char attributes[64];
    snprintf(attributes, sizeof attributes, "reduction=%s%s", reductions[reduction], more);
    tg_tape *const t = new_tape(type);
    const tg_value x[] = { tg_param(t, draw(a, N, 0.1, 0.9), 2, 3, 5),
                           tg_param(t, draw(b, 3, 0, 1), 3, 1) };
    for (int i = 0; i < N; i++) {
        want[i] = f(a[i], b[i / 5 % 3]);
        scale[i] = fmaxl(fabsl(want[i]), 1); /* of its terms */
    }
    const int64_t n = reduce(reduction, want, scale, N);
    expect_all(tg_apply(t, op, x, 2, attributes), n, want, scale, "%s(%s)", op, attributes);
    tg_tape_free(t);
}

/* Scores (2, 3, 20) and labels (2, 3). */
static void check_class_loss(const char *op, bool normalised, int reduction, tg_type type)
{
    enum { ROWS = 6, CLASSES = 20 };
    double x[ROWS * CLASSES];
    const int label[ROWS] = { 0, 19, 7, 7, 3, 12 };
    real want[ROWS], scale[ROWS], y[CLASSES], unused[CLASSES];
    char attributes[32];
    snprintf(attributes, sizeof attributes, "reduction=%s", reductions[reduction]);
    tg_tape *const t = new_tape(type);
    const tg_value v[] = { tg_param(t, draw(x, ROWS * CLASSES, -2, 2), 2, 3, CLASSES),
                           tg_index(t, label, 2, 3) };
    for (int i = 0; i < ROWS; i++) {
        soft(x + i * CLASSES, 0, CLASSES, 1, 1, y, unused);
        want[i] = normalised ? (real)-x[i * CLASSES + label[i]] : -logl(y[label[i]]);
        scale[i] = fmaxl(fabsl(want[i]), 2);
    }
    const int64_t n = reduce(reduction, want, scale, ROWS);
    expect_all(tg_apply(t, op, v, 2, attributes), n, want, scale, "%s(%s)", op, attributes);
    tg_tape_free(t);
}

/* Scores (3, n), one label ignored. */
static void check_weighted_entropy(int64_t n, double smoothing, int reduction, tg_type type)
{
    enum { ROWS = 3, MOST_CLASSES = 3000 };
    static double x[ROWS * MOST_CLASSES], w[MOST_CLASSES];
    static real p[MOST_CLASSES], unused[MOST_CLASSES];
    const int label[ROWS] = { (int)n - 1, -1, 2 };
    real want[ROWS] = { 0 }, scale[ROWS] = { 0 }, total = 0;
    char attributes[96];
    snprintf(attributes, sizeof attributes,
             "reduction=%s, ignore_index=-1, label_smoothing=%g", reductions[reduction], smoothing);
    tg_tape *const t = new_tape(type);
    const tg_value v[] = { tg_param(t, draw(x, ROWS * n, -2, 2), ROWS, n), tg_index(t, label, ROWS),
                           tg_param(t, draw(w, n, 0.5, 2), n) };
    for (int i = 0; i < ROWS; i++) {
        if (label[i] < 0) continue;
        soft(x + i * n, 0, n, 1, 1, p, unused);
        for (int j = 0; j < n; j++)
            want[i] -= ((j == label[i] ? 1 - smoothing : 0) + smoothing / (real)n) * w[j] * logl(p[j]);
        scale[i] = fmaxl(want[i], 4);
        total += w[label[i]];
    }
    const int64_t left = reduce(reduction == TG_NONE ? TG_NONE : TG_SUM, want, scale, ROWS);
    if (reduction == TG_MEAN) want[0] /= total, scale[0] /= total;
    expect_all(tg_apply(t, "cross_entropy_weighted", v, 3, attributes), left, want, scale,
               "cross_entropy_weighted(%s) of %lld classes", attributes, (long long)n);
    tg_tape_free(t);
}

Test(tensors, cross_entropy_with_weights_and_smoothing_is_that_of_plain_loops)
{
    static const int64_t classes[] = { 3, 60, 1500, 3000 };
    for (int i = 0; i < COUNT(classes); i++)
        for (int k = 0; k < 12; k++)
            check_weighted_entropy(classes[i], k / 6 ? 0.3 : 0, k % 3, k / 3 % 2 ? TG_F32 : TG_F64);
}

Test(tensors, losses_of_every_reduction_are_those_of_plain_loops)
{
    for (int i = 0; i < 6; i++) {
        const tg_type type = i % 2 ? TG_F32 : TG_F64;
        check_pair_loss("mse", "", squared_error, i / 2, type);
        check_pair_loss("l1", "", absolute_error, i / 2, type);
        check_pair_loss("bce", "", binary, i / 2, type);
        check_pair_loss("bce_with_logits", "", binary_of_logit, i / 2, type);
        check_pair_loss("huber", ", delta=0.3", huber_of_3, i / 2, type);
        check_pair_loss("smooth_l1", ", beta=0.3", smooth_l1_of_3, i / 2, type);
        check_pair_loss("kl_div", "", divergence, i / 2, type);
        check_pair_loss("hinge", "", lacking, i / 2, type);
        check_class_loss("nll", true, i / 2, type);
        check_class_loss("cross_entropy", false, i / 2, type);
    }
}

/* So many rows that they are summed piece by piece. Every seventh label is ignored, or none. */
static void check_long_nll(bool ignored, bool turned, int reduction, tg_type type)
{
    enum { ROWS = 2500, CLASSES = 3 };
    static double x[ROWS * CLASSES], w[CLASSES], dx[ROWS * CLASSES], dw[CLASSES];
    static real want[ROWS], scale[ROWS];
    static int label[ROWS];
    real total = 0;
    char attributes[64];
    snprintf(attributes, sizeof attributes, "reduction=%s%s", reductions[reduction], ignored ? ", ignore_index=-1" : "");
    tg_tape *const t = new_tape(type);
    draw(x, ROWS * CLASSES, -2, 0), draw(w, CLASSES, 0.5, 2);
    const tg_value given = turned ? tg_param(t, x, CLASSES, ROWS) : tg_param(t, x, ROWS, CLASSES);
    for (int i = 0; i < ROWS; i++) label[i] = ignored && i % 7 == 0 ? -1 : i % CLASSES;
    const tg_value v[] = { turned ? tg_transpose(given) : given, tg_index(t, label, ROWS), tg_param(t, w, CLASSES) };
    for (int i = 0; i < ROWS; i++) {
        const int own = label[i];
        want[i] = own < 0 ? 0 : -w[own] * x[turned ? own * ROWS + i : i * CLASSES + own];
        scale[i] = fmaxl(want[i], 2);
        total += own < 0 ? 0 : w[own];
    }
    const int64_t left = reduce(reduction == TG_NONE ? TG_NONE : TG_SUM, want, scale, ROWS);
    if (reduction == TG_MEAN) want[0] /= total, scale[0] /= total;
    const tg_value y = tg_apply(t, "nll_weighted", v, 3, attributes);
    expect_all(y, left, want, scale, "nll_weighted(%s)", attributes);
    cr_assert(tg_backward(tg_sum(y)) && tg_grad_read(given, dx, ROWS * CLASSES) && tg_grad_read(v[2], dw, CLASSES));
    const real by = reduction == TG_MEAN ? 1 / total : 1, mean = reduction == TG_MEAN ? want[0] : 0;
    real by_weight[CLASSES] = { 0 };
    for (int i = 0; i < ROWS; i++) {
        const int own = label[i], at = turned ? own * ROWS + i : i * CLASSES + own;
        if (own < 0) continue;
        by_weight[own] -= by * (x[at] + mean);
        cr_expect(fabsl(dx[at] + by * w[own]) <= 1e-6L * by * w[own], "%s, row %d", attributes, i);
    }
    for (int j = 0; j < CLASSES; j++)
        cr_expect(fabsl(dw[j] - by_weight[j]) <= 1e-5L * by * ROWS, "%s, class %d", attributes, j);
    tg_tape_free(t);
}

Test(tensors, nll_of_many_rows_is_that_of_plain_loops)
{
    for (int i = 0; i < 24; i++) check_long_nll(i % 2, i / 2 % 2, i / 4 % 3, i / 12 ? TG_F32 : TG_F64);
}

Test(tensors, an_einsum_of_three_in_blocks_is_what_it_is_in_steps)
{
    enum { ROWS = 8000, WIDTH = 10, N = ROWS * WIDTH };
    static double x[N], z[N], a[WIDTH * WIDTH], got[2][N];
    draw(x, N, -2, 2), draw(z, N, -2, 2), draw(a, WIDTH * WIDTH, -2, 2);
    for (int type = TG_F64; type <= TG_F32; type++) {
        tg_tape *const t = new_tape((tg_type)type);
        const tg_value v[] = { tg_param(t, x, ROWS, WIDTH), tg_param(t, a, WIDTH, WIDTH), tg_param(t, z, ROWS, WIDTH) };
        const double tolerance = type == TG_F32 ? 1e-3 : 1e-11;
        const tg_value steps = tg_sum(tg_mul(tg_matmul(v[0], v[1]), v[2]), .axis = 1);
        const tg_value rows = tg_apply(t, "einsum", v, 3, "equation='bi,ij,bj->b'");
        const tg_value all = tg_apply(t, "einsum", v, 3, "equation='bi,ij,bj->'");
        cr_assert(tg_read(rows, got[0], ROWS) && tg_read(steps, got[1], ROWS));
        for (int i = 0; i < ROWS; i++) cr_expect(fabs(got[0][i] - got[1][i]) <= tolerance, "row %d", i);
        cr_expect(fabs(tg_item(all) - tg_item(tg_sum(steps))) <= 100 * tolerance);
        for (int k = 0; k < 6; k++) {
            const tg_value by = v[k / 2];
            const size_t n = (size_t)tg_size(by);
            cr_assert(tg_backward(k % 2 ? all : tg_sum(rows)) && tg_grad_read(by, got[0], n));
            cr_assert(tg_backward(tg_sum(steps)) && tg_grad_read(by, got[1], n));
            for (size_t i = 0; i < n; i++)
                cr_expect(fabs(got[0][i] - got[1][i]) <= 100 * tolerance, "by %d, element %zu", k / 2, i);
        }
        tg_tape_free(t);
    }
}

/* ---- positions ------------------------------------------------------------------------------- */

/* Whether y holds exactly these numbers. */
static bool holds(tg_value y, const double *want, int64_t n)
{
    static double got[MOST];
    bool same = n <= MOST && tg_size(y) == n && tg_read(y, got, (size_t)n);
    for (int64_t i = 0; same && i < n; i++) same = got[i] == want[i];
    return same;
}

/* The positions that Python's slice names, one by one: from the first one that is there, in steps,
   before stop. */
static int64_t slice_by_definition(int64_t n, int64_t start, int64_t stop, int64_t step, double *at)
{
    int64_t found = 0;
    const bool forward = step > 0;
    int64_t from = start == TG_END ? (forward ? 0 : n - 1) : start < 0 ? start + n : start;
    if (forward && from < 0) from = 0;
    if (!forward && from > n - 1) from = n - 1;
    const int64_t to = stop == TG_END ? (forward ? n : -1) : stop < 0 ? stop + n : stop;
    for (int64_t i = from; i >= 0 && i < n && (forward ? i < to : i > to); i += step)
        at[found++] = (double)i;
    return found;
}

Test(tensors, slices_name_the_positions_that_pythons_do)
{
    const double position[] = { 0, 1, 2, 3, 4 };
    tg_tape *const t = new_tape(TG_F64);
    for (int n = 0; n <= COUNT(position); n++) {
        const tg_value x = tg_param(t, position, n);
        for (int64_t i = -7; i <= 8; i++)
            for (int64_t j = -7; j <= 8; j++)
                for (int64_t step = -3; step <= 3; step++) {
                    if (step == 0) continue;
                    const int64_t start = i == 8 ? TG_END : i, stop = j == 8 ? TG_END : j;
                    double want[COUNT(position)];
                    const int64_t found = slice_by_definition(n, start, stop, step, want);
                    cr_expect(
                        holds(tg_slice(x, .start = start, .stop = stop, .step = step), want, found),
                        "x[%lld:%lld:%lld] of %d elements", (long long)start, (long long)stop,
                        (long long)step, n);
                }
    }
    tg_tape_free(t);
}

/* x (m, n) has 1, 2, 3, ... */
static void check_triangles(int64_t m, int64_t n, int64_t offset)
{
    double x[16], lower[16], upper[16], diagonal[16];
    int64_t found = 0;
    for (int64_t i = 0; i < m * n; i++) {
        const int64_t above = i % n - i / n;
        x[i] = (double)(i + 1);
        lower[i] = above <= offset ? x[i] : 0;
        upper[i] = above >= offset ? x[i] : 0;
        if (above == offset) diagonal[found++] = x[i];
    }
    tg_tape *const t = new_tape(TG_F64);
    const tg_value v = tg_param(t, x, m, n);
    cr_expect(holds(tg_tril(v, .offset = offset), lower, m * n) &&
                  holds(tg_triu(v, .offset = offset), upper, m * n) &&
                  holds(tg_diagonal(v, .offset = offset), diagonal, found),
              "(%lld, %lld), offset %lld", (long long)m, (long long)n, (long long)offset);
    tg_tape_free(t);
}

Test(tensors, triangles_and_diagonals_of_any_offset_lie_where_they_should)
{
    for (int64_t m = 1; m <= 4; m++)
        for (int64_t n = 1; n <= 4; n++)
            for (int64_t offset = -6; offset <= 6; offset++) check_triangles(m, n, offset);
}

/* y[..., (j + shift) mod n, ...] = x[..., j, ...]. */
static void check_roll(const shape *s, int axis, int64_t shift)
{
    double x[64], want[64];
    const int64_t n = s->dim[axis], step = behind(s, axis);
    for (int64_t i = 0; i < elements_of(s); i++) {
        const int64_t j = i / step % n, to = ((j + shift) % n + n) % n;
        x[i] = (double)i;
        want[i + (to - j) * step] = x[i];
    }
    tg_tape *const t = new_tape(TG_F64);
    const tg_value y = tg_roll(leaf_of(t, x, s->rank, s->dim), .axis = axis, .shift = shift);
    cr_expect(holds(y, want, elements_of(s)), "axis %d, shift %lld", axis, (long long)shift);
    tg_tape_free(t);
}

Test(tensors, rolls_of_any_shift_go_round_every_axis)
{
    const shape s = { 3, { 2, 3, 4 } };
    for (int axis = 0; axis < s.rank; axis++)
        for (int64_t shift = -9; shift <= 9; shift++) check_roll(&s, axis, shift);
}

Test(tensors, views_of_index_tensors_hold_the_indices_of_their_positions)
{
    const int64_t index[] = { 0, 1, 2, 3, 4, 5 };
    tg_tape *const t = new_tape(TG_F64);
    const tg_value x = tg_index_new(t, sizeof *index, index, 2, (const int64_t[]){ 2, 3 }, TG_HERE);
    cr_expect(tg_type_of(tg_transpose(x)) == TG_I64);
    cr_expect(holds(tg_transpose(x), (const double[]){ 0, 3, 1, 4, 2, 5 }, 6));
    cr_expect(holds(tg_select(x, .axis = 1, .index = -1), (const double[]){ 2, 5 }, 2));
    cr_expect(holds(tg_flip(tg_reshape(x, 6)), (const double[]){ 5, 4, 3, 2, 1, 0 }, 6));
    const double tens[] = { 10, 20, 30, 40, 50, 60 };
    const tg_value rows = tg_param(t, tens, 6);
    cr_expect(holds(tg_take(rows, tg_slice(x, .axis = 1, .step = -2)),
                    (const double[]){ 30, 10, 60, 40 }, 4));
    tg_tape_free(t);
}

/* ---- digits that f32 must not lose ----------------------------------------------------------- */

/* The results are those of the operands, which f32 holds; a mean of them it does not hold. */
Test(tensors, f32_keeps_the_digits_of_a_variance_beside_a_large_mean)
{
    enum { N = 1000 };
    static double x[N], g[N];
    real into[N], sum = 0;
    draw(x, N, 10000, 10001);
    for (int i = 0; i < N; i++) into[i] = x[i], sum += x[i];
    const real want = variance(into, N, 1);
    tg_tape *const t = new_tape(TG_F32);
    const tg_value v = tg_param(t, x, N), y = tg_var(v);
    cr_expect(fabsl(tg_item(y) - want) <= 4 * FLT_EPSILON * want, "%.9g, not %.9Lg", tg_item(y),
              want);
    cr_assert(tg_backward(y) && tg_grad_read(v, g, N));
    for (int i = 0; i < N; i++) {
        const real slope = 2 * (x[i] - sum / N) / (N - 1);
        cr_expect(fabsl(g[i] - slope) <= FLT_EPSILON / (N - 1), "%d: %.9g, not %.9Lg", i, g[i],
                  slope); /* 1 / (N - 1): the largest slope */
    }
    tg_tape_free(t);
}

Test(tensors, f32_keeps_the_digits_of_logsumexps_gradient_where_its_value_is_large)
{
    enum { N = 64 };
    double x[N], g[N];
    real sum = 0;
    draw(x, N, 900, 904);
    for (int i = 0; i < N; i++) sum += expl((real)x[i] - 900);
    tg_tape *const t = new_tape(TG_F32);
    const tg_value v = tg_param(t, x, N);
    cr_assert(tg_backward(tg_logsumexp(v)) && tg_grad_read(v, g, N));
    for (int i = 0; i < N; i++) {
        const real want = expl((real)x[i] - 900) / sum;
        cr_expect(fabsl(g[i] - want) <= 8 * FLT_EPSILON * want, "%d: %.9g, not %.9Lg", i, g[i], want);
    }
    tg_tape_free(t);
}

Test(tensors, the_gradient_of_a_subnormal_norm_is_finite_and_right)
{
    static const double sizes[] = { 1e-310, 1e-40 };
    for (int i = 0; i < 4; i++) {
        const tg_type type = i % 2 ? TG_F32 : TG_F64;
        const double unit = sizes[i % 2], p = i / 2 ? 3 : 2;
        tg_tape *const t = new_tape(type);
        const double x[] = { 3 * unit, -4 * unit };
        double g[2], want[2];
        const tg_value v = tg_param(t, x, 2);
        for (int k = 0; k < 2; k++) {
            const double a = k ? -4 : 3, y = pow(pow(3, p) + pow(4, p), 1 / p);
            want[k] = copysign(pow(fabs(a) / y, p - 1), a);
        }
        cr_assert(tg_backward(tg_norm(v, .p = p)) && tg_grad_read(v, g, 2));
        for (int k = 0; k < 2; k++) /* 1e-40 has 17 bits in f32 */
            cr_expect(fabs(g[k] - want[k]) <= 1e-4, "p = %g, %g: %.17g, not %.17g", p, unit, g[k],
                      want[k]);
        tg_tape_free(t);
    }
}
