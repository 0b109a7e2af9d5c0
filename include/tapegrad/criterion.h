/* Gradient checks as assertions of Criterion, whose failures say what is wrong, where, and why.

       #include <tapegrad/criterion.h>

       Test(loss, its_gradient)
       {
           tg_assert_gradients_match(loss_gradient, loss, .x = x, .n = 6);
           tg_assert_gradcheck(model, .inputs = inputs, .n = 2, .options.rtol = 1e-9);
       }

       static const tg_check_case cases[] = { { "loss", ... }, { "layer", ... } };
       TG_CHECK_TABLE(gradients, are_right, cases)

   The named fields are those of tg_check_case in check.h. */
#ifndef TAPEGRAD_CRITERION_H
#define TAPEGRAD_CRITERION_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <tapegrad/check.h>

/* A row that fails, as text: its name and the report. */
static inline bool tg__criterion_run(const tg_check_case *row, char *text, size_t size)
{
    tg_check_report report;
    if (tg_check_run(row, &report)) return true;
    const int used = snprintf(text, size, "%s: ", row->name ? row->name : "unnamed");
    if (used > 0 && (size_t)used < size)
        tg_check_describe(&report, text + used, size - (size_t)used);
    return false;
}

/* Any row of a table. */
#define tg_assert_check(...)                                                                       \
    do {                                                                                           \
        char tg__text[TG_CHECK_TEXT];                                                              \
        const tg_check_case tg__row = { __VA_ARGS__ };                                             \
        cr_assert(tg__criterion_run(&tg__row, tg__text, sizeof tg__text), "%s", tg__text);         \
    } while (0)

/* A model on a tape; .inputs and .n follow. */
#define tg_assert_gradcheck(MODEL, ...)                                                            \
    tg_assert_check(.name = #MODEL, .model = (MODEL), __VA_ARGS__)

/* A gradient by hand and its plain function; .x and .n follow. */
#define tg_assert_gradients_match(GRADIENT, FUNCTION, ...)                                         \
    tg_assert_check(.name = #GRADIENT, .f = (FUNCTION), .gradient = (GRADIENT), __VA_ARGS__)

/* Defines a test that runs all rows of an array, each a named check of its own. */
#define TG_CHECK_TABLE(SUITE, NAME, CASES)                                                         \
    Test(SUITE, NAME)                                                                              \
    {                                                                                              \
        for (size_t tg__i = 0; tg__i < sizeof(CASES) / sizeof(CASES)[0]; tg__i++) {                \
            char tg__text[TG_CHECK_TEXT];                                                          \
            cr_expect(tg__criterion_run(&(CASES)[tg__i], tg__text, sizeof tg__text), "%s",         \
                      tg__text);                                                                   \
        }                                                                                          \
    }

#endif
