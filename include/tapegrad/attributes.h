/* Attributes: what an operation takes besides its operands. A call gives them as trailing
   designators, sum(x, .axis = 1, .keep = true); what is not named keeps its default, which stands
   beside each field. An axis counts from the front, or from the back if it is negative (-1 is the
   last). */
#ifndef TAPEGRAD_ATTRIBUTES_H
#define TAPEGRAD_ATTRIBUTES_H

#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* All axes at once, where an axis is asked for. */
#define TG_ALL INT32_MIN

/* The end of an axis in a slice, whatever its length. */
#define TG_END INT64_MAX

/* A list of axes, or of a number for each axis: sum(x, .axes = TG_AXES(0, 2)). (A bare {0, 2} could not tell {2} from {2, 0}.) */
typedef struct tg_axes {
    int count;
    int axis[TG_MAX_RANK];
} tg_axes;
#define TG_AXES(...)                                                                               \
    ((tg_axes){ .count = (int)(sizeof((const int[]){ __VA_ARGS__ }) / sizeof(int)),                \
                .axis = { __VA_ARGS__ } })

/* Reductions. axes, where it is given (count > 0), stands instead of axis. */
typedef struct tg_reduce_attributes {
    int axis;          /* default TG_ALL */
    tg_axes axes;      /* default none */
    bool keep;         /* default false: reduced axes vanish; true: they stay with length 1 */
    double correction; /* var, std: divide by n - correction. Default 1 (the sample's variance) */
    double p; /* norm: (sum |x|^p)^(1/p). Default 2; INFINITY gives the largest magnitude */
} tg_reduce_attributes;
#define TG_DEFAULTS_reduce                                                                         \
    .axis = TG_ALL, .axes = { 0, { 0 } }, .keep = false, .correction = 1.0, .p = 2.0

/* Softargmax and its kin: along one axis, with coldness beta (inverse temperature). */
typedef struct tg_softmax_attributes {
    int axis;    /* default -1 */
    double beta; /* default 1 */
} tg_softmax_attributes;
#define TG_DEFAULTS_softmax .axis = -1, .beta = 1.0

/* One axis. */
typedef struct tg_axis_attributes {
    int axis; /* default 0 */
} tg_axis_attributes;
#define TG_DEFAULTS_axis .axis = 0

/* One axis, or every axis. */
typedef struct tg_every_attributes {
    int axis; /* default TG_ALL */
} tg_every_attributes;
#define TG_DEFAULTS_every .axis = TG_ALL

/* One axis, the last unless said otherwise. */
typedef struct tg_last_attributes {
    int axis; /* default -1 */
} tg_last_attributes;
#define TG_DEFAULTS_last .axis = -1

/* Two axes. */
typedef struct tg_swap_attributes {
    int axis0; /* default -2 */
    int axis1; /* default -1 */
} tg_swap_attributes;
#define TG_DEFAULTS_swap .axis0 = -2, .axis1 = -1

/* A range of axes. */
typedef struct tg_span_attributes {
    int start; /* default 0 */
    int end;   /* default -1, included */
} tg_span_attributes;
#define TG_DEFAULTS_span .start = 0, .end = -1

/* Part of one axis: start, start + step, ... up to, without, stop. Negative start and stop count
   from the back; both are cut to the axis as Python's slices are. A negative step walks backwards;
   for it the default start is the last element and the default stop lies before the first. */
typedef struct tg_slice_attributes {
    int axis;      /* default 0 */
    int64_t start; /* default TG_END: from the first (the last for a negative step) */
    int64_t stop;  /* default TG_END: through the end */
    int64_t step;  /* default 1; not 0 */
} tg_slice_attributes;
#define TG_DEFAULTS_slice .axis = 0, .start = TG_END, .stop = TG_END, .step = 1

/* One position of one axis. */
typedef struct tg_select_attributes {
    int axis;      /* default 0 */
    int64_t index; /* default 0; negative counts from the back */
} tg_select_attributes;
#define TG_DEFAULTS_select .axis = 0, .index = 0

/* A diagonal of the last two axes. */
typedef struct tg_offset_attributes {
    int64_t offset; /* default 0: the main one; positive lies above it, negative below */
} tg_offset_attributes;
#define TG_DEFAULTS_offset .offset = 0

/* A shift along one axis. */
typedef struct tg_roll_attributes {
    int axis;      /* default 0 */
    int64_t shift; /* default 1; positive moves towards higher indices */
} tg_roll_attributes;
#define TG_DEFAULTS_roll .axis = 0, .shift = 1

