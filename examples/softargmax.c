/* softargmax: the arg max and arg min made soft, and the coldness that makes them hard.

       softargmax_beta(e) = exp(beta e) / sum_n exp(beta e_n)
       softargmin_beta(e) = softargmax_beta(-e)
       softmax_beta(e) = 1 / beta log sum_n exp(beta e_n)      softmin_beta(e) = -softmax_beta(-e)

   beta, the coldness, is an inverse temperature. In the cold, beta -> infinity, softargmax becomes
   the one-hot arg max and softmax the maximum; in the heat, beta -> 0, every element gets 1 / N.
   What everybody calls softmax is softargmax; the soft maximum proper is the expression above, and
   softargmax is its gradient.

   The program prints softargmax and softargmin of a few numbers at several coldnesses, holds them
   against the limits and against their Jacobian, and draws them as bars. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/check.h"
#include "common/cli.h"
#include "common/picture.h"

#include <tapegrad.h>
#include <tapegrad/short.h>

/* ---- settings -------------------------------------------------------------------------------- */

#define MOST 32
static const double coldness[] = { 0.032, 0.1, 0.32, 1, 3.2, 10 };
enum { COLDNESSES = sizeof coldness / sizeof *coldness };

typedef struct settings {
    int n;
    double e[MOST];
    const char *output;
} settings;

static settings read_settings(int argc, char **argv)
{
    settings s = { .n = 12,
                   .e = { 0.4, -1.2, 1.9, 0.7, -0.3, 2.5, 1.1, -2, 0, 1.6, -0.8, 2.1 },
                   .output = "softargmax.png" };
    const cli_option options[] = {
        { 0, "NUMBER", NULL, "What is softened; write -- before negative ones",
          .real = s.e, .lo = -100, .hi = 100, .count = &s.n, .most = MOST },
        { 'o', "output", "FILE", "A picture, .png or .svg", .text = &s.output },
        { 0 },
    };
    cli_parse(argc, argv, "Shows softargmax and softargmin of some numbers from hot to cold.",
              options);
    if (s.n == 1) cli_error("one number has no rival: give several, or none");
    return s;
}

/* ---- what is shown --------------------------------------------------------------------------- */

static Value soft_maximum(Value e, double beta)
{
    return div(logsumexp(mul(beta, e)), beta);
}

static void print_row(const char *name, Value y)
{
    printf("%8s", name);
    for (int64_t i = 0; i < tg_size(y); i++) printf(" %7.4f", tg_data(y)[i]);
}

static void print_all(const char *title, Value e, double sign)
{
    printf("\n%s\n", title);
    print_row("beta   e", e);
    printf("   soft %s\n", sign > 0 ? "maximum" : "minimum");
    for (int i = 0; i < COLDNESSES; i++) {
        char beta[16];
        snprintf(beta, sizeof beta, "%g", coldness[i]);
        print_row(beta, sign > 0 ? softargmax(e, .beta = coldness[i])
                                 : softargmin(e, .beta = coldness[i]));
        printf("   %.4f\n", sign * tg_item(soft_maximum(mul(sign, e), coldness[i])));
    }
}

/* ---- what is checked ------------------------------------------------------------------------- */

/* The largest distance between elements of two values. */
static double distance(Value a, Value b)
{
    return tg_item(amax(abs(sub(a, b))));
}

/* Shared evenly by all elements that are the largest, as the limit does. */
static Value hard_arg_max(Value e)
{
    const Value top = ge(e, amax(e));
    return div(top, sum(top));
}

static void check_limits(Value e, double gap)
{
    const double n = (double)tg_size(e), cold = 40 / gap, hot = 1e-9;
    const double to_one_hot = distance(softargmax(e, .beta = cold), hard_arg_max(e));
    const double to_uniform = distance(softargmax(e, .beta = hot), full(e.tape, 1 / n, tg_size(e)));
    const double to_mirror = distance(softargmin(e), softargmax(neg(e)));
    printf("\nbeta = %-9.3g within %.1e of the one-hot arg max\n", cold, to_one_hot);
    printf("beta = %-9.3g within %.1e of 1 / N\n", hot, to_uniform);
    check_figure("the distance to the arg max in the cold", to_one_hot, 0, 1e-12);
    check_figure("the distance to 1 / N in the heat", to_uniform, 0, 1e-9 * (1 + tg_item(norm(e))));
    check_figure("softargmin(e) - softargmax(-e)", to_mirror, 0, 1e-15);
}

