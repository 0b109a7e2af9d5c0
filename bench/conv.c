/* Convolutions: the library against loops by hand, and against the rate of its own matrix product.

   The loops are those that vectorise well: the innermost runs along a row of the result. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tapegrad.h>

#include "report.h"

enum { REPEATS = 7 };

/* Square images and kernels, the padding that keeps the size at stride 1. */
typedef struct layer {
    int images, in, out, side, kernel, stride;
} layer;

static const layer layers[] = {
    { 64, 1, 8, 8, 3, 1 },    { 64, 1, 16, 28, 5, 1 },   { 16, 16, 32, 14, 3, 1 },
    { 2, 64, 64, 56, 3, 1 },  { 2, 128, 128, 28, 3, 2 }, { 4, 256, 256, 14, 3, 1 },
    { 8, 256, 256, 7, 3, 1 }, { 2, 256, 64, 56, 1, 1 },  { 1, 3, 64, 224, 7, 2 },
};

static int padding(const layer *l)
{
    return l->kernel / 2;
}

static int result_side(const layer *l)
{
    return (l->side + 2 * padding(l) - l->kernel) / l->stride + 1;
}

/* ---- by hand --------------------------------------------------------------------------------- */

/* The windows of a row that see an element through tap j: from ... to - 1. */
static void seen(const layer *l, int j, int *from, int *to)
{
    *from = 0, *to = result_side(l);
    while (*from < *to && *from * l->stride - padding(l) + j < 0) ++*from;
    while (*to > *from && (*to - 1) * l->stride - padding(l) + j >= l->side) --*to;
}

/* For each row of the result and each tap of each channel: G, W and X are positions in g, w and x,
   for windows FROM ... TO - 1, whose elements are STRIDE apart. */
#define EACH_ROW(L, ...)                                                                           \
    {                                                                                              \
        const int n_ = result_side(L), STRIDE = (L)->stride;                                       \
        for (int b_ = 0; b_ < (L)->images; b_++)                                                   \
            for (int o_ = 0; o_ < (L)->out; o_++)                                                  \
                for (int c_ = 0; c_ < (L)->in; c_++)                                               \
                    for (int i_ = 0; i_ < (L)->kernel; i_++)                                       \
                        for (int j_ = 0; j_ < (L)->kernel; j_++) {                                 \
                            int FROM, TO;                                                          \
                            seen(L, j_, &FROM, &TO);                                               \
                            const int W =                                                          \
                                ((o_ * (L)->in + c_) * (L)->kernel + i_) * (L)->kernel + j_;       \
                            for (int r_ = 0; r_ < n_; r_++) {                                      \
                                const int s_ = r_ * STRIDE - padding(L) + i_;                      \
                                if (s_ < 0 || s_ >= (L)->side) continue;                           \
                                const int G = ((b_ * (L)->out + o_) * n_ + r_) * n_;               \
                                const int X = ((b_ * (L)->in + c_) * (L)->side + s_) * (L)->side - \
                                              padding(L) + j_;                                     \
                                __VA_ARGS__                                                        \
                            }                                                                      \
                        }                                                                          \
    }

#define BY_HAND(TYPE)                                                                              \
    static void forward_##TYPE(const layer *l, const TYPE *x, const TYPE *w, TYPE *restrict y)     \
    {                                                                                              \
        memset(y, 0, sizeof *y *(size_t)(l->images * l->out * result_side(l) * result_side(l)));   \
        EACH_ROW(l, for (int k = FROM; k < TO; k++) y[G + k] += w[W] * x[X + k * STRIDE];)         \
    }                                                                                              \
    static void backward_##TYPE(const layer *l, const TYPE *x, const TYPE *w, const TYPE *g,       \
                                TYPE *restrict dx, TYPE *restrict dw)                              \
    {                                                                                              \
        memset(dx, 0, sizeof *dx *(size_t)(l->images * l->in * l->side * l->side));                \
        memset(dw, 0, sizeof *dw *(size_t)(l->out * l->in * l->kernel * l->kernel));               \
        EACH_ROW(                                                                                  \
            l, TYPE sum = 0; for (int k = FROM; k < TO; k++) {                                     \
                dx[X + k * STRIDE] += w[W] * g[G + k];                                             \
                sum += x[X + k * STRIDE] * g[G + k];                                               \
            } dw[W] += sum;)                                                                       \
    }
