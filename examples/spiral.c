/* spiral: points on K spiral arms, classified by a network of one hidden layer, R^2 -> R^d -> R^K.

   The arms, for 0 <= t <= 1 and k = 1 ... K (Foundations of Deep Learning, LeCun and Canziani):
       X_k(t) = t (sin(2 pi/K (2t + k - 1)), cos(2 pi/K (2t + k - 1))) + noise of N(0, sigma^2)
   The network: h = f(W_h x + b_h), scores s = W_y h + b_y, y~ = softargmax(s). The loss is
   -log y~_y, averaged over the batch; --loss mse shows why it is not the squared distance to the
   one-hot label. The same -log y~_y, as a function of x for each class y, is the free energy F(x, y):
   low where the network finds that y fits x.

   First the gradients of this very network are checked, then it is trained, then it is drawn. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/cli.h"
#include "common/data.h"
#include "common/picture.h"

#include <tapegrad.h>
#include <tapegrad/data.h>
#include <tapegrad/optim.h>
#include <tapegrad/plot.h>
#include <tapegrad/short.h>

/* ---- settings -------------------------------------------------------------------------------- */

enum { RELU, TANH, SIGMOID };
enum { CE, MSE };
static const char *const activations[] = { "relu", "tanh", "sigmoid", NULL };
static const char *const losses[] = { "ce", "mse", NULL };
enum { MOST_CLASSES = TG_COLOURS };

typedef struct settings {
    int classes, hidden, points, epochs, batch, seeds;
    int activation, loss;
    double noise, rate, require;
    uint64_t seed;
    const char *output;
} settings;