/* Elements added before and after one axis. */
typedef struct tg_pad_attributes {
    int axis;       /* default -1 */
    int64_t before; /* default 0 */
    int64_t after;  /* default 0 */
    double value;   /* default 0 */
} tg_pad_attributes;
#define TG_DEFAULTS_pad .axis = -1, .before = 0, .after = 0, .value = 0.0

/* A list of sizes or positions: the dimensions of reshape(x, 3, 2), the axes of permute, the
   indices of at. */
typedef struct tg_list_attributes {
    int count;
    int64_t item[TG_MAX_RANK];
} tg_list_attributes;
#define TG_DEFAULTS_list .count = 0

/* A number of classes. */
typedef struct tg_classes_attributes {
    int64_t classes; /* required: at least 1 */
} tg_classes_attributes;
#define TG_DEFAULTS_classes .classes = 0

/* Convolutions. Each number holds for all axes of the kernel; strides, paddings, dilations, where
   they are given, stand instead and have one number for each: .strides = TG_AXES(2, 1). */
typedef struct tg_conv_attributes {
    int stride;        /* default 1 */
    tg_axes strides;   /* default none */
    int padding;       /* default 0: zeros on either side */
    tg_axes paddings;  /* default none */
    int dilation;      /* default 1: the distance between the kernel's taps */
    tg_axes dilations; /* default none */
    int groups;        /* default 1: so many convolutions side by side, each with its channels */
} tg_conv_attributes;
#define TG_DEFAULTS_conv                                                                           \
    .stride = 1, .strides = { 0, { 0 } }, .padding = 0, .paddings = { 0, { 0 } }, .dilation = 1,   \
    .dilations = { 0, { 0 } }, .groups = 1

/* Transposed convolutions: those of the convolution that they are the transpose of, and how many
   positions it did not reach at the end of each axis. */
typedef struct tg_conv_transpose_attributes {
    int stride;             /* default 1 */
    tg_axes strides;        /* default none */
    int padding;            /* default 0: what is cut off on either side */
    tg_axes paddings;       /* default none */
    int output_padding;     /* default 0; less than stride or dilation */
    tg_axes output_paddings; /* default none */
    int dilation;           /* default 1 */
    tg_axes dilations;      /* default none */
    int groups;             /* default 1 */
} tg_conv_transpose_attributes;
#define TG_DEFAULTS_conv_transpose                                                                 \
    .stride = 1, .strides = { 0, { 0 } }, .padding = 0, .paddings = { 0, { 0 } },                  \
    .output_padding = 0, .output_paddings = { 0, { 0 } }, .dilation = 1,                           \
    .dilations = { 0, { 0 } }, .groups = 1

/* Pooling by the largest element of each window. */
typedef struct tg_max_pool_attributes {
    int kernel_size;      /* required: at least 1 */
    tg_axes kernel_sizes; /* or this: one number for each axis */
    int stride;           /* default 0: the kernel's size */
    tg_axes strides;      /* default none */
    int padding;          /* default 0; at most half of the kernel. It is never the largest */
    tg_axes paddings;     /* default none */
    int dilation;         /* default 1 */
    tg_axes dilations;    /* default none */
} tg_max_pool_attributes;
#define TG_DEFAULTS_max_pool                                                                       \
    .kernel_size = 0, .kernel_sizes = { 0, { 0 } }, .stride = 0, .strides = { 0, { 0 } },          \
    .padding = 0, .paddings = { 0, { 0 } }, .dilation = 1, .dilations = { 0, { 0 } }

/* Pooling by the mean of each window. */
typedef struct tg_avg_pool_attributes {
    int kernel_size;        /* required: at least 1 */
    tg_axes kernel_sizes;   /* or this: one number for each axis */
    int stride;             /* default 0: the kernel's size */
    tg_axes strides;        /* default none */
    int padding;            /* default 0; at most half of the kernel */
    tg_axes paddings;       /* default none */
    bool count_include_pad; /* default true: padding counts as zeros; false: it does not count */
} tg_avg_pool_attributes;
#define TG_DEFAULTS_avg_pool                                                                       \
    .kernel_size = 0, .kernel_sizes = { 0, { 0 } }, .stride = 0, .strides = { 0, { 0 } },          \
    .padding = 0, .paddings = { 0, { 0 } }, .count_include_pad = true

/* An order along one axis. */
typedef struct tg_order_attributes {
    int axis;        /* default -1 */
    bool descending; /* default false: the smallest first */
} tg_order_attributes;
#define TG_DEFAULTS_order .axis = -1, .descending = false

/* The first k along one axis. */
typedef struct tg_topk_attributes {
    int64_t k;    /* default 1; at most the axis' length */
    int axis;     /* default -1 */
    bool largest; /* default true: the largest first; false: the smallest first */
} tg_topk_attributes;
#define TG_DEFAULTS_topk .k = 1, .axis = -1, .largest = true

