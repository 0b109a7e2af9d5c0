/* The values and gradients of normalizations and attention: examples with results written out,
   sweeps over shapes against plain loops in long double, and what they say to mistakes. */
#include "values.h"
#include "values_elsewhere.h"

#define MOST 270000 /* elements of any tensor here */

TestSuite(nets);

/* ---- examples -------------------------------------------------------------------------------- */

/* Gradients, where they are given, are those for incoming gradients 1, 2, 3, ... */
typedef struct example {
    const char *op;
    tensor x[3];
    const char *attributes;
    tensor y, dx[3];
} example;

/* clang-format off */
#define T0(x) { 1, { 0 }, { x } }
#define T1(a, ...) { 2, { a }, { __VA_ARGS__ } }
#define T2(a, b, ...) { 3, { a, b }, { __VA_ARGS__ } }
#define T3(a, b, c, ...) { 4, { a, b, c }, { __VA_ARGS__ } }

static const example examples[] = {
    { "layer_norm", { T1(4, 1, 1, 3, 3), T0(1), T0(0) }, "epsilon=0", .y = T1(4, -1, -1, 1, 1),
      .dx = { T1(4, -0.5, 0.5, -0.5, 0.5), T0(4), T0(10) } },
    { "layer_norm", { T1(4, 1, 1, 3, 3), T1(4, 1, 2, 3, 4), T1(4, 10, 20, 30, 40) }, "epsilon=3",
      .y = T1(4, 9.5, 19, 31.5, 42),
      .dx = { T1(4, -2.625, -1.125, 0.125, 3.625), T1(4, -0.5, -1, 1.5, 2), T1(4, 1, 2, 3, 4) } },
    { "layer_norm", { T2(2, 2, 1, 3, 5, 5), T1(2, 1, 2), T1(2, 0, 7) }, "epsilon=0.25",
      .y = T2(2, 2, -0.89442719099991588, 8.7888543819998318, 0, 7),
      .dx = { T2(2, 2, -0.26832815729997476, 0.26832815729997476, -5, 5), T1(2, -0.89442719099991588,
              1.7888543819998318), T1(2, 4, 6) } },
    { "layer_norm", { T3(1, 2, 2, 1, 1, 3, 3), T2(2, 2, 1, 2, 3, 4), T0(0.5) }, "epsilon=0",
      .y = T3(1, 2, 2, -0.5, -1.5, 3.5, 4.5) },
    { "layer_norm", { T1(3, 0.1, 0.1, 0.1), T0(3), T0(0.5) }, .y = T1(3, 0.5, 0.5, 0.5) },
    { "rms_norm", { T1(2, 1, 7), T1(2, 2, 3) }, "epsilon=0", .y = T1(2, 0.4, 4.2),
      .dx = { T1(2, 0.224, -0.032), T1(2, 0.2, 2.8) } },
    { "rms_norm", { T2(2, 2, 1, 7, 0, 0), T0(5) }, "epsilon=0.0000001", .y = T2(2, 2,
      0.99999999800000001, 6.999999986, 0, 0) },
    { "group_norm", { T2(1, 4, 1, 3, 10, 30), T1(4, 1, 2, 3, 4), T0(1) }, "groups=2, epsilon=0",
      .y = T2(1, 4, 0, 3, -2, 5), .dx = { T2(1, 4, 0, 0, 0, 0), T1(4, -1, 2, -3, 4), T0(10) } },
    { "group_norm", { T3(1, 2, 2, 1, 1, 3, 3), T1(2, 1, 2), T1(2, 0, 10) }, "groups=1, epsilon=0",
      .y = T3(1, 2, 2, -1, -1, 12, 12), .dx = { T3(1, 2, 2, -0.5, 0.5, -1, 1),
      T1(2, -3, 7), T1(2, 3, 7) } },
    { "batch_norm", { T2(2, 2, 1, 10, 3, 30), T1(2, 1, 2), T1(2, 0, 5) }, "epsilon=0",
      .y = T2(2, 2, -1, 3, 1, 7), .dx = { T2(2, 2, 0, 0, 0, 0), T1(2, 2, 2), T1(2, 4, 6) } },
    { "batch_norm", { T3(2, 1, 2, 1, 1, 3, 3), T0(2), T0(0) }, "epsilon=0",
      .y = T3(2, 1, 2, -2, -2, 2, 2), .dx = { T3(2, 1, 2, -1, 1, -1, 1), T0(4), T0(10) } },
    { "batch_norm", { T2(1, 2, 7, 8), T0(2), T1(2, 3, 4) }, .y = T2(1, 2, 3, 4) },
    { "attention", { T2(1, 1, 0), T2(2, 1, 1, 5), T2(2, 1, 2, 4) }, .y = T2(1, 1, 3),
      .dx = { T2(1, 1, 2), T2(2, 1, 0, 0), T2(2, 1, 0.5, 0.5) } },
    { "attention", { T2(2, 1, 0, 0), T2(2, 1, 1, 5), T2(2, 2, 2, 4, 6, 8) }, "causal=true",
      .y = T2(2, 2, 2, 4, 4, 6), .dx = { T2(2, 1, 0, 28), T2(2, 1, 0, 0), T2(2, 2, 2.5, 4, 1.5, 2) } },
    { "attention", { T2(1, 1, 1), T2(2, 1, 0, 1), T2(2, 1, 0, 1) }, "scale=-1",
      .y = T2(1, 1, 0.26894142136999512) },
    { "attention", { T2(1, 4, 2, 0, 0, 0), T2(2, 4, 0, 0, 0, 0, 1, 0, 0, 0), T2(2, 1, 0, 1) },
      .y = T2(1, 1, 0.73105857863000488) },
    { "attention", { T2(1, 1, 1), T2(2, 1, -INFINITY, -INFINITY), T2(2, 1, 0, 1) },
      .y = T2(1, 1, NAN) },
    { "attention", { T2(1, 1, 1), T2(0, 1, 0), T2(0, 2, 0) }, .y = T2(1, 2, NAN, NAN) },
    { "attention", { T3(2, 1, 1, 0, 0), T2(1, 1, 3), T3(2, 1, 1, 5, 6) }, .y = T3(2, 1, 1, 5, 6),
      .dx = { T3(2, 1, 1, 0, 0), T2(1, 1, 0), T3(2, 1, 1, 1, 2) } },
};
/* clang-format on */

