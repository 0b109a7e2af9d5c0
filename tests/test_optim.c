/* Optimisers against the published update rules, written out here once more, and against closed
   forms; schedules; clipping; L-BFGS. */
#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include <tapegrad.h>
#include <tapegrad/optim.h>

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(optim, .init = quiet);

#define NEAR(GOT, WANT)                                                                            \
    do {                                                                                           \
        const double got_ = (GOT), want_ = (WANT);                                                 \
        cr_expect(fabs(got_ - want_) <= 1e-12 * fmax(1, fabs(want_)), "%s is %.17g, not %.17g",    \
                  #GOT, got_, want_);                                                              \
    } while (0)

static void fails(const tg_optimizer *o, tg_code code, const char *text)
{
    const tg_status *const s = tg_optimizer_status(o);
    cr_expect(s->code == code && strstr(s->message, text), "\"%s\" is not \"...%s...\"", s->message,
              text);
}

/* ---- rules, step by step --------------------------------------------------------------------- */

enum { N = 3, STEPS = 50 };

/* A loss whose gradient depends on where it is: sum sin(w_i) w_i + w_0 w_1. */
static tg_value loss_of(tg_value w)
{
    return tg_add(tg_sum(tg_mul(tg_sin(w), w)), tg_mul(tg_at(w, 0), tg_at(w, 1)));
}

static void gradient_of(const double *w, double *g)
{
    for (int i = 0; i < N; i++) g[i] = sin(w[i]) + w[i] * cos(w[i]);
    g[0] += w[1];
    g[1] += w[0];
}

/* A rule in textbook form: t counts from 1, a and b are its memory, zero at first. */
typedef double rule(int t, double w, double g, double *a, double *b);

static void follows(tg_tape *t, tg_value w, tg_optimizer *o, rule *textbook, double bound)
{
    double x[N], g[N], a[N] = { 0 }, b[N] = { 0 }, got[N];
    tg_read(w, x, N);
    const tg_mark mark = tg_tape_mark(t);
    for (int step = 1; step <= STEPS; step++) {
        gradient_of(x, g);
        for (int i = 0; i < N; i++) x[i] = textbook(step, x[i], g[i], &a[i], &b[i]);
        cr_assert(tg_backward(loss_of(w)) && tg_step(o), "%s", tg_optimizer_status(o)->message);
        tg_release(mark);
        tg_read(w, got, N);
        for (int i = 0; i < N; i++)
            cr_assert(fabs(got[i] - x[i]) <= bound * fmax(1, fabs(x[i])),
                      "step %d: %.17g, not %.17g", step, got[i], x[i]);
        memcpy(x, got, sizeof x); /* the roundings of one step are compared, not of fifty */
    }
    cr_expect(tg_steps(o) == STEPS);
}

static const double start[N] = { 0.8, -0.4, 1.7 };

static tg_optimizer *plain(const tg_value *w)
{
    return tg_sgd_new(w, 1, &(tg_sgd_options){ .lr = 0.02 });
}
static double plain_rule(int t, double w, double g, double *a, double *b)
{
    (void)t, (void)a, (void)b;
    return w - 0.02 * g;
}

static tg_optimizer *decayed(const tg_value *w)
{
    return tg_sgd_new(w, 1, &(tg_sgd_options){ .lr = 0.02, .weight_decay = 0.3 });
}
static double decayed_rule(int t, double w, double g, double *a, double *b)
{
    (void)t, (void)a, (void)b;
    return w - 0.02 * (g + 0.3 * w);
}

static tg_optimizer *damped(const tg_value *w)
{
    return tg_sgd_new(w, 1, &(tg_sgd_options){ .lr = 0.02, .momentum = 0.9, .dampening = 0.1 });
}
static double damped_rule(int t, double w, double g, double *a, double *b)
{
    (void)b;
    *a = t == 1 ? g : 0.9 * *a + 0.9 * g;
    return w - 0.02 * *a;
}

static tg_optimizer *nesterov(const tg_value *w)
{
    return tg_sgd_new(
        w, 1,
        &(tg_sgd_options){ .lr = 0.01, .momentum = 0.8, .nesterov = true, .weight_decay = 0.1 });
}
static double nesterov_rule(int t, double w, double g, double *a, double *b)
{
    (void)t, (void)b;
    const double d = g + 0.1 * w;
    *a = 0.8 * *a + d;
    return w - 0.01 * (d + 0.8 * *a);
}

static tg_optimizer *rmsprop(const tg_value *w)
{
    return tg_rmsprop_new(w, 1, &(tg_rmsprop_options){ .alpha = 0.9 });
}
static double rmsprop_rule(int t, double w, double g, double *a, double *b)
{
    (void)t, (void)b;
    *a = 0.9 * *a + 0.1 * g * g;
    return w - 0.01 * g / (sqrt(*a) + 1e-8);
}

static tg_optimizer *heavy_rmsprop(const tg_value *w)
{
    return tg_rmsprop_new(w, 1, &(tg_rmsprop_options){ .momentum = 0.5, .weight_decay = 0.2 });
}
static double heavy_rmsprop_rule(int t, double w, double g, double *a, double *b)
{
    (void)t;
    const double d = g + 0.2 * w;
    *a = 0.99 * *a + 0.01 * d * d;
    *b = 0.5 * *b + d / (sqrt(*a) + 1e-8);
    return w - 0.01 * *b;
}

static double adam_step(int t, double lr, double g, double beta1, double beta2, double epsilon,
                        double *m, double *v)
{
    *m = beta1 * *m + (1 - beta1) * g;
    *v = beta2 * *v + (1 - beta2) * g * g;
    return lr * *m / (1 - pow(beta1, t)) / (sqrt(*v / (1 - pow(beta2, t))) + epsilon);
}

static tg_optimizer *adam(const tg_value *w)
{
    return tg_adam_new(w, 1, NULL);
}
static double adam_rule(int t, double w, double g, double *a, double *b)
{
    return w - adam_step(t, 0.001, g, 0.9, 0.999, 1e-8, a, b);
}

static tg_optimizer *decayed_adam(const tg_value *w)
{
    return tg_adam_new(w, 1, &(tg_adam_options){ .lr = 0.01, .weight_decay = 0.1 });
}
static double decayed_adam_rule(int t, double w, double g, double *a, double *b)
{
    return w - adam_step(t, 0.01, g + 0.1 * w, 0.9, 0.999, 1e-8, a, b);
}

static tg_optimizer *adamw(const tg_value *w)
{
    return tg_adamw_new(
        w, 1, &(tg_adam_options){ .lr = 0.01, .beta1 = 0.8, .beta2 = 0.99, .epsilon = 1e-6 });
}
static double adamw_rule(int t, double w, double g, double *a, double *b)
{
    return w * (1 - 0.01 * 0.01) - adam_step(t, 0.01, g, 0.8, 0.99, 1e-6, a, b);
}

Test(optim, every_rule_follows_its_textbook_step_by_step)
{
    static const struct {
        tg_optimizer *(*make)(const tg_value *w);
        rule *textbook;
    } rules[] = {
        { plain, plain_rule },     { decayed, decayed_rule },
        { damped, damped_rule },   { nesterov, nesterov_rule },
        { rmsprop, rmsprop_rule }, { heavy_rmsprop, heavy_rmsprop_rule },
        { adam, adam_rule },       { decayed_adam, decayed_adam_rule },
        { adamw, adamw_rule },
    };
    const float start32[N] = { (float)start[0], (float)start[1], (float)start[2] };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        for (int f32 = 0; f32 < 2; f32++) {
            tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = f32 ? TG_F32 : TG_F64 });
            const tg_value w = f32 ? tg_param(t, start32, N) : tg_param(t, start, N);
            tg_optimizer *const o = rules[i].make(&w);
            follows(t, w, o, rules[i].textbook, f32 ? 2e-4 : 1e-12);
            tg_optimizer_free(o);
            tg_tape_free(t);
        }
}

