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
    tap t = { from, to, from * w->stride + start };
    if (w->padding == 0) return t;
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

#define WINDOW_KERNELS                                                                             \
    {                                                                                              \
        .unfold = unfold, .fold = fold                                                             \
    }
