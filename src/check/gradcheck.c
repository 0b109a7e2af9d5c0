/* Gradient checking: see tapegrad/check.h. Uses the public API alone: the model is recorded on
   a tape of its own, once for its gradient, then again for each changed input, so that the
   model's control flow may depend on its inputs.

   How an answer is judged. The slope along a line comes with an error estimate: what the table
   of extrapolated differences says of itself, plus the rounding of the model's value divided by
   the step. An estimate that is large against the derivative is called noise; it never excuses
   a difference. */
#include <tapegrad/check.h>
#include <tapegrad/tape.h>

#include "base/arena.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Columns of the extrapolation table: few, so that rows whose interval held a kink fall out of
   it. */
#define COLUMNS 6

/* How often the first step is quartered where the model is not finite. */
#define SHRINKS 14

/* The largest relative error estimate with which two numbers can agree, and with which they can
   differ: beyond it there is only noise. */
#define TRUST 1e-4
#define DOUBT 0.01

/* Ulps by which an element of the model's value may be off. */
#define ROUNDING 8.0

/* Inputs up to this size are checked element by element, larger ones along so many directions. */
#define ELEMENTS 1000
#define DIRECTIONS 32

/* Of models with one value: not 1, so that rules not linear in g show; a power of 2, so that
   dividing by it is exact. */
#define SCALAR_COTANGENT 0.5

/* A scheme: rows halve the step; with one column the value is the last row's. */
typedef struct plan {
    const char *name;
    double rtol, step, first; /* first: the first row's step, relative to step */
    int rows, columns;
    bool forward;
} plan;

static const plan plans[] = {
    [TG_LADDER] = { "ladder", 1e-7, 0.02, 1, 13, COLUMNS, false },
    [TG_CENTRAL] = { "central", 1e-5, 6e-6, 2, 2, 1, false },
    [TG_FORWARD] = { "forward", 1e-3, 1e-8, 2, 2, 1, true },
};

/* A line through the inputs: x + t u, where u is a direction or, if that is NULL, the unit
   vector of one element. */
typedef struct line {
    int input;
    int64_t element; /* -1 for a direction */
    const double *u;
    double scale; /* the size of x: steps are relative to it */
} line;

/* Differences of f at one step: to the right, to the left, over both sides. */
typedef struct probe {
    double right, left, central;
    bool finite;
} probe;

/* The derivative along a line. */
typedef struct slope {
    double value, error, step;
    bool finite, kink;
} slope;

typedef struct check {
    const plan *plan;
    tg_check_options options;
    tg_model *model;
    void *user;
    const tg_check_input *inputs;
    int n;

    tg__memory memory;
    tg__arena arena;
    tg_tape *tape;
    tg_mark mark;
    tg_value *leaf;    /* (n) */
    double **gradient; /* (n): each of its input's size */
    double *u;         /* the size of the largest input */
    double largest;    /* of all gradients, as a magnitude */

    size_t size;    /* of the model's value */
    double *weight; /* (size) */
    double *y, *plus, *minus;
    double magnitude; /* sum |weight y| */

    uint64_t random;
    bool nonzero;   /* some derivative is not zero */
    double badness; /* of the worst comparison: its difference in tolerances */
    tg_check_report *report;
} check;

/* ---- small parts ----------------------------------------------------------------------------- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t random_bits(check *c)
{
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A weight: between 0.5 and 1.5, of either sign. */
static double random_weight(check *c)
{
    const uint64_t bits = random_bits(c);
    const double magnitude = 0.5 + (double)(bits >> 11) * 0x1p-53;
    return bits & 1 ? magnitude : -magnitude;
}

static size_t input_size(const tg_check_input *input)
{
    size_t n = 1;
    for (int i = 0; i < input->rank; i++) n *= (size_t)input->shape[i];
    return n;
}

/* Earlier blocks stay where they are: an arena gives outgrown memory back only at its end. */
static double *push_doubles(check *c, size_t n)
{
    return tg__arena_push(&c->arena, (n ? n : 1) * sizeof(double));
}

