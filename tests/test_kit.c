/* What the check of plain functions says, and its ways into other people's tests: assertions of
   Criterion, TAP, capsules. Every message is provoked once. */
#define _GNU_SOURCE /* mkdtemp, setenv */
#include <tapegrad.h>
#include <tapegrad/criterion.h>
#include <tapegrad/tap.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double x[] = { 0.5, -1.25, 2, 0.125, 1, -0.75 };

/* sum i x_i^2 sin(x_i), and its gradient with faults that user names. */
static double wavy(const double *at, size_t n, void *user)
{
    (void)user;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)(i + 1) * at[i] * at[i] * sin(at[i]);
    return sum;
}

static void wavy_gradient(const double *at, size_t n, double *g, void *user)
{
    const char *const fault = user ? user : "";
    for (size_t i = 0; i < n; i++)
        g[i] = (double)(i + 1) * (2 * at[i] * sin(at[i]) + at[i] * at[i] * cos(at[i]));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(fault, "sign") == 0) g[i] = -g[i];
        if (strcmp(fault, "slightly") == 0) g[i] *= 1 + 1e-4;
        if (strcmp(fault, "batch") == 0) g[i] /= 32;
    }
}

static tg_check_report check(tg_plain_function *f, tg_plain_gradient *gradient, size_t n,
                             const tg_check_options *options)
{
    tg_check_report report;
    const bool agrees = tg_check_gradient(f, gradient, x, n, options, &report);
    cr_expect(agrees == (report.verdict == TG_AGREES));
    return report;
}

static void expect(const tg_check_report *report, tg_verdict verdict, const char *message)
{
    cr_expect(report->verdict == verdict, "%s: %s", tg_verdict_name(report->verdict),
              report->message);
    cr_expect(strstr(report->message, message), "%s, not: %s", report->message, message);
}

/* ---- what it says ---------------------------------------------------------------------------- */

Test(kit, a_right_gradient_agrees_to_ten_digits)
{
    const tg_check_report report = check(wavy, wavy_gradient, 6, &(tg_check_options){ .rtol = 1e-10 });
    expect(&report, TG_AGREES, "agrees, the worst of 6");
    cr_expect(report.error_estimate < 1e-10 * fabs(report.numeric));
}

Test(kit, places_are_named_as_in_the_shape_and_factors_by_the_sizes_given)
{
    const tg_check_options options = {
        .user = "batch", .rank = 2, .shape = { 2, 3 }, .input = "W", .sizes = { 32 }
    };
    const tg_check_report report = check(wavy, wavy_gradient, 6, &options);
    expect(&report, TG_WRONG, "W[1, 1]: analytic ");
    expect(&report, TG_WRONG, "a constant factor: 1/n times what it should be, with n = 32, one of "
                              "the sizes given: all 6 entries");
    cr_expect(report.fault == TG_FAULT_FACTOR && fabs(32 * report.factor - 1) < 1e-9);
}

static double drift(const double *at, size_t n, void *user)
{
    int *calls = user;
    (void)n;
    return at[0] + ++*calls;
}

static double undefined(const double *at, size_t n, void *user)
{
    (void)n, (void)user;
    return log(-1 - at[0] * at[0]);
}

static double endless(const double *at, size_t n, void *user)
{
    (void)n, (void)user;
    return -exp(1000 * at[2]);
}

static double constant(const double *at, size_t n, void *user)
{
    (void)at, (void)n, (void)user;
    return 3;
}

static void zeros(const double *at, size_t n, double *g, void *user)
{
    (void)at, (void)user;
    memset(g, 0, n * sizeof *g);
}

static double floored(const double *at, size_t n, void *user)
{
    (void)n, (void)user;
    return floor(at[2]);
}

static double rough(const double *at, size_t n, void *user)
{
    (void)n, (void)user;
    return at[0] + 1e-3 * sin(1e15 * at[0]);
}

static void ones(const double *at, size_t n, double *g, void *user)
{
    (void)at, (void)user;
    for (size_t i = 0; i < n; i++) g[i] = i == 0;
}

