/* A rotation by the length of a vector around it, by hand. */
#ifndef GRADBENCH_ROTATION_H
#define GRADBENCH_ROTATION_H

#include <math.h>

/* Its matrix R, and the derivatives of that by the vector's three numbers. */
typedef struct turned {
    double R[9], dR[3][9];
} turned;

static inline void turn(const double *c, turned *t)
{
    const double angle = sqrt(c[0] * c[0] + c[1] * c[1] + c[2] * c[2]), inverse = 1 / angle;
    const double v[3] = { c[0] * inverse, c[1] * inverse, c[2] * inverse };
    const double cosine = cos(angle), sine = sin(angle), rest = 1 - cosine;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            const int k = 3 - i - j; /* of the cross product's element, where i != j */
            const double sign = i == j ? 0 : (j - i + 3) % 3 == 1 ? -1 : 1, one = i == j;
            t->R[i * 3 + j] = one * cosine + (i == j ? 0 : sign * v[k] * sine) + v[i] * v[j] * rest;
            for (int m = 0; m < 3; m++) {
                const double dvi = ((i == m) - v[i] * v[m]) * inverse, dvj = ((j == m) - v[j] * v[m]) * inverse;
                const double dvk = i == j ? 0 : ((k == m) - v[k] * v[m]) * inverse;
                t->dR[m][i * 3 + j] = -one * sine * v[m] + (dvi * v[j] + v[i] * dvj) * rest +
                                      v[i] * v[j] * sine * v[m] +
                                      (i == j ? 0 : sign * (dvk * sine + v[k] * cosine * v[m]));
            }
        }
}

#endif
