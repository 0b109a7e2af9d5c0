/* Arrays of two axes, row by row: rows are short more often than not, so they have no call of their own. Included by
   kernel.c after wide.inl. */

/* ---- adjacent rows --------------------------------------------------------------------------- */

/* Short loops: not to be unrolled by the compiler, which would first compute how often they run. */
#define ONCE _Pragma("GCC unroll 1")

/* The end of a row that is not a whole vector is one with the elements before it, done twice: to load what was stored
   through a mask takes long, and so it does to load what lies beside it, as the next row may. */
WIDE_INLINE void row_copy(int64_t n, real *restrict y, const real *restrict x)
{
    int64_t i = 0;
    if (n < LANES) {
        const wide_mask few = wide_first(n);
        wide_store_first(y, few, wide_load_first(x, few));
        return;
    }
    ONCE for (; i + 4 * LANES <= n; i += 4 * LANES)
        _Pragma("GCC unroll 4") for (int q = 0; q < 4; q++)
            wide_store(y + i + q * LANES, wide_load(x + i + q * LANES));
    ONCE for (; i + LANES <= n; i += LANES) wide_store(y + i, wide_load(x + i));
    wide_store(y + n - LANES, wide_load(x + n - LANES));
}

WIDE_INLINE void row_add(int64_t n, real *restrict y, const real *restrict x)
{
    int64_t i = 0;
    if (n < LANES) {
        const wide_mask few = wide_first(n);
        wide_store_first(y, few, wide_load_first(y, few) + wide_load_first(x, few));
        return;
    }
    const wide end = wide_load(y + n - LANES) + wide_load(x + n - LANES);
    ONCE for (; i + 4 * LANES <= n; i += 4 * LANES)
        _Pragma("GCC unroll 4") for (int q = 0; q < 4; q++)
            wide_store(y + i + q * LANES,
                       wide_load(y + i + q * LANES) + wide_load(x + i + q * LANES));
    ONCE for (; i + LANES <= n; i += LANES) wide_store(y + i, wide_load(y + i) + wide_load(x + i));
    wide_store(y + n - LANES, end);
}

/* ---- moving ---------------------------------------------------------------------------------- */

/* Rows as columns where that makes y's or x's elements adjacent. */
static bool better_turned(tg__rows y, tg__rows x)
{
    return y.column != 1 && y.row == 1 && (y.column != 0 || x.column != 1);
}

static tg__rows turned(tg__rows x)
{
    return (tg__rows){ x.p, x.column, x.row };
}

/* Where x's elements lie further apart than those of another row: so many columns at a time that what is read
   of x for one row is there for the next ones. */
enum { NEAR = 256 };

static __attribute__((noinline)) void copy_apart(int64_t m, int64_t n, tg__rows y, tg__rows x)
{
    for (int64_t from = 0; from < n; from += NEAR) {
        const int64_t some = n - from < NEAR ? n - from : NEAR;
        real *to = (real *)y.p + from * y.column;
        const real *at = (const real *)x.p + from * x.column;
        ONCE for (int64_t i = 0; i < m; i++, to += y.row, at += x.row)
        {
            const real one = *at;
            if (y.column == 1 && x.column == 0)
                for (int64_t j = 0; j < some; j++) to[j] = one;
            else if (y.column == 1)
                for (int64_t j = 0; j < some; j++) to[j] = at[j * x.column];
            else
                for (int64_t j = 0; j < some; j++) to[j * y.column] = at[j * x.column];
        }
    }
}

static void copy_rows(int64_t m, int64_t n, tg__rows y, tg__rows x)
{
    if (better_turned(y, x)) {
        copy_apart(n, m, turned(y), turned(x));
        return;
    }
    if (y.column != 1 || x.column != 1) {
        copy_apart(m, n, y, x);
        return;
    }
    real *to = y.p;
    const real *at = x.p;
    const bool is_long = n * (int64_t)sizeof(real) > LONG_COPY;
    ONCE for (int64_t i = 0; i < m; i++, to += y.row, at += x.row)
    {
        if (is_long) memmove(to, at, (size_t)n * sizeof(real));
        else row_copy(n, to, at);
    }
}

