/* The values of convolutions and pooling: examples with results written out, sweeps over shapes and
   attributes against plain loops in long double, and what they say to mistakes. */
#include "values.h"
#include "values_elsewhere.h"


TestSuite(conv);

/* A test that is run at each level. */
#define EACH_LEVEL(NAME)                                                                           \
    static void NAME(void);                                                                        \
    ParameterizedTestParameters(conv, NAME)                                                        \
    {                                                                                              \
        return every_level();                                                                      \
    }                                                                                              \
    ParameterizedTest(const int *level, conv, NAME)                                                \
    {                                                                                              \
        choose(*level);                                                                            \
        NAME();                                                                                    \
    }                                                                                              \
    static void NAME(void)

/* ---- examples -------------------------------------------------------------------------------- */

/* Gradients, where they are given, are those for incoming gradients 1, 2, 3, ... */
typedef struct example {
    const char *op;
    tensor x[3];
    const char *attributes;
    tensor y, dx[3];
} example;

/* clang-format off */
#define NUMBER(x) { 1, { 0 }, { x } }
#define T1(a, ...) { 2, { a }, { __VA_ARGS__ } }
#define T2(a, b, ...) { 3, { a, b }, { __VA_ARGS__ } }
#define T3(a, b, c, ...) { 4, { a, b, c }, { __VA_ARGS__ } }
#define T4(a, b, c, d, ...) { 5, { a, b, c, d }, { __VA_ARGS__ } }

static const example examples[] = {
    { "conv1d", { T2(1, 4, 1, 2, 3, 4), T3(1, 1, 2, 10, 1), NUMBER(0) }, .y = T2(1, 3, 12, 23, 34),
      .dx = { T2(1, 4, 10, 21, 32, 3), T3(1, 1, 2, 14, 20), NUMBER(6) } },
    { "conv1d", { T3(2, 1, 2, 1, 2, 3, 4), T3(2, 1, 1, 10, 1), T1(2, 100, 200) },
      .y = T3(2, 2, 2, 110, 120, 201, 202, 130, 140, 203, 204),
      .dx = { T3(2, 1, 2, 13, 24, 57, 68), T3(2, 1, 1, 44, 64), T1(2, 14, 22) } },
    { "conv1d", { T2(1, 5, 1, 2, 3, 4, 5), T3(1, 1, 2, 10, 1), NUMBER(0) },
      "stride=2, padding=1, dilation=3", .y = T2(1, 2, 3, 25),
      .dx = { T2(1, 5, 0, 20, 1, 0, 2), T3(1, 1, 2, 4, 13) } },
    { "conv2d", { T3(1, 2, 3, 1, 2, 3, 4, 5, 6), T4(1, 1, 2, 2, 1000, 100, 10, 1), T1(1, 0.5) },
      .y = T3(1, 1, 2, 1245.5, 2356.5),
      .dx = { T3(1, 2, 3, 1000, 2100, 200, 10, 21, 2), T4(1, 1, 2, 2, 5, 8, 14, 17), T1(1, 3) } },
    { "conv2d", { T4(1, 2, 1, 2, 1, 2, 3, 4), T4(2, 2, 1, 1, 1, 10, 100, 1000), NUMBER(0) },
      .y = T4(1, 2, 1, 2, 31, 42, 3100, 4200),
      .dx = { T4(1, 2, 1, 2, 301, 402, 3010, 4020), T4(2, 2, 1, 1, 5, 11, 11, 25) } },
    { "conv2d", { T4(1, 2, 1, 2, 1, 2, 3, 4), T4(2, 1, 1, 1, 10, 100), T1(2, 1, 2) }, "groups=2",
      .y = T4(1, 2, 1, 2, 11, 21, 302, 402),
      .dx = { T4(1, 2, 1, 2, 10, 20, 300, 400), T4(2, 1, 1, 1, 5, 25), T1(2, 3, 7) } },
    { "conv2d", { T3(1, 1, 1, 2), T4(1, 1, 1, 3, 1, 10, 100), NUMBER(0) }, "paddings=(0, 2)",
      .y = T3(1, 1, 3, 200, 20, 2), .dx = { T3(1, 1, 1, 123), T4(1, 1, 1, 3, 6, 4, 2) } },
    { "conv2d", { T3(1, 3, 2, 1, 2, 3, 4, 5, 6), T4(1, 1, 2, 1, 10, 1), NUMBER(7) },
      "strides=(1, 2), dilations=(2, 1)", .y = T3(1, 1, 1, 22) },
    { "conv_transpose1d", { T2(1, 3, 1, 2, 3), T3(1, 1, 2, 10, 1), T1(1, 0.5) },
      .y = T2(1, 4, 10.5, 21.5, 32.5, 3.5),
      .dx = { T2(1, 3, 12, 23, 34), T3(1, 1, 2, 14, 20), T1(1, 10) } },
    { "conv_transpose1d", { T2(1, 2, 1, 2), T3(1, 1, 3, 100, 10, 1), NUMBER(0) },
      "stride=2, padding=1, output_padding=1", .y = T2(1, 4, 10, 201, 20, 2),
      .dx = { T2(1, 2, 12, 234), T3(1, 1, 3, 4, 7, 10) } },
    { "conv_transpose2d", { T3(1, 1, 2, 1, 2), T4(1, 2, 1, 1, 10, 100), T1(2, 1, 2) },
      .y = T3(2, 1, 2, 11, 21, 102, 202),
      .dx = { T3(1, 1, 2, 310, 420), T4(1, 2, 1, 1, 5, 11), T1(2, 3, 7) } },
    { "conv_transpose2d", { T4(1, 2, 1, 1, 1, 2), T4(2, 1, 1, 2, 10, 1, 100, 1000), NUMBER(0) },
      "groups=2, strides=(1, 3)", .y = T4(1, 2, 1, 2, 10, 1, 200, 2000),
      .dx = { T4(1, 2, 1, 1, 12, 4300), T4(2, 1, 1, 2, 1, 2, 6, 8) } },
    { "max_pool2d", { T2(2, 4, 1, 3, 2, 2, 3, 0, -5, 2) }, "kernel_size=2", .y = T2(1, 2, 3, 2),
      .dx = { T2(2, 4, 0, 1, 2, 0, 0, 0, 0, 0) } },
    { "max_pool2d", { T3(2, 1, 3, 1, NAN, NAN, -INFINITY, -INFINITY, 5) },
      "kernel_sizes=(1, 2), stride=1", .y = T3(2, 1, 2, NAN, NAN, -INFINITY, 5),
      .dx = { T3(2, 1, 3, 0, 3, 0, 3, 0, 4) } },
    { "max_pool2d", { T2(2, 2, -1, -2, -3, -4) }, "kernel_size=2, padding=1, stride=2",
      .y = T2(2, 2, -1, -2, -3, -4), .dx = { T2(2, 2, 1, 2, 3, 4) } },
    { "max_pool2d", { T2(1, 4, 4, 3, 2, 1) }, "kernel_sizes=(1, 2), stride=1, dilations=(1, 2)",
      .y = T2(1, 2, 4, 3) },
    { "max_pool2d", { T2(1, 1, 7) }, "kernel_sizes=(1, 2), stride=1, paddings=(0, 1), "
      "dilations=(1, 2)", .y = T2(1, 1, -INFINITY), .dx = { T2(1, 1, 0) } },
    { "avg_pool2d", { T2(2, 4, 1, 3, 2, 2, 3, 1, -6, 2) }, "kernel_size=2", .y = T2(1, 2, 2, 0),
      .dx = { T2(2, 4, 0.25, 0.25, 0.5, 0.5, 0.25, 0.25, 0.5, 0.5) } },
    { "avg_pool2d", { T2(1, 2, 2, 6) }, "kernel_sizes=(1, 2), paddings=(0, 1), stride=1",
      .y = T2(1, 3, 1, 4, 3), .dx = { T2(1, 2, 1.5, 2.5) } },
    { "avg_pool2d", { T2(1, 2, 2, 6) },
      "kernel_sizes=(1, 2), paddings=(0, 1), strides=(1, 1), count_include_pad=false",
      .y = T2(1, 3, 2, 4, 6), .dx = { T2(1, 2, 2, 4) } },
};
/* clang-format on */

