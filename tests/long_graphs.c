/* Long tapes: random graphs of a million scalars and of thousands of tensors against a second
   implementation in plain arrays, and a chain of operations as long as memory allows on a small
   stack.

       long_graphs [CHAIN [NODES]]    operations of the chain, 10^7; nodes of the graph, 10^6

   The chain takes 32 bytes an operation: 10^8 are 3.2 GB. */
#include <limits.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tapegrad.h>

static int wrong;

static void fault(const char *what, double got, double wanted)
{
    printf("  WRONG: %s: %.17g, not %.17g\n", what, got, wanted);
    wrong++;
}

static void *memory(size_t n, size_t size)
{
    void *const p = calloc(n, size);
    if (p) return p;
    fprintf(stderr, "no memory\n");
    exit(2);
}

static double seconds(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static uint64_t state;

static uint32_t bits(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static uint32_t below(uint32_t n)
{
    return bits() % n;
}

static double uniform(void)
{
    return (double)bits() / (1u << 30) - 1;
}

/* ---- a random graph of scalars -------------------------------------------------------------- */

enum { LEAVES = 64, TANGENTS = 4 };
typedef enum kind { LEAF, MEAN, PRODUCT, SINE, TANH, QUOTIENT, LARGER, KINDS } kind;

/* What a node is, in a form that the tape has nothing to do with. Values stay within [-1, 1];
   operands are any earlier nodes, so that paths are short (about 40) and many. */
typedef struct node {
    kind kind;
    uint32_t a, b;
    double value, adjoint, tangent[TANGENTS];
} node;

static double value_of(kind k, double a, double b)
{
    switch (k) {
    case MEAN: return (a + b) * 0.5;
    case PRODUCT: return a * b;
    case SINE: return sin(a);
    case TANH: return tanh(a);
    case QUOTIENT: return a / (2 + b);
    case LARGER: return a > b ? a : b;
    default: return 0;
    }
}

/* The slopes by a and b. */
static void slopes_of(kind k, double a, double b, double *da, double *db)
{
    *da = *db = 0;
    switch (k) {
    case MEAN: *da = *db = 0.5; break;
    case PRODUCT: *da = b, *db = a; break;
    case SINE: *da = cos(a); break;
    case TANH: *da = 1 / (cosh(a) * cosh(a)); break;
    case QUOTIENT: *da = 1 / (2 + b), *db = -a / ((2 + b) * (2 + b)); break;
    case LARGER: *(a > b ? da : db) = 1; break;
    default: break;
    }
    if (k == LARGER && a == b) *da = *db = 0.5;
}

static tg_value recorded(kind k, tg_value a, tg_value b)
{
    switch (k) {
    case MEAN: return tg_mul(tg_add(a, b), 0.5);
    case PRODUCT: return tg_mul(a, b);
    case SINE: return tg_sin(a);
    case TANH: return tg_tanh(a);
    case QUOTIENT: return tg_div(a, tg_add(2, b));
    default: return tg_maximum(a, b);
    }
}

static void draw(node *g, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        g[i] = (node){ .kind = i < LEAVES ? LEAF : (kind)(1 + below(KINDS - 1)) };
        if (i < LEAVES) {
            g[i].value = uniform();
            continue;
        }
        g[i].a = below(i);
        g[i].b = below(i);
        g[i].value = value_of(g[i].kind, g[g[i].a].value, g[g[i].b].value);
    }
}

/* Tangents of the first leaves forward, adjoints of all backward; the root is the sum of every 97th
   node. */
static void differentiate(node *g, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        double da, db;
        if (i < TANGENTS) g[i].tangent[i] = 1;
        slopes_of(g[i].kind, g[g[i].a].value, g[g[i].b].value, &da, &db);
        for (int k = 0; i >= LEAVES && k < TANGENTS; k++)
            g[i].tangent[k] = da * g[g[i].a].tangent[k] + db * g[g[i].b].tangent[k];
        g[i].adjoint = i % 97 == 0;
    }
    for (uint32_t i = n; i-- > LEAVES;) {
        double da, db;
        slopes_of(g[i].kind, g[g[i].a].value, g[g[i].b].value, &da, &db);
        g[g[i].a].adjoint += da * g[i].adjoint;
        g[g[i].b].adjoint += db * g[i].adjoint;
    }
}

