/* Text files of columns (RFC 4180, with what is found in the wild): see tapegrad/data.h. */
#define _POSIX_C_SOURCE 200809L /* newlocale, strcasecmp */
#include "inner.h"

#include <errno.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- records --------------------------------------------------------------------------------- */

/* A file as it is read, and its present record: n fields, each with a zero byte behind it. */
typedef struct reader {
    const tg__file *file;
    const tg_csv_options *o;
    tg_status *status;
    char separator;
    size_t at;         /* position in the file */
    size_t line, next; /* on which the record begins, and the line to be read next; from 1 */
    char *text;        /* the fields, one behind the other */
    size_t used, text_room;
    size_t *field; /* where in text each begins */
    size_t n, field_room;
    char **name; /* of the columns, or NULL */
    size_t columns;
} reader;

/* "data.csv: line 3, column 5 (width): what is wrong"; column SIZE_MAX: none. Always false. */
TG__PRINTF(3, 4) static bool wrong(const reader *r, size_t column, const char *format, ...)
{
    char where[160] = "", what[256];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    if (column != SIZE_MAX && r->name && column < r->columns)
        snprintf(where, sizeof where, ", column %zu (%.100s)", column + 1, r->name[column]);
    else if (column != SIZE_MAX) snprintf(where, sizeof where, ", column %zu", column + 1);
    return tg__data_fail(r->status, TG_ERROR_FORMAT, "%s: line %zu%s: %s", r->file->name, r->line,
                         where, what);
}

static bool at_end(const reader *r)
{
    return r->at == r->file->size;
}

static char peek(const reader *r)
{
    return (char)r->file->data[r->at]; /* a zero byte at the end */
}

static bool is_blank(const reader *r, char c)
{
    return (c == ' ' || c == '\t') && c != r->separator;
}

static bool ends_field(const reader *r)
{
    return at_end(r) || peek(r) == r->separator || peek(r) == '\n' || peek(r) == '\r';
}

static void skip_blanks(reader *r)
{
    while (is_blank(r, peek(r))) r->at++;
}

/* Adds a character to the record's text. */
static bool put(reader *r, char c)
{
    if (r->used == r->text_room) {
        void *memory = r->text;
        const bool room = tg__data_grow(&memory, &r->text_room, r->used + 1, 1, r->status);
        r->text = memory;
        if (!room) return false;
    }
    r->text[r->used++] = c;
    return true;
}

/* The rest of a field after its opening quote. */
static bool take_quoted(reader *r)
{
    for (;;) {
        if (at_end(r)) return wrong(r, r->n, "a quoted field without a closing quote");
        const char c = peek(r);
        r->at++;
        if (c == '"' && peek(r) != '"') break;
        if (c == '"') r->at++;
        if (c == '\n') r->next++;
        if (!put(r, c)) return false;
    }
    skip_blanks(r);
    return ends_field(r) || wrong(r, r->n, "'%c' after a closing quote", peek(r));
}

static bool take_field(reader *r)
{
    void *memory = r->field;
    const bool room = tg__data_grow(&memory, &r->field_room, r->n + 1, sizeof *r->field, r->status);
    r->field = memory;
    if (!room) return false;
    r->field[r->n] = r->used;
    skip_blanks(r);
    if (peek(r) == '"') {
        r->at++;
        if (!take_quoted(r)) return false;
    } else {
        const size_t first = r->used;
        for (; !ends_field(r); r->at++)
            if (!put(r, peek(r))) return false;
        while (r->used > first && is_blank(r, r->text[r->used - 1])) r->used--;
    }
    r->n++;
    return put(r, 0);
}

/* Takes a line end, or nothing at the end of the file. */
static void end_line(reader *r)
{
    if (peek(r) == '\r') r->at++;
    else if (peek(r) == '\n') r->at++;
    if (r->at > 0 && r->file->data[r->at - 1] == '\r' && peek(r) == '\n') r->at++;
    r->next++;
}

