/* Programs made of programs: gradients, Hessian-vector products, derivatives along directions. */
#include <stdio.h>
#include <string.h>

#include "codes.h" /* generated */
#include "program/lower.h"
#include "program/plan.h"
#include "program/vjp.h"

/* How a gradient is made that is differentiated before it is summed. */
enum { AGAIN = TG__BY_OPS | TG__EACH };

/* ---- graphs to add to ---------------------------------------------------------------------------- */

/* A copy with room for as much more. */
static bool clone(tg__arena *to, const tg__arena *from, tg__arena *room)
{
    if (!tg__arena_lend(room, to, 2 * from->used)) return false;
    memcpy(to->data, from->data, from->used);
    to->used = from->used;
    return true;
}

static bool clone_graph(tg__graph *to, const tg__graph *from, tg__memory *m)
{
    *to = *from;
    to->memory = m;
    tg__arena *const own[] = { &to->nodes, &to->pool, &to->attributes, &to->shapes, &to->constants, &to->sites,
                               &to->scratch, &to->table, &to->users, &to->room };
    const tg__arena *const others[] = { &from->nodes,  &from->pool,      &from->attributes,
                                        &from->shapes, &from->constants, &from->sites };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) tg__arena_init(own[i], m);
    to->room.raw = true;
    to->room_for = 0;
    to->unlisted = from->n;
    /* A gradient puts together what it consists of: two operands for each. */
    const size_t words = 3 * (from->pool.used / sizeof(uint32_t)) + 2 * (size_t)from->views;
    tg__expected e = { 2 * from->n, words, 2 * from->attributes.used, tg__graph_gradient_bytes(from) };
    for (size_t i = 3; i < sizeof others / sizeof *others; i++) e.more += 2 * others[i]->used + 64;
    bool ok = tg__graph_expect(to, &e);
    for (size_t i = 0; ok && i < sizeof others / sizeof *others; i++) ok = clone(own[i], others[i], &to->room);
    return ok;
}

/* A program being derived from another one, p: by which inputs, in which words. The lists lie one behind
   the other in one block. */
typedef struct derivation {
    const tg_program *p;
    const char *what;
    tg_status *status;
    tg__memory memory;
    size_t bytes;
    uint32_t *number, n;                  /* the inputs that derivatives are by */
    uint32_t *input, *output;             /* of p, as nodes of the new graph */
    uint32_t *wrt, *gradient, *direction; /* nodes of it, one for each of the chosen inputs */
    uint32_t *cotangent, *tangent;        /* one for each of p's outputs */
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
    const uint32_t in = p->n_inputs, out = p->n_outputs;
    d->bytes = (5 * (size_t)in + 3 * (size_t)out + 1) * sizeof(uint32_t);
    d->number = tg__allocate(&d->memory, d->bytes);
    if (!d->number) return refuse(d, TG_ERROR_MEMORY, "no memory");
    d->wrt = d->number + in;
    d->gradient = d->wrt + in;
    d->direction = d->gradient + in;
    d->input = d->direction + in;
    d->output = d->input + in;
    d->cotangent = d->output + out;
    d->tangent = d->cotangent + out;
    return choose_inputs(d, wrt, n_wrt);
}

static bool has_gradients_by_rule(const tg__graph *g)
{
    for (uint32_t id = 1; id < g->n && g->has_rules; id++)
        if (tg__node_at(g, id)->op == TG__NODE_BACKWARD) return true;
    return false;
}

