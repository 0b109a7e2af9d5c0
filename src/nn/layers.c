/* Layers without memory of their own, and dropout. */
#include "inner.h"

#include <math.h>
#include <string.h>

#include <tapegrad/ops.h>
#include <tapegrad/table.h>
#include <tapegrad/tape.h>

/* Options that are NULL. */
#define GIVEN(type)                                                                                \
    const type o = options ? *options : (type)                                                     \
    {                                                                                              \
        0                                                                                          \
    }

/* ---- linear ---------------------------------------------------------------------------------- */

typedef struct linear {
    int64_t in;
    bool no_bias;
} linear;

static tg_value run_linear(tg_nn *l, tg_value x, const tg_site *site)
{
    const linear *const s = l->settings;
    if (!tg__nn_floats(l, x, site)) return (tg_value){ 0 };
    if (tg_rank(x) < 1 || tg_dim(x, -1) != s->in)
        return tg__nn_misfit(l, x, site, "(..., %lld)", (long long)s->in);
    return tg__nn_affine(l, x, 0, s->no_bias, site);
}

tg_nn *tg_nn_linear_new(int64_t in, int64_t out, const tg_nn_linear_options *options)
{
    GIVEN(tg_nn_linear_options);
    tg_nn *const l = tg__nn_new("linear", run_linear, &(linear){ in, o.no_bias }, sizeof(linear));
    if (!tg__nn_positive(l, "in", in) || !tg__nn_positive(l, "out", out)) return l;
    const tg_nn_init standard = tg__nn_within(1 / sqrt((double)in));
    tg__nn_add(l, "weight", TG__NN_WEIGHT, o.weight, standard, (int64_t[]){ out, in }, 2);
    if (!o.no_bias) tg__nn_add(l, "bias", TG__NN_BIAS, o.bias, standard, &out, 1);
    return l;
}

/* ---- convolutions ---------------------------------------------------------------------------- */

typedef struct conv {
    int64_t in;
    int axes;
    bool no_bias;
    tg_conv_attributes a;
} conv;

static tg_value run_conv(tg_nn *l, tg_value x, const tg_site *site)
{
    const conv *const s = l->settings;
    if (!tg__nn_floats(l, x, site)) return (tg_value){ 0 };
    if (tg_rank(x) != s->axes + 2 || tg_dim(x, 1) != s->in)
        return tg__nn_misfit(l, x, site, s->axes == 1 ? "(n, %lld, length)" : "(n, %lld, h, w)",
                             (long long)s->in);
    for (int i = 0; i < s->axes; i++) {
        const int pad = s->a.paddings.count ? s->a.paddings.axis[i] : s->a.padding;
        const int apart = s->a.dilations.count ? s->a.dilations.axis[i] : s->a.dilation;
        const int64_t least = apart * (l->parameter[0].shape[i + 2] - 1) + 1;
        if (tg_dim(x, i + 2) + 2 * pad < least)
            return tg__nn_misfit(l, x, site, "axis %d of length %lld or more", i + 2,
                                 (long long)(least - 2 * pad));
    }
    const tg_value b = s->no_bias ? tg__nn_zeros(x, l->parameter[0].shape, 1, site) : l->value[1];
    return s->axes == 1 ? tg_conv1d_at(x, l->value[0], b, &s->a, site)
                        : tg_conv2d_at(x, l->value[0], b, &s->a, site);
}

/* One of the options' numbers, for each axis or once for all; it must be at least lowest. */
static void check_numbers(tg_nn *l, const char *what, int number, const tg_axes *each, int axes,
                          int lowest)
{
    if (each->count != 0 && each->count != axes)
        tg__nn_mistake(l, TG_ERROR_ARGUMENT, "%ss has %d numbers, there are %d axes", what,
                       each->count, axes);
    for (int i = 0; i < axes; i++) {
        const int x = each->count ? each->axis[i] : number;
        if (x < lowest)
            tg__nn_mistake(l, TG_ERROR_ARGUMENT, "%s is %d: it must be at least %d", what, x,
                           lowest);
    }
}

