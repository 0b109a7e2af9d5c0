/* Rows of lanes: see lanes.h. Included by kernel.c, behind wide.inl.

   Four vectors of lanes at a time, then one, of which the last may be short. */
#define LANES_VECTORS 4
#define LANES_STEP (LANES_VECTORS * LANES)

WIDE_INLINE wide lanes_load(const real *x, bool short_, wide_mask first)
{
    return short_ ? wide_load_first(x, first) : wide_load(x);
}

WIDE_INLINE void lanes_store(real *y, bool short_, wide_mask first, wide v)
{
    if (short_) wide_store_first(y, first, v);
    else wide_store(y, v);
}

/* ---- dot products ---------------------------------------------------------------------------- */

WIDE_INLINE void dot_part(int64_t l, const int vectors, bool short_, wide_mask first, real *y,
                          int64_t terms, const void *const *x, const ptrdiff_t *stride)
{
    wide sum[LANES_VECTORS];
    for (int v = 0; v < vectors; v++) sum[v] = wide_splat(0);
    for (int64_t t = 0; t < terms; t++) {
        const real *const a = x[2 * t], *const b = x[2 * t + 1];
        const bool one_a = stride[2 * t] == 0, one_b = stride[2 * t + 1] == 0;
        for (int v = 0; v < vectors; v++) {
            const wide p = one_a ? wide_splat(*a) : lanes_load(a + l + v * LANES, short_, first);
            const wide q = one_b ? wide_splat(*b) : lanes_load(b + l + v * LANES, short_, first);
            sum[v] = wide_fma(p, q, sum[v]);
        }
    }
    for (int v = 0; v < vectors; v++) lanes_store(y + l + v * LANES, short_, first, sum[v]);
}

static void lanes_dot(int64_t n, void *y, int64_t terms, const void *const *x,
                      const ptrdiff_t *stride)
{
    int64_t l = 0;
    for (; l + LANES_STEP <= n; l += LANES_STEP)
        dot_part(l, LANES_VECTORS, false, wide_first(LANES), y, terms, x, stride);
    for (; l < n; l += LANES) dot_part(l, 1, true, wide_first(n - l), y, terms, x, stride);
}

/* Up to four rows of weights at a time: their sums stay in registers. */
WIDE_INLINE void dots_part(int64_t l, const int rows, const int vectors, bool short_, wide_mask first,
                           int64_t terms, void *const *y, const void *const *x,
                           const void *const *weight)
{
    wide sum[4][LANES_VECTORS];
    _Pragma("GCC unroll 4") for (int i = 0; i < rows; i++)
        _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++) sum[i][v] = wide_splat(0);
    for (int64_t t = 0; t < terms; t++) {
        const real *const at = (const real *)x[t] + l;
        wide b[LANES_VECTORS];
        _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++)
            b[v] = lanes_load(at + v * LANES, short_, first);
        _Pragma("GCC unroll 4") for (int i = 0; i < rows; i++) {
            const wide w = wide_splat(*(const real *)weight[i * terms + t]);
            _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++)
                sum[i][v] = wide_fma(w, b[v], sum[i][v]);
        }
    }
    _Pragma("GCC unroll 4") for (int i = 0; i < rows; i++)
        _Pragma("GCC unroll 4") for (int v = 0; v < vectors; v++)
            lanes_store((real *)y[i] + l + v * LANES, short_, first, sum[i][v]);
}

WIDE_INLINE void dots_rows(int64_t n, const int rows, int64_t terms, void *const *y,
                           const void *const *x, const void *const *weight)
{
    int64_t l = 0;
    for (; l + LANES_STEP <= n; l += LANES_STEP)
        dots_part(l, rows, LANES_VECTORS, false, wide_first(LANES), terms, y, x, weight);
    for (; l < n; l += LANES) dots_part(l, rows, 1, true, wide_first(n - l), terms, y, x, weight);
}

static void lanes_dots(int64_t n, int64_t rows, int64_t terms, void *const *y, const void *const *x,
                       const void *const *weight)
{
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) dots_rows(n, 4, terms, y + i, x, weight + i * terms);
    if (rows - i == 3) dots_rows(n, 3, terms, y + i, x, weight + i * terms);
    if (rows - i == 2) dots_rows(n, 2, terms, y + i, x, weight + i * terms);
    if (rows - i == 1) dots_rows(n, 1, terms, y + i, x, weight + i * terms);
}

/* ---- sums over lanes: in the same order, however the instances are cut into blocks ------------ */

#define LANE_SUMS ((int)(TG__LANE_BYTES / sizeof(real)))
#define SUM_VECTORS (LANE_SUMS / LANES)
#if WIDE_BYTES == TG__LANE_BYTES
#define OUTER_ROWS 4
#define OUTER_COLUMNS 4
#else
#define OUTER_ROWS 2
#define OUTER_COLUMNS 2
#endif

