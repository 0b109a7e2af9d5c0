/* A gradient as a sum over paths. The part of the graph between loss and w is a list of edges, from
   each instruction to those that made its operands, with the local derivative, or how much the norm
   of the gradient changes there. Paths are found best first: the best one follows each instruction's
   best edge; every other leaves an earlier one at some instruction and follows the best from there,
   and of those that leave only as many are remembered as are still wanted (after Lawler, 1972: the k
   best solutions). So the number of paths, which may be astronomical, costs nothing. */
#include <math.h>
#include <string.h>

#include "debug/look.h"

#define NONE UINT32_MAX

/* To show the largest few of tensors, whose order is an estimate, more are evaluated. */
enum {
    PATHS = 8,
    STEPS = 16,
    WORK = 10000000,
    MOST_PATHS = 1000,
    MORE = 4,
    LINE = 512,
    OPERANDS = 4
};

typedef struct edge {
    uint32_t owner, maker; /* instructions: by which a gradient comes, to which it goes */
    int operand;
    bool number; /* result and operand are one number each, */
    bool single; /* and so is all that the maker made */
    double d;    /* derivative; else: how much the norm grows */
    double log;  /* log2 |d| */
} edge;

/* An instruction between w and loss; n 0: none. */
typedef struct node {
    uint32_t first, n; /* edges */
    uint32_t best;     /* edge */
    double log;        /* of the best path from here to w */
    double paths, nonzero;
} node;

/* A path: as the parent's up to the owner of edge, from there on the best. */
typedef struct path {
    int parent; /* of the chosen ones; -1: it is the best path */
    uint32_t edge;
    double prefix; /* log of the product before and with edge */
    double log;    /* of the whole product */
    double value;  /* what it contributes, or its norm */
    double share;  /* of the gradient */
} path;

typedef struct search {
    tg__look *l;
    tg_explain_options o;
    tg_explanation *result;
    tg_value w;
    uint32_t source; /* w's instruction */
    node *node;      /* by instruction - source */
    edge *edge;
    uint32_t edges;
    bool numbers; /* every edge is */
    path *chosen, *waiting;
    int n_chosen, n_waiting, most;
    uint32_t *walk;  /* edges of one path */
    double *factor;  /* along it */
    uint32_t *turn;  /* deviations of one path, last first */
    uint32_t *order; /* the chosen paths, largest first */
    size_t work;
    char *g, *next; /* gradients along one path */
} search;

static node *node_of(const search *s, uint32_t i)
{
    return &s->node[i - s->source];
}

static int64_t offset_of(const search *s, uint32_t id)
{
    return id & TG__DESCRIPTOR ? tg__descriptor_of(s->l->t, id)->offset : id;
}

/* ---- the edges ------------------------------------------------------------------------------- */

/* Whether operand j of this instruction leads to w. */
static bool leads(const search *s, const tg__instruction *in, const uint32_t *id, int j)
{
    const tg_tape *const t = s->l->t;
    const char letter = tg__letter(tg__ops[in->op]->letters, j);
    if (!tg__is_differentiable(letter) || !tg__is_active(t, id[j])) return false;
    const uint32_t maker = tg__look_maker(s->l, id[j]);
    if (maker < s->source || (maker > s->source && !node_of(s, maker)->n)) return false;
    if (maker > s->source) return true;
    const tg__range a = tg__range_of(t, id[j]), b = tg__range_of(t, s->w.id);
    return a.first < b.end && b.first < a.end;
}

/* Numbers the edges of all instructions that lead from loss to w. False: no memory. */
static bool count_edges(search *s)
{
    tg__look *const l = s->l;
    for (uint32_t i = s->source + 1; i <= l->last; i++) {
        const tg__instruction *const in = &l->t->head.code[i];
        uint32_t room[2];
        int n;
        if (!tg__look_needs(l, i) || tg__is_inactive(in)) continue;
        const uint32_t *const id = tg__operand_ids(l->t, in, room, &n);
        node *const own = node_of(s, i);
        own->first = s->edges;
        uint32_t found = 0;
        for (int j = 0; j < n; j++) found += leads(s, in, id, j);
        own->n = found;
        s->edges += found;
    }
    s->edge = tg__look_room(l, s->edges + (uint64_t)1, sizeof *s->edge);
    return s->edge;
}

