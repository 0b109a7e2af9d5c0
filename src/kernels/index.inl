/* Index ops, row by row. Included by kernel.c after arrays.inl.

   A row whose index does not move is a plain copy or sum of rows: that is what makes an embedding as
   fast as memory. Other rows have loops of their own for the strides that adjacent arrays have. */

/* The sign bit is set in an index below 0, and in what an index beyond the last one leaves of it. */
static bool within(int64_t n, const int64_t *i, ptrdiff_t stride, int64_t length)
{
    const uint64_t last = (uint64_t)length - 1;
    uint64_t outside = 0;
    if (stride == 1)
        for (int64_t j = 0; j < n; j++) outside |= (uint64_t)i[j] | (last - (uint64_t)i[j]);
    else
        for (int64_t j = 0; j < n; j++) outside |= (uint64_t)i[j * stride] | (last - (uint64_t)i[j * stride]);
    return outside >> 63 == 0;
}

/* ALONG(TO, FROM) is what happens to an element, whose index is i; y and x are a row's first elements, k and e their indices
   and how far apart these are; of what lies along a row the first DONE are done. A look at each index costs less than a pass
   over all of them before. */
#define EACH_INDEX(BEGIN, AT, ...)                                                                                     \
    for (int64_t j = BEGIN; j < n; j++) {                                                                              \
        const int64_t i = k[AT];                                                                                       \
        if ((uint64_t)i >= length) return false;                                                                       \
        __VA_ARGS__;                                                                                                   \
    }
#define PICK_ROW(ALONG, DONE)                                                                                          \
    if (y.column == 1 && e == 1 && x.column == 0 && index.step == 1) {                                                 \
        EACH_INDEX(DONE, j, ALONG(to[j], at[i]))                                                                       \
    } else if (y.column == 1 && e == 1 && x.column == 1) {                                                             \
        EACH_INDEX(0, j, ALONG(to[j], at[j + i * index.step]))                                                         \
    } else {                                                                                                           \
        EACH_INDEX(0, (j * e), ALONG(to[j * y.column], at[j * x.column + i * index.step]))                             \
    }

/* Sets to[j] = at[k[j]], a vector at a time, and returns how many: up to the first vector with an index outside. */
WIDE_INLINE int64_t set_picked(int64_t n, real *to, const real *at, const int64_t *k, uint64_t length)
{
    int64_t j = 0;
    ONCE for (; j + HALF_LINE <= n; j += HALF_LINE, k += HALF_LINE)
    {
        for (int l = 0; l < HALF_LINE; l++)
            if ((uint64_t)k[l] >= length) return j;
#ifdef TG_REAL_F32
        const half_line v = { at[k[0]], at[k[1]], at[k[2]], at[k[3]], at[k[4]], at[k[5]], at[k[6]], at[k[7]] };
#else
        const half_line v = { at[k[0]], at[k[1]], at[k[2]], at[k[3]] };
#endif
        *(half_line *)(to + j) = v;
    }
    return j;
}

/* Whole rows have a loop of their own, which has registers enough for what is the same in all of them. */
#define PICK(NAME, ALONG, ROW, DONE)                                                                                   \
    WIDE_INLINE bool NAME##_rows(int64_t m, int64_t n, real *restrict to, ptrdiff_t to_row, real *restrict from,       \
                                 ptrdiff_t from_row, tg__index index)                                                  \
    {                                                                                                                  \
        const uint64_t length = index.length ? (uint64_t)index.length : UINT64_MAX;                                    \
        const int64_t *k = index.p;                                                                                    \
        ONCE for (int64_t i = 0; i < m; i++, to += to_row, from += from_row, k += index.row)                           \
        {                                                                                                              \
            if ((uint64_t)*k >= length) return false;                                                                  \
            ROW(n, to, from + *k * index.step);                                                                        \
        }                                                                                                              \
        return true;                                                                                                   \
    }                                                                                                                  \
    static bool NAME(int64_t m, int64_t n, tg__rows y, tg__rows x, tg__index index)                                    \
    {                                                                                                                  \
        if (index.column == 0 && y.column == 1 && x.column == 1)                                                       \
            return NAME##_rows(m, n, y.p, y.row, (real *)x.p, x.row, index);                                           \
        const ptrdiff_t e = index.column;                                                                              \
        const uint64_t length = index.length ? (uint64_t)index.length : UINT64_MAX;                                    \
        for (int64_t row = 0; row < m; row++) {                                                                        \
            real *restrict const to = (real *)y.p + row * y.row;                                                       \
            real *restrict const at = (real *)x.p + row * x.row;                                                       \
            const int64_t *const k = index.p + row * index.row;                                                        \
            PICK_ROW(ALONG, DONE)                                                                                      \
        }                                                                                                              \
        return true;                                                                                                   \
    }

#define SET(TO, FROM) TO = FROM
#define ADD_TO(TO, FROM) TO += FROM
#define ADD_FROM(FROM, TO) TO += FROM
#define ROW_ADD_FROM(n, from, to) row_add(n, to, from)
PICK(gather, SET, row_copy, set_picked(n, to, at, k, length))
PICK(gather_add, ADD_TO, row_add, 0)
PICK(scatter_add, ADD_FROM, ROW_ADD_FROM, 0)
#undef ROW_ADD_FROM
#undef SET
#undef ADD_TO
#undef ADD_FROM
#undef PICK
#undef PICK_ROW
#undef EACH_INDEX

WIDE_INLINE void cast_adjacent(int64_t n, real *y, const int64_t *x)
{
    for (int64_t i = 0; i < n; i++) y[i] = (real)x[i];
}

static IN_HALVES void cast_halves(int64_t n, real *y, const int64_t *x)
{
    cast_adjacent(n, y, x);
}

static void cast(int64_t n, void *y_, const int64_t *x, ptrdiff_t sx)
{
    real *const y = y_;
    if (sx == 1 && LIGHT_IN_HALVES(n)) cast_halves(n, y, x);
    else if (sx == 1) cast_adjacent(n, y, x);
    else
        for (int64_t i = 0; i < n; i++) y[i] = (real)x[i * sx];
}

/* Some rows at a time, so that they are in the first cache when their ones are set. */
static bool one_hot(int64_t n, int64_t classes, void *y_, const int64_t *index, ptrdiff_t si)
{
    enum { BYTES = 16384 };
    const int64_t row = classes * (int64_t)sizeof(real), piece = row < BYTES ? BYTES / row : 1;
    real *y = y_;
    for (int64_t from = 0; from < n; from += piece) {
        const int64_t some = n - from < piece ? n - from : piece;
        memset(y, 0, (size_t)(some * row));
        for (int64_t i = 0; i < some; i++, y += classes, index += si) {
            if ((uint64_t)*index >= (uint64_t)classes) return false;
            y[*index] = 1;
        }
    }
    return true;
}

#define INDEX_KERNELS                                                                                                  \
    {                                                                                                                  \
        .gather = gather, .gather_add = gather_add, .scatter_add = scatter_add, .within = within, .cast = cast,        \
        .one_hot = one_hot                                                                                             \
    }