/* The next record that is not an empty line; *more is false at the end of the file. */
static bool next_record(reader *r, bool *more)
{
    for (;;) {
        r->line = r->next;
        skip_blanks(r);
        *more = !at_end(r);
        if (!*more) return true;
        if (peek(r) != '\n' && peek(r) != '\r') break;
        end_line(r);
    }
    r->used = r->n = 0;
    for (;;) {
        if (!take_field(r)) return false;
        if (at_end(r) || peek(r) != r->separator) break;
        r->at++;
    }
    end_line(r);
    if (r->columns == 0) r->columns = r->n;
    return r->n == r->columns ||
           wrong(r, SIZE_MAX, "fields: %zu, but %zu in the first line", r->n, r->columns);
}

static const char *field_of(const reader *r, size_t column)
{
    return r->text + r->field[column];
}

/* ---- columns --------------------------------------------------------------------------------- */

static char *copy_of(const char *text, tg_status *status)
{
    char *const copy = tg__data_allocate(strlen(text) + 1, 1, "a name", status);
    return copy ? strcpy(copy, text) : NULL;
}

static bool keep_names(reader *r)
{
    r->name = tg__data_allocate(r->columns, sizeof *r->name, "names", r->status);
    for (size_t i = 0; r->name && i < r->columns; i++)
        if (!(r->name[i] = copy_of(field_of(r, i), r->status))) return false;
    return r->name;
}

/* The column that is meant: by its name, or by its number. */
static bool find_column(const reader *r, const char *meant, size_t *column)
{
    for (*column = 0; r->name && *column < r->columns; ++*column)
        if (strcmp(r->name[*column], meant) == 0) return true;
    char *end;
    const long long columns = (long long)r->columns, number = strtoll(meant, &end, 10);
    *column = (size_t)(number < 0 ? number + columns : number);
    if (*meant && !*end && number < columns && number >= -columns) return true;
    return tg__data_fail(r->status, TG_ERROR_ARGUMENT, "%s: no column \"%.100s\" among %zu%s",
                         r->file->name, meant, r->columns,
                         r->name ? "" : " (without a header they have numbers, from 0)");
}

/* Some columns, in order. */
typedef struct columns {
    size_t *column;
    size_t n;
} columns;

static bool choose(const reader *r, const char *const *meant, columns *c)
{
    size_t n = 0;
    while (meant && meant[n]) n++;
    c->column = tg__data_allocate(n, sizeof *c->column, "columns", r->status);
    if (!c->column) return false;
    for (; c->n < n; c->n++)
        if (!find_column(r, meant[c->n], c->column + c->n)) return false;
    return true;
}

