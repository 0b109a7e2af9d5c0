/* Derivatives of loops that have derivatives in them: see nested.h. */
#include <stdlib.h>
#include <string.h>

#include "../timing.h"
#include "nested.h"
#include <tapegrad/short.h>

nested *nested_start(int variant, const double *start, int n)
{
    nested *const s = room(1, sizeof *s);
    memcpy(s->start, start, (size_t)n * sizeof *start);
    memcpy(s->place, s->start, sizeof s->place);
    given_add(&s->in, s->start, n, (tg_value){ 0 });
    s->outer_forward = variant >= 2;
    s->inner_forward = variant % 2 == 1;
    s->steps = FIRST_STEPS;
    s->tape = row_tape();
    s->mark = tg_tape_mark(s->tape);
    return s;
}

void nested_stop(void *state)
{
    nested *const s = state;
    free_compiled(&s->program);
    free_compiled(&s->value);
    tg_program_free(s->end);
    tg_program_free(s->along);
    tg_program_free(s->derivative);
    tg_program_free(s->step);
    tg_program_free(s->inner);
    tg_tape_free(s->tape);
    free(s);
}

/* ---- the derivative inside --------------------------------------------------------------------- */

void nested_gradient(const nested *s, Value f, const Value x[INNER], Value gradient[INNER])
{
    if (!s->inner_forward) {
        must(tg_grad_values(&f, NULL, 1, x, INNER, gradient), "inner gradient");
        return;
    }
    const Value one = tg_number(s->tape, 1), zero = tg_number(s->tape, 0);
    const Value along[INNER][INNER] = { { one, zero }, { zero, one } };
    for (int i = 0; i < INNER; i++)
        must(tg_jvp_values(&f, 1, x, along[i], INNER, &gradient[i]), "inner derivative");
}

/* Outputs as a function of inputs; not the time of compile(), which counts. */
static tg_program *new_program(const Value *outputs, int n_outputs, const Value *inputs, int n)
{
    tg_status status = { 0 };
    const double start = now_ns();
    tg_program *const p = tg_compile(outputs, n_outputs, NULL, 0, inputs, n, NULL, &status);
    compiling.ns += now_ns() - start;
    must(p, status.message);
    return p;
}

/* Its derivative along tangents of the inputs wrt; NULL: of all. */
static tg_program *forward(const tg_program *p, const int *wrt, int n)
{
    tg_status status = { 0 };
    const double start = now_ns();
    tg_program *const d = tg_jvp_program(p, wrt, n, &status);
    compiling.ns += now_ns() - start;
    must(d, status.message);
    return d;
}

static tg_program *reverse(const tg_program *p, const int *wrt, int n)
{
    tg_status status = { 0 };
    const double start = now_ns();
    tg_program *const d = tg_gradient_program(p, &(tg_gradient_options){ .wrt = wrt, .n_wrt = n }, &status);
    compiling.ns += now_ns() - start;
    must(d, status.message);
    return d;
}

void nested_compile(nested *s, Value f, const Value *inputs, int n)
{
    static const int x[INNER] = { 0, 1 };
    tg_program *const p = new_program(&f, 1, inputs, n);
    s->inner = s->inner_forward ? forward(p, x, INNER) : reverse(p, x, INNER);
    tg_program_free(p);
}

/* Reverse: one call. Forward: one along each axis. */
void nested_call(const nested *s, const Value *inputs, int n, Value gradient[INNER])
{
    Value in[STATES + INNER], out[1 + INNER];
    memcpy(in, inputs, (size_t)n * sizeof *in);
    if (!s->inner_forward) {
        must(tg_call(s->inner, in, n, out), "inner gradient");
        memcpy(gradient, out + 1, INNER * sizeof *out);
        return;
    }
    for (int i = 0; i < INNER; i++) {
        for (int j = 0; j < INNER; j++) in[n + j] = tg_number(in[0].tape, i == j);
        must(tg_call(s->inner, in, n + INNER, out), "inner derivative");
        gradient[i] = out[1];
    }
}

/* ---- the loop ---------------------------------------------------------------------------------- */

/* Forward mode: the tangents of the smooth states are states, too, as many times as there are shared
   inputs, each of which is a direction. What the calls have in common is done once. */