static double norm(const char *p, tg_type type, int64_t n)
{
    double sum = 0;
    for (int64_t k = 0; k < n; k++) {
        const double x = tg__get(p, type, k);
        sum += x * x;
    }
    return sqrt(sum);
}

/* Zeroed room for the gradient by operand j, of the layout of its range, which p's rule adds to. */
static char *make_target(search *s, tg__play *p, int j)
{
    tg__look *const l = s->l;
    const tg__range range = tg__range_of(l->t, p->id[j]);
    const size_t bytes = (range.end - range.first + (size_t)1) * l->t->element;
    char *const dx = tg__arena_push(&l->scratch, bytes);
    if (!dx) return tg__look_no_memory(l), NULL;
    memset(dx, 0, bytes);
    p->dx[j].p = dx + (offset_of(s, p->id[j]) - range.first) * (int64_t)l->t->element;
    return dx;
}

/* Pulls gradient g back into the targets that were made. */
static bool pull_back(search *s, tg__play *p, const void *g)
{
    tg__look *const l = s->l;
    p->call.g = g;
    const tg_code code = p->call.op->backward ? p->call.op->backward(&p->call) : TG_OK;
    if (code == TG_OK) return true;
    if (code == TG_ERROR_MEMORY) return tg__look_no_memory(l);
    return tg__look_fail(l, code, "%s: %s", tg__op_name(p->call.op, p->call.attributes),
                         l->message);
}

/* The same for all edges of a node: target[k] gets what goes along the k-th. */
static bool pull_all(search *s, tg__play *p, const node *own, const void *g, char **target)
{
    for (uint32_t k = 0; k < own->n; k++)
        if (!(target[k] = make_target(s, p, s->edge[own->first + k].operand))) return false;
    return pull_back(s, p, g);
}

/* Where the first element of the operand is in its target. */
static int64_t origin_of(const search *s, const tg__play *p, const edge *e)
{
    return offset_of(s, p->id[e->operand]) - tg__range_of(s->l->t, p->id[e->operand]).first;
}

static void measure(search *s, const tg__play *p, edge *e, const char *dx, double before)
{
    const tg__range range = tg__range_of(s->l->t, p->id[e->operand]);
    const tg_type type = s->l->t->type;
    e->d = e->number ? tg__get(dx, type, origin_of(s, p, e))
                     : norm(dx, type, range.end - range.first) / before;
    e->log = isnan(e->d) ? INFINITY : log2(fabs(e->d));
}

/* The derivatives of a node's edges, and what they add to the operands' adjoints. ones: a gradient
   to measure with, where one of numbers, or one that is not zero, is wanted. */
static bool fill_node(search *s, tg__play *p, const node *own, const char *ones)
{
    tg__look *const l = s->l;
    const tg_type type = l->t->type;
    const int64_t size = p->call.y.s->n;
    const tg__array g = tg__swept(l, l->t->head.code[s->edge[own->first].owner].y);
    const double before = norm(g.p, type, size);
    char **const target = tg__arena_push(&l->scratch, own->n * sizeof *target);
    if (!target) return tg__look_no_memory(l);
    if (before != 0 && !pull_all(s, p, own, g.p, target)) return false;
    for (uint32_t k = 0; before != 0 && k < own->n; k++) {
        edge *const e = &s->edge[own->first + k];
        const tg__range range = tg__range_of(l->t, p->id[e->operand]);
        char *const to = l->adjoints.data + range.first * l->t->element;
        for (int64_t i = 0; i < range.end - range.first; i++)
            tg__put(to, type, i, tg__get(to, type, i) + tg__get(target[k], type, i));
        if (!e->number) measure(s, p, e, target[k], before);
    }
    if (before != 0 && size > 1) return true;
    if (!pull_all(s, p, own, ones, target)) return false;
    for (uint32_t k = 0; k < own->n; k++) {
        edge *const e = &s->edge[own->first + k];
        if (e->number || before == 0) measure(s, p, e, target[k], sqrt((double)size));
    }
    return true;
}

