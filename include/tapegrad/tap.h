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

/* The report below a line of TAP: each of its lines a comment. */
static inline void tg__tap_explain(FILE *file, const tg_check_report *report)
{
    char text[TG_CHECK_TEXT];
    tg_check_describe(report, text, sizeof text);
    fputs("# ", file);
    for (const char *p = text; *p; p++) {
        fputc(*p, file);
        if (*p == '\n') fputs("# ", file);
    }
    fputc('\n', file);
}

/* Runs all n rows and writes what came out. Returns the number that failed. */
static inline int tg_tap_to(FILE *file, const tg_check_case *rows, size_t n)
{
    int failed = 0;
    fprintf(file, "TAP version 13\n1..%zu\n", n);
    for (size_t i = 0; i < n; i++) {
        tg_check_report report;
        const bool right = tg_check_run(&rows[i], &report);
        fprintf(file, "%s %zu - %s\n", right ? "ok" : "not ok", i + 1,
                rows[i].name ? rows[i].name : "unnamed");
        if (!right) tg__tap_explain(file, &report);
        failed += !right;
    }
    fflush(file);
    return failed;
}

/* A whole main: the exit status is 1 if anything failed. */
#define TG_TAP(ROWS) (tg_tap_to(stdout, (ROWS), sizeof(ROWS) / sizeof(ROWS)[0]) > 0)

#ifdef __cplusplus
}
#endif
#endif
