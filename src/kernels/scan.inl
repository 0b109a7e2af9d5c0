/* Running sums, products and the like, line by line, in double for both types. Included by
   kernel.c, which defines real. */

#define AT(LINE, J) ((real *)(LINE).p)[(J) * (LINE).stride]

/* A sum with what rounding took from it (Knuth's two-sum), so that the last element of a long line
   is as good as the first. */
typedef struct running {
    double sum, lost;
} running;

static running plus(running r, double term)
{
    const double next = r.sum + term, part = next - r.sum;
    return (running){ next, r.lost + ((r.sum - (next - part)) + (term - part)) };
}

static running scaled(running r, double factor)
{
    return (running){ r.sum * factor, r.lost * factor };
}

/* Where the sum is no longer finite, what was lost is NaN: then the sum stands alone. */
static double total_of(running r)
{
    const double total = r.sum + r.lost;
    return total == total ? total : r.sum;
}

/* A few elements are added one by one: the long sum, with all that it needs, is made once for them. */
enum { SCAN_BLOCK = 16 };

/* What r lost, as far as it is finite. */
static double lost_of(running r)
{
    const double total = r.sum + r.lost;
    return total == total ? r.lost : 0;
}

/* ---- eight at a time, in doubles -------------------------------------------------------------- */

enum { EIGHT = 8, SCAN_LINES = 128 };
typedef double doubles __attribute__((vector_size(EIGHT * sizeof(double))));
typedef real eight __attribute__((vector_size(EIGHT * sizeof(real))));
typedef real eight_unaligned
    __attribute__((vector_size(EIGHT * sizeof(real)), aligned(sizeof(real)), may_alias));

static inline __attribute__((always_inline)) doubles load_eight(const real *x)
{
    const eight v = *(const eight_unaligned *)x;
    return __builtin_convertvector(v, doubles);
}

static inline __attribute__((always_inline)) void store_eight(real *y, doubles v)
{
    *(eight_unaligned *)y = __builtin_convertvector(v, eight);
}

/* Steps i ... i + n - 1 of eight lines; step is that of both arrays. What was lost goes first into the next sum. */
static inline __attribute__((always_inline)) void cumsum_eight(int64_t n, real *y, ptrdiff_t sy, const real *x,
                                                               ptrdiff_t sx, double *sum, double *lost, const bool add)
{
    doubles s, part;
    memcpy(&s, sum, sizeof s);
    memcpy(&part, lost, sizeof part);
    for (int64_t i = 0; i < n; i++, y += sy, x += sx) {
        part += load_eight(x);
        store_eight(y, add ? load_eight(y) + (s + part) : s + part);
    }
    for (int l = 0; l < EIGHT; l++) {
        const running r = plus((running){ sum[l], 0 }, part[l]);
        sum[l] = r.sum;
        lost[l] = lost_of(r);
    }
}

/* Lines beside each other, sums along steps of sy and sx; add: y += them. */
static inline __attribute__((always_inline)) void cumsum_lines(int64_t w, int64_t n, real *y, ptrdiff_t sy, const real *x,
                                                               ptrdiff_t sx, const bool add)
{
    double sum[SCAN_LINES] = { 0 }, lost[SCAN_LINES] = { 0 };
    for (int64_t i = 0; i < n; i += SCAN_BLOCK, y += SCAN_BLOCK * sy, x += SCAN_BLOCK * sx) {
        const int64_t m = n - i < SCAN_BLOCK ? n - i : SCAN_BLOCK;
        for (int64_t j = 0; j < w; j += EIGHT) cumsum_eight(m, y + j, sy, x + j, sx, sum + j, lost + j, add);
    }
}

#if defined(__AVX512F__)
/* The sums of lanes 0 ... l in lane l; or, backward, of lanes l ... 7. */
static inline __attribute__((always_inline)) doubles lane_sums_up(doubles v)
{
    const __m512i none = _mm512_setzero_si512();
    v += (doubles)_mm512_alignr_epi64((__m512i)v, none, 7);
    v += (doubles)_mm512_alignr_epi64((__m512i)v, none, 6);
    return v + (doubles)_mm512_alignr_epi64((__m512i)v, none, 4);
}

static inline __attribute__((always_inline)) doubles lane_sums_down(doubles v)
{
    const __m512i none = _mm512_setzero_si512();
    v += (doubles)_mm512_alignr_epi64(none, (__m512i)v, 1);
    v += (doubles)_mm512_alignr_epi64(none, (__m512i)v, 2);
    return v + (doubles)_mm512_alignr_epi64(none, (__m512i)v, 4);
}

