/* Elementwise operations, one line each:

       TG_MAPn(name, letters, doc, value, derivative by each operand, range of each operand in the checks)

   The formulas are C in x, or in a, b, c, and in the result y; they use + - * /, comparisons (1 or 0) and functions that
   are themselves in the table. They are compiled into the kernels of every type and instruction-set level (formula.h
   gives the functions their types), into the scalar path of the tape, and kept as text. Branches are where(...), which
   evaluates one side. TG_PICKn: a derivative of 0 contributes exactly 0, whatever comes in; elsewhere only an incoming 0
   does. Corners: docs/ops.md. */
#include "ops/op.h"

/* arithmetic */
TG_MAP2(add, "ll", "sum a + b", a + b, 1, 1, (-2, 2), (-2, 2))
TG_MAP2(sub, "ll", "difference a - b", a - b, 1, -1, (-2, 2), (-2, 2))
TG_MAP2(mul, "ll", "product a b", a * b, b, a, (-2, 2), (-2, 2))
TG_MAP2(div, "ln", "quotient a / b", a / b, 1 / b, div_b(a, b, y), (-2, 2), (0.5, 3))
TG_MAP3(fma, "lll", "product and sum a b + c, rounded once", fma(a, b, c), b, a, 1, (-2, 2), (-2, 2), (-2, 2))
TG_MAP1(neg, "l", "negative -x", -x, -1, (-2, 2))
TG_MAP1(reciprocal, "n", "reciprocal 1 / x", 1 / x, -y * y, (0.5, 3))
TG_MAP1(square, "n", "square of x", x * x, 2 * x, (-2, 2))
TG_MAP1(sqrt, "n", "square root", sqrt(x), 0.5 / y, (0.1, 4))
TG_MAP1(rsqrt, "n", "reciprocal square root", 1 / sqrt(x), -0.5 * y / x, (0.2, 4))
TG_MAP1(abs, "n", "magnitude", abs(x), sign(x), (-2, 2))
TG_MAP1(sign, "0", "-1, 0 or 1", sign(x), 0, (-2, 2))
TG_MAP2(pow, "nn", "a to the power b", pow(a, b), pow_a(a, b), pow_b(a, b), (0.2, 3), (-2, 3))
TG_MAP2(remainder, "nn", "a - b floor(a / b): the sign of b, as Python's %", remainder(a, b), 1, round(y / b - a / b),
        (-3, 3), (0.7, 2))
TG_MAP2(copysign, "n0", "magnitude of a with the sign of b", copysign(a, b), sign(a) * copysign(1, b), 0, (-2, 2),
        (-2, 2))

/* exponentials and logarithms */
TG_MAP1(exp, "n", "exponential", exp(x), y, (-2, 2))
TG_MAP1(expm1, "n", "exp(x) - 1, exact near 0", expm1(x), exp(x), (-2, 2))
TG_MAP1(exp2, "n", "2 to the power x", exp2(x), exp2_x(x, y), (-2, 2))
TG_MAP1(log, "n", "natural logarithm", log(x), where(y != y, y, 1 / x), (0.2, 4))
TG_MAP1(log1p, "n", "log(1 + x), exact near 0", log1p(x), where(y != y, y, 1 / (1 + x)), (-0.7, 3))
TG_MAP1(log2, "n", "logarithm to base 2", log2(x), where(y != y, y, 1.4426950408889634074 / x), (0.2, 4))
TG_MAP1(log10, "n", "logarithm to base 10", log10(x), where(y != y, y, 0.43429448190325182765 / x), (0.2, 4))
TG_MAP2(logaddexp, "nn", "log(exp(a) + exp(b))", logaddexp(a, b), logaddexp_a(a, b), logaddexp_a(b, a), (-2, 2), (-2, 2))
TG_MAP2(xlogy, "ln", "a log(b), 0 where a is 0", xlogy(a, b), where(abs(a) + abs(b) == 0, 0, log(b)),
        xdivy(a, b), (-2, 2), (0.2, 3))
TG_MAP2(hypot, "nn", "sqrt(a a + b b)", hypot(a, b), hypot_a(a, b), hypot_a(b, a), (-2, 2), (0.2, 2))