/* p's graph in the new one, so that it can be differentiated. */
static bool copy_graph(derivation *d)
{
    const tg_program *const p = d->p;
    tg__graph *const g = &d->made->graph;
    memcpy(d->input, p->input, p->n_inputs * sizeof *p->input);
    memcpy(d->output, p->output, p->n_outputs * sizeof *p->output);
    if (!has_gradients_by_rule(&p->graph))
        return clone_graph(g, &p->graph, &d->made->memory) ||
               tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    const tg_compile_options o = tg__graph_options(&p->graph);
    return tg__graph_init(g, &d->made->memory, p->type, &o) &&
           tg__graph_lower(g, &p->graph, TG__DERIVE, NULL, d->input, p->n_inputs + p->n_outputs,
                           d->input);
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
    memcpy(made->leaf, p->leaf, p->n_inputs * sizeof *p->leaf);
    if (!copy_graph(d)) return false;
    memcpy(made->input, d->input, p->n_inputs * sizeof *d->input);
    for (uint32_t i = 0; i < d->n; i++) d->wrt[i] = d->input[d->number[i]];
    return true;
}

/* One more input, like node x, for as many directions or cotangents; count 0: one. */
static uint32_t add_input(const derivation *d, uint32_t which, uint32_t x, int count)
{
    tg__graph *const g = &d->made->graph;
    if (tg__graph_failed(g)) return 0;
    const bool varies = tg__node_at(g, x)->stage == TG__BODY;
    return tg__graph_inputs_like(g, which, tg__node_shape(g, x), count, varies);
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

/* ---- derivatives by derivatives: a table ---------------------------------------------------------- */

/* A line for each of n results, with room for its `each` parts, twice: see tg__graph_all_of; and what
   the parts are derivatives of, two nodes at most, made before any of them: a gradient looks at no node
   behind. */
typedef struct table {
    tg__arena room;
    uint32_t *part, *of;
    size_t each;
} table;

static bool table_begin(const derivation *d, table *t, size_t n, size_t each)
{
    tg__graph *const g = &d->made->graph;
    tg__arena_init(&t->room, g->memory);
    t->each = each;
    t->of = tg__arena_push(&t->room, ((2 * n + 2) * each + 1) * sizeof *t->of);
    t->part = t->of ? t->of + 2 * each : NULL;
    return t->of || tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
}

static uint32_t *line_of(const table *t, size_t i)
{
    return t->part + 2 * t->each * i;
}

/* Results are part j of every line. */
static void put(const table *t, size_t j, const uint32_t *result, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) line_of(t, i)[j] = result[i];
}

/* A count of 0 is one, which has no axis of its own. */
static int sweeps(int count)
{
    return count ? count : 1;
}

static void set_output(const derivation *d, uint32_t which, uint32_t node, uint32_t rows, bool each)
{
    d->made->output[which] = node;
    d->made->rows[which] = rows > 1 ? rows : 0;
    d->made->each[which] = each;
}

/* ---- gradients ------------------------------------------------------------------------------------ */

static bool differentiate(const derivation *d, uint32_t of, unsigned how, uint32_t *gradient)
{
    tg__graph *const g = &d->made->graph;
    return !tg__graph_failed(g) &&
           tg__graph_gradient(g, &of, NULL, 1, d->wrt, NULL, (int)d->n, how, gradient);
}

/* The first output: the loss over the batch. */
static void set_total(const derivation *d, tg_over_batch over)
{
    const bool each = over == TG_BATCH_EACH;
    set_output(d, 0, each ? d->output[0] : total_of(&d->made->graph, d->output[0], over), 0, each);
}

/* Outputs from number `first` on: gradients by the chosen inputs, made of the lines of a table. */
static void set_gradients(const derivation *d, uint32_t first, const table *t, int count,
                          tg_over_batch over)
{
    tg_program *const made = d->made;
    tg__graph *const g = &made->graph;
    for (uint32_t i = 0; i < d->n && !tg__graph_failed(g); i++) {
        uint32_t *const part = line_of(t, i);
        for (int j = 0; j < sweeps(count) && over == TG_BATCH_MEAN; j++)
            part[j] = times_count(g, part[j], TG__CODE_div);
        set_output(d, first + i, tg__graph_all_of(g, part, count), (uint32_t)count,
                   over == TG_BATCH_EACH || d->number[i] < made->n_batch);
        made->by[first + i] = d->number[i];
    }
}

