/* What depends on the order of elements: sorting, medians, where the largest is. An op brings each line
   of its operand, along one axis or several, into an array, and orders the positions there. */
#include <inttypes.h>
#include <math.h>

#include "codes.h" /* generated */
#include "program/emit.h"

/* Lines of operand 0: loops across them, then along. Access 0 is the result, 1 the operand, 2 the place
   in the line. */
typedef struct lines {
    tg__nest t;
    int64_t n; /* elements of a line */
} lines;

/* Along these axes of x, which the result has not if it is reduced. */
static lines lines_along(const tg__writing *w, unsigned axes, bool reduced)
{
    const tg__shape *const x = tg__shape_in(w, 0);
    lines l = { .n = 1 };
    int loop[TG_MAX_RANK], y_axis[TG_MAX_RANK];
    tg__nest_reduced(&l.t, x, axes, !reduced || w->y->rank == x->rank, loop, y_axis);
    if (reduced) tg__nest_add(w->e, &l.t, w->id, w->y, y_axis);
    else l.t.access[l.t.n++] = (tg__access){ .node = w->id };
    for (int i = 0; !reduced && i < l.t.rank; i++) l.t.access[0].stride[i] = w->y->stride[loop[i]];
    tg__nest_add(w->e, &l.t, w->x[0], x, loop);
    tg__nest_index(&l.t, l.t.outer);
    for (int i = l.t.outer; i < l.t.rank; i++) l.n *= l.t.dim[i];
    return l;
}

/* Opens the loops across lines, each of which is read to line5. */
static void open_lines(const tg__writing *w, const lines *l)
{
    tg__emitter *const e = w->e;
    const tg__nest *const t = &l->t;
    tg__declare_room(e, e->real, "line", w->id, l->n);
    tg__declare_room(e, "int", "at", w->id, l->n > 1 ? l->n : 2);
    tg__open_loops(e, t, 0, t->outer, true);
    tg__open_loops(e, t, t->outer, t->rank, false);
    tg__write_line(e, "line%u[", w->id);
    tg__emit_index(e, t, 2);
    tg__write(e, "] = ");
    tg__emit_access(e, t, 1, NULL);
    tg__write(e, ";");
    tg__close_loops(e, t->rank - t->outer, false);
}

/* "sort(5, line3, true, at3)", of the parts. */
static void write_call(const tg__writing *w, const lines *l, const char *part, const char *order)
{
    tg__emit_part(w->e, part);
    tg__write(w->e, "%s_%s(%" PRId64 ", line%u, %sat%u)", w->e->all->name, part, l->n, w->id, order,
              w->id);
}

/* The first k of each line in order, or their positions. */
static void write_first(const tg__writing *w, int axis, int64_t k, bool falling, bool positions)
{
    tg__emitter *const e = w->e;
    lines l = lines_along(w, 1u << tg__axis(axis, tg__shape_in(w, 0)->rank), false);
    tg__nest *const t = &l.t;
    tg__declare(e, w->id, false);
    open_lines(w, &l);
    tg__write_line(e, "%s", "");
    write_call(w, &l, "sort", falling ? "true, " : "false, ");
    tg__write(e, ";");
    t->dim[t->outer] = k;
    tg__open_loops(e, t, t->outer, t->rank, false);
    tg__write_line(e, "%s", "");
    tg__emit_access(e, t, 0, NULL);
    tg__write(e, positions ? " = at%u[" : " = line%u[at%u[", w->id, w->id);
    tg__emit_index(e, t, 2);
    tg__write(e, positions ? "];" : "]];");
    tg__close_loops(e, 1, false);
    tg__close_loops(e, t->outer, true);
}

static void write_median(const tg__writing *w)
{
    tg__emitter *const e = w->e;
    const lines l = lines_along(w, tg__reduced_in(w), true);
    tg__declare(e, w->id, false);
    open_lines(w, &l);
    tg__write_line(e, "%s", "");
    tg__emit_access(e, &l.t, 0, NULL);
    tg__write(e, " = ");
    if (l.n) write_call(w, &l, "median", "");
    else tg__emit_number(e, (double)NAN);
    tg__write(e, ";");
    tg__close_loops(e, l.t.outer, true);
}

