#define _POSIX_C_SOURCE 200809L
#include "emitting.h"

#include <tapegrad.h>

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* gcc reads a file again up to each place whose indentation it judges: files have to be small. */
enum { PIECE = 1 << 17 };

/* A source that grows, in pieces 0.c, 1.c, ... */
typedef struct source {
    char folder[64];
    FILE *file;
    int pieces;
    entry *list;
    size_t n, room, checks;
    char *text;
} source;

static source src;

static void begin_piece(void)
{
    char path[96];
    snprintf(path, sizeof path, "%s/%d.c", src.folder, src.pieces++);
    src.file = fopen(path, "w");
    cr_assert(src.file);
}

void begin_emitted(void)
{
    tg_set_error_handler(tg_ignore_error, NULL);
    src = (source){ .folder = "/tmp/tapegrad_emit_XXXXXX" };
    cr_assert(mkdtemp(src.folder), "no folder for temporary files");
    begin_piece();
    setenv("CCACHE_DISABLE", "1", 1);
}

const char *last_emitted(void)
{
    return src.text;
}

/* A function that takes the arguments of any. */
static void write_caller(const entry *e, size_t number)
{
    char returns[40];
    snprintf(returns, sizeof returns, "bool f%zu(", number);
    const bool may_fail = strstr(src.text, returns), draws = strstr(src.text, "uint64_t run,");
    fprintf(src.file, "_Bool call%zu(int64_t n, uint64_t run, void *const *x, void *const *y);\n"
                      "_Bool call%zu(int64_t n, uint64_t run, void *const *x, void *const *y)\n{\n"
                      "    (void)x;\n    (void)run;\n    %sf%zu(n%s",
            number, number, may_fail ? "return " : "", number, draws ? ", run" : "");
    for (int i = 0; i < e->inputs; i++) fprintf(src.file, ", x[%d]", i);
    for (int i = 0; i < e->outputs; i++) fprintf(src.file, ", y[%d]", i);
    fprintf(src.file, ");\n%s}\n\n", may_fail ? "" : "    return 1;\n");
    cr_expect(!e->fails || may_fail, "%s: it cannot say that it fails", e->text);
}

void describe(entry *e, tg_program *p, tg_type type, int instances)
{
    e->program = p;
    e->instances = instances;
    e->inputs = tg_program_inputs(p);
    e->outputs = tg_program_outputs(p);
    cr_assert(e->inputs <= EMITTED_MOST && e->outputs <= EMITTED_MOST);
    for (int i = 0; i < e->outputs; i++) {
        bool each = false;
        e->size[i] = (size_t)tg_program_output_size(p, i, &each) * (size_t)(each ? instances : 1);
        e->type[i] = type;
    }
}

static void free_entry(const entry *e)
{
    for (int i = 0; i < e->outputs; i++) free(e->expected[i]);
    for (int i = 0; i < e->inputs; i++) free(e->input[i]), free(e->after[i]);
    tg_program_free(e->program);
}

static size_t type_size(tg_type type)
{
    return type == TG_F32 ? 4 : 8;
}

/* The inputs, with copies of those that may be written. */
static void copy_states(const entry *e, void **to)
{
    for (int i = 0; i < e->inputs; i++) {
        const size_t bytes = e->state[i] * type_size(e->type[0]);
        to[i] = e->state[i] ? malloc(bytes) : e->input[i];
        if (e->state[i]) memcpy(to[i], e->input[i], bytes);
    }
}

static bool run(entry *e, tg_status *status)
{
    void *input[EMITTED_MOST];
    copy_states(e, input);
    for (int i = 0; i < e->inputs; i++) e->after[i] = e->state[i] ? input[i] : NULL;
    for (int i = 0; i < e->outputs; i++) e->expected[i] = calloc(e->size[i] + 1, sizeof(double));
    tg_workspace *const w = tg_workspace_new(e->program, 1, status);
    const bool ok = w && tg_run_with(e->program, w, e->instances, (const void *const *)input, e->expected,
                                     &(tg_run_options){ .run = e->run }, status);
    tg_workspace_free(w);
    return ok;
}

bool add_entry(entry e, tg_status *status)
{
    char name[32];
    size_t size;
    snprintf(name, sizeof name, "f%zu", src.n);
    const bool ok = run(&e, status);
    cr_expect(ok == !e.fails, "%s: %s", e.text, ok ? "the run does not fail" : status->message);
    *status = (tg_status){ .code = TG_OK };
    free(src.text);
    FILE *const text = open_memstream(&src.text, &size);
    bool written = ok == !e.fails && tg_program_emit_c(e.program, name, text, status);
    fclose(text);
    if (!written) {
        free_entry(&e);
        return false;
    }
    if (ftell(src.file) > PIECE) {
        fclose(src.file);
        begin_piece();
    }
    fputs(src.text, src.file);
    write_caller(&e, src.n);
    if (src.n == src.room) {
        src.room = 2 * src.room + 256;
        src.list = realloc(src.list, src.room * sizeof *src.list);
        cr_assert(src.list);
    }
    src.list[src.n++] = e;
    return true;
}

