/* coin: how likely tosses are if heads have the probability A, and the A that makes them likeliest.

   The likelihood of the tosses T, H, H is (1 - A) A A. Its negative logarithm is the loss, and
   gradient descent on it finds the A of greatest likelihood. A = sigmoid(theta) keeps A between 0
   and 1 whatever theta is. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/cli.h"
#include "common/picture.h"

#include <tapegrad.h>
#include <tapegrad/short.h>

/* ---- settings -------------------------------------------------------------------------------- */

typedef struct settings {
    const char *tosses;
    int steps;
    double rate, require;
    const char *output;
} settings;

static settings read_settings(int argc, char **argv)
{
    settings s = { .tosses = "THHH", .steps = 64, .rate = 0.5, .output = "coin.png", .require = INFINITY };
    const cli_option options[] = {
        { 't', "tosses", "TOSSES", "Heads and tails to learn from", .text = &s.tosses },
        { 'n', "steps", "N", "Steps of gradient descent",
          .whole = &s.steps, .lo = 1, .hi = 1000000 },
        { 'r', "rate", "RATE", "Learning rate", .real = &s.rate, .hi = 1000 },
        { 'o', "output", "FILE", "A picture, .png or .svg", .text = &s.output },
        { 'q', "require", "DISTANCE", "Fail if A is further from the share of heads than this",
          .real = &s.require, .hi = 1 },
        { 0 },
    };
    cli_parse(argc, argv, "Finds the probability of heads that makes tosses of a coin likeliest.",
              options);
    if (!*s.tosses || s.tosses[strspn(s.tosses, "HT")])
        cli_error("--tosses takes letters H and T, not '%s'", s.tosses);
    return s;
}

/* ---- likelihood ------------------------------------------------------------------------------ */

/* Of tosses such as "THH"; A may be one probability or many. */
static Value likelihood(Value A, const char *tosses)
{
    Value product = number(A.tape, 1);
    for (; *tosses; tosses++) product = mul(product, *tosses == 'H' ? A : sub(1, A));
    return product;
}

static Value negative_log_likelihood(Value A, const char *tosses)
{
    Value sum = number(A.tape, 0);
    for (; *tosses; tosses++) sum = sub(sum, log(*tosses == 'H' ? A : sub(1, A)));
    return sum;
}

static double value_at(Value (*f)(Value, const char *), double A, const char *tosses)
{
    tg_tape *t = tg_tape_new(NULL);
    const double value = tg_item(f(number(t, A), tosses));
    tg_tape_free(t);
    return value;
}

/* ---- figures --------------------------------------------------------------------------------- */

static const struct {
    const char *tosses;
    double fair, unfair; /* the likelihood for A = 0.5 and 0.8 */
} examples[] = { { "TH", 0.25, 0.16 }, { "THH", 0.125, 0.128 }, { "THHH", 0.0625, 0.1024 } };
enum { EXAMPLES = sizeof examples / sizeof *examples };

static const char all_heads[] = "HHHHHHHHHHHHHHHHHHHH", one_tail[] = "THHHHHHHHHHHHHHHHHHH";

static void show_figures(void)
{
    printf("likelihood     A = 0.5   A = 0.8\n");
    for (int i = 0; i < EXAMPLES; i++) {
        const double fair = value_at(likelihood, 0.5, examples[i].tosses);
        const double unfair = value_at(likelihood, 0.8, examples[i].tosses);
        printf("  %-11s %8.4f  %8.4f\n", examples[i].tosses, fair, unfair);
        check_figure("the likelihood for A = 0.5", fair, examples[i].fair, 1e-12);
        check_figure("the likelihood for A = 0.8", unfair, examples[i].unfair, 1e-12);
    }
    const double fair = value_at(negative_log_likelihood, 0.5, all_heads);
    const double unfair = value_at(negative_log_likelihood, 0.8, all_heads);
    const double with_tail = value_at(negative_log_likelihood, 0.8, one_tail);
    printf("negative log-likelihood of 20 tosses\n"
           "  A = 0.5, any         %.7f\n"
           "  A = 0.8, all heads    %.6f\n"
           "  A = 0.8, one tail     %.6f\n",
           fair, unfair, with_tail);
    check_figure("-log of 0.5 to the 20th", fair, 13.8629436, 5e-8);
    check_figure("-log of 0.8 to the 20th", unfair, 4.462871, 5e-7);
    check_figure("-log of 0.2 times 0.8 to the 19th", with_tail, 5.849165, 5e-7);
}

/* ---- descent --------------------------------------------------------------------------------- */

