/* neuron: one neuron with three inputs, which fires or does not, learns a truth table.

   z = w x + b; the neuron's output is 1 if z >= 0 and 0 otherwise: all or none. A step has no
   derivative to follow, so the neuron learns with a = sigmoid(z) in its place, by gradient descent
   on the cross-entropy, and is then used with the step.

   With one input held fixed it is a neuron of two inputs. The points at which that one changes its
   mind are a line, at the distance |b| / |w| from the origin. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/check.h"
#include "common/cli.h"
#include "common/picture.h"

#include <tapegrad.h>
#include <tapegrad/short.h>

/* ---- settings -------------------------------------------------------------------------------- */

typedef struct settings {
    int steps;
    double rate;
    const char *output;
} settings;

static settings read_settings(int argc, char **argv)
{
    settings s = { .steps = 1000, .rate = 1, .output = "neuron.png" };
    const cli_option options[] = {
        { 'n', "steps", "N", "Steps of gradient descent",
          .whole = &s.steps, .lo = 1, .hi = 10000000 },
        { 'r', "rate", "RATE", "Learning rate", .real = &s.rate, .hi = 1000 },
        { 'o', "output", "FILE", "A picture, .png or .svg", .text = &s.output },
        { 0 },
    };
    cli_parse(argc, argv, "Teaches a neuron of three inputs a truth table.", options);
    return s;
}

/* ---- the truth table ------------------------------------------------------------------------- */

enum { ROWS = 8, INPUTS = 3 };
static const double inputs[ROWS][INPUTS] = { { 1, 0, 0 }, { 1, 0, 1 }, { 1, 1, 0 }, { 1, 1, 1 },
                                             { 0, 0, 1 }, { 0, 1, 0 }, { 0, 1, 1 }, { 0, 0, 0 } };
static const double outputs[ROWS] = { 0, 1, 1, 1, 0, 0, 1, 0 };

/* ---- the neuron ------------------------------------------------------------------------------ */

/* x (n, 3), w (3), b to z (n). */
static Value weigh(Value x, Value w, Value b)
{
    return TG_EXPR(x @ w + b, x, w, b);
}

/* 1 where the neuron fires. */
static Value fire(Value z)
{
    return ge(z, 0);
}

/* The mean over the table of -y log a - (1 - y) log(1 - a), a = sigmoid(z). */
static Value loss_of(Value z)
{
    return bce_with_logits(z, constant(z.tape, outputs, ROWS));
}

static Value checked_loss(tg_tape *t, const Value *p, void *user)
{
    (void)user;
    return loss_of(weigh(constant(t, inputs[0], ROWS, INPUTS), p[0], p[1]));
}

static int count_right(Value z)
{
    const double *a = tg_data(fire(z));
    if (!a) exit(EXIT_FAILURE);
    int right = 0;
    for (int i = 0; i < ROWS; i++) right += a[i] == outputs[i];
    return right;
}

static void follow_gradient(Value leaf, double rate)
{
    const double *g = tg_grad(leaf);
    double *w = tg_edit(leaf);
    for (int i = 0; i < tg_size(leaf); i++) w[i] -= rate * g[i];
}

static void train(const settings *s, Value x, Value w, Value b)
{
    const tg_mark start = tg_tape_mark(w.tape);
    int first = -1; /* step at which all rows are right, and stay so */
    tg_meter meter = tg_meter_start(stdout, s->steps);
    for (int step = 0; step < s->steps; step++) {
        const Value z = weigh(x, w, b), loss = loss_of(z);
        const int right = count_right(z);
        if (right < ROWS) first = -1;
        else if (first < 0) first = step;
        tg_meter_show(&meter, step + 1, "loss %.4f  %d of %d rows", tg_item(loss), right, ROWS);
        if (!tg_backward(loss)) exit(EXIT_FAILURE);
        follow_gradient(w, s->rate);
        follow_gradient(b, s->rate);
        tg_release(start);
    }
    const double seconds = tg_meter_end(&meter);
    printf("%.2f us a step; ", 1e6 * seconds / s->steps);
    if (first < 0) printf("the table was not learned\n");
    else printf("all rows right from step %d on\n", first);
}

/* Returns how many rows are right. */
static int show_table(Value x, Value w, Value b)
{
    const Value z = weigh(x, w, b), a = fire(z), p = sigmoid(z);
    const double *weight = tg_data(w);
    printf("w = (%.3f, %.3f, %.3f)  b = %.3f\n", weight[0], weight[1], weight[2], tg_item(b));
    printf("  x1 x2 x3    y        z  sigmoid  fires\n");
    for (int i = 0; i < ROWS; i++)
        printf("%4g%3g%3g%5g%9.3f%9.4f%7g\n", inputs[i][0], inputs[i][1], inputs[i][2], outputs[i],
               tg_data(z)[i], tg_data(p)[i], tg_data(a)[i]);
    return count_right(z);
}

