/* How many wrong gradients does the check find, and how many does it understand? Faults planted by
   hand in gradients that people derive; faults made by a seed; and correct functions of the
   nastier kinds, of which none may be called wrong. The numbers are printed. */
#include <tapegrad.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 20261107u

/* ---- data ------------------------------------------------------------------------------------ */

static uint64_t state;

static uint64_t bits(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double between(double low, double high)
{
    return low + (high - low) * (double)(bits() >> 11) * 0x1p-53;
}

static size_t below(size_t n)
{
    return (size_t)(bits() % n);
}

/* Numbers that stay the same in every run: of no particular pattern. */
static double datum(size_t i, size_t j)
{
    return sin(1.7 + 2.3 * (double)i + 3.1 * (double)j * (double)j) + 0.1 * (double)(i % 3);
}

/* ---- faults by hand -------------------------------------------------------------------------- */

/* A problem's gradient takes the number of the fault to make: 0 is right. */
typedef struct fault {
    int number;
} fault;

static int number_of(void *user)
{
    return user ? ((const fault *)user)->number : 0;
}

/* Logistic regression: samples (S, D), labels; x is w (D); mean loss and a penalty. */
enum { S = 7, D = 4 };

static double logistic(const double *w, size_t n, void *user)
{
    (void)user;
    double loss = 0;
    for (size_t s = 0; s < S; s++) {
        double z = 0;
        for (size_t j = 0; j < n; j++) z += datum(s, j) * w[j];
        loss += log1p(exp(z)) - (s % 2 ? z : 0);
    }
    for (size_t j = 0; j < n; j++) loss += 0.3 * S * w[j] * w[j];
    return loss / S;
}

static void logistic_gradient(const double *w, size_t n, double *g, void *user)
{
    const int bug = number_of(user);
    if (bug != 9)
        for (size_t j = 0; j < n; j++) g[j] = bug == 1 ? 0 : 0.6 * w[j];
    for (size_t s = 0; s < (bug == 2 ? 1 : S); s++) {
        double z = 0;
        for (size_t j = 0; j < n; j++) z += datum(s, j) * w[j];
        const double p = 1 / (1 + exp(-z)), r = p - (double)(s % 2);
        for (size_t j = 0; j < n; j++) {
            const double term = datum(s, j) * (bug == 3 ? p : r) / S;
            if (bug == 4) g[j] = term + 0.6 * w[j];
            else g[j] += bug == 5 ? -term : term;
        }
    }
    for (size_t j = 0; j < n; j++) {
        if (bug == 6) g[j] = -g[j];
        if (bug == 7) g[j] *= S;
        if (bug == 8 && j == n - 1) g[j] = 0;
    }
}

/* Softmax cross-entropy of logits (B, C) with labels; the mean over B. */
enum { B = 3, C = 4 };

static double cross_entropy(const double *x, size_t n, void *user)
{
    (void)n, (void)user;
    double loss = 0;
    for (size_t b = 0; b < B; b++) {
        double sum = 0;
        for (size_t c = 0; c < C; c++) sum += exp(x[b * C + c]);
        loss += log(sum) - x[b * C + b];
    }
    return loss / B;
}

static void cross_entropy_gradient(const double *x, size_t n, double *g, void *user)
{
    const int bug = number_of(user);
    for (size_t b = 0; b < (bug == 1 ? 1 : B); b++) {
        double sum = 0;
        for (size_t c = 0; c < C; c++) sum += exp(x[b * C + c]);
        for (size_t c = 0; c < C; c++) {
            const double p = exp(x[b * C + c]) / sum, y = bug == 2 ? 0 : c == b;
            const size_t at = bug == 3 ? c * B + b : bug == 4 ? b * C + (c + 1) % C : b * C + c;
            const double v = (p - y) / (bug == 5 ? 1 : B);
            if (bug == 6) g[at] += v;
            else if (bug == 7 && c == 0) g[at] = -v;
            else if (bug == 8) g[(at + C) % (B * C)] = v;
            else g[at] = v;
        }
    }
    for (size_t i = 0; i < n && bug == 1; i++)
        if (i >= C) g[i] = 0;
    if (bug == 9) g[n] = 0;
}

/* A layer, sum u tanh(W x), with respect to W (R, K). */
enum { R = 3, K = 5 };

static double layer(const double *w, size_t n, void *user)
{
    (void)n, (void)user;
    double sum = 0;
    for (size_t i = 0; i < R; i++) {
        double z = 0;
        for (size_t k = 0; k < K; k++) z += w[i * K + k] * datum(k, 9);
        sum += datum(i, 4) * tanh(z);
    }
    return sum;
}

static void layer_gradient(const double *w, size_t n, double *g, void *user)
{
    const int bug = number_of(user);
    for (size_t i = 0; i < R; i++) {
        double z = 0;
        for (size_t k = 0; k < K; k++) z += w[i * K + k] * datum(k, 9);
        const double y = tanh(z), dz = datum(i, 4) * (bug == 1 ? 1 - y : bug == 2 ? 1 : 1 - y * y);
        for (size_t k = 0; k < K; k++) {
            const size_t at = bug == 3 ? k * R + i : i * K + k;
            if (bug == 4 && i == 1) continue;
            g[at] = dz * datum(bug == 5 ? (k + 1) % K : k, 9);
            if (bug == 6 && i == 2) g[at] *= 2;
            if (bug == 7 && k == 0) g[at] = 0;
            if (bug == 8) g[at] = -g[at];
        }
    }
    if (bug == 9) {
        const double swap = g[2];
        g[2] = g[7], g[7] = swap;
    }
    if (bug == 10)
        for (size_t i = 0; i < n / 2; i++) {
            const double swap = g[i];
            g[i] = g[n - 1 - i], g[n - 1 - i] = swap;
        }
}

/* Rosenbrock's function of n numbers. */
static double rosenbrock(const double *x, size_t n, void *user)
{
    (void)user;
    double sum = 0;
    for (size_t i = 0; i + 1 < n; i++)
        sum += 100 * pow(x[i + 1] - x[i] * x[i], 2) + pow(1 - x[i], 2);
    return sum;
}

static void rosenbrock_gradient(const double *x, size_t n, double *g, void *user)
{
    const int bug = number_of(user);
    for (size_t i = 0; i < n; i++) {
        const double after = i + 1 < n ? -400 * x[i] * (x[i + 1] - x[i] * x[i]) : 0;
        const double before = i > 0 ? 200 * (x[i] - x[i - 1] * x[i - 1]) : 0;
        const double last = i + 1 < n ? -2 * (1 - x[i]) : 0;
        g[i] = (bug == 1 ? after / 2 : after) + (bug == 2 ? 0 : before) + (bug == 3 ? 0 : last);
        if (bug == 4) g[i] /= 2;
        if (bug == 5 && i + 1 == n) g[i] = 0;
        if (bug == 6 && i == 0) g[i] = -g[i];
    }
    if (bug == 7) memmove(g + 1, g, (n - 1) * sizeof *g);
    if (bug == 8) ((double *)(uintptr_t)x)[0] += 1;
}

/* x'Ax / 2 with an A that is not symmetric. */
static double quadratic(const double *x, size_t n, void *user)
{
    (void)user;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) sum += x[i] * datum(i, j) * x[j] / 2;
    return sum;
}

