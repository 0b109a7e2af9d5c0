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

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic" /* labels as values: each operation jumps to the next one's */

#define NEXT goto *labels[*w]
#define DO(NAME, REGISTER, WORDS, VALUE)                                                            \
    NAME##_##REGISTER:                                                                              \
        y = VALUE;                                                                                  \
        v[w[1]] = y;                                                                                \
        w += WORDS;                                                                                 \
        NEXT;
#define ONE(NAME)                                                                                   \
    DO(NAME, 0, 3, NAME##_of(v[w[2]], 0, 0))                                                        \
    DO(NAME, 1, 2, NAME##_of(y, 0, 0))
#define TWO(NAME)                                                                                   \
    DO(NAME, 0, 4, NAME##_of(v[w[2]], v[w[3]], 0))                                                  \
    DO(NAME, 1, 3, NAME##_of(y, v[w[2]], 0))                                                        \
    DO(NAME, 2, 3, NAME##_of(v[w[2]], y, 0))
#define THREE(NAME)                                                                                 \
    DO(NAME, 0, 5, NAME##_of(v[w[2]], v[w[3]], v[w[4]]))                                            \
    DO(NAME, 1, 4, NAME##_of(y, v[w[2]], v[w[3]]))                                                  \
    DO(NAME, 2, 4, NAME##_of(v[w[2]], y, v[w[3]]))                                                  \
    DO(NAME, 3, 4, NAME##_of(v[w[2]], v[w[3]], y))
#define LABEL1(NAME) &&NAME##_0, &&NAME##_1, NULL, NULL,
#define LABEL2(NAME) &&NAME##_0, &&NAME##_1, &&NAME##_2, NULL,
#define LABEL3(NAME) &&NAME##_0, &&NAME##_1, &&NAME##_2, &&NAME##_3,

M_INLINE real PLUS_of(real a, real b, real c) { return scalar_fma(a, b, c); }
M_INLINE real MINUS_of(real a, real b, real c) { return scalar_fma(-a, b, c); }

/* gcc would let operations share their ends, with one jump to what comes next for all of them. */
#if defined(__GNUC__) && !defined(__clang__)
__attribute__((optimize("no-crossjumping")))
#endif
static const uint32_t *scalars_each(const uint32_t *w, real *v)
{
    static const void *const labels[] = { TG__AT_ONCE(LABEL1, LABEL2, LABEL3) LABEL3(PLUS) LABEL3(MINUS)
                                          &&CALL_0, NULL, NULL, NULL, &&LAST_0 };
    real y = 0;
    NEXT;
    TG__AT_ONCE(ONE, TWO, THREE)
    THREE(PLUS)
    THREE(MINUS)
CALL_0: {
        const real *const made = v + w[2];
        w = scalars_gathered(w[1], map_operands[w[1]], 1, w + 2, v);
        y = *made;
        NEXT;
    }
LAST_0:
    return w + 1;
}
#undef NEXT
#undef DO
#undef ONE
#undef TWO
#undef THREE
#undef LABEL1
#undef LABEL2
#undef LABEL3
#pragma GCC diagnostic pop