/* All columns but the label's and the targets'. */
static bool choose_others(const reader *r, size_t label, const columns *target, columns *c)
{
    c->column = tg__data_allocate(r->columns, sizeof *c->column, "columns", r->status);
    for (size_t i = 0; c->column && i < r->columns; i++) {
        bool other = i != label;
        for (size_t k = 0; k < target->n; k++) other = other && i != target->column[k];
        if (other) c->column[c->n++] = i;
    }
    return c->column;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* Numbers as they come. */
typedef struct numbers {
    double *x;
    size_t n, room;
} numbers;

/* What is read: features, targets, and labels as text. */
typedef struct rows {
    columns feature, target;
    size_t label; /* column, or SIZE_MAX */
    size_t n;
    numbers x, y;
    char *text; /* labels, each with its zero byte */
    size_t text_used, text_room;
    size_t *at; /* (n) where each label begins */
    size_t at_room;
} rows;

static bool is_missing(const char *text)
{
    return !*text || strcmp(text, "?") == 0 || strcasecmp(text, "na") == 0 ||
           strcasecmp(text, "nan") == 0 || strcasecmp(text, "null") == 0;
}

/* A number of up to 15 digits is its digits over a power of ten, both exact in a double: one
   rounding (Clinger, How to read floating point numbers accurately, 1990). The rest is for strtod. */
static bool read_short_number(const char *p, double *x)
{
    static const double power[] = { 1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };
    const bool negative = *p == '-';
    int64_t digits = 0;
    int n = 0, behind = 0;
    bool point = false;
    for (p += negative; (*p >= '0' && *p <= '9') || (*p == '.' && !point); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        digits = 10 * digits + (*p - '0');
        behind += point;
        if (++n > 15) return false;
    }
    if (*p || n == 0) return false;
    *x = (double)digits / power[behind];
    if (negative) *x = -*x;
    return true;
}

static bool read_number(const reader *r, size_t column, double *x)
{
    const char *const text = field_of(r, column);
    if (read_short_number(text, x)) return true;
    if (is_missing(text)) {
        *x = NAN;
        return r->o->allow_missing || wrong(r, column, "the value is missing");
    }
    char *end;
    errno = 0;
    *x = strtod(text, &end);
    if (*end || strpbrk(text, "xX(")) return wrong(r, column, "'%.60s' is not a number", text);
    if (errno == ERANGE && fabs(*x) > 1)
        return wrong(r, column, "%.60s is too large for a number", text);
    return true;
}

static bool read_numbers(const reader *r, const columns *c, numbers *to)
{
    void *memory = to->x;
    const bool room = tg__data_grow(&memory, &to->room, to->n + c->n, sizeof *to->x, r->status);
    to->x = memory;
    for (size_t i = 0; room && i < c->n; i++)
        if (!read_number(r, c->column[i], to->x + to->n++)) return false;
    return room;
}

static bool read_label(const reader *r, rows *to)
{
    const char *const text = field_of(r, to->label);
    if (is_missing(text)) return wrong(r, to->label, "the label is missing");
    const size_t length = strlen(text) + 1;
    void *pool = to->text, *at = to->at;
    const bool room = tg__data_grow(&pool, &to->text_room, to->text_used + length, 1, r->status) &&
                      tg__data_grow(&at, &to->at_room, to->n + 1, sizeof *to->at, r->status);
    to->text = pool;
    to->at = at;
    if (!room) return false;
    to->at[to->n] = to->text_used;
    memcpy(to->text + to->text_used, text, length);
    to->text_used += length;
    return true;
}

static bool read_rows(reader *r, rows *to)
{
    bool more;
    if (!next_record(r, &more)) return false;
    if (more && r->o->header && (!keep_names(r) || !next_record(r, &more))) return false;
    if (!more) return wrong(r, SIZE_MAX, "the file has no rows");
    to->label = SIZE_MAX;
    if (r->o->label && !find_column(r, r->o->label, &to->label)) return false;
    if (!choose(r, r->o->target, &to->target)) return false;
    if (r->o->feature ? !choose(r, r->o->feature, &to->feature)
                      : !choose_others(r, to->label, &to->target, &to->feature))
        return false;
    while (more) {
        if (!read_numbers(r, &to->feature, &to->x) || !read_numbers(r, &to->target, &to->y) ||
            (r->o->label && !read_label(r, to)))
            return false;
        to->n++;
        if (!next_record(r, &more)) return false;
    }
    return true;
}

/* ---- labels ---------------------------------------------------------------------------------- */

/* A whole number from 0 that can be a label. */
static bool whole(const char *text, int *label)
{
    int64_t number = 0;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '9') return false;
        number = 10 * number + (*p - '0');
        if (number >= INT_MAX) return false;
    }
    *label = (int)number;
    return true;
}

