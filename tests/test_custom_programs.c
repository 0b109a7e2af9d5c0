/* Users' operations in programs, derived in every way: as what they compute is if operations of the
   library do it. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include <tapegrad.h>
#include <tapegrad/program.h>

#include "cubes.h"
#include "draw.h"

enum { N = 3, COUNT = 5, IN = 12, OUT = 8, ROOM = 400 };

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(custom_programs, .init = quiet);

static tg_value cube_of(tg_value a, tg_value b)
{
    return tg_mul(tg_mul(tg_square(a), a), b);
}

/* A loss of a, of which there are many, and of b; op NULL: by the library alone. */
static tg_program *loss_of(const tg_custom *op)
{
    const double one[N] = { 0.5, 0.6, 0.7 };
    tg_tape *const t = tg_tape_new(NULL);
    tg_value x[] = { tg_param(t, one, N), tg_param(t, one, N) };
    const tg_value inner = tg_sin(tg_mul(x[0], x[1]));
    const tg_value cube = op ? tg_custom_apply(op, inner, x[1]) : cube_of(inner, x[1]);
    const tg_value y = tg_sum(tg_mul(tg_exp(cube), x[0]));
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&y, 1, x, 1, x + 1, 1, NULL, &status);
    cr_assert(p, "%s", status.message);
    tg_tape_free(t);
    return p;
}

/* ---- programs made of it ------------------------------------------------------------------------- */

typedef tg_program *way(const tg_program *p, tg_status *status);

static const int both[] = { 0, 1 };

static tg_program *gradient(const tg_program *p, tg_status *status)
{
    return tg_gradient_program(p, &(tg_gradient_options){ .wrt = both, .n_wrt = 2 }, status);
}

static tg_program *hvp(const tg_program *p, tg_status *status)
{
    return tg_hvp_program(p, &(tg_gradient_options){ .wrt = both, .n_wrt = 2 }, status);
}

static tg_program *jvp(const tg_program *p, tg_status *status)
{
    return tg_jvp_program(p, both, 2, status);
}

static tg_program *vjp(const tg_program *p, tg_status *status)
{
    return tg_vjp_program(p, both, 2, status);
}

static tg_program *jacobian(const tg_program *p, tg_status *status)
{
    return tg_jacobian_program(p, both, 2, status);
}

static const struct {
    const char *name;
    way *first, *second;
} ways[] = { { "gradient", gradient, NULL },
             { "hvp", hvp, NULL },
             { "jvp", jvp, NULL },
             { "vjp", vjp, NULL },
             { "jacobian", jacobian, NULL },
             { "jvp of jvp", jvp, jvp },
             { "vjp of vjp", vjp, vjp },
             { "jvp of vjp", vjp, jvp },
             { "gradient of jvp", jvp, gradient },
             { "jvp of gradient", gradient, jvp } };
enum { WAYS = sizeof ways / sizeof *ways };

/* The program by way i; NULL with the reason. */
static tg_program *made(const tg_custom *op, size_t i, tg_status *status)
{
    tg_program *const p = loss_of(op), *const first = ways[i].first(p, status);
    tg_program *const all = first && ways[i].second ? ways[i].second(first, status) : NULL;
    tg_program_free(p);
    if (first && !ways[i].second) return first;
    tg_program_free(first);
    return all;
}

static void run(const tg_program *p, double out[OUT][ROOM])
{
    static double x[IN][ROOM];
    const void *in[IN];
    void *to[OUT];
    tg_status status = { 0 };
    cr_assert(tg_program_inputs(p) <= IN && tg_program_outputs(p) <= OUT);
    memset(out, 0, OUT * sizeof *out);
    state = 7;
    for (int i = 0; i < IN; i++) {
        for (int j = 0; j < ROOM; j++) x[i][j] = draw_real();
        in[i] = x[i];
    }
    for (int i = 0; i < OUT; i++) to[i] = out[i];
    tg_workspace *const w = tg_workspace_new(p, 1, &status);
    cr_assert(w && tg_run(p, w, COUNT, in, to, &status), "%s", status.message);
    tg_workspace_free(w);
}

static void compare(const tg_custom *op, size_t i)
{
    static double out[OUT][ROOM], expected[OUT][ROOM];
    tg_status status = { 0 };
    tg_program *const p = made(op, i, &status);
    cr_assert(p, "%s: %s", ways[i].name, status.message);
    tg_program *const q = made(NULL, i, &status);
    cr_assert(q, "%s", status.message);
    run(p, out);
    run(q, expected);
    double largest = 0;
    for (int k = 0; k < OUT; k++)
        for (int j = 0; j < ROOM; j++) {
            largest = fmax(largest, fabs(expected[k][j]));
            cr_expect(fabs(out[k][j] - expected[k][j]) <= 1e-12 * (1 + fabs(expected[k][j])),
                      "%s: output %d, %d: %.17g, not %.17g", ways[i].name, k, j, out[k][j],
                      expected[k][j]);
        }
    cr_expect(largest > 0.1, "%s", ways[i].name);
    tg_program_free(p);
    tg_program_free(q);
}

