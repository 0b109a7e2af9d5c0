/* The derivatives of loops: see scan.h. The gradient as an operation, recorded by the derivative of a
   scan; and the loop of directions, of which its own derivatives are made, whether they are recorded
   or computed. */
#include <string.h>

#include "program/scan.h"

/* ---- the gradient as an operation ---------------------------------------------------------------- */

bool tg__loop_wants(const tg__loop *k, uint64_t wanted, uint32_t i)
{
    return wanted & tg__wanted_bit(i) && tg__input_shape(k->body, i)->type != TG_I64;
}

int64_t tg__loop_count(const tg__loop *k, uint32_t i)
{
    return i >= k->states && i < k->states + k->each ? k->a->steps : -1;
}

/* The states have gradients whether these are wanted or not: they come from step to step. */
static uint64_t with_states(const tg__loop *k, uint64_t wanted)
{
    for (uint32_t i = 0; i < k->states; i++) wanted |= tg__wanted_bit(i);
    return wanted;
}

tg__vjp tg__loop_vjp(const tg__loop *k, uint64_t wanted)
{
    return (tg__vjp){ .wanted = with_states(k, wanted),
                      .one = true,
                      .begin = k->states + k->each,
                      .end = k->body->n_inputs,
                      .outputs = k->states + k->stacked + k->summed };
}

static int64_t elements(const tg__loop *k, uint32_t i)
{
    const int64_t count = tg__loop_count(k, i);
    return tg__input_shape(k->body, i)->n * (count < 0 ? 1 : count);
}

/* Of the gradients by these inputs. */
static int64_t elements_of(const tg__loop *k, uint64_t wanted)
{
    int64_t n = 0;
    for (uint32_t i = 0; i < k->body->n_inputs; i++)
        if (tg__loop_wants(k, wanted, i)) n += elements(k, i);
    return n;
}

static tg_code gradient_shape(const tg__call *c, tg__shape *y)
{
    const tg_call_attributes *const a = c->attributes;
    const tg__loop k = tg__loop_of(a);
    y->rank = 1;
    y->dim[0] = elements_of(&k, a->wanted);
    return TG_OK;
}

/* The dimensions of input i of a scan, of adjacent elements. */
static tg__shape shape_of(const tg__loop *k, uint32_t i)
{
    const tg__shape *const one = tg__input_shape(k->body, i);
    const int64_t count = tg__loop_count(k, i);
    tg__shape s = { .type = one->type };
    if (count >= 0) s.dim[s.rank++] = count;
    for (int j = 0; j < one->rank; j++) s.dim[s.rank++] = one->dim[j];
    tg__shape_finish(&s);
    return s;
}

/* A vector, from number `offset` on. */
static char *element_at(const void *vector, int64_t offset, tg_type type)
{
    return (char *)(uintptr_t)vector + (size_t)offset * tg__type_size(type);
}

static bool is_zero(const void *vector, int64_t n, tg_type type)
{
    const double *const d = vector;
    const float *const f = vector;
    int64_t i = 0;
    while (i < n && (type == TG_F64 ? d[i] == 0 : f[i] == 0)) i++;
    return i == n;
}

enum { OTHERS = 3 }; /* operands behind the body's inputs: the number of steps, u, the scan's result */

/* The parts of a vector by these inputs, as what is added to, from number *offset on; nothing for all other
   operands. NULL: no memory. */
static tg__array *parts_of(const tg__call *c, const tg__loop *k, uint64_t wanted, void *vector, int64_t *offset)
{
    const uint32_t n = k->body->n_inputs;
    tg__shape *const s = tg__scratch(c, (n + (size_t)1) * sizeof *s);
    tg__array *const part = tg__scratch(c, (n + (size_t)OTHERS) * sizeof *part);
    for (uint32_t i = 0; s && part && i < n + OTHERS; i++) part[i] = (tg__array){ NULL, NULL };
    for (uint32_t i = 0; s && part && i < n; i++) {
        if (!tg__loop_wants(k, wanted, i)) continue;
        s[i] = shape_of(k, i);
        part[i] = (tg__array){ &s[i], element_at(vector, *offset, k->body->type) };
        *offset += s[i].n;
    }
    return s ? part : NULL;
}

