/* Rows of adjacent elements, in vectors: the last, short one of a row is a vector of which some lanes are absent. Many short
   rows are taken together: each is folded to one vector, and then as many vectors as they have lanes to one, which has a
   lane for each row. Included by kernel.c before reduce.inl.

   A row is folded in ROW_LANES lanes at every level, and these by halves, so that the results are the same. */

enum {
    ROW_LANES = 128 / sizeof(real),
    PARTS = 128 / WIDE_BYTES, /* vectors of ROW_LANES */
    COLUMN_PARTS = 4          /* so many vectors of neighbouring columns at a time */
};

#define INLINE static inline __attribute__((always_inline))

/* A formula of v, a, b, rest and the number p, lane by lane: compilers make vectors of such loops. */
#define LANEWISE(NAME, FORMULA)                                                                    \
    INLINE wide NAME(wide vs, wide as, wide bs, wide rests, const real p)                          \
    {                                                                                              \
        (void)p;                                                                                   \
        real y[LANES], lane_a[LANES], lane_b[LANES], lane_rest[LANES];                             \
        wide_store(y, vs);                                                                         \
        wide_store(lane_a, as);                                                                    \
        wide_store(lane_b, bs);                                                                    \
        wide_store(lane_rest, rests);                                                              \
        for (int l = 0; l < LANES; l++) {                                                          \
            const real v = y[l], a = lane_a[l], b = lane_b[l], rest = lane_rest[l];                \
            (void)v, (void)a, (void)b, (void)rest;                                                 \
            y[l] = FORMULA;                                                                        \
        }                                                                                          \
        return wide_load(y);                                                                       \
    }

/* The lanes of what is behind the last ROW_LANES of n elements. */
INLINE void last_part(int64_t n, wide_mask *there)
{
    for (int k = 0; k < PARTS; k++) {
        const int64_t left = n % ROW_LANES - k * LANES;
        there[k] = wide_first(left > 0 ? left : 0);
    }
}

/* A whole vector, or those of its lanes that are there. */
INLINE wide wide_load_some(const real *x, const bool whole, wide_mask there)
{
    return whole ? wide_load(x) : wide_load_first(x, there);
}

INLINE void wide_store_some(real *y, const bool whole, wide_mask there, wide v)
{
    if (whole) wide_store(y, v);
    else wide_store_first(y, there, v);
}

/* CALL for w columns beside each other, with j, where its vectors of them begin, and how many these are, parts; not whole:
   there are the lanes of the last one. The columns that are left go in twos and threes, unless they are one vector: it waits
   for itself from row to row. */
#define EACH_COLUMNS(w, ...)                                                                       \
    do {                                                                                           \
        int64_t j = 0, left = (w);                                                                 \
        for (; left > (COLUMN_PARTS + 1) * LANES || left == COLUMN_PARTS * LANES; left = (w) - j) { \
            SOME_COLUMNS(COLUMN_PARTS, true, LANES, __VA_ARGS__)                                   \
            j += COLUMN_PARTS * LANES;                                                             \
        }                                                                                          \
        for (; left > 0; left = (w) - j) {                                                         \
            if (left > COLUMN_PARTS * LANES || (left > 2 * LANES && left <= 3 * LANES)) {          \
                SOME_COLUMNS(3, false, left - 2 * LANES, __VA_ARGS__)                              \
                j += 3 * LANES;                                                                    \
            } else if (left > LANES) {                                                             \
                SOME_COLUMNS(2, false, left - LANES, __VA_ARGS__)                                  \
                j += 2 * LANES;                                                                    \
            } else {                                                                               \
                SOME_COLUMNS(1, false, left, __VA_ARGS__)                                          \
                j += LANES;                                                                        \
            }                                                                                      \
        }                                                                                          \
    } while (0)
#define SOME_COLUMNS(PARTS_, WHOLE, LAST, ...)                                                     \
    {                                                                                              \
        const int parts = PARTS_;                                                                  \
        const bool whole = WHOLE;                                                                  \
        const wide_mask there = wide_first(LAST);                                                  \
        __VA_ARGS__;                                                                               \
    }

/* Compilers leave a loop as it is where it is long, and then their vectors lie in memory. */
#define EACH_PART _Pragma("GCC unroll 4") for (int k = 0; k < parts; k++)

/* Whether vector k of parts is a whole one. */
#define WHOLE_PART(k) (whole || (k) + 1 < parts)

/* Functions of rows and columns, for a TERM of an element v and of numbers b, rest and p, and a STEP(m, v), which
   WIDE_STEP does for vectors, that joins terms, beginning with START:

       NAME_lanes    one row as a vector
       NAME_row      as a number
       NAME_rows     of rows that are a stride apart, with b and rest for each (NULL: 0)
       NAME_columns  of columns beside each other, whose elements are a stride apart; goes on from s */
