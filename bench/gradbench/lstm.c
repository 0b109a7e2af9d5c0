/* Stacked cells with diagonal weights, predicting a sequence's next element: for each layer
   f = s(x wf + bf), i = s(h wi + bi), o = s(x wo + bo), g = tanh(h wg + bg), c <- c f + i g,
   h = o tanh c; an affine map before and after; the loss is - mean gold (y - log(2 + sum exp y)) over the
   steps. The gradient is by the main (2 L x 4 b) and the extra (3 x b) parameters. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gradbench.h"
#include "vector.h"
#include <tapegrad/short.h>

enum { B = 14, WIDE = 16, F = 0, I = 1, O = 2, G = 3, MOST = 4 };

/* What a layer keeps of a step, in rows padded to whole vectors. */
typedef struct kept {
    double x[WIDE], h0[WIDE], c0[WIDE], gate[4][WIDE], tanh_c[WIDE];
} kept;

typedef struct state {
    given in;
    int layers, steps;
    double main[2 * MOST][4][B], extra[3][B]; /* weights, biases of each layer in turn */
    double hidden[MOST][B], cell[MOST][B];    /* at the beginning */
    double (*sequence)[B];
    kept *kept;          /* (steps, layers) */
    double (*soft)[WIDE]; /* (steps): the loss's gradient by y */
    tg_tape *tape;
    tg_mark mark;
    Value leaf[5]; /* main, extra, sequence, hidden, cell */
    compiled program;
} state;

/* ---- with the library ------------------------------------------------------------------------ */

static Value model(const state *s)
{
    Value w[MOST][4], b[MOST][4], h[MOST], c[MOST], extra[3], total = tg_number(s->tape, 0);
    for (int l = 0; l < s->layers; l++)
        for (int k = 0; k < 4; k++) {
            w[l][k] = select(select(s->leaf[0], .index = 2 * l), .index = k);
            b[l][k] = select(select(s->leaf[0], .index = 2 * l + 1), .index = k);
        }
    for (int k = 0; k < 3; k++) extra[k] = select(s->leaf[1], .index = k);
    for (int l = 0; l < s->layers; l++) {
        h[l] = select(s->leaf[3], .index = l);
        c[l] = select(s->leaf[4], .index = l);
    }
    Value next = select(s->leaf[2], .index = 0);
    for (int t = 0; t + 1 < s->steps; t++) {
        Value x = mul(next, extra[0]);
        next = select(s->leaf[2], .index = t + 1);
        for (int l = 0; l < s->layers; l++) {
            const Value f = sigmoid(fma(x, w[l][F], b[l][F])), i = sigmoid(fma(h[l], w[l][I], b[l][I]));
            const Value o = sigmoid(fma(x, w[l][O], b[l][O])), g = tanh(fma(h[l], w[l][G], b[l][G]));
            c[l] = fma(c[l], f, mul(i, g));
            x = h[l] = mul(o, tanh(c[l]));
        }
        const Value y = fma(x, extra[1], extra[2]);
        total = add(total, dot(next, sub(y, log(add(2, sum(exp(y)))))));
    }
    return mul(total, -1.0 / ((s->steps - 1) * B));
}

static void eager(void *state_, double *result)
{
    const state *const s = state_;
    const size_t n = (size_t)(8 * s->layers * B);
    const Value y = model(s);
    must(tg_backward(y) && tg_grad_read(s->leaf[0], result + 1, n) &&
             tg_grad_read(s->leaf[1], result + 1 + n, 3 * B), "lstm");
    result[0] = tg_item(y);
    tg_release(s->mark);
}

static void program(void *state_, double *result)
{
    const state *const s = state_;
    run_compiled(&s->program, 1, (const void *[]){ s->main, s->extra, s->sequence, s->hidden, s->cell },
                 (void *[]){ result, result + 1, result + 1 + 8 * s->layers * B });
}

/* ---- by hand: plain ---------------------------------------------------------------------------- */

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