/* The scan's rule, that finds its operands, result and gradients in ours. As on the tape a cotangent of 0
   contributes nothing and takes no time. */
static tg_code gradient_forward(const tg__call *c)
{
    const tg_call_attributes *const a = c->attributes;
    const tg__loop k = tg__loop_of(a);
    tg__call of = *c;
    int64_t offset = 0;
    of.n = c->n - 2;
    of.g = tg__adjacent(c, c->x[of.n]);
    of.y.s = c->x[of.n + 1].s;
    of.y.p = tg__adjacent(c, c->x[of.n + 1]);
    of.dx = parts_of(c, &k, a->wanted, c->y.p, &offset);
    if (!of.dx || !of.y.p || !of.g) return TG_ERROR_MEMORY;
    memset(c->y.p, 0, (size_t)c->y.s->n * tg__type_size(c->y.s->type));
    return is_zero(of.g, k.taken, k.body->type) ? TG_OK : tg__scan_pull(&of);
}

/* ---- the loop of directions ---------------------------------------------------------------------- */

/* An operand of it: one of the scan, or its direction: a part of w, behind `offset` elements; -1: zeros. */
typedef struct operand {
    uint32_t input;
    bool direction;
    int64_t offset;
} operand;

typedef struct directions {
    int scan;         /* operands of the scan; behind these, u and its result */
    tg__loop k;       /* the scan */
    tg__loop both;    /* of the states and their directions */
    tg_call_attributes a;
    int n;            /* operands, but the number of steps */
    bool counted;     /* which is there too: the scan's, or what it has found */
    operand *operand;
} directions;

static void list_operands(directions *v, uint64_t wanted, uint64_t given)
{
    const tg__loop *const k = &v->k;
    const uint32_t end[] = { k->states, k->states + k->each, k->body->n_inputs };
    int64_t offset = 0;
    for (uint32_t group = 0, from = 0; group < 3; from = end[group++]) {
        for (uint32_t i = from; i < end[group]; i++) v->operand[v->n++] = (operand){ .input = i };
        for (uint32_t i = from; i < end[group]; i++) {
            if (!tg__loop_wants(k, wanted, i)) continue;
            const bool there = tg__loop_wants(k, given, i);
            v->operand[v->n++] = (operand){ i, true, there ? offset : -1 };
            if (there) offset += elements(k, i);
        }
    }
}

/* For the gradient with these attributes, along the inputs `given`. room: for twice as many operands as the
   body has inputs. */
static bool begin(directions *v, const tg_call_attributes *a, uint64_t given, operand *room,
                  tg_status *status)
{
    const tg__loop k = tg__loop_of(a);
    const uint64_t wanted = with_states(&k, given);
    const tg__vjp how = { .wanted = wanted,
                          .outputs = k.states + k.stacked + k.summed,
                          .states = k.states,
                          .each = k.each,
                          .stacked = k.stacked,
                          .forward = true,
                          .one = true };
    const tg_program *const body = tg__program_vjp(k.body, &how, status);
    if (!body) return false;
    *v = (directions){ .scan = (int)k.body->n_inputs + (a->flags & TG__CALL_COUNTED ? 1 : 0),
                       .k = k,
                       .a = *a,
                       .operand = room };
    list_operands(v, wanted, given);
    v->counted = a->flags & (TG__CALL_STOP | TG__CALL_COUNTED);
    v->a.callee = &tg__scanned;
    v->a.what = body;
    v->a.wanted = v->a.along = 0;
    v->a.states = 2 * k.states;
    v->a.each = 0;
    for (int i = 0; i < v->n; i++) v->a.each += tg__loop_count(&k, v->operand[i].input) >= 0;
    v->a.summed = 2 * k.summed;
    v->a.flags &= ~(uint32_t)(TG__CALL_STOP | TG__CALL_LINEAR);
    if (v->counted) v->a.flags |= TG__CALL_COUNTED;
    v->both = tg__loop_of(&v->a);
    return true;
}

/* The three parts of a scan's result that have gradients, of which in that of both the second halves
   are those of the directions: which there begin at 2 * from + n. */
typedef struct stretch {
    int64_t from, n;
} stretch;

enum { STRETCHES = 3 };

