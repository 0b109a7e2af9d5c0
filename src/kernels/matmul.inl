/* The matrix product c = d + a b, for any strides (included by kernel.c after wide.inl): one register tile, and five ways to feed it or
   do without.

     dots    a's rows and b's columns are contiguous, or b is thin and copied so: dot products,
             several at a time
     outer   one column times one row: row by row
     rows    b's rows are contiguous: the tile reads both operands where they are
     plain   next to no work, or one row with odd strides: scalar loops
     packed  everything else: operands are copied block by block into the order in which the tile
             reads them (Goto and van de Geijn, "Anatomy of High-Performance Matrix
             Multiplication", 2008)

   The depth is cut into blocks whose sums are added in order, which bounds the error as well as the
   working set. */
#if WIDE_BYTES == 64
#define PACKED_ROWS 12 /* of 32 registers: 24 sums, 2 of b, 1 of a */
#define PACKED_VECTORS 2
#define ROWS_VECTORS 4
#elif WIDE_BYTES == 32
#define PACKED_ROWS 4 /* of 16 registers: 12 sums, 3 of b, 1 of a */
#define PACKED_VECTORS 3
#define ROWS_VECTORS 3
#else
#define PACKED_ROWS 4
#define PACKED_VECTORS 2
#define ROWS_VECTORS 2
#endif
#define PACKED_COLUMNS (PACKED_VECTORS * LANES)

#define DEPTH 1024                    /* of a block of dots or rows, */
#define DEPTH_LONG_ROWS 8             /* where b's rows are pages long */
#define BLOCK_DEPTH 256               /* of a packed block: a panel of b fits the first cache, */
#define BLOCK_ROWS (16 * PACKED_ROWS) /* a block of a the second, */
#define BLOCK_COLUMNS 1536            /* a block of b the third; a multiple of PACKED_COLUMNS */
#define IN_PLACE 32768                /* elements of b up to which copying it does not pay */

/* ---- the tile -------------------------------------------------------------------------------- */

typedef struct tile {
    int64_t rows, columns, k;
    const real *a, *b, *d; /* d NULL: zeros */
    real *c;
    ptrdiff_t a_row, a_column, b_row, c_row, d_row; /* the other strides are 1 */
} tile;

/* Computes a tile in registers. The sizes are constants in every call: height rows, width vectors,
   and streams interleaved partial sums over the depth, which hide the latency of the addition where
   there are few rows. padded: b can be read up to full width. */
WIDE_INLINE void tile_compute(const tile *t, const int height, const int width, const int streams,
                              const bool padded)
{
    /* Only the sums in use become zeros: clang clears a whole array by a call to memset. */
    wide sum[PACKED_ROWS][4];
    _Pragma("GCC unroll 12") for (int i = 0; i < height * streams; i++)
        _Pragma("GCC unroll 4") for (int j = 0; j < width; j++) sum[i][j] = wide_splat(0);
    const wide_mask last = wide_first(t->columns - (width - 1) * LANES);
    const int64_t whole = t->k - t->k % streams;
    const real *a = t->a, *b = t->b;
    int64_t p = 0;
#define STEP(SLOT)                                                                                 \
    {                                                                                              \
        wide row[4];                                                                               \
        _Pragma("GCC unroll 4") for (int j = 0; j < width; j++)                                    \
            row[j] = j < width - 1 || padded ? wide_load(b + j * LANES)                            \
                                             : wide_load_first(b + j * LANES, last);               \
        _Pragma("GCC unroll 12") for (int i = 0; i < height; i++)                                  \
            _Pragma("GCC unroll 4") for (int j = 0; j < width; j++)                                \
                sum[(SLOT) * height + i][j] =                                                      \
                    wide_fma(wide_splat(a[i * t->a_row]), row[j], sum[(SLOT) * height + i][j]);    \
        a += t->a_column;                                                                          \
        b += t->b_row;                                                                             \
    }
    for (; p < whole; p += streams)
        _Pragma("GCC unroll 4") for (int s = 0; s < streams; s++) STEP(s)
    for (; p < t->k; p++) STEP(0)
#undef STEP
    _Pragma("GCC unroll 4") for (int s = 1; s < streams; s++)
        _Pragma("GCC unroll 4") for (int j = 0; j < width; j++) sum[0][j] += sum[s * height][j];
    /* All of d is read before c is written, if no row of c is another's, too: a load waits for an
       earlier store of which a part only counts, even where it wants another part. */
    const bool apart = t->d && t->c_row >= t->columns;
    _Pragma("GCC unroll 12") for (int i = 0; i < height && apart; i++) {
        if (i >= t->rows) break;
        const real *d = t->d + i * t->d_row;
        _Pragma("GCC unroll 4") for (int j = 0; j < width - 1; j++)
            sum[i][j] += wide_load(d + j * LANES);
        sum[i][width - 1] += wide_load_first(d + (width - 1) * LANES, last);
    }
    _Pragma("GCC unroll 12") for (int i = 0; i < height; i++) {
        if (i >= t->rows) return;
        real *c = t->c + i * t->c_row;
        const real *d = t->d && !apart ? t->d + i * t->d_row : NULL;
        _Pragma("GCC unroll 4") for (int j = 0; j < width - 1; j++)
            wide_store(c + j * LANES, d ? sum[i][j] + wide_load(d + j * LANES) : sum[i][j]);
        const int j = width - 1;
        wide_store_first(c + j * LANES, last,
                         d ? sum[i][j] + wide_load_first(d + j * LANES, last) : sum[i][j]);
    }
}

