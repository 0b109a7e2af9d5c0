/* Operations on single numbers: see scalars.h. Included by kernel.c, behind map.inl. */

/* The codes of the operations, and how many operands they have. */
#define TERM1(NAME, KIND, OPERAND, DERIVATIVE)
#define TERM2(NAME, KIND, OPERAND, DERIVATIVE)
#define TERM3(NAME, KIND, OPERAND, DERIVATIVE)
#define ZERO(NAME, OPERAND)
#define END(NAME)
#define MAP1(NAME, VALUE) SCALAR_##NAME,
#define MAP2(NAME, VALUE) SCALAR_##NAME,
#define MAP3(NAME, VALUE) SCALAR_##NAME,
enum {
    SCALAR_NONE,
#include "maps.inl"
};
#undef MAP1
#undef MAP2
#undef MAP3
#undef TERM1
#undef TERM2
#undef TERM3
#undef ZERO
#undef END

#define MAP1(NAME, VALUE) 1,
#define MAP2(NAME, VALUE) 2,
#define MAP3(NAME, VALUE) 3,
#define TERM1(NAME, KIND, OPERAND, DERIVATIVE)
#define TERM2(NAME, KIND, OPERAND, DERIVATIVE)
#define TERM3(NAME, KIND, OPERAND, DERIVATIVE)
#define ZERO(NAME, OPERAND)
#define END(NAME)
static const uint8_t map_operands[TG__MAPS] = { 0,
#include "maps.inl"
};
#undef MAP1
#undef MAP2
#undef MAP3
#undef TERM1
#undef TERM2
#undef TERM3
#undef ZERO
#undef END

enum { GATHERED = 64 };

/* An operation that costs more than bringing its operands together. */
static __attribute__((noinline)) const uint32_t *scalars_gathered(uint32_t code, int operands, uint32_t n,
                                                                  const uint32_t *w, real *v)
{
    const int width = operands + 1;
    if (n == 1) {
        const void *const alone[] = { v + w[1], operands > 1 ? v + w[2] : v, operands > 2 ? v + w[3] : v };
        map_forward[code](1, v + w[0], alone, map_adjacent);
        return w + width;
    }
    real y[GATHERED], x[MAP_OPERANDS][GATHERED];
    const void *const xs[] = { x[0], x[1], x[2] };
    while (n) {
        const uint32_t m = n < GATHERED ? n : GATHERED;
        for (uint32_t i = 0; i < m; i++)
            for (int k = 0; k < operands; k++) x[k][i] = v[w[i * (uint32_t)width + (uint32_t)k + 1]];
        map_forward[code](m, y, xs, map_adjacent);
        for (uint32_t i = 0; i < m; i++) v[w[i * (uint32_t)width]] = y[i];
        w += m * (uint32_t)width;
        n -= m;
    }
    return w;
}

/* The operations done here; all others are kernels' calls. */
WIDE_INLINE const uint32_t *scalars_map(uint32_t code, uint32_t n, const uint32_t *w, real *v)
{
#define EACH1(NAME, VALUE)                                                           \
    case SCALAR_##NAME:                                                              \
        for (; n; n--, w += 2) {                                                     \
            const real x = v[w[1]];                                                  \
            v[w[0]] = VALUE;                                                         \
        }                                                                            \
        return w;
#define EACH2(NAME, VALUE)                                                           \
    case SCALAR_##NAME:                                                              \
        for (; n; n--, w += 3) {                                                     \
            const real a = v[w[1]], b = v[w[2]];                                     \
            v[w[0]] = VALUE;                                                         \
        }                                                                            \
        return w;
    switch (code) {
    EACH2(add, a + b)
    EACH2(sub, a - b)
    EACH2(mul, a * b)
    EACH2(div, a / b)
    EACH2(times, m_times(a, b))
    EACH1(neg, -x)
    EACH1(reciprocal, 1 / x)
    EACH1(square, x * x)
#if WIDE_BYTES > 16
    case SCALAR_fma:
        for (; n; n--, w += 4) v[w[0]] = scalar_fma(v[w[1]], v[w[2]], v[w[3]]);
        return w;
#endif
    default: return scalars_gathered(code, map_operands[code], n, w, v);
    }
#undef EACH1
#undef EACH2
}

