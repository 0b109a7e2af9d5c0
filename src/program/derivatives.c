/* Programs made of programs: gradients, Hessian-vector products, derivatives along directions. */
#include <stdio.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/plan.h"
#include "program/vjp.h"

/* How a gradient is made that is differentiated before it is summed. */
enum { AGAIN = TG__BY_OPS | TG__EACH };

/* ---- graphs to add to ---------------------------------------------------------------------------- */

static bool clone(tg__arena *to, const tg__arena *from, tg__memory *m)
{
    tg__arena_init(to, m);
    if (!tg__arena_grow(to, from->used + 1)) return false;
    if (from->used) memcpy(to->data, from->data, from->used);
    to->used = from->used;
    return true;
}

static bool clone_graph(tg__graph *to, const tg__graph *from, tg__memory *m)
{
    *to = *from;
    to->memory = m;
    tg__arena_init(&to->scratch, m);
    tg__arena table = from->table;
    table.used = from->buckets * sizeof(uint32_t);
    tg__arena *const copy[] = { &to->nodes,     &to->pool,  &to->shapes, &to->attributes,
                                &to->constants, &to->table, &to->sites };
    const tg__arena *const own[] = { &from->nodes,     &from->pool, &from->shapes, &from->attributes,
                                     &from->constants, &table,      &from->sites };
    bool ok = true;
    for (size_t i = 0; i < sizeof copy / sizeof *copy; i++)
        if (!clone(copy[i], own[i], m)) ok = false; /* all of them are made the new graph's own */
    return ok;
}

/* A program being derived from another one, p: by which inputs, in which words. */
typedef struct derivation {
    const tg_program *p;
    const char *what;
    tg_status *status;
    tg__memory memory;
    size_t bytes;
    uint32_t *number, n; /* the inputs that derivatives are by */
    uint32_t *node;      /* room for as many nodes, four times */
    tg_program *made;
} derivation;

static bool refuse(derivation *d, tg_code code, const char *why)
{
    tg__program_fail(d->status, code, d->what, why);
    return false;
}

static bool is_state(const tg_program *p, uint32_t input)
{
    uint32_t n;
    const tg__state *const state = tg__program_states(&p->states, &n);
    while (n > 0 && state[n - 1].input != input) n--;
    return n > 0;
}

/* Which inputs: all shared ones that are no integers and no states, or the given ones. */
static bool choose_inputs(derivation *d, const int *wrt, int n_wrt)
{
    const tg_program *const p = d->p;
    char why[64];
    for (uint32_t i = p->n_batch; !wrt && i < p->n_inputs; i++)
        if (tg__node_shape(&p->graph, p->input[i])->type != TG_I64 && !is_state(p, i))
            d->number[d->n++] = i;
    for (int i = 0; wrt && i < n_wrt; i++) {
        const int input = wrt[i];
        const bool exists = input >= 0 && (uint32_t)input < p->n_inputs && d->n < p->n_inputs;
        if (exists && tg__node_shape(&p->graph, p->input[input])->type != TG_I64) {
            d->number[d->n++] = (uint32_t)input;
            continue;
        }
        if (exists) snprintf(why, sizeof why, "input %d is one of integers", input);
        else snprintf(why, sizeof why, "there is no input %d", input);
        return refuse(d, TG_ERROR_ARGUMENT, why);
    }
    return d->n || refuse(d, TG_ERROR_ARGUMENT, "there is no input to differentiate by");
}

static bool begin(derivation *d, const tg_program *p, const int *wrt, int n_wrt, const char *what,
                  tg_status *status)
{
    *d = (derivation){ .p = p, .what = what, .status = status };
    if (!p) return refuse(d, TG_ERROR_ARGUMENT, "the program is NULL");
    d->bytes = (5 * (size_t)p->n_inputs + 2 * (size_t)p->n_outputs + 1) * sizeof(uint32_t);
    d->number = tg__allocate(&d->memory, d->bytes);
    if (!d->number) return refuse(d, TG_ERROR_MEMORY, "no memory");
    d->node = d->number + p->n_inputs;
    return choose_inputs(d, wrt, n_wrt);
}

/* The new program: p's graph, p's inputs and some more. */
static bool make(derivation *d, uint32_t more_inputs, uint32_t outputs)
{
    const tg_program *const p = d->p;
    tg_program *const made = tg__program_new(p->n_inputs + more_inputs, p->n_batch, outputs);
    if (!made) return refuse(d, TG_ERROR_MEMORY, "no memory");
    d->made = made;
    made->type = p->type;
    made->block = p->block;
    memcpy(made->input, p->input, p->n_inputs * sizeof *p->input);
    memcpy(made->leaf, p->leaf, p->n_inputs * sizeof *p->leaf);
    if (!clone_graph(&made->graph, &p->graph, &made->memory))
        tg__graph_fail(&made->graph, TG_ERROR_MEMORY, "no memory");
    return true;
}

