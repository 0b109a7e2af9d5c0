/* Expressions compiled into steps: what compile.c makes and evaluate.c runs. */
#ifndef TG_EXPR_EXPR_H
#define TG_EXPR_EXPR_H

#include <tapegrad/expr.h>

#include "base/arena.h"

/* One operation. Operands and results are places in one array: first the values of the list, then
   the stack, then the expression's numbers. */
typedef struct tg__expr_step {
    uint16_t code;
    uint16_t map;        /* 1, 2: an elementwise op of so many operands; else 0 */
    uint32_t operands;   /* how many; */
    uint32_t first;      /* where they begin in the expression's list of places */
    uint32_t y;          /* place of the result */
    uint32_t at;         /* where in the text */
    uint32_t attributes; /* where they begin among the expression's; TG__DEFAULTS: none given */
} tg__expr_step;

#define TG__DEFAULTS UINT32_MAX

/* The most places an expression may have: they lie on the stack of the thread. */
enum { TG__PLACES = 512 };

struct tg_expr {
    tg__memory memory; /* where this block is from, in which everything lies */
    size_t bytes;
    int names, numbers, steps;
    uint32_t first_number; /* the place of the first number */
    uint32_t result;       /* the place of the whole expression's value */
    bool uses_last;        /* some operand is the last value of the list */
    const tg__expr_step *step;
    const uint16_t *place;
    const tg_value *number;
    const char *attributes;
    const char *text;
};

/* What is compiled. The names are either an array of strings or, where that is NULL, one text with
   commas. */
typedef struct tg__expr_source {
    const char *text;
    const char *const *names;
    const char *list;
    int n;
    bool elementwise;
    tg_allocator allocator; /* allocate NULL: the system */
} tg__expr_source;

/* Why it could not be: shown is the text with the mistake, at its character there; NULL: none of
   them. */
typedef struct tg__expr_mistake {
    tg_code code;
    const char *shown;
    size_t at;
    char reason[200];
} tg__expr_mistake;

/* The compiled form, for tg_expr_free; NULL after a mistake. */
tg_expr *tg__expr_compile(const tg__expr_source *source, tg__expr_mistake *mistake);

/* Writes, on a new line, as much of the text around the character as there is room for, and below
   it a caret under the character. Nothing, where there is no room for much. */
void tg__expr_point(const char *text, size_t at, char *out, size_t size);

#endif