Test(kit, what_cannot_be_compared_is_said)
{
    int calls = 0;
    tg_check_report r = check(drift, zeros, 3, &(tg_check_options){ .user = &calls });
    expect(&r, TG_RANDOM, "the function's value changes from call to call: fix its seed");
    r = check(undefined, zeros, 3, NULL);
    expect(&r, TG_NOT_FINITE, "element 0 of the function's value is NaN");
    r = check(endless, zeros, 3, NULL);
    expect(&r, TG_NOT_FINITE, "element 0 of the function's value is minus infinity");
    r = check(constant, zeros, 3, NULL);
    expect(&r, TG_ALL_ZERO, "every one of 3 derivatives is zero");
    r = check(floored, zeros, 3, NULL);
    expect(&r, TG_ALL_ZERO, "all zero");
    cr_expect(r.jumps == 1);
    r = check(rough, ones, 3, NULL);
    expect(&r, TG_NOISE, "the differences do not settle: the function's noise is ");
    expect(&r, TG_NOISE, " times the rounding of its value");
}

static void drifting(const double *at, size_t n, double *g, void *user)
{
    static int calls;
    (void)user;
    wavy_gradient(at, n, g, NULL);
    g[1] += ++calls;
}

static void partial(const double *at, size_t n, double *g, void *user)
{
    (void)user;
    double all[6];
    wavy_gradient(at, n, all, NULL);
    memcpy(g, all, 2 * sizeof *g);
}

static void outside(const double *at, size_t n, double *g, void *user)
{
    (void)user;
    wavy_gradient(at, n, g, NULL);
    g[n + 1] = 0;
}

static void greedy(const double *at, size_t n, double *g, void *user)
{
    (void)user;
    wavy_gradient(at, n, g, NULL);
    ((double *)(uintptr_t)at)[1] = 0;
}

static void adding(const double *at, size_t n, double *g, void *user)
{
    double all[6];
    wavy_gradient(at, n, all, user);
    for (size_t i = 0; i < n; i++) g[i] += all[i];
}

/* Three entries go round. */
static void turned(const double *at, size_t n, double *g, void *user)
{
    wavy_gradient(at, n, g, user);
    const double first = g[0];
    g[0] = g[2], g[2] = g[5], g[5] = first;
}

static void long_map(const double *at, size_t n, double *y, size_t m, void *user)
{
    (void)n, (void)user;
    for (size_t i = 0; i <= m; i++) y[i] = at[i];
}

static void jacobian_of_it(const double *at, size_t n, double *J, size_t m, void *user)
{
    (void)at, (void)n, (void)m, (void)user;
    J[0] = 1, J[1] = 0;
}

static double meddling(const double *at, size_t n, void *user)
{
    const double y = wavy(at, n, user);
    ((double *)(uintptr_t)at)[1] = 0;
    return y;
}

Test(kit, what_a_function_does_with_its_array_is_said)
{
    tg_check_report r = check(wavy, drifting, 6, NULL);
    expect(&r, TG_RANDOM, "the gradient changes from call to call, first at x[1]");
    r = check(wavy, partial, 6, NULL);
    expect(&r, TG_WRONG, "4 of 6 entries are never written, the first is x[2]");
    r = check(wavy, outside, 6, NULL);
    expect(&r, TG_WRONG, "written past the end of the array: at entry 7, where 5 is the last");
    r = check(wavy, greedy, 6, NULL);
    expect(&r, TG_WRONG, "the gradient changes its input");
    tg_check_jacobian(long_map, jacobian_of_it, x, 2, 1, NULL, &r);
    expect(&r, TG_WRONG, "wrong: the function writes past the end of its 1 results");
    r = check(wavy, turned, 6, NULL);
    expect(&r, TG_WRONG, "3 entries are right, but in another order");
    r = check(meddling, wavy_gradient, 6, NULL);
    expect(&r, TG_WRONG, "the function changes its input");
    r = check(wavy, adding, 6, NULL);
    expect(&r, TG_WRONG, "the gradient is added to what was in the array");
    r = check(wavy, adding, 6, &(tg_check_options){ .adds = true });
    expect(&r, TG_AGREES, "agrees");
}

/* Never called: there is no memory for what they would write. */
static void no_map(const double *at, size_t n, double *y, size_t m, void *user)
{
    (void)at, (void)n, (void)y, (void)m, (void)user;
}

