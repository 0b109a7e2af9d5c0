/* Self-attention, and the block made of it. */
#include "inner.h"

#include <tapegrad/ops.h>
#include <tapegrad/tape.h>

typedef struct attention {
    int64_t d, heads;
    bool causal;
} attention;

enum { QKV, OUT }; /* layers */

static tg_value run_attention(tg_nn *l, tg_value x, const tg_site *site)
{
    const attention *const s = l->settings;
    const tg_value nothing = { .tape = x.tape };
    if (!tg__nn_floats(l, x, site)) return nothing;
    if (tg_rank(x) != 3 || tg_dim(x, 2) != s->d)
        return tg__nn_misfit(l, x, site, "(n, t, %lld)", (long long)s->d);
    const int64_t n = tg_dim(x, 0), t = tg_dim(x, 1);
    tg_value part[3]; /* q, k, v: (n, t, d), then (n, heads, t, d / heads) */
    if (!tg_split_all_at(tg__nn_apply(l->layer[QKV], x, site), 2, 3, part, site)) return nothing;
    for (int i = 0; i < 3; i++) {
        const int64_t apart[4] = { n, t, s->heads, s->d / s->heads };
        part[i] = tg__nn_swapped(tg__nn_reshaped(part[i], apart, 4, site), 1, 2, site);
    }
    const tg_value y = tg_attention_at(part[0], part[1], part[2],
                                       &(tg_attention_attributes){ .causal = s->causal }, site);
    const int64_t together[3] = { n, t, s->d };
    return tg__nn_apply(l->layer[OUT],
                        tg__nn_reshaped(tg__nn_swapped(y, 1, 2, site), together, 3, site), site);
}

tg_nn *tg_nn_attention_new(int64_t d, int64_t heads, const tg_nn_attention_options *options)
{
    const tg_nn_attention_options o = options ? *options : (tg_nn_attention_options){ 0 };
    const attention s = { d, heads, o.causal };
    const tg_nn_init zeros = { .scheme = TG_INIT_ZEROS },
                     xavier = { .scheme = TG_INIT_XAVIER_UNIFORM };
    const tg_nn_init bias = o.bias.scheme != TG_INIT_DEFAULT ? o.bias : zeros;
    const int64_t some = d > 0 && d < INT64_MAX / 3 ? d : 1; /* a wrong one is reported below */
    tg_nn *const qkv =
        tg_nn_linear_new(some, 3 * some, &(tg_nn_linear_options){ o.weight, bias, o.no_bias });
    tg_nn *const out =
        tg_nn_linear_new(some, some, &(tg_nn_linear_options){ o.weight, bias, o.no_bias });
    if (qkv && qkv->parameters > 0) qkv->parameter[0].standard = xavier;
    tg_nn *const l =
        tg__nn_around("attention", run_attention, &s, sizeof s,
                      (tg_nn *[]){ tg_nn_named("qkv", qkv), tg_nn_named("out", out) }, 2);
    if (!tg__nn_positive(l, "d", d) || !tg__nn_positive(l, "heads", heads)) return l;
    if (d % heads)
        tg__nn_mistake(l, TG_ERROR_ARGUMENT, "d, %lld, cannot be divided among %lld heads",
                       (long long)d, (long long)heads);
    return l;
}

tg_nn *tg_nn_transformer_new(int64_t d, int64_t heads, const tg_nn_transformer_options *options)
{
    const tg_nn_transformer_options o = options ? *options : (tg_nn_transformer_options){ 0 };
    const int64_t hidden = o.hidden ? o.hidden : d < INT64_MAX / 4 ? 4 * d : d;
    const tg_nn_linear_options plain = { .weight = o.weight, .bias = o.bias };
    const tg_nn_attention_options looking = { .weight = o.weight,
                                              .bias = o.bias,
                                              .causal = o.causal };
    tg_nn *const look[] = {
        tg_nn_named("norm", tg_nn_layer_norm_new(d, NULL)),
        tg_nn_named("heads", tg_nn_attention_new(d, heads, &looking)),
        tg_nn_named("dropout", tg_nn_dropout_new(o.dropout)),
    };
    tg_nn *const mlp[] = {
        tg_nn_named("norm", tg_nn_layer_norm_new(d, NULL)),
        tg_nn_named("in", tg_nn_linear_new(d, hidden, &plain)),
        tg_nn_named("activation", tg_nn_activation_new(o.activation ? o.activation : "gelu", NULL)),
        tg_nn_named("out", tg_nn_linear_new(hidden, d, &plain)),
        tg_nn_named("dropout", tg_nn_dropout_new(o.dropout)),
    };
    tg_nn *const halves[] = { tg_nn_named("attention", tg_nn_residual_new(look, 3)),
                              tg_nn_named("mlp", tg_nn_residual_new(mlp, 5)) };
    return tg__nn_around("transformer", tg__nn_chain, NULL, 0, halves, 2);
}
