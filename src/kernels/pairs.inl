/* Losses of two operands, element by element; and the table of all kernels of reduce.h. Included by kernel.c after
   classes.inl. */

/* 1 / p where that is exact, else 0; and e / p with its help: compilers make two loops of it, and a product is
   quicker than a quotient. */
static inline real exact_inverse(real p)
{
    const m_bits fraction = ((m_bits)1 << M_SHIFT) - 1;
    const real inverse = 1 / p;
    return !(m_to_bits(p) & fraction) && isnormal(inverse) ? inverse : 0;
}

INLINE real over(real e, real p, real inverse)
{
    return inverse != 0 ? e * inverse : e / p;
}

#define PAIR(NAME, TERM)                                                                           \
    INLINE void pair_##NAME##_row(const tg__pair *x, real *restrict y, ptrdiff_t sa, ptrdiff_t sb) \
    {                                                                                              \
        const real *const as = x->a, *const bs = x->b, p = (real)x->p, inverse = exact_inverse(p); \
        (void)inverse;                                                                             \
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
/* da += g DA and db += g DB, all of them adjacent; DB may use the slope by a. */
#define PAIR_SLOPES(NAME, DA, DB)                                                                  \
    INLINE void pair_##NAME##_slopes_of(const tg__pair *x, real *restrict da, real *restrict db,   \
                                        const real g)                                              \
    {                                                                                              \
        const real *const as = x->a, *const bs = x->b, p = (real)x->p, inverse = exact_inverse(p); \
        (void)inverse;                                                                             \
        for (int64_t i = 0; i < x->n; i++) {                                                       \
            const real a = as[i], b = bs[i];                                                       \
            (void)a, (void)b;                                                                      \
            const real slope = DA;                                                                 \
            (void)slope;                                                                           \
            if (da) da[i] += g * slope;                                                            \
            if (db) db[i] += g * (DB);                                                             \
        }                                                                                          \
    }                                                                                              \
    static void pair_##NAME##_slopes(const tg__pair *x, void *da, void *db,                        \
                                     const tg__incoming *in)                                       \
    {                                                                                              \
        const real g = incoming(in, 0);                                                            \
        if (g == 0) return;                                                                        \
        if (da && db) pair_##NAME##_slopes_of(x, da, db, g);                                       \
        else if (da) pair_##NAME##_slopes_of(x, da, NULL, g);                                      \
        else if (db) pair_##NAME##_slopes_of(x, NULL, db, g);                                      \
    }
#define PAIR_LOSS(NAME, VALUE, DA, DB)                                                             \
    PAIR(NAME, VALUE)                                                                              \
    PAIR(NAME##_da, DA)                                                                            \
    PAIR(NAME##_db, DB)                                                                            \
    PAIR_SLOPES(NAME, DA, DB)
/* Of a - b. */
#define DISTANCE_LOSS(NAME, VALUE, DA)                                                             \
    PAIR(NAME, VALUE)                                                                              \
    PAIR(NAME##_da, DA)                                                                            \
    PAIR(NAME##_db, -(DA))                                                                         \
    PAIR_SLOPES(NAME, DA, -slope)

/* A logarithm no smaller than -100, and its derivative. NaN stays. */
static inline real bounded(real logarithm)
{
    return logarithm < -100 ? -100 : logarithm;
}

static inline real bounded_slope(real logarithm, real slope)
{
    return logarithm < -100 ? 0 : logarithm == logarithm ? slope : logarithm;
}

DISTANCE_LOSS(mse, (a - b) * (a - b), 2 * (a - b))
DISTANCE_LOSS(l1, abs(a - b), sign(a - b))
PAIR_LOSS(bce, -(b *bounded(log(a)) + (1 - b) * bounded(log1p(-a))),
          (1 - b) * bounded_slope(log1p(-a), 1 / (1 - a)) - b * bounded_slope(log(a), 1 / a),
          bounded(log1p(-a)) - bounded(log(a)))
/* Of an error e, squares up to p, then a line with the slope there. */
static inline real huber(real e, real p)
{
    const real size = abs(e);
    return size <= p ? R(0.5) * e * e : p * (size - R(0.5) * p);
}

static inline real smooth_l1(real e, real p, real inverse)
{
    const real size = abs(e);
    return size < p ? R(0.5) * e * over(e, p, inverse) : size - R(0.5) * p;
}

static inline real held(real e, real p)
{
    return e > p ? p : e < -p ? -p : e;
}

DISTANCE_LOSS(huber, huber(a - b, p), held(a - b, p))
DISTANCE_LOSS(smooth_l1, smooth_l1(a - b, p, inverse), abs(a - b) < p ? over(a - b, p, inverse) : sign(a - b))
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
        const tg__tile t = tg__row_tile(part.n, y, 1);
        f(&part, y);
        sum_plain(&t, NULL, 0, s);
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
        },                                                                                         \
        pair_##NAME##_slopes                                                                       \
    }

#define REDUCE_KERNELS                                                                                                 \
    {                                                                                                                  \
        .load = load, .store = store, .totals = totals, .quotients = quotients, .shares = shares,                      \
        .any_below = any_below, .far_from_0 = far_from_0,                                                              \
        .block_sums = block_sums, .sum = sum_plain, .offsets = sum_offsets, .squares = sum_squares,                    \
        .sizes = sum_sizes, .scaled_squares = sum_scaled_squares, .powers = sum_powers, .exps = sum_exps,              \
        .equals = sum_equals, .matches = sum_matches, .size_matches = sum_size_matches, .max = fold_max,               \
        .min = fold_min, .size_max = fold_size_max, .size_min = fold_size_min, .product = fold_product,                \
        .spread = spread_plain, .spread_multiples = spread_multiples, .spread_offsets = spread_offsets,                \
        .spread_scaled = spread_scaled, .spread_signs = spread_signs, .spread_powers = spread_powers,                  \
        .spread_exps = spread_exps, .spread_quotients = spread_quotients, .spread_equals = spread_equals,              \
        .spread_matches = spread_matches, .spread_size_matches = spread_size_matches, .find = find,                    \
        .first_extremes = first_extremes,                                                                              \
        .first_extremes_columns = first_extremes_columns, .row_logsumexps = logsumexps,                                \
        .row_logsumexps_backward = logsumexps_backward, .kept_logsumexps = kept_logsumexps,                            \
        .kept_logsumexps_backward = kept_logsumexps_backward, .products_before = products_before,                      \
        .spread_products = spread_products, .softargmax = softargmax, .log_softmax = log_softmax,                      \
        .softargmax_backward = softargmax_backward, .log_softmax_backward = log_softmax_backward,                      \
        .cross_entropy = cross_entropy, .cross_entropy_backward = cross_entropy_backward,                              \
        .cross_entropy_weights = cross_entropy_weights, .cross_entropy_soft = cross_entropy_soft,                      \
        .cross_entropy_soft_backward = cross_entropy_soft_backward, .nll = nll, .nll_backward = nll_backward,          \
        .label_weights = label_weights, .mse = PAIR_ROW(mse), .l1 = PAIR_ROW(l1), .bce = PAIR_ROW(bce),                    \
        .bce_with_logits = PAIR_ROW(bce_with_logits), .huber = PAIR_ROW(huber), .smooth_l1 = PAIR_ROW(smooth_l1),      \
        .kl_div = PAIR_ROW(kl_div), .hinge = PAIR_ROW(hinge), .pair_sum = pair_sum, .pair_add = pair_add,              \
    }
