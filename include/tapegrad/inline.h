/* The part of a tape that the inlined scalar operations of ops.h work on, and the machinery of the operations' macros.
   Nothing here is for use by name; it is public because it is compiled into the user's program. */
#ifndef TAPEGRAD_INLINE_H
#define TAPEGRAD_INLINE_H

#include <tapegrad/attributes.h>
#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One recorded operation. For scalar maps y, a and b are ids; see src/tape/tape.h for the rest. */
typedef struct tg__instruction {
    uint16_t op;
    uint16_t flags;
    uint32_t y, a, b;
} tg__instruction;

/* From instruction first on, code came from this place: number of the file << 20 | line. */
typedef struct tg__run {
    uint32_t first;
    uint32_t place;
} tg__run;

/* The first member of every tape. */
typedef struct tg__head {
    double *values;
    tg__instruction *code;
    tg__run *runs;
    uint32_t n_values;
    uint32_t limit; /* scalar f64 operations may be appended while n_values < limit: 0 while anything is out of the way */
    uint32_t n_code;
    uint32_t generation;      /* of the newest segment */
    uint32_t base_generation; /* of the oldest */
    uint32_t n_runs;
    uint32_t runs_limit;
    uint32_t file_bits;
    int line; /* of the last run */
    const char *file;
} tg__head;

/* An operand that is a number, not yet a constant of a tape: the tape of its handle is TG__NUMBER, its other bytes are
   the number. That "tape" holds nothing, so that no handle on it looks alive. */
TG_API extern const tg__head tg__number_head;
#define TG__NUMBER ((tg_tape *)(uintptr_t)&tg__number_head)

static inline tg_value tg__of_number(double x)
{
    union { double x; uint32_t word[2]; } bits;
    bits.x = x;
    tg_value v = { TG__NUMBER, bits.word[0], bits.word[1] };
    return v;
}

static inline double tg__number_of(tg_value v)
{
    union { double x; uint32_t word[2]; } bits;
    bits.word[0] = v.id;
    bits.word[1] = v.generation;
    return bits.x;
}

#ifdef __cplusplus
}
#endif

#ifndef __cplusplus

static inline bool tg__live(const tg__head *h, tg_value v)
{
    return (v.generation == h->generation || v.generation == h->base_generation) && v.id < h->n_values;
}

/* Notes the position of the instruction that is appended next. False: the long way has to do it. */
static inline bool tg__place(tg__head *h, const tg_site *site)
{
    const char *file = site ? site->file : NULL;
    const int line = site ? site->line : 0;
    if (__builtin_expect(file != h->file, 0)) return false;
    if (line != h->line) {
        if (__builtin_expect(h->n_runs >= h->runs_limit || (uint32_t)line >> 20, 0)) return false;
        h->line = line;
        h->runs[h->n_runs++] = (tg__run){ h->n_code, h->file_bits | (uint32_t)line };
    }
    return true;
}

/* The tape, if an operation on these scalars can be appended here and now. */
static inline tg__head *tg__fast1(tg_value x, const tg_site *site)
{
    tg__head *h = (tg__head *)x.tape;
    if (__builtin_expect(!h, 0)) return NULL;
    if (__builtin_expect(!(tg__live(h, x) && h->n_values < h->limit), 0)) return NULL;
    return tg__place(h, site) ? h : NULL;
}

static inline tg__head *tg__fast2(tg_value a, tg_value b, const tg_site *site)
{
    tg__head *h = (tg__head *)a.tape;
    if (__builtin_expect(!h || a.tape != b.tape, 0)) return NULL;
    if (__builtin_expect(!(tg__live(h, a) && tg__live(h, b) && h->n_values < h->limit), 0)) return NULL;
    return tg__place(h, site) ? h : NULL;
}

