/* Running a loop: forward, keeping checkpoints; backward from the last step, where the states of a
   step are computed again from the last checkpoint before it. */
#include <string.h>

#include "program/run.h"
#include "program/scan.h"

/* ---- checkpoints --------------------------------------------------------------------------------- */

/* With s of them and every step done r times at most, (s + r)! / (s! r!) steps can be done. */
int64_t tg__next_checkpoint(int64_t length, int64_t slots)
{
    if (slots < 2 || length < 2) return length;
    int64_t r = 1, fewer = 1, most = slots + 1; /* for r - 1, for r */
    while (most < length) {
        fewer = most;
        r++;
        most = most * (slots + r) / r;
    }
    const int64_t rest = length - fewer * slots / (slots + r - 1); /* those of s - 1, r - 1 */
    return fewer < rest ? fewer : rest;
}

int64_t tg__checkpoints_for(int64_t steps)
{
    int64_t s = steps > 0;
    while ((s + 1) * (s + 2) / 2 < steps) s++;
    return s;
}

/* ---- one run ------------------------------------------------------------------------------------- */

/* Where states lie: state k at base, of * its offset and i * its size behind. */
typedef struct home {
    char *base;
    int64_t of, i;
} home;

typedef struct run {
    const tg__call *c;
    tg__loop k;
    size_t size; /* of an element */
    int64_t limit;
    tg_workspace *forward, *backward;
    tg__repeat ahead, back;      /* runs of them */
    const tg_program *one, *vjp; /* of the body: it for one instance, its derivative */
    size_t *offset;              /* of a state: bytes before it; at the end, of all */
    size_t *in_bytes, *out_bytes; /* by input and output of the body: of a step */
    const void **x;              /* operands, adjacent */
    const void **in;             /* of the body's next run, then of its derivative */
    void **out;
    home here, spare[2]; /* states; room for them */
    tg_status status;
} run;

static char *state_at(const run *r, home h, uint32_t k)
{
    return h.base + (size_t)h.of * r->offset[k] + (size_t)h.i * r->in_bytes[k];
}

/* Checkpoint i, in the result or a vector like that part of it. */
static home checkpoint(const run *r, char *kept, int64_t i)
{
    return (home){ kept, r->k.a->slots, i };
}

static home room_for_states(const run *r)
{
    return (home){ tg__scratch(r->c, (size_t)(r->k.state_size + 1) * r->size), 1, 0 };
}

/* A state that is neither where they are now nor anything kept. */
static home other_room(const run *r)
{
    return r->here.base == r->spare[0].base ? r->spare[1] : r->spare[0];
}

/* The place of step j in what there is for each. */
static int64_t place_of(const run *r, int64_t j)
{
    return r->k.a->flags & TG__CALL_REVERSE ? r->k.a->steps - 1 - j : j;
}

static double read_real(const run *r, const void *p)
{
    return r->k.body->type == TG_F64 ? *(const double *)p : (double)*(const float *)p;
}

/* How many steps at most. */
static tg_code set_limit(run *r)
{
    const tg_call_attributes *const a = r->k.a;
    r->limit = a->steps;
    if (!(a->flags & TG__CALL_COUNTED)) return TG_OK;
    const double n = read_real(r, r->x[r->c->n - 1]);
    if (!(n >= 0 && n <= (double)a->steps))
        return tg__fail(r->c, TG_ERROR_ARGUMENT, "%g steps of %lld", n, (long long)a->steps);
    r->limit = (int64_t)n;
    return TG_OK;
}

static size_t bytes_of(const tg__shape *s)
{
    return (size_t)s->n * tg__type_size(s->type);
}

