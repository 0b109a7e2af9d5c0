/* Sweeps of linear algebra and einsum: factors are multiplied together again, in long double, and
   einsum is compared with plain loops over all its axes. Examples by hand are in
   test_values_tensors.c. */
#include "values.h"

#define SEED 11u

TestSuite(factors);

/* ---- matrices -------------------------------------------------------------------------------- */

static double drawn(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(*state >> 11) * 0x1p-52 - 1;
}

/* n random numbers of one magnitude, with f32 precision: both types get the same. */
static double *draw(int64_t n, double magnitude)
{
    uint64_t state = SEED;
    double *const x = malloc(((size_t)n + 1) * sizeof *x);
    cr_assert(x);
    for (int64_t i = 0; i < n; i++) x[i] = (double)(float)drawn(&state) * magnitude;
    return x;
}

static double *read_all(tg_value v)
{
    const int64_t n = tg_size(v);
    cr_assert(n >= 0);
    double *const x = malloc(((size_t)n + 1) * sizeof *x);
    cr_assert(x && tg_read(v, x, (size_t)n));
    return x;
}

/* A matrix (m, n) that lies transposed where turned. */
typedef struct matrix {
    const double *x;
    int64_t m, n;
    bool turned;
} matrix;

static real at(matrix a, int64_t i, int64_t j)
{
    return a.turned ? a.x[j * a.m + i] : a.x[i * a.n + j];
}

/* The largest element of a diag(s) b - c, with s or without; c NULL: the identity. */
static real residual(matrix a, const double *s, matrix b, const double *c)
{
    real worst = 0;
    for (int64_t i = 0; i < a.m; i++)
        for (int64_t j = 0; j < b.n; j++) {
            real sum = c ? -(real)c[i * b.n + j] : -(real)(i == j);
            for (int64_t k = 0; k < a.n; k++) sum += at(a, i, k) * (s ? s[k] : 1) * at(b, k, j);
            if (!(fabsl(sum) <= worst)) worst = isnan(sum) ? (real)INFINITY : fabsl(sum);
        }
    return worst;
}

static real largest(const double *x, int64_t n)
{
    real most = 0;
    for (int64_t i = 0; i < n; i++) most = fmaxl(most, fabsl((real)x[i]));
    return most;
}

static real epsilon(tg_type type)
{
    return type == TG_F32 ? (real)FLT_EPSILON : (real)DBL_EPSILON;
}

/* Orthogonal methods are backward stable: what n rotations of n elements round, seldom more than n
   ulp of the largest element, at most a few times that. */
#define EXPECT_SMALL(RESIDUAL, N, SCALE, TYPE, WHAT)                                               \
    do {                                                                                           \
        const real residual_ = (RESIDUAL), most_ = 4 * (real)((N) + 2) * epsilon(TYPE) * (SCALE);  \
        cr_expect(residual_ <= most_, "%s: residual %Lg, more than %Lg", WHAT, residual_, most_);  \
    } while (0)

static tg_tape *new_tape(tg_type type)
{
    return tg_tape_new(&(const tg_tape_options){ .type = type });
}

/* Below, in and beyond one block of the algorithms. */
static const int64_t sides[] = { 1, 2, 3, 4, 7, 31, 32, 33, 64, 100 };

/* ---- Gauss and Cholesky ---------------------------------------------------------------------- */

static void check_system(int64_t n, tg_type type)
{
    double *const a = draw(n * n, 1), *const w = draw(n * 3, 1);
    for (int64_t i = 0; i < n; i++) a[i * n + i] += i % 2 ? 3 : -3;
    tg_tape *const t = new_tape(type);
    const tg_value A = tg_param(t, a, n, n), B = tg_param(t, w, n, 3);
    double *const y = read_all(tg_inverse(A)), *const x = read_all(tg_solve(A, B));
    const matrix plain = { a, n, n, false };
    const real scale = largest(a, n * n) * (real)n;
    EXPECT_SMALL(residual(plain, NULL, (matrix){ y, n, n, false }, NULL), n,
                 scale * largest(y, n * n), type, "inverse");
    EXPECT_SMALL(residual(plain, NULL, (matrix){ x, n, 3, false }, w), n, scale * largest(x, n * 3),
                 type, "solve");
    const double log_det = tg_item(tg_logdet(A)), det = tg_item(tg_det(A));
    cr_expect(det < 0 ? isnan(log_det)
                      : isinf(det) || fabs(log(det) - log_det) <=
                                          ((double)(n + 8) + fabs(log_det)) * (double)epsilon(type),
              "det %g, logdet %g", det, log_det);
    cr_expect(!tg_error_of(t));
    tg_tape_free(t);
    free(a), free(w), free(x), free(y);
}

