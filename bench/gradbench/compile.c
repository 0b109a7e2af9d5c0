/* Programs of the problems: compiled, run, and run as C. */
#include "../timing.h"
#include "gradbench.h"

compilation compiling;

static void prepare(compiled *c)
{
    tg_status status = { 0 };
    c->workspace = tg_workspace_new(c->program, 1, &status);
    must(c->workspace, status.message);
    if (compiling.emit) c->c = emitted_new(c->program);
    compiling.all_emitted &= c->c != NULL;
}

compiled compile(const tg_value *outputs, int n, const tg_value *batch, int n_batch,
                 const tg_value *shared, int n_shared)
{
    tg_status status = { 0 };
    const double start = now_ns();
    compiled c = { .program = tg_compile(outputs, n, batch, n_batch, shared, n_shared, NULL, &status) };
    compiling.ns += now_ns() - start;
    must(c.program, status.message);
    prepare(&c);
    return c;
}

static compiled compile_derivative(tg_program *make(const tg_program *p,
                                                    const tg_gradient_options *o,
                                                    tg_status *status),
                                   const tg_gradient_options *o, tg_value f, const tg_value *batch,
                                   int n_batch, const tg_value *shared, int n_shared)
{
    tg_status status = { 0 };
    const double start = now_ns();
    tg_program *const p = tg_compile(&f, 1, batch, n_batch, shared, n_shared, NULL, &status);
    must(p, status.message);
    compiled c = { .program = make(p, o, &status) };
    compiling.ns += now_ns() - start;
    tg_program_free(p);
    must(c.program, status.message);
    prepare(&c);
    return c;
}

compiled compile_gradient(tg_value f, const tg_value *batch, int n_batch, const tg_value *shared,
                          int n_shared, const int *wrt, int n_wrt)
{
    return compile_derivative(tg_gradient_program,
                              &(tg_gradient_options){ .wrt = wrt, .n_wrt = n_wrt }, f, batch,
                              n_batch, shared, n_shared);
}

compiled compile_hvp(tg_value f, const tg_value *batch, int n_batch, const tg_value *shared,
                     int n_shared)
{
    return compile_derivative(tg_hvp_program, &(tg_gradient_options){ .with_gradient = true }, f,
                              batch, n_batch, shared, n_shared);
}

bool try_compiled(const compiled *c, int64_t count, const void *const *inputs, void *const *outputs)
{
    tg_status status = { 0 };
    for (int i = 0; i < tg_program_outputs(c->program); i++) compiling.all_emitted &= outputs[i] != NULL;
    if (compiling.run_emitted && compiling.all_emitted) return emitted_run(c->c, count, inputs, outputs);
    const bool ok = tg_run(c->program, c->workspace, count, inputs, outputs, &status);
    must(ok || status.code == TG_ERROR_GUARD, status.message);
    return ok;
}

void run_compiled(const compiled *c, int64_t count, const void *const *inputs, void *const *outputs)
{
    must(try_compiled(c, count, inputs, outputs), "a condition is not what it was when recorded");
}

void run_compiled_with(const compiled *c, int64_t count, const void *const *inputs, void *const *outputs,
                       const tg_run_options *options)
{
    tg_status status = { 0 };
    compiling.all_emitted = false; /* which has no such layouts */
    must(tg_run_with(c->program, c->workspace, count, inputs, outputs, options, &status), status.message);
}

void free_compiled(compiled *c)
{
    emitted_free(c->c);
    tg_workspace_free(c->workspace);
    tg_program_free(c->program);
    *c = (compiled){ 0 };
}