/* Ends the check with a message; false, for returning. */
__attribute__((format(printf, 3, 4))) static bool stop(check *c, tg_verdict verdict,
                                                       const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    c->report->verdict = verdict;
    vsnprintf(c->report->message, sizeof c->report->message, format, arguments);
    va_end(arguments);
    return false;
}

static bool stop_by_tape(check *c)
{
    const tg_error *error = c->tape ? tg_error_of(c->tape) : NULL;
    return stop(c, TG_FAILED, "failed: %s", error ? error->message : "no memory for the check");
}

/* ---- the model ------------------------------------------------------------------------------- */

/* Records the model at the leaves' present contents; a null value after any error. */
static tg_value record(check *c)
{
    const tg_value none = { 0 };
    const tg_value y = c->model(c->tape, c->leaf, c->user);
    if (tg_error_of(c->tape)) return stop_by_tape(c), none;
    if (y.tape != c->tape || tg_rank(y) < 0)
        return stop(c, TG_FAILED, "failed: the model returned no value of its tape"), none;
    if (tg_type_of(y) == TG_I64)
        return stop(c, TG_FAILED,
                    "failed: the model's value is an index tensor, which has no gradient"),
               none;
    return y;
}

/* The model's value at x + t u, into out. */
static bool value_at(check *c, const line *l, double t, double *out)
{
    double *x = tg_release(c->mark) ? tg_edit(c->leaf[l->input]) : NULL;
    if (!x) return stop_by_tape(c);
    const double *const x0 = c->inputs[l->input].data;
    const size_t n = input_size(&c->inputs[l->input]);
    if (l->u)
        for (size_t i = 0; i < n; i++) x[i] = x0[i] + t * l->u[i];
    else x[l->element] = x0[l->element] + t;
    const tg_value y = record(c);
    if (!y.tape) return false;
    if ((size_t)tg_size(y) != c->size)
        return stop(
            c, TG_FAILED,
            "failed: the model's value has %lld elements, and had %zu at the unchanged inputs",
            (long long)tg_size(y), c->size);
    if (!tg_read(y, out, c->size)) return stop_by_tape(c);
    x = tg_edit(c->leaf[l->input]);
    if (!x) return stop_by_tape(c);
    memcpy(x, x0, n * sizeof *x);
    return true;
}

/* sum weight (a - b). Differences come first, so that elements which do not depend on x cancel
   exactly. */
static double difference(const check *c, const double *a, const double *b)
{
    double sum = 0;
    for (size_t i = 0; i < c->size; i++) sum += c->weight[i] * (a[i] - b[i]);
    return sum;
}

static bool probe_at(check *c, const line *l, double h, probe *p)
{
    if (!value_at(c, l, h, c->plus) || !value_at(c, l, -h, c->minus)) return false;
    const double x = l->u ? 0 : c->inputs[l->input].data[l->element];
    const volatile double above = x + h, below = x - h; /* the steps that were really made */
    p->right = difference(c, c->plus, c->y) / (above - x);
    p->left = difference(c, c->y, c->minus) / (x - below);
    p->central = difference(c, c->plus, c->minus) / (above - below);
    p->finite = isfinite(p->right) && isfinite(p->left) && isfinite(p->central);
    return true;
}

/* ---- the numeric derivative ------------------------------------------------------------------ */

/* What rounding of the model's value alone may do to a slope. */
static double rounding(const check *c, double h)
{
    return ROUNDING * DBL_EPSILON * c->magnitude / h;
}

/* How far an entry is from its three neighbours, of which one has its own order: four numbers
   that agree by accident are rare even where f is noise. */
static double spread(const double *above, const double *row, int j)
{
    return fmax(fabs(row[j] - row[j - 1]),
                fmax(fabs(row[j] - above[j - 1]), fabs(row[j] - above[j])));
}

/* One more row of Neville's table for h^2 = 0 with halved steps; keeps in s the entry of the
   least error. */
