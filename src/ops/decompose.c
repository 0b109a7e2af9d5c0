/* Linear algebra that factorises: inverse, determinants, Cholesky, linear systems, QR, eigenvalues,
   singular values. Leading axes are a batch; each matrix of it is brought into row-major f64, where
   dense.h works, and back. Gradients are those of Giles (2008), Collected matrix derivative results
   for forward and reverse mode algorithmic differentiation, where no other source is named.

   qr, eigh and svd have several results, which lie packed along one axis behind the batch axes;
   their public functions (tape/factors.c) return views of them. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "ops/dense.h"

/* ---- batches --------------------------------------------------------------------------------- */

/* Row-major a = P L U. */
typedef struct factors {
    tg__dense lu;
    int64_t *swap, zero; /* the first pivot that is 0, or -1 */
} factors;

/* A call, matrix by matrix. */
typedef struct batch {
    const tg__call *c;
    tg__desk d;
    tg__shape axes;     /* of the batch */
    int64_t i;          /* which matrix: row-major in axes */
    size_t begin, used; /* of the memory: what lies behind used lives for one matrix */
    factors system;     /* see system_of */
    const void *system_at;
} batch;

typedef tg_code item(batch *b);

static tg__shape leading(const tg__shape *x, int inner)
{
    tg__shape s = { .type = x->type, .rank = x->rank - inner };
    for (int i = 0; i < s.rank; i++) s.dim[i] = x->dim[i];
    tg__shape_finish(&s);
    return s;
}

/* Does the item for each position of the batch axes: the result's without the last inner ones. */
static tg_code each(const tg__call *c, int inner, item *f)
{
    batch b = { .c = c,
                .d = { .memory = c->scratch, .k = tg__kernels_for(TG_F64) },
                .axes = leading(c->y.s, inner),
                .begin = c->scratch->used,
                .used = c->scratch->used };
    for (; b.i < b.axes.n; b.i++) {
        const tg_code code = f(&b);
        if (b.d.failed) return TG_ERROR_MEMORY;
        if (code) return code;
        c->scratch->used = b.used;
    }
    return TG_OK;
}

/* The elements of x that belong to the present position; its last inner axes are none of the
   batch's. */
static void *here(const batch *b, tg__array x, int inner)
{
    ptrdiff_t at = 0;
    int64_t i = b->i;
    for (int axis = 1; axis <= b->axes.rank; axis++) {
        const int64_t dim = b->axes.dim[b->axes.rank - axis];
        const int j = x.s->rank - inner - axis;
        if (j >= 0 && x.s->dim[j] != 1) at += i % dim * x.s->stride[j];
        i /= dim;
    }
    return (char *)x.p + at * (ptrdiff_t)tg__type_size(x.s->type);
}

/* A matrix of either type in memory. */
typedef struct place {
    tg_type type;
    void *p;
    int64_t m, n;
    ptrdiff_t row, column;
} place;

static place matrix_at(const batch *b, tg__array x)
{
    const int r = x.s->rank;
    return (place){ x.s->type,       here(b, x, 2),      x.s->dim[r - 2],
                    x.s->dim[r - 1], x.s->stride[r - 2], x.s->stride[r - 1] };
}

/* Part of the present row of a result or gradient that is packed: from element `from` on. */
static place packed_at(const batch *b, const void *p, int64_t from, int64_t m, int64_t n)
{
    const tg__array all = { b->c->y.s, (void *)(uintptr_t)p };
    char *const row = here(b, all, 1);
    const tg_type type = all.s->type;
    return (place){ type, row + (size_t)from * tg__type_size(type), m, n, n, 1 };
}

static tg__dense turned(tg__dense x)
{
    return tg__dense_turned(x);
}

static tg__matrix matrix_of(place x)
{
    return (tg__matrix){ x.p, x.row, x.column };
}

static tg__dense load(batch *b, place x)
{
    const tg__dense y = tg__dense_new(&b->d, x.m, x.n);
    if (!b->d.failed) b->c->k->dense.load(x.m, x.n, y.p, matrix_of(x));
    return y;
}

/* x as seen by kernels, which take adjacent rows: itself, or its transpose, and y's then too. */
static place facing(place y, tg__dense *x)
{
    if (x->column == 1) return y;
    *x = turned(*x);
    return (place){ y.type, y.p, y.n, y.m, y.column, y.row };
}

static void set(const batch *b, place y, tg__dense x)
{
    if (b->d.failed) return;
    y = facing(y, &x);
    b->c->k->dense.store(y.m, y.n, matrix_of(y), x.p, x.row);
}

/* y += scale x. */
static void add(const batch *b, place y, tg__dense x, double scale)
{
    if (b->d.failed) return;
    y = facing(y, &x);
    b->c->k->dense.add(y.m, y.n, matrix_of(y), x.p, x.row, scale);
}

static tg__array incoming(const batch *b)
{
    return (tg__array){ b->c->y.s, (void *)(uintptr_t)b->c->g };
}

static tg__dense operand(batch *b, int i)
{
    return load(b, matrix_at(b, b->c->x[i]));
}

/* The same to be read only: itself where that can be. */
static tg__dense seen(batch *b, place x)
{
    return x.type == TG_F64 ? (tg__dense){ x.m, x.n, x.p, x.row, x.column } : load(b, x);
}

static void set_result(const batch *b, tg__dense y)
{
    set(b, matrix_at(b, b->c->y), y);
}

static void add_gradient(const batch *b, tg__dense dx, double scale)
{
    add(b, matrix_at(b, b->c->dx[0]), dx, scale);
}

/* A result, or a gradient of one, with one number for each matrix. */
static place number_at(const batch *b, const void *p)
{
    const tg__array all = { b->c->y.s, (void *)(uintptr_t)p };
    return (place){ all.s->type, here(b, all, 0), 1, 1, 1, 1 };
}

static double number_of(const batch *b, const void *p)
{
    const place x = number_at(b, p);
    return x.type == TG_F32 ? (double)*(const float *)x.p : *(const double *)x.p;
}

static void set_number(const batch *b, double y)
{
    set(b, number_at(b, b->c->y.p), (tg__dense){ 1, 1, &y, 1, 1 });
}

/* "the matrix", or "matrix (1, 0)" of a batch. */
static const char *which(const batch *b, char *text, size_t size)
{
    tg__shape at = { .rank = b->axes.rank };
    int64_t i = b->i;
    for (int axis = at.rank - 1; axis >= 0; axis--) {
        at.dim[axis] = i % b->axes.dim[axis];
        i /= b->axes.dim[axis];
    }
    const char *const name = "matrix ";
    if (at.rank == 0 || size <= strlen(name)) return "the matrix";
    memcpy(text, name, strlen(name) + 1);
    tg__shape_text(&at, text + strlen(name), size - strlen(name));
    return text;
}
#define WHICH(b) which(b, (char[TG_MAX_RANK * 22 + 16]){ 0 }, TG_MAX_RANK * 22 + 16)

