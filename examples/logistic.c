/* logistic: logistic regression, one instance step by step, then trained instance by instance.

   z = w x + b, a = sigmoid(z), L = -y log a - (1 - y) log(1 - a). The worked instance of the
   lecture Neural Networks has inputs 0.5 ... 0.6, y = 1 and a = 0.526: forward values, local
   gradients, gradients by the chain rule, and an update are printed beside the lecture's rounded
   figures.

   Then two clouds of points are told apart as the lecture trains: for each epoch, for each
   instance, forward, backward, update of w and b. */
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
#include <tapegrad/short.h>

/* ---- settings -------------------------------------------------------------------------------- */

typedef struct settings {
    int points, epochs;
    double noise, rate, require;
    uint64_t seed;
    const char *output;
} settings;

static settings read_settings(int argc, char **argv)
{
    settings s = { .points = 500, .noise = 0.6, .epochs = 20, .rate = 0.01, .seed = 1,
                   .output = "logistic.png", .require = NAN };
    const cli_option options[] = {
        { 'n', "points", "N", "Training points, and test points, of each class",
          .whole = &s.points, .lo = 1, .hi = 1000000 },
        { 'z', "noise", "SIGMA", "Standard deviation of a cloud", .real = &s.noise, .hi = 10 },
        { 'e', "epochs", "N", "Passes over the training points",
          .whole = &s.epochs, .lo = 1, .hi = 1000000 },
        { 'r', "rate", "RATE", "Learning rate", .real = &s.rate, .hi = 1000 },
        { 's', "seed", "SEED", "Of data and order", .seed = &s.seed },
        { 'o', "output", "FILE", "A picture, .png or .svg", .text = &s.output },
        { 'q', "require", "ACCURACY", "Fail if the test accuracy is lower than this",
          .real = &s.require, .hi = 1 },
        { 0 },
    };
    cli_parse(argc, argv, "Works through one instance of logistic regression, then trains it.",
              options);
    return s;
}

/* ---- the model ------------------------------------------------------------------------------- */

/* One instance x (p) or many (n, p), with w (p) and b, to z. */
static Value weigh(Value x, Value w, Value b)
{
    return TG_EXPR(x @ w + b, x, w, b);
}

/* Outputs and labels to the loss of each instance. */
static Value losses_of(Value a, Value y)
{
    return TG_EXPR(-y * log(a) - (1 - y) * log(1 - a), a, y);
}

/* The same from z, for training: log_sigmoid(z) = log a stays finite where a rounds to 0 or 1. */
static Value losses_of_logits(Value z, Value y)
{
    return TG_EXPR(-y * log_sigmoid(z) - (1 - y) * log_sigmoid(-z), z, y);
}

/* Whether each output is on the wrong side of 1/2: the 0-1 loss. */
static Value mistakes_of(Value a, Value y)
{
    return TG_EXPR((a >= 0.5) != y, a, y);
}

/* ---- one instance, step by step -------------------------------------------------------------- */

enum { P = 2 };

/* A line of the table: the engine's value, held against what L = -log a gives; the lecture's. */
static void show_figure(const char *what, double value, double expected, const char *lecture)
{
    printf("  %-10s%16.12f  %s\n", what, value, lecture);
    check_figure(what, value, expected, 1e-12);
}

static void work_through_an_instance(void)
{
    const double x0[P] = { 0.5, 0.6 }, w0[P] = { 0.1, 0.1 }, a0 = 0.526;
    const double b0 = log(a0 / (1 - a0)) - (w0[0] * x0[0] + w0[1] * x0[1]); /* makes a = 0.526 */
    tg_tape *t = tg_tape_new(NULL);
    const Value w = param(t, w0, P), b = scalar(t, b0), x = constant(t, x0, P);
    const tg_mark start = tg_tape_mark(t);

    const Value z = weigh(x, w, b), a = sigmoid(z), L = losses_of(a, number(t, 1));
    printf("one instance: x = (%g, %g), y = 1; w = (%g, %g), b = %.6f\n", x0[0], x0[1], w0[0],
           w0[1], b0);
    printf("forward                         lecture\n");
    show_figure("z", tg_item(z), log(a0 / (1 - a0)), "");
    show_figure("a", tg_item(a), a0, "0.526");
    show_figure("L", tg_item(L), -log(a0), "");

    double dL_da, da_dz, dz_dw[P], dz_db;
    if (!tg_jacobian(L, &a, 1, &dL_da) || !tg_jacobian(a, &z, 1, &da_dz) ||
        !tg_jacobian(z, &w, 1, dz_dw) || !tg_jacobian(z, &b, 1, &dz_db))
        exit(EXIT_FAILURE);
    printf("local gradients\n");
    show_figure("dL/da", dL_da, -1 / a0, "-1.9");
    show_figure("da/dz", da_dz, a0 * (1 - a0), "0.24");
    show_figure("dz/dw_1", dz_dw[0], x0[0], "0.5");
    show_figure("dz/dw_p", dz_dw[1], x0[1], "0.6");
    show_figure("dz/db", dz_db, 1, "1");

    if (!tg_backward(L)) exit(EXIT_FAILURE);
    const double *dL_dw = tg_grad(w), dL_db = tg_grad_item(b);
    printf("global gradients, by the chain rule\n");
    show_figure("dL/dw_1", dL_dw[0], (a0 - 1) * x0[0], "-0.22");
    show_figure("dL/dw_p", dL_dw[1], (a0 - 1) * x0[1], "-0.27");
    show_figure("dL/db", dL_db, a0 - 1, "-0.46");

    double *new_w = tg_edit(w);
    for (int i = 0; i < P; i++) new_w[i] -= dL_dw[i];
    *tg_edit(b) -= dL_db;
    printf("update with step 1\n");
    show_figure("w_1", new_w[0], w0[0] + (1 - a0) * x0[0], "");
    show_figure("w_p", new_w[1], w0[1] + (1 - a0) * x0[1], "");
    show_figure("b", tg_item(b), b0 + (1 - a0), "");
    tg_release(start);
    const Value better = sigmoid(weigh(x, w, b));
    printf("  now a = %.4f and L = %.4f\n", tg_item(better),
           tg_item(losses_of(better, number(t, 1))));
    tg_tape_free(t);
}

