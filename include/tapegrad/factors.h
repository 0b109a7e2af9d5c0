/* Factorisations with several results. Leading axes of x are a batch. Each function sets what the
   pointers name, of which any may be NULL; false after an error, and then they are null values. All
   results are differentiable, to any order, and none costs anything if it is not used.

       tg_value q, r, w, v;
       tg_qr(x, &q, &r);          x = q r
       tg_eigh(x, &w, &v);        x = v diag(w) v'

   In the op table (tg_apply) they are operations with one result: the parts in the order named
   here, each row-major, one behind the other along one axis that follows the batch axes. docs/ops.md
   has the conventions for equal eigenvalues and dependent columns. */
#ifndef TAPEGRAD_FACTORS_H
#define TAPEGRAD_FACTORS_H

#include <tapegrad/inline.h>
#include <tapegrad/value.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Reduced QR of x (..., m, n), with k = min(m, n): q (..., m, k) has orthonormal columns, r (..., k,
   n) is upper triangular with a diagonal that is not negative. */
TG_API bool tg_qr_at(tg_value x, tg_value *q, tg_value *r, const tg_site *site);

/* Eigenvalues w (..., n), rising, and eigenvectors in the columns of v (..., n, n), of the symmetric
   part (x + x') / 2 of x (..., n, n). */
TG_API bool tg_eigh_at(tg_value x, tg_value *w, tg_value *v, const tg_site *site);

/* Reduced singular value decomposition x = u diag(s) v of x (..., m, n): u (..., m, k) has
   orthonormal columns, v (..., k, n) orthonormal rows, s (..., k) falls. */
TG_API bool tg_svd_at(tg_value x, tg_value *u, tg_value *s, tg_value *v, const tg_site *site);

#ifdef __cplusplus
}
#else
#define tg_qr(x, q, r) tg_qr_at(x, q, r, TG_HERE)
#define tg_eigh(x, w, v) tg_eigh_at(x, w, v, TG_HERE)
#define tg_svd(x, u, s, v) tg_svd_at(x, u, s, v, TG_HERE)
#endif
#endif
