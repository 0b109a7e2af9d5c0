/* The frame of a check, and its verdict. An error estimate that is large against the derivative is
   called noise; it never excuses a difference. And a difference that the smallest possible steps do
   not confirm is never called wrong. */
#include "check/inner.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* The largest relative error estimate with which two numbers can agree, and with which they can
   differ: beyond it there is only noise. */
#define TRUST 1e-4
#define DOUBT 0.01

/* Sheets up to this size are checked entry by entry, larger ones along so many directions; and so
   many entries of them are looked at when something is wrong. */
#define ELEMENTS 1000
#define DIRECTIONS 32
#define SAMPLE 256

/* Ladders that begin with ever smaller steps, each by this factor. */
#define RESTARTS 6
#define RESTART (1.0 / 64)

/* The smallest step that confirms, in terms of the one that is to be confirmed. */
#define LEAST_STEP 1e-6

static const tg__plan plans[] = {
    [TG_LADDER] = { "ladder", 1e-7, 0.02, 1, 13, TG__COLUMNS, false },
    [TG_CENTRAL] = { "central", 1e-5, 6e-6, 2, 2, 1, false },
    [TG_FORWARD] = { "forward", 1e-3, 1e-8, 2, 2, 1, true },
};

/* ---- small parts ----------------------------------------------------------------------------- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
static uint64_t random_bits(tg__check *c)
{
    uint64_t z = c->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A weight: between 0.5 and 1.5, of either sign. */
double tg__random_weight(tg__check *c)
{
    const uint64_t bits = random_bits(c);
    const double magnitude = 0.5 + (double)(bits >> 11) * 0x1p-53;
    return bits & 1 ? magnitude : -magnitude;
}

size_t tg__input_size(const tg_check_input *input)
{
    size_t n = 1;
    for (int i = 0; i < input->rank; i++) n *= (size_t)input->shape[i];
    return n;
}

/* Earlier blocks stay where they are: an arena gives outgrown memory back only at its end. */
double *tg__push_doubles(tg__check *c, size_t n)
{
    return tg__arena_push(&c->arena, (n ? n : 1) * sizeof(double));
}

/* Ends the check with a message; false, for returning. */
bool tg__stop(tg__check *c, tg_verdict verdict, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    c->report->verdict = verdict;
    vsnprintf(c->report->message, sizeof c->report->message, format, arguments);
    va_end(arguments);
    return false;
}

bool tg__stop_for_memory(tg__check *c)
{
    return tg__stop(c, TG_FAILED, "failed: no memory for the check");
}

/* ---- the frame ------------------------------------------------------------------------------- */

/* What is wrong with the call itself, or NULL. */
static const char *bad_call(const tg__check *c, const tg_check_options *options)
{
    if (c->n < 1 || !c->inputs) return "there are no inputs";
    for (int i = 0; i < c->n; i++) {
        if (!c->inputs[i].data) return "the data of an input is NULL";
        if (c->inputs[i].rank < 0 || c->inputs[i].rank > TG_MAX_RANK)
            return "an input has a rank outside 0 to 8";
    }
    if (!options) return NULL;
    if ((int)options->scheme < TG_LADDER || options->scheme > TG_FORWARD)
        return "there is no such scheme";
    if (!(options->rtol >= 0) || !(options->step >= 0))
        return "rtol and step must not be negative or NaN";
    return NULL;
}

bool tg__open(tg__check *c, const tg_check_options *options, tg_check_report *report)
{
    c->report = report;
    const char *bad = bad_call(c, options);
    *report = (tg_check_report){ .verdict = bad ? TG_FAILED : TG_KINK, .element = -1 };
    if (bad) return tg__stop(c, TG_FAILED, "%s", bad);
    if (options) c->options = *options;
    c->badness = -1;
    tg__arena_init(&c->arena, &c->memory);
    return true;
}

bool tg__close(tg__check *c, bool agrees)
{
    if (!agrees) tg__write_capsule(c);
    tg__arena_free(&c->arena);
    return agrees;
}

