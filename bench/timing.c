/* Timing: see timing.h. */
#define _GNU_SOURCE
#include "timing.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

double wall_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double faults_so_far(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_minflt + r.ru_majflt);
}

/* ---- counting allocations ---------------------------------------------------------------------- */

#ifdef BENCH_COUNT_ALLOCATIONS
/* The program's own malloc takes the place of the C library's in all libraries, too. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t alignment, size_t n);

static _Thread_local double allocations;

void *malloc(size_t n)
{
    allocations++;
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    allocations++;
    return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    allocations++;
    return __libc_realloc(p, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
    allocations++;
    return __libc_memalign(alignment, n);
}

double allocations_so_far(void)
{
    return allocations;
}
#else
double allocations_so_far(void)
{
    return NAN;
}
#endif

/* ---- repeats ----------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_of(int n, const double *sorted)
{
    return 0.5 * (sorted[(n - 1) / 2] + sorted[n / 2]);
}

static int number;

int timed_run(void)
{
    return number;
}

double timed_factor(void)
{
    return number ? 1 + 0x1p-12 * (1 + number % 8) : 1;
}

/* runs: of this way so far. */
static double run(int calls, int *runs, void (*work)(int, void *), int way, void *user)
{
    const double start = now_ns();
    for (int i = 0; i < calls; i++) {
        number = ++*runs;
        work(way, user);
    }
    number = 0;
    return (now_ns() - start) / calls;
}

void time_summary(timing *t)
{
    double x[MOST_REPEATS];
    memcpy(x, t->ns, sizeof x);
    qsort(x, (size_t)t->repeats, sizeof *x, ascending);
    t->median = median_of(t->repeats, x);
    t->spread = (x[t->repeats * 3 / 4] - x[t->repeats / 4]) / t->median;
}

void time_ways(int n, void (*work)(int, void *), void *user, int repeats, timing *result)
{
    int *const calls = malloc((size_t)n * sizeof *calls), *const runs = calloc((size_t)n, sizeof *runs);
    if (!calls || !runs) exit(1);
    if (repeats > MOST_REPEATS) repeats = MOST_REPEATS;
    for (int i = 0; i < n; i++) {
        double each = run(1, &runs[i], work, i, user);
        if (each < 2e7) {
            run(2, &runs[i], work, i, user);
            each = run(10, &runs[i], work, i, user);
        }
        calls[i] = each > 2e6 ? 1 : (int)(2e6 / (each + 1)) + 1;
        result[i] = (timing){ .repeats = repeats };
    }
    for (int r = 0; r < repeats; r++)
        for (int i = 0; i < n; i++) {
            const double allocated = allocations_so_far(), faulted = faults_so_far();
            result[i].ns[r] = run(calls[i], &runs[i], work, i, user);
            result[i].allocations += allocations_so_far() - allocated;
            result[i].faults += faults_so_far() - faulted;
        }
    for (int i = 0; i < n; i++) {
        time_summary(&result[i]);
        result[i].allocations /= (double)calls[i] * repeats;
        result[i].faults /= (double)calls[i] * repeats;
    }
    free(calls);
    free(runs);
}

void time_more(timing *t, const timing *more)
{
    t->allocations = more->allocations, t->faults = more->faults;
    for (int i = 0; i < more->repeats && t->repeats < MOST_REPEATS; i++) t->ns[t->repeats++] = more->ns[i];
    time_summary(t);
}

double speed_of_second(void (*work)(int, void *), void *user)
{
    enum { MOST = 400, LEAST = 40 };
    const double begun = wall_ns(), enough = 5e8;
    double best[2] = { INFINITY, INFINITY };
    for (int i = 0; i < MOST && (i < LEAST || wall_ns() < begun + enough); i++) {
        number++;
        work(i % 2, user);
        number++;
        const double start = wall_ns();
        work(i % 2, user);
        best[i % 2] = fmin(best[i % 2], wall_ns() - start);
    }
    number = 0;
    return best[0] / best[1];
}

paired ratio_of(const timing *a, const timing *b)
{
    double x[MOST_REPEATS];
    const int n = a->repeats < b->repeats ? a->repeats : b->repeats;
    for (int i = 0; i < n; i++) x[i] = a->ns[i] / b->ns[i];
    qsort(x, (size_t)n, sizeof *x, ascending);
    /* The number of ratios below the true median is binomial: half of n, deviation half its root. */
    int high = (int)ceil(0.5 * n + 0.98 * sqrt(n));
    if (high >= n) high = n - 1;
    return (paired){ .median = median_of(n, x), .high = x[high] };
}

/* ---- the machine ------------------------------------------------------------------------------- */

const char *machine_processor(void)
{
    static char model[256] = "";
    char line[256];
    if (*model) return model;
    strcpy(model, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "model name", 10) != 0) continue;
        snprintf(model, sizeof model, "%s", strchr(line, ':') + 2);
        model[strcspn(model, "\n")] = 0;
        break;
    }
    if (f) fclose(f);
    return model;
}

const char *machine_compiler(void)
{
#ifdef __clang__
    return __VERSION__;
#else
    return "gcc " __VERSION__;
#endif
}

/* OpenBLAS, if the library has it, says which processor its kernels are for. */
static const char *blas_core(void)
{
    char *(*core)(void);
    *(void **)&core = dlsym(RTLD_DEFAULT, "openblas_get_corename");
    return core ? core() : NULL;
}

void print_machine(void)
{
    const char *const core = blas_core(), *const forced = getenv("OPENBLAS_CORETYPE");
    const char *const threads = getenv("OPENBLAS_NUM_THREADS");
    printf("processor: %s, %ld of them\ncompiler:  %s\n", machine_processor(),
           sysconf(_SC_NPROCESSORS_ONLN), machine_compiler());
    printf("flags:     %s; the library at its own instruction-set levels\n", BENCH_FLAGS);
    printf("BLAS:      %s%s%s%s, %s\n", core ? "OpenBLAS, core " : "no OpenBLAS", core ? core : "",
           forced ? ", forced by OPENBLAS_CORETYPE=" : "", forced ? forced : "",
           threads && strcmp(threads, "1") == 0 ? "one thread" : "OPENBLAS_NUM_THREADS is not 1");
}
