/* Three ways to check a gradient that was derived by hand, each a row. Without a test framework: what
   is written is TAP, which meson test reads. */
#include <tapegrad/tap.h>

#include "on_tape.h"

int main(void)
{
    double by_hand[FEATURES], by_tape[FEATURES];
    const tg_check_input inputs[] = { { "w", weights, 1, { FEATURES } } };
    ridge_gradient(weights, FEATURES, by_hand, &example);
    gradient_on_tape(weights, FEATURES, by_tape, &example);

    /* Of the data only the number of samples is told: a factor of 1/SAMPLES is recognized then. */
    const tg_check_options options = { .user = &example, .input = "w", .sizes = { SAMPLES } };
    const tg_check_case cases[] = {
        { "by hand against differences", .f = ridge_loss, .gradient = ridge_gradient, .x = weights,
          .n = FEATURES, .options = options },
        { "the tape against differences", .model = ridge_on_tape, .inputs = inputs, .n = 1,
          .options.user = &example },
        { "by hand against the tape", .got = by_hand, .expected = by_tape, .n = FEATURES,
          .options = { .input = "w", .sizes = { SAMPLES }, .rtol = 1e-12 } },
    };
    return TG_TAP(cases);
}