static double element(const void *p, tg_type type, size_t i)
{
    if (type == TG_I64) return (double)((const int64_t *)p)[i];
    return type == TG_F32 ? (double)((const float *)p)[i] : ((const double *)p)[i];
}

/* The largest of all outputs: a sum may cancel. */
static double largest_of(const entry *e)
{
    double largest = 0;
    for (int j = 0; j < e->outputs; j++)
        for (size_t i = 0; i < e->size[j]; i++) {
            const double x = element(e->expected[j], e->type[j], i);
            if (isfinite(x)) largest = fmax(largest, fabs(x));
        }
    return largest;
}

static void compare(const entry *e, const char *what, int number, tg_type type, size_t n,
                    const void *expected, const void *got)
{
    const double most = e->bound * largest_of(e);
    for (size_t i = 0; i < n; i++, src.checks++) {
        const double x = element(got, type, i), y = element(expected, type, i);
        const bool agree = x == y || (isnan(x) && isnan(y)) || fabs(x - y) <= most;
        cr_expect(agree, "%s: %s %d, element %zu is %.17g in C, in the program %.17g", e->text, what,
                  number, i, x, y);
        if (!agree) return;
    }
}

typedef bool caller(int64_t n, uint64_t run, void *const *x, void *const *y);

static void check_entry(void *library, size_t number)
{
    const entry *const e = &src.list[number];
    char name[32];
    snprintf(name, sizeof name, "call%zu", number);
    caller *call;
    *(void **)&call = dlsym(library, name);
    cr_assert(call, "%s", dlerror());
    void *got[EMITTED_MOST], *input[EMITTED_MOST];
    copy_states(e, input);
    for (int i = 0; i < e->outputs; i++) got[i] = calloc(e->size[i] + 1, sizeof(double));
    const bool ok = call(e->instances, e->run, input, got);
    cr_expect(ok == !e->fails, "%s: %s", e->text, ok ? "it does not fail in C" : "it fails in C");
    src.checks++;
    for (int i = 0; i < e->outputs && ok && !e->fails; i++)
        compare(e, "output", i, e->type[i], e->size[i], e->expected[i], got[i]);
    for (int i = 0; i < e->inputs; i++)
        if (e->state[i]) compare(e, "state", i, e->type[0], e->state[i], e->after[i], input[i]);
    for (int i = 0; i < e->outputs; i++) free(got[i]);
    for (int i = 0; i < e->inputs; i++)
        if (e->state[i]) free(input[i]);
}

/* By every compiler; the first one's code is what is run. */
static bool compile(void)
{
    static const char *const compilers[] = { TG_COMPILERS };
    char command[400];
    bool compiled = true;
    for (size_t i = 0; i < sizeof compilers / sizeof *compilers; i++) {
        snprintf(command, sizeof command,
                 "cd %s && %s -std=c17 -pedantic -Wall -Wextra -Wshadow -Wconversion -Werror "
                 "-Wno-missing-prototypes -ffp-contract=off %s *.c%s",
                 src.folder, compilers[i], i ? "-fsyntax-only" : "-shared -fPIC -o all.so", i ? "" : " -lm");
        const bool clean = system(command) == 0;
        cr_expect(clean, "%s: %s", compilers[i], command);
        compiled &= i > 0 || clean;
    }
    return compiled;
}

static void remove_emitted(void)
{
    char path[96];
    snprintf(path, sizeof path, "%s/all.so", src.folder);
    unlink(path);
    for (int i = 0; i < src.pieces; i++) {
        snprintf(path, sizeof path, "%s/%d.c", src.folder, i);
        unlink(path);
    }
    rmdir(src.folder);
}

void check_emitted(void)
{
    char library[96];
    fclose(src.file);
    snprintf(library, sizeof library, "%s/all.so", src.folder);
    const bool compiled = compile();
    void *const handle = compiled ? dlopen(library, RTLD_NOW) : NULL;
    if (compiled) cr_assert(handle, "%s", dlerror());
    for (size_t i = 0; handle && i < src.n; i++) check_entry(handle, i);
    for (size_t i = 0; i < src.n; i++) free_entry(&src.list[i]);
    if (handle) dlclose(handle);
    if (compiled && !getenv("TG_KEEP_EMITTED")) remove_emitted();
    fprintf(stderr, "# %s: %zu functions, %zu checks\n", criterion_current_test->name, src.n, src.checks);
    cr_expect(src.checks > 0, "nothing was checked");
    free(src.list);
    free(src.text);
}
