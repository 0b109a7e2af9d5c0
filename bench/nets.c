/* Normalizations, attention and losses against plain loops, as a C programmer writes them: value and
   gradient, f32, eager. The sizes are those of small networks; one does not fit the caches. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tapegrad.h>

#include "draw.h"
#include "report.h"

enum { REPEATS = 7, MOST = 1 << 22 };

typedef struct work work;
struct work {
    const char *name;
    int64_t rows, n, inner;                         /* x (rows, n, inner) */
    tg_value (*record)(const work *w);
    void (*plain)(const work *w, float *y, float *dx);
    tg_tape *tape;
    tg_mark mark;
    tg_value x, gamma, beta, label;
};

static double *cotangent0; /* g0 */
static float *x0, *g0, *gamma0, *beta0, *y0, *dx0, *dgamma0, *dbeta0;
static int label0[1 << 16];

/* ---- plain loops ----------------------------------------------------------------------------- */

/* A set of n elements step apart in runs: mean, variance, y; then the gradient. */
static void plain_layer_norm(const work *w, float *y, float *dx)
{
    const int64_t n = w->n;
    for (int64_t i = 0; i < n; i++) dgamma0[i] = dbeta0[i] = 0;
    for (int64_t r = 0; r < w->rows; r++) {
        const float *x = x0 + r * n, *g = g0 + r * n;
        float mean = 0, variance = 0, h = 0, hz = 0;
        for (int64_t i = 0; i < n; i++) mean += x[i];
        mean /= (float)n;
        for (int64_t i = 0; i < n; i++) variance += (x[i] - mean) * (x[i] - mean);
        const float scale = 1 / sqrtf(variance / (float)n + 1e-5f);
        for (int64_t i = 0; i < n; i++)
            y[r * n + i] = (x[i] - mean) * scale * gamma0[i] + beta0[i];
        if (!dx) continue;
        for (int64_t i = 0; i < n; i++) {
            const float z = (x[i] - mean) * scale;
            h += g[i] * gamma0[i];
            hz += g[i] * gamma0[i] * z;
            dgamma0[i] += g[i] * z;
            dbeta0[i] += g[i];
        }
        h /= (float)n, hz /= (float)n;
        for (int64_t i = 0; i < n; i++)
            dx[r * n + i] = scale * (g[i] * gamma0[i] - h - (x[i] - mean) * scale * hz);
    }
}

static void plain_batch_norm(const work *w, float *y, float *dx)
{
    const int64_t s = w->inner, step = w->n * s;
    for (int64_t c = 0; c < w->n; c++) {
        const float *x = x0 + c * s, *g = g0 + c * s, count = (float)(w->rows * s);
        float mean = 0, variance = 0, h = 0, hz = 0;
        for (int64_t r = 0; r < w->rows; r++)
            for (int64_t i = 0; i < s; i++) mean += x[r * step + i];
        mean /= count;
        for (int64_t r = 0; r < w->rows; r++)
            for (int64_t i = 0; i < s; i++)
                variance += (x[r * step + i] - mean) * (x[r * step + i] - mean);
        const float scale = 1 / sqrtf(variance / count + 1e-5f), gamma = gamma0[c];
        for (int64_t r = 0; r < w->rows; r++)
            for (int64_t i = 0; i < s; i++)
                y[c * s + r * step + i] = (x[r * step + i] - mean) * scale * gamma + beta0[c];
        if (!dx) continue;
        for (int64_t r = 0; r < w->rows; r++)
            for (int64_t i = 0; i < s; i++) {
                h += g[r * step + i];
                hz += g[r * step + i] * (x[r * step + i] - mean) * scale;
            }
        dbeta0[c] = h, dgamma0[c] = hz;
        for (int64_t r = 0; r < w->rows; r++)
            for (int64_t i = 0; i < s; i++)
                dx[c * s + r * step + i] =
                    scale * gamma *
                    (g[r * step + i] - h / count - (x[r * step + i] - mean) * scale * hz / count);
    }
}

