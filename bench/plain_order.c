/* Plain loops: sorting by qsort, the first k by insertion, the median by quickselect. */
#include "plain_loops.h"

typedef struct entry {
    real x;
    int64_t at;
} entry;

static int by_value(const void *a, const void *b)
{
    const real x = *(const real *)a, y = *(const real *)b;
    return (x > y) - (x < y);
}

/* Of equal ones the first comes first. */
static int by_entry(const void *a, const void *b)
{
    const entry *const x = a, *const y = b;
    return x->x != y->x ? (x->x > y->x) - (x->x < y->x) : (x->at > y->at) - (x->at < y->at);
}

static entry *entries(int64_t n, const real *x)
{
    entry *const e = malloc((size_t)n * sizeof *e);
    for (int64_t i = 0; i < n; i++) e[i] = (entry){ x[i], i };
    return e;
}

static entry *sorted(int64_t n, const real *x)
{
    entry *const e = entries(n, x);
    qsort(e, (size_t)n, sizeof *e, by_entry);
    return e;
}

/* A tensor as rows of its last axis. */
#define EACH_ROW for (int64_t i = 0, n = DIM(0, c->x[0].s->rank - 1); i < COUNT(0) / n; i++)

VALUE(sort)
{
    memcpy(Y, X(0), (size_t)COUNT(0) * sizeof(real));
    EACH_ROW qsort(Y + i * n, (size_t)n, sizeof(real), by_value);
}

GRADIENT(sort)
{
    EACH_ROW
    {
        entry *const e = sorted(n, X(0) + i * n);
        for (int64_t j = 0; j < n; j++) DX(0)[i * n + e[j].at] += G[i * n + j];
        free(e);
    }
}

VALUE(argsort)
{
    EACH_ROW
    {
        entry *const e = sorted(n, X(0) + i * n);
        for (int64_t j = 0; j < n; j++) WHOLE_Y[i * n + j] = e[j].at;
        free(e);
    }
}

/* The k largest of a row, falling. */
enum { K = 5 };

static void largest(int64_t n, const real *x, int64_t at[K])
{
    int64_t found = 0;
    for (int64_t i = 0; i < n; i++) {
        if (found == K && x[i] <= x[at[K - 1]]) continue;
        int64_t j = found < K ? found++ : K - 1;
        for (; j > 0 && x[at[j - 1]] < x[i]; j--) at[j] = at[j - 1];
        at[j] = i;
    }
}

VALUE(topk)
{
    EACH_ROW
    {
        int64_t at[K];
        largest(n, X(0) + i * n, at);
        for (int j = 0; j < K; j++) Y[i * K + j] = X(0)[i * n + at[j]];
    }
}

GRADIENT(topk)
{
    EACH_ROW
    {
        int64_t at[K];
        largest(n, X(0) + i * n, at);
        for (int j = 0; j < K; j++) DX(0)[i * n + at[j]] += G[i * K + j];
    }
}

VALUE(argtopk)
{
    EACH_ROW largest(n, X(0) + i * n, WHOLE_Y + i * K);
}

/* Hoare's selection: the element of rank k. */
static real selected(int64_t n, real *x, int64_t k)
{
    int64_t lo = 0, hi = n - 1;
    while (lo < hi) {
        const real pivot = x[lo + (hi - lo) / 2];
        int64_t i = lo, j = hi;
        while (i <= j) {
            while (x[i] < pivot) i++;
            while (x[j] > pivot) j--;
            if (i > j) break;
            const real t = x[i];
            x[i++] = x[j];
            x[j--] = t;
        }
        if (k <= j) hi = j;
        else if (k >= i) lo = i;
        else break;
    }
    return x[k];
}

/* Of an odd number. */
static real median_of(int64_t n, const real *x)
{
    real *const copy = malloc((size_t)n * sizeof *copy);
    memcpy(copy, x, (size_t)n * sizeof *copy);
    const real m = selected(n, copy, n / 2);
    free(copy);
    return m;
}

VALUE(median)
{
    EACH_ROW Y[i] = median_of(n, X(0) + i * n);
}

/* Where the element is that sorting puts into the middle, y: of equal ones the first comes first. */
static int64_t middle_of(int64_t n, const real *x, real y)
{
    int64_t at = 0, next, before = n / 2;
    while (x[at] != y) at++;
    for (next = at + 1; next < n && x[next] != y;) next++;
    if (next == n) return at;
    for (int64_t i = 0; i < n; i++) before -= x[i] < y;
    for (; before > 0; before--)
        do at++;
        while (x[at] != y);
    return at;
}

GRADIENT(median)
{
    EACH_ROW DX(0)[i * n + middle_of(n, X(0) + i * n, Y[i])] += G[i];
}

#define ALL .size = { 1000, 16000, 500000 }, OF(1, TENSOR(-2, 2, N))
#define ROWS .size = { 10, 160, 10000 }, OF(1, TENSOR(-2, 2, N, 100))
#define FIRST BY(topk, .k = K)

const plain_row PLAIN(order)[] = {
    ROW(sort, ALL),
    ROW_OF(sort, "rows-of-100", sort, ROWS),
    ROW_OF(sort, "rows-of-10", sort, .size = { 100, 1600, 50000 }, OF(1, TENSOR(-2, 2, N, 10))),
    ROW_ZERO(argsort, "value", argsort, ALL),
    ROW_ZERO(argsort, "rows-of-100", argsort, ROWS),
    ROW_OF(topk, "5-of-many", topk, ALL, FIRST),
    ROW_OF(topk, "5-of-rows-of-100", topk, ROWS, FIRST),
    ROW_ZERO(argtopk, "5-of-rows-of-100", argtopk, ROWS, FIRST),
    ROW(median, .size = { 1001, 16001, 500001 }, OF(1, TENSOR(-2, 2, N))),
    ROW_OF(median, "rows-of-99", median, .size = { 10, 160, 10000 }, OF(1, TENSOR(-2, 2, N, 99)),
           BY(reduce, .axis = -1)),
    END
};
