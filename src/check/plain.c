/* Checks of plain C functions: a gradient, a Jacobian, Hessian-vector products; and of two arrays
   against each other. What a function does wrong with its array (leaves entries out, adds, writes
   past the end) shows when it is called again with other contents in there. */
#include "check/inner.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Room behind each array that a function fills, with a number that it should not touch. */
#define FENCE 64
#define PATTERN 0x1.6a09e667f3bcdp+3

/* Further terms of a wrong gradient are looked for by differences of it with this step. */
#define PROBE 1e-5

typedef struct subject {
    tg_plain_function *f;
    tg_plain_gradient *gradient;
    tg_plain_map *map;
    tg_plain_jacobian *jacobian;
    tg_plain_hvp *hvp;
    size_t n, m;
    double *x;        /* (n): what the functions see, and may not change */
    double *v;        /* (n): for hvp */
    double *fenced;   /* (size and FENCE) */
    double *outcome;  /* (m and FENCE) */
} subject;

/* ---- the function ---------------------------------------------------------------------------- */

static void fence(double *p, size_t from)
{
    for (size_t i = 0; i < FENCE; i++) p[from + i] = PATTERN;
}

/* Entries past the end that were written. */
static size_t trespassed(const double *p, size_t from)
{
    size_t last = 0;
    for (size_t i = 0; i < FENCE; i++)
        if (p[from + i] != PATTERN) last = i + 1;
    return last;
}

static bool evaluate(tg__check *c, int input, const double *x, double *y)
{
    subject *const s = c->subject;
    void *const user = c->options.user;
    memcpy(s->x, input < 0 ? c->inputs[0].data : x, s->n * sizeof *x);
    fence(s->outcome, s->m);
    if (s->f) s->outcome[0] = s->f(s->x, s->n, user);
    else if (s->map) s->map(s->x, s->n, s->outcome, s->m, user);
    else s->gradient(s->x, s->n, s->outcome, user);
    memcpy(y, s->outcome, s->m * sizeof *y);
    if (input < 0 && memcmp(s->x, c->inputs[0].data, s->n * sizeof *x) != 0) {
        c->report->fault = TG_FAULT_INPUT;
        return tg__stop(c, TG_WRONG, "wrong: the function changes its input");
    }
    if (trespassed(s->outcome, s->m)) {
        c->report->fault = TG_FAULT_OUTSIDE;
        return tg__stop(c, TG_WRONG, "wrong: the function writes past the end of its %zu results",
                        s->m);
    }
    return true;
}

/* ---- the claimed derivatives ----------------------------------------------------------------- */

/* Calls the function under check for one array of size numbers, with fill in it. */
static void claim(const tg__check *c, size_t size, double fill)
{
    const subject *s = c->subject;
    void *const user = c->options.user;
    for (size_t i = 0; i < size; i++) s->fenced[i] = fill;
    fence(s->fenced, size);
    memcpy(s->x, c->inputs[0].data, s->n * sizeof *s->x);
    if (s->hvp) s->hvp(s->x, s->v, s->n, s->fenced, user);
    else if (s->jacobian) s->jacobian(s->x, s->n, s->fenced, s->m, user);
    else s->gradient(s->x, s->n, s->fenced, user);
}

__attribute__((format(printf, 3, 4))) static bool blame(tg__check *c, tg_fault fault,
                                                        const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    c->report->fault = fault;
    vsnprintf(c->report->reason, sizeof c->report->reason, format, arguments);
    va_end(arguments);
    return tg__stop(c, TG_WRONG, "wrong: %s", c->report->reason);
}

/* Where the array's earlier contents show through: out[i * stride] was computed from zeros, fenced
   from PATTERN. */