/* ---- many at once ------------------------------------------------------------------------------ */

typedef wide_integer wide_bits __attribute__((vector_size(WIDE_BYTES)));

WIDE_INLINE wide wide_times(wide g, wide d)
{
    return (wide)((wide_bits)(g * d) & (wide_bits)(g != 0));
}

/* Operands whose elements are adjacent, or the same number again and again: the vector from element i on. */
WIDE_INLINE wide range_load(const real *x, bool adjacent, uint32_t i, bool short_, wide_mask first)
{
    return adjacent ? lanes_load(x + i, short_, first) : wide_splat(*x);
}

#define RANGE_PART(ADJACENT_A, ADJACENT_B, VALUE, SHORT)                                            \
    do {                                                                                            \
        const wide a = range_load(x[0], ADJACENT_A, i, SHORT, first),                               \
                   b = range_load(x[1], ADJACENT_B, i, SHORT, first);                               \
        lanes_store(y + i, SHORT, first, VALUE);                                                    \
    } while (0)
#define RANGE_LOOP(ADJACENT_A, ADJACENT_B, VALUE)                                                   \
    do {                                                                                            \
        for (; i + LANES <= n; i += LANES) RANGE_PART(ADJACENT_A, ADJACENT_B, VALUE, false);        \
        if (i < n) RANGE_PART(ADJACENT_A, ADJACENT_B, VALUE, true);                                 \
    } while (0)
#define RANGE_CASE(NAME, VALUE)                                                                     \
    case SCALAR_##NAME:                                                                             \
        if (sa && sb) RANGE_LOOP(true, true, VALUE);                                                \
        else if (sa) RANGE_LOOP(true, false, VALUE);                                                \
        else if (sb) RANGE_LOOP(false, true, VALUE);                                                \
        else RANGE_LOOP(false, false, VALUE);                                                       \
        return;

/* The cheapest operations, for which a call would take longer than what it does. */
static void range_of_two(uint32_t code, uint32_t n, real *y, const real *const *x, bool sa, bool sb)
{
    uint32_t i = 0;
    const wide_mask first = wide_first(n % LANES);
    switch (code) {
    RANGE_CASE(add, a + b)
    RANGE_CASE(sub, a - b)
    RANGE_CASE(mul, a * b)
    RANGE_CASE(times, wide_times(a, b))
    default: break;
    }
}
#undef RANGE_PART
#undef RANGE_LOOP
#undef RANGE_CASE

static const uint32_t *scalars_range(uint32_t code, uint32_t n, const uint32_t *w, real *v)
{
    const real *const x[] = { v + w[1], v + w[2], v + w[3] };
    const bool adjacent = w[4] < 2 && w[5] < 2;
    if (adjacent && (code == SCALAR_add || code == SCALAR_sub || code == SCALAR_mul || code == SCALAR_times)) {
        range_of_two(code, n, v + w[0], x, w[4], w[5]);
    } else {
        const ptrdiff_t stride[] = { (int32_t)w[4], (int32_t)w[5], (int32_t)w[6] };
        map_forward[code](n, v + w[0], (const void *const *)x, stride);
    }
    return w + 7;
}

static const uint32_t *scalars_dot(uint32_t n, const uint32_t *w, real *v)
{
    const uint32_t p = w[0], q = w[1], r = w[2], s = w[3];
    w += 4;
    if (p == 1 && q == 0 && r == 1 && s == 0) {
        for (; n; n--, w += 4) v[w[0]] = scalar_fma(v[w[2]], v[w[3]], v[w[1]]);
        return w;
    }
    for (; n; n--) {
        real *const y = v + *w++;
        real sum = 0;
        for (uint32_t t = 0; t < p; t++) sum = t ? sum + v[w[t]] : v[w[t]];
        w += p;
        for (uint32_t t = 0; t < q; t++) sum -= v[w[t]];
        w += q;
        for (uint32_t t = 0; t < r; t++, w += 2) sum = scalar_fma(v[w[0]], v[w[1]], sum);
        for (uint32_t t = 0; t < s; t++, w += 2) sum = scalar_fma(-v[w[0]], v[w[1]], sum);
        *y = sum;
    }
    return w;
}

