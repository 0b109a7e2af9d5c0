/* Elements by index. */
#include <inttypes.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/emit.h"

static const int in_order[TG_MAX_RANK] = { 0, 1, 2, 3, 4, 5, 6, 7 };

/* ---- indices ----------------------------------------------------------------------------------- */

/* Accesses y, x (node 0: ones), index: y = x at the index, or, with operation " += ", added to. The index steps through
   `of`, access 0 or 1, which has `length` places for it. */
static void write_indexed(const tg__writing *w, tg__nest *t, int of, int64_t length, int64_t stride,
                          const char *operation)
{
    tg__emitter *const e = w->e;
    const int loops = t->rank;
    char more[48] = "at";
    if (stride != 1) snprintf(more, sizeof more, "%" PRId64 " * at", stride);
    tg__open_loops(e, t, 0, loops, true);
    if (!loops) {
        tg__write_line(e, "{");
        e->depth++;
    }
    tg__write_line(e, "const int64_t at = ");
    tg__emit_access(e, t, 2, NULL);
    tg__write(e, ";");
    tg__write_line(e, "assert(0 <= at && at < %" PRId64 ");", length);
    e->all->asserts = true;
    tg__write_line(e, "%s", "");
    tg__emit_access(e, t, 0, of == 0 ? more : NULL);
    tg__write(e, "%s", operation);
    if (t->access[1].node) tg__emit_access(e, t, 1, of == 1 ? more : NULL);
    else tg__write(e, "1");
    tg__write(e, ";");
    if (!loops) {
        e->depth--;
        tg__write_line(e, "}");
    }
    tg__close_loops(e, loops, true);
}

/* Index along an axis of x, elsewhere the same position in both: x is access `of`, the other is by the
   index's shape. */
static void write_along(const tg__writing *w, uint32_t to, uint32_t from, int of, const char *operation)
{
    const int axis = tg__axis(((const tg_axis_attributes *)w->attributes)->axis, tg__shape_in(w, 0)->rank);
    const tg__shape *const index = tg__shape_in(w, 1);
    tg__nest t;
    tg__nest_over(&t, index);
    const uint32_t node[] = { to, from, w->x[1] };
    for (int i = 0; i < 3; i++) {
        const tg__shape *const s = tg__node_shape(w->e->g, node[i]);
        t.access[t.n++] = (tg__access){ .node = node[i], .offset = tg__node_offset(w->e->g, node[i]) };
        for (int j = 0; j < index->rank; j++) t.access[i].stride[j] = s->stride[j];
    }
    const int64_t stride = t.access[of].stride[axis];
    t.access[of].stride[axis] = 0;
    write_indexed(w, &t, of, tg__shape_in(w, 0)->dim[axis], stride, operation);
}

/* Whole rows of x: where x has the axis, y has those of the index. */
static void write_rows(const tg__writing *w, int axis)
{
    const tg__shape *const x = tg__shape_in(w, 0), *const index = tg__shape_in(w, 1);
    tg__nest t;
    tg__nest_over(&t, w->y);
    tg__nest_add(w->e, &t, w->id, w->y, in_order);
    t.access[t.n++] = (tg__access){ .node = w->x[0], .offset = tg__node_offset(w->e->g, w->x[0]) };
    t.access[t.n++] = (tg__access){ .node = w->x[1], .offset = tg__node_offset(w->e->g, w->x[1]) };
    for (int i = 0; i < w->y->rank; i++) {
        const int j = i - axis;
        const bool indexed = j >= 0 && j < index->rank;
        t.access[2].stride[i] = indexed ? index->stride[j] : 0;
        t.access[1].stride[i] = indexed ? 0 : x->stride[j < 0 ? i : i - index->rank + 1];
    }
    if (w->y->rank) tg__declare(w->e, w->id, false);
    else tg__declare(w->e, w->id, true);
    write_indexed(w, &t, 1, x->dim[axis], x->stride[axis], " = ");
}

static void write_one_hot(const tg__writing *w)
{
    const int64_t classes = ((const tg_classes_attributes *)w->attributes)->classes;
    const tg__shape *const index = tg__shape_in(w, 0);
    tg__nest t;
    tg__nest_over(&t, index);
    t.access[t.n++] = (tg__access){ .node = w->id };
    t.access[t.n++] = (tg__access){ .node = 0 };
    tg__nest_add(w->e, &t, w->x[0], index, in_order);
    for (int i = 0; i < index->rank; i++) t.access[0].stride[i] = w->y->stride[i];
    tg__declare(w->e, w->id, true);
    write_indexed(w, &t, 0, classes, 1, " = ");
}

