/* Checks: see check.h. */
#include "common/check.h"

#include <math.h>
#include <stdio.h>

#include "common/cli.h"

void check_gradients(tg_model *model, void *user, const tg_check_input *inputs, int n)
{
    tg_check_report report;
    if (!tg_gradcheck(model, user, inputs, n, NULL, &report))
        fail("gradient check: %s", report.message);
    printf("gradient check: %zu derivatives agree, the worst to %.1e", report.checked,
           report.relative_error);
    printf(report.kinks ? " (%zu left out at kinks)\n" : "\n", report.kinks);
}

void check_figure(const char *what, double value, double expected, double within)
{
    if (!(fabs(value - expected) <= within))
        fail("%s is %.15g, and should be %.15g within %g", what, value, expected, within);
}
