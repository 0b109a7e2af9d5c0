/* The determinant of an l x l matrix by expansion by minors. */
#include <stdlib.h>
#include <string.h>

#include "gradbench.h"
#include <tapegrad/short.h>

enum { MOST = 11 };

typedef struct state {
    given in;
    int l;
    double *a;
    double *minors, *adjoints; /* by the set of columns, a bit each; the rows are the last ones */
    unsigned *order;           /* sets by their size */
    Value *values;
    tg_tape *tape;
    tg_mark mark;
    Value leaf;
    compiled program;
} state;

/* ---- with the library ------------------------------------------------------------------------ */

/* The minor of these columns and as many of the last rows; known ones are taken again, without which
   l! products would be recorded. */
static Value minor(const state *s, unsigned columns)
{
    if (s->values[columns].tape) return s->values[columns];
    const int row = s->l - __builtin_popcount(columns);
    Value total = tg_number(s->tape, 0);
    bool minus = false, first = true;
    for (int j = 0; j < s->l; j++) {
        if (!(columns >> j & 1)) continue;
        const unsigned rest = columns & ~(1u << j);
        const Value a = at(s->leaf, row, j), term = rest ? mul(a, minor(s, rest)) : a;
        total = first ? term : minus ? sub(total, term) : add(total, term);
        first = false;
        minus = !minus;
    }
    return s->values[columns] = total;
}

static Value model(const state *s)
{
    memset(s->values, 0, sizeof *s->values << s->l);
    return minor(s, (1u << s->l) - 1);
}

static void eager(void *state_, double *result)
{
    const state *const s = state_;
    const Value y = model(s);
    must(tg_backward(y) && tg_grad_read(s->leaf, result + 1, (size_t)(s->l * s->l)), "det");
    result[0] = tg_item(y);
    tg_release(s->mark);
}

static void program(void *state_, double *result)
{
    const state *const s = state_;
    run_compiled(&s->program, 1, (const void *[]){ s->a }, (void *[]){ result, result + 1 });
}

/* ---- by hand --------------------------------------------------------------------------------- */

static double plain_minor(const state *s, int row, unsigned columns)
{
    if (row == s->l) return 1;
    double total = 0, sign = 1;
    for (int j = 0; j < s->l; j++) {
        if (!(columns >> j & 1)) continue;
        total += sign * s->a[row * s->l + j] * plain_minor(s, row + 1, columns & ~(1u << j));
        sign = -sign;
    }
    return total;
}

/* The same, with g times its gradient added to da. */
static double plain_back(const state *s, int row, unsigned columns, double g, double *da)
{
    if (row == s->l) return 1;
    double total = 0, sign = 1;
    for (int j = 0; j < s->l; j++) {
        if (!(columns >> j & 1)) continue;
        const double a = s->a[row * s->l + j];
        const double m = plain_back(s, row + 1, columns & ~(1u << j), g * sign * a, da);
        total += sign * a * m;
        da[row * s->l + j] += g * sign * m;
        sign = -sign;
    }
    return total;
}

static void primal(void *state_, double *result)
{
    const state *const s = state_;
    *result = plain_minor(s, 0, (1u << s->l) - 1);
}

static void plain(void *state_, double *result)
{
    const state *const s = state_;
    memset(result + 1, 0, (size_t)(s->l * s->l) * sizeof *result);
    result[0] = plain_back(s, 0, (1u << s->l) - 1, 1, result + 1);
}

/* Of column j in the expansion of the first row of a set of columns. */
static inline double sign_of(unsigned set, int j)
{
    return __builtin_popcount(set & ((1u << j) - 1)) % 2 ? -1 : 1;
}

/* Every minor once, small ones first; then backwards. l is a constant: unrolled, nothing is left but the
   products. */