static stretch stretch_of(const tg__loop *k, int i)
{
    const int64_t begin[] = { 0, k->state_size, k->sums, k->taken };
    return (stretch){ begin[i], begin[i + 1] - begin[i] };
}

/* Which gradients of the loop of directions are those by the scan's inputs that are wanted. */
static uint64_t wanted_of(const directions *v, uint64_t wanted)
{
    uint64_t bits = 0;
    for (int i = 0; i < v->n; i++)
        if (!v->operand[i].direction && wanted & tg__wanted_bit(v->operand[i].input))
            bits |= tg__wanted_bit((uint32_t)i);
    return bits;
}

/* The same of a gradient's operands: bits of inputs. */
static uint64_t inputs_of(const tg__loop *k, const bool *wanted)
{
    uint64_t bits = 0;
    for (uint32_t i = 0; i < k->body->n_inputs; i++)
        if (wanted[i]) bits |= tg__wanted_bit(i);
    return bits;
}

/* ---- recorded ------------------------------------------------------------------------------------ */

static tg_value vector_part(const tg__derivation *d, tg_value from, int64_t offset, int64_t n)
{
    const tg__shape s = { .type = tg__shape_of(d, from)->type, .rank = 1, .n = n, .dim = { n } };
    return tg__derived_part(d, from, &offset, &s, -1);
}

/* Sets the gradients to their parts of a vector of those by these inputs; the elements of it that they take. */
static int64_t hand_out(tg__derivation *d, const tg__loop *k, tg_value all, uint64_t wanted)
{
    int64_t offset = 0;
    for (uint32_t i = 0; i < k->body->n_inputs; i++) {
        if (!tg__loop_wants(k, wanted, i)) continue;
        const tg_value dx = tg__derived_part(d, all, &offset, tg__input_shape(k->body, i), tg__loop_count(k, i));
        if (d->wanted[i]) d->dx[i] = dx;
    }
    return offset;
}

/* The inputs behind the states by which some output of a step has a derivative that is not 0 throughout, as bits.
   reached: room for all nodes. */
static uint64_t inputs_that_count(const tg__loop *k, bool *reached)
{
    const tg_program *const p = k->body;
    const tg__graph *const g = &p->graph;
    uint64_t bits = 0;
    memset(reached, 0, g->n * sizeof *reached);
    for (uint32_t i = 0; i < k->states + k->stacked + k->summed; i++) reached[p->output[i]] = true;
    for (uint32_t id = g->n; id-- > 1;) {
        const tg__node *const node = tg__node_at(g, id);
        const tg__op *const op = node->op == TG__NODE_BACKWARD ? NULL : tg__node_op(node);
        const uint32_t *const x = tg__node_operands(g, node);
        const uint32_t n = tg__node_parts(node);
        for (uint32_t j = 0; j < n && reached[id]; j++) {
            const char letter = op ? tg__letter(op->letters, (int)j) : 'n';
            if (tg__is_differentiable(letter)) reached[x[j]] = true;
        }
    }
    for (uint32_t i = k->states; i < p->n_inputs; i++)
        if (reached[p->input[i]]) bits |= tg__wanted_bit(i);
    return bits;
}

void tg__scan_derive(tg__derivation *d)
{
    tg_call_attributes a = *(const tg_call_attributes *)d->attributes;
    const tg__loop k = tg__loop_of(&a);
    const uint32_t nodes = k.body->graph.n;
    a.callee = &tg__scan_gradient;
    if (d->to->linear) a.flags |= TG__CALL_LINEAR;
    tg__memory memory = { 0 };
    const size_t bytes = ((size_t)d->n + 2) * sizeof(tg_value) + nodes * sizeof(bool);
    tg_value *const x = tg__allocate(&memory, bytes);
    if (!x) {
        d->to->fail(d->to, "no memory");
        return;
    }
    /* A loop without steps gives the states that it is given. */
    a.wanted = tg__wanted_operands(d) & (with_states(&k, 0) | inputs_that_count(&k, (bool *)(void *)(x + d->n + 2)));
    memcpy(x, d->x, (size_t)d->n * sizeof *x);
    x[d->n + 1] = d->y;
    if (a.wanted) {
        x[d->n] = vector_part(d, d->g, 0, k.taken);
        hand_out(d, &k, d_call(d, x, d->n + 2, &a), a.wanted);
    }
    tg__deallocate(&memory, x, bytes);
}

