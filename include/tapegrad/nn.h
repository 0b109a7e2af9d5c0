/* Networks: layers put together to a tree, with named parameters on a tape.

       tg_nn *net = tg_nn_sequential(tg_nn_linear(64, 32), tg_nn_activation("tanh"),
                                     tg_nn_linear(32, 10));
       if (!tg_nn_build(net, tape, &(tg_nn_options){ .seed = 1 })) puts(tg_nn_status(net)->message);
       tg_optimizer *o = tg_adam_new(tg_nn_parameters(net), tg_nn_count(net), NULL);
       for (...) {
           tg_value loss = tg_cross_entropy(tg_nn_forward(net, x), y);
           ...
       }
       tg_nn_free(net);

   Read on in: the tree, building and running it, parameters, state, layers, initialisers, layers of
   your own, checking and looking.

   Errors: a layer is made even if its arguments make no sense; tg_nn_build then fails and
   tg_nn_status says which layer, by its path, and why. What goes wrong in tg_nn_forward is an error
   of the tape, as in any operation, that names the layer's path.

   Ownership: a layer given to another one belongs to it; tg_nn_free of the outermost frees all. The
   parameters belong to the tape, which the net must not be used after.

   Threads: a net is used by one thread at a time, as its tape is.

   Randomness: start values follow from the seed and the parameter's path below the net alone,
   dropped elements from seed, path and how often the layer has run in training. */
#ifndef TAPEGRAD_NN_H
#define TAPEGRAD_NN_H

#include <stdio.h>

#include <tapegrad/attributes.h>
#include <tapegrad/check.h>
#include <tapegrad/inline.h>
#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A layer, with the layers inside it: also a whole network. */
typedef struct tg_nn tg_nn;

/* ---- the tree -------------------------------------------------------------------------------- */

/* Layers one behind the other: y = f_n(... f_1(x)). tg_nn_sequential(a, b, c) calls
   tg_nn_sequential_new. All functions that make layers return NULL only when there is no memory;
   layers that they were given are then freed. A layer that is NULL, or that belongs to another one,
   is a mistake that the build reports. */
TG_API tg_nn *tg_nn_sequential_new(tg_nn *const *layers, int n);

/* x + f(x), where f is the layers one behind the other (He et al. 2016): tg_nn_residual(a, b,
   c). */
TG_API tg_nn *tg_nn_residual_new(tg_nn *const *layers, int n);

/* Gives a layer a name for its path, instead of its number in the layer around it. Returns the
   layer: tg_nn_named("head", tg_nn_linear(32, 10)). The name is copied; it has no point in it. */
TG_API tg_nn *tg_nn_named(const char *name, tg_nn *layer);

/* Frees a net that belongs to no other, with all layers inside. NULL is fine. */
TG_API void tg_nn_free(tg_nn *net);

/* The i-th layer inside, or NULL. How many there are. */
TG_API tg_nn *tg_nn_layer(const tg_nn *net, int i);
TG_API int tg_nn_layers(const tg_nn *net);

/* The layer of this path, as it stands in messages: tg_nn_find(net, "net.2"), or NULL. After the
   build. */
TG_API tg_nn *tg_nn_find(tg_nn *net, const char *path);

/* "net.2", NULL before the build; "linear". They live as long as the layer. */
TG_API const char *tg_nn_path(const tg_nn *net);
TG_API const char *tg_nn_kind(const tg_nn *net);

/* ---- initialisers ---------------------------------------------------------------------------- */

/* How a parameter starts. fan_in is the number of inputs that each output of a layer sees, fan_out
   that of outputs that each input goes to: the lengths of axis 1 and 0 of a parameter, times the
   product of the later axes; of one with fewer axes, its size. */
typedef enum tg_nn_scheme {
    TG_INIT_DEFAULT, /* what stands beside the layer */
    TG_INIT_ZEROS,
    TG_INIT_ONES,
    TG_INIT_CONSTANT,        /* a */
    TG_INIT_UNIFORM,         /* from a to b; both 0: from -1 to 1 */
    TG_INIT_NORMAL,          /* mean a, standard deviation b; b 0: 1 */
    TG_INIT_XAVIER_UNIFORM,  /* to +- gain sqrt(6 / (fan_in + fan_out)) (Glorot and Bengio 2010) */
    TG_INIT_XAVIER_NORMAL,   /* standard deviation gain sqrt(2 / (fan_in + fan_out)) */
    TG_INIT_KAIMING_UNIFORM, /* to +- gain sqrt(3 / fan_in) (He et al. 2015) */
    TG_INIT_KAIMING_NORMAL,  /* standard deviation gain / sqrt(fan_in) */
} tg_nn_scheme;

