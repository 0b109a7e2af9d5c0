/* Replaying programs: what may differ from run to run, and what a run must notice. */
#define _POSIX_C_SOURCE 200809L
#include <tapegrad.h>
#include <tapegrad/program.h>
#include <tapegrad/short.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(replay, .init = quiet);

static void expect_status(const tg_status *s, tg_code code, const char *text)
{
    cr_expect(s->code == code && strstr(s->message, text), "%d \"%s\" is not %d or lacks \"%s\"", (int)s->code,
              s->message, (int)code, text);
}

/* " FILE:LINE: " as messages have it. */
static const char *place(int line)
{
    static char text[256];
    snprintf(text, sizeof text, "%s:%d: ", __FILE__, line);
    return text;
}

static tg_program *compile(Value y, Value x, Value w, const tg_compile_options *o, tg_status *s)
{
    *s = (tg_status){ 0 };
    return tg_compile(&y, 1, &x, 1, &w, 1, o, s);
}

/* ---- guards ------------------------------------------------------------------------------------ */

/* w x where x > 0, else x^2. */
static Value bent(Value w, Value x, int *line)
{
    *line = __LINE__ + 1;
    return tg_true(gt(x, 0)) ? mul(w, x) : square(x);
}

Test(replay, a_condition_that_says_the_same_for_all_is_no_obstacle)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 2), w = tg_scalar(t, 3);
    int line;
    tg_status s;
    tg_program *const p = compile(bent(w, x, &line), x, w, NULL, &s);
    cr_assert(p, "%s", s.message);
    tg_program *const g = tg_gradient_program(p, NULL, &s);
    tg_workspace *const room = tg_workspace_new(g, 1, &s);
    const double X[] = { 1, 2, 3 }, W = 10;
    double total, dw;
    cr_assert(tg_run(g, room, 3, (const void *[]){ X, &W }, (void *[]){ &total, &dw }, &s), "%s", s.message);
    cr_expect(total == 60 && dw == 6);
    tg_workspace_free(room);
    tg_program_free(g);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(replay, a_condition_that_says_something_else_is_named_with_its_instances)
{
    enum { COUNT = 1000 };
    static double X[COUNT];
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 2), w = tg_scalar(t, 3);
    int line;
    tg_status s;
    tg_program *const p = compile(bent(w, x, &line), x, w, NULL, &s);
    tg_program *const g = tg_gradient_program(p, NULL, &s);
    for (int i = 0; i < COUNT; i++) X[i] = i == 517 || i == 518 || i == 900 ? -1 : 1;
    const double W = 10;
    double total, dw;
    char first[512] = "";
    for (int threads = 1; threads < 8; threads += 3) {
        tg_workspace *const room = tg_workspace_new(g, threads, &s);
        s = (tg_status){ 0 };
        cr_expect_not(tg_run(g, room, COUNT, (const void *[]){ X, &W }, (void *[]){ &total, &dw }, &s));
        expect_status(&s, TG_ERROR_GUARD, place(line));
        expect_status(&s, TG_ERROR_GUARD, "instance 517: guard: the condition is false, it was true when recorded");
        expect_status(&s, TG_ERROR_GUARD, "; 3 of 1000 instances go another way");
        if (threads > 1) cr_expect_str_eq(s.message, first, "the same for %d threads", threads);
        strcpy(first, s.message);
        X[517] = X[518] = X[900] = 1; /* the workspace can be used again */
        cr_expect(tg_run(g, room, COUNT, (const void *[]){ X, &W }, (void *[]){ &total, &dw }, &s));
        X[517] = X[518] = X[900] = -1;
        tg_workspace_free(room);
    }
    tg_program_free(g);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(replay, a_condition_on_shared_inputs_has_no_instance)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 2), w = tg_scalar(t, -3);
    tg_status s;
    const int line = __LINE__ + 1;
    Value y = tg_true(gt(w, 0)) ? mul(w, x) : x;
    tg_program *const p = compile(y, x, w, NULL, &s);
    tg_workspace *const room = tg_workspace_new(p, 1, &s);
    const double X = 1, W = 10;
    double out;
    cr_expect_not(tg_run(p, room, 1, (const void *[]){ &X, &W }, (void *[]){ &out }, &s));
    expect_status(&s, TG_ERROR_GUARD, place(line));
    expect_status(&s, TG_ERROR_GUARD, "guard: the condition is true, it was false when recorded");
    cr_expect_not(strstr(s.message, "instance"), "%s", s.message);
    tg_workspace_free(room);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(replay, the_first_condition_of_an_instance_is_the_one_named)
{
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = TG_F32 });
    Value x = tg_scalar(t, 2), w = tg_scalar(t, 3);
    tg_status s;
    const int line = __LINE__ + 1;
    Value y = tg_true(lt(x, 5)) ? mul(w, x) : x;
    y = tg_true(gt(y, 0)) ? exp(y) : y;
    tg_program *const p = compile(y, x, w, NULL, &s);
    tg_workspace *const room = tg_workspace_new(p, 1, &s);
    const float X[] = { 1, 6, -1, 2 }, W = -1;
    float out[3];
    cr_expect_not(tg_run(p, room, 3, (const void *[]){ X + 1, &W }, (void *[]){ out }, &s));
    expect_status(&s, TG_ERROR_GUARD, place(line));
    cr_expect_not(tg_run(p, room, 3, (const void *[]){ X, &W }, (void *[]){ out }, &s));
    expect_status(&s, TG_ERROR_GUARD, place(line + 1));
    tg_workspace_free(room);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(replay, conditions_hold_on_the_tape_too)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 2), w = tg_scalar(t, 3);
    int line;
    Value y = bent(w, x, &line);
    cr_expect(tg_forward(y) && tg_item(y) == 6);
    tg_set(x, &(double){ -1 }, 1);
    cr_expect_not(tg_forward(y));
    cr_assert(tg_error_of(t));
    cr_expect(tg_error_of(t)->code == TG_ERROR_GUARD && tg_error_of(t)->line == line, "%s",
              tg_error_of(t)->message);
    tg_error_clear(t);
    cr_expect_not(tg_true(tg_param(t, (double *)NULL, 2)));
    cr_expect(tg_error_of(t) && strstr(tg_error_of(t)->message, "shape (2) has not one element"));
    tg_tape_free(t);
}

