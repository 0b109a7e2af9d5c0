/* What is wrong with a wrong gradient? Each pattern is tried against all entries that were
   measured, simple ones first; one that explains every entry is the diagnosis. */
#include "check/inner.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* How well a pattern must fit, relative to the entries. */
#define FIT 1e-5

/* Entries that a search through all pairs may have. */
#define PAIRS 1000

typedef struct diagnosis {
    const tg__sheet *s;
    const tg_check_options *options;
    tg_check_report *report;
    double largest; /* of the numeric derivatives, as a magnitude */
} diagnosis;

/* ---- small parts ----------------------------------------------------------------------------- */

static bool is_known(const tg__sheet *s, size_t k)
{
    return s->known[k] == 1 + TG_AGREES || s->known[k] == 1 + TG_WRONG;
}

static bool is_wrong(const tg__sheet *s, size_t k)
{
    return s->known[k] == 1 + TG_WRONG;
}

/* Whether a number is the measured derivative of entry k. */
static bool fits(const diagnosis *d, double a, size_t k)
{
    const double n = d->s->numeric[k];
    return fabs(a - n) <= FIT * fmax(fabs(a), fabs(n)) + 20 * d->s->error[k] + 1e-12 * d->largest;
}

__attribute__((format(printf, 3, 4))) static bool found(diagnosis *d, tg_fault fault,
                                                        const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    d->report->fault = fault;
    vsnprintf(d->report->reason, sizeof d->report->reason, format, arguments);
    va_end(arguments);
    return true;
}

void tg__place(const tg__sheet *s, int64_t element, char *text, size_t size)
{
    size_t used = (size_t)(s->name ? snprintf(text, size, "%s", s->name)
                                   : snprintf(text, size, "input %d", s->input));
    if (used >= size) return;
    if (element < 0) {
        snprintf(text + used, size - used, " along a random direction");
        return;
    }
    int64_t stride = (int64_t)s->size;
    for (int i = 0; i < s->rank && used < size; i++) {
        const int64_t before = stride;
        stride /= s->shape[i];
        used +=
            (size_t)snprintf(text + used, size - used, "%s%lld%s", i ? ", " : "[",
                             (long long)(element % before / stride), i + 1 < s->rank ? "" : "]");
    }
}

/* Names what the wrong entries have in common: an entry, a row, a column, the diagonal, a range. */
static void name_wrong(const tg__sheet *s, char *text, size_t size)
{
    const size_t columns = s->rank ? (size_t)s->shape[s->rank - 1] : 1;
    size_t wrong = 0, known = 0, first = 0, last = 0, diagonal = 0;
    bool row = s->rank > 1, column = s->rank > 1, range = true;
    for (size_t k = 0; k < s->size; k++) {
        known += is_known(s, k);
        if (!is_wrong(s, k)) continue;
        if (wrong++ == 0) first = k;
        last = k;
        row = row && k / columns == first / columns;
        column = column && k % columns == first % columns;
        diagonal += k / columns == k % columns;
    }
    for (size_t k = first; k <= last; k++) range = range && (is_wrong(s, k) || !is_known(s, k));
    char from[96], to[96];
    tg__place(s, (int64_t)first, from, sizeof from);
    tg__place(s, (int64_t)last, to, sizeof to);
    if (wrong == known && known > 1) snprintf(text, size, "all %zu entries", known);
    else if (wrong == 1) snprintf(text, size, "%s alone", from);
    else if (s->rank == 2 && s->shape[0] == s->shape[1] && diagonal == wrong)
        snprintf(text, size, "the diagonal");
    else if (row) snprintf(text, size, "row %zu", first / columns);
    else if (column) snprintf(text, size, "column %zu", first % columns);
    else if (range) snprintf(text, size, "%s to %s", from, to);
    else snprintf(text, size, "%zu of %zu entries, the first %s", wrong, known, from);
}

/* ---- factors --------------------------------------------------------------------------------- */

static bool same(double a, double b)
{
    return fabs(a - b) <= FIT * fmax(fabs(a), fabs(b));
}

static bool name_of_size(double c, double size, const char *what, char *text, size_t room)
{
    if (size < 2) return false;
    const struct {
        double value;
        const char *text;
    } forms[] = { { size, "n" },
                  { 1 / size, "1/n" },
                  { 2 / size, "2/n" },
                  { size / 2, "n/2" },
                  { sqrt(size), "sqrt(n)" },
                  { 1 / sqrt(size), "1/sqrt(n)" },
                  { size / (size - 1), "n/(n - 1)" },
                  { (size - 1) / size, "(n - 1)/n" } };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (same(c, forms[i].value)) {
            snprintf(text, room, "%s times what it should be, with n = %g, %s", forms[i].text, size,
                     what);
            return true;
        }
    return false;
}

