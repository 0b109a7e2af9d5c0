/* Without a test framework: the status says whether everything is right. */
#include <stdio.h>

#include "on_tape.h"

int main(void)
{
    const tg_check_input inputs[] = { { "w", weights, 1, { FEATURES } } };
    tg_check_report report;
    const bool tape = tg_gradcheck(ridge_on_tape, &example, inputs, 1, NULL, &report);
    printf("the tape against differences: %s\n", report.message);

    char message[200] = "agrees";
    const bool hand = hand_agrees(weights, FEATURES, &example, message, sizeof message);
    printf("by hand against the tape: %s\n", message);
    return tape && hand ? 0 : 1;
}