static tg_code begin(const tg__call *c, run *r)
{
    *r = (run){ .c = c, .k = tg__loop_of(c->attributes) };
    const tg_program *const p = r->k.body;
    r->size = tg__type_size(p->type);
    const size_t most = 2 * ((size_t)p->n_inputs + p->n_outputs) + 1;
    r->x = tg__scratch(c, ((size_t)c->n + 1) * sizeof *r->x);
    r->in = tg__scratch(c, most * sizeof *r->in);
    r->out = tg__scratch(c, most * sizeof *r->out);
    r->offset = tg__scratch(c, ((size_t)r->k.states + 1 + most) * sizeof *r->offset);
    for (int i = 0; i < 2; i++) r->spare[i] = room_for_states(r);
    if (!r->x || !r->in || !r->out || !r->offset || !r->spare[0].base || !r->spare[1].base)
        return TG_ERROR_MEMORY;
    r->in_bytes = r->offset + r->k.states + 1;
    r->out_bytes = r->in_bytes + p->n_inputs;
    for (uint32_t i = 0; i < p->n_inputs; i++) r->in_bytes[i] = bytes_of(tg__input_shape(p, i));
    for (uint32_t i = 0; i < p->n_outputs; i++) r->out_bytes[i] = bytes_of(tg__output_shape(p, i));
    r->offset[0] = 0;
    for (uint32_t k = 0; k < r->k.states; k++) r->offset[k + 1] = r->offset[k] + r->in_bytes[k];
    for (int i = 0; i < c->n; i++)
        if (!(r->x[i] = tg__adjacent(c, c->x[i]))) return TG_ERROR_MEMORY;
    for (uint32_t i = r->k.states; i < p->n_inputs; i++) r->in[i] = r->x[i];
    r->one = tg__program_one(p, &r->status);
    if (r->one) r->forward = tg__workspace_take(r->one, &r->status);
    const bool ready = r->forward && tg__repeat_begin(&r->ahead, r->one, r->forward, r->in, r->out, &r->status);
    return ready ? set_limit(r) : tg__call_failed(c, &r->status);
}

static tg_code end(const run *r, tg_code code)
{
    if (r->forward) tg__workspace_give(r->one, r->forward);
    if (r->backward) tg__workspace_give(r->vjp, r->backward);
    return code;
}

/* A run for step j, whose random numbers are its own, forward and backward: of this run around the
   loop, and of this step, of which there are less than 2^32. */
static bool run_step(const run *r, tg__repeat *of, int64_t j)
{
    return tg__repeat_run(of, (r->c->run << 32) + (uint64_t)place_of(r, j));
}

static tg_code step_failed(const run *r, int64_t j)
{
    return tg__fail(r->c, r->status.code, "step %lld: %s", (long long)j, r->status.message);
}

static void point_at_states(const run *r, home h, const void **to)
{
    const bool alone = h.of == 1 && h.i == 0; /* in room for these states only */
    for (uint32_t k = 0; k < r->k.states; k++) to[k] = alone ? h.base + r->offset[k] : state_at(r, h, k);
}

/* The inputs of step j. */
static void point_at_step(const run *r, int64_t j)
{
    const size_t at = (size_t)place_of(r, j);
    point_at_states(r, r->here, r->in);
    for (uint32_t i = r->k.states; i < r->k.states + r->k.each; i++)
        r->in[i] = (const char *)r->x[i] + at * r->in_bytes[i];
}

/* Step j, from the states here to those at `to`, which are here then. Other outputs are set. */
static bool do_step(run *r, int64_t j, home to)
{
    point_at_step(r, j);
    point_at_states(r, to, (const void **)(void *)r->out);
    r->here = to;
    return run_step(r, &r->ahead, j);
}

static void copy_states(const run *r, home to, home from)
{
    for (uint32_t k = 0; k < r->k.states; k++)
        memcpy(state_at(r, to, k), state_at(r, from, k), r->in_bytes[k]);
}

static home given_states(run *r)
{
    const home h = other_room(r);
    for (uint32_t k = 0; k < r->k.states; k++) memcpy(state_at(r, h, k), r->x[k], r->in_bytes[k]);
    return h;
}

/* ---- forward ------------------------------------------------------------------------------------- */

typedef struct forward {
    char *y, *term; /* what a step adds to the sums: in their order */
    double stop;    /* room for a number of either type */
} forward;

/* Where the outputs behind the states go in step j. */
static void point_at_outputs(const run *r, forward *f, int64_t j)
{
    const tg__loop *const k = &r->k;
    const size_t at = (size_t)place_of(r, j);
    char *stacked = f->y + (size_t)k->state_size * r->size, *term = f->term;
    void **out = r->out + k->states;
    uint32_t i = k->states;
    for (; i < k->states + k->stacked; i++) {
        *out++ = stacked + at * r->out_bytes[i];
        stacked += (size_t)k->a->steps * r->out_bytes[i];
    }
    for (; i < k->states + k->stacked + k->summed; i++) {
        *out++ = term;
        term += r->out_bytes[i];
    }
    if (k->a->flags & TG__CALL_STOP) *out = &f->stop;
}

