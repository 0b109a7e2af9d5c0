/* GradBench's protocol:

       driver                        messages on standard input, answers on standard output, a line each
       driver MODULE FILE FUNCTION   one input: prints the output, then a line for each time that was taken

   A message is a JSON object with id and kind: start, define (module), evaluate (module, function, input),
   analysis. The input may say min_runs and min_seconds. */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../timing.h"
#include "driver.h"

/* ---- for the functions ------------------------------------------------------------------------- */

void refuse(work *k, const char *why)
{
    if (!*k->error) snprintf(k->error, sizeof k->error, "%s", why);
}

double number_of(work *k, const json *input, const char *key)
{
    const double x = json_number(input, key, NAN);
    char text[100];
    snprintf(text, sizeof text, "the input has no number %s", key);
    if (isnan(x)) refuse(k, text);
    return x;
}

static double *flatten(const json *j, double *to)
{
    if (j->kind == JSON_NUMBER) *to++ = j->number;
    for (size_t i = 0; i < j->count; i++) to = flatten(&j->item[i], to);
    return to;
}

static bool has_shape(const json *j, int rank, const int64_t *dim)
{
    if (rank == 0) return j->kind == JSON_NUMBER;
    if (j->kind != JSON_LIST || (int64_t)j->count != *dim) return false;
    for (size_t i = 0; i < j->count; i++)
        if (!has_shape(&j->item[i], rank - 1, dim + 1)) return false;
    return true;
}

tg_value tensor(work *k, tg_leaf kind, const json *j)
{
    int64_t dim[4], n = 1;
    int rank = 0;
    for (const json *inner = j; inner && inner->kind == JSON_LIST && rank < 4; rank++) {
        n *= dim[rank] = (int64_t)inner->count;
        inner = inner->count ? inner->item : NULL;
    }
    if (!j || (n > 0 && !has_shape(j, rank, dim))) {
        refuse(k, "the input lacks an array, or it is no array of numbers");
        return tg_scalar_new(k->tape, 0, NULL);
    }
    double *const x = room((size_t)n + 1, sizeof *x);
    flatten(j, x);
    const tg_value v = tg_leaf_new(k->tape, kind, TG_F64, x, rank, dim, NULL);
    free(x);
    return v;
}

void result_of(work *k, int64_t rows, int64_t columns)
{
    k->rows = rows, k->columns = columns;
    free(k->out);
    k->out = room((size_t)((rows ? rows : 1) * (columns ? columns : 1)), sizeof *k->out);
}

json *add_numbers(json *to, const char *key, const double *x, int64_t rows, int64_t columns)
{
    json *const list = json_add(to, key, JSON_LIST);
    for (int64_t i = 0; i < (rows ? rows : columns); i++) {
        if (rows) add_numbers(list, NULL, x + i * columns, 0, columns);
        else json_add_number(list, NULL, x[i]);
    }
    return list;
}

void write_result(const work *k, json *message)
{
    if (!k->rows && !k->columns) json_add_number(message, "output", *k->out);
    else add_numbers(message, "output", k->out, k->rows, k->columns);
}

bool is_fine(work *k, const tg_status *status)
{
    const tg_error *const e = tg_error_of(k->tape);
    if (e) refuse(k, e->message);
    if (status && status->code) refuse(k, status->message);
    return !*k->error;
}

void make_room(work *k)
{
    tg_status status = { 0 };
    k->room = tg_workspace_new(k->program, 1, &status);
    is_fine(k, &status);
}

/* Where leaves are, and where gradients go. */
static void point(work *k, int inputs)
{
    double *to = k->out;
    k->to[0] = &k->value;
    for (int i = 0; i < k->leaves; to += tg_size(k->leaf[i++])) {
        k->in[inputs + i] = tg_data(k->leaf[i]);
        k->to[1 + i] = to;
    }
}

void compile_work(work *k, tg_value y, bool gradient)
{
    tg_status status = { 0 };
    if (!is_fine(k, NULL)) return;
    tg_program *const p = tg_compile(&y, 1, NULL, 0, k->leaf, k->leaves, NULL, &status);
    k->program = p && gradient ? tg_gradient_program(p, NULL, &status) : p;
    if (gradient) tg_program_free(p);
    if (!is_fine(k, &status)) return;
    k->count = 1;
    point(k, 0);
    if (!gradient) k->to[0] = k->out;
    make_room(k);
}

void compile_points(work *k, tg_value y, const tg_value *batch, const tg_value *data, int n, int64_t count,
                    bool second)
{
    tg_status status = { 0 };
    if (!is_fine(k, NULL)) return;
    tg_program *const p = tg_compile(&y, 1, batch, n, k->leaf, k->leaves, NULL, &status);
    const tg_gradient_options both = { .with_gradient = true };
    if (p) k->program = second ? tg_hvp_program(p, &both, &status) : tg_gradient_program(p, NULL, &status);
    tg_program_free(p);
    if (!is_fine(k, &status)) return;
    k->count = count;
    for (int i = 0; i < n; i++) k->in[i] = tg_data(data[i]);
    point(k, n);
    if (second) {
        const int64_t size = tg_size(k->leaf[0]);
        double *const ones = k->own = room((size_t)size + 1, sizeof *ones);
        for (int64_t i = 0; i < size; i++) ones[i] = 1;
        k->in[n + 1] = ones;
        k->to[2] = k->out + size;
    }
    make_room(k);
}