/* ---- what was read while recording --------------------------------------------------------------- */

Test(replay, what_was_read_while_recording_is_named)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 2), w = tg_scalar(t, 3), z = mul(w, x);
    tg_status s;
    const int line = __LINE__ + 1;
    Value y = tg_item(z) > 0 ? add(z, 1) : z;
    cr_expect_not(compile(y, x, w, NULL, &s));
    expect_status(&s, TG_ERROR_ARGUMENT, place(line));
    expect_status(&s, TG_ERROR_ARGUMENT, "a value that depends on an input (mul) was read while");
    tg_program *const p = compile(y, x, w, &(tg_compile_options){ .allow_reads = true }, &s);
    cr_expect(p, "%s", s.message);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(replay, what_is_shared_may_be_read)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 2), w = tg_scalar(t, 3);
    cr_expect(tg_item(w) == 3); /* a start value that is shown, say */
    tg_status s;
    tg_program *const p = compile(mul(w, x), x, w, NULL, &s);
    cr_expect(p, "%s", s.message);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(replay, every_way_of_reading_is_seen)
{
    for (int way = 0; way < 4; way++) {
        tg_tape *const t = tg_tape_new(NULL);
        Value x = tg_param(t, (double *)NULL, 3), w = tg_scalar(t, 3), z = mul(w, x);
        double out[3];
        const int64_t one = 1;
        Value i = tg_index(t, &one, 1);
        if (way == 0) tg_data(z);
        if (way == 1) tg_read(z, out, 3);
        if (way == 2) (tg_data)(z);
        if (way == 3) tg_data(x); /* the input itself */
        tg_data_i64(i);
        tg_error_clear(t);
        Value y = sum(mul(z, 2));
        tg_status s;
        cr_expect_not(compile(y, x, w, NULL, &s), "way %d", way);
        expect_status(&s, TG_ERROR_ARGUMENT, way == 3 ? "(the input itself)" : "(mul)");
        tg_tape_free(t);
    }
}

Test(replay, what_was_read_before_or_after_the_outputs_is_no_obstacle)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 2), w = tg_scalar(t, 3), c = tg_number(t, 4);
    const tg_mark mark = tg_tape_mark(t);
    cr_expect(tg_item(mul(w, x)) == 6); /* a step that is taken back */
    tg_release(mark);
    cr_expect(tg_item(c) == 4); /* no input */
    Value y = mul(mul(w, x), c);
    cr_expect(tg_item(y) == 24); /* nothing is recorded any more */
    tg_status s;
    tg_program *const p = compile(y, x, w, NULL, &s);
    cr_expect(p, "%s", s.message);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(replay, reading_without_recording_takes_no_more_and_more_memory)
{
    enum { VALUES = 1000 };
    tg_tape *const t = tg_tape_new(NULL);
    Value w = tg_scalar(t, 3), x[VALUES];
    for (int i = 0; i < VALUES; i++) x[i] = mul(w, i);
    double sum = 0;
    for (int i = 0; i < VALUES; i++) sum += tg_item(x[i]);
    const size_t used = tg_stats(t).bytes_used;
    for (int k = 0; k < 10; k++)
        for (int i = 0; i < VALUES; i++) sum += tg_item(x[i]);
    cr_expect(tg_stats(t).bytes_used == used && sum > 0);
    Value y = exp(x[1]);
    tg_status s = { 0 };
    cr_expect_not(tg_compile(&y, 1, NULL, 0, &w, 1, NULL, &s));
    expect_status(&s, TG_ERROR_ARGUMENT, "depends on an input");
    tg_tape_free(t);
}

/* ---- impure operations --------------------------------------------------------------------------- */

static bool count_forward(const tg_custom_call *c)
{
    ++*(int *)c->user;
    *(double *)c->y.data = *(const double *)c->x[0].data;
    return true;
}

static bool count_backward(const tg_custom_call *c)
{
    *(double *)c->dx[0].data += *(const double *)c->g.data;
    return true;
}