/* What a constant may come from: "2 times what it should be", "1/n times what it should be, with
   n = 8, the length of an axis". Other numbers as they are, and false. */
static bool name_factor(const diagnosis *d, double c, char *text, size_t room)
{
    static const struct {
        double value;
        const char *text;
    } constants[] = { { 2, "2" },
                      { 0.5, "1/2" },
                      { 3, "3" },
                      { 1.0 / 3, "1/3" },
                      { 1.5, "3/2" },
                      { 2.0 / 3, "2/3" },
                      { 4, "4" },
                      { 0.25, "1/4" },
                      { 6, "6" },
                      { 1.0 / 6, "1/6" },
                      { 10, "10" },
                      { 0.1, "1/10" },
                      { 100, "100" },
                      { 0.01, "1/100" },
                      { 0.69314718055994531, "log 2" },
                      { 1.4426950408889634, "1/log 2" },
                      { 3.1415926535897931, "pi" },
                      { 6.2831853071795862, "2 pi" },
                      { 57.295779513082323, "180/pi" },
                      { 0.017453292519943295, "pi/180" } };
    const tg__sheet *s = d->s;
    const double size = fabs(c);
    if (c < 0) *text++ = '-', room--;
    for (int i = 0; i < 4; i++)
        if (name_of_size(size, (double)d->options->sizes[i], "one of the sizes given", text, room))
            return true;
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++)
        if (same(size, constants[i].value)) {
            snprintf(text, room, "%s times what it should be", constants[i].text);
            return true;
        }
    if (name_of_size(size, (double)s->size, "the number of entries", text, room)) return true;
    for (int i = 0; i < s->rank; i++)
        if (name_of_size(size, (double)s->shape[i], "the length of an axis", text, room))
            return true;
    snprintf(text, room, "%.6g times what it should be", size);
    return false;
}

/* The factor between claimed and measured in the entries of a kind, from the largest; 0: none. */
static double common_factor(const diagnosis *d, bool wrong_only, size_t *count)
{
    const tg__sheet *s = d->s;
    double best = 0, factor = 0;
    *count = 0;
    for (size_t k = 0; k < s->size; k++)
        if (is_known(s, k) && (!wrong_only || is_wrong(s, k)) && fabs(s->numeric[k]) > best) {
            best = fabs(s->numeric[k]);
            factor = s->analytic[k] / s->numeric[k];
        }
    if (factor == 0) return 0;
    for (size_t k = 0; k < s->size; k++) {
        if (!is_known(s, k) || (wrong_only && !is_wrong(s, k))) continue;
        if (!fits(d, s->analytic[k] / factor, k)) return 0;
        *count += fabs(s->numeric[k]) > 20 * s->error[k];
    }
    return factor;
}

/* With a single entry any number would be a factor: it must be a well-known one. */
static bool try_factor(diagnosis *d, bool part)
{
    size_t count;
    char name[128], where[256];
    const double c = common_factor(d, part, &count);
    if (c == 0) return false;
    const bool known = name_factor(d, c, name, sizeof name);
    name_wrong(d->s, where, sizeof where);
    if (same(c, -1)) return found(d, TG_FAULT_SIGN, "the sign is wrong: %s", where);
    if (!known && count < (part ? 3 : 2)) return false;
    d->report->factor = c;
    return found(d, TG_FAULT_FACTOR, "a constant factor: %s: %s", name, where);
}

/* A factor for each row of a matrix, such as a derivative that was forgotten on the way back. */
static bool try_row_factors(diagnosis *d, bool columns)
{
    const tg__sheet *s = d->s;
    if (s->rank != 2 || s->shape[0] < 2 || s->shape[1] < 2) return false;
    const size_t outer = (size_t)s->shape[columns], inner = (size_t)s->shape[!columns],
                 down = columns ? 1 : inner, right = columns ? outer : 1;
    double least = INFINITY, most = -INFINITY;
    for (size_t i = 0; i < outer; i++) {
        double factor = 0, largest = 0;
        for (size_t j = 0; j < inner; j++) {
            const size_t k = i * down + j * right;
            if (!is_known(s, k) || fabs(s->numeric[k]) <= largest) continue;
            largest = fabs(s->numeric[k]);
            factor = s->analytic[k] / s->numeric[k];
        }
        if (factor == 0) return false;
        least = fmin(least, factor), most = fmax(most, factor);
        for (size_t j = 0; j < inner; j++)
            if (!is_known(s, i * down + j * right) ||
                !fits(d, s->analytic[i * down + j * right] / factor, i * down + j * right))
                return false;
    }
    return found(d, TG_FAULT_FACTOR,
                 "a factor for each %s, from %.4g to %.4g times what it should be: a derivative on "
                 "the way is missing or wrong",
                 columns ? "column" : "row", least, most);
}