/* Gradients of p's first output as outputs from number `first` on. */
static void add_gradients(const derivation *d, uint32_t first, tg_over_batch over)
{
    table t;
    if (table_begin(d, &t, d->n, 1) &&
        differentiate(d, d->output[0], over == TG_BATCH_EACH ? TG__EACH : 0, d->gradient)) {
        put(&t, 0, d->gradient, d->n);
        set_gradients(d, first, &t, 0, over);
    }
    tg__arena_free(&t.room);
}

tg_program *tg_gradient_program(const tg_program *p, const tg_gradient_options *options,
                                tg_status *status)
{
    const tg_gradient_options o = options ? *options : (tg_gradient_options){ 0 };
    derivation d;
    if (begin(&d, p, o.wrt, o.n_wrt, "gradient_program", status) && is_number(&d) &&
        make(&d, 0, d.n + 1)) {
        d.made->gradient = true;
        tg__arena_init(&d.made->states, &d.made->memory);
        if (p->states.used && !clone(&d.made->states, &p->states, &d.made->graph.room))
            tg__graph_fail(&d.made->graph, TG_ERROR_MEMORY, "no memory");
        set_total(&d, o.over);
        add_gradients(&d, 1, o.over);
    }
    return finish(&d);
}

/* ---- along directions ---------------------------------------------------------------------------- */

/* The sum over i of the inner products of a[i] and b[i], of those a[i] that are once for every instance or not;
   0: there are none. */
static uint32_t inner_product(tg__graph *g, const uint32_t *a, const uint32_t *b, uint32_t n, bool each)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < n && !tg__graph_failed(g); i++) {
        if ((tg__node_at(g, a[i])->stage == TG__BODY) != each) continue;
        const uint32_t x[] = { a[i], b[i] };
        uint32_t term = tg__graph_apply(g, TG__CODE_mul, x, 2, NULL);
        if (tg__graph_failed(g)) return 0;
        if (!tg__is_scalar(tg__node_at(g, term))) term = tg__graph_apply(g, TG__CODE_sum, &term, 1, NULL);
        const uint32_t both[] = { sum, term };
        sum = sum ? tg__graph_apply(g, TG__CODE_add, both, 2, NULL) : term;
    }
    return sum;
}

/* The directions, one or count for each chosen input, behind p's inputs. */
static void add_directions(const derivation *d, int count)
{
    for (uint32_t i = 0; i < d->n; i++) {
        const uint32_t which = d->p->n_inputs + i;
        d->made->input[which] = add_input(d, which, d->wrt[i], count);
    }
}

/* What is linear in the directions: the gradient along each of them, as what there is for every instance and
   what there is once. */
static bool multiply_along(const derivation *d, int count, const table *t)
{
    tg__graph *const g = &d->made->graph;
    for (int j = 0; j < sweeps(count) && !tg__graph_failed(g); j++) {
        for (uint32_t i = 0; i < d->n; i++)
            d->direction[i] =
                tg__graph_one_of(g, d->made->input[d->p->n_inputs + i], count, (uint32_t)j);
        for (int each = 0; each < 2; each++)
            t->of[2 * j + each] = inner_product(g, d->gradient, d->direction, d->n, each);
    }
    return !tg__graph_failed(g);
}

/* Of every instance: its own and what there is once. */
static void join_products(const derivation *d, int count, const table *t)
{
    tg__graph *const g = &d->made->graph;
    for (int j = 0; j < sweeps(count) && !tg__graph_failed(g); j++) {
        uint32_t *const both = t->of + 2 * j;
        if (both[0] && both[1]) both[0] = tg__graph_apply(g, TG__CODE_add, both, 2, NULL);
        else if (both[1]) both[0] = both[1];
    }
}

static bool is_count(derivation *d, int count, int least)
{
    char why[64];
    if (count >= least) return true;
    snprintf(why, sizeof why, "a count of %d", count);
    return refuse(d, TG_ERROR_ARGUMENT, why);
}