static Value loss_of(tg_tape *t, const Value *theta, void *tosses)
{
    (void)t;
    return negative_log_likelihood(sigmoid(*theta), tosses);
}

static bool is_power_of_2(int n)
{
    return (n & (n - 1)) == 0;
}

/* Fills path (steps + 1, 2) with A and the loss at each step. */
static void descend(const settings *s, double *path)
{
    tg_tape *t = tg_tape_new(NULL);
    const Value theta = scalar(t, 0);
    const tg_mark start = tg_tape_mark(t);
    const tg_meter clock = tg_meter_start(NULL, s->steps);
    printf("gradient descent on the loss -log likelihood of %s\n"
           "  step        A        loss   dL/dtheta\n",
           s->tosses);
    for (int step = 0; step <= s->steps; step++) {
        const Value A = sigmoid(theta), loss = negative_log_likelihood(A, s->tosses);
        if (!tg_backward(loss)) exit(EXIT_FAILURE);
        path[2 * step] = tg_item(A);
        path[2 * step + 1] = tg_item(loss);
        if (is_power_of_2(step) || step == s->steps)
            printf("%6d  %.7f  %.7f  %10.1e\n", step, tg_item(A), tg_item(loss),
                   tg_grad_item(theta));
        *tg_edit(theta) -= s->rate * tg_grad_item(theta);
        tg_release(start);
    }
    printf("%.2f us a step\n", 1e6 * tg_meter_end(&clock) / (s->steps + 1));
    tg_tape_free(t);
}

/* ---- the picture ----------------------------------------------------------------------------- */

#define SAMPLES 400

static double share_of_heads(const char *tosses)
{
    int heads = 0, n = 0;
    for (; tosses[n]; n++) heads += tosses[n] == 'H';
    return (double)heads / n;
}

/* f over A from just above 0 to just below 1; what a curve is to be called is in label. */
static void draw_curve(tg_plot *picture, Value (*f)(Value, const char *), const char *tosses,
                       const tg_plot_style *style)
{
    tg_tape *t = tg_tape_new(NULL);
    const Value A = linspace(t, 0.002, 0.998, SAMPLES), y = f(A, tosses);
    if (!tg_data(y)) exit(EXIT_FAILURE);
    tg_plot_line(picture, SAMPLES, tg_data(A), tg_data(y), style);
    tg_tape_free(t);
}

static void draw(tg_plot *picture, const settings *s, const double *path)
{
    tg_plot_panel(picture, &(tg_plot_axes){ .title = "likelihood, and where it is greatest",
                                            .x = "A, the probability of heads", .y = "likelihood",
                                            .x1 = 1, .y1 = 0.32, .key = TG_KEY_TOP_LEFT });
    for (int i = 0; i < EXAMPLES; i++) {
        const char *tosses = examples[i].tosses;
        const double best = share_of_heads(tosses), top = value_at(likelihood, best, tosses);
        draw_curve(picture, likelihood, tosses,
                   &(tg_plot_style){ .label = tosses, .colour = tg_colour(i) });
        tg_plot_points(picture, 1, &best, &top,
                       &(tg_plot_style){ .colour = tg_colour(i), .size = 1.5 });
    }
    char title[64];
    snprintf(title, sizeof title, "gradient descent on %.32s", s->tosses);
    tg_plot_panel(picture, &(tg_plot_axes){ .title = title, .x = "A = σ(θ)",
                                            .y = "-log likelihood", .x1 = 1, .y1 = 3 * path[1] });
    draw_curve(picture, negative_log_likelihood, s->tosses,
               &(tg_plot_style){ .label = "loss" });
    tg_plot_points(picture, s->steps + 1, path, path + 1,
                   &(tg_plot_style){ .label = "steps", .size = 1, .stride = 2 });
}

int main(int argc, char **argv)
{
    const settings s = read_settings(argc, argv);
    tg_plot *picture = picture_new(s.output, &(tg_plot_options){ .columns = 2 });

    show_figures();
    const tg_check_input theta = { .name = "theta", .data = &(double){ 0.3 } };
    check_gradients(loss_of, (void *)s.tosses, &theta, 1);
    double *path = allocate((size_t)s.steps + 1, 2 * sizeof *path);
    descend(&s, path);
    const double A = path[2 * s.steps], heads = share_of_heads(s.tosses);
    printf("A = %.9f; the share of heads is %.9f\n", A, heads);
    draw(picture, &s, path);
    picture_write(picture, s.output);
    free(path);
    check_figure("A", A, heads, s.require);
    return EXIT_SUCCESS;
}
