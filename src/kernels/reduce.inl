/* Reductions, softargmax and losses. Included by kernel.c, which defines real; the terms below are
   formulas of formula.h.

   Sums: a block of a few hundred elements is summed in lanes, as many as fill the vectors of any
   level, and blocks are added with the error of every addition kept beside the total (Knuth's
   two-sum). So the error does not grow with the length, and is the same at every level. */

enum {
    ROW_LANES = 128 / sizeof(real),
    SUM_BLOCK = 16 * ROW_LANES, /* elements of a row in a block */
    SUM_ROWS = 16,              /* rows of columns in a block */
    FEW = 8,                    /* so many are summed one by one */
    SHORT = 16                  /* so few in a row, and rows are taken together */
};

#define INLINE static inline __attribute__((always_inline))

static void load(int64_t n, double *y, const void *x)
{
    const real *const from = x;
    for (int64_t i = 0; i < n; i++) y[i] = (double)from[i];
}

static void store(int64_t n, void *y, const double *x)
{
    real *const to = y;
    for (int64_t i = 0; i < n; i++) to[i] = (real)x[i];
}

/* The parameters of w outputs as real; zeros where there are none. */
static void narrow(int64_t w, real *y, const double *x)
{
    for (int64_t j = 0; j < w; j++) y[j] = x ? (real)x[j] : 0;
}

/* The same with what rounding takes away. */
static void split(int64_t w, real *y, real *rest, const double *x)
{
    narrow(w, y, x);
    for (int64_t j = 0; j < w; j++) rest[j] = x ? (real)(x[j] - (double)y[j]) : 0;
}

static inline void two_sum(double *total, double *rest, double v)
{
    const double sum = *total + v, part = sum - *total;
    *rest += (*total - (sum - part)) + (v - part);
    *total = sum;
}

/* ---- sums of terms --------------------------------------------------------------------------- */

/* TERM speaks of an element v and of the parameters b, of which rest is what its rounding took away,
   and p. Steps that are 1 are constants to the inlined body. */
#define SUM(NAME, TERM)                                                                            \
    INLINE real sum_##NAME##_block(int64_t n, const real *x, ptrdiff_t sx, const real b,           \
                                   const real rest, const real p)                                  \
    {                                                                                              \
        (void)b, (void)rest, (void)p;                                                              \
        real s[ROW_LANES] = { 0 };                                                                 \
        int64_t i = 0;                                                                             \
        if (n <= FEW) {                                                                            \
            for (; i < n; i++) {                                                                   \
                const real v = x[i * sx];                                                          \
                s[0] += TERM;                                                                      \
            }                                                                                      \
            return s[0];                                                                           \
        }                                                                                          \
        for (; i + ROW_LANES <= n; i += ROW_LANES)                                                 \
            for (int64_t l = 0; l < ROW_LANES; l++) {                                              \
                const real v = x[(i + l) * sx];                                                    \
                s[l] += TERM;                                                                      \
            }                                                                                      \
        for (int64_t l = 0; l < n - i; l++) {                                                      \
            const real v = x[(i + l) * sx];                                                        \
            s[l] += TERM;                                                                          \
        }                                                                                          \
        for (int width = ROW_LANES / 2; width; width /= 2)                                         \
            for (int l = 0; l < width; l++) s[l] += s[l + width];                                  \
        return s[0];                                                                               \
    }                                                                                              \
    static void sum_##NAME##_row(int64_t n, const real *x, ptrdiff_t sx, real b, real rest,        \
                                 real p, double s[2])                                              \
    {                                                                                              \
        for (int64_t i = 0; i < n; i += SUM_BLOCK) {                                               \
            const int64_t m = n - i < SUM_BLOCK ? n - i : SUM_BLOCK;                               \
            const real part = sx == 1 ? sum_##NAME##_block(m, x + i, 1, b, rest, p)                \
                                      : sum_##NAME##_block(m, x + i * sx, sx, b, rest, p);         \
            two_sum(&s[0], &s[1], (double)part);                                                   \
        }                                                                                          \
    }                                                                                              \
    INLINE void sum_##NAME##_rows(int64_t w, int64_t n, const real *x, ptrdiff_t sw, ptrdiff_t sn, \
                                  const real *bs, const real *rs, const real p,                    \
                                  real *restrict s)                                                \
    {                                                                                              \
        (void)p;                                                                                   \
        for (int64_t i = 0; i < n; i++)                                                            \
            for (int64_t j = 0; j < w; j++) {                                                      \
                const real v = x[i * sn + j * sw], b = bs[j], rest = rs[j];                        \
                (void)b, (void)rest;                                                               \
                s[j] += TERM;                                                                      \
            }                                                                                      \
    }                                                                                              \
    static void sum_##NAME(const tg__tile *t, const double *b, double p, tg__sums *sums)           \
    {                                                                                              \
        if (t->w == 1) {                                                                           \
            const real b1 = b ? (real)*b : 0, r1 = b ? (real)(*b - (double)b1) : 0;                \
            double s[2] = { sums->total[0], sums->rest[0] };                                       \
            sum_##NAME##_row(t->n, t->x, t->sn, b1, r1, (real)p, s);                               \
            sums->total[0] = s[0];                                                                 \
            sums->rest[0] = s[1];                                                                  \
            return;                                                                                \
        }                                                                                          \
        real bs[TG__TILE], rs[TG__TILE];                                                           \
        split(t->w, bs, rs, b);                                                                    \
        for (int64_t i = 0; i < t->n; i += SUM_ROWS) {                                             \
            const int64_t n = t->n - i < SUM_ROWS ? t->n - i : SUM_ROWS;                           \
            const real *const x = (const real *)t->x + i * t->sn;                                  \
            real s[TG__TILE] = { 0 };                                                              \
            if (t->sw == 1) sum_##NAME##_rows(t->w, n, x, 1, t->sn, bs, rs, (real)p, s);           \
            else sum_##NAME##_rows(t->w, n, x, t->sw, t->sn, bs, rs, (real)p, s);                  \
            for (int64_t j = 0; j < t->w; j++)                                                     \
                two_sum(&sums->total[j], &sums->rest[j], (double)s[j]);                            \
        }                                                                                          \
    }