static void extrapolate(const check *c, int i, double h, const double *above, double *row, slope *s)
{
    const int last = i < c->plan->columns - 1 ? i : c->plan->columns - 1;
    double factor = 1;
    for (int j = 1; j <= last; j++) {
        factor *= 4;
        row[j] = (factor * row[j - 1] - above[j - 1]) / (factor - 1);
        if (j == i) break;
        const double error = spread(above, row, j) + rounding(c, h);
        if (error < s->error)
            *s = (slope){ .value = row[j], .error = error, .step = h, .finite = true };
    }
}

/* The last row's own value; its error from the row before, which had twice the step. */
static void take_row(const check *c, double h, const double *above, const double *row, slope *s)
{
    const double error = fabs(row[0] - above[0]) / (c->plan->forward ? 1 : 3) + rounding(c, h);
    *s = (slope){ .value = row[0], .error = error, .step = h, .finite = true };
}

/* Whether the slopes from both sides settle on different numbers: their distance does not fall
   with the step (it would be halved), and it is large against their own changes and against
   rounding. */
static bool is_kink(const check *c, const probe *before, const probe *now, double h)
{
    const double jump = fabs(now->right - now->left);
    const double moved = fabs(now->right - before->right) + fabs(now->left - before->left);
    return jump > 0.75 * fabs(before->right - before->left) && moved < 0.5 * jump &&
           jump > 1e-6 * (fabs(now->right) + fabs(now->left)) && jump > 10 * rounding(c, h);
}

static bool is_settled(const check *c, const slope *s)
{
    return s->error <= fmax(0.1 * c->options.rtol * fabs(s->value), 2 * rounding(c, s->step));
}

/* The first step: smaller where the model is not finite on both sides. */
static bool first_probe(check *c, const line *l, double *h, probe *p)
{
    *h = c->options.step * c->plan->first * l->scale;
    for (int i = 0; i <= SHRINKS; i++) {
        if (!probe_at(c, l, *h, p)) return false;
        if (p->finite) return true;
        *h /= 4;
    }
    return true;
}

