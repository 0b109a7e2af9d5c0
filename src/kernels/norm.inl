/* Normalizations. Included by kernel.c after reduce.inl, whose sums it uses.

   Moments are taken block by block, each about its own mean, so that one pass over memory is enough
   and nothing cancels, and are joined in doubles (Chan, Golub and LeVeque, Updating formulae and a
   pairwise algorithm for computing sample variances, 1979). The mean of a set is kept in two parts:
   in f32, and where the mean is large, its rounding would be seen in x - mean. */

/* Of n elements: their mean is shift + mean, m2 the sum of the squared distances from it. */
typedef struct moments {
    double n, mean, m2;
    real shift;
} moments;

/* What a set is normalized with: (x - center) - rest, times scale. */
typedef struct standard {
    real center, rest, scale;
    double mean; /* from the moments' shift */
} standard;

static standard standard_of(const moments *m, double epsilon)
{
    const double size = (sqrt)(m->m2 / m->n + epsilon); /* in parentheses: that of doubles */
    const real center = (real)((double)m->shift + m->mean);
    return (standard){ .center = center,
                       .rest = (real)(((double)m->shift - (double)center) + m->mean),
                       .scale = (real)(1 / size),
                       .mean = m->mean };
}

/* y = 1 / sqrt(x). Quotients and roots of doubles take as long as all the rest of a normalization of few rows: in f32
   those of the type, off in their last digits, and a step of Newton's are as good, where the type can hold x. */
static void inverse_roots(int64_t n, const double *restrict x, real *restrict y)
{
#ifdef TG_REAL_F32
    int64_t far = 0;
    for (int64_t j = 0; j < n; j++) far |= x[j] > 1e-30 && x[j] < 1e30 ? 0 : 1;
    for (int64_t j = 0; !far && j < n; j++) {
        const double about = (double)(1 / M(sqrt)((real)x[j]));
        y[j] = (real)(about * (1.5 - 0.5 * x[j] * about * about));
    }
    if (!far) return;
#endif
    for (int64_t j = 0; j < n; j++) y[j] = (real)(1 / (sqrt)(x[j])); /* in parentheses: that of doubles */
}

/* The sums of ROW_LANES lanes each. */
INLINE void lane_sums(wide *s1, wide *s2, real s[2])
{
    for (int width = PARTS / 2; width; width /= 2)
        for (int k = 0; k < width; k++) {
            s1[k] += s1[k + width];
            s2[k] += s2[k + width];
        }
    s[0] = wide_sum(s1[0]);
    s[1] = wide_sum(s2[0]);
}

/* The sums of (x - about) and of its square. */
static void block_moments(int64_t n, const real *x, real about, real s[2])
{
    const wide none = wide_splat(0), center = wide_splat(about);
    wide_mask there[PARTS];
    wide s1[PARTS], s2[PARTS];
    const int64_t whole = n / ROW_LANES * ROW_LANES;
    last_part(n, there);
    for (int k = 0; k < PARTS; k++) {
        const wide v = wide_load_first(x + whole + k * LANES, there[k]) - center;
        s1[k] = wide_choose(there[k], v, none);
        s2[k] = s1[k] * s1[k];
    }
    for (int64_t i = 0; i < whole; i += ROW_LANES)
        for (int k = 0; k < PARTS; k++) {
            const wide v = wide_load(x + i + k * LANES) - center;
            s1[k] += v;
            s2[k] += v * v;
        }
    lane_sums(s1, s2, s);
}

/* Joins n more elements, whose sums about a number are s. */
static void join(moments *m, double n, real about, double s1, double s2)
{
    const double offset = s1 / n, own = s2 - s1 * offset, m2 = own < 0 ? 0 : own;
    if (m->n == 0) {
        *m = (moments){ n, offset, m2, about };
        return;
    }
    const double all = m->n + n, apart = (((double)about - (double)m->shift) + offset) - m->mean;
    m->mean += apart * (n / all);
    m->m2 += m2 + apart * apart * (m->n * (n / all));
    m->n = all;
}

