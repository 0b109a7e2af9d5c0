/* playground: a network of any depth and width on points of the plane, of two classes.

   The data sets are those of the TensorFlow playground, circle, exclusive or, Gaussian and spiral, and
   two moons. Each hidden layer is f(W h + b); the last gives two scores. The loss is the mean
   cross-entropy, and with --l1 and --l2 also l1 sum |w| + l2/2 sum w^2 over all weights.

   The picture shows the decision regions in the course of the training, and both losses. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/check.h"
#include "common/cli.h"
#include "common/data.h"
#include "common/picture.h"

#include <tapegrad.h>
#include <tapegrad/data.h>
#include <tapegrad/optim.h>
#include <tapegrad/short.h>

/* ---- settings -------------------------------------------------------------------------------- */

enum { MOST_LAYERS = 64 }; /* hidden ones */
enum { RELU, TANH, SIGMOID, LINEAR };
static const char *const activations[] = { "relu", "tanh", "sigmoid", "linear", NULL };

enum { CIRCLE, XOR, GAUSSIAN, SPIRAL, MOONS };
static const char *const shapes[] = { "circle", "xor", "gaussian", "spiral", "moons", NULL };
static tg_dataset *(*const makers[])(const tg_points *, tg_status *) = {
    [CIRCLE] = tg_points_circle,   [XOR] = tg_points_xor,     [GAUSSIAN] = tg_points_blobs,
    [SPIRAL] = tg_points_spirals,  [MOONS] = tg_points_moons,
};

typedef struct settings {
    int shape, depth, width, activation, points, epochs, batch, seeds;
    double l1, l2, noise, rate, require;
    uint64_t seed;
    const char *output;
} settings;

static settings read_settings(int argc, char **argv)
{
    settings s = { .shape = SPIRAL, .depth = 2, .width = 16, .activation = TANH, .points = 250,
                   .noise = 0.02, .epochs = 150, .batch = 20, .rate = 0.01, .seed = 1, .seeds = 1,
                   .output = "playground.png", .require = NAN };
    const cli_option options[] = {
        { 'd', "data", "SET", "Where the points lie", .choice = &s.shape, .among = shapes },
        { 'D', "depth", "N", "Hidden layers", .whole = &s.depth, .hi = MOST_LAYERS },
        { 'w', "width", "N", "Units of each hidden layer", .whole = &s.width, .lo = 1, .hi = 10000 },
        { 'a', "activation", "F", "Of the hidden units",
          .choice = &s.activation, .among = activations },
        { '1', "l1", "C", "Adds C sum |w| to the loss", .real = &s.l1, .hi = 1000 },
        { '2', "l2", "C", "Adds C/2 sum w^2 to the loss", .real = &s.l2, .hi = 1000 },
        { 'n', "points", "N", "Training points, and test points, of each class",
          .whole = &s.points, .lo = 4, .hi = 100000 },
        { 'z', "noise", "SIGMA", "Of the points; the Gaussian's own is added",
          .real = &s.noise, .hi = 10 },
        { 'e', "epochs", "N", "Passes over the training points",
          .whole = &s.epochs, .lo = 1, .hi = 1000000 },
        { 'b', "batch", "N", "Points in a minibatch", .whole = &s.batch, .lo = 1, .hi = 1000000 },
        { 'r', "rate", "RATE", "First learning rate of Adam; it falls to 0",
          .real = &s.rate, .hi = 1000 },
        { 's', "seed", "SEED", "Of data, first weights and order", .seed = &s.seed },
        { 'S', "seeds", "N", "Train N times, from SEED on; the first is drawn",
          .whole = &s.seeds, .lo = 1, .hi = 1000 },
        { 'o', "output", "FILE", "A picture, .png or .svg", .text = &s.output },
        { 'q', "require", "ACCURACY", "Fail if a test accuracy is lower than this",
          .real = &s.require, .hi = 1 },
        { 0 },
    };
    cli_parse(argc, argv, "Trains a network of any depth and width on points of the plane.",
              options);
    return s;
}

/* What the option calls noise is for blobs their whole extent. */
static sets points_of(const settings *s)
{
    const double noise = s->noise + (s->shape == GAUSSIAN ? 0.35 : 0);
    return sets_of_points(makers[s->shape], (tg_points){ .classes = 2, .each = s->points,
                                                         .noise = noise, .seed = s->seed });
}

/* ---- the model ------------------------------------------------------------------------------- */

/* W_0, b_0, W_1, b_1, ...; W_i is (units, units of the layer below). */
enum { MOST_PARAMETERS = 2 * (MOST_LAYERS + 1) };

static int parameters_of(const settings *s)
{
    return 2 * (s->depth + 1);
}

static Value activate(const settings *s, Value z)
{
    switch (s->activation) {
    case RELU: return relu(z);
    case TANH: return tanh(z);
    case SIGMOID: return sigmoid(z);
    default: return z;
    }
}

