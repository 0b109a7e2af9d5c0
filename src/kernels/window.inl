/* Sliding windows. Included by kernel.c after wide.inl.

   Everything goes tap by tap: the windows of a row that see real elements through one tap are a
   range, and these elements lie stride apart. So the inner loops have no conditions. */
#include <math.h>

/* a / b rounded down and up, b > 0. */
static int64_t floor_divided(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t ceil_divided(int64_t a, int64_t b)
{
    return -floor_divided(-a, b);
}

static int64_t clamped(int64_t x, int64_t lo, int64_t hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}

/* What tap i sees of an axis: in windows begin ... end - 1 the positions at, at + stride, ... */
typedef struct tap {
    int64_t begin, end, at;
} tap;

/* Of the windows from ... to - 1. */
static tap tap_of(const tg__windows *w, int64_t i, int64_t from, int64_t to)
{
    const int64_t start = i * w->dilation - w->padding;
    tap t;
    t.begin = clamped(ceil_divided(-start, w->stride), from, to);
    t.end = clamped(floor_divided(w->n - 1 - start, w->stride) + 1, t.begin, to);
    t.at = t.begin * w->stride + start;
    return t;
}

/* ---- convolution ----------------------------------------------------------------------------- */

static void zero_row(int64_t n, real *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = 0;
}

/* y = x and x += y for short rows; x has any stride. */
WIDE_INLINE void row_from(int64_t n, real *y, const real *x, ptrdiff_t sx)
{
    int64_t i = 0;
    if (sx == 1) {
        for (; i + LANES <= n; i += LANES) wide_store(y + i, wide_load(x + i));
        if (i < n) {
            const wide_mask rest = wide_first(n - i);
            wide_store_first(y + i, rest, wide_load_first(x + i, rest));
        }
        return;
    }
    for (; i < n; i++) y[i] = x[i * sx];
}

WIDE_INLINE void row_to(int64_t n, const real *y, real *x, ptrdiff_t sx)
{
    int64_t i = 0;
    if (sx == 1) {
        for (; i + LANES <= n; i += LANES) wide_store(x + i, wide_load(x + i) + wide_load(y + i));
        if (i < n) {
            const wide_mask rest = wide_first(n - i);
            wide_store_first(x + i, rest,
                             wide_load_first(x + i, rest) + wide_load_first(y + i, rest));
        }
        return;
    }
    for (; i < n; i++) x[i * sx] += y[i];
}

/* One row of the matrix: channel c through tap (i, j). unfolds is a constant in both calls. */
WIDE_INLINE void matrix_row(const tg__planes *p, tg__window_range r, const tap *across,
                            int64_t down, real *m, real *plane, const bool unfolds)
{
    const ptrdiff_t step = p->w.stride * p->column;
    int64_t o = r.first / p->w.out, from = r.first % p->w.out;
    for (int64_t left = r.count; left > 0; o++, from = 0) {
        const int64_t n = left < p->w.out - from ? left : p->w.out - from;
        const int64_t at = o * p->h.stride + down;
        const bool seen = at >= 0 && at < p->h.n;
        const int64_t begin = clamped(across->begin, from, from + n) - from;
        const int64_t end = seen ? clamped(across->end, from + begin, from + n) - from : begin;
        if (end > begin) {
            real *const x = plane + at * p->row +
                            (across->at + (from + begin - across->begin) * p->w.stride) * p->column;
            if (unfolds) row_from(end - begin, m + begin, x, step);
            else row_to(end - begin, m + begin, x, step);
        }
        if (unfolds) {
            zero_row(begin, m);
            zero_row(n - end, m + end);
        }
        m += n;
        left -= n;
    }
}

WIDE_INLINE void matrix_rows(const tg__planes *p, tg__window_range r, real *m, ptrdiff_t row,
                             real *x, const bool unfolds)
{
    for (int64_t c = 0; c < p->channels; c++, x += p->channel)
        for (int64_t i = 0; i < p->h.kernel; i++)
            for (int64_t j = 0; j < p->w.kernel; j++, m += row) {
                const tap across = tap_of(&p->w, j, 0, p->w.out);
                matrix_row(p, r, &across, i * p->h.dilation - p->h.padding, m, x, unfolds);
            }
}

static void unfold(const tg__planes *p, tg__window_range r, void *matrix, ptrdiff_t row,
                   const void *x)
{
    matrix_rows(p, r, matrix, row, (real *)(uintptr_t)x, true);
}

static void fold(const tg__planes *p, tg__window_range r, const void *matrix, ptrdiff_t row,
                 void *x)
{
    matrix_rows(p, r, (real *)(uintptr_t)matrix, row, x, false);
}

/* ---- pooling --------------------------------------------------------------------------------- */

enum { POOL_WINDOWS = 64 }; /* of a row are looked at together */

/* Some windows of one row of a plane, next to each other. */
typedef struct pool_row {
    const tg__planes *p;
    int64_t o, from, n; /* the row of windows, the first of them, how many */
    tap down;           /* the taps of the row that lie on the plane: begin ... end - 1 */
} pool_row;

/* The taps of window o that see elements. */
static tap taps_of(const tg__windows *w, int64_t o)
{
    const int64_t start = o * w->stride - w->padding;
    tap t;
    t.begin = clamped(ceil_divided(-start, w->dilation), 0, w->kernel);
    t.end = clamped(floor_divided(w->n - 1 - start, w->dilation) + 1, t.begin, w->kernel);
    t.at = start + t.begin * w->dilation;
    return t;
}

/* The first piece of p's windows; and the next one, or false behind the last. */
static pool_row pool_begin(const tg__planes *p)
{
    return (pool_row){ p, 0, 0, clamped(p->w.out, 0, POOL_WINDOWS), taps_of(&p->h, 0) };
}

static bool pool_next(pool_row *r)
{
    r->from += r->n;
    if (r->from == r->p->w.out) {
        r->from = 0;
        if (++r->o == r->p->h.out) return false;
        r->down = taps_of(&r->p->h, r->o);
    }
    r->n = clamped(r->p->w.out - r->from, 0, POOL_WINDOWS);
    return true;
}

/* For each tap (I, J) of a piece R of windows that sees any elements: SEEN is the position in the
   plane of what window BEGIN sees, windows BEGIN ... END - 1 of the piece see elements STEP apart. */
#define EACH_TAP(R, ...)                                                                           \
    for (int64_t I = (R)->down.begin; I < (R)->down.end; I++) {                                    \
        const tg__planes *const P = (R)->p;                                                        \
        const int64_t down_ = (R)->o * P->h.stride - P->h.padding + I * P->h.dilation;             \
        for (int64_t J = 0; J < P->w.kernel; J++) {                                                \
            const tap across_ = tap_of(&P->w, J, (R)->from, (R)->from + (R)->n);                   \
            const int64_t BEGIN = across_.begin - (R)->from, END = across_.end - (R)->from;        \
            const int64_t SEEN = down_ * P->w.n + across_.at, STEP = P->w.stride;                  \
            if (BEGIN < END) {                                                                     \
                __VA_ARGS__                                                                        \
            }                                                                                      \
        }                                                                                          \
    }

/* Better of x and the best so far: the first NaN stays. */
#define BETTER(x, best) (((x) > (best)) | (((x) != (x)) & ((best) == (best))))

static void max_row(int64_t n, real *restrict best, const real *restrict x, int64_t step)
{
    if (step == 1)
        for (int64_t k = 0; k < n; k++) best[k] = BETTER(x[k], best[k]) ? x[k] : best[k];
    else if (step == 2)
        for (int64_t k = 0; k < n; k++) best[k] = BETTER(x[2 * k], best[k]) ? x[2 * k] : best[k];
    else
        for (int64_t k = 0; k < n; k++)
            best[k] = BETTER(x[k * step], best[k]) ? x[k * step] : best[k];
}

static void pool_max(const tg__planes *p, void *y_, const void *x_)
{
    const real *const x = x_;
    real *y = y_;
    pool_row r = pool_begin(p);
    do {
        for (int64_t k = 0; k < r.n; k++) y[k] = -(real)INFINITY;
        EACH_TAP(&r, max_row(END - BEGIN, y + BEGIN, x + SEEN, STEP);)
        y += r.n;
    } while (pool_next(&r));
}

static void choose_row(int64_t n, int64_t *restrict chosen, real *restrict best,
                       const real *restrict x, int64_t at, int64_t step)
{
    for (int64_t k = 0; k < n; k++) {
        const real v = x[at + k * step];
        const bool better = BETTER(v, best[k]) | (chosen[k] < 0);
        best[k] = better ? v : best[k];
        chosen[k] = better ? at + k * step : chosen[k];
    }
}

static void pool_choose(const tg__planes *p, int64_t *chosen, const void *x)
{
    pool_row r = pool_begin(p);
    do {
        real best[POOL_WINDOWS];
        for (int64_t k = 0; k < r.n; k++) best[k] = -(real)INFINITY, chosen[k] = -1;
        EACH_TAP(&r, choose_row(END - BEGIN, chosen + BEGIN, best + BEGIN, x, SEEN, STEP);)
        chosen += r.n;
    } while (pool_next(&r));
}

/* How many elements, or taps, the mean of each window of a piece is made of. */
static void pool_counts(const pool_row *r, int counts_padding, double *count)
{
    const int64_t down = r->down.end - r->down.begin;
    for (int64_t k = 0; k < r->n; k++) {
        const tap across = taps_of(&r->p->w, r->from + k);
        count[k] = (double)(counts_padding ? r->p->h.kernel * r->p->w.kernel
                                           : down * (across.end - across.begin));
    }
}

/* Few windows of many taps: then the inner loops run along a window instead. */
static bool goes_along_taps(const tg__planes *p)
{
    return p->w.out < 8 && p->w.kernel > p->w.out && p->w.dilation == 1;
}

static void add_seen(int64_t n, double *restrict sum, const real *restrict x, int64_t step)
{
    if (step == 1)
        for (int64_t k = 0; k < n; k++) sum[k] += (double)x[k];
    else
        for (int64_t k = 0; k < n; k++) sum[k] += (double)x[k * step];
}

static double run_sum(int64_t n, const real *x)
{
    double part[16] = { 0 };
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 16; l++) part[l] += (double)x[i + l];
    for (int l = 0; l < n - i; l++) part[l] += (double)x[i + l];
    for (int width = 8; width; width /= 2)
        for (int l = 0; l < width; l++) part[l] += part[l + width];
    return part[0];
}

