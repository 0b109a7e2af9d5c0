/* Vectors of the widest kind that the level has: the compiler's vector extension, and with
   intrinsics the two things it cannot say: fused multiply-add, and loads and stores of the first
   few lanes. Included by kernel.c for each type. */
#if defined(__AVX512F__)
#include <immintrin.h>
#define WIDE_BYTES 64
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define WIDE_BYTES 32
#else
#define WIDE_BYTES 16
#endif

#ifdef TG_REAL_F32
typedef int32_t wide_integer;
#define WIDE_NAME(BITS, NAME) _mm##BITS##_##NAME##_ps
#else
typedef int64_t wide_integer;
#define WIDE_NAME(BITS, NAME) _mm##BITS##_##NAME##_pd
#endif

#ifdef TG_REAL_F32
#define WIDE_LANES (WIDE_BYTES / 4)
#else
#define WIDE_LANES (WIDE_BYTES / 8)
#endif
#define LANES ((int)WIDE_LANES)
#define WIDE_INLINE static inline __attribute__((always_inline))

enum { LINE = 64 / sizeof(real) }; /* elements of a line of the cache, and of the longest vectors */

/* So many vectors of each array are loaded before any is stored. Of a loop that the compiler unrolled, in which loads and
   stores alternate, a third was lost from memory: as many instructions load lines that are no neighbours. */
#define STREAM 4

typedef real wide __attribute__((vector_size(WIDE_BYTES)));
typedef wide_integer wide_integers __attribute__((vector_size(WIDE_BYTES)));
typedef real wide_unaligned
    __attribute__((vector_size(WIDE_BYTES), aligned(sizeof(real)), may_alias));

WIDE_INLINE wide wide_load(const real *x)
{
    return *(const wide_unaligned *)x;
}

WIDE_INLINE void wide_store(real *y, wide v)
{
    *(wide_unaligned *)y = v;
}

/* The same in two halves, if it is 64 bytes. Of such stores those across two lines of the cache cost as much as two, of 32
   bytes half as many are; and what streams to memory is a fifth slower by 64. */
WIDE_INLINE void wide_store_halves(real *y, wide v)
{
    if (WIDE_BYTES < 64) {
        wide_store(y, v);
        return;
    }
    typedef real half __attribute__((vector_size(WIDE_BYTES / 2)));
    typedef real half_unaligned __attribute__((vector_size(WIDE_BYTES / 2), aligned(sizeof(real)), may_alias));
    const union {
        wide whole;
        half part[2];
    } u = { v };
    for (int k = 0; k < 2; k++) *(half_unaligned *)(y + k * WIDE_LANES / 2) = u.part[k];
}

WIDE_INLINE wide wide_splat(real x)
{
    return x - (wide){ 0 }; /* not +: that would lose the sign of -0 */
}

/* a b + c, rounded once where the level can. */
WIDE_INLINE wide wide_fma(wide a, wide b, wide c)
{
#if WIDE_BYTES == 64
    return WIDE_NAME(512, fmadd)(a, b, c);
#elif WIDE_BYTES == 32
    return WIDE_NAME(256, fmadd)(a, b, c);
#else
    return a * b + c;
#endif
}

/* The same of single numbers. */
WIDE_INLINE real scalar_fma(real a, real b, real c)
{
#if WIDE_BYTES == 16
    return a * b + c;
#elif defined(TG_REAL_F32)
    return __builtin_fmaf(a, b, c);
#else
    return __builtin_fma(a, b, c);
#endif
}

/* The sum of the lanes, by halves. */
WIDE_INLINE real wide_sum(wide v)
{
    typedef real narrow __attribute__((vector_size(16)));
    const union { wide whole; narrow part[WIDE_BYTES / 16]; } u = { v };
#if WIDE_BYTES == 64
    const narrow s = (u.part[0] + u.part[2]) + (u.part[1] + u.part[3]);
#elif WIDE_BYTES == 32
    const narrow s = u.part[0] + u.part[1];
#else
    const narrow s = u.part[0];
#endif
#ifdef TG_REAL_F32
    return (s[0] + s[2]) + (s[1] + s[3]);
#else
    return s[0] + s[1];
#endif
}

