/* Kernels of reductions, softargmax and losses: see reduce.inl. */
#ifndef TG_KERNELS_REDUCE_H
#define TG_KERNELS_REDUCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A tile is a piece of a reduction: w neighbouring outputs, of which output j reduces the n
   elements x[j * sw + i * sn]. Numbers that belong to outputs are doubles for both types: totals
   t[w], parameters a[w] and b[w]. */
enum { TG__TILE = 256 };

typedef struct tg__tile {
    int64_t w, n; /* w <= TG__TILE */
    const void *x;
    ptrdiff_t sw, sn;
    int64_t outputs; /* of the whole reduction, sw apart, where the next tile is to be brought near; or 0 */
} tg__tile;

/* n elements, stride apart, of one output. */
static inline tg__tile tg__row_tile(int64_t n, const void *x, ptrdiff_t stride)
{
    return (tg__tile){ .w = 1, .n = n, .x = x, .sn = stride };
}

/* Running sums: what rounding takes from total is kept in rest. */
typedef struct tg__sums {
    double total[TG__TILE], rest[TG__TILE];
} tg__sums;

/* The sum of f(x, b, p) over each output's elements is added to s. */
typedef void tg__sum_kernel(const tg__tile *t, const double *b, double p, tg__sums *s);

/* m = f(m, x) over each output's elements; m, of x's type, is given unless it begins here. */
typedef void tg__fold_kernel(const tg__tile *t, bool begins, void *m);

/* dx += a * f(x, b, p) for each output's elements, nothing where a is 0; dx has the strides of x.
   */
typedef void tg__spread_kernel(const tg__tile *t, void *dx, const double *a, const double *b,
                               double p);

/* A row of two operands, and a parameter. */
typedef struct tg__pair {
    int64_t n;
    const void *a, *b;
    ptrdiff_t sa, sb;
    double p;
} tg__pair;

/* y[i] = f(a[i], b[i], p); y has stride 1. */
typedef void tg__pair_kernel(const tg__pair *x, void *y);

/* Incoming gradients of rows: scale * g[i * sg]. */
typedef struct tg__incoming {
    const void *g;
    ptrdiff_t sg;
    double scale;
} tg__incoming;

/* A loss of two operands: its value and its derivatives by them. slopes, for adjacent operands and one incoming gradient, adds
   what belongs to both in one pass: da and db are adjacent, do not overlap, and may be NULL. */
typedef struct tg__pair_loss {
    tg__pair_kernel *value, *derivative[2];
    void (*slopes)(const tg__pair *x, void *da, void *db, const tg__incoming *g);
} tg__pair_loss;

/* Rows of n scores for n classes, one after the other. The target of a row is its label, a negative
   one if it is ignored; of that the share smoothing belongs to all classes evenly. Every class
   counts with its weight; NULL: 1. Or the targets are rows of probabilities. work has room for
   TG__WORK(n) elements. kept: NULL, or rows of softargmax x, which cross_entropy writes; its gradient reads them, and
   overwrites dx then, which may be the same array. */
typedef struct tg__scores {
    int64_t rows, n;
    const void *x;
    const int64_t *label;
    const void *weight;
    double smoothing;
    const void *probability;
    void *work, *kept;
} tg__scores;
enum { TG__CHUNK = 2048 };
#define TG__WORK(n) ((n) > TG__CHUNK ? (n) : TG__CHUNK)

/* Of each of n rows of scores the label's: x[i * row + label[i] * step]; label[i] is negative if it is ignored. Every class
   counts with its weight; NULL: 1. unread: 0, or how many classes there are, where no label is ignored, and any may be none
   of them. */
typedef struct tg__labelled {
    int64_t n;
    const void *x;
    ptrdiff_t row, step;
    const int64_t *label;
    int64_t unread;
    const void *weight;
} tg__labelled;

/* An array (outer, n, inner), row-major; its lines run along n. */
typedef struct tg__lines {
    int64_t outer, n, inner;
} tg__lines;