static __attribute__((noinline)) void add_apart(int64_t m, int64_t n, tg__rows y, tg__rows x)
{
    const int64_t piece = y.column == 1 ? NEAR : n;
    for (int64_t from = 0; from < n; from += piece) {
        const int64_t some = n - from < piece ? n - from : piece;
        real *to = (real *)y.p + from * y.column;
        const real *at = (const real *)x.p + from * x.column;
        ONCE for (int64_t i = 0; i < m; i++, to += y.row, at += x.row)
        {
            const real one = *at;
            if (y.column == 0) *to += row_sum(n, at, x.column);
            else if (y.column == 1 && x.column == 0)
                for (int64_t j = 0; j < some; j++) to[j] += one;
            else if (y.column == 1)
                for (int64_t j = 0; j < some; j++) to[j] += at[j * x.column];
            else
                for (int64_t j = 0; j < some; j++) to[j * y.column] += at[j * x.column];
        }
    }
}

static void add_rows(int64_t m, int64_t n, tg__rows y, tg__rows x)
{
    if (better_turned(y, x)) {
        add_apart(n, m, turned(y), turned(x));
        return;
    }
    if (y.column != 1 || x.column != 1) {
        add_apart(m, n, y, x);
        return;
    }
    real *to = y.p;
    const real *at = x.p;
    ONCE for (int64_t i = 0; i < m; i++, to += y.row, at += x.row) row_add(n, to, at);
}

/* ---- multiplying ----------------------------------------------------------------------------- */

enum {
    DOT_PIECE = 1024
}; /* so many products are summed in vectors, the sums of pieces one after the other */

WIDE_INLINE real row_dot(int64_t n, const real *a, const real *b)
{
    real total = 0;
    for (; n > 0; n -= DOT_PIECE, a += DOT_PIECE, b += DOT_PIECE) {
        const int64_t some = n < DOT_PIECE ? n : DOT_PIECE;
        wide sum = wide_splat(0), more = wide_splat(0);
        int64_t j = 0;
        for (; j + 2 * LANES <= some; j += 2 * LANES) {
            sum = wide_fma(wide_load(a + j), wide_load(b + j), sum);
            more = wide_fma(wide_load(a + j + LANES), wide_load(b + j + LANES), more);
        }
        for (; j < some; j += LANES) {
            const wide_mask rest = wide_first(some - j);
            sum = wide_fma(wide_load_first(a + j, rest), wide_load_first(b + j, rest), sum);
        }
        total += wide_sum(sum + more);
    }
    return total;
}

/* y = or += s b. */
WIDE_INLINE void scaled_row(int64_t n, real *y, real s, const real *b, const bool add)
{
    const wide a = wide_splat(s);
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES)
        wide_store(y + j,
                   add ? wide_fma(a, wide_load(b + j), wide_load(y + j)) : a * wide_load(b + j));
    if (j == n) return;
    const wide_mask rest = wide_first(n - j);
    const wide x = wide_load_first(b + j, rest);
    wide_store_first(y + j, rest, add ? wide_fma(a, x, wide_load_first(y + j, rest)) : a * x);
}

WIDE_INLINE void products_row(int64_t n, real *y, const real *a, const real *b, const bool add)
{
    int64_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        const wide p = wide_load(a + j), q = wide_load(b + j);
        wide_store(y + j, add ? wide_fma(p, q, wide_load(y + j)) : p * q);
    }
    if (j == n) return;
    const wide_mask rest = wide_first(n - j);
    const wide p = wide_load_first(a + j, rest), q = wide_load_first(b + j, rest);
    wide_store_first(y + j, rest, add ? wide_fma(p, q, wide_load_first(y + j, rest)) : p * q);
}

WIDE_INLINE void multiply_row(int64_t n, real *y, ptrdiff_t sy, const real *a, ptrdiff_t sa,
                              const real *b, ptrdiff_t sb, const bool add)
{
    if (sy == 0) {
        real sum = 0;
        if (sa == 1 && sb == 1) sum = row_dot(n, a, b);
        else
            for (int64_t j = 0; j < n; j++) sum += a[j * sa] * b[j * sb];
        *y = add ? *y + sum : sum;
    } else if (sy == 1 && sa == 0 && sb == 1) {
        scaled_row(n, y, *a, b, add);
    } else if (sy == 1 && sa == 1 && sb == 0) {
        scaled_row(n, y, *b, a, add);
    } else if (sy == 1 && sa == 1 && sb == 1) {
        products_row(n, y, a, b, add);
    } else {
        for (int64_t j = 0; j < n; j++) y[j * sy] = (add ? y[j * sy] : 0) + a[j * sa] * b[j * sb];
    }
}

