#include <criterion/criterion.h>

#include "on_tape.h"

Test(ridge, the_gradient_of_the_tape_is_that_of_differences)
{
    const tg_check_input inputs[] = { { "w", weights, 1, { FEATURES } } };
    tg_check_report report;
    cr_assert(tg_gradcheck(ridge_on_tape, &example, inputs, 1, NULL, &report), "%s",
              report.message);
}

Test(ridge, the_gradient_by_hand_is_that_of_the_tape)
{
    char message[200];
    cr_assert(hand_agrees(weights, FEATURES, &example, message, sizeof message), "%s", message);
}