Test(factors, systems_and_inverses_satisfy_their_equations)
{
    for (int i = 0; i < COUNT(sides); i++) {
        check_system(sides[i], TG_F64);
        check_system(sides[i], TG_F32);
    }
}

static void check_triangle(int64_t n, tg_triangular_attributes how)
{
    double *const a = draw(n * n, 1), *const w = draw(n * 2, 1);
    for (int64_t i = 0; i < n * n; i++) a[i] /= (double)n;
    for (int64_t i = 0; i < n; i++) a[i * n + i] = 2;
    tg_tape *const t = new_tape(TG_F64);
    double *const x =
        read_all((tg_solve_triangular)(tg_param(t, a, n, n), tg_param(t, w, n, 2), &how));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            if (i == j && how.unit) a[i * n + j] = 1;
            if (how.upper ? j < i : j > i) a[i * n + j] = 0;
        }
    EXPECT_SMALL(residual((matrix){ a, n, n, how.transpose }, NULL, (matrix){ x, n, 2, false }, w),
                 n, 2 * largest(x, n * 2), TG_F64, "triangle");
    tg_tape_free(t);
    free(a), free(w), free(x);
}

Test(factors, triangles_of_every_kind_satisfy_their_equations)
{
    for (int i = 0; i < COUNT(sides); i++)
        for (int how = 0; how < 8; how++)
            check_triangle(sides[i], (tg_triangular_attributes){ how & 1, how & 2, how & 4 });
}

static void check_cholesky(int64_t n, tg_type type)
{
    double *const a = draw(n * n, 1);
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < i; j++) a[i * n + j] = a[j * n + i];
        a[i * n + i] = (double)n;
    }
    tg_tape *const t = new_tape(type);
    double *const l = read_all(tg_cholesky(tg_param(t, a, n, n)));
    EXPECT_SMALL(residual((matrix){ l, n, n, false }, NULL, (matrix){ l, n, n, true }, a), n,
                 (real)n, type, "cholesky");
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = i + 1; j < n; j++) cr_expect(l[i * n + j] == 0);
    tg_tape_free(t);
    free(a), free(l);
}

Test(factors, a_triangle_times_its_transpose_is_the_matrix)
{
    for (int i = 0; i < COUNT(sides); i++) {
        check_cholesky(sides[i], TG_F64);
        check_cholesky(sides[i], TG_F32);
    }
}

/* ---- orthogonal factors ---------------------------------------------------------------------- */

static void expect_orthonormal_columns(const double *q, int64_t m, int64_t k, tg_type type)
{
    EXPECT_SMALL(residual((matrix){ q, k, m, true }, NULL, (matrix){ q, m, k, false }, NULL), m, 1,
                 type, "orthonormal columns");
}

static void expect_orthonormal_rows(const double *v, int64_t k, int64_t n, tg_type type)
{
    EXPECT_SMALL(residual((matrix){ v, k, n, false }, NULL, (matrix){ v, n, k, true }, NULL), n, 1,
                 type, "orthonormal rows");
}

static void check_qr(const double *a, int64_t m, int64_t n, tg_type type)
{
    const int64_t k = m < n ? m : n;
    tg_tape *const t = new_tape(type);
    tg_value Q, R;
    cr_assert(tg_qr(tg_param(t, a, m, n), &Q, &R));
    double *const q = read_all(Q), *const r = read_all(R);
    EXPECT_SMALL(residual((matrix){ q, m, k, false }, NULL, (matrix){ r, k, n, false }, a), m + n,
                 largest(a, m * n), type, "qr");
    expect_orthonormal_columns(q, m, k, type);
    for (int64_t i = 0; i < k; i++) {
        cr_expect(r[i * n + i] >= 0);
        for (int64_t j = 0; j < i; j++) cr_expect(r[i * n + j] == 0);
    }
    tg_tape_free(t);
    free(q), free(r);
}

static void check_svd(const double *a, int64_t m, int64_t n, tg_type type)
{
    const int64_t k = m < n ? m : n;
    tg_tape *const t = new_tape(type);
    tg_value U, S, V;
    cr_assert(tg_svd(tg_param(t, a, m, n), &U, &S, &V));
    double *const u = read_all(U), *const s = read_all(S), *const v = read_all(V);
    EXPECT_SMALL(residual((matrix){ u, m, k, false }, s, (matrix){ v, k, n, false }, a), m + n,
                 largest(s, k), type, "svd");
    expect_orthonormal_columns(u, m, k, type);
    expect_orthonormal_rows(v, k, n, type);
    for (int64_t i = 0; i < k; i++) cr_expect(s[i] >= 0 && (i == 0 || s[i] <= s[i - 1]));
    tg_tape_free(t);
    free(u), free(s), free(v);
}

