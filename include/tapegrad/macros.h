/* How C programs call tape.h: the type of the data and the dimensions are read off the arguments, and the call's position
   is passed on.

       tg_value W = tg_param(tape, w0, 3, 2);       a parameter of shape (3, 2); w0: double *, float * or NULL (zeros)
       tg_value a = tg_param(tape, &a0);            no dimensions: a scalar
       tg_value x = tg_input(tape, x0, 64, 2);      data
       tg_value y = tg_index(tape, labels, 64);     integers of any type
       tg_value s = tg_scalar(tape, 0.5);           a scalar parameter by value
       tg_value W = tg_uniform(tape, seed, -1, 1, 3, 2);    random numbers of shape (3, 2)
       tg_set(x, x1, 64 * 2);                       other data for the same leaf
*/
#ifndef TAPEGRAD_MACROS_H
#define TAPEGRAD_MACROS_H

#include <tapegrad/custom.h>
#include <tapegrad/derivatives.h>
#include <tapegrad/inline.h>
#include <tapegrad/tape.h>

#ifndef __cplusplus

#define TG__DATA_TYPE(data)                                                                                   \
    _Generic((data), double *: TG_F64, const double *: TG_F64, float *: TG_F32, const float *: TG_F32,        \
        void *: TG_F64, const void *: TG_F64)
#define TG__INTEGER_BYTES(data)                                                                               \
    _Generic((data), signed char *: 1, const signed char *: 1, short *: 2, const short *: 2, int *: 4,       \
        const int *: 4, long *: sizeof(long), const long *: sizeof(long), long long *: 8,                    \
        const long long *: 8, unsigned char *: 1 + TG_UNSIGNED, const unsigned char *: 1 + TG_UNSIGNED,      \
        unsigned short *: 2 + TG_UNSIGNED, const unsigned short *: 2 + TG_UNSIGNED,                          \
        unsigned *: 4 + TG_UNSIGNED, const unsigned *: 4 + TG_UNSIGNED,                                      \
        unsigned long *: sizeof(long) + TG_UNSIGNED, const unsigned long *: sizeof(long) + TG_UNSIGNED,      \
        unsigned long long *: 8 + TG_UNSIGNED, const unsigned long long *: 8 + TG_UNSIGNED)

#define tg_param(tape, ...) TG__LEAF_CALL(tg_leaf_new, tape, TG_PARAMETER, __VA_ARGS__, 0)
#define tg_input(tape, ...) TG__LEAF_CALL(tg_leaf_new, tape, TG_INPUT, __VA_ARGS__, 0)
#define tg_constant(tape, ...) TG__LEAF_CALL(tg_leaf_new, tape, TG_CONSTANT, __VA_ARGS__, 0)
#define tg_param_view(tape, ...) TG__LEAF_CALL(tg_leaf_view, tape, TG_PARAMETER, __VA_ARGS__, 0)
#define tg_input_view(tape, ...) TG__LEAF_CALL(tg_leaf_view, tape, TG_INPUT, __VA_ARGS__, 0)
#define tg_constant_view(tape, ...) TG__LEAF_CALL(tg_leaf_view, tape, TG_CONSTANT, __VA_ARGS__, 0)
#define TG__LEAF_CALL(f, tape, kind, data, ...)                                                               \
    f(tape, kind, TG__DATA_TYPE(data), data, TG__COUNT(__VA_ARGS__), (const int64_t[]){ __VA_ARGS__ }, TG_HERE)

#define tg_index(tape, ...) TG__INDEX_CALL(tape, __VA_ARGS__, 0)
#define TG__INDEX_CALL(tape, data, ...)                                                                       \
    tg_index_new(tape, TG__INTEGER_BYTES(data), data, TG__COUNT(__VA_ARGS__), (const int64_t[]){ __VA_ARGS__ }, TG_HERE)

#define tg_scalar(tape, x) tg_scalar_new(tape, x, TG_HERE)
#define tg_number(tape, x) tg_number_new(tape, x, TG_HERE)

#define tg_full(tape, ...) TG__FULL_CALL(tape, __VA_ARGS__, 0)
#define tg_zeros(...) TG__FULL_VALUE_CALL(0.0, __VA_ARGS__, 0)
#define tg_ones(...) TG__FULL_VALUE_CALL(1.0, __VA_ARGS__, 0)
#define TG__FULL_VALUE_CALL(x, tape, ...) TG__FULL_CALL(tape, x, __VA_ARGS__)
#define TG__FULL_CALL(tape, x, ...) \
    tg_full_new(tape, x, TG__COUNT(__VA_ARGS__), (const int64_t[]){ __VA_ARGS__ }, TG_HERE)