static inline __attribute__((always_inline)) void expert_of(int l, const double *restrict a, double *restrict result)
{
    enum { LARGEST = 8 };
    const unsigned sets = 1u << l;
    double m[1 << LARGEST], dm[1 << LARGEST] = { 0 }, da[LARGEST * LARGEST] = { 0 };
    m[0] = dm[sets - 1] = 1;
#pragma GCC unroll 256
    for (unsigned set = 1; set < sets; set++) {
        const double *const row = a + (l - __builtin_popcount(set)) * l;
        double total = 0;
#pragma GCC unroll 8
        for (int j = 0; j < l; j++)
            if (set >> j & 1) total += sign_of(set, j) * row[j] * m[set ^ (1u << j)];
        m[set] = total;
    }
#pragma GCC unroll 256
    for (unsigned set = sets - 1; set > 0; set--) {
        const int row = (l - __builtin_popcount(set)) * l;
#pragma GCC unroll 8
        for (int j = 0; j < l; j++) {
            if (!(set >> j & 1)) continue;
            const double g = sign_of(set, j) * dm[set];
            dm[set ^ (1u << j)] += g * a[row + j];
            da[row + j] += g * m[set ^ (1u << j)];
        }
    }
    result[0] = m[sets - 1];
    memcpy(result + 1, da, (size_t)(l * l) * sizeof *da);
}

/* The same for any l. */
static void expert_of_any(const state *s, double *result)
{
    const unsigned sets = 1u << s->l;
    double *const restrict m = s->minors, *const restrict dm = s->adjoints, *const da = result + 1;
    m[0] = 1;
    for (unsigned i = 1; i < sets; i++) {
        const unsigned columns = s->order[i];
        const double *const a = s->a + (s->l - __builtin_popcount(columns)) * s->l;
        double total = 0, sign = 1;
        for (unsigned left = columns; left; left &= left - 1) {
            total += sign * a[__builtin_ctz(left)] * m[columns ^ (left & -left)];
            sign = -sign;
        }
        m[columns] = total;
    }
    memset(da, 0, (size_t)(s->l * s->l) * sizeof *da);
    memset(dm, 0, sets * sizeof *dm);
    dm[sets - 1] = 1;
    for (unsigned i = sets; i-- > 1;) {
        const unsigned columns = s->order[i];
        const int row = (s->l - __builtin_popcount(columns)) * s->l;
        double g = dm[columns];
        for (unsigned left = columns; left; left &= left - 1) {
            const int j = __builtin_ctz(left);
            const unsigned rest = columns ^ (left & -left);
            dm[rest] += g * s->a[row + j];
            da[row + j] += g * m[rest];
            g = -g;
        }
    }
    result[0] = m[sets - 1];
}

static void expert(void *state_, double *result)
{
    const state *const s = state_;
    switch (s->l) {
    case 5: expert_of(5, s->a, result); break;
    case 8: expert_of(8, s->a, result); break;
    default: expert_of_any(s, result); break;
    }
}

/* ---- the rows ---------------------------------------------------------------------------------- */

static void *start(int size)
{
    state *const s = room(1, sizeof *s);
    uint64_t seed = 5;
    s->l = (const int[]){ 5, 8, MOST }[size];
    const unsigned sets = 1u << s->l;
    s->a = room((size_t)(s->l * s->l), sizeof *s->a);
    s->minors = room(sets, sizeof *s->minors);
    s->adjoints = room(sets, sizeof *s->adjoints);
    s->order = room(sets, sizeof *s->order);
    s->values = room(sets, sizeof *s->values);
    for (int i = 0; i < s->l * s->l; i++) s->a[i] = draw(&seed, -1, 1);
    for (int n = 0, i = 0; n <= s->l; n++)
        for (unsigned set = 0; set < sets; set++)
            if (__builtin_popcount(set) == n) s->order[i++] = set;
    s->tape = row_tape();
    s->leaf = param(s->tape, s->a, s->l, s->l);
    given_add(&s->in, s->a, s->l * s->l, s->leaf);
    s->mark = tg_tape_mark(s->tape);
    s->program = compile_gradient(model(s), &s->leaf, 1, NULL, 0, (const int[]){ 0 }, 1);
    tg_release(s->mark);
    return s;
}

static void stop(void *state_)
{
    state *const s = state_;
    free_compiled(&s->program);
    tg_tape_free(s->tape);
    free(s->a);
    free(s->minors);
    free(s->adjoints);
    free(s->order);
    free(s->values);
    free(s);
}

static size_t results(void *state_, size_t *values)
{
    *values = 1;
    const state *const s = state_;
    return 1 + (size_t)(s->l * s->l);
}

const problem det = { "det", { "5", "8", "11" }, start, stop, results,
                      { primal, plain, expert, eager, program }, { 0 } };
