/* Programs, generated from the op table: every op, in every sample and layout, compiled and run on a
   batch, against the tape on one instance after the other. */
#include "sample.h"

#include <tapegrad/derivatives.h>
#include <tapegrad/program.h>

#include <criterion/criterion.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tape/record.h"

#define SEED 20261121u
#include "counted.h"
enum { INSTANCES = 5, MOST = 4096 }; /* elements of an operand, or a result, of all instances */

TestSuite(programs, .init = quiet, .fini = count);

/* How a trial is compiled: which leaves vary over the batch (bits), with what options. */
typedef struct way {
    unsigned batch;
    tg_type type;
    tg_compile_options options;
} way;

/* A trial on a tape, with the data of every instance. */
typedef struct scene {
    const trial *t;
    way way;
    int leaves;
    data d[INSTANCES];
    tg_tape *tape;
    tg_value leaf[TG__SAMPLES], y, loss;
    bool floating; /* there is a loss */
    double expected[MOST], gradient[TG__SAMPLES][MOST], total;
} scene;

static bool varies(const scene *s, int leaf)
{
    return s->way.batch >> leaf & 1;
}

static const data *data_of(const scene *s, int leaf, int instance)
{
    return &s->d[varies(s, leaf) ? instance : 0];
}

/* The sum of y's elements times random numbers; a rank-0 y too. */
static tg_value loss_of(tg_value y)
{
    const tg_value terms = apply2("mul", y, random_cotangent(y, SEED));
    return apply1("sum", terms);
}

static bool set_up(scene *s, const trial *t, way w)
{
    s->t = t;
    s->way = w;
    s->leaves = t->same ? 1 : t->x.n;
    for (int i = 0; i < INSTANCES; i++) s->d[i] = draw(t, SEED + (uint64_t)i);
    s->tape = tg_tape_new(&(const tg_tape_options){ .type = w.type });
    make_leaves(t, &s->d[0], s->tape, s->leaf);
    s->y = record_trial(t, s->leaf);
    s->floating = !tg_error_of(s->tape) && tg_type_of(s->y) != TG_I64;
    if (s->floating) s->loss = loss_of(s->y);
    cr_expect(!tg_error_of(s->tape), "%s: not recorded", trial_text(t));
    bool small = !tg_error_of(s->tape) && tg_size(s->y) * INSTANCES <= MOST;
    for (int i = 0; small && i < s->leaves; i++) small = tg_size(s->leaf[i]) * INSTANCES <= MOST;
    return small;
}

static void tear_down(scene *s)
{
    for (int i = 0; i < INSTANCES; i++) drop(&s->d[i]);
    tg_tape_free(s->tape);
}

/* Whether the loss has a gradient by a leaf. */
static bool has_gradient(const scene *s, int leaf)
{
    return s->floating && !is_index(s->t, leaf);
}

/* The tape's answers. */
static bool eager(scene *s)
{
    const size_t ny = (size_t)tg_size(s->y);
    memset(s->gradient, 0, sizeof s->gradient);
    s->total = 0;
    for (int i = 0; i < INSTANCES; i++) {
        for (int j = 0; j < s->leaves; j++) {
            const data *const d = data_of(s, j, i);
            const size_t n = (size_t)tg_size(s->leaf[j]);
            int64_t whole[MOST];
            for (size_t k = 0; k < n; k++) whole[k] = (int64_t)d->element[j][k];
            if (is_index(s->t, j)) tg_set_data(s->leaf[j], TG_I64, whole, n, NULL);
            else tg_set_data(s->leaf[j], TG_F64, d->element[j], n, NULL);
        }
        if (!tg_forward(s->floating ? s->loss : s->y) ||
            !tg_read(s->y, s->expected + (size_t)i * ny, ny))
            return false;
        if (!s->floating) continue;
        s->total += tg_item(s->loss);
        const bool history = tg_backward(s->loss);
        tg_error_clear(s->tape); /* operations without a gradient leave one */
        for (int j = 0; j < s->leaves; j++) {
            if (!has_gradient(s, j)) continue;
            const size_t n = (size_t)tg_size(s->leaf[j]);
            double g[MOST] = { 0 };
            if (history) tg_grad_read(s->leaf[j], g, n);
            for (size_t k = 0; k < n; k++)
                s->gradient[j][(varies(s, j) ? (size_t)i * n : 0) + k] += g[k];
        }
    }
    return true;
}