/* Eight elements of a line that goes on from r: y = their sums, or y += them. */
static inline __attribute__((always_inline)) running eight_sums(running r, real *y, const real *x, const bool back)
{
    const double lost = lost_of(r);
    const doubles part = back ? lane_sums_down(load_eight(x)) : lane_sums_up(load_eight(x));
    const doubles s = r.sum + (part + lost);
    store_eight(y, back ? load_eight(y) + s : s);
    return plus(r, back ? part[0] : part[7]);
}

static running cumsum_up(int64_t n, real *y, const real *x)
{
    running r = { 0, 0 };
    for (int64_t i = 0; i < n; i += EIGHT) r = eight_sums(r, y + i, x + i, false);
    return r;
}

static running cumsum_down(int64_t n, real *y, const real *x)
{
    running r = { 0, 0 };
    for (int64_t i = n - EIGHT; i >= 0; i -= EIGHT) r = eight_sums(r, y + i, x + i, true);
    return r;
}
#define BY_EIGHT(n, a) ((a)[0].stride == 1 && (a)[1].stride == 1 ? (n) / EIGHT * EIGHT : 0)
#else
#define BY_EIGHT(n, a) 0
#define cumsum_up(n, y, x) ((running){ 0, 0 })
#define cumsum_down(n, y, x) ((running){ 0, 0 })
#endif

static void cumsum(int64_t n, const tg__scan_line *a)
{
    const int64_t eights = BY_EIGHT(n, a);
    running r = cumsum_up(eights, a[0].p, a[1].p);
    for (int64_t i = eights; i < n; i += SCAN_BLOCK) {
        const int64_t end = n - i < SCAN_BLOCK ? n : i + SCAN_BLOCK;
        const double lost = lost_of(r);
        double part = 0;
        for (int64_t j = i; j < end; j++) {
            part += (double)AT(a[1], j);
            AT(a[0], j) = (real)(r.sum + (part + lost));
        }
        r = plus(r, part);
    }
}

/* Each element is in its own sum and in all later ones: sums of g from the back. */
static void cumsum_backward(int64_t n, const tg__scan_line *a)
{
    const int64_t eights = BY_EIGHT(n, a), first = n - eights;
    running r = cumsum_down(eights, (real *)a[1].p + first, (const real *)a[0].p + first);
    for (int64_t i = first; i > 0; i -= SCAN_BLOCK) {
        const int64_t end = i < SCAN_BLOCK ? 0 : i - SCAN_BLOCK;
        const double lost = lost_of(r);
        double part = 0;
        for (int64_t j = i - 1; j >= end; j--) {
            part += (double)AT(a[0], j);
            AT(a[1], j) += (real)(r.sum + (part + lost));
        }
        r = plus(r, part);
    }
}

static void cumprod(int64_t n, const tg__scan_line *a)
{
    double product = 1;
    for (int64_t j = 0; j < n; j++) AT(a[0], j) = (real)(product *= (double)AT(a[1], j));
}

/* f * x, where an x of zero stands for a gradient that is not there. */
static double share(double f, double x)
{
    return x == 0 ? 0 : f * x;
}

/* dx[j] = (x[0] ... x[j-1]) * (g[j] + x[j+1] (g[j+1] + x[j+2] (...))): no division, so that zeros
   are as good as other numbers. */
static void cumprod_backward(int64_t n, const tg__scan_line *a)
{
    double behind = 0;
    for (int64_t j = n - 1; j >= 0; j--) {
        const double before = j ? (double)AT(a[1], j - 1) : 1;
        const double next = j + 1 < n ? (double)AT(a[2], j + 1) : 0;
        behind = (double)AT(a[0], j) + share(next, behind);
        AT(a[3], j) += (real)share(before, behind);
    }
}

/* Exponentials are summed relative to a reference, which moves only when it is this far off: each
   move costs a rounding of the sum, but makes the sum so far this many powers of e smaller. */
enum { FAR = 30 };

static void logcumsumexp(int64_t n, const tg__scan_line *a)
{
    running r = { 0, 0 };
    double reference = -(double)INFINITY;
    for (int64_t j = 0; j < n; j++) {
        const double x = (double)AT(a[1], j);
        if (x > reference + FAR) {
            r = scaled(r, exp(reference - x));
            reference = x;
        }
        if (x == reference) r = plus(r, isinf(x) && x < 0 ? 0 : 1);
        else r = plus(r, exp(x - reference));
        AT(a[0], j) = (real)(reference + log(total_of(r)));
    }
}