/* trigonometry */
TG_MAP1(sin, "n", "sine", sin(x), cos(x), (-3, 3))
TG_MAP1(cos, "n", "cosine", cos(x), -sin(x), (-3, 3))
TG_MAP1(tan, "n", "tangent", tan(x), 1 + y * y, (-1.2, 1.2))
TG_MAP1(asin, "n", "arc sine", asin(x), 1 / sqrt((1 - x) * (1 + x)), (-0.8, 0.8))
TG_MAP1(acos, "n", "arc cosine", acos(x), -1 / sqrt((1 - x) * (1 + x)), (-0.8, 0.8))
TG_MAP1(atan, "n", "arc tangent", atan(x), atan2_a(x, 1), (-3, 3))
TG_MAP2(atan2, "nn", "angle of the point (b, a)", atan2(a, b), atan2_a(a, b), -atan2_a(b, a), (-2, 2), (0.3, 2))
TG_MAP1(sinh, "n", "hyperbolic sine", sinh(x), cosh(x), (-2, 2))
TG_MAP1(cosh, "n", "hyperbolic cosine", cosh(x), sinh(x), (-2, 2))
TG_MAP1(tanh, "n", "hyperbolic tangent", tanh(x), tanh_by_value(x, y), (-2, 2))
TG_MAP1(asinh, "n", "inverse hyperbolic sine", asinh(x), hypot_a(1, x), (-3, 3))
TG_MAP1(acosh, "n", "inverse hyperbolic cosine", acosh(x), 1 / (sqrt(x - 1) * sqrt(x + 1)),
        (1.2, 4))
TG_MAP1(atanh, "n", "inverse hyperbolic tangent", atanh(x),
        where(y != y, y, 1 / ((1 - x) * (1 + x))), (-0.8, 0.8))

/* special functions */
TG_MAP1(erf, "n", "error function", erf(x), 1.1283791670955125739 * gaussian(x), (-2, 2))
TG_MAP1(erfc, "n", "1 - erf(x)", erfc(x), -1.1283791670955125739 * gaussian(x), (-2, 2))
TG_MAP1(sigmoid, "n", "logistic function 1 / (1 + exp(-x))", sigmoid(x), sigmoid_by_value(x, y), (-3, 3))
TG_MAP1(log_sigmoid, "n", "log(sigmoid(x))", -softplus(-x), sigmoid(-x), (-3, 3))
TG_MAP1(logit, "n", "log(x / (1 - x)), the inverse of sigmoid", logit(x), where(y != y, y, 1 / (x * (1 - x))),
        (0.1, 0.9))
TG_MAP1(softplus, "n", "log(1 + exp(x))", softplus(x), sigmoid(x), (-3, 3))
TG_MAP1(lgamma, "n", "log |gamma(x)|", lgamma(x), digamma(x), (0.3, 4))
TG_MAP1(digamma, "n", "derivative of lgamma", digamma(x), polygamma(1, x), (0.3, 4))
TG_MAP2(polygamma, "0n", "derivative of digamma of order a at b; a is rounded to a whole number, 0 to 170",
        polygamma(a, b), 0, polygamma(round(a) + 1, b), (2, 2), (0.5, 3))

/* rounding */
TG_MAP1(floor, "0", "largest whole number not above x", floor(x), 0, (-3, 3))
TG_MAP1(ceil, "0", "smallest whole number not below x", ceil(x), 0, (-3, 3))
TG_MAP1(round, "0", "nearest whole number, half to even", round(x), 0, (-3, 3))
TG_MAP1(trunc, "0", "whole part, towards 0", trunc(x), 0, (-3, 3))

/* comparisons: 1 where it holds, else 0 */
TG_MAP2(eq, "00", "a equals b", a == b, 0, 0, (-2, 2), (-2, 2))
TG_MAP2(ne, "00", "a differs from b", a != b, 0, 0, (-2, 2), (-2, 2))
TG_MAP2(lt, "00", "a is less than b", a < b, 0, 0, (-2, 2), (-2, 2))
TG_MAP2(le, "00", "a is at most b", a <= b, 0, 0, (-2, 2), (-2, 2))
TG_MAP2(gt, "00", "a is greater than b", a > b, 0, 0, (-2, 2), (-2, 2))
TG_MAP2(ge, "00", "a is at least b", a >= b, 0, 0, (-2, 2), (-2, 2))
TG_MAP1(isnan, "0", "x is not a number", x != x, 0, (-2, 2))
TG_MAP1(isfinite, "0", "x is neither infinite nor NaN", x - x == 0, 0, (-2, 2))

/* selection */
TG_PICK2(maximum, "nn", "the larger of a and b; a tie shares the gradient",
         where(a >= b, a, where(a < b, b, a + b)), where(a == b, 0.5, a > b),
         where(a == b, 0.5, b > a), (-2, 2), (-2, 2))
TG_PICK2(minimum, "nn", "the smaller of a and b; a tie shares the gradient",
         where(a <= b, a, where(a > b, b, a + b)), where(a == b, 0.5, a < b),
         where(a == b, 0.5, b < a), (-2, 2), (-2, 2))
