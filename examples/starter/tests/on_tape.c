#include "on_tape.h"

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

void gradient_on_tape(const double *w, size_t n, double *g, ridge_data *data)
{
    tg_tape *t = tg_tape_new(NULL);
    Value W = param(t, w, (int64_t)n);
    if (tg_backward(ridge_on_tape(t, &W, data))) tg_grad_read(W, g, n);
    tg_tape_free(t);
}
