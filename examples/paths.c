/* paths: a gradient as the sum over the paths of a graph; Jacobians; what differences can tell.

   The graph is L(f4(f3(f1(x)), f2(f1(x)))), with one weight in each function:

       x -> f1 -> y1 -> f2 -> y2 -> f4 -> y4 -> L
                    \-> f3 -> y3 -/

   so that w1 reaches L on two paths. For each weight the program goes along every path, multiplies
   the local derivatives, adds the products up, and holds the sum against tg_backward.

   Then the same for vectors and matrices: the Jacobian of softmax, dz/db and dL/dW for z = W x + b.
   Last, how far the derivative can be told from values of L alone: the forward difference
   (L(w + h) - L(w)) / h, the central one, and the ladder of steps that the gradient check uses. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/cli.h"
#include "common/picture.h"

#include <tapegrad.h>
#include <tapegrad/short.h>

/* ---- the graph ------------------------------------------------------------------------------- */

enum { W1, W2, W3, W4, Y1, Y2, Y3, Y4, L, NODES, WEIGHTS = Y1 };
static const char *const names[NODES] = { "w1", "w2", "w3", "w4", "y1", "y2", "y3", "y4", "L" };
static const double x = 1.2, weights[WEIGHTS] = { 0.5, -1.5, 0.8, 2 };

/* Records the graph from the weights v[W1] ... v[W4]. */
static void record_graph(Value v[NODES])
{
    v[Y1] = tanh(mul(v[W1], x));           /* f1 */
    v[Y2] = sin(mul(v[W2], v[Y1]));        /* f2 */
    v[Y3] = exp(mul(v[W3], v[Y1]));        /* f3 */
    v[Y4] = mul(v[W4], mul(v[Y2], v[Y3])); /* f4 */
    v[L] = square(sub(v[Y4], 1));
}

static Value loss_of_weights(tg_tape *t, const Value *w, void *user)
{
    (void)t, (void)user;
    Value v[NODES];
    memcpy(v, w, WEIGHTS * sizeof *v);
    record_graph(v);
    return v[L];
}

/* ---- its paths ------------------------------------------------------------------------------- */

/* Which node another is computed from. Between two ends of an edge there is no other way. */
static const struct edge {
    int from, to;
} edges[] = { { W1, Y1 }, { Y1, Y2 }, { W2, Y2 }, { Y1, Y3 }, { W3, Y3 },
              { Y2, Y4 }, { Y3, Y4 }, { W4, Y4 }, { Y4, L } };
enum { EDGES = sizeof edges / sizeof *edges };

typedef struct walk {
    double local[EDGES]; /* d to / d from of each edge */
    int trail[EDGES];    /* the edges walked so far */
    int length;
    double sum; /* of the products of all paths */
} walk;

/* Prints dL/dy4 · dy4/dy2 · dy2/dw2, its factors, and their product, which it returns. */
static double print_path(const walk *w)
{
    double product = 1;
    printf("   ");
    for (int i = w->length - 1; i >= 0; i--) {
        const struct edge *e = &edges[w->trail[i]];
        printf("%sd%s/d%s", i < w->length - 1 ? " · " : " ", names[e->to], names[e->from]);
        product *= w->local[w->trail[i]];
    }
    printf("\n      ");
    for (int i = w->length - 1; i >= 0; i--)
        printf("%s%.6f", i < w->length - 1 ? " · " : "= ", w->local[w->trail[i]]);
    printf(" = %.6f\n", product);
    return product;
}

/* Goes on from a node along every path to L. */
static void follow(walk *w, int node)
{
    if (node == L) w->sum += print_path(w);
    for (int e = 0; e < EDGES; e++) {
        if (edges[e].from != node) continue;
        w->trail[w->length++] = e;
        follow(w, edges[e].to);
        w->length--;
    }
}

static void sum_over_paths(void)
{
    tg_tape *t = tg_tape_new(NULL);
    Value v[NODES];
    for (int i = 0; i < WEIGHTS; i++) v[i] = scalar(t, weights[i]);
    record_graph(v);

    walk w = { .length = 0 };
    for (int e = 0; e < EDGES; e++)
        if (!tg_jacobian(v[edges[e].to], &v[edges[e].from], 1, &w.local[e])) exit(EXIT_FAILURE);
    if (!tg_backward(v[L])) exit(EXIT_FAILURE);

    printf("L(f4(f3(f1(x)), f2(f1(x)))) = %.6f\n", tg_item(v[L]));
    for (int i = 0; i < WEIGHTS; i++) {
        printf("\ndL/d%s, path by path:\n", names[i]);
        w.sum = 0;
        follow(&w, i);
        const double g = tg_grad_item(v[i]);
        printf("  sum %.6f, tg_backward %.6f\n", w.sum, g);
        check_figure("the sum over paths", w.sum, g, 1e-12);
    }
    tg_tape_free(t);
}

/* ---- vectors and matrices -------------------------------------------------------------------- */

enum { P = 2, C = 3 }; /* inputs, classes */

static void print_matrix(const char *name, const double *m, int rows, int columns)
{
    printf("\n%s\n", name);
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < columns; j++) printf("%12.6f", m[i * columns + j]);
        printf("\n");
    }
}

/* da_i/dz_j is a_i (1 - a_i) for i = j, and -a_i a_j elsewhere. */
static void softmax_jacobian(Value a, Value z)
{
    double J[C * C];
    if (!tg_jacobian(a, &z, 1, J)) exit(EXIT_FAILURE);
    print_matrix("da/dz, the Jacobian of a = softmax(z):", J, C, C);
    const double *p = tg_data(a);
    for (int i = 0; i < C; i++)
        for (int j = 0; j < C; j++)
            check_figure("da_i/dz_j", J[i * C + j], p[i] * ((i == j) - p[j]), 1e-12);
}

