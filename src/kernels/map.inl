/* Elementwise kernels, made from the formulas of the op table. Included by kernel.c.

   A kernel's loop is written once for any strides; called with constants it becomes the adjacent case, in which
   the compiler vectorises. */

#define LOOP(...) for (int64_t i = 0; i < n; i++) { __VA_ARGS__ }

/* ---- forward ------------------------------------------------------------------------------------------------------ */

/* Formulas with sin or cos are computed in blocks: in vectors, and where an argument was beyond their range once more,
   one at a time. far is what trigonometry.h means by it. */
#define FAR(TEXT) (strstr(TEXT, "m_sin(") || strstr(TEXT, "m_cos("))
enum { FAR_BLOCK = 128 };

/* One place further along up to three operands. */
static void move_on(int operands, const void **x, const ptrdiff_t *s, int64_t n)
{
    for (int i = 0; i < operands; i++) x[i] = (const real *)x[i] + n * s[i];
}

#define FORWARD(NAME, OPERANDS, VALUE)                                                                         \
    static void NAME##_forward(int64_t n, void *y_, const void *const *x_, const ptrdiff_t *s)                 \
    {                                                                                                          \
        if (!FAR(#VALUE)) {                                                                                    \
            NAME##_rows(n, y_, x_, s, NULL);                                                                   \
            return;                                                                                            \
        }                                                                                                      \
        real *y = y_;                                                                                          \
        const void *x[OPERANDS];                                                                               \
        memcpy(x, x_, sizeof x);                                                                               \
        for (int64_t i = 0, m; i < n; i += m, y += m, move_on(OPERANDS, x, s, m)) {                            \
            m = n - i < FAR_BLOCK ? n - i : FAR_BLOCK;                                                         \
            m_bits beyond = 0;                                                                                 \
            NAME##_rows(m, y, x, s, &beyond);                                                                  \
            if (beyond) NAME##_rows(m, y, x, s, NULL);                                                           \
        }                                                                                                      \
    }

#define FORWARD1(NAME, VALUE)                                                                                  \
    static inline __attribute__((always_inline)) void NAME##_row(int64_t n, real *restrict out, const real *xs, \
                                                                 ptrdiff_t sx, m_bits *far)                    \
    {                                                                                                          \
        (void)far;                                                                                             \
        LOOP(const real x = xs[i * sx]; out[i] = (real)(VALUE);)                                               \
    }                                                                                                          \
    static inline __attribute__((always_inline)) void NAME##_rows(                                             \
        int64_t n, void *y, const void *const *x, const ptrdiff_t *s, m_bits *far)                             \
    {                                                                                                          \
        if (s[0] == 1) NAME##_row(n, y, x[0], 1, far);                                                         \
        else NAME##_row(n, y, x[0], s[0], far);                                                                \
    }                                                                                                          \
    FORWARD(NAME, 1, VALUE)

#define FORWARD2(NAME, VALUE)                                                                                  \
    static inline __attribute__((always_inline)) void NAME##_row(int64_t n, real *restrict out, const real *as, \
                                                                 ptrdiff_t sa, const real *bs, ptrdiff_t sb,   \
                                                                 m_bits *far)                                  \
    {                                                                                                          \
        (void)far;                                                                                             \
        LOOP(const real a = as[i * sa]; const real b = bs[i * sb]; out[i] = (real)(VALUE);)                    \
    }                                                                                                          \
    static inline __attribute__((always_inline)) void NAME##_rows(                                             \
        int64_t n, void *y, const void *const *x, const ptrdiff_t *s, m_bits *far)                             \
    {                                                                                                          \
        if (s[0] == 1 && s[1] == 1) NAME##_row(n, y, x[0], 1, x[1], 1, far);                                   \
        else if (s[0] == 1 && s[1] == 0) NAME##_row(n, y, x[0], 1, x[1], 0, far);                              \
        else if (s[0] == 0 && s[1] == 1) NAME##_row(n, y, x[0], 0, x[1], 1, far);                              \
        else NAME##_row(n, y, x[0], s[0], x[1], s[1], far);                                                    \
    }                                                                                                          \
    FORWARD(NAME, 2, VALUE)

#define FORWARD3(NAME, VALUE)                                                                                  \
    static inline __attribute__((always_inline)) void NAME##_row(                                              \
        int64_t n, real *restrict out, const real *as, ptrdiff_t sa, const real *bs, ptrdiff_t sb,             \
        const real *cs, ptrdiff_t sc, m_bits *far)                                                             \
    {                                                                                                          \
        (void)far;                                                                                             \
        LOOP(const real a = as[i * sa]; const real b = bs[i * sb]; const real c = cs[i * sc];                  \
             (void)a, (void)c; out[i] = (real)(VALUE);)                                                        \
    }                                                                                                          \
    static inline __attribute__((always_inline)) void NAME##_rows(                                             \
        int64_t n, void *y, const void *const *x, const ptrdiff_t *s, m_bits *far)                             \
    {                                                                                                          \
        if (s[0] == 1 && s[1] == 1 && s[2] == 1) NAME##_row(n, y, x[0], 1, x[1], 1, x[2], 1, far);             \
        else NAME##_row(n, y, x[0], s[0], x[1], s[1], x[2], s[2], far);                                        \
    }                                                                                                          \
    FORWARD(NAME, 3, VALUE)

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

