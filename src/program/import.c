/* From a tape to a graph: the instructions that the outputs depend on, in their order. */
#include <string.h>

#include "program/call.h"
#include "program/nodes.h"

enum { SITES = 64 };

/* One import. Instructions are numbers on the tape; node[i] becomes the node of what i made. */
typedef struct import {
    tg__graph *g;
    const tg_tape *t;
    uint32_t *node;      /* by instruction; while marking: 1 if needed */
    uint32_t *maker;     /* by place in the value arena: the instruction; NULL: too many */
    uint32_t *described; /* by descriptor: 1 more than the instruction; 0: not known yet */
    size_t words;        /* of the pool, that the needed instructions take */
    uint32_t views;      /* of them, those that may be views of what instructions made */
    uint32_t *leaf;      /* the instructions of the inputs, by their place */
    int n_inputs, n_batch;
    uint32_t run; /* of the source positions */
    uint32_t site[SITES]; /* positions taken before, by hash: their numbers */
    tg__arena inside; /* nodes: the outputs of calls whose programs have become part of the graph */
    tg__arena operands; /* of one instruction */
} import;

static uint32_t maker_of_array(const import *m, uint32_t id)
{
    uint32_t *const known = &m->described[id & ~TG__DESCRIPTOR];
    if (*known) return *known - 1;
    const tg__descriptor *const d = tg__descriptor_of(m->t, id);
    const bool mapped = m->maker && d->s.type != TG_I64 && d->offset < m->t->head.n_values;
    const uint32_t maker = mapped ? m->maker[d->offset] : tg__maker(m->t, id);
    *known = maker + 1;
    return maker;
}

static inline uint32_t maker_of(const import *m, uint32_t id)
{
    if (id & TG__DESCRIPTOR) return maker_of_array(m, id);
    return m->maker ? m->maker[id] : tg__maker(m->t, id);
}

static void mark(import *m, uint32_t last)
{
    const tg__instruction *const code = m->t->head.code;
    m->words = m->views = 0;
    for (uint32_t i = last + 1; i-- > 0;) {
        if (!m->node[i]) continue;
        m->words += code[i].op == TG__LEAF;
        if (code[i].op == TG__LEAF) continue;
        uint32_t room[2];
        int n;
        const uint32_t *const id = tg__operand_ids(m->t, &code[i], room, &n);
        const bool few = tg__ops[code[i].op]->kind == TG__MAP && !(code[i].y & TG__DESCRIPTOR);
        m->words += few ? 0 : (size_t)n + 1;
        for (int j = 0; j < n; j++) {
            const uint32_t maker = maker_of(m, id[j]);
            m->node[maker] = 1;
            const bool view = code[maker].y != id[j];
            m->views += view;
            m->words += view && id[j] & TG__DESCRIPTOR ? 2 : 0;
        }
    }
}

/* Whether what instruction i calls becomes part of the graph: a program for one instance, or a
   function. */
static bool is_inside(const import *m, uint32_t i)
{
    const tg__instruction *const in = &m->t->head.code[i];
    if (in->op != TG__CODE_call) return false;
    const tg_call_attributes *const a = tg__attributes_of(m->t, in);
    return a->callee == &tg__recomputed || (a->callee == &tg__called && a->flags & TG__CALL_ONE);
}

/* A part of what such a call made: of one of its outputs, which are one behind the other. */
static uint32_t part_of_call(const import *m, uint32_t maker, const tg__shape *s, int64_t offset)
{
    const uint32_t *const list = (uint32_t *)(void *)m->inside.data + m->node[maker];
    uint32_t i = 1;
    for (; i < list[0]; i++) {
        const int64_t n = tg__node_shape(m->g, list[i])->n;
        if (offset < n || (offset == n && s->n == 0)) break;
        offset -= n;
    }
    return tg__graph_view(m->g, list[i], s, offset);
}

/* Of a value that instruction `maker` made, or a view of it. */
static uint32_t part_of(const import *m, uint32_t maker, uint32_t id)
{
    const tg_tape *const t = m->t;
    const uint32_t whole = t->head.code[maker].y;
    if (id == whole) return m->node[maker];
    const tg__shape *const s = tg__value_array(t, id).s;
    const uint32_t start = whole & TG__DESCRIPTOR ? tg__descriptor_of(t, whole)->offset : whole;
    const uint32_t at = id & TG__DESCRIPTOR ? tg__descriptor_of(t, id)->offset : id;
    int64_t offset = (int64_t)at - (int64_t)start;
    const tg__descriptor *const d = id & TG__DESCRIPTOR ? tg__descriptor_of(t, id) : NULL;
    if (d && d->external) {
        const tg__descriptor *const base = tg__descriptor_of(t, whole);
        offset = ((const char *)d->external - (const char *)base->external) /
                 (ptrdiff_t)tg__type_size(s->type);
    }
    if (is_inside(m, maker)) return part_of_call(m, maker, s, offset);
    return tg__graph_view(m->g, m->node[maker], s, offset);
}