static void sum_four_losses(void)
{
    tg_tape *t = tg_tape_new(NULL);
    const Value y = constant(t, ((double[]){ 1, 0, 1, 0 }), 4);
    const Value a = param(t, ((double[]){ 0.8, 0.3, 0.6, 0.2 }), 4);
    const Value L = losses_of(a, y), likelihood = prod(where(y, a, sub(1, a)));
    const double summed = tg_item(sum(L)), n_times_mean = 4 * tg_item(mean(L));
    printf("labels 1, 0, 1, 0 and outputs 0.8, 0.3, 0.6, 0.2\n"
           "  summed loss %.4f; -log of the likelihood %.4f; n times the mean loss %.4f\n"
           "  0-1 loss %g\n",
           summed, -log(tg_item(likelihood)), n_times_mean, tg_item(sum(mistakes_of(a, y))));
    check_figure("the summed loss", summed, 1.3138, 5e-5);
    check_figure("-log of the likelihood", -log(tg_item(likelihood)), summed, 1e-12);
    check_figure("n times the mean loss", n_times_mean, summed, 1e-12);

    /* dL/da is -1 / a where y is 1, and 1 / (1 - a) where it is 0. */
    const double expected[] = { -1 / 0.8, 1 / (1 - 0.3), -1 / 0.6, 1 / (1 - 0.2) };
    if (!tg_backward(sum(L))) exit(EXIT_FAILURE);
    for (int i = 0; i < 4; i++) check_figure("dL/da", tg_grad(a)[i], expected[i], 1e-12);
    tg_tape_free(t);
}

/* ---- training -------------------------------------------------------------------------------- */

static Value checked_loss(tg_tape *t, const Value *p, void *user)
{
    const tg_dataset *d = user;
    const Value x = constant(t, d->x, d->n, 2), y = cast(index(t, d->label, d->n));
    return mean(losses_of_logits(weigh(x, p[0], p[1]), y));
}

typedef struct result {
    double epoch;
    double loss, mistakes; /* means over the points */
} result;

static result evaluate(Value w, Value b, const tg_dataset *d, int epoch)
{
    const tg_mark here = tg_tape_mark(w.tape);
    const Value y = cast(index(w.tape, d->label, d->n));
    const Value z = weigh(constant(w.tape, d->x, d->n, 2), w, b);
    const result r = { epoch, tg_item(mean(losses_of_logits(z, y))),
                       tg_item(mean(mistakes_of(sigmoid(z), y))) };
    tg_release(here);
    return r;
}

/* Forward, backward, update, for one point. */
static void learn(Value w, Value b, const double *x, int label, double rate)
{
    const tg_mark here = tg_tape_mark(w.tape);
    const Value z = weigh(constant(w.tape, x, 2), w, b);
    if (!tg_backward(losses_of_logits(z, number(w.tape, label)))) exit(EXIT_FAILURE);
    const double *dw = tg_grad(w), db = tg_grad_item(b);
    double *v = tg_edit(w);
    for (int i = 0; i < 2; i++) v[i] -= rate * dw[i];
    *tg_edit(b) -= rate * db;
    tg_release(here);
}