static void no_jacobian(const double *at, size_t n, double *J, size_t m, void *user)
{
    (void)at, (void)n, (void)J, (void)m, (void)user;
}

Test(kit, calls_that_make_no_sense_are_refused)
{
    tg_check_report r = check(NULL, wavy_gradient, 6, NULL);
    expect(&r, TG_FAILED, "a function is NULL");
    r = check(wavy, wavy_gradient, 6, &(tg_check_options){ .rank = 2, .shape = { 2, 2 } });
    expect(&r, TG_FAILED, "the shape in the options has another size than x");
    r = check(wavy, wavy_gradient, 6, &(tg_check_options){ .rank = 9 });
    expect(&r, TG_FAILED, "the rank is not 0 to 8");
    r = check(wavy, wavy_gradient, 6, &(tg_check_options){ .rank = 1, .shape = { -6 } });
    expect(&r, TG_FAILED, "a length in the shape is negative");
    cr_expect(!tg_check_gradient(wavy, wavy_gradient, NULL, 6, NULL, &r));
    expect(&r, TG_FAILED, "the data of an input is NULL");
    r = check(wavy, wavy_gradient, 6, &(tg_check_options){ .scheme = (tg_scheme)3 });
    expect(&r, TG_FAILED, "there is no such scheme");
    r = check(wavy, wavy_gradient, 6, &(tg_check_options){ .rtol = -1 });
    expect(&r, TG_FAILED, "rtol and step must not be negative or NaN");
    r = check(wavy, wavy_gradient, 6, &(tg_check_options){ .step = NAN });
    expect(&r, TG_FAILED, "rtol and step must not be negative or NaN");
    r = check(wavy, wavy_gradient, 0, NULL);
    expect(&r, TG_ALL_ZERO, "all zero: the inputs have no elements, nothing was tested");
    cr_expect(!tg_check_match(x + 6, x + 6, 0, NULL, &r));
    expect(&r, TG_ALL_ZERO, "all zero: all 0 entries are, on both sides");
    cr_expect(!tg_check_run(&(tg_check_case){ .name = "nothing" }, &r));
    expect(&r, TG_FAILED, "the row has no model");
    cr_expect(!tg_check_match(x, NULL, 6, NULL, &r));
    expect(&r, TG_FAILED, "an array is NULL");
    cr_expect(!tg_check_jacobian(no_map, no_jacobian, x, 1, (size_t)1 << 60, NULL, &r));
    expect(&r, TG_FAILED, "failed: no memory for the check");
}

static double plain_sum(const double *at, size_t n, void *user)
{
    double sum = 0;
    (void)user;
    for (size_t i = 0; i < n; i++) sum += at[i] * at[i] * at[i];
    return sum;
}

/* Its gradient, times the number that user points at. */
static void times(const double *at, size_t n, double *g, void *user)
{
    for (size_t i = 0; i < n; i++) g[i] = *(const double *)user * 3 * at[i] * at[i];
}

Test(kit, factors_are_named_by_the_sizes_they_may_come_from)
{
    static const struct {
        double factor;
        const char *says;
    } cases[] = {
        { 18, "a constant factor: n times what it should be, with n = 18, one of the sizes given: " },
        { 1 / 18.0, "1/n times what it should be, with n = 18, one of the sizes given" },
        { 2 / 18.0, "2/n times what it should be, with n = 18, one of the sizes given" },
        { 9, "n/2 times what it should be, with n = 18, one of the sizes given" },
        { 4.242640687119285, "sqrt(n) times what it should be, with n = 18, one of the sizes given" },
        { 0.23570226039551584, "1/sqrt(n) times what it should be, with n = 18, one of the sizes given" },
        { 18 / 17.0, "n/(n - 1) times what it should be, with n = 18, one of the sizes given" },
        { 17 / 18.0, "(n - 1)/n times what it should be, with n = 18, one of the sizes given" },
        { 5 / 7.0, "0.714286 times what it should be: all 35 entries" },
        { 1 / 35.0, "1/n times what it should be, with n = 35, the number of entries: all 35 entries" },
        { 5, "n times what it should be, with n = 5, the length of an axis: all 35 entries" },
        { -7, "-n times what it should be, with n = 7, the length of an axis: all 35 entries" },
        { 1.5, "3/2 times what it should be: all 35 entries" },
        { 180 / 3.141592653589793, "180/pi times what it should be: all 35 entries" },
        { -1, "the sign is wrong: all 35 entries" },
        { 0, "the gradient is missing: it is zero everywhere" },
    };
    double at[35];
    for (size_t i = 0; i < 35; i++) at[i] = 0.5 + 0.1 * (double)(i * i % 17);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double factor = cases[i].factor;
        const tg_check_options options = {
            .user = &factor, .rank = 2, .shape = { 5, 7 }, .sizes = { 18 }
        };
        tg_check_report r;
        cr_expect(!tg_check_gradient(plain_sum, times, at, 35, &options, &r));
        expect(&r, TG_WRONG, cases[i].says);
    }
}