static bool look_through(tg__check *c, const double *out, size_t size, size_t stride)
{
    const subject *s = c->subject;
    size_t kept = 0, added = 0, other = 0, first = 0;
    for (size_t i = 0; i < size; i++) {
        const double zero = out[i * stride], filled = s->fenced[i];
        if (zero == filled || (isnan(zero) && isnan(filled))) continue;
        if (kept + added + other == 0) first = i * stride;
        if (zero == 0 && filled == PATTERN) kept++;
        else if (fabs(filled - PATTERN - zero) <= 1e-12 * (fabs(zero) + PATTERN)) added++;
        else other++;
    }
    char place[96];
    if (kept + added + other == 0) return true;
    tg__place(&c->sheet[0], (int64_t)first, place, sizeof place);
    if (other)
        return tg__stop(c, TG_RANDOM,
                        "random: the gradient changes from call to call, first at %s: fix its seed",
                        place);
    if (added && added + kept >= size / 2 + 1)
        return c->options.adds ||
               blame(c, TG_FAULT_ADDS,
                     "the gradient is added to what was in the array: write it with =, or set the "
                     "option adds if that is meant");
    if (kept && !c->options.adds) {
        c->report->element = (int64_t)first;
        return blame(c, TG_FAULT_UNWRITTEN,
                     "%zu of %zu entries are never written, the first is %s", kept, size, place);
    }
    return true;
}

/* Fills out[i * stride] with the size numbers that the function under check gives. */
static bool take(tg__check *c, double *out, size_t size, size_t stride)
{
    const subject *s = c->subject;
    claim(c, size, 0);
    for (size_t i = 0; i < size; i++) out[i * stride] = s->fenced[i];
    const size_t beyond = trespassed(s->fenced, size);
    if (beyond)
        return blame(c, TG_FAULT_OUTSIDE,
                     "the gradient is written past the end of the array: at entry %zu, where %zu is "
                     "the last",
                     size + beyond - 1, size - 1);
    if (memcmp(s->x, c->inputs[0].data, s->n * sizeof *s->x) != 0)
        return blame(c, TG_FAULT_INPUT, "the gradient changes its input");
    claim(c, size, PATTERN);
    return look_through(c, out, size, stride);
}

/* The Hessian by products with unit vectors, column by column. */
static bool take_columns(tg__check *c)
{
    subject *const s = c->subject;
    bool taken = true;
    for (size_t j = 0; j < s->n && taken; j++) {
        memset(s->v, 0, s->n * sizeof *s->v);
        s->v[j] = 1;
        taken = take(c, c->sheet[0].analytic + j, s->n, s->n);
    }
    return taken;
}

/* A product with any other vector must be the same sum of columns. */
static bool is_linear(tg__check *c)
{
    subject *const s = c->subject;
    for (size_t j = 0; j < s->n; j++) s->v[j] = tg__random_weight(c);
    claim(c, s->n, 0);
    for (size_t i = 0; i < s->n; i++) {
        double sum = 0, size = 0;
        for (size_t j = 0; j < s->n; j++) {
            const double term = c->sheet[0].analytic[i * s->n + j] * s->v[j];
            sum += term;
            size += fabs(term);
        }
        if (!(fabs(sum - s->fenced[i]) <= 1e-9 * (size + fabs(s->fenced[i]))))
            return blame(c, TG_FAULT_COTANGENT,
                         "the product is not linear in v: entry %zu is %.6g, and by its columns "
                         "%.6g",
                         i, s->fenced[i], sum);
    }
    return true;
}

/* ---- one pattern more ------------------------------------------------------------------------ */

/* (G(x + hu) - G(x - hu)) . v / 2h for the claimed gradient G. */
static double second(tg__check *c, const double *u, const double *v, double h)
{
    const subject *s = c->subject;
    const double *const x = c->inputs[0].data;
    double sum = 0;
    for (int side = 1; side >= -1; side -= 2) {
        for (size_t i = 0; i < s->n; i++) {
            s->x[i] = x[i] + side * h * fmax(1, fabs(x[i])) * u[i];
            s->fenced[i] = 0;
        }
        s->gradient(s->x, s->n, s->fenced, c->options.user);
        for (size_t i = 0; i < s->n; i++)
            sum += side * s->fenced[i] * fmax(1, fabs(x[i])) * v[i];
    }
    return sum / (2 * h);
}

/* A wrong gradient with a symmetric derivative is the right gradient of another function: a whole
   term of the function was left out, or is one too many. A mistake within a formula does not leave
   the derivative symmetric, but by accident: where it is diagonal. */
