/* Operations that are not elementwise, as loops. */
#include <inttypes.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/emit.h"

/* An op being written: its node, operands, attributes, shapes. */
typedef struct writing {
    tg__emitter *e;
    uint32_t id, n;
    const uint32_t *x;
    const void *attributes;
    const tg__shape *y;
} writing;

static const int in_order[TG_MAX_RANK] = { 0, 1, 2, 3, 4, 5, 6, 7 };

static const tg__shape *shape_of(const writing *w, uint32_t operand)
{
    return tg__node_shape(w->e->g, w->x[operand]);
}

/* ---- sums and their like ----------------------------------------------------------------------- */

/* How elements become one. */
typedef struct folding {
    const char *start;
    const char *operation; /* " += "; NULL: by the function of an op */
    int op;
    bool wide; /* in double for either type */
} folding;

/* The variable in which elements become one: y itself, where that is all. */
static char variable_of(const writing *w, const folding *f, double divisor)
{
    const bool wide = f->wide && w->e->g->type == TG_F32;
    return w->y->rank == 0 && !wide && divisor == 0 ? 'v' : 's';
}

static void write_step(const writing *w, tg__nest *t, const folding *f, char s, bool product)
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
static void write_fold(const writing *w, tg__nest *t, const folding *f, bool product,
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

static unsigned reduced_axes(const writing *w)
{
    const tg__array x = { shape_of(w, 0), NULL };
    const tg__call c = { .n = 1, .x = &x, .attributes = w->attributes };
    unsigned axes = 0;
    (void)tg__reduced_axes(&c, &axes); /* the shape rule has seen them */
    return axes;
}

static void write_reduction(const writing *w, const folding *f, bool mean)
{
    const unsigned axes = reduced_axes(w);
    const tg__shape *const x = shape_of(w, 0);
    const bool kept = w->y->rank == x->rank;
    tg__nest t = { .rank = 0 };
    int loop[TG_MAX_RANK], y_axis[TG_MAX_RANK], n = 0;
    double count = 1;
    for (int inner = 0; inner < 2; inner++)
        for (int i = 0, at = 0; i < x->rank; i++) {
            const bool reduced = axes >> i & 1;
            if (reduced == (inner == 1)) {
                t.dim[n] = x->dim[i];
                y_axis[n] = reduced ? -1 : at;
                loop[n++] = i;
                if (reduced) count *= (double)x->dim[i];
                else t.outer++;
            }
            at += kept || !reduced;
        }
    t.rank = n;
    tg__nest_add(w->e, &t, w->id, w->y, y_axis);
    if (w->e->inlined[w->x[0]]) tg__nest_add_leaves(w->e, &t, w->x[0], x, loop);
    else tg__nest_add(w->e, &t, w->x[0], x, loop);
    write_fold(w, &t, f, false, f->start, mean ? count : 0);
}

/* An access whose axis i goes with loop loop[i]; those of length 1 are repeated. */
static void add_by_axis(const writing *w, tg__nest *t, uint32_t node, const int *loop)
{
    const tg__shape *const s = tg__node_shape(w->e->g, node);
    tg__access *const a = &t->access[t->n++];
    *a = (tg__access){ .node = node, .offset = tg__node_offset(w->e->g, node) };
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] != 1) a->stride[loop[i]] += s->stride[i];
}

static const folding sum = { "0", " += ", 0, true };

/* y's loops, and one over k: the sum of the product of two operands, which have their axes in the loops
   a and b; and to it operand 2, by its own. */
static void write_product(const writing *w, int64_t k, const int *a, const int *b, const int *c)
{
    tg__nest t;
    tg__nest_over(&t, w->y);
    t.dim[t.rank++] = k;
    tg__nest_add(w->e, &t, w->id, w->y, (const int[]){ 0, 1, 2, 3, 4, 5, 6, 7, -1 });
    t.access[0].stride[t.rank - 1] = 0;
    if (c) add_by_axis(w, &t, w->x[2], c);
    add_by_axis(w, &t, w->x[0], a);
    add_by_axis(w, &t, w->x[1], b);
    write_fold(w, &t, &sum, true, c ? NULL : "0", 0);
}