Test(nets, every_operation_of_the_family_has_an_example)
{
    for (int i = 0; i < COUNT(nets_operations); i++) {
        tg_op_info info;
        int row = 0;
        while (row < COUNT(examples) && strcmp(examples[row].op, nets_operations[i])) row++;
        cr_expect(row < COUNT(examples) && tg_op_find(nets_operations[i], &info),
                  "%s has no example", nets_operations[i]);
    }
}

/* Whether v, or its gradient, has the shape of want and its elements, to a few roundings of the
   largest. */
static bool equals(tg_value v, const tensor *want, bool gradient)
{
    double got[24];
    const int64_t n = size_of(want);
    if (!read_as(v, want, gradient, got)) return false;
    double largest = 1;
    for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(want->x[i]));
    for (int64_t i = 0; i < n; i++) {
        const bool near = fabsl((real)got[i] - (real)want->x[i]) <=
                          4 * epsilon_of(tg_tape_type(v.tape)) * (real)largest;
        if (!near && !(isnan(got[i]) && isnan(want->x[i]))) return false;
    }
    return true;
}

static void check_example(const example *e, tg_type type)
{
    tg_tape *const t = tg_tape_new(&(const tg_tape_options){ .type = type });
    const char *const attributes = e->attributes ? e->attributes : "";
    tg_value x[3];
    int n = 0;
    for (; n < COUNT(e->x) && e->x[n].rank1; n++)
        x[n] = tg_leaf_new(t, TG_PARAMETER, TG_F64, e->x[n].x, e->x[n].rank1 - 1, e->x[n].dim,
                           TG_HERE);
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

ParameterizedTestParameters(nets, every_example_has_its_values_and_gradients)
{
    return every_level();
}

ParameterizedTest(const int *level, nets, every_example_has_its_values_and_gradients)
{
    choose(*level);
    for (int i = 0; i < COUNT(examples); i++) {
        check_example(&examples[i], TG_F64);
        check_example(&examples[i], TG_F32);
    }
}

/* ---- what sweeps share ----------------------------------------------------------------------- */

/* Numbers of lo ... hi that both types can hold. */
static double *draw(double *x, int64_t n, double lo, double hi)
{
    static unsigned seed = 20240917u;
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        x[i] = (float)(lo + (hi - lo) * ((double)(seed >> 8) / (1 << 24)));
    }
    return x;
}

