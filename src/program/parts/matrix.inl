/* Factorisations of row-major matrices, by the algorithms of ops/dense.c without its blocks (Golub
   and Van Loan, Matrix Computations, 4th edition): see math.inl. */

/* y += a x */
static void NAME_add_row(int n, double *y, double a, const double *x)
{
    for (int i = 0; i < n; i++) y[i] += a * x[i];
}

static void NAME_exchange(int n, double *x, double *y)
{
    for (int i = 0; i < n; i++) {
        const double a = x[i];
        x[i] = y[i];
        y[i] = a;
    }
}

/* Gauss with partial pivoting: a (n, n) becomes upper triangular, and b (n, k) undergoes the same;
   the sign of the exchanges (Golub and Van Loan 3.4) */
static double NAME_eliminate(int n, double *a, int k, double *b)
{
    double sign = 1;
    for (int j = 0; j < n; j++) {
        int best = j;
        for (int i = j + 1; i < n; i++)
            if (fabs(a[i * n + j]) > fabs(a[best * n + j])) best = i;
        if (best != j) {
            NAME_exchange(n, a + j * n, a + best * n);
            NAME_exchange(k, b + j * k, b + best * k);
            sign = -sign;
        }
        for (int i = j + 1; i < n && a[j * n + j] != 0; i++) {
            const double factor = a[i * n + j] / a[j * n + j];
            NAME_add_row(n - j, a + i * n + j, -factor, a + j * n + j);
            NAME_add_row(k, b + i * k, -factor, b + j * k);
        }
    }
    return sign;
}

/* b (n, k) = a^-1 b for a triangle of a (n, n); false if its diagonal has a 0 (Golub and Van Loan 3.1) */
static bool NAME_solve_triangular(int n, const double *a, bool lower, bool unit, int k, double *b)
{
    for (int step = 0; step < n; step++) {
        const int i = lower ? step : n - 1 - step;
        const double pivot = unit ? 1 : a[i * n + i];
        if (pivot == 0) return false;
        for (int known = 0; known < step; known++) {
            const int j = lower ? known : n - 1 - known;
            NAME_add_row(k, b + i * k, -a[i * n + j], b + j * k);
        }
        for (int j = 0; j < k; j++) b[i * k + j] /= pivot;
    }
    return true;
}

/* b (n, k) = a^-1 b, where a (n, n) is used up; false if a is singular */
static bool NAME_solve(int n, double *a, int k, double *b)
{
    NAME_eliminate(n, a, k, b);
    return NAME_solve_triangular(n, a, false, false, k, b);
}

/* y = a^-1, where a is used up; false if there is none */
static bool NAME_inverse(int n, double *a, double *y)
{
    for (int i = 0; i < n * n; i++) y[i] = i % (n + 1) == 0;
    return NAME_solve(n, a, n, y);
}

static void NAME_inverse_or_nan(int n, double *a, double *y)
{
    if (NAME_inverse(n, a, y)) return;
    for (int i = 0; i < n * n; i++) y[i] = (double)NAN;
}

/* the determinant of a, which is used up */
static void NAME_det(int n, double *a, double *y)
{
    *y = NAME_eliminate(n, a, 0, a);
    for (int i = 0; i < n; i++) *y = a[i * n + i] == 0 ? 0 : *y * a[i * n + i];
}

/* its logarithm; NaN if it is negative */
static void NAME_logdet(int n, double *a, double *y)
{
    double sign = NAME_eliminate(n, a, 0, a), sum = 0;
    bool singular = false;
    for (int i = 0; i < n; i++) {
        if (a[i * n + i] < 0) sign = -sign;
        sum += log(fabs(a[i * n + i]));
        singular = singular || a[i * n + i] == 0;
    }
    *y = singular ? -(double)INFINITY : sign < 0 ? (double)NAN : sum;
}

