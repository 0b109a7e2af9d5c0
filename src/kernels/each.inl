/* Operations on single numbers that are few of a kind: one after the other, each with its own code, so
   that going from one to the next costs as little as can be. What an operation waits for is mostly the
   one before it: its result is y still, where from memory it would come some cycles later. Included by
   scalars.inl. */

/* A formula of the table on single numbers. */
#define VALUE_OF(NAME)                                                                              \
    M_INLINE real NAME##_of(real a, real b, real c)                                                 \
    {                                                                                               \
        real y;                                                                                     \
        NAME##_row(1, &y, &a, 1, &b, 1, &c, NULL);                                                  \
        return y;                                                                                   \
    }
TG__AT_ONCE(VALUE_OF, VALUE_OF, VALUE_OF)
#undef VALUE_OF

#define DO(NAME, REGISTER, WORDS, VALUE)                                                            \
    case TG__EACH(NAME, REGISTER):                                                                  \
        y = VALUE;                                                                                  \
        v[w[1]] = y;                                                                                \
        w += WORDS;                                                                                 \
        break;
#define ONE(NAME)                                                                                   \
    DO(SCALAR_##NAME, 0, 3, NAME##_of(v[w[2]], 0, 0))                                               \
    DO(SCALAR_##NAME, 1, 2, NAME##_of(y, 0, 0))
#define TWO(NAME)                                                                                   \
    DO(SCALAR_##NAME, 0, 4, NAME##_of(v[w[2]], v[w[3]], 0))                                         \
    DO(SCALAR_##NAME, 1, 3, NAME##_of(y, v[w[2]], 0))                                               \
    DO(SCALAR_##NAME, 2, 3, NAME##_of(v[w[2]], y, 0))
#define THREE(NAME)                                                                                 \
    DO(SCALAR_##NAME, 0, 5, NAME##_of(v[w[2]], v[w[3]], v[w[4]]))                                   \
    DO(SCALAR_##NAME, 1, 4, NAME##_of(y, v[w[2]], v[w[3]]))                                         \
    DO(SCALAR_##NAME, 2, 4, NAME##_of(v[w[2]], y, v[w[3]]))                                         \
    DO(SCALAR_##NAME, 3, 4, NAME##_of(v[w[2]], v[w[3]], y))
#define SUM(CODE, SIGN)                                                                             \
    DO(CODE, 0, 5, scalar_fma(SIGN v[w[2]], v[w[3]], v[w[4]]))                                      \
    DO(CODE, 1, 4, scalar_fma(SIGN y, v[w[2]], v[w[3]]))                                            \
    DO(CODE, 2, 4, scalar_fma(SIGN v[w[2]], y, v[w[3]]))                                            \
    DO(CODE, 3, 4, scalar_fma(SIGN v[w[2]], v[w[3]], y))

static const uint32_t *scalars_each(const uint32_t *w, real *v)
{
    real y = 0;
    for (;;) {
        switch (*w) {
        TG__AT_ONCE(ONE, TWO, THREE)
        SUM(TG__EACH_PLUS, )
        SUM(TG__EACH_MINUS, -)
        case TG__EACH(TG__EACH_END, 0): return w + 1;
        default: {
            const real *const made = v + w[1];
            w = scalars_gathered(*w / 4, map_operands[*w / 4], 1, w + 1, v);
            y = *made;
        }
        }
    }
}
#undef DO
#undef ONE
#undef TWO
#undef THREE
#undef SUM
