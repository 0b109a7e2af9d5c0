/* The gamma function's logarithm and its derivatives: see gamma.h. */
#include "gamma.h"

#include <math.h>
#include <pthread.h>

/* ---- multiple precision ---------------------------------------------------------------------- */

#define BERNOULLI 64
static mpfr_t bernoulli[BERNOULLI]; /* B(2 k) / (2 k)! for k = 1 ... */
static long double bernoulli_near[BERNOULLI];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* By zeta(2 k) (Abramowitz and Stegun 23.2.16). */
static void make_bernoulli(void)
{
    mpfr_t two_pi;
    mpfr_init2(two_pi, 2048);
    mpfr_const_pi(two_pi, MPFR_RNDN);
    mpfr_mul_2ui(two_pi, two_pi, 1, MPFR_RNDN);
    for (unsigned k = 1; k <= BERNOULLI; k++) {
        mpfr_t power;
        mpfr_init2(power, 2048);
        mpfr_init2(bernoulli[k - 1], 2048);
        mpfr_pow_ui(power, two_pi, 2 * k, MPFR_RNDN);
        mpfr_zeta_ui(bernoulli[k - 1], 2 * k, MPFR_RNDN);
        mpfr_mul_si(bernoulli[k - 1], bernoulli[k - 1], k % 2 ? 2 : -2, MPFR_RNDN);
        mpfr_div(bernoulli[k - 1], bernoulli[k - 1], power, MPFR_RNDN);
        bernoulli_near[k - 1] = mpfr_get_ld(bernoulli[k - 1], MPFR_RNDN);
        mpfr_clear(power);
    }
    mpfr_clear(two_pi);
}

/* y = n! zeta(n + 1, x), x > 0 (6.4.11 after 200 terms or so). */
static void zeta_times_factorial(mpfr_t y, unsigned n, const mpfr_t x)
{
    const mpfr_prec_t bits = mpfr_get_prec(y);
    mpfr_t end, term, u, rising;
    mpfr_inits2(bits, end, term, u, rising, (mpfr_ptr)NULL);
    pthread_once(&once, make_bernoulli);
    mpfr_set(end, x, MPFR_RNDN);
    mpfr_set_ui(y, 0, MPFR_RNDN);
    for (const double last = (double)bits / 4 + n; mpfr_cmp_d(end, last) < 0;) {
        mpfr_pow_si(term, end, -(long)n - 1, MPFR_RNDN);
        mpfr_add(y, y, term, MPFR_RNDN);
        mpfr_add_ui(end, end, 1, MPFR_RNDN);
    }
    mpfr_pow_si(u, end, -2, MPFR_RNDN);
    mpfr_pow_si(rising, end, -(long)n, MPFR_RNDN); /* (n)(n + 1) ... x^(-n - 2 k) / n */
    mpfr_div_ui(rising, rising, n, MPFR_RNDN);
    mpfr_add(y, y, rising, MPFR_RNDN);
    mpfr_pow_si(term, end, -(long)n - 1, MPFR_RNDN);
    mpfr_div_2ui(term, term, 1, MPFR_RNDN);
    mpfr_add(y, y, term, MPFR_RNDN);
    for (unsigned k = 0; k < BERNOULLI; k++) {
        mpfr_mul_ui(rising, rising, (n + 2 * k) * (n + 2 * k + 1), MPFR_RNDN);
        mpfr_mul(rising, rising, u, MPFR_RNDN);
        mpfr_mul(term, rising, bernoulli[k], MPFR_RNDN);
        mpfr_add(y, y, term, MPFR_RNDN);
    }
    mpfr_fac_ui(term, n, MPFR_RNDN);
    mpfr_mul(y, y, term, MPFR_RNDN);
    mpfr_clears(end, term, u, rising, (mpfr_ptr)NULL);
}

/* The n-th derivative of digamma for x < 0, no whole number: distances to whole numbers above x, and to
   those below until 0. */
static void polygamma_below_0(mpfr_t y, unsigned n, const mpfr_t x)
{
    mpfr_t f, t;
    mpfr_inits2(mpfr_get_prec(y) + 64, f, t, (mpfr_ptr)NULL);
    mpfr_ui_sub(t, 1, x, MPFR_RNDN);
    zeta_times_factorial(y, n, t);
    mpfr_neg(f, x, MPFR_RNDN);
    mpfr_frac(f, f, MPFR_RNDN);
    zeta_times_factorial(t, n, f);
    mpfr_sub(y, t, y, MPFR_RNDN);
    if (n % 2 == 0) mpfr_neg(y, y, MPFR_RNDN);
    mpfr_ui_sub(f, 1, f, MPFR_RNDN);
    zeta_times_factorial(t, n, f);
    mpfr_add(y, y, t, MPFR_RNDN);
    if (n % 2 == 0) mpfr_neg(y, y, MPFR_RNDN);
    mpfr_clears(f, t, (mpfr_ptr)NULL);
}