/* y = L with L L' = (a + a') / 2; false if that is not positive definite (Golub and Van Loan 4.2.5) */
static bool NAME_cholesky(int n, const double *a, double *y)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int k = 0; k < i && k < j; k++) sum += y[i * n + k] * y[j * n + k];
            const double rest = a[i * n + j] / 2 + a[j * n + i] / 2 - sum;
            if (i == j && !(rest > 0)) return false;
            y[i * n + j] = j > i ? 0 : i == j ? sqrt(rest) : rest / y[j * n + j];
        }
    return true;
}

static double NAME_largest(int n, const double *x, int step)
{
    double most = 0;
    for (int i = 0; i < n; i++) most = fmax(most, fabs(x[i * step]));
    return most;
}

/* the norm, whatever the magnitude of the elements */
static double NAME_length(int n, const double *x, int step)
{
    const double most = NAME_largest(n, x, step);
    double sum = 0;
    if (most == 0) return 0;
    for (int i = 0; i < n; i++) sum += (x[i * step] / most) * (x[i * step] / most);
    return most * sqrt(sum);
}

static double NAME_inner(int n, const double *x, const double *y)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static void NAME_scale(int n, double *x, int step, double a)
{
    for (int i = 0; i < n; i++) x[i * step] *= a;
}

/* x, y = c x + s y, c y - s x */
static void NAME_rotate(int n, double *x, double *y, double c, double s)
{
    for (int i = 0; i < n; i++) {
        const double a = x[i], b = y[i];
        x[i] = c * a + s * b;
        y[i] = c * b - s * a;
    }
}

/* the sign of the first component that is half of the largest one or more */
static double NAME_sign_of(int n, const double *x, int step)
{
    const double half = NAME_largest(n, x, step) / 2;
    for (int i = 0; i < n; i++)
        if (fabs(x[i * step]) >= half) return x[i * step] < 0 ? -1 : 1;
    return 1;
}

/* a power of two near the largest element; NaN if one is not finite */
static double NAME_magnitude(int n, const double *a)
{
    int exponent;
    for (int i = 0; i < n; i++)
        if (!isfinite(a[i])) return (double)NAN;
    const double most = NAME_largest(n, a, 1);
    if (most == 0) return 1;
    frexp(most, &exponent);
    return ldexp(1, exponent < -1000 ? -1000 : exponent - 1);
}

/* makes x the vector v, v[0] = 1, of the reflection I - tau v v' that takes it to a multiple, left
   in x[0], of the first axis; tau (Golub and Van Loan 5.1) */
static double NAME_reflection(int n, double *x, int step)
{
    const double length = NAME_length(n, x, step);
    if (n < 2 || NAME_largest(n - 1, x + step, step) == 0) return 0;
    const double beta = x[0] > 0 ? -length : length, away = x[0] - beta;
    for (int i = 1; i < n; i++) x[i * step] /= away;
    x[0] = beta;
    return -away / beta;
}

/* a (m, n) = (I - tau v v') a, whose rows are `row` apart; v[0], which is 1, is not looked at */
static void NAME_reflect(int m, int n, double *a, int row, const double *v, int step, double tau)
{
    for (int j = 0; j < n && tau != 0; j++) {
        double sum = a[j];
        for (int i = 1; i < m; i++) sum += v[i * step] * a[i * row + j];
        a[j] -= tau * sum;
        for (int i = 1; i < m; i++) a[i * row + j] -= tau * sum * v[i * step];
    }
}

/* a (m, n), which is used up, as y: Q (m, k) with orthonormal columns, then R (k, n) with a diagonal
   that is not negative; k: the lesser of m and n. room: k (Golub and Van Loan 5.2) */
