/* descent: gradient descent on a surface of two inputs, with step sizes too small, good, too large.

   The shower of the lecture Neural Networks: x1 and x2 are how far the hot and the cold tap are
   open, L is how bad it feels. Its table of steps is printed first, beside a smooth surface with
   the same start and minimum, which is then walked down from the start by x <- x - a dL/dx. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/check.h"
#include "common/cli.h"
#include "common/picture.h"

#include <tapegrad.h>
#include <tapegrad/short.h>

/* ---- settings -------------------------------------------------------------------------------- */

enum { WALKS = 3 };

typedef struct settings {
    int steps;
    double rate[WALKS];
    const char *output;
} settings;

static settings read_settings(int argc, char **argv)
{
    settings s = { .steps = 20, .rate = { 0.02, 0.6, 0.92 }, .output = "descent.png" };
    const cli_option options[] = {
        { 'n', "steps", "N", "Steps of each walk", .whole = &s.steps, .lo = 1, .hi = 100 },
        { 's', "small", "A", "The step size that is too small", .real = &s.rate[0], .hi = 10 },
        { 'g', "good", "A", "The good one", .real = &s.rate[1], .hi = 10 },
        { 'l', "large", "A", "The one that is too large", .real = &s.rate[2], .hi = 10 },
        { 'o', "output", "FILE", "A picture, .png or .svg", .text = &s.output },
        { 0 },
    };
    cli_parse(argc, argv, "Walks down a surface of two inputs with three step sizes.", options);
    return s;
}

/* ---- the surface ----------------------------------------------------------------------------- */

static Value badness(Value x1, Value x2)
{
    return TG_EXPR(20 + 80 * ((x1 - 6) ** 2 / 72 + (x2 - 10) ** 2 / 200), x1, x2);
}

static Value checked_badness(tg_tape *t, const Value *x, void *user)
{
    (void)t, (void)user;
    return badness(x[0], x[1]);
}

/* A place, how bad it is there, and the slopes. */
typedef struct place {
    double x1, d1, x2, d2, L;
} place;

static place look(double x1, double x2)
{
    tg_tape *t = tg_tape_new(NULL);
    const Value v1 = scalar(t, x1), v2 = scalar(t, x2), L = badness(v1, v2);
    if (!tg_backward(L)) exit(EXIT_FAILURE);
    const place p = { x1, tg_grad_item(v1), x2, tg_grad_item(v2), tg_item(L) };
    tg_tape_free(t);
    return p;
}

/* The lecture's table: somebody under a shower. Its slopes are felt, not derived. */
static const place shower[] = { { 0, -3, 0, -10, 100 }, { 0, -6, 5, -6, 80 },
                                { 3, -3, 6, -3, 60 },   { 6, 0, 10, 0, 20 },
                                { 8, 3, 6, -3, 60 },    { 9, 6, 3, -6, 80 },
                                { 10, 10, 0, -10, 200 } };

static void show_table(void)
{
    printf("            the lecture's table       the smooth surface\n");
    printf("  x1   x2  dL/dx1  dL/dx2    L     dL/dx1  dL/dx2      L\n");
    for (size_t i = 0; i < sizeof shower / sizeof *shower; i++) {
        const place d = shower[i], p = look(d.x1, d.x2);
        printf("%4g%5g%8g%8g%5g%11.2f%8.2f%7.1f\n", d.x1, d.x2, d.d1, d.d2, d.L, p.d1, p.d2, p.L);
    }
    const place start = look(0, 0), lowest = look(6, 10);
    check_figure("L at the start", start.L, 100, 1e-12);
    check_figure("L at the minimum", lowest.L, 20, 1e-12);
    check_figure("the slope at the minimum", hypot(lowest.d1, lowest.d2), 0, 1e-12);
}

/* ---- the walks ------------------------------------------------------------------------------- */

/* Where one walk was: (steps + 1) each. */
typedef struct walk {
    double *x1, *x2, *L;
} walk;

/* Along each axis the distance from the minimum shrinks, or grows, by the factor 1 - a L'' in every
   step; L'' is 20/9 along x1 and 4/5 along x2. */
static void check_walk(const walk *w, int steps, double rate)
{
    const double x1 = 6 - 6 * pow(1 - rate * 20 / 9, steps);
    const double x2 = 10 - 10 * pow(1 - rate * 4 / 5, steps);
    check_figure("x1 at the end of the walk", w->x1[steps], x1, 1e-10 * (1 + fabs(x1)));
    check_figure("x2 at the end of the walk", w->x2[steps], x2, 1e-10 * (1 + fabs(x2)));
}

