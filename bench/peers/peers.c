/* Other libraries on the same work and data, those that are installed: ADOL-C and Eigen's AutoDiff on the
   scalar network of works.h, PyTorch on a training step of a batch. All results agree with ours. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tapegrad.h>
#include <tapegrad/program.h>
#include <unistd.h>

#include "../report.h"
#include "../works.h"
#include "peer.h"

enum { REPEATS = 15, SAMPLES = 64 };

/* ---- one sample, in this process --------------------------------------------------------------- */

static const peer *const peers[] = {
#ifdef BENCH_ADOLC
    &peer_adolc, &peer_adolc_replayed,
#endif
#ifdef BENCH_EIGEN
    &peer_eigen,
#endif
    NULL,
};

enum { PLAIN, EAGER, PEER, WAYS };

typedef struct task {
    double p[NET_PARAMETERS], d[NET_PARAMETERS], x[SAMPLES][INPUTS], y[SAMPLES][CLASSES];
    eager *eager;
    const peer *peer;
    int sample;
} task;

static void one_step(int w, void *user)
{
    task *const k = user;
    const int s = k->sample++ % SAMPLES;
    if (w == PLAIN) tanh_plain_f64(1, k->p, k->x[s], k->y[s], k->d);
    if (w == EAGER) eager_step(k->eager, k->x[s], k->y[s], k->d);
    if (w == PEER) k->peer->step(k->p, k->x[s], k->y[s], k->d);
}

static void gradient(task *k, int w, double *to)
{
    memset(k->d, 0, sizeof k->d);
    k->sample = 0;
    for (int i = 0; i < CLASSES; i++) one_step(w, k);
    memcpy(to, k->d, sizeof k->d);
}

static void one_sample(const peer *with)
{
    static const side sides[WAYS] = { SIDE_PLAIN, SIDE_EAGER, SIDE_PEER };
    static double expected[NET_PARAMETERS], got[NET_PARAMETERS];
    task *const k = calloc(1, sizeof *k);
    if (!k) exit(1);
    for (int i = 0; i < NET_PARAMETERS; i++) k->p[i] = 0.3 * cos(2.3 * i);
    for (int i = 0; i < SAMPLES * INPUTS; i++) k->x[i / INPUTS][i % INPUTS] = sin(1.7 * i);
    for (int i = 0; i < SAMPLES; i++) k->y[i][i % CLASSES] = 1;
    k->eager = eager_new(&works[TANH_NET], &scalar_ops, k->p);
    k->peer = with;
    if (with->start) with->start();
    bench_row r = { .name = "tanh-net", .size = "2-100-3", .type = "f64", .layout = with->name, .per = "sample" };
    gradient(k, PLAIN, expected);
    for (int w = EAGER; w < WAYS; w++) {
        gradient(k, w, got);
        report_agree(&r, sides[w], NET_PARAMETERS, got, expected);
    }
    timing t[WAYS];
    report_time(WAYS, sides, one_step, k, REPEATS, t);
    for (int w = 0; w < WAYS; w++) r.side[sides[w]] = t[w];
    report_row(&r);
    eager_free(k->eager);
    free(k);
}

/* ---- a batch, with a process of PyTorch -------------------------------------------------------- */

#ifdef BENCH_PYTORCH
enum { BATCH = 300 };

typedef struct net {
    tg_tape *tape;
    tg_mark mark;
    tg_value x, label, p[4];
} net;

static net new_net(void)
{
    static const int64_t dim[4][2] = { { HIDDEN, INPUTS }, { HIDDEN }, { CLASSES, HIDDEN }, { CLASSES } };
    static float p[NET_PARAMETERS], x[BATCH * INPUTS];
    static int label[BATCH];
    for (int i = 0; i < NET_PARAMETERS; i++) p[i] = (float)(0.3 * cos(2.3 * i));
    for (int i = 0; i < BATCH * INPUTS; i++) x[i] = (float)sin(1.7 * i);
    for (int i = 0; i < BATCH; i++) label[i] = i % CLASSES;
    net k = { .tape = tg_tape_new(&(tg_tape_options){ .type = TG_F32 }) };
    k.x = tg_input(k.tape, x, BATCH, INPUTS);
    k.label = tg_index(k.tape, label, BATCH);
    const float *from = p;
    for (int i = 0; i < 4; i++) {
        k.p[i] = tg_leaf_new(k.tape, TG_PARAMETER, TG_F32, from, i % 2 ? 1 : 2, dim[i], NULL);
        from += tg_size(k.p[i]);
    }
    k.mark = tg_tape_mark(k.tape);
    return k;
}

