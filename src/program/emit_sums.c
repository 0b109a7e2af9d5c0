/* Sums and their like: reductions, products of matrices, running sums. */
#include <inttypes.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/emit.h"

static const int in_order[TG_MAX_RANK] = { 0, 1, 2, 3, 4, 5, 6, 7 };

/* ---- sums and their like ----------------------------------------------------------------------- */

/* How elements become one. */
typedef struct folding {
    const char *start;
    const char *operation; /* " += "; NULL: by the function of an op */
    int op;
    bool wide; /* in double for either type */
} folding;

/* The variable in which elements become one: y itself, where that is all. */
static char variable_of(const tg__writing *w, const folding *f, double divisor)
{
    const bool wide = f->wide && w->e->g->type == TG_F32;
    return w->y->rank == 0 && !wide && divisor == 0 ? 'v' : 's';
}

static void write_step(const tg__writing *w, tg__nest *t, const folding *f, char s, bool product)
{
    tg__emitter *const e = w->e;
    tg__write_line(e, "%c%u%s", s, w->id, f->operation ? f->operation : " = ");
    if (!f->operation) {
        tg__emit_function(e, f->op);
        tg__write(e, "(%c%u, ", s, w->id);
    }
    if (!product && e->inlined[w->x[0]]) tg__emit_expression(e, t, w->x[0]);
    for (bool first = true; t->next < t->n; first = false) {
        tg__write(e, "%s", first ? "" : " * ");
        tg__emit_access(e, t, t->next++, NULL);
    }
    tg__write(e, "%s;", f->operation ? "" : ")");
}

/* y = the elements of the inner loops, as one. Access 0 is y; start NULL: begins with the next access;
   divisor: 0 for none. */
static void write_fold(const tg__writing *w, tg__nest *t, const folding *f, bool product,
                       const char *start, double divisor)
{
    tg__emitter *const e = w->e;
    const bool axes = w->y->rank > 0, wide = f->wide && e->g->type == TG_F32;
    const char s = variable_of(w, f, divisor);
    if (axes) tg__declare(e, w->id, false);
    tg__nest_merge(t);
    t->next = 1;
    const int outer = t->outer, inner = t->rank - outer;
    tg__open_loops(e, t, 0, outer, true);
    tg__write_line(e, "%s %c%u = %s", f->wide ? "double" : e->real, s, w->id, start ? start : "");
    if (!start) tg__emit_access(e, t, t->next++, NULL);
    tg__write(e, ";");
    tg__open_loops(e, t, outer, outer + inner, false);
    write_step(w, t, f, s, product);
    tg__close_loops(e, inner, false);
    if (s == 'v') return;
    tg__write_line(e, "%s", "");
    if (axes) tg__emit_access(e, t, 0, NULL);
    else tg__write(e, "const %s v%u", e->real, w->id);
    tg__write(e, " = %s", wide ? "(float)" : "");
    if (divisor != 0) tg__write(e, wide ? "(s%u / %.17g);" : "s%u / %.17g;", w->id, divisor);
    else tg__write(e, "s%u;", w->id);
    tg__close_loops(e, outer, true);
}

static void write_reduction(const tg__writing *w, const folding *f, bool mean)
{
    const tg__shape *const x = tg__shape_in(w, 0);
    tg__nest t;
    int loop[TG_MAX_RANK], y_axis[TG_MAX_RANK];
    double count = 1;
    tg__nest_reduced(&t, x, tg__reduced_in(w), w->y->rank == x->rank, loop, y_axis);
    for (int i = t.outer; i < t.rank; i++) count *= (double)t.dim[i];
    tg__nest_add(w->e, &t, w->id, w->y, y_axis);
    if (w->e->inlined[w->x[0]]) tg__nest_add_leaves(w->e, &t, w->x[0], x, loop);
    else tg__nest_add(w->e, &t, w->x[0], x, loop);
    write_fold(w, &t, f, false, f->start, mean ? count : 0);
}

static const folding sum = { "0", " += ", 0, true };

/* y's loops, and one over k: the sum of the product of two operands, which have their axes in the loops
   a and b; and to it operand 2, by its own. */
static void write_product(const tg__writing *w, int64_t k, const int *a, const int *b, const int *c)
{
    tg__nest t;
    tg__nest_over(&t, w->y);
    t.dim[t.rank++] = k;
    tg__nest_add(w->e, &t, w->id, w->y, (const int[]){ 0, 1, 2, 3, 4, 5, 6, 7, -1 });
    t.access[0].stride[t.rank - 1] = 0;
    if (c) tg__nest_by_axis(w->e, &t, w->x[2], c);
    tg__nest_by_axis(w->e, &t, w->x[0], a);
    tg__nest_by_axis(w->e, &t, w->x[1], b);
    write_fold(w, &t, &sum, true, c ? NULL : "0", 0);
}

