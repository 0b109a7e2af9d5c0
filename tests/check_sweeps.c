/* Several directions or cotangents in one sweep, generated from the op table: on a tape and in
   programs the same as one after the other, and <v, J u> = <J' v, u>. */
#include "sample.h"

#include <tapegrad/derivatives.h>
#include <tapegrad/program.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 20261122u
#include "counted.h"
enum { SWEEPS = 3, MANY = 37, INSTANCES = 2, MOST = 512 }; /* MANY: more than go at a time */

TestSuite(sweeps, .init = quiet, .fini = count);

/* A trial on a tape: y has m elements, what it is differentiated by n. */
typedef struct scene {
    const trial *t;
    data d;
    tg_tape *tape;
    int leaves, by; /* by: those that y has a gradient by */
    int wrt[TG__SAMPLES];
    tg_value leaf[TG__SAMPLES], wanted[TG__SAMPLES], y;
    size_t m, n;
} scene;

static bool set_up(scene *s, const trial *t, tg_type type)
{
    *s = (scene){ .t = t, .leaves = t->same ? 1 : t->x.n, .d = draw(t, SEED) };
    if (!strpbrk(tg__ops[t->op]->letters, "lnc")) return false;
    s->tape = tg_tape_new(&(const tg_tape_options){ .type = type });
    make_leaves(t, &s->d, s->tape, s->leaf);
    s->y = record_trial(t, s->leaf);
    if (tg_error_of(s->tape) || tg_type_of(s->y) == TG_I64) return false;
    s->m = (size_t)tg_size(s->y);
    for (int i = 0; i < s->leaves; i++) {
        if (is_index(t, i)) continue;
        s->wrt[s->by] = i;
        s->wanted[s->by++] = s->leaf[i];
        s->n += (size_t)tg_size(s->leaf[i]);
    }
    return s->by && s->m <= MOST && s->n <= MOST;
}

static void tear_down(scene *s)
{
    drop(&s->d);
    tg_tape_free(s->tape);
}

static double *numbers(size_t n, double phase)
{
    double *const p = calloc(n + 1, sizeof *p);
    for (size_t i = 0; i < n; i++) p[i] = sin(phase + 1.7 * (double)i);
    return p;
}

static void compare(const scene *s, const char *what, const double *got, const double *expected,
                    size_t n, double bound)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(expected[i])) largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < n; i++, checks++) {
        const bool agree = got[i] == expected[i] || (isnan(got[i]) && isnan(expected[i])) ||
                           fabs(got[i] - expected[i]) <= bound * largest;
        cr_expect(agree, "%s, %s: element %zu is %.17g, not %.17g", trial_text(s->t), what, i, got[i],
                  expected[i]);
        if (!agree) return;
    }
}

/* ---- on a tape ------------------------------------------------------------------------------- */

typedef bool sweep(tg_value y, const tg_value *wrt, int m, const double *in, size_t k, double *out);

/* All k at once, against one after the other; gives the former. */
static double *swept(const scene *s, const char *what, sweep *f, const double *in, size_t from,
                     size_t to, size_t k, double bound)
{
    double *const all = calloc(k * to + 1, sizeof *all), *const one = calloc(to + 1, sizeof *one);
    cr_expect(f(s->y, s->wanted, s->by, in, k, all), "%s: %s", trial_text(s->t), what);
    for (size_t i = 0; i < k; i++) {
        cr_expect(f(s->y, s->wanted, s->by, in + i * from, 1, one));
        compare(s, what, all + i * to, one, to, bound);
    }
    free(one);
    return all;
}

