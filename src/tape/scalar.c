/* Plain scalar instructions: see scalar.h. The formulas of the op table are compiled into both switches. */
#include "tape/scalar.h"

#include <tapegrad/ops.h>

#include "tape/record.h"

typedef double real;
#include "kernels/formula.h"
static m_bits *const far = NULL; /* one number at a time: no matter how large */

#define TERM1(NAME, KIND, OPERAND, DERIVATIVE)
#define TERM2(NAME, KIND, OPERAND, DERIVATIVE)
#define TERM3(NAME, KIND, OPERAND, DERIVATIVE)
#define ZERO(NAME, OPERAND)
#define END(NAME)

/* value_NAME(x), value_NAME(a, b), value_NAME(a, b, c) */
#define MAP1(NAME, VALUE) static inline double value_##NAME(double x) { return VALUE; }
#define MAP2(NAME, VALUE) static inline double value_##NAME(double a, double b) { return VALUE; }
#define MAP3(NAME, VALUE) static inline double value_##NAME(double a, double b, double c) { (void)a, (void)c; return VALUE; }
#include "maps.inl"
#undef MAP1
#undef MAP2
#undef MAP3

double tg__scalar_value(int code, double a, double b, double c)
{
    switch (code) {
#define MAP1(NAME, VALUE) case TG__CODE_##NAME: return value_##NAME(a);
#define MAP2(NAME, VALUE) case TG__CODE_##NAME: return value_##NAME(a, b);
#define MAP3(NAME, VALUE) case TG__CODE_##NAME: return value_##NAME(a, b, c);
#include "maps.inl"
#undef MAP1
#undef MAP2
#undef MAP3
#undef TERM1
#undef TERM2
#undef TERM3
#undef END
    default: return R(NAN);
    }
}

#define MAP1(NAME, VALUE)                                            \
    case TG__CODE_##NAME: {                                          \
        const double g = d[in.y];                                    \
        if (g == 0) break;                                           \
        const double x = v[in.a], y = v[in.y];                       \
        (void)x, (void)y;
#define MAP2(NAME, VALUE)                                            \
    case TG__CODE_##NAME: {                                          \
        const double g = d[in.y];                                    \
        if (g == 0) break;                                           \
        const double a = v[in.a], b = v[in.b], y = v[in.y];          \
        (void)a, (void)b, (void)y;
#define MAP3(NAME, VALUE)                                            \
    case TG__CODE_##NAME | TG__POOL << 16: {                         \
        const double g = d[in.y];                                    \
        if (g == 0) break;                                           \
        const uint32_t *id = pool + in.a;                            \
        const double a = v[id[0]], b = v[id[1]], c = v[id[2]], y = v[in.y]; \
        (void)a, (void)b, (void)c, (void)y;
#define OPERAND_0 in.a
#define OPERAND_1 in.b
#define TERM1(NAME, KIND, OPERAND, DERIVATIVE) d[in.a] += KIND(g, DERIVATIVE);
#define TERM2(NAME, KIND, OPERAND, DERIVATIVE) d[OPERAND_##OPERAND] += KIND(g, DERIVATIVE);
#define TERM3(NAME, KIND, OPERAND, DERIVATIVE) d[id[OPERAND]] += KIND(g, DERIVATIVE);
#define END(NAME) \
    break;        \
    }

uint32_t tg__scalar_backward(const tg_tape *t, uint32_t end)
{
    const tg__instruction *code = t->head.code;
    const uint32_t *pool = (const uint32_t *)(void *)t->pool.data;
    const double *v = t->head.values;
    double *d = (double *)(void *)t->adjoint;
    for (uint32_t i = end; i-- > 0;) {
        const tg__instruction in = code[i];
        switch (in.op | (uint32_t)in.flags << 16) {
        case TG__LEAF:
        case TG__LEAF | TG__INACTIVE << 16:
            break;
#include "maps.inl"
        default: return i + 1;
        }
    }
    return 0;
}

#include "map_api.inl" /* generated: the public functions of elementwise ops */
