"""A training step by PyTorch for bench/peers:  a line N on standard input does N steps, and prints the
nanoseconds of processor time that one took; the line "gradient" prints the gradients, w1 b1 w2 b2.

A 2-100-3 network, tanh, cross-entropy, batch 300, f32, one thread; the data as in peers.c.
"""

import math
import sys
import time

import torch

BATCH, INPUTS, HIDDEN, OUTPUTS = 300, 2, 100, 3
torch.set_num_threads(1)


def numbers(first, *shape):
    """0.3 cos(2.3 i) from i = first on."""
    count = math.prod(shape)
    values = [0.3 * math.cos(2.3 * (first + i)) for i in range(count)]
    return torch.tensor(values, dtype=torch.float32).reshape(shape).requires_grad_()


w1, b1 = numbers(0, HIDDEN, INPUTS), numbers(HIDDEN * INPUTS, HIDDEN)
w2 = numbers(HIDDEN * (INPUTS + 1), OUTPUTS, HIDDEN)
b2 = numbers(HIDDEN * (INPUTS + 1 + OUTPUTS), OUTPUTS)
parameters = [w1, b1, w2, b2]
x = torch.tensor([math.sin(1.7 * i) for i in range(BATCH * INPUTS)], dtype=torch.float32)
x = x.reshape(BATCH, INPUTS)
label = torch.tensor([i % OUTPUTS for i in range(BATCH)])


def step():
    for p in parameters:
        p.grad = None
    hidden = torch.tanh(torch.nn.functional.linear(x, w1, b1))
    loss = torch.nn.functional.cross_entropy(torch.nn.functional.linear(hidden, w2, b2), label)
    loss.backward()


for line in sys.stdin:
    if line.strip() == "gradient":
        step()
        print(*(float(g) for p in parameters for g in p.grad.flatten()), flush=True)
        continue
    count = int(line)
    start = time.thread_time_ns()
    for _ in range(count):
        step()
    print((time.thread_time_ns() - start) / count, flush=True)