/* An infinity: a run that a quick plan would do twice. */
Test(replay, impure_operations_are_done_once_an_instance_even_if_nothing_needs_them)
{
    int calls = 0;
    const tg_custom counted = { .name = "counted", .operands = 1, .forward = count_forward,
                                .backward = count_backward, .impure = true, .one_thread = true,
                                .user = &calls };
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 2), w = tg_scalar(t, 3);
    Value one = tg_custom_apply(&counted, x), two = tg_custom_apply(&counted, x);
    Value y = mul(w, log(x));
    for (int i = 0; i < 3; i++) y = add(y, mul(w, one));
    tg_custom_apply(&counted, mul(x, 2)); /* needed by nothing */
    tg_custom_apply(&counted, tg_number(t, 1)); /* the program has nothing to do with it */
    (void)two;
    tg_status s;
    tg_program *const p = compile(y, x, w, NULL, &s);
    tg_program *const g = tg_gradient_program(p, NULL, &s);
    cr_assert(g, "%s", s.message);
    tg_workspace *const room = tg_workspace_new(g, 2, &s);
    const double X[] = { 1, 0, 2 }, W = 1;
    double total, dw;
    calls = 0;
    cr_assert(tg_run(g, room, 3, (const void *[]){ X, &W }, (void *[]){ &total, &dw }, &s), "%s", s.message);
    cr_expect(isinf(total) && calls == 3 * 3, "%d calls for 3 operations and 3 instances", calls);
    tg_workspace_free(room);
    tg_program_free(g);
    tg_program_free(p);
    tg_tape_free(t);
}

/* ---- random numbers ------------------------------------------------------------------------------- */

enum { WIDE = 5, BATCH = 700 };

/* Dropout on a batch as one tensor, by the tape: what every instance of a program drops. */
static void dropped(const double x[BATCH][WIDE], uint64_t run, double out[BATCH][WIDE])
{
    tg_tape *const t = tg_tape_new(NULL);
    Value v = tg_input(t, (const double *)x, BATCH, WIDE);
    Value y = dropout(v, .p = 0.4, .seed = 12, .run = (int64_t)run);
    cr_assert(tg_read(y, &out[0][0], BATCH * WIDE));
    tg_tape_free(t);
}

static void fill(double *x, int n)
{
    for (int i = 0; i < n; i++) x[i] = 1 + 0.25 * sin(i);
}

Test(replay, draws_are_new_for_every_run_and_the_same_for_any_threads_and_blocks)
{
    static double x[BATCH][WIDE], got[BATCH][WIDE], want[BATCH][WIDE], gradient[BATCH][WIDE];
    fill(&x[0][0], BATCH * WIDE);
    const int blocks[] = { 0, 1, 16, 33 };
    for (int i = 0; i < 4; i++) {
        tg_tape *const t = tg_tape_new(NULL);
        Value v = tg_input(t, (double *)NULL, WIDE), w = tg_scalar(t, 1);
        Value y = mul(w, dropout(v, .p = 0.4, .seed = 12, .run = 7)), loss = sum(y);
        tg_status s = { 0 };
        const tg_compile_options o = { .block = blocks[i], .without = i == 3 ? ~0u : 0 };
        tg_program *const p = tg_compile(TG_VALUES(loss, y), &v, 1, &w, 1, &o, &s);
        tg_program *const g =
            tg_gradient_program(p, &(tg_gradient_options){ .wrt = (int[]){ 0 }, .n_wrt = 1 }, &s);
        tg_workspace *const room = tg_workspace_new(p, 1 + i, &s), *const by = tg_workspace_new(g, 1 + i, &s);
        cr_assert(by, "%s", s.message);
        const double one = 1;
        for (uint64_t run = 0; run < 3; run++) {
            dropped((const double(*)[WIDE])x, 7 + run, want);
            const tg_run_options options = { .run = run };
            cr_assert(tg_run_with(p, room, BATCH, (const void *[]){ x, &one }, (void *[]){ NULL, got },
                                  &options, &s), "%s", s.message);
            cr_expect(memcmp(got, want, sizeof got) == 0, "block %d, run %d", blocks[i], (int)run);
            double total;
            cr_assert(tg_run_with(g, by, BATCH, (const void *[]){ x, &one }, (void *[]){ &total, gradient },
                                  &options, &s));
            for (int j = 0; j < BATCH * WIDE; j++)
                cr_assert((&gradient[0][0])[j] == ((&want[0][0])[j] == 0 ? 0 : 1 / 0.6), "element %d", j);
        }
        cr_assert(tg_run(p, room, BATCH, (const void *[]){ x, &one }, (void *[]){ NULL, got }, &s));
        dropped((const double(*)[WIDE])x, 7, want);
        cr_expect(memcmp(got, want, sizeof got) == 0, "without a number: as recorded");
        tg_workspace_free(room);
        tg_workspace_free(by);
        tg_program_free(g);
        tg_program_free(p);
        tg_tape_free(t);
    }
}