/* The first n lanes, all of them if n is larger: absent lanes load as 0 and are not stored. */
#if WIDE_BYTES == 64
#ifdef TG_REAL_F32
typedef __mmask16 wide_mask;
#else
typedef __mmask8 wide_mask;
#endif
#else
typedef int64_t wide_mask;
#endif

WIDE_INLINE wide_mask wide_first(int64_t n)
{
#if WIDE_BYTES == 64
    return (wide_mask)((n >= LANES ? 0u : 1u << n) - 1u);
#else
    return n;
#endif
}

#if WIDE_BYTES == 32
/* All bits of these lanes. */
WIDE_INLINE __m256i first_lanes(wide_mask first)
{
    static const wide_integer on[2 * LANES] = {
#ifdef TG_REAL_F32
        -1, -1, -1, -1,
#endif
        -1, -1, -1, -1,
    };
    return _mm256_loadu_si256((const __m256i *)(on + LANES - (first < LANES ? first : LANES)));
}
#endif

WIDE_INLINE wide wide_load_first(const real *x, wide_mask first)
{
#if WIDE_BYTES == 64
    return WIDE_NAME(512, maskz_loadu)(first, x);
#elif WIDE_BYTES == 32
    return WIDE_NAME(256, maskload)(x, first_lanes(first));
#else
    if (first >= LANES) return wide_load(x);
    wide v = { 0 };
    for (int i = 0; i < first; i++) v[i] = x[i];
    return v;
#endif
}

WIDE_INLINE void wide_store_first(real *y, wide_mask first, wide v)
{
#if WIDE_BYTES == 64
    WIDE_NAME(512, mask_storeu)(y, first, v);
#elif WIDE_BYTES == 32
    if (first >= LANES) {
        wide_store(y, v);
        return;
    }
    /* By pieces: a store through a mask takes some processors ten times as long as one of a piece. */
    typedef float two_floats __attribute__((vector_size(8), aligned(4), may_alias));
    const int64_t floats = first * (int64_t)(sizeof(real) / sizeof(float));
    float *to = (float *)y;
    __m128 piece = _mm256_castps256_ps128((__m256)v);
    if (floats & 4) {
        _mm_storeu_ps(to, piece);
        piece = _mm256_extractf128_ps((__m256)v, 1);
        to += 4;
    }
    if (floats & 2) {
        *(two_floats *)to = __builtin_shufflevector(piece, piece, 0, 1);
        piece = _mm_movehl_ps(piece, piece);
        to += 2;
    }
    if (floats & 1) *to = piece[0];
#else
    if (first >= LANES) wide_store(y, v);
    else for (int i = 0; i < first; i++) y[i] = v[i];
#endif
}

/* v in the first lanes, in the others what is there. */
WIDE_INLINE wide wide_choose(wide_mask first, wide v, wide others)
{
#if WIDE_BYTES == 64
    return WIDE_NAME(512, mask_mov)(others, first, v);
#elif WIDE_BYTES == 32
    return WIDE_NAME(256, blendv)(others, v, (wide)first_lanes(first));
#else
    for (int i = 0; i < LANES; i++) v[i] = i < first ? v[i] : others[i];
    return v;
#endif
}

/* The larger and the smaller one of m and v; a NaN in either is the result. */
#if WIDE_BYTES == 64
#ifdef TG_REAL_F32
#define WIDE_UNORDERED(v) _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q)
#else
#define WIDE_UNORDERED(v) _mm512_cmp_pd_mask(v, v, _CMP_UNORD_Q)
#endif
/* Of operands that do not compare max and min give the second one. */
#define WIDE_BETTER(OPERATION, m, v)                                                               \
    WIDE_NAME(512, mask_mov)(WIDE_NAME(512, OPERATION)(v, m), WIDE_UNORDERED(v), v)
