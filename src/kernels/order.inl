/* Elements by their rank, without sorting. Included by kernel.c after wide.inl. */

/* ---- counting -------------------------------------------------------------------------------- */

static tg__standing standing(int64_t n, const void *x_, double value)
{
    const real *const x = x_, v = (real)value;
    tg__standing s = { 0, 0, -(double)INFINITY, (double)INFINITY };
    wide_lanes below = { 0 }, equal = { 0 };
    wide before = wide_splat(-(real)INFINITY), behind = wide_splat((real)INFINITY);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const wide here = wide_load(x + i);
        const wide_lanes lower = here<v, higher = here> v;
        below -= lower;
        equal -= here == v;
        before = wide_chosen(lower & (here > before), here, before);
        behind = wide_chosen(higher & (here < behind), here, behind);
    }
    for (int l = 0; l < LANES; l++) {
        s.below += below[l];
        s.equal += equal[l];
        s.before = (double)before[l] > s.before ? (double)before[l] : s.before;
        s.behind = (double)behind[l] < s.behind ? (double)behind[l] : s.behind;
    }
    for (; i < n; i++) {
        s.below += x[i] < v;
        s.equal += x[i] == v;
        if (x[i] < v && (double)x[i] > s.before) s.before = (double)x[i];
        if (x[i] > v && (double)x[i] < s.behind) s.behind = (double)x[i];
    }
    return s;
}

/* Bits of the first n lanes that are equal to v, or NaN if that is one. */
WIDE_INLINE unsigned equals(wide x, real v, int64_t n)
{
    unsigned bits = 0;
#if WIDE_BYTES == 64
    bits = v != v ? WIDE_COMPARE(x, x, _CMP_UNORD_Q) : WIDE_COMPARE(x, wide_splat(v), _CMP_EQ_OQ);
#else
    for (int l = 0; l < LANES; l++) bits |= (unsigned)(v != v ? x[l] != x[l] : x[l] == v) << l;
#endif
    return n < LANES ? bits & ((1u << n) - 1u) : bits;
}

/* Whether any of four vectors has such a lane. */
WIDE_INLINE bool any_equals(const real *x, real v)
{
#if WIDE_BYTES == 64
    unsigned bits = 0;
    _Pragma("GCC unroll 4") for (int q = 0; q < 4; q++) bits |=
        equals(wide_load(x + q * LANES), v, LANES);
    return bits;
#else
    wide_lanes found = { 0 };
    _Pragma("GCC unroll 4") for (int q = 0; q < 4; q++)
    {
        const wide here = wide_load(x + q * LANES);
        found |= v != v ? here != here : here == v;
    }
    wide_integer any = 0;
    for (int l = 0; l < LANES; l++) any |= found[l];
    return any;
#endif
}

static int64_t find_equal(int64_t i, int64_t n, const void *x_, double value)
{
    const real *const x = x_, v = (real)value;
    while (i + 4 * LANES <= n && !any_equals(x + i, v)) i += 4 * LANES;
    _Pragma("GCC unroll 1") for (; i < n; i += LANES)
    {
        const int64_t left = n - i;
        const unsigned bits = equals(wide_load_first(x + i, wide_first(left)), v, left);
        if (bits) return i + __builtin_ctz(bits);
    }
    return n;
}

/* Bits of the first n lanes that are not at most `last`, or not at least: NaN is neither. */
WIDE_INLINE unsigned beyond(wide x, real last, bool falls, int64_t n)
{
    unsigned bits = 0;
#if WIDE_BYTES == 64
    const wide v = wide_splat(last);
    bits = falls ? WIDE_COMPARE(x, v, _CMP_NLE_UQ) : WIDE_COMPARE(x, v, _CMP_NGE_UQ);
#else
    for (int l = 0; l < LANES; l++)
        bits |= (unsigned)(falls ? !(x[l] <= last) : !(x[l] >= last)) << l;
#endif
    return n < LANES ? bits & ((1u << n) - 1u) : bits;
}