typedef struct tg_nn_init {
    tg_nn_scheme scheme;
    double a, b;
    double gain; /* 0: 1 for Xavier, sqrt(2), that of relu, for Kaiming */
} tg_nn_init;

/* ---- building and running -------------------------------------------------------------------- */

/* Options of tg_nn_build; zero is each field's default. */
typedef struct tg_nn_options {
    uint64_t seed;     /* of start values and dropped elements */
    const char *name;  /* the net's own, before every path; NULL: "net" */
    tg_nn_init weight; /* of weights (two and more axes) whose layer asks for none */
    tg_nn_init bias;   /* of biases whose layer asks for none */
} tg_nn_options;

/* Puts the parameters on the tape, named by their paths ("net.0.weight"). Once for each net. False
   after a mistake: see tg_nn_status; a tape's own error stays on the tape too. options NULL: all
   defaults. */
TG_API bool tg_nn_build(tg_nn *net, tg_tape *tape, const tg_nn_options *options);

/* What went wrong last in a build or a bind, or code TG_OK. Owned by the net; of NULL: no
   memory. */
TG_API const tg_status *tg_nn_status(const tg_nn *net);

/* The net, or a layer of it, at x: tg_nn_forward(net, x) passes the position of the call. A null
   value after an error. */
TG_API tg_value tg_nn_forward_at(tg_nn *net, tg_value x, const tg_site *site);

/* Whether the layers behave as in training, as they do at first: dropout drops, batch normalization
   uses the statistics of the batch and keeps a running mean of them. false: neither. */
TG_API void tg_nn_train(tg_nn *net, bool training);
TG_API bool tg_nn_training(const tg_nn *net);

/* ---- parameters ------------------------------------------------------------------------------ */

/* How many parameters (tensors) there are in the net and how many numbers in them, also before the
   build. */
TG_API int tg_nn_count(const tg_nn *net);
TG_API int64_t tg_nn_size(const tg_nn *net);

/* All of them, in the order of the layers, for an optimiser; NULL before the build. Owned by the
   outermost net. */
TG_API const tg_value *tg_nn_parameters(const tg_nn *net);

/* "net.0.weight"; NULL if there is no i-th one, or before the build. */
TG_API const char *tg_nn_name(const tg_nn *net, int i);

/* The parameter of this name; a null value if there is none. */
TG_API tg_value tg_nn_parameter(const tg_nn *net, const char *name);

/* Uses other values as the parameters, of any tape: all n in the order of tg_nn_parameters, in
   the same shapes. A net that was never built counts as built then, with seed 0 and the name "net".
   They may be results of operations. False, and nothing has changed, if they do not fit: see
   tg_nn_status. */
TG_API bool tg_nn_bind(tg_nn *net, const tg_value *parameters, int n);

/* ---- state ----------------------------------------------------------------------------------- */

/* What a net has besides its parameters (running statistics, how often dropout has run), as arrays
   of doubles for reading and overwriting: the i-th has a name, "net.1.running_mean", and n
   elements. NULL behind the last, and before the build. */
TG_API double *tg_nn_state(tg_nn *net, int i, const char **name, size_t *n);

/* ---- layers ---------------------------------------------------------------------------------- */

/* Each has a macro of its name without _new, which takes the fields of its options as designators:
   tg_nn_linear(64, 10, .no_bias = true). n is the number of samples, any in each call; zero is each
   option's default. Defaults of initialisers are those of PyTorch 2 (torch.nn,
   reset_parameters). */

/* x (..., in) W' + b: (..., out). weight (out, in), bias (out). Both start uniform to
   +- 1 / sqrt(in). */
typedef struct tg_nn_linear_options {
    tg_nn_init weight, bias;
    bool no_bias;
} tg_nn_linear_options;
TG_API tg_nn *tg_nn_linear_new(int64_t in, int64_t out, const tg_nn_linear_options *options);

/* Convolution: x (n, in, h, w), for conv1d (n, in, l). weight (out, in / groups, kernel, kernel),
   bias (out). Both start uniform to +- 1 / sqrt(in / groups kernel kernel). */
