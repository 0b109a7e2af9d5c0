/* Checkpoints: training that is resumed gives the same bits; a kill at any moment leaves a good
   file; a file that does not fit changes nothing. */
#define _POSIX_C_SOURCE 200809L /* mkdtemp, kill */
#include <criterion/criterion.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <tapegrad.h>
#include <tapegrad/checkpoint.h>
#include <tapegrad/data.h>

static char folder[64], path[128];
static tg_status status;

static void begin(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
    snprintf(folder, sizeof folder, "/tmp/tapegrad-checkpoint-XXXXXX");
    if (!mkdtemp(folder)) abort();
    snprintf(path, sizeof path, "%s/run.safetensors", folder);
    status = (tg_status){ .code = TG_OK };
}

static void end(void)
{
    remove(path);
    rmdir(folder);
}

TestSuite(checkpoint, .init = begin, .fini = end);

/* ---- a training ------------------------------------------------------------------------------ */

enum { ROWS = 60, EPOCHS = 6 };

typedef struct training {
    tg_tape *tape;
    tg_nn *net;
    tg_dataset *data;
    tg_batches *batches;
    tg_plateau plateau;
    tg_checkpoint c;
    double best[2];
    tg_checkpoint_numbers numbers[1];
} training;

typedef tg_optimizer *maker(const tg_value *parameters, int n);

static tg_optimizer *adamw(const tg_value *p, int n)
{
    return tg_adamw_new(p, n, &(tg_adam_options){ .lr = 0.03 });
}

static tg_optimizer *adam(const tg_value *p, int n)
{
    return tg_adam_new(p, n, &(tg_adam_options){ .lr = 0.05 });
}

static tg_optimizer *momentum(const tg_value *p, int n)
{
    return tg_sgd_new(p, n, &(tg_sgd_options){ .lr = 0.1, .momentum = 0.9 });
}

static tg_optimizer *rmsprop(const tg_value *p, int n)
{
    return tg_rmsprop_new(p, n, NULL);
}

static tg_optimizer *lbfgs(const tg_value *p, int n)
{
    return tg_lbfgs_new(p, n, NULL);
}

static void start(training *r, tg_type type, maker *make, int64_t hidden)
{
    *r = (training){ .tape = tg_tape_new(&(tg_tape_options){ .type = type }) };
    r->net =
        tg_nn_sequential(tg_nn_linear(2, hidden), tg_nn_batch_norm(hidden),
                         tg_nn_activation("tanh"), tg_nn_dropout(0.2), tg_nn_linear(hidden, 2));
    cr_assert(tg_nn_build(r->net, r->tape, &(tg_nn_options){ .seed = 3 }));
    r->data = tg_points_moons(&(tg_points){ .each = ROWS / 2, .noise = 0.1 }, NULL);
    r->batches = tg_batches_new(r->data, &(tg_batch_options){ .size = 16, .seed = 5 }, NULL);
    r->plateau = (tg_plateau){ .patience = 1, .factor = 0.5, .threshold = 0.2 };
    r->numbers[0] = (tg_checkpoint_numbers){ "best", r->best, 2 };
    r->c = (tg_checkpoint){ .net = r->net,
                            .optimizer = make(tg_nn_parameters(r->net), tg_nn_count(r->net)),
                            .plateau = &r->plateau,
                            .numbers = r->numbers,
                            .count = 1,
                            .seed = 11 };
    cr_assert(r->data && r->batches && r->c.optimizer);
}

static void finish(training *r)
{
    tg_optimizer_free(r->c.optimizer);
    tg_batches_free(r->batches);
    tg_dataset_free(r->data);
    tg_nn_free(r->net);
    tg_tape_free(r->tape);
}

typedef struct step_data {
    training *r;
    tg_value x, y;
} step_data;

static double evaluate(void *user)
{
    const step_data *const d = user;
    const tg_value loss = tg_cross_entropy(tg_nn_forward(d->r->net, d->x), d->y);
    const double l = tg_item(loss);
    return tg_backward(loss) ? l : (double)NAN;
}