/* The leaf's elements as the program reads them, of all instances. */
static void *input_of(const scene *s, int leaf)
{
    const size_t n = (size_t)tg_size(s->leaf[leaf]);
    const int rows = varies(s, leaf) ? INSTANCES : 1;
    char *const p = calloc(n * (size_t)rows + 1, sizeof(double));
    for (int i = 0; i < rows; i++) {
        const double *const from = data_of(s, leaf, i)->element[leaf];
        for (size_t k = 0; k < n; k++) {
            const size_t at = (size_t)i * n + k;
            if (is_index(s->t, leaf)) ((int64_t *)(void *)p)[at] = (int64_t)from[k];
            else if (s->way.type == TG_F32) ((float *)(void *)p)[at] = (float)from[k];
            else ((double *)(void *)p)[at] = from[k];
        }
    }
    return p;
}

static double element(const void *p, tg_type type, size_t i)
{
    if (type == TG_I64) return (double)((const int64_t *)p)[i];
    return type == TG_F32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

static void compare(const scene *s, const char *what, const void *got, tg_type type,
                    const double *expected, size_t n, double bound)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(expected[i])) largest = fmax(largest, fabs(expected[i]));
    for (size_t i = 0; i < n; i++, checks++) {
        const double x = element(got, type, i), e = expected[i];
        const bool agree = x == e || (isnan(x) && isnan(e)) || fabs(x - e) <= bound * largest;
        cr_expect(agree, "%s, %s, batch %x, %s: element %zu is %.17g, on the tape %.17g",
                  trial_text(s->t), s->way.type == TG_F32 ? "f32" : "f64", s->way.batch, what, i, x, e);
        if (!agree) return;
    }
}

/* Inputs in the program's order: what varies first. */
static int order_leaves(const scene *s, int *leaf)
{
    int n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int j = 0; j < s->leaves; j++)
            if (varies(s, j) == (pass == 0)) leaf[n++] = j;
    n = 0;
    for (int j = 0; j < s->leaves; j++) n += varies(s, j);
    return n;
}

static double bound_of(const scene *s)
{
    return s->way.type == TG_F32 ? 2e-6 : 1e-13;
}

static void check_gradient(const scene *s, const tg_program *p, const int *leaf, void **input)
{
    tg_status status = { 0 };
    int wrt[TG__SAMPLES], n = 0;
    for (int i = 0; i < s->leaves; i++)
        if (has_gradient(s, leaf[i])) wrt[n++] = i;
    if (!n) return;
    tg_program *const g =
        tg_gradient_program(p, &(tg_gradient_options){ .wrt = wrt, .n_wrt = n }, &status);
    tg_workspace *const w = g ? tg_workspace_new(g, 1, &status) : NULL;
    void *output[1 + TG__SAMPLES];
    for (int i = 0; i <= n; i++) output[i] = calloc(MOST, sizeof(double));
    const bool ok = w && tg_run(g, w, INSTANCES, (const void *const *)input, output, &status);
    cr_expect(ok, "%s: the gradient: %s", trial_text(s->t), status.message);
    if (ok) compare(s, "total", output[0], s->way.type, &s->total, 1, 30 * bound_of(s));
    for (int i = 0; ok && i < n; i++) {
        const int j = leaf[wrt[i]];
        const size_t size = (size_t)tg_size(s->leaf[j]) * (varies(s, j) ? INSTANCES : 1);
        compare(s, "gradient", output[1 + i], s->way.type, s->gradient[j], size, 30 * bound_of(s));
    }
    for (int i = 0; i <= n; i++) free(output[i]);
    tg_workspace_free(w);
    tg_program_free(g);
}

/* One number in the program's type, many times. */
static void *filled(const scene *s, double x, size_t n)
{
    double *const p = calloc(n + 1, sizeof *p);
    for (size_t i = 0; i < n; i++) {
        if (s->way.type == TG_F32) ((float *)(void *)p)[i] = (float)x;
        else p[i] = x;
    }
    return p;
}