tg_program *tg_hvp_program(const tg_program *p, const tg_gradient_options *options, tg_status *status)
{
    const tg_gradient_options o = options ? *options : (tg_gradient_options){ 0 };
    derivation d;
    if (begin(&d, p, o.wrt, o.n_wrt, "hvp_program", status) && is_number(&d) &&
        is_count(&d, o.count, 0) && make(&d, d.n, 1 + d.n * (o.with_gradient ? 2 : 1))) {
        const unsigned each = o.over == TG_BATCH_EACH ? TG__EACH : 0;
        table t;
        add_directions(&d, o.count);
        set_total(&d, o.over);
        if (o.with_gradient) add_gradients(&d, 1, o.over);
        bool ok = table_begin(&d, &t, d.n, (size_t)sweeps(o.count)) &&
                  differentiate(&d, d.output[0], AGAIN, d.gradient) && multiply_along(&d, o.count, &t);
        if (ok) join_products(&d, o.count, &t);
        for (int j = 0; j < sweeps(o.count) && ok; j++) {
            ok = differentiate(&d, t.of[2 * j], each, d.gradient);
            if (ok) put(&t, (size_t)j, d.gradient, d.n);
        }
        if (ok) set_gradients(&d, o.with_gradient ? 1 + d.n : 1, &t, o.count, o.over);
        tg__arena_free(&t.room);
    }
    return finish(&d);
}

/* The gradient J' u, for cotangents u that nobody gives; how: TG__EACH, or 0 to sum over the batch. */
static bool transpose(const derivation *d, unsigned how)
{
    tg__graph *const g = &d->made->graph;
    const int n = (int)d->p->n_outputs;
    for (int i = 0; i < n; i++) d->cotangent[i] = add_input(d, TG__NOT_GIVEN, d->output[i], 0);
    return !tg__graph_failed(g) &&
           tg__graph_gradient(g, d->output, d->cotangent, n, d->wrt, NULL, (int)d->n,
                              TG__BY_OPS | TG__LINEAR | how, d->gradient);
}

/* J v is the gradient by u of <J' u, v>, made of two nodes or, the other 0, one: u itself is in it nowhere. */
static bool push_forward(const derivation *d, const uint32_t *product, unsigned how)
{
    tg__graph *const g = &d->made->graph;
    uint32_t of[2], one[2];
    int n = 0;
    for (int i = 0; i < 2; i++)
        if (product[i]) of[n] = product[i], one[n++] = tg__graph_number(g, 1);
    return !tg__graph_failed(g) && tg__graph_gradient(g, of, one, n, d->cotangent, NULL, (int)d->p->n_outputs,
                                                      TG__BY_OPS | how, d->tangent);
}

/* p's outputs are the first ones of the new program. */
static void keep_outputs(const derivation *d)
{
    memcpy(d->made->output, d->output, d->p->n_outputs * sizeof *d->output);
    memcpy(d->made->each, d->p->each, d->p->n_outputs * sizeof *d->p->each);
}

/* Ends what has pushed directions forward: an error if its graph needs u after all. */
static tg_program *finish_forward(derivation *d)
{
    tg_program *const made = finish(d);
    if (!made || tg__program_plan(made, TG__PLAN_QUICK, d->what, d->status)) return made;
    tg_program_free(made);
    return NULL;
}

/* count 0: one direction. */
static tg_program *jvp(const tg_program *p, const int *wrt, int n_wrt, int count, const char *what,
                       tg_status *status)
{
    derivation d;
    if (begin(&d, p, wrt, n_wrt, what, status) && make(&d, d.n, 2 * p->n_outputs)) {
        table t;
        add_directions(&d, count);
        bool ok = table_begin(&d, &t, p->n_outputs, (size_t)sweeps(count)) && transpose(&d, 0) &&
                  multiply_along(&d, count, &t);
        for (int j = 0; j < sweeps(count) && ok; j++) {
            ok = push_forward(&d, t.of + 2 * j, 0);
            if (ok) put(&t, (size_t)j, d.tangent, p->n_outputs);
        }
        keep_outputs(&d);
        for (uint32_t i = 0; i < p->n_outputs && ok; i++)
            set_output(&d, p->n_outputs + i,
                       tg__graph_all_of(&d.made->graph, line_of(&t, i), count), (uint32_t)count,
                       p->each[i]);
        tg__arena_free(&t.room);
    }
    return finish_forward(&d);
}

