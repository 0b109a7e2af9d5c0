/* Softargmax, its logarithm, logarithms of sums of exponentials. Included by kernel.c after reduce.inl. */

/* The sum of a row of adjacent elements. */
static real sum_of(int64_t n, const real *x)
{
    if (n <= SUM_BLOCK) return sum_plain_row(n, x, 0, 0, 0);
    double s[2] = { 0 };
    sum_plain_long(n, x, 1, 0, 0, 0, s);
    return (real)sum_and_rest(s[0], s[1]);
}

/* y may be x, which it may not be to a kernel. */
#define ALL(NAME)                                                                                  \
    static void NAME##_all(int64_t n, real *y, const real *x)                                      \
    {                                                                                              \
        for (int64_t i = 0; i < n; i += NEAR_BLOCK("")) {                                          \
            const int64_t end = n - i < NEAR_BLOCK("") ? n : i + NEAR_BLOCK("");                   \
            if (all_near("m_" #NAME "(x,", end - i, x + i, NULL))                                  \
                for (int64_t j = i; j < end; j++) y[j] = m_##NAME(x[j], true);                     \
            else                                                                                   \
                for (int64_t j = i; j < end; j++) y[j] = m_##NAME(x[j], false);                    \
        }                                                                                          \
    }
ALL(exp)
ALL(log)
#undef ALL

/* m[j] = the element of column j that makes the largest beta x. */
static void column_shifts(const tg__tile *t, real beta, real *m)
{
    for (int64_t j = 0; j < t->w; j++) m[j] = beta < 0 ? (real)INFINITY : (real)-INFINITY;
    if (beta < 0) fold_min_down(t, m);
    else fold_max_down(t, m);
}

/* The same of a row of n adjacent elements. */
static real row_shift(int64_t n, const real *x, real beta)
{
    return beta < 0 ? fold_min_row(n, x, 0, 0, 0) : fold_max_row(n, x, 0, 0, 0);
}

/* s[j] = the sum of f over column j. */
static void column_sums(tg__sum_kernel *f, const tg__tile *t, real *s)
{
    tg__sums sums;
    for (int64_t j = 0; j < t->w; j++) sums.total[j] = sums.rest[j] = 0;
    f(t, NULL, 0, &sums);
    for (int64_t j = 0; j < t->w; j++) s[j] = (real)sum_and_rest(sums.total[j], sums.rest[j]);
}

/* The sums of rows of adjacent elements. */
static void row_sums(int64_t rows, int64_t n, const real *x, real *s)
{
    if (n <= SUM_BLOCK) sum_plain_rows(rows, n, x, n, NULL, NULL, 0, s);
    else
        for (int64_t r = 0; r < rows; r++) s[r] = sum_of(n, x + r * n);
}

ROW_MAP(row_shifted, p *(v - rest))
ROW_MAP(row_scaled, v *rest)
ROW_MAP(row_less, v - rest)
ROW_MAP(row_added, a + rest * v)

/* y = beta (x - m) for rows, with the m of each row that makes its largest y 0. */
static void shift_rows(int64_t rows, int64_t n, real *y, const real *x, real beta)
{
    real m[TG__TILE];
    if (beta < 0) fold_min_rows(rows, n, x, n, NULL, NULL, 0, m);
    else fold_max_rows(rows, n, x, n, NULL, NULL, 0, m);
    row_shifted(rows, n, y, x, x, x, m, beta);
}

/* How many rows of n elements go through each step together, before the next ones: the exponential is fast on long stretches
   only, and some vectors of rows are folded at once; but while there is something to compute nothing comes from memory. */
static int64_t rows_at_once(int64_t rows, int64_t n)
{
    enum { FEW = 2560 / sizeof(real), MOST = 8192 / sizeof(real), SEVERAL = 4 * LANES }; /* elements; rows */
    const int64_t fit = n * SEVERAL < FEW ? FEW / n : n * SEVERAL < MOST ? SEVERAL : n < MOST ? MOST / n : 1;
    const int64_t even = fit < LANES ? fit : fit / LANES * LANES;
    return least(least(rows, even), TG__TILE);
}

/* s[r] = sum of exp over row r of the rows_at_once rows of x. */
static void exp_sums(int64_t rows, int64_t n, const real *x, real *s)
{
    if (n > TG__CHUNK) {
        double sum[2] = { 0 };
        sum_exps_long(n, x, 1, 0, 0, 0, sum);
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
        const real best = row_shift(count, x + i, beta);
        if (best == least) continue;
        if (*m == least || !(beta * (best - *m) <= 0)) {
            const double less = *m == least ? 0 : (double)exp(beta * (*m - best));
            *m = best;
            sum[0] *= less, sum[1] *= less;
        }
        for (int64_t j = 0; j < count; j++) e[j] = beta * (x[i + j] - *m);
        exp_all(count, e, e);
        sum_plain_long(count, e, 1, 0, 0, 0, sum);
    }
    return (real)(sum[0] + sum[1]);
}

/* y = exp(beta (x - m)) of a row too long for one chunk, and its sum: what has been shifted is still in the first cache. */
static real long_row_exps(int64_t n, real *y, const real *x, real beta)
{
    const real m = row_shift(n, x, beta);
    double sum[2] = { 0 };
    for (int64_t i = 0; i < n; i += TG__CHUNK) {
        const int64_t count = n - i < TG__CHUNK ? n - i : TG__CHUNK;
        for (int64_t j = i; j < i + count; j++) y[j] = beta * (x[j] - m);
        exp_all(count, y + i, y + i);
        sum_plain_long(count, y + i, 1, 0, 0, 0, sum);
    }
    return (real)(sum[0] + sum[1]);
}

/* The largest of each row, by which it is shifted, unless that is infinite. */
static void shifts_of(int64_t rows, int64_t n, const real *x, real *m)
{
    fold_max_rows(rows, n, x, n, NULL, NULL, 0, m);
    for (int64_t r = 0; r < rows; r++)
        if (m[r] - m[r] != 0) m[r] = m[r] != m[r] ? m[r] : 0;
}

/* y[r] = log of the sum of exp over row r. */
static void logsumexp_rows(int64_t rows, int64_t n, const real *x, real *y)
{
    real e[TG__CHUNK], m[TG__TILE];
    shifts_of(rows, n, x, m);
    row_less(rows, n, e, x, x, x, m, 0);
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
        row_less(m, n, e, x, x, x, y, 0);
        exp_all(m * n, e, e);
        row_sums(m, n, e, s);
        for (int64_t j = 0; j < m; j++) s[j] = g[j] == 0 ? 0 : g[j] / s[j];
        row_added(m, n, dx, e, dx, e, s, 0);
    }
}

/* Where y is not finite there is no sum to divide by: exp(x - y), or zeros where there is nothing. */
static void keep_infinite(int64_t n, real *e, const real *x, real y)
{
    for (int64_t i = 0; i < n; i++) e[i] = y < 0 ? 0 : exp(x[i] - y);
}

/* A row too long for one chunk, as the fold over it has it. */
static void kept_long(int64_t n, const real *x, real *y, real *e)
{
    real m;
    double sum[2] = { 0 };
    shifts_of(1, n, x, &m);
    for (int64_t i = 0; i < n; i += TG__CHUNK) {
        const int64_t count = n - i < TG__CHUNK ? n - i : TG__CHUNK;
        for (int64_t j = i; j < i + count; j++) e[j] = x[j] - m;
        exp_all(count, e + i, e + i);
        sum_plain_long(count, e + i, 1, 0, 0, 0, sum);
    }
    const real s = (real)(sum[0] == sum[0] && sum[1] == sum[1] ? sum[0] + sum[1] : sum[0]), part = 1 / s;
    *y = log(s) + m;
    if (*y - *y != 0) keep_infinite(n, e, x, *y);
    else for (int64_t i = 0; i < n; i++) e[i] *= part;
}

static void kept_short(int64_t rows, int64_t n, const real *x, real *y, real *e)
{
    real m[TG__TILE], part[TG__TILE];
    shifts_of(rows, n, x, m);
    row_less(rows, n, e, x, x, x, m, 0);
    exp_all(rows * n, e, e);
    row_sums(rows, n, e, y);
    for (int64_t r = 0; r < rows; r++) part[r] = 1 / y[r];
    row_scaled(rows, n, e, e, e, e, part, 0);
    log_all(rows, y, y);
    for (int64_t r = 0; r < rows; r++) {
        y[r] += m[r];
        if (y[r] - y[r] != 0) keep_infinite(n, e + r * n, x + r * n, y[r]);
    }
}

static void kept_logsumexps(int64_t rows, int64_t n, const void *xs, void *ys, void *kept)
{
    const real *const x = xs;
    real *const y = ys, *const e = kept;
    for (int64_t r = 0, m; r < rows; r += m) {
        m = rows_at_once(rows - r, n);
        if (n > TG__CHUNK) kept_long(n, x + r * n, y + r, e + r * n);
        else kept_short(m, n, x + r * n, y + r, e + r * n);
    }
}

static void kept_logsumexps_backward(int64_t rows, int64_t n, const void *kept, const void *gs, void *dxs)
{
    const real *const g = gs;
    real *const dx = dxs;
    bool ones = dx == kept, zeros = false;
    for (int64_t r = 0; r < rows; r++) ones &= g[r] == 1, zeros |= g[r] == 0;
    if (ones) return;
    row_scaled(rows, n, dx, kept, kept, kept, g, 0);
    for (int64_t r = 0; zeros && r < rows; r++)
        for (int64_t i = r * n; g[r] == 0 && i < (r + 1) * n; i++) dx[i] = 0;
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
    for (int64_t r = 0; r < rows; r++) s[r] = 1 / s[r];
    row_scaled(rows, n, y, y, y, y, s, 0);
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
    row_less(rows, n, y, y, y, y, s, 0);
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
        for (int64_t i = 0; l.inner > 1 && l.n > 0 && i < l.outer; i++)                            \
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
          softargmax_columns((tg__tile){ w, l.n, x + at, 1, l.inner, l.inner }, y + at, (real)beta));
}