static tg_program *finish(derivation *d)
{
    tg__deallocate(&d->memory, d->number, d->bytes);
    return d->made ? tg__program_finish(d->made, d->what, d->status) : NULL;
}

static bool is_number(derivation *d)
{
    const tg__shape *const s = tg__node_shape(&d->p->graph, d->p->output[0]);
    if (s->n == 1 && s->type != TG_I64) return true;
    char why[96];
    snprintf(why, sizeof why, "the first output has %lld elements%s, not one number", (long long)s->n,
             s->type == TG_I64 ? ", integers" : "");
    return refuse(d, TG_ERROR_SHAPE, why);
}

/* ---- over the batch ------------------------------------------------------------------------------ */

static uint32_t times_count(tg__graph *g, uint32_t x, int code)
{
    const uint32_t by[] = { x, tg__graph_count(g) };
    return tg__graph_apply(g, code, by, 2, NULL);
}

/* x over the batch: its sum or mean. */
static uint32_t total_of(tg__graph *g, uint32_t x, tg_over_batch over)
{
    if (tg__graph_failed(g)) return 0;
    const bool varies = tg__node_at(g, x)->stage == TG__BODY;
    if (!varies) return over == TG_BATCH_MEAN ? x : times_count(g, x, TG__CODE_mul);
    x = tg__graph_sum(g, x);
    return over == TG_BATCH_MEAN ? times_count(g, x, TG__CODE_div) : x;
}

/* The outputs of the new program: the loss over the batch, and from output `first` on gradients by the
   chosen inputs. */
static void set_gradients(const derivation *d, uint32_t first, const uint32_t *gradient,
                          tg_over_batch over)
{
    tg_program *const made = d->made;
    tg__graph *const g = &made->graph;
    const bool each = over == TG_BATCH_EACH;
    made->output[0] = each ? d->p->output[0] : total_of(g, d->p->output[0], over);
    made->each[0] = each;
    for (uint32_t i = 0; i < d->n; i++) {
        const bool mean = over == TG_BATCH_MEAN;
        made->output[first + i] = mean ? times_count(g, gradient[i], TG__CODE_div) : gradient[i];
        made->each[first + i] = each || d->number[i] < made->n_batch;
        made->by[first + i] = d->number[i];
    }
}

static bool differentiate(const derivation *d, uint32_t of, const uint32_t *by, unsigned how,
                          uint32_t *gradient)
{
    tg__graph *const g = &d->made->graph;
    return !tg__graph_failed(g) &&
           tg__graph_gradient(g, &of, NULL, 1, by, NULL, (int)d->n, how, gradient);
}

tg_program *tg_gradient_program(const tg_program *p, const tg_gradient_options *options,
                                tg_status *status)
{
    const tg_gradient_options o = options ? *options : (tg_gradient_options){ 0 };
    derivation d;
    if (begin(&d, p, o.wrt, o.n_wrt, "gradient_program", status) && is_number(&d) &&
        make(&d, 0, d.n + 1)) {
        uint32_t *const wrt = d.node, *const gradient = wrt + d.n;
        d.made->gradient = true;
        if (p->states.used && !clone(&d.made->states, &p->states, &d.made->memory))
            tg__graph_fail(&d.made->graph, TG_ERROR_MEMORY, "no memory");
        for (uint32_t i = 0; i < d.n; i++) wrt[i] = p->input[d.number[i]];
        if (differentiate(&d, p->output[0], wrt, o.over == TG_BATCH_EACH ? TG__EACH : 0, gradient))
            set_gradients(&d, 1, gradient, o.over);
    }
    return finish(&d);
}

/* ---- along directions ---------------------------------------------------------------------------- */

/* One more input, like node x. */
static uint32_t input_like(tg_program *made, uint32_t which, uint32_t x)
{
    tg__graph *const g = &made->graph;
    const tg__shape s = *tg__node_shape(g, x);
    return tg__graph_input(g, which, &s, tg__node_at(g, x)->stage == TG__BODY);
}

