/* The errors of lanes.h's functions. */
#include "lanes.h"

static long double ulp_of(long double x) { return ldexpl(1, ilogbl(x) - FRACTION); }

static long double sigmoid_exact(long double x) { return 1 / (1 + expl(-x)); }

static double largest_error(lanes f(lanes x), long double exact(long double x), lanes x)
{
    const lanes y = f(x);
    double most = 0;
    for (int i = 0; i < LANES; i++) {
        const long double is = exact(x[i]), error = fabsl(y[i] - is) / ulp_of(is);
        if (error > most) most = (double)error;
    }
    return most;
}

/* Of both signs, from 2^-20 to where exp ends, closer together near 0. */
double TYPED(hand_error)(void)
{
    double most = 0;
    for (real size = (real)0x1p-20; size < LARGEST - 4; size *= (real)1.002) {
        lanes x;
        for (int i = 0; i < LANES; i++) x[i] = (i % 2 ? -size : size) * (1 + (real)0.0001 * (real)i);
        most = fmax(most, largest_error(exp_of, expl, x));
        most = fmax(most, largest_error(tanh_of, tanhl, x));
        most = fmax(most, largest_error(sigmoid_of, sigmoid_exact, x));
    }
    return most;
}