/* The node of a value that instruction `maker` made, or a view of it. Where no gradient flows, none does in
   programs. */
static uint32_t node_of_part(const import *m, uint32_t maker, uint32_t id)
{
    const uint32_t x = part_of(m, maker, id);
    const bool detached = id & TG__DESCRIPTOR && tg__descriptor_of(m->t, id)->flags & TG__DETACHED;
    if (!detached && !(m->t->head.code[maker].flags & TG__CUT)) return x;
    if (tg__graph_failed(m->g) || tg__node_shape(m->g, x)->type == TG_I64) return x;
    return tg__graph_apply(m->g, TG__CODE_detached, &x, 1, NULL);
}

/* The node of a value, given that of its instruction: mostly that, of a scalar, or an element. */
static inline uint32_t node_of(const import *m, uint32_t id)
{
    const uint32_t maker = maker_of(m, id);
    const tg__instruction *const in = &m->t->head.code[maker];
    if (id & TG__DESCRIPTOR || in->flags & TG__CUT || in->op == TG__CODE_call) return node_of_part(m, maker, id);
    if (in->y == id) return m->node[maker];
    return tg__graph_element(m->g, m->node[maker], (int64_t)id - tg__descriptor_of(m->t, in->y)->offset);
}

/* The place of how many outputs it has, and their nodes. */
static uint32_t put_inside(import *m, const tg_program *p, const uint32_t *x)
{
    const uint32_t place = (uint32_t)(m->inside.used / sizeof(uint32_t));
    const size_t used = m->inside.used + (p->n_outputs + (size_t)1) * sizeof(uint32_t);
    if (!tg__arena_grow(&m->inside, used)) return tg__graph_fail(m->g, TG_ERROR_MEMORY, "no memory");
    uint32_t *const list = (uint32_t *)(void *)(m->inside.data + m->inside.used);
    m->inside.used = used;
    list[0] = p->n_outputs;
    tg__graph_lower(m->g, &p->graph, TG__DERIVE, x, p->output, p->n_outputs, list + 1);
    return place;
}

static uint32_t call_inside(import *m, const tg__instruction *in, const uint32_t *x, int n,
                            const uint32_t *id)
{
    const tg_call_attributes *const a = tg__attributes_of(m->t, in);
    if (a->callee == &tg__called) return put_inside(m, a->what, x);
    tg__arena room;
    tg__arena_init(&room, m->g->memory);
    tg__array *const array = tg__arena_push(&room, (size_t)n * sizeof *array);
    for (int i = 0; array && i < n; i++) array[i] = tg__value_array(m->t, id[i]);
    const tg_compile_options o = tg__graph_options(m->g);
    tg_status status = { .code = TG_ERROR_MEMORY, .message = "no memory" };
    tg_program *const p = array ? tg__recompute_compile(a, array, n, &room, &o, &status) : NULL;
    const uint32_t place = p ? put_inside(m, p, x)
                             : tg__graph_fail(m->g, status.code, "%s", status.message);
    tg_program_free(p);
    tg__arena_free(&room);
    return place;
}

static uint32_t leaf_node(const import *m, uint32_t i)
{
    const uint32_t id = m->t->head.code[i].y;
    for (int j = 0; j < m->n_inputs; j++)
        if (m->leaf[j] == i)
            return tg__graph_input(m->g, (uint32_t)j, tg__value_array(m->t, id).s, j < m->n_batch);
    return tg__graph_constant(m->g, tg__value_array(m->t, id));
}

/* From now on nodes come from here. Loops come by the same few positions again and again. */
static bool put_site(import *m, tg_site site)
{
    tg__graph *const g = m->g;
    uint32_t *const known = &m->site[(unsigned)site.line % SITES];
    const tg_site *const was = (const tg_site *)(void *)g->sites.data + *known;
    if (was->file == site.file && was->line == site.line) {
        g->site = *known;
        return true;
    }
    const size_t place = tg__nodes_put(g, &g->sites, &site, sizeof site);
    if (place == SIZE_MAX) return false;
    g->site = *known = (uint32_t)(place / sizeof site);
    return true;
}

/* From now on nodes come from where the instruction was recorded. */
static bool set_site(import *m, uint32_t i)
{
    const tg__head *const h = &m->t->head;
    uint32_t run = m->run;
    while (run < h->n_runs && h->runs[run].first <= i) run++;
    if (run == m->run) return true;
    m->run = run;
    return put_site(m, tg__site_of_run(m->t, run));
}

