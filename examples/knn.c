/* knn: k nearest neighbours beside softmax regression and a network: accuracy, memory, time.

   A nearest-neighbour classifier learns nothing. It keeps all n records of p numbers, and lets the
   k that are nearest to a query vote: O(p n) for each query. A model with parameters is trained
   once, and then needs only its parameters. All three answer the same queries here, on two moons in
   the plane and on handwritten digits. */
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
#include <tapegrad/nn.h>
#include <tapegrad/optim.h>
#include <tapegrad/short.h>

/* ---- settings -------------------------------------------------------------------------------- */

enum { MOST_NEIGHBOURS = 100 };
enum { EUCLIDEAN, MANHATTAN };
static const char *const metrics[] = { "euclidean", "manhattan", NULL };

typedef struct settings {
    int k, metric, hidden, epochs;
    double require;
    uint64_t seed;
    const char *digits, *output;
} settings;

static settings read_settings(int argc, char **argv)
{
    settings s = { .k = 3, .metric = EUCLIDEAN, .hidden = 32, .epochs = 50, .seed = 1,
                   .digits = DIGITS, .output = "knn.png", .require = NAN };
    const cli_option options[] = {
        { 'k', "neighbours", "K", "How many neighbours vote",
          .whole = &s.k, .lo = 1, .hi = MOST_NEIGHBOURS },
        { 'm', "metric", "METRIC", "What is near", .choice = &s.metric, .among = metrics },
        { 'd', "hidden", "D", "Hidden units of the network",
          .whole = &s.hidden, .lo = 1, .hi = 10000 },
        { 'e', "epochs", "N", "Passes of the models over the training data",
          .whole = &s.epochs, .lo = 1, .hi = 1000000 },
        { 's', "seed", "SEED", "Of split, first weights and order", .seed = &s.seed },
        { 'i', "digits", "FILE", "The handwritten digits (default: those of the examples)",
          .text = &s.digits },
        { 'o', "output", "FILE", "A picture, .png or .svg", .text = &s.output },
        { 'q', "require", "ACCURACY", "Fail if one gets less than this of the digits right",
          .real = &s.require, .hi = 1 },
        { 0 },
    };
    cli_parse(argc, argv, "Compares nearest neighbours with models that have parameters.", options);
    return s;
}

/* ---- nearest neighbours ---------------------------------------------------------------------- */

enum { MOST_CLASSES = 10 };

typedef double metric(const double *a, const double *b, int64_t d);

