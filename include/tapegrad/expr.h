/* Infix expressions: what is recorded is written as a formula, in C or in a string.

       tg_value loss = TG_EXPR(nll(log_softmax(W @ x + b), y), W, x, b, y);

   Numbers, + - * / and @ (matmul), ** (power), comparisons (1 or 0), c ? a : b (where), x[0], x[1:-1], x[:, ::2]
   (positions and ranges as Python's), and every operation by name, with attributes as in sum(x, axis=1). Numbers are
   doubles: 1/2 is 0.5. docs/expressions.md has the whole of it.

   A mistake in the text is an error with the place:

       model.c:31: expr: there is no value named q in the list
         tanh(W @ x + q)
                      ^ */
#ifndef TAPEGRAD_EXPR_H
#define TAPEGRAD_EXPR_H

#include <tapegrad/inline.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- from strings, at run time ---------------------------------------------------------------- */

/* An expression that was read. It belongs to no tape, is never changed, and may be evaluated by several threads. */
typedef struct tg_expr tg_expr;

/* Reads text, in which the values are called as names says: n identifiers or chains of members ("x", "p->W"). NULL after
   an error, which the process-wide handler gets. Copies what it needs. */
TG_API tg_expr *tg_expr_new(const char *text, const char *const *names, int n);

/* NULL is fine. */
TG_API void tg_expr_free(tg_expr *expr);

/* Records the expression on the tape of the values, of which there are as many as names, in their order. A null value
   after an error. tg_expr_eval, the macro, passes its position on. */
TG_API tg_value tg_expr_eval_at(const tg_expr *expr, const tg_value *values, int n, const tg_site *site);

/* Reads the text, records it and forgets it. An error in the text, too, is the tape's. */
TG_API tg_value tg_eval_at(const char *text, const char *const *names, const tg_value *values, int n,
                           const tg_site *site);

/* ---- behind the macros ------------------------------------------------------------------------ */

/* A place in the source with an expression, read when it is first reached, by whichever thread. */
typedef struct tg__expr_site {
    const char *text, *names; /* names with commas between them */
    tg_site site;
    bool elementwise; /* only elementwise operations may be in it */
    tg_expr *read;    /* atomic; stays until the program ends */
} tg__expr_site;

TG_API tg_value tg__expr_run(tg__expr_site *site, const tg_value *values, int n);

/* A rule of n operands: part[0] is the value, in x or a, b, c; behind it the derivative by each operand, in those and y. */
TG_API tg_value tg__rule_run(tg__expr_site *part, const tg_value *x, int n);

#ifdef __cplusplus
}
#else

#define tg_expr_eval(expr, values, n) tg_expr_eval_at(expr, values, n, TG_HERE)
#define tg_eval(text, names, values, n) tg_eval_at(text, names, values, n, TG_HERE)

/* TG_EXPR(expression, name, ...): the expression's value. It may use no other values than those named: identifiers or
   chains of members, values or C numbers, 1 to 24. It is read when the place is first reached, and costs about what the
   nested calls do from then on. Because of the preprocessor a comma in brackets needs parentheses around it,
   TG_EXPR((x[0, 1:3]), x). Inside a macro of your own write it out there: a parameter would be expanded before. */