static tg_value zeros(const tg__derivation *d, int64_t n)
{
    const tg__shape s = { .type = tg__shape_of(d, d->g)->type, .rank = 1, .n = n, .dim = { n } };
    return tg__zeros(d, &s);
}

/* The loop of directions, recorded; x gets its operands. */
static tg_value record_directions(const tg__derivation *d, const directions *v, tg_value *x)
{
    for (int i = 0; i < v->n; i++) {
        const operand *const o = &v->operand[i];
        int64_t offset = o->offset;
        const tg__shape s = shape_of(&v->k, o->input);
        if (!o->direction) x[i] = d->x[o->input];
        else if (offset < 0) x[i] = tg__zeros(d, &s);
        else x[i] = tg__derived_part(d, d->g, &offset, &s, -1);
    }
    int64_t taken = v->k.taken;
    const tg__shape one = { .type = v->k.body->type, .n = 1 };
    if (v->k.a->flags & TG__CALL_COUNTED) x[v->n] = d->x[v->scan - 1];
    else if (v->counted) x[v->n] = tg__derived_part(d, d->x[v->scan + 1], &taken, &one, -1);
    return d_call(d, x, v->n + v->counted, &v->a);
}

/* J w, of the result z of the loop of directions. */
static tg_value record_directional(const tg__derivation *d, const directions *v, tg_value z)
{
    static const tg_axis_attributes first = { TG_DEFAULTS_axis };
    tg_value part[STRETCHES];
    int n = 0;
    for (int i = 0; i < STRETCHES; i++) {
        const stretch s = stretch_of(&v->k, i);
        if (s.n) part[n++] = vector_part(d, z, 2 * s.from + s.n, s.n);
    }
    return n > 1 ? d_cat(d, part, n, &first) : n ? part[0] : zeros(d, 0);
}

/* The cotangent of both: u for the directions; for the others elements of g from `own` on, or with -1 none. */
static tg_value record_cotangent(const tg__derivation *d, const directions *v, int64_t own)
{
    static const tg_axis_attributes first = { TG_DEFAULTS_axis };
    tg_value part[2 * STRETCHES];
    int n = 0;
    for (int i = 0; i < STRETCHES; i++) {
        const stretch s = stretch_of(&v->k, i);
        if (!s.n) continue;
        part[n++] = own < 0 ? zeros(d, s.n) : vector_part(d, d->g, own + s.from, s.n);
        part[n++] = vector_part(d, d->x[v->scan], s.from, s.n);
    }
    return n ? d_cat(d, part, n, &first) : zeros(d, 0);
}

/* The gradient of the loop of directions, by the scan's inputs wanted; x has its operands, and room for two
   more. a gets its attributes. */
static tg_value record_back(const tg__derivation *d, const directions *v, tg_value *x, tg_value z,
                            int64_t own, uint64_t wanted, tg_call_attributes *a)
{
    int n = v->n + v->counted;
    *a = v->a;
    a->callee = &tg__scan_gradient;
    a->wanted = wanted_of(v, wanted);
    x[n++] = record_cotangent(d, v, own);
    x[n++] = z;
    return d_call(d, x, n, a);
}

/* The gradient of <u, J w> by the scan's inputs. */
static void record_second(tg__derivation *d, const directions *v, tg_value *x, tg_value z)
{
    tg_call_attributes a;
    const tg_value all = record_back(d, v, x, z, -1, inputs_of(&v->k, d->wanted), &a);
    int64_t offset = 0;
    for (int i = 0; i < v->n; i++) {
        if (!tg__loop_wants(&v->both, a.wanted, (uint32_t)i)) continue;
        const uint32_t input = v->operand[i].input;
        const tg_value dx = tg__derived_part(d, all, &offset, tg__input_shape(v->k.body, input),
                                             tg__loop_count(&v->k, input));
        if (!v->operand[i].direction && d->wanted[input]) d->dx[input] = dx;
    }
}

