/* spiral: points on K spiral arms, classified by a network of one hidden layer, R^2 -> R^d -> R^K.

   The arms, for 0 <= t <= 1 and k = 1 ... K (Foundations of Deep Learning, LeCun and Canziani):
       X_k(t) = t (sin(2 pi/K (2t + k - 1)), cos(2 pi/K (2t + k - 1))) + noise of N(0, sigma^2)
   The network: h = f(W_h x + b_h), scores o = W_y h + b_y, y~ = softargmax(o). The loss is
   -log y~_y, averaged over the batch; --loss mse shows why it is not the squared distance to the
   one-hot label.

   First the gradients of this very network are checked, then it is trained, then it is drawn. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/cli.h"
#include "common/plot.h"
#include "common/progress.h"
#include "common/random.h"

#include <tapegrad.h>
#include <tapegrad/short.h>

/* ---- settings -------------------------------------------------------------------------------- */

enum { RELU, TANH, SIGMOID };
enum { CE, MSE };
static const char *const activations[] = { "relu", "tanh", "sigmoid", NULL };
static const char *const losses[] = { "ce", "mse", NULL };

typedef struct settings {
    int classes, hidden, points, epochs, batch;
    int activation, loss;
    double noise, rate, require;
    uint64_t seed;
    const char *output;
} settings;

static const struct argp_option options[] = {
    { "classes", 'k', "K", 0, "Spiral arms, 2 to 8 (default 3)", 0 },
    { "hidden", 'd', "D", 0, "Hidden units (default 100)", 0 },
    { "activation", 'a', "F", 0, "Of the hidden units: relu, tanh or sigmoid (default tanh)", 0 },
    { "loss", 'l', "LOSS", 0, "ce, the cross-entropy, or mse (default ce)", 0 },
    { "points", 'n', "N", 0, "Training points, and test points, of each class (default 1000)", 0 },
    { "noise", 'z', "SIGMA", 0, "Standard deviation of the noise on positions (default 0.02)", 0 },
    { "epochs", 'e', "N", 0, "Passes over the training points (default 100)", 0 },
    { "batch", 'b', "N", 0, "Points in a minibatch (default 100)", 0 },
    { "rate", 'r', "RATE", 0, "First learning rate of Adam; it falls to 0 (default 0.01)", 0 },
    { "seed", 's', "SEED", 0, "Of data, first weights and order (default 1)", 0 },
    { "output", 'o', "FILE", 0, "The picture (default spiral.png)", 0 },
    { "require", 'q', "ACCURACY", 0, "Fail if the test accuracy is lower than this", 0 },
    { 0 },
};

