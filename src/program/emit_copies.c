/* Copies: elements put somewhere else, or dropped. */
#include <inttypes.h>
#include <string.h>

#include "codes.h" /* generated */
#include "base/random.h"
#include "program/emit.h"

static const int in_order[TG_MAX_RANK] = { 0, 1, 2, 3, 4, 5, 6, 7 };

/* ---- copies ------------------------------------------------------------------------------------ */

/* x, seen as s, into y from an element on, by y's strides: of axis `axis`, where it is not negative, s
   has more than x does and y's stride is that of its place. */
static void copy_part(const tg__writing *w, uint32_t x, const tg__shape *s, int64_t offset,
                      const char *operation)
{
    tg__nest t;
    tg__nest_over(&t, s);
    t.access[t.n++] = (tg__access){ .node = w->id, .offset = offset };
    for (int i = 0; i < s->rank; i++) t.access[0].stride[i] = w->y->stride[i];
    tg__nest_add(w->e, &t, x, s, in_order);
    tg__emit_copy(w->e, &t, operation);
}

void tg__emit_contiguous(const tg__writing *w)
{
    if (w->y->rank) {
        tg__declare(w->e, w->id, false);
        copy_part(w, w->x[0], w->y, 0, " = ");
        return;
    }
    tg__nest t;
    tg__nest_over(&t, w->y);
    tg__nest_add(w->e, &t, w->x[0], w->y, in_order);
    tg__write_line(w->e, "const %s v%u = ", w->y->type == TG_I64 ? "int64_t" : w->e->real, w->id);
    tg__emit_access(w->e, &t, 0, NULL);
    tg__write(w->e, ";");
}

static void write_cat(const tg__writing *w)
{
    const int axis = tg__axis(((const tg_axis_attributes *)w->attributes)->axis, w->y->rank);
    int64_t at = 0;
    tg__declare(w->e, w->id, false);
    for (uint32_t i = 0; i < w->n; i++) {
        const tg__shape *const s = tg__shape_in(w, i);
        copy_part(w, w->x[i], s, at * w->y->stride[axis], " = ");
        at += s->dim[axis];
    }
}

static void write_stack(const tg__writing *w)
{
    const int axis = tg__axis(((const tg_axis_attributes *)w->attributes)->axis, w->y->rank);
    tg__declare(w->e, w->id, false);
    for (uint32_t i = 0; i < w->n; i++) {
        const tg__shape *const s = tg__shape_in(w, i);
        tg__nest t;
        tg__nest_over(&t, s);
        t.access[t.n++] = (tg__access){ .node = w->id, .offset = i * w->y->stride[axis] };
        for (int j = 0; j < s->rank; j++)
            t.access[0].stride[j] = w->y->stride[j < axis ? j : j + 1];
        tg__nest_add(w->e, &t, w->x[i], s, in_order);
        tg__emit_copy(w->e, &t, " = ");
    }
}

static void write_roll(const tg__writing *w)
{
    const tg_roll_attributes *const a = w->attributes;
    const int axis = tg__axis(a->axis, w->y->rank);
    const int64_t n = w->y->dim[axis], by = n ? (a->shift % n + n) % n : 0;
    tg__declare(w->e, w->id, false);
    for (int part = 0; part < 2; part++) { /* the first n - by, the rest */
        tg__nest t;
        tg__nest_over(&t, w->y);
        t.dim[axis] = part ? by : n - by;
        tg__nest_add(w->e, &t, w->id, w->y, in_order);
        tg__nest_add(w->e, &t, w->x[0], w->y, in_order);
        t.access[0].offset += part ? 0 : by * t.access[0].stride[axis];
        t.access[1].offset += part ? (n - by) * t.access[1].stride[axis] : 0;
        if (t.dim[axis] || n == 0) tg__emit_copy(w->e, &t, " = ");
    }
}

static void write_tile(const tg__writing *w)
{
    const tg__shape *const x = tg__shape_in(w, 0);
    tg__nest t = { .rank = 0 };
    tg__access y = { .node = w->id }, from = { w->x[0], tg__node_offset(w->e->g, w->x[0]), { 0 } };
    for (int i = 0; i < w->y->rank; i++) {
        const int j = i - (w->y->rank - x->rank);
        const int64_t length = j < 0 ? 1 : x->dim[j];
        t.dim[t.rank] = length ? w->y->dim[i] / length : 0;
        y.stride[t.rank++] = length * w->y->stride[i];
        t.dim[t.rank] = length;
        from.stride[t.rank] = j < 0 ? 0 : x->stride[j];
        y.stride[t.rank++] = w->y->stride[i];
    }
    t.outer = t.rank;
    t.n = 2;
    t.access[0] = y;
    t.access[1] = from;
    if (w->y->rank) tg__declare(w->e, w->id, false);
    else tg__declare(w->e, w->id, true);
    tg__emit_copy(w->e, &t, " = ");
}

/* y, all of it, the same. */
static void write_fill(const tg__writing *w, double value)
{
    tg__nest t;
    tg__nest_over(&t, w->y);
    tg__nest_add(w->e, &t, w->id, w->y, in_order);
    tg__nest_merge(&t);
    const int loops = t.rank;
    tg__open_loops(w->e, &t, 0, loops, false);
    tg__write_line(w->e, "%s", "");
    tg__emit_access(w->e, &t, 0, NULL);
    tg__write(w->e, " = ");
    tg__emit_number(w->e, value);
    tg__write(w->e, ";");
    tg__close_loops(w->e, loops, false);
}

