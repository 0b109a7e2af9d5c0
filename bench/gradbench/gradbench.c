/* Runs the problems:
       gradbench [NAME ...]          times all, or those named, and holds the ways against each other
       gradbench --check [NAME ...]  holds them against each other at the smallest size, without timing

   Every way's results must be those of the plain one; a gradient of zeros is no result. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../timing.h"
#include "gradbench.h"

enum { REPEATS = 7, FEWER = 3 };

static const double long_ns = 1e8; /* rows with a call that takes longer have fewer repeats */

/* Two results agree to this, relative to themselves, or to the largest one for what cancels. */
static const double tolerance = 1e-9, floor_of_largest = 1e-13;

/* Results agree to this with what is published. */
static const double published = 1e-4;

static const problem *const problems[] = { &hello, &gmm, &ba, &lstm, &ht, &kmeans, &llsq, &lse, &ode, &det, &particle, &saddle };
enum { PROBLEMS = sizeof problems / sizeof *problems };

static const char *const way_names[WAYS] = { "primal", "plain", "expert", "eager", "program" };

static double compile_ns; /* of the row that is being done */

void must(bool ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "gradbench: %s\n", what);
    exit(1);
}

void *room(size_t n, size_t size)
{
    void *const p = aligned_alloc(64, (n * size + 64) / 64 * 64);
    must(p, "no memory");
    memset(p, 0, n * size);
    return p;
}

double draw(uint32_t *seed, double lo, double hi)
{
    *seed = *seed * 1664525u + 1013904223u;
    return lo + (hi - lo) * ((double)(*seed >> 8) / (1 << 24));
}

compiled compile(const tg_value *outputs, int n, const tg_value *batch, int n_batch,
                 const tg_value *shared, int n_shared)
{
    tg_status status = { 0 };
    const double start = now_ns();
    compiled c = { .program = tg_compile(outputs, n, batch, n_batch, shared, n_shared, NULL, &status) };
    compile_ns += now_ns() - start;
    must(c.program, status.message);
    c.workspace = tg_workspace_new(c.program, 1, &status);
    must(c.workspace, status.message);
    return c;
}

compiled compile_gradient(tg_value f, const tg_value *batch, int n_batch, const tg_value *shared,
                          int n_shared, const int *wrt, int n_wrt)
{
    tg_status status = { 0 };
    const double start = now_ns();
    tg_program *const p = tg_compile(&f, 1, batch, n_batch, shared, n_shared, NULL, &status);
    must(p, status.message);
    compiled c = { .program = tg_gradient_program(
                       p, &(tg_gradient_options){ .wrt = wrt, .n_wrt = n_wrt }, &status) };
    compile_ns += now_ns() - start;
    tg_program_free(p);
    must(c.program, status.message);
    c.workspace = tg_workspace_new(c.program, 1, &status);
    must(c.workspace, status.message);
    return c;
}

void run_compiled(const compiled *c, int64_t count, const void *const *inputs, void *const *outputs)
{
    tg_status status = { 0 };
    must(tg_run(c->program, c->workspace, count, inputs, outputs, &status), status.message);
}

void free_compiled(compiled *c)
{
    tg_workspace_free(c->workspace);
    tg_program_free(c->program);
}

/* ---- agreement --------------------------------------------------------------------------------- */

static bool all_zero(const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (x[i] != 0) return false;
    return true;
}

static double largest_of(const double *x, size_t n)
{
    double largest = 0;
    for (size_t i = 0; i < n; i++) largest = fmax(largest, fabs(x[i]));
    return largest;
}

/* Values and gradient are compared each with their own largest element. */
static bool agree(const problem *p, const char *size, const char *way, size_t first, size_t end,
                  const double *got, const double *expected)
{
    const double largest = largest_of(expected + first, end - first);
    for (size_t i = first; i < end; i++) {
        const double bound = tolerance * fmax(fabs(got[i]), fabs(expected[i])) +
                             floor_of_largest * largest;
        if (fabs(got[i] - expected[i]) <= bound) continue;
        printf("%s %s: result %zu is %.17g, plain says %.17g (%s)\n", p->name, size, i, got[i],
               expected[i], way);
        return false;
    }
    return true;
}