#define tg_arange(tape, start, stop, step) tg_arange_new(tape, start, stop, step, TG_HERE)
#define tg_linspace(tape, start, stop, n) tg_linspace_new(tape, start, stop, n, TG_HERE)
#define tg_eye(...) TG__EYE(__VA_ARGS__, TG__EYE2, TG__EYE1, )(__VA_ARGS__) /* (tape, n) or (tape, n, m) */
#define TG__EYE(tape, n, m, f, ...) f
#define TG__EYE1(tape, n) TG__EYE_SQUARE(tape, n, __COUNTER__)
#define TG__EYE2(tape, n, m) tg_eye_new(tape, n, m, TG_HERE)
#define TG__EYE_SQUARE(tape, n, number) TG__EYE_SQUARE_(tape, n, number)
#define TG__EYE_SQUARE_(tape, n, number)                                                                      \
    __extension__({                                                                                           \
        const int64_t tg__n##number = (n);                                                                    \
        tg_eye_new(tape, tg__n##number, tg__n##number, TG_HERE);                                              \
    })

/* tg_uniform(tape, seed, lo, hi, dims...), tg_normal(tape, seed, mean, std, dims...), tg_bernoulli(tape, seed, p, dims...) */
#define tg_uniform(tape, seed, lo, ...) TG__RANDOM_CALL2(tg_uniform_new, tape, seed, lo, __VA_ARGS__, 0)
#define tg_normal(tape, seed, mean, ...) TG__RANDOM_CALL2(tg_normal_new, tape, seed, mean, __VA_ARGS__, 0)
#define tg_bernoulli(tape, seed, ...) TG__RANDOM_CALL1(tg_bernoulli_new, tape, seed, __VA_ARGS__, 0)
#define tg_permutation(tape, seed, n) tg_permutation_new(tape, seed, n, TG_HERE)
#define TG__RANDOM_CALL1(f, tape, seed, p, ...)                                                               \
    f(tape, seed, p, TG__COUNT(__VA_ARGS__), (const int64_t[]){ __VA_ARGS__ }, TG_HERE)
#define TG__RANDOM_CALL2(f, tape, seed, p, q, ...)                                                            \
    f(tape, seed, p, q, TG__COUNT(__VA_ARGS__), (const int64_t[]){ __VA_ARGS__ }, TG_HERE)

#define tg_set(leaf, data, n) tg_set_data(leaf, TG__ANY_TYPE(data), data, n, TG_HERE)
#define TG__ANY_TYPE(data)                                                                                    \
    _Generic((data), double *: TG_F64, const double *: TG_F64, float *: TG_F32, const float *: TG_F32,        \
        signed char *: TG__I8, const signed char *: TG__I8, short *: TG__I16, const short *: TG__I16,         \
        int *: TG__I32, const int *: TG__I32, long *: TG__LONG, const long *: TG__LONG,                       \
        long long *: TG_I64, const long long *: TG_I64, unsigned char *: TG__U8,                              \
        const unsigned char *: TG__U8, unsigned short *: TG__U16, const unsigned short *: TG__U16,            \
        unsigned *: TG__U32, const unsigned *: TG__U32, unsigned long *: TG__UNSIGNED_LONG,                   \
        const unsigned long *: TG__UNSIGNED_LONG, unsigned long long *: TG__U64,                              \
        const unsigned long long *: TG__U64)
#define TG__LONG (sizeof(long) == 8 ? TG_I64 : TG__I32)
#define TG__UNSIGNED_LONG (sizeof(long) == 8 ? TG__U64 : TG__U32)

/* Reading notes where it was done. */
#define tg_item(...) tg_item_at(__VA_ARGS__, TG_HERE)
#define tg_data(...) tg_data_at(__VA_ARGS__, TG_HERE)
#define tg_data_f32(...) tg_data_f32_at(__VA_ARGS__, TG_HERE)
#define tg_data_i64(...) tg_data_i64_at(__VA_ARGS__, TG_HERE)
#define tg_read(...) tg_read_at(__VA_ARGS__, TG_HERE)
#define tg_true(condition) tg_true_at(condition, TG_HERE)

#define tg_split_all(x, axis, parts, part) tg_split_all_at(x, axis, parts, part, TG_HERE)
#define tg_detach(value) tg_detach_at(value, TG_HERE)
#define tg_custom_apply(op, ...) tg_custom_apply_at(op, TG_VALUES(__VA_ARGS__), TG_HERE)
#define tg_grad_values(outputs, cotangents, n, wrt, m, gradients)                                             \
    tg_grad_values_at(outputs, cotangents, n, wrt, m, gradients, TG_HERE)
#define tg_jvp_values(outputs, n, wrt, tangents, m, directional)                                              \
    tg_jvp_values_at(outputs, n, wrt, tangents, m, directional, TG_HERE)

/* for (...) around a block: TG_NO_GRAD(tape) { ... }. Leave it at its end only, not by break, return or goto. */
#define TG_NO_GRAD(tape) TG__NO_GRAD(tape, __COUNTER__)
#define TG__NO_GRAD(tape, n) TG__NO_GRAD_(tape, n)
#define TG__NO_GRAD_(tape, n)                                                                                 \
    for (bool tg__once##n = (tg_no_grad_begin(tape), true); tg__once##n;                                      \
         tg__once##n = (tg_no_grad_end(tape), false))

#endif
#endif
