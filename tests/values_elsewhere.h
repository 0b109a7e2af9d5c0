/* Operations whose values are tested in a file of their own, which checks that it has an example of
   each. All others have theirs in test_values_maps.c and test_values_tensors.c. */
#ifndef TG_TESTS_VALUES_ELSEWHERE_H
#define TG_TESTS_VALUES_ELSEWHERE_H

/* test_values_nets.c */
static const char *const nets_operations[] = { "layer_norm", "rms_norm", "group_norm", "batch_norm",
                                               "attention" };
/* test_values_conv.c */
static const char *const conv_operations[] = { "conv1d",           "conv2d",     "conv_transpose1d",
                                               "conv_transpose2d", "max_pool2d", "avg_pool2d" };

#endif