/* Fails where an element of v, or of its gradient, is further from want than bound ulp of scale. */
static void expect_near(tg_value v, bool gradient, const real *want, const real *scale, real bound,
                        const char *name)
{
    static double got[MOST];
    const int64_t n = tg_size(v);
    cr_assert(n >= 0 && n <= MOST && (gradient ? tg_grad_read : tg_read)(v, got, (size_t)n), "%s",
              name);
    for (int64_t i = 0; i < n; i++) {
        const real epsilon = epsilon_of(tg_tape_type(v.tape));
        if (fabsl(got[i] - want[i]) <= bound * epsilon * scale[i]) continue;
        cr_expect(false, "%s%s, element %lld of %lld: %.17g, not %.17Lg: %.1Lf ulp", name,
                  tg_tape_type(v.tape) == TG_F32 ? " in f32" : "", (long long)i, (long long)n,
                  got[i], want[i], fabsl(got[i] - want[i]) / epsilon / scale[i]);
        return;
    }
}

/* ---- normalizations -------------------------------------------------------------------------- */

typedef enum kind { LAYER, RMS, GROUP, BATCH } kind;

/* x (a, b, c): layer and rms over the last axis, or the last two if axes is 2. */
typedef struct norm_case {
    kind kind;
    int64_t a, b, c;
    int n; /* axes or groups */
} norm_case;

static int64_t elements_in(const norm_case *k)
{
    return k->a * k->b * k->c;
}

/* The set of element i, and the gamma that it has. */
static int64_t set_of(const norm_case *k, int64_t i)
{
    const int64_t channel = i / k->c % k->b, sample = i / k->c / k->b;
    switch (k->kind) {
    case GROUP: return sample * k->n + channel / (k->b / k->n);
    case BATCH: return channel;
    default: return k->n == 1 ? i / k->c : sample;
    }
}

static int64_t gamma_of(const norm_case *k, int64_t i)
{
    if (k->kind == GROUP || k->kind == BATCH) return i / k->c % k->b;
    return k->n == 1 ? i % k->c : i % (k->b * k->c);
}

/* What plain loops find, and what a few ulp are of. */
typedef struct results {
    real y[MOST], dx[MOST], dgamma[MOST], dbeta[MOST];
    real y_scale[MOST], dx_scale[MOST], dgamma_scale[MOST], dbeta_scale[MOST];
} results;

enum { MOST_SETS = 16384 };

typedef struct statistics {
    real n, mean, variance, h, hz, h_most, z_most;
} statistics;

static void plain_norm(const norm_case *k, const double *x, const double *gamma, const double *beta,
                       const double *g, results *r)
{
    static statistics s[MOST_SETS];
    const int64_t n = elements_in(k);
    const bool centered = k->kind != RMS;
    memset(s, 0, sizeof s);
    memset(r, 0, sizeof *r);
    for (int64_t i = 0; i < n; i++) s[set_of(k, i)].n++, s[set_of(k, i)].mean += x[i];
    for (int64_t i = 0; i < MOST_SETS; i++) 
        s[i].mean = centered && s[i].n > 0 ? s[i].mean / s[i].n : 0;
    for (int64_t i = 0; i < n; i++) {
        statistics *const o = &s[set_of(k, i)];
        o->variance += (x[i] - o->mean) * (x[i] - o->mean) / o->n;
    }
    for (int64_t i = 0; i < n; i++) {
        statistics *const o = &s[set_of(k, i)];
        const int64_t p = gamma_of(k, i);
        const real z = (x[i] - o->mean) / sqrtl(o->variance + 1e-5L), h = (real)g[i] * gamma[p];
        r->y[i] = z * gamma[p] + (centered ? beta[p] : 0);
        r->y_scale[i] = fmaxl(fabsl(z), 1) * fabs(gamma[p]) + (centered ? fabs(beta[p]) : 0);
        r->dgamma[p] += g[i] * z;
        r->dgamma_scale[p] += fabsl(g[i] * fmaxl(fabsl(z), 1));
        r->dbeta[p] += g[i];
        r->dbeta_scale[p] += fabs(g[i]);
        o->h += centered ? h / o->n : 0;
        o->hz += h * z / o->n;
        o->h_most = fmaxl(o->h_most, fabsl(h));
        o->z_most = fmaxl(o->z_most, fabsl(z));
    }
    for (int64_t i = 0; i < n; i++) {
        const statistics *const o = &s[set_of(k, i)];
        const real scale = 1 / sqrtl(o->variance + 1e-5L), z = (x[i] - o->mean) * scale;
        r->dx[i] = scale * ((real)g[i] * gamma[gamma_of(k, i)] - o->h - z * o->hz);
        r->dx_scale[i] = scale * o->h_most * (1 + o->z_most);
    }
}