/* v - b, for a b of more digits than real has: a double for f32. */
#ifdef TG_REAL_F32
#define OFFSET(v) (((v) - b) - rest)
#else
#define OFFSET(v) ((v) - b)
#endif

/* NaN is the same as NaN: where a NaN was picked, its gradient goes to the NaNs. */
#define SAME(v, b) (((v) == (b)) | (((v) != (v)) & ((b) != (b))))

SUM(plain, v)
SUM(offsets, OFFSET(v))
SUM(squares, OFFSET(v) * OFFSET(v))
SUM(sizes, abs(v))
SUM(scaled_squares, (v * b) * (v * b))
SUM(powers, pow(abs(v) * b, p))
SUM(exps, exp(v - b))
SUM(matches, where(SAME(v, b), 1, 0))
SUM(size_matches, where(SAME(abs(v), b), 1, 0))

/* ---- folds ----------------------------------------------------------------------------------- */

/* VALUE is what an element x counts as, STEP(m, v) the next m; STEP also joins lanes. */
#define FOLD(NAME, VALUE, STEP)                                                                    \
    INLINE real fold_##NAME##_row(int64_t n, const real *xs, ptrdiff_t sx, real m)                 \
    {                                                                                              \
        int64_t i = 0;                                                                             \
        if (n >= ROW_LANES) {                                                                      \
            real lane[ROW_LANES];                                                                  \
            for (; i < ROW_LANES; i++) {                                                           \
                const real x = xs[i * sx];                                                         \
                lane[i] = VALUE;                                                                   \
            }                                                                                      \
            for (; i + ROW_LANES <= n; i += ROW_LANES)                                             \
                for (int64_t l = 0; l < ROW_LANES; l++) {                                          \
                    const real x = xs[(i + l) * sx], v = VALUE;                                    \
                    lane[l] = STEP(lane[l], v);                                                    \
                }                                                                                  \
            for (int width = ROW_LANES / 2; width; width /= 2)                                     \
                for (int l = 0; l < width; l++) lane[l] = STEP(lane[l], lane[l + width]);          \
            m = STEP(m, lane[0]);                                                                  \
        }                                                                                          \
        for (; i < n; i++) {                                                                       \
            const real x = xs[i * sx], v = VALUE;                                                  \
            m = STEP(m, v);                                                                        \
        }                                                                                          \
        return m;                                                                                  \
    }                                                                                              \
    INLINE void fold_##NAME##_rows(const tg__tile *t, ptrdiff_t sw, real *restrict m)              \
    {                                                                                              \
        const real *const xs = t->x;                                                               \
        for (int64_t i = 0; i < t->n; i++)                                                         \
            for (int64_t j = 0; j < t->w; j++) {                                                   \
                const real x = xs[i * t->sn + j * sw], v = VALUE;                                  \
                m[j] = STEP(m[j], v);                                                              \
            }                                                                                      \
    }                                                                                              \
    static void fold_##NAME(const tg__tile *t, double *m)                                          \
    {                                                                                              \
        if (t->w == 1) {                                                                           \
            *m = (double)(t->sn == 1 ? fold_##NAME##_row(t->n, t->x, 1, (real)*m)                  \
                                     : fold_##NAME##_row(t->n, t->x, t->sn, (real)*m));            \
            return;                                                                                \
        }                                                                                          \
        real ms[TG__TILE];                                                                         \
        narrow(t->w, ms, m);                                                                       \
        if (t->sw == 1) fold_##NAME##_rows(t, 1, ms);                                              \
        else fold_##NAME##_rows(t, t->sw, ms);                                                     \
        load(t->w, m, ms);                                                                         \
    }

/* A NaN in v wins, and once m is NaN nothing is larger. */
#define LARGER(m, v) ((((v) > (m)) | ((v) != (v))) ? (v) : (m))
#define SMALLER(m, v) ((((v) < (m)) | ((v) != (v))) ? (v) : (m))
#define MULTIPLIED(m, v) ((m) * (v))

FOLD(max, x, LARGER)
FOLD(min, x, SMALLER)
FOLD(size_max, abs(x), LARGER)
FOLD(size_min, abs(x), SMALLER)
FOLD(product, x, MULTIPLIED)

static void find(const tg__tile *t, const double *bs, int64_t at, int64_t *index)
{
    const real *const x = t->x;
    for (int64_t j = 0; j < t->w; j++) {
        const real b = (real)bs[j];
        for (int64_t i = 0; i < t->n && index[j] < 0; i++) {
            const real v = x[j * t->sw + i * t->sn];
            if (SAME(v, b)) index[j] = at + i;
        }
    }
}

typedef wide_integer wide_integers __attribute__((vector_size(WIDE_BYTES)));

/* Whether v comes before m; a NaN comes before all. */
#define BEFORE(v, m) ((((v) < (m)) | ((v) != (v))) & ((m) == (m)))

/* Where the first smallest of the elements from i on is, of those and x[at]. */
INLINE int64_t first_smallest_from(int64_t i, int64_t n, const real *x, const real sign, int64_t at)
{
    for (; i < n; i++)
        if (BEFORE(sign * x[i], sign * x[at])) at = i;
    return at;
}

/* Where the first smallest of x, times sign, is: lane by lane, then among the lanes. */
INLINE int64_t first_smallest(int64_t n, const real *x, const real sign)
{
    if (n < 2 * LANES) return first_smallest_from(1, n, x, sign, 0);
    wide m = sign * wide_load(x);
    wide_integers first = { 0 }, now = { 0 };
    int64_t i = LANES;
    for (; i + LANES <= n; i += LANES) {
        const wide v = sign * wide_load(x + i);
        const wide_integers before = BEFORE(v, m);
        now += LANES;
        first = (before & now) | (~before & first);
        m = (wide)((before & (wide_integers)v) | (~before & (wide_integers)m));
    }
    real value[LANES], most;
    wide_integer at[LANES], least_at = INT32_MAX;
    bool nan = false;
    wide_store(value, m);
    memcpy(at, &first, sizeof at);
    most = value[0];
    for (int l = 0; l < LANES; l++) {
        most = value[l] < most ? value[l] : most;
        nan |= value[l] != value[l];
    }
    for (int l = 0; l < LANES; l++) {
        const bool is = nan ? value[l] != value[l] : value[l] == most;
        const wide_integer here = is ? at[l] + l : INT32_MAX;
        least_at = here < least_at ? here : least_at;
    }
    return first_smallest_from(i, n, x, sign, least_at);
}

static void first_extremes(int64_t rows, int64_t n, const void *xs, bool largest, int64_t *index)
{
    const real *const x = xs;
    for (int64_t r = 0; r < rows; r++)
        index[r] = largest ? first_smallest(n, x + r * n, -1) : first_smallest(n, x + r * n, 1);
}

/* ---- gradients ------------------------------------------------------------------------------- */

/* TERM speaks of an element v and of the parameters a, b, rest and p, and is a multiple of a: one
   element that is seen n times gets n a at once. */
#define SPREAD(NAME, TERM)                                                                         \
    INLINE void spread_##NAME##_row(int64_t n, const real *x, real *restrict dx, ptrdiff_t sx,     \
                                    const real a, const real b, const real rest, const real p)     \
    {                                                                                              \
        (void)b, (void)rest, (void)p;                                                              \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const real v = x[i * sx];                                                              \
            (void)v;                                                                               \
            dx[i * sx] += TERM;                                                                    \
        }                                                                                          \
    }                                                                                              \
    INLINE void spread_##NAME##_rows(const tg__tile *t, ptrdiff_t sw, real *restrict dx,           \
                                     const real *as, const real *bs, const real *rs, const real p) \
    {                                                                                              \
        (void)p;                                                                                   \
        const real *const x = t->x;                                                                \
        for (int64_t i = 0; i < t->n; i++)                                                         \
            for (int64_t j = 0; j < t->w; j++) {                                                   \
                const real v = x[i * t->sn + j * sw], a = as[j], b = bs[j], rest = rs[j];          \
                (void)v, (void)b, (void)rest;                                                      \
                dx[i * t->sn + j * sw] += a != 0 ? TERM : 0;                                       \
            }                                                                                      \
    }                                                                                              \
    static __attribute__((noinline)) void spread_##NAME##_tile(                                    \
        const tg__tile *t, void *dx, const double *a, const double *b, double p)                   \
    {                                                                                              \
        real as[TG__TILE], bs[TG__TILE], rs[TG__TILE];                                             \
        narrow(t->w, as, a);                                                                       \
        split(t->w, bs, rs, b);                                                                    \
        if (t->sw == 1) spread_##NAME##_rows(t, 1, dx, as, bs, rs, (real)p);                       \
        else spread_##NAME##_rows(t, t->sw, dx, as, bs, rs, (real)p);                              \
    }                                                                                              \
    static void spread_##NAME(const tg__tile *t, void *dx, const double *a, const double *b,       \
                              double p)                                                            \
    {                                                                                              \
        if (t->w != 1) {                                                                           \
            spread_##NAME##_tile(t, dx, a, b, p);                                                  \
            return;                                                                                \
        }                                                                                          \
        const real a1 = (real)*a, b1 = b ? (real)*b : 0, r1 = b ? (real)(*b - (double)b1) : 0;     \
        if (a1 == 0) return;                                                                       \
        if (t->sn == 1) spread_##NAME##_row(t->n, t->x, dx, 1, a1, b1, r1, (real)p);               \
        else if (t->sn == 0)                                                                       \
            spread_##NAME##_row(t->n > 0, t->x, dx, 1, a1 * (real)t->n, b1, r1, (real)p);          \
        else spread_##NAME##_row(t->n, t->x, dx, t->sn, a1, b1, r1, (real)p);                      \
    }

