/* Factorisations of one matrix: see dense.h. The algorithms are those of Golub and Van Loan, Matrix
   Computations, 4th edition; sections are named at each. */
#include "ops/dense.h"

#include <float.h>
#include <math.h>

#include "kernels/blas.h"

/* Matrices are cut into blocks of this size, so that most of the work is products. */
enum { BLOCK = 32 };

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* ---- matrices -------------------------------------------------------------------------------- */

static void *take(tg__desk *d, int64_t n, size_t size)
{
    void *const p = d->failed ? NULL : tg__arena_push(d->memory, ((size_t)n + 1) * size);
    d->failed = !p;
    return p;
}

tg__dense tg__dense_new(tg__desk *d, int64_t m, int64_t n)
{
    return (tg__dense){ m, n, take(d, m * n, sizeof(double)), n, 1 };
}

void tg__dense_fill(tg__desk *d, tg__dense y, double x)
{
    if (d->failed) return;
    for (int64_t i = 0; i < y.m; i++)
        for (int64_t j = 0; j < y.n; j++) *tg__dense_at(y, i, j) = x;
}

void tg__dense_identity(tg__desk *d, tg__dense y)
{
    tg__dense_fill(d, y, 0);
    for (int64_t i = 0; !d->failed && i < least(y.m, y.n); i++) *tg__dense_at(y, i, i) = 1;
}

void tg__dense_copy(tg__desk *d, tg__dense y, tg__dense x)
{
    if (d->failed) return;
    for (int64_t i = 0; i < y.m; i++)
        for (int64_t j = 0; j < y.n; j++) *tg__dense_at(y, i, j) = *tg__dense_at(x, i, j);
}

static tg__matrix plain(tg__dense x)
{
    return (tg__matrix){ x.p, x.row, x.column };
}

static void multiply(tg__desk *d, tg__dense c, tg__dense a, tg__dense b, bool add)
{
    tg__product p = { a.m, b.n, a.n, plain(a), plain(b), plain(c), { 0 } };
    if (d->failed) return;
    if (add) p.d = p.c;
    const size_t bytes = tg__multiply_scratch(d->k, TG_F64, &p), used = d->memory->used;
    void *const scratch = bytes ? tg__arena_push(d->memory, bytes) : NULL;
    d->failed = bytes && !scratch;
    if (!d->failed) tg__multiply(d->k, TG_F64, &p, scratch);
    d->memory->used = used;
}

void tg__dense_product(tg__desk *d, tg__dense c, tg__dense a, tg__dense b)
{
    multiply(d, c, a, b, false);
}

void tg__dense_add_product(tg__desk *d, tg__dense c, tg__dense a, tg__dense b)
{
    multiply(d, c, a, b, true);
}

void tg__dense_subtract_product(tg__desk *d, tg__dense c, tg__dense a, tg__dense b)
{
    const size_t used = d->memory->used;
    const tg__dense minus = tg__dense_new(d, a.m, a.n);
    for (int64_t i = 0; !d->failed && i < a.m; i++)
        for (int64_t j = 0; j < a.n; j++) *tg__dense_at(minus, i, j) = -*tg__dense_at(a, i, j);
    multiply(d, c, minus, b, true);
    d->memory->used = used;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void scale_by(int64_t n, double *x, ptrdiff_t step, double a)
{
    for (int64_t i = 0; i < n; i++) x[i * step] *= a;
}

static double largest(int64_t n, const double *x, ptrdiff_t step)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fabs(x[i * step]) > most ? fabs(x[i * step]) : most;
    return most;
}

/* Sums of squares between these lost no square that matters. */
#define LEAST_SQUARE 1e-280
#define LARGEST_SQUARE 1e300

static bool is_usual(double sum)
{
    return sum > LEAST_SQUARE && sum < LARGEST_SQUARE;
}

/* The norm, whatever the magnitude of the elements. */
static double norm(int64_t n, const double *x, ptrdiff_t step)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i * step] * x[i * step];
    if (is_usual(sum)) return sqrt(sum);
    const double most = largest(n, x, step);
    if (most == 0) return 0;
    sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (x[i * step] / most) * (x[i * step] / most);
    return most * sqrt(sum);
}