/* ---- closed forms ---------------------------------------------------------------------------- */

/* f = c w^2 / 2 from w0 at rate a: w_t = (1 - a c)^t w0. */
Test(optim, gradient_descent_on_a_parabola_has_a_closed_form)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value w = tg_scalar(t, 5);
    tg_optimizer *const o = tg_sgd_new(&w, 1, &(tg_sgd_options){ .lr = 0.1 });
    const tg_mark mark = tg_tape_mark(t);
    for (int i = 0; i < 40; i++) {
        cr_assert(tg_backward(tg_mul(1.5, tg_square(w))) && tg_step(o));
        tg_release(mark);
    }
    NEAR(tg_item(w), 5 * pow(1 - 0.1 * 3, 40));
    tg_optimizer_free(o);
    tg_tape_free(t);
}

/* Adam's first step is -lr sign(g), but for epsilon. */
Test(optim, the_first_step_of_adam_is_the_rate)
{
    tg_tape *const t = tg_tape_new(NULL);
    const double w0[] = { 1, 2 }, c0[] = { 1e-3, -1e3 };
    const tg_value w = tg_param(t, w0, 2);
    tg_optimizer *const o = tg_adam_new(&w, 1, &(tg_adam_options){ .lr = 0.5, .epsilon = 1e-300 });
    cr_assert(tg_backward(tg_sum(tg_mul(w, tg_constant(t, c0, 2)))) && tg_step(o));
    NEAR(tg_data(w)[0], 0.5);
    NEAR(tg_data(w)[1], 2.5);
    tg_optimizer_free(o);
    tg_tape_free(t);
}

