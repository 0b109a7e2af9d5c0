/* Reductions. Included by kernel.c, which defines real; the terms below are formulas of formula.h.

   Sums: a block of a few hundred elements is summed in lanes, as many as fill the vectors of any
   level, and blocks are added with the error of every addition kept beside the total (Knuth's
   two-sum). So the error does not grow with the length, and is the same at every level. */

enum {
    SUM_BLOCK = 16 * ROW_LANES, /* elements of a row in a block */
    SUM_ROWS = 16               /* rows of columns in a block */
};

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

static const real absent[TG__TILE];

/* The parameters of w outputs as real, where they are or in room; zeros where there are none. */
static const real *rounded_to_real(int64_t w, real *room, const double *x)
{
    if (!x) return absent;
#ifdef TG_REAL_F32
    for (int64_t j = 0; j < w; j++) room[j] = (real)x[j];
    return room;
#else
    (void)w, (void)room;
    return x;
#endif
}

/* What that took away. */
static const real *rounded_away(int64_t w, real *room, const double *x)
{
#ifdef TG_REAL_F32
    if (!x) return absent;
    for (int64_t j = 0; j < w; j++) room[j] = (real)(x[j] - (double)(real)x[j]);
    return room;
#else
    (void)w, (void)room, (void)x;
    return absent;
#endif
}

static inline void two_sum(double *total, double *rest, double v)
{
    const double sum = *total + v, part = sum - *total;
    *rest += (*total - (sum - part)) + (v - part);
    *total = sum;
}

/* Of an infinite sum the rest is NaN. */
static inline double sum_and_rest(double total, double rest)
{
    const double sum = total + rest;
    return sum == sum ? sum : total;
}

/* ---- numbers of outputs ----------------------------------------------------------------------- */

static void totals(int64_t w, double *restrict y, const double *restrict total, const double *restrict rest)
{
    for (int64_t j = 0; j < w; j++) y[j] = sum_and_rest(total[j], rest[j]);
}

/* 0 where a or b is 0. Both are numbers of the type, whose quotients are rounded as those of doubles would be. */
static IN_HALVES void quotients(int64_t w, double *restrict y, const double *restrict a, const double *restrict b)
{
    for (int64_t j = 0; j < w; j++) {
        const real quotient = (real)a[j] / (real)b[j];
        y[j] = ((a[j] == 0) | (b[j] == 0)) ? 0 : (double)quotient;
    }
}

/* Most counts are 1: quotients take as long as all the rest. */
static void shares(int64_t w, double *restrict y, const double *restrict g, const double *restrict count)
{
    int64_t others = 0;
    for (int64_t j = 0; j < w; j++) others |= count[j] != 1;
    if (others) quotients(w, y, g, count);
    else memcpy(y, g, (size_t)w * sizeof *g);
}

static IN_HALVES bool any_below(int64_t w, const double *x, double least)
{
    int64_t below = 0;
    for (int64_t j = 0; j < w; j++) below |= ((x[j] < least) & (x[j] > 0)) ? 1 : 0;
    return below;
}

static bool far_from_0(int64_t w, const double *m, const double *variance, double square)
{
    int64_t far = 0;
    for (int64_t j = 0; j < w; j++) far |= m[j] * m[j] < square * variance[j] ? 0 : 1;
    return far;
}

/* ---- sums of terms --------------------------------------------------------------------------- */

/* TERM speaks of an element v and of the parameters b, of which rest is what its rounding took away, and p. Elements that lie
   apart are brought together. */