/* Numbers 2, 3 or 4 apart, as the columns of a narrow matrix are, from so many whole vectors. Lane l is number l STEP of those:
   the first shuffle takes what is in two vectors, each other one what is in the next. */
#define APART_FIRST(l, STEP) ((l) * (STEP) < 2 * WIDE_LANES ? (l) * (STEP) : 0)
#define APART_THIRD(l, STEP) ((l) * (STEP) / WIDE_LANES == 2 ? WIDE_LANES + (l) * (STEP) % WIDE_LANES : (l))
#define APART_FOURTH(l, STEP) ((l) * (STEP) / WIDE_LANES == 3 ? WIDE_LANES + (l) * (STEP) % WIDE_LANES : (l))
WIDE_INLINE wide load_apart(const real *x, int32_t step)
{
    wide y = wide_load(x);
    const wide second = wide_load(x + LANES);
    if (step == 2) return __builtin_shufflevector(y, second, INDICES(APART_FIRST, 0, 2));
    const wide third = wide_load(x + 2 * LANES);
    if (step == 3) {
        y = __builtin_shufflevector(y, second, INDICES(APART_FIRST, 0, 3));
        return __builtin_shufflevector(y, third, INDICES(APART_THIRD, 0, 3));
    }
    y = __builtin_shufflevector(y, second, INDICES(APART_FIRST, 0, 4));
    y = __builtin_shufflevector(y, third, INDICES(APART_THIRD, 0, 4));
    return __builtin_shufflevector(y, wide_load(x + 3 * LANES), INDICES(APART_FOURTH, 0, 4));
}
#undef APART_FIRST
#undef APART_THIRD
#undef APART_FOURTH

/* The other way: of a vector's lanes those are stored that are numbers of x, and what lies between them stays. */
#if WIDE_BYTES == 64
#define APART_OF(l, PLACE) (((PLACE) % 16 * WIDE_LANES + (l)) / ((PLACE) / 16))
#define STORE_APART(PART, STEP)                                                                     \
    if (PART < STEP) {                                                                              \
        unsigned mask = 0;                                                                          \
        for (int l = 0; l < LANES; l++) mask |= (unsigned)((PART * LANES + l) % STEP == 0) << l;    \
        wide_store_first(y + PART * LANES, (wide_mask)mask,                                         \
                         __builtin_shufflevector(x, x, INDICES(APART_OF, 0, STEP * 16 + PART)));    \
    }
#define STORE_ALL_APART(STEP) STORE_APART(0, STEP) STORE_APART(1, STEP) STORE_APART(2, STEP) STORE_APART(3, STEP)
WIDE_INLINE void store_apart(real *y, int32_t step, wide x)
{
    if (step == 2) {
        STORE_ALL_APART(2)
    } else if (step == 3) {
        STORE_ALL_APART(3)
    } else {
        STORE_ALL_APART(4)
    }
}
#undef APART_OF
#undef STORE_APART
#undef STORE_ALL_APART
#endif

#define EACH_VECTOR _Pragma("GCC unroll 8") for (int u = 0; u < vectors; u++)
enum { FEW_COLUMNS = 4, COLUMNS = WIDE_BYTES == 64 ? 8 : 4 }; /* vectors: as many as there are registers for */