static char *make_ones(search *s)
{
    const tg_tape *const t = s->l->t;
    int64_t most = 1;
    for (uint32_t i = s->source; i <= s->l->last; i++) {
        if (!node_of(s, i)->n && i != s->source) continue;
        const int64_t n = tg__value_array(t, t->head.code[i].y).s->n;
        if (n > most) most = n;
    }
    char *const ones = tg__look_room(s->l, (uint64_t)most, sizeof(double));
    s->g = tg__look_room(s->l, (uint64_t)most, sizeof(double));
    s->next = tg__look_room(s->l, (uint64_t)most, sizeof(double));
    for (int64_t k = 0; ones && k < most; k++) tg__put(ones, t->type, k, 1);
    return s->g && s->next ? ones : NULL;
}

/* Derivatives of all edges, from loss on; the gradient of w on the way. */
static bool fill_edges(search *s, tg_value loss)
{
    tg__look *const l = s->l;
    const char *const ones = make_ones(s);
    if (!ones) return false;
    if (!tg__arena_push(&l->adjoints, (l->t->head.n_values + (size_t)1) * l->t->element))
        return tg__look_no_memory(l);
    tg__set_element(tg__swept(l, loss.id), 0, 1);
    s->numbers = true;
    for (uint32_t i = l->last; i > s->source; i--) {
        const node *const own = node_of(s, i);
        tg__play p;
        if (!own->n) continue;
        if (!tg__play_begin(l, i, &p)) return false;
        uint32_t at = own->first;
        for (int j = 0; j < p.call.n; j++) {
            if (!leads(s, &l->t->head.code[i], p.id, j)) continue;
            const uint32_t maker = tg__look_maker(l, p.id[j]);
            const bool number = p.call.y.s->n == 1 && p.x[j].s->n == 1;
            const bool single = number && tg__value_array(l->t, l->t->head.code[maker].y).s->n == 1;
            s->edge[at++] = (edge){ i, maker, j, number, single, 0, 0 };
            s->numbers &= number;
        }
        if (!fill_node(s, &p, own, ones)) return false;
    }
    return true;
}

/* How many paths lead from each instruction to w, and which is the best. */
static void rate(search *s)
{
    *node_of(s, s->source) = (node){ .best = NONE, .paths = 1, .nonzero = 1 };
    for (uint32_t i = s->source + 1; i <= s->l->last; i++) {
        node *const own = node_of(s, i);
        own->log = -INFINITY;
        own->best = NONE;
        for (uint32_t k = own->first; k < own->first + own->n; k++) {
            const edge *const e = &s->edge[k];
            const node *const to = node_of(s, e->maker);
            own->paths += to->paths;
            if (e->log == -INFINITY || to->nonzero == 0) continue;
            own->nonzero += to->nonzero;
            if (own->best != NONE && !(e->log + to->log > own->log)) continue;
            own->log = e->log + to->log;
            own->best = k;
        }
    }
}

/* ---- the best paths -------------------------------------------------------------------------- */

/* The edges of a path into s->walk; how many. own: from where on they are not the parent's. */
static size_t walk(search *s, const path *p, size_t *own)
{
    size_t n = 0;
    int turns = 0;
    *own = 0;
    for (const path *q = p; q->parent >= 0; q = &s->chosen[q->parent]) s->turn[turns++] = q->edge;
    for (uint32_t i = s->l->last; i != s->source; n++) {
        uint32_t k = node_of(s, i)->best;
        if (turns && s->edge[s->turn[turns - 1]].owner == i) {
            k = s->turn[--turns];
            *own = n + 1;
        }
        s->walk[n] = k;
        i = s->edge[k].maker;
    }
    return n;
}

/* Remembers a path among those waiting, of which only the best are kept. */
static void wait_with(search *s, const path *p)
{
    const int room = s->most - s->n_chosen;
    int at = s->n_waiting;
    if (at == room && !(at > 0 && p->log > s->waiting[at - 1].log)) return;
    if (at < room) s->n_waiting++;
    else at--;
    for (; at > 0 && p->log > s->waiting[at - 1].log; at--) s->waiting[at] = s->waiting[at - 1];
    s->waiting[at] = *p;
}

/* All paths that leave this one behind its own deviation. */
static void branch(search *s, int parent)
{
    size_t own;
    const size_t n = walk(s, &s->chosen[parent], &own);
    double prefix = s->chosen[parent].parent < 0 ? 0 : s->chosen[parent].prefix;
    s->work += n;
    for (size_t at = own; at < n; at++) {
        const uint32_t taken = s->walk[at];
        const node *const here = node_of(s, s->edge[taken].owner);
        for (uint32_t k = here->first; k < here->first + here->n; k++) {
            const edge *const e = &s->edge[k];
            const node *const to = node_of(s, e->maker);
            if (k == taken || e->log == -INFINITY || to->nonzero == 0) continue;
            wait_with(s, &(path){ .parent = parent,
                                  .edge = k,
                                  .prefix = prefix + e->log,
                                  .log = prefix + e->log + to->log });
        }
        prefix += s->edge[taken].log;
    }
}