SPREAD(plain, a)
SPREAD(offsets, a *OFFSET(v))
SPREAD(scaled, a *(v * b))
SPREAD(signs, a *sign(v))
SPREAD(powers, where(v == 0, 0, a *copysign(pow(abs(v) * b, p), v)))
SPREAD(exps, a *exp(v - b))
SPREAD(quotients, a *(b / v))
SPREAD(matches, where(SAME(v, b), a, 0))
SPREAD(size_matches, where(SAME(abs(v), b), a *sign(v), 0))

static void products_before(const tg__tile *t, double *m, double *before)
{
    const real *const x = t->x;
    for (int64_t i = 0; i < t->n; i++) {
        before[i] = *m;
        *m *= (double)x[i * t->sn];
    }
}

static void spread_products(const tg__tile *t, void *dx, double g, double *m, const double *before)
{
    const real *const x = t->x;
    real *const d = dx;
    for (int64_t i = 0; i < t->n; i++) {
        d[i * t->sn] += (real)(g * (before[-i] * *m));
        *m *= (double)x[i * t->sn];
    }
}

/* ---- softargmax ------------------------------------------------------------------------------ */

/* The sum of a row of adjacent elements. */
static real sum_of(int64_t n, const real *x)
{
    if (n <= SUM_BLOCK) return sum_plain_block(n, x, 1, 0, 0, 0);
    double s[2] = { 0 };
    sum_plain_row(n, x, 1, 0, 0, 0, s);
    const double sum = s[0] + s[1];
    return (real)(sum == sum ? sum : s[0]);
}

static void exp_all(int64_t n, real *y, const real *x)
{
    for (int64_t i = 0; i < n; i++) y[i] = exp(x[i]);
}

static void log_all(int64_t n, real *y, const real *x)
{
    for (int64_t i = 0; i < n; i++) y[i] = log(x[i]);
}

/* m[j] = the element of column j that makes the largest beta x. */
static void column_shifts(const tg__tile *t, real beta, real *m)
{
    double extreme[TG__TILE];
    for (int64_t j = 0; j < t->w; j++) extreme[j] = beta < 0 ? (double)INFINITY : (double)-INFINITY;
    if (beta < 0) fold_min(t, extreme);
    else fold_max(t, extreme);
    narrow(t->w, m, extreme);
}

/* s[j] = the sum of f over column j. */
static void column_sums(tg__sum_kernel *f, const tg__tile *t, real *s)
{
    tg__sums sums;
    for (int64_t j = 0; j < t->w; j++) sums.total[j] = sums.rest[j] = 0;
    f(t, NULL, 0, &sums);
    for (int64_t j = 0; j < t->w; j++) {
        const double sum = sums.total[j] + sums.rest[j];
        s[j] = (real)(sum == sum ? sum : sums.total[j]);
    }
}

