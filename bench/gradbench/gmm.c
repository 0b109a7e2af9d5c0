/* The logarithm of a Gaussian mixture's posterior: K components in D dimensions, N points x,

     -N D/2 log 2 pi - N lse(alpha) + sum_i lse_k(alpha_k + sum_j q_kj - 1/2 |Q_k (x_i - mu_k)|^2)
     + K C - sum_k (1/2 gamma^2 |Q_k|^2 - m sum_j q_kj)

   with gamma = 1, m = 0. Q_k is lower triangular, with exp(q_k) on its diagonal and l_k below it, column
   by column. The gradient is by alpha, mu, q and l. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gradbench.h"
#include "vector.h"
#include <tapegrad/short.h>

enum { N = 1000, BLOCK = 8, BLOCKS = (N + BLOCK * LANES - 1) / (BLOCK * LANES), MOST = 32 };

typedef struct state {
    given in;
    int64_t D, K, L; /* L = D (D - 1) / 2 */
    double *x, *alpha, *mu, *q, *l;
    double constant;       /* what depends on no parameter */
    lanes *points, *inner; /* (D, BLOCKS, BLOCK), (K, BLOCKS, BLOCK) */
    int64_t *place;        /* (D, D): where an element of Q_k is in exp(q_k), l_k, 0 */
    tg_tape *tape;
    tg_mark mark;
    Value leaf[4], data, index;
    compiled program;
} state;

static const double pi = 3.14159265358979323846;

/* ---- with the library ------------------------------------------------------------------------ */

/* Q_k for all components: (K, D, D). */
static Value triangles(const state *s)
{
    const Value zero = tg_zeros(s->tape, s->K, 1);
    const Value entries = cat(TG_VALUES(exp(s->leaf[2]), s->leaf[3], zero), .axis = 1);
    return reshape(index_select(entries, s->index, .axis = 1), s->K, s->D, s->D);
}

/* What belongs to a component, whatever the point. */
static Value weights(const state *s)
{
    return add(s->leaf[0], sum(s->leaf[2], .axis = 1));
}

/* What belongs to no point. */
static Value rest_of(const state *s)
{
    const Value prior = mul(0.5, add(sum(square(exp(s->leaf[2]))), sum(square(s->leaf[3]))));
    return sub(sub(s->constant, mul(N, logsumexp(s->leaf[0]))), prior);
}

/* All components and points at once. */
static Value model(const state *s)
{
    const Value apart = sub(s->data, unsqueeze(s->leaf[1], .axis = 1)); /* (K, N, D) */
    const Value squares = sum(square(matmul(apart, transpose(triangles(s)))), .axis = 2);
    const Value inner = sub(unsqueeze(weights(s), .axis = 1), mul(0.5, squares));
    return add(sum(logsumexp(inner, .axis = 0)), rest_of(s));
}

static void eager(void *state_, double *result)
{
    const state *const s = state_;
    const Value y = model(s);
    must(tg_backward(y), "gmm");
    *result++ = tg_item(y);
    for (int i = 0; i < 4; i++) {
        const size_t n = (size_t)tg_size(s->leaf[i]);
        must(tg_grad_read(s->leaf[i], result, n), "gmm");
        result += n;
    }
    tg_release(s->mark);
}

/* One point, and one Nth of what belongs to all. Q_k (x - mu_k) for all k is one product. */
static Value model_of_point(const state *s, Value x)
{
    const Value Q = triangles(s), centers = matmul(Q, unsqueeze(s->leaf[1], .axis = 2));
    const Value y = tg_linear(x, reshape(Q, s->K * s->D, s->D), neg(reshape(centers, s->K * s->D)));
    const Value squares = sum(square(reshape(y, s->K, s->D)), .axis = 1);
    return add(logsumexp(sub(weights(s), mul(0.5, squares))), mul(1.0 / N, rest_of(s)));
}