Test(conv, every_operation_of_the_family_has_an_example)
{
    for (int i = 0; i < COUNT(conv_operations); i++) {
        tg_op_info info;
        int row = 0;
        while (row < COUNT(examples) && strcmp(examples[row].op, conv_operations[i])) row++;
        cr_expect(row < COUNT(examples) && tg_op_find(conv_operations[i], &info),
                  "%s has no example", conv_operations[i]);
    }
}

/* Whether v, or its gradient, has the shape and, exactly, the elements of want. */
static bool equals(tg_value v, const tensor *want, bool gradient)
{
    double got[24];
    const int64_t n = size_of(want);
    if (!read_as(v, want, gradient, got)) return false;
    for (int64_t i = 0; i < n; i++)
        if (got[i] != want->x[i] && !(isnan(got[i]) && isnan(want->x[i]))) return false;
    return true;
}

static void check_example(const example *e, tg_type type)
{
    tg_tape *const t = tg_tape_new(&(const tg_tape_options){ .type = type });
    tg_value x[COUNT(e->x)];
    int n = 0;
    for (; n < COUNT(e->x) && e->x[n].rank1; n++)
        x[n] = tg_leaf_new(t, TG_PARAMETER, TG_F64, e->x[n].x, e->x[n].rank1 - 1, e->x[n].dim,
                           TG_HERE);
    const tg_value y = tg_apply(t, e->op, x, n, e->attributes);
    cr_expect(equals(y, &e->y, false), "example %d, %s", (int)(e - examples), e->op);
    double g[COUNT(e->y.x)];
    for (int i = 0; i < COUNT(g); i++) g[i] = i + 1;
    cr_expect(tg_backward_with(y, &(const tg_backward_options){ .cotangent = g }));
    for (int k = 0; k < n; k++)
        if (e->dx[k].rank1)
            cr_expect(equals(x[k], &e->dx[k], true), "example %d, %s, gradient of operand %d",
                      (int)(e - examples), e->op, k);
    tg_tape_free(t);
}