TG_PICK3(clamp, "nnn", "a, held between b and c; derivative 1 on the closed interval",
         where(b != b, b, where(c != c, c, where(a < b, where(b < c, b, c), where(a > c, c, a)))),
         where(a < b, 0, a <= c), where(a < b, b < c, 0),
         where(a < b, b >= c, a > c), (-2, 2), (-1, -0.5), (0.5, 1))
TG_PICK3(where, "0ll", "b where a is not 0, else c", where(a != 0, b, c), 0, a != 0, a == 0, (-1, 1), (-2, 2),
         (-2, 2))
TG_PICK3(masked_fill, "l0l", "c where b is not 0, else a", where(b != 0, c, a), b == 0, 0, b != 0, (-2, 2), (-1, 1),
         (-2, 2))

/* activations */
TG_PICK1(relu, "n", "x above 0, else 0", where(x <= 0, 0, x), x > 0, (-2, 2))
TG_PICK2(leaky_relu, "nl", "a above 0, else a b", where(a > 0, a, a * b), where(a > 0, 1, b), where(a > 0, 0, a),
         (-2, 2), (0.05, 0.3))
TG_PICK2(elu, "nl", "a above 0, else b (exp(a) - 1)", where(a > 0, a, b * expm1(a)), where(a > 0, 1, exp_times(a, b)),
         where(a > 0, 0, expm1(a)), (-2, 2), (0.5, 2))
TG_PICK2(celu, "nn", "a above 0, else b (exp(a / b) - 1), b above 0", celu(a, b), celu_a(a, b), celu_b(a, b), (-2, 2),
         (0.5, 2))
TG_MAP1(selu, "n", "1.0507 x above 0, else 1.7581 (exp(x) - 1)",
        where(x < 0, 1.7580993408473768599 * expm1(x), 1.0507009873554804934 * x),
        where(x < 0, 1.7580993408473768599 * exp(x), 1.0507009873554804934), (-2, 2))
TG_PICK1(relu6, "n", "x, held between 0 and 6", where(x <= 0, 0, where(x >= 6, 6, x)), where(x > 0, x < 6, 0),
         (-2, 8))
TG_PICK1(hardtanh, "n", "x, held between -1 and 1; for other bounds see clamp",
         where(x <= -1, -1, where(x >= 1, 1, x)), where(x > -1, x < 1, 0), (-2, 2))
TG_PICK1(hardsigmoid, "n", "(x + 3) / 6, held between 0 and 1", where(x <= -3, 0, where(x >= 3, 1, (x + 3) / 6)),
         where(x > -3, where(x < 3, 0.16666666666666666667, 0), 0), (-4, 4))
TG_PICK1(hardswish, "n", "x hardsigmoid(x)", where(x <= -3, 0, where(x >= 3, x, x * (x + 3) / 6)),
         where(x > -3, where(x < 3, (2 * x + 3) / 6, 1), 0), (-4, 4))
TG_MAP1(softsign, "n", "x / (1 + |x|)", softsign(x), 1 / (1 + abs(x)) / (1 + abs(x)), (-3, 3))
TG_MAP1(silu, "n", "x sigmoid(x)", silu(x), silu_x(x), (-3, 3))
TG_MAP1(mish, "n", "x tanh(softplus(x))", mish(x), mish_x(x), (-3, 3))
TG_MAP1(gelu, "n", "x times the normal distribution function of x", gelu(x), gelu_x(x), (-3, 3))
TG_MAP1(gelu_tanh, "n", "gelu by tanh: x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x x x))) / 2", gelu_tanh(x),
        gelu_tanh_x(x), (-3, 3))

/* parts of derivatives */
TG_PART2(times, "ll", "a b, 0 where a is 0: what an incoming gradient a contributes", where(a == 0, 0, a * b), b, a,
         (-2, 2), (-2, 2))
TG_PART_PICK2(pick, "ll", "a b, 0 where either is 0", where(a == 0, 0, where(b == 0, 0, a * b)), b, a, (-2, 2), (-2, 2))
TG_PART3(div_b, "0nl", "-c / b, by way of a if c = a / b has underflowed", div_b(a, b, c), 0, c / b / b, -1 / b,
         (-2, 2), (0.5, 3), (-2, 2))
TG_PART2(pow_a, "nn", "b a^(b - 1), 0 where b is 0", pow_a(a, b), times(b, pow_a(a, b - 1)),
         times(pow(a, b - 1), 1 + xlogy(b, a)), (0.2, 3), (-2, 3))
TG_PART2(pow_b, "nn", "a^b log(a), 0 where a is 0 and b not negative", pow_b(a, b),
         times(pow(a, b - 1), 1 + xlogy(b, a)), xlogy(y, a), (0.2, 3), (-2, 3))
