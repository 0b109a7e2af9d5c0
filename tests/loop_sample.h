/* A loop with all that loops may have, for the tests of loops and of their derivatives. */
#ifndef TESTS_LOOP_SAMPLE_H
#define TESTS_LOOP_SAMPLE_H

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include <tapegrad.h>
#include <tapegrad/short.h>

/* States: a vector and a number. For each step: a vector, rows of a table (integers). Shared: a
   matrix, the table. Stacked: a vector; summed: a number and a vector; and when to stop. */
enum {
    WIDTH = 3,
    ROWS = 4,
    STATES = 2,
    EACH = 2,
    INPUTS = 6,
    SUMMED = 2,
    OUTPUTS = 6,
    MOST_STEPS = 40
};

static void step(const Value *in, Value *out, double limit)
{
    Value h = in[0], c = in[1], x = in[2], row = in[3], w = in[4], table = in[5];
    Value e = select(embedding(table, row), .axis = 0, .index = 0);
    Value z = add(matmul(w, h), add(x, mul(e, c)));
    out[0] = add(mul(0.5, tanh(z)), mul(0.3, h));
    out[1] = sin(add(c, mul(at(out[0], 0), at(x, 1))));
    out[2] = mul(out[0], e);
    out[3] = mul(c, out[1]);
    out[4] = square(sub(z, out[0]));
    out[5] = gt(out[1], limit);
}

static const int64_t shape[INPUTS][2] = { { WIDTH, 0 }, { 0, 0 },         { WIDTH, 0 },
                                          { 1, 0 },     { WIDTH, WIDTH }, { ROWS, WIDTH } };
static const int rank[INPUTS] = { 1, 0, 1, 1, 2, 2 };

typedef struct loop_kind {
    tg_type type;
    bool stop, reverse, batch; /* batch: the body is compiled with batch inputs */
    double limit;
    int64_t steps;
    tg_compile_options o;
} loop_kind;

static tg_program *compile_step(const loop_kind *k)
{
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = k->type });
    Value in[INPUTS], out[OUTPUTS];
    for (int i = 0; i < INPUTS; i++) {
        const int64_t zero[4] = { 0 };
        in[i] = i == 3 ? tg_index_new(t, 8, zero, rank[i], shape[i], NULL)
                       : tg_leaf_new(t, TG_INPUT, TG_F64, NULL, rank[i], shape[i], NULL);
    }
    step(in, out, k->limit);
    cr_assert_null(tg_error_of(t), "%s", tg_error_of(t)->message);
    tg_status status = { 0 };
    const int n_batch = k->batch ? INPUTS : 0;
    tg_program *const p = tg_compile(out, k->stop ? OUTPUTS : OUTPUTS - 1, in, n_batch,
                                     in + n_batch, INPUTS - n_batch, &k->o, &status);
    cr_assert(p, "%s", status.message);
    tg_tape_free(t);
    return p;
}

static void make_inputs(tg_tape *t, const loop_kind *k, Value *x)
{
    for (int i = 0; i < INPUTS; i++) {
        double d[MOST_STEPS * WIDTH * WIDTH];
        int64_t rows[MOST_STEPS], dim[3] = { k->steps };
        const bool each = i >= STATES && i < STATES + EACH;
        memcpy(dim + each, shape[i], sizeof shape[i]);
        for (int j = 0; j < MOST_STEPS * WIDTH * WIDTH; j++) d[j] = 0.8 * sin(1.0 + 3 * i + j);
        for (int j = 0; j < MOST_STEPS; j++) rows[j] = j * 7 % ROWS;
        x[i] = i == 3 ? tg_index_new(t, 8, rows, rank[i] + each, dim, NULL)
                      : tg_leaf_new(t, TG_PARAMETER, TG_F64, d, rank[i] + each, dim, NULL);
    }
}

/* A number of all that a loop makes. */
static Value loss_of(Value h, Value c, Value stacked, Value number, Value vector)
{
    Value l = add(sum(mul(h, sin(h))), mul(c, add(c, 0.5)));
    return add(add(l, sum(mul(stacked, exp(stacked)))),
               add(square(number), sum(mul(vector, vector))));
}

/* Records the loop; out gets its outputs. */
static void record_loop(const loop_kind *k, const tg_program *body, const Value *x, int64_t slots, Value *out)
{
    const tg_scan_options o = { .steps = k->steps,
                                .states = STATES,
                                .each = EACH,
                                .summed = SUMMED,
                                .stop = k->stop,
                                .reverse = k->reverse,
                                .slots = slots };
    const bool ok = tg_scan(body, &o, x, INPUTS, out);
    cr_assert(ok, "%s", tg_error_of(x[0].tape) ? tg_error_of(x[0].tape)->message : "");
}

#endif