static void log_softmax(tg__lines l, void *y_, const void *x_, double beta)
{
    const real *const x = x_;
    real *const y = y_;
    LINES(log_softmax_rows(m, l.n, y + at, x + at, (real)beta),
          log_softmax_columns((tg__tile){ w, l.n, x + at, 1, l.inner, l.inner }, y + at, (real)beta));
}

/* dx += beta y (g - s) with s, the sum of g y over the line; a g of 0 counts nothing. */
static void multiply_all(int64_t n, real *z, const real *g, const real *y)
{
    for (int64_t i = 0; i < n; i++) z[i] = TIMES(g[i], y[i]);
}

static real product_sum(int64_t n, const real *g, const real *y)
{
    real product[SUM_BLOCK];
    double s[2] = { 0 };
    for (int64_t i = 0; i < n; i += SUM_BLOCK) {
        const int64_t m = n - i < SUM_BLOCK ? n - i : SUM_BLOCK;
        multiply_all(m, product, g + i, y + i);
        two_sum(&s[0], &s[1], (double)sum_plain_row(m, product, 0, 0, 0));
    }
    return (real)sum_and_rest(s[0], s[1]);
}

LANEWISE(product_of_lanes, TIMES(v, a))

/* Of n rows of a few vectors of columns. */
INLINE void product_sums_part(int64_t n, const real *g, const real *y, int64_t step, real *s, ptrdiff_t ahead,
                              const int parts, const bool whole, wide_mask there)
{
    const wide none = wide_splat(0);
    wide sum[COLUMN_PARTS];
    EACH_PART sum[k] = none;
    for (int64_t i = 0; i < n; i++, g += step, y += step) {
        bring_near(g, ahead, parts);
        bring_near(y, ahead, parts);
        EACH_PART {
            const int64_t at = k * LANES;
            const wide gs = wide_load_some(g + at, WHOLE_PART(k), there), ys = wide_load_some(y + at, WHOLE_PART(k), there);
            sum[k] += product_of_lanes(gs, ys, none, none, 0);
        }
    }
    EACH_PART wide_store_some(s + k * LANES, WHOLE_PART(k), there, sum[k]);
}

