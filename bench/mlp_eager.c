/* The same in scalar operations of the library, one by one. Compiled twice: with the operations of
   the header inlined, and (TG_NO_INLINE) with a call into the shared library for each. */
#include <stdlib.h>
#include <tapegrad.h>
#include <tapegrad/short.h>

#include "mlp.h"

typedef struct state {
    tg_tape *tape;
    tg_mark mark;
    Value w1[HIDDEN][INPUTS], b1[HIDDEN], w2[OUTPUTS][HIDDEN], b2[OUTPUTS];
    Value W1, B1, W2, B2;
    tg_tape_stats before, after;
} state;

static void *start(const mlp *p)
{
    state *s = malloc(sizeof *s);
    if (!s) return NULL;
    tg_tape *t = s->tape = tg_tape_new(NULL);
    s->W1 = param(t, p->w1, HIDDEN, INPUTS);
    s->B1 = param(t, p->b1, HIDDEN);
    s->W2 = param(t, p->w2, OUTPUTS, HIDDEN);
    s->B2 = param(t, p->b2, OUTPUTS);
    for (int j = 0; j < HIDDEN; j++) {
        s->b1[j] = at(s->B1, j);
        for (int i = 0; i < INPUTS; i++) s->w1[j][i] = at(s->W1, j, i);
        for (int k = 0; k < OUTPUTS; k++) s->w2[k][j] = at(s->W2, k, j);
    }
    for (int k = 0; k < OUTPUTS; k++) s->b2[k] = at(s->B2, k);
    s->mark = tg_tape_mark(t);
    return s;
}

static Value forward(state *s, const double *x0, int label)
{
    tg_tape *t = s->tape;
    Value x[INPUTS], h[HIDDEN], o[OUTPUTS];
    for (int i = 0; i < INPUTS; i++) x[i] = input(t, &x0[i]);
    for (int j = 0; j < HIDDEN; j++) {
        Value z = s->b1[j];
        for (int i = 0; i < INPUTS; i++) z = add(z, mul(s->w1[j][i], x[i]));
        h[j] = tanh(z);
    }
    for (int k = 0; k < OUTPUTS; k++) {
        Value z = s->b2[k];
        for (int j = 0; j < HIDDEN; j++) z = add(z, mul(s->w2[k][j], h[j]));
        o[k] = z;
    }
    Value total = exp(o[0]);
    for (int k = 1; k < OUTPUTS; k++) total = add(total, exp(o[k]));
    return sub(log(total), o[label]);
}

static void add_to(double *d, Value parameter, int n)
{
    const double *g = tg_grad(parameter);
    for (int i = 0; i < n; i++) d[i] += g[i];
}

static double step(void *state_, const mlp *p, const double *x, int label, mlp *d)
{
    (void)p;
    state *s = state_;
    s->before = tg_stats(s->tape);
    Value loss = forward(s, x, label);
    if (!tg_backward(loss)) exit(1);
    const double value = tg_item(loss);
    add_to(d->w1, s->W1, HIDDEN * INPUTS);
    add_to(d->b1, s->B1, HIDDEN);
    add_to(d->w2, s->W2, OUTPUTS * HIDDEN);
    add_to(d->b2, s->B2, OUTPUTS);
    s->after = tg_stats(s->tape);
    tg_release(s->mark);
    return value;
}

/* Of what a step recorded: instructions, values, adjoints and positions. */
static double bytes(void *state_)
{
    const state *s = state_;
    return (double)(s->after.bytes_used - s->before.bytes_used) / SCALAR_OPS;
}

static void stop(void *state_)
{
    state *s = state_;
    tg_tape_free(s->tape);
    free(s);
}

#ifdef TG_NO_INLINE
const way mlp_shared = { "scalar-ops-shared", start, step, bytes, stop };
#else
const way mlp_inline = { "scalar-ops", start, step, bytes, stop };
#endif