static error_t parse(int key, char *text, struct argp_state *state)
{
    settings *s = state->input;
    switch (key) {
    case 'k': s->classes = cli_int(state, "--classes", text, 2, PLOT_COLOURS); return 0;
    case 'd': s->hidden = cli_int(state, "--hidden", text, 1, 100000); return 0;
    case 'a': s->activation = cli_choice(state, "--activation", text, activations); return 0;
    case 'l': s->loss = cli_choice(state, "--loss", text, losses); return 0;
    case 'n': s->points = cli_int(state, "--points", text, 1, 100000); return 0;
    case 'z': s->noise = cli_real(state, "--noise", text, 0, 10); return 0;
    case 'e': s->epochs = cli_int(state, "--epochs", text, 1, 1000000); return 0;
    case 'b': s->batch = cli_int(state, "--batch", text, 1, 1000000); return 0;
    case 'r': s->rate = cli_real(state, "--rate", text, 0, 1000); return 0;
    case 's': s->seed = cli_seed(state, "--seed", text); return 0;
    case 'o': s->output = text; return 0;
    case 'q': s->require = cli_real(state, "--require", text, 0, 1); return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp command_line = {
    .options = options,
    .parser = parse,
    .doc = "Learns to tell spiral arms apart with a network of one hidden layer.",
};

static const double pi = 3.14159265358979323846;

/* ---- data ------------------------------------------------------------------------------------ */

typedef struct data {
    int n;
    double *x;  /* (n, 2), one class after the other */
    int *label; /* (n) */
} data;

static data data_room(int n)
{
    return (data){ n, allocate((size_t)n * 2, sizeof(double)), allocate((size_t)n, sizeof(int)) };
}

static data data_new(const settings *s, uint32_t stream)
{
    data d = data_room(s->classes * s->points);
    rng r = rng_new(s->seed, stream);
    for (int i = 0; i < d.n; i++) {
        const int k = i / s->points;
        const double t = rng_uniform(&r), angle = 2 * pi / s->classes * (2 * t + k);
        d.x[2 * i] = t * sin(angle) + s->noise * rng_normal(&r);
        d.x[2 * i + 1] = t * cos(angle) + s->noise * rng_normal(&r);
        d.label[i] = k;
    }
    return d;
}

static void data_free(data d)
{
    free(d.x);
    free(d.label);
}

/* Copies the rows item[0] ... item[b.n - 1] of d into b. */
static void gather_rows(data b, const data *d, const int *item)
{
    for (int i = 0; i < b.n; i++) {
        b.x[2 * i] = d->x[2 * item[i]];
        b.x[2 * i + 1] = d->x[2 * item[i] + 1];
        b.label[i] = d->label[item[i]];
    }
}

/* ---- the model ------------------------------------------------------------------------------- */

enum { W_H, B_H, W_Y, B_Y, PARAMETERS };
static const char *const names[PARAMETERS] = { "W_h", "b_h", "W_y", "b_y" };

/* x (B, 2) to scores (B, K). */
static Value scores_of(const settings *s, const Value p[PARAMETERS], Value x)
{
    const Value z = linear(x, p[W_H], p[B_H]);
    const Value h = s->activation == RELU ? relu(z) : s->activation == TANH ? tanh(z) : sigmoid(z);
    return linear(h, p[W_Y], p[B_Y]);
}

/* Scores (B, K) and labels (B) to the mean loss. */
static Value loss_of(const settings *s, Value o, Value y)
{
    if (s->loss == MSE) return mse(softmax(o), one_hot(y, .classes = s->classes));
    return nll(log_softmax(o), y);
}

/* Where training starts: W_h (d, 2), b_h (d), W_y (K, d), b_y (K). */
typedef struct start {
    size_t size[PARAMETERS];
    double *w[PARAMETERS];
} start;

static start start_new(const settings *s)
{
    const size_t d = (size_t)s->hidden, k = (size_t)s->classes;
    start w = { .size = { [W_H] = 2 * d, [B_H] = d, [W_Y] = k * d, [B_Y] = k } };
    /* Hidden units that differ in direction and place, over the unit disc; small scores. */
    const double scale[PARAMETERS] = { 3, 1, 1 / sqrt((double)d), 0 };
    rng r = rng_new(s->seed, 2);
    for (int p = 0; p < PARAMETERS; p++) {
        w.w[p] = allocate(w.size[p], sizeof(double));
        for (size_t i = 0; i < w.size[p]; i++) w.w[p][i] = scale[p] * rng_normal(&r);
    }
    return w;
}

static void start_free(start w)
{
    for (int p = 0; p < PARAMETERS; p++) free(w.w[p]);
}

/* ---- the gradient check ---------------------------------------------------------------------- */

typedef struct checked {
    const settings *s;
    const data *batch;
} checked;

static Value checked_loss(tg_tape *t, const Value *p, void *user)
{
    const checked *c = user;
    const Value x = constant(t, c->batch->x, c->batch->n, 2);
    const Value y = index(t, c->batch->label, c->batch->n);
    return loss_of(c->s, scores_of(c->s, p, x), y);
}

/* Compares the gradients of all parameters with differences of the loss, on two training points of
   each class. */
static void check_gradients(const settings *s, const start *w, const data *train)
{
    const int n = s->points < 2 ? 1 : 2;
    data batch = data_room(n * s->classes);
    int item[2 * PLOT_COLOURS];
    for (int i = 0; i < batch.n; i++) item[i] = i / n * s->points + i % n;
    gather_rows(batch, train, item);

    const tg_check_input parameters[PARAMETERS] = {
        { names[W_H], w->w[W_H], 2, { s->hidden, 2 } },
        { names[B_H], w->w[B_H], 1, { s->hidden } },
        { names[W_Y], w->w[W_Y], 2, { s->classes, s->hidden } },
        { names[B_Y], w->w[B_Y], 1, { s->classes } },
    };
    checked model = { s, &batch };
    tg_check_report report;
    if (!tg_gradcheck(checked_loss, &model, parameters, PARAMETERS, NULL, &report))
        fail("gradient check: %s", report.message);
    printf("gradient check: %zu derivatives agree, the worst to %.1e", report.checked,
           report.relative_error);
    printf(report.kinks ? " (%zu left out at kinks)\n" : "\n", report.kinks);
    data_free(batch);
}

/* |dL/ds| for one point of class 1 with scores s = (margin, 0, 0, ...): confidently wrong. */
static double gradient_when_wrong(settings s, int loss, double margin)
{
    double scores[PLOT_COLOURS] = { margin }, g[PLOT_COLOURS], sum = 0;
    s.loss = loss;
    tg_tape *t = tg_tape_new(NULL);
    const Value o = param(t, scores, 1, s.classes);
    const Value y = index(t, (const int[]){ 1 }, 1);
    if (!tg_backward(loss_of(&s, o, y)) || !tg_grad_read(o, g, (size_t)s.classes))
        exit(EXIT_FAILURE);
    for (int k = 0; k < s.classes; k++) sum += g[k] * g[k];
    tg_tape_free(t);
    return sqrt(sum);
}

static void compare_losses(const settings *s)
{
    printf("gradient |dL/ds| when the scores s are wrong by a margin:\n  margin");
    for (int margin = 1; margin <= 16; margin *= 2) printf("%10d", margin);
    for (int loss = CE; loss <= MSE; loss++) {
        printf("\n  %-6s", losses[loss]);
        for (int margin = 1; margin <= 16; margin *= 2)
            printf("%10.1e", gradient_when_wrong(*s, loss, margin));
    }
    printf("\n");
}

/* ---- training -------------------------------------------------------------------------------- */

typedef struct network {
    const settings *s;
    tg_tape *t;
    Value p[PARAMETERS];
    float *m[PARAMETERS], *v[PARAMETERS]; /* Adam's averages of gradients and of their squares */
    tg_mark start;                        /* everything of one step lies above */
} network;

static network network_new(const settings *s, const start *w)
{
    tg_tape *t = tg_tape_new(&(tg_tape_options){ .type = TG_F32 });
    if (!t) exit(EXIT_FAILURE);
    network net = { .s = s, .t = t };
    net.p[W_H] = param(t, w->w[W_H], s->hidden, 2);
    net.p[B_H] = param(t, w->w[B_H], s->hidden);
    net.p[W_Y] = param(t, w->w[W_Y], s->classes, s->hidden);
    net.p[B_Y] = param(t, w->w[B_Y], s->classes);
    for (int p = 0; p < PARAMETERS; p++) {
        tg_name(net.p[p], names[p]);
        net.m[p] = allocate(w->size[p], sizeof(float));
        net.v[p] = allocate(w->size[p], sizeof(float));
    }
    net.start = tg_tape_mark(t);
    return net;
}

static void network_free(network *net)
{
    for (int p = 0; p < PARAMETERS; p++) {
        free(net->m[p]);
        free(net->v[p]);
    }
    tg_tape_free(net->t);
}

/* A step of Adam (Kingma and Ba, 2015) with its usual constants; step counts from 1. */
static void adam(network *net, double rate, int64_t step)
{
    const float b1 = 0.9f, b2 = 0.999f;
    const double t = (double)step;
    const float a = (float)(rate * sqrt(1 - pow(0.999, t)) / (1 - pow(0.9, t)));
    for (int p = 0; p < PARAMETERS; p++) {
        const float *g = tg_grad_f32(net->p[p]);
        float *w = tg_edit_f32(net->p[p]), *m = net->m[p], *v = net->v[p];
        if (!g || !w) exit(EXIT_FAILURE);
        const int64_t n = tg_size(net->p[p]);
        for (int64_t i = 0; i < n; i++) {
            m[i] = b1 * m[i] + (1 - b1) * g[i];
            v[i] = b2 * v[i] + (1 - b2) * g[i] * g[i];
            w[i] -= a * m[i] / (sqrtf(v[i]) + 1e-8f);
        }
    }
}

/* One minibatch: forward, backward, a step. Returns its loss. */
static double train_on(network *net, const data *batch, double rate, int64_t step)
{
    const Value x = input(net->t, batch->x, batch->n, 2);
    const Value y = index(net->t, batch->label, batch->n);
    const Value loss = loss_of(net->s, scores_of(net->s, net->p, x), y);
    const double value = tg_item(loss);
    if (!tg_backward(loss)) exit(EXIT_FAILURE);
    adam(net, rate, step);
    tg_release(net->start);
    return value;
}

typedef struct result {
    double loss, accuracy;
} result;

/* The class with the highest of K scores. */
static int highest(const float *score, int classes)
{
    int best = 0;
    for (int k = 1; k < classes; k++)
        if (score[k] > score[best]) best = k;
    return best;
}

static result evaluate(const network *net, const data *d)
{
    tg_no_grad_begin(net->t);
    const Value o = scores_of(net->s, net->p, input(net->t, d->x, d->n, 2));
    const Value loss = loss_of(net->s, o, index(net->t, d->label, d->n));
    tg_no_grad_end(net->t);
    const float *score = tg_data_f32(o);
    if (!score) exit(EXIT_FAILURE);
    const int classes = net->s->classes;
    int right = 0;
    for (int i = 0; i < d->n; i++) right += highest(score + i * classes, classes) == d->label[i];
    const result r = { tg_item(loss), (double)right / d->n };
    tg_release(net->start);
    return r;
}

/* The loss of the training and of the test points after each epoch: (epochs, 2), epoch and loss. */
typedef struct history {
    double *train, *test;
} history;

/* Minibatches in an epoch; the last one may be smaller. */
static int steps_of(const settings *s)
{
    return (s->classes * s->points + s->batch - 1) / s->batch;
}

/* One pass over the training points in the given order; batch has room for any minibatch. */
static void train_epoch(network *net, const data *train, const int *order, data batch, int epoch,
                        progress *bar)
{
    const settings *s = net->s;
    const int steps = steps_of(s);
    double mean = 0; /* of the minibatches so far */
    for (int i = 0; i < steps; i++) {
        const int first = i * s->batch;
        const int64_t step = (int64_t)epoch * steps + i;
        batch.n = train->n - first < s->batch ? train->n - first : s->batch;
        gather_rows(batch, train, order + first);
        const double way = (double)step / ((double)s->epochs * steps);
        const double rate = 0.5 * s->rate * (1 + cos(pi * way));
        const double loss = train_on(net, &batch, rate, step + 1);
        if (!(loss < INFINITY)) {
            progress_end(bar);
            fail("the loss is %g in epoch %d: try a smaller --rate", loss, epoch + 1);
        }
        mean += (loss - mean) / (i + 1);
        progress_show(bar, step + 1, "epoch %d of %d  loss %.4f", epoch + 1, s->epochs, mean);
    }
}

static void train_network(network *net, const data *train, const data *test, history *h)
{
    const settings *s = net->s;
    const int largest = s->batch < train->n ? s->batch : train->n;
    data batch = data_room(largest);
    int *order = allocate((size_t)train->n, sizeof(int));
    for (int i = 0; i < train->n; i++) order[i] = i;
    rng r = rng_new(s->seed, 3);
    progress bar = progress_begin((int64_t)s->epochs * steps_of(s));
    for (int epoch = 0; epoch < s->epochs; epoch++) {
        rng_shuffle(&r, order, train->n);
        train_epoch(net, train, order, batch, epoch, &bar);
        h->train[2 * epoch] = h->test[2 * epoch] = epoch + 1;
        h->train[2 * epoch + 1] = evaluate(net, train).loss;
        h->test[2 * epoch + 1] = evaluate(net, test).loss;
    }
    printf("trained in %.2f s\n", progress_end(&bar));
    free(order);
    data_free(batch);
}

/* ---- the picture ----------------------------------------------------------------------------- */

#define SIDE 320 /* pixels of the decision regions, each way */
#define REACH 1.15

/* The colour of a class, white where the network does not know. */
static uint32_t region_colour(int class, double probability)
{
    uint32_t colour = 0;
    for (int shift = 0; shift <= 16; shift += 8) {
        const double full = plot_colour[class] >> shift & 255;
        colour |= (uint32_t)(255 + 0.45 * probability * (full - 255)) << shift;
    }
    return colour;
}

static image regions_new(const network *net)
{
    image m = { SIDE, SIDE, -REACH, REACH, -REACH, REACH, allocate(SIDE * SIDE, 3) };
    const int classes = net->s->classes;
    double x[SIDE][2];
    for (int row = 0; row < SIDE; row++) {
        for (int i = 0; i < SIDE; i++) {
            x[i][0] = REACH * ((2 * i + 1.0) / SIDE - 1);
            x[i][1] = REACH * (1 - (2 * row + 1.0) / SIDE);
        }
        const Value o = scores_of(net->s, net->p, input(net->t, x[0], SIDE, 2));
        const float *y = tg_data_f32(softmax(o));
        if (!y) exit(EXIT_FAILURE);
        for (int i = 0; i < SIDE; i++, y += classes) {
            const int best = highest(y, classes);
            const double sure = ((double)y[best] - 1.0 / classes) / (1 - 1.0 / classes);
            image_set(&m, i, row, region_colour(best, sure));
        }
        tg_release(net->start);
    }
    return m;
}

/* The points of d in the colours of their classes, in the key as "class k" if that is asked for. */
static void draw_classes(plot *p, const settings *s, const data *d, plot_style style, bool in_key)
{
    for (int k = 0; k < s->classes; k++) {
        char label[32];
        snprintf(label, sizeof label, "class %d", k + 1);
        const double *xy = d->x + 2 * k * s->points;
        plot_points(p, style, in_key ? label : NULL, plot_colour[k], xy, s->points);
    }
}

static void draw_png(const settings *s, const data *train, const data *test, const history *h,
                     const image *regions)
{
    plot *p = plot_new(s->output, 3);
    if (!p) fail("gnuplot: %s", strerror(errno));
    plot_axes plane = { "training data", "x₁", "x₂", .square = true,
                        .x0 = -REACH, .x1 = REACH, .y0 = -REACH, .y1 = REACH };
    plot_panel(p, &plane);
    draw_classes(p, s, train, PLOT_DOTS, true);
    plane.title = "decision regions and test data";
    plot_panel(p, &plane);
    plot_image(p, regions);
    draw_classes(p, s, test, PLOT_SMALL_DOTS, false);
    const char *title = s->loss == CE ? "cross-entropy" : "squared error";
    plot_panel(p, &(plot_axes){ .title = title, .x = "epoch", .y = "mean loss", .log_y = true,
                                .x0 = 0, .x1 = s->epochs });
    plot_points(p, PLOT_LINE, "training", plot_colour[0], h->train, s->epochs);
    plot_points(p, PLOT_LINE, "test", plot_colour[1], h->test, s->epochs);
    if (!plot_free(p)) fail("gnuplot could not write '%s'", s->output);
}

static void draw_ppm(const settings *s, const data *train, image *regions)
{
    for (int i = 0; i < train->n; i++)
        image_dot(regions, train->x[2 * i], train->x[2 * i + 1], plot_colour[train->label[i]]);
    if (!image_write_ppm(regions, s->output))
        fail("cannot write '%s': %s", s->output, strerror(errno));
}

/* file.png becomes file.ppm. */
static char *ppm_path(const char *path)
{
    const size_t n = strlen(path), stem = n > 4 && strcmp(path + n - 4, ".png") == 0 ? n - 4 : n;
    char *ppm = allocate(stem + sizeof ".ppm", 1);
    memcpy(ppm, path, stem);
    strcpy(ppm + stem, ".ppm");
    return ppm;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void run(const settings *s, bool gnuplot)
{
    const data train = data_new(s, 0), test = data_new(s, 1);
    const start w = start_new(s);
    check_gradients(s, &w, &train);
    compare_losses(s);

    network net = network_new(s, &w);
    const size_t epochs = (size_t)s->epochs;
    history h = { allocate(2 * epochs, sizeof(double)), allocate(2 * epochs, sizeof(double)) };
    train_network(&net, &train, &test, &h);
    const result on_train = evaluate(&net, &train), on_test = evaluate(&net, &test);
    printf("training: loss %.4f, accuracy %.4f\n", on_train.loss, on_train.accuracy);
    printf("test:     loss %.4f, accuracy %.4f\n", on_test.loss, on_test.accuracy);

    image regions = regions_new(&net);
    if (gnuplot) draw_png(s, &train, &test, &h, &regions);
    else draw_ppm(s, &train, &regions);
    printf("picture:  %s\n", s->output);

    free(regions.rgb);
    free(h.train);
    free(h.test);
    network_free(&net);
    start_free(w);
    data_free(test);
    data_free(train);
    if (on_test.accuracy < s->require)
        fail("the test accuracy %.4f is below the required %.4f", on_test.accuracy, s->require);
}

int main(int argc, char **argv)
{
    settings s = { .classes = 3, .hidden = 100, .activation = TANH, .loss = CE,
                   .points = 1000, .noise = 0.02, .epochs = 100, .batch = 100,
                   .rate = 0.01, .seed = 1, .output = "spiral.png" };
    if (argp_parse(&command_line, argc, argv, 0, NULL, &s) != 0) return EXIT_FAILURE;

    const bool gnuplot = plot_has_gnuplot();
    char *instead = gnuplot ? NULL : ppm_path(s.output);
    if (instead) {
        s.output = instead;
        printf("gnuplot was not found: regions and training points go to %s\n", instead);
    }
    if (!plot_writable(s.output)) fail("cannot write '%s': %s", s.output, strerror(errno));
    printf("%d classes of %d points, %d %s units, loss %s, seed %" PRIu64 "\n", s.classes, s.points,
           s.hidden, activations[s.activation], losses[s.loss], s.seed);
    run(&s, gnuplot);
    free(instead);
    return EXIT_SUCCESS;
}
