/* Training steps derived by hand, as an expert would write them: one pass for bias and activation,
   the loss with its gradient, first gradients written and not added, memory kept, the batch in the
   lanes of vectors where layers are thin, OpenBLAS where they are not. Each is compiled for f32 and
   f64 (lanes.h). */
#ifndef BENCH_STEPS_HAND_H
#define BENCH_STEPS_HAND_H

#include <stdint.h>

enum { MOST_PARAMETERS = 32, WIDEST = 16 /* classes of a softmax */ };

/* Arrays are of numbers of the function's type. */
typedef struct hand {
    int batch;
    int layer[8], layers;        /* widths, the input's first */
    const void *x, *target;      /* (batch, layer[0]); the target, if it is of numbers */
    const int *label;            /* the class, if there are classes */
    void *p[MOST_PARAMETERS];    /* weights (out, in) and biases (out) */
    void *g[MOST_PARAMETERS];    /* their gradients */
    void *dx;                    /* dL/dx, of the blocks */
    void *room;                  /* of as many numbers as the step needs, aligned to 64 bytes */
    int heads, length;           /* of the blocks: sequences of this length in the batch */
} hand;

/* Each returns the loss and writes the gradients. */
#define HAND_STEPS(TYPE)                                                                           \
    double hand_logistic_##TYPE(hand *h);    /* binary cross-entropy of x w + b, 100 inputs */     \
    double hand_softmax_##TYPE(hand *h);     /* cross-entropy of 10 classes, 784 inputs */         \
    double hand_tanh_net_##TYPE(hand *h);    /* 2-h-3, cross-entropy */                            \
    double hand_sigmoid_net_##TYPE(hand *h); /* 1-h-1, mean squared error */                       \
    double hand_relu_net_##TYPE(hand *h);    /* any, cross-entropy, by BLAS */                     \
    double hand_blocks_##TYPE(hand *h);      /* transformer blocks, mean square of the result */   \
    /* The numbers of room that each needs. */                                                     \
    int64_t hand_net_room_##TYPE(const hand *h);                                                   \
    int64_t hand_blocks_room_##TYPE(const hand *h);                                                \
    /* Before the first step of hand_tanh_net and hand_sigmoid_net: puts the data into the room. */ \
    void hand_turn_##TYPE(hand *h);                                                                \
    /* The largest error of the expert's exp, tanh and sigmoid, in ulp. */                         \
    double hand_error_##TYPE(void);

HAND_STEPS(f32)
HAND_STEPS(f64)

#endif
