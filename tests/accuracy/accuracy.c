/* Measures how far the elementwise kernels are from the exact functions, values and derivatives,
   and fails where they break the promise of docs/ops.md: 4 ulp. See usage.

   Kernels are called through their tables, at every level that the machine has; where a level's
   results are other bits than those of the level before, they are measured too. f64 is compared
   with multiple precision, which is asked only where an estimate in long double may be the worst
   so far; f32 with the f64 kernels. */
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tapegrad/table.h>

#include "kernels/kernels.h"
#include "ops/op.h"
#include "reference.h"

#define PROMISE 4.0
#define BLOCK 4096

static const char usage[] =
    "usage: accuracy [OPTION ...] [OP ...]\n"
    "\n"
    "Prints for each elementwise operation (all of them, or those named) the worst error of its\n"
    "value and of its derivative by each operand, in units of 2^(max(e, -1012) - 52), e the\n"
    "exponent of the exact result (f32: 2^(max(e, -116) - 23)). Exits with 1 if one is above 4.\n"
    "\n"
    "  --count N     random inputs for each, half of them of random bits, half of ordinary size\n"
    "                (default 10000); zeros, poles, seams and limits are tried besides\n"
    "  --all         f32: every number, for operations of one operand\n"
    "  --type T      f64 or f32 (default: both)\n"
    "  --seed N      of the random inputs (default 1)\n"
    "  --threads N   (default 1)\n"
    "  --help\n";

static struct {
    int64_t count;
    bool all, type[2];
    uint64_t seed;
    int threads;
} options = { .count = 10000, .type = { true, true }, .seed = 1, .threads = 1 };

/* ---- kernels of every level ------------------------------------------------------------------ */

extern const tg__kernels tg__kernels_f64_base, tg__kernels_f32_base;
#if TG_LEVELS > 1
extern const tg__kernels tg__kernels_f64_v3, tg__kernels_f32_v3;
extern const tg__kernels tg__kernels_f64_v4, tg__kernels_f32_v4;
#endif

static const tg__kernels *kernels[2][3];
static int levels;

static void find_levels(void)
{
    kernels[TG_F64][0] = &tg__kernels_f64_base, kernels[TG_F32][0] = &tg__kernels_f32_base;
    levels = 1;
#if TG_LEVELS > 1
    const char *const best = tg__kernels_for(TG_F64)->level;
    kernels[TG_F64][1] = &tg__kernels_f64_v3, kernels[TG_F32][1] = &tg__kernels_f32_v3;
    kernels[TG_F64][2] = &tg__kernels_f64_v4, kernels[TG_F32][2] = &tg__kernels_f32_v4;
    levels = strcmp(best, "v4") == 0 ? 3 : strcmp(best, "v3") == 0 ? 2 : 1;
#endif
}

/* The value (quantity -1) or the derivative by an operand, of n <= BLOCK elements. */
static void run_kernel(const tg__kernels *k, tg_type type, int op, int quantity, int operands,
                       int n, double (*x)[BLOCK], double *out)
{
    static const ptrdiff_t adjacent[3] = { 1, 1, 1 };
    static _Thread_local float operand[3][BLOCK], value[BLOCK], one[BLOCK], partial[BLOCK];
    static _Thread_local double value64[BLOCK], one64[BLOCK];
    const bool single = type == TG_F32;
    const void *p[3];
    for (int i = 0; i < 3; i++) {
        for (int j = 0; single && i < operands && j < n; j++) operand[i][j] = (float)x[i][j];
        p[i] = single ? (const void *)operand[i] : x[i];
    }
    for (int j = 0; j < n; j++) one[j] = 1, one64[j] = 1, partial[j] = 0, out[j] = 0;
    void *const y = single ? (void *)value : quantity < 0 ? out : value64;
    k->map_forward[op](n, y, p, adjacent);
    if (quantity >= 0)
        k->map_backward[op][quantity](n, single ? (void *)one : one64, y, p, adjacent,
                                      single ? (void *)partial : out, 1);
    for (int j = 0; single && j < n; j++) out[j] = (double)(quantity < 0 ? value[j] : partial[j]);
}

/* ---- one measurement ------------------------------------------------------------------------- */

typedef struct job {
    const reference *r;
    const char *name;
    tg_type type;
    int op, operands, quantity;
    double worst, at[3], got, wanted;
    const char *level;
    int64_t inputs;
} job;

typedef struct state {
    job *j;
    formula *main, *scale, *domain;
    mpfr_t exact, unit_of;
    uint64_t seed;
    double x[3][BLOCK];
    int n;
} state;