static walk walk_new(const settings *s, double rate)
{
    const size_t n = (size_t)s->steps + 1;
    walk w = { allocate(n, sizeof(double)), allocate(n, sizeof(double)),
               allocate(n, sizeof(double)) };
    place p = look(0, 0);
    for (size_t i = 0; i < n; i++) {
        w.x1[i] = p.x1;
        w.x2[i] = p.x2;
        w.L[i] = p.L;
        p = look(p.x1 - rate * p.d1, p.x2 - rate * p.d2);
    }
    check_walk(&w, s->steps, rate);
    return w;
}

static void walk_free(walk w)
{
    free(w.x1);
    free(w.x2);
    free(w.L);
}

static const char *const size_names[WALKS] = { "too small", "good", "too large" };

static void show_walk(const settings *s, const walk *w, int which)
{
    printf("\nstep size a = %g, %s\n  step         x1         x2          L\n", s->rate[which],
           size_names[which]);
    for (int i = 0; i <= s->steps; i++)
        if (i < 4 || i % 5 == 0 || i == s->steps)
            printf("%6d%11.5g%11.5g%11.5g\n", i, w->x1[i], w->x2[i], w->L[i]);
}

/* ---- the picture ----------------------------------------------------------------------------- */

#define COLUMNS 161
#define ROWS 121
static const tg_plot_grid plane = { -10, 22, -4, 20, COLUMNS, ROWS };

/* L over the plane, all at once. */
static void survey(double *L)
{
    double(*x)[2] = allocate(COLUMNS * ROWS, sizeof *x);
    tg_plot_grid_points(&plane, x[0]);
    tg_tape *t = tg_tape_new(NULL);
    const Value places = constant(t, x[0], COLUMNS * ROWS, 2);
    const Value x1 = select(places, .axis = 1, .index = 0);
    const Value x2 = select(places, .axis = 1, .index = 1);
    if (!tg_read(badness(x1, x2), L, COLUMNS * ROWS)) exit(EXIT_FAILURE);
    tg_tape_free(t);
    free(x);
}

static void draw(tg_plot *picture, const settings *s, const walk *w)
{
    static const double level[] = { 22, 30, 40, 60, 80, 100, 150, 200, 300 };
    double *L = allocate(COLUMNS * ROWS, sizeof *L);
    survey(L);
    for (int i = 0; i < WALKS; i++) {
        char title[64];
        snprintf(title, sizeof title, "a = %g, %s", s->rate[i], size_names[i]);
        tg_plot_panel(picture, &(tg_plot_axes){
                                   .title = title, .x = "x₁, hot water", .y = "x₂, cold water",
                                   .x0 = plane.x0, .x1 = plane.x1, .y0 = plane.y0, .y1 = plane.y1,
                                   .square = true });
        tg_plot_contours(picture, &plane, L, sizeof level / sizeof *level, level, NULL);
        tg_plot_line(picture, s->steps + 1, w[i].x1, w[i].x2,
                     &(tg_plot_style){ .colour = tg_colour(i), .size = 0.8 });
    }
    tg_plot_panel(picture, &(tg_plot_axes){ .title = "how bad it is", .x = "step", .y = "L - 20",
                                            .log_y = true, .y0 = 1e-8, .y1 = 1e4,
                                            .key = TG_KEY_BOTTOM_LEFT });
    const size_t n = (size_t)s->steps + 1;
    double *step = allocate(n, sizeof *step), *above = allocate(n, sizeof *above);
    for (int i = 0; i < WALKS; i++) {
        for (int j = 0; j <= s->steps; j++) step[j] = j, above[j] = w[i].L[j] - 20;
        tg_plot_line(picture, s->steps + 1, step, above,
                     &(tg_plot_style){ .label = size_names[i], .colour = tg_colour(i) });
    }
    free(above);
    free(step);
    free(L);
}

int main(int argc, char **argv)
{
    const settings s = read_settings(argc, argv);
    tg_plot *picture = picture_new(s.output, &(tg_plot_options){ .rows = 2, .columns = 2 });

    const tg_check_input x[] = { { .name = "x1", .data = &(double){ 1 } },
                                 { .name = "x2", .data = &(double){ 2 } } };
    check_gradients(checked_badness, NULL, x, 2);
    show_table();
    walk w[WALKS];
    for (int i = 0; i < WALKS; i++) {
        w[i] = walk_new(&s, s.rate[i]);
        show_walk(&s, &w[i], i);
    }
    draw(picture, &s, w);
    picture_write(picture, s.output);
    for (int i = 0; i < WALKS; i++) walk_free(w[i]);
    return EXIT_SUCCESS;
}