static void add_kernel(tg_nn *l, const conv *s, int64_t out, int kernel,
                       const tg_nn_conv_options *o)
{
    int64_t shape[4] = { out, s->in / s->a.groups }, fan = shape[1];
    for (int i = 0; i < s->axes; i++) {
        shape[i + 2] = o->kernels.count ? o->kernels.axis[i] : kernel;
        fan *= shape[i + 2];
    }
    const tg_nn_init standard = tg__nn_within(1 / sqrt((double)fan));
    tg__nn_add(l, "weight", TG__NN_WEIGHT, o->weight, standard, shape, s->axes + 2);
    if (!o->no_bias) tg__nn_add(l, "bias", TG__NN_BIAS, o->bias, standard, &out, 1);
}

static tg_nn *new_conv(const char *kind, int axes, int64_t in, int64_t out, int kernel,
                       const tg_nn_conv_options *options)
{
    GIVEN(tg_nn_conv_options);
    const conv s = { .in = in,
                     .axes = axes,
                     .no_bias = o.no_bias,
                     .a = { .stride = o.stride ? o.stride : 1,
                            .strides = o.strides,
                            .padding = o.padding,
                            .paddings = o.paddings,
                            .dilation = o.dilation ? o.dilation : 1,
                            .dilations = o.dilations,
                            .groups = o.groups ? o.groups : 1 } };
    tg_nn *const l = tg__nn_new(kind, run_conv, &s, sizeof s);
    if (!tg__nn_positive(l, "in", in) || !tg__nn_positive(l, "out", out)) return l;
    check_numbers(l, "kernel", kernel, &o.kernels, axes, 1);
    check_numbers(l, "stride", s.a.stride, &s.a.strides, axes, 1);
    check_numbers(l, "padding", s.a.padding, &s.a.paddings, axes, 0);
    check_numbers(l, "dilation", s.a.dilation, &s.a.dilations, axes, 1);
    if (s.a.groups < 1 || in % s.a.groups || out % s.a.groups)
        tg__nn_mistake(l, TG_ERROR_ARGUMENT, "%lld and %lld channels cannot be made %d groups",
                       (long long)in, (long long)out, s.a.groups);
    if (l && l->mistake.code == TG_OK) add_kernel(l, &s, out, kernel, &o);
    return l;
}

tg_nn *tg_nn_conv1d_new(int64_t in, int64_t out, int kernel, const tg_nn_conv_options *options)
{
    return new_conv("conv1d", 1, in, out, kernel, options);
}

tg_nn *tg_nn_conv2d_new(int64_t in, int64_t out, int kernel, const tg_nn_conv_options *options)
{
    return new_conv("conv2d", 2, in, out, kernel, options);
}

/* ---- pooling --------------------------------------------------------------------------------- */

typedef struct pool {
    int kernel, stride, padding;
    bool largest;
} pool;

static tg_value run_pool(tg_nn *l, tg_value x, const tg_site *site)
{
    const pool *const s = l->settings;
    if (!tg__nn_floats(l, x, site)) return (tg_value){ 0 };
    if (tg_rank(x) < 2 || tg_dim(x, -1) + 2 * s->padding < s->kernel ||
        tg_dim(x, -2) + 2 * s->padding < s->kernel)
        return tg__nn_misfit(l, x, site, "(..., h, w), where h and w are at least %d",
                             s->kernel - 2 * s->padding);
    if (s->largest)
        return tg_max_pool2d_at(x,
                                &(tg_max_pool_attributes){ .kernel_size = s->kernel,
                                                           .stride = s->stride,
                                                           .padding = s->padding,
                                                           .dilation = 1 },
                                site);
    return tg_avg_pool2d_at(x,
                            &(tg_avg_pool_attributes){ .kernel_size = s->kernel,
                                                       .stride = s->stride,
                                                       .padding = s->padding,
                                                       .count_include_pad = true },
                            site);
}

