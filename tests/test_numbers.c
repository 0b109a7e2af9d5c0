/* Operations on single numbers, one after the other: every instruction, and random graphs of them as
   programs for one instance, against the tape and with every operand from memory. */
#define _POSIX_C_SOURCE 200809L
#include <tapegrad.h>
#include <tapegrad/program.h>
#include <tapegrad/short.h>

#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "draw.h"
#include "levels.h"
#include "printed.h"
#include "program/plan.h"

enum { LEAVES = 5, NODES = 60 };

static void quiet(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
}

TestSuite(numbers, .init = quiet);

/* ---- instructions ------------------------------------------------------------------------------------- */

typedef struct instruction {
    const char *name;
    uint32_t code, op, n; /* op 0: a sum, whose product's sign is */
    int sign;
} instruction;

#define ONE(NAME) { #NAME, TG__EACH_##NAME, TG__CODE_##NAME, 1, 0 },
#define TWO(NAME) { #NAME, TG__EACH_##NAME, TG__CODE_##NAME, 2, 0 },
#define THREE(NAME) { #NAME, TG__EACH_##NAME, TG__CODE_##NAME, 3, 0 },
static const instruction instructions[] = { TG__AT_ONCE(ONE, TWO, THREE){ "plus", TG__EACH_PLUS, 0, 3, 1 },
                                            { "minus", TG__EACH_MINUS, 0, 3, -1 } };

static const double some[] = { 0, -0.0, 1, -1, 0.3, -2.5, 1e-300, -1e300, 1e-38, INFINITY, -INFINITY, NAN };
enum { SOME = sizeof some / sizeof *some };