/* The sign of the first component that is half of the largest one or more. (That of the largest
   itself would change back and forth where two are as large.) */
static double sign_of(int64_t n, const double *x, ptrdiff_t step)
{
    const double half = largest(n, x, step) / 2;
    for (int64_t i = 0; i < n; i++)
        if (fabs(x[i * step]) >= half) return x[i * step] < 0 ? -1 : 1;
    return 1;
}

static bool is_finite(tg__dense a)
{
    for (int64_t i = 0; i < a.m; i++)
        for (int64_t j = 0; j < a.n; j++)
            if (!isfinite(*tg__dense_at(a, i, j))) return false;
    return true;
}

/* A power of two near the largest element: dividing by it keeps squares in range and rounds
   nothing. */
static double magnitude(tg__dense a)
{
    double most = 0;
    int exponent;
    for (int64_t i = 0; i < a.m; i++) most = fmax(most, largest(a.n, a.p + i * a.row, a.column));
    if (most == 0) return 1;
    frexp(most, &exponent);
    return ldexp(1, exponent < -1000 ? -1000 : exponent - 1);
}

/* ---- triangles and Gauss --------------------------------------------------------------------- */

/* b row-major. */
static void solve_in_blocks(tg__desk *d, tg__dense t, bool lower, bool unit, tg__dense b)
{
    for (int64_t done = 0; done < t.m && !d->failed; done += BLOCK) {
        const int64_t size = least(BLOCK, t.m - done);
        const int64_t from = lower ? done : t.m - done - size, known = lower ? 0 : from + size;
        const tg__dense here = tg__dense_part(b, from, 0, size, b.n);
        if (done)
            tg__dense_subtract_product(d, here, tg__dense_part(t, from, known, size, done),
                                       tg__dense_part(b, known, 0, done, b.n));
        if (!d->failed)
            d->k->dense.substitute(size, b.n, plain(tg__dense_part(t, from, from, size, size)),
                                   lower, unit, here.p, b.row);
    }
}

void tg__dense_triangle(tg__desk *d, tg__dense t, bool lower, bool unit, tg__dense b)
{
    if (b.column == 1) {
        solve_in_blocks(d, t, lower, unit, b);
        return;
    }
    const size_t used = d->memory->used;
    const tg__dense rows = tg__dense_new(d, b.m, b.n);
    tg__dense_copy(d, rows, b);
    solve_in_blocks(d, t, lower, unit, rows);
    tg__dense_copy(d, b, rows);
    d->memory->used = used;
}

static void exchange_rows(tg__dense a, int64_t i, int64_t j)
{
    if (i == j) return;
    for (int64_t k = 0; k < a.n; k++) {
        const double x = *tg__dense_at(a, i, k);
        *tg__dense_at(a, i, k) = *tg__dense_at(a, j, k);
        *tg__dense_at(a, j, k) = x;
    }
}

/* Section 3.4, in blocks of columns (3.2.11). */
int64_t tg__dense_lu(tg__desk *d, tg__dense a, int64_t *swap)
{
    int64_t zero = -1;
    for (int64_t j = 0; j < a.n && !d->failed; j += BLOCK) {
        const int64_t size = least(BLOCK, a.n - j), end = j + size, rest = a.n - end;
        const int64_t here = d->k->dense.eliminate(a.m, a.n, a.p, a.row, j, end, swap);
        if (zero < 0) zero = here;
        if (rest == 0) break;
        const tg__dense right = tg__dense_part(a, j, end, size, rest);
        tg__dense_triangle(d, tg__dense_part(a, j, j, size, size), true, true, right);
        tg__dense_subtract_product(d, tg__dense_part(a, end, end, rest, rest),
                                   tg__dense_part(a, end, j, rest, size), right);
    }
    return zero;
}

void tg__dense_lu_solve(tg__desk *d, tg__dense lu, const int64_t *swap, tg__dense b)
{
    if (d->failed) return;
    for (int64_t i = 0; i < lu.m; i++) exchange_rows(b, i, swap[i]);
    tg__dense_triangle(d, lu, true, true, b);
    tg__dense_triangle(d, lu, false, false, b);
}

