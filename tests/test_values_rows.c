/* Reductions, softargmax, running sums and losses of many rows at once, of every length that kernels treat differently: by rows
   and by columns, at every level, against plain loops in long double. One row is infinite, and its gradient zero: the
   others must not see it. */
#include "values.h"

enum { MOST_ELEMENTS = 40000 };

TestSuite(rows);

/* Of a row of n: y (one number or n), and dx for an incoming gradient g (as y). */
typedef struct row_op {
    const char *name, *attributes; /* axis is added */
    bool kept;                     /* y has n numbers */
    real lo, hi;
    void (*value)(int n, const real *x, real *y);
    void (*gradient)(int n, const real *x, const real *y, const real *g, real *dx);
} row_op;

static void sum_value(int n, const real *x, real *y)
{
    *y = 0;
    for (int i = 0; i < n; i++) *y += x[i];
}

static void sum_gradient(int n, const real *x, const real *y, const real *g, real *dx)
{
    (void)x, (void)y;
    for (int i = 0; i < n; i++) dx[i] = *g;
}

static void var_value(int n, const real *x, real *y)
{
    real mean, s = 0;
    sum_value(n, x, &mean);
    for (int i = 0; i < n; i++) s += (x[i] - mean / n) * (x[i] - mean / n);
    *y = s / n;
}

static void var_gradient(int n, const real *x, const real *y, const real *g, real *dx)
{
    real mean;
    (void)y;
    sum_value(n, x, &mean);
    for (int i = 0; i < n; i++) dx[i] = *g * 2 / n * (x[i] - mean / n);
}

static void norm_value(int n, const real *x, real *y)
{
    real s = 0;
    for (int i = 0; i < n; i++) s += x[i] * x[i];
    *y = sqrtl(s);
}

static void norm_gradient(int n, const real *x, const real *y, const real *g, real *dx)
{
    for (int i = 0; i < n; i++) dx[i] = *g * x[i] / *y;
}

static void prod_value(int n, const real *x, real *y)
{
    *y = 1;
    for (int i = 0; i < n; i++) *y *= x[i];
}

static void prod_gradient(int n, const real *x, const real *y, const real *g, real *dx)
{
    for (int i = 0; i < n; i++) dx[i] = *g * *y / x[i];
}

static void amax_value(int n, const real *x, real *y)
{
    *y = x[0];
    for (int i = 1; i < n; i++) *y = fmaxl(*y, x[i]);
}

static void amax_gradient(int n, const real *x, const real *y, const real *g, real *dx)
{
    for (int i = 0; i < n; i++) dx[i] = x[i] == *y ? *g : 0;
}

static void logsumexp_value(int n, const real *x, real *y)
{
    real s = 0;
    for (int i = 0; i < n; i++) s += expl(x[i]);
    *y = logl(s);
}

static void logsumexp_gradient(int n, const real *x, const real *y, const real *g, real *dx)
{
    for (int i = 0; i < n; i++) dx[i] = *g * expl(x[i] - *y);
}

static void softargmax_value(int n, const real *x, real *y)
{
    real all;
    logsumexp_value(n, x, &all);
    for (int i = 0; i < n; i++) y[i] = expl(x[i] - all);
}

static void softargmax_gradient(int n, const real *x, const real *y, const real *g, real *dx)
{
    real s = 0;
    (void)x;
    for (int i = 0; i < n; i++) s += g[i] * y[i];
    for (int i = 0; i < n; i++) dx[i] = y[i] * (g[i] - s);
}

static void log_softmax_value(int n, const real *x, real *y)
{
    real all;
    logsumexp_value(n, x, &all);
    for (int i = 0; i < n; i++) y[i] = x[i] - all;
}

static void log_softmax_gradient(int n, const real *x, const real *y, const real *g, real *dx)
{
    real s = 0;
    (void)x;
    for (int i = 0; i < n; i++) s += g[i];
    for (int i = 0; i < n; i++) dx[i] = g[i] - expl(y[i]) * s;
}

static void cumsum_value(int n, const real *x, real *y)
{
    real s = 0;
    for (int i = 0; i < n; i++) y[i] = s += x[i];
}