/* Of a shared value, and of a constant: once a run; what is differentiated twice drops the same. */
Test(replay, what_is_shared_is_drawn_once_a_run)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 1), w = tg_param(t, (double *)NULL, WIDE), ones = tg_ones(t, WIDE);
    Value d = dropout(w, .p = 0.5, .seed = 3), c = dropout(ones, .p = 0.5, .seed = 4);
    Value loss = mul(square(x), add(sum(square(d)), sum(c)));
    tg_status s = { 0 };
    tg_program *const p = tg_compile(TG_VALUES(loss, d, c), &x, 1, &w, 1, NULL, &s);
    tg_program *const h = tg_hvp_program(p, NULL, &s);
    tg_workspace *const room = tg_workspace_new(p, 1, &s), *const by = tg_workspace_new(h, 1, &s);
    cr_assert(by, "%s", s.message);
    const double X[] = { 1, 2, 3 }, W[WIDE] = { 1, 1, 1, 1, 1 };
    double loss0[3], D[WIDE], C[WIDE], previous[WIDE] = { 0 }, total, H[WIDE];
    int different = 0;
    for (uint64_t run = 0; run < 8; run++) {
        const tg_run_options o = { .run = run };
        cr_assert(tg_run_with(p, room, 3, (const void *[]){ X, W }, (void *[]){ loss0, D, C }, &o, &s));
        cr_assert(tg_run_with(h, by, 3, (const void *[]){ X, W, W }, (void *[]){ &total, H }, &o, &s));
        double sum = 0;
        for (int i = 0; i < WIDE; i++) {
            sum += D[i] * D[i] + C[i];
            cr_expect_float_eq(H[i], 14 * 2 * 2 * D[i], 1e-13);
        }
        cr_expect_float_eq(loss0[2], 9 * sum, 1e-13);
        different += memcmp(previous, C, sizeof C) != 0;
        memcpy(previous, C, sizeof C);
    }
    cr_expect(different > 5);
    tg_workspace_free(room);
    tg_workspace_free(by);
    tg_program_free(h);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(replay, a_replayed_training_loop_drops_as_the_recorded_one)
{
    enum { STEPS = 5 };
    static double x[BATCH][WIDE];
    double recorded[STEPS][WIDE], w0[WIDE];
    fill(&x[0][0], BATCH * WIDE);
    fill(w0, WIDE);
    for (int replay = 0; replay < 2; replay++) {
        tg_tape *const t = tg_tape_new(NULL);
        Value w = tg_param(t, w0, WIDE), v = tg_input(t, (double *)NULL, WIDE);
        tg_status s = { 0 };
        Value loss = sum(mul(w, dropout(v, .seed = 5)));
        tg_program *const p = compile(loss, v, w, NULL, &s);
        tg_program *const g = tg_gradient_program(p, NULL, &s);
        tg_workspace *const room = tg_workspace_new(g, 2, &s);
        const tg_mark mark = tg_tape_mark(t);
        for (int i = 0; i < STEPS; i++) {
            if (replay) {
                cr_assert(tg_run_backward(g, room, BATCH, (const void *[]){ x }, NULL, &s), "%s", s.message);
            } else {
                Value all = tg_input(t, &x[0][0], BATCH, WIDE);
                cr_assert(tg_backward(sum(mul(w, dropout(all, .seed = 5, .run = i)))));
            }
            for (int j = 0; j < WIDE; j++) {
                if (!replay) recorded[i][j] = tg_grad(w)[j];
                else cr_expect_float_eq(recorded[i][j], tg_grad(w)[j], 1e-12 * BATCH, "step %d", i);
            }
            tg_release(mark);
        }
        for (int i = 1; i < STEPS; i++) cr_expect(recorded[i][0] != recorded[0][0]);
        if (replay) {
            const tg_run_options o = { .run = 3 };
            cr_assert(tg_run_backward_with(g, room, BATCH, (const void *[]){ x }, NULL, &o, &s));
            cr_expect_float_eq(recorded[3][1], tg_grad(w)[1], 1e-12 * BATCH);
        }
        tg_workspace_free(room);
        tg_program_free(g);
        tg_program_free(p);
        tg_tape_free(t);
    }
}

/* ---- for every instance ---------------------------------------------------------------------------- */

Test(replay, gradients_by_shared_inputs_may_be_each_instance_s_own)
{
    enum { COUNT = 300 };
    static double X[COUNT][3], each[COUNT], dw[COUNT][3], summed[3];
    double total, sum[3] = { 0 }, b = 0.5, db[COUNT];
    fill(&X[0][0], COUNT * 3);
    const double W[] = { 1, -2, 0.5 };
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_input(t, (double *)NULL, 3), w = tg_param(t, (double *)NULL, 3), c = tg_scalar(t, 1);
    Value loss = mul(exp(c), tanh(dot(square(w), x))); /* with what is computed once a run, too */
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&loss, 1, &x, 1, TG_VALUES(w, c), NULL, &s);
    tg_program *const g = tg_gradient_program(p, NULL, &s);
    tg_program *const e = tg_gradient_program(p, &(tg_gradient_options){ .over = TG_BATCH_EACH }, &s);
    tg_workspace *const room = tg_workspace_new(g, 1, &s), *const own = tg_workspace_new(e, 3, &s);
    cr_assert(own, "%s", s.message);
    cr_assert(tg_run(g, room, COUNT, (const void *[]){ X, W, &b }, (void *[]){ &total, summed, NULL }, &s));
    cr_assert(tg_run(e, own, COUNT, (const void *[]){ X, W, &b }, (void *[]){ each, dw, db }, &s));
    for (int i = 0; i < COUNT; i++) {
        const double u = X[i][0] + 4 * X[i][1] + 0.25 * X[i][2], d = exp(b) / cosh(u) / cosh(u);
        cr_assert_float_eq(each[i], exp(b) * tanh(u), 1e-14);
        cr_assert_float_eq(db[i], exp(b) * tanh(u), 1e-14);
        for (int j = 0; j < 3; j++) {
            cr_assert_float_eq(dw[i][j], d * 2 * W[j] * X[i][j], 1e-12);
            sum[j] += dw[i][j];
        }
        total -= each[i];
    }
    for (int j = 0; j < 3; j++) cr_expect_float_eq(sum[j], summed[j], 1e-11);
    cr_expect_float_eq(total, 0, 1e-11);
    s = (tg_status){ 0 };
    cr_expect_not(tg_run_backward(e, own, COUNT, (const void *[]){ X }, NULL, &s));
    expect_status(&s, TG_ERROR_ARGUMENT, "output 1 is a gradient for every instance, by input 1");
    tg_workspace_free(room);
    tg_workspace_free(own);
    tg_program_free(e);
    tg_program_free(g);
    tg_program_free(p);
    tg_tape_free(t);
}