static void write_matmul(const tg__writing *w)
{
    const tg__shape *const p = tg__shape_in(w, 0), *const q = tg__shape_in(w, 1);
    const int k = w->y->rank, rows = p->rank > 1, columns = q->rank > 1, batch = k - rows - columns;
    int a[TG_MAX_RANK], b[TG_MAX_RANK];
    for (int i = 0; i < p->rank - 2; i++) a[i] = batch - (p->rank - 2) + i;
    for (int i = 0; i < q->rank - 2; i++) b[i] = batch - (q->rank - 2) + i;
    if (rows) a[p->rank - 2] = batch;
    a[p->rank - 1] = k;
    b[columns ? q->rank - 2 : 0] = k;
    if (columns) b[q->rank - 1] = batch + rows;
    write_product(w, p->dim[p->rank - 1], a, b, NULL);
}

/* x (..., p) W (c, p)' + b (c) */
static void write_linear(const tg__writing *w)
{
    const int k = w->y->rank, last = k - 1;
    int a[TG_MAX_RANK];
    for (int i = 0; i < last; i++) a[i] = i;
    a[last] = k;
    write_product(w, tg__shape_in(w, 1)->dim[1], a, (const int[]){ last, k }, &last);
}

/* An equation's loops: by name; those of ..., n of them from `first` on. */
typedef struct named_loops {
    int of[128], first, n;
} named_loops;

/* The result's axes: behind the arrow, or, without one, ... and what stands there once, by name. */
static void name_loops(named_loops *l, const char *equation, const char *arrow, int rank)
{
    int n = 0, names = 0;
    memset(l, -1, sizeof *l);
    if (arrow) {
        for (const char *p = arrow + 2; *p; p++) names += *p != ' ' && *p != '.';
        for (const char *p = arrow + 2; *p; p++) {
            if (*p == '.' && l->first < 0) {
                l->first = n;
                n += rank - names;
            }
            if (*p != ' ' && *p != '.') l->of[*p & 127] = n++;
        }
        l->n = rank - names;
        return;
    }
    for (int name = 'z'; name >= 'A'; name--) {
        const char *const first = strchr(equation, name);
        if (first && !strchr(first + 1, name)) l->of[name] = rank - ++names;
    }
    l->first = 0;
    l->n = rank - names;
}

/* How many axes of operand i stand for ..., by its part of the equation. */
static int dots_of(const tg__writing *w, uint32_t i, const char *s, const char *end)
{
    int names = 0;
    for (const char *p = s; p < end; p++) names += *p != ' ' && *p != '.';
    return tg__shape_in(w, i)->rank - names;
}

/* The loop of a name or, from `first` on, of n axes of ..., made if there is none. -1: too many. */
static int loop_of(tg__nest *t, int *first, int n)
{
    if (*first < 0 && t->rank + n > TG__LOOPS) return -1;
    if (*first < 0) {
        *first = t->rank;
        for (int i = 0; i < n; i++) t->dim[t->rank++] = 1;
    }
    return *first;
}

/* The loops of an operand's axes; false if there are too many. */
static bool operand_loops(tg__nest *t, named_loops *l, const char *s, const char *end, const tg__shape *x,
                          int dots, int *axes)
{
    int n = 0;
    for (bool before = true; s < end; s++) {
        const bool all = *s == '.' && before;
        before = before && *s != '.';
        if (*s == ' ' || (*s == '.' && !all)) continue;
        const int loop = all ? loop_of(t, &l->first, l->n) : loop_of(t, &l->of[*s & 127], 1);
        if (loop < 0) return false;
        for (int i = 0; i < (all ? dots : 1); i++, n++) {
            axes[n] = all ? loop + l->n - dots + i : loop;
            if (x->dim[n] != 1) t->dim[axes[n]] = x->dim[n];
        }
    }
    return true;
}

static const char *end_of_operand(const char *s, const char *end)
{
    const char *const comma = memchr(s, ',', (size_t)(end - s));
    return comma ? comma : end;
}

static void write_einsum(const tg__writing *w)
{
    const char *s = ((const tg_einsum_attributes *)w->attributes)->equation;
    const char *const arrow = strstr(s, "->");
    const char *const end = arrow ? arrow : s + strlen(s);
    named_loops l;
    tg__nest t;
    tg__nest_over(&t, w->y);
    name_loops(&l, s, arrow, w->y->rank);
    tg__nest_add(w->e, &t, w->id, w->y, in_order);
    bool few = w->n < TG__LEAVES;
    for (uint32_t i = 0; i < w->n && few; i++) {
        const char *const stop = end_of_operand(s, end);
        int axes[TG_MAX_RANK];
        few = operand_loops(&t, &l, s, stop, tg__shape_in(w, i), dots_of(w, i, s, stop), axes);
        if (few) tg__nest_by_axis(w->e, &t, w->x[i], axes);
        s = stop + (stop < end);
    }
    if (few) write_fold(w, &t, &sum, true, "0", 0);
    else
        tg__graph_fail(w->e->g, TG_ERROR_ARGUMENT,
                       "einsum: there is no C for it: more than %d operands or %d axes",
                       TG__LEAVES - 1, TG__LOOPS);
}

