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

static void cumsum(int64_t n, const tg__scan_line *a)
{
    running r = { 0, 0 };
    for (int64_t i = 0; i < n; i += SCAN_BLOCK) {
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
    running r = { 0, 0 };
    for (int64_t i = n; i > 0; i -= SCAN_BLOCK) {
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
        .recurrence_backward = recurrence_backward                                                 \
    }