/* The sums of rows of adjacent elements. Of short rows the first elements of all are added, then
   the second ones ... */
static void row_sums(int64_t rows, int64_t n, const real *x, real *s)
{
    if (n <= SHORT) {
        column_sums(sum_plain, &(tg__tile){ rows, n, x, n, 1 }, s);
        return;
    }
    for (int64_t r = 0; r < rows; r++) s[r] = sum_of(n, x + r * n);
}

/* y = beta (x - m) for rows, with the m of each row that makes its largest y 0. */
static void shift_rows(int64_t rows, int64_t n, real *y, const real *x, real beta)
{
    real m[TG__TILE];
    if (n <= SHORT) {
        column_shifts(&(tg__tile){ rows, n, x, n, 1 }, beta, m);
    } else {
        for (int64_t r = 0; r < rows; r++)
            m[r] = beta < 0 ? fold_min_row(n, x + r * n, 1, (real)INFINITY)
                            : fold_max_row(n, x + r * n, 1, (real)-INFINITY);
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = r * n; i < (r + 1) * n; i++) y[i] = beta * (x[i] - m[r]);
}

/* How many rows of n elements go through the exponential together: it is fast on long stretches
   only. */
static int64_t rows_at_once(int64_t rows, int64_t n)
{
    const int64_t fit = n < TG__CHUNK / TG__TILE ? TG__TILE : n < TG__CHUNK ? TG__CHUNK / n : 1;
    return rows < fit ? rows : fit;
}

/* s[r] = sum of exp over row r of the rows_at_once rows of x. */
static void exp_sums(int64_t rows, int64_t n, const real *x, real *s)
{
    if (n > TG__CHUNK) {
        double sum[2] = { 0 };
        sum_exps_row(n, x, 1, 0, 0, 0, sum);
        s[0] = (real)(sum[0] + sum[1]); /* finite: no term is above 1 */
        return;
    }
    real e[TG__CHUNK];
    exp_all(rows * n, e, x);
    row_sums(rows, n, e, s);
}

/* Of a row too long for one chunk, in one pass: the sum of exp(beta (x - m)), with the m that makes the largest term 1. What was
   summed before a larger one came is made smaller. Elements that are all as small as can be, -inf, have no terms. */
static real long_row_sum(int64_t n, const real *x, real beta, real *m)
{
    const real least = beta < 0 ? (real)INFINITY : (real)-INFINITY;
    real e[TG__CHUNK];
    double sum[2] = { 0 };
    *m = least;
    for (int64_t i = 0; i < n; i += TG__CHUNK) {
        const int64_t count = n - i < TG__CHUNK ? n - i : TG__CHUNK;
        const real best = beta < 0 ? fold_min_row(count, x + i, 1, least) : fold_max_row(count, x + i, 1, least);
        if (best == least) continue;
        if (*m == least || !(beta * (best - *m) <= 0)) {
            const double less = *m == least ? 0 : (double)exp(beta * (*m - best));
            *m = best;
            sum[0] *= less, sum[1] *= less;
        }
        for (int64_t j = 0; j < count; j++) e[j] = beta * (x[i + j] - *m);
        exp_all(count, e, e);
        sum_plain_row(count, e, 1, 0, 0, 0, sum);
    }
    return (real)(sum[0] + sum[1]);
}

/* y = exp(beta (x - m)) of a row too long for one chunk, and its sum: what has been shifted is still in the first cache. */
static real long_row_exps(int64_t n, real *y, const real *x, real beta)
{
    const real m = beta < 0 ? fold_min_row(n, x, 1, (real)INFINITY) : fold_max_row(n, x, 1, (real)-INFINITY);
    double sum[2] = { 0 };
    for (int64_t i = 0; i < n; i += TG__CHUNK) {
        const int64_t count = n - i < TG__CHUNK ? n - i : TG__CHUNK;
        for (int64_t j = i; j < i + count; j++) y[j] = beta * (x[j] - m);
        exp_all(count, y + i, y + i);
        sum_plain_row(count, y + i, 1, 0, 0, 0, sum);
    }
    return (real)(sum[0] + sum[1]);
}

static void sums_of_rows(int64_t rows, int64_t n, const void *x, void *y)
{
    for (int64_t r = 0, m; r < rows; r += m) {
        m = rows_at_once(rows - r, n);
        row_sums(m, n, (const real *)x + r * n, (real *)y + r);
    }
}

/* y[r] = log of the sum of exp over row r; shifted by the largest, unless that is infinite. */
static void logsumexp_rows(int64_t rows, int64_t n, const real *x, real *y)
{
    real e[TG__CHUNK], m[TG__TILE];
    if (n <= SHORT) column_shifts(&(tg__tile){ rows, n, x, n, 1 }, 1, m);
    else
        for (int64_t r = 0; r < rows; r++) m[r] = fold_max_row(n, x + r * n, 1, (real)-INFINITY);
    for (int64_t r = 0; r < rows; r++) {
        if (m[r] - m[r] != 0) m[r] = m[r] != m[r] ? m[r] : 0;
        for (int64_t i = r * n; i < (r + 1) * n; i++) e[i] = x[i] - m[r];
    }
    exp_sums(rows, n, e, y);
    log_all(rows, y, y);
    for (int64_t r = 0; r < rows; r++) y[r] += m[r];
}

static void logsumexps(int64_t rows, int64_t n, const void *x, void *y)
{
    for (int64_t r = 0, m; r < rows; r += m) {
        m = rows_at_once(rows - r, n);
        logsumexp_rows(m, n, (const real *)x + r * n, (real *)y + r);
    }
}

