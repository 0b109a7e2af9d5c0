/* Several tapes in several threads, without a lock: each must compute what one thread alone
   computes, bit for bit. A plain program, for ThreadSanitizer too. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <tapegrad.h>

enum { THREADS = 8, STEPS = 60, SAMPLES = 16, INPUTS = 5, HIDDEN = 9, CLASSES = 3 };

typedef struct worker {
    pthread_t thread;
    unsigned seed;
    tg_type type;
    double weights[HIDDEN * INPUTS + CLASSES * HIDDEN];
    double losses[STEPS];
    bool ok;
} worker;

static double uniform(unsigned *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / (1 << 24) * 2 - 1;
}

static tg_value loss_of(tg_tape *t, tg_value W, tg_value V, unsigned *seed)
{
    double data[SAMPLES * INPUTS];
    int labels[SAMPLES];
    for (int i = 0; i < SAMPLES * INPUTS; i++) data[i] = uniform(seed);
    for (int i = 0; i < SAMPLES; i++)
        labels[i] = data[i * INPUTS] > 0.3 ? 2 : data[i * INPUTS + 1] > 0;
    const tg_value x = tg_input(t, data, SAMPLES, INPUTS), y = tg_index(t, labels, SAMPLES);
    const tg_value h = tg_tanh(tg_matmul(x, tg_transpose(W)));
    const tg_value z = tg_log_softmax(tg_matmul(h, tg_transpose(V)));
    tg_value decay = tg_mul(1e-3, tg_at(W, 0, 0)); /* some scalars too */
    for (int i = 1; i < INPUTS; i++) decay = tg_add(decay, tg_square(tg_at(W, i, i - 1)));
    return tg_add(tg_nll(z, y), decay);
}

static void step(tg_tape *t, tg_value leaf)
{
    const int64_t n = tg_size(leaf);
    double g[HIDDEN * INPUTS];
    tg_grad_read(leaf, g, (size_t)n);
    if (tg_tape_type(t) == TG_F64) {
        double *const w = tg_edit(leaf);
        for (int64_t i = 0; w && i < n; i++) w[i] -= 0.1 * g[i];
    } else {
        float *const w = tg_edit_f32(leaf);
        for (int64_t i = 0; w && i < n; i++) w[i] -= 0.1f * (float)g[i];
    }
}

static void *train(void *user)
{
    worker *const k = user;
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = k->type });
    unsigned seed = k->seed;
    for (size_t i = 0; i < sizeof k->weights / sizeof(double); i++) k->weights[i] = uniform(&seed);
    const tg_value W = tg_param(t, k->weights, HIDDEN, INPUTS),
                   V = tg_param(t, k->weights + HIDDEN * INPUTS, CLASSES, HIDDEN);
    const tg_mark mark = tg_tape_mark(t);
    for (int i = 0; i < STEPS; i++) {
        const tg_value loss = loss_of(t, W, V, &seed);
        tg_backward(loss);
        k->losses[i] = tg_item(loss);
        step(t, W);
        step(t, V);
        tg_release(mark);
    }
    k->ok = tg_read(W, k->weights, HIDDEN * INPUTS) &&
            tg_read(V, k->weights + HIDDEN * INPUTS, CLASSES * HIDDEN);
    tg_tape_free(t);
    return NULL;
}

static bool same(const worker *a, const worker *b)
{
    return a->ok && b->ok && memcmp(a->weights, b->weights, sizeof a->weights) == 0 &&
           memcmp(a->losses, b->losses, sizeof a->losses) == 0;
}

int main(void)
{
    static worker together[THREADS], alone[THREADS];
    int wrong = 0;
    /* Two by two the same work; half of it in single precision. */
    for (int i = 0; i < THREADS; i++) together[i].seed = alone[i].seed = (unsigned)i / 2 + 1;
    for (int i = 0; i < THREADS; i++)
        together[i].type = alone[i].type = i / 2 % 2 ? TG_F32 : TG_F64;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&together[i].thread, NULL, train, &together[i])) return 2;
    for (int i = 0; i < THREADS; i++) pthread_join(together[i].thread, NULL);
    for (int i = 0; i < THREADS; i++) {
        train(&alone[i]);
        const bool learnt = alone[i].losses[STEPS - 1] < alone[i].losses[0];
        if (same(&together[i], &alone[i]) && learnt) continue;
        printf("thread %d: loss %.17g, alone %.17g\n", i, together[i].losses[STEPS - 1],
               alone[i].losses[STEPS - 1]);
        wrong++;
    }
    printf("%d threads, %d wrong\n", THREADS, wrong);
    return wrong != 0;
}
