/* k-means: sum_i min_j |c_j - p_i|^2 of n points and k centers in d dimensions; the gradient by the
   centers and the diagonal of the Hessian. The Hessian has nothing else, so that its product with
   ones is the diagonal. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gradbench.h"
#include "vector.h"
#include <tapegrad/short.h>

enum { BLOCK = 4 /* of lanes */, MOST = 32 };

typedef struct state {
    given in;
    int64_t n, k, d;
    double *points, *centers, *ones, *square; /* (n, d), (k, d), (k, d), (k) */
    tg_tape *tape;
    tg_mark mark;
    Value leaf, data;
    compiled program;
} state;

/* ---- with the library ------------------------------------------------------------------------ */

static void eager(void *state_, double *result)
{
    const state *const s = state_;
    const size_t m = (size_t)(s->k * s->d);
    const Value apart = sub(unsqueeze(s->data, .axis = 1), s->leaf); /* (n, k, d) */
    const Value loss = sum(amin(sum(square(apart), .axis = 2), .axis = 1));
    Value gradient;
    must(tg_grad_values(&loss, NULL, 1, &s->leaf, 1, &gradient), "kmeans");
    must(tg_backward(sum(gradient)), "kmeans");
    result[0] = tg_item(loss);
    must(tg_read(gradient, result + 1, m) && tg_grad_read(s->leaf, result + 1 + m, m), "kmeans");
    tg_release(s->mark);
}

/* One point. Which center is nearest has no derivative: |c - p|^2 without |p|^2 finds it. */
static Value model_of_point(Value c, Value p)
{
    const Value nearest = argmin(tg_linear(p, mul(-2, c), sum(square(c), .axis = 1)));
    return sum(square(sub(embedding(c, nearest), p)));
}

static void program(void *state_, double *result)
{
    const state *const s = state_;
    run_compiled(&s->program, s->n, (const void *[]){ s->points, s->centers, s->ones },
                 (void *[]){ result, result + 1, result + 1 + s->k * s->d });
}

/* ---- by hand --------------------------------------------------------------------------------- */

static void plain_of(const state *s, double *result, bool derivatives)
{
    const int64_t k = s->k, d = s->d;
    double *const dc = result + 1, *const ddc = dc + k * d;
    result[0] = 0;
    if (derivatives) memset(dc, 0, (size_t)(2 * k * d) * sizeof *dc);
    for (int64_t i = 0; i < s->n; i++) {
        const double *const p = s->points + i * d;
        double least = INFINITY;
        int64_t nearest = 0;
        for (int64_t j = 0; j < k; j++) {
            double distance = 0;
            for (int64_t a = 0; a < d; a++)
                distance += (s->centers[j * d + a] - p[a]) * (s->centers[j * d + a] - p[a]);
            if (distance < least) least = distance, nearest = j;
        }
        result[0] += least;
        if (!derivatives) continue;
        for (int64_t a = 0; a < d; a++) {
            dc[nearest * d + a] += 2 * (s->centers[nearest * d + a] - p[a]);
            ddc[nearest * d + a] += 2;
        }
    }
}

static void primal(void *s, double *result)
{
    plain_of(s, result, false);
}

static void plain(void *s, double *result)
{
    plain_of(s, result, true);
}

/* The nearest centers of a block of points side by side, by |c|^2 - 2 c p; p has -2 p. */
static void find_nearest(const state *s, lanes p[MOST][BLOCK], lanes_i64 nearest[BLOCK])
{
    lanes least[BLOCK];
    for (int i = 0; i < BLOCK; i++) least[i] = lanes_of(INFINITY);
    for (int64_t j = 0; j < s->k; j++) {
        const double *const c = s->centers + j * s->d;
        lanes distance[BLOCK];
        for (int i = 0; i < BLOCK; i++) distance[i] = lanes_of(s->square[j]);
        for (int64_t a = 0; a < s->d; a++)
            for (int i = 0; i < BLOCK; i++) distance[i] += c[a] * p[a][i];
        for (int i = 0; i < BLOCK; i++) {
            const lanes_i64 closer = distance[i] < least[i];
            nearest[i] = (closer & j) | (~closer & nearest[i]);
            least[i] = -lanes_max(-distance[i], -least[i]);
        }
    }
}

/* Each point is added to its center's sum: how many there are and what they sum up to is all that
   the gradient needs. */