/* Rows that follow each other are taken as one up to where a vector ends: so many. */
static int64_t rows_as_one(int64_t w, int64_t n, int64_t step)
{
    const int64_t period = period_of(w, n, step, TG__TILE);
    return period ? period / w : 1;
}

/* Adds the products of w columns whose elements lie step apart to sums, or begins them. */
static void add_product_sums(int64_t w, int64_t n, const real *g, const real *y, int64_t step, bool begins,
                             tg__sums *sums)
{
    const ptrdiff_t ahead = ahead_of(SUM_ROWS, n, step);
    real s[TG__TILE];
    for (int64_t i = 0; i < n; i += SUM_ROWS, begins = false) {
        const int64_t m = least(n - i, SUM_ROWS), at = i * step;
        EACH_COLUMNS(w, product_sums_part(m, g + at + j, y + at + j, step, s + j, ahead, parts, whole, there));
        if (begins)
            for (int64_t j = 0; j < w; j++) sums->total[j] = (double)s[j], sums->rest[j] = 0;
        else
            for (int64_t j = 0; j < w; j++) two_sum(&sums->total[j], &sums->rest[j], (double)s[j]);
    }
}

/* s = all of them, rows taken as one. */
static void product_sums(int64_t w, int64_t n, int64_t rows, const real *g, const real *y, int64_t step, real *s)
{
    const int64_t left = n % rows, at = (n - left) * step;
    tg__sums sums;
    add_product_sums(rows * w, n / rows, g, y, rows * step, true, &sums);
    if (left) add_product_sums(left * w, 1, g + at, y + at, step, false, &sums);
    for (int64_t i = w; i < rows * w; i += w)
        for (int64_t j = 0; j < w; j++) {
            two_sum(&sums.total[j], &sums.rest[j], sums.total[i + j]);
            sums.rest[j] += sums.rest[i + j];
        }
    for (int64_t j = 0; j < w; j++) s[j] = (real)sum_and_rest(sums.total[j], sums.rest[j]);
}

