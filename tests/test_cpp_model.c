/* The model of test_cpp.cpp as C writes it. */
#include <tapegrad.h>
#include <tapegrad/short.h>

double net_in_c(const double *w1, const double *w2, const double *x0, const int *y0, double *dw1,
                double *dw2);

double net_in_c(const double *w1, const double *w2, const double *x0, const int *y0, double *dw1,
                double *dw2)
{
    tg_tape *t = tg_tape_new(NULL);
    Value W1 = param(t, w1, 2, 5), W2 = param(t, w2, 5, 3), b = param(t, NULL, 3);
    Value x = input(t, x0, 4, 2), y = index(t, y0, 4);
    Value h = tanh(div(matmul(x, W1), 1.5));
    Value z = add(matmul(h, W2), mul(2, b));
    Value loss = sub(cross_entropy(z, y, .label_smoothing = 0.1),
                     neg(mul(0.01, sum(pow(W1, 2), .axes = TG_AXES(0, 1)))));
    loss = add(loss, mean(mul(ge(h, 0), h)));
    const double result =
        tg_backward(loss) && tg_grad_read(W1, dw1, 10) && tg_grad_read(W2, dw2, 15) ? tg_item(loss)
                                                                                    : 0;
    tg_tape_free(t);
    return result;
}
