/* LSTM and GRU. The part of x is one product for all steps; then come the steps. */
#include "inner.h"

#include <math.h>
#include <stdlib.h>

#include <tapegrad/ops.h>
#include <tapegrad/tape.h>

typedef struct recurrent {
    int64_t in, hidden;
    int blocks;
    bool no_bias, last;
} recurrent;

enum { LSTM = 4, GRU = 3 }; /* blocks, as nn.h names them */

/* parameters: weight_x, bias_x, weight_h, bias_h, or without the biases */
static tg_value part_of_x(tg_nn *l, tg_value x, const tg_site *site)
{
    const recurrent *const s = l->settings;
    return tg__nn_affine(l, x, 0, s->no_bias, site);
}

static tg_value part_of_h(tg_nn *l, tg_value h, const tg_site *site)
{
    const recurrent *const s = l->settings;
    return tg__nn_affine(l, h, s->no_bias ? 1 : 2, s->no_bias, site);
}

/* p: the part of x, (n, 4 hidden). */
static void lstm(tg_nn *l, tg_value p, tg_nn_carry *carry, const tg_site *site)
{
    tg_value z[LSTM];
    if (!tg_split_all_at(tg_add_at(p, part_of_h(l, carry->h, site), site), 1, LSTM, z, site)) {
        carry->h = carry->c = z[0];
        return;
    }
    const tg_value i = tg_sigmoid_at(z[0], site), f = tg_sigmoid_at(z[1], site);
    const tg_value g = tg_tanh_at(z[2], site), o = tg_sigmoid_at(z[3], site);
    carry->c = tg_add_at(tg_mul_at(f, carry->c, site), tg_mul_at(i, g, site), site);
    carry->h = tg_mul_at(o, tg_tanh_at(carry->c, site), site);
}

/* p: the part of x, (n, 3 hidden). (1 - z) n + z h = n + z (h - n) */
static void gru(tg_nn *l, tg_value p, tg_nn_carry *carry, const tg_site *site)
{
    tg_value a[GRU], b[GRU];
    if (!tg_split_all_at(p, 1, GRU, a, site) ||
        !tg_split_all_at(part_of_h(l, carry->h, site), 1, GRU, b, site)) {
        carry->h = (tg_value){ .tape = p.tape };
        return;
    }
    const tg_value r = tg_sigmoid_at(tg_add_at(a[0], b[0], site), site);
    const tg_value z = tg_sigmoid_at(tg_add_at(a[1], b[1], site), site);
    const tg_value n = tg_tanh_at(tg_add_at(a[2], tg_mul_at(r, b[2], site), site), site);
    carry->h = tg_add_at(n, tg_mul_at(z, tg_sub_at(carry->h, n, site), site), site);
}

static void step(tg_nn *l, tg_value p, tg_nn_carry *carry, const tg_site *site)
{
    if (((const recurrent *)l->settings)->blocks == LSTM) lstm(l, p, carry, site);
    else gru(l, p, carry, site);
}

/* Makes the null values of a state zeros; false, with the error, if the others have another
   shape. */
static bool begin(tg_nn *l, tg_value x, tg_nn_carry *carry, const tg_site *site)
{
    const recurrent *const s = l->settings;
    const int64_t shape[2] = { tg_dim(x, 0), s->hidden };
    tg_value *const part[2] = { &carry->h, &carry->c };
    for (int i = 0; i < (s->blocks == LSTM ? 2 : 1); i++) {
        if (!part[i]->tape) *part[i] = tg__nn_zeros(x, shape, 2, site);
        if (!part[i]->generation) return false;
        if (tg_rank(*part[i]) == 2 && tg_dim(*part[i], 0) == shape[0] &&
            tg_dim(*part[i], 1) == shape[1])
            continue;
        tg__nn_wrong(l, x, site, "the state has another shape than (%lld, %lld)",
                     (long long)shape[0], (long long)shape[1]);
        return false;
    }
    return true;
}