/* The rounding of y, which is large if y is, is found again in the sum of exp(x - y): it is not 1. */
static void logsumexps_backward(int64_t rows, int64_t n, const void *xs, const void *ys, const void *gs,
                                void *dxs)
{
    real e[TG__CHUNK], s[TG__TILE];
    for (int64_t r = 0, m; r < rows; r += m) {
        const real *const x = (const real *)xs + r * n, *const y = (const real *)ys + r;
        const real *const g = (const real *)gs + r;
        real *const dx = (real *)dxs + r * n;
        m = rows_at_once(rows - r, n);
        for (int64_t j = 0; j < m; j++)
            for (int64_t i = j * n; i < (j + 1) * n; i++) e[i] = x[i] - y[j];
        exp_all(m * n, e, e);
        row_sums(m, n, e, s);
        for (int64_t j = 0; j < m; j++) {
            const real a = g[j] == 0 ? 0 : g[j] / s[j];
            for (int64_t i = j * n; i < (j + 1) * n; i++) dx[i] += a * e[i];
        }
    }
}

static void softargmax_rows(int64_t rows, int64_t n, real *y, const real *x, real beta)
{
    real s[TG__TILE];
    if (n > TG__CHUNK) {
        *s = long_row_exps(n, y, x, beta);
    } else {
        shift_rows(rows, n, y, x, beta);
        exp_all(rows * n, y, y);
        row_sums(rows, n, y, s);
    }
    for (int64_t r = 0; r < rows; r++) {
        const real scale = 1 / s[r];
        for (int64_t i = 0; i < n; i++) y[r * n + i] *= scale;
    }
}

static void log_softmax_rows(int64_t rows, int64_t n, real *y, const real *x, real beta)
{
    real s[TG__TILE];
    if (n > TG__CHUNK) {
        real m;
        const real l = log(long_row_sum(n, x, beta, &m));
        for (int64_t i = 0; i < n; i++) y[i] = beta * (x[i] - m) - l;
        return;
    }
    shift_rows(rows, n, y, x, beta);
    exp_sums(rows, n, y, s);
    log_all(rows, s, s);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < n; i++) y[r * n + i] -= s[r];
}

/* The same for w columns whose elements lie step apart. */
static void shift_columns(tg__tile t, real *y, real beta)
{
    const real *const x = t.x;
    real m[TG__TILE];
    column_shifts(&t, beta, m);
    for (int64_t i = 0; i < t.n; i++)
        for (int64_t j = 0; j < t.w; j++) y[i * t.sn + j] = beta * (x[i * t.sn + j] - m[j]);
}

static void softargmax_columns(tg__tile t, real *y, real beta)
{
    shift_columns(t, y, beta);
    t.x = y;
    for (int64_t i = 0; i < t.n; i++) exp_all(t.w, y + i * t.sn, y + i * t.sn);
    real s[TG__TILE];
    column_sums(sum_plain, &t, s);
    for (int64_t i = 0; i < t.n; i++)
        for (int64_t j = 0; j < t.w; j++) y[i * t.sn + j] /= s[j];
}

static void log_softmax_columns(tg__tile t, real *y, real beta)
{
    shift_columns(t, y, beta);
    t.x = y;
    real s[TG__TILE];
    column_sums(sum_exps, &t, s);
    log_all(t.w, s, s);
    for (int64_t i = 0; i < t.n; i++)
        for (int64_t j = 0; j < t.w; j++) y[i * t.sn + j] -= s[j];
}

/* Lines that lie one after the other go through ROWS, others side by side through COLUMNS. */
#define LINES(ROWS, COLUMNS)                                                                       \
    do {                                                                                           \
        for (int64_t i = 0, m; l.inner == 1 && l.n > 0 && i < l.outer; i += m) {                   \
            m = rows_at_once(l.outer - i, l.n);                                                    \
            const int64_t at = i * l.n;                                                            \
            ROWS;                                                                                  \
        }                                                                                          \
        for (int64_t i = 0; l.inner > 1 && i < l.outer; i++)                                       \
            for (int64_t j = 0; j < l.inner; j += TG__TILE) {                                      \
                const int64_t w = l.inner - j < TG__TILE ? l.inner - j : TG__TILE;                 \
                const int64_t at = i * l.n * l.inner + j;                                          \
                COLUMNS;                                                                           \
            }                                                                                      \
    } while (0)

static void softargmax(tg__lines l, void *y_, const void *x_, double beta)
{
    const real *const x = x_;
    real *const y = y_;
    LINES(softargmax_rows(m, l.n, y + at, x + at, (real)beta),
          softargmax_columns((tg__tile){ w, l.n, x + at, 1, l.inner }, y + at, (real)beta));
}

static void log_softmax(tg__lines l, void *y_, const void *x_, double beta)
{
    const real *const x = x_;
    real *const y = y_;
    LINES(log_softmax_rows(m, l.n, y + at, x + at, (real)beta),
          log_softmax_columns((tg__tile){ w, l.n, x + at, 1, l.inner }, y + at, (real)beta));
}

/* dx += beta y (g - s) with s, the sum of g y over the line; a g of 0 counts nothing. Rows of adjacent elements: */
INLINE real product_block(int64_t n, const real *g, const real *y)
{
    real s[ROW_LANES] = { 0 };
    int64_t i = 0;
    for (; i + ROW_LANES <= n; i += ROW_LANES)
        for (int64_t l = 0; l < ROW_LANES; l++) s[l] += TIMES(g[i + l], y[i + l]);
    for (int64_t l = 0; l < n - i; l++) s[l] += TIMES(g[i + l], y[i + l]);
    for (int width = ROW_LANES / 2; width; width /= 2)
        for (int l = 0; l < width; l++) s[l] += s[l + width];
    return s[0];
}

static real product_sum(int64_t n, const real *g, const real *y)
{
    real few = 0;
    for (int64_t i = 0; n <= FEW && i < n; i++) few += TIMES(g[i], y[i]);
    if (n <= FEW) return few;
    double s[2] = { 0 };
    for (int64_t i = 0; i < n; i += SUM_BLOCK)
        two_sum(&s[0], &s[1], (double)product_block(n - i < SUM_BLOCK ? n - i : SUM_BLOCK, g + i, y + i));
    return (real)(s[0] + s[1]);
}