typedef struct tg_nn_conv_options {
    tg_nn_init weight, bias;
    bool no_bias;
    int stride;                           /* default 1 */
    int padding;                          /* default 0 */
    int dilation;                         /* default 1 */
    int groups;                           /* default 1 */
    tg_axes kernels;                      /* instead of kernel, one number for each axis */
    tg_axes strides, paddings, dilations; /* in the same way */
} tg_nn_conv_options;
TG_API tg_nn *tg_nn_conv1d_new(int64_t in, int64_t out, int kernel,
                               const tg_nn_conv_options *options);
TG_API tg_nn *tg_nn_conv2d_new(int64_t in, int64_t out, int kernel,
                               const tg_nn_conv_options *options);

/* The largest element, and the mean, of each window of the last two axes. */
typedef struct tg_nn_pool_options {
    int stride;  /* default: the kernel */
    int padding; /* default 0 */
} tg_nn_pool_options;
TG_API tg_nn *tg_nn_max_pool2d_new(int kernel, const tg_nn_pool_options *options);
TG_API tg_nn *tg_nn_avg_pool2d_new(int kernel, const tg_nn_pool_options *options);

/* (n, a, b, ...) to (n, a b ...): tg_nn_flatten(). */
TG_API tg_nn *tg_nn_flatten_new(void);

/* Each sample in another shape, (n, ...) to (n, dims...): tg_nn_reshape(1, 8, 8). */
TG_API tg_nn *tg_nn_reshape_new(const int64_t *shape, int rank);

/* An operation of the table, by its name, with x as its first operand and numbers as the others:
   tg_nn_activation("relu"), tg_nn_activation("leaky_relu", .number = { 0.01 }),
   tg_nn_activation("softmax", .attributes = "axis=1"). */
typedef struct tg_nn_activation_options {
    double number[2];
    const char *attributes; /* copied */
} tg_nn_activation_options;
TG_API tg_nn *tg_nn_activation_new(const char *name, const tg_nn_activation_options *options);

/* In training, each element is 0 with probability p, else x / (1 - p): tg_nn_dropout(0.1). */
TG_API tg_nn *tg_nn_dropout_new(double p);

/* Rows of a table, by index: integers (...) to (..., d). weight (rows, d) starts normal (0, 1). */
typedef struct tg_nn_embedding_options {
    tg_nn_init weight;
} tg_nn_embedding_options;
TG_API tg_nn *tg_nn_embedding_new(int64_t rows, int64_t d, const tg_nn_embedding_options *options);

/* Learned places: row i of weight (length, d) is added to x[..., i, :], up to length of them. It
   starts normal (0, 0.02) (Radford et al. 2018). */
TG_API tg_nn *tg_nn_position_new(int64_t length, int64_t d, const tg_nn_embedding_options *options);

/* Normalizations, with weight starting at 1 and bias at 0; the operations of the same names say
   over which elements. layer_norm and rms_norm take the length of the last axis, the others the
   number of channels (axis 1). In evaluation batch_norm uses running statistics: after each
   training run running = (1 - momentum) running + momentum batch, where the variance is that of a
   sample (n - 1) (Ioffe and Szegedy 2015); they start at mean 0 and variance 1. */
typedef struct tg_nn_norm_options {
    double epsilon;  /* default 1e-5 */
    double momentum; /* batch_norm; default 0.1 */
    bool plain;      /* no weight and bias */
} tg_nn_norm_options;
TG_API tg_nn *tg_nn_layer_norm_new(int64_t d, const tg_nn_norm_options *options);
TG_API tg_nn *tg_nn_rms_norm_new(int64_t d, const tg_nn_norm_options *options);
TG_API tg_nn *tg_nn_batch_norm_new(int64_t channels, const tg_nn_norm_options *options);
TG_API tg_nn *tg_nn_group_norm_new(int64_t groups, int64_t channels,
                                   const tg_nn_norm_options *options);

/* Recurrent layers: x (n, t, in) to h (n, t, hidden), from a state of zeros. weight_x (k hidden,
   in), weight_h (k hidden, hidden), bias_x and bias_h (k hidden), where the k blocks are
     LSTM (Hochreiter and Schmidhuber 1997; Gers et al. 2000), 4: i, f, g, o;
       c' = f c + i g, h' = o tanh(c'), with i, f, o = sigmoid(..), g = tanh(..)
     GRU (Cho et al. 2014), 3: r, z, n; h' = (1 - z) n + z h, n = tanh(x part + r h part)
   of W_x x + b_x + W_h h + b_h. All start uniform to +- 1 / sqrt(hidden). */