static void write_matmul(const writing *w)
{
    const tg__shape *const p = shape_of(w, 0), *const q = shape_of(w, 1);
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
static void write_linear(const writing *w)
{
    const int k = w->y->rank, last = k - 1;
    int a[TG_MAX_RANK];
    for (int i = 0; i < last; i++) a[i] = i;
    a[last] = k;
    write_product(w, shape_of(w, 1)->dim[1], a, (const int[]){ last, k }, &last);
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

/* The loops of an operand's axes, from its part of the equation; false if there are too many. */
static bool operand_loops(tg__nest *t, named_loops *l, const char *s, const char *end, const tg__shape *x,
                          int *axes)
{
    int names = 0, n = 0;
    for (const char *p = s; p < end; p++) names += *p != ' ' && *p != '.';
    const int dots = x->rank - names;
    for (bool before = true; s < end; s++) {
        if (*s == '.' && before) {
            if (l->first < 0) return false;
            for (int i = 0; i < dots; i++) axes[n++] = l->first + l->n - dots + i;
            before = false;
        }
        if (*s == ' ' || *s == '.') continue;
        int *const loop = &l->of[*s & 127];
        if (*loop < 0 && t->rank == TG__LOOPS) return false;
        if (*loop < 0) *loop = t->rank, t->dim[t->rank++] = 1;
        if (x->dim[n] != 1) t->dim[*loop] = x->dim[n];
        axes[n++] = *loop;
    }
    return true;
}

/* Not where ... is summed over, or of very many axes. */
static bool write_einsum(const writing *w)
{
    const char *s = ((const tg_einsum_attributes *)w->attributes)->equation;
    const char *const arrow = strstr(s, "->"), *const end = arrow ? arrow : s + strlen(s);
    if (w->n >= TG__LEAVES) return false;
    named_loops l;
    tg__nest t;
    tg__nest_over(&t, w->y);
    name_loops(&l, s, arrow, w->y->rank);
    tg__nest_add(w->e, &t, w->id, w->y, in_order);
    for (uint32_t i = 0; i < w->n; i++) {
        int axes[TG_MAX_RANK];
        const char *const comma = memchr(s, ',', (size_t)(end - s));
        const char *const stop = comma ? comma : end;
        if (!operand_loops(&t, &l, s, stop, shape_of(w, i), axes)) return false;
        add_by_axis(w, &t, w->x[i], axes);
        s = stop + (comma != NULL);
    }
    write_fold(w, &t, &sum, true, "0", 0);
    return true;
}

/* ---- copies ------------------------------------------------------------------------------------ */

/* "y = x" or "y += x", in loops; of a nest with these two accesses. */
static void write_copy(const writing *w, tg__nest *t, const char *operation)
{
    tg__emitter *const e = w->e;
    tg__nest_merge(t);
    const int loops = t->rank;
    tg__open_loops(e, t, 0, loops, false);
    tg__write_line(e, "%s", "");
    tg__emit_access(e, t, 0, NULL);
    tg__write(e, "%s", operation);
    tg__emit_access(e, t, 1, NULL);
    tg__write(e, ";");
    tg__close_loops(e, loops, false);
}

/* x, seen as s, into y from an element on, by y's strides: of axis `axis`, where it is not negative, s
   has more than x does and y's stride is that of its place. */
static void copy_part(const writing *w, uint32_t x, const tg__shape *s, int64_t offset,
                      const char *operation)
{
    tg__nest t;
    tg__nest_over(&t, s);
    t.access[t.n++] = (tg__access){ .node = w->id, .offset = offset };
    for (int i = 0; i < s->rank; i++) t.access[0].stride[i] = w->y->stride[i];
    tg__nest_add(w->e, &t, x, s, in_order);
    write_copy(w, &t, operation);
}

static void write_contiguous(const writing *w)
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

static void write_cat(const writing *w)
{
    const int axis = tg__axis(((const tg_axis_attributes *)w->attributes)->axis, w->y->rank);
    int64_t at = 0;
    tg__declare(w->e, w->id, false);
    for (uint32_t i = 0; i < w->n; i++) {
        const tg__shape *const s = shape_of(w, i);
        copy_part(w, w->x[i], s, at * w->y->stride[axis], " = ");
        at += s->dim[axis];
    }
}

static void write_stack(const writing *w)
{
    const int axis = tg__axis(((const tg_axis_attributes *)w->attributes)->axis, w->y->rank);
    tg__declare(w->e, w->id, false);
    for (uint32_t i = 0; i < w->n; i++) {
        const tg__shape *const s = shape_of(w, i);
        tg__nest t;
        tg__nest_over(&t, s);
        t.access[t.n++] = (tg__access){ .node = w->id, .offset = i * w->y->stride[axis] };
        for (int j = 0; j < s->rank; j++)
            t.access[0].stride[j] = w->y->stride[j < axis ? j : j + 1];
        tg__nest_add(w->e, &t, w->x[i], s, in_order);
        write_copy(w, &t, " = ");
    }
}

static void write_roll(const writing *w)
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
        if (t.dim[axis] || n == 0) write_copy(w, &t, " = ");
    }
}

