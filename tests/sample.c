/* Trials of ops: see sample.h. */
#include "sample.h"

#include <tapegrad/derivatives.h>

#include "tape/record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const tg_site here = { __FILE__, 1 };

/* ---- ops by name ----------------------------------------------------------------------------- */

int op_named(const char *name)
{
    const int op = tg__find(name);
    if (!op) {
        fprintf(stderr, "there is no op named %s\n", name);
        abort();
    }
    return op;
}

tg_value apply(const char *name, int n, const tg_value *x, const void *attributes)
{
    return tg__record(op_named(name), x, n, attributes, &here);
}

tg_value apply1(const char *name, tg_value x)
{
    return apply(name, 1, &x, NULL);
}

tg_value apply2(const char *name, tg_value a, tg_value b)
{
    return apply(name, 2, (const tg_value[]){ a, b }, NULL);
}

bool is_index(const trial *t, int i)
{
    return tg__letter(tg__ops[t->op]->letters, i) == 'i';
}

/* ---- operands -------------------------------------------------------------------------------- */

static double uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) * 0x1p-53;
}

/* The shape of the leaf under an operand: the operand is a view of it. */
static tg__shape leaf_shape(const tg__sample *x, layout l)
{
    tg__shape s = { .rank = x->rank };
    memcpy(s.dim, x->dim, sizeof s.dim);
    if (l == TRANSPOSED && s.rank > 1) {
        s.dim[s.rank - 1] = x->dim[s.rank - 2];
        s.dim[s.rank - 2] = x->dim[s.rank - 1];
    }
    if (l == SPACED && s.rank > 0) s.dim[s.rank - 1] = 2 * x->dim[s.rank - 1] + 1;
    tg__shape_finish(&s);
    return s;
}

tg_value lay_out(tg_value leaf, layout l)
{
    static const tg_slice_attributes spaced = { .axis = -1, .start = 1, .stop = TG_END, .step = 2 };
    static const tg_slice_attributes backwards = {
        .axis = 0, .start = TG_END, .stop = TG_END, .step = -1
    };
    const int rank = tg_rank(leaf);
    if (l == TRANSPOSED && rank > 1) return apply1("transpose", leaf);
    if (l == BACKWARDS && rank > 0) return apply("slice", 1, &leaf, &backwards);
    if (l == SPACED && rank > 0) return apply("slice", 1, &leaf, &spaced);
    return leaf;
}

/* Whether element j of a leaf is on a diagonal of the operand that it is in a layout. */
static bool on_diagonal(const tg__sample *x, layout l, const tg__shape *leaf, int64_t j)
{
    if (x->rank < 2) return false;
    int64_t at[TG_MAX_RANK];
    for (int i = x->rank - 1; i >= 0; i--) {
        at[i] = j % leaf->dim[i];
        j /= leaf->dim[i];
    }
    const int row = x->rank - 2, column = x->rank - 1;
    if (l == BACKWARDS) at[0] = leaf->dim[0] - 1 - at[0];
    if (l == SPACED) return at[column] == 2 * at[row] + 1;
    return at[row] == at[column];
}

data draw(const trial *t, uint64_t seed)
{
    data d = { .seed = seed };
    for (int i = 0; i < t->x.n; i++) {
        const tg__sample *x = &t->x.x[i];
        d.shape[i] = leaf_shape(x, t->layout[i]);
        d.element[i] = malloc(((size_t)d.shape[i].n + 1) * sizeof(double));
        for (int64_t j = 0; j < d.shape[i].n; j++) {
            const double u = uniform(&d.seed);
            d.element[i][j] = is_index(t, i) ? floor(x->lo + u * (x->hi - x->lo + 1))
                                             : x->lo + u * (x->hi - x->lo);
            if (x->diagonal != 0 && on_diagonal(x, t->layout[i], &d.shape[i], j))
                d.element[i][j] += x->diagonal;
        }
    }
    return d;
}

void drop(data *d)
{
    for (int i = 0; i < TG__SAMPLES; i++) free(d->element[i]);
}

static tg_value make_index(const data *d, int i, tg_tape *tape)
{
    const size_t n = (size_t)d->shape[i].n;
    int64_t *whole = malloc((n + 1) * sizeof *whole);
    for (size_t j = 0; j < n; j++) whole[j] = (int64_t)d->element[i][j];
    const tg_value leaf =
        tg_index_new(tape, sizeof *whole, whole, d->shape[i].rank, d->shape[i].dim, &here);
    free(whole);
    return leaf;
}