typedef struct tg_nn_recurrent_options {
    tg_nn_init weight, bias;
    bool no_bias;
    bool last; /* the result is the last h only: (n, hidden) */
} tg_nn_recurrent_options;
TG_API tg_nn *tg_nn_lstm_new(int64_t in, int64_t hidden, const tg_nn_recurrent_options *options);
TG_API tg_nn *tg_nn_gru_new(int64_t in, int64_t hidden, const tg_nn_recurrent_options *options);

/* What a recurrent layer carries from one step to the next, each (n, hidden); null values: zeros. A
   GRU has no c. */
typedef struct tg_nn_carry {
    tg_value h, c;
} tg_nn_carry;

/* One step, x (n, in) to h (n, hidden), and a whole sequence, from the state in carry, which
   becomes the new one; also across calls, for text without end. Macros without _at pass the
   position. */
TG_API tg_value tg_nn_step_at(tg_nn *recurrent, tg_value x, tg_nn_carry *carry,
                              const tg_site *site);
TG_API tg_value tg_nn_sequence_at(tg_nn *recurrent, tg_value x, tg_nn_carry *carry,
                                  const tg_site *site);

/* Self-attention with several heads (Vaswani et al. 2017): x (n, t, d) to (n, t, d). Layers "qkv",
   linear (3 d, d), rows of queries, keys, values, and "out", linear (d, d). qkv.weight starts
   Xavier uniform, biases at 0. heads divides d. */
typedef struct tg_nn_attention_options {
    tg_nn_init weight, bias;
    bool no_bias;
    bool causal; /* position i sees 0 ... i only */
} tg_nn_attention_options;
TG_API tg_nn *tg_nn_attention_new(int64_t d, int64_t heads, const tg_nn_attention_options *options);

/* A block of a transformer, normalized before (Xiong et al. 2020): x + attention(norm(x)), then
   x + mlp(norm(x)) of two linear layers. It is made of the layers above, "attention" and "mlp". */
typedef struct tg_nn_transformer_options {
    tg_nn_init weight, bias;
    int64_t hidden;         /* of the mlp; default 4 d */
    const char *activation; /* default "gelu" */
    double dropout;         /* at the end of either half; default 0 */
    bool causal;
} tg_nn_transformer_options;
TG_API tg_nn *tg_nn_transformer_new(int64_t d, int64_t heads,
                                    const tg_nn_transformer_options *options);

/* ---- layers of your own ---------------------------------------------------------------------- */

/* What the layer computes, by recording it; layers inside are run with tg_nn_forward, parameters of
   its own found with tg_nn_own. tg_nn_fail gives the reason for an error. */
typedef tg_value tg_nn_function(tg_nn *layer, tg_value x, void *user);

/* A layer of this kind (the name is copied), with n layers inside, which may be none. */
TG_API tg_nn *tg_nn_custom(const char *kind, tg_nn_function *function, void *user,
                           tg_nn *const *layers, int n);

/* Adds a parameter to a layer before the build; the default is uniform to +- 1 / sqrt(fan_in).
   Returns the layer. */
TG_API tg_nn *tg_nn_with(tg_nn *layer, const char *name, tg_nn_init init, const int64_t *shape,
                         int rank);

/* A parameter of this very layer: "scale". A null value if there is none, or before the build. */
TG_API tg_value tg_nn_own(const tg_nn *layer, const char *name);

/* Gives the tape of x the error "path (kind): reason". Returns a null value. */
__attribute__((format(printf, 3, 4))) TG_API tg_value tg_nn_fail(tg_nn *layer, tg_value x,
                                                                 const char *format, ...);

/* ---- checking and looking -------------------------------------------------------------------- */

/* A loss, or any value, of a net on a tape. */
typedef tg_value tg_nn_loss(tg_nn *net, tg_tape *tape, void *user);

/* Compares the gradients of all parameters of a built net, at their present values, with
   differences of the loss (tg_gradcheck), on f64 tapes of its own: data must be put on the tape
   passed. The state of the net stays as it is. False also if the net is not built. options and
   report may be NULL. */
TG_API bool tg_nn_gradcheck(tg_nn *net, tg_nn_loss *loss, void *user,
                            const tg_check_options *options, tg_check_report *report);