static bool check(const problem *p, int size, void *state)
{
    size_t values;
    const size_t n = p->results(state, &values);
    double *const expected = room(n, sizeof *expected), *const got = room(n, sizeof *got);
    p->way[PLAIN](state, expected);
    bool ok = !all_zero(expected + values, n - values);
    if (!ok) printf("%s %s: the gradient is zero\n", p->name, p->size[size]);
    for (int i = 0; i < 4 && p->known[i] != 0; i++) {
        if (fabs(expected[i] - p->known[i]) <= published * fabs(p->known[i])) continue;
        printf("%s %s: result %d is %.17g, published is %g\n", p->name, p->size[size], i, expected[i],
               p->known[i]);
        ok = false;
    }
    for (int way = 0; way < WAYS; way++) {
        if (way == PLAIN || !p->way[way]) continue;
        for (size_t i = 0; i < n; i++) got[i] = NAN;
        p->way[way](state, got);
        ok &= agree(p, p->size[size], way_names[way], 0, values, got, expected);
        if (way == PRIMAL) continue;
        ok &= agree(p, p->size[size], way_names[way], values, n, got, expected);
    }
    free(expected);
    free(got);
    return ok;
}

/* ---- timing ------------------------------------------------------------------------------------ */

typedef struct timed {
    const problem *p;
    void *state;
    double *result;
    int way[WAYS]; /* those that there are */
} timed;

static void work(int i, void *user)
{
    const timed *const t = user;
    t->p->way[t->way[i]](t->state, t->result);
}

static void print_time(double ns)
{
    if (ns == 0) printf(" %9s", "-");
    else if (ns < 1e5) printf(" %9.1f", ns);
    else printf(" %9.0f", ns);
}

static void print_ratio(double a, double b)
{
    if (a == 0 || b == 0) printf(" %7s", "-");
    else printf(a / b < 100 ? " %7.2f" : " %7.0f", a / b);
}

static void measure(const problem *p, int size, void *state)
{
    size_t values;
    timed t = { .p = p, .state = state, .result = room(p->results(state, &values), sizeof *t.result) };
    timing measured[WAYS], of[WAYS] = { { 0 } };
    int n = 0;
    for (int way = 0; way < WAYS; way++)
        if (p->way[way]) t.way[n++] = way;
    double longest = 0;
    for (int i = 0; i < n; i++) {
        const double start = now_ns();
        work(i, &t);
        longest = fmax(longest, now_ns() - start);
    }
    time_ways(n, work, &t, longest > long_ns ? FEWER : REPEATS, measured);
    double spread = 0;
    for (int i = 0; i < n; i++) {
        of[t.way[i]] = measured[i];
        spread = fmax(spread, measured[i].spread);
    }
    printf("%-9s%-15s", p->name, p->size[size]);
    for (int way = 0; way < WAYS; way++) print_time(of[way].median);
    print_ratio(of[PLAIN].median, of[PRIMAL].median);
    for (int way = EAGER; way <= PROGRAM; way++) {
        print_ratio(of[way].median, of[PLAIN].median);
        print_ratio(of[way].median, of[EXPERT].median);
    }
    if (compile_ns > 0) printf(" %8.2f", compile_ns * 1e-6);
    else printf(" %8s", "-");
    printf(" %5.1f%%%s\n", spread * 100, spread > 0.1 ? " *" : "");
    fflush(stdout);
    free(t.result);
}

static void print_head(void)
{
    print_machine();
    printf("\nns a call; plain, expert: gradients derived by hand. Ratios: plain to primal, eager and "
           "program\nto plain and to expert. Compiling in ms, not part of the program's time. Spread: "
           "the largest of\nthe row, between quartiles; * above 10 %%.\n\n"
           "%-9s%-15s %9s %9s %9s %9s %9s %7s %7s %7s %7s %7s %8s %6s\n",
           "problem", "size", "primal", "plain", "expert", "eager", "program", "pla/pri", "eag/pla",
           "eag/exp", "pro/pla", "pro/exp", "compile", "spread");
}

static bool chosen(const problem *p, int n, char **name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(p->name, name[i]) == 0) return true;
    return n == 0;
}

static bool known(const char *name)
{
    for (int i = 0; i < PROBLEMS; i++)
        if (strcmp(problems[i]->name, name) == 0) return true;
    return false;
}

int main(int argc, char **argv)
{
    const bool only_check = argc > 1 && strcmp(argv[1], "--check") == 0;
    char **const name = argv + 1 + only_check;
    const int names = argc - 1 - only_check;
    for (int i = 0; i < names; i++) must(known(name[i]), "there is no problem of this name");
    if (!only_check) print_head();
    bool ok = true;
    for (int i = 0; i < PROBLEMS; i++) {
        const problem *const p = problems[i];
        if (!chosen(p, names, name)) continue;
        for (int size = 0; size < (only_check ? 1 : SIZES) && p->size[size]; size++) {
            compile_ns = 0;
            void *const state = p->start(size);
            const bool row = check(p, size, state);
            if (row && !only_check) measure(p, size, state);
            p->stop(state);
            ok &= row;
        }
    }
    return ok ? 0 : 1;
}