static bool number_labels(const rows *from, tg_dataset *data)
{
    for (size_t i = 0; i < from->n; i++) {
        if (!whole(from->text + from->at[i], data->label + i)) return false;
        if (data->label[i] >= data->classes) data->classes = data->label[i] + 1;
    }
    return true;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Numbers the different labels in order. */
static bool name_labels(const rows *from, tg_dataset *data, tg_status *status)
{
    const char **const name = tg__data_allocate(from->n, sizeof *name, "labels", status);
    if (!name) return false;
    for (size_t i = 0; i < from->n; i++) name[i] = from->text + from->at[i];
    qsort(name, from->n, sizeof *name, by_text);
    size_t n = 0;
    for (size_t i = 0; i < from->n; i++)
        if (i == 0 || strcmp(name[n - 1], name[i]) != 0) name[n++] = name[i];
    bool good = n < INT_MAX;
    data->class_name =
        good ? tg__data_allocate(n, sizeof *data->class_name, "labels", status) : NULL;
    good = data->class_name;
    for (data->classes = 0; good && data->classes < (int)n; data->classes++)
        good = (data->class_name[data->classes] = copy_of(name[data->classes], status));
    for (size_t i = 0; good && i < from->n; i++) {
        const char *const text = from->text + from->at[i];
        const char **const found = bsearch(&text, name, n, sizeof *name, by_text);
        data->label[i] = (int)(found - name);
    }
    free(name);
    return good;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static bool name_features(const reader *r, const rows *from, tg_dataset *data)
{
    data->feature = tg__data_allocate(from->feature.n, sizeof *data->feature, "names", r->status);
    for (size_t i = 0; data->feature && i < from->feature.n; i++)
        if (!(data->feature[i] = copy_of(r->name[from->feature.column[i]], r->status)))
            return false;
    return data->feature;
}

/* The rows as a data set, which takes the numbers over. */
static tg_dataset *finish(const reader *r, rows *from)
{
    tg_dataset *const data = tg__data_allocate(1, sizeof *data, "a data set", r->status);
    if (!data) return NULL;
    data->n = (int64_t)from->n;
    data->d = (int64_t)from->feature.n;
    data->targets = (int64_t)from->target.n;
    data->x = from->x.x;
    data->y = from->y.x;
    from->x.x = from->y.x = NULL;
    bool good = data->x || (data->x = tg__data_allocate(0, 1, "a data set", r->status));
    if (good && from->label != SIZE_MAX) {
        data->label = tg__data_allocate(from->n, sizeof *data->label, "labels", r->status);
        good = data->label && (number_labels(from, data) || name_labels(from, data, r->status));
    }
    if (good && r->name) good = name_features(r, from, data);
    if (good) return data;
    tg_dataset_free(data);
    return NULL;
}

static void release(reader *r, rows *from)
{
    for (size_t i = 0; r->name && i < r->columns; i++) free(r->name[i]);
    free(r->name);
    free(r->text);
    free(r->field);
    free(from->feature.column);
    free(from->target.column);
    free(from->x.x);
    free(from->y.x);
    free(from->text);
    free(from->at);
}

tg_dataset *tg__csv_parse(const tg__file *file, const tg_csv_options *options, tg_status *status)
{
    static const tg_csv_options defaults;
    reader r = { .file = file, .o = options ? options : &defaults, .status = status, .next = 1 };
    rows from = { .n = 0 };
    const uint8_t *const zero = file->size ? memchr(file->data, 0, file->size) : NULL;
    r.separator = r.o->separator ? r.o->separator : ',';
    if (strchr("\"\n\r", r.separator))
        return tg__data_fail(status, TG_ERROR_ARGUMENT,
                             "%s: quotes and line ends cannot separate fields", file->name),
               NULL;
    if (zero)
        return tg__file_wrong(file, (size_t)(zero - file->data), status, "a zero byte: no text"),
               NULL;
    if (file->size >= 3 && memcmp(file->data, "\xef\xbb\xbf", 3) == 0)
        r.at = 3; /* byte order mark */
    /* Numbers are read by strtod, which asks the locale of this thread for the decimal point. */
    const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) return tg__data_no_memory(status, "a locale", 0), NULL;
    const locale_t before = uselocale(c);
    tg_dataset *const data = read_rows(&r, &from) ? finish(&r, &from) : NULL;
    uselocale(before);
    freelocale(c);
    release(&r, &from);
    return data;
}

tg_dataset *tg_csv_read(const char *path, const tg_csv_options *options, tg_status *status)
{
    tg__file file;
    if (!tg__file_open(path, &file, status)) return NULL;
    tg_dataset *const data = tg__csv_parse(&file, options, status);
    tg__file_close(&file);
    return data;
}
