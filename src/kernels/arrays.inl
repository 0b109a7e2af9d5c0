/* Arrays of two axes, row by row: rows are short more often than not, so they have no call of their own. Included by
   kernel.c after wide.inl. */

/* ---- adjacent rows --------------------------------------------------------------------------- */

/* Short loops: not to be unrolled by the compiler, which would first compute how often they run. */
#define ONCE _Pragma("GCC unroll 1")

/* Elements up to the next place where vectors are aligned, 1 ... LANES. */
WIDE_INLINE int64_t up_to_aligned(const real *y)
{
    return (WIDE_BYTES - (int64_t)((uintptr_t)y % WIDE_BYTES)) / (int64_t)sizeof(real);
}

/* Rows go by vectors of half a line of the cache, from where they begin: fewer of these than of whole lines lie across two, some
   processors take 64 bytes as two halves, and what streams to memory, or is soon loaded again, is faster so. To store them
   where halves of lines begin does not pay: x would still be loaded from anywhere, and the ends be done twice. */
enum { HALF_LINE = LINE / 2, ONE_LOOP = 8 * HALF_LINE, SHORT_SET = 4 * LANES };
typedef real half_line __attribute__((vector_size(32), aligned(sizeof(real)), may_alias));

/* a b + c, as wide_fma has it. */
WIDE_INLINE half_line half_fma(half_line a, half_line b, half_line c)
{
#if WIDE_BYTES >= 32
    return WIDE_NAME(256, fmadd)(a, b, c);
#else
    return a * b + c;
#endif
}

#define TO(I) (*(half_line *)(y + (I)))
#define FROM(I) (*(const half_line *)(x + (I)))

/* From i on as far as there are such vectors, one after the other: TO(j) = an expression. What streams is not brought near in
   time where what lies behind is asked for before. Short rows are often of unequal lengths, where each loop ends unforeseen:
   they have but one. */
#define EACH_HALF_LINE(...)                                                                        \
    if (n > ONE_LOOP)                                                                              \
        ONCE for (; i + 4 * HALF_LINE <= n; i += 4 * HALF_LINE)                                    \
            _Pragma("GCC unroll 4") for (int64_t j = i; j < i + 4 * HALF_LINE; j += HALF_LINE)     \
                TO(j) = __VA_ARGS__;                                                               \
    ONCE for (int64_t j = i; i + HALF_LINE <= n; i += HALF_LINE, j = i) TO(j) = __VA_ARGS__;

/* y = OF(x), some elements at the end twice: to load what was stored through a mask takes long, and so it does to load what lies
   beside it, as the next row may. */
#define SET_ROW(OF)                                                                                \
    if (n < LANES) {                                                                               \
        const wide_mask few = wide_first(n);                                                       \
        wide_store_first(y, few, OF(wide_load_first(x, few)));                                     \
        return;                                                                                    \
    }                                                                                              \
    if (n <= SHORT_SET) {                                                                          \
        ONCE for (int64_t i = 0; i + LANES < n; i += LANES) wide_store(y + i, OF(wide_load(x + i))); \
        wide_store(y + n - LANES, OF(wide_load(x + n - LANES)));                                   \
        return;                                                                                    \
    }                                                                                              \
    int64_t i = 0;                                                                                 \
    EACH_HALF_LINE(OF(FROM(j)))                                                                    \
    if (i < n) TO(n - HALF_LINE) = OF(FROM(n - HALF_LINE));

WIDE_INLINE void row_copy(int64_t n, real *restrict y, const real *restrict x)
{
    SET_ROW()
}

/* y = s x */
#define SCALED(X) (s * (X))
WIDE_INLINE void row_scale(int64_t n, real *restrict y, real s, const real *restrict x)
{
    SET_ROW(SCALED)
}
#undef SCALED
#undef SET_ROW

WIDE_INLINE void row_fill(int64_t n, real *y, wide value)
{
    if (n < LANES) {
        wide_store_first(y, wide_first(n), value);
        return;
    }
    wide_store(y, value);
    if (n > 2 * LANES) {
        ONCE for (int64_t i = up_to_aligned(y); i + LANES <= n; i += LANES) wide_store(y + i, value);
    }
    wide_store(y + n - LANES, value);
}

/* y += x. What is stored may soon be loaded, and so may what lies beside it: whatever the length, it is in the pieces in which
   it was stored. */
#define ADD_REST(COUNT)                                                                            \
    if (COUNT < HALF_LINE && n & COUNT) {                                                          \
        typedef real some __attribute__((vector_size(COUNT * sizeof(real)), aligned(sizeof(real)), may_alias)); \
        *(some *)(y + i) += *(const some *)(x + i);                                                \
        i += COUNT;                                                                                \
    }