/* 1, or a half at each of two. */
static void write_median_weights(const tg__writing *w)
{
    tg__emitter *const e = w->e;
    const lines l = lines_along(w, tg__reduced_in(w), false);
    const tg__nest *const t = &l.t;
    const char *const real = e->suffix[0] ? "(float)" : "";
    tg__declare(e, w->id, false);
    open_lines(w, &l);
    tg__write_line(e, "%s", "");
    write_call(w, &l, "middle", "");
    tg__write(e, ";");
    tg__open_loops(e, t, t->outer, t->rank, false);
    tg__write_line(e, "%s", "");
    tg__emit_access(e, t, 0, NULL);
    tg__write(e, " = ");
    tg__emit_number(e, 0.5);
    tg__write(e, " * %s((", real);
    tg__emit_index(e, t, 2);
    tg__write(e, " == at%u[0]) + (", w->id);
    tg__emit_index(e, t, 2);
    tg__write(e, " == at%u[1]));", w->id);
    tg__close_loops(e, t->rank - t->outer, false);
    tg__close_loops(e, t->outer, true);
}

/* The position of the first largest or smallest element; of the first NaN if there is any. */
static void write_extreme(const tg__writing *w, bool largest)
{
    tg__emitter *const e = w->e;
    const uint32_t id = w->id;
    const lines l = lines_along(w, tg__reduced_in(w), true);
    const tg__nest *const t = &l.t;
    tg__declare(e, id, false);
    tg__open_loops(e, t, 0, t->outer, true);
    tg__write_line(e, "int64_t at%u = 0;", id);
    tg__write_line(e, "%s s%u = %s%sINFINITY;", e->real, id, largest ? "-" : "",
                   e->suffix[0] ? "" : "(double)");
    const int along = t->rank - t->outer, last = along > 0;
    tg__open_loops(e, t, t->outer, t->rank - last, false);
    tg__open_loops(e, t, t->rank - last, t->rank, true);
    if (!along) tg__write_line(e, "{");
    e->depth += !along;
    tg__write_line(e, "const %s x = ", e->real);
    tg__emit_access(e, t, 1, NULL);
    tg__write(e, ";");
    tg__write_line(e, "if (x %c s%u || (x != x && s%u == s%u)) {", largest ? '>' : '<', id, id, id);
    e->depth++;
    tg__write_line(e, "s%u = x;", id);
    tg__write_line(e, "at%u = ", id);
    tg__emit_index(e, t, 2);
    tg__write(e, ";");
    e->depth--;
    tg__write_line(e, "}");
    e->depth -= !along;
    if (!along) tg__write_line(e, "}");
    tg__close_loops(e, last, true);
    tg__close_loops(e, along - last, false);
    tg__write_line(e, "%s", "");
    tg__emit_access(e, t, 0, NULL);
    tg__write(e, " = at%u;", id);
    tg__close_loops(e, t->outer, true);
}

bool tg__emit_order_op(const tg__writing *w, int code)
{
    const tg_order_attributes *const order = w->attributes;
    const tg_topk_attributes *const top = w->attributes;
    switch (code) {
    case TG__CODE_sort:
    case TG__CODE_argsort: {
        const tg__shape *const x = tg__shape_in(w, 0);
        write_first(w, order->axis, x->dim[tg__axis(order->axis, x->rank)], order->descending,
                    code == TG__CODE_argsort);
        return true;
    }
    case TG__CODE_topk:
    case TG__CODE_argtopk:
        write_first(w, top->axis, top->k, top->largest, code == TG__CODE_argtopk);
        return true;
    case TG__CODE_median: write_median(w); return true;
    case TG__CODE_median_weights: write_median_weights(w); return true;
    case TG__CODE_argmax: write_extreme(w, true); return true;
    case TG__CODE_argmin: write_extreme(w, false); return true;
    default: return false;
    }
}