/* w->rows heads of w->n queries, keys and values of w->inner; the three gradients. */
static void plain_attention(const work *w, float *y, float *dx)
{
    const int64_t t = w->n, d = w->inner;
    float *const p = malloc((size_t)t * sizeof *p), *const dp = malloc((size_t)t * sizeof *dp);
    if (!p || !dp) exit(1);
    memset(y, 0, (size_t)(w->rows * t * d) * sizeof *y);
    if (dx) memset(dx, 0, (size_t)(w->rows * t * d) * sizeof *dx);
    for (int64_t r = 0; r < w->rows * t; r++) {
        const float *k = x0 + r / t * t * d, *q = x0 + r * d, *g = g0 + r * d;
        float *const dk = dx ? dx + r / t * t * d : NULL;
        const int64_t seen = r % t + 1;
        float most = -INFINITY, sum = 0, mean = 0;
        for (int64_t j = 0; j < seen; j++) {
            float s = 0;
            for (int64_t i = 0; i < d; i++) s += q[i] * k[j * d + i];
            p[j] = s / sqrtf((float)d);
            if (p[j] > most) most = p[j];
        }
        for (int64_t j = 0; j < seen; j++) sum += p[j] = expf(p[j] - most);
        for (int64_t j = 0; j < seen; j++) {
            p[j] /= sum;
            for (int64_t i = 0; i < d; i++) y[r * d + i] += p[j] * k[j * d + i];
        }
        if (!dx) continue;
        for (int64_t j = 0; j < seen; j++) {
            float s = 0;
            for (int64_t i = 0; i < d; i++) s += g[i] * k[j * d + i];
            dp[j] = s;
            mean += s * p[j];
        }
        for (int64_t j = 0; j < seen; j++) {
            const float slope = p[j] * (dp[j] - mean) / sqrtf((float)d);
            for (int64_t i = 0; i < d; i++) {
                dk[j * d + i] += slope * q[i] + p[j] * g[i];
                dx[r * d + i] += slope * k[j * d + i];
            }
        }
    }
    free(p);
    free(dp);
}

static void plain_cross_entropy(const work *w, float *y, float *dx)
{
    float loss = 0, total = 0;
    for (int64_t r = 0; r < w->rows; r++) total += gamma0[label0[r]];
    for (int64_t r = 0; r < w->rows; r++) {
        const float *x = x0 + r * w->n, weight = gamma0[label0[r]];
        float most = x[0], sum = 0;
        for (int64_t i = 1; i < w->n; i++) most = x[i] > most ? x[i] : most;
        for (int64_t i = 0; i < w->n; i++) sum += expf(x[i] - most);
        loss += weight * (logf(sum) - x[label0[r]] + most);
        if (!dx) continue;
        for (int64_t i = 0; i < w->n; i++)
            dx[r * w->n + i] =
                weight / total * (expf(x[i] - most) / sum - (float)(i == label0[r]));
    }
    *y = loss / total;
}

static void plain_huber(const work *w, float *y, float *dx)
{
    const int64_t n = w->rows * w->n;
    float loss = 0;
    for (int64_t i = 0; i < n; i++) {
        const float e = x0[i] - g0[i], size = fabsf(e);
        loss += size <= 1 ? 0.5f * e * e : size - 0.5f;
        if (dx) dx[i] = (size <= 1 ? e : e > 0 ? 1 : -1) / (float)n;
    }
    *y = loss / (float)n;
}

/* ---- the same recorded ----------------------------------------------------------------------- */

static tg_value layer_norm(const work *w) { return tg_layer_norm(w->x, w->gamma, w->beta); }
static tg_value batch_norm(const work *w) { return tg_batch_norm(w->x, w->gamma, w->beta); }
static tg_value attention(const work *w) { return tg_attention(w->x, w->x, w->x, .causal = true); }
static tg_value cross_entropy(const work *w)
{
    return tg_cross_entropy_weighted(w->x, w->label, w->gamma);
}
static tg_value huber(const work *w) { return tg_huber(w->x, w->beta); }

/* Ways: value and gradient, recorded; the same in plain loops. */
static void run(int way, void *user)
{
    const work *const w = user;
    if (way >= 2) {
        w->plain(w, y0, way == 3 ? dx0 : NULL);
        return;
    }
    const tg_value y = w->record(w);
    if (way == 1 && !tg_backward_with(y, &(const tg_backward_options){ .cotangent = cotangent0 })) exit(1);
    tg_release(w->mark);
}

/* The gradient by x, recorded and by plain loops. */
static void check(bench_row *r, const work *w)
{
    const size_t n = (size_t)(w->rows * w->n * w->inner);
    double *const got = malloc(n * sizeof *got), *const expected = malloc(n * sizeof *expected);
    if (!got || !expected) exit(1);
    w->plain(w, y0, dx0);
    if (!tg_backward_with(w->record(w), &(const tg_backward_options){ .cotangent = cotangent0 })) exit(1);
    const float *const dx = tg_grad_f32(w->x);
    const double scale = w->plain == plain_cross_entropy || w->plain == plain_huber ? cotangent0[0] : 1;
    for (size_t i = 0; i < n; i++) got[i] = (double)dx[i], expected[i] = scale * (double)dx0[i];
    tg_release(w->mark);
    report_agree(r, SIDE_EAGER, n, got, expected);
    free(got);
    free(expected);
}

