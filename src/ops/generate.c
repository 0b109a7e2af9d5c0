/* The generator, run by the build: reads the rows of the op table from the family files (TG_OP,
   TG_VIEW, TG_MAP1 ... at the start of a line) and writes whatever comes from them: the public
   prototypes and macros, the short names, the list of op codes, the normalised formulas, the
   reference page. It reads rows as text; what a row means is op.h's.

       generate KIND OUTPUT FAMILY.c ...      KIND: ops.h short.h codes.h maps.inl maps_index.h
   table.inl api.inl map_api.inl derive.h map_derive.inl notes.inl cpp.inl

   For cpp.inl it also reads the structs and the defaults of tapegrad/attributes.h, a last FAMILY. */
#define _POSIX_C_SOURCE 200809L
#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/expression.h"

enum { MAX_ROWS = 512, MAX_ARGUMENTS = 12, MAX_FORMULAS = 4 };

typedef struct row {
    const char *macro, *name, *letters, *attributes, *doc, *family, *corner;
    const char *formula[MAX_FORMULAS]; /* value, then derivatives */
    const char *range[3];
    int operands; /* -1: any number */
    bool map, pick, view, part, packed;
    const char *alias_of;
} row;

static row rows[MAX_ROWS];
static int n_rows;
static const char *file_name;
static FILE *out;

static _Noreturn void die(const char *text, const char *at, const char *format, ...)
{
    int line = 1;
    for (const char *p = text; at && p < at; p++) line += *p == '\n';
    fprintf(stderr, "%s:%d: ", file_name, line);
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static void emit(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
}

/* ---- reading --------------------------------------------------------------------------------- */

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) die("", NULL, "cannot be read");
    size_t size = 0, room = 1 << 16;
    char *text = malloc(room);
    for (size_t got; text && (got = fread(text + size, 1, room - size - 1, f)) > 0;) {
        size += got;
        if (size + 1 == room) text = realloc(text, room *= 2);
    }
    fclose(f);
    if (!text) die("", NULL, "no memory");
    text[size] = 0;
    return text;
}

/* One argument, without the white space around it; white space inside becomes one blank. A string
   loses its quotes. */
static char *argument(const char *from, const char *to)
{
    while (from < to && isspace((unsigned char)*from)) from++;
    while (to > from && isspace((unsigned char)to[-1])) to--;
    char *text = calloc((size_t)(to - from) + 1, 1), *p = text;
    if (*from == '"') {
        for (bool inside = false; from < to; from++) {
            if (*from == '"') inside = !inside;
            else if (inside) *p++ = *from;
        }
        return text;
    }
    for (; from < to; from++) {
        if (!isspace((unsigned char)*from)) *p++ = *from;
        else if (p > text && p[-1] != ' ') *p++ = ' ';
    }
    return text;
}

/* The end of a string literal or of a bracketed argument list. */
static const char *skip(const char *text, const char *p)
{
    if (*p == '"') {
        for (p++; *p && *p != '"'; p++) p += *p == '\\';
        return p;
    }
    int depth = 0;
    for (const char *start = p; *p; p++) {
        if (*p == '"') p = skip(text, p);
        depth += (*p == '(') - (*p == ')');
        if (depth == 0) return p;
        if (p - start > 4000) break;
    }
    die(text, p, "a row without its closing parenthesis");
}

static int arguments(const char *text, const char *open, const char **result)
{
    const char *close = skip(text, open), *from = open + 1;
    int n = 0;
    for (const char *p = from; p <= close; p++) {
        if (p < close && (*p == '(' || *p == '"')) {
            p = skip(text, p);
        } else if (p == close || *p == ',') {
            if (n == MAX_ARGUMENTS) die(text, p, "too many arguments");
            result[n++] = argument(from, p);
            from = p + 1;
        }
    }
    return n;
}

static void check_formula(const char *text, const char *at, const char *formula)
{
    for (const char *p = strchr(formula, '/'); p; p = strchr(p + 1, '/')) {
        const char *left = p, *right = p + 1;
        while (left > formula && left[-1] == ' ') left--;
        const char *end = left;
        while (left > formula && (isalnum((unsigned char)left[-1]) || left[-1] == '.')) left--;
        while (*right == ' ') right++;
        const bool whole_left =
            left < end && isdigit((unsigned char)*left) && !memchr(left, '.', (size_t)(end - left));
        const size_t length = strspn(right, "0123456789.");
        if (whole_left && length && !memchr(right, '.', length))
            die(text, at, "integer division in \"%s\": write one side with a point", formula);
    }
}

static int count_operands(const char *letters)
{
    const size_t n = strlen(letters);
    return n && letters[n - 1] == '*' ? -1 : (int)n;
}

/* "reduce" for src/ops/reduce.c */
static char *family_of(const char *path)
{
    const char *const name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    return argument(name, name + strcspn(name, "."));
}