/* Whether x comes before y, for falling order and NaN first, or for rising and NaN last. */
WIDE_INLINE bool comes_before(real x, real y, const bool falls)
{
    return falls ? (x > y) | ((x != x) & (y == y)) : (x < y) | ((x == x) & (y != y));
}

/* Puts x, from position i, among the first k, of which there are found; of equal ones it is the last. */
WIDE_INLINE void insert_first(int64_t k, int64_t found, real *best, int64_t *at, real x, int64_t i,
                              const bool falls)
{
    int64_t j = found < k ? found : k - 1;
    for (; j > 0 && comes_before(x, best[j - 1], falls); j--)
        best[j] = best[j - 1], at[j] = at[j - 1];
    best[j] = x;
    at[j] = i;
}

WIDE_INLINE void first_of_line(int64_t k, int64_t n, const real *x, ptrdiff_t sx, int64_t *at, const bool falls)
{
    real best[TG__FEW];
    for (int64_t i = 0; i < k; i++) insert_first(k, i, best, at, x[i * sx], i, falls);
    for (int64_t i = k; i < n && sx != 1; i++)
        if (comes_before(x[i * sx], best[k - 1], falls))
            insert_first(k, k, best, at, x[i * sx], i, falls);
    _Pragma("GCC unroll 1") for (int64_t i = k; i < n && sx == 1; i += LANES)
    {
        const int64_t left = n - i;
        unsigned bits = beyond(wide_load_first(x + i, wide_first(left)), best[k - 1], falls, left);
        for (; bits; bits &= bits - 1) {
            const int64_t here = i + __builtin_ctz(bits);
            if (comes_before(x[here], best[k - 1], falls))
                insert_first(k, k, best, at, x[here], here, falls);
        }
    }
}

#if WIDE_BYTES == 64
enum {
    SHORT_LINE = 32 * LANES,
    CANDIDATES = 4 * LANES,
    LINES_AT_ONCE = 4
};

/* The elements of a short line among which its first ones are: a bit for each element, and of those that have one the
   sizes, negative where the order rises, and positions, with room for a vector more. */
typedef struct candidates {
    wide_mask chosen[SHORT_LINE / LANES];
    int64_t count;
    real value[CANDIDATES + LANES];
    int64_t place[CANDIDATES + LANES];
} candidates;

/* Of a line without NaN: the best of each lane, and of these the one of rank k, k <= LANES; none of the first k comes
   behind that one, and few others come before it. False: there is a NaN. */
WIDE_INLINE bool choose_candidates(int64_t k, int64_t n, const real *x, const bool falls, candidates *c)
{
    const wide sign = wide_splat(falls ? 1 : -1);
    wide best = wide_splat(-(real)INFINITY), other = best;
    wide_mask nan = 0;
    int64_t i = 0;
    _Pragma("GCC unroll 1") for (; i + 2 * LANES <= n; i += 2 * LANES)
    {
        const wide v = sign * wide_load(x + i), w = sign * wide_load(x + i + LANES);
        nan |= WIDE_UNORDERED(v) | WIDE_UNORDERED(w);
        best = WIDE_NAME(512, max)(best, v);
        other = WIDE_NAME(512, max)(other, w);
    }
    _Pragma("GCC unroll 1") for (; i < n; i += LANES)
    {
        const wide_mask there = wide_first(n - i);
        const wide v = wide_choose(there, sign * wide_load_first(x + i, there), best);
        nan |= WIDE_UNORDERED(v);
        best = WIDE_NAME(512, max)(best, v);
    }
    best = WIDE_NAME(512, max)(best, other);

    real lane[LANES];
    wide_mask first = 0;
    wide_store(lane, best);
    _Pragma("GCC unroll 16") for (int l = 0; l < LANES; l++)
    {
        const int before = __builtin_popcount(WIDE_COMPARE(best, wide_splat(lane[l]), _CMP_GT_OQ));
        first |= (wide_mask)((before < k) << l);
    }

    const wide bound = wide_splat(WIDE_NAME(512, mask_reduce_min)(first, best));
    memset(c->chosen, 0, sizeof c->chosen);
    _Pragma("GCC unroll 1") for (i = 0; i < n; i += LANES)
    {
        const wide_mask there = wide_first(n - i);
        c->chosen[i / LANES] =
            there & WIDE_COMPARE(sign * wide_load_first(x + i, there), bound, _CMP_GE_OQ);
    }
    return !nan;
}