static void program(void *state_, double *result)
{
    const state *const s = state_;
    double *const dmu = result + 1 + s->K, *const dq = dmu + s->K * s->D, *const dl = dq + s->K * s->D;
    run_compiled(&s->program, N, (const void *[]){ s->x, s->alpha, s->mu, s->q, s->l },
                 (void *[]){ result, result + 1, dmu, dq, dl });
}

/* ---- by hand: plain ---------------------------------------------------------------------------- */

/* log sum exp, and its gradient. */
static double soft(int64_t n, const double *x, double *dx)
{
    double largest = x[0], total = 0;
    for (int64_t k = 1; k < n; k++) largest = fmax(largest, x[k]);
    for (int64_t k = 0; k < n; k++) total += dx[k] = exp(x[k] - largest);
    for (int64_t k = 0; k < n; k++) dx[k] /= total;
    return largest + log(total);
}

/* y = Q_k (x - mu_k); z = x - mu_k. */
static void transform(const state *s, int64_t k, const double *x, double *z, double *y)
{
    const double *l = s->l + k * s->L;
    for (int64_t j = 0; j < s->D; j++) {
        z[j] = x[j] - s->mu[k * s->D + j];
        y[j] = exp(s->q[k * s->D + j]) * z[j];
    }
    for (int64_t j = 0; j < s->D; j++)
        for (int64_t i = j + 1; i < s->D; i++) y[i] += *l++ * z[j];
}

/* Adds the gradient for one point whose weight in component k is w. */
static void transform_back(const state *s, int64_t k, double w, const double *z, const double *y,
                           double *dmu, double *dq, double *dl)
{
    const double *l = s->l + k * s->L;
    dmu += k * s->D, dq += k * s->D, dl += k * s->L;
    for (int64_t j = 0; j < s->D; j++) {
        const double e = exp(s->q[k * s->D + j]);
        double dz = -w * y[j] * e;
        dq[j] += w - w * y[j] * z[j] * e;
        for (int64_t i = j + 1; i < s->D; i++) {
            *dl++ -= w * y[i] * z[j];
            dz -= w * y[i] * *l++;
        }
        dmu[j] -= dz;
    }
}

/* What belongs to no point: value, and its gradient. */
static double rest(const state *s, double *dalpha, double *dq, double *dl)
{
    double weight[64], value = s->constant - N * soft(s->K, s->alpha, weight);
    for (int64_t i = 0; i < s->K * s->D; i++) value -= 0.5 * exp(2 * s->q[i]);
    for (int64_t i = 0; i < s->K * s->L; i++) value -= 0.5 * s->l[i] * s->l[i];
    if (!dalpha) return value;
    for (int64_t k = 0; k < s->K; k++) dalpha[k] = -N * weight[k];
    for (int64_t i = 0; i < s->K * s->D; i++) dq[i] = -exp(2 * s->q[i]);
    for (int64_t i = 0; i < s->K * s->L; i++) dl[i] = -s->l[i];
    return value;
}

static void plain_of(const state *s, double *result, bool gradient)
{
    double *const dalpha = result + 1, *const dmu = dalpha + s->K;
    double *const dq = dmu + s->K * s->D, *const dl = dq + s->K * s->D;
    double z[64][MOST], y[64][MOST], inner[64] = { 0 }, weight[64];
    double value = rest(s, gradient ? dalpha : NULL, dq, dl);
    if (gradient) memset(dmu, 0, (size_t)(s->K * s->D) * sizeof *dmu);
    for (int64_t n = 0; n < N; n++) {
        for (int64_t k = 0; k < s->K; k++) {
            transform(s, k, s->x + n * s->D, z[k], y[k]);
            inner[k] = s->alpha[k];
            for (int64_t j = 0; j < s->D; j++) inner[k] += s->q[k * s->D + j] - 0.5 * y[k][j] * y[k][j];
        }
        value += soft(s->K, inner, weight);
        for (int64_t k = 0; gradient && k < s->K; k++) {
            dalpha[k] += weight[k];
            transform_back(s, k, weight[k], z[k], y[k], dmu, dq, dl);
        }
    }
    result[0] = value;
}