static void cell_forward(const double w[4][B], const double b[4][B], const double *x, double *h, double *c,
                         kept *k)
{
    for (int j = 0; j < B; j++) {
        const double f = logistic(x[j] * w[F][j] + b[F][j]), i = logistic(h[j] * w[I][j] + b[I][j]);
        const double o = logistic(x[j] * w[O][j] + b[O][j]), g = tanh(h[j] * w[G][j] + b[G][j]);
        if (k) k->x[j] = x[j], k->h0[j] = h[j], k->c0[j] = c[j];
        c[j] = c[j] * f + i * g;
        const double t = tanh(c[j]);
        h[j] = o * t;
        if (k) k->gate[F][j] = f, k->gate[I][j] = i, k->gate[O][j] = o, k->gate[G][j] = g, k->tanh_c[j] = t;
    }
}

/* dh, dc: gradients by what the cell gave, which become those by what it got; dx by its input. */
static void cell_backward(const double w[4][B], const kept *k, double *dx, double *dh, double *dc,
                          double dw[4][B], double db[4][B])
{
    for (int j = 0; j < B; j++) {
        const double f = k->gate[F][j], i = k->gate[I][j], o = k->gate[O][j], g = k->gate[G][j];
        const double t = k->tanh_c[j], dcell = dc[j] + dh[j] * o * (1 - t * t);
        const double df = dcell * k->c0[j] * f * (1 - f), di = dcell * g * i * (1 - i);
        const double do_ = dh[j] * t * o * (1 - o), dg = dcell * i * (1 - g * g);
        dw[F][j] += df * k->x[j], db[F][j] += df;
        dw[I][j] += di * k->h0[j], db[I][j] += di;
        dw[O][j] += do_ * k->x[j], db[O][j] += do_;
        dw[G][j] += dg * k->h0[j], db[G][j] += dg;
        dx[j] = df * w[F][j] + do_ * w[O][j];
        dh[j] = di * w[I][j] + dg * w[G][j];
        dc[j] = dcell * f;
    }
}

static double plain_forward(const state *s, bool keep)
{
    double h[MOST][B], c[MOST][B], total = 0;
    memcpy(h, s->hidden, sizeof h);
    memcpy(c, s->cell, sizeof c);
    for (int t = 0; t + 1 < s->steps; t++) {
        double first[B], y[B], sum = 2;
        const double *x = first;
        for (int j = 0; j < B; j++) first[j] = s->sequence[t][j] * s->extra[0][j];
        for (int l = 0; l < s->layers; l++) {
            cell_forward(s->main[2 * l], s->main[2 * l + 1], x, h[l], c[l],
                         keep ? s->kept + t * s->layers + l : NULL);
            x = h[l];
        }
        for (int j = 0; j < B; j++) {
            y[j] = x[j] * s->extra[1][j] + s->extra[2][j];
            sum += exp(y[j]);
        }
        for (int j = 0; j < B; j++) total += s->sequence[t + 1][j] * (y[j] - log(sum));
        if (!keep) continue;
        double gold = 0;
        for (int j = 0; j < B; j++) gold += s->sequence[t + 1][j];
        for (int j = 0; j < B; j++) s->soft[t][j] = s->sequence[t + 1][j] - gold * exp(y[j]) / sum;
    }
    return -total / ((s->steps - 1) * B);
}

static void primal(void *s, double *result)
{
    *result = plain_forward(s, false);
}

static void plain(void *state_, double *result)
{
    const state *const s = state_;
    double (*const dmain)[4][B] = (double (*)[4][B])(result + 1), (*const dextra)[B] = (double (*)[B])dmain[2 * s->layers];
    double dh[MOST][B] = { { 0 } }, dc[MOST][B] = { { 0 } }, dx[B];
    result[0] = plain_forward(s, true);
    memset(result + 1, 0, (size_t)((8 * s->layers + 3) * B) * sizeof *result);
    for (int t = s->steps - 1; t-- > 0;) {
        const kept *const k = s->kept + t * s->layers;
        const kept *const last = k + s->layers - 1;
        for (int j = 0; j < B; j++) {
            const double dy = -s->soft[t][j] / ((s->steps - 1) * B);
            dextra[1][j] += dy * last->gate[O][j] * last->tanh_c[j];
            dextra[2][j] += dy;
            dx[j] = dy * s->extra[1][j];
        }
        for (int l = s->layers; l-- > 0;) {
            for (int j = 0; j < B; j++) dh[l][j] += dx[j];
            cell_backward(s->main[2 * l], k + l, dx, dh[l], dc[l], dmain[2 * l], dmain[2 * l + 1]);
        }
        for (int j = 0; j < B; j++) dextra[0][j] += dx[j] * s->sequence[t][j];
    }
}