/* A function for tiles of one height, whatever their width up to WIDEST vectors. */
#define TILE(NAME, WIDEST, HEIGHT, STREAMS, PADDED)                                                \
    static void NAME(const tile *t)                                                                \
    {                                                                                              \
        const int width = (int)((t->columns + LANES - 1) / LANES);                                 \
        if (width == 1) tile_compute(t, HEIGHT, 1, STREAMS, PADDED);                               \
        else if (width == 2) tile_compute(t, HEIGHT, 2, STREAMS, PADDED);                          \
        else if (WIDEST >= 3 && width == 3) tile_compute(t, HEIGHT, 3, STREAMS, PADDED);           \
        else if (WIDEST >= 4) tile_compute(t, HEIGHT, 4, STREAMS, PADDED);                         \
    }
TILE(tile_row, ROWS_VECTORS, 1, 4, false)
TILE(tile_two_rows, ROWS_VECTORS, 2, 1, false)
TILE(tile_three_rows, ROWS_VECTORS, 3, 1, false)
TILE(tile_four_rows, ROWS_VECTORS, 4, 1, false)
TILE(tile_packed, PACKED_VECTORS, PACKED_ROWS, 1, true)

/* Computes a tile whose c and d may have any column stride. Where it is not 1 the tile is computed
   aside, then placed element by element, because c may overlap itself. */