/* The same from the transposed derivative: the cotangents of the loss are ones, those of y zeros. */
static void check_vjp(const scene *s, const tg_program *p, const int *leaf, void **input)
{
    tg_status status = { 0 };
    int wrt[TG__SAMPLES], n = 0;
    for (int i = 0; i < s->leaves; i++)
        if (has_gradient(s, leaf[i])) wrt[n++] = i;
    if (!n || strstr(tg__ops[s->t->op]->name, "custom")) return;
    tg_program *const v = tg_vjp_program(p, wrt, n, &status);
    tg_workspace *const w = v ? tg_workspace_new(v, 1, &status) : NULL;
    const void *in[TG__SAMPLES + 2];
    void *output[TG__SAMPLES];
    bool each = false;
    tg_program_output_size(p, 0, &each);
    void *const ones = filled(s, each ? 1 : INSTANCES, INSTANCES);
    void *const zeros = filled(s, 0, MOST);
    for (int i = 0; i < s->leaves; i++) in[i] = input[i];
    in[s->leaves] = ones;
    in[s->leaves + 1] = zeros;
    for (int i = 0; i < n; i++) output[i] = calloc(MOST, sizeof(double));
    const bool ok = w && tg_run(v, w, INSTANCES, in, output, &status);
    cr_expect(ok, "%s: the transposed derivative: %s", trial_text(s->t), status.message);
    for (int i = 0; ok && i < n; i++) {
        const int j = leaf[wrt[i]];
        const size_t size = (size_t)tg_size(s->leaf[j]) * (varies(s, j) ? INSTANCES : 1);
        compare(s, "transposed", output[i], s->way.type, s->gradient[j], size, 30 * bound_of(s));
    }
    for (int i = 0; i < n; i++) free(output[i]);
    free(ones);
    free(zeros);
    tg_workspace_free(w);
    tg_program_free(v);
}

static void check_way(const trial *t, way w)
{
    static scene s;
    if (!set_up(&s, t, w)) {
        tear_down(&s);
        return;
    }
    cr_expect(eager(&s), "%s: the tape fails", trial_text(t));
    int leaf[TG__SAMPLES];
    const int n_batch = order_leaves(&s, leaf);
    tg_value value[TG__SAMPLES];
    void *input[TG__SAMPLES];
    for (int i = 0; i < s.leaves; i++) value[i] = s.leaf[leaf[i]], input[i] = input_of(&s, leaf[i]);
    tg_status status = { 0 };
    const tg_value outputs[] = { s.floating ? s.loss : s.y, s.y };
    tg_program *const p = tg_compile(outputs, 2, value, n_batch, value + n_batch, s.leaves - n_batch,
                                     &w.options, &status);
    tg_workspace *const room = p ? tg_workspace_new(p, 1, &status) : NULL;
    void *const y = calloc(MOST, sizeof(double));
    bool each = false;
    if (p) tg_program_output_size(p, 1, &each);
    const bool ok = room && tg_run(p, room, INSTANCES, (const void *const *)input,
                                   (void *const[]){ NULL, y }, &status);
    cr_expect(ok, "%s: %s", trial_text(t), status.message);
    const size_t n = (size_t)tg_size(s.y) * (each ? INSTANCES : 1);
    if (ok)
        compare(&s, "result", y, tg_type_of(s.y), s.expected, n,
                w.options.strict ? 0 : bound_of(&s));
    if (ok) check_gradient(&s, p, leaf, input);
    if (ok) check_vjp(&s, p, leaf, input);
    for (int i = 0; i < s.leaves; i++) free(input[i]);
    free(y);
    tg_workspace_free(room);
    tg_program_free(p);
    tear_down(&s);
}

/* ---- directions --------------------------------------------------------------------------------- */

/* Runs p, all of whose inputs are shared: the leaves, then directions; output `which` to out. */
static bool run_along(const scene *s, const tg_program *p, void *const *input, const int *wrt, int n,
                      const double *direction, int which, double *out, tg_status *status)
{
    const void *in[2 * TG__SAMPLES];
    void *outputs[2 + TG__SAMPLES] = { NULL };
    for (int i = 0; i < s->leaves; i++) in[i] = input[i];
    for (int i = 0; i < n; i++) {
        in[s->leaves + i] = direction;
        direction += tg_size(s->leaf[wrt[i]]);
    }
    for (int i = 0; which == 1 && i < n; i++) {
        outputs[1 + i] = out;
        out += tg_size(s->leaf[wrt[i]]);
    }
    if (which == 2) outputs[1] = out; /* behind the loss itself */
    tg_workspace *const w = p ? tg_workspace_new(p, 1, status) : NULL;
    const bool ok = w && tg_run(p, w, 1, in, outputs, status);
    tg_workspace_free(w);
    return ok;
}