static void cumsum_gradient(int n, const real *x, const real *y, const real *g, real *dx)
{
    real s = 0;
    (void)x, (void)y;
    for (int i = n - 1; i >= 0; i--) dx[i] = s += g[i];
}

static void cumprod_value(int n, const real *x, real *y)
{
    real s = 1;
    for (int i = 0; i < n; i++) y[i] = s *= x[i];
}

static void cumprod_gradient(int n, const real *x, const real *y, const real *g, real *dx)
{
    real s = 0;
    for (int i = n - 1; i >= 0; i--) dx[i] = (s += g[i] * y[i]) / x[i];
}

static const row_op row_ops[] = {
    { "sum", "", false, -1, 1, sum_value, sum_gradient },
    { "var", ", correction=0", false, -1, 1, var_value, var_gradient },
    { "norm", "", false, -1, 1, norm_value, norm_gradient },
    { "prod", "", false, 0.99L, 1.01L, prod_value, prod_gradient },
    { "amax", "", false, -1, 1, amax_value, amax_gradient },
    { "logsumexp", "", false, -2, 2, logsumexp_value, logsumexp_gradient },
    { "softargmax", "", true, -2, 2, softargmax_value, softargmax_gradient },
    { "log_softmax", "", true, -2, 2, log_softmax_value, log_softmax_gradient },
    { "cumsum", "", true, -1, 1, cumsum_value, cumsum_gradient },
    { "cumprod", "", true, 0.99L, 1.01L, cumprod_value, cumprod_gradient },
};

/* ---- one case -------------------------------------------------------------------------------- */

static double x[MOST_ELEMENTS], g[MOST_ELEMENTS], got[MOST_ELEMENTS], slopes[MOST_ELEMENTS];

static double drawn(real lo, real hi)
{
    static uint64_t state = 20261121;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(float)(lo + (hi - lo) * (real)(state >> 40) / 0x1p24L); /* as f32 holds it */
}

/* Whether n numbers are those of want, to a bound in relation to the largest of them and 1. */
static void expect_row(const char *what, int n, const double *found, int step, const real *want,
                       real bound)
{
    real most = 1;
    for (int i = 0; i < n; i++) most = fmaxl(most, fabsl(want[i]));
    for (int i = 0; i < n; i++) {
        if (fabsl((real)found[i * step] - want[i]) <= bound * most) continue;
        cr_expect(false, "%s, element %d: %.17g, expected %.17Lg", what, i, found[i * step],
                  want[i]);
        return;
    }
}

/* Rows are the lines of an array (rows, n), or its columns, then (n, rows). Row `ill` is infinite, with gradient 0. */
static void check(const row_op *op, tg_type type, int rows, int n, bool columns, int ill)
{
    static real xr[MOST_ELEMENTS], yr[MOST_ELEMENTS], gr[MOST_ELEMENTS], dr[MOST_ELEMENTS];
    char what[128], attributes[64];
    snprintf(what, sizeof what, "%s, %s, %d %s of %d", op->name, type == TG_F32 ? "f32" : "f64",
             rows, columns ? "columns" : "rows", n);
    snprintf(attributes, sizeof attributes, "axis=%d%s", columns ? 0 : 1, op->attributes);
    const int first = columns ? 1 : n, next = columns ? rows : 1;
    const int y_first = op->kept ? first : 1, y_next = op->kept ? next : 0,
              outputs = op->kept ? n : 1;
    for (int i = 0; i < rows * n; i++) x[i] = drawn(op->lo, op->hi);
    for (int i = 0; i < rows * outputs; i++) g[i] = drawn(0.5L, 1);
    for (int i = 0; ill >= 0 && i < n; i++) x[ill * first + i * next] = (double)INFINITY;
    for (int i = 0; ill >= 0 && i < outputs; i++) g[ill * y_first + i * y_next] = 0;

    tg_tape *const t = tg_tape_new(&(const tg_tape_options){ .type = type });
    const int64_t shape[] = { columns ? n : rows, columns ? rows : n };
    const tg_value leaf = leaf_of(t, x, 2, shape), y = tg_apply(t, op->name, &leaf, 1, attributes);
    const bool done = tg_backward_with(y, &(const tg_backward_options){ .cotangent = g });
    cr_assert(done && tg_read(y, got, (size_t)(rows * outputs)) &&
                  tg_grad_read(leaf, slopes, (size_t)(rows * n)),
              "%s", what);
    const real bound = 64 * epsilon_of(type);
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < n; i++) xr[i] = x[r * first + i * next];
        for (int i = 0; i < outputs; i++) gr[i] = g[r * y_first + i * y_next];
        op->value(n, xr, yr);
        op->gradient(n, xr, yr, gr, dr);
        if (r != ill) {
            expect_row(what, outputs, got + r * y_first, y_next, yr, bound);
            expect_row(what, n, slopes + r * first, next, dr, bound * (real)(op->kept ? n : 1));
        } else if (!op->kept) {
            for (int i = 0; i < n; i++)
                cr_expect(slopes[r * first + i * next] == 0, "%s: the gradient of an infinite row",
                          what);
        }
    }
    tg_tape_free(t);
}