/* One of several equal parts of an axis. */
typedef struct tg_split_attributes {
    int axis;      /* default 0 */
    int64_t parts; /* default 1; must divide the axis' length */
    int64_t index; /* default 0, which part; negative counts from the back */
} tg_split_attributes;
#define TG_DEFAULTS_split .axis = 0, .parts = 1, .index = 0

/* Which elements are dropped: whether one is follows from seed, run and its position alone. In a program
   (program.h), which runs for many instances, positions go on from instance to instance, and the
   number of its run is added to run. */
typedef struct tg_dropout_attributes {
    double p;     /* default 0.5: the probability of being dropped, 0 ... 1 */
    int64_t seed; /* default 0 */
    int64_t run;  /* default 0; another run drops others */
    bool same;    /* default false; in a program: every instance drops the same */
} tg_dropout_attributes;
#define TG_DEFAULTS_dropout .p = 0.5, .seed = 0, .run = 0, .same = false

/* What a loss makes of its elements. */
typedef enum tg_reduction { TG_MEAN, TG_SUM, TG_NONE } tg_reduction;

/* Losses. */
typedef struct tg_loss_attributes {
    tg_reduction reduction; /* default TG_MEAN */
} tg_loss_attributes;
#define TG_DEFAULTS_loss .reduction = TG_MEAN

/* Which half of a matrix a triangular system has. */
typedef struct tg_triangular_attributes {
    bool upper;     /* default false: the lower triangle */
    bool transpose; /* default false; true: the system of its transpose */
    bool unit;      /* default false; true: ones on the diagonal, whatever stands there */
} tg_triangular_attributes;
#define TG_DEFAULTS_triangular .upper = false, .transpose = false, .unit = false

/* An equation of einsum, "ij,jk->ik"; the macro takes it as its first argument. */
#define TG_EQUATION 128

typedef struct tg_einsum_attributes {
    char equation[TG_EQUATION]; /* default "": scalars. Without a final 0 it is too long */
} tg_einsum_attributes;
#define TG_DEFAULTS_einsum .equation = ""

typedef struct tg_huber_attributes {
    tg_reduction reduction; /* default TG_MEAN */
    double delta;           /* default 1; above 0: errors up to it are squared */
} tg_huber_attributes;
#define TG_DEFAULTS_huber .reduction = TG_MEAN, .delta = 1.0

typedef struct tg_smooth_l1_attributes {
    tg_reduction reduction; /* default TG_MEAN */
    double beta;            /* default 1; errors below it are squared; 0: l1 */
} tg_smooth_l1_attributes;
#define TG_DEFAULTS_smooth_l1 .reduction = TG_MEAN, .beta = 1.0

/* No label. */
#define TG_NO_INDEX INT64_MIN

/* Losses of labels. The mean is over the rows that are not ignored, each with the weight of its
   label where there are weights. */
typedef struct tg_labels_attributes {
    tg_reduction reduction; /* default TG_MEAN */
    int64_t ignore_index;   /* default TG_NO_INDEX; rows with this label contribute nothing */
} tg_labels_attributes;
#define TG_DEFAULTS_labels .reduction = TG_MEAN, .ignore_index = TG_NO_INDEX

typedef struct tg_smoothed_attributes {
    tg_reduction reduction; /* default TG_MEAN */
    int64_t ignore_index;   /* default TG_NO_INDEX; rows with this label contribute nothing */
    double label_smoothing; /* default 0; in 0 ... 1: so much of a target is spread evenly over all
                               classes */
} tg_smoothed_attributes;
#define TG_DEFAULTS_smoothed                                                                       \
    .reduction = TG_MEAN, .ignore_index = TG_NO_INDEX, .label_smoothing = 0.0

/* Normalizations: divided by sqrt(variance + epsilon). */
typedef struct tg_normalize_attributes {
    double epsilon; /* default 1e-5; not negative */
} tg_normalize_attributes;
#define TG_DEFAULTS_normalize .epsilon = 1e-5

typedef struct tg_groups_attributes {
    int64_t groups; /* required: at least 1, and a divisor of the number of channels */
    double epsilon; /* default 1e-5; not negative */
} tg_groups_attributes;
#define TG_DEFAULTS_groups .groups = 0, .epsilon = 1e-5

typedef struct tg_attention_attributes {
    bool causal;  /* default false; true: query i sees keys 0 ... i only */
    double scale; /* of q k'. Default 0: 1 / sqrt(d) */
} tg_attention_attributes;
#define TG_DEFAULTS_attention .causal = false, .scale = 0.0

#ifdef __cplusplus
}
#endif
#endif
