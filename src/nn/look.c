/* Looking at a net from outside: the check of its gradients, and its summary. */
#include "inner.h"

#include <stdlib.h>
#include <string.h>

#include <tapegrad/ops.h>
#include <tapegrad/tape.h>

/* ---- the gradient check ---------------------------------------------------------------------- */

typedef struct checked {
    tg_nn *net;
    tg_nn_loss *loss;
    void *user;
} checked;

/* The loss with the parameters that the check gives. */
static tg_value model(tg_tape *tape, const tg_value *parameters, void *user)
{
    const checked *const c = user;
    const int n = tg_nn_count(c->net);
    for (int i = 0; i < n; i++) c->net->value[i] = parameters[i];
    c->net->tape = tape;
    return c->loss(c->net, tape, c->user);
}

static bool says(tg_check_report *report, const char *why)
{
    if (report) {
        *report = (tg_check_report){ .verdict = TG_FAILED };
        snprintf(report->message, sizeof report->message, "%s", why);
    }
    return false;
}

/* The parameters as inputs of the check. Their data are one allocation, that of the first. */
static bool as_inputs(const tg_nn *net, tg_check_input *input, int n)
{
    double *data = malloc(((size_t)tg_nn_size(net) + 1) * sizeof *data);
    for (int i = 0; data && i < n; i++) {
        const tg_value v = net->value[i];
        const int64_t size = tg_size(v);
        if (size < 0 || !tg_read(v, data, (size_t)size)) {
            free((void *)(uintptr_t)(i ? input[0].data : data));
            return false;
        }
        input[i] = (tg_check_input){ .name = tg_nn_name(net, i), .data = data, .rank = tg_rank(v) };
        for (int k = 0; k < input[i].rank; k++) input[i].shape[k] = tg_dim(v, k);
        data += size;
    }
    return data;
}

bool tg_nn_gradcheck(tg_nn *net, tg_nn_loss *loss, void *user, const tg_check_options *options,
                     tg_check_report *report)
{
    if (!net || !loss || net->parent || !net->built)
        return says(report, "no loss, or no net that is built and belongs to no other");
    const int n = tg_nn_count(net);
    if (n == 0) return says(report, "the net has no parameters");
    tg_check_input *const input = calloc((size_t)n, sizeof *input);
    tg_value *const own = malloc((size_t)n * sizeof *own);
    const bool ready = input && own && as_inputs(net, input, n);
    bool right = false;
    if (ready) {
        tg_tape *const tape = net->tape;
        memcpy(own, net->value, (size_t)n * sizeof *own);
        net->still = true;
        right = tg_gradcheck(model, &(checked){ net, loss, user }, input, n, options, report);
        net->still = false;
        memcpy(net->value, own, (size_t)n * sizeof *own);
        net->tape = tape;
        free((void *)(uintptr_t)input[0].data);
    }
    free(input);
    free(own);
    return ready ? right : says(report, "the parameters cannot be read, or there is no memory");
}

/* ---- the summary ----------------------------------------------------------------------------- */

enum { COLUMN = 24 };

static void forget_shapes(tg_nn *l)
{
    l->rank = -1;
    for (int i = 0; i < l->layers; i++)
        if (l->layer[i]) forget_shapes(l->layer[i]);
}

/* A run that leaves nothing behind but the shapes. */
static bool see_shapes(tg_nn *net, tg_value x)
{
    const tg_mark mark = tg_tape_mark(x.tape);
    net->still = true;
    tg_no_grad_begin(x.tape);
    const tg_value y = tg_nn_forward_at(net, x, NULL);
    tg_no_grad_end(x.tape);
    net->still = false;
    tg_release(mark);
    return y.generation;
}

/* The width of the first column: that of the longest path. */
static int widest(const tg_nn *l)
{
    int most = l->path ? (int)strlen(l->path) : 0;
    for (int i = 0; i < l->layers; i++) {
        const int inside = l->layer[i] ? widest(l->layer[i]) : 0;
        most = inside > most ? inside : most;
    }
    return most;
}

static bool put_row(const tg_nn *l, FILE *file, int width)
{
    char shape[COLUMN * TG_MAX_RANK] = "";
    size_t used = 0;
    for (int i = 0; i < l->rank; i++)
        used += (size_t)snprintf(shape + used, sizeof shape - used, i ? ", %lld" : "(%lld",
                                 (long long)l->shape[i]);
    if (l->rank >= 0) snprintf(shape + used, sizeof shape - used, l->rank ? ")" : "()");
    long long own = 0;
    for (int i = 0; i < l->parameters; i++) {
        long long n = 1;
        for (int k = 0; k < l->parameter[i].rank; k++) n *= l->parameter[i].shape[k];
        own += n;
    }
    bool ok = fprintf(file, "%-*s  %-12s  %-20s %10lld\n", width, l->path ? l->path : "", l->kind,
                      shape, own) >= 0;
    for (int i = 0; ok && i < l->layers; i++)
        ok = !l->layer[i] || put_row(l->layer[i], file, width);
    return ok;
}

bool tg_nn_summary(tg_nn *net, FILE *file, tg_value x)
{
    if (!net || !file) return false;
    forget_shapes(net);
    if (x.tape && tg__nn_root(net)->built && !see_shapes(net, x)) return false;
    const int longest = widest(net), width = longest > 5 ? longest : 5;
    return fprintf(file, "%-*s  %-12s  %-20s %10s\n", width, "layer", "kind", "output",
                   "parameters") >= 0 &&
           put_row(net, file, width) &&
           fprintf(file, "%d tensors, %lld parameters\n", tg_nn_count(net),
                   (long long)tg_nn_size(net)) >= 0;
}