static void quadratic_gradient(const double *x, size_t n, double *g, void *user)
{
    const int bug = number_of(user);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++)
            sum += (bug == 1   ? 2 * datum(i, j)
                    : bug == 2 ? datum(i, j) - datum(j, i)
                    : bug == 3 && i == j ? 0
                               : datum(i, j) + datum(j, i)) * x[j] / 2;
        g[i] = bug == 4 ? 2 * sum : bug == 5 ? sum / (double)n : sum;
    }
}

/* The variance of x, and its mean cubed. */
static double variance(const double *x, size_t n, void *user)
{
    (void)user;
    double mean = 0, sum = 0;
    for (size_t i = 0; i < n; i++) mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++) sum += (x[i] - mean) * (x[i] - mean);
    return sum / (double)n + mean * mean * mean;
}

static void variance_gradient(const double *x, size_t n, double *g, void *user)
{
    const int bug = number_of(user);
    double mean = 0;
    for (size_t i = 0; i < n; i++) mean += x[i] / (double)n;
    for (size_t i = 0; i < n; i++) {
        g[i] = 2 * (x[i] - (bug == 1 ? 0 : mean)) / (double)n;
        if (bug != 2) g[i] += 3 * mean * mean / (double)n;
        if (bug == 3) g[i] /= (double)(n - 1), g[i] *= (double)n;
        if (bug == 4) g[i] *= (double)n;
        if (bug == 5) g[i] *= 1.001;
        if (bug == 6 && i % 2) g[i] = 0;
    }
}

/* Repelling points in the plane (P, 2): the sum of 1 / distance over the pairs. */
static double repulsion(const double *x, size_t n, void *user)
{
    (void)user;
    double sum = 0;
    for (size_t i = 0; i < n / 2; i++)
        for (size_t j = 0; j < i; j++)
            sum += 1 / hypot(x[2 * i] - x[2 * j], x[2 * i + 1] - x[2 * j + 1]);
    return sum;
}

static void repulsion_gradient(const double *x, size_t n, double *g, void *user)
{
    const int bug = number_of(user);
    memset(g, 0, n * sizeof *g);
    for (size_t i = 0; i < n / 2; i++)
        for (size_t j = 0; j < n / 2; j++) {
            if (i == j || (bug == 1 && j > i)) continue;
            const double dx = x[2 * i] - x[2 * j], dy = x[2 * i + 1] - x[2 * j + 1],
                         r = hypot(dx, dy), f = bug == 2 ? 1 / r / r : 1 / r / r / r;
            g[2 * i] += bug == 3 ? f * dx : -f * dx;
            g[2 * i + 1] += bug == 3 ? f * dy : bug == 4 ? 0 : -f * dy;
        }
    for (size_t i = 0; i < n && bug == 5; i++) g[i] *= 2;
    for (size_t i = 0; i < n && bug == 6; i += 2) {
        const double swap = g[i];
        g[i] = g[i + 1], g[i + 1] = swap;
    }
}

/* A parameter written out (A, T), of which only the sums over T count. */
enum { A = 3, T = 4 };

static double tied(const double *x, size_t n, void *user)
{
    (void)n, (void)user;
    double y = 0;
    for (size_t a = 0; a < A; a++) {
        double sum = 0;
        for (size_t t = 0; t < T; t++) sum += x[a * T + t];
        for (size_t t = 0; t < T; t++) y += datum(a, t + 2) * exp(0.3 * sum);
    }
    return y;
}

static void tied_gradient(const double *x, size_t n, double *g, void *user)
{
    const int bug = number_of(user);
    (void)n;
    for (size_t a = 0; a < A; a++) {
        double sum = 0, all = 0;
        for (size_t t = 0; t < T; t++) sum += x[a * T + t], all += datum(a, t + 2);
        for (size_t t = 0; t < T; t++)
            g[a * T + t] = 0.3 * exp(0.3 * sum) * (bug == 1 ? datum(a, t + 2) : all);
        for (size_t t = 0; t < T && bug == 2; t++) g[a * T + t] /= T;
    }
}

/* Products and angles: another function of each entry, so that mistakes are local. */
static double mixed(const double *x, size_t n, void *user)
{
    (void)n, (void)user;
    return x[0] * sin(x[1]) + exp(x[2]) * x[1] + log(x[3] * x[3] + 1) + x[0] * x[2] * x[3];
}

static void mixed_gradient(const double *x, size_t n, double *g, void *user)
{
    const int bug = number_of(user);
    (void)n;
    g[0] = sin(x[1]) + (bug == 1 ? 0 : x[2] * x[3]);
    g[1] = bug == 2 ? -x[0] * cos(x[1]) + exp(x[2]) : x[0] * cos(x[1]) + exp(x[2]);
    g[2] = exp(x[2]) * x[1] + x[0] * x[3];
    if (bug != 3) g[3] = 2 * x[3] / (x[3] * x[3] + 1) + x[0] * x[2];
    if (bug == 4) g[1] = NAN;
    if (bug == 5) memset(g, 0, 4 * sizeof *g);
    if (bug == 6) g[0] += exp(x[1]) - exp(x[1] + 1e-5);
}

typedef struct row {
    const char *what;
    tg_plain_function *f;
    tg_plain_gradient *gradient;
    int bug, rank;
    int64_t shape[2];
    tg_fault fault; /* the right diagnosis; TG_FAULT_OTHER: there is none, and it never counts */
    int64_t size;   /* another size in the problem */
    const char *says; /* the reason, or the message where there is none */
} row;