static double number_at(tg_type type, const void *p, uint32_t i)
{
    return type == TG_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

static void put_number(tg_type type, void *p, uint32_t i, double x)
{
    if (type == TG_F64) ((double *)p)[i] = x;
    else ((float *)p)[i] = (float)x;
}

static bool same_bits(double a, double b)
{
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

/* What the op makes of numbers 8, 9, 10; and what it makes of them as an instruction that finds operand
   `there` in the register. */
static void check_instruction(tg_type type, const instruction *i, uint32_t there, const double x[3])
{
    const tg__kernels *const k = tg__kernels_for(type);
    const size_t size = tg__type_size(type);
    const ptrdiff_t adjacent[] = { 1, 1, 1 };
    double room[32] = { 0 };
    char *const v = (char *)room;
    for (uint32_t j = 0; j < 3; j++) put_number(type, v, 8 + j, x[j]);
    if (i->op) {
        k->map_forward[i->op](1, v + 11 * size, (const void *const[]){ v + 8 * size, v + 9 * size, v + 10 * size },
                              adjacent);
    } else { /* as sums of many have it */
        const uint32_t words[] = { TG__SCALARS_DOT, 1, 1, 0, i->sign > 0, i->sign < 0, 11, 10, 8, 9, TG__SCALARS_END };
        k->scalars(words, v);
    }
    uint32_t words[16] = { TG__SCALARS_EACH }, n = 1;
    if (there) { /* its negative's negative is the last one made */
        const uint32_t before[] = { TG__EACH(neg, 0), 13, 7 + there, TG__EACH(neg, 1), 14 };
        memcpy(words + n, before, sizeof before);
        n += 5;
    }
    words[n++] = i->code * 4 + there;
    words[n++] = 12;
    for (uint32_t j = 0; j < i->n; j++)
        if (j + 1 != there) words[n++] = 8 + j;
    words[n++] = TG__EACH(LAST, 0);
    words[n] = TG__SCALARS_END;
    k->scalars(words, v);
    const double expected = number_at(type, v, 11), got = number_at(type, v, 12);
    cr_assert(same_bits(got, expected), "%s of %g, %g, %g, operand %u in the register: %.17g, not %.17g", i->name,
              x[0], x[1], x[2], there, got, expected);
}

Test(numbers, instructions_do_what_the_kernels_of_the_operations_do)
{
    for (size_t i = 0; i < sizeof instructions / sizeof *instructions; i++)
        for (uint32_t there = 0; there <= instructions[i].n; there++)
            for (int j = 0; j < SOME * SOME * SOME; j++) {
                const double x[] = { some[j % SOME], some[j / SOME % SOME], some[j / SOME / SOME] };
                check_instruction(TG_F64, &instructions[i], there, x);
                check_instruction(TG_F32, &instructions[i], there, x);
            }
}

/* ---- sums of numbers at any distance ------------------------------------------------------------------- */

enum { HALF = 1024 }; /* of an array: numbers that are read; the others are written, or must stay */

/* Where n numbers begin that lie so far apart, in the half of the array that begins at `from`. */
static uint32_t random_place(uint32_t from, int32_t n, int32_t step)
{
    const int32_t span = (n - 1) * step;
    return from + draw((uint32_t)(HALF - abs(span))) + (uint32_t)(step < 0 ? -span : 0);
}

/* n sums of numbers and products. Small whole numbers: sums are exact. */
static void check_sums(const tg__kernels *k, tg_type type, int32_t n)
{
    static const int32_t steps[] = { 0, 1, 2, 3, 4, 5, -1, -2, 9 };
    const bool adjacent = draw(3) == 0;
    const uint32_t p = draw(3), q = draw(3), r = draw(3), s = draw(3), operands = p + q + 2 * (r + s);
    const int32_t to = steps[adjacent ? 1 : 1 + draw(8)];
    uint32_t words[64] = { TG__SCALARS_DOTS, (uint32_t)n, p, q, r, s, random_place(HALF, n, to), (uint32_t)to };
    uint32_t *const x = words + 8;
    for (uint32_t t = 0; t < operands; t++) {
        const int32_t step = steps[draw(adjacent ? 2 : 9)];
        x[2 * t] = random_place(0, n, step), x[2 * t + 1] = (uint32_t)step;
    }
    x[2 * operands] = TG__SCALARS_END;
    _Alignas(64) double v[2 * HALF];
    double expected[2 * HALF];
    for (uint32_t i = 0; i < 2 * HALF; i++) put_number(type, v, i, expected[i] = (double)draw(9) - 4);
    for (int32_t i = 0; i < n; i++) {
        double sum = 0, number[24];
        for (uint32_t t = 0; t < operands; t++) number[t] = expected[x[2 * t] + (uint32_t)(i * (int32_t)x[2 * t + 1])];
        for (uint32_t t = 0; t < p + q; t++) sum += t < p ? number[t] : -number[t];
        for (uint32_t t = 0; t < r + s; t++)
            sum += (t < r ? 1 : -1) * number[p + q + 2 * t] * number[p + q + 2 * t + 1];
        expected[words[6] + (uint32_t)(i * to)] = sum;
    }
    k->scalars(words, v);
    for (uint32_t i = 0; i < 2 * HALF; i++)
        cr_assert(number_at(type, v, i) == expected[i],
                  "%s: %d sums of %u - %u numbers and %u - %u products, %d apart: number %u is %g, not %g", k->level, n,
                  p, q, r, s, to, i, number_at(type, v, i), expected[i]);
}

/* n rows of m products; what is beside them stays. */
static void check_outer(const tg__kernels *k, tg_type type, uint32_t n, uint32_t m)
{
    const uint32_t y = 300 + draw(8), a = 10 + draw(8), b = 200 + draw(8);
    const uint32_t words[] = { TG__SCALARS_OUTER, n, m, y, a, b, TG__SCALARS_END };
    _Alignas(64) double v[2 * HALF];
    double expected[2 * HALF];
    for (uint32_t i = 0; i < 2 * HALF; i++) put_number(type, v, i, expected[i] = (double)draw(9) - 4);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < m; j++) expected[y + i * m + j] = expected[a + i] * expected[b + j];
    k->scalars(words, v);
    for (uint32_t i = 0; i < 2 * HALF; i++)
        cr_assert(number_at(type, v, i) == expected[i], "%s: %u rows of %u products: number %u is %g, not %g", k->level,
                  n, m, i, number_at(type, v, i), expected[i]);
}

Test(numbers, outer_products_are_products)
{
    find_levels();
    for (int type = TG_F64; type <= TG_F32; type++)
        for (int l = 0; l < levels; l++)
            for (uint32_t n = 1; n <= 70; n++)
                for (uint32_t m = 1; m <= 20; m++) check_outer(level[type][l], (tg_type)type, n, m);
}

Test(numbers, sums_of_numbers_at_any_distance_are_what_they_are_one_by_one)
{
    static const int32_t lengths[] = { 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 33, 64, 70, 100 };
    find_levels();
    for (int type = TG_F64; type <= TG_F32; type++)
        for (int l = 0; l < levels; l++)
            for (int i = 0; i < 3000; i++) check_sums(level[type][l], (tg_type)type, lengths[draw(14)]);
}

/* ---- programs ------------------------------------------------------------------------------------------ */

static Value random_number(const Value *made, uint32_t n)
{
    const Value a = made[draw(n)], b = made[draw(n)], c = made[draw(n)];
    const Value last = made[n - 1]; /* long chains */
    switch (draw(24)) {
    case 0: return add(last, b);
    case 1: return sub(a, last);
    case 2: return mul(0.7, mul(last, b));
    case 3: return div(last, add(2, square(b)));
    case 4: return div(a, add(2, square(last)));
    case 5: return neg(last);
    case 6: return reciprocal(add(1.5, square(last)));
    case 7: return sqrt(add(0.5, square(a)));
    case 8: return rsqrt(add(0.5, square(last)));
    case 9: return abs(last);
    case 10: return relu(last);
    case 11: return maximum(last, b);
    case 12: return minimum(a, last);
    case 13: return where(gt(last, b), c, a);
    case 14: return where(le(a, b), last, c);
    case 15: return where(lt(a, b), c, last);
    case 16: return mul(0.5, fma(a, last, c));
    case 17: return tanh(last);
    case 18: return sin(add(a, last));
    case 19: return mul(last, sign(b));
    case 20: return sub(add(mul(0.3, a), mul(b, 0.4)), add(mul(last, 0.2), c));
    case 21: return mul(0.3, mul(last, last));
    case 22: return mul(ge(a, last), b);
    default: return mul(add(eq(a, b), ne(last, c)), add(c, 0.1));
    }
}

typedef struct scene {
    tg_type type;
    tg_tape *tape;
    Value leaf[LEAVES], loss;
} scene;

static void record(scene *s, tg_type type)
{
    Value made[LEAVES + NODES];
    *s = (scene){ .type = type, .tape = tg_tape_new(&(tg_tape_options){ .type = type }) };
    for (int i = 0; i < LEAVES; i++) made[i] = s->leaf[i] = tg_scalar(s->tape, draw_real());
    for (uint32_t i = 0; i < NODES; i++) made[LEAVES + i] = random_number(made, LEAVES + i);
    s->loss = add(made[LEAVES + NODES - 1], mul(0.1, made[LEAVES + NODES / 2]));
    cr_assert(tg_backward(s->loss), "%s", tg_error_of(s->tape)->message);
}

/* Value and gradient as a program compiled so. */
static void compute(const scene *s, const tg_compile_options *o, double got[1 + LEAVES])
{
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&s->loss, 1, NULL, 0, s->leaf, LEAVES, o, &status);
    tg_program *const d = tg_gradient_program(p, NULL, &status);
    cr_assert(d, "%s", status.message);
    tg_workspace *const w = tg_workspace_new(d, 1, &status);
    double in[LEAVES] = { 0 }, out[1 + LEAVES] = { 0 };
    const void *from[LEAVES];
    void *to[1 + LEAVES];
    for (uint32_t i = 0; i < LEAVES; i++) put_number(s->type, &in[i], 0, tg_item(s->leaf[i])), from[i] = &in[i];
    for (int i = 0; i <= LEAVES; i++) to[i] = &out[i];
    cr_assert(tg_run(d, w, 1, from, to, &status), "%s", status.message);
    for (int i = 0; i <= LEAVES; i++) got[i] = number_at(s->type, &out[i], 0);
    tg_workspace_free(w);
    tg_program_free(d);
    tg_program_free(p);
}

