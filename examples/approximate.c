/* approximate: a curve as a linear combination of a few sigmoids.

   A network of two layers, y^ = b_out + sum_i w_out_i sigmoid(w_i x + b_i) over N hidden units, is
   to follow y = sin x + 0.3 sin 3x on [-3, 3]. The loss is the mean of (y - y^)^2 over S points, and
   it goes down by gradient descent, w <- w - rate dL/dw, as in the lecture. Beside the loss stands
   the epsilon-accuracy, the share of points with |y - y^| < epsilon.

   A unit can be shifted, made steep, turned round, and added to others: the upper panels of the
   picture show what each of its numbers does, the lower ones what N of them make of the curve. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/cli.h"
#include "common/picture.h"

#include <tapegrad.h>
#include <tapegrad/optim.h>
#include <tapegrad/short.h>

/* ---- settings -------------------------------------------------------------------------------- */

enum { GD, ADAM };
static const char *const rules[] = { "gd", "adam", NULL };

#define S 200 /* points */
#define REACH 3.0
static const int sizes[] = { 1, 2, 3, 10 };
enum { SIZES = sizeof sizes / sizeof *sizes };

typedef struct settings {
    int rule, steps, seeds;
    double rate, epsilon, require;
    uint64_t seed;
    const char *output;
} settings;

/* Steps and rate are left at 0 for those of the rule. */
static settings read_settings(int argc, char **argv)
{
    settings s = { .rule = GD, .epsilon = 0.05, .seed = 1, .seeds = 1,
                   .output = "approximate.png", .require = NAN };
    const cli_option options[] = {
        { 'u', "rule", "RULE", "Gradient descent, or Adam, which is faster",
          .choice = &s.rule, .among = rules },
        { 'n', "steps", "N", "Steps, each on all points (default 100000; adam 10000)",
          .whole = &s.steps, .lo = 1, .hi = 100000000 },
        { 'r', "rate", "RATE", "Learning rate (default 0.1; adam 0.03)",
          .real = &s.rate, .hi = 1000 },
        { 'e', "epsilon", "E", "What counts as accurate", .real = &s.epsilon, .hi = 1000 },
        { 's', "seed", "SEED", "Of the first weights", .seed = &s.seed },
        { 'm', "seeds", "N", "Train with so many seeds, from --seed on",
          .whole = &s.seeds, .lo = 1, .hi = 1000 },
        { 'o', "output", "FILE", "A picture, .png or .svg", .text = &s.output },
        { 'q', "require", "ACCURACY",
          "Fail if N = 10 is less accurate than this, or a smaller N is not",
          .real = &s.require, .hi = 1 },
        { 0 },
    };
    cli_parse(argc, argv, "Approximates a curve by a linear combination of 1, 2, 3 and 10 sigmoids.",
              options);
    if (!s.steps) s.steps = s.rule == GD ? 100000 : 10000;
    if (s.rate == 0) s.rate = s.rule == GD ? 0.1 : 0.03;
    return s;
}

/* ---- the model ------------------------------------------------------------------------------- */

enum { W, B, W_OUT, B_OUT, PARAMETERS };
static const char *const names[PARAMETERS] = { "w", "b", "w_out", "b_out" };

static double target(double x)
{
    return sin(x) + 0.3 * sin(3 * x);
}

/* x (S, 1) to the outputs of the units, each with its weight (S, N): their sum is y^ - b_out. */
static Value units_of(const Value p[PARAMETERS], Value x)
{
    const Value w = p[W], b = p[B], w_out = p[W_OUT];
    return TG_EXPR(w_out * sigmoid(w * x + b), w_out, w, x, b);
}

static Value output_of(const Value p[PARAMETERS], Value x)
{
    return add(sum(units_of(p, x), .axis = 1), p[B_OUT]);
}

typedef struct network {
    tg_tape *t;
    int n;               /* hidden units */
    Value p[PARAMETERS]; /* w, b, w_out (n), b_out () */
    Value x, y;          /* (S, 1), (S) */
    tg_mark start;       /* everything of one step lies above */
    double loss, accuracy, seconds;
} network;

