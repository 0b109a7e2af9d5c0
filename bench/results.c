/* Rows held against others: see results.h. */
#define _DEFAULT_SOURCE
#include "results.h"

#include <fnmatch.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <tapegrad/plot.h>

const char *const side_names[SIDES] = { "primal", "plain", "expert", "peer", "eager", "program_1", "program", "emitted" };

bool side_is_ours(side s)
{
    return s >= SIDE_EAGER;
}

const char *row_id(const json *row, char id[ID])
{
    snprintf(id, ID, "%s/%s/%s/%s/%s", json_text(row, "bench", "-"), json_text(row, "name", "-"),
             json_text(row, "size", "-"), json_text(row, "type", "-"), json_text(row, "layout", "-"));
    return id;
}

static double of_side(const json *row, side s, const char *what)
{
    char key[40];
    snprintf(key, sizeof key, "%s_%s", side_names[s], what);
    return json_number(row, key, NAN);
}

/* ---- an earlier run ---------------------------------------------------------------------------- */

static const double tenth = 1.1;

static const json *row_of(const json *rows, const char *id)
{
    char other[ID];
    for (size_t i = 0; i < rows->count; i++)
        if (strcmp(row_id(&rows->item[i], other), id) == 0) return &rows->item[i];
    return NULL;
}

/* In what a side's times are counted: another side that both rows have and that is not ours; SIDES: in
   nanoseconds. */
static side unit_of(const json *row, const json *before)
{
    static const side units[] = { SIDE_EXPERT, SIDE_PEER, SIDE_PLAIN, SIDE_PRIMAL };
    for (int i = 0; i < 4; i++)
        if (of_side(row, units[i], "ns") > 0 && of_side(before, units[i], "ns") > 0) return units[i];
    return SIDES;
}

static bool compare_side(const char *id, const json *row, const json *before, side s)
{
    const side unit = unit_of(row, before);
    double change = of_side(row, s, "ns") / of_side(before, s, "ns");
    double spreads = of_side(row, s, "spread") + of_side(before, s, "spread");
    if (isnan(change)) return true;
    if (unit < SIDES) {
        change /= of_side(row, unit, "ns") / of_side(before, unit, "ns");
        spreads += of_side(row, unit, "spread") + of_side(before, unit, "spread");
    }
    const double bound = fmax(tenth, 1 + 2 * spreads);
    if (change <= bound && change >= 1 / bound) return true;
    printf("  %-50s %-10s %8.2f times as long%s\n", id, side_names[s], change, change > bound ? "  SLOWER" : "");
    return change <= bound;
}

static bool compare_amount(const char *id, const json *row, const json *before, const char *key, double some)
{
    const double now = json_number(row, key, NAN), then = json_number(before, key, NAN);
    if (!(now > tenth * then + some)) return true;
    printf("  %-50s %-10s %.4g, was %.4g  MORE\n", id, key, now, then);
    return false;
}

bool results_compare(const json *rows, const char *path)
{
    char id[ID];
    json *const before = json_read_file(path);
    if (!before) return false;
    int compared = 0, worse = 0;
    printf("\nagainst the baseline: what changed by more than a tenth and twice the spreads\n");
    const json *const first = rows->count ? &rows->item[0] : NULL;
    const json *const other = before->count ? &before->item[0] : NULL;
    static const char *const where[] = { "processor", "compiler", "flags" };
    for (int i = 0; i < 3; i++)
        if (strcmp(json_text(first, where[i], ""), json_text(other, where[i], "")) != 0)
            printf("  another %s: %s, was %s\n", where[i], json_text(first, where[i], ""), json_text(other, where[i], ""));
    for (size_t i = 0; i < rows->count; i++) {
        const json *const row = &rows->item[i], *const old = row_of(before, row_id(row, id));
        if (!old) continue;
        bool fine = compare_amount(id, row, old, "memory_bytes", 0);
        fine &= compare_amount(id, row, old, "allocations", 0.5);
        for (side s = SIDE_EAGER; s < SIDES; s++) fine &= compare_side(id, row, old, s);
        compared++;
        worse += !fine;
    }
    json_free(before);
    printf("  %d of %zu rows compared, %d worse\n", compared, rows->count, worse);
    return worse == 0 && compared > 0;
}

/* ---- the list of rows -------------------------------------------------------------------------- */

