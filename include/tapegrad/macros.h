/* How C programs call tape.h: the type of the data and the dimensions are read off the arguments, and the call's position
   is passed on.

       tg_value W = tg_param(tape, w0, 3, 2);       a parameter of shape (3, 2); w0: double *, float * or NULL (zeros)
       tg_value a = tg_param(tape, &a0);            no dimensions: a scalar
       tg_value x = tg_input(tape, x0, 64, 2);      data
       tg_value y = tg_index(tape, labels, 64);     integers: int, long or long long (4 or 8 bytes, signed)
       tg_value s = tg_scalar(tape, 0.5);           a scalar parameter by value
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
    _Generic((data), int *: sizeof(int), const int *: sizeof(int), long *: sizeof(long),                      \
        const long *: sizeof(long), long long *: sizeof(long long), const long long *: sizeof(long long))

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

#define tg_set(leaf, data, n)                                                                                 \
    tg_set_data(leaf,                                                                                         \
                _Generic((data), double *: TG_F64, const double *: TG_F64, float *: TG_F32,                   \
                    const float *: TG_F32, int *: TG__I32, const int *: TG__I32, long *: TG_I64,              \
                    const long *: TG_I64, long long *: TG_I64, const long long *: TG_I64),                    \
                data, n, TG_HERE)

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