#define ROWS(NAME, TERM, STEP, WIDE_STEP, START)                                                              \
    LANEWISE(NAME##_term_of, TERM)                                                                 \
    INLINE wide NAME##_term(wide v, wide b, wide rest, const real p)                               \
    {                                                                                              \
        return NAME##_term_of(v, b, b, rest, p);                                                   \
    }                                                                                              \
    /* A row that is shorter than a vector. */                                                     \
    INLINE wide NAME##_short(const real *x, const real b, const real rest, const real p,           \
                             wide_mask there)                                                      \
    {                                                                                              \
        const wide v = wide_load_first(x, there);                                                  \
        return wide_choose(there, NAME##_term(v, wide_splat(b), wide_splat(rest), p), wide_splat(START)); \
    }                                                                                              \
    /* there: the lanes of the last, short part of a row. */                                       \
    INLINE wide NAME##_lanes(int64_t n, const real *x, const real b1, const real rest1,            \
                             const real p, const wide_mask *there)                                 \
    {                                                                                              \
        const wide b = wide_splat(b1), rest = wide_splat(rest1);                                   \
        const int64_t whole = n / ROW_LANES * ROW_LANES;                                           \
        wide s[PARTS];                                                                             \
        for (int k = 0; k < PARTS; k++)                                                            \
            s[k] = NAME##_short(x + whole + k * LANES, b1, rest1, p, there[k]);                    \
        for (int64_t i = 0; i < whole; i += ROW_LANES)                                             \
            for (int k = 0; k < PARTS; k++) {                                                      \
                const wide v = wide_load(x + i + k * LANES);                                       \
                s[k] = WIDE_STEP(s[k], NAME##_term(v, b, rest, p));                                \
            }                                                                                      \
        for (int width = PARTS / 2; width; width /= 2)                                             \
            for (int k = 0; k < width; k++) s[k] = WIDE_STEP(s[k], s[k + width]);                  \
        return s[0];                                                                               \
    }                                                                                              \
    INLINE real NAME##_row_of(int64_t n, const real *x, const real b, const real rest,             \
                              const real p, const wide_mask *there)                                \
    {                                                                                              \
        real s[LANES];                                                                             \
        wide_store(s, NAME##_lanes(n, x, b, rest, p, there));                                      \
        for (int width = LANES / 2; width; width /= 2)                                             \
            for (int l = 0; l < width; l++) s[l] = STEP(s[l], s[l + width]);                       \
        return s[0];                                                                               \
    }                                                                                              \
    INLINE real NAME##_row(int64_t n, const real *x, const real b, const real rest, const real p)  \
    {                                                                                              \
        wide_mask there[PARTS];                                                                    \
        last_part(n, there);                                                                       \
        return NAME##_row_of(n, x, b, rest, p, there);                                             \
    }                                                                                              \
    INLINE void NAME##_rows_of(int64_t rows, int64_t n, const real *x, ptrdiff_t stride,           \
                               const real *b, const real *rest, const real p, real *s,             \
                               const bool is_short)                                                \
    {                                                                                              \
        wide_mask there[PARTS];                                                                    \
        int64_t i = 0;                                                                             \
        last_part(n, there);                                                                       \
        for (; i + LANES <= rows; i += LANES, x += LANES * stride) {                               \
            wide v[LANES];                                                                         \
            for (int r = 0; r < LANES; r++) {                                                      \
                const real *const xr = x + r * stride, br = b ? b[i + r] : 0;                      \
                const real rest_r = rest ? rest[i + r] : 0;                                        \
                v[r] = is_short ? NAME##_short(xr, br, rest_r, p, there[0])                        \
                                : NAME##_lanes(n, xr, br, rest_r, p, there);                       \
            }                                                                                      \
            JOIN_ALL(WIDE_STEP)                                                                    \
            wide_store(s + i, v[0]);                                                               \
        }                                                                                          \
        for (; i < rows; i++, x += stride)                                                         \
            s[i] = NAME##_row_of(n, x, b ? b[i] : 0, rest ? rest[i] : 0, p, there);                \
    }                                                                                              \
    /* Where a row is but its short part, the compiler is told so. */                              \
    static void NAME##_rows(int64_t rows, int64_t n, const real *x, ptrdiff_t stride,              \
                            const real *b, const real *rest, const real p, real *s)                \
    {                                                                                              \
        if (n >= ROW_LANES) NAME##_rows_of(rows, n, x, stride, b, rest, p, s, false);              \
        else if (n >= LANES) NAME##_rows_of(rows, n % ROW_LANES, x, stride, b, rest, p, s, false); \
        else if (n > 0) NAME##_rows_of(rows, n % LANES, x, stride, b, rest, p, s, true);           \
        else                                                                                       \
            for (int64_t i = 0; i < rows; i++) s[i] = START;                                       \
    }                                                                                              \
    INLINE void NAME##_columns_part(int64_t n, const real *x, ptrdiff_t stride, const real *b,     \
                                    const real *rest, const real p, real *s, ptrdiff_t ahead,      \
                                    const int parts, const bool whole, wide_mask there)            \
    {                                                                                              \
        wide m[COLUMN_PARTS], bs[COLUMN_PARTS], rests[COLUMN_PARTS];                               \
        EACH_PART {                                                                                \
            const bool all = WHOLE_PART(k);                                                        \
            m[k] = wide_load_some(s + k * LANES, all, there);                                      \
            bs[k] = b ? wide_load_some(b + k * LANES, all, there) : wide_splat(0);                 \
            rests[k] = rest ? wide_load_some(rest + k * LANES, all, there) : wide_splat(0);        \
        }                                                                                          \
        for (int64_t i = 0; i < n; i++, x += stride) {                                             \
            bring_near(x, ahead, parts);                                                           \
            EACH_PART {                                                                            \
                const wide v = wide_load_some(x + k * LANES, WHOLE_PART(k), there);                \
                m[k] = WIDE_STEP(m[k], NAME##_term(v, bs[k], rests[k], p));                        \
            }                                                                                      \
        }                                                                                          \
        EACH_PART wide_store_some(s + k * LANES, WHOLE_PART(k), there, m[k]);                      \
    }                                                                                              \
    INLINE void NAME##_columns(int64_t w, int64_t n, const real *x, ptrdiff_t stride,              \
                               const real *b, const real *rest, const real p, real *s,             \
                               ptrdiff_t ahead)                                                    \
    {                                                                                              \
        EACH_COLUMNS(w, NAME##_columns_part(n, x + j, stride, b ? b + j : NULL, rest ? rest + j : NULL, p, s + j, \
                                            ahead, parts, whole, there));                          \
    }