/* ---- two inputs ------------------------------------------------------------------------------ */

/* The neuron that is left when x3 is held fixed: w1 x1 + w2 x2 + b. */
typedef struct line {
    double w1, w2, b;
} line;

/* The point of the line that is nearest to the origin. */
static void foot_of(line l, double foot[2])
{
    const double square_length = l.w1 * l.w1 + l.w2 * l.w2;
    foot[0] = -l.b * l.w1 / square_length;
    foot[1] = -l.b * l.w2 / square_length;
}

#define SIDE 100
static const tg_plot_grid plane = { -0.5, 1.8, -0.5, 1.8, SIDE, SIDE };

/* How sure the neuron is, over the plane of x1 and x2, and the line z = 0. */
static void draw_regions(tg_plot *picture, Value w, Value b, double x3)
{
    double(*xy)[2] = allocate(SIDE * SIDE, sizeof *xy), (*x)[3] = allocate(SIDE * SIDE, sizeof *x);
    tg_plot_grid_points(&plane, xy[0]);
    for (int i = 0; i < SIDE * SIDE; i++) {
        x[i][0] = xy[i][0];
        x[i][1] = xy[i][1];
        x[i][2] = x3;
    }
    picture_sides(picture, &plane, weigh(constant(w.tape, x[0], SIDE * SIDE, INPUTS), w, b));
    free(xy);
    free(x);
}

static void draw_distance(tg_plot *picture, const double foot[2])
{
    tg_plot_arrows(picture, 1, (double[]){ 0, 0, foot[0], foot[1] },
                   &(tg_plot_style){ .colour = 0x000001, .width = 1.5 });
    char text[64];
    snprintf(text, sizeof text, "|b| / |w| = %.2f", hypot(foot[0], foot[1]));
    tg_plot_text(picture, -0.4, -0.2, text, NULL);
}

/* The four rows of the table with this x3. */
static void draw_rows(tg_plot *picture, double x3)
{
    double xy[ROWS][2];
    int label[ROWS], n = 0;
    for (int i = 0; i < ROWS; i++) {
        if (inputs[i][2] != x3) continue;
        xy[n][0] = inputs[i][0];
        xy[n][1] = inputs[i][1];
        label[n++] = outputs[i] == 1;
    }
    tg_plot_classes(picture, n, xy[0], label, 2, (const char *[]){ "y = 0", "y = 1" },
                    &(tg_plot_style){ .size = 2 });
}

static void show_line(tg_plot *picture, Value w, Value b, double x3)
{
    const double *weight = tg_data(w);
    const line l = { weight[0], weight[1], weight[2] * x3 + tg_item(b) };
    const double distance = fabs(l.b) / hypot(l.w1, l.w2);
    double foot[2];
    foot_of(l, foot);
    printf("x3 = %g: the line %.3f x1 + %.3f x2 %+.3f = 0, |b| / |w| = %.4f from the origin\n", x3,
           l.w1, l.w2, l.b, distance);
    check_figure("z on the line", l.w1 * foot[0] + l.w2 * foot[1] + l.b, 0, 1e-12);
    check_figure("the distance of the line", hypot(foot[0], foot[1]), distance, 1e-12);

    char title[64];
    snprintf(title, sizeof title, "x₃ = %g: %s", x3, x3 > 0 ? "x₁ or x₂" : "x₁ and x₂");
    const tg_plot_axes axes = picture_plane(title, &plane);
    tg_plot_panel(picture, &axes);
    draw_regions(picture, w, b, x3);
    draw_distance(picture, foot);
    draw_rows(picture, x3);
}

int main(int argc, char **argv)
{
    const settings s = read_settings(argc, argv);
    tg_plot *picture = picture_new(s.output, &(tg_plot_options){ .columns = 2 });

    const tg_check_input parameters[] = {
        { "w", (double[]){ 0.5, -0.3, 0.8 }, 1, { INPUTS } },
        { .name = "b", .data = &(double){ 0.2 } },
    };
    check_gradients(checked_loss, NULL, parameters, 2);

    tg_tape *t = tg_tape_new(NULL);
    const Value w = param(t, NULL, INPUTS), b = scalar(t, 0);
    const Value x = constant(t, inputs[0], ROWS, INPUTS);
    train(&s, x, w, b);
    const int right = show_table(x, w, b);
    for (int x3 = 0; x3 <= 1; x3++) show_line(picture, w, b, x3);
    picture_write(picture, s.output);
    tg_tape_free(t);
    if (right < ROWS) fail("only %d of %d rows are right: try more --steps", right, ROWS);
    return EXIT_SUCCESS;
}