static void primal(void *s, double *result)
{
    plain_of(s, result, false);
}

static void plain(void *s, double *result)
{
    plain_of(s, result, true);
}

/* ---- by hand: expert --------------------------------------------------------------------------- */

/* With y = Q z and w the weights, the gradient by Q is -Q sum w z z', that by mu Q'Q sum w z: going
   back takes the weighted sums of z z' and z only, which are as much work as going forward. Points lie
   side by side; a component at a time. */

static void full_matrix(const state *s, int64_t k, double Q[MOST][MOST])
{
    const double *l = s->l + k * s->L;
    for (int64_t j = 0; j < s->D; j++) {
        Q[j][j] = exp(s->q[k * s->D + j]);
        for (int64_t i = j + 1; i < s->D; i++) Q[i][j] = *l++, Q[j][i] = 0;
    }
}

static void apart_from(const state *s, int64_t k, int64_t block, lanes z[MOST][BLOCK])
{
    for (int64_t j = 0; j < s->D; j++)
        for (int i = 0; i < BLOCK; i++)
            z[j][i] = s->points[(j * BLOCKS + block) * BLOCK + i] - s->mu[k * s->D + j];
}

/* |Q z|^2 by two rows at a time: D is even. */
static void squares_of(int64_t D, double Q[MOST][MOST], lanes z[MOST][BLOCK], lanes total[BLOCK])
{
    for (int i = 0; i < BLOCK; i++) total[i] = lanes_of(0);
    for (int64_t a = 0; a < D; a += 2) {
        lanes y0[BLOCK], y1[BLOCK];
        for (int i = 0; i < BLOCK; i++) y0[i] = y1[i] = lanes_of(0);
        for (int64_t j = 0; j <= a + 1; j++)
            for (int i = 0; i < BLOCK; i++) {
                y0[i] += Q[a][j] * z[j][i];
                y1[i] += Q[a + 1][j] * z[j][i];
            }
        for (int i = 0; i < BLOCK; i++) total[i] += y0[i] * y0[i] + y1[i] * y1[i];
    }
}

/* Weights of all components, in place of their logarithms; returns the sum over the points. */
static double soft_lanes(const state *s)
{
    double value = 0;
    for (int64_t i = 0; i < BLOCKS * BLOCK; i++) {
        double *const inner = (double *)(s->inner + i), most[LANES], total[LANES] = { 0 };
        const int64_t row = BLOCKS * BLOCK * LANES;
        for (int j = 0; j < LANES; j++) most[j] = inner[j];
        for (int64_t k = 1; k < s->K; k++)
            for (int j = 0; j < LANES; j++) most[j] = fmax(most[j], inner[k * row + j]);
        for (int64_t k = 0; k < s->K; k++)
            for (int j = 0; j < LANES; j++)
                total[j] += inner[k * row + j] = fast_exp(inner[k * row + j] - most[j]);
        for (int j = 0; j < LANES; j++) {
            const bool point = i * LANES + j < N;
            value += point ? most[j] + log(total[j]) : 0;
            total[j] = point ? 1 / total[j] : 0;
        }
        for (int64_t k = 0; k < s->K; k++)
            for (int j = 0; j < LANES; j++) inner[k * row + j] *= total[j];
    }
    return value;
}

/* Weighted sums over a block, lane by lane: of z z' (its lower half, and one above), z, and 1. */
typedef struct sums {
    lanes zz[MOST][MOST], z[MOST], one;
} sums;