/* The loss's derivative along a direction, and its Hessian times it, against the tape's. */
static void check_directions(const trial *t)
{
    static scene s;
    static double direction[TG__SAMPLES * MOST], got[TG__SAMPLES * MOST], expected[TG__SAMPLES * MOST];
    if (!strpbrk(tg__ops[t->op]->letters, "lnc") || strstr(tg__ops[t->op]->name, "custom")) return;
    if (!set_up(&s, t, (way){ .type = TG_F64 })) {
        tear_down(&s);
        return;
    }
    const tg_value squares = apply1("square", s.y); /* so that the Hessian of linear ops is not 0 */
    s.loss = loss_of(squares);
    int wrt[TG__SAMPLES], n = 0;
    size_t size = 0;
    void *input[TG__SAMPLES];
    tg_value by[TG__SAMPLES];
    for (int i = 0; i < s.leaves; i++) {
        input[i] = input_of(&s, i);
        if (!has_gradient(&s, i)) continue;
        by[n] = s.leaf[i];
        wrt[n++] = i;
        size += (size_t)tg_size(s.leaf[i]);
    }
    for (size_t i = 0; i < size; i++) direction[i] = sin(1.0 + (double)i);
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&s.loss, 1, NULL, 0, s.leaf, s.leaves, NULL, &status);
    tg_program *const j = tg_jvp_program(p, wrt, n, &status);
    tg_program *const h = tg_hvp_program(p, &(tg_gradient_options){ .wrt = wrt, .n_wrt = n }, &status);
    s.way.batch = 0;
    if (n && tg_jvp(s.loss, by, n, direction, 1, expected)) {
        const bool ok = run_along(&s, j, input, wrt, n, direction, 2, got, &status);
        cr_expect(ok, "%s: along a direction: %s", trial_text(t), status.message);
        if (ok) compare(&s, "derivative along a direction", got, TG_F64, expected, 1, 1e-11);
    }
    tg_error_clear(s.tape);
    if (n && tg_hvp(s.loss, by, n, direction, 1, expected)) {
        const bool ok = run_along(&s, h, input, wrt, n, direction, 1, got, &status);
        cr_expect(ok, "%s: Hessian times direction: %s", trial_text(t), status.message);
        if (ok) compare(&s, "Hessian times direction", got, TG_F64, expected, size, 1e-11);
    }
    for (int i = 0; i < s.leaves; i++) free(input[i]);
    tg_program_free(p);
    tg_program_free(j);
    tg_program_free(h);
    tear_down(&s);
}

/* ---- every op ---------------------------------------------------------------------------------- */

static void all_vary(const trial *t)
{
    check_way(t, (way){ .batch = 0xff, .type = TG_F64 });
}

static void all_vary_f32(const trial *t)
{
    check_way(t, (way){ .batch = 0xff, .type = TG_F32 });
}

static void none_varies(const trial *t)
{
    check_way(t, (way){ .batch = 0, .type = TG_F64 });
}

static void one_varies(const trial *t)
{
    for (int i = 0; i < t->x.n && !t->same && t->x.n > 1; i++)
        check_way(t, (way){ .batch = 1u << i, .type = TG_F64 });
}

static void strictly(const trial *t)
{
    check_way(t, (way){ .batch = 0xff, .options = { .strict = true, .block = 2 } });
}

static void without_passes(const trial *t)
{
    check_way(t, (way){ .batch = 0xff, .options = { .without = ~0u, .block = 1 } });
}

static void every_op(void (*check)(const trial *t))
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_trial(op, check);
}

Test(programs, every_op_with_everything_varying)
{
    every_op(all_vary);
}

Test(programs, every_op_in_f32)
{
    every_op(all_vary_f32);
}

Test(programs, every_op_with_nothing_varying)
{
    every_op(none_varies);
}

Test(programs, every_op_with_one_operand_varying)
{
    every_op(one_varies);
}

Test(programs, every_op_strictly_is_bit_equal_forward)
{
    every_op(strictly);
}

Test(programs, every_op_along_directions)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) each_plain_trial(op, check_directions);
}

Test(programs, every_op_without_any_pass)
{
    every_op(without_passes);
}
