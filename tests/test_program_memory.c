/* Programs when there is no memory: compiling, deriving and running are done again and again, and each
   time one allocation more succeeds before one fails. It must be said, nothing be left behind (the
   leak checker looks), and the next time it must work. A plain program: Criterion allocates, too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad.h>

/* The linker puts these before malloc and its kin (--wrap). */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);

static long left = -1; /* allocations until one fails; below 0: none does */
static bool reached;

static bool has_failed(void)
{
    if (left < 0 || left-- > 0) return false;
    return reached = true;
}

void *__wrap_malloc(size_t n)
{
    return has_failed() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return has_failed() ? NULL : __real_calloc(n, size);
}

enum { COUNT = 300, FEATURES = 4, CLASSES = 3 };
static double x[COUNT][FEATURES], w[CLASSES * FEATURES], v[CLASSES];
static int64_t label[COUNT];

typedef struct leaves {
    tg_value x, label, w, v, loss;
} leaves;

/* Scalars, tensors, labels; sums of products, something that is not finite. */
static leaves record(tg_tape *t)
{
    leaves l = { .x = tg_input(t, x[0], FEATURES), .label = tg_index(t, label),
                 .w = tg_param(t, w, CLASSES, FEATURES), .v = tg_param(t, v, CLASSES) };
    tg_value z = tg_mul(tg_at(l.v, 0), tg_at(l.x, 0));
    for (int i = 1; i < CLASSES; i++) z = tg_add(z, tg_mul(tg_at(l.v, i), tg_at(l.x, i)));
    const tg_value scores = tg_log_softmax(tg_add(tg_matmul(l.w, l.x), l.v));
    l.loss = tg_add(tg_nll(scores, l.label), tg_where(tg_gt(z, 0), tg_log(z), z));
    return l;
}

static bool run(const tg_program *p, int outputs, tg_status *s)
{
    static double total, dw[CLASSES * FEATURES], dv[CLASSES];
    tg_workspace *const room = p ? tg_workspace_new(p, 1, s) : NULL;
    const void *const in[] = { x, label, w, v, w, v };
    void *const out[] = { &total, dw, dv };
    const bool ok = room && outputs == tg_program_outputs(p) && tg_run(p, room, COUNT, in, out, s) &&
                    tg_run(p, room, 1, in, out, s);
    tg_workspace_free(room);
    return ok;
}

/* Whether a whole life worked; if not, that it was for want of memory. */
static bool live(const leaves *l)
{
    tg_status s = { 0 };
    tg_program *const p = tg_compile(TG_VALUES(l->loss), TG_VALUES(l->x, l->label), TG_VALUES(l->w, l->v), NULL, &s);
    tg_program *const g = p ? tg_gradient_program(p, NULL, &s) : NULL;
    tg_program *const h = g ? tg_hvp_program(p, NULL, &s) : NULL;
    const bool ok = run(g, 3, &s) && h && run(h, 3, &s);
    tg_program_free(h);
    tg_program_free(g);
    tg_program_free(p);
    if (!ok && s.code != TG_ERROR_MEMORY) {
        printf("allocation fails: %d, \"%s\"\n", (int)s.code, s.message);
        exit(EXIT_FAILURE);
    }
    return ok;
}

/* The same of programs as operations: a call, a loop, a stretch that is not kept, to second order and along
   directions. */
static bool halve(tg_tape *t, const tg_value *in, tg_value *out, void *user)
{
    (void)t, (void)user;
    out[0] = tg_tanh(tg_mul(in[0], 0.5));
    return true;
}

static bool live_operations(const leaves *l)
{
    tg_status s = { 0 };
    tg_tape *const t = tg_tape_new(NULL);
    if (!t) return false;
    tg_value by = tg_param(t, v, CLASSES), in = tg_param(t, w, CLASSES), out[3], end, loss = { 0 }, g;
    tg_value step = tg_tanh(tg_add(tg_mul(in, by), tg_number(t, 0.1)));
    tg_program *const p = tg_compile(&step, 1, NULL, 0, TG_VALUES(in, by), NULL, &s);
    double seen[CLASSES], one[CLASSES] = { 1, 1, 1 };
    bool ok = p && tg_call(p, TG_VALUES(in, by), &out[0]) &&
              tg_scan(p, &(tg_scan_options){ .steps = 9, .states = 1 }, TG_VALUES(out[0], by), &out[1]) &&
              tg_recompute(halve, NULL, &out[1], 1, &end, 1);
    if (ok) loss = tg_sum(tg_square(end));
    ok = ok && tg_backward(loss) && tg_grad_values(&loss, NULL, 1, &by, 1, &g) &&
         tg_hvp(loss, &by, 1, one, 1, seen);
    tg_program *const whole = ok ? tg_compile(&loss, 1, NULL, 0, TG_VALUES(in, by), NULL, &s) : NULL;
    tg_program *const made = whole ? tg_gradient_program(whole, NULL, &s) : NULL;
    tg_program *const along = made ? tg_jvp_program(made, NULL, 0, &s) : NULL;
    tg_workspace *const room = along ? tg_workspace_new(along, 1, &s) : NULL;
    double total[2], d[4][CLASSES];
    ok = room && tg_run(along, room, 1, (const void *[]){ w, v, one, one },
                        (void *[]){ &total[0], d[0], d[1], &total[1], d[2], d[3] }, &s);
    const tg_error *const e = tg_error_of(t);
    /* A rule of derivatives says only why it failed. */
    if (!ok && !strstr(s.message, "no memory") && !(e && strstr(e->message, "no memory"))) {
        printf("allocation fails: %d, \"%s\", \"%s\"\n", (int)s.code, s.message, e ? e->message : "");
        exit(EXIT_FAILURE);
    }
    (void)l;
    tg_workspace_free(room);
    tg_tape_free(t);
    tg_program_free(along);
    tg_program_free(made);
    tg_program_free(whole);
    tg_program_free(p);
    return ok;
}

/* Lives again and again; how often an allocation failed, -1 if it went wrong. */
static long fail_each(const char *what, bool lives(const leaves *l), const leaves *l)
{
    if (!lives(l)) return printf("%s: nothing works\n", what), -1;
    long n = 0;
    for (bool again = true; again; n++) {
        reached = false;
        left = n;
        const bool ok = lives(l);
        left = -1;
        again = reached;
        if (!ok && !reached) return printf("%s: allocation %ld: failed\n", what, n), -1; /* some have a second way */
    }
    if (!lives(l)) return printf("%s: afterwards nothing works\n", what), -1;
    printf("%s: %ld allocations failed, one at a time\n", what, n - 1);
    return n - 1;
}

int main(void)
{
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < FEATURES; j++) x[i][j] = (double)((i * 31 + j * 17) % 41) / 20 - 1;
        label[i] = i % CLASSES;
    }
    for (int i = 0; i < CLASSES * FEATURES; i++) w[i] = (double)(i % 5) / 4 - 0.5;
    for (int i = 0; i < CLASSES; i++) v[i] = 1 - 0.5 * i;
    tg_tape *const t = tg_tape_new(NULL);
    const leaves l = record(t);
    if (tg_error_of(t)) return EXIT_FAILURE;
    tg_set_error_handler(tg_ignore_error, NULL);
    const long programs = fail_each("programs", live, &l);
    const long operations = fail_each("operations", live_operations, &l);
    tg_tape_free(t);
    if (programs < 0 || operations < 0) return EXIT_FAILURE;
    return programs < 50 || operations < 50 ? 77 : 0; /* link-time optimisation has kept the linker from it: skipped */
}
