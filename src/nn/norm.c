/* Normalizations. */
#include "inner.h"

#include <math.h>

#include <tapegrad/ops.h>
#include <tapegrad/tape.h>

typedef struct norm {
    int64_t d, groups; /* of the last axis, or channels */
    double epsilon, momentum;
    bool plain, last; /* without weight and bias; over the last axis */
    bool centered;    /* there is a bias */
} norm;

enum { MEAN, VARIANCE }; /* arrays of batch_norm */

/* Whether x has the right axis; false with the error. */
static bool fits(tg_nn *l, tg_value x, const tg_site *site)
{
    const norm *const s = l->settings;
    if (!tg__nn_floats(l, x, site)) return false;
    const int axis = s->last ? -1 : 1;
    if (tg_rank(x) > (s->last ? 0 : 1) && tg_dim(x, axis) == s->d) return true;
    tg__nn_misfit(l, x, site, s->last ? "(..., %lld)" : "(n, %lld, ...)", (long long)s->d);
    return false;
}

/* The weight, or the number that stands for it, and the bias. */
static tg_value weight_of(tg_nn *l, tg_value x, const tg_site *site)
{
    return ((const norm *)l->settings)->plain ? tg_number_new(x.tape, 1, site) : l->value[0];
}

static tg_value bias_of(tg_nn *l, tg_value x, const tg_site *site)
{
    return ((const norm *)l->settings)->plain ? tg_number_new(x.tape, 0, site) : l->value[1];
}

static tg_value run_layer_norm(tg_nn *l, tg_value x, const tg_site *site)
{
    const norm *const s = l->settings;
    if (!fits(l, x, site)) return (tg_value){ 0 };
    return tg_layer_norm_at(x, weight_of(l, x, site), bias_of(l, x, site),
                            &(tg_normalize_attributes){ s->epsilon }, site);
}

static tg_value run_rms_norm(tg_nn *l, tg_value x, const tg_site *site)
{
    const norm *const s = l->settings;
    if (!fits(l, x, site)) return (tg_value){ 0 };
    return tg_rms_norm_at(x, weight_of(l, x, site), &(tg_normalize_attributes){ s->epsilon }, site);
}

static tg_value run_group_norm(tg_nn *l, tg_value x, const tg_site *site)
{
    const norm *const s = l->settings;
    if (!fits(l, x, site)) return (tg_value){ 0 };
    return tg_group_norm_at(x, weight_of(l, x, site), bias_of(l, x, site),
                            &(tg_groups_attributes){ s->groups, s->epsilon }, site);
}

/* ---- batch_norm ------------------------------------------------------------------------------ */

/* running = (1 - momentum) running + momentum (a statistic of the batch). */
static bool follow(tg_nn *l, int array, tg_value statistic)
{
    const norm *const s = l->settings;
    double *const running = tg__nn_next(l, array);
    const double *const wide = tg_type_of(statistic) == TG_F64 ? tg_data(statistic) : NULL;
    const float *const narrow = tg_type_of(statistic) == TG_F32 ? tg_data_f32(statistic) : NULL;
    if (!wide && !narrow) return false;
    for (int64_t i = 0; i < s->d; i++)
        running[i] += s->momentum * ((wide ? wide[i] : (double)narrow[i]) - running[i]);
    return true;
}

/* Takes the batch's statistics; false after an error. */
static bool take_statistics(tg_nn *l, tg_value x, const tg_site *site)
{
    tg_reduce_attributes others = { TG_DEFAULTS_reduce };
    for (int i = 0; i < tg_rank(x); i++)
        if (i != 1) others.axes.axis[others.axes.count++] = i;
    tg_no_grad_begin(x.tape);
    const tg_value mean = tg_mean_at(x, &others, site), variance = tg_var_at(x, &others, site);
    tg_no_grad_end(x.tape);
    return mean.generation && variance.generation && follow(l, MEAN, mean) &&
           follow(l, VARIANCE, variance);
}

/* An array of numbers for each channel as a constant that broadcasts to x. */
static tg_value for_channels(tg_value x, const double *data, int64_t n, const tg_site *site)
{
    int64_t shape[TG_MAX_RANK] = { n };
    for (int i = 1; i < tg_rank(x) - 1; i++) shape[i] = 1;
    return tg_leaf_new(x.tape, TG_CONSTANT, TG_F64, data, tg_rank(x) - 1, shape, site);
}

