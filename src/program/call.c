/* Calls of programs: recorded as one operation, whose gradient is a run of the program's transposed
   derivative, and whose recorded derivative is a call of that. */
#include "program/call.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <tapegrad/call.h>

#include "tape/record.h"

/* ---- parts --------------------------------------------------------------------------------------- */

tg_strided_attributes tg__part_of(int64_t n, int64_t offset, const tg__shape *s, int64_t count)
{
    tg_strided_attributes a = {
        .rank = s->rank, .whole_rank = 1, .offset = offset, .whole = { n }
    };
    tg__shape own = *s;
    tg__shape_finish(&own);
    const int first = count < 0 ? 0 : 1;
    a.rank += first;
    for (int i = 0; i < own.rank; i++) {
        a.dim[first + i] = own.dim[i];
        a.stride[first + i] = own.stride[i];
    }
    if (first) a.dim[0] = count, a.stride[0] = own.n;
    return a;
}

static void go_on(int64_t *offset, const tg__shape *s, int64_t count)
{
    *offset += s->n * (count < 0 ? 1 : count);
}

tg_value tg__next_part(tg_value packed, int64_t *offset, const tg__shape *s, int64_t count,
                       const tg_site *site)
{
    if (!packed.generation) return packed;
    const int64_t n = tg__value_array(packed.tape, packed.id).s->n;
    const tg_strided_attributes part = tg__part_of(n, *offset, s, count);
    go_on(offset, s, count);
    return tg__record(TG__CODE_strided, &packed, 1, &part, site);
}

tg_value tg__derived_part(const tg__derivation *d, tg_value packed, int64_t *offset,
                          const tg__shape *s, int64_t count)
{
    const tg_strided_attributes part = tg__part_of(tg__shape_of(d, packed)->n, *offset, s, count);
    go_on(offset, s, count);
    return d_strided(d, packed, &part);
}

/* ---- what goes in -------------------------------------------------------------------------------- */

tg_code tg__check_input(const tg__call *c, const tg_program *p, uint32_t i, const tg__shape *s,
                        int64_t count)
{
    const tg__shape *const own = tg__input_shape(p, i);
    const int first = count < 0 ? 0 : 1;
    const tg_type type = own->type == TG_I64 ? TG_I64 : p->type;
    if (s->type != type)
        return tg__fail(c, TG_ERROR_TYPE, "input %u has elements of type %s, the program's is %s",
                        i, tg__type_name(s->type), tg__type_name(type));
    bool same = s->rank == own->rank + first && (!first || s->dim[0] == count);
    for (int j = 0; same && j < own->rank; j++) same = s->dim[first + j] == own->dim[j];
    if (same) return TG_OK;
    if (!first)
        return tg__fail(c, TG_ERROR_SHAPE, "input %u has shape %s, the program's has %s", i,
                        TG__SHAPE_TEXT(s), TG__SHAPE_TEXT(own));
    return tg__fail(c, TG_ERROR_SHAPE, "input %u has shape %s, wanted are %lld times %s", i,
                    TG__SHAPE_TEXT(s), (long long)count, TG__SHAPE_TEXT(own));
}

tg_code tg__call_failed(const tg__call *c, const tg_status *status)
{
    return tg__fail(c, status->code, "%s", status->message);
}

bool tg__call_refused(const tg_value *x, int n, const char *what, const tg_site *site,
                      const char *format, ...)
{
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    tg_tape *t = NULL;
    for (int i = 0; x && i < n && !t; i++)
        if (x[i].tape != TG__NUMBER) t = x[i].tape;
    tg__error(t, TG_ERROR_ARGUMENT, what, site, "%s", text);
    return false;
}

uint64_t tg__wanted_operands(const tg__derivation *d)
{
    uint64_t wanted = 0;
    for (int i = 0; i < d->n; i++)
        if (d->wanted[i]) wanted |= tg__wanted_bit((uint32_t)i);
    return wanted;
}

/* ---- one call ------------------------------------------------------------------------------------ */

typedef struct call {
    const tg_program *p;
    bool batch;    /* what varies has an axis for the instances */
    int64_t count; /* of them */
} call;

static bool input_varies(const call *k, uint32_t i)
{
    return k->batch && tg__node_at(&k->p->graph, k->p->input[i])->stage == TG__BODY;
}