/* ---- running sums ------------------------------------------------------------------------------ */

/* Along one axis, y[j] from y[j - 1] and x[j]: by an operator or a function, or by the recurrence. */
static void write_scan(const tg__writing *w, int code)
{
    tg__emitter *const e = w->e;
    const int axis = tg__axis(((const tg_last_attributes *)w->attributes)->axis, w->y->rank);
    tg__nest t = { .rank = w->y->rank, .outer = w->y->rank - 1 };
    int loop[TG_MAX_RANK], n = 0;
    for (int i = 0; i < w->y->rank; i++)
        if (i != axis) loop[n++] = i;
    loop[n] = axis;
    for (int i = 0; i < t.rank; i++) t.dim[i] = w->y->dim[loop[i]];
    tg__nest_add(e, &t, w->id, w->y, loop);
    for (uint32_t i = 0; i < w->n; i++) tg__nest_add(e, &t, w->x[i], w->y, loop);
    tg__declare(e, w->id, false);
    const int outer = t.rank - 1;
    tg__open_loops(e, &t, 0, outer, true);
    tg__write_line(e, "%s s%u = ", code == TG__CODE_cumsum ? "double" : e->real, w->id);
    if (code == TG__CODE_logcumsumexp) tg__write(e, "-%sINFINITY", e->suffix[0] ? "" : "(double)");
    else tg__write(e, code == TG__CODE_cumprod ? "1" : "0");
    tg__write(e, ";");
    tg__open_loops(e, &t, outer, t.rank, true);
    if (code == TG__CODE_logcumsumexp) {
        tg__write_line(e, "s%u = ", w->id);
        tg__emit_function(e, TG__CODE_logaddexp);
        tg__write(e, "(s%u, ", w->id);
        tg__emit_access(e, &t, 1, NULL);
        tg__write(e, ");");
    } else if (code == TG__CODE_recurrence) {
        tg__write_line(e, "s%u = ", w->id);
        tg__emit_function(e, TG__CODE_times);
        tg__write(e, "(s%u, ", w->id);
        tg__emit_access(e, &t, 1, NULL);
        tg__write(e, ") + ");
        tg__emit_access(e, &t, 2, NULL);
        tg__write(e, ";");
    } else {
        tg__write_line(e, "s%u %s ", w->id, code == TG__CODE_cumprod ? "*=" : "+=");
        tg__emit_access(e, &t, 1, NULL);
        tg__write(e, ";");
    }
    tg__write_line(e, "%s", "");
    tg__emit_access(e, &t, 0, NULL);
    tg__write(e, " = %ss%u;", code == TG__CODE_cumsum && e->suffix[0] ? "(float)" : "", w->id);
    tg__close_loops(e, outer + 1, true);
}
/* ---- all --------------------------------------------------------------------------------------- */

bool tg__emit_sum_op(const tg__writing *w, int code)
{
    static const folding product = { "1", " *= ", 0, false };
    const bool single = w->e->g->type == TG_F32;
    const folding largest = { single ? "-INFINITY" : "-(double)INFINITY", NULL, TG__CODE_maximum,
                              false };
    const folding smallest = { single ? "INFINITY" : "(double)INFINITY", NULL, TG__CODE_minimum,
                               false };
    switch (code) {
    case TG__CODE_sum: write_reduction(w, &sum, false); return true;
    case TG__CODE_mean: write_reduction(w, &sum, true); return true;
    case TG__CODE_prod: write_reduction(w, &product, false); return true;
    case TG__CODE_amax: write_reduction(w, &largest, false); return true;
    case TG__CODE_amin: write_reduction(w, &smallest, false); return true;
    case TG__CODE_matmul:
    case TG__CODE_mv:
    case TG__CODE_dot: write_matmul(w); return true;
    case TG__CODE_outer:
        write_product(w, 1, (const int[]){ 0 }, (const int[]){ 1 }, NULL);
        return true;
    case TG__CODE_linear: write_linear(w); return true;
    case TG__CODE_einsum: write_einsum(w); return true;
    case TG__CODE_cumsum:
    case TG__CODE_cumprod:
    case TG__CODE_logcumsumexp:
    case TG__CODE_recurrence: write_scan(w, code); return true;
    default: return false;
    }
}