static tg_code singular(const batch *b, int64_t pivot)
{
    return tg__fail(b->c, TG_ERROR_ARGUMENT, "%s is singular: pivot %lld is 0", WHICH(b),
                    (long long)pivot);
}

/* ---- sums, products -------------------------------------------------------------------------- */

static tg__dense product(batch *b, tg__dense x, tg__dense y)
{
    const tg__dense z = tg__dense_new(&b->d, x.m, y.n);
    tg__dense_product(&b->d, z, x, y);
    return z;
}

static tg__dense copy_of(batch *b, tg__dense x)
{
    const tg__dense y = tg__dense_new(&b->d, x.m, x.n);
    tg__dense_copy(&b->d, y, x);
    return y;
}

/* y = a y + b x. */
static void combine(const batch *b, double a, tg__dense y, double by, tg__dense x)
{
    for (int64_t i = 0; !b->d.failed && i < y.m; i++)
        for (int64_t j = 0; j < y.n; j++)
            *tg__dense_at(y, i, j) = a * *tg__dense_at(y, i, j) + by * *tg__dense_at(x, i, j);
}

/* Makes x (x + x') / 2. */
static void symmetrise(const batch *b, tg__dense x)
{
    for (int64_t i = 0; !b->d.failed && i < x.m; i++)
        for (int64_t j = 0; j < i; j++)
            *tg__dense_at(x, i, j) = *tg__dense_at(x, j, i) =
                *tg__dense_at(x, i, j) / 2 + *tg__dense_at(x, j, i) / 2;
}

static factors factorise(batch *b, tg__dense a)
{
    factors f = { a, tg__scratch(b->c, ((size_t)a.n + 1) * sizeof *f.swap), -1 };
    if (!f.swap) b->d.failed = true;
    else f.zero = tg__dense_lu(&b->d, a, f.swap);
    return f;
}

static tg__dense inverse_of(batch *b, const factors *f)
{
    const tg__dense y = tg__dense_new(&b->d, f->lu.n, f->lu.n);
    tg__dense_identity(&b->d, y);
    tg__dense_lu_solve(&b->d, f->lu, f->swap, y);
    return y;
}

static double sign_of(const factors *f)
{
    double sign = 1;
    for (int64_t i = 0; i < f->lu.n; i++) {
        if (f->swap[i] != i) sign = -sign;
        if (*tg__dense_at(f->lu, i, i) < 0) sign = -sign;
    }
    return sign;
}

static double determinant(const factors *f)
{
    double det = 1;
    for (int64_t i = 0; i < f->lu.n; i++) {
        const double pivot = *tg__dense_at(f->lu, i, i);
        det *= f->swap[i] == i ? pivot : -pivot;
    }
    return det;
}

/* ---- derivatives as operations --------------------------------------------------------------- */

static tg_value t(const tg__derivation *d, tg_value x)
{
    return d_transpose(d, x, ATTRIBUTES(swap, .axis0 = -2));
}

static tg_value as_row(const tg__derivation *d, tg_value x)
{
    return d_unsqueeze(d, x, ATTRIBUTES(axis, .axis = -2));
}

static tg_value as_column(const tg__derivation *d, tg_value x)
{
    return d_unsqueeze(d, x, ATTRIBUTES(axis, .axis = -1));
}

/* One number for each matrix, as a matrix of one element. */
static tg_value as_factor(const tg__derivation *d, tg_value x)
{
    return as_row(d, as_column(d, x));
}

static tg_value number(const tg__derivation *d, double x)
{
    return d->to->number(x);
}

/* 1 / x, and 0 where x is 0. */
static tg_value guarded_reciprocal(const tg__derivation *d, tg_value x)
{
    const tg_value zero = d_eq(d, x, number(d, 0));
    const tg_value safe = d_where(d, zero, number(d, 1), x);
    return d_where(d, zero, number(d, 0), d_reciprocal(d, safe));
}

/* The matrices or vectors (inner axes m, n; n < 0: m alone) that begin at element `from` of packed
   x. */
static tg_value unpacked(const tg__derivation *d, tg_value x, int64_t from, int64_t m, int64_t n)
{
    const tg__shape s = *tg__shape_of(d, x);
    const int r = s.rank - 1;
    tg_value y = d_slice(
        d, x, ATTRIBUTES(slice, .axis = -1, .start = from, .stop = from + m * (n < 0 ? 1 : n)));
    if (n < 0) return y;
    tg__shape to = s;
    to.dim[r] = m;
    to.dim[r + 1] = n;
    return tg__reshaped(d, y, r + 2, to.dim);
}

/* ---- shapes ---------------------------------------------------------------------------------- */

static tg_code check_matrices(const tg__call *c)
{
    const tg__shape *const x = c->x[0].s;
    if (x->rank >= 2) return TG_OK;
    return tg__fail(c, TG_ERROR_SHAPE, "shape %s has no two axes", TG__SHAPE_TEXT(x));
}

static tg_code check_square(const tg__call *c)
{
    const tg__shape *const x = c->x[0].s;
    const tg_code code = check_matrices(c);
    if (code || x->dim[x->rank - 2] == x->dim[x->rank - 1]) return code;
    return tg__fail(c, TG_ERROR_SHAPE, "shape %s holds no square matrices: %lld rows, %lld columns",
                    TG__SHAPE_TEXT(x), (long long)x->dim[x->rank - 2],
                    (long long)x->dim[x->rank - 1]);
}

static tg_code square_shape(const tg__call *c, tg__shape *y)
{
    tg__shape_copy(y, c->x[0].s);
    return check_square(c);
}

/* One number for each matrix. */
static tg_code number_shape(const tg__call *c, tg__shape *y)
{
    const tg_code code = check_square(c);
    if (!code) *y = leading(c->x[0].s, 2);
    return code;
}

