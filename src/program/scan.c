/* Loops as operations: what a scan's result is made of, and recording it. */
#include "program/scan.h"

#include <string.h>

#include <tapegrad/call.h>

#include "tape/record.h"

enum { MOST_STEPS = INT32_MAX, MOST_COUNTED_F32 = 1 << 24 };

/* ---- what there is ------------------------------------------------------------------------------- */

tg__loop tg__loop_of(const tg_call_attributes *a)
{
    const tg_program *const p = a->what;
    const uint32_t stop = a->flags & TG__CALL_STOP ? 1 : 0;
    tg__loop k = { .body = p, .a = a, .states = a->states, .each = a->each, .summed = a->summed };
    k.stacked = p->n_outputs - a->states - a->summed - stop;
    for (uint32_t i = 0; i < a->states; i++) k.state_size += tg__input_shape(p, i)->n;
    k.sums = k.state_size;
    uint32_t i = a->states;
    for (; i < a->states + k.stacked; i++) k.sums += tg__output_shape(p, i)->n * a->steps;
    k.taken = k.sums;
    for (; i < a->states + k.stacked + a->summed; i++) k.taken += tg__output_shape(p, i)->n;
    k.kept = k.taken + stop;
    k.total = k.kept + k.state_size * a->slots;
    return k;
}

static tg_code scan_shape(const tg__call *c, tg__shape *y)
{
    const tg_call_attributes *const a = c->attributes;
    const tg__loop k = tg__loop_of(a);
    const int counted = a->flags & TG__CALL_COUNTED ? 1 : 0;
    if ((uint32_t)(c->n - counted) != k.body->n_inputs)
        return tg__fail(c, TG_ERROR_ARGUMENT, "%d inputs given, the body has %u", c->n,
                        k.body->n_inputs);
    if (y->type != k.body->type)
        return tg__fail(c, TG_ERROR_TYPE, "the body computes in %s, the tape in %s",
                        tg__type_name(k.body->type), tg__type_name(y->type));
    for (uint32_t i = 0; i < k.body->n_inputs; i++) {
        const bool each = i >= k.states && i < k.states + k.each;
        const tg_code code = tg__check_input(c, k.body, i, c->x[i].s, each ? a->steps : -1);
        if (code) return code;
    }
    y->rank = 1;
    y->dim[0] = k.total;
    return TG_OK;
}

const tg__callee tg__scanned = { "scan", scan_shape, tg__scan_forward, tg__scan_backward,
                                 tg__scan_derive, false };

/* ---- recording ----------------------------------------------------------------------------------- */

/* Why this body cannot be scanned so; NULL: it can. */
static const char *mistake(const tg_program *body, const tg_scan_options *o, uint32_t *at)
{
    const int last = o->stop ? 1 : 0;
    *at = 0;
    if (o->steps < 0 || o->steps > MOST_STEPS)
        return "the number of steps is negative or above 2^31";
    if (o->slots < 0) return "the number of slots is negative";
    if (o->states < 0 || o->each < 0 || o->summed < 0) return "a number in the options is negative";
    if ((int64_t)o->states + o->each > body->n_inputs)
        return "the body has fewer inputs than states and what there is for each step";
    if ((int64_t)o->states + o->summed + last > body->n_outputs)
        return "the body has fewer outputs than states, sums and the stop condition";
    if (o->stop && body->type == TG_F32 && o->steps > MOST_COUNTED_F32)
        return "a scan that stops has at most 2^24 steps in f32";
    for (*at = 0; *at < body->n_outputs; ++*at)
        if (tg__output_shape(body, *at)->type == TG_I64)
            return "of the body, output %u is one of integers";
    for (*at = 0; *at < (uint32_t)o->states; ++*at) {
        const tg__shape *const in = tg__input_shape(body, *at), *const out =
                                                                    tg__output_shape(body, *at);
        if (in->type == TG_I64) return "state %u is one of integers";
        if (!tg__shape_same_dims(in, out)) return "state %u comes out of the body in another shape";
    }
    *at = body->n_outputs - 1;
    if (o->stop && tg__output_shape(body, *at)->n != 1)
        return "the stop condition, output %u of the body, is not one number";
    return NULL;
}

static int64_t slots_of(const tg_scan_options *o)
{
    if (o->states == 0 || o->slots > o->steps) return o->steps;
    if (o->slots == 0) return tg__checkpoints_for(o->steps);
    return o->steps ? o->slots : 0;
}

bool tg_scan_at(const tg_program *body, const tg_scan_options *options, const tg_value *inputs,
                int n, tg_value *outputs, const tg_site *site)
{
    static const char *const what = "scan";
    if (!body || !options || !outputs)
        return tg__call_refused(inputs, n, what, site, "the %s NULL",
                                !body      ? "body is"
                                : !options ? "options are"
                                           : "list of outputs is");
    uint32_t at;
    const char *const wrong = mistake(body, options, &at);
    if (wrong) return tg__call_refused(inputs, n, what, site, wrong, at);
    const tg_call_attributes a = { .callee = &tg__scanned,
                                   .what = body,
                                   .steps = options->steps,
                                   .slots = slots_of(options),
                                   .states = (uint32_t)options->states,
                                   .each = (uint32_t)options->each,
                                   .summed = (uint32_t)options->summed,
                                   .flags = body->flags | (options->stop ? TG__CALL_STOP : 0u) |
                                            (options->reverse ? TG__CALL_REVERSE : 0u) };
    const tg__loop k = tg__loop_of(&a);
    for (uint32_t i = 0; i < body->n_outputs; i++) outputs[i] = (tg_value){ NULL, 0, 0 };
    const tg_value all = tg__record(TG__CODE_call, inputs, n, &a, site);
    int64_t offset = 0;
    for (uint32_t i = 0; i < body->n_outputs && all.generation; i++) {
        const bool stacked = i >= k.states && i < k.states + k.stacked;
        outputs[i] = tg__next_part(all, &offset, tg__output_shape(body, i),
                                   stacked ? options->steps : -1, site);
        if (!outputs[i].generation) return false;
    }
    return all.generation;
}