WIDE_INLINE void row_add(int64_t n, real *restrict y, const real *restrict x)
{
    int64_t i = 0;
    EACH_HALF_LINE(TO(j) + FROM(j))
    ADD_REST(4)
    ADD_REST(2)
    if (n & 1) y[i] += x[i];
}
#undef ADD_REST

/* The same of rows of unequal lengths that are not soon loaded: the last vector, summed first, overlaps the one before it. */
WIDE_INLINE void row_add_once(int64_t n, real *restrict y, const real *restrict x)
{
    if (n < LANES) {
        row_add(n, y, x);
        return;
    }
    const wide last = wide_load(y + n - LANES) + wide_load(x + n - LANES);
    ONCE for (int64_t i = 0; i + LANES < n; i += LANES) wide_store(y + i, wide_load(y + i) + wide_load(x + i));
    wide_store(y + n - LANES, last);
}

/* y += s x, in the way of row_add but for short rows. */
WIDE_INLINE void row_add_scaled(int64_t n, real *restrict y, real s, const real *restrict x)
{
    if (n < LANES) {
        const wide_mask few = wide_first(n);
        wide_store_first(y, few, wide_fma(wide_splat(s), wide_load_first(x, few), wide_load_first(y, few)));
        return;
    }
    const half_line all = s - (half_line){ 0 };
    int64_t i = 0;
    EACH_HALF_LINE(half_fma(all, FROM(j), TO(j)))
    ONCE for (; i < n; i++) y[i] = scalar_fma(s, x[i], y[i]);
}
#undef EACH_HALF_LINE
#undef FROM
#undef TO

/* ---- turning --------------------------------------------------------------------------------- */

/* A square of LANES vectors: element (i, j) becomes element (j, i). In each step blocks beside the diagonal of blocks of twice
   the length change places. */
#define KEPT(k, d) ((k) & (d) ? WIDE_LANES + (k) - (d) : (k))
#define TAKEN(k, d) ((k) & (d) ? WIDE_LANES + (k) : (k) + (d))
#define EXCHANGE(D)                                                                                \
    _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++)                                       \
    {                                                                                              \
        if (i & D) continue;                                                                       \
        const wide a = v[i], b = v[i + D];                                                         \
        v[i] = __builtin_shufflevector(a, b, INDICES(KEPT, 0, D));                                 \
        v[i + D] = __builtin_shufflevector(a, b, INDICES(TAKEN, 0, D));                            \
    }
WIDE_INLINE void turn(wide *v)
{
    EXCHANGE(1)
#if WIDE_LANES > 2
    EXCHANGE(2)
#endif
#if WIDE_LANES > 4
    EXCHANGE(4)
#endif
#if WIDE_LANES > 8
    EXCHANGE(8)
#endif
}
#undef EXCHANGE

/* y = or += x for a square of y's rows, where these are adjacent and so are x's columns. */
WIDE_INLINE void turn_square(real *y, ptrdiff_t y_row, const real *x, ptrdiff_t x_column, const bool add)
{
    wide v[WIDE_LANES];
    _Pragma("GCC unroll 16") for (int j = 0; j < LANES; j++) v[j] = wide_load(x + j * x_column);
    turn(v);
    _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++)
        wide_store(y + i * y_row, add ? wide_load(y + i * y_row) + v[i] : v[i]);
}

/* The same for as much of it as there is of m rows and n columns: rare, and a function of its own, so that whole squares keep
   their registers. */
static __attribute__((noinline)) void turn_part(int64_t m, int64_t n, real *y, ptrdiff_t y_row,
                                                const real *x, ptrdiff_t x_column, bool add)
{
    wide v[WIDE_LANES];
    const wide_mask height = wide_first(m), width = wide_first(n);
    _Pragma("GCC unroll 16") for (int j = 0; j < LANES; j++)
        v[j] = j < n ? wide_load_first(x + j * x_column, height) : wide_splat(0);
    turn(v);
    for (int64_t i = 0; i < LANES && i < m; i++, y += y_row)
        wide_store_first(y, width, add ? wide_load_first(y, width) + v[i] : v[i]);
}

/* Some squares beside each other at a time: rows of y by whole cache lines that follow each other, while what is read of x is
   still near. */
enum { BESIDE = 4 };

