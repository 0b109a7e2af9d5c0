/* Operations that are not elementwise, as loops: the way to their families, and what these share. */
#include "program/emit.h"

#include "codes.h" /* generated */

/* ---- nests --------------------------------------------------------------------------------------- */

void tg__nest_by_axis(const tg__emitter *e, tg__nest *t, uint32_t node, const int *loop)
{
    const tg__shape *const s = tg__node_shape(e->g, node);
    tg__access *const a = &t->access[t->n++];
    *a = (tg__access){ .node = node, .offset = tg__node_offset(e->g, node) };
    for (int i = 0; i < s->rank; i++)
        if (s->dim[i] != 1) a->stride[loop[i]] += s->stride[i];
}

unsigned tg__reduced_in(const tg__writing *w)
{
    const tg__array x = { tg__shape_in(w, 0), NULL };
    const tg__call c = { .n = 1, .x = &x, .attributes = w->attributes };
    unsigned axes = 0;
    (void)tg__reduced_axes(&c, &axes); /* the shape rule has seen them */
    return axes;
}

void tg__nest_reduced(tg__nest *t, const tg__shape *x, unsigned axes, bool kept, int *loop,
                      int *y_axis)
{
    int n = 0;
    *t = (tg__nest){ .rank = x->rank };
    for (int inner = 0; inner < 2; inner++)
        for (int i = 0, at = 0; i < x->rank; i++) {
            const bool reduced = axes >> i & 1;
            if (reduced == (inner == 1)) {
                t->dim[n] = x->dim[i];
                y_axis[n] = reduced ? -1 : at;
                loop[n++] = i;
                t->outer += !reduced;
            }
            at += kept || !reduced;
        }
}

void tg__nest_index(tg__nest *t, int from)
{
    tg__access *const a = &t->access[t->n++];
    *a = (tg__access){ .node = 0 };
    int64_t step = 1;
    for (int i = t->rank; i-- > from;) {
        a->stride[i] = step;
        step *= t->dim[i];
    }
}

/* ---- statements ------------------------------------------------------------------------------------ */

void tg__emit_copy(tg__emitter *e, tg__nest *t, const char *operation)
{
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

static const char *title_of(const tg__writing *w, int code)
{
    if (code == TG__CODE_call) return ((const tg_call_attributes *)w->attributes)->callee->name;
    return tg__ops[code]->name;
}

enum { SHORT = 3 }; /* the first families, of which most are one statement: these get no title */

void tg__emit_op(tg__emitter *e, uint32_t id)
{
    static bool (*const family[])(const tg__writing *w, int code) = {
        tg__emit_sum_op,   tg__emit_copy_op,   tg__emit_index_op, tg__emit_window_op,
        tg__emit_order_op, tg__emit_matrix_op, tg__emit_call_op,
    };
    const tg__node *const node = tg__node_at(e->g, id);
    const tg__writing w = { e, id, tg__node_n(node), tg__node_operands(e->g, node),
                            tg__node_data(e->g, node), tg__node_shape(e->g, id) };
    const size_t begin = e->to->used;
    for (size_t i = 0; i < sizeof family / sizeof *family; i++) {
        if (i == SHORT) tg__write_line(e, "/* %s */", title_of(&w, node->op));
        if (family[i](&w, node->op)) return;
    }
    e->to->used = begin;
    tg__graph_fail(e->g, TG_ERROR_ARGUMENT, "%s: there is no C for it",
                   tg__op_name(tg__ops[node->op], w.attributes));
}