ROW_MAP(softargmax_slopes, b + TIMES(v - rest, p * a))

/* Of rows together. */
INLINE void softargmax_backward_some(int64_t rows, int64_t n, real *dx, const real *g, const real *y, real beta, const bool far)
{
    const int64_t all = rows * n, step = far ? LINE : all;
    real product[TG__CHUNK], s[TG__TILE];
    if (n > TG__CHUNK) {
        *s = product_sum(n, g, y);
    } else {
        for (int64_t i = 0; i < all; i += step) {
            if (far) bring_line(dx, i), bring_line(g, all + i), bring_line(y, all + i);
            multiply_all(least(all - i, step), product + i, g + i, y + i);
        }
        row_sums(rows, n, product, s);
    }
    softargmax_slopes(rows, n, dx, g, y, dx, s, beta);
}

/* Far ones are taken by fewer rows: while products are computed, what comes next is brought near, this dx, and the next g and
   y, and little is to be under way at once. */
static void softargmax_backward_rows(int64_t rows, int64_t n, real *dx, const real *g, const real *y, real beta, bool far)
{
    const int64_t few = (rows + 3) / 4;
    if (!far) softargmax_backward_some(rows, n, dx, g, y, beta, false);
    else
        for (int64_t i = 0; i < rows; i += few)
            softargmax_backward_some(least(rows - i, few), n, dx + i * n, g + i * n, y + i * n, beta, true);
}

