/* Gradient checks as a program of their own, without any test framework: rows of a table, and TAP
   (the Test Anything Protocol, version 13), which Meson, prove and others read.

       #include <tapegrad/tap.h>

       static const tg_check_case cases[] = {
           { "loss", .f = loss, .gradient = loss_gradient, .x = x, .n = 6 },
       };

       int main(void) { return TG_TAP(cases); }

   In meson.build: test('gradients', program, protocol: 'tap'). */
#ifndef TAPEGRAD_TAP_H
#define TAPEGRAD_TAP_H

#include <stdio.h>
#include <tapegrad/check.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A name and the report, each line a comment of TAP. */
static inline void tg__tap_explain(FILE *file, const char *name, const tg_check_report *report)
{
    char text[TG_CHECK_TEXT];
    tg_check_describe(report, text, sizeof text);
    fprintf(file, "# %s: ", name);
    for (const char *p = text; *p; p++) {
        fputc(*p, file);
        if (*p == '\n') fputs("# ", file);
    }
    fputc('\n', file);
}

/* Runs all n rows: writes lines of TAP to tap, and why a row failed to why (the same file, if you
   like). Returns the number that failed. */
static inline int tg_tap_to(FILE *tap, FILE *why, const tg_check_case *rows, size_t n)
{
    int failed = 0;
    fprintf(tap, "TAP version 13\n1..%zu\n", n);
    for (size_t i = 0; i < n; i++) {
        tg_check_report report;
        const char *const name = rows[i].name ? rows[i].name : "unnamed";
        const bool right = tg_check_run(&rows[i], &report);
        fprintf(tap, "%s %zu - %s\n", right ? "ok" : "not ok", i + 1, name);
        fflush(tap);
        if (!right) tg__tap_explain(why, name, &report);
        failed += !right;
    }
    return failed;
}

/* A whole main: TAP on stdout, reasons on stderr, where meson test --print-errorlogs and prove show
   them. The exit status is 1 if anything failed. */
#define TG_TAP(ROWS) (tg_tap_to(stdout, stderr, (ROWS), sizeof(ROWS) / sizeof(ROWS)[0]) > 0)

#ifdef __cplusplus
}
#endif
#endif
