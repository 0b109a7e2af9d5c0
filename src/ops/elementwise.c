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
TG_MAP2(div, "ln", "quotient a / b", a / b, 1 / b, -y / b, (-2, 2), (0.5, 3))
TG_MAP3(fma, "lll", "product and sum a b + c, rounded once", fma(a, b, c), b, a, 1, (-2, 2), (-2, 2), (-2, 2))
TG_MAP1(neg, "l", "negative -x", -x, -1, (-2, 2))
TG_MAP1(reciprocal, "n", "reciprocal 1 / x", 1 / x, -y * y, (0.5, 3))
TG_MAP1(square, "n", "square of x", x * x, 2 * x, (-2, 2))
TG_MAP1(sqrt, "n", "square root", sqrt(x), 0.5 / y, (0.1, 4))
TG_MAP1(rsqrt, "n", "reciprocal square root", 1 / sqrt(x), -0.5 * y / x, (0.2, 4))
TG_MAP1(abs, "n", "magnitude", abs(x), sign(x), (-2, 2))
TG_MAP1(sign, "0", "-1, 0 or 1", sign(x), 0, (-2, 2))
TG_MAP2(pow, "nn", "a to the power b", pow(a, b), where(b == 0, 0, b * pow(a, b - 1)),
        where(a == 0, where(b < 0, -y, 0), y * log(a)), (0.2, 3), (-2, 3))
TG_MAP2(remainder, "nn", "a - b floor(a / b): the sign of b, as Python's %", remainder(a, b), 1, round((y - a) / b),
        (-3, 3), (0.7, 2))
TG_MAP2(copysign, "n0", "magnitude of a with the sign of b", copysign(a, b), where(a == 0, 0, y / a), 0, (-2, 2),
        (-2, 2))

/* exponentials and logarithms */
TG_MAP1(exp, "n", "exponential", exp(x), y, (-2, 2))
TG_MAP1(expm1, "n", "exp(x) - 1, exact near 0", expm1(x), exp(x), (-2, 2))
TG_MAP1(exp2, "n", "2 to the power x", exp2(x), y * 0.69314718055994530942, (-2, 2))
TG_MAP1(log, "n", "natural logarithm", log(x), where(x < 0, y, 1 / x), (0.2, 4))
TG_MAP1(log1p, "n", "log(1 + x), exact near 0", log1p(x), where(x < -1, y, 1 / (1 + x)), (-0.7, 3))
TG_MAP1(log2, "n", "logarithm to base 2", log2(x), where(x < 0, y, 1 / (x * 0.69314718055994530942)), (0.2, 4))
TG_MAP1(log10, "n", "logarithm to base 10", log10(x), where(x < 0, y, 1 / (x * 2.3025850929940456840)), (0.2, 4))
TG_MAP2(logaddexp, "nn", "log(exp(a) + exp(b))", logaddexp(a, b), sigmoid(a - b), sigmoid(b - a), (-2, 2), (-2, 2))
TG_MAP2(xlogy, "ln", "a log(b), 0 where a is 0", xlogy(a, b), where(abs(a) + abs(b) == 0, 0, log(b)),
        where(a == 0, 0, a / b), (-2, 2), (0.2, 3))
TG_MAP2(hypot, "nn", "sqrt(a a + b b)", hypot(a, b), where(y == 0, 0, a / y), where(y == 0, 0, b / y), (-2, 2),
        (0.2, 2))

/* trigonometry */
TG_MAP1(sin, "n", "sine", sin(x), cos(x), (-3, 3))
TG_MAP1(cos, "n", "cosine", cos(x), -sin(x), (-3, 3))
TG_MAP1(tan, "n", "tangent", tan(x), 1 + y * y, (-1.2, 1.2))
TG_MAP1(asin, "n", "arc sine", asin(x), 1 / sqrt((1 - x) * (1 + x)), (-0.8, 0.8))
TG_MAP1(acos, "n", "arc cosine", acos(x), -1 / sqrt((1 - x) * (1 + x)), (-0.8, 0.8))
TG_MAP1(atan, "n", "arc tangent", atan(x), 1 / (1 + x * x), (-3, 3))
TG_MAP2(atan2, "nn", "angle of the point (b, a)", atan2(a, b),
        where(hypot(a, b) == 0, 0, b / hypot(a, b) / hypot(a, b)),
        where(hypot(a, b) == 0, 0, -a / hypot(a, b) / hypot(a, b)), (-2, 2), (0.3, 2))
TG_MAP1(sinh, "n", "hyperbolic sine", sinh(x), cosh(x), (-2, 2))
TG_MAP1(cosh, "n", "hyperbolic cosine", cosh(x), sinh(x), (-2, 2))
TG_MAP1(tanh, "n", "hyperbolic tangent", tanh(x), (1 - y) * (1 + y), (-2, 2))
TG_MAP1(asinh, "n", "inverse hyperbolic sine", asinh(x), 1 / hypot(x, 1), (-3, 3))
TG_MAP1(acosh, "n", "inverse hyperbolic cosine", acosh(x), 1 / sqrt((x - 1) * (x + 1)), (1.2, 4))
TG_MAP1(atanh, "n", "inverse hyperbolic tangent", atanh(x), 1 / ((1 - x) * (1 + x)), (-0.8, 0.8))

/* special functions */
TG_MAP1(erf, "n", "error function", erf(x), 1.1283791670955125739 * exp(-x * x), (-2, 2))
TG_MAP1(erfc, "n", "1 - erf(x)", erfc(x), -1.1283791670955125739 * exp(-x * x), (-2, 2))
TG_MAP1(sigmoid, "n", "logistic function 1 / (1 + exp(-x))", sigmoid(x), y * sigmoid(-x), (-3, 3))
TG_MAP1(log_sigmoid, "n", "log(sigmoid(x))", -softplus(-x), sigmoid(-x), (-3, 3))
TG_MAP1(logit, "n", "log(x / (1 - x)), the inverse of sigmoid", log(x) - log1p(-x), 1 / (x * (1 - x)), (0.1, 0.9))
TG_MAP1(softplus, "n", "log(1 + exp(x))", softplus(x), sigmoid(x), (-3, 3))

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
         where(a >= b, a, where(a < b, b, a + b)), where(a > b, 1, where(a == b, 0.5, 0)),
         where(b > a, 1, where(a == b, 0.5, 0)), (-2, 2), (-2, 2))
TG_PICK2(minimum, "nn", "the smaller of a and b; a tie shares the gradient",
         where(a <= b, a, where(a > b, b, a + b)), where(a < b, 1, where(a == b, 0.5, 0)),
         where(b < a, 1, where(a == b, 0.5, 0)), (-2, 2), (-2, 2))
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
TG_MAP1(silu, "n", "x sigmoid(x)", x * sigmoid(x), sigmoid(x) * (1 + x * sigmoid(-x)), (-3, 3))
TG_MAP1(gelu, "n", "x times the normal distribution function of x", 0.5 * x * erfc(-x * 0.70710678118654752440),
        0.5 * erfc(-x * 0.70710678118654752440) + x * 0.39894228040143267794 * exp(-0.5 * x * x), (-3, 3))

/* parts of derivatives */
TG_PART2(times, "ll", "a b, 0 where a is 0: what an incoming gradient a contributes", where(a == 0, 0, a * b), b, a,
         (-2, 2), (-2, 2))
TG_PART_PICK2(pick, "ll", "a b, 0 where either is 0", where(a == 0, 0, where(b == 0, 0, a * b)), b, a, (-2, 2), (-2, 2))