static void check_norm(const norm_case *k, double shift, tg_type type)
{
    static const char *const ops[] = { "layer_norm", "rms_norm", "group_norm", "batch_norm" };
    static double x[MOST], gamma[MOST], beta[MOST], g[MOST];
    static results want;
    const int64_t n = elements_in(k), channels = k->b;
    const bool layer = k->kind == LAYER || k->kind == RMS;
    const int64_t parameters = !layer ? channels : k->n == 1 ? k->c : k->b * k->c;
    char attributes[32] = "", name[128];
    if (k->kind == GROUP) snprintf(attributes, sizeof attributes, "groups=%d", k->n);
    snprintf(name, sizeof name, "%s(%s) of (%lld, %lld, %lld), mean %g", ops[k->kind], attributes,
             (long long)k->a, (long long)k->b, (long long)k->c, shift);
    draw(x, n, shift - 2, shift + 2), draw(gamma, parameters, 0.5, 2);
    draw(beta, parameters, -1, 1), draw(g, n, -1, 1);
    plain_norm(k, x, gamma, beta, g, &want);

    tg_tape *const t = tg_tape_new(&(const tg_tape_options){ .type = type });
    const bool matrix = layer && k->n == 2;
    const int64_t shape[] = { matrix ? k->b : parameters, k->c };
    const tg_value v[] = { tg_param(t, x, k->a, k->b, k->c),
                           tg_leaf_new(t, TG_PARAMETER, TG_F64, gamma, 1 + matrix, shape, TG_HERE),
                           tg_leaf_new(t, TG_PARAMETER, TG_F64, beta, 1 + matrix, shape, TG_HERE) };
    const tg_value y = tg_apply(t, ops[k->kind], v, k->kind == RMS ? 2 : 3, attributes);
    expect_near(y, false, want.y, want.y_scale, 6, name);
    cr_assert(tg_backward_with(y, &(const tg_backward_options){ .cotangent = g }), "%s", name);
    expect_near(v[0], true, want.dx, want.dx_scale, 8, name);
    expect_near(v[1], true, want.dgamma, want.dgamma_scale, 8, name);
    if (k->kind != RMS) expect_near(v[2], true, want.dbeta, want.dbeta_scale, 4, name);
    tg_tape_free(t);
}

ParameterizedTestParameters(nets, normalizations_of_any_shape_are_those_of_plain_loops)
{
    return every_level();
}

/* Sets of a few elements and of several blocks; short and long runs; more channels than a tile has;
   more rows than a cache holds. A large mean must not cost digits: what is normalized is what f32
   holds. */
