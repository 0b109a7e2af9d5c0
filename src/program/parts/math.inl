/* Functions that are written out as C before a program's: see emit_parts.c. None of these files is
   compiled here; NAME_ stands for what the program's function is called, real for its type. */

/* Abramowitz and Stegun 6.3.7, 6.3.5 and 6.3.18 */
static real NAME_digamma(real x)
{
    double t = (double)x, y = 0;
    if (t == 0) return (real)copysign((double)INFINITY, -t);
    if (t < 0) {
        if (t == floor(t)) return (real)NAN;
        y = -3.1415926535897932385 / tan(3.1415926535897932385 * (t - rint(t)));
        t = 1 - t;
    }
    for (; t < 12; t++) y -= 1 / t;
    const double u = 1 / (t * t);
    const double series =
        u * (1.0 / 12 - u * (1.0 / 120 - u * (1.0 / 252 - u * (1.0 / 240 - u / 132))));
    return (real)(y + (log(t) - 0.5 / t - series));
}

/* the derivative of digamma of order a: the first terms of Abramowitz and Stegun 6.4.10, and the
   rest by 6.4.11 */
static real NAME_polygamma(real a, real b)
{
    static const double bernoulli[] = { 1.0 / 12,          -1.0 / 720,
                                        1.0 / 30240,       -1.0 / 1209600,
                                        1.0 / 47900160,    -691.0 / 1307674368000,
                                        1.0 / 74724249600, -3617.0 / 10670622842880000 };
    const double n = rint((double)a);
    double t = (double)b, factorial = 1, sum = 0, rising = 1;
    if (n == 0) return NAME_digamma(b);
    if (!(n > 0 && n <= 170)) return (real)NAN;
    for (double k = 2; k < n; k++) factorial *= k;
    for (; t < n + 10; t++) sum += n / pow(t, n + 1);
    double rest = 1 + n / (2 * t);
    for (int k = 0; k < 8; k++) {
        rising *= (n + 2 * k) * (n + 2 * k + 1) / (t * t);
        rest += bernoulli[k] * rising;
    }
    sum += rest / pow(t, n);
    return (real)((fmod(n, 2) == 0 ? -factorial : factorial) * sum);
}

/* word i of what a run drops by: Philox4x32-10 (J. K. Salmon et al., Parallel random numbers: as
   easy as 1, 2, 3, 2011) */
static uint32_t NAME_random(uint64_t seed, uint64_t run, int64_t i)
{
    const uint32_t dropout = 4; /* what is drawn */
    uint32_t x[] = { (uint32_t)(i / 4), dropout, (uint32_t)run, (uint32_t)(run >> 32) };
    uint32_t key[] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    for (int round = 0; round < 10; round++) {
        const uint64_t a = UINT64_C(0xD2511F53) * x[0], b = UINT64_C(0xCD9E8D57) * x[2];
        x[0] = (uint32_t)(b >> 32) ^ x[1] ^ key[0];
        x[1] = (uint32_t)b;
        x[2] = (uint32_t)(a >> 32) ^ x[3] ^ key[1];
        x[3] = (uint32_t)a;
        key[0] += 0x9E3779B9u;
        key[1] += 0xBB67AE85u;
    }
    return x[i % 4];
}
