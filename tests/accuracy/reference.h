/* Exact functions for the accuracy tool: formulas as text, evaluated in multiple precision until
   the digits settle, or in long double with a bound of the error. */
#ifndef TG_TESTS_ACCURACY_REFERENCE_H
#define TG_TESTS_ACCURACY_REFERENCE_H

#include <mpfr.h>
#include <stdbool.h>

#include "base/expression.h"

#define MOST_STEPS 96

/* What an op computes. Names in the formulas: x, or a, b, c; those of lets; pi, ln2, inf, nan. */
typedef struct reference {
    const char *op;
    const char *value, *partial[3];
    const char *let[2];   /* "s = ..." */
    const char *scale;    /* the promise's unit is that of the larger of this and the result */
    const char *domain;   /* not 0 where something is promised; NULL: everywhere */
    const double *points; /* zeros, poles and seams of its own, ended by 0 */
} reference;

/* The one of an op, or NULL. */
const reference *find_reference(const char *op);

/* A formula ready to be evaluated by one thread. */
typedef struct formula formula;
formula *formula_new(const reference *r, const char *text);
void formula_free(formula *f);

/* In multiple precision; y keeps at least 70 bits. Digits below 2^-1100 do not count. */
void formula_exact(formula *f, const double *x, mpfr_t y);

/* In long double: the result and a bound of its error; the bound is infinite where nothing is
   known. */
long double formula_near(formula *f, const double *x, long double *bound);

#endif