static settings read_settings(int argc, char **argv)
{
    settings s = { .classes = 3, .hidden = 100, .activation = TANH, .loss = CE, .points = 1000,
                   .noise = 0.02, .epochs = 100, .batch = 100, .rate = 0.01, .seed = 1, .seeds = 1,
                   .output = "spiral.png", .require = NAN };
    const cli_option options[] = {
        { 'k', "classes", "K", "Spiral arms", .whole = &s.classes, .lo = 2, .hi = MOST_CLASSES },
        { 'd', "hidden", "D", "Hidden units", .whole = &s.hidden, .lo = 1, .hi = 100000 },
        { 'a', "activation", "F", "Of the hidden units",
          .choice = &s.activation, .among = activations },
        { 'l', "loss", "LOSS", "Cross-entropy or squared error",
          .choice = &s.loss, .among = losses },
        { 'n', "points", "N", "Training points, and test points, of each class",
          .whole = &s.points, .lo = 1, .hi = 100000 },
        { 'z', "noise", "SIGMA", "Standard deviation of the noise on positions",
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
    cli_parse(argc, argv, "Learns to tell spiral arms apart with a network of one hidden layer.",
              options);
    return s;
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
static Value loss_of(const settings *s, Value scores, Value y)
{
    if (s->loss == MSE) return mse(softargmax(scores), one_hot(y, .classes = s->classes));
    return nll(log_softmax(scores), y);
}

typedef struct network {
    const settings *s;
    tg_tape *t;
    Value p[PARAMETERS]; /* W_h (d, 2), b_h (d), W_y (K, d), b_y (K) */
    tg_mark start;       /* everything of one step lies above */
} network;

/* Hidden units that differ in direction and place, over the unit disc; small scores. */
static network network_new(const settings *s)
{
    const int d = s->hidden, k = s->classes;
    const uint64_t seed = 4 * s->seed;
    tg_tape *t = tg_tape_new(&(tg_tape_options){ .type = TG_F32 });
    if (!t) exit(EXIT_FAILURE);
    network net = { .s = s, .t = t };
    net.p[W_H] = normal(t, seed, 0, 3, d, 2);
    net.p[B_H] = normal(t, seed + 1, 0, 1, d);
    net.p[W_Y] = normal(t, seed + 2, 0, 1 / sqrt(d), k, d);
    net.p[B_Y] = param(t, NULL, k);
    for (int p = 0; p < PARAMETERS; p++) {
        tg_name(net.p[p], names[p]);
        tg_want_gradient(net.p[p], true);
    }
    net.start = tg_tape_mark(t);
    return net;
}

/* ---- the gradient check ---------------------------------------------------------------------- */

typedef struct checked {
    const settings *s;
    const tg_dataset *points;
} checked;

static Value checked_loss(tg_tape *t, const Value *p, void *user)
{
    const checked *c = user;
    const Value x = constant(t, c->points->x, c->points->n, 2);
    return loss_of(c->s, scores_of(c->s, p, x), index(t, c->points->label, c->points->n));
}

/* At the first weights, on two training points of each class. */
static void check_network(const network *net, const tg_dataset *train)
{
    const settings *s = net->s;
    int64_t row[2 * MOST_CLASSES];
    for (int i = 0; i < 2 * s->classes; i++) row[i] = i / 2 * s->points + i % 2 % s->points;
    tg_dataset *some = tg_dataset_rows(train, row, 2 * s->classes, NULL);
    if (!some) fail("no memory for the gradient check");
    check_parameters(checked_loss, &(checked){ s, some }, net->p, PARAMETERS, NULL);
    tg_dataset_free(some);
}

/* |dL/ds| for one point of class 1 with scores s = (margin, 0, 0, ...): confidently wrong. */
static double gradient_when_wrong(settings s, int loss, double margin)
{
    double scores[MOST_CLASSES] = { margin }, g[MOST_CLASSES], sum = 0;
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

/* The same for the cross-entropy by its formula, dL/ds = y~ - y. */
static double distance_when_wrong(int classes, double margin)
{
    const double others = 1 / (exp(margin) + classes - 1), first = 1 - (classes - 1) * others;
    return sqrt(first * first + (1 - others) * (1 - others) + (classes - 2) * others * others);
}

static void compare_losses(const settings *s)
{
    for (int margin = 1; margin <= 16; margin *= 2)
        check_figure("|dL/ds| of the cross-entropy", gradient_when_wrong(*s, CE, margin),
                     distance_when_wrong(s->classes, margin), 1e-12);
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

typedef struct result {
    double loss, accuracy;
} result;

static result evaluate(const network *net, const tg_dataset *d)
{
    tg_no_grad_begin(net->t);
    const Value o = scores_of(net->s, net->p, input(net->t, d->x, d->n, 2));
    const Value y = index(net->t, d->label, d->n), loss = loss_of(net->s, o, y);
    const Value right = sum(eq(cast(argmax(o, .axis = 1)), cast(y)));
    tg_no_grad_end(net->t);
    const result r = { tg_item(loss), tg_item(right) / (double)d->n };
    tg_release(net->start);
    return r;
}

/* One minibatch: forward, backward, a step. Returns its loss. */
static double train_on(const network *net, tg_optimizer *adam, const tg_batch *batch)
{
    const Value x = input(net->t, batch->x, batch->n, 2);
    const Value y = index(net->t, batch->label, batch->n);
    const Value loss = loss_of(net->s, scores_of(net->s, net->p, x), y);
    const double value = tg_item(loss);
    if (!tg_backward(loss)) exit(EXIT_FAILURE);
    if (!tg_step(adam)) fail("%s: try a smaller --rate", tg_optimizer_status(adam)->message);
    tg_release(net->start);
    return value;
}

/* The loss of the training and of the test points after each epoch goes to history (2, epochs). */
static void train_network(const network *net, sets data, double *history)
{
    const settings *s = net->s;
    tg_optimizer *adam = tg_adam_new(net->p, PARAMETERS, NULL);
    tg_batches *batches = batches_new(data.train, s->batch, s->seed);
    if (!adam) fail("no memory for the optimiser");
    const int64_t total = s->epochs * tg_batches_count(batches);
    double evaluating = 0;
    tg_meter meter = tg_meter_start(stdout, total);
    for (int epoch = 0; epoch < s->epochs; epoch++) {
        double mean = 0; /* of the minibatches so far */
        tg_batches_start(batches, epoch, 0);
        for (const tg_batch *m; (m = tg_batches_next(batches));) {
            tg_set_learning_rate(adam, tg_lr_cosine(s->rate, 0, total, tg_steps(adam)));
            mean += (train_on(net, adam, m) - mean) / (double)(m->number + 1);
            tg_meter_show(&meter, tg_steps(adam), "epoch %d of %d  loss %.4f", epoch + 1, s->epochs,
                          mean);
        }
        const tg_meter pause = tg_meter_start(NULL, 0);
        history[epoch] = evaluate(net, data.train).loss;
        history[s->epochs + epoch] = evaluate(net, data.test).loss;
        evaluating += tg_meter_end(&pause);
    }
    const double seconds = tg_meter_end(&meter) - evaluating;
    printf("trained in %.2f s, %.0f us a step of %d points\n", seconds,
           1e6 * seconds / (double)total, s->batch);
    tg_batches_free(batches);
    tg_optimizer_free(adam);
}

/* ---- the picture ----------------------------------------------------------------------------- */

static const tg_plot_grid plane = { -1.15, 1.15, -1.15, 1.15, 240, 240 };
enum { CELLS = 240 * 240 };

/* log y~ (K, CELLS) for all cells of the plane. */
static double *log_probabilities(const network *net)
{
    const size_t k = (size_t)net->s->classes;
    double *xy = allocate(CELLS * 2, sizeof(double)), *all = allocate(CELLS * k, sizeof(double));
    tg_plot_grid_points(&plane, xy);
    const Value scores = scores_of(net->s, net->p, input(net->t, xy, CELLS, 2));
    if (!tg_read(transpose(log_softmax(scores)), all, CELLS * k)) exit(EXIT_FAILURE);
    tg_release(net->start);
    free(xy);
    return all;
}

/* y~ (CELLS, K). */
static double *probabilities(const double *log_y, int classes)
{
    double *y = allocate((size_t)CELLS * (size_t)classes, sizeof(double));
    for (int i = 0; i < CELLS; i++)
        for (int k = 0; k < classes; k++) y[i * classes + k] = exp(log_y[k * CELLS + i]);
    return y;
}

static void draw_points(tg_plot *p, const tg_dataset *d, double size, bool in_key)
{
    static const char *const name[MOST_CLASSES] = { "class 1", "class 2", "class 3", "class 4",
                                                    "class 5", "class 6", "class 7", "class 8" };
    tg_plot_classes(p, d->n, d->x, d->label, d->classes, in_key ? name : NULL,
                    &(tg_plot_style){ .size = size });
}

/* F(x, y) = -log y~_y for each class y, on one scale, with the line where F = log 2: y is as probable
   as all others together. */
static void draw_energies(tg_plot *p, const settings *s, const double *log_y)
{
    const size_t n = (size_t)CELLS * (size_t)s->classes;
    double *f = allocate(n, sizeof(double)), highest_f = 0;
    for (size_t i = 0; i < n; i++) highest_f = fmax(highest_f, f[i] = -log_y[i]);
    for (int k = 0; k < s->classes; k++) {
        char title[64];
        snprintf(title, sizeof title, "free energy F(x, y = %d)", k + 1);
        tg_plot_panel(p, &(tg_plot_axes){ title, "x₁", "x₂", .square = true });
        tg_plot_field(p, &plane, f + k * CELLS, &(tg_plot_scale){ .high = highest_f });
        tg_plot_contours(p, &plane, f + k * CELLS, 1, (const double[]){ log(2) },
                         &(tg_plot_style){ .colour = 0xffffff, .width = 1.5 });
    }
    free(f);
}

static void draw(tg_plot *p, const settings *s, sets data, const double *history,
                 const double *log_y)
{
    tg_plot_axes axes = picture_plane("training data", &plane);
    axes.key = s->classes > 3 ? TG_KEY_OUTSIDE : TG_KEY_TOP_RIGHT;
    tg_plot_panel(p, &axes);
    draw_points(p, data.train, 0.45, true);

    axes.title = "decision regions and test data";
    tg_plot_panel(p, &axes);
    double *y = probabilities(log_y, s->classes);
    tg_plot_regions(p, &plane, y, s->classes);
    draw_points(p, data.test, 0.25, false);
    free(y);

    picture_losses(p, s->loss == CE ? "cross-entropy" : "squared error", s->epochs, history);
    draw_energies(p, s, log_y);
}

/* Without gnuplot: regions and training points as pixels, in file.ppm instead of file.png. */
static void draw_ppm(const settings *s, const tg_dataset *train, const double *log_y)
{
    char path[4096];
    snprintf(path, sizeof path, "%.*s.ppm", (int)strlen(s->output) - 4, s->output);
    tg_status status;
    double *y = probabilities(log_y, s->classes);
    tg_image *m = tg_image_regions(&plane, y, s->classes, &status);
    if (!m) fail("%s", status.message);
    for (int i = 0; i < train->n; i++)
        tg_image_dot(m, &plane, train->x[2 * i], train->x[2 * i + 1], tg_colour(train->label[i]));
    if (!tg_image_write(m, path, &status)) fail("%s", status.message);
    printf("picture: %s\n", path);
    tg_image_free(m);
    free(y);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Trains with one seed; returns the test accuracy. */
static double run(const settings *s, tg_plot *picture, bool drawn)
{
    const sets data = sets_of_points(tg_points_spirals,
                                     (tg_points){ .classes = s->classes, .each = s->points,
                                                  .noise = s->noise, .seed = s->seed });
    printf("%d classes of %d points, %d %s units, loss %s, seed %" PRIu64 "\n", s->classes,
           s->points, s->hidden, activations[s->activation], losses[s->loss], s->seed);

    network net = network_new(s);
    check_network(&net, data.train);
    double *history = allocate(2 * (size_t)s->epochs, sizeof(double));
    train_network(&net, data, history);
    const result on_train = evaluate(&net, data.train), on_test = evaluate(&net, data.test);
    printf("training: loss %.4f, accuracy %.4f\n", on_train.loss, on_train.accuracy);
    printf("test:     loss %.4f, accuracy %.4f\n", on_test.loss, on_test.accuracy);

    if (drawn) {
        double *log_y = log_probabilities(&net);
        if (picture) draw(picture, s, data, history, log_y);
        else draw_ppm(s, data.train, log_y);
        free(log_y);
    }
    free(history);
    tg_tape_free(net.t);
    sets_free(data);
    return on_test.accuracy;
}

int main(int argc, char **argv)
{
    settings s = read_settings(argc, argv);

    const int panels = 3 + s.classes, columns = panels <= 6 || panels == 9 ? 3 : 4;
    tg_plot *picture = picture_new(
        s.output, &(tg_plot_options){ .rows = (panels - 1) / columns + 1, .columns = columns });
    compare_losses(&s);
    double worst = 1;
    for (int i = 0; i < s.seeds; i++, s.seed++) worst = fmin(worst, run(&s, picture, i == 0));
    if (s.seeds > 1) printf("the worst of %d test accuracies: %.4f\n", s.seeds, worst);
    picture_write(picture, s.output);
    check_accuracy(worst, s.require);
    return EXIT_SUCCESS;
}