void make_leaves(const trial *t, const data *d, tg_tape *tape, tg_value *leaf)
{
    for (int i = 0; i < t->x.n; i++) {
        const tg__shape *s = &d->shape[i];
        leaf[i] = i > 0 && t->same ? leaf[0]
                  : is_index(t, i) ? make_index(d, i, tape)
                                   : tg_leaf_new(tape, TG_PARAMETER, TG_F64, d->element[i], s->rank,
                                                 s->dim, &here);
    }
}

tg_value record_trial(const trial *t, const tg_value *leaf)
{
    tg_value x[TG__SAMPLES];
    for (int i = 0; i < t->x.n; i++) x[i] = lay_out(leaf[i], t->layout[i]);
    const tg_value y = tg__record(t->op, x, t->x.n, t->x.attributes, &here);
    return t->twice ? apply2("stack", y, tg__record(t->op, x, t->x.n, t->x.attributes, &here)) : y;
}

/* ---- checking a trial ------------------------------------------------------------------------ */

typedef struct subject {
    const trial *t;
    const data *d;
    int order; /* of the derivative that the model is; 0: the value */
} subject;

tg_value random_cotangent(tg_value y, uint64_t seed)
{
    const int64_t n = tg_size(y);
    double *const g = malloc(((size_t)(n < 0 ? 0 : n) + 1) * sizeof *g);
    int64_t dim[TG_MAX_RANK];
    for (int64_t i = 0; i < n; i++) g[i] = uniform(&seed) * 2 - 1;
    for (int i = 0; i < tg_rank(y); i++) dim[i] = tg_dim(y, i);
    const tg_value leaf = tg_leaf_new(y.tape, TG_CONSTANT, TG_F64, g, tg_rank(y), dim, &here);
    free(g);
    return leaf;
}

tg_value trial_derivative(const trial *t, const tg_value *leaf, uint64_t seed, int order)
{
    tg_value y = record_trial(t, leaf), by[TG__SAMPLES], d[TG__SAMPLES];
    int n = 0;
    for (int i = 0; i < t->x.n && !(i > 0 && t->same); i++)
        if (!is_index(t, i)) by[n++] = leaf[i];
    for (; order > 0 && tg_size(y) >= 0; order--) {
        const tg_value g = random_cotangent(y, seed + (uint64_t)order);
        if (!tg_grad_values_at(&y, &g, 1, by, n, d, &here)) return (tg_value){ y.tape, 0, 0 };
        for (int i = 0; i < n; i++) d[i] = apply1("flatten", d[i]);
        y = apply("cat", n, d, NULL);
    }
    return y;
}

/* The model: the inputs of the check are the operands that are no index tensors. */
static tg_value trial_model(tg_tape *tape, const tg_value *inputs, void *user)
{
    const subject *s = user;
    tg_value leaf[TG__SAMPLES];
    for (int i = 0, k = 0; i < s->t->x.n; i++)
        leaf[i] = is_index(s->t, i)     ? make_index(s->d, i, tape)
                  : i > 0 && s->t->same ? inputs[0]
                                        : inputs[k++];
    return trial_derivative(s->t, leaf, s->d->seed, s->order);
}

bool check_trial(const trial *t, int order, uint64_t seed, const tg_check_options *options,
                 tg_check_report *report)
{
    data d = draw(t, seed);
    tg_check_input inputs[TG__SAMPLES] = { 0 };
    int n = 0;
    for (int i = 0; i < t->x.n && !(i > 0 && t->same); i++) {
        if (is_index(t, i)) continue;
        inputs[n] = (tg_check_input){ .data = d.element[i], .rank = d.shape[i].rank };
        memcpy(inputs[n++].shape, d.shape[i].dim, sizeof d.shape[i].dim);
    }
    const bool agrees =
        tg_gradcheck(trial_model, &(subject){ t, &d, order }, inputs, n, options, report);
    drop(&d);
    return agrees;
}

const char *trial_text(const trial *t)
{
    static const char *const names[] = { "", " transposed", " backwards", " spaced" };
    static char text[512];
    int used = snprintf(text, sizeof text, "%s of ", tg__ops[t->op]->name);
    for (int i = 0; i < t->x.n && used < (int)sizeof text; i++) {
        tg__shape s = { .rank = t->x.x[i].rank };
        memcpy(s.dim, t->x.x[i].dim, sizeof s.dim);
        used += snprintf(text + used, sizeof text - (size_t)used, "%s%s%s", i ? " and " : "",
                         TG__SHAPE_TEXT(&s), names[t->layout[i]]);
    }
    if (t->same && used < (int)sizeof text)
        snprintf(text + used, sizeof text - (size_t)used, ", the same value");
    return text;
}

