/* Networks when there is no memory: each call is made again and again, and each time one allocation
   more succeeds before one fails. It must say so, leave nothing behind (the leak checker looks),
   and work the next time. A plain program: Criterion allocates, too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad.h>
#include <tapegrad/nn.h>

/* The linker puts these before malloc and its kin (--wrap). */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static long left = -1; /* allocations until one fails; below 0: none does */
static bool reached;

static bool fails(void)
{
    if (left < 0) return false;
    if (left-- > 0) return false;
    reached = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails() ? NULL : __real_realloc(p, n);
}

static const int64_t two[] = { 2 };

static tg_value identity(tg_nn *l, tg_value x, void *user)
{
    (void)l, (void)user;
    return x;
}

static tg_nn *make(void)
{
    return tg_nn_sequential(
        tg_nn_embedding(3, 4), tg_nn_position(3, 4), tg_nn_transformer(4, 2, .dropout = 0.5),
        tg_nn_residual(tg_nn_linear(4, 4)), tg_nn_lstm(4, 3), tg_nn_named("gru", tg_nn_gru(3, 2)),
        tg_nn_with(tg_nn_custom("mine", identity, NULL, NULL, 0), "scale",
                   (tg_nn_init){ .scheme = TG_INIT_ONES }, two, 1),
        tg_nn_reshape(2, 3, 1), tg_nn_conv2d(2, 2, 1), tg_nn_batch_norm(2), tg_nn_max_pool2d(1),
        tg_nn_flatten(), tg_nn_activation("tanh"), tg_nn_rms_norm(6));
}

/* Whether a whole life worked; if not, that it was for want of memory. */
static bool live(tg_tape *t)
{
    const tg_mark mark = tg_tape_mark(t);
    tg_nn *const net = make();
    const bool built = tg_nn_build(net, t, NULL);
    tg_value y = { 0 };
    if (built) y = tg_nn_forward(net, tg_index(t, ((const int[]){ 0, 1, 2, 2, 1, 0 }), 2, 3));
    const tg_error *const e = tg_error_of(t);
    if (!built && left < 0 && !e && tg_nn_status(net)->code != TG_ERROR_MEMORY &&
        !strstr(tg_nn_status(net)->message, "no memory")) {
        printf("allocation fails: \"%s\"\n", tg_nn_status(net)->message);
        exit(EXIT_FAILURE);
    }
    const bool ok = built && y.generation;
    if (!ok) tg_error_clear(t);
    tg_nn_free(net);
    tg_release(mark);
    return ok;
}

static tg_value loss(tg_nn *net, tg_tape *tape, void *user)
{
    (void)user;
    return tg_sum(tg_nn_forward(net, tg_ones(tape, 2, 2)));
}

int main(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
    tg_tape *const t = tg_tape_new(NULL);
    if (!t || !live(t)) return EXIT_FAILURE;
    long n = 0;
    for (bool again = true; again; n++) {
        reached = false;
        left = n;
        const bool ok = live(t);
        left = -1;
        again = reached;
        if (ok == reached) return printf("allocation %ld: %s\n", n, ok ? "worked" : "failed"), 1;
        if (!live(t)) return printf("after allocation %ld nothing works\n", n), 1;
    }
    tg_nn *const net = tg_nn_linear(2, 2);
    if (!tg_nn_build(net, t, NULL)) return EXIT_FAILURE;
    long checks = 0;
    for (bool again = true; again; checks++) {
        tg_check_report report;
        reached = false;
        left = checks;
        const bool ok = tg_nn_gradcheck(net, loss, NULL, NULL, &report);
        left = -1;
        again = reached;
        if (!ok && !reached) /* some allocations have a second way */
            return printf("check, allocation %ld: %s\n", checks, report.message), 1;
    }
    tg_nn_free(net);
    tg_tape_free(t);
    printf("%ld allocations failed, one at a time\n", n + checks - 2);
    return n < 50 ? 77 : 0; /* link-time optimisation has kept the linker from it: skipped */
}
