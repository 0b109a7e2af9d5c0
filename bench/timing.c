/* Timing: see timing.h. */
#define _POSIX_C_SOURCE 200809L
#include "timing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double run(int calls, void (*work)(int, void *), int way, void *user)
{
    const double start = now_ns();
    for (int i = 0; i < calls; i++) work(way, user);
    return (now_ns() - start) / calls;
}

void time_ways(int n, void (*work)(int, void *), void *user, int repeats, timing *result)
{
    double *ns = malloc((size_t)n * (size_t)repeats * sizeof *ns);
    int *calls = malloc((size_t)n * sizeof *calls);
    if (!ns || !calls) exit(1);
    for (int i = 0; i < n; i++) {
        double each = run(1, work, i, user);
        if (each < 2e7) {
            run(2, work, i, user);
            each = run(10, work, i, user);
        }
        calls[i] = each > 2e6 ? 1 : (int)(2e6 / (each + 1)) + 1;
    }
    for (int r = 0; r < repeats; r++)
        for (int i = 0; i < n; i++) ns[i * repeats + r] = run(calls[i], work, i, user);
    for (int i = 0; i < n; i++) {
        double *x = ns + i * repeats;
        qsort(x, (size_t)repeats, sizeof *x, ascending);
        result[i].median = x[repeats / 2];
        result[i].spread = (x[repeats * 3 / 4] - x[repeats / 4]) / x[repeats / 2];
    }
    free(ns);
    free(calls);
}

void print_machine(void)
{
    char line[256], model[256] = "unknown";
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "model name", 10) != 0) continue;
        snprintf(model, sizeof model, "%s", strchr(line, ':') + 2);
        model[strcspn(model, "\n")] = 0;
        break;
    }
    if (f) fclose(f);
#ifdef __clang__
    printf("processor: %s\ncompiler:  %s\n", model, __VERSION__);
#else
    printf("processor: %s\ncompiler:  gcc %s\n", model, __VERSION__);
#endif
}