ParameterizedTest(const int *level, nets, normalizations_of_any_shape_are_those_of_plain_loops)
{
    static const norm_case cases[] = {
        { LAYER, 3, 4, 5, 1 },      { LAYER, 3, 4, 5, 2 },    { LAYER, 2, 50, 7, 1 },
        { LAYER, 1, 2, 3000, 1 },   { LAYER, 40, 3, 100, 2 }, { RMS, 3, 4, 5, 1 },
        { RMS, 2, 40, 33, 1 },      { RMS, 3, 20, 100, 2 },   { GROUP, 3, 6, 1, 2 },
        { GROUP, 3, 6, 5, 3 },      { GROUP, 20, 4, 7, 1 },   { GROUP, 3, 4, 100, 2 },
        { GROUP, 2, 3, 3000, 1 },   { GROUP, 2, 3, 17, 3 },   { BATCH, 50, 3, 1, 0 },
        { BATCH, 200, 150, 1, 0 },  { BATCH, 40, 30, 5, 0 },  { BATCH, 3, 40, 15, 0 },
        { BATCH, 3, 2, 16, 0 },     { BATCH, 5, 3, 1500, 0 }, { BATCH, 1, 3, 2, 0 },
        { BATCH, 1000, 2, 1, 0 },   { BATCH, 1800, 150, 1, 0 },
    };
    static const double shifts[] = { 0, 1, 1000 };
    choose(*level);
    for (int i = 0; i < COUNT(cases); i++)
        for (int s = 0; s < COUNT(shifts); s++) {
            check_norm(&cases[i], shifts[s], TG_F64);
            check_norm(&cases[i], shifts[s], TG_F32);
        }
}