EACH_LEVEL(every_example_has_its_values_and_gradients)
{
    for (int i = 0; i < COUNT(examples); i++) {
        check_example(&examples[i], TG_F64);
        check_example(&examples[i], TG_F32);
    }
}

/* ---- convolutions against loops -------------------------------------------------------------- */

static uint64_t state = 20261121;

static uint64_t below(uint64_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % n;
}

/* Multiples of 1/8, which both types hold. */
static double *random_elements(int64_t n)
{
    double *const x = malloc(((size_t)n + 1) * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (double)below(33) / 8 - 2;
    return x;
}

/* One axis: length n under out windows. */
typedef struct axis {
    int64_t n, kernel, stride, padding, dilation, more, out;
} axis;

/* in and out are the channels of a group. The planes are x's in a convolution, the result's in a
   transposed one. images 0: the operands have no axis for them. */
typedef struct setting {
    bool transposed, number; /* number: the bias is one */
    int axes;
    int64_t images, groups, in, out;
    axis h, w;
} setting;

/* What lies on the three sides of the form. */
typedef struct sides {
    real *x, *w, *g;
} sides;

static int64_t size_x(const setting *s)
{
    return (s->images ? s->images : 1) * s->groups * s->in * s->h.n * s->w.n;
}

static int64_t size_w(const setting *s)
{
    return s->groups * s->out * s->in * s->h.kernel * s->w.kernel;
}

static int64_t size_g(const setting *s)
{
    return (s->images ? s->images : 1) * s->groups * s->out * s->h.out * s->w.out;
}

static int64_t position(const axis *a, int64_t o, int64_t i)
{
    const int64_t at = o * a->stride - a->padding + i * a->dilation;
    return at >= 0 && at < a->n ? at : -1;
}

/* Adds to one side, which is the number `to`, what the form's other two give, and to scale the
   magnitudes of the terms. */
static void add_form(const setting *s, const sides *v, int to, real *sum, real *scale)
{
    const int64_t images = s->images ? s->images : 1;
    for (int64_t c = 0; c < images * s->groups * s->out * s->in; c++) {
        const int64_t image = c / (s->groups * s->out * s->in),
                      o = c / s->in % (s->groups * s->out);
        const int64_t x0 = image * s->groups * s->in + o / s->out * s->in + c % s->in;
        const int64_t g0 = image * s->groups * s->out + o, w0 = o * s->in + c % s->in;
        for (int64_t p = 0; p < s->h.out * s->w.out; p++)
            for (int64_t q = 0; q < s->h.kernel * s->w.kernel; q++) {
                const int64_t row = position(&s->h, p / s->w.out, q / s->w.kernel);
                const int64_t column = position(&s->w, p % s->w.out, q % s->w.kernel);
                if (row < 0 || column < 0) continue;
                const int64_t at[] = { (x0 * s->h.n + row) * s->w.n + column,
                                       w0 * s->h.kernel * s->w.kernel + q,
                                       g0 * s->h.out * s->w.out + p };
                const real term = (to == 0 ? 1 : v->x[at[0]]) * (to == 1 ? 1 : v->w[at[1]]) *
                                  (to == 2 ? 1 : v->g[at[2]]);
                sum[at[to]] += term;
                scale[at[to]] += fabsl(term);
            }
    }
}

static real *widened(const double *x, int64_t n)
{
    real *const y = malloc(((size_t)n + 1) * sizeof *y);
    for (int64_t i = 0; i < n; i++) y[i] = x[i];
    return y;
}

static const char *setting_text(const setting *s)
{
    static char text[256];
    snprintf(text, sizeof text,
             "%s%dd, %lld images, %lld groups of %lld to %lld, h %lld/%lld *%lld +%lld x%lld, "
             "w %lld/%lld *%lld +%lld x%lld",
             s->transposed ? "transposed " : "", s->axes, (long long)s->images,
             (long long)s->groups, (long long)s->in, (long long)s->out, (long long)s->h.n,
             (long long)s->h.kernel, (long long)s->h.stride, (long long)s->h.padding,
             (long long)s->h.dilation, (long long)s->w.n, (long long)s->w.kernel,
             (long long)s->w.stride, (long long)s->w.padding, (long long)s->w.dilation);
    return text;
}

/* Sums of products in blocks: 8 roundings of the sum of magnitudes are more than is seen. */
static void compare(const setting *s, tg_type type, const char *what, const double *got,
                    const real *want, const real *scale, int64_t n)
{
    const real epsilon = type == TG_F32 ? (real)FLT_EPSILON : (real)DBL_EPSILON;
    for (int64_t i = 0; i < n; i++)
        if (!(fabsl(got[i] - want[i]) <= 8 * epsilon * scale[i])) {
            cr_expect(false, "%s, %s, %s, element %lld: %.17g, not %.17Lg", setting_text(s),
                      type == TG_F32 ? "f32" : "f64", what, (long long)i, got[i], want[i]);
            return;
        }
}

static void attributes_of(const setting *s, char *text, size_t size)
{
    const axis *const h = &s->h, *const w = &s->w;
    if (s->axes == 1)
        snprintf(text, size, "stride=%d, padding=%d, dilation=%d, groups=%d", (int)w->stride,
                 (int)w->padding, (int)w->dilation, (int)s->groups);
    else
        snprintf(text, size, "strides=(%d, %d), paddings=(%d, %d), dilations=(%d, %d), groups=%d",
                 (int)h->stride, (int)w->stride, (int)h->padding, (int)w->padding, (int)h->dilation,
                 (int)w->dilation, (int)s->groups);
    const size_t used = strlen(text);
    if (s->transposed && s->axes == 1)
        snprintf(text + used, size - used, ", output_padding=%d", (int)w->more);
    else if (s->transposed)
        snprintf(text + used, size - used, ", output_paddings=(%d, %d)", (int)h->more,
                 (int)w->more);
}

/* Images of channels of planes: their shape, and its rank. */
static int planes_shape(const setting *s, int64_t channels, int64_t h, int64_t w, int64_t *dim)
{
    int rank = 0;
    if (s->images) dim[rank++] = s->images;
    dim[rank++] = channels;
    if (s->axes == 2) dim[rank++] = h;
    dim[rank++] = w;
    return rank;
}

/* Reads a value or a gradient of n elements into memory to be freed. */
static double *read_of(tg_value v, int64_t n, bool gradient)
{
    double *const x = malloc(((size_t)n + 1) * sizeof *x);
    const bool ok = tg_size(v) == n && (gradient ? tg_grad_read : tg_read)(v, x, (size_t)n);
    cr_assert(ok, "%s", tg_error_of(v.tape) ? tg_error_of(v.tape)->message : "another size");
    return x;
}

static void compare_side(const setting *s, tg_type type, const char *what, tg_value v, int side,
                         const sides *all, const double *bias)
{
    const int64_t n = side == 0 ? size_x(s) : side == 1 ? size_w(s) : size_g(s);
    real *const want = calloc((size_t)n + 1, sizeof *want);
    real *const scale = calloc((size_t)n + 1, sizeof *scale);
    const int64_t channels = s->groups * (s->transposed ? s->in : s->out);
    const int64_t points = s->transposed ? s->h.n * s->w.n : s->h.out * s->w.out;
    for (int64_t i = 0; bias && i < n; i++) {
        want[i] = bias[s->number ? 0 : i / points % channels];
        scale[i] = fabsl(want[i]);
    }
    add_form(s, all, side, want, scale);
    double *const got = read_of(v, n, !bias);
    compare(s, type, what, got, want, scale, n);
    free(got);
    free(want);
    free(scale);
}

static void compare_bias(const setting *s, tg_type type, tg_value b, const double *g)
{
    const int64_t channels = s->groups * (s->transposed ? s->in : s->out);
    const int64_t points = s->transposed ? s->h.n * s->w.n : s->h.out * s->w.out;
    const int64_t n = s->number ? 1 : channels, all = s->transposed ? size_x(s) : size_g(s);
    real *const want = calloc((size_t)n + 1, sizeof *want);
    real *const scale = calloc((size_t)n + 1, sizeof *scale);
    for (int64_t i = 0; i < all; i++) {
        want[s->number ? 0 : i / points % channels] += g[i];
        scale[s->number ? 0 : i / points % channels] += fabs(g[i]);
    }
    double *const got = read_of(b, n, true);
    compare(s, type, "gradient of the bias", got, want, scale, n);
    free(got);
    free(want);
    free(scale);
}

static void check_setting(const setting *s, tg_type type)
{
    const bool turned = s->transposed;
    const int64_t nx = turned ? size_g(s) : size_x(s), ny = turned ? size_x(s) : size_g(s);
    const int64_t channels = s->groups * (turned ? s->in : s->out);
    double *const x = random_elements(nx), *const w = random_elements(size_w(s));
    double *const b = random_elements(channels), *const g = random_elements(ny);
    real *const wide[] = { widened(x, nx), widened(w, size_w(s)), widened(g, ny) };
    tg_tape *const t = tg_tape_new(&(const tg_tape_options){ .type = type });
    int64_t dim[4];
    int rank = turned ? planes_shape(s, s->groups * s->out, s->h.out, s->w.out, dim)
                      : planes_shape(s, s->groups * s->in, s->h.n, s->w.n, dim);
    tg_value v[3] = { leaf_of(t, x, rank, dim) };
    const int64_t wdim[] = { s->groups * s->out, s->in, s->h.kernel, s->w.kernel };
    const int64_t wdim1[] = { s->groups * s->out, s->in, s->w.kernel };
    v[1] = leaf_of(t, w, s->axes + 2, s->axes == 1 ? wdim1 : wdim);
    v[2] = leaf_of(t, b, !s->number, &channels);
    char attributes[256], name[32];
    attributes_of(s, attributes, sizeof attributes);
    snprintf(name, sizeof name, "conv%s%dd", turned ? "_transpose" : "", s->axes);
    const tg_value y = tg_apply(t, name, v, 3, attributes);
    const sides forward = { turned ? NULL : wide[0], wide[1], turned ? wide[0] : NULL };
    const sides back = { turned ? wide[2] : wide[0], wide[1], turned ? wide[0] : wide[2] };
    compare_side(s, type, "value", y, turned ? 0 : 2, &forward, b);
    cr_assert(tg_backward_with(y, &(const tg_backward_options){ .cotangent = g }));
    compare_side(s, type, "gradient of x", v[0], turned ? 2 : 0, &back, NULL);
    compare_side(s, type, "gradient of w", v[1], 1, &back, NULL);
    compare_bias(s, type, v[2], g);
    tg_tape_free(t);
    for (int i = 0; i < 3; i++) free(wide[i]);
    free(x), free(w), free(b), free(g);
}

/* Fills out from the other numbers of an axis; false if no window fits. */
static bool settle(axis *a)
{
    const int64_t room = a->n + 2 * a->padding - a->dilation * (a->kernel - 1) - 1;
    a->out = room < 0 ? 0 : room / a->stride + 1;
    a->more = room < 0 ? 0 : room % a->stride;
    return a->out > 0;
}

static axis random_axis(void)
{
    axis a = { 0 };
    do
        a = (axis){ .n = 1 + (int64_t)below(9),
                    .kernel = 1 + (int64_t)below(4),
                    .stride = 1 + (int64_t)below(3),
                    .padding = (int64_t)below(4),
                    .dilation = 1 + (int64_t)below(3) };
    while (!settle(&a));
    /* An output padding beyond the stride, as far as the dilation allows. */
    if (a.out > 1 && a.more + a.stride < a.dilation && below(2)) a.out--, a.more += a.stride;
    return a;
}

EACH_LEVEL(random_convolutions_agree_with_loops)
{
    const axis none = { .n = 1, .kernel = 1, .stride = 1, .dilation = 1, .out = 1 };
    for (int i = 0; i < 600; i++) {
        setting s = { .transposed = i % 2,
                      .number = below(2),
                      .axes = 1 + i / 2 % 2,
                      .images = (int64_t)below(5),
                      .groups = 1 + (int64_t)below(3),
                      .in = 1 + (int64_t)below(4),
                      .out = 1 + (int64_t)below(4) };
        s.h = s.axes == 1 ? none : random_axis();
        s.w = random_axis();
        /* Windows cut off at the end are a matter of transposed convolutions. */
        if (!s.transposed && (!settle(&s.w) || !settle(&s.h))) continue;
        check_setting(&s, i / 4 % 2 ? TG_F32 : TG_F64);
    }
}

/* Each makes other tiles: see choose_tiles in conv.c. */
EACH_LEVEL(large_convolutions_agree_with_loops)
{
#define SQUARE(N, KERNEL, STRIDE, PADDING)                                                         \
    .h = { N, KERNEL, STRIDE, PADDING, 1, 0, 0 }, .w = { N + 1, KERNEL, STRIDE, PADDING, 1, 0, 0 }
#define LINE(N, KERNEL, STRIDE, PADDING)                                                           \
    .h = { 1, 1, 1, 0, 1, 0, 0 }, .w = { N, KERNEL, STRIDE, PADDING, 1, 0, 0 }
    static const setting settings[] = {
        { .axes = 2, .images = 2, .groups = 1, .in = 3, .out = 5, SQUARE(60, 3, 1, 1) },
        { .axes = 2, .images = 3, .groups = 1, .in = 70, .out = 9, SQUARE(12, 3, 1, 1) },
        { .axes = 2, .images = 3, .groups = 1, .in = 40, .out = 30, SQUARE(20, 1, 1, 0) },
        { .axes = 2, .images = 7, .groups = 1, .in = 10, .out = 12, SQUARE(4, 1, 1, 0) },
        { .axes = 2, .images = 1, .groups = 2, .in = 10, .out = 12, SQUARE(5, 1, 2, 0) },
        { .axes = 2, .images = 9, .groups = 2, .in = 5, .out = 6, SQUARE(4, 4, 4, 0) },
        { .axes = 2, .images = 9, .groups = 2, .in = 5, .out = 6, SQUARE(3, 5, 4, 1) },
        { .axes = 2, .images = 2, .groups = 6, .in = 1, .out = 1, SQUARE(16, 3, 1, 1) },
        { .axes = 2, .images = 2, .groups = 1, .in = 33, .out = 32, SQUARE(30, 3, 2, 1) },
        { .axes = 2, .images = 40, .groups = 1, .in = 8, .out = 16, SQUARE(8, 3, 1, 1) },
        { .axes = 1, .images = 1, .groups = 1, .in = 2, .out = 3, LINE(5000, 9, 1, 4) },
        { .axes = 1, .images = 2, .groups = 1, .in = 2, .out = 3, LINE(5000, 700, 3, 0) },
    };
    for (int i = 0; i < 4 * COUNT(settings); i++) {
        setting s = settings[i / 4];
        s.transposed = i % 2;
        cr_assert(settle(&s.h) && settle(&s.w));
        check_setting(&s, i / 2 % 2 ? TG_F32 : TG_F64);
    }
}

/* ---- pooling against loops ------------------------------------------------------------------- */

typedef struct pool_setting {
    bool max, counts;
    int64_t planes;
    axis h, w;
} pool_setting;

/* y and, for gradients g, dx of one plane. */
static void pool_plane(const pool_setting *s, const double *x, const double *g, double *y,
                       double *dx)
{
    for (int64_t o = 0; o < s->h.out * s->w.out; o++) {
        int64_t seen = 0, best = -1;
        real sum = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t q = 0; q < s->h.kernel * s->w.kernel; q++) {
                const int64_t row = position(&s->h, o / s->w.out, q / s->w.kernel);
                const int64_t column = position(&s->w, o % s->w.out, q % s->w.kernel);
                if (row < 0 || column < 0) continue;
                const int64_t at = row * s->w.n + column;
                if (pass == 1) {
                    const int64_t n = s->counts ? s->h.kernel * s->w.kernel : seen;
                    if (!s->max) dx[at] += g[o] / (double)n;
                    continue;
                }
                seen++;
                sum += x[at];
                if (best < 0 || x[at] > x[best] || (isnan(x[at]) && !isnan(x[best]))) best = at;
            }
        if (s->max && best >= 0) dx[best] += g[o];
        y[o] = s->max ? (best < 0 ? -INFINITY : x[best])
                      : (double)(sum / (real)(s->counts ? s->h.kernel * s->w.kernel : seen));
    }
}

