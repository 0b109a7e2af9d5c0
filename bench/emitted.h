/* Programs as C: written, compiled and loaded while a benchmark runs. */
#ifndef BENCH_EMITTED_H
#define BENCH_EMITTED_H

#include <stdbool.h>
#include <stdint.h>
#include <tapegrad/program.h>

typedef struct emitted emitted;

/* NULL, without a word, where there is no C for the program, or so much that the compiler would take
   minutes. The compiler is the one that compiled this, with the flags of BENCH_FLAGS. */
emitted *emitted_new(const tg_program *p);
enum { EMITTED_BYTES = 200000, EMITTED_SECONDS = 20 };

/* As tg_run; false where that fails. */
bool emitted_run(const emitted *e, int64_t count, const void *const *inputs, void *const *outputs);

/* NULL is fine. */
void emitted_free(emitted *e);

#endif