#define ANOTHER "it is the gradient of another function: a term is left out, wrong or too many"

static const row rows[] = {
    { "logistic regression without its penalty", logistic, logistic_gradient, 1, 1, { D }, TG_FAULT_TERM, S,
      ANOTHER },
    { "only the first sample", logistic, logistic_gradient, 2, 1, { D }, TG_FAULT_TERM, S,
      ANOTHER },
    { "labels forgotten", logistic, logistic_gradient, 3, 1, { D }, TG_FAULT_TERM, S,
      ANOTHER },
    { "= for += over the samples", logistic, logistic_gradient, 4, 1, { D }, TG_FAULT_TERM, S,
      ANOTHER },
    { "residual of the other sign", logistic, logistic_gradient, 5, 1, { D }, TG_FAULT_OTHER, S,
      ANOTHER },
    { "descent direction for gradient", logistic, logistic_gradient, 6, 1, { D }, TG_FAULT_SIGN, S,
      "the sign is wrong: all 4 entries" },
    { "sum for mean", logistic, logistic_gradient, 7, 1, { D }, TG_FAULT_FACTOR, S,
      "a constant factor: n times what it should be, with n = 7, one of the sizes given: "
      "all 4 entries" },
    { "the last weight left out", logistic, logistic_gradient, 8, 1, { D }, TG_FAULT_PART, S,
      "only part of the gradient was computed: zero in x[3] alone" },
    { "added without clearing", logistic, logistic_gradient, 9, 1, { D }, TG_FAULT_ADDS, S,
      "the gradient is added to what was in the array: write it with =, or set the option "
      "adds if that is meant" },
    { "only the first row", cross_entropy, cross_entropy_gradient, 1, 2, { B, C }, TG_FAULT_PART, 0,
      "only part of the gradient was computed: zero in x[1, 0] to x[2, 3]" },
    { "p for p - y", cross_entropy, cross_entropy_gradient, 2, 2, { B, C }, TG_FAULT_TERM, 0,
      "a term is left out: -0.333333, the same in 3 of 12 entries, the first x[0, 0]" },
    { "columns first", cross_entropy, cross_entropy_gradient, 3, 2, { B, C }, TG_FAULT_TRANSPOSED, 0,
      "the matrix is transposed: what is there is the gradient of shape (4, 3)" },
    { "classes off by one", cross_entropy, cross_entropy_gradient, 4, 2, { B, C }, TG_FAULT_SHIFTED, 0,
      "shifted within the rows: each entry is the one 1 place before it" },
    { "without 1/B", cross_entropy, cross_entropy_gradient, 5, 2, { B, C }, TG_FAULT_FACTOR, 0,
      "a constant factor: 3 times what it should be: all 12 entries" },
    { "+= into what was there", cross_entropy, cross_entropy_gradient, 6, 2, { B, C }, TG_FAULT_ADDS, 0,
      "the gradient is added to what was in the array: write it with =, or set the option "
      "adds if that is meant" },
    { "first class of the other sign", cross_entropy, cross_entropy_gradient, 7, 2, { B, C }, TG_FAULT_SIGN, 0,
      "the sign is wrong: column 0" },
    { "rows off by one", cross_entropy, cross_entropy_gradient, 8, 2, { B, C }, TG_FAULT_SHIFTED, 0,
      "shifted: each entry is the one 4 places before it" },
    { "one entry too many", cross_entropy, cross_entropy_gradient, 9, 2, { B, C }, TG_FAULT_OUTSIDE, 0,
      "the gradient is written past the end of the array: at entry 12, where 11 is the last" },
    { "1 - y for 1 - y^2", layer, layer_gradient, 1, 2, { R, K }, TG_FAULT_FACTOR, 0,
      "a factor for each row, from 0.5294 to 1.686 times what it should be: a derivative on "
      "the way is missing or wrong" },
    { "tanh not differentiated", layer, layer_gradient, 2, 2, { R, K }, TG_FAULT_FACTOR, 0,
      "a factor for each row, from 1.198 to 4.766 times what it should be: a derivative on "
      "the way is missing or wrong" },
    { "W transposed", layer, layer_gradient, 3, 2, { R, K }, TG_FAULT_TRANSPOSED, 0,
      "the matrix is transposed: what is there is the gradient of shape (5, 3)" },
    { "a row never written", layer, layer_gradient, 4, 2, { R, K }, TG_FAULT_UNWRITTEN, 0,
      "5 of 15 entries are never written, the first is x[1, 0]" },
    { "the neighbour's input", layer, layer_gradient, 5, 2, { R, K }, TG_FAULT_SHIFTED, 0,
      "shifted within the rows: each entry is the one 1 place after it" },
    { "a row twice too large", layer, layer_gradient, 6, 2, { R, K }, TG_FAULT_FACTOR, 0,
      "a constant factor: 2 times what it should be: row 2" },
    { "a column left out", layer, layer_gradient, 7, 2, { R, K }, TG_FAULT_PART, 0,
      "only part of the gradient was computed: zero in column 0" },
    { "minus everywhere", layer, layer_gradient, 8, 2, { R, K }, TG_FAULT_SIGN, 0,
      "the sign is wrong: all 15 entries" },
    { "two weights exchanged", layer, layer_gradient, 9, 2, { R, K }, TG_FAULT_PERMUTED, 0,
      "x[0, 2] and x[1, 2] are exchanged" },
    { "last weight first", layer, layer_gradient, 10, 2, { R, K }, TG_FAULT_PERMUTED, 0,
      "the entries are in opposite order" },
    { "200 for 400", rosenbrock, rosenbrock_gradient, 1, 1, { 6 }, TG_FAULT_OTHER, 0,
      "no simple pattern: wrong in x[0] to x[4]" },
    { "the neighbour's part left out", rosenbrock, rosenbrock_gradient, 2, 1, { 6 }, TG_FAULT_TERM, 0,
      "no simple pattern: wrong in x[1] to x[5]" },
    { "(1 - x)^2 left out", rosenbrock, rosenbrock_gradient, 3, 1, { 6 }, TG_FAULT_TERM, 0,
      ANOTHER },
    { "half of it", rosenbrock, rosenbrock_gradient, 4, 1, { 6 }, TG_FAULT_FACTOR, 0,
      "a constant factor: 1/2 times what it should be: all 6 entries" },
    { "a loop that ends too early", rosenbrock, rosenbrock_gradient, 5, 1, { 6 }, TG_FAULT_PART, 0,
      "only part of the gradient was computed: zero in x[5] alone" },
    { "the first of the other sign", rosenbrock, rosenbrock_gradient, 6, 1, { 6 }, TG_FAULT_SIGN, 0,
      "the sign is wrong: x[0] alone" },
    { "one place further", rosenbrock, rosenbrock_gradient, 7, 1, { 6 }, TG_FAULT_SHIFTED, 0,
      "shifted: each entry is the one 1 place before it" },
    { "x changed", rosenbrock, rosenbrock_gradient, 8, 1, { 6 }, TG_FAULT_INPUT, 0,
      "the gradient changes its input" },
    { "Ax for (A + A')x / 2", quadratic, quadratic_gradient, 1, 1, { 5 }, TG_FAULT_OTHER, 0,
      "no simple pattern: wrong in all 5 entries" },
    { "A - A' for A + A'", quadratic, quadratic_gradient, 2, 1, { 5 }, TG_FAULT_OTHER, 0,
      "no simple pattern: wrong in all 5 entries" },
    { "the diagonal left out", quadratic, quadratic_gradient, 3, 1, { 5 }, TG_FAULT_TERM, 0,
      ANOTHER },
    { "1/2 forgotten", quadratic, quadratic_gradient, 4, 1, { 5 }, TG_FAULT_FACTOR, 0,
      "a constant factor: 2 times what it should be: all 5 entries" },
    { "divided by n", quadratic, quadratic_gradient, 5, 1, { 5 }, TG_FAULT_FACTOR, 0,
      "a constant factor: 1/n times what it should be, with n = 5, the number of entries: "
      "all 5 entries" },
    { "the mean not subtracted", variance, variance_gradient, 1, 1, { 8 }, TG_FAULT_TERM, 0,
      "a term is left out: -0.15675, the same in all 8 entries" },
    { "mean^3 left out", variance, variance_gradient, 2, 1, { 8 }, TG_FAULT_TERM, 0,
      "a term is left out: 0.147423, the same in all 8 entries" },
    { "1/(n - 1) for 1/n", variance, variance_gradient, 3, 1, { 8 }, TG_FAULT_FACTOR, 0,
      "a constant factor: n/(n - 1) times what it should be, with n = 8, the number of "
      "entries: all 8 entries" },
    { "n times too large", variance, variance_gradient, 4, 1, { 8 }, TG_FAULT_FACTOR, 0,
      "a constant factor: n times what it should be, with n = 8, the number of entries: all "
      "8 entries" },
    { "a thousandth too large", variance, variance_gradient, 5, 1, { 8 }, TG_FAULT_FACTOR, 0,
      "a constant factor: 1.001 times what it should be: all 8 entries" },
    { "every other entry", variance, variance_gradient, 6, 1, { 8 }, TG_FAULT_PART, 0,
      "only part of the gradient was computed: zero in 4 of 8 entries, the first x[1]" },
    { "each pair on one side only", repulsion, repulsion_gradient, 1, 2, { 5, 2 }, TG_FAULT_TERM, 0,
      "no simple pattern: wrong in x[0, 0] to x[3, 1]" },
    { "1/r^2 for 1/r^3", repulsion, repulsion_gradient, 2, 2, { 5, 2 }, TG_FAULT_OTHER, 0,
      ANOTHER },
    { "attraction", repulsion, repulsion_gradient, 3, 2, { 5, 2 }, TG_FAULT_SIGN, 0,
      "the sign is wrong: all 10 entries" },
    { "y left out", repulsion, repulsion_gradient, 4, 2, { 5, 2 }, TG_FAULT_PART, 0,
      "only part of the gradient was computed: zero in column 1" },
    { "pairs counted twice", repulsion, repulsion_gradient, 5, 2, { 5, 2 }, TG_FAULT_FACTOR, 0,
      "a constant factor: 2 times what it should be: all 10 entries" },
    { "x for y", repulsion, repulsion_gradient, 6, 2, { 5, 2 }, TG_FAULT_SHIFTED, 0,
      "shifted within the rows: each entry is the one 1 place after it" },
    { "uses not summed up", tied, tied_gradient, 1, 2, { A, T }, TG_FAULT_SUM, 0,
      "a sum over axis 1 is missing: each entry should be the sum of its 4" },
    { "their mean for their sum", tied, tied_gradient, 2, 2, { A, T }, TG_FAULT_FACTOR, 0,
      "a constant factor: 1/4 times what it should be: all 12 entries" },
    { "a term of one entry left out", mixed, mixed_gradient, 1, 1, { 4 }, TG_FAULT_TERM, 0,
      "no simple pattern: wrong in x[0] alone" },
    { "-cos for cos", mixed, mixed_gradient, 2, 1, { 4 }, TG_FAULT_OTHER, 0,
      "no simple pattern: wrong in x[1] alone" },
    { "the last entry forgotten", mixed, mixed_gradient, 3, 1, { 4 }, TG_FAULT_UNWRITTEN, 0,
      "1 of 4 entries are never written, the first is x[3]" },
    { "NaN", mixed, mixed_gradient, 4, 1, { 4 }, TG_FAULT_NONE, 0,
      "not finite: the gradient is NaN at x[1]" },
    { "nothing computed", mixed, mixed_gradient, 5, 1, { 4 }, TG_FAULT_PART, 0,
      "the gradient is missing: it is zero everywhere" },
    { "a hundred-thousandth off", mixed, mixed_gradient, 6, 1, { 4 }, TG_FAULT_OTHER, 0,
      ANOTHER },
};