static int64_t input_count(const call *k, uint32_t i)
{
    return input_varies(k, i) ? k->count : -1;
}

static int64_t output_count(const call *k, uint32_t i)
{
    return k->batch && k->p->each[i] ? k->count : -1;
}

static int64_t elements(const tg__shape *s, int64_t count)
{
    return s->n * (count < 0 ? 1 : count);
}

/* x: the shape of operand i, by whatever it is found. */
static call open_call(const tg_call_attributes *a, int n, const tg__shape *x(const void *of, int i),
                      const void *of)
{
    call k = { .p = a->what, .batch = !(a->flags & TG__CALL_ONE), .count = 1 };
    for (int i = 0; i < n && (uint32_t)i < k.p->n_inputs; i++) {
        if (!input_varies(&k, (uint32_t)i)) continue;
        k.count = x(of, i)->rank ? x(of, i)->dim[0] : 0;
        break;
    }
    return k;
}

static const tg__shape *shape_in_call(const void *of, int i)
{
    return ((const tg__call *)of)->x[i].s;
}

static const tg__shape *shape_in_derivation(const void *of, int i)
{
    const tg__derivation *const d = of;
    return tg__shape_of(d, d->x[i]);
}

static call call_of(const tg__call *c)
{
    return open_call(c->attributes, c->n, shape_in_call, c);
}

static tg_code call_shape(const tg__call *c, tg__shape *y)
{
    const call k = call_of(c);
    const tg_program *const p = k.p;
    if ((uint32_t)c->n != p->n_inputs)
        return tg__fail(c, TG_ERROR_ARGUMENT, "%d inputs given, the program has %u", c->n,
                        p->n_inputs);
    if (y->type != p->type)
        return tg__fail(c, TG_ERROR_TYPE, "the program computes in %s, the tape in %s",
                        tg__type_name(p->type), tg__type_name(y->type));
    for (uint32_t i = 0; i < p->n_inputs; i++) {
        const tg_code code = tg__check_input(c, p, i, c->x[i].s, input_count(&k, i));
        if (code) return code;
    }
    y->rank = 1;
    y->dim[0] = 0;
    for (uint32_t i = 0; i < p->n_outputs; i++)
        y->dim[0] += elements(tg__output_shape(p, i), output_count(&k, i));
    return TG_OK;
}

/* Runs p, which is the call's program or its derivative. */
static tg_code run(const tg__call *c, const tg_program *p, int64_t count, const void *const *in,
                   void *const *out)
{
    tg_status status = { 0 };
    tg_workspace *const w = tg__workspace_take(p, &status);
    if (!w) return tg__call_failed(c, &status);
    const bool ok = tg_run_with(p, w, count, in, out, &(tg_run_options){ .run = c->run }, &status);
    tg__workspace_give(p, w);
    return ok ? TG_OK : tg__call_failed(c, &status);
}

/* The operands, adjacent; with room for more pointers behind. NULL: no memory. */
static const void **inputs_of(const tg__call *c, uint32_t more)
{
    const void **const in = tg__scratch(c, ((size_t)c->n + more + 1) * sizeof *in);
    for (int i = 0; in && i < c->n; i++)
        if (!(in[i] = tg__adjacent(c, c->x[i]))) return NULL;
    return in;
}

/* Where the outputs lie in a vector of all of them: of the result, or its gradient. */
static void point_at_outputs(const tg__call *c, const call *k, const void *vector, const void **to)
{
    const char *at = vector;
    for (uint32_t i = 0; i < k->p->n_outputs; i++) {
        to[i] = at;
        at += (size_t)elements(tg__output_shape(k->p, i), output_count(k, i)) *
              tg__type_size(c->y.s->type);
    }
}

static tg_code call_forward(const tg__call *c)
{
    const call k = call_of(c);
    tg_status status = { 0 };
    const tg_program *const p = k.batch ? k.p : tg__program_one(k.p, &status);
    if (!p) return tg__call_failed(c, &status);
    const void **const in = inputs_of(c, k.p->n_outputs);
    if (!in) return TG_ERROR_MEMORY;
    point_at_outputs(c, &k, c->y.p, in + c->n);
    return run(c, p, k.count, in, (void *const *)(void *)(in + c->n));
}