/* a becomes symmetric. */
static void check_eigh(double *a, int64_t n, tg_type type)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) a[i * n + j] = a[j * n + i];
    tg_tape *const t = new_tape(type);
    tg_value W, V;
    cr_assert(tg_eigh(tg_param(t, a, n, n), &W, &V));
    double *const w = read_all(W), *const v = read_all(V);
    EXPECT_SMALL(residual((matrix){ v, n, n, false }, w, (matrix){ v, n, n, true }, a), n,
                 largest(w, n), type, "eigh");
    expect_orthonormal_columns(v, n, n, type);
    for (int64_t i = 1; i < n; i++) cr_expect(w[i] >= w[i - 1]);
    tg_tape_free(t);
    free(w), free(v);
}

static const struct {
    int64_t m, n;
} shapes[] = { { 1, 1 },   { 2, 2 },   { 3, 3 },  { 5, 5 },  { 33, 33 },
               { 64, 64 }, { 3, 1 },   { 1, 3 },  { 7, 4 },  { 4, 7 },
               { 50, 20 }, { 20, 50 }, { 80, 3 }, { 3, 80 }, { 100, 100 } };

Test(factors, multiplied_together_they_are_the_matrix_again)
{
    for (int i = 0; i < COUNT(shapes); i++)
        for (int j = 0; j < 2; j++) {
            const int64_t m = shapes[i].m, n = shapes[i].n;
            const tg_type type = j ? TG_F32 : TG_F64;
            double *const a = draw(m * n, 1);
            check_qr(a, m, n, type);
            check_svd(a, m, n, type);
            if (m == n) check_eigh(a, n, type);
            free(a);
        }
}

/* Squares of these numbers are out of range. */
Test(factors, the_magnitude_of_the_elements_is_no_matter)
{
    static const double magnitudes[] = { 1e-300, 1e-200, 1e200, 1e300 };
    for (int i = 0; i < COUNT(magnitudes); i++) {
        double *const a = draw(6 * 6, magnitudes[i]);
        check_qr(a, 6, 6, TG_F64);
        check_svd(a, 6, 6, TG_F64);
        check_svd(a, 4, 9, TG_F64);
        check_eigh(a, 6, TG_F64);
        free(a);
    }
}

/* Matrices with few different rows, one row, none; with equal and with zero singular values. */
Test(factors, dependent_columns_and_equal_values_are_no_obstacle)
{
    enum { N = 12 };
    double a[N * N];
    for (int kinds = 0; kinds <= 3; kinds++) {
        for (int i = 0; i < N * N; i++)
            a[i] = kinds ? (double)((i / N % kinds + 1) * (i % N + 1) % 5) : 0;
        check_qr(a, N, N, TG_F64);
        check_svd(a, N, N, TG_F64);
        check_svd(a, N, 4, TG_F64);
        check_svd(a, 4, N, TG_F64);
        check_eigh(a, N, TG_F64);
    }
    for (int i = 0; i < N * N; i++) a[i] = i % (N + 1) == 0 ? 2 : 0;
    check_svd(a, N, N, TG_F64);
    check_eigh(a, N, TG_F64);
}

/* Second differences: the eigenvalues are 2 - 2 cos(k pi / (n + 1)), the determinant is n + 1. */
Test(factors, known_eigenvalues_and_determinants_are_found)
{
    for (int i = 0; i < COUNT(sides); i++) {
        const int64_t n = sides[i];
        double *const a = calloc((size_t)(n * n), sizeof *a);
        for (int64_t j = 0; j < n; j++) {
            a[j * n + j] = 2;
            if (j) a[j * n + j - 1] = a[(j - 1) * n + j] = -1;
        }
        tg_tape *const t = new_tape(TG_F64);
        const tg_value x = tg_param(t, a, n, n);
        tg_value W, S;
        cr_assert(tg_eigh(x, &W, NULL) && tg_svd(x, NULL, &S, NULL));
        double *const w = read_all(W), *const s = read_all(S);
        for (int64_t k = 1; k <= n; k++) {
            const double half = sin((double)k * acos(-1.0) / (double)(2 * n + 2));
            const double want = 4 * half * half, bound = 8 * (double)n * DBL_EPSILON;
            cr_expect(fabs(w[k - 1] - want) <= bound, "%lld: %.17g, not %.17g", (long long)n,
                      w[k - 1], want);
            cr_expect(fabs(s[n - k] - want) <= bound, "%lld: %.17g, not %.17g", (long long)n,
                      s[n - k], want);
        }
        const double bound = 4 * (double)(n * n) * DBL_EPSILON;
        cr_expect(fabs(tg_item(tg_det(x)) - (double)(n + 1)) <= bound * (double)n);
        cr_expect(fabs(tg_item(tg_logdet(x)) - log((double)(n + 1))) <= bound);
        tg_tape_free(t);
        free(a), free(w), free(s);
    }
}