static tg_check_report check_row(const row *r, int bug)
{
    double x[32];
    size_t n = 1;
    fault f = { bug };
    tg_check_options options = { .user = &f, .rank = r->rank, .sizes = { r->size } };
    for (int i = 0; i < r->rank; i++) n *= (size_t)(options.shape[i] = r->shape[i]);
    for (size_t i = 0; i < n; i++) x[i] = 0.4 * datum(i, 5) + 0.6;
    tg_check_report report;
    tg_check_gradient(r->f, r->gradient, x, n, &options, &report);
    return report;
}

static void expect_words(const char *what, const tg_check_report *report, const char *says)
{
    const char *const words = report->reason[0] ? report->reason : report->message;
    cr_expect(strcmp(words, says) == 0, "%s: \"%s\" is not \"%s\"", what, words, says);
}

/* ---- faults in operations of one's own ------------------------------------------------------- */

/* y = x w + b: x and y (N, C), w and b (C). */
static bool affine_forward(const tg_custom_call *c)
{
    const double *x = c->x[0].data, *w = c->x[1].data, *b = c->x[2].data;
    double *y = c->y.data;
    const int64_t columns = c->x[0].dim[1];
    for (int64_t i = 0; i < c->y.size; i++) y[i] = x[i] * w[i % columns] + b[i % columns];
    return true;
}

