/* Training steps derived by hand, as an expert would write them: one pass for bias and activation,
   the loss with its gradient, first gradients written and not added, memory kept, the batch in the
   lanes of vectors where layers are thin, OpenBLAS where they are not. f32. */
#ifndef BENCH_STEPS_HAND_H
#define BENCH_STEPS_HAND_H

#include <stdint.h>

enum { MOST_PARAMETERS = 32, LANES = 16, WIDEST = 16 /* classes of a softmax */ };

typedef struct hand {
    int batch;
    int layer[8], layers;        /* widths, the input's first */
    const float *x, *target;     /* (batch, layer[0]); the target, if it is of numbers */
    const int *label;            /* the class, if there are classes */
    float *p[MOST_PARAMETERS];   /* weights (out, in) and biases (out) */
    float *g[MOST_PARAMETERS];   /* their gradients */
    float *dx;                   /* dL/dx, of the blocks */
    float *room;                 /* of hand_room floats, aligned to 64 bytes */
    int heads, length;           /* of the blocks: sequences of this length in the batch */
} hand;

/* How many floats of room a step needs. */
int64_t hand_room(const hand *h);

/* Before the first step of hand_tanh_net and hand_sigmoid_net: puts the data into the room. */
void hand_turn(hand *h);

/* Each returns the loss and writes the gradients. */
float hand_logistic(hand *h);       /* binary cross-entropy of x w + b, 100 inputs */
float hand_softmax(hand *h);        /* cross-entropy of 10 classes, 784 inputs */
float hand_tanh_net(hand *h);       /* 2-h-3, cross-entropy */
float hand_sigmoid_net(hand *h);    /* 1-h-1, mean squared error */
float hand_relu_net(hand *h);       /* any, cross-entropy, by BLAS */
float hand_blocks(hand *h);         /* transformer blocks, mean square of the result, by BLAS */

#endif