static void NAME_qr(int m, int n, double *a, double *y, double *room)
{
    const int k = m < n ? m : n;
    double *const q = y, *const r = y + m * k;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < k; j++) q[i * k + j] = i == j;
    for (int j = 0; j < k; j++) {
        double *const v = a + j * n + j;
        room[j] = NAME_reflection(m - j, v, n);
        NAME_reflect(m - j, n - j - 1, v + 1, n, v, n, room[j]);
    }
    for (int j = k - 1; j >= 0; j--)
        NAME_reflect(m - j, k - j, q + j * k + j, k, a + j * n + j, n, room[j]);
    for (int i = 0; i < k; i++)
        for (int j = 0; j < n; j++) r[i * n + j] = j < i ? 0 : a[i * n + j];
    for (int j = 0; j < k; j++) {
        if (!(r[j * n + j] < 0)) continue;
        NAME_scale(n, r + j * n, 1, -1);
        NAME_scale(m, q + j, k, -1);
    }
}

/* symmetric a = q t q' with t tridiagonal, its diagonal in w and the one beside it in e; the rows of
   z become q's columns (Golub and Van Loan 8.3.1) */
static void NAME_tridiagonal(int n, double *a, double *w, double *e, double *p, double *z)
{
    for (int k = 0; k + 1 < n; k++) {
        double *const v = a + k * n + k + 1, *const below = v + n;
        const int rest = n - k - 1;
        const double tau = NAME_reflection(rest, v, 1);
        e[k] = v[0];
        a[(k + 1) * n + k] = tau;
        v[0] = 1;
        for (int i = 0; i < rest; i++) p[i] = tau * NAME_inner(rest, below + i * n, v);
        NAME_add_row(rest, p, -tau / 2 * NAME_inner(rest, p, v), v);
        for (int i = 0; i < rest; i++) {
            NAME_add_row(rest, below + i * n, -v[i], p);
            NAME_add_row(rest, below + i * n, -p[i], v);
        }
    }
    for (int i = 0; i < n; i++) w[i] = a[i * n + i];
    for (int i = 0; i < n * n; i++) z[i] = i % (n + 1) == 0;
    for (int k = n - 2; k >= 0; k--)
        NAME_reflect(n - k - 1, n - k - 1, z + (k + 1) * (n + 1), n, a + k * n + k + 1, 1,
                     a[(k + 1) * n + k]);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++) NAME_exchange(1, z + i * n + j, z + j * n + i);
}

/* one step of the QR algorithm with Wilkinson's shift on rows lo ... hi of a tridiagonal matrix
   (Golub and Van Loan 8.3.5) */
static void NAME_qr_step(int n, double *w, double *e, int lo, int hi, double *z)
{
    const double half = (w[hi - 1] - w[hi]) / 2, b = e[hi - 1];
    double x = w[lo] - (w[hi] - b / (half + copysign(hypot(half, b), half)) * b), y = e[lo];
    for (int k = lo; k < hi; k++) {
        const double r = hypot(x, y), c = r > 0 ? x / r : 1, s = r > 0 ? y / r : 0;
        if (k > lo) e[k - 1] = r;
        const double f = e[k], gap = w[k + 1] - w[k], move = s * (s * gap + 2 * c * f);
        w[k] += move;
        w[k + 1] -= move;
        e[k] = c * s * gap + (c - s) * (c + s) * f;
        NAME_rotate(n, z + k * n, z + (k + 1) * n, c, s);
        if (k + 1 == hi) break;
        x = e[k];
        y = s * e[k + 1];
        e[k + 1] *= c;
    }
}

/* (a + a') / 2, a (n, n) being used up, as y: eigenvalues (n), rising, then eigenvectors in columns
   (n, n), each of the sign that makes its first large component positive. room: n (n + 2) */
