/* Factorisations: loops over the matrices of a batch, each of which is brought into a double array and
   handed to a function of the parts. */
#include <inttypes.h>

#include "codes.h" /* generated */
#include "program/emit.h"

/* A factorisation being written: of a5, m n, to b5. */
typedef struct factorisation {
    const tg__writing *w;
    const char *part;  /* its function */
    int inner;         /* axes of one result */
    bool fails;        /* the function returns bool */
    bool tall;         /* and takes rows and columns; else matrices are square */
    int64_t room;      /* doubles that the function needs; -1: it has no such parameter */
    bool sides;        /* operand 1 has right sides, which the function makes the result of */
    bool transpose;    /* the matrix is read so */
    const char *flags; /* arguments behind the matrix */
    int batch;         /* leading axes */
    int64_t m, n, columns, size; /* of the matrix, of right sides; elements of a result */
} factorisation;

/* Loops over the batch and the last `inner` axes, of these lengths; access 0 is the result, of one
   matrix: without them. */
static tg__nest loops_of(const factorisation *f, int inner, int64_t rows, int64_t columns)
{
    const tg__shape *const y = f->w->y;
    tg__nest t = { .rank = f->batch + inner, .outer = f->batch, .n = 1 };
    t.access[0] = (tg__access){ .node = f->w->id };
    for (int i = 0; i < f->batch; i++) {
        t.dim[i] = y->dim[i];
        t.access[0].stride[i] = y->stride[i];
    }
    if (inner) t.dim[f->batch] = rows;
    if (inner > 1) t.dim[f->batch + 1] = columns;
    return t;
}

/* An access to an operand whose last axes are `inner`: its batch axes are the result's last ones. */
static tg__access *add_operand(const factorisation *f, tg__nest *t, uint32_t node, int inner)
{
    const tg__emitter *const e = f->w->e;
    const tg__shape *const s = tg__node_shape(e->g, node);
    tg__access *const a = &t->access[t->n++];
    *a = (tg__access){ .node = node, .offset = tg__node_offset(e->g, node) };
    const int own = s->rank - inner;
    for (int i = 0; i < own; i++)
        if (s->dim[i] != 1) a->stride[f->batch - own + i] = s->stride[i];
    for (int i = 0; i < inner; i++) a->stride[f->batch + i] = s->stride[own + i];
    return a;
}

/* "name5[3 * j + k] = " */
static void write_target(const factorisation *f, const tg__nest *t, const char *name, int index)
{
    tg__emitter *const e = f->w->e;
    tg__write_line(e, "%s%u[", name, f->w->id);
    tg__emit_index(e, t, index);
    tg__write(e, "] = ");
}

/* a5 = the matrix. */
static void read_matrix(const factorisation *f)
{
    tg__emitter *const e = f->w->e;
    tg__nest t = loops_of(f, 2, f->m, f->n);
    tg__access *const x = add_operand(f, &t, f->w->x[0], 2);
    if (f->transpose) {
        const int64_t row = x->stride[f->batch];
        x->stride[f->batch] = x->stride[f->batch + 1];
        x->stride[f->batch + 1] = row;
    }
    tg__nest_index(&t, t.outer);
    tg__open_loops(e, &t, t.outer, t.rank, false);
    write_target(f, &t, "a", 2);
    tg__emit_access(e, &t, 1, NULL);
    tg__write(e, ";");
    tg__close_loops(e, 2, false);
}

/* b5 = the right sides. */
static void read_sides(const factorisation *f)
{
    tg__emitter *const e = f->w->e;
    const int inner = tg__shape_in(f->w, 1)->rank > 1 ? 2 : 1;
    tg__nest t = loops_of(f, inner, f->n, f->columns);
    add_operand(f, &t, f->w->x[1], inner);
    tg__nest_index(&t, t.outer);
    tg__open_loops(e, &t, t.outer, t.rank, false);
    write_target(f, &t, "b", 2);
    tg__emit_access(e, &t, 1, NULL);
    tg__write(e, ";");
    tg__close_loops(e, inner, false);
}

