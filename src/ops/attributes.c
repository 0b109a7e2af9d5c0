/* The kinds of attributes, and attributes as text. See attributes.h. */
#include "ops/attributes.h"

#include <inttypes.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- kinds ----------------------------------------------------------------------------------- */

#define FIELD(KIND, NAME, TYPE)                                                                    \
    {                                                                                              \
#NAME, TYPE, offsetof(tg_##KIND##_attributes, NAME)                                        \
    }
#define KIND(NAME, ...)                                                                            \
    _Static_assert(sizeof(tg_##NAME##_attributes) <= TG__ATTRIBUTES_BYTES, "too large");           \
    const tg__attributes tg__attributes_##NAME = {                                                 \
        .name = #NAME,                                                                             \
        .size = sizeof(tg_##NAME##_attributes),                                                    \
        .defaults = &(const tg_##NAME##_attributes){ TG_DEFAULTS_##NAME },                         \
        .fields = (int)(sizeof((const tg__field[]){ __VA_ARGS__ }) / sizeof(tg__field)),           \
        .field = { __VA_ARGS__ },                                                                  \
    };

const tg__attributes tg__attributes_none = { .name = "none" };
_Static_assert(sizeof(tg_strided_attributes) <= TG__ATTRIBUTES_BYTES, "room for attributes");
_Static_assert(sizeof(tg_custom_attributes) <= TG__ATTRIBUTES_BYTES, "room for attributes");
const tg__attributes tg__attributes_custom = { .name = "custom",
                                               .size = sizeof(tg_custom_attributes),
                                               .defaults = &(const tg_custom_attributes){
                                                   TG_DEFAULTS_custom } };
const tg__attributes tg__attributes_call = { .name = "call",
                                             .size = sizeof(tg_call_attributes),
                                             .defaults = &(const tg_call_attributes){
                                                 TG_DEFAULTS_call } };
const tg__attributes tg__attributes_strided = { .name = "strided",
                                                .size = sizeof(tg_strided_attributes),
                                                .defaults = &(const tg_strided_attributes){
                                                    TG_DEFAULTS_strided } };

const tg__attributes tg__attributes_conv_weight = {
    .name = "conv_weight",
    .size = sizeof(tg_conv_weight_attributes),
    .defaults = &(const tg_conv_weight_attributes){ TG_DEFAULTS_conv_weight }
};
const tg__attributes tg__attributes_avg_pool_shares = {
    .name = "avg_pool_shares",
    .size = sizeof(tg_avg_pool_shares_attributes),
    .defaults = &(const tg_avg_pool_shares_attributes){ TG_DEFAULTS_avg_pool_shares }
};

/* clang-format off */
KIND(reduce, FIELD(reduce, axis, TG__INT), FIELD(reduce, axes, TG__AXES),
     FIELD(reduce, keep, TG__BOOL), FIELD(reduce, correction, TG__DOUBLE),
     FIELD(reduce, p, TG__DOUBLE))
KIND(softmax, FIELD(softmax, axis, TG__INT), FIELD(softmax, beta, TG__DOUBLE))
KIND(axis, FIELD(axis, axis, TG__INT))
KIND(every, FIELD(every, axis, TG__INT))
KIND(last, FIELD(last, axis, TG__INT))
KIND(swap, FIELD(swap, axis0, TG__INT), FIELD(swap, axis1, TG__INT))
KIND(span, FIELD(span, start, TG__INT), FIELD(span, end, TG__INT))
KIND(slice, FIELD(slice, axis, TG__INT), FIELD(slice, start, TG__INT64),
     FIELD(slice, stop, TG__INT64), FIELD(slice, step, TG__INT64))
KIND(select, FIELD(select, axis, TG__INT), FIELD(select, index, TG__INT64))
KIND(offset, FIELD(offset, offset, TG__INT64))
KIND(roll, FIELD(roll, axis, TG__INT), FIELD(roll, shift, TG__INT64))
KIND(pad, FIELD(pad, axis, TG__INT), FIELD(pad, before, TG__INT64), FIELD(pad, after, TG__INT64),
     FIELD(pad, value, TG__DOUBLE))
KIND(classes, FIELD(classes, classes, TG__INT64))
KIND(conv, FIELD(conv, stride, TG__INT), FIELD(conv, strides, TG__AXES),
     FIELD(conv, padding, TG__INT), FIELD(conv, paddings, TG__AXES), FIELD(conv, dilation, TG__INT),
     FIELD(conv, dilations, TG__AXES), FIELD(conv, groups, TG__INT))
KIND(conv_transpose, FIELD(conv_transpose, stride, TG__INT),
     FIELD(conv_transpose, strides, TG__AXES), FIELD(conv_transpose, padding, TG__INT),
     FIELD(conv_transpose, paddings, TG__AXES), FIELD(conv_transpose, output_padding, TG__INT),
     FIELD(conv_transpose, output_paddings, TG__AXES), FIELD(conv_transpose, dilation, TG__INT),
     FIELD(conv_transpose, dilations, TG__AXES), FIELD(conv_transpose, groups, TG__INT))
KIND(max_pool, FIELD(max_pool, kernel_size, TG__INT), FIELD(max_pool, kernel_sizes, TG__AXES),
     FIELD(max_pool, stride, TG__INT), FIELD(max_pool, strides, TG__AXES),
     FIELD(max_pool, padding, TG__INT), FIELD(max_pool, paddings, TG__AXES),
     FIELD(max_pool, dilation, TG__INT), FIELD(max_pool, dilations, TG__AXES))
KIND(avg_pool, FIELD(avg_pool, kernel_size, TG__INT), FIELD(avg_pool, kernel_sizes, TG__AXES),
     FIELD(avg_pool, stride, TG__INT), FIELD(avg_pool, strides, TG__AXES),
     FIELD(avg_pool, padding, TG__INT), FIELD(avg_pool, paddings, TG__AXES),
     FIELD(avg_pool, count_include_pad, TG__BOOL))
KIND(loss, FIELD(loss, reduction, TG__REDUCTION))
KIND(triangular, FIELD(triangular, upper, TG__BOOL), FIELD(triangular, transpose, TG__BOOL),
     FIELD(triangular, unit, TG__BOOL))
KIND(einsum, FIELD(einsum, equation, TG__EQUATION))
KIND(huber, FIELD(huber, reduction, TG__REDUCTION), FIELD(huber, delta, TG__DOUBLE))
KIND(smooth_l1, FIELD(smooth_l1, reduction, TG__REDUCTION), FIELD(smooth_l1, beta, TG__DOUBLE))
KIND(labels, FIELD(labels, reduction, TG__REDUCTION), FIELD(labels, ignore_index, TG__INT64))
KIND(smoothed, FIELD(smoothed, reduction, TG__REDUCTION), FIELD(smoothed, ignore_index, TG__INT64),
     FIELD(smoothed, label_smoothing, TG__DOUBLE))
KIND(guard, FIELD(guard, expected, TG__BOOL))
KIND(targets, FIELD(targets, classes, TG__INT64), FIELD(targets, ignore_index, TG__INT64),
     FIELD(targets, label_smoothing, TG__DOUBLE))
KIND(normalize, FIELD(normalize, epsilon, TG__DOUBLE))
KIND(groups, FIELD(groups, groups, TG__INT64), FIELD(groups, epsilon, TG__DOUBLE))
KIND(attention, FIELD(attention, causal, TG__BOOL), FIELD(attention, scale, TG__DOUBLE))
KIND(order, FIELD(order, axis, TG__INT), FIELD(order, descending, TG__BOOL))
KIND(topk, FIELD(topk, k, TG__INT64), FIELD(topk, axis, TG__INT), FIELD(topk, largest, TG__BOOL))
KIND(split, FIELD(split, axis, TG__INT), FIELD(split, parts, TG__INT64),
     FIELD(split, index, TG__INT64))
KIND(dropout, FIELD(dropout, p, TG__DOUBLE), FIELD(dropout, seed, TG__INT64),
     FIELD(dropout, run, TG__INT64), FIELD(dropout, same, TG__BOOL))
/* clang-format on */

/* The struct is the list: its one field, called item in text, is all of it. */
const tg__attributes tg__attributes_list = {
    .name = "list",
    .size = sizeof(tg_list_attributes),
    .defaults = &(const tg_list_attributes){ TG_DEFAULTS_list },
    .fields = 1,
    .field = { { "item", TG__LIST, 0 } },
};

static const char *const reductions[] = {
    [TG_MEAN] = "mean", [TG_SUM] = "sum", [TG_NONE] = "none"
};
enum { REDUCTIONS = sizeof reductions / sizeof *reductions };

static bool is_list(const tg__attributes *kind)
{
    return kind->fields == 1 && kind->field[0].type == TG__LIST;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct reader {
    const tg__attributes *kind;
    const char *text, *at;
    char *message;
    size_t size;
    size_t *where; /* gets the character, which is then not in the message; or NULL */
} reader;

/* Always false. Never shows raw text, which may hold anything. */
__attribute__((format(printf, 2, 3))) static bool wrong(const reader *r, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(r->message, r->size, format, args);
    va_end(args);
    if (r->where) *r->where = (size_t)(r->at - r->text);
    return false;
}

static bool expected(const reader *r, const char *what)
{
    if (r->where) return wrong(r, "expected %s", what);
    return wrong(r, "attributes, character %zu: expected %s", (size_t)(r->at - r->text) + 1, what);
}

static void skip_blanks(reader *r)
{
    r->at += strspn(r->at, " \t\r\n");
}

/* Takes the character and the blanks behind it, if it is there. */
static bool take(reader *r, char wanted)
{
    if (*r->at != wanted) return false;
    r->at++;
    skip_blanks(r);
    return true;
}

static size_t word_length(const reader *r)
{
    return strspn(r->at, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
}

static bool take_word(reader *r, const char *word)
{
    const size_t n = word_length(r);
    if (n != strlen(word) || memcmp(r->at, word, n)) return false;
    r->at += n;
    skip_blanks(r);
    return true;
}

static bool read_whole(reader *r, int64_t lo, int64_t hi, int64_t *out)
{
    const char *p = r->at + (*r->at == '-' || *r->at == '+');
    const size_t digits = strspn(p, "0123456789");
    if (!digits || strchr(".eE", p[digits] ? p[digits] : ' ')) return expected(r, "a whole number");
    const bool negative = *r->at == '-';
    uint64_t size = 0;
    for (size_t i = 0; i < digits; i++) {
        const unsigned digit = (unsigned)(p[i] - '0');
        if (size > (UINT64_MAX - digit) / 10) return expected(r, "a number in range");
        size = size * 10 + digit;
    }
    /* -(2^63) has no positive counterpart. */
    if (size > (uint64_t)INT64_MAX + negative) return expected(r, "a number in range");
    const int64_t value = !negative ? (int64_t)size : size ? -(int64_t)(size - 1) - 1 : 0;
    if (value < lo || value > hi) return expected(r, "a number in range");
    *out = value;
    r->at = p + digits;
    skip_blanks(r);
    return true;
}

static bool read_int(reader *r, int *out)
{
    int64_t value = TG_ALL;
    if (!take_word(r, "all") && !read_whole(r, INT_MIN, INT_MAX, &value)) return false;
    *out = (int)value;
    return true;
}

static bool read_int64(reader *r, int64_t *out)
{
    if (!take_word(r, "end")) return read_whole(r, INT64_MIN, INT64_MAX, out);
    *out = TG_END;
    return true;
}

static bool read_bool(reader *r, bool *out)
{
    *out = take_word(r, "true") || take_word(r, "True");
    return *out || take_word(r, "false") || take_word(r, "False") || expected(r, "true or false");
}

/* strtod reads the point of the locale: the number is copied with that one. */
static bool read_number(reader *r, size_t length, double *out)
{
    char number[128];
    const char *point = localeconv()->decimal_point;
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        const bool is_point = r->at[i] == '.';
        const size_t n = is_point ? strlen(point) : 1;
        if (used + n >= sizeof number) return expected(r, "a shorter number");
        memcpy(number + used, is_point ? point : r->at + i, n);
        used += n;
    }
    number[used] = 0;
    char *end;
    *out = strtod(number, &end);
    if (!used || *end) return expected(r, "a number");
    r->at += length;
    skip_blanks(r);
    return true;
}

static bool read_double(reader *r, double *out)
{
    const size_t sign = *r->at == '-' || *r->at == '+';
    const size_t length = sign + strspn(r->at + sign, "0123456789.eE+-");
    if (length > sign) return read_number(r, length, out);
    const bool negative = *r->at == '-';
    r->at += sign;
    if (take_word(r, "inf")) *out = negative ? -(double)INFINITY : (double)INFINITY;
    else if (take_word(r, "nan")) *out = (double)NAN;
    else return expected(r, "a number");
    return true;
}

/* "(0, 2)", "(0,)", "()" or "0". */
static bool read_items(reader *r, int64_t lo, int64_t hi, tg_list_attributes *out)
{
    out->count = 0;
    if (!take(r, '(')) {
        out->count = 1;
        return read_whole(r, lo, hi, &out->item[0]);
    }
    while (!take(r, ')')) {
        if (out->count == TG_MAX_RANK) return expected(r, "no more than 8 numbers");
        if (!read_whole(r, lo, hi, &out->item[out->count])) return false;
        out->count++;
        if (!take(r, ',') && *r->at != ')') return expected(r, "',' or ')'");
    }
    return true;
}

static bool read_axes(reader *r, tg_axes *out)
{
    tg_list_attributes list = { .count = 0 };
    if (!read_items(r, INT_MIN, INT_MAX, &list)) return false;
    out->count = list.count;
    for (int i = 0; i < list.count; i++) out->axis[i] = (int)list.item[i];
    return true;
}

static bool read_reduction(reader *r, tg_reduction *out)
{
    for (int i = 0; i < REDUCTIONS; i++) {
        if (!take_word(r, reductions[i])) continue;
        *out = (tg_reduction)i;
        return true;
    }
    return expected(r, "mean, sum or none");
}

/* "ij,jk->ik" or 'ij,jk->ik'. */
static bool read_equation(reader *r, char *out)
{
    const char quote = *r->at;
    if (quote != '"' && quote != '\'') return expected(r, "an equation in quotes");
    const char *const end = strchr(r->at + 1, quote);
    if (!end) return expected(r, "a quote at its end, too");
    const size_t length = (size_t)(end - r->at) - 1;
    if (length >= TG_EQUATION) return expected(r, "a shorter equation");
    memset(out, 0, TG_EQUATION);
    memcpy(out, r->at + 1, length);
    r->at = end + 1;
    skip_blanks(r);
    return true;
}

static bool read_value(reader *r, tg__field_type type, void *out)
{
    switch (type) {
    case TG__INT: return read_int(r, out);
    case TG__INT64: return read_int64(r, out);
    case TG__BOOL: return read_bool(r, out);
    case TG__DOUBLE: return read_double(r, out);
    case TG__AXES: return read_axes(r, out);
    case TG__LIST: return read_items(r, INT64_MIN, INT64_MAX, out);
    case TG__REDUCTION: return read_reduction(r, out);
    case TG__EQUATION: return read_equation(r, out);
    }
    return false;
}

static bool unknown(const reader *r, size_t length)
{
    char known[256] = "it takes none";
    size_t used = 0;
    for (int i = 0; i < r->kind->fields && used < sizeof known; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s",
                                 i ? ", " : "known: ", r->kind->field[i].name);
    return wrong(r, "unknown attribute %.*s%s; %s", (int)(length < 40 ? length : 40), r->at,
                 length > 40 ? "..." : "", known);
}

/* name = value. given has a bit for each field that was there already. */
static bool read_field(reader *r, char *out, unsigned *given)
{
    const size_t length = word_length(r);
    if (!length) return expected(r, "the name of an attribute");
    for (int i = 0; i < r->kind->fields; i++) {
        const tg__field *field = &r->kind->field[i];
        if (!take_word(r, field->name)) continue;
        if (*given & 1u << i) return wrong(r, "attribute %s is given twice", field->name);
        *given |= 1u << i;
        if (!take(r, '=')) return expected(r, "'='");
        return read_value(r, field->type, out + field->offset);
    }
    return unknown(r, length);
}

static bool read_all(reader *r, char *out)
{
    unsigned given = 0;
    skip_blanks(r);
    if (is_list(r->kind) && *r->at == '(') {
        if (!read_value(r, TG__LIST, out)) return false;
        return !*r->at || expected(r, "nothing behind the list");
    }
    while (*r->at) {
        if (!read_field(r, out, &given)) return false;
        if (!take(r, ',') && *r->at) return expected(r, "','");
    }
    return true;
}

static void set_defaults(const tg__attributes *kind, void *out)
{
    if (kind->size) memcpy(out, kind->defaults, kind->size);
}

tg_code tg__attributes_parse(const tg__attributes *kind, const char *text, void *out, char *message,
                             size_t size)
{
    return tg__attributes_read(kind, text, out, message, size, NULL);
}

tg_code tg__attributes_read(const tg__attributes *kind, const char *text, void *out, char *message,
                            size_t size, size_t *where)
{
    reader r = { kind, text, text, message, size, where };
    set_defaults(kind, out);
    if (read_all(&r, out)) return TG_OK;
    set_defaults(kind, out);
    return TG_ERROR_ARGUMENT;
}

/* ---- writing --------------------------------------------------------------------------------- */

typedef struct writer {
    char *text;
    size_t size, used; /* used may pass size: what does not fit is cut */
} writer;

__attribute__((format(printf, 2, 3))) static void put(writer *w, const char *format, ...)
{
    va_list args;
    const bool room = w->used < w->size;
    va_start(args, format);
    const int n =
        vsnprintf(room ? w->text + w->used : NULL, room ? w->size - w->used : 0, format, args);
    va_end(args);
    if (n > 0) w->used += (size_t)n;
}

/* As few digits, from 15 up, as read back as x; with a point whatever the locale. */
static void put_double(writer *w, double x)
{
    char number[64];
    const char *point = localeconv()->decimal_point;
    if (isnan(x) || isinf(x)) {
        put(w, isnan(x) ? "nan" : x < 0 ? "-inf" : "inf");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(number, sizeof number, "%.*g", digits, x);
        if (memcmp(&(double){ strtod(number, NULL) }, &x, sizeof x) == 0) break;
    }
    char *at = strstr(number, point);
    if (!at) put(w, "%s", number);
    else put(w, "%.*s.%s", (int)(at - number), number, at + strlen(point));
}

static void put_items(writer *w, int count, const int64_t *item)
{
    put(w, "(");
    for (int i = 0; i < count; i++) put(w, i ? ", %" PRId64 : "%" PRId64, item[i]);
    put(w, ")");
}

/* A count from outside may be anything. */
static int clamped_count(int count)
{
    return count < 0 ? 0 : count > TG_MAX_RANK ? TG_MAX_RANK : count;
}

static void put_axes(writer *w, const tg_axes *axes)
{
    int64_t item[TG_MAX_RANK];
    const int count = clamped_count(axes->count);
    for (int i = 0; i < count; i++) item[i] = axes->axis[i];
    put_items(w, count, item);
}

static void put_value(writer *w, tg__field_type type, const void *value)
{
    switch (type) {
    case TG__INT:
        if (*(const int *)value == TG_ALL) put(w, "all");
        else put(w, "%d", *(const int *)value);
        return;
    case TG__INT64:
        if (*(const int64_t *)value == TG_END) put(w, "end");
        else put(w, "%" PRId64, *(const int64_t *)value);
        return;
    case TG__BOOL: put(w, *(const bool *)value ? "true" : "false"); return;
    case TG__DOUBLE: put_double(w, *(const double *)value); return;
    case TG__AXES: put_axes(w, value); return;
    case TG__LIST: {
        const tg_list_attributes *list = value;
        put_items(w, clamped_count(list->count), list->item);
        return;
    }
    case TG__REDUCTION: {
        const unsigned i = *(const tg_reduction *)value;
        put(w, "%s", i < REDUCTIONS ? reductions[i] : "?");
        return;
    }
    case TG__EQUATION: put(w, "\"%.*s\"", TG_EQUATION, (const char *)value); return;
    }
}

/* Written out, equal values are equal, whatever lies behind the end of a list. */
static bool same_value(tg__field_type type, const void *a, const void *b)
{
    char text_a[256], text_b[256];
    put_value(&(writer){ text_a, sizeof text_a, 0 }, type, a);
    put_value(&(writer){ text_b, sizeof text_b, 0 }, type, b);
    return strcmp(text_a, text_b) == 0;
}

void tg__attributes_print(const tg__attributes *kind, const void *attributes, char *text,
                          size_t size)
{
    writer w = { text, size, 0 };
    if (size) text[0] = 0;
    for (int i = 0; i < kind->fields; i++) {
        const tg__field *field = &kind->field[i];
        const char *value = (const char *)attributes + field->offset;
        if (same_value(field->type, value, (const char *)kind->defaults + field->offset)) continue;
        if (w.used) put(&w, ", ");
        if (!is_list(kind)) put(&w, "%s=", field->name);
        put_value(&w, field->type, value);
    }
}

/* ---- as bytes -------------------------------------------------------------------------------- */

void tg__attributes_copy(const tg__attributes *kind, const void *attributes, void *out)
{
    static const size_t size[] = {
        [TG__INT] = sizeof(int),         [TG__INT64] = sizeof(int64_t),
        [TG__BOOL] = sizeof(bool),       [TG__DOUBLE] = sizeof(double),
        [TG__AXES] = sizeof(tg_axes),    [TG__LIST] = sizeof(tg_list_attributes),
        [TG__REDUCTION] = sizeof(tg_reduction), [TG__EQUATION] = TG_EQUATION,
    };
    memset(out, 0, kind->size);
    for (int i = 0; i < kind->fields; i++) {
        const tg__field *const f = &kind->field[i];
        memcpy((char *)out + f->offset, (const char *)attributes + f->offset, size[f->type]);
    }
}