static void NAME_eigh(int n, double *a, double *y, double *room)
{
    double *const w = y, *const v = y + n, *const z = room, *const e = z + n * n, *const p = e + n;
    for (int i = 0; i < n; i++)
        for (int j = 0; j <= i; j++)
            a[i * n + j] = a[j * n + i] = a[i * n + j] / 2 + a[j * n + i] / 2;
    const double unit = NAME_magnitude(n * n, a);
    for (int i = 0; i < n + n * n; i++) y[i] = (double)NAN;
    if (!isfinite(unit)) return;
    NAME_scale(n * n, a, 1, 1 / unit);
    NAME_tridiagonal(n, a, w, e, p, z);
    for (int hi = n - 1; hi > 0;) {
        int lo = hi;
        while (lo > 0 && fabs(e[lo - 1]) > 0x1p-53 * (fabs(w[lo - 1]) + fabs(w[lo]))) lo--;
        if (lo == hi) hi--;
        else NAME_qr_step(n, w, e, lo, hi, z);
    }
    for (int i = 0; i < n; i++) {
        int next = i;
        for (int j = i + 1; j < n; j++)
            if (w[j] < w[next]) next = j;
        NAME_exchange(1, w + i, w + next);
        NAME_exchange(next == i ? 0 : n, z + i * n, z + next * n);
        const double sign = NAME_sign_of(n, z + i * n, 1);
        for (int j = 0; j < n; j++) v[j * n + i] = sign * z[i * n + j];
    }
    NAME_scale(n, w, 1, unit);
}

/* makes rows p and q of r (n, n) orthogonal, and turns those of j along; square has the squares of
   the rows' norms. False if they are orthogonal already (Jacobi's method, one-sided: Golub and Van Loan 8.6.3) */
static bool NAME_turn(int n, double *r, double *j, double *square, int p, int q)
{
    const double both = NAME_inner(n, r + p * n, r + q * n);
    if (!(fabs(both) > sqrt((double)n) * 0x1p-52 * sqrt(square[p]) * sqrt(square[q]))) return false;
    const double zeta = (square[q] - square[p]) / (2 * both);
    const double t = -copysign(1 / (fabs(zeta) + hypot(1, zeta)), zeta), c = 1 / hypot(1, t);
    NAME_rotate(n, r + p * n, r + q * n, c, c * t);
    NAME_rotate(n, j + p * n, j + q * n, c, c * t);
    square[p] += t * both;
    square[q] -= t * both;
    return true;
}

/* makes row i of v (n, n) a unit vector orthogonal to those before it: what is left of the first
   axis that has enough left */
static void NAME_complete(int n, double *v, int i)
{
    double *const row = v + i * n;
    for (int axis = 0; axis < n; axis++) {
        for (int k = 0; k < n; k++) row[k] = k == axis;
        for (int twice = 0; twice < 2; twice++)
            for (int j = 0; j < i; j++)
                NAME_add_row(n, row, -NAME_inner(n, row, v + j * n), v + j * n);
        const double left = NAME_length(n, row, 1);
        NAME_scale(n, row, 1, 1 / left);
        if (left * left * n > 0.5) return;
    }
}

/* a (m, n), m >= n, which is used up: a = u diag(s) v, s falling, u (m, n), v (n, n). By a = q r,
   and rows of r that are made orthogonal by j: a = (q j') (j r). room: n (m + 2 n + 1) */
static void NAME_tall_svd(int m, int n, double *a, double *u, double *s, double *v, double *room)
{
    double *const q = room, *const r = q + m * n, *const j = r + n * n;
    const double unit = NAME_magnitude(m * n, a);
    NAME_scale(m * n, a, 1, 1 / unit);
    NAME_qr(m, n, a, q, j + n * n);
    for (int i = 0; i < n * n; i++) j[i] = i % (n + 1) == 0;
    bool turned = true;
    for (int sweep = 0; turned && sweep < 60; sweep++) {
        turned = false;
        for (int i = 0; i < n; i++) s[i] = NAME_inner(n, r + i * n, r + i * n);
        for (int i = 0; i < n; i++)
            for (int k = i + 1; k < n; k++) turned = NAME_turn(n, r, j, s, i, k) || turned;
    }
    for (int i = 0; i < n; i++) s[i] = NAME_length(n, r + i * n, 1);
    for (int i = 0; i < n; i++) {
        int next = i;
        for (int k = i + 1; k < n; k++)
            if (s[k] > s[next]) next = k;
        NAME_exchange(1, s + i, s + next);
        NAME_exchange(next == i ? 0 : n, r + i * n, r + next * n);
        NAME_exchange(next == i ? 0 : n, j + i * n, j + next * n);
        if (s[i] > 1e-100 * s[0]) { /* what is less than that is left of dependent rows */
            NAME_scale(n, r + i * n, 1, 1 / s[i]);
        } else {
            s[i] = 0;
            NAME_complete(n, r, i);
        }
    }
    for (int i = 0; i < m; i++)
        for (int k = 0; k < n; k++) u[i * n + k] = NAME_inner(n, q + i * n, j + k * n);
    for (int i = 0; i < n * n; i++) v[i] = r[i];
    NAME_scale(n, s, 1, unit);
}

