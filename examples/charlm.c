/* charlm: a small GPT learns to write, character by character, from a text file.

   Characters (bytes) become vectors, places are added, then come blocks of causal self-attention
   and of a two-layer network, each normalized before (Radford et al. 2019). The loss is -log of the
   probability that the model gives the next character, averaged.

   The last tenth of the text is held out. A model that only knows how often one character follows
   another in the first nine tenths, the bigram model, is what it has to beat there. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/check.h"
#include "common/cli.h"

#include <tapegrad.h>
#include <tapegrad/checkpoint.h>
#include <tapegrad/plot.h>
#include <tapegrad/short.h>

/* ---- settings -------------------------------------------------------------------------------- */

enum { MOST_LAYERS = 16 };

typedef struct settings {
    const char *text, *save, *resume;
    int width, layers, heads, context, batch, steps, every, sample;
    double rate, dropout, temperature;
    uint64_t seed;
    bool require;
} settings;

static settings read_settings(int argc, char **argv)
{
    settings s = { .text = "/usr/share/common-licenses/GPL-3", .width = 64, .layers = 2, .heads = 4,
                   .context = 64, .batch = 16, .steps = 1500, .rate = 0.006, .dropout = 0.1,
                   .every = 100, .sample = 400, .temperature = 0.8, .seed = 1 };
    const cli_option options[] = {
        { 0, "TEXT", NULL, "The file to learn from", .text = &s.text },
        { 'd', "width", "D", "Numbers in the vector of a character",
          .whole = &s.width, .lo = 1, .hi = 4096 },
        { 'l', "layers", "N", "Blocks", .whole = &s.layers, .lo = 1, .hi = MOST_LAYERS },
        { 'h', "heads", "N", "Heads of attention; they divide D",
          .whole = &s.heads, .lo = 1, .hi = 4096 },
        { 'c', "context", "N", "Characters that the model sees",
          .whole = &s.context, .lo = 2, .hi = 4096 },
        { 'b', "batch", "N", "Pieces of text in a step", .whole = &s.batch, .lo = 1, .hi = 4096 },
        { 'n', "steps", "N", "Steps of training", .whole = &s.steps, .lo = 1, .hi = 100000000 },
        { 'r', "rate", "RATE", "Highest learning rate of AdamW; it falls to a tenth",
          .real = &s.rate, .hi = 1 },
        { 'p', "dropout", "P", "Share of the numbers dropped in training",
          .real = &s.dropout, .hi = 0.99 },
        { 'e', "every", "N", "Steps from one report to the next",
          .whole = &s.every, .lo = 1, .hi = 100000000 },
        { 'w', "sample", "N", "Characters to write at the end", .whole = &s.sample, .hi = 1000000 },
        { 't', "temperature", "T", "Of the sample: below 1 it is bolder, above 1 wilder",
          .real = &s.temperature, .lo = 0.01, .hi = 100 },
        { 'S', "save", "FILE", "Save a checkpoint there with every report, and at the end",
          .text = &s.save },
        { 'R', "resume", "FILE", "Go on from this checkpoint", .text = &s.resume },
        { 's', "seed", "SEED", "Of first weights, pieces and sample", .seed = &s.seed },
        { 'q', "require", NULL, "Fail if the bigram model is better", .flag = &s.require },
        { 0 },
    };
    cli_parse(argc, argv, "Learns to continue a text, character by character.", options);
    if (s.width % s.heads) fail("--width %d cannot be divided among --heads %d", s.width, s.heads);
    return s;
}

/* ---- text ------------------------------------------------------------------------------------ */

enum { BYTES = 256 };

typedef struct corpus {
    int n, train;       /* characters; of them to train on */
    int characters;     /* different ones */
    int *x;             /* (n), each from 0 to characters - 1 */
    char letter[BYTES]; /* what they stand for */
} corpus;

static corpus corpus_new(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        fail("no text to learn from: name a file, charlm TEXT");
    }
    if (fseek(f, 0, SEEK_END) != 0) fail("%s: it is no file", path);
    const long size = ftell(f);
    if (size < 1000 || size > 1 << 28)
        fail("%s: %ld characters: 1000 to 2^28 are wanted", path, size);
    rewind(f);
    corpus c = { .n = (int)size, .train = (int)(size - size / 10) };
    unsigned char *const text = allocate((size_t)size, 1);
    c.x = allocate((size_t)size, sizeof *c.x);
    if (fread(text, 1, (size_t)size, f) != (size_t)size) fail("%s: cannot be read", path);
    fclose(f);
    int number[BYTES] = { 0 };
    for (int i = 0; i < c.n; i++) number[text[i]] = 1;
    for (int i = 0; i < BYTES; i++)
        if (number[i]) {
            c.letter[c.characters] = (char)i;
            number[i] = c.characters++;
        }
    for (int i = 0; i < c.n; i++) c.x[i] = number[text[i]];
    free(text);
    return c;
}