/* Goes on to a number of batches from the start of the epoch that is on. */
static void train(training *r, int64_t epochs, int64_t batches)
{
    for (; r->c.epoch < epochs || (r->c.epoch == epochs && r->c.batch < batches);) {
        tg_batches_start(r->batches, r->c.epoch, r->c.batch);
        const tg_batch *const b = tg_batches_next(r->batches);
        double loss;
        if (!b) {
            tg_set_learning_rate(
                r->c.optimizer,
                tg_lr_plateau(&r->plateau, tg_learning_rate(r->c.optimizer), r->best[0]));
            r->c.epoch++;
            r->c.batch = 0;
            continue;
        }
        const tg_mark mark = tg_tape_mark(r->tape);
        step_data d = { r, tg_input(r->tape, b->x, b->n, 2), tg_index(r->tape, b->label, b->n) };
        if (r->best[1] < 0) {
            cr_assert(tg_lbfgs_step(r->c.optimizer, evaluate, &d, &loss) != TG_STOPPED);
        } else {
            loss = evaluate(&d);
            cr_assert(tg_step(r->c.optimizer), "%s", tg_optimizer_status(r->c.optimizer)->message);
        }
        r->best[0] = loss;
        tg_release(mark);
        r->c.batch++;
    }
}

static bool equal(const training *a, const training *b)
{
    bool same = a->c.epoch == b->c.epoch && a->c.batch == b->c.batch && a->c.seed == b->c.seed &&
                memcmp(a->best, b->best, sizeof a->best) == 0 &&
                a->plateau.waited == b->plateau.waited &&
                tg_learning_rate(a->c.optimizer) == tg_learning_rate(b->c.optimizer);
    for (int i = 0; same && i < tg_nn_count(a->net); i++) {
        double x[100], y[100];
        const size_t n = (size_t)tg_size(tg_nn_parameters(a->net)[i]);
        same = tg_read(tg_nn_parameters(a->net)[i], x, n) &&
               tg_read(tg_nn_parameters(b->net)[i], y, n) && memcmp(x, y, n * sizeof *x) == 0;
    }
    const char *name;
    size_t n;
    for (int i = 0; same && tg_nn_state(a->net, i, &name, &n); i++)
        same = memcmp(tg_nn_state(a->net, i, NULL, NULL), tg_nn_state(b->net, i, NULL, NULL),
                      n * sizeof(double)) == 0;
    for (int i = 0; same && tg_optimizer_state(a->c.optimizer, i, &name, &n); i++)
        same = memcmp(tg_optimizer_state(a->c.optimizer, i, &name, &n),
                      tg_optimizer_state(b->c.optimizer, i, &name, &n), n * sizeof(double)) == 0;
    return same;
}

static void resumes(tg_type type, maker *make, double kind, int line)
{
    training whole, first, second;
    start(&whole, type, make, 6);
    start(&first, type, make, 6);
    start(&second, type, make, 6);
    whole.best[1] = first.best[1] = kind; /* below 0: L-BFGS */
    train(&whole, EPOCHS, 3);
    train(&first, 2, 1);
    cr_assert(tg_checkpoint_save(path, &first.c, &status), "%s", status.message);
    cr_expect(!equal(&first, &second));
    cr_assert(tg_checkpoint_load(path, &second.c, &status), "%s", status.message);
    cr_expect(equal(&first, &second), "line %d: what is loaded is what was saved", line);
    train(&second, EPOCHS, 3);
    cr_expect(equal(&whole, &second), "line %d: interrupted training gives other bits", line);
    finish(&whole);
    finish(&first);
    finish(&second);
}

Test(checkpoint, resumed_training_gives_the_bits_of_the_uninterrupted_one)
{
    for (tg_type type = TG_F64; type <= TG_F32; type++) {
        resumes(type, adamw, 0, __LINE__);
        resumes(type, momentum, 0, __LINE__);
        resumes(type, rmsprop, 0, __LINE__);
        resumes(type, lbfgs, -1, __LINE__);
    }
}

