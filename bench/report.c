/* Rows and their tables: see report.h. */
#define _DEFAULT_SOURCE
#include <argp.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"
#include "results.h"

static struct {
    const char *program, *json, *baseline, *plot;
    char **name; /* of the rows that are asked for */
    int names, repeats;
    bool quick, tables, wrong;
    side delayed, broken, profiled; /* SIDES: none */
    double delay;
    char title[200];
    bench_row *row; /* of the table that is being made */
    int rows;
    json *all;
} run = { .delayed = SIDES, .broken = SIDES, .profiled = SIDES };

/* ---- command line ------------------------------------------------------------------------------ */

enum { BASELINE = 256, PLOT, JSON, QUICK, DELAY, BREAK, PROFILE, TABLES };

static const struct argp_option options[] = {
    { "json", JSON, "FILE", 0, "write the rows to FILE, a list of objects", 0 },
    { "baseline", BASELINE, "FILE", 0, "hold the rows against FILE, which --json wrote; fail if one got slower", 0 },
    { "plot", PLOT, "FILE", 0, "draw the rows (FILE.png or FILE.svg; needs gnuplot)", 0 },
    { "repeats", 'r', "N", 0, "interleaved repeats of each measurement, 3 to 64", 0 },
    { "tables", TABLES, NULL, 0, "say nothing of the machine", 0 },
    { "quick", QUICK, NULL, 0, "smallest sizes, three repeats: whether it works, not how fast it is", 0 },
    { "profile", PROFILE, "SIDE", 0, "let a side run for two seconds more, for a profiler around it", 0 },
    { NULL, 0, NULL, 0, "To test the benchmarks themselves:", 1 },
    { "delay", DELAY, "SIDE=PERCENT", 0, "let a side (plain, expert, eager, program ...) take so much longer", 1 },
    { "break", BREAK, "SIDE", 0, "change one number of a side's result by 1e-6 of itself (f32: 1e-3); "
      "of side 'all': make the gradients zero", 1 },
    { 0 },
};