/* The result = b5. */
static void store_result(const factorisation *f)
{
    tg__emitter *const e = f->w->e;
    tg__nest t = loops_of(f, 1, f->size, 1);
    t.access[0].stride[f->batch] = 1;
    tg__nest_index(&t, t.outer);
    tg__open_loops(e, &t, t.outer, t.rank, false);
    tg__write_line(e, "%s", "");
    tg__emit_access(e, &t, 0, NULL);
    tg__write(e, " = %sb%u[", e->suffix[0] ? "(float)" : "", f->w->id);
    tg__emit_index(e, &t, 1);
    tg__write(e, "];");
    tg__close_loops(e, 1, false);
}

/* "solve(3, a5, 2, b5)" */
static void write_call(const factorisation *f)
{
    tg__emitter *const e = f->w->e;
    const uint32_t id = f->w->id;
    tg__emit_part(e, f->part);
    tg__write_line(e, "%s%s_%s(", f->fails ? "if (!" : "", e->all->name, f->part);
    if (f->tall) tg__write(e, "%" PRId64 ", ", f->m);
    tg__write(e, "%" PRId64 ", a%u%s", f->n, id, f->flags ? f->flags : "");
    if (f->sides) tg__write(e, ", %" PRId64, f->columns);
    tg__write(e, ", b%u", id);
    if (f->room >= 0) tg__write(e, ", room%u", id);
    tg__write(e, f->fails ? ")) return false;" : ");");
    e->made.fails = e->made.fails || f->fails;
}

static void write_factorisation(factorisation *f)
{
    tg__emitter *const e = f->w->e;
    f->size = 1;
    for (int i = f->batch; i < f->w->y->rank; i++) f->size *= f->w->y->dim[i];
    tg__declare(e, f->w->id, false);
    tg__declare_room(e, "double", "a", f->w->id, f->m * f->n);
    tg__declare_room(e, "double", "b", f->w->id, f->size);
    if (f->room >= 0) tg__declare_room(e, "double", "room", f->w->id, f->room);
    const tg__nest t = loops_of(f, 0, 0, 0);
    tg__open_loops(e, &t, 0, t.rank, true);
    read_matrix(f);
    if (f->sides) read_sides(f);
    write_call(f);
    store_result(f);
    tg__close_loops(e, t.rank, true);
}

/* ---- which there are ------------------------------------------------------------------------------ */

/* Right sides, and whether they are vectors. */
static void set_sides(factorisation *f)
{
    const tg__shape *const b = tg__shape_in(f->w, 1);
    f->sides = f->fails = true;
    f->room = -1;
    f->inner = b->rank > 1 ? 2 : 1;
    f->columns = b->rank > 1 ? b->dim[b->rank - 1] : 1;
}

static void set_triangle(factorisation *f)
{
    const tg_triangular_attributes *const a = f->w->attributes;
    const bool lower = a->upper == a->transpose;
    set_sides(f);
    f->part = "solve_triangular";
    f->transpose = a->transpose;
    f->flags = lower ? (a->unit ? ", true, true" : ", true, false")
                     : (a->unit ? ", false, true" : ", false, false");
}

bool tg__emit_matrix_op(const tg__writing *w, int code)
{
    factorisation f = { .w = w, .part = tg__ops[code]->name, .room = -1 };
    const tg__shape *const x = w->n ? tg__shape_in(w, 0) : NULL;
    if (x && x->rank >= 2) {
        f.m = x->dim[x->rank - 2];
        f.n = x->dim[x->rank - 1];
    }
    const int64_t k = f.m < f.n ? f.m : f.n, l = f.m < f.n ? f.n : f.m;
    switch (code) {
    case TG__CODE_det:
    case TG__CODE_logdet: break;
    case TG__CODE_inverse:
    case TG__CODE_cholesky: f.inner = 2, f.fails = true; break;
    case TG__CODE_inverse_or_nan: f.inner = 2; break;
    case TG__CODE_cofactor: f.inner = 2, f.room = f.n * (8 * f.n + 2); break;
    case TG__CODE_eigh: f.inner = 1, f.room = f.n * (f.n + 2); break;
    case TG__CODE_qr: f.inner = 1, f.tall = true, f.room = k; break;
    case TG__CODE_svd: f.inner = 1, f.tall = true, f.room = k * (3 * l + 3 * k + 1); break;
    case TG__CODE_solve: set_sides(&f); break;
    case TG__CODE_solve_triangular: set_triangle(&f); break;
    default: return false;
    }
    f.batch = w->y->rank - f.inner;
    write_factorisation(&f);
    return true;
}