static void multiply_rows(int64_t m, int64_t n, tg__rows y, tg__rows a, tg__rows b, bool add)
{
    real *to = y.p;
    const real *p = a.p, *q = b.p;
    for (int64_t i = 0; i < m; i++, to += y.row, p += a.row, q += b.row) {
        if (add) multiply_row(n, to, y.column, p, a.column, q, b.column, true);
        else multiply_row(n, to, y.column, p, a.column, q, b.column, false);
    }
}

/* ---- side by side ---------------------------------------------------------------------------- */

enum { SIDE_PIECE = 512 }; /* of each array, so that what is written stays in the first cache */

static void interleave_two(int64_t n, real *restrict y, const real *restrict a,
                           const real *restrict b)
{
    for (int64_t i = 0; i < n; i++) y[2 * i] = a[i], y[2 * i + 1] = b[i];
}

static void interleave(int64_t k, int64_t n, void *y_, const void *const *x)
{
    real *const y = y_;
    if (k == 2) {
        interleave_two(n, y, x[0], x[1]);
        return;
    }
    for (int64_t from = 0; from < n; from += SIDE_PIECE) {
        const int64_t end = n - from < SIDE_PIECE ? n : from + SIDE_PIECE;
        for (int64_t l = 0; l < k; l++)
            for (int64_t i = from; i < end; i++) y[i * k + l] = ((const real *)x[l])[i];
    }
}

static void add_two_interleaved(int64_t n, real *restrict a, real *restrict b,
                                const real *restrict y)
{
    for (int64_t i = 0; i < n; i++) a[i] += y[2 * i], b[i] += y[2 * i + 1];
}

static void add_interleaved(int64_t k, int64_t n, void *const *x, const void *y_)
{
    const real *const y = y_;
    if (k == 2 && x[0] && x[1] && x[0] != x[1]) {
        add_two_interleaved(n, x[0], x[1], y);
        return;
    }
    for (int64_t from = 0; from < n; from += SIDE_PIECE) {
        const int64_t end = n - from < SIDE_PIECE ? n : from + SIDE_PIECE;
        for (int64_t l = 0; l < k; l++)
            for (int64_t i = from; i < end && x[l]; i++) ((real *)x[l])[i] += y[i * k + l];
    }
}

/* ---- triangles ------------------------------------------------------------------------------- */

WIDE_INLINE void row_zero(int64_t n, real *y)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) wide_store(y + i, wide_splat(0));
    if (i < n) wide_store_first(y + i, wide_first(n - i), wide_splat(0));
}

/* Where row i of a triangle is cut. */
static int64_t edge_of(const tg__triangles *t, int64_t i)
{
    const int64_t edge = i + t->offset + t->lower;
    return edge < 0 ? 0 : edge > t->n ? t->n : edge;
}

static void copy_triangles(const tg__triangles *t, void *y_, const void *x_)
{
    real *y = y_;
    const real *x = x_;
    for (int64_t k = 0; k < t->matrices; k++)
        for (int64_t i = 0; i < t->m; i++, y += t->n, x += t->n) {
            const int64_t edge = edge_of(t, i);
            if (t->lower) {
                row_copy(edge, y, x);
                row_zero(t->n - edge, y + edge);
            } else {
                row_zero(edge, y);
                row_copy(t->n - edge, y + edge, x + edge);
            }
        }
}

static void add_triangles(const tg__triangles *t, void *y_, const void *x_)
{
    real *y = y_;
    const real *x = x_;
    for (int64_t k = 0; k < t->matrices; k++)
        for (int64_t i = 0; i < t->m; i++, y += t->n, x += t->n) {
            const int64_t edge = edge_of(t, i);
            if (t->lower) row_add(edge, y, x);
            else row_add(t->n - edge, y + edge, x + edge);
        }
}

#define ROWS_KERNELS                                                                               \
    {                                                                                              \
        .copy = copy_rows, .add = add_rows, .multiply = multiply_rows, .interleave = interleave,   \
        .add_interleaved = add_interleaved, .copy_triangles = copy_triangles,                      \
        .add_triangles = add_triangles                                                             \
    }