WIDE_INLINE wide wide_larger(wide m, wide v) { return WIDE_BETTER(max, m, v); }
WIDE_INLINE wide wide_smaller(wide m, wide v) { return WIDE_BETTER(min, m, v); }
#else
WIDE_INLINE wide wide_where(wide_integers is, wide yes, wide no)
{
    return (wide)((is & (wide_integers)yes) | (~is & (wide_integers)no));
}
WIDE_INLINE wide wide_larger(wide m, wide v) { return wide_where((v > m) | (v != v), v, m); }
WIDE_INLINE wide wide_smaller(wide m, wide v) { return wide_where((v < m) | (v != v), v, m); }
#endif
WIDE_INLINE wide wide_added(wide m, wide v) { return m + v; }
WIDE_INLINE wide wide_multiplied(wide m, wide v) { return m * v; }

/* 0, 1, 2, ... */
WIDE_INLINE wide wide_numbers(void)
{
    real number[LANES];
    for (int l = 0; l < LANES; l++) number[l] = (real)l;
    return wide_load(number);
}

/* Lane l is lane i[l] of v. */
WIDE_INLINE wide wide_pick(wide v, wide_integers i)
{
#if WIDE_BYTES == 64
    return WIDE_NAME(512, permutexvar)((__m512i)i, v);
#elif WIDE_BYTES == 32 && defined(TG_REAL_F32)
    return _mm256_permutevar8x32_ps(v, (__m256i)i);
#else
    real from[LANES], to[LANES];
    wide_store(from, v);
    for (int l = 0; l < LANES; l++) to[l] = from[i[l]];
    return wide_load(to);
#endif
}

/* The bits of both. */
WIDE_INLINE wide wide_either(wide a, wide b)
{
    return (wide)((wide_integers)a | (wide_integers)b);
}

/* Whether any bit is set. */
WIDE_INLINE bool wide_some(wide v)
{
#if WIDE_BYTES == 64
    return _mm512_test_epi64_mask((__m512i)v, (__m512i)v) != 0;
#elif WIDE_BYTES == 32
    return !_mm256_testz_si256((__m256i)v, (__m256i)v);
#else
    uint64_t part[2];
    memcpy(part, &v, sizeof part);
    return (part[0] | part[1]) != 0;
#endif
}

/* Lane by lane: what comparisons give, and the choice by it. */
typedef wide_integer wide_lanes __attribute__((vector_size(WIDE_BYTES)));

WIDE_INLINE wide wide_chosen(wide_lanes lanes, wide yes, wide no)
{
    return (wide)((lanes & (wide_lanes)yes) | (~lanes & (wide_lanes)no));
}

#if WIDE_BYTES == 64
/* A bit for each lane. */
#ifdef TG_REAL_F32
#define WIDE_COMPARE(a, b, HOW) _mm512_cmp_ps_mask(a, b, HOW)
#define WIDE_COMPARE_OF(mask, a, b, HOW) _mm512_mask_cmp_ps_mask(mask, a, b, HOW)
#else
#define WIDE_COMPARE(a, b, HOW) _mm512_cmp_pd_mask(a, b, HOW)
#define WIDE_COMPARE_OF(mask, a, b, HOW) _mm512_mask_cmp_pd_mask(mask, a, b, HOW)
#endif
#endif

/* F(k, d) for each lane k: what a vector's lanes are taken from. */
#define INDICES_2(F, k, d) F(k, d), F(k + 1, d)
#define INDICES_4(F, k, d) INDICES_2(F, k, d), INDICES_2(F, k + 2, d)
#define INDICES_8(F, k, d) INDICES_4(F, k, d), INDICES_4(F, k + 4, d)
#define INDICES_16(F, k, d) INDICES_8(F, k, d), INDICES_8(F, k + 8, d)
#if WIDE_LANES == 16
#define INDICES INDICES_16
#elif WIDE_LANES == 8
#define INDICES INDICES_8
#elif WIDE_LANES == 4
#define INDICES INDICES_4
#else
#define INDICES INDICES_2
#endif