/* ---- Cholesky -------------------------------------------------------------------------------- */

/* Section 4.2.5, in blocks of rows. */
int64_t tg__dense_cholesky(tg__desk *d, tg__dense a)
{
    for (int64_t j = 0; j < a.n && !d->failed; j += BLOCK) {
        const int64_t size = least(BLOCK, a.n - j), end = j + size, rest = a.n - end;
        const int64_t bad = d->k->dense.cholesky(a.n, a.p, a.row, j, end);
        if (bad >= 0) return bad;
        const tg__dense right = tg__dense_part(a, j, end, size, rest);
        if (rest)
            tg__dense_subtract_product(d, tg__dense_part(a, end, end, rest, rest),
                                       tg__dense_turned(right), right);
    }
    return -1;
}

/* ---- reflections ----------------------------------------------------------------------------- */

/* Makes x the vector v of the reflection I - tau v v' that takes it to a multiple of the first axis (section 5.1);
   v[0], which is 1, is left to that multiple. Returns tau. */
static double reflection(const tg__desk *d, int64_t n, double *x)
{
    const double rest = n > 1 ? d->k->dense.dot(n - 1, x + 1, x + 1) : 0, sum = rest + x[0] * x[0];
    const bool usual = rest > LEAST_SQUARE && sum < LARGEST_SQUARE;
    if (!usual && (n < 2 || largest(n - 1, x + 1, 1) == 0)) return 0;
    const double length = usual ? sqrt(sum) : norm(n, x, 1);
    const double beta = x[0] > 0 ? -length : length, away = x[0] - beta, tau = -away / beta;
    for (int64_t i = 1; i < n; i++) x[i] /= away;
    x[0] = beta;
    return tau;
}

/* a = (I - tau v v') a; v[0], which is 1, is not looked at. */
static void reflect(const tg__desk *d, tg__dense a, const double *v, ptrdiff_t step, double tau)
{
    d->k->dense.reflect(a.m, a.n, a.p, a.row, v, step, tau);
}

/* Some reflections as one: I + v t v', t upper triangular (Schreiber and Van Loan; section 5.2.3). */
typedef struct reflections {
    tg__dense v, t;
} reflections;

/* Those that are kept in columns j ... j + size - 1 of the row-major a, below the diagonal. */
static reflections together(tg__desk *d, tg__dense a, int64_t j, int64_t size, const double *tau)
{
    const reflections r = { tg__dense_new(d, a.m - j, size), tg__dense_new(d, size, size) };
    const size_t used = d->memory->used;
    const tg__dense inner = tg__dense_new(d, size, size); /* symmetric */
    for (int64_t i = 0; !d->failed && i < r.v.m; i++) {
        double *const row = tg__dense_at(r.v, i, 0);
        const double *const from = tg__dense_at(a, j + i, j);
        for (int64_t c = 0; c < size; c++) row[c] = c < i ? from[c] : 0;
        if (i < size) row[i] = 1;
    }
    tg__dense_product(d, inner, tg__dense_turned(r.v), r.v);
    tg__dense_fill(d, r.t, 0);
    for (int64_t c = 0; !d->failed && c < size; c++) {
        *tg__dense_at(r.t, c, c) = -tau[j + c];
        for (int64_t i = 0; i < c; i++)
            *tg__dense_at(r.t, i, c) =
                -tau[j + c] * d->k->dense.dot(c - i, tg__dense_at(r.t, i, i), tg__dense_at(inner, c, i));
    }
    d->memory->used = used;
    return r;
}

/* a = (I + v t v') a, or with the reflections in the other order. */
static void reflect_together(tg__desk *d, reflections r, bool backwards, tg__dense a)
{
    const size_t used = d->memory->used;
    const tg__dense w = tg__dense_new(d, r.v.n, a.n), x = tg__dense_new(d, r.v.n, a.n);
    tg__dense_product(d, w, tg__dense_turned(r.v), a);
    tg__dense_product(d, x, backwards ? tg__dense_turned(r.t) : r.t, w);
    tg__dense_add_product(d, a, r.v, x);
    d->memory->used = used;
}