/* ---- by hand: expert --------------------------------------------------------------------------- */

/* The same with rows of whole vectors and vector functions, for all gates of a layer at once. Parameters and
   their gradients are kept padded. */
typedef struct padded {
    double w[4][WIDE], b[4][WIDE];
} padded;

static inline void wide_forward(const padded *p, const double *restrict x, double *restrict h,
                                double *restrict c, kept *restrict k)
{
    double z[4 * WIDE];
    for (int j = 0; j < WIDE; j++) {
        k->x[j] = x[j], k->h0[j] = h[j], k->c0[j] = c[j];
        z[F * WIDE + j] = x[j] * p->w[F][j] + p->b[F][j];
        z[I * WIDE + j] = h[j] * p->w[I][j] + p->b[I][j];
        z[O * WIDE + j] = x[j] * p->w[O][j] + p->b[O][j];
        z[G * WIDE + j] = h[j] * p->w[G][j] + p->b[G][j];
    }
    for (int i = 0; i < 3 * WIDE; i++) z[i] = fast_sigmoid(z[i]);
    for (int j = 0; j < WIDE; j++) {
        z[G * WIDE + j] = fast_tanh(z[G * WIDE + j]);
        c[j] = c[j] * z[F * WIDE + j] + z[I * WIDE + j] * z[G * WIDE + j];
        k->tanh_c[j] = fast_tanh(c[j]);
        h[j] = z[O * WIDE + j] * k->tanh_c[j];
    }
    memcpy(k->gate, z, sizeof z);
}

static inline void wide_backward(const padded *p, const kept *restrict k, double *restrict dx,
                                 double *restrict dh, double *restrict dc, padded *restrict d)
{
    for (int j = 0; j < WIDE; j++) {
        const double f = k->gate[F][j], i = k->gate[I][j], o = k->gate[O][j], g = k->gate[G][j];
        const double t = k->tanh_c[j], dhidden = dh[j] + dx[j], dcell = dc[j] + dhidden * o * (1 - t * t);
        const double df = dcell * k->c0[j] * f * (1 - f), di = dcell * g * i * (1 - i);
        const double do_ = dhidden * t * o * (1 - o), dg = dcell * i * (1 - g * g);
        d->w[F][j] += df * k->x[j], d->b[F][j] += df;
        d->w[I][j] += di * k->h0[j], d->b[I][j] += di;
        d->w[O][j] += do_ * k->x[j], d->b[O][j] += do_;
        d->w[G][j] += dg * k->h0[j], d->b[G][j] += dg;
        dx[j] = df * p->w[F][j] + do_ * p->w[O][j];
        dh[j] = di * p->w[I][j] + dg * p->w[G][j];
        dc[j] = dcell * f;
    }
}