typedef struct tg__reduce_kernels {
    void (*load)(int64_t n, double *y, const void *x);
    void (*store)(int64_t n, void *y, const double *x);

    /* Numbers of w outputs: y = sums, of their two parts; y = a / b, 0 where one of them is 0; y = g / count; whether some
       x > 0 is below least; whether there is an m whose square is not less than square times the variance. */
    void (*totals)(int64_t w, double *y, const double *total, const double *rest);
    void (*quotients)(int64_t w, double *y, const double *a, const double *b);
    void (*shares)(int64_t w, double *y, const double *g, const double *count);
    bool (*any_below)(int64_t w, const double *x, double least);
    bool (*far_from_0)(int64_t w, const double *m, const double *variance, double square);

    /* y, of x's type, = the sums of x, where the elements of an output are of one block, of which nothing is kept that
       rounding takes; else false. */
    bool (*block_sums)(const tg__tile *t, void *y);

    tg__sum_kernel *sum;            /* x */
    tg__sum_kernel *offsets;        /* x - b */
    tg__sum_kernel *squares;        /* (x - b)^2 */
    tg__sum_kernel *sizes;          /* |x| */
    tg__sum_kernel *scaled_squares; /* (x b)^2 */
    tg__sum_kernel *powers;         /* |x b|^p */
    tg__sum_kernel *exps;           /* exp(x - b) */
    tg__sum_kernel *equals;         /* 1 where x == b */
    tg__sum_kernel *matches;        /* 1 where x is b; NaN matches NaN */
    tg__sum_kernel *size_matches;   /* 1 where |x| is b */

    tg__fold_kernel *max, *min, *size_max, *size_min; /* of x and of |x|; NaN wins */
    tg__fold_kernel *product;

    tg__spread_kernel *spread;              /* a */
    tg__spread_kernel *spread_multiples;    /* a x */
    tg__spread_kernel *spread_offsets;      /* a (x - b) */
    tg__spread_kernel *spread_scaled;       /* a (x b) */
    tg__spread_kernel *spread_signs;        /* a sign(x) */
    tg__spread_kernel *spread_powers;       /* a sign(x) |x b|^p, 0 at x = 0 */
    tg__spread_kernel *spread_exps;         /* a exp(x - b) */
    tg__spread_kernel *spread_quotients;    /* a (b / x) */
    tg__spread_kernel *spread_equals;       /* a where x == b */
    tg__spread_kernel *spread_matches;      /* a where x is b */
    tg__spread_kernel *spread_size_matches; /* a sign(x) where |x| is b */

    /* index[j] = at + i for the first i at which x is b, where index[j] is negative. */
    void (*find)(const tg__tile *t, const double *b, int64_t at, int64_t *index);

    /* Of rows of n adjacent elements, 0 < n <= TG__CHUNK: logarithms of sums of exponentials; and where
       those, y, are finite, their gradient, which is added to dx. */
    void (*row_logsumexps)(int64_t rows, int64_t n, const void *x, void *y);
    void (*row_logsumexps_backward)(int64_t rows, int64_t n, const void *x, const void *y, const void *g, void *dx);

    /* The same, with a softargmax of every row, kept, from which the gradient is dx = g kept; dx may be kept.
       Rows may have any length. */
    void (*kept_logsumexps)(int64_t rows, int64_t n, const void *x, void *y, void *kept);
    void (*kept_logsumexps_backward)(int64_t rows, int64_t n, const void *kept, const void *g, void *dx);

    /* Where the first smallest or largest of each row of n adjacent elements is; n > 0. */
    void (*first_extremes)(int64_t rows, int64_t n, const void *x, bool largest, int64_t *index);

    /* The same of the columns of n such rows; columns > 0. */
    void (*first_extremes_columns)(int64_t columns, int64_t n, const void *x, bool largest, int64_t *index);

    /* The two halves of a product's gradient, one output: before[i] = the running product m in
       front of element i; then, over the elements from the last to the first (n negative steps from
       x and dx), dx += g * before * (product behind). */
    void (*products_before)(const tg__tile *t, double *m, double *before);
    void (*spread_products)(const tg__tile *t, void *dx, double g, double *m, const double *before);

    /* y and x may be the same array. */
    void (*softargmax)(tg__lines l, void *y, const void *x, double beta);
    void (*log_softmax)(tg__lines l, void *y, const void *x, double beta);
    void (*softargmax_backward)(tg__lines l, void *dx, const void *g, const void *y, double beta);
    void (*log_softmax_backward)(tg__lines l, void *dx, const void *g, const void *y, double beta);

    void (*cross_entropy)(const tg__scores *s, void *y);
    void (*cross_entropy_backward)(const tg__scores *s, void *dx, const tg__incoming *g);
    /* dw += the gradient by the weights, where mean is the weighted mean that y is, else 0. */
    void (*cross_entropy_weights)(const tg__scores *s, double *dw, const tg__incoming *g,
                                  double mean);
    void (*cross_entropy_soft)(const tg__scores *s, void *y);
    void (*cross_entropy_soft_backward)(const tg__scores *s, void *dx, void *dp,
                                        const tg__incoming *g); /* dx or dp may be NULL */

    /* The sum of the labels' weights; y = minus the weight times the label's score, 0 where that is ignored, and where there
       are weights w = those; the gradients of y, dx with the strides of x, dw as that of cross_entropy_weights, each of
       which may be NULL. False if an unread label is no class; something may have been written then. */
    bool (*label_weights)(const tg__labelled *r, double *total);
    bool (*nll)(const tg__labelled *r, void *y, void *w);
    bool (*nll_backward)(const tg__labelled *r, const tg__incoming *g, void *dx, double *dw, double mean);

    tg__pair_loss mse, l1, bce, bce_with_logits, huber, smooth_l1, kl_div, hinge;
    void (*pair_sum)(tg__pair_kernel *f, const tg__pair *p, tg__sums *s); /* s += f(a, b) */
    void (*pair_add)(tg__pair_kernel *f, const tg__pair *p, void *dx, ptrdiff_t sdx,
                     const tg__incoming *g);
} tg__reduce_kernels;

#endif