/* ---- places ---------------------------------------------------------------------------------- */

/* Whether the claimed entries are the measured ones at other places: to[k] of k, or none where that
   is beyond the end and counts as zero (size + 1: as anything). Says nothing of what stays where it
   is, or of entries that are all the same. */
typedef size_t mapping(const tg__sheet *s, size_t k, size_t by);

static bool moved(const diagnosis *d, mapping *to, size_t by)
{
    const tg__sheet *s = d->s;
    size_t compared = 0, nonzero = 0;
    for (size_t k = 0; k < s->size; k++) {
        const size_t from = to(s, k, by);
        if (!is_known(s, k) || from > s->size) continue;
        if (from == s->size) {
            if (s->analytic[k] != 0) return false;
            continue;
        }
        if (!is_known(s, from)) continue;
        if (!fits(d, s->analytic[k], from)) return false;
        compared++;
        nonzero += from != k && fabs(s->numeric[from]) > 20 * s->error[from];
    }
    return compared > 1 && nonzero > 1;
}

static size_t transposed(const tg__sheet *s, size_t k, size_t by)
{
    (void)by; /* the last two axes; claimed lies there as (columns, rows) */
    const size_t rows = (size_t)s->shape[s->rank - 2], columns = (size_t)s->shape[s->rank - 1],
                 start = k - k % (rows * columns), at = k % (rows * columns);
    return start + at % rows * columns + at / rows;
}

static size_t backwards(const tg__sheet *s, size_t k, size_t by)
{
    (void)by;
    return s->size - 1 - k;
}

static size_t cyclic(const tg__sheet *s, size_t k, size_t by)
{
    return (k + by) % s->size;
}

static size_t ahead(const tg__sheet *s, size_t k, size_t by)
{
    return k + by < s->size ? k + by : s->size;
}

static size_t behind(const tg__sheet *s, size_t k, size_t by)
{
    return k >= by ? k - by : s->size;
}

static size_t ahead_open(const tg__sheet *s, size_t k, size_t by)
{
    return k + by < s->size ? k + by : s->size + 1;
}

static size_t behind_open(const tg__sheet *s, size_t k, size_t by)
{
    return k >= by ? k - by : s->size + 1;
}

static size_t in_rows(const tg__sheet *s, size_t k, size_t by)
{
    const size_t columns = s->rank ? (size_t)s->shape[s->rank - 1] : 1;
    return k - k % columns + (k % columns + by) % columns;
}

static bool try_transposed(diagnosis *d)
{
    const tg__sheet *s = d->s;
    if (s->rank < 2 || s->shape[s->rank - 1] < 2 || s->shape[s->rank - 2] < 2) return false;
    return moved(d, transposed, 0) &&
           found(d, TG_FAULT_TRANSPOSED,
                 "the matrix is transposed: what is there is the gradient of shape (%lld, %lld)",
                 (long long)s->shape[s->rank - 1], (long long)s->shape[s->rank - 2]);
}

static bool try_shifted(diagnosis *d)
{
    const tg__sheet *s = d->s;
    const size_t farthest = s->size < PAIRS ? s->size : PAIRS;
    const size_t columns = s->rank ? (size_t)s->shape[s->rank - 1] : 1;
    mapping *const ways[] = { cyclic, in_rows, ahead, behind, ahead_open, behind_open };
    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++)
        for (size_t by = 1; by < farthest; by++) {
            /* open ends let much pass: half of the entries have to bear witness */
            if (w >= 4 && (s->size < 4 || by > s->size / 2)) break;
            if (!moved(d, ways[w], by)) continue;
            const size_t round = ways[w] == cyclic ? s->size : ways[w] == in_rows ? columns : 0;
            const bool back =
                ways[w] == behind || ways[w] == behind_open || (round && by > round / 2);
            const size_t places = round && back ? round - by : by;
            return found(d, TG_FAULT_SHIFTED, "shifted%s: each entry is the one %zu place%s %s it",
                         ways[w] == in_rows && s->rank > 1 ? " within the rows" : "", places,
                         places == 1 ? "" : "s", back ? "before" : "after");
        }
    return moved(d, backwards, 0) &&
           found(d, TG_FAULT_PERMUTED, "the entries are in opposite order");
}