/* Statistics of one instance are none of a batch. */
static bool is_lone_batch(const import *m, const tg__instruction *in, const uint32_t *x)
{
    if (in->op != TG__CODE_batch_norm || tg__graph_failed(m->g)) return false;
    if (tg__node_at(m->g, x[0])->stage != TG__BODY || tg__node_shape(m->g, x[0])->dim[0] != 1) return false;
    tg__graph_fail(m->g, TG_ERROR_ARGUMENT,
                   "batch_norm: of a batch of one, which varies over the batch: its statistics need the batch "
                   "as an axis of a tensor, which is a shared input. In evaluation there are none");
    return true;
}

static bool instruction(import *m, uint32_t i)
{
    const tg__instruction *const in = &m->t->head.code[i];
    if (!set_site(m, i)) return false;
    if (in->op == TG__LEAF) {
        m->node[i] = leaf_node(m, i);
        return !tg__graph_failed(m->g);
    }
    uint32_t room[2], few[8], *x = few;
    int n;
    const uint32_t *const id = tg__operand_ids(m->t, in, room, &n);
    m->operands.used = 0;
    if (n > 8 && !(x = tg__arena_push(&m->operands, (size_t)n * sizeof *x))) {
        tg__graph_fail(m->g, TG_ERROR_MEMORY, "no memory");
        return false;
    }
    for (int j = 0; j < n; j++) x[j] = node_of(m, id[j]);
    if (!is_lone_batch(m, in, x))
        m->node[i] = is_inside(m, i)
                         ? call_inside(m, in, x, n, id)
                         : tg__graph_apply(m->g, in->op, x, n, tg__attributes_of(m->t, in));
    return !tg__graph_failed(m->g);
}

/* Room for what import lists, zeros; false: no memory. */
static bool make_lists(import *m, uint32_t last, tg__arena *room)
{
    const tg__head *const h = &m->t->head;
    const size_t described = m->t->descriptors.used / sizeof(tg__descriptor);
    const size_t elements = h->n_values / 8 > last ? 0 : h->n_values; /* where most are scalars */
    const size_t all = (size_t)last + 1 + (size_t)m->n_inputs + described + elements;
    m->node = tg__arena_push(room, all * sizeof *m->node);
    if (!m->node) return false;
    m->leaf = m->node + last + 1;
    m->described = m->leaf + m->n_inputs;
    m->maker = elements ? m->described + described : NULL;
    return true;
}

/* Which instruction made what has a descriptor, and each element. */
static void map_makers(const import *m, uint32_t last)
{
    const tg__head *const h = &m->t->head;
    const uint32_t elements = m->maker ? (uint32_t)h->n_values : 0;
    uint32_t at = 0, maker = TG__NO_INSTRUCTION;
    for (uint32_t i = 0; i <= last; i++) {
        const uint32_t y = h->code[i].y;
        if (y & TG__DESCRIPTOR) m->described[y & ~TG__DESCRIPTOR] = i + 1;
        const uint32_t start = !elements ? UINT32_MAX : y & TG__DESCRIPTOR ? tg__start_of(m->t, i) : y;
        if (start == UINT32_MAX) continue;
        while (at < start) m->maker[at++] = maker;
        maker = i;
    }
    while (at < elements) m->maker[at++] = maker;
}

/* ---- effects ----------------------------------------------------------------------------------- */

/* Which instructions depend on inputs. */
static void find_dependent(const import *m, uint32_t last, bool *depends)
{
    memset(depends, 0, (size_t)last + 1);
    for (int i = 0; i < m->n_inputs; i++) depends[m->leaf[i]] = true;
    for (uint32_t i = 0; i <= last; i++) {
        const tg__instruction *const in = &m->t->head.code[i];
        if (in->op == TG__LEAF) continue;
        uint32_t room[2];
        int n;
        const uint32_t *const id = tg__operand_ids(m->t, in, room, &n);
        for (int j = 0; j < n && !depends[i]; j++) depends[i] = depends[maker_of(m, id[j])];
    }
}

/* The last instruction that the outputs need, of those that are no inputs; and 1 more. */
static uint32_t end_of_outputs(const import *m, uint32_t last)
{
    for (uint32_t i = last + 1; i > 0; i--) {
        bool needed = m->node[i - 1];
        for (int j = 0; j < m->n_inputs && needed; j++) needed = m->leaf[j] != i - 1;
        if (needed) return i;
    }
    return 0;
}

/* Whether instruction i is a shared input: parameters are read to be shown, saved, copied. */
static bool is_shared_input(const import *m, uint32_t i)
{
    for (int j = m->n_batch; j < m->n_inputs; j++)
        if (m->leaf[j] == i) return true;
    return false;
}