static void write_tile(const writing *w)
{
    const tg__shape *const x = shape_of(w, 0);
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
    write_copy(w, &t, " = ");
}

/* y, all of it, the same. */
static void write_fill(const writing *w, double value)
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

static void write_pad(const writing *w)
{
    const tg_pad_attributes *const a = w->attributes;
    const int axis = tg__axis(a->axis, w->y->rank);
    tg__declare(w->e, w->id, a->value == 0);
    if (a->value != 0) write_fill(w, a->value);
    copy_part(w, w->x[0], shape_of(w, 0), a->before * w->y->stride[axis], " = ");
}

static void write_strided_sum(const writing *w)
{
    const tg_strided_attributes *const a = w->attributes;
    const tg__shape *const s = shape_of(w, 0);
    tg__nest t;
    tg__nest_over(&t, s);
    t.access[t.n++] = (tg__access){ .node = w->id, .offset = a->offset };
    for (int i = 0; i < s->rank; i++) t.access[0].stride[i] = a->stride[i];
    tg__nest_add(w->e, &t, w->x[0], s, in_order);
    tg__declare(w->e, w->id, true);
    write_copy(w, &t, " += ");
}

void tg__emit_assemble(tg__emitter *e, uint32_t id)
{
    const tg__node *const node = tg__node_at(e->g, id);
    const uint32_t *const x = tg__node_operands(e->g, node), n = node->n / 2;
    const writing w = { e, id, n, x, NULL, tg__node_shape(e->g, id) };
    tg__declare(e, id, true);
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t look = x[n + i] ? x[n + i] : id;
        const tg__shape *const s = tg__node_shape(e->g, look);
        tg__nest t;
        tg__nest_over(&t, s);
        t.access[t.n++] = (tg__access){ .node = id, .offset = tg__node_offset(e->g, look) };
        for (int j = 0; j < s->rank; j++) t.access[0].stride[j] = s->stride[j];
        tg__nest_add(e, &t, x[i], s, in_order);
        write_copy(&w, &t, " += ");
    }
}

/* The triangle: j and k are the loops of the last two axes. */
static void write_triangle(const writing *w, bool lower)
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

/* ---- indices ----------------------------------------------------------------------------------- */

/* Accesses y, x (node 0: ones), index: y = x at the index, or, with operation " += ", added to. The index steps through
   `of`, access 0 or 1, which has `length` places for it. */