/* Rounding errors of some thousand paths, each of relative size 1e-16. */
static bool close_to(double a, double b)
{
    return fabs(a - b) <= 1e-11 * fmax(1, fabs(b));
}

static void compare_scalars(const node *g, const tg_value *v, uint32_t n)
{
    for (uint32_t i = 0; i < n && wrong < 10; i++) {
        if (!close_to(tg_item(v[i]), g[i].value)) fault("value", tg_item(v[i]), g[i].value);
        if (!close_to(tg_grad_item(v[i]), g[i].adjoint))
            fault("gradient", tg_grad_item(v[i]), g[i].adjoint);
    }
    for (int k = 0; k < TANGENTS; k++) {
        double slope = 0;
        for (uint32_t i = 0; i < n; i += 97) slope += g[i].tangent[k];
        if (!close_to(tg_grad_item(v[k]), slope))
            fault("gradient, against tangents", tg_grad_item(v[k]), slope);
    }
}

static void random_scalars(uint32_t n, uint64_t seed)
{
    node *const g = memory(n, sizeof *g);
    tg_value *const v = memory(n, sizeof *v);
    tg_tape *const t = tg_tape_new(NULL);
    state = seed;
    draw(g, n);
    for (uint32_t i = 0; i < n; i++)
        v[i] = g[i].kind == LEAF ? tg_scalar(t, g[i].value)
                                 : recorded(g[i].kind, v[g[i].a], v[g[i].b]);
    tg_value root = v[0];
    for (uint32_t i = 97; i < n; i += 97) root = tg_add(root, v[i]);
    differentiate(g, n);
    const double begin = seconds();
    if (!tg_backward(root)) fault("backward", 0, 1);
    printf("random graph of %u scalars, seed %llu: backward %.1f ms\n", n, (unsigned long long)seed,
           1e3 * (seconds() - begin));
    compare_scalars(g, v, n);
    tg_tape_free(t);
    free(v);
    free(g);
}

/* ---- a random graph of small tensors -------------------------------------------------------- */

enum { R = 4, C = 3, TENSORS = 4000, TENSOR_LEAVES = 12 };
typedef enum step {
    T_LEAF,
    T_MEAN,
    T_PRODUCT,
    T_SINE,
    T_ROWS,
    T_COLUMNS,
    T_FLIP,
    T_SLICE,
    T_STEPS
} step;

/* A matrix of 1 or R rows and 1 or C columns. Operands broadcast. */
typedef struct matrix {
    step step;
    int a, b, r, c;
    double value[R][C], adjoint[R][C];
} matrix;

static void shape_of(matrix *m, const matrix *g)
{
    const matrix *const a = &g[m->a], *const b = &g[m->b];
    const bool two = m->step == T_MEAN || m->step == T_PRODUCT;
    m->r = m->step == T_ROWS || m->step == T_SLICE ? 1 : two && b->r > a->r ? b->r : a->r;
    m->c = m->step == T_COLUMNS ? 1 : two && b->c > a->c ? b->c : a->c;
}

/* Visits each pair of an element of the result and one of the operands, with the slopes; forward
   adds to the value, backward to the adjoints. */