/* Rows of targets: see classes.c. */
static void write_targets(const tg__writing *w)
{
    tg__emitter *const e = w->e;
    const tg_targets_attributes *const a = w->attributes;
    const double even = a->label_smoothing / (double)a->classes;
    tg__nest t;
    tg__nest_over(&t, w->y);
    tg__nest_add(e, &t, w->id, w->y, in_order);
    const tg__shape *const labels = tg__shape_in(w, 0);
    t.access[t.n++] = (tg__access){ .node = w->x[0], .offset = tg__node_offset(e->g, w->x[0]) };
    for (int i = 0; i < labels->rank; i++) t.access[1].stride[i] = labels->stride[i];
    const int last = t.rank - 1;
    const char class = "jklmnopq"[last];
    tg__declare(e, w->id, false);
    tg__open_loops(e, &t, 0, t.rank, true);
    tg__write_line(e, "const int64_t at = ");
    tg__emit_access(e, &t, 1, NULL);
    tg__write(e, ";");
    tg__write_line(e, "assert((0 <= at && at < %" PRId64 ")", a->classes);
    if (a->ignore_index != TG_NO_INDEX) tg__write(e, " || at == %" PRId64, a->ignore_index);
    tg__write(e, ");");
    e->all->asserts = true;
    tg__write_line(e, "%s", "");
    tg__emit_access(e, &t, 0, NULL);
    tg__write(e, " = ");
    if (a->ignore_index != TG_NO_INDEX) tg__write(e, "at == %" PRId64 " ? 0 : ", a->ignore_index);
    tg__write(e, "at == %c ? ", class);
    tg__emit_number(e, 1 - a->label_smoothing + even);
    tg__write(e, " : ");
    tg__emit_number(e, even);
    tg__write(e, ";");
    tg__close_loops(e, t.rank, true);
}

static void write_cast(const tg__writing *w)
{
    tg__nest t;
    tg__nest_over(&t, w->y);
    tg__nest_add(w->e, &t, w->id, w->y, in_order);
    tg__nest_add(w->e, &t, w->x[0], w->y, in_order);
    char operation[24];
    snprintf(operation, sizeof operation, " = (%s)", w->e->real);
    tg__declare(w->e, w->id, false);
    tg__emit_copy(w->e, &t, operation);
}

static void write_order(const tg__writing *w)
{
    tg__emitter *const e = w->e;
    tg__nest t;
    tg__nest_over(&t, w->y);
    tg__nest_add(e, &t, w->id, w->y, in_order);
    for (int i = 0; i < 2; i++) tg__nest_add(e, &t, w->x[i], w->y, in_order);
    tg__declare(e, w->id, false);
    tg__nest_merge(&t);
    const int loops = t.rank;
    tg__open_loops(e, &t, 0, loops, false);
    tg__write_line(e, "%s", "");
    tg__emit_access(e, &t, 0, NULL);
    static const char *const before[] = { " = ", " > ", " ? 1 : ", " < " };
    for (int i = 0; i < 4; i++) {
        tg__write(e, "%s", before[i]);
        tg__emit_access(e, &t, 1 + i % 2, NULL);
    }
    tg__write(e, " ? -1 : 0;");
    tg__close_loops(e, loops, false);
}

bool tg__emit_index_op(const tg__writing *w, int code)
{
    switch (code) {
    case TG__CODE_gather:
        if (w->y->rank) tg__declare(w->e, w->id, false);
        else tg__declare(w->e, w->id, true);
        write_along(w, w->id, w->x[0], 1, " = ");
        return true;
    case TG__CODE_scatter_add:
        tg__emit_contiguous(w);
        write_along(w, w->id, w->x[2], 0, " += ");
        return true;
    case TG__CODE_index_select:
        write_rows(w, tg__axis(((const tg_axis_attributes *)w->attributes)->axis, tg__shape_in(w, 0)->rank));
        return true;
    case TG__CODE_take:
    case TG__CODE_embedding: write_rows(w, 0); return true;
    case TG__CODE_targets: write_targets(w); return true;
    case TG__CODE_one_hot: write_one_hot(w); return true;
    case TG__CODE_cast: write_cast(w); return true;
    case TG__CODE_order: write_order(w); return true;
    default: return false;
    }
}