TG_PART2(exp_times, "nl", "b exp(a), also where exp(a) alone has underflowed", exp_times(a, b), y, exp(a), (-2, 2),
         (-2, 2))
TG_PART2(exp2_x, "0l", "b log(2), by way of a if b = exp2(a) has overflowed", exp2_x(a, b), 0, 0.69314718055994530942,
         (-2, 2), (-2, 2))
TG_PART2(logaddexp_a, "nn", "exp(a) / (exp(a) + exp(b))", logaddexp_a(a, b), y * logaddexp_a(b, a),
         -y * logaddexp_a(b, a), (-2, 2), (-2, 2))
TG_PART2(xdivy, "ln", "a / b, 0 where a is 0", xdivy(a, b), 1 / b, -xdivy(y, b), (-2, 2), (0.5, 3))
TG_PART2(hypot_a, "nn", "a / hypot(a, b), 0 at the origin", hypot_a(a, b),
         hypot_a(b, a) * hypot_a(b, a) / hypot(a, b), -y * hypot_a(b, a) / hypot(a, b), (-2, 2), (0.2, 2))
TG_PART2(atan2_a, "nn", "b / (a a + b b), 0 at the origin", atan2_a(a, b), -2 * y * atan2_a(b, a),
         (atan2_a(b, a) - y) * (atan2_a(b, a) + y), (-2, 2), (0.3, 2))
TG_PART1(gaussian, "n", "exp(-x x)", gaussian(x), -2 * x * y, (-2, 2))
TG_PART1(normal_pdf, "n", "density of the normal distribution", normal_pdf(x), -x * y, (-2, 2))
TG_PART1(sigmoid_x, "n", "sigmoid(x) sigmoid(-x)", sigmoid_x(x), -y * tanh(0.5 * x), (-3, 3))
TG_PART2(sigmoid_by_value, "0n", "b (1 - b), by way of a if b = sigmoid(a) is near 1", sigmoid_by_value(a, b), 0,
         1 - 2 * b, (-2, 2), (0.1, 0.8))
TG_PART2(tanh_by_value, "0n", "1 - b b, by way of a if b = tanh(a) is near -1 or 1", tanh_by_value(a, b), 0, -2 * b,
         (-2, 2), (-0.8, 0.8))
TG_PART1(silu_x, "n", "derivative of silu", silu_x(x), sigmoid_x(x) * (2 - x * tanh(0.5 * x)), (-3, 3))
TG_PART1(mish_x, "n", "derivative of mish", mish_x(x),
         4 * sigmoid_x(2 * softplus(x)) *
             (2 * sigmoid(x) + x * (sigmoid_x(x) - 2 * tanh(softplus(x)) * sigmoid(x) * sigmoid(x))), (-3, 3))
TG_PART1(gelu_x, "n", "derivative of gelu", gelu_x(x), normal_pdf(x) * fma(-x, x, 2), (-3, 3))
TG_PART1(gelu_tanh_x, "n", "derivative of gelu_tanh, x sigmoid(s) for s = x (1.5957 + 0.071355 x x)", gelu_tanh_x(x),
         sigmoid_x(x * (1.5957691216057307118 + 0.071354816272600248776 * x * x)) *
             (3.1915382432114614235 + 0.85625779527120298531 * x * x -
              x * (1.5957691216057307118 + 0.21406444881780074633 * x * x) *
                  (1.5957691216057307118 + 0.21406444881780074633 * x * x) *
                  tanh(x * (0.79788456080286535588 + 0.035677408136300124388 * x * x))), (-3, 3))
TG_PART2(celu_a, "nn", "derivative of celu by a: 1 above 0, else exp(a / b)", celu_a(a, b),
         where(a > 0, 0, y / b), where(a > 0, 0, -y * a / b / b), (-2, -0.1), (0.5, 2))
TG_PART2(celu_b, "nn", "derivative of celu by b: 0 above 0, else exp(a / b) (1 - a / b) - 1", celu_b(a, b),
         where(a > 0, 0, -celu_a(a, b) * a / b / b), where(a > 0, 0, celu_a(a, b) * a / b * a / b / b), (-2, -0.1),
         (0.5, 2))

/* in programs, what was detached or recorded in a scope without gradients */
TG_PART1(detached, "0", "x, through which no gradient flows", x, 0, (-2, 2))

/* what a rule of the user's is made of (src/expr/evaluate.c): dy/da is c, which the value does not have in it. So that the
   checks find what they expect, c is 0 there */
TG_PART3(carry, "ll0", "b, with the derivative c in a", b, c, 1, 0, (-2, 2), (-2, 2), (0, 0))