/* dx[i] = the sum over j >= i of g[j] exp(x[i] - y[j]). y does not fall, so that from the back to
   the front its exponentials grow. */
static void logcumsumexp_backward(int64_t n, const tg__scan_line *a)
{
    running r = { 0, 0 };
    double reference = 0;
    bool any = false;
    for (int64_t j = n - 1; j >= 0; j--) {
        const double g = (double)AT(a[0], j), y = (double)AT(a[1], j), x = (double)AT(a[2], j);
        const bool nothing = isinf(y) && y < 0;
        if (g != 0 && !nothing) {
            if (!any) reference = y;
            if (reference - y > FAR) {
                r = scaled(r, exp(y - reference));
                reference = y;
            }
            r = plus(r, y == reference ? g : g * exp(reference - y));
            any = true;
        }
        if (any && !nothing) AT(a[3], j) += (real)(total_of(r) * exp(x - reference));
    }
}

/* Lines that are left over, fewer than eight, go one by one. */
static void one_by_one(tg__scan_kernel *kernel, int64_t first, int64_t w, int64_t n, const tg__scan_line *a)
{
    for (int64_t j = first; j < w; j++) {
        const tg__scan_line line[2] = { { (real *)a[0].p + j, a[0].stride }, { (real *)a[1].p + j, a[1].stride } };
        kernel(n, line);
    }
}

static void cumsum_beside(int64_t w, int64_t n, const tg__scan_line *a)
{
    const int64_t whole = w / EIGHT * EIGHT;
    for (int64_t j = 0; j < whole; j += SCAN_LINES)
        cumsum_lines(whole - j < SCAN_LINES ? whole - j : SCAN_LINES, n, (real *)a[0].p + j, a[0].stride,
                     (const real *)a[1].p + j, a[1].stride, false);
    one_by_one(cumsum, whole, w, n, a);
}

static void cumsum_backward_beside(int64_t w, int64_t n, const tg__scan_line *a)
{
    const int64_t whole = w / EIGHT * EIGHT;
    for (int64_t j = 0; j < whole; j += SCAN_LINES)
        cumsum_lines(whole - j < SCAN_LINES ? whole - j : SCAN_LINES, n, (real *)a[1].p + (n - 1) * a[1].stride + j,
                     -a[1].stride, (const real *)a[0].p + (n - 1) * a[0].stride + j, -a[0].stride, true);
    one_by_one(cumsum_backward, whole, w, n, a);
}

static void cumprod_beside(int64_t w, int64_t n, const tg__scan_line *a)
{
    const int64_t whole = w / EIGHT * EIGHT;
    for (int64_t j = 0; j < whole; j += EIGHT) {
        doubles product = 1 - (doubles){ 0 };
        real *y = (real *)a[0].p + j;
        const real *x = (const real *)a[1].p + j;
        for (int64_t i = 0; i < n; i++, y += a[0].stride, x += a[1].stride) {
            product *= load_eight(x);
            store_eight(y, product);
        }
    }
    one_by_one(cumprod, whole, w, n, a);
}

static void recurrence(int64_t n, const tg__scan_line *a)
{
    double y = 0;
    for (int64_t j = 0; j < n; j++)
        AT(a[0], j) = (real)(y = share((double)AT(a[1], j), y) + (double)AT(a[2], j));
}

static void recurrence_backward(int64_t n, const tg__scan_line *a)
{
    double behind = 0;
    for (int64_t j = n - 1; j >= 0; j--) {
        const double next = j + 1 < n ? (double)AT(a[2], j + 1) : 0;
        behind = (double)AT(a[0], j) + share(next, behind);
        if (j) AT(a[3], j) += (real)share((double)AT(a[1], j - 1), behind);
        AT(a[4], j) += (real)behind;
    }
}

#undef AT

#define SCAN_KERNELS                                                                               \
    {                                                                                              \
        .cumsum = cumsum, .cumsum_backward = cumsum_backward, .cumprod = cumprod,                  \
        .cumprod_backward = cumprod_backward, .logcumsumexp = logcumsumexp,                        \
        .logcumsumexp_backward = logcumsumexp_backward, .recurrence = recurrence,                  \
        .recurrence_backward = recurrence_backward, .cumsum_beside = cumsum_beside,                \
        .cumsum_backward_beside = cumsum_backward_beside, .cumprod_beside = cumprod_beside         \
    }