/* A reprojection in small: two residuals by what three inputs hold, straight into rows of a matrix. */
static void check_jacobian(bool tensors, tg_type type)
{
    enum { COUNT = 290, ROW = 9 };
    static union {
        double f64[2 * COUNT * ROW];
        float f32[2 * COUNT * ROW];
    } values, A, B, first;
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = type });
    Value a = tg_input(t, (double *)NULL, 3), b = tg_input(t, (double *)NULL, 2), w = tg_scalar(t, 0);
    Value r0 = mul(w, sub(mul(at(a, 0), at(b, 0)), sin(at(a, 1)))), r1 = mul(exp(at(b, 1)), at(a, 2));
    Value out = tensors ? stack(TG_VALUES(r0, r1)) : r0;
    const Value outputs[] = { out, r1 };
    const int n = tensors ? 1 : 2;
    tg_status s = { 0 };
    tg_program *const p = tg_compile(outputs, n, TG_VALUES(a, b), &w, 1, NULL, &s);
    tg_program *const j = tg_jacobian_program(p, (int[]){ 0, 1, 2 }, 3, &s);
    tg_workspace *const room = tg_workspace_new(j, 2, &s);
    cr_assert(room, "%s", s.message);
    const bool wide = type == TG_F64;
    for (int i = 0; i < COUNT * 3; i++) {
        const double x = cos(i), y = sin(i);
        if (wide) A.f64[i] = x, B.f64[i] = y;
        else A.f32[i] = (float)x, B.f32[i] = (float)y;
    }
    for (int i = 0; i < 2 * COUNT * ROW; i++) {
        if (wide) values.f64[i] = 100 + i;
        else values.f32[i] = (float)(100 + i);
    }
    const double wd = 1.5;
    const float wf = 1.5f;
    const void *const inputs[] = { &A, &B, wide ? (const void *)&wd : &wf };
    const size_t size = wide ? 8 : 4;
    char *const v = (char *)&values;
    /* Of 9 places of a row b has 0 and 2, a 3 ... 5, w the last. */
    const tg_output_layout by_a = { .instance = 2 * ROW, .row = ROW },
                           by_b = { .instance = 2 * ROW, .row = ROW, .column = 2 };
    bool ok;
    if (tensors) {
        const tg_output_layout layout[] = { { 0 }, by_a, by_b, by_a };
        ok = tg_run_with(j, room, COUNT, inputs, (void *[]){ &first, v + 3 * size, v, v + 8 * size },
                         &(tg_run_options){ .outputs = layout }, &s);
    } else {
        const tg_output_layout layout[] = { { 0 }, { 0 }, by_a, by_b, by_a, by_a, by_b, by_a };
        char *const u = v + ROW * size;
        ok = tg_run_with(j, room, COUNT, inputs,
                         (void *[]){ &first, NULL, v + 3 * size, v, v + 8 * size, u + 3 * size, u, u + 8 * size },
                         &(tg_run_options){ .outputs = layout }, &s);
    }
    cr_assert(ok, "%s", s.message);
    for (int i = 0; i < COUNT; i++) {
        const double *const x = A.f64 + 3 * i, *const y = B.f64 + 2 * i;
        const double a0 = wide ? x[0] : (double)A.f32[3 * i], a1 = wide ? x[1] : (double)A.f32[3 * i + 1],
                     a2 = wide ? x[2] : (double)A.f32[3 * i + 2], b0 = wide ? y[0] : (double)B.f32[2 * i],
                     b1 = wide ? y[1] : (double)B.f32[2 * i + 1];
        const int at = 2 * ROW * i;
        const double want[2 * ROW] = { wd * a0, at + 101, 0, wd * b0, -wd * cos(a1), 0, at + 106, at + 107,
                                       a0 * b0 - sin(a1), 0, at + 110, a2 * exp(b1), 0, 0, exp(b1),
                                       at + 115, at + 116, 0 };
        for (int k = 0; k < 2 * ROW; k++) {
            const double got = wide ? values.f64[at + k] : (double)values.f32[at + k];
            cr_assert_float_eq(got, want[k], wide ? 1e-14 : 1e-5, "instance %d, place %d: %g, not %g", i, k, got,
                               want[k]);
        }
    }
    /* Without a layout: matrices one behind the other. */
    if (tensors) {
        cr_assert(tg_run(j, room, COUNT, inputs, (void *[]){ NULL, &values, NULL, NULL }, &s));
        const double got = wide ? values.f64[6 * 7 + 5] : (double)values.f32[6 * 7 + 5];
        const double b1 = wide ? B.f64[15] : (double)B.f32[15];
        cr_expect_float_eq(got, exp(b1), 1e-5);
    }
    tg_workspace_free(room);
    tg_program_free(j);
    tg_program_free(p);
    tg_tape_free(t);
}