static void expert(void *state_, double *result)
{
    const state *const s = state_;
    padded p[MOST] = { { .w = { { 0 } } } }, d[MOST] = { { .w = { { 0 } } } };
    double extra[3][WIDE] = { { 0 } }, dextra[3][WIDE] = { { 0 } }, h[MOST][WIDE] = { { 0 } };
    double c[MOST][WIDE] = { { 0 } }, dx[WIDE], dh[MOST][WIDE] = { { 0 } }, dc[MOST][WIDE] = { { 0 } };
    double total = 0;
    const size_t row = B * sizeof(double);
    for (int l = 0; l < s->layers; l++) {
        for (int k = 0; k < 4; k++) {
            memcpy(p[l].w[k], s->main[2 * l][k], row);
            memcpy(p[l].b[k], s->main[2 * l + 1][k], row);
        }
        memcpy(h[l], s->hidden[l], row);
        memcpy(c[l], s->cell[l], row);
    }
    for (int k = 0; k < 3; k++) memcpy(extra[k], s->extra[k], row);
    for (int t = 0; t + 1 < s->steps; t++) {
        double x[WIDE] = { 0 }, gold[WIDE] = { 0 }, y[WIDE], e[WIDE] = { 0 }, sum = 2, golds = 0, fits = 0;
        memcpy(x, s->sequence[t], row);
        memcpy(gold, s->sequence[t + 1], row);
        for (int j = 0; j < WIDE; j++) x[j] *= extra[0][j];
        for (int l = 0; l < s->layers; l++) {
            wide_forward(&p[l], x, h[l], c[l], s->kept + t * s->layers + l);
            memcpy(x, h[l], sizeof x);
        }
        for (int j = 0; j < WIDE; j++) y[j] = x[j] * extra[1][j] + extra[2][j];
        for (int j = 0; j < WIDE; j++) e[j] = j < B ? fast_exp(y[j]) : 0;
#pragma omp simd reduction(+ : sum, golds, fits)
        for (int j = 0; j < WIDE; j++) sum += e[j], golds += gold[j], fits += gold[j] * y[j];
        total += fits - golds * log(sum);
        const double scale = golds / sum;
        for (int j = 0; j < WIDE; j++) s->soft[t][j] = gold[j] - scale * e[j];
    }
    const double scale = -1.0 / ((s->steps - 1) * B);
    for (int t = s->steps - 1; t-- > 0;) {
        const kept *const k = s->kept + t * s->layers, *const last = k + s->layers - 1;
        double x[WIDE] = { 0 };
        memcpy(x, s->sequence[t], row);
        for (int j = 0; j < WIDE; j++) {
            const double dy = scale * s->soft[t][j];
            dextra[1][j] += dy * last->gate[O][j] * last->tanh_c[j];
            dextra[2][j] += dy;
            dx[j] = dy * extra[1][j];
        }
        for (int l = s->layers; l-- > 0;) wide_backward(&p[l], k + l, dx, dh[l], dc[l], &d[l]);
        for (int j = 0; j < WIDE; j++) dextra[0][j] += dx[j] * x[j];
    }
    *result++ = scale * total;
    for (int l = 0; l < s->layers; l++) {
        for (int k = 0; k < 4; k++, result += B) memcpy(result, d[l].w[k], row);
        for (int k = 0; k < 4; k++, result += B) memcpy(result, d[l].b[k], row);
    }
    for (int k = 0; k < 3; k++, result += B) memcpy(result, dextra[k], row);
}

/* ---- the rows ---------------------------------------------------------------------------------- */

static void fill(uint64_t *seed, double *x, int n, double lo, double hi)
{
    for (int i = 0; i < n; i++) x[i] = draw(seed, lo, hi);
}

static void *start(int size)
{
    state *const s = room(1, sizeof *s);
    uint64_t seed = 8;
    s->layers = (const int[]){ 2, 2, MOST }[size];
    s->steps = (const int[]){ 256, 1024, 1024 }[size];
    s->sequence = room((size_t)s->steps, sizeof *s->sequence);
    s->kept = room((size_t)(s->steps * s->layers), sizeof *s->kept);
    s->soft = room((size_t)s->steps, sizeof *s->soft);
    fill(&seed, **s->main, 8 * s->layers * B, -1, 1);
    fill(&seed, *s->extra, 3 * B, -1, 1);
    fill(&seed, *s->hidden, s->layers * B, -1, 1);
    fill(&seed, *s->cell, s->layers * B, -1, 1);
    fill(&seed, *s->sequence, s->steps * B, 0, 1);
    s->tape = row_tape();
    double *const data[] = { **s->main, *s->extra, *s->sequence, *s->hidden, *s->cell };
    s->leaf[0] = param(s->tape, data[0], 2 * s->layers, 4, B);
    s->leaf[1] = param(s->tape, data[1], 3, B);
    s->leaf[2] = input(s->tape, data[2], s->steps, B);
    for (int i = 3; i < 5; i++) s->leaf[i] = input(s->tape, data[i], s->layers, B);
    for (int i = 0; i < 5; i++) given_add(&s->in, data[i], tg_size(s->leaf[i]), s->leaf[i]);
    s->mark = tg_tape_mark(s->tape);
    s->program = compile_gradient(model(s), NULL, 0, s->leaf, 5, (const int[]){ 0, 1 }, 2);
    tg_release(s->mark);
    return s;
}

static void stop(void *state_)
{
    state *const s = state_;
    free_compiled(&s->program);
    tg_tape_free(s->tape);
    free(s->sequence);
    free(s->kept);
    free(s->soft);
    free(s);
}

static size_t results(void *state_, size_t *values)
{
    *values = 1;
    return 1 + (size_t)(8 * ((const state *)state_)->layers + 3) * B;
}

const problem lstm = { "lstm", { "L 2, 256", "L 2, 1024", "L 4, 1024" }, start, stop, results,
                       { primal, plain, expert, eager, program }, { 0 } };