Test(checkpoint, a_net_alone_can_be_loaded_from_the_checkpoint_of_a_training)
{
    training r, other;
    start(&r, TG_F64, adamw, 6);
    start(&other, TG_F64, momentum, 6);
    train(&r, 1, 0);
    cr_assert(tg_checkpoint_save(path, &r.c, &status));
    tg_checkpoint c = { .net = other.net };
    cr_expect(tg_checkpoint_load(path, &c, &status), "%s", status.message);
    cr_expect(c.epoch == 1 &&
              tg_data(tg_nn_parameters(r.net)[0])[3] == tg_data(tg_nn_parameters(other.net)[0])[3]);
    cr_expect(tg_checkpoint_save(path, &c, NULL) && !tg_checkpoint_load(path, &r.c, &status));
    finish(&r);
    finish(&other);
}

/* ---- kills ----------------------------------------------------------------------------------- */

/* Saves for ever, and says so after each time; all numbers of a state are those of its epoch. */
static void save_for_ever(training *r, double *large, size_t n, int tell)
{
    for (r->c.epoch++;; r->c.epoch++) {
        for (size_t i = 0; i < n; i++) large[i] = (double)r->c.epoch;
        if (!tg_checkpoint_save(path, &r->c, NULL) || write(tell, "", 1) != 1) _exit(1);
    }
}

static void remove_rests(void)
{
    char command[200];
    snprintf(command, sizeof command, "rm -f %s/*.new", folder);
    cr_expect(system(command) == 0);
}

/* Kills a child in the middle of a saving: after it has saved so often, and some nanoseconds. What
   is in the file then is one of its states, and none before the last that it told of. */
static void kill_one(training *r, double *large, size_t n, int savings, long wait)
{
    int ends[2], how;
    const int64_t epoch = r->c.epoch;
    cr_assert(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) save_for_ever(r, large, n, ends[1]);
    char told;
    for (int i = 0; i < savings; i++) cr_assert(read(ends[0], &told, 1) == 1);
    nanosleep(&(struct timespec){ 0, wait }, NULL);
    kill(child, SIGKILL);
    waitpid(child, &how, 0);
    close(ends[0]);
    close(ends[1]);
    cr_assert(child > 0 && WIFSIGNALED(how), "the child could not save");
    cr_assert(tg_checkpoint_load(path, &r->c, &status), "%s", status.message);
    cr_expect(r->c.epoch >= epoch + savings);
    for (size_t k = 0; k < n; k++)
        cr_assert(large[k] == (double)r->c.epoch, "a state of two epochs");
}

/* What one saving takes, in nanoseconds. */
static long time_saving(training *r)
{
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    cr_assert(tg_checkpoint_save(path, &r->c, &status), "%s", status.message);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    const double ns =
        1e9 * difftime(ended.tv_sec, begun.tv_sec) + (double)(ended.tv_nsec - begun.tv_nsec);
    return (long)fmin(ns, 999999999);
}

Test(checkpoint, a_kill_at_any_moment_leaves_the_last_good_file)
{
    enum { KILLS = 40, SIZE = 1 << 16 };
    double *const large = calloc(SIZE, sizeof *large);
    training r;
    start(&r, TG_F32, adamw, 6);
    r.numbers[0] = (tg_checkpoint_numbers){ "large", large, SIZE };
    cr_assert(large);
    const long one = time_saving(&r);
    srand(1);
    for (int i = 0; i < KILLS; i++)
        kill_one(&r, large, SIZE, rand() % 3, (long)((double)one * rand() / RAND_MAX));
    remove_rests();
    free(large);
    finish(&r);
}

/* ---- what does not fit ----------------------------------------------------------------------- */

static void refused(training *r, const char *text, int line)
{
    training before;
    start(&before, tg_tape_type(r->tape), adamw, 6);
    status.message[0] = 0;
    cr_expect(!tg_checkpoint_load(path, &r->c, &status), "line %d: loaded", line);
    cr_expect(strstr(status.message, text), "line %d: \"%s\" is not \"...%s...\"", line,
              status.message, text);
    if (tg_nn_size(before.net) == tg_nn_size(r->net))
        cr_expect(equal(&before, r), "line %d: something has changed", line);
    finish(&before);
}
#define REFUSED(r, text) refused(r, text, __LINE__)

