/* Threads that reach the same expressions for the first time together, each with a tape of its own:
   all must get the values of the nested calls. With the short names, which must not get into the
   text. A plain program, for ThreadSanitizer too. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <tapegrad.h>
#include <tapegrad/short.h>

enum { THREADS = 8, TURNS = 50 };

TG_RULE(soft, "where(x > 0, x, exp(x) - 1)", "where(x > 0, 1, exp(x))")

static pthread_barrier_t start;

/* Almost every name is a macro here, and expressions stand inside other macros' brackets. */
static int differences(tg_tape *t, Value x, Value W)
{
    const Value index = number(t, 3), abs = exp(x); /* macros only before a bracket */
    /* clang-format off */
    const Value pairs[][2] = {
        { add(TG_EXPR(sum(abs(sin(x) * exp(x))), x), 1), add(sum(abs(mul(sin(x), exp(x)))), 1) },
        { TG_EXPR(log(exp(W) @ exp(x)) + index, W, x, index),
          add(log(matmul(exp(W), exp(x))), index) },
        { mul(2, TG_EXPR((W[0, :] @ abs), W, abs)), mul(2, matmul(select(W), abs)) },
        { TG_EXPR(amax(pow(x, 2)) > 1 ? sqrt(x + 3) : x / 2, x),
          where(gt(amax(pow(x, 2)), 1), sqrt(add(x, 3)), div(x, 2)) },
        { soft(x), where(gt(x, 0), x, sub(exp(x), 1)) },
    };
    /* clang-format on */
    int wrong = 0;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        wrong += !(tg_item(sum(ne(pairs[i][0], pairs[i][1]))) == 0);
    return wrong;
}

static void *work(void *user)
{
    static const double data[6] = { 0.5, -1, 2, 0.25, -0.5, 1 };
    int *const wrong = user;
    tg_tape *const t = tg_tape_new(NULL);
    const Value x = param(t, data, 2), W = param(t, data, 3, 2);
    const tg_mark mark = tg_tape_mark(t);
    pthread_barrier_wait(&start);
    for (int i = 0; i < TURNS; i++) {
        *wrong += differences(t, x, W);
        tg_release(mark);
    }
    *wrong += tg_error_of(t) != NULL;
    tg_tape_free(t);
    return NULL;
}

int main(void)
{
    static int wrong[THREADS];
    pthread_t thread[THREADS];
    int sum_of_wrong = 0;
    if (pthread_barrier_init(&start, NULL, THREADS)) return 2;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, work, &wrong[i])) return 2;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(thread[i], NULL);
        sum_of_wrong += wrong[i];
    }
    pthread_barrier_destroy(&start);
    printf("%d threads, %d wrong\n", THREADS, sum_of_wrong);
    return sum_of_wrong != 0;
}