/* x (B, 2) to scores (B, 2). */
static Value scores_of(const settings *s, const Value *p, Value x)
{
    Value h = x;
    for (int i = 0; i < s->depth; i++, p += 2) h = activate(s, linear(h, p[0], p[1]));
    return linear(h, p[0], p[1]);
}

static Value loss_of(const settings *s, const Value *p, Value x, Value y)
{
    Value loss = cross_entropy(scores_of(s, p, x), y);
    for (int i = 0; i < parameters_of(s); i += 2) {
        if (s->l1 > 0) loss = add(loss, mul(s->l1, sum(abs(p[i]))));
        if (s->l2 > 0) loss = add(loss, mul(s->l2 / 2, sum(square(p[i]))));
    }
    return loss;
}

typedef struct network {
    const settings *s;
    tg_tape *t;
    Value p[MOST_PARAMETERS];
    tg_mark start; /* everything of one step lies above */
} network;

/* Weights of variance 1 / n, for relu 2 / n, where n is the number of units below; biases 0. */
static network network_new(const settings *s)
{
    network net = { .s = s, .t = tg_tape_new(&(tg_tape_options){ .type = TG_F32 }) };
    if (!net.t) exit(EXIT_FAILURE);
    for (int i = 0; i <= s->depth; i++) {
        const int below = i == 0 ? 2 : s->width, units = i == s->depth ? 2 : s->width;
        const double std = sqrt((s->activation == RELU ? 2.0 : 1.0) / below);
        Value *p = net.p + 2 * i;
        char name[16];
        p[0] = normal(net.t, (MOST_LAYERS + 1) * s->seed + (uint64_t)i, 0, std, units, below);
        p[1] = param(net.t, NULL, units);
        tg_want_gradient(p[0], true);
        for (int j = 0; j < 2; j++) {
            snprintf(name, sizeof name, "%c_%d", "Wb"[j], i);
            tg_name(p[j], name);
        }
    }
    net.start = tg_tape_mark(net.t);
    return net;
}

typedef struct checked {
    const settings *s;
    const tg_dataset *points;
} checked;

static Value checked_loss(tg_tape *t, const Value *p, void *user)
{
    const checked *c = user;
    const Value x = constant(t, c->points->x, c->points->n, 2);
    return loss_of(c->s, p, x, index(t, c->points->label, c->points->n));
}

/* At the first weights, on four training points of each class. */
static void check_network(const network *net, const tg_dataset *train)
{
    int64_t row[8];
    for (int i = 0; i < 8; i++) row[i] = i / 4 * (train->n / 2) + i % 4;
    tg_dataset *some = tg_dataset_rows(train, row, 8, NULL);
    if (!some) fail("no memory for the gradient check");
    check_parameters(checked_loss, &(checked){ net->s, some }, net->p, parameters_of(net->s), NULL);
    tg_dataset_free(some);
}

/* ---- training -------------------------------------------------------------------------------- */

typedef struct result {
    double loss, accuracy;
} result;

static result evaluate(const network *net, const tg_dataset *d)
{
    tg_no_grad_begin(net->t);
    const Value x = input(net->t, d->x, d->n, 2);
    const Value scores = scores_of(net->s, net->p, x);
    const Value y = index(net->t, d->label, d->n), loss = cross_entropy(scores, y);
    const Value right = sum(eq(cast(argmax(scores, .axis = 1)), cast(y)));
    tg_no_grad_end(net->t);
    const result r = { tg_item(loss), tg_item(right) / (double)d->n };
    tg_release(net->start);
    return r;
}

/* One minibatch: forward, backward, a step. */
static void train_on(const network *net, tg_optimizer *adam, const tg_batch *batch)
{
    const Value x = input(net->t, batch->x, batch->n, 2);
    const Value y = index(net->t, batch->label, batch->n);
    if (!tg_backward(loss_of(net->s, net->p, x, y))) exit(EXIT_FAILURE);
    if (!tg_step(adam)) fail("%s: try a smaller --rate", tg_optimizer_status(adam)->message);
    tg_release(net->start);
}

/* ---- the picture ----------------------------------------------------------------------------- */

enum { SIDE = 160, CELLS = SIDE * SIDE };

/* A square around all points. */
static tg_plot_grid plane_of(const tg_dataset *d)
{
    const tg_plot_grid r = picture_around(d->x, d->n, SIDE);
    const double x = (r.x0 + r.x1) / 2, y = (r.y0 + r.y1) / 2;
    const double reach = 0.55 * fmax(r.x1 - r.x0, r.y1 - r.y0);
    return (tg_plot_grid){ x - reach, x + reach, y - reach, y + reach, SIDE, SIDE };
}