static void each_element(matrix *m, matrix *g, bool backward)
{
    matrix *const a = &g[m->a], *const b = &g[m->b];
    const int rows = m->step == T_ROWS ? a->r : m->r, columns = m->step == T_COLUMNS ? a->c : m->c;
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < columns; j++) {
            const int ai = m->step == T_FLIP    ? a->r - 1 - i
                           : m->step == T_SLICE ? a->r - 1
                           : a->r == 1          ? 0
                                                : i;
            const int aj = a->c == 1 ? 0 : j, bi = b->r == 1 ? 0 : i, bj = b->c == 1 ? 0 : j;
            const double x = a->value[ai][aj], y = b->value[bi % b->r][bj % b->c];
            double *const value = &m->value[m->r == 1 ? 0 : i][m->c == 1 ? 0 : j];
            const double d = m->adjoint[m->r == 1 ? 0 : i][m->c == 1 ? 0 : j];
            const bool two = m->step == T_MEAN || m->step == T_PRODUCT;
            const double dx = m->step == T_MEAN      ? 0.5
                              : m->step == T_PRODUCT ? y
                              : m->step == T_SINE    ? cos(x)
                              : m->step == T_ROWS    ? 1.0 / R
                              : m->step == T_COLUMNS ? 1.0 / C
                                                     : 1;
            const double dy = m->step == T_MEAN ? 0.5 : x;
            if (backward) {
                a->adjoint[ai][aj] += d * dx;
                if (two) b->adjoint[bi][bj] += d * dy;
            } else {
                *value += m->step == T_SINE ? sin(x) : m->step == T_MEAN ? 0.5 * (x + y) : x * dx;
            }
        }
    }
}

static void draw_tensors(matrix *g)
{
    for (int i = 0; i < TENSORS; i++) {
        g[i] = (matrix){ .step = i < TENSOR_LEAVES ? T_LEAF : (step)(1 + below(T_STEPS - 1)) };
        if (i < TENSOR_LEAVES) {
            g[i].r = i % 2 ? R : 1;
            g[i].c = i % 3 ? C : 1;
            for (int j = 0; j < R * C; j++) g[i].value[j / C][j % C] = uniform();
            continue;
        }
        g[i].a = (int)below((uint32_t)i);
        g[i].b = (int)below((uint32_t)i);
        shape_of(&g[i], g);
        each_element(&g[i], g, false);
    }
}

static tg_value tensor_leaf(tg_tape *t, const matrix *m)
{
    double data[R * C];
    for (int i = 0; i < m->r * m->c; i++) data[i] = m->value[i / m->c][i % m->c];
    return tg_param(t, data, m->r, m->c);
}

static tg_value recorded_tensor(const matrix *m, tg_value a, tg_value b)
{
    switch (m->step) {
    case T_MEAN: return tg_mul(0.5, tg_add(a, b));
    case T_PRODUCT: return tg_mul(a, b);
    case T_SINE: return tg_sin(a);
    case T_ROWS: return tg_mul(tg_sum(a, .axis = 0, .keep = true), 1.0 / R);
    case T_COLUMNS: return tg_mul(tg_sum(a, .axis = 1, .keep = true), 1.0 / C);
    case T_FLIP: return tg_flip(a, .axis = 0);
    default: return tg_slice(a, .axis = 0, .start = -1);
    }
}

static void compare_tensors(const matrix *m, tg_value v)
{
    double value[R * C], gradient[R * C];
    const size_t n = (size_t)(m->r * m->c);
    if (!tg_read(v, value, n) || !tg_grad_read(v, gradient, n))
        fault("nothing to read", 0, (double)n);
    for (int i = 0; i < (int)n && wrong < 10; i++) {
        const double y = m->value[i / m->c][i % m->c], d = m->adjoint[i / m->c][i % m->c];
        if (!close_to(value[i], y)) fault("value", value[i], y);
        if (m->step == T_LEAF && !close_to(gradient[i], d)) fault("gradient", gradient[i], d);
    }
}