static bool affine_backward(const tg_custom_call *c)
{
    const int bug = number_of(c->user);
    const double *x = c->x[0].data, *w = c->x[1].data, *g = c->g.data;
    double *const dx = c->dx[0].data, *const dw = c->dx[1].data, *const db = c->dx[2].data;
    const int64_t columns = c->x[0].dim[1], rows_of_x = c->x[0].dim[0];
    for (int64_t i = 0; i < c->y.size; i++) {
        const int64_t j = i % columns, turned = j * rows_of_x + i / columns;
        dx[bug == 1 ? turned : i] += (bug == 2 ? fabs(g[i]) : g[i]) * w[bug == 3 ? 0 : j];
        if (bug != 4 || i < columns) dw[j] += g[i] * x[i] * (bug == 5 ? 2 : 1);
        if (bug == 6) db[j] = g[i];
        else if (bug == 7) db[j] -= g[i];
        else if (bug == 8) db[j] += g[i] / (double)rows_of_x;
        else if (bug == 9) db[(j + 1) % columns] += g[i];
        else if (bug != 10) db[j] += bug == 11 ? 1 : g[i];
    }
    return true;
}

static tg_value affine_model(tg_tape *tape, const tg_value *x, void *user)
{
    (void)tape;
    return tg_custom_apply(user, x[0], x[1], x[2]);
}

static const struct {
    const char *what;
    int bug;
    tg_fault fault;
    const char *says;
} custom_rows[] = {
    { "dx transposed", 1, TG_FAULT_TRANSPOSED,
      "the matrix is transposed: what is there is the gradient of shape (5, 3)" },
    { "the size of g", 2, TG_FAULT_COTANGENT,
      "a backward rule is not linear in the incoming gradient: with the opposite one, "
      "1.38236 does not become -1.38236 but 1.38236" },
    { "the first weight for all", 3, TG_FAULT_FACTOR,
      "a factor for each column, from -1.857 to 19.59 times what it should be: a derivative "
      "on the way is missing or wrong" },
    { "dw of the first row only", 4, TG_FAULT_SUM,
      "a sum over axis 0 of the value is missing: of its 3 parts only number 0 counts" },
    { "dw twice too large", 5, TG_FAULT_FACTOR,
      "a constant factor: 2 times what it should be: all 5 entries" },
    { "db written with =", 6, TG_FAULT_SUM,
      "a sum over axis 0 of the value is missing: of its 3 parts only number 2 counts" },
    { "db of the other sign", 7, TG_FAULT_SIGN,
      "the sign is wrong: all 5 entries" },
    { "the mean for the sum in db", 8, TG_FAULT_FACTOR,
      "a constant factor: 1/3 times what it should be: all 5 entries" },
    { "db off by one", 9, TG_FAULT_SHIFTED,
      "shifted: each entry is the one 1 place before it" },
    { "db forgotten", 10, TG_FAULT_PART,
      "the gradient is missing: it is zero everywhere" },
    { "g forgotten in db", 11, TG_FAULT_COTANGENT,
      "a backward rule is not linear in the incoming gradient: with the opposite one, 3 "
      "does not become -3 but 3" },
};

static tg_check_report check_affine(int bug)
{
    double x[15], w[5], b[5];
    for (size_t i = 0; i < 15; i++) x[i] = datum(i, 1);
    for (size_t i = 0; i < 5; i++) w[i] = datum(i, 2), b[i] = datum(i, 3);
    fault f = { bug };
    tg_custom op = { .name = "affine", .operands = 3, .forward = affine_forward,
                     .backward = affine_backward, .user = &f };
    const tg_check_input inputs[] = { { "x", x, 2, { 3, 5 } }, { "w", w, 1, { 5 } },
                                      { "b", b, 1, { 5 } } };
    tg_check_report report;
    tg_gradcheck(affine_model, &op, inputs, 3, NULL, &report);
    return report;
}

Test(faults, all_that_were_planted_by_hand_are_found_and_most_understood)
{
    int found = 0, understood = 0, total = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++, total++) {
        const row *r = &rows[i];
        const tg_check_report right = check_row(r, 0), report = check_row(r, r->bug);
        cr_expect(right.verdict == TG_AGREES, "%s: %s", r->what, right.message);
        found += report.verdict == TG_WRONG || report.verdict == TG_NOT_FINITE;
        understood += report.fault == r->fault && r->fault != TG_FAULT_OTHER;
        cr_expect(report.verdict != TG_AGREES, "%s: not found: %s", r->what, report.message);
        expect_words(r->what, &report, r->says);
        if (report.fault != r->fault)
            fprintf(stderr, "# %s: %s, not %s: %s\n", r->what, tg_fault_name(report.fault),
                    tg_fault_name(r->fault), report.message);
    }
    for (size_t i = 0; i < sizeof custom_rows / sizeof custom_rows[0]; i++, total++) {
        const tg_check_report right = check_affine(0), report = check_affine(custom_rows[i].bug);
        cr_expect(right.verdict == TG_AGREES, "%s", right.message);
        found += report.verdict == TG_WRONG;
        understood += report.fault == custom_rows[i].fault && report.fault != TG_FAULT_OTHER;
        cr_expect(report.verdict == TG_WRONG, "%s: not found: %s", custom_rows[i].what,
                  report.message);
        expect_words(custom_rows[i].what, &report, custom_rows[i].says);
        if (report.fault != custom_rows[i].fault)
            fprintf(stderr, "# %s: %s, not %s: %s\n", custom_rows[i].what,
                    tg_fault_name(report.fault), tg_fault_name(custom_rows[i].fault),
                    report.message);
    }
    fprintf(stderr, "# planted by hand: %d of %d found, %d with the right diagnosis\n", found,
            total, understood);
    cr_expect(found == total && total >= 60 && 6 * understood >= 5 * total);
}

