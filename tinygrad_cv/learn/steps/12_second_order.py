"""A gradient inside a loss.

The critic of a WGAN-GP is held to slopes of size 1: its loss has the penalty (|dD/dx| - 1) ** 2. So
a gradient with respect to x stands inside a loss, whose gradient with respect to the weights is
needed. Nothing new is: the formulas of the table are NumPy code, and the engine records them too
while it goes back. What is recorded can be differentiated again.
"""

import numpy as np

import tinygrad_cv as tg

rng = np.random.default_rng(0)
x = rng.normal(size=(16, 2))  # points between real and drawn images
w1 = rng.normal(size=(2, 8))
w2 = rng.normal(size=(8, 1))


def critic(x, w1, w2):
    return np.tanh(x @ w1) @ w2  # (16, 1)


def slopes(x, w1, w2):
    """|dD/dx| of each point."""
    gradient = tg.grad(lambda x: np.sum(critic(x, w1, w2)))(x)  # (16, 2)
    return np.sqrt(np.sum(gradient**2, axis=1))


def penalty(w1, w2):
    return np.mean((slopes(x, w1, w2) - 1) ** 2)


g_w1, g_w2 = tg.grad(penalty, argnums=(0, 1))(w1, w2)

h = 1e-5
step = np.zeros_like(w1)
step[0, 0] = h
measured = (penalty(w1 + step, w2) - penalty(w1 - step, w2)) / (2 * h)
print(f"d penalty / d w1[0, 0]: the engine {g_w1[0, 0]:.8f}, measured {measured:.8f}")

before = slopes(x, w1, w2)
print(f"slopes before  {before.min():.2f} to {before.max():.2f}, penalty {penalty(w1, w2):.4f}")
trained = [w1, w2]
for _ in range(300):
    gradients = tg.grad(penalty, argnums=(0, 1))(*trained)
    trained = [w - 0.05 * g for w, g in zip(trained, gradients, strict=True)]
after = slopes(x, *trained)
print(f"slopes after   {after.min():.2f} to {after.max():.2f}, penalty {penalty(*trained):.4f}")

look = penalty, w1, w2
print("\nQuestion: with ReLU in place of tanh, D''(x) is 0 almost everywhere. Why does the penalty")
print("still have a gradient?")