/* The checkpoint of a fresh training with another value of something. */
static void write_changed(const char *leave_out, const char *key, const char *note, const char *add,
                          const char *set, double value)
{
    tg_archive *const from = tg_archive_read(path, &status), *const to = tg_archive_new();
    cr_assert(from && to);
    for (size_t i = 0; i < from->n; i++) {
        const double x[4] = { value, value, value, value };
        tg_ndarray a = *from->array[i];
        if (set && strcmp(set, from->name[i]) == 0) a.data = x;
        if (!leave_out || strcmp(leave_out, from->name[i]) != 0)
            cr_assert(tg_archive_add(to, from->name[i], &a, &status));
    }
    if (add) cr_assert(tg_archive_add(to, add, &(tg_ndarray){ TG_F64, 0, { 0 }, &value }, &status));
    for (size_t i = 0; i < from->notes; i++) {
        const bool this = key && strcmp(key, from->key[i]) == 0;
        if (!this || note)
            cr_assert(tg_archive_note(to, from->key[i], this ? note : from->note[i], &status));
    }
    cr_assert(tg_archive_write(to, path, &status));
    tg_archive_free(from);
    tg_archive_free(to);
}

/* Long because of its table: each part of a file left out, added, or changed. */
Test(checkpoint, a_file_that_does_not_fit_is_refused_and_changes_nothing)
{
    training r, narrow, single;
    start(&r, TG_F64, adamw, 6);
    start(&narrow, TG_F64, adamw, 5);
    start(&single, TG_F32, adamw, 6);
    REFUSED(&r, "cannot be opened");
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs("no checkpoint", f) >= 0 && fclose(f) == 0);
    REFUSED(&r, path);

    cr_assert(tg_checkpoint_save(path, &narrow.c, &status));
    REFUSED(&r, "net.0.weight is f64 (5, 2) there, f64 (6, 2) here");
    cr_assert(tg_checkpoint_save(path, &single.c, &status));
    REFUSED(&r, "net.0.weight is f32 (6, 2) there, f64 (6, 2) here");

    const struct {
        const char *leave_out, *key, *note, *add, *set;
        double value;
        const char *text;
    } changes[] = {
        { .leave_out = "net.4.bias", .text = "has no net.4.bias" },
        { .leave_out = "net.1.running_mean", .text = "has no net.1.running_mean" },
        { .leave_out = "optimizer.m.2", .text = "has no optimizer.m.2" },
        { .leave_out = "optimizer.lr", .text = "has no optimizer.lr" },
        { .leave_out = "plateau.state", .text = "has no plateau.state" },
        { .leave_out = "numbers.best", .text = "has no numbers.best" },
        { .add = "net.9.weight", .text = "has net.9.weight, for which there is no place here" },
        { .add = "optimizer.m.9", .text = "has optimizer.m.9, for which" },
        { .add = "numbers.other", .text = "has numbers.other, for which" },
        { .add = "plateau.other", .text = "has plateau.other, for which" },
        { .key = "format", .text = "is no checkpoint of this library" },
        { .key = "format", .note = "tapegrad checkpoint 2", .text = "is no checkpoint" },
        { .key = "epoch", .text = "the note \"epoch\" is no number, or missing" },
        { .key = "epoch", .note = "12x", .text = "the note \"epoch\" is no number" },
        { .key = "batch",
          .note = "99999999999999999999",
          .text = "the note \"batch\" is no number" },
        { .key = "optimizer", .text = "the optimiser is missing there, adamw here" },
        { .key = "seed", .note = "-1", .text = "the note \"seed\" is no number" },
        { .set = "optimizer.lr", .value = -1, .text = "a learning rate of -1" },
        { .set = "plateau.state", .value = (double)NAN, .text = "of waiting" },
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        training fresh;
        start(&fresh, TG_F64, adamw, 6);
        cr_assert(tg_checkpoint_save(path, &fresh.c, &status));
        write_changed(changes[i].leave_out, changes[i].key, changes[i].note, changes[i].add,
                      changes[i].set, changes[i].value);
        REFUSED(&r, changes[i].text);
        finish(&fresh);
    }

    training other;
    start(&other, TG_F64, momentum, 6);
    cr_assert(tg_checkpoint_save(path, &other.c, &status));
    REFUSED(&r, "the optimiser is sgd there, adamw here");
    finish(&other);
    start(&other, TG_F64, adam, 6);
    cr_assert(tg_checkpoint_save(path, &other.c, &status));
    REFUSED(&r, "the optimiser is adam there, adamw here");
    finish(&other);
    finish(&r);
    finish(&narrow);
    finish(&single);
}