static void vectors_and_matrices(void)
{
    const double W0[C][P] = { { 0.2, -0.5 }, { 1, 0.3 }, { -0.7, 0.1 } };
    const double b0[C] = { 0.1, -0.2, 0.4 };
    tg_tape *t = tg_tape_new(NULL);
    const Value W = param(t, W0[0], C, P), b = param(t, b0, C);
    const Value in = constant(t, ((double[]){ 0.5, 0.6 }), P);
    const Value z = add(matmul(W, in), b), a = softmax(z);
    const Value loss = neg(log(at(a, 1))); /* the class is 1 */

    softmax_jacobian(a, z);
    double J[C * C];
    if (!tg_jacobian(z, &b, 1, J)) exit(EXIT_FAILURE);
    print_matrix("dz/db for z = W x + b:", J, C, C);
    for (int i = 0; i < C * C; i++) check_figure("dz_i/db_j", J[i], i % (C + 1) == 0, 0);

    if (!tg_backward(loss)) exit(EXIT_FAILURE);
    const double *dW = tg_grad(W), *dz = tg_grad(z), *p = tg_data(in);
    print_matrix("dL/dz for L = -log a[1], which is a - y:", dz, 1, C);
    print_matrix("dL/dW, which is dL/dz_i x_j:", dW, C, P);
    for (int i = 0; i < C * P; i++) check_figure("dL/dW", dW[i], dz[i / P] * p[i % P], 1e-15);
    for (int i = 0; i < C; i++) check_figure("dL/dz", dz[i], tg_data(a)[i] - (i == 1), 1e-15);
    tg_tape_free(t);
}

/* ---- differences ----------------------------------------------------------------------------- */

static Value loss_of_w1(tg_tape *t, const Value *w, void *user)
{
    (void)user;
    Value v[NODES] = { w[0] };
    for (int i = W2; i < WEIGHTS; i++) v[i] = number(t, weights[i]);
    record_graph(v);
    return v[L];
}

/* How far a scheme's dL/dw1 is from tg_backward's, relative to it. */
static double error_of(tg_scheme scheme, double step)
{
    const tg_check_input w1 = { .name = "w1", .data = &weights[W1] };
    tg_check_report report;
    tg_gradcheck(loss_of_w1, NULL, &w1, 1, &(tg_check_options){ .scheme = scheme, .step = step },
                 &report);
    return report.relative_error;
}

#define STEPS 14

static void draw_errors(tg_plot *picture, const double *step, const double *forward,
                        const double *central, double ladder)
{
    tg_plot_panel(picture, &(tg_plot_axes){
                               .title = "the error of dL/dw₁ from differences of L",
                               .x = "step h", .y = "relative error",
                               .log_x = true, .log_y = true, .x0 = 1e-14, .x1 = 0.1,
                               .y0 = 1e-14, .y1 = 0.1, .key = TG_KEY_BELOW });
    tg_plot_line(picture, STEPS, step, forward,
                 &(tg_plot_style){ .label = "forward (L(w+h) - L(w)) / h", .size = 0.8 });
    tg_plot_line(picture, STEPS, step, central,
                 &(tg_plot_style){ .label = "central (L(w+h) - L(w-h)) / 2h", .size = 0.8 });
    tg_plot_hline(picture, ladder, &(tg_plot_style){ .label = "ladder of steps", .dashed = true });
}

static void compare_differences(tg_plot *picture)
{
    double step[STEPS], forward[STEPS], central[STEPS];
    const double ladder = error_of(TG_LADDER, 0);
    printf("\nrelative error of dL/dw1 from differences of L\n%8s%12s%12s\n", "step h", "forward",
           "central");
    for (int i = 0; i < STEPS; i++) {
        step[i] = pow(10, -i - 1);
        forward[i] = error_of(TG_FORWARD, step[i]);
        central[i] = error_of(TG_CENTRAL, step[i]);
        printf("%8.0e%12.1e%12.1e\n", step[i], forward[i], central[i]);
    }
    printf("with the ladder of steps that the gradient check uses: %.1e\n", ladder);
    /* Of first order and of second. */
    check_figure("forward's error at h = 1e-4 over 1e-5", forward[3] / forward[4], 10, 1);
    check_figure("central's error at h = 1e-2 over 1e-3", central[1] / central[2], 100, 5);
    check_figure("the error of the ladder", ladder, 0, 1e-10);
    draw_errors(picture, step, forward, central, ladder);
}

int main(int argc, char **argv)
{
    const char *output = "paths.png";
    const cli_option options[] = {
        { 'o', "output", "FILE", "A picture of the differences, .png or .svg", .text = &output },
        { 0 },
    };
    cli_parse(argc, argv,
              "Shows a gradient as the sum over the paths of a graph, Jacobians, and how near "
              "differences come to a derivative.",
              options);
    tg_plot *picture = picture_new(output, &(tg_plot_options){ .width = 640 });

    tg_check_input w[WEIGHTS];
    for (int i = 0; i < WEIGHTS; i++)
        w[i] = (tg_check_input){ .name = names[i], .data = &weights[i] };
    check_gradients(loss_of_weights, NULL, w, WEIGHTS);
    sum_over_paths();
    vectors_and_matrices();
    compare_differences(picture);
    picture_write(picture, output);
    return EXIT_SUCCESS;
}
