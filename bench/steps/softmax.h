/* Softmax with its loss, as several steps end. */
#ifndef BENCH_STEPS_SOFTMAX_H
#define BENCH_STEPS_SOFTMAX_H

#include "lanes.h"

/* The loss of a row of scores, which become its gradient times scale. */
static inline real softmax_row(real *score, int classes, int label, real scale)
{
    real wide[WIDEST], most = score[0], sum = 0;
    for (int c = 1; c < classes; c++) most = score[c] > most ? score[c] : most;
    for (int c = 0; c < WIDEST; c++) wide[c] = c < classes ? score[c] - most : (real)-1e30;
    const real own = wide[label];
    for (int c = 0; c < classes; c += LANES) store(wide + c, exp_of(load(wide + c)));
    for (int c = 0; c < classes; c++) sum += wide[c];
    for (int c = 0; c < classes; c++) score[c] = wide[c] * (scale / sum);
    score[label] -= scale;
    return (real)log((double)sum) - own;
}

#endif
