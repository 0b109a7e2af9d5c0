/* Factorisations, the part of them that goes row by row: blocks of a matrix, and whole small ones. Included by kernel.c
   after wide.inl. The algorithms are those of Golub and Van Loan, Matrix Computations, 4th edition; sections are named
   at each. Products are not fused with sums where a pivot is at stake: a matrix is singular at every level or at none. */

static void dense_load(int64_t m, int64_t n, double *y, tg__matrix x)
{
    const real *from = x.p;
    for (int64_t i = 0; i < m; i++, y += n, from += x.row) {
        if (x.column == 1)
            for (int64_t j = 0; j < n; j++) y[j] = (double)from[j];
        else
            for (int64_t j = 0; j < n; j++) y[j] = (double)from[j * x.column];
    }
}

static void dense_store(int64_t m, int64_t n, tg__matrix x, const double *y, ptrdiff_t row)
{
    real *to = x.p;
    for (int64_t i = 0; i < m; i++, y += row, to += x.row) {
        if (x.column == 1)
            for (int64_t j = 0; j < n; j++) to[j] = (real)y[j];
        else
            for (int64_t j = 0; j < n; j++) to[j * x.column] = (real)y[j];
    }
}

static void dense_add(int64_t m, int64_t n, tg__matrix x, const double *y, ptrdiff_t row,
                      double scale)
{
    real *to = x.p;
    for (int64_t i = 0; i < m; i++, y += row, to += x.row) {
        if (x.column == 1)
            for (int64_t j = 0; j < n; j++) to[j] = (real)((double)to[j] + scale * y[j]);
        else
            for (int64_t j = 0; j < n; j++)
                to[j * x.column] = (real)((double)to[j * x.column] + scale * y[j]);
    }
}

#define DENSE_MOVES .load = dense_load, .store = dense_store, .add = dense_add

#ifdef TG_REAL_F32
#define DENSE_KERNELS                                                                              \
    {                                                                                              \
        DENSE_MOVES                                                                                \
    }
#else

/* ---- rows ------------------------------------------------------------------------------------ */

static double dense_dot(int64_t n, const double *x, const double *y)
{
    wide sum = wide_splat(0), more = wide_splat(0);
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        sum = wide_fma(wide_load(x + i), wide_load(y + i), sum);
        more = wide_fma(wide_load(x + i + LANES), wide_load(y + i + LANES), more);
    }
    for (; i < n; i += LANES) {
        const wide_mask rest = wide_first(n - i);
        sum = wide_fma(wide_load_first(x + i, rest), wide_load_first(y + i, rest), sum);
    }
    return wide_sum(sum + more);
}