static side side_called(struct argp_state *state, const char *name, size_t length)
{
    for (side s = 0; s < SIDES; s++)
        if (strncmp(side_names[s], name, length) == 0 && !side_names[s][length]) return s;
    argp_error(state, "%.*s is no side", (int)length, name);
    return SIDES;
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    const char *const percent = text ? strchr(text, '=') : NULL;
    switch (key) {
    case JSON: run.json = text; break;
    case BASELINE: run.baseline = text; break;
    case PLOT: run.plot = text; break;
    case QUICK: run.quick = true; break;
    case TABLES: run.tables = true; break;
    case 'r':
        run.repeats = atoi(text);
        if (run.repeats < 3 || run.repeats > MOST_REPEATS)
            argp_error(state, "repeats: 3 to %d, not %s", MOST_REPEATS, text);
        break;
    case DELAY:
        if (!percent || !(atof(percent + 1) > 0)) argp_error(state, "--delay SIDE=PERCENT, not %s", text);
        run.delayed = side_called(state, text, strcspn(text, "="));
        run.delay = percent ? atof(percent + 1) / 100 : 0;
        break;
    case PROFILE: run.profiled = side_called(state, text, strlen(text)); break;
    case BREAK:
        run.broken = strcmp(text, "all") == 0 ? SIDE_PRIMAL : side_called(state, text, strlen(text));
        break;
    case ARGP_KEY_ARGS:
        run.name = state->argv + state->next;
        run.names = state->argc - state->next;
        break;
    default: return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

void report_begin(int argc, char **argv, const char *program, const char *does)
{
    char doc[1000];
    snprintf(doc, sizeof doc,
             "%s\vNAME chooses rows by the beginning of name/size. What is given and must not be wrong: all "
             "sides agree. The result is 1 if a row is wrong, or got slower than in the baseline by a tenth and by "
             "twice the spreads of both, in units of the side by hand of the same run.", does);
    const struct argp argp = { options, parse, "[NAME ...]", doc, NULL, NULL, NULL };
    if (argp_parse(&argp, argc, argv, 0, NULL, NULL)) exit(1);
    run.program = program;
    run.all = json_new(JSON_LIST);
    if (!run.tables) print_machine();
}

bool report_quick(void)
{
    return run.quick;
}

/* Whether one of two texts begins with the other, as far as a '/' or the end. */
static bool same_beginning(const char *a, const char *b)
{
    const size_t m = strlen(a), n = strlen(b), least = m < n ? m : n;
    return strncmp(a, b, least) == 0 && (m == n || (m > n ? a : b)[least] == '/');
}

bool report_wants(const char *name, const char *size)
{
    char text[ID];
    snprintf(text, sizeof text, "%s%s%s", name, size ? "/" : "", size ? size : "");
    for (int i = 0; i < run.names; i++)
        if (same_beginning(text, run.name[i])) return true;
    return run.names == 0;
}

/* ---- measuring --------------------------------------------------------------------------------- */

typedef struct delayed {
    const side *sides;
    void (*work)(int way, void *user);
    void *user;
} delayed;

static void work_and_wait(int way, void *user)
{
    const delayed *const d = user;
    const double start = now_ns();
    d->work(way, d->user);
    const double end = now_ns() + (now_ns() - start) * run.delay;
    while (d->sides[way] == run.delayed && now_ns() < end) continue;
}

void report_time(int n, const side *sides, void (*work)(int way, void *user), void *user, int repeats,
                 timing *result)
{
    delayed d = { sides, work, user };
    if (run.repeats) repeats = run.repeats;
    if (run.quick) repeats = 3;
    if (run.delayed == SIDES) time_ways(n, work, user, repeats, result);
    else time_ways(n, work_and_wait, &d, repeats, result);
    for (int i = 0; i < n; i++)
        for (const double end = now_ns() + 2e9; sides[i] == run.profiled && now_ns() < end;)
            for (double ns = 0; ns < 1e6; ns += result[i].median + 1) work(i, user);
}

static bool is_f32(const bench_row *r)
{
    return r->type && strcmp(r->type, "f32") == 0;
}

static void print_id(const bench_row *r)
{
    printf("%s/%s/%s/%s/%s", run.program, r->name, r->size ? r->size : "-", r->type ? r->type : "-",
           r->layout ? r->layout : "-");
}

bool report_same(bench_row *r, side s, size_t n, const double *got, const double *expected)
{
    const double relative = is_f32(r) ? 1e-4 : 1e-9, of_largest = is_f32(r) ? 1e-4 : 1e-13;
    double largest = 0;
    size_t changed = 0;
    for (size_t i = 0; i < n; i++)
        if (fabs(expected[i]) > largest) largest = fabs(expected[changed = i]);
    for (size_t i = 0; i < n; i++) {
        double x = got[i];
        if (run.broken == s && s != SIDE_PRIMAL && i == changed) x *= 1 + (is_f32(r) ? 1e-3 : 1e-6);
        const double bound = relative * fmax(fabs(x), fabs(expected[i])) + of_largest * largest;
        if (fabs(x - expected[i]) <= bound) continue;
        print_id(r);
        printf(": WRONG: number %zu of %s is %.17g, expected is %.17g\n", i, side_names[s], x, expected[i]);
        r->wrong = run.wrong = true;
        return false;
    }
    return true;
}

bool report_agree(bench_row *r, side s, size_t n, const double *got, const double *expected)
{
    bool zero = true;
    for (size_t i = 0; i < n && zero; i++) zero = expected[i] == 0 || run.broken == SIDE_PRIMAL;
    if (!zero) return report_same(r, s, n, got, expected);
    print_id(r);
    printf(": WRONG: the gradient is zero\n");
    r->wrong = run.wrong = true;
    return false;
}

/* ---- rows as objects --------------------------------------------------------------------------- */

static bool has(const bench_row *r, side s)
{
    return r->side[s].repeats > 0;
}

static double per_unit(const bench_row *r, side s)
{
    return r->side[s].median / (r->units > 0 ? r->units : 1);
}

static double spread_of(const bench_row *r)
{
    double spread = 0;
    for (side s = 0; s < SIDES; s++)
        if (has(r, s)) spread = fmax(spread, r->side[s].spread);
    return spread;
}

/* The most of all sides of the library; NaN if that is not known. */
static double most(const bench_row *r, double of(const timing *t))
{
    double x = NAN;
    for (side s = 0; s < SIDES; s++)
        if (has(r, s) && side_is_ours(s)) x = fmax(x, of(&r->side[s]));
    return x;
}

static double allocations_of(const timing *t) { return t->allocations; }
static double faults_of(const timing *t) { return t->faults; }

static bool is_measure(side s)
{
    return s <= SIDE_PEER;
}

/* No more digits than mean something. */
static void add_measured(json *j, const char *key, double x)
{
    char text[32];
    snprintf(text, sizeof text, "%.5g", x);
    json_add_number(j, key, strtod(text, NULL));
}

static void add_ratios(json *j, const bench_row *r)
{
    char key[64];
    for (side a = SIDE_EXPERT; a < SIDES; a++)
        for (side b = 0; is_measure(b); b++) {
            if (a == b || !has(r, a) || !has(r, b) || (is_measure(a) && a < b)) continue;
            const paired x = ratio_of(&r->side[a], &r->side[b]);
            snprintf(key, sizeof key, "%s/%s", side_names[a], side_names[b]);
            add_measured(j, key, x.median);
            strcat(key, "_high");
            add_measured(j, key, x.high);
        }
}

static void add_object(const bench_row *r)
{
    json *const j = json_add(run.all, NULL, JSON_OBJECT);
    char key[64];
    const struct {
        const char *key, *text;
    } texts[] = { { "bench", run.program }, { "name", r->name },     { "size", r->size },
                  { "type", r->type },      { "layout", r->layout }, { "per", r->per },
                  { "flags", BENCH_FLAGS }, { "compiler", machine_compiler() },
                  { "processor", machine_processor() } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].text) json_add_text(j, texts[i].key, texts[i].text);
    for (side s = 0; s < SIDES; s++) {
        if (!has(r, s)) continue;
        snprintf(key, sizeof key, "%s_ns", side_names[s]);
        add_measured(j, key, per_unit(r, s));
    }
    for (side s = 0; s < SIDES; s++) {
        if (!has(r, s)) continue;
        snprintf(key, sizeof key, "%s_spread", side_names[s]);
        add_measured(j, key, r->side[s].spread);
    }
    if (spread_of(r) > 0) add_measured(j, "spread", spread_of(r));
    add_ratios(j, r);
    if (r->memory > 0) add_measured(j, "memory_bytes", r->memory);
    if (!isnan(most(r, allocations_of))) add_measured(j, "allocations", most(r, allocations_of));
    if (!isnan(most(r, faults_of))) add_measured(j, "faults", most(r, faults_of));
    if (r->compile_ns > 0) add_measured(j, "compile_ns", r->compile_ns);
    for (int i = 0; i < MORE && r->more[i].key; i++) add_measured(j, r->more[i].key, r->more[i].value);
    if (r->wrong) json_add(j, "wrong", JSON_TRUE);
}

/* ---- tables ------------------------------------------------------------------------------------ */

/* A column: its two lines of heading, and its text for a row, empty if there is none. */
typedef enum column_kind { TIME, RATIO, MEMORY, ALLOCATIONS, FAULTS, COMPILING, EXTRA, SPREAD } column_kind;
typedef struct column {
    column_kind kind;
    side a, b;
    const char *key;
} column;

enum { COLUMNS = 64, CELL = 32 };

static void time_text(double ns, char *text)
{
    static const char *const units[] = { "ns", "us", "ms", "s" };
    int u = 0;
    while (u < 3 && ns >= 9999.5) ns /= 1000, u++;
    snprintf(text, CELL, "%.*f %s", ns < 10 ? 2 : ns < 1000 ? 1 : 0, ns, units[u]);
}

static void bytes_text(double bytes, char *text)
{
    static const char *const units[] = { "B", "kB", "MB", "GB" };
    int u = 0;
    while (u < 3 && bytes >= 9999.5) bytes /= 1000, u++;
    snprintf(text, CELL, "%.*f %s", bytes < 100 && u ? 1 : 0, bytes, units[u]);
}

static void ratio_text(const bench_row *r, side a, side b, char *text)
{
    const double x = ratio_of(&r->side[a], &r->side[b]).median;
    snprintf(text, CELL, "%.*f", x < 0.1 ? 4 : x < 10 ? 2 : x < 100 ? 1 : 0, x);
}

static void cell(const column *c, const bench_row *r, char *text)
{
    *text = 0;
    switch (c->kind) {
    case TIME:
        if (has(r, c->a)) time_text(per_unit(r, c->a), text);
        break;
    case RATIO:
        if (has(r, c->a) && has(r, c->b)) ratio_text(r, c->a, c->b, text);
        break;
    case MEMORY:
        if (r->memory > 0) bytes_text(r->memory, text);
        break;
    case ALLOCATIONS:
        if (!isnan(most(r, allocations_of))) snprintf(text, CELL, "%.3g", most(r, allocations_of));
        break;
    case FAULTS:
        if (!isnan(most(r, faults_of))) snprintf(text, CELL, "%.3g", most(r, faults_of));
        break;
    case COMPILING:
        if (r->compile_ns > 0) time_text(r->compile_ns, text);
        break;
    case EXTRA:
        for (int i = 0; i < MORE && r->more[i].key; i++)
            if (strcmp(r->more[i].key, c->key) == 0) snprintf(text, CELL, "%.4g", r->more[i].value);
        break;
    case SPREAD:
        if (spread_of(r) > 0) snprintf(text, CELL, "%.1f%%%s", 100 * spread_of(r), spread_of(r) > 0.1 ? "*" : " ");
        break;
    }
}

static void headings(const column *c, char *first, char *second)
{
    static const char *const names[] = { [MEMORY] = "memory", [ALLOCATIONS] = "alloc-", [FAULTS] = "page",
                                         [COMPILING] = "compile", [SPREAD] = "spread" };
    static const char *const below[] = { [MEMORY] = "", [ALLOCATIONS] = "ations", [FAULTS] = "faults",
                                         [COMPILING] = "", [SPREAD] = "" };
    snprintf(first, CELL, "%s", c->kind <= RATIO ? side_names[c->a] : c->kind == EXTRA ? c->key : names[c->kind]);
    *second = 0;
    if (c->kind == RATIO) snprintf(second, CELL, "/%s", side_names[c->b]);
    else if (c->kind > RATIO && c->kind != EXTRA) snprintf(second, CELL, "%s", below[c->kind]);
}

static bool occurs(const column *c)
{
    char text[CELL];
    for (int i = 0; i < run.rows; i++) {
        cell(c, &run.row[i], text);
        if (*text) return true;
    }
    return false;
}

/* All columns in which a row of the table has something. */
static int choose_columns(column *chosen)
{
    int n = 0;
    for (side s = 0; s < SIDES; s++) chosen[n++] = (column){ .kind = TIME, .a = s };
    for (side a = SIDE_EAGER; a < SIDES; a++)
        for (side b = a == SIDE_EAGER ? SIDE_PRIMAL : SIDE_PLAIN; is_measure(b); b++)
            chosen[n++] = (column){ .kind = RATIO, .a = a, .b = b };
    for (column_kind k = MEMORY; k <= COMPILING; k++) chosen[n++] = (column){ .kind = k };
    for (int i = 0; i < run.rows; i++)
        for (int m = 0; m < MORE && run.row[i].more[m].key; m++) {
            bool there = false;
            for (int c = 0; c < n; c++)
                there |= chosen[c].kind == EXTRA && strcmp(chosen[c].key, run.row[i].more[m].key) == 0;
            if (!there && n < COLUMNS - 1) chosen[n++] = (column){ .kind = EXTRA, .key = run.row[i].more[m].key };
        }
    chosen[n++] = (column){ .kind = SPREAD };
    int kept = 0;
    for (int c = 0; c < n; c++)
        if (occurs(&chosen[c])) chosen[kept++] = chosen[c];
    return kept;
}

static void label(const bench_row *r, char *text, size_t size)
{
    const char *const pieces[] = { r->name, r->size, r->type, r->layout };
    size_t used = 0;
    for (int i = 0; i < 4; i++)
        if (pieces[i] && used < size)
            used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "", pieces[i]);
}