static tg_nn *new_pool(const char *kind, bool largest, int kernel,
                       const tg_nn_pool_options *options)
{
    GIVEN(tg_nn_pool_options);
    const pool s = { kernel, o.stride ? o.stride : kernel, o.padding, largest };
    tg_nn *const l = tg__nn_new(kind, run_pool, &s, sizeof s);
    if (!tg__nn_positive(l, "kernel", kernel) || !tg__nn_positive(l, "stride", s.stride)) return l;
    if (o.padding < 0 || o.padding > kernel / 2)
        tg__nn_mistake(l, TG_ERROR_ARGUMENT,
                       "padding is %d: 0 to %d, half of the kernel, is possible", o.padding,
                       kernel / 2);
    return l;
}

tg_nn *tg_nn_max_pool2d_new(int kernel, const tg_nn_pool_options *options)
{
    return new_pool("max_pool2d", true, kernel, options);
}

tg_nn *tg_nn_avg_pool2d_new(int kernel, const tg_nn_pool_options *options)
{
    return new_pool("avg_pool2d", false, kernel, options);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static tg_value run_flatten(tg_nn *l, tg_value x, const tg_site *site)
{
    if (tg_rank(x) < 2) return tg__nn_misfit(l, x, site, "(n, ...)");
    return tg_flatten_at(x, &(tg_span_attributes){ .start = 1, .end = -1 }, site);
}

tg_nn *tg_nn_flatten_new(void)
{
    return tg__nn_new("flatten", run_flatten, NULL, 0);
}

typedef struct reshape {
    int rank;
    int64_t shape[TG_MAX_RANK], n;
} reshape;

static tg_value run_reshape(tg_nn *l, tg_value x, const tg_site *site)
{
    const reshape *const s = l->settings;
    int64_t shape[TG_MAX_RANK];
    if (tg_rank(x) < 1 || tg_size(x) != tg_dim(x, 0) * s->n)
        return tg__nn_misfit(l, x, site, "(n, ...), with %lld elements for each of n samples",
                             (long long)s->n);
    shape[0] = tg_dim(x, 0);
    memcpy(shape + 1, s->shape, (size_t)s->rank * sizeof *shape);
    return tg__nn_reshaped(x, shape, s->rank + 1, site);
}

tg_nn *tg_nn_reshape_new(const int64_t *shape, int rank)
{
    reshape s = { .rank = rank, .n = 1 };
    const bool possible = rank >= 0 && rank < TG_MAX_RANK && (shape || rank == 0);
    bool ok = possible;
    for (int i = 0; possible && i < rank; i++) {
        s.shape[i] = shape[i];
        if (shape[i] < 0 || __builtin_mul_overflow(s.n, shape[i], &s.n)) ok = false;
    }
    tg_nn *const l = tg__nn_new("reshape", run_reshape, &s, sizeof s);
    if (!ok)
        tg__nn_mistake(l, TG_ERROR_SHAPE,
                       "a sample's shape has 0 to %d axes, none of them negative, and not too many "
                       "elements",
                       TG_MAX_RANK - 1);
    return l;
}

/* ---- activations ----------------------------------------------------------------------------- */

enum { MOST_OPERANDS = 3, NAME = 32, TEXT = 128 };

typedef struct activation {
    char name[NAME], attributes[TEXT];
    double number[MOST_OPERANDS - 1];
    int operands;
} activation;

static tg_value run_activation(tg_nn *l, tg_value x, const tg_site *site)
{
    const activation *const s = l->settings;
    if (!tg__nn_floats(l, x, site)) return (tg_value){ 0 };
    tg_value operand[MOST_OPERANDS] = { x };
    for (int i = 1; i < s->operands; i++)
        operand[i] = tg_number_new(x.tape, s->number[i - 1], site);
    return tg_apply(x.tape, s->name, operand, s->operands, s->attributes[0] ? s->attributes : NULL);
}

/* Whether an operation takes numbers, and no more of them than there may be. */
static bool of_numbers(const tg_op_info *op)
{
    const size_t n = strlen(op->letters);
    return n >= 1 && n <= MOST_OPERANDS && !strpbrk(op->letters, "i*");
}

tg_nn *tg_nn_activation_new(const char *name, const tg_nn_activation_options *options)
{
    GIVEN(tg_nn_activation_options);
    tg_op_info op;
    const bool known = name && tg_op_find(name, &op), fit = known && of_numbers(&op);
    activation s = { .number = { o.number[0], o.number[1] },
                     .operands = fit ? (int)strlen(op.letters) : 0 };
    if (fit) snprintf(s.name, NAME, "%s", op.name);
    if (o.attributes) snprintf(s.attributes, TEXT, "%s", o.attributes);
    tg_nn *const l = tg__nn_new("activation", run_activation, &s, sizeof s);
    if (!known)
        tg__nn_mistake(l, TG_ERROR_ARGUMENT, "there is no operation named %s",
                       name ? name : "NULL");
    else if (!fit)
        tg__nn_mistake(l, TG_ERROR_ARGUMENT, "%s is no operation of one to %d operands of numbers",
                       name, MOST_OPERANDS);
    else if (o.attributes && strlen(o.attributes) >= TEXT)
        tg__nn_mistake(l, TG_ERROR_ARGUMENT, "the attributes have %zu characters: %d are possible",
                       strlen(o.attributes), TEXT - 1);
    return l;
}

/* ---- dropout --------------------------------------------------------------------------------- */

static tg_value run_dropout(tg_nn *l, tg_value x, const tg_site *site)
{
    const double p = *(const double *)l->settings;
    if (!tg__nn_floats(l, x, site)) return (tg_value){ 0 };
    if (!l->training || p == 0) return x;
    double *const runs = tg__nn_next(l, 0);
    const tg_dropout_attributes a = { .p = p, .seed = (int64_t)l->seed, .run = (int64_t)*runs };
    *runs += 1;
    return tg_dropout_at(x, &a, site);
}

tg_nn *tg_nn_dropout_new(double p)
{
    tg_nn *const l = tg__nn_new("dropout", run_dropout, &p, sizeof p);
    if (!(p >= 0 && p <= 1))
        tg__nn_mistake(l, TG_ERROR_ARGUMENT, "p is %g, which is no probability", p);
    tg__nn_add_array(l, "runs", 1, 0);
    return l;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static tg_value run_embedding(tg_nn *l, tg_value x, const tg_site *site)
{
    if (tg_type_of(x) != TG_I64)
        return tg__nn_wrong(l, x, site, "x has numbers: it takes an index tensor");
    return tg_embedding_at(l->value[0], x, site);
}

static tg_nn *new_table(const char *kind, tg__nn_run *run, int64_t rows, int64_t d,
                        const tg_nn_embedding_options *options, double std)
{
    GIVEN(tg_nn_embedding_options);
    tg_nn *const l = tg__nn_new(kind, run, NULL, 0);
    if (!tg__nn_positive(l, "the number of rows", rows) || !tg__nn_positive(l, "d", d)) return l;
    tg__nn_add(l, "weight", TG__NN_OTHER, o.weight, (tg_nn_init){ TG_INIT_NORMAL, .b = std },
               (int64_t[]){ rows, d }, 2);
    return l;
}

tg_nn *tg_nn_embedding_new(int64_t rows, int64_t d, const tg_nn_embedding_options *options)
{
    return new_table("embedding", run_embedding, rows, d, options, 1);
}

static tg_value run_position(tg_nn *l, tg_value x, const tg_site *site)
{
    const int64_t *const shape = l->parameter[0].shape;
    if (!tg__nn_floats(l, x, site)) return (tg_value){ 0 };
    if (tg_rank(x) < 2 || tg_dim(x, -2) > shape[0] || tg_dim(x, -1) != shape[1])
        return tg__nn_misfit(l, x, site, "(..., t, %lld), where t is at most %lld",
                             (long long)shape[1], (long long)shape[0]);
    const tg_slice_attributes first = { .axis = 0, .start = 0, .stop = tg_dim(x, -2), .step = 1 };
    return tg_add_at(x, tg_slice_at(l->value[0], &first, site), site);
}

tg_nn *tg_nn_position_new(int64_t length, int64_t d, const tg_nn_embedding_options *options)
{
    return new_table("position", run_position, length, d, options, 0.02);
}
