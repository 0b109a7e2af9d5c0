/* Writes docs/reference.md from the op table: every operation with what it means, its formula and
   derivatives, attributes, shapes, corners, and an example that is computed here.

       reference OUTPUT [ACCURACY]
       reference --check PAGE [ACCURACY]       whether the page is up to date

   ACCURACY is what tests/accuracy printed. */
#define _POSIX_C_SOURCE 200809L /* open_memstream */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tapegrad.h>

#include "ops/attributes.h"
#include "ops/op.h"
#include "tape/record.h"

typedef struct note {
    int code;
    const char *family, *corner;
    bool packed; /* its function is one of tapegrad/factors.h */
} note;

static const note notes[] = {
#include "notes.inl" /* generated: code, family, corner, packed */
};

enum { MOST = 4096 };

static FILE *out;

/* ---- operands, reproducible and short to read -------------------------------------------------- */

static double pick(const tg__sample *s, int64_t i, bool whole)
{
    const double u = fmod(0.37 + 0.618033988749895 * (double)(i + 1), 1);
    if (whole) return floor(s->lo + u * (s->hi - s->lo + 1));
    return round((s->lo + u * (s->hi - s->lo)) * 100) / 100;
}

static bool is_diagonal(const tg__sample *s, int64_t j)
{
    if (s->rank < 2) return false;
    const int64_t columns = s->dim[s->rank - 1];
    return j % columns == j / columns % s->dim[s->rank - 2];
}

static tg_value operand(tg_tape *t, const tg__sample *s, bool index, int i)
{
    double x[MOST];
    int64_t whole[MOST], n = 1;
    for (int k = 0; k < s->rank; k++) n *= s->dim[k];
    for (int64_t j = 0; j < n; j++) {
        x[j] = pick(s, j + 3 * i, index) + (is_diagonal(s, j) ? s->diagonal : 0);
        whole[j] = (int64_t)x[j];
    }
    return index ? tg_index_new(t, sizeof *whole, whole, s->rank, s->dim, NULL)
                 : tg_leaf_new(t, TG_PARAMETER, TG_F64, x, s->rank, s->dim, NULL);
}

/* ---- one operation ----------------------------------------------------------------------------- */

static void write_array(const double *x, int64_t n)
{
    if (n != 1) fputc('[', out);
    for (int64_t i = 0; i < n; i++) fprintf(out, "%s%.4g", i ? ", " : "", x[i]);
    if (n != 1) fputc(']', out);
}

static void write_value(tg_value v, bool gradient)
{
    double x[MOST];
    const int64_t n = tg_size(v);
    if (gradient) tg_grad_read(v, x, (size_t)n);
    else tg_read(v, x, (size_t)n);
    write_array(x, n);
}

static const char *shape_text(tg_value v, char *text, size_t size)
{
    tg__shape s = { .rank = tg_rank(v) };
    for (int i = 0; i < s.rank; i++) s.dim[i] = tg_dim(v, i);
    return tg__shape_text(&s, text, size);
}

static const char *operand_name(int n, int i)
{
    static const char *const names[] = { "a", "b", "c", "d", "e", "f" };
    return n == 1 ? "x" : names[i % 6];
}

static tg__case case_of(const tg__op *op, int number)
{
    if (op->kind != TG__MAP) return op->cases[number];
    tg__case c = { .n = number ? 0 : tg__operands(op->letters) };
    for (int i = 0; i < c.n; i++)
        c.x[i] = (tg__sample){ op->range[i].lo, op->range[i].hi, 1, { 3 }, 0 };
    return c;
}

/* Records a case; the operands are in x. */
static tg_value record(tg_tape *t, int code, const tg__case *c, tg_value *x)
{
    const tg__op *const op = tg__ops[code];
    for (int i = 0; i < c->n; i++)
        x[i] = operand(t, &c->x[i], tg__letter(op->letters, i) == 'i', i);
    return tg__record(code, x, c->n, c->attributes, NULL);
}

