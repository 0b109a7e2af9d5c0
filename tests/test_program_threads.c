/* One program run by several threads at once, each with a workspace of its own, some of which are
   teams: all must give the same bits. A plain program, for ThreadSanitizer too. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include <tapegrad.h>

enum { THREADS = 4, COUNT = 1500, INPUTS = 3, HIDDEN = 8, RUNS = 6 };

static double x[COUNT][INPUTS], y[COUNT], w[HIDDEN * INPUTS], v[HIDDEN];

typedef struct worker {
    pthread_t thread;
    const tg_program *program;
    int members;
    double total, dw[HIDDEN * INPUTS], dv[HIDDEN];
    bool ok;
} worker;

static tg_program *compile(void)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value in = tg_input(t, x[0], INPUTS), target = tg_input(t, &y[0]);
    const tg_value W = tg_param(t, w, HIDDEN, INPUTS), V = tg_param(t, v, HIDDEN);
    tg_value o = tg_mul(tg_at(V, 0), tg_at(in, 0)); /* scalars and tensors */
    for (int i = 1; i < INPUTS; i++) o = tg_add(o, tg_mul(tg_at(V, i), tg_at(in, i)));
    o = tg_add(o, tg_dot(V, tg_tanh(tg_matmul(W, in))));
    const tg_value loss = tg_square(tg_sub(o, target));
    tg_program *const p = tg_compile(TG_VALUES(loss), TG_VALUES(in, target), TG_VALUES(W, V), NULL, NULL);
    tg_program *const g = tg_gradient_program(p, NULL, NULL);
    tg_program_free(p);
    tg_tape_free(t);
    return g;
}

static void *work(void *user)
{
    worker *const k = user;
    tg_workspace *const room = tg_workspace_new(k->program, k->members, NULL);
    k->ok = room;
    for (int i = 0; k->ok && i < RUNS; i++)
        k->ok = tg_run(k->program, room, COUNT, (const void *[]){ x, y, w, v },
                       (void *[]){ &k->total, k->dw, k->dv }, NULL);
    tg_workspace_free(room);
    return NULL;
}

int main(void)
{
    static worker k[THREADS];
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < INPUTS; j++) x[i][j] = (double)((i * 37 + j * 11) % 101) / 50 - 1;
        y[i] = x[i][0] * x[i][1];
    }
    for (int i = 0; i < HIDDEN * INPUTS; i++) w[i] = (double)(i * 29 % 17) / 8 - 1;
    for (int i = 0; i < HIDDEN; i++) v[i] = (double)(i * 13 % 7) / 3 - 1;
    tg_program *const g = compile();
    for (int i = 0; i < THREADS; i++) {
        k[i].program = g;
        k[i].members = 1 + i;
        if (pthread_create(&k[i].thread, NULL, work, &k[i])) return 2;
    }
    int wrong = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(k[i].thread, NULL);
        const bool same = k[i].ok && k[i].total == k[0].total &&
                          memcmp(k[i].dw, k[0].dw, sizeof k[i].dw) == 0 &&
                          memcmp(k[i].dv, k[0].dv, sizeof k[i].dv) == 0;
        if (same) continue;
        printf("a team of %d: %.17g, one alone %.17g\n", k[i].members, k[i].total, k[0].total);
        wrong++;
    }
    printf("%d threads, %d wrong\n", THREADS, wrong);
    tg_program_free(g);
    return wrong != 0;
}