/* One operand's part: d[i] += g[i] times the derivative; where the operand is repeated along the row (sd = 0) the sum
   of it, in eight partial sums, so that the additions do not wait for each other and the error stays small. */
#define BACKWARD(NAME, OPERAND, OPERANDS, READ, CONTRIBUTION)                                                  \
    static inline __attribute__((always_inline)) void NAME##_row_##OPERAND(                                    \
        int64_t n, const real *restrict gs, const real *restrict ys, const real *as, ptrdiff_t sa,             \
        const real *bs, ptrdiff_t sb, const real *cs, ptrdiff_t sc, real *restrict d, ptrdiff_t sd,            \
        m_bits *far)                                                                                           \
    {                                                                                                          \
        (void)ys, (void)as, (void)sa, (void)bs, (void)sb, (void)cs, (void)sc, (void)far;                       \
        if (sd) {                                                                                              \
            for (int64_t i = 0; i < n; i++) {                                                                  \
                READ d[i * sd] += CONTRIBUTION;                                                                \
            }                                                                                                  \
            return;                                                                                            \
        }                                                                                                      \
        real part[8] = { 0 };                                                                                  \
        int64_t done = 0;                                                                                      \
        for (; done + 8 <= n; done += 8) {                                                                     \
            for (int64_t i = done; i < done + 8; i++) {                                                        \
                READ part[i - done] += CONTRIBUTION;                                                           \
            }                                                                                                  \
        }                                                                                                      \
        for (int64_t i = done; i < n; i++) {                                                                   \
            READ part[i - done] += CONTRIBUTION;                                                               \
        }                                                                                                      \
        *d += ((part[0] + part[4]) + (part[1] + part[5])) + ((part[2] + part[6]) + (part[3] + part[7]));       \
    }                                                                                                          \
    static inline __attribute__((always_inline)) void NAME##_rows_##OPERAND(                                   \
        int64_t n, const void *g, const void *y, const void *const *x, const ptrdiff_t *s, void *d,            \
        ptrdiff_t sd, m_bits *far)                                                                             \
    {                                                                                                          \
        const void *b = OPERANDS > 1 ? x[1] : NULL, *c = OPERANDS > 2 ? x[2] : NULL;                           \
        const ptrdiff_t sb = OPERANDS > 1 ? s[1] : 1, sc = OPERANDS > 2 ? s[2] : 1;                            \
        if (s[0] == 1 && sb == 1 && sc == 1 && sd == 1)                                                        \
            NAME##_row_##OPERAND(n, g, y, x[0], 1, b, 1, c, 1, d, 1, far);                                     \
        else NAME##_row_##OPERAND(n, g, y, x[0], s[0], b, sb, c, sc, d, sd, far);                              \
    }                                                                                                          \
    static void NAME##_backward_##OPERAND(int64_t n, const void *g_, const void *y_, const void *const *x_,    \
                                          const ptrdiff_t *s, void *d_, ptrdiff_t sd)                          \
    {                                                                                                          \
        if (!FAR(#CONTRIBUTION)) {                                                                             \
            NAME##_rows_##OPERAND(n, g_, y_, x_, s, d_, sd, NULL);                                             \
            return;                                                                                            \
        }                                                                                                      \
        const real *g = g_, *y = y_;                                                                           \
        real *d = d_;                                                                                          \
        const void *x[OPERANDS];                                                                               \
        memcpy(x, x_, sizeof x);                                                                               \
        for (int64_t i = 0, m; i < n; i += m, g += m, y += m, d += m * sd, move_on(OPERANDS, x, s, m)) {       \
            m = n - i < FAR_BLOCK ? n - i : FAR_BLOCK;                                                         \
            m_bits beyond = 0;                                                                                 \
            real part[FAR_BLOCK] = { 0 };                                                                      \
            NAME##_rows_##OPERAND(m, g, y, x, s, part, 1, &beyond);                                            \
            if (beyond) {                                                                                      \
                memset(part, 0, sizeof part);                                                                  \
                NAME##_rows_##OPERAND(m, g, y, x, s, part, 1, NULL);                                           \
            }                                                                                                  \
            add(m, d, sd, part, 1);                                                                            \
        }                                                                                                      \
    }

#define READ1 const real g = gs[i], x = as[i * sa], y = ys[i]; (void)x, (void)y;
#define READ2 const real g = gs[i], a = as[i * sa], b = bs[i * sb], y = ys[i]; (void)a, (void)b, (void)y;
#define READ3 const real c = cs[i * sc]; (void)c; READ2

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