/* The regions, and the training points, after an epoch. */
static void draw_regions(tg_plot *p, const network *net, const tg_dataset *train, int epoch,
                         double accuracy)
{
    const tg_plot_grid plane = plane_of(train);
    double *xy = allocate(2 * CELLS, sizeof(double)), *y = allocate(2 * CELLS, sizeof(double));
    tg_plot_grid_points(&plane, xy);
    const Value scores = scores_of(net->s, net->p, input(net->t, xy, CELLS, 2));
    if (!tg_read(softargmax(scores), y, 2 * CELLS)) exit(EXIT_FAILURE);
    tg_release(net->start);

    char title[80];
    snprintf(title, sizeof title, epoch ? "epoch %d: test accuracy %.3f" : "before training", epoch,
             accuracy);
    tg_plot_panel(p, &(tg_plot_axes){ title, "x₁", "x₂", .square = true });
    tg_plot_regions(p, &plane, y, 2);
    tg_plot_classes(p, train->n, train->x, train->label, 2, NULL, &(tg_plot_style){ .size = 0.35 });
    free(y);
    free(xy);
}

/* Whether the regions are drawn after this epoch: a few times, the oftener the earlier. */
static bool is_drawn(int epoch, int epochs)
{
    const double part[] = { 0.02, 0.1, 0.3, 1 };
    for (int i = 0; i < 4; i++)
        if (epoch == (int)ceil(part[i] * epochs)) return true;
    return false;
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Trains, and draws into picture what it comes by. */
static void train_network(const network *net, sets data, tg_plot *picture)
{
    const settings *s = net->s;
    tg_optimizer *adam = tg_adam_new(net->p, parameters_of(s), NULL);
    tg_batches *batches = batches_new(data.train, s->batch, s->seed);
    double *history = allocate(2 * (size_t)s->epochs, sizeof(double)), pauses = 0;
    if (!adam) fail("no memory for the optimiser");
    const int64_t total = s->epochs * tg_batches_count(batches);
    if (picture) draw_regions(picture, net, data.train, 0, 0);
    tg_meter meter = tg_meter_start(stdout, total);
    for (int epoch = 1; epoch <= s->epochs; epoch++) {
        tg_batches_start(batches, epoch - 1, 0);
        for (const tg_batch *m; (m = tg_batches_next(batches));) {
            tg_set_learning_rate(adam, tg_lr_cosine(s->rate, 0, total, tg_steps(adam)));
            train_on(net, adam, m);
        }
        const tg_meter pause = tg_meter_start(NULL, 0);
        const result on_train = evaluate(net, data.train), on_test = evaluate(net, data.test);
        history[epoch - 1] = on_train.loss;
        history[s->epochs + epoch - 1] = on_test.loss;
        if (picture && is_drawn(epoch, s->epochs))
            draw_regions(picture, net, data.train, epoch, on_test.accuracy);
        pauses += tg_meter_end(&pause);
        tg_meter_show(&meter, tg_steps(adam), "epoch %d  loss %.4f  test accuracy %.3f", epoch,
                      on_train.loss, on_test.accuracy);
    }
    const double seconds = tg_meter_end(&meter) - pauses;
    printf("trained in %.2f s, %.0f us a step of %d points\n", seconds,
           1e6 * seconds / (double)total, s->batch);
    picture_losses(picture, "cross-entropy", s->epochs, history);
    free(history);
    tg_batches_free(batches);
    tg_optimizer_free(adam);
}

/* What regularisation does: weights that are nearly 0. */
static void print_weights(const network *net)
{
    int64_t all = 0, small = 0;
    for (int i = 0; i < parameters_of(net->s); i += 2) {
        const float *w = tg_data_f32(net->p[i]);
        if (!w) exit(EXIT_FAILURE);
        for (int64_t j = 0; j < tg_size(net->p[i]); j++, all++) small += fabsf(w[j]) < 0.01f;
    }
    printf("weights:  %" PRId64 ", of them %" PRId64 " below 0.01\n", all, small);
}

/* Trains with one seed; returns the test accuracy. */
static double run(const settings *s, tg_plot *picture)
{
    const sets data = points_of(s);
    printf("%s, %d points a class; %d hidden layers of %d %s units; seed %" PRIu64 "\n",
           shapes[s->shape], s->points, s->depth, s->width, activations[s->activation], s->seed);
    network net = network_new(s);
    check_network(&net, data.train);
    train_network(&net, data, picture);
    const result on_train = evaluate(&net, data.train), on_test = evaluate(&net, data.test);
    printf("training: loss %.4f, accuracy %.4f\n", on_train.loss, on_train.accuracy);
    printf("test:     loss %.4f, accuracy %.4f\n", on_test.loss, on_test.accuracy);
    print_weights(&net);
    tg_tape_free(net.t);
    sets_free(data);
    return on_test.accuracy;
}

int main(int argc, char **argv)
{
    settings s = read_settings(argc, argv);
    tg_plot *picture = picture_new(
        s.output, &(tg_plot_options){ .rows = 2, .columns = 3, .width = 460, .height = 430 });
    double worst = 1;
    for (int i = 0; i < s.seeds; i++, s.seed++)
        worst = fmin(worst, run(&s, i == 0 ? picture : NULL));
    if (s.seeds > 1) printf("the worst of %d test accuracies: %.4f\n", s.seeds, worst);
    picture_write(picture, s.output);
    check_accuracy(worst, s.require);
    return EXIT_SUCCESS;
}
