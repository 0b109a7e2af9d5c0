/* Elementwise kernels, made from the formulas of the op table. Included by kernel.c.

   A kernel's loop is over adjacent elements, where the compiler vectorises. Whatever lies otherwise is brought
   before it in pieces. */

/* Without branches; see m_where. */
#undef where
#define where(condition, yes, no) m_where(condition, yes, no)

#define LOOP(...) for (int64_t i = 0; i < n; i++) { __VA_ARGS__ }

enum { MAP_OPERANDS = 3, PIECE = 256 };

static const ptrdiff_t map_adjacent[MAP_OPERANDS] = { 1, 1, 1 };

#define ADJACENT(OPERANDS, s) (s[0] == 1 && (OPERANDS < 2 || s[1] == 1) && (OPERANDS < 3 || s[2] == 1))

/* Operands on their way before a kernel, the elements of each next to each other. */
typedef struct pieces {
    const void *x[MAP_OPERANDS];
    real room[MAP_OPERANDS][PIECE];
} pieces;

/* Elements i to i + m of the operands. A repeated one is laid out once. */
static void bring(pieces *p, int operands, int64_t i, int64_t m, const void *const *x, const ptrdiff_t *s)
{
    for (int k = 0; k < operands; k++) {
        const real *const from = (const real *)x[k] + i * s[k];
        p->x[k] = s[k] == 1 ? from : p->room[k];
        if (s[k] == 0 && i == 0) fill(m, p->room[k], 1, (double)*from);
        if (s[k] != 0 && s[k] != 1) copy(m, p->room[k], 1, from, s[k]);
    }
}

/* What is known of a formula is in its text, a constant. */
#define HAS(TEXT, NAME) (strstr(TEXT, NAME) != NULL)

#define IS_LONG(TEXT)                                                                                          \
    (HAS(TEXT, "exp") || HAS(TEXT, "log") || HAS(TEXT, "sigmoid") || HAS(TEXT, "softplus") ||                  \
     HAS(TEXT, "elu") || HAS(TEXT, "silu") || HAS(TEXT, "mish") || HAS(TEXT, "erf") || HAS(TEXT, "gauss") ||   \
     HAS(TEXT, "pdf") || HAS(TEXT, "pow") || HAS(TEXT, "sinh") || HAS(TEXT, "cosh") || HAS(TEXT, "tanh"))
#define HAS_NEAR(TEXT) HAS(TEXT, "near)") /* see pair.h */
#define DIVIDES(TEXT)                                                                                          \
    (HAS(TEXT, " / ") || HAS(TEXT, "sqrt") || HAS(TEXT, "div") || HAS(TEXT, "softsign") || HAS(TEXT, "hypot"))

/* Long formulas never; divisions and roots wait for each other, backward not from memory, where d comes along,
   unless there are two roots. */
#define FORWARD_IN_HALVES(TEXT, n)                                                                             \
    (!IS_LONG(TEXT) && (DIVIDES(TEXT) ? HALVES : !HAS_NEAR(TEXT) && LIGHT_IN_HALVES(n)))
#define BACKWARD_IN_HALVES(TEXT, n)                                                                            \
    (!IS_LONG(TEXT) && DIVIDES(TEXT) && HALVES && ((n) <= IN_CACHES || HAS(TEXT, " * sqrt")))

/* ---- forward ------------------------------------------------------------------------------------------------------ */

/* Formulas with near are computed in blocks, with or without what takes care of the arguments that are not:
   derivatives by way of a result that has saturated are more likely to have some than others. */
#define BY_VALUE(TEXT) HAS(TEXT, "_by_value(")
#define NEAR_BLOCK(TEXT) (BY_VALUE(TEXT) ? 32 : 512)

/* Whether no |x| is above limit, and none is NaN: sums of a few squares tell, sooner than comparisons. They may say no where
   it is almost so. */
