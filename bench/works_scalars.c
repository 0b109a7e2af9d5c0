/* The works in scalar operations of the library, one by one. Compiled twice: with the operations of the header
   inlined, and (TG_NO_INLINE) with a call into the shared library for each. */
#include <tapegrad.h>
#include <tapegrad/short.h>

#include "works.h"

static Value chain(const Value *x, const Value *y, const Value *p)
{
    (void)y;
    Value v = x[0];
    for (int i = 0; i < STEPS; i++) v = add(v, sub(p[1], mul(p[0], mul(mul(v, v), v))));
    return v;
}

/* Always inline: loops whose lengths are known are unrolled, as they are in the plain sides. */
static inline __attribute__((always_inline)) Value affine(int n, const Value *w, const Value *x, Value z)
{
    for (int i = 0; i < n; i++) z = add(z, mul(w[i], x[i]));
    return z;
}

static Value dot_of(const Value *x, const Value *y, const Value *p)
{
    (void)y;
    return affine(FEATURES - 1, p + 1, x + 1, mul(p[0], x[0]));
}

static Value logistic(const Value *x, const Value *y, const Value *p)
{
    const Value z = affine(FEATURES, p, x, p[FEATURES]);
    return sub(softplus(z), mul(y[0], z));
}

static inline __attribute__((always_inline)) Value net(const Value *x, const Value *y, const Value *p, bool square)
{
    const Value *const b1 = p + HIDDEN * INPUTS, *const w2 = b1 + HIDDEN, *const b2 = w2 + CLASSES * HIDDEN;
    Value h[HIDDEN], o[CLASSES];
    for (int j = 0; j < HIDDEN; j++) {
        const Value z = affine(INPUTS, p + j * INPUTS, x, b1[j]);
        h[j] = square ? mul(z, z) : tanh(z);
    }
    for (int k = 0; k < CLASSES; k++) o[k] = affine(HIDDEN, w2 + k * HIDDEN, h, b2[k]);
    Value total = exp(o[0]);
    for (int k = 1; k < CLASSES; k++) total = add(total, exp(o[k]));
    return sub(log(total), affine(CLASSES - 1, o + 1, y + 1, mul(o[0], y[0])));
}

static Value tanh_net(const Value *x, const Value *y, const Value *p)
{
    return net(x, y, p, false);
}

static Value square_net(const Value *x, const Value *y, const Value *p)
{
    return net(x, y, p, true);
}

#ifdef TG_NO_INLINE
const layout scalar_ops_shared = { "scalar-ops-shared", true, { chain, dot_of, logistic, tanh_net, square_net } };
#else
const layout scalar_ops = { "scalar-ops", true, { chain, dot_of, logistic, tanh_net, square_net } };
#endif
