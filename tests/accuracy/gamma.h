/* The gamma function's logarithm and its derivatives for the accuracy tool: exact ones that MPFR does not have, and
   estimates in long double, many times faster, that add a bound of their error to *error (infinite: nothing is
   known). */
#ifndef TG_TESTS_ACCURACY_GAMMA_H
#define TG_TESTS_ACCURACY_GAMMA_H

#include <mpfr.h>

#define EPSILON 0x1p-63L /* of one operation in long double */

/* Orders up to 170; trigamma below 0 by reflection. */
void polygamma_exact(mpfr_t y, unsigned order, const mpfr_t x);

long double lgamma_near(long double x, long double *error);
long double digamma_near(long double x, long double *error);
long double polygamma_near(unsigned order, long double x, long double *error); /* order > 0 */

#endif