/* Makes columns j ... end - 1 of a those of r, with the reflections below its diagonal. v has room for a column. */
static void reflect_columns(const tg__desk *d, tg__dense a, int64_t j, int64_t end, double *tau, double *v)
{
    for (int64_t c = j; c < end; c++) {
        const int64_t n = a.m - c;
        double *const column = tg__dense_at(a, c, c);
        for (int64_t i = 0; i < n; i++) v[i] = column[i * a.row];
        tau[c] = reflection(d, n, v);
        for (int64_t i = 0; i < n; i++) column[i * a.row] = v[i];
        reflect(d, tg__dense_part(a, c, c + 1, n, end - c - 1), v, 1, tau[c]);
    }
}

/* The same for q, which was I, and the reflections backwards. */
static void unfold_columns(const tg__desk *d, tg__dense a, int64_t j, int64_t end,
                           const double *tau, tg__dense q)
{
    for (int64_t c = end - 1; c >= j; c--)
        reflect(d, tg__dense_part(q, c, c, q.m - c, q.n - c), tg__dense_at(a, c, c), a.row, tau[c]);
}

/* Section 5.2; in blocks of columns, but for the last one or a single one. */
void tg__dense_qr(tg__desk *d, tg__dense a, tg__dense q)
{
    const size_t used = d->memory->used;
    const int64_t k = least(a.m, a.n), blocks = (k + BLOCK - 1) / BLOCK;
    double *const tau = take(d, k, sizeof *tau), *const v = take(d, a.m, sizeof *v);
    reflections *const r = take(d, blocks, sizeof *r); /* those of each block, if they are needed together */
    tg__dense_identity(d, q);
    for (int64_t j = 0; !d->failed && j < k; j += BLOCK) {
        const int64_t end = least(j + BLOCK, k), rest = a.n - end;
        reflect_columns(d, a, j, end, tau, v);
        if (!rest) break;
        r[j / BLOCK] = together(d, a, j, end - j, tau);
        reflect_together(d, r[j / BLOCK], true, tg__dense_part(a, j, end, a.m - j, rest));
    }
    for (int64_t i = blocks; !d->failed && i-- > 0;) {
        const int64_t j = i * BLOCK;
        if (i + 1 == blocks) unfold_columns(d, a, j, k, tau, q);
        else reflect_together(d, r[i], false, tg__dense_part(q, j, j, q.m - j, k - j));
    }
    for (int64_t j = 0; !d->failed && j < k; j++) {
        if (!(*tg__dense_at(a, j, j) < 0)) continue; /* nor is NaN */
        scale_by(a.n - j, tg__dense_at(a, j, j), 1, -1);
        scale_by(q.m, q.p + j, q.row, -1);
    }
    for (int64_t i = 1; !d->failed && i < a.m; i++)
        for (int64_t j = 0; j < least(i, k); j++) a.p[i * a.row + j] = 0;
    d->memory->used = used;
}

/* ---- eigenvalues ----------------------------------------------------------------------------- */

/* a = q t q' with t tridiagonal, its diagonal in w and the one beside it in e (section 8.3.1). The
   rows of z become q's columns. p has room for a row. */