static void add_tangents(nested *s)
{
    const int smooth = s->smooth, shared = s->shared, states = s->states + shared * smooth;
    int wrt[2 * STATES], n = 0;
    for (int i = 0; i < smooth; i++) wrt[n++] = i;
    for (int i = 0; i < shared; i++) wrt[n++] = s->states + i;
    s->derivative = forward(s->step, wrt, n);
    tg_tape *const t = tg_tape_new(NULL);
    Value in[2 * STATES], own[4 * STATES], made[2 * STATES], out[2 * STATES];
    for (int i = 0; i < states + shared; i++) in[i] = scalar(t, 1);
    for (int k = 0; k < shared; k++) {
        n = 0;
        for (int i = 0; i < s->states; i++) own[n++] = in[i];
        for (int i = 0; i < shared; i++) own[n++] = in[states + i];
        for (int i = 0; i < smooth; i++) own[n++] = in[s->states + k * smooth + i];
        for (int i = 0; i < shared; i++) own[n++] = tg_number(t, i == k);
        must(tg_call(s->derivative, own, n, made), "step");
        memcpy(out + s->states + k * smooth, made + s->states + 1, (size_t)smooth * sizeof *out);
    }
    memcpy(out, made, (size_t)s->states * sizeof *out);
    out[states] = made[s->states]; /* whether it is the last one */
    s->along = new_program(out, states + 1, in, states + shared);
    tg_tape_free(t);
}

void nested_step(nested *s, const Value *outputs, const Value *inputs, int states, int smooth, int shared)
{
    s->states = states, s->smooth = smooth, s->shared = shared;
    s->step = new_program(outputs, states + 1, inputs, states + shared);
    if (s->outer_forward) add_tangents(s);
}

void nested_end(nested *s, Value f, const Value *inputs)
{
    tg_program *const p = new_program(&f, 1, inputs, s->smooth + s->shared);
    s->end = s->outer_forward ? forward(p, NULL, 0) : p;
    if (s->outer_forward) tg_program_free(p);
}

/* f of the loop's end; forward also its derivatives, the tangents lying behind the states. */
static void finish(const nested *s, const Value *end, const Value *shared, Value *out)
{
    Value in[4 * STATES], made[2];
    for (int k = 0; k < (s->outer_forward ? s->shared : 1); k++) {
        int n = 0;
        for (int i = 0; i < s->smooth; i++) in[n++] = end[i];
        for (int i = 0; i < s->shared; i++) in[n++] = shared[i];
        for (int i = 0; s->outer_forward && i < s->smooth; i++) in[n++] = end[s->states + k * s->smooth + i];
        for (int i = 0; s->outer_forward && i < s->shared; i++) in[n++] = tg_number(end[0].tape, i == k);
        must(tg_call(s->end, in, n, made), "end");
        out[0] = made[0];
        if (s->outer_forward) out[1 + k] = made[1];
    }
}

bool nested_outer(nested *s, const Value *states, const Value *shared)
{
    const int tangents = s->outer_forward ? s->shared * s->smooth : 0;
    const tg_scan_options o = { .steps = s->steps, .states = s->states + tangents, .stop = true,
                                .slots = s->outer_forward ? 1 : s->steps };
    Value in[2 * STATES], end[2 * STATES], out[1 + STATES];
    int n = 0;
    for (int i = 0; i < s->states; i++) in[n++] = states[i];
    for (int i = 0; i < tangents; i++) in[n++] = tg_number(shared[0].tape, 0);
    for (int i = 0; i < s->shared; i++) in[n++] = shared[i];
    must(tg_scan(s->outer_forward ? s->along : s->step, &o, in, n, end), "loop");
    finish(s, end, shared, out);
    if (!tg_true(lt(end[s->states + tangents], (double)s->steps))) return false;
    s->program = s->outer_forward ? compile(out, 1 + s->shared, NULL, 0, shared, s->shared)
                                  : compile_gradient(out[0], NULL, 0, shared, s->shared, NULL, 0);
    s->value = compile(end, s->smooth, NULL, 0, shared, s->shared);
    return true;
}

void nested_record(nested *s)
{
    for (; s->steps <= MOST_STEPS; s->steps *= 2) {
        tg_tape *const t = tg_tape_new(NULL);
        const bool enough = s->record(s, t);
        tg_tape_free(t);
        if (enough) return;
    }
    s->too_long = true;
}

static bool run(nested *s, compiled *c, const void *const *shared, void *const *outputs)
{
    while (!s->too_long) {
        if (try_compiled(c, 1, shared, outputs)) return true;
        free_compiled(&s->program);
        free_compiled(&s->value);
        s->steps *= 2;
        nested_record(s);
    }
    return false;
}

bool nested_run(nested *s, const void *const *shared, void *const *outputs)
{
    return run(s, &s->program, shared, outputs);
}

bool nested_look(nested *s, const void *const *shared, double *end)
{
    void *to[STATES];
    for (int i = 0; i < s->smooth; i++) to[i] = end + i;
    return run(s, &s->value, shared, to);
}