static void compare_pool(const pool_setting *s, tg_value v, const double *want, int64_t n,
                         bool gradient, tg_type type)
{
    double *const got = read_of(v, n, gradient);
    const double epsilon = type == TG_F32 ? (double)FLT_EPSILON : DBL_EPSILON;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= 16 * epsilon * (1 + fabs(want[i])) || got[i] == want[i] ||
              (isnan(got[i]) && isnan(want[i])))) {
            cr_expect(false, "%s, element %lld%s: %.17g, not %.17g, h %lld/%lld, w %lld/%lld",
                      s->max ? "max" : "avg", (long long)i, gradient ? " of the gradient" : "",
                      got[i], want[i], (long long)s->h.n, (long long)s->h.kernel, (long long)s->w.n,
                      (long long)s->w.kernel);
            break;
        }
    free(got);
}

static void check_pool(const pool_setting *s, tg_type type)
{
    const int64_t inner = s->h.n * s->w.n, outer = s->h.out * s->w.out;
    double *const x = random_elements(s->planes * inner);
    double *const g = random_elements(s->planes * outer), *const y =
                                                              random_elements(s->planes * outer);
    double *const dx = calloc((size_t)(s->planes * inner) + 1, sizeof *dx);
    for (int64_t i = 0; i < s->planes * inner; i++) {
        if (s->max && below(20) == 0) x[i] = below(2) ? NAN : -INFINITY;
        if (s->max) x[i] = floor(x[i]); /* ties */
    }
    for (int64_t i = 0; i < s->planes; i++)
        pool_plane(s, x + i * inner, g + i * outer, y + i * outer, dx + i * inner);
    tg_tape *const t = tg_tape_new(&(const tg_tape_options){ .type = type });
    const tg_value v = leaf_of(t, x, 3, (const int64_t[]){ s->planes, s->h.n, s->w.n });
    char attributes[256];
    snprintf(attributes, sizeof attributes,
             "kernel_sizes=(%d, %d), strides=(%d, %d), paddings=(%d, %d), ", (int)s->h.kernel,
             (int)s->w.kernel, (int)s->h.stride, (int)s->w.stride, (int)s->h.padding,
             (int)s->w.padding);
    const size_t used = strlen(attributes);
    if (s->max)
        snprintf(attributes + used, sizeof attributes - used, "dilations=(%d, %d)",
                 (int)s->h.dilation, (int)s->w.dilation);
    else
        snprintf(attributes + used, sizeof attributes - used, "count_include_pad=%s",
                 s->counts ? "true" : "false");
    const tg_value z = tg_apply(t, s->max ? "max_pool2d" : "avg_pool2d", &v, 1, attributes);
    compare_pool(s, z, y, s->planes * outer, false, type);
    cr_assert(tg_backward_with(z, &(const tg_backward_options){ .cotangent = g }));
    compare_pool(s, v, dx, s->planes * inner, true, type);
    tg_tape_free(t);
    free(x), free(g), free(y), free(dx);
}

