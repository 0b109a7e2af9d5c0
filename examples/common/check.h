/* What the examples check of themselves before they go on: that gradients are right, and that
   figures are the ones that were worked out by hand. */
#ifndef EXAMPLES_CHECK_H
#define EXAMPLES_CHECK_H

#include <tapegrad.h>
#include <tapegrad/nn.h>

/* Compares the gradient of model at the n inputs with differences of its value, and prints how many
   derivatives agree. Ends the program if one does not. */
void check_gradients(tg_model *model, void *user, const tg_check_input *inputs, int n);

/* The same at the present values of n leaves of a tape, under their names. options NULL: the usual
   ones; for a model with many kinks a small step, which meets few of them. */
void check_parameters(tg_model *model, void *user, const tg_value *leaf, int n,
                      const tg_check_options *options);

/* The same at the present parameters of a net, along so many random directions for each; 0: element
   by element. */
void check_net(tg_nn *net, tg_nn_loss *loss, void *user, size_t directions);

/* Ends the program unless value lies within the given distance of what it should be. */
void check_figure(const char *what, double value, double expected, double within);

/* Ends the program if an accuracy on a test set is below what is required; NAN requires nothing. */
void check_accuracy(double accuracy, double required);

#endif