/* Squared, which keeps the order of distances. */
static double euclidean(const double *a, const double *b, int64_t d)
{
    double sum = 0;
    for (int64_t i = 0; i < d; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

static double manhattan(const double *a, const double *b, int64_t d)
{
    double sum = 0;
    for (int64_t i = 0; i < d; i++) sum += fabs(a[i] - b[i]);
    return sum;
}

typedef struct neighbours {
    const tg_dataset *records;
    metric *distance;
    int k;
} neighbours;

static neighbours neighbours_new(const settings *s, const tg_dataset *records)
{
    return (neighbours){ records, s->metric == EUCLIDEAN ? euclidean : manhattan, s->k };
}

/* Puts the labels of the k records nearest to x into label, the nearest first. Returns how many
   there are: fewer than k if there are no more records. */
static int find_nearest(const neighbours *c, const double *x, int *label)
{
    const tg_dataset *d = c->records;
    double near[MOST_NEIGHBOURS];
    int found = 0;
    for (int64_t i = 0; i < d->n; i++) {
        const double far = c->distance(x, d->x + i * d->d, d->d);
        if (found == c->k && far >= near[c->k - 1]) continue;
        int place = found < c->k ? found++ : c->k - 1;
        for (; place > 0 && near[place - 1] > far; place--) {
            near[place] = near[place - 1];
            label[place] = label[place - 1];
        }
        near[place] = far;
        label[place] = d->label[i];
    }
    return found;
}

/* Fills share with each class's share of the votes. Returns the class with the most; of several,
   the one with the nearest neighbour. */
static int vote(const neighbours *c, const double *x, double *share)
{
    int label[MOST_NEIGHBOURS] = { 0 };
    const int found = find_nearest(c, x, label);
    memset(share, 0, (size_t)c->records->classes * sizeof *share);
    for (int i = 0; i < found; i++) share[label[i]] += 1.0 / found;
    int best = label[0];
    for (int i = 1; i < found; i++)
        if (share[label[i]] > share[best] + 0.5 / found) best = label[i];
    return best;
}

/* ---- models with parameters ------------------------------------------------------------------ */

typedef struct model {
    tg_tape *t;
    tg_nn *net; /* x (n, d) to scores (n, classes) */
    tg_mark start;
} model;

/* hidden 0: softmax regression; of two classes, it is logistic regression. */
static model model_new(const tg_dataset *d, int hidden, uint64_t seed)
{
    model m = { .t = tg_tape_new(NULL) };
    m.net = hidden ? tg_nn_sequential(tg_nn_linear(d->d, hidden), tg_nn_activation("tanh"),
                                      tg_nn_linear(hidden, d->classes))
                   : tg_nn_linear(d->d, d->classes);
    if (!m.t) exit(EXIT_FAILURE);
    if (!tg_nn_build(m.net, m.t, &(tg_nn_options){ .seed = seed }))
        fail("%s", tg_nn_status(m.net)->message);
    m.start = tg_tape_mark(m.t);
    return m;
}

/* Fills p with the probabilities of the classes. Returns the most probable one. */
static int predict(const model *m, const double *x, int64_t d, double *p)
{
    tg_no_grad_begin(m->t);
    const Value y = softmax(tg_nn_forward(m->net, constant(m->t, x, 1, d)));
    tg_no_grad_end(m->t);
    const int classes = (int)tg_size(y);
    if (!tg_read(y, p, (size_t)classes)) exit(EXIT_FAILURE);
    tg_release(m->start);
    int best = 0;
    for (int k = 1; k < classes; k++)
        if (p[k] > p[best]) best = k;
    return best;
}

static Value loss_of(tg_nn *net, tg_tape *t, const tg_batch *b, int64_t d)
{
    return cross_entropy(tg_nn_forward(net, constant(t, b->x, b->n, d)), index(t, b->label, b->n));
}

static Value checked_loss(tg_nn *net, tg_tape *t, void *user)
{
    const tg_dataset *d = user;
    const tg_batch few = { .n = d->n < 10 ? d->n : 10, .x = d->x, .label = d->label };
    return loss_of(net, t, &few, d->d);
}

static void train_model(const settings *s, const model *m, tg_dataset *train)
{
    tg_batches *order = batches_new(train, 20, s->seed);
    tg_optimizer *adam = tg_adam_new(tg_nn_parameters(m->net), tg_nn_count(m->net),
                                     &(tg_adam_options){ .lr = 0.005 });
    if (!adam) fail("no memory for the optimiser");
    check_net(m->net, checked_loss, train, 0);
    tg_meter meter = tg_meter_start(stdout, s->epochs);
    for (int epoch = 0; epoch < s->epochs; epoch++) {
        double sum = 0;
        tg_batches_start(order, epoch, 0);
        for (const tg_batch *b; (b = tg_batches_next(order));) {
            const Value loss = loss_of(m->net, m->t, b, train->d);
            sum += tg_item(loss) * (double)b->n;
            if (!tg_backward(loss)) exit(EXIT_FAILURE);
            if (!tg_step(adam)) fail("%s", tg_optimizer_status(adam)->message);
            tg_release(m->start);
        }
        tg_meter_show(&meter, epoch + 1, "loss %.4f", sum / (double)train->n);
    }
    const double steps = (double)s->epochs * (double)tg_batches_count(order);
    const double seconds = tg_meter_end(&meter);
    printf("trained in %.2f s, %.1f us a step\n", seconds, 1e6 * seconds / steps);
    tg_optimizer_free(adam);
    tg_batches_free(order);
}

/* ---- side by side ---------------------------------------------------------------------------- */

/* What answers queries: neighbours, or a model if those have no records. */
typedef struct classifier {
    char name[32];
    int64_t d; /* numbers in a query */
    neighbours nearest;
    model m;
} classifier;

enum { NEIGHBOURS, REGRESSION, NETWORK, CLASSIFIERS };

static int classify(const classifier *c, const double *x, double *p)
{
    return c->nearest.records ? vote(&c->nearest, x, p) : predict(&c->m, x, c->d, p);
}

static size_t bytes_held(const classifier *c)
{
    const tg_dataset *d = c->nearest.records;
    if (!d) return (size_t)tg_nn_size(c->m.net) * sizeof(double);
    return (size_t)(d->n * d->d) * sizeof(double) + (size_t)d->n * sizeof(int);
}

typedef struct result {
    double accuracy, microseconds; /* of a query */
} result;

/* One query after the other; the time is that of the fastest of a few rounds. */
static result ask(const classifier *c, const tg_dataset *test)
{
    double p[MOST_CLASSES], fastest = INFINITY;
    int64_t right = 0;
    for (int round = 0; round < 15; round++) {
        const tg_meter clock = tg_meter_start(NULL, 1);
        right = 0;
        for (int64_t i = 0; i < test->n; i++)
            right += classify(c, test->x + i * test->d, p) == test->label[i];
        fastest = fmin(fastest, tg_meter_end(&clock));
    }
    const double n = (double)test->n;
    return (result){ (double)right / n, 1e6 * fastest / n };
}

/* Makes the three, trains two of them, and compares them. Returns the lowest accuracy. */
static double compare(const settings *s, const char *name, sets data, classifier c[CLASSIFIERS])
{
    tg_dataset *const train = data.train;
    printf("\n%s: %" PRId64 " records, %" PRId64 " queries, %" PRId64 " numbers each, %d classes\n",
           name, train->n, data.test->n, train->d, train->classes);
    c[NEIGHBOURS] = (classifier){ .nearest = neighbours_new(s, train) };
    c[REGRESSION] = (classifier){ .d = train->d, .m = model_new(train, 0, s->seed) };
    c[NETWORK] = (classifier){ .d = train->d, .m = model_new(train, s->hidden, s->seed) };
    const size_t room = sizeof c[0].name;
    snprintf(c[NEIGHBOURS].name, room, "%d nearest neighbour%s", s->k, s->k == 1 ? "" : "s");
    strcpy(c[REGRESSION].name, train->classes == 2 ? "logistic regression" : "softmax regression");
    snprintf(c[NETWORK].name, room, "network, %d hidden units", s->hidden);

    for (int i = REGRESSION; i < CLASSIFIERS; i++) {
        printf("%s\n", c[i].name);
        train_model(s, &c[i].m, train);
    }
    double lowest = 1;
    printf("%-28s accuracy   memory held   time a query\n", "");
    for (int i = 0; i < CLASSIFIERS; i++) {
        const result r = ask(&c[i], data.test);
        printf("%-28s%9.4f%12zu B%12.2f us\n", c[i].name, r.accuracy, bytes_held(&c[i]),
               r.microseconds);
        lowest = fmin(lowest, r.accuracy);
    }
    return lowest;
}

static void classifiers_free(classifier c[CLASSIFIERS])
{
    for (int i = 0; i < CLASSIFIERS; i++) {
        tg_nn_free(c[i].m.net);
        tg_tape_free(c[i].m.t);
    }
}

/* ---- pictures -------------------------------------------------------------------------------- */

#define SIDE 120
static const tg_plot_grid plane = { -1.7, 2.7, -1.6, 2.1, SIDE, SIDE };

static void draw_regions(tg_plot *picture, const classifier *c, const tg_dataset *train)
{
    double(*x)[2] = allocate(SIDE * SIDE, sizeof *x), (*p)[2] = allocate(SIDE * SIDE, sizeof *p);
    tg_plot_grid_points(&plane, x[0]);
    for (int i = 0; i < SIDE * SIDE; i++) classify(c, x[i], p[i]);
    const tg_plot_axes axes = picture_plane(c->name, &plane);
    tg_plot_panel(picture, &axes);
    tg_plot_regions(picture, &plane, p[0], 2);
    tg_plot_classes(picture, train->n, train->x, train->label, 2, NULL, NULL);
    free(x);
    free(p);
}

enum { SIZES = 5 };

/* What the neighbours are worth, and take, when only some of the records are kept. */
static void keep_fewer(const settings *s, tg_plot *picture, sets data)
{
    double records[SIZES], time[SIZES], accuracy[SIZES];
    printf("with fewer records   accuracy   time a query\n");
    for (int i = 0; i < SIZES; i++) {
        tg_dataset some = *data.train;
        some.n >>= (SIZES - 1 - i);
        const result r = ask(&(classifier){ .nearest = neighbours_new(s, &some) }, data.test);
        printf("%18" PRId64 "%11.4f%12.2f us\n", some.n, r.accuracy, r.microseconds);
        records[i] = (double)some.n;
        accuracy[i] = r.accuracy;
        time[i] = r.microseconds;
    }
    tg_plot_panel(picture, &(tg_plot_axes){ .title = "digits: nearest neighbours",
                                            .x = "records kept", .y = "time a query, us",
                                            .right = "accuracy", .key = TG_KEY_BOTTOM_RIGHT });
    tg_plot_line(picture, SIZES, records, time, &(tg_plot_style){ .label = "time", .size = 1 });
    tg_plot_line(picture, SIZES, records, accuracy,
                 &(tg_plot_style){ .label = "accuracy", .size = 1, .right = true });
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void compare_on_moons(const settings *s, tg_plot *picture)
{
    const sets moons = sets_of_points(tg_points_moons, (tg_points){ .each = 250, .noise = 0.25,
                                                                    .seed = s->seed });
    classifier c[CLASSIFIERS];
    compare(s, "moons", moons, c);
    for (int i = 0; i < CLASSIFIERS; i++) draw_regions(picture, &c[i], moons.train);
    classifiers_free(c);
    sets_free(moons);
}

static double compare_on_digits(const settings *s, tg_plot *picture, sets digits)
{
    classifier c[CLASSIFIERS];
    const double lowest = compare(s, "digits", digits, c);
    keep_fewer(s, picture, digits);
    classifiers_free(c);
    return lowest;
}

int main(int argc, char **argv)
{
    const settings s = read_settings(argc, argv);
    tg_plot *picture = picture_new(s.output, &(tg_plot_options){ .rows = 2, .columns = 2 });
    const sets digits = sets_of_digits(s.digits, 1.0 / 3, s.seed);

    compare_on_moons(&s, picture);
    const double lowest = compare_on_digits(&s, picture, digits);
    picture_write(picture, s.output);
    sets_free(digits);
    check_accuracy(lowest, s.require);
    return EXIT_SUCCESS;
}