/* ---- which trials ---------------------------------------------------------------------------- */

/* Shapes for elementwise ops, by operand; the first with three different ones that broadcast. */
static const struct {
    int rank;
    int64_t dim[3];
} map_shapes[][3] = {
    { { 2, { 3, 4 } }, { 1, { 4 } }, { 2, { 3, 1 } } },
    { { 0, { 0 } }, { 0, { 0 } }, { 0, { 0 } } },
    { { 1, { 19 } }, { 1, { 19 } }, { 1, { 19 } } },
    { { 2, { 3, 4 } }, { 2, { 3, 4 } }, { 2, { 3, 4 } } },
    { { 1, { 5 } }, { 0, { 0 } }, { 1, { 5 } } },
    { { 0, { 0 } }, { 2, { 2, 3 } }, { 0, { 0 } } },
    { { 2, { 3, 1 } }, { 2, { 1, 4 } }, { 1, { 1 } } },
    { { 1, { 4 } }, { 3, { 2, 3, 4 } }, { 1, { 4 } } },
    { { 3, { 2, 1, 3 } }, { 2, { 4, 1 } }, { 3, { 1, 4, 3 } } },
};
#define MAP_SHAPES (sizeof map_shapes / sizeof map_shapes[0])

static trial map_trial(int op, size_t shapes)
{
    trial t = { .op = op, .x = { .n = tg__operands(tg__ops[op]->letters) } };
    for (int i = 0; i < t.x.n; i++) {
        tg__sample *x = &t.x.x[i];
        x->lo = tg__ops[op]->range[i].lo;
        x->hi = tg__ops[op]->range[i].hi;
        x->rank = map_shapes[shapes][i].rank;
        memcpy(x->dim, map_shapes[shapes][i].dim, sizeof map_shapes[shapes][i].dim);
    }
    return t;
}

/* All operands in one layout; then, if there are several, each alone in it. Index tensors have
   no views. */
static void each_layout(const trial *plain, void (*visit)(const trial *t))
{
    for (layout l = TRANSPOSED; l < LAYOUTS; l++)
        for (int alone = plain->x.n > 1 ? -1 : 0; alone < plain->x.n; alone++) {
            trial t = *plain;
            bool changed = false;
            for (int i = 0; i < t.x.n; i++) {
                if ((alone >= 0 && i != alone) || is_index(&t, i)) continue;
                t.layout[i] = l;
                changed = true;
            }
            if (changed) visit(&t);
        }
}

/* One value as every operand, in a range where all of them may lie. */
static void same_trial(const trial *plain, void (*visit)(const trial *t))
{
    trial t = *plain;
    t.same = true;
    for (int i = 1; i < t.x.n; i++) {
        t.x.x[0].lo = fmax(t.x.x[0].lo, t.x.x[i].lo);
        t.x.x[0].hi = fmin(t.x.x[0].hi, t.x.x[i].hi);
        t.x.x[i].rank = t.x.x[0].rank;
        memcpy(t.x.x[i].dim, t.x.x[0].dim, sizeof t.x.x[0].dim);
    }
    if (t.x.x[0].lo < t.x.x[0].hi) visit(&t);
}

static void each_map_trial(int op, void (*visit)(const trial *t))
{
    for (size_t s = 0; s < MAP_SHAPES; s++) {
        const trial t = map_trial(op, s);
        visit(&t);
        if (s == 0 || s == 3) each_layout(&t, visit);
        if (t.x.n > 1 && s < 4) same_trial(&t, visit);
    }
}

void each_trial(int op, void (*visit)(const trial *t))
{
    if (tg__ops[op]->kind == TG__MAP) {
        each_map_trial(op, visit);
        return;
    }
    for (const tg__case *x = tg__ops[op]->cases; x->n; x++) {
        const trial t = { .op = op, .x = *x };
        visit(&t);
        each_layout(&t, visit);
    }
}

void each_plain_trial(int op, void (*visit)(const trial *t))
{
    if (tg__ops[op]->kind == TG__MAP) {
        const trial t = map_trial(op, 0);
        visit(&t);
        return;
    }
    for (const tg__case *x = tg__ops[op]->cases; x->n; x++)
        visit(&(const trial){ .op = op, .x = *x });
}
