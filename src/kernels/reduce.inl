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
        real bs[TG__TILE], rests[TG__TILE], *const b1 = b ? bs : NULL, *const rest = b ? rests : NULL; \
        if (b) split(t->w, bs, rests, b);                                                          \
        const int64_t most = columns ? SUM_ROWS : SUM_BLOCK;                                       \
        for (int64_t i = 0; i < t->n; i += most) {                                                 \
            const int64_t n = t->n - i < most ? t->n - i : most;                                   \
            const real *const x = (const real *)t->x + i * t->sn;                                  \
            real s[TG__TILE];                                                                      \
            if (columns) {                                                                         \
                for (int64_t j = 0; j < t->w; j++) s[j] = 0;                                       \
                sum_##NAME##_columns(t->w, n, x, t->sn, b1, rest, (real)p, s);                     \
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
SUM(matches, m_keep(SAME(v, b), 1))
SUM(size_matches, m_keep(SAME(abs(v), b), 1))

/* ---- folds ----------------------------------------------------------------------------------- */

/* TERM is what an element v counts as, STEP(m, v) the next m; STEP also joins lanes, which begin with START. */
#define FOLD(NAME, TERM, STEP, WIDE_STEP, START)                                                         \
    ROWS(fold_##NAME, TERM, STEP, WIDE_STEP, START)                                                      \
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
    static void fold_##NAME(const tg__tile *t, double *m)                                          \
    {                                                                                              \
        const real *const x = t->x;                                                                \
        if (t->w == 1 || (t->sw != 1 && t->sn != 1)) {                                             \
            for (int64_t j = 0; j < t->w; j++)                                                     \
                m[j] = (double)fold_##NAME##_long(t->n, x + j * t->sw, t->sn, (real)m[j]);         \
            return;                                                                                \
        }                                                                                          \
        real ms[TG__TILE], s[TG__TILE];                                                            \
        narrow(t->w, ms, m);                                                                       \
        if (t->sw == 1) {                                                                          \
            fold_##NAME##_columns(t->w, t->n, x, t->sn, NULL, NULL, 0, ms);                        \
        } else {                                                                                   \
            fold_##NAME##_rows(t->w, t->n, x, t->sw, NULL, NULL, 0, s);                            \
            for (int64_t j = 0; j < t->w; j++) ms[j] = STEP(ms[j], s[j]);                          \
        }                                                                                          \
        load(t->w, m, ms);                                                                         \
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

/* ---- gradients ------------------------------------------------------------------------------- */

/* TERM speaks of an element v and of the parameters a, b, rest and p, and is a multiple of a: one
   element that is seen n times gets n a at once. The end of a row of columns is not stored as a part of a vector: the next
   row's first load would wait for it. */
#define SPREAD(NAME, TERM)                                                                         \
    LANEWISE(spread_##NAME##_term, TERM)                                                           \
    LANEWISE(spread_##NAME##_kept, m_keep(a != 0, TERM))                                            \
    INLINE void spread_##NAME##_at(const real *x, real *dx, wide a, wide b, wide rest,             \
                                   const real p, const bool whole, wide_mask there)                \
    {                                                                                              \
        const wide v = wide_load_some(x, whole, there), d = wide_load_some(dx, whole, there);      \
        wide_store_some(dx, whole, there, d + spread_##NAME##_kept(v, a, b, rest, p));             \
    }                                                                                              \
    INLINE void spread_##NAME##_row(int64_t n, const real *x, real *dx, const real a1,             \
                                    const real b1, const real rest1, const real p)                 \
    {                                                                                              \
        const wide a = wide_splat(a1), b = wide_splat(b1), rest = wide_splat(rest1);               \
        int64_t i = 0;                                                                             \
        for (; i + LANES <= n; i += LANES) {                                                       \
            const wide term = spread_##NAME##_term(wide_load(x + i), a, b, rest, p);               \
            wide_store(dx + i, wide_load(dx + i) + term);                                          \
        }                                                                                          \
        if (i < n) spread_##NAME##_at(x + i, dx + i, a, b, rest, p, false, wide_first(n - i));     \
    }                                                                                              \
    /* Rows that follow each other, as ROW_MAP has them. */                                        \
    static void spread_##NAME##_rows(int64_t rows, int64_t n, const real *x, real *dx,             \
                                     const real *as, const real *bs, const real *rests,            \
                                     const real p)                                                 \
    {                                                                                              \
        const wide_mask whole = wide_first(LANES);                                                 \
        const int64_t all = rows * n;                                                              \
        int64_t i = 0;                                                                             \
        for (int64_t r = 0, end = n; r < rows; r++, end += n) {                                    \
            const wide a = wide_splat(as[r]), b = wide_splat(bs[r]), rest = wide_splat(rests[r]);  \
            if (as[r] == 0) i += end > i ? (end - i) / LANES * LANES : 0;                          \
            for (; i + LANES <= end; i += LANES) {                                                 \
                const wide term = spread_##NAME##_term(wide_load(x + i), a, b, rest, p);           \
                wide_store(dx + i, wide_load(dx + i) + term);                                      \
            }                                                                                      \
            if (i == end) continue;                                                                \
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
    /* The same of rows that are shorter than a vector. */                                         \
    static void spread_##NAME##_short_rows(int64_t rows, int64_t n, const real *x, real *dx,       \
                                           const real *as, const real *bs, const real *rests,      \
                                           const real p)                                           \
    {                                                                                              \
        real a[TG__TILE * LANES], b[TG__TILE * LANES], rest[TG__TILE * LANES];                     \
        for (int64_t r = 0; r < rows; r++) {                                                       \
            wide_store(a + r * n, wide_splat(as[r]));                                              \
            wide_store(b + r * n, wide_splat(bs[r]));                                              \
            wide_store(rest + r * n, wide_splat(rests[r]));                                        \
        }                                                                                          \
        const wide_mask all = wide_first(LANES);                                                   \
        for (int64_t i = 0; i < rows * n; i += LANES) {                                            \
            const int64_t left = rows * n - i;                                                     \
            const wide wa = wide_load(a + i), wb = wide_load(b + i), wr = wide_load(rest + i);     \
            if (left >= LANES) spread_##NAME##_at(x + i, dx + i, wa, wb, wr, p, true, all);        \
            else spread_##NAME##_at(x + i, dx + i, wa, wb, wr, p, false, wide_first(left));        \
        }                                                                                          \
    }                                                                                              \
    INLINE void spread_##NAME##_columns(const tg__tile *t, real *dx, const real *as,               \
                                        const real *bs, const real *rests, const real p)           \
    {                                                                                              \
        const real *x = t->x;                                                                      \
        const wide_mask all = wide_first(LANES);                                                   \
        for (int64_t i = 0; i < t->n; i++, x += t->sn, dx += t->sn) {                              \
            int64_t j = 0;                                                                         \
            for (; j + LANES <= t->w; j += LANES)                                                  \
                spread_##NAME##_at(x + j, dx + j, wide_load(as + j), wide_load(bs + j),            \
                                   wide_load(rests + j), p, true, all);                            \
            for (; j < t->w; j++) {                                                                \
                const real v = x[j], a = as[j], b = bs[j], rest = rests[j];                        \
                (void)v, (void)b, (void)rest;                                                      \
                dx[j] += m_keep(a != 0, TERM);                                                     \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static void spread_##NAME##_apart(int64_t n, const real *x, real *dx, ptrdiff_t sx,            \
                                      const real a, const real b, const real rest, const real p)   \
    {                                                                                              \
        (void)b, (void)rest, (void)p;                                                              \
        for (int64_t i = 0; i < n; i++) {                                                          \
            const real v = x[i * sx];                                                              \
            (void)v;                                                                               \
            dx[i * sx] += TERM;                                                                    \
        }                                                                                          \
    }                                                                                              \
    static void spread_##NAME(const tg__tile *t, void *dx_, const double *a, const double *b,      \
                              double p)                                                            \
    {                                                                                              \
        const real *const x = t->x;                                                                \
        real as[TG__TILE], bs[TG__TILE], rests[TG__TILE], *const dx = dx_;                         \
        narrow(t->w, as, a);                                                                       \
        split(t->w, bs, rests, b);                                                                 \
        if (t->w > 1 && t->sw == 1) {                                                              \
            spread_##NAME##_columns(t, dx, as, bs, rests, (real)p);                                \
            return;                                                                                \
        }                                                                                          \
        if (t->w > 1 && t->sn == 1 && t->sw == t->n) {                                             \
            if (t->n < LANES)                                                                      \
                spread_##NAME##_short_rows(t->w, t->n, x, dx, as, bs, rests, (real)p);             \
            else spread_##NAME##_rows(t->w, t->n, x, dx, as, bs, rests, (real)p);                  \
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

SPREAD(plain, a)
SPREAD(offsets, a *OFFSET(v))
SPREAD(scaled, a *(v * b))
SPREAD(signs, a *sign(v))
SPREAD(powers, where(v == 0, 0, a *copysign(pow(abs(v) * b, p), v)))
SPREAD(exps, a *exp(v - b))
SPREAD(quotients, a *(b / v))
SPREAD(matches, m_keep(SAME(v, b), a))
SPREAD(size_matches, m_keep(SAME(abs(v), b), a *sign(v)))

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