/* Whether a target's text, KEY<=NUMBER or KEY>=NUMBER, is met by row; prints it. */
static bool target_met(const json *row, const char *id, const char *target)
{
    char key[64], sign[3];
    double bound;
    if (sscanf(target, "%48[^<>]%2[<>=]%lf", key, sign, &bound) != 3) {
        printf("  %-58s %s: that is no target\n", id, target);
        return false;
    }
    const double is = json_number(row, key, NAN);
    const size_t end = strlen(key);
    strcpy(key + end, "_high"); /* the end of the interval, where there is one */
    const double high = *sign == '<' ? json_number(row, key, is) : is;
    key[end] = 0;
    const bool met = *sign == '<' ? high <= bound : is >= bound;
    char is_text[40] = "not measured";
    if (!isnan(is)) snprintf(is_text, sizeof is_text, high == is ? "%.4g" : "%.4g (%.4g)", is, high);
    printf("  %-58s %-26s %-20s %s\n", id, target, is_text, met ? "met" : "MISSED");
    if (!met && !reasons_print(id, key)) printf("      WITHOUT A REASON\n");
    return met;
}

static bool is_named(const char *id, int names, char **name)
{
    for (int i = 0; i < names; i++)
        if (strncmp(id, name[i], strlen(name[i])) == 0) return true;
    return names == 0;
}

typedef struct tally {
    int targets, met;
    bool ok, *known; /* of each row */
} tally;

static void read_line(const json *rows, char *line, int names, char **name, tally *t)
{
    char id[ID], *rest;
    line[strcspn(line, "#\n")] = 0;
    const char *pattern = strtok_r(line, " \t", &rest);
    if (!pattern) return;
    const bool optional = *pattern == '?';
    pattern += optional;
    size_t found = 0, last = 0;
    for (size_t i = 0; i < rows->count; i++) {
        if (fnmatch(pattern, row_id(&rows->item[i], id), 0) != 0) continue;
        t->known[last = i] = true;
        found++;
    }
    if (!found && !optional && is_named(pattern, names, name)) {
        printf("  %s: MISSING\n", pattern);
        t->ok = false;
    }
    if (!found) return;
    row_id(&rows->item[last], id);
    for (const char *target; (target = strtok_r(NULL, " \t", &rest));) {
        t->targets++;
        t->met += target_met(&rows->item[last], id, target);
    }
}

bool results_targets(const json *rows, const char *path, int names, char **name)
{
    FILE *const f = fopen(path, "r");
    if (!f) {
        perror(path);
        return false;
    }
    char line[1000], id[ID];
    tally t = { .ok = true, .known = calloc(rows->count + 1, sizeof *t.known) };
    if (!t.known) exit(1);
    printf("\ntargets; in brackets the upper end of the ratio's 95 %% interval, which counts\n");
    while (fgets(line, sizeof line, f)) read_line(rows, line, names, name, &t);
    fclose(f);
    for (size_t i = 0; i < rows->count; i++) {
        row_id(&rows->item[i], id);
        const bool wrong = json_get(&rows->item[i], "wrong");
        if (!t.known[i]) printf("  %s: UNKNOWN, it is not in %s\n", id, path);
        if (wrong) printf("  %s: WRONG, its sides disagree or its gradient is zero\n", id);
        const bool expert = !(json_number(&rows->item[i], "emitted/expert_high", 1) < 1);
        if (!expert) printf("  %s: NO EXPERT, the program's own C is faster than the side called that\n", id);
        t.ok &= t.known[i] && !wrong && expert;
    }
    printf("  %d of %d targets met, %zu rows\n", t.met, t.targets, rows->count);
    free(t.known);
    return t.ok;
}

/* ---- pictures ---------------------------------------------------------------------------------- */

enum { BARS = 8, PANELS = 11, NAME = 80 };

/* A side's ratio to the side by hand: plain, or expert where there is no other; NAN if there is none. */
static double to_hand(const json *row, side s)
{
    char key[40];
    snprintf(key, sizeof key, "%s/plain", side_names[s]);
    const double plain = json_number(row, key, NAN);
    snprintf(key, sizeof key, "%s/expert", side_names[s]);
    return isnan(plain) ? json_number(row, key, NAN) : plain;
}

static bool has_bars(const json *row)
{
    return to_hand(row, SIDE_EAGER) > 0 || to_hand(row, SIDE_PROGRAM) > 0;
}

