/* autoencoder: handwritten digits through two numbers, a point of the plane, and back.

   The encoder makes a code of two numbers of an image, the decoder an image of the code; the loss
   is the mean squared difference of image and image. The best that linear maps can do is known: the
   principal components, two of them, computed here from the eigenvectors of the covariance. That is
   what the network has to beat, on digits that it was not trained on.

   The picture shows the codes of the test digits, each in the colour of what it is (which the
   network is never told), what the decoder makes of places all over the plane, and digits before
   and after. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/cli.h"
#include "common/data.h"
#include "common/picture.h"

#include <tapegrad.h>
#include <tapegrad/data.h>
#include <tapegrad/nn.h>
#include <tapegrad/optim.h>
#include <tapegrad/short.h>

enum { PIXELS = 64, CODE = 2, CLASSES = 10 };

/* ---- settings -------------------------------------------------------------------------------- */

typedef struct settings {
    int epochs, batch;
    double rate;
    uint64_t seed;
    const char *data, *output;
    bool require;
} settings;

static settings read_settings(int argc, char **argv)
{
    settings s = { .epochs = 150, .batch = 50, .rate = 0.005, .seed = 1, .data = DIGITS,
                   .output = "autoencoder.png" };
    const cli_option options[] = {
        { 'e', "epochs", "N", "Passes over the training digits",
          .whole = &s.epochs, .lo = 1, .hi = 100000 },
        { 'b', "batch", "N", "Digits in a minibatch", .whole = &s.batch, .lo = 1, .hi = 1000 },
        { 'r', "rate", "RATE", "First learning rate of Adam; it falls to 0",
          .real = &s.rate, .hi = 1 },
        { 's', "seed", "SEED", "Of split, first weights and order", .seed = &s.seed },
        { 'd', "data", "FILE", "The digits (default: those of the examples)", .text = &s.data },
        { 'o', "output", "FILE", "A picture, .png or .svg", .text = &s.output },
        { 'q', "require", NULL, "Fail if two principal components are better", .flag = &s.require },
        { 0 },
    };
    cli_parse(argc, argv, "Learns to put handwritten digits through two numbers.", options);
    return s;
}

/* ---- two principal components ---------------------------------------------------------------- */

/* The images (n, 64) of x as linear maps to two numbers and back give them, the best such maps for
   the training images: mean + (x - mean) V V', where the columns of V are the eigenvectors of the
   covariance with the largest eigenvalues. */
static Value by_components(tg_tape *t, const tg_dataset *train, Value x)
{
    const Value a = constant(t, train->x, train->n, PIXELS), middle = mean(a, .axis = 0);
    const Value c = sub(a, middle), covariance = div(matmul(transpose(c), c), (double)train->n);
    Value values, vectors;
    if (!tg_eigh(covariance, &values, &vectors)) exit(EXIT_FAILURE);
    const Value v = slice(vectors, .axis = 1, .start = PIXELS - CODE);
    return add(middle, matmul(matmul(sub(x, middle), v), transpose(v)));
}

/* ---- the network ----------------------------------------------------------------------------- */

static tg_nn *autoencoder(void)
{
    return tg_nn_sequential(
        tg_nn_named("encoder", tg_nn_sequential(tg_nn_linear(PIXELS, 96), tg_nn_activation("tanh"),
                                                tg_nn_linear(96, 32), tg_nn_activation("tanh"),
                                                tg_nn_linear(32, CODE))),
        tg_nn_named("decoder",
                    tg_nn_sequential(tg_nn_linear(CODE, 32), tg_nn_activation("tanh"),
                                     tg_nn_linear(32, 96), tg_nn_activation("tanh"),
                                     tg_nn_linear(96, PIXELS), tg_nn_activation("sigmoid"))));
}

static Value loss_of(tg_nn *net, Value x)
{
    return mse(tg_nn_forward(net, x), x);
}

static Value checked_loss(tg_nn *net, tg_tape *t, void *user)
{
    const tg_dataset *train = user;
    return loss_of(net, constant(t, train->x, 4, PIXELS));
}