/* Whether C may have gone by what it read; then it cannot be replayed. */
static bool was_read(import *m, const tg__effect *e, uint32_t end, const bool *depends)
{
    if (e->code >= end || m->g->allow_reads) return false;
    const bool all = e->kind == TG__READ_ALL;
    const uint32_t first = all ? 0 : maker_of(m, e->id), behind = all ? e->code : first + 1;
    bool read = false;
    for (uint32_t i = first; i < behind && !read; i++) read = depends[i] && !is_shared_input(m, i);
    if (!read) return false;
    const uint32_t maker = maker_of(m, e->id);
    if (!put_site(m, e->site.file ? e->site : tg__site_of(m->t, maker))) return true;
    tg__graph_fail(m->g, TG_ERROR_ARGUMENT,
                   "a value that depends on an input (%s) was read while the outputs were recorded: "
                   "what C did with it is not done again. tg_true records a condition; allow_reads "
                   "compiles all the same",
                   m->t->head.code[maker].op == TG__LEAF ? "the input itself" : tg__name_at(m->t, maker));
    return true;
}

/* What happened beside the values: conditions and impure operations belong to the program if they
   depend on its inputs, even if no output needs them. */
static bool take_effects(import *m, uint32_t last)
{
    size_t n;
    const tg__effect *const e = tg__effects(m->t, &n);
    if (n == 0) return true;
    tg__arena room;
    tg__arena_init(&room, m->g->memory);
    bool *const depends = tg__arena_push(&room, (size_t)last + 1);
    if (!depends) return tg__graph_fail(m->g, TG_ERROR_MEMORY, "no memory");
    find_dependent(m, last, depends);
    const uint32_t end = end_of_outputs(m, last);
    bool ok = true;
    for (size_t i = 0; i < n && ok; i++) {
        const uint32_t maker = maker_of(m, e[i].id);
        if (e[i].kind == TG__READ || e[i].kind == TG__READ_ALL) ok = !was_read(m, &e[i], end, depends);
        else if (depends[maker]) m->node[maker] = 1;
    }
    tg__arena_free(&room);
    if (ok) mark(m, last);
    return ok;
}

/* The last instruction that is looked at. */
static uint32_t last_of_effects(const tg_tape *t, uint32_t last)
{
    size_t n;
    const tg__effect *const e = tg__effects(t, &n);
    for (size_t i = 0; i < n; i++) {
        const uint32_t maker = tg__maker(t, e[i].id);
        if (maker > last) last = maker;
    }
    return last;
}

/* ---- the whole --------------------------------------------------------------------------------- */

static bool import_all(import *m, const tg_value *value, int n, uint32_t last, uint32_t *node)
{
    for (int i = 0; i < n; i++) m->node[maker_of(m, value[i].id)] = 1;
    for (int i = 0; i < m->n_inputs; i++) m->node[m->leaf[i]] = 1;
    mark(m, last);
    if (!take_effects(m, last)) return false;
    uint32_t needed = 0;
    for (uint32_t i = 0; i <= last; i++) needed += m->node[i];
    enum { MORE = 16 }; /* than were recorded: numbers, mostly */
    const tg__expected e = { .nodes = needed + m->views + MORE, .words = m->words };
    if (!tg__graph_expect(m->g, &e)) return tg__graph_fail(m->g, TG_ERROR_MEMORY, "no memory");
    for (uint32_t i = 0; i <= last; i++)
        if (m->node[i] && !instruction(m, i)) return false;
    for (int i = 0; i < n; i++) node[i] = node_of(m, value[i].id);
    return !tg__graph_failed(m->g);
}

bool tg__graph_import(tg__graph *g, const tg_value *value, int n, const tg_value *inputs, int n_inputs,
                      int n_batch, uint32_t *node, uint32_t *input)
{
    const tg_tape *const t = value[0].tape;
    uint32_t last = 0;
    for (int i = 0; i < n + n_inputs; i++) {
        const uint32_t maker = tg__maker(t, i < n ? value[i].id : inputs[i - n].id);
        if (maker > last) last = maker;
    }
    last = last_of_effects(t, last);
    tg__arena lists;
    tg__arena_init(&lists, g->memory);
    import m = { .g = g, .t = t, .n_inputs = n_inputs, .n_batch = n_batch };
    tg__arena_init(&m.inside, g->memory);
    tg__arena_init(&m.operands, g->memory);
    bool ok = make_lists(&m, last, &lists);
    if (ok) {
        for (int i = 0; i < n_inputs; i++) m.leaf[i] = tg__maker(t, inputs[i].id);
        map_makers(&m, last);
        ok = import_all(&m, value, n, last, node);
        for (int i = 0; ok && i < n_inputs; i++) input[i] = m.node[m.leaf[i]];
    } else {
        tg__graph_fail(g, TG_ERROR_MEMORY, "no memory");
    }
    tg__arena_free(&m.inside);
    tg__arena_free(&m.operands);
    tg__arena_free(&lists);
    g->site = 0;
    return ok;
}