/* Whole windows of the context in the held-out part; the one before the first character counts. */
static int held_out_windows(const settings *s, const corpus *c)
{
    return (c->n - c->train) / s->context;
}

/* The held-out loss of p(b | a) = (count(a, b) + alpha p(b)) / (count(a) + alpha), where p(b) is as
   common as b is, on what the network is tested on. */
static double bigram_loss(const settings *s, const corpus *c, double alpha)
{
    const int k = c->characters, end = c->train + held_out_windows(s, c) * s->context;
    double *const pair = allocate((size_t)k * (size_t)k, sizeof *pair), *const single = allocate(
                                                                            (size_t)k,
                                                                            sizeof *single);
    for (int i = 1; i < c->train; i++) {
        pair[c->x[i - 1] * k + c->x[i]]++;
        single[c->x[i - 1]]++;
    }
    double loss = 0;
    for (int i = c->train; i < end; i++) {
        const int a = c->x[i - 1], b = c->x[i];
        const double common = (single[b] + 1) / (c->train + k);
        loss -= log((pair[a * k + b] + alpha * common) / (single[a] + alpha)) / (end - c->train);
    }
    free(pair);
    free(single);
    return loss;
}

/* With the smoothing that is best for it on the held-out text itself: nobody can call that
   unfair. */
static double best_bigram_loss(const settings *s, const corpus *c)
{
    double best = INFINITY;
    for (double alpha = 0.125; alpha < 100; alpha *= 2) best = fmin(best, bigram_loss(s, c, alpha));
    return best;
}

/* ---- the model ------------------------------------------------------------------------------- */

/* Characters (n, t) to scores of what comes next (n, t, characters). */
static tg_nn *gpt(const settings *s, const corpus *c)
{
    tg_nn *block[MOST_LAYERS];
    for (int i = 0; i < s->layers; i++)
        block[i] = tg_nn_transformer(s->width, s->heads, .causal = true, .dropout = s->dropout);
    return tg_nn_sequential(
        tg_nn_named("characters",
                    tg_nn_embedding(c->characters, s->width,
                                    .weight = { .scheme = TG_INIT_NORMAL, .b = 0.02 })),
        tg_nn_named("places", tg_nn_position(s->context, s->width)), tg_nn_dropout(s->dropout),
        tg_nn_named("blocks", tg_nn_sequential_new(block, s->layers)), tg_nn_layer_norm(s->width),
        tg_nn_named("scores", tg_nn_linear(s->width, c->characters)));
}

/* The mean loss of n pieces of text of the context's length; next are their characters, one on. */
static Value loss_of(const settings *s, tg_nn *net, tg_tape *t, const int *text, const int *next,
                     int n)
{
    const Value scores = tg_nn_forward(net, index(t, text, n, s->context));
    const int64_t rows = (int64_t)n * s->context;
    return cross_entropy(reshape(scores, rows, tg_dim(scores, -1)), index(t, next, rows));
}

/* ---- training -------------------------------------------------------------------------------- */

typedef struct training {
    const settings *s;
    const corpus *c;
    tg_tape *t;
    tg_mark start;
    tg_nn *net;
    tg_optimizer *o;
    int *text, *next;   /* (batch, context) */
    double schedule[2]; /* steps and rate: resuming takes the same */
    tg_checkpoint_numbers numbers[1];
    tg_checkpoint saved; /* .batch is the next step */
} training;

/* n numbers from 0 to 1, which follow from the seed and the number of the draw alone. */
static float *draw(const training *r, int64_t number, int n)
{
    float *const u = allocate((size_t)n, sizeof *u);
    const tg_mark mark = tg_tape_mark(r->t);
    const Value leaf = uniform(r->t, r->s->seed + ((uint64_t)number << 32), 0, 1, n);
    memcpy(u, tg_data_f32(leaf), (size_t)n * sizeof *u);
    tg_release(mark);
    return u;
}