static void dense_add_row(int64_t n, double *restrict y, const double *restrict x, double a)
{
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

/* Work on the columns of a matrix goes strip by strip, each of some vectors; the last may not be whole. (Memory that was
   stored through a mask is slow to load again: whole vectors do without.) */
enum { STRIP = 4 };
#define EACH_STRIP(N, WORK)                                                                        \
    for (int64_t at = 0; at < (N); at += STRIP * LANES) {                                          \
        const int64_t left = (N)-at, width = (left + LANES - 1) / LANES;                           \
        const wide_mask last = wide_first((left - 1) % LANES + 1);                                 \
        if (left >= 4 * LANES) WORK(4, true, last);                                                \
        else if (left == 2 * LANES) WORK(2, true, last);                                           \
        else if (left == LANES) WORK(1, true, last);                                               \
        else if (width == 4) WORK(4, false, last);                                                 \
        else if (width == 3) WORK(3, false, last);                                                 \
        else if (width == 2) WORK(2, false, last);                                                 \
        else WORK(1, false, last);                                                                 \
    }

WIDE_INLINE void strip_load(wide *v, const double *x, const int width, const bool whole,
                            wide_mask last)
{
    _Pragma("GCC unroll 4") for (int q = 0; q < width; q++) v[q] =
        whole || q < width - 1 ? wide_load(x + q * LANES) : wide_load_first(x + q * LANES, last);
}

WIDE_INLINE void strip_store(double *x, const wide *v, const int width, const bool whole,
                             wide_mask last)
{
    _Pragma("GCC unroll 4") for (int q = 0; q < width; q++) if (whole || q < width - 1)
        wide_store(x + q * LANES, v[q]);
    else wide_store_first(x + q * LANES, last, v[q]); }

WIDE_INLINE void rotate_strip(double *x, double *y, wide c, wide s, const int width,
                              const bool whole, wide_mask last)
{
    wide a[STRIP], b[STRIP], to[STRIP];
    strip_load(a, x, width, whole, last);
    strip_load(b, y, width, whole, last);
    _Pragma("GCC unroll 4") for (int q = 0; q < width; q++) to[q] = c * a[q] + s * b[q];
    strip_store(x, to, width, whole, last);
    _Pragma("GCC unroll 4") for (int q = 0; q < width; q++) to[q] = c * b[q] - s * a[q];
    strip_store(y, to, width, whole, last);
}

static void dense_rotate(int64_t n, double *x, double *y, double c, double s){
#define ROTATE(WIDTH, WHOLE, LAST)                                                                 \
    rotate_strip(x + at, y + at, wide_splat(c), wide_splat(s), WIDTH, WHOLE, LAST)
    EACH_STRIP(n, ROTATE)
#undef ROTATE
}

/* ---- triangles and Gauss --------------------------------------------------------------------- */

WIDE_INLINE void substitute_strip(int64_t m, tg__matrix t, bool lower, bool unit, double *b,
                                  ptrdiff_t row, const int width, const bool whole, wide_mask last)
{
    const double *const p = t.p;
    for (int64_t step = 0; step < m; step++) {
        const int64_t i = lower ? step : m - 1 - step;
        wide sum[STRIP], more[STRIP];
        strip_load(sum, b + i * row, width, whole, last);
        _Pragma("GCC unroll 4") for (int q = 0; q < width; q++) more[q] = wide_splat(0);
        for (int64_t known = 0; known < step; known++) {
            const int64_t j = lower ? known : m - 1 - known;
            const wide a = wide_splat(-p[i * t.row + j * t.column]);
            wide x[STRIP];
            strip_load(x, b + j * row, width, whole, last);
            if (known % 2)
                _Pragma("GCC unroll 4") for (int q = 0; q < width; q++) more[q] =
                    wide_fma(a, x[q], more[q]);
            else
                _Pragma("GCC unroll 4") for (int q = 0; q < width; q++) sum[q] =
                    wide_fma(a, x[q], sum[q]);
        }
        _Pragma("GCC unroll 4") for (int q = 0; q < width; q++) sum[q] += more[q];
        const wide pivot = wide_splat(unit ? 1 : p[i * (t.row + t.column)]);
        if (!unit) _Pragma("GCC unroll 4") for (int q = 0; q < width; q++) sum[q] /= pivot;
        strip_store(b + i * row, sum, width, whole, last);
    }
}

/* Section 3.1. */
static void dense_substitute(int64_t m, int64_t n, tg__matrix t, bool lower, bool unit, double *b,
                             ptrdiff_t row)
{
#define SUBSTITUTE(WIDTH, WHOLE, LAST)                                                             \
    substitute_strip(m, t, lower, unit, b + at, row, WIDTH, WHOLE, LAST)
    EACH_STRIP(n, SUBSTITUTE)
#undef SUBSTITUTE
}

static void dense_exchange(int64_t n, double *restrict x, double *restrict y)
{
    for (int64_t k = 0; k < n; k++) {
        const double here = x[k];
        x[k] = y[k];
        y[k] = here;
    }
}

/* Which lanes of a vector at column c are column j, and which lie behind it. */
typedef struct place_in_row {
    wide_lanes here, behind;
} place_in_row;

WIDE_INLINE place_in_row place_of(int64_t lane)
{
    static const wide_integer lanes[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    wide_lanes all;
    memcpy(&all, lanes, sizeof all);
    return (place_in_row){ all == lane, all > lane };
}

/* In the vector of columns that the pivot lies in: factors take the place of column j, and behind it their multiples of
   the pivot's row u are subtracted. a is the vector in the first of m rows, lane is j's. */
WIDE_INLINE void factor_strip(int64_t m, double *a, ptrdiff_t row, const double *u, int64_t lane,
                              const bool whole, wide_mask last)
{
    const place_in_row at = place_of(lane);
    const double pivot = u[lane];
    wide v, x;
    strip_load(&v, u, 1, whole, last);
    for (int64_t i = 0; i < m; i++, a += row) {
        const wide factor = wide_splat(a[lane] / pivot);
        strip_load(&x, a, 1, whole, last);
        x = wide_chosen(at.here, factor, wide_chosen(at.behind, x - factor * v, x));
        strip_store(a, &x, 1, whole, last);
    }
}

/* The same for columns behind: u and a are in the first of them, the factors in `factor`. */
WIDE_INLINE void subtract_strip(int64_t m, double *a, ptrdiff_t row, const double *u,
                                const double *factor, const int width, const bool whole,
                                wide_mask last)
{
    wide v[STRIP], x[STRIP];
    strip_load(v, u, width, whole, last);
    for (int64_t i = 0; i < m; i++, a += row, factor += row) {
        strip_load(x, a, width, whole, last);
        _Pragma("GCC unroll 4") for (int q = 0; q < width; q++) x[q] -= wide_splat(*factor) * v[q];
        strip_store(a, x, width, whole, last);
    }
}

/* Where the largest of n elements of a column is, the first of equal ones; 0 if there are none but NaN. How large it is is found
   first, every other element by itself, so that fewer comparisons wait for the one before. */
static int64_t dense_largest(int64_t n, const double *column, ptrdiff_t row)
{
    double most = -1, other = -1;
    int64_t i = 0;
    for (; i + 2 <= n; i += 2) {
        const double size = fabs(column[i * row]), next = fabs(column[(i + 1) * row]);
        most = size > most ? size : most;
        other = next > other ? next : other;
    }
    most = other > most ? other : most;
    if (i < n && fabs(column[i * row]) > most) return i;
    for (i = 0; i < n; i++)
        if (fabs(column[i * row]) >= most) return i;
    return 0;
}

/* Section 3.4. Vectors lie at the same columns in every step. */
static int64_t dense_eliminate(int64_t m, int64_t n, double *a, ptrdiff_t row, int64_t from,
                               int64_t end, int64_t *swap)
{
    int64_t zero = -1;
    for (int64_t j = from; j < end; j++) {
        const int64_t best = j + dense_largest(m - j, a + j * row + j, row), below = m - j - 1;
        swap[j] = best;
        if (best != j) dense_exchange(n, a + j * row, a + best * row);
        const int64_t first = from + (j - from) / LANES * LANES, next = first + LANES;
        double *const u = a + j * row, *const rows = u + row;
        if (u[j] == 0 && zero < 0) zero = j;
        if (u[j] == 0) continue;
        if (next <= end)
            factor_strip(below, rows + first, row, u + first, j - first, true, wide_first(LANES));
        else
            factor_strip(below, rows + first, row, u + first, j - first, false,
                         wide_first(end - first));
#define SUBTRACT(WIDTH, WHOLE, LAST)                                                               \
    subtract_strip(below, rows + next + at, row, u + next + at, rows + j, WIDTH, WHOLE, LAST)
        EACH_STRIP(end - next, SUBTRACT)
#undef SUBTRACT
    }
    return zero;
}

/* Section 4.2.5. */
static int64_t dense_cholesky(int64_t n, double *a, ptrdiff_t row, int64_t from, int64_t end)
{
    for (int64_t j = from; j < end; j++) {
        double *const here = a + j * row;
        if (!(here[j] > 0)) return j;
        const double pivot = sqrt(here[j]);
        for (int64_t k = j; k < n; k++) here[k] /= pivot;
        for (int64_t i = j + 1; i < end; i++)
            dense_add_row(n - i, a + i * row + i, here + i, -here[i]);
    }
    return -1;
}

/* ---- reflections ----------------------------------------------------------------------------- */

WIDE_INLINE void reflect_strip(int64_t m, double *a, ptrdiff_t row, const double *v, ptrdiff_t step,
                               double tau, const int width, const bool whole, wide_mask last)
{
    wide sum[STRIP], x[STRIP];
    strip_load(sum, a, width, whole, last);
    for (int64_t i = 1; i < m; i++) {
        strip_load(x, a + i * row, width, whole, last);
        _Pragma("GCC unroll 4") for (int q = 0; q < width; q++) sum[q] =
            wide_fma(wide_splat(v[i * step]), x[q], sum[q]);
    }
    strip_load(x, a, width, whole, last);
    _Pragma("GCC unroll 4") for (int q = 0; q < width; q++)
    {
        sum[q] *= wide_splat(-tau);
        x[q] += sum[q];
    }
    strip_store(a, x, width, whole, last);
    for (int64_t i = 1; i < m; i++) {
        strip_load(x, a + i * row, width, whole, last);
        _Pragma("GCC unroll 4") for (int q = 0; q < width; q++) x[q] =
            wide_fma(wide_splat(v[i * step]), sum[q], x[q]);
        strip_store(a + i * row, x, width, whole, last);
    }
}

/* Section 5.1. */
static void dense_reflect(int64_t m, int64_t n, double *a, ptrdiff_t row, const double *v,
                          ptrdiff_t step, double tau)
{
    if (tau == 0) return;
#define REFLECT(WIDTH, WHOLE, LAST) reflect_strip(m, a + at, row, v, step, tau, WIDTH, WHOLE, LAST)
    EACH_STRIP(n, REFLECT)
#undef REFLECT
}

#define DENSE_KERNELS                                                                              \
    {                                                                                              \
        DENSE_MOVES, .dot = dense_dot, .add_row = dense_add_row, .rotate = dense_rotate,           \
                     .substitute = dense_substitute, .eliminate = dense_eliminate,                 \
                     .cholesky = dense_cholesky, .reflect = dense_reflect                          \
    }
#endif