static double loss_on(tg_nn *net, tg_tape *t, const tg_dataset *data)
{
    const tg_mark mark = tg_tape_mark(t);
    tg_no_grad_begin(t);
    const double loss = tg_item(loss_of(net, input(t, data->x, data->n, PIXELS)));
    tg_no_grad_end(t);
    tg_release(mark);
    return loss;
}

static void train_network(const settings *s, tg_nn *net, tg_tape *t, const tg_dataset *train)
{
    tg_optimizer *o = tg_adam_new(tg_nn_parameters(net), tg_nn_count(net), NULL);
    tg_batches *batches = batches_new(train, s->batch, s->seed);
    if (!o) fail("no memory for the optimiser");
    const int64_t total = s->epochs * tg_batches_count(batches);
    const tg_mark mark = tg_tape_mark(t);
    tg_meter m = tg_meter_start(stdout, s->epochs);
    for (int epoch = 0; epoch < s->epochs; epoch++) {
        double sum = 0;
        tg_batches_start(batches, epoch, 0);
        for (const tg_batch *b; (b = tg_batches_next(batches));) {
            const Value loss = loss_of(net, input(t, b->x, b->n, PIXELS));
            sum += tg_item(loss) * (double)b->n;
            tg_set_learning_rate(o, tg_lr_cosine(s->rate, 0, total, tg_steps(o)));
            if (!tg_backward(loss)) exit(EXIT_FAILURE);
            if (!tg_step(o)) fail("%s", tg_optimizer_status(o)->message);
            tg_release(mark);
        }
        tg_meter_show(&m, epoch + 1, "epoch %d  loss %.4f", epoch + 1, sum / (double)train->n);
    }
    const double seconds = tg_meter_end(&m);
    printf("trained in %.2f s, %.2f ms a step\n", seconds, 1e3 * seconds / (double)total);
    tg_batches_free(batches);
    tg_optimizer_free(o);
}

/* ---- the picture ----------------------------------------------------------------------------- */

/* Copies what a net makes of x. */
static void evaluate(tg_nn *net, Value x, double *y)
{
    const tg_mark mark = tg_tape_mark(x.tape);
    const Value out = tg_nn_forward(net, x);
    if (!tg_read(out, y, (size_t)tg_size(out))) exit(EXIT_FAILURE);
    tg_release(mark);
}

/* Two more colours than there are. */
static uint32_t colour_of(int digit)
{
    return digit < TG_COLOURS ? tg_colour(digit) : digit == 8 ? 0x777777 : 0x8b4513;
}

/* Each test digit, as a number at its code; texts do not widen the panel's ranges. */
static void draw_codes(tg_plot *p, const tg_dataset *test, const double *code,
                       const tg_plot_grid *g)
{
    const double right = 0.04 * (g->x1 - g->x0), above = 0.03 * (g->y1 - g->y0);
    static const char *const name[CLASSES] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" };
    tg_plot_panel(p, &(tg_plot_axes){ .title = "codes of the test digits",
                                      .x = "first number",
                                      .y = "second number",
                                      .x0 = g->x0 - right / 2,
                                      .x1 = g->x1 + right,
                                      .y0 = g->y0 - above,
                                      .y1 = g->y1 + above,
                                      .key = TG_KEY_NONE });
    for (int k = 0; k < CLASSES; k++)
        for (int64_t i = 0; i < test->n; i++)
            if (test->label[i] == k)
                tg_plot_text(p, code[2 * i], code[2 * i + 1], name[k],
                             &(tg_plot_style){ .colour = colour_of(k), .size = 9 });
}

/* What the decoder makes of the middles of a grid's cells. */
static void draw_plane(tg_plot *p, tg_nn *decoder, tg_tape *t, const tg_plot_grid *grid)
{
    const int cells = grid->columns * grid->rows;
    double *const code = allocate((size_t)cells * CODE, sizeof *code);
    double *const turned = allocate((size_t)cells * CODE, sizeof *turned);
    double *const pixel = allocate((size_t)cells * PIXELS, sizeof *pixel);
    tg_plot_grid_points(grid, code);
    for (int row = 0; row < grid->rows; row++) /* images are laid out from the top */
        memcpy(turned + row * grid->columns * CODE,
               code + (grid->rows - 1 - row) * grid->columns * CODE,
               (size_t)grid->columns * CODE * sizeof *code);
    evaluate(decoder, input(t, turned, cells, CODE), pixel);
    tg_plot_panel(p, &(tg_plot_axes){ .title = "what the decoder makes of the plane" });
    tg_plot_images(
        p, &(tg_images){
               .n = cells, .width = 8, .height = 8, .pixel = pixel, .columns = grid->columns });
    free(code);
    free(turned);
    free(pixel);
}

