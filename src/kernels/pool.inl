/* Pooling. Included by kernel.c after window.inl.

   Windows of a row go together, tap by tap; windows of two by two side by side, which are most, in one go. */

enum { POOL_WINDOWS = 64 }; /* of a row are looked at together */

/* Some windows of one row of a plane, next to each other. */
typedef struct pool_row {
    const tg__planes *p;
    int64_t o, from, n; /* the row of windows, the first of them, how many */
    tap down;           /* the taps of the row that lie on the plane: begin ... end - 1 */
} pool_row;

/* The taps of window o that see elements. */
static tap taps_of(const tg__windows *w, int64_t o)
{
    const int64_t start = o * w->stride - w->padding;
    tap t = { 0, w->kernel, start };
    if (w->padding == 0) return t;
    t.begin = clamped(ceil_divided(-start, w->dilation), 0, w->kernel);
    t.end = clamped(floor_divided(w->n - 1 - start, w->dilation) + 1, t.begin, w->kernel);
    t.at = start + t.begin * w->dilation;
    return t;
}

/* The first piece of p's windows; and the next one, or false behind the last. */
static pool_row pool_begin(const tg__planes *p)
{
    return (pool_row){ p, 0, 0, clamped(p->w.out, 0, POOL_WINDOWS), taps_of(&p->h, 0) };
}

static bool pool_next(pool_row *r)
{
    r->from += r->n;
    if (r->from == r->p->w.out) {
        r->from = 0;
        if (++r->o == r->p->h.out) return false;
        r->down = taps_of(&r->p->h, r->o);
    }
    r->n = clamped(r->p->w.out - r->from, 0, POOL_WINDOWS);
    return true;
}

/* For each tap (I, J) of a piece R of windows that sees any elements: SEEN is the position in the
   plane of what window BEGIN sees, windows BEGIN ... END - 1 of the piece see elements STEP apart. */
#define EACH_TAP(R, ...)                                                                           \
    for (int64_t I = (R)->down.begin; I < (R)->down.end; I++) {                                    \
        const tg__planes *const P = (R)->p;                                                        \
        const int64_t down_ = (R)->o * P->h.stride - P->h.padding + I * P->h.dilation;             \
        for (int64_t J = 0; J < P->w.kernel; J++) {                                                \
            const tap across_ = tap_of(&P->w, J, (R)->from, (R)->from + (R)->n);                   \
            const int64_t BEGIN = across_.begin - (R)->from, END = across_.end - (R)->from;        \
            const int64_t SEEN = down_ * P->w.n + across_.at, STEP = P->w.stride;                  \
            if (BEGIN < END) {                                                                     \
                __VA_ARGS__                                                                        \
            }                                                                                      \
        }                                                                                          \
    }

/* Better of x and the best so far: the first NaN stays. */
#define BETTER(x, best) (((x) > (best)) | (((x) != (x)) & ((best) == (best))))

static void max_row(int64_t n, real *restrict best, const real *restrict x, int64_t step)
{
    if (step == 1)
        for (int64_t k = 0; k < n; k++) best[k] = BETTER(x[k], best[k]) ? x[k] : best[k];
    else if (step == 2)
        for (int64_t k = 0; k < n; k++) best[k] = BETTER(x[2 * k], best[k]) ? x[2 * k] : best[k];
    else
        for (int64_t k = 0; k < n; k++)
            best[k] = BETTER(x[k * step], best[k]) ? x[k * step] : best[k];
}

static void plane_max(const tg__planes *p, real *y, const real *x)
{
    pool_row r = pool_begin(p);
    do {
        for (int64_t k = 0; k < r.n; k++) y[k] = -(real)INFINITY;
        EACH_TAP(&r, max_row(END - BEGIN, y + BEGIN, x + SEEN, STEP);)
        y += r.n;
    } while (pool_next(&r));
}

static void choose_row(int64_t n, int64_t *restrict chosen, real *restrict best,
                       const real *restrict x, int64_t at, int64_t step)
{
    for (int64_t k = 0; k < n; k++) {
        const real v = x[at + k * step];
        const bool better = BETTER(v, best[k]) | (chosen[k] < 0);
        best[k] = better ? v : best[k];
        chosen[k] = better ? at + k * step : chosen[k];
    }
}

/* The position of the first largest element (or first NaN) of each window of a piece; -1 of those that see padding
   only. */
static void choose(const pool_row *r, int64_t *chosen, const real *x)
{
    real best[POOL_WINDOWS];
    for (int64_t k = 0; k < r->n; k++) best[k] = -(real)INFINITY, chosen[k] = -1;
    EACH_TAP(r, choose_row(END - BEGIN, chosen + BEGIN, best + BEGIN, x, SEEN, STEP);)
}