/* The distance of the largest element from the next that is less; 1 if all are equal. */
static double gap_of(const double *e, int n)
{
    double top = -INFINITY, next = -INFINITY;
    for (int i = 0; i < n; i++) top = fmax(top, e[i]);
    for (int i = 0; i < n; i++)
        if (e[i] < top) next = fmax(next, e[i]);
    return next > -INFINITY ? top - next : 1;
}

/* d softmax_beta / de = softargmax_beta(e) = a, and da_i / de_j = beta (a_i [i = j] - a_i a_j), as
   the engine differentiates them. */
static void check_derivatives(Value e)
{
    double worst_gradient = 0, worst_jacobian = 0, J[MOST * MOST];
    const int n = (int)tg_size(e);
    for (int k = 0; k < COLDNESSES; k++) {
        const double beta = coldness[k];
        const Value a = softargmax(e, .beta = beta);
        if (!tg_backward(soft_maximum(e, beta))) exit(EXIT_FAILURE);
        for (int i = 0; i < n; i++)
            worst_gradient = fmax(worst_gradient, fabs(tg_grad(e)[i] - tg_data(a)[i]));
        if (!tg_jacobian(a, &e, 1, J)) exit(EXIT_FAILURE);
        const double *p = tg_data(a);
        for (int i = 0; i < n * n; i++) {
            const double own = i / n == i % n ? p[i / n] : 0;
            worst_jacobian =
                fmax(worst_jacobian, fabs(J[i] - beta * (own - p[i / n] * p[i % n])) / beta);
        }
    }
    printf("gradient of the soft maximum: within %.1e of softargmax\n", worst_gradient);
    printf("Jacobian of softargmax: within %.1e of beta (a_i [i = j] - a_i a_j)\n", worst_jacobian);
    check_figure("gradient of the soft maximum", worst_gradient, 0, 1e-14);
    check_figure("Jacobian of softargmax", worst_jacobian, 0, 1e-14);
}

static Value all_coldnesses(tg_tape *t, const Value *e, void *user)
{
    (void)t, (void)user;
    Value y[COLDNESSES];
    for (int i = 0; i < COLDNESSES; i++) y[i] = softargmax(*e, .beta = coldness[i]);
    return stack(y, COLDNESSES);
}

/* ---- the picture ----------------------------------------------------------------------------- */

static void draw_bars(tg_plot *picture, const char *name, double beta, Value y, int colour)
{
    char title[64];
    snprintf(title, sizeof title, "%s, β = %g", name, beta);
    tg_plot_panel(picture, &(tg_plot_axes){ .title = title, .x = "n", .y0 = 0, .y1 = 1 });
    tg_plot_bars(picture, tg_size(y), NULL, tg_data(y),
                 &(tg_plot_style){ .colour = tg_colour(colour) });
}

static void draw(tg_plot *picture, Value e)
{
    tg_plot_panel(picture, &(tg_plot_axes){ .title = "e", .x = "n" });
    tg_plot_bars(picture, tg_size(e), NULL, tg_data(e), NULL);
    for (int i = 0; i < COLDNESSES; i++)
        draw_bars(picture, "softargmax", coldness[i], softargmax(e, .beta = coldness[i]), 1);
    draw_bars(picture, "softargmin", 1, softargmin(e), 2);
}

int main(int argc, char **argv)
{
    const settings s = read_settings(argc, argv);
    tg_plot *picture = picture_new(
        s.output, &(tg_plot_options){ .rows = 2, .columns = 4, .width = 360, .height = 300 });
    check_gradients(all_coldnesses, NULL, &(tg_check_input){ "e", s.e, 1, { s.n } }, 1);
    tg_tape *t = tg_tape_new(NULL);
    if (!t) return EXIT_FAILURE;
    const Value e = param(t, s.e, s.n);
    print_all("softargmax: the larger e_n, the more", e, 1);
    print_all("softargmin: the smaller e_n, the more", e, -1);
    check_limits(e, gap_of(s.e, s.n));
    check_derivatives(e);
    draw(picture, e);
    picture_write(picture, s.output);
    tg_tape_free(t);
    return EXIT_SUCCESS;
}