/* Vectors of an operand's numbers from number i on, at any distance from each other. */
WIDE_INLINE void columns_load(wide *to, const int vectors, const uint32_t *x, uint32_t i, const real *v)
{
    const int32_t step = (int32_t)x[1];
    const real *const at = v + x[0] + (ptrdiff_t)i * step;
    switch (step) {
    case 0: EACH_VECTOR to[u] = wide_splat(*at); break;
    case 1: EACH_VECTOR to[u] = wide_load(at + u * LANES); break;
    case 2: EACH_VECTOR to[u] = load_apart(at + u * 2 * LANES, 2); break;
    case 3: EACH_VECTOR to[u] = load_apart(at + u * 3 * LANES, 3); break;
    case 4: EACH_VECTOR to[u] = load_apart(at + u * 4 * LANES, 4); break;
    default:
        EACH_VECTOR
        {
            wide y = { 0 };
            for (int l = 0; l < LANES; l++) y[l] = at[(u * LANES + l) * step];
            to[u] = y;
        }
    }
}

WIDE_INLINE void columns_store(const wide *from, const int vectors, const uint32_t *y, uint32_t i, real *v)
{
    const int32_t step = (int32_t)y[1];
    real *const to = v + y[0] + (ptrdiff_t)i * step;
    switch (step) {
    case 1: EACH_VECTOR wide_store(to + u * LANES, from[u]); break;
#if WIDE_BYTES == 64
    case 2: EACH_VECTOR store_apart(to + u * 2 * LANES, 2, from[u]); break;
    case 3: EACH_VECTOR store_apart(to + u * 3 * LANES, 3, from[u]); break;
    case 4: EACH_VECTOR store_apart(to + u * 4 * LANES, 4, from[u]); break;
#endif
    default: EACH_VECTOR for (int l = 0; l < LANES; l++) to[(u * LANES + l) * step] = from[u][l];
    }
}

/* Sums of numbers and products, so many vectors at a time. */
WIDE_INLINE void columns_part(uint32_t i, const int vectors, const uint32_t *w, real *v)
{
    const uint32_t p = w[0], numbers = p + w[1], r = w[2], products = r + w[3], *x = w + 6;
    wide sum[COLUMNS], a[COLUMNS], b[COLUMNS];
    EACH_VECTOR sum[u] = (wide){ 0 };
    for (uint32_t t = 0; t < numbers; t++, x += 2) {
        columns_load(a, vectors, x, i, v);
        if (t >= p) EACH_VECTOR sum[u] -= a[u];
        else if (t) EACH_VECTOR sum[u] += a[u];
        else EACH_VECTOR sum[u] = a[u];
    }
    for (uint32_t t = 0; t < products; t++, x += 4) {
        columns_load(a, vectors, x, i, v);
        columns_load(b, vectors, x + 2, i, v);
        if (t >= r) EACH_VECTOR a[u] = -a[u];
        EACH_VECTOR sum[u] = wide_fma(a[u], b[u], sum[u]);
    }
    columns_store(sum, vectors, w + 4, i, v);
}

/* The same of numbers that are adjacent, or the same again and again. */
WIDE_INLINE void sums_part(uint32_t i, const int vectors, bool short_, wide_mask first, const uint32_t *w, real *v)
{
    const uint32_t p = w[0], q = w[1], r = w[2], s = w[3], *x = w + 6;
    wide sum[LANES_VECTORS];
#define ELEMENT (i + (uint32_t)(u * LANES))
#define LOADED(X) range_load(v + (X)[0], (X)[1], ELEMENT, short_, first)
    EACH_VECTOR sum[u] = p ? LOADED(x) : (wide){ 0 };
    for (uint32_t t = 0; t < p; t++, x += 2)
        if (t) EACH_VECTOR sum[u] += LOADED(x);
    for (uint32_t t = 0; t < q; t++, x += 2) EACH_VECTOR sum[u] -= LOADED(x);
    for (uint32_t t = 0; t < r; t++, x += 4) EACH_VECTOR sum[u] = wide_fma(LOADED(x), LOADED(x + 2), sum[u]);
    for (uint32_t t = 0; t < s; t++, x += 4) EACH_VECTOR sum[u] = wide_fma(-LOADED(x), LOADED(x + 2), sum[u]);
    EACH_VECTOR lanes_store(v + w[4] + ELEMENT, short_, first, sum[u]);
#undef ELEMENT
#undef LOADED
}
#undef EACH_VECTOR

