/* A row for every operation of the op table, made from the table: recording its value, and
   recording and walking back. Elementwise operations on a row of 1000 elements, others on the first
   of their cases for the checks. f64, eager, warm. */
#include <stdlib.h>
#include <string.h>
#include <tapegrad.h>

#include "draw.h"
#include "ops/op.h"
#include "tape/record.h"
#include "report.h"

enum { ROW = 1000, MAX_OPERANDS = 4, REPEATS = 7 };

typedef struct row {
    tg_tape *tape;
    tg_mark mark;
    int code, n;
    tg_value x[MAX_OPERANDS];
    const void *attributes;
    double *ones; /* a cotangent for any result here */
} row;

static uint64_t seed = 1;

static tg_value real_operand(tg_tape *t, const tg__sample *s, int64_t n)
{
    double *data = calloc((size_t)n + 1, sizeof *data);
    const int64_t columns = s->rank > 1 ? s->dim[s->rank - 1] : 1;
    const int64_t rows = s->rank > 1 ? s->dim[s->rank - 2] : 1;
    for (int64_t i = 0; data && i < n; i++) {
        data[i] = draw(&seed, s->lo, s->hi);
        if (i % columns == i / columns % rows) data[i] += s->diagonal;
    }
    const tg_value v = tg_leaf_new(t, TG_PARAMETER, TG_F64, data, s->rank, s->dim, NULL);
    free(data);
    return v;
}

static tg_value index_operand(tg_tape *t, const tg__sample *s, int64_t n)
{
    int64_t *data = calloc((size_t)n + 1, sizeof *data);
    for (int64_t i = 0; data && i < n; i++) data[i] = (int64_t)draw(&seed, s->lo, s->hi + 1);
    const tg_value v = tg_index_new(t, sizeof *data, data, s->rank, s->dim, NULL);
    free(data);
    return v;
}

static tg_value operand(tg_tape *t, char letter, const tg__sample *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->rank; i++) n *= s->dim[i];
    return letter == 'i' ? index_operand(t, s, n) : real_operand(t, s, n);
}

/* Way 0 records, way 1 also walks back; then all is taken back. */
static void work(int way, void *user)
{
    const row *r = user;
    const tg_value y = tg__record(r->code, r->x, r->n, r->attributes, NULL);
    if (way == 1) tg_backward_with(y, &(tg_backward_options){ .cotangent = r->ones });
    tg_release(r->mark);
}

static bool measure(int code, double *ones)
{
    static const side sides[] = { SIDE_EAGER, SIDE_EAGER };
    const tg__op *op = tg__ops[code];
    if (!report_wants(op->name, NULL)) return true;
    row r = { .tape = tg_tape_new(NULL), .code = code, .ones = ones };
    const tg__case *c = op->kind == TG__MAP ? NULL : op->cases;
    r.n = c ? c->n : tg__operands(op->letters);
    r.attributes = c ? c->attributes : NULL;
    for (int i = 0; i < r.n; i++) {
        tg__sample s = { .rank = 1, .dim = { ROW } };
        if (c) s = c->x[i];
        else s.lo = op->range[i].lo, s.hi = op->range[i].hi;
        r.x[i] = operand(r.tape, tg__letter(op->letters, i), &s);
    }
    if (!r.n) { /* custom: what it is depends on its caller */
        tg_tape_free(r.tape);
        return true;
    }
    r.mark = tg_tape_mark(r.tape);
    const bool gradient = op->kind == TG__VIEW || strpbrk(op->letters, "lnc") != NULL;
    timing t[2];
    report_time(gradient ? 2 : 1, sides, work, &r, REPEATS, t);
    bench_row line = { .name = op->name, .size = c ? "case" : "1000", .type = "f64", .per = "call" };
    for (int i = 0; i < 1 + gradient; i++) {
        line.layout = i ? "gradient" : "value";
        line.side[SIDE_EAGER] = t[i];
        report_row(&line);
    }
    const bool ok = !tg_error_of(r.tape);
    tg_tape_free(r.tape);
    return ok;
}

int main(int argc, char **argv)
{
    bool ok = true;
    double *ones = malloc(1000000 * sizeof *ones);
    if (!ones) return 1;
    for (int i = 0; i < 1000000; i++) ones[i] = 1;
    report_begin(argc, argv, "ops", "A row for every operation: recording its value, and recording and walking back.");
    report_title("kernels of level %s; elementwise operations on %d elements, others on their first case",
                 tg__kernels_for(TG_F64)->level, ROW);
    for (int code = 1; code < tg__op_count; code++) ok = measure(code, ones) && ok;
    free(ones);
    return report_end() || !ok;
}