/* gamma (x - mean) / sqrt(variance + epsilon) + beta, with the running statistics. */
static tg_value evaluate(tg_nn *l, tg_value x, const tg_site *site)
{
    const norm *const s = l->settings;
    int64_t shape[TG_MAX_RANK] = { s->d };
    for (int i = 1; i < tg_rank(x) - 1; i++) shape[i] = 1;
    const tg_value mean = for_channels(x, l->array[MEAN].data, s->d, site);
    const tg_value variance = for_channels(x, l->array[VARIANCE].data, s->d, site);
    const tg_value epsilon = tg_number_new(x.tape, s->epsilon, site);
    const tg_value scale = tg_rsqrt_at(tg_add_at(variance, epsilon, site), site);
    const tg_value z = tg_sub_at(x, mean, site);
    if (s->plain) return tg_mul_at(z, scale, site);
    const tg_value gamma = tg__nn_reshaped(l->value[0], shape, tg_rank(x) - 1, site);
    const tg_value beta = tg__nn_reshaped(l->value[1], shape, tg_rank(x) - 1, site);
    return tg_add_at(tg_mul_at(z, tg_mul_at(scale, gamma, site), site), beta, site);
}

static tg_value run_batch_norm(tg_nn *l, tg_value x, const tg_site *site)
{
    const norm *const s = l->settings;
    if (!fits(l, x, site)) return (tg_value){ 0 };
    if (!l->training) return evaluate(l, x, site);
    if (tg_size(x) <= s->d)
        return tg__nn_misfit(l, x, site,
                             "more than one element of each channel in training: of one there is "
                             "no variance");
    if (!take_statistics(l, x, site)) return (tg_value){ 0 };
    return tg_batch_norm_at(x, weight_of(l, x, site), bias_of(l, x, site),
                            &(tg_normalize_attributes){ s->epsilon }, site);
}

/* ---- making them ----------------------------------------------------------------------------- */

static tg_nn *new_norm(const char *kind, tg__nn_run *run, norm s, const tg_nn_norm_options *options)
{
    const tg_nn_norm_options o = options ? *options : (tg_nn_norm_options){ 0 };
    s.epsilon = o.epsilon != 0 ? o.epsilon : 1e-5;
    s.momentum = o.momentum != 0 ? o.momentum : 0.1;
    s.plain = o.plain;
    tg_nn *const l = tg__nn_new(kind, run, &s, sizeof s);
    if (!tg__nn_positive(l, s.last ? "d" : "the number of channels", s.d)) return l;
    if (!(s.epsilon > 0 && s.epsilon < (double)INFINITY))
        tg__nn_mistake(l, TG_ERROR_ARGUMENT, "epsilon is %g: it must be above 0", s.epsilon);
    if (!(s.momentum > 0 && s.momentum <= 1))
        tg__nn_mistake(l, TG_ERROR_ARGUMENT, "momentum is %g: above 0, to 1, is possible",
                       s.momentum);
    if (s.groups < 1 || s.d % s.groups)
        tg__nn_mistake(l, TG_ERROR_ARGUMENT, "%lld channels cannot be made %lld groups",
                       (long long)s.d, (long long)s.groups);
    const tg_nn_init none = { .scheme = TG_INIT_DEFAULT }, ones = { .scheme = TG_INIT_ONES },
                     zeros = { .scheme = TG_INIT_ZEROS };
    if (!s.plain) tg__nn_add(l, "weight", TG__NN_OTHER, none, ones, &s.d, 1);
    if (!s.plain && s.centered) tg__nn_add(l, "bias", TG__NN_OTHER, none, zeros, &s.d, 1);
    return l;
}

tg_nn *tg_nn_layer_norm_new(int64_t d, const tg_nn_norm_options *options)
{
    return new_norm("layer_norm", run_layer_norm,
                    (norm){ .d = d, .groups = 1, .last = true, .centered = true }, options);
}

tg_nn *tg_nn_rms_norm_new(int64_t d, const tg_nn_norm_options *options)
{
    return new_norm("rms_norm", run_rms_norm, (norm){ .d = d, .groups = 1, .last = true }, options);
}

tg_nn *tg_nn_batch_norm_new(int64_t channels, const tg_nn_norm_options *options)
{
    tg_nn *const l = new_norm("batch_norm", run_batch_norm,
                              (norm){ .d = channels, .groups = 1, .centered = true }, options);
    tg__nn_add_array(l, "running_mean", channels, 0);
    tg__nn_add_array(l, "running_variance", channels, 1);
    return l;
}

tg_nn *tg_nn_group_norm_new(int64_t groups, int64_t channels, const tg_nn_norm_options *options)
{
    return new_norm("group_norm", run_group_norm,
                    (norm){ .d = channels, .groups = groups, .centered = true }, options);
}