/* ---- Jacobians and products with Hessians ---------------------------------------------------- */

/* y = tanh(M x), 3 of 4. */
static void map(const double *x, size_t n, double *y, size_t m, void *user)
{
    (void)user;
    for (size_t i = 0; i < m; i++) {
        double z = 0;
        for (size_t j = 0; j < n; j++) z += datum(i, j) * x[j];
        y[i] = tanh(z);
    }
}

static void map_jacobian(const double *x, size_t n, double *J, size_t m, void *user)
{
    const int bug = number_of(user);
    for (size_t i = 0; i < m; i++) {
        double z = 0;
        for (size_t j = 0; j < n; j++) z += datum(i, j) * x[j];
        const double slope = 1 - tanh(z) * tanh(z);
        for (size_t j = 0; j < n; j++)
            J[bug == 1 ? j * m + i : i * n + j] = (bug == 2 ? 1 : bug == 3 ? -slope : slope) *
                                                  (bug == 4 && i > 0 ? 0 : datum(i, j));
    }
}

/* The Hessian of Rosenbrock's function times v. */
static void rosenbrock_hvp(const double *x, const double *v, size_t n, double *Hv, void *user)
{
    const int bug = number_of(user);
    for (size_t i = 0; i < n; i++) Hv[i] = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        const double across = -400 * x[i];
        Hv[i] += (1200 * x[i] * x[i] - 400 * x[i + 1] + (bug == 1 ? 0 : 2)) * v[i];
        Hv[i] += across * v[i + 1];
        Hv[i + 1] += 200 * v[i + 1] + (bug == 2 ? 0 : across * v[i]);
    }
    for (size_t i = 0; i < n; i++)
        Hv[i] = bug == 3 ? -Hv[i] : bug == 4 ? Hv[i] / 2 : bug == 5 ? fabs(Hv[i]) : Hv[i];
}

/* The gradient is right in all of them, so the fault is not in user. */
static int hvp_fault;

static void planted_hvp(const double *x, const double *v, size_t n, double *Hv, void *user)
{
    fault f = { hvp_fault };
    (void)user;
    rosenbrock_hvp(x, v, n, Hv, &f);
}

Test(faults, in_jacobians_and_hessian_products_are_found)
{
    static const tg_fault expected[2][6] = {
        { TG_FAULT_NONE, TG_FAULT_TRANSPOSED, TG_FAULT_FACTOR, TG_FAULT_SIGN, TG_FAULT_PART },
        { TG_FAULT_NONE, TG_FAULT_TERM, TG_FAULT_PART, TG_FAULT_SIGN, TG_FAULT_FACTOR,
          TG_FAULT_SIGN }
    };
    const double x[] = { 0.4, -0.3, 0.8, 0.2 };
    for (int bug = 0; bug < 5; bug++) {
        fault f = { bug };
        tg_check_report report;
        tg_check_jacobian(map, map_jacobian, x, 4, 3, &(tg_check_options){ .user = &f }, &report);
        cr_expect(report.verdict == (bug ? TG_WRONG : TG_AGREES) &&
                      report.fault == expected[0][bug],
                  "Jacobian, %d: %s", bug, report.message);
    }
    for (int bug = 0; bug < 6; bug++) {
        tg_check_report report;
        hvp_fault = bug;
        tg_check_hvp(rosenbrock_gradient, planted_hvp, x, 4, NULL, &report);
        cr_expect(report.verdict == (bug ? TG_WRONG : TG_AGREES) &&
                      report.fault == expected[1][bug],
                  "Hessian, %d: %s", bug, report.message);
    }
}

/* ---- faults by seed -------------------------------------------------------------------------- */

/* f(x) = sum over i of a shape of x[i] and its neighbour, of one of these kinds; its gradient is
   right, and then changed in one of the ways below. */
enum { KINDS = 10, WAYS = 12 };

typedef struct seeded {
    int kind, way;
    size_t place;
    double amount;
    double a[64]; /* coefficients */
    double original[64];
    bool changed; /* the gradient is another one now */
} seeded;

static double shape_of(int kind, double x, double *slope)
{
    const double e = exp(x), s = 1 / (1 + exp(-x));
    switch (kind) {
    case 0: return *slope = cos(x), sin(x);
    case 1: return *slope = e, e;
    case 2: return *slope = 3 * x * x, x * x * x;
    case 3: return *slope = 1 - tanh(x) * tanh(x), tanh(x);
    case 4: return *slope = 2 * x / (1 + x * x), log1p(x * x);
    case 5: return *slope = x / sqrt(1 + x * x), sqrt(1 + x * x);
    case 6: return *slope = s, log1p(e);
    case 7: return *slope = -2 * x * exp(-x * x), exp(-x * x);
    case 8: return *slope = 1 / (1 + x * x), atan(x);
    default: return *slope = x > 0 ? 2 * x : x / 5, x > 0 ? x * x : x * x / 10;
    }
}

static double seeded_value(const double *x, size_t n, void *user)
{
    const seeded *s = user;
    double sum = 0, slope;
    for (size_t i = 0; i < n; i++)
        sum += s->a[i] * shape_of(s->kind, x[i], &slope) + 0.3 * x[i] * x[(i + 1) % n];
    return sum;
}

static void spoil(seeded *s, double *g, size_t n)
{
    const size_t k = s->place % n, j = (k + 1 + s->place / n % (n - 1)) % n;
    const double old = g[k];
    switch (s->way) {
    case 0: g[k] = -g[k]; break;
    case 1: g[k] = 0; break;
    case 2: g[k] = g[j], g[j] = old; break;
    case 3: g[k] *= 1 + s->amount; break;
    case 4: g[k] += s->amount; break;
    case 5: memmove(g, g + 1, (n - 1) * sizeof *g); break;
    case 6: for (size_t i = 0; i < n; i++) g[i] *= 1 + s->amount; break;
    case 7: for (size_t i = k; i < n; i++) g[i] = 0; break;
    case 8: for (size_t i = 0; i < n; i++) g[i] = -g[i]; break;
    case 9: for (size_t i = 0; i < n; i++) g[i] += s->amount; break;
    case 10: g[k] = g[j]; break;
    default: for (size_t i = 0; i < n / 2; i++) {
            const double swap = g[i];
            g[i] = g[n - 1 - i], g[n - 1 - i] = swap;
        }
    }
}

