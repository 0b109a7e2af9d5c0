/* Elementwise kernels, made from the formulas of the op table. Included by kernel.c.

   A kernel's loop is over adjacent elements, where the compiler vectorises. Whatever lies otherwise is brought
   before it in pieces. */

/* Both sides are there before one is chosen: left to themselves compilers make branches of nested choices, and no
   vectors. */
M_INLINE real m_where(bool condition, real yes, real no) { return condition ? yes : no; }
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

/* ---- forward ------------------------------------------------------------------------------------------------------ */

/* Formulas with sin or cos are computed in blocks: in vectors, and where an argument was beyond their range once more,
   one at a time. far is what trigonometry.h means by it. */
#define FAR(TEXT) (strstr(TEXT, "m_sin(") || strstr(TEXT, "m_cos("))
enum { FAR_BLOCK = 512 };

/* Derivatives by way of a result y need an exponential only where it has saturated: blocks in which no element has do
   without. */
#define BY_VALUE(TEXT) (strstr(TEXT, "_by_value(") != NULL)
enum { SATURATION_BLOCK = 32 };

/* text is a constant in every call. */
M_INLINE bool saturates(const char *text, int64_t n, const real *y)
{
    const bool of_tanh = strstr(text, "m_tanh_by_value(") != NULL;
    m_bits any = 0;
    for (int64_t i = 0; i < n; i++) any |= (m_bits)!(of_tanh ? m_tanh_near(y[i]) : m_sigmoid_near(y[i]));
    return any;
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

/* OTHERWISE: cases worth a loop of their own. */
#define FORWARD(NAME, OPERANDS, VALUE, OTHERWISE)                                                              \
    static void NAME##_forward(int64_t n, void *y_, const void *const *x, const ptrdiff_t *s)                  \
    {                                                                                                          \
        const void *const a = x[0], *const b = OPERANDS > 1 ? x[1] : NULL, *const c = OPERANDS > 2 ? x[2] : NULL; \
        if (!ADJACENT(OPERANDS, s)) {                                                                          \
            OTHERWISE forward_pieces(NAME##_forward, OPERANDS, n, y_, x, s);                                   \
            return;                                                                                            \
        }                                                                                                      \
        if (!FAR(#VALUE) && !BY_VALUE(#VALUE)) {                                                               \
            NAME##_row(n, y_, a, 1, b, 1, c, NULL);                                                            \
            return;                                                                                            \
        }                                                                                                      \
        real *const y = y_;                                                                                    \
        if (BY_VALUE(#VALUE)) {                                                                                \
            for (int64_t i = 0; i < n; i += SATURATION_BLOCK) {                                                \
                const int64_t m = n - i < SATURATION_BLOCK ? n - i : SATURATION_BLOCK;                         \
                m_bits none = 0;                                                                               \
                if (saturates(#VALUE, m, AT(b, i)))                                                            \
                    NAME##_row(m, y + i, AT(a, i), 1, AT(b, i), 1, AT(c, i), NULL);                            \
                else NAME##_row(m, y + i, AT(a, i), 1, AT(b, i), 1, AT(c, i), &none);                          \
            }                                                                                                  \
            return;                                                                                            \
        }                                                                                                      \
        for (int64_t i = 0; i < n; i += FAR_BLOCK) {                                                           \
            const int64_t m = n - i < FAR_BLOCK ? n - i : FAR_BLOCK;                                           \
            m_bits beyond = 0;                                                                                 \
            NAME##_row(m, y + i, AT(a, i), 1, AT(b, i), 1, AT(c, i), &beyond);                                 \
            if (beyond) NAME##_row(m, y + i, AT(a, i), 1, AT(b, i), 1, AT(c, i), NULL);                        \
        }                                                                                                      \
    }
#define AT(x, i) ((x) ? (const real *)(x) + (i) : NULL)

#define FORWARD_ROW(NAME, READ, VALUE)                                                                         \
    static inline __attribute__((always_inline)) void NAME##_row(                                              \
        int64_t n, real *restrict out, const real *as, ptrdiff_t sa, const real *bs, ptrdiff_t sb,             \
        const real *cs, m_bits *far)                                                                           \
    {                                                                                                          \
        (void)as, (void)sa, (void)bs, (void)sb, (void)cs, (void)far;                                           \
        LOOP(READ out[i] = (real)(VALUE);)                                                                     \
    }

#define READ1 const real x = as[i];
#define READ2 const real a = as[i * sa], b = bs[i * sb];
#define READ3 const real a = as[i], b = bs[i], c = cs[i]; (void)a, (void)c;

/* One of two operands is a number more often than not. */
#define ONE_REPEATED(NAME, VALUE)                                                                              \
    if (!FAR(#VALUE) && s[0] == 1 && s[1] == 0) {                                                              \
        NAME##_row(n, y_, a, 1, b, 0, NULL, NULL);                                                             \
        return;                                                                                                \
    }                                                                                                          \
    if (!FAR(#VALUE) && s[0] == 0 && s[1] == 1) {                                                              \
        NAME##_row(n, y_, a, 0, b, 1, NULL, NULL);                                                             \
        return;                                                                                                \
    }

#define FORWARD1(NAME, VALUE) FORWARD_ROW(NAME, READ1, VALUE) FORWARD(NAME, 1, VALUE, )
#define FORWARD2(NAME, VALUE) FORWARD_ROW(NAME, READ2, VALUE) FORWARD(NAME, 2, VALUE, ONE_REPEATED(NAME, VALUE))
#define FORWARD3(NAME, VALUE) FORWARD_ROW(NAME, READ3, VALUE) FORWARD(NAME, 3, VALUE, )

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
        const real *cs, real *restrict d, m_bits *far)                                                         \
    {                                                                                                          \
        (void)ys, (void)as, (void)bs, (void)cs, (void)far;                                                     \
        LOOP(const real g = gs[i], y = ys[i]; (void)y; READ d[i] += CONTRIBUTION;)                             \
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
        if (sd != 1 || !ADJACENT(OPERANDS, s)) {                                                               \
            NAME##_other_##OPERAND(n, g_, y_, x, s, d_, sd);                                                   \
            return;                                                                                            \
        }                                                                                                      \
        if (!FAR(#CONTRIBUTION) && !BY_VALUE(#CONTRIBUTION)) {                                                 \
            NAME##_row_##OPERAND(n, g_, y_, a, b, c, d_, NULL);                                                \
            return;                                                                                            \
        }                                                                                                      \
        const real *const g = g_, *const y = y_;                                                               \
        if (BY_VALUE(#CONTRIBUTION)) {                                                                         \
            for (int64_t i = 0; i < n; i += SATURATION_BLOCK) {                                                \
                const int64_t m = n - i < SATURATION_BLOCK ? n - i : SATURATION_BLOCK;                         \
                m_bits none = 0;                                                                               \
                if (saturates(#CONTRIBUTION, m, AT(y, i)))                                                     \
                    NAME##_row_##OPERAND(m, g + i, y + i, AT(a, i), AT(b, i), AT(c, i), (real *)d_ + i, NULL); \
                else NAME##_row_##OPERAND(m, g + i, y + i, AT(a, i), AT(b, i), AT(c, i), (real *)d_ + i, &none);\
            }                                                                                                  \
            return;                                                                                            \
        }                                                                                                      \
        for (int64_t i = 0; i < n; i += FAR_BLOCK) {                                                           \
            const int64_t m = n - i < FAR_BLOCK ? n - i : FAR_BLOCK;                                           \
            m_bits beyond = 0;                                                                                 \
            real part[FAR_BLOCK] = { 0 };                                                                      \
            NAME##_row_##OPERAND(m, g + i, y + i, AT(a, i), AT(b, i), AT(c, i), part, &beyond);                \
            if (beyond) {                                                                                      \
                memset(part, 0, sizeof part);                                                                  \
                NAME##_row_##OPERAND(m, g + i, y + i, AT(a, i), AT(b, i), AT(c, i), part, NULL);               \
            }                                                                                                  \
            add(m, (real *)d_ + i, 1, part, 1);                                                                \
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
