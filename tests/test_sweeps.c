/* Programs of several directions or cotangents: shapes, layouts, what is made of programs of gradients.
   What must hold for every op is in check_sweeps.c. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include <tapegrad.h>

enum { INSTANCES = 2 };

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(sweeps, .init = quiet);

/* ---- several together ------------------------------------------------------------------------ */

/* Three outputs of x (3), w (2) and c: more elements than inputs have. */
static tg_program *tall_program(tg_tape *t, tg_value leaf[3], tg_value y[3], bool batch,
                                const tg_compile_options *o)
{
    const double x0[] = { 0.3, -0.7, 1.1 }, w0[] = { 0.9, -0.4 };
    leaf[0] = tg_param(t, x0, 3);
    leaf[1] = tg_param(t, w0, 2);
    leaf[2] = tg_scalar(t, 0.6);
    y[0] = tg_sin(tg_mul(tg_outer(leaf[0], leaf[1]), leaf[2]));
    y[1] = tg_mul(tg_at(leaf[0], 1), tg_exp(leaf[2]));
    y[2] = tg_matmul(tg_transpose(y[0]), leaf[0]);
    tg_status status = { 0 };
    tg_program *const p =
        tg_compile(y, 3, leaf, batch ? 1 : 0, leaf + (batch ? 1 : 0), batch ? 2 : 3, o, &status);
    cr_assert(p, "%s", status.message);
    return p;
}

static void check_tall(bool batch, const tg_compile_options *o)
{
    enum { WIDE = 6 };
    tg_tape *const t = tg_tape_new(NULL);
    tg_value leaf[3], y[3];
    tg_program *const p = tall_program(t, leaf, y, batch, o);
    tg_status status = { 0 };
    tg_program *const j = tg_jacobian_program(p, (const int[]){ 0, 1, 2 }, 3, &status);
    tg_workspace *const w = j ? tg_workspace_new(j, 1, &status) : NULL;
    cr_assert(w, "%s", status.message);
    double x[INSTANCES][3], got[9][INSTANCES * WIDE * 3];
    for (int i = 0; i < INSTANCES * 3; i++) x[i / 3][i % 3] = sin(1.0 + i);
    const int instances = batch ? INSTANCES : 1;
    const void *const in[] = { x, tg_data(leaf[1]), tg_data(leaf[2]) };
    /* The Jacobian of y[0] by x with its rows and columns apart. */
    tg_output_layout layout[12] = { 0 };
    layout[3] = (tg_output_layout){ .instance = WIDE * 3, .row = 1, .column = WIDE };
    void *out[12] = { NULL };
    for (int i = 0; i < 9; i++) out[3 + i] = got[i];
    const bool ran = tg_run_with(j, w, instances, in, out, &(tg_run_options){ .outputs = layout }, &status);
    cr_assert(ran, "%s", status.message);
    for (int l = 0; l < instances; l++) {
        tg_set_data(leaf[0], TG_F64, x[l], 3, NULL);
        for (int i = 0; i < 3; i++) {
            cr_assert(tg_forward(y[2]));
            for (int k = 0; k < 3; k++) {
                double want[WIDE * 3];
                cr_assert(tg_jacobian(y[i], &leaf[k], 1, want));
                const int rows = (int)tg_size(y[i]), columns = (int)tg_size(leaf[k]);
                for (int r = 0; r < rows; r++)
                    for (int c = 0; c < columns; c++) {
                        const int at = i + k == 0 ? r + WIDE * c : r * columns + c;
                        cr_expect_float_eq(got[3 * i + k][l * rows * columns + at],
                                           want[r * columns + c], 1e-14,
                                           "instance %d, output %d by %d, row %d, column %d", l, i, k, r, c);
                    }
            }
        }
    }
    tg_workspace_free(w);
    tg_program_free(j);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(sweeps, jacobians_by_columns_go_where_the_caller_wants_them)
{
    check_tall(false, NULL);
    check_tall(true, NULL);
    check_tall(true, &(tg_compile_options){ .strict = true });
    check_tall(true, &(tg_compile_options){ .without = ~0u });
}

/* f = sum(sin(A x)^2), by a program of gradients: differentiated again in every way. */
Test(sweeps, programs_of_gradients_are_differentiated)
{
    enum { N = 3 };
    const double a[2 * N] = { 0.3, -0.8, 0.5, 1.2, 0.1, -0.6 }, x0[N] = { 0.7, -0.2, 0.4 };
    const double u[2][N] = { { 1, -2, 0.5 }, { 0.3, 0.2, -1 } };
    tg_tape *const t = tg_tape_new(NULL);
    tg_value x = tg_param(t, x0, N), f = tg_sum(tg_square(tg_sin(tg_mv(tg_constant(t, a, 2, N), x))));
    double want[N * N], along[2 * N], h[N * N], hv[2 * N], jv[2 * N], vj[2 * N];
    cr_assert(tg_hessian(f, &x, 1, want) && tg_hvp(f, &x, 1, *u, 2, along));
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&f, 1, NULL, 0, &x, 1, NULL, &s);
    tg_program *const g = tg_gradient_program(p, NULL, &s);
    tg_program *const made[] = { tg_jacobian_program(g, NULL, 0, &s), tg_jvps_program(g, NULL, 0, 2, &s),
                                 tg_vjps_program(g, NULL, 0, 2, &s),
                                 tg_hvp_program(p, &(tg_gradient_options){ .count = 2 }, &s) };
    const double none[2] = { 0 };
    void *const out[][4] = {
        { NULL, NULL, NULL, h }, { NULL, NULL, NULL, jv }, { vj }, { NULL, hv }
    };
    for (int i = 0; i < 4; i++) {
        tg_workspace *const w = made[i] ? tg_workspace_new(made[i], 1, &s) : NULL;
        const void *const in[] = { x0, i == 2 ? (const void *)none : u, u };
        const bool ok = w && tg_run(made[i], w, 1, in, out[i], &s);
        cr_assert(ok, "%s", s.message);
        tg_workspace_free(w);
        tg_program_free(made[i]);
    }
    for (int i = 0; i < N * N; i++) cr_expect_float_eq(h[i], want[i], 1e-14);
    for (int i = 0; i < 2 * N; i++) {
        cr_expect_float_eq(hv[i], along[i], 1e-14);
        cr_expect_float_eq(jv[i], along[i], 1e-14);
        cr_expect_float_eq(vj[i], along[i], 1e-14);
    }
    tg_program_free(g);
    tg_program_free(p);
    tg_tape_free(t);
}