#define ADDED(m, v) ((m) + (v))
#define SUM(NAME, TERM)                                                                            \
    ROWS(sum_##NAME, TERM, ADDED, wide_added, 0)                                                        \
    static void sum_##NAME##_long(int64_t n, const real *x, ptrdiff_t sx, real b, real rest,       \
                                  real p, double s[2])                                             \
    {                                                                                              \
        real piece[SUM_BLOCK];                                                                     \
        for (int64_t i = 0; i < n; i += SUM_BLOCK) {                                               \
            const int64_t m = n - i < SUM_BLOCK ? n - i : SUM_BLOCK;                               \
            if (sx != 1) copy(m, piece, 1, x + i * sx, sx);                                        \
            const real part = sum_##NAME##_row(m, sx == 1 ? x + i : piece, b, rest, p);            \
            two_sum(&s[0], &s[1], (double)part);                                                   \
        }                                                                                          \
    }                                                                                              \
    static void sum_##NAME##_one(const tg__tile *t, const double *b, double p, int64_t j,          \
                                 tg__sums *sums)                                                   \
    {                                                                                              \
        const real b1 = b ? (real)b[j] : 0, r1 = b ? (real)(b[j] - (double)b1) : 0;                \
        double s[2] = { sums->total[j], sums->rest[j] };                                           \
        sum_##NAME##_long(t->n, (const real *)t->x + j * t->sw, t->sn, b1, r1, (real)p, s);        \
        sums->total[j] = s[0];                                                                     \
        sums->rest[j] = s[1];                                                                      \
    }                                                                                              \
    static void sum_##NAME(const tg__tile *t, const double *b, double p, tg__sums *sums)           \
    {                                                                                              \
        const bool columns = t->sw == 1;                                                           \
        if (t->w == 1 || (!columns && t->sn != 1)) {                                               \
            for (int64_t j = 0; j < t->w; j++) sum_##NAME##_one(t, b, p, j, sums);                 \
            return;                                                                                \
        }                                                                                          \
        real bs[TG__TILE], rests[TG__TILE];                                                        \
        const real *const b1 = b ? rounded_to_real(t->w, bs, b) : NULL;                            \
        const real *const rest = b ? rounded_away(t->w, rests, b) : NULL;                          \
        const int64_t most = columns ? SUM_ROWS : SUM_BLOCK;                                       \
        const ptrdiff_t ahead = ahead_of(SUM_ROWS, t->n, t->sn);                                   \
        for (int64_t i = 0; i < t->n; i += most) {                                                 \
            const int64_t n = t->n - i < most ? t->n - i : most;                                   \
            const real *const x = (const real *)t->x + i * t->sn;                                  \
            real s[TG__TILE];                                                                      \
            if (columns) {                                                                         \
                for (int64_t j = 0; j < t->w; j++) s[j] = 0;                                       \
                sum_##NAME##_columns(t->w, n, x, t->sn, b1, rest, (real)p, s, ahead);              \
            } else {                                                                               \
                sum_##NAME##_rows(t->w, n, x, t->sw, b1, rest, (real)p, s);                        \
            }                                                                                      \
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
SUM(equals, m_keep((v) == (b), 1))
SUM(matches, m_keep(SAME(v, b), 1))
SUM(size_matches, m_keep(SAME(abs(v), b), 1))

static bool block_sums(const tg__tile *t, void *ys)
{
    real *const y = ys;
    const bool columns = t->w > 1 && t->sw == 1;
    if (columns ? t->n > SUM_ROWS : t->sn != 1 || t->n > SUM_BLOCK) return false;
    for (int64_t j = 0; columns && j < t->w; j++) y[j] = 0;
    if (columns) sum_plain_columns(t->w, t->n, t->x, t->sn, NULL, NULL, 0, y, 0);
    else sum_plain_rows(t->w, t->n, t->x, t->sw, NULL, NULL, 0, y);
    return true;
}

/* ---- folds ----------------------------------------------------------------------------------- */

/* TERM is what an element v counts as, STEP(m, v) the next m; STEP also joins lanes, which begin with START. */
#define FOLD(NAME, TERM, STEP, WIDE_STEP, START)                                                         \
    ROWS(fold_##NAME, TERM, STEP, WIDE_STEP, START)                                                      \
    /* Some rows before the next columns: memory is read about as it lies. */                      \
    static void fold_##NAME##_down(const tg__tile *t, real *m)                                     \
    {                                                                                              \
        const ptrdiff_t ahead = ahead_of(SUM_ROWS, t->n, t->sn);                                   \
        for (int64_t i = 0; i < t->n; i += SUM_ROWS)                                               \
            fold_##NAME##_columns(t->w, t->n - i < SUM_ROWS ? t->n - i : SUM_ROWS,                 \
                                  (const real *)t->x + i * t->sn, t->sn, NULL, NULL, 0, m, ahead); \
    }                                                                                              \
    static real fold_##NAME##_long(int64_t n, const real *x, ptrdiff_t sx, real m)                 \
    {                                                                                              \
        real piece[SUM_BLOCK];                                                                     \
        if (sx == 1) {                                                                             \
            const real row = fold_##NAME##_row(n, x, 0, 0, 0);                                     \
            return STEP(m, row);                                                                   \
        }                                                                                          \
        for (int64_t i = 0; i < n; i += SUM_BLOCK) {                                               \
            const int64_t part = n - i < SUM_BLOCK ? n - i : SUM_BLOCK;                            \
            copy(part, piece, 1, x + i * sx, sx);                                                  \
            const real row = fold_##NAME##_row(part, piece, 0, 0, 0);                              \
            m = STEP(m, row);                                                                      \
        }                                                                                          \
        return m;                                                                                  \
    }                                                                                              \
    static void fold_##NAME(const tg__tile *t, bool begins, void *ms)                              \
    {                                                                                              \
        const real *const x = t->x;                                                                \
        real *const m = ms;                                                                        \
        const bool rows = t->w > 1 && t->sw != 1 && t->sn == 1;                                    \
        if (begins && rows) {                                                                      \
            fold_##NAME##_rows(t->w, t->n, x, t->sw, NULL, NULL, 0, m);                            \
            return;                                                                                \
        }                                                                                          \
        for (int64_t j = 0; begins && j < t->w; j++) m[j] = START;                                 \
        if (rows) {                                                                                \
            real s[TG__TILE];                                                                      \
            fold_##NAME##_rows(t->w, t->n, x, t->sw, NULL, NULL, 0, s);                            \
            for (int64_t j = 0; j < t->w; j++) m[j] = STEP(m[j], s[j]);                            \
        } else if (t->w > 1 && t->sw == 1) {                                                       \
            fold_##NAME##_down(t, m);                                                              \
        } else {                                                                                   \
            for (int64_t j = 0; j < t->w; j++)                                                     \
                m[j] = fold_##NAME##_long(t->n, x + j * t->sw, t->sn, m[j]);                       \
        }                                                                                          \
    }

/* A NaN in v wins, and once m is NaN nothing is larger. */
#define LARGER(m, v) ((((v) > (m)) | ((v) != (v))) ? (v) : (m))
#define SMALLER(m, v) ((((v) < (m)) | ((v) != (v))) ? (v) : (m))
#define MULTIPLIED(m, v) ((m) * (v))

FOLD(max, v, LARGER, wide_larger, (real)-INFINITY)
FOLD(min, v, SMALLER, wide_smaller, (real)INFINITY)
FOLD(size_max, abs(v), LARGER, wide_larger, 0)
FOLD(size_min, abs(v), SMALLER, wide_smaller, (real)INFINITY)
FOLD(product, v, MULTIPLIED, wide_multiplied, 1)

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

/* Rows i ... i + n - 1 of a few vectors of columns: the first smallest so far, times sign, and where it is. */
INLINE void first_smallest_rows(int64_t i, int64_t n, const real *x, ptrdiff_t stride, const real sign, real *least,
                                wide_integer *at, ptrdiff_t ahead, const int parts)
{
    wide m[COLUMN_PARTS];
    wide_integers first[COLUMN_PARTS], now = (wide_integer)i - (wide_integers){ 0 };
    EACH_PART {
        m[k] = wide_load(least + k * LANES);
        memcpy(&first[k], at + k * LANES, sizeof first[k]);
    }
    for (; n > 0; n--, x += stride, now += 1) {
        bring_near(x, ahead, parts);
        EACH_PART {
            const wide v = sign * wide_load(x + k * LANES);
            const wide_integers before = BEFORE(v, m[k]);
            first[k] = (before & now) | (~before & first[k]);
            m[k] = (wide)((before & (wide_integers)v) | (~before & (wide_integers)m[k]));
        }
    }
    EACH_PART {
        wide_store(least + k * LANES, m[k]);
        memcpy(at + k * LANES, &first[k], sizeof first[k]);
    }
}

/* The same of w columns, w <= TG__TILE, some rows at a time. Columns that fill no vector go one by one. */
INLINE void first_smallest_columns(int64_t w, int64_t n, const real *x, ptrdiff_t stride, const real sign,
                                   int64_t *index)
{
    real least[TG__TILE];
    wide_integer at[TG__TILE];
    for (int64_t j = 0; j < w; j++) {
        least[j] = sign * x[j];
        at[j] = 0;
    }
    const ptrdiff_t ahead = ahead_of(SUM_ROWS, n, stride);
    for (int64_t i = 1; i < n; i += SUM_ROWS) {
        const int64_t rows = n - i < SUM_ROWS ? n - i : SUM_ROWS;
        const real *const xi = x + i * stride;
        int64_t j = 0;
        for (; j + COLUMN_PARTS * LANES <= w; j += COLUMN_PARTS * LANES)
            first_smallest_rows(i, rows, xi + j, stride, sign, least + j, at + j, ahead, COLUMN_PARTS);
        for (; j + LANES <= w; j += LANES) first_smallest_rows(i, rows, xi + j, stride, sign, least + j, at + j, ahead, 1);
        for (int64_t r = 0; r < rows; r++)
            for (int64_t k = j; k < w; k++) {
                const real v = sign * xi[r * stride + k];
                const bool before = BEFORE(v, least[k]);
                at[k] = before ? (wide_integer)(i + r) : at[k];
                least[k] = before ? v : least[k];
            }
    }
    for (int64_t j = 0; j < w; j++) index[j] = at[j];
}

static void first_extremes_columns(int64_t columns, int64_t n, const void *xs, bool largest, int64_t *index)
{
    const real *const x = xs;
    for (int64_t j = 0; j < columns; j += TG__TILE) {
        const int64_t w = columns - j < TG__TILE ? columns - j : TG__TILE;
        if (largest) first_smallest_columns(w, n, x + j, columns, -1, index + j);
        else first_smallest_columns(w, n, x + j, columns, 1, index + j);
    }
}

/* ---- gradients ------------------------------------------------------------------------------- */

enum { PERIOD = 1024 }; /* elements */

/* Many columns whose rows follow each other: after how many elements, at most, rows and vectors end together, at every
   level; else 0. Vectors that begin there are not across two lines of the cache. */
static int64_t period_of(int64_t w, int64_t n, int64_t step, int64_t most)
{
    if (step != w || w * n * (int64_t)sizeof(real) < TG__FIRST_CACHE) return 0;
    int64_t period = w;
    while (period % LINE) period += period;
    return period <= most ? period : 0;
}

/* y = the w elements of x again and again. */
static void begin_again(int64_t w, const real *x, int64_t n, real *y)
{
    for (int64_t i = 0; i < n; i += w) memcpy(y + i, x, (size_t)w * sizeof(real));
}

/* A row of no more elements goes some vectors at a time, the longest vectors only in the first cache. */
enum { STREAMED = WIDE_BYTES == 64 ? 2 * IN_FIRST_CACHE : IN_CACHES };

/* Rows that are shorter than a vector, or not much longer than a long one, are taken by so many. */
enum { SHORT_ROW = WIDE_BYTES == 64 ? 2 * LANES : LANES - 1 };

/* Of LANES rows of n <= SHORT_ROW elements that follow each other: which row each element of a vector is in. */
static void row_numbers(int64_t n, wide_integers *of)
{
    const wide inverse = wide_splat(1 / (real)n);
    wide at = wide_numbers() + R(0.5);
    for (int64_t k = 0; k < SHORT_ROW; k++, at += LANES) of[k] = __builtin_convertvector(at * inverse, wide_integers);
}

/* dx += TERM, or, if it is FUSED, dx += a TERM, rounded once where the level can. It speaks of an element v and of the
   parameters a, b, rest and p; what is added is a multiple of a: one element that is seen n times gets n a at once. KEPT: the
   term, but 0 where a is; a term that is a or 0 needs no more. RARE: of many elements most terms are 0, and their dx need not
   be read. LIGHT: rows go in halves of vectors where that is faster. Where rows follow each other no part of a vector is stored
   at the end of one: the next row's first load would wait for it. Columns go down some rows before the next ones begin; many
   rows are one array, which is read as it lies by one loop that is not unrolled: from memory that is a third faster. */
#define SPREAD(NAME, RARE, TERM) SPREAD_BY(NAME, RARE, false, false, TERM, m_keep(a != 0, TERM))
#define SPREAD_KEPT(NAME, RARE, TERM) SPREAD_BY(NAME, RARE, !RARE, false, TERM, TERM)
#define SPREAD_FUSED(NAME, LIGHT, FACTOR) SPREAD_BY(NAME, false, LIGHT, true, FACTOR, m_keep(a != 0, FACTOR))
#define SPREAD_BY(NAME, RARE, LIGHT, FUSED, TERM, KEPT)                                            \
    LANEWISE(spread_##NAME##_term, TERM)                                                           \
    LANEWISE(spread_##NAME##_kept, KEPT)                                                           \
    INLINE wide spread_##NAME##_sum(wide d, wide a, wide term)                                     \
    {                                                                                              \
        return FUSED ? wide_fma(a, term, d) : d + term;                                            \
    }                                                                                              \
    /* What comes next. */                                                                         \
    INLINE void spread_##NAME##_near(const real *x, const real *dx, ptrdiff_t ahead, const int vectors) \
    {                                                                                              \
        if (strchr(#TERM, 'v')) bring_near(x, ahead, vectors);                                     \
        bring_near(dx, ahead, vectors);                                                            \
    }                                                                                              \
    INLINE void spread_##NAME##_at(const real *x, real *dx, wide a, wide b, wide rest,             \
                                   const real p, const bool whole, wide_mask there)                \
    {                                                                                              \
        const wide v = wide_load_some(x, whole, there), d = wide_load_some(dx, whole, there);      \
        wide_store_some(dx, whole, there, spread_##NAME##_sum(d, a, spread_##NAME##_kept(v, a, b, rest, p))); \
    }                                                                                              \
    INLINE void spread_##NAME##_some(const real *x, real *dx, wide a, wide b, wide rest,           \
                                     const real p)                                                 \
    {                                                                                              \
        wide v[STREAM], d[STREAM];                                                                 \
        for (int q = 0; q < STREAM; q++) v[q] = wide_load(x + q * LANES);                          \
        for (int q = 0; q < STREAM; q++) d[q] = wide_load(dx + q * LANES);                         \
        for (int q = 0; q < STREAM; q++)                                                           \
            wide_store(dx + q * LANES, spread_##NAME##_sum(d[q], a, spread_##NAME##_term(v[q], a, b, rest, p))); \
    }                                                                                              \
    INLINE void spread_##NAME##_row(int64_t n, const real *x, real *dx, const real a1,             \
                                    const real b1, const real rest1, const real p)                 \
    {                                                                                              \
        const wide a = wide_splat(a1), b = wide_splat(b1), rest = wide_splat(rest1);               \
        const int64_t few = n <= STREAMED ? n : 0;                                                 \
        int64_t i = 0;                                                                             \
        ONCE for (; i + STREAM * LANES <= few; i += STREAM * LANES)                                \
            spread_##NAME##_some(x + i, dx + i, a, b, rest, p);                                    \
        ONCE for (; i + LANES <= n; i += LANES) {                                                  \
            const wide term = spread_##NAME##_term(wide_load(x + i), a, b, rest, p);               \
            if (RARE && !wide_some(term)) continue;                                                \
            wide_store_halves(dx + i, spread_##NAME##_sum(wide_load(dx + i), a, term));            \
        }                                                                                          \
        if (i < n) spread_##NAME##_at(x + i, dx + i, a, b, rest, p, false, wide_first(n - i));     \
    }                                                                                              \
    /* Rows that follow each other, as ROW_MAP has them. */                                        \
    static void spread_##NAME##_rows(int64_t rows, int64_t n, const real *x, real *dx,             \
                                     const real *as, const real *bs, const real *rests,            \
                                     const real p, ptrdiff_t ahead)                                \
    {                                                                                              \
        const wide_mask whole = wide_first(LANES);                                                 \
        const int64_t all = rows * n;                                                              \
        int64_t i = 0;                                                                             \
        for (int64_t r = 0, end = n; r < rows; r++, end += n) {                                    \
            const wide a = wide_splat(as[r]), b = wide_splat(bs[r]), rest = wide_splat(rests[r]);  \
            if (as[r] == 0) i += end > i ? (end - i) / LANES * LANES : 0;                          \
            ONCE for (; i + STREAM * LANES <= end; i += STREAM * LANES) {                          \
                spread_##NAME##_near(x + i, dx + i, ahead, STREAM);                                \
                spread_##NAME##_some(x + i, dx + i, a, b, rest, p);                                \
            }                                                                                      \
            ONCE for (; i + LANES <= end; i += LANES) {                                            \
                spread_##NAME##_near(x + i, dx + i, ahead, 1);                                     \
                const wide term = spread_##NAME##_term(wide_load(x + i), a, b, rest, p);           \
                wide_store(dx + i, spread_##NAME##_sum(wide_load(dx + i), a, term));               \
            }                                                                                      \
            if (i == end) continue;                                                                \
            spread_##NAME##_near(x + i, dx + i, ahead, 1);                                         \
            const wide_mask own = wide_first(end - i);                                             \
            if (i + LANES > all) {                                                                 \
                spread_##NAME##_at(x + i, dx + i, a, b, rest, p, false, own);                      \
                return;                                                                            \
            }                                                                                      \
            spread_##NAME##_at(x + i, dx + i, wide_choose(own, a, wide_splat(as[r + 1])),          \
                               wide_choose(own, b, wide_splat(bs[r + 1])),                         \
                               wide_choose(own, rest, wide_splat(rests[r + 1])), p, true, whole);  \
            i += LANES;                                                                            \
        }                                                                                          \
    }                                                                                              \
    INLINE void spread_##NAME##_apart(int64_t n, const real *x, real *restrict dx, ptrdiff_t sx,   \
                                      const real a, const real b, const real rest, const real p)   \
    {                                                                                              \
        (void)b, (void)rest, (void)p;                                                              \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const real v = x[i * sx], d = dx[i * sx];                                              \
            (void)v;                                                                               \
            dx[i * sx] = FUSED ? scalar_fma(a, TERM, d) : d + TERM;                                \
        }                                                                                          \
    }                                                                                              \
    static IN_HALVES void spread_##NAME##_rows_halves(int64_t rows, int64_t n, const real *x, real *dx, \
                                                      const real *as, const real *bs,              \
                                                      const real *rests, const real p)             \
    {                                                                                              \
        for (int64_t r = 0; r < rows; r++)                                                         \
            if (as[r] != 0) spread_##NAME##_apart(n, x + r * n, dx + r * n, 1, as[r], bs[r], rests[r], p); \
    }                                                                                              \
    /* The same of up to LANES rows that are not much longer than a vector, or shorter; of: row_numbers. */ \
    INLINE void spread_##NAME##_few(const bool all, int64_t rows, int64_t n, const real *x, real *dx, \
                                    const real *as, const real *bs, const real *rests,             \
                                    const real p, const wide_integers *of, ptrdiff_t ahead)        \
    {                                                                                              \
        const wide_mask whole = wide_first(LANES), there = wide_first(all ? LANES : rows);         \
        const wide a = wide_load_first(as, there), b = wide_load_first(bs, there);                 \
        const wide rest = wide_load_first(rests, there);                                           \
        for (int64_t k = 0, left = rows * n; all ? k < n : left > 0; k++, left -= LANES) {         \
            const wide ar = wide_pick(a, of[k]), br = wide_pick(b, of[k]), rr = wide_pick(rest, of[k]); \
            const bool is_whole = all || left >= LANES;                                            \
            spread_##NAME##_near(x + k * LANES, dx + k * LANES, ahead, 1);                         \
            if (is_whole)                                                                          \
                spread_##NAME##_at(x + k * LANES, dx + k * LANES, ar, br, rr, p, true, whole);     \
            else                                                                                   \
                spread_##NAME##_at(x + k * LANES, dx + k * LANES, ar, br, rr, p, false, wide_first(left)); \
        }                                                                                          \
    }                                                                                              \
    static void spread_##NAME##_short_rows(int64_t rows, int64_t n, const real *x, real *dx,       \
                                           const real *as, const real *bs, const real *rests,      \
                                           const real p, ptrdiff_t ahead)                          \
    {                                                                                              \
        wide_integers of[SHORT_ROW];                                                               \
        int64_t r = 0;                                                                             \
        row_numbers(n, of);                                                                        \
        for (; r + LANES <= rows; r += LANES)                                                      \
            spread_##NAME##_few(true, LANES, n, x + r * n, dx + r * n, as + r, bs + r, rests + r, p, of, ahead); \
        spread_##NAME##_few(false, rows - r, n, x + r * n, dx + r * n, as + r, bs + r, rests + r, p, of, ahead); \
    }                                                                                              \
    INLINE void spread_##NAME##_columns_part(int64_t n, const real *x, real *dx, ptrdiff_t stride, \
                                             const real *as, const real *bs, const real *rests,    \
                                             const real p, const int parts, const bool whole,      \
                                             wide_mask there)                                      \
    {                                                                                              \
        wide a[COLUMN_PARTS], b[COLUMN_PARTS], rest[COLUMN_PARTS];                                 \
        EACH_PART {                                                                                \
            a[k] = wide_load_some(as + k * LANES, WHOLE_PART(k), there);                           \
            b[k] = wide_load_some(bs + k * LANES, WHOLE_PART(k), there);                           \
            rest[k] = wide_load_some(rests + k * LANES, WHOLE_PART(k), there);                     \
        }                                                                                          \
        for (int64_t i = 0; i < n; i++, x += stride, dx += stride)                                 \
            EACH_PART                                                                              \
                spread_##NAME##_at(x + k * LANES, dx + k * LANES, a[k], b[k], rest[k], p,          \
                                   WHOLE_PART(k), there);                                          \
    }                                                                                              \
    /* What has no gradient stays as it is, whatever else is in the vector. */                     \
    INLINE void spread_##NAME##_there(const real *x, real *dx, const real *a, const real *b,       \
                                      const real *rest, const real p, const bool whole,            \
                                      wide_mask there)                                             \
    {                                                                                              \
        const wide v = wide_load_some(x, whole, there);                                            \
        const wide as = wide_load(a), term = spread_##NAME##_kept(v, as, wide_load(b), wide_load(rest), p); \
        if (RARE && !wide_some(term)) return;                                                      \
        const wide d = wide_load_some(dx, whole, there), sum = spread_##NAME##_sum(d, as, term);   \
        wide_store_some(dx, whole, there, RARE ? wide_chosen(term != 0, sum, d) : sum);            \
    }                                                                                              \
    /* Rows as one array, with parameters that begin again after period elements. */               \
    static void spread_##NAME##_over(int64_t n, int64_t period, const real *x, real *dx,           \
                                     const real *as, const real *bs, const real *rests,            \
                                     const real p)                                                 \
    {                                                                                              \
        for (int64_t some; n > 0; n -= some, x += some, dx += some) {                              \
            int64_t i = 0;                                                                         \
            some = n < period ? n : period;                                                        \
            ONCE for (; i + LANES <= some; i += LANES)                                             \
                spread_##NAME##_there(x + i, dx + i, as + i, bs + i, rests + i, p, true,           \
                                      wide_first(LANES));                                          \
            if (i < some)                                                                          \
                spread_##NAME##_there(x + i, dx + i, as + i, bs + i, rests + i, p, false,          \
                                      wide_first(some - i));                                       \
        }                                                                                          \
    }                                                                                              \
    INLINE void spread_##NAME##_columns(const tg__tile *t, real *dx, const real *as,               \
                                        const real *bs, const real *rests, const real p)           \
    {                                                                                              \
        const int64_t w = t->w;                                                                    \
        for (int64_t i = 0; i < t->n; i += SUM_ROWS) {                                             \
            const int64_t n = t->n - i < SUM_ROWS ? t->n - i : SUM_ROWS;                           \
            const real *const x = (const real *)t->x + i * t->sn;                                  \
            real *const d = dx + i * t->sn;                                                        \
            EACH_COLUMNS(w, spread_##NAME##_columns_part(n, x + j, d + j, t->sn, as + j, bs + j, rests + j, p, parts, \
                                                         whole, there));                           \
        }                                                                                          \
    }                                                                                              \
    static void spread_##NAME(const tg__tile *t, void *dx_, const double *a, const double *b,      \
                              double p)                                                            \
    {                                                                                              \
        const real *const x = t->x;                                                                \
        real room[3][TG__TILE], *const dx = dx_;                                                   \
        const real *const as = rounded_to_real(t->w, room[0], a), *const bs = rounded_to_real(t->w, room[1], b); \
        const real *const rests = rounded_away(t->w, room[2], b);                                  \
        if (t->w > 1 && t->sw == 1) {                                                              \
            const int64_t period = period_of(t->w, t->n, t->sn, PERIOD);                           \
            if (period) {                                                                          \
                real more_as[PERIOD], more_bs[PERIOD], more_rests[PERIOD];                         \
                begin_again(t->w, as, period, more_as);                                            \
                if (b) begin_again(t->w, bs, period, more_bs), begin_again(t->w, rests, period, more_rests); \
                spread_##NAME##_over(t->w * t->n, period, x, dx, more_as, more_bs, more_rests,     \
                                     (real)p);                                                     \
                return;                                                                            \
            }                                                                                      \
            spread_##NAME##_columns(t, dx, as, bs, rests, (real)p);                                \
            return;                                                                                \
        }                                                                                          \
        if (t->w > 1 && t->sn == 1 && t->sw == t->n) {                                             \
            const ptrdiff_t ahead = ahead_of(t->w, t->outputs, t->n);                              \
            if (t->n <= SHORT_ROW)                                                                 \
                spread_##NAME##_short_rows(t->w, t->n, x, dx, as, bs, rests, (real)p, ahead);      \
            else if (LIGHT && LIGHT_IN_HALVES(t->w * t->n))                                        \
                spread_##NAME##_rows_halves(t->w, t->n, x, dx, as, bs, rests, (real)p);            \
            else                                                                                   \
                spread_##NAME##_rows(t->w, t->n, x, dx, as, bs, rests, (real)p, ahead);            \
            return;                                                                                \
        }                                                                                          \
        for (int64_t j = 0; j < t->w; j++) {                                                       \
            const real *const xj = x + j * t->sw;                                                  \
            real *const dj = dx + j * t->sw;                                                       \
            if (as[j] == 0) continue;                                                              \
            if (t->sn == 1) spread_##NAME##_row(t->n, xj, dj, as[j], bs[j], rests[j], (real)p);    \
            else if (t->sn == 0)                                                                   \
                spread_##NAME##_row(t->n > 0, xj, dj, as[j] * (real)t->n, bs[j], rests[j], (real)p); \
            else spread_##NAME##_apart(t->n, xj, dj, t->sn, as[j], bs[j], rests[j], (real)p);      \
        }                                                                                          \
    }

SPREAD_KEPT(plain, false, a)
SPREAD_FUSED(multiples, true, v)
SPREAD_FUSED(offsets, false, OFFSET(v))
SPREAD_FUSED(scaled, true, v *b)
SPREAD_FUSED(signs, true, sign(v))
SPREAD(powers, false, where(v == 0, 0, a *copysign(pow(abs(v) * b, p), v)))
SPREAD_FUSED(exps, false, exp(v - b))
SPREAD_FUSED(quotients, false, b / v)
SPREAD_KEPT(equals, true, m_keep((v) == (b), a))
SPREAD_KEPT(matches, true, m_keep(SAME(v, b), a))
SPREAD(size_matches, true, m_keep(SAME(abs(v), b), a *sign(v)))

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