Test(replay, jacobians_go_where_the_caller_wants_them)
{
    check_jacobian(false, TG_F64);
    check_jacobian(true, TG_F64);
    check_jacobian(false, TG_F32);
    check_jacobian(true, TG_F32);
}

Test(replay, jacobians_that_do_not_vary_are_written_for_every_instance)
{
    tg_tape *const t = tg_tape_new(NULL);
    const double a[] = { 1, 2, 3, 4, 5, 6 };
    Value x = tg_input(t, (double *)NULL, 2), A = tg_param(t, a, 3, 2);
    Value y = matmul(A, x), i = argmax(y, .axis = 0);
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&y, 1, &x, 1, &A, 1, NULL, &s), *const whole = tg_compile(&i, 1, &x, 1, &A, 1, NULL, &s);
    tg_program *const j = tg_jacobian_program(p, (int[]){ 0 }, 1, &s);
    tg_workspace *const room = tg_workspace_new(j, 1, &s);
    cr_assert(room, "%s", s.message);
    const double X[4] = { 0 };
    double out[24];
    for (int k = 0; k < 24; k++) out[k] = -1;
    const tg_output_layout layout[] = { { 0 }, { .instance = 1, .row = 8, .column = 4 } };
    cr_assert(tg_run_with(j, room, 2, (const void *[]){ X, a }, (void *[]){ NULL, out },
                          &(tg_run_options){ .outputs = layout }, &s));
    for (int k = 0; k < 24; k++) {
        const int row = k / 8, column = k % 8 / 4, instance = k % 4;
        cr_expect(out[k] == (instance < 2 ? a[2 * row + column] : -1), "place %d: %g", k, out[k]);
    }
    cr_expect_not(tg_jacobian_program(whole, (int[]){ 0 }, 1, &s));
    expect_status(&s, TG_ERROR_ARGUMENT, "output 0 is one of integers");
    tg_workspace_free(room);
    tg_program_free(j);
    tg_program_free(whole);
    tg_program_free(p);
    tg_tape_free(t);
}

/* ---- one tree for every sum over the batch --------------------------------------------------------- */

/* A network: products, a sum of tensors, of scalars, and of what is no product. */
static tg_program *network(tg_tape *t, const tg_compile_options *o)
{
    Value x = tg_input(t, (double *)NULL, 7), W = tg_param(t, (double *)NULL, 9, 7),
          b = tg_param(t, (double *)NULL, 9), V = tg_param(t, (double *)NULL, 4, 9), c = tg_scalar(t, 0);
    Value h = tanh(add(matmul(W, x), b)), y = log_softmax(matmul(V, mul(h, h)));
    Value loss = add(neg(at(y, 2)), mul(c, mul(at(x, 0), sin(at(h, 3)))));
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&loss, 1, &x, 1, TG_VALUES(W, b, V, c), o, &s);
    const int wrt[] = { 1, 2, 3, 4, 0 };
    tg_program *const g = tg_gradient_program(p, &(tg_gradient_options){ .wrt = wrt, .n_wrt = 5 }, &s);
    cr_assert(g, "%s", s.message);
    tg_program_free(p);
    return g;
}

static void check_bits(tg_type type, unsigned without, bool strict)
{
    enum { COUNT = 777, ALL = 1 + 63 + 9 + 36 + 1 + 7 * COUNT };
    static char in[8 * 7 * COUNT], want[8 * ALL], got[8 * ALL];
    const size_t size = type == TG_F64 ? 8 : 4;
    for (int i = 0; i < 7 * COUNT; i++) {
        const double v = sin(i * 1.7);
        const float narrow = (float)v;
        memcpy(in + (size_t)i * size, type == TG_F64 ? (const void *)&v : &narrow, size);
    }
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = type });
    static const int threads[] = { 1, 2, 7 };
    for (int block = 0; block <= 256; block += block < 34 ? 1 : 37) {
        tg_program *const g = network(t, &(tg_compile_options){ .block = block, .without = without, .strict = strict });
        for (int i = 0; i < 3; i++) {
            tg_workspace *const w = tg_workspace_new(g, threads[i], NULL);
            static const int begin[] = { 0, 1, 64, 73, 109, 110 };
            void *out[6];
            for (int j = 0; j < 6; j++) out[j] = got + (size_t)begin[j] * size;
            cr_assert(tg_run(g, w, COUNT, (const void *[]){ in, in, in, in, in }, out, NULL));
            tg_workspace_free(w);
            if (block == 0 && i == 0) memcpy(want, got, ALL * size);
            cr_assert(memcmp(want, got, ALL * size) == 0, "block %d, %d threads, without %x%s", block, threads[i],
                      without, strict ? ", strict" : "");
        }
        tg_program_free(g);
    }
    tg_tape_free(t);
}

Test(replay, results_are_bit_equal_for_every_block_and_any_threads)
{
    check_bits(TG_F64, 0, false);
    check_bits(TG_F32, 0, false);
    check_bits(TG_F64, ~0u, false);
    check_bits(TG_F64, TG_WHOLE_BLOCKS, false);
    check_bits(TG_F64, 0, true);
}

/* ---- where inputs are --------------------------------------------------------------------------------- */

