/* A tour of the library as a plain program, for the tools that start no other (MemorySanitizer,
   ThreadSanitizer, valgrind). Exits with 1 if a value is wrong. tgmath.h stands before the short
   names here, as in a user's program it may. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tgmath.h>

#include <tapegrad.h>
#include <tapegrad/short.h>

static int wrong;

static void check(bool held, const char *text, int line)
{
    if (held) return;
    printf("line %d: %s\n", line, text);
    wrong++;
}

#define CHECK(condition) check((condition), #condition, __LINE__)

static bool near(double a, double b)
{
    const double size = fmax(1, fmax(a < 0 ? -a : a, b < 0 ? -b : b));
    return a - b <= 1e-12 * size && b - a <= 1e-12 * size;
}

static void short_names(void)
{
    CHECK(_Generic(exp(2.0), double : 1, default : 0) && _Generic(abs(-2), int : 1, default : 0));
    CHECK(exp(0.0) == 1 && pow(2, 3) == 8 && sqrt(9.0) == 3 && abs(-2) == 2);
}

static void scalars(tg_tape *t)
{
    const Value a = scalar(t, 2), b = scalar(t, -3), y = mul(add(a, 1), exp(sub(1, mul(a, b))));
    CHECK(tg_backward(y));
    CHECK(near(tg_item(y), 3 * exp(7.0)) && near(tg_grad_item(a), exp(7.0) * (1 + 9)) &&
          near(tg_grad_item(b), -6 * exp(7.0)));
}

static void tensors(tg_tape *t)
{
    const double w[6] = { 1, -2, 3, -4, 5, -6 }, bias[2] = { 0.5, -0.5 };
    const int labels[3] = { 0, 1, 1 }, picked[3] = { 2, 0, 2 };
    const Value W = param(t, w, 2, 3), b = param(t, bias, 2), y = index(t, labels, 3);
    const Value x = index_select(transpose(W), index(t, picked, 3)); /* (3, 2) */
    const Value z = add(matmul(x, slice(W, .axis = 1, .stop = 2)), b);
    const Value loss = add(cross_entropy(z, y), nll(log_softmax(z), y));
    CHECK(tg_backward(loss) && tg_grad(W) && tg_grad(b));
    CHECK(near(tg_grad(b)[0] + tg_grad(b)[1], 0)); /* a shift of all logits changes nothing */
    const Value s = sum(mul(flip(W, .axis = 1), W), .axis = 1, .keep = true),
                spread = add(std(W), norm(W));
    CHECK(tg_backward(add(sum(s), spread)) && near(tg_data(s)[0], 10) && tg_dim(s, 1) == 1);
    const Value joined = cat(TG_VALUES(reshape(W, 3, 2), pad(x, .before = 1)), .axis = 1);
    CHECK(tg_dim(joined, 1) == 5 && tg_backward(mean(amax(cumsum(joined), .axis = 0))));
    CHECK(near(tg_item(prod(at(W, 0))), -6) && near(tg_item(argmax(W)), 4));
    CHECK(tg_set(W, w, 6) && !tg_backward(loss) && tg_error_of(t)->code == TG_ERROR_HISTORY);
    tg_error_clear(t);
    CHECK(tg_forward(loss) && tg_backward(loss));
}

static void mistakes(tg_tape *t)
{
    const tg_mark mark = tg_tape_mark(t);
    const Value a = param(t, NULL, 2, 3), b = param(t, NULL, 4, 5), y = exp(matmul(a, b));
    CHECK(!tg_backward(y) && tg_error_of(t) &&
          strstr(tg_error_of(t)->message, "matmul: shapes (2, 3) and (4, 5)"));
    CHECK(tg_release(mark));
    tg_error_clear(t);
    CHECK(tg_size(a) == -1 && tg_error_of(t)->code == TG_ERROR_HANDLE);
    tg_reset(t);
    CHECK(!tg_error_of(t) && tg_stats(t).instructions == 0);
    CHECK(!tg_tape_new(&(tg_tape_options){ .max_bytes = 1 }));
    const Value v = tg_apply(t, "softmax", &(const Value[]){ zeros(t, 4) }[0], 1, "axis=0, beta=2");
    CHECK(near(tg_data(v)[3], 0.25));
}

static void training(tg_tape *t)
{
    const double start[2] = { 3, -2 };
    const Value p = tg_name(param(t, start, 2), "p");
    const tg_mark mark = tg_tape_mark(t);
    for (int i = 0; i < 200; i++) {
        const Value far = sub(p, 1), loss = add(sum(square(far)), mul(0.5, square(at(far, 0))));
        CHECK(tg_backward(loss));
        double *const w = tg_edit(p);
        for (int j = 0; w && j < 2; j++) w[j] -= 0.1 * tg_grad(p)[j];
        tg_release(mark);
    }
    CHECK(near(tg_data(p)[0], 1) && near(tg_data(p)[1], 1) && strcmp(tg_name_of(p), "p") == 0);
    TG_NO_GRAD(t) CHECK(near(tg_item(sum(p)), 2));
}

static void singles(void)
{
    tg_tape *const t = tg_tape_new(&(tg_tape_options){ .type = TG_F32 });
    const float d[3] = { 1, 2, 4 };
    const Value x = param(t, d, 3), y = mul(sum(log2(x)), scalar(t, 2));
    CHECK(tg_backward(y) && tg_item(y) == 6 && tg_grad_f32(x));
    CHECK(fabs((double)tg_grad_f32(x)[1] - 1 / log(2.0)) < 1e-6);
    tg_tape_free(t);
}

static Value model(tg_tape *t, const Value *x, void *user)
{
    (void)t, (void)user;
    return logsumexp(mul(tanh(x[0]), x[1]));
}

static void gradients_checked(void)
{
    const double a[4] = { 0.1, 0.2, -0.3, 0.4 }, b[2] = { 1, -1 };
    const tg_check_input inputs[] = { { .name = "a", .data = a, .rank = 2, .shape = { 2, 2 } },
                                      { .name = "b", .data = b, .rank = 1, .shape = { 2 } } };
    tg_check_report report;
    CHECK(tg_gradcheck(model, NULL, inputs, 2, NULL, &report) && report.checked == 6);
}

int main(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
    tg_tape *const t = tg_tape_new(NULL);
    if (!t) return 1;
    short_names();
    scalars(t);
    tensors(t);
    mistakes(t);
    training(t);
    tg_tape_free(t);
    singles();
    gradients_checked();
    printf("%d wrong\n", wrong);
    return wrong != 0;
}
