/* Plain loops: factorisations of a square matrix, as textbooks have them (Golub and Van Loan, Matrix
   Computations, 2013), row by row where that order is free. Gradients by the formulas that
   decompose.c names. */
#include "plain_loops.h"

/* ---- products -------------------------------------------------------------------------------- */

static real *matrix(int64_t n)
{
    return calloc((size_t)(n * n), sizeof(real));
}

static real *copy_of(int64_t n, const real *a)
{
    real *const b = matrix(n);
    memcpy(b, a, (size_t)(n * n) * sizeof *b);
    return b;
}

/* c += a b */
static void add_product(int64_t n, real *restrict c, const real *a, const real *b)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t p = 0; p < n; p++)
            for (int64_t j = 0; j < n; j++) c[i * n + j] += a[i * n + p] * b[p * n + j];
}

/* c += a' b */
static void add_turned_product(int64_t n, real *restrict c, const real *a, const real *b)
{
    for (int64_t p = 0; p < n; p++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) c[i * n + j] += a[p * n + i] * b[p * n + j];
}

/* c += a b' */
static void add_product_turned(int64_t n, real *restrict c, const real *a, const real *b)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            real s = 0;
            for (int64_t p = 0; p < n; p++) s += a[i * n + p] * b[j * n + p];
            c[i * n + j] += s;
        }
}

static void turn(int64_t n, real *a)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            const real x = a[i * n + j];
            a[i * n + j] = a[j * n + i];
            a[j * n + i] = x;
        }
}

/* ---- triangles: b = t^-1 b for n rows of k right sides --------------------------------------- */

static void solve_lower(int64_t n, int64_t k, const real *t, bool unit, real *restrict b)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t p = 0; p < i; p++)
            for (int64_t j = 0; j < k; j++) b[i * k + j] -= t[i * n + p] * b[p * k + j];
        for (int64_t j = 0; !unit && j < k; j++) b[i * k + j] /= t[i * n + i];
    }
}

static void solve_upper(int64_t n, int64_t k, const real *t, real *restrict b)
{
    for (int64_t i = n - 1; i >= 0; i--) {
        for (int64_t p = i + 1; p < n; p++)
            for (int64_t j = 0; j < k; j++) b[i * k + j] -= t[i * n + p] * b[p * k + j];
        for (int64_t j = 0; j < k; j++) b[i * k + j] /= t[i * n + i];
    }
}

/* With the transpose of a lower triangle, which is upper; and of an upper one. */
static void solve_lower_turned(int64_t n, int64_t k, const real *t, bool unit, real *restrict b)
{
    for (int64_t i = n - 1; i >= 0; i--) {
        for (int64_t j = 0; !unit && j < k; j++) b[i * k + j] /= t[i * n + i];
        for (int64_t p = 0; p < i; p++)
            for (int64_t j = 0; j < k; j++) b[p * k + j] -= t[i * n + p] * b[i * k + j];
    }
}

static void solve_upper_turned(int64_t n, int64_t k, const real *t, real *restrict b)
{
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < k; j++) b[i * k + j] /= t[i * n + i];
        for (int64_t p = i + 1; p < n; p++)
            for (int64_t j = 0; j < k; j++) b[p * k + j] -= t[i * n + p] * b[i * k + j];
    }
}

/* ---- LU with partial pivoting ---------------------------------------------------------------- */

static void swap_rows(int64_t k, real *b, int64_t i, int64_t p)
{
    for (int64_t j = 0; i != p && j < k; j++) {
        const real x = b[i * k + j];
        b[i * k + j] = b[p * k + j];
        b[p * k + j] = x;
    }
}

static void factorise(int64_t n, real *restrict a, int64_t *swap)
{
    for (int64_t i = 0; i < n; i++) {
        swap[i] = i;
        for (int64_t p = i + 1; p < n; p++)
            if (fabs(a[p * n + i]) > fabs(a[swap[i] * n + i])) swap[i] = p;
        swap_rows(n, a, i, swap[i]);
        for (int64_t p = i + 1; p < n; p++) {
            const real l = a[p * n + i] /= a[i * n + i];
            for (int64_t j = i + 1; j < n; j++) a[p * n + j] -= l * a[i * n + j];
        }
    }
}

