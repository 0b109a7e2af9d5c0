/* The program itself: it needs no tape. */
#include <stdio.h>

#include "ridge.h"

int main(void)
{
    static const double x[] = { 1, 0.5, 2, 1.5, -1, -2, -1.5, 0.5 }, label[] = { 1, 1, -1, -1 };
    ridge_data data = { .m = 4, .n = 2, .x = x, .label = label, .lambda = 0.1 };
    double w[2] = { 0, 0 }, g[2];
    for (int step = 0; step < 200; step++) {
        ridge_gradient(w, 2, g, &data);
        for (int j = 0; j < 2; j++) w[j] -= 0.5 * g[j];
    }
    printf("w = %.4f %.4f, loss %.4f\n", w[0], w[1], ridge_loss(w, 2, &data));
}