static void expert(void *state_, double *result)
{
    const state *const s = state_;
    const int64_t k = s->k, d = s->d;
    double *const dc = result + 1, *const ddc = dc + k * d, loss = 0;
    int64_t count[MOST] = { 0 };
    memset(dc, 0, (size_t)(k * d) * sizeof *dc);
    for (int64_t j = 0; j < k; j++) {
        s->square[j] = 0;
        for (int64_t a = 0; a < d; a++) s->square[j] += s->centers[j * d + a] * s->centers[j * d + a];
    }
    for (int64_t first = 0; first < s->n; first += BLOCK * LANES) {
        const int64_t n = s->n - first < BLOCK * LANES ? s->n - first : BLOCK * LANES;
        lanes p[MOST][BLOCK];
        lanes_i64 nearest[BLOCK] = { { 0 } };
        for (int64_t a = 0; a < d; a++) {
            double *const row = (double *)p[a];
            for (int64_t i = 0; i < n; i++) row[i] = -2 * s->points[(first + i) * d + a];
            for (int64_t i = n; i < BLOCK * LANES; i++) row[i] = 0;
        }
        find_nearest(s, p, nearest);
        for (int64_t i = 0; i < n; i++) {
            const int64_t j = ((const int64_t *)nearest)[i];
            const double *const x = s->points + (first + i) * d, *const c = s->centers + j * d;
            double *const sum = dc + j * d;
            count[j]++;
            if (d == 2) {
                loss += (c[0] - x[0]) * (c[0] - x[0]) + (c[1] - x[1]) * (c[1] - x[1]);
                sum[0] += x[0], sum[1] += x[1];
                continue;
            }
            lanes part = { 0 };
            for (int64_t a = 0; a < d; a += LANES) {
                lanes to, from, total;
                memcpy(&to, c + a, sizeof to);
                memcpy(&from, x + a, sizeof from);
                memcpy(&total, sum + a, sizeof total);
                total += from;
                memcpy(sum + a, &total, sizeof total);
                part += (to - from) * (to - from);
            }
            loss += lanes_sum(part);
        }
    }
    for (int64_t j = 0; j < k; j++)
        for (int64_t a = 0; a < d; a++) {
            dc[j * d + a] = 2 * ((double)count[j] * s->centers[j * d + a] - dc[j * d + a]);
            ddc[j * d + a] = 2 * (double)count[j];
        }
    result[0] = loss;
}

/* ---- the rows ---------------------------------------------------------------------------------- */

static void *start(int size)
{
    state *const s = room(1, sizeof *s);
    uint64_t seed = 3;
    s->n = (const int64_t[]){ 1000, 4000, 8000 }[size];
    s->k = (const int64_t[]){ 5, 16, 32 }[size];
    s->d = (const int64_t[]){ 2, 8, 32 }[size];
    s->points = room((size_t)(s->n * s->d), sizeof(double));
    s->centers = room((size_t)(s->k * s->d), sizeof(double));
    s->ones = room((size_t)(s->k * s->d), sizeof(double));
    s->square = room((size_t)s->k, sizeof(double));
    for (int64_t i = 0; i < s->n * s->d; i++) s->points[i] = draw(&seed, -1, 1);
    for (int64_t i = 0; i < s->k * s->d; i++) s->centers[i] = draw(&seed, -1, 1), s->ones[i] = 1;
    s->tape = row_tape();
    s->leaf = param(s->tape, s->centers, s->k, s->d);
    s->data = input(s->tape, s->points, s->n, s->d);
    given_add(&s->in, s->centers, s->k * s->d, s->leaf);
    given_add(&s->in, s->points, s->n * s->d, s->data);
    s->mark = tg_tape_mark(s->tape);
    const Value point = input(s->tape, s->points, s->d);
    s->program = compile_hvp(model_of_point(s->leaf, point), &point, 1, &s->leaf, 1);
    tg_release(s->mark);
    return s;
}

static void stop(void *state_)
{
    state *const s = state_;
    free_compiled(&s->program);
    tg_tape_free(s->tape);
    free(s->points);
    free(s->centers);
    free(s->ones);
    free(s->square);
    free(s);
}

static size_t results(void *state_, size_t *values)
{
    *values = 1;
    const state *const s = state_;
    return 1 + 2 * (size_t)(s->k * s->d);
}

const problem kmeans = { "kmeans", { "1000x2, 5", "4000x8, 16", "8000x32, 32" }, start, stop, results,
                         { primal, plain, expert, eager, program }, { 0 } };
