/* What every example's command line needs: values of options read strictly, and the way out when
   something is wrong. */
#ifndef EXAMPLES_CLI_H
#define EXAMPLES_CLI_H

#include <argp.h>
#include <stddef.h>
#include <stdint.h>

/* The value of an option, read from text. What is not a number, or lies outside lo ... hi, is an
   error that names the option, and ends the program as argp does for any bad option. */
int cli_int(struct argp_state *state, const char *option, const char *text, int lo, int hi);
uint64_t cli_seed(struct argp_state *state, const char *option, const char *text);
double cli_real(struct argp_state *state, const char *option, const char *text, double lo,
                double hi);

/* The place of text in the list of names, which NULL ends. */
int cli_choice(struct argp_state *state, const char *option, const char *text,
               const char *const *names);

/* Prints "program: message" to standard error and ends the program without success. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

/* Memory for n elements, zeroed; free it with free. Fails when there is none. */
void *allocate(size_t n, size_t size);

#endif
