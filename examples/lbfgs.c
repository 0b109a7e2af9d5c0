/* lbfgs: Rosenbrock's valley, down by L-BFGS, Newton's method, and gradient descent.

   f(x) = sum_i 100 (x_(i+1) - x_i^2)^2 + (1 - x_i)^2 for i < n has its minimum 0 at (1, ..., 1), at
   the end of a bent and flat valley (Rosenbrock 1960). From n = 4 on there is a second one, near
   (-1, 1, ..., 1) with f near 4 (Shang and Qiu 2006), where a method may end as well. Three ways
   down from (-1.2, 1, -1.2, 1, ...):

   gradient descent  x <- x - rate g, which the steep walls keep to small rates
   L-BFGS            tg_lbfgs_step: curvature from the last gradients, and a line search
   Newton-CG         H d = -g solved by conjugate gradients until it is good enough, or a direction
                     of negative curvature is met (Nocedal and Wright 2006, algorithm 7.1). It needs
                     H only in products H v, which tg_hvp gives without forming H

   A gradient, and the value that comes with it, is one evaluation; so is a product with H. */
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

typedef struct settings {
    int n, limit;
    double rate, tolerance, require;
    const char *output;
} settings;

static settings read_settings(int argc, char **argv)
{
    settings s = { .n = 100, .rate = 1e-3, .limit = 20000, .tolerance = 1e-8,
                   .output = "lbfgs.png", .require = INFINITY };
    const cli_option options[] = {
        { 'n', "dimensions", "N", "Of the second problem; the first has 2",
          .whole = &s.n, .lo = 2, .hi = 1000000 },
        { 'r', "rate", "RATE", "Of gradient descent", .real = &s.rate, .hi = 1 },
        { 'l', "limit", "N", "The most iterations", .whole = &s.limit, .lo = 1, .hi = 10000000 },
        { 't', "tolerance", "G", "Stop where no element of g is larger",
          .real = &s.tolerance, .lo = 1e-14, .hi = 1 },
        { 'o', "output", "FILE", "A picture, .png or .svg", .text = &s.output },
        { 'q', "require", "DISTANCE",
          "Fail unless L-BFGS and Newton-CG come this near to (1, 1), and to a minimum for other n",
          .real = &s.require, .hi = 1 },
        { 0 },
    };
    cli_parse(argc, argv,
              "Minimises Rosenbrock's function by L-BFGS, Newton-CG and gradient descent.",
              options);
    return s;
}

/* ---- the problem ----------------------------------------------------------------------------- */

static Value rosenbrock(Value x)
{
    return TG_EXPR(sum(100 * (x [1:] - x[:-1] * *2) * *2 + (1 - x[:-1]) * *2), x);
}

/* Where a method has been: after each iteration, the first two coordinates, the evaluations so far,
   and the loss. */
typedef struct trail {
    int n;
    double *x, *y, *work, *loss;
} trail;

typedef struct problem {
    const settings *s;
    tg_tape *t;
    int n;
    Value x;
    tg_mark start; /* everything recorded at one point lies above */
    int64_t gradients, products;
    trail way;
    double seconds;
} problem;

static void starting_point(double *x, int n)
{
    for (int i = 0; i < n; i++) x[i] = i % 2 ? 1 : -1.2;
}

static problem problem_new(const settings *s, int n)
{
    problem p = { .s = s, .t = tg_tape_new(NULL), .n = n };
    double *x = allocate((size_t)n, sizeof(double));
    starting_point(x, n);
    p.x = param(p.t, x, n);
    p.start = tg_tape_mark(p.t);
    free(x);
    double **const columns[] = { &p.way.x, &p.way.y, &p.way.work, &p.way.loss };
    for (int i = 0; i < 4; i++) *columns[i] = allocate((size_t)s->limit + 1, sizeof(double));
    return p;
}

static void problem_free(problem *p)
{
    double *const columns[] = { p->way.x, p->way.y, p->way.work, p->way.loss };
    for (int i = 0; i < 4; i++) free(columns[i]);
    tg_tape_free(p->t);
}

/* Records f at the present x and computes its gradient. The recording stays until the release. */
static Value evaluate(problem *p)
{
    const Value f = rosenbrock(p->x);
    if (!tg_backward(f)) exit(EXIT_FAILURE);
    p->gradients++;
    return f;
}

/* The closure of tg_lbfgs_step. */
static double loss_and_gradient(void *user)
{
    problem *p = user;
    const double loss = tg_item(evaluate(p));
    tg_release(p->start);
    return loss;
}