#define MATRICES(LO, HI, DIAGONAL, ...)                                                            \
    {                                                                                              \
        .lo = (LO), .hi = (HI), .diagonal = (DIAGONAL),                                            \
        .rank = (int)(sizeof((const int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), .dim = {        \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
#define SQUARES(LO, HI, DIAGONAL)                                                                  \
    { .n = 1, .x = { MATRICES(LO, HI, DIAGONAL, 3, 3) } },                                         \
        { .n = 1, .x = { MATRICES(LO, HI, DIAGONAL, 1, 1) } },                                     \
        { .n = 1, .x = { MATRICES(LO, HI, DIAGONAL, 2, 1, 2, 2) } },                               \
        { .n = 1, .x = { MATRICES(LO, HI, DIAGONAL, 0, 0) } },                                     \
    {                                                                                              \
        .n = 1, .x = { MATRICES(LO, HI, DIAGONAL, 0, 2, 2) }                                       \
    }

/* ---- inverse --------------------------------------------------------------------------------- */

/* Corner: a singular matrix (a pivot of exactly 0) is an error that names matrix and pivot. */
TG_OP(inverse, "n", none, "inverse of square matrices, (..., n, n)")

SHAPE(inverse)
{
    return square_shape(c, y);
}

static tg_code inverse_item(batch *b)
{
    const factors f = factorise(b, operand(b, 0));
    if (f.zero >= 0) return singular(b, f.zero);
    set_result(b, inverse_of(b, &f));
    return TG_OK;
}

FORWARD(inverse)
{
    return each(c, 2, inverse_item);
}

/* dx = -y' g y'. */
static tg_code inverse_gradient(batch *b)
{
    const tg__dense y = load(b, matrix_at(b, b->c->y)), g = load(b, matrix_at(b, incoming(b)));
    const tg__dense dx = product(b, turned(y), product(b, g, turned(y)));
    add_gradient(b, dx, -1);
    return TG_OK;
}

BACKWARD(inverse)
{
    return each(c, 2, inverse_gradient);
}

DERIVATIVE(inverse)
{
    const tg_value yt = t(d, d->y);
    d->dx[0] = d_neg(d, d_matmul(d, yt, d_matmul(d, d->g, yt)));
}

CASES(inverse, SQUARES(-1, 1, 3))

TG_PART(inverse_or_nan, "n", none, "the inverse, and NaN where there is none")

SHAPE(inverse_or_nan)
{
    return square_shape(c, y);
}

static tg_code inverse_or_nan_item(batch *b)
{
    const factors f = factorise(b, operand(b, 0));
    const tg__dense y = inverse_of(b, &f);
    if (f.zero >= 0) tg__dense_fill(&b->d, y, NAN);
    set_result(b, y);
    return TG_OK;
}

FORWARD(inverse_or_nan)
{
    return each(c, 2, inverse_or_nan_item);
}

BACKWARD(inverse_or_nan)
{
    return each(c, 2, inverse_gradient);
}

DERIVATIVE(inverse_or_nan)
{
    inverse_derive(d);
}

CASES(inverse_or_nan, SQUARES(-1, 1, 3))

/* ---- determinants ---------------------------------------------------------------------------- */

/* The cofactors of the present operand, but for a factor scale: the derivative of its determinant, det(a) a^-1' where
   there is an inverse. (That this is accurate however close a is to singular, and what holds if it is: Stewart
   (1998), On the adjugate matrix.) With a = u s v, they are det(u) det(v) u c v, where c[i] is the
   product of all s but s[i]. */
static tg__dense cofactors(batch *b, double *scale)
{
    tg__dense a = operand(b, 0);
    const int64_t n = a.n;
    const factors f = factorise(b, a);
    *scale = 1;
    if (b->d.failed) return a;
    if (n == 1) {
        tg__dense_identity(&b->d, a);
        return a;
    }
    if (f.zero < 0) {
        *scale = determinant(&f);
        return turned(inverse_of(b, &f));
    }
    a = operand(b, 0);
    const tg__dense u = tg__dense_new(&b->d, n, n), s = tg__dense_new(&b->d, n, 1),
                    v = tg__dense_new(&b->d, n, n);
    tg__dense_svd(&b->d, a, DBL_EPSILON, u, s.p, v);
    const factors fu = factorise(b, copy_of(b, u)), fv = factorise(b, copy_of(b, v));
    if (b->d.failed) return a;
    const double sign = sign_of(&fu) * sign_of(&fv);
    for (int64_t i = 0; i < n; i++) {
        double others = sign;
        for (int64_t j = 0; j < n; j++)
            if (j != i) others *= s.p[j];
        for (int64_t j = 0; j < n; j++) *tg__dense_at(v, i, j) *= others;
    }
    return product(b, u, v);
}

/* Corner: of a singular matrix 0, with the cofactors as gradient; further derivatives are NaN
   there. */
TG_OP(det, "n", none, "determinant of square matrices, (..., n, n) -> (...)")

SHAPE(det)
{
    return number_shape(c, y);
}

static tg_code det_item(batch *b)
{
    const factors f = factorise(b, operand(b, 0));
    if (!b->d.failed) set_number(b, f.zero < 0 ? determinant(&f) : 0);
    return TG_OK;
}

FORWARD(det)
{
    return each(c, 0, det_item);
}

static tg_code det_gradient(batch *b)
{
    const double g = number_of(b, b->c->g);
    if (g == 0) return TG_OK;
    double scale;
    const tg__dense y = cofactors(b, &scale);
    add_gradient(b, y, g * scale);
    return TG_OK;
}

BACKWARD(det)
{
    return each(c, 0, det_gradient);
}

DERIVATIVE(det)
{
    d->dx[0] = d_mul(d, as_factor(d, d->g), d_cofactor(d, d->x[0]));
}

CASES(det, SQUARES(-2, 2, 0))

TG_PART(cofactor, "n", none, "cofactors of square matrices, (..., n, n)")

SHAPE(cofactor)
{
    return square_shape(c, y);
}

static tg_code cofactor_item(batch *b)
{
    double scale;
    const tg__dense y = cofactors(b, &scale);
    combine(b, scale, y, 0, y);
    set_result(b, y);
    return TG_OK;
}

FORWARD(cofactor)
{
    return each(c, 2, cofactor_item);
}

/* From y = det(x) x^-1': dx = (<g, y> y - y g' y) / det(x); NaN for singular x. */
static tg_code cofactor_gradient(batch *b)
{
    const tg__dense y = load(b, matrix_at(b, b->c->y)), g = load(b, matrix_at(b, incoming(b)));
    const factors f = factorise(b, operand(b, 0));
    const tg__dense dx = product(b, y, product(b, turned(g), y));
    double inner = 0;
    if (b->d.failed) return TG_OK;
    for (int64_t i = 0; i < y.m * y.n; i++) inner += y.p[i] * g.p[i];
    const double det = f.zero < 0 ? determinant(&f) : 0;
    combine(b, -1, dx, inner, y);
    combine(b, 1 / det, dx, 0, y);
    add_gradient(b, dx, 1);
    return TG_OK;
}

BACKWARD(cofactor)
{
    return each(c, 2, cofactor_gradient);
}

DERIVATIVE(cofactor)
{
    const tg_reduce_attributes *const both =
        ATTRIBUTES(reduce, .axes = { 2, { -2, -1 } }, .keep = true);
    const tg_value y = d->y, inner = d_sum(d, d_mul(d, d->g, y), both);
    const tg_value rest = d_matmul(d, y, d_matmul(d, t(d, d->g), y));
    d->dx[0] = d_div(d, d_sub(d, d_mul(d, inner, y), rest), as_factor(d, d_det(d, d->x[0])));
}

CASES(cofactor, SQUARES(-1, 1, 3))

/* Corner: a negative determinant gives NaN, a singular matrix -inf; the gradient is NaN for both.
   */
TG_OP(
    logdet, "n", none,
    "logarithm of the determinant of square matrices, (..., n, n) -> (...); NaN for a negative one")

SHAPE(logdet)
{
    return number_shape(c, y);
}

static tg_code logdet_item(batch *b)
{
    const factors f = factorise(b, operand(b, 0));
    if (b->d.failed) return TG_OK;
    double sum = f.zero < 0 && sign_of(&f) < 0 ? NAN : 0;
    for (int64_t i = 0; i < f.lu.n; i++) sum += log(fabs(*tg__dense_at(f.lu, i, i)));
    set_number(b, f.zero < 0 ? sum : -INFINITY);
    return TG_OK;
}

FORWARD(logdet)
{
    return each(c, 0, logdet_item);
}

/* dx = g x^-1'; NaN where the value is -inf or NaN. */
static tg_code logdet_gradient(batch *b)
{
    const double g = number_of(b, b->c->g);
    if (g == 0) return TG_OK;
    const factors f = factorise(b, operand(b, 0));
    const tg__dense y = inverse_of(b, &f);
    if (!isfinite(number_of(b, b->c->y.p))) tg__dense_fill(&b->d, y, NAN);
    add_gradient(b, turned(y), g);
    return TG_OK;
}

BACKWARD(logdet)
{
    return each(c, 0, logdet_gradient);
}

DERIVATIVE(logdet)
{
    const tg_value defined = d_add(d, d_mul(d, d->y, number(d, 0)), number(d, 1));
    const tg_value g = as_factor(d, d_times(d, d->g, defined));
    d->dx[0] = d_mul(d, g, t(d, d_inverse_or_nan(d, d->x[0])));
}

CASES(logdet, SQUARES(-1, 1, 3))

/* ---- Cholesky -------------------------------------------------------------------------------- */

/* Corner: a matrix that is not positive definite is an error that names matrix and pivot. */
TG_OP(cholesky, "n", none,
      "lower triangular L with L L' = (x + x') / 2 for positive definite matrices, (..., n, n)")

SHAPE(cholesky)
{
    return square_shape(c, y);
}

static tg_code cholesky_item(batch *b)
{
    const tg__dense a = operand(b, 0);
    symmetrise(b, a);
    const int64_t bad = tg__dense_cholesky(&b->d, a);
    if (bad >= 0)
        return tg__fail(b->c, TG_ERROR_ARGUMENT, "%s is not positive definite: pivot %lld is %g",
                        WHICH(b), (long long)bad, *tg__dense_at(a, bad, bad));
    for (int64_t i = 0; !b->d.failed && i < a.m; i++)
        for (int64_t j = 0; j < i; j++) *tg__dense_at(a, i, j) = 0;
    set_result(b, turned(a));
    return TG_OK;
}

FORWARD(cholesky)
{
    return each(c, 2, cholesky_item);
}

/* Murray (2016), Differentiation of the Cholesky decomposition: dx is the symmetric part of L'^-1 P
   L^-1, where P is the lower triangle of L' g with half of its diagonal. */
static tg_code cholesky_gradient(batch *b)
{
    const tg__dense l = load(b, matrix_at(b, b->c->y)), g = load(b, matrix_at(b, incoming(b)));
    const tg__dense p = product(b, turned(l), g);
    if (b->d.failed) return TG_OK;
    for (int64_t i = 0; i < p.m; i++) {
        *tg__dense_at(p, i, i) /= 2;
        for (int64_t j = i + 1; j < p.n; j++) *tg__dense_at(p, i, j) = 0;
    }
    tg__dense_triangle(&b->d, turned(l), false, false, p);
    const tg__dense dx = copy_of(b, turned(p));
    tg__dense_triangle(&b->d, turned(l), false, false, dx);
    symmetrise(b, dx);
    add_gradient(b, dx, 1);
    return TG_OK;
}

BACKWARD(cholesky)
{
    return each(c, 2, cholesky_gradient);
}

/* x's lower triangle, without the diagonal if offset is -1. */
static tg_value lower(const tg__derivation *d, tg_value x, int offset)
{
    return d_tril(d, x, ATTRIBUTES(offset, .offset = offset));
}

DERIVATIVE(cholesky)
{
    const tg_triangular_attributes *const back = ATTRIBUTES(triangular, .transpose = true);
    const tg_value m = d_matmul(d, t(d, d->y), d->g);
    const tg_value p = d_mul(d, number(d, 0.5), d_add(d, lower(d, m, 0), lower(d, m, -1)));
    const tg_value right = t(d, d_solve_triangular(d, d->y, p, back));
    const tg_value dx = d_solve_triangular(d, d->y, right, back);
    d->dx[0] = d_mul(d, number(d, 0.5), d_add(d, dx, t(d, dx)));
}

CASES(cholesky, SQUARES(-1, 1, 3))

/* ---- linear systems -------------------------------------------------------------------------- */

/* Corner: a singular matrix (a pivot of exactly 0) is an error that names matrix and pivot. */
TG_OP(solve, "nl", none, "x with A x = B, (..., n, n) and (n) or (..., n, k)")

/* Right sides are vectors if there is only one axis. */
static bool is_vector(const tg__call *c)
{
    return c->x[1].s->rank == 1;
}

SHAPE(solve)
{
    const tg__shape *const a = c->x[0].s, *const w = c->x[1].s;
    const tg_code code = check_square(c);
    if (code) return code;
    const int64_t n = a->dim[a->rank - 1];
    if (w->rank == 0 || w->dim[w->rank > 1 ? w->rank - 2 : 0] != n)
        return tg__fail(c, TG_ERROR_SHAPE,
                        "shapes %s and %s do not agree: %lld rows in the matrices, %lld in the "
                        "right sides",
                        TG__SHAPE_TEXT(a), TG__SHAPE_TEXT(w), (long long)n,
                        (long long)(w->rank ? w->dim[w->rank > 1 ? w->rank - 2 : 0] : 0));
    const tg__shape batch_a = leading(a, 2), batch_b = leading(w, w->rank > 1 ? 2 : 1);
    if (!tg__broadcast(&batch_a, &batch_b, y))
        return tg__fail(c, TG_ERROR_SHAPE, "shapes %s and %s do not broadcast: batch axes %s, %s",
                        TG__SHAPE_TEXT(a), TG__SHAPE_TEXT(w), TG__SHAPE_TEXT(&batch_a),
                        TG__SHAPE_TEXT(&batch_b));
    y->dim[y->rank++] = n;
    if (w->rank > 1) y->dim[y->rank++] = w->dim[w->rank - 1];
    return TG_OK;
}

/* x as matrices, for x a result, its gradient, right sides or their gradient. */
static place sides_at(const batch *b, tg__array x)
{
    if (!is_vector(b->c)) return matrix_at(b, x);
    const int r = x.s->rank;
    return (place){ x.s->type, here(b, x, 1), x.s->dim[r - 1], 1, x.s->stride[r - 1], 0 };
}

static int side_axes(const tg__call *c)
{
    return is_vector(c) ? 1 : 2;
}

/* The factors of the present matrix, or of its transpose: those made last, if it is the same matrix
   (one matrix for many right sides). */
static factors system_of(batch *b, bool transpose)
{
    const place a = matrix_at(b, b->c->x[0]);
    if (b->i > 0 && a.p == b->system_at) return b->system;
    b->c->scratch->used = b->begin;
    const tg__dense copy = load(b, a);
    b->system = factorise(b, transpose ? copy_of(b, turned(copy)) : copy);
    b->system_at = a.p;
    b->used = b->c->scratch->used;
    return b->system;
}

static tg_code solve_item(batch *b)
{
    const factors f = system_of(b, false);
    if (f.zero >= 0) return singular(b, f.zero);
    const tg__dense x = load(b, sides_at(b, b->c->x[1]));
    tg__dense_lu_solve(&b->d, f.lu, f.swap, x);
    set(b, sides_at(b, b->c->y), x);
    return TG_OK;
}

FORWARD(solve)
{
    return each(c, side_axes(c), solve_item);
}

/* Rows i ... i + m - 1, columns j ... j + n - 1. */
static place part_of(place x, int64_t i, int64_t j, int64_t m, int64_t n)
{
    char *const p = (char *)x.p + (i * x.row + j * x.column) * (ptrdiff_t)tg__type_size(x.type);
    return (place){ x.type, p, m, n, x.row, x.column };
}

/* With the gradient dw by the right sides: that by the matrices, -dw y', or its transpose where they were transposed.
   Of triangles only the elements that count. Rows that fit into the cache are made at a time. */
static void add_matrix_gradient(batch *b, tg__dense dw, const tg_triangular_attributes *triangle)
{
    enum { BAND = 32 };
    const bool transpose = triangle && triangle->transpose;
    const tg__dense y = seen(b, sides_at(b, b->c->y)), left = transpose ? y : dw, right = turned(transpose ? dw : y);
    const int64_t n = left.m;
    const place dx = matrix_at(b, b->c->dx[0]);
    const tg__dense band = tg__dense_new(&b->d, BAND, n);
    for (int64_t i = 0; !b->d.failed && i < n; i += BAND) {
        const int64_t m = n - i < BAND ? n - i : BAND;
        const int64_t from = triangle && triangle->upper ? i : 0, to = triangle && !triangle->upper ? i + m : n;
        const tg__dense z = tg__dense_part(band, 0, 0, m, to - from);
        tg__dense_product(&b->d, z, tg__dense_part(left, i, 0, m, left.n), tg__dense_part(right, 0, from, right.m, to - from));
        for (int64_t row = 0; triangle && !b->d.failed && row < m; row++) {
            const int64_t first = triangle->upper ? 0 : row + !triangle->unit;
            const int64_t end = triangle->upper ? row + triangle->unit : m;
            double *const none = tg__dense_at(z, row, i - from);
            for (int64_t column = first; column < end; column++) none[column] = 0;
        }
        add(b, part_of(dx, i, from, m, to - from), z, -1);
    }
}

/* dB = A'^-1 g. */
static tg_code solve_gradient(batch *b)
{
    const factors f = system_of(b, true);
    const tg__dense dw = load(b, sides_at(b, incoming(b)));
    tg__dense_lu_solve(&b->d, f.lu, f.swap, dw);
    if (b->c->dx[1].p) add(b, sides_at(b, b->c->dx[1]), dw, 1);
    if (b->c->dx[0].p) add_matrix_gradient(b, dw, NULL);
    return TG_OK;
}

BACKWARD(solve)
{
    return each(c, side_axes(c), solve_gradient);
}

/* g and y as matrices, and dB back as what it is. */
static tg_value as_sides(const tg__derivation *d, tg_value x)
{
    return tg__shape_of(d, d->x[1])->rank == 1 ? as_column(d, x) : x;
}

static tg_value from_sides(const tg__derivation *d, tg_value x)
{
    return tg__shape_of(d, d->x[1])->rank == 1 ? d_squeeze(d, x, ATTRIBUTES(every, .axis = -1)) : x;
}

DERIVATIVE(solve)
{
    const tg_value dw = d_solve(d, t(d, d->x[0]), as_sides(d, d->g));
    if (d->wanted[1]) d->dx[1] = from_sides(d, dw);
    if (d->wanted[0]) d->dx[0] = d_neg(d, d_matmul(d, dw, t(d, as_sides(d, d->y))));
}

#define SYSTEMS(DIAGONAL)                                                                          \
    { .n = 2, .x = { MATRICES(-1, 1, DIAGONAL, 3, 3), TENSOR(-2, 2, 3, 2) } },                     \
        { .n = 2, .x = { MATRICES(-1, 1, DIAGONAL, 2, 2), TENSOR(-2, 2, 2) } },                    \
        { .n = 2, .x = { MATRICES(-1, 1, DIAGONAL, 2, 1, 2, 2), TENSOR(-2, 2, 3, 2, 1) } },        \
        { .n = 2, .x = { MATRICES(-1, 1, DIAGONAL, 2, 2, 2), TENSOR(-2, 2, 2) } },                 \
    {                                                                                              \
        .n = 2, .x = { MATRICES(-1, 1, DIAGONAL, 0, 0), TENSOR(-2, 2, 0, 2) }                      \
    }

CASES(solve, SYSTEMS(3))

/* Corner: a 0 on the diagonal is an error; the other half, with .unit the diagonal too, is ignored
   and gets gradient 0. */
TG_OP(solve_triangular, "nl", triangular,
      "x with A x = B for a triangle of A, (..., n, n) and (n) or (..., n, k)")

SHAPE(solve_triangular)
{
    return solve_shape(c, y);
}

/* Solves with the triangle, or with its transpose, in place. */
static void solve_side(batch *b, tg__dense a, bool transpose, tg__dense x)
{
    const tg_triangular_attributes *const how = b->c->attributes;
    if (transpose) tg__dense_triangle(&b->d, turned(a), how->upper, how->unit, x);
    else tg__dense_triangle(&b->d, a, !how->upper, how->unit, x);
}

static tg_code solve_triangular_item(batch *b)
{
    const tg_triangular_attributes *const how = b->c->attributes;
    const tg__dense a = seen(b, matrix_at(b, b->c->x[0])), x = load(b, sides_at(b, b->c->x[1]));
    for (int64_t i = 0; !b->d.failed && !how->unit && i < a.n; i++)
        if (*tg__dense_at(a, i, i) == 0) return singular(b, i);
    solve_side(b, a, how->transpose, x);
    set(b, sides_at(b, b->c->y), x);
    return TG_OK;
}

FORWARD(solve_triangular)
{
    return each(c, side_axes(c), solve_triangular_item);
}

static tg_code solve_triangular_gradient(batch *b)
{
    const tg_triangular_attributes *const how = b->c->attributes;
    const tg__dense a = seen(b, matrix_at(b, b->c->x[0])), dw = load(b, sides_at(b, incoming(b)));
    solve_side(b, a, !how->transpose, dw);
    if (b->c->dx[1].p) add(b, sides_at(b, b->c->dx[1]), dw, 1);
    if (b->c->dx[0].p) add_matrix_gradient(b, dw, how);
    return TG_OK;
}

BACKWARD(solve_triangular)
{
    return each(c, side_axes(c), solve_triangular_gradient);
}

DERIVATIVE(solve_triangular)
{
    const tg_triangular_attributes *const how = d->attributes;
    tg_triangular_attributes back = *how;
    back.transpose = !how->transpose;
    const tg_value dw = d_solve_triangular(d, d->x[0], as_sides(d, d->g), &back);
    if (d->wanted[1]) d->dx[1] = from_sides(d, dw);
    if (!d->wanted[0]) return;
    const tg_value y = as_sides(d, d->y);
    const tg_value dx =
        d_neg(d, how->transpose ? d_matmul(d, y, t(d, dw)) : d_matmul(d, dw, t(d, y)));
    if (how->upper) d->dx[0] = d_triu(d, dx, ATTRIBUTES(offset, .offset = how->unit ? 1 : 0));
    else d->dx[0] = lower(d, dx, how->unit ? -1 : 0);
}

#define TRIANGLE(...)                                                                              \
    {                                                                                              \
        .n = 2, .x = { MATRICES(-1, 1, 3, 3, 3), TENSOR(-2, 2, 3, 2) },                            \
        .attributes = ATTRIBUTES(triangular, __VA_ARGS__)                                          \
    }
CASES(solve_triangular, SYSTEMS(3), TRIANGLE(.upper = true), TRIANGLE(.transpose = true),
      TRIANGLE(.upper = true, .transpose = true), TRIANGLE(.unit = true),
      TRIANGLE(.upper = true, .transpose = true, .unit = true))

/* ---- packed results -------------------------------------------------------------------------- */

/* Rows, columns and the lesser of the two of the operand's matrices. */
typedef struct sizes {
    int64_t m, n, k;
} sizes;

static sizes sizes_of(const tg__shape *x)
{
    const int64_t m = x->dim[x->rank - 2], n = x->dim[x->rank - 1];
    return (sizes){ m, n, m < n ? m : n };
}

static tg_code packed_shape(const tg__call *c, tg__shape *y, int64_t length)
{
    *y = leading(c->x[0].s, 2);
    y->dim[y->rank++] = length;
    return TG_OK;
}

static tg__dense result_part(batch *b, int64_t from, int64_t m, int64_t n)
{
    return load(b, packed_at(b, b->c->y.p, from, m, n));
}

static tg__dense incoming_part(batch *b, int64_t from, int64_t m, int64_t n)
{
    return load(b, packed_at(b, b->c->g, from, m, n));
}

static void set_part(const batch *b, int64_t from, tg__dense x)
{
    set(b, packed_at(b, b->c->y.p, from, x.m, x.n), x);
}

/* x_ij times s_j. */
static tg__dense by_columns(batch *b, tg__dense x, const double *s)
{
    const tg__dense y = tg__dense_new(&b->d, x.m, x.n);
    for (int64_t i = 0; !b->d.failed && i < x.m; i++)
        for (int64_t j = 0; j < x.n; j++) *tg__dense_at(y, i, j) = *tg__dense_at(x, i, j) * s[j];
    return y;
}

/* ---- QR -------------------------------------------------------------------------------------- */

/* Corner: of a matrix whose first columns are dependent there is a value, but the gradient is an
   error. */
TG_OP_PACKED(
    qr, "n", none,
    "reduced QR: Q (..., m, k) with orthonormal columns, then R (..., k, n), upper triangular "
    "with a diagonal >= 0, packed")

SHAPE(qr)
{
    if (check_matrices(c)) return TG_ERROR_SHAPE;
    const sizes s = sizes_of(c->x[0].s);
    return packed_shape(c, y, s.m * s.k + s.k * s.n);
}

static tg_code qr_item(batch *b)
{
    const sizes s = sizes_of(b->c->x[0].s);
    const tg__dense a = operand(b, 0), q = tg__dense_new(&b->d, s.m, s.k);
    tg__dense_qr(&b->d, a, q);
    set_part(b, 0, q);
    set_part(b, s.m * s.k, tg__dense_part(a, 0, 0, s.k, s.n));
    return TG_OK;
}

FORWARD(qr)
{
    return each(c, 1, qr_item);
}

/* Makes the upper triangle of x the mirror image of the lower. */
static void mirror(const batch *b, tg__dense x)
{
    for (int64_t i = 0; !b->d.failed && i < x.m; i++)
        for (int64_t j = i + 1; j < x.n; j++) *tg__dense_at(x, i, j) = *tg__dense_at(x, j, i);
}

/* With x = [X Y] and R = [U V], X and U square for wide x, else Y and V empty: h = dQ + Y dV', M =
   U dU' - h' Q, dX = (h + Q mirror(M)) U'^-1, dY = Q dV. Walter and Lehmann (2018), Algorithmic
   differentiation of linear algebra functions; the wide case: Roberts and Roberts (2020), QR and LQ
   decomposition matrix backpropagation algorithms. */
static tg_code qr_gradient(batch *b)
{
    const sizes s = sizes_of(b->c->x[0].s);
    const int64_t wide = s.n - s.k;
    const tg__dense q = result_part(b, 0, s.m, s.k), r = result_part(b, s.m * s.k, s.k, s.n);
    const tg__dense h = incoming_part(b, 0, s.m, s.k), g = incoming_part(b, s.m * s.k, s.k, s.n);
    const tg__dense x = operand(b, 0), dx = tg__dense_new(&b->d, s.m, s.n);
    if (b->d.failed) return TG_OK;
    for (int64_t i = 0; i < s.k; i++)
        if (*tg__dense_at(r, i, i) == 0)
            return tg__fail(b->c, TG_ERROR_ARGUMENT,
                            "%s has no gradient: element %lld of R's diagonal is 0", WHICH(b),
                            (long long)i);
    const tg__dense u = tg__dense_part(r, 0, 0, s.k, s.k), du = tg__dense_part(g, 0, 0, s.k, s.k);
    const tg__dense dv = tg__dense_part(g, 0, s.k, s.k, wide);
    if (wide) tg__dense_add_product(&b->d, h, tg__dense_part(x, 0, s.k, s.m, wide), turned(dv));
    const tg__dense m = product(b, u, turned(du));
    tg__dense_subtract_product(&b->d, m, turned(h), q);
    mirror(b, m);
    tg__dense_add_product(&b->d, h, q, m);
    tg__dense_triangle(&b->d, u, false, false, turned(h));
    tg__dense_copy(&b->d, tg__dense_part(dx, 0, 0, s.m, s.k), h);
    if (wide) tg__dense_product(&b->d, tg__dense_part(dx, 0, s.k, s.m, wide), q, dv);
    add_gradient(b, dx, 1);
    return TG_OK;
}

BACKWARD(qr)
{
    return each(c, 1, qr_gradient);
}

DERIVATIVE(qr)
{
    const sizes s = sizes_of(tg__shape_of(d, d->x[0]));
    const tg_slice_attributes *const first = ATTRIBUTES(slice, .axis = -1, .stop = s.k);
    const tg_slice_attributes *const rest = ATTRIBUTES(slice, .axis = -1, .start = s.k);
    const tg_value q = unpacked(d, d->y, 0, s.m, s.k), r = unpacked(d, d->y, s.m * s.k, s.k, s.n);
    const tg_value g = unpacked(d, d->g, s.m * s.k, s.k, s.n);
    const tg_value u = d_slice(d, r, first), du = d_slice(d, g, first);
    tg_value h = unpacked(d, d->g, 0, s.m, s.k);
    if (s.n > s.k)
        h = d_add(d, h, d_matmul(d, d_slice(d, d->x[0], rest), t(d, d_slice(d, g, rest))));
    const tg_value m = d_sub(d, d_matmul(d, u, t(d, du)), d_matmul(d, t(d, h), q));
    const tg_value mirrored = d_add(d, lower(d, m, 0), t(d, lower(d, m, -1)));
    const tg_value left = d_add(d, h, d_matmul(d, q, mirrored));
    const tg_triangular_attributes *const by = ATTRIBUTES(triangular, .upper = true);
    const tg_value dx = t(d, d_solve_triangular(d, u, t(d, left), by));
    const tg_value both[] = { dx, s.n > s.k ? d_matmul(d, q, d_slice(d, g, rest)) : dx };
    d->dx[0] = s.n > s.k ? d_cat(d, both, 2, ATTRIBUTES(axis, .axis = -1)) : dx;
}

CASES(qr, { .n = 1, .x = { MATRICES(-1, 1, 2, 3, 3) } },
      { .n = 1, .x = { MATRICES(-1, 1, 2, 4, 2) } }, { .n = 1, .x = { MATRICES(-1, 1, 2, 2, 4) } },
      { .n = 1, .x = { MATRICES(-1, 1, 2, 2, 2, 2) } }, { .n = 1, .x = { TENSOR(-2, 2, 2, 0) } },
      { .n = 1, .x = { TENSOR(-2, 2, 0, 3, 2) } })

/* ---- eigenvalues ----------------------------------------------------------------------------- */

/* Corner: for equal eigenvalues 1 / (w_j - w_i) is taken as 0; of a matrix with NaN or inf all is
   NaN. */
TG_OP_PACKED(
    eigh, "n", none,
    "eigenvalues (..., n), rising, then eigenvectors in columns (..., n, n), of (x + x') / 2, "
    "packed")

SHAPE(eigh)
{
    if (check_square(c)) return TG_ERROR_SHAPE;
    const int64_t n = sizes_of(c->x[0].s).n;
    return packed_shape(c, y, n + n * n);
}

static tg_code eigh_item(batch *b)
{
    const tg__dense a = operand(b, 0), w = tg__dense_new(&b->d, 1, a.n),
                    v = tg__dense_new(&b->d, a.n, a.n);
    symmetrise(b, a);
    tg__dense_eigh(&b->d, a, w.p, v);
    set_part(b, 0, w);
    set_part(b, a.n, v);
    return TG_OK;
}

FORWARD(eigh)
{
    return each(c, 1, eigh_item);
}

static double guarded(double x)
{
    return x == 0 ? 0 : 1 / x;
}

/* dx is the symmetric part of V (diag(dw) + F * V' dV) V', with F_ij = 1 / (w_j - w_i), 0 where they
   are equal. */
static tg_code eigh_gradient(batch *b)
{
    const int64_t n = sizes_of(b->c->x[0].s).n;
    const tg__dense w = result_part(b, 0, 1, n), v = result_part(b, n, n, n);
    const tg__dense dw = incoming_part(b, 0, 1, n), dv = incoming_part(b, n, n, n);
    const tg__dense inner = product(b, turned(v), dv);
    for (int64_t i = 0; !b->d.failed && i < n; i++)
        for (int64_t j = 0; j < n; j++)
            *tg__dense_at(inner, i, j) =
                i == j ? dw.p[i] : *tg__dense_at(inner, i, j) * guarded(w.p[j] - w.p[i]);
    const tg__dense dx = product(b, product(b, v, inner), turned(v));
    symmetrise(b, dx);
    add_gradient(b, dx, 1);
    return TG_OK;
}

BACKWARD(eigh)
{
    return each(c, 1, eigh_gradient);
}

DERIVATIVE(eigh)
{
    const int64_t n = sizes_of(tg__shape_of(d, d->x[0])).n;
    const tg_value w = unpacked(d, d->y, 0, n, -1), v = unpacked(d, d->y, n, n, n);
    const tg_value dw = unpacked(d, d->g, 0, n, -1), dv = unpacked(d, d->g, n, n, n);
    const tg_value f = guarded_reciprocal(d, d_sub(d, as_row(d, w), as_column(d, w)));
    const tg_value inner = d_matmul(d, v, d_mul(d, f, d_matmul(d, t(d, v), dv)));
    const tg_value dx = d_matmul(d, d_add(d, inner, d_mul(d, v, as_row(d, dw))), t(d, v));
    d->dx[0] = d_mul(d, number(d, 0.5), d_add(d, dx, t(d, dx)));
}

CASES(eigh, SQUARES(-2, 2, 0))

/* ---- singular values ------------------------------------------------------------------------- */

/* Corner: for equal singular values 1 / (s_j^2 - s_i^2) is taken as 0, and 1 / s for s = 0; of a
   matrix with NaN or inf all is NaN. */
TG_OP_PACKED(svd, "n", none,
             "reduced singular value decomposition: U (..., m, k), then singular values (..., k), "
             "falling, then V (..., k, n), packed: x = U diag(s) V")

SHAPE(svd)
{
    if (check_matrices(c)) return TG_ERROR_SHAPE;
    const sizes s = sizes_of(c->x[0].s);
    return packed_shape(c, y, s.m * s.k + s.k + s.k * s.n);
}

static tg_code svd_item(batch *b)
{
    const sizes s = sizes_of(b->c->x[0].s);
    const tg__dense a = operand(b, 0), u = tg__dense_new(&b->d, s.m, s.k),
                    w = tg__dense_new(&b->d, 1, s.k), v = tg__dense_new(&b->d, s.k, s.n);
    /* Angles that f32 can see are found; the last sweeps would turn by less. */
    const double precision = b->c->x[0].s->type == TG_F32 ? FLT_EPSILON / 128 : DBL_EPSILON;
    tg__dense_svd(&b->d, a, precision, u, w.p, v);
    set_part(b, 0, u);
    set_part(b, s.m * s.k, w);
    set_part(b, s.m * s.k + s.k, v);
    return TG_OK;
}

FORWARD(svd)
{
    return each(c, 1, svd_item);
}

/* F * (x - x') with F_ij = 1 / (s_j^2 - s_i^2), 0 where they are equal. */
static tg__dense over_gaps(batch *b, tg__dense x, const double *s)
{
    const tg__dense y = tg__dense_new(&b->d, x.m, x.n);
    for (int64_t i = 0; !b->d.failed && i < x.m; i++)
        for (int64_t j = 0; j < x.n; j++)
            *tg__dense_at(y, i, j) = (*tg__dense_at(x, i, j) - *tg__dense_at(x, j, i)) *
                                     guarded((s[j] - s[i]) * (s[j] + s[i]));
    return y;
}

/* Adds (I - u u') du S^-1 w for u (m, k) with m > k; w (k, n) are the other side's rows. */
static void add_outside(batch *b, tg__dense dx, tg__dense u, tg__dense du, const double *s,
                        tg__dense w)
{
    const tg__dense rest = copy_of(b, du), scale = tg__dense_new(&b->d, 1, u.n);
    tg__dense_subtract_product(&b->d, rest, u, product(b, turned(u), du));
    for (int64_t i = 0; !b->d.failed && i < u.n; i++) scale.p[i] = guarded(s[i]);
    tg__dense_add_product(&b->d, dx, by_columns(b, rest, scale.p), w);
}

/* Townsend (2016), Differentiating the singular value decomposition: dx = U (J S + S K + diag(ds)) V,
   J = F * (U' dU - dU' U), K = F * (V dV' - dV V'), plus what lies outside of the columns of U and
   of the rows of V. 1 / s is 0 for s = 0. */
static tg_code svd_gradient(batch *b)
{
    const sizes z = sizes_of(b->c->x[0].s);
    const int64_t at_s = z.m * z.k, at_v = at_s + z.k;
    const tg__dense u = result_part(b, 0, z.m, z.k), s = result_part(b, at_s, 1, z.k),
                    v = result_part(b, at_v, z.k, z.n);
    const tg__dense du = incoming_part(b, 0, z.m, z.k), ds = incoming_part(b, at_s, 1, z.k),
                    dv = incoming_part(b, at_v, z.k, z.n);
    const tg__dense j = over_gaps(b, product(b, turned(u), du), s.p);
    const tg__dense k = over_gaps(b, product(b, v, turned(dv)), s.p);
    const tg__dense inner = by_columns(b, j, s.p);
    combine(b, 1, inner, 1, turned(by_columns(b, turned(k), s.p)));
    for (int64_t i = 0; !b->d.failed && i < z.k; i++) *tg__dense_at(inner, i, i) += ds.p[i];
    const tg__dense dx = product(b, product(b, u, inner), v);
    if (z.m > z.k) add_outside(b, dx, u, du, s.p, v);
    if (z.n > z.k) add_outside(b, turned(dx), turned(v), turned(dv), s.p, turned(u));
    add_gradient(b, dx, 1);
    return TG_OK;
}

BACKWARD(svd)
{
    return each(c, 1, svd_gradient);
}

/* (I - u u') du with its columns divided by s. */
static tg_value outside(const tg__derivation *d, tg_value u, tg_value du, tg_value s)
{
    const tg_value rest = d_sub(d, du, d_matmul(d, u, d_matmul(d, t(d, u), du)));
    return d_mul(d, rest, as_row(d, guarded_reciprocal(d, s)));
}

DERIVATIVE(svd)
{
    const sizes z = sizes_of(tg__shape_of(d, d->x[0]));
    const int64_t at_s = z.m * z.k, at_v = at_s + z.k;
    const tg_value u = unpacked(d, d->y, 0, z.m, z.k), s = unpacked(d, d->y, at_s, z.k, -1),
                   v = unpacked(d, d->y, at_v, z.k, z.n);
    const tg_value du = unpacked(d, d->g, 0, z.m, z.k), ds = unpacked(d, d->g, at_s, z.k, -1),
                   dv = unpacked(d, d->g, at_v, z.k, z.n);
    const tg_value row = as_row(d, s), column = as_column(d, s);
    const tg_value f =
        guarded_reciprocal(d, d_mul(d, d_sub(d, row, column), d_add(d, row, column)));
    const tg_value a = d_matmul(d, t(d, u), du), b = d_matmul(d, v, t(d, dv));
    const tg_value j = d_mul(d, f, d_sub(d, a, t(d, a))), k = d_mul(d, f, d_sub(d, b, t(d, b)));
    const tg_value inner = d_add(d, d_mul(d, j, row), d_mul(d, column, k));
    tg_value left = d_add(d, d_matmul(d, u, inner), d_mul(d, u, as_row(d, ds)));
    if (z.m > z.k) left = d_add(d, left, outside(d, u, du, s));
    d->dx[0] = d_matmul(d, left, v);
    if (z.n > z.k)
        d->dx[0] = d_add(d, d->dx[0], d_matmul(d, u, t(d, outside(d, t(d, v), t(d, dv), s))));
}

CASES(svd, { .n = 1, .x = { MATRICES(-1, 1, 0, 3, 3) } }, { .n = 1, .x = { TENSOR(-2, 2, 4, 2) } },
      { .n = 1, .x = { TENSOR(-2, 2, 2, 3) } }, { .n = 1, .x = { TENSOR(-2, 2, 2, 2, 2) } },
      { .n = 1, .x = { TENSOR(-2, 2, 1, 1) } }, { .n = 1, .x = { TENSOR(-2, 2, 2, 0) } },
      { .n = 1, .x = { TENSOR(-2, 2, 0, 3, 2) } })