static void write_pad(const tg__writing *w)
{
    const tg_pad_attributes *const a = w->attributes;
    const int axis = tg__axis(a->axis, w->y->rank);
    tg__declare(w->e, w->id, a->value == 0);
    if (a->value != 0) write_fill(w, a->value);
    copy_part(w, w->x[0], tg__shape_in(w, 0), a->before * w->y->stride[axis], " = ");
}

static void write_strided_sum(const tg__writing *w)
{
    const tg_strided_attributes *const a = w->attributes;
    const tg__shape *const s = tg__shape_in(w, 0);
    tg__nest t;
    tg__nest_over(&t, s);
    t.access[t.n++] = (tg__access){ .node = w->id, .offset = a->offset };
    for (int i = 0; i < s->rank; i++) t.access[0].stride[i] = a->stride[i];
    tg__nest_add(w->e, &t, w->x[0], s, in_order);
    tg__declare(w->e, w->id, true);
    tg__emit_copy(w->e, &t, " += ");
}

void tg__emit_assemble(tg__emitter *e, uint32_t id)
{
    const tg__node *const node = tg__node_at(e->g, id);
    const uint32_t *const x = tg__node_operands(e->g, node), n = tg__node_n(node) / 2;
    tg__declare(e, id, true);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t look = x[n + i] ? x[n + i] : id;
        const tg__shape *const s = tg__node_shape(e->g, look);
        tg__nest t;
        tg__nest_over(&t, s);
        t.access[t.n++] = (tg__access){ .node = id, .offset = tg__node_offset(e->g, look) };
        for (int j = 0; j < s->rank; j++) t.access[0].stride[j] = s->stride[j];
        tg__nest_add(e, &t, x[i], s, in_order);
        tg__emit_copy(e, &t, " += ");
    }
}

/* The triangle: j and k are the loops of the last two axes. */
static void write_triangle(const tg__writing *w, bool lower)
{
    tg__emitter *const e = w->e;
    const int64_t offset = ((const tg_offset_attributes *)w->attributes)->offset;
    tg__nest t;
    tg__nest_over(&t, w->y);
    tg__nest_add(e, &t, w->id, w->y, in_order);
    tg__nest_add(e, &t, w->x[0], w->y, in_order);
    const char row = "jklmnopq"[t.rank - 2], column = "jklmnopq"[t.rank - 1];
    const int loops = t.rank;
    tg__declare(e, w->id, false);
    tg__open_loops(e, &t, 0, loops, false);
    tg__write_line(e, "%s", "");
    tg__emit_access(e, &t, 0, NULL);
    tg__write(e, " = %c - %c %s %" PRId64 " ? ", column, row, lower ? "<=" : ">=", offset);
    tg__emit_access(e, &t, 1, NULL);
    tg__write(e, " : 0;");
    tg__close_loops(e, loops, false);
}
/* By the position in the row of all instances' elements: see ops/random.c. Some are dropped, not all. */
static void write_dropout(const tg__writing *w)
{
    tg__emitter *const e = w->e;
    const tg_dropout_attributes *const a = w->attributes;
    const uint64_t least = tg__random_threshold(a->p);
    tg__nest t;
    tg__nest_over(&t, w->y);
    tg__nest_add(e, &t, w->id, w->y, in_order);
    tg__nest_add(e, &t, w->x[0], w->y, in_order);
    tg__nest_index(&t, 0);
    tg__nest_merge(&t);
    const int loops = t.rank;
    tg__declare(e, w->id, false);
    tg__emit_part(e, "random");
    e->made.draws = true;
    tg__open_loops(e, &t, 0, loops, false);
    tg__write_line(e, "%s", "");
    tg__emit_access(e, &t, 0, NULL);
    tg__write(e, " = %s_random(UINT64_C(%" PRIu64 "), run", e->all->name, (uint64_t)a->seed);
    if (a->run) tg__write(e, " + UINT64_C(%" PRIu64 ")", (uint64_t)a->run);
    const bool each = !a->same && tg__node_at(e->g, w->id)->stage == TG__BODY;
    tg__write(e, ", ");
    if (each) tg__write(e, "%" PRId64 " * i + ", w->y->n);
    tg__emit_index(e, &t, 2);
    tg__write(e, ") < UINT32_C(%" PRIu64 ") ? 0 : (%s)((double)", least, e->real);
    tg__emit_access(e, &t, 1, NULL);
    tg__write(e, " * %.17g);", 1 / (1 - a->p));
    tg__close_loops(e, loops, false);
}

/* ---- all --------------------------------------------------------------------------------------- */

bool tg__emit_copy_op(const tg__writing *w, int code)
{
    switch (code) {
    case TG__CODE_contiguous: tg__emit_contiguous(w); return true;
    case TG__CODE_cat: write_cat(w); return true;
    case TG__CODE_stack: write_stack(w); return true;
    case TG__CODE_roll: write_roll(w); return true;
    case TG__CODE_tile: write_tile(w); return true;
    case TG__CODE_pad: write_pad(w); return true;
    case TG__CODE_strided_sum: write_strided_sum(w); return true;
    case TG__CODE_tril: write_triangle(w, true); return true;
    case TG__CODE_triu: write_triangle(w, false); return true;
    case TG__CODE_dropout: write_dropout(w); return true;
    default: return false;
    }
}
