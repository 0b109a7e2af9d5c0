/* Losses of classes, whose scores are rows. Included by kernel.c after softargmax.inl. */

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

/* e = exp t over its sum s, row by row. */
static void keep_shares(int64_t rows, int64_t n, real *e, const real *t, real *s)
{
    real part[TG__TILE];
    exp_all(rows * n, e, t);
    row_sums(rows, n, e, s);
    for (int64_t r = 0; r < rows; r++) part[r] = 1 / s[r];
    row_scaled(rows, n, e, e, e, e, part, 0);
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
        if (plain && n > TG__CHUNK && !c->kept) {
            real most;
            const real sum = long_row_sum(n, x, 1, &most);
            *y = *label < 0 ? 0 : log(sum) - (x[*label] - most);
            continue;
        }
        shift_rows(m, n, t, x, 1);
        if (c->kept) keep_shares(m, n, (real *)c->kept + i * n, t, s);
        else exp_sums(m, n, t, s);
        log_all(m, y, s);
        for (int64_t r = 0; r < m; r++)
            y[r] = label[r] < 0 ? 0
                   : plain      ? y[r] - t[r * n + label[r]]
                                : row_loss(c, t + r * n, label[r], y[r]);
    }
}

/* dx += scale e; or = where e is kept, and may be dx. */
static void add_shares(int64_t n, real *dx, const real *e, real scale, const bool kept)
{
    if (kept)
        for (int64_t j = 0; j < n; j++) dx[j] = scale * e[j];
    else
        for (int64_t j = 0; j < n; j++) dx[j] += scale * e[j];
}

/* dx += g (softargmax x times the sum of the weighted targets, less the weighted targets). */
static void cross_entropy_backward(const tg__scores *c, void *dx_, const tg__incoming *g)
{
    const real *x = c->x, *const kept = c->kept;
    const int64_t *label = c->label, n = c->n;
    const real share = (real)c->smoothing / (real)n, own = 1 - (real)c->smoothing;
    const real shared = share * (c->weight ? sum_of(n, c->weight) : (real)n);
    real *dx = dx_, *const t = c->work, s[TG__TILE];
    for (int64_t i = 0, m; i < c->rows; i += m, x += m * n, label += m) {
        const real *const e = kept ? kept + i * n : t;
        m = rows_at_once(c->rows - i, n);
        if (!kept) {
            shift_rows(m, n, t, x, 1);
            exp_all(m * n, t, t);
            row_sums(m, n, t, s);
        }
        for (int64_t r = 0; r < m; r++, dx += n) {
            const real gr = label[r] < 0 ? 0 : incoming(g, i + r);
            if (gr == 0 && kept) fill(n, dx, 1, 0);
            if (gr == 0) continue;
            const real target = own * weight_of(c->weight, label[r]);
            const real scale = gr * (share == 0 ? target : target + shared);
            add_shares(n, dx, e + r * n, kept ? scale : scale / s[r], kept);
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

/* weight is a constant NULL to the inlined body where there is none; so is a step of 1, and what g is of all rows. */
INLINE void nll_of(int64_t n, real *y, const real *x, ptrdiff_t sx, const ptrdiff_t step,
                   const int64_t *label, const real *weight)
{
    for (int64_t i = 0; i < n; i++, x += sx)
        y[i] = label[i] < 0 ? 0 : -TIMES(weight_of(weight, label[i]), x[label[i] * step]);
}

static void nll(int64_t n, void *y, const void *x, ptrdiff_t sx, ptrdiff_t step,
                const int64_t *label, const void *weight)
{
    if (step != 1) nll_of(n, y, x, sx, step, label, weight);
    else if (weight) nll_of(n, y, x, sx, 1, label, weight);
    else nll_of(n, y, x, sx, 1, label, NULL);
}

/* A look at each label costs less than a pass over all of them before. */
INLINE bool nll_backward_of(int64_t n, real *dx, ptrdiff_t sx, const ptrdiff_t step, const int64_t *label,
                            const uint64_t classes, const real *weight, const real all)
{
    for (int64_t i = 0; i < n; i++, dx += sx) {
        if (classes && (uint64_t)label[i] >= classes) return false;
        if (classes || label[i] >= 0) dx[label[i] * step] -= all * weight_of(weight, label[i]);
    }
    return true;
}

static bool nll_backward(int64_t n, void *dx_, ptrdiff_t sx, ptrdiff_t step, const int64_t *label,
                         int64_t unread, const void *weight, const tg__incoming *g)
{
    real *const dx = dx_;
    const real all = g->sg == 0 && n > 0 ? incoming(g, 0) : 0;
    const uint64_t classes = (uint64_t)unread;
    if (all != 0 && step == 1) {
        if (classes && !weight) return nll_backward_of(n, dx, sx, 1, label, classes, NULL, all);
        if (!classes && weight) return nll_backward_of(n, dx, sx, 1, label, 0, weight, all);
    }
    for (int64_t i = 0; i < n; i++) {
        if (classes && (uint64_t)label[i] >= classes) return false;
        if (label[i] >= 0) dx[i * sx + label[i] * step] -= TIMES(incoming(g, i), weight_of(weight, label[i]));
    }
    return true;
}

INLINE void nll_weights_of(int64_t n, double *dw, const real *x, ptrdiff_t sx, const ptrdiff_t step,
                           const int64_t *label, const double all, double mean)
{
    for (int64_t i = 0; i < n; i++, x += sx)
        if (label[i] >= 0) dw[label[i]] -= all * ((double)x[label[i] * step] + mean);
}

static void nll_weights(int64_t n, double *dw, const void *x_, ptrdiff_t sx, ptrdiff_t step,
                        const int64_t *label, const tg__incoming *g, double mean)
{
    const real *const x = x_;
    const double all = g->sg == 0 && n > 0 ? (double)incoming(g, 0) : 0;
    for (int64_t i = 0; i < n && g->sg != 0; i++) {
        const double gi = label[i] < 0 ? 0 : (double)incoming(g, i);
        if (gi != 0) dw[label[i]] -= gi * ((double)x[i * sx + label[i] * step] + mean);
    }
    if (all == 0) return;
    if (step == 1) nll_weights_of(n, dw, x, sx, 1, label, all, mean);
    else nll_weights_of(n, dw, x, sx, step, label, all, mean);
}