EACH_LEVEL(random_pools_agree_with_loops)
{
    for (int i = 0; i < 800; i++) {
        pool_setting s = { .max = i % 2, .counts = below(2), .planes = 1 + (int64_t)below(3) };
        axis *const a[] = { &s.h, &s.w };
        for (int k = 0; k < 2; k++) {
            do {
                *a[k] = random_axis();
                if (!s.max) a[k]->dilation = 1;
                if (i % 16 < 4) a[k]->kernel = a[k]->stride = 2, a[k]->padding = 0, a[k]->dilation = 1; /* side by side */
                if (i % 10 == 0 && k == 1) a[k]->n += 130; /* rows in several pieces */
            } while (2 * a[k]->padding > a[k]->dilation * (a[k]->kernel - 1) + 1 || !settle(a[k]));
        }
        check_pool(&s, i / 2 % 2 ? TG_F32 : TG_F64);
    }
}

/* ---- calls and mistakes ---------------------------------------------------------------------- */

Test(conv, calls_take_attributes_for_all_axes_or_for_each)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_param(t, NULL, 2, 3, 9, 9), w = tg_param(t, NULL, 4, 3, 3, 3);
    const tg_value y = tg_conv2d(x, w, 0, .stride = 2, .padding = 1);
    cr_expect(tg_rank(y) == 4 && tg_dim(y, 1) == 4 && tg_dim(y, 2) == 5 && tg_dim(y, 3) == 5);
    const tg_value z = tg_conv2d(x, w, 0, .strides = TG_AXES(2, 1), .padding = 1);
    cr_expect(tg_dim(z, 2) == 5 && tg_dim(z, 3) == 9);
    const tg_value u =
        tg_conv_transpose2d(y, w, 0.5, .stride = 2, .padding = 1, .output_paddings = TG_AXES(0, 1));
    cr_expect(tg_dim(u, 1) == 3 && tg_dim(u, 2) == 9 && tg_dim(u, 3) == 10);
    const tg_value p = tg_max_pool2d(x, .kernel_size = 2), q = tg_avg_pool2d(x, .kernel_size = 3);
    cr_expect(tg_dim(p, 2) == 4 && tg_dim(q, 3) == 3);
    tg_tape_free(t);
}