static void sums_of_adjacent(uint32_t n, const uint32_t *w, real *v)
{
    const wide_mask all = wide_first(LANES);
    uint32_t i = 0;
    for (; i + LANES_STEP <= n; i += LANES_STEP) sums_part(i, LANES_VECTORS, false, all, w, v);
    for (; i + 2 * LANES <= n; i += 2 * LANES) sums_part(i, 2, false, all, w, v);
    if (i + LANES <= n) sums_part(i, 1, false, all, w, v), i += LANES;
    if (i < n) sums_part(i, 1, true, wide_first(n - i), w, v);
}

/* The last vector goes back to where it is whole: it computes some numbers again. */
static void sums_of_any(uint32_t n, const uint32_t *w, real *v)
{
    uint32_t i = 0;
    while (i < n && n >= LANES) {
        const uint32_t left = n - i;
        const int vectors = left > FEW_COLUMNS * LANES && n >= COLUMNS * LANES ? COLUMNS
                            : left > LANES && n >= FEW_COLUMNS * LANES         ? FEW_COLUMNS
                                                                               : 1;
        const uint32_t numbers = (uint32_t)(vectors * LANES), from = left < numbers ? n - numbers : i;
        if (vectors == COLUMNS) columns_part(from, COLUMNS, w, v);
        else if (vectors == FEW_COLUMNS) columns_part(from, FEW_COLUMNS, w, v);
        else columns_part(from, 1, w, v);
        i = from + numbers;
    }
    const uint32_t p = w[0], q = w[1], r = w[2], s = w[3];
#define NUMBER(PLACE) v[(ptrdiff_t)(PLACE)[0] + (ptrdiff_t)i * (int32_t)(PLACE)[1]]
    for (; i < n; i++) {
        const uint32_t *x = w + 6;
        real sum = 0;
        for (uint32_t t = 0; t < p; t++, x += 2) sum = t ? sum + NUMBER(x) : NUMBER(x);
        for (uint32_t t = 0; t < q; t++, x += 2) sum -= NUMBER(x);
        for (uint32_t t = 0; t < r; t++, x += 4) sum = scalar_fma(NUMBER(x), NUMBER(x + 2), sum);
        for (uint32_t t = 0; t < s; t++, x += 4) sum = scalar_fma(-NUMBER(x), NUMBER(x + 2), sum);
        NUMBER(w + 4) = sum;
    }
#undef NUMBER
}

static const uint32_t *scalars_dots(uint32_t n, const uint32_t *w, real *v)
{
    const uint32_t *const first = w + 6, *const end = first + 2 * (w[0] + w[1] + 2 * (w[2] + w[3]));
    bool adjacent = w[5] == 1;
    for (const uint32_t *x = first; x < end; x += 2) adjacent &= x[1] < 2;
    if (adjacent) sums_of_adjacent(n, w, v);
    else sums_of_any(n, w, v);
    return end;
}

/* Rows of 2, 3 or 4 products: as many vectors of them have each of a vector of a that often. The last ones go back to
   where they are whole. */
#define OUTER_OF(l, PLACE) (((PLACE) % 16 * WIDE_LANES + (l)) / ((PLACE) / 16))
#define OUTER_BY(l, PLACE) (((PLACE) % 16 * WIDE_LANES + (l)) % ((PLACE) / 16))
#define OUTER_PART(PART, WIDTH)                                                                     \
    if (PART < WIDTH)                                                                               \
        wide_store(y + j * WIDTH + PART * LANES,                                                    \
                   __builtin_shufflevector(x, x, INDICES(OUTER_OF, 0, WIDTH * 16 + PART)) *         \
                       __builtin_shufflevector(b0, b1, INDICES(OUTER_BY, 0, WIDTH * 16 + PART)));
