/* Index ops, row by row. Included by kernel.c after arrays.inl.

   A row whose index does not move is a plain copy or sum of rows: that is what makes an embedding as
   fast as memory. Other rows have loops of their own for the strides that adjacent arrays have. */

/* ALONG(TO, FROM) is what happens to an element; y and x are a row's first elements, k and e their indices and how far
   apart these are. */
#define PICK_ROW(ALONG)                                                                            \
    if (y.column == 1 && e == 1 && x.column == 0 && index.step == 1) {                             \
        for (int64_t j = 0; j < n; j++) ALONG(to[j], at[k[j]]);                                    \
    } else if (y.column == 1 && e == 1 && x.column == 1) {                                         \
        for (int64_t j = 0; j < n; j++) ALONG(to[j], at[j + k[j] * index.step]);                   \
    } else {                                                                                       \
        for (int64_t j = 0; j < n; j++)                                                            \
            ALONG(to[j * y.column], at[j * x.column + k[j * e] * index.step]);                     \
    }

#define PICK(NAME, ALONG, ROW_COPY)                                                                \
    static void NAME(int64_t m, int64_t n, tg__rows y, tg__rows x, tg__index index)                \
    {                                                                                              \
        const bool rows = index.column == 0 && y.column == 1 && x.column == 1;                     \
        const ptrdiff_t e = index.column;                                                          \
        for (int64_t i = 0; i < m; i++) {                                                          \
            real *restrict const to = (real *)y.p + i * y.row;                                     \
            real *restrict const at = (real *)x.p + i * x.row;                                     \
            const int64_t *const k = index.p + i * index.row;                                      \
            if (rows) ROW_COPY;                                                                    \
            else {                                                                                 \
                PICK_ROW(ALONG)                                                                    \
            }                                                                                      \
        }                                                                                          \
    }

#define SET(TO, FROM) TO = FROM
#define ADD_TO(TO, FROM) TO += FROM
#define ADD_FROM(FROM, TO) TO += FROM
PICK(gather, SET, row_copy(n, to, at + *k * index.step))
PICK(gather_add, ADD_TO, row_add(n, to, at + *k * index.step))
PICK(scatter_add, ADD_FROM, row_add(n, at + *k * index.step, to))
#undef SET
#undef ADD_TO
#undef ADD_FROM
#undef PICK
#undef PICK_ROW

/* The sign bit is set in an index below 0, and in what an index beyond the last one leaves of it. */
static bool within(int64_t n, const int64_t *i, ptrdiff_t stride, int64_t length)
{
    const uint64_t last = (uint64_t)length - 1;
    uint64_t outside = 0;
    if (stride == 1)
        for (int64_t j = 0; j < n; j++) outside |= (uint64_t)i[j] | (last - (uint64_t)i[j]);
    else
        for (int64_t j = 0; j < n; j++)
            outside |= (uint64_t)i[j * stride] | (last - (uint64_t)i[j * stride]);
    return outside >> 63 == 0;
}

static void cast(int64_t n, void *y_, const int64_t *x, ptrdiff_t sx)
{
    real *const y = y_;
    if (sx == 1)
        for (int64_t i = 0; i < n; i++) y[i] = (real)x[i];
    else
        for (int64_t i = 0; i < n; i++) y[i] = (real)x[i * sx];
}

/* Some rows at a time, so that they are in the first cache when their ones are set. */
static void one_hot(int64_t n, int64_t classes, void *y_, const int64_t *index, ptrdiff_t si)
{
    enum { BYTES = 8192 };
    const int64_t piece =
        classes * (int64_t)sizeof(real) < BYTES ? BYTES / (classes * (int64_t)sizeof(real)) : 1;
    real *y = y_;
    for (int64_t from = 0; from < n; from += piece) {
        const int64_t some = n - from < piece ? n - from : piece;
        memset(y, 0, (size_t)(some * classes) * sizeof(real));
        for (int64_t i = 0; i < some; i++) y[i * classes + index[(from + i) * si]] = 1;
        y += some * classes;
    }
}

#define INDEX_KERNELS                                                                              \
    {                                                                                              \
        .gather = gather, .gather_add = gather_add, .scatter_add = scatter_add, .within = within,  \
        .cast = cast, .one_hot = one_hot                                                           \
    }