BY_HAND(float)
BY_HAND(double)

/* ---- both ------------------------------------------------------------------------------------ */

typedef struct work {
    const layer *l;
    tg_type type;
    tg_tape *tape;
    tg_mark mark;
    tg_value x, w;
    double *ones;                   /* a cotangent */
    void *px, *pw, *py, *pdx, *pdw; /* by hand */
} work;

static void do_work(int way, void *user)
{
    const work *const k = user;
    const bool both = way % 2;
    if (way < 2) {
        const tg_value y =
            tg_conv2d(k->x, k->w, 0, .stride = k->l->stride, .padding = padding(k->l));
        if (both) tg_backward_with(y, &(tg_backward_options){ .cotangent = k->ones });
        tg_release(k->mark);
    } else if (k->type == TG_F32) {
        forward_float(k->l, k->px, k->pw, k->py);
        if (both) backward_float(k->l, k->px, k->pw, k->py, k->pdx, k->pdw);
    } else {
        forward_double(k->l, k->px, k->pw, k->py);
        if (both) backward_double(k->l, k->px, k->pw, k->py, k->pdx, k->pdw);
    }
}

static void loops(int which, void *user)
{
    do_work(2 + which, user);
}

static void *elements(tg_type type, int n)
{
    void *const p = calloc((size_t)n, type == TG_F32 ? sizeof(float) : sizeof(double));
    if (!p) exit(1);
    for (int i = 0; i < n; i++)
        if (type == TG_F32) ((float *)p)[i] = (float)(i % 7) - 3;
        else ((double *)p)[i] = i % 7 - 3;
    return p;
}

/* Holds the gradient by x of both against each other. */
static void check(bench_row *r, work *k, size_t n)
{
    double *const got = malloc(n * sizeof *got), *const expected = malloc(n * sizeof *expected);
    if (!got || !expected) exit(1);
    /* By hand the cotangent is the result itself: it is made of ones. */
    const size_t results = (size_t)(k->l->images * k->l->out * result_side(k->l) * result_side(k->l));
    for (size_t i = 0; i < results; i++)
        if (k->type == TG_F32) ((float *)k->py)[i] = 1;
        else ((double *)k->py)[i] = 1;
    if (k->type == TG_F32) backward_float(k->l, k->px, k->pw, k->py, k->pdx, k->pdw);
    else backward_double(k->l, k->px, k->pw, k->py, k->pdx, k->pdw);
    const tg_value y = tg_conv2d(k->x, k->w, 0, .stride = k->l->stride, .padding = padding(k->l));
    if (!tg_backward_with(y, &(tg_backward_options){ .cotangent = k->ones })) exit(1);
    if (!tg_grad_read(k->x, got, n)) exit(1);
    for (size_t i = 0; i < n; i++)
        expected[i] = k->type == TG_F32 ? (double)((float *)k->pdx)[i] : ((double *)k->pdx)[i];
    tg_release(k->mark);
    report_agree(r, SIDE_EAGER, n, got, expected);
    free(got);
    free(expected);
}

