/* Operations on single numbers that are few of a kind: one after the other, each with its own code, so
   that going from one to the next costs as little as can be. Included by scalars.inl. */
static const uint32_t *scalars_each(uint32_t n, const uint32_t *w, real *v)
{
    for (; n; n--, w += 4) {
        const real a = v[w[2]], b = v[w[3]];
        real y;
        switch (w[0]) {
        case SCALAR_add: y = a + b; break;
        case SCALAR_sub: y = a - b; break;
        case SCALAR_mul: y = a * b; break;
        case SCALAR_div: y = a / b; break;
        case SCALAR_times: y = m_times(a, b); break;
        case SCALAR_neg: y = -a; break;
        case SCALAR_reciprocal: y = 1 / a; break;
        case SCALAR_square: y = a * a; break;
        default: /* a sum of c and a b */
            y = scalar_fma(a, b, v[w[4]]);
            v[w++[1]] = y;
            continue;
        }
        v[w[1]] = y;
    }
    return w;
}