static void solve_factorised(int64_t n, int64_t k, const real *lu, const int64_t *swap, real *b)
{
    for (int64_t i = 0; i < n; i++) swap_rows(k, b, i, swap[i]);
    solve_lower(n, k, lu, true, b);
    solve_upper(n, k, lu, b);
}

/* b = a'^-1 b: U', then L', then the exchanges backwards. */
static void solve_factorised_turned(int64_t n, int64_t k, const real *lu, const int64_t *swap,
                                    real *b)
{
    solve_upper_turned(n, k, lu, b);
    solve_lower_turned(n, k, lu, true, b);
    for (int64_t i = n - 1; i >= 0; i--) swap_rows(k, b, i, swap[i]);
}

/* b = a^-1 b, or with the transpose. */
static void solve_with(int64_t n, int64_t k, const real *a, bool turned, real *b)
{
    real *const lu = copy_of(n, a);
    int64_t *const swap = malloc((size_t)n * sizeof *swap);
    factorise(n, lu, swap);
    (turned ? solve_factorised_turned : solve_factorised)(n, k, lu, swap, b);
    free(lu), free(swap);
}

/* y = a^-1, or its transpose. */
static void invert(int64_t n, const real *a, bool turned, real *y)
{
    memset(y, 0, (size_t)(n * n) * sizeof *y);
    for (int64_t i = 0; i < n; i++) y[i * n + i] = 1;
    solve_with(n, n, a, turned, y);
}

VALUE(inverse)
{
    invert(DIM(0, 0), X(0), false, Y);
}

/* dx = -y' g y' */
GRADIENT(inverse)
{
    const int64_t n = DIM(0, 0);
    real *const left = matrix(n), *const all = matrix(n);
    add_turned_product(n, left, Y, G);
    add_product_turned(n, all, left, Y);
    for (int64_t i = 0; i < n * n; i++) DX(0)[i] -= all[i];
    free(left), free(all);
}

/* The logarithm of |det|, and its sign. */
static real log_determinant(int64_t n, const real *a, real *sign)
{
    real *const lu = copy_of(n, a), s = 0;
    int64_t *const swap = malloc((size_t)n * sizeof *swap);
    factorise(n, lu, swap);
    *sign = 1;
    for (int64_t i = 0; i < n; i++) {
        if ((swap[i] != i) != (lu[i * n + i] < 0)) *sign = -*sign;
        s += log(fabs(lu[i * n + i]));
    }
    free(lu), free(swap);
    return s;
}

VALUE(logdet)
{
    real sign;
    Y[0] = log_determinant(DIM(0, 0), X(0), &sign);
}

static void add_inverse_turned(const tg__call *c, real g)
{
    const int64_t n = DIM(0, 0);
    real *const inverse = matrix(n);
    invert(n, X(0), true, inverse);
    for (int64_t i = 0; i < n * n; i++) DX(0)[i] += g * inverse[i];
    free(inverse);
}

GRADIENT(logdet)
{
    add_inverse_turned(c, G[0]);
}

VALUE(det)
{
    const int64_t n = DIM(0, 0);
    real *const lu = copy_of(n, X(0)), y = 1;
    int64_t *const swap = malloc((size_t)n * sizeof *swap);
    factorise(n, lu, swap);
    for (int64_t i = 0; i < n; i++) y *= swap[i] == i ? lu[i * n + i] : -lu[i * n + i];
    Y[0] = y;
    free(lu), free(swap);
}

GRADIENT(det)
{
    add_inverse_turned(c, G[0] * Y[0]);
}

VALUE(solve)
{
    memcpy(Y, X(1), (size_t)COUNT(1) * sizeof(real));
    solve_with(DIM(0, 0), DIM(1, 1), X(0), false, Y);
}

/* a (n, n) -= b (n, k) y' (k, n), below the diagonal and on it, or everywhere. */
static void subtract_outer(int64_t n, int64_t k, bool lower, real *a, const real *b, const real *y)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < (lower ? i + 1 : n); j++) {
            real s = 0;
            for (int64_t p = 0; p < k; p++) s += b[i * k + p] * y[j * k + p];
            a[i * n + j] -= s;
        }
}