/* The same of w > 1 columns whose elements lie step apart. */
static void product_sums(int64_t w, int64_t n, const real *g, const real *y, int64_t step, real *s)
{
    real product[TG__CHUNK];
    tg__sums sums = { { 0 }, { 0 } };
    const int64_t rows = TG__CHUNK / w;
    for (int64_t i = 0; i < n; i += rows) {
        const int64_t m = n - i < rows ? n - i : rows;
        for (int64_t r = 0; r < m; r++)
            for (int64_t j = 0; j < w; j++)
                product[r * w + j] = TIMES(g[(i + r) * step + j], y[(i + r) * step + j]);
        sum_plain(&(tg__tile){ w, m, product, 1, w }, NULL, 0, &sums);
    }
    for (int64_t j = 0; j < w; j++) s[j] = (real)(sums.total[j] + sums.rest[j]);
}

static void softargmax_backward_rows(int64_t rows, int64_t n, real *restrict dx, const real *g,
                                     const real *y, real beta)
{
    for (int64_t r = 0; r < rows; r++, g += n, y += n, dx += n) {
        const real s = product_sum(n, g, y);
        for (int64_t i = 0; i < n; i++) dx[i] += TIMES(g[i] - s, beta * y[i]);
    }
}

static void softargmax_backward_columns(int64_t w, tg__lines l, real *restrict dx, const real *g,
                                        const real *y, real beta)
{
    real s[TG__TILE];
    product_sums(w, l.n, g, y, l.inner, s);
    for (int64_t i = 0; i < l.n; i++, g += l.inner, y += l.inner, dx += l.inner)
        for (int64_t j = 0; j < w; j++) dx[j] += TIMES(g[j] - s[j], beta * y[j]);
}

static void softargmax_backward(tg__lines l, void *dx_, const void *g_, const void *y_, double beta)
{
    const real *const g = g_, *const y = y_;
    real *const dx = dx_;
    LINES(softargmax_backward_rows(m, l.n, dx + at, g + at, y + at, (real)beta),
          softargmax_backward_columns(w, l, dx + at, g + at, y + at, (real)beta));
}

static void log_softmax_backward_row(int64_t n, real *restrict dx, const real *g, const real *y,
                                     real beta)
{
    const real s = sum_of(n, g);
    for (int64_t i = 0; i < n; i++) dx[i] += beta * (g[i] - TIMES(s, exp(y[i])));
}

static void log_softmax_backward_rows(int64_t rows, int64_t n, real *restrict dx, const real *g,
                                      const real *y, real beta)
{
    real e[TG__CHUNK], s[TG__TILE];
    if (n > TG__CHUNK) {
        log_softmax_backward_row(n, dx, g, y, beta);
        return;
    }
    exp_all(rows * n, e, y);
    row_sums(rows, n, g, s);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = r * n; i < (r + 1) * n; i++) dx[i] += beta * (g[i] - TIMES(s[r], e[i]));
}

static void log_softmax_backward_columns(int64_t w, tg__lines l, real *restrict dx, const real *g,
                                         const real *y, real beta)
{
    real s[TG__TILE];
    column_sums(sum_plain, &(tg__tile){ w, l.n, g, 1, l.inner }, s);
    for (int64_t i = 0; i < l.n; i++, g += l.inner, y += l.inner, dx += l.inner)
        for (int64_t j = 0; j < w; j++) dx[j] += beta * (g[j] - TIMES(s[j], exp(y[j])));
}

static void log_softmax_backward(tg__lines l, void *dx_, const void *g_, const void *y_,
                                 double beta)
{
    const real *const g = g_, *const y = y_;
    real *const dx = dx_;
    LINES(log_softmax_backward_rows(m, l.n, dx + at, g + at, y + at, (real)beta),
          log_softmax_backward_columns(w, l, dx + at, g + at, y + at, (real)beta));
}

/* ---- classes --------------------------------------------------------------------------------- */

static inline real incoming(const tg__incoming *g, int64_t i)
{
    return ((const real *)g->g)[i * g->sg] * (real)g->scale;
}

static inline real weight_of(const void *weight, int64_t label)
{
    return weight ? ((const real *)weight)[label] : 1;
}

/* A row's sum of target times weight times (log_sum - t); t is lost. */
static real row_loss(const tg__scores *c, real *t, int64_t label, real log_sum)
{
    const real share = (real)c->smoothing;
    const real own = TIMES(weight_of(c->weight, label), log_sum - t[label]);
    if (share == 0) return own;
    for (int64_t j = 0; j < c->n; j++) t[j] = TIMES(weight_of(c->weight, j), log_sum - t[j]);
    return TIMES(1 - share, own) + share / (real)c->n * sum_of(c->n, t);
}

/* With t = x - max x: log(sum exp t) - t[label]. */
static void cross_entropy(const tg__scores *c, void *y_)
{
    const real *x = c->x;
    const int64_t *label = c->label, n = c->n;
    const bool plain = !c->weight && c->smoothing == 0;
    real *y = y_, *const t = c->work, s[TG__TILE];
    for (int64_t i = 0, m; i < c->rows; i += m, x += m * n, label += m, y += m) {
        m = rows_at_once(c->rows - i, n);
        if (plain && n > TG__CHUNK) {
            real most;
            const real sum = long_row_sum(n, x, 1, &most);
            *y = *label < 0 ? 0 : log(sum) - (x[*label] - most);
            continue;
        }
        shift_rows(m, n, t, x, 1);
        exp_sums(m, n, t, s);
        log_all(m, y, s);
        for (int64_t r = 0; r < m; r++)
            y[r] = label[r] < 0 ? 0
                   : plain      ? y[r] - t[r * n + label[r]]
                                : row_loss(c, t + r * n, label[r], y[r]);
    }
}

/* dx += g (softargmax x times the sum of the weighted targets, less the weighted targets). */
static void cross_entropy_backward(const tg__scores *c, void *dx_, const tg__incoming *g)
{
    const real *x = c->x;
    const int64_t *label = c->label, n = c->n;
    const real share = (real)c->smoothing / (real)n, own = 1 - (real)c->smoothing;
    const real shared = share * (c->weight ? sum_of(n, c->weight) : (real)n);
    real *dx = dx_, *const e = c->work, s[TG__TILE];
    for (int64_t i = 0, m; i < c->rows; i += m, x += m * n, label += m) {
        m = rows_at_once(c->rows - i, n);
        shift_rows(m, n, e, x, 1);
        exp_all(m * n, e, e);
        row_sums(m, n, e, s);
        for (int64_t r = 0; r < m; r++, dx += n) {
            const real gr = label[r] < 0 ? 0 : incoming(g, i + r);
            if (gr == 0) continue;
            const real target = own * weight_of(c->weight, label[r]);
            const real scale = gr * (share == 0 ? target : target + shared) / s[r];
            for (int64_t j = 0; j < n; j++) dx[j] += scale * e[r * n + j];
            dx[label[r]] -= gr * target;
            for (int64_t j = 0; share != 0 && j < n; j++)
                dx[j] -= gr * (share * weight_of(c->weight, j));
        }
    }
}