/* Writes a table of the layers: path, kind, shape of the result, numbers in its parameters, and
   their sum. Shapes are those of a run without gradient at x, an input on the net's tape, which is
   taken back; a null value, or a net that is not built: no shapes. False if the run or writing
   fails. */
TG_API bool tg_nn_summary(tg_nn *net, FILE *file, tg_value x);

#ifdef __cplusplus
}
#endif

#ifndef __cplusplus

#define tg_nn_forward(net, x) tg_nn_forward_at(net, x, TG_HERE)
#define tg_nn_step(recurrent, x, carry) tg_nn_step_at(recurrent, x, carry, TG_HERE)
#define tg_nn_sequence(recurrent, x, carry) tg_nn_sequence_at(recurrent, x, carry, TG_HERE)

#define tg_nn_sequential(...) TG__NN_LIST(tg_nn_sequential_new, __COUNTER__, __VA_ARGS__)
#define tg_nn_residual(...) TG__NN_LIST(tg_nn_residual_new, __COUNTER__, __VA_ARGS__)
#define TG__NN_LIST(f, number, ...) TG__NN_LIST_(f, number, __VA_ARGS__)
#define TG__NN_LIST_(f, number, ...)                                                               \
    __extension__({                                                                                \
        tg_nn *const tg__layer##number[] = { __VA_ARGS__ };                                        \
        f(tg__layer##number, (int)(sizeof tg__layer##number / sizeof *tg__layer##number));         \
    })

#define tg_nn_linear(in, ...) TG__NN2(tg_nn_linear_new, linear, in, __VA_ARGS__, )
#define tg_nn_conv1d(in, out, ...) TG__NN3(tg_nn_conv1d_new, conv, in, out, __VA_ARGS__, )
#define tg_nn_conv2d(in, out, ...) TG__NN3(tg_nn_conv2d_new, conv, in, out, __VA_ARGS__, )
#define tg_nn_max_pool2d(...) TG__NN1(tg_nn_max_pool2d_new, pool, __VA_ARGS__, )
#define tg_nn_avg_pool2d(...) TG__NN1(tg_nn_avg_pool2d_new, pool, __VA_ARGS__, )
#define tg_nn_flatten() tg_nn_flatten_new()
#define tg_nn_reshape(...)                                                                         \
    tg_nn_reshape_new((const int64_t[]){ __VA_ARGS__ },                                            \
                      (int)(sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)))
#define tg_nn_activation(...) TG__NN1(tg_nn_activation_new, activation, __VA_ARGS__, )
#define tg_nn_dropout(p) tg_nn_dropout_new(p)
#define tg_nn_embedding(rows, ...) TG__NN2(tg_nn_embedding_new, embedding, rows, __VA_ARGS__, )
#define tg_nn_position(length, ...) TG__NN2(tg_nn_position_new, embedding, length, __VA_ARGS__, )
#define tg_nn_layer_norm(...) TG__NN1(tg_nn_layer_norm_new, norm, __VA_ARGS__, )
#define tg_nn_rms_norm(...) TG__NN1(tg_nn_rms_norm_new, norm, __VA_ARGS__, )
#define tg_nn_batch_norm(...) TG__NN1(tg_nn_batch_norm_new, norm, __VA_ARGS__, )
#define tg_nn_group_norm(groups, ...) TG__NN2(tg_nn_group_norm_new, norm, groups, __VA_ARGS__, )
#define tg_nn_lstm(in, ...) TG__NN2(tg_nn_lstm_new, recurrent, in, __VA_ARGS__, )
#define tg_nn_gru(in, ...) TG__NN2(tg_nn_gru_new, recurrent, in, __VA_ARGS__, )
#define tg_nn_attention(d, ...) TG__NN2(tg_nn_attention_new, attention, d, __VA_ARGS__, )
#define tg_nn_transformer(d, ...) TG__NN2(tg_nn_transformer_new, transformer, d, __VA_ARGS__, )

/* The fields of the options, of which there may be none, as a struct. */
#define TG__NN1(f, kind, a, ...) __extension__(f(a, &(const tg_nn_##kind##_options){ __VA_ARGS__ }))
#define TG__NN2(f, kind, a, b, ...)                                                                \
    __extension__(f(a, b, &(const tg_nn_##kind##_options){ __VA_ARGS__ }))
#define TG__NN3(f, kind, a, b, c, ...)                                                             \
    __extension__(f(a, b, c, &(const tg_nn_##kind##_options){ __VA_ARGS__ }))

#endif
#endif