static void train(int which, void *user)
{
    const net *const k = user;
    (void)which;
    const tg_value h = tg_tanh(tg_linear(k->x, k->p[0], k->p[1]));
    if (!tg_backward(tg_cross_entropy(tg_linear(h, k->p[2], k->p[3]), k->label))) exit(1);
    tg_release(k->mark);
}

/* A process whose standard input and output we hold. */
typedef struct child {
    pid_t id;
    FILE *to, *from;
} child;

static child start_child(void)
{
    int to[2], from[2];
    if (pipe(to) || pipe(from)) exit(1);
    child c = { .id = fork() };
    if (c.id == 0) {
        dup2(to[0], 0), dup2(from[1], 1);
        close(to[1]), close(from[0]);
        execlp(BENCH_PYTORCH, BENCH_PYTORCH, "-B", BENCH_PEERS "/pytorch.py", (char *)NULL);
        _exit(127);
    }
    close(to[0]), close(from[1]);
    c.to = fdopen(to[1], "w"), c.from = fdopen(from[0], "r");
    return c;
}

static double number_from(const child *c)
{
    double x;
    if (fscanf(c->from, "%lf", &x) == 1) return x;
    fprintf(stderr, "PyTorch gives no answer\n");
    exit(1);
}

static double steps_of(const child *c, int count)
{
    fprintf(c->to, "%d\n", count);
    fflush(c->to);
    return number_from(c);
}

static void pytorch(void)
{
    static double expected[NET_PARAMETERS], got[NET_PARAMETERS];
    signal(SIGPIPE, SIG_IGN);
    net k = new_net();
    child c = start_child();
    bench_row r = { .name = "tanh-net", .size = "2-100-3,300", .type = "f32", .layout = "pytorch", .per = "step" };
    fprintf(c.to, "gradient\n");
    fflush(c.to);
    for (int i = 0; i < NET_PARAMETERS; i++) expected[i] = number_from(&c);
    const tg_value h = tg_tanh(tg_linear(k.x, k.p[0], k.p[1]));
    if (!tg_backward(tg_cross_entropy(tg_linear(h, k.p[2], k.p[3]), k.label))) exit(1);
    double *to = got;
    for (int i = 0; i < 4; to += tg_size(k.p[i++])) tg_grad_read(k.p[i], to, (size_t)tg_size(k.p[i]));
    tg_release(k.mark);
    report_agree(&r, SIDE_EAGER, NET_PARAMETERS, got, expected);
    steps_of(&c, 20);
    timing ours, theirs = { .repeats = REPEATS };
    for (int i = 0; i < REPEATS; i++) {
        theirs.ns[i] = steps_of(&c, 20);
        timing one;
        report_time(1, (const side[]){ SIDE_EAGER }, train, &k, 3, &one);
        if (i == 0) ours = one, ours.repeats = REPEATS;
        ours.ns[i] = one.median;
    }
    time_summary(&ours);
    time_summary(&theirs);
    r.side[SIDE_EAGER] = ours, r.side[SIDE_PEER] = theirs;
    report_row(&r);
    fclose(c.to), fclose(c.from);
    waitpid(c.id, NULL, 0);
    tg_tape_free(k.tape);
}
#endif

int main(int argc, char **argv)
{
    report_begin(argc, argv, "peers", "Other libraries that are installed, on the same work and data.");
    report_title("value and gradient of one sample; peer: ADOL-C, recorded each time or replayed, and Eigen's AutoDiff");
    for (int i = 0; peers[i]; i++)
        if (report_wants("tanh-net", "2-100-3")) one_sample(peers[i]);
#ifdef BENCH_PYTORCH
    report_title("value and gradients of a step; peer: PyTorch, in a process of its own");
    if (report_wants("tanh-net", "2-100-3,300")) pytorch();
#endif
    return report_end();
}