GRADIENT(solve)
{
    const int64_t n = DIM(0, 0), k = DIM(1, 1);
    real *const db = malloc((size_t)(n * k) * sizeof *db);
    memcpy(db, G, (size_t)(n * k) * sizeof *db);
    solve_with(n, k, X(0), true, db);
    for (int64_t i = 0; i < n * k; i++) DX(1)[i] += db[i];
    subtract_outer(n, k, false, DX(0), db, Y);
    free(db);
}

VALUE(solve_triangular)
{
    memcpy(Y, X(1), (size_t)COUNT(1) * sizeof(real));
    solve_lower(DIM(0, 0), DIM(1, 1), X(0), false, Y);
}

GRADIENT(solve_triangular)
{
    const int64_t n = DIM(0, 0), k = DIM(1, 1);
    real *const db = malloc((size_t)(n * k) * sizeof *db);
    memcpy(db, G, (size_t)(n * k) * sizeof *db);
    solve_lower_turned(n, k, X(0), false, db);
    for (int64_t i = 0; i < n * k; i++) DX(1)[i] += db[i];
    subtract_outer(n, k, true, DX(0), db, Y);
    free(db);
}

/* ---- Cholesky -------------------------------------------------------------------------------- */

VALUE(cholesky)
{
    const int64_t n = DIM(0, 0);
    const real *x = X(0);
    real *l = Y;
    memset(l, 0, (size_t)(n * n) * sizeof *l);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            real s = (x[i * n + j] + x[j * n + i]) / 2;
            for (int64_t p = 0; p < j; p++) s -= l[i * n + p] * l[j * n + p];
            l[i * n + j] = i == j ? sqrt(s) : s / l[j * n + j];
        }
}

/* Adds the symmetric part of a to d. */
static void add_symmetric(int64_t n, real *restrict d, const real *a)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) d[i * n + j] += (a[i * n + j] + a[j * n + i]) / 2;
}

GRADIENT(cholesky)
{
    const int64_t n = DIM(0, 0);
    const real *l = Y;
    real *const p = matrix(n);
    add_turned_product(n, p, l, G);
    for (int64_t i = 0; i < n; i++) {
        p[i * n + i] /= 2;
        for (int64_t j = i + 1; j < n; j++) p[i * n + j] = 0;
    }
    solve_lower_turned(n, n, l, false, p);
    turn(n, p);
    solve_lower_turned(n, n, l, false, p);
    add_symmetric(n, DX(0), p);
    free(p);
}

/* ---- QR by modified Gram-Schmidt ------------------------------------------------------------- */

VALUE(qr)
{
    const int64_t n = DIM(0, 0);
    real *restrict q = Y, *restrict r = Y + n * n;
    memcpy(q, X(0), (size_t)(n * n) * sizeof *q);
    memset(r, 0, (size_t)(n * n) * sizeof *r);
    for (int64_t k = 0; k < n; k++) {
        real s = 0;
        for (int64_t i = 0; i < n; i++) s += q[i * n + k] * q[i * n + k];
        s = sqrt(s);
        for (int64_t i = 0; i < n; i++) q[i * n + k] /= s;
        r[k * n + k] = s;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = k + 1; j < n; j++) r[k * n + j] += q[i * n + k] * q[i * n + j];
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = k + 1; j < n; j++) q[i * n + j] -= q[i * n + k] * r[k * n + j];
    }
}

GRADIENT(qr)
{
    const int64_t n = DIM(0, 0);
    const real *q = Y, *r = Y + n * n, *dq = G, *dr = G + n * n;
    real *const m = matrix(n), *const s = matrix(n), *const h = copy_of(n, dq);
    add_product_turned(n, m, r, dr);
    add_turned_product(n, s, dq, q);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) m[j * n + i] = m[i * n + j] -= s[i * n + j];
    add_product(n, h, q, m);
    turn(n, h);
    solve_upper(n, n, r, h);
    turn(n, h);
    for (int64_t i = 0; i < n * n; i++) DX(0)[i] += h[i];
    free(m), free(s), free(h);
}

/* ---- eigenvalues and singular values by Jacobi's rotations ----------------------------------- */