Test(replay, inputs_may_be_columns_or_rows_of_tables)
{
    enum { COUNT = 600, TABLE = 10 };
    static double plain[COUNT][3], columns[3][COUNT], table[TABLE][4], picked[COUNT][2], want[COUNT][2], got[COUNT][2];
    static int64_t rows[COUNT], label[COUNT], wide[COUNT][3];
    fill(&plain[0][0], COUNT * 3);
    fill(&table[0][0], TABLE * 4);
    for (int i = 0; i < COUNT; i++) {
        rows[i] = i * 7 % TABLE;
        label[i] = wide[i][1] = i % 3;
        for (int j = 0; j < 3; j++) columns[j][i] = plain[i][j];
        for (int j = 0; j < 2; j++) picked[i][j] = table[rows[i]][2 * j]; /* every other element */
    }
    const int64_t zero = 0;
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_input(t, (double *)NULL, 3), z = tg_input(t, (double *)NULL, 2), k = tg_index(t, &zero);
    Value A = tg_param(t, (double *)NULL, 2, 3);
    Value y = add(matmul(A, tanh(x)), mul(z, add(at(x, 2), take(x, k))));
    tg_status s = { 0 };
    for (int block = 0; block < 40; block += 13) {
        const tg_compile_options o = { .block = block, .without = block == 13 ? TG_WHOLE_BLOCKS : 0 };
        tg_program *const p = tg_compile(&y, 1, TG_VALUES(x, z, k), &A, 1, &o, &s);
        tg_workspace *const w = tg_workspace_new(p, 3, &s);
        cr_assert(w, "%s", s.message);
        const void *const a = &plain[5];
        cr_assert(tg_run(p, w, COUNT, (const void *[]){ plain, picked, label, a }, (void *[]){ want }, &s), "%s", s.message);
        const tg_input_layout layout[] = { { .instance = 1, .element = COUNT },
                                           { .instance = 4, .element = 2, .rows = rows, .table = TABLE },
                                           { .instance = 3 },
                                           { 0 } };
        const tg_run_options options = { .inputs = layout };
        for (int i = 0; i < 2; i++) {
            memset(got, 0, sizeof got);
            cr_assert(tg_run_with(p, w, COUNT, (const void *[]){ columns, table, &wide[0][1], a }, (void *[]){ got },
                                  &options, &s), "%s", s.message);
            cr_expect(memcmp(want, got, sizeof got) == 0, "block %d", block);
        }
        memset(got, 0, sizeof got);
        cr_assert(tg_run(p, w, COUNT, (const void *[]){ plain, picked, label, a }, (void *[]){ got }, &s));
        cr_expect(memcmp(want, got, sizeof got) == 0, "block %d, plain again", block);
        tg_workspace_free(w);
        tg_program_free(p);
    }
    tg_tape_free(t);
}

Test(replay, indices_are_checked_before_anything_is_written)
{
    enum { COUNT = 900 };
    static double X[COUNT][3], out[COUNT], table[4][3];
    static int64_t label[COUNT], rows[COUNT];
    const int64_t zero = 0;
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_input(t, (double *)NULL, 3), y = tg_index(t, &zero), w = tg_scalar(t, 1);
    const int line = __LINE__ + 1;
    Value loss = nll(mul(x, w), y, .ignore_index = -5);
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&loss, 1, TG_VALUES(x, y), &w, 1, NULL, &s);
    tg_workspace *const room = tg_workspace_new(p, 2, &s);
    const double one = 1;
    for (int i = 0; i < COUNT; i++) out[i] = 7;
    label[3] = -5;
    label[801] = 3;
    cr_expect_not(tg_run(p, room, COUNT, (const void *[]){ X, label, &one }, (void *[]){ out }, &s));
    expect_status(&s, TG_ERROR_INDEX, place(line));
    expect_status(&s, TG_ERROR_INDEX, "instance 801: nll: index 3 is outside 0 ... 2");
    label[801] = 0;
    rows[802] = 4;
    const tg_input_layout layout[] = { { .rows = rows, .table = 4 }, { 0 }, { 0 } };
    cr_expect_not(tg_run_with(p, room, COUNT, (const void *[]){ table, label, &one }, (void *[]){ out },
                              &(tg_run_options){ .inputs = layout }, &s));
    expect_status(&s, TG_ERROR_INDEX, "instance 802: row 4 of input 0, a table of 4 rows");
    const tg_input_layout shared[] = { { 0 }, { 0 }, { .instance = 1 } };
    cr_expect_not(tg_run_with(p, room, COUNT, (const void *[]){ X, label, &one }, (void *[]){ out },
                              &(tg_run_options){ .inputs = shared }, &s));
    expect_status(&s, TG_ERROR_ARGUMENT, "input 2 has a layout, but does not vary over the batch");
    for (int i = 0; i < COUNT; i++) cr_assert(out[i] == 7);
    cr_expect(tg_run(p, room, COUNT, (const void *[]){ X, label, &one }, (void *[]){ out }, &s));
    cr_expect(out[0] == 0 && out[3] == 0);
    tg_workspace_free(room);
    tg_program_free(p);
    tg_tape_free(t);
}

/* ---- state --------------------------------------------------------------------------------------------- */

