/* Steps a and b derived by hand: one layer, whose data is read once or twice. */
#include <string.h>

#include "softmax.h"

/* ---- logistic regression --------------------------------------------------------------------- */

/* 100 numbers: whole vectors, and a last one that begins in the one before, of whose products the last
   four count. */
enum { INPUTS = 100, PARTS = INPUTS / LANES + 1 };
static inline int part(int i) { return i < PARTS - 1 ? i * LANES : INPUTS - LANES; }
static inline lanes last_four(lanes x)
{
    for (int i = 0; i < LANES - INPUTS % LANES; i++) x[i] = 0;
    return x;
}

/* x is read once: the gradient of some rows follows while they are in the nearest cache. */
double TYPED(hand_logistic)(hand *h)
{
    const real *const p = h->p[0], *const b = h->p[1], *const x = h->x, *const target = h->target;
    real *const g = h->g[0], *const gb = h->g[1];
    const real scale = 1 / (real)h->batch;
    lanes w[PARTS], dw[PARTS] = { 0 }, db = { 0 }, loss = { 0 }, product = all(1);
    for (int i = 0; i < PARTS; i++) w[i] = load(p + part(i));
    w[PARTS - 1] = last_four(w[PARTS - 1]);
    for (int row = 0; row < h->batch; row += LANES) {
        const int rows = h->batch - row < LANES ? h->batch - row : LANES;
        real z[LANES] = { 0 }, y[LANES] = { 0 }, there[LANES] = { 0 }, d[LANES];
        for (int r = 0; r < rows; r++) {
            lanes s = { 0 };
            for (int i = 0; i < PARTS; i++) s += w[i] * load(x + (row + r) * INPUTS + part(i));
            z[r] = sum_of(s) + *b;
            y[r] = target[row + r];
            there[r] = 1;
        }
        /* max(z, 0) - y z + log(1 + exp(-|z|)); the logarithms of all are that of a product. */
        const lanes at = load(z), e = exp_of(choose(at > 0, -at, at)), t = load(there);
        loss += t * (choose(at > 0, at, (lanes){ 0 }) - load(y) * at);
        product *= 1 + t * e;
        const lanes a = choose(at > 0, all(1), e) / (1 + e), slope = t * (a - load(y)) * scale;
        db += slope;
        store(d, slope);
        for (int r = 0; r < rows; r++)
            for (int i = 0; i < PARTS; i++)
                dw[i] += d[r] * load(x + (row + r) * INPUTS + part(i));
    }
    for (int i = 0; i < PARTS; i++) store(g + part(i), dw[i]);
    *gb = sum_of(db);
    return (double)((sum_of(loss) + log_of_product(product)) * scale);
}

/* ---- softmax --------------------------------------------------------------------------------- */

enum { CLASSES = 10, PIXELS = 784 };

static inline void scores_of(const hand *h, int row, real *score)
{
    const real *const x = (const real *)h->x + row * PIXELS, *const p = h->p[0], *const b = h->p[1];
    lanes s[2][CLASSES] = { 0 };
    for (int k = 0; k < PIXELS; k += LANES) {
        const lanes x0 = load(x + k), x1 = load(x + PIXELS + k);
        for (int c = 0; c < CLASSES; c++) {
            const lanes w = load(p + c * PIXELS + k);
            s[0][c] += x0 * w;
            s[1][c] += x1 * w;
        }
    }
    for (int c = 0; c < CLASSES; c++) {
        score[c] = sum_of(s[0][c]) + b[c];
        score[CLASSES + c] = sum_of(s[1][c]) + b[c];
    }
}

/* The gradient by width vectors of weights of each class. */
static inline void softmax_gradient(const hand *h, const real *slope, int k, int width)
{
    const real *const x = h->x;
    real *const g = h->g[0];
    lanes s[2][CLASSES] = { 0 };
    for (int r = 0; r < h->batch; r++)
        for (int i = 0; i < width; i++) {
            const lanes own = load(x + r * PIXELS + k + i * LANES);
            for (int c = 0; c < CLASSES; c++) s[i][c] += own * slope[r * CLASSES + c];
        }
    for (int i = 0; i < width; i++)
        for (int c = 0; c < CLASSES; c++) store(g + c * PIXELS + k + i * LANES, s[i][c]);
}

double TYPED(hand_softmax)(hand *h)
{
    real *const score = h->room, *const gb = h->g[1], loss = 0;
    for (int r = 0; r < h->batch; r += 2) scores_of(h, r, score + r * CLASSES);
    memset(gb, 0, CLASSES * sizeof *gb);
    for (int r = 0; r < h->batch; r++) {
        loss += softmax_row(score + r * CLASSES, CLASSES, h->label[r], 1 / (real)h->batch);
        for (int c = 0; c < CLASSES; c++) gb[c] += score[r * CLASSES + c];
    }
    int k = 0;
    for (; k + 2 * LANES <= PIXELS; k += 2 * LANES) softmax_gradient(h, score, k, 2);
    for (; k < PIXELS; k += LANES) softmax_gradient(h, score, k, 1);
    return (double)(loss / (real)h->batch);
}

