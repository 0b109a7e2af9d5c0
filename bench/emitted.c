/* Programs as C: see emitted.h. */
#define _DEFAULT_SOURCE
#include "emitted.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct emitted {
    void *library;
    bool (*call)(int64_t count, const void *const *inputs, void *const *outputs);
};

/* A call of the program's C, its arguments out of arrays. */
static void write_call(const tg_program *p, FILE *f)
{
    fprintf(f, "emitted(n");
    for (int i = 0; i < tg_program_inputs(p); i++) fprintf(f, ", x[%d]", i);
    for (int i = 0; i < tg_program_outputs(p); i++) fprintf(f, ", y[%d]", i);
    fprintf(f, ")");
}

/* The program's C, which returns nothing if it cannot fail, and a function that calls it and says whether it did. */
static bool write_source(const tg_program *p, const char *path)
{
    FILE *const f = fopen(path, "w");
    if (!f) return false;
    bool ok = tg_program_emit_c(p, "emitted", f, NULL);
    fprintf(f, "\n_Bool call(int64_t n, const void *const *x, void *const *y);\n"
               "_Bool call(int64_t n, const void *const *x, void *const *y)\n{\n"
               "    return __builtin_choose_expr(__builtin_types_compatible_p(__typeof__(");
    write_call(p, f);
    fprintf(f, "), void), (");
    write_call(p, f);
    fprintf(f, ", 1), ");
    write_call(p, f);
    fprintf(f, ");\n}\n");
    ok &= ftell(f) < EMITTED_BYTES;
    ok &= fclose(f) == 0;
    return ok;
}

static bool compile(const char *source, const char *library)
{
    char command[1000];
    snprintf(command, sizeof command,
             "ulimit -t %d; %s %s -w -DNDEBUG -fno-math-errno -shared -fPIC -o %s %s -lm 2>/dev/null", EMITTED_SECONDS,
             BENCH_CC, BENCH_FLAGS, library, source);
    return system(command) == 0;
}

emitted *emitted_new(const tg_program *p)
{
    char folder[] = "/tmp/emitted-XXXXXX", source[sizeof folder + 10], library[sizeof folder + 10];
    emitted *e = NULL;
    if (!mkdtemp(folder)) return NULL;
    snprintf(source, sizeof source, "%s/p.c", folder);
    snprintf(library, sizeof library, "%s/p.so", folder);
    if (write_source(p, source) && compile(source, library)) e = calloc(1, sizeof *e);
    if (e) e->library = dlopen(library, RTLD_NOW);
    if (e && e->library) *(void **)&e->call = dlsym(e->library, "call");
    unlink(source);
    unlink(library);
    rmdir(folder);
    if (e && e->call) return e;
    emitted_free(e);
    return NULL;
}

bool emitted_run(const emitted *e, int64_t count, const void *const *inputs, void *const *outputs)
{
    return e->call(count, inputs, outputs);
}

void emitted_free(emitted *e)
{
    if (e && e->library) dlclose(e->library);
    free(e);
}