static tg_code loop(run *r, forward *f)
{
    const tg__loop *const k = &r->k;
    const int64_t slots = k->a->slots, sums = k->taken - k->sums;
    char *const kept = f->y + (size_t)k->kept * r->size;
    int64_t slot = 0, next = 0, j = 0;
    bool going = true;
    r->here = given_states(r);
    if (slots && r->limit) {
        copy_states(r, checkpoint(r, kept, 0), r->here);
        next = tg__next_checkpoint(r->limit, slots);
    }
    for (; going && j < r->limit; j++) {
        const bool keep = j + 1 == next && next < r->limit;
        const home to = keep ? checkpoint(r, kept, ++slot) : other_room(r);
        if (keep) next += tg__next_checkpoint(r->limit - next, slots - slot);
        point_at_outputs(r, f, j);
        if (!do_step(r, j, to)) return step_failed(r, j);
        if (sums) r->c->k->add(sums, f->y + (size_t)k->sums * r->size, 1, f->term, 1);
        if (k->a->flags & TG__CALL_STOP) going = read_real(r, &f->stop) == 0;
    }
    copy_states(r, (home){ f->y, 1, 0 }, r->here);
    if (k->a->flags & TG__CALL_STOP) {
        char *const taken = f->y + (size_t)k->taken * r->size;
        if (k->body->type == TG_F64) *(double *)(void *)taken = (double)j;
        else *(float *)(void *)taken = (float)j;
    }
    return TG_OK;
}

tg_code tg__scan_forward(const tg__call *c)
{
    run r;
    forward f = { .y = c->y.p };
    tg_code code = begin(c, &r);
    if (!code) {
        f.term = tg__scratch(c, (size_t)(r.k.taken - r.k.sums + 1) * r.size);
        if (f.term) memset(f.y, 0, (size_t)r.k.total * r.size);
        code = f.term ? loop(&r, &f) : TG_ERROR_MEMORY;
    }
    return end(&r, code);
}

/* ---- backward ------------------------------------------------------------------------------------ */

/* The checkpoints in use, as a stack: those of the forward run, in the result, are given up from the
   last one on, and others in memory of our own take their places. */
typedef struct stack {
    int64_t *at; /* the step */
    bool *own;
    char *kept, *mine;
    int64_t top;
} stack;

typedef struct backward {
    stack s;
    bool *wants; /* by input: the gradients there are */
    const char *g;
    char *kept; /* the cotangents of checkpoints; NULL: none */
    home adjoint, spare; /* the gradient by the states */
    char *sum, *next;    /* that by the shared inputs: vectors of all of them */
    char *row;           /* that of a step by what there is for each */
    char **each;         /* where it goes, by input; NULL: nowhere */
    int64_t shared;      /* elements of sum */
} backward;

static home top_of(const run *r, const stack *s)
{
    return checkpoint(r, s->own[s->top] ? s->mine : s->kept, s->top);
}

/* The checkpoints of the forward run, which did so many steps. */
static void find_checkpoints(const run *r, stack *s, int64_t taken)
{
    s->at[0] = 0;
    for (s->top = 0; s->top + 1 < r->k.a->slots; s->top++) {
        const int64_t at = s->at[s->top];
        const int64_t next = at + tg__next_checkpoint(r->limit - at, r->k.a->slots - s->top);
        if (next >= taken) break;
        s->at[s->top + 1] = next;
    }
}

/* The states before step j are here then. */
static bool go_to(run *r, stack *s, int64_t j)
{
    while (s->at[s->top] > j) s->top--;
    r->here = top_of(r, s);
    int64_t at = s->at[s->top];
    if (at == j) return true;
    memset(r->out + r->k.states, 0, (r->k.body->n_outputs - r->k.states) * sizeof *r->out);
    int64_t next = at + tg__next_checkpoint(j + 1 - at, r->k.a->slots - s->top);
    for (; at < j; at++) {
        home to = other_room(r);
        if (at + 1 == next && next <= j) {
            s->top++;
            s->at[s->top] = next;
            s->own[s->top] = true;
            to = top_of(r, s);
            next += tg__next_checkpoint(j + 1 - next, r->k.a->slots - s->top);
        }
        if (!do_step(r, at, to)) return false;
    }
    return true;
}