/* Hessian products over a batch, summed and for each instance, several directions at once. */
static void check_hvp(tg_over_batch over)
{
    enum { N = 3, K = 4, COUNT = 5 };
    tg_tape *const t = tg_tape_new(NULL);
    const double w0[N] = { 0.7, -0.2, 0.4 };
    tg_value w = tg_param(t, w0, N), x = tg_input(t, (double *)NULL, N);
    tg_value f = tg_tanh(tg_mul(tg_dot(w, x), tg_at(w, 1)));
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&f, 1, &x, 1, &w, 1, NULL, &s);
    double X[COUNT * N], u[K * N], all[COUNT * K * N], one[COUNT * N], g[2][COUNT * N];
    for (int i = 0; i < COUNT * N; i++) X[i] = cos(i);
    for (int i = 0; i < K * N; i++) u[i] = sin(2.0 + i);
    tg_gradient_options o = { .over = over, .with_gradient = true };
    tg_program *const h = tg_hvp_program(p, &o, &s);
    o.count = K;
    tg_program *const many = tg_hvp_program(p, &o, &s);
    tg_workspace *const room[] = { tg_workspace_new(h, 1, &s), tg_workspace_new(many, 1, &s) };
    cr_assert(room[0] && room[1], "%s", s.message);
    cr_assert(tg_run(many, room[1], COUNT, (const void *[]){ X, w0, u }, (void *[]){ NULL, g[1], all }, &s));
    const int each = over == TG_BATCH_EACH ? COUNT : 1;
    for (int k = 0; k < K; k++) {
        cr_assert(tg_run(h, room[0], COUNT, (const void *[]){ X, w0, u + k * N },
                         (void *[]){ NULL, g[0], one }, &s));
        for (int l = 0; l < each; l++)
            for (int i = 0; i < N; i++) {
                cr_expect_float_eq(all[(l * K + k) * N + i], one[l * N + i], 1e-14);
                cr_expect_float_eq(g[0][l * N + i], g[1][l * N + i], 1e-14);
            }
    }
    for (int i = 0; i < 2; i++) tg_workspace_free(room[i]);
    tg_program_free(h);
    tg_program_free(many);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(sweeps, several_hessian_products_over_a_batch)
{
    check_hvp(TG_BATCH_SUM);
    check_hvp(TG_BATCH_MEAN);
    check_hvp(TG_BATCH_EACH);
}