static void write_indexed(const writing *w, tg__nest *t, int of, int64_t length, int64_t stride,
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
    e->asserts = true;
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
static void write_along(const writing *w, uint32_t to, uint32_t from, int of, const char *operation)
{
    const int axis = tg__axis(((const tg_axis_attributes *)w->attributes)->axis, shape_of(w, 0)->rank);
    const tg__shape *const index = shape_of(w, 1);
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
    write_indexed(w, &t, of, shape_of(w, 0)->dim[axis], stride, operation);
}

/* Whole rows of x: where x has the axis, y has those of the index. */
static void write_rows(const writing *w, int axis)
{
    const tg__shape *const x = shape_of(w, 0), *const index = shape_of(w, 1);
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

static void write_one_hot(const writing *w)
{
    const int64_t classes = ((const tg_classes_attributes *)w->attributes)->classes;
    const tg__shape *const index = shape_of(w, 0);
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
static void write_targets(const writing *w)
{
    tg__emitter *const e = w->e;
    const tg_targets_attributes *const a = w->attributes;
    const double even = a->label_smoothing / (double)a->classes;
    tg__nest t;
    tg__nest_over(&t, w->y);
    tg__nest_add(e, &t, w->id, w->y, in_order);
    const tg__shape *const labels = shape_of(w, 0);
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
    e->asserts = true;
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

static void write_cast(const writing *w)
{
    tg__nest t;
    tg__nest_over(&t, w->y);
    tg__nest_add(w->e, &t, w->id, w->y, in_order);
    tg__nest_add(w->e, &t, w->x[0], w->y, in_order);
    char operation[24];
    snprintf(operation, sizeof operation, " = (%s)", w->e->real);
    tg__declare(w->e, w->id, false);
    write_copy(w, &t, operation);
}

static void write_order(const writing *w)
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

static bool write_index_op(const writing *w, int code)
{
    switch (code) {
    case TG__CODE_gather:
        if (w->y->rank) tg__declare(w->e, w->id, false);
        else tg__declare(w->e, w->id, true);
        write_along(w, w->id, w->x[0], 1, " = ");
        return true;
    case TG__CODE_scatter_add:
        write_contiguous(w);
        write_along(w, w->id, w->x[2], 0, " += ");
        return true;
    case TG__CODE_index_select:
        write_rows(w, tg__axis(((const tg_axis_attributes *)w->attributes)->axis, shape_of(w, 0)->rank));
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

/* ---- running sums ------------------------------------------------------------------------------ */

/* Along one axis, y[j] from y[j - 1] and x[j]: by an operator or a function, or by the recurrence. */
static void write_scan(const writing *w, int code)
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

static bool write_sum_op(const writing *w, int code)
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
    case TG__CODE_einsum: return write_einsum(w);
    default: return false;
    }
}

static bool write_copy_op(const writing *w, int code)
{
    switch (code) {
    case TG__CODE_contiguous: write_contiguous(w); return true;
    case TG__CODE_cat: write_cat(w); return true;
    case TG__CODE_stack: write_stack(w); return true;
    case TG__CODE_roll: write_roll(w); return true;
    case TG__CODE_tile: write_tile(w); return true;
    case TG__CODE_pad: write_pad(w); return true;
    case TG__CODE_strided_sum: write_strided_sum(w); return true;
    case TG__CODE_tril: write_triangle(w, true); return true;
    case TG__CODE_triu: write_triangle(w, false); return true;
    case TG__CODE_cumsum:
    case TG__CODE_cumprod:
    case TG__CODE_logcumsumexp:
    case TG__CODE_recurrence: write_scan(w, code); return true;
    default: return false;
    }
}

void tg__emit_op(tg__emitter *e, uint32_t id)
{
    const tg__node *const node = tg__node_at(e->g, id);
    const writing w = { e, id, node->n, tg__node_operands(e->g, node),
                        tg__node_data(e->g, node->data), tg__node_shape(e->g, id) };
    if (write_sum_op(&w, node->op) || write_copy_op(&w, node->op) || write_index_op(&w, node->op))
        return;
    tg__graph_fail(e->g, TG_ERROR_ARGUMENT, "%s: there is no C for it",
                   tg__op_name(tg__ops[node->op], w.attributes));
}