static tg__vjp derivative_of(const call *k, uint64_t wanted, bool by_ops)
{
    return (tg__vjp){
        .wanted = wanted, .outputs = k->p->n_outputs, .one = !k->batch, .by_ops = by_ops
    };
}

/* Whether input i is one that the derivative has a gradient by. */
static bool has_gradient(const call *k, uint32_t i, uint64_t wanted)
{
    return wanted & tg__wanted_bit(i) && tg__input_shape(k->p, i)->type != TG_I64;
}

static tg_code call_backward(const tg__call *c)
{
    const call k = call_of(c);
    const tg_call_attributes *const a = c->attributes;
    const bool linear = a->transposed && a->flags & TG__CALL_LINEAR;
    const uint32_t first = linear ? ((const tg_program *)a->transposed)->n_inputs : 0;
    uint64_t wanted = 0;
    for (uint32_t i = first; i < (uint32_t)c->n; i++)
        if (c->dx[i].p) wanted |= tg__wanted_bit(i);
    tg_status status = { 0 };
    const tg__vjp how = derivative_of(&k, wanted, false);
    const tg_program *const v = tg__program_vjp(k.p, &how, &status);
    if (!v) return tg__call_failed(c, &status);
    const void **const in = inputs_of(c, k.p->n_outputs);
    void **const out = tg__scratch(c, ((size_t)c->n + 1) * sizeof *out);
    if (!in || !out) return TG_ERROR_MEMORY;
    point_at_outputs(c, &k, c->g, in + c->n);
    uint32_t n = 0;
    for (uint32_t i = 0; i < k.p->n_inputs; i++) {
        if (!has_gradient(&k, i, wanted)) continue;
        out[n] = tg__scratch(c, (size_t)(c->x[i].s->n + 1) * tg__type_size(c->y.s->type));
        if (!out[n++]) return TG_ERROR_MEMORY;
    }
    const tg_code code = run(c, v, k.count, in, out);
    if (code) return code;
    n = 0;
    for (uint32_t i = 0; i < k.p->n_inputs; i++) {
        if (!has_gradient(&k, i, wanted)) continue;
        tg__shape own = *c->x[i].s;
        tg__shape_finish(&own);
        if (c->dx[i].p) tg__add(c->k, c->dx[i], (tg__array){ &own, out[n] });
        n++;
    }
    return TG_OK;
}

static bool derivative_failed(const tg__derivation *d, const char *why)
{
    d->to->fail(d->to, why);
    return false;
}

/* The gradients by the operands, as a call of the transposed derivative. */
static bool derive_back(tg__derivation *d, const call *k)
{
    const uint64_t wanted = tg__wanted_operands(d);
    tg_status status = { 0 };
    const tg__vjp how = derivative_of(k, wanted, true);
    const tg_program *const v = tg__program_vjp(k->p, &how, &status);
    if (!v) return derivative_failed(d, status.message);
    tg__memory memory = { 0 };
    const size_t bytes = v->n_inputs * sizeof(tg_value);
    tg_value *const x = tg__allocate(&memory, bytes);
    if (!x) return derivative_failed(d, "no memory");
    memcpy(x, d->x, (size_t)d->n * sizeof *x);
    int64_t offset = 0;
    for (uint32_t i = 0; i < k->p->n_outputs; i++)
        x[d->n + (int)i] =
            tg__derived_part(d, d->g, &offset, tg__output_shape(k->p, i), output_count(k, i));
    tg_call_attributes of = *(const tg_call_attributes *)d->attributes;
    of.what = v;
    of.transposed = k->p;
    if (d->to->linear) of.flags |= TG__CALL_LINEAR;
    of.wanted = wanted;
    const tg_value all = d_call(d, x, (int)v->n_inputs, &of);
    tg__deallocate(&memory, x, bytes);
    offset = 0;
    for (uint32_t i = 0; i < k->p->n_inputs; i++) {
        if (!has_gradient(k, i, wanted)) continue;
        const tg_value dx =
            tg__derived_part(d, all, &offset, tg__input_shape(k->p, i), input_count(k, i));
        if (d->wanted[i]) d->dx[i] = dx;
    }
    return true;
}