/* Lane k of two vectors is to hold what is folded for the first, or, where k & d, for the second: its own lane, and the one
   that is d away. */
#define JOIN_OWN(k, d) ((k) & (d) ? WIDE_LANES + (k) : (k))
#define JOIN_AWAY(k, d) (((k) & (d) ? WIDE_LANES : 0) + ((k) ^ (d)))
#define JOIN_TO(d, STEP)                                                                           \
    for (int r = 0; r < (d); r++) {                                                                \
        const wide own = __builtin_shufflevector(v[r], v[r + (d)], INDICES(JOIN_OWN, 0, d));       \
        v[r] = STEP(own, __builtin_shufflevector(v[r], v[r + (d)], INDICES(JOIN_AWAY, 0, d)));     \
    }

/* Of the vectors v[0] ... v[WIDE_LANES - 1] each is folded to one number: v[0] becomes all of them, in the order of wide_sum. */
#if WIDE_LANES == 16
#define JOIN_ALL(STEP) JOIN_TO(8, STEP) JOIN_TO(4, STEP) JOIN_TO(2, STEP) JOIN_TO(1, STEP)
#elif WIDE_LANES == 8
#define JOIN_ALL(STEP) JOIN_TO(4, STEP) JOIN_TO(2, STEP) JOIN_TO(1, STEP)
#elif WIDE_LANES == 4
#define JOIN_ALL(STEP) JOIN_TO(2, STEP) JOIN_TO(1, STEP)
#else
#define JOIN_ALL(STEP) JOIN_TO(1, STEP)
#endif

/* A function whose loops the compiler makes vectors of half the width for: while there are whole ones the clock is slower, and
   divisions and roots come no sooner for them, nor do elements from beyond the first cache. clang takes no such wish. */
#ifdef __clang__
#define IN_HALVES
#define HALVES 0
#else
#define IN_HALVES __attribute__((noinline, target("prefer-vector-width=256")))
#define HALVES (WIDE_BYTES == 64)
#endif
/* Of n elements with which little is done. */
enum { IN_FIRST_CACHE = TG__FIRST_CACHE / 2 / sizeof(real), IN_CACHES = 32 * IN_FIRST_CACHE };
#define LIGHT_IN_HALVES(n) (HALVES && (n) > IN_FIRST_CACHE && (n) <= IN_CACHES)

/* What is gone through in blocks is no stream to the processor, which would find out by itself what it will need. Out of memory
   the next block comes to the second cache line by line, while this one is gone through: all lines at once, or lines for the
   first cache, are more than can be under way. */

/* How far ahead that is for each of n rows, step apart, in blocks of so many; 0 if all that they span may be in a cache. */
WIDE_INLINE ptrdiff_t ahead_of(int64_t rows, int64_t n, ptrdiff_t step)
{
    enum { IN_SECOND_CACHE = (1 << 20) / sizeof(real) };
    return n * (step < 0 ? -step : step) > IN_SECOND_CACHE ? rows * step : 0;
}

/* Brings the line near that is so many elements ahead of p, in the array or beyond its end. */
WIDE_INLINE void bring_line(const real *p, ptrdiff_t ahead)
{
    __builtin_prefetch((const void *)((uintptr_t)p + (uintptr_t)ahead * sizeof(real)), 0, 2);
}

/* The same of some vectors; none if ahead is 0. */
WIDE_INLINE void bring_near(const real *p, ptrdiff_t ahead, const int vectors)
{
    if (ahead)
        for (int i = 0; i < vectors * LANES; i += LINE) bring_line(p, ahead + i);
}