/* Of n rows of a few vectors of columns. */
INLINE void softargmax_slopes_part(int64_t n, real *dx, const real *g, const real *y, int64_t step, const real *s, real beta,
                                   ptrdiff_t ahead, const int parts, const bool whole, wide_mask there)
{
    wide sum[COLUMN_PARTS];
    EACH_PART sum[k] = wide_load_some(s + k * LANES, WHOLE_PART(k), there);
    for (int64_t i = 0; i < n; i++, g += step, y += step, dx += step) {
        bring_near(g, ahead, parts);
        bring_near(y, ahead, parts);
        bring_near(dx, ahead, parts);
        EACH_PART {
            const int64_t at = k * LANES;
            const bool all = WHOLE_PART(k);
            const wide gs = wide_load_some(g + at, all, there), ys = wide_load_some(y + at, all, there);
            const wide d = wide_load_some(dx + at, all, there);
            wide_store_some(dx + at, all, there, softargmax_slopes_of(gs, ys, d, sum[k], beta));
        }
    }
}

/* Of w columns, from the last rows to the first: the last ones are still near. */
static void softargmax_slopes_columns(int64_t w, int64_t n, real *dx, const real *g, const real *y, int64_t step,
                                      const real *s, real beta)
{
    const ptrdiff_t ahead = ahead_of(SUM_ROWS, n, -step);
    for (int64_t end = n, m; end > 0; end -= m) {
        m = least(end, SUM_ROWS);
        const int64_t at = (end - m) * step;
        EACH_COLUMNS(w, softargmax_slopes_part(m, dx + at + j, g + at + j, y + at + j, step, s + j, beta, ahead, parts,
                                               whole, there));
    }
}

static void softargmax_backward_columns(int64_t w, tg__lines l, real *dx, const real *g, const real *y, real beta)
{
    real s[TG__TILE];
    const int64_t step = l.inner, rows = rows_as_one(w, l.n, step), left = l.n % rows, at = (l.n - left) * step;
    product_sums(w, l.n, rows, g, y, step, s);
    begin_again(w, s, (rows - 1) * w, s + w);
    if (left) softargmax_slopes_columns(left * w, 1, dx + at, g + at, y + at, step, s, beta);
    softargmax_slopes_columns(rows * w, l.n / rows, dx, g, y, rows * step, s, beta);
}

static void softargmax_backward(tg__lines l, void *dx_, const void *g_, const void *y_, double beta)
{
    const real *const g = g_, *const y = y_;
    real *const dx = dx_;
    LINES(softargmax_backward_rows(m, l.n, dx + at, g + at, y + at, (real)beta, ahead_of(1, l.outer, l.n) != 0),
          softargmax_backward_columns(w, l, dx + at, g + at, y + at, (real)beta));
}

ROW_MAP(log_softmax_slopes, b + p * (v - TIMES(rest, a)))

static void log_softmax_backward_rows(int64_t rows, int64_t n, real *dx, const real *g,
                                      const real *y, real beta)
{
    real e[TG__CHUNK], s[TG__TILE];
    if (n > TG__CHUNK) {
        *s = sum_of(n, g);
        for (int64_t i = 0; i < n; i++) dx[i] += beta * (g[i] - TIMES(*s, exp(y[i])));
        return;
    }
    exp_all(rows * n, e, y);
    row_sums(rows, n, g, s);
    log_softmax_slopes(rows, n, dx, g, e, dx, s, beta);
}

static void log_softmax_backward_columns(int64_t w, tg__lines l, real *restrict dx, const real *g,
                                         const real *y, real beta)
{
    real s[TG__TILE];
    column_sums(sum_plain, &(tg__tile){ w, l.n, g, 1, l.inner, l.inner }, s);
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
