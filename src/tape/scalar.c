/* Plain scalar instructions: see scalar.h. The formulas of the op table are compiled into both switches. */
#include "tape/scalar.h"

#include <tapegrad/ops.h>

#include "tape/record.h"

typedef double real;
#include "kernels/formula.h"
static const bool near = false; /* of one number that is not known */

/* For one number a branch costs less than the power that it saves. */
#undef pow
#undef pow_a
#define pow(a, b) ((b) == 2 ? (a) * (a) : m_pow(a, b))
#define pow_a(a, b) ((b) == 2 ? 2 * (a) : m_pow_a(a, b))

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

/* UNLESS_IDLE: leaves an instruction whose gradient is 0. */
#define MAP1(NAME, VALUE)                                            \
    case TG__CODE_##NAME: {                                          \
        UNLESS_IDLE                                                  \
        const double x = v[in.a], y = v[in.y];                       \
        (void)x, (void)y;
#define MAP2(NAME, VALUE)                                            \
    case TG__CODE_##NAME: {                                          \
        UNLESS_IDLE                                                  \
        const double a = v[in.a], b = v[in.b], y = v[in.y];          \
        (void)a, (void)b, (void)y;
#define MAP3(NAME, VALUE)                                            \
    case TG__CODE_##NAME | TG__POOL << 16: {                         \
        UNLESS_IDLE                                                  \
        const uint32_t *id = pool + in.a;                            \
        const double a = v[id[0]], b = v[id[1]], c = v[id[2]], y = v[in.y]; \
        (void)a, (void)b, (void)c, (void)y;
#define OPERAND_0 in.a
#define OPERAND_1 in.b
#define UNLESS_IDLE           \
    const double g = d[in.y]; \
    if (g == 0) break;
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
#undef UNLESS_IDLE
#undef TERM1
#undef TERM2
#undef TERM3

/* ---- several planes: of plain scalars they are adjacent, and a derivative is computed once ---- */

enum { FEW = 4 }; /* planes for which no kernel is called */

typedef struct planes {
    const tg_tape *t;
    const uint8_t *flag; /* by value */
    double *d;
    size_t n;
} planes;

static bool is_idle(const planes *w, uint32_t y)
{
    if (w->flag[y]) return true;
    for (size_t i = 0; i < w->n; i++)
        if (w->d[y * w->n + i] != 0) return false;
    return true;
}

/* What each of the gradients g contributes to an element of a tensor, by a derivative. */
static void add_to_part(const planes *w, uint32_t id, const double *g, double by)
{
    const tg__adjoints to = tg__adjoint_planes(w->t, id);
    for (size_t i = 0; i < w->n; i++) ((double *)to.first.p)[i * to.step] += TIMES(g[i], by);
}

/* What those of y contribute to scalar id, whatever it is. */
static inline void add_TIMES(const planes *w, uint32_t id, uint32_t y, double by)
{
    const double *const g = w->d + y * w->n;
    if (w->flag[id] & TG__UNWANTED) return;
    if (w->flag[id]) {
        add_to_part(w, id, g, by);
    } else if (w->n >= FEW) {
        w->t->k->lanes.spread((int64_t)w->n, w->d + id * w->n, g, by);
    } else {
        for (size_t i = 0; i < w->n; i++) w->d[id * w->n + i] += TIMES(g[i], by);
    }
}

static inline void add_PICK(const planes *w, uint32_t id, uint32_t y, double by)
{
    if (by != 0) add_TIMES(w, id, y, by);
}

#define UNLESS_IDLE if (is_idle(&w, in.y)) break;
#define TERM1(NAME, KIND, OPERAND, DERIVATIVE) add_##KIND(&w, in.a, in.y, DERIVATIVE);
#define TERM2(NAME, KIND, OPERAND, DERIVATIVE) add_##KIND(&w, OPERAND_##OPERAND, in.y, DERIVATIVE);
#define TERM3(NAME, KIND, OPERAND, DERIVATIVE) add_##KIND(&w, id[OPERAND], in.y, DERIVATIVE);

uint32_t tg__scalar_backward_planes(const tg_tape *t, uint32_t end)
{
    const tg__instruction *code = t->head.code;
    const uint32_t *pool = (const uint32_t *)(void *)t->pool.data;
    const double *v = t->head.values;
    const planes w = { t, tg__plane_flags(t), (double *)(void *)t->adjoint, t->planes };
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

/* Two operands, of which one may be a number. */
static tg_value record_two(int op, tg_value a, tg_value b, const tg_site *site)
{
    tg_value x[2] = { a, b };
    const bool first = a.tape == TG__NUMBER, second = b.tape == TG__NUMBER;
    if (first != second && tg__take_number(&x[second], x[first], site)) {
        tg__head *const h = tg__fast2(x[0], x[1], site);
        if (h)
            return tg__append(h, (uint16_t)op, x[0].id, x[1].id,
                              tg__scalar_value(op, h->values[x[0].id], h->values[x[1].id], 0));
    }
    return tg__record(op, x, 2, NULL, site);
}

#include "map_api.inl" /* generated: the public functions of elementwise ops */