/* Cosine and sine of the rotation that makes b zero in (a b; b d). */
static void rotation(real a, real b, real d, real *cosine, real *sine)
{
    const real tau = (d - a) / (2 * b);
    const real t = (tau >= 0 ? 1 : -1) / (fabs(tau) + sqrt(1 + tau * tau));
    *cosine = 1 / sqrt(1 + t * t);
    *sine = t * *cosine;
}

/* Rows i and j of a. */
static void rotate_rows(int64_t n, real *a, int64_t i, int64_t j, real cosine, real sine)
{
    real *const x = a + i * n, *const y = a + j * n;
    for (int64_t k = 0; k < n; k++) {
        const real u = x[k], v = y[k];
        x[k] = cosine * u - sine * v;
        y[k] = sine * u + cosine * v;
    }
}

static void rotate_columns(int64_t n, real *a, int64_t i, int64_t j, real cosine, real sine)
{
    for (int64_t k = 0; k < n; k++) {
        const real u = a[k * n + i], v = a[k * n + j];
        a[k * n + i] = cosine * u - sine * v;
        a[k * n + j] = sine * u + cosine * v;
    }
}

/* Twice the machine's precision: what is smaller in relation is zero. */
static const real tiny = sizeof(real) == sizeof(float) ? (real)0x1p-22 : (real)0x1p-51;

/* The sign that makes the first component of n that is at least half of the largest positive. */
static real sign_for(int64_t n, const real *x, int64_t step)
{
    real top = 0;
    for (int64_t i = 0; i < n; i++) top = fabs(x[i * step]) > top ? fabs(x[i * step]) : top;
    for (int64_t i = 0; i < n; i++)
        if (fabs(x[i * step]) >= top / 2) return x[i * step] < 0 ? -1 : 1;
    return 1;
}

/* Positions in rising order. */
static void rank(int64_t n, const real *w, int64_t step, int64_t *at)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t j = i;
        for (; j > 0 && w[at[j - 1] * step] > w[i * step]; j--) at[j] = at[j - 1];
        at[j] = i;
    }
}

VALUE(eigh)
{
    const int64_t n = DIM(0, 0);
    real *const a = matrix(n), *const v = matrix(n), *w = Y, *y = Y + n, size = 0;
    int64_t *const at = malloc((size_t)n * sizeof *at);
    add_symmetric(n, a, X(0));
    for (int64_t i = 0; i < n; i++) v[i * n + i] = 1;
    for (int64_t i = 0; i < n * n; i++) size += a[i] * a[i];
    size = sqrt(size);
    for (bool turning = true; turning;) {
        turning = false;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = i + 1; j < n; j++) {
                if (fabs(a[i * n + j]) <= tiny * size) continue;
                real cosine, sine;
                rotation(a[i * n + i], a[i * n + j], a[j * n + j], &cosine, &sine);
                rotate_rows(n, a, i, j, cosine, sine);
                rotate_columns(n, a, i, j, cosine, sine);
                rotate_rows(n, v, i, j, cosine, sine);
                turning = true;
            }
    }
    rank(n, a, n + 1, at);
    for (int64_t j = 0; j < n; j++) {
        const real *column = v + at[j] * n, sign = sign_for(n, column, 1);
        w[j] = a[at[j] * n + at[j]];
        for (int64_t i = 0; i < n; i++) y[i * n + j] = sign * column[i];
    }
    free(a), free(v), free(at);
}

GRADIENT(eigh)
{
    const int64_t n = DIM(0, 0);
    const real *w = Y, *v = Y + n, *dw = G, *dv = G + n;
    real *const inner = matrix(n), *const left = matrix(n), *const all = matrix(n);
    add_turned_product(n, inner, v, dv);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            inner[i * n + j] = i == j ? dw[i] : inner[i * n + j] / (w[j] - w[i]);
    add_product(n, left, v, inner);
    add_product_turned(n, all, left, v);
    add_symmetric(n, DX(0), all);
    free(inner), free(left), free(all);
}