#define TG_EXPR(expression, ...)                                                                                   \
    __extension__({                                                                                                \
        static tg__expr_site tg__expr_place = { #expression, #__VA_ARGS__, { __FILE__, __LINE__ }, false, NULL };   \
        const tg_value tg__expr_values[] = { TG__LIST_OF(__VA_ARGS__) };                                           \
        tg__expr_run(&tg__expr_place, tg__expr_values, (int)(sizeof tg__expr_values / sizeof *tg__expr_values));   \
    })

/* TG_RULE(name, "value", "derivative", ...), at file scope: an elementwise operation of your own, as a function name(x),
   name(a, b) or name(a, b, c). The value is an expression in its operands, called x or a, b, c; the derivatives, one by
   each operand, are in those and y, which stands for the value's expression. They are taken as given, and differentiated
   again for higher orders; operands broadcast.

       TG_RULE(swish, "x * sigmoid(x)", "sigmoid(x) * (1 + x * sigmoid(-x))") */
#define TG_RULE(name, value, ...) TG__RULE_OF(__VA_ARGS__, TG__RULE3, TG__RULE2, TG__RULE1, 0)(name, value, __VA_ARGS__)
#define TG__RULE_OF(d1, d2, d3, form, ...) form

#define TG__RULE_PART(text, names) { text, names, { __FILE__, __LINE__ }, true, NULL }
#define TG__RULE1(name, value, dx)                                                                                 \
    static inline tg_value name(tg_value x)                                                                        \
    {                                                                                                              \
        static tg__expr_site part[] = { TG__RULE_PART(value, "x"), TG__RULE_PART(dx, "x, y") };                    \
        return tg__rule_run(part, &x, 1);                                                                          \
    }
#define TG__RULE2(name, value, da, db)                                                                             \
    static inline tg_value name(tg_value a, tg_value b)                                                            \
    {                                                                                                              \
        static tg__expr_site part[] = { TG__RULE_PART(value, "a, b"), TG__RULE_PART(da, "a, b, y"),                \
                                        TG__RULE_PART(db, "a, b, y") };                                            \
        return tg__rule_run(part, (const tg_value[]){ a, b }, 2);                                                  \
    }
#define TG__RULE3(name, value, da, db, dc)                                                                         \
    static inline tg_value name(tg_value a, tg_value b, tg_value c)                                                \
    {                                                                                                              \
        static tg__expr_site part[] = { TG__RULE_PART(value, "a, b, c"), TG__RULE_PART(da, "a, b, c, y"),          \
                                        TG__RULE_PART(db, "a, b, c, y"), TG__RULE_PART(dc, "a, b, c, y") };        \
        return tg__rule_run(part, (const tg_value[]){ a, b, c }, 3);                                               \
    }

/* The values of a list, each made of a value or a number. */
#define TG__LIST_OF(...) TG__LIST_FORM(__VA_ARGS__, TG__V24, TG__V23, TG__V22, TG__V21, TG__V20, TG__V19, \
    TG__V18, TG__V17, TG__V16, TG__V15, TG__V14, TG__V13, TG__V12, TG__V11, TG__V10, TG__V9, TG__V8, TG__V7, \
    TG__V6, TG__V5, TG__V4, TG__V3, TG__V2, TG__V1, 0)(__VA_ARGS__)
#define TG__LIST_FORM(a1, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14, a15, a16, a17, a18, a19, a20, \
    a21, a22, a23, a24, form, ...) form
#define TG__V1(a) TG__V(a)
#define TG__V2(a, ...) TG__V(a), TG__V1(__VA_ARGS__)
#define TG__V3(a, ...) TG__V(a), TG__V2(__VA_ARGS__)
#define TG__V4(a, ...) TG__V(a), TG__V3(__VA_ARGS__)
#define TG__V5(a, ...) TG__V(a), TG__V4(__VA_ARGS__)
#define TG__V6(a, ...) TG__V(a), TG__V5(__VA_ARGS__)
#define TG__V7(a, ...) TG__V(a), TG__V6(__VA_ARGS__)
#define TG__V8(a, ...) TG__V(a), TG__V7(__VA_ARGS__)
#define TG__V9(a, ...) TG__V(a), TG__V8(__VA_ARGS__)
#define TG__V10(a, ...) TG__V(a), TG__V9(__VA_ARGS__)
#define TG__V11(a, ...) TG__V(a), TG__V10(__VA_ARGS__)
#define TG__V12(a, ...) TG__V(a), TG__V11(__VA_ARGS__)
#define TG__V13(a, ...) TG__V(a), TG__V12(__VA_ARGS__)
#define TG__V14(a, ...) TG__V(a), TG__V13(__VA_ARGS__)
#define TG__V15(a, ...) TG__V(a), TG__V14(__VA_ARGS__)
#define TG__V16(a, ...) TG__V(a), TG__V15(__VA_ARGS__)
#define TG__V17(a, ...) TG__V(a), TG__V16(__VA_ARGS__)
#define TG__V18(a, ...) TG__V(a), TG__V17(__VA_ARGS__)
#define TG__V19(a, ...) TG__V(a), TG__V18(__VA_ARGS__)
#define TG__V20(a, ...) TG__V(a), TG__V19(__VA_ARGS__)
#define TG__V21(a, ...) TG__V(a), TG__V20(__VA_ARGS__)
#define TG__V22(a, ...) TG__V(a), TG__V21(__VA_ARGS__)
#define TG__V23(a, ...) TG__V(a), TG__V22(__VA_ARGS__)
#define TG__V24(a, ...) TG__V(a), TG__V23(__VA_ARGS__)

#endif
#endif