/* For each row of each window of a piece R, which sees N elements from position SEEN on: window K
   of the piece. */
#define EACH_RUN(R, ...)                                                                           \
    for (int64_t K = 0; K < (R)->n; K++) {                                                         \
        const tap along_ = taps_of(&(R)->p->w, (R)->from + K);                                     \
        const int64_t N = along_.end - along_.begin;                                               \
        for (int64_t i_ = (R)->down.begin; i_ < (R)->down.end; i_++) {                             \
            const int64_t row_ = (R)->down.at + (i_ - (R)->down.begin) * (R)->p->h.dilation;       \
            const int64_t SEEN = row_ * (R)->p->w.n + along_.at;                                   \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static void pool_mean(const tg__planes *p, int counts_padding, void *y_, const void *x_)
{
    const real *const x = x_;
    real *y = y_;
    pool_row r = pool_begin(p);
    do {
        double sum[POOL_WINDOWS] = { 0 }, count[POOL_WINDOWS];
        pool_counts(&r, counts_padding, count);
        if (goes_along_taps(p)) {
            EACH_RUN(&r, sum[K] += run_sum(N, x + SEEN);)
        } else {
            EACH_TAP(&r, add_seen(END - BEGIN, sum + BEGIN, x + SEEN, STEP);)
        }
        for (int64_t k = 0; k < r.n; k++) y[k] = (real)(sum[k] / count[k]);
        y += r.n;
    } while (pool_next(&r));
}

static void pool_spread_mean(const tg__planes *p, int counts_padding, const void *y_, void *x_)
{
    const real *y = y_;
    real *const x = x_;
    pool_row r = pool_begin(p);
    do {
        double count[POOL_WINDOWS];
        real share[POOL_WINDOWS];
        pool_counts(&r, counts_padding, count);
        for (int64_t k = 0; k < r.n; k++) share[k] = (real)((double)y[k] / count[k]);
        if (goes_along_taps(p)) {
            EACH_RUN(&r, for (int64_t k = 0; k < N; k++) x[SEEN + k] += share[K];)
        } else {
            EACH_TAP(&r, row_to(END - BEGIN, share + BEGIN, x + SEEN, STEP);)
        }
        y += r.n;
    } while (pool_next(&r));
}

static void pool_pick(int64_t n, void *y_, const void *x_, const int64_t *chosen)
{
    const real *const x = x_;
    real *const y = y_;
    for (int64_t i = 0; i < n; i++) y[i] += chosen[i] < 0 ? 0 : x[chosen[i]];
}

static void pool_put(int64_t n, const void *y_, void *x_, const int64_t *chosen)
{
    const real *const y = y_;
    real *const x = x_;
    for (int64_t i = 0; i < n; i++)
        if (chosen[i] >= 0) x[chosen[i]] += y[i];
}

#define WINDOW_KERNELS                                                                             \
    {                                                                                              \
        .unfold = unfold, .fold = fold, .max = pool_max, .choose = pool_choose, .mean = pool_mean, \
        .spread_mean = pool_spread_mean, .pick = pool_pick, .put = pool_put                        \
    }