/* The sum over i of the inner products of a[i] and b[i]. */
static uint32_t inner_product(tg__graph *g, const uint32_t *a, const uint32_t *b, uint32_t n)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t x[] = { a[i], b[i] };
        uint32_t term = tg__graph_apply(g, TG__CODE_mul, x, 2, NULL);
        if (tg__graph_failed(g)) return 0;
        if (tg__node_at(g, term)->shape) term = tg__graph_apply(g, TG__CODE_sum, &term, 1, NULL);
        const uint32_t both[] = { sum, term };
        sum = sum ? tg__graph_apply(g, TG__CODE_add, both, 2, NULL) : term;
    }
    return sum;
}

/* The directions, one for each chosen input, behind p's inputs. */
static void add_directions(const derivation *d, uint32_t *direction)
{
    for (uint32_t i = 0; i < d->n; i++) {
        const uint32_t which = d->p->n_inputs + i, number = d->number[i];
        direction[i] = input_like(d->made, which, d->p->input[number]);
        d->made->input[which] = direction[i];
    }
}

tg_program *tg_hvp_program(const tg_program *p, const tg_gradient_options *options, tg_status *status)
{
    const tg_gradient_options o = options ? *options : (tg_gradient_options){ 0 };
    derivation d;
    if (begin(&d, p, o.wrt, o.n_wrt, "hvp_program", status) && is_number(&d) &&
        make(&d, d.n, 1 + d.n * (o.with_gradient ? 2 : 1))) {
        tg__graph *const g = &d.made->graph;
        uint32_t *const wrt = d.node, *const gradient = wrt + d.n, *const direction = gradient + d.n;
        for (uint32_t i = 0; i < d.n; i++) wrt[i] = p->input[d.number[i]];
        if (!tg__graph_failed(g)) add_directions(&d, direction);
        const unsigned each = o.over == TG_BATCH_EACH ? TG__EACH : 0;
        if (o.with_gradient && differentiate(&d, p->output[0], wrt, each, gradient))
            set_gradients(&d, 1, gradient, o.over);
        if (differentiate(&d, p->output[0], wrt, AGAIN, gradient)) {
            const uint32_t along = inner_product(g, gradient, direction, d.n);
            if (differentiate(&d, along, wrt, each, gradient))
                set_gradients(&d, o.with_gradient ? 1 + d.n : 1, gradient, o.over);
        }
    }
    return finish(&d);
}

/* J v is the gradient by u of <J' u, v>: u itself is in it nowhere. */
tg_program *tg_jvp_program(const tg_program *p, const int *wrt_inputs, int n_wrt, tg_status *status)
{
    derivation d;
    if (begin(&d, p, wrt_inputs, n_wrt, "jvp_program", status) && make(&d, d.n, 2 * p->n_outputs)) {
        tg__graph *const g = &d.made->graph;
        uint32_t *const wrt = d.node, *const gradient = wrt + d.n, *const direction = gradient + d.n;
        uint32_t *const u = direction + d.n, *const tangent = d.made->output + p->n_outputs;
        for (uint32_t i = 0; i < d.n; i++) wrt[i] = p->input[d.number[i]];
        if (!tg__graph_failed(g)) add_directions(&d, direction);
        for (uint32_t i = 0; i < p->n_outputs && !tg__graph_failed(g); i++)
            u[i] = input_like(d.made, TG__NOT_GIVEN, p->output[i]);
        if (!tg__graph_failed(g) &&
            tg__graph_gradient(g, p->output, u, (int)p->n_outputs, wrt, NULL, (int)d.n, AGAIN,
                               gradient)) {
            const uint32_t along = inner_product(g, gradient, direction, d.n);
            memcpy(d.made->output, p->output, p->n_outputs * sizeof *p->output);
            for (uint32_t i = 0; i < p->n_outputs; i++) d.made->each[p->n_outputs + i] = p->each[i];
            if (!tg__graph_failed(g))
                tg__graph_gradient(g, &along, NULL, 1, u, NULL, (int)p->n_outputs, AGAIN, tangent);
        }
    }
    tg_program *const made = finish(&d);
    if (!made || tg__program_plan(made, TG__PLAN_QUICK, d.what, status)) return made;
    tg_program_free(made); /* its graph needs u after all */
    return NULL;
}

/* ---- transposed ---------------------------------------------------------------------------------- */

tg_program *tg_vjp_program(const tg_program *p, const int *wrt, int n_wrt, tg_status *status)
{
    derivation d;
    if (begin(&d, p, wrt, n_wrt, "vjp_program", status)) {
        const tg__vjp how = { .outputs = p->n_outputs, .by_ops = true };
        d.made = tg__vjp_make(p, &how, d.number, d.n, d.what, status);
    }
    if (d.number) tg__deallocate(&d.memory, d.number, d.bytes);
    return d.made;
}