/* What the comment that ends before the row says of its corners: it begins with "Corner:". */
static char *corner_before(const char *text, const char *row_start)
{
    static const char mark[] = "/* Corner:";
    const char *end = row_start;
    while (end > text && isspace((unsigned char)end[-1])) end--;
    if (end - text < 2 || memcmp(end - 2, "*/", 2) != 0) return argument(text, text);
    const char *start = end - 2;
    while (start > text && memcmp(start, "/*", 2) != 0) start--;
    if (strncmp(start, mark, strlen(mark)) != 0) return argument(text, text);
    return argument(start + strlen(mark), end - 2);
}

/* One row: macro names it, text is the file, open the parenthesis behind the macro. */
static void read_row(const char *text, const char *macro, const char *open)
{
    enum { MAP = 1, PICK = 2, VIEW = 4, PART = 8, PACKED = 16 };
    static const struct {
        const char *macro;
        int arguments, flags, operands;
    } forms[] = {
        { "TG_OP", 4, 0, 0 },
        { "TG_OP_ZERO", 4, 0, 0 },
        { "TG_OP_PACKED", 4, PACKED, 0 },
        { "TG_OP_WRITES", 4, 0, 0 },
        { "TG_OP_KEEPS", 4, 0, 0 },
        { "TG_VIEW", 3, VIEW, 0 },
        { "TG_ALIAS", 2, 0, 0 },
        { "TG_MAP1", 6, MAP, 1 },
        { "TG_MAP2", 8, MAP, 2 },
        { "TG_MAP3", 10, MAP, 3 },
        { "TG_PICK1", 6, MAP | PICK, 1 },
        { "TG_PICK2", 8, MAP | PICK, 2 },
        { "TG_PICK3", 10, MAP | PICK, 3 },
        { "TG_PART", 4, PART, 0 },
        { "TG_PART_ZERO", 4, PART, 0 },
        { "TG_PART_VIEW", 3, PART | VIEW, 0 },
        { "TG_PART1", 6, PART | MAP, 1 },
        { "TG_PART2", 8, PART | MAP, 2 },
        { "TG_PART3", 10, PART | MAP, 3 },
        { "TG_PART_PICK2", 8, PART | MAP | PICK, 2 },
    };
    size_t f = 0;
    while (f < sizeof forms / sizeof *forms && strcmp(forms[f].macro, macro) != 0) f++;
    if (f == sizeof forms / sizeof *forms) return;

    const char *a[MAX_ARGUMENTS];
    const int n = arguments(text, open, a);
    if (n != forms[f].arguments)
        die(text, open, "%s takes %d arguments, not %d", macro, forms[f].arguments, n);
    if (n_rows == MAX_ROWS) die(text, open, "too many ops for the generator");
    for (int i = 0; i < n_rows; i++)
        if (strcmp(rows[i].name, a[0]) == 0) die(text, open, "a second op with the name %s", a[0]);

    row *r = &rows[n_rows++];
    *r = (row){ .macro = forms[f].macro,
                .name = a[0],
                .family = family_of(file_name),
                .corner = corner_before(text, open - strlen(macro)),
                .map = forms[f].flags & MAP,
                .pick = forms[f].flags & PICK,
                .view = forms[f].flags & VIEW,
                .part = forms[f].flags & PART,
                .packed = forms[f].flags & PACKED };
    if (strcmp(macro, "TG_ALIAS") == 0) {
        r->alias_of = a[1];
        return;
    }
    r->letters = r->view ? "l" : a[1];
    r->attributes = r->map ? "none" : r->view ? a[1] : a[2];
    r->doc = r->map ? a[2] : r->view ? a[2] : a[3];
    r->operands = count_operands(r->letters);
    if (r->operands != -1 && strspn(r->letters, "ln0ic") != strlen(r->letters))
        die(text, open, "letters are l, n, 0, i and c, not \"%s\"", r->letters);
    if (!r->map) return;
    if (r->operands != forms[f].operands)
        die(text, open, "%s needs %d letters", a[0], forms[f].operands);
    for (int i = 0; i <= r->operands; i++) check_formula(text, open, r->formula[i] = a[3 + i]);
    for (int i = 0; i < r->operands; i++) r->range[i] = a[4 + r->operands + i];
}