static void cross_entropy_weights(const tg__scores *c, double *dw, const tg__incoming *g,
                                  double mean)
{
    const real *x = c->x;
    const int64_t *label = c->label, n = c->n;
    const double share = c->smoothing / (double)n, own = 1 - c->smoothing;
    real *const t = c->work, s[TG__TILE];
    for (int64_t i = 0, m; i < c->rows; i += m, x += m * n, label += m) {
        m = rows_at_once(c->rows - i, n);
        shift_rows(m, n, t, x, 1);
        exp_sums(m, n, t, s);
        log_all(m, s, s);
        for (int64_t r = 0; r < m; r++) {
            const double gr = label[r] < 0 ? 0 : (double)incoming(g, i + r);
            if (gr == 0) continue;
            dw[label[r]] += gr * ((own == 0 ? 0 : own * (double)(s[r] - t[r * n + label[r]])) - mean);
            for (int64_t j = 0; share != 0 && j < n; j++)
                dw[j] += gr * (share * (double)(s[r] - t[r * n + j]));
        }
    }
}

/* The sum of p (log(sum exp t) - t). */
static void cross_entropy_soft(const tg__scores *c, void *y_)
{
    const real *x = c->x, *p = c->probability;
    const int64_t n = c->n;
    real *y = y_, *const t = c->work, s[TG__TILE];
    for (int64_t i = 0, m; i < c->rows; i += m, x += m * n, p += m * n, y += m) {
        m = rows_at_once(c->rows - i, n);
        shift_rows(m, n, t, x, 1);
        exp_sums(m, n, t, s);
        log_all(m, s, s);
        for (int64_t r = 0; r < m; r++)
            for (int64_t j = r * n; j < (r + 1) * n; j++) t[j] = TIMES(p[j], s[r] - t[j]);
        row_sums(m, n, t, y);
    }
}

static void cross_entropy_soft_backward(const tg__scores *c, void *dx_, void *dp_,
                                        const tg__incoming *g)
{
    const real *x = c->x, *p = c->probability;
    const int64_t n = c->n;
    real *dx = dx_, *dp = dp_, *const t = c->work, s[TG__TILE], log_s[TG__TILE];
    for (int64_t i = 0, m; i < c->rows; i += m, x += m * n) {
        m = rows_at_once(c->rows - i, n);
        shift_rows(m, n, t, x, 1);
        exp_sums(m, n, t, s);
        log_all(m, log_s, s);
        for (int64_t r = 0; r < m; r++, p += n) {
            const real gr = incoming(g, i + r), *const tr = t + r * n;
            if (dp && gr != 0)
                for (int64_t j = 0; j < n; j++) dp[j] += gr * (log_s[r] - tr[j]);
            if (dx && gr != 0) {
                const real scale = sum_of(n, p) / s[r];
                for (int64_t j = 0; j < n; j++) dx[j] += gr * (scale * exp(tr[j]) - p[j]);
            }
            if (dp) dp += n;
            if (dx) dx += n;
        }
    }
}

static void nll(int64_t n, void *y_, const void *x_, ptrdiff_t sx, ptrdiff_t step,
                const int64_t *label, const void *weight)
{
    const real *const x = x_;
    real *const y = y_;
    for (int64_t i = 0; i < n; i++)
        y[i] = label[i] < 0 ? 0 : -TIMES(weight_of(weight, label[i]), x[i * sx + label[i] * step]);
}

static void nll_backward(int64_t n, void *dx_, ptrdiff_t sx, ptrdiff_t step, const int64_t *label,
                         const void *weight, const tg__incoming *g)
{
    real *const dx = dx_;
    for (int64_t i = 0; i < n; i++)
        if (label[i] >= 0)
            dx[i * sx + label[i] * step] -= TIMES(incoming(g, i), weight_of(weight, label[i]));
}

static void nll_weights(int64_t n, double *dw, const void *x_, ptrdiff_t sx, ptrdiff_t step,
                        const int64_t *label, const tg__incoming *g, double mean)
{
    const real *const x = x_;
    for (int64_t i = 0; i < n; i++) {
        const double gi = label[i] < 0 ? 0 : (double)incoming(g, i);
        if (gi != 0) dw[label[i]] -= gi * ((double)x[i * sx + label[i] * step] + mean);
    }
}

/* ---- losses of two operands ------------------------------------------------------------------ */

#define PAIR(NAME, TERM)                                                                           \
    INLINE void pair_##NAME##_row(const tg__pair *x, real *restrict y, ptrdiff_t sa, ptrdiff_t sb) \
    {                                                                                              \
        const real *const as = x->a, *const bs = x->b, p = (real)x->p;                             \
        (void)p;                                                                                   \
        for (int64_t i = 0; i < x->n; i++) {                                                       \
            const real a = as[i * sa], b = bs[i * sb];                                             \
            (void)a, (void)b;                                                                      \
            y[i] = TERM;                                                                           \
        }                                                                                          \
    }                                                                                              \
    static void pair_##NAME(const tg__pair *x, void *y)                                            \
    {                                                                                              \
        if (x->sa == 1 && x->sb == 1) pair_##NAME##_row(x, y, 1, 1);                               \
        else if (x->sa == 1 && x->sb == 0) pair_##NAME##_row(x, y, 1, 0);                          \
        else pair_##NAME##_row(x, y, x->sa, x->sb);                                                \
    }