static void make_tridiagonal(const tg__desk *d, tg__dense a, double *w, double *e, double *p,
                             tg__dense z)
{
    const tg__dense_kernels *const f = &d->k->dense;
    const int64_t n = a.n;
    for (int64_t k = 0; k + 1 < n; k++) {
        double *const v = tg__dense_at(a, k, k + 1);
        const int64_t rest = n - k - 1;
        const double tau = reflection(d, rest, v);
        e[k] = v[0];
        a.p[(k + 1) * a.row + k] = tau; /* the column is free: its row tells the same */
        v[0] = 1;
        const tg__dense below = tg__dense_part(a, k + 1, k + 1, rest, rest);
        for (int64_t i = 0; i < rest; i++) p[i] = tau * f->dot(rest, below.p + i * below.row, v);
        f->add_row(rest, p, v, -tau / 2 * f->dot(rest, p, v));
        for (int64_t i = 0; i < rest; i++) {
            f->add_row(rest, below.p + i * below.row, p, -v[i]);
            f->add_row(rest, below.p + i * below.row, v, -p[i]);
        }
    }
    for (int64_t k = 0; k < n; k++) w[k] = a.p[k * a.row + k];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) *tg__dense_at(z, i, j) = i == j;
    for (int64_t k = n - 2; k >= 0; k--) {
        const double *const v = tg__dense_at(a, k, k + 1);
        const int64_t rest = n - k - 1;
        reflect(d, tg__dense_part(z, k + 1, k + 1, rest, rest), v, 1, a.p[(k + 1) * a.row + k]);
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            const double x = *tg__dense_at(z, i, j);
            *tg__dense_at(z, i, j) = *tg__dense_at(z, j, i);
            *tg__dense_at(z, j, i) = x;
        }
}

/* The length of (x, y). */
static double length(double x, double y)
{
    const double square = x * x + y * y;
    return is_usual(square) ? sqrt(square) : hypot(x, y);
}

/* One step of the QR algorithm with Wilkinson's shift on rows lo ... hi of the tridiagonal matrix
   (section 8.3.5). */
static void qr_step(const tg__desk *d, double *w, double *e, int64_t lo, int64_t hi, tg__dense z)
{
    const double half = (w[hi - 1] - w[hi]) / 2, b = e[hi - 1];
    const double shift = w[hi] - b / (half + copysign(length(half, b), half)) * b;
    double x = w[lo] - shift, y = e[lo];
    for (int64_t k = lo; k < hi; k++) {
        const double r = length(x, y), c = r > 0 ? x / r : 1, s = r > 0 ? y / r : 0;
        if (k > lo) e[k - 1] = r;
        const double a = w[k], f = e[k], g = w[k + 1], move = s * (s * (g - a) + 2 * c * f);
        w[k] = a + move;
        w[k + 1] = g - move;
        e[k] = c * s * (g - a) + (c - s) * (c + s) * f;
        d->k->dense.rotate(z.n, z.p + k * z.row, z.p + (k + 1) * z.row, c, s);
        if (k + 1 == hi) break;
        x = e[k];
        y = s * e[k + 1];
        e[k + 1] *= c;
    }
}

/* Diagonalises; false if that takes too long, which only numbers that are none can cause. */
static bool diagonalise(const tg__desk *d, double *w, double *e, tg__dense z)
{
    int64_t steps = 0;
    for (int64_t hi = z.n - 1; hi > 0;) {
        int64_t lo = hi;
        while (lo > 0 && fabs(e[lo - 1]) > DBL_EPSILON / 2 * (fabs(w[lo - 1]) + fabs(w[lo]))) lo--;
        if (lo == hi) hi--;
        else if (steps++ == 50 * z.n) return false;
        else qr_step(d, w, e, lo, hi, z);
    }
    return true;
}

void tg__dense_eigh(tg__desk *d, tg__dense a, double *w, tg__dense v)
{
    const size_t used = d->memory->used;
    const int64_t n = a.n;
    const tg__dense z = tg__dense_new(d, n, n);
    double *const e = take(d, n, sizeof *e), *const p = take(d, n, sizeof *p);
    if (d->failed) return;
    const bool finite = is_finite(a);
    const double unit = finite ? magnitude(a) : 1;
    for (int64_t i = 0; i < n; i++) scale_by(n, a.p + i * a.row, 1, 1 / unit);
    if (finite) make_tridiagonal(d, a, w, e, p, z);
    if (!finite || !diagonalise(d, w, e, z)) {
        for (int64_t i = 0; i < n; i++) w[i] = NAN;
        tg__dense_fill(d, v, NAN);
        d->memory->used = used;
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t next = i;
        for (int64_t j = i + 1; j < n; j++)
            if (w[j] < w[next]) next = j;
        const double x = w[i];
        w[i] = w[next];
        w[next] = x;
        exchange_rows(z, i, next);
        const double sign = sign_of(n, z.p + i * z.row, 1);
        for (int64_t j = 0; j < n; j++) *tg__dense_at(v, j, i) = sign * z.p[i * z.row + j];
    }
    scale_by(n, w, 1, unit);
    d->memory->used = used;
}