/* ---- Jacobians ----------------------------------------------------------------------------------- */

/* 1 for element i of what x is like, 0 for the others. */
static uint32_t unit_vector(tg__graph *g, uint32_t x, int64_t i)
{
    tg__shape s = *tg__node_shape(g, x);
    tg__shape_finish(&s);
    if (s.rank == 0) return tg__graph_number(g, 1);
    tg__arena room;
    tg__arena_init(&room, g->memory);
    const size_t bytes = (size_t)s.n * tg__type_size(s.type);
    char *const p = tg__arena_push(&room, bytes);
    uint32_t made = 0;
    if (p) {
        memset(p, 0, bytes);
        if (s.type == TG_F64) ((double *)(void *)p)[i] = 1;
        else ((float *)(void *)p)[i] = 1;
        made = tg__graph_constant(g, (tg__array){ &s, p });
    } else {
        tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    }
    tg__arena_free(&room);
    return made;
}

/* Rows of equal size below each other: a matrix. */
static uint32_t matrix_of(tg__graph *g, uint32_t *row, uint32_t n)
{
    if (n == 1 || tg__graph_failed(g)) return row[0];
    tg__shape one = *tg__node_shape(g, row[0]);
    tg__shape_finish(&one);
    const tg__shape flat = { .type = one.type, .rank = 2, .dim = { n, one.n } };
    for (uint32_t i = 0; i < n; i++) row[n + i] = tg__graph_view(g, row[0], &one, (int64_t)i * one.n);
    return tg__graph_assemble(g, &flat, row, row + n, n);
}

/* Of output number `output` by all chosen inputs, from place `to` on. */
static bool differentiate_output(derivation *d, uint32_t output, uint32_t to)
{
    tg__graph *const g = &d->made->graph;
    const uint32_t y = d->p->output[output], n = (uint32_t)tg__node_shape(g, y)->n;
    uint32_t *const wrt = d->node, *const gradient = wrt + d->n;
    tg__arena room;
    tg__arena_init(&room, g->memory);
    /* By input: n rows, and room for as many views. */
    uint32_t *const row = tg__arena_push(&room, (2 * (size_t)n * d->n + 1) * sizeof *row);
    bool ok = row != NULL;
    if (!ok) tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    for (uint32_t i = 0; i < n && ok; i++) {
        const uint32_t one = unit_vector(g, y, i);
        ok = !tg__graph_failed(g) &&
             tg__graph_gradient(g, &y, &one, 1, wrt, NULL, (int)d->n, TG__EACH, gradient);
        for (uint32_t j = 0; j < d->n; j++) row[2 * (size_t)n * j + i] = gradient[j];
    }
    for (uint32_t j = 0; j < d->n && ok; j++) {
        d->made->output[to + j] = matrix_of(g, row + 2 * (size_t)n * j, n);
        d->made->each[to + j] = true;
        d->made->rows[to + j] = n > 1 ? n : 0;
    }
    tg__arena_free(&room);
    return ok && !tg__graph_failed(g);
}

/* Whether every output has a Jacobian. */
static bool are_real(derivation *d)
{
    char why[80];
    for (uint32_t i = 0; i < d->p->n_outputs; i++) {
        const tg__shape *const s = tg__node_shape(&d->p->graph, d->p->output[i]);
        if (s->type != TG_I64 && s->n > 0) continue;
        snprintf(why, sizeof why, "output %u %s", i, s->n ? "is one of integers" : "has no elements");
        return refuse(d, TG_ERROR_ARGUMENT, why);
    }
    return true;
}

tg_program *tg_jacobian_program(const tg_program *p, const int *wrt_inputs, int n_wrt,
                                tg_status *status)
{
    derivation d;
    if (begin(&d, p, wrt_inputs, n_wrt, "jacobian_program", status) && are_real(&d) &&
        make(&d, 0, p->n_outputs * (1 + d.n))) {
        for (uint32_t i = 0; i < d.n; i++) d.node[i] = p->input[d.number[i]];
        memcpy(d.made->output, p->output, p->n_outputs * sizeof *p->output);
        memcpy(d.made->each, p->each, p->n_outputs * sizeof *p->each);
        bool ok = !tg__graph_failed(&d.made->graph);
        for (uint32_t i = 0; i < p->n_outputs && ok; i++)
            ok = differentiate_output(&d, i, p->n_outputs + i * d.n);
    }
    return finish(&d);
}