/* The units start with their bends, where w x + b = 0, spread over the range. */
static network network_new(int n, uint64_t seed)
{
    tg_tape *t = tg_tape_new(NULL);
    if (!t) exit(EXIT_FAILURE);
    network net = { .t = t, .n = n };
    const Value step = linspace(t, -REACH * (n - 1) / n, REACH * (n - 1) / n, n);
    const Value bend = add(step, mul(uniform(t, seed, -1, 1, n), REACH / 2 / n));
    const Value w = normal(t, seed, 0, REACH, n), b = mul(neg(w), bend);
    net.p[W] = param(t, tg_data(w), n);
    net.p[B] = param(t, tg_data(b), n);
    net.p[W_OUT] = param(t, tg_data(normal(t, seed + 1, 0, 1, n)), n);
    net.p[B_OUT] = param(t, NULL);
    for (int i = 0; i < PARAMETERS; i++) tg_name(net.p[i], names[i]);
    net.x = reshape(linspace(t, -REACH, REACH, S), S, 1);
    double y[S];
    for (int i = 0; i < S; i++) y[i] = target(tg_data(net.x)[i]);
    net.y = constant(t, y, S);
    net.start = tg_tape_mark(t);
    return net;
}

/* ---- the gradient check ---------------------------------------------------------------------- */

static Value checked_loss(tg_tape *t, const Value *p, void *user)
{
    const network *net = user;
    const Value x = constant(t, tg_data(net->x), S, 1), y = constant(t, tg_data(net->y), S);
    return mse(output_of(p, x), y);
}

static void check_network(uint64_t seed)
{
    network net = network_new(3, seed);
    check_parameters(checked_loss, &net, net.p, PARAMETERS, NULL);
    tg_tape_free(net.t);
}

/* ---- training -------------------------------------------------------------------------------- */

static tg_optimizer *optimizer_new(const settings *s, const network *net)
{
    if (s->rule == GD) return tg_sgd_new(net->p, PARAMETERS, &(tg_sgd_options){ .lr = s->rate });
    return tg_adam_new(net->p, PARAMETERS, &(tg_adam_options){ .lr = s->rate });
}

static void train(const settings *s, network *net)
{
    tg_optimizer *o = optimizer_new(s, net);
    const tg_meter clock = tg_meter_start(NULL, s->steps);
    for (int step = 0; step < s->steps; step++) {
        if (s->rule == ADAM) tg_set_learning_rate(o, tg_lr_cosine(s->rate, 0, s->steps, step));
        if (!tg_backward(mse(output_of(net->p, net->x), net->y))) exit(EXIT_FAILURE);
        if (!tg_step(o)) fail("%s: try a smaller --rate", tg_optimizer_status(o)->message);
        tg_release(net->start);
    }
    net->seconds = tg_meter_end(&clock);
    tg_optimizer_free(o);

    const Value y = net->y, out = output_of(net->p, net->x), e = number(net->t, s->epsilon);
    net->loss = tg_item(mse(out, y));
    net->accuracy = tg_item(TG_EXPR(mean(abs(y - out) < e), y, out, e));
    tg_release(net->start);
}

/* ---- the picture ----------------------------------------------------------------------------- */

#define CURVE 240

