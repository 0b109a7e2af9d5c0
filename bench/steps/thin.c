/* Steps c and e derived by hand: one hidden layer between thin ones. The batch lies in the lanes. */
#include <stdbool.h>

#include "lanes.h"

/* The batch lies in the lanes: x (in, batch) and the target (out, batch), one-hot for classes, are
   turned once; hidden units are one behind the other. */
typedef struct turned {
    int blocks, in, out, hidden;
    lanes *x, *target, *share, *unit, *slope; /* share: 1 / n, and 0 behind the batch */
} turned;

static turned turned_of(const hand *h, int in, int out)
{
    const int blocks = (h->batch + LANES - 1) / LANES;
    turned t = { .blocks = blocks, .in = in, .out = out, .hidden = h->layer[1] };
    t.x = (lanes *)(void *)h->room;
    t.target = t.x + in * blocks;
    t.share = t.target + out * blocks;
    t.slope = t.share + blocks;
    t.unit = t.slope + out * blocks;
    return t;
}

static void turn(const hand *h, int in, int out)
{
    const turned t = turned_of(h, in, out);
    const real *const x = h->x, *const target = h->target;
    for (int i = 0; i < t.blocks * LANES; i++) {
        const bool there = i < h->batch;
        for (int k = 0; k < in; k++)
            t.x[k * t.blocks + i / LANES][i % LANES] = there ? x[i * in + k] : 0;
        for (int c = 0; c < out; c++)
            t.target[c * t.blocks + i / LANES][i % LANES] =
                !there ? 0 : h->label ? (real)(h->label[i] == c) : target[i];
        t.share[i / LANES][i % LANES] = there ? 1 / (real)h->batch : 0;
    }
}

/* The loss of a block of scores, and its gradient. product gathers the factors of one logarithm. */
static inline lanes scored(const turned *t, int b, const lanes *y, bool classes, lanes *product)
{
    lanes loss = { 0 }, most = y[0], sum = { 0 }, e[4];
    const lanes share = t->share[b];
    if (!classes) {
        const lanes off = y[0] - t->target[b];
        t->slope[b] = 2 * off * share;
        return off * off * share;
    }
    for (int c = 1; c < t->out; c++) most = larger(most, y[c]);
    for (int c = 0; c < t->out; c++) sum += e[c] = exp_of(y[c] - most);
    for (int c = 0; c < t->out; c++) {
        const lanes target = t->target[c * t->blocks + b];
        t->slope[c * t->blocks + b] = (e[c] / sum - target) * share;
        loss += target * (most - y[c]);
    }
    *product *= choose(share > 0, sum, all(1));
    return loss * share;
}

static inline lanes forward(const hand *h, const turned *t, bool classes, lanes *product)
{
    const real *const w1 = h->p[0], *const b1 = h->p[1], *const w2 = h->p[2], *const b2 = h->p[3];
    lanes loss = { 0 };
    for (int b = 0; b < t->blocks; b++) {
        lanes y[4];
        for (int c = 0; c < t->out; c++) y[c] = all(b2[c]);
        for (int j = 0; j < t->hidden; j++) {
            lanes z = all(b1[j]);
            for (int k = 0; k < t->in; k++) z += w1[j * t->in + k] * t->x[k * t->blocks + b];
            const lanes a = classes ? tanh_of(z) : sigmoid_of(z);
            t->unit[j * t->blocks + b] = a;
            for (int c = 0; c < t->out; c++) y[c] += w2[c * t->hidden + j] * a;
        }
        loss += scored(t, b, y, classes, product);
    }
    return loss;
}

/* The gradients by a unit's weights, summed in registers. */
static inline void backward(const hand *h, const turned *t, bool classes)
{
    const real *const w2 = h->p[2];
    real *const g1 = h->g[0], *const gb1 = h->g[1], *const g2 = h->g[2], *const gb2 = h->g[3];
    for (int j = 0; j < t->hidden; j++) {
        lanes dw2[4] = { 0 }, dw1[2] = { 0 }, db1 = { 0 };
        for (int b = 0; b < t->blocks; b++) {
            const lanes a = t->unit[j * t->blocks + b];
            lanes g = { 0 };
            for (int c = 0; c < t->out; c++) {
                const lanes slope = t->slope[c * t->blocks + b];
                g += w2[c * t->hidden + j] * slope;
                dw2[c] += a * slope;
            }
            g *= classes ? 1 - a * a : a * (1 - a);
            db1 += g;
            for (int k = 0; k < t->in; k++) dw1[k] += g * t->x[k * t->blocks + b];
        }
        for (int c = 0; c < t->out; c++) g2[c * t->hidden + j] = sum_of(dw2[c]);
        for (int k = 0; k < t->in; k++) g1[j * t->in + k] = sum_of(dw1[k]);
        gb1[j] = sum_of(db1);
    }
    for (int c = 0; c < t->out; c++) {
        lanes db2 = { 0 };
        for (int b = 0; b < t->blocks; b++) db2 += t->slope[c * t->blocks + b];
        gb2[c] = sum_of(db2);
    }
}

static inline double net(const hand *h, int in, int out, bool classes)
{
    const turned t = turned_of(h, in, out);
    lanes product = all(1);
    real loss = sum_of(forward(h, &t, classes, &product));
    if (classes) loss += log_of_product(product) / (real)h->batch;
    backward(h, &t, classes);
    return (double)loss;
}

double TYPED(hand_tanh_net)(hand *h) { return net(h, 2, 3, true); }
double TYPED(hand_sigmoid_net)(hand *h) { return net(h, 1, 1, false); }

void TYPED(hand_turn)(hand *h)
{
    turn(h, h->layer[0], h->layer[2]);
}