/* One check.sheet for each input, with its name and shape. */
bool tg__make_sheets(tg__check *c)
{
    const double **data = tg__arena_push(&c->arena, (size_t)c->n * sizeof *data);
    tg_check_input *inputs = tg__arena_push(&c->arena, (size_t)c->n * sizeof *inputs);
    c->sheet = tg__arena_push(&c->arena, (size_t)c->n * sizeof *c->sheet);
    if (!data || !inputs || !c->sheet) return tg__stop_for_memory(c);
    memcpy(inputs, c->inputs, (size_t)c->n * sizeof *inputs);
    for (int i = 0; i < c->n; i++) data[i] = inputs[i].data;
    if (!tg__replay(c, data)) return false;
    for (int i = 0; i < c->n; i++) inputs[i].data = data[i];
    c->inputs = inputs;
    c->plan = &plans[c->options.scheme];
    c->random = c->options.seed;
    if (c->options.rtol <= 0) c->options.rtol = c->plan->rtol;
    if (c->options.step <= 0) c->options.step = c->plan->step;
    size_t widest = 0;
    for (int i = 0; i < c->n; i++) {
        const tg_check_input *x = &c->inputs[i];
        c->sheet[i] =
            (tg__sheet){ .name = x->name, .input = i, .rank = x->rank, .size = tg__input_size(x) };
        memcpy(c->sheet[i].shape, x->shape, sizeof x->shape);
        if (c->sheet[i].size > widest) widest = c->sheet[i].size;
    }
    c->moved = tg__push_doubles(c, widest);
    c->u = tg__push_doubles(c, widest);
    return c->moved && c->u ? true : tg__stop_for_memory(c);
}

bool tg__make_room(tg__check *c, size_t size)
{
    c->size = size;
    double *const block = tg__push_doubles(c, 4 * size);
    if (!block) return tg__stop_for_memory(c);
    c->weight = block, c->y = block + size, c->plus = block + 2 * size, c->minus = block + 3 * size;
    for (int i = 0; i < c->n; i++) {
        tg__sheet *s = &c->sheet[i];
        s->analytic = tg__push_doubles(c, 3 * s->size);
        s->known = tg__arena_push(&c->arena, s->size + 1);
        if (!s->analytic || !s->known) return tg__stop_for_memory(c);
        s->numeric = s->analytic + s->size;
        s->error = s->analytic + 2 * s->size;
        memset(s->known, 0, s->size);
    }
    return true;
}

bool tg__weigh(tg__check *c)
{
    if (!c->evaluate(c, -1, NULL, c->y) || !c->evaluate(c, -1, NULL, c->plus)) return false;
    if (c->size && memcmp(c->plus, c->y, c->size * sizeof *c->y) != 0)
        return tg__stop(c, TG_RANDOM,
                        "random: the function's value changes from call to call: fix its seed");
    for (size_t i = 0; i < c->size; i++) {
        c->weight[i] = c->size == 1 ? 1 : tg__random_weight(c);
        if (!isfinite(c->y[i]))
            return tg__stop(c, TG_NOT_FINITE,
                            "not finite: element %zu of the function's value is %s", i,
                            isnan(c->y[i]) ? "NaN"
                            : c->y[i] > 0  ? "infinite"
                                           : "minus infinity");
    }
    return true;
}

/* ---- the verdict ----------------------------------------------------------------------------- */

/* Whether an error estimate is small enough for agreement: against the derivative, or against
   the largest one of all. A derivative that cannot be told from zero is trusted if the others
   stand out from the error, or if nothing does and the error is only rounding. */
static bool is_trusted(const tg__check *c, const tg__line *l, double size, const tg__slope *s)
{
    if (s->error <= fmax(TRUST * size, c->options.rtol * c->largest)) return true;
    if (size > s->error) return false;
    return c->largest > s->error ? s->error <= TRUST * c->largest
                                 : s->error <= 4 * tg__rounding(c, l, s->step);
}

static tg_verdict judge(const tg__check *c, const tg__line *l, double a, const tg__slope *s)
{
    if (!isfinite(a) || !s->finite) return TG_NOT_FINITE;
    if (s->kink) return TG_KINK;
    if (s->jump) return TG_JUMP;
    const double size = fmax(fabs(a), fabs(s->value)), apart = fabs(a - s->value),
                 close = c->options.rtol * fmax(size, l->terms);
    if (apart > close + 10 * s->error && s->error <= DOUBT * size) return TG_WRONG;
    return apart <= close + s->error && is_trusted(c, l, size, s) ? TG_AGREES : TG_NOISE;
}

