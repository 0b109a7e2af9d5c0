/* What every example's command line needs: a table that says all about its options once, and the way
   out when something is wrong. */
#ifndef EXAMPLES_CLI_H
#define EXAMPLES_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One option of a program: what --help says about it, and where its value goes. */
typedef struct cli_option {
    char key;          /* its letter; 0: no option, but the argument beside the options */
    const char *name;  /* its long name; of an argument, what it is called. NULL ends a table */
    const char *value; /* what its value is called; NULL: it has none */
    const char *what;  /* what it is; --help adds the choices, and the default: the present value */

    /* Where the value goes, one of these. */
    bool *flag;               /* true if the option is given */
    const char **text;        /* as it is; NULL: there is no default */
    uint64_t *seed;           /* any number */
    int *whole;               /* from lo to hi; a present value outside: there is no default */
    double *real;             /* the same */
    int *choice;              /* the value's place among these names, which NULL ends */
    const char *const *among; /* of choice */
    double lo, hi;            /* of whole and real */

    /* An argument that may come several times: real then has room for so many numbers, and *count is
       how many there are. */
    int *count, most;
} cli_option;

/* Reads the command line of a program that does what is said. --help ends the program with success. A
   value that is not what its option takes is an error that names the option, what it takes and the
   value, and ends the program as any other bad option does. An option whose description speaks of a
   default is shown with no other. */
void cli_parse(int argc, char **argv, const char *what, const cli_option *options);

/* Prints "program: message" and where to find help to standard error, and ends the program as a bad
   option does. */
__attribute__((noreturn, format(printf, 1, 2))) void cli_error(const char *format, ...);

/* Prints "program: message" to standard error and ends the program without success. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

/* Memory for n elements, zeroed; free it with free. Fails when there is none. */
void *allocate(size_t n, size_t size);

#endif
