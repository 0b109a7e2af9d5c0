/* Operations of your own, in C.

       static bool cube_forward(const tg_custom_call *c) { ... c->y.data[i] = x * x * x ... }
       static bool cube_backward(const tg_custom_call *c) { ... c->dx[0].data[i] += 3 * x * x * g ... }
       static bool cube_derivative(const tg_custom_derivation *d)
       {
           d->dx[0] = tg_mul(d->g, tg_mul(3, tg_square(d->x[0])));
           return true;
       }
       static const tg_custom cube = { .name = "cube", .operands = 1, .forward = cube_forward,
                                       .backward = cube_backward, .derivative = cube_derivative };
       tg_value y = tg_custom_apply(&cube, x);

   The gradient check of check.h checks it like any other model. An elementwise operation that can
   be said as an expression is less work: see TG_RULE in expr.h. */
#ifndef TAPEGRAD_CUSTOM_H
#define TAPEGRAD_CUSTOM_H

#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An array, row-major, elements adjacent. data points to double, float or int64_t, as type says;
   NULL where there is nothing: of shape's arrays. */
typedef struct tg_array {
    tg_type type;
    int rank;
    int64_t size; /* elements */
    const int64_t *dim;
    void *data;
} tg_array;

/* One call of forward, backward or tangent. Everything in it lives as long as the call. */
typedef struct tg_custom_call {
    int n;              /* operands */
    const tg_array *x;  /* read only */
    tg_array y;         /* the result; forward writes all of it */
    tg_array g;         /* backward: dL/dy, of y's shape */
    const tg_array *dx; /* backward: add dL/dx[i] to dx[i].data. tangent: dx[i].data is the direction
                           of x[i]. There is always room as for x[i]: */
    const bool *wanted; /* backward: where wanted[i] is false nobody reads dx[i], so that it need not
                           be computed. tangent: where it is false the direction is zero */
    const tg_array *dy; /* tangent: the derivative of y along dx is written here */
    void *user;         /* of the tg_custom */
    char *message;      /* for tg_custom_fail */
    size_t message_size;
} tg_custom_call;

/* One call of derivative (in programs, while one is compiled: then x, y and g have no values yet, and to
   read them is an error): set dx[i], for every operand with wanted[i], to dL/dx[i], recorded with
   operations of the library from x, y and g = dL/dy. What is not set is zero. */
typedef struct tg_custom_derivation {
    int n;
    const tg_value *x;
    tg_value y, g;
    const bool *wanted;
    tg_value *dx;
    void *user;
} tg_custom_derivation;

/* An operation. Must outlive the tapes that it is recorded on. Functions return false after
   tg_custom_fail; they must not use the tape that calls them (derivative records on it). */
typedef struct tg_custom {
    const char *name; /* for messages */
    int operands;     /* how many; 0: any number from 1 on */
    /* Fills rank and dim of the result (room for TG_MAX_RANK) from x[i].type, rank and dim. NULL:
       as the first operand. */
    bool (*shape)(const tg_custom_call *c, int *rank, int64_t *dim);
    bool (*forward)(const tg_custom_call *c);
    /* NULL: the operation has no gradient. It is called only with a g that is not all zero. */
    bool (*backward)(const tg_custom_call *c);
    /* The derivative by recorded operations, for tg_grad_values and everything made of it. NULL:
       differentiating it twice is an error that says so. */
    bool (*derivative)(const tg_custom_derivation *d);
    /* The derivative along a direction; lets tg_jvp work where derivative is NULL. May be NULL. */
    bool (*tangent)(const tg_custom_call *c);
    bool impure;     /* it reads or changes something else than its operands: never merged with
                            another call, left out or computed again */
    bool one_thread; /* must not run in two threads at once */
    void *user;
} tg_custom;

/* Records op on n operands, values of one tape; integers too. */
TG_API tg_value tg_custom_apply_at(const tg_custom *op, const tg_value *x, int n,
                                   const tg_site *site);

/* Leaves the reason, without the operation's name; returns false: return tg_custom_fail(c, "..."). */
__attribute__((format(printf, 2, 3))) TG_API bool tg_custom_fail(const tg_custom_call *c,
                                                                 const char *format, ...);

#ifdef __cplusplus
}
#endif
#endif