static void write_shapes(int code)
{
    const tg__op *const op = tg__ops[code];
    fprintf(out, "- shapes: ");
    for (int k = 0; case_of(op, k).n; k++) {
        const tg__case c = case_of(op, k);
        tg_tape *const t = tg_tape_new(NULL);
        tg_value x[TG__SAMPLES];
        char text[200];
        const tg_value y = record(t, code, &c, x);
        fprintf(out, "%s", k ? "; " : "");
        for (int i = 0; i < c.n; i++)
            fprintf(out, "%s%s", i ? " " : "", shape_text(x[i], text, sizeof text));
        if (c.attributes) {
            tg__attributes_print(op->attributes, c.attributes, text, sizeof text);
            fprintf(out, "%s%s", *text ? ", " : "", text);
        }
        fprintf(out, " → %s", shape_text(y, text, sizeof text));
        tg_tape_free(t);
    }
    fputc('\n', out);
}

/* The first case that is short enough to read, with the gradient of the sum of its elements. */
static void write_example(int code)
{
    const tg__op *const op = tg__ops[code];
    for (int k = 0; case_of(op, k).n; k++) {
        const tg__case c = case_of(op, k);
        tg_tape *const t = tg_tape_new(NULL);
        tg_value x[TG__SAMPLES];
        const tg_value y = record(t, code, &c, x);
        int64_t longest = tg_size(y);
        for (int i = 0; i < c.n; i++)
            if (tg_size(x[i]) > longest) longest = tg_size(x[i]);
        const bool floating = tg_type_of(y) != TG_I64 && strpbrk(op->letters, "lnc");
        if (longest > 0 && longest <= 12 && tg_size(y) > 0) {
            fprintf(out, "- example: ");
            for (int i = 0; i < c.n; i++) {
                fprintf(out, "%s%s = ", i ? ", " : "", operand_name(c.n, i));
                write_value(x[i], false);
            }
            fprintf(out, " → ");
            write_value(y, false);
            if (floating && tg_backward(tg_sum(y)))
                for (int i = 0; i < c.n; i++) {
                    const char letter = tg__letter(op->letters, i);
                    if (letter == '0' || letter == 'i') continue;
                    fprintf(out, ", gradient%s%s ", c.n > 1 ? " by " : "",
                            c.n > 1 ? operand_name(c.n, i) : "");
                    write_value(x[i], true);
                }
            fputc('\n', out);
            tg_tape_free(t);
            return;
        }
        tg_tape_free(t);
    }
}

static void write_attributes(const tg__op *op)
{
    if (!op->attributes->fields) return;
    fprintf(out, "- attributes:");
    for (int i = 0; i < op->attributes->fields; i++)
        fprintf(out, "%s `.%s`", i ? "," : "", op->attributes->field[i].name);
    fprintf(out, " (`tg_%s_attributes`)\n", op->attributes->name);
}

/* Lines of the accuracy tool's table: "name value f64 ulp" or "name by x f64 ulp". */
static void write_accuracy(const char *table, const char *name)
{
    const size_t n = strlen(name);
    bool first = true;
    for (const char *line = table; line && *line; line = strchr(line, '\n') + 1) {
        char operand[8] = "", type[8], ulp[16];
        const bool of_name = strncmp(line, name, n) == 0 && line[n] == ' ';
        if (of_name && (sscanf(line + n, " value %7s %15s", type, ulp) == 2 ||
                        sscanf(line + n, " by %7s %7s %15s", operand, type, ulp) == 3)) {
            fprintf(out, "%s %s%s %s %s", first ? "- worst error seen, ulp:" : ",",
                    *operand ? "by " : "value", operand, type, ulp);
            first = false;
        }
        if (!strchr(line, '\n')) break;
    }
    if (!first) fputc('\n', out);
}

static const note *note_of(int code)
{
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
        if (notes[i].code == code) return &notes[i];
    return &notes[0];
}

/* How it is called. */
static void write_call(const char *name, int code)
{
    const tg__op *const op = tg__ops[code];
    const int n = tg__operands(op->letters);
    const bool equation = op->attributes == &tg__attributes_einsum;
    fprintf(out, "`%s(", name);
    if (equation) fprintf(out, "\"...\", a, b, ...");
    else if (n < 0) fprintf(out, "TG_VALUES(a, b, ...)");
    for (int i = 0; i < n; i++) fprintf(out, "%s%s", i ? ", " : "", operand_name(n, i));
    if (note_of(code)->packed) fprintf(out, ", &part, ...)` of `tapegrad/factors.h`");
    else fprintf(out, "%s)`", op->attributes->fields && !equation ? ", ..." : "");
}