M_INLINE bool all_within(int64_t n, const real *x, const real limit)
{
    enum { SUMS = 4 };
    wide sum[SUMS];
    int64_t i = 0;
    for (int k = 0; k < SUMS; k++) sum[k] = wide_splat(0);
    for (; i + SUMS * LANES <= n; i += SUMS * LANES)
        for (int k = 0; k < SUMS; k++) {
            const wide v = wide_load(x + i + k * LANES);
            sum[k] = wide_fma(v, v, sum[k]);
        }
    for (; i < n; i += LANES) {
        const wide v = wide_load_first(x + i, wide_first(n - i));
        sum[0] = wide_fma(v, v, sum[0]);
    }
    const wide_integers within = (sum[0] <= limit * limit) & (sum[1] <= limit * limit) & (sum[2] <= limit * limit) &
                                 (sum[3] <= limit * limit);
    return !wide_some((wide)~within);
}

/* Whether no argument of a block is far: x, or the results y. text is a constant in every call. */
M_INLINE bool all_near(const char *text, int64_t n, const real *x, const real *y)
{
    m_bits far = 0;
    if (HAS(text, "m_exp(x,")) return all_within(n, x, EXP_NEAR);
    if (HAS(text, "m_sin(x,") || HAS(text, "m_cos(x,")) return all_within(n, x, (real)M_NEAR);
    if (HAS(text, "m_log(x,"))
        for (int64_t i = 0; i < n; i++) far |= m_log_far(x[i]);
    else if (HAS(text, "m_sigmoid_by_value("))
        for (int64_t i = 0; i < n; i++) far |= m_sigmoid_by_value_far(y[i]);
    else if (HAS(text, "m_tanh_by_value("))
        for (int64_t i = 0; i < n; i++) far |= m_tanh_by_value_far(y[i]);
    else return false;
    return !(far & M_SIGN);
}

/* While a long formula is computed the processor does not see far ahead: of rows from memory, the lines to be read and
   written next are asked for. Where all_near has read the operands of a whole block that is no use; the short blocks of
   derivatives by value have it done for what all_near does not read. */
#define ASKS(TEXT, n) (IS_LONG(TEXT) && (BY_VALUE(TEXT) || !HAS_NEAR(TEXT)) && (n) > IN_CACHES)
enum { ASKING_BLOCK = 64 };
#define BLOCK_OF(TEXT, n) (HAS_NEAR(TEXT) ? NEAR_BLOCK(TEXT) : ASKS(TEXT, n) ? ASKING_BLOCK : (n))

/* Asks for as many numbers as a block of m has, some blocks behind the one at p, as far as there are any of the n from p on. */
M_INLINE void ask(const real *p, int64_t m, int64_t n, bool writing)
{
    enum { LATER = 2 * ASKING_BLOCK };
    if (!p) return;
    for (int64_t i = LATER; i < LATER + m && i < n; i += LINE) {
        if (writing) __builtin_prefetch(p + i, 1);
        else __builtin_prefetch(p + i, 0);
    }
}

/* A kernel for operands that are not adjacent. */
static __attribute__((noinline)) void forward_pieces(tg__map_forward_kernel *kernel, int operands, int64_t n, void *y,
                                                     const void *const *x, const ptrdiff_t *s)
{
    pieces p;
    for (int64_t i = 0; i < n; i += PIECE) {
        const int64_t m = n - i < PIECE ? n - i : PIECE;
        bring(&p, operands, i, m, x, s);
        kernel(m, (real *)y + i, p.x, map_adjacent);
    }
}

/* One of two operands is a number more often than not. */
#define ONE_REPEATED(OPERANDS, s) (OPERANDS == 2 && ((s[0] == 1 && s[1] == 0) || (s[0] == 0 && s[1] == 1)))

/* Most powers are squares: b is one number for all, and that is 2. */
#define IS_SQUARE(NAME, b, s) (TG__MAP_##NAME == TG__MAP_pow && (s)[1] == 0 && *(const real *)(b) == 2)
static tg__map_forward_kernel square_forward;
static tg__map_backward_kernel square_backward_0;