Test(conv, a_large_batch_needs_no_memory_for_its_unfolded_images)
{
    enum { IMAGES = 64, SIDE = 64, CHANNELS = 8 };
    const size_t result = (size_t)IMAGES * CHANNELS * SIDE * SIDE * sizeof(double);
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_input(t, NULL, IMAGES, CHANNELS, SIDE, SIDE);
    const tg_value w = tg_param(t, NULL, CHANNELS, CHANNELS, 3, 3);
    const size_t before = tg_stats(t).bytes_held;
    tg_conv2d(x, w, 0, .padding = 1);
    cr_expect(!tg_error_of(t) && tg_stats(t).bytes_held < before + 3 * result,
              "%zu bytes for a result of %zu", tg_stats(t).bytes_held - before, result);
    tg_tape_free(t);
}

static char told[600];

static void listen(const tg_error *error, void *user)
{
    (void)user;
    snprintf(told, sizeof told, "%s", error->message);
}

/* Takes an operation by name with operands of these shapes, and expects an error. */
static void expect_error(const char *want, tg_code code, const char *op, const char *attributes,
                         const tensor *x)
{
    tg_tape *const t = tg_tape_new(NULL);
    tg_value v[3];
    int n = 0;
    for (; n < 3 && x[n].rank1; n++)
        v[n] = tg_leaf_new(t, TG_PARAMETER, TG_F64, NULL, x[n].rank1 - 1, x[n].dim, TG_HERE);
    tg_set_error_handler(listen, NULL);
    told[0] = 0;
    tg_apply(t, op, v, n, attributes);
    cr_expect(strcmp(told, want) == 0 && tg_error_of(t) && tg_error_of(t)->code == code,
              "\"%s\", not \"%s\"", told, want);
    tg_error_clear(t);
    cr_expect(tg_item(tg_sum(v[0])) == 0, "the tape is usable after \"%s\"", want);
    tg_tape_free(t);
}

