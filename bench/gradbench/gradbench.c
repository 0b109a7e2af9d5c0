/* Runs the problems: holds the ways against each other, and times them. Every way's results must be those
   of the plain one; a gradient of zeros is no result. The program is also written as C and compiled: a
   way of its own, in which run_compiled calls that. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "../report.h"
#include "gradbench.h"
#include "vector.h"

enum { REPEATS = 7, FEWER = 3, EMITTED = WAYS, ALL };

static const double long_ns = 1e8; /* rows with a call that takes longer have fewer repeats */

/* Results agree to this with what is published. */
static const double published = 1e-4;

static const problem *const problems[] = { &hello, &gmm, &ba, &lstm, &ht, &kmeans, &llsq, &lse, &ode, &det, &particle, &saddle };
enum { PROBLEMS = sizeof problems / sizeof *problems };

static const side sides[ALL] = { SIDE_PRIMAL, SIDE_PLAIN, SIDE_EXPERT, SIDE_EAGER, SIDE_PROGRAM, SIDE_EMITTED };

/* ---- a row ------------------------------------------------------------------------------------- */

typedef struct task {
    const problem *p;
    void *state;
    double *result;
    int way[ALL], ways; /* those that there are */
} task;

static void do_way(const task *t, int way, double *result)
{
    compiling.run_emitted = way == EMITTED;
    t->p->way[way == EMITTED ? PROGRAM : way](t->state, result);
    compiling.run_emitted = false;
}

static void work(int i, void *user)
{
    const task *const t = user;
    given_change(t->state, t->way[i] == EAGER);
    do_way(t, t->way[i], t->result);
}

/* The ways that there are. The program has run before, so that it is known whether there is C for it. */
static void find_ways(task *t)
{
    for (int way = 0; way < WAYS; way++)
        if (t->p->way[way]) t->way[t->ways++] = way;
    if (!t->p->way[PROGRAM]) return;
    do_way(t, PROGRAM, t->result);
    if (compiling.all_emitted && compiling.ns > 0) t->way[t->ways++] = EMITTED;
}

static void check_known(bench_row *r, const problem *p, const double *result)
{
    for (int i = 0; i < 4 && p->known[i] != 0; i++)
        if (!(fabs(result[i] - p->known[i]) <= published * fabs(p->known[i]))) {
            printf("%s: WRONG: result %d is %.17g, published is %g\n", r->name, i, result[i], p->known[i]);
            r->wrong = true;
        }
}

/* Holds all ways against the plain one, with the numbers that were compiled, and then with others. */
static void check(bench_row *r, const task *t, size_t values, size_t n)
{
    double *const expected = room(n, sizeof *expected);
    for (int other = 0; other < 2 && !r->wrong; other++) {
        if (other) given_vary(t->state);
        t->p->way[PLAIN](t->state, expected);
        if (!other) check_known(r, t->p, expected);
        for (int i = 0; i < t->ways; i++) {
            const side s = sides[t->way[i]];
            for (size_t k = 0; k < n; k++) t->result[k] = NAN;
            do_way(t, t->way[i], t->result);
            report_same(r, s, values, t->result, expected);
            if (s != SIDE_PRIMAL && !report_agree(r, s, n - values, t->result + values, expected + values)) break;
        }
    }
    free(expected);
}

static void measure(bench_row *r, task *t)
{
    side side_of_way[ALL];
    timing measured[ALL];
    double longest = 0;
    for (int i = 0; i < t->ways; i++) {
        side_of_way[i] = sides[t->way[i]];
        const double start = now_ns();
        work(i, t);
        longest = fmax(longest, now_ns() - start);
    }
    report_time(t->ways, side_of_way, work, t, longest > long_ns ? FEWER : REPEATS, measured);
    for (int i = 0; i < t->ways; i++) r->side[side_of_way[i]] = measured[i];
}

/* Sizes as names of rows have them: without blanks. */
static const char *size_name(const problem *p, int size)
{
    static char names[PROBLEMS * SIZES][32];
    static int n;
    char *const name = names[n++];
    int used = 0;
    for (const char *s = p->size[size]; *s && used < 31; s++)
        if (*s != ',') name[used++] = *s == ' ' ? '-' : *s;
    return used ? name : NULL;
}

static void do_row(const problem *p, int size)
{
    bench_row r = { .name = p->name, .size = size_name(p, size), .type = "f64", .per = "call" };
    if (!report_wants(r.name, r.size)) return;
    compiling = (compilation){ .emit = true, .all_emitted = true };
    task t = { .p = p, .state = p->start(size) };
    size_t values;
    const size_t n = p->results(t.state, &values);
    t.result = room(n, sizeof *t.result);
    find_ways(&t);
    check(&r, &t, values, n);
    measure(&r, &t);
    r.compile_ns = compiling.ns;
    r.memory = (double)row_bytes();
    report_row(&r);
    free(t.result);
    p->stop(t.state);
}

/* In ulp. */
static double error_of(double y, long double exact)
{
    return (double)(fabsl(y - exact) / ldexpl(1, ilogbl(exact) - 52));
}

/* The experts' functions (vector.h) keep the promise that the library's do. */
static void check_functions(void)
{
    double most = 0;
    for (double size = 0x1p-20; size < 700; size *= 1.0002) {
        const double x[] = { size, -size * 1.0001 };
        for (int i = 0; i < 2; i++) {
            most = fmax(most, error_of(fast_exp(x[i]), expl(x[i])));
            most = fmax(most, error_of(fast_tanh(x[i]), tanhl(x[i])));
            most = fmax(most, error_of(fast_sigmoid(x[i]), 1 / (1 + expl(-(long double)x[i]))));
        }
    }
    if (!(most <= 4)) printf("the experts' functions are off by %.1f ulp\n", most);
    must(most <= 4, "the experts' functions");
}

int main(int argc, char **argv)
{
    report_begin(argc, argv, "gradbench", "The problems of GradBench: by hand, recorded, as programs.");
    check_functions();
    report_title("the problems of GradBench; compiling is not part of the program's time");
    for (int i = 0; i < PROBLEMS; i++)
        for (int size = 0; size < (report_quick() ? 1 : SIZES) && problems[i]->size[size]; size++)
            do_row(problems[i], size);
    return report_end();
}