static void add_sums(int64_t D, lanes z[MOST][BLOCK], const lanes *w, sums *t)
{
    for (int i = 0; i < BLOCK; i++) t->one += w[i];
    for (int64_t a = 0; a < D; a += 2) {
        lanes z0[BLOCK], z1[BLOCK];
        for (int i = 0; i < BLOCK; i++) {
            z0[i] = w[i] * z[a][i], z1[i] = w[i] * z[a + 1][i];
            t->z[a] += z0[i], t->z[a + 1] += z1[i];
        }
        for (int64_t b = 0; b <= a + 1; b++) {
            lanes t0 = t->zz[a][b], t1 = t->zz[a + 1][b];
            for (int i = 0; i < BLOCK; i++) t0 += z0[i] * z[b][i], t1 += z1[i] * z[b][i];
            t->zz[a][b] = t0, t->zz[a + 1][b] = t1;
        }
    }
}

/* Adds what the sums of component k make of its gradient. */
static void finish(const state *s, int64_t k, double Q[MOST][MOST], const sums *t, double *dmu,
                   double *dq, double *dl)
{
    const int64_t D = s->D;
    double S[MOST][MOST], y[MOST];
    const double w = lanes_sum(t->one);
    for (int64_t a = 0; a < D; a++)
        for (int64_t b = 0; b <= a; b++) S[a][b] = S[b][a] = lanes_sum(t->zz[a][b]);
    for (int64_t i = 0; i < D; i++) {
        y[i] = 0;
        for (int64_t j = 0; j <= i; j++) y[i] += Q[i][j] * lanes_sum(t->z[j]);
    }
    for (int64_t j = 0; j < D; j++) dmu[k * D + j] = 0;
    for (int64_t i = 0; i < D; i++) {
        double row[MOST] = { 0 };
        for (int64_t a = 0; a <= i; a++)
            for (int64_t j = 0; j <= i; j++) row[j] += Q[i][a] * S[a][j];
        for (int64_t j = 0; j <= i; j++) dmu[k * D + j] += Q[i][j] * y[i];
        for (int64_t j = 0; j < i; j++) dl[k * s->L + j * (2 * D - j - 1) / 2 + i - j - 1] -= row[j];
        dq[k * D + i] += w - row[i] * Q[i][i];
    }
}

static void expert(void *state_, double *result)
{
    const state *const s = state_;
    double *const dalpha = result + 1, *const dmu = dalpha + s->K;
    double *const dq = dmu + s->K * s->D, *const dl = dq + s->K * s->D;
    double Q[MOST][MOST], value = rest(s, dalpha, dq, dl);
    lanes z[MOST][BLOCK], squares[BLOCK];
    for (int64_t j = 0; j < s->D; j++)
        for (int64_t n = 0; n < N; n++)
            ((double *)s->points)[j * BLOCKS * BLOCK * LANES + n] = s->x[n * s->D + j];
    for (int64_t k = 0; k < s->K; k++) {
        double weight = s->alpha[k];
        for (int64_t j = 0; j < s->D; j++) weight += s->q[k * s->D + j];
        full_matrix(s, k, Q);
        for (int64_t block = 0; block < BLOCKS; block++) {
            lanes *const inner = s->inner + (k * BLOCKS + block) * BLOCK;
            apart_from(s, k, block, z);
            squares_of(s->D, Q, z, squares);
            for (int i = 0; i < BLOCK; i++) inner[i] = weight - 0.5 * squares[i];
        }
    }
    value += soft_lanes(s);
    for (int64_t k = 0; k < s->K; k++) {
        sums t;
        memset(&t.z, 0, sizeof t.z);
        memset(&t.one, 0, sizeof t.one);
        for (int64_t a = 0; a < s->D; a++) memset(t.zz[a], 0, (size_t)s->D * sizeof **t.zz);
        for (int64_t block = 0; block < BLOCKS; block++) {
            apart_from(s, k, block, z);
            add_sums(s->D, z, s->inner + (k * BLOCKS + block) * BLOCK, &t);
        }
        full_matrix(s, k, Q);
        dalpha[k] += lanes_sum(t.one);
        finish(s, k, Q, &t, dmu, dq, dl);
    }
    result[0] = value;
}