tg_program *tg_jvp_program(const tg_program *p, const int *wrt, int n_wrt, tg_status *status)
{
    return jvp(p, wrt, n_wrt, 0, "jvp_program", status);
}

tg_program *tg_jvps_program(const tg_program *p, const int *wrt, int n_wrt, int count,
                            tg_status *status)
{
    static const char *const what = "jvps_program";
    derivation d = { .what = what, .status = status };
    return is_count(&d, count, 1) ? jvp(p, wrt, n_wrt, count, what, status) : NULL;
}

/* ---- transposed ---------------------------------------------------------------------------------- */

static tg_program *vjp(const tg_program *p, const int *wrt, int n_wrt, int count, const char *what,
                       tg_status *status)
{
    derivation d;
    if (begin(&d, p, wrt, n_wrt, what, status)) {
        const tg__vjp how = { .outputs = p->n_outputs, .by_ops = true, .count = count };
        d.made = tg__vjp_make(p, &how, d.number, d.n, d.what, status);
    }
    if (d.number) tg__deallocate(&d.memory, d.number, d.bytes);
    return d.made;
}

tg_program *tg_vjp_program(const tg_program *p, const int *wrt, int n_wrt, tg_status *status)
{
    return vjp(p, wrt, n_wrt, 0, "vjp_program", status);
}

