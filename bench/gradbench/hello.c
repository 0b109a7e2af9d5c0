/* x^2. */
#include <stdlib.h>

#include "gradbench.h"
#include <tapegrad/short.h>

typedef struct state {
    given in;
    double x;
    tg_tape *tape;
    tg_mark mark;
    Value leaf;
    compiled program;
} state;

static Value model(Value x)
{
    return mul(x, x);
}

static void *start(int size)
{
    (void)size;
    state *const s = room(1, sizeof *s);
    s->x = 3;
    s->tape = row_tape();
    s->leaf = tg_scalar(s->tape, s->x);
    given_add(&s->in, &s->x, 1, s->leaf);
    s->mark = tg_tape_mark(s->tape);
    s->program = compile_gradient(model(s->leaf), NULL, 0, &s->leaf, 1, NULL, 0);
    tg_release(s->mark);
    return s;
}

static void stop(void *state_)
{
    state *const s = state_;
    free_compiled(&s->program);
    tg_tape_free(s->tape);
    free(s);
}

static size_t results(void *s, size_t *values)
{
    *values = 1;
    (void)s;
    return 2;
}

static void primal(void *state_, double *result)
{
    const state *const s = state_;
    *result = s->x * s->x;
}

static void by_hand(void *state_, double *result)
{
    const state *const s = state_;
    result[0] = s->x * s->x;
    result[1] = 2 * s->x;
}

static void eager(void *state_, double *result)
{
    const state *const s = state_;
    const Value y = model(s->leaf);
    must(tg_backward(y), "hello");
    result[0] = tg_item(y);
    result[1] = tg_grad_item(s->leaf);
    tg_release(s->mark);
}

static void program(void *state_, double *result)
{
    const state *const s = state_;
    run_compiled(&s->program, 1, (const void *[]){ &s->x }, (void *[]){ result, result + 1 });
}

const problem hello = { "hello", { "" }, start, stop, results,
                        { primal, by_hand, by_hand, eager, program }, { 0 } };
