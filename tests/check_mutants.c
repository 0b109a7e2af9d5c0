/* Does the gradient check catch wrong gradients? Every op's backward rule is replaced by
   mutants of itself, each with one mistake of the kind that people make, and tg_gradcheck has
   to find every one. A mutant that changes no gradient by more than rounding is no mistake, and
   is not counted. */
#include "sample.h"

#include "tape/record.h"

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 7u

/* ---- mistakes -------------------------------------------------------------------------------- */

typedef enum mistake {
    SIGN_FLIPPED,
    SLIGHTLY_LARGE,    /* x 1.001 */
    MISSING,           /* nothing is added */
    ONE_DROPPED,       /* one element gets nothing */
    SHIFTED,           /* each element gets its neighbour's */
    LAYOUT_TRANSPOSED, /* written as if the last two axes were exchanged */
    OPERANDS_SWAPPED,
    OVERWRITTEN, /* = instead of += */
    UNSUMMED,    /* only the first slice along broadcast axes */
    G_IGNORED,   /* 1 for g */
    G_SQUARED,   /* g^2 for g */
    G_BACKWARDS, /* g in opposite order */
    MISTAKES
} mistake;

static const char *const mistake_names[] = {
    "sign flipped",          "times 1.001", "missing",          "one element dropped",
    "shifted by one",        "transposed",  "operands swapped", "overwritten",
    "broadcast sum missing", "g ignored",   "g squared",        "g backwards",
};

static struct {
    int op, operand;
    mistake mistake;
    bool applies; /* some gradient was changed */
} mutant;

static const tg__op *const *original;

static void *get_zeros(int64_t n)
{
    return calloc((size_t)n + 1, sizeof(double));
}

/* A row-major shape with the dimensions of another. */
static tg__shape packed(const tg__shape *s)
{
    tg__shape out = *s;
    tg__shape_finish(&out);
    return out;
}

/* Runs the unchanged rule with gradient g into fresh arrays, one for each operand; NULL where
   none is wanted. */
static tg_code run_original(const tg__call *c, const void *g, tg__shape *shape, double **delta)
{
    tg__array dx[TG__SAMPLES];
    tg__call call = *c;
    for (int i = 0; i < c->n; i++) {
        shape[i] = packed(c->x[i].s);
        delta[i] = c->dx[i].p ? get_zeros(shape[i].n) : NULL;
        dx[i] = (tg__array){ &shape[i], delta[i] };
    }
    call.op = original[mutant.op];
    call.g = g;
    call.dx = dx;
    return call.op->backward(&call);
}

/* Whether axis a of the result (from the back) repeats the operand. */
static bool repeats(const tg__shape *x, const tg__shape *y, int a)
{
    if (y->dim[y->rank - a] < 2) return false;
    return a > x->rank || (x->dim[x->rank - a] == 1 || x->stride[x->rank - a] == 0);
}

/* Keeps of g the first slice along all axes that repeat the operand. */
static void first_slices(const tg__call *c, double *g)
{
    const tg__shape *x = c->x[mutant.operand].s, *y = c->y.s;
    for (int64_t i = 0; i < y->n; i++) {
        int64_t rest = i;
        for (int a = 1; a <= y->rank; a++) {
            if (rest % y->dim[y->rank - a] > 0 && repeats(x, y, a)) g[i] = 0;
            rest /= y->dim[y->rank - a];
        }
    }
}

static void change_g(const tg__call *c, double *g)
{
    const int64_t n = c->y.s->n;
    if (mutant.mistake == UNSUMMED) first_slices(c, g);
    for (int64_t i = 0; i < n; i++) {
        if (mutant.mistake == G_IGNORED) g[i] = 1;
        if (mutant.mistake == G_SQUARED) g[i] *= g[i];
        if (mutant.mistake == G_BACKWARDS) g[i] = ((const double *)c->g)[n - 1 - i];
    }
}

static void drop_last(double *d, int64_t n)
{
    while (n > 0 && d[n - 1] == 0) n--;
    if (n > 0) d[n - 1] = 0;
}

static void shift(double *d, int64_t n)
{
    if (n == 0) return;
    const double first = d[0];
    memmove(d, d + 1, (size_t)(n - 1) * sizeof *d);
    d[n - 1] = first;
}

static void transpose(const tg__shape *s, double *d)
{
    if (s->rank < 2 || s->n == 0) return;
    const int64_t rows = s->dim[s->rank - 2], columns = s->dim[s->rank - 1], n = rows * columns;
    double *const copy = get_zeros(n);
    for (int64_t first = 0; first < s->n; first += n) {
        memcpy(copy, d + first, (size_t)n * sizeof *d);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < columns; j++) d[first + j * rows + i] = copy[i * columns + j];
    }
    free(copy);
}

static void swap(const tg__shape *shape, double **delta, int n)
{
    const int i = mutant.operand, j = (i + 1) % n;
    if (!delta[i] || !delta[j] || shape[i].n != shape[j].n) return;
    double *const d = delta[i];
    delta[i] = delta[j];
    delta[j] = d;
}