static void plane_max_pick(const tg__planes *p, real *y, const real *x, const real *a)
{
    int64_t chosen[POOL_WINDOWS];
    pool_row r = pool_begin(p);
    do {
        choose(&r, chosen, x);
        for (int64_t k = 0; k < r.n; k++) y[k] += chosen[k] < 0 ? 0 : a[chosen[k]];
        y += r.n;
    } while (pool_next(&r));
}

static void plane_max_put(const tg__planes *p, const real *g, const real *x, real *da)
{
    int64_t chosen[POOL_WINDOWS];
    pool_row r = pool_begin(p);
    do {
        choose(&r, chosen, x);
        for (int64_t k = 0; k < r.n; k++)
            if (chosen[k] >= 0) da[chosen[k]] += g[k];
        g += r.n;
    } while (pool_next(&r));
}

/* How many elements, or taps, the mean of each window of a piece is made of. */
static void pool_counts(const pool_row *r, int counts_padding, double *count)
{
    const int64_t down = r->down.end - r->down.begin;
    const bool same = counts_padding || r->p->w.padding == 0;
    const double all = (double)((counts_padding ? r->p->h.kernel : down) * r->p->w.kernel);
    for (int64_t k = 0; same && k < r->n; k++) count[k] = all;
    for (int64_t k = 0; !same && k < r->n; k++) {
        const tap across = taps_of(&r->p->w, r->from + k);
        count[k] = (double)(down * (across.end - across.begin));
    }
}

/* Few windows of many taps: then the inner loops run along a window instead. */
static bool goes_along_taps(const tg__planes *p)
{
    return p->w.out < 8 && p->w.kernel > p->w.out && p->w.dilation == 1;
}

static void add_seen(int64_t n, double *restrict sum, const real *restrict x, int64_t step)
{
    if (step == 1)
        for (int64_t k = 0; k < n; k++) sum[k] += (double)x[k];
    else
        for (int64_t k = 0; k < n; k++) sum[k] += (double)x[k * step];
}

static double run_sum(int64_t n, const real *x)
{
    double part[16] = { 0 };
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int l = 0; l < 16; l++) part[l] += (double)x[i + l];
    for (int l = 0; l < n - i; l++) part[l] += (double)x[i + l];
    for (int width = 8; width; width /= 2)
        for (int l = 0; l < width; l++) part[l] += part[l + width];
    return part[0];
}

/* For each row of each window of a piece R, which sees N elements from position SEEN on: window K
   of the piece. */