Test(custom_programs, have_derivatives_of_every_order)
{
    for (size_t i = 0; i < WAYS; i++) compare(&cubes, i);
}

Test(custom_programs, without_a_derivative_go_back_once_and_along_directions_by_their_tangent)
{
    tg_custom op = cubes;
    op.derivative = NULL;
    op.tangent = NULL;
    tg_status status = { 0 };
    compare(&op, 0);
    compare(&op, 3);
    for (size_t i = 1; i < WAYS; i++) {
        if (ways[i].first == vjp && !ways[i].second) continue;
        if (ways[i].first == jacobian || ways[i].first == jvp) continue;
        cr_expect_null(made(&op, i, &status), "%s", ways[i].name);
        cr_expect(strstr(status.message, "cubes") && strstr(status.message, "no .derivative"),
                  "%s: %s", ways[i].name, status.message);
    }
    op.tangent = cubes_tangent;
    compare(&op, 2);
}

static bool fails(const tg_custom_derivation *d)
{
    (void)d;
    return false;
}

static bool mistaken(const tg_custom_derivation *d)
{
    d->dx[0] = tg_reshape(d->x[0], 7);
    return true;
}

static bool reading(const tg_custom_derivation *d)
{
    d->dx[0] = d->dx[1] = tg_mul(d->g, tg_data(d->x[0])[0] > 0 ? 1 : 2);
    return true;
}

Test(custom_programs, derivatives_that_fail_are_errors)
{
    const struct {
        bool (*derivative)(const tg_custom_derivation *d);
        const char *why;
    } wrong[] = { { fails, "cubes: its derivative failed" },
                  { mistaken, "does not fit into (7)" },
                  { reading, "was read" } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        tg_custom op = cubes;
        op.derivative = wrong[i].derivative;
        tg_status status = { 0 };
        cr_expect_null(made(&op, 1, &status));
        cr_expect(strstr(status.message, wrong[i].why), "%s", status.message);
    }
}

/* ---- runs that fail ------------------------------------------------------------------------------ */

static bool below_zero_fails(const tg_custom_call *c)
{
    put(&c->y, 0, at(&c->x[0], 0));
    return at(&c->x[0], 0) >= 0 || tg_custom_fail(c, "%g is below 0", at(&c->x[0], 0));
}

static const tg_custom root = { .name = "root", .operands = 1, .forward = below_zero_fails };

Test(custom_programs, the_first_instance_that_fails_is_named_whatever_the_threads)
{
    enum { MANY = 5000 };
    static double x[MANY], y[MANY];
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value in = tg_scalar(t, 1), made = tg_custom_apply(&root, in);
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&made, 1, &in, 1, NULL, 0, NULL, &status);
    cr_assert(p, "%s", status.message);
    for (int threads = 1; threads < 9; threads++) {
        tg_workspace *const room = tg_workspace_new(p, threads, &status);
        for (int again = 0; again < 10; again++) {
            const bool late = again % 2; /* the first to fail, or the last */
            for (int i = 0; i < MANY; i++) x[i] = late ? (i >= 2900 ? -i : i) : i % 256 == 255 || i == 7 ? -i : i;
            status = (tg_status){ 0 };
            cr_expect_not(tg_run(p, room, MANY, (const void *[]){ x }, (void *[]){ y }, &status));
            cr_expect(strstr(status.message, late ? "instance 2900: root: -2900 is below 0" : "instance 7: root: -7 is"),
                      "%d threads: %s", threads, status.message);
        }
        for (int i = 0; i < MANY; i++) x[i] = i;
        cr_expect(tg_run(p, room, MANY, (const void *[]){ x }, (void *[]){ y }, &status), "%s", status.message);
        cr_expect(memcmp(x, y, sizeof x) == 0);
        tg_workspace_free(room);
    }
    tg_program_free(p);
    tg_tape_free(t);
}

/* Of the instances behind one that fails some threads have done a part: what they saw does not count. */
Test(custom_programs, a_condition_behind_an_instance_that_fails_is_not_reported)
{
    enum { MANY = 5000, FAILS = 600, TURNS = 1000 };
    static double x[MANY], y[MANY];
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value in = tg_scalar(t, 1), made = tg_custom_apply(&root, in);
    const tg_value out = tg_true(tg_gt(in, TURNS)) ? tg_square(made) : tg_neg(made);
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&out, 1, &in, 1, NULL, 0, NULL, &status);
    cr_assert(p, "%s", status.message);
    for (int i = 0; i < MANY; i++) x[i] = i == FAILS ? -i : i;
    for (int threads = 1; threads < 9; threads++) {
        tg_workspace *const room = tg_workspace_new(p, threads, &status);
        for (int again = 0; again < 10; again++) {
            status = (tg_status){ 0 };
            cr_expect_not(tg_run(p, room, MANY, (const void *[]){ x }, (void *[]){ y }, &status));
            cr_expect(strstr(status.message, "instance 600: root: -600 is below 0"), "%d threads: %s", threads,
                      status.message);
        }
        tg_workspace_free(room);
    }
    tg_program_free(p);
    tg_tape_free(t);
}