Test(kit, a_fault_in_a_large_gradient_is_found_and_located)
{
    static double large[20000], got[20000];
    for (size_t i = 0; i < 20000; i++) large[i] = sin((double)i);
    tg_check_report r;
    cr_expect(tg_check_gradient(wavy, wavy_gradient, large, 20000, NULL, &r), "%s", r.message);
    cr_expect(!tg_check_gradient(wavy, wavy_gradient, large, 20000,
                                 &(tg_check_options){ .user = "slightly" }, &r));
    expect(&r, TG_WRONG, "a constant factor: 1.0001 times what it should be");
    cr_expect(r.element >= 0);
    wavy_gradient(large, 20000, got, NULL);
    got[1234] *= 2;
    static double expected[20000];
    wavy_gradient(large, 20000, expected, NULL);
    cr_expect(!tg_check_match(got, expected, 20000, NULL, &r));
    expect(&r, TG_WRONG, "a constant factor: 2 times what it should be: x[1234] alone");
}

/* Every entry is off by less than the tolerance, in a way that adds up. */
static void crumbs(const double *at, size_t n, double *g, void *user)
{
    wavy_gradient(at, n, g, user);
    for (size_t i = 0; i < n; i++) g[i] *= 1 + (i * i % 7 < 4 ? 0.9e-7 : -0.9e-7);
}

/* The same within a tolerance to spare. */
static void fewer_crumbs(const double *at, size_t n, double *g, void *user)
{
    wavy_gradient(at, n, g, user);
    for (size_t i = 0; i < n; i++) g[i] *= 1 + (i * i % 7 < 4 ? 1e-8 : -1e-8);
}

Test(kit, directions_in_which_much_cancels_ask_for_no_more_digits_than_others)
{
    static double large[2000];
    for (size_t i = 0; i < 2000; i++) large[i] = sin((double)i);
    tg_check_report r;
    for (uint64_t seed = 0; seed < 30; seed++)
        cr_expect(tg_check_gradient(wavy, fewer_crumbs, large, 2000,
                                    &(tg_check_options){ .seed = seed }, &r),
                  "%s", r.message);
    cr_expect(!tg_check_gradient(wavy, crumbs, large, 2000, NULL, &r), "%s", r.message);
    expect(&r, TG_WRONG, "wrong along a direction, though no entry by itself could be shown to be");
}

static void wrong_hvp(const double *at, const double *v, size_t n, double *Hv, void *user)
{
    (void)user;
    for (size_t i = 0; i < n; i++)
        Hv[i] = (double)(i + 1) * (2 * sin(at[i]) + 4 * at[i] * cos(at[i]) - at[i] * at[i] * sin(at[i])) * v[i] * v[i];
}

Test(kit, a_product_that_is_right_for_unit_vectors_alone_is_wrong)
{
    tg_check_report r;
    cr_expect(!tg_check_hvp(wavy_gradient, wrong_hvp, x, 6, NULL, &r));
    expect(&r, TG_WRONG, "the product is not linear in v: entry ");
}

/* ---- into tests ------------------------------------------------------------------------------ */

static const tg_check_case right_rows[] = {
    { "wavy", .f = wavy, .gradient = wavy_gradient, .x = x, .n = 6 },
    { "itself", .got = x, .expected = x, .n = 6 },
};

