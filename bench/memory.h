/* What programs hold. */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <tapegrad/program.h>

/* Bytes of a program, its plans and its workspace. */
double program_bytes(const tg_program *p, const tg_workspace *w);

#endif