/* Exponent of the promise's unit for a result of this exponent (that of frexp). */
static int unit_exponent(tg_type type, long e)
{
    const long least = type == TG_F32 ? -116 : -1012, digits = type == TG_F32 ? 23 : 52;
    return (int)((e - 1 < least ? least : e - 1) - digits);
}

static double limit_of(tg_type type)
{
    return type == TG_F32 ? 0x1p128 : INFINITY;
}

static void note(state *s, const tg__kernels *k, int i, double error, double got, double wanted)
{
    job *const j = s->j;
    if (!(error > j->worst)) return;
    j->worst = error;
    for (int o = 0; o < 3; o++) j->at[o] = s->x[o][i];
    j->got = got;
    j->wanted = wanted;
    j->level = k->level;
}

/* The exact error; infinite results are 2^1024, as larger ones are. */
static void measure_exactly(state *s, const tg__kernels *k, int i, double got)
{
    const double x[3] = { s->x[0][i], s->x[1][i], s->x[2][i] };
    mpfr_t d;
    formula_exact(s->main, x, s->exact);
    if (mpfr_nan_p(s->exact) || isnan(got)) {
        if (!mpfr_nan_p(s->exact) || !isnan(got))
            note(s, k, i, INFINITY, got, mpfr_get_d(s->exact, MPFR_RNDN));
        return;
    }
    mpfr_init2(d, 128);
    mpfr_set_ui_2exp(d, 1, 1024, MPFR_RNDN);
    if (mpfr_cmpabs(s->exact, d) > 0) mpfr_copysign(s->exact, d, s->exact, MPFR_RNDN);
    long e = mpfr_zero_p(s->exact) ? -2000 : mpfr_get_exp(s->exact);
    if (s->scale) {
        formula_exact(s->scale, x, s->unit_of);
        if (mpfr_number_p(s->unit_of) && !mpfr_zero_p(s->unit_of) && mpfr_get_exp(s->unit_of) > e)
            e = mpfr_get_exp(s->unit_of);
    }
    if (isinf(got)) mpfr_setsign(d, d, got < 0, MPFR_RNDN);
    else mpfr_set_d(d, got, MPFR_RNDN);
    mpfr_sub(d, d, s->exact, MPFR_RNDN);
    mpfr_mul_2si(d, d, -unit_exponent(TG_F64, e > 1024 ? 1024 : e), MPFR_RNDN);
    note(s, k, i, fabs(mpfr_get_d(d, MPFR_RNDN)), got, mpfr_get_d(s->exact, MPFR_RNDN));
    mpfr_clear(d);
}

/* In f64: an estimate tells most of the time that it is not the worst so far. */
static void measure(state *s, const tg__kernels *k, int i, double got)
{
    const double x[3] = { s->x[0][i], s->x[1][i], s->x[2][i] };
    long double bound;
    const long double near = formula_near(s->main, x, &bound);
    if (isinf(got) && bound < INFINITY && (got > 0 ? near : -near) > 0x1p1025L + bound) return;
    if (isfinite(got) && isfinite(near) && bound < INFINITY && fabsl(near) < 0x1p1023L) {
        int e;
        const long double least = fabsl(near) - bound;
        (void)frexpl(least, &e);
        const long double error = ldexpl(fabsl((long double)got - near) + bound,
                                         -unit_exponent(TG_F64, least > 0 ? e : -2000));
        if (error <= s->j->worst) return;
    }
    measure_exactly(s, k, i, got);
}

/* In f32: wanted comes from the f64 kernel. */
static void measure_single(state *s, const tg__kernels *k, int i, double got, double wanted)
{
    if (got == wanted || (isnan(got) && isnan(wanted))) return;
    if (isnan(got) || isnan(wanted)) {
        note(s, k, i, INFINITY, got, wanted);
        return;
    }
    const double top = limit_of(TG_F32), w = fabs(wanted) > top ? copysign(top, wanted) : wanted,
                 y = isinf(got) ? copysign(top, got) : got;
    int e;
    (void)frexp(w, &e);
    if (w == 0) e = -2000;
    if (s->scale) {
        const double x[3] = { s->x[0][i], s->x[1][i], s->x[2][i] };
        long double bound;
        const long double scale = formula_near(s->scale, x, &bound);
        int of_scale;
        (void)frexpl(scale, &of_scale);
        if (scale != 0 && of_scale > e) e = of_scale;
    }
    note(s, k, i, ldexp(fabs(y - w), -unit_exponent(TG_F32, e)), got, wanted);
}