static void check_tape(const trial *t, tg_type type, size_t k)
{
    scene s;
    const bool custom = strstr(tg__ops[t->op]->name, "custom"); /* has no second derivative */
    if (set_up(&s, t, type)) {
        const bool wide = type == TG_F64;
        double *const v = numbers(k * s.m, 0.3), *const u = numbers(k * s.n, 0.9);
        double *const back = swept(&s, "cotangents", tg_vjp, v, s.m, s.n, k, wide ? 1e-14 : 1e-6);
        double *const along =
            custom ? NULL : swept(&s, "directions", tg_jvp, u, s.n, s.m, k, wide ? 1e-14 : 1e-6);
        for (size_t i = 0; along && i < k; i++) {
            double a = 0, b = 0, size = 0;
            for (size_t j = 0; j < s.m; j++) {
                a += v[i * s.m + j] * along[i * s.m + j];
                size += fabs(v[i * s.m + j] * along[i * s.m + j]);
            }
            for (size_t j = 0; j < s.n; j++) {
                b += back[i * s.n + j] * u[i * s.n + j];
                size += fabs(back[i * s.n + j] * u[i * s.n + j]);
            }
            const bool agree = fabs(a - b) <= (wide ? 1e-13 : 1e-5) * size || !isfinite(size);
            cr_expect(agree, "%s: <v, J u> is %.17g, <J' v, u> %.17g", trial_text(t), a, b);
            checks++;
        }
        free(v);
        free(u);
        free(back);
        free(along);
    }
    tear_down(&s);
}

static void on_a_tape(const trial *t)
{
    check_tape(t, TG_F64, SWEEPS);
}

static void on_a_tape_in_f32(const trial *t)
{
    check_tape(t, TG_F32, SWEEPS);
}

static void on_a_tape_many(const trial *t)
{
    check_tape(t, TG_F64, MANY);
}

/* ---- in programs ------------------------------------------------------------------------------- */

/* The leaf's elements for so many instances, all alike. */
static void *input_of(const scene *s, int leaf, int instances)
{
    const size_t n = (size_t)tg_size(s->leaf[leaf]);
    double *const p = calloc(n * (size_t)instances + 1, sizeof *p);
    for (size_t i = 0; i < n * (size_t)instances; i++) {
        const double x = s->d.element[leaf][i % n];
        if (is_index(s->t, leaf)) ((int64_t *)(void *)p)[i] = (int64_t)x;
        else p[i] = x;
    }
    return p;
}

/* Of k vectors for each instance, each of all values v behind each other, those of value `which`. */
static double *part_of(const double *all, const tg_value *v, int n, int which, size_t rows)
{
    size_t width = 0, at = 0;
    for (int i = 0; i < n; i++) {
        if (i < which) at += (size_t)tg_size(v[i]);
        width += (size_t)tg_size(v[i]);
    }
    const size_t own = (size_t)tg_size(v[which]);
    double *const p = calloc(rows * own + 1, sizeof *p);
    for (size_t i = 0; i < rows; i++) memcpy(p + i * own, all + i * width + at, own * sizeof *p);
    return p;
}

/* A program on the scene: all inputs vary, or none. */
typedef struct job {
    scene s;
    int instances;
    tg_program *p;
    void *in[2 * TG__SAMPLES + 1];
} job;

static bool start(job *j, const trial *t, bool batch)
{
    const bool ok = set_up(&j->s, t, TG_F64) && !strstr(tg__ops[t->op]->name, "custom");
    tg_status status = { 0 };
    j->p = NULL;
    if (!ok) return false;
    j->instances = batch ? INSTANCES : 1;
    const int n = j->s.leaves;
    j->p = tg_compile(&j->s.y, 1, j->s.leaf, batch ? n : 0, j->s.leaf, batch ? 0 : n, NULL, &status);
    for (int i = 0; i < n; i++) j->in[i] = input_of(&j->s, i, j->instances);
    cr_expect(j->p, "%s: %s", trial_text(t), status.message);
    return j->p;
}

static void stop(job *j)
{
    for (int i = 0; j->p && i < j->s.leaves; i++) free(j->in[i]);
    tg_program_free(j->p);
    tear_down(&j->s);
}

static bool run(const job *j, tg_program *p, void **out, const char *what, const tg_status *made)
{
    tg_status status = *made;
    tg_workspace *const w = p ? tg_workspace_new(p, 1, &status) : NULL;
    const bool ok =
        w && tg_run(p, w, j->instances, (const void *const *)j->in, out, &status);
    cr_expect(ok, "%s: %s: %s", trial_text(j->s.t), what, status.message);
    tg_workspace_free(w);
    tg_program_free(p);
    return ok;
}