/* The size of what may hide: a step that must be larger than this to be seen through the noise
   says nothing of a function that varies on the scale of 1. */
static double hidden(double x)
{
    return 0.01 * fmax(1, 1e-6 * fabs(x));
}

/* Whether the function is too rough for s to be told from a: on the scale of s's step, and where
   that is none of the first ladder's, or nothing changed at all, on all scales up to that one's.
   Numbers may be too coarse to show anything at smaller ones. */
static bool is_rough(tg__check *c, const tg__line *l, double apart, const tg__slope *s, bool *rough)
{
    const double widest = c->options.step * c->plan->first * l->size;
    const bool all = s->value == 0 || l->scale < l->size;
    *rough = false;
    for (double h = s->step; h <= widest && !*rough; h *= 64) {
        double noise;
        if (!tg__measure_noise(c, l, h / 64, &noise)) return false;
        *rough = noise / (0.05 * apart) > s->step;
        if (!all) break;
        if (h < widest && h * 64 > widest) h = widest / 64;
    }
    return true;
}

/* Whether plain differences say s and not a, too, from its step down to the smallest at which
   the function's noise lets the two be told apart: what a ladder of larger steps has made of
   something that it cannot see, they do not confirm. */
static bool confirm(tg__check *c, tg__line *l, double a, const tg__slope *s, bool *wrong)
{
    const double apart = fabs(a - s->value),
                 x = l->u ? 1 : fabs(c->inputs[l->input].data[l->element]);
    double h = fmax(tg__rounding(c, l, 1) / (0.02 * apart), 256 * DBL_EPSILON * x);
    h = fmax(h, LEAST_STEP * s->step); /* where x and the value are 0 nothing rounds */
    bool rough;
    if (!tg__measure_noise(c, l, fmax(h / 8, 8 * DBL_EPSILON * x), &l->noise)) return false;
    h = fmax(h, l->noise / (0.05 * apart));
    if (!is_rough(c, l, apart, s, &rough)) return false;
    *wrong = !rough && h <= hidden(x) && isfinite(s->value);
    for (h = fmin(h, s->step); h <= 1.01 * s->step && *wrong; h *= 4) {
        double slope;
        bool finite;
        if (!tg__central(c, l, h, &slope, &finite)) return false;
        *wrong = finite && fabs(slope - s->value) <= 0.3 * apart;
    }
    return true;
}

/* Ladders of smaller steps, until one agrees or contradicts for certain, which then is in s. */
static bool insist(tg__check *c, tg__line *l, double a, tg__slope *s, tg_verdict *verdict)
{
    *verdict = TG_NOISE;
    for (int i = 0; i < RESTARTS; i++) {
        tg__slope now;
        l->scale = l->size * pow(RESTART, i);
        if (!tg__measure(c, l, &now)) return false;
        const tg_verdict verdict_now = judge(c, l, a, &now);
        bool wrong = false;
        if (verdict_now == TG_WRONG && !confirm(c, l, a, &now, &wrong)) return false;
        if (verdict_now == TG_AGREES || verdict_now == TG_KINK || verdict_now == TG_JUMP || wrong) {
            *s = now;
            *verdict = verdict_now;
            return true;
        }
    }
    return true;
}

static bool assess(tg__check *c, const tg__line *line, double a, tg__slope *s, tg_verdict *verdict)
{
    tg__line l = *line;
    l.size = l.scale;
    if (!tg__measure(c, &l, s)) return false;
    *verdict = judge(c, &l, a, s);
    if (*verdict != TG_WRONG && *verdict != TG_NOISE) return true;
    if (c->plan->columns > 1) {
        if (!insist(c, &l, a, s, verdict)) return false;
    } else if (*verdict == TG_WRONG) {
        bool wrong;
        if (!confirm(c, &l, a, s, &wrong)) return false;
        if (!wrong) *verdict = TG_NOISE;
    }
    if (*verdict != TG_NOISE) return true;
    double noise;
    if (!tg__measure_noise(c, line, s->step / 64, &noise)) return false;
    const double own = tg__rounding(c, line, 1);
    if (own > 0) c->report->condition = fmax(c->report->condition, fmax(noise, own) / own);
    return true;
}