WIDE_INLINE void tile_place(const tile *t, void (*const compute)(const tile *), ptrdiff_t c_column,
                            ptrdiff_t d_column)
{
    if (c_column == 1 && (!t->d || d_column == 1)) {
        compute(t);
        return;
    }
    enum { ASIDE = ROWS_VECTORS * LANES > PACKED_COLUMNS ? ROWS_VECTORS * LANES : PACKED_COLUMNS };
    _Alignas(64) real aside[PACKED_ROWS * ASIDE];
    tile whole = *t;
    whole.d = NULL;
    whole.c = aside;
    whole.c_row = ASIDE;
    compute(&whole);
    for (int64_t i = 0; i < t->rows; i++)
        for (int64_t j = 0; j < t->columns; j++) {
            const real s = aside[i * ASIDE + j];
            t->c[i * t->c_row + j * c_column] = t->d ? t->d[i * t->d_row + j * d_column] + s : s;
        }
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* As many rows as t has: 1 to 4. */
static void tile_rows(const tile *t)
{
    if (t->rows == 4) tile_four_rows(t);
    else if (t->rows == 3) tile_three_rows(t);
    else if (t->rows == 2) tile_two_rows(t);
    else tile_row(t);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void product_rows(const tg__product *p)
{
    for (int64_t j = 0; j < p->n; j += ROWS_VECTORS * LANES) {
        tile t = {
            .columns = least(p->n - j, ROWS_VECTORS * LANES), .k = p->k,
            .a = p->a.p, .a_row = p->a.row, .a_column = p->a.column,
            .b = (const real *)p->b.p + j, .b_row = p->b.row,
            .c = (real *)p->c.p + j * p->c.column, .c_row = p->c.row,
            .d = p->d.p ? (const real *)p->d.p + j * p->d.column : NULL, .d_row = p->d.row,
        };
        for (int64_t left = p->m; left > 0; left -= t.rows) {
            t.rows = least(left, 4);
            tile_place(&t, tile_rows, p->c.column, p->d.column);
            t.a += t.rows * t.a_row;
            t.c += t.rows * t.c_row;
            if (t.d) t.d += t.rows * t.d_row;
        }
    }
}

/* ---- dots ------------------------------------------------------------------------------------ */

static real dot_adjacent(int64_t n, const real *x, const real *y)
{
    wide sum[4] = { 0 };
    for (; n >= 4 * LANES; n -= 4 * LANES, x += 4 * LANES, y += 4 * LANES)
        _Pragma("GCC unroll 4") for (int s = 0; s < 4; s++)
            sum[s] = wide_fma(wide_load(x + s * LANES), wide_load(y + s * LANES), sum[s]);
    for (; n >= LANES; n -= LANES, x += LANES, y += LANES)
        sum[0] = wide_fma(wide_load(x), wide_load(y), sum[0]);
    if (n) {
        const wide_mask first = wide_first(n);
        sum[1] = wide_fma(wide_load_first(x, first), wide_load_first(y, first), sum[1]);
    }
    return wide_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

static real dot_strided(int64_t n, const real *x, ptrdiff_t sx, const real *y, ptrdiff_t sy)
{
    real sum[4] = { 0 };
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int s = 0; s < 4; s++) sum[s] += x[(i + s) * sx] * y[(i + s) * sy];
    for (; i < n; i++) sum[0] += x[i * sx] * y[i * sy];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static double dot(int64_t n, const void *x, ptrdiff_t sx, const void *y, ptrdiff_t sy)
{
    const real *xr = x, *yr = y;
    double sum = 0;
    for (int64_t i = 0; i < n; i += DEPTH) {
        const int64_t length = least(n - i, DEPTH);
        sum += (double)(sx == 1 && sy == 1 ? dot_adjacent(length, xr + i, yr + i)
                                           : dot_strided(length, xr + i * sx, sx, yr + i * sy, sy));
    }
    return sum;
}

/* The sums of LANES vectors. */
WIDE_INLINE void dots_joined(wide *v, real *sums)
{
    JOIN_ALL(wide_added)
    wide_store(sums, v[0]);
}

/* height x width dot products of rows of a and columns of b: constants in every call. */
WIDE_INLINE void dots_compute(const tg__product *p, int64_t i0, int64_t j0, const int height,
                              const int width)
{
    wide sum[4][4] = { 0 };
    const real *a = (const real *)p->a.p + i0 * p->a.row;
    const real *b = (const real *)p->b.p + j0 * p->b.column;
    const int64_t whole = p->k - p->k % LANES;
    const wide_mask first = wide_first(p->k - whole);
#define FIRST(X) wide_load_first(X, first)
#define STEP(LOAD)                                                                                 \
    {                                                                                              \
        wide y[4];                                                                                 \
        _Pragma("GCC unroll 4") for (int j = 0; j < width; j++)                                    \
            y[j] = LOAD(b + j * p->b.column + q);                                                  \
        _Pragma("GCC unroll 4") for (int i = 0; i < height; i++) {                                 \
            const wide x = LOAD(a + i * p->a.row + q);                                             \
            _Pragma("GCC unroll 4") for (int j = 0; j < width; j++)                                \
                sum[i][j] = wide_fma(x, y[j], sum[i][j]);                                          \
        }                                                                                          \
    }
    int64_t q = 0;
    for (; q < whole; q += LANES) STEP(wide_load)
    if (q < p->k) STEP(FIRST)
#undef STEP
#undef FIRST
    real total[4][4];
    if (width == 4 && height * 4 % LANES == 0) {
        wide *const v = sum[0];
        _Pragma("GCC unroll 8") for (int k = 0; k < height * 4; k += LANES) dots_joined(v + k, total[0] + k);
    } else
        _Pragma("GCC unroll 4") for (int i = 0; i < height; i++)
            _Pragma("GCC unroll 4") for (int j = 0; j < width; j++) total[i][j] = wide_sum(sum[i][j]);
    const real *d = p->d.p;
    _Pragma("GCC unroll 4") for (int i = 0; i < height; i++)
        _Pragma("GCC unroll 4") for (int j = 0; j < width; j++) {
            const int64_t row = i0 + i, column = j0 + j;
            real *c = (real *)p->c.p + row * p->c.row + column * p->c.column;
            *c = d ? d[row * p->d.row + column * p->d.column] + total[i][j] : total[i][j];
        }
}

#define DOTS_STRIP(HEIGHT)                                             \
    static void dots_##HEIGHT(const tg__product *p, int64_t i)         \
    {                                                                  \
        int64_t j = 0;                                                 \
        for (; j + 4 <= p->n; j += 4) dots_compute(p, i, j, HEIGHT, 4); \
        switch (p->n - j) {                                            \
        case 3: dots_compute(p, i, j, HEIGHT, 3); break;               \
        case 2: dots_compute(p, i, j, HEIGHT, 2); break;               \
        case 1: dots_compute(p, i, j, HEIGHT, 1); break;               \
        default: break;                                                \
        }                                                              \
    }
DOTS_STRIP(1)
#if WIDE_BYTES == 64
DOTS_STRIP(4)
#define DOTS_HEIGHT 4
#define DOTS_TALL dots_4
#else
DOTS_STRIP(2)
#define DOTS_HEIGHT 2
#define DOTS_TALL dots_2
#endif

static void product_dots(const tg__product *p)
{
    int64_t i = 0;
    for (; i + DOTS_HEIGHT <= p->m; i += DOTS_HEIGHT) DOTS_TALL(p, i);
    for (; i < p->m; i++) dots_1(p, i);
}

/* ---- plain ----------------------------------------------------------------------------------- */

/* One row of c. The depth and, where operands are adjacent, the strides are constants in the calls.
   */
WIDE_INLINE void plain_row(const tg__product *p, int64_t i, const int64_t k, const ptrdiff_t b_row,
                           const ptrdiff_t b_column, const ptrdiff_t c_column)
{
    const real *a = (const real *)p->a.p + i * p->a.row, *b = p->b.p;
    const real *d = p->d.p ? (const real *)p->d.p + i * p->d.row : NULL;
    real *c = (real *)p->c.p + i * p->c.row;
    for (int64_t j = 0; j < p->n; j++) {
        real sum = 0;
        for (int64_t q = 0; q < k; q++) sum += a[q * p->a.column] * b[q * b_row + j * b_column];
        c[j * c_column] = d ? d[j * p->d.column] + sum : sum;
    }
}

WIDE_INLINE void plain_depth(const tg__product *p, const int64_t k)
{
    const bool adjacent = p->b.row == 1 && p->b.column == k && p->c.column == 1;
    for (int64_t i = 0; i < p->m; i++)
        if (adjacent) plain_row(p, i, k, 1, k, 1);
        else plain_row(p, i, k, p->b.row, p->b.column, p->c.column);
}

static void product_plain(const tg__product *p)
{
    switch (p->k) {
    case 2: plain_depth(p, 2); break;
    case 3: plain_depth(p, 3); break;
    case 4: plain_depth(p, 4); break;
    default: plain_depth(p, p->k);
    }
}

/* ---- packed ---------------------------------------------------------------------------------- */

/* Copies lines lines (the rest of the panel's width become zeros) of depth k, interleaved: element
   q of line i is x[i * line + q * step]. */
WIDE_INLINE void pack_panel(real *to, const int width, int64_t lines, int64_t k, const real *x,
                            const ptrdiff_t line, ptrdiff_t step)
{
    for (int64_t q = 0; q < k; q++, to += width, x += step)
        for (int w = 0; w < width; w++) to[w] = w < lines ? x[w * line] : 0;
}

/* Copies count lines of depth k into panels. width is a constant in every call. */
WIDE_INLINE void pack(real *to, const int width, int64_t count, int64_t k, const real *x,
                      ptrdiff_t line, ptrdiff_t step)
{
    for (int64_t i = 0; i < count; i += width, to += width * k, x += width * line) {
        if (count - i < width) pack_panel(to, width, count - i, k, x, line, step);
        else if (line == 1) pack_panel(to, width, width, k, x, 1, step);
        else pack_panel(to, width, width, k, x, line, step);
    }
}

static int64_t rounded(int64_t n, int64_t unit)
{
    return (n + unit - 1) / unit * unit;
}

/* Bytes for a block of a and a block of b. */
static size_t packed_a(const tg__product *p)
{
    return sizeof(real) *
           (size_t)(least(p->k, BLOCK_DEPTH) * rounded(least(p->m, BLOCK_ROWS), PACKED_ROWS));
}

static size_t packed_b(const tg__product *p)
{
    return sizeof(real) *
           (size_t)(least(p->k, BLOCK_DEPTH) * rounded(least(p->n, BLOCK_COLUMNS), PACKED_COLUMNS));
}

/* A product of one packed block each: a is (m, k) in panels of PACKED_ROWS, b (k, n) in panels of
   PACKED_COLUMNS. */
static void packed_block(const tg__product *p, const real *a, const real *b)
{
    for (int64_t j = 0; j < p->n; j += PACKED_COLUMNS)
        for (int64_t i = 0; i < p->m; i += PACKED_ROWS) {
            const tile t = {
                .rows = least(p->m - i, PACKED_ROWS),
                .columns = least(p->n - j, PACKED_COLUMNS),
                .k = p->k,
                .a = a + i * p->k,
                .a_row = 1,
                .a_column = PACKED_ROWS,
                .b = b + j * p->k,
                .b_row = PACKED_COLUMNS,
                .c = (real *)p->c.p + i * p->c.row + j * p->c.column,
                .c_row = p->c.row,
                .d = p->d.p ? (const real *)p->d.p + i * p->d.row + j * p->d.column : NULL,
                .d_row = p->d.row,
            };
            tile_place(&t, tile_packed, p->c.column, p->d.column);
        }
}

/* The part of p that starts at row i, column j and depth q. What starts deeper adds to what is
   there. */
static tg__product part(const tg__product *p, int64_t i, int64_t j, int64_t q)
{
    tg__product r = *p;
    if (q > 0) r.d = r.c;
    r.a.p = (real *)r.a.p + i * r.a.row + q * r.a.column;
    r.b.p = (real *)r.b.p + q * r.b.row + j * r.b.column;
    r.c.p = (real *)r.c.p + i * r.c.row + j * r.c.column;
    if (r.d.p) r.d.p = (real *)r.d.p + i * r.d.row + j * r.d.column;
    return r;
}

static void product_packed(const tg__product *p, void *scratch)
{
    real *const a = scratch;
    real *const b = (real *)((char *)scratch + rounded((int64_t)packed_a(p), 64));
    for (int64_t j = 0; j < p->n; j += BLOCK_COLUMNS)
        for (int64_t q = 0; q < p->k; q += BLOCK_DEPTH) {
            const int64_t n = least(p->n - j, BLOCK_COLUMNS), k = least(p->k - q, BLOCK_DEPTH);
            for (int64_t i = 0; i < p->m; i += BLOCK_ROWS) {
                tg__product r = part(p, i, j, q);
                r.m = least(p->m - i, BLOCK_ROWS), r.n = n, r.k = k;
                if (i == 0) pack(b, PACKED_COLUMNS, n, k, r.b.p, r.b.column, r.b.row);
                pack(a, PACKED_ROWS, r.m, k, r.a.p, r.a.row, r.a.column);
                packed_block(&r, a, b);
            }
        }
}

/* ---- which way ------------------------------------------------------------------------------- */

typedef enum way { PLAIN, DOT, DOTS, COPIED, OUTER, ROWS, PACKED } way;

/* A column times a few numbers, added to what is there: a gradient of a layer with few inputs. Rows of c are shorter than a
   vector, but follow one another. */
static bool narrow_outer(const tg__product *p)
{
    return p->k == 1 && p->n > 1 && p->n <= 4 && p->m >= LANES && p->c.column == 1 && p->c.row == p->n &&
           p->d.p == p->c.p && p->d.row == p->c.row && p->d.column == 1;
}

/* n is a constant in every call, so that the loop over rows vectorises. */
WIDE_INLINE void add_narrow(const tg__product *p, const int n)
{
    const real *restrict a = p->a.p;
    const real *b = p->b.p;
    real *restrict c = p->c.p;
    real row[4];
    for (int j = 0; j < n; j++) row[j] = b[j * p->b.column];
    for (int64_t i = 0; i < p->m; i++)
        for (int j = 0; j < n; j++) c[i * n + j] += a[i * p->a.row] * row[j];
}

static void product_narrow_outer(const tg__product *p)
{
    if (p->n == 2) add_narrow(p, 2);
    else if (p->n == 3) add_narrow(p, 3);
    else add_narrow(p, 4);
}

/* Turns p so that c is row-major where it can be, but a thin c lies down if that makes the rows of b
   contiguous; axes of length 1 have the stride that suits best. */
static tg__product oriented(const tg__product *p)
{
    tg__product r = *p;
    if (r.c.column != 1 && r.c.row == 1 && r.m > 1) r = tg__product_transposed(&r);
    const bool thin = 2 * r.n <= LANES && r.m >= LANES && r.a.row == 1;
    if (r.n == 1 || thin) r = tg__product_transposed(&r);
    if (r.n == 1) r.b.column = r.c.column = r.d.column = 1;
    if (r.k == 1) r.a.column = r.b.row = 1;
    return r;
}

/* All products of two vectors. */
static bool is_outer(const tg__product *p)
{
    const bool adds = p->d.p == p->c.p && p->d.row == p->c.row && p->d.column == 1;
    return p->k == 1 && p->n >= LANES && p->b.column == 1 && p->c.column == 1 && (!p->d.p || adds);
}

static void product_outer(const tg__product *p)
{
    scaled_rows(p->m, p->n, p->c.p, p->c.row, p->a.p, p->a.row, p->b.p, 0, p->d.p);
}

static way way_of(const tg__product *p)
{
    if (p->k == 0) return PLAIN;
    if (p->m == 1 && p->n == 1) return DOT;
    if (is_outer(p)) return OUTER;
    const bool near = p->m <= 16 || p->k * p->n <= IN_PLACE;
    if (near && p->a.column == 1 && 2 * p->k >= LANES) {
        if (p->b.row == 1 && (p->m <= 8 || p->n <= 16)) return DOTS;
        if (p->m >= 16 && 2 * p->n <= LANES && p->k >= LANES) return COPIED;
    }
    if (near && p->b.column == 1) return ROWS;
    return p->m == 1 || p->m * p->n * p->k <= 128 ? PLAIN : PACKED;
}

/* The depth after which a sum goes to c. Long rows of b are read page by page, not a few lines of
   every page. */
static int64_t depth_of(const tg__product *p, way w)
{
    return w == ROWS && p->n * (int64_t)sizeof(real) >= 4096 ? DEPTH_LONG_ROWS : DEPTH;
}

static size_t product_scratch(const tg__product *p)
{
    const tg__product r = oriented(p);
    const way w = way_of(&r);
    if (w == COPIED) return sizeof(real) * (size_t)(least(r.k, DEPTH) * r.n);
    return w == PACKED ? (size_t)rounded((int64_t)packed_a(&r), 64) + packed_b(&r) : 0;
}

static void product_dot(const tg__product *p)
{
    const real sum = (real)dot(p->k, p->a.p, p->a.column, p->b.p, p->b.row);
    *(real *)p->c.p = p->d.p ? *(const real *)p->d.p + sum : sum;
}

/* b is turned first, so that its columns are contiguous. */
static void product_copied(const tg__product *p, void *scratch)
{
    tg__product r = *p;
    r.b = (tg__matrix){ scratch, 1, p->k };
    for (int64_t j = 0; j < p->n; j++)
        copy(p->k, (real *)scratch + j * p->k, 1, (const real *)p->b.p + j * p->b.column, p->b.row);
    product_dots(&r);
}

static void product_in_place(const tg__product *p, way w, void *scratch)
{
    if (w == ROWS) product_rows(p);
    else if (w == DOTS) product_dots(p);
    else product_copied(p, scratch);
}

static void product_by_depth(const tg__product *p, way w, void *scratch)
{
    const int64_t depth = depth_of(p, w);
    for (int64_t q = 0; q < p->k; q += depth) {
        tg__product block = part(p, 0, 0, q);
        block.k = least(p->k - q, depth);
        product_in_place(&block, w, scratch);
    }
}

static void product(const tg__product *p, void *scratch)
{
    const tg__product turned = tg__product_transposed(p);
    if (narrow_outer(p) || narrow_outer(&turned)) {
        product_narrow_outer(narrow_outer(p) ? p : &turned);
        return;
    }
    const tg__product r = oriented(p);
    const way w = way_of(&r);
    if (w == PLAIN) product_plain(&r);
    else if (w == DOT) product_dot(&r);
    else if (w == OUTER) product_outer(&r);
    else if (w == PACKED) product_packed(&r, scratch);
    else if (r.k <= depth_of(&r, w)) product_in_place(&r, w, scratch);
    else product_by_depth(&r, w, scratch);
}

/* From where a BLAS is faster, measured on Zen 5 with OpenBLAS 0.3.21. Its f64 AVX-512 kernels
   never are in cache. */
#define BLAS_WORK (WIDE_BYTES == 64 && sizeof(real) == 8 ? (int64_t)1 << 28 : (int64_t)1 << 18)

#define MATMUL_KERNELS                                                                             \
    { .dot = dot, .scratch = product_scratch, .product = product, .blas_work = BLAS_WORK }