/* ---- groups, frozen parameters, clipping ------------------------------------------------------- */

Test(optim, groups_have_rates_and_decays_of_their_own)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value a = tg_scalar(t, 1), b = tg_scalar(t, 1), c = tg_scalar(t, 1);
    tg_optimizer *const o = tg_sgd_new(&a, 1, &(tg_sgd_options){ .lr = 0.1, .weight_decay = 1 });
    cr_assert(tg_optimizer_add(o, &b, 1, &(tg_group){ .lr_scale = 10 }));
    cr_assert(tg_optimizer_add(o, &c, 1, &(tg_group){ .own_weight_decay = true }));
    cr_assert(tg_backward(tg_add(a, tg_add(b, c))) && tg_step(o));
    NEAR(tg_item(a), 1 - 0.1 * 2);
    NEAR(tg_item(b), 1 - 1 * 2.0);
    NEAR(tg_item(c), 1 - 0.1 * 1);
    tg_optimizer_free(o);
    tg_tape_free(t);
}

Test(optim, frozen_parameters_stay)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value w[] = { tg_scalar(t, 1), tg_scalar(t, 2) };
    tg_want_gradient(w[0], false);
    tg_optimizer *const o = tg_sgd_new(w, 2, NULL);
    cr_assert(tg_backward(tg_mul(w[0], w[1])) && tg_step(o));
    cr_expect(tg_item(w[0]) == 1);
    NEAR(tg_item(w[1]), 2 - 0.01);
    tg_optimizer_free(o);
    tg_tape_free(t);
}

Test(optim, gradients_are_clipped_by_value_and_by_length)
{
    tg_tape *const t = tg_tape_new(NULL);
    const double c0[] = { 30, -0.5 }, zero[] = { 0, 0 };
    const tg_value w = tg_param(t, zero, 2), v = tg_scalar(t, 0), both[] = { w, v };
    tg_optimizer *const o = tg_sgd_new(both, 2, &(tg_sgd_options){ .lr = 1 });
    const tg_mark mark = tg_tape_mark(t);
    for (int round = 0; round < 3; round++) {
        tg_set(w, zero, 2);
        tg_set(v, zero, 1);
        cr_assert(tg_clip(o, round == 1 ? 0 : 2, round == 0 ? 0 : 1));
        const tg_value loss = tg_add(tg_sum(tg_mul(w, tg_constant(t, c0, 2))), tg_mul(40, v));
        cr_assert(tg_backward(loss));
        NEAR(tg_gradient_norm(both, 2), sqrt(30 * 30 + 0.25 + 40 * 40));
        cr_assert(tg_step(o));
        const double norm = round == 0 ? 1 : round == 1 ? sqrt(2500.25) : sqrt(4 + 0.25 + 4);
        NEAR(tg_data(w)[0], -(round == 1 ? 30 : 2) / norm);
        NEAR(tg_data(w)[1], 0.5 / norm);
        NEAR(tg_item(v), -(round == 1 ? 40 : 2) / norm);
        tg_release(mark);
    }
    tg_optimizer_free(o);
    tg_tape_free(t);
}