tg_program *tg_vjps_program(const tg_program *p, const int *wrt, int n_wrt, int count,
                            tg_status *status)
{
    static const char *const what = "vjps_program";
    derivation d = { .what = what, .status = status };
    return is_count(&d, count, 1) ? vjp(p, wrt, n_wrt, count, what, status) : NULL;
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
static uint32_t matrix_of_rows(tg__graph *g, uint32_t *row, uint32_t n)
{
    if (n == 1 || tg__graph_failed(g)) return row[0];
    const tg__shape *const one = tg__node_shape(g, row[0]);
    const tg__shape flat = { .type = one->type, .rank = 2, .dim = { n, one->n } };
    return tg__graph_rows(g, &flat, row, n);
}

/* Columns of equal size beside each other, each the shape of what it is a derivative of. */
static uint32_t matrix_of_columns(tg__graph *g, uint32_t *column, uint32_t n)
{
    if (tg__graph_failed(g)) return 0;
    tg__shape look = *tg__node_shape(g, column[0]);
    tg__shape_finish(&look);
    if (look.n == 1 && n == 1) return column[0];
    const tg__shape flat = { .type = look.type, .rank = 2, .dim = { look.n, n } };
    for (int i = 0; i < look.rank; i++) look.stride[i] *= n;
    const uint32_t any = tg__graph_number(g, 0);
    for (uint32_t i = 0; i < n; i++) column[n + i] = tg__graph_view(g, any, &look, i);
    return tg__graph_assemble(g, &flat, column, column + n, n);
}

static void set_matrix(const derivation *d, uint32_t output, uint32_t by, uint32_t matrix)
{
    const int64_t rows = tg__node_shape(&d->made->graph, d->output[output])->n;
    set_output(d, d->p->n_outputs + output * d->n + by, matrix, (uint32_t)rows, true);
}

/* Of output number `output` by all chosen inputs, row by row. */
static bool by_rows(const derivation *d, uint32_t output)
{
    tg__graph *const g = &d->made->graph;
    const uint32_t y = d->output[output], n = (uint32_t)tg__node_shape(g, y)->n;
    table t;
    bool ok = table_begin(d, &t, d->n, n);
    for (uint32_t i = 0; i < n && ok; i++) {
        const uint32_t one = unit_vector(g, y, i);
        ok = !tg__graph_failed(g) && tg__graph_gradient(g, &y, &one, 1, d->wrt, NULL, (int)d->n,
                                                        TG__EACH, d->gradient);
        if (ok) put(&t, i, d->gradient, d->n);
    }
    for (uint32_t j = 0; j < d->n && ok; j++)
        set_matrix(d, output, j, matrix_of_rows(g, line_of(&t, j), n));
    tg__arena_free(&t.room);
    return ok && !tg__graph_failed(g);
}

static uint32_t element_of(tg__graph *g, uint32_t x, int64_t i)
{
    if (tg__graph_failed(g) || !tg__node_shape(g, x)->rank) return x;
    if (!tg__shape_contiguous(tg__node_shape(g, x)))
        x = tg__graph_apply(g, TG__CODE_contiguous, &x, 1, NULL);
    return tg__graph_failed(g) ? 0 : tg__graph_view(g, x, &(tg__shape){ .type = g->type, .n = 1 }, i);
}

/* Of all outputs by chosen input number `by`, column by column. */
static bool by_columns(const derivation *d, uint32_t by)
{
    tg__graph *const g = &d->made->graph;
    const uint32_t outputs = d->p->n_outputs, n = (uint32_t)tg__node_shape(g, d->wrt[by])->n;
    table t;
    bool ok = table_begin(d, &t, outputs, n);
    for (uint32_t i = 0; i < n && ok; i++) t.of[2 * i] = element_of(g, d->gradient[by], i);
    for (uint32_t i = 0; i < n && ok; i++) {
        ok = push_forward(d, t.of + 2 * i, TG__EACH); /* of[2 * i + 1] is 0 */
        if (ok) put(&t, i, d->tangent, outputs);
    }
    for (uint32_t j = 0; j < outputs && ok; j++)
        set_matrix(d, j, by, matrix_of_columns(g, line_of(&t, j), n));
    tg__arena_free(&t.room);
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

/* Whether there are fewer columns than rows. */
static bool is_tall(const derivation *d)
{
    const tg__graph *const g = &d->p->graph;
    int64_t rows = 0, columns = 0;
    for (uint32_t i = 0; i < d->p->n_outputs; i++) rows += tg__node_shape(g, d->p->output[i])->n;
    for (uint32_t i = 0; i < d->n; i++) {
        const int64_t n = tg__node_shape(g, d->p->input[d->number[i]])->n;
        if (n == 0) return false;
        columns += n;
    }
    return columns < rows;
}

/* By columns, if that is asked for and makes sense; *tall: whether it does. */
static tg_program *jacobian(const tg_program *p, const int *wrt, int n_wrt, bool *tall,
                            tg_status *status)
{
    derivation d;
    if (begin(&d, p, wrt, n_wrt, "jacobian_program", status) && are_real(&d) &&
        make(&d, 0, p->n_outputs * (1 + d.n))) {
        *tall = *tall && is_tall(&d);
        keep_outputs(&d);
        bool ok = !tg__graph_failed(&d.made->graph) && (!*tall || transpose(&d, TG__EACH));
        for (uint32_t i = 0; i < (*tall ? d.n : p->n_outputs) && ok; i++)
            ok = *tall ? by_columns(&d, i) : by_rows(&d, i);
    }
    return *tall ? finish_forward(&d) : finish(&d);
}

tg_program *tg_jacobian_program(const tg_program *p, const int *wrt, int n_wrt, tg_status *status)
{
    bool tall = true;
    tg_status why = { 0 };
    tg_program *const made = jacobian(p, wrt, n_wrt, &tall, &why);
    if (made) return made;
    /* What knows no derivative along a direction, users' operations say, goes by rows. */
    if (tall && why.code == TG_ERROR_HISTORY) {
        tall = false;
        return jacobian(p, wrt, n_wrt, &tall, status);
    }
    if (status) *status = why;
    return NULL;
}