static bool measure(check *c, const line *l, slope *s)
{
    double table[2][COLUMNS], h;
    probe p[2];
    if (!first_probe(c, l, &h, &p[0])) return false;
    *s = (slope){ .error = INFINITY, .step = h, .finite = p[0].finite };
    int kinks = 0; /* rows in sequence that see one: two are asked for where there are enough */
    for (int i = 0; i < c->plan->rows && s->finite; i++, h /= 2) {
        probe *now = &p[i % 2], *before = &p[(i + 1) % 2];
        if (i > 0 && !probe_at(c, l, h, now)) return false;
        table[i % 2][0] = c->plan->forward ? now->right : now->central;
        if (!now->finite) s->finite = false;
        if (i == 0) continue;
        if (c->plan->columns > 1) extrapolate(c, i, h, table[(i + 1) % 2], table[i % 2], s);
        else take_row(c, h, table[(i + 1) % 2], table[i % 2], s);
        kinks = is_kink(c, before, now, h) ? kinks + 1 : 0;
        if (kinks == 0 && is_settled(c, s)) break;
    }
    s->kink = kinks >= (c->plan->rows > 2 ? 2 : 1);
    return true;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

/* Whether an error estimate is small enough for agreement: against the derivative, or against
   the largest one of all. A derivative that cannot be told from zero is trusted if the others
   stand out from the error, or if nothing does and the error is only rounding. */
static bool is_trusted(const check *c, double size, const slope *s)
{
    if (s->error <= fmax(TRUST * size, c->options.rtol * c->largest)) return true;
    if (size > s->error) return false;
    return c->largest > s->error ? s->error <= TRUST * c->largest
                                 : s->error <= 4 * rounding(c, s->step);
}

static tg_verdict judge(const check *c, double a, const slope *s)
{
    if (!isfinite(a) || !s->finite) return TG_NOT_FINITE;
    if (s->kink) return TG_KINK;
    const double size = fmax(fabs(a), fabs(s->value)), apart = fabs(a - s->value),
                 close = c->options.rtol * size;
    if (apart > close + 10 * s->error && s->error <= DOUBT * size) return TG_WRONG;
    return apart <= close + s->error && is_trusted(c, size, s) ? TG_AGREES : TG_NOISE;
}

/* Measures and judges. What looks wrong is measured again with other steps: two numbers that
   noise has made by accident would not be the same. */
static bool assess(check *c, const line *l, double a, slope *s, tg_verdict *verdict)
{
    if (!measure(c, l, s)) return false;
    *verdict = judge(c, a, s);
    if (*verdict != TG_WRONG) return true;
    line other = *l;
    other.scale *= 0.7;
    slope again;
    if (!measure(c, &other, &again)) return false;
    if (!(fabs(again.value - s->value) <= 0.1 * fabs(a - s->value))) *verdict = TG_NOISE;
    return true;
}

/* How bad verdicts are, for choosing what to report. */
static int severity(tg_verdict verdict)
{
    static const int order[] = {
        [TG_KINK] = 0,  [TG_ALL_ZERO] = 0,   [TG_AGREES] = 1, [TG_NOISE] = 2,
        [TG_WRONG] = 3, [TG_NOT_FINITE] = 4, [TG_FAILED] = 5
    };
    return order[verdict];
}

/* Enters a comparison into the report if it is the worst so far. */
static void enter(check *c, const line *l, double a, const slope *s, tg_verdict verdict)
{
    tg_check_report *r = c->report;
    const double size = fmax(fabs(a), fabs(s->value)), apart = fabs(a - s->value);
    if (verdict == TG_KINK) {
        r->kinks++;
    } else {
        r->checked++;
        if (size > s->error) c->nonzero = true;
    }
    const double badness = apart == 0 ? 0 : apart / (c->options.rtol * size + s->error);
    const int worse = severity(verdict) - severity(r->verdict);
    if (worse < 0 || (worse == 0 && !(badness > c->badness))) return;
    c->badness = badness;
    r->verdict = verdict;
    r->input = l->input;
    r->element = l->element;
    r->analytic = a;
    r->numeric = s->value;
    r->relative_error = apart == 0 ? 0 : apart / size;
    r->error_estimate = s->error;
    r->step = s->step;
}

static bool compare(check *c, const line *l, double a)
{
    slope s;
    tg_verdict verdict;
    if (!assess(c, l, a, &s, &verdict)) return false;
    enter(c, l, a, &s, verdict);
    return true;
}

/* "W1[2, 0]", "input 1", "W1 along a random direction". */
static void describe(const check *c, char *text, size_t size)
{
    const tg_check_input *input = &c->inputs[c->report->input];
    size_t used = (size_t)(input->name ? snprintf(text, size, "%s", input->name)
                                       : snprintf(text, size, "input %d", c->report->input));
    if (used >= size) return;
    if (c->report->element < 0) {
        snprintf(text + used, size - used, " along a random direction");
        return;
    }
    int64_t stride = (int64_t)input_size(input);
    for (int i = 0; i < input->rank && used < size; i++) {
        const int64_t before = stride;
        stride /= input->shape[i];
        used += (size_t)snprintf(text + used, size - used, "%s%lld%s", i ? ", " : "[",
                                 (long long)(c->report->element % before / stride),
                                 i + 1 < input->rank ? "" : "]");
    }
}

static bool conclude(check *c)
{
    tg_check_report *r = c->report;
    if (r->checked + r->kinks == 0)
        return stop(c, c->options.zero_ok ? TG_AGREES : TG_ALL_ZERO,
                    "all zero: the inputs have no elements, nothing was tested") ||
               c->options.zero_ok;
    if (r->verdict == TG_AGREES && !c->nonzero && !c->options.zero_ok)
        return stop(c, TG_ALL_ZERO,
                    "all zero: every one of %zu derivatives is zero, nothing was tested",
                    r->checked);
    char place[256], counts[96];
    describe(c, place, sizeof place);
    snprintf(counts, sizeof counts,
             r->kinks ? "the worst of %zu compared; %zu left out at kinks" : "the worst of %zu",
             r->checked, r->kinks);
    snprintf(r->message, sizeof r->message,
             "%s: analytic %.6g, numeric %.6g, relative error %.1e (%s, step %.2g): %s, %s", place,
             r->analytic, r->numeric, r->relative_error, c->plan->name, r->step,
             tg_verdict_name(r->verdict),
             r->checked ? counts : "as everywhere: nothing to compare");
    return r->verdict == TG_AGREES;
}

/* ---- the run --------------------------------------------------------------------------------- */

static bool make_inputs(check *c)
{
    size_t widest = 0;
    c->leaf = tg__arena_push(&c->arena, (size_t)(c->n + 1) * sizeof *c->leaf);
    c->gradient = tg__arena_push(&c->arena, (size_t)(c->n + 1) * sizeof *c->gradient);
    if (!c->leaf || !c->gradient) return stop_by_tape(c);
    for (int i = 0; i < c->n; i++) {
        const tg_check_input *x = &c->inputs[i];
        c->leaf[i] = tg_leaf_new(c->tape, TG_PARAMETER, TG_F64, x->data, x->rank, x->shape, NULL);
        if (tg_error_of(c->tape)) return stop_by_tape(c);
        if (x->name) tg_name(c->leaf[i], x->name);
        const size_t size = input_size(x);
        if (size > widest) widest = size;
        c->gradient[i] = push_doubles(c, size);
        if (!c->gradient[i]) return stop_by_tape(c);
    }
    c->u = push_doubles(c, widest);
    c->mark = tg_tape_mark(c->tape);
    return c->u ? true : stop_by_tape(c);
}

/* Records the model twice, and keeps its value: it must be the same function each time. */
static bool make_value(check *c, tg_value *root)
{
    tg_value y = record(c);
    if (!y.tape) return false;
    c->size = (size_t)tg_size(y);
    double *const block = push_doubles(c, 4 * c->size);
    if (!block) return stop_by_tape(c);
    c->weight = block, c->y = block + c->size, c->plus = block + 2 * c->size,
    c->minus = block + 3 * c->size;
    if (!tg_read(y, c->y, c->size) || !tg_release(c->mark)) return stop_by_tape(c);
    y = record(c);
    if (!y.tape) return false;
    if ((size_t)tg_size(y) == c->size && !tg_read(y, c->plus, c->size)) return stop_by_tape(c);
    if ((size_t)tg_size(y) != c->size || memcmp(c->plus, c->y, c->size * sizeof *c->y) != 0)
        return stop(c, TG_FAILED, "failed: the model's value changes from call to call");
    *root = y;
    return true;
}

static bool weigh(check *c)
{
    for (size_t i = 0; i < c->size; i++) {
        c->weight[i] = c->size == 1 ? 1 : random_weight(c);
        c->magnitude += fabs(c->weight[i] * c->y[i]);
        if (!isfinite(c->y[i]))
            return stop(c, TG_NOT_FINITE, "not finite: element %zu of the model's value is %s", i,
                        isnan(c->y[i]) ? "NaN" : "infinite");
    }
    return true;
}

static bool differentiate(check *c, tg_value root)
{
    const double half = SCALAR_COTANGENT;
    const tg_backward_options options = { .cotangent = c->size == 1 ? &half : c->weight };
    if (!tg_backward_with(root, &options)) {
        if (tg_error_of(c->tape)->code != TG_ERROR_HISTORY) return stop_by_tape(c);
        tg_error_clear(
            c->tape); /* the value depends on no input: every gradient is zero, as it lies there */
        return true;
    }
    for (int i = 0; i < c->n; i++) {
        const size_t size = input_size(&c->inputs[i]);
        if (!tg_grad_read(c->leaf[i], c->gradient[i], size)) return stop_by_tape(c);
        for (size_t j = 0; j < size; j++) {
            if (c->size == 1) c->gradient[i][j] /= SCALAR_COTANGENT;
            if (isfinite(c->gradient[i][j])) c->largest = fmax(c->largest, fabs(c->gradient[i][j]));
        }
    }
    return true;
}

static bool check_elements(check *c, int input)
{
    const size_t n = input_size(&c->inputs[input]);
    for (size_t i = 0; i < n; i++) {
        const line l = { .input = input,
                         .element = (int64_t)i,
                         .scale = fmax(1, fabs(c->inputs[input].data[i])) };
        if (!compare(c, &l, c->gradient[input][i])) return false;
    }
    return true;
}

/* A direction has length 1 and moves each element by as much in proportion to max(1, |x|). */
static bool check_directions(check *c, int input, size_t directions)
{
    const size_t n = input_size(&c->inputs[input]);
    for (size_t d = 0; d < directions; d++) {
        double analytic = 0;
        for (size_t i = 0; i < n; i++) {
            const double size = fmax(1, fabs(c->inputs[input].data[i])) / sqrt((double)n);
            c->u[i] = random_weight(c) > 0 ? size : -size;
            analytic += c->u[i] * c->gradient[input][i];
        }
        const line l = { .input = input, .element = -1, .u = c->u, .scale = 1 };
        if (!compare(c, &l, analytic)) return false;
    }
    return true;
}

static bool check_input(check *c, int input)
{
    const size_t n = input_size(&c->inputs[input]);
    size_t directions = c->options.directions;
    if (directions == 0 && n > ELEMENTS) directions = DIRECTIONS;
    if (n == 0) return true;
    return directions ? check_directions(c, input, directions) : check_elements(c, input);
}

static bool run(check *c)
{
    const tg_tape_options options = { .max_bytes = c->options.max_bytes,
                                      .on_error = tg_ignore_error };
    tg_value root;
    c->tape = tg_tape_new(&options);
    if (!c->tape) return stop_by_tape(c);
    if (!make_inputs(c) || !make_value(c, &root) || !weigh(c) || !differentiate(c, root))
        return false;
    for (int i = 0; i < c->n; i++)
        if (!check_input(c, i)) return false;
    return conclude(c);
}

/* What is wrong with the call itself, or NULL. */
static const char *bad_call(tg_model *model, const tg_check_input *inputs, int n,
                            const tg_check_options *options)
{
    if (!model) return "the model is NULL";
    if (n < 1 || !inputs) return "there are no inputs";
    for (int i = 0; i < n; i++) {
        if (!inputs[i].data) return "the data of an input is NULL";
        if (inputs[i].rank < 0 || inputs[i].rank > TG_MAX_RANK)
            return "an input has a rank outside 0 to 8";
    }
    if (!options) return NULL;
    if ((int)options->scheme < TG_LADDER || options->scheme > TG_FORWARD)
        return "there is no such scheme";
    if (!(options->rtol >= 0) || !(options->step >= 0))
        return "rtol and step must not be negative or NaN";
    return NULL;
}

bool tg_gradcheck(tg_model *model, void *user, const tg_check_input *inputs, int n,
                  const tg_check_options *options, tg_check_report *report)
{
    tg_check_report unread;
    check c = {
        .model = model, .user = user, .inputs = inputs, .n = n, .report = report ? report : &unread
    };
    const char *bad = bad_call(model, inputs, n, options);
    if (bad) {
        *c.report = (tg_check_report){ .verdict = TG_FAILED, .element = -1 };
        snprintf(c.report->message, sizeof c.report->message, "%s", bad);
        return false;
    }
    if (options) c.options = *options;
    c.plan = &plans[c.options.scheme];
    c.random = c.options.seed;
    if (c.options.rtol <= 0) c.options.rtol = c.plan->rtol;
    if (c.options.step <= 0) c.options.step = c.plan->step;
    c.badness = -1;
    *c.report = (tg_check_report){ .verdict = TG_KINK, .element = -1 };
    tg__arena_init(&c.arena, &c.memory);
    const bool agrees = run(&c);
    tg_tape_free(c.tape);
    tg__arena_free(&c.arena);
    return agrees;
}

const char *tg_verdict_name(tg_verdict verdict)
{
    static const char *const names[] = {
        [TG_AGREES] = "agrees", [TG_WRONG] = "wrong",           [TG_KINK] = "kink",
        [TG_NOISE] = "noise",   [TG_NOT_FINITE] = "not finite", [TG_ALL_ZERO] = "all zero",
        [TG_FAILED] = "failed",
    };
    return (int)verdict >= 0 && verdict <= TG_FAILED ? names[verdict] : "unknown";
}
