/* Step d derived by hand: layers by BLAS. */
#include "layers.h"
#include "softmax.h"

static void bias_relu(int rows, int n, const real *restrict b, real *restrict y)
{
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < n; j++) {
            const real z = y[r * n + j] + b[j];
            y[r * n + j] = z > 0 ? z : 0;
        }
}

/* g is cut where y is 0, and summed, in one pass. */
static void relu_gradient(int rows, int n, const real *restrict y, real *restrict g,
                          real *restrict db)
{
    memset(db, 0, (size_t)n * sizeof *db);
    for (int r = 0; r < rows; r++)
        for (int j = 0; j < n; j++) {
            const real slope = y[r * n + j] > 0 ? g[r * n + j] : 0;
            g[r * n + j] = slope;
            db[j] += slope;
        }
}

double TYPED(hand_relu_net)(hand *h)
{
    const int rows = h->batch, last = h->layers - 1;
    const real *y[8] = { h->x };
    real *at = h->room, *g[8] = { 0 }, loss = 0;
    for (int i = 1; i <= last; i++) {
        const int in = h->layer[i - 1], out = h->layer[i];
        real *const z = at;
        at += rows * out;
        times_weight(rows, out, in, y[i - 1], h->p[2 * i - 2], z);
        if (i < last) bias_relu(rows, out, h->p[2 * i - 1], z);
        y[i] = z;
        g[i] = i < last ? at : z;
        if (i < last) at += rows * out;
    }
    const real *const b = h->p[2 * last - 1];
    for (int r = 0; r < rows; r++) {
        real *const score = g[last] + r * h->layer[last];
        for (int c = 0; c < h->layer[last]; c++) score[c] += b[c];
        loss += softmax_row(score, h->layer[last], h->label[r], 1 / (real)rows);
    }
    bias_gradient(rows, h->layer[last], g[last], h->g[2 * last - 1]);
    for (int i = last; i >= 1; i--) {
        const int in = h->layer[i - 1], out = h->layer[i];
        weight_gradient(rows, out, in, g[i], y[i - 1], h->g[2 * i - 2]);
        if (i == 1) break;
        input_gradient(rows, out, in, g[i], h->p[2 * i - 2], g[i - 1]);
        relu_gradient(rows, in, y[i - 1], g[i - 1], h->g[2 * i - 3]);
    }
    return (double)(loss / (real)rows);
}

int64_t TYPED(hand_net_room)(const hand *h)
{
    int64_t n = 0;
    for (int i = 0; i < h->layers; i++) n += 2 * (int64_t)(h->batch + LANES) * h->layer[i];
    return n + 2 * (h->batch + LANES);
}