static bool promised(state *s, int i)
{
    if (!s->domain) return true;
    const double x[3] = { s->x[0][i], s->x[1][i], s->x[2][i] };
    long double bound;
    return formula_near(s->domain, x, &bound) != 0;
}

/* In f32: whether no element of a block is worse than the worst so far, with units not larger than
   measure_single's. Nearly always so: without branches, that all numbers take seconds. */
static bool none_is_worse(const state *s, const double *got, const double *wanted)
{
    const double top = limit_of(TG_F32), worst = s->j->worst * 0x1p-23;
    int64_t worse = 0;
    for (int i = 0; i < s->n; i++) {
        double y = got[i] > top ? top : got[i], w = wanted[i] > top ? top : wanted[i];
        y = y < -top ? -top : y, w = w < -top ? -top : w;
        double unit = fabs(w) < 0x1p-116 ? 0x1p-116 : fabs(w);
        int64_t bits;
        memcpy(&bits, &unit, sizeof bits);
        bits &= INT64_C(0x7ff) << 52;
        memcpy(&unit, &bits, sizeof unit);
        worse |= !(fabs(y - w) <= worst * unit) & !((y != y) & (w != w));
    }
    return !worse;
}

static void flush(state *s)
{
    static _Thread_local double got[BLOCK], before[BLOCK], wanted[BLOCK];
    job *const j = s->j;
    if (s->n == 0) return;
    if (j->type == TG_F32)
        run_kernel(kernels[TG_F64][levels - 1], TG_F64, j->op, j->quantity, j->operands, s->n, s->x,
                   wanted);
    for (int l = 0; l < levels; l++) {
        const tg__kernels *const k = kernels[j->type][l];
        run_kernel(k, j->type, j->op, j->quantity, j->operands, s->n, s->x, got);
        if (l > 0 && memcmp(got, before, (size_t)s->n * sizeof *got) == 0) continue;
        const bool known = j->type == TG_F32 && none_is_worse(s, got, wanted);
        for (int i = 0; !known && i < s->n; i++) {
            if (l > 0 && memcmp(&got[i], &before[i], sizeof *got) == 0) continue;
            if (!promised(s, i)) continue;
            if (j->type == TG_F32) measure_single(s, k, i, got[i], wanted[i]);
            else measure(s, k, i, got[i]);
        }
        memcpy(before, got, (size_t)s->n * sizeof *got);
    }
    j->inputs += s->n;
    s->n = 0;
}

static void try(state *s, double a, double b, double c)
{
    const bool single = s->j->type == TG_F32;
    const double x[3] = { a, b, c };
    for (int o = 0; o < 3; o++) {
        s->x[o][s->n] = single ? (double)(float)x[o] : x[o];
        if (!isfinite(s->x[o][s->n])) return;
    }
    if (++s->n == BLOCK) flush(s);
}

/* ---- inputs ---------------------------------------------------------------------------------- */