WIDE_INLINE void turn_rows(int64_t m, int64_t n, tg__rows y, tg__rows x, const bool add)
{
    for (int64_t from = 0; from < n; from += BESIDE * LANES) {
        const int64_t end = n - from < BESIDE * LANES ? n : from + BESIDE * LANES;
        for (int64_t i = 0; i < m; i += LANES) {
            real *const to = (real *)y.p + i * y.row;
            const real *const at = (const real *)x.p + i;
            int64_t j = from;
            if (m - i >= LANES)
                ONCE for (; end - j >= LANES; j += LANES)
                    turn_square(to + j, y.row, at + j * x.column, x.column, add);
            for (; j < end; j += LANES)
                turn_part(m - i, end - j, to + j, y.row, at + j * x.column, x.column, add);
        }
    }
}

static __attribute__((noinline)) void copy_turned(int64_t m, int64_t n, tg__rows y, tg__rows x)
{
    turn_rows(m, n, y, x, false);
}

static __attribute__((noinline)) void add_turned(int64_t m, int64_t n, tg__rows y, tg__rows x)
{
    turn_rows(m, n, y, x, true);
}

/* Whether y's rows and x's columns are adjacent, and worth a square. */
static bool turns(int64_t m, int64_t n, tg__rows y, tg__rows x)
{
    return y.column == 1 && x.row == 1 && x.column != 0 && x.column != 1 && y.row != 0 && 2 * m >= LANES &&
           2 * n >= LANES;
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
    if (turns(m, n, y, x)) {
        copy_turned(m, n, y, x);
        return;
    }
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
    const int64_t bytes = n * (int64_t)sizeof(real);
    const bool is_long = bytes > LONG_ROW && m * bytes > LONG_COPY;
    ONCE for (int64_t i = 0; i < m; i++, to += y.row, at += x.row)
    {
        if (is_long) memmove(to, at, (size_t)n * sizeof(real));
        else row_copy(n, to, at);
    }
}

static __attribute__((noinline)) void add_apart(int64_t m, int64_t n, tg__rows y, tg__rows x)
{
    if (turns(m, n, y, x)) {
        add_turned(m, n, y, x);
        return;
    }
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

/* m rows of n: y = or += s b, with one s for each row. */
WIDE_INLINE void scaled_rows(int64_t m, int64_t n, real *y, ptrdiff_t y_row, const real *s, ptrdiff_t s_row, const real *b,
                             ptrdiff_t b_row, bool add)
{
    for (int64_t i = 0; i < m; i++, y += y_row, s += s_row, b += b_row)
        if (add) row_add_scaled(n, y, *s, b);
        else row_scale(n, y, *s, b);
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
    } else if (sy == 1 && sa == 1 && sb == 1) {
        products_row(n, y, a, b, add);
    } else {
        for (int64_t j = 0; j < n; j++) y[j * sy] = (add ? y[j * sy] : 0) + a[j * sa] * b[j * sb];
    }
}