static void look_for_terms(tg__check *c)
{
    subject *const s = c->subject;
    tg_check_report *const r = c->report;
    if (s->n < 2 || r->verdict != TG_WRONG || r->fault != TG_FAULT_OTHER || !s->f) return;
    double *const u = c->u, *const v = c->moved;
    double across = 0;
    for (int trial = 0; trial < 3; trial++) {
        for (size_t i = 0; i < s->n; i++) {
            const bool mine = i % 2 == (size_t)trial % 2; /* disjoint: a diagonal gives zero */
            u[i] = mine ? tg__random_weight(c) : 0;
            v[i] = mine ? 0 : tg__random_weight(c);
        }
        const double a = second(c, u, v, PROBE), b = second(c, v, u, PROBE);
        if (!(fabs(a - b) <= 1e-4 * fmax(fabs(a), fabs(b)) + 1e-7 * c->largest)) return;
        across = fmax(across, fabs(a));
    }
    if (across <= 1e-6 * c->largest) return;
    r->fault = TG_FAULT_TERM;
    snprintf(r->reason, sizeof r->reason,
             "it is the gradient of another function: a term is left out, wrong or too many");
    tg__summarize(c);
}

/* ---- the checks ------------------------------------------------------------------------------ */

static bool make_subject(tg__check *c, size_t claimed)
{
    subject *const s = c->subject;
    s->x = tg__push_doubles(c, s->n);
    s->v = tg__push_doubles(c, s->n);
    s->fenced = tg__push_doubles(c, claimed + FENCE);
    s->outcome = tg__push_doubles(c, s->m + FENCE);
    return s->x && s->v && s->fenced && s->outcome ? true : tg__stop_for_memory(c);
}

/* Makes the only sheet an (m, n) matrix of claimed derivatives. */
static void make_matrix(tg__check *c)
{
    const subject *s = c->subject;
    tg__sheet *const t = c->sheet;
    t->name = c->options.input ? c->options.input : s->hvp ? "H" : "J";
    t->matrix = true;
    t->rank = 2;
    t->shape[0] = (int64_t)s->m;
    t->shape[1] = (int64_t)s->n;
    t->size = s->m * s->n;
}

static bool run(tg__check *c)
{
    subject *const s = c->subject;
    if (!tg__make_sheets(c)) return false;
    if (!s->f) make_matrix(c);
    if (!make_subject(c, c->sheet[0].size) || !tg__make_room(c, s->m) || !tg__weigh(c))
        return false;
    if (s->hvp) {
        if (!take_columns(c)) return false;
    } else if (!take(c, c->sheet[0].analytic, c->sheet[0].size, 1)) {
        return false;
    }
    const bool agrees = tg__compare_all(c);
    look_for_terms(c);
    return agrees && (!s->hvp || is_linear(c));
}

/* What is wrong with the shape in the options, or NULL; the one input is made from them. */
static const char *make_input(const double *x, size_t n, const tg_check_options *options,
                              tg_check_input *input)
{
    *input = (tg_check_input){ "x", x, 1, { (int64_t)n } };
    if (options && options->input) input->name = options->input;
    if (!options || options->rank == 0) return NULL;
    if (options->rank < 0 || options->rank > TG_MAX_RANK) return "the rank is not 0 to 8";
    input->rank = options->rank;
    memcpy(input->shape, options->shape, sizeof input->shape);
    for (int i = 0; i < input->rank; i++)
        if (input->shape[i] < 0) return "a length in the shape is negative";
    return tg__input_size(input) == n ? NULL : "the shape in the options has another size than x";
}

static bool check_plain(subject *s, const char *kind, const double *x,
                        const tg_check_options *options, tg_check_report *report)
{
    tg_check_report unread;
    tg_check_input input;
    const char *const bad = make_input(x, s->n, options, &input);
    tg__check c = {
        .kind = kind, .inputs = &input, .n = 1, .evaluate = evaluate, .subject = s
    };
    if (!tg__open(&c, options, report ? report : &unread)) return false;
    return tg__close(&c, bad ? tg__stop(&c, TG_FAILED, "%s", bad) : run(&c));
}

/* A check of nothing, for what cannot be called. */
static bool refuse(tg_check_report *report)
{
    tg_check_report unread;
    tg__check c = { .report = report ? report : &unread };
    *c.report = (tg_check_report){ .element = -1 };
    return tg__stop(&c, TG_FAILED, "a function is NULL");
}

