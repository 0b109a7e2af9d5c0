/* The same with Criterion. */
#include <tapegrad/criterion.h>

#include "on_tape.h"

Test(ridge, the_gradient_by_hand_is_that_of_differences)
{
    tg_assert_gradients_match(ridge_gradient, ridge_loss, .x = weights, .n = FEATURES,
                              .options = { .user = &example, .input = "w", .sizes = { SAMPLES } });
}

Test(ridge, the_gradient_of_the_tape_is_that_of_differences)
{
    const tg_check_input inputs[] = { { "w", weights, 1, { FEATURES } } };
    tg_assert_gradcheck(ridge_on_tape, .inputs = inputs, .n = 1, .options.user = &example);
}

Test(ridge, the_gradient_by_hand_is_that_of_the_tape)
{
    double by_hand[FEATURES], by_tape[FEATURES];
    ridge_gradient(weights, FEATURES, by_hand, &example);
    gradient_on_tape(weights, FEATURES, by_tape, &example);
    tg_assert_check(.name = "by hand against the tape", .got = by_hand, .expected = by_tape,
                    .n = FEATURES, .options.rtol = 1e-12);
}