static void NAME_transpose(int m, int n, const double *x, double *y)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) y[j * m + i] = x[i * n + j];
}

/* a (m, n), which is used up, as y: U (m, k), then singular values (k), falling, then V (k, n); each
   column of U has the sign that makes its first large component positive. room: k (3 l + 3 k + 1),
   where l is the greater of m and n and k the lesser */
static void NAME_svd(int m, int n, double *a, double *y, double *room)
{
    const int k = m < n ? m : n;
    double *const u = y, *const s = u + m * k, *const v = s + k;
    const int all = m * k + k + k * n;
    for (int i = 0; i < all; i++) y[i] = (double)NAN;
    if (!isfinite(NAME_magnitude(m * n, a))) return;
    if (m >= n) {
        NAME_tall_svd(m, n, a, u, s, v, room);
    } else {
        double *const turned = room, *const tu = turned + m * n, *const tv = tu + m * n;
        NAME_transpose(m, n, a, turned);
        NAME_tall_svd(n, m, turned, tu, s, tv, tv + m * m);
        NAME_transpose(m, m, tv, u);
        NAME_transpose(n, m, tu, v);
    }
    for (int i = 0; i < k; i++) {
        const double sign = NAME_sign_of(m, u + i, k);
        NAME_scale(m, u + i, k, sign);
        NAME_scale(n, v + i * n, 1, sign);
    }
}

/* y = u diag(c) v for the a (n, n) = u diag(s) v, which is used up, where c[i] is the product of all
   s but s[i], with the sign of the determinants of u and v (G. W. Stewart, On the adjugate matrix,
   1998). room: 3 n n + n + 6 n n + n */
static void NAME_cofactor_by_svd(int n, double *a, double *y, double *room)
{
    double *const u = room, *const s = u + n * n, *const v = s + n, *const copy = v + n * n;
    double du, dv;
    NAME_svd(n, n, a, u, copy);
    for (int i = 0; i < n * n; i++) copy[i] = u[i];
    NAME_det(n, copy, &du);
    for (int i = 0; i < n * n; i++) copy[i] = v[i];
    NAME_det(n, copy, &dv);
    for (int i = 0; i < n; i++) {
        double others = copysign(1, du) * copysign(1, dv);
        for (int j = 0; j < n; j++)
            if (j != i) others *= s[j];
        NAME_scale(n, v + i * n, 1, others);
    }
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            y[i * n + j] = 0;
            for (int k = 0; k < n; k++) y[i * n + j] += u[i * n + k] * v[k * n + j];
        }
}

/* the cofactors of a (n, n), which is used up: det(a) a^-1' where there is an inverse. room:
   n (8 n + 2) */
static void NAME_cofactor(int n, double *a, double *y, double *room)
{
    double det;
    for (int i = 0; i < n * n; i++) room[i] = a[i];
    NAME_det(n, room, &det);
    for (int i = 0; i < n * n; i++) room[i] = a[i];
    if (n == 1) {
        y[0] = 1;
    } else if (NAME_inverse(n, room, y)) {
        NAME_transpose(n, n, y, room);
        for (int i = 0; i < n * n; i++) y[i] = det * room[i];
    } else {
        NAME_cofactor_by_svd(n, a, y, room);
    }
}