WIDE_INLINE void outer_part(int64_t n, const int rows, const int columns, int64_t row, real *sum,
                            const void *const *a, const void *const *b)
{
    wide part[OUTER_ROWS][OUTER_COLUMNS][SUM_VECTORS];
    _Pragma("GCC unroll 4") for (int i = 0; i < rows; i++)
        _Pragma("GCC unroll 4") for (int j = 0; j < columns; j++)
            _Pragma("GCC unroll 8") for (int v = 0; v < SUM_VECTORS; v++)
                part[i][j][v] = wide_load(sum + (i * row + j) * LANE_SUMS + v * LANES);
    for (int64_t l = 0; l < n; l += LANE_SUMS) {
        const bool short_ = n - l < LANE_SUMS;
        _Pragma("GCC unroll 8") for (int v = 0; v < SUM_VECTORS; v++) {
            const int64_t at = l + v * LANES;
            const wide_mask first = wide_first(n - at > 0 ? n - at : 0);
            wide q[4];
            _Pragma("GCC unroll 4") for (int j = 0; j < columns; j++)
                q[j] = lanes_load((const real *)b[j] + at, short_, first);
            _Pragma("GCC unroll 4") for (int i = 0; i < rows; i++) {
                const wide p = lanes_load((const real *)a[i] + at, short_, first);
                _Pragma("GCC unroll 4") for (int j = 0; j < columns; j++)
                    part[i][j][v] = wide_fma(p, q[j], part[i][j][v]);
            }
        }
    }
    _Pragma("GCC unroll 4") for (int i = 0; i < rows; i++)
        _Pragma("GCC unroll 4") for (int j = 0; j < columns; j++)
            _Pragma("GCC unroll 8") for (int v = 0; v < SUM_VECTORS; v++)
                wide_store(sum + (i * row + j) * LANE_SUMS + v * LANES, part[i][j][v]);
}

WIDE_INLINE void outer_rows(int64_t n, const int rows, int64_t columns, real *sum, const void *const *a,
                            const void *const *b)
{
    int64_t j = 0;
    for (; j + OUTER_COLUMNS <= columns; j += OUTER_COLUMNS)
        outer_part(n, rows, OUTER_COLUMNS, columns, sum + j * LANE_SUMS, a, b + j);
    switch (columns - j) {
#if OUTER_COLUMNS > 2
    case 3: outer_part(n, rows, 3, columns, sum + j * LANE_SUMS, a, b + j); break;
    case 2: outer_part(n, rows, 2, columns, sum + j * LANE_SUMS, a, b + j); break;
#endif
    case 1: outer_part(n, rows, 1, columns, sum + j * LANE_SUMS, a, b + j); break;
    default: break;
    }
}

static void lanes_outer(int64_t n, int64_t rows, int64_t columns, void *sum, const void *const *a,
                        const void *const *b)
{
    int64_t i = 0;
    for (; i + OUTER_ROWS <= rows; i += OUTER_ROWS)
        outer_rows(n, OUTER_ROWS, columns, (real *)sum + i * columns * LANE_SUMS, a + i, b);
    real *const last = (real *)sum + i * columns * LANE_SUMS;
    switch (rows - i) {
#if OUTER_ROWS > 2
    case 3: outer_rows(n, 3, columns, last, a + i, b); break;
    case 2: outer_rows(n, 2, columns, last, a + i, b); break;
#endif
    case 1: outer_rows(n, 1, columns, last, a + i, b); break;
    default: break;
    }
}

/* ---- rows of instances out of rows of lanes --------------------------------------------------- */

WIDE_INLINE void place_column(int64_t n, real *y, ptrdiff_t row, const real *x, ptrdiff_t stride)
{
    if (n == LANES && stride == 1)
        _Pragma("GCC unroll 16") for (int l = 0; l < LANES; l++) y[l * row] = x[l];
    else
        for (int64_t l = 0; l < n; l++) y[l * row] = x[l * stride];
}

/* A few instances at a time, whose rows stay in the first cache. */
static void lanes_rows(int64_t n, int64_t columns, void *y, ptrdiff_t row, const uint32_t *at,
                       const void *const *x, const ptrdiff_t *stride)
{
    for (int64_t l = 0; l < n; l += LANES) {
        real *const to = (real *)y + l * row;
        for (int64_t j = 0; j < columns; j++)
            place_column(least(n - l, LANES), to + at[j], row, (const real *)x[j] + l * stride[j], stride[j]);
    }
}

/* ---- one derivative for several cotangents ---------------------------------------------------- */

static void lanes_spread(int64_t n, void *d_, const void *g_, double by_)
{
    real *const restrict d = d_;
    const real *const restrict g = g_, by = (real)by_;
    int64_t l = 0;
    for (; l + LANES <= n; l += LANES)
        _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) d[l + i] += g[l + i] != 0 ? g[l + i] * by : 0;
    for (; l < n; l++) d[l] += g[l] != 0 ? g[l] * by : 0;
}

/* A sum of zeros is NaN once there is one that was an infinity or NaN. y: where the numbers go, or a constant NULL. */
WIDE_INLINE bool finite_on_the_way(int64_t n, real *y, const real *x)
{
    wide sum[LANES_VECTORS] = { { 0 } };
    int64_t i = 0;
    for (; i + LANES_STEP <= n; i += LANES_STEP)
        for (int v = 0; v < LANES_VECTORS; v++) {
            const wide part = wide_load(x + i + v * LANES);
            if (y) wide_store(y + i + v * LANES, part);
            sum[v] += part * 0;
        }
    for (; i < n; i += LANES) {
        const wide_mask first = wide_first(n - i);
        const wide part = wide_load_first(x + i, first);
        if (y) wide_store_first(y + i, first, part);
        sum[0] += part * 0;
    }
    return wide_sum((sum[0] + sum[1]) + (sum[2] + sum[3])) == 0;
}

static bool lanes_finite(int64_t n, const void *x) { return finite_on_the_way(n, NULL, x); }

static bool lanes_copy_finite(int64_t n, void *y, const void *x) { return finite_on_the_way(n, y, x); }

#define LANES_KERNELS                                                                                       \
    { .finite = lanes_finite, .copy_finite = lanes_copy_finite, .rows = lanes_rows, .dot = lanes_dot,       \
      .dots = lanes_dots, .outer = lanes_outer, .spread = lanes_spread }