void run_work(work *k)
{
    tg_status status = { 0 };
    if (!tg_run_with(k->program, k->room, k->count, k->in, k->to, &k->options, &status)) is_fine(k, &status);
}

/* ---- one evaluation ---------------------------------------------------------------------------- */

static const function *find(const char *module, const char *name)
{
    const function *const lists[] = { functions_of_models, functions_of_scenes };
    for (int i = 0; i < 2; i++)
        for (const function *f = lists[i]; f->module; f++)
            if (strcmp(f->module, module) == 0 && (!name || strcmp(f->name, name) == 0)) return f;
    return NULL;
}

static void add_timing(json *timings, const char *name, double ns)
{
    json *const t = json_add(timings, NULL, JSON_OBJECT);
    json_add_text(t, "name", name);
    json_add_number(t, "nanoseconds", round(ns));
}

/* Adds output and timings, or error. */
static bool evaluate(const function *f, const json *input, json *answer)
{
    const double runs = json_number(input, "min_runs", 1), seconds = json_number(input, "min_seconds", 0);
    json *const timings = json_new(JSON_LIST);
    work k = { .tape = tg_tape_new(NULL) };
    const double start = wall_ns();
    f->prepare(&k, input);
    if (is_fine(&k, NULL) && f->compile) f->compile(&k);
    is_fine(&k, NULL);
    add_timing(timings, "prepare", wall_ns() - start);
    double elapsed = 0;
    for (int i = 0; !*k.error && (i < runs || elapsed < seconds * 1e9); i++) {
        const double begun = wall_ns();
        f->run(&k);
        const double ns = wall_ns() - begun;
        elapsed += ns;
        add_timing(timings, "evaluate", ns);
    }
    const bool ok = !*k.error;
    if (ok) {
        f->write(&k, answer);
        json *const list = json_add(answer, "timings", JSON_LIST);
        const json empty = *list;
        *list = *timings;
        list->key = empty.key;
        *timings = (json){ 0 };
    } else {
        json_add_text(answer, "error", k.error);
    }
    json_free(timings);
    if (f->stop) f->stop(&k);
    tg_workspace_free(k.room);
    tg_program_free(k.program);
    tg_program_free(k.inner);
    tg_tape_free(k.tape);
    free(k.out);
    return ok;
}

/* ---- messages ---------------------------------------------------------------------------------- */

static void add_truth(json *answer, const char *key, bool value)
{
    json_add(answer, key, value ? JSON_TRUE : JSON_FALSE);
}

static void answer_to(const json *message, json *answer)
{
    const char *const kind = json_text(message, "kind", ""), *const module = json_text(message, "module", "");
    json_add_number(answer, "id", json_number(message, "id", 0));
    if (strcmp(kind, "start") == 0) {
        json_add_text(answer, "tool", "tapegrad");
    } else if (strcmp(kind, "define") == 0) {
        const bool there = find(module, NULL);
        add_truth(answer, "success", there);
        if (!there) json_add_text(answer, "error", "there is no such module");
    } else if (strcmp(kind, "evaluate") == 0) {
        const function *const f = find(module, json_text(message, "function", ""));
        const json *const input = json_get(message, "input");
        json_add(answer, "success", JSON_FALSE);
        if (!f || !input) json_add_text(answer, "error", !f ? "there is no such function" : "there is no input");
        else if (evaluate(f, input, answer)) answer->item[1].kind = JSON_TRUE;
    }
}

/* What is no JSON has no id that could be repeated. */
static void answer_nonsense(size_t where, json *answer)
{
    char text[64];
    snprintf(text, sizeof text, "no JSON at character %zu", where);
    json_add(answer, "id", JSON_NULL);
    json_add(answer, "success", JSON_FALSE);
    json_add_text(answer, "error", text);
}

static int session(void)
{
    char *line = NULL;
    size_t length = 0, where;
    while (getline(&line, &length, stdin) > 0) {
        json *const message = json_read(line, &where), *const answer = json_new(JSON_OBJECT);
        if (message) answer_to(message, answer);
        else answer_nonsense(where, answer);
        json_write(answer, stdout, false);
        fflush(stdout);
        json_free(message);
        json_free(answer);
    }
    free(line);
    return 0;
}

static int one_file(const char *module, const char *path, const char *name)
{
    const function *const f = find(module, name);
    json *const input = json_read_file(path);
    if (!f) fprintf(stderr, "%s %s: there is no such function\n", module, name);
    if (!f || !input) return json_free(input), 1;
    json *const answer = json_new(JSON_OBJECT);
    const bool ok = evaluate(f, input, answer);
    if (ok) {
        const json *const timings = json_get(answer, "timings");
        json_write(json_get(answer, "output"), stdout, false);
        for (size_t i = 0; i < timings->count; i++) json_write(&timings->item[i], stdout, false);
    } else {
        fprintf(stderr, "%s\n", json_text(answer, "error", ""));
    }
    json_free(input);
    json_free(answer);
    return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
    tg_set_error_handler(tg_ignore_error, NULL);
    if (argc == 1) return session();
    if (argc == 4) return one_file(argv[1], argv[2], argv[3]);
    fprintf(stderr, "usage: %s [MODULE FILE FUNCTION]\n", argv[0]);
    return 2;
}