Test(optim, the_length_of_huge_gradients_does_not_overflow)
{
    tg_tape *const t = tg_tape_new(NULL);
    const double c0[] = { 3e200, 4e200 };
    const tg_value w = tg_param(t, c0, 2);
    cr_assert(tg_backward(tg_sum(tg_mul(w, tg_constant(t, c0, 2)))));
    cr_expect(fabs(tg_gradient_norm(&w, 1) / 5e200 - 1) < 1e-15);
    tg_tape_free(t);
}

/* ---- state ----------------------------------------------------------------------------------- */

/* Steps, copies the state to a second optimiser of a second tape, and goes on with both. */
static void resumes(tg_optimizer *(*make)(const tg_value *w))
{
    tg_tape *const t = tg_tape_new(NULL), *const u = tg_tape_new(NULL);
    double x[N];
    const tg_value w = tg_param(t, start, N);
    tg_optimizer *const o = make(&w);
    for (int i = 0; i < 5; i++) cr_assert(tg_backward(loss_of(w)) && tg_step(o));
    tg_read(w, x, N);
    const tg_value v = tg_param(u, x, N);
    tg_optimizer *const p = make(&v);
    int states = 0;
    for (;; states++) {
        const char *name;
        size_t n, m;
        const double *const from = tg_optimizer_state(o, states, &name, &n);
        double *const to = tg_optimizer_state(p, states, &name, &m);
        if (!from) break;
        cr_assert(to && n == m && name);
        memcpy(to, from, n * sizeof *to);
    }
    cr_expect(states == 3 && tg_steps(p) == 5);
    for (int i = 0; i < 5; i++) {
        cr_assert(tg_backward(loss_of(w)) && tg_step(o));
        cr_assert(tg_backward(loss_of(v)) && tg_step(p));
        cr_expect(memcmp(tg_data(w), tg_data(v), sizeof x) == 0);
    }
    tg_optimizer_free(o);
    tg_optimizer_free(p);
    tg_tape_free(t);
    tg_tape_free(u);
}

Test(optim, the_state_can_be_saved_and_put_back)
{
    resumes(adam);
    resumes(heavy_rmsprop);
}

Test(optim, rules_have_names)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value w = tg_param(t, start, N);
    const struct {
        tg_optimizer *o;
        const char *rule;
    } rows[] = {
        { tg_sgd_new(&w, 1, NULL), "sgd" },     { tg_rmsprop_new(&w, 1, NULL), "rmsprop" },
        { tg_adam_new(&w, 1, NULL), "adam" },   { tg_adamw_new(&w, 1, NULL), "adamw" },
        { tg_lbfgs_new(&w, 1, NULL), "lbfgs" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cr_expect_str_eq(tg_optimizer_rule(rows[i].o), rows[i].rule);
        tg_optimizer_free(rows[i].o);
    }
    tg_tape_free(t);
}

/* ---- schedules ------------------------------------------------------------------------------- */

Test(optim, schedules)
{
    NEAR(tg_lr_step(1, 0.5, 10, 0), 1);
    NEAR(tg_lr_step(1, 0.5, 10, 9), 1);
    NEAR(tg_lr_step(1, 0.5, 10, 30), 0.125);
    NEAR(tg_lr_cosine(1, 0.1, 100, 0), 1);
    NEAR(tg_lr_cosine(1, 0.1, 100, 50), 0.55);
    NEAR(tg_lr_cosine(1, 0.1, 100, 100), 0.1);
    NEAR(tg_lr_cosine(1, 0.1, 100, 1000), 0.1);
    NEAR(tg_lr_warmup(2, 4, 0), 0.5);
    NEAR(tg_lr_warmup(2, 4, 3), 2);
    NEAR(tg_lr_warmup(2, 4, 40), 2);
    NEAR(tg_lr_warmup(2, 0, 0), 2);
    tg_plateau p = { .factor = 0.5, .patience = 2, .lowest = 0.2 };
    const double losses[] = { 3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1 };
    const double want[] = { 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25 };
    double lr = 1;
    for (int i = 0; i < 11; i++) {
        lr = tg_lr_plateau(&p, lr, losses[i]);
        NEAR(lr, want[i]);
    }
    for (int i = 0; i < 3; i++) lr = tg_lr_plateau(&p, lr, 5);
    NEAR(lr, 0.2);
}

/* ---- L-BFGS ---------------------------------------------------------------------------------- */

