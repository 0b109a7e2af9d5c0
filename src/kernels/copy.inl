/* Moving rows. Included by kernel.c. */

/* Bytes: beyond the first cache memmove knows ways that a loop has not, in rows that are worth a call. */
enum { LONG_COPY = 20480, LONG_ROW = 2048 };

static void copy(int64_t n, void *y_, ptrdiff_t sy, const void *x_, ptrdiff_t sx)
{
    real *y = y_;
    const real *x = x_;
    if (sx == 1 && sy == 1 && n * (int64_t)sizeof(real) > LONG_COPY) {
        memmove(y, x, (size_t)n * sizeof(real));
    } else if (sx == 1 && sy == 1) {
        for (int64_t i = 0; i < n; i++) y[i] = x[i];
    } else {
        for (int64_t i = 0; i < n; i++) y[i * sy] = x[i * sx];
    }
}

/* y gets each of m elements n times. */
static void repeat(int64_t m, int64_t n, void *y_, const void *x_)
{
    real *y = y_;
    const real *const x = x_;
    for (int64_t i = 0; i < m; i++, y += n)
        for (int64_t j = 0; j < n; j++) y[j] = x[i];
}

/* The sum of a row: four partial sums at a time would do for speed; sixteen keep the error small and fill a vector. */
static real adjacent_sum(int64_t n, const real *x)
{
    real part[16] = { 0 }, rest = 0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) part[j] += x[i + j];
    for (; i + 4 <= n; i += 4)
        for (int j = 0; j < 4; j++) part[j] += x[i + j];
    _Pragma("GCC unroll 1") for (; i < n; i++) rest += x[i];
    for (int width = 8; width; width /= 2)
        for (int j = 0; j < width; j++) part[j] += part[j + width];
    return part[0] + rest;
}

static real row_sum(int64_t n, const real *x, ptrdiff_t sx)
{
    if (sx == 1) return adjacent_sum(n, x);
    real part[4] = { 0 }, rest = 0;
    int64_t i = 0;
    _Pragma("GCC unroll 1") for (; i + 4 <= n; i += 4, x += 4 * sx)
        _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) part[j] += x[j * sx];
    _Pragma("GCC unroll 1") for (; i < n; i++, x += sx) rest += *x;
    return (part[0] + part[2]) + (part[1] + part[3]) + rest;
}

static inline void add_strided(int64_t n, real *y, ptrdiff_t sy, const real *x, ptrdiff_t sx)
{
    int64_t i = 0;
    _Pragma("GCC unroll 1") for (; i + 4 <= n; i += 4, y += 4 * sy, x += 4 * sx)
        _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) y[j * sy] += x[j * sx];
    _Pragma("GCC unroll 1") for (; i < n; i++, y += sy, x += sx) *y += *x;
}

static void add(int64_t n, void *y_, ptrdiff_t sy, const void *x_, ptrdiff_t sx)
{
    real *y = y_;
    const real *x = x_;
    if (sy == 0) {
        *y += row_sum(n, x, sx);
    } else if (sx == 1 && sy == 1) {
        for (int64_t i = 0; i < n; i++) y[i] += x[i];
    } else if (sy == 1) {
        for (int64_t i = 0; i < n; i++) y[i] += x[i * sx];
    } else if (sx == 0 && n > 0) {
        const real one = *x; /* no element of y */
        add_strided(n, y, sy, &one, 0);
    } else {
        add_strided(n, y, sy, x, sx);
    }
}

static void fill(int64_t n, void *y_, ptrdiff_t sy, double value)
{
    real *y = y_;
    if (sy == 1 && value == 0 && !signbit(value)) memset(y, 0, (size_t)n * sizeof(real));
    else
        for (int64_t i = 0; i < n; i++) y[i * sy] = (real)value;
}