/* ---- singular values ------------------------------------------------------------------------- */

/* What is left of dependent rows gets smaller with every sweep. From here on, relative to the
   largest singular value, their products begin to vanish, and they are called zero. */
#define NOTHING 1e-100

/* Two rows and the rotation that makes them orthogonal. */
typedef struct turn {
    int64_t p, q;
    double both; /* their product */
} turn;

/* Rows of r being made orthogonal to each other (Jacobi's method, one-sided: section 8.6.3); j is turned along. */
typedef struct jacobi {
    const tg__dense_kernels *f;
    tg__dense r, j;
    double *square; /* of the norms of r's rows */
    double small;   /* cosines below it are rounding */
    turn *turn;     /* those of a round, so many: no row is in two of them */
    int64_t n;
    double *twice, *gap; /* by turn: twice the product, the difference of the squares; of any common magnitude */
    double *tangent, *cosine;
} jacobi;

/* Rows p and q are to be turned, unless they are orthogonal already. */
static void note_turn(jacobi *w, int64_t p, int64_t q)
{
    const double both = w->f->dot(w->r.n, w->r.p + p * w->r.row, w->r.p + q * w->r.row);
    const double x = w->square[p], y = w->square[q], gap = y - x;
    const bool usual = both * both > LEAST_SQUARE;
    if (usual ? both * both <= w->small * w->small * x * y : !(fabs(both) > w->small * sqrt(x) * sqrt(y))) return;
    const double unit = usual ? 1 : fmax(fabs(gap), 2 * fabs(both));
    w->turn[w->n] = (turn){ p, q, both };
    w->twice[w->n] = 2 * both / unit;
    w->gap[w->n++] = gap / unit;
}

static void find_angles(int64_t n, const double *restrict twice, const double *restrict gap, double *restrict tangent,
                        double *restrict cosine)
{
    for (int64_t i = 0; i < n; i++) {
        const double root = sqrt(gap[i] * gap[i] + twice[i] * twice[i]);
        tangent[i] = -twice[i] / (gap[i] + copysign(root, gap[i]));
        cosine[i] = 1 / sqrt(1 + tangent[i] * tangent[i]);
    }
}

/* A round's turns; false if there are none. */
static bool turn_rows(jacobi *w)
{
    const int64_t n = w->n;
    find_angles(n, w->twice, w->gap, w->tangent, w->cosine);
    for (int64_t i = 0; i < n; i++) {
        const turn *const k = &w->turn[i];
        const double t = w->tangent[i], c = w->cosine[i];
        w->f->rotate(w->r.n, w->r.p + k->p * w->r.row, w->r.p + k->q * w->r.row, c, c * t);
        w->f->rotate(w->j.n, w->j.p + k->p * w->j.row, w->j.p + k->q * w->j.row, c, c * t);
        w->square[k->p] += t * k->both;
        w->square[k->q] -= t * k->both;
    }
    w->n = 0;
    return n > 0;
}

/* Makes all rows of r orthogonal to each other; their norms come into s. A sweep goes over all pairs of rows as a
   tournament does (8.6.4), so that the processor works on a whole round at a time. */
static void orthogonalise(tg__desk *d, double precision, tg__dense r, tg__dense j, double *s)
{
    enum { SWEEPS = 60 };
    const int64_t even = r.m + r.m % 2, last = even - 1, most = even / 2;
    double *const numbers = take(d, 4 * most, sizeof *numbers);
    jacobi w = { .f = &d->k->dense, .r = r, .j = j, .square = s, .small = sqrt((double)r.n) * precision,
                 .turn = take(d, most, sizeof(turn)), .twice = numbers, .gap = numbers + most,
                 .tangent = numbers + 2 * most, .cosine = numbers + 3 * most };
    if (d->failed) return;
    bool turned = true;
    for (int sweep = 0; turned && sweep < SWEEPS; sweep++) {
        turned = false;
        for (int64_t i = 0; i < r.m; i++) s[i] = w.f->dot(r.n, r.p + i * r.row, r.p + i * r.row);
        for (int64_t round = 0; round < last; round++) {
            if (last < r.m) note_turn(&w, round, last);
            for (int64_t i = 1; i < most; i++) {
                const int64_t p = round + i < last ? round + i : round + i - last;
                const int64_t q = round >= i ? round - i : round - i + last;
                note_turn(&w, least(p, q), p < q ? q : p);
            }
            turned |= turn_rows(&w);
        }
    }
    for (int64_t i = 0; i < r.m; i++) s[i] = norm(r.n, r.p + i * r.row, 1);
}