/* How bad verdicts are, for choosing what to report. */
static int severity(tg_verdict verdict)
{
    static const int order[] = {
        [TG_KINK] = 0,  [TG_JUMP] = 0,       [TG_ALL_ZERO] = 0, [TG_AGREES] = 1, [TG_NOISE] = 2,
        [TG_WRONG] = 3, [TG_NOT_FINITE] = 4, [TG_FAILED] = 5,   [TG_RANDOM] = 5
    };
    return order[verdict];
}

/* Enters a comparison into the report if it is the worst so far. */
static void enter(tg__check *c, int sheet, int64_t element, double a, const tg__slope *s,
                  tg_verdict verdict)
{
    tg_check_report *r = c->report;
    const double size = fmax(fabs(a), fabs(s->value)), apart = fabs(a - s->value);
    if (verdict == TG_KINK) r->kinks++;
    else if (verdict == TG_JUMP) r->jumps++;
    else r->checked++;
    if (verdict != TG_KINK && verdict != TG_JUMP && size > s->error) c->nonzero = true;
    if (verdict == TG_WRONG) r->wrong++;
    const double badness = apart == 0 ? 0 : apart / (c->options.rtol * size + s->error);
    const int worse = severity(verdict) - severity(r->verdict);
    if (worse < 0 || (worse == 0 && !(badness > c->badness))) return;
    c->badness = badness;
    c->worst = sheet;
    r->verdict = verdict;
    r->input = c->sheet[sheet].input;
    r->element = element;
    r->analytic = a;
    r->numeric = s->value;
    r->relative_error = apart == 0 ? 0 : apart / size;
    r->error_estimate = s->error;
    r->step = s->step;
    c->slope = *s;
}

/* The first kink or jump is named: by its place, and by what has it. */
static bool note_kink(tg__check *c, const tg__sheet *s, int64_t element, const tg__line *l,
                      const tg__slope *slope, tg_verdict verdict)
{
    if ((verdict != TG_KINK && verdict != TG_JUMP) || c->kink[0]) return true;
    tg__place(s, element, c->kink, sizeof c->kink);
    return !c->find_kink || c->find_kink(c, l, slope->least);
}

/* ---- the lines ------------------------------------------------------------------------------- */

static bool compare_entry(tg__check *c, int sheet, size_t k)
{
    tg__sheet *s = &c->sheet[sheet];
    const int64_t n = (int64_t)tg__input_size(&c->inputs[s->input]);
    tg__line l = { .input = s->input, .element = (int64_t)k, .output = -1 };
    if (s->known[k]) return true;
    if (s->matrix) l.element = (int64_t)k % n, l.output = (int64_t)k / n;
    l.scale = fmax(1, fabs(c->inputs[s->input].data[l.element]));
    tg__slope slope;
    tg_verdict verdict;
    if (!assess(c, &l, s->analytic[k], &slope, &verdict)) return false;
    s->numeric[k] = slope.value;
    s->error[k] = slope.error;
    s->known[k] = (unsigned char)(1 + verdict);
    enter(c, sheet, (int64_t)k, s->analytic[k], &slope, verdict);
    return note_kink(c, s, (int64_t)k, &l, &slope, verdict);
}

/* A direction within the elements first ... end - 1: it moves each by as much in proportion to
   max(1, |x|), with a random sign. Returns the claimed derivative along it, and the root of the sum of
   its squared terms. */
static double direct(tg__check *c, const tg__sheet *s, size_t first, size_t end, double *terms)
{
    const double *const x = c->inputs[s->input].data;
    const size_t n = tg__input_size(&c->inputs[s->input]);
    double claimed = 0, squares = 0;
    for (size_t i = 0; i < n; i++) {
        const double size = fmax(1, fabs(x[i])) / sqrt((double)(end - first));
        const double sign = tg__random_weight(c) > 0 ? 1 : -1;
        c->u[i] = i >= first && i < end ? sign * size : 0;
    }
    for (size_t o = 0; o < (s->matrix ? c->size : 1); o++)
        for (size_t i = first; i < end; i++) {
            const double term = (s->matrix ? c->weight[o] : 1) * c->u[i] * s->analytic[o * n + i];
            claimed += term;
            squares += term * term;
        }
    *terms = sqrt(squares);
    return claimed;
}