/* Up to SUM_BLOCK elements. */
static void join_block(moments *m, int64_t n, const real *x)
{
    const real about = sum_plain_row(n, x, 0, 0, 0) / (real)n;
    real s[2];
    block_moments(n, x, about, s);
    join(m, (double)n, about, (double)s[0], (double)s[1]);
}

static void join_run(moments *m, int64_t n, const real *x)
{
    for (int64_t i = 0; i < n; i += SUM_BLOCK)
        join_block(m, n - i < SUM_BLOCK ? n - i : SUM_BLOCK, x + i);
}

/* The sums of up to SUM_BLOCK elements h = g gamma and h (x - about). gamma NULL: 1. */
INLINE void block_products(int64_t n, const real *g, const real *gamma, const real *x, real about,
                           real rest, real s[2])
{
    const wide none = wide_splat(0), center = wide_splat(about), rests = wide_splat(rest);
    wide_mask there[PARTS];
    wide s1[PARTS], s2[PARTS];
    const int64_t whole = n / ROW_LANES * ROW_LANES;
    last_part(n, there);
    for (int k = 0; k < PARTS; k++) {
        const int64_t at = whole + k * LANES;
        const wide own = wide_load_first(g + at, there[k]);
        const wide v = (wide_load_first(x + at, there[k]) - center) - rests;
        s1[k] = gamma ? own * wide_load_first(gamma + at, there[k]) : own;
        s2[k] = wide_choose(there[k], s1[k] * v, none);
    }
    for (int64_t i = 0; i < whole; i += ROW_LANES)
        for (int k = 0; k < PARTS; k++) {
            const int64_t at = i + k * LANES;
            const wide own = wide_load(g + at), h = gamma ? own * wide_load(gamma + at) : own;
            s1[k] += h;
            s2[k] += h * ((wide_load(x + at) - center) - rests);
        }
    lane_sums(s1, s2, s);
}

static void add_to(double *total, int64_t n, int64_t i, double v)
{
    two_sum(&total[i], &total[n + i], v);
}

/* ---- rows ------------------------------------------------------------------------------------ */

static standard row_standard(const tg__norm *p, int64_t n, const real *x)
{
    moments m = { .n = 0 };
    if (p->centered) {
        join_run(&m, n, x);
        return standard_of(&m, p->epsilon);
    }
    double s[2] = { 0 };
    sum_squares_long(n, x, 1, 0, 0, 0, s);
    m.n = (double)n;
    m.m2 = s[0] + s[1];
    return standard_of(&m, p->epsilon);
}

/* So many rows at most have their numbers made together; no more than stay in the first cache, for they are read again. */
enum { STANDARDS = 64, STANDARDS_BYTES = 1 << 14 };

static int64_t rows_together(int64_t n)
{
    const int64_t fit = n > SUM_BLOCK ? 1 : STANDARDS_BYTES / (int64_t)sizeof(real) / n;
    return least(fit, STANDARDS);
}

/* row_standard of some rows: all at once where each is but a block. */
static void row_standards(const tg__norm *p, int64_t rows, int64_t n, const real *x, standard *s)
{
    real about[STANDARDS], s1[STANDARDS], s2[STANDARDS], scale[STANDARDS];
    double mean[STANDARDS], variance[STANDARDS];
    const double part = 1 / (double)n;
    if (n > SUM_BLOCK || !p->centered) {
        for (int64_t r = 0; r < rows; r++) s[r] = row_standard(p, n, x + r * n);
        return;
    }
    sum_plain_rows(rows, n, x, n, NULL, NULL, 0, about);
    for (int64_t r = 0; r < rows; r++) about[r] /= (real)n;
    sum_offsets_rows(rows, n, x, n, about, NULL, 0, s1);
    sum_squares_rows(rows, n, x, n, about, NULL, 0, s2);
    for (int64_t r = 0; r < rows; r++) {
        mean[r] = (double)s1[r] * part;
        const double own = (double)s2[r] - (double)s1[r] * mean[r];
        variance[r] = (own < 0 ? 0 : own) * part + p->epsilon;
    }
    inverse_roots(rows, variance, scale);
    for (int64_t r = 0; r < rows; r++) {
        const real center = (real)((double)about[r] + mean[r]);
        s[r] = (standard){ center, (real)(((double)about[r] - (double)center) + mean[r]), scale[r], mean[r] };
    }
}