/* False: there are many of them. */
WIDE_INLINE bool collect_candidates(int64_t n, const real *x, const bool falls, candidates *c)
{
    uint64_t bits;
    c->count = 0;
    _Pragma("GCC unroll 1") for (int64_t i = 0; i < n; i += 64)
    {
        memcpy(&bits, (const char *)c->chosen + i / 8, sizeof bits);
        if (c->count + __builtin_popcountll(bits) > CANDIDATES) return false;
        _Pragma("GCC unroll 1") for (; bits; bits &= bits - 1, c->count++)
        {
            const int64_t here = i + __builtin_ctzll(bits);
            c->value[c->count] = falls ? x[here] : -x[here];
            c->place[c->count] = here;
        }
    }
    return true;
}

/* They are put in order by how many come before each: without a branch that depends on the elements. What fills the
   last four up is as small as can be, and comes behind all. */
WIDE_INLINE void order_candidates(int64_t k, candidates *c, int64_t *at)
{
    enum { TOGETHER = 4 };
    const int64_t count = c->count;
    int64_t behind;
    wide_store(c->value + count, wide_splat(-(real)INFINITY));
    _Pragma("GCC unroll 1") for (int64_t i = 0; i < count; i += TOGETHER)
        _Pragma("GCC unroll 4") for (int64_t q = i; q < i + TOGETHER; q++)
        {
            const wide v = wide_splat(c->value[q]);
            int before = 0;
            _Pragma("GCC unroll 1") for (int64_t j = 0; j < count; j += LANES)
            {
                const wide_mask same = q > j ? wide_first(q - j) : 0;
                const wide others = wide_load(c->value + j);
                before += __builtin_popcount(WIDE_COMPARE(others, v, _CMP_GT_OQ) |
                                             (same & WIDE_COMPARE(others, v, _CMP_EQ_OQ)));
            }
            *(before < k ? at + before : &behind) = c->place[q];
        }
    (void)behind;
}

/* Each step for a few lines: what has just been stored in pieces is not to be loaded at once. */
WIDE_INLINE void first_of_short_lines(int64_t lines, int64_t k, int64_t n, const real *x, ptrdiff_t next,
                                      int64_t *at, const bool falls)
{
    candidates c[LINES_AT_ONCE];
    bool few[LINES_AT_ONCE];
    for (int64_t i = 0; i < lines; i++) few[i] = choose_candidates(k, n, x + i * next, falls, &c[i]);
    for (int64_t i = 0; i < lines; i++)
        few[i] = few[i] && collect_candidates(n, x + i * next, falls, &c[i]);
    for (int64_t i = 0; i < lines; i++)
        if (few[i]) order_candidates(k, &c[i], at + i * k);
        else first_of_line(k, n, x + i * next, 1, at + i * k, falls);
}
#endif

WIDE_INLINE void first_of_lines(int64_t lines, int64_t k, int64_t n, const real *x, ptrdiff_t next, ptrdiff_t sx,
                                int64_t *at, const bool falls)
{
#if WIDE_BYTES == 64
    if (sx == 1 && k <= LANES && n >= 4 * LANES && n <= SHORT_LINE) {
        for (int64_t i = 0; i < lines; i += LINES_AT_ONCE)
            first_of_short_lines(least(lines - i, LINES_AT_ONCE), k, n, x + i * next, next, at + i * k, falls);
        return;
    }
#endif
    for (int64_t i = 0; i < lines; i++) first_of_line(k, n, x + i * next, sx, at + i * k, falls);
}

static void first_k(int64_t lines, int64_t k, int64_t n, const void *x, ptrdiff_t next, ptrdiff_t sx, bool falls,
                    int64_t *at)
{
    if (falls) first_of_lines(lines, k, n, x, next, sx, at, true);
    else first_of_lines(lines, k, n, x, next, sx, at, false);
}

/* ---- selecting ------------------------------------------------------------------------------- */