static bool compare_direction(tg__check *c, int sheet, size_t first, size_t end,
                              tg_verdict *verdict)
{
    const tg__sheet *s = &c->sheet[sheet];
    double terms;
    const double claimed = direct(c, s, first, end, &terms);
    const tg__line l = {
        .input = s->input, .element = -1, .u = c->u, .output = -1, .scale = 1, .terms = terms
    };
    tg__slope slope;
    if (!assess(c, &l, claimed, &slope, verdict)) return false;
    enter(c, sheet, -1, claimed, &slope, *verdict);
    return note_kink(c, s, -1, &l, &slope, *verdict);
}

/* Where a direction was wrong: halves of the elements, as long as one of them is, lead to a wrong
   one; beside it others are looked at, for the diagnosis. */
static bool locate(tg__check *c, int sheet)
{
    const tg__sheet *s = &c->sheet[sheet];
    const size_t n = tg__input_size(&c->inputs[s->input]), rows = s->size / n;
    size_t first = 0, end = n;
    c->badness = -1; /* one entry says more than a direction */
    while (end - first > 1) {
        const size_t half = first + (end - first) / 2;
        tg_verdict verdict;
        if (!compare_direction(c, sheet, first, half, &verdict)) return false;
        if (verdict == TG_WRONG) end = half;
        else first = half;
    }
    c->badness = -1;
    for (size_t o = 0; o < rows && o < SAMPLE; o++)
        if (!compare_entry(c, sheet, o * n + first)) return false;
    const size_t around = first > SAMPLE / 4 ? first - SAMPLE / 4 : 0;
    for (size_t i = around; i < s->size && i < around + SAMPLE / 2; i++)
        if (!compare_entry(c, sheet, i)) return false;
    const size_t stride = 2 * s->size / SAMPLE + 1;
    for (size_t i = 0; i < s->size; i += stride)
        if (!compare_entry(c, sheet, i)) return false;
    return true;
}

static bool compare_sheet(tg__check *c, int sheet)
{
    const tg__sheet *s = &c->sheet[sheet];
    const size_t n = tg__input_size(&c->inputs[s->input]);
    size_t directions = c->options.directions;
    if (directions == 0 && s->size > ELEMENTS) directions = DIRECTIONS;
    if (s->size == 0) return true;
    for (size_t i = 0; directions == 0 && i < s->size; i++)
        if (!compare_entry(c, sheet, i)) return false;
    for (size_t i = 0; i < directions; i++) {
        tg_verdict verdict;
        if (!compare_direction(c, sheet, 0, n, &verdict)) return false;
        if (verdict == TG_WRONG) return locate(c, sheet);
    }
    return true;
}

/* ---- the conclusion -------------------------------------------------------------------------- */

/* The first claimed derivative that is not finite is the worst of all, wherever it lies. */
static bool find_not_finite(tg__check *c)
{
    for (int i = 0; i < c->n; i++)
        for (size_t k = 0; k < c->sheet[i].size; k++) {
            const double a = c->sheet[i].analytic[k];
            if (isfinite(a)) {
                c->largest = fmax(c->largest, fabs(a));
                continue;
            }
            tg__place(&c->sheet[i], (int64_t)k, c->report->place, sizeof c->report->place);
            c->report->input = c->sheet[i].input;
            c->report->element = (int64_t)k;
            c->report->analytic = a;
            return tg__stop(c, TG_NOT_FINITE, "not finite: the gradient is %s at %s",
                            isnan(a) ? "NaN" : "infinite", c->report->place);
        }
    return true;
}

static void explain(tg__check *c)
{
    tg_check_report *r = c->report;
    if (r->verdict == TG_WRONG && r->fault == TG_FAULT_NONE)
        tg__diagnose(&c->sheet[c->worst], &c->options, r);
    if (r->verdict == TG_NOISE)
        snprintf(r->reason, sizeof r->reason,
                 "the differences do not settle: the function's noise is %.1e times the rounding "
                 "of its value",
                 r->condition);
    if (r->verdict == TG_KINK)
        snprintf(r->reason, sizeof r->reason, "the slope is %.6g to the left and %.6g to the right",
                 c->slope.left, c->slope.right);
    if (r->verdict == TG_JUMP)
        snprintf(r->reason, sizeof r->reason, "the value jumps by %.6g within a step of %.2g",
                 c->slope.least * (c->slope.right + c->slope.left), c->slope.least);
}

