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

static tg_code gradient_shape(const tg__call *c, tg__shape *y)
{
    const tg_call_attributes *const a = c->attributes;
    const tg__loop k = tg__loop_of(a);
    y->rank = 1;
    y->dim[0] = 0;
    for (uint32_t i = 0; i < k.body->n_inputs; i++)
        if (tg__loop_wants(&k, a->wanted, i)) y->dim[0] += elements(&k, i);
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

/* The scan's rule, that finds its operands, result and gradients in ours. */
static tg_code gradient_forward(const tg__call *c)
{
    const tg_call_attributes *const a = c->attributes;
    const tg__loop k = tg__loop_of(a);
    tg__call of = *c;
    of.n = c->n - 2;
    tg__shape *const s = tg__scratch(c, ((size_t)of.n + 1) * sizeof *s);
    tg__array *const dx = tg__scratch(c, ((size_t)of.n + 1) * sizeof *dx);
    of.g = tg__adjacent(c, c->x[of.n]);
    of.y.s = c->x[of.n + 1].s;
    of.y.p = tg__adjacent(c, c->x[of.n + 1]);
    of.dx = dx;
    if (!s || !dx || !of.y.p || !of.g) return TG_ERROR_MEMORY;
    memset(c->y.p, 0, (size_t)c->y.s->n * tg__type_size(c->y.s->type));
    int64_t offset = 0;
    for (int i = 0; i < of.n; i++) {
        dx[i] = (tg__array){ NULL, NULL };
        if ((uint32_t)i >= k.body->n_inputs || !tg__loop_wants(&k, a->wanted, (uint32_t)i)) continue;
        s[i] = shape_of(&k, (uint32_t)i);
        dx[i] = (tg__array){ &s[i], element_at(c->y.p, offset, c->y.s->type) };
        offset += s[i].n;
    }
    return tg__scan_backward(&of);
}

/* ---- the loop of directions ---------------------------------------------------------------------- */

/* An operand of it: one of the scan, or its direction: a part of w, behind `offset` elements; -1: zeros. */
typedef struct operand {
    uint32_t input;
    bool direction;
    int64_t offset;
} operand;

typedef struct directions {
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

/* For the gradient with these attributes. room: for twice as many operands as the body has inputs. */
static bool begin(directions *v, const tg_call_attributes *a, operand *room, tg_status *status)
{
    const tg__loop k = tg__loop_of(a);
    const uint64_t wanted = with_states(&k, a->wanted);
    const tg__vjp how = { .wanted = wanted,
                          .outputs = k.states + k.stacked + k.summed,
                          .states = k.states,
                          .each = k.each,
                          .stacked = k.stacked,
                          .forward = true,
                          .one = true };
    const tg_program *const body = tg__program_vjp(k.body, &how, status);
    if (!body) return false;
    *v = (directions){ .k = k, .a = *a, .operand = room };
    list_operands(v, wanted, a->wanted);
    v->counted = a->flags & (TG__CALL_STOP | TG__CALL_COUNTED);
    v->a.callee = &tg__scanned;
    v->a.what = body;
    v->a.wanted = 0;
    v->a.states = 2 * k.states;
    v->a.each = 0;
    for (int i = 0; i < v->n; i++) v->a.each += tg__loop_count(&k, v->operand[i].input) >= 0;
    v->a.summed = 2 * k.summed;
    v->a.flags &= ~(uint32_t)TG__CALL_STOP;
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
static uint64_t wanted_of(const directions *v, const bool *wanted)
{
    uint64_t bits = 0;
    for (int i = 0; i < v->n; i++)
        if (!v->operand[i].direction && wanted[v->operand[i].input]) bits |= tg__wanted_bit((uint32_t)i);
    return bits;
}

/* ---- recorded ------------------------------------------------------------------------------------ */

void tg__scan_derive(tg__derivation *d)
{
    tg_call_attributes a = *(const tg_call_attributes *)d->attributes;
    const tg__loop k = tg__loop_of(&a);
    a.callee = &tg__scan_gradient;
    a.wanted = tg__wanted_operands(d);
    tg__memory memory = { 0 };
    const size_t bytes = ((size_t)d->n + 2) * sizeof(tg_value);
    tg_value *const x = tg__allocate(&memory, bytes);
    if (!x) {
        d->to->fail(d->to, "no memory");
        return;
    }
    int64_t offset = 0;
    memcpy(x, d->x, (size_t)d->n * sizeof *x);
    const tg__shape u = { .type = k.body->type, .rank = 1, .n = k.taken, .dim = { k.taken } };
    x[d->n] = tg__derived_part(d, d->g, &offset, &u, -1);
    x[d->n + 1] = d->y;
    const tg_value all = d_call(d, x, d->n + 2, &a);
    tg__deallocate(&memory, x, bytes);
    offset = 0;
    for (uint32_t i = 0; i < k.body->n_inputs; i++) {
        if (!tg__loop_wants(&k, a.wanted, i)) continue;
        const tg_value dx = tg__derived_part(d, all, &offset, tg__input_shape(k.body, i),
                                             tg__loop_count(&k, i));
        if (d->wanted[i]) d->dx[i] = dx;
    }
}

static tg_value vector_part(const tg__derivation *d, tg_value from, int64_t offset, int64_t n)
{
    const tg__shape s = { .type = tg__shape_of(d, from)->type, .rank = 1, .n = n, .dim = { n } };
    return tg__derived_part(d, from, &offset, &s, -1);
}

static tg_value zeros(const tg__derivation *d, int64_t n)
{
    const tg__shape s = { .type = tg__shape_of(d, d->g)->type, .rank = 1, .n = n, .dim = { n } };
    return tg__zeros(d, &s);
}

/* The loop of directions, recorded; x gets its operands. */
static tg_value record_directions(const tg__derivation *d, const directions *v, tg_value *x)
{
    const int scan = d->n - 2; /* operands of it */
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
    if (v->k.a->flags & TG__CALL_COUNTED) x[v->n] = d->x[scan - 1];
    else if (v->counted) x[v->n] = tg__derived_part(d, d->x[scan + 1], &taken, &one, -1);
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

/* The cotangent of both: u for the directions. */
static tg_value record_cotangent(const tg__derivation *d, const directions *v)
{
    static const tg_axis_attributes first = { TG_DEFAULTS_axis };
    tg_value part[2 * STRETCHES];
    int n = 0;
    for (int i = 0; i < STRETCHES; i++) {
        const stretch s = stretch_of(&v->k, i);
        if (!s.n) continue;
        part[n++] = zeros(d, s.n);
        part[n++] = vector_part(d, d->x[d->n - 2], s.from, s.n);
    }
    return n ? d_cat(d, part, n, &first) : zeros(d, 0);
}

/* The gradient of <u, J w> by the scan's inputs: x has the operands of the loop of directions, and room
   for two more. */
static void record_second(tg__derivation *d, const directions *v, tg_value *x, tg_value z)
{
    tg_call_attributes a = v->a;
    int n = v->n + v->counted;
    a.callee = &tg__scan_gradient;
    a.wanted = wanted_of(v, d->wanted);
    x[n++] = record_cotangent(d, v);
    x[n++] = z;
    const tg_value all = d_call(d, x, n, &a);
    int64_t offset = 0;
    for (int i = 0; i < v->n; i++) {
        if (!tg__loop_wants(&v->both, a.wanted, (uint32_t)i)) continue;
        const uint32_t input = v->operand[i].input;
        const tg_value dx = tg__derived_part(d, all, &offset, tg__input_shape(v->k.body, input),
                                             tg__loop_count(&v->k, input));
        if (!v->operand[i].direction && d->wanted[input]) d->dx[input] = dx;
    }
}

static bool any(const bool *wanted, uint32_t n)
{
    while (n > 0 && !wanted[n - 1]) n--;
    return n > 0;
}

static void gradient_derive(tg__derivation *d)
{
    const tg_call_attributes *const a = d->attributes;
    const uint32_t most = 2 * ((const tg_program *)a->what)->n_inputs;
    tg__memory memory = { 0 };
    const size_t bytes = most * sizeof(operand) + ((size_t)most + 3) * sizeof(tg_value);
    tg_value *const x = tg__allocate(&memory, bytes);
    tg_status status = { .message = "no memory" };
    directions v;
    if (!x || !begin(&v, a, (operand *)(void *)(x + most + 3), &status)) {
        d->to->fail(d->to, status.message);
    } else {
        const tg_value z = record_directions(d, &v, x);
        if (d->wanted[d->n - 2]) d->dx[d->n - 2] = record_directional(d, &v, z);
        if (any(d->wanted, v.k.body->n_inputs)) record_second(d, &v, x, z);
    }
    if (x) tg__deallocate(&memory, x, bytes);
}

/* ---- computed ------------------------------------------------------------------------------------ */

/* The call of the loop of directions, done. */
static tg_code do_directions(const tg__call *c, const directions *v, tg__call *of)
{
    const tg_type type = v->k.body->type;
    const int scan = c->n - 2;
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
        const void *const y = tg__adjacent(c, c->x[scan + 1]);
        if (!y) return TG_ERROR_MEMORY;
        s[v->n] = (tg__shape){ .type = type, .n = 1 };
        x[v->n] = v->k.a->flags & TG__CALL_COUNTED
                      ? c->x[scan - 1]
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

/* Between a vector of the scan, and the second halves in one of both. */
static void move_stretches(const directions *v, void *scan, void *both, bool to_scan)
{
    const tg_type type = v->k.body->type;
    for (int i = 0; i < STRETCHES; i++) {
        const stretch s = stretch_of(&v->k, i);
        char *const a = element_at(scan, s.from, type), *const b = element_at(both, 2 * s.from + s.n, type);
        memcpy(to_scan ? a : b, to_scan ? b : a, (size_t)s.n * tg__type_size(type));
    }
}

static tg_code add_directional(const tg__call *c, const directions *v, const tg__call *done)
{
    const int u = c->n - 2;
    void *const to = tg__gradient_begin(c, u);
    void *const along = tg__scratch(c, (size_t)(v->k.taken + 1) * tg__type_size(v->k.body->type));
    if (!to || !along) return TG_ERROR_MEMORY;
    move_stretches(v, along, done->y.p, true);
    c->k->add(v->k.taken, to, 1, along, 1);
    tg__gradient_end(c, u, to);
    return TG_OK;
}

static tg_code add_second(const tg__call *c, const directions *v, const tg__call *done)
{
    tg__call back = *done;
    const size_t bytes = (size_t)(v->both.taken + 1) * tg__type_size(v->k.body->type);
    void *const u = tg__adjacent(c, c->x[c->n - 2]), *const g = tg__scratch(c, bytes);
    tg__array *const dx = tg__scratch(c, (size_t)back.n * sizeof *dx + 1);
    if (!u || !g || !dx) return TG_ERROR_MEMORY;
    memset(g, 0, bytes);
    move_stretches(v, u, g, false);
    for (int i = 0; i < back.n; i++) {
        dx[i] = (tg__array){ back.x[i].s, NULL };
        if (i < v->n && !v->operand[i].direction) dx[i] = c->dx[v->operand[i].input];
    }
    back.g = g;
    back.dx = dx;
    return tg__scan_backward(&back);
}

static tg_code gradient_backward(const tg__call *c)
{
    const tg_call_attributes *const a = c->attributes;
    const uint32_t n = ((const tg_program *)a->what)->n_inputs;
    operand *const room = tg__scratch(c, 2 * (size_t)n * sizeof *room + 1);
    if (!room) return TG_ERROR_MEMORY;
    tg_status status = { 0 };
    directions v;
    if (!begin(&v, a, room, &status)) return tg__call_failed(c, &status);
    tg__call of;
    tg_code code = do_directions(c, &v, &of);
    if (!code && c->dx[c->n - 2].p) code = add_directional(c, &v, &of);
    bool second = false;
    for (uint32_t i = 0; i < n; i++) second |= c->dx[i].p != NULL;
    return !code && second ? add_second(c, &v, &of) : code;
}

const tg__callee tg__scan_gradient = { "scan_gradient", gradient_shape, gradient_forward, gradient_backward,
                                       gradient_derive };