static void draw_pieces(training *r, int64_t step)
{
    const settings *s = r->s;
    float *const u = draw(r, step, s->batch);
    for (int i = 0; i < s->batch; i++) {
        const int at = (int)((double)u[i] * (r->c->train - s->context - 1));
        memcpy(r->text + i * s->context, r->c->x + at, (size_t)s->context * sizeof *r->text);
        memcpy(r->next + i * s->context, r->c->x + at + 1, (size_t)s->context * sizeof *r->next);
    }
    free(u);
}

static Value checked_loss(tg_nn *net, tg_tape *t, void *user)
{
    const training *r = user;
    return loss_of(r->s, net, t, r->text, r->next, 1);
}

static training training_new(const settings *s, const corpus *c)
{
    training r = { .s = s, .c = c, .t = tg_tape_new(&(tg_tape_options){ .type = TG_F32 }) };
    r.net = gpt(s, c);
    const tg_nn_options start = { .seed = s->seed,
                                  .weight = { .scheme = TG_INIT_NORMAL, .b = 0.02 },
                                  .bias = { .scheme = TG_INIT_ZEROS },
                                  .name = "gpt" };
    if (!r.t) exit(EXIT_FAILURE);
    if (!tg_nn_build(r.net, r.t, &start)) fail("%s", tg_nn_status(r.net)->message);
    r.o = tg_adamw_new(tg_nn_parameters(r.net), tg_nn_count(r.net),
                       &(tg_adam_options){ .beta2 = 0.99, .weight_decay = 0.1 });
    if (!r.o || !tg_clip(r.o, 0, 1)) fail("no memory for the optimiser");
    r.text = allocate((size_t)s->batch * (size_t)s->context, sizeof *r.text);
    r.next = allocate((size_t)s->batch * (size_t)s->context, sizeof *r.next);
    r.schedule[0] = s->steps;
    r.schedule[1] = s->rate;
    r.start = tg_tape_mark(r.t);
    return r;
}

/* After which r does not move: the checkpoint points into it. */
static void attach(training *r)
{
    r->numbers[0] = (tg_checkpoint_numbers){ "schedule", r->schedule, 2 };
    r->saved = (tg_checkpoint){
        .net = r->net, .optimizer = r->o, .numbers = r->numbers, .count = 1, .seed = r->s->seed
    };
}

static void training_free(training *r)
{
    tg_optimizer_free(r->o);
    tg_nn_free(r->net);
    tg_tape_free(r->t);
    free(r->text);
    free(r->next);
}

static void save(training *r)
{
    tg_status status;
    if (r->s->save && !tg_checkpoint_save(r->s->save, &r->saved, &status))
        fail("%s", status.message);
}

static void resume(training *r)
{
    tg_status status;
    if (!tg_checkpoint_load(r->s->resume, &r->saved, &status)) fail("%s", status.message);
    if (r->schedule[0] != r->s->steps || r->schedule[1] != r->s->rate ||
        r->saved.seed != r->s->seed)
        fail("%s was begun with --steps %.0f --rate %g --seed %llu", r->s->resume, r->schedule[0],
             r->schedule[1], (unsigned long long)r->saved.seed);
    printf("resumed at step %lld\n", (long long)r->saved.batch);
}

/* The loss on the held-out text, in windows side by side. */
static double held_out_loss(training *r)
{
    const settings *s = r->s;
    const int *const at = r->c->x + r->c->train;
    tg_nn_train(r->net, false);
    tg_no_grad_begin(r->t);
    const double loss = tg_item(loss_of(s, r->net, r->t, at - 1, at, held_out_windows(s, r->c)));
    tg_no_grad_end(r->t);
    tg_nn_train(r->net, true);
    tg_release(r->start);
    return loss;
}

static double train_step(training *r)
{
    const int64_t step = r->saved.batch, steps = r->s->steps;
    draw_pieces(r, step);
    const double rate = tg_lr_cosine(r->s->rate, r->s->rate / 10, steps, step);
    tg_set_learning_rate(r->o, rate * tg_lr_warmup(1, 1 + steps / 20, step));
    const Value loss = loss_of(r->s, r->net, r->t, r->text, r->next, r->s->batch);
    const double value = tg_item(loss);
    if (!tg_backward(loss)) exit(EXIT_FAILURE);
    if (!tg_step(r->o)) fail("%s", tg_optimizer_status(r->o)->message);
    tg_release(r->start);
    return value;
}