/* Every byte of a file turned, and the file cut off at every length: loaded or refused, never
   worse. */
Test(checkpoint, a_damaged_file_is_refused_or_harmless)
{
    training r;
    start(&r, TG_F32, momentum, 2);
    cr_assert(tg_checkpoint_save(path, &r.c, &status));
    static unsigned char bytes[20000], copy[20000];
    FILE *f = fopen(path, "rb");
    const size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    cr_assert(n > 500 && n < sizeof bytes);
    int refusals = 0;
    for (size_t i = 0; i < n; i += 1 + i / 60) {
        memcpy(copy, bytes, n);
        copy[i] ^= 0x15;
        for (int cut = 0; cut < 2; cut++) {
            f = fopen(path, "wb");
            cr_assert(fwrite(cut ? bytes : copy, 1, cut ? i : n, f) == (cut ? i : n) &&
                      fclose(f) == 0);
            const bool loaded = tg_checkpoint_load(path, &r.c, &status);
            cr_expect(!cut || !loaded, "cut off at %zu", i);
            refusals += !loaded;
        }
    }
    cr_expect(refusals > 150, "%d", refusals);
    finish(&r);
}

Test(checkpoint, wrong_uses_are_errors)
{
    training r;
    start(&r, TG_F64, adamw, 6);
    tg_checkpoint c = r.c;
    cr_expect(!tg_checkpoint_save(NULL, &c, &status) && !tg_checkpoint_save(path, NULL, &status) &&
              strstr(status.message, "are NULL"));
    c.numbers = NULL;
    cr_expect(!tg_checkpoint_save(path, &c, &status) && strstr(status.message, "are NULL"));
    cr_expect(!tg_checkpoint_load(path, &c, NULL));
    c.numbers = &(tg_checkpoint_numbers){ NULL, r.best, 2 };
    cr_expect(!tg_checkpoint_save(path, &c, &status) &&
              strstr(status.message, "numbers 0 have no name"));
    c = r.c;
    cr_expect(!tg_checkpoint_save("a.npz", &c, &status) &&
              strstr(status.message, "a checkpoint is no .npz"));
    cr_expect(!tg_checkpoint_save("/nowhere/a", &c, &status) &&
              strstr(status.message, "/nowhere/a"));
    c.net = tg_nn_layer(r.net, 0);
    cr_expect(!tg_checkpoint_save(path, &c, &status) &&
              strstr(status.message, "net.0 is a part of a net"));
    tg_nn *const bare = tg_nn_linear(1, 1), *const odd = tg_nn_linear(1, 1);
    c.net = bare;
    cr_expect(!tg_checkpoint_save(path, &c, &status) &&
              strstr(status.message, "the net is not built"));
    cr_assert(tg_nn_build(odd, r.tape, &(tg_nn_options){ .name = "optimizer" }));
    c.net = odd;
    cr_expect(!tg_checkpoint_save(path, &c, &status) &&
              strstr(status.message, "a net of this name"));
    const tg_value bound[] = { tg_neg(tg_ones(r.tape, 1, 1)), tg_ones(r.tape, 1) };
    cr_assert(tg_nn_bind(bare, bound, 2));
    c = (tg_checkpoint){ .net = bare };
    cr_assert(tg_checkpoint_save(path, &c, &status), "%s", status.message);
    cr_expect(!tg_checkpoint_load(path, &c, &status) &&
              strstr(status.message, "net.weight cannot be written"));
    cr_expect(!tg_checkpoint_save(path, &r.c, &status) &&
              strstr(status.message, "the tape has an error"));
    tg_error_clear(r.tape);
    tg_nn_free(bare);
    tg_nn_free(odd);
    tg_set_learning_rate(r.c.optimizer, -1);
    cr_expect(!tg_checkpoint_save(path, &r.c, &status) &&
              strstr(status.message, "the optimiser has an error: lr is -1"));
    tg_optimizer_free(r.c.optimizer);
    r.c.optimizer = NULL;
    tg_reset(r.tape);
    cr_expect(!tg_checkpoint_save(path, &r.c, &status));
    finish(&r);
}