/* One test digit of each class, in columns: as it is, through the network, through the
   components. */
static void draw_digits(tg_plot *p, const tg_dataset *test, const double *net, const double *linear)
{
    static const char *const what[3] = { "digit", "network", "linear" };
    double pixel[3][CLASSES][PIXELS];
    const char *label[3 * CLASSES];
    for (int k = 0; k < CLASSES; k++) {
        int64_t i = 0;
        while (i < test->n - 1 && test->label[i] != k) i++;
        memcpy(pixel[0][k], test->x + i * PIXELS, sizeof pixel[0][k]);
        memcpy(pixel[1][k], net + i * PIXELS, sizeof pixel[1][k]);
        memcpy(pixel[2][k], linear + i * PIXELS, sizeof pixel[2][k]);
        for (int row = 0; row < 3; row++) label[row * CLASSES + k] = k == 0 ? what[row] : "";
    }
    tg_plot_panel(p, &(tg_plot_axes){ .title = "digits, and what comes back" });
    tg_plot_images(p, &(tg_images){ .n = 3 * CLASSES,
                                    .width = 8,
                                    .height = 8,
                                    .pixel = pixel[0][0],
                                    .columns = CLASSES,
                                    .label = label });
}

static void draw(tg_plot *p, tg_nn *net, tg_tape *t, const tg_dataset *train,
                 const tg_dataset *test)
{
    const size_t n = (size_t)test->n;
    double *const code = allocate(n * CODE, sizeof *code);
    double *const after = allocate(n * PIXELS, sizeof *after);
    double *const linear = allocate(n * PIXELS, sizeof *linear);
    const Value x = input(t, test->x, test->n, PIXELS);
    evaluate(tg_nn_find(net, "net.encoder"), x, code);
    evaluate(net, x, after);
    tg_read(by_components(t, train, x), linear, n * PIXELS);
    const tg_plot_grid grid = picture_around(code, test->n, 14);
    draw_codes(p, test, code, &grid);
    draw_plane(p, tg_nn_find(net, "net.decoder"), t, &grid);
    draw_digits(p, test, after, linear);
    free(code);
    free(after);
    free(linear);
}

/* ---- all of it ------------------------------------------------------------------------------- */

int main(int argc, char **argv)
{
    const settings s = read_settings(argc, argv);
    tg_plot *picture = picture_new(s.output, &(tg_plot_options){ .columns = 3 });
    const sets digits = sets_of_digits(s.data, 0.2, s.seed);
    const tg_dataset *const train = digits.train, *const test = digits.test;
    tg_tape *t = tg_tape_new(NULL);
    tg_nn *net = autoencoder();
    if (!t) return EXIT_FAILURE;
    if (!tg_nn_build(net, t, &(tg_nn_options){ .seed = s.seed }))
        fail("%s", tg_nn_status(net)->message);
    tg_nn_summary(net, stdout, input(t, train->x, s.batch, PIXELS));
    check_net(net, checked_loss, digits.train, 8);
    train_network(&s, net, t, train);

    const Value x = input(t, test->x, test->n, PIXELS);
    const double loss = loss_on(net, t, test), linear = tg_item(mse(by_components(t, train, x), x));
    printf("mean squared error of a pixel, training digits %.4f, test digits %.4f\n",
           loss_on(net, t, train), loss);
    printf("two principal components give test digits with %.4f\n", linear);
    if (picture) draw(picture, net, t, train, test);
    picture_write(picture, s.output);
    tg_nn_free(net);
    tg_tape_free(t);
    sets_free(digits);
    if (s.require && !(loss < linear)) fail("two principal components are better");
    return EXIT_SUCCESS;
}
