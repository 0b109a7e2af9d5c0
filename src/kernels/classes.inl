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

/* Labels that have been read are classes or below 0, unread ones have to be classes: one comparison tells either. */
static inline uint64_t classes_of(const tg__labelled *r)
{
    return r->unread ? (uint64_t)r->unread : INT64_MAX;
}

/* False if an unread label is no class. */
INLINE bool add_weight(const tg__labelled *r, int64_t i, const uint64_t classes, double *sum)
{
    if ((uint64_t)r->label[i] >= classes) return !r->unread;
    *sum += (double)weight_of(r->weight, r->label[i]);
    return true;
}

static bool label_weights(const tg__labelled *r_, double *total)
{
    const tg__labelled labelled = *r_, *const r = &labelled;
    const uint64_t classes = classes_of(r);
    double part[4] = { 0 }; /* one addition need not wait for the other */
    *total = (double)r->n;
    if (r->unread && !r->weight) return within(r->n, r->label, 1, r->unread);
    int64_t i = 0;
    for (; i + 4 <= r->n; i += 4)
        _Pragma("GCC unroll 4") for (int k = 0; k < 4; k++)
            if (!add_weight(r, i + k, classes, &part[k])) return false;
    ONCE for (; i < r->n; i++)
        if (!add_weight(r, i, classes, &part[0])) return false;
    *total = (part[0] + part[2]) + (part[1] + part[3]);
    return true;
}

/* weight is a constant NULL to the inlined bodies where there is none; so are dx and dw, a step of 1, and what g is of all
   rows. */
INLINE bool nll_of(const tg__labelled r, real *y, real *w, const ptrdiff_t step, const real *weight)
{
    const uint64_t classes = classes_of(&r);
    const real *x = r.x;
    for (int64_t i = 0; i < r.n; i++, x += r.row) {
        const int64_t own = r.label[i];
        if ((uint64_t)own >= classes) {
            if (r.unread) return false;
            y[i] = 0;
            if (weight) w[i] = 0;
            continue;
        }
        y[i] = -x[own * step];
        if (weight) w[i] = weight[own];
    }
    for (int64_t i = 0; i < r.n && weight; i++) y[i] = TIMES(w[i], y[i]);
    return true;
}

static bool nll(const tg__labelled *r, void *y, void *w)
{
    if (r->step != 1) return nll_of(*r, y, w, r->step, r->weight);
    return r->weight ? nll_of(*r, y, w, 1, r->weight) : nll_of(*r, y, w, 1, NULL);
}

INLINE bool nll_backward_of(const tg__labelled r, const ptrdiff_t step, const real *weight, const tg__incoming g,
                            const real all, real *dx, double *dw, const double mean)
{
    const uint64_t classes = classes_of(&r);
    const real *x = r.x;
    for (int64_t i = 0; i < r.n; i++, x += r.row, dx += dx ? r.row : 0) {
        const int64_t own = r.label[i];
        if ((uint64_t)own >= classes) {
            if (r.unread) return false;
            continue;
        }
        const real less = all != 0 ? -all : -incoming(&g, i);
        if (all == 0 && less == 0) continue;
        if (dx) dx[own * step] += less * weight_of(weight, own);
        if (dw) dw[own] += (double)less * ((double)x[own * step] + mean);
    }
    return true;
}

static bool nll_backward(const tg__labelled *r, const tg__incoming *g, void *dx, double *dw, double mean)
{
    const real all = g->sg == 0 ? incoming(g, 0) : 0;
    if (r->step != 1 || all == 0 || !dx) return nll_backward_of(*r, r->step, r->weight, *g, 0, dx, dw, mean);
    if (!r->weight) return nll_backward_of(*r, 1, NULL, *g, all, dx, NULL, 0);
    if (!dw) return nll_backward_of(*r, 1, r->weight, *g, all, dx, NULL, 0);
    return nll_backward_of(*r, 1, r->weight, *g, all, dx, dw, mean);
}