#define FAILS(CODE, WANT, OP, ATTRIBUTES, ...)                                                     \
    expect_error(WANT, TG_ERROR_##CODE, OP, ATTRIBUTES, (const tensor[4]){ __VA_ARGS__ })
#define D(...)                                                                                     \
    {                                                                                              \
        1 + COUNT(((const int64_t[]){ __VA_ARGS__ })), { __VA_ARGS__ },                            \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }
#define B                                                                                          \
    {                                                                                              \
        1, { 0 },                                                                                  \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

Test(conv, operands_that_do_not_fit_are_told_with_their_numbers)
{
    FAILS(SHAPE,
          "conv2d: takes x (n, c, h, w) or (c, h, w), w of rank 4 and b of rank 1 or a number, not "
          "shapes (3, 4), (2, 3, 2, 2) and ()",
          "conv2d", NULL, D(3, 4), D(2, 3, 2, 2), B);
    FAILS(SHAPE,
          "conv1d: takes x (n, c, l) or (c, l), w of rank 3 and b of rank 1 or a number, not "
          "shapes (3, 4), (2, 3, 2) and (2, 1)",
          "conv1d", NULL, D(3, 4), D(2, 3, 2), D(2, 1));
    FAILS(SHAPE,
          "conv2d: shapes (1, 5, 4, 4) of x and (2, 3, 2, 2) of w do not agree: 5 channels, w is "
          "for 3",
          "conv2d", NULL, D(1, 5, 4, 4), D(2, 3, 2, 2), B);
    FAILS(SHAPE,
          "conv2d: shapes (1, 3, 4, 4) of x and (4, 3, 2, 2) of w do not agree: 3 channels, w is "
          "for 6",
          "conv2d", "groups=2", D(1, 3, 4, 4), D(4, 3, 2, 2), B);
    FAILS(SHAPE, "conv2d: w has shape (3, 1, 2, 2): 3 channels do not part into 2 groups", "conv2d",
          "groups=2", D(1, 2, 4, 4), D(3, 1, 2, 2), B);
    FAILS(ARGUMENT, "conv2d: groups 0: at least 1 is needed", "conv2d", "groups=0", D(1, 2, 4, 4),
          D(3, 2, 2, 2), B);
    FAILS(SHAPE, "conv2d: the bias has shape (4): the result has 3 channels", "conv2d", NULL,
          D(1, 2, 4, 4), D(3, 2, 2, 2), D(4));
    FAILS(SHAPE, "conv2d: w has shape (3, 2, 0, 2): a kernel without elements", "conv2d", NULL,
          D(1, 2, 4, 4), D(3, 2, 0, 2), B);
    FAILS(SHAPE, "conv2d: the kernel extends over 5 positions, the axis over 4 with its padding",
          "conv2d", NULL, D(1, 2, 6, 4), D(3, 2, 5, 5), B);
    FAILS(SHAPE, "conv1d: the kernel extends over 7 positions, the axis over 6 with its padding",
          "conv1d", "dilation=3, padding=1", D(1, 2, 4), D(3, 2, 3), B);
}

Test(conv, wrong_attributes_are_told_with_their_numbers)
{
    FAILS(ARGUMENT, "conv2d: stride 0: at least 1 is needed", "conv2d", "stride=0", D(1, 2, 4, 4),
          D(3, 2, 2, 2), B);
    FAILS(ARGUMENT, "conv2d: stride -1: at least 1 is needed", "conv2d", "strides=(1, -1)",
          D(1, 2, 4, 4), D(3, 2, 2, 2), B);
    FAILS(ARGUMENT, "conv2d: padding -2: at least 0 is needed", "conv2d", "padding=-2",
          D(1, 2, 4, 4), D(3, 2, 2, 2), B);
    FAILS(ARGUMENT, "conv2d: dilation 0: at least 1 is needed", "conv2d", "dilation=0",
          D(1, 2, 4, 4), D(3, 2, 2, 2), B);
    FAILS(ARGUMENT, "conv2d: strides: numbers for 3 axes given, for 2 needed", "conv2d",
          "strides=(1, 1, 1)", D(1, 2, 4, 4), D(3, 2, 2, 2), B);
    FAILS(ARGUMENT, "conv1d: paddings: numbers for 2 axes given, for 1 needed", "conv1d",
          "paddings=(1, 1)", D(2, 4), D(3, 2, 2), B);
    FAILS(ARGUMENT,
          "conv_transpose2d: output_padding 2 is less than neither stride 2 nor dilation 1",
          "conv_transpose2d", "stride=2, output_padding=2", D(1, 2, 4, 4), D(2, 3, 2, 2), B);
    FAILS(ARGUMENT, "conv_transpose1d: output_padding -1: at least 0 is needed", "conv_transpose1d",
          "output_padding=-1", D(2, 4), D(2, 3, 2), B);
    FAILS(SHAPE, "conv_transpose1d: an axis of length 2 would get length -1", "conv_transpose1d",
          "padding=2", D(2, 2), D(2, 3, 2), B);
    FAILS(SHAPE, "conv_transpose1d: an axis of length 0 would get length 1", "conv_transpose1d",
          NULL, D(2, 0), D(2, 3, 2), B);
    FAILS(SHAPE,
          "conv_transpose2d: shapes (3, 4, 4) of x and (2, 3, 2, 2) of w do not agree: 3 channels, "
          "w is for 2",
          "conv_transpose2d", NULL, D(3, 4, 4), D(2, 3, 2, 2), B);
    FAILS(SHAPE, "conv_transpose2d: the bias has shape (3): the result has 6 channels",
          "conv_transpose2d", "groups=2", D(2, 4, 4), D(2, 3, 2, 2), D(3));
}

Test(conv, pools_that_do_not_fit_are_told_with_their_numbers)
{
    FAILS(SHAPE, "max_pool2d: takes x (..., h, w), not shape (4)", "max_pool2d", "kernel_size=2",
          D(4));
    FAILS(ARGUMENT, "max_pool2d: kernel_size 0: at least 1 is needed", "max_pool2d", NULL, D(4, 4));
    FAILS(ARGUMENT, "max_pool2d: stride -1: at least 0 is needed", "max_pool2d",
          "kernel_size=2, stride=-1", D(4, 4));
    FAILS(ARGUMENT, "avg_pool2d: padding 2 is more than half of the 3 positions of the kernel",
          "avg_pool2d", "kernel_size=3, padding=2", D(4, 4));
    FAILS(SHAPE,
          "avg_pool2d: the kernel extends over 5 positions, the axis over 4 with its padding",
          "avg_pool2d", "kernel_size=5", D(4, 4));
    FAILS(SHAPE,
          "max_pool2d: the kernel extends over 2 positions, the axis over 2 with its padding",
          "max_pool2d", "kernel_size=2, padding=1", D(1, 0));
    FAILS(ARGUMENT, "avg_pool2d: kernel_sizes: numbers for 1 axes given, for 2 needed",
          "avg_pool2d", "kernel_sizes=(2,)", D(4, 4));
}