void polygamma_exact(mpfr_t y, unsigned n, const mpfr_t x)
{
    if (n == 0) {
        mpfr_digamma(y, x, MPFR_RNDN);
    } else if (mpfr_sgn(x) > 0) {
        zeta_times_factorial(y, n, x);
        if (n % 2 == 0) mpfr_neg(y, y, MPFR_RNDN);
    } else if (n > 1 && !mpfr_integer_p(x)) {
        polygamma_below_0(y, n, x);
    } else if (mpfr_integer_p(x)) {
        if (n % 2) mpfr_set_inf(y, 1);
        else mpfr_set_nan(y);
    } else {
        mpfr_t t, r;
        mpfr_inits2(mpfr_get_prec(y) + 64, t, r, (mpfr_ptr)NULL);
        mpfr_ui_sub(t, 1, x, MPFR_RNDN);
        zeta_times_factorial(y, 1, t);
        mpfr_rint(t, x, MPFR_RNDN);
        mpfr_sub(r, x, t, MPFR_RNDN);
        mpfr_const_pi(t, MPFR_RNDN);
        mpfr_mul(r, r, t, MPFR_RNDN);
        mpfr_sin(r, r, MPFR_RNDN);
        mpfr_div(r, t, r, MPFR_RNDN);
        mpfr_sqr(r, r, MPFR_RNDN);
        mpfr_sub(y, r, y, MPFR_RNDN);
        mpfr_clears(t, r, (mpfr_ptr)NULL);
    }
}

/* ---- long double ----------------------------------------------------------------------------- */

static const long double pi = 3.14159265358979323846264338327950288L;

/* What the Euler-Maclaurin formula has behind half of the last term: the sum of B(2 k) / (2 k)! n (n + 1) ...
   (n + 2 k - 2) end^(1 - n - 2 k), of which the first rising product is given. What is left out is smaller than the
   last term. */
static long double tail(long double rising, unsigned n, long double end, long double *error)
{
    const long double u = 1 / (end * end);
    long double y = 0, term = rising;
    pthread_once(&once, make_bernoulli);
    for (unsigned k = 1; k < BERNOULLI && fabsl(term) > EPSILON / 2 * fabsl(y); k++) {
        term = rising * bernoulli_near[k - 1];
        y += term;
        rising *= (long double)(n + 2 * k - 1) * (long double)(n + 2 * k) * u;
    }
    *error += fabsl(term) + 100 * EPSILON * fabsl(y);
    return y;
}

/* zeta(n, x) = x^-n + (x + 1)^-n + ..., x > 0, n > 1. */
static long double zeta_near(unsigned n, long double x, long double *error)
{
    long double y = 0;
    unsigned terms = 0;
    for (; x < 30 + n; x++, terms++) y += powl(x, -(long double)n);
    const long double last = powl(x, -(long double)n);
    y += last * (x / (n - 1) + 0.5L);
    y += tail(n * last / x, n, x, error);
    *error += (long double)(2 * n + 20 + terms) * EPSILON * y;
    return y;
}

long double digamma_near(long double x, long double *error)
{
    long double y = 0, below = 0;
    int terms = 0;
    if (x <= 0) { /* psi(1 - x) - pi / tan(pi x) */
        const long double r = pi * (x - rintl(x)), c = 1 / tanl(r);
        y = -pi * c;
        *error += EPSILON * (8 * fabsl(y) + 8 * (1 + c * c) * fabsl(r));
        x = 1 - x;
    }
    for (; x < 30; x++, terms++) below += 1 / x;
    const long double last = logl(x) - 0.5L / x;
    *error += EPSILON * ((terms + 4) * below + 8 * last + fabsl(y));
    return y + (last - tail(1 / (x * x), 1, x, error) - below);
}

long double lgamma_near(long double x, long double *error)
{
    const long double of_size = lgammal(fabsl(x));
    if (x >= 0) {
        *error += 16 * EPSILON * fabsl(of_size) + 0x1p-58L;
        return of_size;
    }
    /* gamma(x) gamma(-x) = -pi / (x sin(pi x)) */
    const long double both = logl(pi / fabsl(x * sinl(pi * (x - rintl(x)))));
    *error += 0x1p-58L * (1 + fabsl(both) + fabsl(of_size));
    return both - of_size;
}

long double polygamma_near(unsigned n, long double x, long double *error)
{
    const long double sign = n % 2 ? 1 : -1;
    long double factorial = 1, y, e = 0;
    for (unsigned k = 2; k <= n; k++) factorial *= k;
    if (x > 0) {
        y = sign * zeta_near(n + 1, x, &e);
    } else {
        const long double f = -x - floorl(-x), behind = zeta_near(n + 1, 1 - x, &e), over = zeta_near(n + 1, f, &e),
                          under = zeta_near(n + 1, 1 - f, &e);
        y = over - behind + sign * under;
        e += 4 * EPSILON * (over + under);
        if (f == 0) e = INFINITY;
    }
    *error += factorial * (e + (n + 2) * EPSILON * fabsl(y));
    return factorial * y;
}