static void write_op(const char *name, int code, const char *accuracy)
{
    const tg__op *const op = tg__ops[code];
    const int n = tg__operands(op->letters);
    fprintf(out, "### %s\n\n", name);
    if (strcmp(name, op->name) != 0) {
        fprintf(out, "Another name of %s.\n\n", op->name);
        return;
    }
    write_call(name, code);
    fprintf(out, ": %s.\n\n", op->doc);
    if (op->value) fprintf(out, "- value: `%s`\n", op->value);
    for (int i = 0; op->value && i < n; i++)
        if (op->letters[i] != '0')
            fprintf(out, "- derivative by %s: `%s`\n", operand_name(n, i), op->derivative[i]);
    if (!strpbrk(op->letters, "lnc")) fprintf(out, "- no gradient\n");
    write_attributes(op);
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++)
        if (notes[i].code == code && *notes[i].corner)
            fprintf(out, "- corner: %s\n", notes[i].corner);
    write_accuracy(accuracy, name);
    write_shapes(code);
    write_example(code);
    fputc('\n', out);
}

/* ---- the page ---------------------------------------------------------------------------------- */

static void write_page(const char *accuracy)
{
    fprintf(out,
            "# Reference\n\nMade from the op table by `ninja -C build docs/reference.md`: %d "
            "names. Each is "
            "`tg_NAME`, and NAME with `tapegrad/short.h`.\nConventions and corners in general are "
            "in [ops.md](ops.md). Examples give the gradient of the sum of the result.\n"
            "The worst errors were met among 10^7 random inputs, or more, and the neighbours of zeros, poles and "
            "seams; those of one operand in f32 among all numbers.\n\n",
            tg_op_count());
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        const char *const family = notes[i].family;
        bool seen = false;
        for (size_t j = 0; j < i; j++) seen |= strcmp(notes[j].family, family) == 0;
        if (seen) continue;
        fprintf(out, "## %s\n\n", family);
        for (int k = 0; k < tg_op_count(); k++) {
            tg_op_info info;
            tg_op_at(k, &info);
            const int code = tg__find(info.name);
            if (strcmp(note_of(code)->family, family) == 0) write_op(info.name, code, accuracy);
        }
    }
}

static char *read_all(const char *path)
{
    FILE *const f = fopen(path, "r");
    char *const text = calloc(1, 1 << 20);
    if (!f || !text) {
        perror(path);
        exit(1);
    }
    text[fread(text, 1, (1 << 20) - 1, f)] = 0;
    fclose(f);
    return text;
}

/* Whether the page in the file is what would be written. */
static bool is_up_to_date(const char *path, const char *accuracy)
{
    char *page = NULL;
    size_t size;
    out = open_memstream(&page, &size);
    if (!out) return false;
    write_page(accuracy);
    fclose(out);
    char *const there = read_all(path);
    const bool same = strcmp(page, there) == 0;
    free(page);
    free(there);
    if (!same)
        fprintf(stderr,
                "%s is not what the op table says: ninja -C build docs/reference.md, and copy "
                "build/docs/reference.md there\n",
                path);
    return same;
}

int main(int argc, char **argv)
{
    const bool check = argc > 1 && strcmp(argv[1], "--check") == 0;
    argv += check;
    argc -= check;
    if (argc < 2 || argc > 3) {
        fprintf(stderr,
                "usage: reference OUTPUT [ACCURACY], or reference --check PAGE [ACCURACY]\n");
        return 1;
    }
    char *const accuracy = argc > 2 ? read_all(argv[2]) : NULL;
    bool ok = false;
    if (check) {
        ok = is_up_to_date(argv[1], accuracy);
    } else if (!(out = fopen(argv[1], "w"))) {
        perror(argv[1]);
    } else {
        write_page(accuracy);
        ok = fclose(out) == 0;
    }
    free(accuracy);
    return ok ? 0 : 1;
}
