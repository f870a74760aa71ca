"""A training loop.

A network is a function of its parameters, and training is five lines, over and over: forward, loss,
backward, a step against the gradient, gradients back to nothing. XOR is the smallest problem that
needs a hidden layer: no straight line parts its two classes.
"""

import numpy as np

import tinygrad_cv as tg

inputs = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
targets = np.array([[0.0], [1.0], [1.0], [0.0]])


def predict(w1, b1, w2, b2):
    h = np.tanh(inputs @ w1 + b1)  # (4, 8)
    return h @ w2 + b2  # (4, 1)


def loss_of(w1, b1, w2, b2):
    return np.mean((predict(w1, b1, w2, b2) - targets) ** 2)


rng = np.random.default_rng(0)
arrays = [rng.normal(size=(2, 8)), np.zeros(8), rng.normal(size=(8, 1)), np.zeros(1)]
parameters = [tg.Tensor(array, requires_grad=True) for array in arrays]

losses = []
for step in range(501):
    loss = loss_of(*parameters)  # forward
    loss.backward()  # every parameter's .grad
    for p in parameters:
        p.data -= 0.1 * p.grad  # a step against the gradient
        p.grad = None  # or the next one is added to it
    losses.append(loss.item())
    if step % 100 == 0:
        print(f"step {step:3}  loss {losses[-1]:.6f}")

predictions = predict(*parameters).numpy()
for row, prediction in zip(inputs, predictions, strict=True):
    print(f"{row[0]:.0f} xor {row[1]:.0f} = {prediction[0]:.2f}")
print("(tg.optim.SGD(parameters, lr=0.1) makes the same steps.)")

look = loss_of, *arrays
print("\nQuestion: what happens if all weights begin at 0 in place of random numbers? Try it.")