Test(factors, a_batch_is_each_of_its_matrices)
{
    double *const a = draw(2 * 3 * 4 * 4, 1);
    for (int i = 0; i < 2 * 3 * 16; i++) a[i] += i % 16 % 5 == 0 ? 4 : 0;
    tg_tape *const t = new_tape(TG_F64);
    const tg_value all = tg_param(t, a, 2, 3, 4, 4);
    static const char *const ops[] = { "inverse", "det",  "logdet", "cholesky",
                                       "qr",      "eigh", "svd",    "trace" };
    for (int op = 0; op < COUNT(ops); op++) {
        const tg_value y = tg_apply(t, ops[op], &all, 1, NULL);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 3; j++) {
                const tg_value one = tg_at(all, i, j);
                double *const got = read_all(tg_at(y, i, j));
                double *const want = read_all(tg_apply(t, ops[op], &one, 1, NULL));
                const size_t bytes = (size_t)tg_size(tg_at(y, i, j)) * sizeof *got;
                cr_expect(memcmp(got, want, bytes) == 0, "%s (%d, %d)", ops[op], i, j);
                free(got), free(want);
            }
    }
    cr_expect(!tg_error_of(t));
    tg_tape_free(t);
    free(a);
}

Test(factors, parts_that_are_not_asked_for_may_be_null)
{
    tg_tape *const t = new_tape(TG_F64);
    const double x[] = { 2, 1, 1, 3 };
    const tg_value a = tg_param(t, x, 2, 2);
    tg_value q = a, r = a, w = a, v = a, u = a, s = a;
    cr_expect(tg_qr(a, &q, NULL) && tg_qr(a, NULL, &r) && tg_qr(a, NULL, NULL));
    cr_expect(tg_eigh(a, NULL, &v) && tg_svd(a, &u, NULL, NULL) && tg_svd(a, NULL, &s, &w));
    const tg_value y = tg_add(tg_matmul(q, v), tg_mul(u, tg_mul(w, r)));
    cr_expect(tg_size(s) == 2 && tg_backward(tg_sum(y)));
    tg_tape_free(t);
}

/* ---- einsum ---------------------------------------------------------------------------------- */

typedef struct sum {
    const char *equation;
    int n;
    const char *operand[4];
    const char *result;
} sum;

/* The length of a letter's axis. */
static int64_t length_of(char letter)
{
    static const int64_t lengths[] = { 2, 3, 4, 5, 1, 7, 2, 3 };
    return lengths[(letter - 'a') % COUNT(lengths)];
}

/* Where an element lies, for positions by letter. */
static int64_t offset_of(const char *letters, const int64_t *position)
{
    int64_t offset = 0;
    for (; *letters; letters++) offset = offset * length_of(*letters) + position[*letters - 'a'];
    return offset;
}

static int64_t volume_of(const char *letters)
{
    int64_t n = 1;
    for (; *letters; letters++) n *= length_of(*letters);
    return n;
}

static void by_definition(const sum *f, double *const *x, real *y, real *scale)
{
    char all[27] = "";
    int64_t position[26] = { 0 };
    for (int i = 0; i < f->n; i++)
        for (const char *p = f->operand[i]; *p; p++)
            if (!strchr(all, *p)) all[strlen(all)] = *p;
    for (int64_t i = 0; i < volume_of(all); i++) {
        int64_t rest = i;
        for (const char *p = all; *p; p++) {
            position[*p - 'a'] = rest % length_of(*p);
            rest /= length_of(*p);
        }
        real term = 1;
        for (int j = 0; j < f->n; j++) term *= x[j][offset_of(f->operand[j], position)];
        y[offset_of(f->result, position)] += term;
        scale[offset_of(f->result, position)] += fabsl(term);
    }
}

static tg_value operand_of(tg_tape *t, const char *letters, const double *x)
{
    int64_t dim[TG_MAX_RANK];
    int rank = 0;
    for (; letters[rank]; rank++) dim[rank] = length_of(letters[rank]);
    return tg_leaf_new(t, TG_PARAMETER, TG_F64, x, rank, dim, TG_HERE);
}