/* What w, b, w_out and b_out do to one unit: the first of it as it is, then one of them varied. */
static void draw_shaping(tg_plot *picture)
{
    static const double usual[PARAMETERS] = { 1, 0, 1, 0 };
    static const double varied[PARAMETERS][4] = {
        { -2, 0.5, 1, 5 }, { -2, 0, 2, 4 }, { -1, 0.5, 1, 2 }, { -1, -0.5, 0, 0.5 }
    };
    tg_tape *t = tg_tape_new(NULL);
    const Value x = linspace(t, -6, 6, CURVE);
    for (int i = 0; i < PARAMETERS; i++) {
        static const char *const what[] = { "w is its slope", "b shifts it", "w_out is its height",
                                            "b_out lifts it" };
        tg_plot_panel(
            picture,
            &(tg_plot_axes){
                .title = what[i], .x = "x", .y0 = -1.6, .y1 = 2.1, .key = TG_KEY_TOP_LEFT });
        for (int k = 0; k < 4; k++) {
            double v[PARAMETERS];
            memcpy(v, usual, sizeof v);
            v[i] = varied[i][k];
            const Value y = add(mul(sigmoid(add(mul(x, v[W]), v[B])), v[W_OUT]), v[B_OUT]);
            char label[32];
            snprintf(label, sizeof label, "%s = %g", names[i], v[i]);
            tg_plot_line(picture, CURVE, tg_data(x), tg_data(y),
                         &(tg_plot_style){ .label = label });
        }
    }
    tg_tape_free(t);
}

/* The curve, its approximation, and below them the single units that it is the sum of. */
static void draw_fit(tg_plot *picture, const settings *s, const network *net)
{
    char title[64];
    snprintf(title, sizeof title, "N = %d: %.0f %% within %g", net->n, 100 * net->accuracy,
             s->epsilon);
    tg_plot_panel(picture,
                  &(tg_plot_axes){ .title = title,
                                   .x = "x",
                                   .x0 = -REACH,
                                   .x1 = REACH,
                                   .y0 = -2.4,
                                   .y1 = 2.8,
                                   .key = net->n == sizes[0] ? TG_KEY_TOP_LEFT : TG_KEY_NONE });
    const double *x = tg_data(net->x), b = tg_item(net->p[B_OUT]);
    const Value units = contiguous(transpose(add(units_of(net->p, net->x), b / net->n)));
    for (int i = 0; i < net->n; i++)
        tg_plot_line(picture, S, x, tg_data(units) + i * S,
                     &(tg_plot_style){
                         .label = i ? NULL : "single sigmoids", .width = 1, .colour = 0x999999 });
    tg_plot_line(
        picture, S, x, tg_data(net->y),
        &(tg_plot_style){ .label = "y = sin x + 0.3 sin 3x", .width = 5, .colour = 0xbbddff });
    tg_plot_line(picture, S, x, tg_data(output_of(net->p, net->x)),
                 &(tg_plot_style){ .label = "their sum", .colour = tg_colour(1) });
    tg_release(net->start);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* Trains all sizes from one seed; draws them if picture is not NULL. */
static void run(const settings *s, uint64_t seed, tg_plot *picture)
{
    for (int i = 0; i < SIZES; i++) {
        network net = network_new(sizes[i], seed);
        train(s, &net);
        printf("%6" PRIu64 "%6d%14.6f%12.3f%9.2f s%9.1f us\n", seed, net.n, net.loss, net.accuracy,
               net.seconds, 1e6 * net.seconds / s->steps);
        fflush(stdout);
        if (picture) draw_fit(picture, s, &net);
        if (s->require > 0 && (net.accuracy >= s->require) != (net.n == sizes[SIZES - 1]))
            fail("N = %d: the accuracy %.3f is on the wrong side of %.3f", net.n, net.accuracy,
                 s->require);
        tg_tape_free(net.t);
    }
}

int main(int argc, char **argv)
{
    const settings s = read_settings(argc, argv);
    tg_plot *picture = picture_new(
        s.output, &(tg_plot_options){ .rows = 2, .columns = SIZES, .width = 400, .height = 380 });
    printf("%d points, %s, %d steps at rate %g\n", S, rules[s.rule], s.steps, s.rate);
    check_network(s.seed);
    draw_shaping(picture);
    printf("  seed     N           MSE  Acc_%-6g  trained   one step\n", s.epsilon);
    for (int i = 0; i < s.seeds; i++) run(&s, s.seed + (uint64_t)i, i ? NULL : picture);
    picture_write(picture, s.output);
    return EXIT_SUCCESS;
}