/* ---- sweeps ---------------------------------------------------------------------------------- */

static const int lengths[] = { 1, 2, 7, 8, 9, 10, 15, 16, 17, 31, 33, 64, 100, 257, 300, 1030 };
static const int counts[] = { 1, 2, 7, 9, 16, 17, 33, 300 };

ParameterizedTestParameters(rows, are_as_those_of_plain_loops)
{
    return every_level();
}

ParameterizedTest(int *level, rows, are_as_those_of_plain_loops)
{
    choose(*level);
    for (int o = 0; o < COUNT(row_ops); o++)
        for (int i = 0; i < COUNT(lengths); i++)
            for (int j = 0; j < COUNT(counts); j++)
                for (int form = 0; form < 4 && lengths[i] * counts[j] <= MOST_ELEMENTS; form++) {
                    const int ill = form & 2 && counts[j] > 1 ? counts[j] / 2 : -1;
                    check(&row_ops[o], j % 2 ? TG_F32 : TG_F64, counts[j], lengths[i], form & 1,
                          ill);
                    check(&row_ops[o], j % 2 ? TG_F64 : TG_F32, counts[j], lengths[i], form & 1,
                          -1);
                }
}

/* ---- losses of two operands ------------------------------------------------------------------ */

/* Of the elements of one vector: x[i] against x[i + apart]; 0: each against itself. */
static void check_overlap(const char *loss, int apart)
{
    enum { LENGTH = 37 };
    double v[LENGTH + 8], want[LENGTH + 8] = { 0 }, slope[LENGTH + 8];
    for (int i = 0; i < LENGTH + apart; i++) v[i] = drawn(-1, 1);
    for (int i = 0; i < LENGTH; i++) {
        const double e = v[i] - v[i + apart],
                     de = strcmp(loss, "l1") ? 2 * e : (double)((e > 0) - (e < 0));
        want[i] += de / LENGTH;
        want[i + apart] -= de / LENGTH;
    }
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value all = leaf_of(t, v, 1, (const int64_t[]){ LENGTH + apart });
    char first[32], second[32];
    snprintf(first, sizeof first, "axis=0, stop=%d", LENGTH);
    snprintf(second, sizeof second, "axis=0, start=%d", apart);
    const tg_value parts[] = { tg_apply(t, "slice", &all, 1, first),
                               tg_apply(t, "slice", &all, 1, second) };
    cr_assert(tg_backward(tg_apply(t, loss, parts, 2, "")) &&
              tg_grad_read(all, slope, (size_t)(LENGTH + apart)));
    for (int i = 0; i < LENGTH + apart; i++)
        cr_expect(fabs(slope[i] - want[i]) <= 8 * DBL_EPSILON,
                  "%s, %d apart, element %d: %g, expected %g", loss, apart, i, slope[i], want[i]);
    tg_tape_free(t);
}

Test(rows, losses_of_views_that_overlap_add_both_gradients)
{
    static const int apart[] = { 0, 1, 3, 8 };
    for (int i = 0; i < COUNT(apart); i++) {
        check_overlap("mse", apart[i]);
        check_overlap("l1", apart[i]);
    }
}
