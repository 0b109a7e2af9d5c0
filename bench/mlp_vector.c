/* The same in operations on whole layers. */
#include <stdlib.h>
#include <tapegrad.h>
#include <tapegrad/short.h>

#include "mlp.h"

typedef struct state {
    tg_tape *tape;
    tg_mark mark;
    Value W1, b1, W2, b2;
} state;

static void *start(const mlp *p)
{
    state *s = malloc(sizeof *s);
    if (!s) return NULL;
    tg_tape *t = s->tape = tg_tape_new(NULL);
    s->W1 = param(t, p->w1, HIDDEN, INPUTS);
    s->b1 = param(t, p->b1, HIDDEN);
    s->W2 = param(t, p->w2, OUTPUTS, HIDDEN);
    s->b2 = param(t, p->b2, OUTPUTS);
    s->mark = tg_tape_mark(t);
    return s;
}

static void add_to(double *d, Value parameter, int n)
{
    const double *g = tg_grad(parameter);
    for (int i = 0; i < n; i++) d[i] += g[i];
}

static double step(void *state_, const mlp *p, const double *x0, int label, mlp *d)
{
    (void)p;
    state *s = state_;
    tg_tape *t = s->tape;
    Value x = input(t, x0, INPUTS), y = index(t, &label);
    Value h = tanh(linear(x, s->W1, s->b1));
    Value loss = cross_entropy(linear(h, s->W2, s->b2), y);
    if (!tg_backward(loss)) exit(1);
    const double value = tg_item(loss);
    add_to(d->w1, s->W1, HIDDEN * INPUTS);
    add_to(d->b1, s->b1, HIDDEN);
    add_to(d->w2, s->W2, OUTPUTS * HIDDEN);
    add_to(d->b2, s->b2, OUTPUTS);
    tg_release(s->mark);
    return value;
}

static void stop(void *state_)
{
    state *s = state_;
    tg_tape_free(s->tape);
    free(s);
}

const way mlp_vector = { "vector-ops", start, step, NULL, stop };