static void seeded_gradient(const double *x, size_t n, double *g, void *user)
{
    seeded *s = user;
    for (size_t i = 0; i < n; i++) {
        shape_of(s->kind, x[i], &g[i]);
        g[i] = s->a[i] * g[i] + 0.3 * (x[(i + 1) % n] + x[(i + n - 1) % n]);
    }
    memcpy(s->original, g, n * sizeof *g);
    spoil(s, g, n);
    double apart = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        apart = fmax(apart, fabs(g[i] - s->original[i]));
        largest = fmax(largest, fabs(s->original[i]));
    }
    s->changed = apart > 1e-6 * largest;
}

/* The same as an operation on a tape. */
static bool seeded_forward(const tg_custom_call *c)
{
    *(double *)c->y.data = seeded_value(c->x[0].data, (size_t)c->x[0].size, c->user);
    return true;
}

static bool seeded_backward(const tg_custom_call *c)
{
    double g[64], *dx = c->dx[0].data;
    seeded_gradient(c->x[0].data, (size_t)c->x[0].size, g, c->user);
    for (int64_t i = 0; i < c->x[0].size; i++) dx[i] += *(const double *)c->g.data * g[i];
    return true;
}

static bool scalar_shape(const tg_custom_call *c, int *rank, int64_t *dim)
{
    (void)c, (void)dim;
    *rank = 0;
    return true;
}

static tg_value seeded_model(tg_tape *tape, const tg_value *x, void *user)
{
    (void)tape;
    return tg_custom_apply((const tg_custom *)user, x[0]);
}

static bool is_caught(seeded *s, const double *x, size_t n, bool on_tape)
{
    const tg_check_options options = { .user = s, .seed = SEED };
    const tg_check_input input = { "x", x, 1, { (int64_t)n } };
    tg_custom op = { .name = "seeded", .operands = 1, .shape = scalar_shape,
                     .forward = seeded_forward, .backward = seeded_backward, .user = s };
    tg_check_report report;
    if (on_tape) tg_gradcheck(seeded_model, &op, &input, 1, &options, &report);
    else tg_check_gradient(seeded_value, seeded_gradient, x, n, &options, &report);
    return report.verdict == TG_WRONG || !s->changed;
}

Test(faults, made_by_seed_are_found)
{
    int made = 0, found = 0;
    state = SEED;
    while (made < 1000) {
        seeded s = { .kind = (int)below(KINDS), .way = (int)below(WAYS), .place = below(100000) };
        const size_t n = 2 + below(30);
        double x[64];
        s.amount = pow(10, between(-5, 0));
        for (size_t i = 0; i < n; i++) x[i] = between(-2, 2), s.a[i] = between(-2, 2);
        const bool caught = is_caught(&s, x, n, made % 2);
        if (!s.changed) continue;
        made++;
        found += caught;
        if (!caught)
            fprintf(stderr, "# not found: kind %d, way %d, amount %g, n %zu\n", s.kind, s.way,
                    s.amount, n);
    }
    fprintf(stderr, "# made by seed %u: %d of %d found\n", SEED, found, made);
    cr_expect(found >= 990);
}

/* ---- correct functions of the nastier kinds -------------------------------------------------- */

/* Value and derivative at x, with a parameter. */
typedef double nasty(double x, double p, double *slope);

static double n_abs(double x, double p, double *d) { return *d = x < p ? -1 : 1, fabs(x - p); }
static double n_relu(double x, double p, double *d) { return *d = x > p, x > p ? x - p : 0; }
static double n_power(double x, double p, double *d) { return *d = (x < 0 ? -1 : 1) * (1 + p) * pow(fabs(x), p), pow(fabs(x), 1 + p); }
static double n_floor(double x, double p, double *d) { return *d = 0.5, floor(x * p) + 0.5 * x; }
static double n_sign(double x, double p, double *d) { return *d = p, x * p + (x > 0 ? 1 : 0); }
static double n_cosine(double x, double p, double *d)
{
    const double s = sin(x / 2) / x;
    *d = fabs(x) < 0.1 ? p * x * (-1 / 12.0 + x * x * (1 / 180.0 - x * x / 6720))
                       : p * (sin(x) / (x * x) - 4 * s * s / x);
    return p * (1 - cos(x)) / (x * x);
}
static double n_offset(double x, double p, double *d) { return *d = cos(x), p + sin(x); }
static double n_cancel(double x, double p, double *d) { return *d = 2 * (x + p), (x + p) * (x + p) - p * p; }
static double n_wave(double x, double p, double *d) { return *d = p * cos(p * x), sin(p * x); }
static double n_celu(double x, double p, double *d) { return *d = x > 0 ? 1 : exp(x / p), x > 0 ? x : p * expm1(x / p); }
static double n_celu_b(double x, double p, double *d) { return *d = exp(p / x) * (1 - p / x) - 1, x * expm1(p / x); }
static double n_steep(double x, double p, double *d) { return *d = p * exp(p * x), exp(p * x); }
static double n_step(double x, double p, double *d) { return *d = p / (cosh(p * x) * cosh(p * x)), tanh(p * x); }
static double n_log(double x, double p, double *d) { return *d = p / x, p * log(x); }
static double n_root(double x, double p, double *d) { return *d = p / (2 * sqrt(x)), p * sqrt(x); }
static double n_pole(double x, double p, double *d) { return *d = -p / (x * x), p / x; }
static double n_bump(double x, double p, double *d) { return *d = -2 * x / p * exp(-x * x / p), exp(-x * x / p); }
static double n_float(double x, double p, double *d) { return *d = p * cos(x), (double)(float)(p * sin(x)); }
static double n_square(double x, double p, double *d) { return *d = 2 * p * x, p * x * x; }
static double n_soft(double x, double p, double *d) { return *d = x / sqrt(x * x + p * p), sqrt(x * x + p * p); }
static double n_saw(double x, double p, double *d) { return *d = 1, fmod(x, p); }
static double n_flat(double x, double p, double *d) { return *d = x > 0 ? exp(-p / x) * p / x / x : 0, x > 0 ? exp(-p / x) : 0; }