static void random_tensors(uint64_t seed)
{
    static matrix g[TENSORS];
    static tg_value v[TENSORS];
    tg_tape *const t = tg_tape_new(NULL);
    state = seed;
    draw_tensors(g);
    tg_value root = tg_number(t, 0);
    for (int i = 0; i < TENSORS; i++) {
        v[i] = i < TENSOR_LEAVES ? tensor_leaf(t, &g[i])
                                 : recorded_tensor(&g[i], v[g[i].a], v[g[i].b]);
        if (i % 7) continue;
        root = tg_add(root, tg_sum(v[i]));
        for (int j = 0; j < g[i].r * g[i].c; j++) g[i].adjoint[j / g[i].c][j % g[i].c] = 1;
    }
    for (int i = TENSORS; i-- > TENSOR_LEAVES;) each_element(&g[i], g, true);
    if (!tg_backward(root)) fault("backward", 0, 1);
    printf("random graph of %d tensors, seed %llu\n", TENSORS, (unsigned long long)seed);
    for (int i = 0; i < TENSORS; i++) compare_tensors(&g[i], v[i]);
    tg_tape_free(t);
}

/* ---- a chain -------------------------------------------------------------------------------- */

/* y becomes ((2 y + x) / 2) - 1/4: for x = 1/2 y stays, and its slope by x grows by 1/2, exactly.
   */
static tg_value four_more(tg_value y, tg_value x)
{
    return tg_sub(tg_mul(tg_add(tg_mul(y, 2), x), 0.5), 0.25);
}

static double chain(size_t n)
{
    tg_tape *const t = tg_tape_new(NULL);
    const tg_value x = tg_scalar(t, 0.5);
    tg_value y = x;
    const double begin = seconds();
    for (size_t i = 0; i < n / 4; i++) y = four_more(y, x);
    const double middle = seconds();
    if (!tg_backward(y)) fault("backward", 0, 1);
    const double end = seconds(), slope = 1 + (double)(n / 4) / 2;
    if (tg_item(y) != 0.5) fault("value", tg_item(y), 0.5);
    if (tg_grad_item(x) != slope) fault("slope", tg_grad_item(x), slope);
    const double bytes = (double)tg_stats(t).bytes_used / (double)n;
    printf("chain of %zu: %.2f bytes, %.2f ns forward, %.2f ns backward an operation\n", n, bytes,
           1e9 * (middle - begin) / (double)n, 1e9 * (end - middle) / (double)n);
    const double more = 1.5;
    if (!tg_set(x, &more, 1) || !tg_forward(y)) fault("forward", 0, 1);
    const double value = 1.5 + (double)(n / 4) / 2;
    if (tg_item(y) != value) fault("value computed again", tg_item(y), value);
    tg_tape_free(t);
    return bytes;
}

static void *chains(void *user)
{
    const size_t n = *(const size_t *)user;
    const double whole = chain(n), part = chain(n / 10);
    if (fabs(whole - part) > 0.01 * whole + 2000.0 / (double)n)
        fault("bytes an operation are not constant", part, whole);
    if (whole > 33) fault("bytes an operation", whole, 32);
    return NULL;
}

/* In a thread with a stack of 64 KiB, or a few times that: thread-local data of other libraries
   lies there too. */
static void on_a_small_stack(size_t n)
{
    pthread_attr_t attributes;
    pthread_t thread;
    size_t stack = 64 * 1024;
    pthread_attr_init(&attributes);
    while (pthread_attr_setstacksize(&attributes, stack) ||
           pthread_create(&thread, &attributes, chains, &n)) {
        stack *= 2;
        if (stack <= 512 * 1024) continue;
        fault("no thread with a small stack", 0, 1);
        return;
    }
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    printf("on a stack of %zu KiB\n", stack / 1024);
}

int main(int argc, char **argv)
{
    const size_t length = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000;
    const unsigned long nodes = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000;
    if (length < 1000 || nodes < 2 * LEAVES || nodes > 1u << 28) {
        fprintf(stderr, "usage: %s [CHAIN [NODES]]: at least 1000 and %d\n", argv[0], 2 * LEAVES);
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    for (uint64_t seed = 1; seed <= 3; seed++) random_scalars((uint32_t)nodes, seed);
    for (uint64_t seed = 1; seed <= 5; seed++) random_tensors(seed);
    on_a_small_stack(length);
    printf("%d wrong\n", wrong);
    return wrong != 0;
}