typedef struct rosenbrock {
    tg_tape *t;
    tg_value x; /* (n) */
    int calls;
} rosenbrock;

/* sum (1 - x_i)^2 + 100 (x_{i+1} - x_i^2)^2 */
static double rosenbrock_loss(void *user)
{
    rosenbrock *const r = user;
    const tg_mark mark = tg_tape_mark(r->t);
    const tg_value head = tg_slice(r->x, .stop = -1), tail = tg_slice(r->x, .start = 1);
    const tg_value loss = tg_sum(
        tg_add(tg_square(tg_sub(1, head)), tg_mul(100, tg_square(tg_sub(tail, tg_square(head))))));
    const double value = tg_backward(loss) ? tg_item(loss) : (double)NAN;
    r->calls++;
    tg_release(mark);
    return value;
}

static void minimises(int n, tg_type type, double tolerance, double close)
{
    double x0[16];
    for (int i = 0; i < n; i++) x0[i] = i % 2 ? 1 : -1.2;
    rosenbrock r = { .t = tg_tape_new(&(tg_tape_options){ .type = type }) };
    r.x = tg_param(r.t, x0, n);
    tg_optimizer *const o = tg_lbfgs_new(&r.x, 1, &(tg_lbfgs_options){ .tolerance = tolerance });
    double loss = INFINITY, before;
    tg_progress p;
    int iterations = 0;
    do {
        before = loss;
        p = tg_lbfgs_step(o, rosenbrock_loss, &r, &loss);
        if (p == TG_MOVED) cr_expect(loss < before);
    } while (p == TG_MOVED && ++iterations < 200);
    cr_expect(p == TG_CONVERGED || p == TG_STUCK, "%s", tg_optimizer_status(o)->message);
    cr_expect(iterations < 100 && r.calls < 130, "%d iterations, %d evaluations", iterations,
              r.calls);
    tg_read(r.x, x0, (size_t)n);
    for (int i = 0; i < n; i++) cr_expect(fabs(x0[i] - 1) < close, "x[%d] is %.17g", i, x0[i]);
    tg_optimizer_free(o);
    tg_tape_free(r.t);
}

Test(optim, lbfgs_finds_the_minimum_of_rosenbrocks_function)
{
    minimises(2, TG_F64, 1e-10, 1e-9);
    minimises(10, TG_F64, 1e-10, 1e-9);
    minimises(2, TG_F32, 1e-2, 0.05);
}

typedef struct parabola {
    tg_tape *t;
    tg_value x, a;
} parabola;

static double parabola_loss(void *user)
{
    parabola *const p = user;
    const tg_mark mark = tg_tape_mark(p->t);
    const tg_value loss = tg_sum(tg_mul(p->a, tg_square(tg_sub(p->x, 3))));
    const double value = tg_backward(loss) ? tg_item(loss) : (double)NAN;
    tg_release(mark);
    return value;
}

Test(optim, lbfgs_on_a_parabola_of_a_million_to_one)
{
    const double a0[] = { 1, 1e3, 1e-3 };
    parabola p = { .t = tg_tape_new(NULL) };
    p.x = tg_param(p.t, NULL, 3);
    p.a = tg_constant(p.t, a0, 3);
    tg_optimizer *const o = tg_lbfgs_new(&p.x, 1, NULL);
    int steps = 0;
    while (tg_lbfgs_step(o, parabola_loss, &p, NULL) == TG_MOVED && steps < 60) steps++;
    for (int i = 0; i < 3; i++) cr_expect(fabs(tg_data(p.x)[i] - 3) < 1e-6, "%g", tg_data(p.x)[i]);
    tg_optimizer_free(o);
    tg_tape_free(p.t);
}

static double no_backward(void *user)
{
    (void)user;
    return 1;
}

static double nan_loss(void *user)
{
    rosenbrock_loss(user);
    return NAN;
}