static tg_value sequence(tg_nn *l, tg_value x, tg_nn_carry *carry, const tg_site *site)
{
    const recurrent *const s = l->settings;
    tg_value nothing = { .tape = x.tape };
    if (!tg__nn_floats(l, x, site)) return nothing;
    if (tg_rank(x) != 3 || tg_dim(x, 2) != s->in || tg_dim(x, 1) < 1)
        return tg__nn_misfit(l, x, site, "(n, t, %lld), where t is at least 1", (long long)s->in);
    if (!begin(l, x, carry, site)) return nothing;
    const int64_t steps = tg_dim(x, 1);
    const tg_value p = part_of_x(l, x, site);
    tg_value *const h = calloc((size_t)steps, sizeof *h);
    if (!h) return tg__nn_wrong(l, x, site, "no memory for %lld steps", (long long)steps);
    for (int64_t i = 0; i < steps; i++) {
        step(l, tg_select_at(p, &(tg_select_attributes){ .axis = 1, .index = i }, site), carry,
             site);
        h[i] = carry->h;
    }
    const tg_value y =
        s->last ? carry->h : tg_stack_at(h, (int)steps, &(tg_axis_attributes){ .axis = 1 }, site);
    free(h);
    return y;
}

static tg_value run(tg_nn *l, tg_value x, const tg_site *site)
{
    tg_nn_carry carry = { 0 };
    return sequence(l, x, &carry, site);
}

/* Whether a layer can be run with a state. */
static bool usable(tg_nn *l, tg_value x, const tg_nn_carry *carry, const tg_site *site)
{
    if (!l) return tg_nn_fail(NULL, x, " "), false;
    if (l->run != run) return tg__nn_wrong(l, x, site, "it is no recurrent layer"), false;
    if (!carry) return tg__nn_wrong(l, x, site, "the state is NULL"), false;
    return tg__nn_usable(l, x, site);
}

tg_value tg_nn_sequence_at(tg_nn *l, tg_value x, tg_nn_carry *carry, const tg_site *site)
{
    if (!usable(l, x, carry, site)) return (tg_value){ .tape = x.tape };
    return sequence(l, x, carry, site);
}

tg_value tg_nn_step_at(tg_nn *l, tg_value x, tg_nn_carry *carry, const tg_site *site)
{
    const tg_value nothing = { .tape = x.tape };
    if (!usable(l, x, carry, site) || !tg__nn_floats(l, x, site)) return nothing;
    const recurrent *const s = l->settings;
    if (tg_rank(x) != 2 || tg_dim(x, 1) != s->in)
        return tg__nn_misfit(l, x, site, "(n, %lld)", (long long)s->in);
    if (!begin(l, x, carry, site)) return nothing;
    step(l, part_of_x(l, x, site), carry, site);
    return carry->h;
}

static tg_nn *new_recurrent(const char *kind, int blocks, int64_t in, int64_t hidden,
                            const tg_nn_recurrent_options *options)
{
    const tg_nn_recurrent_options o = options ? *options : (tg_nn_recurrent_options){ 0 };
    const recurrent s = { in, hidden, blocks, o.no_bias, o.last };
    tg_nn *const l = tg__nn_new(kind, run, &s, sizeof s);
    if (!tg__nn_positive(l, "in", in) || !tg__nn_positive(l, "hidden", hidden)) return l;
    const tg_nn_init standard = tg__nn_within(1 / sqrt((double)hidden));
    int64_t rows;
    if (__builtin_mul_overflow(blocks, hidden, &rows)) {
        tg__nn_mistake(l, TG_ERROR_SHAPE, "hidden is %lld: too many", (long long)hidden);
        return l;
    }
    for (int i = 0; i < 2; i++) {
        const int64_t shape[2] = { rows, i ? hidden : in };
        tg__nn_add(l, i ? "weight_h" : "weight_x", TG__NN_WEIGHT, o.weight, standard, shape, 2);
        if (!o.no_bias)
            tg__nn_add(l, i ? "bias_h" : "bias_x", TG__NN_BIAS, o.bias, standard, &rows, 1);
    }
    return l;
}

tg_nn *tg_nn_lstm_new(int64_t in, int64_t hidden, const tg_nn_recurrent_options *options)
{
    return new_recurrent("lstm", LSTM, in, hidden, options);
}

tg_nn *tg_nn_gru_new(int64_t in, int64_t hidden, const tg_nn_recurrent_options *options)
{
    return new_recurrent("gru", GRU, in, hidden, options);
}