/* Both derivatives as one operation. */
static void record_transposed(tg__derivation *d, tg_value *x)
{
    tg_call_attributes a = *(const tg_call_attributes *)d->attributes;
    const tg__loop k = tg__loop_of(&a);
    a.callee = &tg__scan_transposed;
    a.along = inputs_of(&k, d->wanted);
    memcpy(x, d->x, (size_t)d->n * sizeof *x);
    x[d->n] = d->g;
    const tg_value all = d_call(d, x, d->n + 1, &a);
    const int64_t offset = hand_out(d, &k, all, a.along);
    if (d->wanted[d->n - 2]) d->dx[d->n - 2] = vector_part(d, all, offset, k.taken);
}

/* What a derivation needs: operands, and room for their list. */
typedef struct room {
    tg__memory memory;
    size_t bytes;
    tg_value *x;
    operand *list;
} room;

static bool make_room(const tg__derivation *d, room *r)
{
    const tg_call_attributes *const a = d->attributes;
    const size_t most = 2 * (size_t)((const tg_program *)a->what)->n_inputs;
    *r = (room){ .bytes = most * sizeof(operand) + (most + 5) * sizeof(tg_value) };
    r->x = tg__allocate(&r->memory, r->bytes);
    if (!r->x) d->to->fail(d->to, "no memory");
    else r->list = (operand *)(void *)(r->x + most + 5);
    return r->x;
}

static void gradient_derive(tg__derivation *d)
{
    const tg_call_attributes *const a = d->attributes;
    tg_status status = { 0 };
    directions v;
    room r;
    if (!make_room(d, &r)) return;
    if (d->to->linear) {
        record_transposed(d, r.x);
    } else if (!begin(&v, a, a->wanted, r.list, &status)) {
        d->to->fail(d->to, status.message);
    } else {
        const tg_value z = record_directions(d, &v, r.x);
        if (d->wanted[v.scan]) d->dx[v.scan] = record_directional(d, &v, z);
        if (inputs_of(&v.k, d->wanted)) record_second(d, &v, r.x, z);
    }
    tg__deallocate(&r.memory, r.x, r.bytes);
}

/* ---- the transposed derivative of a gradient ------------------------------------------------------ */

/* Of G(x, u) for a cotangent w, its last operand: the gradients of <G, w> by inputs of the scan, and by u. */
static tg_code transposed_shape(const tg__call *c, tg__shape *y)
{
    const tg_call_attributes *const a = c->attributes;
    const tg__loop k = tg__loop_of(a);
    y->rank = 1;
    y->dim[0] = elements_of(&k, a->along) + k.taken;
    return TG_OK;
}

/* The gradient of the scan for other cotangents, in the place of u: where x does not change. */
static tg_value record_gradient(const tg__derivation *d, const tg__loop *k, tg_value *x)
{
    const int scan = d->n - 3;
    tg_call_attributes a = *(const tg_call_attributes *)d->attributes;
    a.callee = &tg__scan_gradient;
    a.along = 0;
    a.flags &= ~(uint32_t)TG__CALL_LINEAR;
    memcpy(x, d->x, ((size_t)scan + 2) * sizeof *x);
    x[scan] = vector_part(d, d->g, 0, k->taken);
    return d_call(d, x, scan + 2, &a);
}

/* The parts of `all` that are by the scan's inputs, one behind the other. Others are among them only where
   a body has more inputs than there are bits. */
static tg_value parts_by_inputs(const tg__derivation *d, const directions *v, tg_value all, uint64_t wanted)
{
    static const tg_axis_attributes first = { TG_DEFAULTS_axis };
    tg_value sum = { NULL, 0, 0 };
    int64_t offset = 0, begin = 0;
    for (int i = 0; i <= v->n; i++) {
        const bool there = i < v->n && tg__loop_wants(&v->both, wanted, (uint32_t)i);
        const int64_t n = there ? elements(&v->both, (uint32_t)i) : 0;
        if (i == v->n || (there && v->operand[i].direction)) {
            const tg_value part = vector_part(d, all, begin, offset - begin);
            const tg_value both[] = { sum, part };
            if (offset > begin) sum = sum.generation ? d_cat(d, both, 2, &first) : part;
            begin = offset + n;
        }
        offset += n;
    }
    return sum.generation ? sum : zeros(d, 0);
}