/* What is below a number goes to low, what is above it to high; both have room for a vector more, and either may be
   where x is. */
static void part_by(int64_t n, const real *x, real pivot, real *low, int64_t *lows, real *high,
                    int64_t *highs)
{
    int64_t a = 0, b = 0, i = 0;
#if WIDE_BYTES == 64
    const wide p = wide_splat(pivot);
    _Pragma("GCC unroll 1") for (; i < n; i += LANES)
    {
        const wide_mask there = wide_first(n - i);
        const wide here = wide_load_first(x + i, there);
        const wide_mask below = there & WIDE_COMPARE(here, p, _CMP_LT_OQ);
        const wide_mask above = there & WIDE_COMPARE(here, p, _CMP_GT_OQ);
        wide_store(low + a, WIDE_NAME(512, maskz_compress)(below, here));
        wide_store(high + b, WIDE_NAME(512, maskz_compress)(above, here));
        a += __builtin_popcount(below);
        b += __builtin_popcount(above);
    }
#else
    for (; i < n; i++) {
        const real here = x[i];
        low[a] = here;
        high[b] = here;
        a += here < pivot;
        b += here > pivot;
    }
#endif
    *lows = a;
    *highs = b;
}

static real middle_of(real a, real b, real c)
{
    return a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
}

/* The element of a rank among a few. */
#if WIDE_BYTES == 64
enum { SELECT_FEW = 4 * LANES };
static double select_few(int64_t n, const real *x, int64_t rank)
{
    wide v[4];
    wide_mask there[4];
    for (int q = 0; q < 4; q++) {
        there[q] = q * LANES < n ? wide_first(n - q * LANES) : 0;
        v[q] = wide_load_first(x + q * LANES, there[q]);
    }
    _Pragma("GCC unroll 1") for (int64_t i = 0; i < n; i++)
    {
        const wide here = wide_splat(x[i]);
        int below = 0, upto = 0;
        _Pragma("GCC unroll 4") for (int q = 0; q < 4; q++)
        {
            below +=
                __builtin_popcount((unsigned)(there[q] & WIDE_COMPARE(v[q], here, _CMP_LT_OQ)));
            upto += __builtin_popcount((unsigned)(there[q] & WIDE_COMPARE(v[q], here, _CMP_LE_OQ)));
        }
        if (below <= rank && rank < upto) return (double)x[i];
    }
    return (double)NAN;
}
#else
enum { SELECT_FEW = 8 };
static double select_few(int64_t n, const real *x, int64_t rank)
{
    for (int64_t i = 0; i < n; i++) {
        int below = 0, upto = 0;
        for (int64_t j = 0; j < n; j++) below += x[j] < x[i], upto += x[j] <= x[i];
        if (below <= rank && rank < upto) return (double)x[i];
    }
    return (double)NAN;
}
#endif

/* Hoare's selection with pivots drawn at random (always the same ones): no order of the elements is a bad one. */
static double select_rank(int64_t n, const void *x_, int64_t rank, void *work)
{
    const real *x = x_;
    real *const low = work, *const high = low + n + 64;
    uint64_t state = 1;
    while (n > SELECT_FEW) {
        real sample[9], three[3];
        const int some = n < 256 ? 3 : 9;
        for (int i = 0; i < some; i++) {
            state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            sample[i] = x[(int64_t)((state >> 33) * (uint64_t)n >> 31)];
        }
        for (int i = 0; i < some / 3; i++)
            three[i] = middle_of(sample[3 * i], sample[3 * i + 1], sample[3 * i + 2]);
        const real pivot = some == 3 ? three[0] : middle_of(three[0], three[1], three[2]);
        int64_t lows, highs;
        part_by(n, x, pivot, low, &lows, high, &highs);
        if (rank < lows) {
            x = low, n = lows;
        } else if (rank >= n - highs) {
            x = high, rank -= n - highs, n = highs;
        } else {
            return (double)pivot;
        }
    }
    return select_few(n, x, rank);
}

#define ORDER_KERNELS                                                                              \
    {                                                                                              \
        .select = select_rank, .standing = standing, .find = find_equal, .first = first_k          \
    }