static void check_graph(tg_type type, bool strict)
{
    scene s;
    double expected[1 + LEAVES], got[1 + LEAVES], plain[1 + LEAVES], largest = 1e-3;
    record(&s, type);
    expected[0] = tg_item(s.loss);
    for (int i = 0; i < LEAVES; i++) expected[1 + i] = tg_grad_item(s.leaf[i]);
    for (int i = 0; i <= LEAVES; i++) largest = fmax(largest, fabs(expected[i]));
    compute(&s, &(tg_compile_options){ .strict = strict }, got);
    compute(&s, &(tg_compile_options){ .strict = strict, .without = TG_REGISTERS }, plain);
    for (int i = 0; i <= LEAVES; i++) {
        const double bound = strict && i == 0 ? 0 : (type == TG_F64 ? 1e-11 : 1e-3) * largest;
        cr_assert(fabs(got[i] - expected[i]) <= bound, "strict %d: output %d is %.17g, on the tape %.17g", strict, i,
                  got[i], expected[i]);
        cr_assert(same_bits(got[i], plain[i]), "strict %d: output %d is %.17g, from memory %.17g", strict, i, got[i],
                  plain[i]);
    }
    tg_tape_free(s.tape);
}

Test(numbers, random_graphs_agree_with_the_tape_and_with_operands_from_memory)
{
    for (int i = 0; i < 400; i++) check_graph(i % 4 < 3 ? TG_F64 : TG_F32, i % 2);
}