/* By w: the derivative of G along what comes in, which is the gradient of <u, J dx> + <du, y> by x. */
static void transposed_derive(tg__derivation *d)
{
    const tg_call_attributes *const a = d->attributes;
    const tg__loop k = tg__loop_of(a);
    tg_status status = { 0 };
    directions v;
    room r;
    if (!make_room(d, &r)) return;
    if (!a->along) {
        d->dx[d->n - 1] = record_gradient(d, &k, r.x);
    } else if (!begin(&v, a, a->along, r.list, &status)) {
        d->to->fail(d->to, status.message);
    } else {
        tg_call_attributes of;
        const tg_value z = record_directions(d, &v, r.x);
        const tg_value all =
            record_back(d, &v, r.x, z, elements_of(&k, a->along), a->wanted, &of);
        d->dx[d->n - 1] = parts_by_inputs(d, &v, all, of.wanted);
    }
    tg__deallocate(&r.memory, r.x, r.bytes);
}

/* ---- computed ------------------------------------------------------------------------------------ */

/* The call of the loop of directions, done. */
static tg_code do_directions(const tg__call *c, const directions *v, tg__call *of)
{
    const tg_type type = v->k.body->type;
    tg__shape *const s = tg__scratch(c, ((size_t)v->n + 2) * sizeof *s);
    tg__array *const x = tg__scratch(c, ((size_t)v->n + 1) * sizeof *x);
    void *const z = tg__scratch(c, (size_t)(v->both.total + 1) * tg__type_size(type));
    if (!s || !x || !z) return TG_ERROR_MEMORY;
    for (int i = 0; i < v->n; i++) {
        const operand *const o = &v->operand[i];
        x[i] = c->x[o->input];
        if (!o->direction) continue;
        s[i] = shape_of(&v->k, o->input);
        x[i] = (tg__array){ &s[i], element_at(c->g, o->offset, type) };
        if (o->offset >= 0) continue;
        x[i].p = tg__scratch(c, (size_t)(s[i].n + 1) * tg__type_size(type));
        if (!x[i].p) return TG_ERROR_MEMORY;
        memset(x[i].p, 0, (size_t)s[i].n * tg__type_size(type));
    }
    if (v->counted) {
        const void *const y = tg__adjacent(c, c->x[v->scan + 1]);
        if (!y) return TG_ERROR_MEMORY;
        s[v->n] = (tg__shape){ .type = type, .n = 1 };
        x[v->n] = v->k.a->flags & TG__CALL_COUNTED
                      ? c->x[v->scan - 1]
                      : (tg__array){ &s[v->n], element_at(y, v->k.taken, type) };
    }
    s[v->n + 1] = (tg__shape){
        .type = type, .rank = 1, .n = v->both.total, .dim = { v->both.total }, .stride = { 1 }
    };
    *of = *c;
    of->attributes = &v->a;
    of->n = v->n + v->counted;
    of->x = x;
    of->y = (tg__array){ &s[v->n + 1], z };
    return tg__scan_forward(of);
}

/* Between a vector of the scan, and one of both: the first halves there or the second ones. */
static void move_stretches(const directions *v, void *scan, void *both, bool second, bool to_scan)
{
    const tg_type type = v->k.body->type;
    for (int i = 0; i < STRETCHES; i++) {
        const stretch s = stretch_of(&v->k, i);
        char *const a = element_at(scan, s.from, type);
        char *const b = element_at(both, 2 * s.from + (second ? s.n : 0), type);
        memcpy(to_scan ? a : b, to_scan ? b : a, (size_t)s.n * tg__type_size(type));
    }
}

static tg_code add_directional(const tg__call *c, const directions *v, const tg__call *done)
{
    const int u = v->scan;
    void *const to = tg__gradient_begin(c, u);
    void *const along = tg__scratch(c, (size_t)(v->k.taken + 1) * tg__type_size(v->k.body->type));
    if (!to || !along) return TG_ERROR_MEMORY;
    move_stretches(v, along, done->y.p, true, true);
    c->k->add(v->k.taken, to, 1, along, 1);
    tg__gradient_end(c, u, to);
    return TG_OK;
}