/* The gradients by the cotangents of a call that is the transposed derivative of p: in these it is linear,
   so that they are p's derivative along what comes in, and the cotangents themselves are in it nowhere. */
static bool derive_forward(tg__derivation *d, const call *back, const tg_program *p)
{
    const tg_call_attributes *const a = d->attributes;
    const call k = { .p = p, .batch = back->batch, .count = back->count };
    tg_status status = { 0 };
    const tg__vjp how = { .wanted = a->wanted,
                          .outputs = p->n_outputs,
                          .one = !k.batch,
                          .forward = true };
    const tg_program *const v = tg__program_vjp(p, &how, &status);
    if (!v) return derivative_failed(d, status.message);
    tg__memory memory = { 0 };
    const size_t bytes = v->n_inputs * sizeof(tg_value);
    tg_value *const x = tg__allocate(&memory, bytes);
    if (!x) return derivative_failed(d, "no memory");
    memcpy(x, d->x, p->n_inputs * sizeof *x);
    uint32_t n = p->n_inputs;
    int64_t offset = 0;
    for (uint32_t i = 0; i < p->n_inputs; i++)
        if (has_gradient(&k, i, a->wanted))
            x[n++] = tg__derived_part(d, d->g, &offset, tg__input_shape(p, i), input_count(&k, i));
    tg_call_attributes of = *a;
    of.what = v;
    of.transposed = NULL;
    of.wanted = 0;
    of.flags &= ~(uint32_t)TG__CALL_LINEAR;
    const tg_value all = d_call(d, x, (int)n, &of);
    tg__deallocate(&memory, x, bytes);
    offset = 0;
    for (uint32_t i = 0; i < p->n_outputs; i++)
        offset += elements(tg__output_shape(p, i), output_count(&k, i));
    for (uint32_t i = 0; i < p->n_outputs; i++)
        d->dx[p->n_inputs + i] =
            tg__derived_part(d, all, &offset, tg__output_shape(p, i), output_count(&k, i));
    return true;
}

static void call_derive(tg__derivation *d)
{
    const tg_call_attributes *const a = d->attributes;
    const call k = open_call(a, d->n, shape_in_derivation, d);
    const tg_program *const p = a->transposed;
    bool linear = p;
    for (uint32_t i = 0; linear && i < p->n_inputs; i++) linear = !d->wanted[i];
    if (linear) derive_forward(d, &k, p);
    else derive_back(d, &k);
}

const tg__callee tg__called = { "call", call_shape, call_forward, call_backward, call_derive, false };

/* ---- recording ----------------------------------------------------------------------------------- */

bool tg_call_at(const tg_program *p, const tg_value *inputs, int n, tg_value *outputs,
                const tg_site *site)
{
    static const char *const what = "call";
    if (!p || !outputs)
        return tg__call_refused(inputs, n, what, site, "the %s NULL",
                                p ? "list of outputs is" : "program is");
    bool batch = false;
    for (uint32_t i = 0; i < p->n_inputs; i++)
        batch |= tg__node_at(&p->graph, p->input[i])->stage == TG__BODY;
    for (uint32_t i = 0; i < p->n_outputs; i++) {
        outputs[i] = (tg_value){ NULL, 0, 0 };
        if (tg__output_shape(p, i)->type == TG_I64)
            return tg__call_refused(inputs, n, what, site, "output %u is one of integers", i);
    }
    const tg_call_attributes a = { .callee = &tg__called,
                                   .what = p,
                                   .flags = p->flags | (batch ? 0u : TG__CALL_ONE) };
    const tg_value all = tg__record(TG__CODE_call, inputs, n, &a, site);
    if (!all.generation) return false;
    const tg_tape *const t = all.tape;
    int64_t count = -1, offset = 0;
    for (int i = 0; batch && count < 0; i++)
        if (tg__node_at(&p->graph, p->input[i])->stage == TG__BODY)
            count = tg__value_array(t, inputs[i].id).s->dim[0];
    for (uint32_t i = 0; i < p->n_outputs; i++) {
        outputs[i] =
            tg__next_part(all, &offset, tg__output_shape(p, i), p->each[i] ? count : -1, site);
        if (!outputs[i].generation) return false;
    }
    return true;
}
