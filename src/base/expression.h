/* Infix expressions as text, read into steps in the order in which they are done: operands first,
   as on a stack. Knows names only as text: what they mean is the caller's. Used by the generator
   for the formulas of the op table, and by TG_EXPR.

       expression  = comparison [ "?" expression ":" expression ]        where(c, a, b)
       comparison  = sum [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" ) sum ]
       sum         = product { ( "+" | "-" ) product }
       product     = unary { ( "*" | "/" | "@" ) unary }                 @ is matmul
       unary       = ( "-" | "+" ) unary | power
       power       = postfix [ "**" unary ]                              "* *" is the same
       postfix     = primary { "[" part { "," part } "]" }
       part        = [ integer ] ":" [ integer ] [ ":" [ integer ] ] | integer
       primary     = number | name | function "(" arguments ")" | "(" expression ")"
       arguments   = expression { "," expression } { "," attribute "=" value }
       name        = identifier { ( "." | "->" ) identifier }
*/
#ifndef TG_BASE_EXPRESSION_H
#define TG_BASE_EXPRESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum tg__step_kind {
    TG__STEP_NUMBER, /* pushes number */
    TG__STEP_NAME,   /* pushes what text names */
    TG__STEP_CALL,   /* takes operands from the stack, pushes the result of the function text */
    TG__STEP_PART,   /* takes one operand, pushes part of its axis */
} tg__step_kind;

typedef struct tg__step {
    tg__step_kind kind;
    int operands;
    size_t at;        /* where in the expression it is written: for messages */
    const char *text; /* the name; of operators the op's: "add". Not terminated */
    size_t length;
    const char *attributes; /* CALL: "axis=1, keep=true", not terminated; NULL: none */
    size_t attributes_length;
    double number;
    /* PART: counted along the axes of the tensor before the brackets; range: start:stop:step,
       where absent is a flag of its own; else the one position start. */
    int axis;
    bool range, has_start, has_stop;
    int64_t start, stop, step;
} tg__step;

typedef struct tg__expression {
    const char *text;
    tg__step *step; /* the caller's room */
    int steps, room;
    int depth; /* the most operands on the stack at once */
    size_t at; /* of the mistake */
    char message[120];
} tg__expression;

/* Reads e->text into e->step, of which there is room for e->room; a text of n characters never
   needs more than n + 1. False: message says what is wrong at which character of the text. */
bool tg__expression_read(tg__expression *e);

#endif