/* A row for the value alone, and one with the gradient; the loops take up to a thousand times as long. */
static void report_layer(work *k, size_t nx, double flops)
{
    static const side eager[] = { SIDE_EAGER, SIDE_EAGER, SIDE_PLAIN, SIDE_PLAIN };
    static char sizes[64][40];
    static int rows;
    const layer *const l = k->l;
    char *const size = sizes[rows++];
    snprintf(size, sizeof sizes[0], "%dx%d,%d-%d,%d/%d", l->images, l->side, l->in, l->out, l->kernel, l->stride);
    if (!report_wants("conv2d", size)) return;
    bench_row r = { .name = "conv2d", .size = size, .type = k->type == TG_F32 ? "f32" : "f64", .layout = "value",
                    .per = "call" };
    check(&r, k, nx);
    const bool slow = flops > 1e9 && !report_quick();
    timing t[4];
    report_time(2, eager, do_work, k, REPEATS, t);
    time_ways(2, loops, k, slow ? 1 : 3, t + 2);
    r.memory = (double)tg_stats(k->tape).bytes_held;
    for (int both = 0; both < 2; both++) {
        r.layout = both ? "gradient" : "value";
        r.side[SIDE_EAGER] = t[both];
        r.side[SIDE_PLAIN] = t[2 + both];
        r.more[0].key = "gflops", r.more[0].value = (both ? 3 : 1) * flops / t[both].median;
        report_row(&r);
    }
}

static void measure(const layer *l, tg_type type)
{
    const int n = result_side(l), nx = l->images * l->in * l->side * l->side;
    const int nw = l->out * l->in * l->kernel * l->kernel, ny = l->images * l->out * n * n;
    work k = { .l = l,
               .type = type,
               .tape = tg_tape_new(&(tg_tape_options){ .type = type }),
               .ones = malloc(sizeof(double) * (size_t)ny),
               .px = elements(type, nx),
               .pw = elements(type, nw),
               .py = elements(type, ny),
               .pdx = elements(type, nx),
               .pdw = elements(type, nw) };
    for (int i = 0; i < ny && k.ones; i++) k.ones[i] = 1;
    const int64_t dim[] = { l->images, l->in, l->side, l->side };
    const int64_t wdim[] = { l->out, l->in, l->kernel, l->kernel };
    k.x = tg_leaf_new(k.tape, TG_PARAMETER, type, k.px, 4, dim, NULL);
    k.w = tg_leaf_new(k.tape, TG_PARAMETER, type, k.pw, 4, wdim, NULL);
    k.mark = tg_tape_mark(k.tape);
    report_layer(&k, (size_t)nx, 2.0 * ny * l->in * l->kernel * l->kernel);
    if (tg_error_of(k.tape)) exit(1);
    tg_tape_free(k.tape);
    free(k.ones), free(k.px), free(k.pw), free(k.py), free(k.pdx), free(k.pdw);
}

/* ---- the matrix product ---------------------------------------------------------------------- */

enum { SIDE = 768 };

static void multiply(int way, void *user)
{
    const tg_value *const x = user;
    const tg_mark mark = tg_tape_mark(x->tape);
    (void)way;
    tg_matmul(*x, *x);
    tg_release(mark);
}

static void measure_product(tg_type type)
{
    if (!report_wants("matmul", "768")) return;
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = type });
    void *const data = elements(type, SIDE * SIDE);
    tg_value x = tg_leaf_new(t, TG_INPUT, type, data, 2, (const int64_t[]){ SIDE, SIDE }, NULL);
    bench_row r = { .name = "matmul", .size = "768", .type = type == TG_F32 ? "f32" : "f64", .layout = "value",
                    .per = "call" };
    report_time(1, (const side[]){ SIDE_EAGER }, multiply, &x, REPEATS, &r.side[SIDE_EAGER]);
    r.memory = (double)tg_stats(t).bytes_held;
    r.more[0].key = "gflops", r.more[0].value = 2.0 * SIDE * SIDE * SIDE / r.side[SIDE_EAGER].median;
    report_row(&r);
    tg_tape_free(t);
    free(data);
}

int main(int argc, char **argv)
{
    report_begin(argc, argv, "conv", "Convolutions against loops by hand, and the rate of the matrix product.");
    for (int i = 0; i < 2; i++) {
        const tg_type type = i ? TG_F64 : TG_F32;
        report_title("%s; sizes: images x side, channels, kernel/stride", i ? "f64" : "f32");
        measure_product(type);
        const size_t n = report_quick() ? 1 : sizeof layers / sizeof *layers;
        for (size_t j = 0; j < n; j++) measure(&layers[j], type);
    }
    return report_end();
}