static void norm_row(const tg__norm *p, int64_t r, int64_t n, standard s, const real *x, real *restrict y)
{
    const real *const gamma = (const real *)p->gamma + r % p->groups * n;
    const real *const beta = p->beta ? (const real *)p->beta + r % p->groups * n : NULL;
    if (p->centered)
        for (int64_t i = 0; i < n; i++) y[i] = ((x[i] - s.center) - s.rest) * s.scale * gamma[i] + beta[i];
    else
        for (int64_t i = 0; i < n; i++) y[i] = x[i] * s.scale * gamma[i];
}

static void norm_rows(const tg__norm *p, void *y)
{
    const int64_t n = p->channels * p->inner, rows = p->outer * p->groups, together = rows_together(n);
    standard s[STANDARDS];
    for (int64_t r = 0; r < rows; r += together) {
        const int64_t some = least(rows - r, together);
        const real *const x = (const real *)p->x + r * n;
        row_standards(p, some, n, x, s);
        for (int64_t i = 0; i < some; i++) norm_row(p, r + i, n, s[i], x + i * n, (real *)y + (r + i) * n);
    }
}

static bool all_zero(int64_t n, const real *g)
{
    int other = 0;
    for (int64_t i = 0; i < n; i++) other |= g[i] != 0;
    return !other;
}

/* With h = g gamma, z = x - mean and means over the row:
   dx += scale (h - mean h - z scale^2 mean (h z)). */
static void norm_row_backward(const tg__norm *p, int64_t n, const real *x, const real *g,
                              const real *gamma, real *restrict dx, standard s)
{
    double h[2] = { 0 }, hz[2] = { 0 };
    for (int64_t i = 0; i < n; i += SUM_BLOCK) {
        real part[2];
        block_products(n - i < SUM_BLOCK ? n - i : SUM_BLOCK, g + i, gamma + i, x + i, s.center,
                       s.rest, part);
        two_sum(&h[0], &h[1], (double)part[0]);
        two_sum(&hz[0], &hz[1], (double)part[1]);
    }
    const double scale = (double)s.scale, count = (double)n;
    const real mean = p->centered ? (real)((h[0] + h[1]) / count) : 0;
    const real slope = (real)((hz[0] + hz[1]) / count * scale * scale);
    for (int64_t i = 0; i < n; i++)
        dx[i] += s.scale * ((g[i] * gamma[i] - mean) - ((x[i] - s.center) - s.rest) * slope);
}

/* What a row adds to the gradients by gamma and beta, in blocks of rows. */
static void row_parts(int64_t n, const real *x, const real *g, standard s, real *restrict gamma,
                      real *restrict beta)
{
    for (int64_t i = 0; i < n; i++) {
        gamma[i] += g[i] * (((x[i] - s.center) - s.rest) * s.scale);
        beta[i] += g[i];
    }
}

static void add_parts(double *restrict total, double *restrict rest, int64_t n,
                      const real *restrict v)
{
    for (int64_t i = 0; i < n; i++) two_sum(&total[i], &rest[i], (double)v[i]);
}