/* ---- rows that follow each other, as one array --------------------------------------------------- */

/* FORMULA for all elements of rows of n > 0 that follow each other, y = FORMULA(v, a, b, rest, p) where rest is one number
   for each row, and v, a and b are arrays as y, which may be one of them. Vectors are those of the whole array, so that none
   is short and none is stored in parts: one that has the end of a row and the beginning of the next has the numbers of both. */
#define ROW_MAP(NAME, FORMULA)                                                                     \
    LANEWISE(NAME##_of, FORMULA)                                                                   \
    INLINE void NAME##_at(real *y, const real *v, const real *a, const real *b, wide rest,         \
                          const real p)                                                            \
    {                                                                                              \
        wide_store(y, NAME##_of(wide_load(v), wide_load(a), wide_load(b), rest, p));               \
    }                                                                                              \
    static void NAME(int64_t rows, int64_t n, real *y, const real *v, const real *a,               \
                     const real *b, const real *rest, const real p)                                \
    {                                                                                              \
        const int64_t all = rows * n;                                                              \
        int64_t i = 0;                                                                             \
        if (n < LANES) {                                                                           \
            real rests[ROW_MAP_PIECE + LANES];                                                     \
            const int64_t most = ROW_MAP_PIECE / n / LANES * LANES;                                \
            for (int64_t r = 0; r < rows; r += most) {                                             \
                const int64_t m = rows - r < most ? rows - r : most;                               \
                for (int64_t q = 0; q < m; q++) wide_store(rests + q * n, wide_splat(rest[r + q])); \
                for (i = 0; i + LANES <= m * n; i += LANES) {                                      \
                    const int64_t at = r * n + i;                                                  \
                    NAME##_at(y + at, v + at, a + at, b + at, wide_load(rests + i), p);            \
                }                                                                                  \
            }                                                                                      \
            i = all / LANES * LANES;                                                               \
        } else {                                                                                   \
            for (int64_t r = 0, end = n; r < rows; r++, end += n) {                                \
                const wide own = wide_splat(rest[r]);                                              \
                for (; i + LANES <= end; i += LANES)                                               \
                    NAME##_at(y + i, v + i, a + i, b + i, own, p);                                 \
                if (i == end || i + LANES > all) continue;                                         \
                const wide both = wide_choose(wide_first(end - i), own, wide_splat(rest[r + 1]));  \
                NAME##_at(y + i, v + i, a + i, b + i, both, p);                                    \
                i += LANES;                                                                        \
            }                                                                                      \
        }                                                                                          \
        for (; i < all; i++) {                                                                     \
            const wide_mask one = wide_first(1);                                                   \
            const wide last = NAME##_of(wide_load_first(v + i, one), wide_load_first(a + i, one),  \
                                        wide_load_first(b + i, one), wide_splat(rest[i / n]), p);  \
            y[i] = last[0];                                                                        \
        }                                                                                          \
    }
enum { ROW_MAP_PIECE = 4096 };