/* The cotangents of the outputs of step j, behind the body's inputs; what gradients begin with; and
   where gradients go. */
static void point_at_gradients(const run *r, const backward *b, int64_t j)
{
    const tg__loop *const k = &r->k;
    const size_t at = (size_t)place_of(r, j);
    const void **in = r->in + k->body->n_inputs;
    const char *g = b->g + (size_t)k->state_size * r->size;
    point_at_states(r, b->adjoint, in);
    in += k->states;
    uint32_t i = k->states;
    for (; i < k->states + k->stacked; i++) {
        *in++ = g + at * r->out_bytes[i];
        g += (size_t)k->a->steps * r->out_bytes[i];
    }
    for (; i < k->states + k->stacked + k->summed; i++) {
        *in++ = g;
        g += r->out_bytes[i];
    }
    void **out = r->out;
    point_at_states(r, b->spare, (const void **)(void *)out);
    out += k->states;
    char *row = b->row;
    size_t offset = 0;
    for (i = k->states; i < k->body->n_inputs; i++) {
        if (!b->wants[i]) continue;
        if (i < k->states + k->each) {
            *out++ = row;
            row += r->in_bytes[i];
            continue;
        }
        *in++ = b->sum + offset;
        *out++ = b->next + offset;
        offset += r->in_bytes[i];
    }
}

/* The gradients of step j by what there is for each step. */
static void add_row(const run *r, const backward *b, int64_t j)
{
    const char *row = b->row;
    for (uint32_t i = r->k.states; i < r->k.states + r->k.each; i++) {
        if (!b->wants[i]) continue;
        const size_t bytes = r->in_bytes[i];
        char *const to = b->each[i - r->k.states];
        if (to) r->c->k->add((int64_t)(bytes / r->size), to + (size_t)place_of(r, j) * bytes, 1, row, 1);
        row += bytes;
    }
}

static void add_states(const run *r, home to, home from)
{
    for (uint32_t k = 0; k < r->k.states; k++)
        r->c->k->add((int64_t)(r->in_bytes[k] / r->size), state_at(r, to, k), 1, state_at(r, from, k), 1);
}

static bool step_back(run *r, backward *b, int64_t j)
{
    if (!go_to(r, &b->s, j)) return false;
    point_at_step(r, j);
    point_at_gradients(r, b, j);
    if (!run_step(r, &r->back, j)) return false;
    const home used = b->adjoint;
    b->adjoint = b->spare;
    b->spare = used;
    char *const sum = b->sum;
    b->sum = b->next;
    b->next = sum;
    add_row(r, b, j);
    /* What was kept is a part of the result: as an operation by itself the scan is right only so. */
    const stack *const s = &b->s;
    if (b->kept && s->at[s->top] == j && !s->own[s->top]) add_states(r, b->adjoint, checkpoint(r, b->kept, s->top));
    return true;
}

/* Which gradients, and the program of them. */
static tg_code prepare(run *r, backward *b)
{
    const tg__loop *const k = &r->k;
    const uint32_t n = k->body->n_inputs;
    uint64_t wanted = 0;
    for (uint32_t i = 0; i < n; i++)
        if (r->c->dx[i].p) wanted |= tg__wanted_bit(i);
    const tg__vjp how = tg__loop_vjp(k, wanted);
    b->wants = tg__scratch(r->c, n + (size_t)1);
    if (!b->wants) return TG_ERROR_MEMORY;
    for (uint32_t i = 0; i < n; i++) b->wants[i] = tg__loop_wants(k, how.wanted, i);
    r->vjp = tg__program_vjp(k->body, &how, &r->status);
    if (r->vjp) r->backward = tg__workspace_take(r->vjp, &r->status);
    const bool ready = r->backward && tg__repeat_begin(&r->back, r->vjp, r->backward, r->in, r->out, &r->status);
    return ready ? TG_OK : tg__call_failed(r->c, &r->status);
}