static void multiply_rows(int64_t m, int64_t n, tg__rows y, tg__rows a, tg__rows b, bool add)
{
    const bool b_numbers = b.column == 0;
    const tg__rows s = b_numbers ? b : a, x = b_numbers ? a : b;
    if (y.column == 1 && s.column == 0 && x.column == 1) {
        scaled_rows(m, n, y.p, y.row, s.p, s.row, x.p, x.row, add);
        return;
    }
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

/* ---- pieces and tiles ------------------------------------------------------------------------ */

static void join_pieces(int64_t m, int pieces, const tg__strip *x, void *y_, double value_)
{
    real *y = y_;
    const wide value = wide_splat((real)value_);
    int64_t width = 0;
    for (int k = 0; k < pieces; k++) width += x[k].n;
    const bool is_long = m * width * (int64_t)sizeof(real) > LONG_COPY;
    ONCE for (int64_t i = 0; i < m; i++)
        ONCE for (int k = 0; k < pieces; k++)
        {
            const int64_t n = x[k].n, skip = i * x[k].row;
            const real *const p = x[k].p;
            if (!p) row_fill(n, y, value);
            else if (is_long && n > LONG_ROW / (int64_t)sizeof(real))
                memcpy(y, p + skip, (size_t)n * sizeof(real));
            else row_copy(n, y, p + skip);
            y += n;
        }
}

static void add_joined(int64_t m, int pieces, const tg__strip *x, const void *y_)
{
    const real *y = y_;
    ONCE for (int64_t i = 0; i < m; i++)
        ONCE for (int k = 0; k < pieces; k++)
        {
            const int64_t n = x[k].n, skip = i * x[k].row;
            real *const p = x[k].p;
            if (p) row_add(n, p + skip, y);
            y += n;
        }
}

static void copy_tiles(const tg__tiles *t_, void *y_, const void *x_)
{
    const tg__tiles tiles = *t_, *const t = &tiles; /* what is stored might be *t_ */
    real *y = y_;
    const real *block = x_;
    ONCE for (int64_t b = 0; b < t->blocks; b++, block += t->rows * t->n)
        ONCE for (int64_t d = 0; d < t->down; d++)
        {
            const real *x = block;
            ONCE for (int64_t i = 0; i < t->rows; i++, x += t->n)
                ONCE for (int64_t r = 0; r < t->right; r++, y += t->n) row_copy(t->n, y, x);
        }
}

/* x[j] += all elements j of the tiles of a row, y, for some vectors from x on: no element of x is stored before it is
   complete. The same place in the row of tiles that is so far ahead is brought near. */
WIDE_INLINE void sum_tiles(const tg__tiles *t, const int vectors, real *x, const real *y, ptrdiff_t ahead)
{
    wide sum[4];
    for (int q = 0; q < vectors; q++) sum[q] = wide_load(x + q * LANES);
    ONCE for (int64_t d = 0; d < t->down; d++, y += t->rows * t->right * t->n)
    {
        const real *from = y;
        ONCE for (int64_t r = 0; r < t->right; r++, from += t->n) {
            bring_near(from, ahead, vectors);
            for (int q = 0; q < vectors; q++) sum[q] += wide_load(from + q * LANES);
        }
    }
    for (int q = 0; q < vectors; q++) wide_store(x + q * LANES, sum[q]);
}

WIDE_INLINE void sum_tiles_of_some(const tg__tiles *t, int64_t n, real *x, const real *y)
{
    for (int64_t d = 0; d < t->down; d++, y += t->rows * t->right * t->n)
        for (int64_t r = 0; r < t->right; r++)
            ONCE for (int64_t j = 0; j < n; j++) x[j] += y[r * t->n + j];
}

static void add_tiles(const tg__tiles *t_, void *x_, const void *y_)
{
    const tg__tiles tiles = *t_, *const t = &tiles;
    real *x = x_;
    const real *block = y_;
    const ptrdiff_t ahead = ahead_of(1, t->down * t->rows, t->right * t->n);
    ONCE for (int64_t b = 0; b < t->blocks; b++, block += t->down * t->rows * t->right * t->n)
        ONCE for (int64_t i = 0; i < t->rows; i++, x += t->n)
        {
            const real *const y = block + i * t->right * t->n;
            int64_t j = 0;
            ONCE for (; j + 4 * LANES <= t->n; j += 4 * LANES) sum_tiles(t, 4, x + j, y + j, ahead);
            ONCE for (; j + LANES <= t->n; j += LANES) sum_tiles(t, 1, x + j, y + j, ahead);
            if (j < t->n) sum_tiles_of_some(t, t->n - j, x + j, y + j);
        }
}

/* ---- triangles ------------------------------------------------------------------------------- */

/* Where row i of a triangle is cut. */
WIDE_INLINE int64_t edge_of(const tg__triangles *t, int64_t i)
{
    const int64_t edge = i + t->offset + t->lower;
    return edge < 0 ? 0 : edge > t->n ? t->n : edge;
}

static void copy_triangles(const tg__triangles *t_, void *y_, const void *x_)
{
    const tg__triangles triangles = *t_, *const t = &triangles;
    real *y = y_;
    const real *x = x_;
    for (int64_t k = 0; k < t->matrices; k++)
        for (int64_t i = 0; i < t->m; i++, y += t->n, x += t->n) {
            const int64_t edge = edge_of(t, i);
            if (t->lower) {
                row_copy(edge, y, x);
                row_fill(t->n - edge, y + edge, wide_splat(0));
            } else {
                row_fill(edge, y, wide_splat(0));
                row_copy(t->n - edge, y + edge, x + edge);
            }
        }
}

static void add_triangles(const tg__triangles *t_, void *y_, const void *x_)
{
    const tg__triangles triangles = *t_, *const t = &triangles;
    real *y = y_;
    const real *x = x_;
    for (int64_t k = 0; k < t->matrices; k++)
        for (int64_t i = 0; i < t->m; i++, y += t->n, x += t->n) {
            const int64_t edge = edge_of(t, i), from = t->lower ? 0 : edge;
            const int64_t n = t->lower ? edge : t->n - edge;
            row_add_once(n, y + from, x + from);
        }
}

#define ROWS_KERNELS                                                                               \
    {                                                                                              \
        .copy = copy_rows, .add = add_rows, .multiply = multiply_rows, .join = join_pieces,    \
        .add_joined = add_joined, .tile = copy_tiles,                                              \
        .add_tiles = add_tiles, .interleave = interleave,                                          \
        .add_interleaved = add_interleaved, .copy_triangles = copy_triangles,                      \
        .add_triangles = add_triangles                                                             \
    }