static void check_vjp(job *j)
{
    const scene *const s = &j->s;
    const size_t k = SWEEPS, rows = k * (size_t)j->instances;
    double *const v = numbers(rows * s->m, 0.3), *const want = calloc(rows * s->n + 1, sizeof *want);
    cr_assert(tg_vjp(s->y, s->wanted, s->by, v, rows, want));
    tg_status status = { 0 };
    tg_program *const p = tg_vjps_program(j->p, s->wrt, s->by, SWEEPS, &status);
    void *out[TG__SAMPLES];
    for (int i = 0; i < s->by; i++) {
        out[i] = calloc(rows * s->n + 1, sizeof(double));
        if (!p) continue;
        const int64_t size = tg_program_output_size(p, i, NULL);
        cr_expect(size == (int64_t)k * tg_size(s->wanted[i]), "%s: room", trial_text(s->t));
    }
    bool each = true;
    tg_program_output_size(j->p, 0, &each);
    j->in[s->leaves] = v;
    if (each || j->instances == 1) { /* else one cotangent is for all instances: another sum */
        const bool ok = run(j, p, out, "cotangents", &status);
        for (int i = 0; ok && i < s->by; i++) {
            double *const part = part_of(want, s->wanted, s->by, i, rows);
            compare(s, "cotangents of a program", out[i], part, rows * (size_t)tg_size(s->wanted[i]),
                    3e-12);
            free(part);
        }
    } else {
        tg_program_free(p);
    }
    for (int i = 0; i < s->by; i++) free(out[i]);
    free(v);
    free(want);
}

static void check_jvp(job *j)
{
    const scene *const s = &j->s;
    const size_t k = SWEEPS, rows = k * (size_t)j->instances;
    double *const u = numbers(rows * s->n, 0.9), *const want = calloc(rows * s->m + 1, sizeof *want);
    double *const got = calloc(rows * s->m + 1, sizeof *got);
    cr_assert(tg_jvp(s->y, s->wanted, s->by, u, rows, want));
    tg_status status = { 0 };
    tg_program *const p = tg_jvps_program(j->p, s->wrt, s->by, SWEEPS, &status);
    for (int i = 0; i < s->by; i++)
        j->in[s->leaves + i] = part_of(u, s->wanted, s->by, i, rows);
    bool each = true;
    if (p) tg_program_output_size(p, 1, &each);
    if (run(j, p, (void *[]){ NULL, got }, "directions", &status))
        compare(s, "directions of a program", got, want, (each ? rows : k) * s->m, 3e-12);
    for (int i = 0; i < s->by; i++) free(j->in[s->leaves + i]);
    free(u);
    free(want);
    free(got);
}

static void check_jacobian(job *j)
{
    const scene *const s = &j->s;
    double *const want = calloc(s->m * s->n + 1, sizeof *want);
    if (s->m == 0 || s->m * s->n > 4 * MOST || !tg_jacobian(s->y, s->wanted, s->by, want)) {
        free(want);
        return;
    }
    tg_status status = { 0 };
    tg_program *const p = tg_jacobian_program(j->p, s->wrt, s->by, &status);
    void *out[1 + TG__SAMPLES] = { NULL };
    for (int i = 0; i < s->by; i++)
        out[1 + i] = calloc((size_t)j->instances * s->m * s->n + 1, sizeof(double));
    const bool ok = run(j, p, out, "Jacobian", &status);
    for (int i = 0; ok && i < s->by; i++) {
        double *const part = part_of(want, s->wanted, s->by, i, s->m);
        const size_t size = s->m * (size_t)tg_size(s->wanted[i]);
        for (int l = 0; l < j->instances; l++)
            compare(s, "Jacobian of a program", (double *)out[1 + i] + (size_t)l * size, part, size,
                    3e-12);
        free(part);
    }
    for (int i = 0; i < s->by; i++) free(out[1 + i]);
    free(want);
}

static void in_a_program(const trial *t)
{
    for (int batch = 0; batch < 2; batch++) {
        job j;
        if (start(&j, t, batch)) {
            check_vjp(&j);
            check_jvp(&j);
            check_jacobian(&j);
        }
        stop(&j);
    }
}

/* ---- every op -------------------------------------------------------------------------------- */

Test(sweeps, every_op_on_a_tape)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_trial(op, on_a_tape);
}

Test(sweeps, every_op_on_a_tape_in_f32)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_plain_trial(op, on_a_tape_in_f32);
}

Test(sweeps, every_op_with_more_than_go_at_a_time)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_plain_trial(op, on_a_tape_many);
}

Test(sweeps, every_op_in_a_program)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_plain_trial(op, in_a_program);
}