/* Returns the held-out loss at the end. */
static double train(training *r)
{
    const settings *s = r->s;
    double mean = 0, held_out = held_out_loss(r), spent = 0;
    const int64_t first = r->saved.batch;
    printf("    step    loss  held-out  ms a step\n%8lld       -  %8.3f\n", (long long)first,
           held_out);
    for (int64_t since = 1; r->saved.batch < s->steps; since++) {
        const tg_meter watch = tg_meter_start(NULL, 1);
        mean += (train_step(r) - mean) / (double)since;
        spent += tg_meter_end(&watch);
        r->saved.batch++;
        if (r->saved.batch % s->every && r->saved.batch < s->steps) continue;
        held_out = held_out_loss(r);
        printf("%8lld  %6.3f  %8.3f  %9.1f\n", (long long)r->saved.batch, mean, held_out,
               1e3 * spent / (double)(r->saved.batch - first));
        fflush(stdout);
        save(r);
        since = 0;
        mean = 0;
    }
    return held_out;
}

/* ---- writing --------------------------------------------------------------------------------- */

/* A character by its score; u is uniform in [0, 1). */
static int choose(const float *score, int n, double temperature, double u)
{
    double highest = -INFINITY, sum = 0;
    for (int i = 0; i < n; i++) highest = fmax(highest, (double)score[i]);
    for (int i = 0; i < n; i++) sum += exp(((double)score[i] - highest) / temperature);
    for (int i = 0; i < n; i++) {
        u -= exp(((double)score[i] - highest) / temperature) / sum;
        if (u < 0) return i;
    }
    return n - 1;
}

/* Writes on from the middle of the training text. */
static void write_sample(training *r)
{
    const settings *s = r->s;
    int *const text = allocate((size_t)s->context, sizeof *text);
    memcpy(text, r->c->x + (r->c->train - s->context) / 2, (size_t)s->context * sizeof *text);
    float *const u = draw(r, UINT32_MAX, s->sample);
    tg_nn_train(r->net, false);
    tg_no_grad_begin(r->t);
    printf("\n...");
    for (int i = 0; i < s->context; i++) putchar(r->c->letter[text[i]]);
    printf("|");
    for (int i = 0; i < s->sample; i++) {
        const Value scores = tg_nn_forward(r->net, index(r->t, text, 1, s->context));
        const float *const p = tg_data_f32(scores);
        if (!p) exit(EXIT_FAILURE);
        const int k = r->c->characters;
        const int next = choose(p + (s->context - 1) * k, k, s->temperature, (double)u[i]);
        putchar(r->c->letter[next]);
        memmove(text, text + 1, (size_t)(s->context - 1) * sizeof *text);
        text[s->context - 1] = next;
        tg_release(r->start);
    }
    printf("\n");
    tg_no_grad_end(r->t);
    free(u);
    free(text);
}

/* ---- all of it ------------------------------------------------------------------------------- */

/* A checkpoint that cannot be written is found out before the training. */
static void check_writable(const char *path)
{
    FILE *f = path ? fopen(path, "ab") : NULL;
    if (path && !f) {
        perror(path);
        exit(EXIT_FAILURE);
    }
    const bool empty = f && fseek(f, 0, SEEK_END) == 0 && ftell(f) == 0;
    if (f) fclose(f);
    if (empty) remove(path);
}

int main(int argc, char **argv)
{
    const settings s = read_settings(argc, argv);
    check_writable(s.save);
    const corpus c = corpus_new(s.text);
    if (held_out_windows(&s, &c) < 1)
        fail("%s: too short for a --context of %d", s.text, s.context);
    const double bigram = best_bigram_loss(&s, &c);
    printf("%s: %d characters, %d different ones, the last %d held out\n", s.text, c.n,
           c.characters, c.n - c.train);

    training r = training_new(&s, &c);
    attach(&r);
    tg_nn_summary(r.net, stdout, index(r.t, r.text, s.batch, s.context));
    tg_release(r.start);
    if (s.resume) resume(&r);
    draw_pieces(&r, 0);
    check_net(r.net, checked_loss, &r, 1);
    const double loss = train(&r);
    if (s.sample) write_sample(&r);
    printf("\nheld-out loss a character: %.3f, the bigram model's %.3f, of all %d alike %.3f\n",
           loss, bigram, c.characters, log(c.characters));
    training_free(&r);
    free(c.x);
    if (s.require && !(loss < bigram)) fail("the bigram model is better");
    return EXIT_SUCCESS;
}