/* ---- the order ----------------------------------------------------------------------------------------- */

/* How many operations of the plan's first row of them, and how many of these find an operand in the register. */
static void count_in_register(const tg_program *p, uint32_t *all, uint32_t *there)
{
    tg_status status = { 0 };
    const tg__plan *const plan = tg__program_plan(p, TG__PLAN_SINGLE, "run", &status);
    const uint32_t *w = (const uint32_t *)(void *)plan->words.data;
    cr_assert(plan->words.used && *w == TG__SCALARS_EACH);
    *all = *there = 0;
    for (w++; *w != TG__EACH(LAST, 0); ++*all) {
        uint32_t n = 0;
        for (size_t i = 0; i < sizeof instructions / sizeof *instructions; i++)
            if (instructions[i].code == *w / 4) n = instructions[i].n;
        cr_assert(n);
        *there += *w % 4 != 0;
        w += 2 + n - (*w % 4 != 0);
    }
}

/* Two chains whose steps take turns in the recording. */
Test(numbers, what_follows_in_a_chain_finds_its_operand_in_the_register)
{
    enum { STEPS = 20 };
    tg_tape *const t = tg_tape_new(NULL);
    const Value x[] = { tg_scalar(t, 0.5), tg_scalar(t, 0.25) };
    Value y[] = { x[0], x[1] };
    for (int i = 0; i < STEPS; i++)
        for (int j = 0; j < 2; j++) y[j] = i % 2 ? div(x[j], add(y[j], 3)) : maximum(sub(2, y[j]), x[1 - j]);
    const unsigned without[] = { 0, TG_REGISTERS };
    for (int i = 0; i < 2; i++) {
        uint32_t all, there;
        tg_status status = { 0 };
        const tg_compile_options o = { .without = without[i] };
        tg_program *const p = tg_compile(y, 2, NULL, 0, x, 2, &o, &status);
        cr_assert(p, "%s", status.message);
        count_in_register(p, &all, &there);
        cr_assert_eq(all, 4 * STEPS);
        cr_assert_eq(there, i ? 0 : 4 * STEPS - 2);
        tg_program_free(p);
    }
    tg_tape_free(t);
}