static void choose(search *s)
{
    if (node_of(s, s->l->last)->nonzero == 0) return;
    s->chosen[s->n_chosen++] = (path){ .parent = -1, .log = node_of(s, s->l->last)->log };
    for (;;) {
        s->result->out_of_work = s->work > s->o.work;
        if (s->n_chosen == s->most || s->result->out_of_work) return;
        branch(s, s->n_chosen - 1);
        if (s->n_waiting == 0) return;
        s->chosen[s->n_chosen++] = s->waiting[0];
        memmove(s->waiting, s->waiting + 1, (size_t)--s->n_waiting * sizeof *s->waiting);
    }
}

/* ---- what a path contributes ----------------------------------------------------------------- */

/* A number that neither overflows nor underflows on the way: x 2^exponent. */
typedef struct scaled {
    double x;
    long exponent;
} scaled;

static void multiply(scaled *a, double d)
{
    int exponent;
    a->x = frexp(a->x * d, &exponent);
    a->exponent += isfinite(a->x) ? exponent : 0;
}

static double plain(const scaled *a)
{
    const long limit = 5000;
    return ldexp(a->x, (int)fmin(fmax((double)a->exponent, -(double)limit), (double)limit));
}

/* One step of a tensor: the gradient in s->g becomes that of the operand's whole instruction. */
static bool step(search *s, const edge *e, double *factor)
{
    tg__look *const l = s->l;
    const tg_type type = l->t->type;
    const uint32_t whole = l->t->head.code[e->maker].y;
    tg__play p;
    if (!tg__play_begin(l, e->owner, &p)) return false;
    const char *const dx = make_target(s, &p, e->operand);
    if (!dx || !pull_back(s, &p, s->g)) return false;
    const int64_t n = tg__value_array(l->t, whole).s->n;
    const tg__range range = tg__range_of(l->t, p.id[e->operand]);
    const double before = norm(s->g, type, p.call.y.s->n);
    memset(s->next, 0, (size_t)n * l->t->element);
    memcpy(s->next + (range.first - offset_of(s, whole)) * (int64_t)l->t->element, dx,
           (range.end - range.first) * l->t->element);
    *factor = before == 0 ? 0 : norm(s->next, type, n) / before;
    char *const old = s->g;
    s->g = s->next;
    s->next = old;
    return true;
}

/* Pulls 1 back along s->walk: factors, and the path's contribution. */
static bool follow(search *s, size_t n, path *p)
{
    tg__look *const l = s->l;
    const tg_type type = l->t->type;
    scaled number = { 1, 0 };
    bool tensor = false;
    for (size_t i = 0; i < n; i++) {
        const edge *const e = &s->edge[s->walk[i]];
        s->factor[i] = e->d;
        double grown;
        if (e->single && tensor) number = (scaled){ tg__get(s->g, type, 0), 0 };
        if (e->single) {
            multiply(&number, e->d);
        } else {
            if (!tensor) tg__put(s->g, type, 0, plain(&number));
            if (!step(s, e, &grown)) return false;
            if (!e->number) s->factor[i] = grown;
        }
        tensor = !e->single;
    }
    if (!tensor) tg__put(s->g, type, 0, plain(&number));
    const uint32_t whole = l->t->head.code[s->source].y;
    const tg__array total = tg__swept(l, s->w.id);
    const tg__array own = { total.s, s->g + (offset_of(s, s->w.id) - offset_of(s, whole)) *
                                                (int64_t)l->t->element };
    double dot = 0, square = 0, sum = 0;
    for (int64_t k = 0; k < own.s->n; k++) {
        const double a = tg__element(own, k), b = tg__element(total, k);
        dot += a * b;
        square += a * a;
        sum += b * b;
    }
    p->value = own.s->n != 1 ? sqrt(square) : tensor ? tg__element(own, 0) : plain(&number);
    p->share = dot / sum;
    return true;
}