/* As docs/ops.md says: a batch normalization with given statistics. */
Test(nets, given_statistics_are_an_affine_map)
{
    const double x0[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_param(t, x0, 2, 3, 2), gamma = tg_param(t, x0, 3), beta = tg_param(t, x0, 3);
    const tg_value mean = tg_mean(x, .axes = TG_AXES(0, 2));
    const tg_value variance = tg_var(x, .axes = TG_AXES(0, 2), .correction = 0);
    const tg_value scale = tg_mul(gamma, tg_rsqrt(tg_add(variance, 1e-5)));
    const tg_value shift = tg_sub(beta, tg_mul(mean, scale));
    const tg_value y = tg_fma(x, tg_reshape(scale, 3, 1), tg_reshape(shift, 3, 1));
    double got[12], want[12];
    cr_assert(tg_read(y, got, 12) && tg_read(tg_batch_norm(x, gamma, beta), want, 12));
    for (int i = 0; i < 12; i++) cr_expect(fabs(got[i] - want[i]) < 1e-13);
    tg_tape_free(t);
}

/* ---- attention ------------------------------------------------------------------------------- */

typedef struct attention_case {
    int64_t batch, t, s, d, e;
    bool causal, shared_keys; /* shared: k and v have no batch axis */
} attention_case;

enum { MOST_KEYS = 1024 };

/* One query: its weights p, and what it adds to gradients. Keys behind seen have none. */
static void plain_query(const attention_case *c, int64_t seen, const double *q, const double *k,
                        const double *v, const double *g, real *y, real *dq, real *dk, real *dv)
{
    static real p[MOST_KEYS], dp[MOST_KEYS];
    real sum = 0, mean = 0;
    const real scale = 1 / sqrtl((real)c->d);
    for (int64_t j = 0; j < seen; j++) {
        p[j] = dp[j] = 0;
        for (int64_t i = 0; i < c->d; i++) p[j] += scale * q[i] * k[j * c->d + i];
        sum += p[j] = expl(p[j]);
    }
    for (int64_t j = 0; j < seen; j++) {
        p[j] /= sum;
        for (int64_t i = 0; i < c->e; i++) {
            y[i] += p[j] * v[j * c->e + i];
            dv[j * c->e + i] += p[j] * g[i];
            dp[j] += (real)g[i] * v[j * c->e + i];
        }
        mean += p[j] * dp[j];
    }
    for (int64_t j = 0; j < seen; j++)
        for (int64_t i = 0; i < c->d; i++) {
            const real slope = p[j] * (dp[j] - mean) * scale;
            dq[i] += slope * k[j * c->d + i];
            dk[j * c->d + i] += slope * q[i];
        }
}

static void check_attention(const attention_case *c, tg_type type)
{
    static double q[MOST], k[MOST], v[MOST], g[MOST];
    static real y[MOST], dq[MOST], dk[MOST], dv[MOST], scale[MOST];
    const int64_t keys = c->shared_keys ? 1 : c->batch;
    draw(q, c->batch * c->t * c->d, -1, 1), draw(k, keys * c->s * c->d, -1, 1);
    draw(v, keys * c->s * c->e, -1, 1), draw(g, c->batch * c->t * c->e, -1, 1);
    memset(y, 0, sizeof y), memset(dq, 0, sizeof dq);
    memset(dk, 0, sizeof dk), memset(dv, 0, sizeof dv);
    for (int64_t i = 0; i < c->batch * c->t; i++) {
        const int64_t of = c->shared_keys ? 0 : i / c->t, at = i % c->t + 1;
        plain_query(c, c->causal && at < c->s ? at : c->s, q + i * c->d, k + of * c->s * c->d,
                    v + of * c->s * c->e, g + i * c->e, y + i * c->e, dq + i * c->d,
                    dk + of * c->s * c->d, dv + of * c->s * c->e);
    }
    char name[128];
    snprintf(name, sizeof name, "attention of %lld (%lld, %lld), (%lld, %lld)%s",
             (long long)c->batch, (long long)c->t, (long long)c->d, (long long)c->s,
             (long long)c->e, c->causal ? ", causal" : "");
    tg_tape *const t = tg_tape_new(&(const tg_tape_options){ .type = type });
    const int64_t ks[] = { keys, c->s, c->d }, vs[] = { keys, c->s, c->e };
    const int skip = c->shared_keys;
    const tg_value x[] = {
        tg_param(t, q, c->batch, c->t, c->d),
        tg_leaf_new(t, TG_PARAMETER, TG_F64, k, 3 - skip, ks + skip, TG_HERE),
        tg_leaf_new(t, TG_PARAMETER, TG_F64, v, 3 - skip, vs + skip, TG_HERE),
    };
    const tg_value o = tg_attention(x[0], x[1], x[2], .causal = c->causal);
    for (int64_t i = 0; i < MOST; i++) scale[i] = 1; /* weights sum to 1, values are below 1 */
    expect_near(o, false, y, scale, 8, name);
    cr_assert(tg_backward_with(o, &(const tg_backward_options){ .cotangent = g }), "%s", name);
    for (int64_t i = 0; i < MOST; i++) scale[i] = (real)c->e;
    expect_near(x[0], true, dq, scale, 8, name);
    for (int64_t i = 0; i < MOST; i++) scale[i] = (real)(c->e * c->batch * (1 + c->t / 8));
    expect_near(x[1], true, dk, scale, 8, name);
    expect_near(x[2], true, dv, scale, 8, name);
    tg_tape_free(t);
}

/* With 1000 keys a block has 32 queries: there are several blocks, the last one shorter. */
Test(nets, attention_of_any_shape_is_that_of_plain_loops)
{
    static const attention_case cases[] = {
        { 1, 1, 1, 1, 1, false, false },    { 2, 3, 5, 4, 2, false, false },
        { 2, 5, 5, 4, 3, true, false },     { 3, 7, 4, 2, 3, true, true },
        { 2, 4, 9, 3, 2, true, false },     { 1, 75, 1000, 3, 2, false, false },
        { 2, 75, 1000, 3, 2, true, false }, { 2, 300, 300, 8, 8, true, true },
    };
    for (int i = 0; i < COUNT(cases); i++) {
        check_attention(&cases[i], TG_F64);
        check_attention(&cases[i], TG_F32);
    }
}

/* ---- mistakes -------------------------------------------------------------------------------- */

static void expect_error(tg_tape *t, tg_code code, const char *message)
{
    const tg_error *const error = tg_error_of(t);
    const char *const found = error ? strstr(error->message, message) : NULL;
    cr_expect(found && !strcmp(found, message) && error->code == code, "\"%s\", not \"%s\"",
              error ? error->message : "no error", message);
    tg_error_clear(t);
}
#define FAILS(code, message, call) ((void)(call), expect_error(t, code, message))

Test(nets, mistakes_are_told_with_their_numbers)
{
    tg_set_error_handler(tg_ignore_error, NULL);
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_zeros(t, 2, 6, 3), three = tg_zeros(t, 3), four = tg_zeros(t, 4);
    FAILS(TG_ERROR_SHAPE, "layer_norm: gamma (4) is not as the last 1 axes of x (2, 6, 3)",
          tg_layer_norm(x, four, 0));
    FAILS(TG_ERROR_SHAPE, "layer_norm: beta (3) is not as the last 2 axes of x (2, 6, 3)",
          tg_layer_norm(x, tg_zeros(t, 6, 3), three));
    FAILS(TG_ERROR_SHAPE, "rms_norm: gamma (1, 2, 6, 3) is not as the last 4 axes of x (2, 6, 3)",
          tg_rms_norm(x, tg_zeros(t, 1, 2, 6, 3)));
    FAILS(TG_ERROR_SHAPE, "layer_norm: a scalar has no axis to normalize over",
          tg_layer_norm(tg_scalar(t, 1), 1, 0));
    FAILS(TG_ERROR_ARGUMENT, "layer_norm: epsilon is -1: it must not be negative",
          tg_layer_norm(x, 1, 0, .epsilon = -1));
    FAILS(TG_ERROR_ARGUMENT, "batch_norm: epsilon is nan: it must not be negative",
          tg_batch_norm(x, 1, 0, .epsilon = (double)NAN));
    FAILS(TG_ERROR_SHAPE, "batch_norm: gamma (4) and x (2, 6, 3) do not agree: x has 6 channels",
          tg_batch_norm(x, four, 0));
    FAILS(TG_ERROR_SHAPE, "batch_norm: takes x (samples, channels, ...), not shape (3)",
          tg_batch_norm(three, 1, 0));
    FAILS(TG_ERROR_SHAPE, "group_norm: beta (6, 1) and x (2, 6, 3) do not agree: x has 6 channels",
          tg_group_norm(x, 1, tg_zeros(t, 6, 1), .groups = 2));
    FAILS(TG_ERROR_ARGUMENT, "group_norm: 6 channels cannot be made 4 groups of one size",
          tg_group_norm(x, 1, 0, .groups = 4));
    FAILS(TG_ERROR_ARGUMENT, "group_norm: 6 channels cannot be made 0 groups of one size",
          tg_group_norm(x, 1, 0));
    FAILS(TG_ERROR_SHAPE,
          "attention: takes q (..., t, d), k (..., s, d) and v (..., s, e), not shapes (2, 6, 3), "
          "(2, 6, 3) and (3)",
          tg_attention(x, x, three));
    FAILS(TG_ERROR_SHAPE,
          "attention: takes q (..., t, d), k (..., s, d) and v (..., s, e), not shapes (2, 6, 3), "
          "(5, 4) and (5, 1)",
          tg_attention(x, tg_zeros(t, 5, 4), tg_zeros(t, 5, 1)));
    FAILS(TG_ERROR_SHAPE, "attention: batch axes (2), (3) and (2) do not broadcast",
          tg_attention(x, tg_zeros(t, 3, 6, 3), x));
    FAILS(TG_ERROR_ARGUMENT, "attention: scale is inf: it must be finite",
          tg_attention(x, x, x, .scale = (double)INFINITY));
    FAILS(TG_ERROR_ARGUMENT, "huber: delta is 0: it must be above 0 and finite",
          tg_huber(x, x, .delta = 0));
    FAILS(TG_ERROR_ARGUMENT, "smooth_l1: beta is -0.5: it must be finite and not below 0",
          tg_smooth_l1(x, x, .beta = -0.5));
    const tg_value label = tg_index(t, ((const int[]){ 0, 1, 7 }), 3), scores = tg_zeros(t, 3, 4);
    FAILS(TG_ERROR_INDEX, "nll: label 7 at position 2 is none of the 4 classes",
          tg_nll(scores, label, .ignore_index = 1));
    FAILS(TG_ERROR_ARGUMENT, "cross_entropy: label_smoothing is 1.5: it must be in 0 ... 1",
          tg_cross_entropy(scores, label, .label_smoothing = 1.5));
    FAILS(TG_ERROR_SHAPE,
          "nll_weighted: scores (3, 4) and weights (3) do not agree: a weight is wanted for each "
          "class",
          tg_nll_weighted(scores, label, three));
    FAILS(TG_ERROR_SHAPE,
          "cross_entropy_soft: scores (3, 4) and probabilities (4) do not agree: both are (..., c)",
          tg_cross_entropy_soft(scores, four));
    FAILS(TG_ERROR_ARGUMENT, "hinge: 7 is no reduction", tg_hinge(x, x, .reduction = 7));
    tg_tape_free(t);
}