/* ---- numbers that are known ------------------------------------------------------------------------------ */

static bool prints(Value y, const Value *x, int n, const tg_compile_options *o, const char *text)
{
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&y, 1, NULL, 0, x, n, o, &status);
    cr_assert(p, "%s", status.message);
    return is_printed(tg_program_print_graph, p, text);
}

static double value_of(Value y, Value x, double at, const tg_compile_options *o)
{
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&y, 1, NULL, 0, &x, 1, o, &status);
    tg_workspace *const w = tg_workspace_new(p, 1, &status);
    double result;
    cr_assert(tg_run(p, w, 1, (const void *[]){ &at }, (void *[]){ &result }, &status), "%s", status.message);
    tg_workspace_free(w);
    tg_program_free(p);
    return result;
}

Test(numbers, sums_with_0_and_choices_that_are_known_vanish)
{
    tg_tape *const t = tg_tape_new(NULL);
    const Value x[] = { tg_scalar(t, 0.5), tg_scalar(t, 0.25) };
    const tg_compile_options as_is = { 0 }, strict = { .strict = true }, kept = { .without = TG_SIMPLIFY };
    cr_expect(!prints(add(x[0], 0), x, 2, &as_is, "add"));
    cr_expect(!prints(sub(x[0], 0), x, 2, &strict, "sub"));
    cr_expect(!prints(add(-0.0, x[0]), x, 2, &strict, "add"));
    cr_expect(prints(add(x[0], 0), x, 2, &strict, "add"));
    cr_expect(prints(add(x[0], 0), x, 2, &kept, "add"));
    cr_expect(prints(sub(0, x[0]), x, 2, &as_is, "sub"));
    cr_expect(prints(add(x[0], neg(x[1])), x, 2, &strict, "= sub n1 n2"));
    cr_expect(prints(add(neg(x[0]), x[1]), x, 2, &strict, "= sub n2 n1"));
    cr_expect(prints(sub(x[0], neg(x[1])), x, 2, &strict, "= add n1 n2"));
    cr_expect(!prints(where(tg_number(t, 2), x[0], x[1]), x, 2, &strict, "where"));
    cr_expect(!prints(where(x[0], x[1], x[1]), x, 2, &strict, "where"));
    cr_expect(!signbit(value_of(add(x[0], 0), x[0], -0.0, &strict)), "strict: -0 + 0 is 0, as on the tape");
    cr_expect(value_of(where(tg_number(t, 0), 1, x[0]), x[0], 0.75, &strict) == 0.75);
    tg_tape_free(t);
}

/* What an incoming 0 contributes is 0, even to a derivative that is infinite. */
Test(numbers, gradients_of_what_is_multiplied_by_0_are_0)
{
    tg_tape *const t = tg_tape_new(NULL);
    const Value x = tg_scalar(t, 0);
    const Value y = mul(0, sqrt(x));
    tg_status status = { 0 };
    tg_program *const p = tg_compile(&y, 1, NULL, 0, &x, 1, NULL, &status);
    tg_program *const d = tg_gradient_program(p, NULL, &status);
    tg_workspace *const w = tg_workspace_new(d, 1, &status);
    double value = 1, gradient = 1;
    cr_assert(tg_run(d, w, 1, (const void *[]){ &(double){ 0 } }, (void *[]){ &value, &gradient }, &status));
    cr_expect(value == 0 && gradient == 0);
    tg_workspace_free(w);
    tg_program_free(d);
    tg_program_free(p);
    tg_tape_free(t);
}