/* Each claimed wrong entry is a measured one, and each only once. */
static bool try_permuted(diagnosis *d)
{
    const tg__sheet *s = d->s;
    unsigned char taken[PAIRS] = { 0 };
    size_t wrong = 0, pair[2] = { 0, 0 };
    if (s->size > PAIRS) return false;
    for (size_t k = 0; k < s->size; k++) {
        if (!is_wrong(s, k)) continue;
        size_t j = 0;
        while (j < s->size &&
               (taken[j] || !is_wrong(s, j) || j == k || !fits(d, s->analytic[k], j)))
            j++;
        if (j == s->size) return false;
        taken[j] = 1;
        if (wrong < 2) pair[wrong] = k;
        wrong++;
    }
    if (wrong < 2) return false;
    if (wrong > 2)
        return found(d, TG_FAULT_PERMUTED, "%zu entries are right, but in another order", wrong);
    char a[96], b[96];
    tg__place(s, (int64_t)pair[0], a, sizeof a);
    tg__place(s, (int64_t)pair[1], b, sizeof b);
    return found(d, TG_FAULT_PERMUTED, "%s and %s are exchanged", a, b);
}

/* ---- sums, parts, terms ---------------------------------------------------------------------- */

/* The claimed entries along an axis add up to each of the measured ones: a parameter that is used
   in many places, and the places were not summed up. */
static bool try_sum(diagnosis *d)
{
    const tg__sheet *s = d->s;
    size_t inner = 1;
    for (int axis = s->rank - 1; axis >= 0; inner *= (size_t)s->shape[axis], axis--) {
        const size_t n = (size_t)s->shape[axis];
        bool all = n > 1, nonzero = false;
        for (size_t k = 0; k < s->size && all; k++) {
            const size_t start = k - k / inner % n * inner;
            double sum = 0;
            for (size_t i = 0; i < n; i++) {
                all = all && is_known(s, start + i * inner);
                sum += s->analytic[start + i * inner];
            }
            all = all && fits(d, sum, k);
            nonzero = nonzero || fabs(s->numeric[k]) > 20 * s->error[k];
        }
        if (all && nonzero)
            return found(d, TG_FAULT_SUM,
                         "a sum over axis %d is missing: each entry should be the sum of its %zu",
                         axis, n);
    }
    return false;
}

static bool try_part(diagnosis *d)
{
    const tg__sheet *s = d->s;
    size_t wrong = 0, known = 0;
    for (size_t k = 0; k < s->size; k++) {
        known += is_known(s, k);
        if (!is_wrong(s, k)) continue;
        if (s->analytic[k] != 0) return false;
        wrong++;
    }
    char where[256];
    name_wrong(s, where, sizeof where);
    if (wrong == known)
        return found(d, TG_FAULT_PART, "the gradient is missing: it is zero everywhere");
    return found(d, TG_FAULT_PART, "only part of the gradient was computed: zero in %s", where);
}

/* What is missing is the same multiple, in all wrong entries, of something simple: of 1, as where a
   sum is subtracted, of the gradient's own parts, ... */
static bool try_constant_term(diagnosis *d)
{
    const tg__sheet *s = d->s;
    double first = 0, error = 0;
    size_t wrong = 0;
    char where[256];
    for (size_t k = 0; k < s->size; k++) {
        if (!is_wrong(s, k)) continue;
        const double missing = s->numeric[k] - s->analytic[k];
        if (wrong++ == 0) first = missing, error = s->error[k];
        else if (fabs(missing - first) > FIT * fabs(first) + 20 * (error + s->error[k]))
            return false;
    }
    if (wrong < 2) return false;
    name_wrong(s, where, sizeof where);
    return found(d, TG_FAULT_TERM, "a term is left out: %.6g, the same in %s", first, where);
}

static bool try_other(diagnosis *d)
{
    const tg__sheet *s = d->s;
    char where[256];
    size_t wrong = 0;
    for (size_t k = 0; k < s->size; k++) wrong += is_wrong(s, k);
    if (wrong == 0)
        return found(d, TG_FAULT_OTHER,
                     "wrong along a direction, though no entry by itself could be shown to be");
    name_wrong(s, where, sizeof where);
    return found(d, TG_FAULT_OTHER, "no simple pattern: wrong in %s", where);
}

void tg__diagnose(const tg__sheet *s, const tg_check_options *options, tg_check_report *report)
{
    diagnosis d = { .s = s, .options = options, .report = report };
    size_t wrong = 0;
    for (size_t k = 0; k < s->size; k++) {
        if (!is_known(s, k)) continue;
        wrong += is_wrong(s, k);
        d.largest = fmax(d.largest, fabs(s->numeric[k]));
    }
    if (wrong == 0) try_other(&d);
    else if (try_part(&d) || try_factor(&d, false) || try_transposed(&d) || try_shifted(&d) ||
             try_permuted(&d) || try_sum(&d) || try_factor(&d, true) || try_constant_term(&d) ||
             try_row_factors(&d, false) || try_row_factors(&d, true))
        return;
    else try_other(&d);
}