/* Fills each (epochs + 1) with the results on train and test, before each epoch and at the end. */
static void train_model(const settings *s, Value w, Value b, sets data, result *on_train,
                        result *on_test)
{
    tg_batches *order = batches_new(data.train, 1, s->seed);
    double learning = 0; /* seconds */
    on_train[0] = evaluate(w, b, data.train, 0);
    on_test[0] = evaluate(w, b, data.test, 0);
    tg_meter meter = tg_meter_start(stdout, s->epochs);
    for (int epoch = 0; epoch < s->epochs; epoch++) {
        const tg_meter clock = tg_meter_start(NULL, 1);
        tg_batches_start(order, epoch, 0);
        for (const tg_batch *m; (m = tg_batches_next(order));)
            learn(w, b, m->x, m->label[0], s->rate);
        learning += tg_meter_end(&clock);
        on_train[epoch + 1] = evaluate(w, b, data.train, epoch + 1);
        on_test[epoch + 1] = evaluate(w, b, data.test, epoch + 1);
        tg_meter_show(&meter, epoch + 1, "loss %.4f", on_train[epoch + 1].loss);
    }
    tg_meter_end(&meter);
    printf("%.2f us a step\n", 1e6 * learning / ((double)s->epochs * (double)data.train->n));
    tg_batches_free(order);
}

/* ---- the picture ----------------------------------------------------------------------------- */

#define SIDE 100
static const tg_plot_grid plane = { -3, 3, -3, 3, SIDE, SIDE };

static void draw_regions(tg_plot *picture, Value w, Value b)
{
    double(*x)[2] = allocate(SIDE * SIDE, sizeof *x);
    tg_plot_grid_points(&plane, x[0]);
    picture_sides(picture, &plane, weigh(constant(w.tape, x[0], SIDE * SIDE, 2), w, b));
    free(x);
}

static void draw(tg_plot *picture, const settings *s, Value w, Value b, const tg_dataset *test,
                 const result *on_train, const result *on_test)
{
    tg_plot_axes axes = picture_plane("test points, and where a = 1/2", &plane);
    axes.key = TG_KEY_TOP_LEFT;
    tg_plot_panel(picture, &axes);
    draw_regions(picture, w, b);
    tg_plot_classes(picture, test->n, test->x, test->label, 2,
                    (const char *[]){ "class 0", "class 1" }, NULL);

    tg_plot_panel(picture, &(tg_plot_axes){ .title = "cross-entropy and 0-1 loss", .x = "epoch",
                                            .y = "mean over the points", .y1 = 0.75 });
    const result *const results[] = { on_train, on_test };
    const char *const labels[2][2] = { { "cross-entropy, training", "0-1 loss, training" },
                                       { "cross-entropy, test", "0-1 loss, test" } };
    tg_plot_style style = { .stride = sizeof(result) / sizeof(double) };
    for (int i = 0; i < 2; i++) {
        style.colour = tg_colour(i);
        style.label = labels[i][0];
        style.dashed = false;
        tg_plot_line(picture, s->epochs + 1, &results[i]->epoch, &results[i]->loss, &style);
        style.label = labels[i][1];
        style.dashed = true;
        tg_plot_line(picture, s->epochs + 1, &results[i]->epoch, &results[i]->mistakes, &style);
    }
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void report(const char *name, const tg_dataset *d, result r)
{
    printf("%-9s mean loss %.4f (-log likelihood of all %.1f), 0-1 loss %.0f of %" PRId64
           ", accuracy %.4f\n",
           name, r.loss, r.loss * (double)d->n, r.mistakes * (double)d->n, d->n, 1 - r.mistakes);
}

static void run(const settings *s, tg_plot *picture)
{
    const sets clouds = sets_of_points(tg_points_blobs, (tg_points){ .each = s->points,
                                                                     .noise = s->noise,
                                                                     .seed = s->seed });
    const tg_check_input parameters[] = {
        { "w", (double[]){ 0.5, -0.3 }, 1, { 2 } },
        { .name = "b", .data = &(double){ 0.2 } },
    };
    check_gradients(checked_loss, clouds.train, parameters, 2);

    tg_tape *t = tg_tape_new(NULL);
    const Value w = param(t, NULL, 2), b = scalar(t, 0);
    result *on_train = allocate((size_t)s->epochs + 1, sizeof *on_train);
    result *on_test = allocate((size_t)s->epochs + 1, sizeof *on_test);
    train_model(s, w, b, clouds, on_train, on_test);
    report("training:", clouds.train, on_train[s->epochs]);
    report("test:", clouds.test, on_test[s->epochs]);
    /* The two centres are 1 away from the best line between them. */
    printf("the best possible accuracy is %.4f\n", 0.5 * erfc(-1 / (s->noise * sqrt(2.0))));
    draw(picture, s, w, b, clouds.test, on_train, on_test);
    picture_write(picture, s->output);

    const double accuracy = 1 - on_test[s->epochs].mistakes;
    free(on_test);
    free(on_train);
    tg_tape_free(t);
    sets_free(clouds);
    check_accuracy(accuracy, s->require);
}

int main(int argc, char **argv)
{
    const settings s = read_settings(argc, argv);
    tg_plot *picture = picture_new(s.output, &(tg_plot_options){ .columns = 2 });
    work_through_an_instance();
    sum_four_losses();
    run(&s, picture);
    return EXIT_SUCCESS;
}