static void check_sum(const sum *f, tg_type type)
{
    tg_tape *const t = new_tape(type);
    tg_value x[4];
    double *data[4];
    for (int i = 0; i < f->n; i++) {
        data[i] = draw(volume_of(f->operand[i]), 1 + i);
        x[i] = operand_of(t, f->operand[i], data[i]);
    }
    const tg_value y = tg_einsum_at(
        x, f->n, tg__equation(&(tg_einsum_attributes){ TG_DEFAULTS_einsum }, f->equation), TG_HERE);
    const int64_t n = volume_of(f->result);
    real *const want = calloc((size_t)n, sizeof *want), *const scale =
                                                            calloc((size_t)n, sizeof *scale);
    cr_assert(want && scale && tg_size(y) == n, "%s: %s", f->equation,
              tg_error_of(t) ? tg_error_of(t)->message : "another size");
    by_definition(f, data, want, scale);
    double *const got = read_all(y);
    for (int64_t i = 0; i < n; i++)
        cr_expect(fabsl(got[i] - want[i]) <= 16 * epsilon(type) * scale[i], "%s, element %lld",
                  f->equation, (long long)i);
    for (int i = 0; f->result[i]; i++) cr_expect(tg_dim(y, i) == length_of(f->result[i]));
    tg_tape_free(t);
    for (int i = 0; i < f->n; i++) free(data[i]);
    free(want), free(scale), free(got);
}

Test(factors, einsums_are_those_of_plain_loops)
{
    static const sum sums[] = {
        { "abc->cab", 1, { "abc" }, "cab" },
        { "abc->b", 1, { "abc" }, "b" },
        { "abc->", 1, { "abc" }, "" },
        { "aab->b", 1, { "aab" }, "b" },
        { "aabb->ab", 1, { "aabb" }, "ab" },
        { "aba", 1, { "aba" }, "b" },
        { "dcba", 1, { "dcba" }, "abcd" },
        { "ab,bc->ac", 2, { "ab", "bc" }, "ac" },
        { "ab,bc->ca", 2, { "ab", "bc" }, "ca" },
        { "ba,cb->ac", 2, { "ba", "cb" }, "ac" },
        { "ab,bc", 2, { "ab", "bc" }, "ac" },
        { "dab,dbc->dac", 2, { "dab", "dbc" }, "dac" },
        { "abd,dbc->acd", 2, { "abd", "dbc" }, "acd" },
        { "abd,cbd->dca", 2, { "abd", "cbd" }, "dca" },
        { "abcd,cbef->daef", 2, { "abcd", "cbef" }, "daef" },
        { "ab,ab->ab", 2, { "ab", "ab" }, "ab" },
        { "ab,ba->ba", 2, { "ab", "ba" }, "ba" },
        { "ab,ab->a", 2, { "ab", "ab" }, "a" },
        { "abc,d->b", 2, { "abc", "d" }, "b" },
        { "ab,cd->acbd", 2, { "ab", "cd" }, "acbd" },
        { "abcb,ad->cd", 2, { "abcb", "ad" }, "cd" },
        { "ab,bc,cd->ad", 3, { "ab", "bc", "cd" }, "ad" },
        { "ab,ac,ad->bcd", 3, { "ab", "ac", "ad" }, "bcd" },
        { "a,a,b,b->ba", 4, { "a", "a", "b", "b" }, "ba" },
        { "abc,cd,,dbf->fa", 4, { "abc", "cd", "", "dbf" }, "fa" },
        { "a...,...b->...", 2, { "acd", "cdb" }, "cd" },
        { "...a,...->a...", 2, { "cda", "cd" }, "acd" },
        { "...,d", 2, { "abc", "d" }, "abcd" },
        { " ab , bc -> ac ", 2, { "ab", "bc" }, "ac" },
    };
    for (int i = 0; i < COUNT(sums); i++) {
        check_sum(&sums[i], TG_F64);
        check_sum(&sums[i], TG_F32);
    }
}

Test(factors, einsum_takes_its_operands_one_by_one)
{
    tg_tape *const t = new_tape(TG_F64);
    const double x[] = { 1, 2, 3, 4, 5, 6 };
    const tg_value a = tg_param(t, x, 2, 3), b = tg_param(t, x, 3, 2);
    const tg_value y = tg_einsum("ij,jk->ik", a, tg_einsum("jk->jk", b));
    cr_expect(tg_item(tg_at(y, 0, 1)) == 28 && tg_item(tg_einsum("ij,ji", a, b)) == 22 + 64);
    cr_expect(!tg_error_of(t));
    tg_tape_free(t);
}