static inline tg_value tg__append(tg__head *h, uint16_t op, uint32_t a, uint32_t b, double y)
{
    /* Without this gcc would fuse a product with a later sum where the machine can, and round otherwise than the library. */
#if defined(__x86_64__)
    __asm__("" : "+x"(y));
#elif defined(__aarch64__)
    __asm__("" : "+w"(y));
#endif
    const uint32_t id = h->n_values++;
    h->values[id] = y;
    h->code[h->n_code++] = (tg__instruction){ op, 0, id, a, b };
    return (tg_value){ (tg_tape *)h, id, h->generation };
}

static inline tg_value tg__of_value(tg_value v) { return v; }
static inline tg_value tg__of_double(double x) { return tg__of_number(x); }
static inline tg_value tg__of_long_double(long double x) { return tg__of_number((double)x); }
static inline tg_value tg__of_integer(long long x) { return tg__of_number((double)x); }
static inline tg_value tg__of_unsigned(unsigned long long x) { return tg__of_number((double)x); }

static inline const tg_list_attributes *tg__list(tg_list_attributes *list, int count, const int64_t *item)
{
    list->count = count;
    for (int i = 0; i < count && i < TG_MAX_RANK; i++) list->item[i] = item[i];
    return list;
}

/* ---- macros of ops.h: every operand is evaluated once, from left to right --------------------------------------------- */

#if !defined(TG_NO_INLINE)
#define TG__INLINE 1
#else
#define TG__INLINE 0
#endif

#define TG_HERE                                                             \
    __extension__({                                                         \
        static const tg_site tg__site = { __FILE__, __LINE__ };             \
        &tg__site;                                                          \
    })

/* A value of any operand. No default: a complex number or a pointer is a mistake. */
#define TG__V(x)                                                                                             \
    _Generic((x), tg_value: tg__of_value, double: tg__of_double, float: tg__of_double, long double: tg__of_long_double,         \
        _Bool: tg__of_integer, \
        char: tg__of_integer, signed char: tg__of_integer, short: tg__of_integer, int: tg__of_integer,        \
        long: tg__of_integer, long long: tg__of_integer, unsigned char: tg__of_unsigned,                      \
        unsigned short: tg__of_unsigned, unsigned: tg__of_unsigned, unsigned long: tg__of_unsigned,           \
        unsigned long long: tg__of_unsigned)(x)

