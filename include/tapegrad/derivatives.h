/* Beyond tg_backward: gradients that are values themselves, directions and cotangents, Jacobians,
   Hessians.

       tg_value g;                                               gradient penalty:
       tg_grad_values(&loss, NULL, 1, &x, 1, &g);                g = dloss/dx, recorded
       tg_value penalty = tg_sum(tg_square(g));                  differentiable again
       tg_backward(tg_add(loss, penalty));

   In the functions that give numbers, y is one value and the m values wrt are seen as one vector of
   N elements, the first value's first, each row-major; y has M elements. They leave nothing behind
   on the tape, but the gradients of an earlier tg_backward are gone. Every one returns false after
   an error, which is on the tape, and then has written nothing that means anything. Those of several
   cotangents or directions walk the tape once for every 16 of them, and only what leads to y from
   wrt: one call for all is faster than a call for each, and rounds like it but where a matrix product
   takes all of them at once.

   In C, tg_grad_values and tg_jvp_values are macros (macros.h) that pass the position of the call. A
   tape is used by one thread at a time. */
#ifndef TAPEGRAD_DERIVATIVES_H
#define TAPEGRAD_DERIVATIVES_H

#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Records the gradient of sum_i <cotangents[i], outputs[i]> with respect to each of the m values
   wrt: gradients[j] has wrt[j]'s shape and is a value like any other, which can be differentiated
   again, to any order. (tg_backward computes the same numbers faster, and records nothing.)
   cotangents NULL: ones, for outputs of one element. wrt may be any values with a history, not only
   leaves. A gradient that does not depend on anything is a constant; zeros where no output depends
   on wrt[j]. Inside TG_NO_GRAD what is recorded has no history itself. */
TG_API bool tg_grad_values_at(const tg_value *outputs, const tg_value *cotangents, int n,
                              const tg_value *wrt, int m, tg_value *gradients, const tg_site *site);

/* Records the directional derivative of each of the n outputs along tangents, one for each of the m
   values wrt and of its shape (forward mode): directional[i] = sum_j d outputs[i] / d wrt[j] *
   tangents[j], a value like any other. Made by transposing the gradient, which is linear in its
   cotangents. */
TG_API bool tg_jvp_values_at(const tg_value *outputs, int n, const tg_value *wrt,
                             const tg_value *tangents, int m, tg_value *directional,
                             const tg_site *site);

/* out, k x N: the products of k cotangents (k x M) with the Jacobian of y. */
TG_API bool tg_vjp(tg_value y, const tg_value *wrt, int m, const double *cotangents, size_t k,
                   double *out);

/* out, k x M: the products of the Jacobian of y with k directions (k x N). */
TG_API bool tg_jvp(tg_value y, const tg_value *wrt, int m, const double *directions, size_t k,
                   double *out);

/* out, M x N, row-major: the Jacobian of y. By rows (reverse) where M <= N, else by columns
   (forward). */
TG_API bool tg_jacobian(tg_value y, const tg_value *wrt, int m, double *out);

/* out, N x N: the Hessian of y, which has one element. */
TG_API bool tg_hessian(tg_value y, const tg_value *wrt, int m, double *out);

/* out, k x N: the products of the Hessian of y, which has one element, with k directions (k x N);
   the Hessian itself is not formed. */
TG_API bool tg_hvp(tg_value y, const tg_value *wrt, int m, const double *directions, size_t k,
                   double *out);

#ifdef __cplusplus
}
#endif
#endif