static int largest(int a, size_t b)
{
    return a > (int)b ? a : (int)b;
}

static void print_table(void)
{
    if (!run.rows) return;
    column columns[COLUMNS];
    char a[CELL], b[CELL], text[ID];
    const int n = choose_columns(columns);
    int width[COLUMNS], labels = 0;
    for (int i = 0; i < run.rows; i++) {
        label(&run.row[i], text, sizeof text);
        labels = largest(labels, strlen(text));
    }
    for (int c = 0; c < n; c++) {
        headings(&columns[c], a, b);
        width[c] = largest((int)strlen(a), strlen(b));
        for (int i = 0; i < run.rows; i++) {
            cell(&columns[c], &run.row[i], a);
            width[c] = largest(width[c], strlen(a));
        }
    }
    const char *const per = run.row[0].per;
    printf("\n%s%s%s\n", run.title, per ? "; times of one " : "", per ? per : "");
    for (int line = 0; line < 2; line++) {
        printf("  %-*s", labels, "");
        for (int c = 0; c < n; c++) {
            headings(&columns[c], a, b);
            printf("  %*s", width[c], line ? b : a);
        }
        printf("\n");
    }
    for (int i = 0; i < run.rows; i++) {
        label(&run.row[i], text, sizeof text);
        printf("  %-*s", labels, text);
        for (int c = 0; c < n; c++) {
            cell(&columns[c], &run.row[i], a);
            printf("  %*s", width[c], a);
        }
        printf("%s\n", run.row[i].wrong ? "  WRONG" : "");
    }
    run.rows = 0;
    fflush(stdout);
}