#define EACH_RUN(R, ...)                                                                           \
    for (int64_t K = 0; K < (R)->n; K++) {                                                         \
        const tap along_ = taps_of(&(R)->p->w, (R)->from + K);                                     \
        const int64_t N = along_.end - along_.begin;                                               \
        for (int64_t i_ = (R)->down.begin; i_ < (R)->down.end; i_++) {                             \
            const int64_t row_ = (R)->down.at + (i_ - (R)->down.begin) * (R)->p->h.dilation;       \
            const int64_t SEEN = row_ * (R)->p->w.n + along_.at;                                   \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }

static void plane_mean(const tg__planes *p, int counts_padding, real *y, const real *x)
{
    pool_row r = pool_begin(p);
    do {
        double sum[POOL_WINDOWS] = { 0 }, count[POOL_WINDOWS];
        pool_counts(&r, counts_padding, count);
        if (goes_along_taps(p)) {
            EACH_RUN(&r, sum[K] += run_sum(N, x + SEEN);)
        } else {
            EACH_TAP(&r, add_seen(END - BEGIN, sum + BEGIN, x + SEEN, STEP);)
        }
        for (int64_t k = 0; k < r.n; k++) y[k] = (real)(sum[k] / count[k]);
        y += r.n;
    } while (pool_next(&r));
}

static void plane_spread_mean(const tg__planes *p, int counts_padding, const real *y, real *x)
{
    pool_row r = pool_begin(p);
    do {
        double count[POOL_WINDOWS];
        real share[POOL_WINDOWS];
        pool_counts(&r, counts_padding, count);
        for (int64_t k = 0; k < r.n; k++) share[k] = (real)((double)y[k] / count[k]);
        if (goes_along_taps(p)) {
            EACH_RUN(&r, for (int64_t k = 0; k < N; k++) x[SEEN + k] += share[K];)
        } else {
            EACH_TAP(&r, row_to(END - BEGIN, share + BEGIN, x + SEEN, STEP);)
        }
        y += r.n;
    } while (pool_next(&r));
}

/* ---- two by two, side by side ---------------------------------------------------------------- */

static bool by_twos(const tg__planes *p)
{
    const tg__windows *const h = &p->h, *const w = &p->w;
    return h->kernel == 2 && w->kernel == 2 && h->stride == 2 && w->stride == 2 &&
           h->dilation == 1 && w->dilation == 1 && !h->padding && !w->padding;
}

/* One row of windows, which sees the rows a and b. */
#if WIDE_BYTES == 64
#ifdef TG_REAL_F32
#define WIDE_TWO(a, b, ...) _mm512_permutex2var_ps(a, _mm512_setr_epi32(__VA_ARGS__), b)
#define WIDE_EVENS(a, b) WIDE_TWO(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30)
#define WIDE_ODDS(a, b) WIDE_TWO(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
#define WIDE_LOWS(a, b) WIDE_TWO(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define WIDE_HIGHS(a, b)                                                                           \
    WIDE_TWO(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#else
#define WIDE_TWO(a, b, ...) _mm512_permutex2var_pd(a, _mm512_setr_epi64(__VA_ARGS__), b)
#define WIDE_EVENS(a, b) WIDE_TWO(a, b, 0, 2, 4, 6, 8, 10, 12, 14)
#define WIDE_ODDS(a, b) WIDE_TWO(a, b, 1, 3, 5, 7, 9, 11, 13, 15)
#define WIDE_LOWS(a, b) WIDE_TWO(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define WIDE_HIGHS(a, b) WIDE_TWO(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#endif

/* What a vector of windows sees of two rows, a pair of elements in each: where a pair's second is better, and where the pair
   below is. */
typedef struct twos {
    wide_mask second_above, second_below, below;
    wide largest;
} twos;

/* The better one of each lane; `second` are those where it is x: greater, or NaN where best is not. */
WIDE_INLINE wide better(wide x, wide best, wide_mask *second)
{
    *second = WIDE_COMPARE_OF(WIDE_COMPARE(best, best, _CMP_ORD_Q), x, best, _CMP_NLE_UQ);
    return WIDE_NAME(512, mask_mov)(best, *second, x);
}

WIDE_INLINE twos see_twos(int64_t left, const real *a, const real *b)
{
    const wide_mask low = wide_first(2 * left), high = 2 * left > LANES ? wide_first(2 * left - LANES) : 0;
    const wide a0 = wide_load_first(a, low), a1 = wide_load_first(a + LANES, high);
    const wide b0 = wide_load_first(b, low), b1 = wide_load_first(b + LANES, high);
    twos t;
    const wide above = better(WIDE_ODDS(a0, a1), WIDE_EVENS(a0, a1), &t.second_above);
    const wide below = better(WIDE_ODDS(b0, b1), WIDE_EVENS(b0, b1), &t.second_below);
    t.largest = better(below, above, &t.below);
    return t;
}

static void twos_max(int64_t n, real *restrict y, const real *restrict a, const real *restrict b)
{
    _Pragma("GCC unroll 1") for (int64_t k = 0; k < n; k += LANES)
    {
        const twos t = see_twos(n - k, a + 2 * k, b + 2 * k);
        wide_store_first(y + k, wide_first(n - k), t.largest);
    }
}

/* The first n elements of d += x. A whole vector is stored without a mask: what lies beside it is sooner there to be loaded. */
WIDE_INLINE void add_first(int64_t n, real *d, wide x)
{
    if (n >= LANES) wide_store(d, wide_load(d) + x);
    else if (n > 0) wide_store_first(d, wide_first(n), wide_load_first(d, wide_first(n)) + x);
}

/* The elements that `left` windows see of d += even and odd, which take turns. */
WIDE_INLINE void add_twos(int64_t left, real *d, wide even, wide odd)
{
    add_first(2 * left, d, WIDE_LOWS(even, odd));
    add_first(2 * left - LANES, d + LANES, WIDE_HIGHS(even, odd));
}

static void twos_max_put(int64_t n, const real *restrict g, const real *restrict a,
                         const real *restrict b, real *restrict da, real *restrict db)
{
    _Pragma("GCC unroll 1") for (int64_t k = 0; k < n; k += LANES)
    {
        const twos t = see_twos(n - k, a + 2 * k, b + 2 * k);
        const wide none = wide_splat(0), all = wide_load_first(g + k, wide_first(n - k));
        const wide above = WIDE_NAME(512, mask_mov)(all, t.below, none);
        const wide below = WIDE_NAME(512, maskz_mov)(t.below, all);
        add_twos(n - k, da + 2 * k, WIDE_NAME(512, mask_mov)(above, t.second_above, none),
                 WIDE_NAME(512, maskz_mov)(t.second_above, above));
        add_twos(n - k, db + 2 * k, WIDE_NAME(512, mask_mov)(below, t.second_below, none),
                 WIDE_NAME(512, maskz_mov)(t.second_below, below));
    }
}
#else
static void twos_max(int64_t n, real *restrict y, const real *restrict a, const real *restrict b)
{
    for (int64_t k = 0; k < n; k++) {
        real best = a[2 * k];
        best = BETTER(a[2 * k + 1], best) ? a[2 * k + 1] : best;
        best = BETTER(b[2 * k], best) ? b[2 * k] : best;
        y[k] = BETTER(b[2 * k + 1], best) ? b[2 * k + 1] : best;
    }
}

static void twos_max_put(int64_t n, const real *restrict g, const real *restrict a,
                         const real *restrict b, real *restrict da, real *restrict db)
{
    for (int64_t k = 0; k < n; k++) {
        real best = a[2 * k], *to = da + 2 * k;
        if (BETTER(a[2 * k + 1], best)) best = a[2 * k + 1], to = da + 2 * k + 1;
        if (BETTER(b[2 * k], best)) best = b[2 * k], to = db + 2 * k;
        if (BETTER(b[2 * k + 1], best)) to = db + 2 * k + 1;
        *to += g[k];
    }
}
#endif

static void twos_mean(int64_t n, real *restrict y, const real *restrict a, const real *restrict b)
{
    for (int64_t k = 0; k < n; k++)
        y[k] = ((a[2 * k] + a[2 * k + 1]) + (b[2 * k] + b[2 * k + 1])) / 4;
}

static void twos_spread_mean(int64_t n, const real *restrict y, real *restrict a, real *restrict b)
{
    for (int64_t k = 0; k < n; k++) {
        const real share = y[k] / 4;
        a[2 * k] += share, a[2 * k + 1] += share, b[2 * k] += share, b[2 * k + 1] += share;
    }
}

/* ---- all planes ------------------------------------------------------------------------------ */

/* TWOS for each row of windows, Y being its first one and X the first element that it sees, LENGTH to the row below; or PLANE
   for each plane. */
#define EACH_PLANE(TWOS, PLANE)                                                                    \
    const int64_t LENGTH = p->w.n, outer = p->h.out * p->w.out;                                    \
    const bool pairs = by_twos(p);                                                                 \
    for (int64_t c = 0; c < p->channels; c++) {                                                    \
        for (int64_t o = 0; pairs && o < p->h.out; o++) {                                          \
            const int64_t Y = c * outer + o * p->w.out, X = c * p->channel + 2 * o * LENGTH;       \
            TWOS;                                                                                  \
        }                                                                                          \
        const int64_t Y = c * outer, X = c * p->channel;                                           \
        if (!pairs) PLANE;                                                                         \
    }

static void pool_max(const tg__planes *p, void *y_, const void *x_)
{
    real *const y = y_;
    const real *const x = x_;
    EACH_PLANE(twos_max(p->w.out, y + Y, x + X, x + X + LENGTH), plane_max(p, y + Y, x + X))
}

static void pool_max_pick(const tg__planes *p, void *y, const void *x, const void *a)
{
    for (int64_t c = 0; c < p->channels; c++)
        plane_max_pick(p, (real *)y + c * p->h.out * p->w.out, (const real *)x + c * p->channel,
                       (const real *)a + c * p->channel);
}

static void pool_max_put(const tg__planes *p, const void *g_, const void *x_, void *da_)
{
    const real *const g = g_, *const x = x_;
    real *const d = da_;
    EACH_PLANE(twos_max_put(p->w.out, g + Y, x + X, x + X + LENGTH, d + X, d + X + LENGTH),
               plane_max_put(p, g + Y, x + X, d + X))
}

static void pool_mean(const tg__planes *p, int counts_padding, void *y_, const void *x_)
{
    real *const y = y_;
    const real *const x = x_;
    EACH_PLANE(twos_mean(p->w.out, y + Y, x + X, x + X + LENGTH),
               plane_mean(p, counts_padding, y + Y, x + X))
}

static void pool_spread_mean(const tg__planes *p, int counts_padding, const void *y_, void *x_)
{
    const real *const y = y_;
    real *const x = x_;
    EACH_PLANE(twos_spread_mean(p->w.out, y + Y, x + X, x + X + LENGTH),
               plane_spread_mean(p, counts_padding, y + Y, x + X))
}

#define POOL_KERNELS                                                                               \
    {                                                                                              \
        .max = pool_max, .max_pick = pool_max_pick, .max_put = pool_max_put, .mean = pool_mean,    \
        .spread_mean = pool_spread_mean                                                            \
    }