/* SUM_ROWS rows are added before they go to the totals; all of their groups, so that memory is gone through once. */
static void norm_rows_backward(const tg__norm *p, const tg__norm_gradients *d)
{
    const int64_t n = p->channels * p->inner, all = p->groups * n;
    const bool parts = d->gamma || d->beta;
    real *const gamma = p->work, *const beta = gamma + all;
    const int64_t together = rows_together(n);
    standard standards[STANDARDS];
    for (int64_t r = 0; r < p->outer; r += SUM_ROWS) {
        const int64_t end = p->outer - r < SUM_ROWS ? p->outer : r + SUM_ROWS;
        for (int64_t i = 0; parts && i < all; i++) gamma[i] = beta[i] = 0;
        for (int64_t q = r * p->groups, i = together; q < end * p->groups; q++, i++) {
            const int64_t at = q * n, own = q % p->groups * n;
            const real *const x = (const real *)p->x + at, *const g = (const real *)d->g + at;
            if (i == together) {
                row_standards(p, least(end * p->groups - q, together), n, x, standards);
                i = 0;
            }
            if (all_zero(n, g)) continue;
            const standard s = standards[i];
            if (d->dx)
                norm_row_backward(p, n, x, g, (const real *)p->gamma + own, (real *)d->dx + at, s);
            if (parts) row_parts(n, x, g, s, gamma + own, beta + own);
        }
        if (d->gamma) add_parts(d->gamma, d->gamma + d->n, all, gamma);
        if (d->beta) add_parts(d->beta, d->beta + d->n, all, beta);
    }
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* A set of runs of n adjacent elements; run i begins at x + i * step and has gamma[i * channel]. */
typedef struct set {
    int64_t at, n, runs, step, first, channel;
} set;

/* Set i of a group normalization, or of one across. */
static set set_of(const tg__norm *p, int64_t i, bool across)
{
    const int64_t n = p->inner, c = p->channels;
    if (across) return (set){ i * n, n, p->outer, c * n, i, 0 };
    return (set){ i * c * n, n, c, n, i % p->groups * c, 1 };
}

static void norm_sets(const tg__norm *p, void *y_, int64_t sets, bool across)
{
    for (int64_t i = 0; i < sets; i++) {
        const set t = set_of(p, i, across);
        const real *const x = (const real *)p->x + t.at;
        real *const y = (real *)y_ + t.at;
        moments m = { .n = 0 };
        for (int64_t r = 0; r < t.runs; r++) join_run(&m, t.n, x + r * t.step);
        const standard s = standard_of(&m, p->epsilon);
        for (int64_t r = 0; r < t.runs; r++) {
            const int64_t channel = t.first + r * t.channel;
            const real a = ((const real *)p->gamma)[channel] * s.scale;
            const real b = ((const real *)p->beta)[channel];
            const real *const xr = x + r * t.step;
            real *restrict const yr = y + r * t.step;
            for (int64_t j = 0; j < t.n; j++) yr[j] = ((xr[j] - s.center) - s.rest) * a + b;
        }
    }
}

/* The moments of a set, and for each run the sums of g and of g (x - shift) in s. */
static moments set_sums(const set *t, const real *x, const real *g, double *s)
{
    moments m = { .n = 0 };
    for (int64_t r = 0; r < t->runs; r++, x += t->step, g += t->step) {
        s[2 * r] = s[2 * r + 1] = 0;
        for (int64_t i = 0; i < t->n; i += SUM_BLOCK) {
            const int64_t n = t->n - i < SUM_BLOCK ? t->n - i : SUM_BLOCK;
            real part[2];
            join_block(&m, n, x + i);
            block_products(n, g + i, NULL, x + i, m.shift, 0, part);
            s[2 * r] += (double)part[0];
            s[2 * r + 1] += (double)part[1];
        }
    }
    return m;
}

static void norm_set_backward(const tg__norm *p, const tg__norm_gradients *d, const set *t)
{
    const real *x = (const real *)p->x + t->at, *g = (const real *)d->g + t->at;
    double *const sums = p->work, h[2] = { 0 }, hz[2] = { 0 };
    const moments m = set_sums(t, x, g, sums);
    const standard s = standard_of(&m, p->epsilon);
    for (int64_t r = 0; r < t->runs; r++) {
        const int64_t channel = t->first + r * t->channel;
        const double gamma = (double)((const real *)p->gamma)[channel];
        const double beside = sums[2 * r + 1] - s.mean * sums[2 * r];
        two_sum(&h[0], &h[1], gamma * sums[2 * r]);
        two_sum(&hz[0], &hz[1], gamma * beside);
        if (d->gamma) add_to(d->gamma, d->n, channel, beside * (double)s.scale);
        if (d->beta) add_to(d->beta, d->n, channel, sums[2 * r]);
    }
    if (!d->dx) return;
    const real mean = (real)((h[0] + h[1]) / m.n);
    const real slope = (real)((hz[0] + hz[1]) / m.n * (double)s.scale * (double)s.scale);
    real *restrict dx = (real *)d->dx + t->at;
    for (int64_t r = 0; r < t->runs; r++, x += t->step, g += t->step, dx += t->step) {
        const real gamma = ((const real *)p->gamma)[t->first + r * t->channel];
        for (int64_t j = 0; j < t->n; j++)
            dx[j] += s.scale * ((g[j] * gamma - mean) - ((x[j] - s.center) - s.rest) * slope);
    }
}

static void norm_runs(const tg__norm *p, void *y)
{
    norm_sets(p, y, p->outer * p->groups, false);
}

static void norm_runs_backward(const tg__norm *p, const tg__norm_gradients *d)
{
    for (int64_t i = 0; i < p->outer * p->groups; i++) {
        const set t = set_of(p, i, false);
        norm_set_backward(p, d, &t);
    }
}

/* ---- across ---------------------------------------------------------------------------------- */

/* Short runs are seen as columns of (outer, channels inner): w of them, of whole channels. */
typedef struct columns {
    int64_t w, step, at;
    ptrdiff_t ahead; /* how far the next SUM_ROWS rows are, 0 within the caches */
    double n, mean[TG__TILE], m2[TG__TILE]; /* moments, all of n elements */
    real shift[TG__TILE];
    double g[TG__TILE], gz[TG__TILE]; /* sums of g and of g (x - shift) */
} columns;

enum { SHORT_RUN = 16 };

/* As join does it, column by column. */
static void join_columns(columns *t, double n, const real *about, const real *s1, const real *s2)
{
    const double before = t->n, all = before + n, share = n / all, part = 1 / n;
    double *restrict const mean = t->mean, *restrict const m2 = t->m2;
    real *restrict const shift = t->shift;
    t->n = all;
    for (int64_t j = 0; j < t->w && before == 0; j++) {
        const double offset = (double)s1[j] * part, own = (double)s2[j] - (double)s1[j] * offset;
        shift[j] = about[j];
        mean[j] = offset;
        m2[j] = own < 0 ? 0 : own;
    }
    if (before == 0) return;
    for (int64_t j = 0; j < t->w; j++) {
        const double offset = (double)s1[j] * part, own = (double)s2[j] - (double)s1[j] * offset;
        const double apart = (((double)about[j] - (double)shift[j]) + offset) - mean[j];
        mean[j] += apart * share;
        m2[j] += (own < 0 ? 0 : own) + apart * apart * (before * share);
    }
}

/* Of n rows of a few vectors of columns: their means, and the sums of the distances from these and of their squares. */
INLINE void moments_part(int64_t n, const real *x, ptrdiff_t step, ptrdiff_t ahead, real *about, real *s1,
                         real *s2, const int parts, const bool whole, wide_mask there)
{
    wide mean[COLUMN_PARTS], first[COLUMN_PARTS], second[COLUMN_PARTS];
    EACH_PART mean[k] = first[k] = second[k] = wide_splat(0);
    for (int64_t i = 0; i < n; i++) {
        bring_near(x + i * step, ahead, parts);
        EACH_PART mean[k] += wide_load_some(x + i * step + k * LANES, WHOLE_PART(k), there);
    }
    EACH_PART mean[k] /= (real)n;
    for (int64_t i = 0; i < n; i++)
        EACH_PART {
            const wide v = wide_load_some(x + i * step + k * LANES, WHOLE_PART(k), there) - mean[k];
            first[k] += v;
            second[k] += v * v;
        }
    EACH_PART {
        wide_store_some(about + k * LANES, WHOLE_PART(k), there, mean[k]);
        wide_store_some(s1 + k * LANES, WHOLE_PART(k), there, first[k]);
        wide_store_some(s2 + k * LANES, WHOLE_PART(k), there, second[k]);
    }
}

/* n rows of w columns: their sums about the means of these rows are joined to the moments. */
static void join_rows(columns *t, int64_t n, const real *x)
{
    real about[TG__TILE], s1[TG__TILE], s2[TG__TILE];
    EACH_COLUMNS(t->w, moments_part(n, x + j, t->step, t->ahead, about + j, s1 + j, s2 + j, parts, whole, there));
    join_columns(t, (double)n, about, s1, s2);
}

/* Of n rows of a few vectors of columns: the sums of g and of g (x - about). */
INLINE void products_part(int64_t n, const real *x, const real *g, ptrdiff_t step, ptrdiff_t ahead,
                          const real *about, real *s1, real *s2, const int parts, const bool whole,
                          wide_mask there)
{
    wide center[COLUMN_PARTS], first[COLUMN_PARTS], second[COLUMN_PARTS];
    EACH_PART {
        center[k] = wide_load_some(about + k * LANES, WHOLE_PART(k), there);
        first[k] = second[k] = wide_splat(0);
    }
    for (int64_t i = 0; i < n; i++) {
        bring_near(g + i * step, ahead, parts);
        EACH_PART {
            const int64_t at = i * step + k * LANES;
            const wide h = wide_load_some(g + at, WHOLE_PART(k), there);
            first[k] += h;
            second[k] += h * (wide_load_some(x + at, WHOLE_PART(k), there) - center[k]);
        }
    }
    EACH_PART {
        wide_store_some(s1 + k * LANES, WHOLE_PART(k), there, first[k]);
        wide_store_some(s2 + k * LANES, WHOLE_PART(k), there, second[k]);
    }
}

static void add_products(columns *t, int64_t n, const real *x, const real *g, bool first)
{
    real s1[TG__TILE], s2[TG__TILE];
    EACH_COLUMNS(t->w, products_part(n, x + j, g + j, t->step, t->ahead, t->shift + j, s1 + j, s2 + j, parts,
                                     whole, there));
    for (int64_t i = 0; i < t->w; i++) {
        t->g[i] = (first ? 0 : t->g[i]) + (double)s1[i];
        t->gz[i] = (first ? 0 : t->gz[i]) + (double)s2[i];
    }
}

/* One pass over the columns from at on; g may be NULL. */
static void read_columns(const tg__norm *p, const real *g, columns *t)
{
    const real *const x = (const real *)p->x + t->at;
    t->n = 0;
    for (int64_t i = 0; i < p->outer; i += SUM_ROWS) {
        const int64_t n = p->outer - i < SUM_ROWS ? p->outer - i : SUM_ROWS;
        join_rows(t, n, x + i * t->step);
        if (g) add_products(t, n, x + i * t->step, g + t->at + i * t->step, i == 0);
    }
}

/* The columns of channel c, from column j of the tile on, as one set. */
static moments channel_moments(const tg__norm *p, const columns *t, int64_t j)
{
    moments m = { t->n, t->mean[j], t->m2[j], t->shift[j] };
    for (int64_t k = j + 1; k < j + p->inner; k++)
        join(&m, t->n, t->shift[k], t->mean[k] * t->n, t->m2[k] + t->mean[k] * t->mean[k] * t->n);
    return m;
}

/* Tiles of as many whole channels as fit. */
static int64_t next_columns(const tg__norm *p, columns *t)
{
    const int64_t all = p->channels * p->inner, fit = TG__TILE / p->inner * p->inner;
    t->step = all;
    t->ahead = ahead_of(SUM_ROWS, p->outer, all);
    t->w = all - t->at < fit ? all - t->at : fit;
    return t->w;
}

/* standard_of, column by column, where each is a channel. */
static void column_standards(const tg__norm *p, const columns *t, real *restrict center, real *restrict rest,
                             real *restrict scale)
{
    double variance[TG__TILE];
    const double part = 1 / t->n, epsilon = p->epsilon;
    for (int64_t j = 0; j < t->w; j++) {
        center[j] = (real)((double)t->shift[j] + t->mean[j]);
        rest[j] = (real)(((double)t->shift[j] - (double)center[j]) + t->mean[j]);
        variance[j] = t->m2[j] * part + epsilon;
    }
    inverse_roots(t->w, variance, scale);
}

static void norm_columns(const tg__norm *p, void *y_)
{
    columns t; /* it is large, and read_columns begins it */
    for (t.at = 0; next_columns(p, &t) > 0; t.at += t.w) {
        real center[TG__TILE], rest[TG__TILE], a[TG__TILE], b[TG__TILE];
        read_columns(p, NULL, &t);
        if (p->inner == 1) {
            const real *const gamma = (const real *)p->gamma + t.at, *const beta = (const real *)p->beta + t.at;
            column_standards(p, &t, center, rest, a);
            for (int64_t j = 0; j < t.w; j++) a[j] *= gamma[j], b[j] = beta[j];
        }
        for (int64_t j = 0; p->inner > 1 && j < t.w; j++) {
            const int64_t c = (t.at + j) / p->inner;
            const moments m = channel_moments(p, &t, j / p->inner * p->inner);
            const standard s = standard_of(&m, p->epsilon);
            center[j] = s.center;
            rest[j] = s.rest;
            a[j] = ((const real *)p->gamma)[c] * s.scale;
            b[j] = ((const real *)p->beta)[c];
        }
        const real *x = (const real *)p->x + t.at;
        real *restrict y = (real *)y_ + t.at;
        for (int64_t i = 0; i < p->outer; i++, x += t.step, y += t.step)
            for (int64_t j = 0; j < t.w; j++) y[j] = ((x[j] - center[j]) - rest[j]) * a[j] + b[j];
    }
}

/* What the columns of a tile are multiplied with in dx += scale (g gamma - mean - z slope). */
typedef struct slopes {
    real center[TG__TILE], rest[TG__TILE], gamma[TG__TILE], scale[TG__TILE], mean[TG__TILE],
        slope[TG__TILE];
} slopes;

/* Of the channel whose columns begin at j. */
static void channel_slopes(const tg__norm *p, const tg__norm_gradients *d, const columns *t,
                           int64_t j, slopes *o)
{
    const int64_t c = (t->at + j) / p->inner;
    const moments m = channel_moments(p, t, j);
    const standard s = standard_of(&m, p->epsilon);
    const real gamma = ((const real *)p->gamma)[c];
    double g = 0, gz = 0;
    for (int64_t k = j; k < j + p->inner; k++) {
        g += t->g[k];
        gz += t->gz[k] + (((double)t->shift[k] - (double)m.shift) - m.mean) * t->g[k];
    }
    if (d->gamma) add_to(d->gamma, d->n, c, gz * (double)s.scale);
    if (d->beta) add_to(d->beta, d->n, c, g);
    for (int64_t k = j; k < j + p->inner; k++) {
        o->center[k] = s.center;
        o->rest[k] = s.rest;
        o->gamma[k] = gamma;
        o->scale[k] = s.scale;
        o->mean[k] = (real)((double)gamma * g / m.n);
        o->slope[k] = (real)((double)gamma * gz / m.n * (double)s.scale * (double)s.scale);
    }
}

/* channel_slopes of all columns, where each is a channel, and comes once. */
static void column_slopes(const tg__norm *p, const tg__norm_gradients *d, const columns *t, slopes *o)
{
    const real *const gamma = (const real *)p->gamma + t->at;
    const double part = 1 / t->n;
    double gz[TG__TILE];
    column_standards(p, t, o->center, o->rest, o->scale);
    for (int64_t j = 0; j < t->w; j++) {
        const double scale = (double)o->scale[j];
        gz[j] = t->gz[j] - t->mean[j] * t->g[j];
        o->gamma[j] = gamma[j];
        o->mean[j] = (real)((double)gamma[j] * t->g[j] * part);
        o->slope[j] = (real)((double)gamma[j] * gz[j] * part * scale * scale);
    }
    for (int64_t j = 0; d->gamma && j < t->w; j++) d->gamma[t->at + j] = gz[j] * (double)o->scale[j];
    for (int64_t j = 0; d->beta && j < t->w; j++) d->beta[t->at + j] = t->g[j];
}

/* dx of n rows of one or two vectors of columns. */
INLINE void columns_dx_part(int64_t n, const real *x, const real *g, real *dx, ptrdiff_t step, const slopes *o,
                            int64_t j, const int parts, const bool whole, wide_mask there)
{
    wide center[2], rest[2], gamma[2], scale[2], mean[2], slope[2];
    EACH_PART {
        const int64_t at = j + k * LANES;
        center[k] = wide_load_some(o->center + at, whole, there);
        rest[k] = wide_load_some(o->rest + at, whole, there);
        gamma[k] = wide_load_some(o->gamma + at, whole, there);
        scale[k] = wide_load_some(o->scale + at, whole, there);
        mean[k] = wide_load_some(o->mean + at, whole, there);
        slope[k] = wide_load_some(o->slope + at, whole, there);
    }
    for (int64_t i = 0; i < n; i++)
        EACH_PART {
            const int64_t at = i * step + j + k * LANES;
            const wide z = (wide_load_some(x + at, whole, there) - center[k]) - rest[k];
            const wide h = wide_load_some(g + at, whole, there) * gamma[k] - mean[k];
            const wide d = wide_load_some(dx + at, whole, there) + scale[k] * (h - z * slope[k]);
            wide_store_some(dx + at, whole, there, d);
        }
}

static void columns_dx(int64_t n, int64_t w, const real *x, const real *g, real *dx, ptrdiff_t step, const slopes *o)
{
    int64_t j = 0;
    for (; j + 2 * LANES <= w; j += 2 * LANES)
        columns_dx_part(n, x, g, dx, step, o, j, 2, true, wide_first(LANES));
    for (; j < w; j += LANES) columns_dx_part(n, x, g, dx, step, o, j, 1, false, wide_first(w - j));
}

static void norm_columns_backward(const tg__norm *p, const tg__norm_gradients *d)
{
    columns t; /* it is large, and read_columns begins it */
    for (t.at = 0; next_columns(p, &t) > 0; t.at += t.w) {
        slopes o;
        read_columns(p, d->g, &t);
        if (p->inner == 1) column_slopes(p, d, &t, &o);
        else
            for (int64_t j = 0; j < t.w; j += p->inner) channel_slopes(p, d, &t, j, &o);
        const int64_t some = t.ahead ? 1 : SUM_ROWS; /* three arrays stream if they are gone through row by row */
        for (int64_t i = 0; d->dx && i < p->outer; i += some) {
            const int64_t at = t.at + i * t.step, n = p->outer - i < some ? p->outer - i : some;
            columns_dx(n, t.w, (const real *)p->x + at, (const real *)d->g + at, (real *)d->dx + at, t.step, &o);
        }
    }
}

static void norm_across(const tg__norm *p, void *y)
{
    if (p->inner < SHORT_RUN) norm_columns(p, y);
    else norm_sets(p, y, p->channels, true);
}

static void norm_across_backward(const tg__norm *p, const tg__norm_gradients *d)
{
    if (p->inner < SHORT_RUN) {
        norm_columns_backward(p, d);
        return;
    }
    for (int64_t i = 0; i < p->channels; i++) {
        const set t = set_of(p, i, true);
        norm_set_backward(p, d, &t);
    }
}

#define NORM_KERNELS                                                                               \
    {                                                                                              \
        .rows = norm_rows, .runs = norm_runs, .across = norm_across,                               \
        .rows_backward = norm_rows_backward, .runs_backward = norm_runs_backward,                  \
        .across_backward = norm_across_backward,                                                   \
    }