typedef struct nasty_row {
    nasty *f;
    const char *what;
    double x[6], p[6]; /* every pair */
} nasty_row;

static const nasty_row nasty_rows[] = {
    { n_abs, "|x - p|", { 0, 1e-9, -1e-4, 0.3, 1e8, -1e-8 }, { 0, 1e-8, 1e-3, -0.3, 1e8, 1 } },
    { n_relu, "relu(x - p)", { 0, 1e-9, 1e-5, -0.01, 5, 2 }, { 0, 1e-6, 0.009, -1e-3, 5, 2 } },
    { n_power, "|x|^(1 + p)", { 0.01, 1e-6, -0.3, 1e-9, 1e6, -1e-3 }, { 0.5, 0.1, 1, 2, 0.01, 1.5 } },
    { n_floor, "floor(p x)", { 0, 0.5, 1, 0.3, 1e6, -2 }, { 1, 2, 0.5, 1e3, 1e-6, 7 } },
    { n_sign, "a step at 0", { 0, 1e-9, 1e-5, -1e-3, 0.01, 0.5 }, { 0, 1, 1e-6, 1e6, -3, 100 } },
    { n_cosine, "(1 - cos x)/x^2", { 1e-3, 1e-5, 1e-7, 0.1, 1, 3e-6 }, { 1, 1e8, 1e-8, -3, 1e3, 7 } },
    { n_offset, "p + sin x", { 0.3, 1e-8, 1e4, 2, -5, 1e6 }, { 1e12, 1e8, 1e-8, 1e15, 1, -1e10 } },
    { n_cancel, "(x + p)^2 - p^2", { 0.3, 1e-8, 1e4, 2, -5, 1e8 }, { 1e8, 1e4, 1e-8, 1e12, 1, -1e6 } },
    { n_wave, "sin(p x)", { 0.3, 1e-8, 1e2, 2, -5, 1e-3 }, { 1e8, 1e4, 1e-8, 1e6, 1, 300 } },
    { n_celu, "celu, b", { -1e-6, -0.01, -0.5, 0.001, -1e-3, -2 }, { -0.5, -0.01, 0.01, -0.003, 1e-3, -1 } },
    { n_celu_b, "celu's b", { -0.5, -1, -0.1, -0.02, 0.3, 0.01 }, { -3, -1, -2, -0.1, -0.5, -0.01 } },
    { n_steep, "exp(p x)", { 0.3, 1e-6, -2, 1, 0.01, -0.5 }, { 300, 1e3, -100, 1e-8, 500, 40 } },
    { n_step, "tanh(p x)", { 0.3, 1e-6, -2, 1e-3, 0.01, 1e-8 }, { 1e8, 1e3, 5, 1e6, 1e-8, 300 } },
    { n_log, "p log x", { 1e-8, 1e-3, 1, 1e8, 0.02, 1e-5 }, { 1, 1e8, 1e-8, -2, 1e3, 1e-3 } },
    { n_root, "p sqrt x", { 1e-8, 1e-3, 1, 1e8, 0.02, 1e-5 }, { 1, 1e8, 1e-8, -2, 1e3, 1e-3 } },
    { n_pole, "p / x", { 1e-8, -1e-3, 1, 1e8, 0.02, 1e-5 }, { 1, 1e8, 1e-8, -2, 1e3, 1e-3 } },
    { n_bump, "exp(-x^2/p)", { 1e-8, -1e-3, 1, 0.1, 0.02, 1e-5 }, { 1, 1e-4, 1e8, 1e-2, 1e-12, 0.5 } },
    { n_float, "computed in float", { 1e-8, -1e-3, 1, 0.1, 3, 1e-5 }, { 1, 1e-4, 1e8, 1e-2, 1e-8, 0.5 } },
    { n_square, "p x^2", { 1e-8, -1e-3, 1, 1e8, 3, 1e-5 }, { 1, 1e-8, 1e8, 1e-2, 1e4, 0.5 } },
    { n_soft, "sqrt(x^2 + p^2)", { 1e-8, -1e-3, 1, 1e8, 0.02, 1e-5 }, { 1, 1e-8, 1e-3, 1e8, 1e-5, 0.01 } },
    { n_saw, "x mod p", { 1e-8, 1, 3, 0.02, 1e3, 2.5 }, { 1, 0.5, 0.001, 1e8, 3, 0.1 } },
    { n_flat, "exp(-p/x)", { 1e-8, -1e-3, 1, 0.02, 0.5, 1e-2 }, { 1, 1e-2, 1e-8, 0.1, 3, 0.03 } },
};

typedef struct place {
    nasty *f;
    double p;
} place;

/* Beside the nasty one an entry that is easy, as in life. */
static double nasty_value(const double *x, size_t n, void *user)
{
    const place *q = user;
    double slope;
    (void)n;
    return q->f(x[0], q->p, &slope) + x[1] * x[1];
}

static void nasty_gradient(const double *x, size_t n, double *g, void *user)
{
    const place *q = user;
    (void)n;
    q->f(x[0], q->p, &g[0]);
    g[1] = 2 * x[1];
}

Test(faults, no_correct_function_is_called_wrong)
{
    int total = 0, verdicts[TG_RANDOM + 1] = { 0 };
    for (size_t i = 0; i < sizeof nasty_rows / sizeof nasty_rows[0]; i++)
        for (size_t j = 0; j < 36; j++, total++) {
            place q = { nasty_rows[i].f, nasty_rows[i].p[j % 6] };
            const double x[] = { nasty_rows[i].x[j / 6], 0.7 };
            tg_check_report report;
            tg_check_gradient(nasty_value, nasty_gradient, x, 2,
                              &(const tg_check_options){ .user = &q, .zero_ok = true }, &report);
            verdicts[report.verdict]++;
            cr_expect(report.verdict != TG_WRONG, "%s, p %g: %s", nasty_rows[i].what, q.p,
                      report.message);
        }
    fprintf(stderr, "# correct functions: %d, called wrong %d, agreeing %d, noise %d, "
            "not finite %d\n", total, verdicts[TG_WRONG], verdicts[TG_AGREES], verdicts[TG_NOISE],
            verdicts[TG_NOT_FINITE]);
    cr_expect(total >= 300 && verdicts[TG_AGREES] > total / 2);
}