#define OUTER_NARROW(WIDTH)                                                                         \
    for (uint32_t i = 0; i < n; i += LANES) {                                                       \
        const uint32_t j = i + LANES <= n ? i : n - LANES;                                          \
        const wide x = wide_load(a + j);                                                            \
        OUTER_PART(0, WIDTH) OUTER_PART(1, WIDTH) OUTER_PART(2, WIDTH) OUTER_PART(3, WIDTH)         \
    }
static const uint32_t *scalars_outer(uint32_t n, const uint32_t *w, real *v)
{
    const uint32_t m = w[0], more = m > LANES ? m - LANES : 0;
    const real *const a = v + w[2], *const b = v + w[3];
    real *const y = v + w[1];
    if (m >= 2 && m <= 4 && n >= LANES) {
        const wide b0 = wide_load_first(b, wide_first(m)), b1 = wide_load_first(b + LANES, wide_first(more));
        if (m == 2) OUTER_NARROW(2)
        else if (m == 3) OUTER_NARROW(3)
        else OUTER_NARROW(4)
        return w + 4;
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < m; k += LANES) {
            const wide_mask first = wide_first(m - k);
            wide_store_first(y + i * m + k, first, wide_load_first(b + k, first) * wide_splat(a[i]));
        }
    return w + 4;
}
#undef OUTER_OF
#undef OUTER_BY
#undef OUTER_PART
#undef OUTER_NARROW

static const uint32_t *scalars_row(uint32_t n, const uint32_t *w, real *v)
{
    const uint32_t p = w[0], r = w[1];
    for (w += 2; n; n--, w += 3 + p) {
        const real *const a = v + w[1 + p], *const b = v + w[2 + p];
        wide sum[2] = { { 0 } };
        uint32_t t = 0;
        for (; t + 2 * LANES <= r; t += 2 * LANES)
            for (uint32_t u = 0; u < 2; u++)
                sum[u] = wide_fma(wide_load(a + t + u * LANES), wide_load(b + t + u * LANES), sum[u]);
        for (; t < r; t += LANES) {
            const wide_mask first = wide_first(r - t);
            sum[0] = wide_fma(wide_load_first(a + t, first), wide_load_first(b + t, first), sum[0]);
        }
        real y = wide_sum(sum[0] + sum[1]);
        for (uint32_t k = 0; k < p; k++) y += v[w[1 + k]];
        v[w[0]] = y;
    }
    return w;
}

static const uint32_t *scalars_total(uint32_t n, const uint32_t *w, real *v)
{
    const uint32_t r = *w++;
    for (; n; n--, w += 2) {
        const real *const a = v + w[1];
        wide sum = { 0 };
        uint32_t t = 0;
        for (; t + LANES <= r; t += LANES) sum += wide_load(a + t);
        if (t < r) sum += wide_load_first(a + t, wide_first(r - t));
        v[w[0]] = wide_sum(sum);
    }
    return w;
}

#include "kernels/each.inl"

static void scalars(const uint32_t *w, void *numbers)
{
    real *const v = numbers;
    for (;;) {
        const uint32_t code = *w >> 8;
        switch (*w & 0xff) {
        case TG__SCALARS_MAP: w = scalars_map(code, w[1], w + 2, v); break;
        case TG__SCALARS_RANGE: w = scalars_range(code, w[1], w + 2, v); break;
        case TG__SCALARS_DOT: w = scalars_dot(w[1], w + 2, v); break;
        case TG__SCALARS_DOTS: w = scalars_dots(w[1], w + 2, v); break;
        case TG__SCALARS_OUTER: w = scalars_outer(w[1], w + 2, v); break;
        case TG__SCALARS_ROW: w = scalars_row(w[1], w + 2, v); break;
        case TG__SCALARS_TOTAL: w = scalars_total(w[1], w + 2, v); break;
        case TG__SCALARS_EACH: w = scalars_each(w + 1, v); break;
        default: return;
        }
    }
}
