/* GradBench's functions with one result, and their gradients: hello, gmm, lstm, llsq, lse, det; and ode,
   kmeans. */
#include <math.h>
#include <stdlib.h>

#include "driver.h"
#include <tapegrad/short.h>

/* ---- value and gradient of a model ------------------------------------------------------------- */

static void take_leaf(work *k, const json *j)
{
    k->leaf[k->leaves++] = tensor(k, TG_PARAMETER, j);
}

static int64_t leaf_sizes(const work *k)
{
    int64_t n = 0;
    for (int i = 0; i < k->leaves; i++) n += tg_size(k->leaf[i]);
    return n;
}

#define VALUE(NAME)                                                                                \
    static void NAME##_value(work *k)                                                              \
    {                                                                                              \
        result_of(k, 0, 0);                                                                        \
        compile_work(k, NAME##_model(k), false);                                                   \
    }
#define VALUE_AND_GRADIENT(NAME)                                                                   \
    VALUE(NAME)                                                                                    \
    static void NAME##_gradient(work *k)                                                           \
    {                                                                                              \
        result_of(k, 0, leaf_sizes(k));                                                            \
        compile_work(k, NAME##_model(k), true);                                                    \
    }

/* ---- hello ------------------------------------------------------------------------------------- */

static void hello_prepare(work *k, const json *input)
{
    if (input->kind != JSON_NUMBER) refuse(k, "the input is no number");
    take_leaf(k, input);
}

static Value hello_model(const work *k)
{
    return square(k->leaf[0]);
}
VALUE_AND_GRADIENT(hello)

static void hello_write(const work *k, json *message)
{
    json_add_number(message, "output", *k->out);
}

/* ---- llsq, lse --------------------------------------------------------------------------------- */

static void llsq_prepare(work *k, const json *input)
{
    const double n = number_of(k, input, "n");
    take_leaf(k, json_get(input, "x"));
    if (!(n >= 2 && n <= 1e8)) {
        refuse(k, "llsq: n is 2 to 10^8");
        return;
    }
    const size_t points = (size_t)n;
    double *const t = room(points, sizeof *t), *const s = room(points, sizeof *s);
    for (size_t i = 0; i < points; i++) {
        t[i] = -1 + 2 * (double)i / (n - 1);
        s[i] = t[i] < 0 ? -1 : t[i] > 0;
    }
    k->data[0] = input(k->tape, t, (int64_t)points);
    k->data[1] = input(k->tape, s, (int64_t)points);
    free(t);
    free(s);
}

/* The polynomial by Horner's rule, at one point or all of them. */
static Value polynomial(Value x, Value t)
{
    Value y = at(x, tg_size(x) - 1);
    for (int64_t j = tg_size(x) - 1; j-- > 0;) y = add(mul(y, t), at(x, j));
    return y;
}

static Value llsq_model(const work *k)
{
    return mul(0.5, sum(square(sub(k->data[1], polynomial(k->leaf[0], k->data[0])))));
}
VALUE(llsq)

static void llsq_gradient(work *k)
{
    const Value point[] = { scalar(k->tape, 0), scalar(k->tape, 0) };
    result_of(k, 0, leaf_sizes(k));
    if (!is_fine(k, NULL)) return;
    const Value y = mul(0.5, square(sub(point[1], polynomial(k->leaf[0], point[0]))));
    compile_points(k, y, point, k->data, 2, tg_size(k->data[0]), false);
}

static void lse_prepare(work *k, const json *input)
{
    take_leaf(k, json_get(input, "x"));
}

static Value lse_model(const work *k)
{
    const Value x = k->leaf[0], largest = tg_detach(amax(x));
    return add(largest, log(sum(exp(sub(x, largest)))));
}
VALUE_AND_GRADIENT(lse)

/* ---- det --------------------------------------------------------------------------------------- */

enum { LARGEST = 12 };

static void det_prepare(work *k, const json *input)
{
    take_leaf(k, json_get(input, "A"));
    k->size[0] = (int64_t)number_of(k, input, "ell");
    if (k->size[0] < 1 || k->size[0] > LARGEST) refuse(k, "det: ell is 1 to 12");
    else if (tg_size(k->leaf[0]) != k->size[0] * k->size[0]) refuse(k, "det: A has not ell x ell numbers");
}

/* Minors of the last rows, by the set of their columns: each is made once, of smaller ones. */
static Value det_model(const work *k)
{
    const int l = (int)k->size[0];
    Value *const minor = room((size_t)1 << l, sizeof *minor);
    minor[0] = tg_number(k->tape, 1);
    for (unsigned set = 1; set < 1u << l; set++) {
        const int row = l - __builtin_popcount(set);
        Value total = tg_number(k->tape, 0);
        for (int column = 0, sign = 1; column < l; column++) {
            if (!(set >> column & 1)) continue;
            const Value term = mul(at(k->leaf[0], row * l + column), minor[set & ~(1u << column)]);
            total = sign > 0 ? add(total, term) : sub(total, term);
            sign = -sign;
        }
        minor[set] = total;
    }
    const Value y = minor[(1u << l) - 1];
    free(minor);
    return y;
}
VALUE_AND_GRADIENT(det)

/* ---- gmm --------------------------------------------------------------------------------------- */

static double log_gamma_of(double x, int64_t d)
{
    double y = 0.25 * (double)(d * (d - 1)) * log(acos(-1));
    for (int64_t j = 1; j <= d; j++) y += lgamma(x + 0.5 * (double)(1 - j));
    return y;
}

static void gmm_prepare(work *k, const json *input)
{
    static const char *const leaves[] = { "alpha", "mu", "q", "l" };
    const int64_t D = k->size[0] = (int64_t)number_of(k, input, "d"), K = k->size[1] = (int64_t)number_of(k, input, "k");
    const double n = number_of(k, input, "n"), gamma = number_of(k, input, "gamma"), m = number_of(k, input, "m");
    for (int i = 0; i < 4; i++) take_leaf(k, json_get(input, leaves[i]));
    k->data[0] = tensor(k, TG_INPUT, json_get(input, "x"));
    if (D < 1 || K < 1 || !(n >= 1) || tg_size(k->data[0]) != (int64_t)n * D || tg_size(k->leaf[1]) != K * D ||
        tg_size(k->leaf[3]) != K * D * (D - 1) / 2) {
        refuse(k, "gmm: arrays do not have the sizes that d, k and n say");
        return;
    }
    /* Where in (exp(q), l, 0) the elements of Q are: l goes down the columns. */
    int64_t *const place = room((size_t)(D * D), sizeof *place), p = D;
    for (int64_t j = 0; j < D; j++) {
        for (int64_t i = 0; i < j; i++) place[i * D + j] = D + D * (D - 1) / 2;
        place[j * D + j] = j;
        for (int64_t i = j + 1; i < D; i++) place[i * D + j] = p++;
    }
    k->data[1] = tg_index_new(k->tape, sizeof *place, place, 1, (const int64_t[]){ D * D }, NULL);
    free(place);
    const double freedom = (double)D + m + 1;
    const double C = freedom * (double)D * (log(gamma) - 0.5 * log(2)) - log_gamma_of(0.5 * freedom, D);
    k->number[0] = -0.5 * n * (double)D * log(2 * acos(-1)) + (double)K * C;
    k->number[1] = n, k->number[2] = gamma, k->number[3] = m;
}

/* Q for all components: (K, D, D). */
static Value triangles(const work *k)
{
    const int64_t D = k->size[0], K = k->size[1];
    const Value diagonal = exp(k->leaf[2]);
    const Value entries = D > 1 ? cat(TG_VALUES(diagonal, k->leaf[3], tg_zeros(k->tape, K, 1)), .axis = 1) : diagonal;
    return reshape(index_select(entries, k->data[1], .axis = 1), K, D, D);
}

/* What belongs to a component: (K); and what belongs to no point. */
static Value weights(const work *k)
{
    return add(k->leaf[0], sum(k->leaf[2], .axis = 1));
}

static Value rest(const work *k)
{
    const double g2 = k->number[2] * k->number[2];
    const Value q = k->leaf[2];
    Value prior = sub(mul(0.5 * g2, sum(square(exp(q)))), mul(k->number[3], sum(q)));
    if (k->size[0] > 1) prior = add(prior, mul(0.5 * g2, sum(square(k->leaf[3]))));
    return sub(sub(k->number[0], mul(k->number[1], logsumexp(k->leaf[0]))), prior);
}

static Value gmm_model(const work *k)
{
    const Value apart = sub(k->data[0], unsqueeze(k->leaf[1], .axis = 1)); /* (K, N, D) */
    const Value squares = sum(square(matmul(apart, transpose(triangles(k)))), .axis = 2);
    const Value likelihood = logsumexp(sub(unsqueeze(weights(k), .axis = 1), mul(0.5, squares)), .axis = 0);
    return add(sum(likelihood), rest(k));
}
VALUE(gmm)

/* What one of the points contributes; Q (x - mu) of all components is one product. */
static void gmm_gradient(work *k)
{
    const int64_t D = k->size[0], K = k->size[1];
    const Value x = param(k->tape, (double *)NULL, D), Q = triangles(k);
    const Value centers = matmul(Q, unsqueeze(k->leaf[1], .axis = 2));
    result_of(k, 0, leaf_sizes(k));
    if (!is_fine(k, NULL)) return;
    const Value y = tg_linear(x, reshape(Q, K * D, D), neg(reshape(centers, K * D)));
    const Value squares = sum(square(reshape(y, K, D)), .axis = 1);
    const Value of_point = add(logsumexp(sub(weights(k), mul(0.5, squares))), mul(1 / k->number[1], rest(k)));
    compile_points(k, of_point, &x, k->data, 1, (int64_t)k->number[1], false);
}

static void gmm_write(const work *k, json *message)
{
    static const char *const names[] = { "alpha", "mu", "q", "l" };
    const int64_t D = k->size[0], K = k->size[1], columns[] = { K, D, D, D * (D - 1) / 2 };
    json *const output = json_add(message, "output", JSON_OBJECT);
    const double *x = k->out;
    for (int i = 0; i < 4; x += tg_size(k->leaf[i++])) add_numbers(output, names[i], x, i ? K : 0, columns[i]);
}

/* ---- lstm -------------------------------------------------------------------------------------- */

static void lstm_prepare(work *k, const json *input)
{
    take_leaf(k, json_get(input, "main_params"));
    take_leaf(k, json_get(input, "extra_params"));
    k->data[0] = tensor(k, TG_INPUT, json_get(input, "state"));
    k->data[1] = tensor(k, TG_INPUT, json_get(input, "sequence"));
    const json *const sequence = json_get(input, "sequence");
    if (*k->error) return;
    k->size[1] = (int64_t)sequence->count;                /* steps */
    k->size[2] = k->size[1] ? (int64_t)sequence->item->count : 0; /* width */
    k->size[0] = k->size[2] ? tg_size(k->leaf[0]) / (8 * k->size[2]) : 0; /* layers */
    if (k->size[1] < 2 || k->size[0] < 1 || k->size[0] > LARGEST ||
        tg_size(k->data[0]) != 2 * k->size[0] * k->size[2] || tg_size(k->leaf[1]) != 3 * k->size[2])
        refuse(k, "lstm: arrays do not have sizes that go together, or there are more than 12 layers");
}

static Value lstm_model(const work *k)
{
    enum { F, I, O, G };
    const int64_t layers = k->size[0], steps = k->size[1], b = k->size[2];
    const Value parameters = reshape(k->leaf[0], layers, 2, 4, b);
    Value w[LARGEST][4], bias[LARGEST][4], h[LARGEST], c[LARGEST], extra[3], total = tg_number(k->tape, 0);
    for (int l = 0; l < layers; l++) {
        const Value own = select(parameters, .index = l);
        for (int j = 0; j < 4; j++) {
            w[l][j] = select(select(own, .index = 0), .index = j);
            bias[l][j] = select(select(own, .index = 1), .index = j);
        }
        h[l] = select(k->data[0], .index = 2 * l);
        c[l] = select(k->data[0], .index = 2 * l + 1);
    }
    for (int j = 0; j < 3; j++) extra[j] = select(k->leaf[1], .index = j);
    for (int64_t t = 0; t + 1 < steps; t++) {
        Value x = mul(select(k->data[1], .index = t), extra[0]);
        for (int l = 0; l < layers; l++) {
            const Value f = sigmoid(fma(x, w[l][F], bias[l][F])), i = sigmoid(fma(h[l], w[l][I], bias[l][I]));
            const Value o = sigmoid(fma(x, w[l][O], bias[l][O])), g = tanh(fma(h[l], w[l][G], bias[l][G]));
            c[l] = fma(c[l], f, mul(i, g));
            x = h[l] = mul(o, tanh(c[l]));
        }
        const Value y = fma(x, extra[1], extra[2]);
        total = add(total, dot(select(k->data[1], .index = t + 1), sub(y, log(add(2, sum(exp(y)))))));
    }
    return mul(total, -1.0 / (double)((steps - 1) * b));
}
VALUE_AND_GRADIENT(lstm)

/* ---- ode --------------------------------------------------------------------------------------- */

static void ode_prepare(work *k, const json *input)
{
    take_leaf(k, json_get(input, "x"));
    k->size[0] = (int64_t)number_of(k, input, "s");
    if (tg_size(k->leaf[0]) < 1 || k->size[0] < 1) refuse(k, "ode: x and s must not be empty");
}

/* y0' = x0, yi' = xi y(i - 1). */
static Value slope(Value x, Value y, Value one)
{
    const int64_t n = tg_size(x);
    return mul(x, n > 1 ? cat(TG_VALUES(one, slice(y, .axis = 0, .stop = n - 1))) : one);
}

static Value ode_model(const work *k)
{
    const Value x = k->leaf[0], one = tg_ones(k->tape, 1);
    const double h = 2.0 / (double)k->size[0];
    Value y = tg_zeros(k->tape, tg_size(x));
    for (int64_t i = 0; i < k->size[0]; i++) {
        const Value k1 = slope(x, y, one), k2 = slope(x, fma(h / 2, k1, y), one);
        const Value k3 = slope(x, fma(h / 2, k2, y), one), k4 = slope(x, fma(h, k3, y), one);
        y = fma(h / 6, add(add(k1, k4), mul(2, add(k2, k3))), y);
    }
    return y;
}

static void ode_value(work *k)
{
    result_of(k, 0, tg_size(k->leaf[0]));
    compile_work(k, ode_model(k), false);
}

static void ode_gradient(work *k)
{
    result_of(k, 0, tg_size(k->leaf[0]));
    compile_work(k, at(ode_model(k), k->columns - 1), true);
}

/* ---- kmeans ------------------------------------------------------------------------------------ */

static void kmeans_prepare(work *k, const json *input)
{
    k->data[0] = tensor(k, TG_INPUT, json_get(input, "points"));
    take_leaf(k, json_get(input, "centroids"));
    const json *const centroids = json_get(input, "centroids");
    if (*k->error) return;
    k->size[0] = (int64_t)centroids->count;
    k->size[1] = k->size[0] ? tg_size(k->leaf[0]) / k->size[0] : 0;
    if (tg_rank(k->data[0]) != 2 || tg_rank(k->leaf[0]) != 2 || tg_dim(k->data[0], 1) != k->size[1] || !k->size[1])
        refuse(k, "kmeans: points and centroids are lists of points of equally many numbers");
}

/* |p - c|^2 = |p|^2 - 2 p c + |c|^2, of each point the least; a row for each centre. */
static Value kmeans_model(const work *k)
{
    const Value p = k->data[0], c = k->leaf[0];
    const Value products = matmul(c, transpose(p)); /* (k, n) */
    const Value apart = add(sub(unsqueeze(sum(square(c), .axis = 1), .axis = 1), mul(2, products)),
                            sum(square(p), .axis = 1));
    return sum(amin(apart, .axis = 0));
}

VALUE(kmeans)

/* Of one point; which centre is nearest has no derivative. */
static void kmeans_direction(work *k)
{
    const int64_t n = k->size[0], d = k->size[1];
    const Value p = param(k->tape, (double *)NULL, d), c = k->leaf[0];
    const Value nearest = argmin(tg_linear(p, mul(-2, c), sum(square(c), .axis = 1)));
    result_of(k, 2 * n, d); /* gradient, diagonal of the Hessian */
    compile_points(k, sum(square(sub(embedding(c, nearest), p))), &p, k->data, 1, tg_dim(k->data[0], 0), true);
}

/* The gradient over the Hessian, which is diagonal: its product with ones. */
static void kmeans_run(work *k)
{
    run_work(k);
    const int64_t n = k->size[0] * k->size[1];
    for (int64_t i = 0; i < n; i++) k->out[i] /= k->out[n + i];
}

static void kmeans_write(const work *k, json *message)
{
    add_numbers(message, "output", k->out, k->size[0], k->size[1]);
}

static void free_own(work *k)
{
    free(k->own);
}

const function functions_of_models[] = {
    { "hello", "square", hello_prepare, hello_value, run_work, write_result, NULL },
    { "hello", "double", hello_prepare, hello_gradient, run_work, hello_write, NULL },
    { "gmm", "objective", gmm_prepare, gmm_value, run_work, write_result, NULL },
    { "gmm", "jacobian", gmm_prepare, gmm_gradient, run_work, gmm_write, NULL },
    { "lstm", "objective", lstm_prepare, lstm_value, run_work, write_result, NULL },
    { "lstm", "jacobian", lstm_prepare, lstm_gradient, run_work, write_result, NULL },
    { "llsq", "primal", llsq_prepare, llsq_value, run_work, write_result, NULL },
    { "llsq", "gradient", llsq_prepare, llsq_gradient, run_work, write_result, NULL },
    { "lse", "primal", lse_prepare, lse_value, run_work, write_result, NULL },
    { "lse", "gradient", lse_prepare, lse_gradient, run_work, write_result, NULL },
    { "det", "primal", det_prepare, det_value, run_work, write_result, NULL },
    { "det", "gradient", det_prepare, det_gradient, run_work, write_result, NULL },
    { "ode", "primal", ode_prepare, ode_value, run_work, write_result, NULL },
    { "ode", "gradient", ode_prepare, ode_gradient, run_work, write_result, NULL },
    { "kmeans", "cost", kmeans_prepare, kmeans_value, run_work, write_result, NULL },
    { "kmeans", "dir", kmeans_prepare, kmeans_direction, kmeans_run, kmeans_write, free_own },
    { 0 },
};