/* The gradient of the loop of directions, done, to dx by the scan's inputs. own: cotangents of these, NULL: none. */
static tg_code back_along(const tg__call *c, const directions *v, const tg__call *done, void *own,
                          const tg__array *dx)
{
    tg__call back = *done;
    const size_t bytes = (size_t)(v->both.taken + 1) * tg__type_size(v->k.body->type);
    void *const u = tg__adjacent(c, c->x[v->scan]), *const g = tg__scratch(c, bytes);
    tg__array *const to = tg__scratch(c, (size_t)back.n * sizeof *to + 1);
    if (!u || !g || !to) return TG_ERROR_MEMORY;
    memset(g, 0, bytes);
    move_stretches(v, u, g, true, false);
    if (own) move_stretches(v, own, g, false, false);
    for (int i = 0; i < back.n; i++) {
        to[i] = (tg__array){ back.x[i].s, NULL };
        if (i < v->n && !v->operand[i].direction) to[i] = dx[v->operand[i].input];
    }
    back.g = g;
    back.dx = to;
    return tg__scan_pull(&back);
}

static tg_code gradient_backward(const tg__call *c)
{
    const tg_call_attributes *const a = c->attributes;
    const uint32_t n = ((const tg_program *)a->what)->n_inputs;
    operand *const list = tg__scratch(c, 2 * (size_t)n * sizeof *list + 1);
    if (!list) return TG_ERROR_MEMORY;
    tg_status status = { 0 };
    directions v;
    if (!begin(&v, a, a->wanted, list, &status)) return tg__call_failed(c, &status);
    tg__call of;
    tg_code code = do_directions(c, &v, &of);
    if (!code && c->dx[v.scan].p) code = add_directional(c, &v, &of);
    bool second = false;
    for (uint32_t i = 0; i < n && !(a->flags & TG__CALL_LINEAR); i++) second |= c->dx[i].p != NULL;
    return !code && second ? back_along(c, &v, &of, NULL, c->dx) : code;
}

const tg__callee tg__scan_gradient = { "scan_gradient", gradient_shape, gradient_forward, gradient_backward,
                                       gradient_derive, true };

static tg_code transposed_forward(const tg__call *c)
{
    tg_call_attributes a = *(const tg_call_attributes *)c->attributes;
    const tg__loop k = tg__loop_of(&a);
    tg__call of = *c;
    int64_t offset = 0;
    tg__array *const dx = parts_of(c, &k, a.along, c->y.p, &offset);
    const tg__shape u = { .type = k.body->type, .rank = 1, .n = k.taken, .dim = { k.taken }, .stride = { 1 } };
    of.n = c->n - 1;
    of.g = tg__adjacent(c, c->x[of.n]);
    if (!dx || !of.g) return TG_ERROR_MEMORY;
    memset(c->y.p, 0, (size_t)c->y.s->n * tg__type_size(c->y.s->type));
    if (is_zero(of.g, c->x[of.n].s->n, k.body->type)) return TG_OK;
    a.flags &= ~(uint32_t)TG__CALL_LINEAR;
    of.attributes = &a;
    of.dx = dx;
    dx[of.n - 2] = (tg__array){ &u, element_at(c->y.p, offset, k.body->type) };
    return gradient_backward(&of);
}

/* By w, as it is recorded. */
static tg_code transposed_backward(const tg__call *c)
{
    const tg_call_attributes *const a = c->attributes;
    const tg__loop k = tg__loop_of(a);
    const int w = c->n - 1;
    int64_t offset = 0;
    if (!c->dx[w].p) return TG_OK;
    operand *const list = tg__scratch(c, 2 * (size_t)k.body->n_inputs * sizeof *list + 1);
    void *const to = tg__gradient_begin(c, w);
    tg__array *const dx = to ? parts_of(c, &k, a->wanted, to, &offset) : NULL;
    if (!list || !dx) return TG_ERROR_MEMORY;
    tg_status status = { 0 };
    directions v;
    if (!begin(&v, a, a->along, list, &status)) return tg__call_failed(c, &status);
    tg__call of;
    tg_code code = do_directions(c, &v, &of);
    void *const own = element_at(c->g, elements_of(&k, a->along), k.body->type);
    if (!code) code = back_along(c, &v, &of, own, dx);
    if (!code) tg__gradient_end(c, w, to);
    return code;
}

const tg__callee tg__scan_transposed = { "scan_transposed", transposed_shape, transposed_forward,
                                         transposed_backward, transposed_derive, true };