static tg_code make_room(run *r, backward *b)
{
    const tg__loop *const k = &r->k;
    const tg_call_attributes *const a = k->a;
    const bool all = tg__keeps_all(a);
    int64_t row = 0;
    b->each = tg__scratch(r->c, (k->each + (size_t)1) * sizeof *b->each);
    if (!b->each) return TG_ERROR_MEMORY;
    for (uint32_t i = k->states; i < k->body->n_inputs; i++) {
        const bool is_each = i < k->states + k->each;
        if (is_each) b->each[i - k->states] = NULL;
        if (!b->wants[i]) continue;
        const int64_t n = tg__input_shape(k->body, i)->n;
        if (is_each) row += n;
        else b->shared += n;
        if (!is_each || !r->c->dx[i].p) continue;
        b->each[i - k->states] = tg__gradient_begin(r->c, (int)i);
        if (!b->each[i - k->states]) return TG_ERROR_MEMORY;
    }
    const size_t slots = (size_t)a->slots + 1, states = (size_t)k->state_size * slots;
    b->s.at = tg__scratch(r->c, slots * sizeof *b->s.at);
    b->s.own = tg__scratch(r->c, slots * sizeof *b->s.own);
    b->s.mine = tg__scratch(r->c, all ? 1 : states * r->size);
    b->s.kept = (char *)r->c->y.p + (size_t)k->kept * r->size;
    b->adjoint = room_for_states(r);
    b->spare = room_for_states(r);
    const size_t shared = (size_t)(b->shared + 1) * r->size;
    b->sum = tg__scratch(r->c, shared);
    b->next = tg__scratch(r->c, shared);
    b->row = tg__scratch(r->c, (size_t)(row + 1) * r->size);
    if (!b->s.at || !b->s.own || !b->s.mine || !b->adjoint.base || !b->spare.base || !b->sum ||
        !b->next || !b->row)
        return TG_ERROR_MEMORY;
    memset(b->s.own, 0, slots * sizeof *b->s.own);
    memset(b->sum, 0, shared);
    copy_states(r, b->adjoint, (home){ (char *)(uintptr_t)b->g, 1, 0 });
    return TG_OK;
}

static void add_gradient(const run *r, uint32_t i, void *from)
{
    tg__shape own = *r->c->x[i].s;
    tg__shape_finish(&own);
    if (r->c->dx[i].p) tg__add(r->c->k, r->c->dx[i], (tg__array){ &own, from });
}

static void hand_over(const run *r, const backward *b)
{
    const tg__loop *const k = &r->k;
    int64_t offset = 0;
    for (uint32_t i = 0; i < k->states; i++) add_gradient(r, i, state_at(r, b->adjoint, i));
    for (uint32_t i = 0; i < k->each; i++)
        if (b->each[i]) tg__gradient_end(r->c, (int)(k->states + i), b->each[i]);
    for (uint32_t i = k->states + k->each; i < k->body->n_inputs; i++) {
        if (!b->wants[i]) continue;
        add_gradient(r, i, b->sum + (size_t)offset * r->size);
        offset += tg__input_shape(k->body, i)->n;
    }
}

static tg_code go_back(const tg__call *c, bool kept)
{
    run r;
    backward b = { .g = c->g };
    tg_code code = begin(c, &r);
    if (!code) code = prepare(&r, &b);
    if (!code) code = make_room(&r, &b);
    if (code) return end(&r, code);
    if (kept) b.kept = (char *)(uintptr_t)b.g + (size_t)r.k.kept * r.size;
    int64_t taken = r.limit;
    if (r.k.a->flags & TG__CALL_STOP)
        taken = (int64_t)read_real(&r, (const char *)c->y.p + (size_t)r.k.taken * r.size);
    find_checkpoints(&r, &b.s, taken);
    for (int64_t j = taken; j-- > 0;)
        if (!step_back(&r, &b, j)) return end(&r, step_failed(&r, j));
    hand_over(&r, &b);
    return end(&r, TG_OK);
}

tg_code tg__scan_backward(const tg__call *c)
{
    return go_back(c, true);
}

tg_code tg__scan_pull(const tg__call *c)
{
    return go_back(c, false);
}