static void read_family(const char *path)
{
    file_name = path;
    const char *text = read_file(path);
    for (const char *p = text; *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : p + strlen(p)) {
        if (strncmp(p, "TG_", 3) != 0) continue;
        char macro[32];
        const size_t length = strspn(p, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
        if (length >= sizeof macro || p[length] != '(') continue;
        memcpy(macro, p, length);
        macro[length] = 0;
        read_row(text, macro, p + length);
    }
}

/* Elementwise ops come first: their codes index the kernel tables. Code 0 is the leaf. */
static void sort_rows(void)
{
    row sorted[MAX_ROWS];
    int n = 0;
    for (int pass = 0; pass < 3; pass++)
        for (int i = 0; i < n_rows; i++)
            if ((rows[i].alias_of ? 2 : rows[i].map ? 0 : 1) == pass) sorted[n++] = rows[i];
    memcpy(rows, sorted, sizeof sorted);
}

static const row *find(const char *name)
{
    for (int i = 0; i < n_rows; i++)
        if (!rows[i].alias_of && strcmp(rows[i].name, name) == 0) return &rows[i];
    fprintf(stderr, "generate: an alias of %s, which is no op\n", name);
    exit(1);
}

static int code_of(const row *r)
{
    return (int)(r - rows) + 1;
}

static bool has_attributes(const row *r)
{
    return strcmp(r->attributes, "none") != 0;
}
static bool is_list(const row *r)
{
    return strcmp(r->attributes, "list") == 0;
}
static bool is_equation(const row *r)
{
    return strcmp(r->attributes, "einsum") == 0;
}

/* Formulas of + - * / alone are short enough to be inlined into the user's code. */
static bool inlined(const row *r)
{
    return r->map && !r->part && r->operands <= 2 && strspn(r->formula[0], "xab +-*/") == strlen(r->formula[0]);
}

/* ---- writing --------------------------------------------------------------------------------- */

static void banner(void)
{
    emit("/* Made from the op table by src/ops/generate.c: do not edit. */\n");
}

/* "tg_value a, tg_value b, " or with commas between and no types */
static void operand_list(const row *r, const char *before, bool last_comma)
{
    static const char *const names[] = { "a", "b", "c", "d" };
    for (int i = 0; i < r->operands; i++)
        emit("%s%s%s", before, r->operands == 1 ? "x" : names[i],
             i + 1 < r->operands || last_comma ? ", " : "");
}

static void parameters(const row *r, bool site)
{
    const bool attributes = has_attributes(r);
    if (r->operands < 0) emit("const tg_value *x, int n%s", attributes || site ? ", " : "");
    else operand_list(r, "tg_value ", attributes || site);
    if (attributes) emit("const tg_%s_attributes *attributes%s", r->attributes, site ? ", " : "");
    if (site) emit("const tg_site *site");
}

static void prototypes(const char *name, const row *r)
{
    emit("/* %s: %s. */\n", name, r->doc);
    emit("TG_API tg_value tg_%s(", name);
    parameters(r, false);
    emit(");\nTG_API tg_value tg_%s_at(", name);
    parameters(r, true);
    emit(");\n");
}

static void inline_function(const row *r)
{
    emit("static inline tg_value tg__inline_%s(", r->name);
    operand_list(r, "tg_value v", true);
    emit("const tg_site *site)\n{\n    tg__head *h = tg__fast%d(", r->operands);
    operand_list(r, "v", true);
    emit("site);\n    if (!h) return tg_%s_at(", r->name);
    operand_list(r, "v", true);
    emit("site);\n");
    const char *first = r->operands == 1 ? "x" : "a", *second = r->operands == 1 ? "x" : "b";
    emit("    const double %s = h->values[v%s.id];\n", first, first);
    if (r->operands == 2) emit("    const double b = h->values[vb.id];\n");
    emit("    return tg__append(h, %d, v%s.id, v%s.id, %s);\n}\n", code_of(r), first, second,
         r->formula[0]);
}

/* The function behind the macro: inline where there is one. */
static const char *callee(const char *name, const row *r)
{
    static char text[128];
    snprintf(text, sizeof text, inlined(r) ? "tg__inline_%s" : "tg_%s_at", name);
    return text;
}

static void call_macro(const char *prefix, const char *name, const row *r)
{
    if (is_list(r))
        emit("#define %s%s(...) TG__LIST_CALL(tg_%s_at, __VA_ARGS__, 0)\n", prefix, name, name);
    else if (is_equation(r))
        emit("#define %s%s(text, ...) TG__EQUATION_CALL(tg_%s_at, text, __VA_ARGS__)\n", prefix,
             name, name);
    else if (r->operands < 0)
        emit("#define %s%s(...) TG__VALUES_CALL(tg_%s_at, %s, __VA_ARGS__, )\n", prefix, name, name,
             r->attributes);
    else if (has_attributes(r))
        emit("#define %s%s(...) TG__ATTRIBUTES_CALL%d(tg_%s_at, %s, __VA_ARGS__, )\n", prefix, name,
             r->operands, name, r->attributes);
    else {
        emit("#define %s%s(", prefix, name);
        operand_list(r, "", false);
        emit(") TG__CALL%d(%s, ", r->operands, callee(name, r));
        operand_list(r, "", false);
        emit(")\n");
    }
}

/* Every name that the library has for its users, but for those in tapegrad/factors.h. */
static void each(void (*write)(const char *name, const row *r))
{
    for (int i = 0; i < n_rows; i++)
        if (!rows[i].part && !rows[i].packed)
            write(rows[i].name, rows[i].alias_of ? find(rows[i].alias_of) : &rows[i]);
}

static void public_macro(const char *name, const row *r)
{
    call_macro("tg_", name, r);
}

static void write_ops_h(void)
{
    banner();
    emit("/* The operations: a function each, tg_NAME, and in C a macro of the same name that also "
         "takes numbers for operands,\n"
         "   attributes as designators, and passes its position on: tg_sum(tg_mul(2, x), .axis = "
         "1). (tg_NAME)(...) and\n"
         "   tg_NAME_at are the functions themselves; attributes NULL: the defaults.\n"
         "   Every operation returns a value on its operands' tape, which owns it; after an error, "
         "a null value (tape.h). */\n"
         "#ifndef TAPEGRAD_OPS_H\n#define TAPEGRAD_OPS_H\n\n#include <tapegrad/attributes.h>\n"
         "#include <tapegrad/inline.h>\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    each(prototypes);
    emit("\n#ifdef __cplusplus\n}\n#else\n\n#if TG__INLINE\n");
    for (int i = 0; i < n_rows; i++)
        if (!rows[i].alias_of && inlined(&rows[i])) inline_function(&rows[i]);
    emit("#else\n");
    for (int i = 0; i < n_rows; i++)
        if (!rows[i].alias_of && inlined(&rows[i]))
            emit("#define tg__inline_%s tg_%s_at\n", rows[i].name, rows[i].name);
    emit("#endif\n\n");
    each(public_macro);
    emit("#endif\n#endif\n");
}

/* Names that <math.h> has too, as functions of doubles. They keep their meaning for numbers. */
static bool in_libm(const char *name)
{
    static const char *const names[] = {
        "acos",      "acosh", "asin",  "asinh",  "atan", "atan2", "atanh", "cbrt",  "ceil",
        "copysign",  "cos",   "cosh",  "erf",    "erfc", "exp",   "exp2",  "expm1", "floor",
        "fma",       "fmod",  "hypot", "lgamma", "log",  "log10", "log1p", "log2",  "pow",
        "remainder", "round", "sin",   "sinh",   "sqrt", "tan",   "tanh",  "trunc",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0) return true;
    return false;
}

/* How numbers are treated by a short name that C has too: the type of the result, the function, and
   the type of its arguments. NULL: C has no such name. */
static const char *const *c_function(const char *name)
{
    static const char *const own[][4] = {
        { "abs", "int", "(abs)", "int" },
        { "isnan", "int", "__builtin_isnan", "double" },
        { "isfinite", "int", "__builtin_isfinite", "double" },
    };
    static char call[64];
    static const char *libm[4] = { NULL, "double", call, "double" };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(name, own[i][0]) == 0) return own[i];
    snprintf(call, sizeof call, "(%s)", name);
    return in_libm(name) ? libm : NULL;
}

static void short_macro(const char *name, const row *r)
{
    emit("#undef %s\n", name);
    const char *const *c = c_function(name);
    if (!c) {
        call_macro("", name, r);
        return;
    }
    emit("static inline %s tg__number_%s(", c[1], name);
    operand_list(r, "tg_value ", true);
    emit("const tg_site *site)\n{\n    (void)site;\n    return %s(", c[2]);
    for (int i = 0; i < r->operands; i++)
        emit("%s(%s)tg__number_of(%s)", i ? ", " : "", c[3],
             r->operands == 1 ? "x" : (const char *[]){ "a", "b", "c" }[i]);
    emit(");\n}\n#define %s(", name);
    operand_list(r, "", false);
    emit(") TG__SHORT%d(%s, tg__number_%s, ", r->operands, callee(name, r), name);
    operand_list(r, "", false);
    emit(")\n");
}

static void write_short_h(void)
{
    banner();
    emit(
        "/* Short names: add, mul, sum, ... without prefix. Include it after every other header "
        "and never in a header.\n"
        "   Names of <math.h> and abs keep their meaning for numbers: exp(2.0) is libm's. Names of "
        "libc functions that are\n"
        "   hidden by a short name are reached in parentheses: (select)(...), (index)(...), "
        "(div)(...). */\n"
        "#ifndef TAPEGRAD_SHORT_H\n#define TAPEGRAD_SHORT_H\n\n#ifndef __cplusplus\n\n#include "
        "<math.h>\n#include <stdlib.h>\n"
        "#include <tapegrad.h>\n\ntypedef tg_value Value;\n\n"
        "#define param(...) tg_param(__VA_ARGS__)\n#define input(...) tg_input(__VA_ARGS__)\n"
        "#define constant(...) tg_constant(__VA_ARGS__)\n#define index(...) tg_index(__VA_ARGS__)\n"
        "#define scalar(...) tg_scalar(__VA_ARGS__)\n#define number(...) tg_number(__VA_ARGS__)\n"
        "#define zeros(...) tg_zeros(__VA_ARGS__)\n#define ones(...) tg_ones(__VA_ARGS__)\n"
        "#define full(...) tg_full(__VA_ARGS__)\n#define arange(...) tg_arange(__VA_ARGS__)\n"
        "#define linspace(...) tg_linspace(__VA_ARGS__)\n#define eye(...) tg_eye(__VA_ARGS__)\n"
        "#define uniform(...) tg_uniform(__VA_ARGS__)\n#define normal(...) tg_normal(__VA_ARGS__)\n"
        "#define bernoulli(...) tg_bernoulli(__VA_ARGS__)\n"
        "#define permutation(...) tg_permutation(__VA_ARGS__)\n"
        "#define detach(x) tg_detach(x)\n\n");
    each(short_macro);
    for (int i = 0; i < n_rows; i++)
        if (rows[i].packed)
            emit("#define %s(...) tg_%s(__VA_ARGS__)\n", rows[i].name, rows[i].name);
    emit("\n#endif\n#endif\n");
}

/* ---- C++ ------------------------------------------------------------------------------------- */

static char *attributes_h; /* without comments and continued lines */

static void read_attributes(const char *path)
{
    file_name = path;
    char *text = read_file(path), *to = text;
    attributes_h = text;
    for (const char *p = text; *p;) {
        if (strncmp(p, "/*", 2) == 0) {
            const char *const end = strstr(p, "*/");
            if (!end) die(text, p, "a comment without an end");
            p = end + 2;
        } else if (strncmp(p, "\\\n", 2) == 0) {
            p += 2;
        } else {
            *to++ = *p++;
        }
    }
    *to = 0;
}

/* What stands behind .NAME = in TG_DEFAULTS_KIND, up to the next field. */
static char *default_of(const char *kind, const char *name)
{
    static const char start[] = "#define TG_DEFAULTS_";
    const char *define = attributes_h;
    for (const char *p = define; (p = strstr(p, start)); p++)
        if (strncmp(p + strlen(start), kind, strlen(kind)) == 0 &&
            p[strlen(start) + strlen(kind)] == ' ')
            define = p;
    char mark[128];
    const char *const end = define + strcspn(define, "\n");
    snprintf(mark, sizeof mark, ".%s = ", name);
    const char *const from = strstr(define, mark);
    if (!from || from > end) die(attributes_h, NULL, "no default for %s of %s", name, kind);
    const char *to = from + strlen(mark);
    for (int depth = 0; to < end && (depth || *to != ','); to++)
        depth += (*to == '{') - (*to == '}');
    return argument(from + strlen(mark), to);
}

/* An aggregate with default initialisers, and how it becomes the struct of C. */
static void attributes_class(const char *kind)
{
    char mark[128];
    snprintf(mark, sizeof mark, "typedef struct tg_%s_attributes {", kind);
    const char *p = strstr(attributes_h, mark);
    if (!p) die(attributes_h, NULL, "there is no struct of the attributes of %s", kind);
    char names[512] = "";
    emit("struct %s_attributes {\n", kind);
    for (p += strlen(mark); *(p += strspn(p, " \n")) != '}';) {
        const char *const end = strchr(p, ';');
        const char *name = end;
        while (isalnum((unsigned char)name[-1]) || name[-1] == '_') name--;
        char *const field = argument(name, end);
        emit("    %s %s = %s;\n", argument(p, name), field, default_of(kind, field));
        if (strlen(names) + strlen(field) + 3 > sizeof names) die("", NULL, "too many attributes");
        strcat(strcat(names, *names ? ", " : ""), field);
        p = end + 1;
    }
    emit("    operator tg_%s_attributes() const { return { %s }; }\n};\n", kind, names);
}

static bool has_class(const row *r)
{
    return has_attributes(r) && !is_list(r) && !is_equation(r);
}

static void cpp_function(const char *name, const row *r)
{
    emit("/* %s: %s. */\n", name, r->doc);
    if (is_list(r)) emit("template <class... N> ");
    else emit("inline ");
    emit("value %s(", name);
    if (is_equation(r)) emit("const char *equation, ");
    if (r->operands < 0) emit("const operands &x");
    else operand_list(r, "const operand &", false);
    if (is_list(r)) emit(", N... n");
    if (has_class(r)) emit(", const %s_attributes &attributes = {}", r->attributes);
    emit(")\n{\n");
    if (has_attributes(r))
        emit("    const tg_%s_attributes own = %s;\n", r->attributes,
             is_list(r)       ? "detail::list_of(n...)"
             : is_equation(r) ? "detail::equation_of(equation)"
                              : "attributes");
    emit("    return detail::made((tg_%s_at)(", name);
    if (r->operands < 0) {
        emit("x.c.data(), x.count(), ");
    } else {
        static const char *const names[] = { "a", "b", "c", "d" };
        for (int i = 0; i < r->operands; i++) emit("%s.c, ", r->operands == 1 ? "x" : names[i]);
    }
    emit("%s&%s.site));\n}\n", has_attributes(r) ? "&own, " : "",
         r->operands == 1 || r->operands < 0 ? "x" : "a");
}

static void write_cpp_inl(void)
{
    if (!attributes_h) die("", NULL, "cpp.inl needs attributes.h");
    banner();
    emit("/* The operations for C++, part of <tapegrad.hpp>, which includes this inside its "
         "namespace. */\n"
         "#ifndef TAPEGRAD_HPP\n#error \"include <tapegrad.hpp>\"\n#endif\n\n");
    for (int i = 0; i < n_rows; i++) {
        bool known = rows[i].alias_of || rows[i].part || rows[i].packed || !has_class(&rows[i]);
        for (int j = 0; j < i && !known; j++)
            known = !rows[j].part && !rows[j].packed && !rows[j].alias_of &&
                    strcmp(rows[j].attributes, rows[i].attributes) == 0;
        if (!known) attributes_class(rows[i].attributes);
    }
    emit("\n");
    each(cpp_function);
}

static void write_codes_h(void)
{
    banner();
    emit("/* Op codes. */\n#ifndef TG_CODES_H\n#define TG_CODES_H\n\nenum {\n    TG__LEAF = 0,\n");
    for (int i = 0; i < n_rows; i++)
        if (!rows[i].alias_of) emit("    TG__CODE_%s = %d,\n", rows[i].name, code_of(&rows[i]));
    emit("};\n\n#endif\n");
}

static void write_maps_index_h(void)
{
    banner();
    emit("#ifndef TG_MAPS_INDEX_H\n#define TG_MAPS_INDEX_H\n/* The codes of elementwise ops, the first of all. */\n"
         "enum {\n");
    for (int i = 0; i < n_rows; i++)
        if (rows[i].map) emit("    TG__MAP_%s = %d,\n", rows[i].name, code_of(&rows[i]));
    emit("    TG__MAPS\n};\n#endif\n");
}

/* A formula with its floating constants wrapped, so that each type's kernels get constants of that
   type. */
static void formula(const char *text)
{
    for (const char *p = text; *p;) {
        const bool starts = isdigit((unsigned char)*p) &&
                            (p == text || !(isalnum((unsigned char)p[-1]) || p[-1] == '_'));
        if (!starts) {
            emit("%c", *p++);
            continue;
        }
        size_t length = strspn(p, "0123456789.");
        if (p[length] == 'e') length += 1 + strspn(p + length + 1, "+-0123456789");
        const bool whole = !memchr(p, '.', length) && !memchr(p, 'e', length);
        emit(whole ? "%.*s" : "R(%.*s)", (int)length, p);
        p += length;
    }
}

static void write_maps_inl(void)
{
    banner();
    emit("/* For each elementwise op MAPn(name, value), then for each operand TERMn(name, kind, "
         "operand, derivative), or\n"
         "   ZERO(name, operand) where it has no gradient, then END(name). kind is TIMES, or PICK "
         "where a derivative of 0\n"
         "   contributes exactly 0. */\n");
    for (int i = 0; i < n_rows; i++) {
        const row *r = &rows[i];
        if (!r->map) continue;
        emit("MAP%d(%s, ", r->operands, r->name);
        formula(r->formula[0]);
        emit(")\n");
        for (int j = 0; j < r->operands; j++) {
            if (r->letters[j] == '0') {
                emit("ZERO(%s, %d)\n", r->name, j);
                continue;
            }
            emit("TERM%d(%s, %s, %d, ", r->operands, r->name, r->pick ? "PICK" : "TIMES", j);
            formula(r->formula[1 + j]);
            emit(")\n");
        }
        emit("END(%s)\n", r->name);
    }
}

static void write_table_inl(void)
{
    banner();
    for (int i = 0; i < n_rows; i++)
        if (!rows[i].alias_of) emit("extern const tg__op tg__op_%s;\n", rows[i].name);
    int n = 1;
    emit("\nconst tg__op *const tg__ops[] = {\n    &tg__op_leaf,\n");
    for (int i = 0; i < n_rows; i++) {
        if (rows[i].alias_of) continue;
        emit("    &tg__op_%s,\n", rows[i].name);
        n++;
    }
    emit("};\n\nconst int tg__op_count = %d;\n\nstatic const struct { const char *name; int code; "
         "} names[] = {\n",
         n);
    for (int i = 0; i < n_rows; i++)
        if (!rows[i].part)
            emit("    { \"%s\", %d },\n", rows[i].name,
                 code_of(rows[i].alias_of ? find(rows[i].alias_of) : &rows[i]));
    emit("};\n");
}

/* d_NAME: how derivative rules record. */
static void write_derive_h(void)
{
    banner();
    emit("/* The operations as derivative rules call them: recorded where d says. */\n"
         "#ifndef TG_DERIVE_H\n#define TG_DERIVE_H\n\n");
    for (int i = 0; i < n_rows; i++) {
        const row *r = &rows[i];
        if (r->alias_of) continue;
        emit("static inline tg_value d_%s(const tg__derivation *d, ", r->name);
        parameters(r, false);
        emit(")\n{\n    return d->to->apply(d->to, %d, ", code_of(r));
        if (r->operands < 0) emit("x, n, ");
        else {
            emit("(const tg_value[]){ ");
            operand_list(r, "", false);
            emit(" }, %d, ", r->operands);
        }
        emit("%s);\n}\n", has_attributes(r) ? "attributes" : "NULL");
    }
    emit("\n#endif\n");
}

/* ---- derivatives of formulas as recorded operations ------------------------------------------- */

enum { MAX_STEPS = 256 };

static char *text_of(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = malloc((size_t)n + 1);
    if (!text) die("", NULL, "no memory");
    va_start(args, format);
    vsnprintf(text, (size_t)n + 1, format, args);
    va_end(args);
    return text;
}

static const row *row_of(const tg__step *step)
{
    for (int i = 0; i < n_rows; i++)
        if (!rows[i].alias_of && strlen(rows[i].name) == step->length &&
            memcmp(rows[i].name, step->text, step->length) == 0)
            return &rows[i];
    return NULL;
}

/* What one step pushes, as C; stack holds what its operands pushed. */
static char *pushed(const row *r, const char *formula, const tg__step *step, char **stack)
{
    if (step->kind == TG__STEP_NUMBER) return text_of("d->to->number(%.17g)", step->number);
    if (step->kind == TG__STEP_NAME) {
        static const char *const names[] = { "a", "b", "c" };
        const char name = step->length == 1 ? *step->text : ' ';
        if (name == 'y') return text_of("d->y");
        for (int i = 0; i < r->operands; i++)
            if (name == (r->operands == 1 ? 'x' : *names[i])) return text_of("d->x[%d]", i);
        die(formula, NULL, "%s: \"%s\": there is no operand %.*s", r->name, formula,
            (int)step->length, step->text);
    }
    const row *callee = step->kind == TG__STEP_CALL ? row_of(step) : NULL;
    if (!callee || !callee->map || callee->operands != step->operands || step->attributes)
        die(formula, NULL, "%s: \"%s\": %.*s is no elementwise operation of %d operands", r->name,
            formula, (int)step->length, step->text, step->operands);
    char *text = text_of("d_%s(d", callee->name);
    for (int i = 0; i < step->operands; i++) text = text_of("%s, %s", text, stack[i]);
    return text_of("%s)", text);
}

/* The derivative's formula as an expression in d_NAME; its value if it is a number. */
static char *recorded(const row *r, const char *formula, bool *is_number, double *x)
{
    tg__step step[MAX_STEPS];
    tg__expression e = { .text = formula, .step = step, .room = MAX_STEPS };
    if (!tg__expression_read(&e))
        die(formula, NULL, "%s: \"%s\", character %zu: %s", r->name, formula, e.at + 1, e.message);
    char *stack[MAX_STEPS];
    int top = 0;
    for (int i = 0; i < e.steps; i++) {
        top -= step[i].operands;
        stack[top] = pushed(r, formula, &step[i], stack + top);
        top++;
    }
    *is_number = e.steps == 1 && step[0].kind == TG__STEP_NUMBER;
    *x = step[0].number;
    return stack[0];
}

static void write_map_derive_inl(void)
{
    banner();
    emit("/* For each operand of each elementwise op, what an incoming gradient contributes. */\n");
    for (int i = 0; i < n_rows; i++) {
        const row *r = &rows[i];
        for (int j = 0; r->map && j < r->operands; j++) {
            if (r->letters[j] == '0') continue;
            bool is_number;
            double x;
            const char *derivative = recorded(r, r->formula[1 + j], &is_number, &x);
            emit("static tg_value %s_by_%d(const tg__derivation *d)\n{\n    return ", r->name, j);
            if (is_number && x == 1) emit("d->g");
            else if (is_number && x == -1) emit("d_neg(d, d->g)");
            else emit("d_%s(d, d->g, %s)", r->pick ? "pick" : "times", derivative);
            emit(";\n}\n");
        }
    }
    emit("\ntg__contribution *const tg__contributions[][3] = {\n    { NULL },\n");
    for (int i = 0; i < n_rows; i++) {
        if (!rows[i].map) continue;
        emit("    { ");
        for (int j = 0; j < rows[i].operands; j++)
            if (rows[i].letters[j] == '0') emit("NULL, ");
            else emit("%s_by_%d, ", rows[i].name, j);
        emit("},\n");
    }
    emit("};\n");
}

/* The public function without a position, and the one with it. */
static void public_functions(const char *name, const row *r, void (*body)(const row *r))
{
    emit("tg_value (tg_%s_at)(", name);
    parameters(r, true);
    emit(")\n{\n");
    body(r);
    emit("}\ntg_value (tg_%s)(", name);
    parameters(r, false);
    emit(")\n{\n    return (tg_%s_at)(", name);
    if (r->operands < 0) emit("x, n, ");
    else operand_list(r, "", true);
    emit("%sNULL);\n}\n", has_attributes(r) ? "attributes, " : "");
}

static void record_body(const row *r)
{
    emit("    return tg__record(%d, ", code_of(r));
    if (r->operands < 0) {
        emit("x, n, ");
    } else {
        emit("(const tg_value[]){ ");
        operand_list(r, "", false);
        emit(" }, %d, ", r->operands);
    }
    emit("%s, site);\n", has_attributes(r) ? "attributes" : "NULL");
}

/* On plain scalars the value is computed and appended here. */
static void map_body(const row *r)
{
    if (r->operands <= 2) {
        const char *first = r->operands == 1 ? "x" : "a", *second = r->operands == 1 ? "x" : "b";
        emit("    tg__head *h = tg__fast%d(", r->operands);
        operand_list(r, "", true);
        emit("site);\n    if (h) return tg__append(h, %d, %s.id, %s.id, value_%s(", code_of(r),
             first, second, r->name);
        emit(r->operands == 1 ? "h->values[x.id]" : "h->values[a.id], h->values[b.id]");
        emit("));\n");
    }
    if (r->operands == 2) emit("    return record_two(%d, a, b, site);\n", code_of(r));
    else record_body(r);
}

static void api(const char *name, const row *r)
{
    if (!r->map) public_functions(name, r, record_body);
}

static void map_api(const char *name, const row *r)
{
    if (r->map) public_functions(name, r, map_body);
}

static void write_api_inl(void)
{
    banner();
    each(api);
}

static void write_map_api_inl(void)
{
    banner();
    each(map_api);
}

/* For the reference: code, family, what stands in the comment before the row after "Corner:",
   whether it is packed. */
static void write_notes_inl(void)
{
    banner();
    for (int i = 0; i < n_rows; i++)
        if (!rows[i].alias_of && !rows[i].part)
            emit("{ %d, \"%s\", \"%s\", %d },\n", code_of(&rows[i]), rows[i].family,
                 rows[i].corner, rows[i].packed);
}

/* Writes the file, unless it says that already: what depends on it is not built again then. */
static bool replace(const char *path, const char *text)
{
    FILE *f = fopen(path, "r");
    if (f) fclose(f);
    if (f && strcmp(read_file(path), text) == 0) return true;
    f = fopen(path, "w");
    if (f && fputs(text, f) >= 0 && fclose(f) == 0) return true;
    perror(path);
    return false;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *kind;
        void (*write)(void);
    } outputs[] = {
        { "ops.h", write_ops_h },
        { "short.h", write_short_h },
        { "codes.h", write_codes_h },
        { "maps.inl", write_maps_inl },
        { "maps_index.h", write_maps_index_h },
        { "table.inl", write_table_inl },
        { "api.inl", write_api_inl },
        { "map_api.inl", write_map_api_inl },
        { "derive.h", write_derive_h },
        { "map_derive.inl", write_map_derive_inl },
        { "notes.inl", write_notes_inl },
        { "cpp.inl", write_cpp_inl },
    };
    if (argc < 4) {
        fprintf(stderr, "usage: generate KIND OUTPUT FAMILY.c ...\n");
        return 1;
    }
    for (int i = 3; i < argc; i++) {
        const size_t length = strlen(argv[i]);
        if (length > 2 && strcmp(argv[i] + length - 2, ".h") == 0) read_attributes(argv[i]);
        else read_family(argv[i]);
    }
    sort_rows();
    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; i++) {
        if (strcmp(outputs[i].kind, argv[1]) != 0) continue;
        char *text;
        size_t size;
        if (!(out = open_memstream(&text, &size))) die("", NULL, "no memory");
        outputs[i].write();
        fclose(out);
        return replace(argv[2], text) ? 0 : 1;
    }
    fprintf(stderr, "generate: no output of the kind %s\n", argv[1]);
    return 1;
}