TG_CHECK_TABLE(kit, a_table_is_a_test, right_rows)

Test(kit, assertions_pass_where_gradients_are_right)
{
    tg_assert_gradients_match(wavy_gradient, wavy, .x = x, .n = 6);
    tg_assert_gradients_match(adding, wavy, .x = x, .n = 6, .options.adds = true);
}

Test(kit, assertions_fail_where_they_are_wrong)
{
    char text[1200];
    const tg_check_case row = { "wavy", .f = wavy, .gradient = wavy_gradient, .x = x, .n = 3,
                                .options = { .user = "sign" } };
    cr_expect(!tg__criterion_run(&row, text, sizeof text));
    cr_expect_str_eq(text, "wavy: wrong at x[1]\n"
                           "    expected 5.730305479, within 6.2e-10\n"
                           "    got      -5.730305479, relative error 2.0e+00\n"
                           "    why      the sign is wrong: all 3 entries");
}

Test(kit, tap_has_a_line_for_each_row_and_says_why_it_failed)
{
    const tg_check_case rows[] = {
        right_rows[0],
        { "wrong", .f = wavy, .gradient = wavy_gradient, .x = x, .n = 3,
          .options = { .user = "sign" } },
        { NULL, .f = undefined, .gradient = zeros, .x = x, .n = 3 },
    };
    char text[2000] = "";
    FILE *const file = tmpfile();
    cr_assert(file && tg_tap_to(file, file, rows, 3) == 2);
    rewind(file);
    cr_expect(fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    cr_expect(strstr(text, "TAP version 13\n1..3\nok 1 - wavy\nnot ok 2 - wrong\n# wrong: wrong at "
                           "x[1]\n#     expected "),
              "%s", text);
    cr_expect(strstr(text, "#     why      the sign is wrong: all 3 entries\nnot ok 3 - unnamed\n"
                           "# unnamed: not finite: element 0 of the function's value is NaN\n"),
              "%s", text);
}

/* ---- capsules -------------------------------------------------------------------------------- */

/* A directory of the test's own, with a capsule in it when the test begins. */
static char directory[] = "/tmp/tapegrad-kit-XXXXXX", capsule[64];

static void make_capsule(void)
{
    cr_assert(mkdtemp(directory));
    snprintf(capsule, sizeof capsule, "%s/of_wavy.capsule", directory);
    setenv("TAPEGRAD_CAPSULES", directory, 1);
    const tg_check_report r = check(wavy, wavy_gradient, 6, &(tg_check_options){
        .user = "slightly", .name = "of wavy", .seed = 77 });
    expect(&r, TG_WRONG, "wrong");
    setenv("TAPEGRAD_REPLAY", capsule, 1);
}

static void remove_capsule(void)
{
    remove(capsule);
    remove(directory);
}

static void rewrite_capsule(const char *text)
{
    FILE *const file = fopen(capsule, "w");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

TestSuite(capsule, .init = make_capsule, .fini = remove_capsule);

Test(capsule, it_fails_in_the_same_way_whatever_the_inputs_are)
{
    const tg_check_options options = { .user = "slightly", .name = "of wavy" };
    const double others[] = { 3, 2, 1, 0, 1, 2 };
    tg_check_report a = check(wavy, wavy_gradient, 6, &options), b;
    tg_check_gradient(wavy, wavy_gradient, others, 6, &options, &b);
    expect(&a, TG_WRONG, "1.0001 times");
    cr_expect(strcmp(a.message, b.message) == 0 && a.numeric == b.numeric, "%s", b.message);
    tg_check_gradient(wavy, wavy_gradient, others, 6,
                      &(tg_check_options){ .user = "slightly", .name = "another" }, &b);
    cr_expect(strcmp(a.message, b.message) != 0, "another check takes nothing from it");
}

Test(capsule, it_says_what_was_found_and_how_to_run_it_again)
{
    char text[4000] = "";
    FILE *const file = fopen(capsule, "r");
    cr_assert(file && fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    cr_expect(strncmp(text,
                      "tapegrad capsule 1\ncheck of_wavy of gradient\n"
                      "seed 77, scheme 0, rtol 9.9999999999999995e-08, step 0.02",
                      90) == 0,
              "%s", text);
    cr_expect(strstr(text, "\ninput 0: 6 numbers (6)\n0.5\n-1.25\n2\n0.125\n1\n-0.75\nfound: x["));
    cr_expect(strstr(text, "\nagain: TAPEGRAD_REPLAY=/tmp/tapegrad-kit-"));
    cr_expect(strstr(text, "/of_wavy.capsule /") && strstr(text, "test_kit\n"), "%s", text);
}

static tg_value cubes(tg_tape *tape, const tg_value *leaf, void *user)
{
    (void)tape, (void)user;
    return tg_sum(tg_mul(leaf[0], tg_mul(leaf[1], leaf[1])));
}

Test(capsule, a_model_has_one_too)
{
    const tg_check_input inputs[] = { { "a", x, 2, { 3, 2 } }, { "b", x + 1, 0, { 0 } } };
    const double none[6] = { 0 };
    const tg_check_input zero[] = { { "a", none, 2, { 3, 2 } }, { "b", none, 0, { 0 } } };
    char path[64];
    tg_check_report a, b;
    snprintf(path, sizeof path, "%s/model", directory);
    const tg_check_options options = { .name = "model", .capsule = path, .rtol = 1e-20,
                                       .max_bytes = 1 << 20 };
    cr_expect(!tg_gradcheck(cubes, NULL, zero, 2, &options, &a), "%s", a.message);
    setenv("TAPEGRAD_REPLAY", path, 1);
    tg_gradcheck(cubes, NULL, inputs, 2, &options, &b);
    cr_expect(strcmp(a.message, b.message) == 0, "%s, not %s", b.message, a.message);
    char text[4000] = "";
    FILE *const file = fopen(path, "r");
    cr_assert(file && fread(text, 1, sizeof text - 1, file) > 0);
    fclose(file);
    cr_expect(strstr(text, "\nrecorded:\n%0 a = parameter "), "%s", text);
    cr_expect(strstr(text, "%2 = mul(b, b) ") && strstr(text, "%4 = sum(%3) "), "%s", text);
    remove(path);
}

Test(capsule, what_is_wrong_with_one_is_said)
{
    const tg_check_options options = { .name = "of wavy" };
    tg_check_report r = check(wavy, wavy_gradient, 5, &options);
    expect(&r, TG_FAILED, "input 0 has 6 numbers in the capsule, here 5");
    rewrite_capsule("tapegrad capsule 1\ncheck of_wavy of gradient\nseed 7, scheme 9\n");
    r = check(wavy, wavy_gradient, 6, &options);
    expect(&r, TG_FAILED, "the capsule's options cannot be read");
    rewrite_capsule("tapegrad capsule 1\ncheck of_wavy of gradient\n"
                    "seed 7, scheme 0, rtol 0, step 0, directions 0\n");
    r = check(wavy, wavy_gradient, 6, &options);
    expect(&r, TG_FAILED, "the capsule has no input 0");
    rewrite_capsule("tapegrad capsule 1\ncheck of_wavy of gradient\n"
                    "seed 7, scheme 0, rtol 0, step 0, directions 0\ninput 0: 6 numbers (6)\n1\n");
    r = check(wavy, wavy_gradient, 6, &options);
    expect(&r, TG_FAILED, "the capsule's input 0 is cut off");
    rewrite_capsule("something else\n");
    r = check(wavy, wavy_gradient, 6, &options);
    expect(&r, TG_FAILED, "is no capsule");
    setenv("TAPEGRAD_REPLAY", "/nowhere/at/all", 1);
    r = check(wavy, wavy_gradient, 6, &options);
    expect(&r, TG_FAILED, "/nowhere/at/all, which TAPEGRAD_REPLAY names, cannot be read");
    unsetenv("TAPEGRAD_REPLAY");
    r = check(wavy, wavy_gradient, 6, &(tg_check_options){
        .user = "sign", .name = "of wavy", .capsule = "/nowhere/at/all" });
    expect(&r, TG_WRONG, "(no capsule: /nowhere/at/all cannot be written)");
}