static int panels_of_bars(const json *rows)
{
    int n = 0;
    for (size_t i = 0; i < rows->count; i++) n += has_bars(&rows->item[i]);
    const int panels = (n + BARS - 1) / BARS;
    return panels < PANELS ? panels : PANELS;
}

/* Bars of eager and program beside each other, for the next rows that have them, from *next on. */
static void draw_ratios(tg_plot *p, const json *rows, size_t *next)
{
    static char name[BARS][NAME];
    const char *names[BARS];
    double x[2][BARS], y[2][BARS], least = 0.1, most = 10; /* 1 is inside */
    int n = 0;
    for (; *next < rows->count && n < BARS; ++*next) {
        const json *const row = &rows->item[*next];
        if (!has_bars(row)) continue;
        snprintf(name[n], NAME, "%s\n%s\n%s %s", json_text(row, "name", ""), json_text(row, "size", ""),
                 json_text(row, "type", ""), json_text(row, "layout", ""));
        names[n] = name[n];
        for (int i = 0; i < 2; i++) {
            x[i][n] = n + 0.4 * i - 0.2;
            y[i][n] = to_hand(row, i ? SIDE_PROGRAM : SIDE_EAGER);
            while (y[i][n] < least) least /= 10;
            while (y[i][n] > most) most *= 10;
        }
        n++;
    }
    tg_plot_panel(p, &(tg_plot_axes){ .x = " ", .y = "times by hand", .log_y = true, .x0 = -0.6, .x1 = BARS - 0.4, .y0 = least, .y1 = most,
                                      .x_names = names, .x_count = n, .key = TG_KEY_OUTSIDE });
    for (int i = 0; i < 2; i++)
        tg_plot_bars(p, n, x[i], y[i], &(tg_plot_style){ .label = i ? "program" : "eager", .width = 0.36 });
    tg_plot_line(p, 2, (const double[]){ -0.6, BARS - 0.4 }, (const double[]){ 1, 1 }, &(tg_plot_style){ .dashed = true });
}

/* Cost against size, a line for each name and layout of the rows with a fitted exponent. */
static void draw_growth(tg_plot *p, const json *rows)
{
    enum { POINTS = 64 };
    bool begun = false;
    for (size_t i = 0; i < rows->count; i++) {
        const json *const fit = &rows->item[i];
        if (isnan(json_number(fit, "cost_exponent", NAN))) continue;
        double x[POINTS], y[POINTS];
        int n = 0;
        char label[100];
        for (size_t k = 0; k < i && n < POINTS; k++) {
            const json *const row = &rows->item[k];
            bool same = true;
            static const char *const of[] = { "bench", "name", "layout" };
            for (int t = 0; t < 3; t++) same &= strcmp(json_text(row, of[t], ""), json_text(fit, of[t], "")) == 0;
            const double eager = of_side(row, SIDE_EAGER, "ns");
            const double ns = isnan(eager) ? of_side(row, SIDE_PROGRAM, "ns") : eager;
            if (!same || !(ns > 0)) continue;
            x[n] = strtod(json_text(row, "size", "0"), NULL);
            y[n++] = ns;
        }
        snprintf(label, sizeof label, "%s %s: exponent %.2f", json_text(fit, "name", ""), json_text(fit, "layout", ""),
                 json_number(fit, "cost_exponent", 0));
        if (!begun)
            tg_plot_panel(p, &(tg_plot_axes){ .title = "cost against size", .x = "size", .y = "ns", .log_x = true,
                                              .log_y = true, .key = TG_KEY_BELOW });
        begun = true;
        tg_plot_line(p, n, x, y, &(tg_plot_style){ .label = label, .size = 0.6 });
    }
}

bool results_plot(const json *rows, const char *path)
{
    tg_status status;
    const int panels = panels_of_bars(rows);
    tg_plot *const p = tg_plot_new(&(tg_plot_options){ .rows = panels + 1, .columns = 1, .width = 1500, .height = 400,
                                                       .title = "gradients against the same by hand" });
    size_t next = 0;
    for (int i = 0; i < panels; i++) draw_ratios(p, rows, &next);
    draw_growth(p, rows);
    const bool ok = tg_plot_write(p, path, &status);
    if (!ok) fprintf(stderr, "%s\n", status.message);
    tg_plot_free(p);
    return ok;
}

bool results_write(const json *rows, const char *path)
{
    FILE *const f = fopen(path, "w");
    if (f) json_write(rows, f, true);
    if (f && fclose(f) == 0) return true;
    perror(path);
    return false;
}