static uint64_t random_bits(state *s)
{
    uint64_t z = s->seed += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* A number of random bits. */
static double any_number(state *s)
{
    const uint64_t bits = random_bits(s);
    if (s->j->type == TG_F32) {
        const uint32_t half = (uint32_t)bits;
        float x;
        memcpy(&x, &half, sizeof x);
        return (double)x;
    }
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Random sign and digits, and an exponent up to the given one. */
static double ordinary(state *s, int exponents)
{
    const double digits = 1 + (double)(random_bits(s) >> 12) * 0x1p-52;
    const int e = (int)(random_bits(s) % (uint64_t)(2 * exponents + 1)) - exponents;
    return ldexp(random_bits(s) & 1 ? digits : -digits, e);
}

static bool is_order(const job *j)
{
    return strcmp(j->name, "polygamma") == 0;
}

/* Operands are ordinary and unrelated, or near to each other, or of like size anywhere. */
static void random_inputs(state *s)
{
    for (int64_t i = 0; i < options.count; i++) {
        double x[3];
        for (int o = 0; o < 3; o++) x[o] = i % 2 ? ordinary(s, i % 4 == 1 ? 2 : 10) : any_number(s);
        if (i % 8 == 4) x[1] = x[0] * ordinary(s, 9);
        if (i % 8 == 7) x[1] = x[0] + ordinary(s, 6);
        if (i % 16 == 9) x[2] = -x[0] * x[1];
        if (is_order(s->j)) x[0] = (double)(i % 16 < 15 ? i % 5 : (int64_t)(random_bits(s) % 170));
        try(s, x[0], x[1], x[2]);
    }
}

static double next(const job *j, double x, double to)
{
    return j->type == TG_F32 ? (double)nextafterf((float)x, (float)to) : nextafter(x, to);
}

/* The neighbours of a number in one operand; the others are ordinary, or 0, 1 or near. */
static void neighbours(state *s, double of, int operand, int each_side)
{
    for (int side = -1; side <= 1; side += 2) {
        double near = s->j->type == TG_F32 ? (double)(float)of : of;
        for (int i = 0; i < each_side && isfinite(near); i++) {
            const double other = i % 4 == 0 ? 1 : i % 4 == 1 ? near : ordinary(s, 5);
            double x[3] = { other, other, ordinary(s, 3) };
            x[operand] = near;
            if (is_order(s->j) && operand == 1) x[0] = (double)(i % 4);
            if (!is_order(s->j) || operand == 1) try(s, x[0], x[1], x[2]);
            near = next(s->j, near, side < 0 ? -HUGE_VAL : HUGE_VAL);
        }
    }
}

/* Numbers at which functions of the table have zeros, poles, limits of range, or seams. */
static const double places[] = {
    0,
    1,
    -1,
    2,
    -2,
    3,
    -3,
    0.5,
    -0.5,
    6,
    4,
    8,
    1.5707963267948966,
    3.1415926535897932,
    4.7123889803846899,
    6.2831853071795865,
    0.34657359027997265,
    0.69314718055994531,
    -0.6931471805599453,
    709.78271289338397,
    -708.3964185322641,
    -744.44007192138126,
    -745.13321910194110,
    710.4758600739439,
    1024,
    1023,
    -1022,
    -1074,
    -1075,
    88.7228394,
    -87.3365479,
    -103.972076,
    89.4159851,
    128,
    -126,
    -149,
    18.71497387511852,
    19.0615,
    22,
    354.89135644669199,
    37.4299477502370,
    -37,
    9.01091290,
    44.361419677734375,
    26.543258454250983,
    27.226017111108362,
    -38.467405617144344,
    5.8635847487551676,
    -1000,
    -750,
    1e308,
    -1e308,
    1e-308,
    1e-5,
    1e5,
    0x1p511,
    0x1p512,
    0x1p-400,
    0x1p62,
    0x1p-50,
    0x1p-960,
    0x1p-1022,
    0x1p-1024,
    0x1p53,
    0x1p52,
    0x1p-54,
    1.3407807929942596e154,
    1.797693134862315e308,
    3.4e38,
    1e-38,
    1e22,
};

static void special_inputs(state *s)
{
    const job *const j = s->j;
    const int each_side = (int)(options.count < 100000 ? options.count / 200 + 1 : 500);
    for (int o = 0; o < j->operands; o++) {
        for (size_t i = 0; i < sizeof places / sizeof *places; i++)
            neighbours(s, places[i], o, each_side);
        for (const double *p = j->r->points; p && *p != 0; p++) neighbours(s, *p, o, each_side);
    }
}

static void every_float(state *s)
{
    flush(s);
    for (uint64_t first = 0; first <= UINT32_MAX; first += BLOCK) {
        if ((first >> 23 & 0xff) == 0xff) continue;
        for (uint32_t i = 0; i < BLOCK; i++) {
            const uint32_t bits = (uint32_t)first + i;
            float x;
            memcpy(&x, &bits, sizeof x);
            s->x[0][i] = (double)x;
        }
        s->n = BLOCK;
        flush(s);
    }
}

static void run_job(job *j)
{
    state *const s = calloc(1, sizeof *s);
    if (!s) exit(2);
    const char *const text = j->quantity < 0 ? j->r->value : j->r->partial[j->quantity];
    s->j = j;
    s->seed = options.seed * 1000003 + (uint64_t)j->op * 8 + (uint64_t)j->quantity;
    s->main = formula_new(j->r, text);
    s->scale = j->r->scale ? formula_new(j->r, j->r->scale) : NULL;
    s->domain = j->r->domain ? formula_new(j->r, j->r->domain) : NULL;
    mpfr_inits2(128, s->exact, s->unit_of, (mpfr_ptr)NULL);
    special_inputs(s);
    if (options.all && j->type == TG_F32 && j->operands == 1) every_float(s);
    else random_inputs(s);
    flush(s);
    formula_free(s->main);
    if (s->scale) formula_free(s->scale);
    if (s->domain) formula_free(s->domain);
    mpfr_clears(s->exact, s->unit_of, (mpfr_ptr)NULL);
    mpfr_free_cache();
    free(s);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static job jobs[2 * 4 * TG__MAPS];
static int n_jobs, next_job, done_jobs;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *work(void *unused)
{
    static time_t said;
    for (;;) {
        pthread_mutex_lock(&lock);
        const int mine = next_job++;
        pthread_mutex_unlock(&lock);
        if (mine >= n_jobs) return unused;
        run_job(&jobs[mine]);
        pthread_mutex_lock(&lock);
        done_jobs++;
        if (said == 0) said = time(NULL);
        if (time(NULL) - said >= 2) {
            said = time(NULL);
            fprintf(stderr, "# %d of %d: %s\n", done_jobs, n_jobs, jobs[mine].name);
        }
        pthread_mutex_unlock(&lock);
    }
}

static void add_jobs(const tg_op_info *info, const reference *r, tg_type type)
{
    const int n = (int)strlen(info->letters);
    for (int q = -1; q < n; q++)
        if (q < 0 || info->letters[q] != '0')
            jobs[n_jobs++] = (job){ .r = r,
                                    .name = info->name,
                                    .type = type,
                                    .quantity = q,
                                    .op = tg__find(info->name),
                                    .operands = n,
                                    .level = "" };
}

/* Whether the command line asks for an op: all, if it names none. */
static bool asked(const char *name, char **names, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return true;
    return n == 0;
}

static int add_all(char **names, int n)
{
    int missing = 0;
    tg_op_info info;
    for (int i = 0; i < n; i++)
        if (!tg_op_find(names[i], &info) || !info.formula) {
            fprintf(stderr, "accuracy: %s is no elementwise operation\n", names[i]);
            missing++;
        }
    for (int i = 0; tg_op_at(i, &info); i++) {
        if (!info.formula || !asked(info.name, names, n)) continue;
        const reference *const r = find_reference(info.name);
        if (!r) {
            printf("no reference for %s\n", info.name);
            missing++;
            continue;
        }
        for (tg_type t = TG_F64; t <= TG_F32; t++)
            if (options.type[t]) add_jobs(&info, r, t);
    }
    return missing;
}

static int print_job(const job *j)
{
    static const char *const operands[] = { "value", "by a", "by b", "by c" };
    const bool broken = j->worst > PROMISE;
    char at[128] = "";
    for (int o = 0, used = 0; o < j->operands && j->worst > 0; o++)
        used += snprintf(at + used, sizeof at - (size_t)used, "%s%.17g", o ? ", " : "", j->at[o]);
    printf("%-12s %-6s %s %8.3f  %-5s %s", j->name,
           j->operands == 1 && j->quantity == 0 ? "by x" : operands[1 + j->quantity],
           j->type == TG_F32 ? "f32" : "f64", j->worst, j->level, at);
    if (broken) printf(": %.17g, not %.17g  BROKEN", j->got, j->wanted);
    printf("\n");
    return broken;
}

static int read_options(int argc, char **argv)
{
    int i = 1;
    for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
        const char *const o = argv[i], *const value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(o, "--help") == 0) {
            fputs(usage, stdout);
            exit(0);
        }
        if (strcmp(o, "--all") == 0) {
            options.all = true;
            continue;
        }
        if (strcmp(o, "--count") == 0) options.count = (int64_t)strtod(value, NULL);
        else if (strcmp(o, "--seed") == 0) options.seed = strtoull(value, NULL, 10);
        else if (strcmp(o, "--threads") == 0) options.threads = atoi(value);
        else if (strcmp(o, "--type") == 0 && strcmp(value, "f64") == 0)
            options.type[TG_F32] = false;
        else if (strcmp(o, "--type") == 0 && strcmp(value, "f32") == 0)
            options.type[TG_F64] = false;
        else {
            fprintf(stderr, "accuracy: %s?\n%s", o, usage);
            exit(2);
        }
        i++;
    }
    return i;
}

int main(int argc, char **argv)
{
    const int first = read_options(argc, argv);
    pthread_t thread[64];
    find_levels();
    int wrong = add_all(argv + first, argc - first);
    const int threads = options.threads < 1 ? 1 : options.threads > 64 ? 64 : options.threads;
    for (int i = 1; i < threads; i++) pthread_create(&thread[i], NULL, work, NULL);
    work(NULL);
    for (int i = 1; i < threads; i++) pthread_join(thread[i], NULL);
    printf("%-12s %-6s type %7s  level at\n", "operation", "", "worst");
    for (int i = 0; i < n_jobs; i++) wrong += print_job(&jobs[i]);
    printf("%d measured, %d wrong; seed %llu, %lld random inputs each, levels up to %s\n", n_jobs,
           wrong, (unsigned long long)options.seed, (long long)options.count,
           kernels[TG_F64][levels - 1]->level);
    return wrong > 0;
}