#define TG__CALL1(f, a) TG__CALL1_(f, a, __COUNTER__)
#define TG__CALL1_(f, a, n) TG__CALL1__(f, a, n)
#define TG__CALL1__(f, a, n)                              \
    __extension__({                                       \
        __auto_type tg__a##n = (a);                       \
        f(TG__V(tg__a##n), TG_HERE);                      \
    })

#define TG__CALL2(f, a, b) TG__CALL2_(f, a, b, __COUNTER__)
#define TG__CALL2_(f, a, b, n) TG__CALL2__(f, a, b, n)
#define TG__CALL2__(f, a, b, n)                           \
    __extension__({                                       \
        __auto_type tg__a##n = (a);                       \
        __auto_type tg__b##n = (b);                       \
        f(TG__V(tg__a##n), TG__V(tg__b##n), TG_HERE);     \
    })

#define TG__CALL3(f, a, b, c) TG__CALL3_(f, a, b, c, __COUNTER__)
#define TG__CALL3_(f, a, b, c, n) TG__CALL3__(f, a, b, c, n)
#define TG__CALL3__(f, a, b, c, n)                                            \
    __extension__({                                                           \
        __auto_type tg__a##n = (a);                                           \
        __auto_type tg__b##n = (b);                                           \
        __auto_type tg__c##n = (c);                                           \
        f(TG__V(tg__a##n), TG__V(tg__b##n), TG__V(tg__c##n), TG_HERE);        \
    })

/* Attributes: the defaults first, then what the caller names. The compiler's warning about that is off inside. */
#if defined(__clang__)
#define TG__OVERRIDE_OFF _Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Winitializer-overrides\"")
#define TG__OVERRIDE_ON _Pragma("clang diagnostic pop")
#else
#define TG__OVERRIDE_OFF _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Woverride-init\"")
#define TG__OVERRIDE_ON _Pragma("GCC diagnostic pop")
#endif

/* sum(x, 1) would initialise whatever comes after the last default. (gcc folds a string's character only when it optimises.) */
#if defined(__clang__) || defined(__OPTIMIZE__)
__attribute__((error("attributes are named, as in sum(x, .axis = 1)"))) void tg__attributes_are_named(void);
#define TG__CHECK_NAMED(...) \
    if (TG__TEXT(__VA_ARGS__)[0] && TG__TEXT(__VA_ARGS__)[0] != '.') tg__attributes_are_named();
#define TG__TEXT(...) #__VA_ARGS__
#else
#define TG__CHECK_NAMED(...)
#endif

#define TG__ATTRIBUTES(kind, n, ...)                                                                    \
    TG__OVERRIDE_OFF const tg_##kind##_attributes tg__attributes##n = { TG_DEFAULTS_##kind, __VA_ARGS__ }; \
    TG__OVERRIDE_ON TG__CHECK_NAMED(__VA_ARGS__)

#define TG__ATTRIBUTES_CALL1(f, kind, a, ...) TG__ATTRIBUTES_CALL1_(f, kind, __COUNTER__, a, __VA_ARGS__)
#define TG__ATTRIBUTES_CALL1_(f, kind, n, a, ...) TG__ATTRIBUTES_CALL1__(f, kind, n, a, __VA_ARGS__)
#define TG__ATTRIBUTES_CALL1__(f, kind, n, a, ...)                                          \
    __extension__({                                                                         \
        __auto_type tg__a##n = (a);                                                         \
        TG__ATTRIBUTES(kind, n, __VA_ARGS__)                                                \
        f(TG__V(tg__a##n), &tg__attributes##n, TG_HERE);                                    \
    })

#define TG__ATTRIBUTES_CALL2(f, kind, a, b, ...) TG__ATTRIBUTES_CALL2_(f, kind, __COUNTER__, a, b, __VA_ARGS__)
#define TG__ATTRIBUTES_CALL2_(f, kind, n, a, b, ...) TG__ATTRIBUTES_CALL2__(f, kind, n, a, b, __VA_ARGS__)
#define TG__ATTRIBUTES_CALL2__(f, kind, n, a, b, ...)                                       \
    __extension__({                                                                         \
        __auto_type tg__a##n = (a);                                                         \
        __auto_type tg__b##n = (b);                                                         \
        TG__ATTRIBUTES(kind, n, __VA_ARGS__)                                                \
        f(TG__V(tg__a##n), TG__V(tg__b##n), &tg__attributes##n, TG_HERE);                   \
    })

#define TG__ATTRIBUTES_CALL3(f, kind, a, b, c, ...) TG__ATTRIBUTES_CALL3_(f, kind, __COUNTER__, a, b, c, __VA_ARGS__)
#define TG__ATTRIBUTES_CALL3_(f, kind, n, a, b, c, ...) TG__ATTRIBUTES_CALL3__(f, kind, n, a, b, c, __VA_ARGS__)
#define TG__ATTRIBUTES_CALL3__(f, kind, n, a, b, c, ...)                                    \
    __extension__({                                                                         \
        __auto_type tg__a##n = (a);                                                         \
        __auto_type tg__b##n = (b);                                                         \
        __auto_type tg__c##n = (c);                                                         \
        TG__ATTRIBUTES(kind, n, __VA_ARGS__)                                                \
        f(TG__V(tg__a##n), TG__V(tg__b##n), TG__V(tg__c##n), &tg__attributes##n, TG_HERE);  \
    })

/* Any number of operands: cat(TG_VALUES(a, b, c), .axis = 1). */
#define TG_VALUES(...) \
    ((const tg_value[]){ __VA_ARGS__ }), (int)(sizeof((const tg_value[]){ __VA_ARGS__ }) / sizeof(tg_value))
#define TG__VALUES_CALL(f, kind, values, count, ...) TG__VALUES_CALL_(f, kind, __COUNTER__, values, count, __VA_ARGS__)
#define TG__VALUES_CALL_(f, kind, n, values, count, ...) TG__VALUES_CALL__(f, kind, n, values, count, __VA_ARGS__)
#define TG__VALUES_CALL__(f, kind, n, values, count, ...)                                   \
    __extension__({                                                                         \
        TG__ATTRIBUTES(kind, n, __VA_ARGS__)                                                \
        f(values, count, &tg__attributes##n, TG_HERE);                                      \
    })

/* Any number of operands behind an equation: einsum("ij,jk->ik", a, b). What is too long loses its final 0. */
static inline const tg_einsum_attributes *tg__equation(tg_einsum_attributes *a, const char *text)
{
    int n = 0;
    while (n < TG_EQUATION && text[n]) n++;
    for (int i = 0; i < TG_EQUATION; i++) a->equation[i] = i < n ? text[i] : 0;
    return a;
}
#define TG__EQUATION_CALL(f, text, ...) \
    f(TG_VALUES(__VA_ARGS__), tg__equation(&(tg_einsum_attributes){ TG_DEFAULTS_einsum }, text), TG_HERE)

/* Sizes or positions behind the operand: reshape(x, 3, 2). */
#define TG__COUNT(...) ((int)(sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)) - 1)
#define TG__LIST_CALL(f, a, ...) TG__LIST_CALL_(f, __COUNTER__, a, __VA_ARGS__)
#define TG__LIST_CALL_(f, n, a, ...) TG__LIST_CALL__(f, n, a, __VA_ARGS__)
#define TG__LIST_CALL__(f, n, a, ...)                                                                        \
    __extension__({                                                                                          \
        __auto_type tg__a##n = (a);                                                                          \
        tg_list_attributes tg__list##n;                                                                      \
        f(TG__V(tg__a##n), tg__list(&tg__list##n, TG__COUNT(__VA_ARGS__), (const int64_t[]){ __VA_ARGS__ }), \
          TG_HERE);                                                                                          \
    })

/* Short names that libm has too: values go to the tape, numbers to libm. */
#define TG__SHORT1(f, libm, a) TG__SHORT1_(f, libm, a, __COUNTER__)
#define TG__SHORT1_(f, libm, a, n) TG__SHORT1__(f, libm, a, n)
#define TG__SHORT1__(f, libm, a, n)                                                     \
    __extension__({                                                                     \
        __auto_type tg__a##n = (a);                                                     \
        _Generic(tg__a##n, tg_value: f, default: libm)(TG__V(tg__a##n), TG_HERE);       \
    })

#define TG__SHORT2(f, libm, a, b) TG__SHORT2_(f, libm, a, b, __COUNTER__)
#define TG__SHORT2_(f, libm, a, b, n) TG__SHORT2__(f, libm, a, b, n)
#define TG__SHORT2__(f, libm, a, b, n)                                                                       \
    __extension__({                                                                                          \
        __auto_type tg__a##n = (a);                                                                          \
        __auto_type tg__b##n = (b);                                                                          \
        _Generic(tg__a##n, tg_value: f, default: _Generic(tg__b##n, tg_value: f, default: libm))(            \
            TG__V(tg__a##n), TG__V(tg__b##n), TG_HERE);                                                      \
    })

#define TG__SHORT3(f, libm, a, b, c) TG__SHORT3_(f, libm, a, b, c, __COUNTER__)
#define TG__SHORT3_(f, libm, a, b, c, n) TG__SHORT3__(f, libm, a, b, c, n)
#define TG__SHORT3__(f, libm, a, b, c, n)                                                                      \
    __extension__({                                                                                            \
        __auto_type tg__a##n = (a);                                                                            \
        __auto_type tg__b##n = (b);                                                                            \
        __auto_type tg__c##n = (c);                                                                            \
        _Generic(tg__a##n, tg_value: f,                                                                        \
            default: _Generic(tg__b##n, tg_value: f, default: _Generic(tg__c##n, tg_value: f, default: libm)))( \
            TG__V(tg__a##n), TG__V(tg__b##n), TG__V(tg__c##n), TG_HERE);                                       \
    })

#endif
#endif