Test(optim, lbfgs_names_what_is_wrong)
{
    rosenbrock r = { .t = tg_tape_new(NULL) };
    const double x0[] = { -1.2, 1 };
    r.x = tg_param(r.t, x0, 2);
    tg_optimizer *o = tg_lbfgs_new(&r.x, 1, NULL);
    cr_expect(tg_lbfgs_step(o, no_backward, &r, NULL) == TG_STOPPED);
    fails(o, TG_ERROR_HISTORY, "has to call tg_backward");
    tg_optimizer_free(o);
    o = tg_lbfgs_new(&r.x, 1, NULL);
    cr_expect(tg_lbfgs_step(o, nan_loss, &r, NULL) == TG_STOPPED);
    fails(o, TG_ERROR_ARGUMENT, "not finite at the start");
    cr_expect(!tg_step(o));
    tg_optimizer_free(o);
    o = tg_lbfgs_new(&r.x, 1, NULL);
    cr_expect(!tg_step(o));
    fails(o, TG_ERROR_ARGUMENT, "tg_lbfgs_step");
    tg_optimizer_free(o);
    o = tg_lbfgs_new(&r.x, 1, &(tg_lbfgs_options){ .history = -1 });
    fails(o, TG_ERROR_ARGUMENT, "positive");
    cr_expect(tg_lbfgs_step(o, rosenbrock_loss, &r, NULL) == TG_STOPPED);
    tg_optimizer_free(o);
    o = tg_sgd_new(&r.x, 1, NULL);
    cr_expect(tg_lbfgs_step(o, rosenbrock_loss, &r, NULL) == TG_STOPPED);
    fails(o, TG_ERROR_ARGUMENT, "not L-BFGS");
    tg_optimizer_free(o);
    tg_tape_free(r.t);
}

/* ---- mistakes -------------------------------------------------------------------------------- */

Test(optim, mistakes_are_named_and_change_nothing)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value w[] = { tg_scalar(t, 1), tg_scalar(t, 2) };
    const int labels[] = { 1 };
    const tg_value index = tg_index(t, labels, 1);
    struct {
        tg_optimizer *o;
        const char *text;
    } const trials[] = {
        { tg_sgd_new(w, 0, NULL), "no parameters" },
        { tg_sgd_new(NULL, 2, NULL), "NULL" },
        { tg_sgd_new(&index, 1, NULL), "parameter 0 is no live floating value" },
        { tg_sgd_new(w, 1, &(tg_sgd_options){ .lr = -1 }), "lr is -1" },
        { tg_sgd_new(w, 1, &(tg_sgd_options){ .momentum = 2 }), "momentum is 2" },
        { tg_sgd_new(w, 1, &(tg_sgd_options){ .nesterov = true }), "nesterov needs momentum" },
        { tg_adam_new(w, 1, &(tg_adam_options){ .beta1 = NAN }), "beta1 is nan" },
        { tg_rmsprop_new(w, 1, &(tg_rmsprop_options){ .alpha = 1.5 }), "alpha is 1.5" },
    };
    for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
        fails(trials[i].o, tg_optimizer_status(trials[i].o)->code, trials[i].text);
        cr_expect(tg_optimizer_status(trials[i].o)->code != TG_OK && !tg_step(trials[i].o));
        tg_optimizer_free(trials[i].o);
    }
    tg_optimizer *o = tg_sgd_new(w, 2, NULL);
    cr_expect(!tg_step(o));
    fails(o, TG_ERROR_HISTORY, "tg_backward comes first");
    tg_optimizer_free(o);
    o = tg_sgd_new(w, 2, NULL);
    tg_name(w[1], "rate");
    cr_assert(tg_backward(tg_add(w[0], tg_log(tg_sub(w[1], 2)))));
    cr_expect(!tg_step(o));
    fails(o, TG_ERROR_ARGUMENT, "the gradient of parameter 1, rate is inf at element 0");
    cr_expect(tg_item(w[0]) == 1 && tg_item(w[1]) == 2);
    tg_optimizer_free(o);
    tg_optimizer_free(NULL);
    tg_tape_free(t);
}

Test(optim, a_training_step_allocates_nothing)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value w = tg_param(t, start, N);
    tg_optimizer *const o = tg_adam_new(&w, 1, NULL);
    const tg_mark mark = tg_tape_mark(t);
    size_t allocations = 0;
    for (int i = 0; i < 20; i++) {
        cr_assert(tg_backward(loss_of(w)) && tg_step(o));
        tg_release(mark);
        if (i == 2) allocations = tg_stats(t).allocations;
    }
    cr_expect(tg_stats(t).allocations == allocations);
    tg_optimizer_free(o);
    tg_tape_free(t);
}