#define PAIR_LOSS(NAME, VALUE, DA, DB)                                                             \
    PAIR(NAME, VALUE)                                                                              \
    PAIR(NAME##_da, DA)                                                                            \
    PAIR(NAME##_db, DB)

/* A logarithm no smaller than -100, and its derivative. NaN stays. */
static inline real bounded(real logarithm)
{
    return logarithm < -100 ? -100 : logarithm;
}

static inline real bounded_slope(real logarithm, real slope)
{
    return logarithm < -100 ? 0 : logarithm == logarithm ? slope : logarithm;
}

PAIR_LOSS(mse, (a - b) * (a - b), 2 * (a - b), 2 * (b - a))
PAIR_LOSS(l1, abs(a - b), sign(a - b), sign(b - a))
PAIR_LOSS(bce, -(b *bounded(log(a)) + (1 - b) * bounded(log1p(-a))),
          (1 - b) * bounded_slope(log1p(-a), 1 / (1 - a)) - b * bounded_slope(log(a), 1 / a),
          bounded(log1p(-a)) - bounded(log(a)))
/* Of an error e, squares up to p, then a line with the slope there. */
static inline real huber(real e, real p)
{
    const real size = abs(e);
    return size <= p ? R(0.5) * e * e : p * (size - R(0.5) * p);
}

static inline real smooth_l1(real e, real p)
{
    const real size = abs(e);
    return size < p ? R(0.5) * e * (e / p) : size - R(0.5) * p;
}

static inline real held(real e, real p)
{
    return e > p ? p : e < -p ? -p : e;
}

PAIR_LOSS(huber, huber(a - b, p), held(a - b, p), held(b - a, p))
PAIR_LOSS(smooth_l1, smooth_l1(a - b, p), abs(a - b) < p ? (a - b) / p : sign(a - b),
          abs(a - b) < p ? (b - a) / p : sign(b - a))
PAIR_LOSS(kl_div, ((b == 0) & (a == a)) ? 0 : b * (log(b) - a), -b, (b == 0 ? 0 : log(b) + 1) - a)
PAIR_LOSS(hinge, a * b >= 1 ? 0 : 1 - a * b, a *b >= 1 ? 0 : -b, a *b >= 1 ? 0 : -a)
/* max(a, 0) - a b + log(1 + exp(-|a|)): softplus holds the first and the last. */
PAIR_LOSS(bce_with_logits, softplus(a) - a * b, sigmoid(a) - b, -a)

/* The part of a pair from element i on that goes through a kernel at once. */
static tg__pair pair_part(const tg__pair *p, int64_t i)
{
    tg__pair part = *p;
    part.n = p->n - i < TG__CHUNK ? p->n - i : TG__CHUNK;
    part.a = (const real *)p->a + i * p->sa;
    part.b = (const real *)p->b + i * p->sb;
    return part;
}

static void pair_sum(tg__pair_kernel *f, const tg__pair *p, tg__sums *s)
{
    real y[TG__CHUNK];
    for (int64_t i = 0; i < p->n; i += TG__CHUNK) {
        const tg__pair part = pair_part(p, i);
        f(&part, y);
        sum_plain(&(tg__tile){ 1, part.n, y, 0, 1 }, NULL, 0, s);
    }
}

/* d += g f(a, b); a g of 0 adds nothing. */
static void pair_add(tg__pair_kernel *f, const tg__pair *p, void *dx, ptrdiff_t sdx,
                     const tg__incoming *g)
{
    real *const d = dx, t[TG__CHUNK];
    for (int64_t i = 0; i < p->n; i += TG__CHUNK) {
        const tg__pair part = pair_part(p, i);
        const int64_t n = part.n;
        f(&part, t);
        if (g->sg == 0) {
            const real gi = incoming(g, 0);
            for (int64_t j = 0; j < n; j++) t[j] = TIMES(gi, t[j]);
        } else {
            for (int64_t j = 0; j < n; j++) t[j] = TIMES(incoming(g, i + j), t[j]);
        }
        add(n, d + i * sdx, sdx, t, 1);
    }
}

#define PAIR_ROW(NAME)                                                                             \
    {                                                                                              \
        pair_##NAME,                                                                               \
        {                                                                                          \
            pair_##NAME##_da, pair_##NAME##_db                                                     \
        }                                                                                          \
    }

#define REDUCE_KERNELS                                                                             \
    {                                                                                              \
        .load = load, .store = store, .sum = sum_plain, .offsets = sum_offsets,                    \
        .squares = sum_squares, .sizes = sum_sizes, .scaled_squares = sum_scaled_squares,          \
        .powers = sum_powers, .exps = sum_exps, .matches = sum_matches,                            \
        .size_matches = sum_size_matches, .max = fold_max, .min = fold_min,                        \
        .size_max = fold_size_max, .size_min = fold_size_min, .product = fold_product,             \
        .spread = spread_plain, .spread_offsets = spread_offsets, .spread_scaled = spread_scaled, .spread_signs = spread_signs,    \
        .spread_powers = spread_powers, .spread_exps = spread_exps, .spread_quotients = spread_quotients,                                \
        .spread_matches = spread_matches, .spread_size_matches = spread_size_matches,              \
        .find = find, .first_extremes = first_extremes, .row_sums = sums_of_rows,              \
        .row_logsumexps = logsumexps, .row_logsumexps_backward = logsumexps_backward, .products_before = products_before, .spread_products = spread_products,      \
        .softargmax = softargmax, .log_softmax = log_softmax,                                      \
        .softargmax_backward = softargmax_backward, .log_softmax_backward = log_softmax_backward,  \
        .cross_entropy = cross_entropy, .cross_entropy_backward = cross_entropy_backward,          \
        .cross_entropy_weights = cross_entropy_weights, .cross_entropy_soft = cross_entropy_soft,  \
        .cross_entropy_soft_backward = cross_entropy_soft_backward, .nll = nll,                    \
        .nll_backward = nll_backward, .nll_weights = nll_weights, .mse = PAIR_ROW(mse),            \
        .l1 = PAIR_ROW(l1), .bce = PAIR_ROW(bce), .bce_with_logits = PAIR_ROW(bce_with_logits),    \
        .huber = PAIR_ROW(huber), .smooth_l1 = PAIR_ROW(smooth_l1), .kl_div = PAIR_ROW(kl_div),    \
        .hinge = PAIR_ROW(hinge), .pair_sum = pair_sum, .pair_add = pair_add,                      \
    }