/* ---- the rows ---------------------------------------------------------------------------------- */

static double *drawn(uint64_t *seed, int64_t n, double lo, double hi)
{
    double *const x = room((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = draw(seed, lo, hi);
    return x;
}

/* -N D/2 log 2 pi + K C, C = D (D + 1) (log gamma - 1/2 log 2) - log Gamma_D((D + 1) / 2). */
static double constant_of(int64_t D, int64_t K)
{
    const double n = (double)(D + 1), d = (double)D;
    double gamma = d * (d - 1) / 4 * log(pi);
    for (int64_t j = 1; j <= D; j++) gamma += lgamma((n + 1 - (double)j) / 2);
    return -N * d / 2 * log(2 * pi) + (double)K * (-n * d * 0.5 * log(2) - gamma);
}

static void *start(int size)
{
    state *const s = room(1, sizeof *s);
    uint64_t seed = 6;
    const int64_t D = s->D = (const int64_t[]){ 2, 10, MOST }[size];
    const int64_t K = s->K = (const int64_t[]){ 5, 25, 50 }[size], L = s->L = D * (D - 1) / 2;
    s->constant = constant_of(D, K);
    s->x = drawn(&seed, N * D, -1, 1);
    s->alpha = drawn(&seed, K, -1, 1);
    s->mu = drawn(&seed, K * D, -1, 1);
    s->q = drawn(&seed, K * D, -0.5, 0.5);
    s->l = drawn(&seed, K * L, -0.3, 0.3);
    s->points = room((size_t)(D * BLOCKS * BLOCK), sizeof *s->points);
    s->inner = room((size_t)(K * BLOCKS * BLOCK), sizeof *s->inner);
    s->place = room((size_t)(D * D), sizeof *s->place);
    for (int64_t j = 0, p = 0; j < D; j++)
        for (int64_t i = 0; i < D; i++)
            s->place[i * D + j] = i == j ? i : i > j ? D + p++ : D + L;
    s->tape = row_tape();
    s->leaf[0] = param(s->tape, s->alpha, K);
    s->leaf[1] = param(s->tape, s->mu, K, D);
    s->leaf[2] = param(s->tape, s->q, K, D);
    s->leaf[3] = param(s->tape, s->l, K, L);
    s->data = input(s->tape, s->x, N, D);
    given_add(&s->in, s->x, N * D, s->data);
    given_add(&s->in, s->alpha, K, s->leaf[0]);
    given_add(&s->in, s->mu, K * D, s->leaf[1]);
    given_add(&s->in, s->q, K * D, s->leaf[2]);
    given_add(&s->in, s->l, K * L, s->leaf[3]);
    s->index = index(s->tape, s->place, D * D);
    s->mark = tg_tape_mark(s->tape);
    const Value x = input(s->tape, s->x, D);
    s->program = compile_gradient(model_of_point(s, x), &x, 1, s->leaf, 4, NULL, 0);
    tg_release(s->mark);
    return s;
}

static void stop(void *state_)
{
    state *const s = state_;
    free_compiled(&s->program);
    tg_tape_free(s->tape);
    double *const all[] = { s->x, s->alpha, s->mu, s->q, s->l };
    for (int i = 0; i < 5; i++) free(all[i]);
    free(s->points);
    free(s->inner);
    free(s->place);
    free(s);
}

static size_t results(void *state_, size_t *values)
{
    *values = 1;
    const state *const s = state_;
    return (size_t)(1 + s->K + 2 * s->K * s->D + s->K * s->L);
}

const problem gmm = { "gmm", { "D 2, K 5", "D 10, K 25", "D 32, K 50" }, start, stop, results,
                      { primal, plain, expert, eager, program }, { 0 } };