/* Hestenes: rotates columns of x until they are orthogonal; columns are rows of a. */
VALUE(svd)
{
    const int64_t n = DIM(0, 0);
    real *const a = copy_of(n, X(0)), *const r = matrix(n),
                *const s = malloc((size_t)n * sizeof *s);
    real *u = Y, *w = Y + n * n, *v = Y + n * n + n;
    int64_t *const at = malloc((size_t)n * sizeof *at);
    turn(n, a);
    for (int64_t i = 0; i < n; i++) r[i * n + i] = 1;
    for (bool turning = true; turning;) {
        turning = false;
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = i + 1; j < n; j++) {
                real aa = 0, ab = 0, bb = 0, cosine, sine;
                for (int64_t k = 0; k < n; k++) {
                    aa += a[i * n + k] * a[i * n + k];
                    ab += a[i * n + k] * a[j * n + k];
                    bb += a[j * n + k] * a[j * n + k];
                }
                if (fabs(ab) <= 4 * tiny * sqrt(aa * bb)) continue;
                rotation(aa, ab, bb, &cosine, &sine);
                rotate_rows(n, a, i, j, cosine, sine);
                rotate_rows(n, r, i, j, cosine, sine);
                turning = true;
            }
    }
    for (int64_t i = 0; i < n; i++) {
        s[i] = 0;
        for (int64_t k = 0; k < n; k++) s[i] += a[i * n + k] * a[i * n + k];
        s[i] = -sqrt(s[i]); /* falling */
    }
    rank(n, s, 1, at);
    for (int64_t j = 0; j < n; j++) {
        const real *column = a + at[j] * n, *row = r + at[j] * n, sign = sign_for(n, column, 1);
        w[j] = -s[at[j]];
        for (int64_t i = 0; i < n; i++) {
            u[i * n + j] = sign * column[i] / w[j];
            v[j * n + i] = sign * row[i];
        }
    }
    free(a), free(r), free(s), free(at);
}

GRADIENT(svd)
{
    const int64_t n = DIM(0, 0);
    const real *u = Y, *s = Y + n * n, *v = s + n, *du = G, *ds = G + n * n, *dv = ds + n;
    real *const j = matrix(n), *const k = matrix(n), *const inner = matrix(n),
                *const left = matrix(n);
    add_turned_product(n, j, u, du);
    add_product_turned(n, k, v, dv);
    for (int64_t a = 0; a < n; a++)
        for (int64_t b = 0; b < n; b++) {
            const real gap = (s[b] - s[a]) * (s[b] + s[a]);
            const real of_u = j[a * n + b] - j[b * n + a], of_v = k[a * n + b] - k[b * n + a];
            inner[a * n + b] = a == b ? ds[a] : (of_u * s[b] + of_v * s[a]) / gap;
        }
    add_product(n, left, u, inner);
    add_product(n, DX(0), left, v);
    free(j), free(k), free(inner), free(left);
}

#define DENSE .size = { 16, 100, 300 }
#define SQUARE_NEAR(D)                                                                             \
    {                                                                                              \
        -1, 1, 2, { N, N }, D                                                                      \
    }
#define ROTATIONS .size = { 10, 40, 100 }, OF(1, TENSOR(-2, 2, N, N))

const plain_row PLAIN(decompose)[] = {
    ROW(inverse, DENSE, OF(1, SQUARE_NEAR(10))),
    ROW(det, .size = { 16, 40, 100 }, OF(1, SQUARE_NEAR(10))),
    ROW(logdet, DENSE, OF(1, { -0.1, 0.1, 2, { N, N }, 2 })),
    ROW(cholesky, DENSE, OF(1, SQUARE_NEAR(40))),
    ROW_OF(solve, "10-right-sides", solve, DENSE, OF(2, SQUARE_NEAR(10), TENSOR(-2, 2, N, 10))),
    ROW_OF(solve_triangular, "10-right-sides", solve_triangular, .size = { 30, 120, 1000 },
           OF(2, { -0.01, 0.01, 2, { N, N }, 2 }, TENSOR(-2, 2, N, 10))),
    ROW(qr, DENSE, OF(1, SQUARE_NEAR(10))),
    ROW_OF(eigh, "by-rotations", eigh, ROTATIONS),
    ROW_OF(svd, "by-rotations", svd, ROTATIONS),
    END
};