static double largest(const double *x, int n)
{
    double most = 0;
    for (int i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    return most;
}

static double inner(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Remembers where it is. Whether there may be another iteration. */
static bool arrive(problem *p, double loss)
{
    trail *w = &p->way;
    const double *x = tg_data(p->x);
    w->x[w->n] = x[0], w->y[w->n] = x[1];
    w->work[w->n] = (double)(p->gradients + p->products);
    w->loss[w->n++] = loss;
    return w->n <= p->s->limit;
}

/* ---- methods --------------------------------------------------------------------------------- */

static void gradient_descent(problem *p)
{
    for (;;) {
        const double loss = loss_and_gradient(p);
        const double *g = tg_grad(p->x);
        double *x = tg_edit(p->x);
        if (!(loss < INFINITY))
            fail("gradient descent: the loss is %g: try a smaller --rate", loss);
        if (!arrive(p, loss) || largest(g, p->n) <= p->s->tolerance) return;
        for (int i = 0; i < p->n; i++) x[i] -= p->s->rate * g[i];
        tg_written(p->x);
    }
}

static void lbfgs(problem *p)
{
    const tg_lbfgs_options how = { .tolerance = p->s->tolerance };
    tg_optimizer *o = tg_lbfgs_new(&p->x, 1, &how);
    double loss = loss_and_gradient(p);
    while (arrive(p, loss) && tg_lbfgs_step(o, loss_and_gradient, p, &loss) == TG_MOVED) {
    }
    if (tg_optimizer_status(o)->code) fail("%s", tg_optimizer_status(o)->message);
    tg_optimizer_free(o);
}

/* Room for vectors of n elements. */
typedef struct newton {
    double *x, *g, *d, *r, *v, *Hv;
} newton;

/* d becomes nearly -inverse(H) g: conjugate gradients until the residual r is a part of g that
   falls with it, so that convergence is faster than linear. */
static void direction(problem *p, Value f, newton *m)
{
    const int n = p->n;
    const double norm = sqrt(inner(m->g, m->g, n)), enough = fmin(0.5, sqrt(norm)) * norm;
    memset(m->d, 0, (size_t)n * sizeof(double));
    memcpy(m->r, m->g, (size_t)n * sizeof(double));
    for (int i = 0; i < n; i++) m->v[i] = -m->g[i];
    double rr = norm * norm;
    for (int k = 0; k < 2 * n && sqrt(rr) > enough; k++) {
        if (!tg_hvp(f, &p->x, 1, m->v, 1, m->Hv)) exit(EXIT_FAILURE);
        p->products++;
        const double curvature = inner(m->v, m->Hv, n);
        if (curvature <= 0) {
            if (k == 0) memcpy(m->d, m->v, (size_t)n * sizeof(double));
            return;
        }
        const double step = rr / curvature, before = rr;
        for (int i = 0; i < n; i++) {
            m->d[i] += step * m->v[i];
            m->r[i] += step * m->Hv[i];
        }
        rr = inner(m->r, m->r, n);
        for (int i = 0; i < n; i++) m->v[i] = rr / before * m->v[i] - m->r[i];
    }
}

/* Goes along d, first all of it, then half, a quarter ... until the loss has fallen by a part of
   what the slope promises (Armijo's condition). False if it never does. */
static bool line_search(problem *p, const newton *m, double *loss)
{
    const double from = *loss, slope = inner(m->g, m->d, p->n);
    for (double step = 1; step > 1e-12; step /= 2) {
        double *x = tg_edit(p->x);
        for (int i = 0; i < p->n; i++) x[i] = m->x[i] + step * m->d[i];
        tg_written(p->x);
        *loss = loss_and_gradient(p);
        if (*loss <= from + 1e-4 * step * slope) return true;
    }
    return false;
}

static void newton_cg(problem *p)
{
    const size_t n = (size_t)p->n;
    double *room = allocate(6 * n, sizeof(double));
    newton m = { room, room + n, room + 2 * n, room + 3 * n, room + 4 * n, room + 5 * n };
    double loss = loss_and_gradient(p);
    while (arrive(p, loss)) {
        if (!tg_read(p->x, m.x, n) || !tg_grad_read(p->x, m.g, n)) exit(EXIT_FAILURE);
        if (largest(m.g, p->n) <= p->s->tolerance) break;
        direction(p, rosenbrock(p->x), &m);
        tg_release(p->start);
        if (!line_search(p, &m, &loss)) break;
    }
    free(room);
}

enum { GD, LBFGS, NEWTON, METHODS };
static const struct {
    const char *name;
    void (*minimise)(problem *p);
} methods[METHODS] = {
    [GD] = { "gradient descent", gradient_descent },
    [LBFGS] = { "L-BFGS", lbfgs },
    [NEWTON] = { "Newton-CG", newton_cg },
};

/* ---- what is checked ------------------------------------------------------------------------- */

static Value checked_loss(tg_tape *t, const Value *x, void *user)
{
    (void)t, (void)user;
    return rosenbrock(*x);
}

/* Products with the Hessian by tg_hvp, and by hand: it has three diagonals. */
static void check_products(int n)
{
    double x[8], v[8], Hv[8], worst = 0;
    starting_point(x, n);
    for (int i = 0; i < n; i++) v[i] = cos(i);
    tg_tape *t = tg_tape_new(NULL);
    const Value at = param(t, x, n);
    if (!tg_hvp(rosenbrock(at), &at, 1, v, 1, Hv)) exit(EXIT_FAILURE);
    for (int i = 0; i < n; i++) {
        double exact = 0;
        if (i > 0) exact += 200 * v[i] - 400 * x[i - 1] * v[i - 1];
        if (i < n - 1)
            exact += (1200 * x[i] * x[i] - 400 * x[i + 1] + 2) * v[i] - 400 * x[i] * v[i + 1];
        worst = fmax(worst, fabs(Hv[i] - exact) / fabs(exact));
    }
    printf("Hessian products: %d elements agree, the worst to %.1e\n", n, worst);
    check_figure("the relative error of a Hessian product", worst, 0, 1e-12);
    tg_tape_free(t);
}

/* ---- the picture ----------------------------------------------------------------------------- */

static void draw_valley(tg_plot *picture, const problem *solved)
{
    enum { SIDE = 201, CELLS = SIDE * SIDE };
    static const double level[] = { 0.3, 1, 3, 10, 30, 100, 300, 1000 };
    const tg_plot_grid plane = { -1.7, 1.7, -0.7, 2.3, SIDE, SIDE };
    double *xy = allocate(2 * CELLS, sizeof(double)), *f = allocate(CELLS, sizeof(double));
    tg_plot_grid_points(&plane, xy);
    tg_tape *t = tg_tape_new(NULL);
    const tg_mark start = tg_tape_mark(t);
    for (int i = 0; i < CELLS; i++) {
        f[i] = tg_item(rosenbrock(constant(t, xy + 2 * i, 2)));
        tg_release(start);
    }
    tg_tape_free(t);
    tg_plot_panel(picture, &(tg_plot_axes){ .title = "Rosenbrock's valley, n = 2",
                                            .x = "x₁",
                                            .y = "x₂",
                                            .x0 = plane.x0,
                                            .x1 = plane.x1,
                                            .y0 = plane.y0,
                                            .y1 = plane.y1,
                                            .key = TG_KEY_BOTTOM_LEFT });
    tg_plot_contours(picture, &plane, f, sizeof level / sizeof *level, level, NULL);
    for (int k = 0; k < METHODS; k++)
        tg_plot_line(picture, solved[k].way.n, solved[k].way.x, solved[k].way.y,
                     &(tg_plot_style){ .label = methods[k].name,
                                       .colour = tg_colour(k),
                                       .size = k == GD ? 0 : 0.7,
                                       .width = k == GD ? 4 : 2 });
    free(xy);
    free(f);
}

static void draw_losses(tg_plot *picture, const problem *solved)
{
    char title[64];
    snprintf(title, sizeof title, "the loss, n = %d", solved->n);
    tg_plot_panel(picture, &(tg_plot_axes){ .title = title,
                                            .x = "evaluations",
                                            .y = "f",
                                            .log_x = true,
                                            .log_y = true,
                                            .y0 = 1e-20,
                                            .y1 = 1e5,
                                            .key = TG_KEY_NONE });
    for (int k = 0; k < METHODS; k++)
        tg_plot_line(picture, solved[k].way.n, solved[k].way.work, solved[k].way.loss,
                     &(tg_plot_style){ .colour = tg_colour(k) });
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* The largest distance of an element from the minimum's. */
static double distance(const problem *p)
{
    double most = 0;
    for (int i = 0; i < p->n; i++) most = fmax(most, fabs(tg_data(p->x)[i] - 1));
    return most;
}

static void compare(const settings *s, int n, tg_plot *picture)
{
    problem solved[METHODS];
    printf("\nn = %-14d%11s%11s%11s%11s%11s%12s%13s\n", n, "iterations", "gradients", "products",
           "f", "largest g", "from (1 ..)", "time");
    for (int k = 0; k < METHODS; k++) {
        problem *p = &solved[k];
        *p = problem_new(s, n);
        const tg_meter clock = tg_meter_start(NULL, 1);
        methods[k].minimise(p);
        p->seconds = tg_meter_end(&clock);
        loss_and_gradient(p);
        printf("%-18s%11d%11d%11d%11.1e%11.1e%12.1e%10.2f ms\n", methods[k].name, p->way.n - 1,
               (int)p->gradients - 1, (int)p->products, p->way.loss[p->way.n - 1],
               largest(tg_grad(p->x), n), distance(p), 1e3 * p->seconds);
        if (k == GD || isinf(s->require)) continue;
        if (largest(tg_grad(p->x), n) > s->tolerance)
            fail("%s is at no minimum for n = %d", methods[k].name, n);
        if (n == 2 && distance(p) > s->require)
            fail("%s is %g away from (1, 1)", methods[k].name, distance(p));
    }
    if (n == 2) draw_valley(picture, solved);
    draw_losses(picture, solved);
    for (int k = 0; k < METHODS; k++) problem_free(&solved[k]);
}

int main(int argc, char **argv)
{
    const settings s = read_settings(argc, argv);
    tg_plot *picture = picture_new(s.output, &(tg_plot_options){ .columns = s.n == 2 ? 2 : 3 });
    double x[8];
    starting_point(x, 8);
    check_gradients(checked_loss, NULL, &(tg_check_input){ "x", x, 1, { 8 } }, 1);
    check_products(8);
    compare(&s, 2, picture);
    if (s.n != 2) compare(&s, s.n, picture);
    picture_write(picture, s.output);
    return EXIT_SUCCESS;
}