/* Makes row i of v, of those before it none is zero, a unit vector orthogonal to them: what is left
   of the first axis that has enough left. */
static void complete(const tg__dense_kernels *f, tg__dense v, int64_t i)
{
    double *const row = v.p + i * v.row;
    for (int64_t axis = 0; axis < v.n; axis++) {
        for (int64_t k = 0; k < v.n; k++) row[k] = k == axis;
        for (int twice = 0; twice < 2; twice++)
            for (int64_t j = 0; j < i; j++)
                f->add_row(v.n, row, v.p + j * v.row, -f->dot(v.n, row, v.p + j * v.row));
        const double left = norm(v.n, row, 1);
        scale_by(v.n, row, 1, 1 / left);
        if (left * left * (double)v.n > 0.5) return; /* some axis has at least 1 / n left */
    }
}

/* The same for m >= n: a = q r, then rows of r are made orthogonal by j: a = (q j') (j r). */
static void tall_svd(tg__desk *d, tg__dense a, double precision, tg__dense u, double *s, tg__dense v)
{
    const int64_t n = a.n;
    const tg__dense copy = tg__dense_new(d, a.m, n), q = tg__dense_new(d, a.m, n);
    const tg__dense j = tg__dense_new(d, n, n);
    tg__dense_copy(d, copy, a);
    if (d->failed) return;
    const double unit = magnitude(a);
    for (int64_t i = 0; i < a.m; i++) scale_by(n, copy.p + i * copy.row, 1, 1 / unit);
    tg__dense_qr(d, copy, q);
    tg__dense_identity(d, j);
    if (d->failed) return;
    const tg__dense r = tg__dense_part(copy, 0, 0, n, n);
    orthogonalise(d, precision, r, j, s);
    if (d->failed) return;
    for (int64_t i = 0; i < n; i++) {
        int64_t next = i;
        for (int64_t k = i + 1; k < n; k++)
            if (s[k] > s[next]) next = k;
        const double x = s[i];
        s[i] = s[next];
        s[next] = x;
        exchange_rows(r, i, next);
        exchange_rows(j, i, next);
        if (s[i] > NOTHING * s[0]) {
            scale_by(n, r.p + i * r.row, 1, 1 / s[i]);
        } else {
            s[i] = 0;
            complete(&d->k->dense, r, i);
        }
    }
    tg__dense_product(d, u, q, tg__dense_turned(j));
    tg__dense_copy(d, v, r);
    scale_by(n, s, 1, unit);
}

void tg__dense_svd(tg__desk *d, tg__dense a, double precision, tg__dense u, double *s, tg__dense v)
{
    const size_t used = d->memory->used;
    const int64_t k = least(a.m, a.n);
    if (d->failed) return;
    if (!is_finite(a)) {
        for (int64_t i = 0; i < k; i++) s[i] = NAN;
        tg__dense_fill(d, u, NAN);
        tg__dense_fill(d, v, NAN);
        return;
    }
    if (a.m >= a.n) tall_svd(d, a, precision, u, s, v);
    else tall_svd(d, tg__dense_turned(a), precision, tg__dense_turned(v), s, tg__dense_turned(u));
    for (int64_t i = 0; !d->failed && i < k; i++) {
        const double sign = sign_of(u.m, u.p + i * u.column, u.row);
        scale_by(u.m, u.p + i * u.column, u.row, sign);
        scale_by(v.n, v.p + i * v.row, v.column, sign);
    }
    d->memory->used = used;
}