static bool follow_all(search *s)
{
    for (int i = 0; i < s->n_chosen; i++) {
        size_t own;
        const size_t n = walk(s, &s->chosen[i], &own);
        if (!follow(s, n, &s->chosen[i])) return false;
    }
    return true;
}

/* The order in which they are listed, into s->order: by what they really contribute. */
static void sort(search *s)
{
    for (int i = 0; i < s->n_chosen; i++) {
        int at = i;
        for (; at > 0; at--) {
            const double other = fabs(s->chosen[s->order[at - 1]].value);
            if (!(fabs(s->chosen[i].value) > other) && !isnan(s->chosen[i].value)) break;
            s->order[at] = s->order[at - 1];
        }
        s->order[at] = (uint32_t)i;
    }
}

/* ---- telling --------------------------------------------------------------------------------- */

static void print_step(const search *s, FILE *file, size_t i)
{
    const tg_tape *const t = s->l->t;
    const edge *const e = &s->edge[s->walk[i]];
    const tg__instruction *const in = &t->head.code[e->owner];
    const tg_site site = tg__site_of(t, e->owner);
    char line[LINE];
    tg__text x = { line, sizeof line, 0 };
    uint32_t room[2];
    int n;
    const uint32_t *const id = tg__operand_ids(t, in, room, &n);
    tg__say(&x, e->number ? "d/d" : "to ");
    tg__say_value(s->l, &x, id[e->operand]);
    tg__say(&x, e->number ? " = " : ": x ");
    tg__say_number(&x, s->factor[i]);
    fprintf(file, "   %-24s ", line);
    x = (tg__text){ line, sizeof line, 0 };
    tg__say_value(s->l, &x, in->y);
    tg__say(&x, " = %s(", tg__name_at(t, e->owner));
    for (int j = 0; j < n && j < OPERANDS; j++) {
        if (j) tg__say(&x, ", ");
        tg__say_value(s->l, &x, id[j]);
    }
    tg__say(&x, n > OPERANDS ? ", ...)" : ")");
    fprintf(file, "%s", line);
    if (site.file) fprintf(file, "   %s:%d", site.file, site.line);
    fprintf(file, "\n");
}

static bool print_path(search *s, FILE *file, int number, path *p)
{
    size_t own;
    const size_t n = walk(s, p, &own), shown = s->o.steps, head = (shown + 1) / 2;
    if (!follow(s, n, p)) return false;
    fprintf(file, "\n%d. %.10g", number, p->value);
    if (isfinite(p->share)) fprintf(file, " (%.3g %%)", 100 * p->share);
    fprintf(file, ", %zu step%s:\n", n, n == 1 ? "" : "s");
    for (size_t i = 0; i < n; i++) {
        if (n > shown && i == head) {
            fprintf(file, "   ... %zu more\n", n - shown);
            i = n - (shown - head);
            if (i >= n) break;
        }
        print_step(s, file, i);
    }
    return true;
}

static void print_rest(const search *s, FILE *file, int listed)
{
    const node *const root = node_of(s, s->l->last);
    const double rest = root->nonzero - listed, zero = root->paths - root->nonzero;
    if (rest > 0 && s->result->out_of_work)
        fprintf(file, "\nThe work was limited: there may be larger ones.\n");
    if (rest > 0)
        fprintf(file, "\n%.17g more, together %.10g\n", rest,
                s->result->sum - s->result->listed_sum);
    if (zero > 0)
        fprintf(file, "\n%.17g path%s a derivative of 0 in %s\n", zero,
                zero == 1 ? " has" : "s have", zero == 1 ? "it" : "them");
}

static void print_title(const search *s, FILE *file, tg_value loss)
{
    char text[LINE];
    const tg__shape *const shape = tg__value_array(s->l->t, s->w.id).s;
    const double paths = s->result->paths;
    tg__text x = { text, sizeof text, 0 };
    tg__say(&x, shape->n == 1 ? "d " : "|d ");
    tg__say_value(s->l, &x, loss.id);
    tg__say(&x, " / d ");
    tg__say_value(s->l, &x, s->w.id);
    tg__say(&x, "%s = %.10g, the %s of %.17g path%s", shape->n == 1 ? "" : "|", s->result->sum,
            shape->n == 1 ? "sum" : "norm of the sum", paths, paths == 1 ? "" : "s");
    fprintf(file, "%s\n", text);
}