static void change_delta(const tg__call *c, const tg__shape *shape, double **delta)
{
    double *d = delta[mutant.operand];
    const int64_t n = shape[mutant.operand].n;
    const double factor = mutant.mistake == SIGN_FLIPPED     ? -1
                          : mutant.mistake == SLIGHTLY_LARGE ? 1.001
                          : mutant.mistake == MISSING        ? 0
                                                             : 1;
    for (int64_t i = 0; i < n; i++) d[i] *= factor;
    if (mutant.mistake == ONE_DROPPED) drop_last(d, n);
    if (mutant.mistake == SHIFTED) shift(d, n);
    if (mutant.mistake == LAYOUT_TRANSPOSED) transpose(&shape[mutant.operand], d);
    if (mutant.mistake == OPERANDS_SWAPPED) swap(shape, delta, c->n);
}

/* Adds what the mutant found to its place, or sets it if that is the mistake. */
static void deliver(const tg__call *c, int i, const tg__shape *shape, const double *right,
                    double *wrong)
{
    const bool overwrites = mutant.mistake == OVERWRITTEN && i == mutant.operand;
    double *const before = get_zeros(shape->n), *const zeros = get_zeros(shape->n);
    tg__copy(c->k, (tg__array){ shape, before }, c->dx[i]);
    for (int64_t j = 0; j < shape->n; j++) {
        const double change = fabs(right[j] - wrong[j]) + (overwrites ? fabs(before[j]) : 0);
        if (change > 1e-6 * fabs(right[j]) + 1e-9) mutant.applies = true;
    }
    if (overwrites) tg__copy(c->k, c->dx[i], (tg__array){ shape, zeros });
    tg__add(c->k, c->dx[i], (tg__array){ shape, wrong });
    free(before);
    free(zeros);
}

static tg_code mutated_backward(const tg__call *c)
{
    if (mutant.operand >= c->n) return original[mutant.op]->backward(c);
    tg__shape shape[TG__SAMPLES];
    double *right[TG__SAMPLES], *wrong[TG__SAMPLES];
    double *const g = get_zeros(c->y.s->n);
    memcpy(g, c->g, (size_t)c->y.s->n * sizeof *g);
    change_g(c, g);
    tg_code code = run_original(c, c->g, shape, right);
    if (code == TG_OK) code = run_original(c, g, shape, wrong);
    /* A mistake with g concerns one operand; the others stay right. */
    if (wrong[mutant.operand]) change_delta(c, shape, wrong);
    for (int i = 0; i < c->n; i++) {
        const bool swapped = mutant.mistake == OPERANDS_SWAPPED && i == (mutant.operand + 1) % c->n;
        if (c->dx[i].p)
            deliver(c, i, &shape[i], right[i],
                    i == mutant.operand || swapped ? wrong[i] : right[i]);
        free(right[i]);
        free(wrong[i]);
    }
    free(g);
    return code;
}

/* ---- the hunt -------------------------------------------------------------------------------- */

static size_t caught, made;

static void hunt(const trial *t)
{
    tg_check_report report;
    mutant.applies = false;
    const bool agrees = check_trial(t, 0, SEED, NULL, &report);
    if (!mutant.applies) return;
    made++;
    caught += !agrees && report.verdict == TG_WRONG;
    cr_expect(!agrees && report.verdict == TG_WRONG, "survives: %s, operand %d, %s: %s",
              trial_text(t), mutant.operand, mistake_names[mutant.mistake], report.message);
}

/* The op is recorded twice, so that its operands' gradients have two parts. */
static void hunt_all(const trial *plain)
{
    trial twice = *plain;
    twice.twice = true;
    for (mutant.operand = 0; mutant.operand < twice.x.n; mutant.operand++)
        for (int m = 0; m < MISTAKES; m++) {
            mutant.mistake = (mistake)m;
            hunt(&twice);
        }
}

static void with_mutants_of(int op)
{
    const tg__op **table = malloc((size_t)tg__op_count * sizeof *table);
    tg__op changed = *tg__ops[op];
    memcpy(table, tg__ops, (size_t)tg__op_count * sizeof *table);
    changed.backward = mutated_backward;
    table[op] = &changed;
    mutant.op = op;
    original = tg__ops;
    tg__op_table = table;
    each_plain_trial(op, hunt_all);
    tg__op_table = original;
    free(table);
}

Test(mutants, all_are_caught)
{
    for (int op = FIRST_OP; op < tg__op_count; op++) {
        if (!tg__ops[op]->backward || !strpbrk(tg__ops[op]->letters, "lnc")) continue;
        const size_t before = made;
        with_mutants_of(op);
        cr_expect(made > before, "%s has no mutants", tg__ops[op]->name);
    }
    fprintf(stderr, "# %zu of %zu mutants caught\n", caught, made);
}
