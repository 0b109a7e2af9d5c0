#include "on_tape.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <tapegrad/short.h>

static const double samples[SAMPLES * FEATURES] = { 1,  0.5, -1, 2,    1.5, 0.25, -1, -2, 0.5,
                                                    -1, 0.5, 2,  0.75, -1,  1,    3,  1,  -0.5 };
static const double labels[SAMPLES] = { 1, 1, -1, -1, 1, -1 };
ridge_data example = { .m = SAMPLES, .n = FEATURES, .x = samples, .label = labels, .lambda = 0.1 };
const double weights[FEATURES] = { 0.3, -0.7, 1.1 };

tg_value ridge_on_tape(tg_tape *t, const tg_value *inputs, void *user)
{
    const ridge_data *const d = user;
    Value w = inputs[0];
    Value x = constant(t, d->x, (int64_t)d->m, (int64_t)d->n),
          label = constant(t, d->label, (int64_t)d->m);
    Value z = mul(label, matmul(x, w));
    return add(mean(softplus(neg(z))), mul(d->lambda / 2, sum(square(w))));
}

static bool same(double a, double b)
{
    return fabs(a - b) <= 1e-12 * fmax(1, fmax(fabs(a), fabs(b)));
}

bool hand_agrees(const double *w, size_t n, ridge_data *data, char *message, size_t size)
{
    tg_tape *t = tg_tape_new(NULL);
    double *g = malloc(n * sizeof *g);
    Value W = param(t, w, (int64_t)n);
    Value loss = ridge_on_tape(t, &W, data);
    bool agrees = g && tg_backward(loss) && same(tg_item(loss), ridge_loss(w, n, data));
    if (!agrees) snprintf(message, size, "the loss is not the one on the tape");
    if (agrees) ridge_gradient(w, n, g, data);
    for (size_t j = 0; agrees && j < n; j++) {
        agrees = same(g[j], tg_grad(W)[j]);
        if (!agrees)
            snprintf(message, size, "gradient[%zu] is %.15g by hand, %.15g on the tape", j, g[j],
                     tg_grad(W)[j]);
    }
    free(g);
    tg_tape_free(t);
    return agrees;
}
