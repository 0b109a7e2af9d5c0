/* Running sums, products and the like along lines, in double for both types; sums of lines beside each other in the
   type itself, with what rounding took. Included by kernel.c, which defines real.

   An element waits for the one before it, so that several lines are taken at a time; or of a sum along adjacent
   elements, and of one or two lines of products and of their gradient, eight of them. Which of these it is depends on
   how many lines there are and how they lie, never on the level. */

/* ---- eight at a time, in doubles -------------------------------------------------------------- */

#define SCAN_INLINE static inline __attribute__((always_inline))

enum {
    EIGHT = 8,
    SCAN_PARTS = 4,                        /* so many vectors of lines */
    SUM_PARTS = WIDE_BYTES == 64 ? 13 : 4, /* the same of sums: as many as there are registers for */
    KEPT_PARTS = 4,                        /* and of sums of more lines than that */
    SCAN_BLOCK = 16,                       /* steps after which what a sum has lost is seen to */
    SCAN_LINES = 128                       /* lines that go along together */
};
typedef double doubles __attribute__((vector_size(EIGHT * sizeof(double))));
typedef real eight __attribute__((vector_size(EIGHT * sizeof(real))));
typedef real eight_unaligned
    __attribute__((vector_size(EIGHT * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef wide_integer eight_integers __attribute__((vector_size(EIGHT * sizeof(real))));
typedef int64_t longs __attribute__((vector_size(EIGHT * sizeof(int64_t))));

/* A sum with what rounding took from it (Knuth's two-sum), so that the last element of a long line is as good as the first.
   Where a vector holds eight doubles, it is in each of its lanes: taking it out and spreading it again takes longer. */
#if defined(__AVX512F__)
typedef doubles running_number;
#define LANE(v, l) __builtin_shufflevector(v, v, l, l, l, l, l, l, l, l)
#define FINITE(v, total) (doubles)((longs)(v) & ((total) == (total)))
#define NUMBER_OF(r) (r)[0]
#else
typedef double running_number;
#define LANE(v, l) (v)[l]
#define FINITE(v, total) ((total) == (total) ? (v) : 0)
#define NUMBER_OF(r) (r)
#endif
typedef struct running {
    running_number sum, lost;
} running;

#ifndef TG_REAL_F32
SCAN_INLINE running plus(running r, running_number term)
{
    const running_number next = r.sum + term, part = next - r.sum;
    return (running){ next, r.lost + ((r.sum - (next - part)) + (term - part)) };
}

/* What r lost, as far as it is finite. */
SCAN_INLINE running_number lost_of(running r)
{
    const running_number total = r.sum + r.lost;
    return FINITE(r.lost, total);
}
#endif

SCAN_INLINE doubles widened(eight v)
{
#if defined(__AVX512F__) && defined(TG_REAL_F32)
    return (doubles)_mm512_cvtps_pd((__m256)v); /* of a conversion of vectors gcc makes two, of halves */
#else
    return __builtin_convertvector(v, doubles);
#endif
}

SCAN_INLINE doubles load_eight(const real *x)
{
    return widened(*(const eight_unaligned *)x);
}

SCAN_INLINE void store_eight(real *y, doubles v)
{
    *(eight_unaligned *)y = __builtin_convertvector(v, eight);
}

/* y += v, in the type. */
SCAN_INLINE void add_eight(real *y, doubles v)
{
    eight_unaligned *const to = (eight_unaligned *)y;
    *to += __builtin_convertvector(v, eight);
}

/* The first m of eight, and 0 for the others. */
SCAN_INLINE eight load_first_of_eight(int64_t m, const real *x)
{
    eight v = { 0 };
#if defined(__AVX512VL__) && defined(TG_REAL_F32)
    v = (eight)_mm256_maskz_loadu_ps((__mmask8)((1u << m) - 1), x);
#elif defined(__AVX512F__)
    v = (eight)_mm512_maskz_loadu_pd((__mmask8)((1u << m) - 1), x);
#else
    for (int64_t l = 0; l < m; l++) v[l] = x[l];
#endif
    return v;
}

SCAN_INLINE void store_first_of_eight(int64_t m, real *y, doubles s)
{
    const eight v = __builtin_convertvector(s, eight);
#if defined(__AVX512VL__) && defined(TG_REAL_F32)
    _mm256_mask_storeu_ps(y, (__mmask8)((1u << m) - 1), (__m256)v);
#elif defined(__AVX512F__)
    _mm512_mask_storeu_pd(y, (__mmask8)((1u << m) - 1), (__m512d)v);
#else
    for (int64_t l = 0; l < m; l++) y[l] = v[l];
#endif
}

/* Eight of them, or the first m; m is then below 8. */
SCAN_INLINE eight read_upto_eight(const bool whole, int64_t m, const real *x)
{
    return whole ? (eight) * (const eight_unaligned *)x : load_first_of_eight(m, x);
}

SCAN_INLINE doubles load_upto_eight(const bool whole, int64_t m, const real *x)
{
    return widened(read_upto_eight(whole, m, x));
}

SCAN_INLINE void store_upto_eight(const bool whole, int64_t m, real *y, doubles v)
{
    if (whole) store_eight(y, v);
    else store_first_of_eight(m, y, v);
}

/* ---- sums of lines beside each other ----------------------------------------------------------- */

/* What is lost in the addition of a part (Knuth's two-sum), as far as it is finite; sum is then that with the part. */
SCAN_INLINE wide wide_lost(wide *sum, wide part)
{
    const wide next = *sum + part, seen = next - *sum;
    const wide lost = (*sum - (next - seen)) + (part - seen), total = next + lost;
    *sum = next;
    return (wide)((wide_integers)lost & (total == total));
}

SCAN_INLINE wide scan_load(const real *x, const bool whole, wide_mask first)
{
    return whole ? wide_load(x) : wide_load_first(x, first);
}

/* Steps 0 ... n - 1, no more than SCAN_BLOCK, of a few vectors of lines; of the last of them there are the first ones. What
   was lost goes first into the next sum. */
SCAN_INLINE void cumsum_block(int64_t n, real *y, ptrdiff_t sy, const real *x, ptrdiff_t sx, const wide *sum,
                              wide *part, ptrdiff_t y_ahead, ptrdiff_t x_ahead, const int parts, const bool add,
                              wide_mask first)
{
    for (int64_t i = 0; i < n; i++, y += sy, x += sx) {
        bring_near(y, y_ahead, parts);
        bring_near(x, x_ahead, parts);
        for (int k = 0; k < parts; k++) {
            const bool whole = k + 1 < parts;
            real *const to = y + k * LANES;
            part[k] += scan_load(x + k * LANES, whole, first);
            const wide total = sum[k] + part[k], new = add ? scan_load(to, whole, first) + total : total;
            if (whole) wide_store_halves(to, new); /* rows seldom begin where lines of the cache do */
            else wide_store_first(to, first, new);
        }
    }
}

/* All steps of them. */
SCAN_INLINE void cumsum_all(int64_t n, real *y, ptrdiff_t sy, const real *x, ptrdiff_t sx, ptrdiff_t y_ahead,
                            ptrdiff_t x_ahead, const int parts, const bool add, wide_mask first)
{
    wide sum[SUM_PARTS] = { 0 }, part[SUM_PARTS] = { 0 };
    for (; n > SCAN_BLOCK; n -= SCAN_BLOCK, y += SCAN_BLOCK * sy, x += SCAN_BLOCK * sx) {
        cumsum_block(SCAN_BLOCK, y, sy, x, sx, sum, part, y_ahead, x_ahead, parts, add, first);
        for (int k = 0; k < parts; k++) part[k] = wide_lost(&sum[k], part[k]);
    }
    cumsum_block(n, y, sy, x, sx, sum, part, y_ahead, x_ahead, parts, add, first);
}

/* A block of steps; the sums and what they lost come from those before, if there are any, and are kept for those after. */
SCAN_INLINE void cumsum_kept(int64_t n, real *y, ptrdiff_t sy, const real *x, ptrdiff_t sx, ptrdiff_t y_ahead,
                             ptrdiff_t x_ahead, const int parts, const bool add, wide_mask first, real *sums,
                             real *lost, bool before, bool after)
{
    wide sum[KEPT_PARTS] = { 0 }, part[KEPT_PARTS] = { 0 };
    if (before)
        for (int k = 0; k < parts; k++) {
            sum[k] = wide_load(sums + k * LANES);
            part[k] = wide_load(lost + k * LANES);
        }
    cumsum_block(n, y, sy, x, sx, sum, part, y_ahead, x_ahead, parts, add, first);
    if (!after) return;
    for (int k = 0; k < parts; k++) {
        wide_store(lost + k * LANES, wide_lost(&sum[k], part[k]));
        wide_store(sums + k * LANES, sum[k]);
    }
}

/* Sums along steps of sy and sx; add: y += them. Lines that do not go along all at once take a block of steps at a time. */
SCAN_INLINE void cumsum_beside(int64_t w, int64_t n, real *y, ptrdiff_t sy, const real *x, ptrdiff_t sx, const bool add)
{
    const ptrdiff_t y_ahead = ahead_of(SCAN_BLOCK, n, sy), x_ahead = ahead_of(SCAN_BLOCK, n, sx);
#define ALL(PARTS)                                                                                 \
    case PARTS:                                                                                    \
        cumsum_all(n, y, sy, x, sx, y_ahead, x_ahead, PARTS, add,                                  \
                   wide_first(w - (PARTS - 1) * LANES));                                           \
        return;
    switch ((w + LANES - 1) / LANES) {
#if WIDE_BYTES == 64
        ALL(13) ALL(12) ALL(11) ALL(10) ALL(9) ALL(8) ALL(7) ALL(6) ALL(5)
#endif
        ALL(4) ALL(3) ALL(2) ALL(1)
    default: break;
    }
#undef ALL
    real sum[SCAN_LINES], lost[SCAN_LINES];
    for (int64_t i = 0; i < n; i += SCAN_BLOCK, y += SCAN_BLOCK * sy, x += SCAN_BLOCK * sx) {
        const int64_t m = n - i < SCAN_BLOCK ? n - i : SCAN_BLOCK;
        for (int64_t j = 0, v; j < w; j += v * LANES) {
            v = (w - j + LANES - 1) / LANES;
            v = v < KEPT_PARTS ? v : KEPT_PARTS;
#define SOME_OF(PARTS)                                                                             \
    case PARTS:                                                                                    \
        cumsum_kept(m, y + j, sy, x + j, sx, y_ahead, x_ahead, PARTS, add,                         \
                    wide_first(w - j - (PARTS - 1) * LANES), sum + j, lost + j, i > 0, i + m < n); \
        break;
            switch (v) {
                SOME_OF(4) SOME_OF(3) SOME_OF(2) SOME_OF(1)
            default: break;
            }
#undef SOME_OF
        }
    }
}

/* ---- sums along a line ------------------------------------------------------------------------- */

/* The sums of lanes 0 ... l in lane l; or, back, of lanes l ... 7: by pairs, fours, and eight. */
SCAN_INLINE doubles eight_lane_sums(doubles v, const bool back)
{
#if defined(__AVX512F__)
    if (back) {
        v += (doubles)_mm512_maskz_permute_pd(0x55, (__m512d)v, 0xff);
        v += (doubles)_mm512_maskz_permutex_pd(0x33, (__m512d)v, 0xaa);
        return v + (doubles)_mm512_maskz_permutexvar_pd(0x0f, _mm512_set1_epi64(4), (__m512d)v);
    }
    v += (doubles)_mm512_maskz_permute_pd(0xaa, (__m512d)v, 0x00);
    v += (doubles)_mm512_maskz_permutex_pd(0xcc, (__m512d)v, 0x55);
    return v + (doubles)_mm512_maskz_permutexvar_pd(0xf0, _mm512_set1_epi64(3), (__m512d)v);
#else
    double t[EIGHT];
    const int turn = back ? EIGHT - 1 : 0; /* lane l is turn ^ l */
    memcpy(t, &v, sizeof t);
    for (int l = 0; l < EIGHT; l += 2) t[turn ^ (l + 1)] += t[turn ^ l];
    for (int l = 0; l < EIGHT; l += 4)
        for (int i = 2; i < 4; i++) t[turn ^ (l + i)] += t[turn ^ (l + 1)];
    for (int l = 4; l < EIGHT; l++) t[turn ^ l] += t[turn ^ 3];
    memcpy(&v, t, sizeof v);
    return v;
#endif
}

/* The sums of eight more elements of a line. */
SCAN_INLINE doubles eight_sums(running *r, doubles v, const bool back)
{
    const doubles part = eight_lane_sums(v, back);
    const running_number all = back ? LANE(part, 0) : LANE(part, 7);
#ifdef TG_REAL_F32
    const doubles s = r->sum + part;
    r->sum += all;
#else
    const doubles s = r->sum + (part + lost_of(*r));
    *r = plus(*r, all);
#endif
    return s;
}

/* The sums of m <= 8 more elements: y = them, or, back, y += them. */
SCAN_INLINE void adjacent_sums(const bool whole, int64_t m, running *r, real *y, const real *x, const bool back)
{
    const doubles s = eight_sums(r, load_upto_eight(whole, m, x), back);
    store_upto_eight(whole, m, y, back ? load_upto_eight(whole, m, y) + s : s);
}

SCAN_INLINE void cumsum_adjacent(int64_t n, real *y, const real *x, const bool back)
{
    running r = { 0 };
    const int64_t whole = n / EIGHT * EIGHT;
    for (int64_t i = 0; i < whole; i += EIGHT) {
        const int64_t at = back ? n - EIGHT - i : i;
        adjacent_sums(true, EIGHT, &r, y + at, x + at, back);
    }
    const int64_t at = back ? 0 : whole;
    if (whole < n) adjacent_sums(false, n - whole, &r, y + at, x + at, back);
}

/* The same of elements that lie apart: eight are brought together. */
SCAN_INLINE void cumsum_apart(int64_t n, real *y, ptrdiff_t sy, const real *x, ptrdiff_t sx, const bool back)
{
    running r = { 0 };
    for (int64_t i = 0; i < n; i += EIGHT) {
        const int64_t m = n - i < EIGHT ? n - i : EIGHT, at = back ? n - i - m : i;
        real from[EIGHT] = { 0 }, to[EIGHT] = { 0 };
        for (int64_t l = 0; l < m; l++) from[l] = x[(at + l) * sx];
        for (int64_t l = 0; l < m && back; l++) to[l] = y[(at + l) * sy];
        adjacent_sums(true, EIGHT, &r, to, from, back);
        for (int64_t l = 0; l < m; l++) y[(at + l) * sy] = to[l];
    }
}

SCAN_INLINE void cumsum_line(int64_t n, real *y, ptrdiff_t sy, const real *x, ptrdiff_t sx, const bool back)
{
    if (sy == 1 && sx == 1) cumsum_adjacent(n, y, x, back);
    else cumsum_apart(n, y, sy, x, sx, back);
}

static void cumsum(int64_t lines, int64_t n, const tg__scan_line *a)
{
    real *const y = a[0].p;
    const real *const x = a[1].p;
    if (lines == 1 || a[0].step != 1 || a[1].step != 1) {
        for (int64_t l = 0; l < lines; l++)
            cumsum_line(n, y + l * a[0].step, a[0].stride, x + l * a[1].step, a[1].stride, false);
        return;
    }
    for (int64_t l = 0; l < lines; l += SCAN_LINES)
        cumsum_beside(lines - l < SCAN_LINES ? lines - l : SCAN_LINES, n, y + l, a[0].stride, x + l, a[1].stride,
                      false);
}

/* Each element is in its own sum and in all later ones: sums of g from the back. */
static void cumsum_backward(int64_t lines, int64_t n, const tg__scan_line *a)
{
    const real *const g = a[0].p;
    real *const dx = a[1].p;
    if (lines == 1 || a[0].step != 1 || a[1].step != 1) {
        for (int64_t l = 0; l < lines; l++)
            cumsum_line(n, dx + l * a[1].step, a[1].stride, g + l * a[0].step, a[0].stride, true);
        return;
    }
    const real *const g_end = g + (n - 1) * a[0].stride;
    real *const dx_end = dx + (n - 1) * a[1].stride;
    for (int64_t l = 0; l < lines; l += SCAN_LINES)
        cumsum_beside(lines - l < SCAN_LINES ? lines - l : SCAN_LINES, n, dx_end + l, -a[1].stride, g_end + l,
                      -a[0].stride, true);
}

/* ---- several lines at a time ------------------------------------------------------------------- */

/* NAME of all lines, from NAME_some of w of them, of which the first is number `first`; w, and whether elements are
   adjacent, are constants to it. */
#define SOME_LINES(NAME, ARRAYS)                                                                   \
    static void NAME(int64_t lines, int64_t n, const tg__scan_line *a)                             \
    {                                                                                              \
        bool adjacent = true;                                                                      \
        for (int k = 0; k < ARRAYS; k++) adjacent &= a[k].stride == 1;                             \
        int64_t l = 0;                                                                             \
        for (; l + SOME <= lines && adjacent; l += SOME) NAME##_some(l, SOME, n, a, true);         \
        for (; l + SOME <= lines; l += SOME) NAME##_some(l, SOME, n, a, false);                    \
        for (; l + 2 <= lines; l += 2) NAME##_some(l, 2, n, a, false);                             \
        for (; l < lines; l++) NAME##_some(l, 1, n, a, false);                                     \
    }
enum { SOME = 8, SCAN_STEPS = 32 };

/* Element j of line number l of those. */
#define AT(K, L, J) ((real *)a[K].p)[(first + (L)) * a[K].step + (J) * (adjacent ? 1 : a[K].stride)]

#define EACH_LINE _Pragma("GCC unroll 8") for (int l = 0; l < w; l++)
#define EACH_OF_EIGHT _Pragma("GCC unroll 8") for (int l = 0; l < EIGHT; l++)

/* Out of memory come the lines of the next call, too. */
SCAN_INLINE void cumprod_apart_some(int64_t first, const int w, int64_t n, const tg__scan_line *a, const bool adjacent)
{
    double product[SOME];
    EACH_LINE product[l] = 1;
    for (int64_t j = 0; j < n; j++) {
        if (adjacent && j % LINE == 0)
            EACH_LINE
            {
                bring_line(&AT(0, l, j), w * a[0].step);
                bring_line(&AT(1, l, j), w * a[1].step);
            }
        EACH_LINE AT(0, l, j) = (real)(product[l] *= (double)AT(1, l, j));
    }
}
SOME_LINES(cumprod_apart, 2)

/* Lines beside each other, eight by eight. */
SCAN_INLINE void cumprod_eights(int64_t n, real *y, ptrdiff_t sy, const real *x, ptrdiff_t sx, const int parts)
{
    doubles product[SCAN_PARTS];
    for (int k = 0; k < parts; k++) product[k] = 1 - (doubles){ 0 };
    for (int64_t i = 0; i < n; i++, y += sy, x += sx)
        for (int k = 0; k < parts; k++) store_eight(y + k * EIGHT, product[k] *= load_eight(x + k * EIGHT));
}

SCAN_INLINE eight sizes_of_eight(eight v)
{
    const wide_integer no_sign = (wide_integer)(sizeof(real) < sizeof(double) ? INT32_MAX : INT64_MAX);
    return (eight)((eight_integers)v & no_sign);
}

#if defined(__AVX512VL__) && defined(TG_REAL_F32)
#define COMPARED(a, b, how) _mm256_cmp_ps_mask((__m256)(a), (__m256)(b), how)
#elif defined(__AVX512VL__)
#define COMPARED(a, b, how) _mm512_cmp_pd_mask((__m512d)(a), (__m512d)(b), how)
#endif

/* Whether no product of the eight factors is near over- or underflow, nor of them and one of the terms near overflow. */
SCAN_INLINE bool eight_in_range(eight factors, eight terms)
{
    const eight small = (real)0x1p-60 - (eight){ 0 }, large = (real)0x1p60 - (eight){ 0 };
    const eight most = (real)(sizeof(real) < sizeof(double) ? 0x1p127 : 0x1p500) - (eight){ 0 }, zero = { 0 };
    const eight size = sizes_of_eight(factors), other = sizes_of_eight(terms);
#if defined(__AVX512VL__)
    return (COMPARED(size, large, _CMP_LE_OQ) & (COMPARED(size, small, _CMP_GE_OQ) | COMPARED(size, zero, _CMP_EQ_OQ)) &
            COMPARED(other, most, _CMP_LE_OQ)) == 0xff;
#else
    const eight_integers in = (size <= large) & ((size >= small) | (size == zero)) & (other <= most);
    wide_integer all = -1;
    for (int l = 0; l < EIGHT; l++) all &= in[l];
    return all != 0;
#endif
}
#undef COMPARED

/* Lane l of v times those before it, by pairs, fours and eight. */
SCAN_INLINE doubles eight_lane_products(doubles v)
{
#if defined(__AVX512F__)
    const doubles one = 1 - (doubles){ 0 };
    v *= __builtin_shufflevector(v, one, 8, 0, 1, 2, 3, 4, 5, 6);
    v *= __builtin_shufflevector(v, one, 8, 8, 0, 1, 2, 3, 4, 5);
    return v * __builtin_shufflevector(v, one, 8, 8, 8, 8, 0, 1, 2, 3);
#else
    double p[EIGHT];
    memcpy(p, &v, sizeof p);
    for (int d = 1; d < EIGHT; d *= 2)
        for (int l = EIGHT - 1; l >= d; l--) p[l] *= p[l - d];
    memcpy(&v, p, sizeof v);
    return v;
#endif
}

/* One line of adjacent elements: eight at a time, where no product is near over- or underflow. */
static void cumprod_line(int64_t n, real *y, const real *x)
{
    running_number product = 1 - (running_number){ 0 };
    int64_t j = 0;
    while (j < n) {
        const double size = fabs(NUMBER_OF(product));
        const eight factors = read_upto_eight(j + EIGHT <= n, 0, x + j), none = { 0 };
        const bool at_once = j + EIGHT <= n && size <= 0x1p500 && (size >= 0x1p-500 || size == 0);
        if (at_once && eight_in_range(factors, none)) {
            const doubles part = eight_lane_products(widened(factors));
            store_eight(y + j, product * part);
            product *= LANE(part, 7);
            j += EIGHT;
        } else {
            product *= (double)x[j];
            y[j++] = (real)NUMBER_OF(product);
        }
    }
}

static void cumprod(int64_t lines, int64_t n, const tg__scan_line *a)
{
    real *const y = a[0].p;
    const real *const x = a[1].p;
    int64_t l = 0;
    if (lines <= 2 && a[0].stride == 1 && a[1].stride == 1) {
        for (; l < lines; l++) cumprod_line(n, y + l * a[0].step, x + l * a[1].step);
        return;
    }
    if (a[0].step == 1 && a[1].step == 1) {
        for (; l + SCAN_PARTS * EIGHT <= lines; l += SCAN_PARTS * EIGHT)
            cumprod_eights(n, y + l, a[0].stride, x + l, a[1].stride, SCAN_PARTS);
        for (; l + EIGHT <= lines; l += EIGHT) cumprod_eights(n, y + l, a[0].stride, x + l, a[1].stride, 1);
    }
    const tg__scan_line rest[2] = { { y + l * a[0].step, a[0].stride, a[0].step },
                                    { (void *)(uintptr_t)(x + l * a[1].step), a[1].stride, a[1].step } };
    cumprod_apart(lines - l, n, rest);
}

/* ---- gradients of products: eight lines of adjacent elements, eight steps at a time -------------- */

/* Lane i of v[l] and lane l of v[i] change places. */
#if defined(__AVX512F__)
#define TURN(d, LOW, HIGH)                                                                                             \
    _Pragma("GCC unroll 8") for (int l = 0; l < EIGHT; l++) if (!(l & (d)))                                            \
    {                                                                                                                  \
        const __typeof__(*v) low = v[l], high = v[l + (d)];                                                            \
        v[l] = __builtin_shufflevector(low, high, LOW);                                                                \
        v[l + (d)] = __builtin_shufflevector(low, high, HIGH);                                                         \
    }
#define LIST(...) __VA_ARGS__
#define TURN_EIGHT                                                                                                     \
    TURN(4, LIST(0, 1, 2, 3, 8, 9, 10, 11), LIST(4, 5, 6, 7, 12, 13, 14, 15))                                          \
    TURN(2, LIST(0, 1, 8, 9, 4, 5, 12, 13), LIST(2, 3, 10, 11, 6, 7, 14, 15))                                          \
    TURN(1, LIST(0, 8, 2, 10, 4, 12, 6, 14), LIST(1, 9, 3, 11, 5, 13, 7, 15))
#else
#define TURN_EIGHT                                                                                                     \
    __typeof__((*v)[0]) from[EIGHT][EIGHT], to[EIGHT][EIGHT];                                                          \
    memcpy(from, v, sizeof from);                                                                                      \
    for (int l = 0; l < EIGHT; l++)                                                                                    \
        for (int i = 0; i < EIGHT; i++) to[l][i] = from[i][l];                                                         \
    memcpy(v, to, sizeof to);
#endif

SCAN_INLINE void turn_doubles(doubles *v)
{
    TURN_EIGHT
}

/* The same of numbers of the type, which may be shorter. */
SCAN_INLINE void turn_eight(eight *v)
{
    TURN_EIGHT
}
#undef TURN_EIGHT
#undef LIST
#undef TURN

/* f * x, lane by lane, where an x of zero stands for a gradient that is not there. */
SCAN_INLINE doubles shares_of_eight(doubles f, doubles x)
{
    return (doubles)((longs)(f * x) & (x != 0));
}

/* The m <= 8 elements of y that are one in front of element j, ...; in front of the first one is 1. */
SCAN_INLINE doubles eight_before(int64_t m, const real *y, int64_t j)
{
    const doubles one = 1 - (doubles){ 0 }, from = load_upto_eight(m == EIGHT, m, y + (j ? j - 1 : 0));
    return j ? from : __builtin_shufflevector(one, from, 0, 8, 9, 10, 11, 12, 13, 14);
}

/* f * x, where an x of zero stands for a gradient that is not there. */
SCAN_INLINE double share(double f, double x)
{
    return x == 0 ? 0 : f * x;
}

/* dx[j] = (x[0] ... x[j-1]) * (g[j] + x[j+1] (g[j+1] + x[j+2] (...))): no division, so that zeros
   are as good as other numbers. Steps j ... j + m - 1, m <= 8, of w <= 8 lines; behind, and next, the elements after them,
   go along. Where it is asked for, the lines of the next call come near. */
SCAN_INLINE void cumprod_backward_steps(const bool whole, int64_t j, int64_t m, int w, int64_t first,
                                        const tg__scan_line *a, bool ahead, doubles *behind, doubles *next)
{
    const bool adjacent = true;
    eight g[EIGHT], x[EIGHT];
    doubles all[EIGHT];
    EACH_OF_EIGHT
    {
        const int line = l < w ? l : 0;
        for (int k = 0; k < 4 && ahead && j % LINE == 0; k++) bring_line(&AT(k, line, j), EIGHT * a[k].step);
        g[l] = read_upto_eight(whole, m, &AT(0, line, j));
        x[l] = read_upto_eight(whole, m, &AT(2, line, j));
    }
    turn_eight(g);
    turn_eight(x);
    for (int i = EIGHT - 1; i >= 0; i--) {
        all[i] = *behind = widened(g[i]) + shares_of_eight(*next, *behind);
        *next = widened(x[i]);
    }
    turn_doubles(all);
    EACH_OF_EIGHT
    {
        if (l >= w) break;
        real dx[EIGHT] = { 0 }, *const to = whole ? &AT(3, l, j) : dx;
        add_eight(to, shares_of_eight(eight_before(m, &AT(1, l, 0), j), all[l]));
        for (int64_t i = 0; i < m && !whole; i++) AT(3, l, j + i) += dx[i];
    }
}

static void cumprod_backward_eight(int w, int64_t first, int64_t n, const tg__scan_line *a, bool ahead)
{
    doubles behind = { 0 }, next = { 0 };
    const int64_t whole = n / EIGHT * EIGHT;
    if (whole < n) cumprod_backward_steps(false, whole, n - whole, w, first, a, ahead, &behind, &next);
    for (int64_t j = whole - EIGHT; j >= 0; j -= EIGHT)
        cumprod_backward_steps(true, j, EIGHT, w, first, a, ahead, &behind, &next);
}

/* The same of lines however they lie. */
SCAN_INLINE void cumprod_backward_apart_some(int64_t first, const int w, int64_t n, const tg__scan_line *a,
                                       const bool adjacent)
{
    double behind[SOME], all[SOME][SCAN_STEPS]; /* what is behind, of some steps */
    EACH_LINE behind[l] = 0;
    for (int64_t end = n, begin; end > 0; end = begin) {
        begin = end > SCAN_STEPS ? end - SCAN_STEPS : 0;
        for (int64_t j = end - 1; j >= begin; j--) {
            const int64_t next = j + 1 < n ? j + 1 : j; /* behind the last one is 0 */
            EACH_LINE
            {
                behind[l] = (double)AT(0, l, j) + share((double)AT(2, l, next), behind[l]);
                all[l][j - begin] = behind[l];
            }
        }
        EACH_LINE
        {
            if (begin == 0) AT(3, l, 0) += (real)all[l][0];
            for (int64_t j = begin ? begin : 1; j < end; j++)
                AT(3, l, j) += (real)share((double)AT(1, l, j - 1), all[l][j - begin]);
        }
    }
}
SOME_LINES(cumprod_backward_apart, 4)

/* A step's h_l = b_l + a_l h_(l+1) becomes h_l = b_l + a_l h_8, by pairs, fours, and eight. */
SCAN_INLINE void eight_lane_steps(doubles *a, doubles *b)
{
    const doubles one = 1 - (doubles){ 0 }, zero = { 0 };
#if defined(__AVX512F__)
#define DOUBLED(...)                                                                               \
    *b += *a * __builtin_shufflevector(*b, zero, __VA_ARGS__);                                     \
    *a *= __builtin_shufflevector(*a, one, __VA_ARGS__);
    DOUBLED(1, 2, 3, 4, 5, 6, 7, 8)
    DOUBLED(2, 3, 4, 5, 6, 7, 8, 8)
    DOUBLED(4, 5, 6, 7, 8, 8, 8, 8)
#undef DOUBLED
#else
    double p[2 * EIGHT], q[2 * EIGHT];
    memcpy(p, a, sizeof *a), memcpy(p + EIGHT, &one, sizeof one);
    memcpy(q, b, sizeof *b), memcpy(q + EIGHT, &zero, sizeof zero);
    for (int d = 1; d < EIGHT; d *= 2)
        for (int l = 0; l < EIGHT; l++) q[l] += p[l] * q[l + d], p[l] *= p[l + d];
    memcpy(a, p, sizeof *a);
    memcpy(b, q, sizeof *b);
#endif
}

/* Steps end - 1 ... at of a line of adjacent elements, one by one. */
static double cumprod_backward_part(int64_t at, int64_t end, int64_t n, const real *g, const real *y, const real *x,
                                    real *dx, double behind)
{
    for (int64_t j = end - 1; j >= at; j--) {
        behind = (double)g[j] + share(j + 1 < n ? (double)x[j + 1] : 0, behind);
        dx[j] += (real)(j ? share((double)y[j - 1], behind) : behind);
    }
    return behind;
}

/* One line, eight steps at a time where nothing is out of range. */
static void cumprod_backward_line(int64_t n, const real *g, const real *y, const real *x, real *dx)
{
    double behind = 0;
    int64_t end = n;
    for (; end >= EIGHT; end -= EIGHT) {
        const int64_t at = end - EIGHT;
        const eight factors = read_upto_eight(end < n, EIGHT - 1, x + at + 1),
                    terms = read_upto_eight(true, EIGHT, g + at);
        if (!eight_in_range(factors, terms) || !(fabs(behind) <= 0x1p500)) {
            behind = cumprod_backward_part(at, end, n, g, y, x, dx, behind);
            continue;
        }
        doubles a = widened(factors), b = widened(terms);
        eight_lane_steps(&a, &b);
        const doubles h = b + a * behind;
        add_eight(dx + at, shares_of_eight(eight_before(EIGHT, y, at), h));
        behind = h[0];
    }
    cumprod_backward_part(0, end, n, g, y, x, dx, behind);
}

static void cumprod_backward(int64_t lines, int64_t n, const tg__scan_line *a)
{
    bool adjacent = true;
    for (int k = 0; k < 4; k++) adjacent &= a[k].stride == 1;
    if (!adjacent) {
        cumprod_backward_apart(lines, n, a);
        return;
    }
    int64_t first = 0;
    for (; lines <= 2 && first < lines; first++)
        cumprod_backward_line(n, &AT(0, 0, 0), &AT(1, 0, 0), &AT(2, 0, 0), &AT(3, 0, 0));
    for (; first + 2 < lines; first += EIGHT) /* one or two lines are not worth it */
        cumprod_backward_eight((int)(lines - first < EIGHT ? lines - first : EIGHT), first, n, a,
                               ahead_of(EIGHT, lines, a[0].step) != 0);
    if (first >= lines) return;
    tg__scan_line rest[4];
    for (int k = 0; k < 4; k++) rest[k] = (tg__scan_line){ &AT(k, 0, 0), a[k].stride, a[k].step };
    cumprod_backward_apart(lines - first, n, rest);
}

/* ---- y[j] = a[j] y[j - 1] + b[j] --------------------------------------------------------------- */

SCAN_INLINE void recurrence_some(int64_t first, const int w, int64_t n, const tg__scan_line *a, const bool adjacent)
{
    double y[SOME];
    EACH_LINE y[l] = 0;
    for (int64_t j = 0; j < n; j++)
        EACH_LINE AT(0, l, j) = (real)(y[l] = share((double)AT(1, l, j), y[l]) + (double)AT(2, l, j));
}
SOME_LINES(recurrence, 3)

SCAN_INLINE void recurrence_backward_some(int64_t first, const int w, int64_t n, const tg__scan_line *a,
                                          const bool adjacent)
{
    double behind[SOME];
    EACH_LINE behind[l] = 0;
    for (int64_t j = n - 1; j >= 0; j--)
        EACH_LINE
        {
            const double next = j + 1 < n ? (double)AT(2, l, j + 1) : 0;
            behind[l] = (double)AT(0, l, j) + share(next, behind[l]);
            if (j) AT(3, l, j) += (real)share((double)AT(1, l, j - 1), behind[l]);
            AT(4, l, j) += (real)behind[l];
        }
}
SOME_LINES(recurrence_backward, 5)

#undef AT
