/* tapegrad.hpp: it does what C does, says where, and frees what it makes. A plain program. */
#include <tapegrad.hpp>

#include <array>
#include <cstdio>
#include <cstring>

extern "C" double net_in_c(const double *w1, const double *w2, const double *x0, const int *y0,
                           double *dw1, double *dw2);
bool throws_what_went_wrong();

namespace {

int failures;

void expect(bool condition, const char *what)
{
    if (condition) return;
    std::printf("not so: %s\n", what);
    failures++;
}

void a_net_has_the_gradients_of_c_to_the_last_bit()
{
    std::vector<double> w1(10), w2(15), x0(8), dw1(10), dw2(15);
    for (size_t i = 0; i < 15; i++) {
        w2[i] = double(i * 11 % 16) / 8 - 0.9;
        if (i < 10) w1[i] = double(i * 37 % 32) / 16 - 0.9;
        if (i < 8) x0[i] = double(i * 5 % 7) / 3 - 1;
    }
    const std::array<int, 4> y0 = { 0, 2, 1, 1 };
    const double in_c =
        net_in_c(w1.data(), w2.data(), x0.data(), y0.data(), dw1.data(), dw2.data());

    tg::tape t;
    tg::value W1 = t.param(w1, { 2, 5 }), W2 = t.param(w2.data(), { 5, w2.size() / 5 }),
              b = t.param(nullptr, { 3 });
    const tg::value x = t.input(x0, { 4, 2 }), y = t.index(y0);
    tg::smoothed_attributes smoothed;
    smoothed.label_smoothing = 0.1;
    tg::reduce_attributes both;
    both.axes = tg::axes(0, 1);
    const tg::value h = tanh(matmul(x, W1) / 1.5);
    const tg::value z = matmul(h, W2) + 2 * b;
    tg::value loss = cross_entropy(z, y, smoothed) - -(0.01 * sum(pow(W1, 2), both));
    loss += mean((h >= 0) * h);
    expect(loss.backward(), "backward works");
    expect(in_c != 0 && loss.item() == in_c, "the loss is that of C");
    expect(W1.grad_read() == dw1 && W2.grad_read() == dw2, "the gradients are those of C");
    expect(std::memcmp(W1.grad(), dw1.data(), 10 * sizeof(double)) == 0, "grad() points to them");
}

void numbers_stand_on_either_side()
{
    tg::tape t;
    const tg::value x = t.scalar(3), y = t.scalar(2);
    expect((x + 1).item() == 4 && (1 + x).item() == 4 && (x + y).item() == 5, "+");
    expect((x - 1u).item() == 2 && (1 - x).item() == -2 && (-x).item() == -3 && (+x).item() == 3,
           "-");
    expect((x * 2L).item() == 6 && (2.0f * x).item() == 6 && (x / 2).item() == 1.5 &&
               (6 / x).item() == 2,
           "* /");
    expect((x < 4).item() == 1 && (4 < x).item() == 0 && (x <= y).item() == 0 &&
               (x >= 3).item() == 1,
           "< <= >=");
    expect((x > y).item() == 1 && (x == 3).item() == 1 && (x != 3).item() == 0, "> == !=");
    expect(maximum(2, x).item() == 3 && pow(2, x).item() == 8 && where(x > y, 1, y).item() == 1,
           "functions");
    tg::value a = x;
    a += y, a -= 1, a *= a, a /= 4;
    expect(a.item() == 4 && x.item() == 3, "+= -= *= /=");
    expect(exp(0) == 1 && pow(2, 3) == 8 && tg::exp(x).item() == std::exp(3.0),
           "numbers alone keep their meaning");
}

void lists_and_shapes_are_braced()
{
    tg::tape t;
    const std::vector<float> x0 = { 1, 2, 3, 4, 5, 6 };
    const tg::value x = t.input(x0, { 3, size_t(2) }), y = t.full(2, { 3, 2 });
    expect(tg::cat({ x, y }, { 1 }).dim(1) == 4 &&
               tg::stack(std::vector<tg::value>{ x, y, x }).dim(0) == 3,
           "cat, stack");
    expect(reshape(x, 2, -1).dim(1) == 3 &&
               permute(x, 1, 0).read() == std::vector<double>{ 1, 3, 5, 2, 4, 6 },
           "reshape, permute");
    expect(tg::einsum("ij,ij->i", { x, y }).read() == std::vector<double>{ 6, 14, 22 }, "einsum");
    expect(sum(x, { 1, {}, true }).rank() == 2 && sum(x).item() == 21, "attributes by place");
    expect(t.zeros({}).rank() == 0 && t.ones({ 4 }).size() == 4 && t.number(5).item() == 5,
           "zeros, ones, number");
    expect(t.uniform(1, 2, 3, { 50 }).read()[7] >= 2 && t.normal(1, 0, 1, { 50 }).dim(0) == 50,
           "random leaves");
    const tg::value p = t.param(x0, { 6 });
    expect(p.set(std::array<float, 6>{ 6, 5, 4, 3, 2, 1 }) && p.data()[0] == 6 && p.set(&x0[0], 6),
           "set");
    p.edit()[5] = 60;
    expect(p.read()[5] == 60 &&
               t.index(&std::array<unsigned char, 2>{ 7, 8 }[0], { 2 }).read()[1] == 8,
           "edit, index");
}

void scopes_take_back_what_they_recorded()
{
    tg::tape t;
    const tg::value w = t.scalar(2);
    size_t n = 0;
    for (int i = 0; i < 3; i++) {
        const tg::step s(t);
        const tg::value y = w * w * w;
        expect(y.backward() && w.grad_item() == 12, "the gradient in a step");
        if (i == 0) n = t.stats().instructions;
        expect(t.stats().instructions == n, "every step begins with the same tape");
    }
    {
        const tg::no_grad off(t);
        expect(!tg_grad(w * 2), "no gradient in no_grad");
    }
    const tg::value c = w.detach() * w;
    expect(c.backward() && w.grad_item() == 2, "detach");
    tg::tape moved = std::move(t);
    expect(static_cast<tg_tape *>(moved) == tg_value(w).tape, "a tape can be moved");
    moved.reset();
    expect(moved.stats().instructions == 0, "reset");
}

/* Whether the tape's error is the code, at this line of this file; takes it off. */
bool failed(const tg::tape &t, tg_code code, int line)
{
    const tg_error *const e = t.error();
    const bool right =
        e && e->code == code && e->line == line && e->file && std::strcmp(e->file, __FILE__) == 0;
    t.clear_error();
    return right;
}

void errors_say_where()
{
    tg_tape_options silent = {};
    silent.on_error = tg_ignore_error;
    const tg::tape t(silent);
    const tg::value x = t.zeros({ 3, 2 }), y = t.zeros({ 4 });
    expect((x + y).is_null() && failed(t, TG_ERROR_SHAPE, __LINE__), "an operator");
    expect((2 * x - 3 * y).is_null() && failed(t, TG_ERROR_SHAPE, __LINE__), "a nested operator");
    expect(matmul(x, y).is_null() && failed(t, TG_ERROR_SHAPE, __LINE__), "a function");
    expect(reshape(x, 5).is_null() && failed(t, TG_ERROR_SHAPE, __LINE__),
           "a function with a list");
    expect(tg::cat({ x, y }).is_null() && failed(t, TG_ERROR_SHAPE, __LINE__),
           "a function of a list");
    tg::value z = x;
    z += y;
    expect(z.is_null() && failed(t, TG_ERROR_SHAPE, __LINE__ - 1), "an assignment");
    expect(t.full(1, { -1 }).is_null() && failed(t, TG_ERROR_SHAPE, __LINE__), "a leaf");
    expect(t.param(std::vector<double>(3), { 2 }).is_null() && t.error(),
           "a container of another size");
    t.clear_error();
    expect(!x.set(std::vector<double>(3)) && t.error() && x.read().size() == 6 - 6,
           "the first error stays");
    t.clear_error();
    expect(x.read().size() == 6, "and is taken off");
}

void the_gradient_check_takes_a_lambda()
{
    const double a[] = { 1, -2, 3 };
    const tg_check_input inputs[] = { { "a", a, 1, { 3 } } };
    tg_check_report report;
    const auto model = [](tg_tape *, const tg_value *in, void *) -> tg_value {
        const tg::value x = in[0];
        return sum(x * exp(x));
    };
    expect(tg_gradcheck(model, nullptr, inputs, 1, nullptr, &report) && report.checked == 3,
           "tg_gradcheck");
}

} // namespace

int main()
{
    a_net_has_the_gradients_of_c_to_the_last_bit();
    numbers_stand_on_either_side();
    lists_and_shapes_are_braced();
    scopes_take_back_what_they_recorded();
    errors_say_where();
    the_gradient_check_takes_a_lambda();
    expect(throws_what_went_wrong(), "exceptions where they are asked for");
    return failures != 0;
}