/* A row for the value alone, and one with the gradient. */
static void measure(work *w)
{
    static const side sides[] = { SIDE_EAGER, SIDE_EAGER, SIDE_PLAIN, SIDE_PLAIN };
    static char sizes[64][32];
    static int rows;
    w->tape = tg_tape_new(&(const tg_tape_options){ .type = TG_F32 });
    const bool plain_rows = w->inner == 1;
    const int64_t dim[] = { w->rows, w->n, w->inner };
    w->x = tg_leaf_new(w->tape, TG_PARAMETER, TG_F32, x0, plain_rows ? 2 : 3, dim, NULL);
    w->gamma = tg_param(w->tape, gamma0, w->n);
    w->beta = w->plain == plain_huber ? tg_input(w->tape, g0, w->rows, w->n)
                                      : tg_param(w->tape, beta0, w->n);
    if (w->plain == plain_cross_entropy) w->label = tg_index(w->tape, label0, w->rows);
    w->mark = tg_tape_mark(w->tape);
    timing t[4];
    char *const size = sizes[rows++];
    snprintf(size, sizeof sizes[0], plain_rows ? "%dx%d" : "%dx%dx%d", (int)w->rows, (int)w->n, (int)w->inner);
    bench_row r = { .name = w->name, .size = size, .type = "f32", .layout = "value", .per = "element" };
    r.units = (double)(w->rows * w->n * w->inner);
    if (report_wants(w->name, size)) {
        check(&r, w);
        report_time(4, sides, run, w, REPEATS, t);
        r.side[SIDE_EAGER] = t[0], r.side[SIDE_PLAIN] = t[2];
        r.memory = (double)tg_stats(w->tape).bytes_held;
        report_row(&r);
        r.layout = "gradient", r.side[SIDE_EAGER] = t[1], r.side[SIDE_PLAIN] = t[3];
        report_row(&r);
    }
    tg_tape_free(w->tape);
}

static float *room(double lo, double hi)
{
    static uint64_t seed = 1;
    float *const p = malloc(MOST * sizeof *p);
    if (!p) exit(1);
    for (int64_t i = 0; i < MOST; i++) p[i] = (float)draw(&seed, lo, hi);
    return p;
}

int main(int argc, char **argv)
{
    static work works[] = {
        { .name = "layer_norm", .rows = 64, .n = 128, .inner = 1, .record = layer_norm, .plain = plain_layer_norm },
        { .name = "layer_norm", .rows = 256, .n = 768, .inner = 1, .record = layer_norm, .plain = plain_layer_norm },
        { .name = "layer_norm", .rows = 5000, .n = 768, .inner = 1, .record = layer_norm, .plain = plain_layer_norm },
        { .name = "batch_norm", .rows = 64, .n = 256, .inner = 1, .record = batch_norm, .plain = plain_batch_norm },
        { .name = "batch_norm", .rows = 64, .n = 32, .inner = 9, .record = batch_norm, .plain = plain_batch_norm },
        { .name = "batch_norm", .rows = 64, .n = 32, .inner = 196, .record = batch_norm, .plain = plain_batch_norm },
        { .name = "batch_norm", .rows = 64, .n = 64, .inner = 900, .record = batch_norm, .plain = plain_batch_norm },
        { .name = "attention", .rows = 8, .n = 64, .inner = 32, .record = attention, .plain = plain_attention },
        { .name = "attention", .rows = 8, .n = 512, .inner = 64, .record = attention, .plain = plain_attention },
        { .name = "cross_entropy", .rows = 64, .n = 10, .inner = 1, .record = cross_entropy, .plain = plain_cross_entropy },
        { .name = "cross_entropy", .rows = 256, .n = 1000, .inner = 1, .record = cross_entropy, .plain = plain_cross_entropy },
        { .name = "huber", .rows = 1000, .n = 100, .inner = 1, .record = huber, .plain = plain_huber },
    };
    x0 = room(-2, 2), g0 = room(-1, 1), gamma0 = room(0.5, 2), beta0 = room(-1, 1);
    y0 = room(0, 0), dx0 = room(0, 0), dgamma0 = room(0, 0), dbeta0 = room(0, 0);
    cotangent0 = malloc(MOST * sizeof *cotangent0);
    if (!cotangent0) return 1;
    for (int64_t i = 0; i < MOST; i++) cotangent0[i] = (double)g0[i];
    for (int i = 0; i < (int)(sizeof label0 / sizeof *label0); i++) label0[i] = i % 10;
    report_begin(argc, argv, "nets", "Normalizations, attention and losses against plain loops.");
    report_title("value, and value and gradient, recorded and in plain loops");
    const int n = (int)(sizeof works / sizeof *works);
    for (int i = 0; i < n; i++)
        if (!report_quick() || works[i].rows * works[i].n < 20000) measure(&works[i]);
    float *const all[] = { x0, g0, gamma0, beta0, y0, dx0, dgamma0, dbeta0 };
    for (int i = 0; i < 8; i++) free(all[i]);
    free(cotangent0);
    return report_end();
}