#define FORWARD(NAME, OPERANDS, VALUE)                                                                         \
    M_INLINE void NAME##_forward_repeated(int64_t n, real *y, const real *a, const real *b, bool first)        \
    {                                                                                                          \
        if (first) NAME##_row(n, y, a, 0, b, 1, NULL, false);                                                  \
        else NAME##_row(n, y, a, 1, b, 0, NULL, false);                                                        \
    }                                                                                                          \
    static IN_HALVES void NAME##_forward_repeated_halves(int64_t n, real *y, const real *a, const real *b, bool first) \
    {                                                                                                          \
        NAME##_forward_repeated(n, y, a, b, first);                                                            \
    }                                                                                                          \
    static IN_HALVES void NAME##_forward_halves(int64_t n, real *y, const real *a, const real *b, const real *c) \
    {                                                                                                          \
        NAME##_row(n, y, a, 1, b, 1, c, false);                                                                \
    }                                                                                                          \
    static void NAME##_forward(int64_t n, void *y_, const void *const *x, const ptrdiff_t *s)                  \
    {                                                                                                          \
        const void *const a = x[0], *const b = OPERANDS > 1 ? x[1] : NULL, *const c = OPERANDS > 2 ? x[2] : NULL; \
        real *const y = y_;                                                                                    \
        const bool halves = FORWARD_IN_HALVES(#VALUE, n);                                                      \
        if (IS_SQUARE(NAME, b, s)) {                                                                           \
            square_forward(n, y_, x, s);                                                                       \
            return;                                                                                            \
        }                                                                                                      \
        if (ONE_REPEATED(OPERANDS, s)) {                                                                       \
            if (halves) NAME##_forward_repeated_halves(n, y, a, b, s[0] == 0);                                 \
            else NAME##_forward_repeated(n, y, a, b, s[0] == 0);                                               \
            return;                                                                                            \
        }                                                                                                      \
        if (!ADJACENT(OPERANDS, s)) {                                                                          \
            forward_pieces(NAME##_forward, OPERANDS, n, y_, x, s);                                             \
            return;                                                                                            \
        }                                                                                                      \
        if (halves) {                                                                                          \
            NAME##_forward_halves(n, y, a, b, c);                                                              \
            return;                                                                                            \
        }                                                                                                      \
        const int64_t block = BLOCK_OF(#VALUE, n);                                                             \
        for (int64_t i = 0; i < n; i += block) {                                                               \
            const int64_t m = n - i < block ? n - i : block;                                                   \
            if (ASKS(#VALUE, n))                                                                               \
                ask(AT(a, i), m, n - i, false), ask(AT(b, i), m, n - i, false), ask(y + i, m, n - i, true);    \
            if (HAS_NEAR(#VALUE) && all_near(#VALUE, m, AT(a, i), AT(b, i)))                                   \
                NAME##_row(m, y + i, AT(a, i), 1, AT(b, i), 1, AT(c, i), true);                                \
            else NAME##_row(m, y + i, AT(a, i), 1, AT(b, i), 1, AT(c, i), false);                              \
        }                                                                                                      \
    }
#define AT(x, i) ((x) ? (const real *)(x) + (i) : NULL)

#define FORWARD_ROW(NAME, READ, VALUE)                                                                         \
    static inline __attribute__((always_inline)) void NAME##_row(                                              \
        int64_t n, real *restrict out, const real *as, ptrdiff_t sa, const real *bs, ptrdiff_t sb,             \
        const real *cs, bool near)                                                                             \
    {                                                                                                          \
        (void)as, (void)sa, (void)bs, (void)sb, (void)cs, (void)near;                                          \
        LOOP(READ out[i] = (real)(VALUE);)                                                                     \
    }

#define READ1 const real x = as[i];
#define READ2 const real a = as[i * sa], b = bs[i * sb];
#define READ3 const real a = as[i], b = bs[i], c = cs[i]; (void)a, (void)c;

#define FORWARD1(NAME, VALUE) FORWARD_ROW(NAME, READ1, VALUE) FORWARD(NAME, 1, VALUE)
#define FORWARD2(NAME, VALUE) FORWARD_ROW(NAME, READ2, VALUE) FORWARD(NAME, 2, VALUE)
#define FORWARD3(NAME, VALUE) FORWARD_ROW(NAME, READ3, VALUE) FORWARD(NAME, 3, VALUE)

#define MAP1(NAME, VALUE) FORWARD1(NAME, VALUE)
#define MAP2(NAME, VALUE) FORWARD2(NAME, VALUE)
#define MAP3(NAME, VALUE) FORWARD3(NAME, VALUE)
#define TERM1(NAME, KIND, OPERAND, DERIVATIVE)
#define TERM2(NAME, KIND, OPERAND, DERIVATIVE)
#define TERM3(NAME, KIND, OPERAND, DERIVATIVE)
#define ZERO(NAME, OPERAND)
#define END(NAME)
#include "maps.inl"
#undef MAP1
#undef MAP2
#undef MAP3
#undef TERM1
#undef TERM2
#undef TERM3

/* ---- backward ----------------------------------------------------------------------------------------------------- */

/* A kernel for what is not adjacent. Where the operand is repeated along the row (sd = 0) it gets the sum. */
static __attribute__((noinline)) void backward_pieces(tg__map_backward_kernel *kernel, int operands, int64_t n,
                                                      const void *g_, const void *y_, const void *const *x,
                                                      const ptrdiff_t *s, void *d_, ptrdiff_t sd)
{
    const real *const g = g_, *const y = y_;
    real *const d = d_, part[PIECE];
    double sum = 0;
    pieces p;
    for (int64_t i = 0; i < n; i += PIECE) {
        const int64_t m = n - i < PIECE ? n - i : PIECE;
        bring(&p, operands, i, m, x, s);
        if (sd == 1) {
            kernel(m, g + i, y + i, p.x, map_adjacent, d + i, 1);
            continue;
        }
        for (int64_t j = 0; j < m; j++) part[j] = 0;
        kernel(m, g + i, y + i, p.x, map_adjacent, part, 1);
        if (sd == 0) sum += (double)row_sum(m, part, 1);
        else add(m, d + i * sd, sd, part, 1);
    }
    if (sd == 0) *d += (real)sum;
}

/* One operand's part: d[i] += g[i] times the derivative. */
#define BACKWARD(NAME, OPERAND, OPERANDS, READ, CONTRIBUTION)                                                  \
    static inline __attribute__((always_inline)) void NAME##_row_##OPERAND(                                    \
        int64_t n, const real *restrict gs, const real *restrict ys, const real *as, const real *bs,           \
        const real *cs, real *restrict d, bool near)                                                           \
    {                                                                                                          \
        (void)ys, (void)as, (void)bs, (void)cs, (void)near;                                                    \
        LOOP(const real g = gs[i], y = ys[i]; (void)y; READ d[i] += CONTRIBUTION;)                             \
    }                                                                                                          \
    static IN_HALVES void NAME##_backward_halves_##OPERAND(int64_t n, const real *gs, const real *ys,          \
                                                           const real *as, const real *bs, const real *cs,     \
                                                           real *d)                                            \
    {                                                                                                          \
        NAME##_row_##OPERAND(n, gs, ys, as, bs, cs, d, false);                                                 \
    }                                                                                                          \
    static void NAME##_backward_##OPERAND(int64_t n, const void *g_, const void *y_, const void *const *x,     \
                                          const ptrdiff_t *s, void *d_, ptrdiff_t sd);                         \
    static __attribute__((noinline)) void NAME##_other_##OPERAND(                                              \
        int64_t n, const void *g, const void *y, const void *const *x, const ptrdiff_t *s, void *d,            \
        ptrdiff_t sd)                                                                                          \
    {                                                                                                          \
        backward_pieces(NAME##_backward_##OPERAND, OPERANDS, n, g, y, x, s, d, sd);                            \
    }                                                                                                          \
    static void NAME##_backward_##OPERAND(int64_t n, const void *g_, const void *y_, const void *const *x,     \
                                          const ptrdiff_t *s, void *d_, ptrdiff_t sd)                          \
    {                                                                                                          \
        const void *const a = x[0], *const b = OPERANDS > 1 ? x[1] : NULL, *const c = OPERANDS > 2 ? x[2] : NULL; \
        if (OPERAND == 0 && IS_SQUARE(NAME, b, s)) {                                                           \
            square_backward_0(n, g_, y_, x, s, d_, sd);                                                        \
            return;                                                                                            \
        }                                                                                                      \
        if (sd != 1 || !ADJACENT(OPERANDS, s)) {                                                               \
            NAME##_other_##OPERAND(n, g_, y_, x, s, d_, sd);                                                   \
            return;                                                                                            \
        }                                                                                                      \
        const real *const g = g_, *const y = y_;                                                               \
        real *const d = d_;                                                                                    \
        if (BACKWARD_IN_HALVES(#CONTRIBUTION, n)) {                                                            \
            NAME##_backward_halves_##OPERAND(n, g, y, a, b, c, d);                                             \
            return;                                                                                            \
        }                                                                                                      \
        const int64_t block = BLOCK_OF(#CONTRIBUTION, n);                                                      \
        for (int64_t i = 0; i < n; i += block) {                                                               \
            const int64_t m = n - i < block ? n - i : block;                                                   \
            if (ASKS(#CONTRIBUTION, n)) ask(g + i, m, n - i, false), ask(d + i, m, n - i, true);               \
            if (ASKS(#CONTRIBUTION, n) && !BY_VALUE(#CONTRIBUTION))                                            \
                ask(AT(a, i), m, n - i, false), ask(AT(b, i), m, n - i, false);                                \
            if (HAS_NEAR(#CONTRIBUTION) && all_near(#CONTRIBUTION, m, AT(a, i), y + i))                        \
                NAME##_row_##OPERAND(m, g + i, y + i, AT(a, i), AT(b, i), AT(c, i), d + i, true);              \
            else NAME##_row_##OPERAND(m, g + i, y + i, AT(a, i), AT(b, i), AT(c, i), d + i, false);            \
        }                                                                                                      \
    }

#undef READ1
#undef READ2
#undef READ3
#define READ1 const real x = as[i]; (void)x;
#define READ2 const real a = as[i], b = bs[i]; (void)a, (void)b;
#define READ3 const real c = cs[i]; (void)c; READ2

#define MAP1(NAME, VALUE)
#define MAP2(NAME, VALUE)
#define MAP3(NAME, VALUE)
#define TERM1(NAME, KIND, OPERAND, DERIVATIVE) BACKWARD(NAME, OPERAND, 1, READ1, KIND(g, DERIVATIVE))
#define TERM2(NAME, KIND, OPERAND, DERIVATIVE) BACKWARD(NAME, OPERAND, 2, READ2, KIND(g, DERIVATIVE))
#define TERM3(NAME, KIND, OPERAND, DERIVATIVE) BACKWARD(NAME, OPERAND, 3, READ3, KIND(g, DERIVATIVE))
#include "maps.inl"
#undef MAP1
#undef MAP2
#undef MAP3
#undef TERM1
#undef TERM2
#undef TERM3
#undef ZERO
#undef END

/* ---- the tables, by op code --------------------------------------------------------------------------------------- */

#define TERM1(NAME, KIND, OPERAND, DERIVATIVE)
#define TERM2(NAME, KIND, OPERAND, DERIVATIVE)
#define TERM3(NAME, KIND, OPERAND, DERIVATIVE)
#define ZERO(NAME, OPERAND)
#define END(NAME)
#define MAP1(NAME, VALUE) NAME##_forward,
#define MAP2(NAME, VALUE) NAME##_forward,
#define MAP3(NAME, VALUE) NAME##_forward,
static tg__map_forward_kernel *const map_forward[TG__MAPS] = { NULL,
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

#define MAP1(NAME, VALUE) {
#define MAP2(NAME, VALUE) {
#define MAP3(NAME, VALUE) {
#define TERM1(NAME, KIND, OPERAND, DERIVATIVE) NAME##_backward_##OPERAND,
#define TERM2 TERM1
#define TERM3 TERM1
#define ZERO(NAME, OPERAND) NULL,
#define END(NAME) },
static tg__map_backward_kernel *const map_backward[TG__MAPS][3] = { { NULL },
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