bool tg_check_gradient(tg_plain_function *f, tg_plain_gradient *gradient, const double *x,
                       size_t n, const tg_check_options *options, tg_check_report *report)
{
    subject s = { .f = f, .gradient = gradient, .n = n, .m = 1 };
    return f && gradient ? check_plain(&s, "gradient", x, options, report) : refuse(report);
}

bool tg_check_jacobian(tg_plain_map *f, tg_plain_jacobian *jacobian, const double *x, size_t n,
                       size_t m, const tg_check_options *options, tg_check_report *report)
{
    subject s = { .map = f, .jacobian = jacobian, .n = n, .m = m };
    return f && jacobian ? check_plain(&s, "jacobian", x, options, report) : refuse(report);
}

bool tg_check_hvp(tg_plain_gradient *gradient, tg_plain_hvp *hvp, const double *x, size_t n,
                  const tg_check_options *options, tg_check_report *report)
{
    subject s = { .gradient = gradient, .hvp = hvp, .n = n, .m = n };
    return gradient && hvp ? check_plain(&s, "hvp", x, options, report) : refuse(report);
}

/* ---- two arrays ------------------------------------------------------------------------------ */

/* Enters entry k; the worst is the one that is furthest apart. */
static void match_entry(tg__check *c, size_t k)
{
    tg__sheet *const t = c->sheet;
    tg_check_report *const r = c->report;
    const double a = t->analytic[k], b = t->numeric[k], size = fmax(fabs(a), fabs(b));
    const bool finite = isfinite(a) && isfinite(b), right = a == b || fabs(a - b) <= c->options.rtol * fmax(size, 1e-6 * c->largest);
    const tg_verdict verdict = !finite ? TG_NOT_FINITE : right ? TG_AGREES : TG_WRONG;
    t->known[k] = (unsigned char)(1 + verdict);
    r->checked++;
    r->wrong += verdict == TG_WRONG;
    c->nonzero = c->nonzero || size > 0;
    const double apart = a == b ? 0 : fabs(a - b) / size;
    if (r->verdict == TG_NOT_FINITE || (finite && r->checked > 1 && !(apart > r->relative_error)))
        return;
    r->verdict = verdict == TG_AGREES && r->wrong ? TG_WRONG : verdict;
    r->element = (int64_t)k;
    r->analytic = a;
    r->numeric = b;
    r->relative_error = apart;
}

static bool match(tg__check *c, const double *got, const double *expected)
{
    if (!tg__make_sheets(c) || !tg__make_room(c, 0)) return false;
    tg__sheet *const t = c->sheet;
    tg_check_report *const r = c->report;
    memcpy(t->analytic, got, t->size * sizeof *got);
    memcpy(t->numeric, expected, t->size * sizeof *expected);
    memset(t->error, 0, t->size * sizeof *t->error);
    for (size_t k = 0; k < t->size; k++)
        if (isfinite(expected[k])) c->largest = fmax(c->largest, fabs(expected[k]));
    r->verdict = TG_AGREES;
    for (size_t k = 0; k < t->size; k++) match_entry(c, k);
    if (!c->nonzero && !c->options.zero_ok)
        return tg__stop(c, TG_ALL_ZERO, "all zero: all %zu entries are, on both sides", t->size);
    tg__place(t, r->element, r->place, sizeof r->place);
    if (r->verdict == TG_WRONG) tg__diagnose(t, &c->options, r);
    snprintf(r->message, sizeof r->message,
             "%s: got %.6g, expected %.6g, relative error %.1e: %s, the worst of %zu%s%s", r->place,
             r->analytic, r->numeric, r->relative_error, tg_verdict_name(r->verdict), r->checked,
             r->reason[0] ? ": " : "", r->reason);
    return r->verdict == TG_AGREES;
}

bool tg_check_match(const double *got, const double *expected, size_t n,
                    const tg_check_options *options, tg_check_report *report)
{
    tg_check_report unread;
    tg_check_input input;
    const char *const bad = make_input(got, n, options, &input);
    tg__check c = { .kind = "match", .inputs = &input, .n = 1 };
    if (!tg__open(&c, options, report ? report : &unread)) return false;
    if (bad || !expected)
        return tg__close(&c, tg__stop(&c, TG_FAILED, "%s", bad ? bad : "an array is NULL"));
    return tg__close(&c, match(&c, got, expected));
}
