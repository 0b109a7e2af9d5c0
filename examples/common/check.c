/* Checks: see check.h. */
#include "common/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/cli.h"

static void report_check(bool right, const tg_check_report *report)
{
    if (!right) fail("gradient check: %s", report->message);
    printf("gradient check: %zu derivatives agree, the worst to %.1e", report->checked,
           report->relative_error);
    printf(report->kinks ? " (%zu left out at kinks)\n" : "\n", report->kinks);
}

void check_gradients(tg_model *model, void *user, const tg_check_input *inputs, int n)
{
    tg_check_report report;
    report_check(tg_gradcheck(model, user, inputs, n, NULL, &report), &report);
}

void check_net(tg_nn *net, tg_nn_loss *loss, void *user, size_t directions)
{
    const tg_check_options options = { .directions = directions };
    tg_check_report report;
    report_check(tg_nn_gradcheck(net, loss, user, &options, &report), &report);
}

void check_parameters(tg_model *model, void *user, const tg_value *leaf, int n,
                      const tg_check_options *options)
{
    tg_check_input *inputs = allocate((size_t)n, sizeof *inputs);
    double **values = allocate((size_t)n, sizeof *values);
    for (int i = 0; i < n; i++) {
        const size_t size = (size_t)tg_size(leaf[i]);
        values[i] = allocate(size, sizeof(double));
        if (!tg_read(leaf[i], values[i], size)) exit(EXIT_FAILURE);
        inputs[i] = (tg_check_input){ tg_name_of(leaf[i]), values[i], tg_rank(leaf[i]), { 0 } };
        for (int k = 0; k < inputs[i].rank; k++) inputs[i].shape[k] = tg_dim(leaf[i], k);
    }
    tg_check_report report;
    report_check(tg_gradcheck(model, user, inputs, n, options, &report), &report);
    for (int i = 0; i < n; i++) free(values[i]);
    free(values);
    free(inputs);
}

void check_figure(const char *what, double value, double expected, double within)
{
    if (!(fabs(value - expected) <= within))
        fail("%s is %.15g, and should be %.15g within %g", what, value, expected, within);
}

void check_accuracy(double accuracy, double required)
{
    if (accuracy < required)
        fail("the test accuracy %.4f is below the required %.4f", accuracy, required);
}