void report_title(const char *format, ...)
{
    print_table();
    va_list list;
    va_start(list, format);
    vsnprintf(run.title, sizeof run.title, format, list);
    va_end(list);
}

void report_row(const bench_row *r)
{
    bench_row *const larger = realloc(run.row, (size_t)(run.rows + 1) * sizeof *larger);
    if (!larger) exit(1);
    run.row = larger;
    run.row[run.rows++] = *r;
    add_object(r);
}

/* ---- growth ------------------------------------------------------------------------------------ */

/* The slope of log y by log x. */
static double exponent(int n, const double *x, const double *y)
{
    double mx = 0, my = 0, xy = 0, xx = 0;
    for (int i = 0; i < n; i++) mx += log(x[i]) / n, my += log(y[i]) / n;
    for (int i = 0; i < n; i++) {
        xy += (log(x[i]) - mx) * (log(y[i]) - my);
        xx += (log(x[i]) - mx) * (log(x[i]) - mx);
    }
    return xy / xx;
}

void report_fit(const char *name, const char *layout, side s)
{
    enum { POINTS = 64 };
    double x[POINTS], cost[POINTS], memory[POINTS];
    int n = 0;
    bool remembered = true;
    for (int i = 0; i < run.rows && n < POINTS; i++) {
        const bench_row *const r = &run.row[i];
        if (strcmp(r->name, name) != 0 || (layout && strcmp(r->layout, layout) != 0) || !has(r, s)) continue;
        x[n] = strtod(r->size, NULL);
        cost[n] = r->side[s].median;
        memory[n] = r->memory;
        remembered &= r->memory > 0;
        n++;
    }
    if (n < 2) return;
    bench_row fit = { .name = name, .size = "fit", .layout = layout, .type = "f64" };
    const int first = n > 3 ? n / 2 : 0;
    fit.more[0].key = "cost_exponent";
    fit.more[0].value = exponent(n - first, x + first, cost + first);
    if (remembered) {
        fit.more[1].key = "memory_exponent";
        fit.more[1].value = exponent(n - first, x + first, memory + first);
    }
    report_row(&fit);
}

/* ---- the end ----------------------------------------------------------------------------------- */

int report_end(void)
{
    print_table();
    bool ok = !run.wrong;
    if (!run.all->count) ok = false, fprintf(stderr, "%s: there is no such row\n", run.program);
    if (run.json) ok &= results_write(run.all, run.json);
    if (run.baseline) ok &= results_compare(run.all, run.baseline);
    if (run.plot) ok &= results_plot(run.all, run.plot);
    json_free(run.all);
    free(run.row);
    return ok ? 0 : 1;
}