/* A running mean and the number of runs, beside a gradient that an infinity makes go twice. */
Test(replay, a_state_is_written_once_after_a_successful_run)
{
    const double zeros[3] = { 0 };
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_input(t, (double *)NULL, 4, 3), w = tg_param(t, zeros, 3), running = tg_input(t, zeros, 3),
          runs = tg_scalar(t, 0), older = tg_scalar(t, 0);
    Value m = mean(x, .axis = 0), loss = sum(mul(w, log(square(add(sub(x, m), runs)))));
    const Value state[] = { running, runs, older };
    const Value next[] = { add(mul(running, 0.75), mul(m, 0.25)), add(runs, 1), runs };
    const tg_compile_options o = { .state = state, .next = next, .n_state = 3 };
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&loss, 1, NULL, 0, TG_VALUES(x, w, running, runs, older), &o, &s);
    cr_assert(p, "%s", s.message);
    tg_program *const g = tg_gradient_program(p, &(tg_gradient_options){ .wrt = (int[]){ 1 }, .n_wrt = 1 }, &s);
    tg_program *const all = tg_gradient_program(p, NULL, &s);
    cr_expect(tg_program_outputs(all) == 3, "by x and w: states are no parameters");
    tg_workspace *const room = tg_workspace_new(g, 2, &s);
    cr_assert(room, "%s", s.message);
    double X[4][3] = { { 1, 2, 3 }, { 4, 5, 6 }, { 7, 8, 9 }, { 0, 1, 10 } }, W[] = { 1, 1, 1 };
    double r[3] = { 0 }, n = 0, old = -1, total, dw[3], want = 0;
    for (int i = 0; i < 4; i++) {
        cr_assert(tg_run(g, room, 1, (const void *[]){ X, W, r, &n, &old }, (void *[]){ &total, dw }, &s), "%s", s.message);
        want = 0.75 * want + 0.25 * 3;
        cr_expect_float_eq(r[0], want, 1e-15);
        cr_expect(n == i + 1 && old == i, "runs %g, before %g", n, old);
    }
    tg_tape_free(t);
    tg_workspace_free(room);
    tg_program_free(all);
    tg_program_free(g);
    tg_program_free(p);
}

Test(replay, a_replayed_training_loop_writes_the_states_of_its_tape)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_scalar(t, 1), w = tg_scalar(t, 2), runs = tg_scalar(t, 5);
    Value loss = mul(mul(w, x), runs), next = add(runs, 1);
    const tg_compile_options o = { .state = &runs, .next = &next, .n_state = 1 };
    tg_status s = { 0 };
    tg_program *const p = tg_compile(&loss, 1, &x, 1, TG_VALUES(w, runs), &o, &s);
    tg_program *const g = tg_gradient_program(p, NULL, &s);
    tg_workspace *const room = tg_workspace_new(g, 1, &s);
    const double X[] = { 1, 2 };
    double total;
    for (int i = 0; i < 2; i++) {
        cr_assert(tg_run_backward(g, room, 2, (const void *[]){ X }, &total, &s), "%s", s.message);
        cr_expect(tg_item(runs) == 6 + i && total == 6 * (5 + i) && tg_grad_item(w) == 3 * (5 + i));
    }
    cr_expect_not(tg_backward(loss), "what was recorded from a state is out of date");
    tg_tape_free(t);
    tg_workspace_free(room);
    tg_program_free(g);
    tg_program_free(p);
}

Test(replay, states_that_cannot_be_are_named)
{
    tg_tape *const t = tg_tape_new(NULL);
    Value x = tg_input(t, (double *)NULL, 3), r = tg_param(t, (double *)NULL, 3), other = tg_scalar(t, 0);
    Value y = sum(mul(x, r));
    const int line = __LINE__ + 1;
    Value varies = add(mul(r, 0.9), mul(x, 0.1));
    Value scalar = sum(r);
    tg_status s = { 0 };
    tg_compile_options o = { .state = &r, .next = &varies, .n_state = 1 };
    cr_expect_not(tg_compile(&y, 1, &x, 1, &r, 1, &o, &s));
    expect_status(&s, TG_ERROR_ARGUMENT, place(line));
    expect_status(&s, TG_ERROR_ARGUMENT, "statistics of the batch need the batch as an axis of a tensor");
    o.next = &scalar;
    cr_expect_not(tg_compile(&y, 1, &x, 1, &r, 1, &o, &s));
    expect_status(&s, TG_ERROR_SHAPE, "state 0 of shape (3) would become one of shape ()");
    o.state = &other;
    cr_expect_not(tg_compile(&y, 1, &x, 1, &r, 1, &o, &s));
    expect_status(&s, TG_ERROR_ARGUMENT, "state 0 is no shared input");
    o.state = &(Value){ 0 };
    cr_expect_not(tg_compile(&y, 1, &x, 1, &r, 1, &o, &s));
    expect_status(&s, TG_ERROR_ARGUMENT, "state 0 is no value of a tape");

    Value image = tg_input(t, (double *)NULL, 1, 3, 2), normal = sum(batch_norm(image, r, r));
    cr_expect_not(tg_compile(&normal, 1, &image, 1, &r, 1, NULL, &s));
    expect_status(&s, TG_ERROR_ARGUMENT, "batch_norm: of a batch of one");
    o = (tg_compile_options){ .state = &r, .next = &r, .n_state = 1 };
    tg_program *const p = tg_compile(&normal, 1, NULL, 0, TG_VALUES(image, r), &o, &s);
    cr_assert(p, "%s", s.message);
    tg_program_free(p);
    tg_tape_free(t);
}