/* ---- all together ---------------------------------------------------------------------------- */

static void sum_up(search *s, int listed)
{
    const tg__array total = tg__swept(s->l, s->w.id);
    double square = 0;
    for (int64_t k = 0; k < total.s->n; k++) square += pow(tg__element(total, k), 2);
    s->result->sum = total.s->n == 1 ? tg__element(total, 0) : sqrt(square);
    s->result->paths = node_of(s, s->l->last)->paths;
    s->result->listed = (size_t)listed;
    for (int i = 0; i < listed; i++) {
        const path *const p = &s->chosen[s->order[i]];
        if (i == 0) s->result->largest = p->value;
        if (total.s->n == 1) s->result->listed_sum += p->value;
        else if (square > 0) s->result->listed_sum += p->share * s->result->sum;
    }
}

static bool begin(search *s)
{
    tg__look *const l = s->l;
    const uint64_t between = l->last - s->source + (uint64_t)1;
    if (s->o.paths == 0) s->o.paths = PATHS;
    if (s->o.paths > MOST_PATHS) s->o.paths = MOST_PATHS;
    if (s->o.steps == 0) s->o.steps = STEPS;
    if (s->o.work == 0) s->o.work = WORK;
    s->most = MORE * (int)s->o.paths;
    s->node = tg__look_room(l, between, sizeof *s->node);
    s->walk = tg__look_room(l, between, sizeof *s->walk);
    s->factor = tg__look_room(l, between, sizeof *s->factor);
    s->chosen = tg__look_room(l, (uint64_t)s->most, sizeof *s->chosen);
    s->waiting = tg__look_room(l, (uint64_t)s->most, sizeof *s->waiting);
    s->turn = tg__look_room(l, (uint64_t)s->most, sizeof *s->turn);
    s->order = tg__look_room(l, (uint64_t)s->most, sizeof *s->order);
    return s->node && s->walk && s->factor && s->chosen && s->waiting && s->turn && s->order;
}

static bool explain(search *s, tg_value loss, FILE *file)
{
    const tg__shape *const root = tg__value_array(s->l->t, loss.id).s;
    if (root->type == TG_I64 || root->n != 1)
        return tg__look_fail(s->l, TG_ERROR_SHAPE,
                             "the value explained has shape %s: give one element of it, with tg_at",
                             TG__SHAPE_TEXT(root));
    if (tg__value_array(s->l->t, s->w.id).s->type == TG_I64)
        return tg__look_fail(s->l, TG_ERROR_TYPE, "w holds integers, which have no gradient");
    s->source = tg__look_maker(s->l, s->w.id);
    if (s->source == s->l->last)
        return tg__look_fail(s->l, TG_ERROR_ARGUMENT,
                             "w and the value explained come from the same operation");
    const bool later = s->source > s->l->last;
    if (later) s->source = s->l->last;
    if (!begin(s) || !count_edges(s) || !fill_edges(s, loss)) return false;
    rate(s);
    if (later) *node_of(s, s->source) = (node){ .best = NONE };
    choose(s);
    if (s->numbers && s->n_chosen > (int)s->o.paths) s->n_chosen = (int)s->o.paths;
    if (!follow_all(s)) return false;
    sort(s);
    const int listed = s->n_chosen < (int)s->o.paths ? s->n_chosen : (int)s->o.paths;
    sum_up(s, listed);
    if (!file) return true;
    print_title(s, file, loss);
    for (int i = 0; i < listed; i++)
        if (!print_path(s, file, i + 1, &s->chosen[s->order[i]])) return false;
    print_rest(s, file, listed);
    return ferror(file) ? tg__look_fail(s->l, TG_ERROR_FILE, "the file cannot be written") : true;
}

bool tg_explain(tg_value loss, tg_value w, const tg_explain_options *options, FILE *file,
                tg_explanation *result, tg_status *status)
{
    tg__look l;
    tg_explanation none;
    search s = { .l = &l,
                 .o = options ? *options : (tg_explain_options){ 0 },
                 .result = result ? result : &none,
                 .w = w };
    *s.result = (tg_explanation){ .paths = 0 };
    const bool ok = tg__look_begin(&l, "explain", loss, status) && tg__look_takes(&l, w, "w") &&
                    explain(&s, loss, file);
    tg__look_end(&l);
    return ok;
}