/* "the worst of 6 compared; 1 left out at kinks, the first at x[2]" */
static void say_counts(const tg__check *c, char *text, size_t size)
{
    const tg_check_report *r = c->report;
    const size_t left_out = r->kinks + r->jumps;
    int used = snprintf(text, size, "the worst of %zu%s", r->checked, left_out ? " compared" : "");
    if (r->checked == 0) used = snprintf(text, size, "nothing to compare");
    if (r->kinks && (size_t)used < size)
        used += snprintf(text + used, size - (size_t)used, "; %zu left out at kinks", r->kinks);
    if (r->jumps && (size_t)used < size)
        used += snprintf(text + used, size - (size_t)used, "; %zu left out at jumps", r->jumps);
    if (left_out > 0 && (left_out > 1 || r->checked) && (size_t)used < size)
        snprintf(text + used, size - (size_t)used, ", the first at %s", c->kink);
}

void tg__summarize(tg__check *c)
{
    tg_check_report *r = c->report;
    char counts[256];
    say_counts(c, counts, sizeof counts);
    snprintf(r->message, sizeof r->message,
             "%s: analytic %.6g, numeric %.6g, relative error %.1e (%s, step %.2g): %s, %s%s%s",
             r->place, r->analytic, r->numeric, r->relative_error, c->plan->name, r->step,
             tg_verdict_name(r->verdict), counts, r->reason[0] ? ": " : "", r->reason);
}

static bool conclude(tg__check *c)
{
    tg_check_report *r = c->report;
    if (r->checked + r->kinks + r->jumps == 0)
        return tg__stop(c, c->options.zero_ok ? TG_AGREES : TG_ALL_ZERO,
                        "all zero: the inputs have no elements, nothing was tested") ||
               c->options.zero_ok;
    if (r->verdict == TG_AGREES && !c->nonzero && !c->options.zero_ok)
        return tg__stop(c, TG_ALL_ZERO,
                        "all zero: every one of %zu derivatives is zero, nothing was tested",
                        r->checked);
    tg__place(&c->sheet[c->worst], r->element, r->place, sizeof r->place);
    explain(c);
    tg__summarize(c);
    return r->verdict == TG_AGREES;
}

bool tg__compare_all(tg__check *c)
{
    if (!find_not_finite(c)) return false;
    for (int i = 0; i < c->n; i++)
        if (!compare_sheet(c, i)) return false;
    return conclude(c);
}

const char *tg_verdict_name(tg_verdict verdict)
{
    static const char *const names[] = {
        [TG_AGREES] = "agrees", [TG_WRONG] = "wrong",           [TG_KINK] = "kink",
        [TG_NOISE] = "noise",   [TG_NOT_FINITE] = "not finite", [TG_ALL_ZERO] = "all zero",
        [TG_FAILED] = "failed", [TG_JUMP] = "discontinuous",    [TG_RANDOM] = "random",
    };
    return (int)verdict >= 0 && verdict <= TG_RANDOM ? names[verdict] : "unknown";
}

const char *tg_fault_name(tg_fault fault)
{
    static const char *const names[] = {
        [TG_FAULT_NONE] = "none",       [TG_FAULT_SIGN] = "sign",
        [TG_FAULT_FACTOR] = "factor",   [TG_FAULT_TRANSPOSED] = "transposed",
        [TG_FAULT_SHIFTED] = "shifted", [TG_FAULT_PERMUTED] = "permuted",
        [TG_FAULT_SUM] = "sum",         [TG_FAULT_TERM] = "term",
        [TG_FAULT_PART] = "part",       [TG_FAULT_UNWRITTEN] = "unwritten",
        [TG_FAULT_ADDS] = "adds",       [TG_FAULT_OUTSIDE] = "outside",
        [TG_FAULT_INPUT] = "input",     [TG_FAULT_COTANGENT] = "cotangent",
        [TG_FAULT_ADJOINT] = "adjoint", [TG_FAULT_OTHER] = "other",
    };
    return (int)fault >= 0 && fault <= TG_FAULT_OTHER ? names[fault] : "unknown";
}