/* ---- on a tape --------------------------------------------------------------------------------- */

/* Scalars that are elements of tensors and not, tensors made of scalars, choices, three operands, and
   leaves that are not asked for: the Jacobian by some of them, in both directions, against one cotangent
   after the other with everything wanted. */
Test(sweeps, scalars_and_tensors_mixed)
{
    enum { M = 5, N = 4 + 1 };
    const double x0[4] = { 0.4, -0.3, 0.8, 1.2 }, w0[4] = { 1, -2, 0.5, 0.7 };
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_param(t, x0, 4), other = tg_param(t, w0, 2, 2), s = tg_scalar(t, 0.6),
                   unused = tg_scalar(t, 3);
    tg_value a = tg_mul(tg_at(x, 1), s), b = tg_fma(tg_at(x, 2), tg_at(other, 1, 0), a);
    a = tg_where(tg_gt(a, b), tg_exp(b), tg_mul(tg_sin(a), unused));
    const tg_value v = tg_stack(TG_VALUES(a, b, tg_maximum(a, tg_at(x, 0)), s));
    const tg_value h = tg_tanh(tg_mv(other, tg_slice(v, .start = 1, .stop = 3)));
    const tg_value rest = tg_stack(TG_VALUES(tg_mul(tg_at(h, 1), a), tg_pow(s, 2), tg_at(x, 3)));
    const tg_value y = tg_cat(TG_VALUES(h, rest));
    const tg_value by[] = { x, s };
    double all[M * N], unit[M * M] = { 0 }, along[N * M], turned[N * N] = { 0 };
    cr_assert(tg_jacobian(y, by, 2, all), "%s", tg_error_of(t) ? tg_error_of(t)->message : "");
    for (int i = 0; i < M; i++) unit[i * M + i] = 1;
    for (int i = 0; i < N; i++) turned[i * N + i] = 1;
    cr_assert(tg_jvp(y, by, 2, turned, N, along));
    for (int i = 0; i < M; i++) {
        double one[N];
        cr_assert(tg_backward_with(y, &(tg_backward_options){ .cotangent = unit + i * M }));
        cr_assert(tg_grad_read(x, one, 4) && tg_grad_read(s, one + 4, 1));
        for (int j = 0; j < N; j++) {
            cr_expect(all[i * N + j] == one[j], "row %d, column %d", i, j);
            cr_expect_float_eq(along[j * M + i], one[j], 1e-15);
        }
    }
    /* What was not asked for has no gradient then, and what was neither. */
    cr_assert(tg_vjp(y, by, 2, unit, M, all));
    cr_expect(!tg_grad(other) && !tg_grad(x));
    tg_tape_free(t);
}

/* ---- mistakes ---------------------------------------------------------------------------------- */

Test(sweeps, mistakes_are_named)
{
    tg_tape *const t = tg_tape_new(NULL);
    const int64_t ones[TG_MAX_RANK] = { 1, 1, 1, 1, 1, 1, 1, 1 };
    tg_value x = tg_leaf_new(t, TG_PARAMETER, TG_F64, NULL, TG_MAX_RANK, ones, NULL), y = tg_sum(x);
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&y, 1, NULL, 0, &x, 1, NULL, &s);
#define MISTAKE(CALL, CODE, TEXT)                                                       \
    do {                                                                                \
        cr_expect_null(CALL);                                                           \
        cr_expect(s.code == CODE && strstr(s.message, TEXT), "\"%s\"", s.message);      \
    } while (0)
    MISTAKE(tg_jvps_program(p, NULL, 0, 0, &s), TG_ERROR_ARGUMENT, "a count of 0");
    MISTAKE(tg_vjps_program(p, NULL, 0, 0, &s), TG_ERROR_ARGUMENT, "a count of 0");
    MISTAKE(tg_hvp_program(p, &(tg_gradient_options){ .count = -1 }, &s), TG_ERROR_ARGUMENT, "a count of -1");
    MISTAKE(tg_jvps_program(p, NULL, 0, 2, &s), TG_ERROR_SHAPE, "leaves no axis for 2 of it");
    MISTAKE(tg_vjps_program(p, NULL, 0, 2, &s), TG_ERROR_SHAPE, "leaves no axis for 2 of it");
    tg_program_free(p);
    tg_tape_free(t);
}
